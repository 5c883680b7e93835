-- What row security says beyond roles: private chats, single files, whose a row
-- is, and what one can refer to.
BEGIN;
SELECT plan(158);

CREATE ROLE regress_app;
SELECT appdb.grant_access('regress_app', 'app');

CREATE FUNCTION public.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;

-- Ann owns space 11, Ben is its admin, Eve and Ed its editors, Vic its viewer; Bob is elsewhere, in 12
INSERT INTO appdb.users (id, name, email) SELECT public.u(n), name, lower(name) || '@example.org'
FROM (VALUES (1, 'Ann'), (2, 'Ben'), (3, 'Eve'), (4, 'Ed'), (5, 'Vic'), (6, 'Bob'), (7, 'Gil')) v (n, name);
INSERT INTO appdb.spaces (id, owner_id, name) VALUES (public.u(11), public.u(1), 'A'), (public.u(12), public.u(6), 'B'), (public.u(13), public.u(6), 'gone');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES
	(public.u(11), public.u(1), 'owner'), (public.u(11), public.u(2), 'admin'), (public.u(11), public.u(3), 'editor'), (public.u(11), public.u(4), 'editor'),
	(public.u(11), public.u(5), 'viewer'), (public.u(12), public.u(6), 'owner'), (public.u(12), public.u(3), 'viewer');
INSERT INTO appdb.chats (id, space_id, user_id, visibility) VALUES (public.u(21), public.u(11), public.u(3), 'private'), (public.u(22), public.u(11), public.u(3), 'space'),
	(public.u(23), public.u(12), public.u(6), 'space');
INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role) VALUES (public.u(31), public.u(11), public.u(21), public.u(3), 'user'), (public.u(32), public.u(11), public.u(22), public.u(3), 'user');
INSERT INTO appdb.files (id, space_id, user_id, name) VALUES (public.u(41), public.u(11), public.u(3), 'one'), (public.u(42), public.u(11), public.u(3), 'two'), (public.u(43), public.u(12), public.u(6), 'theirs');
INSERT INTO appdb.message_files (id, space_id, message_id, file_id) VALUES (public.u(51), public.u(11), public.u(31), public.u(41)), (public.u(52), public.u(11), public.u(32), public.u(41));
INSERT INTO appdb.notes (id, space_id, user_id, title) VALUES (public.u(61), public.u(11), public.u(3), 'note'), (public.u(62), public.u(11), NULL, 'nobody''s');
INSERT INTO appdb.folders (id, space_id, name) VALUES (public.u(71), public.u(12), 'theirs'), (public.u(72), public.u(12), 'deleted');
DELETE FROM appdb.folders WHERE id = public.u(72);
DELETE FROM appdb.spaces WHERE id = public.u(13);

-- A statement of somebody's: its result, or the number of rows, or the error;
-- undone unless it is to be kept.
CREATE FUNCTION public.act(who int, statement text, keep bool DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
	detail text;
	hint text;
BEGIN
	PERFORM appdb.impersonate(public.u(who));
	SET LOCAL ROLE regress_app;
	BEGIN
		IF statement ~* '^(SELECT|WITH)|RETURNING' THEN
			EXECUTE statement INTO result;
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS result = ROW_COUNT;
		END IF;
		SET CONSTRAINTS ALL IMMEDIATE;
		IF NOT keep THEN
			RAISE EXCEPTION USING ERRCODE = 'TT000';
		END IF;
	EXCEPTION
		WHEN SQLSTATE 'TT000' THEN NULL;
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
			result := concat_ws(' ', SQLSTATE, SQLERRM, NULLIF(detail, ''), NULLIF(hint, ''));
	END;
	RESET ROLE;
	PERFORM appdb.impersonate(NULL);
	RETURN result;
END
$$;
-- the same, the ids in it taken out
CREATE FUNCTION public.told(who int, statement text) RETURNS text LANGUAGE sql AS
	$$ SELECT regexp_replace(public.act(who, statement), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'ID', 'g') $$;

-- == files of private chats =================================================

SELECT is(public.act(3, 'SELECT count(*) FROM appdb.message_files'), '2', 'the author of a private chat sees what goes with its messages');
SELECT is(public.act(1, 'SELECT string_agg(id::text, '','') FROM appdb.message_files'), public.u(52)::text, 'the owner of the space does not');
SELECT is(public.act(1, 'SELECT count(*) FROM app_data.message_files'), '1', 'nor in the table');
SELECT is(public.act(2, 'DELETE FROM appdb.message_files'), '1', 'who cannot read a message takes no file from it');
SELECT is(public.act(2, 'UPDATE appdb.message_files SET position = 1'), '1', 'nor moves one');
SELECT matches(public.act(1, format('INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES (%L, %L, %L)', public.u(11), public.u(31), public.u(42))),
	'^42501 new row violates row-level security', 'nor adds one');
SELECT is(public.act(3, format('INSERT INTO appdb.message_files (space_id, message_id, file_id) VALUES (%L, %L, %L)', public.u(11), public.u(31), public.u(42))), '1', 'its author does');
SELECT is(public.act(1, format('SELECT appdb.can_read_message(%L, %L)', public.u(11), public.u(31))), 'false', 'a message of a private chat is not to be read');
SELECT is(public.act(1, format('SELECT appdb.can_read_message(%L, %L)', public.u(11), public.u(99))), 'false', 'no more than one that is not there');
SELECT is(public.act(1, format('UPDATE appdb.chats SET visibility = %L WHERE id = %L', 'private', public.u(22)), true), '42501 new row violates row-level security policy for table "chats"',
	'nobody makes a chat private for somebody else');
UPDATE appdb.chats SET visibility = 'space' WHERE id = public.u(21);
SELECT is(public.act(1, 'SELECT count(*) FROM appdb.message_files'), '2', 'a chat that is not private any more is everybody''s at once');
UPDATE appdb.chats SET visibility = 'private' WHERE id = public.u(21);
SELECT is(public.act(1, 'SELECT count(*) FROM appdb.message_files'), '1', 'and the other way round');

-- == single files ===========================================================

SELECT is(public.act(7, 'SELECT count(*) FROM appdb.files'), '0', 'who is a member nowhere sees no file');
SELECT is(public.act(5, 'UPDATE appdb.files SET name = ''x'''), '0', 'a viewer writes none');
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission) VALUES (public.u(11), public.u(41), public.u(7), 'read'), (public.u(11), public.u(42), public.u(5), 'write');
SELECT is(public.act(7, 'SELECT string_agg(name, '','') FROM appdb.files'), 'one', 'a permission shows a file to who is no member');
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.file_permissions'), '1', 'with the permission');
SELECT is(public.act(7, 'UPDATE appdb.files SET name = ''x'''), '0', 'to read is not to write');
SELECT is(public.act(7, 'SELECT appdb.can(''update'', ''appdb.files'', public.u(41)) OR appdb.can(''delete'', ''appdb.files'', public.u(41))'), 'false', 'which can() says too');
SELECT is(public.act(5, 'UPDATE appdb.files SET name = name || ''!'' RETURNING name'), 'two!', 'a permission to write lets a viewer write that file');
SELECT is(public.act(5, 'DELETE FROM appdb.files'), '0', 'but not delete it');
SELECT is(public.act(5, 'UPDATE app_data.files SET deleted_at = now() WHERE id = public.u(42)'), '0', 'in no way');
SELECT matches(public.act(5, format('UPDATE appdb.files SET space_id = %L WHERE id = %L', public.u(99), public.u(42))), '^42501', 'nor put it nowhere');
SELECT matches(public.act(5, 'UPDATE appdb.files SET user_id = public.u(5) WHERE id = public.u(42)'), '^42501 permission denied to change whose', 'nor take it over');
SELECT matches(public.act(5, 'UPDATE appdb.files SET space_id = public.u(12) WHERE id = public.u(42)'), '^42501', 'nor carry it off');
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.chats'), '0', 'nothing else is shown');
UPDATE appdb.file_permissions SET permission = 'write' WHERE user_id = public.u(7);
SELECT is(public.act(7, 'UPDATE appdb.files SET name = ''x'''), '1', 'a permission that is raised holds at once');
SELECT matches(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES (%L, %L, %L)', public.u(11), public.u(41), 'read')),
	'^42501', 'to write is not to decide who may');
UPDATE appdb.file_permissions SET permission = 'manage' WHERE user_id = public.u(7);
SELECT is(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES (%L, %L, %L)', public.u(11), public.u(41), 'read')), '1', 'to manage is');
SELECT matches(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES (%L, %L, %L)', public.u(11), public.u(42), 'read')),
	'^42501', 'of that file');
SELECT matches(public.act(7, format('UPDATE appdb.file_permissions SET file_id = %L WHERE file_id = %L', public.u(42), public.u(41))), '^42501', 'and of no other');
SELECT is(public.told(7, format('UPDATE appdb.file_permissions SET space_id = %L', public.u(12))), public.told(7, format('UPDATE appdb.file_permissions SET space_id = %L', public.u(99))),
	'whether another space is there is not told');
SELECT matches(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, user_id, granted_by) VALUES (%L, %L, %L, %L)', public.u(11), public.u(41), public.u(7), public.u(1))),
	'^42501', 'in one''s own name');
SELECT matches(public.act(who, format('UPDATE appdb.file_permissions SET granted_by = %L', public.u(1))),
	'^42501 permission denied to give a permission as somebody else', 'nor is it said afterwards that another gave it') FROM unnest(ARRAY[2, 7]) who;
SELECT is(public.act(7, format('UPDATE appdb.file_permissions SET permission = %L, granted_by = %L', 'manage', public.u(7))), '1', 'but that oneself did');
SELECT is(public.act(7, 'UPDATE appdb.file_permissions SET granted_by = NULL'), '1', 'or nobody');
UPDATE appdb.file_permissions SET expires_at = now() - interval '1 second' WHERE user_id = public.u(7);
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.files'), '0', 'a permission ends when it says');
UPDATE appdb.file_permissions SET expires_at = now() + interval '1 hour' WHERE user_id = public.u(7);
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.files'), '1', 'and not before');
-- who may manage for an hour gives for no longer
SELECT matches(public.act(7, format('UPDATE appdb.file_permissions SET expires_at = %s WHERE user_id = public.u(7)', until)), '^42501', 'nobody prolongs their own')
FROM unnest(ARRAY['NULL', 'now() + interval ''2 hours''', '''infinity''']) until;
SELECT is(public.act(7, 'UPDATE appdb.file_permissions SET expires_at = now() + interval ''30 minutes'' WHERE user_id = public.u(7)'), '1', 'but can let it end before');
SELECT is(public.act(7, 'UPDATE appdb.file_permissions SET permission = ''read'' WHERE user_id = public.u(7)'), '1', 'or be one for less');
SELECT matches(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, expires_at) VALUES (%L, %L, %s)', public.u(11), public.u(41), until)), '^42501', 'nor gives others one that outlasts it')
FROM unnest(ARRAY['NULL', 'now() + interval ''2 hours''']) until;
SELECT is(public.act(7, format('INSERT INTO appdb.file_permissions (space_id, file_id, expires_at) VALUES (%L, %L, now() + interval ''1 hour'')', public.u(11), public.u(41))), '1', 'but as long as it holds');
INSERT INTO appdb.file_permissions (id, space_id, file_id, user_id, permission) VALUES (public.u(81), public.u(11), public.u(41), public.u(5), 'read');
SELECT matches(public.act(7, 'UPDATE appdb.file_permissions SET permission = ''write'' WHERE id = public.u(81)'), '^42501', 'nor makes more of one that does');
SELECT is(public.act(7, 'UPDATE appdb.file_permissions SET permission = ''write'', expires_at = now() WHERE id = public.u(81)'), '1', 'unless it ends then');
SELECT is(public.act(7, 'DELETE FROM appdb.file_permissions WHERE id = public.u(81)'), '1', 'and takes it back');
SELECT is(public.act(7, 'UPDATE app_data.file_permissions SET deleted_at = now() WHERE id = public.u(81)'), '1', 'in either way');
DELETE FROM appdb.file_permissions WHERE id = public.u(81);
SELECT matches(public.act(7, 'SELECT rows FROM appdb.restore(''appdb.file_permissions'', public.u(81))'), '^P0002', 'nor brings it back');
SELECT is(public.act(7, 'UPDATE app_data.file_permissions SET deleted_at = NULL WHERE id = public.u(81)'), '0', 'nor by an UPDATE');
SELECT is(public.act(2, 'SELECT rows FROM appdb.restore(''appdb.file_permissions'', public.u(81))'), '1', 'which admins do');
SELECT is(public.act(2, 'UPDATE appdb.file_permissions SET expires_at = NULL WHERE user_id = public.u(7)'), '1', 'as they give any');
DELETE FROM appdb.file_permissions WHERE user_id = public.u(7);
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.files'), '0', 'or when it is taken back');
INSERT INTO appdb.file_permissions (space_id, file_id, permission) VALUES (public.u(11), public.u(41), 'write');
SELECT is(public.act(5, 'UPDATE appdb.files SET name = ''x'''), '2', 'one for everyone is for the members of the space');
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.files'), '0', 'and for nobody else');
SELECT is(public.act(6, 'SELECT string_agg(name, '','') FROM appdb.files'), 'theirs', 'not for those of another space');
SELECT matches(public.act(5, 'SELECT appdb.has_file_permission(public.u(11), public.u(41), ''delete'')'), '^22023', 'one can read, write and manage');
SELECT is(public.act(5, 'SELECT cardinality(appdb.my_files(''write''))'), '2', 'the files that one may write');

SELECT is(public.act(1, 'SELECT appdb.remove_member(public.u(5), space_id => public.u(11))', true), '', 'a viewer is removed');
SELECT is(public.act(5, 'SELECT count(*) FROM appdb.files'), '0', 'and keeps no permission');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (public.u(11), public.u(5), 'viewer');
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission) VALUES (public.u(11), public.u(42), public.u(5), 'write');
SELECT matches(public.act(5, 'UPDATE appdb.space_members SET role = ''editor'' WHERE user_id = public.u(5)'), '^42501', 'a viewer does not rise');
SELECT is(public.act(3, 'UPDATE appdb.space_members SET role = ''viewer'' WHERE user_id = public.u(3) AND space_id = public.u(11)'), '1', 'an editor can step down');
SELECT matches(public.act(3, 'UPDATE appdb.space_members SET user_id = public.u(4) WHERE user_id = public.u(3)'), '^42501', 'but not make it somebody else''s');
SELECT is(public.act(5, 'DELETE FROM appdb.space_members WHERE user_id = public.u(5)', true), '1', 'a viewer leaves by a statement');
SELECT is(public.act(5, 'SELECT count(*) FROM appdb.files'), '0', 'and keeps none either');
SELECT is(public.act(5, 'UPDATE app_data.space_members SET deleted_at = NULL'), '0', 'nor comes back');
SELECT is(public.act(5, 'UPDATE app_data.space_members SET role = ''owner'''), '0', 'nor prepares for it');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (public.u(11), public.u(5), 'viewer');

-- a plan that looks the caller's files and spaces up
INSERT INTO appdb.files (space_id, name) SELECT public.u(12), n::text FROM generate_series(1, 2000) n;
ANALYZE app_data.files;
CREATE FUNCTION public.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || statement LOOP
		result := result || line || E'\n';
	END LOOP;
	RETURN result;
END
$$;
DO $$ BEGIN PERFORM appdb.impersonate(public.u(5)); END $$;
SET LOCAL enable_seqscan = off;
SET LOCAL ROLE regress_app;
SELECT matches(public.plan_of('SELECT count(*) FROM appdb.files'), 'BitmapOr', 'all files of one''s own are looked up by index');
RESET ROLE;
RESET enable_seqscan;

-- == in parallel ============================================================

SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SET LOCAL enable_indexscan = off;
SET LOCAL enable_bitmapscan = off;
SET LOCAL parallel_leader_participation = off;
DO $$ BEGIN PERFORM appdb.impersonate(public.u(1)); END $$;
SET LOCAL ROLE regress_app;
SELECT matches(public.plan_of('SELECT count(*) FROM app_data.' || name), 'Parallel Seq Scan', name || ' are read in parallel')
FROM (VALUES ('messages'), ('message_files'), ('files'), ('users')) v (name);
RESET ROLE;
SELECT is(public.act(1, 'SELECT count(*) FROM app_data.messages'), '1', 'workers know which chats are private');
SELECT is(public.act(3, 'SELECT count(*) FROM app_data.messages'), '2', 'and whose');
SELECT is(public.act(1, 'SELECT count(*) FROM app_data.message_files'), '1', 'of which messages');
SELECT is(public.act(7, 'SELECT count(*) FROM app_data.files'), '0', 'which files');
SELECT is(public.act(1, 'SELECT count(*) FROM app_data.users'), '5', 'whom one knows');
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET enable_indexscan;
RESET enable_bitmapscan;
RESET parallel_leader_participation;

-- == whose a row is =========================================================

SELECT matches(public.act(4, format('UPDATE appdb.%s SET user_id = %L WHERE user_id = %L', e, public.u(4), public.u(3))), '^42501 permission denied to change whose a row of table "app_data.' || e,
	'an editor takes over no ' || e) FROM unnest(ARRAY['chats', 'messages', 'files', 'notes']) e;
SELECT matches(public.act(4, 'UPDATE appdb.notes SET user_id = public.u(4) WHERE id = public.u(62)'), '^42501', 'nor what is nobody''s');
SELECT matches(public.act(4, format('UPDATE appdb.chats SET visibility = %L WHERE id = %L', 'public', public.u(22))), '^42501 permission denied to change whose', 'nor publishes another''s chat');
SELECT is(public.act(4, 'UPDATE appdb.chats SET title = ''x'', user_id = user_id, visibility = visibility'), '1', 'an editor may change the rest of it');
SELECT is(public.act(3, format('UPDATE appdb.chats SET visibility = %L WHERE id = %L', 'private', public.u(22))), '1', 'its author decides who reads it');
SELECT is(public.act(3, format('UPDATE appdb.chats SET user_id = %L WHERE id = %L', public.u(4), public.u(22))), '1', 'and can give it away');
SELECT is(public.act(2, format('UPDATE appdb.chats SET user_id = %L WHERE id = %L', public.u(2), public.u(22))), '1', 'so can an admin');
CREATE TABLE public.signed (id uuid PRIMARY KEY, space_id uuid NOT NULL REFERENCES app_data.spaces, author_id uuid, user_id uuid GENERATED ALWAYS AS (author_id) STORED,
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT throws_ok($$SELECT appdb.manage('signed')$$, '42P16', 'column "user_id" of table "public.signed" is generated', 'whose a row is is no expression');
ALTER TABLE public.signed ALTER COLUMN user_id DROP EXPRESSION;
SELECT lives_ok($$SELECT appdb.manage('signed')$$, 'but a column');

-- == references =============================================================

-- the same is told of what is there, of what has been deleted, and of what never was
SELECT is(public.told(4, format(statement, there)), public.told(4, format(statement, public.u(99))), what)
FROM (VALUES
	('a user of another tenant as a member', 'UPDATE appdb.notes SET user_id = %L WHERE id = public.u(61)', public.u(7)),
	('a folder elsewhere', 'UPDATE appdb.notes SET folder_id = %L WHERE id = public.u(61)', public.u(71)),
	('a deleted folder elsewhere', 'INSERT INTO appdb.notes (space_id, folder_id, title) VALUES (public.u(11), %L, ''x'')', public.u(72)),
	('a deleted space elsewhere', 'INSERT INTO appdb.notes (space_id, title) VALUES (%L, ''x'')', public.u(13)),
	('a user, for a row that is born deleted', 'INSERT INTO app_data.tasks (kind, space_id, user_id, deleted_at) VALUES (''x'', public.u(11), %L, now())', public.u(7))) v (what, statement, there);
SELECT is(public.told(2, format(statement, there)), public.told(2, format(statement, public.u(99))), what)
FROM (VALUES
	('nobody makes a stranger a member', 'INSERT INTO appdb.space_members (space_id, user_id) VALUES (public.u(11), %L)', public.u(7))) v (what, statement, there);
SELECT is(public.act(2, 'SELECT count(*) FROM appdb.users WHERE id = public.u(7)'), '0', 'whom they would see then');

-- == tasks ==================================================================

SELECT is(public.act(3, $$INSERT INTO appdb.tasks (kind, space_id, group_key) VALUES ('x', public.u(11), 'g')$$), '1', 'an editor enqueues a task of a group');
SELECT matches(public.act(3, $$INSERT INTO appdb.tasks (kind, space_id, group_key, status, locked_until) VALUES ('x', public.u(11), 'g', 'running', now() + interval '1 year')$$),
	'^42501 new row violates row-level security', 'but none that runs already');
SELECT matches(public.act(3, $$INSERT INTO appdb.tasks (kind, space_id, group_key, group_slot) VALUES ('x', public.u(11), 'g', 1)$$),
	'^42501 new row violates row-level security', 'nor one with a place, which another waits for');
-- somebody else's task, that others wait for
SELECT appdb.enqueue('theirs', space_id => public.u(12), user_id => public.u(6)) AS theirs \gset
SELECT appdb.enqueue('after', space_id => public.u(12), depends_on => ARRAY[:'theirs']::uuid[]) AS after \gset
SELECT matches(public.act(4, format($$INSERT INTO appdb.tasks (kind, space_id, depends_on, waits_for, queued) VALUES ('x', public.u(11), '{%s,%s}', 1, false)$$, :'theirs', :'theirs')),
	'^42501 new row violates row-level security', 'nor one that waits for what is somebody else''s');
SELECT is(public.act(6, format($$INSERT INTO appdb.tasks (kind, space_id, depends_on, waits_for, queued) VALUES ('x', public.u(12), '{%s}', 1, false)$$, :'theirs')), '1', 'but for what is theirs');
SELECT is(public.act(3, $$INSERT INTO appdb.tasks (kind, space_id, dedupe_key) VALUES ('x', public.u(11), 'k')$$, true), '1', 'one with a key');
SELECT is(public.act(3, $$SELECT appdb.enqueue('x', space_id => public.u(11), dedupe_key => 'k') IS NOT NULL$$), 'true', 'is there once');
SELECT matches(public.act(3, $$SELECT appdb.enqueue('x', space_id => public.u(11), dedupe_key => 'k', on_duplicate => 'replace')$$),
	'^42501 task "x" with dedupe key "k" may not be changed', 'and only servers replace it');
SELECT matches(public.act(3, statement), '^42501 a task for this user and space may not be enqueued Row security: .*space_id\)', 'why nobody else''s is enqueued: ' || statement)
FROM (VALUES ('SELECT appdb.enqueue(''x'')'), ('SELECT appdb.enqueue(''x'', user_id => public.u(4))'), ('SELECT appdb.enqueue_many(''x'', ''{1}'', space_id => public.u(12))')) AS v (statement);
SELECT is(public.act(3, 'SELECT appdb.enqueue(''x'', user_id => appdb.current_user_id()) IS NOT NULL'), 'true', 'but one''s own');

-- == functions that answer ==================================================

SELECT is(public.act(3, 'SELECT count(*) FROM appdb.notes WHERE appdb.has_role(space_id, title)'), '22023 unknown role "note" Roles are viewer (in an organization: member), editor, admin and owner.', 'has_role() is asked of one''s own rows');
SELECT is(public.act(7, 'SELECT count(*) FROM appdb.notes WHERE appdb.has_role(space_id, title)'), '0', 'and of nobody else''s');

-- == bringing back by UPDATE ================================================

UPDATE app_data.notes SET deleted_at = now() WHERE id = public.u(61);
SELECT is(public.act(4, 'UPDATE app_data.notes SET deleted_at = NULL WHERE id = public.u(61)'), '0', 'who may not delete a row does not bring it back');
SELECT is(public.act(3, 'UPDATE app_data.notes SET deleted_at = NULL WHERE id = public.u(61)', true), '1', 'its author does');
SELECT appdb.impersonate(public.u(7));
DELETE FROM appdb.users WHERE id = public.u(7);
SET LOCAL ROLE regress_app;
UPDATE app_data.users SET deleted_at = NULL WHERE id = public.u(7);
SELECT isnt((SELECT deleted_at FROM app_data.users WHERE id = public.u(7)), NULL, 'nor a user who is deleted while signed in themselves');
SELECT throws_ok($$SELECT appdb.restore('appdb.users', public.u(7))$$, 'P0002', NULL, 'nor by restore()');
RESET ROLE;
SELECT appdb.impersonate(NULL);

-- == triggers and tables of the caller's own ================================

-- whoever may only read a table makes a view of it, and our trigger on that
CREATE ROLE regress_reader;
SELECT appdb.grant_access('regress_reader', 'readonly');
GRANT USAGE ON SCHEMA public TO regress_app, regress_reader;
SET LOCAL ROLE regress_reader;
CREATE TEMP VIEW own AS SELECT * FROM app_data.notes WHERE deleted_at IS NULL;
CREATE TRIGGER row INSTEAD OF DELETE ON own FOR EACH ROW EXECUTE FUNCTION appdb.soft_delete();
CREATE TRIGGER begin BEFORE DELETE ON own FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete();
CREATE TRIGGER finish AFTER DELETE ON own FOR EACH STATEMENT EXECUTE FUNCTION appdb.soft_delete();
RESET ROLE;
SELECT appdb.impersonate(public.u(3));
SET LOCAL ROLE regress_reader;
SELECT throws_ok('DELETE FROM own', '42809', 'view "own" is not a live view', 'who may only read a table deletes nothing by a view of their own');
RESET ROLE;

-- columns of other types than the triggers expect
SET LOCAL ROLE regress_app;
CREATE TEMP TABLE numbers (space_id int DEFAULT 1, user_id int DEFAULT 1);
INSERT INTO numbers DEFAULT VALUES;
ALTER TABLE numbers ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY everything ON numbers USING (true);
CREATE TRIGGER author BEFORE UPDATE ON numbers FOR EACH ROW EXECUTE FUNCTION appdb.keep_author();
SELECT throws_ok('UPDATE numbers SET user_id = 2', '42703', 'table "numbers" has no column "space_id" of type uuid', 'keep_author() is asked of numbers');
CREATE TYPE pg_temp.parent AS ENUM ('one');
CREATE FUNCTION pg_temp.parent_id(pg_temp.parent) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT '00000000-0000-7000-8000-000000000001'::uuid $$;
CREATE CAST (pg_temp.parent AS uuid) WITH FUNCTION pg_temp.parent_id(pg_temp.parent) AS IMPLICIT;
CREATE TEMP TABLE parents (id uuid PRIMARY KEY, deleted_at timestamptz);
INSERT INTO parents VALUES ('00000000-0000-7000-8000-000000000001');
CREATE TEMP TABLE children (id uuid PRIMARY KEY, parent pg_temp.parent REFERENCES parents, deleted_at timestamptz);
CREATE TRIGGER zz_appdb_guard BEFORE INSERT ON children FOR EACH ROW EXECUTE FUNCTION appdb.guard();
SELECT lives_ok($$INSERT INTO children (id, parent) VALUES (gen_random_uuid(), 'one')$$, 'a foreign key by a cast is none of the engine''s');
RESET ROLE;
SELECT appdb.impersonate(NULL);

-- == what was undone ========================================================

-- asks for Vic's roles while a statement that changes them is under way, and has it fail
CREATE FUNCTION pg_temp.look_and_fail() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
	PERFORM appdb.impersonate(public.u(5));
	RAISE EXCEPTION 'admin: %', appdb.has_role(public.u(11), 'admin');
END
$$;
UPDATE app_data.space_members SET role = 'viewer' WHERE user_id = public.u(5) AND deleted_at IS NULL;	-- what is remembered is forgotten
SELECT throws_ok($$UPDATE app_data.space_members SET role = 'admin' WHERE user_id = public.u(5) AND deleted_at IS NULL RETURNING pg_temp.look_and_fail()$$, 'P0001', 'admin: t', 'a statement shows roles, and fails');
SELECT appdb.impersonate(public.u(5));
SELECT is(appdb.has_role(public.u(11), 'admin'), false, 'roles that were not kept are not remembered');
SELECT appdb.impersonate(NULL);

-- == messages move ==========================================================

-- Eve's message in a chat of hers, Ed's in it, and a private chat of Ed's
INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role) VALUES (public.u(33), public.u(11), public.u(22), public.u(4), 'user');
INSERT INTO appdb.chats (id, space_id, user_id, visibility) VALUES (public.u(24), public.u(11), public.u(4), 'private'), (public.u(25), public.u(11), public.u(3), 'space');
SELECT matches(public.act(4, 'UPDATE appdb.messages SET chat_id = public.u(24) WHERE id = public.u(32)'), '^42501 permission denied to change whose', 'nobody takes another''s message away, to delete it with the chat');
SELECT matches(public.act(4, 'UPDATE appdb.messages SET chat_id = public.u(25) WHERE id = public.u(32)'), '^42501 permission denied to change whose', 'to whatever chat');
SELECT is(public.act(4, 'UPDATE appdb.messages SET chat_id = public.u(24) WHERE id = public.u(33)'), '1', 'but their own');
SELECT is(public.act(3, 'UPDATE appdb.messages SET chat_id = public.u(25) WHERE id = public.u(33)'), '1', 'and from a chat of theirs');
SELECT is(public.act(2, 'UPDATE appdb.messages SET chat_id = public.u(25) WHERE id = public.u(33)'), '1', 'and an admin');
SELECT is(public.act(4, 'UPDATE appdb.messages SET content = ''x'', chat_id = chat_id WHERE id = public.u(32)'), '1', 'an editor edits it where it is');
SELECT lives_ok('UPDATE appdb.messages SET chat_id = public.u(25) WHERE id = public.u(33)', 'and a server, while nobody is signed in');
DELETE FROM app_data.messages WHERE id = public.u(33);

-- == a role that only reads =================================================

INSERT INTO appdb.tasks (id, kind, user_id) VALUES (public.u(81), 'x', public.u(3)), (public.u(82), 'x', public.u(3));
UPDATE appdb.tasks SET status = 'canceled' WHERE id = public.u(82);
CREATE ROLE regress_readonly;
SELECT appdb.grant_access('regress_readonly', 'readonly');
SELECT appdb.impersonate(public.u(3));
SET LOCAL ROLE regress_readonly;
SELECT throws_ok('SELECT appdb.cancel(public.u(81))', 'P0002', NULL, 'cancels no task of the user who is asking');
SELECT throws_ok('SELECT appdb.retry(public.u(82))', 'P0002', NULL, 'nor has one tried again');
RESET ROLE;
SELECT appdb.impersonate(NULL);
SELECT is(public.act(3, 'SELECT appdb.cancel(public.u(81))'), 'canceled', 'the application does');
SELECT is(public.act(3, 'SELECT (appdb.retry(public.u(82)) IS NOT NULL)::text'), 'true', 'both');

-- == within one statement ===================================================

-- a function lasts as long as it likes
CREATE FUNCTION public.wait_for_it(seconds float8) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	before int := (SELECT count(*) FROM appdb.files WHERE space_id = public.u(11));
BEGIN
	PERFORM pg_sleep(seconds);
	RETURN before || ' ' || (SELECT count(*) FROM appdb.files WHERE space_id = public.u(11)) || ' ' || cardinality(appdb.my_files('read'));
END
$$;
-- for longer, where the machine has not even begun by then
CREATE FUNCTION public.waited() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	seconds int;
	result text;
BEGIN
	FOREACH seconds IN ARRAY '{1,5,25}'::int[] LOOP
		DELETE FROM appdb.file_permissions WHERE user_id = public.u(6);
		INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission, expires_at)
			SELECT public.u(11), f, public.u(6), 'read', clock_timestamp() + seconds * interval '0.2 s' FROM unnest(ARRAY[public.u(41), public.u(42)]) f;
		result := public.act(6, format('SELECT public.wait_for_it(%s * 0.3)', seconds));
		EXIT WHEN result <> '0 0 0';
	END LOOP;
	DELETE FROM appdb.file_permissions WHERE user_id = public.u(6);
	RETURN result;
END
$$;
SELECT is(public.waited(), '2 0 0', 'a permission ends when it does, not with the statement');

-- what becomes of a reference to what one may not see is nobody's choice
CREATE FUNCTION public.say(id uuid) RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', id; END $$;
CREATE FUNCTION public.said(who int) RETURNS text LANGUAGE sql AS $$
	SELECT public.act(6, format('INSERT INTO appdb.file_permissions (space_id, file_id, user_id) VALUES (public.u(12), public.u(43), %L) RETURNING public.say(user_id)', public.u(who)))
$$;
SELECT is(public.said(3), 'P0001 ' || public.u(3), 'a reference to whom one knows is what it is');
SELECT isnt(public.said(4), 'P0001 ' || public.u(4), 'to whom one does not know it is another');
SELECT is(public.said(4), public.said(4), 'the same each time');
SELECT isnt(left(public.said(4), -1), left(public.said(5), -1), 'that no other tells');

-- == plans ==================================================================

-- what a statement looks up by index, and what else it asks of a row, as an app does it
CREATE FUNCTION public.conditions(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	result text := '';
BEGIN
	PERFORM appdb.impersonate(public.u(3));
	SET LOCAL ROLE regress_app;
	SET LOCAL enable_seqscan = off;
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || statement LOOP
		CONTINUE WHEN line !~ 'Index Cond|Filter';
		result := concat_ws(' ', NULLIF(result, ''), btrim(line));
	END LOOP;
	RESET ROLE;
	PERFORM appdb.impersonate(NULL);
	RETURN replace(result, '::uuid', '');
END
$$;
SELECT is(public.conditions('SELECT count(*) FROM appdb.messages'),
	'Filter: ((deleted_at IS NULL) AND appdb.can_read_chat(space_id, chat_id)) Index Cond: (space_id = ANY (appdb.my_spaces()))', 'messages are looked up by one''s spaces');
SELECT is(public.conditions('SELECT count(*) FROM appdb.messages WHERE id = public.u(32)'),
	format('Index Cond: (id = %L) Filter: ((deleted_at IS NULL) AND appdb.can_read_chat(space_id, chat_id))', public.u(32)), 'one message by its key alone');
SELECT is((SELECT public.act(3, 'SELECT count(*) FROM appdb.messages')), '2', 'an author reads all of theirs, the index condition being one of two');
SELECT is((SELECT public.act(5, 'SELECT count(*) FROM appdb.messages')), '1', 'another member what is not private');
SELECT is((SELECT public.act(5, 'SELECT count(*) FROM appdb.message_files')), '1', 'nor the files of what is');

-- == a space with the id 0 ==================================================

INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('00000000-0000-0000-0000-000000000000', public.u(5), 'Mine');
SELECT is((SELECT public.act(5, $$SELECT appdb.is_member('00000000-0000-0000-0000-000000000000')$$)), 'true', 'it is a space like any other');

-- == a space that is just being made ========================================

INSERT INTO appdb.organizations (id, name, slug) VALUES (public.u(15), 'H', 'h');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (public.u(15), public.u(1), 'owner'), (public.u(15), public.u(2), 'admin'), (public.u(15), public.u(3), 'member');
SELECT is(public.act(3, 'INSERT INTO appdb.spaces (owner_id, name) VALUES (public.u(3), ''New'') RETURNING name'), 'New', 'one''s own is shown by the INSERT');
SELECT is(public.act(3, 'INSERT INTO appdb.spaces (owner_id, name, slug) VALUES (public.u(3), ''New'', ''new''), (public.u(3), ''Newer'', ''newer'')
	ON CONFLICT (owner_id, slug) WHERE deleted_at IS NULL DO UPDATE SET name = excluded.name RETURNING name'), 'New', 'and by an upsert');
SELECT is(public.act(2, 'INSERT INTO appdb.spaces (organization_id, name) VALUES (public.u(15), ''New'') RETURNING name'), 'New', 'an organization''s, to its admins');
SELECT matches(public.act(3, 'INSERT INTO appdb.spaces (organization_id, name) VALUES (public.u(15), ''New'') RETURNING name'), '^42501 ', 'who are the only ones to make one');
SELECT matches(public.act(3, 'INSERT INTO appdb.spaces (owner_id, name) VALUES (public.u(4), ''New'') RETURNING name'), '^42501 ', 'nobody makes one of somebody else''s');
SELECT matches(public.act(3, 'INSERT INTO appdb.spaces (id, owner_id, name) VALUES (public.u(12), public.u(3), ''Mine'') ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner_id = excluded.owner_id RETURNING name'),
	'^42501 ', 'nor somebody else''s their own');
SELECT is(public.act(6, 'SELECT string_agg(name, '' '') FROM app_data.spaces'), 'B', 'what was deleted stays hidden from its owner, in the table, too');
SELECT is(public.act(4, 'SELECT string_agg(name, '' '') FROM app_data.spaces'), 'A', 'as do others'' from everybody');
INSERT INTO appdb.spaces (owner_id, name) SELECT public.u(6), n::text FROM generate_series(1, 1000) AS n;
ANALYZE app_data.spaces;
SELECT is(public.conditions('SELECT count(*) FROM appdb.spaces'),
	'Index Cond: (id = ANY (appdb.my_spaces())) Filter: ((deleted_at IS NULL) AND appdb._sees_space(id, owner_id, organization_id, deleted_at))', 'one''s spaces are looked up by their ids');

-- == signed out by what a statement returns =================================

INSERT INTO appdb.users (id, name) VALUES (public.u(8), 'Sam');
INSERT INTO appdb.organizations (id, name, slug) VALUES (public.u(14), 'G', 'g');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (public.u(14), public.u(8), 'owner');
SELECT matches((SELECT public.act(8, 'DELETE FROM appdb.members WHERE user_id = public.u(8) RETURNING appdb.sign_out_everywhere()')), '^23514 .* would have no owner', 'an organization keeps its owner');
SELECT matches((SELECT public.act(5, 'DELETE FROM appdb.space_members WHERE user_id = public.u(5) RETURNING appdb.sign_out_everywhere()')), '^0$', 'others leave');
SELECT is((SELECT public.act(3, 'DELETE FROM appdb.notes WHERE id = public.u(61) RETURNING appdb.sign_out_everywhere()', true)), '0', 'a row is deleted');
SELECT is((SELECT t.deleted_by FROM appdb.trash AS t WHERE t.id = public.u(61)), public.u(3), 'and who has done it is noted all the same');

-- == what is read of permissions ============================================

INSERT INTO appdb.users (id, name) SELECT public.u(n), 'User' FROM generate_series(1001, 1400) AS n;
INSERT INTO appdb.files (id, space_id, name) SELECT public.u(n), public.u(12), 'file' FROM generate_series(1501, 1800) AS n;
INSERT INTO appdb.file_permissions (space_id, file_id, user_id) SELECT public.u(11), public.u(42), public.u(n) FROM generate_series(1001, 1400) AS n
UNION ALL SELECT public.u(12), public.u(n), NULL FROM generate_series(1501, 1800) AS n;
ANALYZE app_data.file_permissions;
CREATE FUNCTION public.fetched() RETURNS numeric LANGUAGE sql AS $$
	SELECT sum(pg_stat_get_xact_tuples_returned(c) + pg_stat_get_xact_tuples_fetched(c))
	FROM (SELECT 'app_data.file_permissions'::regclass UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'app_data.file_permissions'::regclass) t (c)
$$;
SELECT public.fetched() AS before \gset
SELECT is(public.act(4, 'SELECT cardinality(appdb.my_files(''read''))'), '1', 'an editor has a file that everyone has');
SELECT cmp_ok(public.fetched() - :before, '<', 20::numeric, 'and no other permissions of the space are read for that, nor those for everyone of other spaces');

SELECT * FROM finish();
ROLLBACK;
