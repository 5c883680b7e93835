-- Breaks each rule of catalog.sql once.
CREATE FUNCTION appdb.acts() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN 1; END $$;
CREATE FUNCTION appdb.powerful() RETURNS integer LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$;
CREATE FUNCTION appdb.lost() RETURNS integer LANGUAGE sql SET search_path = app_data AS $$ SELECT 1 $$;
CREATE VIEW appdb.peek AS SELECT id FROM app_data.users;
GRANT SELECT ON app_data.users TO PUBLIC;
GRANT UPDATE (name) ON app_data.users TO PUBLIC;
GRANT USAGE ON SCHEMA app_data TO PUBLIC;
ALTER EXTENSION appdb ADD TABLE app_data.chats;
ALTER TABLE app_data.notes DISABLE ROW LEVEL SECURITY;
CREATE FUNCTION appdb.wrong() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM missing FROM app_data.users; END $$;
REVOKE EXECUTE ON FUNCTION appdb.wrong() FROM PUBLIC;
