-- The task queue: what workers and people do with tasks.
BEGIN;
SELECT plan(321);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'two'),
	('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-0000000000a1', 'three');

-- the kinds of what a claim gets, in its order
CREATE FUNCTION pg_temp.kinds(queue text, max integer DEFAULT 1) RETURNS text LANGUAGE sql
	AS $$ SELECT string_agg(c.kind, ' ' ORDER BY c.n) FROM appdb.claim(ARRAY[queue], 'w', max, '1 min') WITH ORDINALITY AS c (id, ticket, kind, queue, payload, attempt, max_attempts, space_id, user_id, locked_until, n) $$;
CREATE FUNCTION pg_temp.state(task uuid) RETURNS text LANGUAGE sql
	AS $$ SELECT concat_ws(' ', t.status, t.queued, t.finished_at IS NOT NULL, t.group_slot) FROM appdb.tasks AS t WHERE t.id = task $$;
CREATE FUNCTION pg_temp.told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	EXECUTE statement;
	RETURN NULL;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', message, detail, hint);
END $$;
CREATE FUNCTION pg_temp.silence(task uuid) RETURNS void LANGUAGE sql
	AS $$ UPDATE app_data.tasks SET locked_until = now() - interval '1 s' WHERE id = task $$;

-- == claim ==================================================================

SELECT appdb.enqueue('one', '{"n": 1}', queue => 'a', max_attempts => 3) AS one \gset
SELECT is_empty($$SELECT FROM appdb.claim('{b}', 'w')$$, 'another queue is empty');
SELECT * FROM appdb.claim('{a}', 'w1', 1, '1 hour') \gset c_
SELECT is(:'c_id'::uuid, :'one'::uuid, 'a task is claimed');
SELECT is(ROW(:'c_ticket'::int, :'c_kind'::text, :'c_queue'::text, :'c_payload'::jsonb, :'c_attempt'::int, :'c_max_attempts'::int)::text, ROW(1, 'one'::text, 'a'::text, '{"n": 1}'::jsonb, 1, 3)::text, 'with what is needed to do it');
SELECT ok(:'c_locked_until'::timestamptz BETWEEN clock_timestamp() + interval '59 min' AND clock_timestamp() + interval '1 hour', 'for as long as was asked for');
SELECT results_eq(format('SELECT status::text, attempts, ticket, locked_by, queued FROM appdb.tasks WHERE id = %L', :'one'), $$VALUES ('running', 1, 1, 'w1', true)$$, 'it runs');
SELECT is_empty($$SELECT FROM appdb.claim('{a}', 'w2')$$, 'nobody else gets it');
SELECT is(appdb.heartbeat(:'one', 1, '2 hours'), false, 'a heartbeat says that it is not canceled');
SELECT ok(locked_until > clock_timestamp() + interval '119 min', 'and prolongs the lease') FROM appdb.tasks WHERE id = :'one';
SELECT is(appdb.progress(:'one', 1, 0.25::double precision), false, 'so does progress, of the type that drivers send');
SELECT is(appdb.progress(:'one', 1, 0.5::real, 'half'), false, 'and of its column''s');
SELECT results_eq(format('SELECT progress, progress_message FROM appdb.task_status(%L)', :'one'), $$VALUES (0.5::real, 'half')$$, 'which people see');
SELECT throws_ok(format('SELECT appdb.progress(%L, 1, 2)', :'one'), '23514', 'fraction 2 is not between 0 and 1', 'to the end and no further');
SELECT throws_ok(format('SELECT appdb.progress(%L, 1, %L)', :'one', 'NaN'), '23514', 'fraction NaN is not between 0 and 1', 'a number it is');
SELECT throws_ok(format('SELECT appdb.progress(%L, 1, NULL)', :'one'), '22004', 'fraction must not be null', 'and it is said');
SELECT throws_ok(format('SELECT appdb.progress(%L, 1, 0.5, %L)', :'one', repeat('x', 1001)), '23514', 'message is too long', 'in so many words');
SELECT is(appdb.progress(:'one', 1, 1.0000000001, repeat('x', 1000)), false, 'a sum of fractions may be a little above');
SELECT throws_ok(format('SELECT appdb.complete(%L, 2)', :'one'), '55000', format('the lease on task %s is lost', :'one'), 'a wrong ticket is refused');
SELECT lives_ok(format('SELECT appdb.complete(%L, 1, %L)', :'one', '{"ok": 1}'), 'the right one completes it');
SELECT is(pg_temp.state(:'one'), 'completed f t', 'it is done');
SELECT results_eq(format('SELECT progress, result FROM appdb.task_status(%L)', :'one'), $$VALUES (1::real, '{"ok": 1}'::jsonb)$$, 'with its result');
SELECT throws_ok(format('SELECT appdb.complete(%L, 1)', :'one'), '55000', NULL, 'once');
SELECT throws_ok(format('SELECT appdb.heartbeat(%L, 1)', :'one'), '55000', NULL, 'then its lease is gone');
SELECT throws_ok($$SELECT appdb.complete('00000000-0000-4000-8000-0000000000ff', 1)$$, 'P0002', NULL, 'a task that never was');
SELECT throws_ok($$SELECT * FROM appdb.claim('{}', 'w')$$, '22023', NULL, 'some queue must be named');
SELECT throws_ok($$SELECT * FROM appdb.claim('{a}', 'w', 0)$$, '22023', NULL, 'nothing cannot be claimed');
SELECT throws_ok($$SELECT * FROM appdb.claim('{a}', 'w', 1, '0')$$, '22023', NULL, 'nor for no time');
SELECT throws_ok($$SELECT * FROM appdb.claim('{a}', 'w', 1, '300000 years')$$, '22008', NULL, 'nor for longer than there is time');
SELECT appdb.enqueue('forever', queue => 'forever') IS NOT NULL AS done \gset
SELECT is((SELECT isfinite(locked_until) FROM appdb.claim('{forever}', 'w', 1, CASE WHEN v < 170000 THEN '1000 years' ELSE 'infinity' END::interval)), v < 170000, 'but for ever, where an interval can be')
FROM (SELECT current_setting('server_version_num')::integer) AS s (v);
SELECT appdb.enqueue(repeat('ä', 127), queue => repeat('ö', 127)) IS NOT NULL AS done \gset
SELECT is((SELECT kind || queue FROM appdb.claim(ARRAY[repeat('ö', 127)], repeat('ü', 127))), repeat('ä', 127) || repeat('ö', 127), 'names have up to 255 bytes, in any script');
SELECT appdb.enqueue('often', queue => 'often', max_attempts => 2147483647) AS often \gset
UPDATE app_data.tasks SET attempts = 2147483647, ticket = 2147483647 WHERE id = :'often';
SELECT is((SELECT attempt > 0 AND ticket > 0 FROM appdb.claim('{often}', 'w')), true, 'what is counted has an end');

-- == order ==================================================================

SELECT appdb.enqueue_many('[{"kind": "low", "queue": "o", "priority": -1}, {"kind": "b", "queue": "o"}, {"kind": "c", "queue": "o"},
	{"kind": "a", "queue": "o", "run_at": "2020-01-01 00:00+00"}, {"kind": "high", "queue": "o", "priority": 10}, {"kind": "later", "queue": "o", "priority": 20, "run_at": "2100-01-01 00:00+00"}]') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('o', 3), 'high a b', 'priority, then time');
SELECT is(pg_temp.kinds('o', 10), 'c low', 'to the end, without what is for later');
SELECT is(pg_temp.state((SELECT id FROM appdb.tasks WHERE kind = 'later')), 'pending f f', 'that is not in the queue');
UPDATE app_data.tasks SET run_at = now() WHERE kind = 'later';
SELECT is(pg_temp.kinds('o', 10), 'later', 'until its time has come');
SELECT appdb.enqueue('p', queue => 'q1') IS NOT NULL AND appdb.enqueue('q', queue => 'q2', priority => 5) IS NOT NULL AS done \gset
SELECT is((SELECT string_agg(kind, ' ') FROM appdb.claim('{q1,q2}', 'w', 5)), 'p q', 'queues in the order in which they are named');
SELECT count(appdb.enqueue(p::text, queue => 'extreme', priority => p)) AS done FROM unnest('{-2147483648,2147483647,0}'::integer[]) AS p \gset
SELECT is(pg_temp.kinds('extreme', 3), '2147483647 0 -2147483648', 'all priorities that there are');
SELECT count(appdb.enqueue(t::text, queue => 'times', run_at => t)) AS done FROM unnest('{4713-01-01 BC,-infinity,294276-12-31 23:59:59.999999,infinity}'::timestamptz[]) AS t \gset
SELECT is(pg_temp.kinds('times', 4), '-infinity 4713-01-01 00:00:00+00 BC', 'and times');

-- one space has much to do, others little
SELECT cardinality(appdb.enqueue_many('much', array_fill('{}'::jsonb, '{50}'), 'fair', space_id => '00000000-0000-4000-8000-000000000001')) AS done \gset
SELECT appdb.enqueue('two', queue => 'fair', space_id => '00000000-0000-4000-8000-000000000002') IS NOT NULL AS done \gset
SELECT appdb.enqueue('three', queue => 'fair', space_id => '00000000-0000-4000-8000-000000000003') IS NOT NULL AS done \gset
SELECT appdb.enqueue('none', queue => 'fair') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('fair'), 'much', 'spaces take turns: the first');
SELECT is(pg_temp.kinds('fair'), 'two', 'the second');
SELECT is(pg_temp.kinds('fair'), 'three', 'the third');
SELECT is(pg_temp.kinds('fair'), 'none', 'what belongs to none');
SELECT is(pg_temp.kinds('fair'), 'much', 'and again');
SELECT appdb.enqueue('two', queue => 'fair', space_id => '00000000-0000-4000-8000-000000000002') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('fair', 4), 'two much much much', 'in one claim, too');
SELECT is((SELECT count(*) FROM appdb.claim('{fair}', 'w', 1000)), 45::bigint, 'all of it in the end');
-- a walk that is long is not repeated, and nothing is lost by it
SELECT cardinality(appdb.enqueue_many('n', ARRAY(SELECT to_jsonb(g) FROM generate_series(1, 1000) AS g), 'long')) AS done \gset
SELECT is((SELECT count(*) FROM generate_series(1, 700) AS g, appdb.claim('{long}', 'w' || g)), 700::bigint, 'many claims in one statement');
SELECT is((SELECT count(DISTINCT payload) FROM appdb.tasks WHERE queue = 'long' AND status = 'running'), 700::bigint, 'each gets another task');
SELECT is((SELECT max(payload::text::int) FROM appdb.tasks WHERE queue = 'long' AND status = 'running'), 700, 'in their order');
SAVEPOINT undone;
SELECT is((SELECT min(payload::text::int) FROM appdb.claim('{long}', 'w', 10)), 701, 'nor twice');
ROLLBACK TO undone;
SELECT is((SELECT min(payload::text::int) FROM appdb.claim('{long}', 'w', 10)), 701, 'what is rolled back was never taken');
SELECT appdb.enqueue('urgent', queue => 'long', priority => 1) IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('long'), 'urgent', 'what this session adds comes in its place nevertheless');

-- == fail, retry, snooze ====================================================

SELECT appdb.enqueue('f', queue => 'f', max_attempts => 3, backoff => '1 min') AS f \gset
SELECT ticket AS t FROM appdb.claim('{f}', 'w1') \gset
SELECT appdb.fail(:'f', :t, 'first') AS again \gset
SELECT ok(:'again'::timestamptz BETWEEN now() + interval '50 s' AND clock_timestamp() + interval '70 s', 'a failed task waits for its backoff');
SELECT is(pg_temp.state(:'f'), 'pending f f', 'outside of the queue');
SELECT is_empty($$SELECT FROM appdb.claim('{f}', 'w1')$$, 'nobody gets it before');
UPDATE app_data.tasks SET run_at = now() WHERE id = :'f';
SELECT ticket AS t, attempt AS a FROM appdb.claim('{f}', 'w2') \gset
SELECT is(ROW(:t, :a), ROW(2, 2), 'then it is tried again');
SELECT appdb.fail(:'f', :t, 'second') AS again \gset
SELECT ok(:'again'::timestamptz BETWEEN now() + interval '100 s' AND clock_timestamp() + interval '140 s', 'the wait doubles');
SELECT appdb.retry(:'f');
SELECT ticket AS t FROM appdb.claim('{f}', 'w2') \gset
SELECT ok(appdb.snooze(:'f', :t, '0') <= clock_timestamp(), 'it can be put back');
SELECT ticket AS t, attempt AS a FROM appdb.claim('{f}', 'w2') \gset
SELECT is(:a, 3, 'which does not count');
SELECT throws_ok(format('SELECT appdb.fail(%L, 2, %L)', :'f', 'late'), '55000', NULL, 'an old ticket cannot fail it');
SELECT is(appdb.fail(:'f', :t, 'third', '1 s'), NULL, 'after the last attempt there is no other');
SELECT is(pg_temp.state(:'f'), 'dead f t', 'it is dead');
SELECT is((SELECT jsonb_agg(e - 'at') FROM appdb.tasks AS t, jsonb_array_elements(t.errors) AS e WHERE t.id = :'f'),
	'[{"attempt": 1, "worker": "w1", "error": "first"}, {"attempt": 2, "worker": "w2", "error": "second"}, {"attempt": 3, "worker": "w2", "error": "third"}]', 'and keeps the history of its errors');
SELECT lives_ok(format('SELECT appdb.retry(%L)', :'f'), 'it can be given another chance');
SELECT ticket AS t FROM appdb.claim('{f}', 'w3') \gset
SELECT throws_ok(format('SELECT appdb.retry(%L)', :'f'), '55000', NULL, 'not while it runs');
SELECT is(appdb.fail(:'f', :t, 'fourth'), NULL, 'one');
SELECT appdb.enqueue('g', queue => 'g', backoff => '1 h') AS g \gset
SELECT ticket AS t FROM appdb.claim('{g}', 'w') \gset
SELECT appdb.fail(:'g', :t, 'x', '5 s') AS again \gset
SELECT ok(:'again'::timestamptz BETWEEN now() + interval '4 s' AND clock_timestamp() + interval '5 s', 'the worker may say when');
-- however long the backoff, and however many attempts
SELECT appdb.enqueue('h', queue => 'h', backoff => '1 year', max_attempts => 100) AS h \gset
UPDATE app_data.tasks SET attempts = 50 WHERE id = :'h';
SELECT ticket AS t FROM appdb.claim('{h}', 'w') \gset
SELECT appdb.fail(:'h', :t, 'x') AS again \gset
SELECT ok(:'again'::timestamptz BETWEEN now() + interval '21 h' AND clock_timestamp() + interval '27 h', 'a day is the longest wait');
SELECT appdb.retry(:'h');
SELECT ticket AS t FROM appdb.claim('{h}', 'w') \gset
SELECT throws_ok(format('SELECT appdb.snooze(%L, %s, NULL)', :'h', :t), '22004', NULL, 'a wait must be said');
SELECT throws_ok(format('SELECT appdb.heartbeat(%L, %s, NULL)', :'h', :t), '22023', NULL, 'so must a lease');
SELECT throws_ok(format('SELECT appdb.heartbeat(%L, %s, %L)', :'h', :t, '0'), '22023', NULL, 'and it lasts for some time');
SELECT ok(appdb.snooze(:'h', :t, '-1 day') >= now(), 'what is put back for less than no time begins at once');
SELECT ticket AS t FROM appdb.claim('{h}', 'w') \gset
SELECT ok(appdb.fail(:'h', :t, repeat('ü', 200000), '-1 day') >= now(), 'so does what failed');
SELECT results_eq(format('SELECT char_length(last_error), char_length(errors #>> %L) FROM appdb.tasks WHERE id = %L', '{-1,error}', :'h'), $$VALUES (100000, 10000)$$, 'of a long error the beginning is kept');
SELECT throws_ok(v.call, '22004', v.message, 'a null: ' || v.call)
FROM (VALUES ('SELECT appdb.heartbeat(NULL, 1)', 'the id of a task must not be null'), ('SELECT appdb.fail(gen_random_uuid(), NULL, NULL)', 'the ticket of a task must not be null'),
	('SELECT appdb.complete(NULL, NULL)', 'the id of a task must not be null'), ('SELECT appdb.complete_many(''{NULL}'', ''{1}'')', 'the id of a task must not be null'),
	('SELECT appdb.complete_many(ARRAY[gen_random_uuid()], ''{NULL}'')', 'the ticket of a task must not be null')) AS v (call, message);
SELECT count(appdb.enqueue(k, queue => 'again')) AS done FROM unnest('{r1,r2,r3}'::text[]) AS k \gset
UPDATE app_data.tasks SET run_at = now() - interval '1 min' WHERE kind = 'r1';
UPDATE app_data.tasks SET run_at = now() + interval '1 h', queued = false WHERE kind = 'r3';
SELECT appdb.retry(id) FROM appdb.tasks WHERE queue = 'again';
SELECT is(pg_temp.kinds('again', 3), 'r1 r2 r3', 'what is tried again while it waits keeps its place, or comes sooner');

-- == leases =================================================================

SELECT appdb.enqueue('l', queue => 'l', max_attempts => 2) AS l \gset
SELECT ticket AS t1 FROM appdb.claim('{l}', 'w1') \gset
SELECT pg_temp.silence(:'l');
SELECT ticket AS t2, attempt AS a FROM appdb.claim('{l}', 'w2') \gset
SELECT is(:a, 2, 'a task whose worker is silent is claimed by another');
SELECT throws_ok(format('SELECT appdb.complete(%L, %s)', :'l', :t1), '55000', NULL, 'who had it cannot complete it');
SELECT is((SELECT errors -> 0 ->> 'error' FROM appdb.tasks WHERE id = :'l'), 'its worker went silent', 'it is in the history');
SELECT pg_temp.silence(:'l');
SELECT is_empty($$SELECT FROM appdb.claim('{l}', 'w3')$$, 'after the last attempt it is not claimed');
SELECT is(pg_temp.state(:'l'), 'dead f t', 'but dead');

-- maintenance finds them wherever they are
SELECT count(appdb.enqueue('m', queue => 'm' || g % 2, priority => g % 3, space_id => nullif(format('00000000-0000-4000-8000-00000000000%s', g % 4), '00000000-0000-4000-8000-000000000000')::uuid))
FROM generate_series(1, 48) AS g \gset done_
SELECT count(*) FROM appdb.claim('{m0,m1}', 'w', 36) \gset done_
UPDATE app_data.tasks SET locked_until = now() - interval '1 s' WHERE queue IN ('m0', 'm1') AND status = 'running' AND payload = '{}' AND id IN (
	SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY queue, priority, space_id ORDER BY id DESC) AS n FROM app_data.tasks WHERE queue IN ('m0', 'm1') AND status = 'running') AS r WHERE n = 1);
SELECT set_eq($$SELECT unnest(appdb._silent_tasks(1000))$$, $$SELECT id FROM app_data.tasks WHERE status = 'running' AND locked_until < clock_timestamp()$$, 'in all queues, priorities and spaces');
SELECT is(cardinality(appdb._silent_tasks(2)), 2, 'as many as are asked for');

-- == cancel =================================================================

SELECT appdb.enqueue('c', queue => 'c') AS c1 \gset
SELECT is(appdb.cancel(:'c1'), 'canceled', 'what waits is canceled');
SELECT is(pg_temp.state(:'c1'), 'canceled f t', 'at once');
SELECT appdb.enqueue('c', queue => 'c') AS c2 \gset
SELECT ticket AS t FROM appdb.claim('{c}', 'w') \gset
SELECT is(appdb.cancel(:'c2'), 'running', 'what runs goes on');
SELECT is(pg_temp.told(format('SELECT appdb.retry(%L)', :'c2')), format('task %s is running |  | It has been canceled: it can be tried again once its worker has ended it.', :'c2'), 'and is not tried again before it has ended');
SELECT is(appdb.heartbeat(:'c2', :t), true, 'until its worker is told');
SELECT is(appdb.fail(:'c2', :t, 'stopped'), NULL, 'and stops');
SELECT is(pg_temp.state(:'c2'), 'canceled f t', 'it is not tried again');
SELECT appdb.enqueue('c', queue => 'c') AS c3 \gset
SELECT ticket AS t FROM appdb.claim('{c}', 'w') \gset
SELECT is(appdb.cancel(:'c3'), 'running', 'one that is called off');
SELECT is(appdb.snooze(:'c3', :t, '0'), NULL, 'and put back');
SELECT is(pg_temp.state(:'c3'), 'canceled f t', 'does not begin again');
SELECT throws_ok($$SELECT appdb.cancel('00000000-0000-4000-8000-0000000000ff')$$, 'P0002', NULL, 'only a task can be canceled');
SELECT appdb.enqueue('e', queue => 'e', expires_at => now() - interval '1 s') AS e \gset
SELECT is_empty($$SELECT FROM appdb.claim('{e}', 'w')$$, 'what has expired is not begun');
SELECT is(pg_temp.state(:'e'), 'canceled f t', 'but canceled');
SELECT appdb.enqueue('e', queue => 'e') AS e \gset
SELECT ticket AS t FROM appdb.claim('{e}', 'w') \gset
UPDATE app_data.tasks SET expires_at = now() - interval '1 s' WHERE id = :'e';
SELECT is(appdb.heartbeat(:'e', :t), false, 'what has begun goes on');
SELECT appdb.fail(:'e', :t, 'no', '0') IS NOT NULL AS done \gset
SELECT is_empty($$SELECT FROM appdb.claim('{e}', 'w')$$, 'but is not tried again');
SELECT is(last_error, 'expired before it was tried again', 'and says why') FROM appdb.task_status(:'e');

-- == dedupe keys ============================================================

SELECT appdb.enqueue('d', '{"n": 1}', queue => 'd', dedupe_key => 'k') AS d \gset
SELECT is(appdb.enqueue('d', '{"n": 2}', queue => 'd', priority => 7, dedupe_key => 'k', on_duplicate => 'replace'), :'d'::uuid, 'a duplicate can replace');
SELECT results_eq(format('SELECT payload, priority FROM appdb.tasks WHERE id = %L', :'d'), $$VALUES ('{"n": 2}'::jsonb, 7)$$, 'what was given');
SELECT is(appdb.enqueue('d', '{"n": 3}', queue => 'd', run_at => '2100-01-01 00:00+00', dedupe_key => 'k', on_duplicate => 'reschedule'), :'d'::uuid, 'or put off');
SELECT results_eq(format('SELECT payload, run_at, queued FROM appdb.tasks WHERE id = %L', :'d'), $$VALUES ('{"n": 2}'::jsonb, '2100-01-01 00:00+00'::timestamptz, false)$$, 'what is there');
SELECT appdb.enqueue('d', queue => 'd', dedupe_key => 'k', on_duplicate => 'reschedule') IS NOT NULL AS done \gset
SELECT ticket AS t FROM appdb.claim('{d}', 'w') \gset
SELECT is(appdb.enqueue('d', '{"n": 4}', queue => 'd', dedupe_key => 'k', on_duplicate => 'replace'), :'d'::uuid, 'one that runs');
SELECT is(payload, '{"n": 2}', 'stays as it is') FROM appdb.tasks WHERE id = :'d';
SELECT appdb.enqueue('d', queue => 'd2', dedupe_key => 'k2', max_attempts => 1) AS d2 \gset
SELECT ticket AS t FROM appdb.claim('{d2}', 'w') \gset
SELECT appdb.snooze(:'d2', :t, '1 h') IS NOT NULL AS done \gset
UPDATE app_data.tasks SET attempts = 1, last_error = 'failed', progress = 0.5 WHERE id = :'d2';
SELECT is(appdb.enqueue('d', queue => 'd2', dedupe_key => 'k2', max_attempts => 1, on_duplicate => 'replace'), :'d2'::uuid, 'what is replaced after an attempt');
SELECT results_eq($$SELECT attempt, max_attempts FROM appdb.claim('{d2}', 'w')$$, $$VALUES (1, 1)$$, 'has all of them again');
SELECT results_eq(format('SELECT progress, last_error FROM appdb.task_status(%L)', :'d2'), $$VALUES (0::real, NULL::text)$$, 'as if it were new');
SELECT throws_ok($$SELECT appdb.enqueue('d', dedupe_key => 'k', on_duplicate => 'forget')$$, '22023', NULL, 'nothing else can be done');
SELECT throws_ok($$SELECT appdb.enqueue('d', on_duplicate => 'forget')$$, '22023', 'on_duplicate cannot be "forget"', 'which is said without a key, too');
SELECT is((SELECT count(DISTINCT appdb.enqueue('d', queue => 'd5', on_duplicate => v, group_limit => 2)) FROM unnest('{ignore,replace,reschedule}'::text[]) AS v), 3::bigint, 'without keys nothing is a duplicate, or of a group');
SELECT appdb.enqueue('d3', '{"n": 1}', queue => 'd3', priority => 5, max_attempts => 2, group_key => 'd3', expires_at => now() + interval '1 day', backoff => '1 h', dedupe_key => 'k3') AS d3 \gset
SELECT is(appdb.enqueue('d3', queue => 'd4', dedupe_key => 'k3', on_duplicate => 'replace'), :'d3'::uuid, 'what is not given when a task is replaced');
SELECT results_eq(format('SELECT payload, queue, priority, max_attempts, group_key, expires_at, backoff FROM appdb.tasks WHERE id = %L', :'d3'), $$VALUES ('{}'::jsonb, 'd4', 0, 20, NULL::text, NULL::timestamptz, NULL::interval)$$, 'is as by default');
SELECT ticket AS t FROM appdb.claim('{d4}', 'w') \gset
SELECT appdb.fail(:'d3', :t, 'no') IS NOT NULL AS done \gset
SELECT is(appdb.enqueue('d3', queue => 'd4', dedupe_key => 'k3'), :'d3'::uuid, 'one that failed and waits counts');
SELECT cardinality(appdb.enqueue_many('[{"kind": "d3", "dedupe_key": "k3"}, {"kind": "d3", "dedupe_key": "k4"}, {"kind": "d3", "dedupe_key": "k4"}, {"kind": "d3"}]')) AS done \gset
SELECT is((SELECT count(*) FROM appdb.tasks WHERE kind = 'd3'), 3::bigint, 'duplicates in one array, too');
SELECT appdb.cancel(id) AS done FROM appdb.tasks WHERE dedupe_key = 'k4' \gset
SELECT appdb.enqueue('d3', dedupe_key => 'k4') IS NOT NULL AS done \gset
SELECT throws_ok(format('SELECT appdb.retry(%L)', (SELECT id FROM appdb.tasks WHERE dedupe_key = 'k4' AND status = 'canceled')), '23505', NULL, 'one that ended is not tried again beside another');

-- == groups =================================================================

SELECT appdb.enqueue('g1', queue => 'grp', group_key => 'x') AS g1 \gset
SELECT appdb.enqueue('g2', queue => 'grp', group_key => 'x') AS g2 \gset
SELECT appdb.enqueue('h', queue => 'grp', group_key => 'y') AS h \gset
SELECT appdb.enqueue('free', queue => 'grp') AS free \gset
SELECT is(pg_temp.kinds('grp', 10), 'g1 h free', 'one of each group at a time');
SELECT is(pg_temp.kinds('grp', 10), NULL, 'the other has to wait');
SELECT appdb.complete(:'g1', 1);
SELECT is(pg_temp.kinds('grp', 10), 'g2', 'until the first is done');
SELECT cardinality(appdb.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', 'z' || g, 'queue', 'z', 'group_key', 'z', 'group_limit', 3)) FROM generate_series(1, 5) AS g))) AS done \gset
SELECT is(pg_temp.kinds('z', 10), 'z1 z2 z3', 'or as many as the limit says');
SELECT is((SELECT string_agg(group_slot::text, ' ' ORDER BY id) FROM appdb.tasks WHERE queue = 'z' AND status = 'running'), '1 2 3', 'each has its place');

-- what failed is tried again before what comes after it, where the group has one place
SELECT appdb.enqueue('s1', queue => 's', group_key => 's') AS s1 \gset
SELECT appdb.enqueue('s2', queue => 's', group_key => 's') AS s2 \gset
SELECT ticket AS t FROM appdb.claim('{s}', 'w') \gset
SELECT appdb.fail(:'s1', :t, 'no') IS NOT NULL AS done \gset
SELECT is(pg_temp.state(:'s1'), 'pending f f 1', 'one that failed keeps its place');
SELECT is(pg_temp.kinds('s', 10), NULL, 'the others wait for it');
UPDATE app_data.tasks SET run_at = now() WHERE id = :'s1';
SELECT is(pg_temp.kinds('s', 10), 's1', 'it is first');
SELECT appdb.snooze(:'s1', ticket, '1 h') IS NOT NULL AS done FROM appdb.tasks WHERE id = :'s1' \gset
SELECT is(pg_temp.kinds('s', 10), NULL, 'also after it was put back');
SELECT is(appdb.cancel(:'s1'), 'canceled', 'until it is canceled');
SELECT is(pg_temp.kinds('s', 10), 's2', 'or dead');
SELECT pg_temp.silence(:'s2');
SELECT appdb._maintain('leases', 1000) AS done \gset
SELECT is(pg_temp.state(:'s2'), 'pending t f 1', 'one whose worker is silent keeps its place, too');
SELECT appdb.fail(id, ticket, 'no') IS NOT NULL AS done FROM appdb.tasks WHERE kind = 'z1' \gset
SELECT is(pg_temp.kinds('z', 10), 'z4', 'where there are more places, others go on');
-- so does a place that its task leaves for another group
SELECT appdb.enqueue('r1', queue => 'left', group_key => 'left', dedupe_key => 'left') AS r1, appdb.enqueue('r2', queue => 'left', group_key => 'left') AS r2, appdb.enqueue('r3', queue => 'left', group_key => 'left') AS r3 \gset
SELECT appdb.fail(id, ticket, 'no') IS NOT NULL AS done FROM appdb.claim('{left}', 'w') \gset
UPDATE app_data.tasks SET queued = false, parked = true WHERE id IN (:'r2', :'r3');
SELECT appdb.enqueue('r1', queue => 'left', group_key => 'left', dedupe_key => 'left', on_duplicate => 'replace', run_at => now() + interval '1 h') IS NOT NULL AS done \gset
SELECT is(pg_temp.state(:'r1') || ', ' || pg_temp.state(:'r2'), 'pending f f 1, pending f f', 'one that is replaced keeps its place');
SELECT appdb.enqueue('r1', queue => 'left', group_key => 'right', dedupe_key => 'left', on_duplicate => 'replace', run_at => now() + interval '1 h') IS NOT NULL AS done \gset
SELECT is(pg_temp.state(:'r1') || ', ' || pg_temp.state(:'r2') || ', ' || pg_temp.state(:'r3'), 'pending f f, pending t f, pending f f', 'unless it goes to another group: then the next comes into the queue');
-- the order of a group holds whatever the walk meets first
SELECT appdb.enqueue_many('[{"kind": "y2", "queue": "y", "group_key": "yy2"}, {"kind": "y1", "queue": "y", "priority": -1, "group_key": "yy"}, {"kind": "y3", "queue": "y", "group_key": "yy"}]') IS NOT NULL AS done \gset
UPDATE app_data.tasks SET queued = false, parked = true WHERE kind IN ('y3', 'y2');
SELECT is(pg_temp.kinds('y', 10), 'y3', 'a parked task of the group that comes before it');
SELECT is(pg_temp.state(id), 'running t f 1', 'is in the queue again') FROM appdb.tasks WHERE kind = 'y3';
SELECT is(appdb._maintain('leases', 10), 1::bigint, 'maintenance lets in what nobody else would');
SELECT is(pg_temp.kinds('y', 10), 'y2', 'and it begins');
SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE kind = 'y3';
SELECT is(pg_temp.kinds('y', 10), 'y1', 'the rest after it');
-- in each of its queues, also where nobody serves the other
SELECT appdb.enqueue_many('[{"kind": "qb1", "queue": "qb", "group_key": "qq"}, {"kind": "qa1", "queue": "qa", "group_key": "qq"},
	{"kind": "qb2", "queue": "qb", "group_key": "qq"}, {"kind": "qa2", "queue": "qa", "group_key": "qq"}, {"kind": "qa3", "queue": "qa", "group_key": "qq"}]') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('qa', 10), 'qa1', 'a queue has the place of a group');
UPDATE app_data.tasks SET queued = false, parked = true WHERE group_key = 'qq' AND status = 'pending';
SELECT is(appdb._maintain('leases', 10), 0::bigint, 'and maintenance leaves it that');
SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE kind = 'qa1';
SELECT is((SELECT string_agg(kind, ' ' ORDER BY kind) FROM appdb.tasks WHERE group_key = 'qq' AND queued), 'qa2 qb1', 'then the next of the group comes into the queue, and the next of that queue');
SELECT is(pg_temp.kinds('qa', 10), 'qa2', 'which need not wait for the other one''s workers');
DELETE FROM appdb.tasks WHERE kind = 'qa2';
SELECT is(appdb._maintain('leases', 10), 1::bigint, 'maintenance lets one into each queue of a group that has a place');
SELECT is(pg_temp.kinds('qa', 10), 'qa3', 'the next there');
SELECT is(appdb._maintain('leases', 10), 0::bigint, 'as long as it has one');
SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE kind = 'qa3';
-- what is parked does not wait for a group that is not its own any more
SELECT cardinality(appdb.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', 'h' || n, 'queue', 'regrouped', 'group_key', 'regrouped')) FROM generate_series(1, 6) AS n))) AS done \gset
SELECT is(pg_temp.kinds('regrouped', 10), 'h1', 'a group with one place');
UPDATE app_data.tasks SET queued = false, parked = true WHERE queue = 'regrouped' AND status = 'pending';
UPDATE appdb.tasks SET group_key = NULL WHERE kind = 'h2';
UPDATE appdb.tasks SET group_key = 'h3' WHERE kind = 'h3';
UPDATE appdb.tasks SET group_limit = 2 WHERE kind IN ('h4', 'h5');
UPDATE appdb.tasks SET queue = 'regrouped too' WHERE kind = 'h6';
SELECT is(pg_temp.kinds('regrouped', 10), 'h2 h3 h4', 'tasks that leave it are ready, and those that may begin beside others');
SELECT is((SELECT queued FROM appdb.tasks WHERE kind = 'h6'), true, 'and those that go to another queue');
SELECT throws_ok($$SELECT appdb.enqueue('x', group_key => 'x', group_limit => 0)$$, '23514', NULL, 'a group has a place');

-- places take locks, of which there are not many
SELECT count(appdb.enqueue('p', queue => 'places', group_key => 'places ' || g)) AS done FROM generate_series(1, 1100) AS g \gset
SELECT is((SELECT count(*) FROM appdb.claim('{places}', 'w', 10000)), 1000::bigint, 'one claim takes a thousand groups');
SELECT is((SELECT count(*) FROM appdb.claim('{places}', 'w', 10000)), 100::bigint, 'the next the others');
SELECT count(appdb.enqueue('p', queue => 'places', group_key => 'places ' || g)) AS done FROM generate_series(3, 302) AS g \gset
SELECT is(appdb._park(array_agg(id)), 200, 'nor are tasks of more groups parked at a time') FROM app_data.tasks WHERE queue = 'places' AND status = 'pending';
UPDATE app_data.tasks SET group_slot = CASE WHEN group_key LIKE '%1' THEN -1 ELSE 2147483647 END, group_limit = 2 WHERE queue = 'places' AND group_key IN ('places 1', 'places 2');
SELECT count(appdb.enqueue('q', queue => 'places', group_key => 'places ' || g, group_limit => 2)) AS done FROM generate_series(1, 2) AS g, generate_series(1, 2) \gset
SELECT is(pg_temp.kinds('places', 10), 'q q', 'where a place has a number that somebody has thought of, it is one all the same');

-- what a claim has taken ahead of its walk, it meets again
SELECT appdb.enqueue('v0', queue => 'v', space_id => '00000000-0000-4000-8000-000000000001') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('v'), 'v0', 'the first space has had its turn');
SELECT count(appdb.enqueue('v' || n, queue => 'v', group_key => 'v', group_limit => 3, space_id => ('00000000-0000-4000-8000-00000000000' || n)::uuid)) AS done FROM generate_series(1, 2) AS n \gset
SELECT is(pg_temp.kinds('v', 10), 'v1 v2', 'tasks of a group of several spaces, in its order, each once');

-- == waiting ================================================================

SELECT is(appdb.idle('{idle}'), '30 s', 'where nothing is to do a worker waits');
SELECT appdb.enqueue('i', queue => 'idle', run_at => now() + interval '1 h') IS NOT NULL AS done \gset
SELECT is(appdb.idle('{idle}'), '30 s', 'as long, where something is to do much later');
SELECT appdb.enqueue('i', queue => 'idle', run_at => clock_timestamp() + interval '20 s') IS NOT NULL AS done \gset
SELECT ok(appdb.idle('{idle, other}') BETWEEN '1 s' AND '20 s', 'or until it is');
SELECT appdb.enqueue('i', queue => 'idle') IS NOT NULL AS done \gset
SELECT is(appdb.idle('{other, idle}'), '0', 'and not at all, where something is');
SELECT pg_temp.kinds('idle');
SELECT ok(appdb.idle('{idle}') > '1 s', 'what others do is nothing to do');
SELECT appdb.enqueue('never', queue => 'never', run_at => 'infinity') IS NOT NULL AS done \gset
SELECT is(appdb.idle('{never}'), '30 s', 'what is for never is not waited for');
UPDATE app_data.tasks SET run_at = '-infinity', queued = false WHERE queue = 'never';
SELECT is(appdb.idle('{never}'), '0', 'what is for always is');
SELECT ok(appdb.idle('{z}') BETWEEN '0.5 s' AND '1 s', 'what waits for a place in its group is looked at every second');
SELECT appdb.enqueue('i', queue => 'gone', run_at => clock_timestamp() + interval '1 ms') AS i \gset
DELETE FROM appdb.tasks WHERE id = :'i';
SELECT pg_sleep(0.005);
SELECT is(appdb.idle('{gone}'), '30 s', 'nor is what was deleted');

SELECT lives_ok($$SELECT appdb.enqueue('n', queue => 'one of many ' || g) FROM generate_series(1, 12000) AS g$$, 'whoever enqueues in many queues takes no lock for each');

-- == dependencies ===========================================================

SELECT (appdb.enqueue_many('[{"kind": "p1", "queue": "dep"}, {"kind": "p2", "queue": "dep"}, {"kind": "child", "queue": "dep", "priority": 9, "depends_on": [0, 1]}]'))[3] AS child \gset
SELECT is(pg_temp.kinds('dep', 10), 'p1 p2', 'a task waits for others');
SELECT appdb.complete(id, 1) FROM appdb.tasks WHERE kind = 'p1';
SELECT is(pg_temp.kinds('dep', 10), NULL, 'for all of them');
SELECT is(appdb.complete_many(ARRAY(SELECT id FROM appdb.tasks WHERE kind = 'p2'), '{1}'), 1, 'the last is done');
SELECT is(pg_temp.kinds('dep', 10), 'child', 'then it begins');
SELECT appdb.enqueue('p3', queue => 'dep2') AS p3 \gset
SELECT appdb.enqueue('child2', queue => 'dep2', depends_on => ARRAY[:'p3'::uuid]) AS child2 \gset
SELECT appdb.enqueue('child3', queue => 'dep2', depends_on => ARRAY[:'child2'::uuid]) AS child3 \gset
SELECT is(appdb.cancel(:'p3'), 'canceled', 'where one is canceled');
SELECT is(pg_temp.state(:'child2') || ', ' || pg_temp.state(:'child3'), 'canceled f t, canceled f t', 'so are those that wait for it, however far');
SELECT throws_ok(format('SELECT appdb.enqueue(%L, depends_on => ARRAY[%L::uuid])', 'child4', :'p3'), '23503', NULL, 'nothing new can wait for it');
SELECT throws_ok($$SELECT appdb.enqueue('x', depends_on => '{00000000-0000-4000-8000-0000000000ff}')$$, '23503', NULL, 'nor for what never was');
SELECT lives_ok(format('SELECT appdb.enqueue(%L, queue => %L, depends_on => ARRAY[%L::uuid])', 'child5', 'dep3', (SELECT id FROM appdb.tasks WHERE kind = 'p1')), 'but for what is done');
SELECT is(pg_temp.kinds('dep3', 10), 'child5', 'and begins at once');
SELECT throws_ok($$SELECT appdb.enqueue_many('[{"kind": "x"}, {"kind": "y", "depends_on": 0}]')$$, '22023', 'depends_on cannot be 0', 'what it depends on is an array');
SELECT is(pg_temp.told($$SELECT appdb.enqueue_many('[{"kind": "x"}, {"kind": "y", "depends_on": 0}]')$$),
	'depends_on cannot be 0 | This task has place 1 in the array. | It is an array, of ids or of places in the array of tasks.', 'the error says of which task');
SELECT lives_ok($$SELECT appdb.enqueue_many('[{"kind": "x", "depends_on": null}]')$$, 'or nothing');
-- one that is tried again waits again
SELECT m[1] AS p6, m[2] AS child6 FROM appdb.enqueue_many('[{"kind": "p6", "queue": "dep6"}, {"kind": "child6", "queue": "dep6", "depends_on": [0]}]') AS m \gset
SELECT is(appdb.cancel(:'child6'), 'canceled', 'what waits for another is canceled');
SELECT appdb.retry(:'child6');
SELECT is(pg_temp.kinds('dep6', 10), 'p6', 'and tried again: it waits as before');
SELECT appdb.complete(:'p6', 1);
SELECT is(pg_temp.kinds('dep6', 10), 'child6', 'until that is done');
SELECT m[1] AS p7, m[2] AS p8, m[3] AS child7 FROM appdb.enqueue_many('[{"kind": "p7", "queue": "dep7"}, {"kind": "p8", "queue": "dep7"}, {"kind": "child7", "queue": "dep7", "depends_on": [0, 1]}]') AS m \gset
SELECT is(pg_temp.kinds('dep7', 10), 'p7 p8', 'of two that it waits for');
SELECT appdb.complete(:'p7', 1);
SELECT appdb.retry(:'p7');
SELECT is(pg_temp.kinds('dep7', 10), 'p7', 'one is done, and again');
SELECT appdb.complete(:'p7', 2);
SELECT is(pg_temp.kinds('dep7', 10), NULL, 'which does not count for the other');
-- one that was done before another came to wait for it
SELECT appdb.enqueue('p9', queue => 'dep9') AS p9 \gset
SELECT appdb.complete(id, ticket) FROM appdb.claim('{dep9}', 'w') \gset done_
SELECT appdb.enqueue('p10', queue => 'dep9') AS p10 \gset
SELECT appdb.enqueue('child9', queue => 'dep9', depends_on => ARRAY[:'p9', :'p10']::uuid[]) IS NOT NULL AS done \gset
SELECT appdb.retry(:'p9');
SELECT string_agg(appdb.complete(id, ticket)::text, '') AS done FROM appdb.claim('{dep9}', 'w', 10) \gset
SELECT is(pg_temp.kinds('dep9', 10), 'child9', 'is waited for, and told of');
-- one that is deleted is waited for when it is there again
SELECT m[1] AS p13, m[2] AS child13 FROM appdb.enqueue_many('[{"kind": "p13", "queue": "dep13"}, {"kind": "child13", "queue": "dep13", "depends_on": [0]}]') AS m \gset
DELETE FROM appdb.tasks WHERE id = :'p13';
SELECT appdb._maintain('leases', 10) IS NOT NULL AS done \gset
SELECT is(pg_temp.state(:'child13'), 'canceled f t', 'what waits for a task that is deleted is canceled by maintenance');
SAVEPOINT deleted;
SELECT appdb.retry(:'child13');
SELECT is(pg_temp.kinds('dep13', 10), 'child13', 'tried again, it does not wait for that');
ROLLBACK TO deleted;
SELECT count(*) AS done FROM appdb.restore('appdb.tasks', :'p13'::uuid) \gset
SELECT appdb.retry(:'child13');
SELECT is(pg_temp.kinds('dep13', 10), 'p13', 'unless it has come back');
-- a long row of tasks
SELECT (appdb.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', n::text, 'queue', 'row', 'depends_on', CASE WHEN n > 0 THEN jsonb_build_array(n - 1) END)) FROM generate_series(0, 500) AS n)))[1] AS first \gset
SELECT is(appdb.cancel(:'first'), 'canceled', 'where the first of many is canceled');
SELECT results_eq($$SELECT status::text, count(*), max(substr(last_error, 42)) FROM appdb.tasks WHERE queue = 'row' GROUP BY 1$$, $$VALUES ('canceled', 501::bigint, ', on which it depends, is canceled')$$, 'all of the others are');
-- by hand
UPDATE appdb.tasks SET status = 'completed' WHERE id = :'p8';
SELECT is(appdb._maintain('leases', 10), 1::bigint, 'where it is completed by hand');
SELECT is(pg_temp.kinds('dep7', 10), 'child7', 'maintenance lets begin what waits for it');
SELECT m[1] AS p11 FROM appdb.enqueue_many('[{"kind": "p11", "queue": "dep11"}, {"kind": "p12", "queue": "dep11"}, {"kind": "child11", "queue": "dep11", "depends_on": [0, 1]}]') AS m \gset
UPDATE appdb.tasks SET status = 'canceled' WHERE id = :'p11';
SELECT appdb.retry(:'p11');
SELECT string_agg(appdb.complete(id, ticket)::text, '') AS done FROM appdb.claim('{dep11}', 'w', 10) \gset
SELECT is(pg_temp.kinds('dep11', 10), 'child11', 'what was called off by hand, and is tried again, is waited for once');
SELECT appdb.enqueue('ring1', queue => 'ring', dedupe_key => 'r') AS r1 \gset
SELECT appdb.enqueue('ring2', queue => 'ring', depends_on => ARRAY[appdb.enqueue('ring3', queue => 'ring', depends_on => ARRAY[:'r1'::uuid])]) AS r2 \gset
SELECT throws_ok(format('SELECT appdb.enqueue(%L, dedupe_key => %L, on_duplicate => %L, depends_on => ARRAY[%L]::uuid[])', 'ring1', 'r', 'replace', v), '23514', 'task "ring1" cannot depend on itself', 'none waits for itself')
FROM unnest(ARRAY[:'r1', :'r2']) AS v;
SELECT throws_ok($$SELECT appdb.enqueue('x', depends_on => '{NULL}')$$, '22004', NULL, 'nor for null');
SELECT throws_ok(format('SELECT appdb.enqueue_many(%L)', format('[{"kind": "x"}, {"kind": "x", "depends_on": [%s]}]', v)), '22023', format('depends_on cannot be [%s]', v), 'nor for one that comes later in the array')
FROM unnest('{1,-1}'::integer[]) AS v;

-- one that was inserted so as to wait, and for nothing
INSERT INTO appdb.tasks (kind, queue, waits_for, queued) VALUES ('for nothing', 'for nothing', 1, false);
SELECT is(appdb._maintain('leases', 10), 1::bigint, 'what waits for nothing keeps no maintenance from going on');
SELECT is(pg_temp.kinds('for nothing'), 'for nothing', 'and is in the queue');

-- leases that somebody has taken away
SELECT appdb.enqueue('no lease', queue => 'no lease', max_attempts => 1) AS lost, appdb.enqueue('no lease', queue => 'no lease') AS again \gset
SELECT count(*) AS done FROM appdb.claim('{no lease}', 'w', 10) \gset
UPDATE appdb.tasks SET locked_until = NULL WHERE queue = 'no lease';
SELECT is((SELECT silent FROM appdb.task_overview WHERE queue = 'no lease'), 2::bigint, 'a worker without a lease is silent');
SELECT is(appdb._maintain('leases', 10), 2::bigint, 'maintenance takes its tasks back');
SELECT is(pg_temp.state(:'lost') || ', ' || pg_temp.state(:'again'), 'dead f t, pending t f', 'as if the leases had ended');

-- == deleted tasks ==========================================================

SELECT cardinality(appdb.enqueue_many('deleted', array_fill('{}'::jsonb, '{30}'), 'deleted')) AS done \gset
SELECT appdb.enqueue('deleted', queue => 'deleted', group_key => 'deleted') IS NOT NULL AND appdb.enqueue('later', queue => 'deleted', run_at => now() + interval '1 h') IS NOT NULL AS done \gset
SELECT count(*) AS done FROM appdb.claim('{deleted}', 'w', 2) \gset
CREATE TEMP TABLE deleted AS SELECT id, status, queued, parked, attempts, locked_until FROM appdb.tasks WHERE queue = 'deleted';
DELETE FROM appdb.tasks WHERE queue = 'deleted';
SELECT appdb.enqueue('live', queue => 'deleted') IS NOT NULL AS done \gset
ALTER TABLE app_data.tasks DISABLE TRIGGER appdb_task_restored;
SELECT is(pg_temp.kinds('deleted', 10), 'live', 'a claim steps over deleted tasks');
SELECT is((SELECT count(*) FROM app_data.tasks WHERE queue = 'deleted' AND queued), 32::bigint, 'where nothing would bring them back, that is all');
ALTER TABLE app_data.tasks ENABLE TRIGGER appdb_task_restored;
SELECT appdb.enqueue('live', queue => 'deleted') IS NOT NULL AS done \gset
SELECT is(pg_temp.kinds('deleted', 10), 'live', 'the next claim');
SELECT is((SELECT count(*) FROM app_data.tasks WHERE queue = 'deleted' AND queued), 2::bigint, 'takes them out of the queue');
SELECT is(appdb._maintain('leases', 10), 0::bigint, 'as long as they are deleted');
SELECT count(r) AS done FROM deleted AS d, appdb.restore('appdb.tasks', d.id) AS r \gset
SELECT is((SELECT count(*) FROM deleted AS d JOIN appdb.tasks AS t USING (id, status, queued, parked, attempts) WHERE t.locked_until IS NOT DISTINCT FROM d.locked_until), 32::bigint, 'they are restored as they were');
SELECT is((SELECT count(*) FROM appdb.claim('{deleted}', 'w', 100)), 29::bigint, 'and done');
-- a place in a group is there for others meanwhile
SELECT count(appdb.enqueue('d' || n, queue => 'd' || g, group_key => 'd' || g)) AS done FROM generate_series(1, 2) AS g, generate_series(1, 2) AS n \gset
SELECT string_agg(appdb.fail(id, ticket, 'no', '1 h')::text, ' ') AS done FROM appdb.claim('{d1}', 'w') \gset
SELECT is(pg_temp.kinds('d2'), 'd1', 'one failed, and keeps its place; one is running');
SELECT array_agg(id) AS d FROM appdb.tasks WHERE kind = 'd1' \gset
CREATE TEMP TABLE before AS SELECT id, ticket FROM appdb.tasks WHERE kind = 'd1' AND status = 'running';
DELETE FROM appdb.tasks WHERE kind = 'd1';
SELECT is((SELECT string_agg(restored::text, ' ') FROM appdb.restore('appdb.tasks', :'d'::uuid[])), 'app_data.tasks', 'where nobody has taken it');
SELECT is((SELECT string_agg(pg_temp.state(id), ', ' ORDER BY id) FROM appdb.tasks WHERE kind = 'd1'), 'pending f f 1, running t f 1', 'they have it again');
DELETE FROM appdb.tasks WHERE kind = 'd1';
SELECT is((SELECT string_agg(kind, ' ') FROM appdb.claim('{d1,d2}', 'w', 10)), 'd2 d2', 'where the next of the group has');
SELECT is((SELECT sum(rows) FROM appdb.restore('appdb.tasks', :'d'::uuid[])), 2::numeric, 'they come back all the same');
SELECT is((SELECT string_agg(pg_temp.state(id), ', ' ORDER BY id) FROM appdb.tasks WHERE kind = 'd1'), 'pending f f, running t f', 'without it');
SELECT is((SELECT count(*) FROM appdb.claim('{d1,d2}', 'w', 10)), 0::bigint, 'and wait');
SELECT throws_ok(format('SELECT appdb.heartbeat(%L, %s)', d.id, d.ticket), '55000', NULL, 'the worker that had one cannot go on beside the next of its group')
FROM before AS d;
SELECT count(appdb.complete(id, ticket)) AS done FROM appdb.tasks WHERE kind = 'd2' \gset
SELECT is((SELECT string_agg(kind || queue || attempt, ' ') FROM appdb.claim('{d1,d2}', 'w', 10)), 'd1d22', 'until there is one: that of the worker has been lost');

-- == complete_many ==========================================================

SELECT appdb.enqueue_many('m', ARRAY['{"n": 1}', '{"n": 2}']::jsonb[], 'm') AS m \gset
SELECT array_agg(c.ticket ORDER BY c.id) AS tickets FROM appdb.claim('{m}', 'w', 2) AS c \gset
SELECT throws_ok(format('SELECT appdb.complete_many(%L, %L)', :'m', '{1,9}'), '55000', NULL, 'all or none');
SELECT is(appdb.complete_many(:'m', :'tickets', ARRAY['1', '2']::jsonb[]), 2, 'all');
SELECT results_eq(format('SELECT payload -> %L, result FROM appdb.tasks WHERE id = ANY (%L) ORDER BY id', 'n', :'m'), $$VALUES ('1'::jsonb, '1'::jsonb), ('2', '2')$$, 'each with its result');
SELECT is(appdb.complete_many(NULL, NULL) + appdb.complete_many('{}', '{}'), 0, 'none is no error');
SELECT throws_ok(format('SELECT appdb.complete_many(%L, NULL)', :'m'), '2202E', NULL, 'a ticket for each');
-- by hand and by the executor
CREATE FUNCTION pg_temp.is_done() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT appdb.enqueue_many('mm', ARRAY[ARRAY['1', '2'], ARRAY['3', '4']]::jsonb[], 'mm') AS mm \gset
SELECT array_agg(c.ticket ORDER BY c.id) AS mm_tickets FROM appdb.claim('{mm}', 'w', 4) AS c \gset
SELECT is(appdb.complete_many(ARRAY[(:'mm'::uuid[])[1:1]], ARRAY[(:'mm_tickets'::int[])[1:1]], ARRAY[ARRAY['1']]::jsonb[]), 1, 'arrays of arrays are what is in them');
CREATE TRIGGER is_done AFTER UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION pg_temp.is_done();
SELECT is(appdb.complete_many(ARRAY[(:'mm'::uuid[])[2:2]], ARRAY[(:'mm_tickets'::int[])[2:2]], ARRAY[ARRAY['1']]::jsonb[]), 1, 'with a trigger, too');
SELECT throws_ok(format('SELECT appdb.complete_many(%L, %L)', ARRAY[(:'mm'::uuid[])[3:4]], '[0:0][0:1]={{1,NULL}}'::int[]), '22004', 'the ticket of a task must not be null', 'and none is null');
DROP TRIGGER is_done ON app_data.tasks;
SELECT throws_ok(format('SELECT appdb.complete_many(ARRAY[%1$L, %1$L]::uuid[], %2$L)', (:'m'::uuid[])[1], :'tickets'), '55000', NULL, 'what is done is not done again');
-- what waits for all of these, and the next of their group
SELECT appdb.enqueue_many('[{"kind": "n1", "queue": "n", "group_key": "n", "group_limit": 2}, {"kind": "n2", "queue": "n", "group_key": "n", "group_limit": 2}, {"kind": "n3", "queue": "n", "group_key": "n", "group_limit": 2},
	{"kind": "after", "queue": "n", "depends_on": [0, 1, 0]}]') IS NOT NULL AS done \gset
SELECT array_agg(c.id) AS n, array_agg(c.ticket) AS tickets FROM appdb.claim('{n}', 'w', 10) AS c \gset
SELECT throws_ok(format('SELECT appdb.complete_many(ARRAY[%1$L, %1$L]::uuid[], ARRAY[%2$s, %2$s])', (:'n'::uuid[])[1], (:'tickets'::int[])[1]), '21000', NULL, 'each is given once');
SELECT is(appdb.complete_many(:'n', :'tickets'), 2, 'both at once');
SELECT is(pg_temp.kinds('n', 10), 'n3 after', 'let begin what waits for them');

-- == completed tasks that are not kept ======================================

SET appdb.keep_completed_tasks = off;
SELECT appdb.enqueue('gone', queue => 'k', group_key => 'k') AS gone, appdb.enqueue('next', queue => 'k', group_key => 'k') AS next \gset
SELECT ticket AS t FROM appdb.claim('{k}', 'w') \gset
SELECT appdb.complete(:'gone', :t);
SELECT is_empty(format('SELECT FROM app_data.tasks WHERE id = %L', :'gone'), 'a completed task is deleted');
SELECT throws_ok(format('SELECT appdb.complete(%L, %s)', :'gone', :t), 'P0002', NULL, 'and can be completed once');
SELECT is(pg_temp.kinds('k'), 'next', 'its place in its group is free');
SELECT throws_ok(format('SELECT appdb.enqueue(%L, depends_on => ARRAY[%L]::uuid[])', 'child', :'gone'), '23503', NULL, 'nothing can begin to wait for it');
SELECT appdb.complete(id, ticket, '{"ok": 1}') FROM appdb.tasks WHERE id = :'next';
SELECT is(result, '{"ok": 1}', 'one that has a result is kept') FROM appdb.tasks WHERE id = :'next';
SELECT appdb.enqueue('parent', queue => 'k') AS parent \gset
SELECT appdb.enqueue('child', queue => 'k', depends_on => ARRAY[:'parent'::uuid]) AS child \gset
SELECT pg_temp.kinds('k');
SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE id = :'parent';
SELECT is(pg_temp.state(:'parent'), 'completed f t', 'so is one that others waited for');
SELECT is(pg_temp.kinds('k'), 'child', 'which begin');
SELECT appdb.enqueue('dead', queue => 'k', max_attempts => 1) AS dead \gset
SELECT pg_temp.kinds('k');
SELECT appdb.fail(id, ticket, 'x') FROM appdb.tasks WHERE id = :'dead';
SELECT is(pg_temp.state(:'dead'), 'dead f t', 'and one that is dead');
SELECT cardinality(appdb.enqueue_many('many', array_fill('{}'::jsonb, '{3}'), 'k2')) AS done \gset
SELECT array_agg(id) AS ids, array_agg(ticket) AS tickets FROM appdb.claim('{k2}', 'w', 3) \gset
SELECT throws_ok(format('SELECT appdb.complete_many(%L::uuid[] || %L::uuid[], %L::int[] || %L::int[])', :'ids', :'ids', :'tickets', :'tickets'), '21000', NULL, 'each is given once');
SELECT is(appdb.complete_many(:'ids', :'tickets', ARRAY[NULL, '1', NULL]::jsonb[]), 3, 'many at once');
SELECT is((SELECT count(*) FROM appdb.tasks WHERE queue = 'k2'), 1::bigint, 'are deleted but for those with a result');
-- what refers to tasks keeps them; triggers on them fire
CREATE TABLE pg_temp.ended (id uuid, op text);
CREATE FUNCTION pg_temp.ended() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pg_temp.ended VALUES (OLD.id, TG_OP); RETURN NULL; END $$;
CREATE TRIGGER ended AFTER UPDATE OF status OR DELETE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION pg_temp.ended();
SELECT appdb.enqueue('heard', queue => 'k3') AS heard, appdb.enqueue('kept', queue => 'k3') AS kept \gset
SELECT pg_temp.kinds('k3');
SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE id = :'heard';
SELECT is((SELECT string_agg(op, ' ') FROM pg_temp.ended WHERE id = :'heard'), 'UPDATE UPDATE DELETE', 'a trigger sees it completed, and go');
DROP TRIGGER ended ON app_data.tasks;
CREATE TABLE public.task_notes (task_id uuid REFERENCES app_data.tasks (id));
INSERT INTO public.task_notes VALUES (:'kept');
SELECT pg_temp.kinds('k3');
SELECT lives_ok(format('SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE id = %L', :'kept'), 'one that is referred to is completed');
SELECT is(pg_temp.state(:'kept'), 'completed f t', 'and kept');
DROP TABLE public.task_notes;
RESET appdb.keep_completed_tasks;
-- nor does what refers to how a task stands miss that
ALTER TABLE app_data.tasks ADD CONSTRAINT stands UNIQUE (id, status);
CREATE TABLE public.task_runs (task_id uuid, status app_data.task_status, FOREIGN KEY (task_id, status) REFERENCES app_data.tasks (id, status) ON UPDATE CASCADE);
SELECT appdb.enqueue('run', queue => 'k4') AS run \gset
INSERT INTO public.task_runs VALUES (:'run', 'pending');
SELECT pg_temp.kinds('k4');
SELECT is((SELECT string_agg(r.status::text, ' ') FROM public.task_runs AS r), 'running', 'a foreign key with ON UPDATE CASCADE follows a claim');
SELECT lives_ok(format('SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE id = %L', :'run'), 'and a completion');
SELECT is((SELECT string_agg(r.status::text, ' ') FROM public.task_runs AS r), 'completed', 'which it follows');
DROP TABLE public.task_runs;
ALTER TABLE app_data.tasks DROP CONSTRAINT stands;
-- the table can be a partition of yours
CREATE TABLE public.all_tasks (LIKE app_data.tasks INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY LIST (kind);
SAVEPOINT partition;
DELETE FROM app_data.tasks WHERE kind = 'other';
ALTER TABLE public.all_tasks ATTACH PARTITION app_data.tasks DEFAULT;
CREATE TABLE public.other_tasks PARTITION OF public.all_tasks FOR VALUES IN ('other');
SELECT throws_ok($$SELECT appdb.enqueue('other')$$, '23514', NULL, 'a task that belongs into another partition is refused');
ROLLBACK TO partition;
DROP TABLE public.all_tasks;
SAVEPOINT nulls;
ALTER TABLE app_data.tasks ALTER queue DROP NOT NULL;
SELECT appdb.enqueue('lacking', queue => 'lacking', group_key => 'lacking') AS lacking \gset
SELECT ticket AS lacking_ticket FROM appdb.claim('{lacking}', 'w') \gset
UPDATE app_data.tasks SET queue = NULL WHERE id = :'lacking';
SELECT throws_ok(format('SELECT appdb.complete(%L, %s)', :'lacking', :lacking_ticket), '55000', NULL, 'a row that lacks its queue, which the owner has allowed, is no task');
SELECT lives_ok($$SELECT appdb._maintain('leases', 10)$$, 'nor for maintenance');
ROLLBACK TO nulls;

-- == other ways =============================================================

UPDATE appdb.tasks SET status = 'completed' WHERE id = :'free';
SELECT is(pg_temp.state(:'free'), 'completed f t', 'a status set by hand brings what goes with it');
SELECT results_eq($$SELECT waiting, scheduled, running, dead FROM appdb.task_overview WHERE queue IN ('z', 'f', 'g') ORDER BY queue$$,
	$$VALUES (0::bigint, 0::bigint, 0::bigint, 1::bigint), (0, 1, 0, 0), (1, 1, 3, 0)$$, 'people see how the queues stand');
INSERT INTO app_data.tasks (kind, queue, run_at, queued) VALUES ('due', 'view', date_trunc('milliseconds', now()) - interval '2 min', false), ('later', 'view', now() + interval '1 min', false), ('by hand', 'view', now() + interval '1 min', true);
INSERT INTO app_data.tasks (kind, queue, queued, group_key, parked) VALUES ('in the queue', 'view', true, 'view', false), ('parked', 'view', false, 'view', true);
SELECT results_eq($$SELECT waiting, scheduled, late, oldest FROM appdb.task_overview WHERE queue = 'view'$$, $$VALUES (3::bigint, 2::bigint, 1::bigint, date_trunc('milliseconds', now()) - interval '2 min')$$,
	'also where no worker has looked, a task came in by hand, or its group has no place');
-- a trigger of the user's
CREATE FUNCTION pg_temp.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.progress_message := TG_OP; RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION pg_temp.note();
SELECT appdb.enqueue('t', queue => 't') AS t1 \gset
SELECT is(progress_message, 'INSERT', 'a trigger on the table fires when a task is added') FROM appdb.tasks WHERE id = :'t1';
SELECT is(pg_temp.kinds('t'), 't', 'it is claimed');
SELECT is(progress_message || ticket, 'UPDATE1', 'and the trigger fires') FROM appdb.tasks WHERE id = :'t1';
SELECT appdb.enqueue('u', queue => 'u', group_key => 'u') AS u1 \gset
SELECT pg_temp.kinds('u');
SELECT pg_temp.silence(:'u1');
SELECT is(pg_temp.kinds('u') || ' ' || pg_temp.state(:'u1'), 'u running t f 1', 'one that is taken from a silent worker keeps its place in its group');
SELECT is(errors #>> '{0,error}', 'its worker went silent', 'and it is noted why') FROM appdb.tasks WHERE id = :'u1';
-- it can claim itself, from many queues
CREATE FUNCTION pg_temp.claim_more() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.queue = 'more' AND NEW.status = 'running' THEN
		PERFORM appdb.claim(ARRAY(SELECT 'more' || n FROM generate_series(1, 70) AS n), 'w');
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER claim_more AFTER UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION pg_temp.claim_more();
SELECT count(appdb.enqueue('more', queue => 'more')) AS done FROM generate_series(1, 3) \gset
SELECT is(pg_temp.kinds('more', 10), 'more more more', 'also one that claims from many queues');
DROP TRIGGER claim_more ON app_data.tasks;
-- one that fails keeps only those from being done that it fails for
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.kind = 'bad' THEN RAISE 'refused'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
SET client_min_messages = error;
SELECT count(appdb.enqueue(k, queue => 'ready')) AS done FROM unnest('{bad,good}'::text[]) AS k \gset
SELECT is(pg_temp.kinds('ready', 10), 'good', 'a task whose trigger fails keeps no others from being claimed');
SELECT count(appdb.enqueue(k, queue => 'due', run_at => clock_timestamp() + interval '1 ms')) AS done FROM unnest('{bad,good}'::text[]) AS k \gset
SELECT pg_sleep(0.005);
SELECT is(pg_temp.kinds('due', 10), 'good', 'nor from coming into the queue');
SELECT count(appdb.enqueue(k, queue => 'over', expires_at => now() - interval '1 s')) AS done FROM unnest('{bad,over}'::text[]) AS k \gset
SELECT is(pg_temp.kinds('over', 10), NULL, 'nor from being canceled');
SELECT is(status::text, 'canceled', 'that is done') FROM appdb.tasks WHERE kind = 'over';
SELECT count(appdb.enqueue(k, queue => 'grouped', group_key => g)) AS done FROM (VALUES ('bad', 'b'), ('behind', 'b'), ('behind', 'b'), ('other', 'o')) AS v (k, g) \gset
SELECT is(pg_temp.kinds('grouped', 10), 'other', 'in a group, those that come after it wait');
SELECT throws_ok($$UPDATE app_data.tasks SET progress = 0.1 WHERE queue = 'ready' AND kind = 'bad'$$, 'P0001', 'refused', 'it is the trigger');
SELECT appdb.enqueue('silent', queue => 'silent') AS silent \gset
SELECT pg_temp.kinds('silent');
SELECT pg_temp.silence(:'silent');
SELECT is(appdb._maintain('leases', 1000) > 0, true, 'maintenance does what it can');
SELECT is(pg_temp.state(:'silent'), 'pending t f', 'for the others');
RESET client_min_messages;
-- some extensions mark theirs as internal, as those of foreign keys are
SET LOCAL allow_system_table_mods = on;
UPDATE pg_trigger SET tgisinternal = true WHERE tgname = 'note';
RESET allow_system_table_mods;
DROP TRIGGER refuse ON app_data.tasks;
SELECT appdb.enqueue('t', queue => 'internal') AS t2 \gset
SELECT is(progress_message, 'INSERT', 'a trigger that is marked as internal fires, too') FROM appdb.tasks WHERE id = :'t2';
SELECT pg_temp.kinds('internal');
SELECT is(progress_message || ticket, 'UPDATE1', 'also where a task is claimed') FROM appdb.tasks WHERE id = :'t2';
DROP TRIGGER note ON app_data.tasks;
CREATE FUNCTION appdb.own_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.progress_message := TG_OP; RETURN NEW; END $$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION appdb.own_note();
SELECT appdb.enqueue('t', queue => 'schema') AS t3 \gset
SELECT is(progress_message, 'INSERT', 'so does one whose function is in schema appdb') FROM appdb.tasks WHERE id = :'t3';
SELECT appdb.complete(id, ticket) IS NULL AS done FROM appdb.claim('{schema}') \gset
SELECT is(progress_message, 'UPDATE', 'where a task is claimed and completed, too') FROM appdb.tasks WHERE id = :'t3';

-- what has a name of ours is known by what it says: where nothing is another's, tasks are written without a statement
SET LOCAL track_functions = 'all';
SET LOCAL search_path = public;
SET LOCAL IntervalStyle = 'iso_8601';
SET LOCAL quote_all_identifiers = on;
CREATE FUNCTION public.statements() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	_enqueue CONSTANT regproc := 'appdb._enqueue';
	before bigint := coalesce(pg_stat_get_xact_function_calls(_enqueue), 0);
BEGIN
	PERFORM appdb.enqueue('named', queue => 'named');
	RETURN coalesce(pg_stat_get_xact_function_calls(_enqueue), 0) - before;
END $$;
SAVEPOINT named;
DROP TRIGGER note ON app_data.tasks;
SELECT is(public.statements(), 0::bigint, 'an ordinary task is written without a statement');
ALTER TABLE app_data.tasks DROP CONSTRAINT tasks_queue_check, ADD CONSTRAINT tasks_queue_check CHECK (queue <> 'kept out') NOT VALID;
SELECT is(public.statements(), 1::bigint, 'by one where a check of the user''s has a name of ours');
SELECT throws_ok($$SELECT appdb.enqueue('named', queue => 'kept out')$$, '23514', NULL, 'which is looked at');
ROLLBACK TO named;
DROP TRIGGER note ON app_data.tasks;
DROP INDEX app_data.tasks_user_id_idx;
CREATE INDEX tasks_user_id_idx ON app_data.tasks (user_id) WHERE user_id IS NULL;
SELECT is(public.statements(), 1::bigint, 'and where an index has other rows than ours');
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM app_data.tasks WHERE user_id IS NULL AND queue = 'named'), 1::bigint, 'which are in it');
ROLLBACK TO named;
RESET quote_all_identifiers;
RESET IntervalStyle;
RESET search_path;

-- constraints of the user's hold as for INSERT and UPDATE
DROP TRIGGER note ON app_data.tasks;
CREATE TABLE public.known (name text PRIMARY KEY);
INSERT INTO public.known VALUES ('known');
ALTER TABLE app_data.tasks ADD CONSTRAINT own FOREIGN KEY (kind) REFERENCES public.known NOT VALID;
SELECT throws_ok(v, '23503', NULL, 'a foreign key of the user''s is kept: ' || v) FROM unnest(ARRAY['SELECT appdb.enqueue(''unknown'')', 'SELECT appdb.enqueue_many(''unknown'', ''{1,2}'')']) AS v;
SELECT lives_ok($$SELECT appdb.enqueue('known', queue => 'own')$$, 'and allows what it does');
ALTER TABLE app_data.tasks DROP CONSTRAINT own, ADD CONSTRAINT own FOREIGN KEY (locked_by) REFERENCES public.known NOT VALID;
SET client_min_messages = error;
SELECT is_empty($$SELECT FROM appdb.claim('{own}', 'unknown')$$, 'one of who has a task, too');
RESET client_min_messages;
SELECT isnt_empty($$SELECT FROM appdb.claim('{own}', 'known')$$, 'and who may have it');
ALTER TABLE app_data.tasks DROP CONSTRAINT own;
SELECT cardinality(appdb.enqueue_many('many', '{1,2}', 'own')) AS done \gset
CREATE TABLE public.own_errors (error text);
DO $$ BEGIN
	ALTER TABLE app_data.tasks ADD CONSTRAINT own EXCLUDE (locked_by WITH =) WHERE (queue = 'own' AND status = 'running') DEFERRABLE INITIALLY DEFERRED;
	PERFORM FROM appdb.claim('{own}', 'one at a time', 2);
	SET CONSTRAINTS ALL IMMEDIATE;
EXCEPTION WHEN exclusion_violation THEN
	INSERT INTO public.own_errors VALUES (SQLERRM);
END $$;
SELECT is((SELECT count(*) FROM public.own_errors), 1::bigint, 'a constraint that is looked at later is');
UPDATE app_data.tasks SET space_id = '00000000-0000-4000-8000-000000000001' WHERE space_id IS NULL;
SET CONSTRAINTS ALL IMMEDIATE;
ALTER TABLE app_data.tasks ALTER space_id SET NOT NULL;
SELECT throws_ok(v, '23502', NULL, 'and so is what must not be null: ' || v) FROM unnest(ARRAY['SELECT appdb.enqueue(''x'')', 'SELECT appdb.enqueue_many(''x'', ''{1,2}'')']) AS v;
ALTER TABLE app_data.tasks ALTER space_id DROP NOT NULL, ALTER expires_at SET DEFAULT now() + interval '1 day';
SELECT appdb.enqueue_many('expires', '{1,2}', 'own') AS expires \gset
SELECT is((SELECT count(expires_at) FROM appdb.tasks WHERE id = ANY (:'expires')), 2::bigint, 'a default of the user''s is given');
ALTER TABLE app_data.tasks ALTER expires_at DROP DEFAULT;
SAVEPOINT domains;
CREATE DOMAIN public.region AS text DEFAULT 'eu';
ALTER TABLE app_data.tasks ADD COLUMN region public.region;
SELECT appdb.enqueue('region', queue => 'region') IS NOT NULL AND appdb.enqueue_many('region', '{1}', 'region') IS NOT NULL AS done \gset
SELECT is((SELECT string_agg(region, ' ') FROM app_data.tasks WHERE queue = 'region'), 'eu eu', 'so is a domain''s');
ROLLBACK TO domains;
CREATE DOMAIN public.region AS text NOT NULL;
DELETE FROM app_data.tasks;
ALTER TABLE app_data.tasks ADD COLUMN region public.region;
SELECT throws_ok(v, '23502', NULL, 'and what it does not let be null is refused: ' || v) FROM unnest(ARRAY['SELECT appdb.enqueue(''x'')', 'SELECT appdb.enqueue_many(''x'', ''{1,2}'')']) AS v;
ROLLBACK TO domains;
CREATE RULE own AS ON INSERT TO app_data.tasks DO ALSO INSERT INTO public.own_errors VALUES (NEW.kind);
SELECT appdb.enqueue('ruled') IS NOT NULL AS done \gset
SELECT is((SELECT count(*) FROM public.own_errors WHERE error = 'ruled'), 1::bigint, 'rules do what they say');
DROP RULE own ON app_data.tasks;
SET client_min_messages = error;
CREATE PUBLICATION own FOR TABLE app_data.tasks;
ALTER TABLE app_data.tasks REPLICA IDENTITY NOTHING;
SELECT appdb.enqueue('published', queue => 'published') IS NOT NULL AS done \gset
SELECT throws_ok($$SELECT FROM appdb.claim('{published}', 'w')$$, '55000', 'cannot update table "tasks" because it does not have a replica identity and publishes updates', 'nothing is changed that is published and cannot be found by subscribers');
DROP PUBLICATION own;
ALTER TABLE app_data.tasks REPLICA IDENTITY DEFAULT, ADD COLUMN own text NOT NULL DEFAULT 'own';
RESET client_min_messages;
SELECT appdb.enqueue('column', queue => 'published') IS NOT NULL AS done \gset
SELECT string_agg(appdb.complete(id, ticket)::text, '') AS done FROM appdb.claim('{published}', 'w', 10) \gset
SELECT is((SELECT count(*) FROM app_data.tasks WHERE queue = 'published' AND status = 'completed' AND own = 'own'), 2::bigint, 'a column of the user''s has its default');

-- rows as nobody enqueues them, which those do who insert for themselves
INSERT INTO appdb.tasks (kind, queue, errors, max_attempts) VALUES ('odd', 'odd', '5', 2) RETURNING id AS odd \gset
SELECT pg_temp.kinds('odd');
SELECT pg_temp.silence(:'odd');
SELECT appdb.enqueue('after', queue => 'odd') AS after \gset
SELECT is(pg_temp.kinds('odd', 10), 'odd after', 'errors that are no list keep no worker from the queue');
SELECT is(errors #>> '{0,error}', 'its worker went silent', 'and become one') FROM appdb.tasks WHERE id = :'odd';
SELECT appdb.enqueue('before', queue => 'before') AS before \gset
SELECT appdb.enqueue('behind', queue => 'behind', depends_on => ARRAY[:'before']::uuid[]) AS behind \gset
INSERT INTO appdb.tasks (kind, queue, depends_on, waits_for, queued) VALUES ('odd', 'behind', ARRAY[:'before', :'before']::uuid[], 1, false);
SELECT lives_ok($$SELECT appdb.complete(id, ticket) FROM appdb.claim('{before}')$$, 'nor does one that waits for the same task twice keep that from being completed');
SELECT is(pg_temp.kinds('behind', 10), 'behind odd', 'nor others from beginning then');

-- == what is no array of objects =============================================

SELECT throws_ok($$SELECT appdb.enqueue_many('{"kind": "one"}')$$, '22023', 'tasks must be a JSON array, not object', 'one task is not several');
SELECT is(appdb.enqueue_many(NULL::jsonb), '{}', 'but null is, what jsonb_agg() makes of no rows');
SELECT is(appdb.enqueue_many('n', NULL), '{}', 'nor is it an error that there are no payloads');
SELECT throws_ok($$SELECT appdb.enqueue_many('[{"kind": "one"}, 2]')$$, '22023', 'a task must be a JSON object, not number', 'a number is no task');
SELECT throws_ok(format('SELECT appdb.enqueue_many(%L)', format('[{"kind": "one"}, {"kind": "two", "%s": %s}]', v.member, v.value)), '22023', format('%s cannot be %s', v.member, coalesce(v.part, v.value)), v.member || ' is of a type')
FROM (VALUES ('priority', '"high"', NULL), ('priority', '1.5', NULL), ('max_attempts', '99999999999', NULL), ('run_at', '"soon"', NULL), ('expires_at', '[]', NULL), ('space_id', '7', NULL), ('user_id', '{}', NULL),
	('backoff', 'true', NULL), ('group_limit', '"x"', NULL), ('depends_on', '["x"]', '"x"'), ('depends_on', '[0, {}]', '{}'), ('depends_on', '[0.5]', NULL)) AS v (member, value, part);
SELECT is(appdb.enqueue_many('[{"kind": "texts", "queue": "texts", "priority": "7", "max_attempts": null, "backoff": "PT1M"}, {"kind": "texts", "queue": "texts", "depends_on": [0.0]}]') IS NOT NULL, true, 'as text, too');

-- == what is over, and is much ===============================================

INSERT INTO app_data.verifications (identifier, value, expires_at) SELECT n::text, 'x', now() - interval '2 days' FROM generate_series(1, 20000) AS n;
SELECT pg_stat_get_xact_tuples_returned('app_data.verifications'::regclass) AS before \gset
SELECT is(appdb._maintain('verifications', 100), 100::bigint, 'a batch of what has expired');
SELECT cmp_ok(pg_stat_get_xact_tuples_returned('app_data.verifications'::regclass) - :before, '<', 1000::bigint, 'is found without reading all of it');

-- == columns of other types =================================================

SET client_min_messages = error;
DROP TRIGGER IF EXISTS refuse ON app_data.tasks;
DROP VIEW appdb.tasks CASCADE;
ALTER TABLE app_data.tasks ALTER kind TYPE varchar(40) USING left(kind, 40);
SELECT throws_ok($$SELECT appdb.enqueue(repeat('x', 41))$$, '22001', NULL, 'what a column of yours does not take is refused');
SELECT is((SELECT count(appdb.enqueue(repeat('x', 40), queue => 'varchar'))), 1::bigint, 'the rest goes on');
SELECT is((SELECT count(*) FROM appdb.claim('{varchar}', 'w', 10)), 1::bigint, 'and is claimed');
DROP VIEW appdb.tasks CASCADE;
ALTER TABLE app_data.tasks ALTER priority DROP DEFAULT, ALTER priority TYPE bigint;
SELECT throws_ok($$SELECT appdb.claim('{varchar}', 'w')$$, '42804', 'column "priority" of table "app_data.tasks" is of type bigint, not integer', 'what the queue cannot read is said');
SELECT is(pg_temp.told($$SELECT appdb.claim('{varchar}', 'w')$$), 'column "priority" of table "app_data.tasks" is of type bigint, not integer | The task queue reads and writes it. | BEGIN; DROP VIEW appdb.tasks CASCADE; ALTER TABLE app_data.tasks ALTER COLUMN priority TYPE integer; COMMIT;', 'and what to type');
DROP VIEW appdb.tasks CASCADE;
ALTER TABLE app_data.tasks ALTER COLUMN priority TYPE integer;
SELECT lives_ok($$SELECT appdb.claim('{varchar}', 'w')$$, 'which helps');
RESET client_min_messages;

SELECT * FROM finish();
ROLLBACK;
