-- Relation functions: a join through them is planned like one by hand.
SET client_min_messages = warning;

-- The plan of a query, without the names that tables have in it.
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
		line := regexp_replace(line, '( on [a-z_]+) [a-z_0-9]+', '\1');
		line := regexp_replace(line, '(Subquery Scan on|Function Scan on) .*', '\1');
		line := regexp_replace(line, '\m[a-z_0-9]+\.', '', 'g');
		-- conditions in any order
		IF line ~ '(Filter|Cond): \(\(.* AND ' THEN
			line := regexp_replace(line, ': .*', ': ') || (SELECT string_agg(c, ' AND ' ORDER BY c)
				FROM regexp_split_to_table(substring(line FROM ': \(\((.*)\)\)'), '\) AND \(') c);
		END IF;
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END
$$;

-- Both as they are and as generic plans.
CREATE FUNCTION pg_temp.same_plan(through_functions text, by_hand text, types text DEFAULT NULL, args text DEFAULT NULL)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	a text;
	b text;
BEGIN
	IF types IS NULL THEN
		a := pg_temp.plan_of(through_functions);
		b := pg_temp.plan_of(by_hand);
	ELSE
		PERFORM set_config('plan_cache_mode', 'force_generic_plan', true);
		EXECUTE format('PREPARE a (%s) AS %s', types, through_functions);
		EXECUTE format('PREPARE b (%s) AS %s', types, by_hand);
		a := pg_temp.plan_of(format('EXECUTE a (%s)', args));
		b := pg_temp.plan_of(format('EXECUTE b (%s)', args));
		DEALLOCATE a;
		DEALLOCATE b;
		PERFORM set_config('plan_cache_mode', 'auto', true);
	END IF;
	RETURN CASE WHEN a = b AND a NOT LIKE '%Function Scan%' THEN 'same' ELSE E'\n' || a || E'\nby hand:\n' || b END;
END
$$;

SELECT pg_temp.same_plan(
	'SELECT c.title, u.name FROM appdb.chats c, appdb.author(c) u',
	'SELECT c.title, u.name FROM appdb.chats c JOIN appdb.users u ON u.id = c.user_id') AS to_one;
SELECT pg_temp.same_plan(
	'SELECT c.title, u.name FROM appdb.chats c LEFT JOIN LATERAL appdb.author(c) u ON true WHERE c.id = $1',
	'SELECT c.title, u.name FROM appdb.chats c LEFT JOIN appdb.users u ON u.id = c.user_id WHERE c.id = $1',
	'uuid', 'NULL') AS to_one_outer_prepared;
SELECT pg_temp.same_plan(
	'SELECT m.content FROM appdb.chats c, appdb.messages(c) m WHERE c.id = $1',
	'SELECT m.content FROM appdb.chats c JOIN appdb.messages m ON m.space_id = c.space_id AND m.chat_id = c.id WHERE c.id = $1',
	'uuid', 'NULL') AS to_many;
SELECT pg_temp.same_plan(
	'SELECT s.name, u.name FROM appdb.spaces s, appdb.users(s) u',
	'SELECT s.name, u.name FROM appdb.spaces s JOIN appdb.space_members j ON j.space_id = s.id JOIN appdb.users u ON u.id = j.user_id') AS many_to_many;
SELECT pg_temp.same_plan(
	'SELECT s.name, u.name FROM appdb.users u, appdb.spaces(u) s WHERE u.email = $1',
	'SELECT s.name, u.name FROM appdb.users u JOIN appdb.space_members j ON j.user_id = u.id JOIN appdb.spaces s ON s.id = j.space_id WHERE u.email = $1',
	'text', $$'a'$$) AS many_to_many_prepared;
-- the last messages of each chat: the limit stops an index scan
SELECT pg_temp.same_plan(
	'SELECT c.title, l.content FROM appdb.chats c CROSS JOIN LATERAL (SELECT m.content FROM appdb.messages(c) m ORDER BY m.id DESC LIMIT 3) l WHERE c.space_id = $1',
	'SELECT c.title, l.content FROM appdb.chats c CROSS JOIN LATERAL (SELECT m.content FROM appdb.messages m WHERE m.space_id = c.space_id AND m.chat_id = c.id ORDER BY m.id DESC LIMIT 3) l WHERE c.space_id = $1',
	'uuid', 'NULL') AS limit_lateral;
SELECT pg_temp.same_plan(
	'SELECT m.content, u.name, c.title, s.name FROM appdb.messages m, appdb.author(m) u, appdb.chat(m) c, appdb.space(c) s WHERE m.id = $1',
	'SELECT m.content, u.name, c.title, s.name FROM appdb.messages m JOIN appdb.users u ON u.id = m.user_id JOIN appdb.chats c ON c.id = m.chat_id AND c.space_id = m.space_id JOIN appdb.spaces s ON s.id = c.space_id WHERE m.id = $1',
	'uuid', 'NULL') AS a_chain;
SELECT pg_temp.same_plan(
	'SELECT p.name, f.name FROM appdb.folders f, appdb.parent(f) p WHERE f.id = $1',
	'SELECT p.name, f.name FROM appdb.folders f JOIN appdb.folders p ON p.space_id = f.space_id AND p.id = f.parent_id WHERE f.id = $1',
	'uuid', 'NULL') AS self_reference;
-- every relation there is
SELECT * FROM (SELECT r."from", r.name, pg_temp.same_plan(
	format('SELECT t.id FROM appdb.%I f, appdb.%I(f) t WHERE f.id = $1', r."from", r.name),
	CASE WHEN r.through IS NULL THEN
		format('SELECT t.id FROM appdb.%I f JOIN appdb.%I t ON %s WHERE f.id = $1', r."from", r."to",
			(SELECT string_agg(format('t.%I = f.%I', b, a), ' AND ' ORDER BY b <> 'id', n) FROM unnest(r.columns, r.to_columns) WITH ORDINALITY u (a, b, n)))
	ELSE
		format('SELECT t.id FROM appdb.%I f JOIN appdb.%I j ON %s JOIN appdb.%I t ON %s WHERE f.id = $1', r."from", r.through,
			(SELECT string_agg(format('j.%I = f.%I', b, a), ' AND ' ORDER BY a <> 'id', n) FROM unnest(r.columns, r.through_columns) WITH ORDINALITY u (a, b, n)), r."to",
			(SELECT string_agg(format('t.%I = j.%I', a, b), ' AND ' ORDER BY a <> 'id', n) FROM unnest(r.to_columns, r.through_to_columns) WITH ORDINALITY u (a, b, n)))
	END, 'uuid', 'NULL') AS plan
FROM appdb.relations r) r
WHERE plan <> 'same' ORDER BY 1, 2;

-- what PostgREST takes for a relationship: one argument, the row type; SETOF a view; ROWS 1 says to-one
SELECT count(*) > 50 AS relations,
	   count(*) FILTER (WHERE r.function IS NULL) AS missing,
	   count(*) FILTER (WHERE NOT p.proretset OR p.pronargs <> 1) AS no_set,
	   count(*) FILTER (WHERE p.provolatile <> 's' OR p.proisstrict OR p.prosecdef OR p.proconfig IS NOT NULL
						OR p.prosqlbody IS NOT NULL OR l.lanname <> 'sql' OR p.proparallel <> 's') AS not_inlinable,
	   count(*) FILTER (WHERE (p.prorows = 1) <> (r.kind = 'one')) AS wrong_rows,
	   count(*) FILTER (WHERE obj_description(p.oid, 'pg_proc') IS NULL) AS no_comment,
	   count(*) FILTER (WHERE p.prorettype <> (SELECT c.reltype FROM pg_class c WHERE c.oid = format('appdb.%I', r."to")::regclass)
						OR p.proargtypes[0] <> (SELECT c.reltype FROM pg_class c WHERE c.oid = format('appdb.%I', r."from")::regclass)) AS wrong_type
FROM appdb.relations r
LEFT JOIN pg_proc p ON p.oid = r.function
LEFT JOIN pg_language l ON l.oid = p.prolang;

-- overloads: one name, many row types
SELECT r."from", r.function FROM appdb.relations r WHERE r.name = 'author' ORDER BY 1;
-- as a column of the row
BEGIN;
SET LOCAL search_path = appdb, public;
INSERT INTO appdb.users (id, name, email) VALUES ('10000000-0000-4000-8000-000000000001', 'Ann', 'ann@relations.example');
INSERT INTO appdb.spaces (id, owner_id, name) VALUES ('10000000-0000-4000-8000-000000000011', '10000000-0000-4000-8000-000000000001', 'Here');
SELECT (s.owner).name FROM appdb.spaces s WHERE s.id = '10000000-0000-4000-8000-000000000011';
SELECT (u.personal_spaces).name FROM appdb.users u WHERE u.email = 'ann@relations.example';
-- a deleted row is related to nothing
DELETE FROM appdb.spaces WHERE id = '10000000-0000-4000-8000-000000000011';
SELECT count(*) FROM appdb.users u, appdb.personal_spaces(u) s WHERE u.email = 'ann@relations.example';
ROLLBACK;
