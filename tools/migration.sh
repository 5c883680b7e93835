#!/bin/bash
#
# migration.sh: drafts sql/migrations/OLD--NEW.sql, which brings the tables of
# the last release to what the domain files say.  Called by "make migration".
#
#   migration.sh [--here] NEW [HINT...]
#
#   NEW      the version that the draft leads to
#   HINT     what became of a table, column or enum value that is gone, where
#            others are new: notes.content=body, or notes.content= if it really is gone
#   --here   on the server that PGHOST, PGPORT and PGUSER (a superuser) name, which has
#            the extension installed; without, on a private server of its own
#
# SQL_DIR is where the domain files are (sql), MIGRATION where the draft goes.
# OLD_SQL_DIR, for tests: where those of the last release are, if not in sql/released/.

set -euo pipefail
here=
if [ "${1:-}" = --here ]; then
	here=1
	shift
fi
new=${1:-}
[[ $new =~ ^[0-9]+(\.[0-9]+)+$ ]] || {
	echo "usage: make migration TO=1.2 [RENAME='notes.content=body']" >&2
	exit 1
}
shift
cd "$(dirname "$0")/.."
top=$PWD
sql=$(readlink -f "${SQL_DIR:-sql}")

# the last release before it
old=$(for f in sql/released/appdb--*.sql; do
	v=${f##*/appdb--}
	v=${v%.sql}
	[[ $v == *--* || $v == "$new" ]] || echo "$v"
done | sort -V | while read -r v; do
	[ "$(printf '%s\n%s\n' "$v" "$new" | sort -V | head -n 1)" = "$new" ] || echo "$v"
done | tail -n 1)
[ -n "$old" ] || {
	echo "migration.sh: there is no release before $new in sql/released/" >&2
	exit 1
}
file=${MIGRATION:-sql/migrations/$old--$new.sql}
# (grep -q would end before the one whose lines it reads, and with pipefail that is a failure)
if [ -f "$file" ] && grep -v -i -e '^ *--' -e '^SET LOCAL lock_timeout' "$file" | grep '[^[:space:]]' >/dev/null; then
	echo "migration.sh: $file is there already, and not empty: move it away, and take from the draft what it lacks" >&2
	exit 1
fi

if [ -z "$here" ]; then
	. test/harness/cluster.sh
	{
		find_postgres
		choose_base
		build_extension
		cluster_create migration
		trap 'cluster_remove migration' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		cluster_configure "fsync = off"
		cluster_start
	} >&2
	APPDB_INSTALLED=$BASE/root
	cd "$top"
fi

# what the domain files say, as a version that is installed for as long as this takes
scripts=$(dirname "$(find "$APPDB_INSTALLED" -name appdb.control)")
q() {
	PGOPTIONS='-c client_min_messages=warning' psql -X -q -v ON_ERROR_STOP=1 "$@"
}
finish() {
	rm -f "$scripts"/appdb--0.$$.*.sql
	q -d postgres -c "DROP DATABASE IF EXISTS appdb_migration_old WITH (FORCE)" -c "DROP DATABASE IF EXISTS appdb_migration_new WITH (FORCE)"
	[ -n "$here" ] || cluster_remove migration
}
trap finish EXIT
# database NAME DIRECTORY: made from the files of a directory, or a release
database() {
	local version=$old
	if [ -n "$2" ]; then
		version=0.$$.$([ "$1" = appdb_migration_old ] && echo 1 || echo 2)
		SQL_DIR=$2 sh sql/script.sh "$version" >"$scripts/appdb--$version.sql"
	fi
	q -d postgres -c "DROP DATABASE IF EXISTS $1 WITH (FORCE)" -c "CREATE DATABASE $1 TEMPLATE template0"
	q -d "$1" -c "CREATE EXTENSION appdb VERSION '$version'"
}
database appdb_migration_old "${OLD_SQL_DIR:-}"
database appdb_migration_new "$sql"
tools/run.sh migration/draft.mjs appdb_migration_old appdb_migration_new "$old" "$new" "$file" "$@"
