#!/bin/bash
#
# migration.t: make migration drafts what leads from some domain files to
# others: applied, the catalogs are the same.
#
# Needs a running server that has the extension (make check provides it).

set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. test/harness/tap.sh
. test/harness/clients.sh

if ! npm_ci tools || ! npm_ci tools/migration; then
	# CI has what it takes
	[ -z "${CI:-}" ] || { echo "$CLIENTS_WHY"; exit 1; }
	ok "make migration # SKIP $CLIENTS_WHY"
	done_testing
	exit
fi
export APPDB_INSTALLED=${APPDB_INSTALLED:-$(pg_config --sharedir)}
work=$(mktemp -d "${APPDB_TMP:-${TMPDIR:-/tmp}}/migration.XXXXXX")
trap 'rm -rf "$work"; run_psql -d postgres -c "DROP DATABASE IF EXISTS appdb_drafted" -c "DROP DATABASE IF EXISTS appdb_wanted"' EXIT

run_psql() {
	PGOPTIONS='-c client_min_messages=warning -c appdb.allow_drop=on' psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# begin NAME: the domain files, to be changed, in $sql
begin() {
	mkdir "$work/$1"
	cp -r sql "$work/$1/sql"
	sql=$work/$1/sql draft=$work/$1/draft.sql
}

# draft [HINT...]: says what make migration says, and its status
draft() {
	OLD_SQL_DIR=sql SQL_DIR=$sql MIGRATION=$draft tools/migration.sh --here 99.1 "$@" 2>&1
	echo "status $?"
}

# tables DATABASE: what the catalogs say of the tables; triggers and the like are appdb.manage()'s
tables() {
	psql -X -q -At -f test/catalog.sql "$1" | grep -E '^(column|constraint|index|managed|relation|type): ' | grep -F app_data | LC_ALL=C sort
}

# database NAME DIRECTORY: made from domain files
database() {
	local scripts version=0.$$.0
	scripts=$(dirname "$(find "$APPDB_INSTALLED" -name appdb.control)")
	SQL_DIR=$2 sh sql/script.sh "$version" >"$scripts/appdb--$version.sql"
	run_psql -d postgres -c "DROP DATABASE IF EXISTS $1" -c "CREATE DATABASE $1"
	run_psql -d "$1" -c "CREATE EXTENSION appdb VERSION '$version'"
	rm "$scripts/appdb--$version.sql"
}

# Applies the draft to the tables as they are, and compares them with those of the changed files.
applied() {
	database appdb_drafted sql
	database appdb_wanted "$sql"
	sed '/^-- == online/,$d' "$draft" | run_psql -d appdb_drafted -1 -c 'SET search_path = pg_catalog, pg_temp' -f - 2>&1 | grep -v '^$'
	sed -n '/^-- == online/,$p' "$draft" | run_psql -d appdb_drafted -f - 2>&1
	run_psql -d appdb_drafted -c "SELECT appdb.manage(entity) FROM app_data.managed" >/dev/null
	diff <(tables appdb_drafted) <(tables appdb_wanted)
}

# -- what is new: columns, checks, indexes, a foreign key, a table, an enum type and a value of another, comments, options
begin new
sed -i "s/^\tarchived_at timestamptz(3),$/&\n\tpriority    integer NOT NULL DEFAULT 0,\n\treviewer_id uuid,/
	s/^\tCONSTRAINT chats_metadata_check/\tCONSTRAINT chats_priority_check CHECK (priority >= 0),\n\tCONSTRAINT chats_reviewer_id_fkey FOREIGN KEY (reviewer_id) REFERENCES app_data.users (id) ON DELETE SET NULL,\n&/
	s/AS ENUM ('private', 'space', 'public')/AS ENUM ('private', 'space', 'friends', 'public', 'world')/
	s/'Conversations\.'/'Conversations, it''s new.'/
	s/fillfactor = 90/fillfactor = 80/" "$sql/40_chat.sql"
# what is added stands at the end
perl -0pi -e 's/(\tpriority    integer.*?\n\treviewer_id uuid,\n)(.*?deleted_at  timestamptz,\n)/$2$1/s' "$sql/40_chat.sql"
cat >>"$sql/40_chat.sql" <<'SQL'
CREATE INDEX chats_reviewer_id_idx ON app_data.chats (reviewer_id) WHERE reviewer_id IS NOT NULL;
CREATE UNIQUE INDEX chats_priority_key ON app_data.chats (space_id, priority, id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.chats_priority_key IS 'For the test.';
ALTER TABLE app_data.chats ADD CONSTRAINT chats_priority_unique UNIQUE (id, priority);
COMMENT ON COLUMN app_data.chats.priority IS 'More is sooner.';
COMMENT ON COLUMN app_data.chats.reviewer_id IS 'Who looks.';
CREATE TYPE app_data.mood AS ENUM ('good', 'bad');
CREATE TABLE app_data.reactions
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	chat_id    uuid NOT NULL,
	mood       app_data.mood NOT NULL DEFAULT 'good',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT reactions_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT reactions_chat_id_fkey FOREIGN KEY (space_id, chat_id) REFERENCES app_data.chats (space_id, id)
) WITH (fillfactor = 70);
CREATE INDEX reactions_chat_id_idx ON app_data.reactions (chat_id, space_id);
CREATE INDEX reactions_space_id_idx ON app_data.reactions (space_id);
COMMENT ON TABLE app_data.reactions IS 'What people make of a chat.';
SELECT appdb.manage('app_data.reactions', relations => '{"chat_id": {"inverse": "moods"}}');
SQL
like "new things are drafted" "$(draft)" "0 hazards\..*status 0"
first=$(sed '/^-- == online/,$d' "$draft") online=$(sed -n '/^-- == online/,$p' "$draft")
like "it begins with lock_timeout" "$(grep -v '^--' "$draft" | head -n 1)" "^SET LOCAL lock_timeout = '10s';"
like "the foreign key is not valid at first" "$first" "chats_reviewer_id_fkey.*NOT VALID;"
like "and is validated beside load" "$online" "VALIDATE CONSTRAINT chats_reviewer_id_fkey;"
like "indexes are made beside load" "$online" "CREATE UNIQUE INDEX CONCURRENTLY chats_priority_key .*COMMENT ON INDEX app_data.chats_priority_key"
like "a value is added to an enum" "$first" "ADD VALUE 'friends' BEFORE 'public';.*ADD VALUE 'world';"
like "a new table is managed" "$first" "SELECT appdb.manage\('app_data.reactions', relations => "
is "applied, the tables are the same" "$(applied)" ""
is "the checker has nothing to say" "$(tools/run.sh lint-migrations.mjs "$draft")" ""
yes 'SELECT 1;' | head -n 20000 >>"$draft"
cp "$draft" "$draft.kept"
like "a migration that has something in it is not written over" "$(draft)" "is there already, and not empty.*status 1"
is "it is as it was" "$(cmp "$draft" "$draft.kept")" ""

# -- a column that has another name, or is another one; another type, and NOT NULL
begin danger
sed -i 's/\bcontent\b/body/g' "$sql/60_note.sql"
sed -i 's/^\tmodel         text,/\tmodel         varchar(255),/; s/^\tparts         jsonb,/\tparts         jsonb NOT NULL,/' "$sql/40_chat.sql"
like "drop and add: it asks" "$(draft)" "column notes.content is gone, and body is new.*RENAME='notes.content=body'.*RENAME='notes.content='.*status 2"
is "and drafts nothing" "$(ls "$draft" 2>/dev/null)" ""
like "a hint" "$(draft notes.content=body)" "[1-9][0-9]* hazards.*status 0"
text=$(cat "$draft")
like "renames" "$text" "-- HAZARD rename: .*ALTER TABLE app_data.notes RENAME COLUMN content TO body;"
is "and drops nothing" "$(grep -c 'DROP COLUMN' "$draft")" 0
like "another type is a hazard" "$text" "-- HAZARD rewrite: changes the type of column model"
like "the live view is out of the way before" "$text" "DROP VIEW appdb.messages CASCADE;.*ALTER COLUMN model SET DATA TYPE"
like "NOT NULL goes by a check" "$text" "CHECK \(parts IS NOT NULL\) NOT VALID;.*== online.*VALIDATE CONSTRAINT messages_parts_not_null;.*SET NOT NULL;.*DROP CONSTRAINT messages_parts_not_null;"
is "applied, the tables are the same" "$(applied)" ""
like "the checker says the same" "$(tools/run.sh lint-migrations.mjs "$draft" | sed 's/^[^ ]* //' | sort -u)" "drop: .*rename: .*rewrite: "
rm "$draft"
like "the other hint" "$(draft notes.content=)" "status 0"
like "drops, with a hazard" "$(cat "$draft")" "-- HAZARD drop: drops column content of table app_data.notes"

# -- the last release
rm -rf "$work/release"
mkdir "$work/release"
if [ -n "$(ls sql/released/appdb--*.sql 2>/dev/null)" ]; then
	like "from the last release to the files as they are" "$(MIGRATION=$work/release/draft.sql tools/migration.sh --here 99.1 2>&1; echo "status $?")" "beside load; .*status 0"
fi

done_testing
