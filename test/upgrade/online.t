#!/bin/bash
#
# online.t: appdb.migrate_online() beside load, and killed at any point; and
# ALTER EXTENSION ... UPDATE killed half-way.
#
# With a migration for tests (migrations/online.sql), which leads to version
# 99.0, on a server of its own, since it is killed.
#
# Needs what make check builds.

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/cluster.sh
. test/harness/tap.sh
set +e
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/online.XXXXXX")

find_postgres >/dev/null
choose_base >/dev/null
[ -d "$BASE/root" ] || build_extension || exit 1
cluster_create upgrade
trap 'cluster_stop immediate; cluster_remove upgrade; rm -rf "$work"' EXIT
cluster_configure "shared_buffers = '32MB'" "autovacuum = off" "restart_after_crash = on" "max_connections = 30"
cluster_start

version=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" appdb.control)
export PGOPTIONS='-c client_min_messages=warning'

# the scripts of a version to come
scripts=$BASE/root$("$PG_CONFIG" --sharedir)/extension
mkdir "$work/migrations"
cp sql/migrations/*.sql "$work/migrations" 2>/dev/null
cp test/upgrade/migrations/online.sql "$work/migrations/$version--99.0.sql"
MIGRATIONS_DIR=$work/migrations sh sql/script.sh 99.0 "$version" >"$scripts/appdb--$version--99.0.sql"
trap 'cluster_stop immediate; cluster_remove upgrade; rm -rf "$work" "$scripts/appdb--$version--99.0.sql"' EXIT

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 -d app "$@" 2>&1
}
owner() {
	PGUSER=app_owner sql "$@"
}

# until QUERY: is true
until_true() {
	local n
	for n in $(seq 900); do
		[ "$(sql -c "$1")" = t ] && return
		sleep 0.1
	done
	not_ok "waits for: $1" < <(sql -c 'SELECT pid, state, wait_event, query FROM pg_stat_activity WHERE backend_type = $$client backend$$')
	return 1
}

# a session that holds something until it is told to end
hold() {
	mkfifo "$work/hold"
	sql <"$work/hold" >"$work/hold.out" &
	holder=$!
	exec 8>"$work/hold"
	printf '%s\n' "$1" "SELECT set_config('application_name', 'held', false);" >&8
	until_true "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'held' AND state LIKE 'idle%'"
}
let_go() {
	echo '\q' >&8
	exec 8>&-
	wait "$holder"
	rm -f "$work/hold"
}

# kill -9 of the session that waits in a statement like this; the server starts anew
crashes() {
	grep -c 'terminated by signal 9' "$CLUSTER/log"
}
kill_session() {
	local pid before
	before=$(crashes)
	pid=$(sql -c "SELECT pid FROM pg_stat_activity WHERE query LIKE '$1%' AND state = 'active'")
	[ -n "$pid" ] || { not_ok "there is a session to kill" <<<"$1"; return 1; }
	kill -9 "$pid" 2>/dev/null || as_root kill -9 "$pid"
	wait "$2" 2>/dev/null
	for _ in $(seq 900); do
		[ "$(crashes)" != "$before" ] && [ "$(sql -c 'SELECT 1')" = 1 ] && return
		sleep 0.1
	done
}

psql -X -q -d postgres -c 'CREATE ROLE app_owner LOGIN' -c 'CREATE DATABASE app OWNER app_owner'

# == an update that is killed leaves nothing half done ========================

owner -c "CREATE EXTENSION appdb" -f test/fixture.sql >/dev/null
owner >/dev/null <<'SQL'
INSERT INTO appdb.notes (space_id, title, content) SELECT '00000000-0000-7000-8000-000000000021', 'n' || i, repeat('x', i % 100) FROM generate_series(1, 500) AS i;
SQL
notes=$(sql -c 'SELECT count(*) FROM app_data.notes')
moved=$(sql -c 'SELECT md5(string_agg(updated_at::text, NULL ORDER BY id)) FROM app_data.notes')
psql -X -q -At -f test/catalog.sql app >"$work/before"

# no table gets a new column
hold 'BEGIN; LOCK TABLE pg_attribute IN SHARE MODE;'
owner -c "SET lock_timeout = '300s'" -c "ALTER EXTENSION appdb UPDATE TO '99.0'" >"$work/update.out" &
update=$!
until_true "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND relation = 'pg_attribute'::regclass"
is "the update is half-way: its engine is in" "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER EXTENSION%' AND backend_xid IS NOT NULL")" 1
kill_session 'ALTER EXTENSION' $update
let_go
psql -X -q -At -f test/catalog.sql app >"$work/after"
if diff "$work/before" "$work/after" >"$work/diff"; then
	ok "ALTER EXTENSION UPDATE killed with -9: all is as it was"
else
	not_ok "ALTER EXTENSION UPDATE killed with -9: all is as it was" <"$work/diff"
fi
is "and works" "$(owner -c "SELECT appdb.version()" -c "INSERT INTO appdb.users (name) VALUES ('x') RETURNING name")" "$(printf '%s\nx' "$version")"

# who waits for a lock gives up
hold 'BEGIN; LOCK TABLE app_data.notes IN ACCESS SHARE MODE;'
like "an update gives up where a lock is not to be had" "$(owner -c "SET lock_timeout = '200ms'" -c "ALTER EXTENSION appdb UPDATE TO '99.0'")" \
	'could not lock table "app[a-z_]*\.notes" within 200ms: it is in use.*Nothing has been changed'
let_go

out=$(PGOPTIONS='' owner -c "ALTER EXTENSION appdb UPDATE TO '99.0'")
like "the update says what it does and what remains" "$out" "migrated from version $version to 99.0.*5 steps remain.*CALL appdb.migrate_online"
is "the tables are at the new version" "$(owner -c 'SELECT version FROM app_data.schema_version')" 99.0
is "their views too" "$(owner -c "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'appdb' AND table_name = 'notes' AND column_name = 'words'")" 1
is "what is pending" "$(owner -c 'SELECT version, step, kind, entity, state FROM appdb.pending()')" \
	"$(printf '99.0|%s\n' '1|index|app_data.notes|waiting' '2|backfill|app_data.notes|waiting' '3|validate|app_data.notes|waiting' '4|index|app_data.notes|waiting' '5|statement|app_data.notes|waiting')"

# == who, where ==============================================================

like "not in a transaction" "$(owner -c 'BEGIN' -c 'CALL appdb.migrate_online()')" 'cannot run inside a transaction block'
like "not among other statements" "$(owner -c 'SELECT 1; CALL appdb.migrate_online()')" 'cannot run inside a transaction block'
like "not in a DO" "$(owner -c 'DO $$ BEGIN CALL appdb.migrate_online(); END $$')" 'cannot run inside a transaction block'
like "not in another procedure" "$(owner -c 'CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN CALL appdb.migrate_online(); END $$' -c 'CALL p()')" 'cannot run inside'
sql -c 'CREATE ROLE nobody LOGIN'
like "not others" "$(PGUSER=nobody sql -c 'CALL appdb.migrate_online()')" 'permission denied'
like "nor do others see it" "$(PGUSER=nobody sql -c 'SELECT * FROM appdb.pending()')" 'permission denied'

# == an index: beside writers, killed =========================================

hold 'BEGIN; INSERT INTO appdb.notes (space_id) VALUES ($$00000000-0000-7000-8000-000000000021$$);'
notes=$((notes + 1))
owner -c "SET lock_timeout = '300ms'" -c 'CALL appdb.migrate_online(40)' >"$work/online.out" &
online=$!
until_true "SELECT count(*) = 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
is "an index waits for transactions in whose way it would be, also with a lock_timeout: it is shown" \
	"$(owner -c 'SELECT state, progress LIKE $$waiting for%$$, attempts, started_at IS NOT NULL FROM appdb.pending() WHERE step = 1')" 'running|t|1|t'
is "meanwhile others write" "$(owner -c "SET statement_timeout = '60s'" -c "UPDATE appdb.notes SET title = 'm' || title WHERE title LIKE 'n1%' RETURNING 1" | sort -u)" 1
moved=$(sql -c 'SELECT md5(string_agg(updated_at::text, NULL ORDER BY id)) FROM app_data.notes WHERE title LIKE $$m%$$')
like "only one runs at a time" "$(owner -c 'CALL appdb.migrate_online()')" 'being migrated by another session'
like "nor does appdb.migrate()" "$(sql -c "UPDATE app_data.schema_version SET version = '$version'" -c "SET lock_timeout = '2s'" -c 'SELECT appdb.migrate()' -c 'ROLLBACK')" 'being migrated by another session|already exists'
sql -c "UPDATE app_data.schema_version SET version = '99.0'"
like "the extension is not dropped meanwhile" "$(sql -c 'SET appdb.allow_drop = on' -c "SET lock_timeout = '200ms'" -c 'DROP EXTENSION appdb CASCADE')" 'lock timeout'
kill_session 'CALL appdb.migrate_online' $online
let_go
is "killed with -9 while it builds an index: an invalid one is left" "$(sql -c "SELECT indisvalid FROM pg_index WHERE indexrelid = 'app_data.notes_words_idx'::regclass")" f
is "it is still pending" "$(owner -c 'SELECT count(*), min(step), min(state) FILTER (WHERE step = 1) FROM appdb.pending()')" '5|1|waiting'
notes=$(sql -c 'SELECT count(*) FROM app_data.notes')

# a row that the backfill cannot do stops it there
last=$(sql -c 'SELECT id FROM app_data.notes ORDER BY id OFFSET 300 LIMIT 1')
owner -c "CREATE FUNCTION public.spoil() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN IF NEW.id = '$last' THEN RAISE 'spoiled'; END IF; RETURN NEW; END \$\$" \
	-c 'CREATE TRIGGER spoil BEFORE UPDATE OF words ON app_data.notes FOR EACH ROW EXECUTE FUNCTION public.spoil()'
out=$(PGOPTIONS='' owner -c 'CALL appdb.migrate_online(40)')
like "it goes on: the invalid index is built anew" "$out" 'step 1 .5 left.*step 2 .4 left'
is "the index is valid" "$(sql -c "SELECT indisvalid, indisready FROM pg_index WHERE indexrelid = 'app_data.notes_words_idx'::regclass")" 't|t'
like "an error is the caller's, and says where" "$out" 'spoiled.*step 2 of version 99.0'
is "and shown" "$(owner -c 'SELECT step, state, progress, error FROM appdb.pending() WHERE step = 2')" '2|failed|280 rows|spoiled'
is "what was done stays done" "$(sql -c 'SELECT count(words) FROM app_data.notes')" 280

# == a backfill: killed, with locks in its way ===============================

owner -c 'DROP TRIGGER spoil ON app_data.notes'
hold "BEGIN; SELECT 1 FROM app_data.notes WHERE id = '$last' FOR UPDATE;"
PGOPTIONS='' owner -c "SET lock_timeout = '250ms'" -c 'CALL appdb.migrate_online(7)' >"$work/online.out" &
online=$!
until_true "SELECT p.error LIKE '%lock timeout%' AND p.attempts >= 3 FROM app_data.pending p WHERE p.step = 2"
kill_session 'CALL appdb.migrate_online' $online
let_go
is "killed with -9 between two batches: what was done stays done" "$(owner -c 'SELECT progress, (SELECT count(words) FROM app_data.notes) FROM appdb.pending() WHERE step = 2')" '294 rows|294'

sql -c 'UPDATE app_data.pending SET error = NULL'
hold "BEGIN; SELECT 1 FROM app_data.notes WHERE id = '$last' FOR UPDATE;"
PGOPTIONS='' owner -c "SET lock_timeout = '250ms'" -c 'CALL appdb.migrate_online(100)' -c 'SHOW lock_timeout' >"$work/online.out" &
online=$!
until_true "SELECT p.error LIKE '%lock timeout%' FROM app_data.pending p WHERE p.step = 2"
let_go
wait $online
is "it tries again until the lock is to be had" $? 0
like "and says so; lock_timeout is what it was" "$(cat "$work/online.out")" 'attempt 1 failed: canceling statement due to lock timeout.*250ms'
is "nothing is pending" "$(owner -c 'SELECT count(*) FROM appdb.pending()')" 0
is "every row was filled, once" "$(sql -c 'SELECT count(*), count(*) FILTER (WHERE words = char_length(content)) FROM app_data.notes')" "$notes|$notes"
is "to the application, no row changed" "$(sql -c 'SELECT md5(string_agg(updated_at::text, NULL ORDER BY id)) FROM app_data.notes WHERE title LIKE $$m%$$')" "$moved"
is "all indexes are valid" "$(sql -c 'SELECT count(*) FROM pg_index WHERE NOT indisvalid')" 0
is "the other index is there, the constraint is not" "$(sql -c "SELECT to_regclass('app_data.notes_title_words_idx') IS NOT NULL, (SELECT count(*) FROM pg_constraint WHERE conname = 'notes_words_check')")" 't|0'
is "again: nothing to do" "$(owner -c 'CALL appdb.migrate_online()')" ''

# == the rest of the ways to be stopped ======================================

# step by step, each terminated where it waits, in a second database
psql -X -q -d postgres -c 'CREATE DATABASE app2 OWNER app_owner' && PGUSER=app_owner psql -X -q -d app2 -v ON_ERROR_STOP=1 -f - >/dev/null 2>&1 <<SQL
CREATE EXTENSION appdb;
\i test/fixture.sql
INSERT INTO appdb.notes (space_id, title, content) SELECT '00000000-0000-7000-8000-000000000021', 'n' || i, repeat('x', i % 100) FROM generate_series(1, 2000) AS i;
ALTER EXTENSION appdb UPDATE TO '99.0';
CREATE INDEX notes_words_idx ON app_data.notes (title);
SQL
like "an index of the same name is in the way" "$(PGUSER=app_owner psql -X -q -At -d app2 -c 'CALL appdb.migrate_online()' 2>&1)" \
	'index "notes_words_idx" exists and is another one.*Give it another name'
PGUSER=app_owner psql -X -q -d app2 -c 'ALTER INDEX app_data.notes_words_idx RENAME TO my_idx'
rounds=0
until [ "$(psql -X -q -At -d app2 -c 'SELECT count(*) FROM app_data.pending')" = 0 ] || [ $rounds = 200 ]; do
	rounds=$((rounds + 1))
	PGUSER=app_owner psql -X -q -d app2 -c 'CALL appdb.migrate_online(20)' >/dev/null 2>&1 &
	online=$!
	# longer and longer, so that a slow machine gets there, too
	psql -X -q -At -d app2 -c "SELECT pg_sleep(0.01 + $((rounds % 10)) * 0.012 * (1 + $rounds / 20))" \
		-c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'app2' AND query LIKE 'CALL appdb.migrate_online%'" >/dev/null
	wait $online 2>/dev/null
done
is "terminated at random, again and again: in the end all is done ($rounds rounds)" \
	"$(psql -X -q -At -d app2 -c "SELECT count(*) FILTER (WHERE words = char_length(content)) = count(*), (SELECT bool_and(indisvalid) FROM pg_index),
		to_regclass('app_data.notes_words_idx') IS NOT NULL, to_regclass('app_data.notes_title_words_idx') IS NOT NULL,
		(SELECT count(*) FROM pg_constraint WHERE conname = 'notes_words_check') FROM app_data.notes")" 't|t|t|t|0'

# beside load: no transaction of an application is aborted for it
cat >"$work/load.sql" <<'SQL'
\set n random(1, 2000)
INSERT INTO appdb.notes (space_id, title) VALUES ('00000000-0000-7000-8000-000000000021', 'new');
UPDATE appdb.notes SET title = 'changed' WHERE title = 'n' || :n;
DELETE FROM appdb.notes WHERE title = 'n' || (:n + 1);
SELECT appdb.find('spaces', '{"with": {"notes": {"limit": 3}}}');
SELECT appdb.enqueue('upgrade');
BEGIN;
UPDATE appdb.notes SET title = 'changed again' WHERE title = 'n' || (:n + 2);
INSERT INTO appdb.chats (space_id, user_id) VALUES ('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001');
COMMIT;
BEGIN;
UPDATE appdb.chats SET title = 'changed' WHERE id = (SELECT id FROM appdb.chats ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED);
UPDATE appdb.notes SET content = 'changed' WHERE title = 'n' || (:n + 3) AND false;
SELECT count(*) FROM appdb.messages;
-- the engine's own views, which are replaced
SELECT count(*) FROM appdb.managed;
SELECT count(*) FROM appdb.relations;
COMMIT;
SQL
psql -X -q -d postgres -c 'CREATE DATABASE app4 OWNER app_owner'
PGUSER=app_owner psql -X -q -d app4 -v ON_ERROR_STOP=1 >/dev/null 2>&1 <<SQL
CREATE EXTENSION appdb;
\i test/fixture.sql
INSERT INTO appdb.notes (space_id, title, content) SELECT '00000000-0000-7000-8000-000000000021', 'n' || i, repeat('x', i % 100) FROM generate_series(1, 2000) AS i;
SQL
PGUSER=app_owner pgbench -n -c 3 -T 600 -f "$work/load.sql" app4 >"$work/load.out" 2>&1 &
load=$!
for _ in $(seq 900); do
	[ "$(psql -X -q -At -d app4 -c "SELECT count(*) > 10 FROM app_data.tasks WHERE kind = 'upgrade'")" = t ] && break
	sleep 0.1
done
PGUSER=app_owner psql -X -q -d app4 -v ON_ERROR_STOP=1 -c "SET lock_timeout = '120s'" -c "ALTER EXTENSION appdb UPDATE TO '99.0'" -c 'CALL appdb.migrate_online(100)' >"$work/out" 2>&1
is "beside load: it gets through" "$?$(grep -v -e NOTICE: -e HINT: "$work/out")" 0
done=$(psql -X -q -At -d app4 -c 'SELECT count(*) FROM app_data.tasks')
for _ in $(seq 900); do
	[ "$(psql -X -q -At -d app4 -c "SELECT count(*) > $done + 10 FROM app_data.tasks")" = t ] && break
	sleep 0.1
done
is "beside load: the application goes on" "$(psql -X -q -At -d app4 -c "SELECT count(*) > $done + 10 FROM app_data.tasks")" t
kill "$load" && wait "$load" 2>/dev/null
is "beside load: none of its transactions was aborted" "$(grep -a 'ERROR' "$work/load.out")$(grep -a 'deadlock detected' "$CLUSTER/log")" ''
is "beside load: every row that was there is filled" "$(psql -X -q -At -d app4 -c "SELECT count(*) FROM app_data.notes WHERE words IS NULL AND title ~ '^n[0-9]'")" 0

# as superuser, whom no code of the owner's may gain anything from
psql -X -q -d postgres -c 'CREATE DATABASE app3 OWNER app_owner'
PGUSER=app_owner psql -X -q -d app3 -v ON_ERROR_STOP=1 >/dev/null 2>&1 <<SQL
CREATE EXTENSION appdb;
\i test/fixture.sql
ALTER EXTENSION appdb UPDATE TO '99.0';
CREATE TABLE public.seen (who name, session name);
CREATE FUNCTION public.look() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.seen VALUES (current_user, session_user); RETURN NEW; END \$\$;
CREATE TRIGGER look BEFORE UPDATE ON app_data.notes FOR EACH ROW EXECUTE FUNCTION public.look();
CREATE FUNCTION public.look2() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.seen VALUES (current_user, session_user); RETURN NULL; END \$\$;
CREATE TRIGGER look AFTER UPDATE OR DELETE ON app_data.pending FOR EACH ROW EXECUTE FUNCTION public.look2();
CREATE FUNCTION public.looking(int) RETURNS bool LANGUAGE plpgsql AS \$\$ BEGIN INSERT INTO public.seen VALUES (current_user, session_user); RETURN true; END \$\$;
ALTER TABLE app_data.notes DROP CONSTRAINT notes_words_check, ADD CONSTRAINT notes_words_check CHECK (public.looking(words)) NOT VALID;
SQL
psql -X -q -d app3 -c 'CALL appdb.migrate_online()' >"$work/out" 2>&1
is "called by a superuser, what the owner has planted runs as the owner" \
	"$(psql -X -q -At -d app3 -c 'SELECT DISTINCT who FROM public.seen' -c 'SELECT count(*) FROM app_data.pending')$(cat "$work/out")" "$(printf 'app_owner\n0')"

is "the server's log has no more than what was killed" "$(grep -acE 'PANIC:|TRAP:|signal 11|signal 6' "$CLUSTER/log")" 0

done_testing
