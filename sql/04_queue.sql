-- The task queue: enqueueing, what workers call, schedules, maintenance.  queue.c, claim.c, finish.c and cron.c have the parts in C.
--
-- Whoever enqueues does so with their own rights on appdb.tasks. Workers act with the rights of the tables' owner, once they have EXECUTE on the
-- worker's functions, which nobody has by default: the C function behind each switches to the owner and calls the function of the same name
-- with an underscore.

-- == enqueue ================================================================

CREATE FUNCTION appdb.enqueue(
	kind text,
	payload jsonb DEFAULT '{}',
	queue text DEFAULT 'default',
	priority integer DEFAULT 0,
	run_at timestamptz DEFAULT NULL,
	max_attempts integer DEFAULT 20,
	dedupe_key text DEFAULT NULL,
	space_id uuid DEFAULT NULL,
	user_id uuid DEFAULT NULL,
	on_duplicate text DEFAULT 'ignore',
	backoff interval DEFAULT '10 seconds',
	group_key text DEFAULT NULL,
	group_limit integer DEFAULT 1,
	expires_at timestamptz DEFAULT NULL,
	depends_on uuid[] DEFAULT NULL)
	RETURNS uuid
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_enqueue';
COMMENT ON FUNCTION appdb.enqueue(text, jsonb, text, integer, timestamptz, integer, text, uuid, uuid, text, interval, text, integer, timestamptz, uuid[]) IS
'Adds a task, in the caller''s transaction, and returns its id; with a dedupe_key that waits or runs already in the space, the id of that task.
queue: where workers look; priority: higher first; run_at: not before (default now); max_attempts: then it is dead; backoff: wait after the first failure, doubled each time;
on_duplicate: ignore (the task that waits stays as it is), replace (it gets what was given now, and all its attempts), reschedule (it gets the new run_at): of one that runs nothing changes;
group_key, group_limit: no more of the group run at a time; without their keys on_duplicate and group_limit mean nothing; expires_at: canceled if not begun by then; depends_on: begins when all of these tasks are completed, is canceled when one cannot be.
Takes INSERT on appdb.tasks; replace and reschedule UPDATE. Errors: 23503 no such space, user or task to depend on; 23514 a value out of bounds, or tasks that would wait for each other.';

-- No index serves IS NOT DISTINCT FROM.
CREATE FUNCTION appdb._task_with_key(kind text, dedupe_key text, space_id uuid)
	RETURNS uuid
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
#variable_conflict use_column
BEGIN
	IF _task_with_key.space_id IS NULL THEN
		RETURN (SELECT t.id FROM appdb.tasks AS t
			WHERE t.space_id IS NULL AND t.kind = _task_with_key.kind AND t.dedupe_key = _task_with_key.dedupe_key AND t.finished_at IS NULL);
	END IF;
	RETURN (SELECT t.id FROM appdb.tasks AS t
		WHERE t.space_id = _task_with_key.space_id AND t.kind = _task_with_key.kind AND t.dedupe_key = _task_with_key.dedupe_key AND t.finished_at IS NULL);
END
$$;
COMMENT ON FUNCTION appdb._task_with_key(text, text, uuid) IS 'Internal: the task that waits or runs with a dedupe key';

-- What appdb.enqueue() does itself where none of the rarer options is given.
CREATE FUNCTION appdb._enqueue(
	kind text, payload jsonb, queue text, priority integer, run_at timestamptz, max_attempts integer, dedupe_key text, space_id uuid,
	user_id uuid, on_duplicate text, backoff interval, group_key text, group_limit integer, expires_at timestamptz, depends_on uuid[])
	RETURNS uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_column
<<var>>
DECLARE
	task uuid;
	old record;
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_enqueue.run_at, now()));
	parents uuid[] := ARRAY(SELECT DISTINCT d FROM unnest(_enqueue.depends_on) AS d ORDER BY d);
	places integer := CASE WHEN _enqueue.group_key IS NOT NULL THEN nullif(_enqueue.group_limit, 1) END;
	waits integer := 0;
	waits_in text := _enqueue.queue;
	added boolean;
BEGIN
	IF _enqueue.on_duplicate IS NULL OR _enqueue.on_duplicate NOT IN ('ignore', 'replace', 'reschedule') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('on_duplicate cannot be %s', coalesce('"' || _enqueue.on_duplicate || '"', 'null')),
			HINT = 'It is ignore, replace or reschedule.';
	END IF;
	IF _enqueue.group_limit IS NULL OR _enqueue.group_limit < 1 THEN
		RAISE check_violation USING
			MESSAGE = 'group_limit must be at least 1',
			HINT = 'It is how many tasks of the group may run at a time.';
	END IF;
	IF array_position(parents, NULL) IS NOT NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = format('task "%s" cannot depend on null', _enqueue.kind),
			HINT = 'depends_on has ids of tasks.';
	END IF;
	IF cardinality(parents) > 0 THEN
		-- those that the caller may see; the function that is called locks them
		IF (SELECT count(*) FROM appdb.tasks AS t WHERE t.id = ANY (var.parents)) < cardinality(parents) THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('task "%s" cannot depend on task %s: there is no such task', _enqueue.kind,
					(SELECT p.id FROM unnest(parents) AS p (id) WHERE NOT EXISTS (SELECT FROM appdb.tasks AS t WHERE t.id = p.id) LIMIT 1)),
				HINT = 'Enqueue the tasks that it depends on first.';
		END IF;
		waits := appdb._task_await(_enqueue.kind, parents);
	END IF;

	-- the task that is in the way may be finished before it is read: then try again
	FOR attempt IN 1 .. 10 LOOP
		IF _enqueue.dedupe_key IS NULL THEN
			INSERT INTO appdb.tasks (kind, payload, queue, priority, run_at, max_attempts, space_id, user_id, queued, backoff, group_key, group_limit, expires_at, depends_on, waits_for)
			VALUES (_enqueue.kind, _enqueue.payload, _enqueue.queue, _enqueue.priority, starts, _enqueue.max_attempts, _enqueue.space_id, _enqueue.user_id,
				starts <= now() AND waits = 0, nullif(_enqueue.backoff, '10 seconds'), _enqueue.group_key, places, _enqueue.expires_at, nullif(parents, '{}'), waits)
			RETURNING id INTO task;
		ELSE
			INSERT INTO appdb.tasks (kind, payload, queue, priority, run_at, max_attempts, dedupe_key, space_id, user_id, queued, backoff, group_key, group_limit, expires_at, depends_on, waits_for)
			VALUES (_enqueue.kind, _enqueue.payload, _enqueue.queue, _enqueue.priority, starts, _enqueue.max_attempts, _enqueue.dedupe_key, _enqueue.space_id, _enqueue.user_id,
				starts <= now() AND waits = 0, nullif(_enqueue.backoff, '10 seconds'), _enqueue.group_key, places, _enqueue.expires_at, nullif(parents, '{}'), waits)
			ON CONFLICT (space_id, kind, dedupe_key)
				WHERE dedupe_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL
				DO NOTHING
			RETURNING id INTO task;
		END IF;
		added := FOUND;
		IF NOT added THEN
			task := appdb._task_with_key(_enqueue.kind, _enqueue.dedupe_key, _enqueue.space_id);
		END IF;
		IF NOT added AND _enqueue.on_duplicate = 'ignore' THEN
			IF task IS NOT NULL THEN
				RETURN task;
			END IF;
		ELSIF NOT added THEN
			SELECT t.status, t.queue, t.kind, t.dedupe_key, t.finished_at, t.group_key, t.group_slot INTO old FROM appdb.tasks AS t WHERE t.id = var.task FOR NO KEY UPDATE;
			IF old.kind = _enqueue.kind AND old.dedupe_key = _enqueue.dedupe_key AND old.finished_at IS NULL THEN
				IF old.status <> 'pending' THEN
					RETURN task;
				ELSIF _enqueue.on_duplicate = 'replace' THEN
					IF waits > 0 AND appdb._task_precedes(task, parents) THEN
						RAISE check_violation USING
							MESSAGE = format('task "%s" cannot depend on itself', _enqueue.kind),
							DETAIL = format('Task %s, which has this dedupe key, is one of those that it would wait for, or they wait for it.', task),
							HINT = 'Neither would ever begin.';
					END IF;
					UPDATE appdb.tasks AS t SET payload = _enqueue.payload, queue = _enqueue.queue, priority = _enqueue.priority, run_at = var.starts, max_attempts = _enqueue.max_attempts,
						user_id = _enqueue.user_id, queued = var.starts <= now() AND var.waits = 0, parked = false, backoff = nullif(_enqueue.backoff, '10 seconds'), group_key = _enqueue.group_key, group_limit = var.places,
						group_slot = CASE WHEN t.group_key = _enqueue.group_key THEN t.group_slot END, expires_at = _enqueue.expires_at, depends_on = nullif(var.parents, '{}'), waits_for = var.waits,
						attempts = 0, progress = 0, progress_message = NULL, last_error = NULL
					WHERE t.id = var.task RETURNING t.queue INTO waits_in;
					IF old.group_slot IS NOT NULL AND old.group_key IS DISTINCT FROM _enqueue.group_key THEN
						PERFORM appdb._group_left(old.group_key, old.queue);
					END IF;
				ELSE
					UPDATE appdb.tasks AS t SET run_at = var.starts, queued = var.starts <= now() AND t.waits_for = 0, parked = false
					WHERE t.id = var.task RETURNING t.waits_for, t.queue INTO waits, waits_in;
				END IF;
				added := true;
			END IF;
		END IF;
		IF added THEN
			IF starts < now() + interval '1 minute' AND waits = 0 THEN
				PERFORM appdb._wake(waits_in);
			END IF;
			RETURN task;
		END IF;
	END LOOP;
	IF _enqueue.on_duplicate <> 'ignore' AND appdb._task_with_key(_enqueue.kind, _enqueue.dedupe_key, _enqueue.space_id) IS NOT NULL THEN
		RAISE insufficient_privilege USING
			MESSAGE = format('task "%s" with dedupe key "%s" may not be changed', _enqueue.kind, _enqueue.dedupe_key),
			HINT = format('To %s a task takes UPDATE on appdb.tasks, by its row security, too. Where it may stay as it is, on_duplicate is ignore.', _enqueue.on_duplicate);
	END IF;
	RAISE unique_violation USING
		MESSAGE = format('task "%s" with dedupe key "%s" is there already', _enqueue.kind, _enqueue.dedupe_key),
		DETAIL = 'It could not be read: it belongs to somebody else, or others come and go too fast.',
		HINT = 'Try again, or give another dedupe_key.';
END
$$;
COMMENT ON FUNCTION appdb._enqueue(text, jsonb, text, integer, timestamptz, integer, text, uuid, uuid, text, interval, text, integer, timestamptz, uuid[]) IS 'Internal: appdb.enqueue() with all its options';

CREATE FUNCTION appdb.enqueue_many(
	kind text,
	payloads jsonb[],
	queue text DEFAULT 'default',
	priority integer DEFAULT 0,
	run_at timestamptz DEFAULT NULL,
	max_attempts integer DEFAULT 20,
	space_id uuid DEFAULT NULL,
	user_id uuid DEFAULT NULL,
	backoff interval DEFAULT '10 seconds')
	RETURNS uuid[]
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_enqueue_many';
COMMENT ON FUNCTION appdb.enqueue_many(text, jsonb[], text, integer, timestamptz, integer, uuid, uuid, interval) IS
'Adds a task for each payload, in the caller''s transaction, and returns their ids in the same order: the fast way for many tasks that are alike. Arguments and errors as of appdb.enqueue().';

CREATE FUNCTION appdb._enqueue_many(
	kind text, payloads jsonb[], queue text, priority integer, run_at timestamptz, max_attempts integer, space_id uuid, user_id uuid, backoff interval)
	RETURNS uuid[]
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_enqueue_many.run_at, now()));
	tasks uuid[];
BEGIN
	WITH added AS (
		INSERT INTO appdb.tasks AS t (id, kind, payload, queue, priority, run_at, max_attempts, space_id, user_id, queued, backoff)
		SELECT appdb.uuidv7(), _enqueue_many.kind, p.payload, _enqueue_many.queue, _enqueue_many.priority, starts, _enqueue_many.max_attempts,
			_enqueue_many.space_id, _enqueue_many.user_id, starts <= now(), nullif(_enqueue_many.backoff, '10 seconds')
		FROM unnest(payloads) WITH ORDINALITY AS p (payload, n) ORDER BY p.n
		RETURNING t.id)
	-- ids of a session increase
	SELECT coalesce(array_agg(a.id ORDER BY a.id), '{}') INTO tasks FROM added AS a;
	IF starts < now() + interval '1 minute' AND tasks <> '{}' THEN
		PERFORM appdb._wake(_enqueue_many.queue);
	END IF;
	RETURN tasks;
END
$$;
COMMENT ON FUNCTION appdb._enqueue_many(text, jsonb[], text, integer, timestamptz, integer, uuid, uuid, interval) IS 'Internal: appdb.enqueue_many() by an INSERT';

-- Says which member of an object is not of its argument's type.
CREATE FUNCTION appdb._bad_member(task jsonb, place integer)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	argument record;
BEGIN
	FOR argument IN
		SELECT v.name, v.type, v.value FROM (VALUES
			('priority', 'integer', task -> 'priority'), ('run_at', 'timestamptz', task -> 'run_at'), ('max_attempts', 'integer', task -> 'max_attempts'),
			('space_id', 'uuid', task -> 'space_id'), ('user_id', 'uuid', task -> 'user_id'), ('backoff', 'interval', task -> 'backoff'),
			('group_limit', 'integer', task -> 'group_limit'), ('expires_at', 'timestamptz', task -> 'expires_at')) AS v (name, type, value)
		UNION ALL
		SELECT 'depends_on', 'uuid', d FROM jsonb_array_elements(CASE WHEN jsonb_typeof(task -> 'depends_on') = 'array' THEN task -> 'depends_on' ELSE '[]' END) AS d
		WHERE jsonb_typeof(d) <> 'number'
	LOOP
		BEGIN
			EXECUTE format('SELECT $1::%s', argument.type) USING argument.value #>> '{}';
		EXCEPTION WHEN data_exception THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('%s cannot be %s', argument.name, argument.value),
				DETAIL = format('This task has place %s in the array: %s.', place, SQLERRM),
				HINT = format('It is of type %s, as the argument of appdb.enqueue().', CASE argument.name WHEN 'depends_on' THEN 'uuid[]' ELSE argument.type END);
		END;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._bad_member(jsonb, integer) IS 'Internal: says which member of a task given to appdb.enqueue_many() is of a wrong type';

CREATE FUNCTION appdb.enqueue_many(tasks jsonb)
	RETURNS uuid[]
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task jsonb;
	given record;
	unknown text;
	ids uuid[] := '{}';
BEGIN
	-- null is what jsonb_agg() makes of no rows
	IF jsonb_typeof(tasks) <> 'array' THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('tasks must be a JSON array, not %s', jsonb_typeof(tasks)),
			HINT = 'It has an object for each task, whose members are the arguments of appdb.enqueue().';
	END IF;
	FOR task IN SELECT jsonb_array_elements(tasks) LOOP
		IF jsonb_typeof(task) <> 'object' THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('a task must be a JSON object, not %s', jsonb_typeof(task)),
				DETAIL = format('It has place %s in the array.', cardinality(ids)),
				HINT = 'The members of the objects are the arguments of appdb.enqueue().';
		END IF;
		SELECT k INTO unknown FROM jsonb_object_keys(task) AS k
		WHERE k NOT IN ('kind', 'payload', 'queue', 'priority', 'run_at', 'max_attempts', 'dedupe_key', 'space_id', 'user_id', 'on_duplicate', 'backoff', 'group_key',
			'group_limit', 'expires_at', 'depends_on');
		IF FOUND THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('a task has no "%s"', unknown),
				DETAIL = format('This task has place %s in the array.', cardinality(ids)),
				HINT = 'The members of the objects are the arguments of appdb.enqueue().';
		END IF;
		IF jsonb_typeof(task -> 'depends_on') NOT IN ('array', 'null') THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('depends_on cannot be %s', task -> 'depends_on'),
				DETAIL = format('This task has place %s in the array.', cardinality(ids)),
				HINT = 'It is an array, of ids or of places in the array of tasks.';
		ELSIF jsonb_typeof(task -> 'depends_on') = 'array' AND EXISTS (
			SELECT FROM jsonb_array_elements(task -> 'depends_on') AS d
			WHERE CASE jsonb_typeof(d) WHEN 'number' THEN (d #>> '{}')::numeric NOT BETWEEN 0 AND cardinality(ids) - 1 OR (d #>> '{}')::numeric % 1 <> 0 END)
		THEN
			RAISE invalid_parameter_value USING
				MESSAGE = format('depends_on cannot be %s', task -> 'depends_on'),
				DETAIL = format('This task has place %s in the array.', cardinality(ids)),
				HINT = 'A number is the place of a task before it, counted from 0.';
		END IF;
		BEGIN
			SELECT coalesce((task ->> 'priority')::integer, 0) AS priority, (task ->> 'run_at')::timestamptz AS run_at, coalesce((task ->> 'max_attempts')::integer, 20) AS max_attempts,
				(task ->> 'space_id')::uuid AS space_id, (task ->> 'user_id')::uuid AS user_id, coalesce((task ->> 'backoff')::interval, '10 seconds') AS backoff,
				coalesce((task ->> 'group_limit')::integer, 1) AS group_limit, (task ->> 'expires_at')::timestamptz AS expires_at,
				-- a number is the place in this array of a task before
				CASE WHEN jsonb_typeof(task -> 'depends_on') = 'array' THEN
					ARRAY(SELECT CASE jsonb_typeof(d) WHEN 'number' THEN ids[(d #>> '{}')::numeric::integer + 1] ELSE (d #>> '{}')::uuid END
						  FROM jsonb_array_elements(task -> 'depends_on') AS d) END AS depends_on
			INTO given;
		EXCEPTION WHEN data_exception THEN
			PERFORM appdb._bad_member(task, cardinality(ids));
			RAISE;
		END;
		ids := ids || appdb.enqueue(task ->> 'kind', coalesce(task -> 'payload', '{}'), coalesce(task ->> 'queue', 'default'), given.priority, given.run_at, given.max_attempts,
			task ->> 'dedupe_key', given.space_id, given.user_id, coalesce(task ->> 'on_duplicate', 'ignore'), given.backoff, task ->> 'group_key', given.group_limit,
			given.expires_at, given.depends_on);
	END LOOP;
	RETURN ids;
END
$$;
COMMENT ON FUNCTION appdb.enqueue_many(jsonb) IS
'Adds a task for each object of an array, in the caller''s transaction, and returns their ids in the same order. The objects'' members are the arguments of appdb.enqueue();
a number in depends_on stands for a task before in the same array, counted from 0. Errors as of appdb.enqueue(), and 22023 for a member that is unknown or of a wrong type, or what is no array of objects.';

CREATE FUNCTION appdb._wake(queue text)
	RETURNS void
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_wake';
COMMENT ON FUNCTION appdb._wake(text) IS 'Internal: notifies the workers that wait for tasks of a queue, if there are any';

CREATE FUNCTION appdb.task_status(task_id uuid)
	RETURNS TABLE (status text, progress real, progress_message text, attempts integer, result jsonb, last_error text, finished_at timestamptz)
	LANGUAGE sql STABLE STRICT PARALLEL SAFE ROWS 1
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT t.status::text, t.progress, t.progress_message, t.attempts, t.result, t.last_error, t.finished_at
	FROM appdb.tasks AS t WHERE t.id = task_status.task_id
$$;
COMMENT ON FUNCTION appdb.task_status(uuid) IS
	'Where a task stands: a row, or none where there is no such task';

CREATE FUNCTION appdb.task_state() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	IF NEW.status IN ('completed', 'canceled', 'dead') THEN
		NEW.queued := false;
		NEW.finished_at := coalesce(NEW.finished_at, clock_timestamp());
		NEW.parked := false;
		NEW.group_slot := NULL;
		NEW.locked_until := NULL;
	ELSE
		NEW.finished_at := NULL;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.task_state() IS
	'Trigger function: a task that is finished is not in the queue, and says when it was';

-- Whatever the transaction's snapshot shows. The lock keeps claims from filling places of the group until the transaction ends.
CREATE FUNCTION appdb._place_taken(group_key text, place integer)
	RETURNS boolean
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_place_taken';
COMMENT ON FUNCTION appdb._place_taken(text, integer) IS 'Internal: whether a task has a place in a group; waits for who is giving places away';
REVOKE EXECUTE ON FUNCTION appdb._place_taken(text, integer) FROM PUBLIC;

CREATE FUNCTION appdb._task_restored() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
BEGIN
	IF appdb._place_taken(NEW.group_key, NEW.group_slot) THEN
		-- its worker, if it had one, counts as silent, and cannot go on: there would be one more of the group than the limit
		NEW.group_slot := NULL;
		NEW.ticket := NEW.ticket + (NEW.status = 'running')::integer;
		NEW.locked_until := CASE WHEN NEW.status = 'running' THEN least(NEW.locked_until, date_trunc('milliseconds', clock_timestamp())) END;
	END IF;
	NEW.parked := false;
	NEW.queued := NEW.finished_at IS NULL AND (NEW.status = 'running' OR NEW.run_at <= clock_timestamp() AND NEW.waits_for = 0);
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._task_restored() IS 'Internal: appdb.task_restored()';
CREATE FUNCTION appdb.task_restored() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.task_restored() IS
	'Trigger function: a deleted task that claims had taken out of the queue is in it again when it is restored; one whose place in its group has been taken waits for another';

CREATE FUNCTION appdb.task_waits() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	NEW.waited_for := NULL;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.task_waits() IS
	'Trigger function: what has been completed since waits_for was written counts no more when that is written again';

-- == what workers call ======================================================

CREATE FUNCTION appdb.claim(
	queues text[] DEFAULT '{default}',
	worker text DEFAULT NULL,
	max integer DEFAULT 1,
	lease interval DEFAULT '5 minutes',
	OUT id uuid, OUT ticket integer, OUT kind text, OUT queue text, OUT payload jsonb, OUT attempt integer, OUT max_attempts integer,
	OUT space_id uuid, OUT user_id uuid, OUT locked_until timestamptz)
	RETURNS SETOF record
	LANGUAGE c ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_claim';
COMMENT ON FUNCTION appdb.claim(text[], text, integer, interval) IS
'Takes up to max tasks that are ready and returns them; commit before beginning with them. Nobody else gets them until the lease ends, which heartbeat() prolongs.
queues: looked through in this order; in each, higher priorities first, spaces in turn, then by run_at. worker: a name for people to see.
Show the ticket to complete(), fail() and the others. A task whose lease has ended is taken again; after its last attempt it is dead.';

CREATE FUNCTION appdb._claim_due(queue text, batch integer)
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
#variable_conflict use_variable
DECLARE
	ids uuid[] := ARRAY(
		SELECT d.id FROM app_data.tasks AS d
		WHERE d.queue = _claim_due.queue AND d.run_at <= clock_timestamp() AND NOT d.queued AND NOT d.parked AND d.finished_at IS NULL AND d.waits_for = 0
		ORDER BY d.run_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED);
	task_id uuid;
	n integer;
BEGIN
	BEGIN
		UPDATE app_data.tasks AS t SET queued = true WHERE t.id = ANY (ids);
		GET DIAGNOSTICS n = ROW_COUNT;
	EXCEPTION
		WHEN transaction_rollback OR lock_not_available THEN
			RAISE;
		WHEN OTHERS THEN
			-- one by one: what a trigger does not let in does not keep the others
			n := 0;
			FOREACH task_id IN ARRAY ids LOOP
				BEGIN
					UPDATE app_data.tasks AS t SET queued = true WHERE t.id = task_id;
					n := n + 1;
				EXCEPTION
					WHEN transaction_rollback OR lock_not_available THEN
						RAISE;
					WHEN OTHERS THEN
						RAISE WARNING USING
							MESSAGE = format('task %s cannot be put into its queue', task_id),
							DETAIL = SQLERRM;
				END;
			END LOOP;
	END;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._claim_due(text, integer) IS 'Internal: puts tasks whose time has come into their queue';

-- One claimed task, where triggers of the user's have to fire. One that they do not let begin does not keep others from it.
CREATE FUNCTION appdb._claim_one(id uuid, ticket integer, next_ticket integer, worker text, until timestamptz, slot integer)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
BEGIN
	PERFORM FROM app_data.tasks AS t WHERE t.id = _claim_one.id AND t.ticket = _claim_one.ticket FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE app_data.tasks AS t SET status = 'running', queued = true, parked = false, ticket = next_ticket, attempts = t.attempts + 1, locked_by = worker, locked_until = until,
		group_slot = coalesce(slot, t.group_slot),
		last_error = CASE t.status WHEN 'running' THEN 'its worker went silent' ELSE t.last_error END,
		errors = CASE t.status WHEN 'running' THEN appdb._add_error(t.errors, t.attempts, t.locked_by, 'its worker went silent') ELSE t.errors END
	WHERE t.id = _claim_one.id AND t.ticket = _claim_one.ticket AND t.finished_at IS NULL AND t.deleted_at IS NULL;
	RETURN FOUND;
EXCEPTION
	WHEN transaction_rollback OR lock_not_available THEN
		RAISE;
	WHEN OTHERS THEN
		RAISE WARNING USING
			MESSAGE = format('task %s cannot be claimed', _claim_one.id),
			DETAIL = SQLERRM;
		RETURN false;
END
$$;
COMMENT ON FUNCTION appdb._claim_one(uuid, integer, integer, text, timestamptz, integer) IS 'Internal: claims a task by an UPDATE, so that triggers fire';

-- Tasks of groups that have no place are taken out of the queue, so that claims need not step over them: each at most once, and only where nobody is
-- giving a place back meanwhile, who would not see that they are parked. Those who do are waited for by the lock, see _unpark().
CREATE FUNCTION appdb._park_lock(group_key text, exclusive boolean)
	RETURNS boolean
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_park_lock';
COMMENT ON FUNCTION appdb._park_lock(text, boolean) IS 'Internal: keeps parking tasks of a group and giving back a place apart; exclusive does not wait';
REVOKE EXECUTE ON FUNCTION appdb._park_lock(text, boolean) FROM PUBLIC;

CREATE FUNCTION appdb._park(ids uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
DECLARE
	g record;
	n integer;
	total integer := 0;
BEGIN
	-- a lock for each group: those with most to park, and no more than the server has
	FOR g IN
		SELECT t.group_key, array_agg(t.id) AS ids FROM app_data.tasks AS t WHERE t.id = ANY (_park.ids)
		GROUP BY t.group_key ORDER BY count(*) DESC, t.group_key LIMIT 200
	LOOP
		CONTINUE WHEN NOT appdb._park_lock(g.group_key, true);
		UPDATE app_data.tasks AS t SET queued = false, parked = true
		WHERE t.id = ANY (ARRAY(
			SELECT p.id FROM app_data.tasks AS p
			WHERE p.id = ANY (g.ids) AND p.group_key = g.group_key AND p.queued AND p.status = 'pending' AND p.group_slot IS NULL AND p.deleted_at IS NULL
				AND coalesce(p.group_limit, 1) <= (SELECT count(*) FROM app_data.tasks AS r
					WHERE r.group_key = g.group_key AND r.group_slot IS NOT NULL AND r.deleted_at IS NULL)
			FOR NO KEY UPDATE SKIP LOCKED));
		GET DIAGNOSTICS n = ROW_COUNT;
		total := total + n;
	END LOOP;
	RETURN total;
END
$$;
COMMENT ON FUNCTION appdb._park(uuid[]) IS 'Internal: takes tasks out of the queue whose group has no place';

-- Deleted tasks, too. task_restored() brings them back.
CREATE FUNCTION appdb._clear_deleted(ids uuid[])
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	AS $$
#variable_conflict use_variable
BEGIN
	UPDATE app_data.tasks AS t SET queued = false, parked = true
	WHERE t.id = ANY (ARRAY(SELECT d.id FROM app_data.tasks AS d WHERE d.id = ANY (ids) AND d.deleted_at IS NOT NULL AND d.queued FOR NO KEY UPDATE SKIP LOCKED))
		-- tables of 1.0 do not have it before they are migrated
		AND EXISTS (SELECT FROM pg_trigger AS r WHERE r.tgrelid = 'app_data.tasks'::regclass AND r.tgname = 'appdb_task_restored' AND r.tgenabled <> 'D');
EXCEPTION
	WHEN transaction_rollback OR lock_not_available THEN
		RAISE;
	WHEN OTHERS THEN
		-- where a trigger does not let them go, they are stepped over
		NULL;
END
$$;
COMMENT ON FUNCTION appdb._clear_deleted(uuid[]) IS 'Internal: takes deleted tasks out of the queue';

-- The group's next; and where that is in another queue than the place was, the next of this one: nobody knows whether workers serve the other.
CREATE FUNCTION appdb._unpark(group_key text, queue text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
DECLARE
	next record;
BEGIN
	PERFORM appdb._park_lock(_unpark.group_key, false);
	SELECT t.id, t.queue INTO next FROM app_data.tasks AS t
	WHERE t.group_key = _unpark.group_key AND t.parked AND t.deleted_at IS NULL
	ORDER BY t.priority DESC, t.run_at, t.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
	IF NOT FOUND THEN
		RETURN false;
	END IF;
	UPDATE app_data.tasks AS t SET queued = true, parked = false WHERE t.id = next.id;
	PERFORM appdb._wake(next.queue);
	IF next.queue <> _unpark.queue THEN
		-- one that stands far behind is left to maintenance
		SELECT t.id INTO next FROM app_data.tasks AS t
		WHERE t.parked AND t.id = (
			SELECT f.id FROM (
				SELECT p.id, p.queue FROM app_data.tasks AS p
				WHERE p.group_key = _unpark.group_key AND p.parked AND p.deleted_at IS NULL
				ORDER BY p.priority DESC, p.run_at, p.id LIMIT 1000) AS f
			WHERE f.queue = _unpark.queue LIMIT 1)
		FOR NO KEY UPDATE SKIP LOCKED;
		UPDATE app_data.tasks AS t SET queued = true, parked = false WHERE t.id = next.id;
		PERFORM appdb._wake(_unpark.queue);
	END IF;
	RETURN true;
END
$$;
COMMENT ON FUNCTION appdb._unpark(text, text) IS 'Internal: lets the next task of a group into the queue again, and the next in a queue';

-- What the library of 1.0 calls.
CREATE FUNCTION appdb._unpark(group_key text)
	RETURNS boolean
	LANGUAGE sql
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT appdb._unpark(group_key, NULL)
$$;
COMMENT ON FUNCTION appdb._unpark(text) IS 'Internal: lets the next task of a group into the queue again';

-- Of each group that has a place and parked tasks, the next in each queue in which none is ready: rows deleted or changed by hand leave that behind, and
-- queues that nobody serves.
CREATE FUNCTION appdb._unpark_forgotten(batch integer)
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
#variable_conflict use_variable
DECLARE
	g text;
	next record;
	n integer := 0;
BEGIN
	SELECT min(t.group_key) INTO g FROM app_data.tasks AS t WHERE t.parked AND t.deleted_at IS NULL;
	WHILE g IS NOT NULL AND n < batch LOOP
		IF (SELECT count(*) FROM app_data.tasks AS t WHERE t.group_key = g AND t.group_slot IS NOT NULL AND t.deleted_at IS NULL) <
			(SELECT coalesce(t.group_limit, 1) FROM app_data.tasks AS t WHERE t.group_key = g AND t.parked AND t.deleted_at IS NULL
			 ORDER BY t.priority DESC, t.run_at, t.id LIMIT 1)
		THEN
			-- a very large group is not looked through to its end each time
			FOR next IN
				SELECT f.queue, (array_agg(f.id ORDER BY f.priority DESC, f.run_at, f.id) FILTER (WHERE f.parked))[1] AS id FROM (
					SELECT p.id, p.queue, p.priority, p.run_at, p.parked, p.queued AND p.status = 'pending' AND p.run_at <= clock_timestamp() AS ready
					FROM app_data.tasks AS p
					WHERE p.group_key = g AND p.finished_at IS NULL AND p.deleted_at IS NULL
					ORDER BY p.priority DESC, p.run_at, p.id LIMIT 100000) AS f
				GROUP BY f.queue HAVING bool_or(f.parked) AND NOT bool_or(f.ready)
			LOOP
				-- not before: there are only so many locks
				PERFORM appdb._park_lock(g, false);
				UPDATE app_data.tasks AS t SET queued = true, parked = false
				WHERE t.id = (SELECT p.id FROM app_data.tasks AS p WHERE p.id = next.id AND p.parked FOR NO KEY UPDATE SKIP LOCKED);
				IF FOUND THEN
					PERFORM appdb._wake(next.queue);
					n := n + 1;
				END IF;
			END LOOP;
		END IF;
		SELECT min(t.group_key) INTO g FROM app_data.tasks AS t WHERE t.parked AND t.deleted_at IS NULL AND t.group_key > g;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._unpark_forgotten(integer) IS 'Internal: lets groups go on that have a place and nothing ready in a queue';

-- Tasks that cannot be begun any more: expired, or lost with their last attempt.
CREATE FUNCTION appdb._bury_all(ids uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_variable
DECLARE
	task record;
	canceled uuid[] := '{}';
	dead uuid[] := '{}';
	n integer := 0;
BEGIN
	FOR task IN
		SELECT t.id, t.queue, t.status, t.cancel_requested, t.locked_by, t.attempts, t.max_attempts FROM app_data.tasks AS t
		WHERE t.id = ANY (ids) AND t.deleted_at IS NULL AND t.finished_at IS NULL
			AND (t.status = 'pending' AND t.expires_at <= clock_timestamp() OR t.status = 'running' AND coalesce(t.locked_until, '-infinity') <= clock_timestamp())
		ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		IF task.status = 'pending' THEN
			PERFORM appdb._task_close(task.id, 'canceled', NULL, CASE WHEN task.attempts = 0 THEN 'expired before it was begun' ELSE 'expired before it was tried again' END);
			canceled := canceled || task.id;
		ELSIF task.cancel_requested THEN
			PERFORM appdb._task_close(task.id, 'canceled', NULL, 'its worker went silent');
			canceled := canceled || task.id;
		ELSIF task.attempts >= task.max_attempts THEN
			PERFORM appdb._task_close(task.id, 'dead', NULL, 'its worker went silent');
			dead := dead || task.id;
		ELSE
			UPDATE app_data.tasks AS t SET status = 'pending', locked_until = NULL, group_slot = CASE WHEN coalesce(t.group_limit, 1) = 1 THEN t.group_slot END,
				last_error = 'its worker went silent', errors = appdb._add_error(t.errors, t.attempts, t.locked_by, 'its worker went silent')
			WHERE t.id = task.id;
			PERFORM appdb._wake(task.queue);
		END IF;
		n := n + 1;
	END LOOP;
	PERFORM appdb._tasks_ended(canceled, 'canceled');
	PERFORM appdb._tasks_ended(dead, 'dead');
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._bury_all(uuid[]) IS 'Internal: ends what cannot be begun any more, and takes back what a silent worker had: all or nothing';

CREATE FUNCTION appdb._bury(ids uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task_id uuid;
	n integer := 0;
BEGIN
	RETURN appdb._bury_all(ids);
EXCEPTION
	WHEN transaction_rollback OR lock_not_available THEN
		RAISE;
	WHEN OTHERS THEN
		-- one by one: what cannot be changed does not keep the others
		FOREACH task_id IN ARRAY ids LOOP
			BEGIN
				n := n + appdb._bury_all(ARRAY[task_id]);
			EXCEPTION
				WHEN transaction_rollback OR lock_not_available THEN
					RAISE;
				WHEN OTHERS THEN
					RAISE WARNING USING
						MESSAGE = format('task %s cannot be taken back from its silent worker, or canceled', task_id),
						DETAIL = SQLERRM;
			END;
		END LOOP;
		RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._bury(uuid[]) IS 'Internal: ends what cannot be begun any more, and takes back what a silent worker had';

CREATE FUNCTION appdb._add_error(errors jsonb, attempt integer, worker text, error text)
	RETURNS jsonb
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
	-- whoever enqueued the task could put anything there
	SELECT CASE WHEN jsonb_typeof(errors) = 'array' THEN CASE WHEN jsonb_array_length(errors) >= 100 THEN errors - 0 ELSE errors END ELSE '[]' END
		|| jsonb_build_object('at', clock_timestamp()::timestamptz(3), 'attempt', attempt, 'worker', worker, 'error', left(error, 10000))
$$;
COMMENT ON FUNCTION appdb._add_error(jsonb, integer, text, text) IS 'Internal: the history of errors with one more';

-- Gives a task that the caller has locked its last status.
CREATE FUNCTION appdb._task_close(id uuid, status text, result jsonb, error text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
BEGIN
	UPDATE app_data.tasks AS t SET status = _task_close.status::app_data.task_status, queued = false, parked = false, finished_at = clock_timestamp(), locked_until = NULL, group_slot = NULL,
		result = CASE WHEN _task_close.status = 'completed' THEN _task_close.result ELSE t.result END, progress = CASE WHEN _task_close.status = 'completed' THEN 1 ELSE t.progress END,
		last_error = coalesce(left(error, 100000), t.last_error),
		errors = CASE WHEN error IS NULL THEN t.errors ELSE appdb._add_error(t.errors, t.attempts, t.locked_by, error) END
	WHERE t.id = _task_close.id;
END
$$;
COMMENT ON FUNCTION appdb._task_close(uuid, text, jsonb, text) IS 'Internal: gives a task its last status';

-- What follows from it for others. For tasks that end together it is done once, after all of them have ended: so everybody locks what waits for any of them in
-- one order, and nobody waits for whoever waits for them.
CREATE FUNCTION appdb._tasks_ended(ids uuid[], status text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_variable
DECLARE
	parents uuid[] := ARRAY(SELECT t.id FROM app_data.tasks AS t WHERE t.id = ANY (ids) AND t.has_dependents);
	task record;
BEGIN
	IF parents <> '{}' THEN
		PERFORM appdb._task_dependents(parents, _tasks_ended.status);
	END IF;
	FOR task IN SELECT t.group_key, t.queue FROM app_data.tasks AS t WHERE t.id = ANY (ids) AND t.group_key IS NOT NULL LOOP
		PERFORM appdb._unpark(task.group_key, task.queue);
		PERFORM appdb._wake(task.queue);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._tasks_ended(uuid[], text) IS 'Internal: tells those that wait for tasks that these have ended';

CREATE FUNCTION appdb._task_end(id uuid, status text, result jsonb, error text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM appdb._task_close(id, status, result, error);
	PERFORM appdb._tasks_ended(ARRAY[id], status);
END
$$;
COMMENT ON FUNCTION appdb._task_end(uuid, text, jsonb, text) IS 'Internal: ends a task that the caller has locked, and tells those that wait for it';

CREATE FUNCTION appdb._task_dependents(ids uuid[], status text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_variable
DECLARE
	child record;
	waits integer;
	done integer;
	ended uuid[] := ids;
	then_ended uuid[];
	how text := _task_dependents.status;
BEGIN
	IF _task_dependents.status = 'completed' THEN
		-- in one order, so that those who do this at the same time do not wait for each other
		FOR child IN
			SELECT t.id, t.queue, t.waits_for, least(t.waits_for, CASE cardinality(ids) WHEN 1 THEN 1 ELSE
				(SELECT count(*) FROM (SELECT unnest(t.depends_on) INTERSECT SELECT unnest(ids)) AS d) END) AS done
			FROM app_data.tasks AS t WHERE t.depends_on && ids AND t.waits_for > 0 AND t.finished_at IS NULL ORDER BY t.id FOR NO KEY UPDATE
		LOOP
			done := child.done;
			-- to write waits_for is to write all of depends_on to an index: of many, once
			IF child.waits_for >= 64 THEN
				-- tables of 1.0 have no column for it before they are migrated
				IF EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = 'app_data.tasks'::regclass AND a.attname = 'waited_for') THEN
					UPDATE app_data.tasks AS t SET waited_for = least(coalesce(t.waited_for, 0)::bigint + done, t.waits_for)
					WHERE t.id = child.id RETURNING t.waited_for INTO done;
					CONTINUE WHEN done < child.waits_for;
				END IF;
			END IF;
			UPDATE app_data.tasks AS t SET waits_for = t.waits_for - done, queued = t.waits_for = done AND t.run_at <= clock_timestamp()
			WHERE t.id = child.id RETURNING t.waits_for INTO waits;
			IF waits = 0 THEN
				PERFORM appdb._wake(child.queue);
			END IF;
		END LOOP;
		RETURN;
	END IF;
	-- those that wait for them, those that wait for these, and so on: not by recursion, which has an end
	WHILE ended <> '{}' LOOP
		then_ended := '{}';
		FOR child IN
			SELECT t.id, t.depends_on, t.has_dependents FROM app_data.tasks AS t
			WHERE t.depends_on && ended AND t.waits_for > 0 AND t.finished_at IS NULL ORDER BY t.id FOR NO KEY UPDATE
		LOOP
			UPDATE app_data.tasks AS t SET waits_for = 0, has_dependents = false WHERE t.id = child.id;
			PERFORM appdb._task_end(child.id, 'canceled', NULL,
				format('task %s, on which it depends, is %s', (SELECT d FROM unnest(child.depends_on) AS d WHERE d = ANY (ended) LIMIT 1), how));
			IF child.has_dependents THEN
				then_ended := then_ended || child.id;
			END IF;
		END LOOP;
		ended := then_ended;
		how := 'canceled';
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._task_dependents(uuid[], text) IS 'Internal: lets tasks begin that waited for some, or cancels them';

-- The work of _task_await().
CREATE FUNCTION appdb.__task_await(kind text, parents uuid[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_variable
DECLARE
	parent record;
	waits integer := 0;
	found integer := 0;
BEGIN
	FOR parent IN SELECT t.id, t.status::text AS status FROM app_data.tasks AS t WHERE t.id = ANY (parents) ORDER BY t.id FOR NO KEY UPDATE LOOP
		found := found + 1;
		IF parent.status IN ('canceled', 'dead') THEN
			RAISE foreign_key_violation USING
				MESSAGE = format('task "%s" cannot depend on task %s: that is %s', kind, parent.id, parent.status),
				HINT = 'appdb.retry() gives it another chance.';
		ELSIF parent.status <> 'completed' THEN
			waits := waits + 1;
			-- a new version, if this transaction has not made one: who completes it by a snapshot that does not see the new task is refused
			UPDATE app_data.tasks AS t SET has_dependents = true WHERE t.id = parent.id AND (NOT t.has_dependents OR t.xmin <> pg_current_xact_id()::xid);
		END IF;
	END LOOP;
	IF found < cardinality(parents) THEN
		RAISE foreign_key_violation USING
			MESSAGE = format('task "%s" cannot depend on tasks that are gone', kind),
			DETAIL = 'One of them was deleted at this moment: by its completion, where appdb.keep_completed_tasks is off, or by maintenance.';
	END IF;
	RETURN waits;
END
$$;
COMMENT ON FUNCTION appdb.__task_await(text, uuid[]) IS 'Internal: notes that a task waits for others, and returns for how many';

CREATE FUNCTION appdb._task_await(kind text, parents uuid[])
	RETURNS integer
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb._task_await(text, uuid[]) IS 'Internal: the same with the rights of the tables'' owner; takes INSERT on appdb.tasks';

-- Would a task wait for itself, if it waited for these? The lock lets nobody else have one wait for others between this look and the end of the transaction, and
-- the look is at what is committed now, whatever the transaction's own snapshot shows.
CREATE FUNCTION appdb.__task_precedes(task uuid, parents uuid[])
	RETURNS boolean
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN EXISTS (
		WITH RECURSIVE before AS (
			SELECT unnest(parents) AS id
			UNION
			SELECT unnest(t.depends_on) FROM before AS b JOIN app_data.tasks AS t ON t.id = b.id WHERE t.waits_for > 0)
		SELECT FROM before AS b WHERE b.id = task);
END
$$;
COMMENT ON FUNCTION appdb.__task_precedes(uuid, uuid[]) IS 'Internal: whether tasks wait for a task';

CREATE FUNCTION appdb._task_precedes(task uuid, parents uuid[])
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_precedes';
COMMENT ON FUNCTION appdb._task_precedes(uuid, uuid[]) IS 'Internal: the same with the rights of the tables'' owner, one session at a time; takes INSERT on appdb.tasks';

-- A task that kept its place in a group went to another.
CREATE FUNCTION appdb.__group_left(group_key text, queue text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM appdb._unpark(group_key, queue);
	PERFORM appdb._wake(queue);
END
$$;
COMMENT ON FUNCTION appdb.__group_left(text, text) IS 'Internal: lets the next task of a group begin';

CREATE FUNCTION appdb._group_left(group_key text, queue text)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb._group_left(text, text) IS 'Internal: the same with the rights of the tables'' owner; takes UPDATE on appdb.tasks';

-- The error for a worker that shows a ticket which is not the task's any more.
CREATE FUNCTION appdb._lost(id uuid, ticket integer)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	IF _lost.id IS NULL OR _lost.ticket IS NULL THEN
		RAISE null_value_not_allowed USING
			MESSAGE = format('the %s of a task must not be null', CASE WHEN _lost.id IS NULL THEN 'id' ELSE 'ticket' END),
			HINT = 'claim() returns both.';
	END IF;
	SELECT t.status::text AS status, t.ticket, t.locked_by, t.deleted_at INTO task FROM app_data.tasks AS t WHERE t.id = _lost.id;
	IF NOT FOUND OR task.deleted_at IS NOT NULL THEN
		RAISE no_data_found USING
			MESSAGE = format('there is no task %s', _lost.id),
			DETAIL = 'It never was, or it has been deleted.';
	END IF;
	RAISE object_not_in_prerequisite_state USING
		MESSAGE = format('the lease on task %s is lost', _lost.id),
		DETAIL = CASE
			WHEN task.status = 'running' THEN format('Worker "%s" has it now, with ticket %s; this one''s ticket is %s.', task.locked_by, task.ticket, _lost.ticket)
			WHEN task.status = 'pending' THEN 'It waits for another attempt.'
			ELSE format('It is %s.', task.status) END,
		HINT = 'Drop what was done. Longer leases, or more heartbeats, prevent this.';
END
$$;
COMMENT ON FUNCTION appdb._lost(uuid, integer) IS 'Internal: says that a lease is lost';

-- What each of the worker's functions does first: the task, locked, if the ticket is that of its lease; otherwise the error. (finish.c does the same.)
CREATE FUNCTION appdb._leased(
	task_id uuid, task_ticket integer, OUT id uuid, OUT attempts integer, OUT max_attempts integer, OUT backoff interval, OUT cancel_requested boolean)
	RETURNS record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
BEGIN
	SELECT t.id, t.attempts, t.max_attempts, coalesce(t.backoff, '10 seconds'), t.cancel_requested
	INTO _leased.id, _leased.attempts, _leased.max_attempts, _leased.backoff, _leased.cancel_requested
	FROM app_data.tasks AS t
	WHERE t.id = task_id AND t.ticket = task_ticket AND t.status = 'running' AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		PERFORM appdb._lost(task_id, task_ticket);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._leased(uuid, integer) IS 'Internal: a task that a worker has, locked; the error, if it has it no more';

CREATE FUNCTION appdb.heartbeat(id uuid, ticket integer, lease interval DEFAULT '5 minutes')
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.heartbeat(uuid, integer, interval) IS
'Prolongs the lease of a running task, from now on. Returns whether the task was canceled meanwhile: then stop, and call fail() or complete().
Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._heartbeat(id uuid, ticket integer, lease interval)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	task record;
BEGIN
	IF lease > '0' IS NOT TRUE THEN
		RAISE invalid_parameter_value USING
			MESSAGE = 'a lease must last for some time',
			HINT = 'lease is an interval such as 5 minutes: longer than the time between two heartbeats.';
	END IF;
	SELECT * INTO task FROM appdb._leased(id, ticket);
	UPDATE app_data.tasks AS t SET locked_until = clock_timestamp() + lease WHERE t.id = task.id;
	RETURN task.cancel_requested;
END
$$;
COMMENT ON FUNCTION appdb._heartbeat(uuid, integer, interval) IS 'Internal: appdb.heartbeat() as the tables'' owner';

CREATE FUNCTION appdb.progress(id uuid, ticket integer, fraction double precision, message text DEFAULT NULL)
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.progress(uuid, integer, double precision, text) IS
'Says how far a running task has come (0 to 1) and what it is doing, for people to see. Returns whether it was canceled meanwhile. Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._progress(id uuid, ticket integer, fraction double precision, message text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	task record;
BEGIN
	IF fraction IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'fraction must not be null';
	-- as it is kept: a sum may be a little above
	ELSIF fraction::real NOT BETWEEN 0 AND 1 THEN
		RAISE check_violation USING
			MESSAGE = format('fraction %s is not between 0 and 1', fraction),
			HINT = 'It is how much of the task is done.';
	ELSIF char_length(message) > 1000 THEN
		RAISE check_violation USING
			MESSAGE = 'message is too long',
			DETAIL = format('It has %s characters, and may have 1000.', char_length(message)),
			HINT = 'What came of the task goes to appdb.complete(), as its result.';
	END IF;
	SELECT * INTO task FROM appdb._leased(id, ticket);
	UPDATE app_data.tasks AS t SET progress = fraction, progress_message = message WHERE t.id = task.id;
	RETURN task.cancel_requested;
END
$$;
COMMENT ON FUNCTION appdb._progress(uuid, integer, double precision, text) IS 'Internal: appdb.progress() as the tables'' owner';

-- As 1.0 had it: dumps of that give roles rights on it.  The argument has another
-- name, for PostgREST, which chooses by names.
CREATE FUNCTION appdb.progress(id uuid, ticket integer, part real, message text DEFAULT NULL)
	RETURNS boolean
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.progress(uuid, integer, real, text) IS 'The same, as it was in 1.0.';

CREATE FUNCTION appdb._progress(id uuid, ticket integer, part real, message text)
	RETURNS boolean
	LANGUAGE sql
	SET search_path = pg_catalog, pg_temp
	AS $$
	SELECT appdb._progress(id, ticket, part::double precision, message)
$$;
COMMENT ON FUNCTION appdb._progress(uuid, integer, real, text) IS 'Internal: appdb.progress() as the tables'' owner';

CREATE FUNCTION appdb.complete(id uuid, ticket integer, result jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_complete';
COMMENT ON FUNCTION appdb.complete(uuid, integer, jsonb) IS
'Says that a task is done, and what came of it; tasks that waited for it may begin. In the same transaction as what was done, both happen or neither.
Where the setting appdb.keep_completed_tasks is off, the task is deleted, unless there is a result or tasks were enqueued that wait for it.
Errors: 55000 the lease is lost, P0002 no such task.';

-- Where triggers of the user's have to fire.
CREATE FUNCTION appdb._complete(id uuid, ticket integer, result jsonb)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	PERFORM appdb._complete_many(ARRAY[id], ARRAY[ticket], ARRAY[result]);
END
$$;
COMMENT ON FUNCTION appdb._complete(uuid, integer, jsonb) IS 'Internal: appdb.complete() as the tables'' owner';

CREATE FUNCTION appdb.complete_many(ids uuid[], tickets integer[], results jsonb[] DEFAULT NULL)
	RETURNS integer
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_complete_many';
COMMENT ON FUNCTION appdb.complete_many(uuid[], integer[], jsonb[]) IS
'Says that tasks are done, all or none, and returns how many: ids, their tickets and, where given, their results, in the same order. Errors as of complete(), for one that is lost.';

CREATE FUNCTION appdb._complete_many(ids uuid[], tickets integer[], results jsonb[])
	RETURNS integer
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	task record;
BEGIN
	-- null is what array_agg() makes of no rows
	ids := coalesce(ids, '{}');
	tickets := coalesce(tickets, '{}');
	IF cardinality(ids) <> cardinality(tickets) OR cardinality(results) <> cardinality(ids) THEN
		RAISE array_subscript_error USING
			MESSAGE = 'ids, tickets and results must be of the same length',
			HINT = 'Each id needs the ticket that claim() returned with it.';
	END IF;
	PERFORM appdb._lost(i.id, i.ticket) FROM unnest(ids, tickets) AS i (id, ticket) WHERE i.id IS NULL OR i.ticket IS NULL;
	IF (SELECT count(DISTINCT i) FROM unnest(ids) AS i) < cardinality(ids) THEN
		RAISE cardinality_violation USING
			MESSAGE = 'a task was given more than once',
			HINT = 'Give each id once.';
	END IF;
	-- in one order, as whoever enqueues tasks that wait for them locks them
	FOR task IN SELECT i.id, i.ticket, i.result FROM unnest(ids, tickets, results) AS i (id, ticket, result) ORDER BY i.id LOOP
		PERFORM appdb._leased(task.id, task.ticket);
		PERFORM appdb._task_close(task.id, 'completed', task.result, NULL);
	END LOOP;
	PERFORM appdb._tasks_ended(ids, 'completed');
	IF NOT current_setting('appdb.keep_completed_tasks')::boolean THEN
		DELETE FROM app_data.tasks AS t
		WHERE t.id = ANY (ids) AND t.result IS NULL AND NOT t.has_dependents
			AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.contype = 'f' AND c.confrelid = 'app_data.tasks'::regclass AND c.confdeltype IN ('a', 'r'));
	END IF;
	RETURN cardinality(ids);
END
$$;
COMMENT ON FUNCTION appdb._complete_many(uuid[], integer[], jsonb[]) IS 'Internal: appdb.complete_many() as the tables'' owner';

CREATE FUNCTION appdb.fail(id uuid, ticket integer, error text, retry_in interval DEFAULT NULL)
	RETURNS timestamptz
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.fail(uuid, integer, text, interval) IS
'Says that an attempt failed, and why. Returns when the task is tried again: after retry_in (at once, where that is negative), or after its backoff, doubled with each attempt, at most a day, give or take a tenth; null if it is dead now, or canceled.
Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._fail(id uuid, ticket integer, error text, retry_in interval)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
	again timestamptz;
BEGIN
	SELECT * INTO task FROM appdb._leased(id, ticket);
	IF task.cancel_requested OR task.attempts >= task.max_attempts THEN
		PERFORM appdb._task_end(task.id, CASE WHEN task.cancel_requested THEN 'canceled' ELSE 'dead' END, NULL, coalesce(error, 'failed'));
		RETURN NULL;
	END IF;
	again := clock_timestamp() + coalesce(CASE WHEN retry_in < '0' THEN '0' ELSE retry_in END,
		least(least(task.backoff, interval '1 day') * power(2, least(task.attempts - 1, 30)), interval '1 day') * (0.9 + 0.2 * random()));
	RETURN appdb._put_back(task.id, again, task.attempts, coalesce(error, 'failed'));
END
$$;
COMMENT ON FUNCTION appdb._fail(uuid, integer, text, interval) IS 'Internal: appdb.fail() as the tables'' owner';

-- A task that is to be done later. In a group with one place it keeps that: what comes after it waits.
CREATE FUNCTION appdb._put_back(id uuid, run_at timestamptz, attempts integer, error text)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	again timestamptz(3) := date_trunc('milliseconds', _put_back.run_at);
	task record;
BEGIN
	UPDATE app_data.tasks AS t SET status = 'pending', queued = again <= clock_timestamp(), run_at = again, attempts = _put_back.attempts, locked_until = NULL,
		group_slot = CASE WHEN coalesce(t.group_limit, 1) = 1 THEN t.group_slot END, last_error = coalesce(left(error, 100000), t.last_error),
		errors = CASE WHEN error IS NULL THEN t.errors ELSE appdb._add_error(t.errors, t.attempts, t.locked_by, error) END
	WHERE t.id = _put_back.id
	RETURNING t.queue, t.group_key, t.group_slot INTO task;
	IF task.group_key IS NOT NULL AND task.group_slot IS NULL THEN
		PERFORM appdb._unpark(task.group_key, task.queue);
	END IF;
	IF again < clock_timestamp() + interval '1 minute' OR task.group_key IS NOT NULL THEN
		PERFORM appdb._wake(task.queue);
	END IF;
	RETURN again;
END
$$;
COMMENT ON FUNCTION appdb._put_back(uuid, timestamptz, integer, text) IS 'Internal: has a task that its worker gives back done later';

CREATE FUNCTION appdb.snooze(id uuid, ticket integer, wait interval)
	RETURNS timestamptz
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.snooze(uuid, integer, interval) IS
'Puts a running task back for a while, without counting the attempt. Returns when it is ready again; null if it was canceled. Errors: 55000 the lease is lost, P0002 no such task.';

CREATE FUNCTION appdb._snooze(id uuid, ticket integer, wait interval)
	RETURNS timestamptz
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	IF wait IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'wait must not be null';
	END IF;
	SELECT * INTO task FROM appdb._leased(id, ticket);
	IF task.cancel_requested THEN
		PERFORM appdb._task_end(task.id, 'canceled', NULL, NULL);
		RETURN NULL;
	END IF;
	RETURN appdb._put_back(task.id, clock_timestamp() + greatest(wait, '0'), greatest(task.attempts - 1, 0), NULL);
END
$$;
COMMENT ON FUNCTION appdb._snooze(uuid, integer, interval) IS 'Internal: appdb.snooze() as the tables'' owner';

CREATE FUNCTION appdb.idle(queues text[] DEFAULT '{default}')
	RETURNS interval
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_idle';
COMMENT ON FUNCTION appdb.idle(text[]) IS
'What a worker calls that got nothing from claim(), after LISTEN appdb_tasks: returns how long it should wait for a notification before it claims again (0: something is ready; longer, where claims got nothing of that; at most 30 seconds).
From then until the session''s next claim(), whoever enqueues in these queues notifies channel appdb_tasks, with the queue as payload. Call it outside of a transaction block, on a connection of the worker''s own.';

-- STABLE: by the snapshot that appdb.idle() has taken after its locks, in a transaction that keeps its own, too.
CREATE FUNCTION appdb._idle(queues text[], woken boolean)
	RETURNS interval
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET enable_bitmapscan = off
	AS $$
#variable_conflict use_variable
DECLARE
	q text;
	next timestamptz;
	at timestamptz;
	wait interval := CASE WHEN woken THEN '30 seconds' ELSE '50 ms' END;
BEGIN
	FOREACH q IN ARRAY queues LOOP
		IF EXISTS (SELECT FROM app_data.tasks AS t WHERE t.queue = q AND t.queued AND t.status = 'pending' AND t.run_at <= clock_timestamp()
				   AND t.group_key IS NULL AND t.deleted_at IS NULL) THEN
			RETURN '0';
		END IF;
		SELECT min(n.run_at) INTO next FROM (
			(SELECT t.run_at FROM app_data.tasks AS t WHERE t.queue = q AND NOT t.queued AND NOT t.parked AND t.finished_at IS NULL AND t.waits_for = 0
			 AND t.deleted_at IS NULL ORDER BY t.run_at LIMIT 1)
			UNION ALL
			-- inserted by hand for later, or of a group that has no place: which may change without notice
			(SELECT greatest(t.run_at, clock_timestamp() + interval '1 second') FROM app_data.tasks AS t
			 WHERE t.queue = q AND t.queued AND t.status = 'pending' AND t.deleted_at IS NULL LIMIT 1)) AS n;
		at := clock_timestamp();
		-- which may be infinite
		IF next < at + wait THEN
			wait := greatest(next, at) - at;
		END IF;
	END LOOP;
	RETURN wait;
END
$$;
COMMENT ON FUNCTION appdb._idle(text[], boolean) IS 'Internal: how long there is nothing to do in some queues';

-- == what people call =======================================================

CREATE FUNCTION appdb.cancel(id uuid)
	RETURNS text
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb.cancel(uuid) IS
'Calls a task off: one that waits is canceled at once, with those that depend on it; the worker of one that runs is told at its next heartbeat. Returns the task''s status afterwards.
For whoever could enqueue it: its user, editors of its space, servers. Errors: P0002 no such task for the caller.';

CREATE FUNCTION appdb._cancel(id uuid)
	RETURNS text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	task record;
BEGIN
	SELECT t.status::text AS status INTO task FROM app_data.tasks AS t WHERE t.id = _cancel.id AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF task.status = 'running' THEN
		UPDATE app_data.tasks AS t SET cancel_requested = true WHERE t.id = _cancel.id;
	ELSIF task.status = 'pending' THEN
		UPDATE app_data.tasks AS t SET waits_for = 0 WHERE t.id = _cancel.id AND t.waits_for > 0;
		PERFORM appdb._task_end(id, 'canceled', NULL, NULL);
		RETURN 'canceled';
	END IF;
	RETURN task.status;
END
$$;
COMMENT ON FUNCTION appdb._cancel(uuid) IS 'Internal: appdb.cancel() as the tables'' owner';

CREATE FUNCTION appdb.retry(id uuid, run_at timestamptz DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_task_as_owner';
COMMENT ON FUNCTION appdb.retry(uuid, timestamptz) IS
'Gives a task another attempt, whatever became of it, now (what is ready already keeps its place) or at run_at, and after what it depends on, as far as that is neither finished nor deleted; its errors so far are kept. For whoever could enqueue it: its user, editors of its space, servers.
Errors: P0002 no such task for the caller, 55000 it is running, 23505 another with its dedupe key waits.';

CREATE FUNCTION appdb._retry(id uuid, run_at timestamptz)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
	SET jit = off
	AS $$
#variable_conflict use_variable
DECLARE
	task record;
	starts timestamptz(3) := date_trunc('milliseconds', coalesce(_retry.run_at, now()));
	waits integer;
BEGIN
	-- what it waits for first, as everywhere: those tasks, then this one, then those that wait for it
	PERFORM FROM app_data.tasks AS p
	WHERE p.id = ANY (SELECT unnest(t.depends_on) FROM app_data.tasks AS t WHERE t.id = _retry.id) ORDER BY p.id FOR NO KEY UPDATE;
	SELECT t.status::text AS status, t.queue, t.depends_on, t.finished_at, t.cancel_requested INTO task FROM app_data.tasks AS t WHERE t.id = _retry.id AND t.deleted_at IS NULL FOR NO KEY UPDATE;
	IF task.status = 'running' THEN
		RAISE object_not_in_prerequisite_state USING
			MESSAGE = format('task %s is running', _retry.id),
			HINT = CASE WHEN task.cancel_requested THEN 'It has been canceled: it can be tried again once its worker has ended it.' ELSE 'It is tried again by itself if it fails.' END;
	END IF;
	UPDATE app_data.tasks AS p SET has_dependents = true WHERE p.id = ANY (task.depends_on) AND p.status IN ('pending', 'running') AND p.deleted_at IS NULL;
	GET DIAGNOSTICS waits = ROW_COUNT;
	UPDATE app_data.tasks AS t SET status = 'pending', queued = starts <= now() AND waits = 0, parked = false, finished_at = NULL, cancel_requested = false, result = NULL,
		-- what is ready already keeps its place
		run_at = CASE WHEN t.status = 'pending' AND _retry.run_at IS NULL THEN least(t.run_at, starts) ELSE starts END,
		progress = 0, progress_message = NULL, expires_at = NULL, max_attempts = greatest(t.max_attempts, t.attempts + 1), waits_for = waits
	WHERE t.id = _retry.id;
	IF task.finished_at IS NOT NULL THEN
		-- locked first: what others do meanwhile with what these wait for is to be seen by the statement that counts it
		PERFORM FROM app_data.tasks AS t WHERE t.depends_on @> ARRAY[_retry.id] AND t.waits_for > 0 AND t.finished_at IS NULL ORDER BY t.id FOR NO KEY UPDATE;
		-- what waits for others besides, waits for this one once more, unless that was ended by hand, and so it waits still
		UPDATE app_data.tasks AS t SET waits_for = least(t.waits_for + 1, (SELECT count(DISTINCT d.id) FROM unnest(t.depends_on) AS d (id)
			WHERE NOT EXISTS (SELECT FROM app_data.tasks AS p WHERE p.id = d.id AND p.status = 'completed')))
		WHERE t.depends_on @> ARRAY[_retry.id] AND t.waits_for > 0 AND t.finished_at IS NULL;
		IF FOUND THEN
			UPDATE app_data.tasks AS t SET has_dependents = true WHERE t.id = _retry.id;
		END IF;
	END IF;
	IF starts < now() + interval '1 minute' AND waits = 0 THEN
		PERFORM appdb._wake(task.queue);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._retry(uuid, timestamptz) IS 'Internal: appdb.retry() as the tables'' owner';

CREATE FUNCTION appdb._task_overview(
	OUT queue text, OUT waiting bigint, OUT scheduled bigint, OUT running bigint, OUT late bigint, OUT silent bigint, OUT dead bigint,
	OUT oldest timestamptz, OUT completed_last_minute bigint, OUT completed_last_hour bigint, OUT failed_last_hour bigint)
	RETURNS SETOF record
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	RETURN QUERY
	SELECT t.queue,
		count(*) FILTER (WHERE t.ready), count(*) FILTER (WHERE t.status = 'pending' AND NOT t.ready), count(*) FILTER (WHERE t.status = 'running'),
		count(*) FILTER (WHERE t.ready AND t.run_at < now() - interval '1 minute'), count(*) FILTER (WHERE t.status = 'running' AND coalesce(t.locked_until, '-infinity') < now()),
		count(*) FILTER (WHERE t.status = 'dead'), min(t.run_at) FILTER (WHERE t.ready),
		count(*) FILTER (WHERE t.status = 'completed' AND t.finished_at > now() - interval '1 minute'),
		count(*) FILTER (WHERE t.status = 'completed'), count(*) FILTER (WHERE t.status = 'dead' AND t.finished_at > now() - interval '1 hour')
	FROM (
		-- also those whose time has come, and no worker has looked since, and those that are parked
		SELECT l.queue, l.status, l.run_at, l.locked_until, l.finished_at,
			l.status = 'pending' AND l.run_at <= now() AND (l.queued OR l.waits_for = 0) AS ready
		FROM appdb.tasks AS l WHERE l.finished_at IS NULL OR l.finished_at > now() - interval '1 hour' OR l.status = 'dead') AS t
	GROUP BY t.queue ORDER BY t.queue;
END
$$;
COMMENT ON FUNCTION appdb._task_overview() IS 'Internal: the rows of appdb.task_overview';

CREATE VIEW appdb.task_overview WITH (security_invoker = true) AS
	SELECT o.queue, o.waiting, o.scheduled, o.running, o.late, o.silent, o.dead, o.oldest, o.completed_last_minute, o.completed_last_hour, o.failed_last_hour
	FROM appdb._task_overview() AS o;
COMMENT ON VIEW appdb.task_overview IS 'How the queues stand, a row each: of the tasks that its reader may read';
COMMENT ON COLUMN appdb.task_overview.queue IS 'The queue';
COMMENT ON COLUMN appdb.task_overview.waiting IS 'Tasks that are ready to begin, also where their group has no place';
COMMENT ON COLUMN appdb.task_overview.scheduled IS 'Tasks that wait for their time or for other tasks';
COMMENT ON COLUMN appdb.task_overview.running IS 'Tasks that workers have';
COMMENT ON COLUMN appdb.task_overview.late IS 'Of those that are ready, how many have been so for more than a minute';
COMMENT ON COLUMN appdb.task_overview.silent IS 'Of those that workers have, how many have no lease any more';
COMMENT ON COLUMN appdb.task_overview.dead IS 'Tasks that were given up after their last attempt';
COMMENT ON COLUMN appdb.task_overview.oldest IS 'Since when the oldest that is ready has been so';
COMMENT ON COLUMN appdb.task_overview.completed_last_minute IS 'Tasks completed within the last minute';
COMMENT ON COLUMN appdb.task_overview.completed_last_hour IS 'Tasks completed within the last hour';
COMMENT ON COLUMN appdb.task_overview.failed_last_hour IS 'Tasks given up within the last hour';
GRANT SELECT ON appdb.task_overview TO PUBLIC;

-- == rights =================================================================

REVOKE EXECUTE ON FUNCTION
	appdb.claim(text[], text, integer, interval),
	appdb.heartbeat(uuid, integer, interval),
	appdb.progress(uuid, integer, double precision, text),
	appdb.progress(uuid, integer, real, text),
	appdb.complete(uuid, integer, jsonb),
	appdb.complete_many(uuid[], integer[], jsonb[]),
	appdb.fail(uuid, integer, text, interval),
	appdb.snooze(uuid, integer, interval),
	appdb.idle(text[])
FROM PUBLIC;

-- == schedules ==============================================================

CREATE FUNCTION appdb.cron_next(cron text, after timestamptz DEFAULT now(), time_zone text DEFAULT 'UTC')
	RETURNS timestamptz
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_cron_next';
COMMENT ON FUNCTION appdb.cron_next(text, timestamptz, text) IS
'When a cron schedule, read in a time zone, is due next after a time; null if never. Where clocks are put forward over a time, it runs then; a time that comes twice runs once, the first time; what runs every hour goes by what has passed.
Errors: 22023 no schedule, no such time zone.';

CREATE FUNCTION appdb.schedule(
	name text, cron text, kind text, payload jsonb DEFAULT '{}', time_zone text DEFAULT 'UTC', queue text DEFAULT 'default', priority integer DEFAULT 0,
	max_attempts integer DEFAULT 20, missed text DEFAULT 'once', paused boolean DEFAULT false, space_id uuid DEFAULT NULL, user_id uuid DEFAULT NULL)
	RETURNS uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_column
DECLARE
	next timestamptz;
	policy appdb.schedules.missed%TYPE;
	id uuid;
BEGIN
	IF schedule.cron IS NULL OR schedule.time_zone IS NULL THEN
		RAISE null_value_not_allowed USING MESSAGE = 'cron and time_zone must not be null';
	END IF;
	IF schedule.missed NOT IN ('skip', 'once', 'all') THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('missed cannot be "%s"', schedule.missed),
			HINT = 'It is skip, once or all.';
	END IF;
	policy := schedule.missed;
	next := appdb.cron_next(schedule.cron, clock_timestamp(), schedule.time_zone);
	IF next IS NULL THEN
		RAISE invalid_parameter_value USING
			MESSAGE = format('"%s" never comes', schedule.cron),
			HINT = 'No month has such a day.';
	END IF;
	INSERT INTO appdb.schedules AS s (name, cron, time_zone, kind, payload, queue, priority, max_attempts, missed, paused, space_id, user_id, next_run_at)
	VALUES (schedule.name, schedule.cron, schedule.time_zone, schedule.kind, schedule.payload, schedule.queue, schedule.priority, schedule.max_attempts,
		policy, schedule.paused, schedule.space_id, schedule.user_id, next)
	ON CONFLICT (name) WHERE deleted_at IS NULL DO UPDATE
		SET cron = EXCLUDED.cron, time_zone = EXCLUDED.time_zone, kind = EXCLUDED.kind, payload = EXCLUDED.payload, queue = EXCLUDED.queue, priority = EXCLUDED.priority,
			max_attempts = EXCLUDED.max_attempts, missed = EXCLUDED.missed, paused = EXCLUDED.paused, space_id = EXCLUDED.space_id, user_id = EXCLUDED.user_id,
			-- what is due and not done yet stays so, unless the times are others
			next_run_at = CASE WHEN (s.cron, s.time_zone, s.paused) = (EXCLUDED.cron, EXCLUDED.time_zone, EXCLUDED.paused) THEN coalesce(s.next_run_at, EXCLUDED.next_run_at) ELSE EXCLUDED.next_run_at END
	RETURNING s.id INTO id;
	RETURN id;
END
$$;
COMMENT ON FUNCTION appdb.schedule(text, text, text, jsonb, text, text, integer, integer, text, boolean, uuid, uuid) IS
'Has a task enqueued again and again, by appdb.maintain() or the background worker; replaces the schedule of that name. Returns its id.
cron: minute hour day month weekday, or @daily and the like, in time_zone; kind and the others: of the tasks, whose payload gets "scheduled_for";
missed: what is done about times that passed while nobody looked: skip, once (one task for all), all (one for each, 1000 at a time). Errors: 22023 no schedule, no such time zone, no such policy.';

CREATE FUNCTION appdb.unschedule(name text)
	RETURNS boolean
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
BEGIN
	DELETE FROM appdb.schedules AS s WHERE s.name = unschedule.name;
	RETURN FOUND;
END
$$;
COMMENT ON FUNCTION appdb.unschedule(text) IS 'Ends a schedule; tasks that it has enqueued stay. Returns whether there was one';

-- One pass over what is due. A row's lock sees to it that each time is done once, however many do this.
CREATE FUNCTION appdb._run_schedules(batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	s record;
	times timestamptz[];
	at timestamptz;
	due timestamptz;
	next timestamptz;
	task uuid;
	problem text;
	n bigint := 0;
	late interval;
BEGIN
	-- loads the library, whose setting it is
	PERFORM appdb.version();
	late := current_setting('appdb.worker_naptime')::interval;
	FOR s IN
		SELECT * FROM app_data.schedules AS d
		WHERE d.next_run_at <= clock_timestamp() AND NOT d.paused AND d.deleted_at IS NULL
		ORDER BY d.next_run_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		problem := NULL;
		task := NULL;
		next := NULL;
		times := '{}';
		BEGIN
			-- after a time that is infinite none comes next
			at := CASE s.next_run_at WHEN '-infinity' THEN clock_timestamp() ELSE s.next_run_at END;
			WHILE at <= clock_timestamp() LOOP
				times := times || at;
				at := appdb.cron_next(s.cron, at, s.time_zone);
				-- years of minutes: leave them, except for the last
				IF cardinality(times) >= 1000 THEN
					IF s.missed <> 'all' THEN
						times := times[1000:];
						at := greatest(at, appdb.cron_next(s.cron, clock_timestamp() - interval '1 day', s.time_zone));
					ELSE
						EXIT;
					END IF;
				END IF;
			END LOOP;
			next := at;
			IF s.missed = 'once' THEN
				times := times[cardinality(times):];
			ELSIF s.missed = 'skip' THEN
				-- whoever looks every minute is late by up to one, and the background worker by what it sleeps: that is not missed
				times := ARRAY(SELECT t FROM unnest(times[cardinality(times):]) AS t WHERE t > clock_timestamp() - greatest(interval '2 minutes', 2 * late));
			END IF;
			FOREACH due IN ARRAY times LOOP
				task := appdb.enqueue(s.kind, CASE WHEN jsonb_typeof(s.payload) = 'object' THEN s.payload || jsonb_build_object('scheduled_for', due) ELSE s.payload END,
					s.queue, s.priority, NULL, s.max_attempts, NULL, s.space_id, s.user_id);
				n := n + 1;
			END LOOP;
		EXCEPTION WHEN transaction_rollback OR lock_not_available OR insufficient_resources OR system_error THEN
			-- it stays due
			problem := SQLERRM;
			next := s.next_run_at;
			task := NULL;
		WHEN OTHERS THEN
			-- one that cannot be done must not stop the others
			problem := SQLERRM;
			BEGIN
				next := appdb.cron_next(s.cron, clock_timestamp(), s.time_zone);
			EXCEPTION WHEN OTHERS THEN
				next := NULL;
			END;
			task := NULL;
		END;
		UPDATE app_data.schedules AS d SET next_run_at = next, last_error = problem,
			last_run_at = CASE WHEN task IS NULL THEN d.last_run_at ELSE due END, last_task_id = coalesce(task, d.last_task_id)
		WHERE d.id = s.id;
		due := NULL;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._run_schedules(integer) IS 'Internal: enqueues what schedules are due';
REVOKE EXECUTE ON FUNCTION appdb._run_schedules(integer) FROM PUBLIC;

-- == maintenance ============================================================

CREATE FUNCTION appdb._silent_tasks(batch integer)
	RETURNS uuid[]
	LANGUAGE c STRICT
	AS 'MODULE_PATHNAME', 'appdb_silent_tasks';
COMMENT ON FUNCTION appdb._silent_tasks(integer) IS 'Internal: tasks whose lease has ended';
REVOKE EXECUTE ON FUNCTION appdb._silent_tasks(integer) FROM PUBLIC;

-- Removes a batch of rows whose time is over, but for those that a foreign key of somebody else's keeps. Where that fails, they go one by one: what cannot go
-- does not keep the others. Returns how many went.
CREATE FUNCTION appdb._remove(entity regclass, time_column name, before timestamptz, condition text, batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	-- in the order of an index, if there is one: sorting all that is over for each batch would take long
	due text := format('SELECT c.id FROM %s AS c WHERE c.%I < $1 AND %s%s%s LIMIT $2 FOR UPDATE SKIP LOCKED', entity, time_column, condition,
		(SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM %s AS r WHERE %s)', r.child, r.condition), '') FROM appdb._references(entity) AS r WHERE r.keeps),
		(SELECT format(' ORDER BY c.%I', time_column) FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		 WHERE i.indrelid = entity AND a.attname = time_column AND i.indisvalid LIMIT 1));
	n bigint;
	id uuid;
	kept bigint := 0;
	problem text;
BEGIN
	BEGIN
		EXECUTE format('DELETE FROM %s AS t WHERE t.id = ANY (ARRAY(%s))', entity, due) USING before, batch;
		GET DIAGNOSTICS n = ROW_COUNT;
		RETURN n;
	EXCEPTION WHEN OTHERS THEN
		n := 0;
	END;
	FOR id IN EXECUTE due USING before, batch::bigint * 10 LOOP
		BEGIN
			EXECUTE format('DELETE FROM %s AS t WHERE t.id = $1', entity) USING id;
			n := n + 1;
			EXIT WHEN n >= batch;
		EXCEPTION WHEN OTHERS THEN
			kept := kept + 1;
			problem := SQLERRM;
		END;
	END LOOP;
	IF kept > 0 THEN
		RAISE WARNING USING
			MESSAGE = format('%s rows of "%s" whose time is over cannot be removed', kept, entity),
			DETAIL = format('The last of them: %s', problem);
	END IF;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb._remove(regclass, name, timestamptz, text, integer) IS 'Internal: removes rows whose time is over';
REVOKE EXECUTE ON FUNCTION appdb._remove(regclass, name, timestamptz, text, integer) FROM PUBLIC;

-- One batch of one of the things that maintenance does. Returns how many rows it changed: as many as "batch" or more means that there may be more.
CREATE FUNCTION appdb.__maintain(step text, batch integer)
	RETURNS bigint
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	AS $$
#variable_conflict use_variable
DECLARE
	n bigint := 0;
	task record;
BEGIN
	PERFORM appdb._defer_nothing();
	CASE step
	WHEN 'schedules' THEN
		RETURN appdb._run_schedules(batch);
	WHEN 'leases' THEN
		-- what expired before it was begun; for the rest all that waits is walked along, so not for each batch of these
		n := appdb._bury(ARRAY(
			SELECT t.id FROM app_data.tasks AS t
			WHERE t.expires_at < clock_timestamp() AND t.expires_at IS NOT NULL AND t.finished_at IS NULL AND t.status = 'pending' AND t.deleted_at IS NULL
			ORDER BY t.expires_at LIMIT batch));
		IF n >= batch THEN
			RETURN n;
		END IF;
		-- what silent workers had
		n := n + appdb._bury(appdb._silent_tasks(batch));
		IF n >= batch THEN
			RETURN n;
		END IF;
		n := n + appdb._unpark_forgotten(batch);
		-- what waits for tasks that are gone, or were given another status by hand
		FOR task IN
			SELECT t.id, t.queue, coalesce(cardinality(t.depends_on), 0) = (SELECT count(*) FROM app_data.tasks AS p WHERE p.id = ANY (t.depends_on) AND p.status = 'completed') AS done
			FROM app_data.tasks AS t
			WHERE t.waits_for > 0 AND t.finished_at IS NULL AND t.deleted_at IS NULL
				AND (SELECT count(*) FROM app_data.tasks AS p WHERE p.id = ANY (t.depends_on) AND p.deleted_at IS NULL AND p.finished_at IS NULL) = 0
			ORDER BY t.id LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
		LOOP
			UPDATE app_data.tasks AS t SET waits_for = 0, queued = task.done AND t.run_at <= clock_timestamp() WHERE t.id = task.id;
			IF task.done THEN
				PERFORM appdb._wake(task.queue);
			ELSE
				PERFORM appdb._task_end(task.id, 'canceled', NULL, 'a task on which it depends is gone');
			END IF;
			n := n + 1;
		END LOOP;
	WHEN 'tasks' THEN
		-- loads the library, whose setting it is
		PERFORM appdb.version();
		RETURN appdb._remove('app_data.tasks', 'finished_at', clock_timestamp() - current_setting('appdb.task_retention')::interval, 'true', batch);
	WHEN 'sessions' THEN
		RETURN appdb._remove('app_data.sessions', 'expires_at', clock_timestamp() - interval '1 day', 'true', batch);
	WHEN 'verifications' THEN
		RETURN appdb._remove('app_data.verifications', 'expires_at', clock_timestamp() - interval '1 day', 'true', batch);
	WHEN 'invitations' THEN
		-- softly: they can be restored, and are purged later
		RETURN appdb._remove('appdb.invitations', 'expires_at', clock_timestamp() - interval '30 days', 'c.status = ''pending''', batch);
	END CASE;
	RETURN n;
END
$$;
COMMENT ON FUNCTION appdb.__maintain(text, integer) IS 'Internal: the work of appdb._maintain()';
CREATE FUNCTION appdb._maintain(step text, batch integer)
	RETURNS bigint
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._maintain(text, integer) IS 'Internal: one batch of appdb.maintain()';
REVOKE EXECUTE ON FUNCTION appdb._maintain(text, integer) FROM PUBLIC;

-- No SET clause: a procedure that commits cannot have one.
CREATE PROCEDURE appdb.maintain(batch pg_catalog.int4 DEFAULT 1000, purge pg_catalog.bool DEFAULT true)
	LANGUAGE plpgsql
	AS $$
DECLARE
	step pg_catalog.text;
	n pg_catalog.int8;
BEGIN
	IF batch IS NULL OR batch OPERATOR(pg_catalog.<) 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'batch must be at least 1',
			HINT = 'It is the number of rows that one transaction changes.';
	END IF;
	PERFORM appdb._check_toplevel('appdb.maintain()'::pg_catalog.text);
	PERFORM appdb._see_all_rows();
	FOREACH step IN ARRAY ARRAY['schedules', 'leases', 'tasks', 'sessions', 'verifications', 'invitations'] LOOP
		LOOP
			n := appdb._maintain(step, batch);
			COMMIT;
			EXIT WHEN n OPERATOR(pg_catalog.<) batch;
		END LOOP;
	END LOOP;
	IF purge THEN
		CALL appdb.purge(batch => batch);
	END IF;
END
$$;
COMMENT ON PROCEDURE appdb.maintain(pg_catalog.int4, pg_catalog.bool) IS
'Does what has to be done now and then, as the background worker does by itself: enqueues what schedules are due, takes tasks back from silent workers, removes tasks that finished longer ago than the setting appdb.task_retention,
sessions and verifications that expired a day ago, invitations that expired 30 days ago, and (purge) deleted rows past the setting appdb.retention. Commits after each batch. CALL it every minute, outside of a transaction block, as the owner of the tables.';
REVOKE EXECUTE ON PROCEDURE appdb.maintain(pg_catalog.int4, pg_catalog.bool) FROM PUBLIC;
