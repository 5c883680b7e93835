-- find(): a whole tree of rows in one call, and what says what can be asked.

-- What find.c knows entities by: their columns, in order.
CREATE FUNCTION appdb._find_columns(
	OUT view pg_catalog.name, OUT view_oid pg_catalog.oid, OUT table_oid pg_catalog.oid, OUT soft_delete pg_catalog.bool,
	OUT name pg_catalog.name, OUT type pg_catalog.oid, OUT not_null pg_catalog.bool)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 300
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, m.live_view::oid, m.entity::oid, m.soft_delete, a.attname, a.atttypid,
		   -- 18 says so of columns, too, whose constraint is not valid
		   COALESCE(b.attnotnull, false) AND NOT EXISTS (
			SELECT FROM pg_constraint n
			WHERE n.conrelid = m.entity AND n.contype = 'n' AND n.conkey[1] = b.attnum AND NOT n.convalidated)
	FROM appdb.managed m
	JOIN pg_attribute a ON a.attrelid = m.live_view AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attribute b ON b.attrelid = m.entity AND b.attname = a.attname AND NOT b.attisdropped
	ORDER BY m.name, a.attnum
$$;
COMMENT ON FUNCTION appdb._find_columns() IS 'Internal: live views and their columns, for appdb.find()';

-- The application's functions of a row: of one argument, a row of the live
-- view, in schema appdb, where nobody else may create any.
CREATE FUNCTION appdb._find_extras(OUT view pg_catalog.name, OUT name pg_catalog.name, OUT type pg_catalog.oid)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, p.proname, p.prorettype
	FROM appdb.managed m
	JOIN pg_class v ON v.oid = m.live_view
	JOIN pg_proc p ON p.pronamespace = 'appdb'::regnamespace AND p.pronargs = 1 AND p.proargtypes[0] = v.reltype
	WHERE NOT p.proretset AND p.prokind = 'f'
	ORDER BY m.name, p.proname
$$;
COMMENT ON FUNCTION appdb._find_extras() IS 'Internal: functions of a live view''s row, for appdb.find()';

CREATE FUNCTION appdb._cursor(ordering pg_catalog.int8, VARIADIC "values" "any") RETURNS pg_catalog.text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__cursor';
COMMENT ON FUNCTION appdb._cursor(pg_catalog.int8, "any") IS 'Internal: the opaque cursor of a row, for appdb.find()';

-- Dear enough that it waits for ORDER BY and LIMIT to choose the rows.
CREATE FUNCTION appdb._row(keys pg_catalog.text[], VARIADIC "values" "any") RETURNS pg_catalog.json
	LANGUAGE c STABLE PARALLEL SAFE COST 20
	AS 'MODULE_PATHNAME', 'appdb__row';
COMMENT ON FUNCTION appdb._row(pg_catalog.text[], "any") IS 'Internal: a JSON object of keys and values, for appdb.find()';

CREATE FUNCTION appdb._rows_add(pg_catalog.internal, pg_catalog.json) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__rows_add';
COMMENT ON FUNCTION appdb._rows_add(pg_catalog.internal, pg_catalog.json) IS 'Internal: transition function of appdb._rows()';

CREATE FUNCTION appdb._rows_end(pg_catalog.internal) RETURNS pg_catalog.json
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__rows_end';
COMMENT ON FUNCTION appdb._rows_end(pg_catalog.internal) IS 'Internal: final function of appdb._rows()';

CREATE AGGREGATE appdb._rows(pg_catalog.json) (
	SFUNC = appdb._rows_add, STYPE = pg_catalog.internal,
	FINALFUNC = appdb._rows_end, FINALFUNC_MODIFY = READ_WRITE, PARALLEL = SAFE);
COMMENT ON AGGREGATE appdb._rows(pg_catalog.json) IS 'Internal: a JSON array of rows, [] of none, for appdb.find()';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}') RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.json) IS
'Rows of a live view with what they are related to, as a JSON array, by one SQL statement and with the caller''s rights.
entity: the live view; query: {"columns", "with", "where", "orderBy", "limit", "offset", "count", "cursor", "after", "before", "distinct", "extras", "deleted", "case", "numbers"}, see docs/find.md.';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query_text pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_text';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.text) IS
	'appdb.find() for a query given as text: what literals and parameters without a type are taken for';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query_jsonb pg_catalog.jsonb) RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_jsonb';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.jsonb) IS
	'appdb.find() of jsonb, and with a result of jsonb; dearer than json, and objects have no order of keys';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}') RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.json) IS
	'The first row that appdb.find() would return, as a JSON object, or null';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query_text pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one_text';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.text) IS
	'appdb.find_one() for a query given as text: what literals and parameters without a type are taken for';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query_jsonb pg_catalog.jsonb) RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one_jsonb';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.jsonb) IS
	'appdb.find_one() of jsonb, and with a result of jsonb';

CREATE FUNCTION appdb.explain_find(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}', "analyze" pg_catalog.bool DEFAULT false)
	RETURNS SETOF pg_catalog.text
	LANGUAGE c VOLATILE ROWS 50
	AS 'MODULE_PATHNAME', 'appdb_explain_find';
COMMENT ON FUNCTION appdb.explain_find(pg_catalog.text, pg_catalog.json, pg_catalog.bool) IS
	'The SQL statement that appdb.find() makes of a query, its parameters, and its plan; "analyze" runs it';

CREATE FUNCTION appdb.find_stats(
	OUT shapes pg_catalog.int8, OUT memory pg_catalog.int8, OUT memory_limit pg_catalog.int8, OUT hits pg_catalog.int8, OUT misses pg_catalog.int8,
	OUT evictions pg_catalog.int8, OUT invalidations pg_catalog.int8)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_find_stats';
COMMENT ON FUNCTION appdb.find_stats() IS
	'What this session''s cache of appdb.find() holds (query shapes, their bytes) and has done: hits, misses, shapes dropped for room, and since tables changed';

-- == What can be asked ======================================================

CREATE VIEW appdb.entities WITH (security_invoker = true) AS
	SELECT m.name, m.entity, m.label, m.soft_delete,
		   ARRAY(SELECT r.name FROM appdb._relations() r
				 WHERE r."from" OPERATOR(pg_catalog.=) m.name ORDER BY r.name) AS relations,
		   pg_catalog.obj_description(m.live_view, 'pg_class') AS comment
	FROM appdb.managed m WHERE m.live_view IS NOT NULL;
COMMENT ON VIEW appdb.entities IS 'What appdb.find() can be asked for';
COMMENT ON COLUMN appdb.entities.name IS 'The live view: the entity argument of appdb.find()';
COMMENT ON COLUMN appdb.entities.entity IS 'Its base table';
COMMENT ON COLUMN appdb.entities.label IS 'The column that names a row to people';
COMMENT ON COLUMN appdb.entities.soft_delete IS 'Whether deleted rows are kept: "deleted": "only" and "include" show them';
COMMENT ON COLUMN appdb.entities.relations IS 'The relations that "with" can follow';
COMMENT ON COLUMN appdb.entities.comment IS 'What its rows are';
GRANT SELECT ON appdb.entities TO PUBLIC;

CREATE FUNCTION appdb.describe(entity pg_catalog.text,
	OUT kind pg_catalog.text, OUT name pg_catalog.name, OUT type pg_catalog.text, OUT "to" pg_catalog.name,
	OUT nullable pg_catalog.bool, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 30
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF entity IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'entity must not be null';
	ELSIF NOT EXISTS (SELECT FROM appdb._find_columns() c WHERE c.view = describe.entity) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('unknown entity "%s"', entity),
			DETAIL = format('Entities: %s.', (SELECT string_agg(DISTINCT c.view::text, ', ') FROM appdb._find_columns() c));
	END IF;
	RETURN QUERY
		SELECT 'column', c.name, format_type(a.atttypid, a.atttypmod), NULL::name, NOT c.not_null, col_description(c.view_oid, a.attnum)
		FROM appdb._find_columns() c JOIN pg_attribute a ON a.attrelid = c.view_oid AND a.attname = c.name
		WHERE c.view = describe.entity ORDER BY a.attnum;
	RETURN QUERY
		SELECT r.kind, r.name, NULL::text, r."to",
			   CASE r.kind WHEN 'one' THEN (SELECT bool_or(NOT c.not_null) FROM appdb._find_columns() c
											WHERE c.view = r."from" AND c.name = ANY (r.columns)) END,
			   obj_description(to_regprocedure(format('appdb.%I(appdb.%I)', r.name, r."from")), 'pg_proc')
		FROM appdb._relations() r WHERE r."from" = describe.entity
		ORDER BY array_position(ARRAY['one', 'many', 'many-through'], r.kind), r.name;
	RETURN QUERY
		SELECT 'function', e.name, format_type(e.type, NULL), NULL::name, true,
			   obj_description(to_regprocedure(format('appdb.%I(appdb.%I)', e.name, e.view)), 'pg_proc')
		FROM appdb._find_extras() e WHERE e.view = describe.entity ORDER BY e.name;
END
$$;
COMMENT ON FUNCTION appdb.describe(pg_catalog.text) IS
'What appdb.find() can be asked about an entity: its columns, its relations (one, many, many-through) and functions of its rows';

-- A reference to a part of the schema: a JSON pointer in the fragment of a URI,
-- where names can have whatever they like.
CREATE FUNCTION appdb._find_ref(view pg_catalog.text, part pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '#/$defs/' || string_agg(
			   CASE WHEN c.c ~ '[A-Za-z0-9_.-]' THEN c.c
					ELSE upper(regexp_replace(encode(convert_to(replace(replace(c.c, '~', '~0'), '/', '~1'), 'UTF8'), 'hex'), '..', E'%\\&', 'g')) END,
			   '' ORDER BY c.n) || '.' || part
	FROM string_to_table(view, NULL) WITH ORDINALITY c (c, n)
$$;
COMMENT ON FUNCTION appdb._find_ref(pg_catalog.text, pg_catalog.text) IS 'Internal: a $ref in the schema of appdb.find()';

CREATE FUNCTION appdb.find_schema(entity pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	defs jsonb;
BEGIN
	-- it says what is there
	PERFORM FROM appdb.describe(entity);

	WITH col AS MATERIALIZED (
		SELECT c.view, c.name, c.type, t.typcategory,
			   CASE WHEN t.typcategory = 'N' THEN '["number", "string", "null"]'
					WHEN t.typcategory = 'B' THEN '["boolean", "null"]'
					ELSE '["string", "null"]' END::jsonb AS scalar,
			   CASE WHEN t.typcategory = 'A' THEN 'array'
					WHEN t.oid = 'json'::regtype THEN 'json'
					WHEN t.oid = 'jsonb'::regtype THEN 'jsonb'
					WHEN t.typcategory = 'S' THEN 'text'
					WHEN t.typcategory = 'N' THEN 'number'
					WHEN t.typcategory = 'B' THEN 'boolean'
					ELSE 'other' END AS filter
		FROM appdb._find_columns() c JOIN pg_type t ON t.oid = appdb._base_type(c.type)
	), rel AS MATERIALIZED (
		SELECT * FROM appdb._relations()
	), e AS MATERIALIZED (
		SELECT c.view, array_agg(c.name::text ORDER BY c.name) AS columns,
			   bool_or(c.soft_delete) AS soft_delete,
			   ARRAY(SELECT x.name::text FROM appdb._find_extras() x WHERE x.view = c.view ORDER BY x.name) AS extras
		FROM appdb._find_columns() c GROUP BY c.view
	), parts AS (
		SELECT e.view || '.columns' AS key,
			   jsonb_build_object('anyOf', jsonb_build_array(
				   jsonb_build_object('type', 'array', 'items', jsonb_build_object('enum', to_jsonb(e.columns))),
				   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
					   (SELECT jsonb_object_agg(n, '{"type": "boolean"}'::jsonb) FROM unnest(e.columns) n)))) AS def
		FROM e
		UNION ALL
		SELECT e.view || '.where',
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(
						jsonb_build_object('type', 'boolean'), jsonb_build_object('$ref', appdb._find_ref(r."to"::text, 'where'))))), '{}')
					FROM rel r WHERE r."from" = e.view)
				   || (SELECT jsonb_object_agg(c.name, jsonb_build_object('$ref', '#/$defs/filter.' || c.filter)) FROM col c WHERE c.view = e.view)
				   || jsonb_build_object(
					   'AND', jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'where'))),
					   'OR', jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'where'))),
					   'NOT', jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'where'))))
		FROM e
		UNION ALL
		SELECT e.view || '.orderBy',
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('$ref', appdb._find_ref(r."to"::text, 'orderBy'))), '{}')
					FROM rel r WHERE r."from" = e.view AND r.kind = 'one')
				   || (SELECT jsonb_object_agg(n, '{"$ref": "#/$defs/direction"}'::jsonb) FROM unnest(e.columns) n))
		FROM e
		UNION ALL
		SELECT e.view || '.' || k.kind,
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   jsonb_build_object(
					   'columns', jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'columns')),
					   'where', jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'where')),
					   'with', jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
						   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
								jsonb_build_object('$ref', appdb._find_ref(r."to"::text, CASE r.kind WHEN 'many-through' THEN 'through' ELSE r.kind END))))), '{}')
							FROM rel r WHERE r."from" = e.view)),
					   'count', jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
						   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
							   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
									jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
										jsonb_build_object('where', jsonb_build_object('$ref', appdb._find_ref(r."to"::text, 'where'))))))), '{}')
								FROM rel r WHERE r."from" = e.view) || CASE k.kind WHEN 'one' THEN '{}' ELSE '{"*": {"type": "boolean"}}' END::jsonb))))
				   || CASE WHEN e.extras = '{}' THEN '{}' ELSE jsonb_build_object('extras', jsonb_build_object('anyOf', jsonb_build_array(
					   jsonb_build_object('type', 'array', 'items', jsonb_build_object('enum', to_jsonb(e.extras))),
					   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
						   (SELECT jsonb_object_agg(n, '{"type": "boolean"}'::jsonb) FROM unnest(e.extras) n))))) END
				   || CASE WHEN e.soft_delete THEN '{"deleted": {"enum": ["include", "only"]}}'::jsonb ELSE '{}' END
				   || CASE WHEN k.kind = 'one' THEN '{}'::jsonb ELSE jsonb_build_object(
					   'orderBy', jsonb_build_object('anyOf', jsonb_build_array(
						   jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'orderBy')),
						   jsonb_build_object('enum', to_jsonb(e.columns)),
						   jsonb_build_object('type', 'array', 'items', jsonb_build_object('anyOf', jsonb_build_array(
							   jsonb_build_object('$ref', appdb._find_ref(e.view::text, 'orderBy')), jsonb_build_object('enum', to_jsonb(e.columns))))))),
					   'limit', '{"type": ["integer", "null"], "minimum": 0}'::jsonb,
					   'offset', '{"type": ["integer", "null"], "minimum": 0}'::jsonb,
					   'cursor', '{"type": "boolean"}'::jsonb,
					   'after', '{"type": ["string", "null"]}'::jsonb,
					   'before', '{"type": ["string", "null"]}'::jsonb,
					   'distinct', jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
						   jsonb_build_object('type', 'array', 'minItems', 1, 'items', jsonb_build_object('enum', to_jsonb(e.columns)))))) END
				   || CASE WHEN k.kind = 'root' THEN '{"case": {"enum": ["camel", "snake"]}, "numbers": {"enum": ["number", "string"]}}'::jsonb ELSE '{}' END
				   || CASE WHEN k.kind = 'through' THEN '{"through": {"type": ["boolean", "object"]}}'::jsonb ELSE '{}' END)
		FROM e, (VALUES ('root'), ('many'), ('through'), ('one')) k (kind)
		UNION ALL
		SELECT 'direction', '{"anyOf": [{"type": "string", "pattern": "^(asc|desc)( nulls (first|last))?$"},
			{"type": "object", "additionalProperties": false, "properties": {"direction": {"enum": ["asc", "desc"]}, "nulls": {"enum": ["first", "last"]}}}]}'
		UNION ALL
		SELECT 'filter.' || f.filter,
			   jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', f.scalar),
				   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
					   (SELECT jsonb_object_agg(o, CASE WHEN o IN ('in', 'notIn') THEN '{"type": "array"}'::jsonb
														WHEN o IN ('isNull', 'isNotNull') THEN '{"type": "boolean"}'
														WHEN o LIKE 'array%' OR o IN ('hasAnyKey', 'hasAllKeys') THEN '{"type": "array"}'
														WHEN o IN ('AND', 'OR') THEN jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', '#/$defs/filter.' || f.filter))
														WHEN o = 'NOT' THEN jsonb_build_object('$ref', '#/$defs/filter.' || f.filter)
														WHEN o IN ('like', 'ilike', 'notLike', 'notIlike', 'hasKey') THEN '{"type": "string"}'
														ELSE '{}' END)
						FROM unnest(f.operators || ARRAY['isNull', 'isNotNull', 'AND', 'OR', 'NOT']) o))))
		FROM (VALUES
			('text', '["string", "null"]'::jsonb, ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn', 'like', 'ilike', 'notLike', 'notIlike']),
			('number', '["number", "string", "null"]', ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']),
			('boolean', '["boolean", "null"]', ARRAY['eq', 'ne', 'in', 'notIn']),
			('other', '["string", "null"]', ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']),
			('array', '["null"]', ARRAY['eq', 'ne', 'arrayContains', 'arrayContained', 'arrayOverlaps']),
			('json', '["null"]', '{}'),
			('jsonb', '["number", "string", "null"]', ARRAY['in', 'notIn', 'contains', 'containedBy', 'hasKey', 'hasAnyKey', 'hasAllKeys'])) f (filter, scalar, operators)
	)
	SELECT jsonb_object_agg(p.key, p.def) INTO defs FROM parts p;
	RETURN jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema',
							  '$ref', appdb._find_ref(entity, 'root'), '$defs', defs)::json;
END
$$;
COMMENT ON FUNCTION appdb.find_schema(pg_catalog.text) IS
'The query language of appdb.find() for an entity, as JSON Schema (draft 2020-12)';
