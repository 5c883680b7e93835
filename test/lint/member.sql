SET LOCAL lock_timeout = '5s';
CREATE TABLE appdb.moods (id uuid PRIMARY KEY);
CREATE FUNCTION app_data.f() RETURNS integer LANGUAGE sql RETURN 1;
ALTER EXTENSION appdb ADD TABLE app_data.chats;
CREATE SCHEMA app_more;
CREATE VIEW public.titles AS SELECT title FROM app_data.chats;
