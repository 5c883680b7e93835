-- Row security and privileges: what the user who is asking may see and do
-- (src/membership.c), and what a database role gets.

-- == memberships ============================================================

CREATE FUNCTION appdb._membership_support(pg_catalog.internal) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_membership_support';
COMMENT ON FUNCTION appdb._membership_support(pg_catalog.internal) IS 'Internal: tells the planner about appdb.is_member(), _sees_space(), can_read_chat() and can_read_message()';

CREATE FUNCTION appdb.is_member(space_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF COST 1
	SUPPORT appdb._membership_support
	AS 'MODULE_PATHNAME', 'appdb_is_member';
COMMENT ON FUNCTION appdb.is_member(pg_catalog.uuid) IS
'Whether the user who is asking has any role in a space; false for nobody.
space_id: the space. Personal spaces have their owner; owners and admins of an organization have that role in its spaces, its members are viewers of those that are not private.';

CREATE FUNCTION appdb._sees_space(id pg_catalog.uuid, owner_id pg_catalog.uuid, organization_id pg_catalog.uuid, deleted_at pg_catalog.timestamptz) RETURNS pg_catalog.bool
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF COST 1
	SUPPORT appdb._membership_support
	AS 'MODULE_PATHNAME', 'appdb__sees_space';
COMMENT ON FUNCTION appdb._sees_space(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.timestamptz) IS
	'Internal: whether the user who is asking is a member of a space, which its row says where it is just being inserted';

-- Not leakproof: of a column of somebody else's row, the error would tell.
CREATE FUNCTION appdb.has_role(space_id pg_catalog.uuid, role pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'appdb_has_role';
COMMENT ON FUNCTION appdb.has_role(pg_catalog.uuid, pg_catalog.text) IS
'Whether the user who is asking has a role, or a higher one, in a space; false for nobody.
space_id: the space; role: viewer, editor, admin or owner. Errors: 22023 for another role.';

CREATE FUNCTION appdb.is_organization_member(organization_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE LEAKPROOF COST 1
	AS 'MODULE_PATHNAME', 'appdb_is_organization_member';
COMMENT ON FUNCTION appdb.is_organization_member(pg_catalog.uuid) IS
'Whether the user who is asking is a member of an organization; false for nobody.';

CREATE FUNCTION appdb.has_organization_role(organization_id pg_catalog.uuid, role pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'appdb_has_organization_role';
COMMENT ON FUNCTION appdb.has_organization_role(pg_catalog.uuid, pg_catalog.text) IS
'Whether the user who is asking has a role, or a higher one, in an organization; false for nobody.
organization_id: the organization; role: member, admin or owner. Errors: 22023 for another role.';

CREATE FUNCTION appdb.my_spaces() RETURNS pg_catalog.uuid[]
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_my_spaces';
COMMENT ON FUNCTION appdb.my_spaces() IS
'The spaces in which the user who is asking has any role.';

CREATE FUNCTION appdb.membership_changed() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_membership_changed';
COMMENT ON FUNCTION appdb.membership_changed() IS
	'Trigger of the tables that roles come from: every backend forgets the roles that it has kept; with the argument chats or files, who can read these';

CREATE FUNCTION appdb.keep_author() RETURNS pg_catalog.trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_keep_author';
COMMENT ON FUNCTION appdb.keep_author() IS
	'Trigger of tables in spaces whose rows have an author: whose a row is, and who can read it, is for the author and admins to change; with the argument chat_id, for the author of the row''s chat, too; with the argument granted_by, a permission is given in one''s own name';

-- Who shares an organization or a space with the user who is asking.  Run as
-- the tables' owner: one cannot see memberships of others otherwise.
CREATE FUNCTION appdb._knows_user(user_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
	SET enable_seqscan = off
AS $$
BEGIN
	-- by the indexes on user_id: before the tables are analyzed, reading all of one of live rows, by another column, seems to be nothing
	RETURN _knows_user.user_id = appdb.current_user_id()
		OR EXISTS (SELECT FROM app_data.space_members m
				   WHERE m.user_id = _knows_user.user_id AND CASE WHEN m.deleted_at IS NULL THEN appdb.is_member(m.space_id) END)
		OR EXISTS (SELECT FROM app_data.members m
				   WHERE m.user_id = _knows_user.user_id AND CASE WHEN m.deleted_at IS NULL THEN appdb.is_organization_member(m.organization_id) END);
END
$$;
COMMENT ON FUNCTION appdb._knows_user(pg_catalog.uuid) IS 'Internal: the work of appdb.knows_user()';

CREATE FUNCTION appdb.knows_user(user_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.knows_user(pg_catalog.uuid) IS
'Whether a user shares an organization or a space with the user who is asking, or is that user.';

CREATE FUNCTION appdb.can_read_chat(space_id pg_catalog.uuid, chat_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 2
	SUPPORT appdb._membership_support
	AS 'MODULE_PATHNAME', 'appdb_can_read_chat';
COMMENT ON FUNCTION appdb.can_read_chat(pg_catalog.uuid, pg_catalog.uuid) IS
'Whether the user who is asking is a member of a chat''s space, and the chat is not private or that user its author.
space_id, chat_id: the chat.';

CREATE FUNCTION appdb.can_read_message(space_id pg_catalog.uuid, message_id pg_catalog.uuid) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 10
	SUPPORT appdb._membership_support
	AS 'MODULE_PATHNAME', 'appdb_can_read_message';
COMMENT ON FUNCTION appdb.can_read_message(pg_catalog.uuid, pg_catalog.uuid) IS
'Whether appdb.can_read_chat() holds for the chat of a message.
space_id, message_id: the message.';

CREATE FUNCTION appdb._file_support(pg_catalog.internal) RETURNS pg_catalog.internal
	LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_file_support';
COMMENT ON FUNCTION appdb._file_support(pg_catalog.internal) IS 'Internal: tells the planner about appdb.has_file_permission()';

CREATE FUNCTION appdb.has_file_permission(space_id pg_catalog.uuid, file_id pg_catalog.uuid, permission pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1
	SUPPORT appdb._file_support
	AS 'MODULE_PATHNAME', 'appdb_has_file_permission';
COMMENT ON FUNCTION appdb.has_file_permission(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.text) IS
'Whether a row of file_permissions allows the user who is asking something with a file: one for this user, or one for everyone in a space where they are a member (not an admin, who may do all of it anyway).
space_id, file_id: the file; permission: read, write or manage, of which each allows what those before it do. What a role in the space allows besides is another question. Errors: 22023 for another permission.';

CREATE FUNCTION appdb._may_give_file(space_id pg_catalog.uuid, file_id pg_catalog.uuid, until pg_catalog.timestamptz) RETURNS pg_catalog.bool
	LANGUAGE c STABLE PARALLEL SAFE COST 1
	AS 'MODULE_PATHNAME', 'appdb__may_give_file';
COMMENT ON FUNCTION appdb._may_give_file(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.timestamptz) IS
	'Internal: whether the user who is asking may manage a file at least as long as a permission for it would hold';

CREATE FUNCTION appdb.my_files(permission pg_catalog.text) RETURNS pg_catalog.uuid[]
	LANGUAGE c STABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'appdb_my_files';
COMMENT ON FUNCTION appdb.my_files(pg_catalog.text) IS
'The files for which appdb.has_file_permission() holds.
permission: read, write or manage. Errors: 22023 for another permission.';

CREATE FUNCTION appdb._is_my_email(email pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE PARALLEL SAFE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT EXISTS (SELECT FROM app_data.users u
				   WHERE u.id = appdb.current_user_id() AND u.email_verified AND u.deleted_at IS NULL AND lower(u.email) = lower($1))
$$;
COMMENT ON FUNCTION appdb._is_my_email(pg_catalog.text) IS 'Internal: the work of appdb.is_my_email()';

CREATE FUNCTION appdb.is_my_email(email pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c STABLE STRICT PARALLEL SAFE COST 1000
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.is_my_email(pg_catalog.text) IS
	'Whether this is the e-mail address of the user who is asking, whatever its case, and verified: else whoever claims one would see what is sent to it';

-- With the rights of the caller.
CREATE FUNCTION appdb._sees_tasks(ids pg_catalog.uuid[]) RETURNS pg_catalog.bool
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN NOT EXISTS (SELECT FROM unnest(ids) d (id) WHERE NOT EXISTS (SELECT FROM appdb.tasks t WHERE t.id = d.id));
END
$$;
COMMENT ON FUNCTION appdb._sees_tasks(pg_catalog.uuid[]) IS 'Internal: whether all of these are tasks that the caller may see';

-- == policies ===============================================================

-- The policies of the built-in tables: permissive, without sub-queries.  Where
-- a table is not listed, its rows in a space are the members'.
CREATE FUNCTION appdb._policies(
	OUT entity pg_catalog.name, OUT command pg_catalog.text, OUT shown pg_catalog.text, OUT allowed pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE ROWS 50
AS $$
	VALUES
	-- oneself, and those one works with; nobody else's account
	('users'::pg_catalog.name, 'select', 'id = appdb.current_user_id() OR appdb.knows_user(id)', NULL::pg_catalog.text),
	-- who was deleted meanwhile does not come back by themselves
	('users', 'update', 'id = appdb.current_user_id() AND deleted_at IS NULL', 'id = appdb.current_user_id()'),
	('users', 'delete', 'id = appdb.current_user_id() AND deleted_at IS NULL', NULL),
	('sessions', 'select', 'user_id = appdb.current_user_id()', NULL),
	('sessions', 'delete', 'user_id = appdb.current_user_id()', NULL),
	('accounts', 'select', 'user_id = appdb.current_user_id()', NULL),
	('accounts', 'delete', 'user_id = appdb.current_user_id()', NULL),

	('organizations', 'select', 'appdb.is_organization_member(id)', NULL),
	('organizations', 'update', 'appdb.has_organization_role(id, ''admin'')', 'appdb.has_organization_role(id, ''admin'')'),
	('organizations', 'delete', 'appdb.has_organization_role(id, ''owner'')', NULL),
	('members', 'select', 'appdb.is_organization_member(organization_id)', NULL),
	('members', 'insert', NULL, 'appdb.has_organization_role(organization_id, ''admin'')'),
	-- one's own too: to step down and to leave, which appdb.membership_rank() tells from the rest
	('members', 'update', 'appdb.has_organization_role(organization_id, ''admin'') OR (user_id = appdb.current_user_id() AND deleted_at IS NULL)',
	 'appdb.has_organization_role(organization_id, ''admin'') OR user_id = appdb.current_user_id()'),
	('members', 'delete', 'appdb.has_organization_role(organization_id, ''admin'') OR user_id = appdb.current_user_id()', NULL),

	('spaces', 'select', 'appdb._sees_space(id, owner_id, organization_id, deleted_at)', NULL),
	('spaces', 'insert', NULL, 'owner_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''admin'')'),
	('spaces', 'update', 'appdb.has_role(id, ''admin'')', 'appdb.has_role(id, ''admin'') OR owner_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''member'')'),
	('spaces', 'delete', 'appdb.has_role(id, ''owner'')', NULL),
	('space_members', 'select', 'appdb.is_member(space_id)', NULL),
	('space_members', 'insert', NULL, 'appdb.has_role(space_id, ''admin'')'),
	('space_members', 'update', 'appdb.has_role(space_id, ''admin'') OR (user_id = appdb.current_user_id() AND deleted_at IS NULL)',
	 'appdb.has_role(space_id, ''admin'') OR user_id = appdb.current_user_id()'),
	('space_members', 'delete', 'appdb.has_role(space_id, ''admin'') OR user_id = appdb.current_user_id()', NULL),
	('invitations', 'select', 'appdb.has_role(space_id, ''admin'') OR appdb.has_organization_role(organization_id, ''admin'') OR appdb.is_my_email(email)', NULL),

	('chats', 'select', 'appdb.is_member(space_id) AND (visibility <> ''private'' OR user_id = appdb.current_user_id())', NULL),
	('chats', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id()'),
	('chats', 'update', 'appdb.has_role(space_id, ''editor'') AND (visibility <> ''private'' OR user_id = appdb.current_user_id())',
	 'appdb.has_role(space_id, ''editor'') AND (visibility <> ''private'' OR user_id = appdb.current_user_id())'),
	('chats', 'delete', '(appdb.has_role(space_id, ''admin'') AND visibility <> ''private'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())', NULL),
	('messages', 'select', 'appdb.can_read_chat(space_id, chat_id)', NULL),
	('messages', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id) AND COALESCE(user_id = appdb.current_user_id(), true)'),
	('messages', 'update', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id)',
	 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_chat(space_id, chat_id)'),
	('messages', 'delete', 'appdb.can_read_chat(space_id, chat_id) AND (appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id()))', NULL),
	('message_files', 'select', 'appdb.can_read_message(space_id, message_id)', NULL),
	('message_files', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)'),
	('message_files', 'update', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)',
	 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)'),
	('message_files', 'delete', 'appdb.has_role(space_id, ''editor'') AND appdb.can_read_message(space_id, message_id)', NULL),

	-- a permission allows more than the role in the space does, also to who has none
	('files', 'select', 'appdb.is_member(space_id) OR appdb.has_file_permission(space_id, id, ''read'')', NULL),
	('files', 'insert', NULL, 'appdb.has_role(space_id, ''editor'') AND COALESCE(user_id = appdb.current_user_id(), true)'),
	('files', 'update', 'appdb.has_role(space_id, ''editor'') OR appdb.has_file_permission(space_id, id, ''write'')',
	 'appdb.has_role(space_id, ''editor'') OR appdb.has_file_permission(space_id, id, ''write'')'),
	('files', 'delete', 'appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())', NULL),
	('file_permissions', 'select', 'appdb.is_member(space_id) OR user_id = appdb.current_user_id() OR appdb.has_file_permission(space_id, file_id, ''manage'')', NULL),
	-- nobody gives one beyond the end of their own, nor brings one back
	('file_permissions', 'insert', NULL, '(appdb.has_role(space_id, ''admin'') OR appdb._may_give_file(space_id, file_id, expires_at)) AND COALESCE(granted_by = appdb.current_user_id(), true)'),
	('file_permissions', 'update', 'appdb.has_role(space_id, ''admin'') OR appdb.has_file_permission(space_id, file_id, ''manage'')',
	 'appdb.has_role(space_id, ''admin'') OR appdb._may_give_file(space_id, file_id, expires_at) OR (deleted_at IS NOT NULL AND appdb.has_file_permission(space_id, file_id, ''manage''))'),
	('file_permissions', 'delete', 'appdb.has_role(space_id, ''admin'') OR appdb._may_give_file(space_id, file_id, expires_at) OR (deleted_at IS NULL AND appdb.has_file_permission(space_id, file_id, ''manage''))', NULL),

	-- money is the server's to write
	('subscriptions', 'select', 'user_id = appdb.current_user_id() OR appdb.has_organization_role(organization_id, ''admin'')', NULL),

	('tasks', 'select', 'user_id = appdb.current_user_id() OR appdb.is_member(space_id)', NULL),
	-- none that runs already: it would take a place in a group, which others wait for; nor one that waits for what its maker may not see
	('tasks', 'insert', NULL, '((user_id = appdb.current_user_id() AND space_id IS NULL) OR appdb.has_role(space_id, ''editor'')) AND status = ''pending'' AND group_slot IS NULL AND (depends_on IS NULL OR appdb._sees_tasks(depends_on))'),

	-- what runs by itself, under a name that is unique for all, is the server's to write
	('schedules', 'select', 'user_id = appdb.current_user_id() OR appdb.is_member(space_id)', NULL)
$$;
COMMENT ON FUNCTION appdb._policies() IS 'Internal: the policies of the built-in tables';

-- Do the rows of a table belong to spaces, and to those who made them?  In some
-- of the built-in tables user_id is somebody else.
CREATE FUNCTION appdb._is_authored(entity pg_catalog.regclass) RETURNS pg_catalog.bool
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (SELECT count(*) = 2 FROM pg_attribute a
			WHERE a.attrelid = entity AND a.attname IN ('space_id', 'user_id') AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped)
		AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = entity AND c.relnamespace = 'app_data'::regnamespace
						AND c.relname IN ('space_members', 'file_permissions', 'tasks', 'schedules'))
$$;
COMMENT ON FUNCTION appdb._is_authored(pg_catalog.regclass) IS 'Internal: whether rows of a table belong to spaces and to their authors';

-- Makes the policies of a table that belongs to the built-in ones or whose rows
-- belong to spaces, and those of roles with access level service.
CREATE FUNCTION appdb._sync_policies(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	rel record;
	tenant bool;
	authored bool;
	policy record;
BEGIN
	SELECT c.relname, c.relnamespace = 'app_data'::regnamespace AS built_in, c.relrowsecurity INTO rel
	FROM pg_class c WHERE c.oid = entity;
	rel.built_in := rel.built_in AND (EXISTS (SELECT FROM appdb._policies() p WHERE p.entity = rel.relname)
									  OR rel.relname = 'verifications');
	tenant := EXISTS (SELECT FROM pg_attribute a
					  WHERE a.attrelid = _sync_policies.entity AND a.attname = 'space_id' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped);
	authored := EXISTS (SELECT FROM pg_attribute a
						WHERE a.attrelid = _sync_policies.entity AND a.attname = 'user_id' AND a.atttypid = 'uuid'::regtype AND NOT a.attisdropped);
	IF NOT (rel.built_in OR tenant) THEN
		RETURN;
	END IF;
	IF NOT rel.relrowsecurity THEN
		EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', entity);
	END IF;

	FOR policy IN
		SELECT p.command, p.shown, p.allowed FROM appdb._policies() p WHERE rel.built_in AND p.entity = rel.relname
		UNION ALL
		SELECT v.command, v.shown, v.allowed
		FROM (VALUES
			('select', 'appdb.is_member(space_id)', NULL),
			('insert', NULL, 'appdb.has_role(space_id, ''editor'')'
				|| CASE WHEN authored THEN ' AND COALESCE(user_id = appdb.current_user_id(), true)' ELSE '' END),
			('update', 'appdb.has_role(space_id, ''editor'')', 'appdb.has_role(space_id, ''editor'')'),
			('delete', CASE WHEN authored
				THEN 'appdb.has_role(space_id, ''admin'') OR (appdb.has_role(space_id, ''editor'') AND user_id = appdb.current_user_id())'
				ELSE 'appdb.has_role(space_id, ''editor'')' END, NULL)) v (command, shown, allowed)
		WHERE NOT rel.built_in
	LOOP
		EXECUTE format('DROP POLICY IF EXISTS appdb_%s ON %s', policy.command, entity);
		EXECUTE format('CREATE POLICY appdb_%s ON %s FOR %s%s%s', policy.command, entity, policy.command,
					   ' USING (' || policy.shown || ')', ' WITH CHECK (' || policy.allowed || ')');
		EXECUTE format('COMMENT ON POLICY appdb_%s ON %s IS %L', policy.command, entity,
					   'Made by appdb.manage(); add policies of your own under other names');
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._sync_policies(pg_catalog.regclass) IS 'Internal: makes the policies of a managed table';

-- == what roles get =========================================================

-- What the engine keeps for itself in schema app_data: for no role but the owner.
CREATE FUNCTION appdb._own_tables() RETURNS pg_catalog.name[]
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '{schema_version,pending,managed,deletions,unlinked,legal_holds,access}'::name[]
$$;
COMMENT ON FUNCTION appdb._own_tables() IS 'Internal: the tables of schema app_data that are the engine''s';

-- Functions that not everybody may execute.
CREATE FUNCTION appdb._grant_functions(level pg_catalog.text) RETURNS pg_catalog.text[]
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN CASE level
		WHEN 'service' THEN ARRAY[
			'appdb.impersonate(uuid, boolean)', 'appdb.sign_in(uuid, interval, text, text)',
			'appdb.set_password(uuid, text)', 'appdb.sign_in_with_password(text, text, interval, text, text)',
			'appdb.explain_access(regclass, uuid, name)',
			'appdb.claim(text[], text, integer, interval)', 'appdb.heartbeat(uuid, integer, interval)', 'appdb.progress(uuid, integer, double precision, text)', 'appdb.progress(uuid, integer, real, text)',
			'appdb.complete(uuid, integer, jsonb)', 'appdb.complete_many(uuid[], integer[], jsonb[])', 'appdb.fail(uuid, integer, text, interval)',
			'appdb.snooze(uuid, integer, interval)', 'appdb.idle(text[])'] || appdb._app_functions()::text[]
		WHEN 'app' THEN appdb._app_functions()::text[]
		ELSE '{}' END;
END
$$;
COMMENT ON FUNCTION appdb._grant_functions(pg_catalog.text) IS 'Internal: the functions that a role with an access level may execute';

-- The policy by which a role of level service sees all rows.  Names have at most
-- 63 bytes, those of roles too.
CREATE FUNCTION appdb._service_policy(role pg_catalog.name) RETURNS pg_catalog.name
	LANGUAGE sql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ('appdb_service_' || CASE WHEN octet_length(role::text) <= 49 THEN role::text ELSE md5(role::text) END)::name
$$;
COMMENT ON FUNCTION appdb._service_policy(pg_catalog.name) IS 'Internal: the name of the policy of a role with access level service';

CREATE FUNCTION appdb._drop_service_policy(entity pg_catalog.regclass, role pg_catalog.name) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	policy name;
BEGIN
	-- by its role: before 1.1, long names were cut off
	FOR policy IN
		SELECT p.polname FROM pg_policy p JOIN pg_roles r ON p.polroles = ARRAY[r.oid]
		WHERE p.polrelid = entity AND r.rolname = role AND starts_with(p.polname, 'appdb_service_')
	LOOP
		EXECUTE format('DROP POLICY %I ON %s', policy, entity);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._drop_service_policy(pg_catalog.regclass, pg_catalog.name) IS 'Internal: drops the policy of a role with access level service';

-- Which roles have been given something.  Of a superuser's own table, too,
-- nothing runs as a superuser that the owner may have put in that table's place.
CREATE FUNCTION appdb.__access(OUT role pg_catalog.name, OUT level pg_catalog.text) RETURNS SETOF pg_catalog.record
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT a.role, a.level FROM app_data.access a;
END
$$;
COMMENT ON FUNCTION appdb.__access() IS 'Internal: the work of appdb._access()';
CREATE FUNCTION appdb._access(OUT role pg_catalog.name, OUT level pg_catalog.text) RETURNS SETOF pg_catalog.record
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._access() IS 'Internal: the roles that appdb.grant_access() has given something';

-- Privileges of a role on one table and its live view.  Secrets (tokens,
-- passwords) are the servers': a live view needs the privilege for all columns,
-- so whole tables are left out.
CREATE FUNCTION appdb._grant_table(entity pg_catalog.regclass, role pg_catalog.name, level pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	name name;
	view name;
	own bool;
BEGIN
	SELECT c.relname, m.view, c.relnamespace = 'app_data'::regnamespace INTO name, view, own
	FROM appdb._managed_tables() m JOIN pg_class c ON c.oid = m.entity WHERE m.entity = _grant_table.entity;

	EXECUTE format('REVOKE ALL ON %s, appdb.%I FROM %I', entity, view, role);
	PERFORM appdb._drop_service_policy(entity, role);
	IF level = 'service' THEN
		EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO %I', entity, role);
		EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON appdb.%I TO %I', view, role);
		IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = entity AND a.attname = 'deleted_at' AND NOT a.attisdropped) THEN
			EXECUTE format('GRANT DELETE ON %s TO %I', entity, role);
		END IF;
		EXECUTE format('CREATE POLICY %I ON %s TO %I USING (true) WITH CHECK (true)',
					   appdb._service_policy(role), entity, role);
		EXECUTE format('COMMENT ON POLICY %I ON %s IS %L', appdb._service_policy(role), entity,
					   'Made by appdb.grant_access()');
	ELSIF NOT (own AND name IN ('sessions', 'accounts', 'verifications')) THEN
		EXECUTE format('GRANT SELECT ON %s, appdb.%I TO %I', entity, view, role);
		IF level = 'app' THEN
			EXECUTE format('GRANT INSERT, UPDATE ON %s TO %I', entity, role);
			EXECUTE format('GRANT INSERT, UPDATE, DELETE ON appdb.%I TO %I', view, role);
		END IF;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._grant_table(pg_catalog.regclass, pg_catalog.name, pg_catalog.text) IS 'Internal: privileges of a role with access on a managed table and its live view';

CREATE FUNCTION appdb._sync_grants(entity pg_catalog.regclass)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regclass('app_data.access') IS NULL THEN
		RETURN;
	END IF;
	PERFORM appdb._grant_table(entity, a.role, a.level)
	FROM appdb._access() a JOIN pg_roles r ON r.rolname = a.role
	-- the tables were given to one of these
	WHERE r.oid <> (SELECT c.relowner FROM pg_class c WHERE c.oid = entity);
END
$$;
COMMENT ON FUNCTION appdb._sync_grants(pg_catalog.regclass) IS 'Internal: privileges of roles with access on a managed table and its live view';

-- Notes what a role was given, null for nothing; returns whether it had anything.
CREATE FUNCTION appdb.__note_access(role pg_catalog.name, level pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	had bool;
BEGIN
	PERFORM appdb._defer_nothing();
	-- one call at a time, nor beside appdb.manage(): two would grant on the same table
	LOCK TABLE app_data.managed IN SHARE ROW EXCLUSIVE MODE;
	DELETE FROM app_data.access a WHERE a.role = __note_access.role;
	had := FOUND;
	IF level IS NOT NULL THEN
		INSERT INTO app_data.access (role, level) VALUES (__note_access.role, __note_access.level);
	END IF;
	RETURN had;
END
$$;
COMMENT ON FUNCTION appdb.__note_access(pg_catalog.name, pg_catalog.text) IS 'Internal: the work of appdb._note_access()';
CREATE FUNCTION appdb._note_access(role pg_catalog.name, level pg_catalog.text) RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_not_as_superuser';
COMMENT ON FUNCTION appdb._note_access(pg_catalog.name, pg_catalog.text) IS 'Internal: notes the access level of a role';

-- A REVOKE takes back what the revoking role has granted, and what a superuser
-- grants is granted by whom the function belongs to: so it takes one as each of
-- those who have granted something.
CREATE FUNCTION appdb._revoke_functions(role pg_catalog.name) RETURNS void
	LANGUAGE c STRICT
	SET search_path = pg_catalog, pg_temp
	AS 'MODULE_PATHNAME', 'appdb__revoke_functions';
COMMENT ON FUNCTION appdb._revoke_functions(pg_catalog.name) IS 'Internal: takes back the functions that a role was given, by whomever';

CREATE FUNCTION appdb.grant_access(role pg_catalog.name, level pg_catalog.text)
	RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	function text;
BEGIN
	IF role IS NULL OR level IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'role and level must not be null';
	ELSIF level NOT IN ('app', 'readonly', 'service') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown access level "%s"', level),
			HINT = 'Levels are app, readonly and service.';
	ELSIF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = format('role "%s" does not exist', role),
			-- PUBLIC, and names that no role can have
			HINT = CASE WHEN role ~ '^(public|none|pg_.*)?$' THEN 'A level is given to one role: CREATE ROLE web LOGIN;'
				ELSE format('CREATE ROLE %I LOGIN;', role) END;
	ELSIF EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = 'app_data'::regnamespace AND c.relkind IN ('r', 'p')
				  AND pg_has_role(role, c.relowner, 'USAGE')) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_grant_operation',
			MESSAGE = format('role "%s" has the rights of the owner of the tables', role),
			DETAIL = 'Row security does not hold for the owner, nor for superusers.',
			HINT = 'Applications connect as a role of their own.';
	END IF;

	-- others' privileges stay as they are, and so nobody waits, but for a policy
	IF level = 'service' THEN
		PERFORM appdb._lock_tables();
	END IF;
	PERFORM appdb.revoke_access(role);
	PERFORM appdb._note_access(role, level);
	PERFORM appdb._grant_table(m.entity, role, level)
	FROM appdb._managed_tables() m JOIN pg_class c ON c.oid = m.entity WHERE pg_get_userbyid(c.relowner) <> role AND appdb._is_managed(m.entity);
	EXECUTE format('GRANT USAGE ON SCHEMA app_data TO %I', role);
	-- default privileges of the owner's can have given these, too, where no row security holds, and levels are noted
	EXECUTE format('REVOKE ALL ON %s FROM %I', (SELECT string_agg(format('app_data.%I', o), ', ') FROM unnest(appdb._own_tables()) o), role);
	FOREACH function IN ARRAY appdb._grant_functions(level) LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', function, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb.grant_access(pg_catalog.name, pg_catalog.text) IS
'Gives a database role what an application needs, on the built-in tables and those that are managed now or later; takes back what it had by another level.
role: the role that the application connects as; level: app (reads and writes what the user who is asking may), readonly (reads that), service (acts for any user, sees all rows, signs users in).
Errors: 22023 unknown level; 42704 no such role; 0LP01 a role with the rights of the tables'' owner; 55P03 to give or take level service, a lock was not to be had within lock_timeout (10 s if not set). Only that owner may call it.';
REVOKE EXECUTE ON FUNCTION appdb.grant_access(pg_catalog.name, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.revoke_access(role pg_catalog.name)
	RETURNS pg_catalog.bool
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
	SET client_min_messages = warning
AS $$
DECLARE
	m record;
	had bool;
BEGIN
	IF EXISTS (SELECT FROM pg_policy p JOIN pg_roles r ON p.polroles = ARRAY[r.oid]
			   WHERE r.rolname = role AND starts_with(p.polname, 'appdb_service_')) THEN
		PERFORM appdb._lock_tables();
	END IF;
	had := appdb._note_access(role, NULL);
	IF NOT EXISTS (SELECT FROM pg_roles r, pg_namespace n
				   WHERE r.rolname = revoke_access.role AND n.nspname = 'app_data' AND r.oid <> n.nspowner
					 -- one that had another name has what all levels give, and is not noted
					 AND (had OR EXISTS (SELECT FROM aclexplode(n.nspacl) a WHERE a.grantee = r.oid))) THEN
		RETURN had;
	END IF;
	FOR m IN
		SELECT t.entity, t.view FROM appdb._managed_tables() t JOIN pg_class c ON c.oid = t.entity
		WHERE pg_get_userbyid(c.relowner) <> role AND appdb._is_managed(t.entity)
	LOOP
		EXECUTE format('REVOKE ALL ON %s, appdb.%I FROM %I', m.entity, m.view, role);
		PERFORM appdb._drop_service_policy(m.entity, role);
	END LOOP;
	EXECUTE format('REVOKE USAGE ON SCHEMA app_data FROM %I', role);
	PERFORM appdb._revoke_functions(role);
	RETURN true;
END
$$;
COMMENT ON FUNCTION appdb.revoke_access(pg_catalog.name) IS
'Takes back from a role what appdb.grant_access() gave; returns whether it had anything.
role: the role. Only the owner of the tables may call it.';
REVOKE EXECUTE ON FUNCTION appdb.revoke_access(pg_catalog.name) FROM PUBLIC;
