-- auth: users, sessions, accounts and verifications, as applications use them: through the live views.
BEGIN;
SELECT plan(57);

\set ann '\'00000000-0000-4000-8000-0000000000a1\''

-- == users ==================================================================

PREPARE new_user AS INSERT INTO appdb.users (name, email) VALUES ('Zoe', 'zoe@example.org')
	RETURNING appdb.uuid_extract_version(id), name, email, email_verified, email_verified_at, image, metadata, created_at = updated_at, deleted_at;
SELECT results_eq('new_user',
	$$VALUES (7::smallint, 'Zoe', 'zoe@example.org', false, NULL::timestamptz, NULL::text, '{}'::jsonb, true, NULL::timestamptz)$$,
	'a user needs a name and an address, and the rest has its defaults');
SELECT lives_ok($$INSERT INTO appdb.users (email) VALUES ('nameless@example.org')$$, 'a user without a name (Auth.js)');
SELECT lives_ok($$INSERT INTO appdb.users (name) VALUES ('No Mail'), ('No Mail Either')$$, 'users without an address, any number of them');
SELECT lives_ok($$INSERT INTO appdb.users (name, email) VALUES ('', 'empty@example.org')$$, 'a user whose name is empty (better-auth)');
INSERT INTO appdb.users (id, name, email, email_verified, created_at, updated_at)
VALUES (:ann, 'Ann', 'Ann@Example.org', false, '2024-02-03 04:05:06.789+00', '2024-02-03 04:05:06.789+00');
SELECT results_eq($$SELECT name, created_at, updated_at FROM appdb.users WHERE id = '00000000-0000-4000-8000-0000000000a1'$$,
	$$VALUES ('Ann', '2024-02-03 04:05:06.789+00'::timestamptz, '2024-02-03 04:05:06.789+00'::timestamptz)$$,
	'an import keeps its ids and times');
SELECT results_eq($$SELECT count(*) FROM appdb.users WHERE created_at = date_trunc('milliseconds', created_at)$$,
	$$SELECT count(*) FROM appdb.users$$, 'a user is found by a time in milliseconds');

SELECT throws_ok($$INSERT INTO appdb.users (email) VALUES ('zoe@example.org')$$, '23505', NULL, 'an address belongs to one user');
SELECT throws_ok($$INSERT INTO appdb.users (email) VALUES ('ANN@example.ORG')$$, '23505', NULL, 'whatever its case');
SELECT throws_ok($$UPDATE appdb.users SET email = 'zoe@example.org' WHERE name = 'Ann'$$, '23505', NULL, 'nor can it be changed to another''s');
SELECT throws_ok($$INSERT INTO appdb.users (email) VALUES ('nobody')$$, '23514', NULL, 'what is no address is refused');
SELECT throws_ok($$INSERT INTO appdb.users (email) VALUES (repeat('x', 320) || '@example.org')$$, '23514', NULL, 'so is one that is too long');
SELECT throws_ok($$INSERT INTO appdb.users (metadata) VALUES ('[1]')$$, '23514', NULL, 'metadata is an object');
SELECT throws_ok($$INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Other')$$, '23505', NULL, 'an id is given once');
SELECT throws_ok($$UPDATE appdb.users SET id = appdb.uuidv7() WHERE name = 'Ann'$$, '428C9', NULL, 'an id never changes');
SELECT throws_ok($$UPDATE appdb.users SET created_at = now() WHERE name = 'Ann'$$, '428C9', NULL, 'nor does the time at which a row was made');
UPDATE appdb.users SET image = 'https://example.org/a.png' WHERE name = 'Ann';
SELECT ok(updated_at > '2024-02-03 04:05:06.789+00', 'a change moves updated_at') FROM appdb.users WHERE name = 'Ann';

-- upserts by address and by id
SELECT lives_ok($$INSERT INTO appdb.users (name, email) VALUES ('Zoe Z.', 'zoe@example.org')
	ON CONFLICT (email) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name$$, 'an upsert by address');
SELECT lives_ok($$INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann A.')
	ON CONFLICT (id) DO UPDATE SET name = excluded.name$$, 'an upsert by id');
SELECT set_eq($$SELECT name FROM appdb.users WHERE email IN ('zoe@example.org', 'Ann@Example.org')$$, ARRAY['Zoe Z.', 'Ann A.'], 'both changed the row that was there');

-- verified addresses: some clients say when, some only whether
SELECT results_eq($$INSERT INTO appdb.users (email, email_verified) VALUES ('v1@example.org', true) RETURNING email_verified, email_verified_at IS NOT NULL$$,
	$$VALUES (true, true)$$, 'an address that is verified has been so since now');
SELECT results_eq($$INSERT INTO appdb.users (email, email_verified_at) VALUES ('v2@example.org', '2024-01-01 00:00+00') RETURNING email_verified, email_verified_at$$,
	$$VALUES (true, '2024-01-01 00:00+00'::timestamptz)$$, 'one that was verified at a time is verified (Auth.js)');
SELECT results_eq($$UPDATE appdb.users SET email_verified = true WHERE email = 'zoe@example.org' RETURNING email_verified_at IS NOT NULL$$,
	$$VALUES (true)$$, 'it can be verified later');
SELECT results_eq($$UPDATE appdb.users SET email = 'zoe2@example.org', email_verified = false WHERE email = 'zoe@example.org' RETURNING email_verified_at$$,
	$$VALUES (NULL::timestamptz)$$, 'and no longer be');
SELECT results_eq($$UPDATE appdb.users SET email_verified_at = NULL WHERE email = 'v2@example.org' RETURNING email_verified$$,
	$$VALUES (false)$$, 'by either column');

-- == deleted users ==========================================================

SELECT results_eq($$DELETE FROM appdb.users WHERE email = 'v1@example.org' RETURNING email$$, $$VALUES ('v1@example.org')$$, 'deleting a user returns it');
SELECT is_empty($$SELECT FROM appdb.users WHERE email = 'v1@example.org'$$, 'it is gone from the live view');
SELECT results_eq($$SELECT deleted_at IS NOT NULL FROM app_data.users WHERE email = 'v1@example.org'$$, $$VALUES (true)$$, 'and still in the base table');
SELECT is_empty($$DELETE FROM appdb.users WHERE email = 'v1@example.org' RETURNING email$$, 'it cannot be deleted twice');
SELECT lives_ok($$INSERT INTO appdb.users (email) VALUES ('v1@example.org')$$, 'its address can be used again');

-- == sessions ===============================================================

SELECT results_eq($$INSERT INTO appdb.sessions (user_id, token, expires_at, ip_address, user_agent)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 'secret', now() + interval '1 day', '', 'Browser') RETURNING token, token_hash = sha256('secret'), ip_address$$,
	$$VALUES ('secret', true, '')$$, 'a session keeps its token and its hash; the address may be empty');
SELECT results_eq($$UPDATE appdb.sessions SET token = 'other' WHERE token = 'secret' RETURNING token_hash = sha256('other')$$, $$VALUES (true)$$, 'a new token has a new hash');
SELECT lives_ok($$INSERT INTO appdb.sessions (user_id, token_hash, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', sha256('hashed'), now())$$,
	'a session of which only the hash is kept');
SELECT results_eq($$INSERT INTO appdb.sessions (user_id, token, token_hash, expires_at)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 'true', sha256('false'), now()) RETURNING token_hash = sha256('true')$$, $$VALUES (true)$$,
	'a hash that is not the token''s is put right');
SELECT throws_ok($$UPDATE appdb.sessions SET token = NULL, token_hash = NULL WHERE token = 'true'$$,
	'23502', NULL, 'there is no session without a token or its hash');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', now())$$, '23502', NULL, 'nor a new one');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'other', now())$$, '23505', NULL, 'a token is of one session');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'hashed', now())$$, '23505', NULL,
	'also where only its hash is known');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, token_hash, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', 'short', now())$$, '23514', NULL, 'a hash is of SHA-256');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ('00000000-0000-4000-8000-0000000000b1', 'x', now())$$, '23503', NULL, 'a session is somebody''s');
SELECT throws_ok($$INSERT INTO appdb.sessions (user_id, token) VALUES ('00000000-0000-4000-8000-0000000000a1', 'x')$$, '23502', NULL, 'and ends some day');
SELECT results_eq($$DELETE FROM appdb.sessions WHERE token = 'other' RETURNING user_id$$, $$VALUES ('00000000-0000-4000-8000-0000000000a1'::uuid)$$, 'signing out deletes the session');
SELECT is_empty($$SELECT FROM app_data.sessions WHERE token = 'other'$$, 'for good');

-- == accounts ===============================================================

SELECT lives_ok($$INSERT INTO appdb.accounts (user_id, type, provider_id, account_id, access_token, token_type, scope, id_token, expires_at, session_state)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 'oauth', 'github', '42', 'at', 'bearer', 'read:user', 'it', 1700000000, 's')$$, 'an account of Auth.js');
SELECT throws_ok($$INSERT INTO appdb.accounts (user_id, provider_id, account_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'github', '42')$$, '23505', NULL,
	'an identity at a provider is linked once');
SELECT lives_ok($$INSERT INTO appdb.accounts (user_id, provider_id, account_id, issuer, password)
	VALUES ('00000000-0000-4000-8000-0000000000a1', 'credential', '00000000-0000-4000-8000-0000000000a1', 'local:credential', 'salt:hash')$$, 'a password of better-auth');
SELECT lives_ok($$INSERT INTO appdb.accounts (user_id, provider_id, account_id, issuer) VALUES
	('00000000-0000-4000-8000-0000000000a1', 'sso', '7', 'https://a.example.org'), ('00000000-0000-4000-8000-0000000000a1', 'sso', '7', 'https://b.example.org')$$,
	'two issuers of one provider may know the same identity');
SELECT throws_ok($$INSERT INTO appdb.accounts (user_id, provider_id, account_id, issuer) VALUES ('00000000-0000-4000-8000-0000000000a1', 'sso2', '7', 'https://a.example.org')$$,
	'23505', NULL, 'an issuer''s identity is linked once, whatever the provider is called');
SELECT lives_ok($$DELETE FROM appdb.accounts WHERE provider_id = 'github'$$, 'an account is unlinked');
SELECT lives_ok($$INSERT INTO appdb.accounts (user_id, provider_id, account_id) VALUES ('00000000-0000-4000-8000-0000000000a1', 'github', '42')$$, 'and linked again');
SELECT throws_ok($$INSERT INTO appdb.accounts (provider_id, account_id) VALUES ('github', '43')$$, '23502', NULL, 'an account is somebody''s');

-- == verifications ==========================================================

SELECT lives_ok($$INSERT INTO appdb.verifications (identifier, value, expires_at) VALUES
	('ann@example.org', '123456', now() + interval '1 hour'), ('ann@example.org', '654321', now() + interval '1 hour')$$, 'codes for an address');
SELECT results_eq($$DELETE FROM appdb.verifications WHERE identifier = 'ann@example.org' AND value = '123456' RETURNING value$$, $$VALUES ('123456')$$, 'a code is used');
SELECT is_empty($$DELETE FROM appdb.verifications WHERE identifier = 'ann@example.org' AND value = '123456' RETURNING value$$, 'once');
SELECT results_eq($$SELECT value FROM app_data.verifications$$, $$VALUES ('654321')$$, 'and nothing is left of it');
SELECT throws_ok($$INSERT INTO appdb.verifications (identifier, value, expires_at) VALUES ('', 'x', now())$$, '23514', NULL, 'a verification is of something');

-- == relations ==============================================================

SELECT set_eq($$SELECT a.provider_id FROM appdb.users AS u, appdb.accounts(u) AS a WHERE u.name = 'Ann A.'$$, ARRAY['github', 'credential', 'sso'], 'a user''s accounts');
SELECT results_eq($$SELECT DISTINCT u.name FROM appdb.sessions AS s, appdb.user(s) AS u$$, $$VALUES ('Ann A.')$$, 'a session''s user');

SELECT * FROM finish();
ROLLBACK;
