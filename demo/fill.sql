-- An application's first weeks: people, two organizations, their spaces, chats,
-- an invitation, a subscription, tasks. Ids, timestamps and defaults come from
-- the database.
\ir format.sql
BEGIN;

-- people sign up
INSERT INTO appdb.users (name, email, email_verified) VALUES ('Mira Okafor', 'mira@lumen.example', true) RETURNING id AS mira \gset
INSERT INTO appdb.users (name, email, email_verified) VALUES ('Jonas Lindqvist', 'jonas@lumen.example', true) RETURNING id AS jonas \gset
INSERT INTO appdb.users (name, email) VALUES ('Priya Raman', 'priya@fjord.example') RETURNING id AS priya \gset
INSERT INTO appdb.users (name, email) VALUES ('Tomás Herrera', 'tomas@fjord.example') RETURNING id AS tomas \gset
INSERT INTO appdb.accounts (user_id, provider_id, account_id, type) VALUES
	(:'mira', 'github', '1090012', 'oauth'),
	(:'jonas', 'google', '117520081', 'oidc'),
	(:'priya', 'google', '104899773', 'oidc');
INSERT INTO appdb.sessions (user_id, token, expires_at, user_agent) VALUES
	(:'mira', 'demo-token-' || gen_random_uuid(), now() + interval '30 days', 'Firefox'),
	(:'priya', 'demo-token-' || gen_random_uuid(), now() + interval '30 days', 'Safari');

-- two organizations
INSERT INTO appdb.organizations (name, slug) VALUES ('Lumen Press', 'lumen') RETURNING id AS lumen \gset
INSERT INTO appdb.organizations (name, slug) VALUES ('Fjord Robotics', 'fjord') RETURNING id AS fjord \gset
INSERT INTO appdb.members (organization_id, user_id, role) VALUES
	(:'lumen', :'mira', 'owner'), (:'lumen', :'jonas', 'member'),
	(:'fjord', :'priya', 'owner'), (:'fjord', :'tomas', 'admin');
UPDATE appdb.sessions SET active_organization_id = :'lumen' WHERE user_id = :'mira';

-- spaces: three of organizations, one of a person
INSERT INTO appdb.spaces (organization_id, name, slug, visibility) VALUES (:'lumen', 'Handbook', 'handbook', 'organization') RETURNING id AS handbook \gset
INSERT INTO appdb.spaces (organization_id, name, slug) VALUES (:'lumen', 'Editorial', 'editorial') RETURNING id AS editorial \gset
INSERT INTO appdb.spaces (organization_id, name, slug) VALUES (:'fjord', 'Firmware', 'firmware') RETURNING id AS firmware \gset
INSERT INTO appdb.spaces (owner_id, name) VALUES (:'mira', 'Mira''s notebook') RETURNING id AS notebook \gset
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	(:'handbook', :'mira', 'owner'), (:'handbook', :'jonas', 'editor'), (:'handbook', :'priya', 'viewer'),
	(:'editorial', :'jonas', 'owner'), (:'editorial', :'mira', 'editor'),
	(:'firmware', :'priya', 'owner'), (:'firmware', :'tomas', 'editor'),
	(:'notebook', :'mira', 'owner');
INSERT INTO appdb.invitations (organization_id, email, role, expires_at, inviter_id) VALUES
	(:'lumen', 'noor@elsewhere.example', 'member', now() + interval '7 days', :'mira');
INSERT INTO appdb.invitations (space_id, email, role, expires_at, inviter_id) VALUES
	(:'firmware', 'sam@supplier.example', 'viewer', now() + interval '7 days', :'priya');

-- the payment provider reports a subscription, twice: written once
INSERT INTO appdb.subscriptions AS s (organization_id, plan, status, seats, billing_interval, provider, provider_subscription_id, current_period_start, current_period_end)
VALUES (:'lumen', 'team', 'trialing', 5, 'month', 'stripe', 'sub_demo_1', date_trunc('month', now()), date_trunc('month', now()) + interval '1 month')
ON CONFLICT (provider, provider_subscription_id) WHERE deleted_at IS NULL DO UPDATE SET status = excluded.status, seats = excluded.seats;
INSERT INTO appdb.subscriptions AS s (organization_id, plan, status, seats, billing_interval, provider, provider_subscription_id, current_period_start, current_period_end)
VALUES (:'lumen', 'team', 'active', 6, 'month', 'stripe', 'sub_demo_1', date_trunc('month', now()), date_trunc('month', now()) + interval '1 month')
ON CONFLICT (provider, provider_subscription_id) WHERE deleted_at IS NULL DO UPDATE SET status = excluded.status, seats = excluded.seats;

-- chats; the second answer of the first is a branch
INSERT INTO appdb.chats (space_id, user_id, title, model) VALUES (:'handbook', :'mira', 'How do we name tables?', 'local-model') RETURNING id AS naming \gset
INSERT INTO appdb.messages (space_id, chat_id, user_id, role, content) VALUES
	(:'handbook', :'naming', :'mira', 'user', 'What are our conventions for new tables?') RETURNING id AS question \gset
INSERT INTO appdb.messages (space_id, chat_id, parent_id, role, model, content, input_tokens, output_tokens) VALUES
	(:'handbook', :'naming', :'question', 'assistant', 'local-model',
	'Snake case, plural; an id of type uuid, created_at, updated_at and deleted_at. appdb.manage() checks them and does the rest.', 412, 31),
	(:'handbook', :'naming', :'question', 'assistant', 'local-model',
	'See the note "How the tables are designed" in the folder docs/patterns.', 412, 17);
INSERT INTO appdb.messages (space_id, chat_id, user_id, role, content) VALUES
	(:'handbook', :'naming', :'jonas', 'user', 'Does that hold for join tables as well?');
INSERT INTO appdb.chats (space_id, user_id, title) VALUES (:'firmware', :'tomas', 'Release 2.4') RETURNING id AS release \gset
INSERT INTO appdb.messages (space_id, chat_id, user_id, role, content) VALUES
	(:'firmware', :'release', :'tomas', 'user', 'The motor controller passes all tests. Shall we tag it?'),
	(:'firmware', :'release', :'priya', 'user', 'Yes. I have enqueued the build.');

-- work for the background
SELECT appdb.enqueue('build-firmware', '{"version": "2.4"}', space_id => :'firmware', user_id => :'priya') AS build \gset
SELECT appdb.enqueue('send-invitation', '{"to": "noor@elsewhere.example"}', user_id => :'mira', dedupe_key => 'noor@elsewhere.example') AS mail \gset
COMMIT;
