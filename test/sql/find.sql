-- appdb.find(): trees of rows by one call.  test/find/random.t compares it with an interpreter of the language; here is what each part of it means.
\set ON_ERROR_ROLLBACK on
\set VERBOSITY default
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
BEGIN;
CREATE FUNCTION pg_temp.id(int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('40000000-0000-4000-8000-%s', lpad($1::text, 12, '0'))::uuid $$;
INSERT INTO appdb.users (id, name, email, email_verified_at, metadata) VALUES
	(pg_temp.id(1), 'Ann', 'ann@find.example', NULL, '{"tags": ["a", "b"], "level": 3}'),
	(pg_temp.id(2), 'Ben', 'ben@find.example', '2020-01-01', '{"tags": ["b"]}'),
	(pg_temp.id(3), NULL, 'cleo@find.example', NULL, '{}'),
	(pg_temp.id(4), 'Dan', 'dan@find.example', NULL, '{}');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (pg_temp.id(11), pg_temp.id(1), 'One'), (pg_temp.id(12), pg_temp.id(2), 'Two');
INSERT INTO appdb.space_members (id, space_id, user_id, role) VALUES
	(pg_temp.id(21), pg_temp.id(11), pg_temp.id(1), 'owner'), (pg_temp.id(22), pg_temp.id(11), pg_temp.id(2), 'editor'),
	(pg_temp.id(23), pg_temp.id(12), pg_temp.id(2), 'owner');
INSERT INTO appdb.chats (id, space_id, user_id, title) VALUES
	(pg_temp.id(31), pg_temp.id(11), pg_temp.id(1), 'Plans'), (pg_temp.id(32), pg_temp.id(11), NULL, 'Empty');
INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role, content, input_tokens) VALUES
	(pg_temp.id(41), pg_temp.id(11), pg_temp.id(31), pg_temp.id(1), 'user', 'first', NULL),
	(pg_temp.id(42), pg_temp.id(11), pg_temp.id(31), NULL, 'assistant', 'second', 10),
	(pg_temp.id(43), pg_temp.id(11), pg_temp.id(31), pg_temp.id(2), 'user', 'third', 20);
INSERT INTO appdb.folders (id, space_id, parent_id, name) VALUES
	(pg_temp.id(51), pg_temp.id(11), NULL, 'top'), (pg_temp.id(52), pg_temp.id(11), pg_temp.id(51), 'sub');
INSERT INTO appdb.notes (id, space_id, folder_id, user_id, title) VALUES (pg_temp.id(61), pg_temp.id(11), pg_temp.id(52), pg_temp.id(2), 'deep');

-- == columns ================================================================
SELECT appdb.find('users', '{"columns": {"name": true, "email": true}, "where": {"email": "ann@find.example"}}');
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": "ann@find.example"}}');
SELECT appdb.find('space_members', '{"columns": {"created_at": false, "updated_at": false, "deleted_at": false}, "where": {"role": "editor"}}');
SELECT appdb.find_one('users', '{"columns": ["name"], "where": {"email": "ben@find.example"}}');
SELECT appdb.find_one('users', '{"where": {"email": "nobody@find.example"}}') IS NULL;
SELECT appdb.find('users', '{"where": {"email": "nobody@find.example"}}');

-- == with ===================================================================
SELECT appdb.find('chats', '{"columns": ["title"], "orderBy": "title", "with": {
	"author": {"columns": ["name"]}, "space": {"columns": ["name"], "with": {"owner": {"columns": ["name"]}}},
	"messages": {"columns": ["content"], "limit": 2, "orderBy": {"id": "desc"}, "with": {"author": {"columns": ["name"]}}}}}');
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"like": "%@find.example"}}, "orderBy": {"email": "asc"},
	"with": {"spaces": {"columns": ["name"], "orderBy": {"name": "asc"}, "through": {"columns": ["role"]}}}}');
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"like": "%@find.example"}}, "orderBy": {"email": "asc"},
	"with": {"spaces": {"columns": ["name"], "through": {"columns": [], "where": {"role": "editor"}}}, "chats": false}}');
SELECT appdb.find('folders', '{"columns": ["name"], "where": {"parent_id": null, "space_id": "40000000-0000-4000-8000-000000000011"}, "with": {"children": {"columns": ["name"], "with": {"parent": {"columns": ["name"]}, "notes": {"columns": ["title"]}}}}}');
-- a to-one relation with a condition
SELECT appdb.find('messages', '{"columns": ["content"], "where": {"chat": {"title": "Plans"}}, "orderBy": "id", "with": {"author": {"columns": ["name"], "where": {"name": "Ann"}}}}');

-- == where ==================================================================
CREATE FUNCTION pg_temp.users(condition json) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(COALESCE(u ->> 'name', 'null'), ' ') FROM json_array_elements(appdb.find('users', query =>
		json_build_object('columns', json_build_array('name'), 'where', json_build_object('AND', json_build_array(condition, '{"email": {"like": "%@find.example"}}'::json)), 'orderBy', 'email'))) u
$$;
SELECT c, pg_temp.users(c::json) FROM (VALUES
	('{}'), ('{"name": "Ann"}'), ('{"name": {"eq": "Ann"}}'), ('{"name": {"ne": "Ann"}}'), ('{"name": null}'), ('{"name": {"ne": null}}'),
	('{"name": {"gt": "Ann", "lte": "Ben"}}'), ('{"name": {"gte": "Ben"}}'), ('{"name": {"lt": "Ben"}}'),
	('{"name": {"in": ["Ann", "Dan"]}}'), ('{"name": {"in": []}}'), ('{"name": {"notIn": ["Ann"]}}'), ('{"name": {"notIn": []}}'),
	('{"name": {"like": "_n%"}}'), ('{"name": {"ilike": "%N"}}'), ('{"name": {"notLike": "A%"}}'), ('{"name": {"notIlike": "a%"}}'),
	('{"name": {"isNull": true}}'), ('{"name": {"isNull": false}}'), ('{"name": {"isNotNull": true}}'),
	('{"OR": [{"name": "Ann"}, {"name": "Dan"}]}'), ('{"OR": []}'), ('{"AND": []}'), ('{"NOT": {"name": "Ann"}}'),
	('{"name": {"OR": ["Ann", {"like": "B%"}]}}'), ('{"name": {"NOT": {"in": ["Ann"]}}}'), ('{"name": {"AND": [{"gt": "A"}, {"lt": "B"}]}}'),
	('{"email_verified": true}'), ('{"email_verified": {"ne": true}}'), ('{"email_verified": {"in": [true]}}'),
	('{"email_verified_at": {"lt": "2021-01-01T00:00:00Z"}}'),
	('{"metadata": {"contains": {"tags": ["b"]}}}'), ('{"metadata": {"containedBy": {}}}'), ('{"metadata": {"hasKey": "level"}}'),
	('{"metadata": {"in": [{"tags": ["b"]}, true]}}'), ('{"metadata": {"notIn": [{}, {"tags": ["b"]}]}}'), ('{"metadata": {"hasAnyKey": ["level", "x"]}}'), ('{"metadata": {"hasAllKeys": ["level", "tags"]}}'),
	('{"id": {"in": ["40000000-0000-4000-8000-000000000001"]}}'),
	-- of related rows
	('{"spaces": true}'), ('{"spaces": false}'), ('{"spaces": {"name": "Two"}}'), ('{"NOT": {"spaces": {"name": "Two"}}}'),
	('{"messages": {"chat": {"title": "Plans", "space": {"name": "One"}}}}'), ('{"messages": {"input_tokens": {"gte": 20}}}'),
	('{"personal_spaces": {"OR": [{"name": "One"}, {"chats": true}]}}')) v (c);

-- == order, limit, offset ===================================================
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"like": "%@find.example"}}, "orderBy": [{"name": "desc"}], "limit": 2}');
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"like": "%@find.example"}}, "orderBy": [{"name": {"direction": "desc", "nulls": "last"}}], "limit": 2, "offset": 1}');
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"like": "%@find.example"}}, "orderBy": {"name": "asc nulls first"}, "limit": 1, "offset": 0}');
SELECT appdb.find('messages', '{"columns": ["content"], "where": {"space_id": "40000000-0000-4000-8000-000000000011"}, "orderBy": [{"author": {"name": "desc nulls last"}}, {"id": "asc"}]}');
SELECT appdb.find('users', '{"columns": ["name"], "limit": 0}');

-- == counts =================================================================
SELECT appdb.find('chats', '{"columns": ["title"], "orderBy": "title", "count": {"messages": true, "*": true}, "limit": 1}');
SELECT appdb.find('chats', '{"columns": ["title"], "orderBy": "title", "count": {"messages": {"where": {"role": "user"}}}}');
SELECT appdb.find('chats', '{"columns": ["title"], "where": {"title": "Plans"}, "with": {"messages": {"columns": ["content"], "limit": 1, "count": true, "orderBy": "id"}}}');
SELECT appdb.find('spaces', '{"columns": ["name"], "where": {"name": "One"}, "count": {"users": {"where": {"name": "Ben"}}, "chats": true}}');

-- == cursors ================================================================
-- every order, both ways, against the whole list
CREATE FUNCTION pg_temp.walk(ordering json, backward bool) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	cursor text;
	page json;
	seen text := '';
BEGIN
	FOR i IN 1..10 LOOP
		page := appdb.find('users', query => json_build_object('columns', json_build_array('name'), 'where', '{"email": {"like": "%@find.example"}}'::json,
			'orderBy', ordering, 'limit', 1, 'cursor', true, CASE WHEN backward THEN 'before' ELSE 'after' END, cursor));
		EXIT WHEN json_array_length(page) = 0;
		seen := seen || ' ' || COALESCE(page -> 0 ->> 'name', 'null');
		cursor := page -> 0 ->> '_cursor';
		IF i = 1 AND backward THEN
			-- from the end
			page := appdb.find('users', query => json_build_object('columns', json_build_array('name'), 'where', '{"email": {"like": "%@find.example"}}'::json,
				'orderBy', ordering, 'cursor', true));
			cursor := page -> (json_array_length(page) - 1) ->> '_cursor';
			seen := ' ' || COALESCE(page -> (json_array_length(page) - 1) ->> 'name', 'null');
		END IF;
	END LOOP;
	RETURN ltrim(seen);
END
$$;
SELECT o, pg_temp.walk(o::json, false), pg_temp.walk(o::json, true) FROM (VALUES
	('{"email": "asc"}'), ('{"email": "desc"}'), ('{"name": "asc"}'), ('{"name": "desc"}'), ('{"name": "asc nulls first"}'), ('{"name": "desc nulls last"}'),
	('[{"email_verified": "asc"}, {"name": "desc"}]'), ('[{"email_verified": "desc"}, {"email": "asc"}]'), ('[{"email_verified_at": "asc"}, {"name": "asc nulls first"}]')) v (o);
SELECT appdb.find('chats', query => json_build_object('columns', json_build_array('title'), 'orderBy', 'title', 'with', json_build_object('messages',
	json_build_object('columns', json_build_array('content'), 'orderBy', 'id', 'limit', 2, 'after',
		appdb.find_one('messages', '{"columns": ["id"], "where": {"content": "first"}, "orderBy": "id", "cursor": true}') ->> '_cursor'))));
SELECT appdb.find('users', '{"after": "xyz!"}');
SELECT appdb.find('users', '{"after": "AAAAAA"}');
-- one that says that its JSON is of a version that there is none of
SELECT appdb.find('users', json_build_object('orderBy', 'metadata', 'after', overlay(
	appdb.find_one('users', '{"orderBy": "metadata", "cursor": true}') ->> '_cursor' PLACING 'J' FROM 12 FOR 1)));
SELECT appdb.find('users', query => json_build_object('orderBy', 'name', 'after', appdb.find_one('users', '{"orderBy": "email", "cursor": true}') ->> '_cursor'));

-- == distinct ===============================================================
SELECT appdb.find('messages', '{"columns": ["role"], "distinct": true, "orderBy": "role", "where": {"space_id": "40000000-0000-4000-8000-000000000011"}}');
SELECT appdb.find('messages', '{"columns": ["role", "content"], "distinct": ["role"], "orderBy": [{"id": "desc"}], "with": {"author": {"columns": ["name"]}}, "where": {"space_id": "40000000-0000-4000-8000-000000000011"}}');
SELECT appdb.find('messages', '{"columns": [], "distinct": ["role"], "where": {"space_id": "40000000-0000-4000-8000-000000000011"}}');

-- == deleted rows ===========================================================
DELETE FROM appdb.messages WHERE content = 'second';
SELECT appdb.find('messages', '{"columns": ["content"], "orderBy": "id", "where": {"space_id": "40000000-0000-4000-8000-000000000011"}}');
SELECT appdb.find('messages', '{"columns": ["content"], "orderBy": "id", "where": {"space_id": "40000000-0000-4000-8000-000000000011"}, "deleted": "include"}');
SELECT appdb.find('chats', '{"columns": ["title"], "where": {"title": "Plans"}, "with": {"messages": {"columns": ["content"], "deleted": "only"}}}');
SELECT appdb.find('sessions', '{"deleted": "only"}');

-- == functions of a row =====================================================
CREATE FUNCTION appdb.shout_title(appdb.notes) RETURNS text LANGUAGE sql STABLE AS $$ SELECT upper($1.title) $$;
SELECT appdb.find('notes', '{"columns": ["title"], "where": {"title": "deep"}, "extras": ["shout_title"]}');
SELECT appdb.find('folders', '{"columns": [], "where": {"name": "sub"}, "with": {"notes": {"columns": [], "extras": {"shout_title": true}, "limit": 3, "orderBy": "id", "with": {"author": {"columns": ["name"]}}}}}');

SELECT appdb.find('notes', '{"columns": ["title"], "where": {"title": "deep"}, "with": {"folder": {"columns": [], "extras": ["path"]}}}');

-- == names ==================================================================
SELECT appdb.find('spaceMembers', '{"case": "camel", "columns": ["spaceId", "role"], "where": {"role": "editor", "userId": "40000000-0000-4000-8000-000000000002"}, "with": {"user": {"columns": {"emailVerifiedAt": true}, "count": {"sentInvitations": true}}}}');

-- == json, jsonb, text, parameters ==========================================
SELECT pg_typeof(appdb.find('users', '{"limit": 0}')), pg_typeof(appdb.find('users', '{"limit": 0}'::json)), pg_typeof(appdb.find('users', '{"limit": 0}'::jsonb)), pg_typeof(appdb.find('users', '{"limit": 0}'::text)),
	pg_typeof(appdb.find_one('users', '{}')), pg_typeof(appdb.find_one('users', '{}'::jsonb));
PREPARE untyped AS SELECT appdb.find($1, $2);
PREPARE named AS SELECT appdb.find(entity => $1, query => $2);
SELECT name, parameter_types FROM pg_prepared_statements WHERE name IN ('untyped', 'named') ORDER BY 1;
EXECUTE untyped ('spaces', '{"columns": ["name"], "where": {"name": "One"}}');
DEALLOCATE untyped;
DEALLOCATE named;
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": {"in": ["ben@find.example"]}}}'::jsonb);
SELECT appdb.find('users', '{"orderBy": {"name": "asc", "email": "asc"}}'::jsonb);
SELECT appdb.find('users', '{"columns": ["name"], "orderBy": [{"name": "asc"}, {"email": "asc"}], "limit": 1}'::jsonb);
SELECT appdb.find('users', NULL::json) IS NOT NULL;
SELECT appdb.find(NULL, '{}');
SELECT appdb.find('users', '[object Object]');
SELECT appdb.find('users', '{"limit": }');
SELECT appdb.find('spaces', E'{"columns": ["name"], "where": {"name": "\\u004fne"}}');
SELECT appdb.find('spaces', E'{"where": {"name": "\\u0000"}}');

-- == errors =================================================================
CREATE FUNCTION pg_temp.refused(query text, entity text DEFAULT 'chats') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	message text;
	detail text;
	hint text;
BEGIN
	PERFORM appdb.find(entity, query::json);
	RETURN 'NOT REFUSED: ' || query;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n    ', SQLSTATE || ' ' || message, NULLIF(regexp_replace(detail, '^(.{60}).*', '\1…'), ''), NULLIF(hint, ''));
END
$$;
SELECT pg_temp.refused(q) FROM (VALUES
	('[]'), ('"x"'), ('{"wiht": {}}'), ('{"limit": "5"}'), ('{"limit": -1}'), ('{"limit": 1.5}'), ('{"limit": 99999999999999999999}'), ('{"limit": 100001}'), ('{"offset": -1}'), ('{"offset": "a"}'), ('{"offset": 1.5}'),
	('{"columns": ["titel"]}'), ('{"columns": {"title": 1}}'), ('{"columns": "title"}'), ('{"columns": [1]}'),
	('{"with": {"mesages": true}}'), ('{"with": {"messages": 5}}'), ('{"with": {"messages": {"limit": "x"}}}'), ('{"with": ["messages"]}'), ('{"with": {"author": {"limit": 1}}}'),
	('{"with": {"messages": {"with": {"author": {"with": {"nothing": true}}}}}}'), ('{"with": {"messages": {"through": true}}}'), ('{"with": {"messages": {"case": "camel"}}}'),
	('{"where": {"title": {"equals": "a"}}}'), ('{"where": {"title": ["a"]}}'), ('{"where": {"title": 5}}'), ('{"where": {"id": "x"}}'), ('{"where": {"id": {"in": ["x"]}}}'), ('{"where": {"id": {"in": "x"}}}'), ('{"where": {"id": {"in": [null]}}}'),
	('{"where": {"id": {"in": [["x"]]}}}'), ('{"where": {"id": true}}'), ('{"where": {"id": {"eq": {}}}}'), ('{"where": {"metadata": {"eq": [1]}}}'), ('{"where": {"metadata": true}}'), ('{"where": {"id": {"gt": null}}}'), ('{"where": {"id": {"like": "a"}}}'), ('{"where": {"title": {"like": 5}}}'), ('{"where": {"title": {"isNull": "x"}}}'), ('{"where": {"title": {"contains": "x"}}}'),
	('{"where": {"metadata": {"eq": {"a": 1}}}}'), ('{"where": {"visibility": "nowhere"}}'), ('{"where": {"AND": {}}}'), ('{"where": {"OR": [5]}}'), ('{"where": {"NOT": []}}'), ('{"where": {"contains": {"a": 1}}}'), ('{"where": {"author": 5}}'), ('{"where": {"author": {"nam": "x"}}}'), ('{"where": []}'), ('{"where": {"title": "a", "title": "b"}}'),
	('{"orderBy": {"titel": "asc"}}'), ('{"orderBy": {"title": "up"}}'), ('{"orderBy": {"title": {"direction": "up"}}}'), ('{"orderBy": {"title": {"by": "up"}}}'), ('{"orderBy": {"messages": {"id": "asc"}}}'), ('{"orderBy": {"metadata": {"id": "asc"}}}'), ('{"orderBy": [5]}'), ('{"orderBy": 5}'), ('{"orderBy": {"author": "asc"}}'),
	('{"count": 5}'), ('{"count": {"mesages": true}}'), ('{"count": {"messages": {"limit": 1}}}'), ('{"cursor": 1}'), ('{"after": 5}'), ('{"after": "AAAAAA", "before": "AAAAAA"}'), ('{"distinct": "title"}'), ('{"distinct": []}'), ('{"distinct": true, "with": {"author": true}}'), ('{"distinct": ["title"], "cursor": true}'), ('{"distinct": true, "columns": ["title"], "orderBy": "id"}'),
	('{"extras": ["x"]}'), ('{"extras": 5}'), ('{"deleted": "all"}'), ('{"case": "upper"}'), ('{"columns": ["title"], "extras": ["messages"]}')) v (q);
SELECT pg_temp.refused('{}', 'chat');
SELECT pg_temp.refused('{}', 'appdb.chats');
SELECT pg_temp.refused('{"columns": ["chats.title"]}');
SELECT pg_temp.refused('{}', 'pg_class');
SELECT pg_temp.refused('{}', 'chats; DROP TABLE app_data.chats');
-- nothing pasted reaches SQL
SELECT appdb.find('chats', '{"columns": ["title"], "where": {"title": "a''; DROP TABLE app_data.chats; --"}}');
SELECT pg_temp.refused('{"columns": ["title\" FROM app_data.chats; --"]}');
-- limits are settings
SET LOCAL appdb.find_max_depth = 2;
SELECT pg_temp.refused('{"with": {"messages": {"with": {"author": true}}}}');
SELECT pg_temp.refused('{"where": {"messages": {"author": {"name": "x"}}}}');
RESET appdb.find_max_depth;
SET LOCAL appdb.find_max_nodes = 2;
SELECT pg_temp.refused('{"with": {"messages": true, "author": true}}');
RESET appdb.find_max_nodes;
SELECT pg_temp.refused(json_build_object('where', json_build_object('AND', json_agg(json_build_object('title', n))))::text) FROM generate_series(1, 10001) AS n;
SET LOCAL appdb.find_max_rows = 2;
SELECT pg_temp.refused('{"limit": 3}');
SELECT pg_temp.refused('{"columns": ["content"], "deleted": "include"}', 'messages');
SELECT appdb.find('chats', '{"columns": ["title"], "orderBy": "title"}');
RESET appdb.find_max_rows;
SELECT pg_temp.refused('{"where": ' || repeat('{"NOT": ', 100000) || '{}' || repeat('}', 100000) || '}') LIKE '54001%';

-- == what can be asked ======================================================
SELECT name, entity, label, soft_delete, relations FROM appdb.entities WHERE name = 'notes';
SELECT kind, name, type, "to", nullable FROM appdb.describe('notes');
SELECT appdb.describe('note');
SELECT appdb.describe(NULL);
SELECT s ->> '$ref', json_typeof(s -> '$defs' -> 'notes.where'), s -> '$defs' -> 'notes.one' -> 'properties' ->> 'columns' FROM appdb.find_schema('notes') s;
-- every reference in it leads somewhere
WITH d AS MATERIALIZED (SELECT appdb.find_schema('notes') AS s)
	SELECT DISTINCT r[1] FROM d, regexp_matches(s::text, '"\$ref"\s*:\s*"#/\$defs/([^"]*)"', 'g') r WHERE r[1] NOT IN (SELECT json_object_keys(s -> '$defs') FROM d);
-- readers such as Ajv take no "enum" of nothing
SELECT count(*) FROM jsonb_path_query(appdb.find_schema('notes')::jsonb, 'strict $.** ? (@.enum.size() == 0)');
SELECT s #>> '{folders.many,properties,extras}', s #> '{chats.many,properties,extras}', s #>> '{users.where,properties,metadata}', s #> '{filter.jsonb,anyOf,1,properties,in}', s #> '{notes.one,properties,count,anyOf,1,properties,*}'
	FROM (SELECT appdb.find_schema('notes')::jsonb -> '$defs') v (s);
SELECT regexp_replace(x, '\(cost.*', '') FROM appdb.explain_find('spaces', '{"columns": ["name"], "where": {"id": "40000000-0000-4000-8000-000000000011"}}') x LIMIT 2;
SELECT count(*) > 3 FROM appdb.explain_find('spaces', '{"with": {"users": true}}', true) x;

-- == the cache ==============================================================
SELECT appdb.find('spaces', '{"columns": ["name"], "where": {"name": {"in": ["One"]}}}');
CREATE TEMP TABLE before AS SELECT * FROM appdb.find_stats();
SELECT appdb.find('spaces', '{"columns": ["name"], "where": {"name": {"in": ["One", "Two"]}}, "orderBy": "name"}');
SELECT appdb.find('spaces', '{"columns": ["name"], "where": {"name": {"in": ["Two"]}}}');
SELECT s.hits - b.hits AS hits, s.misses - b.misses AS misses, s.shapes - b.shapes AS shapes, s.memory > 0 AS memory FROM appdb.find_stats() s, before b;
-- DDL: a new column, a new relation, a new table, a name that is gone
CREATE TABLE app_data.find_things (id uuid PRIMARY KEY, space_id uuid NOT NULL REFERENCES app_data.spaces (id), name text, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.find_things (space_id);
SELECT appdb.manage('app_data.find_things');
INSERT INTO appdb.find_things (id, space_id, name) VALUES (pg_temp.id(71), pg_temp.id(11), 'thing');
SELECT appdb.find('spaces', '{"columns": ["name"], "where": {"name": "One"}, "with": {"find_things": {"columns": ["name"]}}}');
ALTER TABLE app_data.find_things ADD COLUMN size int DEFAULT 7;
SELECT appdb.find('find_things', '{"columns": {"created_at": false, "updated_at": false}}');
ALTER TABLE app_data.find_things RENAME COLUMN name TO title;
SELECT appdb.find('find_things', '{"columns": ["title"]}');
SELECT pg_temp.refused('{"columns": ["name"]}', 'find_things');
ALTER VIEW appdb.find_things RENAME COLUMN space_id TO place;
SELECT pg_temp.refused('{"with": {"space": true}}', 'find_things');
ALTER VIEW appdb.find_things RENAME COLUMN place TO space_id;
SELECT appdb.unmanage('app_data.find_things');
SELECT pg_temp.refused('{}', 'find_things');
-- a changed policy, a dropped index, another search_path: what was planned before is planned again, and means the same
CREATE TABLE app_data.find_rows (id uuid PRIMARY KEY, n int NOT NULL, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX find_rows_n ON app_data.find_rows (n);
SELECT appdb.manage('app_data.find_rows');
INSERT INTO appdb.find_rows (id, n) SELECT pg_temp.id(n), n FROM generate_series(80, 83) n;
CREATE FUNCTION pg_temp.ns() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(r ->> 'n', ' ') FROM json_array_elements(appdb.find('find_rows', '{"columns": ["n"], "where": {"n": {"gt": 80}}, "orderBy": "n", "limit": 10}'::json)) r $$;
SELECT pg_temp.ns();
SELECT pg_temp.ns();
DROP INDEX app_data.find_rows_n;
SELECT pg_temp.ns();
SET LOCAL search_path = app_data;
SELECT pg_temp.ns();
RESET search_path;
SELECT pg_temp.ns();
ANALYZE app_data.find_rows;
SELECT pg_temp.ns();
CREATE ROLE find_rows_reader;
GRANT SELECT ON appdb.find_rows, app_data.find_rows TO find_rows_reader;
ALTER TABLE app_data.find_rows ENABLE ROW LEVEL SECURITY;
SET LOCAL ROLE find_rows_reader;
SELECT pg_temp.ns() IS NULL AS none;
RESET ROLE;
SELECT pg_temp.ns();
CREATE POLICY odd ON app_data.find_rows USING (n % 2 = 1);
SET LOCAL ROLE find_rows_reader;
SELECT pg_temp.ns();
SELECT pg_temp.ns();
RESET ROLE;
ALTER POLICY odd ON app_data.find_rows USING (n % 2 = 0);
SET LOCAL ROLE find_rows_reader;
SELECT pg_temp.ns();
RESET ROLE;
-- a function of a row that is inlined, and then means something else
CREATE FUNCTION appdb.twice(appdb.find_rows) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT $1.n * 2 $$;
SELECT appdb.find('find_rows', '{"columns": [], "extras": ["twice"], "orderBy": "n", "limit": 2}');
CREATE OR REPLACE FUNCTION appdb.twice(appdb.find_rows) RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT $1.n * 3 $$;
SELECT appdb.find('find_rows', '{"columns": [], "extras": ["twice"], "orderBy": "n", "limit": 2}');
-- room is made by dropping what has not been used for longest
SET LOCAL appdb.find_cache_size = '500kB';
SELECT count(appdb.find('spaces', query => json_build_object('limit', n, 'with', '{"users": true}'::json))) FROM generate_series(1, 50) n;
SELECT shapes < 20 AS few, memory <= memory_limit AS within, evictions > 30 AS evicted FROM appdb.find_stats();
RESET appdb.find_cache_size;
-- a function of a row that asks itself, with no room for both
CREATE FUNCTION appdb.members_found(appdb.spaces) RETURNS json LANGUAGE sql STABLE AS $$ SELECT appdb.find('space_members', query => json_build_object('columns', json_build_array('role'), 'orderBy', 'role', 'where', json_build_object('space_id', $1.id))) $$;
SET LOCAL appdb.find_cache_size = 0;
SELECT appdb.find('spaces', '{"columns": ["name"], "extras": ["members_found"], "orderBy": "name"}');
SELECT appdb.find('spaces', '{"columns": ["name"], "extras": ["members_found"], "orderBy": "name", "limit": 1}');
RESET appdb.find_cache_size;

-- == values ==================================================================
-- rows are written by hand: as row_to_json() writes them, whatever the type
CREATE TYPE app_data.find_mood AS ENUM ('sad', 'it"s \ok');
CREATE TYPE app_data.find_pair AS (a int, "b c" text);
CREATE DOMAIN app_data.find_name AS text;
CREATE DOMAIN app_data.find_names AS text[];
CREATE TYPE app_data.find_color AS ENUM ('red');
CREATE FUNCTION app_data.find_color_json(app_data.find_color) RETURNS json LANGUAGE sql IMMUTABLE AS $$ SELECT '{"color": "red"}'::json $$;
CREATE CAST (app_data.find_color AS json) WITH FUNCTION app_data.find_color_json(app_data.find_color);
CREATE TABLE app_data.find_values (
	id uuid PRIMARY KEY, "a ""quoted\" int2, i int, big int8, f4 float4, f8 float8, num numeric, yes bool, t text, v varchar(9), c char(5), n name, ch "char", b bytea,
	d date, ts timestamp, tz timestamptz, ti time, tiz timetz, iv interval, js json, jb jsonb, mood app_data.find_mood, pair app_data.find_pair, dom app_data.find_name,
	doms app_data.find_names, color app_data.find_color, texts text[], nums int[], ids uuid[], moods app_data.find_mood[], pairs app_data.find_pair[], jbs jsonb[], ip inet, bits bit(3), r int4range, m money, o oid, lsn pg_lsn, v2 int2vector,
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.find_values');
INSERT INTO appdb.find_values (id, "a ""quoted\", i, big, f4, f8, num, yes, t, v, c, n, ch, b, d, ts, tz, ti, tiz, iv, js, jb, mood, pair, dom, doms, color, texts, nums, ids, moods, pairs, jbs, ip, bits, r, m, o, lsn, v2) VALUES
	(pg_temp.id(1), -32768, -2147483648, -9223372036854775808, 'NaN', '-Infinity', 'NaN', true, '', '', '', 'n', 'c', '', 'infinity', '-infinity', 'infinity', '23:59:59.999', '01:02:03+04', '1 mon', 'null', 'null', 'sad', (1, 'x'), 'dom', '{a,NULL}', 'red', '{}', '{1,NULL,-3}', '{}', '{sad}', '{"(1,)"}', '{"{\"a\": 1}"}', '::1', '101', '[1,2)', 1, 4294967295, '0/1F', '1 2'),
	(pg_temp.id(2), 7, 0, 9223372036854775807, 0.1, 1e300, 123456789012345678901234567890.5, false, E'quote " backslash \\ slash / \b\f\n\r\t \x01\x1f\x7f end', 'plain', 'ab', 'name"', '"', '\x00ff22', '2024-02-29', '2024-02-29 12:34:56.789', '0001-01-01 00:00:00+00 BC', '00:00', '00:00+00', '-1 day', '{"a": [1, "b" ]}', '{"a": [1, "\u0001\""]}', 'it"s \ok', (NULL, 'a "q" \'), 'd"', NULL, NULL, '{"a \"b\"",c}', '{{1,2},{3,4}}', ARRAY[pg_temp.id(3)], '{}', NULL, NULL, '10.0.0.0/8', '000', 'empty', -2.5, 0, '0/0', ''),
	(pg_temp.id(3), NULL, 10, 10, 1, -0.0, 1.50, NULL, repeat('long " ', 3000), 'äöü€', '€', 'ü', '\', '\x', '0044-03-15 BC', '294276-12-31 23:59:59.999999', '2024-07-01 00:00+14', NULL, NULL, NULL, ' 1 ', '1', NULL, NULL, NULL, '{}', NULL, NULL, NULL, NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, NULL),
	(pg_temp.id(4), NULL, NULL, NULL, NULL, NULL, NULL, NULL, '12345678901234567890123456789"', '1234567', '12345', '', '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
SET LOCAL timezone = 'Europe/Berlin';
SELECT row_to_json(w)::text = f::text AS same, length(f::text) > 500 AS long FROM appdb.find_values w JOIN LATERAL appdb.find_one('find_values', query => json_build_object('where', json_build_object('id', w.id))) f ON true ORDER BY w.id;
-- values at all places of a string, at all lengths
SELECT count(*), count(*) FILTER (WHERE appdb._row('{t}', t)::text = row_to_json(x)::text) AS same
	FROM (SELECT repeat('x', a) || chr(c) || repeat('y', b) AS t FROM generate_series(0, 17) a, generate_series(0, 17) b, unnest('{1,8,9,10,12,13,31,32,33,34,35,91,92,93,127,128,233,8364,128512}'::int[]) c) x;
-- more columns than a function takes arguments
DO $$ BEGIN
	EXECUTE format('CREATE TABLE app_data.find_wide (id uuid PRIMARY KEY, %s, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz)', (SELECT string_agg(format('c%s int DEFAULT %s', n, n), ', ') FROM generate_series(1, 120) n));
	EXECUTE $x$ SELECT appdb.manage('app_data.find_wide') $x$;
END $$;
INSERT INTO appdb.find_wide (id) VALUES (pg_temp.id(1));
SELECT appdb.find('find_wide')::jsonb = jsonb_agg(to_jsonb(w)) AS same FROM appdb.find_wide w;
SELECT appdb.find('findWide', '{"case": "camel", "columns": {"c1": false}}')::jsonb -> 0 -> 'createdAt' IS NOT NULL AS camel;
SELECT columns, appdb.find('find_wide', query => json_build_object('columns', (SELECT json_agg('c' || n) FROM generate_series(1, columns) n)))::jsonb =
	(SELECT jsonb_build_array(jsonb_object_agg('c' || n, n)) FROM generate_series(1, columns) n) AS same FROM generate_series(98, 101) columns;
SELECT appdb.find('find_wide', '{"columns": []}');
SELECT appdb._row('{a}', VARIADIC '{1}'::int[]);
SELECT appdb._row('{a,b}', 1);
SELECT appdb._rows(NULL::json), (SELECT appdb._rows(r) FROM (SELECT '1'::json r WHERE false) x);

-- == arrays and jsonb ========================================================
CREATE TABLE app_data.find_tags (id uuid PRIMARY KEY, name text, texts text[], nums int[], ids uuid[], times timestamptz[], moods app_data.find_mood[], data jsonb, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
CREATE INDEX ON app_data.find_tags USING gin (texts);
SELECT appdb.manage('app_data.find_tags');
INSERT INTO appdb.find_tags (id, name, texts, nums, ids, times, moods, data) VALUES
	(pg_temp.id(1), 'one', '{a,b}', '{1,2,3}', ARRAY[pg_temp.id(7), pg_temp.id(8)], '{2024-01-01 00:00+00}', '{sad}', '{"a": 1, "b": {"c": [1, 2]}}'),
	(pg_temp.id(2), 'two', '{b,c,"d, \"e\""}', '{3}', '{}', NULL, '{sad,"it\"s \\ok"}', '["a", "b"]'),
	(pg_temp.id(3), 'empty', '{}', '{}', NULL, '{}', '{}', '{}'),
	(pg_temp.id(4), 'null', NULL, NULL, NULL, NULL, NULL, NULL),
	(pg_temp.id(5), 'nulls', '{a,NULL}', '{NULL}', NULL, NULL, NULL, 'null');
CREATE FUNCTION pg_temp.tags(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text;
BEGIN
	RETURN (SELECT string_agg(t ->> 'name', ' ') FROM json_array_elements(appdb.find('find_tags', query => json_build_object('columns', json_build_array('name'), 'where', condition::json, 'orderBy', 'id'))) t);
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
	RETURN SQLSTATE || ' ' || message;
END $$;
SELECT c, pg_temp.tags(c) FROM (VALUES
	('{"texts": {"arrayContains": ["b"]}}'), ('{"texts": {"arrayContains": ["a", "b"]}}'), ('{"texts": {"arrayContains": []}}'), ('{"texts": {"arrayContains": ["d, \"e\""]}}'),
	('{"texts": {"arrayContained": ["a", "b", "x"]}}'), ('{"texts": {"arrayContained": []}}'), ('{"texts": {"arrayOverlaps": ["a", "c"]}}'), ('{"texts": {"arrayOverlaps": []}}'),
	('{"texts": {"eq": ["a", "b"]}}'), ('{"texts": {"ne": ["a", "b"]}}'), ('{"texts": {"gt": ["a"]}}'), ('{"texts": null}'), ('{"texts": {"isNull": false}}'), ('{"texts": {"NOT": {"arrayContains": ["a"]}}}'),
	('{"nums": {"arrayContains": [3]}}'), ('{"nums": {"arrayContains": ["3"]}}'), ('{"nums": {"arrayContained": [1, 2, 3]}}'), ('{"nums": {"arrayOverlaps": [1, 9]}}'),
	('{"ids": {"arrayContains": ["40000000-0000-4000-8000-000000000008"]}}'), ('{"ids": {"arrayOverlaps": ["40000000-0000-4000-8000-000000000009"]}}'),
	('{"times": {"arrayContains": ["2024-01-01T01:00:00+01:00"]}}'), ('{"moods": {"arrayContains": ["it\"s \\ok"]}}'), ('{"moods": {"arrayContained": ["sad"]}}'),
	('{"data": {"contains": {"b": {"c": [2]}}}}'), ('{"data": {"contains": ["a"]}}'), ('{"data": {"contains": "a"}}'), ('{"data": {"containedBy": {"a": 1, "b": {"c": [1, 2, 3]}}}}'), ('{"data": {"hasKey": "a"}}'),
	('{"data": {"hasAnyKey": ["b", "z"]}}'), ('{"data": {"hasAllKeys": ["a", "b"]}}'), ('{"data": {"contains": {}}}'),
	('{"nums": {"arrayContains": ["x"]}}'), ('{"nums": {"arrayContains": 3}}'), ('{"nums": {"arrayContains": {"a": 1}}}'), ('{"nums": {"arrayContains": [[1]]}}'), ('{"nums": {"arrayContains": [1.5]}}'), ('{"ids": {"arrayContains": ["no"]}}'),
	('{"texts": {"arrayContains": [null]}}'), ('{"texts": {"arrayContains": [1]}}'), ('{"texts": {"in": [["a"]]}}'), ('{"texts": {"like": "a"}}'), ('{"texts": ["a"]}'), ('{"texts": {"contains": ["a"]}}'), ('{"name": {"arrayContains": ["a"]}}'), ('{"moods": {"arrayContains": ["happy"]}}')) v (c);
-- one shape, whatever the list
SELECT count(*) FROM appdb.explain_find('find_tags', '{"where": {"texts": {"arrayContains": ["a", "b", "c"]}}}') l WHERE l LIKE '%$1 = ''{a,b,c}''::pg_catalog.text[]%';

-- == numbers ================================================================
CREATE TABLE app_data.find_numbers (
	id uuid PRIMARY KEY, big bigint, price numeric, bigs bigint[], prices numeric[], small int, real float8, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.find_numbers');
INSERT INTO appdb.find_numbers (big, price, bigs, prices, small, real) VALUES (9007199254740993, 0.10, '{9007199254740993,NULL}', '{1.10,NaN}', 7, 0.5), (NULL, 'NaN', NULL, '{}', NULL, NULL);
SELECT appdb.find('find_numbers', '{"columns": ["big", "price", "bigs", "prices", "small", "real"], "orderBy": "id"}');
SELECT appdb.find('find_numbers', '{"columns": ["big", "price", "bigs", "prices", "small", "real"], "orderBy": "id", "numbers": "string", "count": true}');
SELECT appdb.find('find_numbers', '{"columns": ["big"], "orderBy": {"big": "desc nulls last"}, "limit": 1, "numbers": "string", "where": {"big": {"gte": "9007199254740993"}}}');
SELECT appdb.find('find_numbers', '{"columns": ["big"], "distinct": true, "orderBy": "big", "numbers": "string"}'), appdb.find('find_numbers', '{"columns": ["big"], "orderBy": "big", "numbers": "number"}');
CREATE FUNCTION appdb.find_twice(appdb.find_numbers) RETURNS bigint LANGUAGE sql STABLE RETURN $1.big * 2;
SELECT appdb.find_one('find_numbers', '{"columns": [], "extras": ["find_twice"], "orderBy": "id", "numbers": "string"}');
SELECT pg_temp.refused('{"numbers": "text"}', 'users');

-- == types and names of others ==============================================
-- a type with operators of its own, in which "B" comes after "a"
CREATE EXTENSION citext;
CREATE TABLE app_data.find_words (
	id uuid PRIMARY KEY, word citext NOT NULL, contains bool, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.find_words');
INSERT INTO appdb.find_words (word, contains) VALUES ('a', true), ('B', false), ('c', NULL);
SELECT appdb.find('find_words', json_build_object('columns', '["word"]'::json, 'orderBy', 'word', 'after', w ->> '_cursor'))
	FROM json_array_elements(appdb.find('find_words', '{"columns": ["word"], "orderBy": "word", "cursor": true}')) w;
SELECT c, appdb.find('find_words', json_build_object('columns', '["word"]'::json, 'where', json_build_object('word', c::json))) FROM (VALUES
	('"A"'), ('{"in": ["A", "b"]}'), ('{"like": "A%"}'), ('{"notLike": "A%"}'), ('{"ilike": "b"}'), ('{"gt": "A", "lt": "C"}')) v (c);
-- a row of nulls, which IS NULL, among nulls; what cannot be ordered; a column with the name of an alias
CREATE TABLE app_data.find_odd (
	id uuid PRIMARY KEY, b1 text, pair app_data.find_pair, places point[], created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('app_data.find_odd');
CREATE FUNCTION appdb.find_shout(appdb.find_odd) RETURNS text LANGUAGE sql STABLE RETURN upper($1.b1);
INSERT INTO appdb.find_odd (b1, pair) VALUES ('a', NULL), ('b', (NULL, NULL)), ('c', (1, NULL)), ('d', NULL);
SELECT w ->> 'b1' AS b1, appdb.find('find_odd', json_build_object('columns', '["b1"]'::json, 'orderBy', 'pair', 'after', w ->> '_cursor')) AS after, appdb.find('find_odd', json_build_object('columns', '["b1"]'::json, 'orderBy', 'pair', 'before', w ->> '_cursor')) AS before
	FROM json_array_elements(appdb.find('find_odd', '{"orderBy": "pair", "cursor": true}')) w;
SELECT appdb.find('find_odd', '{"columns": [], "extras": ["find_shout"], "orderBy": "id"}');
SELECT pg_temp.refused(q, 'find_odd') FROM (VALUES ('{"where": {"places": {"gt": "{}"}}}'), ('{"orderBy": "places"}'), ('{"distinct": ["places"]}')) v (q);
-- a constraint that rows need not satisfy (18)
DO $$ BEGIN
	IF current_setting('server_version_num')::int >= 180000 THEN
		EXECUTE 'ALTER TABLE app_data.find_odd ADD CONSTRAINT find_pair NOT NULL pair NOT VALID';
	END IF;
END $$;
SELECT appdb.find('find_odd', json_build_object('columns', '["b1"]'::json, 'orderBy', '{"pair": "asc nulls first"}'::json, 'after', w ->> '_cursor'))
	FROM json_array_elements(appdb.find('find_odd', '{"orderBy": {"pair": "asc nulls first"}, "cursor": true}')) w;
-- a cursor at a null, of a column that has none any more
INSERT INTO appdb.find_odd (b1, pair) VALUES (NULL, (2, NULL));
SELECT w ->> '_cursor' AS at_null FROM json_array_elements(appdb.find('find_odd', '{"orderBy": "b1", "cursor": true}')) w WHERE w ->> 'b1' IS NULL \gset
UPDATE app_data.find_odd SET b1 = 'e' WHERE b1 IS NULL;
ALTER TABLE app_data.find_odd ALTER COLUMN b1 SET NOT NULL;
SELECT appdb.find('find_odd', json_build_object('columns', '["b1"]'::json, 'orderBy', 'b1', 'before', :'at_null'));
SELECT appdb.find('find_odd', json_build_object('columns', '["b1"]'::json, 'orderBy', 'b1', 'after', :'at_null'));
-- a column whose name is that of an operator: its conditions are of different shapes
SELECT c, appdb.find('find_words', json_build_object('columns', '["word"]'::json, 'where', c::json)) FROM (VALUES
	('{"contains": true}'), ('{"contains": false}'), ('{"contains": null}'), ('{"contains": "yes"}')) v (c);
-- the base table has another name, and so has its schema
SELECT appdb.find('find_words', '{"columns": ["word"], "where": {"contains": true}, "deleted": "include"}');
ALTER TABLE app_data.find_words RENAME TO find_renamed;
SELECT appdb.find('find_words', '{"columns": ["word"], "where": {"contains": true}, "deleted": "include"}');
CREATE SCHEMA find_schema;
ALTER TABLE app_data.find_renamed SET SCHEMA find_schema;
SELECT appdb.find('find_words', '{"columns": ["word"], "where": {"contains": true}, "deleted": "include"}');
ALTER SCHEMA find_schema RENAME TO find_other;
SELECT appdb.find('find_words', '{"columns": ["word"], "where": {"contains": true}, "deleted": "include"}');
-- the second of a key is the one that is too many
SELECT pg_temp.refused('{"where": {"name": "a", "email": "b", "name": "c"}}', 'users');

-- == as whom ================================================================
-- one cached shape serves different roles, each by its own row security
CREATE TABLE app_data.find_secrets (id uuid PRIMARY KEY, of name NOT NULL, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
ALTER TABLE app_data.find_secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON app_data.find_secrets USING (of = CURRENT_USER);
SELECT appdb.manage('app_data.find_secrets');
CREATE ROLE find_a;
CREATE ROLE find_b;
GRANT SELECT ON appdb.find_secrets, app_data.find_secrets TO find_a, find_b;
INSERT INTO appdb.find_secrets (of) VALUES ('find_a'), ('find_b');
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of"}');
CREATE TEMP TABLE before_roles AS SELECT * FROM appdb.find_stats();
GRANT SELECT ON before_roles TO find_a, find_b;
SET LOCAL ROLE find_a;
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of"}');
SET LOCAL ROLE find_b;
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of"}');
SET LOCAL ROLE find_a;
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of", "count": true}');
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of"}');
RESET ROLE;
SELECT appdb.find('find_secrets', '{"columns": ["of"], "orderBy": "of"}');
SELECT s.misses - b.misses AS misses FROM appdb.find_stats() s, before_roles b;
SELECT appdb.find('spaces', '{"columns": ["name"], "orderBy": "name"}');
CREATE ROLE find_reader;
GRANT SELECT ON appdb.spaces, app_data.spaces TO find_reader;
SET LOCAL ROLE find_reader;
SELECT pg_temp.refused('{"columns": ["name"], "orderBy": "name"}', 'users');
SELECT appdb.find('spaces', '{"columns": ["name"], "orderBy": "name"}') IS NOT NULL;
-- and what could not be explained does not keep others from it
SELECT count(*) FROM appdb.explain_find('users');
SELECT count(*) FROM appdb.explain_find('users');
RESET ROLE;
SELECT count(*) > 0 FROM appdb.explain_find('users');
ROLLBACK;
-- what is kept of a shape serves however plans are to be made
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": "nobody@example.com"}}');
SET plan_cache_mode = force_custom_plan;
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": "nobody@example.com"}}');
RESET plan_cache_mode;
SELECT appdb.find('users', '{"columns": ["name"], "where": {"email": "nobody@example.com"}}');
