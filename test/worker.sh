#!/bin/bash
#
# worker.sh: maintenance, by CALL appdb.maintain() and by the background
# worker, on a server of its own that preloads the library.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

find_postgres
BASE_SAID=1
choose_base
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT

cluster_create worker
cluster_configure "fsync = off" "shared_preload_libraries = 'appdb'" "appdb.worker = off" "appdb.worker_naptime = 1" "max_connections = 20"
cluster_start

q() {
	psql -X -q -At -d "${DB:-one}" "$@" 2>&1
}

# wait for a query to say true
until_true() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ "$(q -c "$1")" = t ] && { ok "$2"; return; }
		sleep 0.1
	done
	not_ok "$2" < <(q -c "$1"; tail -n 20 "$CLUSTER/log")
}

# what there is to do
work_to_do() {
	q <<-'SQL'
		INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-0000000000a1', 'Ann');
		INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000000a1', 'one');
		INSERT INTO app_data.sessions (user_id, token_hash, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', sha256('x'), now() - interval '2 d');
		INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d');
		INSERT INTO app_data.tasks (kind, status, finished_at) SELECT 'old', 'completed', now() - interval '8 d' FROM generate_series(1, 2500);
		INSERT INTO app_data.tasks (kind, status, finished_at) VALUES ('new', 'completed', now() - interval '6 d');
		INSERT INTO app_data.tasks (kind, status, locked_by, locked_until, attempts, ticket) VALUES ('silent', 'running', 'w', now() - interval '1 s', 1, 1);
		SELECT appdb.schedule('tick', '* * * * *', 'tick') IS NOT NULL AS done \gset
		UPDATE appdb.schedules SET next_run_at = now() - interval '1 h';
		INSERT INTO appdb.notes (space_id, title) VALUES ('00000000-0000-4000-8000-000000000001', 'gone');
		DELETE FROM appdb.notes;
	SQL
}
done_work="SELECT (SELECT count(*) FROM app_data.sessions) = 0 AND (SELECT count(*) FROM app_data.verifications) = 0
	AND (SELECT count(*) FROM app_data.tasks WHERE kind = 'old') = 0 AND (SELECT count(*) FROM app_data.tasks WHERE kind = 'new') = 1
	AND (SELECT status FROM app_data.tasks WHERE kind = 'silent') = 'pending'
	AND (SELECT count(*) FROM app_data.tasks WHERE kind = 'tick') >= 1 AND (SELECT count(*) FROM app_data.notes) = 0"

for db in one two plain; do
	DB=postgres q -c "CREATE DATABASE $db"
done
DB=postgres q -c "CREATE ROLE appdb_owner LOGIN" -c "CREATE DATABASE owned OWNER appdb_owner"
for db in one two; do
	DB=$db q -c "CREATE EXTENSION appdb" -c "ALTER DATABASE $db SET appdb.retention = '0'"
done
PGUSER=appdb_owner DB=owned q -c "CREATE EXTENSION appdb" -c "ALTER DATABASE owned SET appdb.retention = '0'"

# -- by hand
DB=one work_to_do
is "CALL appdb.maintain() returns" "$(q -c "SET client_min_messages = warning" -c "CALL appdb.maintain(100)")" ""
is "and has done all" "$(q -c "$done_work")" t
like "in a transaction block it cannot" "$(q -c "BEGIN" -c "CALL appdb.maintain()")" "invalid transaction termination"
PGUSER=appdb_owner DB=owned work_to_do
is "the owner of the tables can" "$(PGUSER=appdb_owner DB=owned q -c "SET client_min_messages = warning" -c "CALL appdb.maintain()")" ""
is "and it is done there" "$(DB=owned q -c "$done_work")" t
DB=postgres q -c "CREATE ROLE appdb_stranger LOGIN"
like "a stranger cannot" "$(PGUSER=appdb_stranger DB=owned q -c "CALL appdb.maintain()")" "permission denied for procedure maintain"
like "nor claim" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT * FROM appdb.claim()")" "permission denied for function claim"
like "nor enqueue" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT appdb.enqueue('x')")" "permission denied for view tasks"
like "nor cancel" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT appdb.cancel('00000000-0000-4000-8000-000000000001')")" "permission denied for view tasks"
PGUSER=appdb_owner DB=owned q -c "GRANT EXECUTE ON FUNCTION appdb.claim, appdb.complete(uuid, integer, jsonb) TO appdb_stranger"
PGUSER=appdb_owner DB=owned q -c "SELECT appdb.enqueue('w', queue => 'w')" >/dev/null
is "a worker needs EXECUTE and nothing else" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT count(*) FROM (SELECT appdb.complete(id, ticket) FROM appdb.claim('{w}')) AS t")" 1

# -- in the background
DB=two work_to_do
DB=postgres q -c "ALTER SYSTEM SET appdb.worker = on" -c "SELECT pg_reload_conf()" >/dev/null
DB=two until_true "$done_work" "the worker does the same by itself"
DB=postgres until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'appdb launcher'" "pg_stat_activity shows its launcher"
DB=owned q -c "CREATE TABLE public.who (name text)" -c "GRANT ALL ON public.who TO PUBLIC"
PGUSER=appdb_owner DB=owned q <<-'SQL'
	CREATE FUNCTION app_data.who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.who VALUES (current_user); RETURN NULL; END $$;
	CREATE TRIGGER who AFTER DELETE ON app_data.verifications FOR EACH ROW EXECUTE FUNCTION app_data.who();
	INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d');
SQL
DB=owned until_true "SELECT count(*) = 1 AND min(name) = 'appdb_owner' FROM public.who" "it has the rights of the tables' owner, and no more"

# an error in one step does not keep the others from being done
DB=two q <<-'SQL'
	CREATE FUNCTION app_data.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'planted'; END $$;
	CREATE TRIGGER fail BEFORE DELETE ON app_data.sessions FOR EACH ROW EXECUTE FUNCTION app_data.fail();
	INSERT INTO app_data.sessions (user_id, token_hash, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', sha256('y'), now() - interval '2 d');
	INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d');
SQL
DB=two until_true "SELECT count(*) = 0 FROM app_data.verifications" "it survives errors"

# a kill of the launcher
pid=$(DB=postgres q -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appdb launcher'")
DB=postgres q -c "SELECT pg_terminate_backend($pid, 5000)" >/dev/null
is "it ends when asked" "$(DB=postgres q -c "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid")" 0
DB=postgres until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'appdb launcher'" "and comes back"

# databases and extensions that go
is "DROP EXTENSION" "$(DB=one q -c "SET client_min_messages = warning" -c "SET appdb.allow_drop = on" -c "DROP EXTENSION appdb CASCADE")" ""
is "DROP DATABASE" "$(DB=postgres q -c "DROP DATABASE two")" ""
q -c "CREATE EXTENSION appdb" -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=owned q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=owned until_true "SELECT count(*) = 0 FROM app_data.verifications" "the others are still served"

DB=postgres q -c "ALTER SYSTEM SET appdb.worker = off" -c "SELECT pg_reload_conf()" >/dev/null
is "nothing crashed" "$(grep -cE 'PANIC|was terminated by signal' "$CLUSTER/log")" 0
cluster_stop fast
is "the server stops" "$([ -f "$CLUSTER/data/postmaster.pid" ] || echo stopped)" stopped

done_testing
