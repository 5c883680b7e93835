#!/bin/sh
# Writes a script of the extension to standard output:
#
#   script.sh VERSION         the installation script
#   script.sh VERSION FROM    the upgrade script from version FROM
#
# The engine's files go in as they are, or as update.awk makes them.  The
# tables' files become the text that appdb.tables_sql() returns, those of the
# migrations up to VERSION what appdb.migrations_sql() returns, which
# appdb.install() and appdb.migrate() execute statement by statement as the
# owner of the tables: so they must not hold the quotes around them, nor psql's
# commands.  SQL_DIR is where all of them are (default: sql), MIGRATIONS_DIR
# where the migrations are (default: SQL_DIR/migrations).
set -eu
export LC_ALL=C

version=$1
from=${2:-}
dir=${SQL_DIR:-sql}
migrations_dir=${MIGRATIONS_DIR:-$dir/migrations}

# is A a version up to B?
up_to() {
	[ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]
}

text() {
	# shellcheck disable=SC2016
	if grep -n -e '\$appdb_tables\$' -e '\$appdb_fn\$' -e '^[[:space:]]*\\' "$1" >&2; then
		echo "$1: the lines above cannot stand in a file of tables" >&2
		exit 1
	fi
	cat "$1"
}

tables=$(ls "$dir"/0[5-9]_*.sql "$dir"/[1-8]?_*.sql)
engine=$(ls "$dir"/0[0-4]_*.sql)
migrations='' replaced=''
for f in "$migrations_dir"/*--*.sql; do
	[ -f "$f" ] || continue
	to=${f##*--}
	to=${to%.sql}
	case $to in
		*.engine)
			old=${f##*/}
			if [ -n "$from" ] && up_to "${to%.engine}" "$version" && up_to "$from" "${old%%--*}"; then
				replaced="$replaced $f"
			fi ;;
		*)
			if up_to "$to" "$version"; then
				migrations="$migrations $f"
			fi ;;
	esac
done

if [ -z "$from" ]; then
	create=CREATE
	cat <<SQL
\\echo Use "CREATE EXTENSION appdb" to load this file. \\quit

-- appdb $version. Built from the files named below.

SET LOCAL search_path = pg_catalog, pg_temp;
SQL
else
	create='CREATE OR REPLACE'
	cat <<SQL
\\echo Use "ALTER EXTENSION appdb UPDATE TO '$version'" to load this file. \\quit

-- appdb $from to $version. Built from the files named below.

SET LOCAL search_path = pg_catalog, pg_temp;

-- What is replaced keeps its owner.  The owner of the extension, who need not be a superuser, can have made members of it that this version will have.

DO \$appdb_update\$
DECLARE
	member record;
BEGIN
	SELECT i.type, i.identity, r.rolname INTO member
	FROM pg_extension e
	JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
	LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
	LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	JOIN pg_roles r ON r.oid = coalesce(p.proowner, c.relowner)
	CROSS JOIN pg_identify_object(d.classid, d.objid, 0) i
	WHERE e.extname = 'appdb' AND NOT r.rolsuper AND r.oid <> (SELECT v.proowner FROM pg_proc v WHERE v.oid = 'appdb.version()'::regprocedure)
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'object_not_in_prerequisite_state',
			MESSAGE = format('%s %s is a member of extension "appdb" and belongs to role "%s"', member.type, member.identity, member.rolname),
			DETAIL = 'It is none of the engine''s, and what replaces it would belong to that role, too.',
			HINT = format('ALTER EXTENSION appdb DROP %s %s; and drop it.', upper(member.type), member.identity);
	END IF;
END
\$appdb_update\$;

-- Before a view is replaced: whoever has a table may want that next.

SQL
	# shellcheck disable=SC2086
	cat $engine | sed -n '/^CREATE FUNCTION appdb\._lock_tables()/,/^\$\$;/p' | awk -f "$dir/update.awk"
	echo 'SELECT appdb._lock_tables();'
fi

for f in $replaced; do
	printf '\n-- %s\n\n' "$f"
	cat "$f"
done
for f in $engine; do
	printf '\n-- %s\n\n' "$f"
	if [ -z "$from" ]; then
		cat "$f"
	else
		awk -f "$dir/update.awk" <"$f"
	fi
done

cat <<SQL

-- The tables of the eight domains, as text.

$create FUNCTION appdb.tables_sql() RETURNS pg_catalog.text
	LANGUAGE sql IMMUTABLE PARALLEL SAFE
	AS \$appdb_fn\$ SELECT \$appdb_tables\$
SQL
for f in $tables; do
	printf -- '-- %s\n\n' "$f"
	text "$f"
	echo
done
cat <<SQL
\$appdb_tables\$::pg_catalog.text \$appdb_fn\$;
COMMENT ON FUNCTION appdb.tables_sql() IS 'The statements that make the built-in tables; appdb.install() executes them';

-- The changes of the tables from version to version, as text: what one
-- transaction does, and what appdb.migrate_online() does.

$create FUNCTION appdb.migrations_sql(
	OUT from_version pg_catalog.text, OUT to_version pg_catalog.text,
	OUT statements pg_catalog.text, OUT online pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10
	AS \$appdb_fn\$
	SELECT m.* FROM (VALUES (NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text)
SQL
for f in $migrations; do
	old=${f##*/}
	to=${f##*--}
	# shellcheck disable=SC2016
	printf ", ('%s', '%s', \$appdb_tables\$-- %s\n" "${old%%--*}" "${to%.sql}" "$f"
	text "$f" | sed '/^-- == online/,$d'
	# shellcheck disable=SC2016
	printf '$appdb_tables$, $appdb_tables$'
	text "$f" | sed -n '/^-- == online/,$p'
	# shellcheck disable=SC2016
	printf '$appdb_tables$)\n'
done
cat <<SQL
	) m (f, t, s, o) WHERE m.f IS NOT NULL
\$appdb_fn\$;
COMMENT ON FUNCTION appdb.migrations_sql() IS
	'The statements that bring tables of a version to the next one: at once, and beside load; appdb.migrate() and appdb.migrate_online() execute them';

ALTER DEFAULT PRIVILEGES IN SCHEMA appdb REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

SQL
if [ -z "$from" ]; then
	cat <<'SQL'
-- Makes the tables, or attaches to those that are there.

SELECT appdb.install();
SQL
else
	cat <<'SQL'
-- Brings the tables to this version, and what is made of them.

SELECT appdb.migrate();
SQL
fi
