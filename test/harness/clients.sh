# shellcheck shell=bash
#
# clients.sh: what tests of clients need.  Sourced by shell tests, with the
# server of "make check" running:
#
#   need_packages COMMAND PACKAGE...   install Debian packages unless the command works
#   need_node                          node 20 or later on the PATH, and npm
#   npm_ci DIR                         DIR/node_modules as DIR/package-lock.json says
#   pgbouncer_start DIR ROLE...        a pooler in transaction mode in front of PGDATABASE: PGHOST=DIR
#                                      PGDATABASE=ROLE is that database as that role
#   pgbouncer_stop DIR
#
# All but the last return false where that is not possible, with the reason in
# CLIENTS_WHY; a test then says "# SKIP $CLIENTS_WHY".

# what cluster.sh knows, without its hold on the environment
in_harness() {
	(
		. test/harness/cluster.sh
		PACKAGE_LOG=$TOP/tmp/packages.log
		find_server_user
		"$@"
	)
}

need_packages() {
	local works=$1
	shift
	bash -c "$works" >/dev/null 2>&1 && return
	(in_harness install_packages "$@") >/dev/null 2>&1
	bash -c "$works" >/dev/null 2>&1 && return
	# shellcheck disable=SC2034
	CLIENTS_WHY="needs the Debian packages $*"
	return 1
}

need_node() {
	local node=$PWD/tmp/node/node_modules/.bin arch
	need_packages 'command -v npm' nodejs npm || return
	[ ! -x "$node/node" ] || PATH=$node:$PATH
	[ "$(node -p 'parseInt(process.versions.node) >= 20' 2>/dev/null)" != true ] || return 0
	# the distribution's is too old: there is one on npm
	case $(uname -m) in aarch64) arch=arm64 ;; *) arch=x64 ;; esac
	mkdir -p "$PWD/tmp/node/node_modules/.bin"
	npm install --prefix tmp/node --no-audit --no-fund --silent "node-linux-$arch@22" >/dev/null 2>&1
	ln -sf "../node-linux-$arch/bin/node" "$node/node"
	PATH=$node:$PATH
	[ "$(node -p 'parseInt(process.versions.node) >= 20' 2>/dev/null)" = true ] && return
	# shellcheck disable=SC2034
	CLIENTS_WHY="needs node 20 or later"
	return 1
}

npm_ci() {
	local dir=$1 sum
	need_node || return
	sum=$(cat "$dir/package.json" "$dir/package-lock.json" | cksum)
	[ "$sum" != "$(cat "$dir/node_modules/.installed-for" 2>/dev/null)" ] || return 0
	# CI has a network, which may be away for a moment
	for _ in 1 ${CI:+2 3}; do
		if (cd "$dir" && npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000) >tmp/npm.log 2>&1; then
			printf '%s\n' "$sum" >"$dir/node_modules/.installed-for"
			return
		fi
		[ -z "${CI:-}" ] || sleep 5
	done
	# shellcheck disable=SC2034
	CLIENTS_WHY="needs the npm packages of $dir (npm ci failed: tmp/npm.log), that is a network, or npm's cache of them"
	return 1
}

pgbouncer_start() {
	local dir=$1 pooler role
	shift
	need_packages 'PATH=$PATH:/usr/sbin command -v pgbouncer' pgbouncer || return
	pooler=$(PATH=$PATH:/usr/sbin command -v pgbouncer)
	in_harness as_server mkdir -m 700 "$dir"
	{
		echo '[databases]'
		for role in "$@"; do
			echo "$role = host=$PGHOST port=$PGPORT dbname=$PGDATABASE user=$role"
		done
		cat <<-INI
			[pgbouncer]
			listen_addr =
			listen_port = $PGPORT
			unix_socket_dir = $dir
			auth_type = any
			pool_mode = transaction
			default_pool_size = 3
			max_client_conn = 100
			ignore_startup_parameters = options,extra_float_digits
			logfile = $dir/log
			pidfile = $dir/pid
		INI
	} | in_harness as_server tee "$dir/pgbouncer.ini" >/dev/null
	# without the caller's locks (9), which it would hold on to
	in_harness as_server "$pooler" -d "$dir/pgbouncer.ini" >/dev/null 2>&1 9>&-
	for _ in $(seq 300); do
		[ "$(PGHOST=$dir psql -X -At -d "$1" -c 'SELECT 1' 2>/dev/null)" != 1 ] || return 0
		sleep 0.1
	done
	# shellcheck disable=SC2034
	CLIENTS_WHY="pgbouncer does not start"
	return 1
}

pgbouncer_stop() {
	[ ! -f "$1/pid" ] || kill "$(cat "$1/pid")"
	# it takes that away when it ends
	for _ in $(seq 300); do
		[ -f "$1/pid" ] || break
		sleep 0.1
	done
	rm -rf "$1"
}
