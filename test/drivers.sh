#!/bin/bash
#
# drivers.sh: the same short tour of appdb with drivers of several languages
# (examples/), directly and through pgbouncer in transaction mode: connect, sign
# in, query, relations, find(), delete and restore, nobody afterwards, tasks; and
# what some of them add.
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
CREATE FUNCTION public.who_is_asking() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	token text := current_setting('request.cookies', true)::json ->> 'session';
BEGIN
	IF token IS NOT NULL THEN
		PERFORM appdb.authenticate(token);
	END IF;
END $$;
SQL

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

# tour NAME MORE COMMAND...: with the strings to connect by, and the token; MORE is what it says at its end
tour() {
	local name=$1 all=$said${2:+$'\n'$2}
	shift 2
	is "$name" "$("$@" "dbname=$PGDATABASE user=appdb_test_tour" "dbname=$PGDATABASE user=appdb_test_tour_worker" 'the token' 2>&1)" "$all"
	[ -z "$pooled" ] ||
		is "$name, through pgbouncer" "$(PGHOST=$pool "$@" 'dbname=appdb_test_tour user=x' 'dbname=appdb_test_tour_worker user=x' 'the token' 2>&1)" "$all"
}

pooled=1
pgbouncer_start "$pool" appdb_test_tour appdb_test_tour_worker || {
	pooled=
	ok "through pgbouncer # SKIP $CLIENTS_WHY"
}

# driver NAME MORE WORKS PACKAGES COMMAND...: a tour, where the Debian packages can be had
driver() {
	local name=$1 more=$2 works=$3 packages=$4
	shift 4
	# shellcheck disable=SC2086
	if need_packages "$works" $packages; then
		tour "$name" "$more" "$@"
	else
		ok "$name # SKIP $CLIENTS_WHY"
	fi
}

python() {
	echo "/usr/bin/python3 -c 'import $1'"
}
driver psycopg '' "$(python psycopg)" python3-psycopg /usr/bin/python3 examples/python/tour.py
driver SQLAlchemy 'changed by somebody else' "$(python sqlalchemy,psycopg2)" 'python3-sqlalchemy python3-psycopg2' /usr/bin/python3 examples/python/sqlalchemy_tour.py
driver Django 'many: 2 0' "$(python django,psycopg2)" 'python3-django python3-psycopg2' /usr/bin/python3 examples/python/django_tour.py
driver asyncpg 'copied: COPY 2 DELETE 2' "$(python asyncpg)" python3-asyncpg /usr/bin/python3 examples/python/asyncpg_tour.py
driver 'Active Record' $'many: 2 2\ncached: 0 2 1 0\nschemas: public' "ruby -W0 -e 'require %(active_record); require %(pg)'" 'ruby-activerecord ruby-pg' ruby -W0 examples/ruby/tour.rb
driver PDO 'copied: 2' "php -r 'exit(extension_loaded(\"pdo_pgsql\") ? 0 : 1);'" 'php-cli php-pgsql' php examples/php/tour.php
driver DBD::Pg '' 'perl -MDBD::Pg -e 1' libdbd-pg-perl perl examples/perl/tour.pl

# what is in examples/typescript; without a pooler its tour is in examples.sh
ts=examples/typescript
typescript() {
	(cd $ts && exec node_modules/.bin/tsx "$@" 2>&1)
}
if npm_ci clients/typescript && (cd clients/typescript && npm run --silent build) >tmp/npm.log 2>&1 && npm_ci $ts; then
	rm -rf $ts/node_modules/appdb-client/dist
	cp -r clients/typescript/dist $ts/node_modules/appdb-client/
	url() {
		echo "postgres://appdb_test_tour$3@localhost/$1?host=$2&port=$PGPORT"
	}
	export DATABASE_URL DATABASE_SERVICE_URL
	DATABASE_URL=$(url "$PGDATABASE" "$PGHOST" '') DATABASE_SERVICE_URL=$(url "$PGDATABASE" "$PGHOST" _worker)
	is Kysely "$(typescript kysely.ts 'the token')" "$said"
	direct=$(typescript tour.ts)
	if [ -n "$pooled" ]; then
		export DATABASE_POOLER=transaction
		DATABASE_URL=$(url appdb_test_tour "$pool" '') DATABASE_SERVICE_URL=$(url appdb_test_tour_worker "$pool" _worker)
		is "Kysely, through pgbouncer" "$(typescript kysely.ts 'the token')" "$said"
		is "Drizzle and postgres.js, through pgbouncer" "$(typescript tour.ts)" "$direct"
	fi
else
	ok "TypeScript # SKIP $CLIENTS_WHY"
fi

# PostgREST's statements: who is asking comes from a function that it calls
# first; embedded relations call the functions with a row.
is PostgREST "$(PGUSER=appdb_test_tour sql <<'SQL'
BEGIN;
SELECT set_config('search_path', '"appdb", "public"', true), set_config('request.cookies', '{"session": "the token"}', true) \g /dev/null
SELECT public.who_is_asking();
SELECT coalesce(json_agg(_postgrest_t), '[]') FROM (
	SELECT "appdb"."chats"."title", coalesce("chats_messages_1"."chats_messages_1", '[]') AS "messages", row_to_json("chats_author_1".*)::jsonb AS "author"
	FROM "appdb"."chats"
	LEFT JOIN LATERAL (
		SELECT json_agg("chats_messages_1")::jsonb AS "chats_messages_1"
		FROM (SELECT "messages_1"."content" FROM "appdb"."messages"("chats"::"appdb"."chats") AS "messages_1" LIMIT 1) AS "chats_messages_1"
	) AS "chats_messages_1" ON true
	LEFT JOIN LATERAL (
		SELECT "author_1"."name" FROM "appdb"."author"("chats"::"appdb"."chats") AS "author_1"
	) AS "chats_author_1" ON true
	WHERE "appdb"."chats"."title" = 'Tour') _postgrest_t;
WITH pgrst_source AS (DELETE FROM "appdb"."chats" WHERE "appdb"."chats"."title" = 'Tour' RETURNING "appdb"."chats".*)
SELECT pg_catalog.count(_postgrest_t), json_agg(_postgrest_t) FROM (SELECT "chats"."title" FROM "pgrst_source" AS "chats") _postgrest_t;
ROLLBACK;
SELECT count(*) FROM appdb.chats;
SQL
)" '
[{"title":"Tour","messages":[{"content": "Hello"}],"author":{"name": "Ann"}}]
1|[{"title":"Tour"}]
0'
done_testing
