-- What the engine keeps about the tables, next to them.

CREATE TABLE app_data.schema_version (
	version pg_catalog.text NOT NULL,
	changed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX schema_version_one_row ON app_data.schema_version ((true));
COMMENT ON TABLE app_data.schema_version IS 'Version of the tables in this schema (one row); appdb.version() is that of the engine';
COMMENT ON COLUMN app_data.schema_version.version IS 'Version of appdb that the tables are at';
COMMENT ON COLUMN app_data.schema_version.changed_at IS 'When they reached it';
INSERT INTO app_data.schema_version (version) VALUES (appdb.version());

CREATE TABLE app_data.managed (
	entity pg_catalog.regclass PRIMARY KEY,
	view pg_catalog.name NOT NULL UNIQUE,
	label pg_catalog.name,
	relations pg_catalog.jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE app_data.managed IS 'The tables that appdb.manage() takes care of, with its options; shown by appdb.managed';
COMMENT ON COLUMN app_data.managed.entity IS 'The base table';
COMMENT ON COLUMN app_data.managed.view IS 'Name of its live view in schema appdb';
COMMENT ON COLUMN app_data.managed.label IS 'Column that names a row to people';
COMMENT ON COLUMN app_data.managed.relations IS 'Options by foreign-key column';
