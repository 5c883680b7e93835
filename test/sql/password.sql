-- Passwords by pgcrypto's bcrypt.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
DROP EXTENSION IF EXISTS pgcrypto;
INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-7000-8000-00000000000a', 'Ann', 'Ann@example.com'),
	('00000000-0000-7000-8000-00000000000b', 'Bob', 'bob@example.com'),
	('00000000-0000-7000-8000-00000000000c', 'Cat', 'cat@example.com'),
	('00000000-0000-7000-8000-00000000000d', 'Dan', 'dan@example.com');
CREATE ROLE regress_password_service;
CREATE ROLE regress_password_app;
SELECT appdb.grant_access('regress_password_service', 'service'), appdb.grant_access('regress_password_app', 'app');

-- == without pgcrypto =======================================================
SET ROLE regress_password_service;
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000a', 'secret');
SELECT token FROM appdb.sign_in_with_password('ann@example.com', 'secret');
RESET ROLE;
-- in a schema of its own
CREATE SCHEMA regress_crypto;
CREATE EXTENSION pgcrypto SCHEMA regress_crypto;

-- == setting ================================================================
SET ROLE regress_password_app;
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000a', 'secret');
SELECT token FROM appdb.sign_in_with_password('ann@example.com', 'secret');
SET ROLE regress_password_service;
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000a', 'first');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000a', 'secret');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', repeat('ü', 36));
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', repeat('ü', 36) || 'x');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', '');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', NULL);
SELECT appdb.set_password('00000000-0000-7000-8000-0000000000ff', 'secret');
SELECT user_id, provider_id, account_id, length(password), left(password, 7) FROM appdb.accounts ORDER BY user_id;

-- == signing in =============================================================
SELECT length(token) AS length, session_id IS NOT NULL AS session, expires_at < now() + '8 days'::interval AS expires, token AS t
FROM appdb.sign_in_with_password('aNN@example.com', 'secret', lifetime => '7 days', ip_address => '::1', user_agent => 'test') \gset
\echo :length :session :expires
SELECT user_id, ip_address, user_agent FROM appdb.sessions;
SELECT appdb.authenticate(:'t');
SELECT length(token) FROM appdb.sign_in_with_password('bob@example.com', repeat('ü', 36));
-- blanks around the address are nobody's, unless stored
SELECT length(token) FROM appdb.sign_in_with_password(E' ann@example.com \n', 'secret');
UPDATE appdb.users SET email = ' dan@example.com' WHERE email = 'dan@example.com';
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000d', 'secret');
SELECT length(token) FROM appdb.sign_in_with_password(' dan@example.com', 'secret');
DELETE FROM appdb.accounts WHERE user_id = '00000000-0000-7000-8000-00000000000d';
UPDATE appdb.users SET email = 'dan@example.com' WHERE email = ' dan@example.com';
-- wrong in any way: one answer
SELECT token FROM appdb.sign_in_with_password('ann@example.com', 'first');
SELECT token FROM appdb.sign_in_with_password('ann@example.com', '');
SELECT token FROM appdb.sign_in_with_password('ann@example.com', NULL);
SELECT token FROM appdb.sign_in_with_password('bob@example.com', repeat('ü', 36) || 'x');
SELECT token FROM appdb.sign_in_with_password('nobody@example.com', 'secret');
SELECT token FROM appdb.sign_in_with_password(NULL, 'secret');
SELECT token FROM appdb.sign_in_with_password('dan@example.com', 'secret');
-- not even who knows the text of the hash that stands in for none
INSERT INTO appdb.accounts (user_id, provider_id, account_id) VALUES ('00000000-0000-7000-8000-00000000000d', 'credential', '00000000-0000-7000-8000-00000000000d');
SELECT token FROM appdb.sign_in_with_password('dan@example.com', 'secret');
-- a client's bcrypt, under its name for it
UPDATE appdb.accounts SET password = '$2b$' || substr(password, 5) WHERE user_id = '00000000-0000-7000-8000-00000000000a';
SELECT length(token) FROM appdb.sign_in_with_password('ann@example.com', 'secret');
SELECT token FROM appdb.sign_in_with_password('ann@example.com', 'Secret');
-- known to others too: U*U of the test vectors of crypt_blowfish
UPDATE appdb.accounts SET password = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' WHERE user_id = '00000000-0000-7000-8000-00000000000d';
SELECT length(token) FROM appdb.sign_in_with_password('dan@example.com', 'U*U');
-- a wrong password takes the work of a hash of our own, at any cost of a client's: 2^5 + 2^5 + 2^6 + ... + 2^11
SET ROLE NONE;
SET track_functions = 'pl';
BEGIN;
DO $$ BEGIN PERFORM appdb.sign_in_with_password('dan@example.com', 'U*V'); EXCEPTION WHEN invalid_password THEN END $$;
SELECT calls FROM pg_stat_xact_user_functions WHERE funcid = 'appdb._bcrypt(text, text)'::regprocedure;
DO $$ BEGIN PERFORM appdb.sign_in_with_password('nobody@example.com', 'U*V'); EXCEPTION WHEN invalid_password THEN END $$;
SELECT calls FROM pg_stat_xact_user_functions WHERE funcid = 'appdb._bcrypt(text, text)'::regprocedure;
COMMIT;
RESET track_functions;
SET ROLE regress_password_service;
-- one that was cut off is no bcrypt hash
UPDATE appdb.accounts SET password = left(password, 20) WHERE user_id = '00000000-0000-7000-8000-00000000000d';
SELECT token FROM appdb.sign_in_with_password('dan@example.com', 'U*U');
UPDATE appdb.accounts SET password = '$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW' WHERE user_id = '00000000-0000-7000-8000-00000000000d';
-- a client's own format is left alone
INSERT INTO appdb.accounts (user_id, provider_id, account_id, password)
VALUES ('00000000-0000-7000-8000-00000000000c', 'credential', '00000000-0000-7000-8000-00000000000c', repeat('0a', 16) || ':' || repeat('0b', 64));
SELECT token FROM appdb.sign_in_with_password('cat@example.com', 'secret');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000c', 'secret');
SELECT password = repeat('0a', 16) || ':' || repeat('0b', 64) AS as_it_was FROM appdb.accounts WHERE user_id = '00000000-0000-7000-8000-00000000000c';
-- a deleted account, a deleted user
DELETE FROM appdb.accounts WHERE user_id = '00000000-0000-7000-8000-00000000000b';
SELECT token FROM appdb.sign_in_with_password('bob@example.com', repeat('ü', 36));
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', 'new');
SELECT length(token) FROM appdb.sign_in_with_password('bob@example.com', 'new');
DELETE FROM appdb.users WHERE name = 'Bob';
SELECT token FROM appdb.sign_in_with_password('bob@example.com', 'new');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000b', 'newer');
RESET ROLE;

-- a session that reads backslashes in strings as escapes
\c -
SET standard_conforming_strings = off;
SELECT length(token) FROM appdb.sign_in_with_password('dan@example.com', 'U*U');
SELECT appdb.set_password('00000000-0000-7000-8000-00000000000d', 'U*V');
SELECT length(token) FROM appdb.sign_in_with_password('dan@example.com', 'U*V');
\c -
SET client_min_messages = warning;

SELECT appdb.revoke_access('regress_password_service'), appdb.revoke_access('regress_password_app');
DROP OWNED BY regress_password_service, regress_password_app;
DROP ROLE regress_password_service, regress_password_app;
DROP EXTENSION pgcrypto;
DROP SCHEMA regress_crypto;
SET appdb.allow_drop = on;
DELETE FROM app_data.sessions;
DELETE FROM app_data.accounts;
DELETE FROM app_data.users WHERE email LIKE '%@example.com';
DELETE FROM app_data.deletions;
