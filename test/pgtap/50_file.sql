-- file: files and who may use them.
BEGIN;
SELECT plan(28);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann'), ('00000000-0000-4000-8000-0000000000b1', 'Ben');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000b1', 'two');

-- == files ==================================================================

SELECT results_eq($$INSERT INTO appdb.files (id, space_id, user_id, name)
	VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'a.txt')
	RETURNING name, mime_type, size_bytes, storage_provider, status::text$$,
	$$VALUES ('a.txt', 'application/octet-stream', NULL::bigint, 'local', 'pending')$$, 'a file that is going to be uploaded');
SELECT lives_ok($$UPDATE appdb.files SET mime_type = 'text/plain', size_bytes = 5, checksum_sha256 = encode(sha256('hello'), 'hex'), storage_key = 'k1', status = 'uploaded'
	WHERE name = 'a.txt'$$, 'and then is');
SELECT throws_ok($$INSERT INTO appdb.files (space_id, name, storage_key) VALUES ('00000000-0000-4000-8000-000000000001', 'b.txt', 'k1')$$, '23505', NULL,
	'no two files of a space are stored in the same place');
SELECT lives_ok($$INSERT INTO appdb.files (space_id, name, storage_key) VALUES ('00000000-0000-4000-8000-000000000002', 'b.txt', 'k1')$$,
	'what another space has stored where, nobody learns');
SELECT lives_ok($$INSERT INTO appdb.files (space_id, name, storage_provider, storage_key) VALUES ('00000000-0000-4000-8000-000000000001', 'b.txt', 's3', 'k1')$$, 'another store is another place');
SELECT throws_ok($$UPDATE appdb.files SET size_bytes = -1$$, '23514', NULL, 'there are no negative sizes');
SELECT throws_ok($$UPDATE appdb.files SET checksum_sha256 = 'abc'$$, '23514', NULL, 'a checksum is of SHA-256');
SELECT throws_ok($$UPDATE appdb.files SET checksum_sha256 = upper(checksum_sha256) WHERE checksum_sha256 IS NOT NULL$$, '23514', NULL, 'in small letters, so that equal ones are equal');
SELECT throws_ok($$INSERT INTO appdb.files (space_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '')$$, '23514', NULL, 'a file has a name');
SELECT results_eq($$UPDATE appdb.files SET size_bytes = 5000000000 WHERE name = 'a.txt' RETURNING size_bytes$$, $$VALUES (5000000000)$$, 'files may be big');

-- == permissions ============================================================

SELECT results_eq($$INSERT INTO appdb.file_permissions (space_id, file_id, user_id, granted_by)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1', '00000000-0000-4000-8000-0000000000a1')
	RETURNING permission::text, expires_at$$, $$VALUES ('read', NULL::timestamptz)$$, 'somebody may read a file');
SELECT lives_ok($$INSERT INTO appdb.file_permissions (space_id, file_id, permission, expires_at)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 'write', now() + interval '1 day')$$, 'everyone in the space may write it for a while');
SELECT throws_ok($$INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1', 'write')$$, '23505', NULL, 'a person has one permission on a file');
SELECT throws_ok($$INSERT INTO appdb.file_permissions (space_id, file_id) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011')$$, '23505', NULL,
	'and so has everyone');
SELECT lives_ok($$INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 'manage')
	ON CONFLICT (space_id, file_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET permission = excluded.permission$$, 'which an upsert changes');
SELECT set_eq($$SELECT p.permission::text FROM appdb.files AS f, appdb.permissions(f) AS p WHERE f.name = 'a.txt'$$, ARRAY['read', 'manage'], 'a file''s permissions');
SELECT throws_ok($$INSERT INTO appdb.file_permissions (space_id, file_id, user_id)
	VALUES ('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1')$$, '23503', NULL,
	'a permission is in the space of its file');
SELECT throws_ok($$UPDATE appdb.file_permissions SET permission = 'delete'$$, '22P02', NULL, 'one may read, write or manage');
SELECT results_eq($$SELECT g.name FROM appdb.file_permissions AS p, appdb.granter(p) AS g$$, $$VALUES ('Ann')$$, 'who allowed it is known');
SELECT results_eq($$SELECT u.name FROM appdb.files AS f, appdb.shared_with(f) AS u WHERE f.name = 'a.txt'$$, $$VALUES ('Ben')$$, 'with whom a file is shared');
SELECT results_eq($$SELECT f.name FROM appdb.users AS u, appdb.shared_files(u) AS f WHERE u.name = 'Ben'$$, $$VALUES ('a.txt')$$, 'the files that are shared with a user');
SELECT results_eq($$DELETE FROM appdb.file_permissions WHERE user_id IS NOT NULL RETURNING permission::text$$, $$VALUES ('read')$$, 'a permission is taken back');
SELECT lives_ok($$INSERT INTO appdb.file_permissions (space_id, file_id, user_id)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1')$$, 'and given again');
SELECT throws_ok($$DELETE FROM app_data.users WHERE name = 'Ben'$$, '23503', NULL, 'a user who has permissions is not erased: theirs would become everyone''s');

-- == relations and deleted files ============================================

SELECT results_eq($$SELECT u.name, s.name FROM appdb.files AS f, appdb.uploader(f) AS u, appdb.space(f) AS s WHERE f.name = 'a.txt'$$, $$VALUES ('Ann', 'one')$$, 'a file''s uploader and space');
SELECT results_eq($$SELECT f.name FROM appdb.users AS u, appdb.files(u) AS f WHERE u.name = 'Ann'$$, $$VALUES ('a.txt')$$, 'the files that a user uploaded');
SELECT results_eq($$DELETE FROM appdb.files WHERE name = 'a.txt' RETURNING storage_key$$, $$VALUES ('k1')$$, 'a file is deleted');
SELECT lives_ok($$INSERT INTO appdb.files (space_id, name, storage_key) VALUES ('00000000-0000-4000-8000-000000000001', 'new.txt', 'k1')$$, 'its place can be used again');

SELECT * FROM finish();
ROLLBACK;
