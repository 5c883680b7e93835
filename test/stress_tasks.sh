#!/bin/bash
#
# stress_tasks.sh: many workers claim, beat, go silent, complete, fail and snooze at
# random, while others enqueue and call off, and all of them are killed at
# random: the client by kill -9, its backend by pg_terminate_backend().  Then
# every task was done, given up or called off as it should be, no task had two
# leases at a time, what was lost completed nothing, groups kept their order
# and their limit (stress/tasks_check.sql).
#
# That this would be seen is tested, too: by a claim that does not lock, and
# by a worker that does not show its ticket.
#
# Runs APPDB_STRESS_SECONDS seconds: by default 8, or 180 by "make stress".
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/tap.sh

seconds=${APPDB_STRESS_SECONDS:-${APPDB_STRESS:+180}}
seconds=${seconds:-8}
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/stress_tasks.XXXXXX")
trap 'touch "$work/stop"; wait; rm -rf "$work"' EXIT
export PGDATABASE=appdb_stress_tasks PGOPTIONS='-c client_min_messages=error -c deadlock_timeout=50ms'

q() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

new_database() {
	q -d postgres -c "DROP DATABASE IF EXISTS $PGDATABASE WITH (FORCE)" -c "CREATE DATABASE $PGDATABASE" &&
		q -c 'CREATE EXTENSION appdb' -f test/stress/tasks_setup.sql
}

# == what clients do, as scripts of pgbench =================================

# worker NAME CLAIMED LEASE HOW STEPS: claims, commits, does the steps, ends what it has.
# HOW goes to stress.claim() and stress.finish().
worker() {
	{
		echo "SELECT * FROM stress.claim('$4', $2, '$3') \\gset"
		echo '\if :got > 0'
		printf '%s\n' "${@:5}"
		echo "SELECT stress.finish(':ids', ':tickets', '$4');"
		echo '\else'
		echo '\sleep 10 ms'
		echo '\endif'
	} >"$work/$1.sql"
}
beat="SELECT stress.beat(':ids', ':tickets', '250 ms');"
nap='\set nap random(1, 150)
\sleep :nap ms'
worker careful 1 '250 ms' one "$nap" "$beat" "$nap" "$beat" "$nap" "$beat"
worker quick 3 '1 second' one
worker many 20 '1 second' many '\sleep 20 ms'
worker silent 2 '100 ms' one '\set nap random(1, 300)' '\sleep :nap ms'
worker silent_many 5 '100 ms' many '\set nap random(1, 200)' '\sleep :nap ms'
worker failing 2 '250 ms' fail "$nap"
worker failing_late 2 '100 ms' fail '\set nap random(1, 300)' '\sleep :nap ms'
worker snoozing 2 '250 ms' snooze '\sleep 5 ms'
worker drain 50 '5 seconds' one
worker broken_claim 3 '1 second' 'broken claim' '\sleep 5 ms'
worker broken_complete 2 '30 ms' 'broken complete' '\set nap random(1, 100)' '\sleep :nap ms'
# claimed and completed in one transaction
{
	echo 'BEGIN;'
	sed '/sleep/d' "$work/quick.sql"
	echo 'COMMIT;'
} >"$work/at_once.sql"
{
	echo 'BEGIN ISOLATION LEVEL REPEATABLE READ;'
	echo 'SELECT count(*) FROM app_data.tasks;'
	sed '/sleep/d' "$work/quick.sql"
	echo 'COMMIT;'
} >"$work/repeatable.sql"
# claimed, and not after all
cat >"$work/abort.sql" <<'SQL'
BEGIN;
SELECT * FROM stress.claim('one', 3, '1 second');
ROLLBACK;
\sleep 20 ms
SQL
cat >"$work/enqueue.sql" <<'SQL'
\sleep 15 ms
SELECT stress.enqueue(:client_id);
SQL
cat >"$work/enqueue_ordered.sql" <<'SQL'
\set grp random(1, 4)
\set n random(1, 4)
SELECT pg_advisory_lock(:grp);
SELECT stress.enqueue_ordered('group ' || :grp, :n);
SELECT pg_advisory_unlock(:grp);
\sleep 60 ms
SQL
cat >"$work/cancel.sql" <<'SQL'
SELECT stress.cancel();
\sleep 60 ms
SQL
cat >"$work/maintain.sql" <<'SQL'
CALL appdb.maintain(100, false);
\sleep 40 ms
SQL

# client NAME CLIENTS SCRIPT...: runs the scripts at random until told to stop; its clients die now and then, and others come
client() {
	local name=$1 n=$2 pid script files=()
	shift 2
	for script; do
		files+=(-f "$work/$script.sql")
	done
	while [ ! -e "$work/stop" ]; do
		PGAPPNAME=$name pgbench -n -c "$n" -j 1 -T 3600 --max-tries=0 "${files[@]}" >"$work/$name.out" 2>&1 &
		pid=$!
		for ((tenths = 2 + RANDOM % 12; tenths > 0; tenths--)); do
			[ ! -e "$work/stop" ] || break
			sleep 0.1
		done
		if [ $((RANDOM % 3)) = 0 ] && [ ! -e "$work/stop" ]; then
			# some of its backends; it goes when it has noticed
			q -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '$name' AND random() < 0.7" >>"$work/terminated"
			sleep 0.1
		fi
		kill -9 "$pid" 2>/dev/null && echo >>"$work/killed"
		wait "$pid" 2>/dev/null
		# what is no kill
		grep -hE 'ERROR|FATAL' "$work/$name.out" | grep -v 'terminating connection due to administrator command' >>"$work/errors"
	done
}

# until no client is left
stop_clients() {
	touch "$work/stop"
	wait
	rm "$work/stop"
	for ((i = 0; i < 300; i++)); do
		[ "$(q -c "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")" != 0 ] || return
		sleep 0.1
	done
}

# good workers do what is left
drain() {
	for ((i = 0; i < 120; i++)); do
		[ "$(q -c "SELECT count(*) FROM app_data.tasks WHERE finished_at IS NULL")" != 0 ] || return
		q -c 'CALL appdb.maintain(1000, false)'
		pgbench -n -c 2 -j 1 -T 1 --max-tries=0 -f "$work/drain.sql" 2>&1 | grep -E 'ERROR|FATAL' >>"$work/errors"
	done
}

# what there is to judge
missing="
	SELECT 'status ' || s FROM unnest('{completed,canceled,dead}'::text[]) s WHERE NOT EXISTS (SELECT FROM app_data.tasks t WHERE t.status::text = s)
	UNION ALL SELECT w.act FROM unnest('{lost: one,lost one of many,lost: fail,nothing to claim}'::text[]) w (act) WHERE NOT EXISTS (SELECT FROM stress.acts a WHERE a.act = w.act)
	UNION ALL SELECT 'many leases of one task' WHERE NOT EXISTS (SELECT FROM stress.claims c GROUP BY c.task HAVING count(*) > 2)
	UNION ALL SELECT 'tasks that are not kept' WHERE NOT EXISTS (SELECT FROM stress.enqueued e WHERE NOT EXISTS (SELECT FROM app_data.tasks t WHERE t.id = e.task))
	UNION ALL SELECT 'claims that fire triggers' WHERE NOT EXISTS (SELECT FROM stress.fired)
	UNION ALL SELECT w.what FROM unnest('{single,many,late,fan,limited,dedupe,replace,expiring,priority,of a space,ordered}'::text[]) w (what)
		WHERE NOT EXISTS (SELECT FROM stress.enqueued e JOIN app_data.tasks t ON t.id = e.task AND t.status = 'completed' WHERE e.what = w.what)"

# enough SECONDS: when so many are over, and there is all of it, for which a slow machine takes longer
enough() {
	sleep "$1"
	for ((i = 0; i < 300; i++)); do
		[ "$(wc -l <"$work/killed")" -gt 5 ] && [ "$(awk '{ n += $1 } END { print n + 0 }' "$work/terminated")" -gt 2 ] && [ -z "$(q -c "$missing")" ] && return
		sleep 0.2
	done
}

# == the run ================================================================

new_database || exit 1
# more of a group than a claim likes to step over, and others behind them
q >/dev/null <<-'SQL'
	SELECT stress.enqueue_ordered('group 1', 300);
	SELECT stress.enqueue(0) FROM generate_series(1, 100);
	SELECT stress.enqueue_ordered('group 2', 200);
	SELECT stress.enqueue_ordered('group 1', 100);
SQL
touch "$work/killed" "$work/terminated" "$work/errors"
client careful 3 careful &
client mixed 3 quick many at_once &
client silent 2 silent silent_many &
PGOPTIONS="$PGOPTIONS -c appdb.keep_completed_tasks=off" client forgetful 2 many silent_many &
client grumpy 2 failing failing_late snoozing abort &
client strict 2 repeatable quick &
client enqueue 2 enqueue &
client ordered 2 enqueue_ordered &
client people 1 cancel &
client maintain 1 maintain &
sleep $((seconds / 2))
# a trigger of the user's, which claims have to fire
q >/dev/null <<-'SQL'
	CREATE TABLE stress.fired (n bigint);
	CREATE FUNCTION stress.fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO stress.fired VALUES (1); RETURN NULL; END $$;
	CREATE TRIGGER fired AFTER UPDATE ON app_data.tasks FOR EACH ROW WHEN (NEW.status = 'running' AND OLD.ticket <> NEW.ticket) EXECUTE FUNCTION stress.fired();
SQL
sleep $((seconds / 4))
for ((i = 0; i < 300; i++)); do
	[ "$(q -c 'SELECT EXISTS (SELECT FROM stress.fired)')" != t ] || break
	sleep 0.2
done
q -c 'DROP TRIGGER fired ON app_data.tasks' >/dev/null
enough $((seconds - seconds / 2 - seconds / 4))
stop_clients
drain

is "nothing is wrong" "$(q -f test/stress/tasks_check.sql)" ""
is "no other errors" "$(sort "$work/errors" | uniq -c | sort -rn | head)" ""
is "clients were killed" "$([ "$(wc -l <"$work/killed")" -gt 5 ] && [ "$(awk '{ n += $1 } END { print n + 0 }' "$work/terminated")" -gt 2 ] && echo yes)" yes
is "everything happened" "$(q -c "$missing")" ""
q -c "SELECT format('# %s: %s', status, count(*)) FROM app_data.tasks GROUP BY status" \
	-c "SELECT format('# %s leases, %s heartbeats', (SELECT count(*) FROM stress.claims), (SELECT count(*) FROM stress.beats))" \
	-c "SELECT format('# %s: %s', act, count(*)) FROM stress.acts GROUP BY act ORDER BY act"
echo "# $(wc -l <"$work/killed") clients and $(awk '{ n += $1 } END { print n + 0 }' "$work/terminated") backends killed"

# == that it would be seen ==================================================

# control SCRIPT WHAT: two seconds of workers that are broken, or more, until it is found out
control() {
	local s
	for s in 2 5 20; do
		new_database || exit 1
		q -c "SELECT stress.enqueue(0) FROM generate_series(1, 100)" >/dev/null
		client broken 4 "$1" &
		client enqueue 1 enqueue &
		sleep $s
		stop_clients
		drain
		: >"$work/errors"
		found=$(q -f test/stress/tasks_check.sql | cut -d '|' -f 1)
		[[ $found != *"$2"* ]] || break
	done
}
control broken_claim 'two live leases'
like "a claim that does not lock is found out" "$found" 'two live leases'
control broken_complete 'ended by a lease that was lost'
like "so is one who does not show the ticket" "$found" 'ended by a lease that was lost'

[ -n "${APPDB_STRESS_KEEP:-}" ] || q -d postgres -c "DROP DATABASE $PGDATABASE WITH (FORCE)"
done_testing
