--
-- What a session keeps does not grow with how long it lives
--
SET client_min_messages = warning;
CREATE SCHEMA memory;

-- what contexts of this name hold
CREATE FUNCTION memory.used(context text) RETURNS numeric LANGUAGE sql AS
'SELECT COALESCE(sum(used_bytes), 0) FROM pg_backend_memory_contexts WHERE name = $1';

-- a worker that looks again and again, and whose locks are let go of, as by DISCARD ALL
SELECT appdb.idle(ARRAY['memory']) > '0';
SELECT pg_advisory_unlock_all();
SELECT memory.used('TopMemoryContext') AS before \gset
DO $$
BEGIN
  FOR i IN 1..3000 LOOP
    PERFORM appdb.idle(ARRAY['memory']);
    PERFORM pg_advisory_unlock_all();
  END LOOP;
END
$$;
SELECT memory.used('TopMemoryContext') - :before < 50000 AS bounded;

-- and is woken nevertheless
SELECT appdb.idle(ARRAY['memory']) > '0';
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_unlock_all();

-- tables that are made, used and dropped
CREATE FUNCTION memory.use_tables(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  columns text := '(id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), created_at timestamptz(3) NOT NULL DEFAULT now(),'
    'updated_at timestamptz(3) NOT NULL DEFAULT now(), deleted_at timestamptz)';
  name text;
BEGIN
  EXECUTE 'CREATE TABLE memory.p' || n || columns;
  EXECUTE 'CREATE TABLE memory.c' || n || columns;
  EXECUTE format('ALTER TABLE memory.c%s ADD p_id uuid REFERENCES memory.p%s', n, n);
  EXECUTE format('CREATE TRIGGER zz_appdb_guard BEFORE INSERT ON memory.c%s FOR EACH ROW EXECUTE FUNCTION appdb.guard()', n);
  FOREACH name IN ARRAY ARRAY['p', 'c'] LOOP
    name := name || n;
    EXECUTE format('CREATE TRIGGER zz_appdb_timestamps BEFORE UPDATE ON memory.%I FOR EACH ROW EXECUTE FUNCTION appdb.timestamps()', name);
    EXECUTE format('CREATE TRIGGER appdb_cascade_begin BEFORE UPDATE OF deleted_at ON memory.%I FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()', name);
    EXECUTE format('CREATE TRIGGER appdb_cascade_end AFTER UPDATE OF deleted_at ON memory.%I FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()', name);
  END LOOP;
  EXECUTE format('INSERT INTO memory.p%s DEFAULT VALUES', n);
  EXECUTE format('INSERT INTO memory.c%s (p_id) SELECT id FROM memory.p%s', n, n);
END
$$;
CREATE TABLE memory.cascaded (n int, rows bigint);
DO $$
DECLARE
  rows bigint;
BEGIN
  FOR i IN 1..150 LOOP
    PERFORM memory.use_tables(i);
    EXECUTE format('UPDATE memory.p%s SET deleted_at = now()', i);
    EXECUTE format('SELECT count(*) FROM memory.c%s WHERE deleted_at IS NOT NULL', i) INTO rows;
    INSERT INTO memory.cascaded VALUES (i, rows);
    EXECUTE format('DROP TABLE memory.c%s, memory.p%s', i, i);
    COMMIT;
  END LOOP;
END
$$;
SELECT rows, count(*) FROM memory.cascaded GROUP BY rows;
SELECT count(*) BETWEEN 1 AND 80 AS bounded FROM pg_backend_memory_contexts WHERE name = 'appdb links';

-- rows that were deleted one by one and are restored together
CREATE TABLE memory.rows (id uuid PRIMARY KEY, n int, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL,
  deleted_at timestamptz);
SELECT appdb.manage('memory.rows', view => 'memory_rows');
INSERT INTO appdb.memory_rows (n) SELECT generate_series(1, 1000);
DO $$
BEGIN
  FOR i IN 1..1000 LOOP
    DELETE FROM appdb.memory_rows WHERE n = i;
  END LOOP;
END
$$;
CREATE TABLE memory.seen (bytes numeric);
CREATE FUNCTION memory.look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO memory.seen SELECT sum(total_bytes) FROM pg_backend_memory_contexts;
  RETURN NULL;
END
$$;
CREATE TRIGGER look AFTER UPDATE ON memory.rows FOR EACH ROW WHEN (NEW.n % 100 = 0) EXECUTE FUNCTION memory.look();
SELECT rows FROM appdb.restore('memory.rows', (SELECT array_agg(id) FROM memory.rows));
SELECT count(*), max(bytes) - min(bytes) < 4000000 AS bounded FROM memory.seen;

-- parents that are deleted one by one, and whose children are looked for by an operator that keeps something
CREATE FUNCTION memory.eq(text, text) RETURNS bool LANGUAGE sql IMMUTABLE STRICT SET work_mem = '4MB' AS 'SELECT $1 = $2';
CREATE OPERATOR memory.=== (LEFTARG = text, RIGHTARG = text, PROCEDURE = memory.eq, COMMUTATOR = OPERATOR(memory.===));
CREATE OPERATOR CLASS memory.text_ops FOR TYPE text USING btree AS
  OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 memory.===, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 bttextcmp(text, text);
CREATE TABLE memory.parents (LIKE memory.rows, name text NOT NULL, PRIMARY KEY (id));
CREATE UNIQUE INDEX ON memory.parents (id, name memory.text_ops);
CREATE TABLE memory.children (LIKE memory.rows, parent_id uuid NOT NULL, name text NOT NULL, PRIMARY KEY (id), FOREIGN KEY (parent_id, name) REFERENCES memory.parents (id, name));
CREATE INDEX ON memory.children (parent_id, name memory.text_ops);
SELECT appdb.manage('memory.parents', view => 'memory_parents') \gset
SELECT appdb.manage('memory.children', view => 'memory_children') \gset
INSERT INTO appdb.memory_parents (n, name) SELECT i, 'x' FROM generate_series(1, 500) i;
INSERT INTO appdb.memory_children (parent_id, name) SELECT id, name FROM appdb.memory_parents;
DELETE FROM appdb.memory_children;
SELECT sum(total_bytes) AS before FROM pg_backend_memory_contexts \gset
DO $$
BEGIN
  FOR i IN 1..500 LOOP
    DELETE FROM appdb.memory_parents WHERE n = i;
  END LOOP;
END
$$;
SELECT sum(total_bytes) - :before < 4000000 AS bounded FROM pg_backend_memory_contexts;

-- tasks that are taken from silent workers, while the claim that does lasts
SELECT cardinality(appdb.enqueue_many('memory', array_fill('{}'::jsonb, '{1000}'), 'memory'));
SELECT count(*) FROM appdb.claim('{memory}', 'silent', 1000);
UPDATE app_data.tasks SET locked_until = now() - interval '1 second' WHERE queue = 'memory';
SELECT count(*) AS before FROM pg_backend_memory_contexts \gset
SELECT (SELECT count(*) FROM pg_backend_memory_contexts) - :before < 500 AS bounded
FROM (SELECT appdb.claim('{memory}', 'w', 1000) OFFSET 0) c LIMIT 1;
DELETE FROM app_data.tasks WHERE queue = 'memory';

-- tasks of groups without a place, by turns, over which a claim steps
BEGIN;
INSERT INTO appdb.tasks (kind, queue, group_key, run_at)
  SELECT 'memory', 'memory', repeat('x', 900) || i % 2, now() - interval '1 hour' + i * interval '1 millisecond' FROM generate_series(1, 4000) AS i;
SELECT count(*) FROM appdb.claim('{memory}', 'w', 2);
SELECT appdb.enqueue('memory', '{}', 'memory') IS NOT NULL;
SELECT memory.used('ExprContext') < 1500000 AS bounded FROM (SELECT appdb.claim('{memory}', 'w', 1) OFFSET 0) c LIMIT 1;
ROLLBACK;

-- chats of messages that are asked for one by one, as policies do
BEGIN;
INSERT INTO appdb.users (id, email) VALUES ('3e000000-0000-4000-8000-000000000001', 'ann@memory.example');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('3e000000-0000-4000-8000-000000000002', '3e000000-0000-4000-8000-000000000001', 'memory');
INSERT INTO appdb.chats (id, space_id) VALUES ('3e000000-0000-4000-8000-000000000003', '3e000000-0000-4000-8000-000000000002');
INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT space_id, id, 'user', 'x' FROM appdb.chats, generate_series(1, 50000)
  WHERE id = '3e000000-0000-4000-8000-000000000003';
SELECT appdb.impersonate('3e000000-0000-4000-8000-000000000001') \gset
SELECT count(*) FILTER (WHERE r.readable), max(memory.used('appdb chats')) FILTER (WHERE r.n % 5000 = 0) < 4000000 AS bounded
FROM (SELECT row_number() OVER () AS n, appdb.can_read_message(m.space_id, m.id) AS readable
  FROM app_data.messages m WHERE m.chat_id = '3e000000-0000-4000-8000-000000000003' OFFSET 0) r;
ROLLBACK;
-- plans of other tests shall not know
SET appdb.allow_drop = on;
TRUNCATE app_data.messages CASCADE;

SET client_min_messages = error;
-- what is known of a user who is asking, while members come all the time
BEGIN;
INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-00000000fe01', 'Owner'), ('00000000-0000-4000-8000-00000000fe02', 'Member');
INSERT INTO appdb.spaces (id, owner_id, name) SELECT ('00000000-0000-4000-8000-0000000' || 10000 + i)::uuid, '00000000-0000-4000-8000-00000000fe01', 'Space' FROM generate_series(1, 20) AS i;
SELECT appdb.impersonate('00000000-0000-4000-8000-00000000fe01') IS NOT NULL;
DO $$
BEGIN
  FOR i IN 1..20 LOOP
    INSERT INTO appdb.space_members (space_id, user_id, role)
    VALUES (('00000000-0000-4000-8000-0000000' || 10000 + i)::uuid, '00000000-0000-4000-8000-00000000fe02', 'viewer');
    PERFORM appdb.is_member(('00000000-0000-4000-8000-0000000' || 10000 + i)::uuid);
  END LOOP;
END
$$;
SELECT count(*) < 3 AS bounded FROM pg_backend_memory_contexts WHERE name = 'appdb memberships';
ROLLBACK;

DROP SCHEMA memory CASCADE;
