-- Makes pg_catalog.txt: psql -XAtq -f pg_catalog.sql > pg_catalog.txt
-- on the oldest supported version of PostgreSQL, so that what is in the list is in all of them.
SELECT '# The names in pg_catalog of PostgreSQL ' || current_setting('server_version_num')::int / 10000 || ', made by pg_catalog.sql';
SELECT x FROM (
	SELECT DISTINCT 'function ' || proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
	UNION SELECT 'volatile ' || proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v'
	UNION SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace AND typrelid = 0 AND NOT typname ^@ '_'
	UNION SELECT 'relation ' || relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind IN ('r', 'v')) AS t (x)
ORDER BY x COLLATE "C";
