-- appdb.search(): what it finds, for whom, in which order, and by which index.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

INSERT INTO appdb.users (id, name, email) VALUES (pg_temp.id(1), 'Ann', 'ann@example.org'), (pg_temp.id(2), 'Ben', 'ben@example.org'), (pg_temp.id(3), 'Cat', 'cat@example.org');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.id(11), pg_temp.id(1), 'Shared'), (pg_temp.id(12), pg_temp.id(2), 'Ben''s');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (pg_temp.id(11), pg_temp.id(3), 'viewer');
INSERT INTO appdb.chats (id, space_id, user_id, title, visibility) VALUES
	(pg_temp.id(21), pg_temp.id(11), pg_temp.id(1), 'Rockets', 'space'), (pg_temp.id(22), pg_temp.id(11), pg_temp.id(1), NULL, 'private'), (pg_temp.id(23), pg_temp.id(12), pg_temp.id(2), 'Rockets of Ben', 'space');
INSERT INTO appdb.messages (id, space_id, chat_id, role, content) VALUES
	(pg_temp.id(31), pg_temp.id(11), pg_temp.id(21), 'user', 'A rocket went to <i>Mars</i> & came back'),
	(pg_temp.id(32), pg_temp.id(11), pg_temp.id(22), 'user', 'My secret rocket'),
	(pg_temp.id(33), pg_temp.id(12), pg_temp.id(23), 'user', 'Rockets, rockets, rockets'),
	(pg_temp.id(34), pg_temp.id(11), pg_temp.id(21), 'user', 'Nothing to see');
INSERT INTO appdb.notes (id, space_id, title, content) VALUES
	(pg_temp.id(41), pg_temp.id(11), 'Travelling', 'By rocket to Mars, then by foot'),
	(pg_temp.id(42), pg_temp.id(11), 'Rocket', ''),
	(pg_temp.id(43), pg_temp.id(11), 'Long', repeat('word ', 30000) || 'rocket'),
	(pg_temp.id(44), pg_temp.id(12), 'Rocket', 'of Ben');
INSERT INTO appdb.files (id, space_id, name) VALUES (pg_temp.id(51), pg_temp.id(11), 'rocket plan.pdf'), (pg_temp.id(52), pg_temp.id(12), 'rocket.pdf');
CREATE ROLE search_web;
CREATE ROLE search_service;
SELECT appdb.grant_access('search_web', 'app') AS done, appdb.grant_access('search_service', 'service') AS done2 \gset

GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO search_web, search_service;
CREATE FUNCTION pg_temp.ids(query text, entities text[] DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT entity || ' ' || right(id::text, 2) FROM appdb.search(query, entities) ORDER BY 1
$$;
GRANT ALL ON ALL FUNCTIONS IN SCHEMA pg_temp TO PUBLIC;

-- == what is found ==========================================================

SELECT results_eq($$SELECT pg_temp.ids('rocket')$$, $$VALUES ('chats 21'), ('chats 23'), ('files 51'), ('files 52'), ('messages 31'), ('messages 32'), ('messages 33'), ('notes 41'), ('notes 42'), ('notes 44')$$,
	'words in any form, in chats, files, messages and notes; the owner of the tables sees all; of long texts the beginning counts');
SELECT results_eq($$SELECT pg_temp.ids('rocket -mars', ARRAY['notes'])$$, $$VALUES ('notes 42'), ('notes 44')$$, 'words that are not wanted');
SELECT results_eq($$SELECT pg_temp.ids('"to mars"')$$, $$VALUES ('messages 31'), ('notes 41')$$, 'phrases');
SELECT results_eq($$SELECT pg_temp.ids('foot or "came back"')$$, $$VALUES ('messages 31'), ('notes 41')$$, 'either');
SELECT is_empty($$SELECT pg_temp.ids('submarine')$$, 'nothing, where there is nothing');
SELECT is_empty($$SELECT pg_temp.ids('')$$, 'or nothing was asked');
SELECT is_empty($$SELECT pg_temp.ids(NULL)$$, 'or null');
SELECT is_empty($$SELECT pg_temp.ids('the')$$, 'or words that are too common');
SELECT is_empty($$SELECT pg_temp.ids('space:' || pg_temp.id(11))$$, 'the index''s words for spaces are nobody''s to ask for');
SELECT results_eq($$SELECT entity, title, highlight FROM appdb.search('mars') WHERE space_id = pg_temp.id(11) ORDER BY 1$$, $$VALUES
	('messages', 'Rockets', 'rocket went to &lt;i&gt;<mark>Mars</mark>&lt;/i&gt; &amp; came back'), ('notes', 'Travelling', 'rocket to <mark>Mars</mark>, then by foot')$$,
	'a title, and where it matches, as HTML in which the text is escaped');
SELECT is((SELECT highlight FROM appdb.search('plan', ARRAY['files'])), 'rocket <mark>plan</mark> pdf', 'of a name the whole');
SELECT is((SELECT entity || ' ' || right(id::text, 2) FROM appdb.search('rocket', "limit" => 1)), 'notes 42', 'titles count for more');
SELECT results_eq('SELECT rank FROM appdb.search(''rocket'')', 'SELECT rank FROM appdb.search(''rocket'') ORDER BY rank DESC', 'the best come first');

SAVEPOINT deleted;
DELETE FROM appdb.chats WHERE id = pg_temp.id(21);
DELETE FROM appdb.notes;
SELECT results_eq($$SELECT pg_temp.ids('rocket') EXCEPT ALL SELECT pg_temp.ids('rocket', ARRAY['files']) ORDER BY 1$$, $$VALUES ('chats 23'), ('messages 32'), ('messages 33')$$, 'live rows only, those under a deleted one neither');
ROLLBACK TO deleted;

-- == page by page ===========================================================

CREATE FUNCTION pg_temp.pages(size int) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE seen text[] := '{}'; last text; hit record; more bool := true;
BEGIN
	WHILE more LOOP
		more := false;
		FOR hit IN SELECT * FROM appdb.search('rocket', NULL, size, last) LOOP
			seen := seen || (hit.entity || hit.id); last := hit.cursor; more := true;
		END LOOP;
	END LOOP;
	RETURN seen;
END $$;
SELECT is(pg_temp.pages(n), (SELECT array_agg(entity || id) FROM appdb.search('rocket')), format('page by page of %s, every row once, in the same order', n)) FROM generate_series(1, 4) n;
SET LOCAL extra_float_digits = -6;
SELECT is(pg_temp.pages(2), (SELECT array_agg(entity || id) FROM appdb.search('rocket')), 'in a session that rounds numbers, too');
RESET extra_float_digits;

-- == who finds what =========================================================

-- one for everyone is for the members of its space
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.id(13), pg_temp.id(2), 'Another');
INSERT INTO appdb.files (id, space_id, name) VALUES (pg_temp.id(59), pg_temp.id(13), 'rocket for everyone');
INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES (pg_temp.id(13), pg_temp.id(59), 'read');
-- and others have one for single users
INSERT INTO appdb.spaces (id, owner_id, name) SELECT pg_temp.id(n), pg_temp.id(2), 'One of many' FROM generate_series(100, 169) n;
INSERT INTO appdb.files (id, space_id, name) SELECT pg_temp.id(n), pg_temp.id(n), 'x' FROM generate_series(100, 169) n;
INSERT INTO appdb.file_permissions (space_id, file_id, user_id) SELECT pg_temp.id(n), pg_temp.id(n), CASE WHEN n < 140 THEN pg_temp.id(3) END FROM generate_series(100, 169) n;
SET LOCAL ROLE search_web;
SELECT is_empty($$SELECT pg_temp.ids('rocket')$$, 'nobody finds nothing');
RESET ROLE;
SELECT appdb.impersonate(pg_temp.id(1)) IS NOT NULL AS done \gset
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket')$$, $$VALUES ('chats 21'), ('files 51'), ('messages 31'), ('messages 32'), ('notes 41'), ('notes 42')$$, 'a user finds what is in their spaces');
RESET ROLE;
SELECT appdb.impersonate(pg_temp.id(3)) IS NOT NULL AS done \gset
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket')$$, $$VALUES ('chats 21'), ('files 51'), ('messages 31'), ('notes 41'), ('notes 42')$$, 'but nothing of another''s private chat');
RESET ROLE;
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission) VALUES (pg_temp.id(12), pg_temp.id(52), pg_temp.id(3), 'read');
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket', ARRAY['files'])$$, $$VALUES ('files 51'), ('files 52')$$, 'and a file of another space that one has permission for');
RESET ROLE;
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket', ARRAY['files'])$$, $$VALUES ('files 51'), ('files 52')$$, 'but not what is for everyone in theirs');
RESET ROLE;
SET LOCAL ROLE search_service;
SELECT is((SELECT count(*)::int FROM pg_temp.ids('rocket')), 11, 'a service role all');
RESET ROLE;

-- policies of the application's own
SAVEPOINT policies;
CREATE POLICY everybody ON app_data.notes FOR SELECT USING (title = 'Rocket');
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket', ARRAY['notes'])$$, $$VALUES ('notes 41'), ('notes 42'), ('notes 44')$$, 'a policy that shows more counts');
RESET ROLE;
CREATE POLICY short ON app_data.notes AS RESTRICTIVE FOR SELECT USING (current_user = 'search_web' AND length(content) < 10);
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket', ARRAY['notes'])$$, $$VALUES ('notes 42'), ('notes 44')$$, 'so does one that shows less, by whoever it asks about');
SELECT is((SELECT count(*)::int FROM pg_temp.ids('rocket') i WHERE i !~ 'notes'), 4, 'and the rest as before');
RESET ROLE;
ROLLBACK TO policies;

CREATE ROLE search_some;
GRANT USAGE ON SCHEMA app_data TO search_some;
GRANT SELECT ON app_data.notes, appdb.notes TO search_some;
SET LOCAL ROLE search_some;
SELECT results_eq($$SELECT entity || right(id::text, 2) FROM appdb.search('rocket') ORDER BY 1$$, $$VALUES ('notes41'), ('notes42')$$, 'where nothing is named, what the role may read');
PREPARE s AS SELECT * FROM appdb.search('rocket', ARRAY['notes', 'files']);
SAVEPOINT denied;
DO $$ BEGIN PERFORM FROM appdb.search('rocket', ARRAY['notes', 'files']); RAISE 'found'; EXCEPTION WHEN insufficient_privilege THEN END $$;
ROLLBACK TO denied;
DO $$ BEGIN PERFORM appdb._search('rocket', 'english', ARRAY['files'], 10, NULL, NULL); RAISE 'found'; EXCEPTION WHEN insufficient_privilege THEN END $$;
RESET ROLE;
SELECT pass('what may not be read is an error where it is named');

-- == the index ==============================================================

SELECT is_empty('SELECT * FROM appdb._search_indexes_missing()', 'there is an index for the language');
INSERT INTO appdb.files (space_id, name) SELECT pg_temp.id(12), 'file ' || i FROM generate_series(1, 3000) i;
ANALYZE app_data.files;
CREATE FUNCTION pg_temp.plan(entity text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
	SET LOCAL enable_seqscan = off;
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || replace(replace(replace(replace(replace(
		appdb._search_query(entity, 'app_data.' || entity, 'app_data.chats', 'true', 'english'),
		'$1', 'ARRAY[''x''::tsquery]'), '$2', '''x''::tsquery'), '$3', '1'), '$4', 'NULL::real'), '$5', 'NULL::uuid')
	LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END $$;
SELECT matches(pg_temp.plan(entity::text), 'Bitmap Index Scan on ' || entity || '_search_idx', format('a search of %s uses it', entity)) FROM appdb._searchable();
SELECT pg_stat_get_xact_numscans('app_data.files_search_idx'::regclass) AS scans \gset
SET LOCAL ROLE search_web;
SELECT results_eq($$SELECT pg_temp.ids('rocket', ARRAY['files'])$$, $$VALUES ('files 51'), ('files 52')$$, 'and finds the same');
RESET ROLE;
SELECT is(pg_stat_get_xact_numscans('app_data.files_search_idx'::regclass) - :scans, 2::bigint, 'looking for 42 spaces, some at a time, and for none that one sees nothing in');

SET LOCAL appdb.search_language = 'german';
SELECT results_eq('SELECT entity::text, language::text FROM appdb._search_indexes_missing() ORDER BY 1', $$VALUES ('app_data.chats', 'german'), ('app_data.files', 'german'), ('app_data.messages', 'german'), ('app_data.notes', 'german')$$, 'another language needs others');
SELECT results_eq($$SELECT severity, object, fix FROM appdb.doctor(false) WHERE object = 'app_data.files'$$,
	$$VALUES ('advice', 'app_data.files', $i$CREATE INDEX CONCURRENTLY files_search_german_idx ON app_data.files USING gin ((setweight(to_tsvector('german'::regconfig, COALESCE(translate(name, '._-'::text, '   '::text), ''::text)), 'A'::"char") || array_to_tsvector(ARRAY['space:'::text || space_id::text])));$i$)$$,
	'the doctor says how to make them');
SELECT format('%s', replace(fix, ' CONCURRENTLY', '')) FROM appdb.doctor(false) WHERE object = 'app_data.files' \gexec
SELECT is_empty($$SELECT * FROM appdb._search_indexes_missing() WHERE entity = 'app_data.files'::regclass$$, 'that helps');
INSERT INTO appdb.files (id, space_id, name) VALUES (pg_temp.id(53), pg_temp.id(11), 'Raketen');
SELECT results_eq($$SELECT pg_temp.ids('rakete')$$, $$VALUES ('files 53')$$, 'and its words are found in their forms');
SET LOCAL appdb.search_language = 'klingon';
SELECT throws_ok($$SELECT * FROM appdb.search('x')$$, '42704', 'appdb.search_language is "klingon", which is no text search configuration', 'a language that there is not');
SET LOCAL appdb.search_language = 'nowhere.english';
SELECT throws_ok($$SELECT * FROM appdb.search('x')$$, '42704', NULL, 'in a schema that there is not');
SET LOCAL appdb.search_language = 'some.where.english';
SELECT throws_ok($$SELECT * FROM appdb.search('x')$$, '42704', NULL, 'or elsewhere');
SELECT is((SELECT count(*) FROM appdb.doctor(false) WHERE object = 'setting appdb.search_language'), 1::bigint, 'which doctor() says');
SET LOCAL appdb.search_language = 'english';

-- == wrong questions ========================================================

SELECT throws_ok($$SELECT * FROM appdb.search('x', ARRAY['notes', 'users'])$$, '22023', 'entity "users" cannot be searched', 'an entity that cannot be searched');
SELECT throws_ok($$SELECT * FROM appdb.search('x', ARRAY[NULL])$$, '22023', 'entity NULL cannot be searched', 'or is null');
SELECT throws_ok($$SELECT * FROM appdb.search('x', NULL, 0)$$, '22023', 'limit 0 is not between 1 and 1000', 'no limit');
SELECT throws_ok($$SELECT * FROM appdb.search('x', NULL, NULL)$$, '22023', 'limit NULL is not between 1 and 1000', 'null');
SELECT throws_ok($$SELECT * FROM appdb.search('x', after => 'zzz')$$, '22023', 'after is no cursor of appdb.search()', 'a cursor that is none');
SELECT throws_ok($$SELECT * FROM appdb.search('x', after => 'AAAA')$$, '22023', 'after is no cursor of appdb.search()', 'or of other bytes');
SELECT lives_ok($$SELECT * FROM appdb.search(E'\'":*&|!<->()\\', NULL)$$, 'whatever is typed is no error');
SELECT results_eq(format('SELECT pg_temp.ids(%L, ARRAY[''notes''])', q), $$VALUES ('notes 41')$$, 'nor are hyphens: ' || left(q, 30))
FROM unnest(ARRAY['rocket - foot', '- foot', 'foot -', E'foot\n' || repeat('-', 40) || E'\nrocket', repeat('- ', 40) || 'foot', '--foot', repeat('-!', 40) || 'foot']) q;
SELECT results_eq(format('SELECT pg_temp.ids(%L, ARRAY[''notes''])', 'foot ' || repeat(q, 20000)), $$VALUES ('notes 41')$$, 'nor much of it: ' || q)
FROM unnest(ARRAY['rocket ', '-submarine ', 'or mars ', '"by rocket" ', 'by-rocket-']) q;
SELECT is_empty($$SELECT pg_temp.ids('foot ' || repeat('rocket ', 141) || 'comet rocket')$$, 'a thousand characters count');
SELECT results_eq($$SELECT pg_temp.ids('foot ' || repeat('rocket ', 141) || 'submarines')$$, $$VALUES ('notes 41')$$, 'up to a whole word');

SELECT * FROM finish();
ROLLBACK;
