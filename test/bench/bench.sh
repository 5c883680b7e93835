# shellcheck shell=bash
#
# bench.sh: runs variants of a statement in turn, in one session, and prints
# medians and ratios.  Sourced by test/bench/*.bench:
#
#   variant NAME 'SQL'          what to measure: any statements, on one line or more
#   before NAME 'SQL'           statements before each run of it, not measured
#   in_turn ROUNDS DIVISOR      A B C A B C ...; DIVISOR: rows or calls in a run
#
# in_turn prints for each variant the median of its runs in ns per row, and the
# median of its ratios to the last variant, which is what it is compared with.
# Times are CPU time of the backend, user and system, by /proc/self/stat: in steps
# of 10 ms, so let a run take a second.

variants=()
declare -A variant_sql before_sql

variant() {
	variants+=("$1")
	variant_sql[$1]=$2
}

before() {
	before_sql[$1]=$2
}

bench_psql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

in_turn() {
	local rounds=$1 divisor=$2 round name
	{
		cat <<'SQL'
CREATE TEMP TABLE bench_run (variant text, place int, round int, seconds float8);
CREATE TEMP TABLE bench_clock (cpu float8, wall timestamptz);
-- utime + stime of this backend, in seconds (100 ticks to the second), and the clock
CREATE OR REPLACE FUNCTION pg_temp.bench_cpu() RETURNS float8 LANGUAGE sql VOLATILE
	AS $$ SELECT (f[12]::float8 + f[13]::float8) / 100
		FROM regexp_split_to_array(regexp_replace(pg_read_file('/proc/self/stat'), '^.*\) ', ''), ' ') AS f $$;
\o /dev/null
SQL
		for ((round = 0; round <= rounds; round++)); do
			local place=0
			for name in "${variants[@]}"; do
				place=$((place + 1))
				printf '%s;\n' "${before_sql[$name]:-SELECT 1}"
				printf 'TRUNCATE bench_clock; INSERT INTO bench_clock SELECT pg_temp.bench_cpu(), clock_timestamp();\n'
				printf '%s;\n' "${variant_sql[$name]}"
				# round 0 warms up
				printf "INSERT INTO bench_run SELECT '%s', %d, %d, pg_temp.bench_cpu() - cpu FROM bench_clock;\n" \
					"${name//\'/\'\'}" $place "$round"
			done
		done
		cat <<SQL
\\o
DELETE FROM bench_run WHERE round = 0;
WITH last AS (SELECT * FROM bench_run WHERE place = (SELECT max(place) FROM bench_run))
SELECT format('%-40s %12s ns   ratio %s', r.variant,
	round((percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds) * 1e9 / $divisor)::numeric, 1),
	round((percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / nullif(l.seconds, 0)))::numeric, 3))
FROM bench_run AS r JOIN last AS l USING (round)
GROUP BY r.variant, r.place ORDER BY r.place;
SQL
	} | bench_psql
	variants=()
	variant_sql=()
	before_sql=()
}
