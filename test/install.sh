#!/bin/bash
#
# install.sh: who can install appdb where, and who cannot gain anything by it.
#
# The script of a trusted extension runs as superuser for a role that is none,
# in a database where that role, and others, may have put things in its way.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. test/harness/tap.sh

super=${PGUSER:-postgres}

# as ROLE [psql's arguments]: statements from the arguments or standard input
as() {
	local role=$1
	shift
	PGUSER=$role psql -X -q -At -d install "$@" 2>&1
}

reset() {
	PGUSER=$super psql -X -q -d postgres >/dev/null 2>&1 <<-'SQL'
		DROP DATABASE IF EXISTS install;
		DROP ROLE IF EXISTS appdb_mallory;
		DROP ROLE IF EXISTS appdb_owner;
		DROP ROLE IF EXISTS appdb_nobody;
		CREATE ROLE appdb_owner LOGIN;
		CREATE ROLE appdb_mallory LOGIN;
		CREATE ROLE appdb_nobody LOGIN;
		CREATE DATABASE install OWNER appdb_owner TEMPLATE template0;
	SQL
}

no_gain() {
	is "$1: nobody became superuser" "$(as "$super" -c "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname LIKE 'appdb\\_%'")" 0
	is "$1: no planted code ran as superuser" "$(as "$super" -c "SELECT count(*) FROM evil.log WHERE super" 2>&1)" 0
}

# Code that says whether it runs as a superuser, and takes what it can get.
plant() {
	local role=$1
	as "$role" >/dev/null <<-SQL
		CREATE SCHEMA evil;
		GRANT USAGE ON SCHEMA evil TO PUBLIC;
		CREATE TABLE evil.log (what text, who name, super boolean);
		GRANT INSERT ON evil.log TO PUBLIC;
		CREATE FUNCTION evil.run(what text) RETURNS boolean LANGUAGE plpgsql AS \$\$
		BEGIN
			INSERT INTO evil.log VALUES (what, current_user, (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user));
			IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
				ALTER ROLE $role SUPERUSER;
			ELSIF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = session_user) THEN
				BEGIN
					EXECUTE 'RESET ROLE';
					EXECUTE 'SET SESSION AUTHORIZATION DEFAULT';
					IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user) THEN
						ALTER ROLE $role SUPERUSER;
					END IF;
				EXCEPTION WHEN OTHERS THEN
					NULL;
				END;
			END IF;
			RETURN true;
		END \$\$;
		CREATE FUNCTION evil.trigger_function() RETURNS trigger LANGUAGE plpgsql AS \$\$
		BEGIN
			PERFORM evil.run(TG_NAME);
			RETURN NEW;
		END \$\$;
		-- better matches than the built-in ones, for what a script might say without a schema
		CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS \$\$ SELECT evil.run('now'); SELECT pg_catalog.now() \$\$;
		CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE sql AS \$\$ SELECT evil.run('format'); SELECT pg_catalog.format(\$1, \$2) \$\$;
		CREATE FUNCTION evil.quote_ident(name) RETURNS text LANGUAGE sql AS \$\$ SELECT evil.run('quote_ident'); SELECT pg_catalog.quote_ident(\$1) \$\$;
		CREATE FUNCTION evil.length(text) RETURNS int LANGUAGE sql AS \$\$ SELECT evil.run('length'); SELECT pg_catalog.length(\$1) \$\$;
		CREATE FUNCTION evil.char_length(text) RETURNS int LANGUAGE sql AS \$\$ SELECT evil.run('char_length'); SELECT pg_catalog.char_length(\$1) \$\$;
		CREATE FUNCTION evil.lower(text) RETURNS text IMMUTABLE LANGUAGE sql AS \$\$ SELECT evil.run('lower'); SELECT pg_catalog.lower(\$1) \$\$;
		CREATE FUNCTION evil.eq(name, name) RETURNS boolean LANGUAGE sql AS \$\$ SELECT evil.run('=') \$\$;
		CREATE FUNCTION evil.eq(text, text) RETURNS boolean LANGUAGE sql AS \$\$ SELECT evil.run('=') \$\$;
		CREATE FUNCTION evil.eq(oid, oid) RETURNS boolean LANGUAGE sql AS \$\$ SELECT evil.run('=') \$\$;
		CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.eq);
		CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.eq);
		CREATE OPERATOR evil.= (LEFTARG = oid, RIGHTARG = oid, FUNCTION = evil.eq);
		CREATE DOMAIN evil.uuid AS pg_catalog.text CHECK (evil.run('domain uuid'));
		CREATE DOMAIN evil.timestamptz AS pg_catalog.text CHECK (evil.run('domain timestamptz'));
		CREATE TABLE evil.pg_class AS SELECT 1 AS oid;
		CREATE VIEW evil.pg_attribute AS SELECT evil.run('pg_attribute');
	SQL
}

# == who can ================================================================

reset
is "the database's owner installs it" "$(as appdb_owner -c 'CREATE EXTENSION appdb')" ""
is "the owner is no superuser, and owns all tables" \
	"$(as "$super" -c "SELECT bool_and(tableowner = 'appdb_owner') FROM pg_tables WHERE schemaname = 'app_data'")" t
is "and all views" "$(as "$super" -c "SELECT bool_and(viewowner = 'appdb_owner') FROM pg_views WHERE schemaname = 'appdb' AND viewname IN ('users', 'notes', 'tasks')")" t
is "no table, view or type belongs to the extension" "$(as "$super" -c "
	SELECT count(*) FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
	WHERE e.extname = 'appdb' AND (d.classid = 'pg_type'::regclass AND EXISTS (SELECT FROM pg_type AS t WHERE t.oid = d.objid AND t.typnamespace = 'app_data'::regnamespace)
		OR c.relnamespace = 'app_data'::regnamespace)")" 0
is "the owner uses it" "$(as appdb_owner -c "INSERT INTO appdb.users (name) VALUES ('x') RETURNING name")" x
is "deletes, looks into the trash, restores, purges" "$(as appdb_owner -c "DELETE FROM appdb.users WHERE name = 'x'" \
	-c "SELECT label, (appdb.restore(entity, id)).rows FROM appdb.trash" -c "DELETE FROM appdb.users WHERE name = 'x'" \
	-c "SET client_min_messages = warning" -c "CALL appdb.purge('0')" -c 'SELECT count(*) FROM app_data.users')" "$(printf 'x|1\n0')"
like "others do not" "$(as appdb_nobody -c 'SELECT * FROM appdb.users')" 'permission denied'
like "others do not install or manage" "$(as appdb_nobody -c 'SELECT appdb.install()')" 'permission denied|must have the privileges'
like "others cannot manage other people's tables" "$(as appdb_nobody -c "SELECT appdb.manage('app_data.users')")" 'permission denied|must be owner|must have the privileges'
like "schema appdb takes nothing from others" "$(as appdb_nobody -c 'CREATE FUNCTION appdb.x() RETURNS int LANGUAGE sql RETURN 1')" 'permission denied'

reset
like "a role without rights in the database cannot install it" "$(as appdb_nobody -c 'CREATE EXTENSION appdb')" 'permission denied'
is "nothing is left of the attempt" "$(as "$super" -c "SELECT count(*) FROM pg_namespace WHERE nspname IN ('appdb', 'app_data')")" 0

# the tables are given to another role, who was granted nothing in schema appdb
reset
as appdb_owner -c 'CREATE EXTENSION appdb'
as "$super" -c 'REASSIGN OWNED BY appdb_owner TO appdb_nobody'
is "given to another role: doctor() says what is wrong" "$(as "$super" -c 'SELECT severity, object, fix FROM appdb.doctor()')" \
	'error|schema appdb|SELECT appdb.install(); -- as a superuser'
is "that helps" "$(as "$super" -c 'SELECT appdb.install()' -c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'" 2>&1 | grep -v NOTICE)" attached
is "the new owner uses it" "$(as appdb_nobody -c "INSERT INTO appdb.users (name) VALUES ('x')" -c "DELETE FROM appdb.users RETURNING name" \
	-c "SELECT (appdb.restore(entity, id)).rows FROM appdb.trash" -c "SELECT appdb.manage('app_data.users')" -c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" \
	"$(printf 'x\n1')"

is "who owned them before has nothing any more" "$(as "$super" -c "SELECT count(*) FROM pg_proc AS p, aclexplode(p.proacl) AS a WHERE a.grantee = 'appdb_owner'::regrole" \
	-c "SELECT has_schema_privilege('appdb_owner', 'appdb', 'CREATE')")" "$(printf '0\nf')"

# the tables are given to the application's role, and to a superuser
for level in app service; do
	reset
	as appdb_owner -c 'CREATE EXTENSION appdb' -c "SELECT appdb.grant_access('appdb_mallory', '$level'), appdb.grant_access('appdb_nobody', '$level')" >/dev/null
	as "$super" -c 'REASSIGN OWNED BY appdb_owner TO appdb_nobody'
	is "given to an application's role of level $level: install() helps" "$(as "$super" -c 'SELECT appdb.install()' \
		-c "SELECT object, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" "$(printf "attached\nrole appdb_nobody|SELECT appdb.revoke_access('appdb_nobody');")"
	is "and so does what doctor() says" "$(as appdb_nobody -c "SELECT appdb.revoke_access('appdb_nobody')" -c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" t
	is "the new owner uses it" "$(as appdb_nobody -c "INSERT INTO appdb.users (name) VALUES ('x')" -c "DELETE FROM appdb.users RETURNING name" -c "SET client_min_messages = warning" -c "CALL appdb.purge('0')" -c 'SELECT count(*) FROM app_data.users')" \
		"$(printf 'x\n0')"
	is "others have what they had" "$(as appdb_mallory -c 'SELECT count(*) FROM appdb.users' -c "SELECT has_function_privilege('appdb.leave(uuid, uuid)', 'EXECUTE'), has_function_privilege('appdb.impersonate(uuid, boolean)', 'EXECUTE')")" \
		"$(printf '0\nt|%s' "$([ $level = service ] && echo t || echo f)")"
	is "which the new owner takes back" "$(as appdb_nobody -c "SELECT appdb.revoke_access('appdb_mallory')" \
		-c "SELECT has_function_privilege('appdb_mallory', 'appdb.leave(uuid, uuid)', 'EXECUTE'), has_function_privilege('appdb_mallory', 'appdb.impersonate(uuid, boolean)', 'EXECUTE')")" "$(printf 't\nf|f')"
	as appdb_nobody -c "SELECT appdb.grant_access('appdb_mallory', '$level')" >/dev/null
	as "$super" -c "REASSIGN OWNED BY appdb_nobody TO \"$super\""
	is "given to a superuser: doctor() names who still has rights" "$(as "$super" -c "SELECT object, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" \
		'role appdb_nobody|SELECT appdb.install(); -- as a superuser'
	is "install() takes them" "$(as "$super" -c 'SELECT appdb.install()' -c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'" \
		-c "SELECT has_function_privilege('appdb_nobody', 'appdb.impersonate(uuid, boolean)', 'EXECUTE'), has_function_privilege('appdb_mallory', 'appdb.leave(uuid, uuid)', 'EXECUTE')")" "$(printf 'attached\nf|t')"
done

# the schema alone is given away
reset
as appdb_owner -c 'CREATE EXTENSION appdb'
as "$super" -c 'ALTER SCHEMA app_data OWNER TO appdb_nobody'
is "the schema alone is given away: doctor() says so" "$(as "$super" -c 'SELECT severity, object, fix FROM appdb.doctor()')" 'error|schema app_data|ALTER SCHEMA app_data OWNER TO appdb_owner;'

# one thing alone is, as where a superuser restores it
for what in 'TABLE app_data.spaces' 'TABLE app_data.managed' 'VIEW appdb.notes' 'FUNCTION appdb.notes(appdb.spaces)'; do
	reset
	as appdb_owner -c 'CREATE EXTENSION appdb'
	as "$super" -c "ALTER $what OWNER TO \"$super\""
	is "$what is given away: doctor() says so" "$(as "$super" -c "SELECT severity, object, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" "error|${what#* }|ALTER $what OWNER TO appdb_owner;"
	as "$super" -c "ALTER $what OWNER TO appdb_owner"
	is "that helps" "$(as appdb_owner -c 'SET client_min_messages = warning' -c 'SELECT appdb.install()' -c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" attached
done

# access that one has given another takes back
reset
as appdb_owner -c 'CREATE EXTENSION appdb'
for roles in "$super appdb_owner" "appdb_owner $super" "$super $super" "appdb_owner appdb_owner"; do
	for what in "revoke_access('appdb_nobody')" "grant_access('appdb_nobody', 'readonly')"; do
		as "${roles% *}" -c "SELECT appdb.grant_access('appdb_nobody', 'service')" >/dev/null
		is "${roles/ / gives, }: $what" "$(as "${roles#* }" -c "SELECT FROM appdb.$what" -c "SELECT count(*) FROM pg_proc AS p, aclexplode(p.proacl) AS a WHERE a.grantee = 'appdb_nobody'::regrole")" 0
	done
done
like "others take nothing back" "$(as appdb_mallory -c "SELECT appdb._revoke_functions('appdb_owner')")" 'must have the privileges of the owner'

# what everybody may execute does not hang on default privileges
for who in appdb_owner "$super"; do
	reset
	as "$who" -c 'ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC'
	is "default privileges of $who: installed" "$(as appdb_owner -c 'CREATE EXTENSION appdb' -c "SELECT FROM appdb.grant_access('appdb_nobody', 'app')" \
		-c "INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'x')" -c "INSERT INTO appdb.spaces (owner_id, name) SELECT id, 'x' FROM appdb.users" \
		-c "INSERT INTO appdb.folders (space_id, name) SELECT id, 'y' FROM appdb.spaces" -c "SELECT defaclnamespace FROM pg_default_acl WHERE defaclnamespace <> 0")" ''
	is "and used by an application" "$(as "$super" -c BEGIN -c "SELECT FROM appdb.impersonate('00000000-0000-4000-8000-000000000001')" -c 'SET LOCAL ROLE appdb_nobody' \
		-c 'SELECT s.name, appdb.path(f) FROM appdb.spaces AS s, appdb.folders(s) AS f')" 'x|y'
	is "not what is the owner's to do" "$(as "$super" -c "SELECT has_function_privilege('appdb_nobody', 'appdb.impersonate(uuid, boolean)', 'EXECUTE'), has_function_privilege('appdb_nobody', 'appdb.install()', 'EXECUTE')")" 'f|f'
done

reset
as appdb_owner -c 'ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC' -c "CREATE EXTENSION appdb VERSION '1.0'" -c 'SET client_min_messages = warning' -c 'ALTER EXTENSION appdb UPDATE' \
	-c 'REVOKE EXECUTE ON FUNCTION appdb.notes(appdb.spaces) FROM PUBLIC' -c 'SELECT FROM appdb.install()'
is "an upgrade opens the relation functions that 1.0 made, but what is closed on purpose stays so" "$(as "$super" -c "SELECT count(*) > 80, count(*) FILTER (WHERE NOT has_function_privilege('appdb_nobody', function, 'EXECUTE')) FROM appdb.relations")" 't|1'

# nor does what the engine keeps: whoever writes that has any level
reset
as appdb_owner -c 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO appdb_nobody, appdb_mallory' -c 'CREATE EXTENSION appdb' -c "SELECT FROM appdb.grant_access('appdb_nobody', 'app')"
is "default privileges to everything: a role has what its level gives" "$(as appdb_nobody -c "INSERT INTO app_data.access VALUES ('appdb_mallory', 'service')")" 'ERROR:  permission denied for table access'
is "on no table more" "$(as "$super" -c "SELECT relname, privilege_type FROM pg_class, aclexplode(relacl) WHERE relnamespace IN ('app_data'::regnamespace, 'appdb'::regnamespace)
	AND grantee = 'appdb_nobody'::regrole AND (privilege_type IN ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN') OR relname IN ('sessions', 'accounts', 'verifications') OR relname = ANY (appdb._own_tables()))")" ''
is "doctor() says who else may write it" "$(as appdb_owner -c "SELECT object, fix FROM appdb.doctor() WHERE problem ~ 'engine.s own'" | sort | sed -n '1p;$=')" \
	"$(printf 'app_data.access|REVOKE ALL ON app_data.access FROM appdb_mallory;\n7')"

# nothing of it was restored
for level in app readonly service; do
	reset
	as appdb_owner -c 'CREATE EXTENSION appdb' -c "SELECT FROM appdb.grant_access('appdb_nobody', '$level')" -c "SELECT FROM appdb.grant_access('appdb_mallory', '$level')"
	as "$super" -c 'DROP OWNED BY appdb_nobody'
	is "doctor() says that level $level has no rights" "$(as appdb_owner -c "SELECT object, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" 'role appdb_nobody|SELECT appdb.install();'
	is "install() gives level $level again" "$(as appdb_owner -c 'SELECT appdb.install()' -c "
		WITH acl (what, grantee) AS (
			SELECT (c.oid::regclass, a.privilege_type)::text, a.grantee FROM pg_class AS c, aclexplode(c.relacl) AS a
			UNION ALL SELECT (p.oid::regprocedure, a.privilege_type)::text, a.grantee FROM pg_proc AS p, aclexplode(p.proacl) AS a
			UNION ALL SELECT (n.nspname, a.privilege_type)::text, a.grantee FROM pg_namespace AS n, aclexplode(n.nspacl) AS a
			UNION ALL SELECT p.polrelid::regclass::text, r FROM pg_policy AS p, unnest(p.polroles) AS r)
		SELECT what FROM acl WHERE grantee IN ('appdb_nobody'::regrole, 'appdb_mallory'::regrole) GROUP BY what HAVING count(*) <> 2")" attached
	is "a role can be dropped once level $level is taken back" "$(as "$super" -c 'DROP OWNED BY appdb_nobody' -c "SELECT appdb.revoke_access('appdb_nobody')" \
		-c "SELECT count(*) FROM pg_shdepend AS d JOIN pg_database AS b ON b.oid = d.dbid WHERE b.datname = current_database() AND d.refobjid = 'appdb_nobody'::regrole")" "$(printf 't\n0')"
done

# a superuser may hand on more
reset
as appdb_owner -c 'CREATE EXTENSION appdb'
is "who may grant a function, by a superuser's will, is no former owner" "$(as "$super" -c 'GRANT EXECUTE ON FUNCTION appdb.impersonate(uuid, boolean) TO appdb_nobody WITH GRANT OPTION' \
	-c "SELECT object FROM appdb.doctor() WHERE object NOT LIKE 'setting %'" -c 'SELECT appdb.install()' -c "SELECT has_function_privilege('appdb_nobody', 'appdb.impersonate(uuid, boolean)', 'EXECUTE WITH GRANT OPTION')")" "$(printf 'attached\nt')"

# == what is in the way =====================================================

reset
as appdb_owner -c 'CREATE SCHEMA app_data'
like "an empty app_data: a restore is assumed" "$(as appdb_owner -c 'CREATE EXTENSION appdb')" 'NOTICE.*a restore is assumed'
is "doctor() says that the tables are missing" "$(as appdb_owner -c "SELECT object, problem, fix FROM appdb.doctor()")" \
	"schema app_data|it has no tables of appdb's|SELECT appdb.install();  -- unless a restore is under way, which makes them"
like "and so does enqueue()" "$(as appdb_owner -c "SELECT appdb.enqueue('x')")" 'HINT:  SELECT appdb.install\(\) makes the tables'
is "it has no tables yet" "$(as appdb_owner -c "SELECT count(*) FROM pg_tables WHERE schemaname = 'app_data'")" 0
is "install() makes them" "$(as appdb_owner -c 'SELECT appdb.install()' | grep -v NOTICE)" installed
is "again: nothing changes" "$(as appdb_owner -c 'SELECT appdb.install()')" attached
is "they work" "$(as appdb_owner -c "INSERT INTO appdb.users (name) VALUES ('x') RETURNING name")" x

reset
as appdb_owner -c 'CREATE SCHEMA app_data' -c 'CREATE TABLE app_data.mine ()'
out=$(as appdb_owner -c 'CREATE EXTENSION appdb')
like "an app_data that is not appdb's: refused" "$out" 'ERROR.*not appdb'
like "and it is said what to do" "$out" 'HINT.*Rename'

reset
as appdb_owner -c 'CREATE TABLE public.users ()' -c 'CREATE TABLE public.managed ()' -c 'CREATE TYPE public.space_role AS ENUM ()'
is "names that are taken in public do not matter" "$(as appdb_owner -c 'CREATE EXTENSION appdb')" ""

# == attacks ================================================================

# a role that may make schemas makes this one first
reset
as "$super" -c 'GRANT CREATE ON DATABASE install TO appdb_mallory'
plant appdb_mallory
as appdb_mallory -c 'CREATE SCHEMA appdb' -c 'GRANT ALL ON SCHEMA appdb TO PUBLIC' \
	-c "CREATE FUNCTION appdb.uuidv7() RETURNS uuid LANGUAGE sql AS \$\$ SELECT evil.run('uuidv7'); SELECT gen_random_uuid() \$\$"
like "a planted schema appdb stops the script (trusted)" "$(as appdb_mallory -c 'CREATE EXTENSION appdb')" 'schema "appdb" already exists'
like "a planted schema appdb stops the script (superuser)" "$(as "$super" -c 'CREATE EXTENSION appdb')" 'schema "appdb" already exists'
no_gain "planted schema"

# the search path
reset
plant appdb_owner
as appdb_owner -c 'ALTER DATABASE install SET search_path = evil, pg_catalog, public' -c 'ALTER ROLE appdb_owner SET search_path = evil, pg_catalog, public'
out=$(as appdb_owner <<'SQL'
SET search_path = evil, pg_catalog;
CREATE TEMP TABLE pg_class (oid int);
CREATE TEMP TABLE managed (x int);
CREATE EXTENSION appdb;
SQL
)
is "planted functions, operators, types and tables do not disturb the script" "$out" ""
out=$(as appdb_owner <<'SQL'
SET search_path = evil, pg_catalog;
INSERT INTO appdb.users (name, email) VALUES ('x', 'x@example.org');
UPDATE appdb.users SET name = 'y';
DELETE FROM appdb.users;
SELECT appdb.manage('app_data.users');
SQL
)
is "nor the engine" "$out" ""
is "none of them ran" "$(as "$super" -c "SELECT count(*) FROM evil.log")" 0
no_gain "search path"

# tables of appdb's that somebody else has prepared, and a superuser installs
for deferred in '' 'CONSTRAINT'; do
	reset
	plant appdb_owner
	as appdb_owner >/dev/null <<-SQL
		CREATE EXTENSION appdb;
		SET appdb.allow_drop = on;
		DROP EXTENSION appdb CASCADE;
		DROP TABLE app_data.verifications;
		CREATE $deferred TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON app_data.managed ${deferred:+DEFERRABLE INITIALLY DEFERRED}
			FOR EACH ROW EXECUTE FUNCTION evil.trigger_function();
		CREATE TABLE public.also (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
		INSERT INTO app_data.managed (entity, view) VALUES ('public.also', 'also');
		DELETE FROM evil.log;
		ALTER TABLE app_data.users ADD CHECK (evil.run('check'));
		CREATE INDEX ON app_data.notes ((evil.run('index')));
		ALTER TABLE app_data.managed ENABLE ROW LEVEL SECURITY;
		ALTER TABLE app_data.managed FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON app_data.managed USING (evil.run('policy'));
		CREATE RULE r AS ON UPDATE TO app_data.schema_version DO ALSO SELECT evil.run('rule');
	SQL
	out=$(as "$super" -c 'CREATE EXTENSION appdb' -c 'SELECT appdb.install()' -c "SELECT appdb.manage('app_data.users')" | grep -v NOTICE)
	no_gain "prepared tables${deferred:+, deferred trigger}"
	if [ -z "$deferred" ]; then
		is "prepared tables: appdb is attached, views owned by their owner" "$(as "$super" -c "
			SELECT count(*) FROM pg_views WHERE schemaname = 'appdb' AND viewname = 'users' AND viewowner = 'appdb_owner'")" 1
	else
		like "deferred trigger: refused" "$out" 'ERROR.*cannot fire deferred trigger'
	fi
done

# a superuser calls what works with the rights of the tables' owner, who has
# prepared that: a deferred trigger would fire at commit, as the superuser, and
# a search_path would stay
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'x');
	INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000011', 'x', 'x');
	CREATE TABLE public.bait (n int);
	CREATE CONSTRAINT TRIGGER planted AFTER INSERT ON public.bait DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.trigger_function();
	CREATE CONSTRAINT TRIGGER planted AFTER INSERT ON app_data.organizations DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.trigger_function();
	-- of a row: one of no row could be left until after the rest of a query's conditions
	CREATE FUNCTION public.bait(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.bait VALUES (1); RETURN true; END $$;
	CREATE FUNCTION public.path(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN set_config('search_path', 'evil', false) IS NOT NULL; END $$;
SQL
as appdb_owner -c "SELECT appdb.grant_access('appdb_nobody', 'app')" >/dev/null
# in a table's place a view that calls a function
baited() {
	as appdb_owner -c "CREATE OR REPLACE VIEW app_data.$1 AS SELECT * FROM app_data.kept_$1 AS t WHERE public.$2(t)"
}
like "create_organization(): refused" "$(as "$super" -c "BEGIN; SELECT appdb.impersonate('00000000-0000-4000-8000-000000000001'); SELECT appdb.create_organization('o', 'o'); COMMIT")" \
	'cannot fire deferred trigger'
no_gain "create_organization()"
as appdb_owner -c 'SET appdb.allow_drop = on' -c 'ALTER TABLE app_data.users RENAME TO kept_users' -c 'ALTER TABLE app_data.access RENAME TO kept_access' >/dev/null
baited users bait
like "impersonate(): refused" "$(as "$super" -c "SELECT appdb.impersonate('00000000-0000-4000-8000-000000000001')")" 'cannot fire deferred trigger'
baited users path
is "impersonate(): no setting stays" "$(as "$super" -c "SELECT appdb.impersonate('00000000-0000-4000-8000-000000000001') IS NOT NULL" -c 'SHOW search_path')" "$(printf 't\n"$user", public')"
baited access bait
like "doctor(): refused" "$(as "$super" -c 'SELECT count(*) FROM appdb.doctor()')" 'cannot fire deferred trigger'
baited access path
like "doctor(): no setting stays" "$(as "$super" -c 'SELECT count(*) >= 0 FROM appdb.doctor()' -c 'SHOW search_path')" "user\", public"
no_gain "functions that work as the owner"
# policies hold for no superuser: one that asks what they say has them tried as the owner
as appdb_owner -c 'CREATE POLICY bait ON app_data.organizations USING (public.bait(organizations))' >/dev/null
like "explain_access(): refused" "$(as "$super" -c "SELECT question FROM appdb.explain_access('app_data.organizations', '00000000-0000-4000-8000-000000000011')")" \
	'cannot fire deferred trigger'
no_gain "explain_access()"

# nor do the owner's triggers on what a superuser writes, or what they have put in a table's place, leave settings, or run as who looks into the trash
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	CREATE FUNCTION evil.path() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'evil', false); RETURN NULL; END $$;
	CREATE TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON app_data.managed FOR EACH STATEMENT EXECUTE FUNCTION evil.path();
	CREATE TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON app_data.folders FOR EACH STATEMENT EXECUTE FUNCTION evil.path();
	CREATE TRIGGER planted AFTER UPDATE OR DELETE ON app_data.tasks FOR EACH STATEMENT EXECUTE FUNCTION evil.path();
	INSERT INTO app_data.users (id, name) VALUES ('00000000-0000-7000-8000-000000000001', 'x');
	INSERT INTO app_data.spaces (id, owner_id, name) SELECT id, id, name FROM app_data.users;
	INSERT INTO app_data.folders (space_id, name) SELECT id, name FROM app_data.spaces;
	SELECT appdb.enqueue('x', run_at => NULL) FROM generate_series(1, 3);
SQL
for what in "SELECT FROM appdb.claim('{default}'::text[], 'w'::text)" \
	"DELETE FROM appdb.spaces" \
	"SELECT FROM appdb.restore('app_data.spaces'::regclass, '00000000-0000-7000-8000-000000000001'::uuid)" \
	"SELECT FROM appdb.install()" "SELECT FROM appdb.manage('app_data.notes')" "SELECT FROM appdb.unmanage('app_data.notes')"; do
	like "$what: no setting stays" "$(as "$super" -c 'SET appdb.allow_drop = on' -c "$what" -c 'SHOW search_path')" "^..user\", public"
done
as appdb_owner >/dev/null <<-'SQL'
	CREATE TABLE app_data.theirs AS SELECT gen_random_uuid() AS id, now() AS deleted_at;
	CREATE VIEW app_data.bait AS SELECT * FROM app_data.theirs AS t WHERE evil.run(t.id::text);
	INSERT INTO app_data.managed (entity, view) VALUES ('app_data.bait', 'bait');
	SET appdb.allow_drop = on;
	ALTER TABLE app_data.deletions RENAME TO kept_deletions;
	CREATE VIEW app_data.deletions AS SELECT * FROM app_data.kept_deletions AS d WHERE set_config('search_path', 'evil', false) <> d.id::text;
	INSERT INTO app_data.users (name, deleted_at) VALUES ('x', now());
	INSERT INTO app_data.kept_deletions (deleted_at, entity, role, rows) SELECT deleted_at, 'app_data.users', 'x', 1 FROM app_data.users WHERE deleted_at IS NOT NULL;
SQL
like "the trash: no setting stays" "$(as "$super" -c 'SELECT label FROM appdb.trash' -c 'SHOW search_path')" "^x.\"?.user\", public"
no_gain "the trash"

# what is the owner's to do, and a superuser does
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'x'), ('00000000-0000-4000-8000-000000000002', 'y');
	INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000011', 'x', 'x');
	INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES ('00000000-0000-4000-8000-000000000002', 'x', now() - interval '2 days');
	DELETE FROM appdb.users WHERE name = 'x';
	DO $$
	DECLARE
		t regclass;
	BEGIN
		FOREACH t IN ARRAY '{app_data.access,app_data.legal_holds,app_data.deletions,app_data.users,app_data.sessions}'::regclass[] LOOP
			EXECUTE format('CREATE TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION evil.trigger_function()', t);
			EXECUTE format('CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE OR DELETE ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.trigger_function()', t);
		END LOOP;
	END
	$$;
	DELETE FROM evil.log;
SQL
is "a superuser gives access, holds and releases" "$(as "$super" -c "SET client_min_messages = warning" -c "SELECT appdb.grant_access('appdb_nobody', 'app')" -c "SELECT level FROM app_data.access" \
	-c "SELECT appdb.revoke_access('appdb_nobody')" -c "SELECT appdb.hold('00000000-0000-4000-8000-000000000011', 'x')" -c "SELECT appdb.release('00000000-0000-4000-8000-000000000011')")" "$(printf '\napp\nt\n\nt')"
is "maintains and purges" "$(as "$super" -c "SET client_min_messages = warning" -c 'CALL appdb.maintain()' -c "CALL appdb.purge('0')" -c 'SELECT (SELECT count(*) FROM app_data.users), (SELECT count(*) FROM app_data.sessions)')" '1|0'
is "what was planted ran, as its owner" "$(as "$super" -c "SELECT count(DISTINCT what), min(who), max(who) FROM evil.log")" '2|appdb_owner|appdb_owner'
no_gain "a superuser's maintenance"
as appdb_owner -c 'CREATE TRIGGER planted AFTER INSERT OR UPDATE OR DELETE ON app_data.managed FOR EACH ROW EXECUTE FUNCTION evil.trigger_function()' \
	-c 'CREATE CONSTRAINT TRIGGER deferred AFTER INSERT OR UPDATE OR DELETE ON app_data.managed DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil.trigger_function()' \
	-c 'SET appdb.allow_drop = on' -c 'ALTER TABLE app_data.access RENAME TO kept_access' \
	-c "CREATE VIEW app_data.access AS SELECT * FROM app_data.kept_access AS t WHERE evil.run('view')" \
	-c "INSERT INTO app_data.access VALUES ('appdb_nobody', 'app')" -c 'DELETE FROM evil.log'
is "manages a table of their own" "$(as "$super" -c 'SET client_min_messages = warning' \
	-c 'CREATE TABLE public.own (id uuid PRIMARY KEY, n text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz)' \
	-c "SELECT appdb.manage('own', label => 'n')" -c 'ALTER TABLE own RENAME n TO m' -c "SELECT label FROM appdb.managed WHERE name = 'own'" \
	-c "SELECT has_table_privilege('appdb_nobody', 'appdb.own', 'UPDATE')" -c "SELECT appdb.unmanage('own')" -c "SELECT appdb.manage('own')" \
	-c 'SET appdb.allow_drop = on' -c 'DROP TABLE own CASCADE' -c "SELECT count(*) FROM app_data.managed WHERE view = 'own'")" "$(printf '\nm\nt\n\n\n0')"
is "what was planted ran, as its owner" "$(as "$super" -c "SELECT count(DISTINCT what), min(who), max(who) FROM evil.log")" '3|appdb_owner|appdb_owner'
no_gain "a superuser's own table"

# what a call with literals would mean instead of the engine's
reset
as appdb_owner -c 'CREATE EXTENSION appdb' -c "CREATE FUNCTION appdb.grant_access(text, text) RETURNS text LANGUAGE sql RETURN 'planted'" -c 'CREATE DOMAIN appdb.revoke_access AS text' \
	-c "CREATE FUNCTION appdb.search(appdb.notes) RETURNS text LANGUAGE sql RETURN 'of a row'" -c "CREATE FUNCTION appdb.mine(text) RETURNS text LANGUAGE sql RETURN 'mine'" >/dev/null
is "doctor() says what has the name of one of the engine's functions" "$(as "$super" -c "SELECT severity, object, fix FROM appdb.doctor() WHERE object NOT LIKE 'setting %'")" \
	"$(printf 'warning|appdb.grant_access(text,text)|DROP FUNCTION appdb.grant_access(text,text);  -- or give it another name\nwarning|appdb.revoke_access|DROP TYPE appdb.revoke_access;  -- or give it another name')"
is "a call with types means the engine's" "$(as "$super" -c "SELECT appdb.grant_access('appdb_nobody'::name, 'app'::text)" -c "SELECT appdb.revoke_access('appdb_nobody'::name)")" "$(printf '\nt')"

# a type of a function's name: a call with one plain literal, also of the engine's own, would be one of its values
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000011', 'x', 'x');
	DO $$
	DECLARE
		f name;
	BEGIN
		FOR f IN SELECT DISTINCT p.proname FROM pg_proc AS p WHERE p.pronamespace = 'appdb'::regnamespace AND pg_get_userbyid(p.proowner) <> current_user
				 AND NOT EXISTS (SELECT FROM pg_type AS t WHERE t.typnamespace = p.pronamespace AND t.typname = p.proname) LOOP
			EXECUTE format('CREATE DOMAIN appdb.%I AS text CHECK (evil.run(%L))', f, f);
		END LOOP;
	END
	$$;
SQL
is "types of the names of functions: a superuser is not taken in" "$(as "$super" -c 'SET client_min_messages = warning' -c 'CALL appdb.maintain()' -c "CALL appdb.purge('0'::interval)" -c 'SELECT appdb.install()' \
	-c "SELECT FROM appdb.grant_access('appdb_nobody', 'service')" -c "SELECT appdb.revoke_access('appdb_nobody'::name)" -c "SELECT FROM appdb.hold('00000000-0000-4000-8000-000000000011', 'x')" \
	-c "SELECT appdb.release('00000000-0000-4000-8000-000000000011'::uuid)" -c 'ALTER TABLE app_data.notes ADD COLUMN x int' -c "SELECT FROM appdb.manage('app_data.notes'::regclass)" -c 'SELECT appdb.migrate()' \
	-c 'SELECT count(*) > 100 FROM appdb.doctor()')" "$(printf 'attached\nt\nt\ncurrent\nt')"
no_gain "types of the names of functions"

# functions that a name fits better than the engine's, whose arguments are text
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	DO $$
	DECLARE
		f record;
	BEGIN
		FOR f IN
			SELECT p.proname, (SELECT string_agg(concat_ws(' ', quote_ident(NULLIF(p.proargnames[u.n], '')), CASE u.n WHEN a.n THEN 'name' ELSE u.type::regtype::text END), ', ' ORDER BY u.n)
							   FROM unnest(p.proargtypes) WITH ORDINALITY AS u (type, n)) AS arguments
			FROM pg_proc AS p, unnest(p.proargtypes) WITH ORDINALITY AS a (type, n)
			WHERE p.pronamespace = 'appdb'::regnamespace AND pg_get_userbyid(p.proowner) <> current_user AND p.prokind = 'f' AND a.type = 'text'::regtype
		LOOP
			EXECUTE format('CREATE FUNCTION appdb.%I(%s) RETURNS boolean LANGUAGE sql AS %L', f.proname, f.arguments, format('SELECT evil.run(%L)', f.proname));
		END LOOP;
	END
	$$;
SQL
is "functions of names: a superuser is not taken in" "$(as "$super" -c 'SET client_min_messages = warning' -c 'CALL appdb.maintain()' -c "CALL appdb.purge('0'::interval)" -c 'SELECT appdb.install()' \
	-c "SELECT FROM appdb.grant_access('appdb_nobody'::name, 'service'::text)" -c "SELECT appdb.revoke_access('appdb_nobody'::name)" -c 'ALTER TABLE app_data.notes ADD COLUMN x int' \
	-c "SELECT FROM appdb.manage('app_data.notes'::regclass)" -c 'SELECT count(*) FROM appdb.describe('"'notes'::text) WHERE name = 'x'" -c "SELECT appdb.find_schema('notes'::text) ->> '\$ref'" \
	-c "SELECT appdb.find('notes'::text, '{}'::json)" -c "SELECT count(*) FROM appdb.search('x'::text)" -c 'SELECT count(*) > 100 FROM appdb.doctor()')" "$(printf 'attached\nt\n1\n#/$defs/notes.root\n[]\n0\nt')"
no_gain "functions of names"

# tables of a superuser, noted as managed by who owns the tables
reset
as appdb_owner -c 'CREATE EXTENSION appdb' -c 'CREATE VIEW appdb.theirs AS SELECT 1 AS id' -c 'CREATE VIEW appdb.authid AS SELECT 1 AS id' \
	-c "INSERT INTO app_data.managed (entity, view) VALUES ('pg_authid', 'authid')"
as "$super" -c 'CREATE TABLE public.theirs (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz)'
as appdb_owner -c "INSERT INTO app_data.managed (entity, view) VALUES ('public.theirs', 'theirs')"
for level in app readonly service; do
	is "level $level: nothing is granted on them" "$(as "$super" -c "SELECT FROM appdb.grant_access('appdb_nobody', '$level')" \
		-c "SELECT has_table_privilege('appdb_nobody', 'pg_authid', 'SELECT'), has_any_column_privilege('appdb_nobody', 'public.theirs', 'SELECT, UPDATE')" \
		-c "SELECT has_table_privilege('appdb_nobody', 'app_data.users', 'SELECT')")" "$(printf 'f|f\nt')"
done
is "nor when they are altered" "$(as "$super" -c 'ALTER TABLE public.theirs ADD COLUMN x int' -c "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.theirs'::regclass" \
	-c "SELECT has_any_column_privilege('appdb_nobody', 'public.theirs', 'SELECT, UPDATE')")" "$(printf '0\nf')"
is "nor is anything taken" "$(as "$super" -c 'GRANT SELECT ON public.theirs TO appdb_nobody' -c "SELECT appdb.revoke_access('appdb_nobody')" \
	-c "SELECT has_table_privilege('appdb_nobody', 'public.theirs', 'SELECT')")" "$(printf 't\nt')"
as appdb_owner -c "DELETE FROM app_data.managed WHERE view IN ('theirs', 'authid')" -c 'DROP VIEW appdb.theirs, appdb.authid'
is "but on those that the superuser manages" "$(as "$super" -c 'SET client_min_messages = warning' -c "SELECT appdb.manage('public.theirs')" -c "SELECT FROM appdb.grant_access('appdb_nobody', 'readonly')" \
	-c "SELECT has_table_privilege('appdb_nobody', 'public.theirs', 'SELECT'), has_table_privilege('appdb_nobody', 'appdb.theirs', 'SELECT')" \
	-c 'ALTER TABLE public.theirs ADD COLUMN y int' -c "SELECT FROM appdb.revoke_access('appdb_nobody')" -c "SELECT has_table_privilege('appdb_nobody', 'public.theirs', 'SELECT')" \
	-c "SELECT count(*) FROM pg_attribute WHERE attrelid = 'appdb.theirs'::regclass AND attname = 'y'")" "$(printf '\nt|t\nf\n1')"

# views over somebody else's tables, made as live views are: a DELETE asks for no privileges on the table
reset
as appdb_owner -c 'CREATE EXTENSION appdb'
as "$super" -c 'CREATE TABLE public.theirs (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, until timestamptz)' \
	-c "INSERT INTO public.theirs SELECT '00000000-0000-4000-8000-000000000001', now(), now()" -c 'GRANT SELECT ON public.theirs TO appdb_owner'
as appdb_owner >/dev/null <<-'SQL'
	CREATE VIEW appdb.theirs AS SELECT id, created_at, updated_at, deleted_at FROM public.theirs WHERE deleted_at IS NULL;
	CREATE VIEW appdb.untils AS SELECT id, until AS deleted_at FROM public.theirs;
	CREATE VIEW appdb.authid AS SELECT oid AS id, rolvaliduntil AS deleted_at FROM pg_authid;
	DO $$
	DECLARE
		v regclass;
	BEGIN
		FOREACH v IN ARRAY '{appdb.theirs,appdb.untils,appdb.authid}'::regclass[] LOOP
			EXECUTE format('CREATE TRIGGER t INSTEAD OF DELETE ON %s FOR EACH ROW EXECUTE FUNCTION appdb.soft_delete()', v);
			EXECUTE format('CREATE TRIGGER b BEFORE DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()', v);
			EXECUTE format('CREATE TRIGGER a AFTER DELETE ON %s FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete()', v);
		END LOOP;
	END
	$$;
	INSERT INTO app_data.managed (entity, view) VALUES ('public.theirs', 'theirs');
SQL
for rewrite in on off; do
	for view in theirs untils authid; do
		like "rewrite_deletes $rewrite, appdb.$view: nothing is deleted" "$(as appdb_owner -c "SELECT appdb.version(), set_config('appdb.rewrite_deletes', '$rewrite', false)" -c "DELETE FROM appdb.$view")" \
			"has not the rights of the owner of table|permission denied for .*authid"
	done
done
is "nor changed" "$(as "$super" -c 'SELECT deleted_at IS NULL, until IS NULL FROM public.theirs' -c "SELECT count(*) FROM pg_authid WHERE rolname LIKE 'appdb\\_%' AND rolvaliduntil IS NOT NULL" \
	-c "UPDATE public.theirs SET deleted_at = '2020-01-01'")" "$(printf 't|t\n0')"
like "nor brought back" "$(as appdb_owner -c "SELECT FROM appdb.restore('public.theirs'::regclass, '00000000-0000-4000-8000-000000000001'::uuid)")" 'has not the rights of the owner of table'
as appdb_owner -c 'DELETE FROM app_data.managed WHERE view = '"'theirs'"
like "a superuser does not take such a view for the live view of their table" "$(as "$super" -c "SELECT appdb.manage('public.theirs'::regclass)")" 'belongs to role "appdb_owner", which has not the rights'

# what the engine notes of a superuser's own tables, and what it reads for a table that is a superuser's: with the rights of who owns the others
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'x');
	INSERT INTO appdb.organizations (id, name, slug) VALUES ('00000000-0000-4000-8000-000000000011', 'x', 'x');
	INSERT INTO appdb.members (organization_id, user_id, role) SELECT o.id, u.id, 'owner' FROM appdb.organizations AS o, appdb.users AS u;
	CREATE TRIGGER planted BEFORE INSERT ON app_data.deletions FOR EACH ROW EXECUTE FUNCTION evil.trigger_function();
	CREATE TRIGGER planted BEFORE INSERT ON app_data.unlinked FOR EACH ROW EXECUTE FUNCTION evil.trigger_function();
	SELECT appdb.grant_access('appdb_nobody', 'service');
SQL
is "a superuser deletes from a table of their own" "$(as "$super" -c 'SET client_min_messages = warning' \
	-c 'CREATE TABLE public.own (id uuid PRIMARY KEY, user_id uuid REFERENCES app_data.users (id) ON DELETE SET NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz)' \
	-c "SELECT FROM appdb.manage('public.own'::regclass)" -c "INSERT INTO appdb.own (user_id) VALUES (NULL), ('00000000-0000-4000-8000-000000000001')" -c 'DELETE FROM appdb.own WHERE user_id IS NULL' \
	-c "SELECT appdb.version() IS NOT NULL" -c 'DELETE FROM appdb.own WHERE user_id IS NULL' -c 'SELECT count(*) FROM appdb.own')" "$(printf 't\n1')"
as appdb_owner -c "DELETE FROM appdb.members" -c 'DELETE FROM appdb.users'
is "and its rows forget a parent" "$(as "$super" -c 'SELECT user_id IS NULL FROM appdb.own')" t
no_gain "notes of a superuser's table"
as "$super" -c 'ALTER TABLE app_data.space_members OWNER TO CURRENT_USER'
as appdb_owner >/dev/null <<-'SQL'
	UPDATE app_data.users SET deleted_at = NULL;
	INSERT INTO appdb.members (organization_id, user_id, role) SELECT o.id, u.id, 'owner' FROM appdb.organizations AS o, appdb.users AS u;
	SET appdb.allow_drop = on;
	ALTER TABLE app_data.members RENAME TO kept_members;
	CREATE VIEW app_data.members AS SELECT * FROM app_data.kept_members AS m WHERE evil.run(m.id::text);
	ALTER TABLE app_data.managed RENAME TO kept_managed;
	CREATE VIEW app_data.managed AS SELECT * FROM app_data.kept_managed AS m WHERE evil.run(m.view::text);
SQL
like "a built-in table alone is a superuser's: what is read beside it is not" "$(as appdb_nobody -c BEGIN -c "SELECT FROM appdb.impersonate('00000000-0000-4000-8000-000000000001')" \
	-c "SELECT appdb.is_member('00000000-0000-4000-8000-000000000021')")" 'permission denied for (table|view)'
as "$super" -c "SELECT appdb.manage('public.own'::regclass)" >/dev/null
no_gain "what is read beside a superuser's table"
is "what was planted ran, as its owner" "$(as "$super" -c "SELECT count(*) > 0, min(who), max(who) FROM evil.log")" 't|appdb_owner|appdb_owner'

# what reads live views that are other queries by now
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb;
	INSERT INTO appdb.users (id, name) VALUES ('00000000-0000-4000-8000-000000000001', 'x');
	INSERT INTO app_data.tasks (id, kind) VALUES ('00000000-0000-4000-8000-000000000051', 'x');
	CREATE OR REPLACE VIEW appdb.users WITH (security_invoker = true) AS SELECT * FROM app_data.users AS t WHERE t.deleted_at IS NULL AND evil.run('users');
	CREATE OR REPLACE VIEW appdb.tasks WITH (security_invoker = true) AS SELECT * FROM app_data.tasks AS t WHERE t.deleted_at IS NULL AND evil.run('tasks');
SQL
is "a superuser may, cancels and retries" "$(as "$super" -c "SELECT appdb.can(a::text, e::regclass, '00000000-0000-4000-8000-000000000001'::uuid) FROM unnest('{read,delete}'::text[]) AS a, unnest('{appdb.users,app_data.users}'::text[]) AS e" \
	-c "SELECT appdb.cancel('00000000-0000-4000-8000-000000000051'::uuid)" -c "SELECT FROM appdb.retry('00000000-0000-4000-8000-000000000051'::uuid, NULL::timestamptz)")" "$(printf 't\nt\nt\nt\ncanceled\n')"
is "what was planted ran, as its owner" "$(as "$super" -c "SELECT count(DISTINCT what), min(who), max(who) FROM evil.log")" '2|appdb_owner|appdb_owner'
no_gain "live views that are other queries"

# the functions of an engine of 1.0, which lacks some that the library of this version calls
reset
plant appdb_owner
as appdb_owner >/dev/null <<-'SQL'
	CREATE EXTENSION appdb VERSION '1.0';
	CREATE FUNCTION appdb._former_owner_revokes() RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'SELECT evil.run(''statement'')' WHERE evil.run('_former_owner_revokes') $$;
	ALTER EXTENSION appdb ADD FUNCTION appdb._former_owner_revokes();
SQL
is "planted functions that 1.0 lacks: a superuser is not taken in" "$(as "$super" -c 'SELECT appdb.install()' -c 'SELECT appdb.migrate()')" "$(printf 'attached\ncurrent')"
no_gain "functions that 1.0 lacks"
as appdb_owner -c 'ALTER EXTENSION appdb DROP FUNCTION appdb._former_owner_revokes()' -c 'DROP FUNCTION appdb._former_owner_revokes()' \
	-c 'CREATE FUNCTION appdb._check_toplevel(procedure text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.run(procedure); END $$' -c 'ALTER EXTENSION appdb ADD FUNCTION appdb._check_toplevel(text)'
like "nor does an upgrade take them for its own" "$(as appdb_owner -c 'ALTER EXTENSION appdb UPDATE')" 'function appdb._check_toplevel.* is a member of extension "appdb" and belongs to role "appdb_owner"'
is "which it does without them" "$(as appdb_owner -c 'ALTER EXTENSION appdb DROP FUNCTION appdb._check_toplevel(text)' -c 'DROP FUNCTION appdb._check_toplevel(text)' -c 'SET client_min_messages = warning' \
	-c 'ALTER EXTENSION appdb UPDATE' -c 'SELECT count(*) FROM pg_proc p WHERE p.pronamespace = '"'appdb'"'::regnamespace AND pg_get_userbyid(p.proowner) = current_user AND p.proname LIKE '"'\\_%'" | tail -n 1)" 0
no_gain "an upgrade"

# in a database of another encoding, which has no character but ASCII's in common with ours
reset
PGUSER=$super psql -X -q -d postgres -c 'DROP DATABASE install' -c "CREATE DATABASE install TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C'" >/dev/null
is "another encoding" "$(as "$super" -c 'CREATE EXTENSION appdb' -c "INSERT INTO appdb.users (name) VALUES ('x') RETURNING name")" x

reset
PGUSER=$super psql -X -q -d postgres -c 'DROP DATABASE install' -c 'DROP ROLE appdb_owner, appdb_mallory, appdb_nobody' >/dev/null
done_testing
