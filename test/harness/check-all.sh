#!/bin/bash
#
# check-all.sh: "make check" on every supported version of PostgreSQL that
# Debian has: the machine's own, and the others in throw-away roots of other
# Debian suites, which mmdebstrap makes; and pg_upgrade from 15 to 18.  Takes
# root or sudo.
#
#   check-all.sh [--only-roots] [VERSION...]
#
# The roots (1.5 GB each) are kept in ~/.cache/appdb/roots, or $APPDB_ROOTS;
# delete them to have them made anew.

set -euo pipefail

if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "appdb: make check-all takes root or sudo (it makes roots of other Debian suites)" >&2
		exit 1
	}
	exec sudo APPDB_ROOTS="${APPDB_ROOTS:-${XDG_CACHE_HOME:-$HOME/.cache}/appdb/roots}" "$0" "$@"
fi

. "$(dirname "$0")/cluster.sh"
cd "$TOP"

roots=${APPDB_ROOTS:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/appdb/roots}
declare -A suite=([15]=bookworm [17]=trixie [18]=forky)

only_roots=
versions=()
for arg in "$@"; do
	case $arg in
		--only-roots) only_roots=1 ;;
		*) versions+=("$arg") ;;
	esac
done
[ ${#versions[@]} -gt 0 ] || versions=(15 17 18)

# where this machine gets Debian's packages from
mirror() {
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

make_root() {
	local version=$1 root=$roots/pg$1 log=$TOP/tmp/root-$1.log from
	[ ! -d "$root" ] || return 0
	command -v mmdebstrap >/dev/null || install_packages mmdebstrap
	say "Making a root of Debian ${suite[$version]} for PostgreSQL $version in $root"
	mkdir -p "$roots"
	rm -rf "$root.new"
	from=$(mirror)
	if ! mmdebstrap --variant=minbase \
		--include="make,gcc,libc6-dev,perl,postgresql-$version,postgresql-server-dev-$version,postgresql-$version-pgtap" \
		--aptopt='APT::Install-Recommends "false"' --aptopt='Acquire::Check-Valid-Until "false"' \
		"${suite[$version]}" "$root.new" ${from:+"$from"} >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "mmdebstrap failed; its log is $log"
	fi
	mv "$root.new" "$root"
}

# PostgreSQL 15 beside 18: its first Debian suite has it.  Not the newest of 15,
# whose catalogs an 18 of the same day may refuse (docs/operations.md).
add_old_server() {
	local root=$roots/pg18 log=$TOP/tmp/root-15-in-18.log from
	[ ! -x "$root/usr/lib/postgresql/15/bin/initdb" ] || return 0
	say "Adding PostgreSQL 15 to the root of 18"
	from=$(mirror)
	echo "deb ${from:-http://deb.debian.org/debian} bookworm main" >"$root/etc/apt/sources.list.d/bookworm.list"
	mkdir -p "$root/etc/postgresql-common/createcluster.d"
	echo 'create_main_cluster = false' >"$root/etc/postgresql-common/createcluster.d/appdb.conf"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	# shellcheck disable=SC2016
	if ! unshare --mount --pid --fork --kill-child --propagation private sh -eu -c '
		mount -t proc proc "$1/proc"
		exec chroot "$1" env DEBIAN_FRONTEND=noninteractive sh -eu -c "
			apt-get update -q -o Acquire::Check-Valid-Until=false
			apt-get install -y -q --no-install-recommends postgresql-15 postgresql-server-dev-15"' sh "$root" </dev/null >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "PostgreSQL 15 could not be added; the log is $log"
	fi
}

# in_root VERSION COMMAND...: run in the checkout as it is, without what git
# ignores, in a directory of the root.
in_root() {
	local root=$roots/pg$1
	shift
	exec 8>"$root.lock"
	flock 8
	rm -rf "$root/build"
	mkdir "$root/build"
	git -c safe.directory='*' ls-files -z -co --exclude-standard |
		while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
		tar -c --null -T - | tar -x -C "$root/build" --no-same-owner
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child --propagation private sh -eu -c '
		root=$1
		mount -t proc proc "$root/proc"
		mkdir -p "$root/dev/shm"
		mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
		for d in null zero random urandom; do
			[ -c "$root/dev/$d" ] || { : >"$root/dev/$d"; mount --bind "/dev/$d" "$root/dev/$d"; }
		done
		shift
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" "$@"' sh "$root" "$@" </dev/null
}

passed=0 failed=0
PACKAGE_LOG=$TOP/tmp/packages.log
mkdir -p tmp
trap 'exit 130' INT
trap 'exit 143' TERM

# the machine's own server stands for its version
own=
if look_for_postgres; then
	own=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
fi

for version in "${versions[@]}"; do
	[ "$version" = "$own" ] && continue
	[ -n "${suite[$version]:-}" ] || die "no Debian suite known that has PostgreSQL $version"
	make_root "$version"
done
if [ -n "$only_roots" ]; then
	if [[ " ${versions[*]} " == *" 18 "* ]]; then add_old_server; fi
	exit 0
fi

summary=()
for version in "${versions[@]}"; do
	say
	say "== PostgreSQL $version"
	log=tmp/check-$version.log
	status=0
	if [ "$version" = "$own" ]; then
		PG_CONFIG=$PG_CONFIG test/harness/check.sh </dev/null 2>&1 | tee "$log" || status=$?
	else
		in_root "$version" PG_CONFIG="/usr/lib/postgresql/$version/bin/pg_config" /build/test/harness/check.sh 2>&1 | tee "$log" || status=$?
	fi
	last=$(tail -n 1 "$log")
	if [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
		p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
		[ $status = 0 ] || [ "$f" != 0 ] || f=1
	else
		p=0 f=1
		last="broke off (exit status $status)"
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	summary+=("PostgreSQL $version: $last")
done

if [[ " ${versions[*]} " == *" 18 "* ]]; then
	say
	say "== pg_upgrade from 15 to 18"
	add_old_server
	log=tmp/check-pg_upgrade.log
	status=0
	in_root 18 /build/test/upgrade/pg_upgrade.sh /usr/lib/postgresql/15/bin/pg_config /usr/lib/postgresql/18/bin/pg_config 2>&1 | tee "$log" || status=$?
	p=$(grep -c '^ok ' "$log") || :
	f=$(grep -c '^not ok ' "$log") || :
	[ $status = 0 ] || [ "$f" != 0 ] || f=1
	passed=$((passed + p))
	failed=$((failed + f))
	summary+=("pg_upgrade from 15 to 18: $p passed, $f failed")
fi

say
printf '%s\n' "${summary[@]}"
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
