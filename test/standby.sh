#!/bin/bash
#
# standby.sh: a physical standby answers the application's reads, refuses its
# writes as any standby does, and after its promotion has every row and rule.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh

find_postgres
BASE_SAID=1
choose_base

stop_all() {
	local name
	for name in primary standby; do
		cluster_use "$name"
		cluster_stop immediate
		rm -rf "${CLUSTER:?}"
	done
}
trap stop_all EXIT

cluster_create primary
cluster_configure "fsync = off" "wal_level = replica" "max_connections = 20" "session_preload_libraries = 'appdb'"
cluster_start
primary=$CLUSTER

# on HOST [psql's arguments]
on() {
	local host=$1
	shift
	PGHOST=$host psql -X -q -At -v VERBOSITY=verbose -d "${DB:-app}" "$@" 2>&1 | sed 's/^LOCATION: .*//; /^$/d'
}

DB=postgres on "$primary" -c 'CREATE ROLE appdb_standby LOGIN' -c 'CREATE DATABASE app'
on "$primary" <<'SQL'
CREATE EXTENSION appdb;
SELECT appdb.grant_access('appdb_standby', 'service') IS NULL AS done \gset
INSERT INTO appdb.users (id, name, email) VALUES ('00000000-0000-7000-8000-000000000001', 'Ann', 'ann@example.org'), ('00000000-0000-7000-8000-000000000002', 'Ben', 'ben@example.org');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000001', 'Ann''s');
INSERT INTO appdb.chats (space_id, user_id, title) VALUES ('00000000-0000-7000-8000-000000000011', '00000000-0000-7000-8000-000000000001', 'Plans');
INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT space_id, id, 'user', 'message ' || i FROM appdb.chats, generate_series(1, 3) i;
DELETE FROM appdb.messages WHERE content = 'message 3';
SQL
token=$(on "$primary" -c "SELECT token FROM appdb.sign_in('00000000-0000-7000-8000-000000000001')")
like 'somebody is signed in' "$token" '^.{20,}$'

# == the standby ============================================================

cluster_use standby
rm -rf "${CLUSTER:?}"
mkdir -m 700 "$CLUSTER"
[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$CLUSTER"
standby=$CLUSTER
as_server env PGHOST="$primary" PGPORT=5432 PGUSER=postgres "$PG_BINDIR/pg_basebackup" -D "$standby/data" -R -X stream -c fast --no-sync >"$TOP/tmp/basebackup.log" 2>&1 ||
	{ cat "$TOP/tmp/basebackup.log"; exit 1; }
cluster_configure "unix_socket_directories = '$standby'" "hot_standby_feedback = on"
cluster_start

caught_up() {
	local lsn i
	lsn=$(on "$primary" -c 'SELECT pg_current_wal_flush_lsn()')
	for ((i = 0; i < 1200; i++)); do
		[ "$(on "$standby" -c "SELECT pg_last_wal_replay_lsn() >= '$lsn'")" = t ] && return
		sleep 0.1
	done
	echo 'Bail out! the standby does not catch up'
	exit 1
}
caught_up

is 'views, relations, find() and the identity answer on a standby' "$(on "$standby" -U appdb_standby -v token="$token" <<'SQL'
BEGIN;
SELECT user_id FROM appdb.authenticate(:'token') AS user_id;
SELECT c.title, count(*) FROM appdb.chats AS c, appdb.messages(c) AS m GROUP BY 1;
SELECT appdb.find('chats', '{"columns": {"title": true}, "with": {"messages": {"columns": {"content": true}, "orderBy": [{"id": "asc"}]}}}');
SELECT appdb.can('update', 'appdb.chats', id) FROM appdb.chats;
SELECT appdb.extend_session('30 days') IS NOT NULL;
COMMIT;
SELECT appdb.current_user_id() IS NULL;
SQL
)" "$(printf '%s\n' 00000000-0000-7000-8000-000000000001 'Plans|2' '[{"title":"Plans","messages":[{"content":"message 1"},' ' {"content":"message 2"}]}]' t t t)"
is 'so do the trash and the doctor' "$(on "$standby" -c 'SELECT label FROM appdb.trash' -c "SELECT object FROM appdb.doctor() WHERE object <> 'setting fsync'")" "$(on "$primary" -c 'SELECT label FROM appdb.trash')"

for statement in "INSERT INTO appdb.users (name) VALUES ('x')" "UPDATE appdb.users SET name = 'x'" "DELETE FROM appdb.chats" \
	"SELECT appdb.restore(entity, id) FROM appdb.trash" "CALL appdb.purge()" "SELECT appdb.enqueue('x')" "SELECT appdb.sign_in('00000000-0000-7000-8000-000000000001')"; do
	like "a standby refuses: ${statement%% FROM*}" "$(on "$standby" -c "$statement")" '25006'
done

on "$primary" -c "DELETE FROM appdb.users WHERE name = 'Ann'" >/dev/null
caught_up
is 'a cascade arrives' "$(on "$standby" -c 'SELECT count(*) FROM appdb.messages')" 0
like 'with it the session' "$(on "$standby" -U appdb_standby -c "SELECT appdb.authenticate('$token')")" '28000'

# == promotion ==============================================================

on "$primary" -f test/rows.sql >"$TOP/tmp/primary.rows"
PGHOST=$primary as_server "$PG_BINDIR/pg_ctl" -D "$primary/data" -m immediate -w stop >/dev/null
is 'the standby is promoted' "$(on "$standby" -c 'SELECT pg_promote()')" t
on "$standby" -f test/rows.sql >"$TOP/tmp/standby.rows"
if [ -s "$TOP/tmp/primary.rows" ] && diff "$TOP/tmp/primary.rows" "$TOP/tmp/standby.rows" >"$TOP/tmp/diff"; then
	ok 'it has every row'
else
	not_ok 'it has every row' <"$TOP/tmp/diff"
fi
is 'an application goes on there' "$(on "$standby" <<'SQL'
SELECT restored, rows FROM appdb.trash AS t, appdb.restore(t.entity, t.id) WHERE t.label = 'Ann' ORDER BY 1;
SELECT count(*) FROM appdb.messages;
INSERT INTO appdb.chats (space_id, title) SELECT id, 'After' FROM appdb.spaces RETURNING title;
DELETE FROM appdb.spaces RETURNING name;
SELECT count(*) FROM appdb.chats;
SELECT appdb.enqueue('mail') IS NOT NULL;
SELECT kind FROM appdb.claim('{default}', 'w', 1);
SELECT count(*) FROM appdb.doctor() WHERE object <> 'setting fsync';
SQL
)" "$(printf '%s\n' 'app_data.users|1' 'app_data.spaces|1' 'app_data.chats|1' 'app_data.messages|2' 2 After "Ann's" 0 t mail 0)"

done_testing
