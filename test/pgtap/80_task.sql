-- task: putting work in the queue, and reading what became of it.
BEGIN;
SELECT plan(22);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'two');

SELECT appdb.enqueue('mail.send', '{"to": "ann@example.org"}') AS mail \gset
SELECT results_eq(format($$SELECT kind, payload, queue, status::text, priority, run_at <= now() + interval '1 ms', attempts, max_attempts, progress, space_id, user_id FROM appdb.tasks WHERE id = %L$$, :'mail'),
	$$VALUES ('mail.send', '{"to": "ann@example.org"}'::jsonb, 'default', 'pending', 0, true, 0, 20, 0::real, NULL::uuid, NULL::uuid)$$, 'a task waits');
SELECT appdb.enqueue('report', queue => 'slow', priority => 5, run_at => '2030-01-01 00:00+00', max_attempts => 3,
	space_id => '00000000-0000-4000-8000-000000000001', user_id => '00000000-0000-4000-8000-0000000000a1') AS report \gset
SELECT results_eq(format($$SELECT kind, payload, queue, priority, run_at, max_attempts, space_id, user_id FROM appdb.tasks WHERE id = %L$$, :'report'),
	$$VALUES ('report', '{}'::jsonb, 'slow', 5, '2030-01-01 00:00+00'::timestamptz, 3, '00000000-0000-4000-8000-000000000001'::uuid, '00000000-0000-4000-8000-0000000000a1'::uuid)$$,
	'with all that can be said of it');

SELECT isnt(appdb.enqueue('sync'), appdb.enqueue('sync'), 'two tasks may be alike');
SELECT appdb.enqueue('sync', '{"n": 1}', dedupe_key => 'k') AS sync \gset
SELECT is(appdb.enqueue('sync', '{"n": 2}', dedupe_key => 'k'), :'sync'::uuid, 'unless they have the same key');
SELECT results_eq(format('SELECT payload FROM appdb.tasks WHERE id = %L', :'sync'), $$VALUES ('{"n": 1}'::jsonb)$$, 'the first one stays as it is');
SELECT isnt(appdb.enqueue('other', dedupe_key => 'k'), :'sync'::uuid, 'another kind has keys of its own');
SELECT appdb.enqueue('sync', dedupe_key => 'k', space_id => '00000000-0000-4000-8000-000000000001') AS sync1 \gset
SELECT isnt(:'sync1'::uuid, :'sync'::uuid, 'so has a space');
SELECT isnt(appdb.enqueue('sync', dedupe_key => 'k', space_id => '00000000-0000-4000-8000-000000000002'), :'sync1'::uuid, 'each');
UPDATE appdb.tasks SET status = 'running', attempts = 1 WHERE id = :'sync';
SELECT is(appdb.enqueue('sync', dedupe_key => 'k'), :'sync'::uuid, 'one that runs counts');
UPDATE appdb.tasks SET status = 'completed', result = '{"ok": true}', progress = 1, finished_at = now() WHERE id = :'sync';
SELECT isnt(appdb.enqueue('sync', dedupe_key => 'k'), :'sync'::uuid, 'one that is done does not');
SELECT throws_ok($$INSERT INTO appdb.tasks (kind, dedupe_key) VALUES ('sync', 'k')$$, '23505', NULL, 'the table itself says so');

SELECT results_eq(format('SELECT status, progress, attempts, result, last_error, finished_at IS NOT NULL FROM appdb.task_status(%L)', :'sync'),
	$$VALUES ('completed', 1::real, 1, '{"ok": true}'::jsonb, NULL::text, true)$$, 'what became of a task');
SELECT is_empty($$SELECT FROM appdb.task_status('00000000-0000-4000-8000-0000000000ff')$$, 'nothing of one that never was');

SELECT throws_ok($$SELECT appdb.enqueue(NULL)$$, '23502', NULL, 'a task is of a kind');
SELECT throws_ok($$SELECT appdb.enqueue('')$$, '23514', NULL, 'that has a name');
SELECT throws_ok($$SELECT appdb.enqueue('x', max_attempts => 0)$$, '23514', NULL, 'and is tried at least once');
SELECT throws_ok($$SELECT appdb.enqueue('x', space_id => '00000000-0000-4000-8000-000000000003')$$, '23503', NULL, 'for a space that exists');
SELECT throws_ok($$UPDATE appdb.tasks SET progress = 1.5$$, '23514', NULL, 'progress is from 0 to 1');
SELECT throws_ok($$UPDATE appdb.tasks SET status = 'lost'$$, '22P02', NULL, 'no task is lost');

SELECT results_eq($$SELECT t.kind FROM appdb.spaces AS s, appdb.tasks(s) AS t WHERE s.name = 'one' ORDER BY t.kind$$, $$VALUES ('report'), ('sync')$$, 'a space''s tasks');
SELECT results_eq(format($$DELETE FROM appdb.tasks WHERE id = %L RETURNING kind$$, :'report'), $$VALUES ('report')$$, 'a task is deleted');
SELECT is_empty(format($$SELECT FROM appdb.task_status(%L)$$, :'report'), 'and gone');

SELECT * FROM finish();
ROLLBACK;
