#!/bin/bash
#
# modules.sh: beside modules that hook into the executor as the engine does, in
# either order, and below a language that stops a statement before its end.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh
. test/harness/clients.sh

find_postgres
BASE_SAID=1
choose_base
trap 'cluster_stop immediate; rm -rf "${CLUSTER:?}"' EXIT
cluster_create modules
cluster_configure "fsync = off" "max_connections = 20"

q() {
	psql -X -q -At -d app "$@" 2>&1
}
rows="INSERT INTO appdb.users (id, email) VALUES ('00000000-0000-7000-8000-000000000001', 'ann@modules.example');
	INSERT INTO appdb.spaces (id, owner_id, name) SELECT '00000000-0000-7000-8000-000000000002', id, 'here' FROM appdb.users;
	INSERT INTO appdb.chats (space_id, title) SELECT id, 'chat ' || n FROM appdb.spaces, generate_series(1, 9) n"

# == what they say of a DELETE ==============================================
for order in pg_stat_statements,auto_explain,appdb appdb,auto_explain,pg_stat_statements; do
	cluster_configure "shared_preload_libraries = '$order'" "auto_explain.log_min_duration = 0" "auto_explain.log_analyze = on"
	cluster_start
	psql -X -q -d postgres -c 'DROP DATABASE IF EXISTS app' -c 'CREATE DATABASE app' 2>/dev/null
	q -c 'CREATE EXTENSION appdb' -c 'CREATE EXTENSION pg_stat_statements' -c "$rows"
	is "$order: DELETE deletes" "$(q -c "DELETE FROM appdb.chats WHERE title = 'chat 1' RETURNING title, deleted_at")" "chat 1|"
	is "$order: pg_stat_statements has it as it was written" \
		"$(q -c "SELECT query, calls, rows FROM pg_stat_statements JOIN pg_database d ON d.oid = dbid WHERE d.datname = current_database() AND query ~ '^DELETE FROM appdb'")" \
		"DELETE FROM appdb.chats WHERE title = \$1 RETURNING title, deleted_at|1|1"
	is "$order: auto_explain logs it" "$(grep -c 'Query Text: DELETE FROM appdb.chats' "$CLUSTER/log")" 1
	cluster_stop
	rm -f "$CLUSTER/log"
done

# == stopped after a row ====================================================
if ! need_packages "test -f $("$PG_CONFIG" --pkglibdir)/plperl.so" "postgresql-plperl-$PG_MAJOR"; then
	ok "statements of PL/Perl # SKIP $CLIENTS_WHY"
	done_testing
	exit
fi
cluster_configure "shared_preload_libraries = ''"
cluster_start
q -c 'CREATE EXTENSION plperl' -c "CREATE FUNCTION delete_chats(n int) RETURNS text LANGUAGE plperl AS \$\$
	return spi_exec_query('DELETE FROM appdb.chats RETURNING id', \$_[0])->{processed};
\$\$"
for path in off on; do
	is "rewrite_deletes $path: a language can stop after so many rows" \
		"$(q -c "LOAD 'appdb'; SET appdb.rewrite_deletes = $path" -c 'SELECT delete_chats(2)' -c 'SELECT count(*) FROM appdb.chats')" \
		"$([ $path = off ] && printf '2\n6' || printf '2\n4')"
done
done_testing
