-- The conventions, read from the catalogs: every base table keeps every one. A new table is tested as soon as it is there; each test
-- lists what breaks the rule.
BEGIN;
SELECT plan(47);

-- what is the engine's own in app_data: no base tables
CREATE TEMPORARY VIEW base AS
	SELECT c.oid, c.relname::text AS name, c.relowner, EXISTS (SELECT FROM pg_attribute AS a
		WHERE a.attrelid = c.oid AND a.attname = 'space_id' AND a.attnotnull) AS tenant
	FROM pg_class AS c
	WHERE c.relnamespace = 'app_data'::regnamespace AND c.relkind IN ('r', 'p') AND c.relname NOT IN ('schema_version', 'pending', 'managed', 'deletions', 'unlinked', 'legal_holds', 'access');
CREATE TEMPORARY VIEW col AS
	SELECT b.oid, b.name AS tab, b.tenant, a.attnum, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
		pg_get_expr(d.adbin, d.adrelid) AS def
	FROM base AS b JOIN pg_attribute AS a ON a.attrelid = b.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef AS d ON d.adrelid = b.oid AND d.adnum = a.attnum;
CREATE TEMPORARY VIEW idx AS
	SELECT b.name AS tab, b.tenant, i.indexrelid, i.indexrelid::regclass::text AS name, i.indisunique, i.indisprimary, i.indisvalid,
		pg_get_expr(i.indpred, i.indrelid) AS pred, i.indrelid,
		ARRAY(SELECT k.attnum FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) WHERE k.n <= i.indnkeyatts ORDER BY k.n)::int2[] AS keys
	FROM base AS b JOIN pg_index AS i ON i.indrelid = b.oid;
CREATE TEMPORARY VIEW fkey AS
	SELECT b.name AS tab, b.tenant, c.conname::text AS name, c.conrelid, c.confrelid, c.conkey, c.confkey FROM base AS b JOIN pg_constraint AS c ON c.conrelid = b.oid AND c.contype = 'f';

-- == what there is ==========================================================

SELECT set_eq('SELECT name FROM base', ARRAY['users', 'sessions', 'accounts', 'verifications', 'organizations', 'members', 'spaces', 'space_members', 'invitations',
	'chats', 'messages', 'message_files', 'files', 'file_permissions', 'folders', 'notes', 'subscriptions', 'tasks', 'schedules'], 'the tables of the eight domains');
SELECT set_eq('SELECT name FROM base WHERE tenant', ARRAY['space_members', 'chats', 'messages', 'message_files', 'files', 'file_permissions', 'folders', 'notes'],
	'those whose every row is in a space');

SELECT set_eq('SELECT entity::oid, live_view::oid FROM appdb.managed', $$SELECT oid AS entity, ('appdb.' || name)::regclass::oid AS live_view FROM base$$, 'all are managed');
SELECT is_empty($$SELECT m.name, m.label FROM appdb.managed AS m WHERE m.label IS NOT NULL AND NOT EXISTS (SELECT FROM col AS c WHERE c.oid = m.entity AND c.name = m.label)$$,
	'what names their rows to people is there');

-- == columns ================================================================

SELECT is_empty($$SELECT b.name FROM base AS b LEFT JOIN col AS c ON c.oid = b.oid AND c.name = 'id'
	WHERE (c.type, c.attnotnull, c.def) IS DISTINCT FROM ('uuid', true, 'appdb.uuidv7()')$$, 'id is a uuid of version 7');
SELECT is_empty($$SELECT b.name FROM base AS b WHERE NOT EXISTS (SELECT FROM idx AS i JOIN col AS c ON c.oid = b.oid AND c.name = 'id'
	WHERE i.indrelid = b.oid AND i.indisprimary AND i.keys = ARRAY[c.attnum])$$, 'id alone is the primary key');
SELECT is_empty($$SELECT b.name, n.name FROM base AS b CROSS JOIN (VALUES ('created_at'), ('updated_at')) AS n (name) LEFT JOIN col AS c ON c.oid = b.oid AND c.name = n.name
	WHERE (c.type, c.attnotnull, c.def) IS DISTINCT FROM ('timestamp(3) with time zone', true, 'now()')$$, 'created_at and updated_at are there');
SELECT is_empty($$SELECT b.name FROM base AS b LEFT JOIN col AS c ON c.oid = b.oid AND c.name = 'deleted_at'
	WHERE b.name NOT IN ('sessions', 'verifications') AND (c.type, c.attnotnull, c.def) IS DISTINCT FROM ('timestamp with time zone', false, NULL)$$, 'deleted_at is there');
SELECT is_empty($$SELECT tab FROM col WHERE name = 'deleted_at' AND tab IN ('sessions', 'verifications')$$, 'except in secrets');
SELECT is_empty($$SELECT tab, name, type FROM col WHERE type LIKE 'time%' AND name <> 'deleted_at' AND type <> 'timestamp(3) with time zone'$$,
	'times are what a JavaScript Date can hold');
SELECT is_empty($$SELECT tab, name, type FROM col WHERE type LIKE 'character%' OR type IN ('json', 'money')$$, 'text is text, JSON is jsonb');
SELECT is_empty($$SELECT c.tab, c.name FROM col AS c WHERE c.type = 'text' AND NOT EXISTS
	(SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'c' AND c.attnum = ANY (k.conkey) AND pg_get_constraintdef(k.oid) ~ '_length\(|~ ''\^')$$,
	'text has a greatest length');
SELECT is_empty($$SELECT c.tab, c.name FROM col AS c WHERE c.name = 'metadata' AND NOT (c.type = 'jsonb' AND c.attnotnull AND EXISTS
	(SELECT FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.contype = 'c' AND c.attnum = ANY (k.conkey) AND pg_get_constraintdef(k.oid) ~ 'jsonb_typeof'))$$,
	'metadata is an object');
SELECT is_empty($$SELECT name FROM base WHERE name !~ '^[a-z][a-z0-9_]*s$' UNION ALL SELECT tab || '.' || name FROM col WHERE name !~ '^[a-z][a-z0-9_]*$'$$, 'names are snake_case, of tables plural');

-- == comments ===============================================================

SELECT is_empty($$SELECT name FROM base WHERE obj_description(oid, 'pg_class') IS NULL$$, 'a comment on every table');
SELECT is_empty($$SELECT tab, name FROM col WHERE col_description(oid, attnum) IS NULL$$, 'on every column');
SELECT is_empty($$SELECT t.typname FROM pg_type AS t WHERE t.typnamespace = 'app_data'::regnamespace AND t.typtype IN ('e', 'd', 'r') AND obj_description(t.oid, 'pg_type') IS NULL$$, 'on every type');
SELECT is_empty($$SELECT i.name FROM idx AS i WHERE i.indisunique AND NOT i.indisprimary AND obj_description(i.indexrelid, 'pg_class') IS NULL$$, 'on every unique index');
SELECT is_empty($$SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'appdb'::regnamespace AND c.relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL$$, 'on every live view');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace) AND obj_description(p.oid, 'pg_proc') IS NULL$$,
	'on every function');

-- == indexes ================================================================

-- a predicate may leave out nulls, which no foreign key looks for
SELECT is_empty($$SELECT f.tab, f.name FROM fkey AS f WHERE NOT EXISTS
	(SELECT FROM idx AS i WHERE i.indrelid = f.conrelid AND i.indisvalid
		AND i.keys[1:cardinality(f.conkey)] @> f.conkey AND i.keys[1:cardinality(f.conkey)] <@ f.conkey
		AND (i.pred IS NULL OR EXISTS (SELECT FROM col AS c WHERE c.oid = f.conrelid AND c.attnum = ANY (f.conkey) AND i.pred = format('(%s IS NOT NULL)', c.name))))$$,
	'an index for every foreign key');
SELECT is_empty($$SELECT i.name, i.pred FROM idx AS i JOIN col AS id ON id.oid = i.indrelid AND id.name = 'id' JOIN col AS d ON d.oid = i.indrelid AND d.name = 'deleted_at'
	WHERE i.indisunique AND NOT id.attnum = ANY (i.keys) AND coalesce(i.pred, '') !~ '\(deleted_at IS NULL\)'$$, 'what is unique is unique among live rows');
SELECT is_empty($$SELECT i.name FROM idx AS i LEFT JOIN col AS d ON d.oid = i.indrelid AND d.name = 'deleted_at'
	WHERE d.attnum = ANY (i.keys) OR NOT i.indisunique AND i.pred ~ 'deleted_at'$$, 'no other index changes with deleted_at');
SELECT is_empty($$SELECT a.name, b.name FROM idx AS a JOIN idx AS b ON b.indrelid = a.indrelid AND b.indexrelid <> a.indexrelid AND b.pred IS NOT DISTINCT FROM a.pred
	WHERE NOT a.indisunique AND b.keys[1:cardinality(a.keys)] = a.keys AND NOT 0 = ANY (a.keys)$$, 'no index is the beginning of another');

-- == tenants ================================================================

SELECT is_empty($$SELECT b.name FROM base AS b WHERE b.tenant AND NOT EXISTS (SELECT FROM fkey AS f JOIN col AS c ON c.oid = b.oid AND c.name = 'space_id'
	WHERE f.conrelid = b.oid AND f.confrelid = 'app_data.spaces'::regclass AND f.conkey = ARRAY[c.attnum])$$, 'a tenant table''s rows are in a space that exists');
SELECT is_empty($$SELECT f.tab, f.name FROM fkey AS f JOIN base AS r ON r.oid = f.confrelid JOIN col AS c ON c.oid = f.conrelid AND c.name = 'space_id'
	JOIN col AS rc ON rc.oid = f.confrelid AND rc.name = 'space_id'
	WHERE f.tenant AND r.tenant AND (array_position(f.conkey, c.attnum) IS NULL OR array_position(f.conkey, c.attnum) IS DISTINCT FROM array_position(f.confkey, rc.attnum))$$,
	'foreign keys between tenant tables carry the space');
SELECT is_empty($$SELECT f.tab, f.name FROM fkey AS f JOIN base AS r ON r.oid = f.confrelid WHERE NOT f.tenant AND r.tenant AND r.name <> 'space_members'$$, 'nothing else refers to what is in a space');
SELECT is_empty($$SELECT i.name FROM idx AS i JOIN col AS c ON c.oid = i.indrelid AND c.name = 'space_id' WHERE i.tenant AND i.indisunique AND NOT i.indisprimary
	AND NOT c.attnum = ANY (i.keys)$$, 'nothing of a tenant is unique beyond its space, except ids');

-- == live views =============================================================

SELECT is_empty($$SELECT b.name FROM base AS b WHERE NOT EXISTS (SELECT FROM pg_class AS v WHERE v.relnamespace = 'appdb'::regnamespace AND v.relkind = 'v' AND v.relname = b.name)$$,
	'a live view for every table');
SELECT is_empty($$SELECT v.relname FROM pg_class AS v WHERE v.relnamespace = 'appdb'::regnamespace AND v.relkind = 'v' AND v.relname IN (SELECT name FROM base)
	AND NOT coalesce(v.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)$$, 'live views ask for the rights of whoever asks');
SELECT is_empty($$SELECT b.name FROM base AS b WHERE ARRAY(SELECT ROW(c.name, c.type)::text FROM col AS c WHERE c.oid = b.oid ORDER BY c.attnum)
	<> ARRAY(SELECT ROW(a.attname, format_type(a.atttypid, a.atttypmod))::text FROM pg_attribute AS a
		WHERE a.attrelid = ('appdb.' || b.name)::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)$$, 'they have the columns of their tables');
SELECT is_empty($$SELECT b.name FROM base AS b WHERE pg_relation_is_updatable(('appdb.' || b.name)::regclass, true) & 28 <> 28$$, 'and can be inserted into, updated and deleted from');
SELECT is_empty($$SELECT b.name FROM base AS b JOIN col AS c ON c.oid = b.oid AND c.name = 'deleted_at'
	WHERE pg_get_viewdef(('appdb.' || b.name)::regclass) !~ 'deleted_at IS NULL'$$, 'they show what is not deleted');
SELECT is_empty($$SELECT b.name FROM base AS b JOIN col AS c ON c.oid = b.oid AND c.name = 'deleted_at' WHERE NOT EXISTS
	(SELECT FROM pg_trigger AS t WHERE t.tgrelid = ('appdb.' || b.name)::regclass AND t.tgtype & 64 <> 0 AND t.tgtype & 8 <> 0)$$, 'and DELETE there marks rows as deleted');

-- == relations ==============================================================

SELECT is_empty($$SELECT f.tab, f.name FROM fkey AS f WHERE NOT EXISTS (SELECT FROM appdb.relations AS r WHERE r."from" = f.tab AND r.kind = 'one'
	AND ('app_data.' || r."to")::regclass = f.confrelid
	AND r.columns = ARRAY(SELECT a.attname FROM unnest(f.conkey) WITH ORDINALITY AS k (attnum, n) JOIN pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = k.attnum ORDER BY k.n))$$,
	'a relation for every foreign key');
SELECT is_empty($$SELECT o."from", o.name FROM appdb.relations AS o WHERE o.kind = 'one' AND NOT EXISTS
	(SELECT FROM appdb.relations AS m WHERE m.kind = 'many' AND m."from" = o."to" AND m."to" = o."from" AND m.columns = o.to_columns AND m.to_columns = o.columns)$$, 'and one back');
SELECT is_empty($$SELECT r."from", r.name FROM appdb.relations AS r WHERE r.function IS NULL$$, 'each with its function');
SELECT is_empty($$SELECT "from", name FROM appdb.relations GROUP BY 1, 2 HAVING count(*) > 1$$, 'and a name of its own');
SELECT is_empty($$SELECT r."from", r.name FROM appdb.relations AS r, LATERAL (SELECT appdb.postgraphile_tags()::jsonb #> ARRAY['config', 'class', 'appdb.' || r."to", 'tags'] AS tags) AS t
	WHERE r.kind = 'one' AND array_to_string(r.to_columns, ',') <> t.tags ->> 'primaryKey' AND NOT EXISTS
	(SELECT FROM jsonb_array_elements_text(t.tags -> 'unique') AS u WHERE split_part(u, '|', 1) = array_to_string(r.to_columns, ','))$$,
	'PostGraphile knows what foreign keys refer to as unique');
SELECT is_empty($$SELECT r."from", r.name FROM appdb.relations AS r, LATERAL (SELECT appdb.postgraphile_tags()::jsonb #>> ARRAY['config', 'procedure', 'appdb.' || r.name, 'tags', 'name'] AS name) AS t
	WHERE t.name IS NULL OR to_regclass('appdb.' || t.name) IS NOT NULL$$, 'and relation functions by names that no view has');

-- == whose it is ============================================================

SELECT is_empty($$SELECT pg_describe_object(d.classid, d.objid, d.objsubid) FROM pg_depend AS d, LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS o
	WHERE d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'appdb')
	AND (o.schema = 'app_data' OR o.identity LIKE 'app\_data%')$$, 'the extension owns nothing in app_data');
SELECT is_empty($$SELECT v.relname FROM pg_class AS v JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = v.oid AND d.deptype = 'e'
	WHERE v.relnamespace = 'appdb'::regnamespace AND v.relname IN (SELECT name FROM base)$$, 'nor live views');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	WHERE p.pronamespace = 'appdb'::regnamespace AND p.proargtypes[0] IN (SELECT t.oid FROM pg_type AS t JOIN pg_class AS v ON v.oid = t.typrelid
		WHERE v.relnamespace = 'appdb'::regnamespace AND v.relname IN (SELECT name FROM base))$$, 'nor relation functions');
SELECT is_empty($$SELECT c.oid::regclass, c.relowner::regrole FROM pg_class AS c, pg_extension AS e WHERE e.extname = 'appdb' AND c.relowner <> e.extowner
	AND (c.relnamespace = 'app_data'::regnamespace OR c.relnamespace = 'appdb'::regnamespace AND c.relname IN (SELECT name FROM base))$$, 'tables and live views belong to who installed them');
SELECT is_empty($$SELECT t.oid::regtype FROM pg_type AS t, pg_extension AS e WHERE e.extname = 'appdb' AND t.typowner <> e.extowner AND t.typnamespace = 'app_data'::regnamespace$$, 'and so do types');
SELECT is_empty($$SELECT b.name FROM base AS b JOIN pg_class AS c ON c.oid IN (b.oid, ('appdb.' || b.name)::regclass), aclexplode(c.relacl) AS a WHERE a.grantee = 0$$,
	'to the public they are closed');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
	-- a procedure that commits cannot have a setting, and what fires the triggers of tables should not: they qualify what they name
	WHERE p.pronamespace = 'appdb'::regnamespace AND (p.prosecdef OR l.lanname = 'plpgsql') AND p.prokind <> 'p' AND p.proname NOT IN ('__purge_stretch', '__purge_circles')
	AND NOT coalesce(EXISTS (SELECT FROM unnest(p.proconfig) AS s WHERE s LIKE 'search\_path=%'), false)$$, 'functions do not depend on the caller''s search_path');

SELECT * FROM finish();
ROLLBACK;
