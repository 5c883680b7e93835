-- Sessions that go on while they are used; authentication and a query in one
-- statement.
SET client_min_messages = warning;
INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-7000-8000-00000000000a', 'Ann', 'ann@example.com'),
	('00000000-0000-7000-8000-00000000000b', 'Bob', 'bob@example.com');
CREATE ROLE regress_identity;
SELECT appdb.grant_access('regress_identity', 'app');
SELECT token AS a, session_id AS sa FROM appdb.sign_in('00000000-0000-7000-8000-00000000000a', lifetime => '10 days') \gset
SELECT token AS b FROM appdb.sign_in('00000000-0000-7000-8000-00000000000b', lifetime => '10 days') \gset
CREATE FUNCTION public.left_of(s uuid) RETURNS text LANGUAGE sql SECURITY DEFINER AS
	$$ SELECT 'about ' || round(extract(epoch FROM expires_at - now()) / 86400) || ' days' FROM app_data.sessions WHERE id = s $$;

-- == sliding expiry =========================================================
SET ROLE regress_identity;
-- nobody
SELECT appdb.extend_session();
BEGIN;
SELECT appdb.authenticate(:'a');
-- half of the lifetime or more is left: no write
SELECT extended, expires_at > now() + '9 days'::interval AS holds FROM appdb.extend_session('19 days');
SELECT pg_current_xact_id_if_assigned() IS NULL AS nothing_written;
-- less than half: written, but not where nothing can be
SAVEPOINT s;
SET TRANSACTION READ ONLY;
SELECT extended, expires_at < now() + '11 days'::interval AS as_before FROM appdb.extend_session('21 days');
ROLLBACK TO s;
SELECT extended, expires_at > now() + '20 days'::interval AS longer FROM appdb.extend_session('21 days');
SELECT extended FROM appdb.extend_session('21 days');
COMMIT;
SELECT public.left_of(:'sa');
-- another's stays as it is
BEGIN;
SELECT appdb.authenticate(:'b');
SELECT extended FROM appdb.extend_session();
COMMIT;
SELECT public.left_of(:'sa');
-- bad lifetimes
BEGIN;
SELECT appdb.authenticate(:'a');
SAVEPOINT s;
SELECT appdb.extend_session('0');
ROLLBACK TO s;
SELECT appdb.extend_session('-1 day');
ROLLBACK TO s;
SELECT appdb.extend_session(NULL);
ROLLBACK TO s;
-- ended meanwhile
RESET ROLE;
DELETE FROM app_data.sessions WHERE id = :'sa';
SET ROLE regress_identity;
SELECT appdb.extend_session();
ROLLBACK TO s;
-- or expired: nobody signs in by it any more
RESET ROLE;
UPDATE app_data.sessions SET expires_at = now() - '1 second'::interval WHERE id = :'sa';
SET ROLE regress_identity;
SELECT appdb.extend_session();
ROLLBACK;
-- a server that acts for a user has none
RESET ROLE;
BEGIN;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
SELECT appdb.extend_session();
ROLLBACK;

-- == one statement ==========================================================
SET ROLE regress_identity;
SELECT appdb.query_as(:'a', 'SELECT id, name FROM appdb.users');
SELECT appdb.query_as(:'b', 'SELECT name FROM appdb.users');
SELECT appdb.current_user_id();
SELECT name, appdb.query_as(t, 'SELECT appdb.current_user_id() AS id') FROM (VALUES ('a', :'a'), ('b', :'b'), ('a', :'a')) AS v (name, t);
-- parameters
SELECT appdb.query_as(:'a', 'SELECT $1 AS a, $2::int + 1 AS b, $3 AS c', ARRAY['o''clock; --', '41', NULL]);
SELECT appdb.query_as(:'a', 'SELECT 1 AS one WHERE $1 = $2', ARRAY['x', '''x'' OR true']);
-- writes, as the user
SELECT appdb.query_as(:'a', 'UPDATE appdb.users SET name = $1 RETURNING name', ARRAY['Anna']);
SELECT appdb.query_as(:'b', 'UPDATE appdb.users SET name = $1 WHERE id = $2::uuid RETURNING name', ARRAY['Mallory', '00000000-0000-7000-8000-00000000000a']);
SELECT appdb.query_as(:'a', 'UPDATE appdb.users SET name = $1', ARRAY['Ann']);
SELECT appdb.query_as(:'a', 'SELECT name FROM appdb.users');
-- the caller's privileges
SELECT appdb.query_as(:'a', 'SELECT token FROM appdb.sessions');
-- tokens that do not hold: nothing is run
SELECT appdb.query_as('wrong', 'SELECT 1');
SELECT appdb.query_as(NULL, 'SELECT 1');
-- not a query, or several
SELECT appdb.query_as(:'a', NULL);
SELECT appdb.query_as(:'a', 'SELECT 1; SELECT 2');
SELECT appdb.query_as(:'a', '');
SELECT appdb.query_as(:'a', 'COMMIT');
SELECT appdb.query_as(:'a', 'COPY appdb.users TO STDOUT');
SELECT appdb.current_user_id();
-- nor does an identity stay that the query asks for, for the session or not
SELECT appdb.query_as(:'a', 'SELECT appdb.authenticate($1, true) AS id', ARRAY[:'b']);
SELECT appdb.query_as(:'a', 'SELECT appdb.authenticate($1) AS id', ARRAY[:'b']);
SELECT appdb.current_user_id();
-- in a transaction block whoever was asking is that again
BEGIN;
SELECT appdb.query_as(:'a', 'SELECT appdb.current_user_id() AS id');
SELECT appdb.current_user_id(), appdb.current_session_id();
SELECT appdb.authenticate(:'b');
SELECT appdb.query_as(:'a', 'SELECT appdb.current_user_id() AS id, appdb.current_session_id() = $1::uuid AS session', ARRAY[:'sa']);
SELECT appdb.current_user_id(), current_setting('appdb.user_id');
SAVEPOINT s;
SELECT appdb.query_as(:'a', 'SELECT 1 / 0');
ROLLBACK TO s;
SELECT appdb.current_user_id();
-- within each other
SELECT appdb.query_as(:'a', 'SELECT appdb.query_as($1, ''SELECT appdb.current_user_id() AS id''), appdb.current_user_id() AS id', ARRAY[:'b']);
-- whatever is reset
SELECT appdb.query_as(:'a', 'RESET ALL');
SELECT appdb.current_user_id();
-- in a block that fails and goes on
DO $$
BEGIN
	PERFORM appdb.query_as('wrong', 'SELECT 1');
EXCEPTION WHEN invalid_authorization_specification THEN
	RAISE WARNING 'still %', appdb.current_user_id();
END
$$;
-- signing out ends the session that was asked by
SELECT appdb.query_as(:'a', 'SELECT appdb.sign_out() AS out');
SELECT appdb.current_user_id();
COMMIT;
SELECT appdb.query_as(:'a', 'SELECT 1');
-- nothing is written
BEGIN READ ONLY;
SELECT appdb.query_as(:'b', 'SELECT name FROM appdb.users');
COMMIT;
RESET ROLE;

SELECT appdb.revoke_access('regress_identity');
DROP OWNED BY regress_identity;
DROP ROLE regress_identity;
DROP FUNCTION public.left_of(uuid);
SET appdb.allow_drop = on;
DELETE FROM app_data.sessions;
DELETE FROM app_data.users WHERE email LIKE '%@example.com';
