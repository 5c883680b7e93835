-- Deleting across the domains: what goes with a user, an organization, a space, a chat or a folder, and what stays.
BEGIN;
SELECT plan(36);

INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'Ann', 'ann@example.org'),
	('00000000-0000-4000-8000-0000000000b1', 'Ben', 'ben@example.org');
INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'Acme', 'acme');
INSERT INTO appdb.spaces (id, organization_id, owner_id, name, slug) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001', NULL, 'Shared', 'shared'),
	('00000000-0000-4000-8000-000000000012', NULL, '00000000-0000-4000-8000-0000000000b1', 'Ben''s', NULL);
INSERT INTO appdb.members (organization_id, user_id, role) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'owner'),
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000b1', 'admin');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'owner'),
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1', 'editor'),
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000b1', 'owner');
INSERT INTO appdb.sessions (user_id, token, expires_at, active_organization_id) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'ann', now(), '00000000-0000-4000-8000-000000000001'),
	('00000000-0000-4000-8000-0000000000b1', 'ben', now(), NULL);
INSERT INTO appdb.accounts (user_id, provider_id, account_id) VALUES ('00000000-0000-4000-8000-0000000000b1', 'github', '1');
INSERT INTO appdb.invitations (space_id, email, expires_at, inviter_id) VALUES
	('00000000-0000-4000-8000-000000000011', 'cleo@example.org', now(), '00000000-0000-4000-8000-0000000000b1');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES
	('00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1', 'Plans'),
	('00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000b1', 'Private');
INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, user_id, role, content) VALUES
	('00000000-0000-4000-8000-000000000031', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000021', NULL, '00000000-0000-4000-8000-0000000000b1', 'user', 'one'),
	('00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000031', NULL, 'assistant', 'two'),
	('00000000-0000-4000-8000-000000000033', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000021', NULL, '00000000-0000-4000-8000-0000000000a1', 'user', 'three'),
	('00000000-0000-4000-8000-000000000034', '00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-000000000022', NULL, '00000000-0000-4000-8000-0000000000b1', 'user', 'four');
INSERT INTO appdb.files (id, space_id, user_id, name) VALUES ('00000000-0000-4000-8000-000000000041', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'a.txt');
INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-000000000041');
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, granted_by) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000041', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1');
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	('00000000-0000-4000-8000-000000000051', '00000000-0000-4000-8000-000000000011', NULL, 'top'),
	('00000000-0000-4000-8000-000000000052', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000051', 'sub'),
	('00000000-0000-4000-8000-000000000053', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000052', 'subsub');
INSERT INTO appdb.notes (space_id, folder_id, user_id, title) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000053', '00000000-0000-4000-8000-0000000000b1', 'deep'),
	('00000000-0000-4000-8000-000000000011', NULL, '00000000-0000-4000-8000-0000000000b1', 'loose');
INSERT INTO appdb.subscriptions (organization_id, plan) VALUES ('00000000-0000-4000-8000-000000000001', 'pro');
SELECT appdb.enqueue('report', space_id => '00000000-0000-4000-8000-000000000011', user_id => '00000000-0000-4000-8000-0000000000b1') IS NOT NULL AS enqueued \gset

-- == a message ==============================================================

SAVEPOINT start;
SELECT results_eq($$DELETE FROM appdb.messages WHERE content = 'one' RETURNING content$$, $$VALUES ('one')$$, 'deleting a message says so for that one');
SELECT set_eq('SELECT content FROM appdb.messages', ARRAY['three', 'four'], 'with what follows it');
SELECT is_empty('SELECT FROM appdb.message_files', 'and what goes with that');
SELECT results_eq('SELECT name FROM appdb.files', $$VALUES ('a.txt')$$, 'the file itself stays');
ROLLBACK TO start;

-- == folders ================================================================

DELETE FROM appdb.folders WHERE name = 'top';
SELECT is_empty('SELECT FROM appdb.folders', 'a folder goes with all below');
SELECT set_eq('SELECT title FROM appdb.notes', ARRAY['loose'], 'and the notes there');
SELECT is((SELECT count(DISTINCT deleted_at) FROM (SELECT deleted_at FROM app_data.folders UNION ALL SELECT deleted_at FROM app_data.notes WHERE title = 'deep') AS gone), 1::bigint,
	'all of them in one operation');
ROLLBACK TO start;

-- == a space ================================================================

DELETE FROM appdb.spaces WHERE name = 'Shared';
SELECT set_eq($$SELECT 'chat ' || title FROM appdb.chats UNION ALL SELECT 'message ' || content FROM appdb.messages UNION ALL SELECT 'file ' || name FROM appdb.files
	UNION ALL SELECT 'permission' FROM appdb.file_permissions UNION ALL SELECT 'message file' FROM appdb.message_files UNION ALL SELECT 'folder' FROM appdb.folders
	UNION ALL SELECT 'note' FROM appdb.notes UNION ALL SELECT 'invitation' FROM appdb.invitations UNION ALL SELECT 'task' FROM appdb.tasks
	UNION ALL SELECT 'in ' || s.name FROM appdb.space_members AS m, appdb.space(m) AS s$$,
	ARRAY['chat Private', 'message four', 'in Ben''s'], 'with a space goes what is in it, and nothing else');
SELECT throws_ok($$INSERT INTO appdb.chats (space_id) VALUES ('00000000-0000-4000-8000-000000000011')$$, '23503', NULL, 'nothing can be put there any more');
SELECT throws_ok($$UPDATE appdb.chats SET space_id = '00000000-0000-4000-8000-000000000011' WHERE title = 'Private'$$, '23503', NULL, 'nor moved there');
SELECT lives_ok($$INSERT INTO appdb.spaces (organization_id, name, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'Shared', 'shared')$$, 'its slug can be used again');
ROLLBACK TO start;

-- == an organization ========================================================

DELETE FROM appdb.organizations WHERE slug = 'acme';
SELECT set_eq($$SELECT 'member' FROM appdb.members UNION ALL SELECT 'space ' || name FROM appdb.spaces UNION ALL SELECT 'chat ' || title FROM appdb.chats
	UNION ALL SELECT 'subscription' FROM appdb.subscriptions UNION ALL SELECT 'user ' || name FROM appdb.users$$,
	ARRAY['space Ben''s', 'chat Private', 'user Ann', 'user Ben'], 'with an organization go its spaces, members and subscriptions, and no people');
SELECT results_eq($$SELECT active_organization_id FROM appdb.sessions WHERE token = 'ann'$$, $$VALUES (NULL::uuid)$$, 'a session that was in it is in none');
ROLLBACK TO start;

-- == a user =================================================================

DELETE FROM appdb.users WHERE name = 'Ben';
SELECT results_eq('SELECT token FROM app_data.sessions', $$VALUES ('ann')$$, 'a deleted user''s sessions end at once, and for good');
SELECT is_empty('SELECT FROM appdb.accounts', 'their accounts are deleted');
SELECT results_eq('SELECT u.name FROM appdb.members AS m, appdb.user(m) AS u', $$VALUES ('Ann')$$, 'their memberships');
SELECT results_eq('SELECT u.name FROM appdb.space_members AS m, appdb.user(m) AS u', $$VALUES ('Ann')$$, 'also of spaces');
SELECT is_empty('SELECT FROM appdb.file_permissions', 'what they were allowed');
SELECT results_eq('SELECT name FROM appdb.spaces', $$VALUES ('Shared')$$, 'and their own spaces');
SELECT set_eq('SELECT content FROM appdb.messages', ARRAY['one', 'two', 'three'], 'what they wrote where others are stays');
SELECT results_eq($$SELECT a.name FROM appdb.messages AS m LEFT JOIN LATERAL appdb.author(m) AS a ON true WHERE m.content = 'one'$$, $$VALUES (NULL::text)$$, 'without them');
SELECT is_empty('SELECT FROM appdb.notes AS n, appdb.author(n) AS a', 'everywhere');
SELECT results_eq('SELECT email FROM appdb.invitations', $$VALUES ('cleo@example.org')$$, 'invitations that they sent stay too');
SELECT results_eq('SELECT kind, user_id FROM appdb.tasks', $$VALUES ('report', NULL::uuid)$$, 'and tasks');
ROLLBACK TO start;

-- == a foreign key that is not enforced =====================================

SELECT current_setting('server_version_num')::int >= 180000 AS has_not_enforced \gset
\if :has_not_enforced
CREATE TABLE app_data.parents (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.parents');
INSERT INTO appdb.parents DEFAULT VALUES;
DELETE FROM appdb.parents;
INSERT INTO appdb.parents DEFAULT VALUES;
CREATE TABLE app_data.children (id uuid PRIMARY KEY, parent_id uuid REFERENCES app_data.parents NOT ENFORCED,
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.children');
INSERT INTO appdb.children (parent_id) SELECT id FROM appdb.parents;
DELETE FROM appdb.parents;
SELECT is_empty('SELECT FROM appdb.children', 'is followed from when its table is managed');
SELECT is((SELECT fix FROM appdb.doctor(false) WHERE problem LIKE 'constraint%not enforced%'), 'ALTER TABLE app_data.children ALTER CONSTRAINT children_parent_id_fkey ENFORCED;', 'and named by doctor()');
INSERT INTO appdb.parents (id) VALUES ('00000000-0000-4000-8000-000000000001');
ALTER TABLE app_data.parents ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_parents;
SELECT appdb.grant_access('regress_parents', 'app');
SET LOCAL ROLE regress_parents;
SELECT results_eq($$INSERT INTO appdb.children (parent_id) VALUES ('00000000-0000-4000-8000-000000000001'), ('00000000-0000-4000-8000-000000000002') RETURNING parent_id$$,
	ARRAY['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002']::uuid[], 'it refers to a row that its writer does not see as to no row');
RESET ROLE;
ROLLBACK TO start;

-- == RETURNING old and new ==================================================

INSERT INTO appdb.notes (space_id, title, updated_at) SELECT id, 'old', '2020-01-01' FROM appdb.spaces LIMIT 1;
SELECT results_eq('DELETE FROM appdb.notes WHERE title = ''old'' RETURNING old.title = title, old.updated_at = updated_at, old.deleted_at, new.title, new.updated_at, new.deleted_at, new', $$VALUES (true, true, NULL::timestamptz, NULL::text, NULL::timestamptz, NULL::timestamptz, NULL::appdb.notes)$$,
	'a DELETE has an old row and no new one');
ROLLBACK TO start;

-- == a foreign key with a period ============================================

CREATE EXTENSION btree_gist;
CREATE TABLE app_data.rooms (id uuid PRIMARY KEY, open daterange NOT NULL, UNIQUE (id, open WITHOUT OVERLAPS),
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.rooms');
CREATE TABLE app_data.bookings (id uuid PRIMARY KEY, room_id uuid NOT NULL, during daterange NOT NULL,
	FOREIGN KEY (room_id, PERIOD during) REFERENCES app_data.rooms (id, PERIOD open),
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.bookings (room_id, during);
SELECT appdb.manage('app_data.bookings');
INSERT INTO appdb.rooms (open) VALUES ('[2020-01-01, 2030-01-01)');
INSERT INTO appdb.bookings (room_id, during) SELECT id, '[2021-01-01, 2021-02-01)' FROM appdb.rooms;
SELECT results_eq('SELECT columns, to_columns FROM appdb.relations WHERE "from" = $$bookings$$', $$VALUES ('{room_id}'::name[], '{id}'::name[])$$,
	'it refers to a row by its id');
SELECT is_empty($$SELECT * FROM appdb.doctor() WHERE object = 'app_data.bookings' AND problem LIKE '%bookings_room_id_during_fkey%'$$, 'and doctor() finds that row');
DELETE FROM appdb.rooms;
SELECT is_empty('SELECT FROM appdb.bookings', 'what is within the period goes with the row');
SELECT throws_ok($$INSERT INTO appdb.bookings (room_id, during) SELECT id, '[2022-01-01, 2022-02-01)' FROM app_data.rooms$$, '23503', NULL, 'and nothing comes below it');
SELECT lives_ok('SELECT appdb.restore(entity, id) FROM appdb.trash', 'it comes back');
SELECT results_eq('SELECT during FROM appdb.bookings', $$VALUES ('[2021-01-01, 2021-02-01)'::daterange)$$, 'with what went with it');
ROLLBACK TO start;

-- == a policy on a column that is generated when it is read =================

CREATE TABLE app_data.pages (id uuid PRIMARY KEY, space_id uuid NOT NULL REFERENCES app_data.spaces (id), locked bool, free bool GENERATED ALWAYS AS (NOT locked),
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.pages (space_id);
SELECT appdb.manage('app_data.pages');
CREATE POLICY free ON app_data.pages AS RESTRICTIVE FOR DELETE USING (free);
INSERT INTO appdb.pages (space_id, locked) SELECT s.id, l.locked FROM appdb.spaces AS s, (VALUES (true), (false)) AS l (locked) WHERE s.slug = 'shared';
CREATE ROLE regress_pages;
SELECT appdb.grant_access('regress_pages', 'app');
SELECT appdb.impersonate('00000000-0000-4000-8000-0000000000a1') IS NOT NULL AS asked \gset
SET LOCAL ROLE regress_pages;
SELECT results_eq('DELETE FROM appdb.pages RETURNING locked', 'VALUES (false)', 'is asked before a row is deleted');
RESET ROLE;
ROLLBACK TO start;
\else
SELECT skip('there are none before 18', 11);
\endif

-- == nothing else ===========================================================

SELECT is((SELECT count(*) FROM appdb.messages), 4::bigint, 'an operation that is undone deleted nothing');

SELECT * FROM finish();
ROLLBACK;
