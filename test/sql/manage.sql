-- manage(), unmanage(): what they refuse and how they say it; what they keep up with
\set SHOW_CONTEXT never
SET client_min_messages = notice;
SET datestyle = 'ISO, MDY';

-- == the conventions, one by one: each hint is followed ======================
CREATE TABLE public.articles (title text);
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ADD id int PRIMARY KEY;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles DROP id, ADD id uuid;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ADD PRIMARY KEY (id);
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ADD created_at timestamp;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ALTER COLUMN created_at TYPE timestamptz;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ALTER COLUMN created_at SET NOT NULL;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ADD COLUMN updated_at timestamptz(3) NOT NULL DEFAULT now();
SELECT appdb.manage('public.articles');
-- while a table is managed, it cannot be altered against the conventions
ALTER TABLE public.articles ADD deleted_at date;
SELECT appdb.unmanage('public.articles');
ALTER TABLE public.articles ADD deleted_at date;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ALTER deleted_at TYPE timestamptz(3), ALTER deleted_at SET NOT NULL;
SELECT appdb.manage('public.articles');
ALTER TABLE public.articles ALTER COLUMN deleted_at DROP NOT NULL;
SELECT appdb.manage('public.articles');
SELECT appdb.unmanage('public.articles'); ALTER TABLE public.articles ALTER COLUMN deleted_at TYPE timestamptz;
SELECT appdb.manage('public.articles');
-- a table with another key, and tables that are partitioned
CREATE TABLE public.keyed (name text PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('public.keyed');
ALTER TABLE public.keyed DROP CONSTRAINT keyed_pkey, ADD UNIQUE (name), ADD COLUMN id uuid PRIMARY KEY DEFAULT appdb.uuidv7();
SELECT appdb.manage('public.keyed', view => 'regress_keyed');
CREATE TABLE public.months (id uuid NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, user_id uuid REFERENCES app_data.users)
	PARTITION BY RANGE (created_at);
SELECT appdb.manage('public.months');
ALTER TABLE public.months ADD PRIMARY KEY (id, created_at);
SELECT appdb.manage('public.months');
CREATE TABLE public.by_id (LIKE public.months) PARTITION BY RANGE (id);
ALTER TABLE public.by_id ADD FOREIGN KEY (user_id) REFERENCES app_data.users;
SELECT appdb.manage('public.by_id');
ALTER TABLE public.by_id ADD PRIMARY KEY (id);
SELECT appdb.manage('public.by_id');
CREATE INDEX ON public.by_id (user_id);
SELECT appdb.manage('public.by_id');
SELECT appdb.unmanage('public.keyed'), appdb.unmanage('public.by_id');
DROP TABLE public.keyed, public.months, public.by_id;

-- == arguments ===============================================================
SELECT appdb.manage(NULL);
SELECT appdb.manage('public.nope');
SELECT appdb.manage('appdb.users');
SELECT appdb.manage('pg_catalog.pg_class');
CREATE TEMP TABLE passing (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
SELECT appdb.manage('pg_temp.passing');
SELECT appdb.manage('public.articles', label => 'headline');
SELECT appdb.manage('public.articles', view => '');
SELECT appdb.manage('public.articles', view => 'users');
SELECT appdb.manage('public.articles', view => 'managed');
SELECT appdb.manage('public.articles', relations => '[]');
SELECT appdb.manage('public.articles', relations => '{"title": {}}');
ALTER TABLE public.articles ADD user_id uuid REFERENCES app_data.users, ADD editor_id uuid REFERENCES app_data.users;
CREATE INDEX ON public.articles (user_id);
CREATE INDEX ON public.articles (editor_id);
SELECT appdb.manage('public.articles', relations => '{"title": {}}');
SELECT appdb.manage('public.articles', relations => '{"user_id": "author"}');
SELECT appdb.manage('public.articles', relations => '{"user_id": {"nam": "author"}}');
SELECT appdb.manage('public.articles', relations => '{"user_id": {"name": 1}}');
SELECT appdb.manage('public.articles', relations => '{"user_id": {"name": ""}}');
SELECT appdb.manage('public.articles', relations => '{"user_id": {"on_delete": "Set Null"}}');
SELECT appdb.manage('public.articles', relations => '{"user_id": {"inverse": "chats"}}');
ALTER TABLE public.articles ALTER user_id SET NOT NULL;
SELECT appdb.manage('public.articles', relations => '{"user_id": {"on_delete": "set null"}}');
ALTER TABLE public.articles ALTER COLUMN user_id DROP NOT NULL;
-- a relation named as a column is made, with a warning
SELECT appdb.manage('public.articles', relations => '{"user_id": {"inverse": "name"}}');

-- what deleted rows have, too, unless the index says otherwise; an id or deleted_at among the columns is known to be meant
BEGIN;
ALTER TABLE public.articles ADD code int UNIQUE, ADD UNIQUE (code, id);
CREATE UNIQUE INDEX articles_live_code ON public.articles (code) WHERE code > 0 AND deleted_at IS NULL;
CREATE UNIQUE INDEX articles_upper ON public.articles (upper(title)) WHERE title <> '';
SELECT appdb.manage('public.articles');
-- backslashes mean something else in older clients' sessions
SET LOCAL standard_conforming_strings = off;
SELECT appdb.manage('public.articles');
ROLLBACK;

-- == what is kept, and what follows the table ================================
SELECT appdb.manage('public.articles', label => 'title',
	relations => '{"user_id": {"name": "author", "on_delete": "set null"}, "editor_id": {"name": "editor"}}');
SELECT appdb.manage('public.articles');
SELECT * FROM appdb.managed WHERE name = 'articles';
SELECT "from", name, kind, "to", columns, on_delete, function FROM appdb.relations WHERE 'articles' IN ("from", "to") ORDER BY 1, 2;
ALTER TABLE public.articles ADD stars int;
ALTER TABLE public.articles RENAME title TO headline;
SELECT appdb.manage('public.articles');
SELECT attname FROM pg_attribute WHERE attrelid = 'appdb.articles'::regclass ORDER BY attnum;
-- the label and the relations of columns that are gone are forgotten
SELECT * FROM appdb.managed WHERE name = 'articles';
BEGIN;
SET LOCAL client_min_messages = warning; -- what all goes with it
ALTER TABLE public.articles DROP COLUMN editor_id CASCADE;
SET LOCAL client_min_messages = notice;
SELECT appdb.manage('public.articles', label => 'headline');
COMMIT;
SELECT * FROM appdb.managed WHERE name = 'articles';
SELECT "from", name, function FROM appdb.relations WHERE 'articles' IN ("from", "to") ORDER BY 1, 2;
-- another name for the view
SELECT appdb.manage('public.articles', view => 'stories');
SELECT name, live_view FROM appdb.managed WHERE entity = 'public.articles'::regclass;
SELECT "from", name, function FROM appdb.relations WHERE 'stories' IN ("from", "to") ORDER BY 1, 2;

-- == who may =================================================================
CREATE ROLE regress_appdb_other;
SET ROLE regress_appdb_other;
SELECT appdb.manage('public.articles');
SELECT appdb.unmanage('public.articles');
RESET ROLE;
DROP ROLE regress_appdb_other;

-- == unmanage ================================================================
SELECT appdb.unmanage(NULL);
SET appdb.allow_drop = on;
SELECT appdb.unmanage('app_data.schema_version');
SELECT appdb.unmanage('appdb.users');
RESET appdb.allow_drop;
SELECT appdb.unmanage('public.articles');
SELECT appdb.unmanage('public.articles');
SELECT count(*) FROM appdb.relations WHERE 'stories' IN ("from", "to");
SELECT tgname FROM pg_trigger WHERE tgrelid = 'public.articles'::regclass AND NOT tgisinternal;
SELECT to_regclass('appdb.stories') IS NULL AS gone, count(*) FROM pg_proc WHERE pronamespace = 'appdb'::regnamespace AND prosrc LIKE '%stories%';
DROP TABLE public.articles;

-- == a table that others inherit from ========================================
CREATE TABLE public.elders (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
CREATE TABLE public.heirs () INHERITS (public.elders);
SELECT appdb.manage('public.elders');
SELECT appdb.unmanage('public.elders');
DROP TABLE public.elders CASCADE;

-- == a foreign key that cannot be set to null as it is to be ================
CREATE TABLE public.towns (id uuid PRIMARY KEY, land int, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, UNIQUE (land, id));
CREATE TABLE public.streets (id uuid PRIMARY KEY, land int, town_id uuid, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz,
	FOREIGN KEY (land, town_id) REFERENCES public.towns (land, id) MATCH FULL ON DELETE SET NULL);
CREATE INDEX ON public.streets (land, town_id);
SELECT appdb.manage('public.towns');
SELECT appdb.manage('public.streets');
SELECT appdb.manage('public.streets', relations => '{"town_id": {"on_delete": "cascade"}}');
INSERT INTO appdb.towns (land) VALUES (1);
INSERT INTO appdb.streets (land, town_id) SELECT land, id FROM appdb.towns;
DELETE FROM appdb.towns RETURNING land;
SELECT count(*) FROM appdb.streets;
SET appdb.allow_drop = on;
SET client_min_messages = warning;
DROP TABLE public.towns, public.streets CASCADE;
RESET client_min_messages;
RESET appdb.allow_drop;

-- == a table of somebody else ================================================
CREATE ROLE regress_carol;
GRANT CREATE ON SCHEMA public TO regress_carol;
CREATE TABLE public.carols (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('public.carols');
ALTER TABLE public.carols OWNER TO regress_carol;
SELECT appdb.manage('public.carols');
ALTER TABLE public.carols ADD COLUMN x int;
SET ROLE regress_carol;
ALTER TABLE public.carols ADD COLUMN y int;
RESET ROLE;
SET appdb.allow_drop = on;
DROP TABLE public.carols CASCADE;
RESET appdb.allow_drop;
REVOKE CREATE ON SCHEMA public FROM regress_carol;
DROP ROLE regress_carol;

-- == from a session that has names quoted ===================================
SET quote_all_identifiers = on;
SELECT appdb.manage('app_data.users');
RESET quote_all_identifiers;
SELECT count(*) FROM pg_proc WHERE prosrc LIKE '/* appdb relation */%"id"%';
