#!/bin/bash
#
# notify.sh: tasks are enqueued also where the server's queue of notifications
# fills, since a session that listens stays in a transaction.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

find_postgres
BASE_SAID=1
choose_base
if [ "$PG_MAJOR" -lt 17 ]; then
	ok "a queue of notifications that is full # SKIP it has 8 GB before 17"
	done_testing
	exit
fi
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT
cluster_create notify
cluster_configure "fsync = off" "max_connections = 20" "max_notify_queue_pages = 64"
cluster_start

q() {
	psql -X -q -At -d "${DB:-app}" "$@" 2>&1
}
DB=postgres q -c "CREATE DATABASE app"
q -c "CREATE EXTENSION appdb"

# a worker that waits, is notified, and works in a transaction that does not end
mkfifo -m 600 "$CLUSTER/worker"
q <"$CLUSTER/worker" >"$CLUSTER/worker.out" &
exec 8>"$CLUSTER/worker"
echo "LISTEN appdb_tasks; SELECT appdb.idle(); BEGIN; SELECT 'waits';" >&8
until grep -q waits "$CLUSTER/worker.out"; do
	sleep 0.1
done
is "every task is enqueued" \
	"$(q -c "SET client_min_messages = error" -f <(for _ in {1..100}; do echo "DO \$\$ BEGIN FOR i IN 1..200 LOOP PERFORM appdb.enqueue('x'); COMMIT; END LOOP; END \$\$;"; done) -c "SELECT count(*) FROM appdb.tasks")" 20000
is "and notified as long as there is room" "$(q -c "SELECT pg_notification_queue_usage() BETWEEN 0.5 AND 0.6")" t
echo "COMMIT; SELECT kind FROM appdb.claim();" >&8
exec 8>&-
wait
like "the worker goes on" "$(<"$CLUSTER/worker.out")" $'\nx'
done_testing
