# shellcheck shell=bash
#
# cluster.sh: a private PostgreSQL server to build for, test on and play with.
# Sourced by bash scripts:
#
#   find_postgres [EXTRA...]   find the server's programs; install the Debian
#                              packages that are missing (EXTRA: "pgtap")
#   choose_base                where the server's files can go: BASE
#   build_extension            make, make install into BASE/root
#   cluster_create NAME        a new cluster, without one of that name before
#   cluster_configure LINE...  lines for its configuration file
#   cluster_start, cluster_stop, cluster_remove
#   cluster_running NAME
#
# The server listens on a unix socket only, inside a directory that nobody
# else can enter, and runs as an ordinary user also where root calls.  The
# clusters of the system are never touched.
#
# Sets: PG_CONFIG PG_BINDIR PG_MAJOR BASE CLUSTER, and exports PGHOST PGPORT
# PGUSER and a PATH with the server's programs.

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
umask 022

# nothing of the caller's connections, and messages that tests can compare
for variable in "${!PG@}"; do
	[ "$variable" = PG_CONFIG ] || unset "$variable"
done
unset MAKEFLAGS MAKELEVEL MFLAGS MAKEOVERRIDES DESTDIR LANGUAGE CDPATH
export LC_ALL=C.UTF-8

supported_majors="18 17 16 15"

say() {
	printf '%s\n' "$*"
}

die() {
	printf 'appdb: %s\n' "$*" >&2
	exit 1
}

# == packages ===============================================================

# does this pg_config belong to a server that we can build for and run?
usable_pg_config() {
	local bindir pgxs headers
	bindir=$("$1" --bindir 2>/dev/null) && pgxs=$("$1" --pgxs 2>/dev/null) && headers=$("$1" --includedir-server 2>/dev/null) &&
		[ -x "$bindir/initdb" ] && [ -f "$pgxs" ] && [ -f "$headers/postgres.h" ]
}

look_for_postgres() {
	local v candidate
	if [ -n "${PG_CONFIG:-}" ] && [ "$PG_CONFIG" != pg_config ]; then
		usable_pg_config "$PG_CONFIG" ||
			die "PG_CONFIG=$PG_CONFIG does not name a server with its development files"
		return 0
	fi
	# one that the caller has put on the PATH first
	for candidate in pg_config $(for v in $supported_majors; do
		echo "/usr/lib/postgresql/$v/bin/pg_config"
	done); do
		if usable_pg_config "$candidate"; then
			PG_CONFIG=$(command -v "$candidate")
			return 0
		fi
	done
	return 1
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

can_be_root() {
	[ "$(id -u)" = 0 ] && return 0
	command -v sudo >/dev/null || return 1
	sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

# The packages' scripts make and start a cluster of the system when a server
# is installed.  Nobody asked for one here.
install_packages() {
	local conf=/etc/postgresql-common/createcluster.d/appdb.conf status=0

	command -v apt-get >/dev/null ||
		die "missing: $*; this system has no apt-get: install them and call again with PG_CONFIG=/path/to/pg_config"
	can_be_root ||
		die "missing packages: $*
appdb: installing them takes root.  As root, or with sudo:  apt-get install $*"
	say "Installing packages: $*"
	as_root mkdir -p "${conf%/*}"
	say 'create_main_cluster = false' | as_root tee "$conf" >/dev/null
	# the system may be at its own updates, and the network away for a moment
	local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
	as_root "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >"$PACKAGE_LOG" 2>&1 || {
		as_root "${apt[@]}" update </dev/null >>"$PACKAGE_LOG" 2>&1
		as_root "${apt[@]}" install -y --no-install-recommends "$@" </dev/null >>"$PACKAGE_LOG" 2>&1
	} || status=$?
	as_root rm -f "$conf"
	if [ $status != 0 ]; then
		tail -n 20 "$PACKAGE_LOG" >&2
		die "the packages could not be installed"
	fi
}

find_postgres() {
	local missing=() major want program
	PACKAGE_LOG=$TOP/tmp/packages.log
	mkdir -p "$TOP/tmp"

	for program in make gcc; do
		command -v $program >/dev/null || missing+=("$program")
	done
	if ! look_for_postgres; then
		major=15
		# the distribution's own version, where it is one of ours
		if command -v apt-cache >/dev/null; then
			apt-cache show postgresql >/dev/null 2>&1 ||
				{ can_be_root && as_root apt-get update -q </dev/null >"$PACKAGE_LOG" 2>&1; } || :
			want=$(apt-cache show postgresql 2>/dev/null |
				sed -n 's/^Depends:.*postgresql-\([0-9][0-9]*\).*/\1/p' | head -n 1) || :
			case " $supported_majors " in *" $want "*) major=$want ;; esac
		fi
		missing+=("postgresql-$major" "postgresql-server-dev-$major" libc6-dev perl)
	else
		major=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	fi
	for want in "$@"; do
		case $want in
			pgtap)
				if [ ${#missing[@]} -gt 0 ] || [ ! -f "$("$PG_CONFIG" --sharedir)/extension/pgtap.control" ]; then
					missing+=("postgresql-$major-pgtap")
				fi ;;
		esac
	done
	if [ ${#missing[@]} -gt 0 ]; then
		install_packages "${missing[@]}"
		look_for_postgres ||
			die "no usable pg_config, even with ${missing[*]} installed"
	fi

	PG_BINDIR=$("$PG_CONFIG" --bindir)
	PG_MAJOR=$("$PG_CONFIG" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/')
	PATH=$PG_BINDIR:$PATH
	export PG_CONFIG PG_MAJOR PATH
}

# == who, where =============================================================

# The server does not run as root.
find_server_user() {
	if [ "$(id -u)" != 0 ]; then
		SERVER_USER=$(id -un)
		return
	fi
	SERVER_USER=postgres
	if ! id "$SERVER_USER" >/dev/null 2>&1; then
		SERVER_USER=appdb-server
		id "$SERVER_USER" >/dev/null 2>&1 ||
			useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin "$SERVER_USER" ||
			die "cannot make the user $SERVER_USER to run the server as"
	fi
}

as_server() {
	if [ "$(id -u)" = 0 ]; then
		(cd / && HOME=/ exec setpriv --reuid="$SERVER_USER" --regid="$(id -g "$SERVER_USER")" \
			--clear-groups -- "$@")
	else
		(cd / && exec "$@")
	fi
}

# Under the checkout, unless the server's user cannot reach that, or its path
# is too long for a socket or has characters that settings would have to quote.
choose_base() {
	find_server_user
	BASE=$TOP/tmp
	mkdir -p "$BASE"
	if [ ${#BASE} -gt 70 ] || [[ $BASE == *[^A-Za-z0-9/._+@-]* ]] ||
		! as_server test -r "$BASE" -a -x "$BASE" 2>/dev/null; then
		BASE=/tmp/appdb-$(id -u)-$(printf '%s' "$TOP" | cksum | cut -d ' ' -f 1)
		[ -d "$BASE" ] || mkdir -m 755 "$BASE" || die "cannot make $BASE"
		# /tmp is everybody's
		if [ ! -O "$BASE" ] || [ -L "$BASE" ]; then
			die "$BASE belongs to somebody else"
		fi
		[ -n "${BASE_SAID:-}" ] ||
			say "The server's user cannot use $TOP/tmp: its files are in $BASE."
		BASE_SAID=1
	fi
}

# == the extension ==========================================================

build_extension() {
	local log=$TOP/tmp/build.log
	rm -rf "${BASE:?}/root"
	if ! make -C "$TOP" --no-print-directory PG_CONFIG="$PG_CONFIG" with_llvm=no WERROR=1 \
		DESTDIR="$BASE/root" install >"$log" 2>&1; then
		grep -vE '^[^ ]*(gcc|clang|cc) -' "$log" >&2
		say "appdb: the build failed" >&2
		return 1
	fi
}

# == clusters ===============================================================

cluster_use() {
	CLUSTER=$BASE/$1
	export PGHOST=$CLUSTER PGPORT=5432 PGUSER=postgres
}

cluster_running() {
	cluster_use "$1"
	[ -f "$CLUSTER/data/PG_VERSION" ] &&
		as_server "$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" status >/dev/null 2>&1
}

cluster_create() {
	local libdir sharedir
	cluster_remove "$1"
	mkdir -m 700 "$CLUSTER"
	[ "$(id -u)" != 0 ] || chown "$SERVER_USER" "$CLUSTER"
	as_server "$PG_BINDIR/initdb" -D "$CLUSTER/data" -U postgres --auth=trust \
		--encoding=UTF8 --locale=C.UTF-8 --no-sync >"$TOP/tmp/initdb.log" 2>&1 || {
		cat "$TOP/tmp/initdb.log" >&2
		die "initdb failed"
	}
	libdir=$BASE/root$("$PG_CONFIG" --pkglibdir)
	sharedir=$BASE/root$("$PG_CONFIG" --sharedir)
	cluster_configure "listen_addresses = ''" "unix_socket_directories = '$CLUSTER'" "port = 5432" \
		"timezone = 'UTC'" "log_timezone = 'UTC'" "lc_messages = 'C'" "datestyle = 'ISO, MDY'" \
		"dynamic_library_path = '$libdir:\$libdir'"
	if [ "$PG_MAJOR" -ge 18 ]; then
		cluster_configure "extension_control_path = '$sharedir:\$system'"
	elif [[ $("$PG_BINDIR/postgres" --describe-config) == *extension_destdir* ]]; then
		cluster_configure "extension_destdir = '$BASE/root'"
	else
		die "this PostgreSQL finds extensions only where it is installed itself, which tests leave alone (Debian's and 18 have a setting for others): make install, and make installcheck on a running server"
	fi
}

cluster_configure() {
	local line
	for line in "$@"; do
		say "$line"
	done | as_server tee -a "$CLUSTER/data/postgresql.conf" >/dev/null
}

# without the caller's locks (9), which the server would hold on to
cluster_start() {
	# APPDB_POSTGRES: a program to start instead of the server, which starts that (valgrind.sh)
	if [ -n "${APPDB_POSTGRES:-}" ]; then
		export APPDB_VALGRIND_LOGS=$CLUSTER/valgrind
		as_server mkdir -p "$APPDB_VALGRIND_LOGS"
	fi
	as_server "$PG_BINDIR/pg_ctl" ${APPDB_POSTGRES:+-p "$APPDB_POSTGRES"} -D "$CLUSTER/data" -l "$CLUSTER/log" -w -t 60 start >/dev/null 2>&1 9>&- || {
		cat "$CLUSTER/log" >&2
		die "the server does not start"
	}
}

cluster_stop() {
	local mode=${1:-fast}
	[ -n "${CLUSTER:-}" ] || return 0
	if [ -f "$CLUSTER/data/postmaster.pid" ]; then
		as_server "$PG_BINDIR/pg_ctl" -D "$CLUSTER/data" -m "$mode" -w -t 60 stop >/dev/null 2>&1 || :
	fi
}

cluster_remove() {
	cluster_use "$1"
	if [ -e "$CLUSTER" ]; then
		cluster_stop immediate
		rm -rf "$CLUSTER"
	fi
}
