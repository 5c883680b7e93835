#!/bin/bash
#
# postgraphile.t: PostGraphile on the live views: its relations are appdb's, and
# its deletes are soft; as a user directly, and through pgbouncer in transaction mode.
#
# Needs a running server that has the extension (make check provides it). Node
# and the packages of test/clients/postgraphile are installed; without a
# network, npm's cache will do.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/tap.sh
. test/harness/clients.sh

if ! npm_ci test/clients/postgraphile; then
	ok "PostGraphile # SKIP $CLIENTS_WHY"
	done_testing
	exit
fi
export PGDATABASE=appdb_clients_postgraphile
psql -X -q -d postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $PGDATABASE" -c "CREATE DATABASE $PGDATABASE"
psql -X -q -c 'CREATE EXTENSION appdb' -v parts=50 -f test/bench/find_data.sql >/dev/null
psql -X -q -d postgres -c 'SET client_min_messages = warning' -c 'DROP ROLE IF EXISTS appdb_test_postgraphile' -c 'CREATE ROLE appdb_test_postgraphile LOGIN'
pool=${APPDB_CLUSTER:?}/pool
if pgbouncer_start "$pool" appdb_test_postgraphile; then
	export APPDB_POOL=$pool
else
	echo "# through pgbouncer: skipped, $CLIENTS_WHY"
fi
node test/clients/postgraphile/postgraphile.mjs
status=$?
pgbouncer_stop "$pool"
psql -X -q -d postgres -c "DROP DATABASE $PGDATABASE WITH (FORCE)" -c 'DROP ROLE appdb_test_postgraphile'
exit $status
