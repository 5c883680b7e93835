-- The engine: everything that is a member of the extension, apart from the
-- domains' functions (01_functions.sql).  Run once, by CREATE EXTENSION, as
-- superuser.  Plain CREATE only: what already exists was put there by
-- somebody else, and must stop the script.

CREATE SCHEMA appdb;
COMMENT ON SCHEMA appdb IS 'The application''s data as it is used: live views, relation functions and the engine';
GRANT USAGE ON SCHEMA appdb TO PUBLIC;

-- Here everybody may execute what is not revoked, also where the defaults for
-- what a superuser makes were altered.  Until the end of this script.
ALTER DEFAULT PRIVILEGES IN SCHEMA appdb GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

CREATE FUNCTION appdb.version() RETURNS pg_catalog.text
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_version';
COMMENT ON FUNCTION appdb.version() IS 'The version of the engine in this database; that of the tables is in app_data.schema_version';

CREATE FUNCTION appdb._library_version() RETURNS pg_catalog.text
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__library_version';
COMMENT ON FUNCTION appdb._library_version() IS 'Internal: the version of the library that this session has loaded; it serves the engine of its own version and of older ones';

-- == uuid.c =================================================================

CREATE FUNCTION appdb.uuidv7() RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE STRICT PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_uuidv7';
COMMENT ON FUNCTION appdb.uuidv7() IS
	'A new UUID of version 7; those of a session increase strictly';

CREATE FUNCTION appdb.uuidv7(shift pg_catalog.interval) RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_uuidv7_interval';
COMMENT ON FUNCTION appdb.uuidv7(pg_catalog.interval) IS
	'A new UUID of version 7 whose time is the current time plus an interval';

CREATE FUNCTION appdb.uuid_extract_timestamp(pg_catalog.uuid) RETURNS pg_catalog.timestamptz
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_uuid_extract_timestamp';
COMMENT ON FUNCTION appdb.uuid_extract_timestamp(pg_catalog.uuid) IS
	'The time in a UUID of version 1 or 7 (of 7 in milliseconds), NULL for others';

CREATE FUNCTION appdb.uuid_extract_version(pg_catalog.uuid) RETURNS pg_catalog.int2
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_uuid_extract_version';
COMMENT ON FUNCTION appdb.uuid_extract_version(pg_catalog.uuid) IS
	'The version of a UUID, NULL if it is not of the variant of RFC 9562';

CREATE FUNCTION appdb.uuidv7_lower(pg_catalog.timestamptz) RETURNS pg_catalog.uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_uuidv7_lower';
COMMENT ON FUNCTION appdb.uuidv7_lower(pg_catalog.timestamptz) IS
	'The least UUID of version 7 at a time: id >= uuidv7_lower(a) AND id < uuidv7_lower(b) are those from a until before b';

CREATE FUNCTION appdb.uuidv7_upper(pg_catalog.timestamptz) RETURNS pg_catalog.uuid
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_uuidv7_upper';
COMMENT ON FUNCTION appdb.uuidv7_upper(pg_catalog.timestamptz) IS
	'The greatest UUID of version 7 at a time: id BETWEEN uuidv7_lower(a) AND uuidv7_upper(b) are those from a to b';

-- == timestamps.c ===========================================================

CREATE FUNCTION appdb.timestamps() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_timestamps';
COMMENT ON FUNCTION appdb.timestamps() IS
	'Trigger BEFORE UPDATE FOR EACH ROW: id and created_at stay, updated_at moves when the row changes';

-- == deletion.c, guard.c, soft_delete.c ====================================

CREATE FUNCTION appdb.soft_delete() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_soft_delete';
COMMENT ON FUNCTION appdb.soft_delete() IS
	'Triggers of live views: DELETE marks rows deleted';

CREATE FUNCTION appdb.cascade() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_cascade';
COMMENT ON FUNCTION appdb.cascade() IS
	'Triggers of base tables: frames a statement that sets deleted_at, and does to children what their foreign keys say';

CREATE FUNCTION appdb.guard() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_guard';
COMMENT ON FUNCTION appdb.guard() IS
	'Trigger of base tables: refuses a new row that refers to a deleted one';

-- == protect.c, registry.c ==================================================

CREATE FUNCTION appdb.refuse_truncate() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_refuse_truncate';
COMMENT ON FUNCTION appdb.refuse_truncate() IS
	'Trigger of base tables: refuses TRUNCATE unless appdb.allow_drop is on';

CREATE FUNCTION appdb.protect() RETURNS pg_catalog.event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_protect';
COMMENT ON FUNCTION appdb.protect() IS
	'Event trigger: refuses to drop the extension, its schemas and base tables unless appdb.allow_drop is on';

CREATE FUNCTION appdb.forget_dropped() RETURNS pg_catalog.event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_forget_dropped';
COMMENT ON FUNCTION appdb.forget_dropped() IS
	'Event trigger: forgets managed tables that have been dropped';

CREATE EVENT TRIGGER appdb_protect ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP TABLE', 'DROP TYPE', 'DROP DOMAIN', 'DROP OWNED')
	EXECUTE FUNCTION appdb.protect();
ALTER EVENT TRIGGER appdb_protect ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER appdb_protect IS
	'Refuses to drop what holds application data; SET appdb.allow_drop = on allows it';

CREATE EVENT TRIGGER appdb_forget_dropped ON sql_drop
	WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION appdb.forget_dropped();
ALTER EVENT TRIGGER appdb_forget_dropped ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER appdb_forget_dropped IS
	'Keeps app_data.managed free of tables that do not exist';

-- == install.c ==============================================================

CREATE FUNCTION appdb.install() RETURNS pg_catalog.text
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_install';
COMMENT ON FUNCTION appdb.install() IS
'Makes schema app_data with all built-in tables, or attaches to the tables that are there (triggers, live views, relation functions).
Returns what it did: installed, attached, or deferred (in a restore, to which the tables are left). CREATE EXTENSION calls it.
Only the owner of schema app_data may; errors: 42P06 where app_data holds something else.';
REVOKE EXECUTE ON FUNCTION appdb.install() FROM PUBLIC;
