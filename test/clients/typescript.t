#!/bin/bash
#
# typescript.t: the package in clients/typescript, with Drizzle 0.45 and 1.0,
# postgres.js and Kysely, directly and behind pgbouncer.
#
# Needs a running server that has the extension (make check provides it), and
# the npm packages of clients/typescript.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/tap.sh
. test/harness/clients.sh

pkg=$PWD/clients/typescript
if ! npm_ci clients/typescript; then
	ok "typescript # SKIP $CLIENTS_WHY"
	done_testing
	exit
fi

work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/typescript.XXXXXX")
pooler=${APPDB_CLUSTER:-$work}/typescript
roles='appdb_ts_web, appdb_ts_server, appdb_ts_stranger'
cleanup() {
	PGHOST=$server pgbouncer_stop "$pooler"
	PGHOST=$server psql -X -q -d postgres -c "DROP DATABASE IF EXISTS appdb_ts WITH (FORCE)" -c "DROP DATABASE IF EXISTS appdb_ts_fresh WITH (FORCE)" -c "DROP ROLE IF EXISTS $roles" 2>/dev/null
	rm -rf "$work" "$pkg/.test"
}
server=$PGHOST
trap cleanup EXIT

# run NAME COMMAND...: ok where the command succeeds
run() {
	local name=$1
	shift
	"$@" >"$work/out" 2>&1 && ok "$name" || not_ok "$name" <"$work/out"
}
# fails NAME TEXT COMMAND...: ok where it fails and says so
fails() {
	local name=$1 text=$2
	shift 2
	if "$@" >"$work/out" 2>&1; then
		not_ok "$name: it did not fail" <"$work/out"
	else
		like "$name" "$(cat "$work/out")" "$text"
	fi
}
q() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

url() {
	echo "postgres://$1@localhost/$PGDATABASE?host=$server&port=$PGPORT"
}
generate() {
	node "$pkg/dist/generate/cli.js" "$@"
}
package_modules=(--out "$pkg/src/schema" --relations both --kysely --extension js --runtime ..)

q -d postgres -c 'SET client_min_messages = warning' -c 'DROP DATABASE IF EXISTS appdb_ts' -c 'DROP DATABASE IF EXISTS appdb_ts_fresh' -c "DROP ROLE IF EXISTS $roles" \
	-c 'CREATE ROLE appdb_ts_web LOGIN' -c 'CREATE ROLE appdb_ts_stranger LOGIN' -c 'CREATE ROLE appdb_ts_server LOGIN IN ROLE appdb_ts_web' \
	-c 'CREATE DATABASE appdb_ts' -c 'CREATE DATABASE appdb_ts_fresh'

run 'the package builds' npm --prefix "$pkg" run --silent build

# -- generated from the catalog -----------------------------------------------

export PGDATABASE=appdb_ts_fresh DATABASE_URL
DATABASE_URL=$(url "$PGUSER")
fails 'appdb-generate says that the extension is missing' 'has no extension "appdb".*CREATE EXTENSION appdb' generate --out "$work/none"
q -c 'CREATE EXTENSION appdb'
run 'the package'\''s modules are what the database says' generate "${package_modules[@]}" --check
q -c 'ALTER TABLE app_data.notes ADD color text'
fails 'a column more is a difference' 'note.ts: not what the database says.*is not what the database says' generate "${package_modules[@]}" --check
fails 'a file that somebody else wrote is not overwritten' 'not written by appdb-generate' bash -c 'mkdir -p "$1"; echo "export {}" >"$1/auth.ts"; node "$2/dist/generate/cli.js" --out "$1"' - "$work/foreign" "$pkg"
fails 'options that are wrong are errors' 'one of drizzle, postgres, kysely, none expected' generate --client prisma
fails 'so are modules' 'there is no managed table "nothing"' generate --out "$work/none" --module mine=nothing
fails 'and a URL' 'not a PostgreSQL URL' env DATABASE_URL=mysql://u@h/d node "$pkg/dist/generate/cli.js"

# -- tables of one's own, both versions of Drizzle ------------------------------

export PGDATABASE=appdb_ts APP_URL SERVICE_URL POOLER_URL POOLER_WHY=''
DATABASE_URL=$(url "$PGUSER") APP_URL=$(url appdb_ts_web) SERVICE_URL=$(url appdb_ts_server)
{
	q -c 'CREATE EXTENSION appdb' -c "SELECT appdb.grant_access('appdb_ts_web', 'app'), appdb.grant_access('appdb_ts_server', 'service')"
	q -f test/fixture.sql
	q -f clients/typescript/test/own.sql
} >"$work/setup"
if pgbouncer_start "$pooler" appdb_ts_web; then
	POOLER_URL="postgres://appdb_ts_web@localhost/appdb_ts_web?host=$pooler&port=$PGPORT"
else
	POOLER_URL='' POOLER_WHY=$CLIENTS_WHY
fi

for v in v1 v2; do
	dir=$pkg/.test/$v
	rm -rf "$dir"
	mkdir -p "$dir/node_modules/appdb-client"
	cp -r "$pkg/dist" "$pkg/package.json" "$dir/node_modules/appdb-client/"
	cp "$pkg"/test/*.ts "$dir/"
	mv "$dir/db.$v.ts" "$dir/db.ts"
	rm "$dir"/db.v?.ts
	[ $v = v1 ] || ln -s ../../../node_modules/drizzle-v2 "$dir/node_modules/drizzle-orm"
	cat >"$dir/tsconfig.json" <<-'JSON'
		{
		  "compilerOptions": {
		    "target": "ES2022", "lib": ["ES2023"], "module": "ESNext", "moduleResolution": "bundler", "types": ["node"],
		    "strict": true, "noUncheckedIndexedAccess": true, "noEmit": true, "skipLibCheck": true
		  },
		  "include": ["types.ts", "db.ts", "schema/*.ts"]
		}
	JSON
	run "$v: modules of own tables are written" bash -c 'cd "$1" && node "$2/dist/generate/cli.js" --out schema --kysely --module project=projects' - "$dir" "$pkg"
	run "$v: and then nothing differs" bash -c 'cd "$1" && node "$2/dist/generate/cli.js" --out schema --kysely --module project=projects --check' - "$dir" "$pkg"
	run "$v: types" bash -c 'cd "$1" && node "$2/node_modules/typescript/bin/tsc"' - "$dir" "$pkg"
	(cd "$dir" && timeout 600 node --import "$pkg/node_modules/tsx/dist/loader.mjs" run.ts) >"$work/run" 2>"$work/err"
	status=$?
	while IFS= read -r line; do
		case $line in
			'ok '*) ok "$v: ${line#ok * - }" ;;
			'not ok '*) not_ok "$v: ${line#not ok * - }" <<<'' ;;
			'#'*) echo "$line" ;;
		esac
	done <"$work/run"
	[ $status = 0 ] || grep -q '^1\.\.' "$work/run" || not_ok "$v: it ran to its end" <"$work/err"
done

done_testing
