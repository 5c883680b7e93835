#!/bin/bash
#
# worker.sh: maintenance, by CALL appdb.maintain() and by the background
# worker, on a server of its own that preloads the library.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh
. test/harness/clients.sh

find_postgres
BASE_SAID=1
choose_base
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT

# -- pg_cron, whose turn comes at the end of the minute: looked at below
cron=''
if need_packages "ls $("$PG_CONFIG" --pkglibdir)/pg_cron.so" "postgresql-$PG_MAJOR-cron"; then
	cluster_create worker_cron
	cron=$CLUSTER
	trap 'for c in "$CLUSTER" "$cron"; do CLUSTER=$c; cluster_stop immediate; rm -rf "${c:?}"; done' EXIT
	cluster_configure "fsync = off" "shared_preload_libraries = 'pg_cron'" "cron.database_name = 'app'" "cron.host = '$cron'" "max_connections = 20"
	cluster_start
	psql -X -q -d postgres -c "CREATE ROLE app_owner LOGIN" -c "CREATE DATABASE app OWNER app_owner"
	psql -X -q -d app -c "CREATE EXTENSION pg_cron" -c "GRANT USAGE ON SCHEMA cron TO app_owner"
	{
		echo "CREATE EXTENSION appdb;"
		echo "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d');"
		# as docs/tasks.md says, but that the second is not to wait for its minute
		grep -o "SELECT cron.schedule.*" docs/tasks.md | sed "s/'17 \*/'* */"
	} | psql -X -q -At -d app -U app_owner >/dev/null
fi

cluster_create worker
cluster_configure "fsync = off" "shared_preload_libraries = 'appdb'" "appdb.worker = off" "appdb.worker_naptime = 1" "max_connections = 20" "wal_level = logical" \
	"autovacuum_naptime = '1d'"
cluster_start

q() {
	psql -X -q -At -d "${DB:-one}" "$@" 2>&1
}

# wait for a query to say true
until_true() {
	local i
	for ((i = 0; i < 900; i++)); do
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

for db in one two busy other plain; do
	DB=postgres q -c "CREATE DATABASE $db"
done
DB=postgres q -c "CREATE ROLE appdb_owner LOGIN" -c "CREATE DATABASE owned OWNER appdb_owner"
for db in one two busy other; do
	DB=$db q -c "CREATE EXTENSION appdb" -c "ALTER DATABASE $db SET appdb.retention = '0'"
done
PGUSER=appdb_owner DB=owned q -c "CREATE EXTENSION appdb" -c "ALTER DATABASE owned SET appdb.retention = '0'"

# -- by hand
DB=one work_to_do
is "CALL appdb.maintain() returns" "$(q -c "SET client_min_messages = warning" -c "CALL appdb.maintain(100)")" ""
is "and has done all" "$(q -c "$done_work")" t
is "with a batch of any size" "$(q -c "CALL appdb.maintain(2147483647, false)" 2>&1)" ""
like "in a transaction block it cannot" "$(q -c "BEGIN" -c "CALL appdb.maintain()")" "cannot run inside a transaction block"
PGUSER=appdb_owner DB=owned work_to_do
is "the owner of the tables can" "$(PGUSER=appdb_owner DB=owned q -c "SET client_min_messages = warning" -c "CALL appdb.maintain()")" ""
is "and it is done there" "$(DB=owned q -c "$done_work")" t
PGUSER=appdb_owner DB=owned q -c "ALTER TABLE app_data.tasks FORCE ROW LEVEL SECURITY"
like "not where row security hides from it what there is to do" "$(PGUSER=appdb_owner DB=owned q -c "CALL appdb.maintain()")" 'row security hides rows of "app_data.tasks" from role "appdb_owner"'
like "nor is there a purge" "$(PGUSER=appdb_owner DB=owned q -c "CALL appdb.purge()")" 'row security hides rows'
PGUSER=appdb_owner DB=owned q -c "ALTER TABLE app_data.tasks NO FORCE ROW LEVEL SECURITY"
DB=postgres q -c "CREATE ROLE appdb_stranger LOGIN"
like "a stranger cannot" "$(PGUSER=appdb_stranger DB=owned q -c "CALL appdb.maintain()")" "permission denied for procedure maintain"
like "nor claim" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT * FROM appdb.claim()")" "permission denied for function claim"
like "nor enqueue" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT appdb.enqueue('x')")" "permission denied for view tasks"
like "nor cancel" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT appdb.cancel('00000000-0000-4000-8000-000000000001')")" "permission denied for view tasks"
PGUSER=appdb_owner DB=owned q -c "GRANT EXECUTE ON FUNCTION appdb.claim, appdb.complete(uuid, integer, jsonb) TO appdb_stranger"
PGUSER=appdb_owner DB=owned q -c "SELECT appdb.enqueue('w', queue => 'w')" >/dev/null
is "a worker needs EXECUTE and nothing else" "$(PGUSER=appdb_stranger DB=owned q -c "SELECT count(*) FROM (SELECT appdb.complete(id, ticket) FROM appdb.claim('{w}')) AS t")" 1

# what is due while the worker sleeps is not missed
DB=postgres q -c "ALTER SYSTEM SET appdb.worker_naptime = '10min'" -c "SELECT pg_reload_conf()" >/dev/null
until_true "SELECT appdb.version() IS NOT NULL AND current_setting('appdb.worker_naptime') = '10min'" "the worker may sleep long"
is "it is late by that" "$(q <<-'SQL'
	SELECT count(appdb.schedule(n, '0 0 29 2 *', n, missed => 'skip')) AS done FROM unnest('{late,missed}'::text[]) AS n \gset
	UPDATE appdb.schedules SET next_run_at = now() - CASE name WHEN 'late' THEN interval '15 min' ELSE '25 min' END WHERE name IN ('late', 'missed');
	SELECT appdb._run_schedules(10) > 0 AS done \gset
	SELECT kind FROM appdb.tasks WHERE kind IN ('late', 'missed');
SQL
)" late
DB=postgres q -c "ALTER SYSTEM RESET appdb.worker_naptime" -c "SELECT pg_reload_conf()" >/dev/null

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

# ... and not one row the others
DB=two q <<-'SQL'
	CREATE OR REPLACE FUNCTION app_data.fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.token_hash = sha256('bad') THEN RAISE 'planted'; END IF; RETURN OLD; END $$;
	INSERT INTO app_data.sessions (user_id, token_hash, expires_at)
	SELECT '00000000-0000-4000-8000-0000000000a1', sha256(t), now() - interval '2 d' FROM unnest('{bad,good,better}'::bytea[]) AS t;
	CREATE TABLE public.orders (task_id uuid REFERENCES app_data.tasks);
	INSERT INTO app_data.tasks (kind, status, finished_at) SELECT k, 'completed', now() - interval '9 d' FROM unnest('{ordered,not ordered}'::text[]) AS k;
	INSERT INTO public.orders SELECT id FROM app_data.tasks WHERE kind = 'ordered';
	CREATE FUNCTION app_data.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.kind = 'stubborn' THEN RAISE 'stubborn'; END IF; RETURN NEW; END $$;
	CREATE TRIGGER refuse BEFORE UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION app_data.refuse();
	INSERT INTO app_data.tasks (kind, status, locked_by, locked_until, attempts, ticket)
	SELECT k, 'running', 'w', now() - interval '1 s', 1, 1 FROM unnest('{stubborn,mute}'::text[]) AS k;
SQL
DB=two until_true "SELECT count(*) = 1 AND bool_and(token_hash = sha256('bad')) FROM app_data.sessions" "a row that cannot go keeps no others"
DB=two until_true "SELECT string_agg(kind, ' ' ORDER BY kind) = 'ordered' FROM app_data.tasks WHERE kind LIKE '%ordered'" "nor a finished task that somebody's table refers to"
DB=two until_true "SELECT string_agg(kind || ' ' || status, ', ' ORDER BY kind) = 'mute pending, stubborn running' FROM app_data.tasks WHERE kind IN ('mute', 'stubborn')" "nor a task that a trigger protects"
like "the log says so" "$(cat "$CLUSTER/log")" '1 rows of "app_data.sessions" whose time is over cannot be removed'
DB=two q -c "DROP TRIGGER refuse ON app_data.tasks" -c "DROP TRIGGER fail ON app_data.sessions"

# what takes long is not done again and again, if there is always a little to do
DB=two q <<-'SQL'
	DELETE FROM app_data.sessions;
	CREATE FUNCTION app_data.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN OLD; END $$;
	CREATE TRIGGER slow BEFORE DELETE ON app_data.sessions FOR EACH ROW EXECUTE FUNCTION app_data.slow();
SQL
for row in first next; do
	[ $row = first ] || DB=two until_true "SELECT count(*) = 0 FROM app_data.sessions" "a session is removed"
	DB=two q -c "INSERT INTO app_data.sessions (user_id, token_hash, expires_at) VALUES ('00000000-0000-4000-8000-0000000000a1', sha256('$row'), now() - interval '2 d')"
done
DB=two q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=two until_true "SELECT count(*) = 0 FROM app_data.verifications" "others are served"
is "the next one has to wait" "$(DB=two q -c "SELECT count(*) FROM app_data.sessions")" 1
DB=two q -c "DROP TRIGGER slow ON app_data.sessions"

# what clients are told does not hold for it
DB=postgres q <<-'SQL'
	ALTER DATABASE two SET statement_timeout = '1ms';
	ALTER DATABASE two SET lock_timeout = '1ms';
	ALTER DATABASE two SET idle_in_transaction_session_timeout = '1ms';
	ALTER DATABASE two SET default_transaction_read_only = on;
	ALTER DATABASE two SET default_transaction_isolation = 'serializable';
SQL
export PGOPTIONS='-c statement_timeout=0 -c lock_timeout=0 -c default_transaction_read_only=off'
DB=two q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=two until_true "SELECT count(*) = 0 FROM app_data.verifications" "it has its own settings"
unset PGOPTIONS
DB=postgres q -c "ALTER DATABASE two RESET ALL" -c "ALTER DATABASE two SET appdb.retention = '0'"

# what fails is tried less and less often
DB=two q -c "ALTER FUNCTION appdb._run_schedules(integer) RENAME TO not_now"
failures() {
	grep 'ERROR:  function appdb._run_schedules(integer) does not exist' "$CLUSTER/log" | awk '{ print $2 }'
}
for ((i = 0; i < 600; i++)); do
	[ "$(failures | wc -l)" -lt 4 ] || break
	sleep 0.1
done
is "it backs off" "$(q -c "SELECT '$(failures | sed -n 4p)'::time - '$(failures | sed -n 3p)'::time > interval '3.9 s' OR '$(failures | sed -n 4p)'::time < '$(failures | sed -n 3p)'::time")" t
DB=two q -c "ALTER FUNCTION appdb.not_now(integer) RENAME TO _run_schedules"

# a kill of the launcher
pid=$(DB=postgres q -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'appdb launcher'")
DB=postgres q -c "SELECT pg_terminate_backend($pid, 60000)" >/dev/null
is "it ends when asked" "$(DB=postgres q -c "SELECT count(*) FROM pg_stat_activity WHERE pid = $pid")" 0
DB=postgres until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'appdb launcher'" "and comes back"

# -- in the way of nobody

# busy DATABASE: the worker is at work there, until there is a row in public.enough
busy() {
	DB=$1 q <<-SQL
		CREATE TABLE IF NOT EXISTS public.enough ();
		TRUNCATE public.enough;
		GRANT SELECT ON public.enough TO PUBLIC;
		CREATE OR REPLACE FUNCTION app_data.slow() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			WHILE NOT EXISTS (SELECT FROM public.enough) LOOP PERFORM pg_sleep(0.1); END LOOP;
			RETURN OLD;
		END \$\$;
		CREATE OR REPLACE TRIGGER slow BEFORE DELETE ON app_data.verifications FOR EACH ROW EXECUTE FUNCTION app_data.slow();
		INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d');
	SQL
	DB=postgres until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = '$1' AND backend_type = 'appdb maintenance' AND state = 'active' AND query = 'appdb: verifications'" \
		"pg_stat_activity shows what it does in $1"
}
busy busy
is "CREATE DATABASE by a template that it works in" "$(DB=postgres q -c "CREATE DATABASE copy TEMPLATE busy")" ""
DB=postgres until_true "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname IN ('busy', 'copy') AND backend_type = 'appdb maintenance'" "it comes back"
is "DROP DATABASE" "$(DB=postgres q -c "DROP DATABASE copy" -c "DROP DATABASE busy")" ""
busy other
extension_dir=$BASE/root$("$PG_CONFIG" --sharedir)/extension
version=$(DB=other q -c "SELECT extversion FROM pg_extension WHERE extname = 'appdb'")
echo 'CREATE FUNCTION appdb.fake() RETURNS text LANGUAGE sql RETURN NULL;' >"$extension_dir/appdb--$version--fake.sql"
DB=other q -c "ALTER EXTENSION appdb UPDATE TO 'fake'" -c "SELECT appdb.fake() IS NULL" >"$BASE/busy.out" &
sleep 1
DB=other q -c "INSERT INTO public.enough DEFAULT VALUES"
wait $!
is "ALTER EXTENSION UPDATE" "$(cat "$BASE/busy.out")" t
rm "$extension_dir/appdb--$version--fake.sql"
DB=other until_true "SELECT count(*) = 0 FROM app_data.verifications" "and its work is done"
busy other
DB=other q -c "SET client_min_messages = warning" -c "SET appdb.allow_drop = on" -c "DROP EXTENSION appdb CASCADE" >"$BASE/busy.out" &
sleep 1
DB=other q -c "INSERT INTO public.enough DEFAULT VALUES"
wait $!
is "DROP EXTENSION" "$(cat "$BASE/busy.out")" ""
rm -f "$BASE/busy.out"

# databases and extensions that go
is "DROP EXTENSION" "$(DB=one q -c "SET client_min_messages = warning" -c "SET appdb.allow_drop = on" -c "DROP EXTENSION appdb CASCADE")" ""
is "DROP DATABASE" "$(DB=postgres q -c "DROP DATABASE two")" ""
q -c "CREATE EXTENSION appdb" -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=owned q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
DB=owned until_true "SELECT count(*) = 0 FROM app_data.verifications" "the others are still served"

# -- rows that a subscription brings: what they come from looks after them, with its own schedules and settings
DB=postgres q -c "CREATE DATABASE fed"
DB=fed q -c "CREATE EXTENSION appdb" -c "ALTER DATABASE fed SET appdb.retention = '0'"
q -c "DELETE FROM app_data.schedules"		# whose tasks would come
q -c "CREATE PUBLICATION fed FOR TABLE app_data.tasks" -c "SELECT pg_create_logical_replication_slot('fed', 'pgoutput')" >/dev/null
DB=fed q -c "CREATE SUBSCRIPTION fed CONNECTION 'host=$CLUSTER user=postgres dbname=one' PUBLICATION fed WITH (create_slot = false, copy_data = false)"
DB=fed until_true "SELECT position('a subscription brings rows of schema \"app_data\"' IN pg_read_file('$CLUSTER/log')) > 0" "the log says that the worker rests at a subscriber"
DB=fed work_to_do
fed=$(DB=fed q -f test/rows.sql | md5sum)
for i in 1 2 3; do
	DB=owned q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('a', 'b', now() - interval '2 d')"
	DB=owned until_true "SELECT count(*) = 0 FROM app_data.verifications" "others are served"
done
is "every row is as it came" "$(DB=fed q -f test/rows.sql | md5sum)" "$fed"
is "the log says it once" "$(grep -c 'rests in this database' "$CLUSTER/log")" 1
DB=fed q -c "DROP SUBSCRIPTION fed" >/dev/null
DB=fed until_true "$done_work" "it begins when the subscription is dropped"

# -- a standby
primary=$CLUSTER
cluster_use worker_standby
standby=$CLUSTER
trap 'for c in "$primary" "$standby" $cron; do CLUSTER=$c; cluster_stop immediate; rm -rf "${c:?}"; done' EXIT
rm -rf "${standby:?}"
mkdir -m 700 "$standby"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$standby"
as_server env PGHOST="$primary" PGPORT=5432 PGUSER=postgres "$PG_BINDIR/pg_basebackup" -D "$standby/data" -R -X stream -c fast --no-sync
cluster_configure "unix_socket_directories = '$standby'"
cluster_start
PGHOST=$primary DB=postgres q -c "ALTER SYSTEM SET appdb.worker = off" -c "SELECT pg_reload_conf()" >/dev/null
until [ "$(PGHOST=$primary DB=postgres q -c 'SHOW appdb.worker')" = off ]; do sleep 0.1; done
# one that the worker there does not see any more
PGHOST=$primary DB=postgres until_true "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'appdb maintenance'" "it ends where it is turned off"
PGHOST=$primary DB=owned q -c "INSERT INTO app_data.verifications (identifier, value, expires_at) VALUES ('standby', 'b', now() - interval '2 d')"
DB=owned until_true "SELECT count(*) = 1 FROM app_data.verifications" "a standby has what there is to do"
sleep 2
is "it rests there" "$(DB=owned q -c 'SHOW appdb.worker' -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'appdb%'" -c 'SELECT count(*) FROM app_data.verifications')" "$(printf 'on\n0\n1')"
is "after a promotion" "$(DB=owned q -c 'SELECT pg_promote()')" t
DB=owned until_true "SELECT count(*) = 0 FROM app_data.verifications" "it works"
is "nothing crashed there" "$(grep -cE 'PANIC|was terminated by signal' "$standby/log")" 0
cluster_stop immediate
cluster_use worker

# -- a new session, whose first claim plans its statements: that is no long way along the queue
DB=one q -c "CREATE FUNCTION public.same() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'" \
	-c 'CREATE TRIGGER same BEFORE UPDATE ON app_data.tasks FOR EACH ROW EXECUTE FUNCTION public.same()' \
	-c "SELECT count(appdb.enqueue('a', queue => 'fresh', group_key => 'g')) FROM generate_series(1, 2)" >/dev/null
finish="SELECT count(appdb.complete(id, ticket)) FROM appdb.claim('{fresh}', 'w', 5)"
is "the place in a group that a session has just made free is taken by its next claim" "$(DB=one q -c "$finish" -c "$finish")" "$(printf '1\n1')"
DB=one q -c 'DROP FUNCTION public.same() CASCADE' >/dev/null

# -- what a commit waits for: a standby that never comes stands for the disk
DB=one q -c "CREATE TABLE public.noted (n int)" -c "SELECT appdb.enqueue('a', queue => 'sync'), appdb.enqueue('b', queue => 'sync')" >/dev/null
DB=postgres q -c "ALTER SYSTEM SET synchronous_standby_names = 'nobody'" -c "SELECT pg_reload_conf()" >/dev/null
until [ "$(DB=postgres q -c 'SHOW synchronous_standby_names')" = nobody ]; do sleep 0.1; done
is "a transaction that only claims does not wait" "$(DB=one timeout 60 psql -X -q -At -d one -c "SELECT kind FROM appdb.claim('{sync}', 'w')")" a
DB=one q -c "BEGIN" -c "SELECT kind FROM appdb.claim('{sync}', 'w')" -c "INSERT INTO public.noted VALUES (1)" -c "COMMIT" >"$BASE/sync.out" &
waiting="FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND backend_type = 'client backend'"
DB=postgres until_true "SELECT count(*) = 1 $waiting" "one that writes something else does"
DB=postgres q -c "SELECT pg_cancel_backend(pid) $waiting" >/dev/null
wait $!
like "and is done then" "$(cat "$BASE/sync.out")" "b"
rm -f "$BASE/sync.out"
DB=one q -c "SELECT appdb.complete(id, ticket) FROM appdb.tasks WHERE kind = 'a' AND queue = 'sync'" >/dev/null &
DB=postgres until_true "SELECT count(*) = 1 $waiting" "so does what is completed"
DB=postgres q -c "SELECT pg_cancel_backend(pid) $waiting" -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()" >/dev/null
wait $!

# -- the end
DB=postgres q -c "ALTER SYSTEM SET appdb.worker = on" -c "SELECT pg_reload_conf()" >/dev/null
busy owned
is "nothing crashed" "$(grep -cE 'PANIC|was terminated by signal' "$CLUSTER/log")" 0
cluster_stop fast
is "the server stops at once, whatever it does" "$([ -f "$CLUSTER/data/postmaster.pid" ] || echo stopped)" stopped

# -- where others have all slots: the launcher has one, and that of logical replication
as_server "$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" -l "$CLUSTER/log" -o "-c max_worker_processes=2" -w -t 60 start >/dev/null 2>&1 9>&-
until_true "SELECT pg_read_file('$CLUSTER/log') ~ 'WARNING:  out of background worker slots'" "it says so where it has no slot"
is "once" "$(DB=one q -c "SELECT pg_sleep(2.5)" -c "SELECT count(*) FROM regexp_matches(pg_read_file('$CLUSTER/log'), 'out of background worker slots', 'g')")" "$(printf '\n1')"
cluster_stop fast

# -- as pg_upgrade starts it
as_server "$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" -l "$CLUSTER/log" -o -b -w -t 60 start >/dev/null 2>&1 9>&-
is "it does nothing while pg_upgrade works" "$(DB=one q -c "SHOW appdb.worker" -c "SELECT pg_sleep(1.5)" -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'appdb%'")" "$(printf 'on\n\n0')"
cluster_stop fast

# -- pg_cron
if [ -n "$cron" ]; then
	PGHOST=$cron DB=app until_true "SELECT count(DISTINCT jobid) = 2 FROM cron.job_run_details WHERE end_time IS NOT NULL" "pg_cron has run both jobs"
	is "pg_cron does maintenance, as the owner of the tables" "$(PGHOST=$cron DB=app q -c "SELECT DISTINCT username, status, return_message FROM cron.job_run_details WHERE end_time IS NOT NULL" -c "SELECT count(*) FROM app_data.verifications")" \
		"$(printf 'app_owner|succeeded|CALL\n0')"
else
	ok "pg_cron # SKIP $CLIENTS_WHY"
fi

done_testing
