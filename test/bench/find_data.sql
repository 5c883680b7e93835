-- The data that the four questions are about: 10,000 users, 2,000 spaces, 50,000 chats, 2,000,000 messages; psql -v parts=50
-- makes a fiftieth of that.
-- Triggers and foreign keys rest meanwhile; ids say what they are.
\set ON_ERROR_STOP on
\if :{?parts}
\else
	\set parts 1
\endif
SELECT 10000 / :parts AS users, 2000 / :parts AS spaces, 50000 / :parts AS chats, 2000000 / :parts AS messages \gset
SET session_replication_role = replica;
SET synchronous_commit = off;
CREATE FUNCTION pg_temp.id(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('%s-0000-7000-8000-%s', lpad(kind::text, 8, '0'), lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO app_data.users (id, name, email, created_at, updated_at)
	SELECT pg_temp.id(1, n), 'User ' || n, format('user%s@bench.example', lpad(n::text, 6, '0')), now(), now() FROM generate_series(1, :users) n;
INSERT INTO app_data.spaces (id, owner_id, name, created_at, updated_at)
	SELECT pg_temp.id(2, n), pg_temp.id(1, n), 'Space ' || md5(n::text), now(), now() FROM generate_series(1, :spaces) n;
-- each user in 10 spaces
INSERT INTO app_data.space_members (id, space_id, user_id, role, created_at, updated_at)
	SELECT pg_temp.id(3, u * 10 + k), pg_temp.id(2, (u * 7 + k * 211) % :spaces + 1), pg_temp.id(1, u), 'editor', now(), now()
	FROM generate_series(1, :users) u, generate_series(0, 9) k;
INSERT INTO app_data.chats (id, space_id, user_id, title, created_at, updated_at)
	SELECT pg_temp.id(4, n), pg_temp.id(2, n % :spaces + 1), pg_temp.id(1, n % :users + 1), 'Chat ' || n, now(), now() FROM generate_series(1, :chats) n;
INSERT INTO app_data.messages (id, space_id, chat_id, user_id, role, content, created_at, updated_at, deleted_at)
	SELECT pg_temp.id(5, n), pg_temp.id(2, (n % :chats + 1) % :spaces + 1), pg_temp.id(4, n % :chats + 1),
		   CASE WHEN n / :chats % 2 = 0 THEN pg_temp.id(1, (n % :chats * 3 + n / :chats % 6) % :users + 1) END,
		   (CASE WHEN n / :chats % 2 = 0 THEN 'user' ELSE 'assistant' END)::app_data.message_role,
		   'Message ' || n || ' ' || repeat(md5(n::text), 3), now(), now(), CASE WHEN n % 50 = 0 THEN now() END
	FROM generate_series(0, :messages - 1) n;
INSERT INTO app_data.folders (id, space_id, parent_id, name, created_at, updated_at)
	SELECT pg_temp.id(6, s * 10 + k), pg_temp.id(2, s), CASE WHEN k > 0 THEN pg_temp.id(6, s * 10 + (k - 1) / 2) END, 'Folder ' || k, now(), now()
	FROM generate_series(1, :spaces) s, generate_series(0, 6) k;
INSERT INTO app_data.notes (id, space_id, folder_id, user_id, title, content, created_at, updated_at)
	SELECT pg_temp.id(7, s * 100 + k), pg_temp.id(2, s), pg_temp.id(6, s * 10 + k % 7), pg_temp.id(1, (s + k) % :users + 1), 'Note ' || k, repeat('text ', 40), now(), now()
	FROM generate_series(1, :spaces) s, generate_series(0, 99) k;
RESET session_replication_role;
VACUUM ANALYZE app_data.users, app_data.spaces, app_data.space_members, app_data.chats, app_data.messages, app_data.folders, app_data.notes;
