-- What does not fire the engine's triggers a second time: the apply of logical
-- replication and restores of dumps; and upserts beside deleted duplicates.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET datestyle = 'ISO, MDY';
SET timezone = 'UTC';
SELECT appdb.version() IS NOT NULL AS loaded;

-- == upserts ================================================================
INSERT INTO appdb.users (name, email) VALUES ('one', 'up@example.org');
INSERT INTO appdb.users (name, email) VALUES ('two', 'up@example.org')
	ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name || ' after ' || users.name RETURNING name;
-- a deleted duplicate is no conflict
DELETE FROM appdb.users WHERE email = 'up@example.org' RETURNING name, deleted_at;
INSERT INTO appdb.users (name, email) VALUES ('three', 'up@example.org')
	ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = 'wrong' RETURNING name;
INSERT INTO appdb.users (name, email) VALUES ('four', 'up@example.org')
	ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name RETURNING name;
INSERT INTO appdb.users (name, email) VALUES ('five', 'up@example.org') ON CONFLICT DO NOTHING RETURNING name;
SELECT name, deleted_at IS NOT NULL AS deleted FROM app_data.users WHERE email = 'up@example.org' ORDER BY name;
-- by id: the row is there, deleted (DO UPDATE fails or changes what nobody sees, as the minor version of the server has it)
SELECT id AS gone FROM app_data.users WHERE email = 'up@example.org' AND deleted_at IS NOT NULL \gset
INSERT INTO appdb.users (id, name) VALUES (:'gone', 'six') ON CONFLICT (id) DO NOTHING RETURNING name;
SELECT name, deleted_at IS NOT NULL AS deleted FROM app_data.users WHERE email = 'up@example.org' ORDER BY name;
-- many at once, some new, some there, some deleted
INSERT INTO appdb.users (name, email)
SELECT 'bulk', 'up' || i || '@example.org' FROM generate_series(1, 4) AS i;
DELETE FROM appdb.users WHERE email IN ('up1@example.org', 'up2@example.org');
INSERT INTO appdb.users (name, email)
SELECT 'again', 'up' || i || '@example.org' FROM generate_series(1, 5) AS i
	ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = 'there';
SELECT email, name, deleted_at IS NOT NULL AS deleted FROM app_data.users WHERE email LIKE 'up%' ORDER BY 1, 3, 2;

-- == session_replication_role = replica, as an apply worker has it ============
-- only what makes backends forget roles fires there too
SELECT tgname, tgenabled, count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'O' GROUP BY 1, 2 ORDER BY 1;
SELECT DISTINCT tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgname NOT IN ('appdb_membership', 'appdb_permissions', 'appdb_readers', 'appdb_readers_gone')
	AND (tgrelid IN (SELECT entity FROM appdb.managed) OR tgrelid IN (SELECT live_view FROM appdb.managed));
INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-7000-8000-00000000f001', 'Replica', 'regress-replica');
INSERT INTO appdb.spaces (id, organization_id, name) VALUES ('00000000-0000-7000-8000-00000000f002', '00000000-0000-7000-8000-00000000f001', 'Replica');
INSERT INTO appdb.chats (id, space_id, title) VALUES ('00000000-0000-7000-8000-00000000f003', '00000000-0000-7000-8000-00000000f002', 'one');
SELECT count(*) AS notes FROM app_data.deletions \gset
SET session_replication_role = replica;
-- an UPDATE that arrives: as it is, nothing more
UPDATE app_data.organizations SET deleted_at = '2020-01-01', updated_at = '2020-01-01' WHERE slug = 'regress-replica';
SELECT deleted_at, updated_at FROM app_data.organizations WHERE slug = 'regress-replica';
SELECT name FROM appdb.spaces WHERE name = 'Replica';
-- children that arrive on their own
INSERT INTO app_data.chats (id, space_id, title, deleted_at) VALUES ('00000000-0000-7000-8000-00000000f004', '00000000-0000-7000-8000-00000000f002', 'two', '2020-01-01');
UPDATE app_data.spaces SET deleted_at = '2020-01-01' WHERE name = 'Replica';
UPDATE app_data.chats SET deleted_at = '2020-01-01' WHERE title = 'one' AND space_id = '00000000-0000-7000-8000-00000000f002';
SELECT count(*) - :notes AS noted FROM app_data.deletions;
-- a restore that arrives
UPDATE app_data.chats SET deleted_at = NULL WHERE id = '00000000-0000-7000-8000-00000000f003';
UPDATE app_data.chats SET deleted_at = '2020-01-01' WHERE id = '00000000-0000-7000-8000-00000000f003';
SET session_replication_role = origin;
-- what arrived can be restored where it is the origin now
SELECT entity, rows_with_it, restorable FROM appdb.trash WHERE id = '00000000-0000-7000-8000-00000000f001';
SELECT restored, rows FROM appdb.restore('appdb.organizations', '00000000-0000-7000-8000-00000000f001');

DELETE FROM app_data.chats WHERE space_id = '00000000-0000-7000-8000-00000000f002';
DELETE FROM app_data.spaces WHERE id = '00000000-0000-7000-8000-00000000f002';
DELETE FROM app_data.organizations WHERE slug = 'regress-replica';
DELETE FROM app_data.users WHERE email LIKE 'up%@example.org';
