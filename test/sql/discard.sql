-- What the server keeps of the catalogs may go whenever somebody looks into
-- them.  test/harness/valgrind.sh --no-valgrind has a server that makes it go
-- each time, which takes minutes; on others this is a tour.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
\set discard 0
\getenv discard APPDB_DISCARD_CACHES

CREATE FUNCTION pg_temp.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('d15cad00-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE ROLE regress_discard;
SELECT appdb.grant_access('regress_discard', 'app');
INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.u(1), 'Ann', 'ann@discard.example'), (pg_temp.u(2), 'Bob', 'bob@discard.example');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.u(11), pg_temp.u(1), 'Ann''s'), (pg_temp.u(12), pg_temp.u(2), 'Bob''s');
CREATE TABLE public.boards (
	id uuid PRIMARY KEY DEFAULT appdb.uuidv7(),
	space_id uuid NOT NULL REFERENCES app_data.spaces (id),
	name text,
	created_at timestamptz NOT NULL DEFAULT now(),
	updated_at timestamptz NOT NULL DEFAULT now(),
	deleted_at timestamptz
);
CREATE INDEX ON public.boards (space_id);
\c -
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('d15cad00-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
LOAD 'appdb';
SET debug_discard_caches = :discard;

-- == rows ===================================================================
SELECT appdb.manage('public.boards', label => 'name');
INSERT INTO appdb.boards (id, space_id, name) VALUES (pg_temp.u(91), pg_temp.u(11), 'board');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES (pg_temp.u(21), pg_temp.u(11), pg_temp.u(1), 'chat'), (pg_temp.u(22), pg_temp.u(12), pg_temp.u(2), 'chat');
INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role, content) VALUES (pg_temp.u(31), pg_temp.u(11), pg_temp.u(21), pg_temp.u(1), 'user', 'message');
UPDATE appdb.chats SET title = 'other' WHERE id = pg_temp.u(21) RETURNING title;
COPY appdb.boards (space_id, name) FROM STDIN;
d15cad00-0000-7000-8000-000000000011	copied
\.
COPY appdb.boards (name) TO STDOUT;

-- == deleted, and back ======================================================
DELETE FROM appdb.chats WHERE id = pg_temp.u(21) RETURNING title;
INSERT INTO appdb.messages (space_id, chat_id, role, content) VALUES (pg_temp.u(11), pg_temp.u(21), 'user', 'too late');
SELECT label, rows_with_it FROM appdb.trash WHERE id = pg_temp.u(21);
SELECT * FROM appdb.restore('appdb.chats', pg_temp.u(21));
SET appdb.rewrite_deletes = off;
DELETE FROM appdb.chats WHERE id = pg_temp.u(21) RETURNING title;
UPDATE app_data.chats SET deleted_at = NULL WHERE id = pg_temp.u(21);
DELETE FROM appdb.spaces WHERE id = pg_temp.u(12);
SELECT * FROM appdb.restore('appdb.spaces', pg_temp.u(12));

-- == who is asking, and what for ============================================
BEGIN;
SELECT appdb.impersonate(pg_temp.u(1)) \gset
SET LOCAL ROLE regress_discard;
SELECT title FROM appdb.chats;
ROLLBACK;
SELECT appdb.find('chats', '{"columns": ["title"], "where": {"id": "d15cad00-0000-7000-8000-000000000021"}, "with": {"messages": {"columns": ["content"]}}}');
SELECT appdb.find('chats', '{"columns": ["title"], "where": {"id": "d15cad00-0000-7000-8000-000000000022"}, "with": {"messages": {"columns": ["content"]}}}');

-- == tasks ==================================================================
SELECT appdb.enqueue('discard', queue => 'discard') IS NOT NULL AS enqueued;
SELECT c.kind, appdb.complete(c.id, c.ticket) FROM appdb.claim(ARRAY['discard'], worker => 'discard') c;

SET debug_discard_caches = 0;
SET appdb.allow_drop = on;
DROP TABLE public.boards CASCADE;
DELETE FROM app_data.tasks WHERE kind = 'discard';
DELETE FROM app_data.messages WHERE id = pg_temp.u(31);
DELETE FROM app_data.chats WHERE id IN (pg_temp.u(21), pg_temp.u(22));
DELETE FROM app_data.spaces WHERE id IN (pg_temp.u(11), pg_temp.u(12));
DELETE FROM app_data.users WHERE id IN (pg_temp.u(1), pg_temp.u(2));
SELECT appdb.revoke_access('regress_discard');
DROP ROLE regress_discard;
