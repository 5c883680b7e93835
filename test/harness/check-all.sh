#!/bin/bash
#
# check-all.sh: "make check" on every supported version of PostgreSQL that
# Debian has: the machine's own, and the others in throw-away roots of other
# Debian suites, which mmdebstrap makes.  Takes root or sudo.
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

# The checkout as it is, without what git ignores, in a directory of the root.
check_in_root() {
	local root=$roots/pg$1
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
		exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" \
			PG_CONFIG="/usr/lib/postgresql/$2/bin/pg_config" /build/test/harness/check.sh' sh "$root" "$1" </dev/null
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
[ -z "$only_roots" ] || exit 0

summary=()
for version in "${versions[@]}"; do
	say
	say "== PostgreSQL $version"
	log=tmp/check-$version.log
	status=0
	if [ "$version" = "$own" ]; then
		PG_CONFIG=$PG_CONFIG test/harness/check.sh </dev/null 2>&1 | tee "$log" || status=$?
	else
		check_in_root "$version" 2>&1 | tee "$log" || status=$?
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

say
printf '%s\n' "${summary[@]}"
say "$passed passed, $failed failed"
[ $failed = 0 ] && [ $passed -gt 0 ]
