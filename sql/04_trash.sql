-- Deleted rows: what there is, bringing them back, removing them for good.

CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, id pg_catalog.uuid,
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.uuid) IS
'Brings a deleted row back, with exactly what was deleted by the same operation below it.
entity: a live view or its base table; id: the row. Returns how many rows of which tables came back.
Needs the privilege to DELETE from the live view. Errors: P0002 no such row; 55000 not deleted, or being purged; 23503 its parent is deleted; 23505 a unique value is taken meanwhile. Then nothing is restored.';

CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, ids pg_catalog.uuid[],
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore_many';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.uuid[]) IS
'Brings deleted rows back, each with what was deleted by the same operation below it: all or none.
entity: a live view or its base table; ids: the rows. Returns how many rows of which tables came back, and fails as appdb.restore(entity, id) does.';

-- A literal, and a parameter that a client sends without a type, could be
-- either of the two; of these three it is this one.
CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, id pg_catalog.text,
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore_text';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.text) IS
'The same for ids without a type, as literals and many clients'' parameters are: one uuid, or an array of them in braces.';

-- The condition that ties a child to its parent, for a relation of kind one;
-- aliases c and p.
CREATE FUNCTION appdb._link_condition(columns pg_catalog.name[], to_columns pg_catalog.name[])
	RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('c.%I = p.%I', u.c, u.p), ' AND ') FROM unnest(columns, to_columns) u (c, p)
$$;
COMMENT ON FUNCTION appdb._link_condition(pg_catalog.name[], pg_catalog.name[]) IS 'Internal: the join condition of a foreign key';

-- How many rows would come back with a deleted row.
CREATE FUNCTION appdb._deleted_with(entity pg_catalog.regclass, id pg_catalog.uuid, deleted_at pg_catalog.timestamptz)
	RETURNS pg_catalog.int8
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	todo jsonb := jsonb_build_array(jsonb_build_object('entity', entity::oid, 'ids', jsonb_build_array(id)));
	seen jsonb := '{}';
	step record;
	link record;
	ids uuid[];
	total bigint := 0;
BEGIN
	-- level by level; a row is reached once although several paths lead there
	WHILE jsonb_array_length(todo) > 0 LOOP
		SELECT (t ->> 'entity')::oid::regclass AS entity,
			   ARRAY(SELECT i::uuid FROM jsonb_array_elements_text(t -> 'ids') i) AS ids
		INTO step FROM jsonb_array_elements(todo) t LIMIT 1;
		todo := todo - 0;
		FOR link IN
			SELECT child.entity AS child, appdb._link_condition(r.columns, r.to_columns) AS condition
			FROM appdb._relations() r
			JOIN appdb._managed_tables() child ON child.view = r."from"
			JOIN appdb._managed_tables() parent ON parent.view = r."to"
			WHERE r.kind = 'one' AND r.on_delete = 'cascade' AND parent.entity = step.entity
		LOOP
			EXECUTE format('SELECT ARRAY(SELECT c.id FROM %s c JOIN %s p ON %s WHERE p.id = ANY ($1) AND c.deleted_at = $2)',
						   link.child, step.entity, link.condition)
			INTO ids USING step.ids, deleted_at;
			ids := ARRAY(SELECT i FROM unnest(ids) i WHERE NOT seen ? i::text AND i <> _deleted_with.id);
			IF cardinality(ids) > 0 THEN
				total := total + cardinality(ids);
				seen := seen || (SELECT jsonb_object_agg(i, true) FROM unnest(ids) i);
				todo := todo || jsonb_build_array(jsonb_build_object('entity', link.child::oid, 'ids', to_jsonb(ids)));
			END IF;
		END LOOP;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION appdb._deleted_with(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.timestamptz) IS 'Internal: how many rows were deleted with a row, below it';

-- The rows that were deleted themselves, not with a parent.
CREATE FUNCTION appdb._trash(
	OUT entity pg_catalog.regclass, OUT id pg_catalog.uuid, OUT label pg_catalog.text,
	OUT deleted_at pg_catalog.timestamptz, OUT role pg_catalog.name, OUT user_id pg_catalog.uuid,
	OUT purged_at pg_catalog.timestamptz)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 100
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	m record;
BEGIN
	FOR m IN
		SELECT t.entity, t.label,
			   (SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM %s p WHERE %s AND p.deleted_at = c.deleted_at)',
										 parent.entity, appdb._link_condition(r.columns, r.to_columns)), '')
				FROM appdb._relations() r JOIN appdb._managed_tables() parent ON parent.view = r."to"
				WHERE r."from" = t.view AND r.kind = 'one' AND r.on_delete = 'cascade') AS no_parent
		FROM appdb._managed_tables() t
		WHERE EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = t.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
		  AND has_table_privilege(t.entity, 'SELECT')
		ORDER BY t.view
	LOOP
		RETURN QUERY EXECUTE format(
			'SELECT $1, c.id, %s, c.deleted_at, d.role, d.user_id, d.purged_at '
			'FROM %s c LEFT JOIN LATERAL (SELECT * FROM app_data.deletions d '
			'WHERE d.deleted_at = c.deleted_at ORDER BY d.entity = $1 DESC LIMIT 1) d ON true '
			'WHERE c.deleted_at IS NOT NULL%s',
			CASE WHEN m.label IS NULL THEN 'c.id::text' ELSE format('c.%I::text', m.label) END,
			m.entity, m.no_parent)
		USING m.entity;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._trash() IS 'Internal: the rows of appdb.trash';

CREATE FUNCTION appdb.retention() RETURNS pg_catalog.interval
	LANGUAGE sql STABLE
AS $$
	SELECT pg_catalog.current_setting('appdb.retention')::pg_catalog.interval
$$;
COMMENT ON FUNCTION appdb.retention() IS 'How long deleted rows are kept: the setting appdb.retention';

CREATE VIEW appdb.trash WITH (security_invoker = true) AS
	SELECT t.entity, t.id, t.label, t.deleted_at, t.role AS deleted_by_role, t.user_id AS deleted_by,
		   appdb._deleted_with(t.entity, t.id, t.deleted_at) AS rows_with_it,
		   t.deleted_at OPERATOR(pg_catalog.+) appdb.retention() AS purge_at,
		   t.purged_at IS NULL AS restorable
	FROM appdb._trash() t;
COMMENT ON VIEW appdb.trash IS 'What appdb.restore() can bring back: rows that were deleted themselves, not with a parent';
COMMENT ON COLUMN appdb.trash.entity IS 'Their base table';
COMMENT ON COLUMN appdb.trash.id IS 'The row: SELECT * FROM appdb.restore(entity, id)';
COMMENT ON COLUMN appdb.trash.label IS 'What the row is called';
COMMENT ON COLUMN appdb.trash.deleted_at IS 'When it was deleted';
COMMENT ON COLUMN appdb.trash.deleted_by_role IS 'The database role that deleted it';
COMMENT ON COLUMN appdb.trash.deleted_by IS 'The application''s user who deleted it, where one was signed in';
COMMENT ON COLUMN appdb.trash.rows_with_it IS 'How many rows, of all tables, were deleted with it and would come back';
COMMENT ON COLUMN appdb.trash.purge_at IS 'From when on a purge by the setting appdb.retention removes it';
COMMENT ON COLUMN appdb.trash.restorable IS 'False once its purge has begun';
-- what it shows is what its reader may read in the base tables
GRANT SELECT ON appdb.trash TO PUBLIC;

-- The organization that a row belongs to must not be on hold.
CREATE FUNCTION appdb._not_held(entity pg_catalog.regclass)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT COALESCE(string_agg(' AND NOT EXISTS (SELECT FROM app_data.legal_holds h WHERE h.organization_id = ' ||
		CASE WHEN c.relname = 'organizations' AND a.attname = 'id' THEN 'c.id)'
			 WHEN a.attname = 'organization_id' THEN 'c.organization_id)'
			 ELSE '(SELECT s.organization_id FROM app_data.spaces s WHERE s.id = c.space_id))' END, ''), '')
	FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
	WHERE c.oid = entity
	  AND (a.attname IN ('organization_id', 'space_id')
		   OR (a.attname = 'id' AND c.relname = 'organizations' AND c.relnamespace = 'app_data'::regnamespace))
$$;
COMMENT ON FUNCTION appdb._not_held(pg_catalog.regclass) IS 'Internal: the condition that a row (alias c) is under no legal hold';

-- Removes what can go of one stretch of a table; returns how many rows went
-- and where the next stretch begins (null: the table ends).
CREATE FUNCTION appdb._purge_stretch(
	entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, first_page pg_catalog.int8, batch pg_catalog.int4,
	OUT purged pg_catalog.int8, OUT next_page pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pages bigint := pg_relation_size(entity) / current_setting('block_size')::bigint;
	density float8;
	unreferenced text;
BEGIN
	SELECT GREATEST(c.reltuples / GREATEST(c.relpages, 1), 1) INTO density FROM pg_class c WHERE c.oid = entity;
	next_page := LEAST(first_page + GREATEST((batch / density)::bigint, 1), 4294967295);

	-- what still refers to the row, whoever's table that is, keeps it
	SELECT COALESCE(string_agg(format(' AND NOT EXISTS (SELECT FROM %s r WHERE %s)', f.conrelid::regclass, f.condition), ''), '')
	INTO unreferenced
	FROM (
		SELECT c.conrelid, string_agg(format('r.%I = c.%I', a.attname, p.attname), ' AND ') AS condition
		FROM pg_constraint c
		CROSS JOIN LATERAL unnest(c.conkey, c.confkey) u (child, parent)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.child
		JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = u.parent
		WHERE c.confrelid = entity AND c.contype = 'f' AND c.conparentid = 0
		  AND c.confdeltype IN ('a', 'r')
		GROUP BY c.oid, c.conrelid) f;

	EXECUTE format(
		'WITH gone AS (SELECT c.ctid FROM %1$s c '
		'WHERE c.ctid >= $1 AND c.ctid < $2 AND c.deleted_at < $3%2$s%3$s FOR UPDATE SKIP LOCKED) '
		'DELETE FROM %1$s c USING gone WHERE c.ctid = gone.ctid',
		entity, unreferenced, appdb._not_held(entity))
	USING format('(%s,0)', first_page)::tid, format('(%s,0)', next_page)::tid, cutoff;
	GET DIAGNOSTICS purged = ROW_COUNT;
	IF next_page >= pages THEN
		next_page := NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._purge_stretch(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.int4) IS 'Internal: purges one stretch of a table';
REVOKE EXECUTE ON FUNCTION appdb._purge_stretch(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int8, pg_catalog.int4) FROM PUBLIC;

-- Managed tables that soft-delete, children before parents.  A cycle is cut
-- anywhere: what cannot go for a reference goes in the next pass.
CREATE FUNCTION appdb._purge_order()
	RETURNS pg_catalog.regclass[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	todo regclass[] := ARRAY(
		SELECT m.entity FROM appdb._managed_tables() m
		WHERE EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = m.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
		ORDER BY m.entity::text);
	done regclass[] := '{}';
	next regclass;
BEGIN
	WHILE cardinality(todo) > 0 LOOP
		SELECT t INTO next FROM unnest(todo) t
		ORDER BY EXISTS (SELECT FROM pg_constraint c
						 WHERE c.contype = 'f' AND c.confrelid = t AND c.conrelid <> t AND c.conrelid = ANY (todo)),
				 t::text
		LIMIT 1;
		done := done || next;
		todo := array_remove(todo, next);
	END LOOP;
	RETURN done;
END
$$;
COMMENT ON FUNCTION appdb._purge_order() IS 'Internal: managed tables, children before parents';

-- No SET clause: a procedure that commits cannot have one.
CREATE PROCEDURE appdb.purge(older_than pg_catalog.interval DEFAULT NULL, batch pg_catalog.int4 DEFAULT 1000)
	LANGUAGE plpgsql
AS $$
DECLARE
	cutoff pg_catalog.timestamptz;
	entity pg_catalog.regclass;
	page pg_catalog.int8;
	purged pg_catalog.int8;
	of_pass pg_catalog.int8;
	of_table pg_catalog.int8;
	total pg_catalog.int8 := 0;
BEGIN
	PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
	IF batch IS NULL OR batch < 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch must be at least 1',
			HINT = 'It is the number of rows that one transaction looks at.';
	END IF;
	older_than := COALESCE(older_than, appdb.retention());
	IF older_than < '0'::interval THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('cannot purge what was deleted within %s', older_than),
			HINT = 'older_than is an interval that is not negative, such as 30 days.';
	END IF;
	cutoff := clock_timestamp() - older_than;

	-- from here on nobody brings these rows back; waits for those who do just now
	UPDATE app_data.deletions d SET purged_at = clock_timestamp() WHERE d.deleted_at < cutoff AND d.purged_at IS NULL;
	COMMIT;

	LOOP
		of_pass := 0;
		PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
		FOREACH entity IN ARRAY appdb._purge_order() LOOP
			page := 0;
			of_table := 0;
			WHILE page IS NOT NULL LOOP
				SELECT s.purged, s.next_page INTO purged, page
				FROM appdb._purge_stretch(entity, cutoff, page, batch) s;
				of_table := of_table OPERATOR(pg_catalog.+) purged;
				COMMIT;
			END LOOP;
			of_pass := of_pass OPERATOR(pg_catalog.+) of_table;
			IF of_table OPERATOR(pg_catalog.>) 0 THEN
				RAISE NOTICE 'purged % rows of "%"', of_table, entity;
			END IF;
		END LOOP;
		total := total OPERATOR(pg_catalog.+) of_pass;
		-- rows that refer to each other go level by level
		EXIT WHEN of_pass OPERATOR(pg_catalog.=) 0;
	END LOOP;

	-- the notes of operations of which nothing is left to hold
	DELETE FROM app_data.deletions d
	WHERE d.deleted_at OPERATOR(pg_catalog.<) cutoff AND NOT EXISTS (SELECT FROM app_data.legal_holds);
	DELETE FROM app_data.unlinked u
	WHERE u.deleted_at OPERATOR(pg_catalog.<) cutoff AND NOT EXISTS (SELECT FROM app_data.legal_holds);
	COMMIT;
	RAISE NOTICE 'purged % rows in all, deleted before %', total, cutoff;
END
$$;
COMMENT ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) IS
'Removes deleted rows for good, children first, and commits after each batch: can be stopped at any time and called again.
older_than: only what was deleted longer ago than this (default: the setting appdb.retention); batch: rows that one transaction looks at.
Rows that others have locked, that something still refers to, or whose organization is under a legal hold stay. CALL it outside of a transaction block, as the owner of the tables.';
REVOKE EXECUTE ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) FROM PUBLIC;

CREATE FUNCTION appdb.hold(organization_id pg_catalog.uuid, reason pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO app_data.legal_holds AS h (organization_id, reason) VALUES (hold.organization_id, hold.reason)
	ON CONFLICT ON CONSTRAINT legal_holds_pkey DO UPDATE SET reason = EXCLUDED.reason;
END
$$;
COMMENT ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) IS
'Puts a legal hold on an organization: none of its deleted rows, nor those of its spaces, are purged until appdb.release().
organization_id: the organization; reason: why. Calling it again changes the reason. Errors: 23503 no such organization.';
REVOKE EXECUTE ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.release(organization_id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM app_data.legal_holds h WHERE h.organization_id = release.organization_id;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb.release(pg_catalog.uuid) IS
'Ends the legal hold on an organization. Returns whether there was one.';
REVOKE EXECUTE ON FUNCTION appdb.release(pg_catalog.uuid) FROM PUBLIC;
