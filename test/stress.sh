#!/bin/bash
#
# stress.sh: many clients insert, delete, restore, move and purge at random,
# by both ways of deleting and under all isolation levels; then nothing is
# live under a deleted parent, lost, half restored, or back with another
# operation's rows (stress/check.sql).
#
# Runs APPDB_STRESS_SECONDS seconds: by default 6, or 180 by "make stress".
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/tap.sh

seconds=${APPDB_STRESS_SECONDS:-${APPDB_STRESS:+180}}
seconds=${seconds:-6}
clients=${APPDB_STRESS_CLIENTS:-4}
database=appdb_stress
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/stress.XXXXXX")
trap 'rm -rf "$work"' EXIT

run_psql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

run_psql -d postgres -c "DROP DATABASE IF EXISTS $database" -c "CREATE DATABASE $database" 2>/dev/null &&
	run_psql -d $database -c 'CREATE EXTENSION appdb' -f test/stress/setup.sql >/dev/null || exit 1

echo 'SELECT stress.act();' >"$work/one.sql"
for level in 'READ COMMITTED' 'REPEATABLE READ' 'SERIALIZABLE'; do
	{
		echo "BEGIN ISOLATION LEVEL $level;"
		echo 'SELECT stress.act();'
		echo 'SELECT stress.act();'
		echo 'COMMIT;'
	} >"$work/${level// /_}.sql"
done
cat >"$work/savepoint.sql" <<'SQL'
BEGIN;
SELECT stress.act();
SAVEPOINT s;
SELECT stress.act();
ROLLBACK TO s;
SELECT stress.act();
COMMIT;
SQL
echo "CALL appdb.purge('1 second', 100);" >"$work/purge.sql"

# serialization failures and deadlocks are tried again
run_pgbench() {
	local name=$1 options=$2 n=$3
	shift 3
	PGOPTIONS="-c client_min_messages=error -c deadlock_timeout=50ms $options" \
		pgbench -n -c "$n" -j 1 -T "$seconds" --max-tries=0 "$@" $database >"$work/$name.out" 2>&1
}
mix=(-f "$work/one.sql@6" -f "$work/READ_COMMITTED.sql@2" -f "$work/REPEATABLE_READ.sql@2" -f "$work/SERIALIZABLE.sql@1" -f "$work/savepoint.sql@1")
# what there is to judge
missing="
	SELECT act FROM unnest('{insert message,insert answer,insert note,delete message,delete chat,delete folder,move note,move folder,move message,restore}'::text[]) act
	EXCEPT SELECT act FROM stress.acts WHERE outcome = 'ok'
	UNION ALL SELECT 'children of deleted parents, refused' WHERE NOT EXISTS (SELECT FROM stress.acts WHERE outcome = '23503')
	UNION ALL SELECT 'rows that come back' WHERE (SELECT count(*) FROM stress.restored) <= 10
	UNION ALL SELECT 'rows that go for good' WHERE (SELECT count(*) FROM stress.gone) <= 10"
# a slow machine takes longer for it
for _ in 1 2 3 4 5; do
	run_pgbench rewrite "-c session_preload_libraries=appdb -c appdb.rewrite_deletes=on" "$clients" "${mix[@]}" &
	one=$!
	run_pgbench trigger "-c appdb.rewrite_deletes=off" "$clients" "${mix[@]}" &
	other=$!
	run_pgbench purge "" 1 -f "$work/purge.sql" &
	purge=$!

	for job in "rewrite:$one" "trigger:$other" "purge:$purge"; do
		name=${job%:*}
		status=0
		wait "${job#*:}" || status=$?
		if [ $status = 0 ]; then
			ok "clients: $name"
		else
			not_ok "clients: $name" <"$work/$name.out"
		fi
		grep -hE '^(number of transactions actually|number of transactions retried|number of failed)' "$work/$name.out" | sed "s/^/# $name: /"
	done
	[ -n "$(run_psql -d $database -c "$missing")" ] || break
done

is "nothing is wrong" "$(run_psql -d $database -f test/stress/check.sql 2>&1)" ""
is "everything was done" "$(run_psql -d $database -c "$missing")" ""
run_psql -d $database -c "SELECT format('# %s %s: %s', act, outcome, count(*)) FROM stress.acts GROUP BY act, outcome ORDER BY act, outcome"
run_psql -d $database -c "SELECT format('# %s rows: %s deletions of rows, %s restores, %s purged', (SELECT count(*) FROM stress.inserted), count(is_now), (SELECT count(*) FROM stress.restored), (SELECT count(*) FROM stress.gone)) FROM stress.history"
[ -n "${APPDB_STRESS_KEEP:-}" ] || run_psql -d postgres -c "DROP DATABASE $database"
done_testing
