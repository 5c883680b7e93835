#!/bin/bash
#
# auth.sh: better-auth and Auth.js work on appdb's tables by configuration
# alone: their adapters' own suites, whole requests, and races for tokens that
# are used once; directly, and through pgbouncer in transaction mode.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh
. test/harness/clients.sh

npm_ci test/clients/auth || {
	ok "better-auth and Auth.js # SKIP $CLIENTS_WHY"
	done_testing
	exit
}

export PGDATABASE=appdb_auth PGOPTIONS='-c client_min_messages=warning' TZ=UTC NO_COLOR=1
export APPDB_OWNER=${PGUSER:-postgres}
pool=${APPDB_CLUSTER:?}/pool
server=$PGHOST

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

cleanup() {
	pgbouncer_stop "$pool"
	export PGHOST=$server PGUSER=$APPDB_OWNER PGDATABASE=postgres
	sql -c 'DROP DATABASE IF EXISTS appdb_auth WITH (FORCE)' -c 'DROP ROLE IF EXISTS appdb_test_auth' -c 'DROP ROLE IF EXISTS appdb_test_auth_app' >/dev/null
	rm -f "$out"
}
out=$(mktemp "${APPDB_TMP:-${TMPDIR:-/tmp}}/auth.XXXXXX")
trap cleanup EXIT

PGDATABASE=postgres sql -c 'DROP DATABASE IF EXISTS appdb_auth WITH (FORCE)' -c 'DROP ROLE IF EXISTS appdb_test_auth' -c 'DROP ROLE IF EXISTS appdb_test_auth_app' \
	-c 'CREATE ROLE appdb_test_auth LOGIN' -c 'CREATE ROLE appdb_test_auth_app' -c 'CREATE DATABASE appdb_auth' || exit 1
sql <<'SQL' >/dev/null || exit 1
CREATE EXTENSION appdb;
SELECT appdb.grant_access('appdb_test_auth', 'service'), appdb.grant_access('appdb_test_auth_app', 'app');
-- for Auth.js's passkeys
CREATE TABLE app_data.authenticators
(
	id                     uuid PRIMARY KEY,
	user_id                uuid NOT NULL REFERENCES app_data.users (id),
	credential_id          text NOT NULL,
	provider_account_id    text NOT NULL,
	credential_public_key  text NOT NULL,
	counter                integer NOT NULL,
	credential_device_type text NOT NULL,
	credential_backed_up   boolean NOT NULL,
	transports             text,
	created_at             timestamptz(3) NOT NULL,
	updated_at             timestamptz(3) NOT NULL,
	deleted_at             timestamptz
);
CREATE UNIQUE INDEX authenticators_credential_id_key ON app_data.authenticators (credential_id) WHERE deleted_at IS NULL;
CREATE INDEX authenticators_user_id_idx ON app_data.authenticators (user_id);
SELECT appdb.manage('app_data.authenticators');
SQL

# run NAME FILE...: a vitest run, each of its tests as one here
run() {
	local name=$1 status=0 line
	shift
	(cd test/clients/auth && timeout 500 node_modules/.bin/vitest run --silent=true --reporter=tap-flat "$@") >"$out" 2>&1 || status=$?
	while read -r line; do
		case $line in
			'ok '*) ok "$name: ${line#ok * - }" ;;
			'not ok '*) not_ok "$name: ${line#not ok * - }" < <(grep -E -A 12 "^not ok ${line//[^0-9]*/} " "$out") ;;
		esac
	done < <(sed 's/\x1b\[[0-9;]*m//g; s/ # time=.*//' "$out" | grep -E '^(not )?ok ')
	[ $status = 0 ] || grep -q '^not ok' "$out" || not_ok "$name: all ran" <"$out"
}

export PGUSER=appdb_test_auth
run direct
# deletes row by row so far, at once from here on
sql -c "ALTER DATABASE appdb_auth SET session_preload_libraries = 'appdb'"
if pgbouncer_start "$pool" appdb_test_auth; then
	export APPDB_DIRECT=$PGHOST APPDB_DATABASE=$PGDATABASE
	PGHOST=$pool PGDATABASE=appdb_test_auth run "through pgbouncer" better-auth auth-js
else
	ok "through pgbouncer # SKIP $CLIENTS_WHY"
fi
done_testing
