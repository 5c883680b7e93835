-- COPY FROM into a live view goes into the base table, by its rules.
SET client_min_messages = warning;
SELECT appdb.version() IS NOT NULL AS loaded;
CREATE ROLE regress_copy;
GRANT USAGE ON SCHEMA appdb TO regress_copy;
CREATE TABLE public.item
(
	id uuid PRIMARY KEY,
	name text,
	loud text GENERATED ALWAYS AS (upper(name)) STORED,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	deleted_at timestamptz
);
SELECT appdb.manage('public.item');

COPY appdb.item (name) FROM stdin;
one
two
\.
COPY appdb.item FROM stdin;
00000000-0000-7000-8000-000000000001	three	2020-01-01 00:00:00+00	2020-01-01 00:00:00+00	\N
00000000-0000-7000-8000-000000000002	gone	2020-01-01 00:00:00+00	2020-01-01 00:00:00+00	2020-01-02 00:00:00+00
\.
SELECT name, loud, created_at < '2021-01-01' AS given FROM appdb.item ORDER BY name;
SELECT name FROM item WHERE deleted_at IS NOT NULL;
COPY appdb.item (name) FROM stdin WHERE name <> 'five';
four
five
\.
SELECT count(*) FROM appdb.item;
-- and out of it: the live rows
COPY appdb.item (name, loud) TO stdout (FORMAT csv, HEADER, FORCE_QUOTE (loud));
COPY (SELECT count(*) FROM appdb.item) TO stdout;
COPY appdb.item (name, nothing) TO stdout;
-- without generated columns, so that it can be copied back
BEGIN;
DELETE FROM item WHERE name <> 'three';
COPY appdb.item TO stdout (FORMAT csv, HEADER);
ROLLBACK;

-- privileges are needed as for an INSERT through the view
GRANT pg_read_server_files TO regress_copy;
GRANT INSERT ON item TO regress_copy;
SET ROLE regress_copy;
COPY appdb.item (name) FROM '/dev/null';
RESET ROLE;
GRANT INSERT ON appdb.item TO regress_copy;
REVOKE INSERT ON item FROM regress_copy;
SET ROLE regress_copy;
COPY appdb.item (name) FROM '/dev/null';
RESET ROLE;
GRANT INSERT ON item TO regress_copy;
SET ROLE regress_copy;
COPY appdb.item (name) FROM stdin;
six
\.
RESET ROLE;
-- of the columns that are copied
REVOKE INSERT ON item, appdb.item FROM regress_copy;
GRANT INSERT (name) ON item TO regress_copy;
GRANT INSERT (name) ON appdb.item TO regress_copy;
SET ROLE regress_copy;
BEGIN;
COPY appdb.item (name) FROM stdin;
seven
\.
ROLLBACK;
COPY appdb.item (id, name) FROM '/dev/null';
COPY appdb.item FROM '/dev/null';
COPY appdb.item (name, nothing) FROM '/dev/null';
RESET ROLE;
GRANT INSERT ON item, appdb.item TO regress_copy;
SELECT count(*) FROM appdb.item;

-- where row security holds for who copies, it is an INSERT: policies, defaults
-- and triggers are those of one
ALTER TABLE item ADD size integer CHECK (size < 100), ADD number integer GENERATED ALWAYS AS IDENTITY;
SELECT appdb.manage('public.item');
ALTER TABLE item ENABLE ROW LEVEL SECURITY;
CREATE POLICY small ON item TO regress_copy USING (size < 10);
GRANT SELECT, INSERT ON item, appdb.item TO regress_copy;
SET ROLE regress_copy;
COPY appdb.item (name, size) FROM stdin;
seven	7
eight	8
\.
COPY appdb.item (size, number, name) FROM stdin (FORMAT csv, NULL 'none', HEADER match);
size,number,name
9,900,nine
1,901,none
\.
SELECT name, loud, size, number BETWEEN 7 AND 9 AS numbered, number > 899 AS given, id IS NOT NULL AS id FROM appdb.item ORDER BY size;
COPY appdb.item (size) TO stdout;
-- all or none
COPY appdb.item (name, size) FROM stdin;
one more	2
too large	20
\.
COPY appdb.item (name, size) FROM stdin;
one more	2
no number	two
\.
COPY appdb.item (name, loud) FROM stdin;
one more	ONE MORE
\.
\copy appdb.item (name, nothing) FROM /dev/null
\copy appdb.item (name, name) FROM /dev/null
BEGIN READ ONLY;
\copy appdb.item (name) FROM /dev/null
ROLLBACK;
-- what an INSERT cannot do, or a client did not send
\copy appdb.item (name, size) FROM /dev/null WHERE size < 5
\copy appdb.item (name, size) FROM /dev/null (FREEZE)
\copy appdb.item (name, size) FROM /dev/null (DEFAULT 'x')
COPY appdb.item (name, size) FROM '/dev/null';
SELECT count(*) FROM appdb.item;
RESET ROLE;
REVOKE SELECT ON appdb.item FROM regress_copy;
SET ROLE regress_copy;
COPY appdb.item (size) TO stdout;
RESET ROLE;

-- nor do rows have to be of those that are deleted softly
CREATE TABLE app_data.secret (id uuid PRIMARY KEY, name text, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL);
SELECT appdb.manage('app_data.secret');
COPY appdb.secret (name) FROM stdin;
one
two
\.
COPY appdb.secret (name) TO stdout;
GRANT SELECT ON appdb.secret TO regress_copy;
SET ROLE regress_copy;
COPY appdb.secret (name) FROM '/dev/null';
RESET ROLE;

-- other views are none of ours
COPY appdb.managed FROM '/dev/null';
CREATE VIEW public.other AS SELECT * FROM item;
COPY public.other FROM '/dev/null';

SET appdb.allow_drop = on;
DROP TABLE item, app_data.secret CASCADE;
DROP OWNED BY regress_copy;
DROP ROLE regress_copy;
