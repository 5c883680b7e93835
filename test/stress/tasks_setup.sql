-- tasks_setup.sql: what the clients of stress_tasks.sh do, and what is noted of it: in
-- the transaction that does it, so that what is noted is what happened.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE SCHEMA stress;

-- each task, in the order of commits where it is of an ordered group
CREATE TABLE stress.enqueued (task uuid PRIMARY KEY, what text NOT NULL, group_key text, n bigserial);
-- each lease, with a time before it was given and one after; each prolongation; each end, with the time before it
CREATE TABLE stress.claims (task uuid, ticket int, asked timestamptz, at timestamptz, until timestamptz, worker text);
CREATE TABLE stress.beats (task uuid, ticket int, until timestamptz);
CREATE TABLE stress.ends (task uuid, ticket int, at timestamptz, what text);
-- what a task does, in the transaction that completes it
CREATE TABLE stress.effects (task uuid, ticket int);
CREATE TABLE stress.canceled (task uuid, status text, at timestamptz);
-- what went another way: a lost lease, a claim that got nothing ...
CREATE TABLE stress.acts (act text);
CREATE INDEX ON stress.claims (task, ticket);

-- == one that is broken ======================================================

-- appdb.claim() as it would be if it neither locked tasks nor looked again: two get the same one
CREATE FUNCTION stress.broken_claim(queues text[], worker text, max int, lease interval)
	RETURNS TABLE (id uuid, ticket int, locked_until timestamptz) LANGUAGE plpgsql AS $$
DECLARE
	ids uuid[] := ARRAY(SELECT t.id FROM app_data.tasks t
		WHERE t.queued AND t.queue = ANY (queues) AND (t.status = 'pending' OR t.locked_until < clock_timestamp()) ORDER BY t.run_at LIMIT max);
BEGIN
	-- so much may pass between the two
	PERFORM pg_sleep(0.005);
	RETURN QUERY UPDATE app_data.tasks t SET status = 'running', ticket = t.ticket + 1, attempts = t.attempts + 1, locked_by = worker, locked_until = clock_timestamp() + lease
		WHERE t.id = ANY (ids) AND t.finished_at IS NULL RETURNING t.id, t.ticket, t.locked_until::timestamptz;
END $$;

-- appdb.complete() as it would be if it did not look at the ticket
CREATE FUNCTION stress.broken_complete(id uuid) RETURNS void LANGUAGE sql AS $$
	UPDATE app_data.tasks t SET status = 'completed', queued = false, finished_at = clock_timestamp(), group_slot = NULL, waits_for = 0 WHERE t.id = broken_complete.id
$$;

-- == what the clients do =====================================================

-- Enqueues something, at random.
CREATE FUNCTION stress.enqueue(client int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	what text := (ARRAY['single', 'single', 'many', 'late', 'fan', 'limited', 'dedupe', 'replace', 'expiring', 'priority', 'of a space'])[1 + floor(random() * 11)];
	ids uuid[];
BEGIN
	CASE what
		WHEN 'single' THEN
			ids := ARRAY[appdb.enqueue(what, max_attempts => 1 + floor(random() * 3)::int, backoff => '20 ms')];
		WHEN 'many' THEN
			ids := appdb.enqueue_many(what, array_fill('{}'::jsonb, ARRAY[1 + floor(random() * 10)::int]), max_attempts => 2, backoff => '20 ms');
		WHEN 'late' THEN
			ids := ARRAY[appdb.enqueue(what, run_at => clock_timestamp() + random() * interval '500 ms', max_attempts => 5, backoff => '20 ms')];
		WHEN 'fan' THEN
			ids := appdb.enqueue_many('[{"kind": "part", "max_attempts": 4, "backoff": "20 ms"}, {"kind": "part", "max_attempts": 4, "backoff": "20 ms"}, {"kind": "part", "max_attempts": 4},
				{"kind": "whole", "depends_on": [0, 1, 2], "max_attempts": 5, "backoff": "20 ms"}, {"kind": "after", "depends_on": [3, 0]}]');
		WHEN 'limited' THEN
			ids := appdb.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', what, 'group_key', 'limited', 'group_limit', 3, 'max_attempts', 5, 'backoff', '20 ms')) FROM generate_series(1, 3)));
		WHEN 'dedupe', 'replace' THEN
			ids := ARRAY[appdb.enqueue(what, dedupe_key => floor(random() * 3)::text, on_duplicate => CASE what WHEN 'dedupe' THEN 'ignore' ELSE what END, max_attempts => 5,
				backoff => '20 ms')];
		WHEN 'expiring' THEN
			ids := ARRAY[appdb.enqueue(what, expires_at => clock_timestamp() + random() * interval '100 ms', max_attempts => 5, backoff => '20 ms')];
		WHEN 'priority' THEN
			ids := ARRAY[appdb.enqueue(what, priority => floor(random() * 3)::int, max_attempts => 5, backoff => '20 ms')];
		WHEN 'of a space' THEN
			ids := ARRAY[appdb.enqueue(what, space_id => (SELECT s.id FROM app_data.spaces s ORDER BY random() LIMIT 1), max_attempts => 5, backoff => '20 ms')];
	END CASE;
	INSERT INTO stress.enqueued (task, what, group_key) SELECT id, what, CASE what WHEN 'limited' THEN what END FROM unnest(ids) AS id
	ON CONFLICT DO NOTHING;
END $$;

-- Enqueues tasks of a group whose order is checked. The caller holds a lock of the group's from before the transaction, so that they are committed in the order of their times.
CREATE FUNCTION stress.enqueue_ordered(grp text, n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	ids uuid[] := appdb.enqueue_many((SELECT jsonb_agg(jsonb_build_object('kind', 'ordered', 'group_key', grp, 'max_attempts', 1000)) FROM generate_series(1, n)));
BEGIN
	INSERT INTO stress.enqueued (task, what, group_key) SELECT id, 'ordered', grp FROM unnest(ids) WITH ORDINALITY AS i (id, n) ORDER BY i.n;
END $$;

-- What a worker does first. "ids" and "tickets" are what it got.
CREATE FUNCTION stress.claim(how text, n int, lease interval, OUT ids text, OUT tickets text, OUT got int) LANGUAGE plpgsql AS $$
DECLARE
	worker text := format('%s %s', current_setting('application_name'), pg_backend_pid());
BEGIN
	WITH c AS (
		SELECT t.id, t.ticket, t.locked_until FROM appdb.claim('{default}', worker, n, lease) AS t WHERE how <> 'broken claim'
		UNION ALL SELECT * FROM stress.broken_claim('{default}', worker, n, lease) WHERE how = 'broken claim'),
	noted AS (
		INSERT INTO stress.claims SELECT c.id, c.ticket, c.locked_until - lease, clock_timestamp(), c.locked_until, worker FROM c)
	SELECT coalesce(array_agg(c.id), '{}')::text, coalesce(array_agg(c.ticket), '{}')::text, count(*) INTO ids, tickets, got FROM c;
	IF got = 0 THEN
		INSERT INTO stress.acts VALUES ('nothing to claim');
	END IF;
END $$;

CREATE FUNCTION stress.beat(ids uuid[], tickets int[], lease interval) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. cardinality(ids) LOOP
		BEGIN
			IF random() < 0.5 THEN
				PERFORM appdb.progress(ids[i], tickets[i], random()::real, 'under way');
			END IF;
			PERFORM appdb.heartbeat(ids[i], tickets[i], lease);
			INSERT INTO stress.beats SELECT t.id, t.ticket, t.locked_until FROM app_data.tasks t WHERE t.id = ids[i];
		EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
			INSERT INTO stress.acts VALUES ('lost at a heartbeat');
		END;
	END LOOP;
END $$;

-- Ends what a worker has: "one" by one, "many" at once, or they "fail", and those of ordered groups keep their place, or "snooze" (those of ordered groups do not: others go on meanwhile)
CREATE FUNCTION stress.finish(ids uuid[], tickets int[], how text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	ordered bool;
BEGIN
	IF how = 'many' AND cardinality(ids) > 0 THEN
		BEGIN
			INSERT INTO stress.effects SELECT * FROM unnest(ids, tickets);
			INSERT INTO stress.ends SELECT u.*, clock_timestamp(), 'completed' FROM unnest(ids, tickets) u;
			PERFORM appdb.complete_many(ids, tickets);
			RETURN;
		EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
			INSERT INTO stress.acts VALUES ('lost one of many');
		END;
	END IF;
	FOR i IN 1 .. cardinality(ids) LOOP
		SELECT e.what = 'ordered' INTO ordered FROM stress.enqueued e WHERE e.task = ids[i];
		BEGIN
			IF how = 'broken complete' THEN
				INSERT INTO stress.effects VALUES (ids[i], tickets[i]);
				INSERT INTO stress.ends VALUES (ids[i], tickets[i], clock_timestamp(), 'completed');
				PERFORM stress.broken_complete(ids[i]);
			ELSIF how = 'fail' OR how = 'snooze' AND NOT ordered THEN
				INSERT INTO stress.ends VALUES (ids[i], tickets[i], clock_timestamp(), how);
				IF how = 'fail' THEN
					PERFORM appdb.fail(ids[i], tickets[i], 'it failed', CASE WHEN random() < 0.5 THEN random() * interval '100 ms' END);
				ELSE
					PERFORM appdb.snooze(ids[i], tickets[i], random() * interval '100 ms');
				END IF;
			ELSE
				INSERT INTO stress.effects VALUES (ids[i], tickets[i]);
				INSERT INTO stress.ends VALUES (ids[i], tickets[i], clock_timestamp(), 'completed');
				PERFORM appdb.complete(ids[i], tickets[i], '{"ok": true}');
			END IF;
		EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
			INSERT INTO stress.acts VALUES ('lost: ' || how);
		END;
	END LOOP;
END $$;

-- Calls something off: waiting or running, and of an ordered group, too; sometimes, as a person who thinks better of it, not after all.
CREATE FUNCTION stress.cancel() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
	status text;
BEGIN
	SELECT t.id INTO id FROM app_data.tasks t WHERE t.finished_at IS NULL ORDER BY random() LIMIT 1;
	BEGIN
		status := appdb.cancel(id);
		IF random() < 0.3 THEN
			PERFORM pg_sleep(0.01);
			RAISE query_canceled;
		END IF;
		INSERT INTO stress.canceled VALUES (id, status, clock_timestamp());
	EXCEPTION
		WHEN query_canceled OR no_data_found THEN
			INSERT INTO stress.acts VALUES ('not canceled after all');
	END;
END $$;

INSERT INTO appdb.users (name) VALUES ('Ann');
INSERT INTO appdb.spaces (owner_id, name) SELECT u.id, 'space' FROM appdb.users u, generate_series(1, 3);
