-- appdb.trash: what it shows, and to whom.
BEGIN;
SELECT plan(37);

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

SELECT is_empty('SELECT * FROM appdb.trash', 'nothing, at first');

INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.id(1), 'Ann', 'ann@example.org'), (pg_temp.id(2), 'Ben', 'ben@example.org');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.id(11), pg_temp.id(1), 'Shared'), (pg_temp.id(12), pg_temp.id(2), 'Ben''s');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES (pg_temp.id(21), pg_temp.id(11), pg_temp.id(2), 'Plans'), (pg_temp.id(22), pg_temp.id(11), pg_temp.id(1), NULL);
INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, role, content) VALUES
	(pg_temp.id(31), pg_temp.id(11), pg_temp.id(21), NULL, 'user', 'one'),
	(pg_temp.id(32), pg_temp.id(11), pg_temp.id(21), pg_temp.id(31), 'user', 'two'),
	(pg_temp.id(33), pg_temp.id(11), pg_temp.id(22), NULL, 'user', 'three');
INSERT INTO appdb.files (id, space_id, name) VALUES (pg_temp.id(41), pg_temp.id(11), 'a.txt');
INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES (pg_temp.id(11), pg_temp.id(31), pg_temp.id(41)), (pg_temp.id(11), pg_temp.id(32), pg_temp.id(41));
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES (pg_temp.id(51), pg_temp.id(11), NULL, 'top'), (pg_temp.id(52), pg_temp.id(11), pg_temp.id(51), 'sub');
SAVEPOINT start;

-- == rows, labels, counts ===================================================

DELETE FROM appdb.messages WHERE content = 'three';
DELETE FROM appdb.chats;
SELECT results_eq('SELECT entity::text, id, label, rows_with_it, restorable FROM appdb.trash ORDER BY id', $$VALUES
	('app_data.chats', pg_temp.id(21), 'Plans', 4::bigint, true),
	('app_data.chats', pg_temp.id(22), NULL, 0, true),
	('app_data.messages', pg_temp.id(33), pg_temp.id(33)::text, 0, true)$$,
	'the rows that were deleted themselves, by what they are called or else by their id; with how many went with each');
SELECT is((SELECT rows_with_it FROM appdb.trash WHERE id = pg_temp.id(21)) + 1, (SELECT sum(rows)::bigint FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')), 'that is how many come back');
SELECT results_eq('SELECT id FROM appdb.trash ORDER BY id', 'VALUES (pg_temp.id(22)), (pg_temp.id(33))', 'then they are not there any more');
ROLLBACK TO start;

DELETE FROM appdb.folders;
SELECT results_eq('SELECT label, rows_with_it FROM appdb.trash', $$VALUES ('top', 1::bigint)$$, 'of rows that one statement deleted, one below the other, the upper one');
ROLLBACK TO start;

DELETE FROM appdb.folders WHERE name = 'sub';
DELETE FROM appdb.folders WHERE name = 'top';
SELECT results_eq('SELECT label, rows_with_it FROM appdb.trash ORDER BY label', $$VALUES ('sub', 0::bigint), ('top', 0)$$, 'of rows that two statements deleted, both');
ROLLBACK TO start;

DELETE FROM appdb.files;
SELECT results_eq('SELECT label, rows_with_it FROM appdb.trash', $$VALUES ('a.txt', 2::bigint)$$, 'rows that join go with what they join');
DELETE FROM appdb.spaces WHERE name = 'Shared';
SELECT results_eq('SELECT label, rows_with_it FROM appdb.trash ORDER BY rows_with_it', $$VALUES ('a.txt', 2::bigint), ('Shared', 7)$$, 'each counts those that it took');
ROLLBACK TO start;

-- == when ===================================================================

DELETE FROM appdb.files;
SELECT results_eq('SELECT purge_at FROM appdb.trash', $$SELECT deleted_at + interval '30 days' FROM app_data.files$$, 'until when it is kept');
SET LOCAL appdb.retention = '1 year 2 days';
SELECT results_eq('SELECT purge_at FROM appdb.trash', $$SELECT deleted_at + interval '1 year 2 days' FROM app_data.files$$, 'follows the setting');
SELECT throws_ok($$SET LOCAL appdb.retention = 'a while'$$, '22023', NULL, 'which is an interval');
SELECT throws_ok($$SET LOCAL appdb.retention = '-1 day'$$, '22023', NULL, 'and not negative');
SELECT throws_ok($$SET LOCAL appdb.retention = '2000000000 years'$$, '22023', NULL, 'nor longer than time is');
SELECT throws_ok($$SELECT appdb.hold('00000000-0000-4000-8000-00000000dead', 'a reason')$$, '23503', 'organization 00000000-0000-4000-8000-00000000dead does not exist', 'a hold is on an organization');
SELECT throws_ok($$SELECT appdb.hold(NULL, 'a reason')$$, '22004', NULL, 'on some organization');
SELECT throws_ok($$SELECT appdb.hold('00000000-0000-4000-8000-00000000dead', NULL)$$, '22004', NULL, 'for a reason');
RESET appdb.retention;
UPDATE app_data.deletions SET purged_at = now();
SELECT results_eq('SELECT restorable FROM appdb.trash', 'VALUES (false)', 'what is being purged is not restored');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.files', '00000000-0000-4000-8000-000000000041')$$, '55000', NULL, 'indeed');
ROLLBACK TO start;

-- rows that were deleted where the engine was not: imported, replicated
INSERT INTO app_data.notes (id, space_id, title, deleted_at) VALUES (pg_temp.id(61), pg_temp.id(11), 'imported', '2020-01-01');
SELECT results_eq('SELECT label, deleted_by_role, restorable FROM appdb.trash', $$VALUES ('imported', NULL::name, true)$$, 'rows of which nothing is noted are there');
SELECT is((SELECT rows FROM appdb.restore('appdb.notes', '00000000-0000-4000-8000-000000000061')), 1::bigint, 'and can be restored');
INSERT INTO app_data.notes (id, space_id, title, deleted_at) VALUES (pg_temp.id(62), pg_temp.id(11), 'late', '294276-12-31 23:59:59+00'), (pg_temp.id(63), pg_temp.id(11), 'never', 'infinity');
SELECT results_eq('SELECT label, purge_at > ''200000-01-01'' FROM appdb.trash ORDER BY label', $$VALUES ('late', true), ('never', true)$$, 'at whatever time');
ROLLBACK TO start;

-- == by whom ================================================================

CREATE ROLE appdb_test_app;
GRANT SELECT, DELETE ON appdb.chats, appdb.messages TO appdb_test_app;
GRANT SELECT ON app_data.chats, app_data.messages TO appdb_test_app;
-- what follows is about privileges; policies come below
ALTER TABLE app_data.chats DISABLE ROW LEVEL SECURITY;
ALTER TABLE app_data.messages DISABLE ROW LEVEL SECURITY;
SELECT lives_ok($$SELECT appdb.impersonate('00000000-0000-4000-8000-000000000002')$$, 'somebody is signed in');
SET LOCAL ROLE appdb_test_app;
DELETE FROM appdb.chats WHERE title = 'Plans';
SELECT results_eq('SELECT label, deleted_by_role, deleted_by FROM appdb.trash', $$VALUES ('Plans', 'appdb_test_app'::name, '00000000-0000-4000-8000-000000000002'::uuid)$$, 'by whom, to an application''s role that may read nothing else');
RESET ROLE;
DELETE FROM appdb.files;
DELETE FROM appdb.folders;
SELECT is((SELECT count(*) FROM appdb.trash), 3::bigint, 'the owner sees all');
SET LOCAL ROLE appdb_test_app;
SELECT results_eq('SELECT label, rows_with_it FROM appdb.trash', $$VALUES ('Plans', 4::bigint)$$, 'the role what it may read, with the same count');
RESET ROLE;

-- children whose parents it may not read
REVOKE ALL ON app_data.chats FROM appdb_test_app;
DELETE FROM appdb.messages WHERE content = 'three';
SET LOCAL ROLE appdb_test_app;
SELECT results_eq('SELECT id FROM appdb.trash', $$VALUES ('00000000-0000-4000-8000-000000000033'::uuid)$$, 'a row that went with one that it may not read is still none of its own');
RESET ROLE;

-- some columns only
REVOKE ALL ON app_data.messages FROM appdb_test_app;
GRANT SELECT (id, deleted_at) ON app_data.messages TO appdb_test_app;
SET LOCAL ROLE appdb_test_app;
SELECT is((SELECT count(*) FROM appdb.trash), 1::bigint, 'the columns that are shown are enough');
RESET ROLE;
REVOKE ALL ON app_data.messages FROM appdb_test_app;
SET LOCAL ROLE appdb_test_app;
SELECT is_empty('SELECT * FROM appdb.trash', 'who may read nothing has no trash');
RESET ROLE;

-- row security
GRANT SELECT ON app_data.chats TO appdb_test_app;
ALTER TABLE app_data.chats ENABLE ROW LEVEL SECURITY;
DELETE FROM appdb.chats;
CREATE POLICY own ON app_data.chats TO appdb_test_app USING (user_id = '00000000-0000-4000-8000-000000000001');
SELECT is((SELECT count(*) FROM appdb.trash WHERE entity = 'app_data.chats'::regclass), 2::bigint, 'two chats');
SELECT lives_ok('SELECT appdb.impersonate(NULL)', 'nobody is signed in');
SET LOCAL ROLE appdb_test_app;
SELECT results_eq('SELECT id FROM appdb.trash', $$VALUES ('00000000-0000-4000-8000-000000000022'::uuid)$$, 'policies say which');
RESET ROLE;
-- a table of a thousand partitions took minutes to compile
ALTER POLICY own ON app_data.chats USING (current_setting('jit') = 'off');
SET LOCAL jit = on;
SET LOCAL ROLE appdb_test_app;
SELECT is((SELECT count(*) FROM appdb.trash), 2::bigint, 'nothing is compiled for it');
RESET ROLE;
ROLLBACK TO start;

-- == tables of users ========================================================

SET LOCAL client_min_messages = error;
CREATE TABLE public."Odd table" (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, "the label" int[], gone int);
ALTER TABLE public."Odd table" DROP gone, ADD space_id uuid REFERENCES app_data.spaces;
SELECT lives_ok($$SELECT appdb.manage('public."Odd table"', view => 'Odd ones', label => 'the label')$$, 'a table of one''s own');
INSERT INTO appdb."Odd ones" ("the label", space_id) SELECT ARRAY[i], pg_temp.id(11) FROM generate_series(1, 2500) i;
DELETE FROM appdb."Odd ones";
SELECT is((SELECT count(*) || ' ' || min(label) || ' ' || count(DISTINCT id) FROM appdb.trash WHERE entity = '"Odd table"'::regclass), '2500 {1000} 2500', 'with label of any type, and many rows');
-- a page of it
SET LOCAL track_functions = 'all';
SELECT is((SELECT count(*) FROM (SELECT * FROM appdb.trash ORDER BY deleted_at DESC, id LIMIT 10) t WHERE t.purge_at IS NOT NULL AND t.rows_with_it = 0 AND t.restorable), 10::bigint, 'a page of it');
SELECT is(ARRAY[pg_stat_get_xact_function_calls('appdb._held(regclass, uuid)'::regprocedure), pg_stat_get_xact_function_calls('appdb._deleted_with(regclass, uuid, timestamptz)'::regprocedure)],
	ARRAY[10::bigint, 10], 'no more is found out than it shows');
ROLLBACK TO start;

SELECT is_empty('SELECT * FROM appdb.trash', 'nothing, at last');
SELECT * FROM finish();
ROLLBACK;
