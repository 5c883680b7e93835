#!/bin/bash
#
# clock.sh: workers on a server whose clock is put back by a day, as happens
# where a machine wakes up with a wrong one: what their sessions remember of the
# queue for a while must not hold for that day.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh
. test/harness/clients.sh

find_postgres
BASE_SAID=1
choose_base
if ! need_packages 'ls /usr/lib/*/faketime/libfaketime.so.1' libfaketime; then
	ok "clocks that are put back # SKIP $CLIENTS_WHY"
	done_testing
	exit
fi
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT
cluster_create clock
cluster_configure "fsync = off" "max_connections = 20"

# how far the server's clock is off is read from a file each time; sessions do
echo +0 >"$CLUSTER/clock"
chmod 644 "$CLUSTER/clock"
as_server env LD_PRELOAD="$(ls /usr/lib/*/faketime/libfaketime.so.1)" FAKETIME_TIMESTAMP_FILE="$CLUSTER/clock" FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1 \
	"$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" -l "$CLUSTER/log" -w -t 60 start >/dev/null 2>&1 9>&-

q() {
	psql -X -q -At -d "${DB:-app}" "$@" 2>&1
}
DB=postgres q -c "CREATE DATABASE app"
q -c "CREATE EXTENSION appdb"

# a session that has stepped over many tasks remembers where it ended
cat >"$CLUSTER/session.sql" <<SQL
SELECT cardinality(appdb.enqueue_many('a', array_fill('{}'::jsonb, '{600}'))) AS done \gset
SELECT count(*) AS done, now() AS before FROM generate_series(1, 500) AS g, appdb.claim('{default}', 'w' || g) \gset
\! echo -1d >$CLUSTER/clock
SELECT now() < :'before'::timestamptz - interval '23 hours';
\! psql -X -q -At -d app -c "SELECT appdb.enqueue('after') IS NOT NULL"
SELECT kind FROM appdb.claim('{default}', 'w');
SQL
is "a worker finds what is enqueued after the clock was put back" "$(q -f "$CLUSTER/session.sql")" "$(printf 't\nt\nafter')"
done_testing
