-- setup.sql: what the clients of stress.sh do, and what is noted of it.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE SCHEMA stress;

-- rows that were inserted; roots of deletions; restores; all in the transaction that did it
CREATE UNLOGGED TABLE stress.inserted (entity regclass, id uuid);
CREATE UNLOGGED TABLE stress.roots (stamp timestamptz, entity regclass, id uuid);
CREATE UNLOGGED TABLE stress.restored (xid xid8, entity regclass, id uuid, stamp timestamptz, rows bigint);
-- each change of deleted_at; rows that are gone for good
CREATE UNLOGGED TABLE stress.history (xid xid8, entity regclass, id uuid, was timestamptz, is_now timestamptz);
CREATE UNLOGGED TABLE stress.gone (entity regclass, id uuid, deleted_at timestamptz);
CREATE INDEX ON stress.roots (id);
CREATE INDEX ON stress.roots (stamp);
CREATE INDEX ON stress.restored (xid);
-- what was tried, and the error that was its outcome
CREATE UNLOGGED TABLE stress.acts (act text, outcome text);

CREATE FUNCTION stress.note_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stress.inserted VALUES (TG_RELID, NEW.id);
	RETURN NULL;
END $$;
CREATE FUNCTION stress.note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.deleted_at IS DISTINCT FROM NEW.deleted_at THEN
		INSERT INTO stress.history VALUES (pg_current_xact_id(), TG_RELID, NEW.id, OLD.deleted_at, NEW.deleted_at);
	END IF;
	RETURN NULL;
END $$;
CREATE FUNCTION stress.note_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO stress.gone VALUES (TG_RELID, OLD.id, OLD.deleted_at);
	RETURN NULL;
END $$;
SELECT format('CREATE TRIGGER stress_%s AFTER %s ON %s FOR EACH ROW EXECUTE FUNCTION stress.note_%1$s()', t.name, t.event, m.entity)
FROM appdb.managed m, (VALUES ('insert', 'INSERT'), ('change', 'UPDATE OF deleted_at'), ('gone', 'DELETE')) t (name, event)
WHERE m.soft_delete \gexec

CREATE FUNCTION stress.one(entity regclass, condition text DEFAULT 'deleted_at IS NULL') RETURNS uuid LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
BEGIN
	EXECUTE format('SELECT id FROM %s WHERE %s ORDER BY random() LIMIT 1', entity, condition) INTO id;
	RETURN id;
END $$;

-- Deletes some rows through the live view, and notes the roots.
CREATE FUNCTION stress.remove(view text, ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	base regclass := (SELECT m.entity FROM appdb.managed m WHERE m.name = view);
	notes uuid[];
BEGIN
	IF random() < 0.5 THEN
		EXECUTE format('WITH gone AS (DELETE FROM appdb.%I WHERE id = ANY ($1) RETURNING id) SELECT array_agg(id) FROM gone', view)
			INTO ids USING ids;
	ELSE
		-- parent and child in one statement
		EXECUTE format('WITH gone AS (DELETE FROM appdb.%I WHERE id = ANY ($1) RETURNING id), '
					   'notes AS (DELETE FROM appdb.notes WHERE (id = ANY ($1) OR space_id = ANY ($1)) AND random() < 0.5 RETURNING id) '
					   'SELECT (SELECT array_agg(id) FROM gone), (SELECT array_agg(id) FROM notes)', view)
			INTO ids, notes USING ids;
	END IF;
	EXECUTE format('INSERT INTO stress.roots SELECT t.deleted_at, %L::regclass, t.id FROM %s t WHERE t.id = ANY ($1)', base, base) USING ids;
	INSERT INTO stress.roots SELECT n.deleted_at, 'app_data.notes'::regclass, n.id FROM app_data.notes n WHERE n.id = ANY (notes);
END $$;

CREATE FUNCTION stress.restore(entity regclass, id uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	stamp timestamptz;
	count bigint;
BEGIN
	EXECUTE format('SELECT deleted_at FROM %s WHERE id = $1 FOR UPDATE', entity) INTO stamp USING id;
	SELECT sum(r.rows) INTO count FROM appdb.restore(restore.entity, restore.id) r;
	INSERT INTO stress.restored VALUES (pg_current_xact_id(), restore.entity, restore.id, stamp, count);
END $$;

-- One thing that a client does, at random.
CREATE FUNCTION stress.act() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	acts text[] := '{insert user, insert space, insert chat, insert message, insert message, insert message, insert answer, insert folder, insert folder, insert note, insert note, insert file,
		attach, sign in, delete message, delete message, delete chat, delete chat, delete folder, delete note, delete file, delete space, delete user, delete by hand,
		move note, move folder, move message, rename chat, edit message, restore, restore, restore, restore, restore message, undelete note}';
	act text := acts[1 + floor(random() * cardinality(acts))];
	outcome text := 'ok';
	message app_data.messages;
	note app_data.notes;
	root stress.roots;
	parent uuid;
BEGIN
	BEGIN
		CASE act
			WHEN 'insert user' THEN
				INSERT INTO appdb.users (name) VALUES ('user');
			WHEN 'insert space' THEN
				INSERT INTO appdb.spaces (owner_id, name) VALUES (stress.one('app_data.users'), 'space');
			WHEN 'insert chat' THEN
				INSERT INTO appdb.chats (space_id, user_id, title)
				SELECT stress.one('app_data.spaces'), stress.one('app_data.users'), 'chat' FROM generate_series(1, 2);
			WHEN 'insert message' THEN
				parent := stress.one('app_data.chats');
				INSERT INTO appdb.messages (space_id, chat_id, user_id, role, content)
				SELECT c.space_id, c.id, stress.one('app_data.users'), 'user', 'm'
				FROM app_data.chats c, generate_series(1, 1 + floor(random() * 3)::int) WHERE c.id = parent;
			WHEN 'insert answer' THEN
				parent := stress.one('app_data.messages');
				INSERT INTO appdb.messages (space_id, chat_id, parent_id, role, content)
				SELECT m.space_id, m.chat_id, m.id, 'assistant', 'a' FROM app_data.messages m WHERE m.id = parent;
			WHEN 'insert folder' THEN
				parent := stress.one('app_data.folders');
				INSERT INTO appdb.folders (space_id, parent_id, name)
				SELECT COALESCE(f.space_id, stress.one('app_data.spaces')), f.id, appdb.uuidv7()::text
				FROM (SELECT) AS one LEFT JOIN app_data.folders f ON f.id = parent AND random() < 0.8;
			WHEN 'insert note' THEN
				parent := stress.one('app_data.folders');
				INSERT INTO appdb.notes (space_id, folder_id, user_id, title)
				SELECT f.space_id, f.id, stress.one('app_data.users'), 'n' FROM app_data.folders f WHERE f.id = parent;
			WHEN 'insert file' THEN
				INSERT INTO appdb.files (space_id, user_id, name) VALUES (stress.one('app_data.spaces'), stress.one('app_data.users'), 'f');
			WHEN 'attach' THEN
				parent := stress.one('app_data.files');
				INSERT INTO appdb.message_files (space_id, file_id, message_id)
				SELECT f.space_id, f.id, stress.one('app_data.messages', format('deleted_at IS NULL AND space_id = %L', f.space_id))
				FROM app_data.files f WHERE f.id = parent;
			WHEN 'sign in' THEN
				INSERT INTO appdb.sessions (user_id, token, expires_at) VALUES (stress.one('app_data.users'), appdb.uuidv7()::text, '2100-01-01');
			WHEN 'delete message' THEN
				PERFORM stress.remove('messages', ARRAY(SELECT stress.one('app_data.messages') FROM generate_series(1, 1 + floor(random() * 3)::int)));
			WHEN 'delete chat' THEN
				PERFORM stress.remove('chats', ARRAY(SELECT stress.one('app_data.chats') FROM generate_series(1, 1 + floor(random() * 2)::int)));
			WHEN 'delete folder' THEN
				PERFORM stress.remove('folders', ARRAY[stress.one('app_data.folders')]);
			WHEN 'delete note' THEN
				PERFORM stress.remove('notes', ARRAY[stress.one('app_data.notes')]);
			WHEN 'delete file' THEN
				PERFORM stress.remove('files', ARRAY[stress.one('app_data.files')]);
			WHEN 'delete space' THEN
				IF random() < 0.3 THEN
					PERFORM stress.remove('spaces', ARRAY[stress.one('app_data.spaces')]);
				END IF;
			WHEN 'delete user' THEN
				IF random() < 0.2 THEN
					PERFORM stress.remove('users', ARRAY[stress.one('app_data.users')]);
				END IF;
			WHEN 'delete by hand' THEN
				WITH gone AS (
					UPDATE app_data.chats SET deleted_at = now() WHERE id = stress.one('app_data.chats') AND deleted_at IS NULL RETURNING id, deleted_at)
				INSERT INTO stress.roots SELECT g.deleted_at, 'app_data.chats', g.id FROM gone g;
			WHEN 'move note' THEN
				SELECT * INTO note FROM app_data.notes n WHERE n.id = stress.one('app_data.notes');
				UPDATE appdb.notes SET folder_id = stress.one('app_data.folders', format('deleted_at IS NULL AND space_id = %L', note.space_id)) WHERE id = note.id;
			WHEN 'move folder' THEN
				UPDATE appdb.folders f SET parent_id = stress.one('app_data.folders', format('deleted_at IS NULL AND space_id = %L', f.space_id))
				WHERE f.id = stress.one('app_data.folders');
			WHEN 'move message' THEN
				SELECT * INTO message FROM app_data.messages m WHERE m.id = stress.one('app_data.messages', 'deleted_at IS NULL AND parent_id IS NULL');
				UPDATE appdb.messages SET chat_id = stress.one('app_data.chats', format('deleted_at IS NULL AND space_id = %L', message.space_id)) WHERE id = message.id;
			WHEN 'rename chat' THEN
				UPDATE appdb.chats SET title = clock_timestamp()::text WHERE id = stress.one('app_data.chats');
			WHEN 'edit message' THEN
				UPDATE appdb.messages SET content = clock_timestamp()::text WHERE id = stress.one('app_data.messages');
			WHEN 'restore' THEN
				SELECT * INTO root FROM stress.roots r ORDER BY r.stamp DESC OFFSET floor(random() ^ 2 * 50) LIMIT 1;
				IF FOUND THEN
					PERFORM stress.restore(root.entity, root.id);
				END IF;
			WHEN 'restore message' THEN
				-- as likely not a root
				parent := stress.one('app_data.messages', 'deleted_at IS NOT NULL');
				IF parent IS NOT NULL THEN
					PERFORM stress.restore('app_data.messages', parent);
				END IF;
			WHEN 'undelete note' THEN
				WITH n AS (SELECT n.id, n.deleted_at FROM app_data.notes n WHERE n.id = stress.one('app_data.notes', 'deleted_at IS NOT NULL') FOR UPDATE),
					 u AS (UPDATE app_data.notes SET deleted_at = NULL FROM n WHERE notes.id = n.id AND n.deleted_at IS NOT NULL RETURNING n.id, n.deleted_at)
				INSERT INTO stress.restored SELECT pg_current_xact_id(), 'app_data.notes', u.id, u.deleted_at, 1 FROM u;
		END CASE;
	EXCEPTION
		-- a parent that is deleted, or a row that has children elsewhere; no parent; a cycle; not to be restored; purged; unique
		WHEN foreign_key_violation OR not_null_violation OR check_violation OR object_not_in_prerequisite_state OR no_data_found OR unique_violation THEN
			outcome := SQLSTATE;
	END;
	INSERT INTO stress.acts VALUES (act, outcome);
END $$;

INSERT INTO appdb.users (name) SELECT 'user' FROM generate_series(1, 40);
INSERT INTO appdb.spaces (owner_id, name) SELECT stress.one('app_data.users'), 'space' FROM generate_series(1, 8);
INSERT INTO appdb.chats (space_id, title) SELECT s.id, 'chat' FROM appdb.spaces s, generate_series(1, 3);
INSERT INTO appdb.folders (space_id, name) SELECT s.id, 'folder ' || i FROM appdb.spaces s, generate_series(1, 2) i;
