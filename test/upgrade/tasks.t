#!/bin/bash
#
# tasks.t: ALTER EXTENSION ... UPDATE from every released version while tasks
# are claimed, done and enqueued, and the background worker is at work: each is
# done once, what runs goes on, and nobody sees an error.
#
# On a server of its own, which preloads the library. Needs what make check builds.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/cluster.sh
. test/upgrade/lib.sh
set +e
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/update_tasks.XXXXXX")

find_postgres >/dev/null
choose_base >/dev/null
[ -d "$BASE/root" ] || build_extension || exit 1
cluster_create update_tasks
trap 'touch "$work/stop"; wait; cluster_stop immediate; cluster_remove update_tasks; rm -rf "$work"' EXIT
# (autovacuum that is in somebody's way is canceled, which is an error in the log)
cluster_configure "fsync = off" "shared_preload_libraries = 'appdb'" "appdb.worker_naptime = 1" "max_connections = 30" "autovacuum = off"
cluster_start

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -d app "$@" 2>&1
}
until_true() {
	local i
	for ((i = 0; i < 900; i++)); do
		[ "$(sql -c "$1")" = t ] && { ok "$2"; return; }
		sleep 0.1
	done
	not_ok "$2" < <(sql -c "$1"; sql -c "SELECT kind, status, count(*) FROM app_data.tasks GROUP BY 1, 2"; tail -n 20 "$CLUSTER/log")
}

cat >"$work/worker.sql" <<'SQL'
SELECT coalesce(max(c.id::text), '') AS id, coalesce(max(c.ticket), 0) AS ticket FROM appdb.claim('{default}', 'w', 1, '1 minute') AS c \gset
\if :ticket > 0
\sleep 3 ms
SELECT appdb.heartbeat(:'id'::uuid, :ticket);
BEGIN;
INSERT INTO public.done VALUES (:'id');
SELECT appdb.complete(:'id'::uuid, :ticket);
COMMIT;
\else
\sleep 20 ms
\endif
SQL
sed -i "s/:'id'/':id'/" "$work/worker.sql"
cat >"$work/enqueue.sql" <<'SQL'
SELECT appdb.enqueue('one'), cardinality(appdb.enqueue_many('[{"kind": "part"}, {"kind": "whole", "depends_on": [0]}, {"kind": "grouped", "group_key": "g"}]'));
SELECT appdb.enqueue('keyed', dedupe_key => 'k', on_duplicate => 'replace', run_at => now() + interval '100 ms');
\sleep 30 ms
SQL

for old in "${released[@]}"; do
	what="$old to $version"
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS app WITH (FORCE)" -c "CREATE DATABASE app"
	sql -c "CREATE EXTENSION appdb VERSION '$old'" -c "CREATE TABLE public.done (task uuid)"
	sql >/dev/null <<-'SQL'
		SELECT count(appdb.enqueue('before')) FROM generate_series(1, 300);
		SELECT appdb.enqueue('held', queue => 'held', group_key => 'h'), appdb.enqueue('behind', queue => 'held', group_key => 'h');
		SELECT appdb.enqueue('silent', queue => 'silent');
		SELECT appdb.enqueue('later', run_at => now() + interval '1 day');
		SELECT appdb.schedule('tick', '0 0 29 2 *', 'tick');
	SQL
	# one that runs all the while, and one whose worker never comes back
	read -r held ticket < <(sql -F ' ' -c "SELECT id, ticket FROM appdb.claim('{held}', 'holder', 1, '10 minutes')")
	sql -c "SELECT FROM appdb.claim('{silent}', 'gone', 1, '2 seconds')"

	rm -f "$work/stop"
	pids=()
	for script in worker worker worker enqueue; do
		pgbench -n -c 1 -T 600 -f "$work/$script.sql" app >"$work/$script.${#pids[@]}.out" 2>&1 &
		pids+=($!)
	done
	until_true "SELECT count(*) > 50 FROM public.done" "$what: tasks are done"
	step "$what: update" sql -c "SET lock_timeout = '60s'" -c "ALTER EXTENSION appdb UPDATE"
	n=$(sql -c "SELECT count(*) FROM public.done")
	until_true "SELECT count(*) > $n + 50 FROM public.done" "$what: they go on"
	step "$what: migrate_online" sql -c 'CALL appdb.migrate_online()'
	n=$(sql -c "SELECT count(*) FROM public.done")
	until_true "SELECT count(*) > $n + 20 FROM public.done" "$what: and on"
	sql -c "UPDATE appdb.schedules SET next_run_at = now() - interval '1 second'"
	until_true "SELECT count(*) = 1 FROM app_data.tasks WHERE kind = 'tick'" "$what: the background worker enqueues what is due"
	until_true "SELECT status = 'pending' AND last_error IS NOT NULL FROM app_data.tasks WHERE kind = 'silent'" "$what: and takes back what a silent worker had"
	is "$what: who had a task before the update has it" "$(sql -c "SELECT appdb.heartbeat('$held', $ticket)" -c "SELECT appdb.complete('$held', $ticket, '1')" -c "SELECT kind FROM appdb.claim('{held}')")" "$(printf 'f\n\nbehind')"
	kill "${pids[3]}"
	wait "${pids[3]}"
	until_true "SELECT count(*) = 1 FROM app_data.tasks WHERE finished_at IS NULL AND queue = 'default'" "$what: all is done in the end"
	kill "${pids[@]:0:3}"
	wait "${pids[@]:0:3}"
	is "$what: each once" "$(sql -c "SELECT count(*) FROM (SELECT FROM public.done GROUP BY task HAVING count(*) > 1) AS d" \
		-c "SELECT count(*) FROM app_data.tasks AS t WHERE t.queue = 'default' AND t.kind <> 'later' AND (t.status <> 'completed' OR t.attempts <> 1 OR NOT EXISTS (SELECT FROM public.done AS d WHERE d.task = t.id))")" "$(printf '0\n0')"
	is "$what: no client saw an error" "$(grep -hE 'ERROR|FATAL' "$work"/*.out | grep -v 'terminating connection' | sort | uniq -c)" ""
	is "$what: nor is there one in the log" "$(grep -E ' (ERROR|FATAL|PANIC): ' "$CLUSTER/log" | grep -v 'terminating connection\|connection to client lost\|canceling statement due to user request' | sort | uniq -c | head -n 5)" ""
done
done_testing
