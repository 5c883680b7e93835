-- What plpgsql_check finds in the PL/pgSQL functions, but for what it cannot
-- know: records of dynamic SQL, and on which of its tables a trigger fires.
-- Newer versions try strings of dynamic SQL with {} for names not known yet.
SELECT p.oid::regprocedure::text || COALESCE(' on ' || r.relid::regclass, '') || ': line ' || c.lineno || ': ' || c.message
FROM pg_proc p
LEFT JOIN LATERAL (SELECT DISTINCT t.tgrelid AS relid FROM pg_trigger t
	-- triggers stand on the functions that work as the tables' owner
	JOIN pg_proc f ON f.oid = t.tgfoid AND (f.oid = p.oid OR f.prosrc = 'appdb_as_owner' AND p.proname = '_' || f.proname)) r
	ON p.prorettype = 'trigger'::regtype
CROSS JOIN LATERAL plpgsql_check_function_tb(p.oid, COALESCE(r.relid, 0), fatal_errors => false, other_warnings => false,
											 extra_warnings => false, performance_warnings => false) c
WHERE p.pronamespace = 'appdb'::regnamespace AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')
  AND (p.prorettype <> 'trigger'::regtype OR r.relid IS NOT NULL)
  AND c.sqlstate <> '55000' AND c.message <> 'syntax error at or near "{"' AND NOT (r.relid IS NOT NULL AND c.message ~ '^record "(old|new)" has no field')
ORDER BY 1;
