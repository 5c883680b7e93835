-- What the user who is asking may do with a row, and why.
SET client_min_messages = warning;
\set SHOW_CONTEXT never
CREATE ROLE regress_can_app;
CREATE ROLE regress_can_readonly;
CREATE ROLE regress_can_service;
CREATE ROLE regress_can_none;
SELECT appdb.grant_access('regress_can_app', 'app'), appdb.grant_access('regress_can_readonly', 'readonly'), appdb.grant_access('regress_can_service', 'service');
CREATE FUNCTION public.u(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT ('00000000-0000-7000-8ca0-' || lpad(n::text, 12, '0'))::uuid $$;
INSERT INTO appdb.users (id, name, email) SELECT public.u(n), name, name || '@can.example'
FROM (VALUES (1, 'owner'), (2, 'admin'), (3, 'editor'), (4, 'viewer'), (5, 'stranger')) v (n, name);
INSERT INTO appdb.organizations (id, name, slug) VALUES (public.u(11), 'Can', 'can');
INSERT INTO appdb.members (organization_id, user_id, role) VALUES (public.u(11), public.u(1), 'owner');
INSERT INTO appdb.spaces (id, organization_id, name, slug) VALUES (public.u(21), public.u(11), 'Can', 'can');
INSERT INTO appdb.space_members (space_id, user_id, role) VALUES (public.u(21), public.u(1), 'owner'), (public.u(21), public.u(2), 'admin'), (public.u(21), public.u(3), 'editor'), (public.u(21), public.u(4), 'viewer');
INSERT INTO appdb.chats (id, space_id, user_id, title, visibility) VALUES
	(public.u(31), public.u(21), public.u(3), 'private', 'private'), (public.u(32), public.u(21), public.u(2), 'shared', 'space');
INSERT INTO appdb.notes (id, space_id, user_id, title) VALUES (public.u(71), public.u(21), public.u(3), 'editor''s'), (public.u(72), public.u(21), public.u(3), 'deleted');
DELETE FROM appdb.notes WHERE id = public.u(72);

CREATE FUNCTION public.matrix() RETURNS TABLE (who text, entity text, n text, may text) LANGUAGE plpgsql AS $$
DECLARE
	person record;
	r record;
BEGIN
	FOR person IN SELECT * FROM (VALUES (1, 'owner'), (2, 'admin'), (3, 'editor'), (4, 'viewer'), (5, 'stranger'), (NULL, 'nobody')) v (n, name) LOOP
		PERFORM appdb.impersonate(public.u(person.n));
		SET LOCAL ROLE regress_can_app;
		FOR r IN SELECT * FROM (VALUES ('appdb.spaces', 21), ('appdb.chats', 31), ('appdb.chats', 32), ('appdb.notes', 71), ('app_data.notes', 71), ('appdb.notes', 72), ('appdb.users', 1)) v (entity, n) LOOP
			who := person.name;
			entity := r.entity;
			n := r.n;
			SELECT string_agg(a, ' ') INTO may FROM unnest(ARRAY['read', 'update', 'delete']) a WHERE appdb.can(a, r.entity::regclass, public.u(r.n));
			RETURN NEXT;
		END LOOP;
		RESET ROLE;
	END LOOP;
END
$$;
SELECT * FROM public.matrix();
-- it says what happens: every answer is tried
CREATE FUNCTION public.tried(action text, entity text, n int) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE
	rows bigint;
BEGIN
	BEGIN
		IF action = 'update' THEN
			EXECUTE format('UPDATE %s SET metadata = metadata WHERE id = $1', entity) USING public.u(n);
		ELSE
			EXECUTE format('DELETE FROM %s WHERE id = $1', entity) USING public.u(n);
		END IF;
		GET DIAGNOSTICS rows = ROW_COUNT;
		RAISE EXCEPTION 'undo' USING ERRCODE = 'AD000';
	EXCEPTION WHEN SQLSTATE 'AD000' THEN
		RETURN rows > 0;
	END;
END
$$;
CREATE FUNCTION public.wrong_answers() RETURNS TABLE (who int, entity text, n int, action text, can bool) LANGUAGE plpgsql AS $$
BEGIN
	FOR who IN 1 .. 5 LOOP
		PERFORM appdb.impersonate(public.u(who));
		SET LOCAL ROLE regress_can_app;
		FOR entity, n, action IN
			SELECT v.entity, v.n, a
			FROM (VALUES ('appdb.chats', 31), ('appdb.chats', 32), ('appdb.notes', 71), ('appdb.notes', 72)) v (entity, n),
				unnest(ARRAY['update', 'delete']) a
		LOOP
			can := appdb.can(action, entity::regclass, public.u(n));
			IF can <> public.tried(action, entity, n) THEN
				RETURN NEXT;
			END IF;
		END LOOP;
		RESET ROLE;
	END LOOP;
END
$$;
SELECT * FROM public.wrong_answers();
-- a table whose rows are found by SQL
CREATE TABLE app_data.can_parts (id uuid PRIMARY KEY, space_id uuid NOT NULL REFERENCES app_data.spaces (id), metadata jsonb,
	created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz) PARTITION BY HASH (id);
CREATE TABLE app_data.can_part PARTITION OF app_data.can_parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT appdb.manage('app_data.can_parts');
INSERT INTO appdb.can_parts (id, space_id) VALUES (public.u(81), public.u(21));
CREATE FUNCTION public.may(who int, action text, entity regclass, n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	result text;
BEGIN
	PERFORM appdb.impersonate(public.u(who));
	SET LOCAL ROLE regress_can_app;
	result := concat_ws(' ', 'can', appdb.can(action, entity, public.u(n)), 'does', public.tried(action, entity::text, n));
	RESET ROLE;
	RETURN result;
END
$$;
SELECT v.who, public.may(v.n, 'update', 'appdb.can_parts', 81), public.may(v.n, 'delete', 'appdb.can_parts', 81)
FROM (VALUES (1, 'owner'), (2, 'admin'), (3, 'editor'), (4, 'viewer'), (5, 'stranger')) v (n, who);
DELETE FROM appdb.can_parts;
BEGIN;
SELECT appdb.impersonate(public.u(2));
SET LOCAL ROLE regress_can_app;
SELECT entity, rows_with_it FROM appdb.trash WHERE entity = 'app_data.can_parts'::regclass;
SELECT * FROM appdb.restore('appdb.can_parts', public.u(81));
COMMIT;
-- rules for a DELETE of the base table are not for what is kept
CREATE TABLE public.log (id uuid);
CREATE RULE keep AS ON DELETE TO app_data.notes DO INSTEAD NOTHING;
SELECT public.may(3, 'delete', 'appdb.notes', 71), public.may(4, 'delete', 'appdb.notes', 71);
CREATE OR REPLACE RULE keep AS ON DELETE TO app_data.notes DO ALSO INSERT INTO public.log VALUES (old.id);
SELECT public.may(3, 'delete', 'appdb.notes', 71), public.may(4, 'delete', 'appdb.notes', 71);
BEGIN;
SELECT appdb.impersonate(public.u(3));
SET LOCAL ROLE regress_can_app;
SELECT * FROM appdb.restore('appdb.notes', public.u(72));
ROLLBACK;
DROP RULE keep ON app_data.notes;
DROP TABLE public.log;
-- a policy with a sub-query
CREATE POLICY mine ON app_data.can_parts AS RESTRICTIVE FOR DELETE USING (EXISTS (SELECT FROM app_data.users u WHERE u.id = appdb.current_user_id() AND u.name = 'admin'));
SET appdb.rewrite_deletes = off;
SELECT v.who, public.may(v.n, 'delete', 'appdb.can_parts', 81) FROM (VALUES (1, 'owner'), (2, 'admin'), (5, 'stranger')) v (n, who);
RESET appdb.rewrite_deletes;
SET appdb.allow_drop = on;
DROP TABLE app_data.can_parts CASCADE;
RESET appdb.allow_drop;

-- == by the role's privileges ===============================================
BEGIN READ ONLY;
SELECT appdb.impersonate(public.u(1));
SET LOCAL ROLE regress_can_readonly;
SELECT a, appdb.can(a, 'appdb.notes', public.u(71)) FROM unnest(ARRAY['read', 'update', 'delete']) a;
SET LOCAL ROLE regress_can_none;
SELECT a, appdb.can(a, 'appdb.notes', public.u(71)) FROM unnest(ARRAY['read', 'update', 'delete']) a;
SET LOCAL ROLE regress_can_service;
SELECT a, appdb.can(a, 'appdb.notes', public.u(71)) FROM unnest(ARRAY['read', 'update', 'delete']) a;
ROLLBACK;
-- secrets are not shown to applications
BEGIN;
SELECT appdb.impersonate(public.u(1));
SET LOCAL ROLE regress_can_app;
SELECT appdb.can('read', 'appdb.sessions', public.u(1));
ROLLBACK;
-- not questions
SELECT appdb.can('own', 'appdb.notes', public.u(71));
SELECT appdb.can(NULL, 'appdb.notes', public.u(71));
SELECT appdb.can('read', 'pg_class', public.u(71));
SELECT appdb.can('read', 'appdb.notes', NULL);
SELECT appdb.can('read', NULL, public.u(71));

-- == why ====================================================================
SET ROLE regress_can_app;
SELECT * FROM appdb.explain_access('appdb.notes', public.u(71));
SET ROLE regress_can_service;
SELECT question, answer, because FROM appdb.explain_access('appdb.notes', public.u(71));
BEGIN;
SELECT appdb.impersonate(public.u(4));
SELECT question, answer, because FROM appdb.explain_access('appdb.notes', public.u(71), 'regress_can_readonly');
SELECT question, answer, because FROM appdb.explain_access('appdb.notes', public.u(71), 'regress_can_none');
SELECT question, answer FROM appdb.explain_access('appdb.notes', public.u(72));
SELECT question, answer, because FROM appdb.explain_access('appdb.notes', public.u(79));
SELECT appdb.impersonate(public.u(2));
SELECT question, answer, because FROM appdb.explain_access('appdb.chats', public.u(31));
SELECT appdb.impersonate(public.u(1));
SELECT question, answer, because FROM appdb.explain_access('appdb.organizations', public.u(11));
COMMIT;
RESET ROLE;

-- each of the policies holds or not: what is said is what happens
CREATE TABLE public.regress_can (id uuid PRIMARY KEY, n int, metadata jsonb, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
SELECT appdb.manage('public.regress_can');
INSERT INTO appdb.regress_can (id, n) SELECT public.u(100 + n), n FROM generate_series(0, 7) n;
ALTER TABLE public.regress_can ENABLE ROW LEVEL SECURITY;
CREATE POLICY s ON public.regress_can FOR SELECT USING (n & 1 > 0);
CREATE POLICY u ON public.regress_can FOR UPDATE USING (n & 6 > 0);
CREATE POLICY d ON public.regress_can FOR DELETE USING (n & 4 > 0);
SELECT r.n, public.may(3, 'update', 'appdb.regress_can', 100 + r.n) AS update, public.may(3, 'delete', 'appdb.regress_can', 100 + r.n) AS delete,
	(SELECT string_agg(x.question, ' ') FROM appdb.explain_access('appdb.regress_can', r.id) x WHERE x.answer AND x.question IN ('read', 'update', 'delete')) AS explained
FROM public.regress_can r ORDER BY r.n;
SELECT r.n, x.question, x.because FROM public.regress_can r, appdb.explain_access('appdb.regress_can', r.id) x WHERE x.because ~ '^it cannot' ORDER BY r.n, x.question;
SET appdb.allow_drop = on;
SELECT appdb.unmanage('public.regress_can');
DROP TABLE public.regress_can;
RESET appdb.allow_drop;

-- a table outside of spaces, with columns of these names that are no ids
CREATE TABLE public.regress_can (id uuid PRIMARY KEY, organization_id text, space_id int, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
SELECT appdb.manage('public.regress_can');
INSERT INTO appdb.regress_can (id, organization_id, space_id) VALUES (public.u(91), 'org_1', 1);
SELECT question, answer, because FROM appdb.explain_access('appdb.regress_can', public.u(91));
SET appdb.allow_drop = on;
SELECT appdb.unmanage('public.regress_can');
DROP TABLE public.regress_can;
RESET appdb.allow_drop;

SELECT appdb.revoke_access('regress_can_app'), appdb.revoke_access('regress_can_readonly'), appdb.revoke_access('regress_can_service');
DROP OWNED BY regress_can_app, regress_can_readonly, regress_can_service, regress_can_none;
DROP ROLE regress_can_app, regress_can_readonly, regress_can_service, regress_can_none;
DROP FUNCTION public.may(int, text, regclass, int), public.wrong_answers(), public.tried(text, text, int), public.matrix();
SET appdb.allow_drop = on;
DELETE FROM app_data.notes WHERE space_id = public.u(21);
DELETE FROM app_data.chats WHERE space_id = public.u(21);
DELETE FROM app_data.space_members WHERE space_id = public.u(21);
DELETE FROM app_data.spaces WHERE id = public.u(21);
DELETE FROM app_data.members WHERE organization_id = public.u(11);
DELETE FROM app_data.organizations WHERE id = public.u(11);
DELETE FROM app_data.users WHERE email LIKE '%@can.example';
DELETE FROM app_data.deletions;
DROP FUNCTION public.u(int);
