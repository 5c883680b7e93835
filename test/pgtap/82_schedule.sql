-- Schedules, and what maintenance does.
BEGIN;
SELECT plan(77);

-- == cron ===================================================================

CREATE FUNCTION pg_temp.next(cron text, after text, zone text DEFAULT 'UTC', n integer DEFAULT 1) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	t timestamptz := after::timestamp AT TIME ZONE zone;
	r text[] := '{}';
BEGIN
	FOR i IN 1 .. n LOOP
		t := appdb.cron_next(cron, t, zone);
		r := r || to_char(t AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI');
	END LOOP;
	RETURN array_to_string(r, ', ');
END
$$;
SELECT is(pg_temp.next('* * * * *', '2026-01-01 00:00:00'), '2026-01-01 00:01', 'every minute');
SELECT is(pg_temp.next('* * * * *', '2026-01-01 00:00:59.9'), '2026-01-01 00:01', 'whole ones');
SELECT is(pg_temp.next('*/15 * * * *', '2026-01-01 00:50', n => 3), '2026-01-01 01:00, 2026-01-01 01:15, 2026-01-01 01:30', 'steps');
SELECT is(pg_temp.next('5-20/10 * * * *', '2026-01-01 00:00', n => 3), '2026-01-01 00:05, 2026-01-01 00:15, 2026-01-01 01:05', 'of a range');
SELECT is(pg_temp.next('40/10 * * * *', '2026-01-01 00:00', n => 3), '2026-01-01 00:40, 2026-01-01 00:50, 2026-01-01 01:40', 'from a number on');
SELECT is(pg_temp.next('30 4,16 * * *', '2026-01-01 04:30', n => 2), '2026-01-01 16:30, 2026-01-02 04:30', 'lists');
SELECT is(pg_temp.next('0 9 * * mon-fri', '2026-01-02 10:00'), '2026-01-05 09:00', 'names of days');
SELECT is(pg_temp.next('0 9 1 JAN,jul *', '2026-01-02 10:00'), '2026-07-01 09:00', 'of months, in either case');
SELECT is(pg_temp.next('0 0 * * 7', '2026-01-01 00:00') , pg_temp.next('0 0 * * 0', '2026-01-01 00:00'), 'Sunday is 7 and 0');
SELECT is(pg_temp.next('0 0 * * sat-sun', '2026-01-01 00:00', n => 3), '2026-01-03 00:00, 2026-01-04 00:00, 2026-01-10 00:00', 'the last day of a week as well as the first');
SELECT is(pg_temp.next('0 0 * * sun-mon', '2026-01-01 00:00', n => 3), '2026-01-04 00:00, 2026-01-05 00:00, 2026-01-11 00:00', 'or the other way round');
SELECT is(pg_temp.next('0 0 */10 * 1-5/2', '2026-01-01 00:00', n => 2), '2026-01-21 00:00, 2026-02-11 00:00', 'days with a star in front restrict each other');
SELECT is(pg_temp.next('0 0 13 * fri', '2026-01-01 00:00', n => 4), '2026-01-02 00:00, 2026-01-09 00:00, 2026-01-13 00:00, 2026-01-16 00:00', 'either day, where both are named');
SELECT is(pg_temp.next('0 0 29 2 *', '2026-01-01 00:00'), '2028-02-29 00:00', 'leap years');
SELECT is(pg_temp.next('0 0 29 2 *', '2096-03-01 00:00'), '2104-02-29 00:00', 'also where one is left out');
SELECT is(pg_temp.next('0 0 29 2 */7', '2060-03-01 00:00'), '2088-02-29 00:00', 'on some day of the week');
SELECT is(appdb.cron_next('0 0 31 2 *', now()), NULL, 'what never comes');
SELECT is(pg_temp.next('@monthly', '2026-01-15 00:00', n => 2), '2026-02-01 00:00, 2026-03-01 00:00', 'names of schedules');
SELECT is(pg_temp.next(E' @Daily\n', '2026-01-15 00:00'), pg_temp.next(E'0\t0 * * *\n', '2026-01-15 00:00'), 'with space around them, as around fields');
SELECT is(pg_temp.next('0 0 1 1 *', '2026-12-31 23:59:59'), '2027-01-01 00:00', 'over the year');
-- Berlin: 2026-03-29 02:00 is 03:00, 2026-10-25 03:00 is 02:00
SELECT is(pg_temp.next('30 4 * * *', '2026-03-28 12:00', 'Europe/Berlin'), '2026-03-29 02:30', 'a time zone''s own time');
SELECT is(pg_temp.next('30 2 * * *', '2026-03-28 12:00', 'Europe/Berlin', 2), '2026-03-29 01:30, 2026-03-30 00:30', 'a time that is left out comes after the jump');
SELECT is(pg_temp.next('30 2 * * *', '2026-10-24 12:00', 'Europe/Berlin', 2), '2026-10-25 00:30, 2026-10-26 01:30', 'one that comes twice runs once, the first time');
SELECT is(pg_temp.next('30 23 * * *', '2018-02-17 12:00', 'America/Sao_Paulo', 2), '2018-02-18 01:30, 2018-02-19 02:30', 'also before midnight');
SELECT is(pg_temp.next('15,45 1-2 * * *', '2026-04-04 12:00', 'Australia/Lord_Howe', 4), '2026-04-04 14:15, 2026-04-04 14:45, 2026-04-04 15:45, 2026-04-04 16:15', 'and where half an hour does');
SELECT is(pg_temp.next('0 * * * *', '2026-10-25 01:30', 'Europe/Berlin', 4), '2026-10-25 00:00, 2026-10-25 01:00, 2026-10-25 02:00, 2026-10-25 03:00', 'what runs every hour does so');
SELECT is(pg_temp.next('0,20,30,40 2 * * *', '2026-10-03 12:00', 'Australia/Lord_Howe', 4), '2026-10-03 15:30, 2026-10-03 15:40, 2026-10-03 15:50, 2026-10-04 15:00', 'where half an hour is left out, what it had comes among the rest');
SELECT is(pg_temp.next('0 * * * *', '2026-03-29 00:30', 'Europe/Berlin', 3), '2026-03-29 00:00, 2026-03-29 01:00, 2026-03-29 02:00', 'in spring too');
SELECT is(pg_temp.next('0 0 * * *', '2026-01-01 00:00', 'Asia/Kathmandu'), '2026-01-01 18:15', 'zones with minutes');
SELECT throws_ok(format('SELECT appdb.cron_next(%L)', c), '22023', NULL, c)
FROM unnest(ARRAY['', '* * * *', '* * * * * *', '60 * * * *', '* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '5-1 * * * *', '*/0 * * * *', '1,,2 * * * *', 'mon * * * *', '@often']) AS c;
DO $$
DECLARE
	told text;
BEGIN
	PERFORM appdb.cron_next('*/0 * * * *');
EXCEPTION WHEN invalid_parameter_value THEN
	GET STACKED DIAGNOSTICS told = PG_EXCEPTION_DETAIL;
	PERFORM set_config('test.told', told, true);
END $$;
SELECT is(current_setting('test.told'), '"*/0" has a step of zero.', 'what is wrong with a step');
SELECT throws_ok($$SELECT appdb.cron_next('* * * * *', now(), 'Mars/Olympus')$$, '22023', NULL, 'no such time zone');

-- == schedules ==============================================================

SELECT appdb.schedule('nightly', '0 3 * * *', 'report', '{"a": 1}', time_zone => 'Europe/Berlin', queue => 's', priority => 3) AS s \gset
SELECT ok(next_run_at > now() AND next_run_at <= now() + interval '25 h', 'a schedule knows when it is due') FROM appdb.schedules WHERE id = :'s';
SELECT is(appdb._run_schedules(10), 0::bigint, 'before, nothing happens');
UPDATE appdb.schedules SET next_run_at = '2026-01-05 02:00+00' WHERE id = :'s';
SELECT is(appdb.schedule('nightly', '0 3 * * *', 'report', '{"a": 2}', time_zone => 'Europe/Berlin', queue => 's', priority => 3), :'s'::uuid, 'giving it again changes it');
SELECT is(next_run_at, '2026-01-05 02:00+00', 'what is due stays so') FROM appdb.schedules WHERE id = :'s';
SELECT is(appdb._run_schedules(10), 1::bigint, 'many missed times make one task');
SELECT results_eq($$SELECT kind, payload -> 'a', (payload ->> 'scheduled_for')::timestamptz < now(), queue, priority FROM appdb.tasks WHERE queue = 's'$$, $$VALUES ('report', '2'::jsonb, true, 's', 3)$$, 'as was said');
SELECT ok(next_run_at > now(), 'the next time is ahead') FROM appdb.schedules WHERE id = :'s';
SELECT is(appdb._run_schedules(10), 0::bigint, 'no time is done twice');
SELECT appdb.schedule('all', '0 * * * *', 'all', queue => 's2', missed => 'all') AS a \gset
UPDATE appdb.schedules SET next_run_at = date_trunc('hour', clock_timestamp()) - interval '4 h' WHERE id = :'a';
SELECT is(appdb._run_schedules(10), 5::bigint, 'or a task for each of them');
SELECT appdb.schedule('skip', '0 0 29 2 *', 'skip', queue => 's3', missed => 'skip') AS k \gset
UPDATE appdb.schedules SET next_run_at = now() - interval '400 d' WHERE id = :'k';
SELECT is(appdb._run_schedules(10), 0::bigint, 'or none');
UPDATE appdb.schedules SET next_run_at = now() - interval '90 s' WHERE id = :'k';
SELECT is(appdb._run_schedules(10), 1::bigint, 'but what is late by a minute or so is not missed');
UPDATE appdb.schedules SET next_run_at = '-infinity' WHERE id IN (:'a', :'k');
SELECT is(appdb._run_schedules(10), 2::bigint, 'a time before all others is now');
SELECT ok(bool_and(isfinite(last_run_at) AND next_run_at > now()), 'and others come next') FROM appdb.schedules WHERE id IN (:'a', :'k');
UPDATE appdb.schedules SET next_run_at = 'infinity' WHERE id IN (:'a', :'k');
SELECT is(appdb._run_schedules(10), 0::bigint, 'one after all others does not come');
SELECT throws_ok($$SELECT appdb.schedule('x', 'never', 'x')$$, '22023', NULL, 'a schedule must be one');
SELECT throws_ok($$SELECT appdb.schedule('x', '0 0 30 2 *', 'x')$$, '22023', NULL, 'and come');
SELECT throws_ok($$SELECT appdb.schedule('x', '@daily', 'x', missed => 'never')$$, '22023', 'missed cannot be "never"', 'and what is missed is done in one of three ways');
SELECT ok(appdb.unschedule('nightly'), 'it ends');
UPDATE app_data.schedules SET next_run_at = now() - interval '1 d' WHERE id = :'s';
SELECT is(appdb._run_schedules(10), 0::bigint, 'then it does nothing any more');

-- == maintenance ============================================================

SELECT appdb.enqueue('m', queue => 'm', max_attempts => 2) AS m \gset
SELECT ticket AS t FROM appdb.claim('{m}', 'w') \gset
UPDATE app_data.tasks SET locked_until = now() - interval '1 s' WHERE id = :'m';
SELECT is(appdb._maintain('leases', 10), 1::bigint, 'a silent worker''s task');
SELECT is(status::text || ' ' || last_error, 'pending its worker went silent', 'waits again') FROM appdb.tasks WHERE id = :'m';
UPDATE app_data.tasks SET status = 'completed', finished_at = now() - interval '6 d' WHERE id = :'m';
SELECT is(appdb._maintain('tasks', 10), 0::bigint, 'finished tasks are kept');
UPDATE app_data.tasks SET finished_at = now() - interval '8 d' WHERE id = :'m';
SELECT is(appdb._maintain('tasks', 10), 1::bigint, 'until appdb.task_retention');
INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO app_data.sessions (user_id, token_hash, expires_at) SELECT '00000000-0000-4000-8000-0000000000a1', sha256(g::text::bytea), now() - interval '20 h' * g FROM generate_series(1, 3) AS g;
SELECT is(appdb._maintain('sessions', 10), 2::bigint, 'sessions go a day after they expired');
INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d'), ('a', 'c', now());
SELECT is(appdb._maintain('verifications', 10), 1::bigint, 'so do verifications');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one');
INSERT INTO appdb.invitations (space_id, email, token_hash, expires_at, status)
SELECT '00000000-0000-4000-8000-000000000001', s || d || '@example.org', sha256((s || d)::bytea), now() - d * interval '1 d', s::app_data.invitation_status
FROM unnest('{pending,accepted}'::text[]) AS s, unnest('{29,31}'::int[]) AS d WHERE s = 'pending' OR d = 31;
SELECT is(appdb._maintain('invitations', 10), 1::bigint, 'invitations go 30 days after they expired, unless they were accepted');
SELECT results_eq($$SELECT email, deleted_at IS NULL FROM app_data.invitations ORDER BY email$$, $$VALUES ('accepted31@example.org', true), ('pending29@example.org', true), ('pending31@example.org', false)$$,
	'softly');
INSERT INTO app_data.tasks (kind, status, finished_at) SELECT 'batch', 'completed', now() - interval '8 d' - i * interval '1 s' FROM generate_series(1, 5) AS i;
SELECT is(array_agg(appdb._maintain('tasks', 2)), '{2,2,1,0}', 'so many at a time as it is told') FROM generate_series(1, 4);
INSERT INTO app_data.tasks (id, kind, status, finished_at) SELECT ('00000000-0000-4000-8000-0000000000f' || i)::uuid, 'kept', 'completed', now() - interval '8 d' FROM generate_series(1, 3) AS i;
CREATE TABLE orders (task_id uuid REFERENCES app_data.tasks);
CREATE TABLE notes_about (task_id uuid REFERENCES app_data.tasks ON DELETE SET NULL);
INSERT INTO orders VALUES ('00000000-0000-4000-8000-0000000000f1');
INSERT INTO notes_about VALUES ('00000000-0000-4000-8000-0000000000f2');
SELECT is(appdb._maintain('tasks', 10), 2::bigint, 'a task that a foreign key keeps stays');
SELECT is((SELECT array_agg(id) FROM app_data.tasks WHERE kind = 'kept'), '{00000000-0000-4000-8000-0000000000f1}', 'alone');
DELETE FROM orders;
SELECT is(appdb._maintain('tasks', 10), 1::bigint, 'as long as that does');
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.value = 'bad' THEN RAISE 'refused'; END IF; RETURN OLD; END $$;
CREATE TRIGGER refuse BEFORE DELETE ON app_data.verifications FOR EACH ROW EXECUTE FUNCTION pg_temp.refuse();
INSERT INTO app_data.verifications (identifier, value, expires_at) SELECT 'r', v, now() - interval '2 d' - i * interval '1 s' FROM unnest('{good,bad,better,bad,best}'::text[]) WITH ORDINALITY AS v (v, i);
SET LOCAL client_min_messages = error;
SELECT is(array_agg(appdb._maintain('verifications', 2)), '{2,1,0}', 'what cannot go keeps no others') FROM generate_series(1, 3);
SELECT is((SELECT string_agg(value, ' ') FROM app_data.verifications WHERE identifier = 'r'), 'bad bad', 'but stays');

SELECT * FROM finish();
ROLLBACK;
