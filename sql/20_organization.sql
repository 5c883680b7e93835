-- organization: companies and teams, and who belongs to them.

CREATE TYPE app_data.organization_role AS ENUM ('owner', 'admin', 'member');
COMMENT ON TYPE app_data.organization_role IS
	'What a member may do in an organization: owners everything, admins all but ownership and billing, members work in its spaces.';

CREATE TABLE app_data.organizations
(
	id                  uuid PRIMARY KEY,
	name                text NOT NULL,
	slug                text NOT NULL,
	logo                text,
	billing_customer_id text,
	metadata            jsonb NOT NULL DEFAULT '{}',
	created_at          timestamptz(3) NOT NULL,
	updated_at          timestamptz(3) NOT NULL,
	deleted_at          timestamptz,
	CONSTRAINT organizations_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
	CONSTRAINT organizations_slug_check CHECK (octet_length(slug) BETWEEN 1 AND 255),
	CONSTRAINT organizations_logo_check CHECK (char_length(logo) <= 1000000),
	CONSTRAINT organizations_billing_customer_id_check CHECK (char_length(billing_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT organizations_metadata_check CHECK (jsonb_typeof(metadata) IN ('object', 'null'))
);

CREATE UNIQUE INDEX organizations_slug_key
	ON app_data.organizations (slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.organizations_slug_key IS
	'Unique among live rows: a deleted organization''s slug can be used again.';
CREATE UNIQUE INDEX organizations_lower_slug_key
	ON app_data.organizations (lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.organizations_lower_slug_key IS
	'Unique among live rows: the slug, whatever its case.';
CREATE INDEX organizations_billing_customer_id_idx
	ON app_data.organizations (billing_customer_id) WHERE billing_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.organizations_billing_customer_id_idx IS
	'Finds the organization that a payment provider''s message is about.';

COMMENT ON TABLE app_data.organizations IS
	'Companies and teams: what owns spaces and pays for them.';
COMMENT ON COLUMN app_data.organizations.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.organizations.name IS
	'What the organization is called.';
COMMENT ON COLUMN app_data.organizations.slug IS
	'Its name in addresses; unique among live organizations whatever its case.';
COMMENT ON COLUMN app_data.organizations.logo IS
	'Address of its logo, or the picture itself as a data URL.';
COMMENT ON COLUMN app_data.organizations.billing_customer_id IS
	'The customer at the payment provider whose subscriptions are this organization''s.';
COMMENT ON COLUMN app_data.organizations.metadata IS
	'Whatever else the application keeps with the organization: a JSON object (JSON null from clients that clear it so).';
COMMENT ON COLUMN app_data.organizations.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.organizations.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.organizations.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.organizations', label => 'name');

CREATE TABLE app_data.members
(
	id              uuid PRIMARY KEY,
	organization_id uuid NOT NULL,
	user_id         uuid NOT NULL,
	role            app_data.organization_role NOT NULL DEFAULT 'member',
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT members_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT members_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id)
);

CREATE UNIQUE INDEX members_organization_id_user_id_key
	ON app_data.members (organization_id, user_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.members_organization_id_user_id_key IS
	'Unique among live rows: one membership a person and organization.';
CREATE INDEX members_organization_id_idx
	ON app_data.members (organization_id);
CREATE INDEX members_user_id_idx
	ON app_data.members (user_id);
CREATE INDEX members_owners_idx
	ON app_data.members (organization_id) WHERE role = 'owner';
COMMENT ON INDEX app_data.members_owners_idx IS
	'Says who else owns an organization, however many members it has.';

COMMENT ON TABLE app_data.members IS
	'Who belongs to which organization, and as what.';
COMMENT ON COLUMN app_data.members.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.members.organization_id IS
	'The organization.';
COMMENT ON COLUMN app_data.members.user_id IS
	'The user who belongs to it.';
COMMENT ON COLUMN app_data.members.role IS
	'What the member may do.';
COMMENT ON COLUMN app_data.members.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.members.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.members.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.members', relations => '{"user_id": {"inverse": "memberships"}}');

-- Sessions (10_auth.sql) point at the organization that their user works in.
ALTER TABLE app_data.sessions
	ADD CONSTRAINT sessions_active_organization_id_fkey FOREIGN KEY (active_organization_id) REFERENCES app_data.organizations (id) ON DELETE SET NULL;

SELECT appdb.manage('app_data.sessions', relations => '{"active_organization_id": {"inverse": "active_sessions"}}');

-- What must not be purged, whatever the retention: appdb.hold() and appdb.release().
CREATE TABLE app_data.legal_holds
(
	organization_id uuid PRIMARY KEY,
	reason          text NOT NULL,
	created_at      timestamptz(3) NOT NULL DEFAULT now(),
	created_by      name NOT NULL DEFAULT current_user,
	CONSTRAINT legal_holds_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT legal_holds_reason_check CHECK (char_length(reason) BETWEEN 1 AND 1000)
);
COMMENT ON TABLE app_data.legal_holds IS
	'Organizations whose deleted rows are not purged until the hold is released.';
COMMENT ON COLUMN app_data.legal_holds.organization_id IS
	'The organization: its own rows and those of its spaces are held.';
COMMENT ON COLUMN app_data.legal_holds.reason IS
	'Why, for those who ask later.';
COMMENT ON COLUMN app_data.legal_holds.created_at IS
	'Since when.';
COMMENT ON COLUMN app_data.legal_holds.created_by IS
	'The database role that put the hold.';
