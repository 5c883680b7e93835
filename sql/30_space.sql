-- space: the tenants. Everything that people make is in a space; a space belongs to an organization or to one person.

CREATE TYPE app_data.space_role AS ENUM ('owner', 'admin', 'editor', 'viewer');
COMMENT ON TYPE app_data.space_role IS
	'What a member may do in a space: owners everything, admins all but ownership, editors change what is in it, viewers read.';

CREATE TYPE app_data.space_visibility AS ENUM ('private', 'organization', 'public');
COMMENT ON TYPE app_data.space_visibility IS
	'Who can see that a space is there and read in it: its members, the members of its organization, everyone.';

CREATE TYPE app_data.invitation_role AS ENUM ('owner', 'admin', 'member', 'editor', 'viewer');
COMMENT ON TYPE app_data.invitation_role IS
	'The role that an invitation offers: owner, admin or member of an organization; owner, admin, editor or viewer of a space.';

CREATE TYPE app_data.invitation_status AS ENUM ('pending', 'accepted', 'rejected', 'canceled');
COMMENT ON TYPE app_data.invitation_status IS
	'What became of an invitation. One that has expired stays pending: expires_at says so.';

CREATE TABLE app_data.spaces
(
	id              uuid PRIMARY KEY,
	organization_id uuid,
	owner_id        uuid,
	name            text NOT NULL,
	slug            text,
	visibility      app_data.space_visibility NOT NULL DEFAULT 'private',
	metadata        jsonb NOT NULL DEFAULT '{}',
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT spaces_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT spaces_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES app_data.users (id),
	CONSTRAINT spaces_owner_check CHECK (num_nonnulls(organization_id, owner_id) = 1),
	CONSTRAINT spaces_visibility_check CHECK (visibility <> 'organization' OR organization_id IS NOT NULL),
	CONSTRAINT spaces_name_check CHECK (char_length(name) BETWEEN 1 AND 500),
	CONSTRAINT spaces_slug_check CHECK (octet_length(slug) BETWEEN 1 AND 255),
	CONSTRAINT spaces_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX spaces_organization_id_slug_key
	ON app_data.spaces (organization_id, slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_organization_id_slug_key IS
	'Unique among live rows: the slug in an organization.';
CREATE UNIQUE INDEX spaces_organization_id_lower_slug_key
	ON app_data.spaces (organization_id, lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_organization_id_lower_slug_key IS
	'Unique among live rows: the slug in an organization, whatever its case.';
CREATE UNIQUE INDEX spaces_owner_id_slug_key
	ON app_data.spaces (owner_id, slug) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_owner_id_slug_key IS
	'Unique among live rows: the slug among a person''s own spaces.';
CREATE UNIQUE INDEX spaces_owner_id_lower_slug_key
	ON app_data.spaces (owner_id, lower(slug)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.spaces_owner_id_lower_slug_key IS
	'Unique among live rows: the slug among a person''s own spaces, whatever its case.';
CREATE INDEX spaces_organization_id_idx
	ON app_data.spaces (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX spaces_owner_id_idx
	ON app_data.spaces (owner_id) WHERE owner_id IS NOT NULL;

COMMENT ON TABLE app_data.spaces IS
	'Spaces (tenants): what people work in, belonging to an organization or to one person.';
COMMENT ON COLUMN app_data.spaces.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.spaces.organization_id IS
	'The organization that the space belongs to; null for a personal space.';
COMMENT ON COLUMN app_data.spaces.owner_id IS
	'The person whose personal space it is; null for a space of an organization.';
COMMENT ON COLUMN app_data.spaces.name IS
	'What the space is called.';
COMMENT ON COLUMN app_data.spaces.slug IS
	'Its name in addresses; unique among live spaces of the same organization or owner whatever its case.';
COMMENT ON COLUMN app_data.spaces.visibility IS
	'Who can see the space.';
COMMENT ON COLUMN app_data.spaces.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.spaces.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.spaces.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.spaces.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.spaces', label => 'name', relations => '{"owner_id": {"inverse": "personal_spaces"}}');

CREATE TABLE app_data.space_members
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	user_id    uuid NOT NULL,
	role       app_data.space_role NOT NULL DEFAULT 'viewer',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT space_members_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT space_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id)
);

CREATE UNIQUE INDEX space_members_space_id_user_id_key
	ON app_data.space_members (space_id, user_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.space_members_space_id_user_id_key IS
	'Unique among live rows: one membership a person and space.';
CREATE INDEX space_members_space_id_idx
	ON app_data.space_members (space_id);
CREATE INDEX space_members_user_id_idx
	ON app_data.space_members (user_id);
CREATE INDEX space_members_owners_idx
	ON app_data.space_members (space_id) WHERE role = 'owner';
COMMENT ON INDEX app_data.space_members_owners_idx IS
	'Says who else owns a space, however many members it has.';

COMMENT ON TABLE app_data.space_members IS
	'Who may be in which space, and as what.';
COMMENT ON COLUMN app_data.space_members.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.space_members.space_id IS
	'The space.';
COMMENT ON COLUMN app_data.space_members.user_id IS
	'The user who may be in it.';
COMMENT ON COLUMN app_data.space_members.role IS
	'What the member may do.';
COMMENT ON COLUMN app_data.space_members.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.space_members.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.space_members.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.space_members', relations => '{"space_id": {"inverse": "members"}, "user_id": {"inverse": "space_memberships"}}');

CREATE TABLE app_data.invitations
(
	id              uuid PRIMARY KEY,
	organization_id uuid,
	space_id        uuid,
	email           text NOT NULL,
	role            app_data.invitation_role,
	status          app_data.invitation_status NOT NULL DEFAULT 'pending',
	expires_at      timestamptz(3) NOT NULL,
	inviter_id      uuid,
	token_hash      bytea,
	created_at      timestamptz(3) NOT NULL,
	updated_at      timestamptz(3) NOT NULL,
	deleted_at      timestamptz,
	CONSTRAINT invitations_organization_id_fkey FOREIGN KEY (organization_id) REFERENCES app_data.organizations (id),
	CONSTRAINT invitations_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT invitations_inviter_id_fkey FOREIGN KEY (inviter_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT invitations_target_check CHECK (num_nonnulls(organization_id, space_id) = 1),
	CONSTRAINT invitations_role_check CHECK (CASE WHEN space_id IS NULL THEN role IN ('owner', 'admin', 'member') ELSE role IN ('owner', 'admin', 'editor', 'viewer') END),
	CONSTRAINT invitations_email_check CHECK (char_length(email) <= 320 AND email LIKE '_%@_%'),
	CONSTRAINT invitations_token_hash_check CHECK (octet_length(token_hash) = 32)
);

CREATE UNIQUE INDEX invitations_token_hash_key
	ON app_data.invitations (token_hash) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.invitations_token_hash_key IS
	'Unique among live rows: one invitation a token.';
CREATE INDEX invitations_organization_id_idx
	ON app_data.invitations (organization_id) WHERE organization_id IS NOT NULL;
CREATE INDEX invitations_space_id_idx
	ON app_data.invitations (space_id) WHERE space_id IS NOT NULL;
CREATE INDEX invitations_inviter_id_idx
	ON app_data.invitations (inviter_id);
CREATE INDEX invitations_email_idx
	ON app_data.invitations (email);
COMMENT ON INDEX app_data.invitations_email_idx IS
	'Finds the invitations that wait for an address.';
CREATE INDEX invitations_lower_email_idx
	ON app_data.invitations (lower(email));
COMMENT ON INDEX app_data.invitations_lower_email_idx IS
	'Finds what is open for somebody who is removed, or invited again, whatever the case.';

COMMENT ON TABLE app_data.invitations IS
	'Invitations by e-mail to an organization or a space.';
COMMENT ON COLUMN app_data.invitations.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.invitations.organization_id IS
	'The organization that the invitation is to; null for one to a space.';
COMMENT ON COLUMN app_data.invitations.space_id IS
	'The space that the invitation is to; null for one to an organization.';
COMMENT ON COLUMN app_data.invitations.email IS
	'The address that the invitation was sent to.';
COMMENT ON COLUMN app_data.invitations.role IS
	'The role that the invitation offers; null means the least: member of an organization, viewer of a space.';
COMMENT ON COLUMN app_data.invitations.status IS
	'What became of it.';
COMMENT ON COLUMN app_data.invitations.expires_at IS
	'Until when it can be accepted.';
COMMENT ON COLUMN app_data.invitations.inviter_id IS
	'The user who invited; null where that user is gone.';
COMMENT ON COLUMN app_data.invitations.token_hash IS
	'SHA-256 of the token in the invitation''s link; the token itself is not kept.';
COMMENT ON COLUMN app_data.invitations.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.invitations.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.invitations.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.invitations', label => 'email', relations => '{"inviter_id": {"inverse": "sent_invitations"}}');
