-- What the user who is asking may do with a row, and why.

CREATE FUNCTION appdb._row_allows(entity pg_catalog.regclass, id pg_catalog.uuid, action pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT
	AS 'MODULE_PATHNAME', 'appdb_row_allows';
COMMENT ON FUNCTION appdb._row_allows(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.text) IS
	'Internal: whether policies let the caller see a row, and update or delete it';

CREATE FUNCTION appdb._entity(entity pg_catalog.regclass, OUT base pg_catalog.regclass, OUT live_view pg_catalog.regclass)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF entity IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'entity must not be null';
	END IF;
	SELECT m.entity, m.live_view INTO base, live_view FROM appdb.managed m
	WHERE _entity.entity IN (m.entity, m.live_view) AND m.live_view IS NOT NULL;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'wrong_object_type',
			MESSAGE = format('"%s" is no managed table or live view', entity),
			HINT = 'appdb.managed lists them.';
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._entity(pg_catalog.regclass) IS 'Internal: the base table and the live view of either, or an error';

CREATE FUNCTION appdb._can(action pg_catalog.text, entity pg_catalog.regclass, id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
	visible bool;
BEGIN
	IF action IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'action must not be null',
			HINT = 'Actions are read, update and delete.';
	ELSIF action NOT IN ('read', 'update', 'delete') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown action "%s"', action),
			HINT = 'Actions are read, update and delete.';
	END IF;
	e := appdb._entity(entity);
	IF NOT (has_table_privilege(e.live_view, 'SELECT') AND has_table_privilege(e.base, 'SELECT')) THEN
		RETURN false;
	ELSIF action = 'update' AND NOT (has_any_column_privilege(e.live_view, 'UPDATE') AND has_any_column_privilege(e.base, 'UPDATE')) THEN
		RETURN false;
	ELSIF action = 'delete' AND NOT has_table_privilege(e.live_view, 'DELETE') THEN
		RETURN false;
	END IF;
	EXECUTE format('SELECT EXISTS (SELECT FROM %s v WHERE v.id = $1)', e.live_view) INTO visible USING id;
	RETURN visible AND (action = 'read' OR appdb._row_allows(e.base, id, action));
END
$$;
COMMENT ON FUNCTION appdb._can(pg_catalog.text, pg_catalog.regclass, pg_catalog.uuid) IS 'Internal: the work of appdb.can()';

CREATE FUNCTION appdb.can(action pg_catalog.text, entity pg_catalog.regclass, id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_can';
COMMENT ON FUNCTION appdb.can(pg_catalog.text, pg_catalog.regclass, pg_catalog.uuid) IS
'Whether the calling role, for the user who is asking, may do something with a live row: by privileges and by the row''s policies. Changes and locks nothing.
action: read, update (as the row is now; what it may become is another question) or delete; entity: the live view or its table; id: the row.
Returns false for a row that is not there, as for one that may not be seen. Errors: 22023 for another action; 42809 for another relation.';

-- Whoever sees all rows asks: the policies that hold for everybody are read
-- from the catalog and tried on the row, for the user who is asking.
CREATE FUNCTION appdb._explain_access(
	entity pg_catalog.regclass, id pg_catalog.uuid, role pg_catalog.name,
	OUT question pg_catalog.text, OUT answer pg_catalog.bool, OUT because pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE ROWS 10
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	e record;
	me uuid := appdb.current_user_id();
	found_row jsonb;
	space uuid;
	organization uuid;
	action record;
	permissive bool;
	restrictive bool;
	readable bool := true;
	policy record;
	holds bool;
BEGIN
	e := appdb._entity(entity);
	question := 'signed in';
	answer := me IS NOT NULL;
	because := coalesce('user ' || me, 'nobody is: call appdb.authenticate() or appdb.impersonate() in the same transaction');
	RETURN NEXT;

	IF role IS NOT NULL THEN
		FOR action IN SELECT * FROM (VALUES ('read', 'SELECT'), ('update', 'UPDATE'), ('delete', 'DELETE')) v (name, privilege) LOOP
			question := format('role %s: %s', role, action.name);
			answer := has_any_column_privilege(role, e.live_view, 'SELECT')
				AND CASE action.name WHEN 'delete' THEN has_table_privilege(role, e.live_view, 'DELETE')
					ELSE has_any_column_privilege(role, e.live_view, action.privilege) AND has_any_column_privilege(role, e.base, action.privilege) END;
			because := CASE WHEN answer THEN 'privileges on the table and its live view'
				ELSE format('no privilege %s on the table or its live view: SELECT appdb.grant_access(%L, ...)', action.privilege, role) END;
			RETURN NEXT;
		END LOOP;
	END IF;

	EXECUTE format('SELECT jsonb_build_object(''space'', to_jsonb(t.*) -> %L, ''organization'', to_jsonb(t.*) -> %L, ''deleted_at'', to_jsonb(t.*) -> ''deleted_at'') FROM %s t WHERE t.id = $1',
				   (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = e.base AND a.atttypid = 'uuid'::regtype
					AND a.attname = CASE WHEN e.base = to_regclass('app_data.spaces') THEN 'id' ELSE 'space_id' END),
				   (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = e.base AND a.atttypid = 'uuid'::regtype
					AND a.attname = CASE WHEN e.base = to_regclass('app_data.organizations') THEN 'id' ELSE 'organization_id' END), e.base)
	INTO found_row USING id;
	question := 'row is there';
	answer := found_row IS NOT NULL AND found_row ->> 'deleted_at' IS NULL;
	because := CASE WHEN found_row IS NULL THEN 'no row has this id'
		WHEN answer THEN 'it is, and is not deleted'
		ELSE 'it was deleted: appdb.restore() brings it back' END;
	RETURN NEXT;
	IF found_row IS NULL THEN
		RETURN;
	END IF;

	space := found_row ->> 'space';
	organization := found_row ->> 'organization';
	IF space IS NOT NULL THEN
		question := 'member of the space';
		answer := appdb.is_member(space);
		because := format('the user''s role in space %s is %s', space,
						  coalesce((SELECT r FROM unnest(ARRAY['owner', 'admin', 'editor', 'viewer']) WITH ORDINALITY u (r, n)
									WHERE appdb.has_role(space, r) ORDER BY n LIMIT 1), 'none'));
		RETURN NEXT;
	END IF;
	IF organization IS NOT NULL THEN
		question := 'member of the organization';
		answer := appdb.is_organization_member(organization);
		because := format('the user''s role in organization %s is %s', organization,
						  coalesce((SELECT r FROM unnest(ARRAY['owner', 'admin', 'member']) WITH ORDINALITY u (r, n)
									WHERE appdb.has_organization_role(organization, r) ORDER BY n LIMIT 1), 'none'));
		RETURN NEXT;
	END IF;

	FOR action IN SELECT * FROM (VALUES ('read', 'r'), ('update', 'w'), ('delete', 'd')) v (name, cmd) LOOP
		question := action.name;
		permissive := (SELECT NOT c.relrowsecurity FROM pg_class c WHERE c.oid = e.base);
		restrictive := true;
		because := CASE WHEN permissive THEN 'the table has no row security' END;
		FOR policy IN
			SELECT p.polname, p.polpermissive, coalesce(pg_get_expr(p.polqual, p.polrelid), 'true') AS expression
			FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid AND c.relrowsecurity
			WHERE p.polrelid = e.base AND p.polcmd::text IN (action.cmd, '*')
			  AND (0::oid = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r
														WHERE pg_has_role(role, r, 'USAGE')))
			ORDER BY p.polname
		LOOP
			EXECUTE format('SELECT %s FROM %s WHERE %s.id = $1', policy.expression, e.base,
						   (SELECT quote_ident(c.relname) FROM pg_class c WHERE c.oid = e.base)) INTO holds USING id;
			holds := coalesce(holds, false);
			IF policy.polpermissive THEN
				permissive := permissive OR holds;
			ELSE
				restrictive := restrictive AND holds;
			END IF;
			because := concat_ws('; ', because, format('policy %s %s: %s', policy.polname, CASE WHEN holds THEN 'holds' ELSE 'does not hold' END, policy.expression));
		END LOOP;
		answer := permissive AND restrictive AND readable AND found_row ->> 'deleted_at' IS NULL;
		because := coalesce(because, 'no policy allows it');
		-- who says which row reads it
		IF permissive AND restrictive AND NOT readable THEN
			because := 'it cannot be read; ' || because;
		END IF;
		IF action.name = 'read' THEN
			readable := permissive AND restrictive;
		END IF;
		RETURN NEXT;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name) IS 'Internal: the work of appdb.explain_access()';

CREATE FUNCTION appdb.explain_access(
	entity pg_catalog.regclass, id pg_catalog.uuid, role pg_catalog.name DEFAULT NULL,
	OUT question pg_catalog.text, OUT answer pg_catalog.bool, OUT because pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE ROWS 10
	AS 'MODULE_PATHNAME', 'appdb_explain_access';
COMMENT ON FUNCTION appdb.explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name) IS
'Why the user who is asking may read, update or delete a row, or may not: a row for each question. For roles that see all rows: service, or the owner of the tables.
entity: the live view or its table; id: the row; role: also the privileges and policies of this database role.
Errors: 42809 for another relation.';
REVOKE EXECUTE ON FUNCTION
	appdb.explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name),
	appdb._explain_access(pg_catalog.regclass, pg_catalog.uuid, pg_catalog.name)
	FROM PUBLIC;
