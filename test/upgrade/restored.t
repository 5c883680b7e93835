#!/bin/bash
#
# restored.t: a dump of every released version can be restored with this one.
#
# As superuser and as an ordinary role that owns its database, from each format
# of dump: the tables are then those of the old version, on which the new engine
# works, and which appdb.migrate() brings to the new one.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/restored.XXXXXX")
. test/upgrade/lib.sh
trap 'drop_all >/dev/null 2>&1; rm -rf "$work"' EXIT
make_roles

# restore HOW
restore() {
	case $1 in
		plain) run_psql target -o /dev/null -f "$work/plain" ;;
		custom) pg_restore --exit-on-error -d target "$work/custom" ;;
		directory) pg_restore --exit-on-error -j4 -d target "$work/directory" ;;
		sections)
			local section
			for section in pre-data data post-data; do
				pg_restore --exit-on-error --section=$section -d target "$work/custom" || return
			done ;;
	esac
}

for role in "$super" appdb_test_owner; do
	export PGUSER=$role
	new_database current
	step "$role: this version" run_psql current -c 'CREATE EXTENSION appdb' -f test/fixture.sql -f test/additions.sql
	on_the_views current
	catalog current "$work/current"

	for old in "${released[@]}"; do
		new_database old
		step "$role: version $old" run_psql old -c "CREATE EXTENSION appdb VERSION '$old'" -f test/fixture.sql -f test/additions.sql
		on_the_views old
		questions old >"$work/questions"
		rows old "$work/questions" "$work/rows"
		pg_dump -f "$work/plain" old
		pg_dump -Fc -f "$work/custom" old
		rm -rf "$work/directory"
		pg_dump -Fd -j2 -f "$work/directory" old

		for how in plain custom directory sections; do
			what="$role: $old, $how"
			new_database target
			step "$what: restore" restore "$how"
			is "$what: engine and tables" "$(run_psql target -c 'SELECT appdb.version(), v.version FROM app_data.schema_version AS v')" "$version|$old"
			is "$what: it is said what to do" "$(run_psql target -c "SELECT DISTINCT kind, statement FROM appdb.pending() WHERE kind = 'migration'")" 'migration|SELECT appdb.migrate()'
			like "$what: not before the migration" "$(run_psql target -c 'CALL appdb.migrate_online()' 2>&1)" 'not migrated.*appdb\.migrate\(\)'
			if [ "$how" = plain ]; then
				rows target "$work/questions" "$work/rows_after"
				same "$what: same rows, before the migration" "$work/rows" "$work/rows_after"
				# the engine, on tables of the old version
				run_psql -d postgres -c 'DROP DATABASE IF EXISTS target_copy' -c 'CREATE DATABASE target_copy TEMPLATE target' >/dev/null 2>&1 ||
					PGUSER=$super run_psql -d postgres -c 'DROP DATABASE IF EXISTS target_copy' -c "CREATE DATABASE target_copy OWNER $role TEMPLATE target"
				works target_copy "$what: before the migration"
				# doctor() says what is to be done first; what the migration makes is no advice yet
				is "$what: before the migration, doctor()" "$(run_psql target_copy -c "SELECT problem, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" \
					"the tables are at version $old, the engine at $version|SELECT appdb.migrate();"
				is "$what: before the migration, search()" "$(run_psql target_copy -c "SELECT entity, title FROM appdb.search('found', ARRAY['notes']) EXCEPT SELECT 'notes', title FROM appdb.notes" \
					-c "INSERT INTO appdb.notes (space_id, title) VALUES ('00000000-0000-7000-8000-000000000021', 'Zebras are found') RETURNING title" \
					-c "SELECT title FROM appdb.search('zebra')")" "$(printf 'Zebras are found\nZebras are found')"
				run_psql target_copy -c "SET appdb.allow_drop = on" -c "DELETE FROM app_data.notes WHERE title = 'Zebras are found'" >/dev/null
				step "$what: migrate, once it has been used" run_psql target_copy -c 'SELECT appdb.migrate()' -c 'CALL appdb.migrate_online()'
				PGUSER=$super run_psql -d postgres -c 'DROP DATABASE target_copy'
			fi
			is "$what: migrate" "$(run_psql target -c 'SELECT appdb.migrate()' 2>&1)" migrated
			is "$what: migrate again" "$(run_psql target -c 'SELECT appdb.migrate()' 2>&1)" current
			step "$what: migrate_online" run_psql target -c 'CALL appdb.migrate_online()'
			catalog target "$work/migrated"
			same "$what: same catalogs" "$work/current" "$work/migrated"
			rows target "$work/questions" "$work/rows_after"
			same "$what: same rows" "$work/rows" "$work/rows_after"
		done
		works target "$role: $old, migrated"
	done
done

# a dump of a version that is newer than what is installed
export PGUSER=$super
role=$super
new_database target
run_psql target -c 'CREATE EXTENSION appdb' -c "UPDATE app_data.schema_version SET version = '99.0'" >/dev/null 2>&1
like "tables of a version to come: migrate() says so" "$(run_psql target -c 'SELECT appdb.migrate()' 2>&1)" 'version 99.0, which the engine of version [0-9.]* cannot use'

done_testing
