#!/bin/bash
#
# purge.sh: appdb.purge() and legal holds.  It commits as it goes, so this is
# not a test in one transaction.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.."
. test/harness/tap.sh

export PGDATABASE=purge PGOPTIONS='-c client_min_messages=warning'

sql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@" 2>&1
}

reset() {
	PGDATABASE=postgres sql -c 'DROP DATABASE IF EXISTS purge' -c 'CREATE DATABASE purge' || exit 1
	sql <<-'SQL' || exit 1
		CREATE EXTENSION appdb;
		CREATE FUNCTION public.id(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
		INSERT INTO appdb.users (id, name) VALUES (id(1), 'Ann'), (id(2), 'Ben');
		INSERT INTO appdb.organizations (id, name, slug) VALUES (id(5), 'Acme', 'acme'), (id(6), 'Other', 'other');
		INSERT INTO appdb.spaces (id, organization_id, name) VALUES (id(11), id(5), 'acme'), (id(12), id(6), 'other');
		INSERT INTO appdb.chats (id, space_id, title, user_id) VALUES (id(21), id(11), 'A', id(1)), (id(22), id(12), 'O', id(1));
		INSERT INTO appdb.messages (id, space_id, chat_id, role, content, user_id)
		SELECT id(c * 100 + i), id(c - 10), id(c), 'user', i::text, id(1) FROM generate_series(21, 22) c, generate_series(1, 20) i;
	SQL
}

# what a test is about: without it, there is none
given() {
	local out
	out=$(sql) || { echo "Bail out! $out"; exit 1; }
}

# what is there, live or not
rows() {
	local t out=
	for t in "$@"; do
		out+="$t=$(sql -c "SELECT count(*) FROM $t") "
	done
	echo "${out% }"
}

# -- what goes, and what stays -----------------------------------------------

reset
sql -c "DELETE FROM appdb.chats WHERE title = 'A'" >/dev/null
is "nothing goes before its time" "$(sql -c 'CALL appdb.purge()'; rows app_data.chats app_data.messages app_data.deletions)" \
	'app_data.chats=2 app_data.messages=40 app_data.deletions=1'
is "the setting says when" "$(sql -c "SET appdb.retention = '1 hour'" -c 'SELECT appdb.retention()' -c 'CALL appdb.purge()'; rows app_data.chats)" "$(printf '01:00:00\napp_data.chats=2')"
is "the time is asked first in a session" "$(sql -c 'SELECT appdb.retention()')" '30 days'
is "what is there can be restored" "$(sql -c 'SELECT restorable, purge_at - deleted_at FROM appdb.trash')" 't|30 days'
is "what is due goes, with its note" "$(sql -c "CALL appdb.purge('0')"; rows app_data.chats app_data.messages app_data.deletions)" \
	'app_data.chats=1 app_data.messages=20 app_data.deletions=0'
is "rows of others stay" "$(sql -c 'SELECT DISTINCT content IS NOT NULL, deleted_at IS NULL, chat_id = id(22) FROM app_data.messages')" 't|t|t'
is "it says what it did" "$(PGOPTIONS='' sql -c "DELETE FROM appdb.chats" -c "CALL appdb.purge('0', 7)" | sed 's/before .*//')" \
	"$(printf 'NOTICE:  purged 20 rows of table "app_data.messages"\nNOTICE:  purged 1 rows of table "app_data.chats"\nNOTICE:  purged 21 rows in all, deleted ')"
like "a batch of nothing" "$(sql -c "CALL appdb.purge('0', 0)")" 'batch must be at least 1'
like "a time to come" "$(sql -c "CALL appdb.purge('-1 day')")" 'cannot purge what was deleted within -1 days'
is "longer ago than anything" "$(sql -c "CALL appdb.purge('1000000 years')" 2>&1)" ''
like "within a transaction" "$(sql -c 'BEGIN' -c "CALL appdb.purge('0')")" 'cannot run inside a transaction block'
sql -c "CREATE ROLE appdb_purge_app" -c "GRANT ALL ON ALL TABLES IN SCHEMA appdb, app_data TO appdb_purge_app" >/dev/null
like "only for the owner" "$(sql -c 'SET ROLE appdb_purge_app' -c "CALL appdb.purge('0')")" 'permission denied for procedure purge'
like "so are holds" "$(sql -c 'SET ROLE appdb_purge_app' -c "SELECT appdb.hold(id(5), 'x')")" 'permission denied for function hold'

reset
sql -c "DELETE FROM appdb.users WHERE name = 'Ann'" -c "DELETE FROM appdb.organizations" >/dev/null
is "everything, one row a batch" "$(sql -c "CALL appdb.purge('0', 1)"; rows app_data.users app_data.organizations app_data.spaces app_data.chats app_data.messages app_data.deletions app_data.unlinked)" \
	'app_data.users=1 app_data.organizations=0 app_data.spaces=0 app_data.chats=0 app_data.messages=0 app_data.deletions=0 app_data.unlinked=0'

# -- references --------------------------------------------------------------

reset
given <<-'SQL'
	-- a thread upwards, one downwards, one at random: no order of the table's pages is all of theirs
	UPDATE appdb.messages SET parent_id = id(2100 + content::int - 1) WHERE chat_id = id(21) AND content::int > 1;
	INSERT INTO appdb.chats (id, space_id) VALUES (id(31), id(11)), (id(32), id(11));
	INSERT INTO appdb.messages (id, space_id, chat_id, role, content) SELECT id(10000 + i), id(11), id(31), 'user', repeat('x', 500) FROM generate_series(1, 500) i;
	UPDATE appdb.messages SET parent_id = id(10000 + right(id::text, 4)::int + 1) WHERE chat_id = id(31) AND id <> id(10500);
	INSERT INTO appdb.messages (id, space_id, chat_id, role, content) SELECT id(20000 + i), id(11), id(32), 'user', repeat('x', 500) FROM generate_series(1, 500) i;
	UPDATE appdb.messages m SET parent_id = o.before
	FROM (SELECT id, lag(id) OVER (ORDER BY md5(id::text)) AS before FROM appdb.messages WHERE chat_id = id(32)) o
	WHERE m.id = o.id;
	DELETE FROM appdb.spaces WHERE name = 'acme';
SQL
is "threads go in one pass, from their ends" "$(sql -c "CALL appdb.purge('0', 10)"; rows app_data.messages app_data.chats app_data.spaces)" \
	'app_data.messages=20 app_data.chats=1 app_data.spaces=1'

reset
given <<-'SQL'
	CREATE TABLE public.a (id uuid PRIMARY KEY, b_id uuid, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.b (id uuid PRIMARY KEY, a_id uuid REFERENCES a, self_id uuid REFERENCES b, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;
	CREATE TABLE public.notes_about (b_id uuid REFERENCES b, chat_id uuid REFERENCES app_data.chats);
	SELECT appdb.manage('a', relations => '{"b_id": {"inverse": "as"}}');
	SELECT appdb.manage('b', relations => '{"a_id": {"inverse": "bs"}, "self_id": {"inverse": "selves"}}');
	-- a chain through both, two circles, one of them referred to, a row that refers to itself
	INSERT INTO appdb.a (id) SELECT id(i) FROM generate_series(1, 20) i;
	INSERT INTO appdb.b (id, a_id) SELECT id(i), id(i) FROM generate_series(1, 20) i;
	UPDATE a SET b_id = id(right(id::text, 2)::int - 1) WHERE right(id::text, 2)::int BETWEEN 2 AND 10;
	UPDATE a SET b_id = id WHERE id IN (id(11), id(12));
	UPDATE a SET b_id = id(14) WHERE id = id(15);
	UPDATE a SET b_id = id(15) WHERE id = id(14);
	UPDATE b SET self_id = id WHERE id = id(16);
	UPDATE b SET self_id = id(18) WHERE id = id(17);
	UPDATE b SET self_id = id(17) WHERE id = id(18);
	INSERT INTO notes_about VALUES (id(12), NULL), (NULL, id(21));
	DELETE FROM appdb.b;
	DELETE FROM appdb.a;
	DELETE FROM appdb.chats;
SQL
is "chains and circles through tables go, except what is still referred to" \
	"$(sql -c "CALL appdb.purge('0', 3)"; sql -c "SELECT 'a', id FROM a UNION ALL SELECT 'b', id FROM b UNION ALL SELECT 'chat', id FROM app_data.chats ORDER BY 1")" \
	"$(printf 'a|00000000-0000-4000-8000-000000000012\nb|00000000-0000-4000-8000-000000000012\nchat|00000000-0000-4000-8000-000000000021')"
is "what stays cannot be restored any more" "$(sql -c "SELECT restorable FROM appdb.trash WHERE entity = 'app_data.chats'::regclass")" f
like "and says so" "$(sql -c "SELECT appdb.restore('appdb.chats', id(21))")" 'cannot be restored any more'
is "once nothing does, it goes too" "$(sql -c 'DELETE FROM notes_about' -c "CALL appdb.purge('0')"; rows a b app_data.chats app_data.deletions)" 'a=0 b=0 app_data.chats=0 app_data.deletions=0'

# a row that cannot go for one that would go with it does not keep those beside it
reset
given <<-'SQL'
	CREATE TABLE public.a (id uuid PRIMARY KEY, next_id uuid REFERENCES a, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.b (id uuid PRIMARY KEY, a_id uuid REFERENCES a ON DELETE CASCADE, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.about (b_id uuid REFERENCES b DEFERRABLE INITIALLY DEFERRED);
	SELECT appdb.manage('a'), appdb.manage('b');
	INSERT INTO appdb.a (id) SELECT id(i) FROM generate_series(1, 20) i;
	UPDATE appdb.a SET next_id = id(right(id::text, 2)::int - 1) WHERE id IN (id(8), id(9), id(10));
	INSERT INTO appdb.b (id, a_id) SELECT id(i), id(i) FROM generate_series(1, 20) i;
	INSERT INTO about VALUES (id(5)), (id(8));
	DELETE FROM appdb.a;
SQL
is "rows that something below keeps stay, and what they refer to" "$(sql -c "CALL appdb.purge('0')"; sql -c "SELECT 'a', right(id::text, 2) FROM a UNION ALL SELECT 'b', right(id::text, 2) FROM b ORDER BY 1, 2")" \
	"$(printf 'a|05\na|07\na|08\nb|05\nb|08')"
is "once nothing does, they go too" "$(sql -c 'DELETE FROM about' -c "CALL appdb.purge('0')"; rows a b app_data.deletions)" 'a=0 b=0 app_data.deletions=0'

# a row that waits for a circle, and one that waits for that
reset
given <<-'SQL'
	CREATE TABLE public.a (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.b (LIKE a INCLUDING ALL, a_id uuid REFERENCES a);
	CREATE TABLE public.c (LIKE a INCLUDING ALL, b_id uuid REFERENCES b, next_id uuid REFERENCES c);
	SELECT appdb.manage('a'), appdb.manage('b'), appdb.manage('c');
	INSERT INTO appdb.a (id) VALUES (id(1));
	INSERT INTO appdb.b (id, a_id) VALUES (id(1), id(1));
	INSERT INTO appdb.c (id, b_id, next_id) VALUES (id(1), id(1), id(2)), (id(2), id(1), id(1));
	DELETE FROM appdb.a;
SQL
is "what a circle refers to goes with it" "$(sql -c "CALL appdb.purge('0')"; rows a b c app_data.deletions)" 'a=0 b=0 c=0 app_data.deletions=0'

# tables that refer to each other, where one forgets
reset
given <<-'SQL'
	CREATE TABLE public.a (id uuid PRIMARY KEY, b_id uuid, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.b (id uuid PRIMARY KEY, a_id uuid REFERENCES a, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b ON DELETE SET NULL;
	SELECT appdb.manage('a', relations => '{"b_id": {"inverse": "as"}}');
	SELECT appdb.manage('b', relations => '{"a_id": {"inverse": "bs"}}');
	INSERT INTO appdb.a (id) VALUES (id(1)), (id(2));
	INSERT INTO appdb.b (id, a_id) VALUES (id(1), id(1)), (id(2), id(1));
	UPDATE a SET b_id = id(2);
	DELETE FROM appdb.a;
SQL
is "tables that refer to each other go at once, where one forgets the other" "$(sql -c "CALL appdb.purge('0')"; rows a b app_data.deletions)" 'a=0 b=0 app_data.deletions=0'

# a foreign key of somebody else's that goes with the row, or forgets it
reset
given <<-'SQL'
	CREATE TABLE public.goes (chat_id uuid REFERENCES app_data.chats ON DELETE CASCADE);
	CREATE TABLE public.forgets (chat_id uuid REFERENCES app_data.chats ON DELETE SET NULL);
	INSERT INTO goes VALUES (id(21));
	INSERT INTO forgets VALUES (id(21));
	DELETE FROM appdb.chats WHERE title = 'A';
SQL
is "foreign keys of others do what they say" "$(sql -c "CALL appdb.purge('0')"; rows goes; sql -c 'SELECT chat_id IS NULL FROM forgets')" "$(printf 'goes=0\nt')"

# -- partitions --------------------------------------------------------------

reset
given <<-'SQL'
	CREATE TABLE public.events (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, n int) PARTITION BY HASH (id);
	CREATE TABLE public.events_0 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
	CREATE TABLE public.events_1 PARTITION OF events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
	SELECT appdb.manage('public.events');
	INSERT INTO appdb.events (n) SELECT i FROM generate_series(1, 1000) i;
	DELETE FROM appdb.events WHERE n % 3 = 0;
SQL
is "rows of a partitioned table go, and no others" "$(sql -c "CALL appdb.purge('0', 5)" -c 'SELECT count(*), count(*) FILTER (WHERE deleted_at IS NULL AND n % 3 <> 0) FROM events')" '667|667'

# -- holds -------------------------------------------------------------------

reset
given <<-'SQL'
	CREATE TABLE public.ledgers (id uuid PRIMARY KEY, organization_id uuid, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.entries (id uuid PRIMARY KEY, ledger_id uuid REFERENCES ledgers, parent_id uuid REFERENCES entries, user_id uuid REFERENCES app_data.users ON DELETE CASCADE,
		created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE TABLE public.pins (id uuid PRIMARY KEY, message_id uuid REFERENCES app_data.messages, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	SELECT appdb.manage('ledgers');
	SELECT appdb.manage('entries');
	SELECT appdb.manage('pins');
	INSERT INTO appdb.ledgers (id, organization_id) VALUES (id(1), id(5)), (id(2), id(6));
	INSERT INTO appdb.entries (id, ledger_id, user_id) VALUES (id(1), id(1), id(2)), (id(2), id(2), NULL);
	INSERT INTO appdb.entries (id, parent_id) VALUES (id(3), id(1)), (id(4), id(3)), (id(5), id(2));
	INSERT INTO appdb.pins (id, message_id) VALUES (id(1), id(2101)), (id(2), id(2201));
	DELETE FROM appdb.pins;
	DELETE FROM appdb.messages WHERE content = '7';
	DELETE FROM appdb.chats;
	DELETE FROM appdb.ledgers;
	DELETE FROM appdb.users WHERE name IN ('Ann', 'Ben');
	DELETE FROM appdb.organizations;
	SELECT appdb.hold(id(5), 'a lawsuit');
SQL
is "a hold has a reason" "$(sql -c 'SELECT reason, created_by FROM app_data.legal_holds')" 'a lawsuit|postgres'
is "what is held has no time to go" "$(sql -c "SELECT DISTINCT purge_at IS NULL, restorable FROM appdb.trash WHERE id IN (id(21), id(2107)) OR entity IN ('ledgers'::regclass, 'pins'::regclass) AND id = id(1)")" 't|t'
is "what is not has" "$(sql -c "SELECT DISTINCT purge_at IS NULL, restorable FROM appdb.trash WHERE id IN (id(22), id(2207)) OR entity IN ('ledgers'::regclass, 'pins'::regclass) AND id = id(2)")" 'f|t'
is "a purge leaves an organization on hold" "$(sql -c "CALL appdb.purge('0', 5)"; rows app_data.organizations app_data.spaces app_data.chats app_data.messages ledgers entries pins app_data.users)" \
	'app_data.organizations=1 app_data.spaces=1 app_data.chats=1 app_data.messages=20 ledgers=1 entries=3 pins=1 app_data.users=2'
is "with who wrote there" "$(sql -c 'SELECT DISTINCT user_id = id(1) FROM app_data.messages')" 't'
is "and in tables of one's own" "$(sql -c 'SELECT id FROM ledgers UNION SELECT id FROM entries UNION SELECT id FROM pins ORDER BY 1')" "$(printf '00000000-0000-4000-8000-00000000000%s\n' 1 3 4)"
is "what is held can be restored" "$(sql -c "SELECT count(*) FROM appdb.trash WHERE restorable")$(sql -c "SELECT * FROM appdb.restore('appdb.organizations', id(5))" -c "SELECT * FROM appdb.restore('appdb.chats', id(21))")" \
	"$(printf '5app_data.organizations|1\napp_data.spaces|1\napp_data.chats|1\napp_data.messages|19')"
is "another purge changes nothing" "$(sql -c "CALL appdb.purge('0')"; rows app_data.messages pins)" 'app_data.messages=20 pins=1'
is "a hold ends" "$(sql -c 'SELECT appdb.release(id(5)), appdb.release(id(5))')" 't|f'
is "and then what is still deleted goes" "$(sql -c "CALL appdb.purge('0')"; rows app_data.organizations app_data.messages ledgers entries pins app_data.users app_data.deletions)" \
	'app_data.organizations=1 app_data.messages=19 ledgers=0 entries=0 pins=0 app_data.users=0 app_data.deletions=0'
like "no hold on nothing" "$(sql -c "SELECT appdb.hold(id(99), 'x')")" 'organization .* does not exist'

# -- stopped in the middle ---------------------------------------------------

reset
given <<-'SQL'
	INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT id(11), id(21), 'user', i::text FROM generate_series(1, 3000) i;
	DELETE FROM appdb.organizations WHERE slug = 'acme';
	-- stops the purge once a third is gone
	CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT count(*) FROM app_data.messages) < 2000 THEN
			PERFORM pg_terminate_backend(pg_backend_pid());
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER stop AFTER DELETE ON app_data.messages FOR EACH STATEMENT EXECUTE FUNCTION stop();
SQL
like "a purge that is stopped" "$(sql -c "CALL appdb.purge('0', 100)")" 'terminating connection due to administrator command'
left=$(sql -c 'SELECT count(*) FROM app_data.messages')
is "has removed what it had done" "$((left < 2300 && left > 1900))" 1
like "what is left of it is not restored" "$(sql -c "SELECT appdb.restore('appdb.organizations', id(5))")" 'cannot be restored any more'
is "it goes on when called again" "$(sql -c 'DROP TRIGGER stop ON app_data.messages' -c "CALL appdb.purge('0', 100)"; rows app_data.messages app_data.organizations app_data.deletions)" \
	'app_data.messages=20 app_data.organizations=1 app_data.deletions=0'

# -- beside others -----------------------------------------------------------

reset
sql -c "DELETE FROM appdb.chats" >/dev/null
other() {
	coproc OTHER { psql -X -q -At 2>&1; }
	# bash forgets OTHER_PID once that has ended
	other=$OTHER_PID
}
other
echo "BEGIN; SELECT content FROM app_data.messages WHERE id = id(2105) FOR UPDATE;" >&"${OTHER[1]}"
read -r locked <&"${OTHER[0]}"
is "rows that others hold are left" "$(sql -c "SET lock_timeout = '5s'" -c "CALL appdb.purge('0')"; rows app_data.messages app_data.chats app_data.deletions)" \
	'app_data.messages=1 app_data.chats=1 app_data.deletions=1'
echo "ROLLBACK; SELECT 'done';" >&"${OTHER[1]}"
read -r locked <&"${OTHER[0]}"
is "until the next time" "$(sql -c "CALL appdb.purge('0')"; rows app_data.messages app_data.chats app_data.deletions)" 'app_data.messages=0 app_data.chats=0 app_data.deletions=0'

eval "exec ${OTHER[1]}>&-"
wait "$other"

# a hold that is put while a purge runs, and one that is about to be
reset
given <<-'SQL'
	INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT id(11), id(21), 'user', i::text FROM generate_series(1, 1000) i;
	DELETE FROM appdb.organizations WHERE slug = 'acme';
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT count(*) FROM app_data.messages) < 700 THEN
			PERFORM pg_advisory_xact_lock_shared(7);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER wait AFTER DELETE ON app_data.messages FOR EACH STATEMENT EXECUTE FUNCTION wait();
SQL
other
echo "SELECT pg_advisory_lock(7);" >&"${OTHER[1]}"
read -r locked <&"${OTHER[0]}"
sql -c "CALL appdb.purge('0', 100)" >/dev/null &
purge=$!
until [ "$(sql -c "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")" = 1 ]; do sleep 0.1; done
like "a purge shows how far it is" "$(sql -c "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'appdb.purge%'")" '^appdb.purge app_data.messages [0-9]+% [0-9]+$'
sql -c "SELECT appdb.hold(id(5), 'in time')" >/dev/null &
hold=$!
until [ "$(sql -c "SELECT count(*) FROM pg_locks WHERE relation = 'app_data.legal_holds'::regclass AND NOT granted")" = 1 ]; do sleep 0.1; done
echo "SELECT pg_advisory_unlock(7);" >&"${OTHER[1]}"
wait $hold
held=$(sql -c 'SELECT count(*) FROM app_data.messages')
wait $purge
is "from a hold on nothing more goes" "$(sql -c 'SELECT count(*) FROM app_data.messages')" "$held"
is "and some was there" "$((held > 400 && held < 700))" 1
eval "exec ${OTHER[1]}>&-"
wait "$other"

# -- the extension updated meanwhile -------------------------------------------

reset
sql -c 'DELETE FROM appdb.messages'
is "a purge that began in 1.0 goes on" "$(sql <<-'SQL'
	SELECT clock_timestamp() AS cutoff \gset
	SELECT FROM appdb._purge_begin(:'cutoff');
	SELECT s.purged, s.end_page, s.rest FROM appdb._purge_stretch('app_data.messages',
		ARRAY[appdb._purge_statement('app_data.messages', 'app_data.messages', false), appdb._purge_statement('app_data.messages', 'app_data.messages', true)],
		:'cutoff', 1000, pg_relation_size('app_data.messages') / current_setting('block_size')::bigint, '{}') s;
	SELECT FROM appdb._purge_notes(:'cutoff');
SQL
) $(rows app_data.messages app_data.deletions)" '40|0|{} app_data.messages=0 app_data.deletions=1'

# -- much --------------------------------------------------------------------

reset
given <<-'SQL'
	ALTER TABLE app_data.messages SET (autovacuum_enabled = off);
	INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT id(11), id(21), 'user', i::text FROM generate_series(1, 20000) i;
	DELETE FROM appdb.organizations WHERE slug = 'acme';
SQL
# no transaction removes more than its batch, although the table was never analyzed
given <<-'SQL'
	CREATE TABLE public.batches (xid xid8, n bigint);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO batches SELECT pg_current_xact_id(), count(*) FROM gone;
		RETURN NULL;
	END $$;
	CREATE TRIGGER note AFTER DELETE ON app_data.messages REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note();
SQL
is "many rows" "$(sql -c "CALL appdb.purge('0', 1000)"; rows app_data.messages)" 'app_data.messages=20'
is "each transaction removes about as many as it was told" "$(sql -c 'SELECT max(n) BETWEEN 300 AND 1500, count(*) BETWEEN 15 AND 80, sum(n) FROM (SELECT sum(n) AS n FROM batches GROUP BY xid HAVING sum(n) > 0) b')" 't|t|20020'

# -- tables of others --------------------------------------------------------

PGDATABASE=postgres sql -c 'DROP DATABASE purge' -c 'CREATE ROLE appdb_purge_owner LOGIN' -c 'CREATE DATABASE purge OWNER appdb_purge_owner'
owner() {
	PGUSER=appdb_purge_owner sql "$@"
}
owner -c 'CREATE EXTENSION appdb' || exit 1
given <<-'SQL'
	-- a superuser's: one that is managed, and one that only refers to users
	CREATE TABLE public.extras (id uuid PRIMARY KEY, chat_id uuid REFERENCES app_data.chats, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz);
	CREATE INDEX ON extras (chat_id);
	SELECT appdb.manage('extras');
	CREATE SCHEMA other;
	CREATE TABLE other.logins (user_id uuid REFERENCES app_data.users);
	INSERT INTO appdb.users (name) VALUES ('Ann'), ('Ben');
	INSERT INTO other.logins SELECT id FROM appdb.users WHERE name = 'Ann';
	INSERT INTO appdb.spaces (owner_id, name) SELECT id, 's' FROM appdb.users WHERE name = 'Ben';
	INSERT INTO appdb.chats (space_id) SELECT id FROM appdb.spaces;
	INSERT INTO appdb.messages (space_id, chat_id, role, content) SELECT space_id, id, 'user', 'x' FROM appdb.chats;
	INSERT INTO appdb.extras DEFAULT VALUES;
SQL
owner -c 'DELETE FROM appdb.chats' -c 'DELETE FROM appdb.users' -c 'DELETE FROM app_data.spaces' >/dev/null
sql -c 'DELETE FROM appdb.extras'
everything='app_data.users app_data.chats app_data.messages public.extras app_data.deletions'
# shellcheck disable=SC2086
like "what the owner cannot read or erase is passed over, and it says so" "$(PGOPTIONS='' owner -c "CALL appdb.purge('0')" | grep -A1 WARNING | tr '\n' ' ')" \
	'"app_data.chats" is not purged.*table "extras", which belongs.*"app_data.users" is not purged.*table "other.logins", which.*"extras" is not purged'
is "the rest goes" "$(rows $everything)" 'app_data.users=2 app_data.chats=1 app_data.messages=0 public.extras=1 app_data.deletions=3'
like "doctor() says so, too" "$(owner -c "SELECT object, problem FROM appdb.doctor() WHERE object IN ('public.extras', 'other.logins')")" \
	'other.logins.*passes over "app_data.users".*public.extras.*passes over "app_data.chats", "public.extras"'
sql -c "SELECT fix FROM appdb.doctor() WHERE problem LIKE '%passes over%'" | sql
is "and what it says to type helps" "$(owner -c "SELECT object FROM appdb.doctor() WHERE problem LIKE '%passes over%'" -c "CALL appdb.purge('0')"; rows $everything)" \
	'app_data.users=1 app_data.chats=0 app_data.messages=0 public.extras=0 app_data.deletions=1'
is "the table is the owner's" "$(owner -c 'ALTER TABLE extras ADD COLUMN more text' -c "SELECT appdb.manage('extras')" -c 'SELECT more FROM appdb.extras')" ''

PGDATABASE=postgres sql -c 'DROP DATABASE purge' -c 'DROP ROLE appdb_purge_app, appdb_purge_owner'
done_testing
