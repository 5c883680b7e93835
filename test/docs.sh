#!/bin/bash
#
# docs.sh: docs/database/schema.md says what the catalogs say, the documents'
# links lead somewhere, and the SQL in them works.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh

work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/docs.XXXXXX")
trap 'rm -rf "$work"' EXIT

if ! docs/database/schema.sh --here >"$work/schema.md" 2>"$work/err"; then
	not_ok "schema.md can be made" <"$work/err"
elif diff -u docs/database/schema.md "$work/schema.md" >"$work/diff"; then
	ok "schema.md is up to date"
else
	not_ok "schema.md is up to date" < <(echo 'Run "make docs" and commit docs/database/schema.md.'; cat "$work/diff")
fi

# GitHub's anchor of a heading
anchors() {
	sed -n '/^```/,/^```/d; s/^##* //p' "$1" | tr '[:upper:]' '[:lower:]' | sed -e 's/[^a-z0-9 _-]//g' -e 's/ /-/g'
}

links() {
	# outside of code, in which [0] (1) is no link
	sed -e '/^```/,/^```/d' -e 's/`[^`]*`//g' "$1" | grep -o '](\([^)]*\))' | sed -e 's/^](//' -e 's/)$//' | sort -u
}

for file in *.md docs/*.md docs/*/*.md; do
	[ -f "$file" ] || continue
	: >"$work/broken"
	while IFS= read -r link; do
		case $link in http:* | https:* | mailto:*) continue ;; esac
		path=${link%%#*}
		target=$file
		[ -z "$path" ] || target=$(dirname "$file")/$path
		if [ ! -e "$target" ]; then
			echo "$link: no such file" >>"$work/broken"
		elif [[ $link == *#* ]] && ! grep -qxF -e "${link#*#}" < <(anchors "$target"); then
			echo "$link: no such heading" >>"$work/broken"
		fi
	done < <(links "$file")
	if [ -s "$work/broken" ]; then
		not_ok "$file: links lead somewhere" <"$work/broken"
	else
		ok "$file: links lead somewhere"
	fi
done

# The documents' SQL, typed by a role that owns its database, with the demo's
# rows.  Parameters become an id that is a user's and nothing else's.
run_psql() {
	psql -X -q -At "$@"
}

# sql_of FILE: an error that is meant to happen is shown after its statement
sql_of() {
	if [[ $1 == *.sql ]]; then
		# the documents before have made the role that the demo's application has
		printf 'GRANT web TO appdb_docs_owner;\n\\i %s\n' "$1"
		return
	fi
	awk '/^ *```sql$/ { f = 1; next } /^ *```/ { f = 0 } f' "$1" | sed 's/\$[1-9]/(SELECT min(id::text)::uuid FROM appdb.users)/g'
}

shown_errors() {
	grep '^ERROR: ' "$1" | sort
}

run_psql -d postgres >/dev/null 2>"$work/err" <<'SQL'
SET client_min_messages = error;
DROP DATABASE IF EXISTS appdb_docs;
DROP ROLE IF EXISTS appdb_docs_owner, web;
CREATE ROLE appdb_docs_owner LOGIN CREATEROLE;
SQL
for file in README.md docs/operations.md docs/upgrading.md docs/access.md docs/memberships.md docs/find.md docs/search.md docs/tasks.md docs/clients.md docs/patterns/database-design.md \
	demo/tour.sql demo/access.sql demo/soft_delete.sql demo/next.sql; do
	run_psql -d postgres -c 'CREATE DATABASE appdb_docs OWNER appdb_docs_owner TEMPLATE template0'
	PGUSER=appdb_docs_owner PGOPTIONS='-c client_min_messages=warning' run_psql -v ON_ERROR_STOP=1 -d appdb_docs \
		-c 'CREATE EXTENSION appdb' -f demo/fill.sql >"$work/err" 2>&1 || not_ok "$file: the demo's rows" <"$work/err"
	# what a role of an application has; the installation gives it to nobody
	run_psql -d appdb_docs >/dev/null 2>"$work/err" <<-'SQL'
		SELECT format('GRANT EXECUTE ON FUNCTION %s TO appdb_docs_owner', f)
		FROM unnest(appdb._app_functions() || 'appdb.impersonate(uuid, bool)'::regprocedure) AS f \gexec
	SQL
	sql_of "$file" >"$work/doc.sql"
	PGUSER=appdb_docs_owner run_psql -d appdb_docs -f "$work/doc.sql" >"$work/out" 2>&1
	sed -n 's/^.*ERROR: /ERROR: /p' "$work/out" | sort >"$work/got"
	shown_errors "$file" >"$work/expected"
	if [ ! -s "$work/doc.sql" ]; then
		not_ok "$file: its SQL works" <<<'no SQL found'
	elif diff "$work/expected" "$work/got" >"$work/diff"; then
		ok "$file: its SQL works"
	else
		not_ok "$file: its SQL works" < <(cat "$work/diff" "$work/out")
	fi
	run_psql -d postgres -c 'DROP DATABASE appdb_docs'
done
run_psql -d postgres -c 'DROP ROLE IF EXISTS web' -c 'DROP ROLE appdb_docs_owner'

is "lock files name no registry" "$(git ls-files -z '*package-lock.json' 2>/dev/null | xargs -0r grep -l '"resolved": "http')" ''

# Code in other languages is from files that other tests run.
if command -v python3 >/dev/null; then
	python3 - >"$work/out" <<-'PYTHON'
		import re, glob
		files = [open(f).read() for p in ("examples/**/*", "test/clients/**/*") for e in (".ts", ".mjs", ".py", ".pl", ".rb", ".php")
		         for f in glob.glob(p + e, recursive=True) if "node_modules" not in f]
		blocks = re.findall(r"^```(?:ts|js|python|perl|ruby|php)\n(.*?)^```", open("docs/clients.md").read(), re.M | re.S)
		assert len(blocks) > 10
		for block in blocks:
		    if not any(block.rstrip("\n") in f for f in files):
		        print("in no file that is tested:\n" + block)
	PYTHON
	is "docs/clients.md: its code is tested" "$(cat "$work/out")" ''
else
	ok "docs/clients.md: its code is tested # SKIP needs python3"
fi

done_testing
