-- Versions: what the owner of the tables is given, and the changes of the
-- tables from version to version (src/install.c, src/migrate.c).

-- The statements that give the owner of the tables what it has not yet.  Its
-- live views and relation functions are made in schema appdb.
CREATE FUNCTION appdb._owner_grants(owner pg_catalog.name) RETURNS SETOF pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('GRANT USAGE, CREATE ON SCHEMA appdb TO %I', $1)
	WHERE NOT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a
					  WHERE n.nspname = 'appdb' AND a.privilege_type = 'CREATE' AND a.grantee = quote_ident($1)::regrole)
	UNION ALL
	SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I%s', f.routine, $1, CASE WHEN f.grantable THEN ' WITH GRANT OPTION' ELSE '' END)
	FROM (
		SELECT unnest(ARRAY[
			'appdb.install()', 'appdb.migrate()', 'appdb._lock_tables()', 'appdb.pending()', 'appdb._pending()', 'appdb.migrate_online(integer, integer)',
			'appdb.manage(regclass, name, name, jsonb)', 'appdb._manage(regclass, name, name, jsonb)', 'appdb._manage_table(regclass, name, name, jsonb)',
			'appdb.unmanage(regclass)', 'appdb._unmanage(regclass)',
			'appdb._sync_relations(regclass, name)', 'appdb.attach_domains()',
			'appdb.grant_access(name, text)', 'appdb.revoke_access(name)',
			'appdb.hold(uuid, text)', 'appdb.release(uuid)',
			'appdb.doctor(boolean)', 'appdb._doctor(boolean)', 'appdb._doctor_catalogs()', 'appdb._doctor_rows()',
			'appdb._run_schedules(integer)', 'appdb._maintain(text, integer)', 'appdb._remove(regclass, name, timestamptz, text, integer)', 'appdb._silent_tasks(integer)', 'appdb._park_lock(text, boolean)', 'appdb._place_taken(text, integer)',
			'appdb.purge(interval, integer)', 'appdb.maintain(integer, boolean)']), false
		UNION ALL
		-- what appdb.grant_access() hands on
		SELECT unnest(appdb._grant_functions('service'::text)), true
	) f (routine, grantable)
	WHERE NOT EXISTS (SELECT FROM pg_proc p, aclexplode(p.proacl) a
					  WHERE p.oid = f.routine::regprocedure AND a.privilege_type = 'EXECUTE' AND a.grantee = quote_ident($1)::regrole
						AND a.is_grantable >= f.grantable)
$$;
COMMENT ON FUNCTION appdb._owner_grants(pg_catalog.name) IS 'Internal: the statements that give the owner of the tables what it needs in schema appdb';

-- Roles that were given that and own the tables no longer.  The extension's
-- owner may have given others the grant option, and not what is the owner's to do.
CREATE FUNCTION appdb._former_owners() RETURNS SETOF pg_catalog.name
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.rolname
	FROM pg_proc p, pg_namespace n, aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
	WHERE p.oid = 'appdb.impersonate(uuid, boolean)'::regprocedure AND a.is_grantable AND a.grantor = p.proowner
	  AND n.nspname = 'app_data' AND r.oid <> n.nspowner
	  AND EXISTS (SELECT FROM pg_proc i, aclexplode(i.proacl) g WHERE i.oid = 'appdb.install()'::regprocedure AND g.grantee = r.oid)
	ORDER BY r.rolname
$$;
COMMENT ON FUNCTION appdb._former_owners() IS 'Internal: roles with the rights of the owner of the tables in schema appdb who are not';

-- The statements that take that back from them, with what they have handed on.
CREATE FUNCTION appdb._former_owner_revokes() RETURNS SETOF pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('REVOKE ALL ON SCHEMA appdb FROM %I CASCADE', f.role) FROM appdb._former_owners() f (role)
	UNION ALL
	SELECT format('REVOKE ALL ON ROUTINE %s FROM %I CASCADE', p.oid::regprocedure, f.role)
	FROM appdb._former_owners() f (role), pg_proc p
	JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND e.extname = 'appdb'
	WHERE EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = quote_ident(f.role)::regrole AND a.grantor = p.proowner)
$$;
COMMENT ON FUNCTION appdb._former_owner_revokes() IS 'Internal: the statements that take back what a former owner of the tables was given';

CREATE FUNCTION appdb.migrate() RETURNS pg_catalog.text
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_migrate';
COMMENT ON FUNCTION appdb.migrate() IS
'Brings tables of an older version to the version of the engine, in the caller''s transaction; returns migrated, or current where there was nothing to do. ALTER EXTENSION appdb UPDATE calls it;
one calls it oneself after restoring a dump of an older version. What would take long locks is left to appdb.migrate_online().
Only the owner of schema app_data may. Errors: 55P03 a lock was not to be had within lock_timeout (10 s if not set), or another migration runs; 55000 tables of a version that the engine does not know.';
REVOKE EXECUTE ON FUNCTION appdb.migrate() FROM PUBLIC;

-- Locks all tables and views, before anything is done to them.  While one lock is waited for, others are held, and applications that wait for
-- these may have the one: so all are waited for less long than it takes them to find that they wait in a circle, then all locks are let go for a while.
-- An application's transaction is thus delayed, and never aborted.  Upgrade scripts begin with this (script.sh), as superuser: so it asks the
-- catalogs, nothing that belongs to somebody else.  LOCK TABLE would lock what a view reads, too, the catalogs among it: a view keeps its owner instead.
CREATE FUNCTION appdb._lock_tables() RETURNS pg_catalog.void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	before text := current_setting('lock_timeout');
	timeout text := CASE before WHEN '0' THEN '10s' ELSE before END;
	deadline timestamptz := clock_timestamp() + timeout::interval;
	began timestamptz;
	relation regclass;
	statement text;
BEGIN
	LOOP
		BEGIN
			began := clock_timestamp();
			FOR relation, statement IN
				SELECT c.oid, format(CASE c.relkind WHEN 'v' THEN 'ALTER VIEW %I.%I OWNER TO %I' ELSE 'LOCK TABLE %I.%I IN ACCESS EXCLUSIVE MODE' END,
									 n.nspname, c.relname, pg_get_userbyid(c.relowner))
				FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
				WHERE c.relkind IN ('r', 'p', 'v') AND pg_has_role(c.relowner, 'USAGE')
				  AND (c.relnamespace IN ('appdb'::regnamespace, to_regnamespace('app_data'))
					   OR EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
								  WHERE t.tgrelid = c.oid AND p.pronamespace = 'appdb'::regnamespace))
				ORDER BY c.relkind = 'v' DESC, c.oid::regclass::text
			LOOP
				-- for all of them together, and none for more than 100 ms
				PERFORM set_config('lock_timeout', ceil(greatest(1, least(100,
					extract(epoch FROM began + current_setting('deadlock_timeout')::interval / 2 - clock_timestamp()) * 1000))) || 'ms', true);
				EXECUTE statement;
			END LOOP;
			PERFORM set_config('lock_timeout', before, true);
			RETURN;
		-- or it was dropped meanwhile
		EXCEPTION WHEN lock_not_available OR undefined_table THEN
			IF clock_timestamp() >= deadline THEN
				RAISE EXCEPTION USING
					ERRCODE = 'lock_not_available',
					MESSAGE = format('could not lock table "%s" within %s: it is in use', relation, timeout),
					HINT = 'Nothing has been changed. Try again when no long transactions are under way, or SET lock_timeout to more.';
			END IF;
		END;
		PERFORM pg_sleep(0.05 + random() * 0.1);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._lock_tables() IS 'Internal: locks all tables and views, so that nobody waits for long and nobody in a circle';
REVOKE EXECUTE ON FUNCTION appdb._lock_tables() FROM PUBLIC;

-- The statements of all migrations that are done beside load.
CREATE FUNCTION appdb._online_steps(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text,
	OUT entity pg_catalog.text, OUT object pg_catalog.text, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb__online_steps';
COMMENT ON FUNCTION appdb._online_steps() IS 'Internal: the statements that appdb.migrate_online() executes, of all versions';

CREATE FUNCTION appdb._pending(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text, OUT entity pg_catalog.text,
	OUT state pg_catalog.text, OUT progress pg_catalog.text, OUT attempts pg_catalog.int4, OUT error pg_catalog.text,
	OUT started_at pg_catalog.timestamptz, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	-- null where a restore that failed has left two: doctor() says so
	tables text := (SELECT max(v.version) FROM app_data.schema_version v HAVING count(*) = 1);
	worker int;
BEGIN
	IF tables <> appdb.version() THEN
		RETURN QUERY
			WITH RECURSIVE chain AS (
				SELECT m.from_version, m.to_version FROM appdb.migrations_sql() m WHERE m.from_version = tables
				UNION ALL
				SELECT m.from_version, m.to_version FROM chain c JOIN appdb.migrations_sql() m ON m.from_version = c.to_version)
			SELECT c.to_version, 0, 'migration', NULL::text, 'waiting', NULL::text, 0, NULL::text, NULL::timestamptz, 'SELECT appdb.migrate()'
			FROM chain c;
	END IF;

	-- the session that holds the lock of appdb.migrate_online()
	SELECT l.pid INTO worker FROM pg_locks l
	WHERE l.locktype = 'object' AND l.classid = 'pg_extension'::regclass AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
	  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
	  AND l.objid = (SELECT e.oid FROM pg_extension e WHERE e.extname = 'appdb');
	RETURN QUERY
		SELECT p.version, p.step, s.kind, s.entity,
			   CASE WHEN p.running = worker THEN 'running' WHEN p.error IS NOT NULL THEN 'failed' ELSE 'waiting' END,
			   CASE WHEN p.rows > 0 THEN format('%s rows', p.rows)
					WHEN p.running = worker AND s.kind = 'index' THEN
						(SELECT format('%s, %s of %s blocks, %s of %s rows', i.phase, i.blocks_done, i.blocks_total, i.tuples_done, i.tuples_total)
						 FROM pg_stat_progress_create_index i WHERE i.pid = worker AND i.phase IS NOT NULL) END,
			   p.attempts, p.error, p.started_at, s.statement
		FROM app_data.pending p JOIN appdb._online_steps() s ON s.version = p.version AND s.step = p.step
		ORDER BY string_to_array(p.version, '.')::int[], p.step;
END
$$;
COMMENT ON FUNCTION appdb._pending() IS 'Internal: the work of appdb.pending()';

CREATE FUNCTION appdb.pending(
	OUT version pg_catalog.text, OUT step pg_catalog.int4, OUT kind pg_catalog.text, OUT entity pg_catalog.text,
	OUT state pg_catalog.text, OUT progress pg_catalog.text, OUT attempts pg_catalog.int4, OUT error pg_catalog.text,
	OUT started_at pg_catalog.timestamptz, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.pending() IS
'What remains to be done to the tables, in order: migrations (after restoring a dump of an older version; SELECT appdb.migrate() does them), and steps of migrations that would take long locks in one transaction (CALL appdb.migrate_online() does them).
version, step: which step of which migration; kind: migration, index, drop index, validate, backfill or statement; entity: the table; state: waiting, running or failed;
progress: how far it is; attempts, error, started_at: of the last attempt; statement: what is executed. For the owner of the tables.';

CREATE PROCEDURE appdb.migrate_online(batch pg_catalog.int4 DEFAULT 1000, attempts pg_catalog.int4 DEFAULT 30)
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_migrate_online';
COMMENT ON PROCEDURE appdb.migrate_online(pg_catalog.int4, pg_catalog.int4) IS
'Does what appdb.pending() lists, beside load: one step after the other, each committed, indexes concurrently, rows in batches. Can be stopped at any time and called again: it goes on where it was.
batch: rows that one transaction changes; attempts: how often a step is tried where locks are not to be had within half a second (or lock_timeout, if that is shorter), with pauses between.
Only the owner of schema app_data may, outside of a transaction. Errors: 25001 inside of one; 55006 runs already; otherwise those of the step, which appdb.pending() then shows.';

REVOKE EXECUTE ON FUNCTION appdb.pending(), appdb._pending() FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE appdb.migrate_online(pg_catalog.int4, pg_catalog.int4) FROM PUBLIC;
