-- The statements that follow foreign keys are planned once in a session: they have to notice what changes meanwhile.
BEGIN;
SELECT plan(12);

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

SELECT * FROM finish();
ROLLBACK;
