-- The engine: everything that is a member of the extension, apart from the
-- domains' functions (01_functions.sql).  Run once, by CREATE EXTENSION, as
-- superuser.  Plain CREATE only: what already exists was put there by
-- somebody else, and must stop the script.

CREATE SCHEMA appdb;
COMMENT ON SCHEMA appdb IS 'The application''s data as it is used: live views, relation functions and the engine';
GRANT USAGE ON SCHEMA appdb TO PUBLIC;

CREATE FUNCTION appdb.version() RETURNS pg_catalog.text
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_version';
COMMENT ON FUNCTION appdb.version() IS 'The version of the engine; that of the tables is in app_data.schema_version';

-- == uuid.c =================================================================

-- == timestamps.c ===========================================================

-- == soft_delete.c ==========================================================

-- == manage: the conventions as a function ==================================

-- == relations ==============================================================

-- == install ================================================================

