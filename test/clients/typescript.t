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

# tests NAME RUNTIME...: run.ts in $dir
tests() {
	local name=$1 status line
	shift
	(cd "$dir" && timeout 600 "$@" run.ts) >"$work/run" 2>"$work/err"
	status=$?
	while IFS= read -r line; do
		case $line in
			'ok '*) ok "$name: ${line#ok * - }" ;;
			'not ok '*) not_ok "$name: ${line#not ok * - }" <<<'' ;;
			'#'*) echo "$line" ;;
		esac
	done <"$work/run"
	[ $status = 0 ] || grep -q '^1\.\.' "$work/run" || not_ok "$name: it ran to its end" <"$work/err"
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
if [ -n "${APPDB_WRITE_MODULES:-}" ]; then
	run 'the package'\''s modules are written' generate "${package_modules[@]}"
	run 'the modules of examples/typescript are written' generate --out examples/typescript/lib/db/schema --kysely --relations v1
	done_testing
	exit
fi
run 'the package'\''s modules are what the database says (make modules writes them)' generate "${package_modules[@]}" --check
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
export TLS_DIR=
if need_packages 'command -v openssl' openssl &&
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
		-keyout "$work/key" -out "$work/cert" 2>/dev/null; then
	TLS_DIR=$work
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
		  "include": ["types.ts", "db.ts", "readme.ts", "schema/*.ts"]
		}
	JSON
	run "$v: modules of own tables are written" bash -c 'cd "$1" && node "$2/dist/generate/cli.js" --out schema --kysely --module project=projects' - "$dir" "$pkg"
	run "$v: and then nothing differs" bash -c 'cd "$1" && node "$2/dist/generate/cli.js" --out schema --kysely --module project=projects --check' - "$dir" "$pkg"
	[ $v = v2 ] || {
		echo "const token: string = 'token-1'"
		sed -n '/^## Connect from TypeScript/,/^## /p' README.md | sed -n '/^```ts/,/^```/p' | sed -e '/^```/d' -e "s,'./lib/db/,'./,"
		echo 'console.log(allUsers.length > 0, eve!.name, gone, newest.length > 0, newest[0]!.messages.length > 0, spaces.length > 0 && spaces.every((s) => s._count.chats >= 0))'
		echo 'await db.$client.end()'
	} | sed 's/eve\.id/eve!.id/' >"$dir/readme.ts"
	run "$v: types" bash -c 'cd "$1" && node "$2/node_modules/typescript/bin/tsc"' - "$dir" "$pkg"
	[ $v = v2 ] || is "the README's example" "$(cd "$dir" && node --import "$pkg/node_modules/tsx/dist/loader.mjs" readme.ts 2>/dev/null)" "true Eve [ { name: 'Eve' } ] true true true"
	tests "$v" node --import "$pkg/node_modules/tsx/dist/loader.mjs"
done
if npm_ci examples/typescript && bun=$(compgen -G "$PWD/examples/typescript/node_modules/@oven/bun-linux-*/bin/bun" | head -n 1); then
	dir=$pkg/.test/v1
	tests 'bun' "$bun"
else
	ok "bun # SKIP $CLIENTS_WHY"
fi

# -- migrations --------------------------------------------------------------------

is 'appdb-migrate: nothing to do' "$(node "$pkg/dist/migrate.js" 2>&1)" "appdb $(q -c 'SELECT appdb.version()'): the newest that the server has
nothing is pending"
fails 'appdb-migrate is for the owner' 'only "'"$PGUSER"'", who owns the extension, can update it' node "$pkg/dist/migrate.js" --url "$APP_URL"
fails 'appdb-migrate: a version that is not known' 'appdb-migrate: .*0\.1' bash -c 'psql -X -q -c "UPDATE app_data.schema_version SET version = '"'0.1'"'"; node "$1/dist/migrate.js"' - "$pkg"
q -c 'UPDATE app_data.schema_version SET version = appdb.version()'

# -- drizzle-kit beside it -------------------------------------------------------

dir=$pkg/.test/v1
mkdir -p "$dir/kit"
cat >"$dir/kit/tables.ts" <<'TS'
import { index, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { spaces } from '../schema/base'

export const plans = pgTable('plans', {
  id: uuid('id').primaryKey(),
  spaceId: uuid('space_id').notNull().references(() => spaces.id),
  name: text('name').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true, precision: 3 }).notNull(),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
}, (t) => [unique().on(t.spaceId, t.id), index().on(t.spaceId)])
TS
config() {
	cat >"$dir/$1" <<-TS
		import { withAppdb } from 'appdb-client/drizzle-kit'
		import { defineConfig } from 'drizzle-kit'
		export default defineConfig(withAppdb({ dialect: 'postgresql', schema: '$2', out: './kit/out', tablesFilter: ['plans'], dbCredentials: {
		  host: '$server', port: $PGPORT, user: '$PGUSER', database: '$PGDATABASE', ssl: false } }))
	TS
}
kit() {
	(cd "$dir" && timeout 120 node "$pkg/node_modules/drizzle-kit/bin.cjs" "$@" </dev/null)
}
of_appdb() {
	q -c "SELECT pg_catalog.pg_describe_object(classid, objid, 0) FROM (
		SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relnamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace)
		UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace)
		UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE connamespace = 'app_data'::regnamespace) AS o (classid, objid) ORDER BY 1" | cksum
}
config safe.config.ts ./kit/tables.ts
config unsafe.config.ts ./schema/index.ts
fails 'drizzle-kit: a config that reaches the generated modules is refused' 'not safe beside appdb' kit generate --config unsafe.config.ts
run 'drizzle-kit: generate' kit generate --config safe.config.ts
is 'drizzle-kit: writes own tables only' "$(grep -hoE '(CREATE|DROP) [A-Z]+ "[^"]*"(\."[^"]*")?|REFERENCES "[^"]*"\."[^"]*"' "$dir"/kit/out/*.sql)" 'CREATE TABLE "plans"
REFERENCES "app_data"."spaces"
CREATE INDEX "plans_space_id_index"'
before=$(of_appdb)
run 'drizzle-kit: migrate' kit migrate --config safe.config.ts
q -c "SELECT appdb.manage('public.plans')" >/dev/null
is 'drizzle-kit: its table can be managed' "$(q -c 'SELECT count(*) FROM appdb.plans')" 0
q -c "SELECT appdb.unmanage('public.plans')" >/dev/null
run 'drizzle-kit: push' kit push --force --config safe.config.ts
is 'drizzle-kit: nothing of appdb'\''s has changed' "$(of_appdb)" "$before"

# -- as it is published ------------------------------------------------------------

run 'it can be packed' npm --prefix "$pkg" pack --ignore-scripts --silent --pack-destination "$work" "$pkg"
mkdir -p "$work/user/node_modules"
tar -xzf "$work"/appdb-client-*.tgz -C "$work/user/node_modules" && mv "$work/user/node_modules/package" "$work/user/node_modules/appdb-client"
is 'the package holds what it should' "$(cd "$work/user/node_modules/appdb-client" && ls; find . -name '*.ts' ! -name '*.d.ts')" 'LICENSE
README.md
dist
package.json'
# each way in, with no more than it needs
link() {
	rm -f "$work/user/node_modules"/{drizzle-orm,postgres,kysely}
	for p in "$@"; do ln -s "$pkg/node_modules/$p" "$work/user/node_modules/"; done
}
loads() {
	local name=$1
	shift
	run "$name" bash -c 'cd "$1"; shift; for m in "$@"; do node --input-type=module -e "await import(\"$m\")" || exit 1; done' - "$work/user" "$@"
}
link postgres
loads 'with postgres alone' appdb-client appdb-client/postgres appdb-client/drizzle-kit
link drizzle-orm
loads 'with drizzle-orm alone' appdb-client/drizzle appdb-client/schema appdb-client/schema/chat appdb-client/schema/relations appdb-client/schema/find appdb-client/schema/base
link kysely
loads 'with kysely alone' appdb-client/kysely
rm -f "$work/user/node_modules"/*/dist/none
ln -s "$pkg/node_modules/drizzle-v2" "$work/user/node_modules/drizzle-orm"
loads 'with drizzle-orm 1.0' appdb-client/drizzle appdb-client/schema-v2 appdb-client/schema-v2/relations

done_testing
