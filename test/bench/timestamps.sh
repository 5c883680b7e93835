#!/bin/bash
#
# timestamps.sh: what the trigger that keeps updated_at adds to an UPDATE.

. "$(dirname "$0")/lib.bash"

rows=${BENCH_ROWS:-1000000}

bench_begin "updated_at: an UPDATE of $rows rows"

# a table of each kind, with the columns that tables of applications have
variants=(none appdb appdb_same plpgsql builtin)
if sql -c "CREATE EXTENSION moddatetime" 2>/dev/null; then
	variants+=(moddatetime)
fi
sql -c "CREATE FUNCTION plpgsql_updated_at() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.updated_at := now(); RETURN NEW; END'"
for variant in "${variants[@]}"; do
	sql -c "CREATE TABLE t_$variant (
		id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), title text NOT NULL, position int NOT NULL, metadata jsonb NOT NULL DEFAULT '{}',
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

for ((run = 0; run < BENCH_RUNS; run++)); do
	for variant in "${variants[@]}"; do
		# only one table has rows at a time
		sql -c "INSERT INTO t_$variant (title, position) SELECT 'Title number ' || g, g FROM generate_series(1, $rows) AS g" \
			-c "VACUUM ANALYZE t_$variant" -c "CHECKPOINT"
		change='position = position + 1'
		[ "$variant" != appdb_same ] || change='position = position'
		measure "$variant" "UPDATE t_$variant SET $change"
		sql -c "SELECT pg_stat_force_next_flush()" \
			-c "SELECT 1.0 * n_tup_hot_upd / n_tup_upd FROM pg_stat_user_tables WHERE relid = 't_$variant'::regclass" |
			sed 1d >"$BENCH_OUT/hot_$variant"
		sql -c "TRUNCATE t_$variant"
	done
done

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
figure "HOT updates, of all" "$(median hot_appdb)" "target 1"
