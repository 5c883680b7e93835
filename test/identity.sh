#!/bin/bash
#
# identity.sh: forging who is asking by what a session brings with it, before
# and after the library is loaded; and passwords and tokens in the server's log
# and in pg_stat_statements, with everything logged.
#
# On a server of its own, which does not preload the library, but
# pg_stat_statements.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

find_postgres
BASE_SAID=1
choose_base
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT

cluster_create identity
cluster_configure "fsync = off" "shared_preload_libraries = 'pg_stat_statements'" "pg_stat_statements.track = 'all'" \
	"max_prepared_transactions = 2" "max_connections = 20" "max_parallel_workers = 2"
cluster_start

ann=00000000-0000-7000-8000-00000000000a
export PGDATABASE=one
super=$PGUSER

# statements of a new session of the role "web", or of whom PGUSER says
q() {
	PGUSER=${as:-web} psql -X -q -At "$@" 2>&1
}
as_super() {
	as=$super q -v ON_ERROR_STOP=1 "$@"
}

PGDATABASE=postgres as_super -c 'CREATE DATABASE one' -c 'CREATE ROLE web LOGIN' -c 'CREATE ROLE server LOGIN' || exit 1
as_super >/dev/null <<-SQL || exit 1
	CREATE EXTENSION appdb;
	CREATE EXTENSION pgcrypto;
	CREATE EXTENSION pg_stat_statements;
	SELECT appdb.grant_access('web', 'app');
	SELECT appdb.grant_access('server', 'service');
	INSERT INTO appdb.users (id, name, email) VALUES ('$ann', 'Ann', 'ann@example.org');
	INSERT INTO appdb.spaces (owner_id, name) VALUES ('$ann', 'Anns');
	GRANT CREATE ON SCHEMA public TO web;
	CREATE TABLE public.many AS SELECT g FROM generate_series(1, 1000) g;
	ALTER TABLE public.many SET (parallel_workers = 2);
	GRANT SELECT ON public.many TO web;
SQL

# == forging ================================================================

# what every attempt must end with: nobody, and no rows
look="SELECT coalesce(appdb.current_user_id()::text, 'nobody'), count(*) FROM appdb.spaces"
refused='nobody\|0$'

like "nobody is signed in" "$(q -c "$look")" "$refused"
like "a value set before the library is loaded" "$(q -c "SET appdb.user_id = '$ann'" -c "$look")" "$refused"
like "it warns" "$(q -c "SET appdb.user_id = '$ann'" -c "$look")" 'WARNING: +(permission denied to set|invalid value for) parameter "appdb.user_id"'
like "by set_config()" "$(q -c "SELECT set_config('appdb.user_id', '$ann', false)" -c "$look")" "$refused"
like "the session's" "$(q -c "SET appdb.session_id = '$ann'" -c "SELECT coalesce(appdb.current_session_id()::text, 'none')")" 'none$'
like "in a transaction, with SET LOCAL" "$(q <<<"BEGIN; SET LOCAL appdb.user_id = '$ann'; $look;")" "$refused"
like "in a subtransaction" "$(q <<<"BEGIN; SAVEPOINT s; SET LOCAL appdb.user_id = '$ann'; $look; ROLLBACK TO s; $look;")" "$refused"
like "loaded in a subtransaction that is rolled back" \
	"$(q <<<"BEGIN; SET appdb.user_id = '$ann'; SAVEPOINT s; $look; ROLLBACK TO s; $look; COMMIT; $look;" | grep -v '^\(nobody|0\|WARNING.*\|DETAIL.*\)$')" '^$'
like "with LOAD" "$(as=$super q -c "SET appdb.user_id = '$ann'" -c "LOAD 'appdb'" -c "SELECT coalesce(appdb.current_user_id()::text, 'nobody')")" 'nobody$'
like "by options of the connection" "$(PGOPTIONS="-c appdb.user_id=$ann" q -c "$look")" "$refused"
like "of a superuser" "$(as=$super PGOPTIONS="-c appdb.user_id=$ann" q -c "SELECT coalesce(appdb.current_user_id()::text, 'nobody')")" 'nobody$'

# what is kept for a role, the database and the server, by a superuser who has not loaded the library
as_super -c "ALTER ROLE web SET appdb.user_id = '$ann'" >/dev/null
like "by ALTER ROLE" "$(q -c "$look")" "$refused"
as_super -c "ALTER ROLE web RESET appdb.user_id" >/dev/null
as_super -c "ALTER DATABASE one SET appdb.user_id = '$ann'" >/dev/null
like "by ALTER DATABASE" "$(q -c "$look")" "$refused"
as_super -c "ALTER DATABASE one RESET appdb.user_id" >/dev/null
# ALTER SYSTEM knows the setting only where the library is loaded
cluster_configure "appdb.user_id = '$ann'"
as_super -c "SELECT pg_reload_conf()" >/dev/null
for ((i = 0; i < 900; i++)); do
	[ "$(q -c 'SHOW appdb.user_id')" != "$ann" ] || break
	sleep 0.1
done
is "a session has what the configuration file says" "$(q -c 'SHOW appdb.user_id')" "$ann"
like "which forges nothing" "$(q -c "$look")" "$refused"
as_server sed -i '/^appdb.user_id/d' "$CLUSTER/data/postgresql.conf"
as_super -c "SELECT pg_reload_conf()" >/dev/null

# functions with a SET clause, and one that was made before the extension was
forge="CREATE FUNCTION public.forge() RETURNS text LANGUAGE plpgsql SET appdb.user_id = '$ann' AS 'BEGIN RETURN coalesce(appdb.current_user_id()::text, ''nobody''); END'"
like "no function is made with a SET clause" "$(q -c "$forge")" 'permission denied to set parameter'
PGDATABASE=postgres as_super -c 'CREATE DATABASE two' >/dev/null
is "but by a superuser, before there is the extension" "$(PGDATABASE=two as_super -c "$forge")" ''
PGDATABASE=two as_super -c 'CREATE EXTENSION appdb' >/dev/null
like "its SET clause forges nothing where the library is loaded within it" "$(PGDATABASE=two q -c "SELECT public.forge()")" 'nobody$|permission denied to set parameter'
like "nor where it is loaded before" "$(PGDATABASE=two q -c "SELECT appdb.version()" -c "SELECT public.forge()")" 'permission denied to set parameter'

# a parallel worker takes what its leader has, and nothing that only looks so
parallel="SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;"
like "a parallel worker that loads the library first" \
	"$(q <<<"SET appdb.user_id = '$ann'; $parallel SELECT count(*) FROM public.many WHERE appdb.current_user_id() = '$ann' AND g > 0;" | grep -v '^\(WARNING\|DETAIL\|CONTEXT\)')" '^0$'
is "it is a parallel worker that is asked" "$(q <<<"$parallel EXPLAIN (COSTS off) SELECT count(*) FROM public.many WHERE appdb.current_user_id() = '$ann' AND g > 0;" | grep -c 'Parallel Seq Scan')" 1

# once the library is loaded
loaded="SELECT appdb.version()"
like "SET" "$(q -c "$loaded" -c "SET appdb.user_id = '$ann'" -c "$look")" 'permission denied to set parameter.*nobody\|0$'
like "of a superuser, too" "$(as=$super q -c "$loaded" -c "SET appdb.user_id = '$ann'")" 'identity cannot be set directly|permission denied to set'
like "UPDATE of pg_settings" "$(as=$super q -c "$loaded" -c "UPDATE pg_settings SET setting = '$ann' WHERE name = 'appdb.user_id'")" 'identity cannot be set directly|permission denied to set'
like "SET SESSION AUTHORIZATION takes a superuser" "$(q -c "SET SESSION AUTHORIZATION $super" -c "$look")" 'permission denied to set session authorization.*nobody\|0$'

# an identity ends with its transaction, however that ends
act="SELECT appdb.impersonate('$ann') \\g /dev/null"
whole='^nobody$'
who="SELECT coalesce(appdb.current_user_id()::text, 'nobody');"
for end in COMMIT ROLLBACK 'RESET appdb.user_id' 'RESET ALL' "SET SESSION AUTHORIZATION web; RESET SESSION AUTHORIZATION; COMMIT" "PREPARE TRANSACTION 'p1'" \
	"SELECT 1 / 0; ROLLBACK"; do
	like "it ends with $end" "$(as=$super q <<<"BEGIN; $act
		$end; $who" | tail -n 1)" "$whole"
done
like "nor does COMMIT PREPARED bring it" "$(as=$super q <<<"COMMIT PREPARED 'p1'; $who")" "$whole"
like "one for the session ends with DISCARD ALL" "$(as=$super q <<<"SELECT appdb.impersonate('$ann', for_session => true) \\g /dev/null
	DISCARD ALL; $who")" "$whole"

# == secrets ================================================================

log=$CLUSTER/log
cluster_stop >/dev/null
cluster_configure "log_statement = 'all'" "log_min_duration_statement = 0" "log_parameter_max_length_on_error = -1" "log_min_error_statement = 'debug5'" "log_error_verbosity = 'verbose'"
cluster_start
as_super -c "ALTER ROLE server SET log_parameter_max_length = 0" -c "ALTER ROLE server SET log_parameter_max_length_on_error = 0" >/dev/null

# in how many lines of the log, and statements of pg_stat_statements, it is
logged() {
	as_super -c "SELECT 1" >/dev/null
	grep -c -- "$1" "$log"
}
noted() {
	as_super -c "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%' || left('$1', 5) || '%' || right('$1', 5) || '%'"
}

# bound parameters: what drivers send
bound() {
	printf '%s\n' "$2" >"$CLUSTER/bound.sql"
	PGUSER=server pgbench -n -t 1 -M "$1" -D secret="$3" -f "$CLUSTER/bound.sql" one 2>&1
}
for mode in extended prepared; do
	secret=open-sesame-$mode
	bound $mode "SELECT appdb.set_password('$ann', :secret);" "$secret" >/dev/null
	like "a password is set by a bound parameter ($mode)" "$(as=server q -c "SELECT session_id IS NOT NULL FROM appdb.sign_in_with_password('ann@example.org', '$secret-' || '')")" 'wrong e-mail'
	bound $mode "SELECT session_id FROM appdb.sign_in_with_password('ann@example.org', :secret);" "$secret" >"$CLUSTER/out"
	like "and verified" "$(cat "$CLUSTER/out")" 'processed: 1/1'
	bound $mode "SELECT session_id FROM appdb.sign_in_with_password('bob@example.org', :secret);" "$secret" >"$CLUSTER/out"
	like "also where it is wrong" "$(cat "$CLUSTER/out")" 'wrong e-mail address or password'
	bound $mode "SELECT appdb.authenticate(:secret);" "$secret" >"$CLUSTER/out"
	like "and so is a token" "$(cat "$CLUSTER/out")" 'invalid or expired session token'
	bound $mode "SELECT appdb.query_as(:secret, 'SELECT 1');" "$secret" >/dev/null
done
# the statement above that tries a wrong password has a literal: it is in the log, which shows that all is logged
is "a literal is in the log" "$(($(logged "'open-sesame-extended-'") > 0))" 1
is "bound parameters are not" "$(grep -v "|| ''" "$log" | grep -c 'open-sesame')" 0
is "nor in pg_stat_statements" "$(noted 'open-sesame')" 0

as=server q -c "SELECT appdb.set_password('$ann', 'literal-password')" >/dev/null
as=server q -c "SELECT appdb.set_password('$ann', 'literal-password' || repeat('x', 100))" >/dev/null
as=server q -c "PREPARE p AS SELECT appdb.set_password('$ann', \$1)" -c "EXECUTE p('literal-password')" >/dev/null
is "pg_stat_statements keeps the call" "$(as_super -c "SELECT count(*) > 0 FROM pg_stat_statements WHERE query LIKE '%set_password(\$1, \$2)%'")" t
is "and no literal" "$(noted 'literal-password')" 0
is "the log keeps those" "$(($(logged 'literal-password') > 0))" 1

# where parameters are logged, as is the default, only they tell
as=$super PGUSER=$super q -c "SELECT 1" >/dev/null
as_super -c "ALTER ROLE server RESET log_parameter_max_length" >/dev/null
bound extended "SELECT appdb.set_password('$ann', :secret);" "with-parameters" >/dev/null
is "log_parameter_max_length decides about parameters" "$(($(logged 'with-parameters') > 0))" 1
is "nothing else has them" "$(grep 'with-parameters' "$log" | grep -vic 'parameters: ')" 0

is "the server logged no crash" "$(grep -c 'terminated by signal' "$log")" 0
done_testing
