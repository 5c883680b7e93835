#!/bin/bash
#
# lint.t: what "make lint-migrations" finds.  Each RULE.sql here breaks a rule,
# and RULE.out is what is said of it; good.sql breaks none.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/tap.sh

if ! rules=$(tools/run.sh lint-migrations.mjs --rules); then
	# CI has what it takes
	[ -z "${CI:-}" ] || exit 1
	ok "the checker # SKIP no node, or not its packages"
	done_testing
	exit
fi

cd test/lint || exit 1
for file in *.sql; do
	is "$file" "$(../../tools/run.sh lint-migrations.mjs --released released.sums "$file" | grep -e "^$file:" -A1 --no-group-separator)" "$(cat "${file%.sql}.out")"
done
for rule in $rules; do
	like "$rule has a test that breaks it" "$(grep -m 1 "^$rule.sql:[0-9]*: $rule:" "$rule.out" 2>&1)" "^$rule.sql:"
done
is "what breaks none passes" "$(../../tools/run.sh lint-migrations.mjs good.sql >/dev/null; echo $?)" 0
is "what breaks one does not" "$(../../tools/run.sh lint-migrations.mjs good.sql drop.sql >/dev/null; echo $?)" 1
is "a released file that is gone is missed" "$(../../tools/run.sh lint-migrations.mjs --released released.sums | grep gone)" \
	"released-gone.sql:1: released: is gone"
cd ../..
is "the migrations here pass" "$(make --no-print-directory lint-migrations)" ""

done_testing
