-- Memberships and invitations: the functions, as a role that may execute them
-- and nothing else, and the same rules for statements on the live views.
BEGIN;
SELECT plan(238);

CREATE ROLE regress_app;
GRANT USAGE ON SCHEMA appdb TO regress_app;
-- for statements: what is tested here are the rules, not row security
CREATE ROLE regress_dml BYPASSRLS;
GRANT USAGE ON SCHEMA appdb, app_data TO regress_dml;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA appdb TO regress_dml;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA app_data TO regress_dml;

SELECT is((SELECT count(*) FROM unnest(appdb._app_functions()) AS f WHERE has_function_privilege('regress_app', f, 'EXECUTE')), 0::bigint,
	'the public may execute none of them');
SELECT is_empty($$SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'appdb'::regnamespace AND p.prosrc = 'appdb_as_owner'
	AND p.prorettype <> 'trigger'::regtype AND has_function_privilege('regress_app', p.oid, 'EXECUTE')
	AND p.proname IN (SELECT q.proname FROM pg_proc AS q WHERE q.oid = ANY (appdb._app_functions()))$$, 'in no form');
DO $$
DECLARE
	f regprocedure;
BEGIN
	FOREACH f IN ARRAY appdb._app_functions() LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO regress_app', f);
	END LOOP;
END
$$;

INSERT INTO appdb.users (id, name, email, email_verified)
SELECT ('00000000-0000-4000-8000-0000000000' || k || '1')::uuid, n, lower(n) || '@Example.org', n <> 'Una'
FROM (VALUES ('a', 'Ann'), ('b', 'Ben'), ('c', 'Cem'), ('d', 'Dee'), ('e', 'Eva'), ('f', 'Una')) AS v (k, n);

CREATE TABLE public.kept (name text PRIMARY KEY, value text);
CREATE FUNCTION public.kept(name text) RETURNS text LANGUAGE sql STABLE AS 'SELECT k.value FROM public.kept AS k WHERE k.name = $1';
GRANT SELECT ON public.kept TO regress_app, regress_dml;

CREATE FUNCTION public.id_of(who text) RETURNS uuid LANGUAGE sql STABLE AS
	$$SELECT u.id FROM app_data.users AS u WHERE u.name = who$$;

-- A statement of somebody's, in which @x@ is the id of a user, or what was kept.
CREATE FUNCTION public.act(who text, statement text, as_role text DEFAULT 'regress_app') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	r record;
	result text;
BEGIN
	FOR r IN SELECT u.name, u.id::text AS value FROM app_data.users AS u UNION ALL SELECT k.name, k.value FROM public.kept AS k LOOP
		statement := replace(statement, '@' || r.name || '@', quote_literal(r.value));
	END LOOP;
	PERFORM appdb.impersonate(public.id_of(who));
	EXECUTE format('SET LOCAL ROLE %I', as_role);
	IF statement ~* '^(SELECT|WITH)|RETURNING' THEN
		EXECUTE statement INTO result;
	ELSE
		EXECUTE statement;
		GET DIAGNOSTICS result = ROW_COUNT;
	END IF;
	RESET ROLE;
	PERFORM appdb.impersonate(NULL);
	RETURN result;
END
$$;
CREATE FUNCTION public.dml(who text, statement text) RETURNS text LANGUAGE sql AS $$SELECT public.act(who, statement, 'regress_dml')$$;
CREATE FUNCTION public.keep(name text, value text) RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.kept VALUES (name, value) ON CONFLICT (name) DO UPDATE SET value = excluded.value$$;

CREATE FUNCTION public.roles(id uuid) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT string_agg(u.name || ' ' || m.role, ', ' ORDER BY u.name)
	FROM (SELECT o.organization_id, o.user_id, o.role::text FROM appdb.members AS o
		  UNION ALL SELECT s.space_id, s.user_id, s.role::text FROM appdb.space_members AS s) AS m (id, user_id, role)
	JOIN appdb.users AS u ON u.id = m.user_id WHERE m.id = $1
$$;

-- == nobody =================================================================

-- by whatever plan
SET LOCAL enable_nestloop = off;
SELECT throws_ok(format('SELECT public.act(NULL, %L)', s), '28000', 'nobody is signed in', s)
FROM unnest(ARRAY[
	$$SELECT appdb.create_organization('Acme', 'acme')$$,
	$$SELECT appdb.create_space('Space')$$,
	$$SELECT appdb.invite('x@example.org', organization_id => @Ann@)$$,
	$$SELECT appdb.accept_invitation('x')$$,
	$$SELECT appdb.accept_invitation(@Ann@::uuid)$$,
	$$SELECT appdb.decline_invitation('x')$$,
	$$SELECT appdb.decline_invitation(@Ann@::uuid)$$,
	$$SELECT appdb.revoke_invitation(@Ann@)$$,
	$$SELECT appdb.change_role(@Ann@, 'owner', organization_id => @Ann@)$$,
	$$SELECT appdb.remove_member(@Ann@, organization_id => @Ann@)$$,
	$$SELECT appdb.leave(organization_id => @Ann@)$$,
	$$SELECT appdb.transfer_ownership(@Ann@, organization_id => @Ann@)$$]) AS s;
RESET enable_nestloop;

-- == organizations and spaces ===============================================

SELECT lives_ok($$SELECT public.keep('acme', public.act('Ann', $q$SELECT appdb.create_organization('Acme', 'acme', metadata => '{"a": 1}')$q$))$$, 'an organization');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ann owner', 'whoever makes it is its owner');
SELECT is((SELECT o.name || o.slug || (o.metadata ->> 'a') FROM appdb.organizations AS o), 'Acmeacme1', 'and it has what was said');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.create_organization('Other', 'ACME')$q$)$$, '23505', NULL, 'a slug is taken once');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.create_organization('', 'x')$q$)$$, '23514', NULL, 'the table''s rules hold');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.create_organization(NULL, 'x')$q$)$$, '23502', NULL, 'a name is needed');
SELECT lives_ok($$SELECT public.keep('globex', public.act('Eva', $q$SELECT appdb.create_organization('Globex', 'globex')$q$))$$, 'another''s');

SELECT lives_ok($$SELECT public.keep('own', public.act('Ben', $q$SELECT appdb.create_space('Own', slug => 'own')$q$))$$, 'a personal space');
SELECT is((SELECT s.owner_id FROM appdb.spaces AS s WHERE s.id = public.kept('own')::uuid), public.id_of('Ben'), 'is its maker''s');
SELECT is(public.roles(public.kept('own')::uuid), 'Ben owner', 'who is its owner');
SELECT lives_ok($$SELECT public.keep('team', public.act('Ann', $q$SELECT appdb.create_space('Team', @acme@, visibility => 'organization')$q$))$$, 'a space of an organization');
SELECT is((SELECT s.visibility::text FROM appdb.spaces AS s WHERE s.organization_id = public.kept('acme')::uuid AND s.owner_id IS NULL), 'organization', 'belongs to that');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.create_space('Mine', @acme@)$q$)$$, 'P0002', NULL, 'not of one that is somebody else''s');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.create_space('Mine', '00000000-0000-4000-8000-00000000dead')$q$)$$, 'P0002',
	'organization 00000000-0000-4000-8000-00000000dead does not exist', 'which reads as if it were not there');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.create_space('Mine', @acme@, visibility => 'secret')$q$)$$, '22023', 'unknown visibility "secret"', 'no such visibility');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.change_role(NULL, 'member', @acme@)$q$)$$, '22004', 'user_id must not be null', 'nobody''s role');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.remove_member(NULL, @acme@)$q$)$$, '22004', 'user_id must not be null', 'nobody is removed');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.transfer_ownership(NULL, @acme@)$q$)$$, '22004', 'user_id must not be null', 'nothing goes to nobody');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.revoke_invitation(NULL)$q$)$$, '22004', 'invitation_id must not be null', 'no invitation');

-- == invitations ============================================================

SELECT lives_ok($$SELECT public.keep('ben', public.act('Ann', $q$SELECT i.token FROM appdb.invite('BEN@example.org', 'admin', @acme@) AS i$q$))$$, 'an invitation');
SELECT ok((SELECT i.token_hash = sha256(convert_to(public.kept('ben'), 'UTF8')) AND i.status = 'pending' AND i.role = 'admin'
	AND i.inviter_id = public.id_of('Ann') AND i.expires_at BETWEEN now() + '6 days 23 hours' AND now() + '7 days 1 hour' FROM appdb.invitations AS i),
	'only the hash of its token is kept');
SELECT throws_ok($$SELECT public.act('Eva', $q$SELECT appdb.invite('x@example.org', organization_id => @acme@)$q$)$$, 'P0002', NULL, 'strangers cannot invite');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org', 'boss', @acme@)$q$)$$, '22023', '"boss" is no role in an organization', 'a role is one of those');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org', 'editor', @acme@)$q$)$$, '22023', NULL, 'that there are there');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org', 'member', space_id => @team@)$q$)$$, '22023', '"member" is no role in a space', 'or there');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org')$q$)$$, '22023', NULL, 'to what?');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org', 'admin', @acme@, @team@)$q$)$$, '22023', NULL, 'to one thing');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('x@example.org', organization_id => @acme@, lifetime => '0')$q$)$$, '22023', NULL, 'for some time');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('nonsense', organization_id => @acme@)$q$)$$, '23514', NULL, 'an address');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('ann@example.ORG', organization_id => @acme@)$q$)$$, '55000', NULL, 'who is there already is not invited');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite(E' \tann@example.org \r\n', organization_id => @acme@)$q$)$$, '55000', 'ann@example.org is a member of organization ' || public.kept('acme') || ' already', 'nor with blanks around the address');
SAVEPOINT blanks;
UPDATE appdb.users SET email = 'ann@example.org ' WHERE name = 'Ann';
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.invite('Ann@example.org ', organization_id => @acme@)$q$)$$, '55000', NULL, 'unless somebody''s is stored with them');
ROLLBACK TO blanks;

SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.accept_invitation(@ben@)$q$)$$, '42501', 'the invitation was sent to another address', 'somebody else''s token');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.accept_invitation('nonsense')$q$)$$, 'P0002', 'there is no such invitation', 'an unknown token');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.accept_invitation(NULL::text)$q$)$$, 'P0002', 'there is no such invitation', 'no token');
SELECT is(public.act('Ben', $$SELECT (a.organization_id = @acme@)::text || coalesce(a.space_id::text, ' - ') || a.role FROM appdb.accept_invitation(@ben@) AS a$$), 'true - admin', 'accepted, whatever the address''s case');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ann owner, Ben admin', 'makes a member');
SELECT is((SELECT i.status::text FROM appdb.invitations AS i), 'accepted', 'and is done');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.accept_invitation(@ben@)$q$)$$, '55000', 'the invitation has been accepted already', 'once');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.revoke_invitation((SELECT i.id FROM appdb.invitations AS i))$q$, 'regress_app')$$, '42501', NULL, 'the role reads nothing');

-- by id
CREATE FUNCTION public.last_invitation() RETURNS void LANGUAGE sql AS
	$$SELECT public.keep('i', (SELECT i.id::text FROM app_data.invitations AS i ORDER BY i.id DESC LIMIT 1))$$;
SELECT public.keep('una', public.act('Ben', $$SELECT i.token FROM appdb.invite('una@example.org', organization_id => @acme@) AS i$$));
SELECT public.last_invitation();
SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.accept_invitation(@i@::uuid)$q$)$$, 'P0002', 'there is no such invitation', 'without a token others'' invitations are not there');
SELECT throws_ok($$SELECT public.act('Una', $q$SELECT appdb.accept_invitation(@i@::uuid)$q$)$$, '42501', 'your e-mail address is not verified', 'the address must be verified');
SELECT throws_ok($$SELECT public.act('Una', $q$SELECT appdb.decline_invitation(@i@::uuid)$q$)$$, '42501', NULL, 'to decline too');
SELECT is(public.act('Una', 'SELECT role FROM appdb.accept_invitation(@una@)'), 'member', 'or there is a token; the least role where none was said');
SELECT public.act('Ben', $$SELECT appdb.invite('cem@example.org', organization_id => @acme@)$$);
SELECT public.last_invitation();
SELECT is(public.act('Cem', 'SELECT role FROM appdb.accept_invitation(@i@::uuid)'), 'member', 'a verified address needs no token');

-- ranks
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.invite('x@example.org', 'owner', @acme@)$q$)$$, '42501', 'permission denied to grant role owner', 'nobody invites to more than they are');
SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.invite('x@example.org', 'member', @acme@)$q$)$$, '42501', NULL, 'members do not invite');
SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.create_space('x', @acme@)$q$)$$, '42501', NULL, 'nor make spaces of it');

-- decline, revoke, repeat, expire
SELECT public.keep('dee', public.act('Ann', $$SELECT i.token FROM appdb.invite('dee@example.org', 'owner', @acme@) AS i$$));
SELECT public.last_invitation();
SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.decline_invitation(@dee@)$q$)$$, '42501', NULL, 'others cannot decline');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.revoke_invitation(@i@)$q$)$$, '42501', NULL, 'an admin does not take back an invitation of an owner');
SELECT throws_ok($$SELECT public.act('Cem', $q$SELECT appdb.revoke_invitation(@i@)$q$)$$, '42501', NULL, 'nor does a member');
SELECT throws_ok($$SELECT public.act('Eva', $q$SELECT appdb.revoke_invitation(@i@)$q$)$$, 'P0002', NULL, 'a stranger does not know of it');
SELECT throws_ok($$SELECT public.act('Eva', $q$SELECT appdb.revoke_invitation(@Ann@)$q$)$$, 'P0002', NULL, 'as if it were not there');
SELECT lives_ok($$SELECT public.act('Dee', 'SELECT appdb.decline_invitation(@dee@)')$$, 'declined');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '55000', 'the invitation has been declined already', 'is declined');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.revoke_invitation(@i@)$q$)$$, '55000', NULL, 'and is not taken back any more');
SELECT public.keep('dee', public.act('Ann', $$SELECT i.token FROM appdb.invite('dee@example.org', 'owner', @acme@) AS i$$));
SELECT public.last_invitation();
SELECT lives_ok($$SELECT public.act('Ann', 'SELECT appdb.revoke_invitation(@i@)')$$, 'taken back');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '55000', 'the invitation has been taken back', 'is taken back');
SELECT public.keep('dee1', public.act('Ann', $$SELECT i.token FROM appdb.invite('dee@example.org', 'owner', @acme@) AS i$$));
SELECT public.keep('dee2', public.act('Ann', $$SELECT i.token FROM appdb.invite(' DEE@example.org ', 'member', @acme@) AS i$$));
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee1@)$q$)$$, '55000', NULL, 'the last invitation holds');
UPDATE app_data.invitations SET expires_at = now() - interval '1 second' WHERE status = 'pending';
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee2@)$q$)$$, '55000', 'the invitation has expired', 'until it expires');
SELECT lives_ok($$SELECT public.act('Dee', 'SELECT appdb.decline_invitation(@dee2@)')$$, 'and can be declined still');

-- an invitation of somebody who could not send it any more
SELECT public.keep('dee', public.act('Ben', $$SELECT i.token FROM appdb.invite('dee@example.org', 'admin', @acme@) AS i$$));
SELECT public.act('Ann', $$SELECT appdb.change_role(@Ben@, 'member', @acme@)$$);
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '55000', 'the invitation no longer holds', 'does not hold');
SELECT public.act('Ann', $$SELECT appdb.change_role(@Ben@, 'admin', @acme@)$$);
-- nor of somebody who is deleted, whether it held until then or not
SAVEPOINT deleted;
DELETE FROM appdb.users WHERE id = public.id_of('Ben');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '55000', 'the invitation has been taken back', 'nor when its sender is deleted');
ROLLBACK TO deleted;
SET LOCAL appdb.allow_drop = on;
INSERT INTO app_data.users (name, email) VALUES ('Fay', 'fay@example.org');
UPDATE app_data.invitations SET inviter_id = public.id_of('Fay') WHERE token_hash = sha256(convert_to(public.kept('dee'), 'UTF8'));
DELETE FROM app_data.users WHERE id = public.id_of('Fay');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '55000', 'the invitation has been taken back', 'for good too');
ROLLBACK TO deleted;
UPDATE app_data.invitations SET inviter_id = NULL WHERE token_hash = sha256(convert_to(public.kept('dee'), 'UTF8'));
SELECT is(public.act('Dee', 'SELECT role FROM appdb.accept_invitation(@dee@)'), 'admin', 'one that an administrator makes the server''s holds');
ROLLBACK TO deleted;

-- seats
INSERT INTO appdb.subscriptions (organization_id, plan, status, seats) VALUES (public.kept('acme')::uuid, 'team', 'active', 4);
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '23514', format('organization %s has no seat left', public.kept('acme')), 'no seat');
SELECT is((SELECT count(*) FROM appdb.invitations AS i WHERE i.status = 'pending'), 1::bigint, 'the invitation waits');
INSERT INTO appdb.subscriptions (organization_id, plan, status, seats) VALUES (public.kept('acme')::uuid, 'old', 'canceled', 40);
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.accept_invitation(@dee@)$q$)$$, '23514', NULL, 'a canceled subscription gives none');
UPDATE appdb.subscriptions SET seats = 5 WHERE plan = 'team';
SELECT is(public.act('Dee', 'SELECT role FROM appdb.accept_invitation(@dee@)'), 'admin', 'a seat');
UPDATE appdb.subscriptions SET seats = NULL WHERE plan = 'team';

-- who is a member already gets the higher role
INSERT INTO app_data.invitations (organization_id, email, role, expires_at, inviter_id, token_hash) VALUES
	(public.kept('acme')::uuid, 'cem@example.org', 'admin', now() + interval '1 day', public.id_of('Ann'), sha256('raise')),
	(public.kept('acme')::uuid, 'cem@example.org', 'member', now() + interval '1 day', public.id_of('Ann'), sha256('lower'));
SELECT is(public.act('Cem', $$SELECT role FROM appdb.accept_invitation('raise')$$), 'admin', 'a member gets the higher role');
SELECT is(public.act('Cem', $$SELECT role FROM appdb.accept_invitation('lower')$$), 'admin', 'not the lower');
SELECT public.act('Ann', $$SELECT appdb.change_role(@Cem@, 'member', @acme@)$$);

-- to spaces
SELECT public.keep('eva', public.act('Ann', $$SELECT i.token FROM appdb.invite('eva@example.org', space_id => @team@) AS i$$));
SELECT is(public.act('Eva', $$SELECT (a.space_id = @team@)::text || a.role FROM appdb.accept_invitation(@eva@) AS a$$), 'trueviewer', 'to a space');
SELECT is(public.roles(public.kept('team')::uuid), 'Ann owner, Eva viewer', 'a guest');
SELECT throws_ok($$SELECT public.act('Eva', $q$SELECT appdb.invite('x@example.org', space_id => @team@)$q$)$$, '42501', NULL, 'guests do not invite');
SELECT lives_ok($$SELECT public.act('Ben', $q$SELECT appdb.invite('x@example.org', 'admin', space_id => @team@)$q$)$$, 'the organization''s admins do');
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.invite('x@example.org', 'owner', space_id => @team@)$q$)$$, '42501', NULL, 'up to their role');

-- == members ================================================================

SELECT throws_ok(format('SELECT public.act(%L, %L)', v.who, v.statement), v.code, NULL, v.who || ': ' || v.statement)
FROM (VALUES
	('Cem', $$SELECT appdb.change_role(@Una@, 'member', @acme@)$$, '42501'),
	('Cem', $$SELECT appdb.change_role(@Cem@, 'admin', @acme@)$$, '42501'),
	('Cem', $$SELECT appdb.change_role(@Cem@, 'owner', @acme@)$$, '42501'),
	('Ben', $$SELECT appdb.change_role(@Cem@, 'owner', @acme@)$$, '42501'),
	('Ben', $$SELECT appdb.change_role(@Ann@, 'member', @acme@)$$, '42501'),
	('Ben', $$SELECT appdb.change_role(@Eva@, 'member', @acme@)$$, 'P0002'),
	('Ben', $$SELECT appdb.change_role(@Cem@, 'viewer', @acme@)$$, '22023'),
	('Ben', $$SELECT appdb.change_role(@Cem@, NULL, @acme@)$$, '22023'),
	('Ben', $$SELECT appdb.change_role(NULL, 'member', @acme@)$$, '22004'),
	('Ben', $$SELECT appdb.change_role(@Cem@, 'member')$$, '22023'),
	('Eva', $$SELECT appdb.change_role(@Cem@, 'member', @acme@)$$, 'P0002'),
	('Ann', $$SELECT appdb.change_role(@Ann@, 'admin', @acme@)$$, '23514'),
	('Ben', $$SELECT appdb.change_role(@Ben@, 'viewer', space_id => @own@)$$, '23514'),
	('Ben', $$SELECT appdb.remove_member(@Ann@, @acme@)$$, '42501'),
	('Cem', $$SELECT appdb.remove_member(@Una@, @acme@)$$, '42501'),
	('Ben', $$SELECT appdb.remove_member(@Eva@, @acme@)$$, 'P0002'),
	('Eva', $$SELECT appdb.remove_member(@Cem@, @acme@)$$, 'P0002'),
	('Ann', $$SELECT appdb.remove_member(@Ann@, @acme@)$$, '23514'),
	('Ann', $$SELECT appdb.leave(@acme@)$$, '23514'),
	('Eva', $$SELECT appdb.leave(@globex@)$$, '23514'),
	('Eva', $$SELECT appdb.leave(@acme@)$$, 'P0002'),
	('Eva', $$SELECT appdb.leave()$$, '22023'),
	('Ben', $$SELECT appdb.leave(space_id => @own@)$$, '23514'),
	('Ben', $$SELECT appdb.transfer_ownership(@Ben@, @acme@)$$, '42501'),
	('Ann', $$SELECT appdb.transfer_ownership(@Eva@, @acme@)$$, 'P0002'),
	('Eva', $$SELECT appdb.transfer_ownership(@Ben@, @acme@)$$, 'P0002')) AS v (who, statement, code);

SELECT lives_ok($$SELECT public.act('Dee', $q$SELECT appdb.change_role(@Dee@, 'member', @acme@)$q$)$$, 'anybody steps down');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.change_role(@Dee@, 'admin', @acme@)$q$)$$, '42501', NULL, 'and not up again');
SELECT lives_ok($$SELECT public.act('Ann', $q$SELECT appdb.transfer_ownership(@Ben@, @acme@)$q$)$$, 'ownership goes over');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ann admin, Ben owner, Cem member, Dee member, Una member', 'the old owner is an admin');
SELECT throws_ok($$SELECT public.act('Ann', $q$SELECT appdb.transfer_ownership(@Ann@, @acme@)$q$)$$, '42501', NULL, 'and cannot take it back');
SELECT lives_ok($$SELECT public.act('Ben', $q$SELECT appdb.change_role(@Cem@, 'owner', @acme@)$q$)$$, 'an owner makes another');
SELECT lives_ok($$SELECT public.act('Ben', $q$SELECT appdb.change_role(@Ben@, 'admin', @acme@)$q$)$$, 'and steps down');
SELECT lives_ok($$SELECT public.act('Ann', $q$SELECT appdb.remove_member(@Una@, @acme@)$q$)$$, 'a member is removed');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ann admin, Ben admin, Cem owner, Dee member', 'and is none any more');

-- leaving an organization is leaving its spaces
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (public.kept('team')::uuid, public.id_of('Dee'), 'editor');
INSERT INTO appdb.invitations (space_id, email, expires_at) VALUES (public.kept('team')::uuid, 'dee@example.org', now() + interval '1 day');
SELECT lives_ok($$SELECT public.act('Ann', 'SELECT appdb.leave(@acme@)')$$, 'the owner of a space leaves its organization');
SELECT is(public.roles(public.kept('team')::uuid), 'Cem owner, Dee editor, Eva viewer', 'the organization''s owner has the space');
SELECT lives_ok($$SELECT public.act('Cem', 'SELECT appdb.remove_member(@Dee@, @acme@)')$$, 'a member is removed');
SELECT is(public.roles(public.kept('team')::uuid), 'Cem owner, Eva viewer', 'from the spaces too');
SELECT is((SELECT count(*) FROM appdb.invitations AS i WHERE i.email = 'dee@example.org' AND i.status = 'pending'), 0::bigint, 'and has no invitation to come back by');
SELECT lives_ok($$SELECT public.act('Eva', 'SELECT appdb.leave(space_id => @team@)')$$, 'a guest leaves a space');
SELECT throws_ok($$SELECT public.act('Eva', $q$SELECT appdb.leave(space_id => @team@)$q$)$$, 'P0002', NULL, 'once');

-- a personal space
SELECT public.keep('t', public.act('Ben', $$SELECT i.token FROM appdb.invite('dee@example.org', 'owner', space_id => @own@) AS i$$));
SELECT public.act('Dee', 'SELECT appdb.accept_invitation(@t@)');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.remove_member(@Ben@, space_id => @own@)$q$)$$, '23514', NULL, 'nobody is removed from their own space');
SELECT throws_ok($$SELECT public.act('Dee', $q$SELECT appdb.change_role(@Ben@, 'viewer', space_id => @own@)$q$)$$, '23514', NULL, 'nor made less');
SELECT lives_ok($$SELECT public.act('Ben', $q$SELECT appdb.transfer_ownership(@Dee@, space_id => @own@)$q$)$$, 'but can give it away');
SELECT is((SELECT s.owner_id FROM appdb.spaces AS s WHERE s.id = public.kept('own')::uuid), public.id_of('Dee'), 'it is the other''s then');
SELECT is(public.roles(public.kept('own')::uuid), 'Ben admin, Dee owner', 'and the one who gave it an admin');
SELECT lives_ok($$SELECT public.act('Ben', 'SELECT appdb.leave(space_id => @own@)')$$, 'who may leave');

-- == statements on the views, by who is signed in ===========================

SELECT throws_ok(format('SELECT public.dml(%L, %L)', v.who, v.statement), v.code, NULL, v.who || ': ' || v.statement)
FROM (VALUES
	('Eva', $$INSERT INTO appdb.members (organization_id, user_id, role) VALUES (@acme@, @Eva@, 'owner')$$, '42501'),
	('Eva', $$INSERT INTO appdb.members (organization_id, user_id) VALUES (@acme@, @Eva@)$$, '42501'),
	('Ben', $$INSERT INTO appdb.members (organization_id, user_id, role) VALUES (@acme@, @Eva@, 'owner')$$, '42501'),
	('Ben', $$UPDATE appdb.members SET role = 'owner' WHERE organization_id = @acme@ AND user_id = @Ben@$$, '42501'),
	('Ben', $$UPDATE appdb.members SET role = 'owner' WHERE organization_id = @acme@$$, '42501'),
	('Ben', $$UPDATE appdb.members SET role = 'member' WHERE organization_id = @acme@ AND user_id = @Cem@$$, '42501'),
	('Ben', $$DELETE FROM appdb.members WHERE organization_id = @acme@ AND user_id = @Cem@$$, '42501'),
	('Ben', $$DELETE FROM app_data.members WHERE organization_id = @acme@ AND user_id = @Cem@$$, '42501'),
	('Ben', $$UPDATE appdb.members SET user_id = @Eva@ WHERE organization_id = @acme@ AND user_id = @Cem@$$, '42501'),
	('Eva', $$UPDATE appdb.members SET organization_id = @acme@ WHERE user_id = @Eva@$$, '42501'),
	('Ann', $$UPDATE app_data.members SET deleted_at = NULL WHERE organization_id = @acme@ AND user_id = @Ann@$$, '42501'),
	-- what is deleted comes back with what it says
	('Ben', $$INSERT INTO app_data.members (organization_id, user_id, role, deleted_at) VALUES (@acme@, @Dee@, 'owner', now())$$, '42501'),
	('Ben', $$UPDATE app_data.members SET role = 'owner' WHERE organization_id = @acme@ AND user_id = @Ann@ AND deleted_at IS NOT NULL$$, '42501'),
	('Ben', $$UPDATE app_data.members SET user_id = @Eva@ WHERE organization_id = @acme@ AND user_id = @Ann@ AND deleted_at IS NOT NULL$$, '42501'),
	('Ben', $$UPDATE app_data.members SET role = 'owner', deleted_at = now() WHERE organization_id = @acme@ AND user_id = @Ben@$$, '42501'),
	('Cem', $$UPDATE appdb.members SET role = 'admin' WHERE organization_id = @acme@ AND user_id = @Cem@$$, '23514'),
	('Cem', $$DELETE FROM appdb.members WHERE organization_id = @acme@ AND user_id = @Cem@$$, '23514'),
	('Cem', $$DELETE FROM app_data.members WHERE organization_id = @acme@ AND user_id = @Cem@$$, '23514'),
	('Eva', $$DELETE FROM appdb.members WHERE organization_id = @globex@$$, '23514'),
	('Eva', $$INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (@team@, @Eva@, 'viewer')$$, '42501'),
	('Ben', $$INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (@team@, @Ben@, 'owner')$$, '42501'),
	('Cem', $$DELETE FROM appdb.space_members WHERE space_id = @team@$$, '23514'),
	('Ben', $$INSERT INTO appdb.invitations (organization_id, email, role, expires_at) VALUES (@acme@, 'x@example.org', 'owner', now() + interval '1 day')$$, '42501'),
	('Eva', $$INSERT INTO appdb.invitations (organization_id, email, expires_at) VALUES (@acme@, 'eva@example.org', now() + interval '1 day')$$, '42501'),
	('Ben', $$INSERT INTO appdb.invitations (organization_id, email, expires_at, inviter_id) VALUES (@acme@, 'x@example.org', now() + interval '1 day', @Cem@)$$, '42501')
	) AS v (who, statement, code);
SELECT is(public.dml('Ben', $$INSERT INTO appdb.members (organization_id, user_id, role) VALUES (@acme@, @Dee@, 'admin') RETURNING role$$), 'admin', 'an admin adds an admin');
SELECT is(public.dml('Ben', $$UPDATE appdb.members SET role = 'member' WHERE organization_id = @acme@ AND user_id = @Dee@$$), '1', 'and changes them');
SELECT is(public.dml('Dee', $$DELETE FROM appdb.members WHERE organization_id = @acme@ AND user_id = @Dee@ RETURNING role$$), 'member', 'who leaves');
SELECT is(public.dml('Ben', $$INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (@team@, @Ben@, 'admin') RETURNING role$$), 'admin', 'an organization''s admin joins its space');
UPDATE appdb.subscriptions SET seats = 2 WHERE plan = 'team';
SELECT throws_ok($$SELECT public.dml('Ben', $q$INSERT INTO appdb.members (organization_id, user_id) VALUES (@acme@, @Dee@)$q$)$$, '23514', NULL, 'seats are not exceeded by statements');
UPDATE appdb.subscriptions SET seats = NULL WHERE plan = 'team';

-- invitations
SELECT public.keep('i', public.dml('Ben', $$INSERT INTO appdb.invitations (organization_id, email, role, expires_at) VALUES (@acme@, 'eva@example.org', 'admin', now() + interval '1 day') RETURNING id$$));
SELECT is((SELECT i.inviter_id FROM appdb.invitations AS i WHERE i.id = public.kept('i')::uuid), public.id_of('Ben'), 'whoever invites is the inviter');
SELECT throws_ok(format('SELECT public.dml(%L, %L)', v.who, v.statement), v.code, NULL, v.who || ': ' || v.statement)
FROM (VALUES
	('Dee', $$UPDATE appdb.invitations SET status = 'accepted' WHERE id = @i@$$, '42501'),
	('Dee', $$UPDATE appdb.invitations SET email = 'dee@example.org' WHERE id = @i@$$, '42501'),
	('Eva', $$UPDATE appdb.invitations SET role = 'owner' WHERE id = @i@$$, '42501'),
	('Eva', $$UPDATE appdb.invitations SET status = 'accepted', role = 'owner' WHERE id = @i@$$, '42501'),
	('Ben', $$UPDATE appdb.invitations SET role = 'owner' WHERE id = @i@$$, '42501'),
	('Ben', $$UPDATE appdb.invitations SET organization_id = @globex@ WHERE id = @i@$$, '42501'),
	('Ben', $$UPDATE appdb.invitations SET inviter_id = @Cem@ WHERE id = @i@$$, '42501')) AS v (who, statement, code);
SELECT is(public.dml('Ben', $$UPDATE appdb.invitations SET expires_at = now() + interval '2 days' WHERE id = @i@$$), '1', 'an admin prolongs it');
SELECT is(public.dml('Eva', $$UPDATE appdb.invitations SET status = 'accepted' WHERE id = @i@$$), '1', 'its address answers');
SELECT throws_ok($$UPDATE appdb.invitations SET status = 'pending' WHERE id = public.kept('i')::uuid$$, '55000', NULL, 'once, whoever asks');
INSERT INTO appdb.invitations (id, organization_id, email, expires_at) VALUES ('00000000-0000-4000-8000-000000000e01', public.kept('acme')::uuid, 'x@example.org', now() - interval '1 day');
SELECT throws_ok($$UPDATE appdb.invitations SET status = 'accepted' WHERE id = '00000000-0000-4000-8000-000000000e01'$$, '55000', NULL, 'in time, whoever asks');
SELECT lives_ok($$UPDATE appdb.invitations SET status = 'canceled' WHERE id = '00000000-0000-4000-8000-000000000e01'$$, 'an old one is tidied away');

-- spaces
SELECT throws_ok(format('SELECT public.dml(%L, %L)', v.who, v.statement), v.code, NULL, v.who || ': ' || v.statement)
FROM (VALUES
	('Ben', $$UPDATE appdb.spaces SET owner_id = @Ben@, organization_id = NULL, visibility = 'private' WHERE id = @team@$$, '42501'),
	('Eva', $$UPDATE appdb.spaces SET owner_id = @Eva@ WHERE id = @own@$$, '42501'),
	('Dee', $$UPDATE appdb.spaces SET owner_id = NULL, organization_id = @globex@ WHERE id = @own@$$, '42501'),
	('Eva', $$INSERT INTO appdb.spaces (organization_id, name) VALUES (@acme@, 'x')$$, '42501'),
	('Eva', $$INSERT INTO appdb.spaces (owner_id, name) VALUES (@Ben@, 'x')$$, '42501')) AS v (who, statement, code);
SELECT is(public.dml('Ben', $$UPDATE appdb.spaces SET name = 'Team 2' WHERE id = @team@ RETURNING name$$), 'Team 2', 'an admin renames a space');
SELECT is(public.dml('Cem', $$WITH moved AS (UPDATE appdb.spaces SET owner_id = @Cem@, organization_id = NULL, visibility = 'private' WHERE id = @team@ RETURNING owner_id)
	SELECT (owner_id = @Cem@)::text FROM moved$$), 'true', 'its owner takes it out of the organization');
SELECT is(public.dml('Cem', $$UPDATE appdb.spaces SET owner_id = NULL, organization_id = @acme@, visibility = 'organization' WHERE id = @team@ RETURNING name$$), 'Team 2', 'and puts it back');
SELECT is(public.dml('Eva', $$INSERT INTO appdb.spaces (owner_id, name) VALUES (@Eva@, 'Mine') RETURNING name$$), 'Mine', 'one''s own personal space');
SELECT is(public.dml('Eva', $$INSERT INTO appdb.space_members (space_id, user_id, role) SELECT s.id, @Eva@, 'owner' FROM appdb.spaces AS s WHERE s.name = 'Mine' RETURNING role$$), 'owner', 'of which one is the owner');

-- addresses
SELECT throws_ok($$SELECT public.dml('Una', 'UPDATE appdb.users SET email_verified = true WHERE id = @Una@')$$, '42501', NULL, 'nobody verifies their own address');
SELECT throws_ok($$SELECT public.dml('Una', 'UPDATE appdb.users SET email_verified_at = now() WHERE id = @Una@')$$, '42501', NULL, 'in either way');
SELECT is(public.dml('Eva', $$UPDATE appdb.users SET name = 'Eva' WHERE id = @Eva@ RETURNING email_verified$$), 'true', 'other columns are one''s own');
SELECT is(public.dml('Eva', $$UPDATE appdb.users SET email = 'new@example.org' WHERE id = @Eva@ RETURNING email_verified$$), 'false', 'a new address is not verified');
SELECT is(public.dml('Eva', $$UPDATE appdb.users SET email = 'eva@example.org', name = 'Eva' WHERE id = @Eva@ RETURNING email_verified_at$$), NULL, 'nor is the old one then');
UPDATE appdb.users SET email_verified = true WHERE name = 'Eva';

-- who pays
SELECT throws_ok($$SELECT public.dml('Eva', 'UPDATE appdb.users SET billing_customer_id = ''cus_1'' WHERE id = @Eva@')$$, '42501',
	format('permission denied to change billing_customer_id of user %s', public.id_of('Eva')), 'nobody says which customer at the payment provider they are');
SELECT throws_ok($$SELECT public.dml('Cem', 'UPDATE appdb.organizations SET billing_customer_id = ''cus_1'' WHERE id = @acme@')$$, '42501',
	format('permission denied to change billing_customer_id of organization %s', public.kept('acme')), 'nor which their organization is');
GRANT EXECUTE ON FUNCTION appdb.impersonate(uuid, boolean) TO regress_dml;
SELECT is(public.dml('Cem', 'UPDATE appdb.organizations SET billing_customer_id = ''cus_1'' WHERE id = @acme@ RETURNING billing_customer_id'), 'cus_1', 'the server does, for whomever');
REVOKE EXECUTE ON FUNCTION appdb.impersonate(uuid, boolean) FROM regress_dml;

-- == owners, when nobody is signed in =======================================

SELECT is(public.roles(public.kept('acme')::uuid), 'Ben admin, Cem owner', 'one owner');
SELECT throws_ok($$UPDATE appdb.members SET role = 'member' WHERE role = 'owner' AND organization_id = public.kept('acme')::uuid$$, '23514',
	format('organization %s would have no owner', public.kept('acme')), 'the last owner stays one');
SELECT throws_ok($$DELETE FROM appdb.members WHERE role = 'owner' AND organization_id = public.kept('acme')::uuid$$, '23514', NULL, 'and stays');
SELECT throws_ok($$DELETE FROM app_data.members WHERE role = 'owner' AND organization_id = public.kept('acme')::uuid$$, '23514', NULL, 'for good too');
SELECT throws_ok($$UPDATE app_data.members SET organization_id = public.kept('globex')::uuid WHERE role = 'owner' AND organization_id = public.kept('acme')::uuid$$, '23514', NULL, 'and there');
SELECT throws_ok($$DELETE FROM appdb.users WHERE name = 'Cem'$$, '23514', NULL, 'and is not deleted while others are left without');
SELECT lives_ok($$UPDATE appdb.members SET role = CASE role WHEN 'owner' THEN 'admin' ELSE 'owner' END::app_data.organization_role
	WHERE organization_id = public.kept('acme')::uuid$$, 'two change places in one statement');
SELECT throws_ok($$DELETE FROM appdb.users WHERE name = 'Cem'$$, '23514', NULL, 'a space''s only owner is not deleted either');
UPDATE appdb.space_members SET role = 'owner' WHERE user_id = public.id_of('Ben') AND space_id = public.kept('team')::uuid;
SELECT lives_ok($$DELETE FROM appdb.users WHERE name = 'Cem'$$, 'who is none any more can be');
INSERT INTO appdb.space_members (space_id, user_id) VALUES (public.kept('own')::uuid, public.id_of('Eva'));
SELECT lives_ok($$DELETE FROM appdb.users WHERE name = 'Dee'$$, 'a user goes with their personal space');
SELECT is((SELECT count(*) FROM appdb.spaces AS s WHERE s.id = public.kept('own')::uuid), 0::bigint, 'which others were in');
SELECT lives_ok($$DELETE FROM appdb.users WHERE name = 'Eva'$$, 'a user goes who was alone in an organization');
SELECT lives_ok($$SELECT appdb.restore('app_data.users', u.id) FROM app_data.users AS u WHERE u.name = 'Eva'$$, 'and comes back');
SELECT is(public.roles(public.kept('globex')::uuid), 'Eva owner', 'as its owner');
SELECT lives_ok($$DELETE FROM appdb.members WHERE organization_id = public.kept('globex')::uuid$$, 'an administrator empties an organization');
SELECT lives_ok($$DELETE FROM appdb.organizations WHERE slug = 'acme'$$, 'an organization goes with its members and spaces');
SELECT is(concat(public.roles(public.kept('acme')::uuid), public.roles(public.kept('team')::uuid)), '', 'all of them');
SELECT lives_ok($$SELECT appdb.restore('app_data.organizations', public.kept('acme')::uuid)$$, 'and comes back');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ben owner', 'as it was');

SELECT is(public.dml('Ben', 'DELETE FROM appdb.organizations WHERE id = @acme@ RETURNING slug'), 'acme', 'its owner deletes it');
SELECT lives_ok($$SELECT public.dml('Ben', $q$SELECT rows FROM appdb.restore('app_data.organizations', @acme@)$q$)$$, 'and brings it back');
SELECT is(public.roles(public.kept('acme')::uuid), 'Ben owner', 'members and all, though nobody was one meanwhile');

-- what is deleted is not there
DELETE FROM appdb.spaces WHERE id = public.kept('team')::uuid;
SELECT throws_ok($$SELECT public.act('Ben', $q$SELECT appdb.leave(space_id => @team@)$q$)$$, 'P0002', NULL, 'a deleted space');

-- on a table of somebody else's the trigger functions work as that one
CREATE ROLE regress_other;
CREATE TABLE public.others (id uuid, organization_id uuid, user_id uuid, role text, deleted_at timestamptz);
ALTER TABLE public.others OWNER TO regress_other;
INSERT INTO public.others SELECT m.id, m.organization_id, m.user_id, m.role, m.deleted_at FROM app_data.members AS m;
ALTER TABLE public.others RENAME TO members;
CREATE TRIGGER t AFTER DELETE ON public.members FOR EACH ROW EXECUTE FUNCTION appdb.keep_owner();
SELECT throws_ok('DELETE FROM public.members', '42501', NULL, 'the functions lend no rights to triggers on other tables');
DROP TABLE public.members;

-- a cast of somebody's own is no part of the function that uses it: what that one may do, it may not
CREATE TYPE public.trick AS ENUM ('x');
CREATE FUNCTION public.trick(public.trick) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE (SELECT t.statement FROM public.tried AS t);
	RETURN 'viewer';
END
$$;
CREATE CAST (public.trick AS text) WITH FUNCTION public.trick(public.trick) AS ASSIGNMENT;
CREATE TABLE public.tried (statement text);
CREATE TABLE public.members (id uuid, organization_id uuid, user_id uuid, role public.trick, deleted_at timestamptz);
CREATE TRIGGER t BEFORE INSERT ON public.members FOR EACH ROW EXECUTE FUNCTION appdb.membership_rank();
ALTER TABLE public.members OWNER TO regress_dml;
GRANT SELECT ON public.tried TO regress_dml;
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (public.kept('acme')::uuid, public.id_of('Eva'), 'admin');
UPDATE appdb.users SET email_verified = false WHERE name = 'Eva';
INSERT INTO public.tried VALUES ('UPDATE app_data.members SET role = ''owner'' WHERE user_id = appdb.current_user_id()');
SELECT throws_ok($$SELECT public.dml('Eva', 'INSERT INTO public.members SELECT NULL, @acme@, @Eva@, ''x''')$$, '42501', NULL, 'to become an owner');
UPDATE public.tried SET statement = 'UPDATE app_data.users SET email_verified = true WHERE id = appdb.current_user_id()';
SELECT throws_ok($$SELECT public.dml('Eva', 'INSERT INTO public.members SELECT NULL, @acme@, @Eva@, ''x''')$$, '42501', NULL, 'to verify an address');
UPDATE public.tried SET statement = 'UPDATE app_data.users SET name = ''Eva'' WHERE id = appdb.current_user_id()';
SELECT is(public.dml('Eva', 'INSERT INTO public.members SELECT NULL, @acme@, @Eva@, ''x'' RETURNING role'), 'viewer', 'what anybody may it may');
DROP TABLE public.members;
DROP CAST (public.trick AS text);

-- == what is in the trash when somebody leaves ==============================

CREATE FUNCTION pg_temp.n(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO appdb.users (name, email) VALUES ('Pia', 'pia@example.org'), ('Rex', 'rex@example.org'), ('Quin', 'quin@example.org');
INSERT INTO appdb.organizations (id, name, slug) VALUES (pg_temp.n(1), 'Trash', 'trash');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (pg_temp.n(1), public.id_of('Pia'), 'owner'), (pg_temp.n(1), public.id_of('Rex'), 'member');
INSERT INTO appdb.spaces (id, organization_id, name) VALUES (pg_temp.n(2), pg_temp.n(1), 'deleted'), (pg_temp.n(3), pg_temp.n(1), 'his'), (pg_temp.n(4), pg_temp.n(1), 'live');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (pg_temp.n(2), public.id_of('Pia'), 'owner'), (pg_temp.n(2), public.id_of('Rex'), 'editor'),
	(pg_temp.n(3), public.id_of('Rex'), 'owner'), (pg_temp.n(4), public.id_of('Pia'), 'owner'), (pg_temp.n(4), public.id_of('Rex'), 'editor'), (pg_temp.n(4), public.id_of('Quin'), 'viewer');
INSERT INTO appdb.invitations (space_id, email, role, expires_at) SELECT pg_temp.n(2), u.email, 'admin', now() + interval '1 day' FROM appdb.users AS u WHERE u.name = 'Rex';
INSERT INTO appdb.files (id, space_id, name) VALUES (pg_temp.n(5), pg_temp.n(4), 'deleted');
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission) SELECT pg_temp.n(4), pg_temp.n(5), public.id_of(w), 'write' FROM unnest('{Rex,Quin}'::text[]) AS w;
DELETE FROM appdb.spaces WHERE id = pg_temp.n(2);
DELETE FROM appdb.spaces WHERE id = pg_temp.n(3);
DELETE FROM appdb.files WHERE id = pg_temp.n(5);
SAVEPOINT trash;
SELECT public.act('Pia', 'SELECT appdb.remove_member(@Rex@, organization_id => pg_temp.n(1))');
SELECT count(*) AS restored FROM appdb.restore('appdb.spaces', ARRAY[pg_temp.n(2), pg_temp.n(3)]) \gset
SELECT count(*) AS restored FROM appdb.restore('appdb.files', pg_temp.n(5)) \gset
SELECT is_empty($$SELECT s.space_id FROM appdb.space_members AS s WHERE s.user_id = public.id_of('Rex') AND s.space_id IN (pg_temp.n(2), pg_temp.n(3), pg_temp.n(4))$$,
	'who was removed does not come back with spaces that were deleted then');
SELECT is_empty($$SELECT p.id FROM appdb.file_permissions AS p WHERE p.user_id = public.id_of('Rex')$$, 'nor do their permissions with files');
SELECT set_eq($$SELECT i.status::text FROM appdb.invitations AS i WHERE i.space_id = pg_temp.n(2)$$, ARRAY['canceled'], 'nor can they accept an invitation that does');
SELECT set_eq($$SELECT s.space_id, u.name, s.role::text FROM appdb.space_members AS s JOIN appdb.users AS u ON u.id = s.user_id WHERE s.space_id IN (pg_temp.n(2), pg_temp.n(3))$$,
	$$VALUES (pg_temp.n(2), 'Pia', 'owner'), (pg_temp.n(3), 'Pia', 'owner')$$, 'others do, and one that was theirs alone has gone to the organization''s owner');
SELECT set_eq($$SELECT public.id_of('Quin')$$, $$SELECT p.user_id FROM appdb.file_permissions AS p WHERE p.file_id = pg_temp.n(5)$$, 'other permissions come back');
ROLLBACK TO trash;
SELECT public.act('Pia', 'SELECT appdb.remove_member(@Quin@, space_id => pg_temp.n(4))');
SELECT count(*) AS restored FROM appdb.restore('appdb.files', pg_temp.n(5)) \gset
SELECT set_eq($$SELECT public.id_of('Rex')$$, $$SELECT p.user_id FROM appdb.file_permissions AS p WHERE p.file_id = pg_temp.n(5)$$, 'as for who leaves a space');
ROLLBACK TO trash;

-- an organization whose owner was deleted while it was in the trash comes back without one
DELETE FROM appdb.organizations WHERE id = pg_temp.n(1);
DELETE FROM appdb.users WHERE name = 'Pia';
SELECT count(*) AS restored FROM appdb.restore('appdb.organizations', pg_temp.n(1)) \gset
SELECT count(*) AS restored FROM appdb.restore('appdb.spaces', pg_temp.n(3)) \gset
-- as docs/memberships.md says
SAVEPOINT ownerless;
SELECT ok(EXISTS (SELECT FROM appdb.doctor() AS d WHERE d.problem ~ 'has members and no owner'), 'which the doctor says');
CREATE ROLE regress_service;
SELECT appdb.grant_access('regress_service', 'service');
GRANT EXECUTE ON FUNCTION pg_temp.n(int) TO regress_service;
SET LOCAL ROLE regress_service;
INSERT INTO appdb.members (organization_id, user_id, role)
SELECT pg_temp.n(1), u.id, 'owner' FROM appdb.users AS u WHERE u.name = 'Rex'
ON CONFLICT (organization_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET role = excluded.role;
RESET ROLE;
SELECT is(public.roles(pg_temp.n(1)), 'Rex owner', 'until the server makes somebody its owner');
SELECT ok(NOT EXISTS (SELECT FROM appdb.doctor() AS d WHERE d.problem ~ 'has members and no owner'), 'of its spaces, too');
ROLLBACK TO ownerless;
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (pg_temp.n(3), public.id_of('Quin'), 'viewer');
DELETE FROM appdb.spaces WHERE id = pg_temp.n(4);
SELECT throws_like($$SELECT public.act('Rex', 'SELECT appdb.leave(organization_id => pg_temp.n(1))')$$,
	'space 00000000-0000-4000-8000-000000000003 would have no owner', 'so there is nobody to whom a space of its last member could go');
DELETE FROM appdb.space_members WHERE space_id = pg_temp.n(3) AND user_id = public.id_of('Quin');
SELECT lives_ok($$SELECT public.act('Rex', 'SELECT appdb.leave(organization_id => pg_temp.n(1))')$$, 'unless there are no other members, as in one in the trash');
ROLLBACK TO trash;

-- == the triggers come back =================================================

DROP TRIGGER appdb_keep_owner ON app_data.members;
SELECT appdb.attach_domains();
SELECT appdb.attach_domains();
SELECT is((SELECT string_agg(t.tgrelid::regclass || '.' || t.tgname, ' ' ORDER BY t.tgrelid::regclass::text, t.tgname) FROM pg_trigger AS t
	WHERE t.tgname IN ('appdb_keep_owner', 'appdb_keep_owner_delete', 'appdb_membership_rank', 'appdb_invitation_rules', 'appdb_space_rules', 'appdb_email_own', 'appdb_billing', 'appdb_user_deleted')),
	'app_data.invitations.appdb_invitation_rules app_data.members.appdb_keep_owner app_data.members.appdb_keep_owner_delete '
	'app_data.members.appdb_membership_rank app_data.organizations.appdb_billing app_data.space_members.appdb_keep_owner app_data.space_members.appdb_keep_owner_delete '
	'app_data.space_members.appdb_membership_rank app_data.spaces.appdb_space_rules app_data.users.appdb_billing app_data.users.appdb_email_own app_data.users.appdb_user_deleted', 'when the extension does');

SELECT * FROM finish();
ROLLBACK;
