-- task: work to be done in the background, and what became of it.

CREATE TYPE app_data.task_status AS ENUM ('pending', 'running', 'completed', 'canceled', 'dead');
COMMENT ON TYPE app_data.task_status IS
	'Where a task stands: waiting (for its time, or to be tried again), being done, done, called off, or given up after its last attempt.';

-- A task is written three times: when it is enqueued, claimed and finished. What changes when it is claimed (status, ticket, attempts, locked_by,
-- locked_until), and on progress and heartbeats, stands in no index, nor in the predicate of one, so that these updates are HOT: they add to no index,
-- and leave little behind. The room in the pages is for them. Hence column "queued", which claiming leaves alone, and not the status, says what is in the
-- index of ready tasks. Only tasks of a group write to an index then (group_slot). Few tasks belong to a space, a user or a group in most applications:
-- those indexes leave out the nulls. What changes comes last in a row, since what is the same before and after it is not written to the log again; what
-- indexes hold and is of fixed length comes first, where it is found at once.
CREATE TABLE app_data.tasks
(
	id               uuid PRIMARY KEY WITH (fillfactor = 50),
	run_at           timestamptz(3) NOT NULL DEFAULT date_trunc('milliseconds', now()),
	priority         integer NOT NULL DEFAULT 0,
	max_attempts     integer NOT NULL DEFAULT 20,
	kind             text NOT NULL,
	queue            text NOT NULL DEFAULT 'default',
	payload          jsonb NOT NULL DEFAULT '{}',
	space_id         uuid,
	user_id          uuid,
	dedupe_key       text,
	backoff          interval,
	expires_at       timestamptz(3),
	group_key        text,
	group_limit      integer,
	depends_on       uuid[],
	waits_for        integer NOT NULL DEFAULT 0,
	status           app_data.task_status NOT NULL DEFAULT 'pending',
	attempts         integer NOT NULL DEFAULT 0,
	ticket           integer NOT NULL DEFAULT 0,
	progress         real NOT NULL DEFAULT 0,
	queued           boolean NOT NULL DEFAULT true,
	parked           boolean NOT NULL DEFAULT false,
	has_dependents   boolean NOT NULL DEFAULT false,
	cancel_requested boolean NOT NULL DEFAULT false,
	group_slot       integer,
	locked_until     timestamptz(3),
	finished_at      timestamptz(3),
	locked_by        text,
	progress_message text,
	result           jsonb,
	last_error       text,
	errors           jsonb,
	created_at       timestamptz(3) NOT NULL,
	updated_at       timestamptz(3) NOT NULL,
	deleted_at       timestamptz,
	waited_for       integer,
	CONSTRAINT tasks_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT tasks_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT tasks_kind_check CHECK (octet_length(kind) BETWEEN 1 AND 255),
	CONSTRAINT tasks_queue_check CHECK (octet_length(queue) BETWEEN 1 AND 255),
	CONSTRAINT tasks_attempts_check CHECK (attempts >= 0),
	CONSTRAINT tasks_max_attempts_check CHECK (max_attempts >= 1),
	CONSTRAINT tasks_progress_check CHECK (progress BETWEEN 0 AND 1),
	CONSTRAINT tasks_progress_message_check CHECK (char_length(progress_message) <= 1000),
	CONSTRAINT tasks_last_error_check CHECK (char_length(last_error) <= 100000),
	CONSTRAINT tasks_locked_by_check CHECK (char_length(locked_by) BETWEEN 1 AND 255),
	CONSTRAINT tasks_dedupe_key_check CHECK (octet_length(dedupe_key) BETWEEN 1 AND 1000),
	CONSTRAINT tasks_backoff_check CHECK (backoff >= '0'),
	CONSTRAINT tasks_group_key_check CHECK (octet_length(group_key) BETWEEN 1 AND 1000),
	CONSTRAINT tasks_group_limit_check CHECK (group_limit >= 1),
	CONSTRAINT tasks_waits_for_check CHECK (waits_for >= 0)
) WITH (fillfactor = 45);

CREATE INDEX tasks_ready_idx
	ON app_data.tasks (queue, priority DESC, space_id, run_at, id) WITH (deduplicate_items = off) WHERE queued;
COMMENT ON INDEX app_data.tasks_ready_idx IS
	'What is ready or being done, in the order in which it is begun, space by space; neither finished tasks nor those for later, or parked, are in it.';
CREATE INDEX tasks_later_idx
	ON app_data.tasks (queue, run_at) WHERE NOT queued AND NOT parked AND finished_at IS NULL AND waits_for = 0;
COMMENT ON INDEX app_data.tasks_later_idx IS
	'What waits for its time.';
CREATE INDEX tasks_expires_at_idx
	ON app_data.tasks (expires_at) WHERE expires_at IS NOT NULL AND finished_at IS NULL;
COMMENT ON INDEX app_data.tasks_expires_at_idx IS
	'What is not worth beginning after some time, by that.';
CREATE INDEX tasks_depends_on_idx
	ON app_data.tasks USING gin (depends_on) WHERE waits_for > 0;
COMMENT ON INDEX app_data.tasks_depends_on_idx IS
	'What waits for other tasks, by those.';
CREATE INDEX tasks_finished_at_idx
	ON app_data.tasks (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON INDEX app_data.tasks_finished_at_idx IS
	'Finished tasks, for what is past its retention and for the throughput of the last hour.';
CREATE INDEX tasks_group_key_idx
	ON app_data.tasks (group_key, priority DESC, run_at, id) WHERE group_key IS NOT NULL AND finished_at IS NULL;
COMMENT ON INDEX app_data.tasks_group_key_idx IS
	'What each group has to do, in its order.';
CREATE INDEX tasks_parked_idx
	ON app_data.tasks (group_key, priority DESC, run_at, id) WHERE parked;
COMMENT ON INDEX app_data.tasks_parked_idx IS
	'What waits for a place in its group outside of the queue.';
CREATE UNIQUE INDEX tasks_group_slot_key
	ON app_data.tasks (group_key, group_slot) WHERE group_slot IS NOT NULL AND deleted_at IS NULL;
COMMENT ON INDEX app_data.tasks_group_slot_key IS
	'Unique among live rows: each running task of a group has one of its slots, so that there are never more than the limit.';
CREATE UNIQUE INDEX tasks_dedupe_key_key
	ON app_data.tasks (space_id, kind, dedupe_key) NULLS NOT DISTINCT WHERE dedupe_key IS NOT NULL AND finished_at IS NULL AND deleted_at IS NULL;
COMMENT ON INDEX app_data.tasks_dedupe_key_key IS
	'Unique among live rows: a task with this key waits or runs once in its space.';
CREATE INDEX tasks_space_id_idx
	ON app_data.tasks (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX tasks_user_id_idx
	ON app_data.tasks (user_id) WHERE user_id IS NOT NULL;

COMMENT ON TABLE app_data.tasks IS
	'Work to be done in the background. appdb.enqueue() adds to it.';
COMMENT ON COLUMN app_data.tasks.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.tasks.kind IS
	'What is to be done: the application''s name for it.';
COMMENT ON COLUMN app_data.tasks.queue IS
	'The queue that it waits in; workers choose theirs.';
COMMENT ON COLUMN app_data.tasks.payload IS
	'What it is to be done with.';
COMMENT ON COLUMN app_data.tasks.status IS
	'Where it stands.';
COMMENT ON COLUMN app_data.tasks.priority IS
	'Higher goes first.';
COMMENT ON COLUMN app_data.tasks.run_at IS
	'When it may begin.';
COMMENT ON COLUMN app_data.tasks.attempts IS
	'How often it was begun.';
COMMENT ON COLUMN app_data.tasks.max_attempts IS
	'How often it may be begun before it is given up.';
COMMENT ON COLUMN app_data.tasks.progress IS
	'How far it has come, from 0 to 1.';
COMMENT ON COLUMN app_data.tasks.progress_message IS
	'What it is doing, for people to see.';
COMMENT ON COLUMN app_data.tasks.result IS
	'What came of it.';
COMMENT ON COLUMN app_data.tasks.last_error IS
	'Why the last attempt failed.';
COMMENT ON COLUMN app_data.tasks.locked_by IS
	'The worker that is doing it.';
COMMENT ON COLUMN app_data.tasks.locked_until IS
	'Until when that worker has it; afterwards another may.';
COMMENT ON COLUMN app_data.tasks.queued IS
	'Whether it is in the queue: ready or being done. False while it waits for its time or for other tasks, while it is parked, and when it is finished.';
COMMENT ON COLUMN app_data.tasks.parked IS
	'Whether it was taken out of the queue because its group has no place; it comes back when one is free.';
COMMENT ON COLUMN app_data.tasks.ticket IS
	'The number of its lease: grows with each claim. A worker shows it to say that the task is still its own.';
COMMENT ON COLUMN app_data.tasks.backoff IS
	'How long it waits after the first failure; twice as long after each further one, up to a day. Null: 10 seconds.';
COMMENT ON COLUMN app_data.tasks.expires_at IS
	'When it is no longer worth beginning: it is canceled instead.';
COMMENT ON COLUMN app_data.tasks.group_key IS
	'Tasks with the same key run no more than group_limit at a time, and begin in their order.';
COMMENT ON COLUMN app_data.tasks.group_limit IS
	'How many tasks of its group may run at a time. Null: one.';
COMMENT ON COLUMN app_data.tasks.group_slot IS
	'Which of the group''s places it takes while it runs, and between its attempts where the group has but one.';
COMMENT ON COLUMN app_data.tasks.depends_on IS
	'The tasks that have to be completed before it begins.';
COMMENT ON COLUMN app_data.tasks.waits_for IS
	'How many of those are not completed yet; of many, less what waited_for counts.';
COMMENT ON COLUMN app_data.tasks.waited_for IS
	'How many of waits_for have been completed since that was written, which is done once where there are many; null if none.';
COMMENT ON COLUMN app_data.tasks.has_dependents IS
	'Whether other tasks may wait for it.';
COMMENT ON COLUMN app_data.tasks.cancel_requested IS
	'Whether it was called off while it ran: its worker is told at the next heartbeat, and it is not tried again.';
COMMENT ON COLUMN app_data.tasks.errors IS
	'What went wrong in each attempt, oldest first: an array of objects with "at", "attempt", "worker" and "error"; the last hundred.';
COMMENT ON COLUMN app_data.tasks.finished_at IS
	'When it was completed, canceled or given up.';
COMMENT ON COLUMN app_data.tasks.dedupe_key IS
	'Unique among live tasks of the same space and kind that are not finished.';
COMMENT ON COLUMN app_data.tasks.space_id IS
	'The space that it is done for; null for the application''s own.';
COMMENT ON COLUMN app_data.tasks.user_id IS
	'The user that it is done for; null for nobody in particular, and where that user is gone.';
COMMENT ON COLUMN app_data.tasks.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.tasks.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.tasks.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.tasks', label => 'kind');

-- == schedules ==============================================================

CREATE TYPE app_data.missed_runs AS ENUM ('skip', 'once', 'all');
COMMENT ON TYPE app_data.missed_runs IS
	'What is done about times that passed while nobody looked: nothing, one task for all of them, or a task for each.';

CREATE TABLE app_data.schedules
(
	id           uuid PRIMARY KEY,
	name         text NOT NULL,
	cron         text NOT NULL,
	time_zone    text NOT NULL DEFAULT 'UTC',
	kind         text NOT NULL,
	payload      jsonb NOT NULL DEFAULT '{}',
	queue        text NOT NULL DEFAULT 'default',
	priority     integer NOT NULL DEFAULT 0,
	max_attempts integer NOT NULL DEFAULT 20,
	missed       app_data.missed_runs NOT NULL DEFAULT 'once',
	paused       boolean NOT NULL DEFAULT false,
	space_id     uuid,
	user_id      uuid,
	next_run_at  timestamptz(3),
	last_run_at  timestamptz(3),
	last_task_id uuid,
	last_error   text,
	created_at   timestamptz(3) NOT NULL,
	updated_at   timestamptz(3) NOT NULL,
	deleted_at   timestamptz,
	CONSTRAINT schedules_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT schedules_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT schedules_name_check CHECK (octet_length(name) BETWEEN 1 AND 255),
	CONSTRAINT schedules_cron_check CHECK (octet_length(cron) BETWEEN 1 AND 255),
	CONSTRAINT schedules_time_zone_check CHECK (octet_length(time_zone) BETWEEN 1 AND 255),
	CONSTRAINT schedules_kind_check CHECK (octet_length(kind) BETWEEN 1 AND 255),
	CONSTRAINT schedules_queue_check CHECK (octet_length(queue) BETWEEN 1 AND 255),
	CONSTRAINT schedules_max_attempts_check CHECK (max_attempts >= 1),
	CONSTRAINT schedules_last_error_check CHECK (char_length(last_error) <= 100000)
);

CREATE UNIQUE INDEX schedules_name_key
	ON app_data.schedules (name) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.schedules_name_key IS
	'Unique among live rows.';
CREATE INDEX schedules_next_run_at_idx
	ON app_data.schedules (next_run_at) WHERE NOT paused;
COMMENT ON INDEX app_data.schedules_next_run_at_idx IS
	'What is due next.';
CREATE INDEX schedules_space_id_idx
	ON app_data.schedules (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX schedules_user_id_idx
	ON app_data.schedules (user_id) WHERE user_id IS NOT NULL;

COMMENT ON TABLE app_data.schedules IS
	'Tasks that are to be enqueued again and again. appdb.schedule() adds to it.';
COMMENT ON COLUMN app_data.schedules.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.schedules.name IS
	'What it is called; unique among live schedules.';
COMMENT ON COLUMN app_data.schedules.cron IS
	'When, as cron says it: minute, hour, day of the month, month, day of the week; or @hourly, @daily, @weekly, @monthly, @yearly.';
COMMENT ON COLUMN app_data.schedules.time_zone IS
	'The time zone in which cron is read.';
COMMENT ON COLUMN app_data.schedules.kind IS
	'The kind of the tasks.';
COMMENT ON COLUMN app_data.schedules.payload IS
	'Their payload; "scheduled_for" is added to it where it is an object.';
COMMENT ON COLUMN app_data.schedules.queue IS
	'Their queue.';
COMMENT ON COLUMN app_data.schedules.priority IS
	'Their priority.';
COMMENT ON COLUMN app_data.schedules.max_attempts IS
	'How often each may be begun.';
COMMENT ON COLUMN app_data.schedules.missed IS
	'What is done about times that passed while nobody looked.';
COMMENT ON COLUMN app_data.schedules.paused IS
	'Whether it rests.';
COMMENT ON COLUMN app_data.schedules.space_id IS
	'The space of the tasks; null for the application''s own.';
COMMENT ON COLUMN app_data.schedules.user_id IS
	'The user of the tasks; null for nobody in particular, and where that user is gone.';
COMMENT ON COLUMN app_data.schedules.next_run_at IS
	'When the next task is due; null if never again.';
COMMENT ON COLUMN app_data.schedules.last_run_at IS
	'The time of the last task that was enqueued: when it was due.';
COMMENT ON COLUMN app_data.schedules.last_task_id IS
	'That task.';
COMMENT ON COLUMN app_data.schedules.last_error IS
	'Why the last task could not be enqueued; null if it could.';
COMMENT ON COLUMN app_data.schedules.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.schedules.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.schedules.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.schedules', label => 'name');
