-- Gives each managed table a column of every name that a parameter, variable
-- or alias of the engine's functions has, of a type that none of them has: what a user
-- adds changes no statement of the engine's.  Only space_id and the like keep
-- their meaning.
SET search_path = pg_catalog, pg_temp;

DO $$
DECLARE
	names name[] := ARRAY(
		SELECT unnest(p.proargnames) FROM pg_proc p WHERE p.pronamespace = 'appdb'::regnamespace
		UNION
		SELECT v[1] FROM pg_proc p, regexp_matches(p.prosrc, '^\t+([a-z_0-9]+) [][a-z_0-9.()]+(?:%TYPE)?(?: :=|;)', 'gn') v WHERE p.pronamespace = 'appdb'::regnamespace
		UNION
		SELECT v[1] FROM pg_proc p, regexp_matches(p.prosrc, 'FOR(?:EACH)? ([a-z_0-9]+) IN', 'g') v WHERE p.pronamespace = 'appdb'::regnamespace
		UNION
		SELECT chr(n) FROM generate_series(ascii('a'), ascii('z')) n
		EXCEPT
		SELECT a.attname FROM appdb.managed m JOIN pg_attribute a ON a.attrelid = m.entity WHERE a.attname ~ '_(id|at)$'
		EXCEPT
		SELECT '');
	entity regclass;
	function regprocedure;
BEGIN
	ASSERT '{error,batch,parent,token}' <@ names;
	FOR entity IN SELECT m.entity FROM appdb.managed m LOOP
		EXECUTE format('ALTER TABLE %s %s', entity, (SELECT string_agg(format('ADD COLUMN %I point', n), ', ') FROM unnest(names) n
			WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = entity AND a.attname = n)));
	END LOOP;
	-- checks them
	FOR function IN
		SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'appdb'::regnamespace AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql')
	LOOP
		EXECUTE pg_get_functiondef(function);
	END LOOP;
END
$$;
RESET search_path;
