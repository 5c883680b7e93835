# shellcheck shell=bash
#
# lib.bash: what the benchmarks share.  Sourced by test/bench/*.sh, which
# "make bench" runs with PGHOST, PGPORT and PGUSER naming a server that appdb
# is installed on.
#
# What is compared runs in turn (A B C A B C ...), and medians are compared:
# machines are noisy, and absolute times mean little.  Times are the CPU time
# of the backend, user and system.
#
#   BENCH_RUNS   how often each is run, instead of each benchmark's own number
#   BENCH_ROWS   rows or calls, instead of each benchmark's own number
#   BENCH_RAW    a directory for the single figures

set -euo pipefail

export BENCH_DB=appdb_bench_$$
BENCH_OUT=$(mktemp -d)
trap 'bench_end' EXIT

bench_end() {
	psql -X -q -d postgres -c "DROP DATABASE IF EXISTS $BENCH_DB WITH (FORCE)" >/dev/null 2>&1 || :
	if [ -n "${BENCH_RAW:-}" ]; then
		mkdir -p "$BENCH_RAW"
		cp "$BENCH_OUT"/* "$BENCH_RAW"
	fi
	rm -rf "$BENCH_OUT"
}

# run SQL in the benchmark's database
sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -d "$BENCH_DB" "$@"
}

# a database with appdb in it
bench_begin() {
	psql -X -q -d postgres -v ON_ERROR_STOP=1 -c "CREATE DATABASE $BENCH_DB" \
		-c "ALTER DATABASE $BENCH_DB SET jit = off" \
		-c "ALTER DATABASE $BENCH_DB SET max_parallel_workers_per_gather = 0" \
		-c "ALTER DATABASE $BENCH_DB SET client_min_messages = warning"
	${BENCH_SETUP:-sql -c "CREATE EXTENSION appdb"}
	BENCH_VERSION=$(sql -c "SELECT current_setting('server_version_num')::int / 10000")
	printf '\n%s (PostgreSQL %s, %s runs each)\n' "$1" "$BENCH_VERSION" "$BENCH_RUNS"
}

# measure NAME SQL: CPU seconds of one statement, noted under NAME
measure() {
	PGOPTIONS='-c log_statement_stats=on -c client_min_messages=log' \
		sql -c "$2" 2>&1 >/dev/null |
		awk -v name="$1" '
			/s user,.*s system/ { sub(/^[^0-9]*/, ""); cpu = $1 + $4; found = 1; exit }
			{ other = other $0 "\n" }
			END {
				if (!found) { printf "%s", other > "/dev/stderr"; exit 1 }
				printf "%.6f\n", cpu
			}' >>"$BENCH_OUT/$1"
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
