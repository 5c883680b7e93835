#!/bin/bash
#
# drivers.sh: the same short tour of appdb with drivers of other languages
# (examples/), directly and through pgbouncer in transaction mode: connect, sign
# in, query, relations, find(), delete and restore, nobody afterwards, tasks.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh
. test/harness/clients.sh

export PGDATABASE=appdb_drivers PGOPTIONS='-c client_min_messages=warning'
pool=${APPDB_CLUSTER:?}/pool

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

clean() {
	PGDATABASE=postgres sql -c 'DROP DATABASE IF EXISTS appdb_drivers WITH (FORCE)' -c 'DROP ROLE IF EXISTS appdb_test_tour' -c 'DROP ROLE IF EXISTS appdb_test_tour_worker'
}
trap 'pgbouncer_stop "$pool"; clean >/dev/null' EXIT

clean
PGDATABASE=postgres sql -c 'CREATE ROLE appdb_test_tour LOGIN' -c 'CREATE ROLE appdb_test_tour_worker LOGIN' -c 'CREATE DATABASE appdb_drivers' || exit 1
sql <<'SQL' >/dev/null || exit 1
CREATE EXTENSION appdb;
SELECT appdb.grant_access('appdb_test_tour', 'app'), appdb.grant_access('appdb_test_tour_worker', 'service');
INSERT INTO appdb.users (name, email) VALUES ('Ann', 'ann@example.com');
INSERT INTO appdb.sessions (user_id, token, expires_at) SELECT u.id, 'the token', now() + '1 day' FROM appdb.users AS u;
INSERT INTO appdb.spaces (owner_id, name) SELECT u.id, 'Home' FROM appdb.users AS u;
INSERT INTO appdb.chats (space_id, user_id, title) SELECT s.id, s.owner_id, t FROM appdb.spaces AS s, unnest(ARRAY['Another', 'Tour']) AS t;
INSERT INTO appdb.messages (space_id, chat_id, user_id, role, content)
	SELECT c.space_id, c.id, c.user_id, 'user', t FROM appdb.chats AS c, unnest(ARRAY['Hello', 'World']) AS t WHERE c.title = 'Tour';
SQL

# tour NAME COMMAND...
tour() {
	local name=$1 said
	shift
	said='I am Ann
chat: Tour
message: Hello by Ann
message: World by Ann
found: Tour Hello
deleted: 1 Tour
messages left: 0
messages restored: 2
afterwards: None, 0 chats
refused: 28000
task: completed 3'
	is "$name" "$("$@" "dbname=$PGDATABASE user=appdb_test_tour" "dbname=$PGDATABASE user=appdb_test_tour_worker" 'the token' 2>&1)" "$said"
	if [ -n "$pooled" ]; then
		is "$name, through pgbouncer" "$(PGHOST=$pool "$@" dbname=appdb_test_tour dbname=appdb_test_tour_worker 'the token' 2>&1)" "$said"
	fi
}

pooled=1
pgbouncer_start "$pool" appdb_test_tour appdb_test_tour_worker || {
	pooled=
	ok "through pgbouncer # SKIP $CLIENTS_WHY"
}

if need_packages '/usr/bin/python3 -c "import psycopg"' python3-psycopg; then
	tour psycopg /usr/bin/python3 examples/python/tour.py
else
	ok "psycopg # SKIP $CLIENTS_WHY"
fi
if need_packages 'perl -MDBD::Pg -e 1' libdbd-pg-perl; then
	tour DBD::Pg perl examples/perl/tour.pl
else
	ok "DBD::Pg # SKIP $CLIENTS_WHY"
fi
done_testing
