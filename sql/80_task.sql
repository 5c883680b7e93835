-- task: work to be done in the background, and what became of it.

CREATE TYPE app_data.task_status AS ENUM ('pending', 'running', 'completed', 'canceled', 'dead');
COMMENT ON TYPE app_data.task_status IS
	'Where a task stands: waiting (for its time, or to be tried again), being done, done, called off, or given up after its last attempt.';

-- A task is updated a few times (begun, progress, done): room in the pages keeps the updates that change no indexed column HOT, progress
-- and heartbeats above all. Few tasks belong to a space or user in most applications, so those indexes leave out the nulls.
CREATE TABLE app_data.tasks
(
	id               uuid PRIMARY KEY,
	kind             text NOT NULL,
	queue            text NOT NULL DEFAULT 'default',
	payload          jsonb NOT NULL DEFAULT '{}',
	status           app_data.task_status NOT NULL DEFAULT 'pending',
	priority         integer NOT NULL DEFAULT 0,
	run_at           timestamptz(3) NOT NULL DEFAULT now(),
	attempts         integer NOT NULL DEFAULT 0,
	max_attempts     integer NOT NULL DEFAULT 20,
	progress         real NOT NULL DEFAULT 0,
	progress_message text,
	result           jsonb,
	last_error       text,
	locked_by        text,
	locked_until     timestamptz(3),
	finished_at      timestamptz(3),
	dedupe_key       text,
	space_id         uuid,
	user_id          uuid,
	created_at       timestamptz(3) NOT NULL,
	updated_at       timestamptz(3) NOT NULL,
	deleted_at       timestamptz,
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
	CONSTRAINT tasks_dedupe_key_check CHECK (octet_length(dedupe_key) BETWEEN 1 AND 1000)
) WITH (fillfactor = 80);

CREATE INDEX tasks_ready_idx
	ON app_data.tasks (queue, priority DESC, run_at, id) WHERE status = 'pending';
COMMENT ON INDEX app_data.tasks_ready_idx IS
	'What waits, in the order in which it is begun; finished tasks are not in it.';
CREATE UNIQUE INDEX tasks_dedupe_key_key
	ON app_data.tasks (space_id, kind, dedupe_key) NULLS NOT DISTINCT WHERE dedupe_key IS NOT NULL AND status IN ('pending', 'running') AND deleted_at IS NULL;
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
