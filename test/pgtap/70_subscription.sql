-- subscription: what organizations and people pay for, as the provider tells it.
BEGIN;
SELECT plan(25);

INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'Acme', 'acme');

SELECT results_eq($$INSERT INTO appdb.subscriptions (organization_id, plan) VALUES ('00000000-0000-4000-8000-000000000001', 'pro')
	RETURNING plan, status::text, reference_id, user_id, provider, cancel_at_period_end$$,
	$$VALUES ('pro', 'incomplete', '00000000-0000-4000-8000-000000000001'::uuid, NULL::uuid, 'stripe', false)$$, 'an organization subscribes');
SELECT results_eq($$INSERT INTO appdb.subscriptions (user_id, plan, status, seats, billing_interval)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 'basic', 'trialing', 1, 'month') RETURNING reference_id$$,
	$$VALUES ('00000000-0000-4000-8000-0000000000a1'::uuid)$$, 'a person subscribes');
SELECT throws_ok($$INSERT INTO appdb.subscriptions (plan) VALUES ('pro')$$, '23502', NULL, 'somebody subscribes');
SELECT throws_ok($$INSERT INTO appdb.subscriptions (organization_id, user_id, plan)
	VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'pro')$$, '23514', NULL, 'not two at once');
SELECT throws_ok($$INSERT INTO appdb.subscriptions (user_id, plan) VALUES ('00000000-0000-4000-8000-000000000001', 'pro')$$, '23503', NULL, 'and somebody who exists');

-- clients that have one column for both (better-auth)
SELECT results_eq($$INSERT INTO appdb.subscriptions (reference_id, plan) VALUES ('00000000-0000-4000-8000-000000000001', 'ref') RETURNING organization_id, user_id$$,
	$$VALUES ('00000000-0000-4000-8000-000000000001'::uuid, NULL::uuid)$$, 'a reference to an organization');
SELECT results_eq($$INSERT INTO appdb.subscriptions (reference_id, plan) VALUES ('00000000-0000-4000-8000-0000000000a1', 'ref') RETURNING organization_id, user_id$$,
	$$VALUES (NULL::uuid, '00000000-0000-4000-8000-0000000000a1'::uuid)$$, 'a reference to a user');
SELECT throws_ok($$INSERT INTO appdb.subscriptions (reference_id, plan) VALUES ('00000000-0000-4000-8000-0000000000ff', 'ref')$$, '23503', NULL, 'a reference to nobody');
SELECT results_eq($$UPDATE appdb.subscriptions SET reference_id = '00000000-0000-4000-8000-000000000001' WHERE plan = 'ref' AND user_id IS NOT NULL RETURNING organization_id, user_id$$,
	$$VALUES ('00000000-0000-4000-8000-000000000001'::uuid, NULL::uuid)$$, 'a subscription is handed over by its reference');
SELECT results_eq($$UPDATE appdb.subscriptions SET organization_id = NULL, user_id = '00000000-0000-4000-8000-0000000000a1' WHERE plan = 'pro' RETURNING reference_id$$,
	$$VALUES ('00000000-0000-4000-8000-0000000000a1'::uuid)$$, 'or by its owner');
SELECT throws_ok($$UPDATE appdb.subscriptions SET organization_id = '00000000-0000-4000-8000-000000000001', reference_id = '00000000-0000-4000-8000-0000000000a1'
	WHERE plan = 'pro'$$, '23514', NULL, 'the two never differ');

-- the provider tells things twice, and in any order
PREPARE told(text, timestamptz) AS
	INSERT INTO appdb.subscriptions (organization_id, plan, provider, provider_customer_id, provider_subscription_id, status, current_period_start, current_period_end)
	VALUES ('00000000-0000-4000-8000-000000000001', 'team', 'stripe', 'cus_1', 'sub_1', $1::app_data.subscription_status, $2, $2 + interval '30 days')
	ON CONFLICT (provider, provider_subscription_id) WHERE deleted_at IS NULL
	DO UPDATE SET status = excluded.status, current_period_start = excluded.current_period_start, current_period_end = excluded.current_period_end;
SELECT lives_ok($$EXECUTE told('incomplete', '2024-01-01')$$, 'the provider tells of a subscription');
SELECT lives_ok($$EXECUTE told('active', '2024-01-01')$$, 'and again');
SELECT results_eq($$SELECT status::text, count(*) OVER () FROM appdb.subscriptions WHERE provider_subscription_id = 'sub_1'$$, $$VALUES ('active', 1::bigint)$$, 'it is written once');
SELECT throws_ok($$INSERT INTO appdb.subscriptions (user_id, plan, provider_subscription_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'x', 'sub_1')$$, '23505', NULL,
	'nobody else has it');
SELECT lives_ok($$INSERT INTO appdb.subscriptions (user_id, plan, provider, provider_subscription_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'x', 'paddle', 'sub_1')$$, 'except at another provider');
SELECT lives_ok($$UPDATE appdb.subscriptions SET status = s::app_data.subscription_status
	FROM unnest(ARRAY['incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused']) AS s WHERE plan = 'team'$$, 'every state that Stripe knows');
SELECT throws_ok($$UPDATE appdb.subscriptions SET status = 'happy'$$, '22P02', NULL, 'and no other');
SELECT throws_ok($$UPDATE appdb.subscriptions SET seats = -1$$, '23514', NULL, 'seats are not negative');
SELECT throws_ok($$UPDATE appdb.subscriptions SET current_period_end = '2000-01-01' WHERE plan = 'team'$$, '23514', NULL, 'nothing ends before it begins');

SELECT set_eq($$SELECT s.plan FROM appdb.organizations AS o, appdb.subscriptions(o) AS s$$, ARRAY['ref', 'team'], 'an organization''s subscriptions');
SELECT results_eq($$SELECT u.name FROM appdb.subscriptions AS s, appdb.user(s) AS u WHERE s.plan = 'basic'$$, $$VALUES ('Ann')$$, 'whose a subscription is');
SELECT lives_ok($$DELETE FROM appdb.subscriptions WHERE provider_subscription_id = 'sub_1'$$, 'a subscription is deleted');
SELECT lives_ok($$EXECUTE told('active', '2024-02-01')$$, 'when the provider tells of it again');
SELECT results_eq($$SELECT (SELECT count(*) FROM appdb.subscriptions WHERE provider_subscription_id = 'sub_1'),
	(SELECT count(*) FROM app_data.subscriptions WHERE provider_subscription_id = 'sub_1')$$, $$VALUES (1::bigint, 3::bigint)$$, 'it is there anew');

SELECT * FROM finish();
ROLLBACK;
