-- Who is asking (src/identity.c).

CREATE FUNCTION appdb.current_user_id() RETURNS pg_catalog.uuid
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_current_user_id';
COMMENT ON FUNCTION appdb.current_user_id() IS
	'The user who is asking, as appdb.authenticate() or appdb.impersonate() has found; null for nobody';

CREATE FUNCTION appdb.current_session_id() RETURNS pg_catalog.uuid
	LANGUAGE c STABLE PARALLEL SAFE LEAKPROOF
	AS 'MODULE_PATHNAME', 'appdb_current_session_id';
COMMENT ON FUNCTION appdb.current_session_id() IS
	'The session by which the user is asking; null where there is none';

CREATE FUNCTION appdb.authenticate(token pg_catalog.text, for_session pg_catalog.bool DEFAULT false) RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_authenticate';
COMMENT ON FUNCTION appdb.authenticate(pg_catalog.text, pg_catalog.bool) IS
'Signs in by a session token until the end of the transaction; returns the user. Writes nothing: works on a standby.
token: as appdb.sign_in() returned it, or as a client has stored it in sessions; for_session: until the connection ends instead (not behind a pooler).
Errors: 28000 for a token that is unknown or expired, or whose user is deleted. The rollback, of the transaction or to a savepoint, brings back who was signed in before.';

CREATE FUNCTION appdb.impersonate(user_id pg_catalog.uuid, for_session pg_catalog.bool DEFAULT false) RETURNS pg_catalog.uuid
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_impersonate';
COMMENT ON FUNCTION appdb.impersonate(pg_catalog.uuid, pg_catalog.bool) IS
'Acts as a user until the end of the transaction, without a token: for servers that have authenticated the user themselves.
user_id: the user, null for nobody; for_session: until the connection ends instead (not behind a pooler).
Errors: 28000 where there is no such live user. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.impersonate(pg_catalog.uuid, pg_catalog.bool) FROM PUBLIC;

CREATE FUNCTION appdb._new_token(OUT token pg_catalog.text, OUT token_hash pg_catalog.bytea) RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_new_token';
COMMENT ON FUNCTION appdb._new_token() IS 'Internal: a random token of 256 bits and its SHA-256';

CREATE FUNCTION appdb.sign_in(
	user_id pg_catalog.uuid, lifetime pg_catalog.interval DEFAULT '30 days',
	ip_address pg_catalog.text DEFAULT NULL, user_agent pg_catalog.text DEFAULT NULL,
	OUT token pg_catalog.text, OUT session_id pg_catalog.uuid, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_in';
COMMENT ON FUNCTION appdb.sign_in(pg_catalog.uuid, pg_catalog.interval, pg_catalog.text, pg_catalog.text) IS
'Makes a session for a user whom the caller has authenticated, and returns its token, which is kept nowhere: only its SHA-256 is.
user_id: the user; lifetime: until when the session holds, from now; ip_address, user_agent: to be shown to the user.
Errors: 28000 where there is no such live user. Only roles with access level service may.';
REVOKE EXECUTE ON FUNCTION appdb.sign_in(pg_catalog.uuid, pg_catalog.interval, pg_catalog.text, pg_catalog.text) FROM PUBLIC;

CREATE FUNCTION appdb.sign_out() RETURNS pg_catalog.bool
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_out';
COMMENT ON FUNCTION appdb.sign_out() IS
	'Ends the session that the caller has authenticated with; returns whether there was one';

CREATE FUNCTION appdb.sign_out_everywhere() RETURNS pg_catalog.int8
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_sign_out_everywhere';
COMMENT ON FUNCTION appdb.sign_out_everywhere() IS
	'Ends every session of the user who is asking; returns how many. Errors: 28000 where nobody is signed in';

CREATE FUNCTION appdb.extend_session(
	lifetime pg_catalog.interval DEFAULT '30 days', OUT extended pg_catalog.bool, OUT expires_at pg_catalog.timestamptz)
	RETURNS pg_catalog.record
	LANGUAGE c VOLATILE
	AS 'MODULE_PATHNAME', 'appdb_extend_session';
COMMENT ON FUNCTION appdb.extend_session(pg_catalog.interval) IS
'Lets the session that the caller has authenticated with go on for as long as it is used, without a write on each request: it is written only when less than half of the lifetime is left, and never waits.
lifetime: how long it holds from now on. Returns whether it was written, and until when the session holds. In a read-only transaction nothing is written.
Errors: 28000 where there is no session; 22023 for a lifetime that is not longer than nothing.';

CREATE FUNCTION appdb.query_as(token pg_catalog.text, query pg_catalog.text, params pg_catalog.text[] DEFAULT '{}')
	RETURNS SETOF pg_catalog.json
	LANGUAGE c VOLATILE ROWS 100
	AS 'MODULE_PATHNAME', 'appdb_query_as';
COMMENT ON FUNCTION appdb.query_as(pg_catalog.text, pg_catalog.text, pg_catalog.text[]) IS
'Authenticates and runs one query, with the caller''s privileges, in one statement: safe behind a pooler without a transaction block. Whoever was asking before is that again afterwards.
token: as for appdb.authenticate(); query: one query, in which $1, $2 ... are the parameters; params: their values as text, to be cast in the query where they are anything else.
Returns each row as a JSON object; nothing for a query without a result. Errors: 28000 for a token that does not hold; 42601 for several queries.';
