-- Passwords, hashed and verified in the database.
--
-- By bcrypt of the extension pgcrypto: it is maintained with PostgreSQL and
-- comes with it, its hashes cost an attacker time on purpose, and clients'
-- bcrypt libraries read and write the same format, so a hash can move in either
-- direction.  An algorithm of our own would be one more to get wrong.
-- pgcrypto is looked up when it is needed: without passwords it need not be
-- there, and it can be in any schema.
--
-- These are functions, not procedures: pg_stat_statements keeps the constants
-- of a SELECT to itself, but before version 17 not those of a CALL.

CREATE FUNCTION appdb._bcrypt(password pg_catalog.text, salt pg_catalog.text DEFAULT NULL) RETURNS pg_catalog.text
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	pgcrypto regnamespace := (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'pgcrypto');
	hash text;
BEGIN
	IF pgcrypto IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'feature_not_supported',
			MESSAGE = 'passwords need the extension "pgcrypto"',
			HINT = 'CREATE EXTENSION pgcrypto;';
	END IF;
	IF salt IS NULL THEN
		EXECUTE format('SELECT %s.crypt($1, %1$s.gen_salt(''bf''::text, 12))', pgcrypto) INTO hash USING password;
		RETURN hash;
	END IF;
	-- $2b$ and $2y$ are other programs' names for what pgcrypto calls $2a$
	EXECUTE format('SELECT %s.crypt($1, $2)', pgcrypto) INTO hash
	USING password, regexp_replace(salt, '^[$]2[by][$]', '$2a$');
	RETURN left(salt, 4) || substr(hash, 5);
END
$$;
COMMENT ON FUNCTION appdb._bcrypt(pg_catalog.text, pg_catalog.text) IS
	'Internal: the bcrypt hash of a password, by a new salt or by that of a hash';

CREATE FUNCTION appdb._set_password(user_id pg_catalog.uuid, password pg_catalog.text) RETURNS void
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	account record;
BEGIN
	IF _set_password.user_id IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'null_value_not_allowed',
			MESSAGE = 'user_id must not be null';
	ELSIF coalesce(_set_password.password, '') = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'a password is needed';
	ELSIF octet_length(_set_password.password) > 72 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'password is too long',
			DETAIL = 'It has more than 72 bytes, which bcrypt would leave out.';
	END IF;
	-- two at once wait for each other here
	PERFORM FROM app_data.users u WHERE u.id = _set_password.user_id AND u.deleted_at IS NULL FOR NO KEY UPDATE;
	IF NOT FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_authorization_specification',
			MESSAGE = format('there is no user %s', _set_password.user_id),
			DETAIL = 'The user does not exist, or is deleted.';
	END IF;
	SELECT a.id, a.password INTO account FROM app_data.accounts a
	WHERE a.user_id = _set_password.user_id AND a.provider_id = 'credential' AND a.deleted_at IS NULL
	ORDER BY a.id LIMIT 1;
	IF NOT FOUND THEN
		INSERT INTO app_data.accounts (user_id, provider_id, account_id, password)
		VALUES (_set_password.user_id, 'credential', _set_password.user_id::text, appdb._bcrypt(_set_password.password));
	ELSIF account.password IS NOT NULL AND account.password !~ '^[$]2[abxy][$]' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('password of user %s belongs to a client', _set_password.user_id),
			DETAIL = 'It is hashed in a format other than bcrypt, and that client could not verify a new one.',
			HINT = 'Change it through that client, or set accounts.password to null first.';
	ELSE
		UPDATE app_data.accounts a SET password = appdb._bcrypt(_set_password.password) WHERE a.id = account.id;
	END IF;
END
$$;
COMMENT ON FUNCTION appdb._set_password(pg_catalog.uuid, pg_catalog.text) IS 'Internal: the work of appdb.set_password()';

CREATE FUNCTION appdb.set_password(user_id pg_catalog.uuid, password pg_catalog.text) RETURNS void
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.set_password(pg_catalog.uuid, pg_catalog.text) IS
'Sets a user''s password: its bcrypt hash, in the account of provider "credential". Sessions go on.
user_id: the user; password: at most 72 bytes. Needs the extension pgcrypto.
Errors: 28000 where there is no such live user; 22023 an empty or too long password; 55000 where a client keeps a password in a format of its own; 0A000 without pgcrypto. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.set_password(pg_catalog.uuid, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb._sign_in_with_password(
	email pg_catalog.text, password pg_catalog.text, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE plpgsql
	SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	account record;
	hash text;
	stand_in text := '$2a$12$1nGUsVIfZJL/VoJX4e4AFOc0W0uq.z0F6nCO0XeA5pF.3x8fHx6hu';
	right_password bool;
BEGIN
	SELECT u.id, a.password INTO account
	FROM app_data.users u
	JOIN app_data.accounts a ON a.user_id = u.id AND a.provider_id = 'credential' AND a.deleted_at IS NULL
	WHERE lower(u.email) IN (lower(_sign_in_with_password.email), lower(btrim(_sign_in_with_password.email, E' \t\r\n'))) AND u.deleted_at IS NULL
	ORDER BY lower(u.email) = lower(_sign_in_with_password.email) DESC, a.id LIMIT 1;
	-- the same work whether there is a user or not: else time tells who is one
	hash := CASE WHEN account.password ~ '^[$]2[abxy][$](0[4-9]|[12][0-9]|3[01])[$][./A-Za-z0-9]{53}$' THEN account.password
			ELSE stand_in END;
	right_password := appdb._bcrypt(coalesce(_sign_in_with_password.password, ''), hash) = hash
		AND hash = account.password AND octet_length(_sign_in_with_password.password) BETWEEN 1 AND 72;
	IF account.password IS NOT NULL AND hash <> account.password THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('password of user %s belongs to a client', account.id),
			DETAIL = 'It is hashed in a format other than bcrypt.',
			HINT = 'Let that client verify it, and call appdb.sign_in().';
	ELSIF right_password IS NOT TRUE THEN
		-- clients' hashes cost less, often: half of the work, a quarter ...
		FOR cost IN substr(hash, 5, 2)::int .. 11 LOOP
			PERFORM appdb._bcrypt(coalesce(_sign_in_with_password.password, ''), overlay(stand_in PLACING lpad(cost::text, 2, '0') FROM 5));
		END LOOP;
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_password',
			MESSAGE = 'wrong e-mail address or password';
	END IF;
	SELECT s.token, s.session_id, s.expires_at INTO token, session_id, expires_at
	FROM appdb.sign_in(account.id, _sign_in_with_password.lifetime, _sign_in_with_password.ip_address,
					   _sign_in_with_password.user_agent) s;
END
$$;
COMMENT ON FUNCTION appdb._sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
	'Internal: the work of appdb.sign_in_with_password()';

CREATE FUNCTION appdb.sign_in_with_password(
	email pg_catalog.text, password pg_catalog.text, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb.sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
'Verifies a password that appdb.set_password() or a client has kept as a bcrypt hash, and makes a session, as appdb.sign_in() does.
email: the user''s address, in any case (blanks around it are left out); password: the password; lifetime, ip_address, user_agent: as for appdb.sign_in(). Needs the extension pgcrypto.
Errors: 28P01 for whatever is wrong, after the same work; 55000 where a client keeps the password in a format of its own; 0A000 without pgcrypto. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.sign_in_with_password(pg_catalog.text, pg_catalog.text, pg_catalog.interval, pg_catalog.text, pg_catalog.text) FROM PUBLIC;
