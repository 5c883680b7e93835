-- Who is asking cannot be forged, and does not outlast the transaction.
SET client_min_messages = warning;
INSERT INTO appdb.users (id, name, email) VALUES
	('00000000-0000-7000-8000-00000000000a', 'Ann', 'ann@example.com'),
	('00000000-0000-7000-8000-00000000000b', 'Bob', 'bob@example.com');
CREATE ROLE regress_identity;
GRANT USAGE ON SCHEMA appdb TO regress_identity;

-- == nobody =================================================================
SELECT appdb.current_user_id(), appdb.current_session_id();

-- == forging ================================================================
SET appdb.user_id = '00000000-0000-7000-8000-00000000000a';
SET LOCAL appdb.user_id = '00000000-0000-7000-8000-00000000000a';
SELECT set_config('appdb.user_id', '00000000-0000-7000-8000-00000000000a', false);
SELECT set_config('appdb.session_id', '00000000-0000-7000-8000-00000000000a', true);
UPDATE pg_settings SET setting = '00000000-0000-7000-8000-00000000000a' WHERE name = 'appdb.user_id';
ALTER ROLE regress_identity SET appdb.user_id = '00000000-0000-7000-8000-00000000000a';
CREATE FUNCTION public.forge() RETURNS uuid LANGUAGE sql SET appdb.user_id = '00000000-0000-7000-8000-00000000000a' AS 'SELECT appdb.current_user_id()';
GRANT SET ON PARAMETER appdb.user_id TO regress_identity;
SET ROLE regress_identity;
SET appdb.user_id = '00000000-0000-7000-8000-00000000000a';
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
SELECT appdb.sign_in('00000000-0000-7000-8000-00000000000a');
RESET ROLE;
REVOKE SET ON PARAMETER appdb.user_id FROM regress_identity;
-- what a function keeps of an identity is refused when it is called as somebody else
BEGIN;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
CREATE FUNCTION public.keep() RETURNS uuid LANGUAGE sql SET appdb.user_id FROM CURRENT AS 'SELECT appdb.current_user_id()';
ROLLBACK;

-- == scope ==================================================================
BEGIN;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
SELECT appdb.current_user_id(), current_setting('appdb.user_id');
COMMIT;
SELECT appdb.current_user_id(), current_setting('appdb.user_id');
-- one statement is a transaction
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
SELECT appdb.current_user_id();
-- subtransactions
BEGIN;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
SAVEPOINT s;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000b');
SELECT appdb.current_user_id();
ROLLBACK TO s;
SELECT appdb.current_user_id();
SAVEPOINT s;
SELECT appdb.impersonate(NULL);
RELEASE s;
SELECT appdb.current_user_id();
ROLLBACK;
DO $$
BEGIN
	BEGIN
		PERFORM appdb.impersonate('00000000-0000-7000-8000-00000000000a');
		RAISE EXCEPTION 'undo';
	EXCEPTION WHEN raise_exception THEN
		RAISE WARNING 'after the rollback: %', appdb.current_user_id();
	END;
END
$$;
-- for the session, where that is asked for
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000b', for_session => true);
SELECT appdb.current_user_id();
DISCARD ALL;
SELECT appdb.current_user_id();
SET client_min_messages = warning;
-- in parallel workers
CREATE TABLE public.many AS SELECT g FROM generate_series(1, 1000) g;
ALTER TABLE public.many SET (parallel_workers = 2);
BEGIN;
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL parallel_leader_participation = off;
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000a');
EXPLAIN (COSTS OFF) SELECT count(*) FROM public.many WHERE appdb.current_user_id() = '00000000-0000-7000-8000-00000000000a' AND g > 0;
SELECT count(*) FROM public.many WHERE appdb.current_user_id() = '00000000-0000-7000-8000-00000000000a' AND g > 0;
COMMIT;
DROP TABLE public.many;

-- == tokens =================================================================
SELECT length(token) AS length, token ~ '^[A-Za-z0-9_-]+$' AS alphabet, expires_at > now() + '29 days'::interval AS lasts,
	session_id AS s, token AS t
FROM appdb.sign_in('00000000-0000-7000-8000-00000000000a', ip_address => '::1', user_agent => 'test') \gset
\echo :length :alphabet :lasts
SELECT id = :'s' AS session, token, length(token_hash), ip_address, user_agent FROM app_data.sessions;
BEGIN;
SELECT appdb.authenticate(:'t');
SELECT appdb.current_user_id(), appdb.current_session_id() = (SELECT id FROM app_data.sessions) AS session;
-- another that does not hold leaves nobody
SAVEPOINT s;
SELECT appdb.authenticate('wrong');
ROLLBACK TO s;
SELECT appdb.current_user_id();
COMMIT;
SELECT appdb.current_user_id();
-- every failure looks the same
SELECT appdb.authenticate(:'t' || 'x');
SELECT appdb.authenticate('');
SELECT appdb.authenticate(NULL);
UPDATE appdb.sessions SET expires_at = now() - '1 second'::interval;
SELECT appdb.authenticate(:'t');
UPDATE appdb.sessions SET expires_at = now() + '1 day'::interval;
-- a client's own token
INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ('00000000-0000-7000-8000-00000000000b', 'raw token', now() + '1 day'::interval);
SELECT appdb.authenticate('raw token');
-- as an application's role, in a read-only transaction
GRANT EXECUTE ON FUNCTION appdb.authenticate(text, boolean) TO regress_identity;
SET ROLE regress_identity;
BEGIN READ ONLY;
SELECT appdb.authenticate(:'t');
SELECT appdb.current_user_id();
COMMIT;
SELECT token FROM appdb.sessions;
-- signing out
SELECT appdb.sign_out(), appdb.current_user_id();
SELECT appdb.sign_out_everywhere();
BEGIN;
SELECT appdb.authenticate(:'t');
SELECT appdb.sign_out();
SELECT appdb.current_user_id();
COMMIT;
SELECT appdb.authenticate(:'t');
BEGIN;
SELECT appdb.authenticate('raw token');
SELECT appdb.sign_out_everywhere();
COMMIT;
RESET ROLE;
SELECT count(*) FROM app_data.sessions;
-- where it was to hold until the connection ends
SELECT token AS t FROM appdb.sign_in('00000000-0000-7000-8000-00000000000b') \gset
SELECT appdb.authenticate(:'t', for_session => true);
BEGIN;
SELECT appdb.sign_out();
SELECT appdb.current_user_id();
ROLLBACK;
SELECT appdb.current_user_id();
SELECT appdb.sign_out();
SELECT appdb.current_user_id();
SELECT token AS t FROM appdb.sign_in('00000000-0000-7000-8000-00000000000b') \gset
SELECT appdb.authenticate(:'t', for_session => true);
SELECT appdb.sign_out_everywhere();
SELECT appdb.current_user_id();
-- whoever a trigger signs in meanwhile keeps their sessions
SELECT token AS t FROM appdb.sign_in('00000000-0000-7000-8000-00000000000b') \gset
SELECT count(appdb.sign_in(('00000000-0000-7000-8000-00000000000' || u)::uuid)) FROM unnest('{a,b}'::text[]) AS u;
CREATE FUNCTION regress_other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM appdb.impersonate('00000000-0000-7000-8000-00000000000a');
	RETURN OLD;
END $$;
CREATE TRIGGER regress_other BEFORE DELETE ON app_data.sessions FOR EACH ROW EXECUTE FUNCTION regress_other();
SET plan_cache_mode = force_generic_plan;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT appdb.authenticate(:'t', for_session => true);
SELECT appdb.sign_out_everywhere();
RESET plan_cache_mode;
RESET enable_indexscan;
RESET enable_bitmapscan;
SELECT user_id FROM app_data.sessions;
DROP TRIGGER regress_other ON app_data.sessions;
DROP FUNCTION regress_other();
-- a deleted user is nobody
SELECT token AS t FROM appdb.sign_in('00000000-0000-7000-8000-00000000000b') \gset
DELETE FROM appdb.users WHERE name = 'Bob';
SELECT appdb.authenticate(:'t');
SELECT appdb.impersonate('00000000-0000-7000-8000-00000000000b');
SELECT appdb.sign_in('00000000-0000-7000-8000-00000000000b');
SELECT appdb.sign_in('00000000-0000-7000-8000-00000000000a', lifetime => NULL);
SELECT appdb.sign_in('00000000-0000-7000-8000-00000000000a', lifetime => '-1 hour');

DROP OWNED BY regress_identity;
DROP ROLE regress_identity;
SET appdb.allow_drop = on;
DELETE FROM app_data.sessions;
DELETE FROM app_data.users WHERE email LIKE '%@example.com';
DELETE FROM app_data.deletions;
