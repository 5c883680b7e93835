/*
 * find_json.c
 *		The query of appdb.find() as a tree; its shape and its values.
 *
 * The shape is all that the SQL statement depends on: the query without the
 * values in it.  What is a value shows from its place alone, without knowing
 * the tables: strings, numbers and lists of them in conditions, offsets, and
 * cursors.  So a query whose shape is cached needs no look at the metadata.
 */
#include "find.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

/* whether objects have the order in which they were written (json, not jsonb) */
bool		appdb_find_ordered = true;

/* ---- the tree ---- */

typedef struct Parser
{
	const char *pos;
	const char *end;
} Parser;

static void
malformed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
			 errmsg("query is not valid JSON")));
}

static void
skip_space(Parser *p)
{
	while (p->pos < p->end && (*p->pos == ' ' || *p->pos == '\t' || *p->pos == '\n' || *p->pos == '\r'))
		p->pos++;
}

static pg_wchar
parse_hex4(Parser *p)
{
	pg_wchar	result = 0;

	if (p->end - p->pos < 4)
		malformed();
	for (int i = 0; i < 4; i++)
	{
		char		c = *p->pos++;

		result <<= 4;
		if (c >= '0' && c <= '9')
			result |= c - '0';
		else if (c >= 'a' && c <= 'f')
			result |= c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			result |= c - 'A' + 10;
		else
			malformed();
	}
	return result;
}

static const char *
parse_string(Parser *p)
{
	const char *start = ++p->pos;
	const char *scan = start;
	StringInfoData buf;

	/* most have nothing to decode */
	while (scan < p->end && *scan != '"' && *scan != '\\')
		scan++;
	if (scan < p->end && *scan == '"')
	{
		p->pos = scan + 1;
		return pnstrdup(start, scan - start);
	}

	initStringInfo(&buf);
	for (;;)
	{
		char		c;

		if (p->pos >= p->end)
			malformed();
		c = *p->pos++;
		if (c == '"')
			return buf.data;
		if (c != '\\')
		{
			appendStringInfoChar(&buf, c);
			continue;
		}
		if (p->pos >= p->end)
			malformed();
		switch (c = *p->pos++)
		{
			case '"':
			case '\\':
			case '/':
				appendStringInfoChar(&buf, c);
				break;
			case 'b':
				appendStringInfoChar(&buf, '\b');
				break;
			case 'f':
				appendStringInfoChar(&buf, '\f');
				break;
			case 'n':
				appendStringInfoChar(&buf, '\n');
				break;
			case 'r':
				appendStringInfoChar(&buf, '\r');
				break;
			case 't':
				appendStringInfoChar(&buf, '\t');
				break;
			case 'u':
				{
					unsigned char out[MAX_UNICODE_EQUIVALENT_STRING + 1];
					pg_wchar	ch = parse_hex4(p);

					if (is_utf16_surrogate_first(ch))
					{
						pg_wchar	second;

						if (p->end - p->pos < 6 || p->pos[0] != '\\' || p->pos[1] != 'u')
							malformed();
						p->pos += 2;
						second = parse_hex4(p);
						if (!is_utf16_surrogate_second(second))
							malformed();
						ch = surrogate_pair_to_codepoint(ch, second);
					}
					else if (is_utf16_surrogate_second(ch))
						malformed();
					if (ch == 0)
						ereport(ERROR,
								(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
								 errmsg("query has the character \\u0000, which no text can hold")));
					pg_unicode_to_server(ch, out);
					appendStringInfoString(&buf, (char *) out);
					break;
				}
			default:
				malformed();
		}
	}
}

static FindNode *
parse_value(Parser *p, FindNode *parent)
{
	FindNode   *node = palloc0(sizeof(FindNode));
	FindNode  **last = &node->first;

	check_stack_depth();
	node->parent = parent;
	node->value = -1;

	skip_space(p);
	if (p->pos >= p->end)
		malformed();
	node->start = p->pos;
	switch (*p->pos)
	{
		case '{':
		case '[':
			{
				bool		object = (*p->pos++ == '{');
				char		close = object ? '}' : ']';

				node->type = object ? FIND_OBJECT : FIND_ARRAY;
				skip_space(p);
				if (p->pos < p->end && *p->pos == close)
				{
					p->pos++;
					break;
				}
				for (;;)
				{
					const char *key = NULL;
					FindNode   *child;

					if (object)
					{
						skip_space(p);
						if (p->pos >= p->end || *p->pos != '"')
							malformed();
						key = parse_string(p);
						skip_space(p);
						if (p->pos >= p->end || *p->pos++ != ':')
							malformed();
					}
					child = parse_value(p, node);
					child->key = key;
					child->index = node->nchildren++;
					*last = child;
					last = &child->next;
					skip_space(p);
					if (p->pos >= p->end)
						malformed();
					if (*p->pos == close)
					{
						p->pos++;
						break;
					}
					if (*p->pos++ != ',')
						malformed();
				}
				break;
			}
		case '"':
			node->type = FIND_STRING;
			node->string = parse_string(p);
			break;
		default:
			{
				const char *start = p->pos;
				int			len;

				while (p->pos < p->end && *p->pos != ',' && *p->pos != ']' && *p->pos != '}' &&
					   *p->pos != ' ' && *p->pos != '\t' && *p->pos != '\n' && *p->pos != '\r')
					p->pos++;
				len = p->pos - start;
				if (len == 4 && strncmp(start, "true", 4) == 0)
					node->type = FIND_TRUE;
				else if (len == 5 && strncmp(start, "false", 5) == 0)
					node->type = FIND_FALSE;
				else if (len == 4 && strncmp(start, "null", 4) == 0)
					node->type = FIND_NULL;
				else if (len > 0 && (*start == '-' || (*start >= '0' && *start <= '9')))
				{
					node->type = FIND_NUMBER;
					node->string = pnstrdup(start, len);
				}
				else
					malformed();
			}
	}
	node->len = p->pos - node->start;
	return node;
}

/*
 * The tree of a JSON text, which is valid: json_in() has seen it.
 */
FindNode *
appdb_find_parse(const char *json, int len)
{
	Parser		p = {json, json + len};
	FindNode   *root = parse_value(&p, NULL);

	skip_space(&p);
	if (p.pos != p.end)
		malformed();
	return root;
}

FindNode *
appdb_find_get(FindNode *object, const char *key)
{
	if (object->type == FIND_OBJECT)
	{
		find_foreach(child, object)
		{
			if (strcmp(child->key, key) == 0)
				return child;
		}
	}
	return NULL;
}

static void
append_path(StringInfo buf, FindNode *node)
{
	if (node->parent == NULL)
	{
		appendStringInfoChar(buf, '$');
		return;
	}
	append_path(buf, node->parent);
	if (node->key == NULL)
		appendStringInfo(buf, "[%d]", node->index);
	else if (node->key[0] != '\0' &&
			 strspn(node->key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(node->key))
		appendStringInfo(buf, ".%s", node->key);
	else
		appendStringInfo(buf, "[\"%s\"]", node->key);
}

/* Where a node is: "$.with.messages.limit". */
char *
appdb_find_path(FindNode *node)
{
	StringInfoData buf;

	initStringInfo(&buf);
	append_path(&buf, node);
	return buf.data;
}

/* ---- the shape ---- */

static void shape_query(FindQuery *query, FindNode *node);

static void
put_string(StringInfo key, const char *string)
{
	char		buf[16];
	int			len = strlen(string);
	int			n = pg_ltoa(len, buf);

	/* with its length, so that nothing in it can look like something else */
	appendBinaryStringInfo(key, buf, n);
	appendStringInfoChar(key, ':');
	appendBinaryStringInfo(key, string, len);
}

static int
add_value(FindQuery *query, FindNode *node)
{
	if (query->nvalues == query->maxvalues)
	{
		int			max = Max(16, query->maxvalues * 2);

		if (query->maxvalues == 0)
		{
			query->values = palloc(max * sizeof(FindNode *));
			query->cursors = palloc0(max * sizeof(FindCursor *));
		}
		else
		{
			query->values = repalloc(query->values, max * sizeof(FindNode *));
			query->cursors = repalloc(query->cursors, max * sizeof(FindCursor *));
		}
		query->maxvalues = max;
	}
	query->cursors[query->nvalues] = NULL;
	query->values[query->nvalues] = node;
	node->value = query->nvalues;
	return query->nvalues++;
}

static void
shape_value(FindQuery *query, FindNode *node)
{
	add_value(query, node);
	appendStringInfoChar(&query->key, node->type == FIND_ARRAY ? '@' :
						 node->type == FIND_OBJECT ? '#' :
						 node->type == FIND_NULL ? 'n' :
						 node->type == FIND_FALSE ? 'f' :
						 node->type == FIND_TRUE ? 't' : '?');
}

/* all of it is shape */
static void
shape_literal(FindQuery *query, FindNode *node)
{
	StringInfo	key = &query->key;

	switch (node->type)
	{
		case FIND_NULL:
			appendStringInfoChar(key, 'n');
			break;
		case FIND_FALSE:
			appendStringInfoChar(key, 'f');
			break;
		case FIND_TRUE:
			appendStringInfoChar(key, 't');
			break;
		case FIND_NUMBER:
			appendStringInfoChar(key, 'i');
			put_string(key, node->string);
			break;
		case FIND_STRING:
			appendStringInfoChar(key, 's');
			put_string(key, node->string);
			break;
		case FIND_ARRAY:
			appendStringInfoChar(key, '[');
			find_foreach(child, node)
				shape_literal(query, child);
			appendStringInfoChar(key, ']');
			break;
		case FIND_OBJECT:
			appendStringInfoChar(key, '{');
			find_foreach(child, node)
			{
				put_string(key, child->key);
				shape_literal(query, child);
			}
			appendStringInfoChar(key, '}');
			break;
	}
}

static void
shape_where(FindQuery *query, FindNode *node)
{
	StringInfo	key = &query->key;

	switch (node->type)
	{
		case FIND_NUMBER:
		case FIND_STRING:
			shape_value(query, node);
			break;
		case FIND_ARRAY:
			appendStringInfoChar(key, '[');
			find_foreach(child, node)
				shape_where(query, child);
			appendStringInfoChar(key, ']');
			break;
		case FIND_OBJECT:
			appendStringInfoChar(key, '{');
			find_foreach(child, node)
			{
				const char *k = child->key;

				put_string(key, k);
				/* operators that take a list or a JSON value */
				if ((child->type == FIND_ARRAY &&
					 (strcmp(k, "in") == 0 || strcmp(k, "notIn") == 0 ||
					  strncmp(k, "array", 5) == 0 || strncmp(k, "has", 3) == 0 ||
					  strcmp(k, "eq") == 0 || strcmp(k, "ne") == 0)) ||
					strcmp(k, "contains") == 0 || strcmp(k, "containedBy") == 0)
					shape_value(query, child);
				else
					shape_where(query, child);
			}
			appendStringInfoChar(key, '}');
			break;
		default:
			shape_literal(query, node);
	}
}

/* the opaque cursor of a row: see appdb__cursor() */
static FindCursor *
decode_cursor(FindNode *node)
{
	FindCursor *cursor = palloc0(sizeof(FindCursor));
	int			len = strlen(node->string);
	uint8	   *bytes = palloc(len + 4);
	int			nbytes = 0;
	uint32		bits = 0;
	int			nbits = 0;
	int			pos;

	for (int i = 0; i < len; i++)
	{
		char		c = node->string[i];
		int			v;

		if (c >= 'A' && c <= 'Z')
			v = c - 'A';
		else if (c >= 'a' && c <= 'z')
			v = c - 'a' + 26;
		else if (c >= '0' && c <= '9')
			v = c - '0' + 52;
		else if (c == '-')
			v = 62;
		else if (c == '_')
			v = 63;
		else
			return NULL;
		bits = (bits << 6) | v;
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			bytes[nbytes++] = (bits >> nbits) & 0xFF;
		}
	}
	if (nbytes < 4)
		return NULL;
	memcpy(&cursor->order, bytes, 4);
	cursor->order = pg_ntoh32(cursor->order);
	cursor->lens = palloc((nbytes / 4 + 1) * sizeof(int));
	cursor->bytes = palloc((nbytes / 4 + 1) * sizeof(char *));
	for (pos = 4; pos < nbytes;)
	{
		uint32		n;

		if (nbytes - pos < 4)
			return NULL;
		memcpy(&n, bytes + pos, 4);
		n = pg_ntoh32(n);
		pos += 4;
		if (n != PG_UINT32_MAX && n > (uint32) (nbytes - pos))
			return NULL;
		cursor->lens[cursor->n] = (n == PG_UINT32_MAX) ? -1 : (int) n;
		cursor->bytes[cursor->n++] = (char *) bytes + pos;
		if (n != PG_UINT32_MAX)
			pos += n;
	}
	return cursor;
}

static void
shape_cursor(FindQuery *query, FindNode *node)
{
	StringInfo	key = &query->key;
	FindCursor *cursor;
	int			value;

	if (node->type != FIND_STRING)
	{
		shape_literal(query, node);
		return;
	}
	cursor = decode_cursor(node);
	if (cursor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is not a cursor", appdb_find_path(node)),
				 errhint("A cursor is the \"_cursor\" of a row that was asked for with \"cursor\": true.")));
	value = add_value(query, node);
	query->cursors[value] = cursor;
	appendStringInfo(key, "c%u,", cursor->order);
	for (int i = 0; i < cursor->n; i++)
		appendStringInfoChar(key, cursor->lens[i] < 0 ? 'n' : 'v');
	appendStringInfoChar(key, ';');
}

static void
shape_relations(FindQuery *query, FindNode *node)
{
	if (node->type != FIND_OBJECT)
	{
		shape_literal(query, node);
		return;
	}
	appendStringInfoChar(&query->key, '{');
	find_foreach(child, node)
	{
		put_string(&query->key, child->key);
		shape_query(query, child);
	}
	appendStringInfoChar(&query->key, '}');
}

static void
shape_query(FindQuery *query, FindNode *node)
{
	StringInfo	key = &query->key;

	if (node->type != FIND_OBJECT)
	{
		shape_literal(query, node);
		return;
	}
	appendStringInfoChar(key, '{');
	find_foreach(child, node)
	{
		const char *k = child->key;

		put_string(key, k);
		if (strcmp(k, "where") == 0)
			shape_where(query, child);
		else if (strcmp(k, "with") == 0 || strcmp(k, "count") == 0)
			shape_relations(query, child);
		else if (strcmp(k, "through") == 0)
			shape_query(query, child);
		else if (strcmp(k, "after") == 0 || strcmp(k, "before") == 0)
			shape_cursor(query, child);
		else if (strcmp(k, "offset") == 0 && child->type == FIND_NUMBER && strcmp(child->string, "0") != 0)
			shape_value(query, child);
		else
			shape_literal(query, child);
	}
	appendStringInfoChar(key, '}');
}

/*
 * Fill in the shape and the values of a query.
 */
void
appdb_find_shape(FindQuery *query, const char *entity, bool one, FindNode *root)
{
	memset(query, 0, sizeof(FindQuery));
	query->root = root;
	initStringInfo(&query->key);
	appendStringInfoChar(&query->key, one ? '1' : '*');
	appendStringInfoChar(&query->key, appdb_find_ordered ? 'o' : 'b');
	appendStringInfo(&query->key, "%d,%d,%d,", appdb_find_max_depth, appdb_find_max_nodes, appdb_find_max_rows);
	put_string(&query->key, entity);
	shape_query(query, root);
}
