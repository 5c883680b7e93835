-- subscription: what an organization or a person pays for, as the payment provider tells it.

CREATE TYPE app_data.subscription_status AS ENUM ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused');
COMMENT ON TYPE app_data.subscription_status IS
	'The state of a subscription, in the words of the payment provider (Stripe).';

CREATE TYPE app_data.billing_interval AS ENUM ('day', 'week', 'month', 'year');
COMMENT ON TYPE app_data.billing_interval IS
	'How often a subscription is paid.';

CREATE TABLE app_data.subscriptions
(
	id                       uuid PRIMARY KEY,
	organization_id          uuid,
	user_id                  uuid,
	reference_id             uuid NOT NULL,
	plan                     text NOT NULL,
	status                   app_data.subscription_status NOT NULL DEFAULT 'incomplete',
	seats                    integer,
	billing_interval         app_data.billing_interval,
	current_period_start     timestamptz(3),
	current_period_end       timestamptz(3),
	trial_start              timestamptz(3),
	trial_end                timestamptz(3),
	cancel_at_period_end     boolean NOT NULL DEFAULT false,
	cancel_at                timestamptz(3),
	canceled_at              timestamptz(3),
	ended_at                 timestamptz(3),
	provider                 text NOT NULL DEFAULT 'stripe',
	provider_customer_id     text,
	provider_subscription_id text,
	provider_schedule_id     text,
	metadata                 jsonb NOT NULL DEFAULT '{}',
	created_at               timestamptz(3) NOT NULL,
	updated_at               timestamptz(3) NOT NULL,
	deleted_at               timestamptz,
	CONSTRAINT subscriptions_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT subscriptions_reference_check CHECK (num_nonnulls(organization_id, user_id) = 1 AND reference_id = coalesce(organization_id, user_id)),
	CONSTRAINT subscriptions_plan_check CHECK (char_length(plan) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_seats_check CHECK (seats >= 0),
	CONSTRAINT subscriptions_current_period_check CHECK (current_period_end >= current_period_start),
	CONSTRAINT subscriptions_trial_check CHECK (trial_end >= trial_start),
	CONSTRAINT subscriptions_provider_check CHECK (char_length(provider) BETWEEN 1 AND 50),
	CONSTRAINT subscriptions_provider_customer_id_check CHECK (char_length(provider_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_provider_subscription_id_check CHECK (char_length(provider_subscription_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_provider_schedule_id_check CHECK (char_length(provider_schedule_id) BETWEEN 1 AND 255),
	CONSTRAINT subscriptions_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX subscriptions_provider_subscription_id_key
	ON app_data.subscriptions (provider, provider_subscription_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.subscriptions_provider_subscription_id_key IS
	'Unique among live rows: what the provider tells twice is written once (ON CONFLICT).';
CREATE INDEX subscriptions_reference_id_idx
	ON app_data.subscriptions (reference_id);
COMMENT ON INDEX app_data.subscriptions_reference_id_idx IS
	'Serves clients that ask by reference.';
CREATE INDEX subscriptions_organization_id_idx
	ON app_data.subscriptions (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX subscriptions_user_id_idx
	ON app_data.subscriptions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX subscriptions_provider_customer_id_idx
	ON app_data.subscriptions (provider_customer_id) WHERE provider_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.subscriptions_provider_customer_id_idx IS
	'Finds the subscriptions that a payment provider''s message is about.';

COMMENT ON TABLE app_data.subscriptions IS
	'Subscriptions of organizations and people.';
COMMENT ON COLUMN app_data.subscriptions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.subscriptions.organization_id IS
	'The organization that subscribed; null for a person''s.';
COMMENT ON COLUMN app_data.subscriptions.user_id IS
	'The user who subscribed; null for an organization''s.';
COMMENT ON COLUMN app_data.subscriptions.reference_id IS
	'Whichever of the two it is, for clients that have one column for both: filled from them, and they from it.';
COMMENT ON COLUMN app_data.subscriptions.plan IS
	'The plan by the application''s name for it.';
COMMENT ON COLUMN app_data.subscriptions.status IS
	'Its state.';
COMMENT ON COLUMN app_data.subscriptions.seats IS
	'How many people it is for; null where that does not matter.';
COMMENT ON COLUMN app_data.subscriptions.billing_interval IS
	'How often it is paid.';
COMMENT ON COLUMN app_data.subscriptions.current_period_start IS
	'Since when it is paid for.';
COMMENT ON COLUMN app_data.subscriptions.current_period_end IS
	'Until when it is paid for.';
COMMENT ON COLUMN app_data.subscriptions.trial_start IS
	'When the trial began.';
COMMENT ON COLUMN app_data.subscriptions.trial_end IS
	'When the trial ends.';
COMMENT ON COLUMN app_data.subscriptions.cancel_at_period_end IS
	'Whether it ends with the period that is paid for.';
COMMENT ON COLUMN app_data.subscriptions.cancel_at IS
	'When it is going to end.';
COMMENT ON COLUMN app_data.subscriptions.canceled_at IS
	'When it was canceled.';
COMMENT ON COLUMN app_data.subscriptions.ended_at IS
	'When it ended.';
COMMENT ON COLUMN app_data.subscriptions.provider IS
	'The payment provider.';
COMMENT ON COLUMN app_data.subscriptions.provider_customer_id IS
	'The customer there.';
COMMENT ON COLUMN app_data.subscriptions.provider_subscription_id IS
	'The subscription there; unique among live rows of a provider.';
COMMENT ON COLUMN app_data.subscriptions.provider_schedule_id IS
	'The schedule there by which the plan is going to change.';
COMMENT ON COLUMN app_data.subscriptions.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.subscriptions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.subscriptions.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.subscriptions.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.subscriptions', label => 'plan');
