-- Deleted rows: what there is, bringing them back, removing them for good.

CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, id pg_catalog.uuid,
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.uuid) IS
'Brings a deleted row back, with exactly what was deleted by the same operation below it.
entity: a live view or its base table; id: the row. Returns how many rows of which tables came back.
Needs the privilege to DELETE from the live view. Errors: P0002 no such row; 55000 not deleted, or being purged; 23503 its parent is deleted; 23505 a unique value is taken meanwhile, 23P01 what an exclusion constraint keeps apart. Then nothing is restored.';

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

CREATE FUNCTION appdb._deleted_with(entity pg_catalog.regclass, id pg_catalog.uuid, deleted_at pg_catalog.timestamptz)
	RETURNS pg_catalog.int8
	LANGUAGE c STABLE STRICT COST 1000
	AS 'MODULE_PATHNAME', 'appdb__deleted_with';
COMMENT ON FUNCTION appdb._deleted_with(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.timestamptz) IS 'Internal: how many rows were deleted with a row, below it';

-- The foreign keys that deletions follow, with the condition that ties the row
-- c to its parent p.
CREATE FUNCTION appdb._cascade_links(
	OUT child pg_catalog.regclass, OUT parent pg_catalog.regclass, OUT condition pg_catalog.text, OUT on_delete pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 50
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.entity, p.entity,
		   (SELECT string_agg(appdb._key_condition(f, u.n, 'c', 'p'), ' AND ') FROM appdb._key_columns(f) u),
		   r.on_delete
	FROM appdb._relations() r
	JOIN appdb._managed_tables() c ON c.view = r."from"
	JOIN appdb._managed_tables() p ON p.view = r."to"
	JOIN pg_constraint f ON f.conrelid = c.entity AND f.conname = r.constraint_name AND f.contype = 'f'
	WHERE r.kind = 'one' AND 'id' = ANY (r.to_columns)
	  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
	  AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
$$;
COMMENT ON FUNCTION appdb._cascade_links() IS 'Internal: the foreign keys that deletions follow';

-- Of the rows of an operation that wait for their parents, and of what went
-- with them below, those whose deleted parents are all among these: they are in
-- circles, or below such, and come back only together.
CREATE FUNCTION appdb._restore_circles(
	waiting_in pg_catalog.regclass[], waiting pg_catalog.uuid[], deleted_at pg_catalog.timestamptz,
	OUT entity pg_catalog.regclass, OUT ids pg_catalog.uuid[])
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql ROWS 5
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tables regclass[] := waiting_in;
	rows uuid[] := waiting;
	first int := 1;
	last int;
	link record;
	found_ids uuid[];
	removed bool := true;
BEGIN
	WHILE first <= cardinality(rows) LOOP
		last := cardinality(rows);
		FOR link IN SELECT * FROM appdb._cascade_links() l WHERE l.parent = ANY (tables[first:last]) AND l.on_delete = 'cascade' LOOP
			EXECUTE format('SELECT array_agg(DISTINCT c.id) FROM %s c JOIN %s p ON %s WHERE p.id = ANY ($1) AND c.deleted_at = $2 AND NOT c.id = ANY ($3)',
						   link.child, link.parent, link.condition)
			INTO found_ids
			USING ARRAY(SELECT m.i FROM unnest(tables[first:last], rows[first:last]) m (t, i) WHERE m.t = link.parent), deleted_at,
				  ARRAY(SELECT m.i FROM unnest(tables, rows) m (t, i) WHERE m.t = link.child);
			tables := tables || array_fill(link.child, ARRAY[COALESCE(cardinality(found_ids), 0)]);
			rows := rows || found_ids;
		END LOOP;
		first := last + 1;
	END LOOP;

	WHILE removed LOOP
		removed := false;
		FOR link IN SELECT * FROM appdb._cascade_links() l WHERE l.child = ANY (tables) AND l.on_delete <> 'set null' LOOP
			EXECUTE format('SELECT array_agg(c.id) FROM %s c JOIN %s p ON %s WHERE c.id = ANY ($1) AND p.deleted_at IS NOT NULL AND NOT p.id = ANY ($2)',
						   link.child, link.parent, link.condition)
			INTO found_ids
			USING ARRAY(SELECT m.i FROM unnest(tables, rows) m (t, i) WHERE m.t = link.child),
				  ARRAY(SELECT m.i FROM unnest(tables, rows) m (t, i) WHERE m.t = link.parent);
			CONTINUE WHEN found_ids IS NULL;
			removed := true;
			SELECT COALESCE(array_agg(m.t), '{}'), COALESCE(array_agg(m.i), '{}') INTO tables, rows
			FROM unnest(tables, rows) m (t, i) WHERE NOT (m.t = link.child AND m.i = ANY (found_ids));
		END LOOP;
	END LOOP;

	RETURN QUERY SELECT m.t, array_agg(m.i) FROM unnest(tables, rows) m (t, i) GROUP BY m.t ORDER BY m.t::text;
END
$$;
COMMENT ON FUNCTION appdb._restore_circles(pg_catalog.regclass[], pg_catalog.uuid[], pg_catalog.timestamptz) IS 'Internal: rows that come back only together';

-- The rows that were deleted themselves, not with a parent, as far as the
-- caller may read them.
CREATE FUNCTION appdb._trash(
	OUT entity pg_catalog.regclass, OUT id pg_catalog.uuid, OUT label pg_catalog.text,
	OUT deleted_at pg_catalog.timestamptz, OUT role pg_catalog.name, OUT user_id pg_catalog.uuid,
	OUT purged_at pg_catalog.timestamptz)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE ROWS 100
	-- each partition would be compiled by itself
	SET jit = off
	AS 'MODULE_PATHNAME', 'appdb__trash';
COMMENT ON FUNCTION appdb._trash() IS 'Internal: the rows of appdb.trash';

CREATE FUNCTION appdb.retention() RETURNS pg_catalog.interval
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_retention_interval';
COMMENT ON FUNCTION appdb.retention() IS 'How long deleted rows are kept: the setting appdb.retention';

-- Is a row under a legal hold?  (The work is done as the owner of the tables,
-- for rows that the caller may see.)  Like _deleted_with() it is asked of the
-- rows that are shown, and not of all that are sorted: neither is VOLATILE, and
-- both have their cost.
CREATE FUNCTION appdb._held(entity pg_catalog.regclass, id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT COST 10000
	AS 'MODULE_PATHNAME', 'appdb__held';
COMMENT ON FUNCTION appdb._held(pg_catalog.regclass, pg_catalog.uuid) IS 'Internal: whether a row that the caller may see is under a legal hold';

CREATE FUNCTION appdb.__held(entity pg_catalog.regclass, id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET jit = off
AS $$
DECLARE
	held bool;
BEGIN
	-- anybody may ask, and what somebody has made of their own is not for the owner to read: it could be a view with a function in it
	IF NOT EXISTS (SELECT FROM app_data.legal_holds)
		OR NOT EXISTS (SELECT FROM app_data.managed m JOIN pg_class c ON c.oid = m.entity WHERE c.oid = __held.entity AND c.relkind IN ('r', 'p'))
	THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s c WHERE c.id = $1 AND (%s))', entity, appdb._held_condition(entity, 'c'))
	INTO held USING id;
	RETURN held;
END
$$;
COMMENT ON FUNCTION appdb.__held(pg_catalog.regclass, pg_catalog.uuid) IS 'Internal: the work of appdb._held()';

CREATE VIEW appdb.trash WITH (security_invoker = true) AS
	SELECT t.entity, t.id, t.label, t.deleted_at, t.role AS deleted_by_role, t.user_id AS deleted_by,
		   appdb._deleted_with(t.entity, t.id, t.deleted_at) AS rows_with_it,
		   -- who inserts a row says when it was deleted: the sum may be no time
		   CASE WHEN NOT appdb._held(t.entity, t.id) THEN LEAST(t.deleted_at, '290000-01-01 00:00:00+00') OPERATOR(pg_catalog.+) appdb.retention() END AS purge_at,
		   t.purged_at IS NULL OR appdb._held(t.entity, t.id) AS restorable
	FROM appdb._trash() t;
COMMENT ON VIEW appdb.trash IS 'What appdb.restore() can bring back: rows that were deleted themselves, not with a parent';
COMMENT ON COLUMN appdb.trash.entity IS 'Their base table';
COMMENT ON COLUMN appdb.trash.id IS 'The row: SELECT * FROM appdb.restore(entity, id)';
COMMENT ON COLUMN appdb.trash.label IS 'What the row is called';
COMMENT ON COLUMN appdb.trash.deleted_at IS 'When it was deleted';
COMMENT ON COLUMN appdb.trash.deleted_by_role IS 'The database role that deleted it; null like deleted_by, where that is not for its reader to know';
COMMENT ON COLUMN appdb.trash.deleted_by IS 'The application''s user who deleted it, where one was signed in: for users, if they share an organization or a space with that one, or did';
COMMENT ON COLUMN appdb.trash.rows_with_it IS 'How many rows, of all tables, were deleted with it and would come back';
COMMENT ON COLUMN appdb.trash.purge_at IS 'From when on a purge by the setting appdb.retention removes it; null while it is under a legal hold';
COMMENT ON COLUMN appdb.trash.restorable IS 'False once its purge has begun, unless a legal hold keeps it';
-- what it shows is what its reader may read in the base tables
GRANT SELECT ON appdb.trash TO PUBLIC;

-- The condition that a row (under this alias) says itself that it belongs to an
-- organization that is under a legal hold; 'false' for a table that cannot.
CREATE FUNCTION appdb._held_itself(entity pg_catalog.regclass, alias pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT COALESCE(string_agg(CASE
		WHEN a.attname = 'space_id' THEN format('EXISTS (SELECT FROM app_data.legal_holds h JOIN app_data.spaces s ON s.organization_id OPERATOR(pg_catalog.=) h.organization_id WHERE s.id OPERATOR(pg_catalog.=) %s.space_id)', alias)
		ELSE format('EXISTS (SELECT FROM app_data.legal_holds h WHERE h.organization_id OPERATOR(pg_catalog.=) %s.%I)', alias, a.attname) END,
		' OR ' ORDER BY a.attnum), 'false')
	FROM pg_attribute a
	WHERE a.attrelid = entity AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
	  AND (a.attname IN ('organization_id', 'space_id') OR a.attname = 'id' AND entity = to_regclass('app_data.organizations'))
$$;
COMMENT ON FUNCTION appdb._held_itself(pg_catalog.regclass, pg_catalog.text) IS 'Internal: the condition that a row says itself that it is under a legal hold';

-- The tables whose rows a table's rows go with, with the condition that ties
-- the row c to its parent p; but not by what _held_itself() looks at.
CREATE FUNCTION appdb._goes_with(
	entity pg_catalog.regclass, OUT parent pg_catalog.regclass, OUT condition pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 3
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.confrelid, string_agg(appdb._key_condition(f, u.n, 'c', 'p'), ' AND ')
	FROM app_data.managed m
	JOIN pg_constraint f ON f.conrelid = m.entity AND f.contype = 'f' AND f.conparentid = 0
	CROSS JOIN LATERAL appdb._key_columns(f) u
	JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.child
	JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = u.parent
	WHERE m.entity = _goes_with.entity
	  AND EXISTS (SELECT FROM app_data.managed t WHERE t.entity = f.confrelid)
	  AND EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = f.conrelid AND d.attname = 'deleted_at' AND NOT d.attisdropped)
	GROUP BY f.oid, f.confrelid, f.confdeltype, m.relations
	HAVING NOT bool_or(a.attname IN ('organization_id', 'space_id'))
	   AND COALESCE(max(m.relations -> a.attname::text ->> 'on_delete') FILTER (WHERE p.attname = 'id'),
					CASE WHEN f.confdeltype IN ('n', 'r') THEN 'other' ELSE 'cascade' END) = 'cascade'
$$;
COMMENT ON FUNCTION appdb._goes_with(pg_catalog.regclass) IS 'Internal: the tables whose rows a table''s rows go with';

-- The condition that a row (under this alias) belongs to an organization that
-- is under a legal hold, by its own columns or by the rows that it goes with,
-- however many ways lead to them; 'false' for a table whose rows belong to none.
CREATE FUNCTION appdb._held_condition(entity pg_catalog.regclass, alias pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE above (entity) AS (
		SELECT _held_condition.entity
		UNION
		SELECT l.parent FROM above a CROSS JOIN LATERAL appdb._goes_with(a.entity) l
	), itself AS MATERIALIZED (
		SELECT a.entity, appdb._held_itself(a.entity, 'x') AS condition FROM above a
	), link AS MATERIALIZED (
		SELECT a.entity AS child, l.parent, l.condition FROM above a CROSS JOIN LATERAL appdb._goes_with(a.entity) l
	), leads (entity) AS (
		-- to those that say it
		SELECT i.entity FROM itself i WHERE i.condition <> 'false'
		UNION
		SELECT l.child FROM leads t JOIN link l ON l.parent = t.entity
	), way AS (
		SELECT string_agg(format(
			'SELECT %s::pg_catalog.oid, p.id FROM %s c JOIN %s p ON %s WHERE u.entity OPERATOR(pg_catalog.=) %s AND c.id OPERATOR(pg_catalog.=) u.id',
			l.parent::oid, l.child, l.parent, l.condition, l.child::oid), ' UNION ALL ') AS up
		FROM link l WHERE l.parent IN (SELECT t.entity FROM leads t)
	)
	SELECT appdb._held_itself(entity, alias) || CASE WHEN w.up IS NULL THEN '' ELSE format(
		' OR EXISTS (WITH RECURSIVE up (entity, id) AS (SELECT %s::pg_catalog.oid, %s.id UNION SELECT n.entity, n.id FROM up u CROSS JOIN LATERAL (%s) n (entity, id)) '
		'SELECT FROM up u WHERE %s)',
		entity::oid, alias, w.up,
		(SELECT string_agg(format('(u.entity OPERATOR(pg_catalog.=) %s AND (SELECT true FROM %s x WHERE x.id OPERATOR(pg_catalog.=) u.id AND (%s)))',
								  i.entity::oid, i.entity, i.condition), ' OR ')
		 FROM itself i WHERE i.condition <> 'false')) END
	FROM way w
$$;
COMMENT ON FUNCTION appdb._held_condition(pg_catalog.regclass, pg_catalog.text) IS 'Internal: the condition that a row is under a legal hold';

-- The condition that a row (under this alias) can be purged: deleted long enough ago,
-- its operation noted as being purged, under no hold.  $3 is the time.
CREATE FUNCTION appdb._purge_condition(entity pg_catalog.regclass, held pg_catalog.bool, alias pg_catalog.text DEFAULT 'c')
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%1$s.deleted_at OPERATOR(pg_catalog.<) $3 AND NOT EXISTS '
		'(SELECT FROM app_data.deletions d WHERE d.deleted_at OPERATOR(pg_catalog.=) %1$s.deleted_at AND d.purged_at IS NULL)', alias) ||
		CASE WHEN held THEN format(' AND NOT (%s)', appdb._held_condition(entity, alias)) ELSE '' END
$$;
COMMENT ON FUNCTION appdb._purge_condition(pg_catalog.regclass, pg_catalog.bool, pg_catalog.text) IS 'Internal: the condition that a row can be purged';

-- The foreign keys that refer to a table, with the condition that ties the
-- row r to the row c, and the column that has the id of c, if one has.
CREATE FUNCTION appdb._references(
	entity pg_catalog.regclass,
	OUT child pg_catalog.regclass, OUT condition pg_catalog.text, OUT id_column pg_catalog.name, OUT keeps pg_catalog.bool,
	OUT columns pg_catalog.name[], OUT to_columns pg_catalog.name[])
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 5
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.conrelid, string_agg(appdb._key_condition(f, u.n, 'r', 'c'), ' AND '),
		   min(a.attname::text) FILTER (WHERE p.attname = 'id'), f.confdeltype IN ('a', 'r'),
		   array_agg(a.attname), array_agg(p.attname)
	-- by what depends on the table: pg_constraint has no index by the table referred to
	FROM (SELECT DISTINCT d.objid FROM pg_depend d
		  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = entity AND d.classid = 'pg_constraint'::regclass) d
	JOIN pg_constraint f ON f.oid = d.objid
	CROSS JOIN LATERAL appdb._key_columns(f) u
	JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.child
	JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = u.parent
	WHERE f.confrelid = entity AND f.contype = 'f' AND f.conparentid = 0
	GROUP BY f.oid, f.conrelid, f.confdeltype
	ORDER BY f.oid
$$;
COMMENT ON FUNCTION appdb._references(pg_catalog.regclass) IS 'Internal: the foreign keys that refer to a table';

-- The condition that a row c can be purged, whatever goes with it, as far as
-- other tables have a say: nothing refers to it that keeps it, nor something on
-- hold that would forget it, or go with it.
CREATE FUNCTION appdb._purge_condition_of_others(entity pg_catalog.regclass, held pg_catalog.bool)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT appdb._purge_condition(entity, held) ||
		   COALESCE(string_agg(format(' AND NOT EXISTS (SELECT FROM %s r WHERE %s AND (%s))', o.child, o.reference, o.condition), ''), '')
	FROM (SELECT r.child, r.condition AS reference,
				 CASE WHEN r.keeps THEN 'true' WHEN held THEN appdb._held_condition(r.child, 'r') ELSE 'false' END AS condition
		  FROM appdb._references(entity) r WHERE r.child <> entity) o
	WHERE o.condition <> 'false'
$$;
COMMENT ON FUNCTION appdb._purge_condition_of_others(pg_catalog.regclass, pg_catalog.bool) IS 'Internal: the condition that a row can be purged, and that no other table''s rows keep it';

-- The statement that finds the rows of a stretch that can be purged, children
-- before parents where one table has both, for a stretch in which some cannot
-- go for what refers to those that would go with them.
CREATE FUNCTION appdb._purge_candidates(entity pg_catalog.regclass, part pg_catalog.regclass, held pg_catalog.bool)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('SELECT c.ctid AS place FROM ONLY %s c WHERE c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2 AND %s '
				  'ORDER BY c.id DESC FOR UPDATE OF c SKIP LOCKED', part, appdb._purge_condition_of_others(entity, held))
$$;
COMMENT ON FUNCTION appdb._purge_candidates(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.bool) IS 'Internal: the statement that finds what a purge can remove row by row';

-- The statement that purges a stretch of a table or partition: $1 and $2 are
-- its ends, $3 the time, $4 further rows to look at, with at most $5 rows that
-- these refer to.  It returns how many rows went, and which rows of the same
-- table they referred to.  What is referred to by a row that does not go at the
-- same time stays.
CREATE FUNCTION appdb._purge_statement(entity pg_catalog.regclass, part pg_catalog.regclass, held pg_catalog.bool)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purgeable text := appdb._purge_condition_of_others(entity, held);
	reference record;
	blocked text[] := '{}';
	upwards text[] := '{}';
	names name[] := '{id}';
	parents text[] := '{}';
BEGIN
	FOR reference IN SELECT * FROM appdb._references(entity) r WHERE r.keeps AND r.child = entity LOOP
		blocked := blocked || format('EXISTS (SELECT FROM %s r WHERE %s AND NOT (r.id OPERATOR(pg_catalog.=) ANY (SELECT x.id FROM candidate x)))',
									 entity, reference.condition);
		upwards := upwards || format('(%s)', reference.condition);
		names := names || reference.columns || reference.to_columns;
		IF reference.id_column IS NOT NULL THEN
			parents := parents || format('g.%I', reference.id_column);
		END IF;
	END LOOP;

	IF blocked = '{}' THEN
		RETURN format(
			'WITH candidate AS (SELECT c.ctid AS place FROM ONLY %1$s c '
			'WHERE c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2 AND %2$s FOR UPDATE OF c SKIP LOCKED), '
			'gone AS (DELETE FROM ONLY %1$s c USING candidate k WHERE c.ctid OPERATOR(pg_catalog.=) k.place RETURNING c.id) '
			'SELECT pg_catalog.count(*), NULL::pg_catalog.uuid[] FROM gone',
			part, purgeable);
	END IF;
	RETURN format(
		'WITH RECURSIVE near AS (SELECT c.ctid, %3$s FROM ONLY %1$s c '
		'WHERE c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2 AND %2$s FOR UPDATE OF c SKIP LOCKED), '
		'climb (id) AS (SELECT pg_catalog.unnest($4) UNION SELECT p.id FROM climb b JOIN %7$s g ON g.id OPERATOR(pg_catalog.=) b.id '
		'CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[%6$s]::pg_catalog.uuid[]) p (id) WHERE p.id IS NOT NULL), '
		'far AS (SELECT c.ctid, %3$s FROM ONLY %1$s c WHERE c.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.id FROM climb b LIMIT $5)) '
		'AND NOT (c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2) AND %2$s FOR UPDATE OF c SKIP LOCKED), '
		'candidate AS MATERIALIZED (SELECT * FROM near UNION ALL SELECT * FROM far), '
		'blocked AS (SELECT c.* FROM candidate c WHERE %4$s '
		'UNION SELECT c.* FROM blocked r JOIN candidate c ON %5$s), '
		'gone AS (DELETE FROM ONLY %1$s c USING candidate k '
		'WHERE c.ctid OPERATOR(pg_catalog.=) k.ctid AND NOT (k.id OPERATOR(pg_catalog.=) ANY (SELECT b.id FROM blocked b)) RETURNING c.*) '
		'SELECT (SELECT pg_catalog.count(*) FROM gone), ARRAY(SELECT DISTINCT p.id FROM gone g CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[%6$s]::pg_catalog.uuid[]) p (id) '
		'WHERE p.id IS NOT NULL AND NOT (p.id OPERATOR(pg_catalog.=) ANY (SELECT x.id FROM gone x)))',
		part, purgeable,
		(SELECT string_agg(DISTINCT format('c.%I', n), ', ') FROM unnest(names) n),
		array_to_string(blocked, ' OR '), array_to_string(upwards, ' OR '), array_to_string(parents, ', '), entity);
END
$$;
COMMENT ON FUNCTION appdb._purge_statement(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.bool) IS 'Internal: the statement that purges a stretch of a table';

-- Where a stretch begins that has about as many rows as a batch.
CREATE FUNCTION appdb._purge_first_page(part pg_catalog.regclass, end_page pg_catalog.int8, batch pg_catalog.int4)
	RETURNS pg_catalog.int8
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT GREATEST(end_page - GREATEST((batch / CASE WHEN c.reltuples > 0 AND c.relpages > 0
													  THEN GREATEST(c.reltuples / c.relpages, 1) ELSE 100 END)::bigint, 1), 0)
	FROM pg_class c WHERE c.oid = part
$$;
COMMENT ON FUNCTION appdb._purge_first_page(pg_catalog.regclass, pg_catalog.int8, pg_catalog.int4) IS 'Internal: where a stretch of a table begins';

-- What a superuser does as the owner of the tables is over before they are one
-- again, triggers and checks that are deferred as well.
CREATE FUNCTION appdb._defer_nothing() RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._calling_role() <> quote_ident(current_user)::regrole THEN
		SET CONSTRAINTS ALL IMMEDIATE;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._defer_nothing() IS 'Internal: has no trigger wait for the end of a superuser''s transaction';

-- Purges a stretch of a table that ends before a page; "statements" are those
-- without and with holds, made when they are needed; "rest" are rows that the
-- last stretch has left to look at again.  Returns how many rows went, and
-- where the next stretch ends (0: there is none).  No SET clause here, since
-- the table's triggers are to run with the settings of the caller.
CREATE FUNCTION appdb.__purge_stretch(
	entity pg_catalog.regclass, part pg_catalog.regclass, cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT statements pg_catalog.text[], INOUT end_page pg_catalog.int8, INOUT rest pg_catalog.uuid[], OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
AS $$
DECLARE
	first_page pg_catalog.int8 := end_page;
	looked_at pg_catalog.uuid[] := rest;
	candidate pg_catalog.record;
	done pg_catalog.bool := false;
	which pg_catalog.int4;
BEGIN
	-- what refers to a row is to be known before the commit; and see _defer_nothing()
	SET CONSTRAINTS ALL IMMEDIATE;
	-- a hold that is put from here on waits for the end of this transaction
	LOCK TABLE app_data.legal_holds IN SHARE MODE;
	-- the ways to what may be on hold can be many, each of them short
	PERFORM pg_catalog.set_config('jit', 'off', true);

	IF pg_catalog.cardinality(rest) OPERATOR(pg_catalog.<) batch THEN
		first_page := appdb._purge_first_page(part, end_page, batch);
	END IF;

	which := CASE WHEN EXISTS (SELECT FROM app_data.legal_holds) THEN 2 ELSE 1 END;
	IF statements[which] IS NULL THEN
		statements[which] := appdb._purge_statement(entity, part, which OPERATOR(pg_catalog.=) 2);
	END IF;
	FOR try IN 1..3 LOOP
		BEGIN
			EXECUTE statements[which]
			INTO purged, rest
			USING pg_catalog.format('(%s,0)', first_page)::pg_catalog.tid, pg_catalog.format('(%s,0)', end_page)::pg_catalog.tid, cutoff, looked_at, batch;
			done := true;
			EXIT;
		EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
			-- somebody has begun to refer to a row just now
			purged := 0;
			rest := '{}';
		END;
	END LOOP;
	-- or something refers to a row that would go with one of these: all others go
	IF NOT done THEN
		FOR candidate IN
			EXECUTE appdb._purge_candidates(entity, part, which OPERATOR(pg_catalog.=) 2)
			USING pg_catalog.format('(%s,0)', first_page)::pg_catalog.tid, pg_catalog.format('(%s,0)', end_page)::pg_catalog.tid, cutoff
		LOOP
			BEGIN
				EXECUTE pg_catalog.format('DELETE FROM ONLY %s c WHERE c.ctid OPERATOR(pg_catalog.=) $1', part) USING candidate.place;
				purged := purged OPERATOR(pg_catalog.+) 1;
			EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
				NULL;
			END;
		END LOOP;
	END IF;
	rest := COALESCE(rest, '{}');
	end_page := first_page;
END
$$;
COMMENT ON FUNCTION appdb.__purge_stretch(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.text[], pg_catalog.int8, pg_catalog.uuid[]) IS 'Internal: the work of appdb._purge_stretch()';
CREATE FUNCTION appdb._purge_stretch(
	entity pg_catalog.regclass, part pg_catalog.regclass, cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT statements pg_catalog.text[], INOUT end_page pg_catalog.int8, INOUT rest pg_catalog.uuid[], OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_stretch(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.text[], pg_catalog.int8, pg_catalog.uuid[]) IS 'Internal: purges one stretch of a table';

-- As purge() of 1.0 calls it: it may be running while the extension is updated.
CREATE FUNCTION appdb._purge_stretch(
	part pg_catalog.regclass, statements pg_catalog.text[], cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT end_page pg_catalog.int8, INOUT rest pg_catalog.uuid[], OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE sql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT s.end_page, s.rest, s.purged
	FROM appdb._purge_stretch(COALESCE(pg_partition_root(part), part)::regclass, part, cutoff, batch, statements, end_page, rest) s
$$;
COMMENT ON FUNCTION appdb._purge_stretch(pg_catalog.regclass, pg_catalog.text[], pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.int8, pg_catalog.uuid[]) IS 'Internal: the same for a purge that began in 1.0';

-- Rows that refer to each other in a circle, which no order of tables undoes:
-- all that refers to a row, directly or not, goes in one statement, if all of
-- it can.  Returns that statement and how many rows it removes, or nulls.
CREATE FUNCTION appdb._purge_circle(
	entity pg_catalog.regclass, id pg_catalog.uuid, cutoff pg_catalog.timestamptz,
	OUT statement pg_catalog.text, OUT rows pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET jit = off
AS $$
DECLARE
	held bool;
	tables regclass[] := ARRAY[entity];
	ids uuid[] := ARRAY[id];
	place int := 1;
	reference record;
	condition text;
	found_ids uuid[];
	stays bool;
	part record;
	locked bigint;
	sql text := '';
BEGIN
	held := EXISTS (SELECT FROM app_data.legal_holds);
	WHILE place <= cardinality(ids) LOOP
		FOR reference IN SELECT * FROM appdb._references(tables[place]) LOOP
			IF NOT reference.keeps THEN
				-- forgets the row, or goes with it, unless it must stay as it is
				CONTINUE WHEN NOT held;
				condition := appdb._held_condition(reference.child, 'r');
			ELSIF EXISTS (SELECT FROM appdb._managed_tables() m JOIN pg_attribute a ON a.attrelid = m.entity
						  WHERE m.entity = reference.child AND a.attname = 'deleted_at' AND NOT a.attisdropped)
			THEN
				condition := '(' || appdb._purge_condition(reference.child, held, 'r') || ') IS NOT TRUE';
			ELSE
				condition := 'true';
			END IF;
			EXECUTE format('SELECT %s, bool_or(%s) FROM %s c JOIN %s r ON %s WHERE c.id = $1',
						   CASE WHEN condition = 'true' OR NOT reference.keeps THEN 'NULL::uuid[]' ELSE 'array_agg(r.id)' END,
						   condition, tables[place], reference.child, reference.condition)
			INTO found_ids, stays USING ids[place], NULL::text, cutoff;
			IF stays THEN
				RETURN;
			END IF;
			CONTINUE WHEN NOT reference.keeps;
			found_ids := ARRAY(SELECT f.i FROM unnest(found_ids) f (i)
							   WHERE NOT EXISTS (SELECT FROM unnest(tables, ids) m (t, i) WHERE m.t = reference.child AND m.i = f.i));
			tables := tables || array_fill(reference.child, ARRAY[cardinality(found_ids)]);
			ids := ids || found_ids;
		END LOOP;
		place := place + 1;
	END LOOP;

	FOR part IN SELECT m.t, array_agg(m.i) AS ids FROM unnest(tables, ids) m (t, i) GROUP BY m.t LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT FROM %s c WHERE c.id = ANY ($1) AND %s FOR UPDATE OF c SKIP LOCKED) l',
					   part.t, appdb._purge_condition(part.t, held))
		INTO locked USING part.ids, NULL::text, cutoff;
		IF locked < cardinality(part.ids) THEN
			RETURN;
		END IF;
		sql := sql || CASE WHEN sql = '' THEN 'WITH ' ELSE ', ' END ||
			format('%I AS (DELETE FROM %s c WHERE c.id OPERATOR(pg_catalog.=) ANY (%L::pg_catalog.uuid[]))', 'd' || part.t::oid, part.t, part.ids);
	END LOOP;
	statement := sql || ' SELECT';
	rows := cardinality(ids);
END
$$;
COMMENT ON FUNCTION appdb._purge_circle(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.timestamptz) IS 'Internal: purges rows that refer to each other in a circle';

-- The next rows of a table, at most "batch", that may be in circles.  Returns
-- how many rows went, and the last that was looked at (null: there is none).
CREATE FUNCTION appdb.__purge_circles(
	entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT last_id pg_catalog.uuid, OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
AS $$
DECLARE
	id pg_catalog.uuid;
	after pg_catalog.uuid := last_id;
	circle pg_catalog.record;
BEGIN
	SET CONSTRAINTS ALL IMMEDIATE;
	LOCK TABLE app_data.legal_holds IN SHARE MODE;
	PERFORM pg_catalog.set_config('jit', 'off', true);
	purged := 0;
	last_id := NULL;
	FOR id IN EXECUTE pg_catalog.format(
		'SELECT c.id FROM %s c WHERE c.id OPERATOR(pg_catalog.>) $1 AND %s ORDER BY c.id LIMIT $2', entity,
		appdb._purge_condition(entity, EXISTS (SELECT FROM app_data.legal_holds)))
		USING after, batch, cutoff
	LOOP
		last_id := id;
		SELECT c.statement, c.rows INTO circle FROM appdb._purge_circle(entity, id, cutoff) c;
		CONTINUE WHEN circle.statement IS NULL;
		BEGIN
			EXECUTE circle.statement;
			purged := purged OPERATOR(pg_catalog.+) circle.rows;
		EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
			NULL;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.__purge_circles(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.uuid) IS 'Internal: the work of appdb._purge_circles()';
CREATE FUNCTION appdb._purge_circles(
	entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT last_id pg_catalog.uuid, OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_circles(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.uuid) IS 'Internal: purges rows that refer to each other in a circle';

-- Managed tables that the current role cannot maintain: it cannot read and
-- erase all rows, or cannot read all that may refer to them.  And which table
-- is in the way, and whose that is.
CREATE FUNCTION appdb.__out_of_reach(OUT entity pg_catalog.regclass, OUT obstacle pg_catalog.regclass, OUT belongs_to pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
	WITH m AS MATERIALIZED (SELECT t.entity::oid FROM appdb._managed_tables() t),
	o (entity, obstacle) AS (
		SELECT m.entity, m.entity FROM m
		UNION
		SELECT f.confrelid, f.conrelid FROM pg_constraint f
		WHERE f.contype = 'f' AND f.confrelid IN (SELECT m.entity FROM m) AND f.conparentid = 0
		  AND (f.confdeltype IN ('a', 'r') OR f.conrelid IN (SELECT m.entity FROM m)))
	SELECT o.entity::regclass, o.obstacle::regclass, pg_get_userbyid(c.relowner)
	FROM o JOIN pg_class c ON c.oid = o.obstacle
	WHERE NOT pg_has_role(c.relowner, 'USAGE')
	  AND (row_security_active(c.oid) OR NOT has_schema_privilege(c.relnamespace, 'USAGE') OR NOT has_table_privilege(c.oid, 'SELECT')
		   OR o.obstacle = o.entity AND NOT (has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')))
	ORDER BY o.entity::regclass::text, o.obstacle::regclass::text;
END
$$;
COMMENT ON FUNCTION appdb.__out_of_reach() IS 'Internal: the work of appdb._out_of_reach()';
CREATE FUNCTION appdb._out_of_reach(OUT entity pg_catalog.regclass, OUT obstacle pg_catalog.regclass, OUT belongs_to pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._out_of_reach() IS 'Internal: managed tables that the current role cannot maintain, and why';

-- Managed tables that soft-delete, children before parents; those that refer
-- to themselves, directly or by way of others; and whether there are others.
CREATE FUNCTION appdb.__purge_order(
	OUT entities pg_catalog.regclass[], OUT circular pg_catalog.regclass[], OUT by_others pg_catalog.bool)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	todo regclass[] := ARRAY(
		SELECT m.entity FROM appdb._managed_tables() m
		WHERE EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = m.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
		  AND m.entity NOT IN (SELECT r.entity FROM appdb._out_of_reach() r)
		ORDER BY m.entity::text);
	free regclass[];
	-- the foreign keys between them
	children oid[];
	parents oid[];
	-- of those that refuse, what is in circles or between such
	circle_children oid[];
	circle_parents oid[];
	n int;
BEGIN
	SELECT array_agg(c.conrelid) FILTER (WHERE c.conrelid <> c.confrelid), array_agg(c.confrelid) FILTER (WHERE c.conrelid <> c.confrelid),
		   array_agg(c.conrelid) FILTER (WHERE c.conrelid <> c.confrelid AND c.confdeltype IN ('a', 'r')),
		   array_agg(c.confrelid) FILTER (WHERE c.conrelid <> c.confrelid AND c.confdeltype IN ('a', 'r')),
		   array_agg(c.conrelid) FILTER (WHERE c.conrelid = c.confrelid AND c.confdeltype IN ('a', 'r'))
	INTO children, parents, circle_children, circle_parents, circular
	FROM pg_constraint c
	WHERE c.contype = 'f' AND c.conrelid IN (SELECT unnest(todo)) AND c.confrelid IN (SELECT unnest(todo));

	LOOP
		n := cardinality(circle_children);
		SELECT array_agg(f.c), array_agg(f.p) INTO circle_children, circle_parents
		FROM unnest(circle_children, circle_parents) f (c, p)
		WHERE f.c IN (SELECT unnest(circle_parents)) AND f.p IN (SELECT unnest(circle_children));
		EXIT WHEN cardinality(circle_children) IS NOT DISTINCT FROM n;
	END LOOP;
	WITH RECURSIVE reaches (child, ancestor) AS (
		SELECT f.c, f.p FROM unnest(circle_children, circle_parents) f (c, p)
		UNION
		SELECT a.child, f.p FROM reaches a JOIN unnest(circle_children, circle_parents) f (c, p) ON f.c = a.ancestor
	)
	SELECT COALESCE(array_agg(DISTINCT t), '{}'), bool_or(others)
	INTO circular, by_others
	FROM (SELECT unnest(circular) AS t, false AS others
		  UNION ALL SELECT r.child::regclass, true FROM reaches r WHERE r.child = r.ancestor) c;
	by_others := COALESCE(by_others, false);

	entities := '{}';
	WHILE cardinality(todo) > 0 LOOP
		SELECT array_agg(t ORDER BY t = ANY (circular) DESC, t::text) INTO free FROM unnest(todo) t
		WHERE t::oid NOT IN (SELECT unnest(parents));
		-- a circle is cut where rows go whatever refers to them, or else anywhere: what cannot go for a reference goes later
		IF free IS NULL THEN
			SELECT array_agg(t ORDER BY t = ANY (circular) DESC, t::text) INTO free FROM unnest(todo) t
			WHERE t::oid NOT IN (SELECT c.confrelid FROM pg_constraint c
								 WHERE c.contype = 'f' AND c.confdeltype IN ('a', 'r') AND c.confrelid <> c.conrelid AND c.conrelid IN (SELECT unnest(todo)));
		END IF;
		IF free IS NULL THEN
			free := ARRAY(SELECT t FROM unnest(todo) t ORDER BY t = ANY (circular) DESC, t::text LIMIT 1);
		END IF;
		entities := entities || free;
		todo := ARRAY(SELECT t FROM unnest(todo) t WHERE t::oid NOT IN (SELECT unnest(free)));
		SELECT array_agg(f.c), array_agg(f.p) INTO children, parents
		FROM unnest(children, parents) f (c, p) WHERE f.c NOT IN (SELECT unnest(free));
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.__purge_order() IS 'Internal: the work of appdb._purge_order()';
CREATE FUNCTION appdb._purge_order(
	OUT entities pg_catalog.regclass[], OUT circular pg_catalog.regclass[], OUT by_others pg_catalog.bool)
	RETURNS pg_catalog.record
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_order() IS 'Internal: managed tables, children before parents';

-- Are there operations to forget?
CREATE FUNCTION appdb.__purge_forgets(cutoff pg_catalog.timestamptz)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM app_data.deletions d WHERE d.deleted_at < cutoff AND d.purged_at IS NOT NULL)
		AND NOT EXISTS (SELECT FROM appdb._out_of_reach());
END
$$;
COMMENT ON FUNCTION appdb.__purge_forgets(pg_catalog.timestamptz) IS 'Internal: the work of appdb._purge_forgets()';
CREATE FUNCTION appdb._purge_forgets(cutoff pg_catalog.timestamptz)
	RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_forgets(pg_catalog.timestamptz) IS 'Internal: whether there are operations to forget';

-- Of which operations rows of a table are left, besides those that are known.
CREATE FUNCTION appdb.__purge_left(entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, known pg_catalog.timestamptz[])
	RETURNS pg_catalog.timestamptz[]
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	times timestamptz[];
BEGIN
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = entity AND (c.relkind <> 'r' OR pg_relation_size(c.oid) > 0)) THEN
		EXECUTE format('SELECT array_agg(DISTINCT c.deleted_at) FROM %s c WHERE c.deleted_at < $1 AND c.deleted_at <> ALL ($2)', entity)
		INTO times USING cutoff, known;
	END IF;
	RETURN COALESCE(times, '{}');
END
$$;
COMMENT ON FUNCTION appdb.__purge_left(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.timestamptz[]) IS 'Internal: the work of appdb._purge_left()';
CREATE FUNCTION appdb._purge_left(entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, known pg_catalog.timestamptz[])
	RETURNS pg_catalog.timestamptz[]
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_left(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.timestamptz[]) IS 'Internal: operations of which rows are left';

-- Forgets operations, except those of which rows are left.
CREATE FUNCTION appdb.__purge_notes(cutoff pg_catalog.timestamptz, left_of pg_catalog.timestamptz[])
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	-- with values, not parameters: thousands of them are hashed then
	EXECUTE 'DELETE FROM app_data.deletions d WHERE d.deleted_at < $1 AND d.purged_at IS NOT NULL AND d.deleted_at <> ALL ($2)'
	USING cutoff, left_of;
	DELETE FROM app_data.unlinked u
	WHERE u.deleted_at < cutoff AND NOT EXISTS (SELECT FROM app_data.deletions d WHERE d.deleted_at = u.deleted_at);
END
$$;
COMMENT ON FUNCTION appdb.__purge_notes(pg_catalog.timestamptz, pg_catalog.timestamptz[]) IS 'Internal: the work of appdb._purge_notes()';
-- purge() of 1.0, which may be running, does not say of which: none are forgotten then.
CREATE FUNCTION appdb._purge_notes(cutoff pg_catalog.timestamptz, left_of pg_catalog.timestamptz[] DEFAULT NULL)
	RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_notes(pg_catalog.timestamptz, pg_catalog.timestamptz[]) IS 'Internal: forgets operations of which nothing is left';

-- Waits for those who restore just now; from then on nobody brings back what
-- was deleted before.
-- The owner of the tables sees no rows of those whose row security is forced, and would do nothing, and say nothing.
CREATE FUNCTION appdb._see_all_rows()
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	forced regclass;
BEGIN
	SELECT c.oid INTO forced FROM pg_class c
	WHERE c.relnamespace = 'app_data'::regnamespace AND c.relforcerowsecurity AND row_security_active(c.oid) ORDER BY c.relname LIMIT 1;
	IF FOUND THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('row security hides rows of "%s" from role "%s"', forced, current_user),
			DETAIL = 'It is forced, also on the owner.',
			HINT = format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, or call this as a role with BYPASSRLS.', forced);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._see_all_rows() IS 'Internal: refuses maintenance to a role that would not see what there is to do';

CREATE FUNCTION appdb.__purge_begin(cutoff pg_catalog.timestamptz)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	-- in the order in which a restore takes them
	PERFORM FROM app_data.deletions d WHERE d.deleted_at < cutoff AND d.purged_at IS NULL ORDER BY d.deleted_at DESC, d.id FOR UPDATE;
	UPDATE app_data.deletions d SET purged_at = clock_timestamp() WHERE d.deleted_at < cutoff AND d.purged_at IS NULL;
END
$$;
COMMENT ON FUNCTION appdb.__purge_begin(pg_catalog.timestamptz) IS 'Internal: the work of appdb._purge_begin()';
CREATE FUNCTION appdb._purge_begin(cutoff pg_catalog.timestamptz)
	RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._purge_begin(pg_catalog.timestamptz) IS 'Internal: marks operations as being purged';

CREATE FUNCTION appdb._check_toplevel(procedure pg_catalog.text) RETURNS void
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'appdb__check_toplevel';
COMMENT ON FUNCTION appdb._check_toplevel(pg_catalog.text) IS 'Internal: an error in a transaction block, where a procedure cannot commit';

-- No SET clause: a procedure that commits cannot have one.  Everything is
-- qualified instead.
CREATE PROCEDURE appdb.purge(older_than pg_catalog.interval DEFAULT NULL, batch pg_catalog.int4 DEFAULT 1000)
	LANGUAGE plpgsql
AS $$
DECLARE
	cutoff pg_catalog.timestamptz;
	entities pg_catalog.regclass[];
	circular pg_catalog.regclass[];
	by_others pg_catalog.bool;
	entity pg_catalog.regclass;
	owner pg_catalog.name;
	me pg_catalog.name;
	part pg_catalog.regclass;
	statements pg_catalog.text[];
	page pg_catalog.int8;
	pages pg_catalog.int8;
	rest pg_catalog.uuid[];
	left_of pg_catalog.timestamptz[] := '{}';
	last_id pg_catalog.uuid;
	purged pg_catalog.int8;
	of_pass pg_catalog.int8;
	of_table pg_catalog.int8;
	total pg_catalog.int8 := 0;
	late pg_catalog.int8 := 0;
	whole pg_catalog.bool := true;
BEGIN
	IF batch IS NULL OR batch OPERATOR(pg_catalog.<) 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch must be at least 1',
			HINT = 'It is the number of rows that one transaction looks at.';
	END IF;
	older_than := COALESCE(older_than, appdb.retention());
	IF older_than OPERATOR(pg_catalog.<) '0'::pg_catalog.interval THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('cannot purge what was deleted within %s', older_than),
			HINT = 'older_than is an interval that is not negative, such as 30 days.';
	END IF;
	-- nothing is older
	cutoff := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) LEAST(older_than, '1000 years'::pg_catalog.interval);

	PERFORM appdb._check_toplevel('appdb.purge()'::pg_catalog.text);
	PERFORM appdb._see_all_rows();
	PERFORM appdb._purge_begin(cutoff);
	COMMIT;

	-- superusers work as the owner of the tables
	me := COALESCE((SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace n, pg_catalog.pg_roles r
					WHERE n.nspname OPERATOR(pg_catalog.=) 'app_data' AND r.rolname OPERATOR(pg_catalog.=) CURRENT_USER AND r.rolsuper), CURRENT_USER);
	FOR entity, part, owner IN SELECT r.entity, r.obstacle, r.belongs_to FROM appdb._out_of_reach() r LOOP
		RAISE WARNING USING
			MESSAGE = pg_catalog.format('table "%s" is not purged', entity),
			DETAIL = pg_catalog.format('Role "%s" has not the rights on all rows of table "%s", which belongs to role "%s".', me, part, owner),
			HINT = 'appdb.doctor() says how to put it right.';
	END LOOP;
	SELECT o.entities, o.circular, o.by_others INTO entities, circular, by_others FROM appdb._purge_order() o;
	LOOP
		of_pass := 0;
		FOREACH entity IN ARRAY entities LOOP
			CONTINUE WHEN NOT whole AND entity OPERATOR(pg_catalog.<>) ALL (circular);
			of_table := 0;
			FOR part IN
				SELECT t.relid FROM pg_catalog.pg_partition_tree(entity) t WHERE t.isleaf
				UNION SELECT entity WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(entity))
			LOOP
				pages := pg_catalog.pg_relation_size(part) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8;
				-- null: dropped meanwhile
				CONTINUE WHEN COALESCE(pages, 0) OPERATOR(pg_catalog.=) 0;
				statements := '{}';
				page := pages;
				rest := '{}';
				WHILE page OPERATOR(pg_catalog.>) 0 OR pg_catalog.cardinality(rest) OPERATOR(pg_catalog.>) 0 LOOP
					-- for who looks into pg_stat_activity
					PERFORM pg_catalog.set_config('application_name', pg_catalog.format('appdb.purge %s %s%% %s',
						pg_catalog.left(part::pg_catalog.text, 25), 100 OPERATOR(pg_catalog.-) 100 OPERATOR(pg_catalog.*) page OPERATOR(pg_catalog./) GREATEST(pages, 1),
						total OPERATOR(pg_catalog.+) of_pass OPERATOR(pg_catalog.+) of_table), true);
					SELECT s.purged, s.statements, s.end_page, s.rest INTO purged, statements, page, rest
					FROM appdb._purge_stretch(entity, part, cutoff, batch, statements, page, rest) s;
					of_table := of_table OPERATOR(pg_catalog.+) purged;
					COMMIT;
				END LOOP;
			END LOOP;
			of_pass := of_pass OPERATOR(pg_catalog.+) of_table;
			IF of_table OPERATOR(pg_catalog.>) 0 THEN
				RAISE NOTICE 'purged % rows of table "%"', of_table, entity;
			END IF;
		END LOOP;

		IF NOT whole THEN
			late := late OPERATOR(pg_catalog.+) of_pass;
		END IF;

		-- where tables refer to each other, rows go level by level; then circles
		IF of_pass OPERATOR(pg_catalog.=) 0 OR NOT by_others THEN
			FOREACH entity IN ARRAY circular LOOP
				last_id := '00000000-0000-0000-0000-000000000000';
				WHILE last_id IS NOT NULL LOOP
					SELECT c.last_id, c.purged INTO last_id, purged FROM appdb._purge_circles(entity, cutoff, batch, last_id) c;
					of_pass := of_pass OPERATOR(pg_catalog.+) purged;
					late := late OPERATOR(pg_catalog.+) purged;
					COMMIT;
				END LOOP;
			END LOOP;
		END IF;
		total := total OPERATOR(pg_catalog.+) of_pass;
		whole := of_pass OPERATOR(pg_catalog.=) 0 OR NOT by_others;
		IF whole THEN
			-- what the rows that went late referred to has waited for them
			EXIT WHEN late OPERATOR(pg_catalog.=) 0;
			late := 0;
		END IF;
	END LOOP;

	-- table by table: all at once would be locks on all of them
	IF appdb._purge_forgets(cutoff) THEN
		FOREACH entity IN ARRAY (SELECT o.entities FROM appdb._purge_order() o) LOOP
			left_of := left_of OPERATOR(pg_catalog.||) appdb._purge_left(entity, cutoff, left_of);
			COMMIT;
		END LOOP;
		PERFORM appdb._purge_notes(cutoff, left_of);
	END IF;
	COMMIT;
	RAISE NOTICE 'purged % rows in all, deleted before %', total, cutoff;
END
$$;
COMMENT ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) IS
'Removes deleted rows for good, children first, and commits after each batch: can be stopped at any time and called again.
older_than: only what was deleted longer ago than this (default: the setting appdb.retention); batch: rows that one transaction looks at.
Rows that others have locked, that something still refers to, or whose organization is under a legal hold stay. pg_stat_activity.application_name shows how far it is. CALL it outside of a transaction block, as the owner of the tables.';
REVOKE EXECUTE ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) FROM PUBLIC;

CREATE FUNCTION appdb._hold(organization_id pg_catalog.uuid, reason pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	IF organization_id IS NULL OR coalesce(reason, '') = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'a legal hold needs an organization and a reason';
	ELSIF NOT EXISTS (SELECT FROM app_data.organizations o WHERE o.id = _hold.organization_id) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'foreign_key_violation',
			MESSAGE = format('organization %s does not exist', organization_id);
	END IF;
	INSERT INTO app_data.legal_holds AS h (organization_id, reason) VALUES (_hold.organization_id, _hold.reason)
	ON CONFLICT ON CONSTRAINT legal_holds_pkey DO UPDATE SET reason = EXCLUDED.reason;
END
$$;
COMMENT ON FUNCTION appdb._hold(pg_catalog.uuid, pg_catalog.text) IS 'Internal: the work of appdb.hold()';
CREATE FUNCTION appdb.hold(organization_id pg_catalog.uuid, reason pg_catalog.text)
	RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) IS
'Puts a legal hold on an organization: none of its deleted rows, nor those of its spaces, are purged until appdb.release().
organization_id: the organization; reason: why. Calling it again changes the reason. Errors: 23503 no such organization.';
REVOKE EXECUTE ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb._release(organization_id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	DELETE FROM app_data.legal_holds h WHERE h.organization_id = _release.organization_id;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb._release(pg_catalog.uuid) IS 'Internal: the work of appdb.release()';
CREATE FUNCTION appdb.release(organization_id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb.release(pg_catalog.uuid) IS
'Ends the legal hold on an organization. Returns whether there was one.';
REVOKE EXECUTE ON FUNCTION appdb.release(pg_catalog.uuid) FROM PUBLIC;
