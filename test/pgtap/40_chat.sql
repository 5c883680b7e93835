-- chat: chats, messages and the files that go with them.
BEGIN;
SELECT plan(33);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'two');

-- == chats ==================================================================

SELECT results_eq($$INSERT INTO appdb.chats (id, space_id, user_id, title)
	VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'Plans')
	RETURNING title, visibility::text, model, archived_at, metadata$$,
	$$VALUES ('Plans', 'space', NULL::text, NULL::timestamptz, '{}'::jsonb)$$, 'a chat is for those who are in its space');
SELECT lives_ok($$INSERT INTO appdb.chats (id, space_id, visibility) VALUES
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-000000000002', 'private'),
	('00000000-0000-4000-8000-000000000013', '00000000-0000-4000-8000-000000000001', 'public')$$, 'or for its author alone, or for everyone');
SELECT throws_ok($$INSERT INTO appdb.chats (title) VALUES ('Nowhere')$$, '23502', NULL, 'a chat is in a space');
SELECT throws_ok($$INSERT INTO appdb.chats (space_id, title) VALUES ('00000000-0000-4000-8000-000000000003', 'Nowhere')$$, '23503', NULL, 'that exists');
SELECT throws_ok($$INSERT INTO appdb.chats (space_id, title) VALUES ('00000000-0000-4000-8000-000000000001', repeat('x', 1001))$$, '23514', NULL, 'titles are not novels');
SELECT results_eq($$UPDATE appdb.chats SET archived_at = now(), model = 'm-1' WHERE title = 'Plans' RETURNING archived_at IS NOT NULL$$, $$VALUES (true)$$, 'a chat is put away');

-- == messages ===============================================================

SELECT results_eq($$INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role, content)
	VALUES ('00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'user', 'Hello')
	RETURNING role::text, content, parts, status::text$$, $$VALUES ('user', 'Hello', NULL::jsonb, 'completed')$$, 'a person''s message');
SELECT lives_ok($$INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, role, parts, model, input_tokens, output_tokens, status)
	VALUES ('00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000021',
		'assistant', '[{"type": "text", "text": "Hi"}]', 'm-1', 10, 2, 'streaming')$$, 'a model''s answer in parts, while it streams');
SELECT lives_ok($$INSERT INTO appdb.messages (id, space_id, chat_id, parent_id, role, content) SELECT
	'00000000-0000-4000-8000-000000000023', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000021',
	'assistant', 'Another answer'$$, 'the conversation branches');
SELECT set_eq($$SELECT c.id FROM appdb.messages AS m, appdb.children(m) AS c WHERE m.content = 'Hello'$$,
	ARRAY['00000000-0000-4000-8000-000000000022', '00000000-0000-4000-8000-000000000023']::uuid[], 'the answers to a message');
SELECT results_eq($$SELECT p.content FROM appdb.messages AS m, appdb.parent(m) AS p WHERE m.content = 'Another answer'$$, $$VALUES ('Hello')$$, 'and what a message answers');
SELECT throws_ok($$INSERT INTO appdb.messages (space_id, chat_id, role, content) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000012', 'user', 'x')$$, '23503', NULL, 'a message is in the space of its chat');
SELECT throws_ok($$INSERT INTO appdb.messages (space_id, chat_id, parent_id, role, content) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000013', '00000000-0000-4000-8000-000000000021', 'user', 'x')$$, '23503', NULL,
	'and in the chat of the message that it answers');
SELECT throws_ok($$UPDATE appdb.messages SET space_id = '00000000-0000-4000-8000-000000000002' WHERE content = 'Another answer'$$, '23503', NULL, 'nor can it be moved out');
SELECT throws_ok($$UPDATE appdb.messages SET parent_id = '00000000-0000-4000-8000-000000000023' WHERE content = 'Hello'$$, '23514', NULL, 'no message answers itself, by whatever way');
SELECT throws_ok($$INSERT INTO appdb.messages (space_id, chat_id, role) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 'robot')$$, '22P02', NULL, 'somebody known speaks');
SELECT throws_ok($$INSERT INTO appdb.messages (space_id, chat_id, content) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 'x')$$, '23502', NULL, 'always');
SELECT throws_ok($$UPDATE appdb.messages SET parts = '{"type": "text"}'$$, '23514', NULL, 'parts are an array');
SELECT throws_ok($$UPDATE appdb.messages SET output_tokens = -1$$, '23514', NULL, 'there are no negative tokens');
SELECT results_eq($$UPDATE appdb.messages SET content = 'Hi', status = 'completed' WHERE status = 'streaming' RETURNING status::text$$, $$VALUES ('completed')$$, 'an answer is completed');

-- == lists ==================================================================

INSERT INTO appdb.messages (space_id, chat_id, role, content)
SELECT '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000013', 'user', n::text FROM generate_series(1, 50) AS n;
PREPARE page AS SELECT content FROM appdb.messages WHERE space_id = '00000000-0000-4000-8000-000000000001' AND chat_id = '00000000-0000-4000-8000-000000000013'
	ORDER BY id DESC LIMIT 2;
SELECT results_eq('page', $$VALUES ('50'), ('49')$$, 'the newest messages of a chat, by id');
PREPARE next_page AS SELECT content FROM appdb.messages WHERE space_id = '00000000-0000-4000-8000-000000000001' AND chat_id = '00000000-0000-4000-8000-000000000013'
	AND id < (SELECT id FROM appdb.messages WHERE content = '49') ORDER BY id DESC LIMIT 2;
SELECT results_eq('next_page', $$VALUES ('48'), ('47')$$, 'and those before them');
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
CREATE FUNCTION pg_temp.plan(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || query; END $$;
SELECT ok(bool_or(l ~ 'Index.*Scan Backward using messages_chat_id_(space_id_id_key|id_idx)') AND NOT bool_or(l ~ 'Sort'), 'an index has that order')
FROM pg_temp.plan('EXECUTE page') AS l;
PREPARE chat_page AS SELECT content FROM appdb.messages WHERE chat_id = '00000000-0000-4000-8000-000000000013' ORDER BY id DESC LIMIT 2;
SELECT results_eq('chat_page', $$VALUES ('50'), ('49')$$, 'the newest messages of a chat without its space');
SELECT ok(bool_or(l ~ 'Index.*Scan Backward using messages_chat_id_id_idx') AND NOT bool_or(l ~ 'Sort'), 'have an index, too')
FROM pg_temp.plan('EXECUTE chat_page') AS l;

-- == files with messages ====================================================

INSERT INTO appdb.files (id, space_id, name) VALUES
	('00000000-0000-4000-8000-000000000031', '00000000-0000-4000-8000-000000000001', 'plan.pdf'),
	('00000000-0000-4000-8000-000000000032', '00000000-0000-4000-8000-000000000002', 'elsewhere.pdf');
SELECT lives_ok($$INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000031')$$, 'a file goes with a message');
SELECT throws_ok($$INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000031')$$, '23505', NULL, 'once');
SELECT throws_ok($$INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000021', '00000000-0000-4000-8000-000000000032')$$, '23503', NULL, 'and is of the same space');
SELECT results_eq($$SELECT f.name FROM appdb.messages AS m, appdb.files(m) AS f WHERE m.content = 'Hello'$$, $$VALUES ('plan.pdf')$$, 'a message''s files');

-- == relations ==============================================================

SELECT results_eq($$SELECT c.title, u.name, s.name FROM appdb.messages AS m, appdb.chat(m) AS c, appdb.author(m) AS u, appdb.space(m) AS s WHERE m.content = 'Hello'$$,
	$$VALUES ('Plans', 'Ann', 'one')$$, 'a message''s chat, author and space');
SELECT results_eq($$SELECT count(*) FROM appdb.chats AS c, appdb.messages(c) AS m WHERE c.title = 'Plans'$$, $$VALUES (3::bigint)$$, 'a chat''s messages');
SELECT results_eq($$DELETE FROM appdb.messages WHERE content = 'Another answer' RETURNING role::text$$, $$VALUES ('assistant')$$, 'a message is deleted');
SELECT results_eq($$SELECT count(*) FROM appdb.chats AS c, appdb.messages(c) AS m WHERE c.title = 'Plans'$$, $$VALUES (2::bigint)$$, 'and no longer in its chat');

SELECT * FROM finish();
ROLLBACK;
