#!/bin/bash
#
# pg_upgrade.sh: pg_upgrade carries a database with appdb to a newer major
# version of PostgreSQL: same rows, the catalogs of a fresh install there, and
# an application that goes on.
#
#   pg_upgrade.sh OLD_PG_CONFIG NEW_PG_CONFIG
#
# Installs appdb into both servers' own directories: for a throw-away root
# (make check-all).  As root; the servers run as user postgres.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
here=$PWD
. test/harness/tap.sh

old_bin=$("$1" --bindir) new_bin=$("$2" --bindir)
old_major=$("$1" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
work=$(mktemp -d /tmp/pg_upgrade.XXXXXX)
chown postgres "$work"
export PGHOST=$work PGUSER=postgres PGPORT=5432 PGOPTIONS='-c client_min_messages=warning' LC_ALL=C.UTF-8

as_server() {
	(cd "$work" && exec setpriv --reuid=postgres --regid=postgres --clear-groups -- "$@")
}

stop() {
	for data in old new; do
		[ ! -f "$work/$data/postmaster.pid" ] || as_server "$new_bin/pg_ctl" -D "$work/$data" -m immediate -w stop >/dev/null
	done
	rm -rf "$work"
}
trap stop EXIT

bail() {
	echo "Bail out! $1"
	cat "$work"/{initdb,fill,old,new,pg_upgrade}.log 2>/dev/null | tail -n 60
	find "$work/new/pg_upgrade_output.d" -name '*.log' -o -name '*.txt' 2>/dev/null | xargs -r tail -n 30
	exit 1
}

for config in "$1" "$2"; do
	make --no-print-directory clean >/dev/null 2>&1
	make --no-print-directory PG_CONFIG="$config" with_llvm=no WERROR=1 install >"$work/build.log" 2>&1 ||
		{ grep -E '(error|warning): ' "$work/build.log"; bail "the build for $config failed"; }
done

as_server "$old_bin/initdb" -D "$work/old" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N >"$work/initdb.log" 2>&1 || bail initdb
as_server "$new_bin/initdb" -D "$work/new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 -N \
	$([ "$old_major" -ge 18 ] || echo --no-data-checksums) >"$work/initdb.log" 2>&1 || bail initdb
for data in old new; do
	printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$work'" "timezone = 'UTC'" "session_preload_libraries = 'appdb'" |
		as_server tee -a "$work/$data/postgresql.conf" >/dev/null
done

start() {
	as_server "$1/pg_ctl" -D "$work/$2" -l "$work/$2.log" -w start >/dev/null 2>&1 || bail "the $2 server does not start"
}

run_psql() {
	"$new_bin/psql" -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# an ordinary role's database
fill() {
	run_psql "$1" -c 'SET ROLE appdb_test_owner' -c 'CREATE EXTENSION appdb' -f "$here/test/fixture.sql" -f "$here/test/additions.sql" >"$work/fill.log" 2>&1 || bail "filling the database"
}

roles='CREATE ROLE appdb_test_owner LOGIN; CREATE ROLE appdb_test_reader; CREATE ROLE appdb_test_app; CREATE ROLE appdb_test_service'

start "$old_bin" old
run_psql postgres -c "$roles" -c 'CREATE DATABASE app OWNER appdb_test_owner' || bail "making the database"
PGUSER=appdb_test_owner fill app
run_psql -f "$here/test/rows.sql" app >"$work/old.rows" || bail "reading the rows"
as_server "$old_bin/pg_ctl" -D "$work/old" -m fast -w stop >/dev/null

(cd "$work" && as_server "$new_bin/pg_upgrade" -b "$old_bin" -B "$new_bin" -d "$work/old" -D "$work/new" -s "$work" -U postgres) >"$work/pg_upgrade.log" 2>&1 ||
	bail "pg_upgrade"
ok "pg_upgrade from $("$1" --version) to $("$2" --version)"

start "$new_bin" new
run_psql -f "$here/test/rows.sql" app >"$work/new.rows"
if [ -s "$work/old.rows" ] && diff "$work/old.rows" "$work/new.rows" >"$work/diff"; then ok 'same rows'; else not_ok 'same rows' <"$work/diff"; fi

run_psql postgres -c 'CREATE DATABASE fresh OWNER appdb_test_owner'
PGUSER=appdb_test_owner fill fresh
for db in app fresh; do
	# pg_upgrade gives all extensions to its superuser, whoever made them
	"$new_bin/psql" -X -q -At -f "$here/test/catalog.sql" $db 2>&1 |
		sed -e 's/^\(extension: appdb: .*owner=\)[^ ]*/\1?/' -e 's/^\(schema_version: .*"changed_at": \).*/\1?/' >"$work/$db.catalog"
done
if [ -s "$work/fresh.catalog" ] && diff "$work/fresh.catalog" "$work/app.catalog" >"$work/diff"; then ok 'the catalogs of a fresh install'; else not_ok 'the catalogs of a fresh install' <"$work/diff"; fi
is 'the doctor finds what it finds in a fresh one' "$(run_psql app -c 'SELECT * FROM appdb.doctor()' 2>&1)" "$(run_psql fresh -c 'SELECT * FROM appdb.doctor()' 2>&1)"

is 'an application goes on' "$(PGUSER=appdb_test_owner run_psql app <<'SQL' 2>&1
INSERT INTO appdb.users (name, email) VALUES ('After', 'after@example.org') RETURNING email;
DELETE FROM appdb.users WHERE email = 'after@example.org' RETURNING 'deleted';
SELECT restored, rows FROM appdb.trash AS t, appdb.restore(t.entity, t.id) WHERE t.label = 'After';
SELECT sum(rows) FROM appdb.restore('appdb.spaces', '00000000-0000-7000-8000-000000000023');
SELECT count(*) > 30 FROM appdb.chats AS c, appdb.messages(c) AS m;
SQL
)" "$(printf 'after@example.org\ndeleted\napp_data.users|1\n3\nt')"

done_testing
