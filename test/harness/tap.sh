# shellcheck shell=bash
#
# tap.sh: assertions for shell tests, in the Test Anything Protocol.  Sourced.

tap_count=0
tap_failed=0

ok() {
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $1"
}

# not_ok NAME: explanation on standard input
not_ok() {
	tap_count=$((tap_count + 1))
	tap_failed=$((tap_failed + 1))
	echo "not ok $tap_count - $1"
	head -n "${TAP_LINES:-40}" | cut -c 1-600 | sed 's/^/#   /'
}

# is NAME GOT EXPECTED
is() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" < <(printf 'got:\n%s\nexpected:\n%s\n' "$2" "$3")
	fi
}

# like NAME GOT REGEX
like() {
	if [[ $2 =~ $3 ]]; then
		ok "$1"
	else
		not_ok "$1" < <(printf 'got:\n%s\nexpected to match:\n%s\n' "$2" "$3")
	fi
}

done_testing() {
	echo "1..$tap_count"
	[ $tap_failed = 0 ]
}
