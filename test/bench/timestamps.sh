#!/bin/bash
#
# timestamps.sh: what the trigger that keeps updated_at adds to an UPDATE.

. "$(dirname "$0")/lib.bash"

# Many short runs rather than a few long ones: the difference of two runs is
# what counts here, and a machine has quiet moments and others.
BENCH_RUNS=${BENCH_RUNS:-31}
rows=${BENCH_ROWS:-100000}

bench_begin "updated_at: an UPDATE of $rows rows"

# a table of each kind, with columns like those of app_data.users
variants=(none appdb appdb_same plpgsql builtin)
if sql -c "CREATE EXTENSION moddatetime" 2>/dev/null; then
	variants+=(moddatetime)
fi
sql -c "CREATE FUNCTION plpgsql_updated_at() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END'"
for variant in "${variants[@]}"; do
	sql -c "CREATE TABLE t_$variant (
		id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), name text, email text, email_verified boolean NOT NULL DEFAULT false,
		email_verified_at timestamptz(3), image text, visits int NOT NULL DEFAULT 0, metadata jsonb NOT NULL DEFAULT '{}',
		created_at timestamptz(3) NOT NULL DEFAULT now(), updated_at timestamptz(3) NOT NULL DEFAULT now(), deleted_at timestamptz
		) WITH (fillfactor = 45, autovacuum_enabled = off)"
	case $variant in
		appdb*) call='appdb.timestamps()' ;;
		plpgsql) call='plpgsql_updated_at()' ;;
		moddatetime) call="moddatetime('updated_at')" ;;
		builtin) call='suppress_redundant_updates_trigger()' ;;
		*) continue ;;
	esac
	sql -c "CREATE TRIGGER t BEFORE UPDATE ON t_$variant FOR EACH ROW EXECUTE FUNCTION $call"
done

for variant in "${variants[@]}"; do
	sql -c "INSERT INTO t_$variant (name, email) SELECT 'Person ' || g, 'person' || g || '@example.com' FROM generate_series(1, $rows) AS g"
done
# the first round only warms up
for ((run = -1; run < BENCH_RUNS; run++)); do
	for variant in "${variants[@]}"; do
		change='visits = visits + 1'
		[ "$variant" != appdb_same ] || change='visits = visits'
		# makes room in the pages, so that updates can be HOT
		sql -c "VACUUM t_$variant"
		measure "$variant" "UPDATE t_$variant SET $change"
		[ $run != -1 ] || rm "$BENCH_OUT/$variant"
	done
done
sql -c "SELECT 1.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relid = 't_appdb'::regclass" >"$BENCH_OUT/hot"

figure "without a trigger" "$(per none "$rows")" "ns a row"
for variant in "${variants[@]}"; do
	[ "$variant" != none ] || continue
	minus "$variant" none "over_$variant"
	case $variant in
		appdb) text="appdb.timestamps() adds" ;;
		appdb_same) text="the same where no row changes" ;;
		plpgsql) text="PL/pgSQL adds" ;;
		builtin) text="suppress_redundant_updates_trigger() adds" ;;
		*) text="$variant adds" ;;
	esac
	figure "$text" "$(per "over_$variant" "$rows")" "ns a row"
done
[ ! -f "$BENCH_OUT/over_moddatetime" ] ||
	ratio "appdb / moddatetime" "$(median over_appdb)" "$(median over_moddatetime)" 0.6
ratio "appdb / PL/pgSQL" "$(median over_appdb)" "$(median over_plpgsql)" 0.5
figure "HOT updates, of all" "$(awk '{ printf "%.4f", $1 }' "$BENCH_OUT/hot")" "target 1"
