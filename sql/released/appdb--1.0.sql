\echo Use "CREATE EXTENSION appdb" to load this file. \quit

-- appdb 1.0. Built from the files named below.

SET LOCAL search_path = pg_catalog, pg_temp;

-- sql/00_engine.sql

-- The engine: everything that is a member of the extension, apart from the
-- domains' functions (01_functions.sql).  Run once, by CREATE EXTENSION, as
-- superuser.  Plain CREATE only: what already exists was put there by
-- somebody else, and must stop the script.

CREATE SCHEMA appdb;
COMMENT ON SCHEMA appdb IS 'The application''s data as it is used: live views, relation functions and the engine';
GRANT USAGE ON SCHEMA appdb TO PUBLIC;

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

-- sql/01_functions.sql

-- The domains' functions: members of the extension, as the engine in 00_engine.sql is. They speak of tables that do not exist yet when this
-- file runs, so their bodies are not checked here; the tests run every one.
--
-- All act with the rights of whoever calls them: what a caller may not read or write, they do not read or write either.

SET LOCAL check_function_bodies = off;

-- == auth ============================================================

CREATE FUNCTION appdb.session_token_hash() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	-- without a token the hash is the client's own
	IF NEW.token IS NOT NULL THEN
		NEW.token_hash := sha256(convert_to(NEW.token, 'UTF8'));
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.session_token_hash() IS
	'Trigger function: fills token_hash of a session from its token';

CREATE FUNCTION appdb.user_email_verified() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	-- some clients know when, some only whether: each gives the other
	IF TG_OP = 'INSERT' THEN
		IF NEW.email_verified_at IS NOT NULL THEN
			NEW.email_verified := true;
		ELSIF NEW.email_verified THEN
			NEW.email_verified_at := now();
		END IF;
	ELSIF NEW.email_verified_at IS DISTINCT FROM OLD.email_verified_at THEN
		NEW.email_verified := NEW.email_verified_at IS NOT NULL;
	ELSIF NEW.email_verified IS DISTINCT FROM OLD.email_verified THEN
		NEW.email_verified_at := CASE WHEN NEW.email_verified THEN now() END;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.user_email_verified() IS
	'Trigger function: keeps email_verified and email_verified_at of a user in step';

-- == note: the tree of folders =======================================

CREATE FUNCTION appdb.forbid_cycles() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_forbid_cycles';
COMMENT ON FUNCTION appdb.forbid_cycles() IS
	'Trigger function (AFTER INSERT OR UPDATE FOR EACH ROW; arguments: parent column, optionally space column): no row is its own ancestor';

CREATE FUNCTION appdb.folder_path(folder_id uuid) RETURNS text
	LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	path text;
	parent uuid := folder_id;
	name text;
	seen uuid[] := '{}';
BEGIN
	LOOP
		SELECT f.name, f.parent_id INTO name, parent FROM appdb.folders AS f WHERE f.id = parent;
		IF NOT FOUND THEN
			RETURN path;
		END IF;
		path := concat_ws('/', name, path);
		IF parent IS NULL THEN
			RETURN path;
		END IF;
		-- cannot be, except where triggers did not fire
		IF parent = ANY (seen) THEN
			RAISE data_corrupted USING
				MESSAGE = format('folder %s is below itself', parent),
				HINT = 'Set its parent_id to null or to another folder.';
		END IF;
		seen := seen || parent;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.folder_path(uuid) IS
	'The names of a folder and of all above it, from the top, with slashes between; null where there is no such folder';

CREATE FUNCTION appdb.folder_contents(folder_id uuid)
	RETURNS TABLE (kind text, id uuid, parent_id uuid, name text, depth integer, path text)
	LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 100
	SET search_path = pg_catalog, pg_temp
	AS $$
	WITH RECURSIVE tree (space_id, id, parent_id, name, depth, path) AS (
		SELECT f.space_id, f.id, f.parent_id, f.name, 0, ARRAY[]::text[]
		FROM appdb.folders AS f WHERE f.id = folder_contents.folder_id
		UNION ALL
		SELECT f.space_id, f.id, f.parent_id, f.name, t.depth + 1, t.path || f.name
		FROM tree AS t JOIN appdb.folders AS f ON f.space_id = t.space_id AND f.parent_id = t.id
	) CYCLE id SET repeated USING trail,
	entries (kind, id, parent_id, name, depth, path) AS (
		SELECT 'folder', t.id, t.parent_id, t.name, t.depth, t.path FROM tree AS t WHERE t.depth > 0 AND NOT t.repeated
		UNION ALL
		SELECT 'note', n.id, n.folder_id, n.title, t.depth + 1, t.path || n.title
		FROM tree AS t JOIN appdb.notes AS n ON n.space_id = t.space_id AND n.folder_id = t.id
		WHERE NOT t.repeated
	)
	SELECT e.kind, e.id, e.parent_id, e.name, e.depth, array_to_string(e.path, '/')
	FROM entries AS e ORDER BY e.path, e.kind, e.id
$$;
COMMENT ON FUNCTION appdb.folder_contents(uuid) IS
	'All folders and notes below a folder, each after the folder that it is in; depth and path count from there';

-- == subscription ====================================================

CREATE FUNCTION appdb.subscription_reference() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	referred boolean := NEW.reference_id IS NOT NULL;
	owned boolean := NEW.organization_id IS NOT NULL OR NEW.user_id IS NOT NULL;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		referred := NEW.reference_id IS DISTINCT FROM OLD.reference_id;
		owned := (NEW.organization_id, NEW.user_id) IS DISTINCT FROM (OLD.organization_id, OLD.user_id);
	END IF;
	IF owned AND NOT referred THEN
		NEW.reference_id := coalesce(NEW.organization_id, NEW.user_id);
	ELSIF referred AND NOT owned THEN
		-- ids are unique across tables: it is an organization's, or a user's
		IF EXISTS (SELECT FROM app_data.organizations AS o WHERE o.id = NEW.reference_id) THEN
			NEW.organization_id := NEW.reference_id;
			NEW.user_id := NULL;
		ELSE
			NEW.organization_id := NULL;
			NEW.user_id := NEW.reference_id;
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.subscription_reference() IS
	'Trigger function: fills reference_id of a subscription from organization_id or user_id, or them from it';

-- == the domains' own triggers =======================================
CREATE FUNCTION appdb.attach_domains() RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	own record;
BEGIN
	CREATE OR REPLACE TRIGGER appdb_email_verified
		BEFORE INSERT OR UPDATE OF email_verified, email_verified_at ON app_data.users
		FOR EACH ROW EXECUTE FUNCTION appdb.user_email_verified();
	COMMENT ON TRIGGER appdb_email_verified ON app_data.users IS
		'email_verified and email_verified_at say the same';

	CREATE OR REPLACE TRIGGER appdb_token_hash
		BEFORE INSERT OR UPDATE OF token, token_hash ON app_data.sessions
		FOR EACH ROW EXECUTE FUNCTION appdb.session_token_hash();
	COMMENT ON TRIGGER appdb_token_hash ON app_data.sessions IS
		'token_hash is that of the token, where there is one';

	-- inserting a message cannot make a cycle except on purpose, and chats are long: only moving is looked at
	CREATE OR REPLACE TRIGGER appdb_forbid_cycles
		AFTER UPDATE ON app_data.messages
		FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL AND NEW.parent_id IS DISTINCT FROM OLD.parent_id)
		EXECUTE FUNCTION appdb.forbid_cycles('parent_id', 'space_id');
	COMMENT ON TRIGGER appdb_forbid_cycles ON app_data.messages IS
		'No message is moved below itself';

	CREATE OR REPLACE TRIGGER appdb_forbid_cycles
		AFTER UPDATE ON app_data.folders
		FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL AND NEW.parent_id IS DISTINCT FROM OLD.parent_id)
		EXECUTE FUNCTION appdb.forbid_cycles('parent_id', 'space_id');
	COMMENT ON TRIGGER appdb_forbid_cycles ON app_data.folders IS
		'No folder is moved below itself, whatever runs at once';
	CREATE OR REPLACE TRIGGER appdb_forbid_cycles_insert
		AFTER INSERT ON app_data.folders
		FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL)
		EXECUTE FUNCTION appdb.forbid_cycles('parent_id', 'space_id');
	COMMENT ON TRIGGER appdb_forbid_cycles_insert ON app_data.folders IS
		'No folders are made that are below each other';

	CREATE OR REPLACE TRIGGER appdb_reference
		BEFORE INSERT OR UPDATE OF reference_id, organization_id, user_id ON app_data.subscriptions
		FOR EACH ROW EXECUTE FUNCTION appdb.subscription_reference();
	COMMENT ON TRIGGER appdb_reference ON app_data.subscriptions IS
		'reference_id is organization_id or user_id';

	-- where roles come from
	FOR own IN SELECT * FROM (VALUES
		('members', 'role, user_id, organization_id, deleted_at'), ('space_members', 'role, user_id, space_id, deleted_at'),
		('spaces', 'owner_id, organization_id, visibility, deleted_at'), ('organizations', 'deleted_at')) v (name, columns)
	LOOP
		EXECUTE format('CREATE OR REPLACE TRIGGER appdb_membership AFTER INSERT OR DELETE OR UPDATE OF %s ON app_data.%I '
					   'FOR EACH ROW EXECUTE FUNCTION appdb.membership_changed()', own.columns, own.name);
		-- what replication applies changes roles as well
		EXECUTE format('ALTER TABLE app_data.%I ENABLE ALWAYS TRIGGER appdb_membership', own.name);
		EXECUTE format('COMMENT ON TRIGGER appdb_membership ON app_data.%I IS %L', own.name,
					   'Every backend forgets the roles that it has kept');
	END LOOP;
	CREATE OR REPLACE TRIGGER appdb_readers
		AFTER UPDATE ON app_data.chats
		FOR EACH ROW WHEN (OLD.visibility IS DISTINCT FROM NEW.visibility OR OLD.user_id IS DISTINCT FROM NEW.user_id
						  OR OLD.space_id IS DISTINCT FROM NEW.space_id)
		EXECUTE FUNCTION appdb.membership_changed('chats');
	COMMENT ON TRIGGER appdb_readers ON app_data.chats IS
		'Every backend forgets which chats are private';
	CREATE OR REPLACE TRIGGER appdb_readers_gone
		AFTER DELETE ON app_data.chats
		FOR EACH ROW EXECUTE FUNCTION appdb.membership_changed('chats');
	COMMENT ON TRIGGER appdb_readers_gone ON app_data.chats IS
		'Every backend forgets which chats are private';
	ALTER TABLE app_data.chats ENABLE ALWAYS TRIGGER appdb_readers;
	ALTER TABLE app_data.chats ENABLE ALWAYS TRIGGER appdb_readers_gone;

	CREATE OR REPLACE TRIGGER appdb_author_visibility
		BEFORE UPDATE OF visibility ON app_data.chats
		FOR EACH ROW WHEN (OLD.visibility IS DISTINCT FROM NEW.visibility)
		EXECUTE FUNCTION appdb.keep_author();
	COMMENT ON TRIGGER appdb_author_visibility ON app_data.chats IS
		'Who can read a chat is for its author and admins to change';
	CREATE OR REPLACE TRIGGER appdb_permissions
		AFTER INSERT OR DELETE OR UPDATE OF space_id, file_id, user_id, permission, expires_at, deleted_at ON app_data.file_permissions
		FOR EACH ROW EXECUTE FUNCTION appdb.membership_changed('files');
	COMMENT ON TRIGGER appdb_permissions ON app_data.file_permissions IS
		'Every backend forgets who may do what with single files';
	ALTER TABLE app_data.file_permissions ENABLE ALWAYS TRIGGER appdb_permissions;

	-- what the engine itself keeps is as easily lost
	FOR own IN SELECT * FROM (VALUES ('schema_version'), ('pending'), ('managed'), ('deletions'), ('unlinked'), ('legal_holds'), ('access')) v (name) LOOP
		EXECUTE format('CREATE OR REPLACE TRIGGER appdb_truncate BEFORE TRUNCATE ON app_data.%I '
					   'FOR EACH STATEMENT EXECUTE FUNCTION appdb.refuse_truncate()', own.name);
		EXECUTE format('COMMENT ON TRIGGER appdb_truncate ON app_data.%I IS %L', own.name,
					   'Refuses TRUNCATE unless appdb.allow_drop is on');
	END LOOP;

	PERFORM appdb._attach_membership();

	-- of a row of the live view, which only exists now: not members
	CREATE OR REPLACE FUNCTION appdb.path(appdb.folders) RETURNS text
		LANGUAGE sql STABLE PARALLEL SAFE
		AS 'SELECT appdb.folder_path($1.id)';
	COMMENT ON FUNCTION appdb.path(appdb.folders) IS
		'The names of the folder and of all above it, from the top, with slashes between';

	-- whoever sets a status by hand need not know what goes with it
	CREATE OR REPLACE TRIGGER appdb_task_state
		BEFORE INSERT OR UPDATE OF status ON app_data.tasks
		FOR EACH ROW WHEN ((NEW.status IN ('completed', 'canceled', 'dead')) IS DISTINCT FROM (NEW.finished_at IS NOT NULL AND NOT NEW.queued))
		EXECUTE FUNCTION appdb.task_state();
	COMMENT ON TRIGGER appdb_task_state ON app_data.tasks IS
		'A task that is finished is not in the queue, and says when it was';

	-- what roles were given of the functions; manage() sees to tables and views
	FOR own IN
		SELECT a.role, f AS signature
		FROM app_data.access a JOIN pg_roles r ON r.rolname = a.role, unnest(appdb._grant_functions(a.level)) f
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', own.signature, own.role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.attach_domains() IS
	'Makes the triggers and functions of the built-in tables that are theirs alone; appdb.install() calls it';

-- sql/02_manage.sql

-- The conventions as a function: manage(), unmanage() and what they list.

-- What is managed, read without SQL (see src/registry.c).
CREATE FUNCTION appdb._managed_tables(
	OUT entity pg_catalog.regclass, OUT view pg_catalog.name,
	OUT label pg_catalog.name, OUT relations pg_catalog.jsonb)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE ROWS 30
	AS 'MODULE_PATHNAME', 'appdb__managed_tables';
COMMENT ON FUNCTION appdb._managed_tables() IS 'Internal: the rows of app_data.managed whose tables exist';

CREATE VIEW appdb.managed WITH (security_invoker = true) AS
	SELECT m.entity,
		   c.oid::pg_catalog.regclass AS live_view,
		   m.view AS name,
		   m.label,
		   EXISTS (SELECT FROM pg_catalog.pg_attribute a
				   WHERE a.attrelid OPERATOR(pg_catalog.=) m.entity
					 AND a.attname OPERATOR(pg_catalog.=) 'deleted_at'
					 AND NOT a.attisdropped) AS soft_delete,
		   m.relations
	FROM appdb._managed_tables() m
	LEFT JOIN pg_catalog.pg_class c
		   ON c.relname OPERATOR(pg_catalog.=) m.view AND c.relkind OPERATOR(pg_catalog.=) 'v'
		  AND c.relnamespace OPERATOR(pg_catalog.=)
			  (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'appdb');
COMMENT ON VIEW appdb.managed IS 'The tables that appdb manages, and with which options';
COMMENT ON COLUMN appdb.managed.entity IS 'The base table';
COMMENT ON COLUMN appdb.managed.live_view IS 'Its live view; null when that has been dropped (SELECT appdb.manage(entity) makes it again)';
COMMENT ON COLUMN appdb.managed.name IS 'Name of the live view in schema appdb';
COMMENT ON COLUMN appdb.managed.label IS 'The column that names a row to people';
COMMENT ON COLUMN appdb.managed.soft_delete IS 'Whether a DELETE on the live view keeps the row (column deleted_at); secrets are deleted for good';
COMMENT ON COLUMN appdb.managed.relations IS 'Options by foreign-key column: name, inverse, through, on_delete';
GRANT SELECT ON appdb.managed TO PUBLIC;

-- Raises unless the table follows the conventions; returns whether it has
-- deleted_at.
CREATE FUNCTION appdb._check_conventions(entity pg_catalog.regclass)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rel record;
	col record;
	wanted record;
BEGIN
	SELECT c.relkind, c.relpersistence, n.nspname, c.relispartition INTO rel
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = entity;

	IF rel.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is not a table', entity),
			HINT = 'appdb.manage() takes a base table; it makes the live view itself.';
	ELSIF rel.relpersistence = 't' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('cannot manage temporary table "%s"', entity),
			HINT = 'Make an ordinary table.';
	ELSIF rel.relispartition THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('cannot manage partition "%s"', entity),
			HINT = 'Manage the partitioned table.';
	ELSIF rel.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'appdb') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_schema_name',
			MESSAGE = format('cannot manage table "%s" in schema "%s"', entity, rel.nspname),
			HINT = 'Base tables belong in app_data or in a schema of your own.';
	END IF;

	SELECT a.attnum, a.atttypid INTO col
	FROM pg_attribute a
	WHERE a.attrelid = entity AND a.attname = 'id' AND NOT a.attisdropped;
	IF col.attnum IS NULL OR col.atttypid <> 'uuid'::regtype OR NOT EXISTS (
		SELECT FROM pg_constraint c
		WHERE c.conrelid = entity AND c.contype = 'p' AND c.conkey = ARRAY[col.attnum])
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_table_definition',
			MESSAGE = format('table "%s" has no primary key "id" of type uuid', entity),
			DETAIL = CASE
				WHEN col.attnum IS NULL THEN 'There is no column "id".'
				WHEN col.atttypid <> 'uuid'::regtype THEN format('Column "id" is of type %s.', col.atttypid::regtype)
				ELSE 'Column "id" is not the primary key.' END,
			HINT = CASE
				WHEN col.attnum IS NULL THEN format('ALTER TABLE %s ADD COLUMN id uuid PRIMARY KEY DEFAULT appdb.uuidv7();', entity)
				WHEN col.atttypid <> 'uuid'::regtype THEN 'The primary key of a managed table is a uuid: keep the present key as another column and make a new "id".'
				ELSE format('ALTER TABLE %s ADD PRIMARY KEY (id);', entity) END;
	END IF;

	FOR wanted IN
		SELECT * FROM (VALUES ('created_at', true), ('updated_at', true), ('deleted_at', false)) v (name, required)
	LOOP
		SELECT a.attnum, a.atttypid, a.attnotnull, a.attgenerated INTO col
		FROM pg_attribute a
		WHERE a.attrelid = entity AND a.attname = wanted.name AND NOT a.attisdropped;

		IF col.attnum IS NULL AND wanted.required THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('table "%s" has no column "%s"', entity, wanted.name),
				HINT = format('ALTER TABLE %s ADD COLUMN %s timestamptz(3) NOT NULL DEFAULT now();', entity, wanted.name);
		ELSIF col.atttypid <> 'timestamptz'::regtype OR col.attgenerated <> '' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" is not a plain timestamptz', wanted.name, entity),
				DETAIL = format('It is of type %s%s.', col.atttypid::regtype,
								CASE WHEN col.attgenerated <> '' THEN ', generated' ELSE '' END),
				HINT = format('ALTER TABLE %s ALTER COLUMN %I TYPE timestamptz;', entity, wanted.name);
		ELSIF wanted.required AND NOT col.attnotnull THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" may be null', wanted.name, entity),
				HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', entity, wanted.name);
		ELSIF NOT wanted.required AND col.attnotnull THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" must allow null', wanted.name, entity),
				DETAIL = 'A live row is one whose deleted_at is null.',
				HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', entity, wanted.name);
		END IF;
	END LOOP;

	RETURN EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = entity AND a.attname = 'deleted_at' AND NOT a.attisdropped);
END
$$;
COMMENT ON FUNCTION appdb._check_conventions(pg_catalog.regclass) IS 'Internal: raises unless the table follows the conventions; returns whether it soft-deletes';

-- Raises unless every key of the options is a foreign-key column with known
-- settings.
CREATE FUNCTION appdb._check_relation_options(entity pg_catalog.regclass, relations pg_catalog.jsonb)
	RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	fk record;
	setting record;
BEGIN
	IF jsonb_typeof(relations) <> 'object' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('relations of table "%s" must be a JSON object', entity),
			HINT = 'For example {"author_id": {"name": "author", "inverse": "articles", "on_delete": "set null"}}.';
	END IF;

	FOR fk IN SELECT * FROM jsonb_each(relations) LOOP
		IF NOT EXISTS (
			SELECT FROM pg_constraint c
			JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
			WHERE c.conrelid = entity AND c.contype = 'f' AND a.attname = fk.key)
		THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = format('relations names "%s", which is no foreign-key column of table "%s"', fk.key, entity),
				HINT = format('Foreign-key columns are: %s.', COALESCE(
					(SELECT string_agg(DISTINCT format('"%s"', a.attname), ', ')
					 FROM pg_constraint c
					 JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
					 WHERE c.conrelid = entity AND c.contype = 'f'), 'none'));
		ELSIF jsonb_typeof(fk.value) <> 'object' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('relations of column "%s" must be a JSON object', fk.key),
				HINT = 'Its keys are "name", "inverse", "through" and "on_delete".';
		END IF;
		FOR setting IN SELECT * FROM jsonb_each(fk.value) LOOP
			IF setting.key NOT IN ('name', 'inverse', 'through', 'on_delete') THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('unknown relation option "%s" for column "%s"', setting.key, fk.key),
					HINT = 'Options are "name", "inverse", "through" and "on_delete".';
			ELSIF jsonb_typeof(setting.value) <> 'string'
				OR setting.value #>> '{}' = '' OR octet_length(setting.value #>> '{}') > 63 THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('relation option "%s" for column "%s" must be a string of 1 to 63 bytes', setting.key, fk.key);
			ELSIF setting.key = 'on_delete'
				AND setting.value #>> '{}' NOT IN ('cascade', 'purge', 'set null', 'restrict') THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('unknown on_delete "%s" for column "%s"', setting.value #>> '{}', fk.key),
					HINT = 'It is one of "cascade", "purge", "set null" and "restrict".';
			ELSIF setting.key = 'on_delete' AND setting.value #>> '{}' = 'set null'
				AND EXISTS (SELECT FROM pg_attribute a
							WHERE a.attrelid = entity AND a.attname = fk.key AND a.attnotnull) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('on_delete "set null" for column "%s", which must not be null', fk.key),
					HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', entity, fk.key);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._check_relation_options(pg_catalog.regclass, pg_catalog.jsonb) IS 'Internal: checks the relations argument of appdb.manage()';

-- The table's columns that have another name in its live view.  A column of
-- the view always stands for the table's column at the same place, since the
-- table's columns cannot be dropped or change type under the view: so another
-- name at some place is a rename.
CREATE FUNCTION appdb._renamed_columns(entity pg_catalog.regclass, view pg_catalog.oid,
									   OUT old_name pg_catalog.name, OUT new_name pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 1
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.attname, t.attname
	FROM (SELECT a.attname, row_number() OVER (ORDER BY a.attnum) AS n
		  FROM pg_attribute a WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped) t
	JOIN (SELECT a.attname, row_number() OVER (ORDER BY a.attnum) AS n
		  FROM pg_attribute a WHERE a.attrelid = view AND a.attnum > 0 AND NOT a.attisdropped) v
	  USING (n)
	WHERE t.attname <> v.attname
$$;
COMMENT ON FUNCTION appdb._renamed_columns(pg_catalog.regclass, pg_catalog.oid) IS 'Internal: columns of a table that have another name in its live view';

-- Makes the live view, or brings it up to the table's columns: what is missing
-- at the end is new.
CREATE FUNCTION appdb._sync_view(entity pg_catalog.regclass, view pg_catalog.name, soft_delete pg_catalog.bool)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view_oid oid := to_regclass(format('appdb.%I', view));
	old_name name;
	col record;
BEGIN
	FOR col IN SELECT * FROM appdb._renamed_columns(entity, view_oid) LOOP
		-- by way of a name that nobody has, for columns that swap their names
		EXECUTE format('ALTER VIEW appdb.%I RENAME COLUMN %I TO %I', view, col.old_name,
					   'appdb_rename_' || col.new_name);
	END LOOP;
	FOR old_name IN
		SELECT a.attname FROM pg_attribute a
		WHERE a.attrelid = view_oid AND a.attnum > 0 AND NOT a.attisdropped
		  AND starts_with(a.attname, 'appdb_rename_')
	LOOP
		EXECUTE format('ALTER VIEW appdb.%I RENAME COLUMN %I TO %I', view, old_name,
					   substr(old_name, length('appdb_rename_') + 1));
	END LOOP;

	EXECUTE format('CREATE OR REPLACE VIEW appdb.%I WITH (security_invoker = true) AS SELECT %s FROM %s t%s',
				   view,
				   (SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum)
					FROM pg_attribute a WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped),
				   entity,
				   CASE WHEN soft_delete THEN ' WHERE t.deleted_at IS NULL' ELSE '' END);

	-- the table's comments; those that the view has of its own stay
	view_oid := to_regclass(format('appdb.%I', view));
	IF obj_description(view_oid, 'pg_class') IS NULL THEN
		EXECUTE format('COMMENT ON VIEW appdb.%I IS %L', view,
					   COALESCE(obj_description(entity, 'pg_class'),
								format('Live rows of %s', entity)));
	END IF;
	FOR col IN
		SELECT a.attname, col_description(entity, a.attnum) AS comment
		FROM pg_attribute a
		JOIN pg_attribute v ON v.attrelid = view_oid AND v.attname = a.attname
		WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped
		  AND col_description(entity, a.attnum) IS NOT NULL
		  AND col_description(view_oid, v.attnum) IS NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN appdb.%I.%I IS %L', view, col.attname, col.comment);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_view(pg_catalog.regclass, pg_catalog.name, pg_catalog.bool) IS 'Internal: makes a live view or brings it up to its table''s columns';

-- Makes a trigger of the engine unless the table has it.
CREATE FUNCTION appdb._ensure_trigger(entity pg_catalog.regclass, trigger_name pg_catalog.name,
									  definition pg_catalog.text, comment pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_trigger t
				   WHERE t.tgrelid = entity AND t.tgname = trigger_name AND NOT t.tgisinternal)
	THEN
		EXECUTE format('CREATE TRIGGER %I ' || definition, trigger_name, entity);
		EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', trigger_name, entity, comment);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._ensure_trigger(pg_catalog.regclass, pg_catalog.name, pg_catalog.text, pg_catalog.text) IS 'Internal: makes a trigger unless the table has it';

-- The engine's triggers, by name; the definition's %s is the table or view.
-- "wanted": always; soft: where rows are soft-deleted; view: on the live view
-- of such a table; authored: where rows in spaces have an author.
CREATE FUNCTION appdb._triggers(
	OUT trigger_name pg_catalog.name, OUT wanted pg_catalog.text,
	OUT definition pg_catalog.text, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE ROWS 8
AS $$
	VALUES
	('zz_appdb_timestamps'::pg_catalog.name, 'always',
	 'BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION appdb.timestamps()',
	 'Keeps updated_at and deleted_at, guards id and created_at; named to run after the table''s other triggers'),
	('appdb_author', 'authored',
	 'BEFORE UPDATE OF user_id, space_id ON %s FOR EACH ROW '
	 'WHEN (OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.space_id IS DISTINCT FROM NEW.space_id) EXECUTE FUNCTION appdb.keep_author()',
	 'Whose a row is is for its author and admins to change'),
	('appdb_truncate', 'always',
	 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.refuse_truncate()',
	 'Refuses TRUNCATE unless appdb.allow_drop is on'),
	('appdb_cascade_begin', 'soft',
	 'BEFORE UPDATE OF deleted_at ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()',
	 'Begins an operation that deletes rows'),
	('appdb_cascade_end', 'soft',
	 'AFTER UPDATE OF deleted_at ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()',
	 'Does to children what their foreign keys say, one statement each'),
	('appdb_soft_delete', 'view',
	 'INSTEAD OF DELETE ON %s FOR EACH ROW EXECUTE FUNCTION appdb.soft_delete()',
	 'Marks the row deleted'),
	('appdb_soft_delete_begin', 'view',
	 'BEFORE DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()',
	 'Begins an operation that deletes rows'),
	('appdb_soft_delete_end', 'view',
	 'AFTER DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()',
	 'Does to children what their foreign keys say, one statement each')
$$;
COMMENT ON FUNCTION appdb._triggers() IS 'Internal: the triggers that manage() makes';

CREATE FUNCTION appdb._wanted_triggers(entity pg_catalog.regclass, soft_delete pg_catalog.bool,
	OUT trigger_name pg_catalog.name, OUT wanted pg_catalog.text,
	OUT definition pg_catalog.text, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 8
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT t.* FROM appdb._triggers() t
		WHERE CASE t.wanted WHEN 'always' THEN true WHEN 'authored' THEN appdb._is_authored(entity) ELSE soft_delete END;
END
$$;
COMMENT ON FUNCTION appdb._wanted_triggers(pg_catalog.regclass, pg_catalog.bool) IS 'Internal: those of a table';

-- The trigger that guards INSERTs of a table with parents that can be
-- soft-deleted.  Its arguments are the modes that were asked for.
CREATE FUNCTION appdb._sync_guard(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	modes text;
	definition text;
	present text;
BEGIN
	IF EXISTS (
		SELECT FROM pg_constraint c
		JOIN appdb._managed_tables() m ON m.entity = c.confrelid
		JOIN pg_attribute d ON d.attrelid = c.confrelid AND d.attname = 'deleted_at' AND NOT d.attisdropped
		WHERE c.conrelid = _sync_guard.entity AND c.contype = 'f')
	THEN
		SELECT COALESCE(string_agg(quote_literal(format('%s=%s', o.key, o.value ->> 'on_delete')), ', ' ORDER BY o.key), '')
		INTO modes
		FROM appdb._managed_tables() m, jsonb_each(m.relations) o
		WHERE m.entity = _sync_guard.entity AND o.value ? 'on_delete';
		definition := format('CREATE TRIGGER zz_appdb_guard BEFORE INSERT ON %%s FOR EACH ROW EXECUTE FUNCTION appdb.guard(%s)', modes);
	END IF;

	SELECT pg_get_triggerdef(t.oid) INTO present
	FROM pg_trigger t WHERE t.tgrelid = entity AND t.tgname = 'zz_appdb_guard' AND NOT t.tgisinternal;
	IF present IS NOT NULL AND (definition IS NULL OR right(present, length('appdb.guard(' || modes || ')')) <> 'appdb.guard(' || modes || ')') THEN
		EXECUTE format('DROP TRIGGER zz_appdb_guard ON %s', entity);
		present := NULL;
	END IF;
	IF present IS NULL AND definition IS NOT NULL THEN
		EXECUTE format(definition, entity);
		EXECUTE format('COMMENT ON TRIGGER zz_appdb_guard ON %s IS %L', entity,
					   'Refuses rows that refer to a deleted one; arguments say what else than the foreign key implies a delete does');
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._sync_guard(pg_catalog.regclass) IS 'Internal: makes the trigger that refuses rows under deleted parents';

CREATE FUNCTION appdb._manage(
	entity pg_catalog.regclass, view pg_catalog.name, label pg_catalog.name, relations pg_catalog.jsonb)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given_relations jsonb := relations;
	soft_delete bool;
	view_oid oid;
	col record;
	trg record;
BEGIN
	-- one call at a time: two would make each other's relation functions
	LOCK TABLE app_data.managed IN SHARE ROW EXCLUSIVE MODE;
	soft_delete := appdb._check_conventions(entity);

	-- options follow the columns that they speak of
	UPDATE app_data.managed m
	SET label = COALESCE((SELECT r.new_name FROM appdb._renamed_columns(_manage.entity, to_regclass(format('appdb.%I', m.view))) r
						  WHERE r.old_name = m.label), m.label),
		relations = COALESCE((SELECT jsonb_object_agg(COALESCE(r.new_name, o.key), o.value)
							  FROM jsonb_each(m.relations) o
							  LEFT JOIN appdb._renamed_columns(_manage.entity, to_regclass(format('appdb.%I', m.view))) r
									 ON r.old_name = o.key), '{}')
	WHERE m.entity = _manage.entity
	  AND EXISTS (SELECT FROM appdb._renamed_columns(_manage.entity, to_regclass(format('appdb.%I', m.view))));

	-- options given before hold as long as there is what they speak of
	SELECT COALESCE(_manage.view, m.view, c.relname),
		   COALESCE(_manage.label,
					(SELECT a.attname FROM pg_attribute a
					 WHERE a.attrelid = c.oid AND a.attname = m.label AND a.attnum > 0 AND NOT a.attisdropped)),
		   COALESCE(_manage.relations,
					(SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(m.relations) o
					 WHERE EXISTS (SELECT FROM pg_constraint f
								   JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey)
								   WHERE f.conrelid = c.oid AND f.contype = 'f' AND a.attname = o.key)),
					'{}')
	INTO view, label, relations
	FROM pg_class c LEFT JOIN app_data.managed m ON m.entity = c.oid
	WHERE c.oid = _manage.entity;
	FOR col IN
		SELECT 'label' AS option, m.label AS name FROM app_data.managed m
		WHERE m.entity = _manage.entity AND m.label IS NOT NULL AND _manage.label IS NULL
		UNION ALL
		SELECT 'relations', o.key FROM app_data.managed m, jsonb_each(m.relations) o
		WHERE m.entity = _manage.entity AND NOT _manage.relations ? o.key
		  AND given_relations IS NULL
	LOOP
		RAISE NOTICE USING
			MESSAGE = format('option "%s" of table "%s" is dropped for column "%s", which is not there any more', col.option, entity, col.name);
	END LOOP;
	IF view = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_name',
			MESSAGE = format('the live view of table "%s" needs a name', entity);
	END IF;

	PERFORM appdb._check_relation_options(entity, relations);
	IF label IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_attribute a
		WHERE a.attrelid = _manage.entity AND a.attname = label AND a.attnum > 0 AND NOT a.attisdropped)
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_column',
			MESSAGE = format('label column "%s" of table "%s" does not exist', label, entity),
			HINT = 'It is the column that names a row to people.';
	END IF;

	-- the name of the live view is free, or this table's
	IF EXISTS (SELECT FROM app_data.managed m WHERE m.view = _manage.view AND m.entity <> _manage.entity) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_table',
			MESSAGE = format('live view "appdb.%s" belongs to table "%s"', view,
							 (SELECT m.entity FROM app_data.managed m WHERE m.view = _manage.view)),
			HINT = format('Give another name: SELECT appdb.manage(%L, view => …).', entity);
	END IF;
	view_oid := to_regclass(format('appdb.%I', view));
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = view_oid AND c.relkind <> 'v')
		OR EXISTS (SELECT FROM pg_depend d WHERE d.objid = view_oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
		OR (view_oid IS NOT NULL AND NOT EXISTS (
			SELECT FROM pg_rewrite r JOIN pg_depend d
			  ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
			WHERE r.ev_class = view_oid AND d.refobjid = entity))
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_table',
			MESSAGE = format('relation "appdb.%s" exists and is not the live view of table "%s"', view, entity),
			HINT = format('Give another name: SELECT appdb.manage(%L, view => …).', entity);
	END IF;

	-- a live view under a new name
	IF EXISTS (SELECT FROM app_data.managed m WHERE m.entity = _manage.entity AND m.view <> _manage.view) THEN
		SELECT m.view INTO col FROM app_data.managed m WHERE m.entity = _manage.entity;
		IF to_regclass(format('appdb.%I', col.view)) IS NOT NULL THEN
			EXECUTE format('ALTER VIEW appdb.%I RENAME TO %I', col.view, view);
		END IF;
	END IF;

	IF NOT soft_delete AND NOT EXISTS (SELECT FROM app_data.managed m WHERE m.entity = _manage.entity) THEN
		RAISE NOTICE USING
			MESSAGE = format('table "%s" has no column "deleted_at": its rows are deleted for good', entity);
	END IF;

	FOR col IN
		SELECT v.name, v.expression
		FROM (VALUES ('id', 'appdb.uuidv7()'), ('created_at', 'now()'), ('updated_at', 'now()')) v (name, expression)
		JOIN pg_attribute a ON a.attrelid = entity AND a.attname = v.name AND NOT a.atthasdef AND a.attidentity = ''
	LOOP
		EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', entity, col.name, col.expression);
	END LOOP;

	PERFORM appdb._sync_view(entity, view, soft_delete);
	view_oid := to_regclass(format('appdb.%I', view));
	FOR trg IN SELECT * FROM appdb._wanted_triggers(entity, soft_delete) LOOP
		PERFORM appdb._ensure_trigger(CASE WHEN trg.wanted = 'view' THEN view_oid ELSE entity END,
									  trg.trigger_name, trg.definition, trg.comment);
	END LOOP;

	INSERT INTO app_data.managed AS m (entity, view, label, relations)
	VALUES (_manage.entity, _manage.view, _manage.label, _manage.relations)
	ON CONFLICT ON CONSTRAINT managed_pkey DO UPDATE
		SET view = EXCLUDED.view, label = EXCLUDED.label, relations = EXCLUDED.relations
		WHERE (m.view, m.label, m.relations) IS DISTINCT FROM (EXCLUDED.view, EXCLUDED.label, EXCLUDED.relations);

	-- its own guard, and those of its children, which may be managed already
	FOR col IN
		SELECT entity AS child
		UNION
		SELECT c.conrelid FROM pg_constraint c JOIN app_data.managed m ON m.entity = c.conrelid
		WHERE c.confrelid = _manage.entity AND c.contype = 'f'
	LOOP
		PERFORM appdb._sync_guard(col.child);
	END LOOP;

	PERFORM appdb._sync_relations(entity);
	PERFORM appdb._sync_policies(entity);
	PERFORM appdb._sync_grants(entity);

	-- what the engine does not follow
	FOR col IN
		SELECT c.conname, c.confrelid::regclass AS parent
		FROM pg_constraint c JOIN app_data.managed m ON m.entity = c.confrelid
		WHERE c.conrelid = _manage.entity AND c.contype = 'f'
		  AND NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = 'id')
		ORDER BY c.conname
	LOOP
		RAISE WARNING USING
			MESSAGE = format('foreign key "%s" of table "%s" does not refer to the "id" of "%s"', col.conname, entity, col.parent),
			DETAIL = 'Soft deletes do not follow it: rows can stay live under a deleted one.',
			HINT = 'Refer to the id, alone or with other columns.';
	END LOOP;

	-- what follows a foreign key (deletes, relations) looks for its columns
	FOR col IN SELECT * FROM appdb._unindexed_keys(entity)
	LOOP
		RAISE NOTICE USING
			MESSAGE = format('foreign key "%s" of table "%s" has no index', col.conname, entity),
			DETAIL = 'Deletes and relations that follow it read the whole table.',
			HINT = format('CREATE INDEX CONCURRENTLY ON %s (%s);', entity, col.columns);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS 'Internal: the work of appdb.manage(), as the owner of the table';

CREATE FUNCTION appdb.manage(
	entity pg_catalog.regclass,
	view pg_catalog.name DEFAULT NULL,
	label pg_catalog.name DEFAULT NULL,
	relations pg_catalog.jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_manage';
COMMENT ON FUNCTION appdb.manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS
'Applies the conventions to a table: defaults, timestamps, live view, soft delete, relation functions.
Idempotent. New columns reach the live view by themselves; call it again after adding or dropping a foreign key. Only the owner of the table may.
entity: the base table, with "id uuid" primary key, "created_at" and "updated_at" timestamptz NOT NULL, and "deleted_at" timestamptz unless rows are to be deleted for good;
view: name of the live view in schema appdb (default: the table''s);
label: the column that names a row to people;
relations: by foreign-key column, {"author_id": {"name": to-one relation, "inverse": to-many relation, "through": many-to-many relation that ends here, "on_delete": "cascade" | "purge" | "set null" | "restrict"}}.
An argument that is null keeps what was given before.';

-- After ALTER TABLE of a managed table: the live view follows its columns.
-- That the view is missing means that they were dropped with CASCADE; in the
-- middle of a restore nothing is managed yet.
CREATE FUNCTION appdb._follow(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	live_view name;
BEGIN
	SELECT m.view INTO live_view FROM appdb._managed_tables() m WHERE m.entity = _follow.entity;
	IF NOT FOUND
		OR ARRAY(SELECT a.attname FROM pg_attribute a
				 WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		 = ARRAY(SELECT a.attname FROM pg_attribute a
				 WHERE a.attrelid = to_regclass(format('appdb.%I', live_view)) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
	THEN
		RETURN;
	END IF;

	IF has_function_privilege('appdb.manage(regclass, name, name, jsonb)', 'EXECUTE')
		AND (SELECT pg_has_role(c.relowner, n.nspowner, 'USAGE')
			 FROM pg_class c, pg_namespace n WHERE c.oid = entity AND n.nspname = 'app_data')
	THEN
		PERFORM appdb.manage(entity);
	ELSE
		RAISE NOTICE USING
			MESSAGE = format('live view "appdb.%s" is not up to date with table "%s"', live_view, entity),
			HINT = format('The owner of schema app_data brings it up to date: SELECT appdb.manage(%L);', entity);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._follow(pg_catalog.regclass) IS 'Internal: brings the live view of an altered table up to date';

CREATE FUNCTION appdb.follow() RETURNS pg_catalog.event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_follow';
COMMENT ON FUNCTION appdb.follow() IS
	'Event trigger: brings live views up to date after ALTER TABLE';

CREATE EVENT TRIGGER appdb_follow ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE')
	EXECUTE FUNCTION appdb.follow();
COMMENT ON EVENT TRIGGER appdb_follow IS
	'Brings the live views of managed tables up to date after ALTER TABLE';

CREATE FUNCTION appdb._unmanage(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	managed record;
	trg record;
BEGIN
	LOCK TABLE app_data.managed IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO managed FROM app_data.managed m WHERE m.entity = _unmanage.entity;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('table "%s" is not managed', entity),
			HINT = 'appdb.managed lists the tables that are.';
	END IF;

	DELETE FROM app_data.managed m WHERE m.entity = _unmanage.entity;
	PERFORM appdb._sync_relations(entity, managed.view);
	IF to_regclass(format('appdb.%I', managed.view)) IS NOT NULL THEN
		EXECUTE format('DROP VIEW appdb.%I', managed.view);
	END IF;
	FOR trg IN
		SELECT t.tgname FROM pg_trigger t
		WHERE t.tgrelid = entity AND NOT t.tgisinternal
		  AND (t.tgname = 'zz_appdb_guard' OR t.tgname IN (SELECT e.trigger_name FROM appdb._triggers() e))
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', trg.tgname, entity);
	END LOOP;
	FOR trg IN
		SELECT DISTINCT c.conrelid::regclass AS child FROM pg_constraint c
		JOIN app_data.managed m ON m.entity = c.conrelid
		WHERE c.confrelid = _unmanage.entity AND c.contype = 'f'
	LOOP
		PERFORM appdb._sync_guard(trg.child);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._unmanage(pg_catalog.regclass) IS 'Internal: the work of appdb.unmanage(), as the owner of the table';

CREATE FUNCTION appdb.unmanage(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_unmanage';
COMMENT ON FUNCTION appdb.unmanage(pg_catalog.regclass) IS
'Takes the conventions off a table: drops its live view, relation functions and the engine''s triggers. Rows, columns and defaults stay.
entity: the base table. Only its owner may.';

REVOKE EXECUTE ON FUNCTION
	appdb.manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
	appdb._manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
	appdb.unmanage(pg_catalog.regclass), appdb._unmanage(pg_catalog.regclass)
	FROM PUBLIC;

-- sql/03_relations.sql

-- Relations: one list of them all, made from the foreign keys of managed
-- tables, and the functions that follow them.

-- A foreign key is known by its key column: the one that refers to the
-- parent's id.  The other columns of a tenant's key (space_id) are equal on
-- both sides.
CREATE FUNCTION appdb._relations(
	OUT "from" pg_catalog.name, OUT name pg_catalog.name, OUT kind pg_catalog.text, OUT "to" pg_catalog.name,
	OUT columns pg_catalog.name[], OUT to_columns pg_catalog.name[],
	OUT through pg_catalog.name, OUT through_columns pg_catalog.name[], OUT through_to_columns pg_catalog.name[],
	OUT on_delete pg_catalog.text, OUT constraint_name pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 200
	SET search_path = pg_catalog, pg_temp
AS $$
WITH m AS MATERIALIZED (
	SELECT * FROM appdb._managed_tables()
), key AS MATERIALIZED (
	-- one row a foreign key between managed tables
	SELECT DISTINCT ON (c.conrelid, c.confrelid, k.attnum)
		   c.oid, c.conname, c.conrelid, c.confrelid, c.confdeltype, k.attnum,
		   k.attname, child.view AS child, parent.view AS parent,
		   child.relations -> k.attname::text AS options,
		   cols.columns, cols.to_columns, cols.attnums,
		   EXISTS (SELECT FROM pg_attribute d
				   WHERE d.attrelid = c.conrelid AND d.attname = 'deleted_at' AND NOT d.attisdropped) AS soft_child
	FROM pg_constraint c
	JOIN m child ON child.entity = c.conrelid
	JOIN m parent ON parent.entity = c.confrelid
	CROSS JOIN LATERAL (
		SELECT array_agg(a.attname ORDER BY u.n) AS columns,
			   array_agg(f.attname ORDER BY u.n) AS to_columns,
			   array_agg(a.attnum ORDER BY u.n) AS attnums
		FROM unnest(c.conkey, c.confkey) WITH ORDINALITY u (child, parent, n)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.child
		JOIN pg_attribute f ON f.attrelid = c.confrelid AND f.attnum = u.parent) cols
	JOIN pg_attribute k ON k.attrelid = c.conrelid
		AND k.attname = cols.columns[COALESCE(array_position(cols.to_columns, 'id'), cardinality(cols.columns))]
	WHERE c.contype = 'f' AND c.conparentid = 0
	ORDER BY c.conrelid, c.confrelid, k.attnum, cardinality(c.conkey) DESC, c.conname
), one AS (
	SELECT key.*,
		   COALESCE(options ->> 'name', NULLIF(regexp_replace(attname::text, '_id$', ''), ''), attname::text) AS one_name,
		   row_number() OVER (PARTITION BY conrelid, confrelid ORDER BY attnum) AS n
	FROM key
), direct AS (
	SELECT one.*,
		   COALESCE(options ->> 'inverse',
					CASE WHEN conrelid = confrelid AND one_name = 'parent' THEN 'children'
						 WHEN conrelid = confrelid OR n > 1 THEN child || '_by_' || one_name
						 ELSE child::text END) AS many_name
	FROM one
), pair AS (
	-- a join table: a unique index on just the keys of two foreign keys
	SELECT DISTINCT ON (a.oid, b.oid) a.oid AS a_oid, b.oid AS b_oid, a.parent AS "from", b.parent AS "to", a.child AS through,
		   a.columns AS a_columns, a.to_columns AS a_to, b.columns AS b_columns, b.to_columns AS b_to,
		   a.conname, a.confrelid = b.confrelid AS self, b.one_name AS b_name, b.options AS b_options
	FROM pg_index i
	JOIN direct a ON a.conrelid = i.indrelid
	JOIN direct b ON b.conrelid = i.indrelid AND b.attnum <> a.attnum
	WHERE i.indisunique AND i.indexprs IS NULL
	  AND ARRAY[a.attnum, b.attnum] <@ (i.indkey::int2[])[0:i.indnkeyatts - 1]
	  AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ (a.attnums || b.attnums)
	ORDER BY a.oid, b.oid
), many_through AS (
	SELECT pair.*,
		   COALESCE(b_options ->> 'through',
					CASE WHEN self THEN "to" || '_by_' || b_name
						 WHEN EXISTS (SELECT FROM direct d WHERE d.parent = pair."from" AND d.many_name = pair."to")
						   OR EXISTS (SELECT FROM pair p WHERE p."from" = pair."from" AND p."to" = pair."to"
									  AND (p.through, p.b_name) < (pair.through, pair.b_name))
						 THEN "to" || '_through_' || through
						 ELSE "to"::text END) AS through_name
	FROM pair
)
SELECT child, one_name::name, 'one', parent, columns, to_columns, NULL::name, NULL::name[], NULL::name[],
	   COALESCE(options ->> 'on_delete',
				CASE WHEN confdeltype = 'n' THEN 'set null'
					 WHEN confdeltype = 'r' THEN 'restrict'
					 WHEN NOT soft_child THEN 'purge'
					 ELSE 'cascade' END), conname
FROM direct
UNION ALL
SELECT parent, many_name::name, 'many', child, to_columns, columns, NULL, NULL, NULL, NULL, conname
FROM direct
UNION ALL
SELECT "from", through_name::name, 'many-through', "to", a_to, b_to, through, a_columns, b_columns, NULL, conname
FROM many_through
$$;
COMMENT ON FUNCTION appdb._relations() IS 'Internal: the relations between managed tables, from their foreign keys';

-- The body of a relation function; the marker at its start tells the engine's
-- functions from those of the application.
CREATE FUNCTION appdb._relation_body(rel pg_catalog.record)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN '/* appdb relation */ ' || CASE WHEN rel.through IS NULL THEN
		format('SELECT t.* FROM appdb.%I t WHERE %s', rel."to",
			   (SELECT string_agg(format('t.%I OPERATOR(pg_catalog.=) ($1).%I', u.theirs, u.mine), ' AND ' ORDER BY u.theirs <> 'id', u.n)
				FROM unnest(rel.columns, rel.to_columns) WITH ORDINALITY u (mine, theirs, n)))
	ELSE
		format('SELECT t.* FROM appdb.%I j JOIN appdb.%I t ON %s WHERE %s', rel.through, rel."to",
			   (SELECT string_agg(format('t.%I OPERATOR(pg_catalog.=) j.%I', u.theirs, u.through), ' AND ' ORDER BY u.theirs <> 'id', u.n)
				FROM unnest(rel.to_columns, rel.through_to_columns) WITH ORDINALITY u (theirs, through, n)),
			   (SELECT string_agg(format('j.%I OPERATOR(pg_catalog.=) ($1).%I', u.through, u.mine), ' AND ' ORDER BY u.mine <> 'id', u.n)
				FROM unnest(rel.columns, rel.through_columns) WITH ORDINALITY u (mine, through, n)))
	END;
END
$$;
COMMENT ON FUNCTION appdb._relation_body(pg_catalog.record) IS 'Internal: the body of a relation function';

-- Makes the relation functions of one table, both directions, and drops those
-- that no foreign key stands for any more.
CREATE FUNCTION appdb._sync_relations(entity pg_catalog.regclass, old_view pg_catalog.name DEFAULT NULL)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	this name;
	rel record;
	fn record;
	signature text;
	body text;
BEGIN
	SELECT COALESCE(old_view, m.view) INTO this
	FROM (SELECT) x LEFT JOIN appdb._managed_tables() m ON m.entity = _sync_relations.entity;

	SELECT x."from", x.name, string_agg(x.constraint_name, ', ') AS constraints INTO rel
	FROM appdb._relations() x GROUP BY x."from", x.name HAVING count(*) > 1 LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_object',
			MESSAGE = format('live view "%s" would have two relations "%s"', rel."from", rel.name),
			DETAIL = format('They come from the foreign keys %s.', rel.constraints),
			HINT = 'Give one of them another name with the relations argument of appdb.manage().';
	END IF;

	-- those of this view that are no relation any more, or another one
	FOR fn IN
		WITH wanted AS MATERIALIZED (
			SELECT x."from", x.name, x."to", appdb._relation_body(x) AS body,
				   CASE x.kind WHEN 'one' THEN 1 ELSE 1000 END AS rows
			FROM appdb._relations() x)
		SELECT p.oid::regprocedure AS signature
		FROM pg_proc p
		JOIN pg_type a ON a.oid = p.proargtypes[0]
		JOIN pg_class f ON f.oid = a.typrelid
		JOIN pg_type r ON r.oid = p.prorettype
		JOIN pg_class t ON t.oid = r.typrelid
		WHERE p.pronamespace = 'appdb'::regnamespace AND p.pronargs = 1
		  AND starts_with(p.prosrc, '/* appdb relation */')
		  AND (this IN (f.relname, t.relname) OR strpos(p.prosrc, format(' FROM appdb.%I j ', this)) > 0)
		  AND NOT EXISTS (
			SELECT FROM wanted w
			WHERE w."from" = f.relname AND w.name = p.proname AND w."to" = t.relname
			  AND w.body = p.prosrc AND w.rows = p.prorows)
	LOOP
		EXECUTE format('DROP FUNCTION %s', fn.signature);
	END LOOP;

	FOR rel IN
		SELECT * FROM appdb._relations() x
		WHERE this IN (x."from", x."to", x.through)
		  AND to_regclass(format('appdb.%I', x."from")) IS NOT NULL
		  AND to_regclass(format('appdb.%I', x."to")) IS NOT NULL
		  AND (x.through IS NULL OR to_regclass(format('appdb.%I', x.through)) IS NOT NULL)
		ORDER BY x."from", x.name
	LOOP
		signature := format('appdb.%I(appdb.%I)', rel.name, rel."from");
		body := appdb._relation_body(rel);
		SELECT p.prosrc INTO fn FROM pg_proc p WHERE p.oid = to_regprocedure(signature);
		IF FOUND AND fn.prosrc = body THEN
			CONTINUE;
		ELSIF FOUND AND starts_with(fn.prosrc, '/* appdb relation */') THEN
			-- through a view that has another name now
			EXECUTE format('DROP FUNCTION %s', signature);
		ELSIF FOUND THEN
			RAISE EXCEPTION USING
				ERRCODE = 'duplicate_function',
				MESSAGE = format('function %s exists already', signature),
				DETAIL = format('Relation "%s" of "%s" (foreign key "%s") would have this name.', rel.name, rel."from", rel.constraint_name),
				HINT = 'Give the relation another name with the relations argument of appdb.manage().';
		END IF;
		IF EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = to_regclass(format('appdb.%I', rel."from"))
						AND a.attname = rel.name AND NOT a.attisdropped) THEN
			RAISE WARNING USING
				MESSAGE = format('relation "%s" of "%s" has the name of a column, which wins in "%s.%s"',
								 rel.name, rel."from", rel."from", rel.name),
				HINT = 'Give the relation another name with the relations argument of appdb.manage().';
		END IF;
		EXECUTE format('CREATE FUNCTION %s RETURNS SETOF appdb.%I LANGUAGE sql STABLE PARALLEL SAFE ROWS %s AS %L',
					   signature, rel."to", CASE rel.kind WHEN 'one' THEN 1 ELSE 1000 END, body);
		EXECUTE format('COMMENT ON FUNCTION %s IS %L', signature,
			CASE rel.kind
				WHEN 'one' THEN format('The live row of appdb.%I that %s refers to (to-one)', rel."to", array_to_string(rel.columns, ', '))
				WHEN 'many' THEN format('The live rows of appdb.%I that refer to this one by %s (to-many)', rel."to", array_to_string(rel.to_columns, ', '))
				ELSE format('The live rows of appdb.%I related through appdb.%I (many-to-many)', rel."to", rel.through)
			END);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_relations(pg_catalog.regclass, pg_catalog.name) IS 'Internal: makes the relation functions of a managed table and drops outdated ones';
REVOKE EXECUTE ON FUNCTION appdb._sync_relations(pg_catalog.regclass, pg_catalog.name) FROM PUBLIC;

CREATE VIEW appdb.relations WITH (security_invoker = true) AS
	SELECT r."from", r.name, r.kind, r."to", r.columns, r.to_columns,
		   r.through, r.through_columns, r.through_to_columns, r.on_delete,
		   pg_catalog.to_regprocedure(pg_catalog.format('appdb.%I(appdb.%I)', r.name, r."from")) AS function
	FROM appdb._relations() r;
COMMENT ON VIEW appdb.relations IS 'Every relation between managed tables, both directions: the one place that defines them all';
COMMENT ON COLUMN appdb.relations."from" IS 'Live view (in schema appdb) that the relation starts from';
COMMENT ON COLUMN appdb.relations.name IS 'Name of the relation, and of its function';
COMMENT ON COLUMN appdb.relations.kind IS 'one, many or many-through';
COMMENT ON COLUMN appdb.relations."to" IS 'Live view that the relation leads to';
COMMENT ON COLUMN appdb.relations.columns IS 'Columns of "from" that take part';
COMMENT ON COLUMN appdb.relations.to_columns IS 'Columns of "to" that take part, in the same order (many-through: those that the join table refers to)';
COMMENT ON COLUMN appdb.relations.through IS 'The join table''s live view, for many-through';
COMMENT ON COLUMN appdb.relations.through_columns IS 'Columns of the join table that refer to "from"';
COMMENT ON COLUMN appdb.relations.through_to_columns IS 'Columns of the join table that refer to "to"';
COMMENT ON COLUMN appdb.relations.on_delete IS 'What a soft delete of "to" does to the rows of "from" (kind one): cascade, purge, set null, restrict';
COMMENT ON COLUMN appdb.relations.function IS 'The relation function; null where it has not been made';
GRANT SELECT ON appdb.relations TO PUBLIC;

-- PostGraphile takes functions for relations only where their names begin with
-- the table's; and it knows keys of views by "smart tags".
CREATE FUNCTION appdb.postgraphile_tags()
	RETURNS pg_catalog.json
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	WITH r AS MATERIALIZED (
		SELECT r.*, (SELECT string_agg(CASE WHEN w.n = 1 THEN w.word ELSE upper(left(w.word, 1)) || substr(w.word, 2) END, '' ORDER BY w.n)
					 FROM string_to_table(r.name::text, '_') WITH ORDINALITY w (word, n)) AS camel
		FROM appdb._relations() r
	)
	SELECT json_build_object('version', 1, 'config', json_build_object('class', json_object_agg('appdb.' || e.name, json_build_object('tags', json_build_object(
		'primaryKey', 'id',
		'foreignKey', COALESCE((
			SELECT json_agg(format('(%s) references appdb.%s (%s)|@fieldName %s%s', array_to_string(one.columns, ', '), one."to", array_to_string(one.to_columns, ', '),
								   one.camel, '|@foreignFieldName ' || many.camel) ORDER BY one.name)
			FROM r one
			LEFT JOIN r many ON many.kind = 'many' AND many.constraint_name = one.constraint_name
				AND many."from" = one."to" AND many."to" = one."from" AND many.columns = one.to_columns AND many.to_columns = one.columns
			WHERE one.kind = 'one' AND one."from" = e.name), '[]'))) ORDER BY e.name)))
	FROM (SELECT m.view AS name FROM appdb._managed_tables() m) e
$$;
COMMENT ON FUNCTION appdb.postgraphile_tags() IS
	'The keys and relations of the live views for PostGraphile: the contents of its file postgraphile.tags.json5';

-- sql/04_access.sql

-- Row security and privileges: what the user who is asking may see and do
-- (src/membership.c), and what a database role gets.

-- == memberships ============================================================

CREATE FUNCTION appdb._membership_support(pg_catalog.internal) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_membership_support';
COMMENT ON FUNCTION appdb._membership_support(pg_catalog.internal) IS 'Internal: tells the planner about appdb.is_member()';

CREATE FUNCTION appdb.is_member(space_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF COST 1
	SUPPORT appdb._membership_support
	AS 'MODULE_PATHNAME', 'appdb_is_member';
COMMENT ON FUNCTION appdb.is_member(pg_catalog.uuid) IS
'Whether the user who is asking has any role in a space; false for nobody.
space_id: the space. Personal spaces have their owner; owners and admins of an organization have that role in its spaces, its members are viewers of those that are not private.';

-- Not leakproof: of a column of somebody else's row, the error would tell.
CREATE FUNCTION appdb.has_role(space_id pg_catalog.uuid, role pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'appdb_has_role';
COMMENT ON FUNCTION appdb.has_role(pg_catalog.uuid, pg_catalog.text) IS
'Whether the user who is asking has a role, or a higher one, in a space; false for nobody.
space_id: the space; role: viewer, editor, admin or owner. Errors: 22023 for another role.';

CREATE FUNCTION appdb.is_organization_member(organization_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF COST 1
	AS 'MODULE_PATHNAME', 'appdb_is_organization_member';
COMMENT ON FUNCTION appdb.is_organization_member(pg_catalog.uuid) IS
'Whether the user who is asking is a member of an organization; false for nobody.';

CREATE FUNCTION appdb.has_organization_role(organization_id pg_catalog.uuid, role pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'appdb_has_organization_role';
COMMENT ON FUNCTION appdb.has_organization_role(pg_catalog.uuid, pg_catalog.text) IS
'Whether the user who is asking has a role, or a higher one, in an organization; false for nobody.
organization_id: the organization; role: member, admin or owner. Errors: 22023 for another role.';

CREATE FUNCTION appdb.my_spaces() RETURNS pg_catalog.uuid[]
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_my_spaces';
COMMENT ON FUNCTION appdb.my_spaces() IS
'The spaces in which the user who is asking has any role.';

CREATE FUNCTION appdb.membership_changed() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_membership_changed';
COMMENT ON FUNCTION appdb.membership_changed() IS
	'Trigger of the tables that roles come from: every backend forgets the roles that it has kept; with the argument chats or files, who can read these';

CREATE FUNCTION appdb.keep_author() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_keep_author';
COMMENT ON FUNCTION appdb.keep_author() IS
	'Trigger of tables in spaces whose rows have an author: whose a row is, and who can read it, is for the author and admins to change';

-- Who shares an organization or a space with the user who is asking.  Run as
-- the tables' owner: one cannot see memberships of others otherwise.
CREATE FUNCTION appdb._knows_user(user_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN _knows_user.user_id = appdb.current_user_id()
		OR EXISTS (SELECT FROM app_data.space_members m
				   WHERE m.user_id = _knows_user.user_id AND m.deleted_at IS NULL AND appdb.is_member(m.space_id))
		OR EXISTS (SELECT FROM app_data.members m
				   WHERE m.user_id = _knows_user.user_id AND m.deleted_at IS NULL AND appdb.is_organization_member(m.organization_id));
END
$$;
COMMENT ON FUNCTION appdb._knows_user(pg_catalog.uuid) IS 'Internal: the work of appdb.knows_user()';

CREATE FUNCTION appdb.knows_user(user_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.knows_user(pg_catalog.uuid) IS
'Whether a user shares an organization or a space with the user who is asking, or is that user.';

CREATE FUNCTION appdb.can_read_chat(space_id pg_catalog.uuid, chat_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 100
	AS 'MODULE_PATHNAME', 'appdb_can_read_chat';
COMMENT ON FUNCTION appdb.can_read_chat(pg_catalog.uuid, pg_catalog.uuid) IS
'Whether the user who is asking is a member of a chat''s space, and the chat is not private or that user its author.
space_id, chat_id: the chat.';

CREATE FUNCTION appdb.can_read_message(space_id pg_catalog.uuid, message_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 200
	AS 'MODULE_PATHNAME', 'appdb_can_read_message';
COMMENT ON FUNCTION appdb.can_read_message(pg_catalog.uuid, pg_catalog.uuid) IS
'Whether appdb.can_read_chat() holds for the chat of a message.
space_id, message_id: the message.';

CREATE FUNCTION appdb._file_support(pg_catalog.internal) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_file_support';
COMMENT ON FUNCTION appdb._file_support(pg_catalog.internal) IS 'Internal: tells the planner about appdb.has_file_permission()';

CREATE FUNCTION appdb.has_file_permission(space_id pg_catalog.uuid, file_id pg_catalog.uuid, permission pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	SUPPORT appdb._file_support
	AS 'MODULE_PATHNAME', 'appdb_has_file_permission';
COMMENT ON FUNCTION appdb.has_file_permission(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.text) IS
'Whether a row of file_permissions allows the user who is asking something with a file: one for this user, or one for everyone in a space where they are a member.
space_id, file_id: the file; permission: read, write or manage, of which each allows what those before it do. What a role in the space allows besides is another question. Errors: 22023 for another permission.';

CREATE FUNCTION appdb.my_files(permission pg_catalog.text) RETURNS pg_catalog.uuid[]
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_my_files';
COMMENT ON FUNCTION appdb.my_files(pg_catalog.text) IS
'The files for which appdb.has_file_permission() holds.
permission: read, write or manage. Errors: 22023 for another permission.';

CREATE FUNCTION appdb._is_my_email(email pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM app_data.users u
				   WHERE u.id = appdb.current_user_id() AND u.deleted_at IS NULL AND lower(u.email) = lower($1))
$$;
COMMENT ON FUNCTION appdb._is_my_email(pg_catalog.text) IS 'Internal: the work of appdb.is_my_email()';

CREATE FUNCTION appdb.is_my_email(email pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.is_my_email(pg_catalog.text) IS
	'Whether this is the e-mail address of the user who is asking, whatever its case';

-- == policies ===============================================================

-- The policies of the built-in tables: permissive, without sub-queries.  Where
-- a table is not listed, its rows in a space are the members'.
CREATE FUNCTION appdb._policies(
	OUT entity pg_catalog.name, OUT command pg_catalog.text, OUT shown pg_catalog.text, OUT allowed pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE ROWS 50
AS $$
	VALUES
	-- oneself, and those one works with; nobody else's account
	('users'::pg_catalog.name, 'select', 'id = appdb.current_user_id() OR appdb.knows_user(id)', NULL::pg_catalog.text),
	('users', 'update', 'id = appdb.current_user_id()', 'id = appdb.current_user_id()'),
	('users', 'delete', 'id = appdb.current_user_id()', NULL),
	('sessions', 'select', 'user_id = appdb.current_user_id()', NULL),
	('sessions', 'delete', 'user_id = appdb.current_user_id()', NULL),
	('accounts', 'select', 'user_id = appdb.current_user_id()', NULL),
	('accounts', 'delete', 'user_id = appdb.current_user_id()', NULL),

	('organizations', 'select', 'appdb.is_organization_member(id)', NULL),
	('organizations', 'update', 'appdb.has_organization_role(id, ''admin'')', 'appdb.has_organization_role(id, ''admin'')'),
	('organizations', 'delete', 'appdb.has_organization_role(id, ''owner'')', NULL),
	('members', 'select', 'appdb.is_organization_member(organization_id)', NULL),
	('members', 'insert', NULL, 'appdb.has_organization_role(organization_id, ''admin'')'),
	-- one's own too: to step down and to leave, which appdb.membership_rank() tells from the rest
	('members', 'update', 'appdb.has_organization_role(organization_id, ''admin'') OR (user_id = appdb.current_user_id() AND deleted_at IS NULL)',
	 'appdb.has_organization_role(organization_id, ''admin'') OR user_id = appdb.current_user_id()'),
	('members', 'delete', 'appdb.has_organization_role(organization_id, ''admin'') OR user_id = appdb.current_user_id()', NULL),

	('spaces', 'select', 'appdb.is_member(id)', NULL),
	('spaces', 'insert', NULL, 'owner_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''admin'')'),
	('spaces', 'update', 'appdb.has_role(id, ''admin'')', 'appdb.has_role(id, ''admin'') OR owner_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''member'')'),
	('spaces', 'delete', 'appdb.has_role(id, ''owner'')', NULL),
	('space_members', 'select', 'appdb.is_member(space_id)', NULL),
	('space_members', 'insert', NULL, 'appdb.has_role(space_id, ''admin'')'),
	('space_members', 'update', 'appdb.has_role(space_id, ''admin'') OR (user_id = appdb.current_user_id() AND deleted_at IS NULL)',
	 'appdb.has_role(space_id, ''admin'') OR user_id = appdb.current_user_id()'),
	('space_members', 'delete', 'appdb.has_role(space_id, ''admin'') OR user_id = appdb.current_user_id()', NULL),
	('invitations', 'select', 'appdb.has_role(space_id, ''admin'') OR appdb.has_organization_role(organization_id, ''admin'') OR appdb.is_my_email(email)', NULL),

	('chats', 'select', 'appdb.is_member(space_id) AND (visibility <> ''private'' OR user_id = appdb.current_user_id())', NULL),
	('chats', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id()'),
	('chats', 'update', 'appdb.has_role(space_id, ''editor'') AND (visibility <> ''private'' OR user_id = appdb.current_user_id())',
	 'appdb.has_role(space_id, ''editor'') AND (visibility <> ''private'' OR user_id = appdb.current_user_id())'),
	('chats', 'delete', '(appdb.has_role(space_id, ''admin'') AND visibility <> ''private'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())', NULL),
	('messages', 'select', 'appdb.is_member(space_id) AND appdb.can_read_chat(space_id, chat_id)', NULL),
	('messages', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id) AND COALESCE(user_id = appdb.current_user_id(), true)'),
	('messages', 'update', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id)',
	 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id)'),
	('messages', 'delete', 'appdb.can_read_chat(space_id, chat_id) AND (appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id()))', NULL),
	('message_files', 'select', 'appdb.is_member(space_id) AND appdb.can_read_message(space_id, message_id)', NULL),
	('message_files', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)'),
	('message_files', 'update', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)',
	 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)'),
	('message_files', 'delete', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)', NULL),

	-- a permission allows more than the role in the space does, also to who has none
	('files', 'select', 'appdb.is_member(space_id) OR appdb.has_file_permission(space_id, id, ''read'')', NULL),
	('files', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND COALESCE(user_id = appdb.current_user_id(), true)'),
	('files', 'update', 'appdb.has_role(space_id, ''editor'') OR appdb.has_file_permission(space_id, id, ''write'')',
	 'appdb.has_role(space_id, ''editor'') OR appdb.has_file_permission(space_id, id, ''write'')'),
	('files', 'delete', 'appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())', NULL),
	('file_permissions', 'select', 'appdb.is_member(space_id) OR user_id = appdb.current_user_id() OR appdb.has_file_permission(space_id, file_id, ''manage'')', NULL),
	('file_permissions', 'insert', NULL, '(appdb.has_role(space_id, ''admin'') OR appdb.has_file_permission(space_id, file_id, ''manage'')) AND COALESCE(granted_by = appdb.current_user_id(), true)'),
	('file_permissions', 'update', 'appdb.has_role(space_id, ''admin'') OR appdb.has_file_permission(space_id, file_id, ''manage'')',
	 'appdb.has_role(space_id, ''admin'') OR appdb.has_file_permission(space_id, file_id, ''manage'')'),
	('file_permissions', 'delete', 'appdb.has_role(space_id, ''admin'') OR appdb.has_file_permission(space_id, file_id, ''manage'')', NULL),

	-- money is the server's to write
	('subscriptions', 'select', 'user_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''admin'')', NULL),

	('tasks', 'select', 'user_id = appdb.current_user_id() OR appdb.is_member(space_id)', NULL),
	('tasks', 'insert', NULL, '(user_id = appdb.current_user_id() AND space_id IS NULL) OR appdb.has_role(space_id, ''editor'')'),

	-- what runs by itself, under a name that is unique for all, is the server's to write
	('schedules', 'select', 'user_id = appdb.current_user_id() OR appdb.is_member(space_id)', NULL)
$$;
COMMENT ON FUNCTION appdb._policies() IS 'Internal: the policies of the built-in tables';

-- Do the rows of a table belong to spaces, and to those who made them?  In some
-- of the built-in tables user_id is somebody else.
CREATE FUNCTION appdb._is_authored(entity pg_catalog.regclass) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (SELECT count(*) = 2 FROM pg_attribute a
			WHERE a.attrelid = entity AND a.attname IN ('space_id', 'user_id') AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped)
		AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = entity AND c.relnamespace = 'app_data'::regnamespace
						AND c.relname IN ('space_members', 'file_permissions', 'tasks', 'schedules'))
$$;
COMMENT ON FUNCTION appdb._is_authored(pg_catalog.regclass) IS 'Internal: whether rows of a table belong to spaces and to their authors';

-- Makes the policies of a table that belongs to the built-in ones or whose rows
-- belong to spaces, and those of roles with access level service.
CREATE FUNCTION appdb._sync_policies(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	rel record;
	tenant bool;
	authored bool;
	policy record;
BEGIN
	SELECT c.relname, c.relnamespace = 'app_data'::regnamespace AS built_in, c.relrowsecurity INTO rel
	FROM pg_class c WHERE c.oid = entity;
	rel.built_in := rel.built_in AND (EXISTS (SELECT FROM appdb._policies() p WHERE p.entity = rel.relname)
									  OR rel.relname = 'verifications');
	tenant := EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = _sync_policies.entity AND a.attname = 'space_id' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped);
	authored := EXISTS (SELECT FROM pg_attribute a
						WHERE a.attrelid = _sync_policies.entity AND a.attname = 'user_id' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped);
	IF NOT (rel.built_in OR tenant) THEN
		RETURN;
	END IF;
	IF NOT rel.relrowsecurity THEN
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', entity);
	END IF;

	FOR policy IN
		SELECT p.command, p.shown, p.allowed FROM appdb._policies() p WHERE rel.built_in AND p.entity = rel.relname
		UNION ALL
		SELECT v.command, v.shown, v.allowed
		FROM (VALUES
			('select', 'appdb.is_member(space_id)', NULL),
			('insert', NULL, 'appdb.has_role(space_id, ''editor'')'
				|| CASE WHEN authored THEN ' AND COALESCE(user_id = appdb.current_user_id(), true)' ELSE '' END),
			('update', 'appdb.has_role(space_id, ''editor'')', 'appdb.has_role(space_id, ''editor'')'),
			('delete', CASE WHEN authored
				THEN 'appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())'
				ELSE 'appdb.has_role(space_id, ''editor'')' END, NULL)) v (command, shown, allowed)
		WHERE NOT rel.built_in
	LOOP
		EXECUTE format('DROP POLICY IF EXISTS appdb_%s ON %s', policy.command, entity);
		EXECUTE format('CREATE POLICY appdb_%s ON %s FOR %s%s%s', policy.command, entity, policy.command,
					   ' USING (' || policy.shown || ')', ' WITH CHECK (' || policy.allowed || ')');
		EXECUTE format('COMMENT ON POLICY appdb_%s ON %s IS %L', policy.command, entity,
					   'Made by appdb.manage(); add policies of your own under other names');
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_policies(pg_catalog.regclass) IS 'Internal: makes the policies of a managed table';

-- == what roles get =========================================================

-- Functions that not everybody may execute.
CREATE FUNCTION appdb._grant_functions(level pg_catalog.text) RETURNS pg_catalog.text[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE level
		WHEN 'service' THEN ARRAY[
			'appdb.impersonate(uuid, boolean)', 'appdb.sign_in(uuid, interval, text, text)',
			'appdb.set_password(uuid, text)', 'appdb.sign_in_with_password(text, text, interval, text, text)',
			'appdb.explain_access(regclass, uuid, name)',
			'appdb.claim(text[], text, integer, interval)', 'appdb.heartbeat(uuid, integer, interval)', 'appdb.progress(uuid, integer, real, text)',
			'appdb.complete(uuid, integer, jsonb)', 'appdb.complete_many(uuid[], integer[], jsonb[])', 'appdb.fail(uuid, integer, text, interval)',
			'appdb.snooze(uuid, integer, interval)', 'appdb.idle(text[])'] || appdb._app_functions()::text[]
		WHEN 'app' THEN appdb._app_functions()::text[]
		ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION appdb._grant_functions(pg_catalog.text) IS 'Internal: the functions that a role with an access level may execute';

-- Privileges on one table and its live view.  Secrets (tokens, passwords) are
-- the servers': a live view needs the privilege for all columns, so whole
-- tables are left out.
CREATE FUNCTION appdb._sync_grants(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	name name;
	view name;
	grantee record;
	own bool;
	secret bool;
BEGIN
	IF to_regclass('app_data.access') IS NULL THEN
		RETURN;
	END IF;
	SELECT c.relname, m.view, c.relnamespace = 'app_data'::regnamespace INTO name, view, own
	FROM appdb._managed_tables() m JOIN pg_class c ON c.oid = m.entity WHERE m.entity = _sync_grants.entity;
	secret := own AND name IN ('sessions', 'accounts', 'verifications');

	FOR grantee IN
		SELECT a.role, a.level FROM app_data.access a JOIN pg_roles r ON r.rolname = a.role
	LOOP
		EXECUTE format('REVOKE ALL ON %s, appdb.%I FROM %I', entity, view, grantee.role);
		EXECUTE format('DROP POLICY IF EXISTS %I ON %s', 'appdb_service_' || grantee.role, entity);
		IF grantee.level = 'service' THEN
			EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO %I', entity, grantee.role);
			EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON appdb.%I TO %I', view, grantee.role);
			IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = _sync_grants.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped) THEN
				EXECUTE format('GRANT DELETE ON %s TO %I', entity, grantee.role);
			END IF;
			EXECUTE format('CREATE POLICY %I ON %s TO %I USING (true) WITH CHECK (true)',
						   'appdb_service_' || grantee.role, entity, grantee.role);
			EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', 'appdb_service_' || grantee.role, entity,
						   'Made by appdb.grant_access()');
		ELSIF NOT secret THEN
			EXECUTE format('GRANT SELECT ON %s, appdb.%I TO %I', entity, view, grantee.role);
			IF grantee.level = 'app' THEN
				EXECUTE format('GRANT INSERT, UPDATE ON %s TO %I', entity, grantee.role);
				EXECUTE format('GRANT INSERT, UPDATE, DELETE ON appdb.%I TO %I', view, grantee.role);
			END IF;
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_grants(pg_catalog.regclass) IS 'Internal: privileges of roles with access on a managed table and its live view';

CREATE FUNCTION appdb.grant_access(role pg_catalog.name, level pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	function text;
BEGIN
	IF level IS NULL OR level NOT IN ('app', 'readonly', 'service') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown access level "%s"', level),
			HINT = 'Levels are app, readonly and service.';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', role),
			HINT = format('CREATE ROLE %I LOGIN;', role);
	ELSIF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'app_data'::regnamespace AND c.relkind IN ('r', 'p')
				  AND pg_has_role(role, c.relowner, 'USAGE')) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_grant_operation',
			MESSAGE = format('role "%s" has the rights of the owner of the tables', role),
			DETAIL = 'Row security does not hold for the owner, nor for superusers.',
			HINT = 'Applications connect as a role of their own.';
	END IF;

	PERFORM appdb.revoke_access(role);
	INSERT INTO app_data.access (role, level) VALUES (grant_access.role, grant_access.level);
	PERFORM appdb._sync_grants(m.entity) FROM appdb._managed_tables() m;
	EXECUTE format('GRANT USAGE ON SCHEMA app_data TO %I', role);
	FOREACH function IN ARRAY appdb._grant_functions(level) LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', function, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.grant_access(pg_catalog.name, pg_catalog.text) IS
'Gives a database role what an application needs, on the built-in tables and those that are managed now or later; takes back what it had by another level.
role: the role that the application connects as; level: app (reads and writes what the user who is asking may), readonly (reads that), service (acts for any user, sees all rows, signs users in).
Errors: 22023 unknown level; 42704 no such role; 0LP01 a role with the rights of the tables'' owner. Only that owner may call it.';
REVOKE EXECUTE ON FUNCTION appdb.grant_access(pg_catalog.name, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.revoke_access(role pg_catalog.name)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	m record;
	function text;
	had bool;
BEGIN
	DELETE FROM app_data.access a WHERE a.role = revoke_access.role;
	had := FOUND;
	IF NOT had OR NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = revoke_access.role) THEN
		RETURN had;
	END IF;
	FOR m IN SELECT t.entity, t.view FROM appdb._managed_tables() t LOOP
		EXECUTE format('REVOKE ALL ON %s, appdb.%I FROM %I', m.entity, m.view, role);
		EXECUTE format('DROP POLICY IF EXISTS %I ON %s', 'appdb_service_' || role, m.entity);
	END LOOP;
	EXECUTE format('REVOKE USAGE ON SCHEMA app_data FROM %I', role);
	FOREACH function IN ARRAY appdb._grant_functions('service') LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM %I', function, role);
	END LOOP;
	RETURN true;
END
$$;
COMMENT ON FUNCTION appdb.revoke_access(pg_catalog.name) IS
'Takes back from a role what appdb.grant_access() gave; returns whether it had anything.
role: the role. Only the owner of the tables may call it.';
REVOKE EXECUTE ON FUNCTION appdb.revoke_access(pg_catalog.name) FROM PUBLIC;

-- sql/04_can.sql

-- What the user who is asking may do with a row, and why.

CREATE FUNCTION appdb._row_allows(entity pg_catalog.regclass, id pg_catalog.uuid, action pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'appdb_row_allows';
COMMENT ON FUNCTION appdb._row_allows(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.text) IS
	'Internal: whether policies let the caller see a row, and update or delete it';

CREATE FUNCTION appdb._entity(entity pg_catalog.regclass, OUT base pg_catalog.regclass, OUT live_view pg_catalog.regclass)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT m.entity, m.live_view INTO base, live_view FROM appdb.managed m
	WHERE _entity.entity IN (m.entity, m.live_view) AND m.live_view IS NOT NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is no managed table or live view', entity),
			HINT = 'appdb.managed lists them.';
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._entity(pg_catalog.regclass) IS 'Internal: the base table and the live view of either, or an error';

CREATE FUNCTION appdb.can(action pg_catalog.text, entity pg_catalog.regclass, id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
	visible bool;
BEGIN
	IF action IS NULL OR action NOT IN ('read', 'update', 'delete') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown action "%s"', action),
			HINT = 'Actions are read, update and delete.';
	END IF;
	e := appdb._entity(entity);
	IF NOT (has_table_privilege(e.live_view, 'SELECT') AND has_table_privilege(e.base, 'SELECT')) THEN
		RETURN false;
	ELSIF action = 'update' AND NOT (has_any_column_privilege(e.live_view, 'UPDATE') AND has_any_column_privilege(e.base, 'UPDATE')) THEN
		RETURN false;
	ELSIF action = 'delete' AND NOT has_table_privilege(e.live_view, 'DELETE') THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s v WHERE v.id = $1)', e.live_view) INTO visible USING id;
	RETURN visible AND (action = 'read' OR appdb._row_allows(e.base, id, action));
END
$$;
COMMENT ON FUNCTION appdb.can(pg_catalog.text, pg_catalog.regclass, pg_catalog.uuid) IS
'Whether the calling role, for the user who is asking, may do something with a live row: by privileges and by the row''s policies. Changes and locks nothing.
action: read, update (as the row is now; what it may become is another question) or delete; entity: the live view or its table; id: the row.
Returns false for a row that is not there, as for one that may not be seen. Errors: 22023 for another action; 42809 for another relation.';

-- Whoever sees all rows asks: the policies that hold for everybody are read
-- from the catalog and tried on the row, for the user who is asking.
CREATE FUNCTION appdb.explain_access(
	entity pg_catalog.regclass, id pg_catalog.uuid, role pg_catalog.name DEFAULT NULL,
	OUT question pg_catalog.text, OUT answer pg_catalog.bool, OUT because pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
	me uuid := appdb.current_user_id();
	found_row jsonb;
	space uuid;
	organization uuid;
	action record;
	permissive bool;
	restrictive bool;
	policy record;
	holds bool;
BEGIN
	e := appdb._entity(entity);
	question := 'signed in';
	answer := me IS NOT NULL;
	because := coalesce('user ' || me, 'nobody is: call appdb.authenticate() or appdb.impersonate() in the same transaction');
	RETURN NEXT;

	IF role IS NOT NULL THEN
		FOR action IN SELECT * FROM (VALUES ('read', 'SELECT'), ('update', 'UPDATE'), ('delete', 'DELETE')) v (name, privilege) LOOP
			question := format('role %s: %s', role, action.name);
			answer := has_any_column_privilege(role, e.live_view, 'SELECT')
				AND CASE action.name WHEN 'delete' THEN has_table_privilege(role, e.live_view, 'DELETE')
					ELSE has_any_column_privilege(role, e.live_view, action.privilege) AND has_any_column_privilege(role, e.base, action.privilege) END;
			because := CASE WHEN answer THEN 'privileges on the table and its live view'
				ELSE format('no privilege %s on the table or its live view: SELECT appdb.grant_access(%L, …)', action.privilege, role) END;
			RETURN NEXT;
		END LOOP;
	END IF;

	EXECUTE format('SELECT jsonb_build_object(''space'', to_jsonb(t) -> %L, ''organization'', to_jsonb(t) -> %L, ''deleted_at'', to_jsonb(t) -> ''deleted_at'') FROM %s t WHERE t.id = $1',
				   CASE WHEN e.base = to_regclass('app_data.spaces') THEN 'id' ELSE 'space_id' END,
				   CASE WHEN e.base = to_regclass('app_data.organizations') THEN 'id' ELSE 'organization_id' END, e.base)
	INTO found_row USING id;
	question := 'row is there';
	answer := found_row IS NOT NULL AND found_row ->> 'deleted_at' IS NULL;
	because := CASE WHEN found_row IS NULL THEN 'no row has this id'
		WHEN answer THEN 'it is, and is not deleted'
		ELSE 'it was deleted: appdb.restore() brings it back' END;
	RETURN NEXT;
	IF found_row IS NULL THEN
		RETURN;
	END IF;

	space := found_row ->> 'space';
	organization := found_row ->> 'organization';
	IF space IS NOT NULL THEN
		question := 'member of the space';
		answer := appdb.is_member(space);
		because := format('the user''s role in space %s is %s', space,
						  coalesce((SELECT r FROM unnest(ARRAY['owner', 'admin', 'editor', 'viewer']) WITH ORDINALITY u (r, n)
									WHERE appdb.has_role(space, r) ORDER BY n LIMIT 1), 'none'));
		RETURN NEXT;
	END IF;
	IF organization IS NOT NULL THEN
		question := 'member of the organization';
		answer := appdb.is_organization_member(organization);
		because := format('the user''s role in organization %s is %s', organization,
						  coalesce((SELECT r FROM unnest(ARRAY['owner', 'admin', 'member']) WITH ORDINALITY u (r, n)
									WHERE appdb.has_organization_role(organization, r) ORDER BY n LIMIT 1), 'none'));
		RETURN NEXT;
	END IF;

	FOR action IN SELECT * FROM (VALUES ('read', 'r'), ('update', 'w'), ('delete', 'd')) v (name, cmd) LOOP
		question := action.name;
		permissive := false;
		restrictive := true;
		because := NULL;
		FOR policy IN
			SELECT p.polname, p.polpermissive, coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') AS expression
			FROM pg_policy p
			WHERE p.polrelid = e.base AND p.polcmd::text IN (action.cmd, '*')
			  AND (0::oid = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r
														WHERE pg_has_role(role, r, 'USAGE')))
			ORDER BY p.polname
		LOOP
			EXECUTE format('SELECT %s FROM %s WHERE %s.id = $1', policy.expression, e.base,
						   (SELECT quote_ident(c.relname) FROM pg_class c WHERE c.oid = e.base)) INTO holds USING id;
			holds := coalesce(holds, false);
			IF policy.polpermissive THEN
				permissive := permissive OR holds;
			ELSE
				restrictive := restrictive AND holds;
			END IF;
			because := concat_ws('; ', because, format('policy %s %s: %s', policy.polname, CASE WHEN holds THEN 'holds' ELSE 'does not hold' END, policy.expression));
		END LOOP;
		answer := permissive AND restrictive AND found_row ->> 'deleted_at' IS NULL;
		because := coalesce(because, 'no policy allows it');
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name) IS
'Why the user who is asking may read, update or delete a row, or may not: a row for each question. For roles that see all rows: service, or the owner of the tables.
entity: the live view or its table; id: the row; role: also the privileges and policies of this database role.
Errors: 42809 for another relation.';
REVOKE EXECUTE ON FUNCTION appdb.explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name) FROM PUBLIC;

-- sql/04_doctor.sql

-- What is wrong with this database, and what to type against it.

-- Foreign keys without an index to find the rows by.
CREATE FUNCTION appdb._unindexed_keys(entity pg_catalog.regclass,
									  OUT conname pg_catalog.name, OUT columns pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 1
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.conname, string_agg(format('%I', a.attname), ', ' ORDER BY u.n)
	FROM pg_constraint c
	CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY u (attnum, n)
	JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.attnum
	WHERE c.conrelid = entity AND c.contype = 'f'
	  AND NOT EXISTS (
		SELECT FROM pg_index i
		WHERE i.indrelid = c.conrelid AND i.indisvalid
		  AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
	GROUP BY c.oid, c.conname ORDER BY c.conname
$$;
COMMENT ON FUNCTION appdb._unindexed_keys(pg_catalog.regclass) IS 'Internal: foreign keys of a table that have no index';

CREATE FUNCTION appdb._preloaded() RETURNS pg_catalog.bool
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__preloaded';
COMMENT ON FUNCTION appdb._preloaded() IS 'Internal: whether the settings make sessions load the library when they begin';

-- What the catalogs say.
CREATE FUNCTION appdb._doctor_catalogs(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT problem pg_catalog.text, OUT fix pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	data_schema oid := 'app_data'::regnamespace;
	owner oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'app_data');
BEGIN
	-- versions
	RETURN QUERY
		SELECT 'error', 'extension appdb',
			   format('its functions are of version %s, its library of %s', e.extversion, appdb._library_version()),
			   'ALTER EXTENSION appdb UPDATE;'
		FROM pg_extension e WHERE e.extname = 'appdb' AND e.extversion <> appdb._library_version();
	IF (SELECT count(*) FROM app_data.schema_version) <> 1 THEN
		RETURN QUERY SELECT 'error', 'app_data.schema_version', 'it does not have exactly one row: the version of the tables is not known',
			format('DELETE FROM app_data.schema_version; INSERT INTO app_data.schema_version (version) VALUES (%L);', appdb.version());
	ELSE
		RETURN QUERY
			SELECT 'error', 'schema app_data',
				   format('the tables are at version %s, the engine at %s', v.version, appdb.version()),
				   CASE WHEN string_to_array(v.version, '.')::int[] < string_to_array(appdb.version(), '.')::int[]
						THEN 'SELECT appdb.migrate();'
						ELSE 'Install the newer version of appdb on this server, then: ALTER EXTENSION appdb UPDATE;' END
			FROM app_data.schema_version v WHERE v.version <> appdb.version() AND v.version ~ '^[0-9]+(\.[0-9]+)*$';
	END IF;
	RETURN QUERY
		SELECT 'warning', 'schema app_data',
			   format('%s of the last upgrade remain to be done beside load (appdb.pending())%s',
					  CASE count(*) WHEN 1 THEN '1 step' ELSE count(*) || ' steps' END, ', the last attempt failed: ' || max(p.error)),
			   'CALL appdb.migrate_online();'
		FROM app_data.pending p HAVING count(*) > 0;

	-- user data that would go with the extension
	RETURN QUERY
		SELECT 'error', i.identity,
			   format('it is a member of extension "%s": dropping that drops it, and dumps leave it out', e.extname),
			   format('ALTER EXTENSION %I DROP %s %s;', e.extname, upper(i.type), i.identity)
		FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND i.schema = 'app_data'
		  AND (e.extname = 'appdb' OR i.type IN ('table', 'sequence', 'type'))
		  -- 18 counts a table's row type as well
		  AND NOT EXISTS (SELECT FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid AND c.relkind <> 'c'
						  WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid)
		ORDER BY i.identity;

	-- managed tables: what manage() makes
	RETURN QUERY
		SELECT 'error', m.entity::text, format('it has no live view: "appdb.%s" does not exist', m.name),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m WHERE m.live_view IS NULL ORDER BY 2;
	RETURN QUERY
		SELECT 'warning', m.live_view::text, format('it does not have the columns of table "%s", in their order', m.entity),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m
		WHERE m.live_view IS NOT NULL
		  AND ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = m.entity AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		   <> ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = m.live_view AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', m.live_view::text, 'it is not security_invoker: whoever may read it sees the rows of all tenants',
			   format('ALTER VIEW %s SET (security_invoker = true);', m.live_view)
		FROM appdb.managed m JOIN pg_class c ON c.oid = m.live_view
		WHERE NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
						  WHERE o.option_name = 'security_invoker' AND o.option_value::bool)
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', w.relation::text, format('trigger "%s" is missing', w.trigger_name),
			   format('SELECT appdb.manage(%L);', w.entity)
		FROM (SELECT m.entity, CASE WHEN t.wanted = 'view' THEN m.live_view ELSE m.entity END AS relation, t.trigger_name
			  FROM appdb.managed m, appdb._wanted_triggers(m.entity, m.soft_delete) t
			  UNION ALL
			  SELECT DISTINCT m.entity, m.entity, 'zz_appdb_guard'::name
			  FROM appdb.managed m
			  JOIN pg_constraint c ON c.conrelid = m.entity AND c.contype = 'f'
			  JOIN appdb.managed p ON p.entity = c.confrelid AND p.soft_delete) w
		WHERE w.relation IS NOT NULL
		  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = w.relation AND t.tgname = w.trigger_name AND NOT t.tgisinternal)
		ORDER BY 2, w.trigger_name;
	RETURN QUERY
		SELECT 'warning', m.entity::text, format('column "%s" has no default', a.attname),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m
		JOIN pg_attribute a ON a.attrelid = m.entity AND a.attname IN ('id', 'created_at', 'updated_at')
						   AND NOT a.atthasdef AND a.attidentity = ''
		ORDER BY 2, 3;

	-- triggers that somebody has switched off
	RETURN QUERY
		SELECT DISTINCT 'error', c.oid::regclass::text,
			   CASE WHEN t.tgisinternal THEN format('the trigger of foreign key "%s" is disabled: it is not checked', k.conname)
					WHEN t.tgenabled = 'O' THEN format('trigger "%s" does not fire for what replication applies', t.tgname)
					ELSE format('trigger "%s" is disabled', t.tgname) END,
			   CASE WHEN t.tgisinternal THEN format('ALTER TABLE %s ENABLE TRIGGER ALL;', c.oid::regclass)
					ELSE format('ALTER TABLE %s ENABLE %sTRIGGER %I;', c.oid::regclass, CASE WHEN p.proname = 'membership_changed' THEN 'ALWAYS ' END, t.tgname) END
		FROM pg_trigger t
		JOIN pg_class c ON c.oid = t.tgrelid
		LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint AND k.contype = 'f'
		LEFT JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'appdb'::regnamespace
		WHERE (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m)
			   OR c.oid IN (SELECT m.live_view FROM appdb.managed m))
		  AND (k.oid IS NOT NULL OR p.oid IS NOT NULL)
		  AND (t.tgenabled IN ('D', 'R') OR (t.tgenabled = 'O' AND p.proname = 'membership_changed'))
		ORDER BY 2, 3;
	RETURN QUERY
		SELECT 'error', format('event trigger %s', v.name),
			   CASE WHEN e.oid IS NULL THEN 'it is missing' WHEN e.evtenabled = 'D' THEN 'it is disabled'
					ELSE 'it is not enabled as the engine made it' END,
			   CASE WHEN e.oid IS NULL THEN 'SET appdb.allow_drop = on; DROP EXTENSION appdb CASCADE; CREATE EXTENSION appdb;  -- the rows stay'
					ELSE format('ALTER EVENT TRIGGER %I ENABLE%s;  -- as a superuser', v.name, CASE v.enabled WHEN 'A' THEN ' ALWAYS' ELSE '' END) END
		FROM (VALUES ('appdb_protect', 'A'), ('appdb_forget_dropped', 'A'), ('appdb_follow', 'O')) v (name, enabled)
		LEFT JOIN pg_event_trigger e ON e.evtname = v.name
		WHERE e.evtenabled IS DISTINCT FROM v.enabled::"char"
		ORDER BY 2;

	-- indexes and constraints
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('foreign key "%s" has no index: deletes and relations that follow it read the whole table', k.conname),
			   format('CREATE INDEX CONCURRENTLY ON %s (%s);', m.entity, k.columns)
		FROM appdb._managed_tables() m, appdb._unindexed_keys(m.entity) k
		ORDER BY 2, k.conname;
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('foreign key "%s" does not refer to the "id" of "%s": soft deletes do not follow it', c.conname, c.confrelid::regclass),
			   'Refer to the id, alone or with other columns.'
		FROM appdb._managed_tables() m
		JOIN pg_constraint c ON c.conrelid = m.entity AND c.contype = 'f'
		JOIN appdb._managed_tables() p ON p.entity = c.confrelid
		WHERE NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = 'id')
		ORDER BY 2, c.conname;
	RETURN QUERY
		SELECT 'warning', i.indexrelid::regclass::text,
			   format('the index is invalid: building it was not finished; it costs every write to "%s" and serves no query', i.indrelid::regclass),
			   CASE WHEN i.indisunique THEN format('REINDEX INDEX CONCURRENTLY %s;  -- it is to be unique: remove duplicates first', i.indexrelid::regclass)
					ELSE format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::regclass) END
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		WHERE NOT i.indisvalid AND c.relkind = 'r'
		  AND (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m))
		  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
		ORDER BY 2;
	RETURN QUERY
		SELECT 'warning', c.conrelid::regclass::text, format('constraint "%s" has not been validated: older rows may break it', c.conname),
			   format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', c.conrelid::regclass, c.conname)
		FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
		WHERE NOT c.convalidated
		  AND (t.relnamespace = data_schema OR t.oid IN (SELECT m.entity FROM appdb._managed_tables() m))
		ORDER BY 2, c.conname;

	-- who sees what
	RETURN QUERY
		SELECT CASE WHEN c.relnamespace = data_schema THEN 'error' ELSE 'warning' END, c.oid::regclass::text,
			   CASE WHEN NOT c.relrowsecurity THEN 'it has no row security: whoever may read it sees the rows of all tenants'
					ELSE 'it has no policies: only its owner sees rows' END,
			   CASE WHEN NOT c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
					THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', c.oid::regclass)
					WHEN EXISTS (SELECT FROM appdb._policies() p WHERE c.relnamespace = data_schema AND p.entity = c.relname)
						OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'space_id'
								   AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped)
					THEN format('SELECT appdb.manage(%L);', c.oid::regclass)
					ELSE format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON %1$s FOR SELECT USING (…);', c.oid::regclass) END
		FROM pg_class c
		WHERE c.relkind IN ('r', 'p')
		  AND (c.oid IN (SELECT m.entity FROM appdb._managed_tables() m)
			   OR (c.relnamespace = data_schema
				   AND EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner)))
		  AND (NOT c.relrowsecurity
			   OR (NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)
				   -- for servers alone
				   AND c.oid IS DISTINCT FROM to_regclass('app_data.verifications')))
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', c.oid::regclass::text, format('PUBLIC has %s on it', lower(string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type))),
			   format('REVOKE ALL ON %s FROM PUBLIC;', c.oid::regclass)
		FROM pg_class c, aclexplode(c.relacl) g
		WHERE g.grantee = 0
		  AND (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m UNION ALL SELECT m.live_view FROM appdb.managed m))
		GROUP BY c.oid ORDER BY 2;
	RETURN QUERY
		SELECT 'error', format('schema %s', n.nspname), 'PUBLIC may create objects in it, in the way of the engine''s',
			   format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC;', n.nspname)
		FROM pg_namespace n, aclexplode(n.nspacl) g
		WHERE n.nspname IN ('app_data', 'appdb') AND g.grantee = 0 AND g.privilege_type = 'CREATE'
		ORDER BY 2;
	RETURN QUERY
		SELECT CASE WHEN r.oid IS NULL THEN 'warning' ELSE 'error' END, format('role %s', a.role),
			   CASE WHEN r.oid IS NULL THEN format('it has access level %s, and does not exist', a.level)
					WHEN r.rolsuper THEN 'it is a superuser: row security does not hold for it'
					WHEN r.rolbypassrls THEN 'it has BYPASSRLS: row security does not hold for it'
					ELSE 'it has the rights of the owner of the tables: row security does not hold for it' END,
			   CASE WHEN r.oid IS NULL THEN format('SELECT appdb.revoke_access(%L);', a.role)
					WHEN r.rolsuper THEN format('ALTER ROLE %I NOSUPERUSER;', a.role)
					WHEN r.rolbypassrls THEN format('ALTER ROLE %I NOBYPASSRLS;', a.role)
					ELSE format('REVOKE %I FROM %I;', owner::regrole, a.role) END
		FROM app_data.access a LEFT JOIN pg_roles r ON r.rolname = a.role
		WHERE r.oid IS NULL OR r.rolsuper OR (r.rolbypassrls AND a.level <> 'service') OR pg_has_role(r.oid, owner, 'USAGE')
		ORDER BY 2;
	RETURN QUERY
		SELECT 'warning', format('role %s', s.usename),
			   format('%s client connections as it (%s): it is the owner of the tables or a superuser, for whom row security does not hold',
					  count(*), string_agg(DISTINCT COALESCE(NULLIF(s.application_name, ''), 'without a name'), ', ')),
			   'CREATE ROLE web LOGIN; SELECT appdb.grant_access(''web'', ''app'');  -- and connect the application as web'
		FROM pg_stat_activity s JOIN pg_roles r ON r.oid = s.usesysid
		WHERE s.datname = current_database() AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
		  AND (r.rolsuper OR pg_has_role(r.oid, owner, 'USAGE'))
		  AND s.application_name !~* '^(psql|pg_|pgadmin|dbeaver|datagrip)'
		GROUP BY s.usename ORDER BY 2;

	-- settings
	RETURN QUERY
		SELECT v.severity, format('setting %s', v.name), v.problem,
			   COALESCE(v.fix, format('ALTER SYSTEM RESET %s; SELECT pg_reload_conf();', v.name))
		FROM (VALUES
			('fsync', 'off', 'error', 'a crash of the machine can lose or corrupt the whole cluster', NULL),
			('full_page_writes', 'off', 'error', 'a crash of the machine can corrupt pages', NULL),
			('synchronous_commit', 'off', 'warning', 'a crash loses transactions that clients were told are committed', NULL),
			('zero_damaged_pages', 'on', 'error', 'damaged pages are emptied instead of reported', NULL),
			('ignore_checksum_failure', 'on', 'error', 'damaged pages are read as if they were whole', NULL),
			('autovacuum', 'off', 'error', 'tables grow without bound, and transaction ids run out', NULL),
			('track_counts', 'off', 'error', 'autovacuum does not know what to do: tables grow without bound', NULL)
			) v (name, bad, severity, problem, fix)
		WHERE current_setting(v.name) = v.bad
		ORDER BY 2;
	RETURN QUERY
		SELECT CASE c.name WHEN 'appdb.allow_drop' THEN 'warning' ELSE 'error' END, format('setting %s', c.name),
			   format('it is %s%s: %s', c.value,
					  CASE WHEN c.for_database IS NULL THEN ' in this session' ELSE c.for_database || c.for_role END,
					  CASE c.name WHEN 'appdb.allow_drop' THEN 'tables and rows can be dropped without being asked'
								  ELSE 'foreign keys, cascades and guards do not work' END),
			   CASE WHEN c.for_database IS NULL THEN format('RESET %s;  -- or in the configuration file', c.name)
					ELSE format('ALTER %s RESET %s;', c.target, c.name) END
		FROM (SELECT o.option_name AS name, o.option_value AS value,
					 CASE WHEN s.setdatabase <> 0 THEN format(' for database %s', d.datname) ELSE '' END AS for_database,
					 CASE WHEN s.setrole <> 0 THEN format(' for role %s', s.setrole::regrole) ELSE '' END AS for_role,
					 CASE WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
						  ELSE format('ROLE %s%s', s.setrole::regrole, CASE WHEN s.setdatabase <> 0 THEN format(' IN DATABASE %I', d.datname) ELSE '' END) END AS target
			  FROM pg_db_role_setting s
			  LEFT JOIN pg_database d ON d.oid = s.setdatabase
			  CROSS JOIN LATERAL pg_options_to_table(s.setconfig) o
			  WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
			  UNION ALL
			  SELECT v.name, current_setting(v.name, true), NULL, NULL, NULL
			  FROM (VALUES ('appdb.allow_drop'), ('session_replication_role')) v (name)) c
		WHERE (c.name = 'appdb.allow_drop' AND c.value IN ('on', 'true', 'yes', '1'))
		   OR (c.name = 'session_replication_role' AND c.value <> 'origin')
		ORDER BY 2, 3;
	RETURN QUERY
		SELECT 'advice', 'setting session_preload_libraries',
			   'it does not name appdb: a DELETE that is the first to use the engine in its session goes row by row',
			   format('ALTER DATABASE %I SET session_preload_libraries = ''appdb'';  -- as a superuser', current_database())
		WHERE NOT appdb._preloaded()
		  AND NOT EXISTS (
			SELECT FROM pg_db_role_setting s, pg_options_to_table(s.setconfig) o, regexp_split_to_table(o.option_value, '[\s,"]+') l
			WHERE s.setrole = 0 AND s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
			  AND o.option_name = 'session_preload_libraries' AND l IN ('appdb', '$libdir/appdb'));
END
$$;
COMMENT ON FUNCTION appdb._doctor_catalogs() IS 'Internal: what appdb.doctor() finds without reading rows';

-- What the rows say.  Reads every managed table.
CREATE FUNCTION appdb._doctor_rows(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT problem pg_catalog.text, OUT fix pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	link record;
	found record;
BEGIN
	FOR link IN
		SELECT child.entity AS child, child.name AS child_view, child.soft_delete AS child_soft,
			   parent.entity AS parent, parent.soft_delete AS parent_soft, c.conname,
			   string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ' ORDER BY u.n) AS condition,
			   string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ' ORDER BY u.n) AS complete,
			   max(a.attname::text) FILTER (WHERE b.attname = 'id') AS column,
			   COALESCE(max(child.relations -> a.attname::text ->> 'on_delete') FILTER (WHERE b.attname = 'id'),
						CASE c.confdeltype WHEN 'n' THEN 'set null' ELSE 'cascade' END) AS mode
		FROM pg_constraint c
		JOIN appdb.managed child ON child.entity = c.conrelid
		JOIN appdb.managed parent ON parent.entity = c.confrelid
		CROSS JOIN LATERAL unnest(c.conkey, c.confkey) WITH ORDINALITY u (conkey, confkey, n)
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.conkey
		JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = u.confkey
		WHERE c.contype = 'f' AND c.conparentid = 0
		GROUP BY c.oid, c.conname, c.confdeltype, child.entity, child.name, child.soft_delete, child.relations, parent.entity, parent.soft_delete
		HAVING bool_or(b.attname = 'id')
		ORDER BY child.entity::text, c.conname
	LOOP
		EXECUTE format(
			'SELECT count(*) FILTER (WHERE p.id IS NULL) AS missing, %s AS deleted FROM %s c LEFT JOIN %s p ON %s '
			'WHERE %s AND (p.id IS NULL%s)',
			CASE WHEN link.parent_soft THEN 'count(*) FILTER (WHERE p.deleted_at IS NOT NULL)' ELSE '0' END,
			link.child, link.parent, link.condition, link.complete,
			CASE WHEN link.parent_soft THEN ' OR (p.deleted_at IS NOT NULL' || CASE WHEN link.child_soft THEN ' AND c.deleted_at IS NULL)' ELSE ')' END ELSE '' END)
		INTO found;
		IF found.deleted > 0 THEN
			RETURN QUERY SELECT 'error', link.child::text,
				format('%s live rows refer to deleted rows of "%s" (foreign key "%s")', found.deleted, link.parent, link.conname),
				CASE WHEN link.mode = 'set null' THEN
					format('UPDATE %s AS c SET %I = NULL FROM %s AS p WHERE %s AND p.deleted_at IS NOT NULL%s;',
						   link.child, link.column, link.parent, link.condition, CASE WHEN link.child_soft THEN ' AND c.deleted_at IS NULL' ELSE '' END)
				ELSE
					format('DELETE FROM appdb.%I AS c USING %s AS p WHERE %s AND p.deleted_at IS NOT NULL;  -- or bring those back: appdb.restore()',
						   link.child_view, link.parent, link.condition)
				END;
		END IF;
		IF found.missing > 0 THEN
			RETURN QUERY SELECT 'error', link.child::text,
				format('%s rows refer to rows of "%s" that do not exist (foreign key "%s")', found.missing, link.parent, link.conname),
				format('SELECT * FROM %s AS c WHERE %s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s);  -- bring those back from a backup, or erase these',
					   link.child, link.complete, link.parent, link.condition);
		END IF;
	END LOOP;

	RETURN QUERY
		SELECT 'error', format('organization %s', o.id), format('"%s" has members and no owner among them', o.name),
			   format('UPDATE appdb.members SET role = ''owner'' WHERE organization_id = %L AND user_id = …;', o.id)
		FROM app_data.organizations o
		WHERE o.deleted_at IS NULL
		  AND EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = o.id AND m.deleted_at IS NULL)
		  AND NOT EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = o.id AND m.deleted_at IS NULL AND m.role = 'owner')
		ORDER BY o.id;
	RETURN QUERY
		SELECT 'error', format('space %s', s.id), format('"%s" has members and no owner among them', s.name),
			   format('UPDATE appdb.space_members SET role = ''owner'' WHERE space_id = %L AND user_id = …;', s.id)
		FROM app_data.spaces s
		WHERE s.deleted_at IS NULL AND s.owner_id IS NULL
		  AND EXISTS (SELECT FROM app_data.space_members m WHERE m.space_id = s.id AND m.deleted_at IS NULL)
		  AND NOT EXISTS (SELECT FROM app_data.space_members m WHERE m.space_id = s.id AND m.deleted_at IS NULL AND m.role = 'owner')
		  AND NOT EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = s.organization_id AND m.deleted_at IS NULL AND m.role = 'owner')
		ORDER BY s.id;

	RETURN QUERY
		SELECT 'warning', 'retention',
			   format('%s deleted rows, with what was deleted with them, should have been purged, the first on %s', count(*), min(t.purge_at)::date),
			   'CALL appdb.purge();'
		FROM appdb.trash t WHERE t.purge_at < now() - interval '1 day'
		HAVING count(*) > 0;
	RETURN QUERY
		SELECT 'warning', 'tasks', format('%s tasks have lost their worker more than an hour ago: nobody maintains the queue', count(*)),
			   'CALL appdb.maintain();  -- from cron, or let the background worker do it: shared_preload_libraries = ''appdb'''
		FROM app_data.tasks t WHERE t.status = 'running' AND t.locked_until < now() - interval '1 hour' AND t.deleted_at IS NULL
		HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION appdb._doctor_rows() IS 'Internal: what appdb.doctor() finds by reading the tables';

CREATE FUNCTION appdb.__doctor(check_rows pg_catalog.bool) RETURNS pg_catalog.jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN (SELECT jsonb_agg(to_jsonb(f)) FROM (
		SELECT c.* FROM appdb._doctor_catalogs() c
		UNION ALL
		SELECT r.* FROM appdb._doctor_rows() r WHERE check_rows) f);
END
$$;
COMMENT ON FUNCTION appdb.__doctor(pg_catalog.bool) IS 'Internal: the work of appdb._doctor()';

CREATE FUNCTION appdb._doctor(check_rows pg_catalog.bool) RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb._doctor(pg_catalog.bool) IS 'Internal: the findings of appdb.doctor(), looked for as the owner of the tables';

CREATE FUNCTION appdb.doctor(check_rows pg_catalog.bool DEFAULT true)
	RETURNS TABLE (severity pg_catalog.text, object pg_catalog.text, problem pg_catalog.text, fix pg_catalog.text)
	LANGUAGE sql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.* FROM jsonb_to_recordset(appdb._doctor(check_rows)) f (severity text, object text, problem text, fix text)
	ORDER BY array_position(ARRAY['error', 'warning', 'advice'], f.severity)
$$;
COMMENT ON FUNCTION appdb.doctor(pg_catalog.bool) IS
'What is wrong with this database: a row for each finding, the gravest first; a healthy one gives no row. Changes nothing.
check_rows: whether to read all tables as well, for broken invariants (orphans, spaces without an owner, overdue retention): minutes, where they are large.
severity: error (rules do not hold, or data is in danger), warning, or advice; object: what it is about; problem; fix: what to type. Only the owner of the tables and superusers may call it.';
REVOKE EXECUTE ON FUNCTION appdb.doctor(pg_catalog.bool), appdb._doctor(pg_catalog.bool), appdb.__doctor(pg_catalog.bool),
	appdb._doctor_catalogs(), appdb._doctor_rows() FROM PUBLIC;

-- sql/04_find.sql

-- find(): a whole tree of rows in one call, and what says what can be asked.

-- What find.c knows entities by: their columns, in order.
CREATE FUNCTION appdb._find_columns(
	OUT view pg_catalog.name, OUT view_oid pg_catalog.oid, OUT table_oid pg_catalog.oid, OUT soft_delete pg_catalog.bool,
	OUT name pg_catalog.name, OUT type pg_catalog.oid, OUT not_null pg_catalog.bool)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 300
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.view, v.oid, m.entity::oid,
		   EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = m.entity AND d.attname = 'deleted_at' AND NOT d.attisdropped),
		   a.attname, a.atttypid, COALESCE(b.attnotnull, false)
	FROM appdb._managed_tables() m
	JOIN pg_class v ON v.relname = m.view AND v.relnamespace = 'appdb'::regnamespace AND v.relkind = 'v'
	JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND NOT a.attisdropped
	LEFT JOIN pg_attribute b ON b.attrelid = m.entity AND b.attname = a.attname AND NOT b.attisdropped
	ORDER BY m.view, a.attnum
$$;
COMMENT ON FUNCTION appdb._find_columns() IS 'Internal: live views and their columns, for appdb.find()';

-- The application's functions of a row: of one argument, a row of the live
-- view, in schema appdb, where nobody else may create any.
CREATE FUNCTION appdb._find_extras(OUT view pg_catalog.name, OUT name pg_catalog.name, OUT type pg_catalog.oid)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.view, p.proname, p.prorettype
	FROM appdb._managed_tables() m
	JOIN pg_class v ON v.relname = m.view AND v.relnamespace = 'appdb'::regnamespace AND v.relkind = 'v'
	JOIN pg_proc p ON p.pronamespace = 'appdb'::regnamespace AND p.pronargs = 1 AND p.proargtypes[0] = v.reltype
	WHERE NOT p.proretset AND p.prokind = 'f'
	ORDER BY m.view, p.proname
$$;
COMMENT ON FUNCTION appdb._find_extras() IS 'Internal: functions of a live view''s row, for appdb.find()';

CREATE FUNCTION appdb._cursor(ordering pg_catalog.int8, VARIADIC "values" "any") RETURNS pg_catalog.text
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__cursor';
COMMENT ON FUNCTION appdb._cursor(pg_catalog.int8, "any") IS 'Internal: the opaque cursor of a row, for appdb.find()';

-- Dear enough that it waits for ORDER BY and LIMIT to choose the rows.
CREATE FUNCTION appdb._row(keys pg_catalog.text[], VARIADIC "values" "any") RETURNS pg_catalog.json
	LANGUAGE c STABLE PARALLEL SAFE COST 20
	AS 'MODULE_PATHNAME', 'appdb__row';
COMMENT ON FUNCTION appdb._row(pg_catalog.text[], "any") IS 'Internal: a JSON object of keys and values, for appdb.find()';

CREATE FUNCTION appdb._rows_add(pg_catalog.internal, pg_catalog.json) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__rows_add';
COMMENT ON FUNCTION appdb._rows_add(pg_catalog.internal, pg_catalog.json) IS 'Internal: transition function of appdb._rows()';

CREATE FUNCTION appdb._rows_end(pg_catalog.internal) RETURNS pg_catalog.json
	LANGUAGE c IMMUTABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__rows_end';
COMMENT ON FUNCTION appdb._rows_end(pg_catalog.internal) IS 'Internal: final function of appdb._rows()';

CREATE AGGREGATE appdb._rows(pg_catalog.json) (
	SFUNC = appdb._rows_add, STYPE = pg_catalog.internal,
	FINALFUNC = appdb._rows_end, FINALFUNC_MODIFY = READ_WRITE, PARALLEL = SAFE);
COMMENT ON AGGREGATE appdb._rows(pg_catalog.json) IS 'Internal: a JSON array of rows, [] of none, for appdb.find()';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}') RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.json) IS
'Rows of a live view with what they are related to, as a JSON array, by one SQL statement and with the caller''s rights.
entity: the live view; query: {"columns", "with", "where", "orderBy", "limit", "offset", "count", "cursor", "after", "before", "distinct", "extras", "deleted", "case"}, see docs/find.md.';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query_text pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_text';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.text) IS
	'appdb.find() for a query given as text: what literals and parameters without a type are taken for';

CREATE FUNCTION appdb.find(entity pg_catalog.text, query_jsonb pg_catalog.jsonb) RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_jsonb';
COMMENT ON FUNCTION appdb.find(pg_catalog.text, pg_catalog.jsonb) IS
	'appdb.find() of jsonb, and with a result of jsonb; dearer than json, and objects have no order of keys';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}') RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.json) IS
	'The first row that appdb.find() would return, as a JSON object, or null';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query_text pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one_text';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.text) IS
	'appdb.find_one() for a query given as text: what literals and parameters without a type are taken for';

CREATE FUNCTION appdb.find_one(entity pg_catalog.text, query_jsonb pg_catalog.jsonb) RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_find_one_jsonb';
COMMENT ON FUNCTION appdb.find_one(pg_catalog.text, pg_catalog.jsonb) IS
	'appdb.find_one() of jsonb, and with a result of jsonb';

CREATE FUNCTION appdb.explain_find(entity pg_catalog.text, query pg_catalog.json DEFAULT '{}', "analyze" pg_catalog.bool DEFAULT false)
	RETURNS SETOF pg_catalog.text
	LANGUAGE c VOLATILE ROWS 50
	AS 'MODULE_PATHNAME', 'appdb_explain_find';
COMMENT ON FUNCTION appdb.explain_find(pg_catalog.text, pg_catalog.json, pg_catalog.bool) IS
	'The SQL statement that appdb.find() makes of a query, its parameters, and its plan; "analyze" runs it';

CREATE FUNCTION appdb.find_stats(
	OUT shapes pg_catalog.int8, OUT memory pg_catalog.int8, OUT memory_limit pg_catalog.int8, OUT hits pg_catalog.int8, OUT misses pg_catalog.int8,
	OUT evictions pg_catalog.int8, OUT invalidations pg_catalog.int8)
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_find_stats';
COMMENT ON FUNCTION appdb.find_stats() IS
	'What this session''s cache of appdb.find() holds (query shapes, their bytes) and has done: hits, misses, shapes dropped for room, and since tables changed';

-- == What can be asked ======================================================

CREATE VIEW appdb.entities WITH (security_invoker = true) AS
	SELECT m.view AS name, m.entity, m.label,
		   EXISTS (SELECT FROM pg_catalog.pg_attribute a
				   WHERE a.attrelid OPERATOR(pg_catalog.=) m.entity
					 AND a.attname OPERATOR(pg_catalog.=) 'deleted_at'
					 AND NOT a.attisdropped) AS soft_delete,
		   ARRAY(SELECT r.name FROM appdb._relations() r
				 WHERE r."from" OPERATOR(pg_catalog.=) m.view ORDER BY r.name) AS relations,
		   pg_catalog.obj_description(c.oid, 'pg_class') AS comment
	FROM appdb._managed_tables() m
	JOIN pg_catalog.pg_class c
	  ON c.relname OPERATOR(pg_catalog.=) m.view AND c.relkind OPERATOR(pg_catalog.=) 'v'
	 AND c.relnamespace OPERATOR(pg_catalog.=)
		 (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'appdb');
COMMENT ON VIEW appdb.entities IS 'What appdb.find() can be asked for';
COMMENT ON COLUMN appdb.entities.name IS 'The live view: the entity argument of appdb.find()';
COMMENT ON COLUMN appdb.entities.entity IS 'Its base table';
COMMENT ON COLUMN appdb.entities.label IS 'The column that names a row to people';
COMMENT ON COLUMN appdb.entities.soft_delete IS 'Whether deleted rows are kept: "deleted": "only" and "include" show them';
COMMENT ON COLUMN appdb.entities.relations IS 'The relations that "with" can follow';
COMMENT ON COLUMN appdb.entities.comment IS 'What its rows are';
GRANT SELECT ON appdb.entities TO PUBLIC;

CREATE FUNCTION appdb.describe(entity pg_catalog.text,
	OUT kind pg_catalog.text, OUT name pg_catalog.name, OUT type pg_catalog.text, OUT "to" pg_catalog.name,
	OUT nullable pg_catalog.bool, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 30
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM appdb._find_columns() c WHERE c.view = describe.entity) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('unknown entity "%s"', entity),
			DETAIL = format('Entities: %s.', (SELECT string_agg(DISTINCT c.view::text, ', ') FROM appdb._find_columns() c));
	END IF;
	RETURN QUERY
		SELECT 'column', c.name, format_type(a.atttypid, a.atttypmod), NULL::name, NOT c.not_null, col_description(c.view_oid, a.attnum)
		FROM appdb._find_columns() c JOIN pg_attribute a ON a.attrelid = c.view_oid AND a.attname = c.name
		WHERE c.view = describe.entity ORDER BY a.attnum;
	RETURN QUERY
		SELECT r.kind, r.name, NULL::text, r."to",
			   CASE r.kind WHEN 'one' THEN (SELECT bool_or(NOT c.not_null) FROM appdb._find_columns() c
											WHERE c.view = r."from" AND c.name = ANY (r.columns)) END,
			   obj_description(to_regprocedure(format('appdb.%I(appdb.%I)', r.name, r."from")), 'pg_proc')
		FROM appdb._relations() r WHERE r."from" = describe.entity
		ORDER BY array_position(ARRAY['one', 'many', 'many-through'], r.kind), r.name;
	RETURN QUERY
		SELECT 'function', e.name, format_type(e.type, NULL), NULL::name, true,
			   obj_description(to_regprocedure(format('appdb.%I(appdb.%I)', e.name, e.view)), 'pg_proc')
		FROM appdb._find_extras() e WHERE e.view = describe.entity ORDER BY e.name;
END
$$;
COMMENT ON FUNCTION appdb.describe(pg_catalog.text) IS
'What appdb.find() can be asked about an entity: its columns, its relations (one, many, many-through) and functions of its rows';

CREATE FUNCTION appdb.find_schema(entity pg_catalog.text) RETURNS pg_catalog.json
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	defs jsonb;
BEGIN
	-- it says what is there
	PERFORM FROM appdb.describe(entity);

	WITH col AS MATERIALIZED (
		SELECT c.view, c.name, c.type, t.typcategory,
			   CASE WHEN t.typcategory = 'N' THEN '["number", "string", "null"]'
					WHEN t.typcategory = 'B' THEN '["boolean", "null"]'
					ELSE '["string", "null"]' END::jsonb AS scalar,
			   CASE WHEN t.typcategory = 'A' THEN 'array'
					WHEN t.oid IN ('json'::regtype, 'jsonb'::regtype) THEN 'json'
					WHEN t.typcategory = 'S' THEN 'text'
					WHEN t.typcategory = 'N' THEN 'number'
					WHEN t.typcategory = 'B' THEN 'boolean'
					ELSE 'other' END AS filter
		FROM appdb._find_columns() c JOIN pg_type t ON t.oid = c.type
	), rel AS MATERIALIZED (
		SELECT * FROM appdb._relations()
	), e AS MATERIALIZED (
		SELECT c.view, array_agg(c.name::text ORDER BY c.name) AS columns,
			   bool_or(c.soft_delete) AS soft_delete,
			   ARRAY(SELECT x.name::text FROM appdb._find_extras() x WHERE x.view = c.view ORDER BY x.name) AS extras
		FROM appdb._find_columns() c GROUP BY c.view
	), parts AS (
		SELECT e.view || '.columns' AS key,
			   jsonb_build_object('anyOf', jsonb_build_array(
				   jsonb_build_object('type', 'array', 'items', jsonb_build_object('enum', to_jsonb(e.columns))),
				   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
					   (SELECT jsonb_object_agg(n, '{"type": "boolean"}'::jsonb) FROM unnest(e.columns) n)))) AS def
		FROM e
		UNION ALL
		SELECT e.view || '.where',
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(
						jsonb_build_object('type', 'boolean'), jsonb_build_object('$ref', '#/$defs/' || r."to" || '.where')))), '{}')
					FROM rel r WHERE r."from" = e.view)
				   || (SELECT jsonb_object_agg(c.name, jsonb_build_object('$ref', '#/$defs/filter.' || c.filter)) FROM col c WHERE c.view = e.view)
				   || jsonb_build_object(
					   'AND', jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', '#/$defs/' || e.view || '.where')),
					   'OR', jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', '#/$defs/' || e.view || '.where')),
					   'NOT', jsonb_build_object('$ref', '#/$defs/' || e.view || '.where')))
		FROM e
		UNION ALL
		SELECT e.view || '.orderBy',
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('$ref', '#/$defs/' || r."to" || '.orderBy')), '{}')
					FROM rel r WHERE r."from" = e.view AND r.kind = 'one')
				   || (SELECT jsonb_object_agg(n, '{"$ref": "#/$defs/direction"}'::jsonb) FROM unnest(e.columns) n))
		FROM e
		UNION ALL
		SELECT e.view || '.' || k.kind,
			   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
				   jsonb_build_object(
					   'columns', jsonb_build_object('$ref', '#/$defs/' || e.view || '.columns'),
					   'where', jsonb_build_object('$ref', '#/$defs/' || e.view || '.where'),
					   'with', jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
						   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
								jsonb_build_object('$ref', '#/$defs/' || r."to" || CASE r.kind WHEN 'one' THEN '.one' WHEN 'many' THEN '.many' ELSE '.through' END)))), '{}')
							FROM rel r WHERE r."from" = e.view)),
					   'count', jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
						   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
							   (SELECT COALESCE(jsonb_object_agg(r.name, jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
									jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
										jsonb_build_object('where', jsonb_build_object('$ref', '#/$defs/' || r."to" || '.where')))))), '{}')
								FROM rel r WHERE r."from" = e.view) || '{"*": {"type": "boolean"}}'))),
					   'extras', jsonb_build_object('type', 'array', 'items', jsonb_build_object('enum', to_jsonb(e.extras))))
				   || CASE WHEN e.soft_delete THEN '{"deleted": {"enum": ["include", "only"]}}'::jsonb ELSE '{}' END
				   || CASE WHEN k.kind = 'one' THEN '{}'::jsonb ELSE jsonb_build_object(
					   'orderBy', jsonb_build_object('anyOf', jsonb_build_array(
						   jsonb_build_object('$ref', '#/$defs/' || e.view || '.orderBy'),
						   jsonb_build_object('enum', to_jsonb(e.columns)),
						   jsonb_build_object('type', 'array', 'items', jsonb_build_object('anyOf', jsonb_build_array(
							   jsonb_build_object('$ref', '#/$defs/' || e.view || '.orderBy'), jsonb_build_object('enum', to_jsonb(e.columns))))))),
					   'limit', '{"type": ["integer", "null"], "minimum": 0}'::jsonb,
					   'offset', '{"type": ["integer", "null"], "minimum": 0}'::jsonb,
					   'cursor', '{"type": "boolean"}'::jsonb,
					   'after', '{"type": ["string", "null"]}'::jsonb,
					   'before', '{"type": ["string", "null"]}'::jsonb,
					   'distinct', jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', 'boolean'),
						   jsonb_build_object('type', 'array', 'minItems', 1, 'items', jsonb_build_object('enum', to_jsonb(e.columns)))))) END
				   || CASE WHEN k.kind = 'root' THEN '{"case": {"enum": ["camel", "snake"]}}'::jsonb ELSE '{}' END
				   || CASE WHEN k.kind = 'through' THEN '{"through": {"type": ["boolean", "object"]}}'::jsonb ELSE '{}' END)
		FROM e, (VALUES ('root'), ('many'), ('through'), ('one')) k (kind)
		UNION ALL
		SELECT 'direction', '{"anyOf": [{"type": "string", "pattern": "^(asc|desc)( nulls (first|last))?$"},
			{"type": "object", "additionalProperties": false, "properties": {"direction": {"enum": ["asc", "desc"]}, "nulls": {"enum": ["first", "last"]}}}]}'
		UNION ALL
		SELECT 'filter.' || f.filter,
			   jsonb_build_object('anyOf', jsonb_build_array(jsonb_build_object('type', f.scalar),
				   jsonb_build_object('type', 'object', 'additionalProperties', false, 'properties',
					   (SELECT jsonb_object_agg(o, CASE WHEN o IN ('in', 'notIn') THEN '{"type": "array"}'::jsonb
														WHEN o IN ('isNull', 'isNotNull') THEN '{"type": "boolean"}'
														WHEN o LIKE 'array%' OR o IN ('hasAnyKey', 'hasAllKeys') THEN '{"type": "array"}'
														WHEN o IN ('AND', 'OR') THEN jsonb_build_object('type', 'array', 'items', jsonb_build_object('$ref', '#/$defs/filter.' || f.filter))
														WHEN o = 'NOT' THEN jsonb_build_object('$ref', '#/$defs/filter.' || f.filter)
														WHEN o IN ('like', 'ilike', 'notLike', 'notIlike', 'hasKey') THEN '{"type": "string"}'
														ELSE '{}' END)
						FROM unnest(f.operators || ARRAY['isNull', 'isNotNull', 'AND', 'OR', 'NOT']) o))))
		FROM (VALUES
			('text', '["string", "null"]'::jsonb, ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn', 'like', 'ilike', 'notLike', 'notIlike']),
			('number', '["number", "string", "null"]', ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']),
			('boolean', '["boolean", "null"]', ARRAY['eq', 'ne', 'in', 'notIn']),
			('other', '["string", "null"]', ARRAY['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']),
			('array', '["null"]', ARRAY['eq', 'ne', 'arrayContains', 'arrayContained', 'arrayOverlaps']),
			('json', '["null"]', ARRAY['contains', 'containedBy', 'hasKey', 'hasAnyKey', 'hasAllKeys'])) f (filter, scalar, operators)
	)
	SELECT jsonb_object_agg(p.key, p.def) INTO defs FROM parts p;
	RETURN jsonb_build_object('$schema', 'https://json-schema.org/draft/2020-12/schema',
							  '$ref', '#/$defs/' || entity || '.root', '$defs', defs)::json;
END
$$;
COMMENT ON FUNCTION appdb.find_schema(pg_catalog.text) IS
'The query language of appdb.find() for an entity, as JSON Schema (draft 2020-12)';

-- sql/04_identity.sql

-- Who is asking (src/identity.c).

CREATE FUNCTION appdb.current_user_id() RETURNS pg_catalog.uuid
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_current_user_id';
COMMENT ON FUNCTION appdb.current_user_id() IS
	'The user who is asking, as appdb.authenticate() or appdb.impersonate() has found; null for nobody';

CREATE FUNCTION appdb.current_session_id() RETURNS pg_catalog.uuid
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_current_session_id';
COMMENT ON FUNCTION appdb.current_session_id() IS
	'The session by which the user is asking; null where there is none';

CREATE FUNCTION appdb.authenticate(token pg_catalog.text, for_session pg_catalog.bool DEFAULT false) RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_authenticate';
COMMENT ON FUNCTION appdb.authenticate(pg_catalog.text, pg_catalog.bool) IS
'Signs in by a session token until the end of the transaction; returns the user. Writes nothing: works on a standby.
token: as appdb.sign_in() returned it, or as a client has stored it in sessions; for_session: until the connection ends instead (not behind a pooler).
Errors: 28000 for a token that is unknown or expired, or whose user is deleted; nobody is signed in then.';

CREATE FUNCTION appdb.impersonate(user_id pg_catalog.uuid, for_session pg_catalog.bool DEFAULT false) RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_impersonate';
COMMENT ON FUNCTION appdb.impersonate(pg_catalog.uuid, pg_catalog.bool) IS
'Acts as a user until the end of the transaction, without a token: for servers that have authenticated the user themselves.
user_id: the user, null for nobody; for_session: until the connection ends instead (not behind a pooler).
Errors: 28000 where there is no such live user. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.impersonate(pg_catalog.uuid, pg_catalog.bool) FROM PUBLIC;

CREATE FUNCTION appdb._new_token(OUT token pg_catalog.text, OUT token_hash pg_catalog.bytea) RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_new_token';
COMMENT ON FUNCTION appdb._new_token() IS 'Internal: a random token of 256 bits and its SHA-256';

CREATE FUNCTION appdb.sign_in(
	user_id pg_catalog.uuid, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_in';
COMMENT ON FUNCTION appdb.sign_in(pg_catalog.uuid, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
'Makes a session for a user whom the caller has authenticated, and returns its token, which is kept nowhere: only its SHA-256 is.
user_id: the user; lifetime: until when the session holds, from now; ip_address, user_agent: to be shown to the user.
Errors: 28000 where there is no such live user. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.sign_in(pg_catalog.uuid, pg_catalog.interval, pg_catalog.text, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.sign_out() RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_out';
COMMENT ON FUNCTION appdb.sign_out() IS
	'Ends the session that the caller has authenticated with; returns whether there was one';

CREATE FUNCTION appdb.sign_out_everywhere() RETURNS pg_catalog.int8
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_out_everywhere';
COMMENT ON FUNCTION appdb.sign_out_everywhere() IS
	'Ends every session of the user who is asking; returns how many. Errors: 28000 where nobody is signed in';

CREATE FUNCTION appdb.extend_session(
	lifetime pg_catalog.interval DEFAULT '30 days', OUT extended pg_catalog.bool, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_extend_session';
COMMENT ON FUNCTION appdb.extend_session(pg_catalog.interval) IS
'Lets the session that the caller has authenticated with go on for as long as it is used, without a write on each request: it is written only when less than half of the lifetime is left, and never waits.
lifetime: how long it holds from now on. Returns whether it was written, and until when the session holds. In a read-only transaction nothing is written.
Errors: 28000 where there is no session; 22023 for a lifetime that is not longer than nothing.';

CREATE FUNCTION appdb.query_as(token pg_catalog.text, query pg_catalog.text, params pg_catalog.text[] DEFAULT '{}')
	RETURNS SETOF pg_catalog.json
	LANGUAGE c VOLATILE ROWS 100
	AS 'MODULE_PATHNAME', 'appdb_query_as';
COMMENT ON FUNCTION appdb.query_as(pg_catalog.text, pg_catalog.text, pg_catalog.text[]) IS
'Authenticates and runs one query, with the caller''s privileges, in one statement: safe behind a pooler without a transaction block. Whoever was asking before is that again afterwards.
token: as for appdb.authenticate(); query: one query, in which $1, $2 … are the parameters; params: their values as text, to be cast in the query where they are anything else.
Returns each row as a JSON object; nothing for a query without a result. Errors: 28000 for a token that does not hold; 42601 for several queries.';

-- sql/04_membership.sql

-- Memberships and invitations (docs/memberships.md).
--
-- A function for everybody, such as appdb.invite(), is C that does the
-- function of the same name with an underscore as the owner of the tables
-- (src/as_owner.c); that one asks who is asking.  Where an organization or a
-- space is changed it is locked first (src/tenant.c): an organization's row
-- before a space's, then invitations, then members.
--
-- Errors: 28000 nobody is signed in; P0002 nothing there that the caller may
-- know of; 42501 not the caller's to do; 23514 and 55000 against the rules.

SET LOCAL check_function_bodies = off;

-- == what all of them ask ===================================================

CREATE FUNCTION appdb._role_rank(role pg_catalog.text) RETURNS pg_catalog.int4
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN role OPERATOR(pg_catalog.=) 'owner' THEN 4 WHEN role OPERATOR(pg_catalog.=) 'admin' THEN 3
		WHEN role OPERATOR(pg_catalog.=) ANY ('{editor,member}') THEN 2 WHEN role OPERATOR(pg_catalog.=) 'viewer' THEN 1 ELSE 0 END
$$;
COMMENT ON FUNCTION appdb._role_rank(pg_catalog.text) IS 'Internal: roles in their order, 0 for none';

CREATE FUNCTION appdb._tenant_now(
	organization_id pg_catalog.uuid, space_id pg_catalog.uuid, user_id pg_catalog.uuid, locked pg_catalog.bool,
	OUT live pg_catalog.bool, OUT owners pg_catalog.int8, OUT members pg_catalog.int8, OUT seats pg_catalog.int8,
	OUT role pg_catalog.text, OUT owner_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_tenant_now';
COMMENT ON FUNCTION appdb._tenant_now(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.bool) IS
	'Internal: how an organization or a space stands, locked or not, and the user''s role, whatever the transaction''s snapshot';

CREATE FUNCTION appdb._directly() RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_directly';
COMMENT ON FUNCTION appdb._directly() IS
	'Internal: whether a trigger''s row is changed by a statement of the caller''s own';

CREATE FUNCTION appdb._caller() RETURNS pg_catalog.uuid
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb.current_user_id() IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_authorization_specification',
			MESSAGE = 'nobody is signed in',
			HINT = 'Call appdb.authenticate() first, in the same transaction.';
	END IF;
	RETURN appdb.current_user_id();
END
$$;
COMMENT ON FUNCTION appdb._caller() IS 'Internal: who is asking, or an error';

-- The organization or space, locked, and the caller's role in it.
CREATE FUNCTION appdb._tenant(
	organization_id pg_catalog.uuid, space_id pg_catalog.uuid, needed pg_catalog.text,
	OUT kind pg_catalog.text, OUT id pg_catalog.uuid, OUT owners pg_catalog.int8, OUT members pg_catalog.int8,
	OUT seats pg_catalog.int8, OUT role pg_catalog.text, OUT owner_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb._caller();
	live boolean;
	locked boolean;
BEGIN
	IF num_nonnulls(organization_id, space_id) <> 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'either an organization or a space is needed',
			HINT = 'Give one of organization_id and space_id.';
	END IF;
	kind := CASE WHEN space_id IS NULL THEN 'organization' ELSE 'space' END;
	id := coalesce(organization_id, space_id);
	-- who is not to know of it does not lock it either
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		SELECT t.live, t.owners, t.members, t.seats, t.role, t.owner_id
		INTO live, owners, members, seats, role, owner_id
		FROM appdb._tenant_now(organization_id, space_id, me, locked) AS t;
		IF live IS NOT TRUE OR role IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = format('%s %s does not exist', kind, id),
				DETAIL = 'It is not there, or you are no member of it.';
		END IF;
		IF appdb._role_rank(role) < appdb._role_rank(needed) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for %s %s', kind, id),
				DETAIL = format('This takes the role %s; yours is %s.', needed, role);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._tenant(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.text) IS
	'Internal: locks an organization or a space in which the caller has a role, and says which';

CREATE FUNCTION appdb._check_role(kind pg_catalog.text, role pg_catalog.text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL OR role <> ALL (CASE kind WHEN 'organization' THEN ARRAY['owner', 'admin', 'member']
									ELSE ARRAY['owner', 'admin', 'editor', 'viewer'] END) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN role IS NULL THEN 'a role is needed' ELSE format('%s is no role in %s', quote_literal(role),
				CASE kind WHEN 'organization' THEN 'an organization' ELSE 'a space' END) END,
			HINT = CASE kind WHEN 'organization' THEN 'Roles are owner, admin and member.' ELSE 'Roles are owner, admin, editor and viewer.' END;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_role(pg_catalog.text, pg_catalog.text) IS 'Internal: an error unless there is such a role';

CREATE FUNCTION appdb._check_rank(own pg_catalog.text, role pg_catalog.text, doing pg_catalog.text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._role_rank(role) > appdb._role_rank(own) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('permission denied to %s role %s', doing, role),
			DETAIL = format('It is above your own, which is %s.', coalesce(own, 'none'));
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_rank(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS 'Internal: an error if a role is above the caller''s own';

CREATE FUNCTION appdb._check_seats(organization_id pg_catalog.uuid, seats pg_catalog.int8, members pg_catalog.int8) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF members >= seats THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('organization %s has no seat left', organization_id),
			DETAIL = format('Its subscription has %s, all taken.', CASE seats WHEN 1 THEN '1 seat' ELSE seats || ' seats' END),
			HINT = 'Change the subscription, or remove a member.';
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_seats(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8) IS 'Internal: an error if all seats are taken';

-- Somebody's own role in an organization or a space, the row locked.
CREATE FUNCTION appdb._membership(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid) RETURNS pg_catalog.text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	role text;
BEGIN
	IF kind = 'organization' THEN
		SELECT m.role INTO role FROM app_data.members AS m
		WHERE m.organization_id = _membership.id AND m.user_id = _membership.user_id AND m.deleted_at IS NULL FOR NO KEY UPDATE;
	ELSE
		SELECT m.role INTO role FROM app_data.space_members AS m
		WHERE m.space_id = _membership.id AND m.user_id = _membership.user_id AND m.deleted_at IS NULL FOR NO KEY UPDATE;
	END IF;
	IF role IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'no_data_found',
			MESSAGE = format('user %s is no member of %s %s', user_id, kind, id);
	END IF;
	RETURN role;
END
$$;
COMMENT ON FUNCTION appdb._membership(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: the role of a member, locked, or an error';

CREATE FUNCTION appdb._no_owner_left(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid, alone pg_catalog.bool) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'check_violation',
		MESSAGE = format('%s %s would have no owner', kind, id),
		DETAIL = format('User %s is its only %s.', user_id, CASE WHEN alone THEN 'member' ELSE 'owner' END),
		HINT = CASE WHEN alone THEN format('Delete the %s instead.', kind)
			ELSE 'Make another member its owner first: appdb.transfer_ownership().' END;
END
$$;
COMMENT ON FUNCTION appdb._no_owner_left(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.bool) IS 'Internal: the error';

-- == organizations and spaces ===============================================

CREATE FUNCTION appdb._create_organization(name pg_catalog.text, slug pg_catalog.text, logo pg_catalog.text, metadata pg_catalog.jsonb)
	RETURNS pg_catalog.uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	organization uuid;
BEGIN
	INSERT INTO app_data.organizations (name, slug, logo, metadata)
	VALUES (_create_organization.name, _create_organization.slug, _create_organization.logo, coalesce(_create_organization.metadata, '{}'))
	RETURNING id INTO organization;
	INSERT INTO app_data.members (organization_id, user_id, role) VALUES (organization, me, 'owner');
	RETURN organization;
END
$$;
COMMENT ON FUNCTION appdb._create_organization(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS 'Internal: appdb.create_organization()';
CREATE FUNCTION appdb.create_organization(name pg_catalog.text, slug pg_catalog.text, logo pg_catalog.text DEFAULT NULL, metadata pg_catalog.jsonb DEFAULT '{}')
	RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.create_organization(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
'Makes an organization, with the caller as its owner; returns its id.
name, slug, logo, metadata: its columns.
Errors: 28000 nobody is signed in; 23505 the slug is taken; 23514, 23502 a column''s own rules.';

CREATE FUNCTION appdb._create_space(name pg_catalog.text, organization_id pg_catalog.uuid, slug pg_catalog.text, visibility pg_catalog.text, metadata pg_catalog.jsonb)
	RETURNS pg_catalog.uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	space uuid;
BEGIN
	IF _create_space.organization_id IS NOT NULL THEN
		PERFORM appdb._tenant(_create_space.organization_id, NULL, 'admin');
	END IF;
	INSERT INTO app_data.spaces (name, organization_id, owner_id, slug, visibility, metadata)
	VALUES (_create_space.name, _create_space.organization_id, CASE WHEN _create_space.organization_id IS NULL THEN me END, _create_space.slug,
		coalesce(_create_space.visibility, 'private')::app_data.space_visibility, coalesce(_create_space.metadata, '{}'))
	RETURNING id INTO space;
	INSERT INTO app_data.space_members (space_id, user_id, role) VALUES (space, me, 'owner');
	RETURN space;
END
$$;
COMMENT ON FUNCTION appdb._create_space(pg_catalog.text, pg_catalog.uuid, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS 'Internal: appdb.create_space()';
CREATE FUNCTION appdb.create_space(
	name pg_catalog.text, organization_id pg_catalog.uuid DEFAULT NULL, slug pg_catalog.text DEFAULT NULL,
	visibility pg_catalog.text DEFAULT 'private', metadata pg_catalog.jsonb DEFAULT '{}')
	RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.create_space(pg_catalog.text, pg_catalog.uuid, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
'Makes a space, with the caller as its owner; returns its id.
organization_id: the organization that it belongs to, of which the caller is an owner or admin; null for a personal space; name, slug, visibility, metadata: its columns.
Errors: 28000 nobody is signed in; P0002 no such organization; 42501 not an admin of it; 23505 the slug is taken; 22P02 no such visibility.';

-- == invitations ============================================================

CREATE FUNCTION appdb._invite(
	email pg_catalog.text, role pg_catalog.text, organization_id pg_catalog.uuid, space_id pg_catalog.uuid, lifetime pg_catalog.interval,
	OUT token pg_catalog.text, OUT invitation_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	hash bytea;
	given text;
	until timestamptz;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_invite.organization_id, _invite.space_id, 'admin');
	given := coalesce(_invite.role, CASE t.kind WHEN 'organization' THEN 'member' ELSE 'viewer' END);
	PERFORM appdb._check_role(t.kind, given);
	PERFORM appdb._check_rank(t.role, given, 'grant');
	IF _invite.lifetime IS NULL OR _invite.lifetime <= '0'::interval THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'an invitation''s lifetime must be more than nothing',
			HINT = 'lifetime is an interval such as 7 days.';
	END IF;
	IF EXISTS (SELECT FROM app_data.users AS u JOIN app_data.members AS m ON m.user_id = u.id AND m.deleted_at IS NULL
			   WHERE lower(u.email) = lower(_invite.email) AND u.deleted_at IS NULL AND m.organization_id = _invite.organization_id)
	   OR EXISTS (SELECT FROM app_data.users AS u JOIN app_data.space_members AS m ON m.user_id = u.id AND m.deleted_at IS NULL
				  WHERE lower(u.email) = lower(_invite.email) AND u.deleted_at IS NULL AND m.space_id = _invite.space_id) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s is a member of %s %s already', _invite.email, t.kind, t.id),
			HINT = 'Change the member''s role: appdb.change_role().';
	END IF;

	-- the last invitation to an address is the one that holds
	UPDATE app_data.invitations AS i SET status = 'canceled'
	WHERE lower(i.email) = lower(_invite.email) AND i.status = 'pending' AND i.deleted_at IS NULL
	  AND (i.organization_id = t.id OR i.space_id = t.id);

	SELECT n.token, n.token_hash INTO _invite.token, hash FROM appdb._new_token() AS n;
	until := clock_timestamp() + _invite.lifetime;
	INSERT INTO app_data.invitations AS i (organization_id, space_id, email, role, expires_at, inviter_id, token_hash)
	VALUES (_invite.organization_id, _invite.space_id, _invite.email, given::app_data.invitation_role, until, appdb.current_user_id(), hash)
	RETURNING i.id, i.expires_at INTO _invite.invitation_id, _invite.expires_at;
END
$$;
COMMENT ON FUNCTION appdb._invite(pg_catalog.text, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.interval) IS 'Internal: appdb.invite()';
CREATE FUNCTION appdb.invite(
	email pg_catalog.text, role pg_catalog.text DEFAULT NULL, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL,
	lifetime pg_catalog.interval DEFAULT '7 days',
	OUT token pg_catalog.text, OUT invitation_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.invite(pg_catalog.text, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.interval) IS
'Invites somebody to an organization or a space, and returns the token for the link, which is kept nowhere: only its SHA-256 is. Earlier invitations of the same address to it are canceled.
email: the address; role: what they will be, at most what the caller is (null: the least); organization_id or space_id: to what; lifetime: until when it can be accepted, from now.
Errors: 28000 nobody is signed in; P0002 no such organization or space; 42501 not an admin of it, or a role above one''s own; 55000 a member already; 22023 no such role or lifetime.';

-- The invitation, locked together with what it is to, if it can be answered.
CREATE FUNCTION appdb._answer(
	invitation_id pg_catalog.uuid, has_token pg_catalog.bool,
	OUT id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text,
	OUT expires_at pg_catalog.timestamptz, OUT inviter_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	mine record;
	i record;
	locked boolean;
BEGIN
	SELECT u.email, u.email_verified INTO mine FROM app_data.users AS u WHERE u.id = me AND u.deleted_at IS NULL;
	-- who is not to know of it does not lock it either
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		IF locked THEN
			PERFORM appdb._tenant_now(i.organization_id, i.space_id, NULL, true);
			SELECT v.* INTO i FROM app_data.invitations AS v WHERE v.id = _answer.invitation_id AND v.deleted_at IS NULL FOR UPDATE;
		ELSE
			SELECT v.* INTO i FROM app_data.invitations AS v WHERE v.id = _answer.invitation_id AND v.deleted_at IS NULL;
		END IF;
		-- who has no token learns nothing of invitations of others
		IF i.id IS NULL OR (NOT has_token AND lower(i.email) IS DISTINCT FROM lower(mine.email)) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = 'there is no such invitation',
				DETAIL = 'It was never made, has been deleted, or was sent to somebody else.';
		END IF;
		IF lower(i.email) IS DISTINCT FROM lower(mine.email) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = 'the invitation was sent to another address',
				HINT = 'Sign in as the user who has that address.';
		END IF;
	END LOOP;
	-- the token proves that its letter was read
	IF NOT has_token AND NOT mine.email_verified THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'your e-mail address is not verified',
			HINT = 'Verify it, or answer with the token from the invitation''s link.';
	END IF;
	IF i.status <> 'pending' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = CASE i.status WHEN 'canceled' THEN 'the invitation has been taken back'
				ELSE format('the invitation has been %s already', CASE i.status WHEN 'rejected' THEN 'declined' ELSE i.status::text END) END,
			HINT = 'Ask for another invitation.';
	END IF;
	id := i.id;
	organization_id := i.organization_id;
	space_id := i.space_id;
	role := coalesce(i.role::text, CASE WHEN i.space_id IS NULL THEN 'member' ELSE 'viewer' END);
	expires_at := i.expires_at;
	inviter_id := i.inviter_id;
END
$$;
COMMENT ON FUNCTION appdb._answer(pg_catalog.uuid, pg_catalog.bool) IS 'Internal: an invitation to the caller that waits for an answer, locked';

CREATE FUNCTION appdb._accept(
	invitation_id pg_catalog.uuid, has_token pg_catalog.bool,
	OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	i record;
	t record;
	held text;
BEGIN
	SELECT * INTO i FROM appdb._answer(_accept.invitation_id, _accept.has_token);
	IF i.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'the invitation has expired',
			DETAIL = format('It could be accepted until %s.', i.expires_at),
			HINT = 'Ask for another invitation.';
	END IF;
	-- who has lost the right to invite has not kept it in letters
	SELECT n.live, n.members, n.seats, n.role INTO t FROM appdb._tenant_now(i.organization_id, i.space_id, i.inviter_id, true) AS n;
	IF t.live IS NOT TRUE OR (i.inviter_id IS NOT NULL AND
							  appdb._role_rank(t.role) < greatest(appdb._role_rank(i.role), appdb._role_rank('admin'))) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'the invitation no longer holds',
			DETAIL = 'Whoever sent it could not send it today, or what it is to is gone.',
			HINT = 'Ask for another invitation.';
	END IF;
	UPDATE app_data.invitations AS v SET status = 'accepted' WHERE v.id = i.id;

	IF i.organization_id IS NOT NULL THEN
		UPDATE app_data.members AS m SET role = CASE WHEN appdb._role_rank(m.role::text) < appdb._role_rank(i.role)
			THEN i.role::app_data.organization_role ELSE m.role END
		WHERE m.organization_id = i.organization_id AND m.user_id = me AND m.deleted_at IS NULL
		RETURNING m.role INTO held;
		IF NOT FOUND THEN
			PERFORM appdb._check_seats(i.organization_id, t.seats, t.members);
			INSERT INTO app_data.members AS m (organization_id, user_id, role)
			VALUES (i.organization_id, me, i.role::app_data.organization_role) RETURNING m.role INTO held;
		END IF;
	ELSE
		UPDATE app_data.space_members AS m SET role = CASE WHEN appdb._role_rank(m.role::text) < appdb._role_rank(i.role)
			THEN i.role::app_data.space_role ELSE m.role END
		WHERE m.space_id = i.space_id AND m.user_id = me AND m.deleted_at IS NULL
		RETURNING m.role INTO held;
		IF NOT FOUND THEN
			INSERT INTO app_data.space_members AS m (space_id, user_id, role)
			VALUES (i.space_id, me, i.role::app_data.space_role) RETURNING m.role INTO held;
		END IF;
	END IF;
	_accept.organization_id := i.organization_id;
	_accept.space_id := i.space_id;
	_accept.role := held;
END
$$;
COMMENT ON FUNCTION appdb._accept(pg_catalog.uuid, pg_catalog.bool) IS 'Internal: appdb.accept_invitation()';

CREATE FUNCTION appdb._invitation_of(token pg_catalog.text) RETURNS pg_catalog.uuid
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT i.id FROM app_data.invitations AS i WHERE i.token_hash = sha256(convert_to(token, 'UTF8')) AND i.deleted_at IS NULL
$$;
COMMENT ON FUNCTION appdb._invitation_of(pg_catalog.text) IS 'Internal: the invitation that a token is of';

CREATE FUNCTION appdb._accept_invitation(token pg_catalog.text, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT a.organization_id, a.space_id, a.role INTO organization_id, space_id, role
	FROM appdb._accept(appdb._invitation_of(token), true) AS a;
END
$$;
COMMENT ON FUNCTION appdb._accept_invitation(pg_catalog.text) IS 'Internal: appdb.accept_invitation()';
CREATE FUNCTION appdb.accept_invitation(token pg_catalog.text, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.accept_invitation(pg_catalog.text) IS
'Makes the caller a member by the token of an invitation that was sent to their address; returns of what, and the role. A member already gets the higher role.
token: as appdb.invite() returned it.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 it was sent to another address; 55000 answered already, taken back, expired, or its sender could not send it today; 23514 no seat left.';

CREATE FUNCTION appdb._accept_invitation(invitation_id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT a.organization_id, a.space_id, a.role INTO organization_id, space_id, role
	FROM appdb._accept(invitation_id, false) AS a;
END
$$;
COMMENT ON FUNCTION appdb._accept_invitation(pg_catalog.uuid) IS 'Internal: appdb.accept_invitation()';
CREATE FUNCTION appdb.accept_invitation(invitation_id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.accept_invitation(pg_catalog.uuid) IS
'The same without the token, for a caller whose e-mail address is verified: for a list of one''s invitations.
invitation_id: the invitation. Errors: as with the token, and 42501 the caller''s address is not verified.';

CREATE FUNCTION appdb._decline_invitation(token pg_catalog.text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE app_data.invitations AS i SET status = 'rejected' FROM appdb._answer(appdb._invitation_of(token), true) AS a WHERE i.id = a.id;
END
$$;
COMMENT ON FUNCTION appdb._decline_invitation(pg_catalog.text) IS 'Internal: appdb.decline_invitation()';
CREATE FUNCTION appdb.decline_invitation(token pg_catalog.text) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.decline_invitation(pg_catalog.text) IS
'Declines an invitation that was sent to the caller''s address, by its token, also one that has expired.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 it was sent to another address; 55000 answered or taken back already.';

CREATE FUNCTION appdb._decline_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE app_data.invitations AS i SET status = 'rejected' FROM appdb._answer(invitation_id, false) AS a WHERE i.id = a.id;
END
$$;
COMMENT ON FUNCTION appdb._decline_invitation(pg_catalog.uuid) IS 'Internal: appdb.decline_invitation()';
CREATE FUNCTION appdb.decline_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.decline_invitation(pg_catalog.uuid) IS
'The same without the token, for a caller whose e-mail address is verified. Errors: as with the token, and 42501 the caller''s address is not verified.';

CREATE FUNCTION appdb._revoke_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	i record;
	t record;
	locked boolean;
BEGIN
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		SELECT v.organization_id, v.space_id, v.id, v.role, v.status, v.inviter_id INTO i FROM app_data.invitations AS v
		WHERE v.id = _revoke_invitation.invitation_id AND v.deleted_at IS NULL;
		SELECT n.live, n.role INTO t FROM appdb._tenant_now(i.organization_id, i.space_id, me, locked) AS n;
		IF locked THEN
			SELECT v.id, v.role, v.status, v.inviter_id INTO i FROM app_data.invitations AS v
			WHERE v.id = _revoke_invitation.invitation_id AND v.deleted_at IS NULL FOR UPDATE;
		END IF;
		IF i.id IS NULL OR t.live IS NOT TRUE OR (t.role IS NULL AND i.inviter_id IS DISTINCT FROM me) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = format('invitation %s does not exist', invitation_id),
				DETAIL = 'It is not there, or you are no member of what it is to.';
		END IF;
	END LOOP;
	-- whoever has sent it may always take it back
	IF i.inviter_id IS DISTINCT FROM me THEN
		IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for invitation %s', invitation_id),
				DETAIL = format('This takes the role admin; yours is %s.', t.role);
		END IF;
		PERFORM appdb._check_rank(t.role, i.role::text, 'take back an invitation with');
	END IF;
	IF i.status <> 'pending' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('invitation %s is %s already', invitation_id, CASE i.status WHEN 'canceled' THEN 'taken back' WHEN 'rejected' THEN 'declined' ELSE i.status::text END);
	END IF;
	UPDATE app_data.invitations AS v SET status = 'canceled' WHERE v.id = i.id;
END
$$;
COMMENT ON FUNCTION appdb._revoke_invitation(pg_catalog.uuid) IS 'Internal: appdb.revoke_invitation()';
CREATE FUNCTION appdb.revoke_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.revoke_invitation(pg_catalog.uuid) IS
'Takes back an invitation that waits for an answer: its sender, or an owner or admin of what it is to.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 not an admin, or its role is above the caller''s; 55000 answered or taken back already.';

-- == members ================================================================

CREATE FUNCTION appdb._change_role(user_id pg_catalog.uuid, role pg_catalog.text, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	held text;
BEGIN
	-- to step down is everybody's own affair
	SELECT * INTO t FROM appdb._tenant(_change_role.organization_id, _change_role.space_id,
		CASE WHEN _change_role.user_id = appdb.current_user_id() THEN 'viewer' ELSE 'admin' END);
	PERFORM appdb._check_role(t.kind, _change_role.role);
	PERFORM appdb._check_rank(t.role, _change_role.role, 'grant');
	held := appdb._membership(t.kind, t.id, _change_role.user_id);
	PERFORM appdb._check_rank(t.role, held, 'change a member with');
	IF held = 'owner' AND _change_role.role <> 'owner' AND t.owners = 1 THEN
		PERFORM appdb._no_owner_left(t.kind, t.id, _change_role.user_id, t.members = 1);
	END IF;
	IF _change_role.user_id = t.owner_id AND _change_role.role <> 'owner' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('space %s is the personal space of user %s', t.id, _change_role.user_id),
			HINT = 'Make another member its owner first: appdb.transfer_ownership().';
	END IF;
	IF t.kind = 'organization' THEN
		UPDATE app_data.members AS m SET role = _change_role.role::app_data.organization_role
		WHERE m.organization_id = t.id AND m.user_id = _change_role.user_id AND m.deleted_at IS NULL;
	ELSE
		UPDATE app_data.space_members AS m SET role = _change_role.role::app_data.space_role
		WHERE m.space_id = t.id AND m.user_id = _change_role.user_id AND m.deleted_at IS NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._change_role(pg_catalog.uuid, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.change_role()';
CREATE FUNCTION appdb.change_role(user_id pg_catalog.uuid, role pg_catalog.text, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.change_role(pg_catalog.uuid, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS
'Gives a member of an organization or a space another role. Takes an owner or admin whose role is not below the member''s, nor below the new one; anybody can step down.
user_id: the member; role: the new role; organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not the caller''s to do; 23514 it would have no owner; 22023 no such role.';

-- What was allowed with single files ends with the role: else an admin could
-- keep a way back.
CREATE FUNCTION appdb._end_permissions(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	UPDATE app_data.file_permissions AS p SET deleted_at = now()
	WHERE p.user_id = _end_permissions.user_id AND p.deleted_at IS NULL
	  AND (p.space_id = _end_permissions.space_id
		   OR (p.space_id IN (SELECT s.id FROM app_data.spaces AS s WHERE s.organization_id = _end_permissions.organization_id)
			   AND NOT EXISTS (SELECT FROM app_data.space_members AS m
							   WHERE m.space_id = p.space_id AND m.user_id = p.user_id AND m.deleted_at IS NULL)));
END
$$;
COMMENT ON FUNCTION appdb._end_permissions(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: ends what a former member was allowed with single files';

-- Ends a membership.  Who leaves an organization leaves its spaces too; one of
-- which they are the only owner goes to the organization's first other owner.
CREATE FUNCTION appdb._end_membership(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	space uuid;
	heir uuid;
BEGIN
	-- no way back by an older letter
	UPDATE app_data.invitations AS i SET status = 'canceled' FROM app_data.users AS u
	WHERE u.id = _end_membership.user_id AND lower(i.email) = lower(u.email) AND i.status = 'pending' AND i.deleted_at IS NULL
	  AND (i.organization_id = _end_membership.id OR i.space_id = _end_membership.id
		   OR i.space_id IN (SELECT s.id FROM app_data.spaces AS s WHERE s.organization_id = _end_membership.id));
	IF kind = 'space' THEN
		UPDATE app_data.space_members AS m SET deleted_at = now()
		WHERE m.space_id = _end_membership.id AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
		PERFORM appdb._end_permissions(_end_membership.user_id, NULL, _end_membership.id);
		RETURN;
	END IF;
	SELECT m.user_id INTO heir FROM app_data.members AS m
	WHERE m.organization_id = _end_membership.id AND m.user_id <> _end_membership.user_id AND m.role = 'owner' AND m.deleted_at IS NULL
	ORDER BY m.created_at, m.id LIMIT 1;
	FOR space IN
		SELECT s.id FROM app_data.spaces AS s JOIN app_data.space_members AS m ON m.space_id = s.id
		WHERE s.organization_id = _end_membership.id AND s.deleted_at IS NULL
		  AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL
		ORDER BY s.id
	LOOP
		PERFORM appdb._tenant_now(NULL, space, NULL, true);
		IF NOT EXISTS (SELECT FROM app_data.space_members AS m
					   WHERE m.space_id = space AND m.user_id <> _end_membership.user_id AND m.role = 'owner' AND m.deleted_at IS NULL) THEN
			UPDATE app_data.space_members AS m SET role = 'owner' WHERE m.space_id = space AND m.user_id = heir AND m.deleted_at IS NULL;
			IF NOT FOUND THEN
				INSERT INTO app_data.space_members (space_id, user_id, role) VALUES (space, heir, 'owner');
			END IF;
		END IF;
		UPDATE app_data.space_members AS m SET deleted_at = now()
		WHERE m.space_id = space AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
	END LOOP;
	UPDATE app_data.members AS m SET deleted_at = now()
	WHERE m.organization_id = _end_membership.id AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
	PERFORM appdb._end_permissions(_end_membership.user_id, _end_membership.id, NULL);
END
$$;
COMMENT ON FUNCTION appdb._end_membership(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: ends a membership';

CREATE FUNCTION appdb._remove_member(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	held text;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_remove_member.organization_id, _remove_member.space_id,
		CASE WHEN _remove_member.user_id = appdb.current_user_id() THEN 'viewer' ELSE 'admin' END);
	held := appdb._membership(t.kind, t.id, _remove_member.user_id);
	PERFORM appdb._check_rank(t.role, held, 'remove a member with');
	IF held = 'owner' AND t.owners = 1 THEN
		PERFORM appdb._no_owner_left(t.kind, t.id, _remove_member.user_id, t.members = 1);
	END IF;
	IF _remove_member.user_id = t.owner_id THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('space %s is the personal space of user %s', t.id, _remove_member.user_id),
			HINT = 'Make another member its owner first: appdb.transfer_ownership().';
	END IF;
	PERFORM appdb._end_membership(t.kind, t.id, _remove_member.user_id);
END
$$;
COMMENT ON FUNCTION appdb._remove_member(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.remove_member()';
CREATE FUNCTION appdb.remove_member(user_id pg_catalog.uuid, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.remove_member(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS
'Ends a membership of an organization, and with it those of its spaces, or of a space. Takes an owner or admin whose role is not below the member''s.
user_id: the member; organization_id or space_id: of what. Spaces of which the member is the only owner go to the organization''s longest-standing other owner.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not the caller''s to do; 23514 it would have no owner.';

CREATE FUNCTION appdb._leave(organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._remove_member(appdb._caller(), organization_id, space_id);
END
$$;
COMMENT ON FUNCTION appdb._leave(pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.leave()';
CREATE FUNCTION appdb.leave(organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.leave(pg_catalog.uuid, pg_catalog.uuid) IS
'Ends the caller''s own membership of an organization, and with it those of its spaces, or of a space.
organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization or space, or no member of it; 23514 it would have no owner.';

CREATE FUNCTION appdb._transfer_ownership(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	t record;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_transfer_ownership.organization_id, _transfer_ownership.space_id, 'owner');
	PERFORM appdb._membership(t.kind, t.id, _transfer_ownership.user_id);
	IF _transfer_ownership.user_id = me THEN
		RETURN;
	END IF;
	IF t.kind = 'organization' THEN
		UPDATE app_data.members AS m SET role = 'owner'
		WHERE m.organization_id = t.id AND m.user_id = _transfer_ownership.user_id AND m.deleted_at IS NULL;
		UPDATE app_data.members AS m SET role = 'admin'
		WHERE m.organization_id = t.id AND m.user_id = me AND m.deleted_at IS NULL;
	ELSE
		-- a personal space becomes the other's own, if it is the caller's
		UPDATE app_data.spaces AS s SET owner_id = _transfer_ownership.user_id WHERE s.id = t.id AND s.owner_id = me;
		UPDATE app_data.space_members AS m SET role = 'owner'
		WHERE m.space_id = t.id AND m.user_id = _transfer_ownership.user_id AND m.deleted_at IS NULL;
		UPDATE app_data.space_members AS m SET role = 'admin'
		WHERE m.space_id = t.id AND m.user_id = me AND m.deleted_at IS NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._transfer_ownership(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.transfer_ownership()';
CREATE FUNCTION appdb.transfer_ownership(user_id pg_catalog.uuid, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.transfer_ownership(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS
'Makes another member an owner of an organization or a space, and the caller, who was one, an admin. A personal space becomes the other''s.
user_id: the member who becomes owner; organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not an owner; 23505 the new owner has a personal space of the same slug.';

-- == the same rules for statements on the tables ============================

-- What somebody who is signed in may do to memberships: BEFORE each row.
CREATE FUNCTION appdb._membership_rank() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb.current_user_id();
	kind text := CASE TG_TABLE_NAME WHEN 'members' THEN 'organization' ELSE 'space' END;
	old_id uuid;
	new_id uuid;
	old_role text;
	new_role text;
	t record;
	locked boolean;
BEGIN
	IF me IS NOT NULL AND appdb._directly() THEN
		IF TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL THEN
			old_role := OLD.role;
			IF kind = 'organization' THEN
				old_id := OLD.organization_id;
			ELSE
				old_id := OLD.space_id;
			END IF;
		END IF;
		IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
			new_role := NEW.role;
			IF kind = 'organization' THEN
				new_id := NEW.organization_id;
			ELSE
				new_id := NEW.space_id;
			END IF;
		END IF;
		IF old_id IS NOT NULL AND new_id IS NOT NULL THEN
			IF (OLD.user_id, old_id) IS DISTINCT FROM (NEW.user_id, new_id) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'insufficient_privilege',
					MESSAGE = format('permission denied to give a membership of %s %s to somebody else', kind, old_id),
					HINT = 'Invite the other: appdb.invite().';
			END IF;
		END IF;
		IF new_role IS DISTINCT FROM old_role THEN
			-- who is not to know of it does not lock it either
			FOREACH locked IN ARRAY ARRAY[false, true] LOOP
				SELECT n.role, n.seats, n.members INTO t
				FROM appdb._tenant_now(CASE kind WHEN 'organization' THEN coalesce(new_id, old_id) END,
									   CASE kind WHEN 'space' THEN coalesce(new_id, old_id) END, me, locked) AS n;
				-- everybody may step down and leave
				IF old_id IS NULL OR OLD.user_id IS DISTINCT FROM me OR appdb._role_rank(new_role) > appdb._role_rank(old_role) THEN
					IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
						RAISE EXCEPTION USING
							ERRCODE = 'insufficient_privilege',
							MESSAGE = format('permission denied for members of %s %s', kind, coalesce(new_id, old_id)),
							DETAIL = 'This takes the role admin.';
					END IF;
					PERFORM appdb._check_rank(t.role, new_role, 'grant');
					PERFORM appdb._check_rank(t.role, old_role, 'change a member with');
				END IF;
			END LOOP;
			IF old_id IS NULL AND kind = 'organization' THEN
				PERFORM appdb._check_seats(new_id, t.seats, t.members);
			END IF;
		END IF;
	END IF;
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION appdb._membership_rank() IS 'Internal: appdb.membership_rank()';
CREATE FUNCTION appdb.membership_rank() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.membership_rank() IS
	'Trigger function: nobody who is signed in grants a role above their own, or changes who is above them';

-- AFTER each row of an owner who is one no longer.
CREATE FUNCTION appdb._keep_owner() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := CASE TG_TABLE_NAME WHEN 'members' THEN 'organization' ELSE 'space' END;
	id uuid;
	t record;
BEGIN
	IF kind = 'organization' THEN
		id := OLD.organization_id;
		SELECT * INTO t FROM appdb._tenant_now(id, NULL, NULL, true);
	ELSE
		id := OLD.space_id;
		SELECT * INTO t FROM appdb._tenant_now(NULL, id, NULL, true);
	END IF;
	-- an administrator may empty it, and a user may be deleted
	IF t.live AND t.owners = 0 AND (t.members > 0 OR (appdb.current_user_id() IS NOT NULL AND appdb._directly())) THEN
		PERFORM appdb._no_owner_left(kind, id, OLD.user_id, t.members = 0);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION appdb._keep_owner() IS 'Internal: appdb.keep_owner()';
CREATE FUNCTION appdb.keep_owner() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.keep_owner() IS
	'Trigger function: an organization or a space that has members has an owner among them';

-- AFTER each row of a member who is one no longer.
CREATE FUNCTION appdb._end_access() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._directly() THEN
		IF TG_TABLE_NAME = 'members' THEN
			PERFORM appdb._end_permissions(OLD.user_id, OLD.organization_id, NULL);
		ELSE
			PERFORM appdb._end_permissions(OLD.user_id, NULL, OLD.space_id);
		END IF;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION appdb._end_access() IS 'Internal: appdb.end_access()';
CREATE FUNCTION appdb.end_access() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.end_access() IS
	'Trigger function: what a former member was allowed with single files ends';

CREATE FUNCTION appdb._invitation_rules() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb.current_user_id();
	own text;
	t record;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		IF OLD.status <> 'pending' AND NEW.status <> OLD.status THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('invitation %s is %s already', OLD.id, OLD.status),
				HINT = 'Make another invitation.';
		END IF;
		IF NEW.status = 'accepted' AND OLD.status = 'pending' AND OLD.expires_at <= clock_timestamp() THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('invitation %s has expired', OLD.id),
				DETAIL = format('It could be accepted until %s.', OLD.expires_at),
				HINT = 'Make another invitation.';
		END IF;
	END IF;
	IF me IS NULL OR NOT appdb._directly() THEN
		RETURN NEW;
	END IF;

	-- the address that it was sent to may answer, and nothing else
	IF TG_OP = 'UPDATE' AND OLD.status = 'pending' AND NEW.status IN ('accepted', 'rejected') THEN
		SELECT lower(u.email) INTO own FROM app_data.users AS u WHERE u.id = me AND u.email_verified AND u.deleted_at IS NULL;
		IF own IS DISTINCT FROM lower(OLD.email)
		   OR (NEW.email, NEW.role, NEW.organization_id, NEW.space_id, NEW.expires_at, NEW.token_hash, NEW.deleted_at)
			  IS DISTINCT FROM (OLD.email, OLD.role, OLD.organization_id, OLD.space_id, OLD.expires_at, OLD.token_hash, OLD.deleted_at) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to answer invitation %s', OLD.id),
				DETAIL = 'Only the address that it was sent to can, once it is verified.';
		END IF;
		RETURN NEW;
	END IF;

	IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
		RETURN NEW;
	END IF;
	SELECT n.role INTO t FROM appdb._tenant_now(NEW.organization_id, NEW.space_id, me, false) AS n;
	IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('permission denied for invitations to %s %s',
				CASE WHEN NEW.space_id IS NULL THEN 'organization' ELSE 'space' END, coalesce(NEW.organization_id, NEW.space_id)),
			DETAIL = 'This takes the role admin.';
	END IF;
	PERFORM appdb._check_rank(t.role, NEW.role::text, 'grant');
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.organization_id, NEW.space_id) IS DISTINCT FROM (OLD.organization_id, OLD.space_id) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to move invitation %s', OLD.id),
				HINT = 'Make another invitation.';
		END IF;
		PERFORM appdb._check_rank(t.role, OLD.role::text, 'change an invitation with');
	ELSE
		NEW.inviter_id := coalesce(NEW.inviter_id, me);
	END IF;
	IF NEW.inviter_id IS DISTINCT FROM me AND (TG_OP = 'INSERT' OR NEW.inviter_id IS DISTINCT FROM OLD.inviter_id) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'permission denied to invite as somebody else',
			HINT = 'Leave inviter_id out.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._invitation_rules() IS 'Internal: appdb.invitation_rules()';
CREATE FUNCTION appdb.invitation_rules() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.invitation_rules() IS
	'Trigger function: an invitation is answered once, in time, and by whom it was sent to';

-- Whose a space is is more than any role in it: BEFORE each row.
CREATE FUNCTION appdb._space_rules() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb.current_user_id();
	own text;
BEGIN
	IF NOT appdb._directly() THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.organization_id, NEW.owner_id) IS NOT DISTINCT FROM (OLD.organization_id, OLD.owner_id) THEN
			RETURN NEW;
		END IF;
		SELECT n.role INTO own FROM appdb._tenant_now(NULL, OLD.id, me, false) AS n;
		IF own IS DISTINCT FROM 'owner' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to give space %s to somebody else', OLD.id),
				DETAIL = 'This takes the role owner.';
		END IF;
	END IF;
	IF NEW.organization_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.organization_id IS DISTINCT FROM OLD.organization_id) THEN
		SELECT n.role INTO own FROM appdb._tenant_now(NEW.organization_id, NULL, me, false) AS n;
		IF appdb._role_rank(own) < appdb._role_rank('admin') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for spaces of organization %s', NEW.organization_id),
				DETAIL = 'This takes the role admin.';
		END IF;
	ELSIF TG_OP = 'INSERT' AND NEW.owner_id IS DISTINCT FROM me THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'permission denied to make a personal space of somebody else''s';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._space_rules() IS 'Internal: appdb.space_rules()';
CREATE FUNCTION appdb.space_rules() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.space_rules() IS
	'Trigger function: nobody who is signed in gives a space away but its owners, or makes one for others';

-- An invitation goes to whoever has its address: so nobody says of themselves
-- that an address is theirs.
CREATE FUNCTION appdb._own_address() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._directly() THEN
		IF lower(NEW.email) IS DISTINCT FROM lower(OLD.email) THEN
			NEW.email_verified := false;
			NEW.email_verified_at := NULL;
		ELSIF NOT OLD.email_verified AND (NEW.email_verified OR NEW.email_verified_at IS NOT NULL) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to verify the e-mail address of user %s', OLD.id),
				HINT = 'The application does that while nobody is signed in.';
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._own_address() IS 'Internal: appdb.own_address()';
CREATE FUNCTION appdb.own_address() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.own_address() IS
	'Trigger function: whoever is signed in can change their e-mail address, which is not verified then, but not verify it';

-- Rows of a dump pass: they are inserted, and by nobody who is signed in.
CREATE FUNCTION appdb._attach_membership() RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entity regclass;
BEGIN
	FOREACH entity IN ARRAY ARRAY['app_data.members', 'app_data.space_members']::regclass[] LOOP
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_membership_rank BEFORE INSERT OR UPDATE OR DELETE ON %s '
			'FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.membership_rank()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_membership_rank ON %s IS '
			'''Nobody who is signed in grants a role above their own''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_keep_owner AFTER UPDATE ON %s FOR EACH ROW '
			'WHEN (OLD.role = ''owner'' AND OLD.deleted_at IS NULL AND '
			'(NEW.role <> ''owner'' OR NEW.deleted_at IS NOT NULL OR NEW.%2$I <> OLD.%2$I)) '
			'EXECUTE FUNCTION appdb.keep_owner()', entity,
			CASE entity WHEN 'app_data.members'::regclass THEN 'organization_id' ELSE 'space_id' END);
		EXECUTE format('COMMENT ON TRIGGER appdb_keep_owner ON %s IS ''Where there are members there is an owner''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_keep_owner_delete AFTER DELETE ON %s FOR EACH ROW '
			'WHEN (OLD.role = ''owner'' AND OLD.deleted_at IS NULL) '
			'EXECUTE FUNCTION appdb.keep_owner()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_keep_owner_delete ON %s IS ''Where there are members there is an owner''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_end_access AFTER UPDATE OF deleted_at ON %s FOR EACH ROW '
			'WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION appdb.end_access()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_end_access ON %s IS ''Permissions for single files end with the membership''', entity);
	END LOOP;
	CREATE OR REPLACE TRIGGER appdb_invitation_rules
		BEFORE INSERT OR UPDATE ON app_data.invitations
		FOR EACH ROW EXECUTE FUNCTION appdb.invitation_rules();
	COMMENT ON TRIGGER appdb_invitation_rules ON app_data.invitations IS
		'An invitation is answered once, in time, and by whom it was sent to';
	CREATE OR REPLACE TRIGGER appdb_space_rules
		BEFORE INSERT OR UPDATE ON app_data.spaces
		FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.space_rules();
	COMMENT ON TRIGGER appdb_space_rules ON app_data.spaces IS
		'Nobody who is signed in gives a space away but its owners';
	-- before appdb_email_verified, which keeps the two columns in step
	CREATE OR REPLACE TRIGGER appdb_email_own
		BEFORE UPDATE ON app_data.users
		FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.own_address();
	COMMENT ON TRIGGER appdb_email_own ON app_data.users IS
		'Nobody who is signed in verifies an e-mail address';
END
$$;
COMMENT ON FUNCTION appdb._attach_membership() IS 'Internal: makes the triggers; appdb.attach_domains() calls it';

-- == who may ================================================================

-- What roles with access level "app" may execute of this file.
CREATE FUNCTION appdb._app_functions() RETURNS pg_catalog.regprocedure[]
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY[
		'appdb.create_organization(text, text, text, jsonb)',
		'appdb.create_space(text, uuid, text, text, jsonb)',
		'appdb.invite(text, text, uuid, uuid, interval)',
		'appdb.accept_invitation(text)',
		'appdb.accept_invitation(uuid)',
		'appdb.decline_invitation(text)',
		'appdb.decline_invitation(uuid)',
		'appdb.revoke_invitation(uuid)',
		'appdb.change_role(uuid, text, uuid, uuid)',
		'appdb.remove_member(uuid, uuid, uuid)',
		'appdb.leave(uuid, uuid)',
		'appdb.transfer_ownership(uuid, uuid, uuid)'
	]::regprocedure[]
$$;
COMMENT ON FUNCTION appdb._app_functions() IS 'Internal: the functions for memberships that roles of applications may execute';

DO $$
DECLARE
	f regprocedure;
BEGIN
	-- once: in an upgrade it would make what has been granted since part of the initial privileges, which dumps leave out
	FOR f IN
		SELECT x FROM unnest(appdb._app_functions()) AS x
		WHERE NOT EXISTS (SELECT FROM pg_init_privs p WHERE p.classoid = 'pg_proc'::regclass AND p.objoid = x AND p.privtype = 'e')
	LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
	END LOOP;
END
$$;

-- sql/04_migrate.sql

-- Versions: what the owner of the tables is given, and the changes of the
-- tables from version to version (src/install.c, src/migrate.c).

-- The statements that give the owner of the tables what it has not yet.  Its
-- live views and relation functions are made in schema appdb.
CREATE FUNCTION appdb._owner_grants(owner pg_catalog.name) RETURNS SETOF pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('GRANT USAGE, CREATE ON SCHEMA appdb TO %I', $1)
	WHERE NOT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
					  WHERE n.nspname = 'appdb' AND a.privilege_type = 'CREATE' AND a.grantee = quote_ident($1)::regrole)
	UNION ALL
	SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I%s', f.routine, $1, CASE WHEN f.grantable THEN ' WITH GRANT OPTION' ELSE '' END)
	FROM (
		SELECT unnest(ARRAY[
			'appdb.install()', 'appdb.migrate()', 'appdb.pending()', 'appdb._pending()', 'appdb.migrate_online(integer, integer)',
			'appdb.manage(regclass, name, name, jsonb)', 'appdb._manage(regclass, name, name, jsonb)',
			'appdb.unmanage(regclass)', 'appdb._unmanage(regclass)',
			'appdb._sync_relations(regclass, name)', 'appdb.attach_domains()',
			'appdb.grant_access(name, text)', 'appdb.revoke_access(name)',
			'appdb.hold(uuid, text)', 'appdb.release(uuid)',
			'appdb.doctor(boolean)', 'appdb._doctor(boolean)', 'appdb.__doctor(boolean)', 'appdb._doctor_catalogs()', 'appdb._doctor_rows()',
			'appdb._run_schedules(integer)', 'appdb._maintain(text, integer)', 'appdb._remove(regclass, name, timestamptz, text, integer)', 'appdb._silent_tasks(integer)', 'appdb._park_lock(text, boolean)',
			'appdb.purge(interval, integer)', 'appdb.maintain(integer, boolean)']), false
		UNION ALL
		-- what appdb.grant_access() hands on
		SELECT unnest(appdb._grant_functions('service')), true
	) f (routine, grantable)
	WHERE NOT EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a
					  WHERE p.oid = f.routine::regprocedure AND a.privilege_type = 'EXECUTE' AND a.grantee = quote_ident($1)::regrole)
$$;
COMMENT ON FUNCTION appdb._owner_grants(pg_catalog.name) IS 'Internal: the statements that give the owner of the tables what it needs in schema appdb';

CREATE FUNCTION appdb.migrate() RETURNS pg_catalog.text
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_migrate';
COMMENT ON FUNCTION appdb.migrate() IS
'Brings tables of an older version to the version of the engine, in the caller''s transaction; returns migrated, or current where there was nothing to do. ALTER EXTENSION appdb UPDATE calls it;
one calls it oneself after restoring a dump of an older version. What would take long locks is left to appdb.migrate_online().
Only the owner of schema app_data may. Errors: 55P03 a lock was not to be had within lock_timeout (10 s if not set), or another migration runs; 55000 tables of a version that the engine does not know.';
REVOKE EXECUTE ON FUNCTION appdb.migrate() FROM PUBLIC;

-- The statements of all migrations that are done beside load.
CREATE FUNCTION appdb._online_steps(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text,
	OUT entity pg_catalog.text, OUT object pg_catalog.text, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb__online_steps';
COMMENT ON FUNCTION appdb._online_steps() IS 'Internal: the statements that appdb.migrate_online() executes, of all versions';

CREATE FUNCTION appdb._pending(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text, OUT entity pg_catalog.text,
	OUT state pg_catalog.text, OUT progress pg_catalog.text, OUT attempts pg_catalog.int4, OUT error pg_catalog.text,
	OUT started_at pg_catalog.timestamptz, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tables text := (SELECT v.version FROM app_data.schema_version v);
	worker int;
BEGIN
	IF tables <> appdb.version() THEN
		RETURN QUERY
			WITH RECURSIVE chain AS (
				SELECT m.from_version, m.to_version FROM appdb.migrations_sql() m WHERE m.from_version = tables
				UNION ALL
				SELECT m.from_version, m.to_version FROM chain c JOIN appdb.migrations_sql() m ON m.from_version = c.to_version)
			SELECT c.to_version, 0, 'migration', NULL::text, 'waiting', NULL::text, 0, NULL::text, NULL::timestamptz, 'SELECT appdb.migrate()'
			FROM chain c;
	END IF;

	-- the session that holds the lock of appdb.migrate_online()
	SELECT l.pid INTO worker FROM pg_locks l
	WHERE l.locktype = 'object' AND l.classid = 'pg_extension'::regclass AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
	  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	  AND l.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'appdb');
	RETURN QUERY
		SELECT p.version, p.step, s.kind, s.entity,
			   CASE WHEN p.running = worker THEN 'running' WHEN p.error IS NOT NULL THEN 'failed' ELSE 'waiting' END,
			   CASE WHEN p.rows > 0 THEN format('%s rows', p.rows)
					WHEN p.running = worker AND s.kind = 'index' THEN
						(SELECT format('%s, %s of %s blocks, %s of %s rows', i.phase, i.blocks_done, i.blocks_total, i.tuples_done, i.tuples_total)
						 FROM pg_stat_progress_create_index i WHERE i.pid = worker) END,
			   p.attempts, p.error, p.started_at, s.statement
		FROM app_data.pending p JOIN appdb._online_steps() s ON s.version = p.version AND s.step = p.step
		ORDER BY string_to_array(p.version, '.')::int[], p.step;
END
$$;
COMMENT ON FUNCTION appdb._pending() IS 'Internal: the work of appdb.pending()';

CREATE FUNCTION appdb.pending(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text, OUT entity pg_catalog.text,
	OUT state pg_catalog.text, OUT progress pg_catalog.text, OUT attempts pg_catalog.int4, OUT error pg_catalog.text,
	OUT started_at pg_catalog.timestamptz, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.pending() IS
'What remains to be done to the tables, in order: migrations (after restoring a dump of an older version; SELECT appdb.migrate() does them), and steps of migrations that would take long locks in one transaction (CALL appdb.migrate_online() does them).
version, step: which step of which migration; kind: migration, index, drop index, validate, backfill or statement; entity: the table; state: waiting, running or failed;
progress: how far it is; attempts, error, started_at: of the last attempt; statement: what is executed. For the owner of the tables.';

CREATE PROCEDURE appdb.migrate_online(batch pg_catalog.int4 DEFAULT 1000, attempts pg_catalog.int4 DEFAULT 30)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_migrate_online';
COMMENT ON PROCEDURE appdb.migrate_online(pg_catalog.int4, pg_catalog.int4) IS
'Does what appdb.pending() lists, beside load: one step after the other, each committed, indexes concurrently, rows in batches. Can be stopped at any time and called again: it goes on where it was.
batch: rows that one transaction changes; attempts: how often a step is tried where locks are not to be had within 2 s (or lock_timeout, if that is shorter), with pauses between.
Only the owner of schema app_data may, outside of a transaction. Errors: 25001 inside of one; 55006 runs already; otherwise those of the step, which appdb.pending() then shows.';

REVOKE EXECUTE ON FUNCTION appdb.pending(), appdb._pending() FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE appdb.migrate_online(pg_catalog.int4, pg_catalog.int4) FROM PUBLIC;

-- sql/04_password.sql

-- Passwords, hashed and verified in the database.
--
-- By bcrypt of the extension pgcrypto: it is maintained with PostgreSQL and
-- comes with it, its hashes cost an attacker time on purpose, and clients'
-- bcrypt libraries read and write the same format, so a hash can move in either
-- direction.  An algorithm of our own would be one more to get wrong.
-- pgcrypto is looked up when it is needed: without passwords it need not be
-- there, and it can be in any schema.
--
-- These are functions, not procedures: pg_stat_statements keeps the constants
-- of a SELECT to itself, but before version 17 not those of a CALL.

CREATE FUNCTION appdb._bcrypt(password pg_catalog.text, salt pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pgcrypto regnamespace := (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'pgcrypto');
	hash text;
BEGIN
	IF pgcrypto IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = 'passwords need the extension "pgcrypto"',
			HINT = 'CREATE EXTENSION pgcrypto;';
	END IF;
	IF salt IS NULL THEN
		EXECUTE format('SELECT %s.crypt($1, %1$s.gen_salt(''bf''::text, 12))', pgcrypto) INTO hash USING password;
		RETURN hash;
	END IF;
	-- $2b$ and $2y$ are other programs' names for what pgcrypto calls $2a$
	EXECUTE format('SELECT %s.crypt($1, $2)', pgcrypto) INTO hash
	USING password, regexp_replace(salt, '^\$2[by]\$', '$2a$');
	RETURN left(salt, 4) || substr(hash, 5);
END
$$;
COMMENT ON FUNCTION appdb._bcrypt(pg_catalog.text, pg_catalog.text) IS
	'Internal: the bcrypt hash of a password, by a new salt or by that of a hash';

CREATE FUNCTION appdb._set_password(user_id pg_catalog.uuid, password pg_catalog.text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	account record;
BEGIN
	IF coalesce(_set_password.password, '') = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a password is needed';
	ELSIF octet_length(_set_password.password) > 72 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'password is too long',
			DETAIL = 'It has more than 72 bytes, which bcrypt would leave out.';
	END IF;
	-- two at once wait for each other here
	PERFORM FROM app_data.users u WHERE u.id = _set_password.user_id AND u.deleted_at IS NULL FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_authorization_specification',
			MESSAGE = format('there is no user %s', _set_password.user_id),
			DETAIL = 'The user does not exist, or is deleted.';
	END IF;
	SELECT a.id, a.password INTO account FROM app_data.accounts a
	WHERE a.user_id = _set_password.user_id AND a.provider_id = 'credential' AND a.deleted_at IS NULL
	ORDER BY a.id LIMIT 1;
	IF NOT FOUND THEN
		INSERT INTO app_data.accounts (user_id, provider_id, account_id, password)
		VALUES (_set_password.user_id, 'credential', _set_password.user_id::text, appdb._bcrypt(_set_password.password));
	ELSIF account.password IS NOT NULL AND account.password !~ '^\$2[abxy]\$' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('password of user %s belongs to a client', _set_password.user_id),
			DETAIL = 'It is hashed in a format other than bcrypt, and that client could not verify a new one.',
			HINT = 'Change it through that client, or set accounts.password to null first.';
	ELSE
		UPDATE app_data.accounts a SET password = appdb._bcrypt(_set_password.password) WHERE a.id = account.id;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._set_password(pg_catalog.uuid, pg_catalog.text) IS 'Internal: the work of appdb.set_password()';

CREATE FUNCTION appdb.set_password(user_id pg_catalog.uuid, password pg_catalog.text) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.set_password(pg_catalog.uuid, pg_catalog.text) IS
'Sets a user''s password: its bcrypt hash, in the account of provider "credential". Sessions go on.
user_id: the user; password: at most 72 bytes. Needs the extension pgcrypto.
Errors: 28000 where there is no such live user; 22023 an empty or too long password; 55000 where a client keeps a password in a format of its own; 0A000 without pgcrypto. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.set_password(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb._sign_in_with_password(
	email pg_catalog.text, password pg_catalog.text, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	account record;
	hash text;
	right_password bool;
BEGIN
	SELECT u.id, a.password INTO account
	FROM app_data.users u
	JOIN app_data.accounts a ON a.user_id = u.id AND a.provider_id = 'credential' AND a.deleted_at IS NULL
	WHERE lower(u.email) = lower(_sign_in_with_password.email) AND u.deleted_at IS NULL
	ORDER BY a.id LIMIT 1;
	-- the same work whether there is a user or not: else time tells who is one
	hash := CASE WHEN account.password ~ '^\$2[abxy]\$' THEN account.password
			ELSE '$2a$12$1nGUsVIfZJL/VoJX4e4AFOc0W0uq.z0F6nCO0XeA5pF.3x8fHx6hu' END;
	right_password := appdb._bcrypt(coalesce(_sign_in_with_password.password, ''), hash) = hash
		AND hash = account.password AND octet_length(_sign_in_with_password.password) BETWEEN 1 AND 72;
	IF account.password IS NOT NULL AND hash <> account.password THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('password of user %s belongs to a client', account.id),
			DETAIL = 'It is hashed in a format other than bcrypt.',
			HINT = 'Let that client verify it, and call appdb.sign_in().';
	ELSIF right_password IS NOT TRUE THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_password',
			MESSAGE = 'wrong e-mail address or password';
	END IF;
	SELECT s.token, s.session_id, s.expires_at INTO token, session_id, expires_at
	FROM appdb.sign_in(account.id, _sign_in_with_password.lifetime, _sign_in_with_password.ip_address,
					   _sign_in_with_password.user_agent) s;
END
$$;
COMMENT ON FUNCTION appdb._sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
	'Internal: the work of appdb.sign_in_with_password()';

CREATE FUNCTION appdb.sign_in_with_password(
	email pg_catalog.text, password pg_catalog.text, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
'Verifies a password that appdb.set_password() or a client has kept as a bcrypt hash, and makes a session, as appdb.sign_in() does.
email: the user''s address, in any case; password: the password; lifetime, ip_address, user_agent: as for appdb.sign_in(). Needs the extension pgcrypto.
Errors: 28P01 for whatever is wrong, after the same work; 55000 where a client keeps the password in a format of its own; 0A000 without pgcrypto. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) FROM PUBLIC;

-- sql/04_queue.sql

-- The task queue: enqueueing, what workers call, schedules, maintenance.  queue.c, claim.c, finish.c and cron.c have the parts in C.
--
-- Whoever enqueues does so with their own rights on appdb.tasks. Workers act with the rights of the tables' owner, once they have EXECUTE on the
-- worker's functions, which nobody has by default: the C function behind each switches to the owner and calls the function of the same name
-- with an underscore.

-- == enqueue ================================================================

CREATE FUNCTION appdb.enqueue(
	kind text,
	payload jsonb DEFAULT '{}',
	queue text DEFAULT 'default',
	priority integer DEFAULT 0,
	run_at timestamptz DEFAULT NULL,
	max_attempts integer DEFAULT 20,
	dedupe_key text DEFAULT NULL,
	space_id uuid DEFAULT NULL,
	user_id uuid DEFAULT NULL,
	on_duplicate text DEFAULT 'ignore',
	backoff interval DEFAULT '10 seconds',
	group_key text DEFAULT NULL,
	group_limit integer DEFAULT 1,
	expires_at timestamptz DEFAULT NULL,
	depends_on uuid[] DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_enqueue';
COMMENT ON FUNCTION appdb.enqueue(text, jsonb, text, integer, timestamptz, integer, text, uuid, uuid, text, interval, text, integer, timestamptz, uuid[]) IS
'Adds a task, in the caller''s transaction, and returns its id; with a dedupe_key that waits or runs already in the space, the id of that task.
queue: where workers look; priority: higher first; run_at: not before (default now); max_attempts: then it is dead; backoff: wait after the first failure, doubled each time;
on_duplicate: ignore (the task that waits stays as it is), replace (it gets what was given now), reschedule (it gets the new run_at): of one that runs nothing changes;
group_key, group_limit: no more of the group run at a time; expires_at: canceled if not begun by then; depends_on: begins when all of these tasks are completed, is canceled when one cannot be.
Takes INSERT on appdb.tasks; replace and reschedule UPDATE. Errors: 23503 no such space, user or task to depend on; 23514 a value out of bounds.';

-- What appdb.enqueue() does itself where none of the rarer options is given.
CREATE FUNCTION appdb._enqueue(
	kind text, payload jsonb, queue text, priority integer, run_at timestamptz, max_attempts integer, dedupe_key text, space_id uuid,
	user_id uuid, on_duplicate text, backoff interval, group_key text, group_limit integer, expires_at timestamptz, depends_on uuid[])
	RETURNS uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	task uuid;
	old record;
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_enqueue.run_at, now()));
	parents uuid[] := ARRAY(SELECT DISTINCT d FROM unnest(_enqueue.depends_on) AS d ORDER BY d);
	places integer := CASE WHEN _enqueue.group_key IS NOT NULL THEN nullif(_enqueue.group_limit, 1) END;
	waits integer := 0;
	added boolean;
BEGIN
	IF _enqueue.on_duplicate IS NULL OR _enqueue.on_duplicate NOT IN ('ignore', 'replace', 'reschedule') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('on_duplicate cannot be "%s"', _enqueue.on_duplicate),
			HINT = 'It is ignore, replace or reschedule.';
	END IF;
	IF _enqueue.group_limit IS NULL OR _enqueue.group_limit < 1 THEN
		RAISE check_violation USING
			MESSAGE = 'group_limit must be at least 1',
			HINT = 'It is how many tasks of the group may run at a time.';
	END IF;
	IF cardinality(parents) > 0 THEN
		-- those that the caller may see; the function that is called locks them
		IF (SELECT count(*) FROM appdb.tasks AS t WHERE t.id = ANY (parents)) < cardinality(parents) THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('task "%s" cannot depend on task %s: there is no such task', _enqueue.kind,
					(SELECT p FROM unnest(parents) AS p WHERE NOT EXISTS (SELECT FROM appdb.tasks AS t WHERE t.id = p) LIMIT 1)),
				HINT = 'Enqueue the tasks that it depends on first.';
		END IF;
		waits := appdb._task_await(_enqueue.kind, parents);
	END IF;

	-- the task that is in the way may be finished before it is read: then try again
	FOR attempt IN 1 .. 10 LOOP
		IF _enqueue.dedupe_key IS NULL THEN
			INSERT INTO appdb.tasks (kind, payload, queue, priority, run_at, max_attempts, space_id, user_id, queued, backoff, group_key, group_limit, expires_at, depends_on, waits_for)
			VALUES (_enqueue.kind, _enqueue.payload, _enqueue.queue, _enqueue.priority, starts, _enqueue.max_attempts, _enqueue.space_id, _enqueue.user_id,
				starts <= now() AND waits = 0, nullif(_enqueue.backoff, '10 seconds'), _enqueue.group_key, places, _enqueue.expires_at, nullif(parents, '{}'), waits)
			RETURNING id INTO task;
		ELSE
			INSERT INTO appdb.tasks (kind, payload, queue, priority, run_at, max_attempts, dedupe_key, space_id, user_id, queued, backoff, group_key, group_limit, expires_at, depends_on, waits_for)
			VALUES (_enqueue.kind, _enqueue.payload, _enqueue.queue, _enqueue.priority, starts, _enqueue.max_attempts, _enqueue.dedupe_key, _enqueue.space_id, _enqueue.user_id,
				starts <= now() AND waits = 0, nullif(_enqueue.backoff, '10 seconds'), _enqueue.group_key, places, _enqueue.expires_at, nullif(parents, '{}'), waits)
			ON CONFLICT (space_id, kind, dedupe_key)
				WHERE dedupe_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL
				DO NOTHING
			RETURNING id INTO task;
		END IF;
		added := FOUND;
		IF NOT added AND _enqueue.on_duplicate = 'ignore' THEN
			SELECT t.id INTO task FROM appdb.tasks AS t
			WHERE t.kind = _enqueue.kind AND t.dedupe_key = _enqueue.dedupe_key AND t.space_id IS NOT DISTINCT FROM _enqueue.space_id
				AND t.finished_at IS NULL;
			IF FOUND THEN
				RETURN task;
			END IF;
		ELSIF NOT added THEN
			SELECT t.id, t.status INTO old FROM appdb.tasks AS t
			WHERE t.kind = _enqueue.kind AND t.dedupe_key = _enqueue.dedupe_key AND t.space_id IS NOT DISTINCT FROM _enqueue.space_id
				AND t.finished_at IS NULL
			FOR NO KEY UPDATE;
			IF FOUND THEN
				task := old.id;
				IF old.status <> 'pending' THEN
					RETURN task;
				ELSIF _enqueue.on_duplicate = 'replace' THEN
					UPDATE appdb.tasks AS t SET payload = _enqueue.payload, queue = _enqueue.queue, priority = _enqueue.priority, run_at = starts, max_attempts = _enqueue.max_attempts,
						user_id = _enqueue.user_id, queued = starts <= now() AND waits = 0, parked = false, backoff = nullif(_enqueue.backoff, '10 seconds'), group_key = _enqueue.group_key, group_limit = places,
						group_slot = CASE WHEN t.group_key = _enqueue.group_key THEN t.group_slot END, expires_at = _enqueue.expires_at, depends_on = nullif(parents, '{}'), waits_for = waits
					WHERE t.id = task;
				ELSE
					UPDATE appdb.tasks AS t SET run_at = starts, queued = starts <= now() AND t.waits_for = 0, parked = false
					WHERE t.id = task RETURNING t.waits_for INTO waits;
				END IF;
				added := true;
			END IF;
		END IF;
		IF added THEN
			IF starts <= now() AND waits = 0 THEN
				PERFORM appdb._wake(_enqueue.queue);
			END IF;
			RETURN task;
		END IF;
	END LOOP;
	RAISE unique_violation USING
		MESSAGE = format('task "%s" with dedupe key "%s" is there already', _enqueue.kind, _enqueue.dedupe_key),
		DETAIL = 'It could not be read: it belongs to somebody else, or others come and go too fast.',
		HINT = 'Try again, or give another dedupe_key.';
END
$$;

CREATE FUNCTION appdb.enqueue_many(
	kind text,
	payloads jsonb[],
	queue text DEFAULT 'default',
	priority integer DEFAULT 0,
	run_at timestamptz DEFAULT NULL,
	max_attempts integer DEFAULT 20,
	space_id uuid DEFAULT NULL,
	user_id uuid DEFAULT NULL,
	backoff interval DEFAULT '10 seconds')
	RETURNS uuid[]
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_enqueue_many';
COMMENT ON FUNCTION appdb.enqueue_many(text, jsonb[], text, integer, timestamptz, integer, uuid, uuid, interval) IS
'Adds a task for each payload, in the caller''s transaction, and returns their ids in the same order: the fast way for many tasks that are alike. Arguments and errors as of appdb.enqueue().';

CREATE FUNCTION appdb._enqueue_many(
	kind text, payloads jsonb[], queue text, priority integer, run_at timestamptz, max_attempts integer, space_id uuid, user_id uuid, backoff interval)
	RETURNS uuid[]
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_enqueue_many.run_at, now()));
	tasks uuid[];
BEGIN
	WITH added AS (
		INSERT INTO appdb.tasks AS t (id, kind, payload, queue, priority, run_at, max_attempts, space_id, user_id, queued, backoff)
		SELECT appdb.uuidv7(), _enqueue_many.kind, p.payload, _enqueue_many.queue, _enqueue_many.priority, starts, _enqueue_many.max_attempts,
			_enqueue_many.space_id, _enqueue_many.user_id, starts <= now(), nullif(_enqueue_many.backoff, '10 seconds')
		FROM unnest(payloads) WITH ORDINALITY AS p (payload, n) ORDER BY p.n
		RETURNING t.id)
	-- ids of a session increase
	SELECT coalesce(array_agg(a.id ORDER BY a.id), '{}') INTO tasks FROM added AS a;
	IF starts <= now() AND tasks <> '{}' THEN
		PERFORM appdb._wake(_enqueue_many.queue);
	END IF;
	RETURN tasks;
END
$$;

CREATE FUNCTION appdb.enqueue_many(tasks jsonb)
	RETURNS uuid[]
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task jsonb;
	unknown text;
	ids uuid[] := '{}';
BEGIN
	FOR task IN SELECT jsonb_array_elements(tasks) LOOP
		SELECT k INTO unknown FROM jsonb_object_keys(task) AS k
		WHERE k NOT IN ('kind', 'payload', 'queue', 'priority', 'run_at', 'max_attempts', 'dedupe_key', 'space_id', 'user_id', 'on_duplicate', 'backoff', 'group_key',
			'group_limit', 'expires_at', 'depends_on');
		IF FOUND THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('a task has no "%s"', unknown),
				HINT = 'The members of the objects are the arguments of appdb.enqueue().';
		END IF;
		ids := ids || appdb.enqueue(
			task ->> 'kind',
			coalesce(task -> 'payload', '{}'),
			coalesce(task ->> 'queue', 'default'),
			coalesce((task ->> 'priority')::integer, 0),
			(task ->> 'run_at')::timestamptz,
			coalesce((task ->> 'max_attempts')::integer, 20),
			task ->> 'dedupe_key',
			(task ->> 'space_id')::uuid,
			(task ->> 'user_id')::uuid,
			coalesce(task ->> 'on_duplicate', 'ignore'),
			coalesce((task ->> 'backoff')::interval, '10 seconds'),
			task ->> 'group_key',
			coalesce((task ->> 'group_limit')::integer, 1),
			(task ->> 'expires_at')::timestamptz,
			-- a number is the place in this array of a task before
			CASE WHEN jsonb_typeof(task -> 'depends_on') = 'array' THEN
				ARRAY(SELECT CASE jsonb_typeof(d) WHEN 'number' THEN ids[(d #>> '{}')::integer + 1] ELSE (d #>> '{}')::uuid END
					  FROM jsonb_array_elements(task -> 'depends_on') AS d) END);
	END LOOP;
	RETURN ids;
END
$$;
COMMENT ON FUNCTION appdb.enqueue_many(jsonb) IS
'Adds a task for each object of an array, in the caller''s transaction, and returns their ids in the same order. The objects'' members are the arguments of appdb.enqueue();
a number in depends_on stands for a task before in the same array, counted from 0. Errors as of appdb.enqueue(), and 22023 for an unknown member.';

CREATE FUNCTION appdb._wake(queue text)
	RETURNS void
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_wake';
COMMENT ON FUNCTION appdb._wake(text) IS 'Internal: notifies the workers that wait for tasks of a queue, if there are any';

CREATE FUNCTION appdb.task_status(task_id uuid)
	RETURNS TABLE (status text, progress real, progress_message text, attempts integer, result jsonb, last_error text, finished_at timestamptz)
	LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 1
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT t.status::text, t.progress, t.progress_message, t.attempts, t.result, t.last_error, t.finished_at
	FROM appdb.tasks AS t WHERE t.id = task_status.task_id
$$;
COMMENT ON FUNCTION appdb.task_status(uuid) IS
	'Where a task stands: a row, or none where there is no such task';

CREATE FUNCTION appdb.task_state() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF NEW.status IN ('completed', 'canceled', 'dead') THEN
		NEW.queued := false;
		NEW.finished_at := coalesce(NEW.finished_at, clock_timestamp());
		NEW.parked := false;
		NEW.group_slot := NULL;
		NEW.locked_until := NULL;
	ELSE
		NEW.finished_at := NULL;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.task_state() IS
	'Trigger function: a task that is finished is not in the queue, and says when it was';

-- == what workers call ======================================================

CREATE FUNCTION appdb.claim(
	queues text[] DEFAULT '{default}',
	worker text DEFAULT NULL,
	max integer DEFAULT 1,
	lease interval DEFAULT '5 minutes',
	OUT id uuid, OUT ticket integer, OUT kind text, OUT queue text, OUT payload jsonb, OUT attempt integer, OUT max_attempts integer,
	OUT space_id uuid, OUT user_id uuid, OUT locked_until timestamptz)
	RETURNS SETOF record
	LANGUAGE c ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_claim';
COMMENT ON FUNCTION appdb.claim(text[], text, integer, interval) IS
'Takes up to max tasks that are ready and returns them; commit before beginning with them. Nobody else gets them until the lease ends, which heartbeat() prolongs.
queues: looked through in this order; in each, higher priorities first, spaces in turn, then by run_at. worker: a name for people to see.
Show the ticket to complete(), fail() and the others. A task whose lease has ended is taken again; after its last attempt it is dead.';

CREATE FUNCTION appdb._claim_due(queue text, batch integer)
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
DECLARE
	n integer;
BEGIN
	UPDATE app_data.tasks AS t SET queued = true
	WHERE t.id = ANY (ARRAY(
		SELECT d.id FROM app_data.tasks AS d
		WHERE d.queue = _claim_due.queue AND d.run_at <= clock_timestamp() AND NOT d.queued AND NOT d.parked AND d.finished_at IS NULL AND d.waits_for = 0
		ORDER BY d.run_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED));
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._claim_due(text, integer) IS 'Internal: puts tasks whose time has come into their queue';

-- One claimed task, where triggers of the user's have to fire.
CREATE FUNCTION appdb._claim_one(id uuid, ticket integer, next_ticket integer, worker text, until timestamptz, slot integer)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM FROM app_data.tasks AS t WHERE t.id = _claim_one.id AND t.ticket = _claim_one.ticket FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE app_data.tasks AS t SET status = 'running', queued = true, parked = false, ticket = next_ticket, attempts = t.attempts + 1, locked_by = worker, locked_until = until,
		group_slot = coalesce(slot, t.group_slot),
		last_error = CASE t.status WHEN 'running' THEN 'its worker went silent' ELSE t.last_error END,
		errors = CASE t.status WHEN 'running' THEN appdb._add_error(t.errors, t.attempts, t.locked_by, 'its worker went silent') ELSE t.errors END
	WHERE t.id = _claim_one.id AND t.ticket = _claim_one.ticket AND t.finished_at IS NULL AND t.deleted_at IS NULL;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb._claim_one(uuid, integer, integer, text, timestamptz, integer) IS 'Internal: claims a task by an UPDATE, so that triggers fire';

-- Tasks of groups that have no place are taken out of the queue, so that claims need not step over them: each at most once, and only where nobody is
-- giving a place back meanwhile, who would not see that they are parked. Those who do are waited for by the lock, see _unpark().
CREATE FUNCTION appdb._park_lock(group_key text, exclusive boolean)
	RETURNS boolean
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_park_lock';
COMMENT ON FUNCTION appdb._park_lock(text, boolean) IS 'Internal: keeps parking tasks of a group and giving back a place apart; exclusive does not wait';
REVOKE EXECUTE ON FUNCTION appdb._park_lock(text, boolean) FROM PUBLIC;

CREATE FUNCTION appdb._park(ids uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
DECLARE
	g record;
	n integer;
	total integer := 0;
BEGIN
	FOR g IN SELECT t.group_key, array_agg(t.id) AS ids FROM app_data.tasks AS t WHERE t.id = ANY (_park.ids) GROUP BY t.group_key ORDER BY t.group_key LOOP
		CONTINUE WHEN NOT appdb._park_lock(g.group_key, true);
		UPDATE app_data.tasks AS t SET queued = false, parked = true
		WHERE t.id = ANY (ARRAY(
			SELECT p.id FROM app_data.tasks AS p
			WHERE p.id = ANY (g.ids) AND p.group_key = g.group_key AND p.queued AND p.status = 'pending' AND p.group_slot IS NULL AND p.deleted_at IS NULL
				AND coalesce(p.group_limit, 1) <= (SELECT count(*) FROM app_data.tasks AS r
					WHERE r.group_key = g.group_key AND r.group_slot IS NOT NULL AND r.deleted_at IS NULL)
			FOR NO KEY UPDATE SKIP LOCKED));
		GET DIAGNOSTICS n = ROW_COUNT;
		total := total + n;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION appdb._park(uuid[]) IS 'Internal: takes tasks out of the queue whose group has no place';

CREATE FUNCTION appdb._unpark(group_key text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
DECLARE
	next record;
BEGIN
	PERFORM appdb._park_lock(_unpark.group_key, false);
	SELECT t.id, t.queue INTO next FROM app_data.tasks AS t
	WHERE t.group_key = _unpark.group_key AND t.parked AND t.deleted_at IS NULL
	ORDER BY t.priority DESC, t.run_at, t.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE app_data.tasks AS t SET queued = true, parked = false WHERE t.id = next.id;
	PERFORM appdb._wake(next.queue);
	RETURN true;
END
$$;
COMMENT ON FUNCTION appdb._unpark(text) IS 'Internal: lets the next task of a group into the queue again';

-- The next of each group that has parked tasks and none in the queue, nor a place taken: rows deleted or changed by hand leave that behind.
CREATE FUNCTION appdb._unpark_forgotten(batch integer)
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
DECLARE
	g text;
	n integer := 0;
BEGIN
	SELECT min(t.group_key) INTO g FROM app_data.tasks AS t WHERE t.parked;
	WHILE g IS NOT NULL AND n < batch LOOP
		IF NOT EXISTS (SELECT FROM app_data.tasks AS t WHERE t.group_key = g AND t.group_slot IS NOT NULL AND t.deleted_at IS NULL)
			AND NOT EXISTS (SELECT FROM app_data.tasks AS t WHERE t.group_key = g AND t.finished_at IS NULL AND t.queued AND t.deleted_at IS NULL)
			AND appdb._unpark(g)
		THEN
			n := n + 1;
		END IF;
		SELECT min(t.group_key) INTO g FROM app_data.tasks AS t WHERE t.parked AND t.group_key > g;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._unpark_forgotten(integer) IS 'Internal: lets groups go on of which nothing is in the queue';

-- Tasks that cannot be begun any more: expired, or lost with their last attempt.
CREATE FUNCTION appdb._bury(ids uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
	n integer := 0;
BEGIN
	FOR task IN
		SELECT t.id, t.status, t.cancel_requested, t.locked_by, t.attempts, t.max_attempts FROM app_data.tasks AS t
		WHERE t.id = ANY (ids) AND t.deleted_at IS NULL AND t.finished_at IS NULL
			AND (t.status = 'pending' AND t.expires_at <= clock_timestamp() OR t.status = 'running' AND t.locked_until <= clock_timestamp())
		ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		IF task.status = 'pending' THEN
			PERFORM appdb._task_end(task.id, 'canceled', NULL, 'expired before it was begun');
		ELSIF task.cancel_requested THEN
			PERFORM appdb._task_end(task.id, 'canceled', NULL, 'its worker went silent');
		ELSIF task.attempts >= task.max_attempts THEN
			PERFORM appdb._task_end(task.id, 'dead', NULL, 'its worker went silent');
		ELSE
			UPDATE app_data.tasks AS t SET status = 'pending', locked_until = NULL, group_slot = CASE WHEN coalesce(t.group_limit, 1) = 1 THEN t.group_slot END,
				last_error = 'its worker went silent', errors = appdb._add_error(t.errors, t.attempts, t.locked_by, 'its worker went silent')
			WHERE t.id = task.id;
		END IF;
		n := n + 1;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._bury(uuid[]) IS 'Internal: ends what can not be begun any more, and takes back what a silent worker had';

CREATE FUNCTION appdb._add_error(errors jsonb, attempt integer, worker text, error text)
	RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT CASE WHEN jsonb_array_length(errors) >= 100 THEN errors - 0 ELSE coalesce(errors, '[]') END
		|| jsonb_build_object('at', clock_timestamp()::timestamptz(3), 'attempt', attempt, 'worker', worker, 'error', left(error, 10000))
$$;
COMMENT ON FUNCTION appdb._add_error(jsonb, integer, text, text) IS 'Internal: the history of errors with one more';

-- Ends a task that the caller has locked, and tells those that wait for it.
CREATE FUNCTION appdb._task_end(id uuid, status text, result jsonb, error text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	UPDATE app_data.tasks AS t SET status = _task_end.status::app_data.task_status, queued = false, parked = false, finished_at = clock_timestamp(), locked_until = NULL, group_slot = NULL,
		result = coalesce(_task_end.result, t.result), progress = CASE WHEN _task_end.status = 'completed' THEN 1 ELSE t.progress END,
		last_error = coalesce(left(error, 100000), t.last_error),
		errors = CASE WHEN error IS NULL THEN t.errors ELSE appdb._add_error(t.errors, t.attempts, t.locked_by, error) END
	WHERE t.id = _task_end.id
	RETURNING t.queue, t.group_key, t.has_dependents INTO task;
	IF task.has_dependents THEN
		PERFORM appdb._task_dependents(_task_end.id, _task_end.status);
	END IF;
	IF task.group_key IS NOT NULL THEN
		PERFORM appdb._unpark(task.group_key);
		PERFORM appdb._wake(task.queue);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._task_end(uuid, text, jsonb, text) IS 'Internal: ends a task, and tells those that wait for it';

CREATE FUNCTION appdb._task_dependents(id uuid, status text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	child record;
	waits integer;
	reason text;
BEGIN
	FOR child IN
		SELECT t.id, t.queue, t.run_at FROM app_data.tasks AS t
		WHERE t.depends_on @> ARRAY[_task_dependents.id] AND t.waits_for > 0 AND t.finished_at IS NULL ORDER BY t.id FOR NO KEY UPDATE
	LOOP
		IF _task_dependents.status = 'completed' THEN
			UPDATE app_data.tasks AS t SET waits_for = t.waits_for - 1, queued = t.waits_for = 1 AND t.run_at <= clock_timestamp()
			WHERE t.id = child.id RETURNING t.waits_for INTO waits;
			IF waits = 0 THEN
				PERFORM appdb._wake(child.queue);
			END IF;
		ELSE
			reason := format('task %s, on which it depends, is %s', _task_dependents.id, _task_dependents.status);
			UPDATE app_data.tasks AS t SET waits_for = 0 WHERE t.id = child.id;
			PERFORM appdb._task_end(child.id, 'canceled', NULL, reason);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._task_dependents(uuid, text) IS 'Internal: lets tasks begin that waited for one, or cancels them';

-- Called by the rights of the tables' owner, see _task_await().
CREATE FUNCTION appdb.__task_await(kind text, parents uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	parent record;
	waits integer := 0;
BEGIN
	FOR parent IN SELECT t.id, t.status::text AS status FROM app_data.tasks AS t WHERE t.id = ANY (parents) ORDER BY t.id FOR NO KEY UPDATE LOOP
		IF parent.status IN ('canceled', 'dead') THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('task "%s" cannot depend on task %s: that is %s', kind, parent.id, parent.status),
				HINT = 'appdb.retry() gives it another chance.';
		ELSIF parent.status <> 'completed' THEN
			waits := waits + 1;
			UPDATE app_data.tasks AS t SET has_dependents = true WHERE t.id = parent.id AND NOT t.has_dependents;
		END IF;
	END LOOP;
	RETURN waits;
END
$$;
COMMENT ON FUNCTION appdb.__task_await(text, uuid[]) IS 'Internal: notes that a task waits for others, and returns for how many';

CREATE FUNCTION appdb._task_await(kind text, parents uuid[])
	RETURNS integer
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb._task_await(text, uuid[]) IS 'Internal: the same by the rights of the tables'' owner; takes INSERT on appdb.tasks';

-- The error for a worker that shows a ticket which is not the task's any more.
CREATE FUNCTION appdb._lost(id uuid, ticket integer)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT t.status::text AS status, t.ticket, t.locked_by, t.deleted_at INTO task FROM app_data.tasks AS t WHERE t.id = _lost.id;
	IF NOT FOUND OR task.deleted_at IS NOT NULL THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no task %s', _lost.id),
			DETAIL = 'It never was, or it has been deleted.';
	END IF;
	RAISE object_not_in_prerequisite_state USING
		MESSAGE = format('the lease on task %s is lost', _lost.id),
		DETAIL = CASE
			WHEN task.status = 'running' THEN format('Worker "%s" has it now, with ticket %s; this one''s ticket is %s.', task.locked_by, task.ticket, _lost.ticket)
			WHEN task.status = 'pending' THEN 'It waits for another attempt.'
			ELSE format('It is %s.', task.status) END,
		HINT = 'Drop what was done. Longer leases, or more heartbeats, prevent this.';
END
$$;
COMMENT ON FUNCTION appdb._lost(uuid, integer) IS 'Internal: says that a lease is lost';

-- What each of the worker's functions does first: the task, locked, if the ticket is that of its lease; otherwise the error. (finish.c does the same.)
CREATE FUNCTION appdb._leased(
	task_id uuid, task_ticket integer, OUT id uuid, OUT attempts integer, OUT max_attempts integer, OUT backoff interval, OUT cancel_requested boolean)
	RETURNS record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	SELECT t.id, t.attempts, t.max_attempts, coalesce(t.backoff, '10 seconds'), t.cancel_requested
	INTO _leased.id, _leased.attempts, _leased.max_attempts, _leased.backoff, _leased.cancel_requested
	FROM app_data.tasks AS t
	WHERE t.id = task_id AND t.ticket = task_ticket AND t.status = 'running' AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM appdb._lost(task_id, task_ticket);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._leased(uuid, integer) IS 'Internal: a task that a worker has, locked; the error, if it has it no more';

CREATE FUNCTION appdb.heartbeat(id uuid, ticket integer, lease interval DEFAULT '5 minutes')
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.heartbeat(uuid, integer, interval) IS
'Prolongs the lease of a running task, from now on. Returns whether the task was canceled meanwhile: then stop, and call fail() or complete().
Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._heartbeat(id uuid, ticket integer, lease interval)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	UPDATE app_data.tasks AS t SET locked_until = clock_timestamp() + lease WHERE t.id = task.id;
	RETURN task.cancel_requested;
END
$$;

CREATE FUNCTION appdb.progress(id uuid, ticket integer, fraction real, message text DEFAULT NULL)
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.progress(uuid, integer, real, text) IS
'Says how far a running task has come (0 to 1) and what it is doing, for people to see. Returns whether it was canceled meanwhile. Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._progress(id uuid, ticket integer, fraction real, message text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	UPDATE app_data.tasks AS t SET progress = fraction, progress_message = message WHERE t.id = task.id;
	RETURN task.cancel_requested;
END
$$;

CREATE FUNCTION appdb.complete(id uuid, ticket integer, result jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_complete';
COMMENT ON FUNCTION appdb.complete(uuid, integer, jsonb) IS
'Says that a task is done, and what came of it; tasks that waited for it may begin. In the same transaction as what was done, both happen or neither.
Errors: 55000 the lease is lost, P0002 no such task.';

-- Where triggers of the user's have to fire.
CREATE FUNCTION appdb._complete(id uuid, ticket integer, result jsonb)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	UPDATE app_data.tasks AS t SET result = NULL WHERE t.id = task.id AND t.result IS NOT NULL;
	PERFORM appdb._task_end(task.id, 'completed', result, NULL);
END
$$;

CREATE FUNCTION appdb.complete_many(ids uuid[], tickets integer[], results jsonb[] DEFAULT NULL)
	RETURNS integer
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_complete_many';
COMMENT ON FUNCTION appdb.complete_many(uuid[], integer[], jsonb[]) IS
'Says that tasks are done, all or none, and returns how many: ids, their tickets and, where given, their results, in the same order. Errors as of complete(), for the first that is lost.';

CREATE FUNCTION appdb._complete_many(ids uuid[], tickets integer[], results jsonb[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF cardinality(ids) <> cardinality(tickets) OR cardinality(results) <> cardinality(ids) THEN
		RAISE array_subscript_error USING
			MESSAGE = 'ids, tickets and results must be of the same length',
			HINT = 'Each id needs the ticket that claim() returned with it.';
	END IF;
	IF (SELECT count(DISTINCT i) FROM unnest(ids) AS i) < cardinality(ids) THEN
		RAISE cardinality_violation USING
			MESSAGE = 'a task was given more than once',
			HINT = 'Give each id once.';
	END IF;
	FOR i IN 1 .. cardinality(ids) LOOP
		PERFORM appdb._complete(ids[i], tickets[i], results[i]);
	END LOOP;
	RETURN cardinality(ids);
END
$$;

CREATE FUNCTION appdb.fail(id uuid, ticket integer, error text, retry_in interval DEFAULT NULL)
	RETURNS timestamptz
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.fail(uuid, integer, text, interval) IS
'Says that an attempt failed, and why. Returns when the task is tried again: after retry_in, or after its backoff, doubled with each attempt, at most a day, give or take a tenth; null if it is dead now, or canceled.
Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._fail(id uuid, ticket integer, error text, retry_in interval)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
	again timestamptz(3);
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	IF task.cancel_requested OR task.attempts >= task.max_attempts THEN
		PERFORM appdb._task_end(task.id, CASE WHEN task.cancel_requested THEN 'canceled' ELSE 'dead' END, NULL, coalesce(error, 'failed'));
		RETURN NULL;
	END IF;
	again := clock_timestamp() + coalesce(retry_in,
		least(task.backoff * power(2, least(task.attempts - 1, 30)), interval '1 day') * (0.9 + 0.2 * random()));
	RETURN appdb._put_back(task.id, again, task.attempts, coalesce(error, 'failed'));
END
$$;

-- A task that is to be done later. In a group with one place it keeps that: what comes after it waits.
CREATE FUNCTION appdb._put_back(id uuid, run_at timestamptz, attempts integer, error text)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	again timestamptz(3) := date_trunc('milliseconds', _put_back.run_at);
	task record;
BEGIN
	UPDATE app_data.tasks AS t SET status = 'pending', queued = again <= clock_timestamp(), run_at = again, attempts = _put_back.attempts, locked_until = NULL,
		group_slot = CASE WHEN coalesce(t.group_limit, 1) = 1 THEN t.group_slot END, last_error = coalesce(left(error, 100000), t.last_error),
		errors = CASE WHEN error IS NULL THEN t.errors ELSE appdb._add_error(t.errors, t.attempts, t.locked_by, error) END
	WHERE t.id = _put_back.id
	RETURNING t.queue, t.group_key, t.group_slot INTO task;
	IF task.group_key IS NOT NULL AND task.group_slot IS NULL THEN
		PERFORM appdb._unpark(task.group_key);
	END IF;
	IF again <= clock_timestamp() OR task.group_key IS NOT NULL THEN
		PERFORM appdb._wake(task.queue);
	END IF;
	RETURN again;
END
$$;
COMMENT ON FUNCTION appdb._put_back(uuid, timestamptz, integer, text) IS 'Internal: has a task that its worker gives back done later';

CREATE FUNCTION appdb.snooze(id uuid, ticket integer, wait interval)
	RETURNS timestamptz
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.snooze(uuid, integer, interval) IS
'Puts a running task back for a while, without counting the attempt. Returns when it is ready again. Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._snooze(id uuid, ticket integer, wait interval)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	RETURN appdb._put_back(task.id, clock_timestamp() + wait, greatest(task.attempts - 1, 0), NULL);
END
$$;

CREATE FUNCTION appdb.idle(queues text[] DEFAULT '{default}')
	RETURNS interval
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_idle';
COMMENT ON FUNCTION appdb.idle(text[]) IS
'What a worker calls that got nothing from claim(), after LISTEN appdb_tasks: returns how long it should wait for a notification before it claims again (0: something is ready; at most 30 seconds).
From then until the session''s next claim(), whoever enqueues in these queues notifies channel appdb_tasks, with the queue as payload. Call it outside of a transaction block, on a connection of the worker''s own.';

CREATE FUNCTION appdb._idle(queues text[], woken boolean)
	RETURNS interval
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
DECLARE
	q text;
	next timestamptz;
	wait interval := CASE WHEN woken THEN '30 seconds' ELSE '50 ms' END;
BEGIN
	FOREACH q IN ARRAY queues LOOP
		IF EXISTS (SELECT FROM app_data.tasks AS t WHERE t.queue = q AND t.queued AND t.status = 'pending' AND t.run_at <= clock_timestamp()
				   AND t.group_key IS NULL AND t.deleted_at IS NULL) THEN
			RETURN '0';
		END IF;
		SELECT min(n.at) INTO next FROM (
			(SELECT t.run_at AS at FROM app_data.tasks AS t WHERE t.queue = q AND NOT t.queued AND NOT t.parked AND t.finished_at IS NULL AND t.waits_for = 0 ORDER BY t.run_at LIMIT 1)
			UNION ALL
			-- inserted by hand for later, or of a group that has no place: which may change without notice
			(SELECT greatest(t.run_at, clock_timestamp() + interval '1 second') FROM app_data.tasks AS t
			 WHERE t.queue = q AND t.queued AND t.status = 'pending' AND t.deleted_at IS NULL LIMIT 1)) AS n;
		wait := least(wait, greatest(next - clock_timestamp(), '0'));
	END LOOP;
	RETURN wait;
END
$$;
COMMENT ON FUNCTION appdb._idle(text[], boolean) IS 'Internal: how long there is nothing to do in some queues';

-- == what people call =======================================================

CREATE FUNCTION appdb.cancel(id uuid)
	RETURNS text
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb.cancel(uuid) IS
'Calls a task off: one that waits is canceled at once, with those that depend on it; the worker of one that runs is told at its next heartbeat. Returns the task''s status afterwards.
For whoever could enqueue it: its user, editors of its space, servers. Errors: P0002 no such task for the caller.';

CREATE FUNCTION appdb._cancel(id uuid)
	RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT t.status::text AS status INTO task FROM app_data.tasks AS t WHERE t.id = _cancel.id AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF task.status = 'running' THEN
		UPDATE app_data.tasks AS t SET cancel_requested = true WHERE t.id = _cancel.id;
	ELSIF task.status = 'pending' THEN
		UPDATE app_data.tasks AS t SET waits_for = 0 WHERE t.id = _cancel.id AND t.waits_for > 0;
		PERFORM appdb._task_end(id, 'canceled', NULL, NULL);
		RETURN 'canceled';
	END IF;
	RETURN task.status;
END
$$;
COMMENT ON FUNCTION appdb._cancel(uuid) IS 'Internal: appdb.cancel() as the tables'' owner';

CREATE FUNCTION appdb.retry(id uuid, run_at timestamptz DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb.retry(uuid, timestamptz) IS
'Gives a task another attempt, whatever became of it, now or at run_at; its errors so far are kept. For whoever could enqueue it: its user, editors of its space, servers.
Errors: P0002 no such task for the caller, 55000 it is running, 23505 another with its dedupe key waits.';

CREATE FUNCTION appdb._retry(id uuid, run_at timestamptz)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	task record;
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_retry.run_at, now()));
BEGIN
	SELECT t.status::text AS status, t.queue INTO task FROM app_data.tasks AS t WHERE t.id = _retry.id AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF task.status = 'running' THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('task %s is running', _retry.id),
			HINT = 'It is tried again by itself if it fails.';
	END IF;
	UPDATE app_data.tasks AS t SET status = 'pending', queued = starts <= now() AND t.waits_for = 0, parked = false, run_at = starts, finished_at = NULL, cancel_requested = false, result = NULL,
		progress = 0, progress_message = NULL, expires_at = NULL, max_attempts = greatest(t.max_attempts, t.attempts + 1)
	WHERE t.id = _retry.id;
	IF starts <= now() THEN
		PERFORM appdb._wake(task.queue);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._retry(uuid, timestamptz) IS 'Internal: appdb.retry() as the tables'' owner';

CREATE FUNCTION appdb._task_overview(
	OUT queue text, OUT waiting bigint, OUT scheduled bigint, OUT running bigint, OUT late bigint, OUT silent bigint, OUT dead bigint,
	OUT oldest timestamptz, OUT completed_last_minute bigint, OUT completed_last_hour bigint, OUT failed_last_hour bigint)
	RETURNS SETOF record
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN QUERY
	SELECT q.queue, sum(q.waiting)::bigint, sum(q.scheduled)::bigint, sum(q.running)::bigint, sum(q.late)::bigint, sum(q.silent)::bigint, sum(q.dead)::bigint,
		min(q.oldest), sum(q.last_minute)::bigint, sum(q.last_hour)::bigint, sum(q.failed)::bigint
	FROM (
		SELECT t.queue,
			count(*) FILTER (WHERE t.status = 'pending' AND t.run_at <= now()) AS waiting, 0 AS scheduled,
			count(*) FILTER (WHERE t.status = 'running') AS running,
			count(*) FILTER (WHERE t.status = 'pending' AND t.run_at < now() - interval '1 minute') AS late,
			count(*) FILTER (WHERE t.status = 'running' AND t.locked_until < now()) AS silent, 0 AS dead,
			min(t.run_at) FILTER (WHERE t.status = 'pending' AND t.run_at <= now()) AS oldest, 0 AS last_minute, 0 AS last_hour, 0 AS failed
		FROM appdb.tasks AS t WHERE t.queued GROUP BY t.queue
		UNION ALL
		SELECT t.queue, 0, count(*), 0, 0, 0, 0, NULL, 0, 0, 0 FROM appdb.tasks AS t WHERE NOT t.queued AND t.finished_at IS NULL GROUP BY t.queue
		UNION ALL
		SELECT t.queue, 0, 0, 0, 0, 0, count(*), NULL, 0, 0, 0 FROM appdb.tasks AS t WHERE t.finished_at IS NOT NULL AND t.status = 'dead' GROUP BY t.queue
		UNION ALL
		SELECT t.queue, 0, 0, 0, 0, 0, 0, NULL,
			count(*) FILTER (WHERE t.status = 'completed' AND t.finished_at > now() - interval '1 minute'),
			count(*) FILTER (WHERE t.status = 'completed'), count(*) FILTER (WHERE t.status = 'dead')
		FROM appdb.tasks AS t WHERE t.finished_at > now() - interval '1 hour' GROUP BY t.queue) AS q
	GROUP BY q.queue ORDER BY q.queue;
END
$$;
COMMENT ON FUNCTION appdb._task_overview() IS 'Internal: the rows of appdb.task_overview';

CREATE VIEW appdb.task_overview WITH (security_invoker = true) AS
	SELECT o.queue, o.waiting, o.scheduled, o.running, o.late, o.silent, o.dead, o.oldest, o.completed_last_minute, o.completed_last_hour, o.failed_last_hour
	FROM appdb._task_overview() AS o;
COMMENT ON VIEW appdb.task_overview IS 'How the queues stand, a row each: of the tasks that its reader may read';
COMMENT ON COLUMN appdb.task_overview.queue IS 'The queue';
COMMENT ON COLUMN appdb.task_overview.waiting IS 'Tasks that are ready to begin';
COMMENT ON COLUMN appdb.task_overview.scheduled IS 'Tasks that wait for their time or for other tasks';
COMMENT ON COLUMN appdb.task_overview.running IS 'Tasks that workers have';
COMMENT ON COLUMN appdb.task_overview.late IS 'Of those that are ready, how many have been so for more than a minute';
COMMENT ON COLUMN appdb.task_overview.silent IS 'Of those that workers have, how many have no lease any more';
COMMENT ON COLUMN appdb.task_overview.dead IS 'Tasks that were given up after their last attempt';
COMMENT ON COLUMN appdb.task_overview.oldest IS 'Since when the oldest that is ready has been so';
COMMENT ON COLUMN appdb.task_overview.completed_last_minute IS 'Tasks completed within the last minute';
COMMENT ON COLUMN appdb.task_overview.completed_last_hour IS 'Tasks completed within the last hour';
COMMENT ON COLUMN appdb.task_overview.failed_last_hour IS 'Tasks given up within the last hour';
GRANT SELECT ON appdb.task_overview TO PUBLIC;

-- == rights =================================================================

COMMENT ON FUNCTION appdb._enqueue(text, jsonb, text, integer, timestamptz, integer, text, uuid, uuid, text, interval, text, integer, timestamptz, uuid[]) IS 'Internal: appdb.enqueue() with all its options';
COMMENT ON FUNCTION appdb._enqueue_many(text, jsonb[], text, integer, timestamptz, integer, uuid, uuid, interval) IS 'Internal: appdb.enqueue_many() by an INSERT';
COMMENT ON FUNCTION appdb._heartbeat(uuid, integer, interval) IS 'Internal: appdb.heartbeat() as the tables'' owner';
COMMENT ON FUNCTION appdb._progress(uuid, integer, real, text) IS 'Internal: appdb.progress() as the tables'' owner';
COMMENT ON FUNCTION appdb._complete(uuid, integer, jsonb) IS 'Internal: appdb.complete() as the tables'' owner';
COMMENT ON FUNCTION appdb._complete_many(uuid[], integer[], jsonb[]) IS 'Internal: appdb.complete_many() as the tables'' owner';
COMMENT ON FUNCTION appdb._fail(uuid, integer, text, interval) IS 'Internal: appdb.fail() as the tables'' owner';
COMMENT ON FUNCTION appdb._snooze(uuid, integer, interval) IS 'Internal: appdb.snooze() as the tables'' owner';

REVOKE EXECUTE ON FUNCTION
	appdb.claim(text[], text, integer, interval),
	appdb.heartbeat(uuid, integer, interval),
	appdb.progress(uuid, integer, real, text),
	appdb.complete(uuid, integer, jsonb),
	appdb.complete_many(uuid[], integer[], jsonb[]),
	appdb.fail(uuid, integer, text, interval),
	appdb.snooze(uuid, integer, interval),
	appdb.idle(text[])
FROM PUBLIC;

-- == schedules ==============================================================

CREATE FUNCTION appdb.cron_next(cron text, after timestamptz DEFAULT now(), time_zone text DEFAULT 'UTC')
	RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_cron_next';
COMMENT ON FUNCTION appdb.cron_next(text, timestamptz, text) IS
'When a cron schedule, read in a time zone, is due next after a time; null if never. Where clocks are put forward over a time, it runs then; a time that comes twice runs once; what runs every hour goes by what has passed.
Errors: 22023 no schedule, no such time zone.';

CREATE FUNCTION appdb.schedule(
	name text, cron text, kind text, payload jsonb DEFAULT '{}', time_zone text DEFAULT 'UTC', queue text DEFAULT 'default', priority integer DEFAULT 0,
	max_attempts integer DEFAULT 20, missed text DEFAULT 'once', paused boolean DEFAULT false, space_id uuid DEFAULT NULL, user_id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	next timestamptz;
	policy appdb.schedules.missed%TYPE := schedule.missed;
	id uuid;
BEGIN
	IF schedule.cron IS NULL OR schedule.time_zone IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'cron and time_zone must not be null';
	END IF;
	next := appdb.cron_next(schedule.cron, clock_timestamp(), schedule.time_zone);
	IF next IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('"%s" never comes', schedule.cron),
			HINT = 'No month has such a day.';
	END IF;
	INSERT INTO appdb.schedules AS s (name, cron, time_zone, kind, payload, queue, priority, max_attempts, missed, paused, space_id, user_id, next_run_at)
	VALUES (schedule.name, schedule.cron, schedule.time_zone, schedule.kind, schedule.payload, schedule.queue, schedule.priority, schedule.max_attempts,
		policy, schedule.paused, schedule.space_id, schedule.user_id, next)
	ON CONFLICT (name) WHERE deleted_at IS NULL DO UPDATE
		SET cron = EXCLUDED.cron, time_zone = EXCLUDED.time_zone, kind = EXCLUDED.kind, payload = EXCLUDED.payload, queue = EXCLUDED.queue, priority = EXCLUDED.priority,
			max_attempts = EXCLUDED.max_attempts, missed = EXCLUDED.missed, paused = EXCLUDED.paused, space_id = EXCLUDED.space_id, user_id = EXCLUDED.user_id,
			-- what is due and not done yet stays so, unless the times are others
			next_run_at = CASE WHEN (s.cron, s.time_zone, s.paused) = (EXCLUDED.cron, EXCLUDED.time_zone, EXCLUDED.paused) THEN s.next_run_at ELSE EXCLUDED.next_run_at END
	RETURNING s.id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION appdb.schedule(text, text, text, jsonb, text, text, integer, integer, text, boolean, uuid, uuid) IS
'Has a task enqueued again and again, by appdb.maintain() or the background worker; replaces the schedule of that name. Returns its id.
cron: minute hour day month weekday, or @daily and the like, in time_zone; kind and the others: of the tasks, whose payload gets "scheduled_for";
missed: what is done about times that passed while nobody looked: skip, once (one task for all), all (one for each, at most 1000). Errors: 22023 no schedule, no such time zone.';

CREATE FUNCTION appdb.unschedule(name text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	DELETE FROM appdb.schedules AS s WHERE s.name = unschedule.name;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb.unschedule(text) IS 'Ends a schedule; tasks that it has enqueued stay. Returns whether there was one';

-- One pass over what is due. A row's lock sees to it that each time is done once, however many do this.
CREATE FUNCTION appdb._run_schedules(batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	s record;
	times timestamptz[];
	at timestamptz;
	due timestamptz;
	next timestamptz;
	task uuid;
	problem text;
	n bigint := 0;
BEGIN
	FOR s IN
		SELECT * FROM app_data.schedules AS d
		WHERE d.next_run_at <= clock_timestamp() AND NOT d.paused AND d.deleted_at IS NULL
		ORDER BY d.next_run_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		problem := NULL;
		task := NULL;
		next := NULL;
		times := '{}';
		BEGIN
			at := s.next_run_at;
			WHILE at <= clock_timestamp() LOOP
				times := times || at;
				at := appdb.cron_next(s.cron, at, s.time_zone);
				-- years of minutes: leave them, except for the last
				IF cardinality(times) >= 1000 THEN
					IF s.missed <> 'all' THEN
						times := times[1000:];
						at := greatest(at, appdb.cron_next(s.cron, clock_timestamp() - interval '1 day', s.time_zone));
					ELSE
						EXIT;
					END IF;
				END IF;
			END LOOP;
			next := at;
			IF s.missed = 'once' THEN
				times := times[cardinality(times):];
			ELSIF s.missed = 'skip' THEN
				-- whoever looks every minute is late by up to one: that is not missed
				times := ARRAY(SELECT t FROM unnest(times[cardinality(times):]) AS t WHERE t > clock_timestamp() - interval '2 minutes');
			END IF;
			FOREACH due IN ARRAY times LOOP
				task := appdb.enqueue(s.kind, CASE WHEN jsonb_typeof(s.payload) = 'object' THEN s.payload || jsonb_build_object('scheduled_for', due) ELSE s.payload END,
					s.queue, s.priority, NULL, s.max_attempts, NULL, s.space_id, s.user_id);
				n := n + 1;
			END LOOP;
		EXCEPTION WHEN OTHERS THEN
			-- one that cannot be done must not stop the others
			problem := SQLERRM;
			BEGIN
				next := appdb.cron_next(s.cron, clock_timestamp(), s.time_zone);
			EXCEPTION WHEN OTHERS THEN
				next := NULL;
			END;
			task := NULL;
		END;
		UPDATE app_data.schedules AS d SET next_run_at = next, last_error = problem,
			last_run_at = CASE WHEN task IS NULL THEN d.last_run_at ELSE due END, last_task_id = coalesce(task, d.last_task_id)
		WHERE d.id = s.id;
		due := NULL;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._run_schedules(integer) IS 'Internal: enqueues what schedules are due';
REVOKE EXECUTE ON FUNCTION appdb._run_schedules(integer) FROM PUBLIC;

-- == maintenance ============================================================

CREATE FUNCTION appdb._silent_tasks(batch integer)
	RETURNS uuid[]
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_silent_tasks';
COMMENT ON FUNCTION appdb._silent_tasks(integer) IS 'Internal: tasks whose lease has ended';
REVOKE EXECUTE ON FUNCTION appdb._silent_tasks(integer) FROM PUBLIC;

-- Removes a batch of rows whose time is over, but for those that a foreign key of somebody else's keeps. Where that fails, they go one by one: what cannot go
-- does not keep the others. Returns how many went.
CREATE FUNCTION appdb._remove(entity regclass, time_column name, before timestamptz, condition text, batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	due text := format('SELECT c.id FROM %s AS c WHERE c.%I < $1 AND %s%s ORDER BY c.%2$I LIMIT $2 FOR UPDATE SKIP LOCKED', entity, time_column, condition,
		(SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM %s AS r WHERE %s)', r.child, r.condition), '') FROM appdb._references(entity) AS r WHERE r.keeps));
	n bigint;
	id uuid;
	kept bigint := 0;
	problem text;
BEGIN
	BEGIN
		EXECUTE format('DELETE FROM %s AS t WHERE t.id = ANY (ARRAY(%s))', entity, due) USING before, batch;
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n;
	EXCEPTION WHEN OTHERS THEN
		n := 0;
	END;
	FOR id IN EXECUTE due USING before, batch::bigint * 10 LOOP
		BEGIN
			EXECUTE format('DELETE FROM %s AS t WHERE t.id = $1', entity) USING id;
			n := n + 1;
			EXIT WHEN n >= batch;
		EXCEPTION WHEN OTHERS THEN
			kept := kept + 1;
			problem := SQLERRM;
		END;
	END LOOP;
	IF kept > 0 THEN
		RAISE WARNING USING
			MESSAGE = format('%s rows of "%s" whose time is over cannot be removed', kept, entity),
			DETAIL = format('The last of them: %s', problem);
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._remove(regclass, name, timestamptz, text, integer) IS 'Internal: removes rows whose time is over';
REVOKE EXECUTE ON FUNCTION appdb._remove(regclass, name, timestamptz, text, integer) FROM PUBLIC;

-- One batch of one of the things that maintenance does. Returns how many rows it changed: as many as "batch" or more means that there may be more.
CREATE FUNCTION appdb._maintain(step text, batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	n bigint := 0;
	ids uuid[];
	task_id uuid;
	task record;
BEGIN
	CASE step
	WHEN 'schedules' THEN
		RETURN appdb._run_schedules(batch);
	WHEN 'leases' THEN
		-- what silent workers had, and what expired before it was begun
		ids := appdb._silent_tasks(batch) || ARRAY(
			SELECT t.id FROM app_data.tasks AS t
			WHERE t.expires_at < clock_timestamp() AND t.expires_at IS NOT NULL AND t.finished_at IS NULL AND t.status = 'pending' AND t.deleted_at IS NULL
			ORDER BY t.expires_at LIMIT batch);
		BEGIN
			n := appdb._bury(ids);
		EXCEPTION WHEN OTHERS THEN
			-- one by one: what cannot be changed does not keep the others
			FOREACH task_id IN ARRAY ids LOOP
				BEGIN
					n := n + appdb._bury(ARRAY[task_id]);
				EXCEPTION WHEN OTHERS THEN
					RAISE WARNING USING
						MESSAGE = format('task %s cannot be taken back from its silent worker', task_id),
						DETAIL = SQLERRM;
				END;
			END LOOP;
		END;
		n := n + appdb._unpark_forgotten(batch);
		-- what waits for tasks that are gone
		FOR task IN
			SELECT t.id FROM app_data.tasks AS t
			WHERE t.waits_for > 0 AND t.finished_at IS NULL AND t.deleted_at IS NULL
				AND (SELECT count(*) FROM app_data.tasks AS p WHERE p.id = ANY (t.depends_on) AND p.deleted_at IS NULL AND p.finished_at IS NULL) = 0
			ORDER BY t.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
		LOOP
			UPDATE app_data.tasks AS t SET waits_for = 0 WHERE t.id = task.id;
			PERFORM appdb._task_end(task.id, 'canceled', NULL, 'a task on which it depends is gone');
			n := n + 1;
		END LOOP;
	WHEN 'tasks' THEN
		-- loads the library, whose setting it is
		PERFORM appdb.version();
		RETURN appdb._remove('app_data.tasks', 'finished_at', clock_timestamp() - current_setting('appdb.task_retention')::interval, 'true', batch);
	WHEN 'sessions' THEN
		RETURN appdb._remove('app_data.sessions', 'expires_at', clock_timestamp() - interval '1 day', 'true', batch);
	WHEN 'verifications' THEN
		RETURN appdb._remove('app_data.verifications', 'expires_at', clock_timestamp() - interval '1 day', 'true', batch);
	WHEN 'invitations' THEN
		-- softly: they can be restored, and are purged later
		RETURN appdb._remove('appdb.invitations', 'expires_at', clock_timestamp() - interval '30 days', 'c.status = ''pending''', batch);
	END CASE;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._maintain(text, integer) IS 'Internal: one batch of appdb.maintain()';
REVOKE EXECUTE ON FUNCTION appdb._maintain(text, integer) FROM PUBLIC;

-- No SET clause: a procedure that commits cannot have one.
CREATE PROCEDURE appdb.maintain(batch pg_catalog.int4 DEFAULT 1000, purge pg_catalog.bool DEFAULT true)
	LANGUAGE plpgsql
	AS $$
DECLARE
	step pg_catalog.text;
	n pg_catalog.int8;
BEGIN
	IF batch IS NULL OR batch OPERATOR(pg_catalog.<) 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch must be at least 1',
			HINT = 'It is the number of rows that one transaction changes.';
	END IF;
	FOREACH step IN ARRAY ARRAY['schedules', 'leases', 'tasks', 'sessions', 'verifications', 'invitations'] LOOP
		LOOP
			n := appdb._maintain(step, batch);
			COMMIT;
			EXIT WHEN n OPERATOR(pg_catalog.<) batch;
		END LOOP;
	END LOOP;
	IF purge THEN
		CALL appdb.purge(batch => batch);
	END IF;
END
$$;
COMMENT ON PROCEDURE appdb.maintain(pg_catalog.int4, pg_catalog.bool) IS
'Does what has to be done now and then, as the background worker does by itself: enqueues what schedules are due, takes tasks back from silent workers, removes tasks that finished longer ago than the setting appdb.task_retention,
sessions and verifications that expired a day ago, invitations that expired 30 days ago, and (purge) deleted rows past the setting appdb.retention. Commits after each batch. CALL it every minute, outside of a transaction block, as the owner of the tables.';
REVOKE EXECUTE ON PROCEDURE appdb.maintain(pg_catalog.int4, pg_catalog.bool) FROM PUBLIC;

-- sql/04_trash.sql

-- Deleted rows: what there is, bringing them back, removing them for good.

CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, id pg_catalog.uuid,
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.uuid) IS
'Brings a deleted row back, with exactly what was deleted by the same operation below it.
entity: a live view or its base table; id: the row. Returns how many rows of which tables came back.
Needs the privilege to DELETE from the live view. Errors: P0002 no such row; 55000 not deleted, or being purged; 23503 its parent is deleted; 23505 a unique value is taken meanwhile. Then nothing is restored.';

CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, ids pg_catalog.uuid[],
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore_many';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.uuid[]) IS
'Brings deleted rows back, each with what was deleted by the same operation below it: all or none.
entity: a live view or its base table; ids: the rows. Returns how many rows of which tables came back, and fails as appdb.restore(entity, id) does.';

-- A literal, and a parameter that a client sends without a type, could be
-- either of the two; of these three it is this one.
CREATE FUNCTION appdb.restore(entity pg_catalog.regclass, id pg_catalog.text,
							  OUT restored pg_catalog.regclass, OUT rows pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_restore_text';
COMMENT ON FUNCTION appdb.restore(pg_catalog.regclass, pg_catalog.text) IS
'The same for ids without a type, as literals and many clients'' parameters are: one uuid, or an array of them in braces.';

-- The condition that ties a child to its parent, for a relation of kind one;
-- aliases c and p.
CREATE FUNCTION appdb._link_condition(columns pg_catalog.name[], to_columns pg_catalog.name[])
	RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(format('c.%I = p.%I', u.c, u.p), ' AND ') FROM unnest(columns, to_columns) u (c, p)
$$;
COMMENT ON FUNCTION appdb._link_condition(pg_catalog.name[], pg_catalog.name[]) IS 'Internal: the join condition of a foreign key';

CREATE FUNCTION appdb._deleted_with(entity pg_catalog.regclass, id pg_catalog.uuid, deleted_at pg_catalog.timestamptz)
	RETURNS pg_catalog.int8
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'appdb__deleted_with';
COMMENT ON FUNCTION appdb._deleted_with(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.timestamptz) IS 'Internal: how many rows were deleted with a row, below it';

-- The rows that were deleted themselves, not with a parent, as far as the
-- caller may read them.
CREATE FUNCTION appdb._trash(
	OUT entity pg_catalog.regclass, OUT id pg_catalog.uuid, OUT label pg_catalog.text,
	OUT deleted_at pg_catalog.timestamptz, OUT role pg_catalog.name, OUT user_id pg_catalog.uuid,
	OUT purged_at pg_catalog.timestamptz)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE ROWS 100
	AS 'MODULE_PATHNAME', 'appdb__trash';
COMMENT ON FUNCTION appdb._trash() IS 'Internal: the rows of appdb.trash';

CREATE FUNCTION appdb.retention() RETURNS pg_catalog.interval
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_retention_interval';
COMMENT ON FUNCTION appdb.retention() IS 'How long deleted rows are kept: the setting appdb.retention';

-- Is a row under a legal hold?  (The work is done as the owner of the tables,
-- for rows that the caller may see.)
CREATE FUNCTION appdb._held(entity pg_catalog.regclass, id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE STRICT
	AS 'MODULE_PATHNAME', 'appdb__held';
COMMENT ON FUNCTION appdb._held(pg_catalog.regclass, pg_catalog.uuid) IS 'Internal: whether a row that the caller may see is under a legal hold';

CREATE FUNCTION appdb.__held(entity pg_catalog.regclass, id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql VOLATILE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held bool;
BEGIN
	-- anybody may ask, and what somebody has made of their own is not for the owner to read: it could be a view with a function in it
	IF NOT EXISTS (SELECT FROM app_data.legal_holds)
		OR NOT EXISTS (SELECT FROM app_data.managed m JOIN pg_class c ON c.oid = m.entity WHERE c.oid = __held.entity AND c.relkind IN ('r', 'p'))
	THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s c WHERE c.id = $1 AND (%s))', entity, appdb._held_condition(entity, 'c'))
	INTO held USING id;
	RETURN held;
END
$$;
COMMENT ON FUNCTION appdb.__held(pg_catalog.regclass, pg_catalog.uuid) IS 'Internal: the work of appdb._held()';

CREATE VIEW appdb.trash WITH (security_invoker = true) AS
	SELECT t.entity, t.id, t.label, t.deleted_at, t.role AS deleted_by_role, t.user_id AS deleted_by,
		   appdb._deleted_with(t.entity, t.id, t.deleted_at) AS rows_with_it,
		   CASE WHEN NOT appdb._held(t.entity, t.id) THEN t.deleted_at OPERATOR(pg_catalog.+) appdb.retention() END AS purge_at,
		   t.purged_at IS NULL OR appdb._held(t.entity, t.id) AS restorable
	FROM appdb._trash() t;
COMMENT ON VIEW appdb.trash IS 'What appdb.restore() can bring back: rows that were deleted themselves, not with a parent';
COMMENT ON COLUMN appdb.trash.entity IS 'Their base table';
COMMENT ON COLUMN appdb.trash.id IS 'The row: SELECT * FROM appdb.restore(entity, id)';
COMMENT ON COLUMN appdb.trash.label IS 'What the row is called';
COMMENT ON COLUMN appdb.trash.deleted_at IS 'When it was deleted';
COMMENT ON COLUMN appdb.trash.deleted_by_role IS 'The database role that deleted it';
COMMENT ON COLUMN appdb.trash.deleted_by IS 'The application''s user who deleted it, where one was signed in';
COMMENT ON COLUMN appdb.trash.rows_with_it IS 'How many rows, of all tables, were deleted with it and would come back';
COMMENT ON COLUMN appdb.trash.purge_at IS 'From when on a purge by the setting appdb.retention removes it; null while it is under a legal hold';
COMMENT ON COLUMN appdb.trash.restorable IS 'False once its purge has begun, unless a legal hold keeps it';
-- what it shows is what its reader may read in the base tables
GRANT SELECT ON appdb.trash TO PUBLIC;

-- The condition that a row (under this alias) belongs to an organization that
-- is under a legal hold, by its own columns or by the rows that it goes with;
-- 'false' for a table whose rows belong to none.
CREATE FUNCTION appdb._held_condition(
	entity pg_catalog.regclass, alias pg_catalog.text, path pg_catalog.regclass[] DEFAULT '{}')
	RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	conditions text[] := '{}';
	link record;
	condition text;
	parent text := 'p' || cardinality(path);
BEGIN
	IF entity = to_regclass('app_data.organizations') THEN
		conditions := ARRAY[format('EXISTS (SELECT FROM app_data.legal_holds h WHERE h.organization_id OPERATOR(pg_catalog.=) %s.id)', alias)];
	END IF;
	SELECT conditions || COALESCE(array_agg(CASE a.attname
		WHEN 'organization_id' THEN format('EXISTS (SELECT FROM app_data.legal_holds h WHERE h.organization_id OPERATOR(pg_catalog.=) %s.organization_id)', alias)
		ELSE format('EXISTS (SELECT FROM app_data.legal_holds h JOIN app_data.spaces s ON s.organization_id OPERATOR(pg_catalog.=) h.organization_id WHERE s.id OPERATOR(pg_catalog.=) %s.space_id)', alias) END
		ORDER BY a.attnum), '{}')
	INTO conditions
	FROM pg_attribute a
	WHERE a.attrelid = entity AND NOT a.attisdropped AND a.atttypid = 'uuid'::regtype
	  AND a.attname IN ('organization_id', 'space_id');

	FOR link IN
		SELECT m.entity AS parent, r.columns, r.to_columns
		FROM appdb._relations() r
		JOIN appdb._managed_tables() m ON m.view = r."to"
		JOIN appdb._managed_tables() child ON child.view = r."from" AND child.entity = _held_condition.entity
		WHERE r.kind = 'one' AND r.on_delete = 'cascade' AND m.entity <> ALL (path || child.entity)
		  AND NOT r.columns && '{organization_id,space_id}'::name[]
	LOOP
		condition := appdb._held_condition(link.parent, parent, path || entity);
		IF condition <> 'false' THEN
			conditions := conditions || format('EXISTS (SELECT FROM %s %s WHERE %s AND (%s))', link.parent, parent,
				(SELECT string_agg(format('%s.%I OPERATOR(pg_catalog.=) %s.%I', alias, u.c, parent, u.p), ' AND ')
				 FROM unnest(link.columns, link.to_columns) u (c, p)),
				condition);
		END IF;
	END LOOP;
	RETURN COALESCE(array_to_string(NULLIF(conditions, '{}'), ' OR '), 'false');
END
$$;
COMMENT ON FUNCTION appdb._held_condition(pg_catalog.regclass, pg_catalog.text, pg_catalog.regclass[]) IS 'Internal: the condition that a row is under a legal hold';

-- The condition that a row (under this alias) can be purged: deleted long enough ago,
-- its operation noted as being purged, under no hold.  $3 is the time.
CREATE FUNCTION appdb._purge_condition(entity pg_catalog.regclass, held pg_catalog.bool, alias pg_catalog.text DEFAULT 'c')
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%1$s.deleted_at OPERATOR(pg_catalog.<) $3 AND NOT EXISTS '
		'(SELECT FROM app_data.deletions d WHERE d.deleted_at OPERATOR(pg_catalog.=) %1$s.deleted_at AND d.purged_at IS NULL)', alias) ||
		CASE WHEN held THEN format(' AND NOT (%s)', appdb._held_condition(entity, alias)) ELSE '' END
$$;
COMMENT ON FUNCTION appdb._purge_condition(pg_catalog.regclass, pg_catalog.bool, pg_catalog.text) IS 'Internal: the condition that a row can be purged';

-- The foreign keys that refer to a table, with the condition that ties the
-- row r to the row c, and the column that has the id of c, if one has.
CREATE FUNCTION appdb._references(
	entity pg_catalog.regclass,
	OUT child pg_catalog.regclass, OUT condition pg_catalog.text, OUT id_column pg_catalog.name, OUT keeps pg_catalog.bool,
	OUT columns pg_catalog.name[], OUT to_columns pg_catalog.name[])
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 5
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT f.conrelid, string_agg(format('r.%I OPERATOR(pg_catalog.=) c.%I', a.attname, p.attname), ' AND '),
		   min(a.attname::text) FILTER (WHERE p.attname = 'id'), f.confdeltype IN ('a', 'r'),
		   array_agg(a.attname), array_agg(p.attname)
	FROM pg_constraint f
	CROSS JOIN LATERAL unnest(f.conkey, f.confkey) u (child, parent)
	JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = u.child
	JOIN pg_attribute p ON p.attrelid = f.confrelid AND p.attnum = u.parent
	WHERE f.confrelid = entity AND f.contype = 'f' AND f.conparentid = 0
	GROUP BY f.oid, f.conrelid, f.confdeltype
	ORDER BY f.oid
$$;
COMMENT ON FUNCTION appdb._references(pg_catalog.regclass) IS 'Internal: the foreign keys that refer to a table';

-- The statement that purges a stretch of a table or partition: $1 and $2 are
-- its ends, $3 the time, $4 further rows to look at, with at most $5 rows that
-- these refer to.  It returns how many rows went, and which rows of the same
-- table they referred to.  What is referred to by a row that does not go at the
-- same time stays.
CREATE FUNCTION appdb._purge_statement(entity pg_catalog.regclass, part pg_catalog.regclass, held pg_catalog.bool)
	RETURNS pg_catalog.text
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	purgeable text := appdb._purge_condition(entity, held);
	reference record;
	condition text;
	blocked text[] := '{}';
	upwards text[] := '{}';
	names name[] := '{id}';
	parents text[] := '{}';
BEGIN
	FOR reference IN SELECT * FROM appdb._references(entity) LOOP
		IF reference.keeps AND reference.child = entity THEN
			blocked := blocked || format('EXISTS (SELECT FROM %s r WHERE %s AND NOT (r.id OPERATOR(pg_catalog.=) ANY (SELECT x.id FROM candidate x)))',
										 entity, reference.condition);
			upwards := upwards || format('(%s)', reference.condition);
			names := names || reference.columns || reference.to_columns;
			IF reference.id_column IS NOT NULL THEN
				parents := parents || format('g.%I', reference.id_column);
			END IF;
		ELSIF reference.keeps THEN
			purgeable := purgeable || format(' AND NOT EXISTS (SELECT FROM %s r WHERE %s)', reference.child, reference.condition);
		ELSIF held AND reference.child <> entity THEN
			-- what would forget the row, or go with it, but must stay as it is
			condition := appdb._held_condition(reference.child, 'r');
			IF condition <> 'false' THEN
				purgeable := purgeable || format(' AND NOT EXISTS (SELECT FROM %s r WHERE %s AND (%s))',
												 reference.child, reference.condition, condition);
			END IF;
		END IF;
	END LOOP;

	IF blocked = '{}' THEN
		RETURN format(
			'WITH candidate AS (SELECT c.ctid AS place FROM ONLY %1$s c '
			'WHERE c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2 AND %2$s FOR UPDATE OF c SKIP LOCKED), '
			'gone AS (DELETE FROM ONLY %1$s c USING candidate k WHERE c.ctid OPERATOR(pg_catalog.=) k.place RETURNING c.id) '
			'SELECT pg_catalog.count(*), NULL::pg_catalog.uuid[] FROM gone',
			part, purgeable);
	END IF;
	RETURN format(
		'WITH RECURSIVE near AS (SELECT c.ctid AS place, %3$s FROM ONLY %1$s c '
		'WHERE c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2 AND %2$s FOR UPDATE OF c SKIP LOCKED), '
		'climb (id) AS (SELECT pg_catalog.unnest($4) UNION SELECT p.id FROM climb b JOIN %7$s g ON g.id OPERATOR(pg_catalog.=) b.id '
		'CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[%6$s]::pg_catalog.uuid[]) p (id) WHERE p.id IS NOT NULL), '
		'far AS (SELECT c.ctid AS place, %3$s FROM ONLY %1$s c WHERE c.id OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT b.id FROM climb b LIMIT $5)) '
		'AND NOT (c.ctid OPERATOR(pg_catalog.>=) $1 AND c.ctid OPERATOR(pg_catalog.<) $2) AND %2$s FOR UPDATE OF c SKIP LOCKED), '
		'candidate AS MATERIALIZED (SELECT * FROM near UNION ALL SELECT * FROM far), '
		'blocked AS (SELECT c.* FROM candidate c WHERE %4$s '
		'UNION SELECT c.* FROM blocked r JOIN candidate c ON %5$s), '
		'gone AS (DELETE FROM ONLY %1$s c USING candidate k '
		'WHERE c.ctid OPERATOR(pg_catalog.=) k.place AND NOT (k.id OPERATOR(pg_catalog.=) ANY (SELECT b.id FROM blocked b)) RETURNING c.*) '
		'SELECT (SELECT pg_catalog.count(*) FROM gone), ARRAY(SELECT DISTINCT p FROM gone g CROSS JOIN LATERAL pg_catalog.unnest(ARRAY[%6$s]::pg_catalog.uuid[]) p '
		'WHERE p IS NOT NULL AND NOT (p OPERATOR(pg_catalog.=) ANY (SELECT x.id FROM gone x)))',
		part, purgeable,
		(SELECT string_agg(DISTINCT format('c.%I', n), ', ') FROM unnest(names) n),
		array_to_string(blocked, ' OR '), array_to_string(upwards, ' OR '), array_to_string(parents, ', '), entity);
END
$$;
COMMENT ON FUNCTION appdb._purge_statement(pg_catalog.regclass, pg_catalog.regclass, pg_catalog.bool) IS 'Internal: the statement that purges a stretch of a table';

-- Where a stretch begins that has about as many rows as a batch.
CREATE FUNCTION appdb._purge_first_page(part pg_catalog.regclass, end_page pg_catalog.int8, batch pg_catalog.int4)
	RETURNS pg_catalog.int8
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT GREATEST(end_page - GREATEST((batch / CASE WHEN c.reltuples > 0 AND c.relpages > 0
													  THEN GREATEST(c.reltuples / c.relpages, 1) ELSE 100 END)::bigint, 1), 0)
	FROM pg_class c WHERE c.oid = part
$$;
COMMENT ON FUNCTION appdb._purge_first_page(pg_catalog.regclass, pg_catalog.int8, pg_catalog.int4) IS 'Internal: where a stretch of a table begins';

-- Purges a stretch of a table that ends before a page; "rest" are rows that
-- the last one has left to look at again.  Returns how many rows went, and
-- where the next stretch ends (0: there is none).  No SET clause here, since
-- the table's triggers are to run with the settings of the caller.
CREATE FUNCTION appdb._purge_stretch(
	part pg_catalog.regclass, statements pg_catalog.text[], cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT end_page pg_catalog.int8, INOUT rest pg_catalog.uuid[], OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
AS $$
DECLARE
	first_page pg_catalog.int8 := end_page;
	looked_at pg_catalog.uuid[] := rest;
BEGIN
	-- a hold that is put from here on waits for the end of this transaction
	LOCK TABLE app_data.legal_holds IN SHARE MODE;

	IF pg_catalog.cardinality(rest) OPERATOR(pg_catalog.<) batch THEN
		first_page := appdb._purge_first_page(part, end_page, batch);
	END IF;

	FOR try IN 1..3 LOOP
		BEGIN
			EXECUTE statements[CASE WHEN EXISTS (SELECT FROM app_data.legal_holds) THEN 2 ELSE 1 END]
			INTO purged, rest
			USING pg_catalog.format('(%s,0)', first_page)::pg_catalog.tid, pg_catalog.format('(%s,0)', end_page)::pg_catalog.tid, cutoff, looked_at, batch;
			EXIT;
		EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
			-- somebody has begun to refer to a row just now
			purged := 0;
			rest := '{}';
		END;
	END LOOP;
	rest := COALESCE(rest, '{}');
	end_page := first_page;
END
$$;
COMMENT ON FUNCTION appdb._purge_stretch(pg_catalog.regclass, pg_catalog.text[], pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.int8, pg_catalog.uuid[]) IS 'Internal: purges one stretch of a table';

-- Rows that refer to each other in a circle, which no order of tables undoes:
-- all that refers to a row, directly or not, goes in one statement, if all of
-- it can.  Returns that statement and how many rows it removes, or nulls.
CREATE FUNCTION appdb._purge_circle(
	entity pg_catalog.regclass, id pg_catalog.uuid, cutoff pg_catalog.timestamptz,
	OUT statement pg_catalog.text, OUT rows pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held bool;
	tables regclass[] := ARRAY[entity];
	ids uuid[] := ARRAY[id];
	place int := 1;
	reference record;
	condition text;
	found_ids uuid[];
	stays bool;
	part record;
	locked bigint;
	sql text := '';
BEGIN
	held := EXISTS (SELECT FROM app_data.legal_holds);
	WHILE place <= cardinality(ids) LOOP
		FOR reference IN SELECT * FROM appdb._references(tables[place]) LOOP
			IF NOT reference.keeps THEN
				-- forgets the row, or goes with it, unless it must stay as it is
				CONTINUE WHEN NOT held;
				condition := appdb._held_condition(reference.child, 'r');
			ELSIF EXISTS (SELECT FROM appdb._managed_tables() m JOIN pg_attribute a ON a.attrelid = m.entity
						  WHERE m.entity = reference.child AND a.attname = 'deleted_at' AND NOT a.attisdropped)
			THEN
				condition := '(' || appdb._purge_condition(reference.child, held, 'r') || ') IS NOT TRUE';
			ELSE
				condition := 'true';
			END IF;
			EXECUTE format('SELECT %s, bool_or(%s) FROM %s c JOIN %s r ON %s WHERE c.id = $1',
						   CASE WHEN condition = 'true' OR NOT reference.keeps THEN 'NULL::uuid[]' ELSE 'array_agg(r.id)' END,
						   condition, tables[place], reference.child, reference.condition)
			INTO found_ids, stays USING ids[place], NULL::text, cutoff;
			IF stays THEN
				RETURN;
			END IF;
			CONTINUE WHEN NOT reference.keeps;
			found_ids := ARRAY(SELECT f.i FROM unnest(found_ids) f (i)
							   WHERE NOT EXISTS (SELECT FROM unnest(tables, ids) m (t, i) WHERE m.t = reference.child AND m.i = f.i));
			tables := tables || array_fill(reference.child, ARRAY[cardinality(found_ids)]);
			ids := ids || found_ids;
		END LOOP;
		place := place + 1;
	END LOOP;

	FOR part IN SELECT m.t, array_agg(m.i) AS ids FROM unnest(tables, ids) m (t, i) GROUP BY m.t LOOP
		EXECUTE format('SELECT count(*) FROM (SELECT FROM %s c WHERE c.id = ANY ($1) AND %s FOR UPDATE OF c SKIP LOCKED) l',
					   part.t, appdb._purge_condition(part.t, held))
		INTO locked USING part.ids, NULL::text, cutoff;
		IF locked < cardinality(part.ids) THEN
			RETURN;
		END IF;
		sql := sql || CASE WHEN sql = '' THEN 'WITH ' ELSE ', ' END ||
			format('%I AS (DELETE FROM %s c WHERE c.id OPERATOR(pg_catalog.=) ANY (%L::pg_catalog.uuid[]))', 'd' || part.t::oid, part.t, part.ids);
	END LOOP;
	statement := sql || ' SELECT';
	rows := cardinality(ids);
END
$$;
COMMENT ON FUNCTION appdb._purge_circle(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.timestamptz) IS 'Internal: purges rows that refer to each other in a circle';

-- The next rows of a table, at most "batch", that may be in circles.  Returns
-- how many rows went, and the last that was looked at (null: there is none).
CREATE FUNCTION appdb._purge_circles(
	entity pg_catalog.regclass, cutoff pg_catalog.timestamptz, batch pg_catalog.int4,
	INOUT last_id pg_catalog.uuid, OUT purged pg_catalog.int8)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
AS $$
DECLARE
	id pg_catalog.uuid;
	after pg_catalog.uuid := last_id;
	circle pg_catalog.record;
BEGIN
	LOCK TABLE app_data.legal_holds IN SHARE MODE;
	purged := 0;
	last_id := NULL;
	FOR id IN EXECUTE pg_catalog.format(
		'SELECT c.id FROM %s c WHERE c.id OPERATOR(pg_catalog.>) $1 AND %s ORDER BY c.id LIMIT $2', entity,
		appdb._purge_condition(entity, EXISTS (SELECT FROM app_data.legal_holds)))
		USING after, batch, cutoff
	LOOP
		last_id := id;
		SELECT c.statement, c.rows INTO circle FROM appdb._purge_circle(entity, id, cutoff) c;
		CONTINUE WHEN circle.statement IS NULL;
		BEGIN
			EXECUTE circle.statement;
			purged := purged OPERATOR(pg_catalog.+) circle.rows;
		EXCEPTION WHEN foreign_key_violation OR restrict_violation THEN
			NULL;
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._purge_circles(pg_catalog.regclass, pg_catalog.timestamptz, pg_catalog.int4, pg_catalog.uuid) IS 'Internal: purges rows that refer to each other in a circle';

-- Managed tables that soft-delete, children before parents; those that refer
-- to themselves, directly or by way of others; and whether there are others.
CREATE FUNCTION appdb._purge_order(
	OUT entities pg_catalog.regclass[], OUT circular pg_catalog.regclass[], OUT by_others pg_catalog.bool)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	todo regclass[] := ARRAY(
		SELECT m.entity FROM appdb._managed_tables() m
		WHERE EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = m.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
		ORDER BY m.entity::text);
	next record;
BEGIN
	WITH RECURSIVE refers (child, parent) AS (
		SELECT DISTINCT c.conrelid, c.confrelid FROM pg_constraint c
		WHERE c.contype = 'f' AND c.conrelid = ANY (todo) AND c.confrelid = ANY (todo) AND c.confdeltype IN ('a', 'r')
	), reaches (child, ancestor) AS (
		SELECT r.child, r.parent FROM refers r
		UNION
		SELECT a.child, r.parent FROM reaches a JOIN refers r ON r.child = a.ancestor
	)
	SELECT COALESCE(array_agg(DISTINCT r.child::regclass) FILTER (WHERE r.child = r.ancestor), '{}'),
		   COALESCE(bool_or(r.child <> r.ancestor AND EXISTS (
			   SELECT FROM reaches back WHERE back.child = r.ancestor AND back.ancestor = r.child)), false)
	INTO circular, by_others
	FROM reaches r;

	entities := '{}';
	WHILE cardinality(todo) > 0 LOOP
		-- a circle is cut anywhere: what cannot go for a reference goes later
		SELECT t INTO next FROM unnest(todo) t
		ORDER BY EXISTS (SELECT FROM pg_constraint c
						 WHERE c.contype = 'f' AND c.confrelid = t AND c.conrelid <> t AND c.conrelid = ANY (todo)),
				 t = ANY (circular) DESC, t::text
		LIMIT 1;
		entities := entities || next.t;
		todo := array_remove(todo, next.t);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._purge_order() IS 'Internal: managed tables, children before parents';

-- Forgets operations of which no row is left.
CREATE FUNCTION appdb._purge_notes(cutoff pg_catalog.timestamptz)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	EXECUTE 'DELETE FROM app_data.deletions d WHERE d.deleted_at < $1 AND d.purged_at IS NOT NULL' ||
		(SELECT COALESCE(string_agg(format(' AND NOT EXISTS (SELECT FROM %s c WHERE c.deleted_at = d.deleted_at AND c.deleted_at < $1)', t), ''), '')
		 FROM unnest((appdb._purge_order()).entities) t)
	USING cutoff;
	DELETE FROM app_data.unlinked u
	WHERE u.deleted_at < cutoff AND NOT EXISTS (SELECT FROM app_data.deletions d WHERE d.deleted_at = u.deleted_at);
END
$$;
COMMENT ON FUNCTION appdb._purge_notes(pg_catalog.timestamptz) IS 'Internal: forgets operations of which nothing is left';

-- Waits for those who restore just now; from then on nobody brings back what
-- was deleted before.
CREATE FUNCTION appdb._purge_begin(cutoff pg_catalog.timestamptz)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- in the order in which a restore takes them
	PERFORM FROM app_data.deletions d WHERE d.deleted_at < cutoff AND d.purged_at IS NULL ORDER BY d.deleted_at DESC, d.id FOR UPDATE;
	UPDATE app_data.deletions d SET purged_at = clock_timestamp() WHERE d.deleted_at < cutoff AND d.purged_at IS NULL;
END
$$;
COMMENT ON FUNCTION appdb._purge_begin(pg_catalog.timestamptz) IS 'Internal: marks operations as being purged';

-- No SET clause: a procedure that commits cannot have one.  Everything is
-- qualified instead.
CREATE PROCEDURE appdb.purge(older_than pg_catalog.interval DEFAULT NULL, batch pg_catalog.int4 DEFAULT 1000)
	LANGUAGE plpgsql
AS $$
DECLARE
	cutoff pg_catalog.timestamptz;
	entities pg_catalog.regclass[];
	circular pg_catalog.regclass[];
	by_others pg_catalog.bool;
	entity pg_catalog.regclass;
	part pg_catalog.regclass;
	statements pg_catalog.text[];
	page pg_catalog.int8;
	pages pg_catalog.int8;
	rest pg_catalog.uuid[];
	last_id pg_catalog.uuid;
	purged pg_catalog.int8;
	of_pass pg_catalog.int8;
	of_table pg_catalog.int8;
	total pg_catalog.int8 := 0;
	pass pg_catalog.int4 := 0;
BEGIN
	IF batch IS NULL OR batch OPERATOR(pg_catalog.<) 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch must be at least 1',
			HINT = 'It is the number of rows that one transaction looks at.';
	END IF;
	older_than := COALESCE(older_than, appdb.retention());
	IF older_than OPERATOR(pg_catalog.<) '0'::pg_catalog.interval THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('cannot purge what was deleted within %s', older_than),
			HINT = 'older_than is an interval that is not negative, such as 30 days.';
	END IF;
	cutoff := pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) older_than;

	PERFORM appdb._purge_begin(cutoff);
	COMMIT;

	SELECT o.entities, o.circular, o.by_others INTO entities, circular, by_others FROM appdb._purge_order() o;
	LOOP
		of_pass := 0;
		pass := pass OPERATOR(pg_catalog.+) 1;
		FOREACH entity IN ARRAY entities LOOP
			CONTINUE WHEN pass OPERATOR(pg_catalog.>) 1 AND entity OPERATOR(pg_catalog.<>) ALL (circular);
			of_table := 0;
			FOR part IN
				SELECT t.relid FROM pg_catalog.pg_partition_tree(entity) t WHERE t.isleaf
				UNION SELECT entity WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_partition_tree(entity))
			LOOP
				statements := ARRAY[appdb._purge_statement(entity, part, false), appdb._purge_statement(entity, part, true)];
				pages := pg_catalog.pg_relation_size(part) OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8;
				page := pages;
				rest := '{}';
				WHILE page OPERATOR(pg_catalog.>) 0 OR pg_catalog.cardinality(rest) OPERATOR(pg_catalog.>) 0 LOOP
					-- for who looks into pg_stat_activity
					PERFORM pg_catalog.set_config('application_name', pg_catalog.format('appdb.purge %s %s%% %s',
						pg_catalog.left(part::pg_catalog.text, 25), 100 OPERATOR(pg_catalog.-) 100 OPERATOR(pg_catalog.*) page OPERATOR(pg_catalog./) GREATEST(pages, 1),
						total OPERATOR(pg_catalog.+) of_pass OPERATOR(pg_catalog.+) of_table), true);
					SELECT s.purged, s.end_page, s.rest INTO purged, page, rest
					FROM appdb._purge_stretch(part, statements, cutoff, batch, page, rest) s;
					of_table := of_table OPERATOR(pg_catalog.+) purged;
					COMMIT;
				END LOOP;
			END LOOP;
			of_pass := of_pass OPERATOR(pg_catalog.+) of_table;
			IF of_table OPERATOR(pg_catalog.>) 0 THEN
				RAISE NOTICE 'purged % rows of table "%"', of_table, entity;
			END IF;
		END LOOP;

		-- where tables refer to each other, rows go level by level; then circles
		IF of_pass OPERATOR(pg_catalog.=) 0 OR NOT by_others THEN
			FOREACH entity IN ARRAY circular LOOP
				last_id := '00000000-0000-0000-0000-000000000000';
				WHILE last_id IS NOT NULL LOOP
					SELECT c.last_id, c.purged INTO last_id, purged FROM appdb._purge_circles(entity, cutoff, batch, last_id) c;
					of_pass := of_pass OPERATOR(pg_catalog.+) purged;
					COMMIT;
				END LOOP;
			END LOOP;
		END IF;
		total := total OPERATOR(pg_catalog.+) of_pass;
		EXIT WHEN of_pass OPERATOR(pg_catalog.=) 0 OR NOT by_others;
	END LOOP;

	PERFORM appdb._purge_notes(cutoff);
	COMMIT;
	RAISE NOTICE 'purged % rows in all, deleted before %', total, cutoff;
END
$$;
COMMENT ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) IS
'Removes deleted rows for good, children first, and commits after each batch: can be stopped at any time and called again.
older_than: only what was deleted longer ago than this (default: the setting appdb.retention); batch: rows that one transaction looks at.
Rows that others have locked, that something still refers to, or whose organization is under a legal hold stay. pg_stat_activity.application_name shows how far it is. CALL it outside of a transaction block, as the owner of the tables.';
REVOKE EXECUTE ON PROCEDURE appdb.purge(pg_catalog.interval, pg_catalog.int4) FROM PUBLIC;

CREATE FUNCTION appdb.hold(organization_id pg_catalog.uuid, reason pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO app_data.legal_holds AS h (organization_id, reason) VALUES (hold.organization_id, hold.reason)
	ON CONFLICT ON CONSTRAINT legal_holds_pkey DO UPDATE SET reason = EXCLUDED.reason;
END
$$;
COMMENT ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) IS
'Puts a legal hold on an organization: none of its deleted rows, nor those of its spaces, are purged until appdb.release().
organization_id: the organization; reason: why. Calling it again changes the reason. Errors: 23503 no such organization.';
REVOKE EXECUTE ON FUNCTION appdb.hold(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.release(organization_id pg_catalog.uuid)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM app_data.legal_holds h WHERE h.organization_id = release.organization_id;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb.release(pg_catalog.uuid) IS
'Ends the legal hold on an organization. Returns whether there was one.';
REVOKE EXECUTE ON FUNCTION appdb.release(pg_catalog.uuid) FROM PUBLIC;

-- The tables of the eight domains, as text.

CREATE FUNCTION appdb.tables_sql() RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $appdb_fn$ SELECT $appdb_tables$
-- sql/05_app_data.sql

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

-- sql/10_auth.sql

-- auth: who the users are, how they prove it, and the sessions they are in.
--
-- Clients of better-auth and Auth.js use these tables as they are, with renamed columns: what those leave out is nullable or has a
-- default, and what they look up has an index. Sessions and verifications are secrets: they have no deleted_at and are deleted for good.

CREATE TABLE app_data.users
(
	id                  uuid PRIMARY KEY,
	name                text,
	email               text,
	email_verified      boolean NOT NULL DEFAULT false,
	email_verified_at   timestamptz(3),
	image               text,
	billing_customer_id text,
	metadata            jsonb NOT NULL DEFAULT '{}',
	created_at          timestamptz(3) NOT NULL,
	updated_at          timestamptz(3) NOT NULL,
	deleted_at          timestamptz,
	CONSTRAINT users_name_check CHECK (char_length(name) <= 500),
	CONSTRAINT users_email_check CHECK (char_length(email) <= 320 AND email LIKE '_%@_%'),
	CONSTRAINT users_email_verified_check CHECK (email_verified = (email_verified_at IS NOT NULL)),
	CONSTRAINT users_image_check CHECK (char_length(image) <= 1000000),
	CONSTRAINT users_billing_customer_id_check CHECK (char_length(billing_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT users_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX users_email_key
	ON app_data.users (email) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.users_email_key IS
	'Unique among live rows: a deleted user''s address can be used again.';
CREATE UNIQUE INDEX users_lower_email_key
	ON app_data.users (lower(email)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.users_lower_email_key IS
	'Unique among live rows: the e-mail address, whatever its case. Serves lookups by lower(email) too.';
CREATE INDEX users_billing_customer_id_idx
	ON app_data.users (billing_customer_id) WHERE billing_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.users_billing_customer_id_idx IS
	'Finds the user that a payment provider''s message is about.';

COMMENT ON TABLE app_data.users IS
	'People who use the application.';
COMMENT ON COLUMN app_data.users.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.users.name IS
	'What the person is called; may be empty or unknown.';
COMMENT ON COLUMN app_data.users.email IS
	'The e-mail address as the person wrote it; unique among live users whatever its case.';
COMMENT ON COLUMN app_data.users.email_verified IS
	'Whether the e-mail address is known to be theirs; true exactly where email_verified_at is set.';
COMMENT ON COLUMN app_data.users.email_verified_at IS
	'When the e-mail address was verified; filled when email_verified becomes true.';
COMMENT ON COLUMN app_data.users.image IS
	'Address of a picture of the person, or the picture itself as a data URL.';
COMMENT ON COLUMN app_data.users.billing_customer_id IS
	'The customer at the payment provider whose subscriptions are this person''s own.';
COMMENT ON COLUMN app_data.users.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.users.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.users.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.users.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.users', label => 'name');

-- A session's expires_at and updated_at change as long as it is used, so pages keep room for HOT updates. For the same reason there is
-- no index on expires_at: finding what has expired is a job for a scan now and then. The foreign key of active_organization_id is made
-- in 20_organization.sql, where the organizations are, and so the table is managed from there on.
CREATE TABLE app_data.sessions
(
	id                     uuid PRIMARY KEY,
	user_id                uuid NOT NULL,
	token                  text,
	token_hash             bytea NOT NULL,
	expires_at             timestamptz(3) NOT NULL,
	ip_address             text,
	user_agent             text,
	active_organization_id uuid,
	created_at             timestamptz(3) NOT NULL,
	updated_at             timestamptz(3) NOT NULL,
	CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE CASCADE,
	CONSTRAINT sessions_token_check CHECK (octet_length(token) BETWEEN 1 AND 2000),
	CONSTRAINT sessions_token_hash_check CHECK (octet_length(token_hash) = 32),
	CONSTRAINT sessions_ip_address_check CHECK (char_length(ip_address) <= 255),
	CONSTRAINT sessions_user_agent_check CHECK (char_length(user_agent) <= 10000)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX sessions_token_key
	ON app_data.sessions (token);
COMMENT ON INDEX app_data.sessions_token_key IS
	'One session a token; serves lookups by the token itself.';
CREATE UNIQUE INDEX sessions_token_hash_key
	ON app_data.sessions (token_hash);
COMMENT ON INDEX app_data.sessions_token_hash_key IS
	'One session a token; serves authentication, which looks up the hash.';
CREATE INDEX sessions_user_id_idx
	ON app_data.sessions (user_id);
CREATE INDEX sessions_active_organization_id_idx
	ON app_data.sessions (active_organization_id) WHERE active_organization_id IS NOT NULL;

COMMENT ON TABLE app_data.sessions IS
	'Sign-ins that are in force. Rows are secrets: deleting one deletes it for good.';
COMMENT ON COLUMN app_data.sessions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.sessions.user_id IS
	'The user who is signed in.';
COMMENT ON COLUMN app_data.sessions.token IS
	'Secret: the session token as the client gave it, for clients that look it up; null where only the hash is kept.';
COMMENT ON COLUMN app_data.sessions.token_hash IS
	'SHA-256 of the token; filled from the token where one is given.';
COMMENT ON COLUMN app_data.sessions.expires_at IS
	'When the session ends.';
COMMENT ON COLUMN app_data.sessions.ip_address IS
	'The address that the sign-in came from, as the client gave it: may be empty.';
COMMENT ON COLUMN app_data.sessions.user_agent IS
	'The browser or program that signed in, as it called itself.';
COMMENT ON COLUMN app_data.sessions.active_organization_id IS
	'The organization that the user is working in.';
COMMENT ON COLUMN app_data.sessions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.sessions.updated_at IS
	'When the row last changed; kept by the engine.';

CREATE TABLE app_data.accounts
(
	id                       uuid PRIMARY KEY,
	user_id                  uuid NOT NULL,
	provider_id              text NOT NULL,
	account_id               text NOT NULL,
	issuer                   text,
	type                     text,
	access_token             text,
	refresh_token            text,
	id_token                 text,
	access_token_expires_at  timestamptz(3),
	refresh_token_expires_at timestamptz(3),
	expires_at               bigint,
	scope                    text,
	token_type               text,
	session_state            text,
	password                 text,
	created_at               timestamptz(3) NOT NULL,
	updated_at               timestamptz(3) NOT NULL,
	deleted_at               timestamptz,
	CONSTRAINT accounts_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT accounts_provider_id_check CHECK (octet_length(provider_id) BETWEEN 1 AND 255),
	CONSTRAINT accounts_account_id_check CHECK (octet_length(account_id) BETWEEN 1 AND 1000),
	CONSTRAINT accounts_issuer_check CHECK (octet_length(issuer) BETWEEN 1 AND 1000),
	CONSTRAINT accounts_type_check CHECK (char_length(type) BETWEEN 1 AND 50),
	CONSTRAINT accounts_access_token_check CHECK (char_length(access_token) <= 65536),
	CONSTRAINT accounts_refresh_token_check CHECK (char_length(refresh_token) <= 65536),
	CONSTRAINT accounts_id_token_check CHECK (char_length(id_token) <= 65536),
	CONSTRAINT accounts_scope_check CHECK (char_length(scope) <= 10000),
	CONSTRAINT accounts_token_type_check CHECK (char_length(token_type) <= 255),
	CONSTRAINT accounts_session_state_check CHECK (char_length(session_state) <= 10000),
	CONSTRAINT accounts_password_check CHECK (char_length(password) <= 1000)
);

CREATE UNIQUE INDEX accounts_provider_id_account_id_key
	ON app_data.accounts (provider_id, account_id, issuer) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.accounts_provider_id_account_id_key IS
	'Unique among live rows: an identity at a provider belongs to one user. Clients without issuers have one for all.';
CREATE UNIQUE INDEX accounts_issuer_account_id_key
	ON app_data.accounts (issuer, account_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.accounts_issuer_account_id_key IS
	'Unique among live rows: an issuer''s identity belongs to one user, whatever the provider is called.';
CREATE INDEX accounts_user_id_idx
	ON app_data.accounts (user_id);

COMMENT ON TABLE app_data.accounts IS
	'Ways in which users sign in: one row for each identity at a provider, or for a password.';
COMMENT ON COLUMN app_data.accounts.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.accounts.user_id IS
	'The user whose identity this is.';
COMMENT ON COLUMN app_data.accounts.provider_id IS
	'The provider by the application''s name for it: github, google, credential …';
COMMENT ON COLUMN app_data.accounts.account_id IS
	'The user''s identity at the provider; for passwords the user''s own id.';
COMMENT ON COLUMN app_data.accounts.issuer IS
	'Who vouches for account_id, where the client tells issuers of one provider apart.';
COMMENT ON COLUMN app_data.accounts.type IS
	'The kind of account by the client''s word for it: oauth, oidc, email, credentials, webauthn.';
COMMENT ON COLUMN app_data.accounts.access_token IS
	'Secret: the provider''s access token.';
COMMENT ON COLUMN app_data.accounts.refresh_token IS
	'Secret: the provider''s refresh token.';
COMMENT ON COLUMN app_data.accounts.id_token IS
	'Secret: the provider''s OpenID Connect id token.';
COMMENT ON COLUMN app_data.accounts.access_token_expires_at IS
	'When the access token expires.';
COMMENT ON COLUMN app_data.accounts.refresh_token_expires_at IS
	'When the refresh token expires.';
COMMENT ON COLUMN app_data.accounts.expires_at IS
	'When the access token expires in seconds since 1970, for clients that keep it so (Auth.js).';
COMMENT ON COLUMN app_data.accounts.scope IS
	'What the user allowed the application to do at the provider.';
COMMENT ON COLUMN app_data.accounts.token_type IS
	'How the access token is presented, as the provider said: mostly bearer.';
COMMENT ON COLUMN app_data.accounts.session_state IS
	'The provider''s session state, as the provider said.';
COMMENT ON COLUMN app_data.accounts.password IS
	'Secret: hash of the password, where the account is one of name and password.';
COMMENT ON COLUMN app_data.accounts.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.accounts.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.accounts.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.accounts', label => 'provider_id');

CREATE TABLE app_data.verifications
(
	id         uuid PRIMARY KEY,
	identifier text NOT NULL,
	value      text NOT NULL,
	expires_at timestamptz(3) NOT NULL,
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	CONSTRAINT verifications_identifier_check CHECK (octet_length(identifier) BETWEEN 1 AND 2000),
	CONSTRAINT verifications_value_check CHECK (char_length(value) <= 65536)
);

CREATE INDEX verifications_identifier_idx
	ON app_data.verifications (identifier);
COMMENT ON INDEX app_data.verifications_identifier_idx IS
	'Finds what is open for an address; the same address may have several.';

COMMENT ON TABLE app_data.verifications IS
	'Things to be confirmed once: e-mail addresses, password resets, one-time codes. Rows are secrets: deleting one deletes it for good.';
COMMENT ON COLUMN app_data.verifications.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.verifications.identifier IS
	'What is to be confirmed: an e-mail address, or the client''s key for it.';
COMMENT ON COLUMN app_data.verifications.value IS
	'Secret: the token or code, or what the client keeps with it.';
COMMENT ON COLUMN app_data.verifications.expires_at IS
	'Until when it can be confirmed.';
COMMENT ON COLUMN app_data.verifications.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.verifications.updated_at IS
	'When the row last changed; kept by the engine.';

SELECT appdb.manage('app_data.verifications');

-- sql/20_organization.sql

-- organization: companies and teams, and who belongs to them.

CREATE TYPE app_data.organization_role AS ENUM ('owner', 'admin', 'member');
COMMENT ON TYPE app_data.organization_role IS
	'What a member may do in an organization: owners everything, admins all but ownership and billing, members work in its spaces.';

CREATE TABLE app_data.organizations
(
	id                  uuid PRIMARY KEY,
	name                text NOT NULL,
	slug                text NOT NULL,
	logo                text,
	billing_customer_id text,
	metadata            jsonb NOT NULL DEFAULT '{}',
	created_at          timestamptz(3) NOT NULL,
	updated_at          timestamptz(3) NOT NULL,
	deleted_at          timestamptz,
	CONSTRAINT organizations_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
	CONSTRAINT organizations_slug_check CHECK (octet_length(slug) BETWEEN 1 AND 255),
	CONSTRAINT organizations_logo_check CHECK (char_length(logo) <= 1000000),
	CONSTRAINT organizations_billing_customer_id_check CHECK (char_length(billing_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT organizations_metadata_check CHECK (jsonb_typeof(metadata) IN ('object', 'null'))
);

CREATE UNIQUE INDEX organizations_slug_key
	ON app_data.organizations (slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.organizations_slug_key IS
	'Unique among live rows: a deleted organization''s slug can be used again.';
CREATE UNIQUE INDEX organizations_lower_slug_key
	ON app_data.organizations (lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.organizations_lower_slug_key IS
	'Unique among live rows: the slug, whatever its case.';
CREATE INDEX organizations_billing_customer_id_idx
	ON app_data.organizations (billing_customer_id) WHERE billing_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.organizations_billing_customer_id_idx IS
	'Finds the organization that a payment provider''s message is about.';

COMMENT ON TABLE app_data.organizations IS
	'Companies and teams: what owns spaces and pays for them.';
COMMENT ON COLUMN app_data.organizations.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.organizations.name IS
	'What the organization is called.';
COMMENT ON COLUMN app_data.organizations.slug IS
	'Its name in addresses; unique among live organizations whatever its case.';
COMMENT ON COLUMN app_data.organizations.logo IS
	'Address of its logo, or the picture itself as a data URL.';
COMMENT ON COLUMN app_data.organizations.billing_customer_id IS
	'The customer at the payment provider whose subscriptions are this organization''s.';
COMMENT ON COLUMN app_data.organizations.metadata IS
	'Whatever else the application keeps with the organization: a JSON object (JSON null from clients that clear it so).';
COMMENT ON COLUMN app_data.organizations.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.organizations.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.organizations.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.organizations', label => 'name');

CREATE TABLE app_data.members
(
	id              uuid PRIMARY KEY,
	organization_id uuid NOT NULL,
	user_id         uuid NOT NULL,
	role            app_data.organization_role NOT NULL DEFAULT 'member',
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT members_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id)
);

CREATE UNIQUE INDEX members_organization_id_user_id_key
	ON app_data.members (organization_id, user_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.members_organization_id_user_id_key IS
	'Unique among live rows: one membership a person and organization.';
CREATE INDEX members_organization_id_idx
	ON app_data.members (organization_id);
CREATE INDEX members_user_id_idx
	ON app_data.members (user_id);

COMMENT ON TABLE app_data.members IS
	'Who belongs to which organization, and as what.';
COMMENT ON COLUMN app_data.members.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.members.organization_id IS
	'The organization.';
COMMENT ON COLUMN app_data.members.user_id IS
	'The user who belongs to it.';
COMMENT ON COLUMN app_data.members.role IS
	'What the member may do.';
COMMENT ON COLUMN app_data.members.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.members.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.members.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.members', relations => '{"user_id": {"inverse": "memberships"}}');

-- Sessions (10_auth.sql) point at the organization that their user works in.
ALTER TABLE app_data.sessions
	ADD CONSTRAINT sessions_active_organization_id_fkey FOREIGN KEY (active_organization_id) REFERENCES app_data.organizations (id) ON DELETE SET NULL;

SELECT appdb.manage('app_data.sessions', relations => '{"active_organization_id": {"inverse": "active_sessions"}}');

-- What must not be purged, whatever the retention: appdb.hold() and appdb.release().
CREATE TABLE app_data.legal_holds
(
	organization_id uuid PRIMARY KEY,
	reason          text NOT NULL,
	created_at      timestamptz(3) NOT NULL DEFAULT now(),
	created_by      name NOT NULL DEFAULT current_user,
	CONSTRAINT legal_holds_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT legal_holds_reason_check CHECK (char_length(reason) BETWEEN 1 AND 1000)
);
COMMENT ON TABLE app_data.legal_holds IS
	'Organizations whose deleted rows are not purged until the hold is released.';
COMMENT ON COLUMN app_data.legal_holds.organization_id IS
	'The organization: its own rows and those of its spaces are held.';
COMMENT ON COLUMN app_data.legal_holds.reason IS
	'Why, for those who ask later.';
COMMENT ON COLUMN app_data.legal_holds.created_at IS
	'Since when.';
COMMENT ON COLUMN app_data.legal_holds.created_by IS
	'The database role that put the hold.';

-- sql/30_space.sql

-- space: the tenants. Everything that people make is in a space; a space belongs to an organization or to one person.

CREATE TYPE app_data.space_role AS ENUM ('owner', 'admin', 'editor', 'viewer');
COMMENT ON TYPE app_data.space_role IS
	'What a member may do in a space: owners everything, admins all but ownership, editors change what is in it, viewers read.';

CREATE TYPE app_data.space_visibility AS ENUM ('private', 'organization', 'public');
COMMENT ON TYPE app_data.space_visibility IS
	'Who can see that a space is there and read in it: its members, the members of its organization, everyone.';

CREATE TYPE app_data.invitation_role AS ENUM ('owner', 'admin', 'member', 'editor', 'viewer');
COMMENT ON TYPE app_data.invitation_role IS
	'The role that an invitation offers: owner, admin or member of an organization; owner, admin, editor or viewer of a space.';

CREATE TYPE app_data.invitation_status AS ENUM ('pending', 'accepted', 'rejected', 'canceled');
COMMENT ON TYPE app_data.invitation_status IS
	'What became of an invitation. One that has expired stays pending: expires_at says so.';

CREATE TABLE app_data.spaces
(
	id              uuid PRIMARY KEY,
	organization_id uuid,
	owner_id        uuid,
	name            text NOT NULL,
	slug            text,
	visibility      app_data.space_visibility NOT NULL DEFAULT 'private',
	metadata        jsonb NOT NULL DEFAULT '{}',
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT spaces_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT spaces_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES app_data.users (id),
	CONSTRAINT spaces_owner_check CHECK (num_nonnulls(organization_id, owner_id) = 1),
	CONSTRAINT spaces_visibility_check CHECK (visibility <> 'organization' OR organization_id IS NOT NULL),
	CONSTRAINT spaces_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
	CONSTRAINT spaces_slug_check CHECK (octet_length(slug) BETWEEN 1 AND 255),
	CONSTRAINT spaces_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX spaces_organization_id_slug_key
	ON app_data.spaces (organization_id, slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_organization_id_slug_key IS
	'Unique among live rows: the slug in an organization.';
CREATE UNIQUE INDEX spaces_organization_id_lower_slug_key
	ON app_data.spaces (organization_id, lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_organization_id_lower_slug_key IS
	'Unique among live rows: the slug in an organization, whatever its case.';
CREATE UNIQUE INDEX spaces_owner_id_slug_key
	ON app_data.spaces (owner_id, slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_owner_id_slug_key IS
	'Unique among live rows: the slug among a person''s own spaces.';
CREATE UNIQUE INDEX spaces_owner_id_lower_slug_key
	ON app_data.spaces (owner_id, lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_owner_id_lower_slug_key IS
	'Unique among live rows: the slug among a person''s own spaces, whatever its case.';
CREATE INDEX spaces_organization_id_idx
	ON app_data.spaces (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX spaces_owner_id_idx
	ON app_data.spaces (owner_id) WHERE owner_id IS NOT NULL;

COMMENT ON TABLE app_data.spaces IS
	'Spaces (tenants): what people work in, belonging to an organization or to one person.';
COMMENT ON COLUMN app_data.spaces.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.spaces.organization_id IS
	'The organization that the space belongs to; null for a personal space.';
COMMENT ON COLUMN app_data.spaces.owner_id IS
	'The person whose personal space it is; null for a space of an organization.';
COMMENT ON COLUMN app_data.spaces.name IS
	'What the space is called.';
COMMENT ON COLUMN app_data.spaces.slug IS
	'Its name in addresses; unique among live spaces of the same organization or owner whatever its case.';
COMMENT ON COLUMN app_data.spaces.visibility IS
	'Who can see the space.';
COMMENT ON COLUMN app_data.spaces.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.spaces.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.spaces.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.spaces.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.spaces', label => 'name', relations => '{"owner_id": {"inverse": "personal_spaces"}}');

CREATE TABLE app_data.space_members
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	user_id    uuid NOT NULL,
	role       app_data.space_role NOT NULL DEFAULT 'viewer',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT space_members_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT space_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id)
);

CREATE UNIQUE INDEX space_members_space_id_user_id_key
	ON app_data.space_members (space_id, user_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.space_members_space_id_user_id_key IS
	'Unique among live rows: one membership a person and space.';
CREATE INDEX space_members_space_id_idx
	ON app_data.space_members (space_id);
CREATE INDEX space_members_user_id_idx
	ON app_data.space_members (user_id);

COMMENT ON TABLE app_data.space_members IS
	'Who may be in which space, and as what.';
COMMENT ON COLUMN app_data.space_members.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.space_members.space_id IS
	'The space.';
COMMENT ON COLUMN app_data.space_members.user_id IS
	'The user who may be in it.';
COMMENT ON COLUMN app_data.space_members.role IS
	'What the member may do.';
COMMENT ON COLUMN app_data.space_members.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.space_members.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.space_members.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.space_members', relations => '{"space_id": {"inverse": "members"}, "user_id": {"inverse": "space_memberships"}}');

CREATE TABLE app_data.invitations
(
	id              uuid PRIMARY KEY,
	organization_id uuid,
	space_id        uuid,
	email           text NOT NULL,
	role            app_data.invitation_role,
	status          app_data.invitation_status NOT NULL DEFAULT 'pending',
	expires_at      timestamptz(3) NOT NULL,
	inviter_id      uuid,
	token_hash      bytea,
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT invitations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT invitations_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT invitations_inviter_id_fkey FOREIGN KEY (inviter_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT invitations_target_check CHECK (num_nonnulls(organization_id, space_id) = 1),
	CONSTRAINT invitations_role_check CHECK (CASE WHEN space_id IS NULL THEN role IN ('owner', 'admin', 'member') ELSE role IN ('owner', 'admin', 'editor', 'viewer') END),
	CONSTRAINT invitations_email_check CHECK (char_length(email) <= 320 AND email LIKE '_%@_%'),
	CONSTRAINT invitations_token_hash_check CHECK (octet_length(token_hash) = 32)
);

CREATE UNIQUE INDEX invitations_token_hash_key
	ON app_data.invitations (token_hash) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.invitations_token_hash_key IS
	'Unique among live rows: one invitation a token.';
CREATE INDEX invitations_organization_id_idx
	ON app_data.invitations (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX invitations_space_id_idx
	ON app_data.invitations (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX invitations_inviter_id_idx
	ON app_data.invitations (inviter_id);
CREATE INDEX invitations_email_idx
	ON app_data.invitations (email);
COMMENT ON INDEX app_data.invitations_email_idx IS
	'Finds the invitations that wait for an address.';

COMMENT ON TABLE app_data.invitations IS
	'Invitations by e-mail to an organization or a space.';
COMMENT ON COLUMN app_data.invitations.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.invitations.organization_id IS
	'The organization that the invitation is to; null for one to a space.';
COMMENT ON COLUMN app_data.invitations.space_id IS
	'The space that the invitation is to; null for one to an organization.';
COMMENT ON COLUMN app_data.invitations.email IS
	'The address that the invitation was sent to.';
COMMENT ON COLUMN app_data.invitations.role IS
	'The role that the invitation offers; null means the least: member of an organization, viewer of a space.';
COMMENT ON COLUMN app_data.invitations.status IS
	'What became of it.';
COMMENT ON COLUMN app_data.invitations.expires_at IS
	'Until when it can be accepted.';
COMMENT ON COLUMN app_data.invitations.inviter_id IS
	'The user who invited; null where that user is gone.';
COMMENT ON COLUMN app_data.invitations.token_hash IS
	'SHA-256 of the token in the invitation''s link; the token itself is not kept.';
COMMENT ON COLUMN app_data.invitations.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.invitations.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.invitations.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.invitations', label => 'email', relations => '{"inviter_id": {"inverse": "sent_invitations"}}');

-- sql/40_chat.sql

-- chat: conversations with a model, and among people.
--
-- A tenant table: foreign keys between tenant tables carry space_id, so a row never refers across spaces.

CREATE TYPE app_data.chat_visibility AS ENUM ('private', 'space', 'public');
COMMENT ON TYPE app_data.chat_visibility IS
	'Who can read a chat: its author, the members of its space, everyone who has its address.';

CREATE TYPE app_data.message_role AS ENUM ('system', 'user', 'assistant', 'tool');
COMMENT ON TYPE app_data.message_role IS
	'Who speaks in a message, in the words of the model providers.';

CREATE TYPE app_data.message_status AS ENUM ('pending', 'streaming', 'completed', 'failed', 'canceled');
COMMENT ON TYPE app_data.message_status IS
	'How far a message has come: a person''s are completed at once, a model''s stream in.';

CREATE TABLE app_data.chats
(
	id          uuid PRIMARY KEY,
	space_id    uuid NOT NULL,
	user_id     uuid,
	title       text,
	visibility  app_data.chat_visibility NOT NULL DEFAULT 'space',
	model       text,
	archived_at timestamptz(3),
	metadata    jsonb NOT NULL DEFAULT '{}',
	created_at  timestamptz(3) NOT NULL,
	updated_at  timestamptz(3) NOT NULL,
	deleted_at  timestamptz,
	CONSTRAINT chats_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT chats_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT chats_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT chats_title_check CHECK (char_length(title) <= 1000),
	CONSTRAINT chats_model_check CHECK (char_length(model) BETWEEN 1 AND 255),
	CONSTRAINT chats_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX chats_user_id_idx
	ON app_data.chats (user_id);

COMMENT ON TABLE app_data.chats IS
	'Conversations.';
COMMENT ON COLUMN app_data.chats.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.chats.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.chats.user_id IS
	'The user who began the chat; null where that user is gone.';
COMMENT ON COLUMN app_data.chats.title IS
	'What the chat is called; null until it has a name.';
COMMENT ON COLUMN app_data.chats.visibility IS
	'Who can read the chat.';
COMMENT ON COLUMN app_data.chats.model IS
	'The model that answers in it.';
COMMENT ON COLUMN app_data.chats.archived_at IS
	'When it was put away; null while it is in use.';
COMMENT ON COLUMN app_data.chats.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.chats.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.chats.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.chats.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.chats_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.chats', label => 'title', relations => '{"user_id": {"name": "author"}}');

-- A model's message grows while it streams, and nothing indexed changes with it: some room in the pages keeps those updates HOT.
CREATE TABLE app_data.messages
(
	id            uuid PRIMARY KEY,
	space_id      uuid NOT NULL,
	chat_id       uuid NOT NULL,
	parent_id     uuid,
	user_id       uuid,
	role          app_data.message_role NOT NULL,
	content       text NOT NULL DEFAULT '',
	parts         jsonb,
	model         text,
	input_tokens  integer,
	output_tokens integer,
	status        app_data.message_status NOT NULL DEFAULT 'completed',
	metadata      jsonb NOT NULL DEFAULT '{}',
	created_at    timestamptz(3) NOT NULL,
	updated_at    timestamptz(3) NOT NULL,
	deleted_at    timestamptz,
	CONSTRAINT messages_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT messages_chat_id_fkey FOREIGN KEY (space_id, chat_id) REFERENCES app_data.chats (space_id, id),
	CONSTRAINT messages_parent_id_fkey FOREIGN KEY (space_id, chat_id, parent_id) REFERENCES app_data.messages (space_id, chat_id, id),
	CONSTRAINT messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT messages_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT messages_chat_id_space_id_id_key UNIQUE (chat_id, space_id, id),
	CONSTRAINT messages_content_check CHECK (char_length(content) <= 10000000),
	CONSTRAINT messages_parts_check CHECK (jsonb_typeof(parts) = 'array'),
	CONSTRAINT messages_model_check CHECK (char_length(model) BETWEEN 1 AND 255),
	CONSTRAINT messages_input_tokens_check CHECK (input_tokens >= 0),
	CONSTRAINT messages_output_tokens_check CHECK (output_tokens >= 0),
	CONSTRAINT messages_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
) WITH (fillfactor = 90);

CREATE INDEX messages_parent_id_idx
	ON app_data.messages (parent_id, chat_id, space_id) WHERE parent_id IS NOT NULL;
CREATE INDEX messages_user_id_idx
	ON app_data.messages (user_id) WHERE user_id IS NOT NULL;

COMMENT ON TABLE app_data.messages IS
	'What was said in a chat. A message may answer another (its parent), so that a conversation can branch.';
COMMENT ON COLUMN app_data.messages.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.messages.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.messages.chat_id IS
	'The chat.';
COMMENT ON COLUMN app_data.messages.parent_id IS
	'The message that this one follows in the same chat; null at the beginning, and in chats that do not branch.';
COMMENT ON COLUMN app_data.messages.user_id IS
	'The user who wrote it; null for a model''s, and where that user is gone.';
COMMENT ON COLUMN app_data.messages.role IS
	'Who speaks.';
COMMENT ON COLUMN app_data.messages.content IS
	'The text.';
COMMENT ON COLUMN app_data.messages.parts IS
	'The message in parts (text, tool calls, reasoning, files …) as a JSON array, for clients that keep it so.';
COMMENT ON COLUMN app_data.messages.model IS
	'The model that wrote it.';
COMMENT ON COLUMN app_data.messages.input_tokens IS
	'Tokens that the model read for it.';
COMMENT ON COLUMN app_data.messages.output_tokens IS
	'Tokens that the model wrote.';
COMMENT ON COLUMN app_data.messages.status IS
	'How far it has come.';
COMMENT ON COLUMN app_data.messages.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.messages.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.messages.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.messages.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.messages_space_id_id_key IS
	'What foreign keys within the space refer to.';
COMMENT ON INDEX app_data.messages_chat_id_space_id_id_key IS
	'What keeps a parent within its chat; serves the foreign key of the chat and its messages, newest first, too.';

SELECT appdb.manage('app_data.messages', relations => '{"user_id": {"name": "author"}}');

-- sql/50_file.sql

-- file: what was uploaded, where it is stored, who may use it, and which messages it goes with. The contents are elsewhere.

CREATE TYPE app_data.file_status AS ENUM ('pending', 'uploaded', 'failed');
COMMENT ON TYPE app_data.file_status IS
	'How far an upload has come.';

CREATE TYPE app_data.file_permission_level AS ENUM ('read', 'write', 'manage');
COMMENT ON TYPE app_data.file_permission_level IS
	'What a permission allows: read it, change it too, or also decide who may.';

CREATE TABLE app_data.files
(
	id               uuid PRIMARY KEY,
	space_id         uuid NOT NULL,
	user_id          uuid,
	name             text NOT NULL,
	mime_type        text NOT NULL DEFAULT 'application/octet-stream',
	size_bytes       bigint,
	checksum_sha256  text,
	storage_provider text NOT NULL DEFAULT 'local',
	storage_key      text,
	status           app_data.file_status NOT NULL DEFAULT 'pending',
	metadata         jsonb NOT NULL DEFAULT '{}',
	created_at       timestamptz(3) NOT NULL,
	updated_at       timestamptz(3) NOT NULL,
	deleted_at       timestamptz,
	CONSTRAINT files_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT files_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT files_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT files_name_check CHECK (char_length(name) BETWEEN 1 AND 1000),
	CONSTRAINT files_mime_type_check CHECK (char_length(mime_type) BETWEEN 1 AND 255),
	CONSTRAINT files_size_bytes_check CHECK (size_bytes >= 0),
	CONSTRAINT files_checksum_sha256_check CHECK (checksum_sha256 ~ '^[0-9a-f]{64}$'),
	CONSTRAINT files_storage_provider_check CHECK (octet_length(storage_provider) BETWEEN 1 AND 255),
	CONSTRAINT files_storage_key_check CHECK (octet_length(storage_key) BETWEEN 1 AND 2000),
	CONSTRAINT files_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX files_space_id_storage_key
	ON app_data.files (space_id, storage_provider, storage_key) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.files_space_id_storage_key IS
	'Unique among live rows: two files of a space never share their contents by accident. Within the space only: a tenant learns nothing of another''s.';
CREATE INDEX files_user_id_idx
	ON app_data.files (user_id);

COMMENT ON TABLE app_data.files IS
	'Files: what was uploaded and where it is stored.';
COMMENT ON COLUMN app_data.files.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.files.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.files.user_id IS
	'The user who uploaded it; null where that user is gone.';
COMMENT ON COLUMN app_data.files.name IS
	'What the file is called.';
COMMENT ON COLUMN app_data.files.mime_type IS
	'What kind of file it is.';
COMMENT ON COLUMN app_data.files.size_bytes IS
	'How big it is; null until it is known.';
COMMENT ON COLUMN app_data.files.checksum_sha256 IS
	'SHA-256 of the contents as 64 hexadecimal digits; null until it is known.';
COMMENT ON COLUMN app_data.files.storage_provider IS
	'Where the contents are: the application''s name for a store.';
COMMENT ON COLUMN app_data.files.storage_key IS
	'What the contents are called there; unique among live files of the space.';
COMMENT ON COLUMN app_data.files.status IS
	'How far the upload has come.';
COMMENT ON COLUMN app_data.files.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.files.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.files.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.files.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.files_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.files', label => 'name', relations => '{"user_id": {"name": "uploader"}}');

-- user_id has no ON DELETE SET NULL: a permission that outlived its user would become one for everyone.
CREATE TABLE app_data.file_permissions
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	file_id    uuid NOT NULL,
	user_id    uuid,
	permission app_data.file_permission_level NOT NULL DEFAULT 'read',
	granted_by uuid,
	expires_at timestamptz(3),
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT file_permissions_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT file_permissions_file_id_fkey FOREIGN KEY (space_id, file_id) REFERENCES app_data.files (space_id, id),
	CONSTRAINT file_permissions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT file_permissions_granted_by_fkey FOREIGN KEY (granted_by) REFERENCES app_data.users (id) ON DELETE SET NULL
);

CREATE UNIQUE INDEX file_permissions_file_id_user_id_key
	ON app_data.file_permissions (file_id, user_id, space_id) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.file_permissions_file_id_user_id_key IS
	'Unique among live rows: one permission a file and person, and one for everyone.';
CREATE INDEX file_permissions_space_id_file_id_idx
	ON app_data.file_permissions (space_id, file_id);
CREATE INDEX file_permissions_user_id_idx
	ON app_data.file_permissions (user_id);
CREATE INDEX file_permissions_granted_by_idx
	ON app_data.file_permissions (granted_by);

COMMENT ON TABLE app_data.file_permissions IS
	'Who may use a file beyond what their role in the space allows.';
COMMENT ON COLUMN app_data.file_permissions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.file_permissions.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.file_permissions.file_id IS
	'The file.';
COMMENT ON COLUMN app_data.file_permissions.user_id IS
	'The user who may; null for everyone in the space.';
COMMENT ON COLUMN app_data.file_permissions.permission IS
	'What is allowed.';
COMMENT ON COLUMN app_data.file_permissions.granted_by IS
	'The user who allowed it; null where that user is gone.';
COMMENT ON COLUMN app_data.file_permissions.expires_at IS
	'Until when; null for good.';
COMMENT ON COLUMN app_data.file_permissions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.file_permissions.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.file_permissions.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.file_permissions', relations => '{"file_id": {"inverse": "permissions", "through": "shared_files"}, "user_id": {"through": "shared_with"}, "granted_by": {"name": "granter", "inverse": "granted_file_permissions"}}');

CREATE TABLE app_data.message_files
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	message_id uuid NOT NULL,
	file_id    uuid NOT NULL,
	position   integer NOT NULL DEFAULT 0,
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT message_files_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT message_files_message_id_fkey FOREIGN KEY (space_id, message_id) REFERENCES app_data.messages (space_id, id),
	CONSTRAINT message_files_file_id_fkey FOREIGN KEY (space_id, file_id) REFERENCES app_data.files (space_id, id)
);

CREATE UNIQUE INDEX message_files_message_id_file_id_key
	ON app_data.message_files (message_id, file_id, space_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.message_files_message_id_file_id_key IS
	'Unique among live rows: a file goes with a message once.';
CREATE INDEX message_files_space_id_message_id_idx
	ON app_data.message_files (space_id, message_id);
CREATE INDEX message_files_file_id_idx
	ON app_data.message_files (file_id, space_id);

COMMENT ON TABLE app_data.message_files IS
	'Which files go with which message.';
COMMENT ON COLUMN app_data.message_files.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.message_files.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.message_files.message_id IS
	'The message.';
COMMENT ON COLUMN app_data.message_files.file_id IS
	'The file.';
COMMENT ON COLUMN app_data.message_files.position IS
	'Order among the message''s files.';
COMMENT ON COLUMN app_data.message_files.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.message_files.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.message_files.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.message_files');

-- sql/60_note.sql

-- note: notes in a tree of folders. appdb.folder_path() and appdb.folder_contents() read the tree; the engine keeps it one.

CREATE TABLE app_data.folders
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	parent_id  uuid,
	name       text NOT NULL,
	position   integer NOT NULL DEFAULT 0,
	metadata   jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT folders_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT folders_parent_id_fkey FOREIGN KEY (space_id, parent_id) REFERENCES app_data.folders (space_id, id),
	CONSTRAINT folders_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT folders_name_check CHECK (octet_length(name) BETWEEN 1 AND 1000),
	CONSTRAINT folders_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX folders_parent_id_name_key
	ON app_data.folders (space_id, parent_id, name) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.folders_parent_id_name_key IS
	'Unique among live rows: a name among siblings, those at the top too.';
CREATE INDEX folders_parent_id_idx
	ON app_data.folders (parent_id, space_id);

COMMENT ON TABLE app_data.folders IS
	'Folders: a tree in each space.';
COMMENT ON COLUMN app_data.folders.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.folders.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.folders.parent_id IS
	'The folder that this one is in; null at the top. Changing it moves the folder with all that is in it.';
COMMENT ON COLUMN app_data.folders.name IS
	'What the folder is called; unique among its live siblings.';
COMMENT ON COLUMN app_data.folders.position IS
	'Order among its siblings.';
COMMENT ON COLUMN app_data.folders.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.folders.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.folders.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.folders.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.folders_space_id_id_key IS
	'What foreign keys within the space refer to.';

SELECT appdb.manage('app_data.folders', label => 'name');

CREATE TABLE app_data.notes
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	folder_id  uuid,
	user_id    uuid,
	title      text NOT NULL DEFAULT '',
	content    text NOT NULL DEFAULT '',
	pinned_at  timestamptz(3),
	metadata   jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT notes_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT notes_folder_id_fkey FOREIGN KEY (space_id, folder_id) REFERENCES app_data.folders (space_id, id),
	CONSTRAINT notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT notes_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT notes_title_check CHECK (char_length(title) <= 1000),
	CONSTRAINT notes_content_check CHECK (char_length(content) <= 10000000),
	CONSTRAINT notes_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX notes_folder_id_idx
	ON app_data.notes (folder_id, space_id, id);
COMMENT ON INDEX app_data.notes_folder_id_idx IS
	'Serves the foreign key and a folder''s notes, newest first.';
CREATE INDEX notes_user_id_idx
	ON app_data.notes (user_id);

COMMENT ON TABLE app_data.notes IS
	'Notes.';
COMMENT ON COLUMN app_data.notes.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.notes.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.notes.folder_id IS
	'The folder that the note is in; null at the top.';
COMMENT ON COLUMN app_data.notes.user_id IS
	'The user who wrote it; null where that user is gone.';
COMMENT ON COLUMN app_data.notes.title IS
	'What the note is called.';
COMMENT ON COLUMN app_data.notes.content IS
	'The text.';
COMMENT ON COLUMN app_data.notes.pinned_at IS
	'When it was pinned; null for a note that is not.';
COMMENT ON COLUMN app_data.notes.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.notes.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.notes.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.notes.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.notes_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.notes', label => 'title', relations => '{"user_id": {"name": "author"}}');

-- sql/70_subscription.sql

-- subscription: what an organization or a person pays for, as the payment provider tells it.

CREATE TYPE app_data.subscription_status AS ENUM ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused');
COMMENT ON TYPE app_data.subscription_status IS
	'The state of a subscription, in the words of the payment provider (Stripe).';

CREATE TYPE app_data.billing_interval AS ENUM ('day', 'week', 'month', 'year');
COMMENT ON TYPE app_data.billing_interval IS
	'How often a subscription is paid.';

CREATE TABLE app_data.subscriptions
(
	id                       uuid PRIMARY KEY,
	organization_id          uuid,
	user_id                  uuid,
	reference_id             uuid NOT NULL,
	plan                     text NOT NULL,
	status                   app_data.subscription_status NOT NULL DEFAULT 'incomplete',
	seats                    integer,
	billing_interval         app_data.billing_interval,
	current_period_start     timestamptz(3),
	current_period_end       timestamptz(3),
	trial_start              timestamptz(3),
	trial_end                timestamptz(3),
	cancel_at_period_end     boolean NOT NULL DEFAULT false,
	cancel_at                timestamptz(3),
	canceled_at              timestamptz(3),
	ended_at                 timestamptz(3),
	provider                 text NOT NULL DEFAULT 'stripe',
	provider_customer_id     text,
	provider_subscription_id text,
	provider_schedule_id     text,
	metadata                 jsonb NOT NULL DEFAULT '{}',
	created_at               timestamptz(3) NOT NULL,
	updated_at               timestamptz(3) NOT NULL,
	deleted_at               timestamptz,
	CONSTRAINT subscriptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT subscriptions_reference_check CHECK (num_nonnulls(organization_id, user_id) = 1 AND reference_id = coalesce(organization_id, user_id)),
	CONSTRAINT subscriptions_plan_check CHECK (char_length(plan) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_seats_check CHECK (seats >= 0),
	CONSTRAINT subscriptions_current_period_check CHECK (current_period_end >= current_period_start),
	CONSTRAINT subscriptions_trial_check CHECK (trial_end >= trial_start),
	CONSTRAINT subscriptions_provider_check CHECK (char_length(provider) BETWEEN 1 AND 50),
	CONSTRAINT subscriptions_provider_customer_id_check CHECK (char_length(provider_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_provider_subscription_id_check CHECK (char_length(provider_subscription_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_provider_schedule_id_check CHECK (char_length(provider_schedule_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX subscriptions_provider_subscription_id_key
	ON app_data.subscriptions (provider, provider_subscription_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.subscriptions_provider_subscription_id_key IS
	'Unique among live rows: what the provider tells twice is written once (ON CONFLICT).';
CREATE INDEX subscriptions_reference_id_idx
	ON app_data.subscriptions (reference_id);
COMMENT ON INDEX app_data.subscriptions_reference_id_idx IS
	'Serves clients that ask by reference.';
CREATE INDEX subscriptions_organization_id_idx
	ON app_data.subscriptions (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX subscriptions_user_id_idx
	ON app_data.subscriptions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX subscriptions_provider_customer_id_idx
	ON app_data.subscriptions (provider_customer_id) WHERE provider_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.subscriptions_provider_customer_id_idx IS
	'Finds the subscriptions that a payment provider''s message is about.';

COMMENT ON TABLE app_data.subscriptions IS
	'Subscriptions of organizations and people.';
COMMENT ON COLUMN app_data.subscriptions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.subscriptions.organization_id IS
	'The organization that subscribed; null for a person''s.';
COMMENT ON COLUMN app_data.subscriptions.user_id IS
	'The user who subscribed; null for an organization''s.';
COMMENT ON COLUMN app_data.subscriptions.reference_id IS
	'Whichever of the two it is, for clients that have one column for both: filled from them, and they from it.';
COMMENT ON COLUMN app_data.subscriptions.plan IS
	'The plan by the application''s name for it.';
COMMENT ON COLUMN app_data.subscriptions.status IS
	'Its state.';
COMMENT ON COLUMN app_data.subscriptions.seats IS
	'How many people it is for; null where that does not matter.';
COMMENT ON COLUMN app_data.subscriptions.billing_interval IS
	'How often it is paid.';
COMMENT ON COLUMN app_data.subscriptions.current_period_start IS
	'Since when it is paid for.';
COMMENT ON COLUMN app_data.subscriptions.current_period_end IS
	'Until when it is paid for.';
COMMENT ON COLUMN app_data.subscriptions.trial_start IS
	'When the trial began.';
COMMENT ON COLUMN app_data.subscriptions.trial_end IS
	'When the trial ends.';
COMMENT ON COLUMN app_data.subscriptions.cancel_at_period_end IS
	'Whether it ends with the period that is paid for.';
COMMENT ON COLUMN app_data.subscriptions.cancel_at IS
	'When it is going to end.';
COMMENT ON COLUMN app_data.subscriptions.canceled_at IS
	'When it was canceled.';
COMMENT ON COLUMN app_data.subscriptions.ended_at IS
	'When it ended.';
COMMENT ON COLUMN app_data.subscriptions.provider IS
	'The payment provider.';
COMMENT ON COLUMN app_data.subscriptions.provider_customer_id IS
	'The customer there.';
COMMENT ON COLUMN app_data.subscriptions.provider_subscription_id IS
	'The subscription there; unique among live rows of a provider.';
COMMENT ON COLUMN app_data.subscriptions.provider_schedule_id IS
	'The schedule there by which the plan is going to change.';
COMMENT ON COLUMN app_data.subscriptions.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.subscriptions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.subscriptions.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.subscriptions.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.subscriptions', label => 'plan');

-- sql/80_task.sql

-- task: work to be done in the background, and what became of it.

CREATE TYPE app_data.task_status AS ENUM ('pending', 'running', 'completed', 'canceled', 'dead');
COMMENT ON TYPE app_data.task_status IS
	'Where a task stands: waiting (for its time, or to be tried again), being done, done, called off, or given up after its last attempt.';

-- A task is written three times: when it is enqueued, claimed and finished. What changes when it is claimed (status, ticket, attempts, locked_by,
-- locked_until), and on progress and heartbeats, stands in no index, nor in the predicate of one, so that these updates are HOT: they add to no index,
-- and leave little behind. The room in the pages is for them. Hence column "queued", which claiming leaves alone, and not the status, says what is in the
-- index of ready tasks. Only tasks of a group write to an index then (group_slot). Few tasks belong to a space, a user or a group in most applications:
-- those indexes leave out the nulls. What changes comes last in a row, since what is the same before and after it is not written to the log again; what
-- indexes hold and is of fixed length comes first, where it is found at once.
CREATE TABLE app_data.tasks
(
	id               uuid PRIMARY KEY WITH (fillfactor = 50),
	run_at           timestamptz(3) NOT NULL DEFAULT date_trunc('milliseconds', now()),
	priority         integer NOT NULL DEFAULT 0,
	max_attempts     integer NOT NULL DEFAULT 20,
	kind             text NOT NULL,
	queue            text NOT NULL DEFAULT 'default',
	payload          jsonb NOT NULL DEFAULT '{}',
	space_id         uuid,
	user_id          uuid,
	dedupe_key       text,
	backoff          interval,
	expires_at       timestamptz(3),
	group_key        text,
	group_limit      integer,
	depends_on       uuid[],
	waits_for        integer NOT NULL DEFAULT 0,
	status           app_data.task_status NOT NULL DEFAULT 'pending',
	attempts         integer NOT NULL DEFAULT 0,
	ticket           integer NOT NULL DEFAULT 0,
	progress         real NOT NULL DEFAULT 0,
	queued           boolean NOT NULL DEFAULT true,
	parked           boolean NOT NULL DEFAULT false,
	has_dependents   boolean NOT NULL DEFAULT false,
	cancel_requested boolean NOT NULL DEFAULT false,
	group_slot       integer,
	locked_until     timestamptz(3),
	finished_at      timestamptz(3),
	locked_by        text,
	progress_message text,
	result           jsonb,
	last_error       text,
	errors           jsonb,
	created_at       timestamptz(3) NOT NULL,
	updated_at       timestamptz(3) NOT NULL,
	deleted_at       timestamptz,
	CONSTRAINT tasks_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT tasks_kind_check CHECK (octet_length(kind) BETWEEN 1 AND 255),
	CONSTRAINT tasks_queue_check CHECK (octet_length(queue) BETWEEN 1 AND 255),
	CONSTRAINT tasks_attempts_check CHECK (attempts >= 0),
	CONSTRAINT tasks_max_attempts_check CHECK (max_attempts >= 1),
	CONSTRAINT tasks_progress_check CHECK (progress BETWEEN 0 AND 1),
	CONSTRAINT tasks_progress_message_check CHECK (char_length(progress_message) <= 1000),
	CONSTRAINT tasks_last_error_check CHECK (char_length(last_error) <= 100000),
	CONSTRAINT tasks_locked_by_check CHECK (char_length(locked_by) BETWEEN 1 AND 255),
	CONSTRAINT tasks_dedupe_key_check CHECK (octet_length(dedupe_key) BETWEEN 1 AND 1000),
	CONSTRAINT tasks_backoff_check CHECK (backoff >= '0'),
	CONSTRAINT tasks_group_key_check CHECK (octet_length(group_key) BETWEEN 1 AND 1000),
	CONSTRAINT tasks_group_limit_check CHECK (group_limit >= 1),
	CONSTRAINT tasks_waits_for_check CHECK (waits_for >= 0)
) WITH (fillfactor = 45);

CREATE INDEX tasks_ready_idx
	ON app_data.tasks (queue, priority DESC, space_id, run_at, id) WITH (deduplicate_items = off) WHERE queued;
COMMENT ON INDEX app_data.tasks_ready_idx IS
	'What is ready or being done, in the order in which it is begun, space by space; neither finished tasks nor those for later, or parked, are in it.';
CREATE INDEX tasks_later_idx
	ON app_data.tasks (queue, run_at) WHERE NOT queued AND NOT parked AND finished_at IS NULL AND waits_for = 0;
COMMENT ON INDEX app_data.tasks_later_idx IS
	'What waits for its time.';
CREATE INDEX tasks_expires_at_idx
	ON app_data.tasks (expires_at) WHERE expires_at IS NOT NULL AND finished_at IS NULL;
COMMENT ON INDEX app_data.tasks_expires_at_idx IS
	'What is not worth beginning after some time, by that.';
CREATE INDEX tasks_depends_on_idx
	ON app_data.tasks USING gin (depends_on) WHERE waits_for > 0;
COMMENT ON INDEX app_data.tasks_depends_on_idx IS
	'What waits for other tasks, by those.';
CREATE INDEX tasks_finished_at_idx
	ON app_data.tasks (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON INDEX app_data.tasks_finished_at_idx IS
	'Finished tasks, for what is past its retention and for the throughput of the last hour.';
CREATE INDEX tasks_group_key_idx
	ON app_data.tasks (group_key, priority DESC, run_at, id) WHERE group_key IS NOT NULL AND finished_at IS NULL;
COMMENT ON INDEX app_data.tasks_group_key_idx IS
	'What each group has to do, in its order.';
CREATE INDEX tasks_parked_idx
	ON app_data.tasks (group_key, priority DESC, run_at, id) WHERE parked;
COMMENT ON INDEX app_data.tasks_parked_idx IS
	'What waits for a place in its group outside of the queue.';
CREATE UNIQUE INDEX tasks_group_slot_key
	ON app_data.tasks (group_key, group_slot) WHERE group_slot IS NOT NULL AND deleted_at IS NULL;
COMMENT ON INDEX app_data.tasks_group_slot_key IS
	'Unique among live rows: each running task of a group has one of its slots, so that there are never more than the limit.';
CREATE UNIQUE INDEX tasks_dedupe_key_key
	ON app_data.tasks (space_id, kind, dedupe_key) NULLS NOT DISTINCT WHERE dedupe_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL;
COMMENT ON INDEX app_data.tasks_dedupe_key_key IS
	'Unique among live rows: a task with this key waits or runs once in its space.';
CREATE INDEX tasks_space_id_idx
	ON app_data.tasks (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX tasks_user_id_idx
	ON app_data.tasks (user_id) WHERE user_id IS NOT NULL;

COMMENT ON TABLE app_data.tasks IS
	'Work to be done in the background. appdb.enqueue() adds to it.';
COMMENT ON COLUMN app_data.tasks.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.tasks.kind IS
	'What is to be done: the application''s name for it.';
COMMENT ON COLUMN app_data.tasks.queue IS
	'The queue that it waits in; workers choose theirs.';
COMMENT ON COLUMN app_data.tasks.payload IS
	'What it is to be done with.';
COMMENT ON COLUMN app_data.tasks.status IS
	'Where it stands.';
COMMENT ON COLUMN app_data.tasks.priority IS
	'Higher goes first.';
COMMENT ON COLUMN app_data.tasks.run_at IS
	'When it may begin.';
COMMENT ON COLUMN app_data.tasks.attempts IS
	'How often it was begun.';
COMMENT ON COLUMN app_data.tasks.max_attempts IS
	'How often it may be begun before it is given up.';
COMMENT ON COLUMN app_data.tasks.progress IS
	'How far it has come, from 0 to 1.';
COMMENT ON COLUMN app_data.tasks.progress_message IS
	'What it is doing, for people to see.';
COMMENT ON COLUMN app_data.tasks.result IS
	'What came of it.';
COMMENT ON COLUMN app_data.tasks.last_error IS
	'Why the last attempt failed.';
COMMENT ON COLUMN app_data.tasks.locked_by IS
	'The worker that is doing it.';
COMMENT ON COLUMN app_data.tasks.locked_until IS
	'Until when that worker has it; afterwards another may.';
COMMENT ON COLUMN app_data.tasks.queued IS
	'Whether it is in the queue: ready or being done. False while it waits for its time or for other tasks, while it is parked, and when it is finished.';
COMMENT ON COLUMN app_data.tasks.parked IS
	'Whether it was taken out of the queue because its group has no place; it comes back when one is free.';
COMMENT ON COLUMN app_data.tasks.ticket IS
	'The number of its lease: grows with each claim. A worker shows it to say that the task is still its own.';
COMMENT ON COLUMN app_data.tasks.backoff IS
	'How long it waits after the first failure; twice as long after each further one, up to a day. Null: 10 seconds.';
COMMENT ON COLUMN app_data.tasks.expires_at IS
	'When it is no longer worth beginning: it is canceled instead.';
COMMENT ON COLUMN app_data.tasks.group_key IS
	'Tasks with the same key run no more than group_limit at a time, and begin in their order.';
COMMENT ON COLUMN app_data.tasks.group_limit IS
	'How many tasks of its group may run at a time. Null: one.';
COMMENT ON COLUMN app_data.tasks.group_slot IS
	'Which of the group''s places it takes while it runs, and between its attempts where the group has but one.';
COMMENT ON COLUMN app_data.tasks.depends_on IS
	'The tasks that have to be completed before it begins.';
COMMENT ON COLUMN app_data.tasks.waits_for IS
	'How many of those are not completed yet.';
COMMENT ON COLUMN app_data.tasks.has_dependents IS
	'Whether other tasks may wait for it.';
COMMENT ON COLUMN app_data.tasks.cancel_requested IS
	'Whether it was called off while it ran: its worker is told at the next heartbeat, and it is not tried again.';
COMMENT ON COLUMN app_data.tasks.errors IS
	'What went wrong in each attempt, oldest first: an array of objects with "at", "attempt", "worker" and "error"; the last hundred.';
COMMENT ON COLUMN app_data.tasks.finished_at IS
	'When it was completed, canceled or given up.';
COMMENT ON COLUMN app_data.tasks.dedupe_key IS
	'Unique among live tasks of the same space and kind that are not finished.';
COMMENT ON COLUMN app_data.tasks.space_id IS
	'The space that it is done for; null for the application''s own.';
COMMENT ON COLUMN app_data.tasks.user_id IS
	'The user that it is done for; null for nobody in particular, and where that user is gone.';
COMMENT ON COLUMN app_data.tasks.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.tasks.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.tasks.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.tasks', label => 'kind');

-- == schedules ==============================================================

CREATE TYPE app_data.missed_runs AS ENUM ('skip', 'once', 'all');
COMMENT ON TYPE app_data.missed_runs IS
	'What is done about times that passed while nobody looked: nothing, one task for all of them, or a task for each.';

CREATE TABLE app_data.schedules
(
	id           uuid PRIMARY KEY,
	name         text NOT NULL,
	cron         text NOT NULL,
	time_zone    text NOT NULL DEFAULT 'UTC',
	kind         text NOT NULL,
	payload      jsonb NOT NULL DEFAULT '{}',
	queue        text NOT NULL DEFAULT 'default',
	priority     integer NOT NULL DEFAULT 0,
	max_attempts integer NOT NULL DEFAULT 20,
	missed       app_data.missed_runs NOT NULL DEFAULT 'once',
	paused       boolean NOT NULL DEFAULT false,
	space_id     uuid,
	user_id      uuid,
	next_run_at  timestamptz(3),
	last_run_at  timestamptz(3),
	last_task_id uuid,
	last_error   text,
	created_at   timestamptz(3) NOT NULL,
	updated_at   timestamptz(3) NOT NULL,
	deleted_at   timestamptz,
	CONSTRAINT schedules_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT schedules_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT schedules_name_check CHECK (octet_length(name) BETWEEN 1 AND 255),
	CONSTRAINT schedules_cron_check CHECK (octet_length(cron) BETWEEN 1 AND 255),
	CONSTRAINT schedules_time_zone_check CHECK (octet_length(time_zone) BETWEEN 1 AND 255),
	CONSTRAINT schedules_kind_check CHECK (octet_length(kind) BETWEEN 1 AND 255),
	CONSTRAINT schedules_queue_check CHECK (octet_length(queue) BETWEEN 1 AND 255),
	CONSTRAINT schedules_max_attempts_check CHECK (max_attempts >= 1),
	CONSTRAINT schedules_last_error_check CHECK (char_length(last_error) <= 100000)
);

CREATE UNIQUE INDEX schedules_name_key
	ON app_data.schedules (name) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.schedules_name_key IS
	'Unique among live rows.';
CREATE INDEX schedules_next_run_at_idx
	ON app_data.schedules (next_run_at) WHERE NOT paused;
COMMENT ON INDEX app_data.schedules_next_run_at_idx IS
	'What is due next.';
CREATE INDEX schedules_space_id_idx
	ON app_data.schedules (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX schedules_user_id_idx
	ON app_data.schedules (user_id) WHERE user_id IS NOT NULL;

COMMENT ON TABLE app_data.schedules IS
	'Tasks that are to be enqueued again and again. appdb.schedule() adds to it.';
COMMENT ON COLUMN app_data.schedules.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.schedules.name IS
	'What it is called; unique among live schedules.';
COMMENT ON COLUMN app_data.schedules.cron IS
	'When, as cron says it: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly.';
COMMENT ON COLUMN app_data.schedules.time_zone IS
	'The time zone in which cron is read.';
COMMENT ON COLUMN app_data.schedules.kind IS
	'The kind of the tasks.';
COMMENT ON COLUMN app_data.schedules.payload IS
	'Their payload; "scheduled_for" is added to it where it is an object.';
COMMENT ON COLUMN app_data.schedules.queue IS
	'Their queue.';
COMMENT ON COLUMN app_data.schedules.priority IS
	'Their priority.';
COMMENT ON COLUMN app_data.schedules.max_attempts IS
	'How often each may be begun.';
COMMENT ON COLUMN app_data.schedules.missed IS
	'What is done about times that passed while nobody looked.';
COMMENT ON COLUMN app_data.schedules.paused IS
	'Whether it rests.';
COMMENT ON COLUMN app_data.schedules.space_id IS
	'The space of the tasks; null for the application''s own.';
COMMENT ON COLUMN app_data.schedules.user_id IS
	'The user of the tasks; null for nobody in particular, and where that user is gone.';
COMMENT ON COLUMN app_data.schedules.next_run_at IS
	'When the next task is due; null if never again.';
COMMENT ON COLUMN app_data.schedules.last_run_at IS
	'The time of the last task that was enqueued: when it was due.';
COMMENT ON COLUMN app_data.schedules.last_task_id IS
	'That task.';
COMMENT ON COLUMN app_data.schedules.last_error IS
	'Why the last task could not be enqueued; null if it could.';
COMMENT ON COLUMN app_data.schedules.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.schedules.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.schedules.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.schedules', label => 'name');

$appdb_tables$::pg_catalog.text $appdb_fn$;
COMMENT ON FUNCTION appdb.tables_sql() IS 'The statements that make the built-in tables; appdb.install() executes them';

-- The changes of the tables from version to version, as text: what one
-- transaction does, and what appdb.migrate_online() does.

CREATE FUNCTION appdb.migrations_sql(
	OUT from_version pg_catalog.text, OUT to_version pg_catalog.text,
	OUT statements pg_catalog.text, OUT online pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
	AS $appdb_fn$
	SELECT m.* FROM (VALUES (NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text)
	) m (f, t, s, o) WHERE m.f IS NOT NULL
$appdb_fn$;
COMMENT ON FUNCTION appdb.migrations_sql() IS
	'The statements that bring tables of a version to the next one: at once, and beside load; appdb.migrate() and appdb.migrate_online() execute them';

-- Makes the tables, or attaches to those that are there.

SELECT appdb.install();
