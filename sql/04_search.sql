-- Full-text search over chats, messages, notes and files.
--
-- The index of each is an expression of PostgreSQL's own functions over its
-- text, with a word for the row's space, so that a search reads what is in the
-- caller's spaces and not the whole server's.  That a policy's condition comes
-- before the caller's keeps the operator @@ from using an index (it is not
-- leakproof): so where only the engine's own policies hold, their conditions are
-- put into a query as the owner of the tables; where there are others, the query
-- is made as the caller.

CREATE FUNCTION appdb._calling_role() RETURNS pg_catalog.oid
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb__calling_role';
COMMENT ON FUNCTION appdb._calling_role() IS 'Internal: the role that called the function that works as the owner of the tables';

-- What can be searched: what a row is called, which words that is, and its text.
-- Texts are indexed up to a length at which their words fit a tsvector.
CREATE FUNCTION appdb._searchable(
	OUT entity pg_catalog.name, OUT title pg_catalog.text, OUT title_words pg_catalog.text, OUT content pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql IMMUTABLE ROWS 4
AS $$
	VALUES ('chats'::pg_catalog.name, 'title', 'title', NULL),
		   ('files', 'name', 'translate(name, ''._-''::text, ''   ''::text)', NULL),
		   ('messages', '(SELECT c.title FROM %s c WHERE c.id = t.chat_id)', NULL, 'content'),
		   ('notes', 'title', 'title', 'content')
$$;
COMMENT ON FUNCTION appdb._searchable() IS 'Internal: the tables that appdb.search() reads, and which columns';

CREATE FUNCTION appdb._search_vector(entity pg_catalog.name, language pg_catalog.regconfig) RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(' || ',
		'setweight(to_tsvector(' || quote_literal(language) || '::regconfig, COALESCE(' || s.title_words || ', ''''::text)), ''A''::"char")',
		'to_tsvector(' || quote_literal(language) || '::regconfig, "left"(' || s.content || ', 100000))',
		'array_to_tsvector(ARRAY[''space:''::text || space_id::text])')
	FROM appdb._searchable() s WHERE s.entity = _search_vector.entity
$$;
COMMENT ON FUNCTION appdb._search_vector(pg_catalog.name, pg_catalog.regconfig) IS 'Internal: the expression that the search index of a table is of';

-- The language of a search, of its setting, or an error that says how to set it.
CREATE FUNCTION appdb._search_language() RETURNS pg_catalog.regconfig
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	language text := COALESCE(NULLIF(current_setting('appdb.search_language', true), ''), 'english');
BEGIN
	RETURN language::regconfig;
EXCEPTION WHEN undefined_object OR invalid_schema_name OR invalid_name OR syntax_error OR feature_not_supported THEN
	RAISE EXCEPTION USING
		ERRCODE = 'undefined_object',
		MESSAGE = format('appdb.search_language is "%s", which is no text search configuration', language),
		HINT = format('Set it to one of %s, or to one of your own, with its schema.',
					  (SELECT string_agg(c.cfgname, ', ' ORDER BY c.cfgname) FROM pg_ts_config c WHERE c.cfgnamespace = 'pg_catalog'::regnamespace));
END
$$;
COMMENT ON FUNCTION appdb._search_language() IS 'Internal: the text search configuration of the setting appdb.search_language';

-- Search indexes that are not there for a language, and how to make them.
CREATE FUNCTION appdb._search_indexes_missing(
	OUT entity pg_catalog.regclass, OUT language pg_catalog.regconfig, OUT statement pg_catalog.text)
	RETURNS SETOF pg_catalog.record
	LANGUAGE sql STABLE ROWS 1
	SET search_path = pg_catalog, pg_temp
	SET quote_all_identifiers = off
AS $$
	SELECT c.oid::regclass, l.language,
		   format('CREATE INDEX CONCURRENTLY %I ON %s USING gin ((%s));',
				  s.entity || '_search_' || (SELECT cfgname FROM pg_ts_config WHERE oid = l.language) || '_idx', c.oid::regclass, appdb._search_vector(s.entity, l.language))
	FROM appdb._searchable() s
	CROSS JOIN (SELECT appdb._search_language() AS language) l
	JOIN pg_class c ON c.relname = s.entity AND c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = 'app_data')
	WHERE NOT EXISTS (
		SELECT FROM pg_index i
		WHERE i.indrelid = c.oid AND i.indisvalid AND i.indexprs IS NOT NULL
		  AND strpos(pg_get_indexdef(i.indexrelid), format('to_tsvector(%L::regconfig', l.language)) > 0
		  AND strpos(pg_get_indexdef(i.indexrelid), 'space:') > 0)
$$;
COMMENT ON FUNCTION appdb._search_indexes_missing() IS 'Internal: tables without a search index for the language of appdb.search_language';

-- A query over one table or live view: id, space_id, title, highlight, rank.
-- $1 what is looked for, in each of the caller's spaces; $2 the same without
-- these; $3 how many; $4 and $5 after which rank and id.
CREATE FUNCTION appdb._search_query(
	entity pg_catalog.name, relation pg_catalog.text, chats pg_catalog.text, condition pg_catalog.text, language pg_catalog.regconfig)
	RETURNS pg_catalog.text
	LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format($sql$
		WITH matching AS MATERIALIZED (
			SELECT t.id FROM unnest($1) q CROSS JOIN LATERAL (SELECT * FROM %1$s WHERE (%3$s) @@ q OFFSET 0) t WHERE t.deleted_at IS NULL AND (%2$s)
		), newest AS MATERIALIZED (
			SELECT DISTINCT n.id FROM (SELECT m.id FROM matching m ORDER BY m.id DESC LIMIT 1000) n
		), ranked AS (
			SELECT t.id, ts_rank_cd(%3$s, $2, 1) AS rank FROM newest JOIN %1$s t USING (id) WHERE t.deleted_at IS NULL
		), page AS (
			SELECT r.id, r.rank FROM ranked r
			WHERE $4 IS NULL OR (r.rank, r.id) < ($4, $5)
			ORDER BY r.rank DESC, r.id DESC LIMIT $3
		)
		SELECT %4$L::text AS entity, t.id, t.space_id, %5$s AS title,
			   ts_headline(%6$L::regconfig, replace(replace(replace(%7$s, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), $2,
						   %8$L) AS highlight,
			   p.rank
		FROM page p JOIN %1$s t USING (id)$sql$,
		relation, condition, appdb._search_vector(s.entity, language), s.entity,
		format(s.title, chats), language,
		CASE WHEN s.content IS NULL THEN format('COALESCE(%s, '''')', s.title_words)
			 WHEN s.title_words IS NULL THEN format('left(%s, 100000)', s.content)
			 ELSE format('COALESCE(NULLIF(left(%s, 100000), ''''), %s)', s.content, s.title_words) END,
		'StartSel=<mark>, StopSel=</mark>, ' || CASE WHEN s.content IS NULL THEN 'HighlightAll=true' ELSE 'MaxFragments=2, MaxWords=20, MinWords=8' END)
	FROM appdb._searchable() s WHERE s.entity = _search_query.entity
$$;
COMMENT ON FUNCTION appdb._search_query(pg_catalog.name, pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.regconfig) IS 'Internal: the statement that searches one table';

-- As the owner of the tables, for what their own policies let the caller read.
-- A table that has other policies comes back as a name without rows.
CREATE FUNCTION appdb.__search(
	query pg_catalog.tsquery, language pg_catalog.regconfig, entities pg_catalog.text[], count pg_catalog.int4,
	after_rank pg_catalog.float4, after_id pg_catalog.uuid)
	RETURNS pg_catalog.jsonb
	LANGUAGE plpgsql STABLE
	SET search_path = pg_catalog, pg_temp
	SET quote_all_identifiers = off
	SET client_min_messages = warning
	-- without the index, each row's text is made words again
	SET enable_seqscan = off
AS $$
DECLARE
	role oid := appdb._calling_role();
	e record;
	condition text;
	policies int;
	spaces uuid[];
	in_my_spaces tsquery[];
	hit record;
	rows jsonb := '[]';
	others text[] := '{}';
BEGIN
	FOR e IN
		SELECT s.entity, c.oid AS base, m.live_view, c.relowner, c.relrowsecurity
		FROM appdb._searchable() s
		JOIN pg_class c ON c.relname = s.entity AND c.relnamespace = 'app_data'::regnamespace
		JOIN appdb.managed m ON m.entity = c.oid
		WHERE s.entity = ANY (entities) AND m.live_view IS NOT NULL
	LOOP
		IF NOT (has_table_privilege(role, e.live_view, 'SELECT') AND has_table_privilege(role, e.base, 'SELECT')) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'insufficient_privilege',
				MESSAGE = format('permission denied for view %s', e.entity),
				HINT = 'The owner of the tables gives access: SELECT appdb.grant_access(role, level).';
		END IF;

		in_my_spaces := ARRAY[query];
		IF NOT e.relrowsecurity OR pg_has_role(role, e.relowner, 'USAGE')
			OR (SELECT r.rolsuper OR r.rolbypassrls FROM pg_roles r WHERE r.oid = role)
		THEN
			condition := 'true';
		ELSIF EXISTS (
			SELECT FROM pg_policy p
			WHERE p.polrelid = e.base AND p.polcmd IN ('r', '*')
			  AND (0::oid = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(role, r, 'USAGE')))
			  AND NOT (p.polname = 'appdb_select' OR starts_with(p.polname, 'appdb_service_')))
		THEN
			others := others || e.entity::text;
			CONTINUE;
		ELSE
			SELECT COALESCE(string_agg(format('(%s)', pg_get_expr(p.polqual, p.polrelid)), ' OR '), 'false'), count(*) INTO condition, policies
			FROM pg_policy p
			WHERE p.polrelid = e.base AND p.polcmd IN ('r', '*')
			  AND (0::oid = ANY (p.polroles) OR EXISTS (SELECT FROM unnest(p.polroles) r WHERE pg_has_role(role, r, 'USAGE')));
			-- which spaces its rows can be in, where the condition says so: others need not be read.
			-- Permissions for everyone hold for members.
			spaces := CASE
				WHEN policies > 1 THEN NULL
				WHEN condition IN ('(appdb.is_member(space_id))', '(appdb.can_read_chat(space_id, chat_id))') OR starts_with(condition, '((appdb.is_member(space_id) AND ') THEN
					appdb.my_spaces()
				WHEN condition = '((appdb.is_member(space_id) OR appdb.has_file_permission(space_id, id, ''read''::text)))' THEN
					ARRAY(SELECT unnest(appdb.my_spaces())
						  UNION SELECT p.space_id FROM app_data.file_permissions p WHERE p.user_id = appdb.current_user_id() AND p.deleted_at IS NULL) END;
			CONTINUE WHEN spaces = '{}';
			-- a few at a time: the index compares each of their rows with all of them, and reads its pending list each time
			IF cardinality(spaces) <= 1000 AND NOT EXISTS (SELECT FROM appdb._search_indexes_missing() i WHERE i.entity = e.base) THEN
				in_my_spaces := ARRAY(SELECT query && string_agg(format('''space:%s''', s.id), ' | ')::tsquery
									  FROM unnest(spaces) WITH ORDINALITY s (id, n) GROUP BY s.n / 32);
			END IF;
		END IF;

		FOR hit IN EXECUTE appdb._search_query(e.entity, e.base::regclass::text, 'app_data.chats', condition, language)
			USING in_my_spaces, query, count, after_rank, after_id
		LOOP
			rows := rows || jsonb_build_array(to_jsonb(hit));
		END LOOP;
	END LOOP;
	RETURN jsonb_build_object('rows', rows, 'others', others);
END
$$;
COMMENT ON FUNCTION appdb.__search(pg_catalog.tsquery, pg_catalog.regconfig, pg_catalog.text[], pg_catalog.int4, pg_catalog.float4, pg_catalog.uuid) IS 'Internal: the work of appdb._search()';

CREATE FUNCTION appdb._search(
	query pg_catalog.tsquery, language pg_catalog.regconfig, entities pg_catalog.text[], count pg_catalog.int4,
	after_rank pg_catalog.float4, after_id pg_catalog.uuid)
	RETURNS pg_catalog.jsonb
	LANGUAGE c STABLE
	AS 'MODULE_PATHNAME', 'appdb_as_owner';
COMMENT ON FUNCTION appdb._search(pg_catalog.tsquery, pg_catalog.regconfig, pg_catalog.text[], pg_catalog.int4, pg_catalog.float4, pg_catalog.uuid) IS
	'Internal: what appdb.search() finds in tables that have no other policies than the engine''s';

CREATE FUNCTION appdb.search(
	query pg_catalog.text, entities pg_catalog.text[] DEFAULT NULL, "limit" pg_catalog.int4 DEFAULT 20, after pg_catalog.text DEFAULT NULL)
	RETURNS TABLE (entity pg_catalog.text, id pg_catalog.uuid, space_id pg_catalog.uuid, title pg_catalog.text, highlight pg_catalog.text,
				   rank pg_catalog.float4, cursor pg_catalog.text)
	LANGUAGE plpgsql STABLE ROWS 20
	SET search_path = pg_catalog, pg_temp
	-- words that are too common are no news; cursors have ranks to the last digit
	SET client_min_messages = warning
	SET extra_float_digits = 1
	SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	language regconfig := appdb._search_language();
	words tsquery;
	wanted text[];
	unknown text;
	after_rank float4;
	after_id uuid;
	answer jsonb;
	rows jsonb;
	other text;
	hit record;
BEGIN
	SELECT e INTO unknown FROM unnest(entities) e WHERE e IS NULL OR e NOT IN (SELECT s.entity FROM appdb._searchable() s) LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('entity %s cannot be searched', COALESCE('"' || unknown || '"', 'NULL')),
			HINT = format('These can be: %s.', (SELECT string_agg(s.entity, ', ' ORDER BY s.entity) FROM appdb._searchable() s));
	ELSIF "limit" IS NULL OR "limit" NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = format('limit %s is not between 1 and 1000', COALESCE("limit"::text, 'NULL')),
			HINT = 'For more rows, call again with "after": the last row''s cursor.';
	END IF;
	IF after IS NOT NULL THEN
		BEGIN
			after_rank := split_part(convert_from(decode(after, 'base64'), 'UTF8'), ' ', 1)::float4;
			after_id := split_part(convert_from(decode(after, 'base64'), 'UTF8'), ' ', 2)::uuid;
		EXCEPTION WHEN data_exception THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'after is no cursor of appdb.search()',
				HINT = 'It is the column "cursor" of a row that a search with the same words gave.';
		END;
	END IF;

	-- it is matched with up to 1,000 texts an entity, word by word; the last one may have been cut in two
	IF length(query) > 1000 THEN
		query := regexp_replace(left(query, 1000), '[[:space:]][^[:space:]]*$', '');
	END IF;
	BEGIN
		-- of hyphens only one right before a word is a "not"
		words := websearch_to_tsquery(language, regexp_replace(query, '-([-[:space:]]+|$)', ' ', 'g'));
	EXCEPTION WHEN internal_error OR program_limit_exceeded THEN
		-- more than 32 of them in a row; the later minor versions say so by the second
		words := plainto_tsquery(language, query);
	END;
	IF query IS NULL OR numnode(words) = 0 THEN
		RETURN;
	END IF;

	-- without names: what the caller may read
	wanted := COALESCE(entities, ARRAY(
		SELECT s.entity::text FROM appdb._searchable() s
		WHERE has_table_privilege(to_regclass('appdb.' || quote_ident(s.entity)), 'SELECT')
		  AND has_table_privilege((SELECT m.entity FROM appdb._managed_tables() m WHERE m.view = s.entity), 'SELECT')));
	answer := appdb._search(words, language, wanted, "limit", after_rank, after_id);
	rows := answer -> 'rows';
	FOR other IN SELECT * FROM jsonb_array_elements_text(answer -> 'others') LOOP
		FOR hit IN EXECUTE appdb._search_query(other::name, format('appdb.%I', other), 'appdb.chats', 'true', language)
			USING ARRAY[words], words, "limit", after_rank, after_id
		LOOP
			rows := rows || jsonb_build_array(to_jsonb(hit));
		END LOOP;
	END LOOP;

	RETURN QUERY
		SELECT r.entity, r.id, r.space_id, r.title, r.highlight, r.rank,
			   translate(encode(convert_to(r.rank || ' ' || r.id, 'UTF8'), 'base64'), E'\n', '')
		FROM jsonb_to_recordset(rows) r (entity text, id uuid, space_id uuid, title text, highlight text, rank float4)
		ORDER BY r.rank DESC, r.id DESC
		LIMIT "limit";
END
$$;
COMMENT ON FUNCTION appdb.search(pg_catalog.text, pg_catalog.text[], pg_catalog.int4, pg_catalog.text) IS
'Full-text search: live rows that the user who is asking may read, the best matches first.
query: what to look for, as web search engines take it (words, "a phrase", or, -not: websearch_to_tsquery), of which the first 1,000 characters count; entities: of chats, files, messages, notes (default: all that the caller may read); limit: how many rows, 1 to 1000; after: the cursor of the row after which to go on.
Returns the row''s entity, id and space_id; title: its title, of a message its chat''s; highlight: where it matches, as HTML with everything escaped and matches in <mark>; rank (ts_rank_cd); cursor.
The language is the setting appdb.search_language. Beyond 1,000 matches of an entity, the newest are ranked; of long texts the first 100,000 characters are searched. Errors: 22023 for another entity, limit or cursor; 42704 for another language; 42501 without the privilege to read an entity that is named.';
