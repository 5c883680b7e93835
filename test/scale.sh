#!/bin/bash
#
# scale.sh: hundreds of managed tables, on a server that has room for few locks,
# with more ways from table to table than could be looked at one by one; and what
# a hundred tasks leave in the log of a server that has nothing else to do.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

find_postgres
BASE_SAID=1
choose_base
cluster_create scale
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT
cluster_configure "fsync = off" "max_connections = 10" "wal_level = minimal" "max_wal_senders = 0" \
	"max_worker_processes = 0" "autovacuum = off" "statement_timeout = '120s'"
cluster_start

export PGDATABASE=scale PGOPTIONS='-c client_min_messages=warning'
sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

tables=200 rungs=40
PGDATABASE=postgres sql -c 'CREATE DATABASE scale'
sql -c 'CREATE EXTENSION appdb' || exit 1

# ladders: each refers to the two before it
sql <<-SQL || exit 1
	CREATE FUNCTION public.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS \$\$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid \$\$;
	SELECT format('CREATE TABLE public.t%s (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz%s%s)', i,
				  CASE WHEN (i - 1) % $rungs > 1 THEN format(', one_id uuid REFERENCES t%s, two_id uuid REFERENCES t%s', i - 1, i - 2) ELSE ', organization_id uuid' END,
				  CASE WHEN i = $tables THEN format(', other_id uuid REFERENCES t%s', i) ELSE '' END)
	FROM generate_series(1, $tables) i \gexec
	SELECT format('CREATE INDEX ON t%s (one_id); CREATE INDEX ON t%1\$s (two_id)', i) FROM generate_series(1, $tables) i WHERE (i - 1) % $rungs > 1 \gexec
SQL
is "tables are managed one by one" "$(sql <<<"SELECT format('SELECT appdb.manage(%L, relations => %L)', 't' || i, CASE WHEN (i - 1) % $rungs > 1 THEN '{\"one_id\": {\"inverse\": \"ones\"}, \"two_id\": {\"inverse\": \"twos\"}}' ELSE '{}' END) FROM generate_series(1, $tables) i \gexec" | sort | uniq -c | tr -d ' ')" "$tables"
is "their relations are there" "$(sql -c "SELECT count(*), count(*) FILTER (WHERE to_regprocedure(format('appdb.%I(appdb.%I)', name, \"from\")) IS NOT NULL) FROM appdb.relations WHERE \"from\" ~ '^t[0-9]+\$'")" \
	"$(((tables - 2 * tables / rungs) * 4 + 2))|$(((tables - 2 * tables / rungs) * 4 + 2))"

sql >/dev/null <<-SQL || exit 1
	INSERT INTO appdb.organizations (id, name, slug) VALUES (id(1), 'Held', 'held'), (id(2), 'Other', 'other');
	SELECT appdb.hold(id(1), 'a lawsuit');
	SELECT format('INSERT INTO t%s (id, organization_id) VALUES (id(1), id(1)), (id(2), id(2))', i) FROM generate_series(1, $tables, $rungs) i \gexec
	SELECT format('INSERT INTO t%s (id, organization_id) VALUES (id(1), NULL), (id(2), NULL)', i) FROM generate_series(2, $tables, $rungs) i \gexec
SQL
sql <<<"SELECT format('INSERT INTO t%s (id, one_id, two_id) SELECT id(n), id(n), id(n) FROM generate_series(1, 2) n', i) FROM generate_series(1, $tables) i WHERE (i - 1) % $rungs > 1 \gexec"
sql <<<"SELECT format('DELETE FROM appdb.t%s', i) FROM generate_series($tables, 1, -1) i \gexec"
is "what is on hold is so by whatever ways" "$(sql -c "SELECT id = id(1), purge_at IS NULL FROM appdb.trash WHERE entity = 't$tables'::regclass ORDER BY id")" "$(printf 't|t\nf|f')"
is "doctor() looks at all of them" "$(sql -c "SELECT count(*) FROM appdb.doctor() WHERE object LIKE '%.t%' AND problem LIKE 'it has no row security%'" -c "SELECT object FROM appdb.doctor() WHERE severity = 'error' AND object NOT LIKE 'setting %'")" "$tables"
cluster_stop
cluster_configure "max_locks_per_transaction = 10"
cluster_start
is "a purge ends, without locks on all tables at once" "$(sql -c "CALL appdb.purge('0')")" ''
is "it has erased what is not on hold, and its notes" "$(sql -c "SELECT id = id(1) FROM t$tables UNION ALL SELECT count(*) = $tables FROM app_data.deletions")" "$(printf 't\nt')"
is "without holds" "$(sql -c 'SELECT appdb.release(id(1))' -c "CALL appdb.purge('0')" -c "SELECT count(*) FROM app_data.deletions")" "$(printf 't\n0')"

# a page of tasks is tidied up once there is no room in it, not at each step of each
sql -c 'CREATE EXTENSION pg_walinspect'
# tasks WIDTH: does a hundred; records of the log that were written by it
tasks() {
	local since
	sql -c "SELECT appdb.enqueue_many('x', array_fill(to_jsonb(repeat('x', $1)), ARRAY[100]))" >/dev/null
	since=$(sql -c 'SELECT pg_current_wal_insert_lsn()')
	for _ in {1..100}; do
		echo "SELECT id, ticket FROM appdb.claim('{default}') \\gset"
		echo "SELECT appdb.complete(:'id', :ticket) \\g /dev/null"
	done | sql
	sql -c "SELECT count(*) FILTER (WHERE record_type = 'HOT_UPDATE') > 90, count(*) FILTER (WHERE record_type ~ 'PRUNE') < $2
		FROM pg_get_wal_records_info('$since', pg_current_wal_flush_lsn()) WHERE resource_manager ~ '^Heap'"
}
is "pages of tasks are tidied up a few times" "$(tasks 1 30)" 't|t'
is "where tasks are wide, in time for the next version" "$(tasks 1620 150)" 't|t'
is "two hundred tasks are completed" "$(sql -c "SELECT count(*) FROM appdb.tasks WHERE status = 'completed'")" 200

done_testing
