-- organization: organizations and their members.
BEGIN;
SELECT plan(28);

INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'Ann', 'ann@example.org'),
	('00000000-0000-4000-8000-0000000000b1', 'Ben', 'ben@example.org');

-- == organizations ==========================================================

SELECT results_eq($$INSERT INTO appdb.organizations (id, name, slug, metadata) VALUES ('00000000-0000-4000-8000-000000000001', 'Acme', 'acme', '{"plan": "pro"}')
	RETURNING name, slug, logo, metadata->>'plan', billing_customer_id$$,
	$$VALUES ('Acme', 'acme', NULL::text, 'pro', NULL::text)$$, 'an organization');
SELECT lives_ok($$INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000002', 'Acme', 'Acme-2')$$, 'another of the same name');
SELECT throws_ok($$INSERT INTO appdb.organizations (name, slug) VALUES ('Copy', 'acme')$$, '23505', NULL, 'a slug is one organization''s');
SELECT throws_ok($$INSERT INTO appdb.organizations (name, slug) VALUES ('Copy', 'ACME-2')$$, '23505', NULL, 'whatever its case');
SELECT throws_ok($$INSERT INTO appdb.organizations (name) VALUES ('No slug')$$, '23502', NULL, 'an organization has a slug');
SELECT throws_ok($$INSERT INTO appdb.organizations (name, slug) VALUES ('', 'nameless')$$, '23514', NULL, 'and a name');
SELECT throws_ok($$INSERT INTO appdb.organizations (name, slug, metadata) VALUES ('x', 'x', '"text"')$$, '23514', NULL, 'metadata is an object');
SELECT lives_ok($$UPDATE appdb.organizations SET metadata = 'null' WHERE slug = 'Acme-2'$$, 'or cleared as better-auth clears it');
SELECT lives_ok($$INSERT INTO appdb.organizations (name, slug) VALUES ('Acme Inc.', 'acme')
	ON CONFLICT (slug) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name$$, 'an upsert by slug');
SELECT results_eq($$SELECT name FROM appdb.organizations WHERE slug = 'acme'$$, $$VALUES ('Acme Inc.')$$, 'changes the organization that is there');

-- == members ================================================================

SELECT lives_ok($$INSERT INTO appdb.members (organization_id, user_id, role) VALUES
	('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'owner'),
	('00000000-0000-4000-8000-000000000002', '00000000-0000-4000-8000-0000000000a1', 'admin')$$, 'a user may be in several organizations');
SELECT results_eq($$INSERT INTO appdb.members (organization_id, user_id) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000b1')
	RETURNING role::text$$, $$VALUES ('member')$$, 'who joins is a member first');
SELECT throws_ok($$INSERT INTO appdb.members (organization_id, user_id) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000b1')$$,
	'23505', NULL, 'nobody is a member twice');
SELECT throws_ok($$UPDATE appdb.members SET role = 'editor' WHERE role = 'member'$$, '22P02', NULL, 'there are owners, admins and members');
SELECT throws_ok($$INSERT INTO appdb.members (organization_id, user_id) VALUES ('00000000-0000-4000-8000-000000000003', '00000000-0000-4000-8000-0000000000b1')$$,
	'23503', NULL, 'one is a member of an organization that exists');
SELECT lives_ok($$DELETE FROM appdb.members WHERE user_id = '00000000-0000-4000-8000-0000000000b1'$$, 'a member leaves');
SELECT lives_ok($$INSERT INTO appdb.members (organization_id, user_id, role) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000b1', 'admin')
	ON CONFLICT (organization_id, user_id) WHERE deleted_at IS NULL DO UPDATE SET role = excluded.role$$, 'and comes back');
SELECT results_eq($$SELECT count(*) FROM app_data.members WHERE user_id = '00000000-0000-4000-8000-0000000000b1'$$, $$VALUES (2::bigint)$$, 'as a new membership');

-- == relations ==============================================================

SELECT set_eq($$SELECT u.name FROM appdb.organizations AS o, appdb.users(o) AS u WHERE o.slug = 'acme'$$, ARRAY['Ann', 'Ben'], 'an organization''s users');
SELECT set_eq($$SELECT o.slug FROM appdb.users AS u, appdb.organizations(u) AS o WHERE u.name = 'Ann'$$, ARRAY['acme', 'Acme-2'], 'a user''s organizations');
SELECT set_eq($$SELECT m.role::text FROM appdb.users AS u, appdb.memberships(u) AS m WHERE u.name = 'Ann'$$, ARRAY['owner', 'admin'], 'a user''s memberships');
SELECT set_eq($$SELECT m.role::text FROM appdb.organizations AS o, appdb.members(o) AS m WHERE o.slug = 'acme'$$, ARRAY['owner', 'admin'], 'an organization''s members');

-- == sessions ===============================================================

SELECT lives_ok($$INSERT INTO appdb.sessions (user_id, token, expires_at, active_organization_id)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 't', now(), '00000000-0000-4000-8000-000000000001')$$, 'a session is in an organization');
SELECT results_eq($$SELECT o.slug FROM appdb.sessions AS s, appdb.active_organization(s) AS o$$, $$VALUES ('acme')$$, 'which it leads to');
SELECT throws_ok($$UPDATE appdb.sessions SET active_organization_id = '00000000-0000-4000-8000-000000000003'$$, '23503', NULL, 'and which exists');

-- == deleted organizations ==================================================

SELECT results_eq($$DELETE FROM appdb.organizations WHERE slug = 'Acme-2' RETURNING name$$, $$VALUES ('Acme')$$, 'an organization is deleted');
SELECT set_eq($$SELECT o.slug FROM appdb.users AS u, appdb.organizations(u) AS o WHERE u.name = 'Ann'$$, ARRAY['acme'], 'relations lead to live ones only');
SELECT lives_ok($$INSERT INTO appdb.organizations (name, slug) VALUES ('New', 'Acme-2')$$, 'its slug can be used again');

SELECT * FROM finish();
ROLLBACK;
