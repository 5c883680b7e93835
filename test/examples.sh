#!/bin/bash
#
# examples.sh: the workers in examples/ do their tasks, and wake up for new
# ones.
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
	for ((i = 0; i < 300; i++)); do
		[ "$(q "$1")" = t ] && { ok "$2"; return; }
		sleep 0.1
	done
	not_ok "$2" < <(q "SELECT kind, status, last_error FROM appdb.tasks"; cat "$work/log")
}

# try NAME COMMAND...
try() {
	local name=$1
	shift
	q "DELETE FROM app_data.tasks" >/dev/null
	q "SELECT appdb.enqueue('example.add', '{\"a\": 1, \"b\": 2}')" >/dev/null
	q "SELECT appdb.enqueue('example.count', '{\"to\": 3}')" >/dev/null
	q "SELECT appdb.enqueue('example.fail', max_attempts => 2)" >/dev/null
	timeout 60 "$@" --once >"$work/log" 2>&1
	is "$name: does what is there" "$(q "SELECT kind, status, result, progress_message, attempts FROM appdb.tasks ORDER BY kind"; cat "$work/log")" \
		'example.add|completed|{"sum": 3}||1
example.count|completed|{"counted": 3}|at 3|1
example.fail|pending|||1'
	like "$name: says what went wrong" "$(q "SELECT last_error FROM appdb.tasks WHERE kind = 'example.fail'")" "it always does"

	"$@" >"$work/log" 2>&1 &
	pid=$!
	until_true "SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.mode = 'RowExclusiveLock'" "$name: waits"
	q "SELECT appdb.enqueue('example.add', '{\"a\": 20, \"b\": 22}')" >/dev/null
	until_true "SELECT count(*) = 1 FROM appdb.tasks WHERE result = '{\"sum\": 42}'" "$name: wakes up"
	kill -TERM "$pid"
	wait "$pid" 2>/dev/null
	pid=''
	ok "$name: stops when told"
}

if need_packages '/usr/bin/python3 -c "import psycopg"' python3-psycopg; then
	try python /usr/bin/python3 examples/python/worker.py
else
	ok "python # SKIP $CLIENTS_WHY"
fi

if command -v npm >/dev/null && cp -r examples/typescript/. "$work/" &&
	{ (cd "$work" && npm install --no-audit --no-fund >"$work/npm.log" 2>&1); [ -x "$work/node_modules/.bin/tsx" ]; }; then
	(cd "$work" && node_modules/.bin/tsx --version >/dev/null 2>&1) &&
		try typescript node --import "$work/node_modules/tsx/dist/loader.mjs" "$work/worker.ts"
else
	ok "typescript # SKIP no npm, or no packages"
fi

psql -X -q -d postgres -c "DROP DATABASE $PGDATABASE WITH (FORCE)"
done_testing
