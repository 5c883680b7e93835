-- The conventions as a function: manage(), unmanage() and what they list.

-- What is managed, read without SQL (see src/registry.c).
CREATE FUNCTION appdb._managed_tables(
	OUT entity pg_catalog.regclass, OUT view pg_catalog.name,
	OUT label pg_catalog.name, OUT relations pg_catalog.jsonb)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE ROWS 30
	AS 'MODULE_PATHNAME', 'appdb__managed_tables';
COMMENT ON FUNCTION appdb._managed_tables() IS 'Internal: the rows of app_data.managed whose tables exist';

-- Who owns app_data.managed may have written there what they like.  So a superuser
-- works only on tables that are theirs, or that somebody with rights on the table has managed.
CREATE FUNCTION appdb._is_managed(entity pg_catalog.regclass) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.nspname = 'app_data' AND n.nspowner = c.relowner WHERE c.oid = entity)
		OR EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
				   WHERE t.tgrelid = entity AND p.pronamespace = 'appdb'::regnamespace);
END
$$;
COMMENT ON FUNCTION appdb._is_managed(pg_catalog.regclass) IS 'Internal: whether a row of app_data.managed is to be believed, by a superuser';

CREATE VIEW appdb.managed WITH (security_invoker = true) AS
	SELECT m.entity,
		   c.oid::pg_catalog.regclass AS live_view,
		   m.view AS name,
		   m.label,
		   EXISTS (SELECT FROM pg_catalog.pg_attribute a
				   WHERE a.attrelid OPERATOR(pg_catalog.=) m.entity
					 AND a.attname OPERATOR(pg_catalog.=) 'deleted_at'
					 AND NOT a.attisdropped) AS soft_delete,
		   m.relations
	FROM appdb._managed_tables() m
	LEFT JOIN pg_catalog.pg_class c
		   ON c.relname OPERATOR(pg_catalog.=) m.view AND c.relkind OPERATOR(pg_catalog.=) 'v'
		  AND c.relnamespace OPERATOR(pg_catalog.=)
			  (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) 'appdb');
COMMENT ON VIEW appdb.managed IS 'The tables that appdb manages, and with which options';
COMMENT ON COLUMN appdb.managed.entity IS 'The base table';
COMMENT ON COLUMN appdb.managed.live_view IS 'Its live view; null when that has been dropped (SELECT appdb.manage(entity) makes it again)';
COMMENT ON COLUMN appdb.managed.name IS 'Name of the live view in schema appdb';
COMMENT ON COLUMN appdb.managed.label IS 'The column that names a row to people';
COMMENT ON COLUMN appdb.managed.soft_delete IS 'Whether a DELETE on the live view keeps the row (column deleted_at); secrets are deleted for good';
COMMENT ON COLUMN appdb.managed.relations IS 'Options by foreign-key column: name, inverse, through, on_delete';
GRANT SELECT ON appdb.managed TO PUBLIC;

-- Raises unless the table follows the conventions; returns whether it has
-- deleted_at.
-- The pairs of columns that say which row a foreign key refers to.  The period
-- of one that has a period (18) does not: where one refers to the id, that does.
CREATE FUNCTION appdb._key_columns(key pg_catalog.pg_constraint,
								   OUT child pg_catalog.int2, OUT parent pg_catalog.int2, OUT n pg_catalog.int8)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 2
AS $$
	SELECT u.child, u.parent, u.n
	FROM ROWS FROM (pg_catalog.unnest(key.conkey), pg_catalog.unnest(key.confkey)) WITH ORDINALITY AS u (child, parent, n)
	WHERE u.n OPERATOR(pg_catalog.=) 1 OR u.n OPERATOR(pg_catalog.<) pg_catalog.cardinality(key.conkey)
	   OR COALESCE(pg_catalog.to_jsonb(key) OPERATOR(pg_catalog.->>) 'conperiod', 'false') OPERATOR(pg_catalog.<>) 'true'
$$;
COMMENT ON FUNCTION appdb._key_columns(pg_catalog.pg_constraint) IS 'Internal: the columns by which a foreign key refers to a row';

-- The collation by which a foreign key compares, to follow what is compared,
-- where the columns have different ones; links.c says why it is that.
CREATE FUNCTION appdb._key_collation(parent pg_catalog.oid, child pg_catalog.oid)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT COALESCE((
		SELECT format(' COLLATE %I.%I', s.nspname, l.collname)
		FROM pg_collation p
		JOIN pg_collation c ON c.oid = child
		JOIN pg_collation l ON l.oid = CASE WHEN p.collisdeterministic AND c.collisdeterministic THEN c.oid ELSE p.oid END
		JOIN pg_namespace s ON s.oid = l.collnamespace
		WHERE p.oid = parent AND p.oid <> c.oid), '')
$$;
COMMENT ON FUNCTION appdb._key_collation(pg_catalog.oid, pg_catalog.oid) IS 'Internal: the collation by which a foreign key compares';

-- The condition that the child's column is the parent's, as the foreign key has it.
CREATE FUNCTION appdb._key_condition(key pg_catalog.pg_constraint, n pg_catalog.int8, child pg_catalog.text, parent pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s.%I OPERATOR(%I.%s) %s.%I', parent, p.attname, s.nspname, o.oprname, child, c.attname) ||
		   appdb._key_collation(p.attcollation, c.attcollation)
	FROM pg_attribute c
	JOIN pg_attribute p ON p.attrelid = key.confrelid AND p.attnum = key.confkey[n]
	JOIN pg_operator o ON o.oid = key.conpfeqop[n]
	JOIN pg_namespace s ON s.oid = o.oprnamespace
	WHERE c.attrelid = key.conrelid AND c.attnum = key.conkey[n]
$$;
COMMENT ON FUNCTION appdb._key_condition(pg_catalog.pg_constraint, pg_catalog.int8, pg_catalog.text, pg_catalog.text) IS 'Internal: the condition on one column by which a foreign key refers to a row';

CREATE FUNCTION appdb._check_conventions(entity pg_catalog.regclass)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	rel record;
	col record;
	wanted record;
BEGIN
	SELECT c.relkind, c.relpersistence, n.nspname, c.relispartition INTO rel
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.oid = entity;

	IF rel.relkind NOT IN ('r', 'p') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is not a table', entity),
			HINT = 'appdb.manage() takes a base table; it makes the live view itself.';
	ELSIF rel.relpersistence = 't' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('cannot manage temporary table "%s"', entity),
			HINT = 'Make an ordinary table.';
	ELSIF rel.relispartition THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('cannot manage partition "%s"', entity),
			HINT = 'Manage the partitioned table.';
	ELSIF rel.nspname IN ('pg_catalog', 'information_schema', 'pg_toast', 'appdb') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_schema_name',
			MESSAGE = format('cannot manage table "%s" in schema "%s"', entity, rel.nspname),
			HINT = 'Base tables belong in app_data or in a schema of your own.';
	END IF;

	SELECT a.attnum, a.atttypid INTO col
	FROM pg_attribute a
	WHERE a.attrelid = entity AND a.attname = 'id' AND NOT a.attisdropped;
	IF col.attnum IS NULL OR col.atttypid <> 'uuid'::regtype OR NOT EXISTS (
		SELECT FROM pg_constraint c
		WHERE c.conrelid = entity AND c.contype = 'p' AND c.conkey = ARRAY[col.attnum])
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_table_definition',
			MESSAGE = format('table "%s" has no primary key "id" of type uuid', entity),
			DETAIL = CASE
				WHEN col.attnum IS NULL THEN 'There is no column "id".'
				WHEN col.atttypid <> 'uuid'::regtype THEN format('Column "id" is of type %s.', col.atttypid::regtype)
				ELSE 'Column "id" is not the primary key.' END,
			HINT = CASE
				-- of which a key has to have all columns
				WHEN EXISTS (SELECT FROM pg_partitioned_table p WHERE p.partrelid = entity AND p.partattrs::text IS DISTINCT FROM col.attnum::text)
					THEN 'Partition the table by "id" alone, which is in order of time: PARTITION BY RANGE (id), with bounds of appdb.uuidv7_lower().'
				WHEN col.atttypid <> 'uuid'::regtype THEN 'The primary key of a managed table is a uuid: keep the present key as another column and make a new "id".'
				ELSE format('ALTER TABLE %s %sADD %s;', entity,
					(SELECT format('DROP CONSTRAINT %I, ADD %s, ', c.conname, regexp_replace(pg_get_constraintdef(c.oid), '^PRIMARY KEY', 'UNIQUE'))
					 FROM pg_constraint c WHERE c.conrelid = entity AND c.contype = 'p'),
					CASE WHEN col.attnum IS NULL THEN 'COLUMN id uuid PRIMARY KEY DEFAULT appdb.uuidv7()' ELSE 'PRIMARY KEY (id)' END) END;
	END IF;

	FOR wanted IN
		SELECT * FROM (VALUES ('created_at', true), ('updated_at', true), ('deleted_at', false)) v (name, required)
	LOOP
		SELECT a.attnum, a.atttypid, a.attnotnull, a.attgenerated INTO col
		FROM pg_attribute a
		WHERE a.attrelid = entity AND a.attname = wanted.name AND NOT a.attisdropped;

		IF col.attnum IS NULL AND wanted.required THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('table "%s" has no column "%s"', entity, wanted.name),
				HINT = format('ALTER TABLE %s ADD COLUMN %s timestamptz(3) NOT NULL DEFAULT now();', entity, wanted.name);
		ELSIF col.atttypid <> 'timestamptz'::regtype OR col.attgenerated <> '' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" is not a plain timestamptz', wanted.name, entity),
				DETAIL = format('It is of type %s%s.', col.atttypid::regtype,
								CASE WHEN col.attgenerated <> '' THEN ', generated' ELSE '' END),
				HINT = format('ALTER TABLE %s ALTER COLUMN %I %s;', entity, wanted.name,
							  CASE WHEN col.attgenerated <> '' THEN 'DROP EXPRESSION' ELSE 'TYPE timestamptz' END);
		ELSIF wanted.required AND NOT col.attnotnull THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" may be null', wanted.name, entity),
				HINT = format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL;', entity, wanted.name);
		ELSIF NOT wanted.required AND col.attnotnull THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_table_definition',
				MESSAGE = format('column "%s" of table "%s" must allow null', wanted.name, entity),
				DETAIL = 'A live row is one whose deleted_at is null.',
				HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', entity, wanted.name);
		END IF;
	END LOOP;

	-- the trigger that keeps a row its author's could not look at them
	SELECT a.attname INTO col
	FROM pg_attribute a
	WHERE a.attrelid = entity AND a.attname IN ('space_id', 'user_id') AND a.attgenerated <> '' AND appdb._is_authored(entity)
	ORDER BY a.attnum LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_table_definition',
			MESSAGE = format('column "%s" of table "%s" is generated', col.attname, entity),
			DETAIL = 'Whose a row with "space_id" and "user_id" is is for its author and admins to change.',
			HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP EXPRESSION; or give it another name.', entity, col.attname);
	END IF;

	RETURN EXISTS (SELECT FROM pg_attribute a
				   WHERE a.attrelid = entity AND a.attname = 'deleted_at' AND NOT a.attisdropped);
END
$$;
COMMENT ON FUNCTION appdb._check_conventions(pg_catalog.regclass) IS 'Internal: raises unless the table follows the conventions; returns whether it soft-deletes';

-- Raises unless every key of the options is a foreign-key column with known
-- settings.
CREATE FUNCTION appdb._check_relation_options(entity pg_catalog.regclass, relations pg_catalog.jsonb)
	RETURNS void
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	fk record;
	setting record;
BEGIN
	IF jsonb_typeof(relations) <> 'object' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('relations of table "%s" must be a JSON object', entity),
			HINT = 'For example {"author_id": {"name": "author", "inverse": "articles", "on_delete": "set null"}}.';
	END IF;

	FOR fk IN SELECT * FROM jsonb_each(relations) LOOP
		IF NOT EXISTS (
			SELECT FROM pg_constraint c
			JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
			WHERE c.conrelid = entity AND c.contype = 'f' AND a.attname = fk.key)
		THEN
			RAISE EXCEPTION USING
				ERRCODE = 'undefined_column',
				MESSAGE = format('relations names "%s", which is no foreign-key column of table "%s"', fk.key, entity),
				HINT = format('Foreign-key columns are: %s.', COALESCE(
					(SELECT string_agg(DISTINCT format('"%s"', a.attname), ', ')
					 FROM pg_constraint c
					 JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
					 WHERE c.conrelid = entity AND c.contype = 'f'), 'none'));
		ELSIF jsonb_typeof(fk.value) <> 'object' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('relations of column "%s" must be a JSON object', fk.key),
				HINT = 'Its keys are "name", "inverse", "through" and "on_delete".';
		END IF;
		FOR setting IN SELECT * FROM jsonb_each(fk.value) LOOP
			IF setting.key NOT IN ('name', 'inverse', 'through', 'on_delete') THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('unknown relation option "%s" for column "%s"', setting.key, fk.key),
					HINT = 'Options are "name", "inverse", "through" and "on_delete".';
			ELSIF jsonb_typeof(setting.value) <> 'string'
				OR setting.value #>> '{}' = '' OR octet_length(setting.value #>> '{}') > 63 THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('relation option "%s" for column "%s" must be a string of 1 to 63 bytes', setting.key, fk.key);
			ELSIF setting.key = 'on_delete'
				AND setting.value #>> '{}' NOT IN ('cascade', 'purge', 'set null', 'restrict') THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('unknown on_delete "%s" for column "%s"', setting.value #>> '{}', fk.key),
					HINT = 'It is one of "cascade", "purge", "set null" and "restrict".';
			ELSIF setting.key = 'on_delete' AND setting.value #>> '{}' = 'set null'
				AND EXISTS (SELECT FROM pg_attribute a
							WHERE a.attrelid = entity AND a.attname = fk.key AND a.attnotnull) THEN
				RAISE EXCEPTION USING
					ERRCODE = 'invalid_parameter_value',
					MESSAGE = format('on_delete "set null" for column "%s", which must not be null', fk.key),
					HINT = format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', entity, fk.key);
			END IF;
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._check_relation_options(pg_catalog.regclass, pg_catalog.jsonb) IS 'Internal: checks the relations argument of appdb.manage()';

-- The table's columns that have another name in its live view.  A column of
-- the view always stands for the table's column at the same place, since the
-- table's columns cannot be dropped or change type under the view: so another
-- name at some place is a rename.
CREATE FUNCTION appdb._renamed_columns(entity pg_catalog.regclass, view pg_catalog.oid,
									   OUT old_name pg_catalog.name, OUT new_name pg_catalog.name)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 1
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.attname, t.attname
	FROM (SELECT a.attname, row_number() OVER (ORDER BY a.attnum) AS n
		  FROM pg_attribute a WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped) t
	JOIN (SELECT a.attname, row_number() OVER (ORDER BY a.attnum) AS n
		  FROM pg_attribute a WHERE a.attrelid = view AND a.attnum > 0 AND NOT a.attisdropped) v
	  USING (n)
	WHERE t.attname <> v.attname
$$;
COMMENT ON FUNCTION appdb._renamed_columns(pg_catalog.regclass, pg_catalog.oid) IS 'Internal: columns of a table that have another name in its live view';

-- Makes the live view, or brings it up to the table's columns: what is missing
-- at the end is new.
CREATE FUNCTION appdb._sync_view(entity pg_catalog.regclass, view pg_catalog.name, soft_delete pg_catalog.bool)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view_oid oid := to_regclass(format('appdb.%I', view));
	new_names name[] := '{}';
	col record;
BEGIN
	-- by way of names that nobody has, for columns that swap their names
	FOR col IN SELECT * FROM appdb._renamed_columns(entity, view_oid) LOOP
		new_names := new_names || col.new_name;
		EXECUTE format('ALTER VIEW appdb.%I RENAME COLUMN %I TO %I', view, col.old_name,
					   'appdb_rename_' || cardinality(new_names));
	END LOOP;
	FOR n IN 1 .. cardinality(new_names) LOOP
		EXECUTE format('ALTER VIEW appdb.%I RENAME COLUMN %I TO %I', view, 'appdb_rename_' || n, new_names[n]);
	END LOOP;

	EXECUTE format('CREATE OR REPLACE VIEW appdb.%I WITH (security_invoker = true%s) AS SELECT %s FROM %s t%s',
				   view,
				   -- others that somebody has given it stay
				   (SELECT string_agg(format(', %I = %L', o.option_name, o.option_value), '')
					FROM pg_class c, pg_options_to_table(c.reloptions) o
					WHERE c.oid = view_oid AND o.option_name <> 'security_invoker'),
				   (SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum)
					FROM pg_attribute a WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped),
				   entity,
				   CASE WHEN soft_delete THEN ' WHERE t.deleted_at IS NULL' ELSE '' END);

	-- the table's comments; those that the view has of its own stay
	view_oid := to_regclass(format('appdb.%I', view));
	IF obj_description(view_oid, 'pg_class') IS NULL THEN
		EXECUTE format('COMMENT ON VIEW appdb.%I IS %L', view,
					   COALESCE(obj_description(entity, 'pg_class'),
								format('Live rows of %s', entity)));
	END IF;
	FOR col IN
		SELECT a.attname, col_description(entity, a.attnum) AS comment
		FROM pg_attribute a
		JOIN pg_attribute v ON v.attrelid = view_oid AND v.attname = a.attname
		WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped
		  AND col_description(entity, a.attnum) IS NOT NULL
		  AND col_description(view_oid, v.attnum) IS NULL
	LOOP
		EXECUTE format('COMMENT ON COLUMN appdb.%I.%I IS %L', view, col.attname, col.comment);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_view(pg_catalog.regclass, pg_catalog.name, pg_catalog.bool) IS 'Internal: makes a live view or brings it up to its table''s columns';

-- Makes a trigger of the engine unless the table has it.
CREATE FUNCTION appdb._ensure_trigger(entity pg_catalog.regclass, trigger_name pg_catalog.name,
									  definition pg_catalog.text, comment pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM pg_trigger t
				   WHERE t.tgrelid = entity AND t.tgname = trigger_name AND NOT t.tgisinternal)
	THEN
		EXECUTE format('CREATE TRIGGER %I ' || definition, trigger_name, entity);
		EXECUTE format('COMMENT ON TRIGGER %I ON %s IS %L', trigger_name, entity, comment);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._ensure_trigger(pg_catalog.regclass, pg_catalog.name, pg_catalog.text, pg_catalog.text) IS 'Internal: makes a trigger unless the table has it';

-- The engine's triggers, by name; the definition's %s is the table or view.
-- "wanted": always; soft: where rows are soft-deleted; view: on the live view
-- of such a table; authored: where rows in spaces have an author.
CREATE FUNCTION appdb._triggers(
	OUT trigger_name pg_catalog.name, OUT wanted pg_catalog.text,
	OUT definition pg_catalog.text, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE ROWS 8
AS $$
	VALUES
	('zz_appdb_timestamps'::pg_catalog.name, 'always',
	 'BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION appdb.timestamps()',
	 'Keeps updated_at and deleted_at, guards id and created_at; named to run after the table''s other triggers'),
	('appdb_author', 'authored',
	 'BEFORE UPDATE OF user_id, space_id ON %s FOR EACH ROW '
	 'WHEN (OLD.user_id IS DISTINCT FROM NEW.user_id OR OLD.space_id IS DISTINCT FROM NEW.space_id) EXECUTE FUNCTION appdb.keep_author()',
	 'Whose a row is is for its author and admins to change'),
	('appdb_truncate', 'always',
	 'BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.refuse_truncate()',
	 'Refuses TRUNCATE unless appdb.allow_drop is on'),
	('appdb_cascade_begin', 'soft',
	 'BEFORE UPDATE OF deleted_at ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()',
	 'Begins an operation that deletes rows'),
	('appdb_cascade_end', 'soft',
	 'AFTER UPDATE OF deleted_at ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.cascade()',
	 'Does to children what their foreign keys say, one statement each'),
	('appdb_soft_delete', 'view',
	 'INSTEAD OF DELETE ON %s FOR EACH ROW EXECUTE FUNCTION appdb.soft_delete()',
	 'Marks the row deleted'),
	('appdb_soft_delete_begin', 'view',
	 'BEFORE DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()',
	 'Begins an operation that deletes rows'),
	('appdb_soft_delete_end', 'view',
	 'AFTER DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()',
	 'Does to children what their foreign keys say, one statement each')
$$;
COMMENT ON FUNCTION appdb._triggers() IS 'Internal: the triggers that manage() makes';

CREATE FUNCTION appdb._wanted_triggers(entity pg_catalog.regclass, soft_delete pg_catalog.bool,
	OUT trigger_name pg_catalog.name, OUT wanted pg_catalog.text,
	OUT definition pg_catalog.text, OUT comment pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 8
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY
		SELECT t.* FROM appdb._triggers() t
		WHERE CASE t.wanted WHEN 'always' THEN true WHEN 'authored' THEN appdb._is_authored(entity) ELSE soft_delete END;
END
$$;
COMMENT ON FUNCTION appdb._wanted_triggers(pg_catalog.regclass, pg_catalog.bool) IS 'Internal: those of a table';

-- The trigger that guards INSERTs of a table with parents: no row refers to one
-- that is deleted, or that its writer may not see.  Its arguments are the modes that were asked for.
CREATE FUNCTION appdb._sync_guard(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	modes text;
	definition text;
	present text;
BEGIN
	IF EXISTS (
		SELECT FROM pg_constraint c
		JOIN appdb._managed_tables() m ON m.entity = c.confrelid
		WHERE c.conrelid = _sync_guard.entity AND c.contype = 'f')
	THEN
		SELECT COALESCE(string_agg(quote_literal(format('%s=%s', o.key, o.value ->> 'on_delete')), ', ' ORDER BY o.key), '')
		INTO modes
		FROM appdb._managed_tables() m, jsonb_each(m.relations) o
		WHERE m.entity = _sync_guard.entity AND o.value ? 'on_delete';
		definition := format('CREATE TRIGGER zz_appdb_guard BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION appdb.guard(%s)', entity, modes);
	END IF;

	SELECT pg_get_triggerdef(t.oid) INTO present
	FROM pg_trigger t WHERE t.tgrelid = entity AND t.tgname = 'zz_appdb_guard' AND NOT t.tgisinternal;
	IF present IS NOT NULL AND (definition IS NULL OR right(present, length('appdb.guard(' || modes || ')')) <> 'appdb.guard(' || modes || ')') THEN
		EXECUTE format('DROP TRIGGER zz_appdb_guard ON %s', entity);
		present := NULL;
	END IF;
	IF present IS NULL AND definition IS NOT NULL THEN
		EXECUTE definition;
		EXECUTE format('COMMENT ON TRIGGER zz_appdb_guard ON %s IS %L', entity,
					   'Refuses rows that refer to a deleted one; arguments say what else than the foreign key implies a delete does');
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._sync_guard(pg_catalog.regclass) IS 'Internal: makes the trigger that refuses rows under deleted parents';

-- What is noted of managed tables is noted with the rights of the tables' owner:
-- of a superuser's own table, too, no trigger of the owner's runs as a superuser.

CREATE FUNCTION appdb.__note_renamed(entity pg_catalog.regclass) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	view_oid oid;
BEGIN
	PERFORM appdb._defer_nothing();
	SELECT to_regclass(format('appdb.%I', m.view)) INTO view_oid FROM app_data.managed m WHERE m.entity = __note_renamed.entity;
	IF NOT EXISTS (SELECT FROM appdb._renamed_columns(entity, view_oid)) THEN
		RETURN;
	END IF;
	UPDATE app_data.managed m
	SET label = COALESCE((SELECT r.new_name FROM appdb._renamed_columns(__note_renamed.entity, view_oid) r
						  WHERE r.old_name = m.label), m.label),
		relations = COALESCE((SELECT jsonb_object_agg(COALESCE(r.new_name, o.key), o.value)
							  FROM jsonb_each(m.relations) o
							  LEFT JOIN appdb._renamed_columns(__note_renamed.entity, view_oid) r
									 ON r.old_name = o.key), '{}')
	WHERE m.entity = __note_renamed.entity;
	-- which column has forgotten a parent; sorted, so that all are gone before the first is there again
	WITH gone AS (
		DELETE FROM app_data.unlinked u USING appdb._renamed_columns(__note_renamed.entity, view_oid) r
		WHERE u.child = __note_renamed.entity AND u.child_column = r.old_name
		RETURNING u.deleted_at, u.child, r.new_name, u.child_id, u.parent_id
	)
	INSERT INTO app_data.unlinked (deleted_at, child, child_column, child_id, parent_id)
	SELECT g.* FROM gone g ORDER BY g.deleted_at
	ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON FUNCTION appdb.__note_renamed(pg_catalog.regclass) IS 'Internal: the work of appdb._note_renamed()';
CREATE FUNCTION appdb._note_renamed(entity pg_catalog.regclass) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._note_renamed(pg_catalog.regclass) IS 'Internal: has the options of a managed table follow columns that were renamed';

CREATE FUNCTION appdb.__note_managed(entity pg_catalog.regclass, view pg_catalog.name, label pg_catalog.name, relations pg_catalog.jsonb) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	INSERT INTO app_data.managed AS m (entity, view, label, relations)
	VALUES (__note_managed.entity, __note_managed.view, __note_managed.label, __note_managed.relations)
	ON CONFLICT ON CONSTRAINT managed_pkey DO UPDATE
		SET view = EXCLUDED.view, label = EXCLUDED.label, relations = EXCLUDED.relations
		WHERE (m.view, m.label, m.relations) IS DISTINCT FROM (EXCLUDED.view, EXCLUDED.label, EXCLUDED.relations);
END
$$;
COMMENT ON FUNCTION appdb.__note_managed(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS 'Internal: the work of appdb._note_managed()';
CREATE FUNCTION appdb._note_managed(entity pg_catalog.regclass, view pg_catalog.name, label pg_catalog.name, relations pg_catalog.jsonb) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._note_managed(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS 'Internal: notes that a table is managed, and how';

CREATE FUNCTION appdb.__forget_managed(entity pg_catalog.regclass) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._defer_nothing();
	DELETE FROM app_data.managed m WHERE m.entity = __forget_managed.entity;
END
$$;
COMMENT ON FUNCTION appdb.__forget_managed(pg_catalog.regclass) IS 'Internal: the work of appdb._forget_managed()';
CREATE FUNCTION appdb._forget_managed(entity pg_catalog.regclass) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._forget_managed(pg_catalog.regclass) IS 'Internal: notes that a table is managed no longer';

CREATE FUNCTION appdb.__sees_managed() RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NOT EXISTS (SELECT m.entity, m.view FROM appdb._managed_tables() m EXCEPT SELECT m.entity, m.view FROM app_data.managed m);
END
$$;
COMMENT ON FUNCTION appdb.__sees_managed() IS 'Internal: the work of appdb._sees_managed()';
CREATE FUNCTION appdb._sees_managed() RETURNS pg_catalog.bool
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._sees_managed() IS 'Internal: whether the transaction''s snapshot shows all tables that are managed now';

-- All of manage() but the relation functions.
CREATE FUNCTION appdb._manage_table(
	entity pg_catalog.regclass, view pg_catalog.name, label pg_catalog.name, relations pg_catalog.jsonb)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	given_relations jsonb := relations;
	soft_delete bool;
	view_oid oid;
	col record;
	trg record;
BEGIN
	-- one call at a time: two would make each other's relation functions
	LOCK TABLE app_data.managed IN SHARE ROW EXCLUSIVE MODE;
	-- the rest reads catalogs by the transaction's snapshot, and makes what is by what they say now
	IF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = entity)
		OR EXISTS (SELECT FROM pg_class c CROSS JOIN generate_series(1, c.relnatts + 1) n
				   LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = n
				   WHERE c.oid = entity
					 AND a.attname IS DISTINCT FROM (pg_identify_object_as_address('pg_class'::regclass, c.oid, n)).object_names[3])
		OR NOT appdb._sees_managed()
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'serialization_failure',
			MESSAGE = format('could not serialize management of table "%s" with what others have managed or made since', entity),
			HINT = 'Try the transaction again.';
	END IF;
	soft_delete := appdb._check_conventions(entity);

	-- options follow the columns that they speak of
	PERFORM appdb._note_renamed(entity);

	-- options given before hold as long as there is what they speak of: a foreign key is dropped for a while
	-- where it is made anew, or restored with --clean, but its column is not
	SELECT COALESCE(_manage_table.view, m.view, c.relname),
		   COALESCE(_manage_table.label,
					(SELECT a.attname FROM pg_attribute a
					 WHERE a.attrelid = c.oid AND a.attname = m.label AND a.attnum > 0 AND NOT a.attisdropped)),
		   COALESCE(_manage_table.relations,
					(SELECT jsonb_object_agg(o.key, o.value) FROM jsonb_each(m.relations) o
					 WHERE EXISTS (SELECT FROM pg_attribute a
								   WHERE a.attrelid = c.oid AND a.attname = o.key AND a.attnum > 0 AND NOT a.attisdropped)),
					'{}')
	INTO view, label, relations
	FROM pg_class c LEFT JOIN appdb._managed_tables() m ON m.entity = c.oid
	WHERE c.oid = _manage_table.entity;
	FOR col IN
		SELECT 'label' AS option, m.label AS name FROM appdb._managed_tables() m
		WHERE m.entity = _manage_table.entity AND m.label IS NOT NULL AND _manage_table.label IS NULL
		UNION ALL
		SELECT 'relations', o.key FROM appdb._managed_tables() m, jsonb_each(m.relations) o
		WHERE m.entity = _manage_table.entity AND NOT _manage_table.relations ? o.key
		  AND given_relations IS NULL
	LOOP
		RAISE NOTICE USING
			MESSAGE = format('option "%s" of table "%s" is dropped for column "%s", which is not there any more', col.option, entity, col.name);
	END LOOP;
	IF view = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_name',
			MESSAGE = format('the live view of table "%s" needs a name', entity);
	END IF;

	PERFORM appdb._check_relation_options(entity, given_relations);
	IF label IS NOT NULL AND NOT EXISTS (
		SELECT FROM pg_attribute a
		WHERE a.attrelid = _manage_table.entity AND a.attname = label AND a.attnum > 0 AND NOT a.attisdropped)
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_column',
			MESSAGE = format('label column "%s" of table "%s" does not exist', label, entity),
			HINT = 'It is the column that names a row to people.';
	END IF;

	-- the name of the live view is free, or this table's
	IF EXISTS (SELECT FROM appdb._managed_tables() m WHERE m.view = _manage_table.view AND m.entity <> _manage_table.entity) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_table',
			MESSAGE = format('live view "appdb.%s" belongs to table "%s"', view,
							 (SELECT m.entity FROM appdb._managed_tables() m WHERE m.view = _manage_table.view)),
			HINT = format('Give another name: SELECT appdb.manage(%L, view => ...).', entity);
	END IF;
	view_oid := to_regclass(format('appdb.%I', view));
	IF EXISTS (SELECT FROM pg_class c WHERE c.oid = view_oid AND c.relkind <> 'v')
		OR EXISTS (SELECT FROM pg_depend d WHERE d.objid = view_oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'e')
		OR (view_oid IS NOT NULL AND NOT EXISTS (
			SELECT FROM pg_rewrite r JOIN pg_depend d
			  ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
			WHERE r.ev_class = view_oid AND d.refobjid = entity))
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'duplicate_table',
			MESSAGE = format('relation "appdb.%s" exists and is not the live view of table "%s"', view, entity),
			HINT = format('Give another name: SELECT appdb.manage(%L, view => ...).', entity);
	END IF;
	-- what has been put on a view of somebody else's would be done by whoever uses it
	SELECT pg_get_userbyid(v.relowner) AS view_owner, pg_get_userbyid(c.relowner) AS owner INTO col
	FROM pg_class v, pg_class c WHERE v.oid = view_oid AND c.oid = entity AND NOT pg_has_role(v.relowner, c.relowner, 'USAGE');
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('view "appdb.%s" belongs to role "%s", which has not the rights of the owner of table "%s"', view, col.view_owner, entity),
			HINT = format('Drop it, or give both to one role: ALTER VIEW appdb.%I OWNER TO %I; or ALTER TABLE %s OWNER TO %I;', view, col.owner, entity, col.view_owner);
	END IF;

	-- a live view under a new name
	IF EXISTS (SELECT FROM appdb._managed_tables() m WHERE m.entity = _manage_table.entity AND m.view <> _manage_table.view) THEN
		SELECT m.view INTO col FROM appdb._managed_tables() m WHERE m.entity = _manage_table.entity;
		IF to_regclass(format('appdb.%I', col.view)) IS NOT NULL THEN
			EXECUTE format('ALTER VIEW appdb.%I RENAME TO %I', col.view, view);
		END IF;
	END IF;

	IF NOT soft_delete AND NOT EXISTS (SELECT FROM appdb._managed_tables() m WHERE m.entity = _manage_table.entity) THEN
		RAISE NOTICE USING
			MESSAGE = format('table "%s" has no column "deleted_at": its rows are deleted for good', entity);
	END IF;

	FOR col IN
		SELECT v.name, v.expression
		FROM (VALUES ('id', 'appdb.uuidv7()'), ('created_at', 'now()'), ('updated_at', 'now()')) v (name, expression)
		JOIN pg_attribute a ON a.attrelid = entity AND a.attname = v.name AND NOT a.atthasdef AND a.attidentity = ''
	LOOP
		EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', entity, col.name, col.expression);
	END LOOP;

	PERFORM appdb._sync_view(entity, view, soft_delete);
	view_oid := to_regclass(format('appdb.%I', view));
	FOR trg IN SELECT * FROM appdb._wanted_triggers(entity, soft_delete) LOOP
		PERFORM appdb._ensure_trigger(CASE WHEN trg.wanted = 'view' THEN view_oid ELSE entity END,
									  trg.trigger_name, trg.definition, trg.comment);
	END LOOP;

	PERFORM appdb._note_managed(entity, view, label, relations);

	-- its own guard, and those of its children, which may be managed already
	FOR col IN
		SELECT entity AS child
		UNION
		SELECT r.child FROM appdb._references(entity) r JOIN appdb._managed_tables() m ON m.entity = r.child
	LOOP
		PERFORM appdb._sync_guard(col.child);
	END LOOP;

	PERFORM appdb._sync_policies(entity);
	PERFORM appdb._sync_grants(entity);

	-- what the engine does not follow
	IF EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE i.inhparent = _manage_table.entity AND c.relkind = 'r') THEN
		RAISE WARNING USING
			MESSAGE = format('tables inherit from table "%s"', entity),
			DETAIL = 'Their rows are in its live view, and the engine''s triggers are not inherited: a DELETE marks these rows and nothing that refers to them.',
			HINT = 'Make it a partitioned table, or manage tables that do not inherit.';
	END IF;
	FOR col IN
		SELECT c.conname, c.confrelid::regclass AS parent
		FROM pg_constraint c JOIN appdb._managed_tables() m ON m.entity = c.confrelid
		WHERE c.conrelid = _manage_table.entity AND c.contype = 'f'
		  AND NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = 'id')
		ORDER BY c.conname
	LOOP
		RAISE WARNING USING
			MESSAGE = format('foreign key "%s" of table "%s" does not refer to the "id" of "%s"', col.conname, entity, col.parent),
			DETAIL = 'Soft deletes do not follow it: rows can stay live under a deleted one.',
			HINT = 'Refer to the id, alone or with other columns.';
	END LOOP;

	-- the column that refers to the id is the only one that is set to null
	FOR col IN
		SELECT c.conname, c.confrelid::regclass AS parent, k.attname
		FROM pg_constraint c
		JOIN appdb._managed_tables() m ON m.entity = c.confrelid
		JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attname = 'id'
		JOIN pg_attribute k ON k.attrelid = c.conrelid AND k.attnum = c.conkey[array_position(c.confkey, p.attnum)]
		WHERE c.conrelid = _manage_table.entity AND c.contype = 'f' AND c.confmatchtype = 'f' AND cardinality(c.conkey) > 1
		  AND COALESCE(_manage_table.relations -> k.attname::text ->> 'on_delete', CASE c.confdeltype WHEN 'n' THEN 'set null' END) = 'set null'
		ORDER BY c.conname
	LOOP
		RAISE WARNING USING
			MESSAGE = format('foreign key "%s" of table "%s" is MATCH FULL', col.conname, entity),
			DETAIL = format('A row of "%s" to which it refers cannot be deleted: column "%s" alone would be set to null.', col.parent, col.attname),
			HINT = 'Make it a foreign key that is not MATCH FULL, or of another mode than "set null".';
	END LOOP;

	FOR col IN
		SELECT c.conname, c.conrelid::regclass AS child, c.confrelid::regclass AS parent
		FROM pg_constraint c
		JOIN appdb._managed_tables() m ON m.entity = c.conrelid
		JOIN appdb._managed_tables() p ON p.entity = c.confrelid
		JOIN pg_class r ON r.oid = p.entity AND r.relkind = 'p'
		JOIN pg_attribute a ON a.attrelid = p.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped
		WHERE c.contype = 'f' AND c.conparentid = 0 AND _manage_table.entity IN (c.conrelid, c.confrelid)
		ORDER BY c.conname
	LOOP
		RAISE WARNING USING
			MESSAGE = format('foreign key "%s" of table "%s" refers to a partitioned table', col.conname, col.child),
			DETAIL = format('Whether rows of "%s" are live cannot be looked up by their id: what refers to one is refused.', col.parent),
			HINT = 'Do not partition the parent, or do without the foreign key.';
	END LOOP;

	-- the engine writes microseconds there, whatever the column says; who loads a dump rounds them
	FOR col IN
		SELECT format_type(a.atttypid, a.atttypmod) AS type FROM pg_attribute a
		WHERE a.attrelid = _manage_table.entity AND a.attname = 'deleted_at' AND NOT a.attisdropped AND a.atttypmod BETWEEN 0 AND 5
	LOOP
		RAISE WARNING USING
			MESSAGE = format('column "deleted_at" of table "%s" is of type %s', entity, col.type),
			DETAIL = 'Its microseconds tell one deletion from another. When a dump is restored they are lost, and rows of several deletions can become those of one.',
			HINT = format('BEGIN; SET LOCAL appdb.allow_drop = on; SELECT appdb.unmanage(%L); ALTER TABLE %s ALTER COLUMN deleted_at TYPE timestamptz; then manage it again, and COMMIT.', entity, entity);
	END LOOP;

	-- what is unique among deleted rows, too
	FOR col IN
		SELECT c.relname, i.indexrelid, pg_get_indexdef(i.indexrelid) AS definition
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = _manage_table.entity AND soft_delete AND i.indisunique AND NOT i.indisprimary
		  AND COALESCE(pg_get_expr(i.indpred, i.indrelid), '') !~ '[[:<:]]deleted_at IS NULL'
		  AND NOT EXISTS (SELECT FROM pg_attribute a
						  WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) AND a.attname IN ('id', 'deleted_at'))
		ORDER BY c.relname
	LOOP
		RAISE NOTICE USING
			MESSAGE = format('unique index "%s" of table "%s" holds for deleted rows, too', col.relname, entity),
			DETAIL = 'What a deleted row has cannot be used again while that row is kept.',
			HINT = 'For what is unique among live rows, make it a unique index WHERE deleted_at IS NULL.';
	END LOOP;

	-- what follows a foreign key (deletes, relations) looks for its columns
	FOR col IN SELECT * FROM appdb._unindexed_keys(entity)
	LOOP
		RAISE NOTICE USING
			MESSAGE = format('foreign key "%s" of table "%s" has no index', col.conname, entity),
			DETAIL = 'Deletes and relations that follow it read the whole table.',
			HINT = col.fix;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._manage_table(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS 'Internal: the work of appdb.manage() but for relations';

CREATE FUNCTION appdb._manage(
	entity pg_catalog.regclass, view pg_catalog.name, label pg_catalog.name, relations pg_catalog.jsonb)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._manage_table(entity, view, label, relations);
	PERFORM appdb._sync_relations(entity);
END
$$;
COMMENT ON FUNCTION appdb._manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS 'Internal: the work of appdb.manage(), as the owner of the table';

CREATE FUNCTION appdb.manage(
	entity pg_catalog.regclass,
	view pg_catalog.name DEFAULT NULL,
	label pg_catalog.name DEFAULT NULL,
	relations pg_catalog.jsonb DEFAULT NULL)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_manage';
COMMENT ON FUNCTION appdb.manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb) IS
'Applies the conventions to a table: defaults, timestamps, live view, soft delete, relation functions.
Idempotent. New columns reach the live view by themselves; call it again after adding or dropping a foreign key. Only the owner of the table may.
entity: the base table, with "id uuid" primary key, "created_at" and "updated_at" timestamptz NOT NULL, and "deleted_at" timestamptz unless rows are to be deleted for good;
view: name of the live view in schema appdb (default: the table''s);
label: the column that names a row to people;
relations: by foreign-key column, {"author_id": {"name": to-one relation, "inverse": to-many relation, "through": many-to-many relation that ends here, "on_delete": "cascade" | "purge" | "set null" | "restrict"}}.
An argument that is null keeps what was given before.';

-- After ALTER TABLE of a managed table: the live view follows its columns.
-- That the view is missing means that they were dropped with CASCADE; in the
-- middle of a restore nothing is managed yet.
CREATE FUNCTION appdb._follow(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	live_view name;
BEGIN
	SELECT m.view INTO live_view FROM appdb._managed_tables() m WHERE m.entity = _follow.entity;
	IF NOT FOUND OR NOT appdb._is_managed(entity)
		OR ARRAY(SELECT a.attname FROM pg_attribute a
				 WHERE a.attrelid = entity AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
		 = ARRAY(SELECT a.attname FROM pg_attribute a
				 WHERE a.attrelid = to_regclass(format('appdb.%I', live_view)) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
	THEN
		RETURN;
	END IF;

	IF NOT current_setting('appdb.allow_drop')::bool
		AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = to_regclass(format('appdb.%I', live_view)) AND a.attname = 'deleted_at' AND NOT a.attisdropped)
		AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = entity AND a.attname = 'deleted_at' AND NOT a.attisdropped)
	THEN
		RAISE EXCEPTION USING
			ERRCODE = 'dependent_objects_still_exist',
			MESSAGE = format('refusing to rename column "deleted_at" of table "%s"', entity),
			DETAIL = 'Its deleted rows would be live again.',
			HINT = 'If this is really meant: SET appdb.allow_drop = on;';
	END IF;

	IF has_function_privilege('appdb.manage(regclass, name, name, jsonb)', 'EXECUTE')
		AND (SELECT pg_has_role(c.relowner, n.nspowner, 'USAGE')
			 FROM pg_class c, pg_namespace n WHERE c.oid = entity AND n.nspname = 'app_data')
	THEN
		PERFORM appdb.manage(entity);
	ELSE
		RAISE NOTICE USING
			MESSAGE = format('live view "appdb.%s" is not up to date with table "%s"', live_view, entity),
			HINT = format('The owner of schema app_data brings it up to date: SELECT appdb.manage(%L);', entity);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._follow(pg_catalog.regclass) IS 'Internal: brings the live view of an altered table up to date';

CREATE FUNCTION appdb.follow() RETURNS pg_catalog.event_trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_follow';
COMMENT ON FUNCTION appdb.follow() IS
	'Event trigger: brings live views up to date after ALTER TABLE, and locks them before';

CREATE EVENT TRIGGER appdb_follow ON ddl_command_end
	WHEN TAG IN ('ALTER TABLE')
	EXECUTE FUNCTION appdb.follow();
COMMENT ON EVENT TRIGGER appdb_follow IS
	'Brings the live views of managed tables up to date after ALTER TABLE';

CREATE EVENT TRIGGER appdb_follow_start ON ddl_command_start
	WHEN TAG IN ('ALTER TABLE')
	EXECUTE FUNCTION appdb.follow();
COMMENT ON EVENT TRIGGER appdb_follow_start IS
	'Locks a managed table and its live view before ALTER TABLE changes its columns';

CREATE FUNCTION appdb._unmanage(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	managed record;
	trg record;
	grantee name;
BEGIN
	LOCK TABLE app_data.managed IN SHARE ROW EXCLUSIVE MODE;
	SELECT * INTO managed FROM appdb._managed_tables() m WHERE m.entity = _unmanage.entity;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('table "%s" is not managed', entity),
			HINT = coalesce((SELECT format('It is the live view of %s.', m.entity) FROM appdb._managed_tables() m
							 WHERE to_regclass(format('appdb.%I', m.view)) = _unmanage.entity), 'appdb.managed lists the tables that are.');
	END IF;

	-- what is not managed, appdb.revoke_access() does not know
	FOR grantee IN
		SELECT a.role FROM appdb._access() a JOIN pg_roles r ON r.rolname = a.role
		WHERE r.oid <> (SELECT c.relowner FROM pg_class c WHERE c.oid = entity)
	LOOP
		EXECUTE format('REVOKE ALL ON %s FROM %I', entity, grantee);
		PERFORM appdb._drop_service_policy(entity, grantee);
	END LOOP;
	PERFORM appdb._forget_managed(entity);
	PERFORM appdb._sync_relations(entity, managed.view);
	IF to_regclass(format('appdb.%I', managed.view)) IS NOT NULL THEN
		EXECUTE format('DROP VIEW appdb.%I', managed.view);
	END IF;
	FOR trg IN
		SELECT t.tgname FROM pg_trigger t
		WHERE t.tgrelid = entity AND NOT t.tgisinternal
		  AND (t.tgname = 'zz_appdb_guard' OR t.tgname IN (SELECT e.trigger_name FROM appdb._triggers() e))
	LOOP
		EXECUTE format('DROP TRIGGER %I ON %s', trg.tgname, entity);
	END LOOP;
	FOR trg IN
		SELECT DISTINCT r.child FROM appdb._references(entity) r JOIN appdb._managed_tables() m ON m.entity = r.child
	LOOP
		PERFORM appdb._sync_guard(trg.child);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._unmanage(pg_catalog.regclass) IS 'Internal: the work of appdb.unmanage(), as the owner of the table';

CREATE FUNCTION appdb.unmanage(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_unmanage';
COMMENT ON FUNCTION appdb.unmanage(pg_catalog.regclass) IS
'Takes the conventions off a table: drops its live view, relation functions and the engine''s triggers, and takes from roles what appdb.grant_access() gave on it. Rows, columns and defaults stay.
entity: the base table. Only its owner may.';

REVOKE EXECUTE ON FUNCTION
	appdb.manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
	appdb._manage(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
	appdb._manage_table(pg_catalog.regclass, pg_catalog.name, pg_catalog.name, pg_catalog.jsonb),
	appdb.unmanage(pg_catalog.regclass), appdb._unmanage(pg_catalog.regclass)
	FROM PUBLIC;
