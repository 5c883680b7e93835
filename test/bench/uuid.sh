#!/bin/bash
#
# uuid.sh: what a UUID costs, and what rows with such a key cost.

. "$(dirname "$0")/lib.bash"

BENCH_RUNS=${BENCH_RUNS:-7}
calls=${BENCH_ROWS:-1000000}
rows=${BENCH_ROWS:-2000000}

bench_begin "UUIDs: $calls calls; $rows rows inserted"

# ten calls a row, so that the row itself weighs little
ten() {
	local list="" i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		list+="${list:+, }$1"
	done
	# the rows are made and not sent
	printf 'SELECT %s FROM generate_series(1, %d) AS g OFFSET %d' "$list" $((calls / 10)) $((calls / 10))
}

native=''
[ "$BENCH_VERSION" -lt 18 ] || native=1

for ((run = 0; run < BENCH_RUNS; run++)); do
	measure empty "$(ten g)"
	measure uuidv7 "$(ten 'appdb.uuidv7()')"
	measure random "$(ten 'gen_random_uuid()')"
	measure shifted "$(ten "appdb.uuidv7('-1 hour'::interval)")"
	[ -z "$native" ] || measure native "$(ten 'pg_catalog.uuidv7()')"
done
minus uuidv7 empty uuidv7_only
minus random empty random_only
minus shifted empty shifted_only
figure "appdb.uuidv7()" "$(per uuidv7_only "$calls")" ns
figure "appdb.uuidv7(interval)" "$(per shifted_only "$calls")" ns
figure "gen_random_uuid()" "$(per random_only "$calls")" ns
ratio "appdb.uuidv7() / gen_random_uuid()" "$(median uuidv7_only)" "$(median random_only)" 0.04
if [ -n "$native" ]; then
	minus native empty native_only
	figure "pg_catalog.uuidv7()" "$(per native_only "$calls")" ns
	ratio "appdb.uuidv7() / pg_catalog.uuidv7()" "$(median uuidv7_only)" "$(median native_only)" 0.06
fi

sql -c "CREATE UNLOGGED TABLE unused (a int)" \
	-c "CREATE TABLE key_v7 (id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), n int)" \
	-c "CREATE TABLE key_v4 (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), n int)" \
	-c "CREATE TABLE key_bigint (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int)"
for ((run = 0; run < BENCH_RUNS; run++)); do
	for key in v7 v4 bigint; do
		sql -c "TRUNCATE key_v7, key_v4, key_bigint" -c "CHECKPOINT"
		measure "insert_$key" "INSERT INTO key_$key (n) SELECT g FROM generate_series(1, $rows) AS g"
		sql -c "SELECT pg_relation_size('key_${key}_pkey')" >"$BENCH_OUT/size_$key"
	done
done
for key in v7 v4 bigint; do
	figure "insert, key $key: a row" "$(per insert_$key "$rows")" ns
	figure "insert, key $key: index" "$(awk '{ printf "%.1f", $1 / 1048576 }' "$BENCH_OUT/size_$key")" MB
done
ratio "insert, v7 / v4" "$(median insert_v7)" "$(median insert_v4)" 0.2
ratio "insert, v7 / bigint identity" "$(median insert_v7)" "$(median insert_bigint)" 0.9
ratio "index, v7 / v4" "$(median size_v7)" "$(median size_v4)" 0.85
