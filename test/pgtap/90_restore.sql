-- restore: what comes back, what does not, and who may.
BEGIN;
SELECT plan(127);
SET client_min_messages = warning;

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
-- what appdb.restore() returned, as text
CREATE FUNCTION pg_temp.restored(entity regclass, VARIADIC ids int[]) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(r.restored || ' ' || r.rows, ', ') FROM appdb.restore(entity, ARRAY(SELECT pg_temp.id(i) FROM unnest(ids) i)) r $$;

INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.id(1), 'Ann', 'ann@example.org'), (pg_temp.id(2), 'Ben', 'ben@example.org');
INSERT INTO appdb.organizations (id, name, slug) VALUES (pg_temp.id(5), 'Acme', 'acme');
INSERT INTO appdb.spaces (id, organization_id, name) VALUES (pg_temp.id(11), pg_temp.id(5), 'Shared');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.id(12), pg_temp.id(2), 'Ben''s');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES (pg_temp.id(21), pg_temp.id(11), pg_temp.id(2), 'Plans'), (pg_temp.id(22), pg_temp.id(11), pg_temp.id(1), 'Other');
INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, user_id, role, content) VALUES
	(pg_temp.id(33), pg_temp.id(11), pg_temp.id(21), NULL, pg_temp.id(2), 'user', 'one'),
	(pg_temp.id(32), pg_temp.id(11), pg_temp.id(21), pg_temp.id(33), NULL, 'assistant', 'two'),
	(pg_temp.id(31), pg_temp.id(11), pg_temp.id(21), pg_temp.id(32), pg_temp.id(1), 'user', 'three'),
	(pg_temp.id(34), pg_temp.id(11), pg_temp.id(21), NULL, pg_temp.id(2), 'user', 'apart');
INSERT INTO appdb.files (id, space_id, user_id, name) VALUES (pg_temp.id(41), pg_temp.id(11), pg_temp.id(1), 'a.txt');
INSERT INTO appdb.message_files (id, space_id, message_id, file_id) VALUES (pg_temp.id(45), pg_temp.id(11), pg_temp.id(32), pg_temp.id(41));
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES (pg_temp.id(59), pg_temp.id(11), NULL, 'top');
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES (pg_temp.id(52), pg_temp.id(11), pg_temp.id(59), 'sub');
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES (pg_temp.id(51), pg_temp.id(11), pg_temp.id(52), 'subsub');
INSERT INTO appdb.notes (id, space_id, folder_id, user_id, title) VALUES (pg_temp.id(61), pg_temp.id(11), pg_temp.id(51), pg_temp.id(2), 'deep'), (pg_temp.id(62), pg_temp.id(11), NULL, pg_temp.id(2), 'loose');
SAVEPOINT start;

-- == ways to say it =========================================================

DELETE FROM appdb.chats WHERE title = 'Other';
SELECT is((SELECT (restored, rows)::text FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000022')), '(app_data.chats,1)', 'by the live view, with a literal');
DELETE FROM appdb.chats WHERE title = 'Other';
SELECT is((SELECT rows FROM appdb.restore('app_data.chats', pg_temp.id(22))), 1::bigint, 'by the base table, with a uuid');
DELETE FROM appdb.chats WHERE title = 'Other';
SELECT is((SELECT rows FROM appdb.restore('app_data.chats'::regclass, ARRAY[pg_temp.id(22)])), 1::bigint, 'with an array of uuid');
DELETE FROM appdb.chats WHERE title = 'Other';
SELECT is((SELECT rows FROM appdb.restore('app_data.chats', '{00000000-0000-4000-8000-000000000022,00000000-0000-4000-8000-000000000022}')), 1::bigint, 'with an array as a literal; twice the same counts once');
DELETE FROM appdb.chats WHERE title = 'Other';
PREPARE untyped AS SELECT rows FROM appdb.restore($1, $2);
SELECT results_eq($$EXECUTE untyped('appdb.chats', '00000000-0000-4000-8000-000000000022')$$, 'VALUES (1::bigint)', 'with parameters whose type nobody gives');
SELECT results_eq('SELECT title, deleted_at FROM appdb.chats ORDER BY title', $$VALUES ('Other', NULL::timestamptz), ('Plans', NULL)$$, 'and it is back');
SELECT is_empty($$SELECT * FROM appdb.restore('appdb.chats', '{}')$$, 'no rows: nothing');
SELECT is_empty($$SELECT * FROM appdb.restore('appdb.chats', ARRAY[]::uuid[])$$, 'also as an array');
SELECT is_empty($$SELECT * FROM appdb.restore('appdb.chats', NULL::uuid)$$, 'null: nothing');
SELECT is_empty($$SELECT * FROM appdb.restore('appdb.chats', NULL::uuid[])$$, 'a null array: nothing');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', ARRAY[NULL]::uuid[])$$, '22004', NULL, 'an array with null: an error');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', 'x')$$, '22P02', NULL, 'no uuid: an error');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '{x}')$$, '22P02', NULL, 'nor an array of them');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')$$, '55000', 'row 00000000-0000-4000-8000-000000000021 of table "app_data.chats" is not deleted', 'a live row');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000099')$$, 'P0002', 'table "app_data.chats" has no row 00000000-0000-4000-8000-000000000099', 'a row that is not there');
SELECT throws_ok($$SELECT * FROM appdb.restore('pg_class', '00000000-0000-4000-8000-000000000099')$$, '42809', '"pg_class" has no deleted rows to restore', 'a table that is not managed');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.sessions', '00000000-0000-4000-8000-000000000099')$$, '42809', '"sessions" has no deleted rows to restore', 'a table whose rows are deleted for good');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.trash', '00000000-0000-4000-8000-000000000099')$$, '42809', NULL, 'a view that is no live view');
ROLLBACK TO start;

-- == exactly what went with it ==============================================

DELETE FROM appdb.messages WHERE content = 'apart';
DELETE FROM appdb.chats WHERE title = 'Plans';
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.message_files 1, app_data.messages 3', 'a chat comes back with its messages and their files');
SELECT set_eq('SELECT content FROM appdb.messages', ARRAY['one', 'two', 'three'], 'but not with what was deleted before');
SELECT is(pg_temp.restored('appdb.messages', 34), 'app_data.messages 1', 'which can come back too');
ROLLBACK TO start;

-- one in another
DELETE FROM appdb.messages WHERE content = 'three';
DELETE FROM appdb.messages WHERE content = 'one';
DELETE FROM appdb.chats WHERE title = 'Plans';
DELETE FROM appdb.spaces WHERE name = 'Shared';
DELETE FROM appdb.organizations;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.messages', '00000000-0000-4000-8000-000000000031')$$, '23503',
	'cannot restore row 00000000-0000-4000-8000-000000000031 of table "app_data.messages": its parent in table "app_data.spaces" is deleted', 'a row under a deleted parent');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.spaces', '00000000-0000-4000-8000-000000000011')$$, '23503', NULL, 'a space of a deleted organization');
SELECT is(pg_temp.restored('appdb.organizations', 5), 'app_data.organizations 1', 'the last to go is the first to come back');
SELECT is(pg_temp.restored('appdb.spaces', 11), 'app_data.chats 1, app_data.files 1, app_data.folders 3, app_data.notes 2, app_data.spaces 1', 'then the next');
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.messages 1', 'and the next');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.messages', '00000000-0000-4000-8000-000000000031')$$, '23503',
	'cannot restore row 00000000-0000-4000-8000-000000000031 of table "app_data.messages": its parent in table "app_data.messages" is deleted', 'not before its parent');
SELECT is(pg_temp.restored('appdb.messages', 33), 'app_data.message_files 1, app_data.messages 2', 'one and two');
SELECT is(pg_temp.restored('appdb.messages', 31), 'app_data.messages 1', 'three');
SELECT is_empty('SELECT * FROM appdb.trash', 'all is back');
ROLLBACK TO start;

-- a set: parents first, whatever the order of the ids
DELETE FROM appdb.folders WHERE name = 'subsub';
DELETE FROM appdb.folders WHERE name = 'sub';
DELETE FROM appdb.folders WHERE name = 'top';
SELECT throws_ok($$SELECT pg_temp.restored('appdb.folders', 51, 52)$$, '23503', NULL, 'a set whose parent is missing: an error');
SELECT is_empty('SELECT * FROM appdb.folders', 'and none of it comes back');
SELECT is(pg_temp.restored('appdb.folders', 51, 59, 52), 'app_data.folders 3, app_data.notes 1', 'a tree that was deleted from below');
DELETE FROM appdb.folders WHERE name = 'top';
SELECT is(pg_temp.restored('appdb.folders', 51, 52, 59), 'app_data.folders 3, app_data.notes 1', 'a tree that was deleted at once, each of it named');
DELETE FROM appdb.folders WHERE name = 'top';
SELECT throws_ok($$SELECT pg_temp.restored('appdb.folders', 51)$$, '23503', NULL, 'no row from the middle of what was deleted');
SELECT throws_ok($$SELECT pg_temp.restored('appdb.folders', 59, 98)$$, 'P0002', NULL, 'a set with a row that is not there');
SELECT is_empty('SELECT * FROM appdb.folders', 'comes back not at all');
ROLLBACK TO start;

DELETE FROM appdb.folders WHERE name IN ('top', 'sub');
SELECT is(pg_temp.restored('appdb.folders', 59), 'app_data.folders 3, app_data.notes 1', 'rows of one statement, one below the other: the upper one is enough');
ROLLBACK TO start;

-- two rows of one operation that have nothing to do with each other
DELETE FROM appdb.chats;
SELECT is(pg_temp.restored('appdb.chats', 22), 'app_data.chats 1', 'a row comes back without those beside it');
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.message_files 1, app_data.messages 4', 'and those when asked for');
ROLLBACK TO start;

-- == two parents ============================================================

DELETE FROM appdb.spaces WHERE name = 'Shared';
SELECT is(pg_temp.restored('appdb.spaces', 11),
	'app_data.chats 2, app_data.files 1, app_data.folders 3, app_data.message_files 1, app_data.messages 4, app_data.notes 2, app_data.spaces 1', 'a row that two ways lead to counts once');
SELECT is((SELECT count(*) FROM appdb.message_files), 1::bigint, 'and is back');
DELETE FROM appdb.files;
DELETE FROM appdb.chats WHERE title = 'Plans';
SELECT is(pg_temp.restored('appdb.files', 41), 'app_data.files 1', 'a file whose message is deleted meanwhile comes back without what belongs to both');
SELECT is((SELECT deleted_at FROM app_data.message_files), (SELECT deleted_at FROM app_data.messages LIMIT 1), 'that passes to the message''s operation');
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.message_files 1, app_data.messages 4', 'and comes back with that');
ROLLBACK TO start;

-- == set null ===============================================================

DELETE FROM appdb.users WHERE name = 'Ben';
SELECT set_eq('SELECT title FROM appdb.notes WHERE user_id IS NULL', ARRAY['deep', 'loose'], 'what a deleted user wrote has no author');
UPDATE appdb.notes SET user_id = pg_temp.id(1) WHERE title = 'loose';
DELETE FROM appdb.messages WHERE content = 'apart';
SELECT is(pg_temp.restored('appdb.users', 2), 'app_data.spaces 1, app_data.users 1', 'the user comes back');
SELECT results_eq('SELECT n.title, a.name FROM appdb.notes n, appdb.author(n) a ORDER BY 1', $$VALUES ('deep', 'Ben'), ('loose', 'Ann')$$, 'and is the author again, except where somebody else has become it');
SELECT results_eq($$SELECT user_id FROM appdb.chats WHERE title = 'Plans'$$, 'SELECT pg_temp.id(2)', 'of everything');
SELECT is(pg_temp.restored('appdb.messages', 34), 'app_data.messages 1', 'what was deleted meanwhile');
SELECT results_eq($$SELECT a.name FROM appdb.messages m, appdb.author(m) a WHERE m.content = 'apart'$$, $$VALUES ('Ben')$$, 'has its author again too');
SELECT is_empty('SELECT * FROM app_data.unlinked', 'nothing is left to remember');
ROLLBACK TO start;

DELETE FROM appdb.messages WHERE content = 'apart';
DELETE FROM appdb.users WHERE name = 'Ben';
SELECT is(pg_temp.restored('appdb.messages', 34), 'app_data.messages 1', 'a row comes back although the author was deleted after it');
SELECT results_eq($$SELECT user_id FROM appdb.messages WHERE content = 'apart'$$, 'VALUES (NULL::uuid)', 'without author');
SELECT is(pg_temp.restored('appdb.users', 2), 'app_data.spaces 1, app_data.users 1', 'who comes back');
SELECT results_eq($$SELECT a.name FROM appdb.messages m, appdb.author(m) a WHERE m.content = 'apart'$$, $$VALUES ('Ben')$$, 'and is its author again');
ROLLBACK TO start;

-- == unique values ==========================================================

DELETE FROM appdb.users WHERE name = 'Ben';
INSERT INTO appdb.users (name, email) VALUES ('Other Ben', 'ben@example.org');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.users', '00000000-0000-4000-8000-000000000002')$$, '23505',
	'cannot restore row 00000000-0000-4000-8000-000000000002 of table "app_data.users": its unique value is taken', 'a unique value that is taken meanwhile');
CREATE FUNCTION pg_temp.error_detail(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	d text;
	c text;
BEGIN
	EXECUTE sql;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, c = CONSTRAINT_NAME;
	RETURN d || ' ' || c;
END $$;
SELECT is(pg_temp.error_detail($$SELECT * FROM appdb.restore('appdb.users', '00000000-0000-4000-8000-000000000002')$$),
	'Key (email)=(ben@example.org) already exists. users_email_key', 'it says which column and value');
SELECT is_empty($$SELECT name FROM appdb.users WHERE name = 'Ben' UNION ALL SELECT name FROM appdb.spaces WHERE name LIKE 'Ben%'$$, 'nothing came back');
DELETE FROM appdb.users WHERE name = 'Other Ben';
SELECT is(pg_temp.restored('appdb.users', 2), 'app_data.spaces 1, app_data.users 1', 'once it is free, all does');
ROLLBACK TO start;

DELETE FROM appdb.folders WHERE name = 'top';
INSERT INTO appdb.folders (id, space_id, name) VALUES (pg_temp.id(58), pg_temp.id(11), 'new');
DELETE FROM appdb.folders WHERE name = 'new';
UPDATE app_data.folders SET parent_id = pg_temp.id(58) WHERE id = pg_temp.id(52);
INSERT INTO appdb.folders (space_id, name) VALUES (pg_temp.id(11), 'top');
SELECT throws_like($$SELECT pg_temp.restored('appdb.folders', 58, 59)$$, '%00000000-0000-4000-8000-000000000059 of table "app_data.folders"%', 'of two rows the one whose value is taken is named');
SELECT is((SELECT count(*) FROM appdb.folders), 1::bigint, 'the other is not restored either');
ROLLBACK TO start;

-- a value that is taken below the row
DELETE FROM appdb.organizations;
UPDATE app_data.spaces SET slug = 's' WHERE id = pg_temp.id(11);
CREATE UNIQUE INDEX spaces_slug_alone ON app_data.spaces (slug) WHERE deleted_at IS NULL;
UPDATE appdb.spaces SET slug = 's' WHERE name LIKE 'Ben%';
SELECT throws_like($$SELECT pg_temp.restored('appdb.organizations', 5)$$, '%00000000-0000-4000-8000-000000000011 of table "app_data.spaces"%', 'a row further down is named');
SELECT is_empty('SELECT * FROM appdb.organizations', 'and nothing came back');
ROLLBACK TO start;

-- what an exclusion constraint keeps apart
CREATE TABLE public.bookings (id uuid PRIMARY KEY, days daterange, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz,
	EXCLUDE USING gist (days WITH &&) WHERE (deleted_at IS NULL));
SELECT appdb.manage('public.bookings');
INSERT INTO appdb.bookings (id, days) VALUES (pg_temp.id(70), '[2024-01-01,2024-02-01)');
DELETE FROM appdb.bookings;
INSERT INTO appdb.bookings (days) VALUES ('[2024-01-31,2024-02-02)');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.bookings', '00000000-0000-4000-8000-000000000070')$$, '23P01',
	'cannot restore row 00000000-0000-4000-8000-000000000070 of table "public.bookings": its place is taken', 'a place that is taken meanwhile');
ROLLBACK TO start;

-- == tables of users ========================================================

CREATE TABLE public.tags (id uuid PRIMARY KEY, space_id uuid REFERENCES app_data.spaces (id), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, name text);
CREATE TABLE public.taggings (id uuid PRIMARY KEY, tag_id uuid REFERENCES public.tags (id), note_id uuid REFERENCES app_data.notes (id), keeper_id uuid REFERENCES app_data.users (id), chat_id uuid REFERENCES app_data.chats (id),
	created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE public.secrets (id uuid PRIMARY KEY, note_id uuid REFERENCES app_data.notes (id), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE INDEX ON public.taggings (tag_id);
SELECT lives_ok($$SELECT appdb.manage('public.tags', label => 'name')$$, 'a table of one''s own');
SELECT lives_ok($$SELECT appdb.manage('public.taggings', relations => '{"keeper_id": {"on_delete": "restrict"}, "chat_id": {"on_delete": "set null"}}')$$, 'with all modes');
SELECT lives_ok($$SELECT appdb.manage('public.secrets')$$, 'and one for good');
INSERT INTO appdb.tags (id, space_id, name) VALUES (pg_temp.id(71), pg_temp.id(11), 'red');
INSERT INTO appdb.taggings (id, tag_id, note_id, keeper_id, chat_id) VALUES (pg_temp.id(72), pg_temp.id(71), pg_temp.id(61), pg_temp.id(1), pg_temp.id(22));
INSERT INTO appdb.secrets (note_id) VALUES (pg_temp.id(61));
SAVEPOINT tags;

SELECT throws_ok($$DELETE FROM appdb.users WHERE name = 'Ann'$$, '23001', NULL, 'restrict refuses');
CREATE FUNCTION pg_temp.refused() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t text;
	c text;
BEGIN
	DELETE FROM appdb.users WHERE name = 'Ann';
EXCEPTION WHEN restrict_violation THEN
	GET STACKED DIAGNOSTICS t = TABLE_NAME, c = CONSTRAINT_NAME;
	RETURN t || ' ' || c;
END $$;
SELECT is(pg_temp.refused(), 'taggings taggings_keeper_id_fkey', 'and says by which constraint, as a foreign key does');
DELETE FROM appdb.chats WHERE title = 'Other';
SELECT is((SELECT chat_id FROM appdb.taggings), NULL, 'set null');
SELECT is(pg_temp.restored('appdb.chats', 22), 'app_data.chats 1', 'is undone');
SELECT is((SELECT chat_id FROM appdb.taggings), pg_temp.id(22), 'for a table of one''s own too');
DELETE FROM appdb.notes WHERE title = 'deep';
SELECT is_empty('SELECT * FROM public.secrets', 'purge');
SELECT is(pg_temp.restored('appdb.notes', 61), 'app_data.notes 1, taggings 1', 'is not, cascade is');
SELECT is_empty('SELECT * FROM public.secrets', 'what is purged is gone');
DELETE FROM appdb.spaces WHERE name = 'Shared';
DELETE FROM appdb.users WHERE name = 'Ann';
SELECT lives_ok($$SELECT * FROM appdb.restore('appdb.spaces', '00000000-0000-4000-8000-000000000011')$$, 'the space comes back');
SELECT is((SELECT count(*) FROM appdb.tags) + (SELECT count(*) FROM appdb.notes), 3::bigint, 'with tags and notes');
SELECT is_empty('SELECT * FROM appdb.taggings', 'but not with the row that keeps a deleted user');
SELECT is(pg_temp.restored('appdb.users', 1), 'app_data.users 1', 'a restricting parent brings nothing back by itself');
SELECT is(pg_temp.restored('appdb.taggings', 72), 'taggings 1', 'but the row can be asked for then');
ROLLBACK TO tags;

-- triggers of users that catch errors, or delete, while rows come back
CREATE FUNCTION pg_temp.nosy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		PERFORM 1 / 0;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	RETURN NEW;
END $$;
CREATE TRIGGER nosy BEFORE UPDATE ON app_data.chats FOR EACH ROW EXECUTE FUNCTION pg_temp.nosy();
CREATE TRIGGER nosy BEFORE UPDATE ON app_data.messages FOR EACH ROW EXECUTE FUNCTION pg_temp.nosy();
DELETE FROM appdb.chats WHERE title = 'Plans';
SELECT is((SELECT count(*) FROM appdb.messages), 0::bigint, 'a trigger that catches an error does not stop a cascade');
SELECT is((SELECT rows FROM app_data.deletions ORDER BY id DESC LIMIT 1), 6::bigint, 'which is one operation');
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.message_files 1, app_data.messages 4', 'nor a restore');
ROLLBACK TO tags;

CREATE FUNCTION pg_temp.tidy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.deleted_at IS NULL AND OLD.deleted_at IS NOT NULL THEN
		DELETE FROM appdb.folders WHERE name = 'top';
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER tidy AFTER UPDATE ON app_data.chats FOR EACH ROW EXECUTE FUNCTION pg_temp.tidy();
DELETE FROM appdb.chats WHERE title = 'Plans';
SELECT is(pg_temp.restored('appdb.chats', 21), 'app_data.chats 1, app_data.message_files 1, app_data.messages 4', 'a restore counts what it brings back');
SELECT is_empty('SELECT * FROM appdb.folders', 'what a trigger deletes meanwhile is deleted');
SELECT set_eq('SELECT title FROM appdb.notes', ARRAY['loose'], 'with all below');
SELECT is(pg_temp.restored('appdb.folders', 59), 'app_data.folders 3, app_data.notes 1, taggings 1', 'as an operation of its own');
ROLLBACK TO tags;

-- == by UPDATE ==============================================================

DELETE FROM appdb.chats WHERE title = 'Plans';
UPDATE app_data.chats SET deleted_at = NULL WHERE title = 'Plans';
SELECT is((SELECT count(*) FROM appdb.messages), 0::bigint, 'an UPDATE of the base table brings back a row alone');
SELECT throws_ok($$UPDATE app_data.message_files SET deleted_at = NULL$$, '23503', NULL, 'and none under a deleted parent');
SELECT is(pg_temp.restored('appdb.messages', 33), 'app_data.message_files 1, app_data.messages 3', 'what went with it can be restored from where it is cut');
ROLLBACK TO start;

-- == who may ================================================================

CREATE ROLE appdb_test_deleter;
CREATE ROLE appdb_test_reader;
CREATE ROLE appdb_test_stranger;
ALTER TABLE app_data.chats DISABLE ROW LEVEL SECURITY;
GRANT SELECT, DELETE ON appdb.chats TO appdb_test_deleter;
GRANT SELECT ON appdb.chats, app_data.chats TO appdb_test_reader;
DELETE FROM appdb.chats WHERE title = 'Plans';
SET LOCAL ROLE appdb_test_reader;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')$$, '42501', NULL, 'not who can only read');
SELECT throws_ok($$SELECT * FROM appdb.restore('app_data.chats', '00000000-0000-4000-8000-000000000021')$$, '42501', NULL, 'also by the base table');
SET LOCAL ROLE appdb_test_stranger;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000099')$$, '42501', NULL, 'a stranger learns nothing');
SET LOCAL ROLE appdb_test_deleter;
SELECT results_eq($$SELECT restored::text, rows FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')$$,
	$$VALUES ('app_data.chats', 1::bigint), ('app_data.message_files', 1), ('app_data.messages', 4)$$, 'who may delete from the view may restore, with what went with the row');
RESET ROLE;
SELECT is(current_user::text, session_user::text, 'as who one is');

-- row security
DELETE FROM appdb.chats;
ALTER TABLE app_data.chats ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app_data.chats TO appdb_test_deleter USING (user_id = pg_temp.id(1));
SET LOCAL ROLE appdb_test_deleter;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000022')$$, '42501', NULL, 'policies need the privilege to read the table');
RESET ROLE;
GRANT SELECT (id, user_id) ON app_data.chats TO appdb_test_deleter;
SET LOCAL ROLE appdb_test_deleter;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')$$, 'P0002', NULL, 'a row that policies hide is not restored');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', ARRAY[pg_temp.id(22), pg_temp.id(21)])$$, 'P0002', NULL, 'nor in a set');
SELECT is((SELECT rows FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000022')), 1::bigint, 'one that they show is');
RESET ROLE;
DELETE FROM appdb.chats;
DROP POLICY own ON app_data.chats;
CREATE POLICY see ON app_data.chats FOR SELECT TO appdb_test_deleter USING (true);
CREATE POLICY change ON app_data.chats FOR UPDATE TO appdb_test_deleter USING (true);
CREATE POLICY remove ON app_data.chats FOR DELETE TO appdb_test_deleter USING (user_id = '00000000-0000-4000-8000-000000000001');
SET LOCAL ROLE appdb_test_deleter;
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000021')$$, 'P0002', NULL, 'who may see and change a row but not delete it does not restore it');
SELECT is((SELECT rows FROM appdb.restore('appdb.chats', '00000000-0000-4000-8000-000000000022')), 1::bigint, 'who may delete it does');
RESET ROLE;
ROLLBACK TO start;

-- a table whose owner is somebody else
CREATE ROLE appdb_test_owner;
GRANT ALL ON SCHEMA public TO appdb_test_owner;
CREATE TABLE public.marks (id uuid PRIMARY KEY, note_id uuid REFERENCES app_data.notes (id), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
SELECT lives_ok($$SELECT appdb.manage('public.marks')$$, 'a table');
ALTER TABLE public.marks OWNER TO appdb_test_owner;
INSERT INTO appdb.marks (id, note_id) VALUES (pg_temp.id(81), pg_temp.id(61));
DELETE FROM appdb.marks;
SELECT is(pg_temp.restored('appdb.marks', 81), 'marks 1', 'that belongs to who may read nothing else');
DELETE FROM appdb.folders WHERE name = 'top';
SELECT is(pg_temp.restored('appdb.folders', 59), 'app_data.folders 3, app_data.notes 1, marks 1', 'also below others');
ROLLBACK TO start;

-- == circles ================================================================

-- groups: of a folder; each has a next one and a first one (of a ring, or itself), and a leader among its people
CREATE TABLE public.rings (id uuid PRIMARY KEY, note_id uuid REFERENCES app_data.notes (id), first_id uuid REFERENCES public.rings (id), next_id uuid REFERENCES public.rings (id), leader_id uuid,
	created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE public.people (id uuid PRIMARY KEY, ring_id uuid REFERENCES public.rings (id), name text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
ALTER TABLE public.rings ADD FOREIGN KEY (leader_id) REFERENCES public.people (id);
SELECT lives_ok($$SELECT appdb.manage('public.rings'), appdb.manage('public.people')$$, 'tables whose rows can be in circles');
CREATE PROCEDURE pg_temp.ring() LANGUAGE plpgsql AS $$
BEGIN
	SET LOCAL session_replication_role = replica;
	DELETE FROM people;
	DELETE FROM rings;
	RESET session_replication_role;
	-- 101 is of a note, and its own first; 102 follows it, and both are in a ring with 103; below it 104, of its own people
	INSERT INTO appdb.rings (id, note_id, first_id) VALUES (pg_temp.id(101), pg_temp.id(61), pg_temp.id(101));
	INSERT INTO appdb.rings (id, first_id) SELECT pg_temp.id(n), pg_temp.id(101) FROM generate_series(102, 104) n;
	UPDATE appdb.rings r SET next_id = pg_temp.id(n.b) FROM (VALUES (101, 102), (102, 103), (103, 101), (104, 103)) n (a, b) WHERE r.id = pg_temp.id(n.a);
	INSERT INTO appdb.people (id, ring_id, name) VALUES (pg_temp.id(111), pg_temp.id(104), 'Ann'), (pg_temp.id(112), pg_temp.id(101), 'Ben');
	UPDATE appdb.rings SET leader_id = pg_temp.id(111) WHERE id = pg_temp.id(104);
END $$;
CREATE FUNCTION pg_temp.gone() RETURNS text[] LANGUAGE sql AS
$$ SELECT ARRAY(SELECT right(x.id::text, 3) FROM (SELECT id, deleted_at FROM rings UNION ALL SELECT id, deleted_at FROM people) x WHERE deleted_at IS NOT NULL ORDER BY 1) $$;
CALL pg_temp.ring();
DELETE FROM appdb.rings WHERE id = pg_temp.id(101);
SELECT is(pg_temp.gone(), '{101,102,103,104,111,112}', 'a row takes all of its circle');
SELECT is(pg_temp.restored('appdb.rings', 101), 'people 2, rings 4', 'and brings it back');
DELETE FROM appdb.people WHERE name = 'Ann';
SELECT is(pg_temp.gone(), '{104,111}', 'one whose child is its parent');
SELECT is(pg_temp.restored('appdb.people', 111), 'people 1, rings 1', 'comes back with that');
DELETE FROM appdb.notes WHERE id = pg_temp.id(61);
SELECT is(pg_temp.gone(), '{101,102,103,104,111,112}', 'a circle below another row goes with that');
SELECT throws_like($$SELECT * FROM appdb.restore('appdb.rings', '00000000-0000-4000-8000-000000000103')$$, '%its parent in table%is deleted', 'not back without it');
SELECT throws_like($$SELECT * FROM appdb.restore('appdb.rings', ARRAY[pg_temp.id(103), pg_temp.id(102)])$$, '%its parent in table%is deleted', 'nor half of it');
SELECT is(pg_temp.restored('appdb.notes', 61), 'app_data.notes 1, people 2, rings 4', 'but with it');
-- what is in a circle, and has a parent that was deleted otherwise, goes to that
INSERT INTO appdb.rings (id) VALUES (pg_temp.id(105));
UPDATE appdb.people SET ring_id = pg_temp.id(105) WHERE name = 'Ann';
DELETE FROM appdb.notes WHERE id = pg_temp.id(61);
DELETE FROM appdb.rings WHERE id = pg_temp.id(105);
SELECT is(pg_temp.restored('appdb.notes', 61), 'app_data.notes 1, people 1, rings 3', 'what was deleted with another row before does not come back');
SELECT is(pg_temp.gone(), '{104,105,111}', 'and what needs it neither');
SELECT is(pg_temp.restored('appdb.rings', 105), 'people 1, rings 2', 'until that does');
SELECT is(pg_temp.gone(), '{}', 'then all are there');
-- one that is its own parent is in the trash, and comes back, also by an UPDATE of the base table
DELETE FROM appdb.people;
UPDATE appdb.rings SET next_id = NULL WHERE id = pg_temp.id(101);
DELETE FROM appdb.rings WHERE id = pg_temp.id(101);
SELECT is((SELECT rows_with_it FROM appdb.trash WHERE id = pg_temp.id(101)), 2::bigint, 'what is its own parent is in the trash');
UPDATE rings SET deleted_at = NULL, next_id = NULL WHERE id = pg_temp.id(101);
SELECT is(pg_temp.gone(), '{102,103,104,111,112}', 'a row does not wait for itself');
-- asked for together with what is below them
CALL pg_temp.ring();
UPDATE appdb.rings SET first_id = NULL, next_id = NULL WHERE id = pg_temp.id(101);
UPDATE appdb.rings SET first_id = pg_temp.id(103), next_id = NULL WHERE id = pg_temp.id(103);
DELETE FROM appdb.rings WHERE id = pg_temp.id(103);
SELECT is(pg_temp.gone(), '{102,103,104,111}', 'what is its own parent takes those below it, whose ids can be lower');
SELECT is(pg_temp.restored('appdb.rings', 102, 103, 104), 'people 1, rings 3', 'all can be asked for at once');
ROLLBACK TO start;

-- == large rows =============================================================

-- of them only foreign keys are read: all that is stored apart, of many rows at once, can be more than there is memory for
CREATE TABLE large (id uuid PRIMARY KEY, user_id uuid REFERENCES app_data.users, content text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
ALTER TABLE large ALTER content SET STORAGE EXTERNAL;
CREATE INDEX ON large (user_id);
SELECT appdb.manage('large');
INSERT INTO appdb.large (id, user_id, content) SELECT pg_temp.id(200 + n), pg_temp.id(1), repeat('x', 10000) FROM generate_series(1, 3) n;
DELETE FROM appdb.large;
CREATE FUNCTION pg_temp.toast_reads() RETURNS bigint LANGUAGE sql AS
$$ SELECT t.idx_scan FROM pg_stat_xact_all_tables t JOIN pg_class c ON c.reltoastrelid = t.relid WHERE c.oid = 'large'::regclass $$;
SELECT pg_temp.toast_reads() AS before \gset
SELECT is(pg_temp.restored('appdb.large', 201, 202, 203), 'large 3', 'large rows come back');
SELECT is(pg_temp.toast_reads(), :before::bigint, 'and what is large of them was not read');
ROLLBACK TO start;

-- == what is in the way otherwise ===========================================

CREATE FUNCTION pg_temp.leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
DELETE FROM appdb.notes WHERE id = pg_temp.id(62);
CREATE TRIGGER aaa BEFORE UPDATE ON app_data.notes FOR EACH ROW EXECUTE FUNCTION pg_temp.leave();
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.notes', '00000000-0000-4000-8000-000000000062')$$, '09000', 'row 00000000-0000-4000-8000-000000000062 of table "app_data.notes" was not restored', 'a trigger that leaves the row as it is');
ROLLBACK TO start;
SELECT throws_ok($$SELECT * FROM appdb.restore(1::regclass, pg_temp.id(62))$$, '42P01', 'relation with OID 1 does not exist', 'one that is not there');

SELECT is_empty('SELECT * FROM app_data.deletions', 'and nothing of all that happened');

SELECT * FROM finish();
ROLLBACK;
