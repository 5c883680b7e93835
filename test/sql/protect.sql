-- what holds data is not dropped or truncated by accident
\set SHOW_CONTEXT never
\set VERBOSITY default
SET client_min_messages = warning;

CREATE SCHEMA regress_mine;
CREATE TABLE regress_mine.things
(
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	deleted_at timestamptz
);
SELECT appdb.manage('regress_mine.things');

DROP EXTENSION appdb;
DROP EXTENSION appdb CASCADE;
DROP SCHEMA appdb CASCADE;
DROP SCHEMA app_data CASCADE;
DROP SCHEMA IF EXISTS regress_nowhere, app_data CASCADE;
DROP TABLE app_data.users CASCADE;
DROP TABLE app_data.managed;
DROP TABLE app_data.deletions;
DROP TYPE app_data.space_role CASCADE;
SET search_path = app_data;
DROP TYPE space_role CASCADE;
RESET search_path;
TRUNCATE app_data.message_files;
TRUNCATE app_data.chats, app_data.messages CASCADE;

-- tables of one's own, in a schema of one's own
DROP TABLE regress_mine.things;
DROP SCHEMA regress_mine CASCADE;
TRUNCATE regress_mine.things;
-- nor their primary keys: what is restored over them would be there twice
ALTER TABLE regress_mine.things ADD CONSTRAINT any_value CHECK (true), DROP CONSTRAINT things_pkey;
ALTER TABLE regress_mine.things ADD CONSTRAINT any_value CHECK (true);
ALTER TABLE regress_mine.things DROP CONSTRAINT any_value;
ALTER TABLE regress_mine.things DROP CONSTRAINT things_pkey, ADD CONSTRAINT other_key PRIMARY KEY (id);
ALTER TABLE app_data.managed DROP CONSTRAINT managed_pkey;
ALTER TABLE app_data.schema_version ADD CONSTRAINT any_value CHECK (true);
ALTER TABLE app_data.schema_version DROP CONSTRAINT any_value;
-- nor what tells deleted rows from live ones
ALTER TABLE regress_mine.things RENAME COLUMN deleted_at TO gone_at;
ALTER TABLE regress_mine.things DROP COLUMN deleted_at CASCADE;
ALTER TABLE regress_mine.things DROP COLUMN deleted_at CASCADE, ADD COLUMN deleted_at timestamptz;
ALTER TABLE regress_mine.things DROP COLUMN IF EXISTS deleted_at_all CASCADE;
ALTER TABLE app_data.sessions DROP COLUMN IF EXISTS deleted_at CASCADE;

-- nor partitions of them, wherever they are
CREATE TABLE regress_mine.parted
(
	id uuid PRIMARY KEY,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	deleted_at timestamptz
) PARTITION BY RANGE (id);
CREATE SCHEMA regress_parts;
CREATE TABLE regress_parts.outer_part PARTITION OF regress_mine.parted DEFAULT PARTITION BY HASH (id);
CREATE TABLE regress_parts.part PARTITION OF regress_parts.outer_part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT appdb.manage('regress_mine.parted');
DROP TABLE regress_parts.part;
DROP TABLE regress_parts.outer_part;
DROP SCHEMA regress_parts CASCADE;
ALTER TABLE regress_parts.outer_part DETACH PARTITION regress_parts.part;
DROP TABLE regress_parts.part;
SELECT appdb.unmanage('regress_mine.parted');
DROP SCHEMA regress_parts CASCADE;

-- what is not protected
DROP TABLE IF EXISTS app_data.nowhere;
DROP SCHEMA IF EXISTS regress_nowhere CASCADE;
DROP EXTENSION IF EXISTS nowhere CASCADE;
CREATE SCHEMA regress_other;
CREATE TABLE regress_other.things (a int);
DROP SCHEMA regress_other CASCADE;

-- the way out, for a transaction
BEGIN;
SET LOCAL appdb.allow_drop = on;
TRUNCATE regress_mine.things;
DROP SCHEMA regress_mine CASCADE;
SELECT count(*) FROM appdb.managed WHERE name = 'things';
ROLLBACK;
DROP SCHEMA regress_mine CASCADE;
SET appdb.allow_drop = on;
DROP SCHEMA regress_mine CASCADE;
SELECT count(*) FROM appdb.managed WHERE name = 'things';
RESET appdb.allow_drop;

-- what the engine keeps is protected too
RESET appdb.allow_drop;
TRUNCATE app_data.deletions;
TRUNCATE app_data.managed;
SELECT appdb.unmanage('app_data.notes');
SELECT appdb.unmanage('app_data.deletions');

-- who drops what was never managed keeps nobody waiting who manages tables
BEGIN;
CREATE TEMP TABLE mine (a int);
DROP TABLE mine;
SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'app_data.managed'::regclass AND mode <> 'AccessShareLock';
ROLLBACK;
