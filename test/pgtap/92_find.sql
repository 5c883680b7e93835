-- appdb.find() shows each caller what row security lets through, from one cached shape.
BEGIN;
SELECT plan(12);

INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'Ann', 'ann@example.org'),
	('00000000-0000-4000-8000-0000000000b1', 'Ben', 'ben@example.org'),
	('00000000-0000-4000-8000-0000000000c1', 'Cleo', 'cleo@example.org');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'Ann''s'),
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000b1', 'Ben''s');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'owner'),
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000b1', 'owner')
	ON CONFLICT DO NOTHING;
INSERT INTO appdb.chats (space_id, user_id, title) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'of Ann'),
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000b1', 'of Ben');
CREATE ROLE find_app;
SELECT appdb.grant_access('find_app', 'app');

CREATE FUNCTION pg_temp.titles() RETURNS text LANGUAGE sql AS $$
	SELECT appdb.find('spaces', query => '{"columns": ["name"], "orderBy": "name", "with": {"chats": {"columns": ["title"]}}, "count": true}')::jsonb::text
$$;

SELECT is(pg_temp.titles()::jsonb -> 'count', '2', 'a superuser sees all');
SELECT appdb.impersonate('00000000-0000-4000-8000-0000000000a1');
SET LOCAL ROLE find_app;
SELECT is(pg_temp.titles(), '{"rows": [{"name": "Ann''s", "chats": [{"title": "of Ann"}]}], "count": 1}', 'Ann sees her space and what is in it');
RESET ROLE;
SELECT appdb.impersonate('00000000-0000-4000-8000-0000000000b1');
SET LOCAL ROLE find_app;
SELECT is(pg_temp.titles(), '{"rows": [{"name": "Ben''s", "chats": [{"title": "of Ben"}]}], "count": 1}', 'Ben sees his');
SELECT is(appdb.find('chats', '{"columns": ["title"], "deleted": "include"}'::jsonb), '[{"title": "of Ben"}]', 'deleted rows do not show others''');
SELECT is(appdb.find('chats', '{"columns": ["title"], "where": {"space": {"name": "Ann''s"}}}'::jsonb), '[]', 'nor does a condition on what is related');
SELECT is(appdb.find('spaces', '{"columns": ["name"], "count": {"chats": true}}'::jsonb), '[{"name": "Ben''s", "_count": {"chats": 1}}]', 'nor a count');
RESET ROLE;
SELECT appdb.impersonate('00000000-0000-4000-8000-0000000000c1');
SET LOCAL ROLE find_app;
SELECT is(pg_temp.titles(), '{"rows": [], "count": 0}', 'Cleo, a member of nothing, sees nothing');
RESET ROLE;
SELECT appdb.impersonate(NULL);
SET LOCAL ROLE find_app;
SELECT is(pg_temp.titles(), '{"rows": [], "count": 0}', 'nobody sees nothing');
RESET ROLE;
SELECT is(pg_temp.titles()::jsonb -> 'count', '2', 'and a superuser still all');

-- == what it says of itself =================================================

SET client_min_messages = warning;
CREATE TABLE public."a/b~%""é" (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz, up_id uuid REFERENCES "a/b~%""é");
SELECT appdb.manage('"a/b~%""é"');
SELECT results_eq($$SELECT DISTINCT r #>> '{}' FROM jsonb_path_query(appdb.find_schema('a/b~%"é')::jsonb, '$.*.* ? (@.type == "object").properties.up.**."$ref"') r UNION SELECT appdb.find_schema('a/b~%"é') ->> '$ref' ORDER BY 1$$,
	$$VALUES ('#/$defs/a%7E%31b%7E%30%25%22%C3%A9.orderBy'), ('#/$defs/a%7E%31b%7E%30%25%22%C3%A9.root'), ('#/$defs/a%7E%31b%7E%30%25%22%C3%A9.where')$$, 'references in a schema are pointers in a fragment, whatever a table is called');
SET standard_conforming_strings = off;
SELECT is(appdb.find_schema('a/b~%"é') ->> '$ref', '#/$defs/a%7E%31b%7E%30%25%22%C3%A9.root', 'and whatever a backslash in a string is');
RESET standard_conforming_strings;
CREATE DOMAIN public.json_of_mine AS jsonb;
CREATE DOMAIN public.json_of_hers AS public.json_of_mine;
ALTER TABLE public."a/b~%""é" ADD COLUMN hers json_of_hers;
SELECT is(appdb.find_schema('a/b~%"é')::jsonb #> '{$defs,"a/b~%\"é.where",properties,hers}', '{"$ref": "#/$defs/filter.jsonb"}', 'a domain over a domain is what that is over');

SELECT * FROM finish();
ROLLBACK;
