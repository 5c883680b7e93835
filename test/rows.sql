-- rows.sql: every row of the tables in schemas app_data and public, in a form
-- that two databases can be compared by.  For psql:
--
--   psql -X -q -At -f test/rows.sql DATABASE

\set ON_ERROR_STOP 1
SELECT format('SELECT %L, t::text FROM %s AS t ORDER BY 2', c.oid::regclass, c.oid::regclass)
FROM pg_class AS c
WHERE c.relkind = 'r' AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('app_data', 'public'))
ORDER BY c.oid::regclass::text COLLATE "C" \gexec
