-- catalog.sql: what the catalogs say about appdb, in a form that two databases
-- can be compared by.  For psql:
--
--   psql -X -q -At -f test/catalog.sql DATABASE
--
-- One line for each fact about the schemas app_data, appdb and public: no
-- OIDs, nothing that depends on the order in which things were made.  Of a
-- fresh install, an upgraded one, one restored from a dump and one attached
-- again after DROP EXTENSION, the output must be the same.

\set ON_ERROR_STOP 1
\pset tuples_only on
\pset format unaligned
\pset pager off
SET search_path = pg_catalog;
SET client_min_messages = warning;

-- Privileges in sorted order, with the built-in default spelt out.
CREATE FUNCTION pg_temp.acl(acl aclitem[], kind "char", owner oid) RETURNS text
	LANGUAGE sql
	AS $$
		SELECT 'acl={' || coalesce(string_agg(a.entry, ',' ORDER BY a.entry COLLATE "C"), '') || '}'
		FROM (SELECT unnest(coalesce(acl, acldefault(kind, owner)))::text AS entry) AS a
	$$;

CREATE FUNCTION pg_temp.remark(class regclass, object oid, sub int) RETURNS text
	LANGUAGE sql
	AS $$ SELECT 'comment=' || coalesce((SELECT quote_literal(d.description) FROM pg_description AS d
		WHERE d.objoid = object AND d.classoid = class AND d.objsubid = sub), '-') $$;

-- On one line; what is long as its hash.
CREATE FUNCTION pg_temp.short(t text) RETURNS text
	LANGUAGE sql
	AS $$ SELECT CASE WHEN length(t) > 3000 THEN left(regexp_replace(t, '\s+', ' ', 'g'), 200) || '... md5 ' || md5(t)
		ELSE regexp_replace(t, '\s+', ' ', 'g') END $$;

WITH
namespaces AS (
	SELECT n.* FROM pg_namespace AS n WHERE n.nspname IN ('app_data', 'appdb', 'public')
),
-- what other extensions brought along (pgTAP lives in public)
foreign_members AS (
	SELECT d.classid, d.objid FROM pg_depend AS d
	JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
	WHERE d.deptype = 'e' AND e.extname <> 'appdb'
),
relations AS (
	SELECT c.*, format('%I.%I', n.nspname, c.relname) AS name
	FROM pg_class AS c JOIN namespaces AS n ON n.oid = c.relnamespace
	WHERE (('pg_class'::regclass)::oid, c.oid) NOT IN (SELECT classid, objid FROM foreign_members)
		AND (('pg_type'::regclass)::oid, c.reltype) NOT IN (SELECT classid, objid FROM foreign_members)
),
functions AS (
	SELECT p.*, p.oid::regprocedure::text AS name
	FROM pg_proc AS p JOIN namespaces AS n ON n.oid = p.pronamespace
	WHERE (('pg_proc'::regclass)::oid, p.oid) NOT IN (SELECT classid, objid FROM foreign_members)
),
types AS (
	SELECT t.*, format('%I.%I', n.nspname, t.typname) AS name
	FROM pg_type AS t JOIN namespaces AS n ON n.oid = t.typnamespace
	WHERE t.typelem = 0 AND (t.typrelid = 0 OR EXISTS
		(SELECT FROM pg_class AS c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
		AND t.typtype <> 'm'
		AND (('pg_type'::regclass)::oid, t.oid) NOT IN (SELECT classid, objid FROM foreign_members)
),
facts (kind, object, fact) AS (
	SELECT 'schema', quote_ident(n.nspname), concat_ws(' ', 'owner=' || pg_get_userbyid(n.nspowner),
		pg_temp.acl(n.nspacl, 'n', n.nspowner), pg_temp.remark('pg_namespace', n.oid, 0))
	FROM namespaces AS n
	UNION ALL
	SELECT 'extension', quote_ident(e.extname), concat_ws(' ', 'version=' || e.extversion, 'owner=' || pg_get_userbyid(e.extowner),
		'schema=' || e.extnamespace::regnamespace, 'relocatable=' || e.extrelocatable,
		'config=' || coalesce(array_to_string(e.extconfig::regclass[], ','), '-'), pg_temp.remark('pg_extension', e.oid, 0))
	FROM pg_extension AS e WHERE e.extname IN ('appdb')
	UNION ALL
	SELECT CASE d.deptype WHEN 'e' THEN 'member' ELSE 'dependent' END, i.type, i.identity
	FROM pg_depend AS d
	JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'appdb',
		pg_identify_object(d.classid, d.objid, d.objsubid) AS i
	WHERE d.deptype IN ('e', 'x')
	UNION ALL
	SELECT 'initial privileges', i.type, i.identity || ' ' || pg_temp.acl(p.initprivs, 'r', 10) || ' ' || p.privtype::text
	FROM pg_init_privs AS p, pg_identify_object(p.classoid, p.objoid, p.objsubid) AS i
	WHERE i.schema IN ('app_data', 'appdb') OR i.identity IN ('app_data', 'appdb')
	UNION ALL
	SELECT 'relation', r.name, concat_ws(' ', 'kind=' || r.relkind::text, 'owner=' || pg_get_userbyid(r.relowner),
		'persistence=' || r.relpersistence::text, 'am=' || coalesce((SELECT a.amname::text FROM pg_am AS a WHERE a.oid = r.relam), '-'),
		'rls=' || r.relrowsecurity || '/' || r.relforcerowsecurity, 'identity=' || r.relreplident::text,
		'options={' || coalesce((SELECT string_agg(o, ',' ORDER BY o COLLATE "C") FROM unnest(r.reloptions) AS o), '') || '}',
		CASE WHEN r.relkind NOT IN ('i', 'I', 'c') THEN pg_temp.acl(r.relacl, CASE r.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, r.relowner) END,
		pg_temp.remark('pg_class', r.oid, 0))
	FROM relations AS r
	UNION ALL
	SELECT 'column', r.name || '.' || quote_ident(a.attname), concat_ws(' ', format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attnotnull THEN 'not null' END,
		'default ' || pg_get_expr(d.adbin, d.adrelid),
		'identity=' || nullif(a.attidentity::text, ''), 'generated=' || nullif(a.attgenerated::text, ''),
		'collation=' || nullif(a.attcollation, 0)::regcollation,
		'storage=' || a.attstorage::text, 'statistics=' || nullif(a.attstattarget, -1), 'compression=' || nullif(a.attcompression::text, ''),
		CASE WHEN a.attacl IS NOT NULL THEN pg_temp.acl(a.attacl, 'c', r.relowner) END,
		pg_temp.remark('pg_class', r.oid, a.attnum))
	FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE r.relkind NOT IN ('i', 'I')
	UNION ALL
	SELECT 'constraint', coalesce(r.name, t.name) || '.' || quote_ident(c.conname), concat_ws(' ', pg_get_constraintdef(c.oid),
		'validated=' || c.convalidated, 'index=' || nullif(c.conindid, 0)::regclass, pg_temp.remark('pg_constraint', c.oid, 0))
	FROM pg_constraint AS c LEFT JOIN relations AS r ON r.oid = c.conrelid LEFT JOIN types AS t ON t.oid = c.contypid
	WHERE (r.oid IS NOT NULL OR t.oid IS NOT NULL) AND c.contype <> 't'
	UNION ALL
	SELECT 'index', r.name, concat_ws(' ', pg_get_indexdef(i.indexrelid), 'valid=' || i.indisvalid, 'unique=' || i.indisunique,
		'clustered=' || i.indisclustered, 'identity=' || i.indisreplident)
	FROM relations AS r JOIN pg_index AS i ON i.indexrelid = r.oid
	UNION ALL
	SELECT 'trigger', r.name || '.' || quote_ident(t.tgname), concat_ws(' ', pg_get_triggerdef(t.oid), 'enabled=' || t.tgenabled::text,
		pg_temp.remark('pg_trigger', t.oid, 0))
	FROM relations AS r JOIN pg_trigger AS t ON t.tgrelid = r.oid AND NOT t.tgisinternal
	UNION ALL
	SELECT 'view', r.name, pg_temp.short(pg_get_viewdef(r.oid)) FROM relations AS r WHERE r.relkind IN ('v', 'm')
	UNION ALL
	SELECT 'rule', r.name || '.' || quote_ident(w.rulename), pg_get_ruledef(w.oid) || ' enabled=' || w.ev_enabled::text
	FROM relations AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid AND w.rulename <> '_RETURN'
	UNION ALL
	SELECT 'policy', r.name || '.' || quote_ident(p.polname), concat_ws(' ', 'for ' || p.polcmd::text, 'permissive=' || p.polpermissive,
		'to ' || (SELECT string_agg(o.name, ',' ORDER BY o.name COLLATE "C")
			FROM (SELECT CASE u WHEN 0 THEN 'public' ELSE pg_get_userbyid(u)::text END FROM unnest(p.polroles) AS u) AS o (name)),
		'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', 'check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')',
		pg_temp.remark('pg_policy', p.oid, 0))
	FROM relations AS r JOIN pg_policy AS p ON p.polrelid = r.oid
	UNION ALL
	SELECT 'function', f.name, concat_ws(' ', 'kind=' || f.prokind::text, 'owner=' || pg_get_userbyid(f.proowner),
		pg_temp.acl(f.proacl, 'f', f.proowner), pg_temp.remark('pg_proc', f.oid, 0),
		CASE WHEN f.prokind = 'a' THEN pg_get_function_result(f.oid) ELSE pg_temp.short(pg_get_functiondef(f.oid)) END)
	FROM functions AS f
	UNION ALL
	SELECT 'type', t.name, concat_ws(' ', 'type=' || t.typtype::text, 'owner=' || pg_get_userbyid(t.typowner),
		pg_temp.acl(t.typacl, 'T', t.typowner), 'base=' || format_type(nullif(t.typbasetype, 0), t.typtypmod),
		'default=' || t.typdefault, CASE WHEN t.typnotnull THEN 'not null' END,
		'labels=' || (SELECT string_agg(quote_literal(e.enumlabel), ',' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = t.oid),
		pg_temp.remark('pg_type', t.oid, 0))
	FROM types AS t
	UNION ALL
	SELECT 'event trigger', quote_ident(e.evtname), concat_ws(' ', e.evtevent, 'owner=' || pg_get_userbyid(e.evtowner),
		'function=' || e.evtfoid::regprocedure, 'enabled=' || e.evtenabled::text, 'tags=' || array_to_string(e.evttags, ','),
		pg_temp.remark('pg_event_trigger', e.oid, 0))
	FROM pg_event_trigger AS e
	UNION ALL
	SELECT 'publication', quote_ident(p.pubname), concat_ws(' ', 'owner=' || pg_get_userbyid(p.pubowner), p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
		(SELECT string_agg(concat_ws(' ', r.name, pg_get_expr(t.prqual, t.prrelid), t.prattrs), ',' ORDER BY r.name COLLATE "C")
		 FROM pg_publication_rel AS t JOIN relations AS r ON r.oid = t.prrelid WHERE t.prpubid = p.oid),
		(SELECT string_agg(n.nspname, ',' ORDER BY n.nspname) FROM pg_publication_namespace AS t JOIN pg_namespace AS n ON n.oid = t.pnnspid WHERE t.pnpubid = p.oid))
	FROM pg_publication AS p
	UNION ALL
	SELECT 'default privileges', concat_ws(' ', pg_get_userbyid(d.defaclrole), n.nspname, d.defaclobjtype),
		pg_temp.acl(d.defaclacl, 'r', d.defaclrole)
	FROM pg_default_acl AS d LEFT JOIN namespaces AS n ON n.oid = d.defaclnamespace
	UNION ALL
	SELECT i.type, i.identity, 'of schema'
	FROM (
		SELECT 'pg_operator'::regclass AS class, o.oid, o.oprnamespace AS schema FROM pg_operator AS o
		UNION ALL SELECT 'pg_opclass'::regclass, o.oid, o.opcnamespace FROM pg_opclass AS o
		UNION ALL SELECT 'pg_collation'::regclass, o.oid, o.collnamespace FROM pg_collation AS o
		UNION ALL SELECT 'pg_statistic_ext'::regclass, o.oid, o.stxnamespace FROM pg_statistic_ext AS o
	) AS x JOIN namespaces AS n ON n.oid = x.schema, pg_identify_object(x.class, x.oid, 0) AS i
	WHERE (x.class::oid, x.oid) NOT IN (SELECT classid, objid FROM foreign_members)
)
SELECT l.line
FROM (SELECT f.kind || ': ' || f.object || ': ' || coalesce(f.fact, '') FROM facts AS f) AS l (line)
ORDER BY l.line COLLATE "C";

-- the registry of the managed tables, and the tables' version
SELECT pg_catalog.to_regclass('app_data.managed') IS NOT NULL AS registry,
	pg_catalog.to_regclass('app_data.schema_version') IS NOT NULL AS versioned \gset
\if :registry
SELECT l.line
FROM (SELECT 'managed: ' || (to_jsonb(m) - '{id,created_at,updated_at,managed_at,installed_at}'::text[])::text
	FROM app_data.managed AS m) AS l (line)
ORDER BY l.line COLLATE "C";
\endif
\if :versioned
SELECT l.line
FROM (SELECT 'schema_version: ' || (to_jsonb(v) - '{id,created_at,updated_at,changed_at,applied_at,installed_at}'::text[])::text
	FROM app_data.schema_version AS v) AS l (line)
ORDER BY l.line COLLATE "C";
\endif
