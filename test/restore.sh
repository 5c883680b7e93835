#!/bin/bash
#
# restore.sh: a database with appdb survives what happens to databases.
#
# As superuser and as an ordinary role that owns its database:
#   - every kind of full dump restores into an empty database, with the same
#     content and the same catalogs, and works;
#   - DROP EXTENSION appdb CASCADE keeps every row, and CREATE EXTENSION makes
#     it again what it was;
# with rows in every table, and with what people add to appdb's tables and
# beside them.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
here=$PWD
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/restore.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

. "$here/test/harness/tap.sh"

export PGOPTIONS='-c client_min_messages=warning'
super=${PGUSER:-postgres}

run_psql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

new_database() {
	PGUSER=$super run_psql -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1 OWNER $role TEMPLATE ${2:-template0}"
}

# the catalogs, and every row
snapshot() {
	psql -X -q -At -f "$here/test/catalog.sql" "$1" >"$2.catalog" || return 1
	run_psql -f "$here/test/rows.sql" "$1" >"$2.rows"
}

# compare NAME A B: two tests
compare() {
	local what
	for what in catalog rows; do
		if [ -s "$2.$what" ] && diff "$2.$what" "$3.$what" >diff.out; then
			ok "$1: same $what"
		else
			not_ok "$1: same $what" <diff.out
		fi
	done
}

# an application goes on
works() {
	local out
	out=$(run_psql "$1" <<'SQL' 2>&1
INSERT INTO appdb.users (name, email) VALUES ('After', 'after@example.org') RETURNING email, created_at = updated_at, uuid_send(id) IS NOT NULL;
UPDATE appdb.users SET name = 'Later' WHERE email = 'after@example.org' RETURNING name;
DELETE FROM appdb.users WHERE email = 'after@example.org' RETURNING 'deleted';
SELECT deleted_at IS NOT NULL FROM app_data.users WHERE email = 'after@example.org';
SELECT count(*) FROM appdb.users WHERE email = 'after@example.org';
SELECT restored, rows FROM appdb.trash AS t, appdb.restore(t.entity, t.id) WHERE t.label = 'Later';
DELETE FROM appdb.users WHERE email = 'after@example.org';
SELECT count(*) > 30 FROM appdb.chats AS c, appdb.messages(c) AS m;
SELECT sum(rows) FROM appdb.restore('appdb.spaces', '00000000-0000-7000-8000-000000000023');
SQL
	)
	is "$2: the views, triggers and functions work" "$out" "$(printf 'after@example.org|t|t\nLater\ndeleted\nt\n0\napp_data.users|1\nt\n3')"
}

restored() {
	if [ "$2" != 0 ]; then
		not_ok "$1: restores without errors" <err.out
	else
		ok "$1: restores without errors"
	fi
	snapshot target restored
	compare "$1" source restored
	works target "$1"
}

PGUSER=$super run_psql -d postgres <<'SQL'
DROP DATABASE IF EXISTS source;
DROP DATABASE IF EXISTS target;
DROP DATABASE IF EXISTS fresh;
DROP ROLE IF EXISTS appdb_test_owner;
DROP ROLE IF EXISTS appdb_test_reader;
DROP ROLE IF EXISTS appdb_test_app;
DROP ROLE IF EXISTS appdb_test_service;
CREATE ROLE appdb_test_owner LOGIN;
CREATE ROLE appdb_test_reader;
CREATE ROLE appdb_test_app;
CREATE ROLE appdb_test_service;
SQL

for role in "$super" appdb_test_owner; do
	export PGUSER=$role

	new_database fresh
	run_psql fresh -c 'CREATE EXTENSION appdb' 2>err.out && ok "$role: CREATE EXTENSION" || not_ok "$role: CREATE EXTENSION" <err.out
	snapshot fresh fresh

	# drop and create, nothing added
	new_database target fresh
	run_psql target -f "$here/test/fixture.sql" >err.out 2>&1 && ok "$role: the fixture's rows" || not_ok "$role: the fixture's rows" <err.out
	snapshot target filled
	is "$role: every table has rows" "$(run_psql target <<-'SQL'
		SELECT format('SELECT %L WHERE NOT EXISTS (SELECT FROM %s)', c.oid::regclass, c.oid::regclass)
		FROM pg_class AS c WHERE c.relkind = 'r' AND c.relnamespace = 'app_data'::regnamespace AND c.relname NOT IN ('access', 'pending') \gexec
	SQL
	)" ""
	out=$(run_psql target -c 'DROP EXTENSION appdb CASCADE' 2>&1)
	like "$role: DROP EXTENSION is refused, and says how" "$out" 'appdb.allow_drop'
	run_psql target -c 'SET appdb.allow_drop = on' -c 'DROP EXTENSION appdb CASCADE' >err.out 2>&1 &&
		ok "$role: DROP EXTENSION with appdb.allow_drop" || not_ok "$role: DROP EXTENSION with appdb.allow_drop" <err.out
	is "$role: DROP EXTENSION leaves the tables" "$(run_psql target -c "SELECT count(*) > 10 FROM pg_tables WHERE schemaname = 'app_data'" 2>&1)" t
	run_psql target -c 'CREATE EXTENSION appdb' 2>err.out && ok "$role: CREATE EXTENSION again" || not_ok "$role: CREATE EXTENSION again" <err.out
	snapshot target again
	cp filled.rows fresh.rows
	compare "$role: re-attached" fresh again
	works target "$role: re-attached"

	# the same with additions
	new_database source fresh
	run_psql source -f "$here/test/fixture.sql" >/dev/null 2>err.out
	run_psql source -f "$here/test/additions.sql" >/dev/null 2>err.out && ok "$role: additions" || not_ok "$role: additions" <err.out
	snapshot source source
	new_database target source
	run_psql target -c 'SET appdb.allow_drop = on' -c 'DROP EXTENSION appdb CASCADE' -c 'CREATE EXTENSION appdb' >err.out 2>&1 &&
		ok "$role: dropped and created again, with additions" || not_ok "$role: dropped and created again, with additions" <err.out
	snapshot target again
	compare "$role: re-attached with additions" source again
	works target "$role: re-attached with additions"

	# what a dump keeps and DROP EXTENSION CASCADE cannot
	run_psql source >err.out 2>&1 <<'SQL' || not_ok "$role: additions on the views" <err.out
GRANT SELECT, INSERT ON appdb.notes TO appdb_test_reader;
CREATE FUNCTION public.words(appdb.notes) RETURNS int LANGUAGE sql STABLE AS $$ SELECT cardinality(regexp_split_to_array($1.content, '\s+')) $$;
CREATE VIEW public.pinned AS SELECT * FROM appdb.notes WHERE pinned_at IS NOT NULL;
SQL
	snapshot source source

	new_database target
	pg_dump source >plain.sql 2>err.out && psql -X -q -o /dev/null -v ON_ERROR_STOP=1 target -f plain.sql >>err.out 2>&1
	restored "$role: plain dump" $?

	new_database target
	psql -X -q -o /dev/null -v ON_ERROR_STOP=1 --single-transaction target -f plain.sql >err.out 2>&1
	restored "$role: plain dump in a single transaction" $?

	new_database target
	pg_dump --inserts --rows-per-insert=7 source 2>err.out | psql -X -q -o /dev/null -v ON_ERROR_STOP=1 target >>err.out 2>&1
	restored "$role: dump with INSERTs" $?

	new_database target
	pg_dump -Fc source >custom.dump 2>err.out && pg_restore --exit-on-error -d target custom.dump >>err.out 2>&1
	restored "$role: custom dump" $?

	new_database target
	pg_restore --exit-on-error --single-transaction -d target custom.dump >err.out 2>&1
	restored "$role: custom dump in a single transaction" $?

	new_database target
	rm -rf dir.dump
	pg_dump -Fd -j4 -f dir.dump source 2>err.out && pg_restore --exit-on-error -j4 -d target dir.dump >>err.out 2>&1
	restored "$role: directory dump, 4 jobs" $?

	new_database target
	pg_restore --exit-on-error --section=pre-data -d target custom.dump >err.out 2>&1 &&
		pg_restore --exit-on-error --section=data -d target custom.dump >>err.out 2>&1 &&
		pg_restore --exit-on-error --section=post-data -d target custom.dump >>err.out 2>&1
	restored "$role: section by section" $?

	# a database to test in: no rows but those of the engine
	new_database target
	pg_dump --schema-only source >plain.sql 2>err.out && psql -X -q -o /dev/null -v ON_ERROR_STOP=1 target -f plain.sql >>err.out 2>&1
	like "$role: without data, doctor() says what is missing" "$(run_psql target -c 'SELECT * FROM appdb.doctor()')" 'error.app_data.managed.*pg_dump --data-only -t app_data.managed'
	pg_dump --data-only -t app_data.schema_version -t app_data.managed -t app_data.access source >plain.sql 2>err.out &&
		psql -X -q -o /dev/null -v ON_ERROR_STOP=1 target -f plain.sql >>err.out 2>&1 && ok "$role: without data but the engine's" || not_ok "$role: without data but the engine's" <err.out
	snapshot target restored
	cp source.rows restored.rows
	compare "$role: without data but the engine's" source restored
	is "$role: without data but the engine's, doctor() finds nothing" "$(run_psql target -c "SELECT * FROM appdb.doctor() WHERE severity = 'error' AND object <> 'setting fsync'")" ''

	# over what is there, as pg_restore --clean does
	new_database target
	pg_restore --exit-on-error -d target custom.dump >err.out 2>&1
	PGOPTIONS="$PGOPTIONS -c appdb.allow_drop=on" pg_restore --exit-on-error --clean --if-exists -d target custom.dump >err.out 2>&1
	restored "$role: over an older state (--clean)" $?

	# and where it is not allowed to drop: nothing is there twice
	snapshot target again
	pg_restore --clean --if-exists -d target custom.dump >/dev/null 2>&1
	snapshot target restored
	is "$role: --clean that is refused leaves every row as it was" "$(diff again.rows restored.rows | grep '^[<>]' | grep -v 'app_data.schema_version|')" ''
done

export PGUSER=$super
run_psql -d postgres <<'SQL'
DROP DATABASE source;
DROP DATABASE target;
DROP DATABASE fresh;
DROP ROLE appdb_test_owner;
DROP ROLE appdb_test_reader;
DROP ROLE appdb_test_app;
DROP ROLE appdb_test_service;
SQL
done_testing
