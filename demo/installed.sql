-- what the extension has made
\ir format.sql
SELECT appdb.version() AS engine,
	(SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'app_data') AS tables,
	(SELECT count(*) FROM pg_catalog.pg_views WHERE schemaname = 'appdb') AS views,
	(SELECT count(*) FROM pg_catalog.pg_indexes WHERE schemaname = 'app_data') AS indexes,
	(SELECT count(*) FROM appdb.relations) AS relations;
