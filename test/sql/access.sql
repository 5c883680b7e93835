-- Row security: what a user of one tenant can see, change and learn of another.
SET client_min_messages = warning;
CREATE ROLE regress_app;
CREATE ROLE regress_readonly;
CREATE ROLE regress_service;
SELECT appdb.grant_access('regress_app', 'app'), appdb.grant_access('regress_readonly', 'readonly'), appdb.grant_access('regress_service', 'service');

-- == refused ================================================================
SELECT appdb.grant_access('regress_app', 'all');
SELECT appdb.grant_access('regress_nobody', 'app');
SELECT appdb.grant_access(current_user, 'app');

-- == two tenants, rows in every table =======================================
-- made by the role that acts for any user
SET ROLE regress_service;
CREATE FUNCTION pg_temp.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.u(1), 'Ann', 'ann@a.example'), (pg_temp.u(2), 'Bob', 'bob@b.example'), (pg_temp.u(3), 'Vic', 'vic@a.example'), (pg_temp.u(4), 'Eve', 'eve@a.example');
INSERT INTO appdb.accounts (user_id, provider_id, account_id) SELECT id, 'credential', id FROM appdb.users;
INSERT INTO appdb.sessions (user_id, token, expires_at) SELECT id, 'token of ' || name, now() + '1 day'::interval FROM appdb.users;
INSERT INTO appdb.verifications (identifier, value, expires_at) VALUES ('x', 'y', now() + '1 day'::interval);
INSERT INTO appdb.organizations (id, name, slug) VALUES (pg_temp.u(11), 'A', 'a'), (pg_temp.u(12), 'B', 'b');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (pg_temp.u(11), pg_temp.u(1), 'owner'), (pg_temp.u(12), pg_temp.u(2), 'owner');
INSERT INTO appdb.spaces (id, organization_id, name, slug) VALUES (pg_temp.u(21), pg_temp.u(11), 'A', 'a'), (pg_temp.u(22), pg_temp.u(12), 'B', 'b');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (pg_temp.u(21), pg_temp.u(1), 'owner'), (pg_temp.u(22), pg_temp.u(2), 'owner'), (pg_temp.u(21), pg_temp.u(3), 'viewer'), (pg_temp.u(21), pg_temp.u(4), 'editor');
INSERT INTO appdb.invitations (organization_id, email, role, expires_at) VALUES (pg_temp.u(11), 'new@a.example', 'member', now() + '1 day'::interval), (pg_temp.u(12), 'new@b.example', 'member', now() + '1 day'::interval);
INSERT INTO appdb.chats (id, space_id, user_id, title) SELECT pg_temp.u(30 + n), pg_temp.u(20 + n), pg_temp.u(n), 'chat' FROM generate_series(1, 2) n;
INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role, content) SELECT pg_temp.u(40 + n), pg_temp.u(20 + n), pg_temp.u(30 + n), pg_temp.u(n), 'user', 'message' FROM generate_series(1, 2) n;
INSERT INTO appdb.files (id, space_id, user_id, name, mime_type, size_bytes, storage_provider, storage_key) SELECT pg_temp.u(50 + n), pg_temp.u(20 + n), pg_temp.u(n), 'file', 'text/plain', 1, 's3', 'k' FROM generate_series(1, 2) n;
INSERT INTO appdb.file_permissions (space_id, file_id, user_id) SELECT pg_temp.u(20 + n), pg_temp.u(50 + n), pg_temp.u(n) FROM generate_series(1, 2) n;
INSERT INTO appdb.message_files (space_id, message_id, file_id) SELECT pg_temp.u(20 + n), pg_temp.u(40 + n), pg_temp.u(50 + n) FROM generate_series(1, 2) n;
INSERT INTO appdb.folders (id, space_id, name) SELECT pg_temp.u(60 + n), pg_temp.u(20 + n), 'folder' FROM generate_series(1, 2) n;
INSERT INTO appdb.notes (id, space_id, folder_id, user_id, title) SELECT pg_temp.u(70 + n), pg_temp.u(20 + n), pg_temp.u(60 + n), pg_temp.u(n), 'note' FROM generate_series(1, 2) n;
INSERT INTO appdb.subscriptions (organization_id, plan, status) SELECT pg_temp.u(10 + n), 'team', 'active' FROM generate_series(1, 2) n;
INSERT INTO appdb.schedules (name, cron, kind, space_id, user_id, next_run_at) SELECT 'nightly ' || n, '0 3 * * *', 'work', pg_temp.u(20 + n), pg_temp.u(n), now() FROM generate_series(1, 2) n;
INSERT INTO appdb.tasks (kind, space_id, user_id) SELECT 'work', pg_temp.u(20 + n), pg_temp.u(n) FROM generate_series(1, 2) n;
RESET ROLE;

-- every managed table has rows, row security and, but for secrets, a policy
SELECT m.entity FROM appdb.managed m JOIN pg_class c ON c.oid = m.entity
WHERE NOT c.relrowsecurity
   OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'appdb_select') AND c.relname <> 'verifications';
CREATE FUNCTION pg_temp.empty() RETURNS SETOF regclass LANGUAGE plpgsql AS $$
DECLARE
	e regclass;
	any_row bool;
BEGIN
	FOR e IN SELECT m.entity FROM appdb.managed m LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM %s)', e) INTO any_row;
		IF NOT any_row THEN
			RETURN NEXT e;
		END IF;
	END LOOP;
END
$$;
SELECT * FROM pg_temp.empty();

-- == nobody =================================================================
-- no identity: no rows, by any role of an application, through any view or table
CREATE TEMP TABLE seen (who text, entity text, rows bigint);
GRANT ALL ON seen TO PUBLIC;
CREATE FUNCTION pg_temp.look(who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	e record;
	n bigint;
BEGIN
	FOR e IN SELECT m.entity::text AS name, m.entity FROM appdb.managed m UNION ALL SELECT m.live_view::text, m.entity FROM appdb.managed m LOOP
		BEGIN
			EXECUTE format('SELECT count(*) FROM %s', e.name) INTO n;
			INSERT INTO seen VALUES (who, e.name, n);
		EXCEPTION WHEN insufficient_privilege THEN
			INSERT INTO seen VALUES (who, e.name, -1);
		END;
	END LOOP;
END
$$;
SET ROLE regress_app;
SELECT pg_temp.look('nobody');
SET ROLE regress_readonly;
SELECT pg_temp.look('nobody, read only');
RESET ROLE;
SELECT who, entity, rows FROM seen WHERE rows > 0;
SELECT entity FROM seen WHERE who = 'nobody' AND rows < 0 ORDER BY 1;

-- == Ann sees hers, Bob his =================================================
BEGIN;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SET LOCAL ROLE regress_app;
SELECT pg_temp.look('Ann');
COMMIT;
BEGIN;
SELECT appdb.impersonate(pg_temp.u(2)) \gset
SET LOCAL ROLE regress_app;
SELECT pg_temp.look('Bob');
COMMIT;
SELECT a.entity, a.rows AS ann, b.rows AS bob FROM seen a JOIN seen b USING (entity) WHERE a.who = 'Ann' AND b.who = 'Bob' AND a.entity LIKE 'appdb.%' ORDER BY 1;
-- a view shows what the table does
SELECT v.who, v.entity, v.rows, t.rows FROM seen v JOIN seen t ON t.who = v.who AND t.entity = replace(v.entity, 'appdb.', 'app_data.') WHERE v.entity LIKE 'appdb.%' AND v.rows <> t.rows;

-- == Ann at Bob's ===========================================================
-- generated: change and delete every row, through the view and directly
CREATE TEMP TABLE tried (entity text, what text, result text);
GRANT ALL ON tried TO PUBLIC;
CREATE FUNCTION pg_temp.try(what text, entity text, sql text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE sql;
	GET DIAGNOSTICS n = ROW_COUNT;
	INSERT INTO tried VALUES (entity, what, n || ' rows');
	-- undo
	RAISE EXCEPTION 'undo';
EXCEPTION
	WHEN raise_exception THEN
		INSERT INTO tried VALUES (entity, what, n || ' rows');
	WHEN OTHERS THEN
		INSERT INTO tried VALUES (entity, what, SQLSTATE);
END
$$;
BEGIN;
-- what is Bob's, as everybody could guess it
CREATE TEMP TABLE target ON COMMIT DROP AS
	SELECT m.entity, m.live_view, (SELECT CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = m.entity AND attname = 'space_id' AND attnotnull) THEN 'space_id = pg_temp.u(22)'
		WHEN m.name IN ('users', 'organizations', 'spaces') THEN 'id IN (pg_temp.u(2), pg_temp.u(12), pg_temp.u(22))'
		WHEN m.name IN ('members', 'invitations', 'subscriptions') THEN 'organization_id = pg_temp.u(12)'
		ELSE 'user_id = pg_temp.u(2)' END) AS condition
	FROM appdb.managed m WHERE m.name <> 'verifications';
GRANT ALL ON target TO PUBLIC;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SET LOCAL ROLE regress_app;
SELECT count(pg_temp.try('update view', live_view::text, format('UPDATE %s SET updated_at = now() WHERE %s', live_view, condition))),
	count(pg_temp.try('delete view', live_view::text, format('DELETE FROM %s WHERE %s', live_view, condition))),
	count(pg_temp.try('soft delete', live_view::text, format('UPDATE %s SET %s WHERE %s', entity, CASE WHEN m.soft_delete THEN 'deleted_at = now()' ELSE 'updated_at = now()' END, condition))),
	count(pg_temp.try('delete', live_view::text, format('DELETE FROM %s WHERE %s', entity, condition)))
FROM target JOIN appdb.managed m USING (entity, live_view);
SELECT DISTINCT what, result FROM tried ORDER BY 1, 2;

-- nothing is put into Bob's space, or refers to what is in it
SAVEPOINT s;
INSERT INTO appdb.notes (space_id, title) VALUES (pg_temp.u(22), 'x');
ROLLBACK TO s;
INSERT INTO appdb.messages (space_id, chat_id, role) VALUES (pg_temp.u(21), pg_temp.u(32), 'user');
ROLLBACK TO s;
UPDATE appdb.notes SET space_id = pg_temp.u(22);
ROLLBACK TO s;
UPDATE appdb.notes SET folder_id = pg_temp.u(62);
ROLLBACK TO s;
-- nor said in another's name
INSERT INTO appdb.messages (space_id, chat_id, user_id, role) VALUES (pg_temp.u(21), pg_temp.u(31), pg_temp.u(3), 'user');
ROLLBACK TO s;
-- an upsert by Bob's id does not show his row
INSERT INTO appdb.notes (id, space_id, title) VALUES (pg_temp.u(72), pg_temp.u(21), 'x') ON CONFLICT (id) DO UPDATE SET title = 'mine' RETURNING title;
ROLLBACK TO s;
-- a leaky function does not see it
CREATE FUNCTION pg_temp.leak(text) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN RAISE WARNING '%', $1; RETURN true; END $$;
SELECT count(*) FROM appdb.notes WHERE pg_temp.leak(title || space_id);
SELECT * FROM appdb.restore('appdb.notes', pg_temp.u(72));
ROLLBACK TO s;
-- copying out is only what is seen
COPY (SELECT title, space_id FROM appdb.notes) TO stdout;
COMMIT;

-- == roles in a space =======================================================
CREATE FUNCTION pg_temp.can(who int) RETURNS TABLE (what text, can bool) LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	PERFORM appdb.impersonate(pg_temp.u(who));
	SET LOCAL ROLE regress_app;
	FOR what, n IN SELECT * FROM (VALUES ('read', 1), ('insert', 2), ('update', 3), ('delete another''s', 4), ('delete a member', 5), ('rename the space', 6), ('delete the space', 7)) v LOOP
		BEGIN
			CASE n
				WHEN 1 THEN PERFORM FROM appdb.notes WHERE id = pg_temp.u(71); can := FOUND;
				WHEN 2 THEN INSERT INTO appdb.notes (space_id, title) VALUES (pg_temp.u(21), 'new'); can := FOUND;
				WHEN 3 THEN UPDATE appdb.notes SET title = 'changed' WHERE id = pg_temp.u(71); can := FOUND;
				WHEN 4 THEN DELETE FROM appdb.notes WHERE id = pg_temp.u(71); can := FOUND;
				WHEN 5 THEN DELETE FROM appdb.space_members WHERE user_id = pg_temp.u(CASE who WHEN 3 THEN 4 ELSE 3 END); can := FOUND;
				WHEN 6 THEN UPDATE appdb.spaces SET name = 'renamed' WHERE id = pg_temp.u(21); can := FOUND;
				WHEN 7 THEN DELETE FROM appdb.spaces WHERE id = pg_temp.u(21); can := FOUND;
			END CASE;
			RAISE EXCEPTION USING ERRCODE = 'TT000';
		EXCEPTION
			WHEN SQLSTATE 'TT000' THEN NULL;
			WHEN insufficient_privilege THEN can := false;
		END;
		RETURN NEXT;
	END LOOP;
	RESET ROLE;
END
$$;
SELECT what, o.can AS owner, e.can AS editor, v.can AS viewer, b.can AS stranger
FROM pg_temp.can(1) o JOIN pg_temp.can(4) e USING (what) JOIN pg_temp.can(3) v USING (what) JOIN pg_temp.can(2) b USING (what);

-- a private chat is its author's, whatever another's role
UPDATE appdb.chats SET visibility = 'private', user_id = pg_temp.u(4) WHERE id = pg_temp.u(31);
BEGIN;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SET LOCAL ROLE regress_app;
SELECT (SELECT count(*) FROM appdb.chats) AS chats, (SELECT count(*) FROM appdb.messages) AS messages;
DELETE FROM appdb.chats;
DELETE FROM appdb.messages;
COMMIT;
BEGIN;
SELECT appdb.impersonate(pg_temp.u(4)) \gset
SET LOCAL ROLE regress_app;
SELECT (SELECT count(*) FROM appdb.chats) AS chats, (SELECT count(*) FROM appdb.messages) AS messages;
COMMIT;

-- == roles change ===========================================================
BEGIN;
SELECT appdb.impersonate(pg_temp.u(3)) \gset
SET LOCAL ROLE regress_app;
SELECT count(*) FROM appdb.notes;
RESET ROLE;
DELETE FROM appdb.space_members WHERE user_id = pg_temp.u(3);
SET LOCAL ROLE regress_app;
SELECT count(*) AS removed FROM appdb.notes;
ROLLBACK;
BEGIN;
SELECT appdb.impersonate(pg_temp.u(3)) \gset
SET LOCAL ROLE regress_app;
SELECT count(*) AS back FROM appdb.notes;
SAVEPOINT s;
RESET ROLE;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
UPDATE appdb.space_members SET role = 'editor' WHERE user_id = pg_temp.u(3);
SELECT appdb.impersonate(pg_temp.u(3)) \gset
SET LOCAL ROLE regress_app;
SELECT appdb.has_role(pg_temp.u(21), 'editor') AS editor;
ROLLBACK TO s;
SELECT appdb.has_role(pg_temp.u(21), 'editor') AS editor, appdb.is_member(pg_temp.u(21)) AS member, appdb.my_spaces() = ARRAY[pg_temp.u(21)] AS spaces;
SELECT appdb.has_role(pg_temp.u(21), 'king');
ROLLBACK;
-- also by what replication applies
BEGIN;
SELECT appdb.impersonate(pg_temp.u(3)) \gset
SELECT appdb.is_member(pg_temp.u(21)) AS before;
SET LOCAL session_replication_role = replica;
UPDATE app_data.space_members SET deleted_at = now() WHERE user_id = pg_temp.u(3);
SELECT appdb.is_member(pg_temp.u(21)) AS after;
ROLLBACK;
-- an organization's people
BEGIN;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SELECT appdb.has_organization_role(pg_temp.u(11), 'owner') AS owner, appdb.is_organization_member(pg_temp.u(12)) AS elsewhere, appdb.is_organization_member(NULL);
INSERT INTO appdb.spaces (id, organization_id, name, visibility) VALUES (pg_temp.u(23), pg_temp.u(11), 'closed', 'private'), (pg_temp.u(24), pg_temp.u(11), 'open', 'organization');
SELECT appdb.has_role(pg_temp.u(23), 'owner') AS owner_of_all;
INSERT INTO appdb.members (organization_id, user_id) VALUES (pg_temp.u(11), pg_temp.u(3));
SELECT appdb.impersonate(pg_temp.u(3)) \gset
SELECT appdb.is_member(pg_temp.u(23)) AS closed, appdb.is_member(pg_temp.u(24)) AS open, appdb.has_role(pg_temp.u(24), 'editor') AS edit;
ROLLBACK;

-- == a managed table of one's own is its tenant's too =======================
CREATE TABLE public.boards
(
	id uuid PRIMARY KEY,
	space_id uuid NOT NULL REFERENCES app_data.spaces (id),
	name text,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	deleted_at timestamptz
);
CREATE INDEX ON boards (space_id);
SELECT appdb.manage('public.boards', label => 'name');
INSERT INTO appdb.boards (space_id, name) VALUES (pg_temp.u(21), 'of A'), (pg_temp.u(22), 'of B');
BEGIN;
SELECT appdb.impersonate(pg_temp.u(4)) \gset
SET LOCAL ROLE regress_app;
SELECT name FROM appdb.boards;
DELETE FROM appdb.boards RETURNING name;
COMMIT;
SET appdb.allow_drop = on;
DROP TABLE boards CASCADE;

-- == what the owner has changed under the engine ============================
-- it does not write into columns of another type
BEGIN;
ALTER TABLE app_data.deletions ALTER rows TYPE text;
DELETE FROM appdb.spaces;
ROLLBACK;
-- nor takes values of another type for what they are not
BEGIN;
DELETE FROM appdb.spaces;
ALTER TABLE app_data.deletions DROP COLUMN role CASCADE;
ALTER TABLE app_data.deletions ADD COLUMN role int DEFAULT 5;
SELECT count(deleted_by_role) FROM appdb.trash;
ROLLBACK;
-- a primary key that is none of ids any more
BEGIN;
CREATE TABLE app_data.parents (id uuid PRIMARY KEY, n int UNIQUE, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE TABLE app_data.children (id uuid PRIMARY KEY, parent_id uuid, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.children (parent_id);
SELECT appdb.manage('app_data.parents');
INSERT INTO appdb.parents (id, n) VALUES (pg_temp.u(98), 5);
ALTER TABLE app_data.parents DROP CONSTRAINT parents_pkey;
ALTER TABLE app_data.parents ADD PRIMARY KEY (n), ADD UNIQUE (id);
ALTER TABLE app_data.children ADD FOREIGN KEY (parent_id) REFERENCES app_data.parents (id);
SELECT appdb.manage('app_data.children');
SAVEPOINT s;
INSERT INTO appdb.children (parent_id) VALUES (pg_temp.u(98));
ROLLBACK TO s;
DELETE FROM appdb.parents RETURNING n;
ROLLBACK;
-- nulls where there can be none
BEGIN;
ALTER TABLE app_data.space_members ALTER role DROP NOT NULL;
ALTER TABLE app_data.space_members DISABLE TRIGGER USER;
UPDATE app_data.space_members SET role = NULL;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SELECT cardinality(appdb.my_spaces());
ROLLBACK;
BEGIN;
DROP INDEX app_data.chats_search_idx;
ALTER TABLE app_data.chats ALTER space_id DROP NOT NULL, DISABLE TRIGGER USER;
INSERT INTO app_data.chats (id, title) VALUES (pg_temp.u(99), 'nowhere');
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SELECT appdb.can_read_chat(pg_temp.u(21), pg_temp.u(99));
ROLLBACK;
BEGIN;
ALTER TABLE app_data.file_permissions ALTER file_id DROP NOT NULL, DISABLE TRIGGER USER;
INSERT INTO app_data.file_permissions (space_id, user_id, permission) VALUES (pg_temp.u(21), pg_temp.u(1), 'read');
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SELECT cardinality(appdb.my_files('read'));
ROLLBACK;
BEGIN;
ALTER TABLE app_data.sessions DROP CONSTRAINT sessions_pkey, ALTER id DROP NOT NULL;
INSERT INTO app_data.sessions (id, user_id, token_hash, expires_at) VALUES (NULL, pg_temp.u(1), sha256('token'), now() + '1 day');
SELECT appdb.authenticate('token');
ROLLBACK;
BEGIN;
ALTER TABLE app_data.schema_version ALTER version DROP NOT NULL;
UPDATE app_data.schema_version SET version = NULL;
SELECT appdb.migrate();
ROLLBACK;
BEGIN;
CREATE TABLE app_data.parents (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL DEFAULT now(), updated_at timestamptz(3) NOT NULL DEFAULT now(), deleted_at timestamptz);
SELECT appdb.manage('app_data.parents');
ALTER TABLE app_data.parents DROP CONSTRAINT parents_pkey, ALTER id DROP NOT NULL;
INSERT INTO app_data.parents (id, deleted_at) VALUES (NULL, now());
SELECT count(*) FROM appdb.trash;
ROLLBACK;
-- a table that is none of the engine's, noted by hand
BEGIN;
CREATE TABLE app_data.strangers (id text PRIMARY KEY, deleted_at timestamptz);
INSERT INTO app_data.strangers VALUES ('', now());
CREATE VIEW appdb.strangers AS SELECT * FROM app_data.strangers;
INSERT INTO app_data.managed (entity, view) VALUES ('app_data.strangers', 'strangers');
SELECT count(*) FROM appdb.trash WHERE entity = 'app_data.strangers'::regclass;
ALTER TABLE app_data.strangers ENABLE ROW LEVEL SECURITY;
GRANT SELECT, DELETE ON app_data.strangers, appdb.strangers TO regress_app;
SET LOCAL ROLE regress_app;
SELECT * FROM appdb.restore('appdb.strangers', pg_temp.u(1));
ROLLBACK;
-- a view in a table's place, by which nobody is asking any more
BEGIN;
ALTER TABLE app_data.chats RENAME TO chats_of_old;
CREATE FUNCTION pg_temp.forget() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM appdb.impersonate(NULL); RETURN true; END $$;
CREATE VIEW app_data.chats AS SELECT * FROM app_data.chats_of_old WHERE pg_temp.forget();
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SELECT bool_or(appdb.can_read_chat(c.space_id, c.id)) FROM app_data.chats_of_old c;
ROLLBACK;
-- a live view that has become another
BEGIN;
CREATE OR REPLACE VIEW appdb.message_files WITH (security_invoker) AS SELECT m.* FROM (SELECT * FROM app_data.message_files WHERE deleted_at IS NULL) m;
SAVEPOINT s;
DELETE FROM appdb.message_files;
ROLLBACK TO s;
COPY appdb.message_files FROM '/dev/null';
ROLLBACK;

-- == names that differ at their end =========================================
CREATE ROLE regress_service_with_quite_a_long_name_for_a_service_role_one;
CREATE ROLE regress_service_with_quite_a_long_name_for_a_service_role_two;
SELECT appdb.grant_access('regress_service_with_quite_a_long_name_for_a_service_role_one', 'service');
SELECT appdb.grant_access('regress_service_with_quite_a_long_name_for_a_service_role_two', 'service');
SELECT polroles::regrole[] FROM pg_policy WHERE polrelid = 'app_data.chats'::regclass AND polname LIKE 'appdb_service%' ORDER BY polroles::regrole[]::text;
SELECT appdb.revoke_access('regress_service_with_quite_a_long_name_for_a_service_role_two');
SELECT polroles::regrole[] FROM pg_policy WHERE polrelid = 'app_data.chats'::regclass AND polname LIKE 'appdb_service%' ORDER BY polroles::regrole[]::text;
SELECT appdb.revoke_access('regress_service_with_quite_a_long_name_for_a_service_role_one');
DROP ROLE regress_service_with_quite_a_long_name_for_a_service_role_one, regress_service_with_quite_a_long_name_for_a_service_role_two;
SELECT appdb.grant_access(NULL, 'app');
SELECT appdb.grant_access('regress_web', NULL);
SELECT appdb.grant_access('public', 'app');

-- == under another name, and of what is managed no longer ===================
-- it has what a role has that was given the level just now
CREATE ROLE regress_other;
CREATE FUNCTION pg_temp.privileges(role name) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT format('%s %s', c.oid::regclass, a.privilege_type) FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = role::regrole
	UNION ALL SELECT format('%s %s', p.oid::regprocedure, a.privilege_type) FROM pg_proc p, aclexplode(p.proacl) a WHERE a.grantee = role::regrole
	UNION ALL SELECT format('%s %s', n.nspname, a.privilege_type) FROM pg_namespace n, aclexplode(n.nspacl) a WHERE a.grantee = role::regrole
	UNION ALL SELECT format('%s policy', p.polrelid::regclass) FROM pg_policy p WHERE role::regrole = ANY (p.polroles)
$$;
CREATE FUNCTION pg_temp.differ() RETURNS SETOF text LANGUAGE sql AS $$
	(SELECT pg_temp.privileges('regress_access') EXCEPT SELECT pg_temp.privileges('regress_other'))
	UNION ALL (SELECT pg_temp.privileges('regress_other') EXCEPT SELECT pg_temp.privileges('regress_access'))
$$;
DO $$
DECLARE
	level text;
	lower text;
BEGIN
	FOREACH level IN ARRAY '{app,readonly,service}'::text[] LOOP
		FOREACH lower IN ARRAY '{app,readonly,service,NULL}'::text[] LOOP
			CREATE ROLE regress_access_before;
			PERFORM appdb.grant_access('regress_access_before', level);
			ALTER ROLE regress_access_before RENAME TO regress_access;
			IF lower IS NOT NULL THEN
				PERFORM appdb.grant_access('regress_other', lower);
				PERFORM appdb.grant_access('regress_access', lower);
			ELSIF NOT appdb.revoke_access('regress_access') THEN
				RAISE WARNING 'it had nothing';
			END IF;
			IF EXISTS (SELECT FROM pg_temp.differ()) THEN
				RAISE WARNING 'renamed with %, now %: %', level, lower, (SELECT count(*) FROM pg_temp.differ());
			END IF;
			PERFORM appdb.revoke_access('regress_access'), appdb.revoke_access('regress_access_before');
			PERFORM appdb.revoke_access('regress_other');
			DROP ROLE regress_access;
		END LOOP;
	END LOOP;
END
$$;
DROP ROLE regress_other;
BEGIN;
CREATE TABLE app_data.leaving (id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz);
ALTER TABLE app_data.leaving ENABLE ROW LEVEL SECURITY;
SELECT appdb.manage('app_data.leaving');
SELECT a.grantee::regrole, string_agg(a.privilege_type, ' ' ORDER BY a.privilege_type) FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 'app_data.leaving'::regclass AND a.grantee <> c.relowner GROUP BY 1 ORDER BY 1::text;
SELECT polname FROM pg_policy WHERE polrelid = 'app_data.leaving'::regclass;
SET LOCAL appdb.allow_drop = on;
SELECT appdb.unmanage('app_data.leaving');
SELECT a.grantee::regrole FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = 'app_data.leaving'::regclass AND a.grantee <> c.relowner;
SELECT polname FROM pg_policy WHERE polrelid = 'app_data.leaving'::regclass;
ROLLBACK;

-- == taken back =============================================================
SELECT appdb.revoke_access('regress_app'), appdb.revoke_access('regress_app');
SELECT count(*) FROM pg_class c, aclexplode(c.relacl) a WHERE a.grantee = 'regress_app'::regrole;
SELECT appdb.revoke_access('regress_readonly'), appdb.revoke_access('regress_service');
SELECT count(*) FROM pg_policy WHERE polname LIKE 'appdb_service%';
DROP OWNED BY regress_app, regress_readonly, regress_service;
DROP ROLE regress_app, regress_readonly, regress_service;
DELETE FROM appdb.sessions;
DELETE FROM appdb.organizations;
DELETE FROM appdb.users;
DELETE FROM appdb.verifications;
