#!/bin/bash
#
# examples.sh: what is in examples/ runs: the workers do their tasks, and wake
# up for new ones; the TypeScript application under node and bun, with the
# package in clients/typescript.
#
# Needs a running server that has the extension (make check provides it), node
# and npm, python3 with psycopg.

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/tap.sh
. test/harness/clients.sh

work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/examples.XXXXXX")
pid=''
trap '[ -z "$pid" ] || kill $pid 2>/dev/null; rm -rf "$work"' EXIT

export PGDATABASE=appdb_examples
psql -X -q -d postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $PGDATABASE" -c "CREATE DATABASE $PGDATABASE"
psql -X -q -c 'CREATE EXTENSION appdb'
q() {
	psql -X -q -At -c "$1" 2>&1
}

until_true() {
	local i
	for ((i = 0; i < 900; i++)); do
		[ "$(q "$1")" = t ] && { ok "$2"; return; }
		sleep 0.1
	done
	not_ok "$2" < <(q "SELECT kind, status, last_error FROM appdb.tasks"; cat "$work/log")
}

# begin TO SECONDS: the worker is at a task that counts, with so many seconds for each
begin() {
	id=$(q "SELECT appdb.enqueue('example.count', '{\"to\": $1, \"seconds\": $2}')")
	until_true "SELECT status = 'running' FROM appdb.tasks WHERE id = '$id'" "$name: begins to count to $1"
}

# try NAME COMMAND...
try() {
	local name=$1
	shift
	q "DELETE FROM app_data.tasks" >/dev/null
	q "SELECT appdb.enqueue('example.add', '{\"a\": 1, \"b\": 2}')" >/dev/null
	q "SELECT appdb.enqueue('example.count', '{\"to\": 3}')" >/dev/null
	q "SELECT appdb.enqueue('example.fail', max_attempts => 2, backoff => '1 hour')" >/dev/null
	timeout 60 "$@" --once >"$work/log" 2>&1
	is "$name: does what is there" "$(q "SELECT kind, status, result, progress_message, attempts FROM appdb.tasks ORDER BY kind"; cat "$work/log")" \
		'example.add|completed|{"sum": 3}||1
example.count|completed|{"counted": 3}|at 3|1
example.fail|pending|||1'
	like "$name: says what went wrong" "$(q "SELECT last_error FROM appdb.tasks WHERE kind = 'example.fail'")" "it always does"

	local id first
	export LEASE_SECONDS=5
	"$@" >"$work/log" 2>&1 &
	pid=$!
	until_true "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.mode = 'RowExclusiveLock'" "$name: waits"
	q "SELECT appdb.enqueue('example.add', '{\"a\": 20, \"b\": 22}')" >/dev/null
	until_true "SELECT count(*) = 1 FROM appdb.tasks WHERE result = '{\"sum\": 42}'" "$name: wakes up"

	# a lease is prolonged, so that nobody else gets the task
	begin 1 10
	first=$(q "SELECT locked_until FROM appdb.tasks WHERE id = '$id'")
	until_true "SELECT clock_timestamp() > '$first'" "$name: the first lease is over"
	is "$name: keeps what it does" "$(q "SELECT count(*) FROM appdb.claim()")" 0
	until_true "SELECT count(*) = 1 FROM appdb.tasks WHERE id = '$id' AND status = 'completed' AND attempts = 1" "$name: finishes it"
	begin 1000 0.1
	is "$name: is told of a task that is called off" "$(q "SELECT appdb.cancel('$id')")" running
	until_true "SELECT count(*) = 1 FROM appdb.tasks WHERE id = '$id' AND status = 'canceled' AND last_error ~ 'canceled at [0-9]+'" "$name: and stops doing it"
	begin 2 1
	kill -TERM "$pid"
	wait "$pid" 2>/dev/null
	is "$name: stops when told, without an error" $? 0
	is "$name: having finished what it did" "$(q "SELECT status, result FROM appdb.tasks WHERE id = '$id'")" 'completed|{"counted": 2}'

	# one that dies
	"$@" >"$work/log" 2>&1 &
	pid=$!
	begin 1 60
	kill -KILL "$pid"
	wait "$pid" 2>/dev/null
	pid=''
	q "UPDATE app_data.tasks SET payload = '{\"to\": 1}' WHERE id = '$id'" >/dev/null
	until_true "SELECT locked_until < clock_timestamp() FROM appdb.tasks WHERE id = '$id'" "$name: its lease ends"
	timeout 60 "$@" --once >"$work/log" 2>&1
	is "$name: another does what was begun" "$(q "SELECT status, attempts, errors #>> '{0,error}' FROM appdb.tasks WHERE id = '$id'")" 'completed|2|its worker went silent'
}

if need_packages '/usr/bin/python3 -c "import psycopg"' python3-psycopg; then
	try python /usr/bin/python3 examples/python/worker.py
else
	ok "python # SKIP $CLIENTS_WHY"
fi

# Everything in examples/typescript, under node and under bun.
ts=examples/typescript
if npm_ci clients/typescript && (cd clients/typescript && npm run --silent build) >"$work/build" 2>&1 && npm_ci $ts; then
	# what was installed is a copy
	rm -rf $ts/node_modules/appdb-client/dist
	cp -r clients/typescript/dist $ts/node_modules/appdb-client/
	bun=$(compgen -G "$PWD/$ts/node_modules/@oven/bun-linux-*/bin/bun" | head -n 1)
	owner=$PGUSER
	q "CREATE ROLE appdb_example_web LOGIN; CREATE ROLE appdb_example_server LOGIN" >/dev/null
	q "SELECT appdb.grant_access('appdb_example_web', 'app'), appdb.grant_access('appdb_example_server', 'service')" >/dev/null
	url() {
		echo "postgres://$1@localhost/$PGDATABASE?host=$PGHOST&port=$PGPORT"
	}
	(
		cd $ts || exit
		export DATABASE_URL DATABASE_SERVICE_URL
		DATABASE_SERVICE_URL=$(url appdb_example_server)
		DATABASE_URL=$(url "$owner")
		node_modules/.bin/appdb-generate --out lib/db/schema --kysely --check >"$work/generate" 2>&1 && ok "typescript: lib/db/schema is what the database says" ||
			not_ok "typescript: lib/db/schema is what the database says" <"$work/generate"
		is "typescript: db:generate" "$(npm run --silent db:generate 2>&1)" "lib/db/schema: $(q 'SELECT count(*) FROM appdb.entities') tables, $(q 'SELECT count(*) FROM appdb.relations') relations (appdb $(q 'SELECT appdb.version()')); nothing changed"
		like "typescript: db:migrate" "$(npm run --silent db:migrate 2>&1)" "appdb $(q 'SELECT appdb.version()'): the newest that the server has
nothing is pending"
		q "CREATE DATABASE appdb_example_old" >/dev/null
		is "typescript: db:migrate of a database of 1.0" "$(export PGDATABASE=appdb_example_old
			q "CREATE EXTENSION appdb VERSION '1.0'" >/dev/null
			DATABASE_URL=$(url "$owner") npm run --silent db:migrate 2>&1 | sed 's/^[0-9]* of [0-9]* /all of all /'
			q "SELECT count(*) FROM appdb.pending()")" "appdb 1.0 → $(q 'SELECT appdb.version()')
all of all pending steps done
0"
		q "DROP DATABASE appdb_example_old" >/dev/null
		DATABASE_URL=$(url appdb_example_web)
		is "typescript: db:check" "$(npm run --silent db:check 2>&1)" 'drizzle.config.ts is safe beside appdb
the database can be used'
		npm run --silent typecheck >"$work/types" 2>&1 && ok "typescript: types" || not_ok "typescript: types" <"$work/types"
		users=$(q "INSERT INTO app_data.users (name) SELECT 'User ' || i FROM generate_series(1, 3) i; SELECT count(*) FROM app_data.users")
		for runtime in node bun; do
			run() {
				case $runtime in node) node_modules/.bin/tsx "$@" ;; bun) "$bun" "$@" ;; esac
			}
			is "$runtime: the quick start" "$(DATABASE_URL=$(url "$owner") run index.ts 2>"$work/warnings")" "$users users"
			like "$runtime: warns of the owner's connection" "$(cat "$work/warnings")" 'row security does not hold for it'
			like "$runtime: says that nobody listens" "$(DATABASE_URL=postgres://u@127.0.0.1:1/d run index.ts 2>&1)" 'Nothing listens there'
			is "$runtime: the tour" "$(run tour.ts 2>&1 | tr -d "'\"")" 'nobody sees 0 chats
made First results at a Date: true
Drizzle reads [ Research: First results, 2 messages ]
find() reads Research: First results of 2, last: And what does it mean?
SQL reads [ First results, 2 messages ]
Kysely reads [ Research ]
deleted: 0 messages left
restored: 2 messages
rolled back: changed my mind
notes: 0
enqueued string'
			users=$((users + 1))
		done
		echo "$tap_count $tap_failed" >"$work/taps"
	)
	read -r tap_count tap_failed <"$work/taps"
	try typescript env -u PGHOST DATABASE_URL="$(url "$PGUSER")" node --import "$PWD/$ts/node_modules/tsx/dist/loader.mjs" "$PWD/$ts/worker.ts"
else
	ok "typescript # SKIP $CLIENTS_WHY"
fi

psql -X -q -d postgres -c "DROP DATABASE $PGDATABASE WITH (FORCE)" -c 'DROP ROLE IF EXISTS appdb_example_web, appdb_example_server'
done_testing
