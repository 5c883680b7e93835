#!/bin/bash
#
# replication.sh: what logical replication brings is applied as it is: nothing
# cascades a second time, and rows arrive in any order.
#
# Needs a running server that has the extension, with wal_level = logical (make
# check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh

export PGOPTIONS='-c client_min_messages=warning'

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

tables='app_data.users, app_data.organizations, app_data.members, app_data.spaces, app_data.space_members, app_data.chats, app_data.messages, app_data.deletions'

# all rows of the published tables
rows() {
	local t
	for t in ${tables//,/}; do
		sql -d "$1" -c "SELECT '$t', t FROM $t t ORDER BY t.id"
	done
}

# the subscriber has all that the publisher has said
caught_up() {
	local lsn
	lsn=$(sql -d publisher -c 'SELECT pg_current_wal_lsn()')
	for _ in $(seq 1200); do
		[ "$(sql -d publisher -c "SELECT confirmed_flush_lsn >= '$lsn' FROM pg_replication_slots WHERE slot_name = 'appdb_test'")" = t ] && return
		sleep 0.1
	done
	echo "Bail out! The subscriber does not catch up."
	exit 1
}

drop() {
	sql -d subscriber -c 'ALTER SUBSCRIPTION appdb_test DISABLE' -c 'ALTER SUBSCRIPTION appdb_test SET (slot_name = NONE)' -c 'DROP SUBSCRIPTION appdb_test' >/dev/null
	# the publisher sees in its own time that the subscriber has gone
	for _ in $(seq 1200); do
		[ "$(sql -d postgres -c "SELECT active FROM pg_replication_slots WHERE slot_name = 'appdb_test'")" = t ] || break
		sleep 0.1
	done
	sql -d postgres -c "SELECT pg_drop_replication_slot('appdb_test')" >/dev/null
	sql -d postgres -c 'DROP DATABASE IF EXISTS publisher' -c 'DROP DATABASE IF EXISTS subscriber' >/dev/null
}

sql -d postgres -c 'DROP DATABASE IF EXISTS publisher' -c 'DROP DATABASE IF EXISTS subscriber' -c 'CREATE DATABASE publisher' -c 'CREATE DATABASE subscriber' || exit 1
for db in publisher subscriber; do
	sql -d $db -c 'CREATE EXTENSION appdb' || exit 1
done
sql -d publisher -c "CREATE PUBLICATION appdb_test FOR TABLE $tables" -c "SELECT pg_create_logical_replication_slot('appdb_test', 'pgoutput')" >/dev/null || exit 1
sql -d subscriber -c "CREATE SUBSCRIPTION appdb_test CONNECTION 'host=$PGHOST port=${PGPORT:-5432} user=${PGUSER:-postgres} dbname=publisher' PUBLICATION appdb_test WITH (create_slot = false, slot_name = 'appdb_test', copy_data = false)" || exit 1
trap drop EXIT

sql -d publisher >/dev/null <<-'SQL'
	INSERT INTO appdb.users (name) VALUES ('Ann');
	INSERT INTO appdb.organizations (name, slug) VALUES ('Acme', 'acme');
	INSERT INTO appdb.spaces (organization_id, name) SELECT id, 'Shared' FROM appdb.organizations;
	INSERT INTO appdb.chats (space_id, user_id, title) SELECT s.id, u.id, 'chat ' || i FROM appdb.spaces s, appdb.users u, generate_series(1, 3) i;
	INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT space_id, id, 'user', title FROM appdb.chats, generate_series(1, 3) i;
	UPDATE appdb.chats SET title = 'named' WHERE title = 'chat 2';
	DELETE FROM appdb.messages WHERE content = 'chat 1';
	DELETE FROM appdb.chats WHERE title = 'named';
SQL
caught_up
is "rows arrive as they are, deleted ones too" "$(rows subscriber)" "$(rows publisher)"
is "there were some" "$(sql -d subscriber -c 'SELECT count(*), count(deleted_at) FROM app_data.messages')" '9|6'
sql -d publisher -c 'DELETE FROM appdb.organizations' >/dev/null
caught_up
is "a cascade arrives once" "$(rows subscriber)" "$(rows publisher)"
is "nothing is live" "$(sql -d subscriber -c 'SELECT count(*) FROM appdb.spaces' -c 'SELECT count(*) FROM appdb.messages')" "$(printf '0\n0')"
is "the trash is the same" "$(sql -d subscriber -c 'SELECT entity, id, deleted_by_role, rows_with_it FROM appdb.trash ORDER BY id')" \
	"$(sql -d publisher -c 'SELECT entity, id, deleted_by_role, rows_with_it FROM appdb.trash ORDER BY id')"
sql -d publisher -c "SELECT appdb.restore('appdb.organizations', id) FROM app_data.organizations" >/dev/null
caught_up
is "a restore arrives once" "$(rows subscriber)" "$(rows publisher)"
is "and brought back what there was" "$(sql -d subscriber -c 'SELECT count(*) FROM appdb.messages')" 3
sql -d publisher -c "CALL appdb.purge('0')" >/dev/null
caught_up
is "a purge arrives" "$(rows subscriber)" "$(rows publisher)"
is "and left the rest" "$(sql -d subscriber -c 'SELECT count(*), count(deleted_at) FROM app_data.messages')" '3|0'
is "the subscriber can go on by itself" "$(sql -d subscriber -c 'ALTER SUBSCRIPTION appdb_test DISABLE' -c 'DELETE FROM appdb.organizations' -c 'SELECT count(*) FROM appdb.messages')" 0

# == a whole database moves, as docs/operations.md says =====================

drop
sql -d postgres -c 'CREATE DATABASE publisher' -c 'CREATE DATABASE subscriber' || exit 1
sql -d publisher -c 'CREATE EXTENSION appdb' -f test/fixture.sql >/dev/null || exit 1
sql -d subscriber -c 'CREATE EXTENSION appdb' -c 'SET appdb.allow_drop = on' -c 'TRUNCATE app_data.schema_version, app_data.managed, app_data.access' || exit 1
sql -d publisher -c 'CREATE PUBLICATION appdb_test FOR TABLES IN SCHEMA app_data' -c "SELECT pg_create_logical_replication_slot('appdb_test', 'pgoutput')" >/dev/null || exit 1
sql -d subscriber -c "CREATE SUBSCRIPTION appdb_test CONNECTION 'host=$PGHOST port=${PGPORT:-5432} user=${PGUSER:-postgres} dbname=publisher' PUBLICATION appdb_test WITH (create_slot = false, slot_name = 'appdb_test')" || exit 1
for _ in $(seq 1200); do
	[ "$(sql -d subscriber -c "SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel")" = t ] && break
	sleep 0.1
done
all_rows() {
	sql -d "$1" -f test/rows.sql
}
caught_up
is "a whole database is copied" "$(all_rows subscriber)" "$(all_rows publisher)"
sql -d publisher -c "DELETE FROM appdb.spaces WHERE slug = 'shared'" -c "INSERT INTO appdb.users (name) VALUES ('While it runs')" >/dev/null
caught_up
is "and what happens meanwhile" "$(all_rows subscriber)" "$(all_rows publisher)"
is "the application goes on there" "$(sql -d subscriber -c 'DROP SUBSCRIPTION appdb_test' -c "SELECT sum(rows) > 1 FROM appdb.trash t, appdb.restore(t.entity, t.id) WHERE t.label = 'Shared'" \
	-c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" t

# == an upgrade where all tables are published ==============================

for f in sql/released/appdb--*.sql; do
	version=${f##*/appdb--}
	version=${version%.sql}
	sql -d postgres -c 'DROP DATABASE publisher WITH (FORCE)' -c 'CREATE DATABASE publisher' || exit 1
	sql -d publisher -c "CREATE EXTENSION appdb VERSION '$version'" -f test/fixture.sql -c 'CREATE PUBLICATION everything FOR ALL TABLES' >/dev/null || exit 1
	is "an upgrade from $version" "$(sql -d publisher -c 'ALTER EXTENSION appdb UPDATE' -c 'CALL appdb.migrate_online()' -c 'SELECT version = appdb.version() FROM app_data.schema_version' | tail -n 1)" t
done
done_testing
