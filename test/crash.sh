#!/bin/bash
#
# crash.sh: the server is killed under load, again and again, each time by
# another way: all of its processes at once, the postmaster alone, one of the
# others.  Afterwards every transaction is there that a client was told is
# committed, nothing else is, and nothing is broken: tables and indexes
# (amcheck), deletions, tenants, memberships, the queue (crash/check.sql).
# Then the same with synchronous_commit = off, where transactions must be
# missing: so this test can tell.
#
#   crash.sh [build]
#
# APPDB_CRASH_CYCLES kills (3; "make crash": 60), after APPDB_CRASH_SECONDS
# seconds of load each (2), by APPDB_CRASH_WAYS.  The server is its own.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

cycles=${APPDB_CRASH_CYCLES:-3}
seconds=${APPDB_CRASH_SECONDS:-2}
clients=4

find_postgres
BASE_SAID=1
choose_base
# "make check" has built it
if [ "${1:-}" = build ] || [ ! -d "$BASE/root" ]; then
	build_extension || exit 1
fi
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/crash.XXXXXX")
# what a failure leaves can be looked at
trap 'cluster_stop immediate; [ $tap_failed != 0 ] || rm -rf "${CLUSTER:?}" "$work"' EXIT

q() {
	psql -X -q -At -d "${DB:-crash}" "$@" 2>&1
}

# children of a process
children() {
	perl -e 'for (glob "/proc/[0-9]*/stat") { open my $f, "<", $_ or next; my $l = <$f> // next; print "$1\n" if $l =~ /^(\d+) \(.*\) \S (\d+) / && $2 == $ARGV[0] }' "$1"
}

# kill WAY: all, postmaster, or one (of its children)
kill_server() {
	local postmaster victims victim
	postmaster=$(head -n 1 "$CLUSTER/data/postmaster.pid")
	mapfile -t victims < <(children "$postmaster")
	case $1 in
		all) kill -9 "$postmaster" "${victims[@]}" ;;
		postmaster) kill -9 "$postmaster" ;;
		one)
			# one that is still there
			for victim in $(shuf -e "${victims[@]}"); do
				! kill -9 "$victim" || break
			done ;;
	esac 2>/dev/null
}

# the server is there again; processes that have lost their postmaster end first
restarted() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ "$(DB=postgres q -c 'SELECT 1')" != 1 ] || return 0
		[ "$1" = one ] || as_server "$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" -l "$CLUSTER/log" -w -t 60 start >/dev/null 2>&1 9>&- || :
		sleep 0.2
	done
	return 1
}

# how many transactions the clients were told are committed
acknowledged() {
	cat "$work/$dir"/[1-9] 2>/dev/null | grep -c '^done'
}

# crashes that the server has survived
crashes() {
	grep -c 'terminated by signal 9' "$CLUSTER/log"
}

# cycle WAY [alone]: all clients for some seconds, and until they have done something, then the kill
cycle() {
	local way=$1 c i before jobs=()
	before=$(acknowledged)
	for ((c = 1; c <= clients; c++)); do
		PGDATABASE=crash perl test/crash/client.pl run "$work/$dir/$c" $c >"$work/out" 2>&1 &
		jobs+=($!)
	done
	if [ -z "${2:-}" ]; then
		PGOPTIONS='-c client_min_messages=error' pgbench -n -c 3 -j 1 -T 600 --max-tries=0 -f "$work/act.sql" stress >/dev/null 2>&1 &
		jobs+=($!)
	fi
	sleep "$seconds.$((RANDOM % 10))"
	for ((i = 0; i < 300; i++)); do
		[ "$(acknowledged)" -lt $((before + 200)) ] || break
		sleep 0.2
	done
	before=$(crashes)
	if [ -z "${2:-}" ] && [ $((RANDOM % 2)) = 0 ]; then
		q -c CHECKPOINT >/dev/null &
		jobs+=($!)
	fi
	kill_server "$way"
	if [ "$way" = one ]; then
		for ((i = 0; i < 300; i++)); do
			[ "$(crashes)" = "$before" ] || break
			sleep 0.1
		done
		# a client whose process it was not, and that was idle just then, may go on
		sleep 0.5
		kill "${jobs[@]}" 2>/dev/null
	fi
	wait "${jobs[@]}" 2>/dev/null
	restarted "$way"
}

# what is not as the clients were told
judge() {
	local c
	for ((c = 1; c <= clients; c++)); do
		PGDATABASE=crash perl test/crash/client.pl check "$work/$dir/$c" $c 2>>"$work/$dir/counts"
	done
}

# what is broken
check() {
	local DB
	for DB in crash stress; do
		q -f test/crash/check.sql
	done
}

# start NAME LINE...: the server, its database, and nothing done yet
start() {
	dir=$1
	shift
	mkdir "$work/$dir"
	cluster_create crash
	cluster_configure "shared_preload_libraries = 'appdb'" "appdb.worker = on" "appdb.worker_naptime = 1" "max_connections = 30" \
		"shared_buffers = '16MB'" "checkpoint_timeout = 30" "max_wal_size = '64MB'" "deadlock_timeout = '50ms'" "$@"
	cluster_start
	DB=postgres q -c 'CREATE DATABASE crash'
	q -v clients=$clients -f test/crash/setup.sql || exit 1
}

# the clients of the stress test, whose notes are to survive
start_stress() {
	DB=postgres q -c 'CREATE DATABASE stress'
	sed 's/UNLOGGED //' test/stress/setup.sql >"$work/stress.sql"
	DB=stress q -c 'CREATE EXTENSION appdb' -c 'CREATE EXTENSION amcheck' -f "$work/stress.sql" >/dev/null
	echo 'SELECT stress.act();' >"$work/act.sql"
}

start kept
start_stress
read -ra ways <<<"${APPDB_CRASH_WAYS:-all postmaster one}"
declare -A done_ways=([all]=0 [postmaster]=0 [one]=0)
for ((i = 0; i < cycles; i++)); do
	way=${ways[i % ${#ways[@]}]}
	if ! cycle "$way"; then
		not_ok "kill $((i + 1)), $way: the server starts again" < <(tail -n 20 "$CLUSTER/log")
		done_testing
		exit 1
	fi
	wrong=$(judge; check)
	if [ -n "$wrong" ]; then
		not_ok "kill $((i + 1)), $way: all is there that was committed, and nothing is broken" <<<"$wrong"
		break
	fi
	done_ways[$way]=$((done_ways[$way] + 1))
done
for way in "${ways[@]}"; do
	[ "${done_ways[$way]}" = 0 ] || ok "${done_ways[$way]} kills, $way: all is there that was committed, and nothing is broken"
done

is "what the clients of the stress test did is as it must be" "$(DB=stress q -f test/stress/check.sql)" ""
# leases end, and the launcher comes back
until_none() {
	local i
	for ((i = 0; i < 300; i++)); do
		[ "$(q -c "SELECT EXISTS ($1)")" = t ] || return
		sleep 0.1
	done
}
until_none "SELECT FROM app_data.tasks WHERE locked_until > now()"
is "every task can still be done" "$(for ((c = 1; c <= clients; c++)); do PGDATABASE=crash perl test/crash/client.pl drain "$work/$dir/$c" $c 2>&1; done)" ""
until_none "SELECT FROM (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appdb launcher') AS l (n) WHERE l.n <> 1"
is "the worker came back" "$(q -c "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'appdb launcher'")" 1
acts=$(cat "$work/$dir"/[1-9] | sed -n 's/^begin [0-9]* \([a-z_]*\).*/\1/p' | sort | uniq -c | sort -rn)
is "everything was done" "$(wc -l <<<"$acts")" 12
sed 's/^/# /' <<<"$acts"
echo "# transactions of these: $(cat "$work/$dir"/[1-9] | grep -c '^done') acknowledged, $(cat "$work/$dir"/[1-9] | grep -c '^refused') refused," \
	"$(cat "$work/$dir"/[1-9] | grep -c '^found') committed and $(cat "$work/$dir"/[1-9] | grep -c '^lost') not when the server was gone before it said so"
echo "# rows that they left: $(tail -n $clients "$work/$dir/counts" | awk '{ n += $1 } END { print n }')"
cluster_stop immediate

# -- a server that says too early that something is committed
# (and nothing else that writes the log meanwhile)
start lost "synchronous_commit = off" "wal_buffers = '64MB'" "shared_buffers = '256MB'" "checkpoint_timeout = '1h'" "appdb.worker = off"
q -c CHECKPOINT
kill -STOP "$(q -c "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'")"
cycle all alone
wrong=$(judge)
if grep -qE '^client [0-9]+: (missing|not expected)' <<<"$wrong"; then
	ok "with synchronous_commit = off acknowledged transactions are lost, and this test sees it"
	echo "# $(wc -l <<<"$wrong") rows are not as they were said to be"
else
	not_ok "with synchronous_commit = off acknowledged transactions are lost, and this test sees it" <<<"$wrong"
fi
is "nothing is broken by that" "$(q -f test/crash/check.sql)" ""

done_testing
