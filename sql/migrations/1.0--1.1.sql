-- The tables of 1.1: full-text search, the messages of a chat by its id alone, memberships where there are many, and tasks that wait for many.
SET LOCAL lock_timeout = '10s';

-- ASCII alone can be said in every encoding.  A live view takes the comments
-- of its table that it has not of its own.
DO $$
BEGIN
	IF (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('appdb.accounts') AND a.attname = 'provider_id')
	   = (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('app_data.accounts') AND a.attname = 'provider_id') THEN
		COMMENT ON COLUMN appdb.accounts.provider_id IS NULL;
	END IF;
	IF (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('appdb.messages') AND a.attname = 'parts')
	   = (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('app_data.messages') AND a.attname = 'parts') THEN
		COMMENT ON COLUMN appdb.messages.parts IS NULL;
	END IF;
	IF (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('appdb.tasks') AND a.attname = 'waits_for')
	   = (SELECT col_description(a.attrelid, a.attnum) FROM pg_attribute a WHERE a.attrelid = to_regclass('app_data.tasks') AND a.attname = 'waits_for') THEN
		COMMENT ON COLUMN appdb.tasks.waits_for IS NULL;
	END IF;
END $$;
COMMENT ON COLUMN app_data.accounts.provider_id IS
	'The provider by the application''s name for it: github, google, credential ...';
COMMENT ON COLUMN app_data.messages.parts IS
	'The message in parts (text, tool calls, reasoning, files ...) as a JSON array, for clients that keep it so.';

-- Tasks that wait for thousands of others.
DO $$
BEGIN
	IF to_regclass('app_data.tasks') IS NOT NULL THEN
		ALTER TABLE app_data.tasks ADD COLUMN waited_for integer;
		COMMENT ON COLUMN app_data.tasks.waits_for IS
			'How many of those are not completed yet; of many, less what waited_for counts.';
		COMMENT ON COLUMN app_data.tasks.waited_for IS
			'How many of waits_for have been completed since that was written, which is done once where there are many; null if none.';
	END IF;
END $$;

-- A publication of all tables refuses updates of those that have no identity.
ALTER TABLE app_data.schema_version REPLICA IDENTITY FULL;

-- Relation functions that were made where the owner's default privileges keep functions from PUBLIC.
-- lint: allow dynamic: which functions there are, each database decides for itself, and nothing but GRANT EXECUTE is built
DO $$
DECLARE
	fn regprocedure;
BEGIN
	FOR fn IN
		SELECT p.oid FROM pg_proc p JOIN pg_default_acl d ON d.defaclrole = p.proowner AND d.defaclnamespace = 0 AND d.defaclobjtype = 'f'
		WHERE p.pronamespace = 'appdb'::regnamespace AND pg_get_userbyid(p.proowner) = current_user
		  AND starts_with(p.prosrc, '/* appdb relation */') AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', fn);
	END LOOP;
END $$;

-- == online

CREATE INDEX CONCURRENTLY chats_search_idx
	ON app_data.chats USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char")
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.chats_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';
CREATE INDEX CONCURRENTLY messages_search_idx
	ON app_data.messages USING gin
	((to_tsvector('english'::regconfig, "left"(content, 100000))
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.messages_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';
CREATE INDEX CONCURRENTLY files_search_idx
	ON app_data.files USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(translate(name, '._-'::text, '   '::text), ''::text)), 'A'::"char")
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.files_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';
CREATE INDEX CONCURRENTLY notes_search_idx
	ON app_data.notes USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char")
		|| to_tsvector('english'::regconfig, "left"(content, 100000))
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.notes_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';
CREATE INDEX CONCURRENTLY messages_chat_id_id_idx
	ON app_data.messages (chat_id, id);
COMMENT ON INDEX app_data.messages_chat_id_id_idx IS
	'Serves the messages of a chat, newest first, where a query does not say its space.';
CREATE INDEX CONCURRENTLY members_owners_idx
	ON app_data.members (organization_id) WHERE role = 'owner';
COMMENT ON INDEX app_data.members_owners_idx IS
	'Says who else owns an organization, however many members it has.';
CREATE INDEX CONCURRENTLY space_members_owners_idx
	ON app_data.space_members (space_id) WHERE role = 'owner';
COMMENT ON INDEX app_data.space_members_owners_idx IS
	'Says who else owns a space, however many members it has.';
CREATE INDEX CONCURRENTLY invitations_lower_email_idx
	ON app_data.invitations (lower(email));
COMMENT ON INDEX app_data.invitations_lower_email_idx IS
	'Finds what is open for somebody who is removed, or invited again, whatever the case.';
CREATE INDEX CONCURRENTLY file_permissions_everyone_idx
	ON app_data.file_permissions (space_id) WHERE user_id IS NULL;
COMMENT ON INDEX app_data.file_permissions_everyone_idx IS
	'Finds the permissions for everyone of the caller''s spaces, however many there are of other spaces and for single users.';
