\echo an install script that breaks the rules \quit
SET LOCAL search_path = pg_catalog, public;
CREATE SCHEMA IF NOT EXISTS appdb;
CREATE OR REPLACE FUNCTION appdb.one() RETURNS text LANGUAGE sql RETURN 'one';
CREATE TABLE planted (id mytype);
CREATE FUNCTION two() RETURNS int LANGUAGE sql RETURN 2;
SELECT appdb.one() FROM public.stolen, pg_class;
-- with the caller's search_path
CREATE FUNCTION appdb.three(a pg_catalog.int4, b pg_catalog.int4[]) RETURNS pg_catalog.bool LANGUAGE sql AS $$
	SELECT lower('A') = 'a'
		AND a IN (1, 2)
		AND EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_type t
			USING (oid))
		AND a BETWEEN 1 AND 2 AND a OPERATOR(pg_catalog.=) ANY (b) AND a = ANY (b)
		AND a IN (SELECT 1) AND NOT ROW(a, a) IS DISTINCT FROM ROW(a, a)
		AND NULLIF(a, 1) IS NULL AND (CASE a WHEN 1 THEN true END)
		AND 'a'::text COLLATE "C" LIKE 'a%'
		AND EXISTS (WITH here AS (SELECT 1) SELECT FROM here, there)
		AND 'three'::pg_catalog.regproc IS NULL AND 'appdb.three'::pg_catalog.regproc IS NULL
	ORDER BY 1 USING <
$$;
CREATE FUNCTION appdb.four(a pg_catalog.int4) RETURNS pg_catalog.int4 LANGUAGE plpgsql AS $$
DECLARE
	b pg_catalog.int4 := a + 1;
	c text;
	d appdb.chats.title%TYPE;
BEGIN
	b := abs(b);
	IF b < 1 THEN
		EXECUTE 'SELECT 1' INTO b;
	END IF;
	FOR c IN SELECT 'x' || x FROM appdb.x LOOP
		RETURN 1;
	END LOOP;
	RETURN (SELECT pg_catalog.max(f.x) FROM foo AS f);
END
$$;
-- with a path of its own
CREATE FUNCTION appdb.five() RETURNS int LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	a mytype;
BEGIN
	PERFORM lower('A') = 'a' FROM pg_class;
	SELECT 1 INTO a FROM foo;
	RETURN myfunction(1);
END
$$;
CREATE FUNCTION appdb.six() RETURNS int LANGUAGE sql SET search_path = appdb, pg_catalog AS $$ SELECT 1 $$;
CREATE FUNCTION appdb.seven() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 $$;
CREATE FUNCTION appdb.eight() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$ SELECT 1 $$;
CREATE FUNCTION appdb.nine() RETURNS int LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$ SELECT 1 FROM app_data.users $$;
ALTER FUNCTION appdb.five() SECURITY DEFINER;
CREATE VIEW appdb.v AS SELECT * FROM app_data.users;
CREATE VIEW appdb.w WITH (security_invoker = false) AS SELECT 1;
CREATE VIEW appdb.ok WITH (security_invoker) AS SELECT 1;
DO $$
BEGIN
	PERFORM myfunction(1);
END
$$;
CREATE FUNCTION appdb.tables_sql() RETURNS pg_catalog.text LANGUAGE sql AS $fn$ SELECT $tables$
CREATE TABLE app_data.ok (id uuid);

CREATE TABLE nowhere (id uuid REFERENCES elsewhere (id));
CREATE TABLE IF NOT EXISTS app_data.x (id uuid);
$tables$::pg_catalog.text $fn$;
CREATE FUNCTION appdb.ten() RETURNS pg_catalog.int4 LANGUAGE plperl AS 'return 1';
CREATE FUNCTION appdb.eleven() RETURNS pg_catalog.int4 LANGUAGE sql AS $$ SELECT FROM FROM $$;
