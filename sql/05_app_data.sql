-- What the engine keeps about the tables, next to them.

CREATE TABLE app_data.schema_version (
	version pg_catalog.text NOT NULL,
	changed_at pg_catalog.timestamptz NOT NULL DEFAULT pg_catalog.now()
);
CREATE UNIQUE INDEX schema_version_one_row ON app_data.schema_version ((true));
-- a publication of all tables refuses updates of those that have no identity
ALTER TABLE app_data.schema_version REPLICA IDENTITY FULL;
COMMENT ON TABLE app_data.schema_version IS 'Version of the tables in this schema (one row); appdb.version() is that of the engine';
COMMENT ON COLUMN app_data.schema_version.version IS 'Version of appdb that the tables are at';
COMMENT ON COLUMN app_data.schema_version.changed_at IS 'When they reached it';
INSERT INTO app_data.schema_version (version) VALUES (appdb.version());

CREATE TABLE app_data.pending (
	version pg_catalog.text NOT NULL,
	step pg_catalog.int4 NOT NULL,
	last_id pg_catalog.uuid,
	rows pg_catalog.int8 NOT NULL DEFAULT 0,
	attempts pg_catalog.int4 NOT NULL DEFAULT 0,
	error pg_catalog.text,
	running pg_catalog.int4,
	started_at pg_catalog.timestamptz,
	PRIMARY KEY (version, step)
);
COMMENT ON TABLE app_data.pending IS 'Steps of migrations that remain to be done by appdb.migrate_online(); shown by appdb.pending()';
COMMENT ON COLUMN app_data.pending.version IS 'The version that the migration leads to';
COMMENT ON COLUMN app_data.pending.step IS 'Which statement of the migration''s online part';
COMMENT ON COLUMN app_data.pending.last_id IS 'Of a backfill: the last row that is done';
COMMENT ON COLUMN app_data.pending.rows IS 'Of a backfill: how many rows are done';
COMMENT ON COLUMN app_data.pending.attempts IS 'How often it has been begun';
COMMENT ON COLUMN app_data.pending.error IS 'How the last attempt failed';
COMMENT ON COLUMN app_data.pending.running IS 'Process id of the session that began it';
COMMENT ON COLUMN app_data.pending.started_at IS 'When the last attempt began';

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

CREATE TABLE app_data.deletions (
	id pg_catalog.uuid PRIMARY KEY,
	deleted_at pg_catalog.timestamptz NOT NULL,
	entity pg_catalog.regclass NOT NULL,
	role pg_catalog.name NOT NULL,
	user_id pg_catalog.uuid,
	rows pg_catalog.int8 NOT NULL,
	purged_at pg_catalog.timestamptz
);
CREATE INDEX deletions_deleted_at ON app_data.deletions (deleted_at);
COMMENT ON TABLE app_data.deletions IS 'The operations that deleted rows softly; shown by appdb.trash';
COMMENT ON COLUMN app_data.deletions.id IS 'Primary key';
COMMENT ON COLUMN app_data.deletions.deleted_at IS 'What the rows of the operation have in deleted_at';
COMMENT ON COLUMN app_data.deletions.entity IS 'The table that the statement deleted from; others followed';
COMMENT ON COLUMN app_data.deletions.role IS 'The database role that deleted';
COMMENT ON COLUMN app_data.deletions.user_id IS 'The application''s user who deleted, where one was signed in';
COMMENT ON COLUMN app_data.deletions.rows IS 'How many rows, of all tables';
COMMENT ON COLUMN app_data.deletions.purged_at IS 'When their purge began: from then on they cannot be restored';

CREATE TABLE app_data.unlinked (
	deleted_at pg_catalog.timestamptz NOT NULL,
	child pg_catalog.regclass NOT NULL,
	child_column pg_catalog.name NOT NULL,
	child_id pg_catalog.uuid NOT NULL,
	parent_id pg_catalog.uuid NOT NULL,
	PRIMARY KEY (deleted_at, child, child_column, child_id)
);
COMMENT ON TABLE app_data.unlinked IS 'Rows that forgot a parent when it was deleted (mode "set null"); a restore of the parent tells them again';
COMMENT ON COLUMN app_data.unlinked.deleted_at IS 'The operation that deleted the parent';
COMMENT ON COLUMN app_data.unlinked.child IS 'Table of the row';
COMMENT ON COLUMN app_data.unlinked.child_column IS 'The foreign-key column that was set to null';
COMMENT ON COLUMN app_data.unlinked.child_id IS 'The row';
COMMENT ON COLUMN app_data.unlinked.parent_id IS 'What the column referred to';

CREATE TABLE app_data.access (
	role pg_catalog.name PRIMARY KEY,
	level pg_catalog.text NOT NULL CHECK (level IN ('app', 'readonly', 'service'))
);
COMMENT ON TABLE app_data.access IS 'Database roles that appdb.grant_access() has given something';
COMMENT ON COLUMN app_data.access.role IS 'The role';
COMMENT ON COLUMN app_data.access.level IS 'app, readonly or service';
