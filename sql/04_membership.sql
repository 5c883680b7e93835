-- Memberships and invitations (docs/memberships.md).
--
-- A function for everybody, such as appdb.invite(), is C that does the
-- function of the same name with an underscore as the owner of the tables
-- (src/as_owner.c); that one asks who is asking.  Where an organization or a
-- space is changed it is locked first (src/tenant.c): an organization's row
-- before a space's, then invitations, then members.
--
-- Errors: 28000 nobody is signed in; P0002 nothing there that the caller may
-- know of; 42501 not the caller's to do; 23514 and 55000 against the rules.

SET LOCAL check_function_bodies = off;

-- == what all of them ask ===================================================

CREATE FUNCTION appdb._role_rank(role pg_catalog.text) RETURNS pg_catalog.int4
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE WHEN role OPERATOR(pg_catalog.=) 'owner' THEN 4 WHEN role OPERATOR(pg_catalog.=) 'admin' THEN 3
		WHEN role OPERATOR(pg_catalog.=) ANY ('{editor,member}') THEN 2 WHEN role OPERATOR(pg_catalog.=) 'viewer' THEN 1 ELSE 0 END
$$;
COMMENT ON FUNCTION appdb._role_rank(pg_catalog.text) IS 'Internal: roles in their order, 0 for none';

CREATE FUNCTION appdb._tenant_now(
	organization_id pg_catalog.uuid, space_id pg_catalog.uuid, user_id pg_catalog.uuid, locked pg_catalog.bool,
	OUT live pg_catalog.bool, OUT owners pg_catalog.int8, OUT members pg_catalog.int8, OUT seats pg_catalog.int8,
	OUT role pg_catalog.text, OUT owner_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_tenant_now';
COMMENT ON FUNCTION appdb._tenant_now(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.bool) IS
	'Internal: how an organization or a space stands, locked or not, and the user''s role, whatever the transaction''s snapshot';

CREATE FUNCTION appdb._now(statement pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid) RETURNS pg_catalog.uuid[]
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_now';
COMMENT ON FUNCTION appdb._now(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS
	'Internal: carries a statement out on what is committed now, whatever the transaction''s snapshot, and returns the ids that it returns';

CREATE FUNCTION appdb._directly() RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_directly';
COMMENT ON FUNCTION appdb._directly() IS
	'Internal: whether a trigger''s row is changed by a statement of the caller''s own';

CREATE FUNCTION appdb._caller() RETURNS pg_catalog.uuid
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb.current_user_id() IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_authorization_specification',
			MESSAGE = 'nobody is signed in',
			HINT = 'Call appdb.authenticate() first, in the same transaction.';
	END IF;
	RETURN appdb.current_user_id();
END
$$;
COMMENT ON FUNCTION appdb._caller() IS 'Internal: who is asking, or an error';

-- Users come before what they belong to: who deletes one goes from there.
CREATE FUNCTION appdb._keep_user(user_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._now('SELECT u.id FROM app_data.users AS u WHERE u.id = $2 FOR KEY SHARE', NULL, _keep_user.user_id);
END
$$;
COMMENT ON FUNCTION appdb._keep_user(pg_catalog.uuid) IS 'Internal: locks a user against being deleted, whatever the transaction''s snapshot';

-- The organization or space, locked, and the caller's role in it.
CREATE FUNCTION appdb._tenant(
	organization_id pg_catalog.uuid, space_id pg_catalog.uuid, needed pg_catalog.text,
	OUT kind pg_catalog.text, OUT id pg_catalog.uuid, OUT owners pg_catalog.int8, OUT members pg_catalog.int8,
	OUT seats pg_catalog.int8, OUT role pg_catalog.text, OUT owner_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb._caller();
	live boolean;
	locked boolean;
BEGIN
	IF num_nonnulls(organization_id, space_id) <> 1 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'either an organization or a space is needed',
			HINT = 'Give one of organization_id and space_id.';
	END IF;
	kind := CASE WHEN space_id IS NULL THEN 'organization' ELSE 'space' END;
	id := coalesce(organization_id, space_id);
	PERFORM appdb._keep_user(me);
	-- who is not to know of it does not lock it either
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		SELECT t.live, t.owners, t.members, t.seats, t.role, t.owner_id
		INTO live, owners, members, seats, role, owner_id
		FROM appdb._tenant_now(organization_id, space_id, me, locked) AS t;
		IF live IS NOT TRUE OR role IS NULL THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = format('%s %s does not exist', kind, id),
				DETAIL = 'It is not there, or you are no member of it.';
		END IF;
		IF appdb._role_rank(role) < appdb._role_rank(needed) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for %s %s', kind, id),
				DETAIL = format('This takes the role %s; yours is %s.', needed, role);
		END IF;
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._tenant(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.text) IS
	'Internal: locks an organization or a space in which the caller has a role, and says which';

CREATE FUNCTION appdb._check_role(kind pg_catalog.text, role pg_catalog.text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF role IS NULL OR role <> ALL (CASE kind WHEN 'organization' THEN ARRAY['owner', 'admin', 'member']
									ELSE ARRAY['owner', 'admin', 'editor', 'viewer'] END) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = CASE WHEN role IS NULL THEN 'a role is needed' ELSE format('"%s" is no role in %s', role,
				CASE kind WHEN 'organization' THEN 'an organization' ELSE 'a space' END) END,
			HINT = CASE kind WHEN 'organization' THEN 'Roles are owner, admin and member.' ELSE 'Roles are owner, admin, editor and viewer.' END;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_role(pg_catalog.text, pg_catalog.text) IS 'Internal: an error unless there is such a role';

CREATE FUNCTION appdb._check_rank(own pg_catalog.text, role pg_catalog.text, doing pg_catalog.text) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._role_rank(role) > appdb._role_rank(own) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('permission denied to %s role %s', doing, role),
			DETAIL = format('It is above your own, which is %s.', coalesce(own, 'none'));
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_rank(pg_catalog.text, pg_catalog.text, pg_catalog.text) IS 'Internal: an error if a role is above the caller''s own';

CREATE FUNCTION appdb._check_seats(organization_id pg_catalog.uuid, seats pg_catalog.int8, members pg_catalog.int8) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF members >= seats THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('organization %s has no seat left', organization_id),
			DETAIL = format('Its subscription has %s, all taken.', CASE seats WHEN 1 THEN '1 seat' ELSE seats || ' seats' END),
			HINT = 'Change the subscription, or remove a member.';
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._check_seats(pg_catalog.uuid, pg_catalog.int8, pg_catalog.int8) IS 'Internal: an error if all seats are taken';

-- Somebody's own role in an organization or a space, the row locked.
CREATE FUNCTION appdb._membership(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid) RETURNS pg_catalog.text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	role text;
BEGIN
	IF user_id IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'user_id must not be null';
	END IF;
	IF kind = 'organization' THEN
		SELECT m.role INTO role FROM app_data.members AS m
		WHERE m.organization_id = _membership.id AND m.user_id = _membership.user_id AND m.deleted_at IS NULL FOR NO KEY UPDATE;
	ELSE
		SELECT m.role INTO role FROM app_data.space_members AS m
		WHERE m.space_id = _membership.id AND m.user_id = _membership.user_id AND m.deleted_at IS NULL FOR NO KEY UPDATE;
	END IF;
	IF role IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'no_data_found',
			MESSAGE = format('user %s is no member of %s %s', user_id, kind, id);
	END IF;
	RETURN role;
END
$$;
COMMENT ON FUNCTION appdb._membership(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: the role of a member, locked, or an error';

CREATE FUNCTION appdb._no_owner_left(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid, alone pg_catalog.bool) RETURNS void
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'check_violation',
		MESSAGE = format('%s %s would have no owner', kind, id),
		DETAIL = format('User %s is its only %s.', user_id, CASE WHEN alone THEN 'member' ELSE 'owner' END),
		HINT = CASE WHEN alone THEN format('Delete the %s instead.', kind)
			ELSE 'Make another member its owner first: appdb.transfer_ownership().' END;
END
$$;
COMMENT ON FUNCTION appdb._no_owner_left(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.bool) IS 'Internal: the error';

-- == organizations and spaces ===============================================

CREATE FUNCTION appdb._create_organization(name pg_catalog.text, slug pg_catalog.text, logo pg_catalog.text, metadata pg_catalog.jsonb)
	RETURNS pg_catalog.uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	organization uuid;
BEGIN
	INSERT INTO app_data.organizations (name, slug, logo, metadata)
	VALUES (_create_organization.name, _create_organization.slug, _create_organization.logo, coalesce(_create_organization.metadata, '{}'))
	RETURNING id INTO organization;
	INSERT INTO app_data.members (organization_id, user_id, role) VALUES (organization, me, 'owner');
	RETURN organization;
END
$$;
COMMENT ON FUNCTION appdb._create_organization(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS 'Internal: appdb.create_organization()';
CREATE FUNCTION appdb.create_organization(name pg_catalog.text, slug pg_catalog.text, logo pg_catalog.text DEFAULT NULL, metadata pg_catalog.jsonb DEFAULT '{}')
	RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.create_organization(pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
'Makes an organization, with the caller as its owner; returns its id.
name, slug, logo, metadata: its columns.
Errors: 28000 nobody is signed in; 23505 the slug is taken; 23514, 23502 a column''s own rules.';

CREATE FUNCTION appdb._create_space(name pg_catalog.text, organization_id pg_catalog.uuid, slug pg_catalog.text, visibility pg_catalog.text, metadata pg_catalog.jsonb)
	RETURNS pg_catalog.uuid
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	space uuid;
BEGIN
	IF _create_space.visibility <> ALL (enum_range(NULL::app_data.space_visibility)::text[]) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('unknown visibility "%s"', _create_space.visibility),
			HINT = format('It is one of %s.', array_to_string(enum_range(NULL::app_data.space_visibility), ', '));
	END IF;
	IF _create_space.organization_id IS NOT NULL THEN
		PERFORM appdb._tenant(_create_space.organization_id, NULL, 'admin');
	END IF;
	INSERT INTO app_data.spaces (name, organization_id, owner_id, slug, visibility, metadata)
	VALUES (_create_space.name, _create_space.organization_id, CASE WHEN _create_space.organization_id IS NULL THEN me END, _create_space.slug,
		coalesce(_create_space.visibility, 'private')::app_data.space_visibility, coalesce(_create_space.metadata, '{}'))
	RETURNING id INTO space;
	INSERT INTO app_data.space_members (space_id, user_id, role) VALUES (space, me, 'owner');
	RETURN space;
END
$$;
COMMENT ON FUNCTION appdb._create_space(pg_catalog.text, pg_catalog.uuid, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS 'Internal: appdb.create_space()';
CREATE FUNCTION appdb.create_space(
	name pg_catalog.text, organization_id pg_catalog.uuid DEFAULT NULL, slug pg_catalog.text DEFAULT NULL,
	visibility pg_catalog.text DEFAULT 'private', metadata pg_catalog.jsonb DEFAULT '{}')
	RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.create_space(pg_catalog.text, pg_catalog.uuid, pg_catalog.text, pg_catalog.text, pg_catalog.jsonb) IS
'Makes a space, with the caller as its owner; returns its id.
organization_id: the organization that it belongs to, of which the caller is an owner or admin; null for a personal space; name, slug, visibility, metadata: its columns.
Errors: 28000 nobody is signed in; P0002 no such organization; 42501 not an admin of it; 23505 the slug is taken; 22023 no such visibility.';

-- == invitations ============================================================

CREATE FUNCTION appdb._invite(
	email pg_catalog.text, role pg_catalog.text, organization_id pg_catalog.uuid, space_id pg_catalog.uuid, lifetime pg_catalog.interval,
	OUT token pg_catalog.text, OUT invitation_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	hash bytea;
	given text;
	until timestamptz;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_invite.organization_id, _invite.space_id, 'admin');
	given := coalesce(_invite.role, CASE t.kind WHEN 'organization' THEN 'member' ELSE 'viewer' END);
	PERFORM appdb._check_role(t.kind, given);
	PERFORM appdb._check_rank(t.role, given, 'grant');
	IF _invite.lifetime IS NULL OR _invite.lifetime <= '0'::interval THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'an invitation''s lifetime must be more than nothing',
			HINT = 'lifetime is an interval such as 7 days.';
	END IF;
	-- blanks that came with it, unless somebody's address is stored with them
	IF NOT EXISTS (SELECT FROM app_data.users AS u WHERE lower(u.email) = lower(_invite.email) AND u.deleted_at IS NULL) THEN
		_invite.email := btrim(_invite.email, E' \t\r\n');
	END IF;
	IF EXISTS (SELECT FROM app_data.users AS u JOIN app_data.members AS m ON m.user_id = u.id AND m.deleted_at IS NULL
			   WHERE lower(u.email) = lower(_invite.email) AND u.deleted_at IS NULL AND m.organization_id = _invite.organization_id)
	   OR EXISTS (SELECT FROM app_data.users AS u JOIN app_data.space_members AS m ON m.user_id = u.id AND m.deleted_at IS NULL
				  WHERE lower(u.email) = lower(_invite.email) AND u.deleted_at IS NULL AND m.space_id = _invite.space_id) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s is a member of %s %s already', _invite.email, t.kind, t.id),
			HINT = 'Change the member''s role: appdb.change_role().';
	END IF;

	-- the last invitation to an address is the one that holds
	PERFORM appdb._now(format('UPDATE app_data.invitations AS i SET status = ''canceled''
		WHERE lower(i.email) = lower(%L) AND i.status = ''pending'' AND i.deleted_at IS NULL
		  AND (i.organization_id = $1 OR i.space_id = $1) RETURNING i.id', _invite.email), t.id, NULL);

	SELECT n.token, n.token_hash INTO _invite.token, hash FROM appdb._new_token() AS n;
	until := clock_timestamp() + _invite.lifetime;
	INSERT INTO app_data.invitations AS i (organization_id, space_id, email, role, expires_at, inviter_id, token_hash)
	VALUES (_invite.organization_id, _invite.space_id, _invite.email, given::app_data.invitation_role, until, appdb.current_user_id(), hash)
	RETURNING i.id, i.expires_at INTO _invite.invitation_id, _invite.expires_at;
END
$$;
COMMENT ON FUNCTION appdb._invite(pg_catalog.text, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.interval) IS 'Internal: appdb.invite()';
CREATE FUNCTION appdb.invite(
	email pg_catalog.text, role pg_catalog.text DEFAULT NULL, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL,
	lifetime pg_catalog.interval DEFAULT '7 days',
	OUT token pg_catalog.text, OUT invitation_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.invite(pg_catalog.text, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid, pg_catalog.interval) IS
'Invites somebody to an organization or a space, and returns the token for the link, which is kept nowhere: only its SHA-256 is. Earlier invitations of the same address to it are canceled.
email: the address (blanks around it are left out); role: what they will be, at most what the caller is (null: the least); organization_id or space_id: to what; lifetime: until when it can be accepted, from now.
Errors: 28000 nobody is signed in; P0002 no such organization or space; 42501 not an admin of it, or a role above one''s own; 55000 a member already; 22023 no such role or lifetime.';

-- The invitation, locked together with what it is to, if it can be answered.
CREATE FUNCTION appdb._answer(
	invitation_id pg_catalog.uuid, has_token pg_catalog.bool,
	OUT id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text,
	OUT expires_at pg_catalog.timestamptz, OUT inviter_id pg_catalog.uuid)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	me uuid := appdb._caller();
	mine record;
	i record;
	locked boolean;
BEGIN
	PERFORM appdb._keep_user(me);
	SELECT u.email, u.email_verified INTO mine FROM app_data.users AS u WHERE u.id = me AND u.deleted_at IS NULL;
	-- who is not to know of it does not lock it either
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		IF locked THEN
			PERFORM appdb._tenant_now(i.organization_id, i.space_id, NULL, true);
			SELECT v.* INTO i FROM app_data.invitations AS v WHERE v.id = _answer.invitation_id AND v.deleted_at IS NULL FOR UPDATE;
		ELSE
			SELECT v.* INTO i FROM app_data.invitations AS v WHERE v.id = _answer.invitation_id AND v.deleted_at IS NULL;
		END IF;
		-- who has no token learns nothing of invitations of others
		IF i.id IS NULL OR (NOT has_token AND lower(i.email) IS DISTINCT FROM lower(mine.email)) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = 'there is no such invitation',
				DETAIL = 'It was never made, has been deleted, or was sent to somebody else.';
		END IF;
		IF lower(i.email) IS DISTINCT FROM lower(mine.email) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = 'the invitation was sent to another address',
				HINT = 'Sign in as the user who has that address.';
		END IF;
	END LOOP;
	-- the token proves that its letter was read
	IF NOT has_token AND NOT mine.email_verified THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'your e-mail address is not verified',
			HINT = 'Verify it, or answer with the token from the invitation''s link.';
	END IF;
	IF i.status <> 'pending' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = CASE i.status WHEN 'canceled' THEN 'the invitation has been taken back'
				ELSE format('the invitation has been %s already', CASE i.status WHEN 'rejected' THEN 'declined' ELSE i.status::text END) END,
			HINT = 'Ask for another invitation.';
	END IF;
	id := i.id;
	organization_id := i.organization_id;
	space_id := i.space_id;
	role := coalesce(i.role::text, CASE WHEN i.space_id IS NULL THEN 'member' ELSE 'viewer' END);
	expires_at := i.expires_at;
	inviter_id := i.inviter_id;
END
$$;
COMMENT ON FUNCTION appdb._answer(pg_catalog.uuid, pg_catalog.bool) IS 'Internal: an invitation to the caller that waits for an answer, locked';

CREATE FUNCTION appdb._accept(
	invitation_id pg_catalog.uuid, has_token pg_catalog.bool,
	OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
<<var>>
DECLARE
	me uuid := appdb._caller();
	i record;
	t record;
	held text;
BEGIN
	SELECT * INTO i FROM appdb._answer(_accept.invitation_id, _accept.has_token);
	IF i.expires_at <= clock_timestamp() THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'the invitation has expired',
			DETAIL = format('It could be accepted until %s.', i.expires_at),
			HINT = 'Ask for another invitation.';
	END IF;
	-- who has lost the right to invite has not kept it in letters
	SELECT n.live, n.members, n.seats, n.role INTO t FROM appdb._tenant_now(i.organization_id, i.space_id, i.inviter_id, true) AS n;
	IF t.live IS NOT TRUE OR (i.inviter_id IS NOT NULL AND
							  appdb._role_rank(t.role) < greatest(appdb._role_rank(i.role), appdb._role_rank('admin'))) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = 'the invitation no longer holds',
			DETAIL = 'Whoever sent it could not send it today, or what it is to is gone.',
			HINT = 'Ask for another invitation.';
	END IF;
	UPDATE app_data.invitations AS v SET status = 'accepted' WHERE v.id = i.id;

	IF i.organization_id IS NOT NULL THEN
		UPDATE app_data.members AS m SET role = CASE WHEN appdb._role_rank(m.role::text) < appdb._role_rank(i.role)
			THEN i.role::app_data.organization_role ELSE m.role END
		WHERE m.organization_id = i.organization_id AND m.user_id = var.me AND m.deleted_at IS NULL
		RETURNING m.role INTO held;
		IF NOT FOUND THEN
			PERFORM appdb._check_seats(i.organization_id, t.seats, t.members);
			INSERT INTO app_data.members AS m (organization_id, user_id, role)
			VALUES (i.organization_id, me, i.role::app_data.organization_role)
			ON CONFLICT (organization_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET role = CASE
				WHEN appdb._role_rank(m.role::text) < appdb._role_rank(excluded.role::text) THEN excluded.role ELSE m.role END
			RETURNING m.role INTO held;
		END IF;
	ELSE
		UPDATE app_data.space_members AS m SET role = CASE WHEN appdb._role_rank(m.role::text) < appdb._role_rank(i.role)
			THEN i.role::app_data.space_role ELSE m.role END
		WHERE m.space_id = i.space_id AND m.user_id = var.me AND m.deleted_at IS NULL
		RETURNING m.role INTO held;
		IF NOT FOUND THEN
			INSERT INTO app_data.space_members AS m (space_id, user_id, role)
			VALUES (i.space_id, me, i.role::app_data.space_role)
			ON CONFLICT (space_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET role = CASE
				WHEN appdb._role_rank(m.role::text) < appdb._role_rank(excluded.role::text) THEN excluded.role ELSE m.role END
			RETURNING m.role INTO held;
		END IF;
	END IF;
	_accept.organization_id := i.organization_id;
	_accept.space_id := i.space_id;
	_accept.role := held;
END
$$;
COMMENT ON FUNCTION appdb._accept(pg_catalog.uuid, pg_catalog.bool) IS 'Internal: appdb.accept_invitation()';

CREATE FUNCTION appdb._invitation_of(token pg_catalog.text) RETURNS pg_catalog.uuid
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT i.id FROM app_data.invitations AS i WHERE i.token_hash = sha256(convert_to(_invitation_of.token, 'UTF8')) AND i.deleted_at IS NULL
$$;
COMMENT ON FUNCTION appdb._invitation_of(pg_catalog.text) IS 'Internal: the invitation that a token is of';

CREATE FUNCTION appdb._accept_invitation(token pg_catalog.text, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT a.organization_id, a.space_id, a.role INTO organization_id, space_id, role
	FROM appdb._accept(appdb._invitation_of(token), true) AS a;
END
$$;
COMMENT ON FUNCTION appdb._accept_invitation(pg_catalog.text) IS 'Internal: appdb.accept_invitation()';
CREATE FUNCTION appdb.accept_invitation(token pg_catalog.text, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.accept_invitation(pg_catalog.text) IS
'Makes the caller a member by the token of an invitation that was sent to their address; returns of what, and the role. A member already gets the higher role.
token: as appdb.invite() returned it.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 it was sent to another address; 55000 answered already, taken back, expired, or its sender could not send it today; 23514 no seat left.';

CREATE FUNCTION appdb._accept_invitation(invitation_id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	SELECT a.organization_id, a.space_id, a.role INTO organization_id, space_id, role
	FROM appdb._accept(invitation_id, false) AS a;
END
$$;
COMMENT ON FUNCTION appdb._accept_invitation(pg_catalog.uuid) IS 'Internal: appdb.accept_invitation()';
CREATE FUNCTION appdb.accept_invitation(invitation_id pg_catalog.uuid, OUT organization_id pg_catalog.uuid, OUT space_id pg_catalog.uuid, OUT role pg_catalog.text)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.accept_invitation(pg_catalog.uuid) IS
'The same without the token, for a caller whose e-mail address is verified: for a list of one''s invitations.
invitation_id: the invitation. Errors: as with the token, and 42501 the caller''s address is not verified.';

CREATE FUNCTION appdb._decline_invitation(token pg_catalog.text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	answered uuid := (appdb._answer(appdb._invitation_of(token), true)).id;
BEGIN
	UPDATE app_data.invitations AS i SET status = 'rejected' WHERE i.id = answered;
END
$$;
COMMENT ON FUNCTION appdb._decline_invitation(pg_catalog.text) IS 'Internal: appdb.decline_invitation()';
CREATE FUNCTION appdb.decline_invitation(token pg_catalog.text) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.decline_invitation(pg_catalog.text) IS
'Declines an invitation that was sent to the caller''s address, by its token, also one that has expired.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 it was sent to another address; 55000 answered or taken back already.';

CREATE FUNCTION appdb._decline_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	answered uuid := (appdb._answer(invitation_id, false)).id;
BEGIN
	UPDATE app_data.invitations AS i SET status = 'rejected' WHERE i.id = answered;
END
$$;
COMMENT ON FUNCTION appdb._decline_invitation(pg_catalog.uuid) IS 'Internal: appdb.decline_invitation()';
CREATE FUNCTION appdb.decline_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.decline_invitation(pg_catalog.uuid) IS
'The same without the token, for a caller whose e-mail address is verified. Errors: as with the token, and 42501 the caller''s address is not verified.';

CREATE FUNCTION appdb._revoke_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	me uuid := appdb._caller();
	i record;
	t record;
	locked boolean;
BEGIN
	IF invitation_id IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'invitation_id must not be null';
	END IF;
	FOREACH locked IN ARRAY ARRAY[false, true] LOOP
		SELECT v.organization_id, v.space_id, v.id, v.role, v.status, v.inviter_id INTO i FROM app_data.invitations AS v
		WHERE v.id = _revoke_invitation.invitation_id AND v.deleted_at IS NULL;
		SELECT n.live, n.role INTO t FROM appdb._tenant_now(i.organization_id, i.space_id, me, locked) AS n;
		IF locked THEN
			SELECT v.id, v.role, v.status, v.inviter_id INTO i FROM app_data.invitations AS v
			WHERE v.id = _revoke_invitation.invitation_id AND v.deleted_at IS NULL FOR UPDATE;
		END IF;
		IF i.id IS NULL OR t.live IS NOT TRUE OR (t.role IS NULL AND i.inviter_id IS DISTINCT FROM me) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'no_data_found',
				MESSAGE = format('invitation %s does not exist', invitation_id),
				DETAIL = 'It is not there, or you are no member of what it is to.';
		END IF;
	END LOOP;
	-- whoever has sent it may always take it back
	IF i.inviter_id IS DISTINCT FROM me THEN
		IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for invitation %s', invitation_id),
				DETAIL = format('This takes the role admin; yours is %s.', t.role);
		END IF;
		PERFORM appdb._check_rank(t.role, i.role::text, 'take back an invitation with');
	END IF;
	IF i.status <> 'pending' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('invitation %s is %s already', invitation_id, CASE i.status WHEN 'canceled' THEN 'taken back' WHEN 'rejected' THEN 'declined' ELSE i.status::text END);
	END IF;
	UPDATE app_data.invitations AS v SET status = 'canceled' WHERE v.id = i.id;
END
$$;
COMMENT ON FUNCTION appdb._revoke_invitation(pg_catalog.uuid) IS 'Internal: appdb.revoke_invitation()';
CREATE FUNCTION appdb.revoke_invitation(invitation_id pg_catalog.uuid) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.revoke_invitation(pg_catalog.uuid) IS
'Takes back an invitation that waits for an answer: its sender, or an owner or admin of what it is to.
Errors: 28000 nobody is signed in; P0002 no such invitation; 42501 not an admin, or its role is above the caller''s; 55000 answered or taken back already.';

-- == members ================================================================

CREATE FUNCTION appdb._change_role(user_id pg_catalog.uuid, role pg_catalog.text, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	held text;
BEGIN
	-- to step down is everybody's own affair
	SELECT * INTO t FROM appdb._tenant(_change_role.organization_id, _change_role.space_id,
		CASE WHEN _change_role.user_id = appdb.current_user_id() THEN 'viewer' ELSE 'admin' END);
	PERFORM appdb._check_role(t.kind, _change_role.role);
	PERFORM appdb._check_rank(t.role, _change_role.role, 'grant');
	held := appdb._membership(t.kind, t.id, _change_role.user_id);
	PERFORM appdb._check_rank(t.role, held, 'change a member with');
	IF held = 'owner' AND _change_role.role <> 'owner' AND t.owners = 1 THEN
		PERFORM appdb._no_owner_left(t.kind, t.id, _change_role.user_id, t.members = 1);
	END IF;
	IF _change_role.user_id = t.owner_id AND _change_role.role <> 'owner' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('space %s is the personal space of user %s', t.id, _change_role.user_id),
			HINT = 'Make another member its owner first: appdb.transfer_ownership().';
	END IF;
	IF t.kind = 'organization' THEN
		UPDATE app_data.members AS m SET role = _change_role.role::app_data.organization_role
		WHERE m.organization_id = t.id AND m.user_id = _change_role.user_id AND m.deleted_at IS NULL;
	ELSE
		UPDATE app_data.space_members AS m SET role = _change_role.role::app_data.space_role
		WHERE m.space_id = t.id AND m.user_id = _change_role.user_id AND m.deleted_at IS NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._change_role(pg_catalog.uuid, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.change_role()';
CREATE FUNCTION appdb.change_role(user_id pg_catalog.uuid, role pg_catalog.text, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.change_role(pg_catalog.uuid, pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS
'Gives a member of an organization or a space another role. Takes an owner or admin whose role is not below the member''s, nor below the new one; anybody can step down.
user_id: the member; role: the new role; organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not the caller''s to do; 23514 it would have no owner; 22023 no such role.';

-- What was allowed with single files ends with the role: else an admin could
-- keep a way back.
CREATE FUNCTION appdb._end_permissions(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	-- those that went with their files first: they do not come back with them
	IF space_id IS NOT NULL THEN
		PERFORM appdb._now('UPDATE app_data.file_permissions AS p SET deleted_at = clock_timestamp() FROM app_data.files AS f
			WHERE p.user_id = $2 AND f.id = p.file_id AND p.deleted_at = f.deleted_at AND p.space_id = $1 RETURNING p.id', space_id, user_id);
		PERFORM appdb._now('UPDATE app_data.file_permissions AS p SET deleted_at = now()
			WHERE p.user_id = $2 AND p.deleted_at IS NULL AND p.space_id = $1 RETURNING p.id', space_id, user_id);
	ELSE
		PERFORM appdb._now('UPDATE app_data.file_permissions AS p SET deleted_at = clock_timestamp() FROM app_data.files AS f
			WHERE p.user_id = $2 AND f.id = p.file_id AND p.deleted_at = f.deleted_at AND p.space_id IN (SELECT s.id FROM app_data.spaces AS s WHERE s.organization_id = $1)
			  AND NOT EXISTS (SELECT FROM app_data.space_members AS m WHERE m.space_id = p.space_id AND m.user_id = p.user_id AND m.deleted_at IS NULL)
			RETURNING p.id', organization_id, user_id);
		PERFORM appdb._now('UPDATE app_data.file_permissions AS p SET deleted_at = now()
			WHERE p.user_id = $2 AND p.deleted_at IS NULL AND p.space_id IN (SELECT s.id FROM app_data.spaces AS s WHERE s.organization_id = $1)
			  AND NOT EXISTS (SELECT FROM app_data.space_members AS m WHERE m.space_id = p.space_id AND m.user_id = p.user_id AND m.deleted_at IS NULL)
			RETURNING p.id', organization_id, user_id);
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._end_permissions(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: ends what a former member was allowed with single files';

-- Ends a membership.  Who leaves an organization leaves its spaces too; one of
-- which they are the only owner goes to the organization's first other owner.
CREATE FUNCTION appdb._end_membership(kind pg_catalog.text, id pg_catalog.uuid, user_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
<<var>>
DECLARE
	space uuid;
	heir uuid;
BEGIN
	IF kind = 'organization' THEN
		FOREACH space IN ARRAY appdb._now('SELECT s.id FROM app_data.spaces AS s
			WHERE s.organization_id = $1
			  AND (EXISTS (SELECT FROM app_data.space_members AS m WHERE m.space_id = s.id AND m.user_id = $2 AND m.deleted_at IS NOT DISTINCT FROM s.deleted_at)
				   OR EXISTS (SELECT FROM app_data.invitations AS i JOIN app_data.users AS u ON lower(i.email) = lower(u.email)
							  WHERE i.space_id = s.id AND u.id = $2 AND i.status = ''pending''))
			ORDER BY s.id', id, user_id)
		LOOP
			PERFORM appdb._tenant_now(NULL, space, NULL, true);
		END LOOP;
	END IF;
	-- no way back by an older letter, nor by one that comes back with its space
	PERFORM appdb._now('UPDATE app_data.invitations AS i SET status = ''canceled'' FROM app_data.users AS u
		WHERE u.id = $2 AND lower(i.email) = lower(u.email) AND i.status = ''pending''
		  AND (i.organization_id = $1 OR i.space_id = $1 OR i.space_id IN (SELECT s.id FROM app_data.spaces AS s WHERE s.organization_id = $1))
		RETURNING i.id', id, user_id);
	IF kind = 'space' THEN
		UPDATE app_data.space_members AS m SET deleted_at = now()
		WHERE m.space_id = _end_membership.id AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
		PERFORM appdb._end_permissions(_end_membership.user_id, NULL, _end_membership.id);
		RETURN;
	END IF;
	heir := (appdb._now('SELECT m.user_id FROM app_data.members AS m
		WHERE m.organization_id = $1 AND m.user_id <> $2 AND m.role = ''owner'' AND m.deleted_at IS NULL
		ORDER BY m.created_at, m.id LIMIT 1', id, user_id))[1];
	-- memberships of deleted spaces would come back with those
	FOREACH space IN ARRAY appdb._now('SELECT m.space_id FROM app_data.space_members AS m JOIN app_data.spaces AS s ON s.id = m.space_id
		WHERE s.organization_id = $1 AND m.user_id = $2 AND m.deleted_at = s.deleted_at AND m.role = ''owner''
		  AND NOT EXISTS (SELECT FROM app_data.space_members AS o WHERE o.space_id = s.id AND o.user_id <> $2 AND o.role = ''owner'' AND o.deleted_at = s.deleted_at)', id, user_id)
	LOOP
		-- an organization that came back after its owner was deleted has none
		CONTINUE WHEN heir IS NULL;
		IF appdb._now('UPDATE app_data.space_members AS m SET role = ''owner'' FROM app_data.spaces AS s
			WHERE s.id = $1 AND m.space_id = s.id AND m.user_id = $2 AND m.deleted_at = s.deleted_at RETURNING m.id', space, heir) = '{}' THEN
			INSERT INTO app_data.space_members (space_id, user_id, role, deleted_at)
			SELECT s.id, var.heir, 'owner', s.deleted_at FROM app_data.spaces AS s WHERE s.id = var.space;
		END IF;
	END LOOP;
	PERFORM appdb._now('UPDATE app_data.space_members AS m SET deleted_at = clock_timestamp() FROM app_data.spaces AS s
		WHERE s.organization_id = $1 AND m.space_id = s.id AND m.user_id = $2 AND m.deleted_at = s.deleted_at RETURNING m.id', id, user_id);
	FOREACH space IN ARRAY appdb._now('SELECT s.id FROM app_data.spaces AS s JOIN app_data.space_members AS m ON m.space_id = s.id
		WHERE s.organization_id = $1 AND s.deleted_at IS NULL AND m.user_id = $2 AND m.deleted_at IS NULL
		ORDER BY s.id', id, user_id)
	LOOP
		PERFORM appdb._tenant_now(NULL, space, NULL, true);
		PERFORM FROM app_data.space_members AS m
		WHERE m.space_id = var.space AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL FOR NO KEY UPDATE;
		IF NOT FOUND THEN
			-- gone meanwhile, or more recent than the transaction's snapshot
			CONTINUE WHEN current_setting('transaction_isolation') = 'read committed';
			RAISE EXCEPTION USING
				ERRCODE = 'serialization_failure',
				MESSAGE = 'could not serialize access due to concurrent update';
		END IF;
		IF heir IS NOT NULL AND appdb._now('SELECT m.id FROM app_data.space_members AS m
			WHERE m.space_id = $1 AND m.user_id <> $2 AND m.role = ''owner'' AND m.deleted_at IS NULL LIMIT 1', space, user_id) = '{}' THEN
			INSERT INTO app_data.space_members (space_id, user_id, role) VALUES (space, heir, 'owner')
			ON CONFLICT (space_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET role = 'owner';
		END IF;
		UPDATE app_data.space_members AS m SET deleted_at = now()
		WHERE m.space_id = var.space AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
	END LOOP;
	UPDATE app_data.members AS m SET deleted_at = now()
	WHERE m.organization_id = _end_membership.id AND m.user_id = _end_membership.user_id AND m.deleted_at IS NULL;
	PERFORM appdb._end_permissions(_end_membership.user_id, _end_membership.id, NULL);
END
$$;
COMMENT ON FUNCTION appdb._end_membership(pg_catalog.text, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: ends a membership';

CREATE FUNCTION appdb._remove_member(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	t record;
	held text;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_remove_member.organization_id, _remove_member.space_id,
		CASE WHEN _remove_member.user_id = appdb.current_user_id() THEN 'viewer' ELSE 'admin' END);
	held := appdb._membership(t.kind, t.id, _remove_member.user_id);
	PERFORM appdb._check_rank(t.role, held, 'remove a member with');
	IF held = 'owner' AND t.owners = 1 THEN
		PERFORM appdb._no_owner_left(t.kind, t.id, _remove_member.user_id, t.members = 1);
	END IF;
	IF _remove_member.user_id = t.owner_id THEN
		RAISE EXCEPTION USING
			ERRCODE = 'check_violation',
			MESSAGE = format('space %s is the personal space of user %s', t.id, _remove_member.user_id),
			HINT = 'Make another member its owner first: appdb.transfer_ownership().';
	END IF;
	PERFORM appdb._end_membership(t.kind, t.id, _remove_member.user_id);
END
$$;
COMMENT ON FUNCTION appdb._remove_member(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.remove_member()';
CREATE FUNCTION appdb.remove_member(user_id pg_catalog.uuid, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.remove_member(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS
'Ends a membership of an organization, and with it those of its spaces, or of a space. Takes an owner or admin whose role is not below the member''s.
user_id: the member; organization_id or space_id: of what. Spaces of which the member is the only owner go to the organization''s longest-standing other owner.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not the caller''s to do; 23514 it would have no owner.';

CREATE FUNCTION appdb._leave(organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM appdb._remove_member(appdb._caller(), organization_id, space_id);
END
$$;
COMMENT ON FUNCTION appdb._leave(pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.leave()';
CREATE FUNCTION appdb.leave(organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.leave(pg_catalog.uuid, pg_catalog.uuid) IS
'Ends the caller''s own membership of an organization, and with it those of its spaces, or of a space.
organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization or space, or no member of it; 23514 it would have no owner.';

CREATE FUNCTION appdb._transfer_ownership(user_id pg_catalog.uuid, organization_id pg_catalog.uuid, space_id pg_catalog.uuid) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	me uuid := appdb._caller();
	t record;
BEGIN
	SELECT * INTO t FROM appdb._tenant(_transfer_ownership.organization_id, _transfer_ownership.space_id, 'owner');
	PERFORM appdb._membership(t.kind, t.id, _transfer_ownership.user_id);
	IF _transfer_ownership.user_id = me THEN
		RETURN;
	END IF;
	IF t.kind = 'organization' THEN
		UPDATE app_data.members AS m SET role = 'owner'
		WHERE m.organization_id = t.id AND m.user_id = _transfer_ownership.user_id AND m.deleted_at IS NULL;
		UPDATE app_data.members AS m SET role = 'admin'
		WHERE m.organization_id = t.id AND m.user_id = me AND m.deleted_at IS NULL;
	ELSE
		-- a personal space becomes the other's own, if it is the caller's
		UPDATE app_data.spaces AS s SET owner_id = _transfer_ownership.user_id WHERE s.id = t.id AND s.owner_id = me;
		UPDATE app_data.space_members AS m SET role = 'owner'
		WHERE m.space_id = t.id AND m.user_id = _transfer_ownership.user_id AND m.deleted_at IS NULL;
		UPDATE app_data.space_members AS m SET role = 'admin'
		WHERE m.space_id = t.id AND m.user_id = me AND m.deleted_at IS NULL;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._transfer_ownership(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS 'Internal: appdb.transfer_ownership()';
CREATE FUNCTION appdb.transfer_ownership(user_id pg_catalog.uuid, organization_id pg_catalog.uuid DEFAULT NULL, space_id pg_catalog.uuid DEFAULT NULL) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.transfer_ownership(pg_catalog.uuid, pg_catalog.uuid, pg_catalog.uuid) IS
'Makes another member an owner of an organization or a space, and the caller, who was one, an admin. A personal space becomes the other''s.
user_id: the member who becomes owner; organization_id or space_id: of what.
Errors: 28000 nobody is signed in; P0002 no such organization, space or member; 42501 not an owner; 23505 the new owner has a personal space of the same slug.';

-- == the same rules for statements on the tables ============================

-- What somebody who is signed in may do to memberships: BEFORE each row.
CREATE FUNCTION appdb._membership_rank() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	me uuid := appdb.current_user_id();
	kind text := CASE TG_TABLE_NAME WHEN 'members' THEN 'organization' ELSE 'space' END;
	old_id uuid;
	new_id uuid;
	old_role text;
	new_role text;
	was_live boolean;
	is_live boolean;
	organization uuid;
	t record;
	locked boolean;
BEGIN
	IF me IS NOT NULL AND appdb._directly() THEN
		was_live := TG_OP <> 'INSERT' AND OLD.deleted_at IS NULL;
		is_live := TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL;
		IF TG_OP <> 'INSERT' THEN
			IF kind = 'organization' THEN
				old_id := OLD.organization_id;
			ELSE
				old_id := OLD.space_id;
			END IF;
		END IF;
		IF TG_OP <> 'DELETE' THEN
			IF kind = 'organization' THEN
				new_id := NEW.organization_id;
			ELSE
				new_id := NEW.space_id;
			END IF;
		END IF;
		IF TG_OP = 'UPDATE' AND (OLD.user_id, old_id) IS DISTINCT FROM (NEW.user_id, new_id) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to give a membership of %s %s to somebody else', kind, old_id),
				HINT = 'Invite the other: appdb.invite().';
		END IF;
		-- what a deleted one says is what it comes back as: it is not written without asking either
		IF was_live OR (TG_OP = 'UPDATE' AND NEW.role <> OLD.role) THEN
			old_role := OLD.role;
		END IF;
		IF is_live OR TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND NEW.role <> OLD.role) THEN
			new_role := NEW.role;
		END IF;
		IF new_role IS DISTINCT FROM old_role THEN
			-- who is not to know of it does not lock it either
			FOREACH locked IN ARRAY ARRAY[false, true] LOOP
				-- who is being removed from the organization is, before they get into one of its spaces
				IF kind = 'space' AND is_live AND NOT was_live THEN
					IF NOT locked THEN
						organization := (SELECT m.organization_id FROM app_data.members AS m JOIN app_data.spaces AS s ON s.organization_id = m.organization_id
							WHERE s.id = new_id AND m.user_id = NEW.user_id AND m.deleted_at IS NULL);
					ELSIF organization IS NOT NULL THEN
						PERFORM FROM app_data.members AS m
						WHERE m.organization_id = organization AND m.user_id = NEW.user_id AND m.deleted_at IS NULL FOR SHARE;
						IF NOT FOUND THEN
							RAISE EXCEPTION USING
								ERRCODE = 'serialization_failure',
								MESSAGE = 'could not serialize access due to concurrent update';
						END IF;
					END IF;
				END IF;
				SELECT n.role, n.seats, n.members INTO t
				FROM appdb._tenant_now(CASE kind WHEN 'organization' THEN coalesce(new_id, old_id) END,
									   CASE kind WHEN 'space' THEN coalesce(new_id, old_id) END, me, locked) AS n;
				-- everybody may step down and leave
				IF NOT was_live OR OLD.user_id IS DISTINCT FROM me OR appdb._role_rank(new_role) > appdb._role_rank(old_role) THEN
					IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
						RAISE EXCEPTION USING
							ERRCODE = 'insufficient_privilege',
							MESSAGE = format('permission denied for members of %s %s', kind, coalesce(new_id, old_id)),
							DETAIL = 'This takes the role admin.';
					END IF;
					PERFORM appdb._check_rank(t.role, new_role, 'grant');
					PERFORM appdb._check_rank(t.role, old_role, 'change a member with');
				END IF;
			END LOOP;
			IF is_live AND NOT was_live AND kind = 'organization' THEN
				PERFORM appdb._check_seats(new_id, t.seats, t.members);
			END IF;
		END IF;
	END IF;
	RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;
COMMENT ON FUNCTION appdb._membership_rank() IS 'Internal: appdb.membership_rank()';
CREATE FUNCTION appdb.membership_rank() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.membership_rank() IS
	'Trigger function: nobody who is signed in grants a role above their own, or changes who is above them';

-- AFTER each row of an owner who is one no longer.
CREATE FUNCTION appdb._keep_owner() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := CASE TG_TABLE_NAME WHEN 'members' THEN 'organization' ELSE 'space' END;
	id uuid;
	t record;
BEGIN
	IF kind = 'organization' THEN
		id := OLD.organization_id;
		SELECT * INTO t FROM appdb._tenant_now(id, NULL, NULL, true);
	ELSE
		id := OLD.space_id;
		SELECT * INTO t FROM appdb._tenant_now(NULL, id, NULL, true);
	END IF;
	-- an administrator may empty it, and a user may be deleted; who was signed in may have signed out since, in what the statement returns
	IF t.live AND t.owners = 0 AND (t.members > 0 OR (appdb._directly() AND (
		appdb.current_user_id() IS NOT NULL
		OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = appdb._calling_role() AND NOT r.rolbypassrls
				   AND NOT has_function_privilege(r.oid, 'appdb.impersonate(uuid, boolean)', 'EXECUTE'))))) THEN
		PERFORM appdb._no_owner_left(kind, id, OLD.user_id, t.members = 0);
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION appdb._keep_owner() IS 'Internal: appdb.keep_owner()';
CREATE FUNCTION appdb.keep_owner() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.keep_owner() IS
	'Trigger function: an organization or a space that has members has an owner among them';

-- BEFORE each user who is deleted: what they own is locked before their memberships, as all others do it, and not after, by keep_owner().
CREATE FUNCTION appdb._user_deleted() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	owned uuid;
BEGIN
	-- the user first, as the deletion does it next: who adds something of theirs is waited for before anything else is locked
	PERFORM FROM app_data.users AS u WHERE u.id = OLD.id FOR UPDATE;
	-- a membership that the transaction's snapshot does not show keeps the user from being deleted by it
	FOR owned IN
		SELECT m.organization_id FROM app_data.members AS m
		WHERE m.user_id = OLD.id AND m.role = 'owner' AND m.deleted_at IS NULL ORDER BY m.organization_id
	LOOP
		PERFORM appdb._tenant_now(owned, NULL, NULL, true);
	END LOOP;
	FOR owned IN
		SELECT m.space_id FROM app_data.space_members AS m
		WHERE m.user_id = OLD.id AND m.role = 'owner' AND m.deleted_at IS NULL ORDER BY m.space_id
	LOOP
		PERFORM appdb._tenant_now(NULL, owned, NULL, true);
	END LOOP;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._user_deleted() IS 'Internal: appdb.user_deleted()';
CREATE FUNCTION appdb.user_deleted() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.user_deleted() IS
	'Trigger function: the deletion of a user and changes of who belongs to what they own come one after the other';

-- AFTER each row of a member who is one no longer.
CREATE FUNCTION appdb._end_access() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._directly() THEN
		IF TG_TABLE_NAME = 'members' THEN
			PERFORM appdb._end_permissions(OLD.user_id, OLD.organization_id, NULL);
		ELSE
			PERFORM appdb._end_permissions(OLD.user_id, NULL, OLD.space_id);
		END IF;
	END IF;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION appdb._end_access() IS 'Internal: appdb.end_access()';
CREATE FUNCTION appdb.end_access() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.end_access() IS
	'Trigger function: what a former member was allowed with single files ends';

-- A permission for somebody who is being removed waits until they are, or the
-- removal until it is there to be ended: BEFORE each row.
CREATE FUNCTION appdb._hold_member() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	memberships text;
BEGIN
	-- who is not to know of it does not lock it: policies and foreign keys refuse the rest
	IF NOT appdb.knows_user(NEW.user_id)
	   OR NOT (appdb.has_role(NEW.space_id, 'admin') OR appdb.has_file_permission(NEW.space_id, NEW.file_id, 'manage')) THEN
		RETURN NEW;
	END IF;
	-- what is above first: who deletes that comes down to the memberships
	PERFORM appdb._keep_user(NEW.user_id);
	PERFORM appdb._now('SELECT o.id FROM app_data.organizations AS o, app_data.spaces AS s
		WHERE s.id = $1 AND o.id = s.organization_id FOR KEY SHARE OF o', NEW.space_id, NULL);
	PERFORM appdb._now('SELECT s.id FROM app_data.spaces AS s WHERE s.id = $1 FOR KEY SHARE', NEW.space_id, NULL);
	-- in the order in which appdb._end_membership() locks them
	FOREACH memberships IN ARRAY ARRAY[
		'SELECT m.id FROM app_data.members AS m, app_data.spaces AS s
		 WHERE s.id = $1 AND m.organization_id = s.organization_id AND m.user_id = $2 AND m.deleted_at IS NULL',
		'SELECT m.id FROM app_data.space_members AS m WHERE m.space_id = $1 AND m.user_id = $2 AND m.deleted_at IS NULL']
	LOOP
		IF appdb._now(memberships, NEW.space_id, NEW.user_id) <> appdb._now(memberships || ' FOR SHARE OF m', NEW.space_id, NEW.user_id) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'serialization_failure',
				MESSAGE = 'could not serialize access due to concurrent update';
		END IF;
	END LOOP;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._hold_member() IS 'Internal: appdb.hold_member()';
CREATE FUNCTION appdb.hold_member() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.hold_member() IS
	'Trigger function: whoever is being removed from a space is given no permission that outlives the membership';

CREATE FUNCTION appdb._invitation_rules() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
	me uuid := appdb.current_user_id();
	own text;
	t record;
BEGIN
	IF TG_OP = 'UPDATE' THEN
		IF OLD.status <> 'pending' AND NEW.status <> OLD.status THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('invitation %s is %s already', OLD.id, OLD.status),
				HINT = 'Make another invitation.';
		END IF;
		IF NEW.status = 'accepted' AND OLD.status = 'pending' AND OLD.expires_at <= clock_timestamp() THEN
			RAISE EXCEPTION USING
				ERRCODE = 'object_not_in_prerequisite_state',
				MESSAGE = format('invitation %s has expired', OLD.id),
				DETAIL = format('It could be accepted until %s.', OLD.expires_at),
				HINT = 'Make another invitation.';
		END IF;
		-- its sender is deleted; without one it would be the server's, and hold
		IF NEW.status = 'pending' AND OLD.inviter_id IS NOT NULL AND NEW.inviter_id IS NULL AND pg_trigger_depth() > 1 THEN
			NEW.status := 'canceled';
		END IF;
	END IF;
	IF me IS NULL OR NOT appdb._directly() THEN
		RETURN NEW;
	END IF;

	-- the address that it was sent to may answer, and nothing else
	IF TG_OP = 'UPDATE' AND OLD.status = 'pending' AND NEW.status IN ('accepted', 'rejected') THEN
		SELECT lower(u.email) INTO own FROM app_data.users AS u WHERE u.id = me AND u.email_verified AND u.deleted_at IS NULL;
		IF own IS DISTINCT FROM lower(OLD.email)
		   OR (NEW.email, NEW.role, NEW.organization_id, NEW.space_id, NEW.expires_at, NEW.token_hash, NEW.deleted_at)
			  IS DISTINCT FROM (OLD.email, OLD.role, OLD.organization_id, OLD.space_id, OLD.expires_at, OLD.token_hash, OLD.deleted_at) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to answer invitation %s', OLD.id),
				DETAIL = 'Only the address that it was sent to can, once it is verified.';
		END IF;
		RETURN NEW;
	END IF;

	IF TG_OP = 'UPDATE' AND NEW IS NOT DISTINCT FROM OLD THEN
		RETURN NEW;
	END IF;
	SELECT n.role INTO t FROM appdb._tenant_now(NEW.organization_id, NEW.space_id, me, false) AS n;
	IF appdb._role_rank(t.role) < appdb._role_rank('admin') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('permission denied for invitations to %s %s',
				CASE WHEN NEW.space_id IS NULL THEN 'organization' ELSE 'space' END, coalesce(NEW.organization_id, NEW.space_id)),
			DETAIL = 'This takes the role admin.';
	END IF;
	PERFORM appdb._check_rank(t.role, NEW.role::text, 'grant');
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.organization_id, NEW.space_id) IS DISTINCT FROM (OLD.organization_id, OLD.space_id) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to move invitation %s', OLD.id),
				HINT = 'Make another invitation.';
		END IF;
		PERFORM appdb._check_rank(t.role, OLD.role::text, 'change an invitation with');
	ELSE
		NEW.inviter_id := coalesce(NEW.inviter_id, me);
	END IF;
	IF NEW.inviter_id IS DISTINCT FROM me AND (TG_OP = 'INSERT' OR NEW.inviter_id IS DISTINCT FROM OLD.inviter_id) THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'permission denied to invite as somebody else',
			HINT = 'Leave inviter_id out.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._invitation_rules() IS 'Internal: appdb.invitation_rules()';
CREATE FUNCTION appdb.invitation_rules() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.invitation_rules() IS
	'Trigger function: an invitation is answered once, in time, and by whom it was sent to';

-- Whose a space is is more than any role in it: BEFORE each row.
CREATE FUNCTION appdb._space_rules() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	me uuid := appdb.current_user_id();
	own text;
BEGIN
	IF NOT appdb._directly() THEN
		RETURN NEW;
	END IF;
	IF TG_OP = 'UPDATE' THEN
		IF (NEW.organization_id, NEW.owner_id) IS NOT DISTINCT FROM (OLD.organization_id, OLD.owner_id) THEN
			RETURN NEW;
		END IF;
		SELECT n.role INTO own FROM appdb._tenant_now(NULL, OLD.id, me, false) AS n;
		IF own IS DISTINCT FROM 'owner' THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to give space %s to somebody else', OLD.id),
				DETAIL = 'This takes the role owner.';
		END IF;
	END IF;
	IF NEW.organization_id IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.organization_id IS DISTINCT FROM OLD.organization_id) THEN
		SELECT n.role INTO own FROM appdb._tenant_now(NEW.organization_id, NULL, me, false) AS n;
		IF appdb._role_rank(own) < appdb._role_rank('admin') THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for spaces of organization %s', NEW.organization_id),
				DETAIL = 'This takes the role admin.';
		END IF;
	ELSIF TG_OP = 'INSERT' AND NEW.owner_id IS DISTINCT FROM me THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = 'permission denied to make a personal space of somebody else''s';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._space_rules() IS 'Internal: appdb.space_rules()';
CREATE FUNCTION appdb.space_rules() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.space_rules() IS
	'Trigger function: nobody who is signed in gives a space away but its owners, or makes one for others';

-- An invitation goes to whoever has its address: so nobody says of themselves
-- that an address is theirs.
CREATE FUNCTION appdb._own_address() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF appdb._directly() THEN
		IF lower(NEW.email) IS DISTINCT FROM lower(OLD.email) THEN
			NEW.email_verified := false;
			NEW.email_verified_at := NULL;
		ELSIF NOT OLD.email_verified AND (NEW.email_verified OR NEW.email_verified_at IS NOT NULL) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied to verify the e-mail address of user %s', OLD.id),
				HINT = 'The application does that while nobody is signed in.';
		END IF;
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb._own_address() IS 'Internal: appdb.own_address()';
CREATE FUNCTION appdb.own_address() RETURNS trigger
	LANGUAGE c
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.own_address() IS
	'Trigger function: whoever is signed in can change their e-mail address, which is not verified then, but not verify it';

-- A customer at the payment provider is what bills are paid by and shown to: who
-- could name one would be shown those of others.
CREATE FUNCTION appdb.keep_billing() RETURNS trigger
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF NOT has_function_privilege('appdb.impersonate(uuid, boolean)', 'EXECUTE') THEN
		RAISE EXCEPTION USING
			ERRCODE = 'insufficient_privilege',
			MESSAGE = format('permission denied to change billing_customer_id of %s %s', CASE TG_TABLE_NAME WHEN 'users' THEN 'user' ELSE 'organization' END, OLD.id),
			HINT = 'A role with access level service does that.';
	END IF;
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION appdb.keep_billing() IS
	'Trigger function: the customer at the payment provider is for roles with access level service to write';

-- Rows of a dump pass: they are inserted, and by nobody who is signed in.
CREATE FUNCTION appdb._attach_membership() RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	entity regclass;
BEGIN
	FOREACH entity IN ARRAY ARRAY['app_data.members', 'app_data.space_members']::regclass[] LOOP
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_membership_rank BEFORE INSERT OR UPDATE OR DELETE ON %s '
			'FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.membership_rank()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_membership_rank ON %s IS '
			'''Nobody who is signed in grants a role above their own''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_keep_owner AFTER UPDATE ON %s FOR EACH ROW '
			'WHEN (OLD.role = ''owner'' AND OLD.deleted_at IS NULL AND '
			'(NEW.role <> ''owner'' OR NEW.deleted_at IS NOT NULL OR NEW.%2$I <> OLD.%2$I)) '
			'EXECUTE FUNCTION appdb.keep_owner()', entity,
			CASE entity WHEN 'app_data.members'::regclass THEN 'organization_id' ELSE 'space_id' END);
		EXECUTE format('COMMENT ON TRIGGER appdb_keep_owner ON %s IS ''Where there are members there is an owner''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_keep_owner_delete AFTER DELETE ON %s FOR EACH ROW '
			'WHEN (OLD.role = ''owner'' AND OLD.deleted_at IS NULL) '
			'EXECUTE FUNCTION appdb.keep_owner()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_keep_owner_delete ON %s IS ''Where there are members there is an owner''', entity);
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_end_access AFTER UPDATE OF deleted_at ON %s FOR EACH ROW '
			'WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION appdb.end_access()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_end_access ON %s IS ''Permissions for single files end with the membership''', entity);
	END LOOP;
	IF to_regclass('app_data.invitations') IS NOT NULL THEN
		CREATE OR REPLACE TRIGGER appdb_invitation_rules
			BEFORE INSERT OR UPDATE ON app_data.invitations
			FOR EACH ROW EXECUTE FUNCTION appdb.invitation_rules();
		COMMENT ON TRIGGER appdb_invitation_rules ON app_data.invitations IS
			'An invitation is answered once, in time, and by whom it was sent to';
	END IF;
	IF to_regclass('app_data.file_permissions') IS NOT NULL THEN
		CREATE OR REPLACE TRIGGER appdb_hold_member
			BEFORE INSERT OR UPDATE OF user_id, space_id, deleted_at ON app_data.file_permissions
			FOR EACH ROW WHEN (NEW.user_id IS NOT NULL AND NEW.deleted_at IS NULL AND appdb.current_user_id() IS NOT NULL)
			EXECUTE FUNCTION appdb.hold_member();
		COMMENT ON TRIGGER appdb_hold_member ON app_data.file_permissions IS
			'Permissions for single files end with the membership, also those that are given while it ends';
	END IF;
	CREATE OR REPLACE TRIGGER appdb_space_rules
		BEFORE INSERT OR UPDATE ON app_data.spaces
		FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.space_rules();
	COMMENT ON TRIGGER appdb_space_rules ON app_data.spaces IS
		'Nobody who is signed in gives a space away but its owners';
	-- before appdb_email_verified, which keeps the two columns in step
	CREATE OR REPLACE TRIGGER appdb_email_own
		BEFORE UPDATE ON app_data.users
		FOR EACH ROW WHEN (appdb.current_user_id() IS NOT NULL) EXECUTE FUNCTION appdb.own_address();
	COMMENT ON TRIGGER appdb_email_own ON app_data.users IS
		'Nobody who is signed in verifies an e-mail address';
	CREATE OR REPLACE TRIGGER appdb_user_deleted
		BEFORE UPDATE OF deleted_at ON app_data.users
		FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION appdb.user_deleted();
	COMMENT ON TRIGGER appdb_user_deleted ON app_data.users IS
		'What a user owns is locked before their memberships';
	FOREACH entity IN ARRAY ARRAY['app_data.users', 'app_data.organizations']::regclass[] LOOP
		EXECUTE format(
			'CREATE OR REPLACE TRIGGER appdb_billing BEFORE UPDATE ON %s FOR EACH ROW '
			'WHEN (OLD.billing_customer_id IS DISTINCT FROM NEW.billing_customer_id) EXECUTE FUNCTION appdb.keep_billing()', entity);
		EXECUTE format('COMMENT ON TRIGGER appdb_billing ON %s IS ''The customer at the payment provider is the server''''s to write''', entity);
	END LOOP;
END
$$;
COMMENT ON FUNCTION appdb._attach_membership() IS 'Internal: makes the triggers; appdb.attach_domains() calls it';

-- == who may ================================================================

-- What roles with access level "app" may execute of this file.
CREATE FUNCTION appdb._app_functions() RETURNS pg_catalog.regprocedure[]
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT ARRAY[
		'appdb.create_organization(text, text, text, jsonb)',
		'appdb.create_space(text, uuid, text, text, jsonb)',
		'appdb.invite(text, text, uuid, uuid, interval)',
		'appdb.accept_invitation(text)',
		'appdb.accept_invitation(uuid)',
		'appdb.decline_invitation(text)',
		'appdb.decline_invitation(uuid)',
		'appdb.revoke_invitation(uuid)',
		'appdb.change_role(uuid, text, uuid, uuid)',
		'appdb.remove_member(uuid, uuid, uuid)',
		'appdb.leave(uuid, uuid)',
		'appdb.transfer_ownership(uuid, uuid, uuid)'
	]::regprocedure[]
$$;
COMMENT ON FUNCTION appdb._app_functions() IS 'Internal: the functions for memberships that roles of applications may execute';

DO $$
DECLARE
	f regprocedure;
BEGIN
	-- once: in an upgrade it would make what has been granted since part of the initial privileges, which dumps leave out
	FOR f IN
		SELECT x FROM unnest(appdb._app_functions()) AS x
		WHERE NOT EXISTS (SELECT FROM pg_init_privs p WHERE p.classoid = 'pg_proc'::regclass AND p.objoid = x AND p.privtype = 'e')
	LOOP
		EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
	END LOOP;
END
$$;
