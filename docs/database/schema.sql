-- Writes schema.md from the catalogs of a database that has just been given
-- appdb and nothing else.  Called by schema.sh, which says in the psql variable
-- "domains" which table comes from which domain file:
-- [{"name": "chat", "about": "…", "tables": ["chats", …], "types": [...]}]
\set ON_ERROR_STOP 1
\pset format unaligned
\pset tuples_only on
SET search_path = pg_catalog, pg_temp;
SET client_min_messages = warning;

SELECT appdb.version() AS version \gset

CREATE TEMP TABLE domain AS
	SELECT d.n, d.v ->> 'name' AS name, d.v ->> 'about' AS about, d.v -> 'tables' AS tables, d.v -> 'types' AS types
	FROM jsonb_array_elements(:'domains') WITH ORDINALITY AS d (v, n);

-- what stands in a cell of a Markdown table, and in a code span there
CREATE FUNCTION pg_temp.cell(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT replace(replace(replace(coalesce($1, ''), E'\n', ' '), '<', '&lt;'), '|', '\|')
$$;
CREATE FUNCTION pg_temp.code(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT CASE WHEN $1 <> '' THEN '`' || replace(replace($1, E'\n', ' '), '|', '\|') || '`' ELSE '' END
$$;

-- names as people write them: no catalog, no schema of our own
CREATE FUNCTION pg_temp.plain(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace($1,
		'timestamp(\(\d\))? with(out)? time zone', 'timestamp\2tz\1', 'g'),
		'timestampouttz', 'timestamp', 'g'),
		'\m(pg_catalog|app_data)\.', '', 'g')
$$;

-- foreign keys of base tables, with the relation that each one makes
CREATE TEMP TABLE fk AS
	SELECT c.conname, c.conrelid, c.confrelid, child.relname AS child, parent.relname AS parent,
		r.name AS relation, k.columns, k.to_columns, r.on_delete,
		CASE c.confdeltype WHEN 'n' THEN 'SET NULL' WHEN 'c' THEN 'CASCADE' WHEN 'r' THEN 'RESTRICT'
			WHEN 'd' THEN 'SET DEFAULT' ELSE 'NO ACTION' END AS on_erase,
		-- whether there may be no parent, and whether there is one child at most
		EXISTS (SELECT FROM pg_attribute a
				WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey) AND NOT a.attnotnull) AS optional,
		EXISTS (SELECT FROM pg_index i
				WHERE i.indrelid = c.conrelid AND i.indisunique AND (i.indkey::int2[])[0:i.indnkeyatts - 1] <@ c.conkey) AS single,
		cardinality(c.conkey) AS width
	FROM pg_constraint AS c
	JOIN pg_class AS child ON child.oid = c.conrelid
	JOIN pg_class AS parent ON parent.oid = c.confrelid
	CROSS JOIN LATERAL (
		SELECT array_agg(a.attname ORDER BY u.n) AS columns, array_agg(f.attname ORDER BY u.n) AS to_columns
		FROM unnest(c.conkey, c.confkey) WITH ORDINALITY AS u (mine, theirs, n)
		JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = u.mine
		JOIN pg_attribute AS f ON f.attrelid = c.confrelid AND f.attnum = u.theirs) AS k
	LEFT JOIN appdb.relations AS r
		ON r.kind = 'one' AND r."from" = child.relname AND r."to" = parent.relname AND r.columns = k.columns
	WHERE c.contype = 'f' AND c.connamespace = 'app_data'::regnamespace;

-- a line of an entity-relationship diagram; "user" need not be said of users
CREATE FUNCTION pg_temp.er_line(fk) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT format('    %s %s--%s %s : "%s"', $1.parent, CASE WHEN $1.optional THEN '|o' ELSE '||' END,
		CASE WHEN $1.single THEN 'o|' ELSE 'o{' END, $1.child,
		CASE WHEN starts_with($1.parent::text, $1.relation) THEN '' ELSE $1.relation END)
$$;

CREATE FUNCTION pg_temp.overview() RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
	line text;
BEGIN
	RETURN NEXT '```mermaid';
	RETURN NEXT 'erDiagram';
	FOR line IN
		SELECT pg_temp.er_line(fk) FROM fk, domain AS d
		WHERE d.tables ? fk.child AND on_delete IS DISTINCT FROM 'set null'
			-- the space of what a row of the same space contains goes without saying
			AND NOT (columns = '{space_id}' AND EXISTS (
				SELECT FROM fk AS other WHERE other.conrelid = fk.conrelid AND other.confrelid <> other.conrelid
					AND 'space_id' = ANY (other.columns) AND other.width > 1 AND NOT other.optional))
		ORDER BY fk.child = fk.parent, d.n, fk.child, fk.parent, fk.relation
	LOOP
		RETURN NEXT line;
	END LOOP;
	FOR line IN
		SELECT '    ' || t.t FROM domain AS d, jsonb_array_elements_text(d.tables) AS t (t)
		WHERE NOT EXISTS (SELECT FROM fk WHERE t.t IN (fk.child, fk.parent))
	LOOP
		RETURN NEXT line;
	END LOOP;
	RETURN NEXT '```';
END
$$;

CREATE FUNCTION pg_temp.picture(d domain) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
	tab record;
	line text;
BEGIN
	RETURN NEXT '```mermaid';
	RETURN NEXT 'erDiagram';
	FOR line IN
		SELECT pg_temp.er_line(fk) FROM fk
		WHERE d.tables ? fk.child
		ORDER BY fk.parent, fk.child, fk.relation
	LOOP
		RETURN NEXT line;
	END LOOP;
	FOR tab IN
		SELECT c.oid, c.relname FROM jsonb_array_elements_text(d.tables) WITH ORDINALITY AS t (name, n)
		JOIN pg_class AS c ON c.relname = t.name AND c.relnamespace = 'app_data'::regnamespace
		ORDER BY t.n
	LOOP
		RETURN NEXT format('    %s {', tab.relname);
		FOR line IN
			SELECT concat_ws(' ', '       ', pg_temp.plain(format_type(a.atttypid, a.atttypmod)), a.attname,
				NULLIF(concat_ws(', ',
					CASE WHEN EXISTS (
						SELECT FROM pg_index AS i WHERE i.indrelid = tab.oid AND i.indisprimary AND a.attnum = ANY (i.indkey::int2[])) THEN 'PK' END,
					CASE WHEN EXISTS (SELECT FROM fk WHERE fk.conrelid = tab.oid AND a.attname = ANY (fk.columns)) THEN 'FK' END,
					CASE WHEN EXISTS (
						SELECT FROM pg_index AS i WHERE i.indrelid = tab.oid AND i.indisunique AND NOT i.indisprimary AND i.indnkeyatts = 1
							AND i.indkey[0] = a.attnum) THEN 'UK' END), ''))
			FROM pg_attribute AS a
			WHERE a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped
			ORDER BY a.attnum
		LOOP
			RETURN NEXT line;
		END LOOP;
		RETURN NEXT '    }';
	END LOOP;
	RETURN NEXT '```';
END
$$;

CREATE FUNCTION pg_temp.one_table(tab regclass) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
	name text := (SELECT relname FROM pg_class WHERE oid = tab);
	m record;
	line text;
	first bool;
BEGIN
	SELECT * INTO m FROM appdb.managed WHERE entity = tab;
	RETURN NEXT format('### %s', name);
	RETURN NEXT '';
	RETURN NEXT obj_description(tab, 'pg_class');
	RETURN NEXT '';
	IF m.entity IS NOT NULL THEN
		RETURN NEXT format('Live view `%s`, base table `%s`.%s%s', m.live_view, tab,
			CASE WHEN m.label IS NOT NULL THEN format(' Rows are named to people by `%s`.', m.label) ELSE '' END,
			CASE WHEN NOT m.soft_delete THEN ' Its rows are deleted for good.' ELSE '' END);
		RETURN NEXT '';
	END IF;

	RETURN NEXT '| column | type | null | default | what it is |';
	RETURN NEXT '|---|---|---|---|---|';
	FOR line IN
		SELECT format('| `%s` | %s | %s | %s | %s |', a.attname,
			pg_temp.code(pg_temp.plain(format_type(a.atttypid, a.atttypmod))),
			CASE WHEN a.attnotnull THEN 'no' ELSE 'yes' END,
			pg_temp.code(CASE WHEN a.attgenerated <> '' THEN 'generated: ' ELSE '' END ||
						 pg_temp.plain(pg_get_expr(d.adbin, d.adrelid))),
			pg_temp.cell(col_description(tab, a.attnum)))
		FROM pg_attribute AS a
		LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum
	LOOP
		RETURN NEXT line;
	END LOOP;
	RETURN NEXT '';

	first := true;
	FOR line IN
		SELECT format('| %s | %s | %s | %s |', pg_temp.code(array_to_string(columns, ', ')),
			pg_temp.code(format('%s (%s)', parent, array_to_string(to_columns, ', '))), on_delete, on_erase)
		FROM fk WHERE conrelid = tab
		ORDER BY (SELECT a.attnum FROM pg_attribute AS a WHERE a.attrelid = tab AND a.attname = fk.columns[cardinality(fk.columns)]), conname
	LOOP
		IF first THEN
			RETURN NEXT '| foreign key | refers to | when that is deleted | when it is erased (`ON DELETE`) |';
			RETURN NEXT '|---|---|---|---|';
			first := false;
		END IF;
		RETURN NEXT line;
	END LOOP;
	IF NOT first THEN
		RETURN NEXT '';
	END IF;

	RETURN NEXT '| index | unique | on | what for |';
	RETURN NEXT '|---|---|---|---|';
	FOR line IN
		SELECT format('| `%s` | %s | %s | %s |', i.relname, CASE WHEN x.indisunique THEN 'yes' ELSE '' END,
			pg_temp.code(pg_temp.plain(regexp_replace(regexp_replace(pg_get_indexdef(i.oid),
				'^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING ', ''), '^btree ', ''))),
			pg_temp.cell(CASE
				WHEN x.indisprimary THEN 'Primary key.'
				ELSE coalesce(obj_description(i.oid, 'pg_class'),
					(SELECT 'Foreign key ' || string_agg(pg_temp.code(array_to_string(fk.columns, ', ')), ', ' ORDER BY fk.conname) || '.'
					 FROM fk
					 WHERE fk.conrelid = tab AND fk.columns <@ (
						SELECT array_agg(a.attname) FROM pg_attribute AS a
						WHERE a.attrelid = tab AND a.attnum = ANY ((x.indkey::int2[])[0:fk.width - 1])))) END))
		FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
		WHERE x.indrelid = tab
		ORDER BY x.indisprimary DESC, x.indisunique DESC, i.relname COLLATE "C"
	LOOP
		RETURN NEXT line;
	END LOOP;
	RETURN NEXT '';

	first := true;
	FOR line IN
		SELECT format('| `%s` | %s |', c.conname, pg_temp.code(pg_temp.plain(pg_get_constraintdef(c.oid, true))))
		FROM pg_constraint AS c WHERE c.conrelid = tab AND c.contype = 'c'
		ORDER BY c.conname COLLATE "C"
	LOOP
		IF first THEN
			RETURN NEXT '| check | |';
			RETURN NEXT '|---|---|';
			first := false;
		END IF;
		RETURN NEXT line;
	END LOOP;
	IF NOT first THEN
		RETURN NEXT '';
	END IF;

	first := true;
	FOR line IN
		SELECT format('| `%s` | %s |', t.tgname, pg_temp.cell(obj_description(t.oid, 'pg_trigger')))
		FROM pg_trigger AS t
		WHERE t.tgrelid = tab AND NOT t.tgisinternal AND t.tgname <> 'zz_appdb_guard'
			AND t.tgname NOT IN (SELECT trigger_name FROM appdb._triggers())
		ORDER BY t.tgname COLLATE "C"
	LOOP
		IF first THEN
			RETURN NEXT '| trigger of its own | |';
			RETURN NEXT '|---|---|';
			first := false;
		END IF;
		RETURN NEXT line;
	END LOOP;
	IF NOT first THEN
		RETURN NEXT '';
	END IF;

	first := true;
	FOR line IN
		SELECT format('| `%s` | %s | [%s](#%s)%s | %s |', r.function, replace(r.kind, '-', ' '), r."to", r."to",
			CASE WHEN r.through IS NOT NULL THEN format(' through [%s](#%s)', r.through, r.through) ELSE '' END,
			pg_temp.code(array_to_string(CASE r.kind WHEN 'one' THEN r.columns WHEN 'many' THEN r.to_columns ELSE r.through_columns END, ', ')))
		FROM appdb.relations AS r WHERE r."from" = m.name
		ORDER BY array_position(ARRAY['one', 'many', 'many-through'], r.kind), r.name COLLATE "C"
	LOOP
		IF first THEN
			RETURN NEXT '| relation | kind | rows of | by |';
			RETURN NEXT '|---|---|---|---|';
			first := false;
		END IF;
		RETURN NEXT line;
	END LOOP;
	IF NOT first THEN
		RETURN NEXT '';
	END IF;
END
$$;

CREATE FUNCTION pg_temp.view(v regclass) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
BEGIN
	RETURN NEXT format('### %s', v);
	RETURN NEXT '';
	RETURN NEXT obj_description(v, 'pg_class') || '.';
	RETURN NEXT '';
	RETURN NEXT '| column | type | what it is |';
	RETURN NEXT '|---|---|---|';
	RETURN QUERY
		SELECT format('| `%s` | `%s` | %s |', a.attname, pg_temp.plain(format_type(a.atttypid, a.atttypmod)),
			pg_temp.cell(col_description(v, a.attnum)))
		FROM pg_attribute AS a WHERE a.attrelid = v AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum;
	RETURN NEXT '';
END
$$;

CREATE FUNCTION pg_temp.functions(kinds text[]) RETURNS SETOF text LANGUAGE sql STABLE AS $$
	SELECT format('| `%s(%s)` | %s | %s |', p.oid::regproc, pg_temp.plain(pg_get_function_arguments(p.oid)),
		CASE WHEN p.prokind = 'p' THEN 'procedure' ELSE pg_temp.code(pg_temp.plain(pg_get_function_result(p.oid))) END,
		pg_temp.cell(obj_description(p.oid, 'pg_proc')))
	FROM pg_proc AS p
	WHERE p.pronamespace = 'appdb'::regnamespace AND NOT starts_with(p.proname, '_')
		AND (CASE WHEN p.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype) THEN 'trigger' ELSE 'function' END) = ANY (kinds)
		AND EXISTS (SELECT FROM pg_depend AS d
					WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
	ORDER BY p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C"
$$;

CREATE FUNCTION pg_temp.document(version text) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
DECLARE
	d domain;
	t record;
	line text;
BEGIN
	RETURN NEXT '<!-- Made by "make docs" from the comments in the catalogs. Change those, not this file. -->';
	RETURN NEXT '';
	RETURN NEXT '# The database schema';
	RETURN NEXT '';
	RETURN NEXT format('What appdb %s puts into a database. Why it is as it is: [data-model.md](../architecture/data-model.md).', version);
	RETURN NEXT 'How to add tables: [database-design.md](../patterns/database-design.md).';
	RETURN NEXT '';
	FOR d IN SELECT * FROM domain ORDER BY n LOOP
		RETURN NEXT format('- [%s](#%s): %s', d.name, d.name,
			(SELECT string_agg(format('[%s](#%s)', x.t, x.t), ', ' ORDER BY x.n)
			 FROM jsonb_array_elements_text(d.tables) WITH ORDINALITY AS x (t, n)));
	END LOOP;
	RETURN NEXT '- [views](#views), [functions](#functions), [trigger functions](#trigger-functions), [settings](#settings), [tables of the engine](#tables-of-the-engine)';
	RETURN NEXT '';
	RETURN NEXT '## Overview';
	RETURN NEXT '';
	RETURN QUERY SELECT * FROM pg_temp.overview();
	RETURN NEXT '';
	RETURN NEXT 'Left out, for the sake of the picture: foreign keys that a deletion sets to null (mostly who wrote something), and the space of a row that is in';
	RETURN NEXT 'a chat, a file or a message of that space. The pictures of the domains have them all. A line is a foreign key, with the name of its relation where that does not go without saying.';
	RETURN NEXT '';
	RETURN NEXT 'For each table below: its columns; its foreign keys and what happens to a row when the row it refers to is deleted (in a live view) or';
	RETURN NEXT 'erased (in a base table); its indexes and checks; the functions that lead from one of its rows to others. All base tables are in schema';
	RETURN NEXT '`app_data`, all live views in `appdb`. Every live view has the columns of its table. Every table has the engine''s triggers, which keep its';
	RETURN NEXT 'times, refuse rows under deleted parents and pass deletions on; only other triggers are listed.';
	RETURN NEXT '';

	FOR d IN SELECT * FROM domain ORDER BY n LOOP
		RETURN NEXT format('## %s', d.name);
		RETURN NEXT '';
		RETURN NEXT d.about;
		RETURN NEXT '';
		RETURN QUERY SELECT * FROM pg_temp.picture(d);
		RETURN NEXT '';
		IF jsonb_array_length(d.types) > 0 THEN
			RETURN NEXT '| enum | values | what it says |';
			RETURN NEXT '|---|---|---|';
			RETURN QUERY
				SELECT format('| `%s` | %s | %s |', x.name,
					(SELECT string_agg('`' || e.enumlabel || '`', ' ' ORDER BY e.enumsortorder) FROM pg_enum AS e WHERE e.enumtypid = ty.oid),
					pg_temp.cell(obj_description(ty.oid, 'pg_type')))
				FROM jsonb_array_elements_text(d.types) WITH ORDINALITY AS x (name, n)
				JOIN pg_type AS ty ON ty.typname = x.name AND ty.typnamespace = 'app_data'::regnamespace
				ORDER BY x.n;
			RETURN NEXT '';
		END IF;
		FOR t IN SELECT x.name FROM jsonb_array_elements_text(d.tables) WITH ORDINALITY AS x (name, n) ORDER BY x.n LOOP
			RETURN QUERY SELECT * FROM pg_temp.one_table(format('app_data.%I', t.name)::regclass);
		END LOOP;
	END LOOP;

	RETURN NEXT '## Views';
	RETURN NEXT '';
	FOR t IN
		SELECT c.oid::regclass AS v FROM pg_class AS c
		WHERE c.relnamespace = 'appdb'::regnamespace AND c.relkind = 'v' AND NOT starts_with(c.relname, '_')
			AND NOT EXISTS (SELECT FROM appdb.managed AS m WHERE m.live_view = c.oid)
		ORDER BY c.relname COLLATE "C"
	LOOP
		RETURN QUERY SELECT * FROM pg_temp.view(t.v);
	END LOOP;

	RETURN NEXT '## Functions';
	RETURN NEXT '';
	RETURN NEXT 'Besides the relation functions, which stand with the tables above.';
	RETURN NEXT '';
	RETURN NEXT '| function | returns | what it does |';
	RETURN NEXT '|---|---|---|';
	RETURN QUERY SELECT * FROM pg_temp.functions(ARRAY['function']);
	RETURN NEXT '';
	RETURN NEXT '## Trigger functions';
	RETURN NEXT '';
	RETURN NEXT '| function | type | what it does |';
	RETURN NEXT '|---|---|---|';
	RETURN QUERY SELECT * FROM pg_temp.functions(ARRAY['trigger']);
	RETURN NEXT '';

	RETURN NEXT '## Settings';
	RETURN NEXT '';
	RETURN NEXT '| setting | default | who may change it | what it does |';
	RETURN NEXT '|---|---|---|---|';
	RETURN QUERY
		SELECT format('| `%s` | %s | %s | %s |', s.name, pg_temp.code(s.boot_val || coalesce(' ' || s.unit, '')),
			CASE WHEN s.name IN ('appdb.session_id', 'appdb.user_id') THEN 'nobody' WHEN s.context = 'user' THEN 'everyone, in a session'
				WHEN s.context = 'superuser' THEN 'superusers, in a session' ELSE 'the configuration file' END,
			pg_temp.cell(concat_ws(' ', s.short_desc, s.extra_desc)))
		FROM pg_settings AS s WHERE s.name LIKE 'appdb.%' ORDER BY s.name COLLATE "C";
	RETURN NEXT '';

	RETURN NEXT '## Tables of the engine';
	RETURN NEXT '';
	FOR t IN
		SELECT c.oid::regclass AS tab FROM pg_class AS c
		WHERE c.relnamespace = 'app_data'::regnamespace AND c.relkind IN ('r', 'p')
			AND NOT EXISTS (SELECT FROM domain AS x WHERE x.tables ? c.relname)
		ORDER BY c.relname COLLATE "C"
	LOOP
		RETURN QUERY SELECT * FROM pg_temp.one_table(t.tab);
	END LOOP;
END
$$;

SELECT * FROM pg_temp.document(:'version');
