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
-- the other direction is PostgreSQL's own
COPY (SELECT name FROM appdb.item ORDER BY name) TO stdout;

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
SELECT count(*) FROM appdb.item;

-- other views are none of ours
CREATE VIEW public.other AS SELECT * FROM item;
COPY public.other FROM '/dev/null';

SET appdb.allow_drop = on;
DROP TABLE item CASCADE;
DROP OWNED BY regress_copy;
DROP ROLE regress_copy;
