SET LOCAL lock_timeout = '5s';
DO $$
DECLARE
	t regclass;
BEGIN
	FOR t IN SELECT entity FROM app_data.managed LOOP
		EXECUTE format('ALTER TABLE %s SET (fillfactor = 90)', t);
	END LOOP;
END $$;
