-- space: spaces, who may be in them, and invitations.
BEGIN;
SELECT plan(36);

INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'Ann', 'ann@example.org'),
	('00000000-0000-4000-8000-0000000000b1', 'Ben', 'ben@example.org');
INSERT INTO appdb.organizations (id, name, slug) VALUES
	('00000000-0000-4000-8000-000000000001', 'Acme', 'acme'),
	('00000000-0000-4000-8000-000000000002', 'Other', 'other');

-- == spaces =================================================================

SELECT results_eq($$INSERT INTO appdb.spaces (id, organization_id, name, slug)
	VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000001', 'Product', 'product')
	RETURNING name, slug, owner_id, visibility::text, metadata$$, $$VALUES ('Product', 'product', NULL::uuid, 'private', '{}'::jsonb)$$, 'a space of an organization is private at first');
SELECT results_eq($$INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000a1', 'Ann''s')
	RETURNING organization_id, slug$$, $$VALUES (NULL::uuid, NULL::text)$$, 'a personal space needs no slug');
SELECT throws_ok($$INSERT INTO appdb.spaces (name) VALUES ('Nobody''s')$$, '23514', NULL, 'a space is somebody''s');
SELECT throws_ok($$INSERT INTO appdb.spaces (name, organization_id, owner_id)
	VALUES ('Both', '00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1')$$, '23514', NULL, 'an organization''s or a person''s, not both');
SELECT throws_ok($$INSERT INTO appdb.spaces (organization_id, name, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'Copy', 'PRODUCT')$$, '23505', NULL,
	'a slug is one space''s in an organization, whatever its case');
SELECT lives_ok($$INSERT INTO appdb.spaces (organization_id, name, slug) VALUES ('00000000-0000-4000-8000-000000000002', 'Product', 'product')$$, 'another organization may have it too');
SELECT lives_ok($$INSERT INTO appdb.spaces (owner_id, name, slug) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'Product', 'product'), ('00000000-0000-4000-8000-0000000000b1', 'Product', 'product')$$, 'and people');
SELECT throws_ok($$INSERT INTO appdb.spaces (owner_id, name, slug) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Copy', 'product')$$, '23505', NULL, 'each once');
SELECT lives_ok($$UPDATE appdb.spaces SET visibility = 'organization' WHERE id = '00000000-0000-4000-8000-000000000011'$$, 'an organization''s members may see a space');
SELECT throws_ok($$UPDATE appdb.spaces SET visibility = 'organization' WHERE id = '00000000-0000-4000-8000-000000000012'$$, '23514', NULL, 'if it is theirs');
SELECT throws_ok($$INSERT INTO appdb.spaces (organization_id, name) VALUES ('00000000-0000-4000-8000-000000000003', 'x')$$, '23503', NULL, 'the organization exists');

-- == members ================================================================

SELECT lives_ok($$INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000a1', 'owner'),
	('00000000-0000-4000-8000-000000000012', '00000000-0000-4000-8000-0000000000a1', 'owner')$$, 'people are in spaces');
SELECT results_eq($$INSERT INTO appdb.space_members (space_id, user_id) VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1') RETURNING role::text$$,
	$$VALUES ('viewer')$$, 'who is let in may read first');
SELECT throws_ok($$INSERT INTO appdb.space_members (space_id, user_id) VALUES ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-0000000000b1')$$, '23505', NULL,
	'nobody is in a space twice');
SELECT throws_ok($$UPDATE appdb.space_members SET role = 'member' WHERE role = 'viewer'$$, '22P02', NULL, 'there are owners, admins, editors and viewers');
SELECT set_eq($$SELECT u.name FROM appdb.spaces AS s, appdb.users(s) AS u WHERE s.slug = 'product' AND s.organization_id = '00000000-0000-4000-8000-000000000001'$$,
	ARRAY['Ann', 'Ben'], 'a space''s users');
SELECT set_eq($$SELECT s.id FROM appdb.users AS u, appdb.spaces(u) AS s WHERE u.name = 'Ann'$$,
	ARRAY['00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000012']::uuid[], 'a user''s spaces are those that they are in');
SELECT set_eq($$SELECT s.name FROM appdb.users AS u, appdb.personal_spaces(u) AS s WHERE u.name = 'Ann'$$, ARRAY['Ann''s', 'Product'], 'their own are their personal spaces');
SELECT set_eq($$SELECT m.role::text FROM appdb.spaces AS s, appdb.members(s) AS m WHERE s.id = '00000000-0000-4000-8000-000000000011'$$, ARRAY['owner', 'viewer'], 'a space''s members');
SELECT set_eq($$SELECT s.name FROM appdb.organizations AS o, appdb.spaces(o) AS s WHERE o.slug = 'acme'$$, ARRAY['Product'], 'an organization''s spaces');
SELECT results_eq($$SELECT o.slug, u.name FROM appdb.spaces AS s LEFT JOIN LATERAL appdb.organization(s) AS o ON true LEFT JOIN LATERAL appdb.owner(s) AS u ON true
	WHERE s.id IN ('00000000-0000-4000-8000-000000000011', '00000000-0000-4000-8000-000000000012') ORDER BY s.id$$, $$VALUES ('acme', NULL), (NULL, 'Ann')$$, 'and whose a space is');

-- == invitations ============================================================

SELECT results_eq($$INSERT INTO appdb.invitations (organization_id, email, role, expires_at, inviter_id)
	VALUES ('00000000-0000-4000-8000-000000000001', 'cleo@example.org', 'admin', now() + interval '2 days', '00000000-0000-4000-8000-0000000000a1') RETURNING status::text, space_id$$,
	$$VALUES ('pending', NULL::uuid)$$, 'an invitation to an organization waits for an answer');
SELECT lives_ok($$INSERT INTO appdb.invitations (space_id, email, role, expires_at, inviter_id, token_hash)
	VALUES ('00000000-0000-4000-8000-000000000011', 'cleo@example.org', 'editor', now() + interval '2 days', '00000000-0000-4000-8000-0000000000a1', sha256('link'))$$,
	'an invitation to a space');
SELECT lives_ok($$INSERT INTO appdb.invitations (organization_id, email, expires_at)
	VALUES ('00000000-0000-4000-8000-000000000001', 'dan@example.org', now() + interval '2 days')$$, 'one without a role or an inviter');
SELECT throws_ok($$INSERT INTO appdb.invitations (organization_id, email, role, expires_at) VALUES ('00000000-0000-4000-8000-000000000001', 'e@example.org', 'editor', now())$$,
	'23514', NULL, 'an organization has no editors');
SELECT throws_ok($$INSERT INTO appdb.invitations (space_id, email, role, expires_at) VALUES ('00000000-0000-4000-8000-000000000011', 'e@example.org', 'member', now())$$,
	'23514', NULL, 'a space''s members are one of its four kinds');
SELECT throws_ok($$INSERT INTO appdb.invitations (email, role, expires_at) VALUES ('e@example.org', 'member', now())$$, '23514', NULL, 'an invitation is to something');
SELECT throws_ok($$INSERT INTO appdb.invitations (organization_id, space_id, email, role, expires_at)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000011', 'e@example.org', 'admin', now())$$, '23514', NULL, 'to one thing');
SELECT throws_ok($$INSERT INTO appdb.invitations (organization_id, email, role) VALUES ('00000000-0000-4000-8000-000000000001', 'e@example.org', 'member')$$, '23502', NULL, 'and not for ever');
SELECT throws_ok($$INSERT INTO appdb.invitations (organization_id, email, token_hash, expires_at)
	VALUES ('00000000-0000-4000-8000-000000000001', 'e@example.org', sha256('link'), now())$$, '23505', NULL, 'a link is of one invitation');
SELECT lives_ok($$UPDATE appdb.invitations SET status = s::app_data.invitation_status FROM unnest(ARRAY['accepted', 'rejected', 'canceled', 'pending']) AS s
	WHERE email = 'cleo@example.org'$$, 'an invitation is accepted, rejected or canceled');
SELECT throws_ok($$UPDATE appdb.invitations SET status = 'expired'$$, '22P02', NULL, 'one that has expired says so by its time');
SELECT set_eq($$SELECT i.email FROM appdb.users AS u, appdb.sent_invitations(u) AS i WHERE u.name = 'Ann'$$, ARRAY['cleo@example.org'], 'the invitations that a user sent');
SELECT set_eq($$SELECT i.email FROM appdb.organizations AS o, appdb.invitations(o) AS i$$, ARRAY['cleo@example.org', 'dan@example.org'], 'the invitations to an organization');

-- == deleted spaces =========================================================

SELECT results_eq($$DELETE FROM appdb.spaces WHERE id = '00000000-0000-4000-8000-000000000012' RETURNING name$$, $$VALUES ('Ann''s')$$, 'a space is deleted');
SELECT set_eq($$SELECT s.name FROM appdb.users AS u, appdb.spaces(u) AS s WHERE u.name = 'Ann'$$, ARRAY['Product'], 'and no longer among its users'' spaces');

SELECT * FROM finish();
ROLLBACK;
