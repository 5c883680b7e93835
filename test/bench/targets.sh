# shellcheck shell=bash
#
# targets.sh: single statements measured to the microsecond, for benchmarks that
# compare differences (what a trigger adds, what a call costs) with a target.
# Sourced by test/bench/*.bench; bench.sh is for plain ratios.
#
# The benchmark itself writes down what is to run in turn (A B C A B C ...), all
# of it runs in one session, and medians are compared: machines are noisy, and
# absolute times mean little.  Times are the CPU time of the backend, user and
# system.
#
#   BENCH_RUNS   how often each is run, instead of each benchmark's own number
#   BENCH_ROWS   rows or calls, instead of each benchmark's own number
#   BENCH_RAW    a directory for the single figures

set -euo pipefail

BENCH_OUT=$(mktemp -d)
trap 'bench_end' EXIT

bench_end() {
	if [ -n "${BENCH_RAW:-}" ]; then
		mkdir -p "$BENCH_RAW"
		cp "$BENCH_OUT"/* "$BENCH_RAW"
	fi
	rm -rf "$BENCH_OUT"
}

# run SQL in the benchmark's database, at once
sql() {
	PGOPTIONS='-c client_min_messages=warning' psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

bench_begin() {
	BENCH_VERSION=$(sql -c "SELECT current_setting('server_version_num')::int / 10000")
	printf '%s, %s runs each\n' "$1" "$BENCH_RUNS"
}

# unmeasured SQL: write down a statement between those that are measured
unmeasured() {
	printf '%s;\n' "$1" >>"$BENCH_OUT/script.sql"
}

# measure NAME SQL: write down a statement whose time to note under NAME
measure() {
	printf 'SET log_statement_stats = on;\n\\warn @%s\n%s;\nSET log_statement_stats = off;\n' \
		"$1" "$2" >>"$BENCH_OUT/script.sql"
}

# run what is written down
run_all() {
	PGOPTIONS='-c client_min_messages=log' psql -X -q -At -v ON_ERROR_STOP=1 -f "$BENCH_OUT/script.sql" \
		>/dev/null 2>"$BENCH_OUT/log" || { grep -a -A3 ERROR "$BENCH_OUT/log" >&2; exit 1; }
	awk -v dir="$BENCH_OUT" '
		/^@/ { name = substr($0, 2) }
		/s user,.*s system/ && name != "" {
			sub(/^[^0-9]*/, "")
			printf "%.6f\n", $1 + $4 >(dir "/" name)
			name = ""
		}' "$BENCH_OUT/log"
	rm "$BENCH_OUT/script.sql" "$BENCH_OUT/log"
}

# median of the numbers noted under NAME
median() {
	sort -g "$BENCH_OUT/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# minus A B NAME: the differences of A and B, run by run, noted under NAME
minus() {
	paste "$BENCH_OUT/$1" "$BENCH_OUT/$2" | awk '{ printf "%.6f\n", $1 - $2 }' >"$BENCH_OUT/$3"
}

# per NAME N: the median of NAME in nanoseconds for each of N
per() {
	awk -v t="$(median "$1")" -v n="$2" 'BEGIN { printf "%.1f", t * 1e9 / n }'
}

# figure TEXT VALUE UNIT
figure() {
	printf '  %-58s %10s %s\n' "$1" "$2" "$3"
}

# ratio TEXT A B TARGET: A / B beside what it should be
ratio() {
	awk -v text="$1" -v a="$2" -v b="$3" -v target="$4" 'BEGIN {
		r = a / b
		printf "  %-58s %10.3f target <= %s%s\n", text, r, target, r <= target ? "" : "   MISSED"
	}'
}
