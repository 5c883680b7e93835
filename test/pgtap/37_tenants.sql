-- Two tenants: what a user of one can read, change, refer to or infer of the other.
--
-- What is tried is generated from the catalog: every relation and column, every function that a role with access level "app" may execute,
-- with the ids of B's rows as arguments, or with B's rows as forged row values. Each statement is run by Ann of A twice: once with what is B's,
-- and once with its twin, in which every id and name is one that nobody has. What is told must be the same, to the letter: so nothing can be
-- inferred from it. What is told without B's ids in the question must have nothing of B in it. And B's rows, and all that refers to them, must
-- stay as they are. What cannot be otherwise is listed at the end, and in docs/access.md.
BEGIN;
SELECT plan(33);

CREATE ROLE regress_app;
SELECT appdb.grant_access('regress_app', 'app');

-- == two tenants ============================================================

-- All ids of A begin with aaaaaaaa, all of B with bbbbbbbb, and of twins with cccccccc.
CREATE FUNCTION public.id(t text, n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (repeat(t, 8) || '-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
DO $$
DECLARE
	t text;
	m text;
BEGIN
	FOREACH t IN ARRAY ARRAY['a', 'b'] LOOP
		m := 'MARKER-' || upper(t) || ' ';
		INSERT INTO appdb.users (id, name, email, email_verified) VALUES (public.id(t, 1), m, 'marker-' || t || '@example.org', true), (public.id(t, 51), m, NULL, false);
		INSERT INTO appdb.accounts (id, user_id, provider_id, account_id) VALUES (public.id(t, 2), public.id(t, 1), 'credential', m);
		INSERT INTO appdb.sessions (id, user_id, token, expires_at) VALUES (public.id(t, 3), public.id(t, 1), m, now() + interval '1 day');
		INSERT INTO appdb.verifications (id, identifier, value, expires_at) VALUES (public.id(t, 4), m, m, now() + interval '1 day');
		INSERT INTO appdb.organizations (id, name, slug) VALUES (public.id(t, 5), m, 'marker-' || t), (public.id(t, 55), m, 'dead-marker-' || t);
		INSERT INTO appdb.members (id, organization_id, user_id, role) VALUES (public.id(t, 6), public.id(t, 5), public.id(t, 1), 'owner');
		INSERT INTO appdb.spaces (id, organization_id, owner_id, name, slug) VALUES (public.id(t, 7), public.id(t, 5), NULL, m, 'marker-' || t),
			(public.id(t, 57), public.id(t, 5), NULL, m, 'dead-marker-' || t), (public.id(t, 8), NULL, public.id(t, 1), m, 'marker-' || t);
		INSERT INTO appdb.space_members (id, space_id, user_id, role) VALUES (public.id(t, 9), public.id(t, 7), public.id(t, 1), 'owner'), (public.id(t, 59), public.id(t, 8), public.id(t, 1), 'owner');
		INSERT INTO appdb.invitations (id, organization_id, email, role, expires_at, inviter_id, token_hash) SELECT public.id(t, n), public.id(t, 5), 'marker-' || t || '@invited.example', 'member', now() + interval '1 day', public.id(t, 1), sha256((m || n)::bytea)
		FROM unnest(ARRAY[10, 60]) n;
		INSERT INTO appdb.chats (id, space_id, user_id, title, visibility) SELECT public.id(t, n), public.id(t, 7), public.id(t, 1), m, v::app_data.chat_visibility FROM (VALUES (11, 'space'), (12, 'private'), (61, 'space'), (62, 'public')) v (n, v);
		INSERT INTO appdb.messages (id, space_id, chat_id, user_id, role, content) SELECT public.id(t, n), public.id(t, 7), public.id(t, 11), public.id(t, 1), 'user', m FROM unnest(ARRAY[13, 63]) n;
		INSERT INTO appdb.files (id, space_id, user_id, name, storage_key) SELECT public.id(t, n), public.id(t, 7), public.id(t, 1), m, m || n FROM unnest(ARRAY[14, 64]) n;
		INSERT INTO appdb.file_permissions (id, space_id, file_id, user_id, permission) VALUES (public.id(t, 15), public.id(t, 7), public.id(t, 14), public.id(t, 1), 'manage'), (public.id(t, 65), public.id(t, 7), public.id(t, 14), NULL, 'manage');
		INSERT INTO appdb.message_files (id, space_id, message_id, file_id) VALUES (public.id(t, 16), public.id(t, 7), public.id(t, 13), public.id(t, 14));
		INSERT INTO appdb.folders (id, space_id, name) SELECT public.id(t, n), public.id(t, 7), m || n FROM unnest(ARRAY[17, 67]) n;
		INSERT INTO appdb.notes (id, space_id, folder_id, user_id, title) SELECT public.id(t, n), public.id(t, 7), public.id(t, 17), public.id(t, 1), m FROM unnest(ARRAY[18, 68]) n;
		INSERT INTO appdb.subscriptions (id, organization_id, plan, status, provider_subscription_id) VALUES (public.id(t, 19), public.id(t, 5), m, 'active', m);
		INSERT INTO appdb.tasks (id, kind, space_id, user_id, dedupe_key) SELECT public.id(t, n), 'marker-' || t, public.id(t, 7), public.id(t, 1), m || n FROM unnest(ARRAY[20, 70]) n;
		INSERT INTO appdb.tasks (id, kind, space_id, user_id, depends_on, waits_for, queued) VALUES (public.id(t, 71), 'marker-' || t, public.id(t, 7), public.id(t, 1), ARRAY[public.id(t, 20)], 1, false);
		INSERT INTO appdb.schedules (id, name, cron, kind, space_id, user_id, next_run_at) VALUES (public.id(t, 21), m, '0 3 * * *', m, public.id(t, 7), public.id(t, 1), now());
		DELETE FROM appdb.users WHERE id = public.id(t, 51);
		DELETE FROM appdb.spaces WHERE id = public.id(t, 57);
		DELETE FROM appdb.organizations WHERE id = public.id(t, 55);
		DELETE FROM appdb.invitations WHERE id = public.id(t, 60);
		DELETE FROM appdb.chats WHERE id = public.id(t, 61);
		DELETE FROM appdb.messages WHERE id = public.id(t, 63);
		DELETE FROM appdb.files WHERE id = public.id(t, 64);
		DELETE FROM appdb.folders WHERE id = public.id(t, 67);
		DELETE FROM appdb.notes WHERE id = public.id(t, 68);
		DELETE FROM appdb.tasks WHERE id = public.id(t, 70);
		PERFORM appdb.hold(public.id(t, 5), m);
	END LOOP;
END
$$;

-- B's rows, by their base table
CREATE TABLE public.theirs (entity regclass, id uuid, live bool, value jsonb);
DO $$
DECLARE
	e record;
BEGIN
	FOR e IN SELECT m.entity FROM appdb.managed m LOOP
		EXECUTE format('INSERT INTO public.theirs SELECT %L, t.id, to_jsonb(t) ->> ''deleted_at'' IS NULL, to_jsonb(t) FROM %s t WHERE t.id::text LIKE ''bbbbbbbb%%''', e.entity, e.entity);
	END LOOP;
END
$$;
SELECT is_empty('SELECT m.entity FROM appdb.managed m WHERE m.entity NOT IN (SELECT t.entity FROM public.theirs t)', 'every managed table has rows of both tenants');

ANALYZE app_data.users, app_data.accounts, app_data.organizations, app_data.spaces, app_data.chats, app_data.messages, app_data.files, app_data.notes, app_data.tasks;
SELECT appdb.impersonate(public.id('a', 1), for_session => true) \gset

-- == trying =================================================================

CREATE TABLE public.found (what text, statement text, told text, twin text);
-- how the statements ended, so that it is seen whether they tried anything
CREATE TABLE public.ends (relation bool, state text, statement text);

-- Everything that has an id of B in it.
CREATE FUNCTION public.checksum() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	statement text := (SELECT string_agg(format('SELECT %L || xmin::text || xmax::text || t::text AS r FROM %s t WHERE strpos(t::text, ''bbbbbbbb'') > 0', c.oid::regclass, c.oid::regclass), ' UNION ALL ')
					   FROM pg_class c WHERE c.relnamespace = 'app_data'::regnamespace AND c.relkind = 'r');
	result text;
BEGIN
	EXECUTE 'SELECT md5(string_agg(r, '','' ORDER BY r)) FROM (' || statement || ') s' INTO result;
	RETURN result;
END
$$;

CREATE TABLE public.was (checksum text);
INSERT INTO public.was VALUES (public.checksum());

-- Runs a statement as Ann; what is told of it, without ids of new rows, tokens and times.
CREATE FUNCTION public.tell(statement text, watch bool, OUT told text, OUT touched bool) LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
	state text;
	detail text;
	hint text;
	more text;
BEGIN
	touched := false;
	SET LOCAL ROLE regress_app;
	BEGIN
		IF statement ~ '^SELECT' THEN
			EXECUTE 'SELECT jsonb_agg(to_jsonb(s)) FROM (' || statement || ') s' INTO told;
		ELSE
			EXECUTE statement;
			GET DIAGNOSTICS n = ROW_COUNT;
			told := n || ' rows';
		END IF;
		SET CONSTRAINTS ALL IMMEDIATE;
		RESET ROLE;
		IF watch THEN
			touched := public.checksum() <> (SELECT w.checksum FROM public.was w);
		END IF;
		RAISE EXCEPTION USING ERRCODE = 'TT000';
	EXCEPTION
		WHEN SQLSTATE 'TT000' THEN NULL;
		WHEN OTHERS THEN
			GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, more = CONSTRAINT_NAME;
			told := concat_ws(' | ', SQLSTATE, SQLERRM, detail, hint, more);
	END;
	RESET ROLE;
	IF touched THEN
		UPDATE public.was SET checksum = public.checksum();
	END IF;
	told := regexp_replace(coalesce(told, 'nothing'), '(?!bbbbbbbb|cccccccc|aaaaaaaa)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'ID', 'g');
	told := regexp_replace(told, '"[A-Za-z0-9_-]{43}"', '"TOKEN"', 'g');
	told := regexp_replace(told, '\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?)?', 'TIME', 'g');
END
$$;

CREATE FUNCTION public.twin(statement text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT replace(replace(replace(statement, 'bbbbbbbb', 'cccccccc'), 'MARKER-B', 'MARKER-C'), 'marker-b', 'marker-c')
$$;

CREATE FUNCTION public.try(what text, statement text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	theirs record := public.tell(statement, true);
	nobodys text := CASE WHEN public.twin(statement) <> statement THEN (public.tell(public.twin(statement), false)).told END;
BEGIN
	INSERT INTO public.ends VALUES (what !~ '\(|find', CASE WHEN theirs.told ~ '^[0-9A-Z]{5} \|' THEN left(theirs.told, 5) ELSE 'done' END, statement);
	IF theirs.touched THEN
		INSERT INTO public.found VALUES (what || ' touches', statement, theirs.told);
	END IF;
	IF nobodys IS NULL AND theirs.told ~* 'marker-b|bbbbbbbb' THEN
		INSERT INTO public.found VALUES (what || ' shows', statement, theirs.told);
	ELSIF nobodys IS NOT NULL AND public.twin(theirs.told) <> nobodys THEN
		INSERT INTO public.found VALUES (what || ' tells', statement, theirs.told, nobodys);
	END IF;
END
$$;

-- == functions ==============================================================

-- What can be given for an argument.
CREATE FUNCTION public.candidates(name text, type regtype) RETURNS text[] LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
	ids text[] := ARRAY(SELECT format('%L::uuid', t.id) FROM public.theirs t);
BEGIN
	RETURN CASE
		WHEN type = 'uuid'::regtype AND name ~ '^(user|organization|space|chat|message|file|folder|task|invitation)_id$' THEN
			ARRAY(SELECT format('%L::uuid', t.id) FROM public.theirs t JOIN app_data.managed m USING (entity) WHERE m.view = left(name, -3) || 's')
		WHEN type = 'uuid'::regtype THEN ids
		WHEN type = 'uuid[]'::regtype THEN ARRAY(SELECT 'ARRAY[' || i || ']' FROM unnest(ids) i)
		WHEN type = 'timestamptz'::regtype THEN
			ARRAY(SELECT DISTINCT format('%L::timestamptz', t.value ->> 'deleted_at') FROM public.theirs t WHERE NOT t.live) || '{now()}'
		WHEN type = 'timestamptz[]'::regtype THEN ARRAY['ARRAY[now()]']
		WHEN type IN ('text'::regtype, 'name'::regtype) THEN ARRAY(SELECT quote_literal(v) || '::' || type FROM unnest(CASE
			WHEN name = 'email' THEN ARRAY['marker-b@example.org', 'marker-b@invited.example']
			WHEN name = 'slug' THEN ARRAY['marker-b', 'dead-marker-b']
			WHEN name = 'role' THEN ARRAY['owner', 'viewer']
			WHEN name = 'kind' THEN ARRAY['organization', 'space', 'marker-b']
			WHEN name = 'dedupe_key' THEN ARRAY['MARKER-B 20']
			WHEN name = 'name' THEN ARRAY['MARKER-B ']
			WHEN name = 'action' THEN ARRAY['read', 'update', 'delete']
			WHEN name = 'permission' THEN ARRAY['read', 'write', 'manage']
			WHEN name = 'status' THEN ARRAY['completed']
			WHEN name = 'level' THEN ARRAY['app']
			WHEN name = 'query' THEN ARRAY['marker', 'marker-b']
			ELSE ARRAY['x'] END) v)
		WHEN type = 'text[]'::regtype AND name = 'entities' THEN ARRAY['(SELECT array_agg(s.entity::text) FROM appdb._searchable() s)']
		WHEN type = 'text[]'::regtype THEN ARRAY['ARRAY[''x'']']
		WHEN type = 'tsquery'::regtype THEN ARRAY['to_tsquery(''simple'', ''marker'')']
		WHEN type = 'regconfig'::regtype THEN ARRAY['''english''::regconfig']
		WHEN type = 'name[]'::regtype THEN ARRAY['ARRAY[''id'']::name[]']
		WHEN type IN ('int4'::regtype, 'int8'::regtype, 'float4'::regtype, 'float8'::regtype) THEN ARRAY['1::' || type]
		WHEN type = 'int4[]'::regtype THEN ARRAY['ARRAY[1]']
		WHEN type = 'bool'::regtype THEN ARRAY['true', 'false']
		WHEN type = 'interval'::regtype THEN ARRAY['interval ''1 day''']
		WHEN type IN ('json'::regtype, 'jsonb'::regtype) THEN ARRAY['''{}''::' || type]
		WHEN type = 'jsonb[]'::regtype THEN ARRAY['ARRAY[''{}'']::jsonb[]']
		WHEN type = 'regclass'::regtype THEN ARRAY['''appdb.notes''::regclass']
		WHEN type = 'regclass[]'::regtype THEN ARRAY['''{}''::regclass[]']
		WHEN type = 'oid'::regtype THEN ARRAY['''appdb.notes''::regclass::oid']
		WHEN (SELECT t.typtype = 'c' FROM pg_type t WHERE t.oid = type) THEN
			ARRAY(SELECT format('jsonb_populate_record(NULL::%s, %L)', type, t.value) FROM public.theirs t
				  JOIN appdb.managed m USING (entity) WHERE m.live_view = (SELECT y.typrelid FROM pg_type y WHERE y.oid = type))
		END;
END
$$;

-- The calls of a function: combinations of what it must be given (all of them, but fewer of functions that work with nothing but the
-- caller's rights), and of each optional argument with these.
CREATE FUNCTION public.calls(f regprocedure) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
	p record;
	calls text[] := '{""}';
	arg record;
	optional text[] := '{}';
	values_ text[];
	sets text[];
BEGIN
	SELECT q.oid, q.pronargs, q.pronargdefaults, q.proargtypes::oid[] AS types, q.prokind,
		CASE l.lanname WHEN 'c' THEN 800 ELSE 100 END AS most,
		ARRAY(SELECT a.name FROM unnest(q.proargnames, q.proargmodes) WITH ORDINALITY a (name, mode, n) WHERE coalesce(a.mode, 'i') IN ('i', 'b', 'v') ORDER BY n) AS names
	INTO p FROM pg_proc q JOIN pg_language l ON l.oid = q.prolang WHERE q.oid = f;

	-- a table and a row of it
	IF p.types[0] = 'regclass'::regtype AND p.pronargs > 1 AND p.types[1] IN ('uuid'::regtype, 'uuid[]'::regtype, 'text'::regtype) AND p.names[2] IN ('id', 'ids') THEN
		calls := ARRAY(
			SELECT format('%L::regclass, %s', e, CASE p.types[1] WHEN 'uuid'::regtype THEN format('%L::uuid', t.id) WHEN 'text'::regtype THEN format('%L::text', t.id)
				ELSE format('ARRAY[%L::uuid]', t.id) END)
			FROM public.theirs t JOIN appdb.managed m USING (entity), unnest(ARRAY[m.entity, m.live_view]) e);
	END IF;
	FOR arg IN
		SELECT u.n, u.type::regtype AS type, p.names[u.n] AS name
		FROM unnest(p.types) WITH ORDINALITY u (type, n) ORDER BY u.n
	LOOP
		CONTINUE WHEN calls[1] <> '' AND arg.n <= 2 AND calls[1] ~ '::regclass, ' AND p.names[2] IN ('id', 'ids');
		values_ := public.candidates(arg.name, arg.type);
		IF arg.n > p.pronargs - p.pronargdefaults THEN
			optional := optional || ARRAY(SELECT format('%I => %s', arg.name, v) FROM unnest(values_) v);
		ELSE
			calls := ARRAY(SELECT concat_ws(', ', NULLIF(c, ''), v) FROM unnest(calls) c, unnest(values_) v ORDER BY md5(c || v) LIMIT p.most);
		END IF;
	END LOOP;
	IF cardinality(optional) > 0 THEN
		calls := calls || ARRAY(SELECT concat_ws(', ', NULLIF(c, ''), o) FROM unnest(calls) c, unnest(optional) o);
	END IF;
	RETURN ARRAY(SELECT format(CASE p.prokind WHEN 'p' THEN 'CALL %s(%s)' ELSE 'SELECT * FROM %s(%s)' END, split_part(f::text, '(', 1), c) FROM unnest(calls) c);
END
$$;

-- Functions that can be called: not those of triggers and the planner.
CREATE VIEW public.callable AS
	SELECT p.oid::regprocedure AS f FROM pg_proc p
	WHERE p.pronamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace) AND has_function_privilege('regress_app', p.oid, 'EXECUTE')
	  AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
	  -- what takes any value, one that no statement can give, or a row of a catalog
	  AND NOT p.proargtypes::oid[] && ARRAY['"any"'::regtype, 'internal'::regtype, 'record'::regtype, 'pg_constraint'::regtype]::oid[];
CREATE TABLE public.tried (f regprocedure, calls int);

CREATE FUNCTION public.try_functions(pattern text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c record;
	calls text[];
	call text;
BEGIN
	FOR c IN SELECT v.f FROM public.callable v WHERE v.f::text ~ pattern LOOP
		calls := public.calls(c.f);
		INSERT INTO public.tried VALUES (c.f, cardinality(calls));
		FOREACH call IN ARRAY calls LOOP
			PERFORM public.try(c.f::text, call);
		END LOOP;
	END LOOP;
END
$$;
SELECT lives_ok('SELECT public.try_functions()', 'every function is called with ids, names and rows of B');
SELECT is_empty('SELECT t.f FROM public.tried t WHERE t.calls = 0', 'none was left out');
SELECT cmp_ok((SELECT sum(calls) FROM public.tried), '>', 1500::bigint, 'and in many ways');

-- find(): everything, deleted rows too, by every relation, and by id
DO $$
DECLARE
	m record;
	r text;
	queries text[];
	query text;
BEGIN
	FOR m IN SELECT * FROM appdb.managed LOOP
		queries := ARRAY(SELECT format('{"with": {%s: true}}', to_jsonb(x.name)) FROM appdb.relations x WHERE x."from" = m.name)
			|| CASE WHEN m.soft_delete THEN ARRAY['{"deleted": "include"}', '{"deleted": "only"}'] ELSE ARRAY['{}'] END
			|| ARRAY(SELECT format('{"where": {"id": %s}%s}', to_jsonb(t.id), CASE WHEN m.soft_delete THEN ', "deleted": "include"' ELSE '' END) FROM public.theirs t WHERE t.entity = m.entity);
		FOREACH query IN ARRAY queries LOOP
			PERFORM public.try('find', format('SELECT appdb.find(%L, %L)', m.name, query)), public.try('find', format('SELECT appdb.find_one(%L, %L)', m.name, query)),
				public.try('find', format('SELECT appdb.explain_find(%L, %L)', m.name, query));
		END LOOP;
	END LOOP;
END
$$;

-- == relations ==============================================================

-- Tables and views: all that can be read, each column that can be written.
CREATE FUNCTION public.try_relation(rel regclass, entity regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	c record;
	t record;
	mine jsonb;
BEGIN
	IF NOT has_table_privilege('regress_app', rel, 'SELECT') THEN
		PERFORM public.try(rel::text, format('SELECT * FROM %s', rel));
		RETURN;
	END IF;
	PERFORM public.try(rel::text, format('SELECT * FROM %s', rel));
	PERFORM public.try(rel::text, format('DELETE FROM %s WHERE id = %L', rel, i.id)), public.try(rel::text, format('SELECT id FROM %s WHERE id = %L FOR UPDATE', rel, i.id)),
		public.try(rel::text, format('UPDATE %s SET updated_at = now() WHERE id = %L', rel, i.id))
	FROM public.theirs i WHERE i.entity = try_relation.entity;
	PERFORM public.try(rel::text, format('UPDATE %s SET updated_at = now()', rel));
	PERFORM public.try(rel::text, format('DELETE FROM %s', rel));
	EXECUTE format('SELECT to_jsonb(m) FROM %s m WHERE m.id::text LIKE ''aaaaaaaa%%'' ORDER BY m.id LIMIT 1', entity) INTO mine;
	FOR t IN SELECT i.* FROM public.theirs i WHERE i.entity = try_relation.entity LOOP
		-- B's row again, under another id
		PERFORM public.try(rel::text, format('INSERT INTO %1$s SELECT * FROM jsonb_populate_record(NULL::%1$s, %2$L)', rel, t.value || jsonb_build_object('id', gen_random_uuid(), 'deleted_at', NULL)));
		FOR c IN
			SELECT a.attname AS name FROM pg_attribute a
			WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attname NOT IN ('id', 'created_at', 'updated_at', 'deleted_at')
		LOOP
			-- Ann's with one value of B's
			PERFORM public.try(rel::text || '.' || c.name, format('UPDATE %1$s SET %2$I = (jsonb_populate_record(NULL::%1$s, %3$L)).%2$I', rel, c.name, t.value));
			PERFORM public.try(rel::text || '.' || c.name, format('INSERT INTO %1$s SELECT * FROM jsonb_populate_record(NULL::%1$s, %2$L)', rel,
				mine || jsonb_build_object('id', gen_random_uuid(), c.name, t.value -> c.name)));
		END LOOP;
	END LOOP;
	-- any id of B's: in the view, and in a row of the table that is born deleted
	PERFORM public.try(rel::text || '.' || a.attname, CASE WHEN rel <> try_relation.entity THEN format('UPDATE %s SET %I = %L', rel, a.attname, i.id)
		ELSE format('INSERT INTO %1$s SELECT * FROM jsonb_populate_record(NULL::%1$s, %2$L)', rel, mine || jsonb_build_object('id', gen_random_uuid(), a.attname, i.id, 'deleted_at', now())) END)
	FROM pg_attribute a, public.theirs i
	WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> 'id' AND a.atttypid = 'uuid'::regtype
	  AND i.id::text ~ '(01|51|05|55|07|57|11|61|13|63|14|64|17|67)$';
END
$$;
SELECT lives_ok($$SELECT public.try_relation(e, m.entity) FROM appdb.managed m, unnest(ARRAY[m.entity, m.live_view]) e$$, 'every managed table and live view is read and written');
-- other tables and views, and whatever the system shows, with what it has gathered of the rows
SELECT lives_ok($$SELECT public.try(c.oid::regclass::text, format('SELECT * FROM %s', c.oid::regclass)) FROM pg_class c
	WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND c.relnamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace)
	  AND c.oid NOT IN (SELECT m.entity FROM appdb.managed m UNION SELECT m.live_view FROM appdb.managed m)$$, 'every other one is read');
SELECT lives_ok($$SELECT public.try(c.oid::regclass::text, format('SELECT s::text FROM %s s WHERE s::text ~* (''mark'' || ''er-b|bbbb'' || ''bbbb'')', c.oid::regclass)) FROM pg_class c
	WHERE c.relkind IN ('r', 'v') AND c.relnamespace = 'pg_catalog'::regnamespace
	  AND has_table_privilege('regress_app', c.oid, 'SELECT') AND c.relname NOT IN ('pg_stat_activity', 'pg_proc')$$, 'and every one of the system''s');

SELECT cmp_ok((SELECT count(*) FROM public.ends WHERE relation AND state = '42501'), '>', 500::bigint, 'policies refused');
SELECT cmp_ok((SELECT count(*) FROM public.ends WHERE relation AND state = '23503'), '>', 100::bigint, 'foreign keys did');
SELECT cmp_ok((SELECT count(*) FROM public.ends WHERE relation AND state = 'done'), '>', 500::bigint, 'and much was done');
SELECT is_empty($$SELECT state, statement FROM public.ends WHERE state IN ('42601', '42703', '42883', '42P01', '42846') AND statement !~ '_ensure_trigger'$$, 'no statement was nonsense');

-- == what was found =========================================================

-- What can be learned, as docs/access.md says: that an address or a slug is taken.
SELECT set_eq($$SELECT DISTINCT what || ' ' || left(told, 5) FROM public.found WHERE what ~ 'tells$'$$,
	ARRAY['appdb.create_organization(text,text,text,jsonb) tells 23505', 'app_data.organizations.slug tells 23505', 'appdb.organizations.slug tells 23505',
		'app_data.users.email tells 23505', 'appdb.users.email tells 23505'], 'nothing is told of B but that what is unique for all is taken');
SELECT is_empty($$SELECT * FROM public.found WHERE what ~ 'shows$'$$, 'nothing of B is shown');
SELECT is_empty($$SELECT * FROM public.found WHERE what ~ 'touches$'$$, 'nothing of B is changed, locked or referred to');
SELECT is_empty($$SELECT * FROM public.found WHERE what ~ 'tells$' AND told ~* 'marker|bbbbbbbb' AND what !~ 'create_organization'$$, 'the error does not show the value');

-- an id that is taken is the other thing that can be learned, without more; see docs/access.md
SELECT is((public.tell(format('INSERT INTO appdb.notes (id, space_id) VALUES (%L, %L)', public.id('b', 18), public.id('a', 7)), true)).told,
	'23505 | duplicate key value violates unique constraint "notes_pkey" |  |  | notes_pkey', 'an id that is taken is');
SELECT is((public.tell(format('INSERT INTO appdb.notes (id, space_id) VALUES (%L, %L) ON CONFLICT (id) DO NOTHING', public.id('b', 18), public.id('a', 7)), true)).told, '0 rows', 'which ON CONFLICT says');
SELECT matches((public.tell(format('INSERT INTO appdb.notes (id, space_id) VALUES (%L, %L) ON CONFLICT (id) DO UPDATE SET title = ''x'' RETURNING title', public.id('b', 18), public.id('a', 7)), true)).told,
	'^42501 \| new row violates row-level security policy', 'and does not update');

-- a row that was inserted with the deleted_at of B's operation does not tell whose that was, nor that it was
SELECT appdb.impersonate(public.id('b', 1), for_session => true) \gset
DELETE FROM appdb.files WHERE id = public.id('b', 14);
SELECT appdb.impersonate(public.id('a', 1), for_session => true) \gset
INSERT INTO app_data.files (id, space_id, user_id, name, storage_key, deleted_at) SELECT public.id('a', 80), public.id('a', 7), public.id('a', 1), 'x', 'x', f.deleted_at FROM app_data.files f WHERE f.id = public.id('b', 14);
CREATE FUNCTION public.deleted_by(id uuid) RETURNS text LANGUAGE sql AS $$SELECT (public.tell(format('SELECT t.deleted_by, t.deleted_by_role FROM appdb.trash t WHERE t.id = %L', id), false)).told$$;
SELECT is(public.deleted_by(public.id('a', 80)), '[{"deleted_by": null, "deleted_by_role": null}]', 'a deleted_at that is another''s operation''s tells nothing of that');
INSERT INTO app_data.space_members (id, space_id, user_id, role) VALUES (public.id('a', 81), public.id('a', 7), public.id('b', 1), 'admin');
SELECT appdb.impersonate(public.id('b', 1), for_session => true) \gset
DELETE FROM appdb.files WHERE id = public.id('a', 14);
SELECT appdb.impersonate(public.id('a', 1), for_session => true) \gset
SELECT matches(public.deleted_by(public.id('a', 14)), public.id('b', 1)::text, 'but that somebody of the same space deleted a row');
DELETE FROM appdb.space_members WHERE id = public.id('a', 81);
SELECT matches(public.deleted_by(public.id('a', 14)), public.id('b', 1)::text, 'or somebody who was');

-- an address that is only claimed, as Ann can by changing her own
SELECT is((public.tell('UPDATE appdb.users SET email = ''marker-b@invited.example''', false)).told, '1 rows', 'an address can be claimed');
UPDATE app_data.users SET email = 'marker-b@invited.example', email_verified = false WHERE id = public.id('a', 1);
SELECT is((public.tell(format('SELECT id FROM appdb.invitations WHERE id = %L', public.id('b', 10)), false)).told, 'nothing', 'but shows no invitation');
CREATE FUNCTION public.verify(to_email text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM appdb.impersonate(NULL);
	UPDATE app_data.users SET email = to_email, email_verified = true WHERE id = public.id('a', 1);
	PERFORM appdb.impersonate(public.id('a', 1));
END
$$;
SELECT public.verify('marker-b@invited.example');
SELECT isnt((public.tell(format('SELECT id FROM appdb.invitations WHERE id = %L', public.id('b', 10)), false)).told, 'nothing', 'until it is verified');
SELECT public.verify('marker-a@example.org');

-- no sequence, that could be read or moved
SELECT is_empty($$SELECT c.oid::regclass FROM pg_class c WHERE c.relkind = 'S' AND c.relnamespace IN ('appdb'::regnamespace, 'app_data'::regnamespace)$$, 'there are no sequences');

-- == it would be found ======================================================

TRUNCATE public.found, public.tried;
UPDATE public.was SET checksum = public.checksum();
CREATE FUNCTION appdb.leak_rows() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER AS 'SELECT title FROM app_data.notes';
CREATE FUNCTION appdb.leak_existence(note_id uuid) RETURNS bool LANGUAGE sql SECURITY DEFINER AS 'SELECT EXISTS (SELECT FROM app_data.notes WHERE id = note_id)';
CREATE FUNCTION appdb.leak_change(id uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'UPDATE app_data.notes AS n SET title = ''x'' WHERE n.id = $1';
CREATE FUNCTION appdb.leak_lock(id uuid) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'SELECT FROM app_data.notes AS n WHERE n.id = $1 FOR KEY SHARE';
CREATE FUNCTION appdb.leak_error(id uuid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN PERFORM FROM app_data.notes AS n WHERE n.id = $1; IF FOUND THEN RAISE EXCEPTION ''not yours''; END IF; END';
SELECT public.try_functions('leak_');
SELECT set_eq('SELECT DISTINCT what FROM public.found', ARRAY['appdb.leak_rows() shows', 'appdb.leak_existence(uuid) tells', 'appdb.leak_change(uuid) touches', 'appdb.leak_lock(uuid) touches', 'appdb.leak_error(uuid) tells'],
	'functions that tell or touch');
TRUNCATE public.found;
CREATE TABLE app_data.leaks (id uuid PRIMARY KEY, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz, body text);
SELECT appdb.manage('app_data.leaks');
INSERT INTO appdb.leaks (id, body) VALUES (public.id('a', 90), 'MARKER-A'), (public.id('b', 90), 'MARKER-B');
INSERT INTO public.theirs SELECT 'app_data.leaks', t.id, true, to_jsonb(t) FROM app_data.leaks t WHERE t.id = public.id('b', 90);
SELECT public.try_relation(e, m.entity) FROM appdb.managed m, unnest(ARRAY[m.entity, m.live_view]) e WHERE m.name = 'leaks';
SELECT set_eq($$SELECT DISTINCT what FROM public.found WHERE what !~ '\.body'$$, ARRAY['app_data.leaks shows', 'app_data.leaks tells', 'app_data.leaks touches', 'appdb.leaks shows', 'appdb.leaks tells', 'appdb.leaks touches'],
	'a table without policies');
SELECT is_empty($$SELECT m.entity FROM appdb.managed m JOIN pg_class c ON c.oid = m.entity
	WHERE m.entity <> 'app_data.leaks'::regclass AND (NOT c.relrowsecurity OR (NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'appdb_select') AND c.relname <> 'verifications'))$$,
	'every other has row security and policies');

-- == functions that take a relation =========================================

-- as a legal hold is looked up with the rights of the tables' owner, only in managed tables
CREATE FUNCTION pg_temp.who() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE TEMP VIEW trap AS SELECT public.id('a', 1) AS id, public.id('a', 5) AS organization_id, NULL::timestamptz AS deleted_at WHERE pg_temp.who();
GRANT SELECT ON trap TO regress_app;
SELECT unalike((public.tell(format(statement, 'pg_temp.trap', public.id('a', 1)), false)).told, '%run as postgres%', statement)
FROM unnest(ARRAY['SELECT appdb._held(%L, %L)', 'SELECT appdb.restore(%L, %L::uuid)', 'SELECT appdb.can(''read'', %L, %L)', 'SELECT appdb._row_allows(%L, %L, ''read'')', 'SELECT appdb._deleted_with(%L, %L, now())']) statement;

SELECT * FROM finish();
ROLLBACK;
