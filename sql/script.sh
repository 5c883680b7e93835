#!/bin/sh
# Writes the installation script of the extension to standard output:
#
#   script.sh ENGINE_FILE... -- TABLES_FILE...
#
# The engine's files go in as they are.  The tables' files become the text
# that appdb.tables_sql() returns, which appdb.install() executes statement by
# statement as the installing role: so they must not hold the quotes around
# them, nor psql's commands.
set -eu

cat <<'SQL'
\echo Use "CREATE EXTENSION appdb" to load this file. \quit

-- Built by the Makefile from the files named below.

SET LOCAL search_path = pg_catalog, pg_temp;
SQL

while [ $# -gt 0 ] && [ "$1" != -- ]; do
	echo
	echo "-- $1"
	echo
	cat "$1"
	shift
done
shift

for f in "$@"; do
	# shellcheck disable=SC2016
	if grep -n -e '\$appdb_tables\$' -e '\$appdb_fn\$' -e '^[[:space:]]*\\' "$f" >&2; then
		echo "$f: the lines above cannot stand in a file of tables" >&2
		exit 1
	fi
done

cat <<'SQL'

-- The tables of the eight domains, as text.

CREATE FUNCTION appdb.tables_sql() RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS $appdb_fn$ SELECT $appdb_tables$
SQL
for f in "$@"; do
	echo "-- $f"
	echo
	cat "$f"
	echo
done
cat <<'SQL'
$appdb_tables$::pg_catalog.text $appdb_fn$;
COMMENT ON FUNCTION appdb.tables_sql() IS 'The statements that make the built-in tables; appdb.install() executes them';

-- Makes the tables, or attaches to those that are there.

SELECT appdb.install();
SQL
