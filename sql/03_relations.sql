-- Relations: one list of them all, made from the foreign keys of managed
-- tables, and the functions that follow them.

-- A foreign key is known by its key column: the one that refers to the
-- parent's id.  The other columns of a tenant's key (space_id) are equal on
-- both sides.
CREATE FUNCTION appdb._relations(
	OUT "from" pg_catalog.name, OUT name pg_catalog.name, OUT kind pg_catalog.text, OUT "to" pg_catalog.name,
	OUT columns pg_catalog.name[], OUT to_columns pg_catalog.name[],
	OUT through pg_catalog.name, OUT through_columns pg_catalog.name[], OUT through_to_columns pg_catalog.name[],
	OUT on_delete pg_catalog.text, OUT constraint_name pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 200
	SET search_path = pg_catalog, pg_temp
	-- of what is joined here the planner expects one row: with thousands of foreign keys each would be compared with each
	SET enable_nestloop = off
	SET jit = off
AS $$
WITH m AS MATERIALIZED (
	SELECT * FROM appdb._managed_tables()
), key AS MATERIALIZED (
	-- one row a foreign key between managed tables
	SELECT DISTINCT ON (c.conrelid, c.confrelid, k.attnum)
		   c.oid, c.conname, c.conrelid, c.confrelid, c.confdeltype, k.attnum,
		   k.attname, child.view AS child, parent.view AS parent,
		   child.relations -> k.attname::text AS options,
		   cols.columns, cols.to_columns, cols.attnums,
		   EXISTS (SELECT FROM pg_attribute d
				   WHERE d.attrelid = c.conrelid AND d.attname = 'deleted_at' AND NOT d.attisdropped) AS soft_child
	FROM pg_constraint c
	JOIN m child ON child.entity = c.conrelid
	JOIN m parent ON parent.entity = c.confrelid
	CROSS JOIN LATERAL (
		SELECT array_agg(a.attname ORDER BY u.n) AS columns,
			   array_agg(f.attname ORDER BY u.n) AS to_columns,
			   array_agg(a.attnum ORDER BY u.n) AS attnums
		FROM appdb._key_columns(c) u
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.child
		JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = u.parent) cols
	JOIN pg_attribute k ON k.attrelid = c.conrelid
		AND k.attname = cols.columns[COALESCE(array_position(cols.to_columns, 'id'), cardinality(cols.columns))]
	WHERE c.contype = 'f' AND c.conparentid = 0
	ORDER BY c.conrelid, c.confrelid, k.attnum, cardinality(c.conkey) DESC, c.conname
), one AS (
	SELECT key.*,
		   COALESCE(options ->> 'name', NULLIF(regexp_replace(attname::text, '_id$', ''), ''), attname::text) AS one_name,
		   row_number() OVER (PARTITION BY conrelid, confrelid ORDER BY attnum) AS n
	FROM key
), direct AS (
	SELECT one.*,
		   COALESCE(options ->> 'inverse',
					CASE WHEN conrelid = confrelid AND one_name = 'parent' THEN 'children'
						 WHEN conrelid = confrelid OR n > 1 THEN child || '_by_' || one_name
						 ELSE child::text END) AS many_name
	FROM one
), pair AS (
	-- a join table: a unique index on just the keys of two foreign keys
	SELECT DISTINCT ON (a.oid, b.oid) a.oid AS a_oid, b.oid AS b_oid, a.parent AS "from", b.parent AS "to", a.child AS through,
		   a.columns AS a_columns, a.to_columns AS a_to, b.columns AS b_columns, b.to_columns AS b_to,
		   a.conname, a.confrelid = b.confrelid AS self, b.one_name AS b_name, b.options AS b_options
	FROM pg_index i
	JOIN direct a ON a.conrelid = i.indrelid
	JOIN direct b ON b.conrelid = i.indrelid AND b.attnum <> a.attnum
	WHERE i.indisunique AND i.indexprs IS NULL
	  AND ARRAY[a.attnum, b.attnum] <@ (i.indkey::int2[])[0:i.indnkeyatts - 1]
	  AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ (a.attnums || b.attnums)
	ORDER BY a.oid, b.oid
), many_through AS (
	SELECT pair.*,
		   COALESCE(b_options ->> 'through',
					CASE WHEN self THEN "to" || '_by_' || b_name
						 WHEN EXISTS (SELECT FROM direct d WHERE d.parent = pair."from" AND d.many_name = pair."to")
						   OR EXISTS (SELECT FROM pair p WHERE p."from" = pair."from" AND p."to" = pair."to"
									  AND (p.through, p.b_name) < (pair.through, pair.b_name))
						 THEN "to" || '_through_' || through
						 ELSE "to"::text END) AS through_name
	FROM pair
)
SELECT child, one_name::name, 'one', parent, columns, to_columns, NULL::name, NULL::name[], NULL::name[],
	   COALESCE(options ->> 'on_delete',
				CASE WHEN confdeltype = 'n' THEN 'set null'
					 WHEN confdeltype = 'r' THEN 'restrict'
					 WHEN NOT soft_child THEN 'purge'
					 ELSE 'cascade' END), conname
FROM direct
UNION ALL
SELECT parent, many_name::name, 'many', child, to_columns, columns, NULL, NULL, NULL, NULL, conname
FROM direct
UNION ALL
SELECT "from", through_name::name, 'many-through', "to", a_to, b_to, through, a_columns, b_columns, NULL, conname
FROM many_through
$$;
COMMENT ON FUNCTION appdb._relations() IS 'Internal: the relations between managed tables, from their foreign keys';

-- What a domain is over, by way of other domains; any other type itself.
CREATE FUNCTION appdb._base_type(type pg_catalog.oid)
	RETURNS pg_catalog.oid
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH RECURSIVE t (oid) AS (
		SELECT type
		UNION ALL
		SELECT d.typbasetype FROM t JOIN pg_type d ON d.oid = t.oid WHERE d.typtype = 'd'
	)
	SELECT t.oid FROM t JOIN pg_type b ON b.oid = t.oid WHERE b.typtype <> 'd'
$$;
COMMENT ON FUNCTION appdb._base_type(pg_catalog.oid) IS 'Internal: the type that a domain is made of';

-- The condition "left = right" on a column of a foreign key, by the equality that
-- the type of what is referred to came with.
CREATE FUNCTION appdb._equality(left_side pg_catalog.text, right_side pg_catalog.text,
								child pg_catalog.name, child_column pg_catalog.name, parent pg_catalog.name, parent_column pg_catalog.name)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	c pg_attribute;
	p pg_attribute;
BEGIN
	SELECT a.* INTO c FROM pg_attribute a WHERE a.attrelid = to_regclass(format('appdb.%I', child)) AND a.attname = child_column;
	SELECT a.* INTO p FROM pg_attribute a WHERE a.attrelid = to_regclass(format('appdb.%I', parent)) AND a.attname = parent_column;
	RETURN format('%s %s %s%s', left_side, COALESCE((
		SELECT format('OPERATOR(%I.%s)', s.nspname, o.oprname)
		FROM pg_opclass k
		JOIN pg_amop f ON f.amopfamily = k.opcfamily AND f.amoplefttype = k.opcintype AND f.amoprighttype = k.opcintype AND f.amopstrategy = 3
		JOIN pg_operator o ON o.oid = f.amopopr
		JOIN pg_namespace s ON s.oid = o.oprnamespace
		WHERE k.opcmethod = (SELECT m.oid FROM pg_am m WHERE m.amname = 'btree') AND k.opcdefault AND k.opcintype = appdb._base_type(p.atttypid)), 'OPERATOR(pg_catalog.=)'), right_side, appdb._key_collation(p.attcollation, c.attcollation));
END
$$;
COMMENT ON FUNCTION appdb._equality(pg_catalog.text, pg_catalog.text, pg_catalog.name, pg_catalog.name, pg_catalog.name, pg_catalog.name) IS
	'Internal: how a relation function compares a column';

-- The body of a relation function; the marker at its start tells the engine's
-- functions from those of the application.
CREATE FUNCTION appdb._relation_body(rel pg_catalog.record)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN '/* appdb relation */ ' || CASE WHEN rel.through IS NULL THEN
		format('SELECT t.* FROM appdb.%I t WHERE %s', rel."to",
			   (SELECT string_agg(CASE rel.kind
					WHEN 'one' THEN appdb._equality(format('t.%I', u.theirs), format('($1).%I', u.mine), rel."from", u.mine, rel."to", u.theirs)
					ELSE appdb._equality(format('t.%I', u.theirs), format('($1).%I', u.mine), rel."to", u.theirs, rel."from", u.mine) END,
					' AND ' ORDER BY u.theirs <> 'id', u.n)
				FROM unnest(rel.columns, rel.to_columns) WITH ORDINALITY u (mine, theirs, n)))
	ELSE
		format('SELECT t.* FROM appdb.%I j JOIN appdb.%I t ON %s WHERE %s', rel.through, rel."to",
			   (SELECT string_agg(appdb._equality(format('t.%I', u.theirs), format('j.%I', u.through), rel.through, u.through, rel."to", u.theirs),
								  ' AND ' ORDER BY u.theirs <> 'id', u.n)
				FROM unnest(rel.to_columns, rel.through_to_columns) WITH ORDINALITY u (theirs, through, n)),
			   (SELECT string_agg(appdb._equality(format('j.%I', u.through), format('($1).%I', u.mine), rel.through, u.through, rel."from", u.mine),
								  ' AND ' ORDER BY u.mine <> 'id', u.n)
				FROM unnest(rel.columns, rel.through_columns) WITH ORDINALITY u (mine, through, n)))
	END;
END
$$;
COMMENT ON FUNCTION appdb._relation_body(pg_catalog.record) IS 'Internal: the body of a relation function';

-- Makes the relation functions of one table, both directions, or of all (null),
-- and drops those that no foreign key stands for any more.
CREATE FUNCTION appdb._sync_relations(entity pg_catalog.regclass, old_view pg_catalog.name DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this name;					-- null: all
	relations jsonb;			-- this view's
	n int8;
	rel record;
	fn record;
	signature text;
	body text;
BEGIN
	SELECT COALESCE(old_view, m.view) INTO this
	FROM (SELECT) x LEFT JOIN appdb._managed_tables() m ON m.entity = _sync_relations.entity;

	-- all of them are read once
	SELECT jsonb_agg(to_jsonb(x)) FILTER (WHERE entity IS NULL OR this IN (x."from", x."to", x.through)), max(x.n) INTO relations, n
	FROM (SELECT r.*, count(*) OVER (PARTITION BY r."from", r.name) AS n FROM appdb._relations() r) x;
	IF n > 1 THEN
		SELECT x."from", x.name, string_agg(x.constraint_name, ', ') AS constraints INTO rel
		FROM appdb._relations() x GROUP BY x."from", x.name HAVING count(*) > 1 LIMIT 1;
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('live view "%s" would have two relations "%s"', rel."from", rel.name),
			DETAIL = format('They come from the foreign keys %s.', rel.constraints),
			HINT = 'Give one of them another name with the relations argument of appdb.manage().';
	END IF;

	-- those of this view that are no relation any more, or another one
	FOR fn IN
		WITH wanted AS MATERIALIZED (
			SELECT x."from", x.name, x."to", appdb._relation_body(x) AS body,
				   CASE x.kind WHEN 'one' THEN 1 ELSE 1000 END AS rows
			FROM jsonb_to_recordset(relations) x ("from" name, name name, kind text, "to" name, columns name[], to_columns name[],
												  through name, through_columns name[], through_to_columns name[]))
		SELECT p.oid::regprocedure AS signature
		FROM pg_proc p
		JOIN pg_type a ON a.oid = p.proargtypes[0]
		JOIN pg_class f ON f.oid = a.typrelid
		JOIN pg_type r ON r.oid = p.prorettype
		JOIN pg_class t ON t.oid = r.typrelid
		WHERE p.pronamespace = 'appdb'::regnamespace AND p.pronargs = 1
		  AND starts_with(p.prosrc, '/* appdb relation */')
		  AND (entity IS NULL OR this IN (f.relname, t.relname) OR strpos(p.prosrc, format(' FROM appdb.%I j ', this)) > 0)
		  AND NOT EXISTS (
			SELECT FROM wanted w
			WHERE w."from" = f.relname AND w.name = p.proname AND w."to" = t.relname
			  AND w.body = p.prosrc AND w.rows = p.prorows)
	LOOP
		EXECUTE format('DROP FUNCTION %s', fn.signature);
	END LOOP;

	FOR rel IN
		SELECT * FROM jsonb_to_recordset(relations) x ("from" name, name name, kind text, "to" name, columns name[], to_columns name[],
													   through name, through_columns name[], through_to_columns name[], constraint_name name)
		WHERE to_regclass(format('appdb.%I', x."from")) IS NOT NULL
		  AND to_regclass(format('appdb.%I', x."to")) IS NOT NULL
		  AND (x.through IS NULL OR to_regclass(format('appdb.%I', x.through)) IS NOT NULL)
		ORDER BY x."from", x.name
	LOOP
		signature := format('appdb.%I(appdb.%I)', rel.name, rel."from");
		body := appdb._relation_body(rel);
		SELECT p.prosrc INTO fn FROM pg_proc p WHERE p.oid = to_regprocedure(signature);
		IF FOUND AND fn.prosrc = body THEN
			CONTINUE;
		ELSIF FOUND AND starts_with(fn.prosrc, '/* appdb relation */') THEN
			-- through a view that has another name now
			EXECUTE format('DROP FUNCTION %s', signature);
		ELSIF FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_function',
				MESSAGE = format('function %s exists already', signature),
				DETAIL = format('Relation "%s" of "%s" (foreign key "%s") would have this name.', rel.name, rel."from", rel.constraint_name),
				HINT = 'Give the relation another name with the relations argument of appdb.manage().';
		END IF;
		IF EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = to_regclass(format('appdb.%I', rel."from"))
						AND a.attname = rel.name AND NOT a.attisdropped) THEN
			RAISE WARNING USING
				MESSAGE = format('relation "%s" of "%s" has the name of a column, which wins in "%s.%s"',
								 rel.name, rel."from", rel."from", rel.name),
				HINT = 'Give the relation another name with the relations argument of appdb.manage().';
		END IF;
		EXECUTE format('CREATE FUNCTION %s RETURNS SETOF appdb.%I LANGUAGE sql STABLE PARALLEL SAFE ROWS %s AS %L',
					   signature, rel."to", CASE rel.kind WHEN 'one' THEN 1 ELSE 1000 END, body);
		-- where the defaults for what the owner makes were altered
		IF NOT has_function_privilege('public', signature, 'EXECUTE') THEN
			EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', signature);
		END IF;
		EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature,
			CASE rel.kind
				WHEN 'one' THEN format('The live row of appdb.%I that %s refers to (to-one)', rel."to", array_to_string(rel.columns, ', '))
				WHEN 'many' THEN format('The live rows of appdb.%I that refer to this one by %s (to-many)', rel."to", array_to_string(rel.to_columns, ', '))
				ELSE format('The live rows of appdb.%I related through appdb.%I (many-to-many)', rel."to", rel.through)
			END);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_relations(pg_catalog.regclass, pg_catalog.name) IS 'Internal: makes the relation functions of a managed table and drops outdated ones';
REVOKE EXECUTE ON FUNCTION appdb._sync_relations(pg_catalog.regclass, pg_catalog.name) FROM PUBLIC;

CREATE VIEW appdb.relations WITH (security_invoker = true) AS
	SELECT r."from", r.name, r.kind, r."to", r.columns, r.to_columns,
		   r.through, r.through_columns, r.through_to_columns, r.on_delete,
		   pg_catalog.to_regprocedure(pg_catalog.format('appdb.%I(appdb.%I)', r.name, r."from")) AS function
	FROM appdb._relations() r;
COMMENT ON VIEW appdb.relations IS 'Every relation between managed tables, both directions: the one place that defines them all';
COMMENT ON COLUMN appdb.relations."from" IS 'Live view (in schema appdb) that the relation starts from';
COMMENT ON COLUMN appdb.relations.name IS 'Name of the relation, and of its function';
COMMENT ON COLUMN appdb.relations.kind IS 'one, many or many-through';
COMMENT ON COLUMN appdb.relations."to" IS 'Live view that the relation leads to';
COMMENT ON COLUMN appdb.relations.columns IS 'Columns of "from" that take part';
COMMENT ON COLUMN appdb.relations.to_columns IS 'Columns of "to" that take part, in the same order (many-through: those that the join table refers to)';
COMMENT ON COLUMN appdb.relations.through IS 'The join table''s live view, for many-through';
COMMENT ON COLUMN appdb.relations.through_columns IS 'Columns of the join table that refer to "from"';
COMMENT ON COLUMN appdb.relations.through_to_columns IS 'Columns of the join table that refer to "to"';
COMMENT ON COLUMN appdb.relations.on_delete IS 'What a soft delete of "to" does to the rows of "from" (kind one): cascade, purge, set null, restrict';
COMMENT ON COLUMN appdb.relations.function IS 'The relation function; null where it has not been made';
GRANT SELECT ON appdb.relations TO PUBLIC;

-- PostGraphile takes functions for relations only where their names begin with
-- the table's; and it knows keys of views by "smart tags".
CREATE FUNCTION appdb.postgraphile_tags()
	RETURNS pg_catalog.json
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH r AS MATERIALIZED (
		SELECT r.*, (SELECT string_agg(CASE WHEN w.n = 1 THEN w.word ELSE upper(left(w.word, 1)) || substr(w.word, 2) END, '' ORDER BY w.n)
					 FROM string_to_table(r.name::text, '_') WITH ORDINALITY w (word, n)) AS camel
		FROM appdb._relations() r
	)
	SELECT json_build_object('version', 1, 'config', json_build_object('class', json_object_agg('appdb.' || e.name, json_build_object('tags', json_build_object(
		'primaryKey', 'id',
		'unique', COALESCE((
			SELECT json_agg(DISTINCT array_to_string(one.to_columns, ',') || '|@omit|@behavior -single -update -delete')
			FROM r one WHERE one.kind = 'one' AND one."to" = e.name AND one.to_columns <> '{id}'), '[]'),
		'foreignKey', COALESCE((
			SELECT json_agg(format('(%s) references appdb.%s (%s)|@fieldName %s%s', array_to_string(one.columns, ', '), one."to", array_to_string(one.to_columns, ', '),
								   one.camel, '|@foreignFieldName ' || many.camel) ORDER BY one.name)
			FROM r one
			LEFT JOIN r many ON many.kind = 'many' AND many.constraint_name = one.constraint_name
				AND many."from" = one."to" AND many."to" = one."from" AND many.columns = one.to_columns AND many.to_columns = one.columns
			WHERE one.kind = 'one' AND one."from" = e.name), '[]'))) ORDER BY e.name),
		'procedure', (SELECT json_object_agg('appdb.' || f.name, json_build_object('tags', json_build_object(
			'name', f.name || '_of', 'omit', true, 'behavior', '-*')) ORDER BY f.name) FROM (SELECT DISTINCT r.name FROM r) f)))
	FROM (SELECT m.view AS name FROM appdb._managed_tables() m) e
$$;
COMMENT ON FUNCTION appdb.postgraphile_tags() IS
	'The keys and relations of the live views for PostGraphile: the contents of its file postgraphile.tags.json5';
