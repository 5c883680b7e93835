-- note: folders, which stay a tree, and notes.
BEGIN;
SELECT plan(46);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'two');

-- == folders ================================================================

SELECT lives_ok($$INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000b', 'c'),
	('00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'b'),
	('00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-000000000001', NULL, 'a'),
	('00000000-0000-4000-8000-00000000000d', '00000000-0000-4000-8000-000000000001', NULL, 'd'),
	('00000000-0000-4000-8000-0000000000e1', '00000000-0000-4000-8000-000000000002', NULL, 'a')$$, 'folders can be made all at once, in any order');
SELECT throws_ok($$INSERT INTO appdb.folders (space_id, parent_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000a', 'b')$$,
	'23505', NULL, 'siblings have different names');
SELECT throws_ok($$INSERT INTO appdb.folders (space_id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'a')$$, '23505', NULL, 'at the top too');
SELECT lives_ok($$INSERT INTO appdb.folders (space_id, parent_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000d', 'b')$$, 'elsewhere a name can come again');
SELECT throws_ok($$INSERT INTO appdb.folders (space_id, parent_id, name) VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000a', 'x')$$,
	'23503', NULL, 'a folder is in the space of the one that it is in');
SELECT throws_ok($$INSERT INTO appdb.folders (space_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '')$$, '23514', NULL, 'a folder has a name');

SELECT is(appdb.folder_path('00000000-0000-4000-8000-00000000000c'), 'a/b/c', 'the path of a folder');
SELECT is(appdb.folder_path('00000000-0000-4000-8000-00000000000a'), 'a', 'of one at the top');
SELECT is(appdb.folder_path('00000000-0000-4000-8000-0000000000ff'), NULL, 'of none');
SELECT is(appdb.folder_path(NULL), NULL, 'of nothing');

-- == moving =================================================================

SELECT lives_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000d' WHERE id = '00000000-0000-4000-8000-00000000000a'$$, 'a folder is moved by one UPDATE');
SELECT is(appdb.folder_path('00000000-0000-4000-8000-00000000000c'), 'd/a/b/c', 'with all that is in it');
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000c' WHERE id = '00000000-0000-4000-8000-00000000000d'$$,
	'23514', 'a row of "folders" cannot be below itself', 'but not into what is in it');
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = id WHERE id = '00000000-0000-4000-8000-00000000000d'$$, '23514', NULL, 'nor into itself');
SELECT throws_ok($$INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	('00000000-0000-4000-8000-0000000000f1', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000f2', 'x'),
	('00000000-0000-4000-8000-0000000000f2', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000f1', 'y')$$, '23514', NULL, 'nor are two made in each other');
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = CASE name WHEN 'c' THEN '00000000-0000-4000-8000-00000000000a'::uuid ELSE '00000000-0000-4000-8000-00000000000c' END
	WHERE id IN ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000a')$$, '23514', NULL, 'nor moved into each other in one statement');
SELECT lives_ok($$UPDATE appdb.folders SET parent_id = CASE name WHEN 'c' THEN '00000000-0000-4000-8000-00000000000d'::uuid ELSE '00000000-0000-4000-8000-00000000000c' END
	WHERE id IN ('00000000-0000-4000-8000-00000000000c', '00000000-0000-4000-8000-00000000000a')$$, 'what ends as a tree may be moved in one statement');
SELECT is(appdb.folder_path('00000000-0000-4000-8000-00000000000b'), 'd/c/a/b', 'whatever it was meanwhile');
SELECT throws_ok($$UPDATE appdb.folders SET space_id = '00000000-0000-4000-8000-000000000002' WHERE id = '00000000-0000-4000-8000-00000000000a'$$, '23503', NULL, 'folders stay in their space');
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000d' WHERE id = '00000000-0000-4000-8000-00000000000b'$$, '23505', NULL, 'and do not push out others of their name');
SELECT lives_ok($$UPDATE appdb.folders SET parent_id = NULL WHERE id = '00000000-0000-4000-8000-00000000000a'$$, 'a folder is moved to the top');

-- == notes ==================================================================

SELECT results_eq($$INSERT INTO appdb.notes (space_id, folder_id, user_id, title, content)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000b', '00000000-0000-4000-8000-0000000000a1', 'first', 'text') RETURNING title, content, pinned_at$$,
	$$VALUES ('first', 'text', NULL::timestamptz)$$, 'a note in a folder');
SELECT lives_ok($$INSERT INTO appdb.notes (space_id, title) VALUES ('00000000-0000-4000-8000-000000000001', 'loose')$$, 'a note in none');
SELECT lives_ok($$INSERT INTO appdb.notes (space_id) VALUES ('00000000-0000-4000-8000-000000000001')$$, 'a note that is empty');
SELECT lives_ok($$INSERT INTO appdb.notes (space_id, folder_id, title) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000b', 'first')$$, 'notes may be called the same');
SELECT throws_ok($$INSERT INTO appdb.notes (space_id, folder_id) VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-00000000000b')$$, '23503', NULL,
	'a note is in the space of its folder');
SELECT lives_ok($$UPDATE appdb.notes SET pinned_at = now() WHERE title = 'loose'$$, 'a note is pinned');

SELECT results_eq($$SELECT kind, name, depth, path FROM appdb.folder_contents('00000000-0000-4000-8000-00000000000a')$$,
	$$VALUES ('folder', 'b', 1, 'b'), ('note', 'first', 2, 'b/first'), ('note', 'first', 2, 'b/first')$$, 'what is in a folder, and in those');
INSERT INTO appdb.folders (id, space_id, parent_id, name, position)
	SELECT ('00000000-0000-4000-8000-0000000000' || id)::uuid, '00000000-0000-4000-8000-000000000001', ('00000000-0000-4000-8000-0000000000' || parent)::uuid, name, position
	FROM (VALUES ('91', '0a', 'z', -1), ('92', '91', 'y', 2), ('93', '91', 'x', 3), ('94', '92', 'b', 0), ('95', '91', 'w', 0)) AS v (id, parent, name, position);
INSERT INTO appdb.notes (space_id, folder_id, title)
	SELECT '00000000-0000-4000-8000-000000000001', id, 'w' FROM appdb.folders WHERE name = 'z';
SELECT results_eq($$SELECT kind, path FROM appdb.folder_contents('00000000-0000-4000-8000-00000000000a')$$,
	$$VALUES ('folder', 'z'), ('folder', 'z/w'), ('note', 'z/w'), ('folder', 'z/y'), ('folder', 'z/y/b'), ('folder', 'z/x'),
		('folder', 'b'), ('note', 'b/first'), ('note', 'b/first')$$, 'siblings by position, then by name');
DELETE FROM appdb.folders WHERE name = 'z';
SELECT is_empty($$SELECT FROM appdb.folder_contents('00000000-0000-4000-8000-0000000000e1')$$, 'nothing in one that is empty');
SELECT is_empty($$SELECT FROM appdb.folder_contents('00000000-0000-4000-8000-0000000000ff')$$, 'nor in one that is not there');
SELECT results_eq($$SELECT DISTINCT appdb.folder_path(n.folder_id) FROM appdb.notes AS n WHERE n.folder_id IS NOT NULL$$, $$VALUES ('a/b')$$, 'where notes are');

-- == relations and deleted folders ==========================================

SELECT results_eq($$SELECT f.name, u.name FROM appdb.notes AS n, appdb.folder(n) AS f, appdb.author(n) AS u$$, $$VALUES ('b', 'Ann')$$, 'a note''s folder and author');
SELECT results_eq($$SELECT c.name FROM appdb.folders AS f, appdb.children(f) AS c WHERE f.id = '00000000-0000-4000-8000-00000000000a'$$, $$VALUES ('b')$$, 'a folder''s folders');
SELECT results_eq($$SELECT p.name FROM appdb.folders AS f, appdb.parent(f) AS p WHERE f.id = '00000000-0000-4000-8000-00000000000b'$$, $$VALUES ('a')$$, 'the folder that it is in');
SELECT results_eq($$SELECT count(*) FROM appdb.folders AS f, appdb.notes(f) AS n WHERE f.name = 'b'$$, $$VALUES (2::bigint)$$, 'a folder''s notes');
SELECT lives_ok($$DELETE FROM appdb.folders WHERE id = '00000000-0000-4000-8000-00000000000c'$$, 'a folder is deleted');
SELECT lives_ok($$INSERT INTO appdb.folders (space_id, parent_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-00000000000d', 'c')$$, 'its name can be used again');
SELECT is(appdb.folder_path('00000000-0000-4000-8000-00000000000c'), NULL, 'a deleted folder has no path');

-- == what cannot be, except where triggers did not fire ======================

SET LOCAL session_replication_role = replica;
UPDATE app_data.folders SET parent_id = '00000000-0000-4000-8000-00000000000b' WHERE id = '00000000-0000-4000-8000-00000000000a';
SET LOCAL session_replication_role = origin;
SELECT throws_ok($$SELECT appdb.folder_path('00000000-0000-4000-8000-00000000000b')$$, 'XX001', NULL, 'a cycle has no path');
SELECT results_eq($$SELECT kind, name FROM appdb.folder_contents('00000000-0000-4000-8000-00000000000a')$$, $$VALUES ('folder', 'b'), ('note', 'first'), ('note', 'first')$$,
	'and its contents once');
SELECT lives_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000a' WHERE name = 'd'$$, 'others can be moved there');
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000d' WHERE id = '00000000-0000-4000-8000-00000000000b'$$, '23505', NULL,
	'where there is no other of the name');
UPDATE appdb.folders SET name = 'b2' WHERE id = '00000000-0000-4000-8000-00000000000b';
SELECT throws_ok($$UPDATE appdb.folders SET parent_id = '00000000-0000-4000-8000-00000000000d' WHERE id = '00000000-0000-4000-8000-00000000000b'$$, '23514', NULL,
	'but not the cycle below itself');
SELECT lives_ok($$UPDATE appdb.folders SET parent_id = NULL WHERE id = '00000000-0000-4000-8000-00000000000a'$$, 'and it can be undone');

-- == trees of one's own ======================================================

CREATE TABLE places (id uuid PRIMARY KEY DEFERRABLE, parent_id uuid);
CREATE TRIGGER places_forbid_cycles AFTER INSERT OR UPDATE ON places FOR EACH ROW EXECUTE FUNCTION appdb.forbid_cycles('parent_id');
SELECT throws_ok($$INSERT INTO places VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002')$$, '42704',
	'the primary key of table "places" is deferrable', 'rows are looked up by a primary key that holds at once');

SELECT * FROM finish();
ROLLBACK;
