#!/bin/bash
#
# docs.sh: docs/database/schema.md says what the catalogs say, and the
# documents' links lead somewhere.
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
	{ echo 'Run "make docs" and commit docs/database/schema.md.'; cat "$work/diff"; } |
		not_ok "schema.md is up to date"
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
		elif [[ $link == *#* ]] && ! anchors "$target" | grep -qxF -e "${link#*#}"; then
			echo "$link: no such heading" >>"$work/broken"
		fi
	done < <(links "$file")
	if [ -s "$work/broken" ]; then
		not_ok "$file: links lead somewhere" <"$work/broken"
	else
		ok "$file: links lead somewhere"
	fi
done

done_testing
