-- auth: who the users are, how they prove it, and the sessions they are in.
--
-- Clients of better-auth and Auth.js use these tables as they are, with renamed columns: what those leave out is nullable or has a
-- default, and what they look up has an index. Sessions and verifications are secrets: they have no deleted_at and are deleted for good.

CREATE TABLE app_data.users
(
	id                  uuid PRIMARY KEY,
	name                text,
	email               text,
	email_verified      boolean NOT NULL DEFAULT false,
	email_verified_at   timestamptz(3),
	image               text,
	billing_customer_id text,
	metadata            jsonb NOT NULL DEFAULT '{}',
	created_at          timestamptz(3) NOT NULL,
	updated_at          timestamptz(3) NOT NULL,
	deleted_at          timestamptz,
	CONSTRAINT users_name_check CHECK (char_length(name) <= 500),
	CONSTRAINT users_email_check CHECK (char_length(email) <= 320 AND email LIKE '_%@_%'),
	CONSTRAINT users_email_verified_check CHECK (email_verified = (email_verified_at IS NOT NULL)),
	CONSTRAINT users_image_check CHECK (char_length(image) <= 1000000),
	CONSTRAINT users_billing_customer_id_check CHECK (char_length(billing_customer_id) BETWEEN 1 AND 255),
	CONSTRAINT users_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX users_email_key
	ON app_data.users (email) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.users_email_key IS
	'Unique among live rows: a deleted user''s address can be used again.';
CREATE UNIQUE INDEX users_lower_email_key
	ON app_data.users (lower(email)) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.users_lower_email_key IS
	'Unique among live rows: the e-mail address, whatever its case. Serves lookups by lower(email) too.';
CREATE INDEX users_billing_customer_id_idx
	ON app_data.users (billing_customer_id) WHERE billing_customer_id IS NOT NULL;
COMMENT ON INDEX app_data.users_billing_customer_id_idx IS
	'Finds the user that a payment provider''s message is about.';

COMMENT ON TABLE app_data.users IS
	'People who use the application.';
COMMENT ON COLUMN app_data.users.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.users.name IS
	'What the person is called; may be empty or unknown.';
COMMENT ON COLUMN app_data.users.email IS
	'The e-mail address as the person wrote it; unique among live users whatever its case.';
COMMENT ON COLUMN app_data.users.email_verified IS
	'Whether the e-mail address is known to be theirs; true exactly where email_verified_at is set.';
COMMENT ON COLUMN app_data.users.email_verified_at IS
	'When the e-mail address was verified; filled when email_verified becomes true.';
COMMENT ON COLUMN app_data.users.image IS
	'Address of a picture of the person, or the picture itself as a data URL.';
COMMENT ON COLUMN app_data.users.billing_customer_id IS
	'The customer at the payment provider whose subscriptions are this person''s own.';
COMMENT ON COLUMN app_data.users.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.users.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.users.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.users.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.users', label => 'name');

-- A session's expires_at and updated_at change as long as it is used, so pages keep room for HOT updates. For the same reason there is
-- no index on expires_at: finding what has expired is a job for a scan now and then. The foreign key of active_organization_id is made
-- in 20_organization.sql, where the organizations are, and so the table is managed from there on.
CREATE TABLE app_data.sessions
(
	id                     uuid PRIMARY KEY,
	user_id                uuid NOT NULL,
	token                  text,
	token_hash             bytea NOT NULL,
	expires_at             timestamptz(3) NOT NULL,
	ip_address             text,
	user_agent             text,
	active_organization_id uuid,
	created_at             timestamptz(3) NOT NULL,
	updated_at             timestamptz(3) NOT NULL,
	CONSTRAINT sessions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE CASCADE,
	CONSTRAINT sessions_token_check CHECK (octet_length(token) BETWEEN 1 AND 2000),
	CONSTRAINT sessions_token_hash_check CHECK (octet_length(token_hash) = 32),
	CONSTRAINT sessions_ip_address_check CHECK (char_length(ip_address) <= 255),
	CONSTRAINT sessions_user_agent_check CHECK (char_length(user_agent) <= 10000)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX sessions_token_key
	ON app_data.sessions (token);
COMMENT ON INDEX app_data.sessions_token_key IS
	'One session a token; serves lookups by the token itself.';
CREATE UNIQUE INDEX sessions_token_hash_key
	ON app_data.sessions (token_hash);
COMMENT ON INDEX app_data.sessions_token_hash_key IS
	'One session a token; serves authentication, which looks up the hash.';
CREATE INDEX sessions_user_id_idx
	ON app_data.sessions (user_id);
CREATE INDEX sessions_active_organization_id_idx
	ON app_data.sessions (active_organization_id) WHERE active_organization_id IS NOT NULL;

COMMENT ON TABLE app_data.sessions IS
	'Sign-ins that are in force. Rows are secrets: deleting one deletes it for good.';
COMMENT ON COLUMN app_data.sessions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.sessions.user_id IS
	'The user who is signed in.';
COMMENT ON COLUMN app_data.sessions.token IS
	'Secret: the session token as the client gave it, for clients that look it up; null where only the hash is kept.';
COMMENT ON COLUMN app_data.sessions.token_hash IS
	'SHA-256 of the token; filled from the token where one is given.';
COMMENT ON COLUMN app_data.sessions.expires_at IS
	'When the session ends.';
COMMENT ON COLUMN app_data.sessions.ip_address IS
	'The address that the sign-in came from, as the client gave it: may be empty.';
COMMENT ON COLUMN app_data.sessions.user_agent IS
	'The browser or program that signed in, as it called itself.';
COMMENT ON COLUMN app_data.sessions.active_organization_id IS
	'The organization that the user is working in.';
COMMENT ON COLUMN app_data.sessions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.sessions.updated_at IS
	'When the row last changed; kept by the engine.';

CREATE TABLE app_data.accounts
(
	id                       uuid PRIMARY KEY,
	user_id                  uuid NOT NULL,
	provider_id              text NOT NULL,
	account_id               text NOT NULL,
	issuer                   text,
	type                     text,
	access_token             text,
	refresh_token            text,
	id_token                 text,
	access_token_expires_at  timestamptz(3),
	refresh_token_expires_at timestamptz(3),
	expires_at               bigint,
	scope                    text,
	token_type               text,
	session_state            text,
	password                 text,
	created_at               timestamptz(3) NOT NULL,
	updated_at               timestamptz(3) NOT NULL,
	deleted_at               timestamptz,
	CONSTRAINT accounts_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT accounts_provider_id_check CHECK (octet_length(provider_id) BETWEEN 1 AND 255),
	CONSTRAINT accounts_account_id_check CHECK (octet_length(account_id) BETWEEN 1 AND 1000),
	CONSTRAINT accounts_issuer_check CHECK (octet_length(issuer) BETWEEN 1 AND 1000),
	CONSTRAINT accounts_type_check CHECK (char_length(type) BETWEEN 1 AND 50),
	CONSTRAINT accounts_access_token_check CHECK (char_length(access_token) <= 65536),
	CONSTRAINT accounts_refresh_token_check CHECK (char_length(refresh_token) <= 65536),
	CONSTRAINT accounts_id_token_check CHECK (char_length(id_token) <= 65536),
	CONSTRAINT accounts_scope_check CHECK (char_length(scope) <= 10000),
	CONSTRAINT accounts_token_type_check CHECK (char_length(token_type) <= 255),
	CONSTRAINT accounts_session_state_check CHECK (char_length(session_state) <= 10000),
	CONSTRAINT accounts_password_check CHECK (char_length(password) <= 1000)
);

CREATE UNIQUE INDEX accounts_provider_id_account_id_key
	ON app_data.accounts (provider_id, account_id, issuer) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.accounts_provider_id_account_id_key IS
	'Unique among live rows: an identity at a provider belongs to one user. Clients without issuers have one for all.';
CREATE UNIQUE INDEX accounts_issuer_account_id_key
	ON app_data.accounts (issuer, account_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.accounts_issuer_account_id_key IS
	'Unique among live rows: an issuer''s identity belongs to one user, whatever the provider is called.';
CREATE INDEX accounts_user_id_idx
	ON app_data.accounts (user_id);

COMMENT ON TABLE app_data.accounts IS
	'Ways in which users sign in: one row for each identity at a provider, or for a password.';
COMMENT ON COLUMN app_data.accounts.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.accounts.user_id IS
	'The user whose identity this is.';
COMMENT ON COLUMN app_data.accounts.provider_id IS
	'The provider by the application''s name for it: github, google, credential ...';
COMMENT ON COLUMN app_data.accounts.account_id IS
	'The user''s identity at the provider; for passwords the user''s own id.';
COMMENT ON COLUMN app_data.accounts.issuer IS
	'Who vouches for account_id, where the client tells issuers of one provider apart.';
COMMENT ON COLUMN app_data.accounts.type IS
	'The kind of account by the client''s word for it: oauth, oidc, email, credentials, webauthn.';
COMMENT ON COLUMN app_data.accounts.access_token IS
	'Secret: the provider''s access token.';
COMMENT ON COLUMN app_data.accounts.refresh_token IS
	'Secret: the provider''s refresh token.';
COMMENT ON COLUMN app_data.accounts.id_token IS
	'Secret: the provider''s OpenID Connect id token.';
COMMENT ON COLUMN app_data.accounts.access_token_expires_at IS
	'When the access token expires.';
COMMENT ON COLUMN app_data.accounts.refresh_token_expires_at IS
	'When the refresh token expires.';
COMMENT ON COLUMN app_data.accounts.expires_at IS
	'When the access token expires in seconds since 1970, for clients that keep it so (Auth.js).';
COMMENT ON COLUMN app_data.accounts.scope IS
	'What the user allowed the application to do at the provider.';
COMMENT ON COLUMN app_data.accounts.token_type IS
	'How the access token is presented, as the provider said: mostly bearer.';
COMMENT ON COLUMN app_data.accounts.session_state IS
	'The provider''s session state, as the provider said.';
COMMENT ON COLUMN app_data.accounts.password IS
	'Secret: hash of the password, where the account is one of name and password.';
COMMENT ON COLUMN app_data.accounts.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.accounts.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.accounts.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.accounts', label => 'provider_id');

CREATE TABLE app_data.verifications
(
	id         uuid PRIMARY KEY,
	identifier text NOT NULL,
	value      text NOT NULL,
	expires_at timestamptz(3) NOT NULL,
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	CONSTRAINT verifications_identifier_check CHECK (octet_length(identifier) BETWEEN 1 AND 2000),
	CONSTRAINT verifications_value_check CHECK (char_length(value) <= 65536)
);

CREATE INDEX verifications_identifier_idx
	ON app_data.verifications (identifier);
COMMENT ON INDEX app_data.verifications_identifier_idx IS
	'Finds what is open for an address; the same address may have several.';

COMMENT ON TABLE app_data.verifications IS
	'Things to be confirmed once: e-mail addresses, password resets, one-time codes. Rows are secrets: deleting one deletes it for good.';
COMMENT ON COLUMN app_data.verifications.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.verifications.identifier IS
	'What is to be confirmed: an e-mail address, or the client''s key for it.';
COMMENT ON COLUMN app_data.verifications.value IS
	'Secret: the token or code, or what the client keeps with it.';
COMMENT ON COLUMN app_data.verifications.expires_at IS
	'Until when it can be confirmed.';
COMMENT ON COLUMN app_data.verifications.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.verifications.updated_at IS
	'When the row last changed; kept by the engine.';

SELECT appdb.manage('app_data.verifications');
