/*
 * find.c
 *		appdb.find(): a tree of rows by one call and one SQL statement.
 *
 * Each backend keeps the shapes of queries that it has seen, each with its
 * prepared statement and generic plan.  A plan belongs to no role: what a
 * caller may do is checked when it is executed, and the plan cache makes it
 * anew for another role where row security is in it, as it does after DDL.
 * What the plan cache cannot know, that a shape means something else now, shows
 * in the metadata (find_meta.c): then all shapes go.
 *
 * The least recently used shapes go where they take more memory than
 * appdb.find_cache_size.
 */
#include "find.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/prepare.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "lib/ilist.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

int			appdb_find_cache_size = 16384;

PG_FUNCTION_INFO_V1(appdb_find);
PG_FUNCTION_INFO_V1(appdb_find_text);
PG_FUNCTION_INFO_V1(appdb_find_jsonb);
PG_FUNCTION_INFO_V1(appdb_find_one);
PG_FUNCTION_INFO_V1(appdb_find_one_text);
PG_FUNCTION_INFO_V1(appdb_find_one_jsonb);
PG_FUNCTION_INFO_V1(appdb_explain_find);
PG_FUNCTION_INFO_V1(appdb_find_stats);
PG_FUNCTION_INFO_V1(appdb__cursor);

/* ---- the cache ---- */

typedef struct Shape
{
	dlist_node	lru;			/* most recently used first */
	MemoryContext context;
	uint64		hash;
	char	   *key;
	int			keylen;
	FindStatement statement;
	SPIPlanPtr	plan;
	Size		memory;
	int			in_use;
	bool		dropped;		/* to be freed when it is not in use any more */
} Shape;

typedef struct ShapeEntry
{
	uint64		hash;			/* hash key, must be first */
	Shape	   *shape;
} ShapeEntry;

static HTAB *shapes = NULL;
static dlist_head lru = DLIST_STATIC_INIT(lru);
static int64 nshapes = 0;
static Size memory_used = 0;
static int64 hits = 0;
static int64 misses = 0;
static int64 evictions = 0;
static int64 invalidations = 0;

static void
free_shape(Shape *shape)
{
	if (shape->plan != NULL)
		SPI_freeplan(shape->plan);
	MemoryContextDelete(shape->context);
}

static void
drop_shape(Shape *shape)
{
	hash_search(shapes, &shape->hash, HASH_REMOVE, NULL);
	dlist_delete(&shape->lru);
	nshapes--;
	memory_used -= shape->memory;
	shape->dropped = true;
	if (shape->in_use == 0)
		free_shape(shape);
}

static void
drop_all_shapes(void)
{
	while (!dlist_is_empty(&lru))
	{
		drop_shape(dlist_head_element(Shape, lru, &lru));
		invalidations++;
	}
}

/* What a shape holds: its plan is made and replaced by the plan cache. */
static void
measure(Shape *shape)
{
	Size		size = MemoryContextMemAllocated(shape->context, true);
	ListCell   *lc;

	foreach(lc, SPI_plan_get_plan_sources(shape->plan))
	{
		CachedPlanSource *source = (CachedPlanSource *) lfirst(lc);

		size += MemoryContextMemAllocated(source->context, true);
		if (source->gplan != NULL)
			size += MemoryContextMemAllocated(source->gplan->context, true);
	}
	memory_used += size - shape->memory;
	shape->memory = size;
}

/*
 * Let go of the query tree, which is half of what a shape holds: nothing but a
 * new plan needs it.  A plan that has gone invalid while its query has not
 * would be made from it; so what makes the one invalid makes the other invalid
 * too, and the statement is then analyzed anew.
 */
static void
slim(CachedPlanSource *source)
{
	CachedPlan *plan = source->gplan;
	MemoryContext context;
	MemoryContext oldcontext;
	MemoryContext tree = source->query_context;
	List	   *relations;
	List	   *items;
	void	   *path;
	ListCell   *lc;

	if (!source->is_valid || source->query_list == NIL || plan == NULL || !plan->is_valid)
		return;
	/* plans that go invalid by themselves: with a transaction, for another role */
	if (TransactionIdIsValid(plan->saved_xmin) || (plan->dependsOnRole && !source->dependsOnRLS))
		return;

	context = AllocSetContextCreate(CurrentMemoryContext, "appdb find dependencies", ALLOCSET_SMALL_SIZES);
	oldcontext = MemoryContextSwitchTo(context);
	relations = list_copy(source->relationOids);
	items = copyObject(source->invalItems);
	foreach(lc, plan->stmt_list)
	{
		PlannedStmt *statement = lfirst_node(PlannedStmt, lc);

		relations = list_concat_unique_oid(relations, statement->relationOids);
		items = list_concat(items, copyObject(statement->invalItems));
	}
	path = compat_copy_search_path(source->search_path);
	MemoryContextSwitchTo(oldcontext);

	/* nothing fails from here on */
	MemoryContextSetParent(context, source->context);
	source->query_context = context;
	source->query_list = NIL;
	source->relationOids = relations;
	source->invalItems = items;
	source->search_path = path;
	MemoryContextDelete(tree);
}

/* Room for what is new, at the cost of what has not been used for longest. */
static void
evict(Shape *keep)
{
	while (memory_used > (Size) appdb_find_cache_size * 1024 && !dlist_is_empty(&lru))
	{
		Shape	   *last = dlist_tail_element(Shape, lru, &lru);

		if (last == keep)
			break;
		drop_shape(last);
		evictions++;
	}
}

static Shape *
look_up(FindQuery *query, uint64 hash)
{
	ShapeEntry *entry;

	if (shapes == NULL)
		return NULL;
	entry = hash_search(shapes, &hash, HASH_FIND, NULL);
	if (entry == NULL || entry->shape->keylen != query->key.len ||
		memcmp(entry->shape->key, query->key.data, query->key.len) != 0)
		return NULL;
	return entry->shape;
}

static pg_noinline Shape *
make_shape(FindMeta *meta, FindQuery *query, uint64 hash, const char *entity, bool one)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "appdb find shape",
												  ALLOCSET_SMALL_SIZES);
	Shape	   *shape = MemoryContextAllocZero(context, sizeof(Shape));
	ShapeEntry *entry;
	Oid		   *types;

	shape->context = context;
	shape->hash = hash;
	shape->keylen = query->key.len;
	shape->key = MemoryContextAlloc(context, query->key.len);
	memcpy(shape->key, query->key.data, query->key.len);
	appdb_find_compile(meta, query, entity, one, context, &shape->statement);

	if (shapes == NULL)
		shapes = appdb_create_cache("appdb find shapes", sizeof(uint64), sizeof(ShapeEntry));

	types = palloc((shape->statement.nparams + 1) * sizeof(Oid));
	for (int i = 0; i < shape->statement.nparams; i++)
		types[i] = shape->statement.params[i].type;
	SPI_connect();
	shape->plan = SPI_prepare_cursor(shape->statement.sql, shape->statement.nparams, types,
									 CURSOR_OPT_GENERIC_PLAN);
	if (shape->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", shape->statement.sql, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(shape->plan) != 0)
		elog(ERROR, "SPI_keepplan failed");
	shape->statement.sql = NULL;
	SPI_finish();

	/* from here on nothing fails */
	MemoryContextSetParent(context, TopMemoryContext);
	if ((entry = hash_search(shapes, &hash, HASH_FIND, NULL)) != NULL)
		drop_shape(entry->shape);
	entry = hash_search(shapes, &hash, HASH_ENTER, NULL);
	entry->shape = shape;
	dlist_push_head(&lru, &shape->lru);
	nshapes++;
	measure(shape);
	evict(shape);
	return shape;
}

/* ---- values ---- */

static const char *
expected(FindParam *param)
{
	Oid			type = OidIsValid(param->elemtype) ? param->elemtype : param->type;

	return format_type_be(type);
}

static Datum
scalar_value(FindParam *param, FindNode *node)
{
	char	   *string = NULL;

	switch (node->type)
	{
		case FIND_STRING:
			string = unconstify(char *, node->string);
			break;
		case FIND_NUMBER:
			if (param->category == TYPCATEGORY_NUMERIC)
				string = unconstify(char *, node->string);
			break;
		case FIND_TRUE:
			if (param->category == TYPCATEGORY_BOOLEAN)
				string = "true";
			break;
		case FIND_FALSE:
			if (param->category == TYPCATEGORY_BOOLEAN)
				string = "false";
			break;
		default:
			break;
	}
	if (param->category == 'j')
		string = pnstrdup(node->start, node->len);
	if (string == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("value of type %s expected", expected(param))));
	return InputFunctionCall(&param->in, string, param->ioparam, -1);
}

static Datum
make_value(FindQuery *query, FindParam *param, FindNode *node, char *null, FindNode *volatile *at)
{
	Datum		result;

	*null = ' ';
	if (param->part >= 0)
	{
		FindCursor *cursor = query->cursors[param->value];
		StringInfoData buf;

		/* a copy that ends with a zero, which some functions want */
		initStringInfo(&buf);
		appendBinaryStringInfo(&buf, cursor->bytes[param->part], cursor->lens[param->part]);
		result = ReceiveFunctionCall(&param->in, &buf, param->ioparam, -1);
		if (buf.cursor != buf.len)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
					 errmsg("not a cursor")));
		return result;
	}
	if (OidIsValid(param->elemtype))
	{
		Datum	   *elems = palloc((node->nchildren + 1) * sizeof(Datum));
		int			n = 0;

		find_foreach(child, node)
		{
			*at = child;
			elems[n++] = scalar_value(param, child);
		}
		return PointerGetDatum(construct_array(elems, n, param->elemtype, param->typlen,
											   param->typbyval, param->typalign));
	}
	result = scalar_value(param, node);
	if (param->limit && DatumGetInt64(result) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("whole number, not negative, expected")));
	return result;
}

/*
 * The values as the types' own input functions read them; what those refuse
 * is reported with its place in the query.
 */
static void
bind_values(FindQuery *query, FindStatement *statement, Datum *values, char *nulls)
{
	FindNode   *volatile node = NULL;
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		for (int i = 0; i < statement->nparams; i++)
		{
			FindParam  *param = &statement->params[i];

			node = query->values[param->value];
			values[i] = make_value(query, param, node, &nulls[i], &node);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		/* some types take what they cannot read for an error of the server's: cursors come from clients */
		if (node != NULL && node->value >= 0 && query->cursors[node->value] != NULL &&
			error->sqlerrcode == ERRCODE_INTERNAL_ERROR)
			error->sqlerrcode = ERRCODE_INVALID_BINARY_REPRESENTATION;
		/* what is wrong with a value, and not with the server */
		if (node == NULL || error->elevel != ERROR ||
			(ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			 ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION))
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(error->sqlerrcode),
				 errmsg("%s at %s", error->message, appdb_find_path(node)),
				 error->detail != NULL ? errdetail("%s", error->detail) : 0,
				 error->hint != NULL ? errhint("%s", error->hint) : 0));
	}
	PG_END_TRY();
}

/* ---- a call ---- */

static Shape *
get_shape(FindQuery *query, uint64 hash, const char *entity, bool one)
{
	bool		changed;
	FindMeta   *meta = appdb_find_meta(false, &changed);
	Shape	   *shape;

	if (changed)
		drop_all_shapes();
	shape = look_up(query, hash);
	if (shape != NULL)
	{
		hits++;
		dlist_move_head(&lru, &shape->lru);
		return shape;
	}
	misses++;
	return make_shape(meta, query, hash, entity, one);
}

/*
 * Has the entity been made a moment ago, by what the caches do not tell?
 */
static void
check_entity(const char *entity)
{
	bool		changed;
	FindMeta   *meta = appdb_find_meta(false, &changed);

	if (changed)
		drop_all_shapes();
	for (int i = 0; i < meta->nentities; i++)
	{
		if (strcmp(meta->entities[i].name, entity) == 0 || strcmp(meta->entities[i].camel, entity) == 0)
			return;
	}
	(void) appdb_find_meta(true, &changed);
	if (changed)
		drop_all_shapes();
}

/* Execute a shape with the values of a query; false for null. */
static bool
execute(Shape *shape, FindQuery *query, const char *entity, MemoryContext context, Datum *result)
{
	Datum	   *values = palloc((shape->statement.nparams + 1) * sizeof(Datum));
	char	   *nulls = palloc(shape->statement.nparams + 1);
	bool		found = false;
	int			ret;
	CachedPlanSource *source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(shape->plan));

	/* no tree to plan again from: see slim() */
	if (source->query_list == NIL &&
		(source->gplan == NULL || !source->gplan->is_valid || plan_cache_mode == PLAN_CACHE_MODE_FORCE_CUSTOM_PLAN))
		source->is_valid = false;

	bind_values(query, &shape->statement, values, nulls);
	SPI_connect();
	ret = SPI_execute_plan(shape->plan, values, nulls, true, 0);
	if (ret != SPI_OK_SELECT)
		elog(ERROR, "appdb.find() failed: %s", SPI_result_code_string(ret));
	if (SPI_processed > 0)
	{
		bool		isnull;
		Datum		datum;

		if (shape->statement.limited)
		{
			datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
			if (DatumGetInt64(datum) > appdb_find_max_rows)
				ereport(ERROR,
						(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						 errmsg("more than %d rows of \"%s\"", appdb_find_max_rows, entity),
						 errhint("Give a \"limit\"; the setting appdb.find_max_rows is the greatest.")));
		}
		datum = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
		if (!isnull)
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(context);

			*result = PointerGetDatum(PG_DETOAST_DATUM_COPY(datum));
			MemoryContextSwitchTo(oldcontext);
			found = true;
		}
	}
	SPI_finish();
	return found;
}

static void
release_shape(Shape *shape)
{
	shape->in_use--;
	if (shape->dropped && shape->in_use == 0)
		free_shape(shape);
}

/* The same, while the shape cannot go: functions of a row may come here. */
static bool
execute_in_use(Shape *shape, FindQuery *query, const char *entity, Datum *result)
{
	volatile bool found = false;

	shape->in_use++;
	PG_TRY();
	{
		found = execute(shape, query, entity, CurrentMemoryContext, result);
	}
	PG_CATCH();
	{
		release_shape(shape);
		PG_RE_THROW();
	}
	PG_END_TRY();
	release_shape(shape);
	return found;
}

static bool
find(const char *entity, const char *json, int len, bool one, Datum *result)
{
	FindQuery	query;
	Shape	   *shape;
	bool		found;
	uint64		hash;

	appdb_find_shape(&query, entity, one, appdb_find_parse(json, len));
	hash = hash_bytes_extended((unsigned char *) query.key.data, query.key.len, 0);
	if (look_up(&query, hash) == NULL)
		check_entity(entity);
	shape = get_shape(&query, hash, entity, one);
	found = execute_in_use(shape, &query, entity, result);

	/* it may be gone */
	if (look_up(&query, hash) == shape)
	{
		CachedPlanSource *source = (CachedPlanSource *) linitial(SPI_plan_get_plan_sources(shape->plan));

		/* the plan is made by the first execution, and again after changes */
		if (source->generation != shape->statement.generation)
		{
			shape->statement.generation = source->generation;
			slim(source);
			measure(shape);
			evict(shape);
		}
	}
	return found;
}

static char *
entity_arg(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("entity must not be null")));
	return text_to_cstring(PG_GETARG_TEXT_PP(0));
}

static Datum
find_json(FunctionCallInfo fcinfo, bool one)
{
	char	   *entity = entity_arg(fcinfo);
	Datum		result = (Datum) 0;
	bool		found;

	appdb_find_ordered = true;
	if (PG_ARGISNULL(1))
		found = find(entity, "{}", 2, one, &result);
	else
	{
		text	   *query = PG_GETARG_TEXT_PP(1);

		found = find(entity, VARDATA_ANY(query), VARSIZE_ANY_EXHDR(query), one, &result);
	}
	if (!found)
		PG_RETURN_NULL();
	return result;
}

static Datum
find_text(FunctionCallInfo fcinfo, bool one)
{
	if (!PG_ARGISNULL(1))
	{
		char	   *query = text_to_cstring(PG_GETARG_TEXT_PP(1));

		if (strcmp(query, "[object Object]") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
					 errmsg("query is a JavaScript object that was turned into text"),
					 errhint("Give JSON.stringify(query), or a parameter of type json: query => $1, $1::json.")));
		/* it says what is wrong with it */
		(void) DirectFunctionCall1(json_in, CStringGetDatum(query));
	}
	return find_json(fcinfo, one);
}

static Datum
find_jsonb(FunctionCallInfo fcinfo, bool one)
{
	char	   *entity = entity_arg(fcinfo);
	char	   *query = "{}";
	Datum		result = (Datum) 0;
	bool		found;

	if (!PG_ARGISNULL(1))
	{
		Jsonb	   *jsonb = PG_GETARG_JSONB_P(1);

		query = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	appdb_find_ordered = false;
	found = find(entity, query, strlen(query), one, &result);
	if (!found)
		PG_RETURN_NULL();
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(result)));
}

Datum
appdb_find(PG_FUNCTION_ARGS)
{
	return find_json(fcinfo, false);
}

Datum
appdb_find_one(PG_FUNCTION_ARGS)
{
	return find_json(fcinfo, true);
}

Datum
appdb_find_text(PG_FUNCTION_ARGS)
{
	return find_text(fcinfo, false);
}

Datum
appdb_find_one_text(PG_FUNCTION_ARGS)
{
	return find_text(fcinfo, true);
}

Datum
appdb_find_jsonb(PG_FUNCTION_ARGS)
{
	return find_jsonb(fcinfo, false);
}

Datum
appdb_find_one_jsonb(PG_FUNCTION_ARGS)
{
	return find_jsonb(fcinfo, true);
}

/* ---- what it does ---- */

/* A value as a literal of its type. */
static char *
literal(FindParam *param, Datum value)
{
	Oid			out;
	bool		varlena;

	getTypeOutputInfo(param->type, &out, &varlena);
	return psprintf("%s::%s", quote_literal_cstr(OidOutputFunctionCall(out, value)),
					format_type_extended(param->type, -1, FORMAT_TYPE_FORCE_QUALIFY));
}

/*
 * appdb.explain_find(entity text, query json, analyze bool) returns setof text
 *		The statement, its parameters and its generic plan, as find() has them.
 */
Datum
appdb_explain_find(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *entity = entity_arg(fcinfo);
	bool		analyze = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	text	   *json = PG_ARGISNULL(1) ? cstring_to_text("{}") : PG_GETARG_TEXT_PP(1);
	FindQuery	query;
	FindStatement *statement;
	Datum	   *values;
	char	   *nulls;
	StringInfoData prepare;
	StringInfoData explain;
	int			save_nestlevel;
	MemoryContext context = CurrentMemoryContext;
	bool		changed;
	FindMeta   *meta;
	Datum		row[1];
	bool		null[1] = {false};

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	appdb_find_ordered = true;
	appdb_find_shape(&query, entity, false, appdb_find_parse(VARDATA_ANY(json), VARSIZE_ANY_EXHDR(json)));
	check_entity(entity);
	meta = appdb_find_meta(false, &changed);
	if (changed)
		drop_all_shapes();
	statement = palloc0(sizeof(FindStatement));
	appdb_find_compile(meta, &query, entity, false, context, statement);
	values = palloc((statement->nparams + 1) * sizeof(Datum));
	nulls = palloc(statement->nparams + 1);
	bind_values(&query, statement, values, nulls);

	initStringInfo(&prepare);
	initStringInfo(&explain);
	appendStringInfoString(&prepare, "PREPARE appdb_explain_find");
	appendStringInfo(&explain, "EXPLAIN (%s) EXECUTE appdb_explain_find", analyze ? "ANALYZE, BUFFERS" : "COSTS");
	for (int i = 0; i < statement->nparams; i++)
	{
		appendStringInfo(&prepare, "%s%s", i == 0 ? " (" : ", ",
						 format_type_extended(statement->params[i].type, -1, FORMAT_TYPE_FORCE_QUALIFY));
		appendStringInfo(&explain, "%s%s", i == 0 ? " (" : ", ", literal(&statement->params[i], values[i]));
	}
	appendStringInfo(&prepare, "%s AS %s", statement->nparams > 0 ? ")" : "", statement->sql);
	if (statement->nparams > 0)
		appendStringInfoChar(&explain, ')');

	/* as it is executed */
	save_nestlevel = NewGUCNestLevel();
	(void) set_config_option("plan_cache_mode", "force_generic_plan", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	/* one that failed has left it */
	DropPreparedStatement("appdb_explain_find", false);
	if (SPI_execute(prepare.data, false, 0) < 0)
		elog(ERROR, "could not prepare the statement");

	row[0] = CStringGetTextDatum(statement->sql);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, null);
	for (int i = 0; i < statement->nparams; i++)
	{
		row[0] = CStringGetTextDatum(psprintf("$%d = %s", i + 1, literal(&statement->params[i], values[i])));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, null);
	}
	if (SPI_execute(explain.data, false, 0) < 0)
		elog(ERROR, "could not explain the statement");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		row[0] = CStringGetTextDatum(SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row, null);
	}
	if (SPI_execute("DEALLOCATE appdb_explain_find", false, 0) < 0)
		elog(ERROR, "could not deallocate the statement");
	SPI_finish();
	AtEOXact_GUC(true, save_nestlevel);
	return (Datum) 0;
}

/*
 * appdb.find_stats() returns record
 */
Datum
appdb_find_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {0};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(nshapes);
	values[1] = Int64GetDatum((int64) memory_used);
	values[2] = Int64GetDatum((int64) appdb_find_cache_size * 1024);
	values[3] = Int64GetDatum(hits);
	values[4] = Int64GetDatum(misses);
	values[5] = Int64GetDatum(evictions);
	values[6] = Int64GetDatum(invalidations);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/* ---- cursors ---- */

typedef struct CursorState
{
	int			n;
	FmgrInfo   *send;
} CursorState;

/*
 * appdb._cursor(ordering bigint, VARIADIC values "any") returns text
 *		The values that a row is ordered by, in their binary form, as a string
 *		that fits into URLs.
 */
Datum
appdb__cursor(PG_FUNCTION_ARGS)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	CursorState *state = (CursorState *) fcinfo->flinfo->fn_extra;
	StringInfoData buf;
	StringInfoData out;
	uint32		bits = 0;
	int			nbits = 0;
	uint32		n32;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("appdb._cursor() takes values one by one")));
	if (state == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		state = palloc0(sizeof(CursorState));
		state->n = PG_NARGS();
		state->send = palloc0(state->n * sizeof(FmgrInfo));
		for (int i = 1; i < state->n; i++)
		{
			Oid			type = get_fn_expr_argtype(fcinfo->flinfo, i);
			Oid			send;
			bool		varlena;

			if (!OidIsValid(type))
				elog(ERROR, "could not determine the type of argument %d", i + 1);
			getTypeBinaryOutputInfo(type, &send, &varlena);
			fmgr_info_cxt(send, &state->send[i], fcinfo->flinfo->fn_mcxt);
		}
		MemoryContextSwitchTo(oldcontext);
		fcinfo->flinfo->fn_extra = state;
	}

	initStringInfo(&buf);
	n32 = pg_hton32(PG_ARGISNULL(0) ? 0 : (uint32) PG_GETARG_INT64(0));
	appendBinaryStringInfo(&buf, (char *) &n32, 4);
	for (int i = 1; i < PG_NARGS(); i++)
	{
		bytea	   *bytes;

		if (PG_ARGISNULL(i))
		{
			n32 = PG_UINT32_MAX;
			appendBinaryStringInfo(&buf, (char *) &n32, 4);
			continue;
		}
		bytes = SendFunctionCall(&state->send[i], PG_GETARG_DATUM(i));
		n32 = pg_hton32((uint32) (VARSIZE(bytes) - VARHDRSZ));
		appendBinaryStringInfo(&buf, (char *) &n32, 4);
		appendBinaryStringInfo(&buf, VARDATA(bytes), VARSIZE(bytes) - VARHDRSZ);
	}

	initStringInfo(&out);
	for (int i = 0; i < buf.len; i++)
	{
		bits = (bits << 8) | (unsigned char) buf.data[i];
		nbits += 8;
		while (nbits >= 6)
		{
			nbits -= 6;
			appendStringInfoChar(&out, digits[(bits >> nbits) & 63]);
		}
		bits &= 0xFF;
	}
	if (nbits > 0)
		appendStringInfoChar(&out, digits[(bits << (6 - nbits)) & 63]);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
