#!/bin/bash
#
# run.sh: benchmarks on a private server ("make bench").
#
#   run.sh [--keep] [NAME...]
#
#   NAME      run only the benchmarks whose name has this in it
#   --keep    leave the server running
#
# A benchmark is an executable test/bench/NAME.bench (bash, which sources
# test/bench/bench.sh). It finds an empty database with the extension by
# PGHOST, PGPORT, PGUSER and PGDATABASE, and prints its results; absolute times
# mean little on a shared machine: what counts are ratios of runs taken in
# turn (bench.sh helps with that). The server has the library preloaded.

set -euo pipefail
. "$(dirname "$0")/../harness/cluster.sh"
cd "$TOP"

keep=''
names=()
for arg in "$@"; do
	case $arg in
		--keep) keep=1 ;;
		-*) die "unknown option $arg" ;;
		*) names+=("$arg") ;;
	esac
done

wanted() {
	local name
	[ ${#names[@]} -gt 0 ] || return 0
	for name in "${names[@]}"; do
		[[ $1 == *"$name"* ]] && return 0
	done
	return 1
}

shopt -s nullglob
find_postgres
choose_base
build_extension

trap '[ -n "$keep" ] || cluster_stop immediate' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cluster_create bench
# as a server for real work, but for what makes figures vary
cluster_configure "shared_buffers = '2GB'" "max_wal_size = '16GB'" "checkpoint_timeout = '1h'" "work_mem = '64MB'" \
	"maintenance_work_mem = '512MB'" "autovacuum = off" "jit = off" "max_parallel_workers_per_gather = 0" \
	"session_preload_libraries = 'appdb'"
cluster_start

say "$("$PG_CONFIG" --version), $(nproc) cores"
ran=0 status=0
for file in test/bench/*.bench; do
	name=$(basename "$file" .bench)
	wanted "$name" || continue
	ran=$((ran + 1))
	say
	say "== $name"
	psql -X -q -d postgres -v ON_ERROR_STOP=1 -c 'SET client_min_messages = error' -c 'DROP DATABASE IF EXISTS bench' -c 'CREATE DATABASE bench'
	psql -X -q -d bench -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION appdb'
	APPDB_TOP=$TOP PGDATABASE=bench bash "$file" || { status=1; say "$name FAILED"; }
done
[ $ran -gt 0 ] || die "no benchmark of that name"
if [ -n "$keep" ]; then
	say "The server still runs: psql -h $PGHOST -U postgres   (stop: pg_ctl -D $PGHOST/data stop)"
fi
exit $status
