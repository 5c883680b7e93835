#!/bin/bash
#
# check.sh: builds appdb with warnings as errors and runs every test on a
# private server.  Called by "make check".
#
#   check.sh [--stress] [--once] [--keep] [NAME...]
#
#   NAME      run only the tests whose name has this in it: "pgtap/auth",
#             "isolation", "restore"
#   --once    without the second round, where the library is preloaded
#   --stress  only the stress tests, for minutes instead of seconds
#   --keep    leave the server running, and say how to connect
#
# The suites, all found by their place:
#
#   regress    test/sql/*.sql              pg_regress, results in expected/
#   isolation  test/isolation/specs/*.spec pg_isolation_regress
#   pgtap      test/pgtap/*.sql            each in a new database that has the
#                                          extensions appdb and pgtap
#   shell      test/*.sh, test/*/*.t       executables: TAP, or the exit status
#
# The first three run twice: with the library loaded by its first use and
# DELETEs on live views done row by row, and with session_preload_libraries =
# 'appdb' and them done at once.
#
# The last line is "N passed, N failed".  A pgTAP or TAP assertion counts as
# one, and so do a pg_regress file, an isolation spec and a script without TAP.

set -euo pipefail
. "$(dirname "$0")/cluster.sh"
cd "$TOP"

once='' stress='' keep=''
names=()
for arg in "$@"; do
	case $arg in
		--once) once=1 ;;
		--stress) stress=1 ;;
		--keep) keep=1 ;;
		-*) die "unknown option $arg" ;;
		*) names+=("$arg") ;;
	esac
done

passed=0 failed=0
failures=()

finish() {
	local status=$?
	trap - EXIT INT TERM
	if [ -z "$keep" ] || [ $status -ge 128 ]; then
		cluster_stop immediate
		# the log of a failed run may be wanted
		[ $status != 0 ] || rm -rf "${CLUSTER:?}" || :
	else
		say "The server still runs: psql -h $PGHOST -U postgres   (stop: pg_ctl -D $PGHOST/data stop)"
	fi
	exit $status
}

verdict() {
	if [ ${#failures[@]} -gt 0 ]; then
		say
		say "Failed:"
		printf '  %s\n' "${failures[@]}"
	fi
	say
	say "$passed passed, $failed failed"
	[ $failed = 0 ] && [ $passed -gt 0 ]
}

wanted() {
	local name
	[ ${#names[@]} -gt 0 ] || return 0
	for name in "${names[@]}"; do
		[[ $1 == *"$name"* ]] && return 0
	done
	return 1
}

# report NAME PASSED FAILED
report() {
	passed=$((passed + $2))
	failed=$((failed + $3))
	if [ "$3" = 0 ]; then
		printf '%-46s %5d passed\n' "$1" "$2"
	else
		printf '%-46s %5d passed, %d FAILED\n' "$1" "$2" "$3"
		failures+=("$1")
	fi
}

# Counts a file of TAP: "passed failed".  A plan that is not met, no plan and
# a bad exit status that no assertion explains are failures too.
count_tap() {
	awk -v status="$2" '
		/^ok( |$)/ { pass++ }
		/^not ok( |$)/ { if ($0 ~ /# *(TODO|SKIP)/) pass++; else fail++ }
		/^Bail out!/ { fail++ }
		/^1\.\.[0-9]+/ { plan = substr($1, 4) + 0; planned = 1 }
		END {
			if (!planned || plan != pass + fail) fail++
			else if (status != 0 && !fail) fail++
			print pass + 0, fail + 0
		}' "$1"
}

# report_tap NAME FILE STATUS
report_tap() {
	local p f
	read -r p f < <(count_tap "$2" "$3")
	report "$1" "$p" "$f"
	# what could not be tested here, and what that takes
	sed -n 's/^ok .*# SKIP */    skipped: /p' "$2" | sort -u
	if [ "$f" != 0 ]; then
		grep -v '^ok\>' "$2" | sed 's/^/    /' | head -n 200 || :
	fi
}

# == suites =================================================================

# pg_regress and pg_isolation_regress, by "make installcheck"
regress_suite() {
	local suite=$1 variable=$2 other=$3 diffs=$4 round=$5 status=0 out=tmp/$1.out all=() expected name line p=0 f=0
	case $suite in
		regress) all=(test/sql/*.sql) expected=expected ;;
		isolation) all=(test/isolation/specs/*.spec) expected=test/isolation/expected ;;
	esac
	local list=()
	for name in "${all[@]}"; do
		name=${name##*/}
		name=${name%.*}
		wanted "$suite/$name" || continue
		if [ -f "$expected/$name.out" ]; then
			list+=("$name")
		else
			# pg_regress would stop there
			f=$((f + 1))
			failures+=("$suite/$name$round: no $expected/$name.out")
		fi
	done
	if [ ${#list[@]} = 0 ]; then
		[ $f = 0 ] || report "$suite$round" 0 $f
		return 0
	fi

	rm -f "$diffs"
	make --no-print-directory PG_CONFIG="$PG_CONFIG" with_llvm=no WERROR=1 installcheck \
		"$variable=${list[*]}" "$other=" >"$out" 2>&1 || status=$?
	while read -r line; do
		if [[ $line =~ ^(test|ok|not\ ok)\ .*$ ]]; then
			name=$(sed -E 's/^(test|(not )?ok [0-9]+ +-)  *([^ ]+).*/\3/' <<<"$line")
			case $line in
				ok\ * | *\ ok\ *ms) [[ $line == not* ]] || { p=$((p + 1)); continue; } ;;
			esac
			f=$((f + 1))
			failures+=("$suite/$name$round")
		fi
	done <"$out"
	# a run that broke off
	if [ $status != 0 ] && [ $f = 0 ] || [ $((p + f)) -lt ${#list[@]} ]; then
		f=$((p + f < ${#list[@]} ? ${#list[@]} - p : f + 1))
		cat "$out"
	fi
	report "$suite$round" $p $f
	if [ $f != 0 ] && [ -f "$diffs" ]; then
		head -n 400 "$diffs"
	fi
}

pgtap_suite() {
	local round=$1 file name out status
	for file in test/pgtap/*.sql; do
		name=pgtap/$(basename "$file" .sql)
		wanted "$name" || continue
		out=tmp/pgtap.out
		status=0
		psql -X -q -d postgres -v ON_ERROR_STOP=1 -c 'DROP DATABASE IF EXISTS appdb_pgtap' \
			-c 'CREATE DATABASE appdb_pgtap TEMPLATE appdb_pgtap_template' 2>&1 | grep -v NOTICE || :
		psql -X -q -At -P pager=off -v ON_ERROR_STOP=1 -d appdb_pgtap -f "$file" >"$out" 2>&1 || status=$?
		report_tap "$name$round" "$out" $status
	done
}

pgtap_template() {
	local file found=''
	for file in test/pgtap/*.sql; do
		! wanted "pgtap/$(basename "$file" .sql)" || found=1
	done
	[ -n "$found" ] || wanted version || return 0
	psql -X -q -d postgres -v ON_ERROR_STOP=1 -c 'DROP DATABASE IF EXISTS appdb_pgtap_template' \
		-c 'CREATE DATABASE appdb_pgtap_template' 2>&1 | grep -v NOTICE || :
	psql -X -q -d appdb_pgtap_template -v ON_ERROR_STOP=1 -c 'CREATE EXTENSION appdb' -c 'CREATE EXTENSION pgtap'
}

shell_suite() {
	local file name out status
	for file in test/*.sh test/*/*.t; do
		[ -x "$file" ] || continue
		case $file in
			*stress*) ;;
			*) [ -z "$stress" ] || continue ;;
		esac
		name=shell/$(basename "$file")
		name=${name%.*}
		wanted "$name" || continue
		out=tmp/shell.out
		status=0
		timeout -k 10 1800 "$file" >"$out" 2>&1 </dev/null || status=$?
		if grep -q '^1\.\.[0-9]' "$out"; then
			report_tap "$name" "$out" $status
		elif [ $status = 0 ]; then
			report "$name" 1 0
		else
			report "$name" 0 1
			sed 's/^/    /' "$out" | tail -n 200
		fi
	done
}

# A crash of the server is a failure, whether or not a test saw it, and so is
# what valgrind has found in it.
server_log() {
	local found
	if [ -n "${APPDB_POSTGRES:-}" ]; then
		cluster_stop
	fi
	found=$(
		grep -aE 'PANIC:|TRAP:|was terminated by signal|runtime error:' "$CLUSTER/log" || :
		sed -n '/VALGRINDERROR-BEGIN/,/VALGRINDERROR-END/p' "$CLUSTER"/valgrind/*.log 2>/dev/null | head -n 1000 || :
	)
	if [ -n "$found" ]; then
		report "server log" 0 1
		say "$found"
	else
		report "server log" 1 0
	fi
}

# reloaded LIBRARIES-AND-PATH: until new sessions have them: a reload reaches the postmaster in its own time
reloaded() {
	until [ "$(psql -X -At -d postgres -c 'SHOW session_preload_libraries' -c 'SHOW appdb.rewrite_deletes')" = "$1" ]; do
		sleep 0.1
	done
}

# the version is said in the control file; the library and its script follow
version_test() {
	local said is
	wanted version || return 0
	said=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" appdb.control)
	is=$(psql -X -At -d appdb_pgtap_template -c 'SELECT appdb.version()' 2>&1) || :
	if [ "$said" = "$is" ]; then
		report "version" 1 0
	else
		report "version" 0 1
		say "    appdb.control: $said, appdb.version(): $is"
	fi
}

# == the run ================================================================

shopt -s nullglob
mkdir -p tmp
exec 9>tmp/check.lock
flock -n 9 || { say "Waiting for another run in this checkout."; flock 9; }

trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

find_postgres pgtap
choose_base
say "Building for $("$PG_CONFIG" --version)"
if ! build_extension; then
	failed=1 failures=(build)
	verdict || exit 1
fi

cluster_create check
cluster_configure "fsync = off" "shared_buffers = '128MB'" "max_prepared_transactions = 10" \
	"wal_level = logical" "max_connections = 100" "appdb.rewrite_deletes = off"
# Autovacuum comes when it likes: who has changed a table's privileges and then locks it, as DROP OWNED does,
# may have a deadlock with it.
[ -n "$stress" ] || cluster_configure "autovacuum_naptime = '1d'"
cluster_start

# for the scripts of the shell suite
export APPDB_TOP=$TOP APPDB_TMP=$TOP/tmp/scratch APPDB_STRESS=$stress APPDB_CLUSTER=$CLUSTER APPDB_INSTALLED=$BASE/root
rm -rf "$APPDB_TMP"
mkdir -p "$APPDB_TMP"

if [ -z "$stress" ]; then
	pgtap_template
	version_test
	for round in "" " (preloaded)"; do
		if [ -n "$round" ]; then
			[ -z "$once" ] || continue
			# the setting can be named where the library is loaded
			psql -X -q -d postgres -c "LOAD 'appdb'" -c "ALTER SYSTEM SET appdb.rewrite_deletes = on" \
				-c "ALTER SYSTEM SET session_preload_libraries = 'appdb'" \
				-c 'SELECT pg_catalog.pg_reload_conf()' >/dev/null
			reloaded "$(printf 'appdb\non')"
		fi
		regress_suite regress REGRESS ISOLATION regression.diffs "$round"
		regress_suite isolation ISOLATION REGRESS output_iso/regression.diffs "$round"
		pgtap_suite "$round"
	done
	psql -X -q -d postgres -c "LOAD 'appdb'" -c "ALTER SYSTEM SET appdb.rewrite_deletes = on" \
		-c "ALTER SYSTEM RESET session_preload_libraries" \
		-c 'SELECT pg_catalog.pg_reload_conf()' >/dev/null
	reloaded "$(printf '\non')"
fi
shell_suite
if [ $((passed + failed)) = 0 ]; then
	die "no test of that name"
fi
server_log
verdict
