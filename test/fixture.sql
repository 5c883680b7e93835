-- fixture.sql: rows in every built-in table, live and deleted, made through
-- the live views.  For the tests that carry a database from one state to
-- another and compare it.
\set ON_ERROR_STOP 1
BEGIN;
INSERT INTO appdb.users (id, name, email, email_verified, metadata) VALUES
	('00000000-0000-7000-8000-000000000001', 'Ada "the first"', 'ada@example.org', true, '{"a": [1, 2.50, null]}'),
	('00000000-0000-7000-8000-000000000002', E'Tab\there, back\\slash', 'Bob@Example.org', false, '{}'),
	('00000000-0000-7000-8000-000000000003', NULL, NULL, false, '{"ключ": "значение"}'),
	('00000000-0000-7000-8000-000000000004', 'Gone', 'gone@example.org', false, '{}');
INSERT INTO appdb.accounts (user_id, provider_id, account_id, password) VALUES
	('00000000-0000-7000-8000-000000000001', 'credential', 'ada', 'scrypt:x'),
	('00000000-0000-7000-8000-000000000004', 'github', '42', NULL);
INSERT INTO appdb.organizations (id, name, slug) VALUES
	('00000000-0000-7000-8000-000000000011', 'Org', 'org'),
	('00000000-0000-7000-8000-000000000012', 'Dissolved', 'dissolved');
INSERT INTO appdb.sessions (user_id, token, expires_at, active_organization_id) VALUES
	('00000000-0000-7000-8000-000000000001', 'token-1', '2030-01-01', '00000000-0000-7000-8000-000000000011'),
	('00000000-0000-7000-8000-000000000002', 'token-2', '2030-01-01', NULL);
INSERT INTO appdb.verifications (identifier, value, expires_at) VALUES ('ada@example.org', '123456', '2030-01-01');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES
	('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000001', 'owner'),
	('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000002', 'member'),
	('00000000-0000-7000-8000-000000000012', '00000000-0000-7000-8000-000000000001', 'owner');
INSERT INTO appdb.spaces (id, organization_id, owner_id, name, slug) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000011', NULL, 'Shared', 'shared'),
	('00000000-0000-7000-8000-000000000022', NULL, '00000000-0000-7000-8000-000000000002', 'Own', NULL),
	('00000000-0000-7000-8000-000000000023', '00000000-0000-7000-8000-000000000011', NULL, 'Closed', 'closed');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001', 'owner'),
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000002', 'viewer'),
	('00000000-0000-7000-8000-000000000022', '00000000-0000-7000-8000-000000000002', 'owner'),
	('00000000-0000-7000-8000-000000000023', '00000000-0000-7000-8000-000000000001', 'owner');
INSERT INTO appdb.invitations (organization_id, space_id, email, role, expires_at, inviter_id) VALUES
	('00000000-0000-7000-8000-000000000011', NULL, 'new@example.org', 'member', '2030-01-01', '00000000-0000-7000-8000-000000000001'),
	(NULL, '00000000-0000-7000-8000-000000000021', 'guest@example.org', 'viewer', '2030-01-01', '00000000-0000-7000-8000-000000000001');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES
	('00000000-0000-7000-8000-000000000031', '00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001', 'Chat'),
	('00000000-0000-7000-8000-000000000032', '00000000-0000-7000-8000-000000000023', '00000000-0000-7000-8000-000000000001', 'Chat of a closed space');
INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, user_id, role, content, parts)
SELECT ('00000000-0000-7000-8000-0000000001' || lpad(i::text, 2, '0'))::uuid, '00000000-0000-7000-8000-000000000021',
	'00000000-0000-7000-8000-000000000031',
	CASE WHEN i > 1 THEN ('00000000-0000-7000-8000-0000000001' || lpad((i / 2)::text, 2, '0'))::uuid END,
	'00000000-0000-7000-8000-000000000001', 'user', repeat('line ' || i || E'\n', i * 10), '[{"type": "text"}]'
FROM generate_series(1, 40) AS i;
INSERT INTO appdb.files (id, space_id, user_id, name, size_bytes, checksum_sha256, storage_key, status) VALUES
	('00000000-0000-7000-8000-000000000041', '00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001', 'a.txt', 3,
	encode(sha256('abc'), 'hex'), 'a', 'uploaded'),
	('00000000-0000-7000-8000-000000000042', '00000000-0000-7000-8000-000000000021', NULL, 'b.txt', NULL, NULL, NULL, 'pending');
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000041', '00000000-0000-7000-8000-000000000002', 'read'),
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000041', NULL, 'read');
INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000101', '00000000-0000-7000-8000-000000000041');
-- the parent's id is the greater one: a restore cannot count on an order
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	('00000000-0000-7000-8000-000000000059', '00000000-0000-7000-8000-000000000021', NULL, 'Top');
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	('00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000059', 'Sub'),
	('00000000-0000-7000-8000-000000000052', '00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000059', 'Thrown away');
INSERT INTO appdb.notes (space_id, folder_id, user_id, title, content) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000051', '00000000-0000-7000-8000-000000000001', 'Note', 'Text'),
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000052', '00000000-0000-7000-8000-000000000004', 'Old', ''),
	('00000000-0000-7000-8000-000000000021', NULL, NULL, '', E'\\.\n\\N');
INSERT INTO appdb.subscriptions (organization_id, plan, status, provider_subscription_id) VALUES
	('00000000-0000-7000-8000-000000000011', 'team', 'active', 'sub_1');
INSERT INTO appdb.subscriptions (user_id, plan, status, provider_subscription_id) VALUES
	('00000000-0000-7000-8000-000000000002', 'solo', 'canceled', 'sub_2');
SELECT appdb.enqueue('index', '{"n": 1}', dedupe_key => 'k', space_id => '00000000-0000-7000-8000-000000000021') AS task \gset
SELECT appdb.enqueue('mail', user_id => '00000000-0000-7000-8000-000000000001') AS task \gset
INSERT INTO appdb.schedules (name, cron, kind, next_run_at, user_id) VALUES ('nightly', '0 3 * * *', 'report', '2030-01-01 03:00+00', '00000000-0000-7000-8000-000000000001');
COMMIT;

-- what was deleted, in operations of their own
DELETE FROM appdb.users WHERE id = '00000000-0000-7000-8000-000000000004';
DELETE FROM appdb.organizations WHERE id = '00000000-0000-7000-8000-000000000012';
DELETE FROM appdb.spaces WHERE id = '00000000-0000-7000-8000-000000000023';
DELETE FROM appdb.folders WHERE id = '00000000-0000-7000-8000-000000000052';
DELETE FROM appdb.messages WHERE id = '00000000-0000-7000-8000-000000000140';
-- and its unique values used again
INSERT INTO appdb.users (name, email) VALUES ('Another', 'gone@example.org');
INSERT INTO appdb.organizations (name, slug) VALUES ('Dissolved, founded again', 'dissolved');
SELECT appdb.hold('00000000-0000-7000-8000-000000000011', 'Court order') \gset
UPDATE appdb.users SET name = 'Ada' WHERE id = '00000000-0000-7000-8000-000000000001';
