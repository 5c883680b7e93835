-- The four questions of find.bench, by hand and by appdb.find(), each a function that asks n times about other rows.
-- By hand: static SQL in PL/pgSQL is prepared; its plan is generic.
SET client_min_messages = error;
CREATE SCHEMA IF NOT EXISTS questions;
CREATE OR REPLACE FUNCTION questions.id(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT format('%s-0000-7000-8000-%s', lpad(kind::text, 8, '0'), lpad(n::text, 12, '0'))::uuid $$;

-- Q1: a live chat by id with its last 20 messages and their authors
CREATE OR REPLACE FUNCTION questions.hand_1(n int, OUT answer json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE i int; k uuid;
BEGIN
	FOR i IN 1..n LOOP
		k := questions.id(4, i * 37 % 50000 + 1);
		SELECT row_to_json(r) INTO answer FROM (
			SELECT c.*, m.d AS messages FROM appdb.chats c
			LEFT JOIN LATERAL (SELECT COALESCE(json_agg(x), '[]') AS d FROM (
				SELECT m.*, a.d AS author
				FROM (SELECT m.* FROM appdb.messages m WHERE m.space_id = c.space_id AND m.chat_id = c.id ORDER BY m.id DESC LIMIT 20) m
				LEFT JOIN LATERAL (SELECT row_to_json(u) AS d FROM (SELECT u.* FROM appdb.users u WHERE u.id = m.user_id LIMIT 1) u) a ON true
				ORDER BY m.id DESC) x) m ON true
			WHERE c.id = k LIMIT 1) r;
	END LOOP;
END $$;
CREATE OR REPLACE FUNCTION questions.find_1(n int, OUT answer json) LANGUAGE plpgsql AS $$
DECLARE i int; q json;
BEGIN
	FOR i IN 1..n LOOP
		q := ('{"where": {"id": "' || questions.id(4, i * 37 % 50000 + 1) || '"}, "with": {"messages": {"orderBy": {"id": "desc"}, "limit": 20, "with": {"author": true}}}}')::json;
		answer := appdb.find_one('chats', q);
	END LOOP;
END $$;

-- Q2: a user's live spaces by name, with members and the last 5 chats, each with its last message
CREATE OR REPLACE FUNCTION questions.hand_2(n int, OUT answer json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE i int; k uuid;
BEGIN
	FOR i IN 1..n LOOP
		k := questions.id(1, i * 37 % 10000 + 1);
		SELECT COALESCE(json_agg(r), '[]') INTO answer FROM (
			SELECT s.*, m.d AS members, c.d AS chats FROM appdb.spaces s
			LEFT JOIN LATERAL (SELECT COALESCE(json_agg(m), '[]') AS d FROM (SELECT m.* FROM appdb.space_members m WHERE m.space_id = s.id) m) m ON true
			LEFT JOIN LATERAL (SELECT COALESCE(json_agg(x), '[]') AS d FROM (
				SELECT c.*, l.d AS messages FROM (SELECT c.* FROM appdb.chats c WHERE c.space_id = s.id ORDER BY c.id DESC LIMIT 5) c
				LEFT JOIN LATERAL (SELECT COALESCE(json_agg(l), '[]') AS d FROM (
					SELECT l.* FROM appdb.messages l WHERE l.space_id = c.space_id AND l.chat_id = c.id ORDER BY l.id DESC LIMIT 1) l) l ON true
				ORDER BY c.id DESC) x) c ON true
			WHERE EXISTS (SELECT FROM appdb.space_members j WHERE j.space_id = s.id AND j.user_id = k)
			ORDER BY s.name) r;
	END LOOP;
END $$;
CREATE OR REPLACE FUNCTION questions.find_2(n int, OUT answer json) LANGUAGE plpgsql AS $$
DECLARE i int; q json;
BEGIN
	FOR i IN 1..n LOOP
		q := ('{"where": {"members": {"user_id": "' || questions.id(1, i * 37 % 10000 + 1) || '"}}, "orderBy": {"name": "asc"}, "with": {"members": true,
			"chats": {"orderBy": {"id": "desc"}, "limit": 5, "with": {"messages": {"orderBy": {"id": "desc"}, "limit": 1}}}}}')::json;
		answer := appdb.find('spaces', q);
	END LOOP;
END $$;

-- Q3: a space's 50 latest notes with author and folder path
CREATE OR REPLACE FUNCTION questions.hand_3(n int, OUT answer json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE i int; k uuid;
BEGIN
	FOR i IN 1..n LOOP
		k := questions.id(2, i * 37 % 2000 + 1);
		SELECT COALESCE(json_agg(r), '[]') INTO answer FROM (
			SELECT n.*, a.d AS author, f.d AS folder FROM (SELECT n.* FROM appdb.notes n WHERE n.space_id = k ORDER BY n.id DESC LIMIT 50) n
			LEFT JOIN LATERAL (SELECT row_to_json(u) AS d FROM (SELECT u.* FROM appdb.users u WHERE u.id = n.user_id LIMIT 1) u) a ON true
			LEFT JOIN LATERAL (SELECT row_to_json(f) AS d FROM (SELECT f.*, appdb.folder_path(f.id) AS path FROM appdb.folders f WHERE f.id = n.folder_id AND f.space_id = n.space_id LIMIT 1) f) f ON true
			ORDER BY n.id DESC) r;
	END LOOP;
END $$;
CREATE OR REPLACE FUNCTION questions.find_3(n int, OUT answer json) LANGUAGE plpgsql AS $$
DECLARE i int; q json;
BEGIN
	FOR i IN 1..n LOOP
		q := ('{"where": {"space_id": "' || questions.id(2, i * 37 % 2000 + 1) || '"}, "orderBy": {"id": "desc"}, "limit": 50, "with": {"author": true, "folder": {"extras": ["path"]}}}')::json;
		answer := appdb.find('notes', q);
	END LOOP;
END $$;

-- Q4: 20 users after an e-mail address, each with their spaces
CREATE OR REPLACE FUNCTION questions.hand_4(n int, OUT answer json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE i int; k text;
BEGIN
	FOR i IN 1..n LOOP
		k := 'user' || lpad((i * 37 % 9000)::text, 6, '0');
		SELECT COALESCE(json_agg(r), '[]') INTO answer FROM (
			SELECT u.*, s.d AS spaces FROM (SELECT u.* FROM appdb.users u WHERE u.email > k ORDER BY u.email LIMIT 20) u
			LEFT JOIN LATERAL (SELECT COALESCE(json_agg(s), '[]') AS d FROM (
				SELECT s.* FROM appdb.space_members j JOIN appdb.spaces s ON s.id = j.space_id WHERE j.user_id = u.id) s) s ON true
			ORDER BY u.email) r;
	END LOOP;
END $$;
CREATE OR REPLACE FUNCTION questions.find_4(n int, OUT answer json) LANGUAGE plpgsql AS $$
DECLARE i int; q json;
BEGIN
	FOR i IN 1..n LOOP
		q := ('{"where": {"email": {"gt": "user' || lpad((i * 37 % 9000)::text, 6, '0') || '"}}, "orderBy": {"email": "asc"}, "limit": 20, "with": {"spaces": true}}')::json;
		answer := appdb.find('users', q);
	END LOOP;
END $$;
