#!/bin/bash
#
# upgrade.t: a database of every released version becomes one of this version.
#
# As superuser and as an ordinary role that owns its database, with rows in
# every table and with what people add to the tables and make of the engine:
#   - after ALTER EXTENSION ... UPDATE and appdb.migrate_online() the catalogs
#     are those of a fresh installation, and the rows are what they were;
#   - the same where the tables were left by DROP EXTENSION of the old version;
#   - the upgraded database can be dumped and restored.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/upgrade.XXXXXX")
. test/upgrade/lib.sh
trap 'drop_all >/dev/null 2>&1; rm -rf "$work"' EXIT
make_roles

for role in "$super" appdb_test_owner; do
	export PGUSER=$role

	# what it should become
	new_database current
	step "$role: this version" run_psql current -c 'CREATE EXTENSION appdb'
	catalog current "$work/fresh"
	step "$role: its rows and additions" run_psql current -f test/fixture.sql -f test/additions.sql
	catalog current "$work/reattached"
	on_the_views current
	catalog current "$work/current"

	for old in "${released[@]}"; do
		what="$role: $old to $version"

		new_database old
		step "$what: the old version" run_psql old -c "CREATE EXTENSION appdb VERSION '$old'"
		new_database target old
		step "$what: update" run_psql target -c 'ALTER EXTENSION appdb UPDATE'
		step "$what: migrate_online" run_psql target -c 'CALL appdb.migrate_online()'
		catalog target "$work/upgraded"
		same "$what: the catalogs of a fresh installation" "$work/fresh" "$work/upgraded"
		say_drops "$work/upgraded" "$work/fresh" "$what: no function is left behind"

		# whoever needs no subscriptions, files or tasks has dropped these tables
		new_database target old
		step "$what: dropped tables" run_psql target -c 'SET appdb.allow_drop = on' \
			-c 'DROP TABLE app_data.subscriptions, app_data.file_permissions, app_data.message_files, app_data.files, app_data.notes, app_data.folders, app_data.schedules, app_data.tasks, app_data.invitations CASCADE'
		step "$what: dropped tables: update" run_psql target -c 'ALTER EXTENSION appdb UPDATE'
		step "$what: dropped tables: migrate_online" run_psql target -c 'CALL appdb.migrate_online()'
		is "$what: dropped tables: nothing is pending, and all is well" "$(run_psql target -c 'SELECT count(*) FROM appdb.pending()' \
			-c "SELECT object, problem FROM appdb.doctor() WHERE object NOT LIKE 'setting %'" -c "SELECT count(*) FROM appdb.search('x')")" "$(printf '0\n0')"
		step "$what: dropped tables: attach again" run_psql target -c 'SET appdb.allow_drop = on' -c 'DROP EXTENSION appdb CASCADE' -c 'CREATE EXTENSION appdb'
		PGUSER=$super run_psql -d target -c 'SET appdb.allow_drop = on' -c 'DELETE FROM app_data.schema_version' >/dev/null
		like "$what: tables of no version" "$(run_psql target -c 'SELECT appdb.migrate()' 2>&1)" 'schema_version" has 0 rows.*appdb\.doctor\(\)'

		# with rows and additions
		step "$what: rows and additions" run_psql old -f test/fixture.sql -f test/additions.sql
		questions old >"$work/questions"

		new_database target old
		rows target "$work/questions" "$work/rows"
		step "$what: drop and attach again" run_psql target -c 'SET appdb.allow_drop = on' -c 'DROP EXTENSION appdb CASCADE' \
			-c 'CREATE EXTENSION appdb' -c 'CALL appdb.migrate_online()'
		catalog target "$work/upgraded"
		same "$what: attached again, same catalogs" "$work/reattached" "$work/upgraded"
		rows target "$work/questions" "$work/rows_after"
		same "$what: attached again, same rows" "$work/rows" "$work/rows_after"

		on_the_views old
		questions old >"$work/questions"
		new_database target old
		rows target "$work/questions" "$work/rows"
		# a session that is there all the time: what it keeps of the engine is of before
		cat >"$work/session.sql" <<-'SQL'
			SELECT json_array_length(appdb.find('spaces', '{"with": {"chats": true}}')) > 0;
			SELECT count(*) > 0 FROM appdb.spaces AS s, appdb.chats(s);
			SELECT appdb.is_member('00000000-0000-7000-8000-000000000021') IS NULL;
			WITH d AS (DELETE FROM appdb.notes WHERE title = 'session' RETURNING id) SELECT count(*) FROM d;
			INSERT INTO appdb.notes (space_id, title) VALUES ('00000000-0000-7000-8000-000000000021', 'session') RETURNING title;
			UPDATE appdb.notes SET content = 'x' WHERE title = 'session' RETURNING content;
			PREPARE kept AS SELECT n.title FROM appdb.notes AS n JOIN appdb.spaces AS s ON s.id = n.space_id WHERE n.title = 'session';
			EXECUTE kept;
		SQL
		{
			echo 'CREATE TEMP TABLE before AS SELECT id FROM app_data.deletions;'
			cat "$work/session.sql"
			printf '\\! psql -X -q -v ON_ERROR_STOP=1 target -c "ALTER EXTENSION appdb UPDATE" >%s 2>&1 || echo failed\n' "$work/out"
			echo 'EXECUTE kept;'
			grep -v PREPARE "$work/session.sql"
			echo "DELETE FROM appdb.notes WHERE title = 'session';"
			echo "DELETE FROM app_data.notes WHERE title = 'session';"
			echo 'DELETE FROM app_data.deletions WHERE id NOT IN (SELECT id FROM before);'
		} >"$work/sessions.sql"
		is "$what: a session goes on through the update" "$(psql -X -q -At target -f "$work/sessions.sql" 2>&1)" \
			"$(printf 't\nt\nf\n0\nsession\nx\nsession\nsession\nt\nt\nf\n1\nsession\nx\nsession')"
		is "$what: update, with additions" "$(grep -v -e NOTICE: -e HINT: "$work/out")$(run_psql target -c "SELECT extversion FROM pg_extension WHERE extname = 'appdb'")" "$version"
		is "$what: migrate() has nothing to do" "$(run_psql target -c 'SELECT appdb.migrate()')" current
		is "$what: what is pending is of the online part" "$(run_psql target -c "SELECT count(*) FROM appdb.pending() WHERE kind = 'migration'")" 0
		step "$what: migrate_online, with additions" run_psql target -c 'CALL appdb.migrate_online()'
		is "$what: nothing is pending" "$(run_psql target -c 'SELECT count(*) FROM appdb.pending()')" 0
		catalog target "$work/upgraded"
		same "$what: same catalogs, with additions" "$work/current" "$work/upgraded"
		rows target "$work/questions" "$work/rows_after"
		same "$what: same rows" "$work/rows" "$work/rows_after"

		# privileges too: those that the extension gives are not in a dump
		step "$what: dump" pg_dump -f "$work/dump.sql" target
		cp "$work/upgraded" "$work/before"
		new_database current_copy >/dev/null 2>&1
		step "$what: restore" run_psql current_copy -o /dev/null -f "$work/dump.sql"
		catalog current_copy "$work/restored"
		same "$what: the upgraded database restores to the same" "$work/before" "$work/restored"
		PGUSER=$super run_psql -d postgres -c 'DROP DATABASE current_copy'
		works target "$what"
	done
done

done_testing
