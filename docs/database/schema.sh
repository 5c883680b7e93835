#!/bin/bash
#
# schema.sh: prints schema.md, made from the catalogs.
#
#   schema.sh          on a private server of its own (make docs)
#   schema.sh --here   on the server that PGHOST, PGPORT and PGUSER (a
#                      superuser) name, which has the extension installed
#
# It makes a database, appdb_docs, and drops it afterwards.

set -euo pipefail
here=${1:-}
cd "$(dirname "$0")/../.."

if [ "$here" != --here ]; then
	. test/harness/cluster.sh
	{
		find_postgres
		choose_base
		build_extension
		cluster_create docs
		trap 'cluster_remove docs' EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		cluster_start
	} >&2
fi

# the domains: what their files say they are, and what they make
domains() {
	local file sep='' name
	printf '['
	for file in sql/[1-8]?_*.sql; do
		name=${file#sql/??_}
		printf '%s{"name": "%s", "about": "%s", "tables": %s, "types": %s}' "$sep" "${name%.sql}" \
			"$(about "$file")" "$(made TABLE "$file")" "$(made TYPE "$file")"
		sep=,
	done
	printf ']'
}

# "-- chat: conversations." becomes "Conversations."
about() {
	sed -n '1s/^-- [a-z]*: *//p' "$1" | sed -e 's/^./\u&/' -e 's/[\\"]/\\&/g'
}

made() {
	sed -n "s/^CREATE $1 app_data\\.\\([a-z_]*\\).*/\"\\1\"/p" "$2" | paste -s -d , | sed -e 's/^/[/' -e 's/$/]/'
}

run() {
	psql -X -q -d postgres -v ON_ERROR_STOP=1 -c "$1" 2> >(grep -v NOTICE >&2)
}

run 'DROP DATABASE IF EXISTS appdb_docs'
run 'CREATE DATABASE appdb_docs TEMPLATE template0'
PGOPTIONS='-c client_min_messages=warning' psql -X -q -d appdb_docs -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION appdb'
psql -X -q -d appdb_docs -v domains="$(domains)" -f docs/database/schema.sql
run 'DROP DATABASE appdb_docs'
