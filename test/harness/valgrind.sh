#!/bin/bash
#
# valgrind.sh: tests on a PostgreSQL that is built to find errors: with its
# assertions, and under valgrind, which it tells what its memory contexts hold.
# Called by "make check-memory".
#
#   valgrind.sh [--only-build] [--no-valgrind] [NAME...]
#
#   NAME           the tests, as check.sh takes them (default: regress, pgtap
#                  and the random queries of appdb.find(), few of them)
#   --only-build   make the server and stop
#   --no-valgrind  assertions alone, at a fifth of the time of the rest
#
# The server is built from the source package of the one that Debian has
# installed here (10 minutes of CPU time) and kept in ~/.cache/appdb/servers,
# or $APPDB_SERVERS; delete it to have it made anew.

set -euo pipefail
. "$(dirname "$0")/cluster.sh"
cd "$TOP"

only_build='' valgrind=1
names=()
for arg in "$@"; do
	case $arg in
		--only-build) only_build=1 ;;
		--no-valgrind) valgrind='' ;;
		-*) die "unknown option $arg" ;;
		*) names+=("$arg") ;;
	esac
done
[ ${#names[@]} -gt 0 ] || names=(regress/ pgtap/ shell/random)

find_postgres pgtap
package=postgresql-$PG_MAJOR
version=$(dpkg-query -W -f '${source:Version}' "$package" 2>/dev/null) ||
	die "valgrind.sh builds the PostgreSQL that Debian has installed, and $PG_CONFIG is none"
pgtap=$("$PG_CONFIG" --sharedir)/extension
servers=${APPDB_SERVERS:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/appdb/servers}
server=$servers/$package-${version//[^A-Za-z0-9.+-]/_}

need() {
	local program=$1
	shift
	bash -c "$program" >/dev/null 2>&1 || install_packages "$@"
}

# The source package, by lists of apt's of our own: the machine's may have no
# deb-src, and are not ours to change.
get_source() {
	local apt=$1/apt key=/usr/share/keyrings/debian-archive-keyring.gpg
	mkdir -p "$apt/lists/partial" "$apt/empty"
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
		awk -v key="$([ ! -f $key ] || echo "[signed-by=$key]")" '$1 == "Debian" { print "deb-src", key, $2, $3, $4 }' |
		sort -u >"$apt/sources.list"
	local options=(-o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/empty"
		-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt" -o APT::Sandbox::User= -q)
	apt-get "${options[@]}" update
	# mirrors drop the sources of some versions: then the next older one
	local try
	for try in "$version" $(apt-cache "${options[@]}" showsrc "$package" | sed -n 's/^Version: //p' | sort -Vr); do
		if (cd "$1" && apt-get "${options[@]}" --only-source --download-only source "$package=$try"); then
			(cd "$1" && dpkg-source --no-check -x ./*"${try#*:}".dsc source)
			echo "appdb: source of $try"
			return
		fi
	done
	return 1
}

build_server() {
	local log=$TOP/tmp/server.log work
	say "Building PostgreSQL $version with assertions and for valgrind in $server (its log is $log)"
	need 'command -v dpkg-source && command -v patch' dpkg-dev patch
	need 'command -v bzip2 && command -v xz' bzip2 xz-utils
	need 'test -f /usr/include/openssl/evp.h' libssl-dev
	need 'test -f /usr/include/zlib.h' zlib1g-dev
	work=$(mktemp -d "${TMPDIR:-/tmp}/appdb-server.XXXXXX")
	if ! {
		get_source "$work" &&
			(cd "$work/source" && ./configure --prefix="$server" --enable-cassert --enable-debug --with-openssl --with-zlib \
				--without-readline --without-icu CPPFLAGS=-DUSE_VALGRIND CFLAGS='-Og -fno-omit-frame-pointer' &&
				make -s -j"$(nproc)" && make -s install && make -s -C contrib install) &&
			cp "$work/source/src/tools/valgrind.supp" "$server"
	} >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		rm -rf "$server" "$work"
		die "the server could not be built"
	fi
	rm -rf "$work"
}

need 'command -v valgrind && test -f /usr/include/valgrind/memcheck.h' valgrind
mkdir -p "$servers"
exec 7>"$server.lock"
flock 7
[ -f "$server/valgrind.supp" ] || build_server
cp "$pgtap"/pgtap* "$server/share/extension/"
flock -u 7
[ -z "$only_build" ] || exit 0

# it can be moved: to where its user can reach it
choose_base
if ! as_server test -x "$server/bin/postgres" 2>/dev/null; then
	rm -rf "$BASE/server"
	cp -a "$server" "$BASE/server"
	server=$BASE/server
fi
export PG_CONFIG=$server/bin/pg_config LD_LIBRARY_PATH=$server/lib
# other optimization, and it is said of PG_TRY() itself
export COPT=-Wno-clobbered
if [ -n "$valgrind" ]; then
	cat >"$BASE/postgres" <<-SH
		#!/bin/sh
		# the server under valgrind, each process with its log
		exec valgrind --quiet --leak-check=no --track-origins=no --trace-children=yes \\
			--suppressions='$server/valgrind.supp' --error-markers=VALGRINDERROR-BEGIN,VALGRINDERROR-END \\
			--log-file="\$APPDB_VALGRIND_LOGS/%p.log" '$server/bin/postgres' "\$@"
	SH
	chmod 755 "$BASE/postgres"
	export APPDB_POSTGRES=$BASE/postgres FIND_QUERIES=${FIND_QUERIES:-60}
else
	# for test/sql/discard.sql
	export APPDB_DISCARD_CACHES=1
fi
exec test/harness/check.sh --once "${names[@]}"
