-- What the rules of check-scripts.mjs mean, asked of a database: each row is
-- what breaks one, or (rule "public") what PUBLIC may do.
SET search_path = pg_catalog, pg_temp;

CREATE TEMP VIEW ours AS
	SELECT p.*, p.oid::regprocedure::text AS signature, l.lanname,
		   EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') AS member
	FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
	WHERE p.pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('appdb', 'app_data'));

-- Two kinds are not listed, since they are SQL and PL/pgSQL with the rights of who calls and give nobody anything: relation
-- functions, which are made of the tables' foreign keys, and internal ones (_name).
SELECT 'public: ' || x FROM (
	SELECT CASE WHEN prosrc = 'appdb_as_owner' THEN 'owner'
				WHEN prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'trigger'
				WHEN prosecdef THEN 'definer' ELSE lanname END || ' ' || signature
	FROM ours
	WHERE has_function_privilege('public', oid, 'EXECUTE')
	  AND (member OR prosecdef OR lanname <> 'sql' OR provolatile = 'v')
	  AND (NOT starts_with(proname, '_') OR prosecdef OR lanname NOT IN ('sql', 'plpgsql'))
	UNION ALL
	SELECT lower(a.privilege_type) || ' ' || c.oid::regclass
	FROM pg_class c CROSS JOIN aclexplode(COALESCE(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
	WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('appdb', 'app_data')) AND a.grantee = 0
	UNION ALL
	SELECT lower(a.privilege_type) || ' of column ' || c.oid::regclass || '.' || t.attname
	FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid CROSS JOIN aclexplode(t.attacl) a
	WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('appdb', 'app_data')) AND a.grantee = 0
	UNION ALL
	SELECT lower(a.privilege_type) || ' schema ' || n.nspname
	FROM pg_namespace n CROSS JOIN aclexplode(n.nspacl) a
	WHERE n.nspname IN ('appdb', 'app_data') AND a.grantee = 0) t (x)
ORDER BY x COLLATE "C";

SELECT 'definer: ' || signature || ' is SECURITY DEFINER with ' || COALESCE(array_to_string(proconfig, ', '), 'no settings')
FROM ours
WHERE prosecdef AND NOT COALESCE('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
ORDER BY 1;

SELECT 'search-path: ' || signature || ' has ' || s
FROM ours CROSS JOIN unnest(proconfig) s
WHERE s LIKE 'search\_path=%' AND s <> 'search_path=pg_catalog, pg_temp'
ORDER BY 1;

SELECT 'security-invoker: ' || c.oid::regclass
FROM pg_class c
WHERE c.relkind = 'v' AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('appdb', 'app_data'))
  AND NOT COALESCE(c.reloptions && '{security_invoker=true,security_invoker=on,security_invoker=1}', false)
ORDER BY 1;

SELECT 'member: ' || pg_describe_object(d.classid, d.objid, d.objsubid) || ' in the data schema belongs to extension ' || e.extname
FROM pg_depend d
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE d.deptype = 'e' AND (i.schema = 'app_data' OR (d.classid = 'pg_namespace'::regclass AND i.name = 'app_data'))
  -- row types go with their tables; since 18 they are members, too
  AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_type e ON e.oid = t.typelem
				  WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typrelid <> 0 OR e.typrelid <> 0))
ORDER BY 1;

SELECT 'row-security: ' || c.oid::regclass || ' has none'
FROM pg_class c
WHERE c.relkind IN ('r', 'p') AND NOT c.relrowsecurity
  AND c.oid IN (SELECT m.entity FROM appdb._managed_tables() m)
ORDER BY 1;
