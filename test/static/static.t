#!/bin/bash
#
# static.t: static rules over the install and upgrade scripts, and what they
# mean, asked of a database: nothing is resolved where somebody may have planted
# something, and nobody gets more rights than meant.
#
#   appdb--9.9.sql, appdb--9.9--9.10.sql   break each rule of check-scripts.mjs
#   catalog.sql, planted.sql               the catalogs, and what breaks each rule there
#   public.txt                             what PUBLIC may do
#   plpgsql.sql                            plpgsql_check
#   columns.sql                            columns that users could add
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/tap.sh
. test/harness/clients.sh

export PGDATABASE=static PGOPTIONS='-c client_min_messages=warning'

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/static.XXXXXX")
chmod 755 "$work"
trap 'PGDATABASE=postgres sql -c "DROP DATABASE IF EXISTS static WITH (FORCE)" -c "DROP ROLE IF EXISTS appdb_test_stranger"; rm -rf "$work"' EXIT
PGDATABASE=postgres sql -c 'DROP DATABASE IF EXISTS static' -c 'DROP ROLE IF EXISTS appdb_test_stranger' \
	-c 'CREATE ROLE appdb_test_stranger LOGIN' -c 'CREATE DATABASE static' || exit 1
sql -c 'CREATE EXTENSION appdb' || exit 1

# -- the scripts

if rules=$(tools/run.sh check-scripts.mjs --rules); then
	for script in 9.9 9.9--9.10; do
		is "appdb--$script.sql breaks the rules" "$(cd test/static && ../../tools/run.sh check-scripts.mjs "appdb--$script.sql")" \
			"$(cat "test/static/appdb--$script.out")"
	done
	for rule in $rules; do
		is "$rule has a test that breaks it" "$(grep -c -m 1 "^[^ ]*: $rule: " test/static/appdb--9.9.out)" 1
	done
	for script in $(find "${APPDB_INSTALLED:-$("${PG_CONFIG:-pg_config}" --sharedir)}" -name 'appdb--*.sql') sql/released/appdb--*.sql; do
		[ ! -f "$script" ] || is "${script##*/} breaks none" "$(tools/run.sh check-scripts.mjs "$script")" ""
	done

	# what the engine makes of tables: functions, and statements that run with the caller's search_path
	sql -c "SELECT pg_get_functiondef(p.oid) || ';' FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
			WHERE p.pronamespace = 'appdb'::regnamespace AND l.lanname <> 'c' AND p.prokind <> 'a'" >"$work/functions.sql"
	sql -c "SELECT format('CREATE FUNCTION appdb.purge_%s() RETURNS void LANGUAGE sql AS %L;', row_number() OVER (), s)
			FROM appdb.managed m CROSS JOIN unnest('{f,t}'::bool[]) h CROSS JOIN LATERAL appdb._purge_statement(m.entity, m.entity, h) s
			WHERE m.soft_delete" >"$work/statements.sql"
	is "there are functions and statements" "$(grep -c '^CREATE' "$work/functions.sql" "$work/statements.sql" | grep -c ':[0-9][0-9]')" 2
	is "what the engine makes breaks none" "$(tools/run.sh check-scripts.mjs "$work/functions.sql" "$work/statements.sql")" ""
else
	# CI has what it takes
	[ -z "${CI:-}" ] || exit 1
	ok "the scripts # SKIP needs node and npm's libpg-query"
fi

# -- the catalogs

known() {
	{
		sed -n '/^[^#]/s/^/public: /p' test/static/public.txt
	} | LC_ALL=C sort
}
is "PUBLIC may do what is in public.txt (revoke the rest, or add it there), and nothing else is found" "$(diff <(known) <(sql -f test/static/catalog.sql | LC_ALL=C sort))" ""
sql -f test/static/planted.sql
is "what is planted is found" "$(diff <(known) <(sql -f test/static/catalog.sql | LC_ALL=C sort) | sed -n 's/^> //p')" "$(cat test/static/planted.out)"

extension=postgresql-${PG_MAJOR:-$(sql -c "SELECT current_setting('server_version_num')::int / 10000")}-plpgsql-check
if need_packages "[ -f '$(pg_config --sharedir 2>/dev/null)/extension/plpgsql_check.control' ]" "$extension" && sql -c 'CREATE EXTENSION plpgsql_check'; then
	is "plpgsql_check finds what is planted, and nothing else" "$(sql -f test/static/plpgsql.sql)" 'appdb.wrong(): line 1: column "missing" does not exist'
	is "nor where users have added columns" "$(sql -f test/static/columns.sql -f test/static/plpgsql.sql)" 'appdb.wrong(): line 1: column "missing" does not exist'
else
	ok "PL/pgSQL # SKIP ${CLIENTS_WHY:-plpgsql_check does not work here}"
fi

# -- a database can have any encoding

is "scripts and messages are ASCII" "$(LC_ALL=C grep -l '[^	 -~]' sql/*.sql sql/migrations/*.sql src/*.[ch])" ''

# -- what somebody has made of their own is not read with the rights of the owner

is "a view of a stranger is not asked as the owner" "$(sql <<'SQL'
SET appdb.allow_drop = on;
INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000001', 'One', 'one');
INSERT INTO app_data.legal_holds (organization_id, reason) VALUES ('00000000-0000-4000-8000-000000000001', 'a test');
CREATE SCHEMA strange AUTHORIZATION appdb_test_stranger;
SET SESSION AUTHORIZATION appdb_test_stranger;
CREATE FUNCTION strange.run() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'runs as %', current_user; END $$;
CREATE VIEW strange.rows AS SELECT '00000000-0000-4000-8000-000000000001'::uuid AS id, '00000000-0000-4000-8000-000000000001'::uuid AS organization_id
	WHERE strange.run();
SELECT appdb._held('strange.rows', '00000000-0000-4000-8000-000000000001');
SQL
)" f

done_testing
