SET LOCAL search_path = pg_catalog, pg_temp;
CREATE OR REPLACE FUNCTION appdb.one() RETURNS text LANGUAGE sql RETURN 'one';
CREATE OR REPLACE VIEW appdb.v WITH (security_invoker = true) AS SELECT 1;
CREATE OR REPLACE FUNCTION public.one() RETURNS text LANGUAGE sql RETURN 'one';
CREATE OR REPLACE TRIGGER t AFTER INSERT ON app_data.users FOR EACH ROW EXECUTE FUNCTION appdb.f();
CREATE TABLE IF NOT EXISTS appdb.t (id uuid);
SET search_path = app_data;
