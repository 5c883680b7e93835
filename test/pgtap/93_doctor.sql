-- appdb.doctor(): a healthy database has no finding, and each finding is provoked here.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

-- what the tests' server is like is no news afterwards
CREATE TEMP TABLE server AS SELECT * FROM appdb.doctor();
SELECT is_empty($$SELECT * FROM server WHERE object NOT IN ('setting fsync', 'setting session_preload_libraries')$$, 'a fresh database is healthy');
SELECT is((SELECT severity || ': ' || fix FROM server WHERE object = 'setting fsync'), 'error: ALTER SYSTEM RESET fsync; SELECT pg_reload_conf();', 'fsync = off is an error');
SELECT is((SELECT severity FROM server WHERE object = 'setting session_preload_libraries'),
	CASE WHEN current_setting('session_preload_libraries') ~ 'appdb' THEN NULL ELSE 'advice' END, 'the library should be preloaded');

CREATE FUNCTION pg_temp.found(check_rows bool DEFAULT false) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT pg_stat_clear_snapshot();
	SELECT f.f FROM (SELECT concat_ws(' | ', severity, object, problem, fix) FROM (SELECT * FROM appdb.doctor(check_rows) EXCEPT SELECT * FROM server) f
	) f (f) ORDER BY f.f COLLATE "C"
$$;
CREATE FUNCTION pg_temp.finds(expected text, description text, check_rows bool DEFAULT false) RETURNS text LANGUAGE sql AS $$
	SELECT results_eq(format('SELECT * FROM pg_temp.found(%L)', check_rows), format('VALUES (%L)', expected), description)
$$;
SET LOCAL client_min_messages = warning;

INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.id(1), 'Ann', 'ann@example.org'), (pg_temp.id(2), 'Ben', 'ben@example.org');
INSERT INTO appdb.organizations (id, name, slug) VALUES (pg_temp.id(3), 'Acme', 'acme');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (pg_temp.id(3), pg_temp.id(1), 'owner'), (pg_temp.id(3), pg_temp.id(2), 'member');
INSERT INTO appdb.spaces (id, owner_id, organization_id, name) VALUES (pg_temp.id(11), pg_temp.id(1), NULL, 'Mine'), (pg_temp.id(12), NULL, pg_temp.id(3), 'Ours');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (pg_temp.id(11), pg_temp.id(1), 'owner'), (pg_temp.id(12), pg_temp.id(2), 'editor');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES (pg_temp.id(21), pg_temp.id(11), pg_temp.id(2), 'Plans'), (pg_temp.id(22), pg_temp.id(11), pg_temp.id(2), 'Old');
INSERT INTO appdb.messages (id, space_id, chat_id, role, content) VALUES (pg_temp.id(31), pg_temp.id(11), pg_temp.id(21), 'user', 'one');
DELETE FROM appdb.chats WHERE title = 'Old';
SELECT is_empty('SELECT * FROM pg_temp.found(true)', 'so is one in use');
SAVEPOINT start;

-- == versions ===============================================================

UPDATE app_data.schema_version SET version = '0.9';
SELECT pg_temp.finds(format('error | schema app_data | the tables are at version 0.9, the engine at %s | SELECT appdb.migrate();', appdb.version()), 'tables that are not migrated');
UPDATE app_data.schema_version SET version = '99.10';
SELECT pg_temp.finds(format('error | schema app_data | the tables are at version 99.10, the engine at %s | Install the newer version of appdb on this server, then: ALTER EXTENSION appdb UPDATE;', appdb.version()), 'tables newer than the engine');
DELETE FROM app_data.schema_version;
SELECT pg_temp.finds(format('error | app_data.schema_version | it does not have exactly one row: the version of the tables is not known | DELETE FROM app_data.schema_version; INSERT INTO app_data.schema_version (version) VALUES (''%s'');', appdb.version()), 'a version that nobody knows');
DROP INDEX app_data.schema_version_one_row;
INSERT INTO app_data.schema_version VALUES ('1.0'), ('1.0');
SELECT pg_temp.finds(format('error | app_data.schema_version | it does not have exactly one row: the version of the tables is not known | DELETE FROM app_data.schema_version; INSERT INTO app_data.schema_version (version) VALUES (''%s'');', appdb.version()), 'two, as pg_restore --clean leaves them that was not allowed to drop');
ROLLBACK TO start;
DELETE FROM app_data.managed WHERE view = 'schedules';
SELECT pg_temp.finds('error | app_data.managed | table "app_data.schedules" has the triggers of a managed table, and it does not say so: find(), restore() and deletions do not know it | Where a dump without data was loaded, load that of this table, too: pg_dump --data-only -t app_data.managed; otherwise SELECT appdb.manage(...), with the options that it had.', 'a table that is forgotten');
DELETE FROM app_data.managed;
SELECT ok(bool_or(f ~ '^error . app_data.managed . table "app_data.accounts" and 18 others have'), 'all tables that are forgotten') FROM pg_temp.found() f;
ROLLBACK TO start;
INSERT INTO app_data.pending (version, step, error) VALUES ('1.1', 1, NULL), ('1.1', 2, 'no space');
SELECT pg_temp.finds('warning | schema app_data | 2 steps of the last upgrade remain to be done beside load (appdb.pending()), the last attempt failed: no space | CALL appdb.migrate_online();', 'steps that are pending');
ROLLBACK TO start;
UPDATE pg_extension SET extversion = '0.9' WHERE extname = 'appdb'; UPDATE app_data.schema_version SET version = '0.9';
SELECT pg_temp.finds(format('error | extension appdb | its functions are of version 0.9, its library of %s | ALTER EXTENSION appdb UPDATE;', appdb._library_version()), 'functions older than the library');
SELECT is(ARRAY(SELECT v FROM unnest(ARRAY[150000, 150007, 150008, 160000, 160003, 160004, 170000, 180000]) v, appdb._server_bug(v) b WHERE b.problem IS NOT NULL), ARRAY[150000, 150007, 160000, 160003],
	'servers that do not find unique indexes through views');
SELECT is(b.problem || ' | ' || b.fix, 'PostgreSQL 16.2 does not find unique indexes for ON CONFLICT in live views (SQLSTATE 42P10) | Update PostgreSQL to 16.4 or later.') FROM appdb._server_bug(160002) b;
ROLLBACK TO start;

SET LOCAL appdb.search_language = 'klingon';
SELECT pg_temp.finds(format('error | setting appdb.search_language | appdb.search_language is "klingon", which is no text search configuration: appdb.search() cannot be used | ALTER DATABASE %I RESET appdb.search_language;  -- or the name of a configuration in pg_ts_config', current_database()), 'a language that nobody knows');
ROLLBACK TO start;
DROP INDEX app_data.notes_search_idx;
SELECT matches(f, '^advice . app_data.notes . it has no search index for language english') FROM pg_temp.found() f;
SET LOCAL quote_all_identifiers = on;
SELECT is((SELECT count(*) FROM pg_temp.found() f WHERE f ~ 'search index'), 1::bigint, 'and the other indexes are found, whatever the settings');
RESET quote_all_identifiers;
INSERT INTO app_data.pending (version, step) SELECT s.version, s.step FROM appdb._online_steps() s WHERE s.object = 'notes_search_idx';
SELECT pg_temp.finds('warning | schema app_data | 1 step of the last upgrade remains to be done beside load (appdb.pending()) | CALL appdb.migrate_online();', 'an index that an upgrade will make is no advice');
ROLLBACK TO start;

-- == objects ================================================================

ALTER EXTENSION appdb ADD TABLE app_data.notes;
SELECT pg_temp.finds('error | app_data.notes | it is a member of extension "appdb": dropping that drops it, and dumps leave it out | ALTER EXTENSION appdb DROP TABLE app_data.notes;', 'a table that is a member');
ROLLBACK TO start;

DROP VIEW appdb.message_files CASCADE;
SELECT pg_temp.finds('error | app_data.message_files | it has no live view: "appdb.message_files" does not exist | SELECT appdb.manage(''app_data.message_files'');', 'a live view that is missing');
SELECT appdb.manage('app_data.message_files');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ROLLBACK TO start;

ALTER EVENT TRIGGER appdb_follow DISABLE;
ALTER TABLE app_data.notes ADD COLUMN pinned boolean;
SELECT results_eq('SELECT * FROM pg_temp.found()', $$VALUES
	('error | event trigger appdb_follow | it is disabled | ALTER EVENT TRIGGER appdb_follow ENABLE;  -- as a superuser'),
	('warning | appdb.notes | it does not have the columns of table "app_data.notes", in their order | SELECT appdb.manage(''app_data.notes'');')$$,
	'an event trigger that is disabled, and a view out of date after ADD COLUMN');
ALTER EVENT TRIGGER appdb_follow ENABLE;
SELECT appdb.manage('app_data.notes');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ALTER EVENT TRIGGER appdb_protect ENABLE;
SELECT pg_temp.finds('error | event trigger appdb_protect | it is not enabled as the engine made it | ALTER EVENT TRIGGER appdb_protect ENABLE ALWAYS;  -- as a superuser', 'protection that replication''s role would go around');
ROLLBACK TO start;

ALTER VIEW appdb.notes RESET (security_invoker);
SELECT pg_temp.finds('error | appdb.notes | it is not security_invoker: whoever may read it sees the rows of all tenants | ALTER VIEW appdb.notes SET (security_invoker = true);', 'a live view that goes around row security');
ROLLBACK TO start;

CREATE TABLE app_data.tools (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz(3));
ALTER TABLE app_data.tools ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON app_data.tools FOR SELECT USING (true);
SET LOCAL client_min_messages = error;
SELECT appdb.manage('app_data.tools');
SET LOCAL client_min_messages = warning;
SELECT pg_temp.finds('warning | app_data.tools | column "deleted_at" is of type timestamp(3) with time zone: when a dump is restored, rows of several deletions can become those of one | BEGIN; SET LOCAL appdb.allow_drop = on; SELECT appdb.unmanage(''app_data.tools''); ALTER TABLE app_data.tools ALTER COLUMN deleted_at TYPE timestamptz; SELECT appdb.manage(''app_data.tools''); COMMIT;  -- with the options that it has', 'a deleted_at that a restored dump rounds');
SELECT regexp_replace(fix, '^BEGIN; | COMMIT;.*', '', 'g') AS fix FROM appdb.doctor() WHERE object = 'app_data.tools' \gset
:fix
RESET appdb.allow_drop;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ROLLBACK TO start;

ALTER TABLE app_data.notes DISABLE TRIGGER zz_appdb_guard;
SELECT pg_temp.finds('error | app_data.notes | trigger "zz_appdb_guard" is disabled | ALTER TABLE app_data.notes ENABLE TRIGGER zz_appdb_guard;', 'a trigger that is disabled');
ROLLBACK TO start;
ALTER TABLE app_data.message_files DISABLE TRIGGER ALL;
SELECT ok((SELECT count(*) FROM pg_temp.found() f WHERE f ~ '^error \| app_data.message_files \| the trigger of foreign key "message_files_.*" is disabled: it is not checked \| ALTER TABLE app_data.message_files ENABLE TRIGGER ALL;$') >= 2,
	'foreign keys that are disabled');
ALTER TABLE app_data.message_files ENABLE TRIGGER ALL;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ROLLBACK TO start;
ALTER TABLE app_data.members DISABLE TRIGGER appdb_membership;
SELECT pg_temp.finds('error | app_data.members | trigger "appdb_membership" is disabled | ALTER TABLE app_data.members ENABLE ALWAYS TRIGGER appdb_membership;', 'one of those that replication fires');
ALTER TABLE app_data.members ENABLE TRIGGER appdb_membership;
SELECT pg_temp.finds('error | app_data.members | trigger "appdb_membership" does not fire for what replication applies | ALTER TABLE app_data.members ENABLE ALWAYS TRIGGER appdb_membership;', 'or that it would not');
ROLLBACK TO start;
DROP TRIGGER zz_appdb_guard ON app_data.notes;
DROP TRIGGER appdb_soft_delete ON appdb.notes;
SELECT results_eq('SELECT * FROM pg_temp.found()', $$VALUES
	('error | app_data.notes | trigger "zz_appdb_guard" is missing | SELECT appdb.manage(''app_data.notes'');'),
	('error | appdb.notes | trigger "appdb_soft_delete" is missing | SELECT appdb.manage(''app_data.notes'');')$$, 'triggers that are missing');
SELECT appdb.manage('app_data.notes');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ROLLBACK TO start;

ALTER TABLE app_data.notes ALTER COLUMN id DROP DEFAULT;
SELECT pg_temp.finds('warning | app_data.notes | column "id" has no default | SELECT appdb.manage(''app_data.notes'');', 'a default that is missing');
ROLLBACK TO start;

CREATE FUNCTION public.as_it_is() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER notes_first BEFORE UPDATE ON app_data.notes FOR EACH ROW EXECUTE FUNCTION public.as_it_is();
CREATE TRIGGER zzz_after AFTER UPDATE ON app_data.notes FOR EACH ROW EXECUTE FUNCTION public.as_it_is();
SELECT is_empty('SELECT * FROM pg_temp.found()', 'triggers of one''s own');
CREATE TRIGGER zzz BEFORE INSERT ON app_data.notes FOR EACH ROW EXECUTE FUNCTION public.as_it_is();
SELECT pg_temp.finds('warning | app_data.notes | trigger "zzz" fires after those of the engine, which do not see what it changes | ALTER TRIGGER zzz ON app_data.notes RENAME TO before_zzz;', 'one that comes after the engine''s');
ROLLBACK TO start;

CREATE TABLE public.whole (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz) PARTITION BY HASH (id);
CREATE TABLE public.part (LIKE public.whole INCLUDING ALL);
SELECT appdb.manage('public.part');
ALTER TABLE public.part ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON public.part FOR SELECT USING (true);
ALTER TABLE public.whole ATTACH PARTITION public.part FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT pg_temp.finds('error | public.part | it breaks the conventions: cannot manage partition "public.part" | Manage the partitioned table.', 'a table that became a partition');
ROLLBACK TO start;

SET LOCAL appdb.allow_drop = on;
ALTER TABLE app_data.message_files DROP CONSTRAINT message_files_pkey;
RESET appdb.allow_drop;
ALTER TABLE app_data.notes ALTER COLUMN created_at DROP NOT NULL;
SELECT results_eq('SELECT * FROM pg_temp.found()', $$VALUES
	('error | app_data.message_files | it breaks the conventions: table "app_data.message_files" has no primary key "id" of type uuid | ALTER TABLE app_data.message_files ADD PRIMARY KEY (id);'),
	('error | app_data.notes | it breaks the conventions: column "created_at" of table "app_data.notes" may be null | ALTER TABLE app_data.notes ALTER COLUMN created_at SET NOT NULL;')$$,
	'tables that do not keep to the conventions any more');
ROLLBACK TO start;

DROP INDEX app_data.chats_user_id_idx;
SELECT pg_temp.finds('warning | app_data.chats | foreign key "chats_user_id_fkey" has no index: deletes and relations that follow it read the whole table | CREATE INDEX CONCURRENTLY ON app_data.chats (user_id);', 'a foreign key without an index');
ROLLBACK TO start;
CREATE TABLE public.whole (id uuid PRIMARY KEY, user_id uuid REFERENCES app_data.users, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz) PARTITION BY HASH (id);
SELECT appdb.manage('public.whole');
ALTER TABLE public.whole ENABLE ROW LEVEL SECURITY;
CREATE POLICY readers ON public.whole FOR SELECT USING (true);
SELECT pg_temp.finds('warning | public.whole | foreign key "whole_user_id_fkey" has no index: deletes and relations that follow it read the whole table | CREATE INDEX ON public.whole (user_id);', 'of a partitioned table, which cannot have one made concurrently');
ROLLBACK TO start;
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app_data.chats_user_id_idx'::regclass;
SELECT ok(EXISTS (SELECT FROM pg_temp.found() f WHERE f = 'warning | app_data.chats_user_id_idx | the index is invalid: building it was not finished; it costs every write to "app_data.chats" and serves no query | REINDEX INDEX CONCURRENTLY app_data.chats_user_id_idx;'), 'an invalid index');
ROLLBACK TO start;
ALTER TABLE app_data.notes ADD CONSTRAINT short CHECK (length(title) < 9) NOT VALID;
SELECT pg_temp.finds('warning | app_data.notes | constraint "short" has not been validated: older rows may break it | ALTER TABLE app_data.notes VALIDATE CONSTRAINT short;', 'a constraint that has not been validated');
ROLLBACK TO start;
ALTER TABLE app_data.notes ADD COLUMN author_name text;
ALTER TABLE app_data.users ADD UNIQUE (name);
CREATE INDEX ON app_data.notes (author_name);
ALTER TABLE app_data.notes ADD FOREIGN KEY (author_name) REFERENCES app_data.users (name);
SELECT pg_temp.finds('warning | app_data.notes | foreign key "notes_author_name_fkey" does not refer to the "id" of "app_data.users": soft deletes do not follow it | Refer to the id, alone or with other columns.', 'a foreign key that soft deletes do not follow');
ROLLBACK TO start;

CREATE TABLE public.old_notes () INHERITS (app_data.notes);
SELECT pg_temp.finds('warning | app_data.notes | tables inherit from it ("public.old_notes"): a DELETE in its live view marks their rows, and nothing that refers to them | Make it a partitioned table, or manage tables that do not inherit.', 'a table that others inherit from');
ROLLBACK TO start;

-- a parent whose rows are deleted for good, beside others
CREATE TABLE public.codes (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE TABLE public.uses (id uuid PRIMARY KEY, code_id uuid REFERENCES codes, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE INDEX ON public.uses (code_id);
SELECT appdb.manage('codes'), appdb.manage('uses');
SELECT lives_ok('SELECT * FROM appdb.doctor()', 'tables of all kinds are read');
ROLLBACK TO start;

-- == who sees what ==========================================================

ALTER TABLE app_data.notes DISABLE ROW LEVEL SECURITY;
SELECT pg_temp.finds('error | app_data.notes | it has no row security: whoever may read it sees the rows of all tenants | ALTER TABLE app_data.notes ENABLE ROW LEVEL SECURITY;', 'a table without row security');
ROLLBACK TO start;
DROP POLICY appdb_select ON app_data.notes;
DROP POLICY appdb_insert ON app_data.notes;
DROP POLICY appdb_update ON app_data.notes;
DROP POLICY appdb_delete ON app_data.notes;
SELECT pg_temp.finds('error | app_data.notes | it has no policies: only its owner sees rows | SELECT appdb.manage(''app_data.notes'');', 'a table without policies');
SELECT appdb.manage('app_data.notes');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps');
ROLLBACK TO start;
CREATE TABLE app_data.plans (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
SELECT is_empty('SELECT * FROM pg_temp.found()', 'a table that nobody else may read needs none');
SELECT appdb.manage('app_data.plans');
SELECT pg_temp.finds('error | app_data.plans | it has no row security: whoever may read it sees the rows of all tenants | ALTER TABLE app_data.plans ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON app_data.plans FOR SELECT USING (...);', 'a managed table of one''s own does');
ROLLBACK TO start;

-- policies of servers' roles are for nobody else
CREATE ROLE appdb_test_doctor_server;
SELECT appdb.grant_access('appdb_test_doctor_server', 'service');
CREATE TABLE app_data.plans (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
SELECT appdb.manage('app_data.plans');
SELECT pg_temp.finds('error | app_data.plans | it has no row security: whoever may read it sees the rows of all tenants | ALTER TABLE app_data.plans ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON app_data.plans FOR SELECT USING (...);', 'where servers have a policy on it, too');
ALTER TABLE app_data.plans ENABLE ROW LEVEL SECURITY;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'it may be for servers alone');
DROP POLICY appdb_select ON app_data.notes;
DROP POLICY appdb_insert ON app_data.notes;
DROP POLICY appdb_update ON app_data.notes;
DROP POLICY appdb_delete ON app_data.notes;
SELECT pg_temp.finds('error | app_data.notes | it has no policies but those of roles with access level service: users see no rows | SELECT appdb.manage(''app_data.notes'');', 'a table of a space is not');
SELECT appdb.manage('app_data.notes');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'and what it says to type helps there');
ROLLBACK TO start;

GRANT SELECT, UPDATE ON appdb.notes TO PUBLIC;
SELECT pg_temp.finds('error | appdb.notes | PUBLIC has select, update on it | REVOKE ALL ON appdb.notes FROM PUBLIC;', 'privileges of PUBLIC');
ROLLBACK TO start;
CREATE ROLE appdb_test_trigger;
GRANT TRIGGER, REFERENCES, SELECT ON app_data.notes TO appdb_test_trigger;
SELECT pg_temp.finds('error | role appdb_test_trigger | it has trigger on "app_data.notes": its triggers there run as whoever writes, the owner of the tables too, and what it truncates is gone | REVOKE TRIGGER ON app_data.notes FROM appdb_test_trigger;', 'who may make triggers');
GRANT TRUNCATE ON app_data.notes, app_data.chats TO appdb_test_trigger;
GRANT TRIGGER ON appdb.chats TO appdb_test_trigger;
SELECT pg_temp.finds('error | role appdb_test_trigger | it has trigger, truncate on "app_data.chats" and 2 others: its triggers there run as whoever writes, the owner of the tables too, and what it truncates is gone | REVOKE TRIGGER, TRUNCATE ON app_data.chats, app_data.notes, appdb.chats FROM appdb_test_trigger;', 'or truncate');
REVOKE TRIGGER, TRUNCATE ON app_data.chats, app_data.notes, appdb.chats FROM appdb_test_trigger;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'what doctor() says helps');
ROLLBACK TO start;
GRANT CREATE ON SCHEMA appdb TO PUBLIC;
SELECT pg_temp.finds('error | schema appdb | PUBLIC may create objects in it, in the way of the engine''s | REVOKE CREATE ON SCHEMA appdb FROM PUBLIC;', 'a schema that everybody can create in');
ROLLBACK TO start;

CREATE ROLE doctor_web;
SELECT appdb.grant_access('doctor_web', 'app');
SELECT is_empty('SELECT * FROM pg_temp.found()', 'a role with access is healthy');
ALTER ROLE doctor_web BYPASSRLS;
SELECT pg_temp.finds('error | role doctor_web | it has BYPASSRLS: row security does not hold for it | ALTER ROLE doctor_web NOBYPASSRLS;', 'a role for which row security does not hold');
ALTER ROLE doctor_web NOBYPASSRLS SUPERUSER;
SELECT pg_temp.finds('error | role doctor_web | it is a superuser: row security does not hold for it | ALTER ROLE doctor_web NOSUPERUSER;', 'a superuser');
ALTER ROLE doctor_web NOSUPERUSER;
SELECT format('GRANT %I TO doctor_web', current_user) \gexec
SELECT pg_temp.finds(format('error | role doctor_web | it has the rights of the owner of the tables: row security does not hold for it | REVOKE %I FROM doctor_web;', current_user), 'a role that is a member of the owner');
SET LOCAL quote_all_identifiers = on;
SELECT ok(EXISTS (SELECT FROM pg_temp.found() f WHERE f LIKE format('%%| REVOKE %I FROM %I;', current_user, 'doctor_web')), 'whose name has to be quoted');
SET LOCAL quote_all_identifiers = off;
SELECT format('REVOKE %I FROM doctor_web', current_user) \gexec
ALTER ROLE doctor_web NOINHERIT;
SELECT format('GRANT %I TO doctor_web', current_user) \gexec
SELECT pg_temp.finds(format('error | role doctor_web | it is a member of role %1$s, which is a superuser: it can see all rows | REVOKE %1$I FROM doctor_web;', current_user), 'a role that can become a superuser');
SELECT format('REVOKE %I FROM doctor_web', current_user) \gexec
ALTER ROLE doctor_web INHERIT;
CREATE ROLE doctor_server;
SELECT appdb.grant_access('doctor_server', 'service');
GRANT doctor_web TO doctor_server;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'a server may take the role of an application');
REVOKE doctor_web FROM doctor_server;
GRANT doctor_server TO doctor_web;
SELECT pg_temp.finds('error | role doctor_web | it is a member of role doctor_server, which has access level service: it can see all rows | REVOKE doctor_server FROM doctor_web;', 'but not the other way round');
SELECT current_setting('server_version_num')::int >= 160000 AS has_options \gset
\if :has_options
REVOKE doctor_server FROM doctor_web;
GRANT doctor_server TO doctor_web WITH INHERIT FALSE, SET FALSE;
SELECT is_empty('SELECT * FROM pg_temp.found()', 'a membership that gives nothing');
GRANT doctor_server TO doctor_web WITH INHERIT TRUE;
SELECT pg_temp.finds('error | role doctor_web | it is a member of role doctor_server, which has access level service: it can see all rows | REVOKE doctor_server FROM doctor_web;', 'one that gives the rights');
GRANT doctor_server TO doctor_web WITH INHERIT FALSE, ADMIN TRUE;
SELECT pg_temp.finds('error | role doctor_web | it is a member of role doctor_server, which has access level service: it can see all rows | REVOKE doctor_server FROM doctor_web;', 'one that can be made to');
\endif
ROLLBACK TO start;
CREATE ROLE doctor_server;
SELECT appdb.grant_access('doctor_server', 'service');
ALTER ROLE doctor_server RENAME TO "doctor_Server";
SELECT results_eq('SELECT * FROM pg_temp.found(false)', ARRAY['error | role doctor_Server | it sees all rows, and has not access level service: it had another name when it was given that | SELECT appdb.grant_access(''doctor_Server'', ''service''); -- or appdb.revoke_access(''doctor_Server'')',
	'warning | role doctor_server | it has access level service, and does not exist | SELECT appdb.revoke_access(''doctor_server'');'], 'a role that was renamed');
ROLLBACK TO start;
INSERT INTO app_data.access VALUES ('doctor_gone', 'app');
SELECT pg_temp.finds('warning | role doctor_gone | it has access level app, and does not exist | SELECT appdb.revoke_access(''doctor_gone'');', 'a role that is gone');
ROLLBACK TO start;

CREATE EXTENSION dblink;
SELECT dblink_connect('app', format('host=%s port=%s dbname=%I user=%I application_name=shop', current_setting('unix_socket_directories'), current_setting('port'), current_database(), current_user));
SELECT pg_temp.finds(format('warning | role %s | 1 client connections as it (shop): it is the owner of the tables or a superuser, for whom row security does not hold | CREATE ROLE web LOGIN; SELECT appdb.grant_access(''web'', ''app'');  -- and connect the application as web', current_user), 'an application that connects as the owner');
SELECT dblink_disconnect('app');
ROLLBACK TO start;

-- == settings ===============================================================

SET LOCAL synchronous_commit = off;
SELECT pg_temp.finds('warning | setting synchronous_commit | a crash loses transactions that clients were told are committed | ALTER SYSTEM RESET synchronous_commit; SELECT pg_reload_conf();', 'commits that can be lost');
ROLLBACK TO start;
SELECT current_setting('server_version_num')::int >= 170000 AS has_event_triggers \gset
\if :has_event_triggers
SET LOCAL event_triggers = off;
SELECT pg_temp.finds('warning | setting event_triggers | tables are dropped without being asked, and live views do not follow ALTER TABLE | ALTER SYSTEM RESET event_triggers; SELECT pg_reload_conf();', 'event triggers that do not fire');
ROLLBACK TO start;
\endif
SET LOCAL zero_damaged_pages = on;
SELECT pg_temp.finds('error | setting zero_damaged_pages | damaged pages are emptied instead of reported | ALTER SYSTEM RESET zero_damaged_pages; SELECT pg_reload_conf();', 'damage that is hidden');
ROLLBACK TO start;
SET LOCAL appdb.allow_drop = on;
SELECT pg_temp.finds('warning | setting appdb.allow_drop | it is on in this session: tables and rows can be dropped without being asked | RESET appdb.allow_drop;  -- or in the configuration file', 'protection that is off');
ROLLBACK TO start;
CREATE ROLE doctor_web;
ALTER ROLE doctor_web SET appdb.allow_drop = on;
SELECT pg_temp.finds('warning | setting appdb.allow_drop | it is on for role doctor_web: tables and rows can be dropped without being asked | ALTER ROLE doctor_web RESET appdb.allow_drop;', 'for a role');
ROLLBACK TO start;
SELECT format('ALTER DATABASE %I SET session_replication_role = replica', current_database()) \gexec
SELECT pg_temp.finds(format('error | setting session_replication_role | it is replica for database %s: foreign keys, cascades and guards do not work | ALTER DATABASE %I RESET session_replication_role;', current_database(), current_database()), 'rules that are off for a database');
ROLLBACK TO start;

-- == rows ===================================================================

SET LOCAL session_replication_role = replica;
UPDATE app_data.chats SET deleted_at = now() WHERE id = pg_temp.id(21);
SET LOCAL session_replication_role = origin;
SELECT pg_temp.finds('error | app_data.messages | 1 live rows refer to deleted rows of "app_data.chats" (foreign key "messages_chat_id_fkey") | DELETE FROM appdb.messages AS c USING app_data.chats AS p WHERE c.space_id = p.space_id AND c.chat_id = p.id AND p.deleted_at IS NOT NULL;  -- or bring those back: appdb.restore()',
	'live rows below a deleted one', true);
SELECT is_empty('SELECT * FROM pg_temp.found(false)', 'which one finds by reading them');
DELETE FROM appdb.messages AS c USING app_data.chats AS p WHERE c.space_id = p.space_id AND c.chat_id = p.id AND p.deleted_at IS NOT NULL;
SELECT is_empty('SELECT * FROM pg_temp.found(true)', 'and what it says to type helps');
ROLLBACK TO start;
SET LOCAL session_replication_role = replica;
DELETE FROM app_data.chats WHERE id = pg_temp.id(21);
SET LOCAL session_replication_role = origin;
SELECT pg_temp.finds('error | app_data.messages | 1 rows refer to rows of "app_data.chats" that do not exist (foreign key "messages_chat_id_fkey") | SELECT * FROM app_data.messages AS c WHERE c.space_id IS NOT NULL AND c.chat_id IS NOT NULL AND NOT EXISTS (SELECT FROM app_data.chats AS p WHERE c.space_id = p.space_id AND c.chat_id = p.id);  -- bring those back from a backup, or erase these',
	'rows below none', true);
ROLLBACK TO start;
SET LOCAL session_replication_role = replica;
UPDATE app_data.users SET deleted_at = now() WHERE id = pg_temp.id(2);
SET LOCAL session_replication_role = origin;
SELECT ok(EXISTS (SELECT FROM pg_temp.found(true) f WHERE f = 'error | app_data.chats | 1 live rows refer to deleted rows of "app_data.users" (foreign key "chats_user_id_fkey") | UPDATE app_data.chats AS c SET user_id = NULL FROM app_data.users AS p WHERE c.user_id = p.id AND p.deleted_at IS NOT NULL AND c.deleted_at IS NULL;'),
	'a deleted author');
ROLLBACK TO start;

SET LOCAL session_replication_role = replica;
UPDATE app_data.members SET role = 'admin';
SET LOCAL session_replication_role = origin;
SELECT results_eq('SELECT * FROM pg_temp.found(true)', format($$VALUES
	('error | organization %s | "Acme" has members and no owner among them | UPDATE appdb.members SET role = ''owner'' WHERE organization_id = ''%s'' AND user_id = ...;'),
	('error | space %s | "Ours" has members and no owner among them | UPDATE appdb.space_members SET role = ''owner'' WHERE space_id = ''%s'' AND user_id = ...;')$$,
	pg_temp.id(3), pg_temp.id(3), pg_temp.id(12), pg_temp.id(12)), 'organizations and spaces without an owner');
ROLLBACK TO start;

SET LOCAL appdb.retention = '0';
SET LOCAL session_replication_role = replica;
UPDATE app_data.chats SET deleted_at = '2020-01-01' WHERE title = 'Old';
UPDATE app_data.deletions SET deleted_at = '2020-01-01';
SET LOCAL session_replication_role = origin;
SELECT pg_temp.finds('warning | retention | 1 deleted rows, with what was deleted with them, should have been purged, the first on 2020-01-01 | CALL appdb.purge();', 'rows that should be gone', true);
ROLLBACK TO start;

INSERT INTO appdb.tasks (kind, status, locked_by, locked_until, run_at) VALUES ('mail', 'running', 'w1', now() - interval '2 hours', now() - interval '3 hours');
SELECT pg_temp.finds('warning | tasks | 1 tasks have lost their worker more than an hour ago: nobody maintains the queue | CALL appdb.maintain();  -- from cron, or let the background worker do it: shared_preload_libraries = ''appdb''', 'a queue that nobody maintains', true);
ROLLBACK TO start;

-- == who may ask ============================================================

CREATE ROLE doctor_web;
SELECT appdb.grant_access('doctor_web', 'service');
SET LOCAL ROLE doctor_web;
SELECT throws_ok('SELECT * FROM appdb.doctor()', '42501', 'permission denied for function doctor', 'the owner of the tables alone');
RESET ROLE;

SELECT * FROM finish();
ROLLBACK;
