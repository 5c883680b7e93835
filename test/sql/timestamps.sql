--
-- timestamps.c: id and created_at stay, updated_at moves when the row changes
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
CREATE SCHEMA stamp;
SET search_path = stamp, pg_catalog;

CREATE TABLE item (
  id uuid PRIMARY KEY DEFAULT appdb.uuidv7(),
  name text,
  n int,
  body text,
  flag boolean,
  price numeric,
  tags text[],
  created_at timestamptz(3) NOT NULL DEFAULT now(),
  updated_at timestamptz(3) NOT NULL DEFAULT now(),
  deleted_at timestamptz
);
CREATE TRIGGER item_timestamps BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();

-- an INSERT may give all of them
INSERT INTO item (id, name, n, created_at, updated_at)
VALUES ('01890000-0000-7000-8000-000000000001', 'a', 1, '2020-01-01', '2020-01-02');

-- Whether updated_at of every row moves to the time of the transaction, as
-- the column rounds it, or stays as it was in 2020.  Anything else is shown.
CREATE FUNCTION moved(r text DEFAULT 'item') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  EXECUTE format('SELECT string_agg(CASE WHEN updated_at = now()::timestamptz(3) THEN ''moved''
                                         WHEN updated_at = ''2020-01-02'' THEN ''stays''
                                         ELSE updated_at::text END, '', '' ORDER BY id) FROM %s', r) INTO result;
  RETURN result;
END $$;
-- Run an UPDATE, say what became of updated_at, and take it back.
CREATE FUNCTION try(sql text, r text DEFAULT 'item') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  result text;
BEGIN
  BEGIN
    EXECUTE sql;
    result := stamp.moved(r);
    RAISE EXCEPTION USING ERRCODE = 'ZZ000';
  EXCEPTION WHEN SQLSTATE 'ZZ000' THEN
    RETURN result;
  END;
END $$;

-- a change of each type of column, to and from NULL
SELECT sql, try('UPDATE item SET ' || sql)
  FROM unnest(ARRAY[
    $$name = 'b'$$, $$name = ''$$, $$name = NULL$$, $$name = 'a'$$, $$name = name$$, $$name = lower('A')$$,
    $$n = 2$$, $$n = NULL$$, $$n = 1$$,
    $$body = ''$$, $$body = NULL$$, $$body = repeat('x', 100)$$, $$body = repeat('x', 100000)$$,
    $$flag = true$$, $$flag = NULL$$, $$price = 1.0$$, $$tags = '{}'$$,
    $$deleted_at = now()$$, $$deleted_at = NULL$$,
    $$name = NULL, n = NULL$$, $$name = 'a', n = 1$$, $$name = 'a', n = 2$$
  ]) WITH ORDINALITY AS x(sql, i) ORDER BY i;

-- what the UPDATE says of updated_at does not count
SELECT sql, try('UPDATE item SET ' || sql)
  FROM unnest(ARRAY[
    $$updated_at = '2031-01-01'$$, $$updated_at = now()$$, $$updated_at = NULL$$, $$updated_at = DEFAULT$$,
    $$updated_at = '2031-01-01', name = 'b'$$, $$updated_at = NULL, name = 'b'$$,
    $$updated_at = 'infinity', name = 'a'$$, $$updated_at = updated_at, body = 'b'$$
  ]) WITH ORDINALITY AS x(sql, i) ORDER BY i;

-- id and created_at cannot change, and may be named with the value they have
UPDATE item SET created_at = now();
UPDATE item SET id = appdb.uuidv7();
UPDATE item SET id = NULL;
UPDATE item SET created_at = NULL, name = 'b';
UPDATE item SET created_at = created_at + interval '1 millisecond', id = appdb.uuidv7();
DO $$
DECLARE
  state text; s text; t text; c text;
BEGIN
  UPDATE item SET created_at = 'infinity';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME;
  RAISE NOTICE '% %.% %', state, s, t, c;
END $$;
SELECT try('UPDATE item SET id = id, created_at = created_at');
SELECT try($$UPDATE item SET id = '01890000-0000-7000-8000-000000000001', created_at = '2020-01-01', name = 'b'$$);
INSERT INTO item (id, name) VALUES ('01890000-0000-7000-8000-000000000001', 'upserted')
  ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at;
SELECT try($$INSERT INTO item (id, name) VALUES ('01890000-0000-7000-8000-000000000001', 'upserted')
  ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated_at = excluded.updated_at$$);
SELECT try($$MERGE INTO item USING (VALUES ('a')) AS v(name) ON item.name = v.name WHEN MATCHED THEN UPDATE SET n = 5$$);
SELECT try($$MERGE INTO item USING (VALUES ('a')) AS v(name) ON item.name = v.name WHEN MATCHED THEN UPDATE SET n = 1$$);

-- what is stored is what RETURNING, checks, generated columns and later
-- triggers see
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '% %: updated_at %', TG_WHEN, TG_OP,
    CASE NEW.updated_at WHEN OLD.updated_at THEN 'stays' WHEN now()::timestamptz(3) THEN 'moved' ELSE NEW.updated_at::text END;
  RETURN NEW;
END $$;
CREATE TRIGGER see_before BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER zee_before BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION see();
CREATE TRIGGER see_after AFTER UPDATE ON item FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE item ADD CONSTRAINT sane CHECK (updated_at < '2030-01-01' OR n = 7);
BEGIN;
UPDATE item SET n = 2, updated_at = '2031-01-01' RETURNING updated_at = now()::timestamptz(3) AS moved;
UPDATE item SET n = 2, updated_at = '2031-01-01' RETURNING updated_at = now()::timestamptz(3) AS moved;
ROLLBACK;
ALTER TABLE item DROP CONSTRAINT sane;
-- also where the condition of a trigger has already read the new row, and an
-- index takes it from there
DROP TRIGGER item_timestamps ON item;
CREATE TRIGGER item_timestamps BEFORE UPDATE ON item FOR EACH ROW
  WHEN (NEW.deleted_at IS NULL AND NEW.updated_at IS NOT NULL) EXECUTE FUNCTION appdb.timestamps();
CREATE INDEX item_updated_at ON item (updated_at);
BEGIN;
UPDATE item SET n = 2, updated_at = '2031-01-01' RETURNING updated_at = now()::timestamptz(3) AS moved;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
EXPLAIN (COSTS OFF) SELECT n FROM item WHERE updated_at = now()::timestamptz(3);
SELECT n FROM item WHERE updated_at = now()::timestamptz(3);
SELECT n FROM item WHERE updated_at > now() + interval '1 day';
ROLLBACK;
DROP INDEX item_updated_at;
DROP TRIGGER item_timestamps ON item;
CREATE TRIGGER item_timestamps BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
-- a trigger that fires before ours and changes the row counts, one that puts
-- it back counts too
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.name = 'as it was' THEN
    RETURN OLD;
  ELSIF NEW.name = 'not at all' THEN
    RETURN NULL;
  END IF;
  NEW.body := 'meddled';
  RETURN NEW;
END $$;
DROP TRIGGER see_before ON item;
DROP TRIGGER zee_before ON item;
DROP TRIGGER see_after ON item;
CREATE TRIGGER a_meddle BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT try('UPDATE item SET n = n');
SELECT try($$UPDATE item SET name = 'as it was', updated_at = now()$$);
SELECT try($$UPDATE item SET name = 'not at all', updated_at = now()$$);
DROP TRIGGER a_meddle ON item;

-- values that are compressed or stored elsewhere: the same value is no change,
-- however it is stored, another one of the same length is
ALTER TABLE item ALTER body SET STORAGE EXTERNAL;
UPDATE item SET body = repeat('x', 10000), tags = array_fill('y'::text, ARRAY[3000]);
SELECT pg_column_size(tags) < 10000 AS compressed, pg_relation_size(reltoastrelid) > 0 AS toasted FROM item, pg_class WHERE oid = 'item'::regclass;
ALTER TABLE item DISABLE TRIGGER item_timestamps;
UPDATE item SET updated_at = '2020-01-02';
ALTER TABLE item ENABLE TRIGGER item_timestamps;
SELECT sql, try('UPDATE item SET ' || sql)
  FROM unnest(ARRAY[
    $$body = body, tags = tags$$, $$body = repeat('x', 10000)$$, $$body = repeat('x', 9999) || 'y'$$, $$body = repeat('x', 9999)$$,
    $$body = 'x'$$, $$tags = array_fill('y'::text, ARRAY[3000])$$, $$tags = array_fill('y'::text, ARRAY[2999]) || 'z'::text$$,
    $$tags[2] = 'y'$$, $$tags[2] = 'z'$$, $$n = 1$$, $$n = 2$$
  ]) WITH ORDINALITY AS x(sql, i) ORDER BY i;

-- the table changes between updates of one session: plans and our own memory
-- of it follow
UPDATE item SET body = NULL, tags = NULL;
CREATE FUNCTION again() RETURNS void LANGUAGE sql AS $$
  ALTER TABLE item DISABLE TRIGGER item_timestamps;
  UPDATE item SET updated_at = '2020-01-02';
  ALTER TABLE item ENABLE TRIGGER item_timestamps;
$$;
SELECT again();
-- columns that the stored row does not have yet
ALTER TABLE item ADD COLUMN added int, ADD COLUMN added_text text DEFAULT 'default', ADD COLUMN added_int int DEFAULT 5;
SELECT sql, try('UPDATE item SET ' || sql)
  FROM unnest(ARRAY[
    $$n = n$$, $$n = 3$$, $$added = NULL$$, $$added = 0$$, $$added_text = 'default'$$, $$added_text = NULL$$,
    $$added_int = 5$$, $$added_int = 6$$, $$updated_at = now()$$, $$updated_at = NULL$$, $$updated_at = NULL, n = 3$$
  ]) WITH ORDINALITY AS x(sql, i) ORDER BY i;
UPDATE item SET created_at = now();
UPDATE item SET id = appdb.uuidv7();
-- and ones that a trigger's row does not have
CREATE TRIGGER a_meddle BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION meddle();
SELECT try($$UPDATE item SET name = 'as it was', updated_at = now()$$);
SELECT try('UPDATE item SET n = n');
DROP TRIGGER a_meddle ON item;
-- columns that are gone: what the stored row has of them does not count
UPDATE item SET added = 1, name = 'a', flag = true;
SELECT again();
ALTER TABLE item DROP COLUMN added, DROP COLUMN name;
SELECT try('UPDATE item SET n = n');
SELECT try('UPDATE item SET n = 4');
SELECT try('UPDATE item SET updated_at = now()');
UPDATE item SET created_at = now();
UPDATE item SET n = n;
SELECT try('UPDATE item SET n = n'), try('UPDATE item SET n = 4');
-- another type, another precision, another place of the columns
ALTER TABLE item ALTER n TYPE text USING n::text;
SELECT try('UPDATE item SET n = n'), try($$UPDATE item SET n = '44444'$$);
ALTER TABLE item DROP COLUMN updated_at;
UPDATE item SET n = n;
ALTER TABLE item ADD COLUMN updated_at timestamptz(3) NOT NULL DEFAULT '2020-01-02';
SELECT try('UPDATE item SET n = n'), try($$UPDATE item SET n = '5'$$), try('UPDATE item SET updated_at = now()');
ALTER TABLE item RENAME COLUMN updated_at TO old_updated_at;
ALTER TABLE item ADD COLUMN updated_at timestamptz DEFAULT '2020-01-02';
SELECT try('UPDATE item SET n = n');
BEGIN;
UPDATE item SET old_updated_at = now() RETURNING updated_at = now() AS moved_in_microseconds;
ROLLBACK;
ALTER TABLE item ALTER updated_at TYPE timestamptz(0);
BEGIN;
UPDATE item SET n = 'digits' RETURNING updated_at = now()::timestamptz(0) AS moved_in_seconds;
ROLLBACK;
ALTER TABLE item ALTER updated_at TYPE timestamp;
UPDATE item SET n = n;
ALTER TABLE item DROP COLUMN created_at;
UPDATE item SET n = n;
ALTER TABLE item DROP COLUMN id;
UPDATE item SET n = n;
DROP TABLE item;

-- an updated_at that is NULL, which no convention allows, is left so while
-- nothing changes
CREATE TABLE lax (id int, n int, created_at timestamptz, updated_at timestamptz(3));
CREATE TRIGGER lax_timestamps BEFORE UPDATE ON lax FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO lax VALUES (1, 1, NULL, NULL);
UPDATE lax SET n = 1 RETURNING updated_at;
UPDATE lax SET updated_at = now() RETURNING updated_at;
SELECT try('UPDATE lax SET n = 2', 'lax');
SELECT try('UPDATE lax SET n = 2, updated_at = now()', 'lax');
UPDATE lax SET created_at = now();
DROP TABLE lax;

-- generated columns follow the others, and are not computed yet when a
-- BEFORE trigger runs
CREATE TABLE gen (id int PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED,
                  created_at timestamptz(3) DEFAULT '2020-01-01', updated_at timestamptz(3) DEFAULT '2020-01-02',
                  tail int GENERATED ALWAYS AS (a * 3) STORED);
CREATE TRIGGER gen_timestamps BEFORE UPDATE ON gen FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO gen VALUES (1, 1), (2, 2);
SELECT try('UPDATE gen SET a = a', 'gen'), try('UPDATE gen SET a = a + 1', 'gen'),
       try('UPDATE gen SET a = 1', 'gen'), try('UPDATE gen SET updated_at = now()', 'gen');
-- PL/pgSQL sets them to NULL
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := NEW.a; RETURN NEW; END $$;
CREATE TRIGGER a_pass BEFORE UPDATE ON gen FOR EACH ROW EXECUTE FUNCTION pass();
SELECT try('UPDATE gen SET a = a', 'gen'), try('UPDATE gen SET a = a + 1', 'gen');
UPDATE gen SET a = a + 1 RETURNING id, a, twice, tail, updated_at = now()::timestamptz(3) AS moved;
DROP TABLE gen;

-- partitions and children have the columns in other places
CREATE TABLE part (id int, n int, created_at timestamptz(3) DEFAULT '2020-01-01', updated_at timestamptz(3) DEFAULT '2020-01-02',
                   name text) PARTITION BY LIST (n);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 (junk int, updated_at timestamptz(3) DEFAULT '2020-01-02', name text, more int,
                     created_at timestamptz(3) DEFAULT '2020-01-01', n int, id int);
ALTER TABLE part_2 DROP COLUMN junk, DROP COLUMN more;
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES IN (2);
CREATE TRIGGER part_timestamps BEFORE UPDATE ON part FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO part (id, n) VALUES (1, 1), (2, 2), (3, 1), (4, 2);
SELECT try('UPDATE part SET name = NULL', 'part'), try($$UPDATE part SET name = 'x' WHERE id > 1$$, 'part'),
       try('UPDATE part SET updated_at = now()', 'part');
UPDATE part SET created_at = now() WHERE id = 4;
UPDATE part SET id = 5 WHERE id = 4;
SELECT try('UPDATE part SET n = 3 - n', 'part');        -- into the other partition
DROP TABLE part;
CREATE TABLE base (id int, created_at timestamptz(3) DEFAULT '2020-01-01', n int, updated_at timestamptz(3) DEFAULT '2020-01-02');
CREATE TABLE child (extra text, created_at timestamptz(3) DEFAULT '2020-01-01') INHERITS (base);
CREATE TABLE other (updated_at timestamptz(3) DEFAULT '2020-01-02', b text, n int, id int, created_at timestamptz(3) DEFAULT '2020-01-01');
ALTER TABLE other INHERIT base;
CREATE TRIGGER t BEFORE UPDATE ON base FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
CREATE TRIGGER t BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
CREATE TRIGGER t BEFORE UPDATE ON other FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO base VALUES (1);
INSERT INTO child VALUES (2);
INSERT INTO other (id) VALUES (3);
SELECT try('UPDATE base SET n = n', 'base'), try('UPDATE base SET n = 1', 'base'), try('UPDATE base SET n = 1 WHERE id = 3', 'base');
UPDATE base SET created_at = now() WHERE id = 3;
DROP TABLE base CASCADE;

-- the columns in an odd order, and at random each of them changed or not, in
-- place or not: updated_at has moved where the row is not the same
CREATE TABLE odd (updated_at timestamptz(3) DEFAULT '2020-01-02', a text, b "char", c smallint, deleted_at timestamptz, d bigint,
                  e text, f boolean, id int, g numeric, h text, gone text, created_at timestamptz(3) DEFAULT '2020-01-01', i int, j text);
CREATE FUNCTION any_text() RETURNS text LANGUAGE sql VOLATILE AS $$
  SELECT (ARRAY[NULL, '', 'x', 'y', 'xx', 'xy', repeat('x', 125), repeat('x', 126), repeat('x', 127), repeat('y', 127),
                repeat('x', 3000), repeat('x', 2999) || 'y'])[1 + floor(random() * 12)::int]
$$;
CREATE FUNCTION any_number() RETURNS int LANGUAGE sql VOLATILE AS $$ SELECT nullif(floor(random() * 4)::int, 3) $$;
INSERT INTO odd (id, a, b, c, deleted_at, d, e, f, g, h, gone, i, j)
SELECT n, any_text(), any_number()::text::"char", any_number(), to_timestamp(any_number()), any_number(), any_text(), any_number() > 1,
       any_number(), any_text(), any_text(), any_number(), any_text()
  FROM generate_series(1, 4000) n;
ALTER TABLE odd DROP COLUMN gone;
UPDATE odd SET i = i WHERE id % 2 = 0;         -- stored anew, without the column
CREATE TABLE odd_before AS SELECT * FROM odd;
CREATE TRIGGER t BEFORE UPDATE ON odd FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
UPDATE odd SET
  a = CASE WHEN random() < 0.9 THEN a ELSE any_text() END, b = CASE WHEN random() < 0.95 THEN b ELSE any_number()::text::"char" END,
  c = CASE WHEN random() < 0.95 THEN c ELSE any_number() END, d = CASE WHEN random() < 0.95 THEN d ELSE any_number() END,
  e = CASE WHEN random() < 0.9 THEN e || '' ELSE any_text() END, f = CASE WHEN random() < 0.95 THEN f ELSE any_number() > 1 END,
  g = CASE WHEN random() < 0.95 THEN g ELSE any_number() END, h = CASE WHEN random() < 0.9 THEN h ELSE any_text() END,
  i = CASE WHEN random() < 0.95 THEN i ELSE any_number() END, j = CASE WHEN random() < 0.9 THEN j || '' ELSE any_text() END,
  updated_at = CASE WHEN random() < 0.5 THEN updated_at WHEN random() < 0.5 THEN now() END;
SELECT count(*) FILTER (WHERE moved) > 1000 AS moved, count(*) FILTER (WHERE NOT moved) > 1000 AS stays,
       count(*) FILTER (WHERE moved IS DISTINCT FROM differs) AS wrong
  FROM (SELECT CASE o.updated_at WHEN '2020-01-02' THEN false ELSE o.updated_at > now() - interval '1 hour' END AS moved,
               (o.a, o.b, o.c, o.d, o.e, o.f, o.g, o.h, o.i, o.j) IS DISTINCT FROM (b.a, b.b, b.c, b.d, b.e, b.f, b.g, b.h, b.i, b.j) AS differs
          FROM odd o JOIN odd_before b USING (id, created_at)) s;
-- and created_at cannot slip through beside others
CREATE FUNCTION slips(changes text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  n int := 0;
BEGIN
  FOR i IN 1..200 LOOP
    BEGIN
      EXECUTE 'UPDATE stamp.odd SET ' || changes || ' WHERE id = $1' USING i;
      n := n + 1;
    EXCEPTION WHEN generated_always THEN NULL;
    END;
  END LOOP;
  RETURN n;
END $$;
SELECT changes, slips(changes) FROM unnest(ARRAY[
  $$created_at = created_at + interval '1 second'$$, $$created_at = NULL$$, $$created_at = '2020-01-01'$$, $$id = id + 10000$$, $$id = NULL$$,
  $$created_at = now(), a = 'z'$$, $$created_at = now(), b = 'z'$$, $$created_at = now(), h = h || 'z'$$, $$created_at = now(), i = 99$$,
  $$created_at = now(), a = NULL$$, $$id = -id, j = 'z'$$, $$id = -id, d = NULL$$, $$id = -id, e = 'zz', c = 7$$]) AS changes;
DROP TABLE odd, odd_before;

-- Time.  Within a transaction it is that of the transaction, also when it has
-- made the row itself; a value that an earlier one has left is passed, by one
-- unit of the column's precision.
CREATE TABLE pass (id int, n int DEFAULT 0, created_at timestamptz(3) DEFAULT now(), updated_at timestamptz(3) DEFAULT now(), updated_by text);
CREATE TRIGGER t BEFORE UPDATE ON pass FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
BEGIN;
INSERT INTO pass (id) VALUES (1);
UPDATE pass SET n = n + 1;
UPDATE pass SET n = n + 1;
SELECT n, updated_at = now()::timestamptz(3) AS moved, updated_at = created_at AS same FROM pass;
SAVEPOINT s;
UPDATE pass SET n = n + 1;
RELEASE s;
UPDATE pass SET n = n + 1;
SELECT n, updated_at = now()::timestamptz(3) AS moved FROM pass;
COMMIT;
INSERT INTO pass (id, updated_at) VALUES (2, '2999-01-01'), (3, '2999-12-31 23:59:59.999'), (4, 'infinity'), (5, '-infinity'), (6, '294276-12-31 23:59:59.999');
UPDATE pass SET n = n + 1 WHERE id > 1 RETURNING id, CASE WHEN updated_at = now()::timestamptz(3) THEN 'moved' ELSE updated_at::text END;
BEGIN;
UPDATE pass SET n = n + 1 WHERE id = 2 RETURNING updated_at;
UPDATE pass SET n = n + 1 WHERE id = 2 RETURNING updated_at;
UPDATE pass SET n = n, updated_at = now() WHERE id = 2 RETURNING updated_at;
COMMIT;
ALTER TABLE pass ALTER updated_at TYPE timestamptz;
UPDATE pass SET n = n + 1 WHERE id = 2 RETURNING updated_at;
ALTER TABLE pass ALTER updated_at TYPE timestamptz(1);
UPDATE pass SET n = n + 1 WHERE id = 2 RETURNING updated_at;
-- a hundred transactions, many of them within the same millisecond: each
-- leaves a later value than the one before
ALTER TABLE pass ALTER updated_at TYPE timestamptz(3);
DELETE FROM pass WHERE id > 1;
CREATE TABLE log (n int, updated_at timestamptz);
DO $$
BEGIN
  FOR i IN 1..100 LOOP
    WITH u AS (UPDATE stamp.pass SET n = i + 1000 RETURNING n, updated_at)
    INSERT INTO stamp.log SELECT * FROM u;
    COMMIT;
  END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE updated_at <= before) AS not_later
  FROM (SELECT *, lag(updated_at) OVER (ORDER BY n) AS before FROM log) s;

-- a table that is not updated in place stays HOT
CREATE TABLE hot (id int PRIMARY KEY, n int, created_at timestamptz(3) DEFAULT now(), updated_at timestamptz(3) DEFAULT now())
  WITH (fillfactor = 40, autovacuum_enabled = off);
CREATE TRIGGER t BEFORE UPDATE ON hot FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO hot SELECT i, 0 FROM generate_series(1, 500) i;
BEGIN;
UPDATE hot SET n = n + 1;
SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relid = 'hot'::regclass;
COMMIT;

-- where the function cannot work
SELECT appdb.timestamps();
CREATE TABLE wrong (id int, n int, created_at timestamptz, updated_at timestamptz);
INSERT INTO wrong VALUES (1);
CREATE TRIGGER w AFTER UPDATE ON wrong FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
UPDATE wrong SET n = 2;
DROP TRIGGER w ON wrong;
CREATE TRIGGER w BEFORE UPDATE ON wrong FOR EACH STATEMENT EXECUTE FUNCTION appdb.timestamps();
UPDATE wrong SET n = 2;
DROP TRIGGER w ON wrong;
CREATE TRIGGER w BEFORE INSERT OR DELETE ON wrong FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
INSERT INTO wrong VALUES (2);
DELETE FROM wrong;
DROP TRIGGER w ON wrong;
CREATE TRIGGER w BEFORE TRUNCATE ON wrong EXECUTE FUNCTION appdb.timestamps();
TRUNCATE wrong;
DROP TRIGGER w ON wrong;
CREATE VIEW wrong_view AS SELECT * FROM wrong;
CREATE TRIGGER w INSTEAD OF UPDATE ON wrong_view FOR EACH ROW EXECUTE FUNCTION appdb.timestamps();
UPDATE wrong_view SET n = 3;

RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA stamp CASCADE;
