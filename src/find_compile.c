/*
 * find_compile.c
 *		The shape of a query of appdb.find() as one SQL statement.
 *
 * Names in the statement come from the metadata alone, values are parameters,
 * and everything is qualified, so it means the same under any search_path.
 * Its form:
 *
 *		SELECT appdb._rows(r.d), count(*) FROM (
 *			SELECT appdb._row('{"title","messages"}', t1.title, l2.d) AS d
 *			FROM (SELECT b1.title, b1.id ... FROM appdb.chats b1
 *				  WHERE ... ORDER BY ... LIMIT 10) t1
 *			LEFT JOIN LATERAL (SELECT appdb._rows(r2.d) AS d FROM (...) r2) l2 ON true
 *			ORDER BY ...) r
 *
 * The rows are chosen first, so that related rows are looked for only for
 * those that stay.  To-one relations are LATERAL ... LIMIT 1, which Memoize can
 * keep.  Limits are in the text: with a parameter there, a generic plan is one
 * for a tenth of the rows.  Conditions on related rows are EXISTS over the live
 * views.
 */
#include "find.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"
#include "utils/varlena.h"

int			appdb_find_max_depth = 10;
int			appdb_find_max_nodes = 100;
int			appdb_find_max_rows = 100000;

/* the planner takes the square of their number, and cannot be interrupted there */
#define MAX_CONDITIONS	10000

typedef struct Compiler
{
	FindMeta   *meta;
	FindQuery  *query;
	MemoryContext context;		/* of the statement */
	bool		camel;
	bool		exact;			/* numbers as strings */
	int			aliases;
	int			nodes;
	int			nconditions;
	int			nparams;
	FindParam  *params;
} Compiler;

/* how rows come to their parent */
typedef struct Link
{
	FindRelation *rel;
	struct Level *parent;
} Link;

typedef struct Order
{
	char	   *sql;			/* over the base rows */
	char	   *alias;			/* in the inner query's list */
	FindColumn *column;
	bool		own;			/* of the rows themselves */
	bool		nullable;
	bool		desc;
	bool		nulls_first;
} Order;

/* one node: base rows b<n>, and, where related rows join them, t<n> around */
typedef struct Level
{
	FindEntity *entity;
	int			alias;
	bool		two;
	Bitmapset  *inner;			/* columns that the inner query returns */
	StringInfoData extra;		/* what else it returns: ", x AS y" */
} Level;

static void compile_rows(Compiler *c, FindNode *node, FindEntity *entity, Link *link, bool one,
						 int depth, StringInfo out, char **count_sql);
static void compile_where(Compiler *c, FindNode *node, FindEntity *entity, const char *alias,
						  int depth, StringInfo out);

/* ---- errors ---- */

/*
 * What is there, and what may have been meant.
 */
pg_noreturn static void
unknown(FindNode *node, const char *what, const char *name, const char *of, List *known)
{
	StringInfoData list;
	ListCell   *lc;
	const char *nearest = NULL;
	int			least = 4;
	int			len = strlen(name);
	const char *dot = strrchr(name, '.');

	initStringInfo(&list);
	foreach(lc, known)
	{
		const char *candidate = (const char *) lfirst(lc);
		int			candidate_len = strlen(candidate);
		int			distance;

		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", candidate);
		/* with its schema or table */
		if (dot != NULL && strcmp(dot + 1, candidate) == 0)
		{
			least = 0;
			nearest = candidate;
		}
		if (len > 200 || candidate_len > 200)
			continue;
		distance = varstr_levenshtein_less_equal(name, len, candidate, candidate_len, 1, 1, 1, least, true);
		if (distance < least && distance * 2 <= Max(len, candidate_len))
		{
			least = distance;
			nearest = candidate;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 node == NULL ? errmsg("unknown %s \"%s\"", what, name) :
			 errmsg("unknown %s \"%s\" at %s", what, name, appdb_find_path(node)),
			 list.len > 0 ? errdetail("%s: %s.", of, list.data) : errdetail("%s: none.", of),
			 nearest != NULL ? errhint("Perhaps you mean \"%s\".", nearest) : 0));
}

pg_noreturn static void
invalid(FindNode *node, const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("%s at %s", message, appdb_find_path(node)),
			 hint != NULL ? errhint("%s", hint) : 0));
}

/* Is a setting of the query, which is one of two words, this one?  Unset, it is neither. */
static bool
is_set_to(FindNode *query, const char *name, const char *word, const char *first, const char *second)
{
	FindNode   *node = appdb_find_get(query, name);

	if (node == NULL)
		return false;
	if (node->type != FIND_STRING || (strcmp(node->string, first) != 0 && strcmp(node->string, second) != 0))
		invalid(node, psprintf("\"%s\" or \"%s\" expected", first, second), NULL);
	return strcmp(node->string, word) == 0;
}

static int
compare_keys(const void *a, const void *b)
{
	FindNode   *left = *(FindNode *const *) a;
	FindNode   *right = *(FindNode *const *) b;
	int			order = strcmp(left->key, right->key);

	return order != 0 ? order : left->index - right->index;
}

static void
check_object(FindNode *node, const char *message)
{
	FindNode  **keys;
	int			n = 0;

	if (node->value >= 0 && node->type == FIND_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" is an operator and cannot be a name at %s", node->key, appdb_find_path(node))));
	if (node->type != FIND_OBJECT)
		invalid(node, message, NULL);
	/* in order: whoever sends very many shall not keep the server busy */
	keys = palloc((node->nchildren + 1) * sizeof(FindNode *));
	find_foreach(child, node)
		keys[n++] = child;
	qsort(keys, n, sizeof(FindNode *), compare_keys);
	for (int i = 1; i < n; i++)
	{
		if (strcmp(keys[i - 1]->key, keys[i]->key) == 0)
			invalid(keys[i], "key given twice", NULL);
	}
	pfree(keys);
}

static bool
get_bool(FindNode *node)
{
	if (node->type != FIND_TRUE && node->type != FIND_FALSE)
		invalid(node, "true or false expected", NULL);
	return node->type == FIND_TRUE;
}

/* ---- names ---- */

static bool
is_name(Compiler *c, const char *given, const char *name, const char *camel)
{
	return strcmp(given, c->camel ? camel : name) == 0;
}

#define shown(c, thing) ((c)->camel ? (thing)->camel : (thing)->name)

static FindColumn *
find_column(Compiler *c, FindEntity *entity, const char *name)
{
	for (int i = 0; i < entity->ncolumns; i++)
	{
		if (is_name(c, name, entity->columns[i].name, entity->columns[i].camel))
			return &entity->columns[i];
	}
	return NULL;
}

/* by its real name */
static FindColumn *
own_column(FindEntity *entity, const char *name)
{
	for (int i = 0; i < entity->ncolumns; i++)
	{
		if (strcmp(name, entity->columns[i].name) == 0)
			return &entity->columns[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("live view \"appdb.%s\" has no column \"%s\"", entity->name, name),
			 errhint("SELECT appdb.manage(%s) brings it up to date.",
					 quote_literal_cstr(appdb_qualified_name(entity->table)))));
	return NULL;
}

static FindRelation *
find_relation(Compiler *c, FindEntity *entity, const char *name)
{
	for (int i = 0; i < entity->nrelations; i++)
	{
		if (is_name(c, name, entity->relations[i].name, entity->relations[i].camel))
			return &entity->relations[i];
	}
	return NULL;
}

static List *
column_names(Compiler *c, FindEntity *entity, List *list)
{
	for (int i = 0; i < entity->ncolumns; i++)
		list = lappend(list, shown(c, &entity->columns[i]));
	return list;
}

static List *
relation_names(Compiler *c, FindEntity *entity, List *list)
{
	for (int i = 0; i < entity->nrelations; i++)
		list = lappend(list, shown(c, &entity->relations[i]));
	return list;
}

static FindColumn *
get_column(Compiler *c, FindEntity *entity, FindNode *node, const char *name)
{
	FindColumn *column = find_column(c, entity, name);

	if (column == NULL)
		unknown(node, "column", name, psprintf("Columns of \"%s\"", entity->name),
				column_names(c, entity, NIL));
	return column;
}

static FindRelation *
get_relation(Compiler *c, FindEntity *entity, FindNode *node)
{
	FindRelation *rel = find_relation(c, entity, node->key);

	if (rel == NULL)
		unknown(node, "relation", node->key, psprintf("Relations of \"%s\"", entity->name),
				relation_names(c, entity, NIL));
	return rel;
}

/* ---- parameters and operators ---- */

static void
add_param(Compiler *c, StringInfo out, FindNode *node, Oid type, int part)
{
	FindParam  *param;
	Oid			in;

	Assert(node->value >= 0);
	/* a part of a cursor can come again; all of its parts are the last */
	for (int i = c->nparams - 1; i >= 0 && c->params[i].value == node->value; i--)
	{
		if (c->params[i].type == type && c->params[i].part == part)
		{
			appendStringInfo(out, "$%d", i + 1);
			return;
		}
	}
	if (c->nparams == PG_UINT16_MAX)
		invalid(node, "too many values", NULL);
	if (c->params == NULL)
		c->params = MemoryContextAllocZero(c->context, sizeof(FindParam));
	else if ((c->nparams & (c->nparams - 1)) == 0)
		c->params = repalloc(c->params, c->nparams * 2 * sizeof(FindParam));
	param = &c->params[c->nparams++];
	memset(param, 0, sizeof(FindParam));
	param->value = node->value;
	param->part = part;
	param->type = type;
	if (part >= 0)
	{
		getTypeBinaryInputInfo(type, &in, &param->ioparam);
		get_typlenbyvalalign(type, &param->typlen, &param->typbyval, &param->typalign);
	}
	else
	{
		Oid			scalar = type;
		bool		preferred;

		if (node->type == FIND_ARRAY && type != JSONBOID && type != JSONOID)
		{
			param->elemtype = get_element_type(type);
			if (!OidIsValid(param->elemtype))
				invalid(node, "list not expected", NULL);
			scalar = getBaseType(param->elemtype);
			get_typlenbyvalalign(param->elemtype, &param->typlen, &param->typbyval, &param->typalign);
		}
		getTypeInputInfo(scalar, &in, &param->ioparam);
		get_type_category_preferred(scalar, &param->category, &preferred);
		if (scalar == JSONBOID || scalar == JSONOID)
			param->category = 'j';
	}
	fmgr_info_cxt(in, &param->in, c->context);
	appendStringInfo(out, "$%d", c->nparams);
}

/* the operator of that name that came with a type, for two values of it (citext has its own LIKE), or InvalidOid */
static Oid
own_operator(Oid typeoid, const char *name)
{
	HeapTuple	typetup = SearchSysCache1(TYPEOID, ObjectIdGetDatum(typeoid));
	HeapTuple	tup;
	Form_pg_type type;
	Oid			result = InvalidOid;

	if (!HeapTupleIsValid(typetup))
		elog(ERROR, "cache lookup failed for type %u", typeoid);
	type = (Form_pg_type) GETSTRUCT(typetup);
	tup = SearchSysCache4(OPERNAMENSP, PointerGetDatum(name), ObjectIdGetDatum(typeoid), ObjectIdGetDatum(typeoid),
						  ObjectIdGetDatum(type->typnamespace));
	if (HeapTupleIsValid(tup))
	{
		/* and not one that somebody else has put there */
		if (((Form_pg_operator) GETSTRUCT(tup))->oprowner == type->typowner)
			result = ((Form_pg_operator) GETSTRUCT(tup))->oid;
		ReleaseSysCache(tup);
	}
	ReleaseSysCache(typetup);
	return result;
}

/* the comparison of a type's default order, or InvalidOid */
static Oid
comparison(Oid type, int strategy)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY | TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR);

	if (strategy == BTEqualStrategyNumber)
		return entry->eq_opr;
	/* arrays and rows have the operators, whatever is in them */
	if (!OidIsValid(entry->lt_opr))
		return InvalidOid;
	return get_opfamily_member(entry->btree_opf, entry->btree_opintype, entry->btree_opintype, strategy);
}

static Oid
get_comparison(FindNode *node, FindColumn *column, int strategy)
{
	Oid			opno = comparison(column->type, strategy);

	if (!OidIsValid(opno))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("values of column \"%s\" (%s) cannot be compared at %s",
						column->name, format_type_be(column->type), appdb_find_path(node))));
	return opno;
}

/* ---- conditions ---- */

typedef enum OperatorKind
{
	OP_COMPARE,
	OP_IN,
	OP_LIKE,
	OP_NULL,
	OP_ARRAY,
	OP_JSON,
	OP_KEY,
	OP_KEYS
} OperatorKind;

static const struct
{
	const char *name;
	OperatorKind kind;
	int			strategy;		/* of a comparison */
	bool		negate;
	const char *op;
}			operators[] = {
	{"eq", OP_COMPARE, BTEqualStrategyNumber, false, NULL},
	{"ne", OP_COMPARE, BTEqualStrategyNumber, true, NULL},
	{"gt", OP_COMPARE, BTGreaterStrategyNumber, false, NULL},
	{"gte", OP_COMPARE, BTGreaterEqualStrategyNumber, false, NULL},
	{"lt", OP_COMPARE, BTLessStrategyNumber, false, NULL},
	{"lte", OP_COMPARE, BTLessEqualStrategyNumber, false, NULL},
	{"in", OP_IN, BTEqualStrategyNumber, false, NULL},
	{"notIn", OP_IN, BTEqualStrategyNumber, true, NULL},
	{"like", OP_LIKE, 0, false, "~~"},
	{"ilike", OP_LIKE, 0, false, "~~*"},
	{"notLike", OP_LIKE, 0, false, "!~~"},
	{"notIlike", OP_LIKE, 0, false, "!~~*"},
	{"isNull", OP_NULL, 0, false, NULL},
	{"isNotNull", OP_NULL, 0, true, NULL},
	{"arrayContains", OP_ARRAY, 0, false, "@>"},
	{"arrayContained", OP_ARRAY, 0, false, "<@"},
	{"arrayOverlaps", OP_ARRAY, 0, false, "&&"},
	{"contains", OP_JSON, 0, false, "@>"},
	{"containedBy", OP_JSON, 0, false, "<@"},
	{"hasKey", OP_KEY, 0, false, "?"},
	{"hasAnyKey", OP_KEYS, 0, false, "?|"},
	{"hasAllKeys", OP_KEYS, 0, false, "?&"},
};

static void
compile_operator(Compiler *c, FindNode *node, int which, FindColumn *column, const char *sql, StringInfo out)
{
	if (++c->nconditions > MAX_CONDITIONS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query has more than %d conditions at %s", MAX_CONDITIONS, appdb_find_path(node)),
				 errhint("One of many values: {\"in\": [...]}.")));
	switch (operators[which].kind)
	{
		case OP_COMPARE:
			{
				Oid			opno;
				const char *hint = column->type == JSONBOID ? "One of several JSON values: {\"in\": [...]}." : NULL;

				if (node->type == FIND_NULL && operators[which].strategy == BTEqualStrategyNumber)
				{
					appendStringInfo(out, "%s IS %sNULL", sql, operators[which].negate ? "NOT " : "");
					return;
				}
				opno = get_comparison(node, column, operators[which].strategy);
				if (operators[which].negate)
					opno = get_negator(opno);
				if (!OidIsValid(opno))
					invalid(node, "no such operator for the column's type", NULL);
				appendStringInfoString(out, sql);
				appdb_append_operator(out, opno);
				if (node->type == FIND_TRUE || node->type == FIND_FALSE)
				{
					if (column->type != BOOLOID)
						invalid(node, psprintf("value of type %s expected", format_type_be(column->type)), hint);
					appendStringInfoString(out, node->type == FIND_TRUE ? "true" : "false");
				}
				else if (node->value < 0)
					invalid(node, "value expected",
							node->type == FIND_NULL ? "Conditions on null: {\"isNull\": true} or {\"isNotNull\": true}." :
							hint != NULL ? hint : "An operator takes one value.");
				else if (node->type == FIND_ARRAY && !OidIsValid(get_element_type(column->type)))
					invalid(node, "list not expected", "One of several values: {\"in\": [...]}.");
				else
					add_param(c, out, node, column->type, -1);
				break;
			}
		case OP_IN:
			{
				Oid			opno = get_comparison(node, column, BTEqualStrategyNumber);
				Oid			array = get_array_type(column->type);

				if (node->type != FIND_ARRAY)
					invalid(node, "list of values expected", NULL);
				if (operators[which].negate)
					opno = get_negator(opno);
				if (!OidIsValid(array) || !OidIsValid(opno))
					invalid(node, "no such operator for the column's type", NULL);
				appendStringInfoString(out, sql);
				appdb_append_operator(out, opno);
				appendStringInfoString(out, operators[which].negate ? "ALL (" : "ANY (");
				add_param(c, out, node, array, -1);
				appendStringInfoChar(out, ')');
				break;
			}
		case OP_LIKE:
			{
				char		category;
				bool		preferred;
				Oid			opno;

				get_type_category_preferred(column->type, &category, &preferred);
				if (category != TYPCATEGORY_STRING)
					invalid(node, psprintf("\"%s\" is for text, column \"%s\" is %s", operators[which].name,
										   column->name, format_type_be(column->type)), NULL);
				if (node->type != FIND_STRING)
					invalid(node, "string expected", NULL);
				opno = column->type == TEXTOID ? InvalidOid : own_operator(column->type, operators[which].op);
				if (OidIsValid(opno))
				{
					appendStringInfoString(out, sql);
					appdb_append_operator(out, opno);
					add_param(c, out, node, column->type, -1);
					break;
				}
				appendStringInfo(out, "%s%s OPERATOR(pg_catalog.%s) ", sql,
								 column->type == TEXTOID ? "" : "::pg_catalog.text", operators[which].op);
				add_param(c, out, node, TEXTOID, -1);
				break;
			}
		case OP_NULL:
			appendStringInfo(out, "%s IS %sNULL", sql, get_bool(node) != operators[which].negate ? "" : "NOT ");
			break;
		case OP_ARRAY:
			if (!OidIsValid(get_element_type(column->type)))
				invalid(node, psprintf("\"%s\" is for arrays, column \"%s\" is %s", operators[which].name,
									   column->name, format_type_be(column->type)), NULL);
			if (node->type != FIND_ARRAY || node->value < 0)
				invalid(node, "list of values expected", NULL);
			appendStringInfo(out, "%s OPERATOR(pg_catalog.%s) ", sql, operators[which].op);
			add_param(c, out, node, column->type, -1);
			break;
		case OP_JSON:
		case OP_KEY:
		case OP_KEYS:
			if (column->type != JSONBOID)
				invalid(node, psprintf("\"%s\" is for jsonb, column \"%s\" is %s", operators[which].name,
									   column->name, format_type_be(column->type)), NULL);
			if (operators[which].kind == OP_KEY && node->type != FIND_STRING)
				invalid(node, "string expected", NULL);
			if (operators[which].kind == OP_KEYS && (node->type != FIND_ARRAY || node->value < 0))
				invalid(node, "list of strings expected", NULL);
			appendStringInfo(out, "%s OPERATOR(pg_catalog.%s) ", sql, operators[which].op);
			add_param(c, out, node, operators[which].kind == OP_JSON ? JSONBOID :
					  operators[which].kind == OP_KEY ? TEXTOID : TEXTARRAYOID, -1);
			break;
	}
}

/* the conditions on one column: {"gt": 1, "lt": 5} */
static void
compile_column(Compiler *c, FindNode *node, FindColumn *column, const char *sql, StringInfo out)
{
	bool		first = true;

	check_stack_depth();
	if (node->type != FIND_OBJECT)
	{
		/* {"column": value} */
		if (node->type == FIND_ARRAY)
			invalid(node, "list not expected", "One of several values: {\"in\": [...]}.");
		compile_operator(c, node, 0, column, sql, out);
		return;
	}
	check_object(node, "object expected");
	appendStringInfoChar(out, '(');
	find_foreach(child, node)
	{
		int			which = -1;

		if (!first)
			appendStringInfoString(out, " AND ");
		first = false;
		if (strcmp(child->key, "AND") == 0 || strcmp(child->key, "OR") == 0)
		{
			bool		any = strcmp(child->key, "OR") == 0;

			if (child->type != FIND_ARRAY)
				invalid(child, "list of conditions expected", NULL);
			appendStringInfoChar(out, '(');
			find_foreach(item, child)
			{
				if (item->index > 0)
					appendStringInfoString(out, any ? " OR " : " AND ");
				compile_column(c, item, column, sql, out);
			}
			if (child->nchildren == 0)
				appendStringInfoString(out, any ? "false" : "true");
			appendStringInfoChar(out, ')');
			continue;
		}
		if (strcmp(child->key, "NOT") == 0)
		{
			appendStringInfoString(out, "NOT (");
			compile_column(c, child, column, sql, out);
			appendStringInfoChar(out, ')');
			continue;
		}
		for (int i = 0; i < (int) lengthof(operators) && which < 0; i++)
		{
			if (strcmp(child->key, operators[i].name) == 0)
				which = i;
		}
		if (which < 0)
		{
			List	   *known = NIL;

			for (int i = 0; i < (int) lengthof(operators); i++)
				known = lappend(known, unconstify(char *, operators[i].name));
			known = lappend(lappend(lappend(known, "AND"), "OR"), "NOT");
			unknown(child, "operator", child->key, "Operators", known);
		}
		compile_operator(c, child, which, column, sql, out);
	}
	if (first)
		appendStringInfoString(out, "true");
	appendStringInfoChar(out, ')');
}

static char *
column_sql(const char *alias, const char *name)
{
	return psprintf("%s.%s", alias, quote_identifier(name));
}

static Oid
collation(FindEntity *entity, FindColumn *column)
{
	Oid			type;
	int32		typmod;
	Oid			collid;

	get_atttypetypmodcoll(entity->view, get_attnum(entity->view, column->name), &type, &typmod, &collid);
	return collid;
}

/*
 * "p.x = c.y AND ..." for the columns of a foreign key, by the operator of what
 * is referred to.  Where they have different collations: see links.c.
 */
static void
append_equal(StringInfo out, FindEntity *parent, const char *parent_alias, char **parent_columns,
			 FindEntity *child, const char *child_alias, char **child_columns, int n)
{
	for (int i = 0; i < n; i++)
	{
		FindColumn *column = own_column(parent, parent_columns[i]);
		FindColumn *other = own_column(child, child_columns[i]);
		Oid			theirs = collation(parent, column);
		Oid			mine = collation(child, other);

		if (i > 0)
			appendStringInfoString(out, " AND ");
		appendStringInfoString(out, column_sql(parent_alias, parent_columns[i]));
		appdb_append_operator(out, comparison(column->type, BTEqualStrategyNumber));
		appendStringInfoString(out, column_sql(child_alias, child_columns[i]));
		if (theirs != mine && OidIsValid(theirs) && OidIsValid(mine))
			appdb_append_collation(out, appdb_key_collation(theirs, mine));
	}
}

/* The same for rows of "to", or of the join table, that are related to rows of "from". */
static void
append_far(Compiler *c, StringInfo out, FindRelation *rel, const char *far_alias, const char *from_alias)
{
	FindEntity *from = &c->meta->entities[rel->from];
	FindEntity *far = &c->meta->entities[rel->kind == FIND_THROUGH ? rel->through : rel->to];

	if (rel->kind == FIND_ONE)
		append_equal(out, far, far_alias, rel->far_columns, from, from_alias, rel->columns, rel->n);
	else
		append_equal(out, from, from_alias, rel->columns, far, far_alias, rel->far_columns, rel->n);
}

static char *
source_sql(FindEntity *entity)
{
	return psprintf("appdb.%s", quote_identifier(entity->name));
}

/*
 * "appdb.messages b2 WHERE ...": the related rows of a row, for EXISTS and
 * counts.
 */
static void
append_related(Compiler *c, FindRelation *rel, const char *from_alias, const char *alias, StringInfo out)
{
	FindEntity *to = &c->meta->entities[rel->to];

	if (rel->kind == FIND_THROUGH)
	{
		FindEntity *through = &c->meta->entities[rel->through];
		char	   *join = psprintf("j%d", ++c->aliases);

		appendStringInfo(out, "%s %s JOIN %s %s ON ", source_sql(through), join, source_sql(to), alias);
		append_equal(out, to, alias, rel->to_columns, through, join, rel->through_columns, rel->nthrough);
		appendStringInfoString(out, " WHERE ");
		append_far(c, out, rel, join, from_alias);
	}
	else
	{
		appendStringInfo(out, "%s %s WHERE ", source_sql(to), alias);
		append_far(c, out, rel, alias, from_alias);
	}
}

static void
count_node(Compiler *c, FindNode *node)
{
	if (++c->nodes > appdb_find_max_nodes)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query names more than %d relations at %s", appdb_find_max_nodes, appdb_find_path(node)),
				 errhint("The setting appdb.find_max_nodes is the limit.")));
}

static void
check_depth(FindNode *node, int depth)
{
	if (depth > appdb_find_max_depth)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("query is nested more than %d deep at %s", appdb_find_max_depth, appdb_find_path(node)),
				 errhint("The setting appdb.find_max_depth is the limit.")));
}

static void
compile_where(Compiler *c, FindNode *node, FindEntity *entity, const char *alias, int depth, StringInfo out)
{
	bool		first = true;

	check_stack_depth();
	check_object(node, "object with conditions expected");
	appendStringInfoChar(out, '(');
	find_foreach(child, node)
	{
		FindColumn *column;
		FindRelation *rel;

		if (!first)
			appendStringInfoString(out, " AND ");
		first = false;
		if ((column = find_column(c, entity, child->key)) != NULL)
			compile_column(c, child, column, column_sql(alias, column->name), out);
		else if ((rel = find_relation(c, entity, child->key)) != NULL)
		{
			char	   *related = psprintf("b%d", ++c->aliases);

			count_node(c, child);
			check_depth(child, depth + 1);
			if (child->type != FIND_OBJECT && child->type != FIND_TRUE && child->type != FIND_FALSE)
				invalid(child, "true, false or an object with conditions on related rows expected", NULL);
			appendStringInfo(out, "%sEXISTS (SELECT FROM ", child->type == FIND_FALSE ? "NOT " : "");
			append_related(c, rel, alias, related, out);
			if (child->type == FIND_OBJECT)
			{
				appendStringInfoString(out, " AND ");
				compile_where(c, child, &c->meta->entities[rel->to], related, depth + 1, out);
			}
			appendStringInfoChar(out, ')');
		}
		else if (strcmp(child->key, "AND") == 0 || strcmp(child->key, "OR") == 0)
		{
			bool		any = strcmp(child->key, "OR") == 0;

			if (child->type != FIND_ARRAY)
				invalid(child, "list of conditions expected", NULL);
			appendStringInfoChar(out, '(');
			find_foreach(item, child)
			{
				if (item->index > 0)
					appendStringInfoString(out, any ? " OR " : " AND ");
				compile_where(c, item, entity, alias, depth, out);
			}
			if (child->nchildren == 0)
				appendStringInfoString(out, any ? "false" : "true");
			appendStringInfoChar(out, ')');
		}
		else if (strcmp(child->key, "NOT") == 0)
		{
			appendStringInfoString(out, "NOT (");
			compile_where(c, child, entity, alias, depth, out);
			appendStringInfoChar(out, ')');
		}
		else
			unknown(child, "column or relation", child->key,
					psprintf("Columns and relations of \"%s\"", entity->name),
					relation_names(c, entity, column_names(c, entity, NIL)));
	}
	if (first)
		appendStringInfoString(out, "true");
	appendStringInfoChar(out, ')');
}

/* ---- order ---- */

static bool
parse_direction(const char *string, bool *desc, bool *nulls_first)
{
	static const struct
	{
		const char *name;
		bool		desc;
		bool		nulls_first;
	}			directions[] = {
		{"asc", false, false},
		{"desc", true, true},
		{"asc nulls first", false, true},
		{"asc nulls last", false, false},
		{"desc nulls first", true, true},
		{"desc nulls last", true, false},
	};

	for (int i = 0; i < (int) lengthof(directions); i++)
	{
		if (pg_strcasecmp(string, directions[i].name) == 0)
		{
			*desc = directions[i].desc;
			*nulls_first = directions[i].nulls_first;
			return true;
		}
	}
	return false;
}

static void
add_order(FindNode *node, FindColumn *column, const char *alias, bool outer, List **orders)
{
	Order	   *order = palloc0(sizeof(Order));

	order->sql = column_sql(alias, column->name);
	order->column = column;
	order->nullable = outer || !column->notnull;
	/* the rows' own columns have their name inside and outside */
	order->own = !outer;
	order->alias = outer ? psprintf("appdb %d", list_length(*orders) + 1) : column->name;
	(void) get_comparison(node, column, BTLessStrategyNumber);
	if (node->type == FIND_STRING)
	{
		if (!parse_direction(node->string, &order->desc, &order->nulls_first))
			invalid(node, "unknown direction",
					"It is \"asc\" or \"desc\", with \"nulls first\" or \"nulls last\" after it where that matters.");
	}
	else if (node->type == FIND_OBJECT)
	{
		FindNode   *direction = appdb_find_get(node, "direction");
		FindNode   *nulls = appdb_find_get(node, "nulls");

		check_object(node, "direction expected");
		find_foreach(child, node)
		{
			if (child != direction && child != nulls)
				unknown(child, "key", child->key, "Keys", list_make2("direction", "nulls"));
		}
		if (direction != NULL &&
			(direction->type != FIND_STRING ||
			 (pg_strcasecmp(direction->string, "asc") != 0 && pg_strcasecmp(direction->string, "desc") != 0)))
			invalid(direction, "\"asc\" or \"desc\" expected", NULL);
		order->desc = direction != NULL && pg_strcasecmp(direction->string, "desc") == 0;
		order->nulls_first = order->desc;
		if (nulls != NULL)
		{
			if (nulls->type != FIND_STRING ||
				(pg_strcasecmp(nulls->string, "first") != 0 && pg_strcasecmp(nulls->string, "last") != 0))
				invalid(nulls, "\"first\" or \"last\" expected", NULL);
			order->nulls_first = pg_strcasecmp(nulls->string, "first") == 0;
		}
	}
	else
		invalid(node, "direction expected", "It is \"asc\" or \"desc\".");
	*orders = lappend(*orders, order);
}

/* a column or an object of orderBy; joins to-one relations that it goes through */
static void
compile_order(Compiler *c, FindNode *node, FindEntity *entity, const char *alias, bool outer, int depth,
			  List **orders, StringInfo joins)
{
	check_stack_depth();
	if (node->type == FIND_STRING && !outer)
	{
		FindNode	ascending = *node;

		ascending.string = "asc";
		add_order(&ascending, get_column(c, entity, node, node->string), alias, false, orders);
		return;
	}
	check_object(node, "column and direction expected");
	if (node->nchildren > 1 && !appdb_find_ordered)
		invalid(node, "more than one column",
				"The keys of a jsonb object have no order: give a list of objects.");
	find_foreach(child, node)
	{
		FindColumn *column = find_column(c, entity, child->key);
		FindRelation *rel;
		char	   *related;

		if (column != NULL)
		{
			add_order(child, column, alias, outer, orders);
			continue;
		}
		rel = find_relation(c, entity, child->key);
		if (rel == NULL || rel->kind != FIND_ONE)
		{
			List	   *known = column_names(c, entity, NIL);

			if (rel != NULL)
				invalid(child, "rows cannot be ordered by a relation that is not to-one", NULL);
			for (int i = 0; i < entity->nrelations; i++)
			{
				if (entity->relations[i].kind == FIND_ONE)
					known = lappend(known, shown(c, &entity->relations[i]));
			}
			unknown(child, "column or to-one relation", child->key,
					psprintf("Columns and to-one relations of \"%s\"", entity->name), known);
		}
		count_node(c, child);
		check_depth(child, depth + 1);
		related = psprintf("o%d", ++c->aliases);
		appendStringInfo(joins, " LEFT JOIN %s %s ON ", source_sql(&c->meta->entities[rel->to]), related);
		append_far(c, joins, rel, related, alias);
		compile_order(c, child, &c->meta->entities[rel->to], related, true, depth + 1, orders, joins);
	}
}

static void
append_direction(StringInfo out, Order *order, bool reverse)
{
	bool		desc = order->desc != reverse;
	bool		nulls_first = order->nulls_first != reverse;

	if (desc)
		appendStringInfoString(out, " DESC");
	if (order->nullable && nulls_first != desc)
		appendStringInfoString(out, nulls_first ? " NULLS FIRST" : " NULLS LAST");
}

static void
append_orders(StringInfo out, List *orders, const char *outer_alias, bool reverse)
{
	ListCell   *lc;

	foreach(lc, orders)
	{
		Order	   *order = (Order *) lfirst(lc);

		appendStringInfoString(out, foreach_current_index(lc) == 0 ? " ORDER BY " : ", ");
		if (outer_alias != NULL)
			appendStringInfoString(out, column_sql(outer_alias, order->alias));
		else
			appendStringInfoString(out, order->sql);
		append_direction(out, order, reverse);
	}
}

/* ---- cursors ---- */

/* what makes two orders the same, so that a cursor is good for both */
static uint32
order_hash(FindEntity *entity, List *orders)
{
	StringInfoData buf;
	ListCell   *lc;

	initStringInfo(&buf);
	appendStringInfoString(&buf, entity->name);
	foreach(lc, orders)
	{
		Order	   *order = (Order *) lfirst(lc);

		/* aliases differ, columns do not */
		appendStringInfo(&buf, ",%s:%u:%d:%d", strchr(order->sql, '.'), order->column->type,
						 order->desc, order->nullable && order->nulls_first);
	}
	return hash_bytes((unsigned char *) buf.data, buf.len);
}

/*
 * The rows after a cursor in this order, or before it.
 */
static void
compile_cursor(Compiler *c, FindNode *node, FindEntity *entity, List *orders, bool before, StringInfo out)
{
	FindCursor *cursor = node->value >= 0 ? c->query->cursors[node->value] : NULL;
	ListCell   *lc;
	ListCell   *lc2;
	bool		plain = true;
	bool		first_alternative = true;

	if (cursor == NULL)
		invalid(node, "string expected", "A cursor is the \"_cursor\" of a row that was asked for with \"cursor\": true.");
	if (cursor->order != order_hash(entity, orders) || cursor->n != list_length(orders))
		invalid(node, "cursor belongs to another entity or order",
				"Give the same orderBy as in the query that returned it.");

	foreach(lc, orders)
	{
		Order	   *order = (Order *) lfirst(lc);

		/* a row's operators are found by name: for types with others than PostgreSQL's (citext), those of what they are cast to */
		if (order->nullable || cursor->lens[foreach_current_index(lc)] < 0 ||
			order->desc != ((Order *) linitial(orders))->desc ||
			comparison(order->column->type, BTLessStrategyNumber) >= FirstNormalObjectId)
			plain = false;
	}
	if (plain)
	{
		/* an index can begin there */
		bool		desc = ((Order *) linitial(orders))->desc != before;

		appendStringInfoString(out, "(ROW(");
		foreach(lc, orders)
			appendStringInfo(out, "%s%s", foreach_current_index(lc) > 0 ? ", " : "", ((Order *) lfirst(lc))->sql);
		appendStringInfo(out, ") OPERATOR(pg_catalog.%s) ROW(", desc ? "<" : ">");
		foreach(lc, orders)
		{
			if (foreach_current_index(lc) > 0)
				appendStringInfoString(out, ", ");
			add_param(c, out, node, ((Order *) lfirst(lc))->column->type, foreach_current_index(lc));
		}
		appendStringInfoString(out, "))");
		return;
	}

	/* (a > $1) OR (a = $1 AND b < $2) OR ...; a row of nulls IS NULL, and is none */
	appendStringInfoChar(out, '(');
	foreach(lc, orders)
	{
		Order	   *order = (Order *) lfirst(lc);
		int			part = foreach_current_index(lc);
		bool		desc = order->desc != before;
		bool		nulls_first = order->nulls_first != before;

		/* nothing comes after nulls that are last */
		if (cursor->lens[part] < 0 && !nulls_first)
			continue;
		if (!first_alternative)
			appendStringInfoString(out, " OR ");
		first_alternative = false;
		appendStringInfoChar(out, '(');
		foreach(lc2, orders)
		{
			Order	   *previous = (Order *) lfirst(lc2);
			int			previous_part = foreach_current_index(lc2);

			if (previous_part >= part)
				break;
			appendStringInfoString(out, previous->sql);
			if (cursor->lens[previous_part] < 0)
				appendStringInfoString(out, " IS NOT DISTINCT FROM NULL");
			else
			{
				appdb_append_operator(out, comparison(previous->column->type, BTEqualStrategyNumber));
				add_param(c, out, node, previous->column->type, previous_part);
			}
			appendStringInfoString(out, " AND ");
		}
		if (cursor->lens[part] < 0)
			appendStringInfo(out, "%s IS DISTINCT FROM NULL", order->sql);
		else
		{
			appendStringInfo(out, "(%s", order->sql);
			appdb_append_operator(out, comparison(order->column->type, desc ? BTLessStrategyNumber : BTGreaterStrategyNumber));
			add_param(c, out, node, order->column->type, part);
			if (order->nullable && !nulls_first)
				appendStringInfo(out, " OR %s IS NOT DISTINCT FROM NULL", order->sql);
			appendStringInfoChar(out, ')');
		}
		appendStringInfoChar(out, ')');
	}
	if (first_alternative)
		appendStringInfoString(out, "false");
	appendStringInfoChar(out, ')');
}

/* ---- a node ---- */

static const char *const root_keys[] = {
	"columns", "with", "where", "orderBy", "limit", "offset", "count", "cursor", "after", "before",
	"distinct", "extras", "deleted", "case", "numbers", NULL
};
static const char *const many_keys[] = {
	"columns", "with", "where", "orderBy", "limit", "offset", "count", "cursor", "after", "before",
	"distinct", "extras", "deleted", NULL
};
static const char *const through_keys[] = {
	"columns", "with", "where", "orderBy", "limit", "offset", "count", "cursor", "after", "before",
	"distinct", "extras", "deleted", "through", NULL
};
static const char *const one_keys[] = {
	"columns", "with", "where", "count", "extras", "deleted", NULL
};
static const char *const first_keys[] = {
	"columns", "with", "where", "orderBy", "offset", "count", "cursor", "after", "before",
	"extras", "deleted", "case", "numbers", NULL
};
static const char *const join_keys[] = {"columns", "where", NULL};
static const char *const count_keys[] = {"where", NULL};

static void
check_keys(FindNode *node, const char *const *keys)
{
	check_object(node, "true, false or an object expected");
	find_foreach(child, node)
	{
		bool		known = false;
		List	   *list = NIL;

		for (int i = 0; keys[i] != NULL && !known; i++)
			known = strcmp(child->key, keys[i]) == 0;
		if (known)
			continue;
		for (int i = 0; keys[i] != NULL; i++)
			list = lappend(list, unconstify(char *, keys[i]));
		unknown(child, "key", child->key, "Keys here", list);
	}
}

/* "columns": which are wanted, as a set of their places */
static Bitmapset *
chosen_columns(Compiler *c, FindNode *node, FindEntity *entity)
{
	Bitmapset  *chosen = NULL;
	bool		include = false;

	if (node == NULL || node->type == FIND_TRUE)
		return bms_add_range(NULL, 0, entity->ncolumns - 1);
	if (node->type == FIND_ARRAY)
	{
		find_foreach(child, node)
		{
			if (child->type != FIND_STRING)
				invalid(child, "name of a column expected", NULL);
			chosen = bms_add_member(chosen, get_column(c, entity, child, child->string) - entity->columns);
		}
		return chosen;
	}
	check_object(node, "columns expected");
	find_foreach(child, node)
		include |= get_bool(child);
	if (!include && node->nchildren > 0)
		chosen = bms_add_range(NULL, 0, entity->ncolumns - 1);
	find_foreach(child, node)
	{
		int			column = get_column(c, entity, child, child->key) - entity->columns;

		if (include && child->type == FIND_TRUE)
			chosen = bms_add_member(chosen, column);
		else if (!include)
			chosen = bms_del_member(chosen, column);
	}
	return chosen;
}

/* the rows as the outer query sees them */
static char *
level_alias(Level *level)
{
	return psprintf("%c%d", level->two ? 't' : 'b', level->alias);
}

/* a column of theirs */
static char *
level_column(Level *level, const char *name)
{
	FindColumn *column = own_column(level->entity, name);

	level->inner = bms_add_member(level->inner, column - level->entity->columns);
	return column_sql(level_alias(level), name);
}

/* an expression over the base rows as the outer query sees it */
static char *
level_expression(Level *level, const char *sql, const char *alias)
{
	if (!level->two)
		return pstrdup(sql);
	appendStringInfo(&level->extra, "%s%s AS %s", level->extra.len > 0 ? ", " : "", sql, quote_identifier(alias));
	return column_sql(psprintf("t%d", level->alias), alias);
}

/* what is returned of each row: keys, and the expressions of their values */
typedef struct Output
{
	List	   *keys;
	List	   *values;
} Output;

/* a value as it is returned: some readers of JSON know no integers above 2^53, and no decimals */
static const char *
value_sql(Compiler *c, Oid type, const char *sql)
{
	if (c->exact && (type == INT8OID || type == NUMERICOID))
		return psprintf("%s::pg_catalog.text", sql);
	if (c->exact && (type == INT8ARRAYOID || type == NUMERICARRAYOID))
		return psprintf("%s::pg_catalog.text[]", sql);
	return sql;
}

static void
add_output(Output *output, FindNode *node, const char *sql, const char *key)
{
	ListCell   *lc;

	foreach(lc, output->keys)
	{
		if (strcmp((char *) lfirst(lc), key) == 0)
			invalid(node, psprintf("two things named \"%s\"", key), "Leave the column out with \"columns\".");
	}
	output->keys = lappend(output->keys, pstrdup(key));
	output->values = lappend(output->values, pstrdup(sql));
}

/* the same as a JSON object */
static char *
row_sql(Output *output)
{
	StringInfoData sql;
	StringInfoData keys;
	ListCell   *lc;
	ListCell   *lc2;

	initStringInfo(&sql);
	if (output->keys == NIL)
		return pstrdup("'{}'::pg_catalog.json");
	/* more than a function takes */
	if (list_length(output->keys) >= FUNC_MAX_ARGS)
	{
		forboth(lc, output->keys, lc2, output->values)
			appendStringInfo(&sql, "%s%s AS %s", sql.len > 0 ? ", " : "", (char *) lfirst(lc2),
							 quote_identifier((char *) lfirst(lc)));
		return psprintf("(SELECT pg_catalog.row_to_json(x.*) FROM (SELECT %s) x)", sql.data);
	}
	initStringInfo(&keys);
	forboth(lc, output->keys, lc2, output->values)
	{
		appendStringInfoString(&keys, keys.len > 0 ? ",\"" : "{\"");
		for (const char *s = (char *) lfirst(lc); *s != '\0'; s++)
		{
			if (*s == '"' || *s == '\\')
				appendStringInfoChar(&keys, '\\');
			appendStringInfoChar(&keys, *s);
		}
		appendStringInfoChar(&keys, '"');
		appendStringInfo(&sql, ", %s", (char *) lfirst(lc2));
	}
	appendStringInfoChar(&keys, '}');
	return psprintf("appdb._row(%s%s)", quote_literal_cstr(keys.data), sql.data);
}

static int64
get_limit(FindNode *node)
{
	int64		limit;

	if (node->type != FIND_NUMBER || strlen(node->string) > 18 ||
		strspn(node->string, "0123456789") != strlen(node->string))
		invalid(node, "whole number, not negative, expected", NULL);
	limit = strtoll(node->string, NULL, 10);
	if (appdb_find_max_rows > 0 && limit > appdb_find_max_rows)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("more than %d rows at %s", appdb_find_max_rows, appdb_find_path(node)),
				 errhint("The setting appdb.find_max_rows is the limit.")));
	return limit;
}

/* {"messages": true, "members": {"where": ...}}: "_count" */
static void
compile_counts(Compiler *c, FindNode *node, Level *level, int depth, StringInfo out)
{
	Output		counts = {0};

	find_foreach(child, node)
	{
		FindRelation *rel;
		StringInfoData sql;
		char	   *related;

		if (strcmp(child->key, "*") == 0)
			continue;
		rel = get_relation(c, level->entity, child);
		if (child->type == FIND_FALSE)
			continue;
		if (child->type != FIND_TRUE)
			check_keys(child, count_keys);
		count_node(c, child);
		check_depth(child, depth + 1);
		for (int i = 0; i < rel->n; i++)
			(void) level_column(level, rel->columns[i]);
		related = psprintf("b%d", ++c->aliases);
		initStringInfo(&sql);
		appendStringInfoString(&sql, "(SELECT pg_catalog.count(*) FROM ");
		append_related(c, rel, level_alias(level), related, &sql);
		if (appdb_find_get(child, "where") != NULL)
		{
			appendStringInfoString(&sql, " AND ");
			compile_where(c, appdb_find_get(child, "where"), &c->meta->entities[rel->to], related, depth + 1, &sql);
		}
		appendStringInfoChar(&sql, ')');
		add_output(&counts, child, sql.data, shown(c, rel));
	}
	appendStringInfoString(out, row_sql(&counts));
}

static bool
wants_relation_counts(FindNode *count)
{
	if (count == NULL || count->type != FIND_OBJECT)
		return false;
	find_foreach(child, count)
	{
		if (strcmp(child->key, "*") != 0 && child->type != FIND_FALSE)
			return true;
	}
	return false;
}

/* a query for the rows of another as one array; with their number, if "number" */
static void
append_array(StringInfo out, StringInfo rows, const char *count_sql, int alias, bool number)
{
	appendStringInfoString(out, "SELECT ");
	if (count_sql != NULL)
		appendStringInfo(out, "appdb._row('{\"rows\",\"count\"}', appdb._rows(r%d.d), %s)", alias, count_sql);
	else
		appendStringInfo(out, "appdb._rows(r%d.d)", alias);
	appendStringInfo(out, " AS d%s FROM (%s) r%d", number ? ", pg_catalog.count(*)" : "", rows->data, alias);
}

/*
 * The rows of a node: a query that returns each as a JSON object, d.
 * *count_sql becomes a query that counts them all, where that is asked for.
 */
static void
compile_rows(Compiler *c, FindNode *node, FindEntity *entity, Link *link, bool one, int depth,
			 StringInfo out, char **count_sql)
{
	FindNode   *columns = appdb_find_get(node, "columns");
	FindNode   *with = appdb_find_get(node, "with");
	FindNode   *where = appdb_find_get(node, "where");
	FindNode   *order_by = appdb_find_get(node, "orderBy");
	FindNode   *limit = appdb_find_get(node, "limit");
	FindNode   *offset = appdb_find_get(node, "offset");
	FindNode   *count = appdb_find_get(node, "count");
	FindNode   *cursor = appdb_find_get(node, "cursor");
	FindNode   *after = appdb_find_get(node, "after");
	FindNode   *before = appdb_find_get(node, "before");
	FindNode   *distinct = appdb_find_get(node, "distinct");
	FindNode   *extras = appdb_find_get(node, "extras");
	FindNode   *deleted = appdb_find_get(node, "deleted");
	FindNode   *through = appdb_find_get(node, "through");
	bool		has_with = false;
	bool		relation_counts = wants_relation_counts(count);
	bool		has_cursor;
	bool		count_all = false;
	bool		distinct_rows = false;
	List	   *distinct_on = NIL;
	int64		nlimit = -1;
	Level		level = {0};
	char	   *base;
	char	   *join = NULL;
	char	   *source;
	StringInfoData from;
	StringInfoData joins;
	StringInfoData conditions;
	StringInfoData laterals;
	StringInfoData tail;
	Output		output = {0};
	List	   *orders = NIL;
	Bitmapset  *chosen;
	ListCell   *lc;
	int			nrelated = 0;

	check_stack_depth();
	check_depth(node, depth);
	count_node(c, node);
	if (node->type != FIND_TRUE)
		check_keys(node, link == NULL ? (one ? first_keys : root_keys) :
				   link->rel->kind == FIND_ONE ? one_keys :
				   link->rel->kind == FIND_MANY ? many_keys : through_keys);

	/* what is asked for, before anything is made of it */
	if (with != NULL)
	{
		check_object(with, "object with relations expected");
		find_foreach(child, with)
			has_with |= child->type != FIND_FALSE;
	}
	has_cursor = cursor != NULL && get_bool(cursor);
	if (after != NULL && after->type == FIND_NULL)
		after = NULL;
	if (before != NULL && before->type == FIND_NULL)
		before = NULL;
	if (after != NULL && before != NULL)
		invalid(before, "both \"after\" and \"before\"", NULL);
	if (limit != NULL && limit->type != FIND_NULL)
		nlimit = get_limit(limit);
	if (count != NULL)
	{
		if (count->type == FIND_OBJECT)
		{
			FindNode   *all = appdb_find_get(count, "*");

			check_object(count, "object expected");
			count_all = all != NULL && get_bool(all);
		}
		else
			count_all = get_bool(count);
		if (count_all && one)
			invalid(count, "one row is not counted", "\"count\": {\"relation\": true} counts related rows.");
	}
	if (deleted != NULL &&
		(deleted->type != FIND_STRING ||
		 (strcmp(deleted->string, "include") != 0 && strcmp(deleted->string, "only") != 0)))
		invalid(deleted, "\"include\" or \"only\" expected", NULL);
	if (deleted != NULL && !entity->soft_delete)
		invalid(deleted, psprintf("rows of \"%s\" are deleted for good", entity->name), NULL);
	chosen = chosen_columns(c, columns, entity);
	if (distinct != NULL && distinct->type == FIND_ARRAY)
	{
		find_foreach(child, distinct)
		{
			FindColumn *column;

			if (child->type != FIND_STRING)
				invalid(child, "name of a column expected", NULL);
			column = get_column(c, entity, child, child->string);
			(void) get_comparison(child, column, BTLessStrategyNumber);
			distinct_on = list_append_unique_ptr(distinct_on, column);
		}
		if (distinct_on == NIL)
			invalid(distinct, "name of a column expected", NULL);
	}
	else if (distinct != NULL)
		distinct_rows = get_bool(distinct);
	if (distinct_rows || distinct_on != NIL)
	{
		if (has_cursor || after != NULL || before != NULL)
			invalid(distinct, "\"distinct\" and cursors exclude each other", NULL);
		if (count_all)
			invalid(distinct, "\"distinct\" and \"count\" of all rows exclude each other", NULL);
	}
	if (distinct_rows)
	{
		if (has_with || relation_counts || extras != NULL || through != NULL)
			invalid(distinct, "\"distinct\": true is for columns alone",
					"\"distinct\": [\"column\"] takes the first row of each value, with all that belongs to it.");
		if (bms_is_empty(chosen))
			invalid(distinct, "no columns", "Name some in \"columns\".");
		for (int i = -1; (i = bms_next_member(chosen, i)) >= 0;)
			(void) get_comparison(distinct, &entity->columns[i], BTEqualStrategyNumber);
	}

	level.entity = entity;
	level.alias = ++c->aliases;
	/* without an order the first rows will do, as they come */
	level.two = before != NULL || distinct_rows || distinct_on != NIL ||
		((has_with || relation_counts) && (order_by != NULL || has_cursor || after != NULL));
	initStringInfo(&level.extra);
	base = psprintf("b%d", level.alias);

	/* where the rows come from */
	initStringInfo(&from);
	initStringInfo(&joins);
	initStringInfo(&conditions);
	source = deleted == NULL ? source_sql(entity) :
		appdb_qualified_name(entity->table);
	if (link != NULL)
	{
		char	   *parent = level_alias(link->parent);
		FindRelation *rel = link->rel;

		for (int i = 0; i < rel->n; i++)
			(void) level_column(link->parent, rel->columns[i]);
		if (rel->kind == FIND_THROUGH)
		{
			FindEntity *join_entity = &c->meta->entities[rel->through];

			join = psprintf("j%d", level.alias);
			appendStringInfo(&from, "%s %s JOIN %s %s ON ", source_sql(join_entity), join, source, base);
			append_equal(&from, entity, base, rel->to_columns, join_entity, join, rel->through_columns, rel->nthrough);
			append_far(c, &conditions, rel, join, parent);
		}
		else
		{
			appendStringInfo(&from, "%s %s", source, base);
			append_far(c, &conditions, rel, base, parent);
		}
	}
	else
		appendStringInfo(&from, "%s %s", source, base);
	if (deleted != NULL && strcmp(deleted->string, "only") == 0)
		appendStringInfo(&conditions, "%s%s.deleted_at IS NOT NULL", conditions.len > 0 ? " AND " : "", base);
	if (where != NULL)
	{
		if (conditions.len > 0)
			appendStringInfoString(&conditions, " AND ");
		compile_where(c, where, entity, base, depth, &conditions);
	}
	if (through != NULL && through->type != FIND_FALSE)
	{
		FindEntity *join_entity = &c->meta->entities[link->rel->through];

		if (through->type != FIND_TRUE)
			check_keys(through, join_keys);
		if (appdb_find_get(through, "where") != NULL)
		{
			appendStringInfoString(&conditions, " AND ");
			compile_where(c, appdb_find_get(through, "where"), join_entity, join, depth, &conditions);
		}
	}
	if (count_all)
		*count_sql = psprintf("(SELECT pg_catalog.count(*) FROM %s%s%s)", from.data,
							  conditions.len > 0 ? " WHERE " : "", conditions.data);

	/* their order */
	if (order_by != NULL && order_by->type == FIND_ARRAY)
	{
		find_foreach(child, order_by)
			compile_order(c, child, entity, base, false, depth, &orders, &joins);
	}
	else if (order_by != NULL && order_by->type != FIND_NULL)
		compile_order(c, order_by, entity, base, false, depth, &orders, &joins);
	if (has_cursor || after != NULL || before != NULL)
	{
		bool		has_id = false;
		Order	   *last = orders == NIL ? NULL : (Order *) llast(orders);

		/* one that no two rows share */
		foreach(lc, orders)
			has_id |= strcmp(((Order *) lfirst(lc))->sql, column_sql(base, "id")) == 0;
		if (!has_id)
		{
			FindNode	id = *node;

			id.type = FIND_STRING;
			id.string = last != NULL && last->desc ? "desc" : "asc";
			add_order(&id, own_column(entity, "id"), base, false, &orders);
		}
	}
	if (distinct_rows)
	{
		foreach(lc, orders)
		{
			Order	   *order = (Order *) lfirst(lc);

			if (strncmp(order->sql, base, strlen(base)) != 0 ||
				!bms_is_member(order->column - entity->columns, chosen))
				invalid(order_by, "distinct rows can be ordered by chosen columns only", NULL);
		}
	}
	if (after != NULL || before != NULL)
	{
		if (conditions.len > 0)
			appendStringInfoString(&conditions, " AND ");
		compile_cursor(c, after != NULL ? after : before, entity, orders, before != NULL, &conditions);
	}

	/* what is returned of each */
	initStringInfo(&laterals);
	for (int i = -1; (i = bms_next_member(chosen, i)) >= 0;)
		add_output(&output, node, value_sql(c, entity->columns[i].type, level_column(&level, entity->columns[i].name)),
				   shown(c, &entity->columns[i]));
	if (extras != NULL)
	{
		List	   *known = NIL;

		if (extras->type == FIND_OBJECT)
			check_object(extras, "functions expected");
		else if (extras->type != FIND_ARRAY)
			invalid(extras, "list of functions expected", NULL);
		if (deleted != NULL)
			invalid(extras, "functions are for live rows", NULL);
		for (int i = 0; i < entity->nextras; i++)
			known = lappend(known, shown(c, &entity->extras[i]));
		find_foreach(child, extras)
		{
			const char *name = child->key != NULL ? child->key : child->string;
			FindExtra  *extra = NULL;

			if (child->key != NULL ? child->type != FIND_TRUE && child->type != FIND_FALSE : child->type != FIND_STRING)
				invalid(child, child->key != NULL ? "true or false expected" : "name of a function expected", NULL);
			for (int i = 0; i < entity->nextras; i++)
			{
				if (is_name(c, name, entity->extras[i].name, entity->extras[i].camel))
					extra = &entity->extras[i];
			}
			if (extra == NULL)
				unknown(child, "function", name, psprintf("Functions of \"%s\"", entity->name), known);
			if (child->type == FIND_FALSE)
				continue;
			add_output(&output, child,
					   level_expression(&level, value_sql(c, extra->type, psprintf("appdb.%s(%s.*)", quote_identifier(extra->name), base)),
										psprintf("appdb x%d", child->index)),
					   shown(c, extra));
		}
	}
	if (through != NULL && through->type != FIND_FALSE)
	{
		FindEntity *join_entity = &c->meta->entities[link->rel->through];
		Bitmapset  *join_columns = chosen_columns(c, appdb_find_get(through, "columns"), join_entity);
		Output		join_output = {0};

		for (int i = -1; (i = bms_next_member(join_columns, i)) >= 0;)
			add_output(&join_output, through, value_sql(c, join_entity->columns[i].type, column_sql(join, join_entity->columns[i].name)),
					   shown(c, &join_entity->columns[i]));
		add_output(&output, through, level_expression(&level, row_sql(&join_output), "appdb through"), "_through");
	}
	if (relation_counts)
	{
		StringInfoData sql;

		initStringInfo(&sql);
		compile_counts(c, count, &level, depth, &sql);
		add_output(&output, count, sql.data, "_count");
	}
	if (has_with)
	{
		find_foreach(child, with)
		{
			FindRelation *rel = get_relation(c, entity, child);
			Link		child_link = {rel, &level};
			StringInfoData rows;
			char	   *child_count = NULL;
			int			alias;

			if (child->type == FIND_FALSE)
				continue;
			if (child->type != FIND_TRUE && child->type != FIND_OBJECT)
				invalid(child, "true, false or an object expected", NULL);
			initStringInfo(&rows);
			alias = ++c->aliases;
			compile_rows(c, child, &c->meta->entities[rel->to], &child_link, rel->kind == FIND_ONE, depth + 1,
						 &rows, &child_count);
			appendStringInfoString(&laterals, " LEFT JOIN LATERAL (");
			if (rel->kind == FIND_ONE)
				appendStringInfoString(&laterals, rows.data);
			else
				append_array(&laterals, &rows, child_count, alias, false);
			appendStringInfo(&laterals, ") l%d ON true", alias);
			add_output(&output, child, psprintf("l%d.d", alias), shown(c, rel));
		}
	}
	if (has_cursor)
	{
		StringInfoData sql;

		initStringInfo(&sql);
		appendStringInfo(&sql, "appdb._cursor(%u", order_hash(entity, orders));
		foreach(lc, orders)
		{
			Order	   *order = (Order *) lfirst(lc);

			appendStringInfo(&sql, ", %s", level.two ?
							 column_sql(psprintf("t%d", level.alias), order->alias) : order->sql);
		}
		appendStringInfoChar(&sql, ')');
		add_output(&output, cursor, sql.data, "_cursor");
	}

	/* which part of them */
	initStringInfo(&tail);
	if (one)
		appendStringInfoString(&tail, " LIMIT 1");
	else if (nlimit >= 0)
		appendStringInfo(&tail, " LIMIT " INT64_FORMAT, nlimit);
	else if (link == NULL && appdb_find_max_rows > 0)
		appendStringInfo(&tail, " LIMIT %d", appdb_find_max_rows + 1);
	if (offset != NULL && offset->type != FIND_NULL)
	{
		if (offset->type != FIND_NUMBER)
			invalid(offset, "whole number, not negative, expected", NULL);
		if (offset->value >= 0)
		{
			appendStringInfoString(&tail, " OFFSET ");
			add_param(c, &tail, offset, INT8OID, -1);
			c->params[c->nparams - 1].limit = true;
		}
	}

	foreach(lc, orders)
	{
		if (level.two && ((Order *) lfirst(lc))->own)
			level.inner = bms_add_member(level.inner, ((Order *) lfirst(lc))->column - entity->columns);
	}
	/* DISTINCT ON wants a list */
	if (distinct_on != NIL)
		level.inner = bms_add_member(level.inner, (FindColumn *) linitial(distinct_on) - entity->columns);
	appendStringInfo(out, "SELECT %s AS d FROM ", row_sql(&output));

	if (!level.two)
	{
		appendStringInfo(out, "%s%s%s", from.data, joins.data, laterals.data);
		if (conditions.len > 0)
			appendStringInfo(out, " WHERE %s", conditions.data);
		append_orders(out, orders, NULL, false);
		appendStringInfoString(out, tail.data);
		return;
	}

	/* the rows inside, what joins them around */
	appendStringInfoChar(out, '(');
	if (distinct_on != NIL)
		appendStringInfo(out, "SELECT d%d.* FROM (", level.alias);
	appendStringInfoString(out, "SELECT ");
	if (distinct_on != NIL)
	{
		appendStringInfoString(out, "DISTINCT ON (");
		foreach(lc, distinct_on)
			appendStringInfo(out, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
							 column_sql(base, ((FindColumn *) lfirst(lc))->name));
		appendStringInfoString(out, ") ");
	}
	else if (distinct_rows)
		appendStringInfoString(out, "DISTINCT ");
	if (bms_num_members(level.inner) == entity->ncolumns)
		appendStringInfo(out, "%s.*", base);
	else
	{
		for (int i = -1, n = 0; (i = bms_next_member(level.inner, i)) >= 0; n++)
			appendStringInfo(out, "%s%s", n > 0 ? ", " : "", column_sql(base, entity->columns[i].name));
	}
	if (level.extra.len > 0)
		appendStringInfo(out, "%s%s", bms_is_empty(level.inner) ? "" : ", ", level.extra.data);
	foreach(lc, orders)
	{
		Order	   *order = (Order *) lfirst(lc);

		if (!order->own)
			appendStringInfo(out, "%s%s AS %s", bms_is_empty(level.inner) && level.extra.len == 0 && nrelated++ == 0 ? "" : ", ",
							 order->sql, quote_identifier(order->alias));
	}
	appendStringInfo(out, " FROM %s%s", from.data, joins.data);
	if (conditions.len > 0)
		appendStringInfo(out, " WHERE %s", conditions.data);
	if (distinct_on != NIL)
	{
		appendStringInfoString(out, " ORDER BY ");
		foreach(lc, distinct_on)
			appendStringInfo(out, "%s%s", foreach_current_index(lc) > 0 ? ", " : "",
							 column_sql(base, ((FindColumn *) lfirst(lc))->name));
		foreach(lc, orders)
		{
			appendStringInfo(out, ", %s", ((Order *) lfirst(lc))->sql);
			append_direction(out, (Order *) lfirst(lc), false);
		}
		appendStringInfo(out, ") d%d", level.alias);
		append_orders(out, orders, psprintf("d%d", level.alias), false);
	}
	else if (tail.len > 0)
		append_orders(out, orders, NULL, before != NULL);
	appendStringInfo(out, "%s) t%d%s", tail.data, level.alias, laterals.data);
	append_orders(out, orders, psprintf("t%d", level.alias), false);
}

/*
 * Compile a query.
 */
void
appdb_find_compile(FindMeta *meta, FindQuery *query, const char *entity_name, bool one,
				   MemoryContext context, FindStatement *statement)
{
	Compiler	c = {0};
	FindNode   *node = query->root;
	FindNode   *limit;
	FindEntity *entity = NULL;
	StringInfoData rows;
	StringInfoData sql;
	char	   *count_sql = NULL;

	c.meta = meta;
	c.query = query;
	c.context = context;

	if (node->type != FIND_OBJECT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("query must be a JSON object"),
				 errhint("All rows: {}.")));
	c.camel = is_set_to(node, "case", "camel", "camel", "snake");
	c.exact = is_set_to(node, "numbers", "string", "number", "string");

	for (int i = 0; i < meta->nentities && entity == NULL; i++)
	{
		if (is_name(&c, entity_name, meta->entities[i].name, meta->entities[i].camel))
			entity = &meta->entities[i];
	}
	if (entity == NULL)
	{
		List	   *known = NIL;

		for (int i = 0; i < meta->nentities; i++)
			known = lappend(known, shown(&c, &meta->entities[i]));
		unknown(NULL, "entity", entity_name, "Entities", known);
	}

	initStringInfo(&rows);
	compile_rows(&c, node, entity, NULL, one, 1, &rows, &count_sql);
	initStringInfo(&sql);
	if (one)
		appendStringInfo(&sql, "SELECT r.d, 1::pg_catalog.int8 FROM (%s) r", rows.data);
	else
		append_array(&sql, &rows, count_sql, 0, true);

	limit = appdb_find_get(node, "limit");
	statement->sql = sql.data;
	statement->nparams = c.nparams;
	statement->params = c.params;
	statement->limited = !one && (limit == NULL || limit->type == FIND_NULL) && appdb_find_max_rows > 0;
}
