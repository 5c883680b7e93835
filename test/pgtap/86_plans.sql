-- The statements that follow foreign keys are planned once in a session: they have to notice what changes meanwhile.
BEGIN;
SELECT plan(45);

CREATE SCHEMA garden;
CREATE TABLE garden.trees (id uuid PRIMARY KEY, plot uuid NOT NULL DEFAULT '00000000-0000-4000-8000-000000000001', created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, UNIQUE (plot, id));
CREATE TABLE garden.leaves (id uuid PRIMARY KEY, tree_id uuid REFERENCES garden.trees (id), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE garden.birds (id uuid PRIMARY KEY, plot uuid NOT NULL DEFAULT '00000000-0000-4000-8000-000000000001', tree_id uuid, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz,
	FOREIGN KEY (plot, tree_id) REFERENCES garden.trees (plot, id));
CREATE INDEX leaves_tree_id_idx ON garden.leaves (tree_id);
CREATE INDEX birds_plot_tree_id_idx ON garden.birds (plot, tree_id);
SELECT appdb.manage('garden.trees');
SELECT appdb.manage('garden.leaves');
SELECT appdb.manage('garden.birds');

CREATE FUNCTION pg_temp.tree(n int) RETURNS uuid LANGUAGE sql AS $$SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid$$;
INSERT INTO appdb.trees (id) SELECT pg_temp.tree(n) FROM generate_series(1, 20) AS n;
INSERT INTO appdb.leaves (tree_id) SELECT pg_temp.tree(n) FROM generate_series(1, 20) AS n, generate_series(1, 3);
INSERT INTO appdb.birds (tree_id) SELECT pg_temp.tree(n) FROM generate_series(1, 20) AS n;

-- live leaves and birds
CREATE FUNCTION pg_temp.left_over() RETURNS bigint[] LANGUAGE plpgsql AS
	$$BEGIN RETURN ARRAY[(SELECT count(*) FROM appdb.leaves), (SELECT count(*) FROM appdb.birds)]; END$$;

DELETE FROM appdb.trees WHERE id = pg_temp.tree(1);
DELETE FROM appdb.trees WHERE id = pg_temp.tree(2);
SELECT is(pg_temp.left_over(), ARRAY[54::bigint, 18], 'deleting twice');

ALTER TABLE garden.leaves RENAME TO foliage;
ALTER TABLE garden.trees RENAME TO oaks;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(3);
SELECT is(pg_temp.left_over(), ARRAY[51::bigint, 17], 'after tables have other names');

ALTER TABLE garden.foliage RENAME COLUMN tree_id TO oak_id;
ALTER TABLE garden.birds RENAME COLUMN tree_id TO oak_id;
ALTER TABLE garden.oaks RENAME COLUMN plot TO lot;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(4);
SELECT is(pg_temp.left_over(), ARRAY[48::bigint, 16], 'after columns have other names');

ALTER SCHEMA garden RENAME TO park;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(5);
SELECT is(pg_temp.left_over(), ARRAY[45::bigint, 15], 'after the schema has another name');

CREATE SCHEMA forest;
ALTER TABLE park.foliage SET SCHEMA forest;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(6);
SELECT is(pg_temp.left_over(), ARRAY[42::bigint, 14], 'after a table has moved to another schema');

CREATE ROLE forester;
ALTER TABLE forest.foliage OWNER TO forester;
GRANT USAGE ON SCHEMA forest TO forester;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(7);
SELECT is(pg_temp.left_over(), ARRAY[39::bigint, 13], 'after a table has another owner');

SET LOCAL search_path = pg_catalog, public;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(8);
SELECT public.is(pg_temp.left_over(), ARRAY[36::bigint, 12], 'with another search_path');
RESET search_path;

-- the child gets another column
ALTER TABLE forest.foliage OWNER TO CURRENT_USER;
ALTER TABLE forest.foliage ADD COLUMN color text;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(9);
SELECT is(pg_temp.left_over(), ARRAY[33::bigint, 11], 'after a column has come');

-- another foreign key in place of the first
ALTER TABLE forest.foliage DROP CONSTRAINT leaves_tree_id_fkey;
DELETE FROM appdb.trees WHERE id = pg_temp.tree(10);
SELECT is(pg_temp.left_over(), ARRAY[33::bigint, 10], 'without the foreign key rows stay');
DELETE FROM appdb.leaves WHERE oak_id = pg_temp.tree(10);
ALTER TABLE forest.foliage ADD FOREIGN KEY (oak_id) REFERENCES park.oaks (id);
SELECT appdb.manage('forest.foliage', relations => '{"oak_id": {"on_delete": "set null"}}');
DELETE FROM appdb.trees WHERE id = pg_temp.tree(11);
SELECT is(pg_temp.left_over() || (SELECT count(*) FROM appdb.leaves WHERE oak_id IS NULL), ARRAY[30::bigint, 9, 3], 'after another mode was set');

-- the same, for so many rows that they are not looked up one by one
INSERT INTO appdb.trees (id) SELECT pg_temp.tree(n) FROM generate_series(1001, 1200) AS n;
INSERT INTO appdb.birds (oak_id) SELECT pg_temp.tree(n) FROM generate_series(1001, 1200) AS n;
SELECT is(pg_temp.left_over(), ARRAY[30::bigint, 209], 'many trees');
DELETE FROM appdb.trees WHERE id >= pg_temp.tree(1001);
SELECT is(pg_temp.left_over(), ARRAY[30::bigint, 9], 'take their children along');

-- == where a look into an index says whether there are children at all ======

CREATE TABLE park.plots (id uuid PRIMARY KEY, n int UNIQUE, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE park.fences (id uuid PRIMARY KEY, plot_id uuid REFERENCES park.plots (id), old boolean NOT NULL DEFAULT false, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('park.plots');
SELECT appdb.manage('park.fences');
INSERT INTO appdb.plots (id, n) SELECT pg_temp.tree(n), n FROM generate_series(1, 12) AS n;
-- many that are deleted already before the one that is not
INSERT INTO appdb.fences (id, plot_id) SELECT pg_temp.tree(100 * n + m), pg_temp.tree(n) FROM generate_series(1, 12) AS n, generate_series(1, 30) AS m;
DELETE FROM appdb.fences WHERE id <> ALL (ARRAY(SELECT pg_temp.tree(100 * n + 30) FROM generate_series(1, 12) AS n));
CREATE FUNCTION pg_temp.fences() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM appdb.fences';

DELETE FROM appdb.plots WHERE n = 1;
SELECT is(pg_temp.fences(), 11::bigint, 'without an index');
CREATE INDEX some_fences ON park.fences (plot_id) WHERE old;
DELETE FROM appdb.plots WHERE n = 2;
SELECT is(pg_temp.fences(), 10::bigint, 'an index of some rows is not asked');
DROP INDEX park.some_fences;
CREATE INDEX fences_plot_id_idx ON park.fences (plot_id) WHERE plot_id IS NOT NULL;
DELETE FROM appdb.plots WHERE n = 3;
SELECT is(pg_temp.fences(), 9::bigint, 'an index of rows with a parent');
DROP INDEX park.fences_plot_id_idx;
CREATE INDEX fences_plot_id_idx ON park.fences (plot_id, id) WHERE deleted_at IS NULL;
DELETE FROM appdb.plots WHERE n = 4;
SELECT is(pg_temp.fences(), 8::bigint, 'an index of live rows');
DROP INDEX park.fences_plot_id_idx;
CREATE INDEX fences_plot_id_idx ON park.fences USING hash (plot_id);
DELETE FROM appdb.plots WHERE n = 5;
SELECT is(pg_temp.fences(), 7::bigint, 'another kind of index');
CREATE INDEX fences_id_plot_id_idx ON park.fences (id, plot_id);
DROP INDEX park.fences_plot_id_idx;
DELETE FROM appdb.plots WHERE n = 6;
SELECT is(pg_temp.fences(), 6::bigint, 'an index that begins with another column');
CREATE INDEX fences_plot_id_idx ON park.fences (plot_id);
DELETE FROM appdb.plots WHERE n IN (7, 8);
SELECT is(pg_temp.fences(), 4::bigint, 'two parents');
UPDATE appdb.fences SET plot_id = pg_temp.tree(9) WHERE plot_id <> pg_temp.tree(12);
DELETE FROM appdb.plots WHERE n IN (10, 11);
DELETE FROM appdb.plots WHERE n = 9;
SELECT is(pg_temp.fences(), 1::bigint, 'parents whose children have left, and the one that they went to');

-- == partitions =============================================================

SET LOCAL client_min_messages = error;
CREATE TABLE park.rings (id uuid PRIMARY KEY, plot_id uuid REFERENCES park.plots (id), created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz) PARTITION BY HASH (id);
CREATE TABLE park.rings_even PARTITION OF park.rings FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE INDEX ON park.rings (plot_id);
SELECT appdb.manage('park.rings');
RESET client_min_messages;
INSERT INTO appdb.plots (id, n) SELECT pg_temp.tree(n), n FROM generate_series(21, 23) AS n;
INSERT INTO park.rings (id, plot_id) SELECT u.id, pg_temp.tree(21 + n % 3) FROM (SELECT pg_temp.tree(n) AS id, n FROM generate_series(1, 2000) AS n) u WHERE satisfies_hash_partition('park.rings'::regclass, 2, 0, u.id) LIMIT 600;
CREATE FUNCTION pg_temp.rings() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM appdb.rings';
SELECT pg_temp.rings() AS rings \gset

DELETE FROM appdb.plots WHERE n = 21;
SELECT cmp_ok(pg_temp.rings(), '<', :rings::bigint, 'children in partitions go');
SELECT is((SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'CachedPlan' AND ident LIKE 'UPDATE %rings%'), 1::bigint, 'by a plan that is kept');
CREATE TABLE park.rings_odd PARTITION OF park.rings FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO park.rings (id, plot_id) SELECT pg_temp.tree(n), pg_temp.tree(22) FROM generate_series(3001, 3600) AS n;
DELETE FROM appdb.plots WHERE n = 22;
SELECT is((SELECT count(DISTINCT tableoid) FROM park.rings WHERE plot_id = pg_temp.tree(22) AND deleted_at IS NOT NULL), 2::bigint, 'also those in a new partition');
SELECT is((SELECT count(*) FROM appdb.rings WHERE plot_id = pg_temp.tree(22)), 0::bigint, 'all of them');
SELECT pg_stat_get_xact_numscans('pg_inherits_relid_seqno_index'::regclass) AS scans \gset
UPDATE park.rings SET deleted_at = now() WHERE deleted_at IS NULL;
SELECT is(pg_temp.rings(), 0::bigint, 'rows in partitions are deleted');
SELECT cmp_ok(pg_stat_get_xact_numscans('pg_inherits_relid_seqno_index'::regclass) - :scans, '<', 50::bigint, 'without asking of each row what its partition is of');

-- == who belongs to what: not by how many others do, and on tables that are not analyzed ==

CREATE FUNCTION pg_temp.member(n int) RETURNS uuid LANGUAGE sql AS $$SELECT ('00000000-0000-4000-8001-' || lpad(n::text, 12, '0'))::uuid$$;
INSERT INTO appdb.users (id, name, email) SELECT pg_temp.member(n), 'Member ' || n, 'member' || n || '@example.org' FROM generate_series(1, 2010) AS n;
INSERT INTO appdb.organizations (id, name, slug) VALUES (pg_temp.member(1), 'Large', 'large');
INSERT INTO appdb.members (organization_id, user_id, role)
SELECT pg_temp.member(1), pg_temp.member(n), CASE n WHEN 1 THEN 'owner' ELSE 'member' END::app_data.organization_role FROM generate_series(1, 2000) AS n;
INSERT INTO appdb.spaces (id, organization_id, name) VALUES (pg_temp.member(1), pg_temp.member(1), 'Large');
INSERT INTO appdb.space_members (space_id, user_id, role)
SELECT pg_temp.member(1), pg_temp.member(n), CASE n WHEN 1 THEN 'owner' ELSE 'viewer' END::app_data.space_role FROM generate_series(1, 2000) AS n;
INSERT INTO appdb.invitations (space_id, email, role, expires_at)
SELECT pg_temp.member(1), 'guest' || n || '@example.org', 'viewer', now() + '1 day' FROM generate_series(1, 2000) AS n;

-- how many rows are read for one, after another like it
CREATE FUNCTION pg_temp.few(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before bigint;
	n bigint;
BEGIN
	FOR i IN 1..2 LOOP
		SELECT sum(t.seq_tup_read + t.idx_tup_fetch) INTO before FROM pg_stat_xact_user_tables t WHERE t.schemaname = 'app_data' AND t.relname ~ '^(space_members|members|invitations)$';
		EXECUTE replace(statement, '@n@', quote_literal(pg_temp.member(2000 - i)));
		SELECT sum(t.seq_tup_read + t.idx_tup_fetch) INTO n FROM pg_stat_xact_user_tables t WHERE t.schemaname = 'app_data' AND t.relname ~ '^(space_members|members|invitations)$';
	END LOOP;
	RETURN CASE WHEN n - before < 100 THEN 'few' ELSE n - before || ' rows' END;
END
$$;
SELECT appdb.impersonate(pg_temp.member(2001)) AS me, appdb.is_member(pg_temp.member(1)) \gset
SELECT pg_stat_get_xact_numscans('app_data.space_members_user_id_idx'::regclass) AS scans \gset
SELECT appdb.knows_user(pg_temp.member(1)) AS known \gset
SELECT is(pg_stat_get_xact_numscans('app_data.space_members_user_id_idx'::regclass) - :scans, 1::bigint, 'who knows whom is looked up by user');
SELECT appdb.impersonate(pg_temp.member(1)) AS me \gset
SELECT is(pg_temp.few($$SELECT appdb.change_role(@n@, 'editor', space_id => pg_temp.member(1))$$), 'few', 'another role');
SELECT is(pg_temp.few($$SELECT appdb.invite(gen_random_uuid() || '@example.org', 'viewer', space_id => pg_temp.member(1))$$), 'few', 'an invitation');
SELECT is(pg_temp.few('SELECT appdb.remove_member(@n@, space_id => pg_temp.member(1))'), 'few', 'a member who leaves a space');
SELECT is(pg_temp.few('INSERT INTO appdb.space_members (space_id, user_id) VALUES (pg_temp.member(1), @n@)'), 'few', 'one who comes');
SELECT is(pg_temp.few('SELECT appdb.remove_member(@n@, organization_id => pg_temp.member(1))'), 'few', 'a member who leaves an organization');
SELECT is(pg_temp.few('INSERT INTO appdb.members (organization_id, user_id) VALUES (pg_temp.member(1), @n@)'), 'few', 'one who comes');

-- == the queue: on a table that is not analyzed =============================

SELECT appdb.impersonate(NULL) AS me \gset
SELECT pg_stat_get_xact_numscans('app_data.tasks'::regclass) AS scans \gset
SELECT appdb.enqueue('whole', queue => 'plans') AS whole \gset
SELECT count(appdb.enqueue('part', queue => 'plans', depends_on => ARRAY[:'whole'::uuid, appdb.enqueue('other', queue => 'plans')])) AS parts FROM generate_series(1, 20) \gset
SELECT appdb.cancel(:'whole') AS canceled \gset
SELECT is((SELECT count(*) FROM app_data.tasks WHERE queue = 'plans' AND kind = 'part' AND status = 'canceled'), 20::bigint, 'tasks that wait for one are canceled with it');
SELECT is(pg_stat_get_xact_numscans('app_data.tasks'::regclass) - :scans, 1::bigint, 'the table is read for that by this test alone');

-- one that waits for many
SELECT array_agg(appdb.enqueue('piece', queue => 'wide')) AS pieces FROM generate_series(1, 300) \gset
SELECT appdb.enqueue('all', queue => 'wide', depends_on => :'pieces') AS all_of_them \gset
CREATE FUNCTION pg_temp.waits(task uuid) RETURNS text LANGUAGE sql AS $$SELECT concat_ws(' ', t.waits_for, t.waited_for, t.status, t.queued) FROM appdb.tasks AS t WHERE t.id = task$$;
SELECT pg_stat_get_xact_blocks_fetched('app_data.tasks_depends_on_idx'::regclass) AS blocks \gset
SELECT count(appdb.complete(c.id, c.ticket)) AS completed FROM appdb.claim('{wide}', max => 200) AS c \gset
SELECT is(pg_temp.waits(:'all_of_them'), '300 200 pending f', 'what is completed is counted');
SELECT cmp_ok((pg_stat_get_xact_blocks_fetched('app_data.tasks_depends_on_idx'::regclass) - :blocks) / 200, '<', 20::bigint, 'without writing all that it waits for to an index each time');
SELECT count(appdb.retry(t.id)) AS again FROM (SELECT id FROM appdb.tasks WHERE queue = 'wide' AND status = 'completed' ORDER BY id LIMIT 2) AS t \gset
SELECT is(pg_temp.waits(:'all_of_them'), '102 pending f', 'and two that are done again');
SELECT appdb.complete_many(array_agg(c.id), array_agg(c.ticket)) AS completed FROM appdb.claim('{wide}', max => 70) AS c \gset
SELECT is(pg_temp.waits(:'all_of_them'), '102 70 pending f', 'so is what is completed together');
SELECT appdb.complete_many(array_agg(c.id), array_agg(c.ticket)) AS completed FROM appdb.claim('{wide}', max => 31) AS c \gset
SELECT is(pg_temp.waits(:'all_of_them'), '102 101 pending f', 'up to the last');
SELECT count(appdb.complete(c.id, c.ticket)) AS completed FROM appdb.claim('{wide}') AS c \gset
SELECT is(pg_temp.waits(:'all_of_them'), '0 pending t', 'then it is ready');

INSERT INTO appdb.tasks (kind, queue, space_id, dedupe_key) SELECT 'keyed', 'plans', pg_temp.member(1), 'key' || n FROM generate_series(1, 3000) AS n;
INSERT INTO appdb.tasks (kind, queue, dedupe_key) SELECT 'keyed', 'plans', 'key' || n FROM generate_series(1, 3000) AS n;
-- how many blocks of an index each of a few statements reads
CREATE FUNCTION pg_temp.blocks(index regclass, statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	before bigint := pg_stat_get_xact_blocks_fetched(index);
BEGIN
	FOR i IN 1..10 LOOP
		EXECUTE replace(statement, '@n@', quote_literal('key' || i));
	END LOOP;
	RETURN (pg_stat_get_xact_blocks_fetched(index) - before) / 10;
END
$$;
SELECT cmp_ok(pg_temp.blocks('app_data.tasks_dedupe_key_key', $$SELECT appdb.enqueue('keyed', queue => 'plans', space_id => pg_temp.member(1), dedupe_key => @n@)$$), '<', 20::bigint,
	'one with the same key is found without reading all keys');
SELECT cmp_ok(pg_temp.blocks('app_data.tasks_dedupe_key_key', $$SELECT appdb.enqueue('keyed', queue => 'plans', dedupe_key => @n@)$$), '<', 20::bigint, 'also outside of spaces');
SELECT cmp_ok(pg_temp.blocks('app_data.tasks_dedupe_key_key', $$SELECT appdb.enqueue('keyed', queue => 'plans', dedupe_key => @n@, on_duplicate => 'reschedule')$$), '<', 30::bigint, 'and to change it');

INSERT INTO appdb.spaces (owner_id, name) SELECT pg_temp.member(1), 'Small' FROM generate_series(1, 200);
INSERT INTO appdb.tasks (kind, queue, space_id) SELECT 'waits', 'plans', id FROM appdb.spaces WHERE name = 'Small';
INSERT INTO appdb.tasks (kind, expires_at) SELECT 'over', now() - interval '1 hour' FROM generate_series(1, 200);
SELECT cmp_ok(pg_temp.blocks('app_data.tasks_ready_idx', $$SELECT appdb._maintain('leases', 10)$$), '<', 100::bigint, 'what has expired is ended without walking along all that waits for each batch');

SELECT * FROM finish();
ROLLBACK;
