-- What is wrong with this database, and what to type against it.

-- Foreign keys without an index to find the rows by, and the index; of a partitioned table none can be made concurrently.
CREATE FUNCTION appdb._unindexed_keys(entity pg_catalog.regclass,
									  OUT conname pg_catalog.name, OUT fix pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 1
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.conname, format('CREATE INDEX%s ON %s (%s);', CASE WHEN r.relkind <> 'p' THEN ' CONCURRENTLY' END, entity, string_agg(format('%I', a.attname), ', ' ORDER BY u.n))
	FROM pg_constraint c
	JOIN pg_class r ON r.oid = c.conrelid
	CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY u (attnum, n)
	JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.attnum
	WHERE c.conrelid = entity AND c.contype = 'f'
	  AND NOT EXISTS (
		SELECT FROM pg_index i
		WHERE i.indrelid = c.conrelid AND i.indisvalid
		  AND (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)
	GROUP BY c.oid, c.conname, r.relkind ORDER BY c.conname
$$;
COMMENT ON FUNCTION appdb._unindexed_keys(pg_catalog.regclass) IS 'Internal: foreign keys of a table that have no index';

CREATE FUNCTION appdb._preloaded() RETURNS pg_catalog.bool
	LANGUAGE c STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb__preloaded';
COMMENT ON FUNCTION appdb._preloaded() IS 'Internal: whether the settings make sessions load the library when they begin';

-- PostgreSQL's bug 18502: no ON CONFLICT (...) WHERE ... through a view, which is how applications and appdb.enqueue() with a dedupe key write.
CREATE FUNCTION appdb._server_bug(server_version pg_catalog.int4 DEFAULT pg_catalog.current_setting('server_version_num')::pg_catalog.int4,
								  OUT problem pg_catalog.text, OUT fix pg_catalog.text)
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('PostgreSQL %s.%s does not find unique indexes for ON CONFLICT in live views (SQLSTATE 42P10)', server_version / 10000, server_version % 10000),
		   CASE server_version / 10000 WHEN 15 THEN 'Update PostgreSQL to 15.8 or later.' ELSE 'Update PostgreSQL to 16.4 or later.' END
	WHERE server_version < 150008 OR server_version BETWEEN 160000 AND 160003
$$;
COMMENT ON FUNCTION appdb._server_bug(pg_catalog.int4) IS 'Internal: what this minor version of PostgreSQL cannot do';

DO $$
DECLARE
	bug record;
BEGIN
	SELECT * INTO bug FROM appdb._server_bug();
	IF bug.problem IS NOT NULL THEN
		RAISE WARNING USING MESSAGE = bug.problem,
			DETAIL = 'Upserts of live rows, appdb.enqueue() with a dedupe key and appdb.schedule() fail on this server.', HINT = bug.fix;
	END IF;
END
$$;

-- What the catalogs say.
CREATE FUNCTION appdb._doctor_catalogs(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT problem pg_catalog.text, OUT fix pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	data_schema oid := 'app_data'::regnamespace;
	owner oid := (SELECT n.nspowner FROM pg_namespace n WHERE n.nspname = 'app_data');
	entity regclass;
BEGIN
	-- versions
	RETURN QUERY
		SELECT 'error', 'the server', b.problem, b.fix FROM appdb._server_bug() b WHERE b.problem IS NOT NULL;
	RETURN QUERY
		SELECT 'error', 'extension appdb',
			   format('its functions are of version %s, its library of %s', e.extversion, appdb._library_version()),
			   'ALTER EXTENSION appdb UPDATE;'
		FROM pg_extension e WHERE e.extname = 'appdb' AND e.extversion <> appdb._library_version();
	IF (SELECT count(*) FROM app_data.schema_version) <> 1 THEN
		RETURN QUERY SELECT 'error', 'app_data.schema_version', 'it does not have exactly one row: the version of the tables is not known',
			format('DELETE FROM app_data.schema_version; INSERT INTO app_data.schema_version (version) VALUES (%L);', appdb.version());
	ELSE
		RETURN QUERY
			SELECT 'error', 'schema app_data',
				   format('the tables are at version %s, the engine at %s', v.version, appdb.version()),
				   CASE WHEN string_to_array(v.version, '.')::int[] < string_to_array(appdb.version(), '.')::int[]
						THEN 'SELECT appdb.migrate();'
						ELSE 'Install the newer version of appdb on this server, then: ALTER EXTENSION appdb UPDATE;' END
			FROM app_data.schema_version v WHERE v.version <> appdb.version() AND v.version ~ '^[0-9]+([.][0-9]+)*$';
	END IF;
	RETURN QUERY
		SELECT 'warning', 'schema app_data',
			   format(CASE count(*) WHEN 1 THEN '%s step of the last upgrade remains' ELSE '%s steps of the last upgrade remain' END
					  || ' to be done beside load (appdb.pending())%s', count(*), ', the last attempt failed: ' || max(p.error)),
			   'CALL appdb.migrate_online();'
		FROM app_data.pending p HAVING count(*) > 0;

	-- tables of a member's or a superuser's, which are not read any further
	RETURN QUERY
		SELECT 'warning', r.obstacle::text,
			   format('it belongs to role "%s": appdb.purge(), run by the owner of the other tables, passes over %s', r.belongs_to, string_agg(format('"%s"', r.entity), ', ' ORDER BY r.entity::text)),
			   CASE WHEN m.entity IS NULL AND NOT row_security_active(r.obstacle) THEN
						format('GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %2$s;', o.relnamespace::regnamespace, owner::regrole, r.obstacle)
					ELSE concat(format('ALTER TABLE %s OWNER TO %s;', r.obstacle, owner::regrole), ' ALTER VIEW ' || m.live_view || ' OWNER TO ' || owner::regrole || ';',
						(SELECT string_agg(format(' ALTER FUNCTION %s OWNER TO %s;', p.oid::regprocedure, owner::regrole), '' ORDER BY p.oid::regprocedure::text)
						 FROM pg_class v JOIN pg_proc p ON v.reltype = p.prorettype OR v.reltype = ANY (p.proargtypes)
						 WHERE v.oid = m.live_view AND p.pronamespace = 'appdb'::regnamespace AND p.proowner = v.relowner)) END
		FROM appdb._out_of_reach() r JOIN pg_class o ON o.oid = r.obstacle LEFT JOIN appdb.managed m ON m.entity = r.obstacle
		GROUP BY r.obstacle, r.belongs_to, o.relnamespace, m.entity, m.live_view
		ORDER BY 2;

	-- what appdb.manage() makes anew; that of others' tables see above
	RETURN QUERY
		SELECT 'error', o.identity, format('it belongs to role "%s": appdb.manage() and upgrades fail', pg_get_userbyid(o.belongs_to)),
			   format('ALTER %s %s OWNER TO %s;', o.kind, o.identity, owner::regrole)
		FROM (SELECT 'VIEW', m.live_view::text, c.relowner FROM appdb.managed m JOIN pg_class c ON c.oid = m.live_view
			  UNION ALL
			  SELECT 'FUNCTION', p.oid::regprocedure::text, p.proowner FROM pg_proc p
			  WHERE p.pronamespace = 'appdb'::regnamespace AND starts_with(p.prosrc, '/* appdb relation */')) o (kind, identity, belongs_to)
		WHERE NOT pg_has_role(o.belongs_to, 'USAGE')
		  AND o.belongs_to NOT IN (SELECT c.relowner FROM appdb._managed_tables() m JOIN pg_class c ON c.oid = m.entity)
		ORDER BY o.identity;

	-- user data that would go with the extension
	RETURN QUERY
		SELECT 'error', i.identity,
			   format('it is a member of extension "%s": dropping that drops it, and dumps leave it out', e.extname),
			   format('ALTER EXTENSION %I DROP %s %s;', e.extname, upper(i.type), i.identity)
		FROM pg_depend d
		JOIN pg_extension e ON e.oid = d.refobjid
		CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
		WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND i.schema = 'app_data'
		  AND (e.extname = 'appdb' OR i.type IN ('table', 'sequence', 'type'))
		  -- 18 counts a table's row type as well, and the array of that
		  AND NOT EXISTS (SELECT FROM pg_type t
						  JOIN pg_type r ON r.oid IN (t.oid, t.typelem)
						  JOIN pg_class c ON c.oid = r.typrelid AND c.relkind <> 'c'
						  WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid)
		ORDER BY i.identity;

	-- tables that the engine has been told of, and no longer knows: a dump without its data was loaded
	RETURN QUERY
		SELECT 'error', 'app_data.managed',
			   format(CASE count(*) WHEN 1 THEN 'table "%s" has' ELSE 'table "%s" and %s others have' END
					  || ' the triggers of a managed table, and it does not say so: find(), restore() and deletions do not know it',
					  min(t.tgrelid::regclass::text), count(*) - 1),
			   'Where a dump without data was loaded, load that of this table, too: pg_dump --data-only -t app_data.managed; otherwise SELECT appdb.manage(...), with the options that it had.'
		FROM pg_trigger t
		WHERE t.tgname = 'zz_appdb_timestamps' AND t.tgparentid = 0 AND NOT t.tgisinternal
		  AND NOT EXISTS (SELECT FROM appdb.managed m WHERE m.entity = t.tgrelid)
		HAVING count(*) > 0;

	-- managed tables: what manage() makes
	RETURN QUERY
		SELECT 'error', m.entity::text, format('it has no live view: "appdb.%s" does not exist', m.name),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m WHERE m.live_view IS NULL ORDER BY 2;
	RETURN QUERY
		SELECT 'warning', m.live_view::text, format('it does not have the columns of table "%s", in their order', m.entity),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m
		WHERE m.live_view IS NOT NULL
		  AND ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = m.entity AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		   <> ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = m.live_view AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', m.live_view::text, 'it is not security_invoker: whoever may read it sees the rows of all tenants',
			   format('ALTER VIEW %s SET (security_invoker = true);', m.live_view)
		FROM appdb.managed m JOIN pg_class c ON c.oid = m.live_view
		WHERE NOT EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
						  WHERE o.option_name = 'security_invoker' AND o.option_value::bool)
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', w.relation::text, format('trigger "%s" is missing', w.trigger_name),
			   format('SELECT appdb.manage(%L);', w.entity)
		FROM (SELECT m.entity, CASE WHEN t.wanted = 'view' THEN m.live_view ELSE m.entity END AS relation, t.trigger_name
			  FROM appdb.managed m, appdb._wanted_triggers(m.entity, m.soft_delete) t
			  UNION ALL
			  SELECT DISTINCT m.entity, m.entity, 'zz_appdb_guard'::name
			  FROM appdb.managed m
			  JOIN pg_constraint c ON c.conrelid = m.entity AND c.contype = 'f'
			  JOIN appdb.managed p ON p.entity = c.confrelid) w
		WHERE w.relation IS NOT NULL
		  AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = w.relation AND t.tgname = w.trigger_name AND NOT t.tgisinternal)
		ORDER BY 2, w.trigger_name;
	RETURN QUERY
		SELECT 'warning', m.entity::text, format('column "%s" has no default', a.attname),
			   format('SELECT appdb.manage(%L);', m.entity)
		FROM appdb.managed m
		JOIN pg_attribute a ON a.attrelid = m.entity AND a.attname IN ('id', 'created_at', 'updated_at')
						   AND NOT a.atthasdef AND a.attidentity = ''
		ORDER BY 2, 3;

	-- what manage() has asked for, and was altered since
	FOR entity IN SELECT m.entity FROM appdb._managed_tables() m ORDER BY m.entity::text LOOP
		BEGIN
			PERFORM appdb._check_conventions(entity);
		EXCEPTION WHEN invalid_table_definition OR wrong_object_type OR invalid_schema_name THEN
			GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT, fix = PG_EXCEPTION_HINT;
			severity := 'error';
			object := entity::text;
			problem := 'it breaks the conventions: ' || problem;
			RETURN NEXT;
		END;
	END LOOP;

	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('column "deleted_at" is of type %s: when a dump is restored, rows of several deletions can become those of one', format_type(a.atttypid, a.atttypmod)),
			   format('BEGIN; SET LOCAL appdb.allow_drop = on; SELECT appdb.unmanage(%1$L); ALTER TABLE %1$s ALTER COLUMN deleted_at TYPE timestamptz; SELECT appdb.manage(%1$L); COMMIT;  -- with the options that it has', m.entity)
		FROM appdb.managed m
		JOIN pg_attribute a ON a.attrelid = m.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped AND a.atttypmod BETWEEN 0 AND 5
		ORDER BY 2;

	-- triggers that somebody has switched off
	RETURN QUERY
		SELECT DISTINCT 'error', c.oid::regclass::text,
			   CASE WHEN t.tgisinternal THEN format('the trigger of foreign key "%s" is disabled: it is not checked', k.conname)
					WHEN t.tgenabled = 'O' THEN format('trigger "%s" does not fire for what replication applies', t.tgname)
					ELSE format('trigger "%s" is disabled', t.tgname) END,
			   CASE WHEN t.tgisinternal THEN format('ALTER TABLE %s ENABLE TRIGGER ALL;', c.oid::regclass)
					ELSE format('ALTER TABLE %s ENABLE %sTRIGGER %I;', c.oid::regclass, CASE WHEN p.proname = 'membership_changed' THEN 'ALWAYS ' END, t.tgname) END
		FROM pg_trigger t
		JOIN pg_class c ON c.oid = t.tgrelid
		LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint AND k.contype = 'f'
		LEFT JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'appdb'::regnamespace
		WHERE (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m)
			   OR c.oid IN (SELECT m.live_view FROM appdb.managed m))
		  AND (k.oid IS NOT NULL OR p.oid IS NOT NULL)
		  AND (t.tgenabled IN ('D', 'R') OR (t.tgenabled = 'O' AND p.proname = 'membership_changed'))
		ORDER BY 2, 3;
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('trigger "%s" fires after those of the engine, which do not see what it changes', t.tgname),
			   format('ALTER TRIGGER %I ON %s RENAME TO %I;', t.tgname, m.entity, 'before_' || t.tgname)
		FROM appdb._managed_tables() m
		JOIN pg_trigger t ON t.tgrelid = m.entity AND NOT t.tgisinternal AND t.tgname > 'zz_appdb_guard'
						 -- before each row of an INSERT or UPDATE
						 AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0
		JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace <> 'appdb'::regnamespace
		ORDER BY 2, t.tgname;
	RETURN QUERY
		SELECT 'error', format('event trigger %s', v.name),
			   CASE WHEN e.oid IS NULL THEN 'it is missing' WHEN e.evtenabled = 'D' THEN 'it is disabled'
					ELSE 'it is not enabled as the engine made it' END,
			   CASE WHEN e.oid IS NULL THEN 'SET appdb.allow_drop = on; DROP EXTENSION appdb CASCADE; CREATE EXTENSION appdb;  -- the rows stay'
					ELSE format('ALTER EVENT TRIGGER %I ENABLE%s;  -- as a superuser', v.name, CASE v.enabled WHEN 'A' THEN ' ALWAYS' ELSE '' END) END
		FROM (VALUES ('appdb_protect', 'A'), ('appdb_forget_dropped', 'A'), ('appdb_follow', 'O'), ('appdb_follow_start', 'O')) v (name, enabled)
		LEFT JOIN pg_event_trigger e ON e.evtname = v.name
		WHERE e.evtenabled IS DISTINCT FROM v.enabled::"char"
		ORDER BY 2;

	-- indexes and constraints
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('foreign key "%s" has no index: deletes and relations that follow it read the whole table', k.conname),
			   k.fix
		FROM appdb._managed_tables() m, appdb._unindexed_keys(m.entity) k
		ORDER BY 2, k.conname;
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('foreign key "%s" does not refer to the "id" of "%s": soft deletes do not follow it', c.conname, c.confrelid::regclass),
			   'Refer to the id, alone or with other columns.'
		FROM appdb._managed_tables() m
		JOIN pg_constraint c ON c.conrelid = m.entity AND c.contype = 'f'
		JOIN appdb._managed_tables() p ON p.entity = c.confrelid
		WHERE NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = 'id')
		ORDER BY 2, c.conname;
	RETURN QUERY
		SELECT 'warning', m.entity::text,
			   format('tables inherit from it (%s): a DELETE in its live view marks their rows, and nothing that refers to them', string_agg(format('"%s"', i.inhrelid::regclass), ', ' ORDER BY i.inhrelid::regclass::text)),
			   'Make it a partitioned table, or manage tables that do not inherit.'
		FROM appdb._managed_tables() m JOIN pg_inherits i ON i.inhparent = m.entity JOIN pg_class c ON c.oid = m.entity AND c.relkind = 'r'
		GROUP BY m.entity ORDER BY 2;
	RETURN QUERY
		SELECT 'warning', i.indexrelid::regclass::text,
			   format('the index is invalid: building it was not finished; it costs every write to "%s" and serves no query', i.indrelid::regclass),
			   CASE WHEN i.indisunique THEN format('REINDEX INDEX CONCURRENTLY %s;  -- it is to be unique: remove duplicates first', i.indexrelid::regclass)
					ELSE format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::regclass) END
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
		WHERE NOT i.indisvalid AND c.relkind = 'r'
		  AND (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m))
		  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
		ORDER BY 2;
	RETURN QUERY
		-- not enforced: 18
		SELECT 'warning', c.conrelid::regclass::text,
			   CASE WHEN to_jsonb(c) ->> 'conenforced' = 'false' THEN format('constraint "%s" is not enforced: rows may break it', c.conname)
					ELSE format('constraint "%s" has not been validated: older rows may break it', c.conname) END,
			   CASE WHEN to_jsonb(c) ->> 'conenforced' IS DISTINCT FROM 'false' THEN format('ALTER TABLE %s VALIDATE CONSTRAINT %I;', c.conrelid::regclass, c.conname)
					WHEN c.contype = 'f' THEN format('ALTER TABLE %s ALTER CONSTRAINT %I ENFORCED;', c.conrelid::regclass, c.conname)
					ELSE format('ALTER TABLE %1$s DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I %3$s;', c.conrelid::regclass, c.conname,
								replace(pg_get_constraintdef(c.oid), ' NOT ENFORCED', '')) END
		FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
		WHERE NOT c.convalidated
		  AND (t.relnamespace = data_schema OR t.oid IN (SELECT m.entity FROM appdb._managed_tables() m))
		ORDER BY 2, c.conname;

	BEGIN
		RETURN QUERY
			SELECT 'advice', s.entity::text, format('it has no search index for language %s: appdb.search() reads the whole table', s.language), s.statement
			FROM appdb._search_indexes_missing() s
			-- an upgrade that is under way makes them
			WHERE NOT EXISTS (SELECT FROM appdb._pending() p WHERE p.kind IN ('migration', 'index'))
			ORDER BY 2;
	EXCEPTION WHEN undefined_object THEN
		RETURN QUERY SELECT 'error', 'setting appdb.search_language', SQLERRM || ': appdb.search() cannot be used',
			format('ALTER DATABASE %I RESET appdb.search_language;  -- or the name of a configuration in pg_ts_config', current_database());
	END;

	-- who sees what
	RETURN QUERY
		SELECT CASE WHEN c.relnamespace = data_schema THEN 'error' ELSE 'warning' END, c.oid::regclass::text,
			   CASE WHEN o.roles IS NOT NULL THEN 'it is the engine''s own, and others have rights on it: whoever may write it has any access level'
					WHEN NOT c.relrowsecurity THEN 'it has no row security: whoever may read it sees the rows of all tenants'
					WHEN EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid) THEN 'it has no policies but those of roles with access level service: users see no rows'
					ELSE 'it has no policies: only its owner sees rows' END,
			   CASE WHEN o.roles IS NOT NULL THEN format('REVOKE ALL ON %s FROM %s;', c.oid::regclass, o.roles)
					WHEN NOT c.relrowsecurity AND c.for_users
					THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', c.oid::regclass)
					WHEN c.of_appdb THEN format('SELECT appdb.manage(%L);', c.oid::regclass)
					ELSE format('ALTER TABLE %1$s ENABLE ROW LEVEL SECURITY; CREATE POLICY readers ON %1$s FOR SELECT USING (...);', c.oid::regclass) END
		FROM (SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relkind, c.relacl, c.relrowsecurity,
				EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND NOT starts_with(p.polname, 'appdb_service_')) AS for_users,
				-- appdb.manage() makes their policies
				EXISTS (SELECT FROM appdb._policies() p WHERE c.relnamespace = data_schema AND p.entity = c.relname)
				OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'space_id'
						   AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped) AS of_appdb
			  FROM pg_class c) c
		LEFT JOIN LATERAL (SELECT string_agg(DISTINCT CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE g.grantee::regrole::text END, ', ') AS roles
						   FROM aclexplode(c.relacl) g
						   WHERE g.grantee <> c.relowner AND c.relnamespace = data_schema AND c.relname = ANY (appdb._own_tables())) o ON true
		WHERE c.relkind IN ('r', 'p')
		  AND (c.oid IN (SELECT m.entity FROM appdb._managed_tables() m)
			   OR (c.relnamespace = data_schema
				   AND EXISTS (SELECT FROM aclexplode(c.relacl) g WHERE g.grantee <> c.relowner)))
		  AND (NOT c.relrowsecurity
			   OR (NOT c.for_users AND (c.of_appdb OR NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid))
				   -- for servers alone
				   AND c.oid IS DISTINCT FROM to_regclass('app_data.verifications')))
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', c.oid::regclass::text, format('PUBLIC has %s on it', lower(string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type))),
			   format('REVOKE ALL ON %s FROM PUBLIC;', c.oid::regclass)
		FROM pg_class c, aclexplode(c.relacl) g
		WHERE g.grantee = 0
		  AND (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m UNION ALL SELECT m.live_view FROM appdb.managed m))
		GROUP BY c.oid ORDER BY 2;
	-- no level gives these; default privileges of the owner's do
	RETURN QUERY
		SELECT 'error', format('role %s', r.rolname),
			   format(CASE count(DISTINCT c.oid) WHEN 1 THEN 'it has %s on "%s"' ELSE 'it has %s on "%s" and %s others' END
					  || ': its triggers there run as whoever writes, the owner of the tables too, and what it truncates is gone',
					  lower(string_agg(DISTINCT g.privilege_type, ', ')), min(c.oid::regclass::text), count(DISTINCT c.oid) - 1),
			   format('REVOKE %s ON %s FROM %I;', string_agg(DISTINCT g.privilege_type, ', '), string_agg(DISTINCT c.oid::regclass::text, ', '), r.rolname)
		FROM pg_class c, aclexplode(c.relacl) g JOIN pg_roles r ON r.oid = g.grantee
		WHERE g.privilege_type IN ('TRIGGER', 'TRUNCATE') AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')
		  AND NOT (c.relnamespace = data_schema AND c.relname = ANY (appdb._own_tables()))
		  AND (c.relnamespace = data_schema OR c.oid IN (SELECT m.entity FROM appdb._managed_tables() m UNION ALL SELECT m.live_view FROM appdb.managed m))
		GROUP BY r.rolname ORDER BY 2;
	RETURN QUERY
		SELECT 'error', format('schema %s', n.nspname), 'PUBLIC may create objects in it, in the way of the engine''s',
			   format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC;', n.nspname)
		FROM pg_namespace n, aclexplode(n.nspacl) g
		WHERE n.nspname IN ('app_data', 'appdb') AND g.grantee = 0 AND g.privilege_type = 'CREATE'
		ORDER BY 2;
	-- a function of a row is nothing that a call with literals could mean
	RETURN QUERY
		SELECT 'warning', o.identity, 'it has the name of one of the engine''s functions: calls with plain literals can mean it, also those of superusers',
			   format('DROP %s %s;  -- or give it another name', o.kind, o.identity)
		FROM (SELECT p.proname, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END, p.oid::regprocedure::text, p.proowner
			  FROM pg_proc p
			  WHERE p.pronamespace = 'appdb'::regnamespace
				AND NOT (p.pronargs = 1 AND EXISTS (SELECT FROM pg_type t WHERE t.oid = p.proargtypes[0] AND t.typrelid <> 0))
			  UNION ALL
			  SELECT t.typname, 'TYPE', t.oid::regtype::text, t.typowner
			  FROM pg_type t WHERE t.typnamespace = 'appdb'::regnamespace AND t.typrelid = 0) o (name, kind, identity, belongs_to)
		JOIN pg_roles r ON r.oid = o.belongs_to AND NOT r.rolsuper
		WHERE EXISTS (SELECT FROM pg_proc p JOIN pg_roles s ON s.oid = p.proowner AND s.rolsuper
					  WHERE p.pronamespace = 'appdb'::regnamespace AND p.proname = o.name)
		ORDER BY o.identity;
	RETURN QUERY
		SELECT CASE WHEN r.oid IS NULL THEN 'warning' ELSE 'error' END, format('role %s', a.role),
			   CASE WHEN r.oid IS NULL THEN format('it has access level %s, and does not exist', a.level)
					WHEN r.rolsuper THEN 'it is a superuser: row security does not hold for it'
					WHEN r.rolbypassrls THEN 'it has BYPASSRLS: row security does not hold for it'
					WHEN pg_has_role(r.oid, owner, 'USAGE') THEN 'it has the rights of the owner of the tables: row security does not hold for it'
					ELSE format('it is a member of role %s, which %s: it can see all rows', v.role, v.what) END,
			   CASE WHEN r.oid IS NULL THEN format('SELECT appdb.revoke_access(%L);', a.role)
					WHEN r.rolsuper THEN format('ALTER ROLE %I NOSUPERUSER;', a.role)
					WHEN r.rolbypassrls THEN format('ALTER ROLE %I NOBYPASSRLS;', a.role)
					WHEN r.oid = owner THEN format('SELECT appdb.revoke_access(%L);', a.role)
					WHEN pg_has_role(r.oid, owner, 'USAGE') THEN format('REVOKE %s FROM %I;', owner::regrole, a.role)
					ELSE format('REVOKE %I FROM %I;', v.role, a.role) END
		FROM app_data.access a LEFT JOIN pg_roles r ON r.rolname = a.role
		LEFT JOIN LATERAL (SELECT q.rolname AS role, CASE WHEN q.rolsuper THEN 'is a superuser' WHEN q.oid = owner THEN 'owns the tables' ELSE 'has access level service' END AS what
						   FROM pg_roles q
						   WHERE (q.rolsuper OR q.oid = owner OR (a.level <> 'service' AND q.rolname IN (SELECT s.role FROM app_data.access s WHERE s.level = 'service')))
							 AND pg_has_role(r.oid, q.oid, 'MEMBER')
							 -- a membership can be one without the rights, and without SET ROLE: 16
							 AND EXISTS (SELECT FROM pg_roles m
										 WHERE pg_has_role(r.oid, m.oid, CASE WHEN current_setting('server_version_num')::int >= 160000
																		 THEN 'SET, MEMBER WITH ADMIN OPTION' ELSE 'MEMBER' END)
										   AND pg_has_role(m.oid, q.oid, 'USAGE'))
						   ORDER BY q.rolsuper DESC, q.oid = owner DESC, q.rolname LIMIT 1) v ON true
		WHERE r.oid IS NULL OR r.rolsuper OR (r.rolbypassrls AND a.level <> 'service') OR pg_has_role(r.oid, owner, 'USAGE') OR v.role IS NOT NULL
		ORDER BY 2;
	-- nothing of it was restored, or none of the functions; single rights can be taken on purpose
	RETURN QUERY
		SELECT 'error', format('role %s', a.role), format('it has access level %s, and not the rights that this gives, as after a restore without them', a.level),
			   'SELECT appdb.install();'
		FROM app_data.access a JOIN pg_roles r ON r.rolname = a.role
		WHERE NOT has_schema_privilege(r.oid, data_schema, 'USAGE')
		   OR NOT (SELECT bool_or(has_function_privilege(r.oid, f, 'EXECUTE')) FROM unnest(appdb._grant_functions(a.level)) f)
		ORDER BY 2;
	RETURN QUERY
		SELECT DISTINCT 'error', format('role %s', r.rolname), 'it sees all rows, and has not access level service: it had another name when it was given that',
			   format('SELECT appdb.grant_access(%L, ''service''); -- or appdb.revoke_access(%1$L)', r.rolname)
		FROM appdb._managed_tables() m
		JOIN pg_policy p ON p.polrelid = m.entity AND starts_with(p.polname, 'appdb_service_')
		JOIN pg_roles r ON p.polroles = ARRAY[r.oid]
		WHERE r.oid <> owner AND has_table_privilege(r.oid, m.entity, 'SELECT')
		  AND NOT EXISTS (SELECT FROM app_data.access a WHERE a.role = r.rolname AND a.level = 'service')
		ORDER BY 2;
	RETURN QUERY
		SELECT 'error', format('role %s', f.role), 'it owned the tables before, and still has the rights of their owner in schema appdb: it can sign in as anybody',
			   'SELECT appdb.install(); -- as a superuser'
		FROM appdb._former_owners() f (role);
	RETURN QUERY
		SELECT 'warning', format('role %s', s.usename),
			   format('%s client connections as it (%s): it is the owner of the tables or a superuser, for whom row security does not hold',
					  count(*), string_agg(DISTINCT COALESCE(NULLIF(s.application_name, ''), 'without a name'), ', ')),
			   'CREATE ROLE web LOGIN; SELECT appdb.grant_access(''web'', ''app'');  -- and connect the application as web'
		FROM pg_stat_activity s JOIN pg_roles r ON r.oid = s.usesysid
		WHERE s.datname = current_database() AND s.backend_type = 'client backend' AND s.pid <> pg_backend_pid()
		  AND (r.rolsuper OR pg_has_role(r.oid, owner, 'USAGE'))
		  AND s.application_name !~* '^(psql|pg_|pgadmin|dbeaver|datagrip)'
		GROUP BY s.usename ORDER BY 2;

	-- settings
	RETURN QUERY
		SELECT v.severity, format('setting %s', v.name), v.problem,
			   COALESCE(v.fix, format('ALTER SYSTEM RESET %s; SELECT pg_reload_conf();', v.name))
		FROM (VALUES
			('fsync', 'off', 'error', 'a crash of the machine can lose or corrupt the whole cluster', NULL),
			('full_page_writes', 'off', 'error', 'a crash of the machine can corrupt pages', NULL),
			('synchronous_commit', 'off', 'warning', 'a crash loses transactions that clients were told are committed', NULL),
			('zero_damaged_pages', 'on', 'error', 'damaged pages are emptied instead of reported', NULL),
			('ignore_checksum_failure', 'on', 'error', 'damaged pages are read as if they were whole', NULL),
			('autovacuum', 'off', 'error', 'tables grow without bound, and transaction ids run out', NULL),
			('track_counts', 'off', 'error', 'autovacuum does not know what to do: tables grow without bound', NULL),
			-- 17 has it
			('event_triggers', 'off', 'warning', 'tables are dropped without being asked, and live views do not follow ALTER TABLE', NULL)
			) v (name, bad, severity, problem, fix)
		WHERE current_setting(v.name, true) = v.bad
		ORDER BY 2;
	RETURN QUERY
		SELECT CASE c.name WHEN 'appdb.allow_drop' THEN 'warning' ELSE 'error' END, format('setting %s', c.name),
			   format('it is %s%s: %s', c.value,
					  CASE WHEN c.for_database IS NULL THEN ' in this session' ELSE c.for_database || c.for_role END,
					  CASE c.name WHEN 'appdb.allow_drop' THEN 'tables and rows can be dropped without being asked'
								  ELSE 'foreign keys, cascades and guards do not work' END),
			   CASE WHEN c.for_database IS NULL THEN format('RESET %s;  -- or in the configuration file', c.name)
					ELSE format('ALTER %s RESET %s;', c.target, c.name) END
		FROM (SELECT o.option_name AS name, o.option_value AS value,
					 CASE WHEN s.setdatabase <> 0 THEN format(' for database %s', d.datname) ELSE '' END AS for_database,
					 CASE WHEN s.setrole <> 0 THEN format(' for role %s', s.setrole::regrole) ELSE '' END AS for_role,
					 CASE WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
						  ELSE format('ROLE %s%s', s.setrole::regrole, CASE WHEN s.setdatabase <> 0 THEN format(' IN DATABASE %I', d.datname) ELSE '' END) END AS target
			  FROM pg_db_role_setting s
			  LEFT JOIN pg_database d ON d.oid = s.setdatabase
			  CROSS JOIN LATERAL pg_options_to_table(s.setconfig) o
			  WHERE s.setdatabase IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))
			  UNION ALL
			  SELECT v.name, current_setting(v.name, true), NULL, NULL, NULL
			  FROM (VALUES ('appdb.allow_drop'), ('session_replication_role')) v (name)) c
		WHERE (c.name = 'appdb.allow_drop' AND c.value IN ('on', 'true', 'yes', '1'))
		   OR (c.name = 'session_replication_role' AND c.value <> 'origin')
		ORDER BY 2, 3;
	RETURN QUERY
		SELECT 'advice', 'setting session_preload_libraries',
			   'it does not name appdb: a DELETE that is the first to use the engine in its session goes row by row',
			   format('ALTER DATABASE %I SET session_preload_libraries = ''appdb'';  -- as a superuser', current_database())
		WHERE NOT appdb._preloaded()
		  AND NOT EXISTS (
			SELECT FROM pg_db_role_setting s, pg_options_to_table(s.setconfig) o, regexp_split_to_table(o.option_value, '[[:space:],"]+') l
			WHERE s.setrole = 0 AND s.setdatabase = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
			  AND o.option_name = 'session_preload_libraries' AND l IN ('appdb', '$libdir/appdb'));
END
$$;
COMMENT ON FUNCTION appdb._doctor_catalogs() IS 'Internal: what appdb.doctor() finds without reading rows';

-- What the rows say.  Reads every managed table.
CREATE FUNCTION appdb._doctor_rows(
	OUT severity pg_catalog.text, OUT object pg_catalog.text, OUT problem pg_catalog.text, OUT fix pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	-- each partition would be compiled by itself
	SET jit = off
AS $$
DECLARE
	link record;
	found record;
BEGIN
	FOR link IN
		SELECT child.entity AS child, child.name AS child_view, child.soft_delete AS child_soft,
			   parent.entity AS parent, parent.soft_delete AS parent_soft, c.conname,
			   string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ' ORDER BY u.n) AS condition,
			   string_agg(appdb._key_condition(c, u.n, 'c', 'p'), ' AND ' ORDER BY u.n) AS exactly,
			   string_agg(format('c.%I IS NOT NULL', a.attname), ' AND ' ORDER BY u.n) AS complete,
			   max(a.attname::text) FILTER (WHERE b.attname = 'id') AS column,
			   COALESCE(max(child.relations -> a.attname::text ->> 'on_delete') FILTER (WHERE b.attname = 'id'),
						CASE c.confdeltype WHEN 'n' THEN 'set null' ELSE 'cascade' END) AS mode
		FROM pg_constraint c
		JOIN appdb.managed child ON child.entity = c.conrelid
		JOIN appdb.managed parent ON parent.entity = c.confrelid
		CROSS JOIN LATERAL appdb._key_columns(c) u
		JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.child
		JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = u.parent
		WHERE c.contype = 'f' AND c.conparentid = 0
		  AND NOT EXISTS (SELECT FROM appdb._out_of_reach() r WHERE r.obstacle IN (child.entity, parent.entity))
		GROUP BY c.oid, c.conname, c.confdeltype, child.entity, child.name, child.soft_delete, child.relations, parent.entity, parent.soft_delete
		HAVING bool_or(b.attname = 'id')
		ORDER BY child.entity::text, c.conname
	LOOP
		EXECUTE format(
			'SELECT count(*) FILTER (WHERE p.id IS NULL) AS missing, %s AS deleted FROM %s c LEFT JOIN %s p ON %s '
			'WHERE %s AND (p.id IS NULL%s)',
			CASE WHEN link.parent_soft THEN 'count(*) FILTER (WHERE p.deleted_at IS NOT NULL)' ELSE '0::int8' END,
			link.child, link.parent, link.exactly, link.complete,
			CASE WHEN link.parent_soft THEN ' OR (p.deleted_at IS NOT NULL' || CASE WHEN link.child_soft THEN ' AND c.deleted_at IS NULL)' ELSE ')' END ELSE '' END)
		INTO found;
		IF found.deleted > 0 THEN
			RETURN QUERY SELECT 'error', link.child::text,
				format('%s live rows refer to deleted rows of "%s" (foreign key "%s")', found.deleted, link.parent, link.conname),
				CASE WHEN link.mode = 'set null' THEN
					format('UPDATE %s AS c SET %I = NULL FROM %s AS p WHERE %s AND p.deleted_at IS NOT NULL%s;',
						   link.child, link.column, link.parent, link.condition, CASE WHEN link.child_soft THEN ' AND c.deleted_at IS NULL' ELSE '' END)
				ELSE
					format('DELETE FROM appdb.%I AS c USING %s AS p WHERE %s AND p.deleted_at IS NOT NULL;  -- or bring those back: appdb.restore()',
						   link.child_view, link.parent, link.condition)
				END;
		END IF;
		IF found.missing > 0 THEN
			RETURN QUERY SELECT 'error', link.child::text,
				format('%s rows refer to rows of "%s" that do not exist (foreign key "%s")', found.missing, link.parent, link.conname),
				format('SELECT * FROM %s AS c WHERE %s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s);  -- bring those back from a backup, or erase these',
					   link.child, link.complete, link.parent, link.condition);
		END IF;
	END LOOP;

	RETURN QUERY
		SELECT 'error', format('organization %s', o.id), format('"%s" has members and no owner among them', o.name),
			   format('UPDATE appdb.members SET role = ''owner'' WHERE organization_id = %L AND user_id = ...;', o.id)
		FROM app_data.organizations o
		WHERE o.deleted_at IS NULL
		  AND EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = o.id AND m.deleted_at IS NULL)
		  AND NOT EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = o.id AND m.deleted_at IS NULL AND m.role = 'owner')
		ORDER BY o.id;
	RETURN QUERY
		SELECT 'error', format('space %s', s.id), format('"%s" has members and no owner among them', s.name),
			   format('UPDATE appdb.space_members SET role = ''owner'' WHERE space_id = %L AND user_id = ...;', s.id)
		FROM app_data.spaces s
		WHERE s.deleted_at IS NULL AND s.owner_id IS NULL
		  AND EXISTS (SELECT FROM app_data.space_members m WHERE m.space_id = s.id AND m.deleted_at IS NULL)
		  AND NOT EXISTS (SELECT FROM app_data.space_members m WHERE m.space_id = s.id AND m.deleted_at IS NULL AND m.role = 'owner')
		  AND NOT EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = s.organization_id AND m.deleted_at IS NULL AND m.role = 'owner')
		ORDER BY s.id;

	RETURN QUERY
		SELECT 'warning', 'retention',
			   format('%s deleted rows, with what was deleted with them, should have been purged, the first on %s', count(*), min(t.purge_at)::date),
			   'CALL appdb.purge();'
		-- the first condition costs nothing
		FROM appdb.trash t WHERE t.deleted_at < now() - interval '1 day' - appdb.retention() AND t.purge_at < now() - interval '1 day'
		HAVING count(*) > 0;
	IF to_regclass('app_data.tasks') IS NULL THEN
		RETURN;
	END IF;
	RETURN QUERY
		SELECT 'warning', 'tasks', format('%s tasks have lost their worker more than an hour ago: nobody maintains the queue', count(*)),
			   'CALL appdb.maintain();  -- from cron, or let the background worker do it: shared_preload_libraries = ''appdb'''
		FROM app_data.tasks t WHERE t.status = 'running' AND t.locked_until < now() - interval '1 hour' AND t.deleted_at IS NULL
		HAVING count(*) > 0;
END
$$;
COMMENT ON FUNCTION appdb._doctor_rows() IS 'Internal: what appdb.doctor() finds by reading the tables';

CREATE FUNCTION appdb._doctor(check_rows pg_catalog.bool)
	RETURNS TABLE (severity pg_catalog.text, object pg_catalog.text, problem pg_catalog.text, fix pg_catalog.text)
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('app_data.schema_version') IS NULL THEN
		RETURN QUERY SELECT 'error', 'schema app_data', 'it has no tables of appdb''s', 'SELECT appdb.install();  -- unless a restore is under way, which makes them';
		RETURN;
	END IF;
	IF NOT (SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c WHERE c.oid = 'app_data.schema_version'::regclass) THEN
		RETURN QUERY SELECT 'error', 'schema app_data',
			format('it belongs to role "%s", and its tables to role "%s": neither can work with them', current_user, pg_get_userbyid(c.relowner)),
			format('ALTER SCHEMA app_data OWNER TO %s;', c.relowner::regrole)
		FROM pg_class c WHERE c.oid = 'app_data.schema_version'::regclass;
		RETURN;
	END IF;
	-- nor without what is read here by name; as a superuser restores a single table
	RETURN QUERY
		SELECT 'error', c.oid::regclass::text, format('it belongs to role "%s": most functions fail', pg_get_userbyid(c.relowner)),
			format('ALTER TABLE %s OWNER TO %I;', c.oid::regclass, current_user)
		FROM pg_class c
		WHERE c.relnamespace = 'app_data'::regnamespace AND NOT pg_has_role(c.relowner, 'USAGE')
		  AND c.relname IN ('managed', 'pending', 'access', 'deletions', 'unlinked', 'legal_holds', 'organizations', 'members', 'spaces', 'space_members', 'tasks')
		ORDER BY 2;
	IF FOUND THEN
		RETURN;
	END IF;
	-- nothing more can be found out: the tables were given to another role, or restored without privileges
	IF NOT has_schema_privilege('appdb', 'CREATE') OR NOT has_function_privilege('appdb._doctor_catalogs()', 'EXECUTE') THEN
		RETURN QUERY SELECT 'error', 'schema appdb',
			format('role "%s" owns the tables and has not the rights that this takes: most functions fail', current_user),
			'SELECT appdb.install(); -- as a superuser';
		RETURN;
	END IF;
	RETURN QUERY
		SELECT f.* FROM (
			SELECT c.* FROM appdb._doctor_catalogs() c
			UNION ALL
			SELECT r.* FROM appdb._doctor_rows() r WHERE check_rows) f
		ORDER BY array_position(ARRAY['error', 'warning', 'advice'], f.severity);
END
$$;
COMMENT ON FUNCTION appdb._doctor(pg_catalog.bool) IS 'Internal: the work of appdb.doctor()';

CREATE FUNCTION appdb.doctor(check_rows pg_catalog.bool DEFAULT true)
	RETURNS TABLE (severity pg_catalog.text, object pg_catalog.text, problem pg_catalog.text, fix pg_catalog.text)
	LANGUAGE c STABLE STRICT ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.doctor(pg_catalog.bool) IS
'What is wrong with this database: a row for each finding, the gravest first; a healthy one gives no row. Changes nothing.
check_rows: whether to read all tables as well, for broken invariants (orphans, spaces without an owner, overdue retention): minutes, where they are large.
severity: error (rules do not hold, or data is in danger), warning, or advice; object: what it is about; problem; fix: what to type. Only the owner of the tables and superusers may call it.';
REVOKE EXECUTE ON FUNCTION appdb.doctor(pg_catalog.bool), appdb._doctor(pg_catalog.bool),
	appdb._doctor_catalogs(), appdb._doctor_rows() FROM PUBLIC;
