--
-- DELETE on live views: what is deleted, how often children are visited, what
-- is left behind.  Run twice, once by the views' triggers row by row, once as
-- UPDATEs of the base tables; the results are the same.
--
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE SCHEMA sd;

-- a <- b <- d, a <- c <- d (a diamond); tree refers to itself; p and q refer
-- to each other; s are secrets
CREATE TABLE sd.a (id uuid PRIMARY KEY, n int, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE TABLE sd.b (LIKE sd.a INCLUDING ALL, a_id uuid REFERENCES sd.a);
CREATE TABLE sd.c (LIKE sd.a INCLUDING ALL, a_id uuid REFERENCES sd.a);
CREATE TABLE sd.d (LIKE sd.a INCLUDING ALL, b_id uuid REFERENCES sd.b, c_id uuid REFERENCES sd.c);
CREATE TABLE sd.s (id uuid PRIMARY KEY, d_id uuid REFERENCES sd.d, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL);
CREATE TABLE sd.tree (LIKE sd.a INCLUDING ALL, parent_id uuid REFERENCES sd.tree);
CREATE INDEX ON sd.tree (parent_id);
CREATE TABLE sd.p (LIKE sd.a INCLUDING ALL, q_id uuid);
CREATE TABLE sd.q (LIKE sd.a INCLUDING ALL, p_id uuid REFERENCES sd.p);
ALTER TABLE sd.p ADD FOREIGN KEY (q_id) REFERENCES sd.q;
SELECT format('SELECT appdb.manage(%L, view => %L)', 'sd.' || t, 'sd_' || t) FROM unnest('{a,b,c,d,s,tree,p,q}'::text[]) t \gexec

-- counts statements
CREATE TABLE sd.log (tab text, op text);
CREATE FUNCTION sd.log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sd.log VALUES (TG_TABLE_NAME, TG_OP);
	RETURN NULL;
END $$;
SELECT format('CREATE TRIGGER log AFTER UPDATE OR DELETE ON sd.%I FOR EACH STATEMENT EXECUTE FUNCTION sd.log()', t)
	FROM unnest('{a,b,c,d,s,tree,p,q}'::text[]) t \gexec
CREATE FUNCTION sd.statements(OUT tab text, OUT op text, OUT count bigint) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT l.tab, l.op, count(*) FROM sd.log l GROUP BY 1, 2 ORDER BY 1, 2
$$;
-- rows by state: how many live, deleted, and with how many stamps
CREATE FUNCTION sd.state(tab text, OUT live bigint, OUT deleted bigint, OUT operations bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('SELECT count(*) FILTER (WHERE deleted_at IS NULL), count(deleted_at), count(DISTINCT deleted_at) FROM sd.%I', tab)
		INTO live, deleted, operations;
END $$;
CREATE FUNCTION sd.states(OUT tab text, OUT live bigint, OUT deleted bigint, OUT operations bigint) RETURNS SETOF record LANGUAGE sql AS $$
	SELECT t, s.* FROM unnest('{a,b,c,d,tree,p,q}'::text[]) t, sd.state(t) s WHERE s.live > 0 OR s.deleted > 0
$$;
-- nothing of what deletions keep in memory is left
CREATE FUNCTION sd.leftovers() RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'appdb deletion'
$$;
CREATE PROCEDURE sd.reset() LANGUAGE plpgsql AS $$
DECLARE
	t text;
BEGIN
	SET LOCAL session_replication_role = replica;
	FOREACH t IN ARRAY '{s,d,b,c,a,tree,p,q}'::text[] LOOP
		EXECUTE format('DELETE FROM sd.%I', t);
	END LOOP;
	DELETE FROM sd.log;
END $$;
-- 10 a, each with 3 b and 3 c, each pair with a d, and that with a secret
CREATE PROCEDURE sd.fill() LANGUAGE plpgsql AS $$
BEGIN
	CALL sd.reset();
	INSERT INTO appdb.sd_a (n) SELECT generate_series(1, 10);
	INSERT INTO appdb.sd_b (n, a_id) SELECT i, a.id FROM appdb.sd_a a, generate_series(1, 3) i;
	INSERT INTO appdb.sd_c (n, a_id) SELECT i, a.id FROM appdb.sd_a a, generate_series(1, 3) i;
	INSERT INTO appdb.sd_d (n, b_id, c_id) SELECT a.n, b.id, c.id FROM appdb.sd_a a
		JOIN appdb.sd_b b ON b.a_id = a.id JOIN appdb.sd_c c ON c.a_id = a.id AND c.n = b.n;
	INSERT INTO appdb.sd_s (d_id) SELECT d.id FROM appdb.sd_d d;
END $$;

--
-- what a DELETE reports
--
CALL sd.fill();
DELETE FROM appdb.sd_a WHERE n = 1 RETURNING n, deleted_at IS NULL AS deleted_at_is_null;
DELETE FROM appdb.sd_a WHERE n = 1 RETURNING n;
DELETE FROM appdb.sd_a AS a WHERE n = 4 RETURNING (SELECT a.deleted_at IS NULL), (SELECT to_jsonb(a) ->> 'deleted_at' IS NULL FROM appdb.sd_b AS b LIMIT 1),
	(SELECT count(*) FROM (SELECT b.n, a.deleted_at FROM appdb.sd_b AS b LIMIT 2) x WHERE x.deleted_at IS NULL) AS deeper;
SELECT count(*) FROM appdb.sd_a;
\echo :ROW_COUNT
DELETE FROM appdb.sd_a WHERE n IN (1, 2, 3);
\echo :ROW_COUNT
-- one stamp an operation
SELECT count(*) AS rows, count(DISTINCT deleted_at) AS operations FROM sd.a WHERE deleted_at IS NOT NULL;
SELECT a.n, bool_and(b.deleted_at = a.deleted_at) AS b, bool_and(c.deleted_at = a.deleted_at) AS c, bool_and(d.deleted_at = a.deleted_at) AS d
	FROM sd.a JOIN sd.b ON b.a_id = a.id JOIN sd.c ON c.a_id = a.id JOIN sd.d ON d.b_id = b.id
	WHERE a.deleted_at IS NOT NULL GROUP BY a.n ORDER BY a.n;
-- what was deleted before keeps its own
CALL sd.fill();
DELETE FROM appdb.sd_b WHERE n = 1;
DELETE FROM appdb.sd_a;
SELECT * FROM sd.states();

--
-- one UPDATE a child table, foreign key and level, however many rows
--
CALL sd.fill();
DELETE FROM appdb.sd_a WHERE n = 1;
SELECT * FROM sd.statements() WHERE tab <> 'a';
CALL sd.fill();
DELETE FROM appdb.sd_a;
SELECT * FROM sd.statements() WHERE tab <> 'a';
SELECT * FROM sd.states();
SELECT count(*) AS secrets FROM sd.s;

-- a tree: a statement a level, and one that finds nothing
CALL sd.reset();
WITH RECURSIVE t (id, parent_id, level) AS (
	SELECT appdb.uuidv7(), NULL::uuid, 1
	UNION ALL
	SELECT appdb.uuidv7(), t.id, level + 1 FROM t, generate_series(1, 3) WHERE level < 6
)
INSERT INTO appdb.sd_tree (id, parent_id, n) SELECT id, parent_id, level FROM t ORDER BY level;
DELETE FROM sd.log;
DELETE FROM appdb.sd_tree WHERE n = 3;
SELECT * FROM sd.states();
-- the first is the DELETE itself, where it is an UPDATE of the base table
SELECT count + CASE WHEN current_setting('appdb.rewrite_deletes')::bool THEN 0 ELSE 1 END AS count FROM sd.statements();
DELETE FROM appdb.sd_tree;
SELECT * FROM sd.states();

-- rows with dead versions in the index, which its scans come across
CALL sd.reset();
CREATE INDEX sd_tree_n ON sd.tree (n);
INSERT INTO appdb.sd_tree (n) SELECT generate_series(1, 20);
UPDATE sd.tree SET n = n + 1;
UPDATE sd.tree SET n = n + 1;
UPDATE sd.tree SET n = n + 1;
DELETE FROM appdb.sd_tree WHERE n % 2 = 0;
DELETE FROM appdb.sd_tree;
SELECT * FROM sd.states();
DROP INDEX sd.sd_tree_n;

-- deeper than the stack
CALL sd.reset();
INSERT INTO appdb.sd_tree (id, parent_id, n)
	SELECT ('00000000-0000-7000-8000-' || lpad(i::text, 12, '0'))::uuid,
		   CASE WHEN i > 1 THEN ('00000000-0000-7000-8000-' || lpad((i - 1)::text, 12, '0'))::uuid END, i
	FROM generate_series(1, 200) i;
SET max_stack_depth = '100kB';
DELETE FROM appdb.sd_tree WHERE n = 1;
SELECT * FROM sd.states();
SELECT restored, rows FROM appdb.restore('appdb.sd_tree', '00000000-0000-7000-8000-000000000001');
SELECT * FROM sd.states();
RESET max_stack_depth;

-- tables that refer to each other, rows that do so too
CALL sd.reset();
INSERT INTO sd.p (id, n) SELECT ('00000000-0000-7000-8000-00000000000' || i)::uuid, i FROM generate_series(1, 5) i;
INSERT INTO sd.q (id, n, p_id) SELECT p.id, p.n, p.id FROM sd.p;
UPDATE sd.p SET q_id = ('00000000-0000-7000-8000-00000000000' || (n % 5) + 1)::uuid WHERE n <> 4;
UPDATE sd.p SET q_id = '00000000-0000-7000-8000-000000000004' WHERE n = 4;
DELETE FROM sd.log;
DELETE FROM appdb.sd_p WHERE n = 4;
SELECT * FROM sd.states();
DELETE FROM appdb.sd_q WHERE n = 5;
SELECT * FROM sd.states();

--
-- statements of all kinds
--
CALL sd.fill();
WITH x AS (DELETE FROM appdb.sd_b WHERE n = 1 RETURNING id), y AS (DELETE FROM appdb.sd_c WHERE n = 2 RETURNING id),
	 z AS (DELETE FROM appdb.sd_b WHERE n = 3 RETURNING id)
	SELECT (SELECT count(*) FROM x) AS x, (SELECT count(*) FROM y) AS y, (SELECT count(*) FROM z) AS z;
SELECT * FROM sd.states();
SELECT b.n AS b, c.n AS c, count(d.deleted_at) AS deleted, count(*) FROM sd.d JOIN sd.b ON b.id = d.b_id JOIN sd.c ON c.id = d.c_id GROUP BY 1, 2 ORDER BY 1, 2;
-- parent and child in one statement
CALL sd.fill();
WITH x AS (DELETE FROM appdb.sd_a WHERE n <= 5 RETURNING id) DELETE FROM appdb.sd_b USING x WHERE x.id = sd_b.a_id;
SELECT * FROM sd.states();
CALL sd.fill();
DELETE FROM appdb.sd_b USING appdb.sd_a WHERE sd_a.id = sd_b.a_id AND sd_a.n = 7 RETURNING sd_a.n, sd_b.n;
PREPARE del (int) AS DELETE FROM appdb.sd_a WHERE n = $1 RETURNING n;
EXECUTE del (1);
EXECUTE del (2);
EXECUTE del (2);
SET plan_cache_mode = force_generic_plan;
EXECUTE del (3);
EXECUTE del (4);
RESET plan_cache_mode;
DEALLOCATE del;
CREATE FUNCTION sd.remove(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	count bigint;
BEGIN
	DELETE FROM appdb.sd_a WHERE sd_a.n = remove.n;
	GET DIAGNOSTICS count = ROW_COUNT;
	RETURN count;
END $$;
SELECT n, sd.remove(n) FROM generate_series(4, 6) n;
SELECT count(*) FROM appdb.sd_a;
-- a row that two rows of another table match
DELETE FROM appdb.sd_a USING generate_series(1, 2) i WHERE n = 7;
\echo :ROW_COUNT
-- cursors see what they saw
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT n FROM appdb.sd_a ORDER BY n;
DECLARE here CURSOR FOR SELECT n FROM appdb.sd_a ORDER BY n;
FETCH here;
DELETE FROM appdb.sd_a WHERE n > 8;
FETCH ALL here;
COMMIT;
FETCH ALL held;
CLOSE held;
SELECT n FROM appdb.sd_a;
-- by hand, and by MERGE; what an UPDATE says about the time does not count
UPDATE sd.a SET deleted_at = '2001-01-01', n = -n WHERE n = 8 RETURNING n, deleted_at > '2020-01-01' AS stamped;
MERGE INTO sd.b USING generate_series(1, 1) i ON b.n = i WHEN MATCHED THEN UPDATE SET deleted_at = now();
SELECT * FROM sd.states();
-- on a live view MERGE comes with 17
CALL sd.fill();
DO $$
BEGIN
	IF current_setting('server_version_num')::int >= 170000 THEN
		MERGE INTO appdb.sd_a t USING generate_series(1, 2) i ON t.n = i WHEN MATCHED THEN DELETE;
	ELSE
		DELETE FROM appdb.sd_a WHERE n <= 2;
	END IF;
END $$;
SELECT * FROM sd.states();

--
-- parents that are deleted
--
CALL sd.fill();
DELETE FROM appdb.sd_a WHERE n = 1;
SELECT id AS dead FROM sd.a WHERE n = 1 \gset
INSERT INTO appdb.sd_b (n, a_id) VALUES (9, :'dead');
UPDATE appdb.sd_b SET a_id = :'dead' WHERE a_id <> :'dead';
UPDATE sd.b SET deleted_at = NULL WHERE a_id = :'dead';
-- what is deleted may refer to it
INSERT INTO sd.b (n, a_id, deleted_at) VALUES (9, :'dead', now());
UPDATE sd.b SET n = 10 WHERE n = 9;
-- in one statement, both orders
WITH x AS (INSERT INTO appdb.sd_b (n, a_id) SELECT 11, id FROM appdb.sd_a WHERE n = 2) DELETE FROM appdb.sd_a WHERE n = 2;
SELECT count(*) AS orphans FROM sd.b JOIN sd.a ON a.id = b.a_id WHERE b.deleted_at IS NULL AND a.deleted_at IS NOT NULL;
WITH x AS (DELETE FROM appdb.sd_a WHERE n = 3 RETURNING id) INSERT INTO appdb.sd_b (n, a_id) SELECT 12, id FROM x;
SELECT count(*) AS orphans FROM sd.b JOIN sd.a ON a.id = b.a_id WHERE b.deleted_at IS NULL AND a.deleted_at IS NOT NULL;
-- found live before in the same transaction
BEGIN;
INSERT INTO appdb.sd_b (n, a_id) SELECT 13, id FROM appdb.sd_a WHERE n = 4;
SAVEPOINT x;
DELETE FROM appdb.sd_a WHERE n = 4;
INSERT INTO appdb.sd_b (n, a_id) SELECT 14, id FROM sd.a WHERE n = 4;
ROLLBACK TO x;
INSERT INTO appdb.sd_b (n, a_id) SELECT 15, id FROM sd.a WHERE n = 4;
DELETE FROM appdb.sd_a WHERE n = 4;
INSERT INTO appdb.sd_b (n, a_id) SELECT 16, id FROM sd.a WHERE n = 4;
COMMIT;
SELECT n FROM sd.b WHERE n > 10 ORDER BY n;

--
-- errors and subtransactions
--
CALL sd.fill();
CREATE TABLE sd.r (LIKE sd.a INCLUDING ALL, b_id uuid REFERENCES sd.b ON DELETE RESTRICT);
SELECT appdb.manage('sd.r', view => 'sd_r') \gset
INSERT INTO appdb.sd_r (b_id) SELECT b.id FROM appdb.sd_b b JOIN appdb.sd_a a ON a.id = b.a_id WHERE a.n = 5 LIMIT 1;
\set VERBOSITY default
DELETE FROM appdb.sd_a WHERE n = 5;
\set VERBOSITY terse
SELECT * FROM sd.states();
BEGIN;
DELETE FROM appdb.sd_a WHERE n = 1;
DO $$
BEGIN
	FOR i IN 4 .. 6 LOOP
		BEGIN
			DELETE FROM appdb.sd_a WHERE n = i;
		EXCEPTION WHEN restrict_violation THEN
			RAISE WARNING '%', SQLERRM;
		END;
	END LOOP;
END $$;
SELECT sd.leftovers();
SAVEPOINT x;
DELETE FROM appdb.sd_a WHERE n = 7;
ROLLBACK TO x;
DELETE FROM appdb.sd_a WHERE n = 8;
SELECT sd.leftovers();
COMMIT;
SELECT n, dense_rank() OVER (ORDER BY deleted_at) AS operation FROM sd.a WHERE deleted_at IS NOT NULL ORDER BY n;
SELECT a.n, count(*) FROM sd.a JOIN sd.b ON b.a_id = a.id AND b.deleted_at = a.deleted_at GROUP BY a.n ORDER BY a.n;
DELETE FROM appdb.sd_r;

--
-- triggers of users on the base table
--
CALL sd.fill();
CREATE FUNCTION sd.interfere() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.n = 1 THEN
		RETURN NULL;
	ELSIF OLD.n = 2 THEN
		RAISE EXCEPTION 'no';
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER interfere BEFORE UPDATE ON sd.a FOR EACH ROW EXECUTE FUNCTION sd.interfere();
-- the row stays: not counted, not returned, no cascade
DELETE FROM appdb.sd_a WHERE n IN (1, 3) RETURNING n;
DELETE FROM appdb.sd_a;
SELECT * FROM sd.states();
DROP TRIGGER interfere ON sd.a;
-- one that changes other rows, which the statement comes to later
CREATE FUNCTION sd.renumber() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sd.b SET n = n + 1 WHERE a_id = OLD.a_id AND n > OLD.n AND deleted_at IS NULL;
	RETURN NEW;
END $$;
CREATE TRIGGER renumber BEFORE UPDATE OF deleted_at ON sd.b FOR EACH ROW EXECUTE FUNCTION sd.renumber();
DELETE FROM appdb.sd_b;
DELETE FROM appdb.sd_b WHERE n = 3;
DROP TRIGGER renumber ON sd.b;
-- one that deletes something else on the way, and one that fails to
CREATE FUNCTION sd.along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		DELETE FROM appdb.sd_tree WHERE n = 1;
		RAISE division_by_zero;
	EXCEPTION WHEN division_by_zero THEN
		NULL;
	END;
	DELETE FROM appdb.sd_tree WHERE n = 2;
	RETURN NULL;
END $$;
CREATE TRIGGER along AFTER UPDATE OF deleted_at ON sd.b FOR EACH STATEMENT EXECUTE FUNCTION sd.along();
CREATE TRIGGER before BEFORE UPDATE OF deleted_at ON sd.b FOR EACH STATEMENT EXECUTE FUNCTION sd.along();
INSERT INTO appdb.sd_tree (n) VALUES (1), (2), (2);
DELETE FROM appdb.sd_a WHERE n = 4;
SELECT * FROM sd.states();
-- of the same operation
SELECT tree.n, tree.deleted_at = a.deleted_at AS together FROM sd.tree, sd.a WHERE a.n = 4 AND tree.deleted_at IS NOT NULL ORDER BY 1;
-- and while rows come back
UPDATE sd.tree SET deleted_at = NULL;
SELECT restored, rows FROM appdb.restore('appdb.sd_a', (SELECT id FROM sd.a WHERE n = 4));
SELECT * FROM sd.states();
DROP TRIGGER along ON sd.b;
DROP TRIGGER before ON sd.b;
-- what keeps a child from being deleted, forgetting its parent or being erased stops the deletion
CALL sd.fill();
CREATE FUNCTION sd.try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE command;
	RETURN 'done';
EXCEPTION WHEN triggered_action_exception THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN regexp_replace(SQLERRM, 'row [-0-9a-f]+', 'row') || ': ' || detail;
END $$;
CREATE FUNCTION sd.leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON sd.b FOR EACH ROW WHEN (OLD.n = 2) EXECUTE FUNCTION sd.leave();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 1');
-- wherever its function is
ALTER FUNCTION sd.leave() SET SCHEMA appdb;
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 1');
ALTER FUNCTION appdb.leave() SET SCHEMA sd;
SELECT sd.try('DELETE FROM appdb.sd_a');
DELETE FROM appdb.sd_b WHERE n = 2;
DROP TRIGGER keep ON sd.b;
-- one for other columns, or after the row, does not
CREATE TRIGGER keep BEFORE UPDATE OF n ON sd.b FOR EACH ROW EXECUTE FUNCTION sd.leave();
CREATE TRIGGER keep_after AFTER UPDATE ON sd.b FOR EACH ROW EXECUTE FUNCTION sd.leave();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 1');
DROP TRIGGER keep ON sd.b;
DROP TRIGGER keep_after ON sd.b;
-- nor one that has deleted the child itself
CREATE FUNCTION sd.myself() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF pg_trigger_depth() = 1 THEN
		DELETE FROM appdb.sd_b WHERE id = OLD.id;
		RETURN NULL;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER myself BEFORE UPDATE OF deleted_at ON sd.b FOR EACH ROW EXECUTE FUNCTION sd.myself();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 2');
DROP TRIGGER myself ON sd.b;
-- nor one that has given it another parent
CREATE FUNCTION sd.adopt() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.deleted_at := NULL;
	NEW.a_id := (SELECT id FROM sd.a WHERE n = 10);
	RETURN NEW;
END $$;
CREATE TRIGGER adopt BEFORE UPDATE OF deleted_at ON sd.b FOR EACH ROW WHEN (OLD.n = 1 AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION sd.adopt();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 6');
SELECT b.n, count(*) FROM appdb.sd_b b JOIN appdb.sd_a a ON a.id = b.a_id WHERE a.n = 10 GROUP BY b.n ORDER BY b.n;
DROP TRIGGER adopt ON sd.b;
-- secrets
CREATE TRIGGER keep BEFORE DELETE ON sd.s FOR EACH ROW EXECUTE FUNCTION sd.leave();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 3');
DROP TRIGGER keep ON sd.s;
-- rules; what forgets its parent; partitions
CREATE TABLE sd.k (LIKE sd.a INCLUDING ALL, a_id uuid REFERENCES sd.a ON DELETE SET NULL) PARTITION BY HASH (id);
CREATE TABLE sd.k1 PARTITION OF sd.k FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT appdb.manage('sd.k', view => 'sd_k') \gset
INSERT INTO appdb.sd_k (a_id) SELECT id FROM sd.a WHERE n = 4;
CREATE TRIGGER keep BEFORE UPDATE OF a_id ON sd.k1 FOR EACH ROW EXECUTE FUNCTION sd.leave();
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 4');
DROP TRIGGER keep ON sd.k1;
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 4');
CREATE RULE keep AS ON UPDATE TO sd.b WHERE OLD.n = 3 DO INSTEAD NOTHING;
SELECT sd.try('DELETE FROM appdb.sd_a WHERE n = 5');
DROP RULE keep ON sd.b;
SELECT * FROM sd.states();
SELECT count(*) AS secrets FROM sd.s;
SET appdb.allow_drop = on;
DROP TABLE sd.k CASCADE;
RESET appdb.allow_drop;

--
-- a statement of several parts: some delete, others change rows of the same table, before and after
--
CALL sd.fill();
WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 1 RETURNING n), changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 2 RETURNING n)
SELECT (SELECT n FROM gone) AS gone, (SELECT n FROM changed) AS changed;
SELECT * FROM sd.states();
WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 3 RETURNING n), changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 20 RETURNING n)
SELECT (SELECT n FROM changed) AS changed, (SELECT n FROM gone) AS gone;
SELECT * FROM sd.states();
WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 4 RETURNING n) UPDATE appdb.sd_a SET n = a.n FROM gone, sd.a a WHERE sd_a.id = a.id AND a.n > gone.n;
WITH changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 20 RETURNING n) DELETE FROM appdb.sd_a USING changed WHERE sd_a.n = 5;
WITH gone AS (UPDATE sd.a SET deleted_at = now() WHERE n = 6 RETURNING n), none AS (UPDATE sd.a SET n = 0 WHERE false RETURNING n) SELECT (SELECT n FROM gone), (SELECT n FROM none);
SELECT * FROM sd.states();
-- all of them each one operation, with nothing left over
SELECT rows FROM app_data.deletions WHERE deleted_at IN (SELECT a.deleted_at FROM sd.a) ORDER BY deleted_at;
-- a row that one part changes and the other deletes: the first wins, as with a real DELETE
CALL sd.fill();
WITH changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 2 RETURNING n), gone AS (DELETE FROM appdb.sd_a WHERE n IN (1, 2) RETURNING n)
SELECT (SELECT n FROM changed) AS changed, (SELECT n FROM gone) AS gone;
WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 3 RETURNING n), changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 3 RETURNING n)
SELECT (SELECT n FROM gone) AS gone, (SELECT n FROM changed) AS changed;
SELECT n FROM appdb.sd_a WHERE n IN (1, 2, 3, 20);
-- parts that nothing reads from, which are executed after the others, the last first
CALL sd.fill();
WITH changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 2), gone AS (DELETE FROM appdb.sd_a WHERE n = 1) SELECT 1 AS done;
WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 3), changed AS (UPDATE appdb.sd_a SET n = 20 WHERE n = 4) SELECT 1 AS done;
SELECT * FROM sd.states();
-- one that fails half-way
CALL sd.fill();
DO $$
BEGIN
	WITH gone AS (DELETE FROM appdb.sd_a WHERE n = 7 RETURNING n), changed AS (UPDATE appdb.sd_a SET n = 1 / (n - 8) WHERE n = 8 RETURNING n)
	SELECT FROM gone, changed;
EXCEPTION WHEN division_by_zero THEN
	DELETE FROM appdb.sd_a WHERE n = 9;
END $$;
SELECT n FROM appdb.sd_a ORDER BY n;
SELECT * FROM sd.states();
-- one that is the first of a session, which loads the library in the middle of it
CALL sd.fill();
\c -
WITH changed AS (UPDATE sd.a SET n = 20 WHERE n = 2 RETURNING n), other AS (UPDATE sd.a SET deleted_at = now() WHERE n = 3 RETURNING n) UPDATE sd.a SET deleted_at = now() WHERE n = 1;
SET client_min_messages = warning;
SELECT * FROM sd.states();
SELECT sd.leftovers();
-- one that no trigger ends is noted with all that belongs to it
CALL sd.fill();
BEGIN;
CREATE TABLE sd.noted (rows bigint);
CREATE FUNCTION sd.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO sd.noted VALUES (NEW.rows);
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON app_data.deletions FOR EACH ROW EXECUTE FUNCTION sd.note();
WITH changed AS (UPDATE sd.a SET n = 20 WHERE n = 2 RETURNING n) UPDATE sd.a SET deleted_at = now() WHERE n = 1;
SELECT * FROM sd.noted;
ROLLBACK;
-- what a trigger does in a subtransaction is no part of the statement: that may be undone alone
BEGIN;
CREATE FUNCTION sd.also() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n = 1 THEN
		BEGIN
			UPDATE sd.a SET n = 20 WHERE n = 2;
			RAISE EXCEPTION 'all of it undone';
		EXCEPTION WHEN raise_exception THEN
		END;
	ELSE
		NEW.deleted_at := now();
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER also BEFORE UPDATE ON sd.a FOR EACH ROW EXECUTE FUNCTION sd.also();
UPDATE sd.a SET deleted_at = now() WHERE n = 1;
ROLLBACK;

--
-- rules and triggers that somebody has put on a live view do what they say for a DELETE, and for no UPDATE that it is in truth
--
CALL sd.fill();
CREATE TABLE sd.notes (note text);
CREATE RULE note AS ON DELETE TO appdb.sd_a DO ALSO INSERT INTO sd.notes VALUES ('delete ' || old.n);
CREATE RULE other AS ON UPDATE TO appdb.sd_a DO ALSO INSERT INTO sd.notes VALUES ('update ' || old.n);
DELETE FROM appdb.sd_a WHERE n = 1 RETURNING n;
SELECT * FROM sd.notes;
DROP RULE note ON appdb.sd_a;
DROP RULE other ON appdb.sd_a;
CREATE FUNCTION sd.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep INSTEAD OF UPDATE ON appdb.sd_a FOR EACH ROW EXECUTE FUNCTION sd.keep();
DELETE FROM appdb.sd_a WHERE n = 2 RETURNING n;
DROP TRIGGER keep ON appdb.sd_a;
SELECT * FROM sd.states();

-- a view on a live view keeps its condition, also one that is a barrier, where PostgreSQL loses it
CALL sd.fill();
BEGIN;
CREATE VIEW sd.over WITH (security_barrier) AS SELECT * FROM appdb.sd_a WHERE n > 3;
CREATE VIEW sd.over_over AS SELECT id, n AS m FROM sd.over WHERE n < 6;
DELETE FROM sd.over WHERE n = 1 RETURNING n;
WITH gone AS (DELETE FROM sd.over_over WHERE m IN (2, 4, 6) RETURNING m) SELECT m FROM gone;
DELETE FROM sd.over RETURNING n;
SELECT n FROM appdb.sd_a ORDER BY n;
ROLLBACK;

-- nor does its check option hold for what is deleted
BEGIN;
CALL sd.fill();
ALTER VIEW appdb.sd_a SET (check_option = local);
DELETE FROM appdb.sd_a WHERE n = 1 RETURNING n;
ROLLBACK;

--
-- a child table that is managed later, when its parent's foreign keys are known already
--
CALL sd.fill();
CREATE TABLE sd.late (LIKE sd.a INCLUDING ALL, a_id uuid REFERENCES sd.a);
INSERT INTO sd.late (id, n, a_id, created_at, updated_at) SELECT id, n, id, now(), now() FROM sd.a;
DELETE FROM appdb.sd_a WHERE n = 1;
SELECT * FROM sd.state('late');
SELECT appdb.manage('sd.late', view => 'sd_late') \gset
DELETE FROM appdb.sd_a WHERE n = 2;
SELECT * FROM sd.state('late');

--
-- no cascades where rows are replicated or restored
--
CALL sd.fill();
SET session_replication_role = replica;
UPDATE sd.a SET deleted_at = '2001-01-01' WHERE n = 1;
RESET session_replication_role;
SELECT n, deleted_at = '2001-01-01' AS as_given FROM sd.a WHERE deleted_at IS NOT NULL;
SELECT * FROM sd.states();

--
-- a partitioned table
--
CREATE TABLE sd.part (id uuid PRIMARY KEY, n int, a_id uuid REFERENCES sd.a, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz)
	PARTITION BY HASH (id);
CREATE TABLE sd.part0 PARTITION OF sd.part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE sd.part1 (junk int, LIKE sd.part0);
ALTER TABLE sd.part1 DROP COLUMN junk;
ALTER TABLE sd.part ATTACH PARTITION sd.part1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT appdb.manage('sd.part', view => 'sd_part') \gset
CALL sd.fill();
INSERT INTO appdb.sd_part (n, a_id, updated_at) SELECT i, a.id, '2020-01-01' FROM appdb.sd_a a, generate_series(1, 10) i;
DELETE FROM appdb.sd_part WHERE n <= 2;
\echo :ROW_COUNT
SELECT * FROM sd.state('part');
DELETE FROM appdb.sd_part WHERE n <= 3 RETURNING n, updated_at > '2020-01-01' AS moved;
SELECT d.rows FROM app_data.deletions d JOIN (SELECT DISTINCT p.deleted_at FROM sd.part p) p USING (deleted_at) ORDER BY d.deleted_at;
DELETE FROM appdb.sd_a WHERE n <= 5;
SELECT * FROM sd.state('part');
INSERT INTO appdb.sd_part (id, n, a_id) SELECT '00000000-0000-7000-8000-000000000001', 11, id FROM sd.a WHERE n = 1;
-- the policies are those of the whole table
CREATE ROLE regress_sd;
GRANT USAGE ON SCHEMA appdb, sd TO regress_sd;
GRANT SELECT, UPDATE ON sd.part TO regress_sd;
GRANT SELECT, DELETE ON appdb.sd_part TO regress_sd;
ALTER TABLE sd.part ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON sd.part USING (true);
CREATE POLICY deletes ON sd.part AS RESTRICTIVE FOR DELETE USING (n <> 7);
BEGIN;
INSERT INTO appdb.sd_part (n, a_id) SELECT 7 + i % 2, a.id FROM sd.a, generate_series(1, 4) i WHERE a.n = 10;
UPDATE sd.part SET deleted_at = now() WHERE n = 7 AND id IN (SELECT min(id::text)::uuid FROM sd.part WHERE n = 7 GROUP BY tableoid);
SET LOCAL ROLE regress_sd;
DELETE FROM appdb.sd_part WHERE n >= 7;
SELECT DISTINCT n FROM appdb.sd_part WHERE n >= 7;
UPDATE sd.part SET deleted_at = NULL WHERE n = 7 AND deleted_at IS NOT NULL;
\echo :ROW_COUNT
ROLLBACK;
-- made ready once, also where rows of two partitions come in turn
BEGIN;
GRANT pg_read_all_stats TO regress_sd;
INSERT INTO appdb.sd_part (n, a_id) SELECT 6 + i % 3, a.id FROM sd.a, generate_series(1, 300) i WHERE a.n = 10;
CREATE TEMP TABLE in_turn ON COMMIT DROP AS
	SELECT id FROM (SELECT id, tableoid AS partition, row_number() OVER (PARTITION BY tableoid ORDER BY id) AS nth FROM sd.part WHERE n BETWEEN 6 AND 8 AND deleted_at IS NULL) t ORDER BY nth, partition;
GRANT SELECT ON in_turn TO regress_sd;
SET LOCAL ROLE regress_sd;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
WITH deleted AS (
	DELETE FROM appdb.sd_part p USING in_turn t WHERE p.id = t.id
	RETURNING (SELECT count(*) FROM pg_backend_memory_contexts c WHERE c.name = 'ExecutorState' AND p.n IS NOT NULL) AS states)
SELECT count(*), max(states) < 10 AS once FROM deleted;
SELECT DISTINCT n FROM appdb.sd_part WHERE n BETWEEN 6 AND 8;
ROLLBACK;
DROP OWNED BY regress_sd;
DROP ROLE regress_sd;
DROP POLICY everything ON sd.part;
DROP POLICY deletes ON sd.part;
ALTER TABLE sd.part DISABLE ROW LEVEL SECURITY;
-- which can be no parent
CREATE TABLE sd.of_part (LIKE sd.a, part_id uuid REFERENCES sd.part, PRIMARY KEY (id));
SELECT appdb.manage('sd.of_part', view => 'sd_of_part') \gset
SELECT appdb.manage('sd.part', view => 'sd_part') \gset
INSERT INTO appdb.sd_of_part (n, part_id) SELECT 1, id FROM appdb.sd_part LIMIT 1;
INSERT INTO appdb.sd_of_part (n) VALUES (1);
SELECT appdb.unmanage('sd.of_part');
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL appdb.allow_drop = on;
DROP TABLE sd.of_part;
COMMIT;

--
-- a primary key that is checked late
--
CREATE TABLE sd.deferred (LIKE sd.a, a_id uuid REFERENCES sd.a, PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED);
SELECT appdb.manage('sd.deferred', view => 'sd_deferred') \gset
INSERT INTO appdb.sd_deferred (n, a_id) SELECT a.n, a.id FROM appdb.sd_a a;
DELETE FROM appdb.sd_deferred WHERE n = 6 RETURNING n, updated_at > created_at AS moved;
SELECT * FROM sd.state('deferred');
DELETE FROM appdb.sd_a;
SELECT * FROM sd.state('deferred');
-- children by another key, from before they were managed, go with their parents
CALL sd.fill();
ALTER TABLE sd.deferred ADD UNIQUE (id);
CREATE TABLE sd.of_deferred (LIKE sd.a, deferred_id uuid REFERENCES sd.deferred (id), PRIMARY KEY (id));
INSERT INTO appdb.sd_deferred (n) VALUES (1), (2);
INSERT INTO sd.of_deferred (id, n, created_at, updated_at, deferred_id) SELECT gen_random_uuid(), n, now(), now(), id FROM appdb.sd_deferred;
SELECT appdb.manage('sd.of_deferred', view => 'sd_of_deferred') \gset
SELECT appdb.manage('sd.deferred', view => 'sd_deferred') \gset
DELETE FROM appdb.sd_deferred WHERE n = 1;
SELECT n FROM appdb.sd_of_deferred;

--
-- a statement cannot go on with a row that its trigger deletes
--
CALL sd.fill();
CREATE FUNCTION sd.upward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM appdb.sd_b WHERE id = OLD.b_id;
	RETURN NEW;
END $$;
CREATE TRIGGER aaa BEFORE UPDATE ON sd.d FOR EACH ROW WHEN (pg_trigger_depth() < 2) EXECUTE FUNCTION sd.upward();
DELETE FROM appdb.sd_d WHERE n = 1;
-- whatever it is called
ALTER TRIGGER aaa ON sd.d RENAME TO aaa_appdb_;
DELETE FROM appdb.sd_d WHERE n = 1;
DROP TRIGGER aaa_appdb_ ON sd.d;

--
-- what a trigger before a statement deletes is not what the statement is for
--
CALL sd.reset();
INSERT INTO appdb.sd_tree (n) VALUES (1), (9);
INSERT INTO appdb.sd_tree (n, parent_id) SELECT 2, id FROM sd.tree WHERE n = 1;
INSERT INTO appdb.sd_tree (n, parent_id) SELECT 3, id FROM sd.tree WHERE n = 2;
CREATE FUNCTION sd.expire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	UPDATE sd.tree SET deleted_at = now() WHERE n = 9 AND deleted_at IS NULL;
	RETURN NULL;
END $$;
CREATE TRIGGER aaa BEFORE UPDATE ON sd.tree FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION sd.expire();
UPDATE sd.tree SET deleted_at = now() WHERE n = 1;
SELECT count(DISTINCT deleted_at) FILTER (WHERE n < 9), count(DISTINCT deleted_at) FROM sd.tree;
SELECT restored, rows FROM appdb.restore('appdb.sd_tree', (SELECT id FROM sd.tree WHERE n = 1));
SELECT n, deleted_at IS NULL AS live FROM sd.tree ORDER BY n;
DROP TRIGGER aaa ON sd.tree;

--
-- nor does an error that such a trigger deals with take the statement apart
--
INSERT INTO appdb.sd_deferred (n) VALUES (71), (72);
CREATE FUNCTION sd.tolerate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'no matter';
EXCEPTION WHEN raise_exception THEN
	RETURN NULL;
END $$;
CREATE TRIGGER aaa BEFORE UPDATE ON sd.deferred FOR EACH STATEMENT EXECUTE FUNCTION sd.tolerate();
DELETE FROM appdb.sd_deferred WHERE n > 70;
SELECT count(DISTINCT deleted_at) FROM sd.deferred WHERE n > 70;
DROP TRIGGER aaa ON sd.deferred;

--
-- a row trigger with transition tables finds its row in them
--
CREATE FUNCTION sd.find_itself() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% %: % %', OLD.n, NEW.deleted_at IS NULL,
		(SELECT count(*) FROM old_rows o WHERE o.id = OLD.id), (SELECT count(*) FROM new_rows n WHERE n.id = OLD.id AND n.deleted_at IS NOT NULL);
	RETURN NULL;
END $$;
CREATE TRIGGER find_itself AFTER UPDATE ON sd.tree REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH ROW EXECUTE FUNCTION sd.find_itself();
DELETE FROM appdb.sd_tree WHERE n = 2 RETURNING n;
SELECT n FROM appdb.sd_tree ORDER BY n;
DROP TRIGGER find_itself ON sd.tree;
SELECT restored, rows FROM appdb.restore('appdb.sd_tree', (SELECT id FROM sd.tree WHERE n = 2));

--
-- where nothing can be written; what was prepared there can be executed elsewhere
--
BEGIN READ ONLY;
PREPARE gone AS DELETE FROM appdb.sd_tree WHERE n = 2 RETURNING n;
DELETE FROM appdb.sd_tree;
ROLLBACK;
EXECUTE gone;
EXECUTE gone;
SELECT restored, rows FROM appdb.restore('appdb.sd_tree', (SELECT id FROM sd.tree WHERE n = 2));

--
-- a session's first statement, which no trigger frames
--
INSERT INTO appdb.sd_part (n) SELECT generate_series(1, 20);
INSERT INTO appdb.sd_p (n) VALUES (1), (9);
\c -
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
UPDATE sd.part0 SET deleted_at = now() WHERE deleted_at IS NULL;
SELECT count(*) FROM sd.part0 WHERE deleted_at IS NULL;
\c -
\set VERBOSITY terse
\set SHOW_CONTEXT never
SET client_min_messages = warning;
WITH a AS (UPDATE sd.tree SET n = 8 WHERE n = 9), b AS (UPDATE sd.tree SET deleted_at = now() WHERE n = 1), c AS (UPDATE sd.p SET n = 8 WHERE n = 9), d AS (UPDATE sd.p SET deleted_at = now() WHERE n = 1) SELECT 1;
SELECT n, deleted_at IS NULL AS live FROM sd.tree ORDER BY n;
SELECT count(DISTINCT deleted_at) FROM sd.tree WHERE n < 8;
SELECT n, deleted_at IS NULL AS live FROM sd.p ORDER BY n;

--
-- what to type where a trigger is missing
--
CALL sd.fill();
BEGIN;
SET LOCAL appdb.rewrite_deletes = off;
DROP TRIGGER appdb_soft_delete_begin ON appdb.sd_a;
\set VERBOSITY default
DELETE FROM appdb.sd_a WHERE n = 1;
\set VERBOSITY terse
ROLLBACK;

--
-- nothing left
--
SELECT sd.leftovers();
SELECT format('SELECT appdb.unmanage(%L)', 'sd.' || t) FROM unnest('{s,d,b,c,a,tree,p,q,r,late,part,of_deferred,deferred}'::text[]) t \gexec
SET appdb.allow_drop = on;
DROP SCHEMA sd CASCADE;
