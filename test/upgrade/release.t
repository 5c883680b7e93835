#!/bin/bash
#
# release.t: what has been released does not change, and the library serves it.
#
#   - the scripts of released versions and the migrations that led to them are
#     what sql/released/SHA256SUMS says, and all of them are in it;
#   - the library has every function that their scripts declare;
#   - each released version can be installed and works, with this library.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/release.XXXXXX")
trap 'rm -rf "$work"' EXIT
. test/upgrade/lib.sh

if out=$(sha256sum --quiet -c sql/released/SHA256SUMS 2>&1); then
	ok "what has been released is unchanged"
else
	not_ok "what has been released is unchanged" < <(
		echo "$out"
		echo 'Users have these files already. Changes of tables go into a new file in sql/migrations/; the engine is replaced by every upgrade.')
fi

for f in sql/released/appdb--*.sql sql/migrations/*--*.sql; do
	[ -f "$f" ] || continue
	to=${f##*--}
	to=${to%.sql}
	to=${to%.engine}
	[ -f "sql/released/appdb--$to.sql" ] || continue
	grep -q "  $f\$" sql/released/SHA256SUMS && ok "$f has a checksum" || not_ok "$f has a checksum" <<<'make release writes it.'
done

# a released version that appdb.control still names: what is built is what is frozen
if [ -f "sql/released/appdb--$version.sql" ]; then
	sh sql/script.sh "$version" | diff -q - "sql/released/appdb--$version.sql" >/dev/null &&
		ok "the sources are those of version $version" ||
		not_ok "the sources are those of version $version" <<<"It has been released: say the next version in appdb.control."
fi

# the functions of the library
library=$(ls "${APPDB_INSTALLED:-}$(pg_config --pkglibdir)"/appdb.so "${APPDB_INSTALLED:-}"/usr/lib/postgresql/"${PG_MAJOR:-none}"/lib/appdb.so appdb.so 2>/dev/null | head -n 1)
for f in sql/released/appdb--*.sql; do
	tr '\n' ' ' <"$f" | grep -oE "AS 'MODULE_PATHNAME', '[a-z_0-9]+'" | sed "s/.*, '\(.*\)'/\1/" | sort -u >"$work/wanted"
	nm -D --defined-only "$library" | sed 's/.* //' | sort -u >"$work/there"
	is "$f: the library has its functions" "$(comm -23 "$work/wanted" "$work/there")" ""
done

for v in "${released[@]}"; do
	run_psql -d postgres -c 'DROP DATABASE IF EXISTS appdb_release' -c 'CREATE DATABASE appdb_release TEMPLATE template0'
	run_psql -d appdb_release -c "CREATE EXTENSION appdb VERSION '$v'"
	# while nothing of users' is on the table: then the library writes it by itself
	is "version $v: the queue works with this library" "$(run_psql -d appdb_release <<-'SQL' 2>&1
		SELECT cardinality(appdb.enqueue_many('[{"kind": "one"}, {"kind": "two"}, {"kind": "both", "depends_on": [0, 1], "group_key": "g"}, {"kind": "next", "group_key": "g"}]'));
		SELECT appdb.complete_many(array_agg(id), array_agg(ticket)) FROM appdb.claim(max => 3) WHERE kind <> 'next';
		SELECT string_agg(kind || ' ' || status, ', ' ORDER BY kind) FROM appdb.tasks;
		SELECT kind, appdb.fail(id, ticket, 'no', '1 minute') > now() FROM appdb.tasks WHERE status = 'running';
		SELECT kind FROM appdb.claim();
		UPDATE app_data.tasks SET run_at = now() - interval '1 second' WHERE kind = 'next';
		SELECT kind, appdb.snooze(id, ticket, '1 minute') > now() FROM appdb.claim();
		SELECT appdb.idle('{default}') > '0';
		CALL appdb.maintain(purge => false);
		SET appdb.allow_drop = on;
		TRUNCATE app_data.tasks;
	SQL
	)" "$(printf '%s\n' 4 2 'both pending, next running, one completed, two completed' 'next|t' 'next|t' t)"
	out=$(run_psql -d appdb_release -f test/fixture.sql 2>&1 | grep -v '^[A-Z ]*[0-9]*$')
	is "version $v can be installed, and takes rows" "$(grep -i error <<<"$out")" ""
	is "version $v: engine and tables say so" "$(run_psql -d appdb_release -c 'SELECT appdb.version(), v.version FROM app_data.schema_version AS v')" "$v|$v"
	works appdb_release "version $v with this library"
done
run_psql -d postgres -c 'DROP DATABASE IF EXISTS appdb_release'
done_testing
