#!/bin/bash
#
# pgbouncer.sh: behind a pooler that gives a connection to somebody else after
# each transaction, no request sees another user's rows.
#
# Many clients share three connections: some sign in by a token, each as
# somebody else, and read all that they can; some do not sign in at all; some
# roll back, some have a wrong token, some hang up in the middle.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh
. test/harness/clients.sh

export PGDATABASE=pooled PGOPTIONS='-c client_min_messages=warning'
dir=${APPDB_CLUSTER:?}/pooler
server=$PGHOST super=${PGUSER:-postgres}

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

cleanup() {
	pgbouncer_stop "$dir"
	export PGHOST=$server PGUSER=$super PGDATABASE=postgres
	sql -c 'DROP DATABASE IF EXISTS pooled WITH (FORCE)' -c 'DROP ROLE IF EXISTS appdb_test_pooled' >/dev/null
	rm -rf "$work"
}
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/pgbouncer.XXXXXX")
trap cleanup EXIT

PGDATABASE=postgres sql -c 'DROP DATABASE IF EXISTS pooled' -c 'DROP ROLE IF EXISTS appdb_test_pooled' \
	-c 'CREATE ROLE appdb_test_pooled LOGIN' -c 'CREATE DATABASE pooled' || exit 1
sql <<'SQL' || exit 1
CREATE EXTENSION appdb;
SELECT appdb.grant_access('appdb_test_pooled', 'app') \g /dev/null
CREATE FUNCTION public.id(kind int, n int) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN ('0000000' || kind || '-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid;
-- twenty users, each with a space and as many notes as the user's number
INSERT INTO appdb.users (id, name) SELECT id(1, u), 'User ' || u FROM generate_series(1, 20) u;
INSERT INTO appdb.sessions (user_id, token, expires_at) SELECT id(1, u), 'token-' || u, now() + '1 day' FROM generate_series(1, 20) u;
INSERT INTO appdb.spaces (id, owner_id, name) SELECT id(2, u), id(1, u), 'Space ' || u FROM generate_series(1, 20) u;
INSERT INTO appdb.notes (space_id, user_id, content) SELECT id(2, u), id(1, u), 'Note ' || i FROM generate_series(1, 20) u, generate_series(1, u) i;
CREATE TABLE public.seen (pid int DEFAULT pg_backend_pid(), who int);
GRANT INSERT ON public.seen TO appdb_test_pooled;

-- complains unless the one who is asking is this user (0: nobody), and sees that user's rows and no others
CREATE FUNCTION public.expect_user(u int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	own int;
	other int;
BEGIN
	SELECT count(*) FILTER (WHERE n.space_id = id(2, u)), count(*) FILTER (WHERE n.space_id <> id(2, u)) INTO own, other FROM appdb.notes n;
	IF appdb.current_user_id() IS DISTINCT FROM (CASE WHEN u > 0 THEN id(1, u) END) OR own <> u OR other <> 0
		OR (SELECT count(*) FROM appdb.spaces s) <> sign(u) THEN
		RAISE EXCEPTION 'LEAK: user % is %, sees % and % of others', u, appdb.current_user_id(), own, other;
	END IF;
	INSERT INTO public.seen (who) VALUES (u);
END $$;
CREATE FUNCTION public.wrong_token() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM appdb.authenticate('token-21');
	RAISE EXCEPTION 'a wrong token was accepted';
EXCEPTION WHEN invalid_authorization_specification THEN
	NULL;
END $$;
SQL

# -- the pooler -------------------------------------------------------------

pgbouncer_start "$dir" appdb_test_pooled || {
	ok "pgbouncer # SKIP $CLIENTS_WHY"
	done_testing
	exit
}
export PGHOST=$dir PGUSER=appdb_test_pooled PGDATABASE=appdb_test_pooled
is "requests go through the pooler, as the application's role" "$(sql -c 'SELECT current_user, pg_backend_pid() = pg_backend_pid()')" 'appdb_test_pooled|t'

# -- requests ---------------------------------------------------------------

cat >"$work/signed_in" <<'SQL'
\set u random(1, 20)
BEGIN;
SELECT appdb.authenticate('token-' || :u);
SELECT expect_user(:u);
COMMIT;
SQL
cat >"$work/nobody" <<'SQL'
SELECT expect_user(0);
SQL
cat >"$work/rolled_back" <<'SQL'
\set u random(1, 20)
BEGIN;
SELECT appdb.authenticate('token-' || :u);
INSERT INTO appdb.notes (space_id, user_id, content) VALUES (id(2, :u), id(1, :u), 'Never');
SAVEPOINT s;
SELECT appdb.authenticate('token-' || 21 - :u);
SELECT expect_user(21 - :u);
ROLLBACK TO s;
ROLLBACK;
SQL
cat >"$work/wrong_token" <<'SQL'
BEGIN;
SELECT wrong_token();
SELECT expect_user(0);
COMMIT;
SELECT expect_user(0);
SQL

pids=()
for kind in signed_in nobody rolled_back wrong_token; do
	pgbench -n -c 16 -j 1 -t 25 -f "$work/$kind" >"$work/$kind.out" 2>&1 &
	pids+=($!)
done
# errors that end the transaction, and clients that are gone before its end
for i in $(seq 15); do
	psql -X -q -At >>"$work/errors.out" 2>&1 <<-SQL
		BEGIN;
		SELECT appdb.authenticate('token-$i') \g /dev/null
		SELECT appdb.authenticate('not a token');
		ROLLBACK;
		SELECT expect_user(0);
		BEGIN;
		SELECT appdb.authenticate('token-$i') \g /dev/null
	SQL
done
i=0
for kind in signed_in nobody rolled_back wrong_token; do
	if wait "${pids[$i]}" && grep -q '^number of transactions actually processed: 400/400' "$work/$kind.out" && ! grep -q LEAK "$work/$kind.out"; then
		ok "400 requests of 16 clients: $kind"
	else
		not_ok "400 requests of 16 clients: $kind" < <(grep -v '^pgbench (' "$work/$kind.out" | sort | uniq -c | head -n 20)
	fi
	i=$((i + 1))
done
is "errors leave nobody signed in" "$(grep -c 'invalid or expired session token' "$work/errors.out") $(grep -c LEAK "$work/errors.out")" '15 0'

export PGHOST=$server PGUSER=$super PGDATABASE=pooled
is "a connection served many users" \
	"$(sql -c "SELECT max(c) >= 5 FROM (SELECT count(DISTINCT who) AS c FROM seen GROUP BY pid) x")" t
is "what was rolled back is not there" "$(sql -c "SELECT count(*) FROM app_data.notes WHERE content = 'Never'")" 0

done_testing
