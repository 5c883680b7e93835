# update.awk: the engine's statements (standard input) as an upgrade script
# has them: they replace what is there, so that what users made on top of it
# (views, policies, defaults) stays.
#
# PostgreSQL refuses CREATE OR REPLACE of what is not the extension's in an
# extension script, and script.sh what is but belongs to somebody else, so
# nothing that was planted is taken over.  Event triggers
# cannot be replaced: one that exists stays.  Privileges are given and taken
# only where this has not been done before: repeating it would make what users
# granted since part of the initial privileges, which dumps leave out.
#
# Stops at a statement that it does not know, and at one that begins on a line
# on which another one ends.

function fail(why) {
	printf "%s: %s:\n%s\n", FILENAME == "" || FILENAME == "-" ? "update.awk" : FILENAME, why, statement > "/dev/stderr"
	failed = 1
	exit 1
}

function guarded(condition, sql) {
	printf "DO $appdb_update$ BEGIN\nIF NOT EXISTS (%s) THEN\n\t%s\nEND IF;\nEND $appdb_update$;\n", condition, sql
}

# GRANT or REVOKE, an object at a time
function privileges(sql,    what, kind, rest, who, n, objects, i, class, cast) {
	gsub(/[ \t\n]+/, " ", sql)
	if (!match(sql, / ON /))
		fail("no ON")
	what = substr(sql, 1, RSTART)
	rest = substr(sql, RSTART + 4)
	if (!match(rest, / (FROM|TO) PUBLIC;$/))
		fail("privileges of others than PUBLIC")
	who = substr(rest, RSTART)
	rest = substr(rest, 1, RSTART - 1)
	if (match(rest, /^(FUNCTION|PROCEDURE|SCHEMA|TABLE) /)) {
		kind = substr(rest, 1, RLENGTH)
		rest = substr(rest, RLENGTH + 1)
	}
	if (kind ~ /^(FUNCTION|PROCEDURE)/) {
		class = "pg_proc"; cast = "regprocedure"
		gsub(/\), /, ")|", rest)
	} else if (kind ~ /^SCHEMA/) {
		class = "pg_namespace"; cast = "regnamespace"
		gsub(/, /, "|", rest)
	} else {
		class = "pg_class"; cast = "regclass"
		gsub(/, /, "|", rest)
	}
	n = split(rest, objects, "|")
	for (i = 1; i <= n; i++)
		guarded("SELECT FROM pg_catalog.pg_init_privs p WHERE p.privtype = 'e'" \
				" AND p.classoid = 'pg_catalog." class "'::pg_catalog.regclass AND p.objoid = '" objects[i] "'::pg_catalog." cast,
				what "ON " kind objects[i] who)
}

function emit(    sql, name) {
	sql = statement
	sub(/^([ \t]*(--[^\n]*)?\n)*/, "", sql)
	if (sql ~ /^CREATE (FUNCTION|PROCEDURE|AGGREGATE|VIEW) /) {
		sub(/^CREATE /, "CREATE OR REPLACE ", sql)
		print sql
	} else if (sql ~ /^CREATE EVENT TRIGGER /) {
		name = sql
		sub(/^CREATE EVENT TRIGGER /, "", name)
		sub(/[ \t\n].*/, "", name)
		guarded("SELECT FROM pg_catalog.pg_event_trigger e WHERE e.evtname = '" name "'", sql)
	} else if (sql ~ /^(GRANT|REVOKE) /)
		privileges(sql)
	else if (sql ~ /^(COMMENT ON|ALTER EVENT TRIGGER|ALTER DEFAULT PRIVILEGES|SET LOCAL|DO) /)
		print sql
	else if (sql !~ /^CREATE SCHEMA appdb;$/)
		fail("cannot be in an upgrade script")
	statement = ""
}

{
	statement = statement $0 "\n"
	rest = $0
	while (rest != "") {
		if (inside != "") {
			at = index(rest, inside)
			if (at == 0)
				break
			rest = substr(rest, at + length(inside))
			inside = ""
			continue
		}
		if (!match(rest, /--|'|"|\$[A-Za-z_0-9]*\$|;/))
			break
		token = substr(rest, RSTART, RLENGTH)
		rest = substr(rest, RSTART + RLENGTH)
		if (token == "--")
			break
		else if (token == ";") {
			if (rest !~ /^[ \t]*(--.*)?$/)
				fail("two statements on a line")
			sub(/\n$/, "", statement)
			emit()
			break
		}
		inside = token
	}
}

END {
	if (failed)
		exit 1
	sub(/^([ \t]*(--[^\n]*)?\n)*/, "", statement)
	if (statement != "")
		fail("a statement does not end")
}
