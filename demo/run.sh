#!/bin/bash
#
# run.sh: a private PostgreSQL server with appdb in it, filled as an
# application would fill it, to look at and to play with.
#
#   run.sh start    make demo: build, start, fill, show
#   run.sh stop     make demo-stop
#   run.sh clean    make demo-clean: stop and remove
#
# Nothing outside the checkout is touched, but for missing packages.

set -euo pipefail
. "$(dirname "$0")/../test/harness/cluster.sh"

bold='' plain=''
if [ -t 1 ]; then
	bold=$'\e[1m' plain=$'\e[0m'
fi

headline() {
	printf '\n%s== %s%s\n' "$bold" "$1" "$plain"
}

# psql as the application: not the superuser
as_app() {
	PGUSER=app psql -X -q -d app -v ON_ERROR_STOP=1 "$@"
}

# == filling ================================================================

# The repository's own documents become notes, in folders as their directories;
# its files are recorded with their real sizes and hashes.
documents() {
	(cd "$TOP" && find . \( -name .git -o -name node_modules -o -path ./tmp \) -prune -o \
		-type f -name '*.md' -print | sed 's,^\./,,' | LC_ALL=C sort)
}

sources() {
	(cd "$TOP" && find . \( -name .git -o -name node_modules -o -path ./tmp \) -prune -o -type f \
		\( -name '*.md' -o -name '*.c' -o -name '*.h' -o -path './sql/*.sql' -o -name '*.control' \) -print |
		sed 's,^\./,,' | LC_ALL=C sort)
}

# psql's quoting of a word
quote() {
	local s=${1//\\/\\\\}
	printf "'%s'" "${s//\'/\'\'}"
}

mime_type() {
	case $1 in
		*.md) echo text/markdown ;;
		*.sql) echo application/sql ;;
		*.c | *.h) echo text/x-c ;;
		*) echo text/plain ;;
	esac
}

# A script for psql: each document is read by psql itself, as a parameter.
documents_script() {
	local path folder title
	while IFS= read -r path; do
		folder=$(dirname "$path")
		[ "$folder" != . ] || folder=''
		title=$(sed -n 's/^# *//p' "$TOP/$path" | head -n 1)
		echo "\\set path $(quote "$path")"
		echo "\\set folder $(quote "$folder")"
		echo "\\set title $(quote "${title:-$path}")"
		echo "\\setenv DOCUMENT $(quote "$TOP/$path")"
		# shellcheck disable=SC2016
		echo '\set content `cat "$DOCUMENT"`'
		echo "\\i $(quote "$TOP/demo/note.sql")"
	done < <(documents)
	while IFS= read -r path; do
		echo "\\set path $(quote "$path")"
		echo "\\set mime_type $(quote "$(mime_type "$path")")"
		echo "\\set size $(wc -c <"$TOP/$path")"
		echo "\\set sha256 $(sha256sum <"$TOP/$path" | cut -d ' ' -f 1)"
		echo "\\i $(quote "$TOP/demo/file.sql")"
	done < <(sources)
}

# == commands ===============================================================

start() {
	trap 'exit 130' INT
	trap 'exit 143' TERM

	find_postgres
	choose_base
	if cluster_running demo; then
		say "A demo is running: it is replaced by a new one."
		cluster_stop
	fi

	headline "1. Build appdb for $("$PG_CONFIG" --version), install it into ${BASE/#$PWD\//}/root"
	build_extension
	say "done"

	headline "2. Start a PostgreSQL server of its own"
	cluster_create demo
	cluster_configure "session_preload_libraries = 'appdb'" "shared_buffers = '128MB'"
	# whatever fails from here on leaves no server behind
	trap 'status=$?; [ $status = 0 ] || cluster_stop immediate; exit $status' EXIT
	cluster_start
	psql -X -q -d postgres -v ON_ERROR_STOP=1 -c 'CREATE ROLE app LOGIN' -c 'CREATE ROLE web LOGIN' \
		-c 'GRANT web TO app' -c 'CREATE DATABASE app OWNER app'
	say "It listens on a socket in $CLUSTER, on no network port, with session_preload_libraries = 'appdb'."
	say "Role app owns the database app; it is no superuser."

	headline "3. CREATE EXTENSION appdb"
	as_app -c 'CREATE EXTENSION appdb'
	as_app -f "$TOP/demo/installed.sql"

	headline "4. Fill it through the live views and functions, as an application does"
	as_app -f "$TOP/demo/fill.sql"
	documents_script >"$BASE/demo-documents.sql"
	as_app -v ON_ERROR_STOP=1 -f "$BASE/demo-documents.sql"
	rm -f "$BASE/demo-documents.sql"
	as_app -c 'VACUUM ANALYZE' 2>/dev/null || as_app -c 'ANALYZE' 2>/dev/null || :
	as_app -f "$TOP/demo/filled.sql"

	headline "5. What an application asks"
	as_app -f "$TOP/demo/tour.sql"
	as_app -f "$TOP/demo/access.sql"

	headline "6. Delete a space, and bring it back"
	as_app -f "$TOP/demo/soft_delete.sql"

	headline "7. Connect"
	connect
	trap - EXIT
}

connect() {
	cat <<TEXT
From psql:

    psql -h $CLUSTER -U app app

From TypeScript, with postgres.js and Drizzle (npm install postgres drizzle-orm):

    import postgres from 'postgres'
    import { desc } from 'drizzle-orm'
    import { drizzle } from 'drizzle-orm/postgres-js'
    import { pgSchema, text, timestamp, uuid } from 'drizzle-orm/pg-core'

    const sql = postgres({ host: '$CLUSTER', username: 'app', database: 'app' })
    console.log(await sql\`SELECT name, slug FROM appdb.spaces ORDER BY name\`)

    const notes = pgSchema('appdb').table('notes', {
      id: uuid().primaryKey().defaultRandom(),
      spaceId: uuid('space_id').notNull(),
      title: text().notNull(),
      createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    })
    console.log(await drizzle(sql).select().from(notes).orderBy(desc(notes.id)).limit(5))
    await sql.end()

${bold}What to type next${plain}

    psql -h $CLUSTER -U app app        then, for example:
$(sed 's/^/        /' "$TOP/demo/next.sql")

    make demo          the same again, from the start
    make demo-stop     stop the server; its data stays in $CLUSTER
    make demo-clean    stop it and remove all that it made
TEXT
}

stop() {
	find_installed
	if cluster_running demo; then
		cluster_stop
		say "The demo's server is stopped. \"make demo\" starts anew, \"make demo-clean\" removes it."
	else
		say "No demo is running."
	fi
}

clean() {
	find_installed
	cluster_remove demo
	say "The demo is removed."
}

# without installing anything: there may be nothing to stop
find_installed() {
	look_for_postgres || { say "No demo is running."; exit 0; }
	PG_BINDIR=$("$PG_CONFIG" --bindir)
	choose_base
}

set -- "${1:-start}"
case $1 in
	start | stop | clean) "$1" ;;
	*) die "run.sh start, stop or clean" ;;
esac
