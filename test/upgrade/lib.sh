# shellcheck shell=bash
#
# lib.sh: what the tests of upgrades share.  Sourced, from the top of the
# checkout.

. test/harness/tap.sh
here=$PWD
export PGOPTIONS='-c client_min_messages=warning'
super=${PGUSER:-postgres}
role=$super

version=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" appdb.control)
released=()
for f in sql/released/appdb--*.sql; do
	v=${f##*/appdb--}
	v=${v%.sql}
	[[ $v == *--* ]] || [ "$v" = "$version" ] || released+=("$v")
done

run_psql() {
	psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# new_database NAME [TEMPLATE]: of the role
new_database() {
	PGUSER=$super run_psql -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1 OWNER $role TEMPLATE ${2:-template0}"
}

# step NAME COMMAND...: it works, and says nothing of errors
step() {
	local name=$1
	shift
	if "$@" >"$work/out" 2>&1; then
		ok "$name"
	else
		not_ok "$name" <"$work/out"
	fi
}

# catalog DATABASE FILE
catalog() {
	psql -X -q -At -f "$here/test/catalog.sql" "$1" >"$2"
}

# The rows of all tables, by the columns that they have now: questions for
# psql, to be asked again when there are more columns.
questions() {
	run_psql "$1" <<-'SQL'
		SELECT format('SELECT %L, %s FROM %s AS t ORDER BY t::text', c.oid::regclass,
			(SELECT string_agg(format('t.%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
			 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped), c.oid::regclass) || ';'
		FROM pg_class AS c
		WHERE c.relkind = 'r' AND c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('app_data', 'public'))
			AND c.oid::regclass::text NOT IN ('app_data.schema_version', 'app_data.pending')
		ORDER BY c.oid::regclass::text COLLATE "C"
	SQL
}

# rows DATABASE QUESTIONS FILE
rows() {
	run_psql "$1" -f "$2" | sort >"$3"
}

# same NAME FILE FILE
same() {
	if [ -s "$2" ] && diff "$2" "$3" >"$work/diff"; then
		ok "$1"
	else
		not_ok "$1" <"$work/diff"
	fi
}

# What is in the first catalog and not in the second: a function that went away
# without being dropped.
say_drops() {
	grep -F 'member: function: ' "$1" | grep -vxFf "$2" |
		sed 's/^member: function: \(.*\)$/DROP FUNCTION IF EXISTS \1;/' >"$work/drops"
	if [ -s "$work/drops" ]; then
		not_ok "$3" < <(echo "Add to sql/migrations/OLD--$version.engine.sql:"; cat "$work/drops")
	else
		ok "$3"
	fi
}

# an application goes on
works() {
	local out
	out=$(run_psql "$1" <<'SQL' 2>&1
INSERT INTO appdb.users (name, email) VALUES ('After', 'after@example.org') RETURNING email, created_at = updated_at, uuid_send(id) IS NOT NULL;
UPDATE appdb.users SET name = 'Later' WHERE email = 'after@example.org' RETURNING name;
DELETE FROM appdb.users WHERE email = 'after@example.org' RETURNING 'deleted';
SELECT deleted_at IS NOT NULL FROM app_data.users WHERE email = 'after@example.org';
SELECT restored, rows FROM appdb.trash AS t, appdb.restore(t.entity, t.id) WHERE t.label = 'Later';
DELETE FROM appdb.users WHERE email = 'after@example.org';
SELECT count(*) > 30 FROM appdb.chats AS c, appdb.messages(c) AS m;
SELECT sum(rows) FROM appdb.restore('appdb.spaces', '00000000-0000-7000-8000-000000000023');
SELECT json_array_length(appdb.find('spaces', '{"with": {"chats": {"with": {"messages": true}}}}')) > 0;
SELECT appdb.enqueue('upgraded', queue => 'upgraded') IS NOT NULL;
SELECT kind, appdb.complete(id, ticket) IS NOT NULL FROM appdb.claim('{upgraded}'::text[], 'worker', 1, '1 minute');
SELECT count(*) FROM appdb.managed WHERE live_view IS NULL;
SQL
	)
	is "$2: the views, triggers and functions work" "$out" "$(printf 'after@example.org|t|t\nLater\ndeleted\nt\napp_data.users|1\nt\n3\nt\nt\nupgraded|t\n0')"
}

make_roles() {
	drop_all >/dev/null 2>&1
	PGUSER=$super run_psql -d postgres -c 'CREATE ROLE appdb_test_owner LOGIN' -c 'CREATE ROLE appdb_test_reader' \
		-c 'CREATE ROLE appdb_test_app' -c 'CREATE ROLE appdb_test_service'
}

drop_all() {
	local d r
	export PGUSER=$super
	for d in current old target; do
		run_psql -d postgres -c "DROP DATABASE IF EXISTS $d"
	done
	for r in owner reader app service; do
		run_psql -d postgres -c "DROP ROLE IF EXISTS appdb_test_$r"
	done
}

# What users do on top of the engine, and an upgrade must leave: dumps keep it,
# DROP EXTENSION CASCADE cannot.
on_the_views() {
	run_psql "$1" <<-'SQL'
		GRANT SELECT, INSERT ON appdb.notes TO appdb_test_reader;
		CREATE FUNCTION public.words(appdb.notes) RETURNS int LANGUAGE sql STABLE AS $$ SELECT cardinality(regexp_split_to_array($1.content, '\s+')) $$;
		CREATE VIEW public.pinned AS SELECT * FROM appdb.notes WHERE pinned_at IS NOT NULL;
		CREATE VIEW public.tenants AS SELECT m.entity, m.live_view, appdb.is_member('00000000-0000-7000-8000-000000000021') AS mine FROM appdb.managed AS m;
		CREATE TABLE public.labels (id uuid PRIMARY KEY DEFAULT appdb.uuidv7(), space_id uuid, made timestamptz GENERATED ALWAYS AS (appdb.uuid_extract_timestamp(id)) STORED);
		ALTER TABLE public.labels ENABLE ROW LEVEL SECURITY;
		CREATE POLICY members ON public.labels USING (appdb.is_member(space_id));
		CREATE INDEX ON public.labels (appdb.uuid_extract_timestamp(id));
		CREATE FUNCTION public.me() RETURNS uuid LANGUAGE sql STABLE RETURN appdb.current_user_id();
		CREATE FUNCTION public.half_done(task uuid, ticket int) RETURNS boolean BEGIN ATOMIC SELECT appdb.progress(task, ticket, 0.5::real, 'half'); END;
		GRANT EXECUTE ON FUNCTION appdb.progress(uuid, int, real, text) TO appdb_test_reader;
		INSERT INTO public.labels (space_id) VALUES ('00000000-0000-7000-8000-000000000021');
	SQL
}
