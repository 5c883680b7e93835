-- Tables of one's own whose foreign keys are not the plain ones: of two columns, of the id itself, several to a row.
BEGIN;
SELECT plan(68);
SET client_min_messages = error;

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
-- what appdb.restore() returned, as text
CREATE FUNCTION pg_temp.restored(entity regclass, VARIADIC ids int[]) RETURNS text LANGUAGE sql AS
$$ SELECT string_agg(r.restored || ' ' || r.rows, ', ') FROM appdb.restore(entity, ARRAY(SELECT pg_temp.id(i) FROM unnest(ids) i)) r $$;

-- a part has two wholes; parts have details, those have more, and marks that forget them; a cover has the id of its whole
CREATE TABLE public.wholes (id uuid PRIMARY KEY, tenant int, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, UNIQUE (tenant, id));
CREATE TABLE public.parts (LIKE wholes INCLUDING ALL, one_id uuid REFERENCES wholes, other_id uuid REFERENCES wholes);
CREATE TABLE public.details (LIKE wholes INCLUDING ALL, part_id uuid, FOREIGN KEY (tenant, part_id) REFERENCES parts (tenant, id));
CREATE TABLE public.details2 (LIKE wholes INCLUDING ALL, detail_id uuid REFERENCES details);
CREATE TABLE public.marks (LIKE wholes INCLUDING ALL, part_id uuid, FOREIGN KEY (tenant, part_id) REFERENCES parts (tenant, id) ON DELETE SET NULL (part_id));
CREATE TABLE public.covers (LIKE wholes INCLUDING ALL, FOREIGN KEY (id) REFERENCES wholes);
CREATE TABLE public.pages (LIKE wholes INCLUDING ALL, cover_id uuid REFERENCES covers);
SELECT appdb.manage('wholes');
SELECT appdb.manage('parts', relations => '{"other_id": {"inverse": "other_parts"}}');
SELECT appdb.manage(t) FROM unnest('{details,details2,marks,covers,pages}'::regclass[]) t;
INSERT INTO appdb.wholes (id, tenant) VALUES (pg_temp.id(1), 1), (pg_temp.id(2), 1);
INSERT INTO appdb.parts (id, tenant, one_id, other_id) VALUES (pg_temp.id(11), 1, pg_temp.id(1), pg_temp.id(2));
INSERT INTO appdb.details (id, tenant, part_id) VALUES (pg_temp.id(21), 1, pg_temp.id(11));
INSERT INTO appdb.details2 (id, tenant, detail_id) VALUES (pg_temp.id(31), 1, pg_temp.id(21)), (pg_temp.id(32), 1, pg_temp.id(21));
INSERT INTO appdb.marks (id, tenant, part_id) VALUES (pg_temp.id(41), 1, pg_temp.id(11)), (pg_temp.id(42), 1, pg_temp.id(11));
SAVEPOINT start;

-- == a row that passes to another operation =================================

DELETE FROM appdb.wholes WHERE id = pg_temp.id(1);
DELETE FROM appdb.wholes WHERE id = pg_temp.id(2);
SELECT is(pg_temp.restored('appdb.wholes', 1), 'wholes 1', 'a whole comes back without a part of another one that was deleted meanwhile');
SELECT results_eq('SELECT id, rows_with_it FROM appdb.trash', $$VALUES (pg_temp.id(2), 4::bigint)$$, 'the part passes to the other one, and all below it too');
SELECT is((SELECT count(DISTINCT deleted_at) FROM (SELECT deleted_at FROM wholes UNION ALL SELECT deleted_at FROM parts UNION ALL SELECT deleted_at FROM details UNION ALL SELECT deleted_at FROM details2) x), 1::bigint, 'all of one operation now');
SELECT is(pg_temp.restored('appdb.wholes', 2), 'details 1, details2 2, parts 1, wholes 1', 'so that they come back with that one');
SELECT results_eq('SELECT id, part_id FROM appdb.marks ORDER BY id', $$VALUES (pg_temp.id(41), pg_temp.id(11)), (pg_temp.id(42), pg_temp.id(11))$$, 'and rows that had forgotten the part remember it');
SELECT is_empty('SELECT * FROM app_data.unlinked', 'nothing is left to remember');
SELECT is_empty('SELECT * FROM appdb.trash', 'nor in the trash');
ROLLBACK TO start;

-- what was deleted below it before is none of that
DELETE FROM appdb.details2 WHERE id = pg_temp.id(32);
DELETE FROM appdb.wholes WHERE id = pg_temp.id(1);
DELETE FROM appdb.wholes WHERE id = pg_temp.id(2);
SELECT is(pg_temp.restored('appdb.wholes', 1), 'wholes 1', 'once more');
SELECT is(pg_temp.restored('appdb.wholes', 2), 'details 1, details2 1, parts 1, wholes 1', 'what was deleted by itself below a row that passes stays deleted');
SELECT is(pg_temp.restored('appdb.details2', 32), 'details2 1', 'until it is asked for');
ROLLBACK TO start;

-- a row that has forgotten the part, and then another one of the same operation
INSERT INTO appdb.parts (id, tenant, other_id) VALUES (pg_temp.id(12), 1, pg_temp.id(2));
DELETE FROM appdb.wholes WHERE id = pg_temp.id(1);
UPDATE appdb.marks SET part_id = pg_temp.id(12) WHERE id = pg_temp.id(41);
DELETE FROM appdb.wholes WHERE id = pg_temp.id(2);
SELECT is(pg_temp.restored('appdb.wholes', 1), 'wholes 1', 'and once more');
SELECT is(pg_temp.restored('appdb.wholes', 2), 'details 1, details2 2, parts 2, wholes 1', 'two parts of one operation that one row has forgotten come back');
SELECT results_eq('SELECT id, part_id FROM appdb.marks ORDER BY id', $$VALUES (pg_temp.id(41), pg_temp.id(12)), (pg_temp.id(42), pg_temp.id(11))$$, 'and it remembers the last');
ROLLBACK TO start;

-- one that forgets two parts of one operation, one of them while it is deleted itself
INSERT INTO appdb.parts (id, tenant) VALUES (pg_temp.id(12), 1);
DELETE FROM appdb.parts;
UPDATE appdb.marks SET deleted_at = now(), part_id = pg_temp.id(12) WHERE id = pg_temp.id(41);
SELECT is(pg_temp.restored('appdb.marks', 41), 'marks 1', 'a row comes back that has forgotten two parts of one operation');
SELECT is(pg_temp.restored('appdb.parts', 11, 12), 'details 1, details2 2, parts 2', 'both parts come back');
SELECT results_eq('SELECT id, part_id FROM appdb.marks ORDER BY id', $$VALUES (pg_temp.id(41), pg_temp.id(12)), (pg_temp.id(42), pg_temp.id(11))$$, 'and it remembers the last');
ROLLBACK TO start;

-- == rows in partitions =====================================================

CREATE TABLE public.shares (LIKE wholes INCLUDING ALL, part_id uuid REFERENCES parts ON DELETE SET NULL) PARTITION BY HASH (id);
CREATE TABLE public.shares_0 PARTITION OF shares FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.shares_1 PARTITION OF shares FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT appdb.manage('shares');
INSERT INTO appdb.shares (id, part_id) SELECT pg_temp.id(i), pg_temp.id(11) FROM generate_series(51, 54) i;
DELETE FROM appdb.shares WHERE id IN (pg_temp.id(51), pg_temp.id(52));
DELETE FROM appdb.parts;
SELECT is(pg_temp.restored('appdb.shares', 51, 52), 'shares 2', 'rows in partitions come back although their parent was deleted after them');
SELECT results_eq('SELECT DISTINCT part_id FROM appdb.shares', 'VALUES (NULL::uuid)', 'which they forget as the others have');
SELECT is(pg_temp.restored('appdb.parts', 11), 'details 1, details2 2, parts 1', 'it comes back');
SELECT results_eq('SELECT DISTINCT part_id FROM appdb.shares', 'VALUES (pg_temp.id(11))', 'and all remember it');
ROLLBACK TO start;

-- == foreign keys of two columns ============================================

DELETE FROM appdb.parts;
UPDATE appdb.marks SET tenant = 2 WHERE id = pg_temp.id(41);
SELECT is(pg_temp.restored('appdb.parts', 11), 'details 1, details2 2, parts 1', 'a row comes back although one that had forgotten it cannot refer to it any more');
SELECT results_eq('SELECT id, part_id FROM appdb.marks ORDER BY id', $$VALUES (pg_temp.id(41), NULL), (pg_temp.id(42), pg_temp.id(11))$$, 'that one goes on without');
ROLLBACK TO start;

-- where one column is null, the key refers to nothing
INSERT INTO appdb.details (id, tenant, part_id) VALUES (pg_temp.id(22), NULL, pg_temp.id(11));
DELETE FROM appdb.parts;
SELECT results_eq('SELECT id FROM appdb.details', $$VALUES (pg_temp.id(22))$$, 'half a key is not followed');
SELECT lives_ok($$INSERT INTO appdb.details (id, tenant, part_id) VALUES (pg_temp.id(23), NULL, pg_temp.id(11))$$, 'nor guarded');
SELECT throws_ok($$UPDATE appdb.details SET tenant = 1 WHERE id = pg_temp.id(22)$$, '23503', 'row of table "public.details" refers to a deleted row of table "public.parts"', 'until it becomes a whole one');
SELECT lives_ok($$UPDATE appdb.details SET tenant = 1, part_id = NULL WHERE id = pg_temp.id(22)$$, 'unless the other half goes');
DELETE FROM appdb.details WHERE id = pg_temp.id(23);
SELECT is(pg_temp.restored('appdb.details', 23), 'details 1', 'a row with half a key comes back by itself');
SELECT throws_ok($$SELECT * FROM appdb.restore('appdb.details', pg_temp.id(21))$$, '23503', NULL, 'and one with a whole one does not');
ROLLBACK TO start;

-- nor hidden, until then
ALTER TABLE parts ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_links;
SELECT appdb.grant_access('regress_links', 'app');
SET LOCAL ROLE regress_links;
SELECT results_eq('INSERT INTO appdb.details (id, part_id) VALUES (pg_temp.id(24), pg_temp.id(11)), (pg_temp.id(25), pg_temp.id(12)) RETURNING part_id', ARRAY[pg_temp.id(11), pg_temp.id(12)],
	'who writes half a key to a row that they may not see writes it');
SELECT throws_ok($$UPDATE appdb.details SET tenant = 1 WHERE id = pg_temp.id(24)$$, '23503', 'insert or update on table "details" violates foreign key constraint "details_tenant_part_id_fkey"', 'and is refused a whole one');
SELECT throws_ok($$UPDATE appdb.details SET tenant = 1 WHERE id = pg_temp.id(25)$$, '23503', 'insert or update on table "details" violates foreign key constraint "details_tenant_part_id_fkey"', 'as to no row');
RESET ROLE;
ROLLBACK TO start;

-- == a row that is deleted for good =========================================

CREATE TABLE public.keys (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL);
CREATE TABLE public.uses (LIKE keys INCLUDING ALL, key_id uuid REFERENCES keys);
SELECT appdb.manage('uses'), appdb.manage('keys');
INSERT INTO appdb.keys (id) VALUES (pg_temp.id(51));
ALTER TABLE keys ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_links;
SELECT appdb.grant_access('regress_links', 'app');
SET LOCAL ROLE regress_links;
SELECT throws_ok($$INSERT INTO appdb.uses (key_id) VALUES (pg_temp.id(51))$$, '23503', 'insert or update on table "uses" violates foreign key constraint "uses_key_id_fkey"', 'nobody refers to one that they may not see either');
RESET ROLE;
CREATE POLICY all_keys ON keys USING (true);
SET LOCAL ROLE regress_links;
SELECT lives_ok($$INSERT INTO appdb.uses (key_id) VALUES (pg_temp.id(51))$$, 'but to one that they may');
RESET ROLE;
SELECT appdb.unmanage('keys');
SELECT hasnt_trigger('public', 'uses', 'zz_appdb_guard', 'what refers to no managed table is not guarded');
ROLLBACK TO start;

-- == rows that share an id ==================================================

INSERT INTO appdb.covers (id) VALUES (pg_temp.id(1));
INSERT INTO appdb.pages (cover_id) VALUES (pg_temp.id(1)), (pg_temp.id(1));
DELETE FROM appdb.wholes WHERE id = pg_temp.id(1);
SELECT results_eq('SELECT id, rows_with_it FROM appdb.trash', $$VALUES (pg_temp.id(1), 7::bigint)$$, 'a row of another table that has the same id counts');
SELECT is(pg_temp.restored('appdb.wholes', 1), 'covers 1, details 1, details2 2, pages 2, parts 1, wholes 1', 'as it comes back');
SELECT is_empty('SELECT * FROM appdb.trash', 'nothing, at last');
ROLLBACK TO start;

-- == values that are the same by the foreign key's operator =================

CREATE TABLE public.rooms (id uuid PRIMARY KEY, house text COLLATE "C", created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, UNIQUE (house, id));
CREATE TABLE public.chairs (id uuid PRIMARY KEY, house text COLLATE "POSIX", created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, room_id uuid,
	FOREIGN KEY (house, room_id) REFERENCES rooms (house, id));
SELECT appdb.manage(t) FROM unnest('{rooms,chairs}'::regclass[]) t;
INSERT INTO appdb.rooms (id, house) VALUES (pg_temp.id(1), 'a'), (pg_temp.id(2), 'a');
INSERT INTO appdb.chairs (id, house, room_id) VALUES (pg_temp.id(11), 'a', pg_temp.id(1)), (pg_temp.id(12), 'a', pg_temp.id(2));
DELETE FROM appdb.rooms WHERE id = pg_temp.id(1);
SELECT results_eq('SELECT id FROM appdb.chairs', ARRAY[pg_temp.id(12)], 'a child goes whose key has another collation');
SELECT results_eq('SELECT id, rows_with_it FROM appdb.trash', $$VALUES (pg_temp.id(1), 1::bigint)$$, 'as the trash says');
SELECT is(pg_temp.restored('appdb.rooms', 1), 'chairs 1, rooms 1', 'and comes back');
SELECT is_empty($$SELECT * FROM appdb.doctor() WHERE object ~ 'rooms|chairs' AND severity = 'error'$$, 'doctor() can look at it');
SELECT lives_ok($$SELECT appdb._purge_statement('rooms', 'rooms', true)$$, 'and a purge');
SELECT matches(r.condition, 'COLLATE pg_catalog."POSIX"', 'by one of the two') FROM appdb._references('rooms') r;
SELECT is_empty($$SELECT * FROM appdb._cascade_links() l WHERE l.child = 'chairs'::regclass AND l.condition !~ 'COLLATE pg_catalog."POSIX"'$$, 'in circles, too');

CREATE TABLE public.guests (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE TABLE public.stays (LIKE chairs INCLUDING ALL, guest_id uuid REFERENCES guests, UNIQUE (house, room_id, guest_id), FOREIGN KEY (house, room_id) REFERENCES rooms (house, id));
SELECT appdb.manage(t) FROM unnest('{guests,stays}'::regclass[]) t;
INSERT INTO appdb.guests (id) VALUES (pg_temp.id(21));
INSERT INTO appdb.stays (house, room_id, guest_id) VALUES ('a', pg_temp.id(2), pg_temp.id(21));
SELECT results_eq('SELECT r.id, c.id FROM appdb.rooms r, appdb.chairs(r) c ORDER BY 1', $$VALUES (pg_temp.id(1), pg_temp.id(11)), (pg_temp.id(2), pg_temp.id(12))$$, 'relation functions follow it');
SELECT results_eq('SELECT c.id, r.id FROM appdb.chairs c, appdb.room(c) r ORDER BY 1', $$VALUES (pg_temp.id(11), pg_temp.id(1)), (pg_temp.id(12), pg_temp.id(2))$$, 'in both directions');
SELECT results_eq('SELECT r.id, g.id FROM appdb.rooms r, appdb.guests(r) g', $$VALUES (pg_temp.id(2), pg_temp.id(21))$$, 'through a join table');
SELECT results_eq('SELECT g.id, r.id FROM appdb.guests g, appdb.rooms(g) r', $$VALUES (pg_temp.id(21), pg_temp.id(2))$$, 'in both directions, too');
SELECT is(appdb.find('rooms', '{"columns": [], "orderBy": "id", "where": {"chairs": {}}, "count": {"*": true, "chairs": {"where": {"room": {}}}, "guests": true},
	"with": {"chairs": {"columns": [], "with": {"room": {"columns": ["house"]}}, "orderBy": {"room": {"house": "desc"}}, "limit": 1}, "guests": {"columns": [], "with": {"rooms": {"columns": ["house"]}}}}}'::jsonb),
	'{"rows": [{"_count": {"chairs": 1, "guests": 0}, "chairs": [{"room": {"house": "a"}}], "guests": []}, {"_count": {"chairs": 1, "guests": 1}, "chairs": [{"room": {"house": "a"}}], "guests": [{"rooms": [{"house": "a"}]}]}], "count": 2}'::jsonb,
	'and find(), however it does');

CREATE EXTENSION citext;
CREATE DOMAIN public.town AS citext;
CREATE DOMAIN public.german_town AS public.town;
CREATE TABLE public.streets (id uuid PRIMARY KEY, town german_town, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, UNIQUE (town, id));
CREATE TABLE public.lamps (LIKE streets INCLUDING ALL, street_id uuid, FOREIGN KEY (town, street_id) REFERENCES streets (town, id));
SELECT appdb.manage(t) FROM unnest('{streets,lamps}'::regclass[]) t;
INSERT INTO appdb.streets (id, town) VALUES (pg_temp.id(1), 'Berlin'), (pg_temp.id(2), 'Berlin');
INSERT INTO appdb.lamps (id, town, street_id) VALUES (pg_temp.id(11), 'BERLIN', pg_temp.id(1)), (pg_temp.id(12), 'berlin', pg_temp.id(2));
DELETE FROM appdb.streets WHERE id = pg_temp.id(1);
SELECT results_eq('SELECT id FROM appdb.lamps', ARRAY[pg_temp.id(12)], 'a child goes whose key is written in another way');
SELECT is(pg_temp.restored('appdb.streets', 1), 'lamps 1, streets 1', 'and comes back');
SELECT results_eq('SELECT s.id, l.id FROM appdb.streets s, appdb.lamps(s) l ORDER BY 1', $$VALUES (pg_temp.id(1), pg_temp.id(11)), (pg_temp.id(2), pg_temp.id(12))$$, 'relation functions find it');
SELECT results_eq('SELECT l.id, s.id FROM appdb.lamps l, appdb.street(l) s ORDER BY 1', $$VALUES (pg_temp.id(11), pg_temp.id(1)), (pg_temp.id(12), pg_temp.id(2))$$, 'in both directions');

CREATE TABLE public.codes (id uuid PRIMARY KEY, code text, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, UNIQUE (code, id));
CREATE TABLE public.coded (id uuid PRIMARY KEY, code citext, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, code_id uuid, FOREIGN KEY (code, code_id) REFERENCES codes (code, id));
SELECT lives_ok($$SELECT appdb.manage(t) FROM unnest('{codes,coded}'::regclass[]) t$$, 'a key of another type that has an equality of its own');
INSERT INTO appdb.codes (id, code) VALUES (pg_temp.id(1), 'a');
INSERT INTO appdb.coded (id, code, code_id) VALUES (pg_temp.id(11), 'a', pg_temp.id(1));
SELECT results_eq('SELECT c.id, d.id FROM appdb.codes c, appdb.coded(c) d, appdb.code(d)', $$VALUES (pg_temp.id(1), pg_temp.id(11))$$, 'relation functions follow it');
SELECT is(appdb.find('codes', '{"columns": [], "with": {"coded": {"columns": [], "with": {"code": {"columns": ["code"]}}}}}'::jsonb), '[{"coded": [{"code": {"code": "a"}}]}]', 'and find()');

-- == parents whose primary key is deferrable ================================

CREATE TABLE public.ranks (id uuid PRIMARY KEY DEFERRABLE, tenant int NOT NULL DEFAULT 1, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, UNIQUE (tenant, id));
CREATE TABLE public.ranked (id uuid PRIMARY KEY, tenant int NOT NULL DEFAULT 1, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, rank_id uuid,
	FOREIGN KEY (tenant, rank_id) REFERENCES ranks (tenant, id));
SELECT appdb.manage(t) FROM unnest('{ranks,ranked}'::regclass[]) t;
INSERT INTO appdb.ranks (id) VALUES (pg_temp.id(1)), (pg_temp.id(2));
SELECT lives_ok($$INSERT INTO appdb.ranked (id, rank_id) VALUES (pg_temp.id(11), pg_temp.id(1)), (pg_temp.id(12), pg_temp.id(2))$$, 'a row refers to one whose primary key is deferrable');
DELETE FROM appdb.ranks WHERE id = pg_temp.id(1);
SELECT results_eq('SELECT id FROM appdb.ranked', ARRAY[pg_temp.id(12)], 'goes with it');
SELECT throws_ok($$UPDATE appdb.ranked SET rank_id = pg_temp.id(1)$$, '23503', 'row of table "public.ranked" refers to a deleted row of table "public.ranks"', 'does not refer to it while it is deleted');
SELECT is(pg_temp.restored('appdb.ranks', 1), 'ranked 1, ranks 1', 'and comes back with it');
ALTER TABLE ranks ENABLE ROW LEVEL SECURITY;
CREATE ROLE regress_links;
SELECT appdb.grant_access('regress_links', 'app');
SET LOCAL ROLE regress_links;
SELECT throws_ok($$INSERT INTO appdb.ranked (rank_id) VALUES (pg_temp.id(1))$$, '23503', 'insert or update on table "ranked" violates foreign key constraint "ranked_tenant_rank_id_fkey"', 'nobody refers to one that they may not see');
RESET ROLE;
ALTER TABLE ranks DISABLE ROW LEVEL SECURITY;

-- == columns with the names of aliases ======================================

CREATE TABLE public.letters (id uuid PRIMARY KEY, c int DEFAULT 1, p text DEFAULT 'p', t text DEFAULT 't', place text DEFAULT 'here', created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz,
	upper_id uuid, UNIQUE (place, id), FOREIGN KEY (place, upper_id) REFERENCES letters (place, id));
SELECT appdb.manage('letters');
INSERT INTO appdb.letters (id, upper_id) VALUES (pg_temp.id(1), NULL), (pg_temp.id(2), pg_temp.id(1));
DELETE FROM appdb.letters WHERE id = pg_temp.id(1);
SELECT is(pg_temp.restored('appdb.letters', 1), 'letters 2', 'a table whose columns have the names of aliases');
DELETE FROM appdb.letters WHERE id = pg_temp.id(2);
SELECT results_eq($$SELECT question, answer, because FROM appdb.explain_access('letters', pg_temp.id(2)) OFFSET 1 LIMIT 1$$,
	$$VALUES ('row is there', false, 'it was deleted: appdb.restore() brings it back')$$, 'its rows are asked about');
DELETE FROM appdb.letters;
SELECT lives_ok(format('PREPARE stretch (tid, tid, timestamptz, uuid[], int) AS %s', appdb._purge_statement('letters', 'letters', false)), 'they are purged');
SELECT is_empty($$SELECT * FROM appdb.doctor() WHERE object ~ 'letters' AND severity = 'error'$$, 'doctor() can look at them');

CREATE TABLE public.shares (id uuid PRIMARY KEY, "100%" uuid REFERENCES letters, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT lives_ok($$SELECT appdb.manage('shares', relations => '{"100%": {"name": "whole", "on_delete": "set null"}}')$$, 'a key column whose name a format would take for something else');
INSERT INTO appdb.letters (id) VALUES (pg_temp.id(3));
INSERT INTO appdb.shares (id, "100%") VALUES (pg_temp.id(4), pg_temp.id(3));
DELETE FROM appdb.letters;
SELECT results_eq('SELECT id, "100%" FROM appdb.shares', 'SELECT pg_temp.id(4), NULL::uuid', 'does what its option says');
CREATE TABLE public.equals (id uuid PRIMARY KEY, a uuid REFERENCES letters, "a=b" uuid REFERENCES letters, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('equals', relations => '{"a": {"name": "one", "on_delete": "restrict"}, "a=b": {"name": "other", "on_delete": "set null"}}');
INSERT INTO appdb.letters (id) VALUES (pg_temp.id(5));
INSERT INTO appdb.equals (a) VALUES (pg_temp.id(5));
SELECT throws_ok('DELETE FROM appdb.letters', '23001', NULL, 'and so does one beside it whose name begins another''s');

SELECT * FROM finish();
ROLLBACK;
