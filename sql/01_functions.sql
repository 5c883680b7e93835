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
#variable_conflict use_variable
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
	-- a place is where one is among all of its depth, for itself and each folder above: numbers are compared and copied fast
	WITH RECURSIVE tree (kind, space_id, id, parent_id, name, depth, path, number, place, above) AS (
		SELECT 'folder', f.space_id, f.id, f.parent_id, f.name, 0, NULL::text, 0::bigint, ARRAY[]::bigint[], ARRAY[f.id]
		FROM appdb.folders AS f WHERE f.id = folder_contents.folder_id
		UNION ALL
		SELECT e.kind, e.space_id, e.id, e.parent_id, e.name, t.depth + 1, concat_ws('/', t.path, e.name),
			row_number() OVER entries, t.place || ARRAY[row_number() OVER entries], CASE e.kind WHEN 'folder' THEN t.above || ARRAY[e.id] END
		FROM tree AS t CROSS JOIN LATERAL (
			-- none below itself, which cannot be, except where triggers did not fire
			SELECT 'folder', f.space_id, f.id, f.parent_id, f.name, f.position
			FROM appdb.folders AS f WHERE f.space_id = t.space_id AND f.parent_id = t.id AND f.id <> ALL (t.above)
			UNION ALL
			SELECT 'note', n.space_id, n.id, n.folder_id, n.title, 0
			FROM appdb.notes AS n WHERE n.space_id = t.space_id AND n.folder_id = t.id
		) AS e (kind, space_id, id, parent_id, name, position)
		WHERE t.kind = 'folder'
		WINDOW entries AS (ORDER BY t.number, e.position, e.name, e.kind, e.id)
	)
	SELECT t.kind, t.id, t.parent_id, t.name, t.depth, t.path FROM tree AS t WHERE t.depth > 0 ORDER BY t.place
$$;
COMMENT ON FUNCTION appdb.folder_contents(uuid) IS
	'All folders and notes below a folder, each after the folder that it is in and before its next sibling, siblings by position (a note has 0) and name; depth and path count from there';

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

	-- domains that the application does not need may have been dropped
	IF to_regclass('app_data.messages') IS NOT NULL THEN
		-- inserting a message cannot make a cycle except on purpose, and chats are long: only moving is looked at
		CREATE OR REPLACE TRIGGER appdb_forbid_cycles
			AFTER UPDATE ON app_data.messages
			FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL AND NEW.parent_id IS DISTINCT FROM OLD.parent_id)
			EXECUTE FUNCTION appdb.forbid_cycles('parent_id', 'space_id');
		COMMENT ON TRIGGER appdb_forbid_cycles ON app_data.messages IS
			'No message is moved below itself';
	END IF;

	IF to_regclass('app_data.folders') IS NOT NULL THEN
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
	END IF;

	IF to_regclass('app_data.subscriptions') IS NOT NULL THEN
		CREATE OR REPLACE TRIGGER appdb_reference
			BEFORE INSERT OR UPDATE OF reference_id, organization_id, user_id ON app_data.subscriptions
			FOR EACH ROW EXECUTE FUNCTION appdb.subscription_reference();
		COMMENT ON TRIGGER appdb_reference ON app_data.subscriptions IS
			'reference_id is organization_id or user_id';
	END IF;

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
	IF to_regclass('app_data.chats') IS NOT NULL THEN
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
	END IF;
	IF to_regclass('app_data.messages') IS NOT NULL THEN
		CREATE OR REPLACE TRIGGER appdb_author_chat
			BEFORE UPDATE OF chat_id ON app_data.messages
			FOR EACH ROW WHEN (OLD.chat_id IS DISTINCT FROM NEW.chat_id)
			EXECUTE FUNCTION appdb.keep_author('chat_id');
		COMMENT ON TRIGGER appdb_author_chat ON app_data.messages IS
			'Which chat a message is in is for its author, the chat''s and admins to change';
	END IF;
	IF to_regclass('app_data.file_permissions') IS NOT NULL THEN
		CREATE OR REPLACE TRIGGER appdb_permissions
			AFTER INSERT OR DELETE OR UPDATE OF space_id, file_id, user_id, permission, expires_at, deleted_at ON app_data.file_permissions
			FOR EACH ROW EXECUTE FUNCTION appdb.membership_changed('files');
		COMMENT ON TRIGGER appdb_permissions ON app_data.file_permissions IS
			'Every backend forgets who may do what with single files';
		ALTER TABLE app_data.file_permissions ENABLE ALWAYS TRIGGER appdb_permissions;
		CREATE OR REPLACE TRIGGER appdb_author_granted
			BEFORE UPDATE OF granted_by ON app_data.file_permissions
			FOR EACH ROW WHEN (OLD.granted_by IS DISTINCT FROM NEW.granted_by)
			EXECUTE FUNCTION appdb.keep_author('granted_by');
		COMMENT ON TRIGGER appdb_author_granted ON app_data.file_permissions IS
			'A permission is given in one''s own name';
	END IF;

	-- what the engine itself keeps is as easily lost
	FOR own IN SELECT o AS name FROM unnest(appdb._own_tables()) o LOOP
		EXECUTE format('CREATE OR REPLACE TRIGGER appdb_truncate BEFORE TRUNCATE ON app_data.%I '
					   'FOR EACH STATEMENT EXECUTE FUNCTION appdb.refuse_truncate()', own.name);
		EXECUTE format('COMMENT ON TRIGGER appdb_truncate ON app_data.%I IS %L', own.name,
					   'Refuses TRUNCATE unless appdb.allow_drop is on');
	END LOOP;

	PERFORM appdb._attach_membership();

	IF to_regclass('appdb.folders') IS NOT NULL THEN
		-- of a row of the live view, which only exists now: not members
		CREATE OR REPLACE FUNCTION appdb.path(appdb.folders) RETURNS text
			LANGUAGE sql STABLE PARALLEL SAFE
			AS 'SELECT appdb.folder_path($1.id)';
		IF NOT has_function_privilege('public', 'appdb.path(appdb.folders)', 'EXECUTE') THEN
			GRANT EXECUTE ON FUNCTION appdb.path(appdb.folders) TO PUBLIC;
		END IF;
		COMMENT ON FUNCTION appdb.path(appdb.folders) IS
			'The names of the folder and of all above it, from the top, with slashes between';
	END IF;

	IF to_regclass('app_data.tasks') IS NOT NULL THEN
		-- whoever sets a status by hand need not know what goes with it
		CREATE OR REPLACE TRIGGER appdb_task_state
			BEFORE INSERT OR UPDATE OF status ON app_data.tasks
			FOR EACH ROW WHEN ((NEW.status IN ('completed', 'canceled', 'dead')) IS DISTINCT FROM (NEW.finished_at IS NOT NULL AND NOT NEW.queued))
			EXECUTE FUNCTION appdb.task_state();
		COMMENT ON TRIGGER appdb_task_state ON app_data.tasks IS
			'A task that is finished is not in the queue, and says when it was';
		CREATE OR REPLACE TRIGGER appdb_task_restored
			BEFORE UPDATE OF deleted_at ON app_data.tasks
			FOR EACH ROW WHEN (NEW.deleted_at IS NULL AND OLD.deleted_at IS NOT NULL AND (NEW.parked OR NEW.group_slot IS NOT NULL))
			EXECUTE FUNCTION appdb.task_restored();
		COMMENT ON TRIGGER appdb_task_restored ON app_data.tasks IS
			'A deleted task that claims had taken out of the queue is in it again when it is restored; one whose place in its group has been taken waits for another';
		CREATE OR REPLACE TRIGGER appdb_task_regrouped
			BEFORE UPDATE OF queue, group_key, group_limit ON app_data.tasks
			FOR EACH ROW WHEN (OLD.parked AND NEW.parked AND NEW.deleted_at IS NULL)
			EXECUTE FUNCTION appdb.task_restored();
		COMMENT ON TRIGGER appdb_task_regrouped ON app_data.tasks IS
			'A task that was taken out of the queue because its group had no place is in it again when its group, its limit or its queue is another';
		-- tables of 1.0 do not have it before they are migrated
		IF EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'app_data.tasks'::regclass AND a.attname = 'waited_for') THEN
			CREATE OR REPLACE TRIGGER appdb_task_waits
				BEFORE UPDATE OF waits_for ON app_data.tasks
				FOR EACH ROW WHEN (OLD.waited_for IS NOT NULL)
				EXECUTE FUNCTION appdb.task_waits();
			COMMENT ON TRIGGER appdb_task_waits ON app_data.tasks IS
				'Once waits_for is written, nothing is to be taken off it';
		END IF;
	END IF;

	-- what roles were given of the schema and the functions; manage() sees to tables and views
	FOR own IN
		SELECT r.rolname AS role FROM app_data.access a JOIN pg_roles r ON r.rolname = a.role WHERE r.rolname <> current_user
	LOOP
		EXECUTE format('GRANT USAGE ON SCHEMA app_data TO %I', own.role);
	END LOOP;
	FOR own IN
		SELECT a.role, f AS signature
		FROM app_data.access a JOIN pg_roles r ON r.rolname = a.role, unnest(appdb._grant_functions(a.level)) f
		WHERE r.rolname <> current_user
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', own.signature, own.role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.attach_domains() IS
	'Makes the triggers and functions of the built-in tables that are theirs alone; appdb.install() calls it';
