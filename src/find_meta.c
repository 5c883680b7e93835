/*
 * find_meta.c
 *		What can be asked of appdb.find(): entities, their columns, relations
 *		and functions, kept per backend.
 *
 * It is read again when a table or view in it changes, or a function does
 * (appdb.manage() makes some for every relation).  Many such changes, a VACUUM
 * for one, leave it as it was: then its fingerprint is the same and the cached
 * shapes stay.
 */
#include "find.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

static FindMeta *current = NULL;
static bool stale = true;
static uint64 changes = 0;

static void
table_changed(Datum arg, Oid relid)
{
	if (OidIsValid(relid) && current != NULL)
	{
		bool		known = false;

		for (int i = 0; i < current->nentities && !known; i++)
			known = current->entities[i].view == relid || current->entities[i].table == relid;
		if (!known)
			return;
	}
	stale = true;
	changes++;
}

/* a function or a schema */
static void
object_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	stale = true;
	changes++;
}

/* created_at: createdAt */
static char *
camel_case(const char *name)
{
	char	   *result = pstrdup(name);
	char	   *to = result;

	for (const char *from = name; *from != '\0'; from++)
	{
		if (from[0] == '_' && to != result && from[1] >= 'a' && from[1] <= 'z')
			*to++ = *++from - 'a' + 'A';
		else if (from[0] == '_' && to != result && from[1] >= '0' && from[1] <= '9')
			*to++ = *++from;
		else
			*to++ = *from;
	}
	*to = '\0';
	return result;
}

/* A row's column as a string, noted for the fingerprint. */
static char *
field(StringInfo all, uint64 row, int column)
{
	char	   *value = SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);

	if (value == NULL)
		appendStringInfoChar(all, '\0');
	else
		appendBinaryStringInfo(all, value, strlen(value) + 1);
	return value;
}

static Oid
oid_field(StringInfo all, uint64 row, int column)
{
	char	   *value = field(all, row, column);

	return value == NULL ? InvalidOid : (Oid) strtoul(value, NULL, 10);
}

static int
names_field(StringInfo all, MemoryContext context, uint64 row, int column, char ***names)
{
	bool		isnull;
	Datum		datum = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	Datum	   *elems;
	int			n;

	*names = NULL;
	if (isnull)
		return 0;
	deconstruct_array(DatumGetArrayTypeP(datum), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &elems, NULL, &n);
	*names = MemoryContextAlloc(context, n * sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		(*names)[i] = MemoryContextStrdup(context, NameStr(*DatumGetName(elems[i])));
		appendBinaryStringInfo(all, (*names)[i], strlen((*names)[i]) + 1);
	}
	appendStringInfoChar(all, '\1');
	return n;
}

static void
read_rows(const char *sql)
{
	/* with a snapshot of its own: what has just been made counts */
	if (SPI_execute(sql, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read what is managed");
}

/* They are in the order of their names. */
static int
entity_by_name(FindMeta *meta, const char *name)
{
	int			low = 0;
	int			high = name == NULL ? 0 : meta->nentities;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(meta->entities[middle].name, name);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/* How many rows have, from this one on, the same value of a column. */
static uint64
rows_alike(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);
	uint64		n = 1;

	while (row + n < SPI_processed &&
		   SPI_getbinval(SPI_tuptable->vals[row + n], SPI_tuptable->tupdesc, column, &isnull) == value)
		n++;
	return n;
}

static FindMeta *
load(void)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "appdb find metadata",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext oldcontext;
	FindMeta   *meta = MemoryContextAllocZero(context, sizeof(FindMeta));
	FindEntity *entity = NULL;
	StringInfoData all;
	uint64		nrows;

	meta->context = context;
	SPI_connect();
	initStringInfo(&all);

	/* entities and their columns, in order */
	read_rows("SELECT c.view, c.view_oid, c.table_oid, c.soft_delete, c.name, c.type, c.not_null FROM appdb._find_columns() c");
	nrows = SPI_processed;
	meta->entities = MemoryContextAllocZero(context, (nrows + 1) * sizeof(FindEntity));
	for (uint64 row = 0; row < nrows; row++)
	{
		char	   *name = field(&all, row, 1);
		FindColumn *column;

		oldcontext = MemoryContextSwitchTo(context);
		if (entity == NULL || strcmp(entity->name, name) != 0)
		{
			entity = &meta->entities[meta->nentities++];
			entity->name = pstrdup(name);
			entity->camel = camel_case(name);
			entity->columns = palloc0(rows_alike(row, 2) * sizeof(FindColumn));
		}
		MemoryContextSwitchTo(oldcontext);
		entity->view = oid_field(&all, row, 2);
		entity->table = oid_field(&all, row, 3);
		/* statements name it */
		if (entity->ncolumns == 0)
			appendStringInfo(&all, "%s.%s", get_namespace_name(get_rel_namespace(entity->table)),
							 get_rel_name(entity->table));
		entity->soft_delete = field(&all, row, 4)[0] == 't';
		column = &entity->columns[entity->ncolumns++];
		name = field(&all, row, 5);
		column->type = getBaseType(oid_field(&all, row, 6));
		column->notnull = field(&all, row, 7)[0] == 't';
		oldcontext = MemoryContextSwitchTo(context);
		column->name = pstrdup(name);
		column->camel = camel_case(name);
		MemoryContextSwitchTo(oldcontext);
	}
	read_rows("SELECT r.\"from\", r.name, r.kind, r.\"to\", r.through, r.columns, r.to_columns, r.through_columns, r.through_to_columns "
			  "FROM appdb._relations() r");
	nrows = SPI_processed;
	for (uint64 row = 0; row < nrows; row++)
	{
		char	   *from_name = field(&all, row, 1);
		char	   *name = field(&all, row, 2);
		char	   *kind = field(&all, row, 3);
		char	   *to_name = field(&all, row, 4);
		char	   *through_name = field(&all, row, 5);
		int			from = entity_by_name(meta, from_name);
		int			to = entity_by_name(meta, to_name);
		int			through = entity_by_name(meta, through_name);
		FindRelation rel = {0};
		char	  **to_columns;

		if (from < 0 || to < 0 || (through_name != NULL && through < 0))
			continue;
		rel.kind = strcmp(kind, "one") == 0 ? FIND_ONE : through_name == NULL ? FIND_MANY : FIND_THROUGH;
		rel.from = from;
		rel.to = to;
		rel.through = through;
		rel.n = names_field(&all, context, row, 6, &rel.columns);
		(void) names_field(&all, context, row, 7, &to_columns);
		if (rel.kind == FIND_THROUGH)
		{
			rel.to_columns = to_columns;
			(void) names_field(&all, context, row, 8, &rel.far_columns);
			rel.nthrough = names_field(&all, context, row, 9, &rel.through_columns);
		}
		else
			rel.far_columns = to_columns;

		entity = &meta->entities[from];
		oldcontext = MemoryContextSwitchTo(context);
		rel.name = pstrdup(name);
		rel.camel = camel_case(name);
		if (entity->relations == NULL)
			entity->relations = palloc(sizeof(FindRelation));
		else
			entity->relations = repalloc(entity->relations, (entity->nrelations + 1) * sizeof(FindRelation));
		entity->relations[entity->nrelations++] = rel;
		MemoryContextSwitchTo(oldcontext);
	}

	read_rows("SELECT e.view, e.name, e.type FROM appdb._find_extras() e");
	nrows = SPI_processed;
	for (uint64 row = 0; row < nrows; row++)
	{
		char	   *view = field(&all, row, 1);
		char	   *name = field(&all, row, 2);
		Oid			type = getBaseType(oid_field(&all, row, 3));
		int			of = entity_by_name(meta, view);

		if (of < 0)
			continue;
		entity = &meta->entities[of];
		oldcontext = MemoryContextSwitchTo(context);
		if (entity->extras == NULL)
			entity->extras = palloc(sizeof(FindExtra));
		else
			entity->extras = repalloc(entity->extras, (entity->nextras + 1) * sizeof(FindExtra));
		entity->extras[entity->nextras].name = pstrdup(name);
		entity->extras[entity->nextras].type = type;
		entity->extras[entity->nextras++].camel = camel_case(name);
		MemoryContextSwitchTo(oldcontext);
	}

	meta->fingerprint = hash_bytes_extended((unsigned char *) all.data, all.len, 0);
	SPI_finish();
	return meta;
}

/*
 * What can be asked; *changed if that is not what it was at the last call.
 * The result stays until the next call.
 */
FindMeta *
appdb_find_meta(bool reload, bool *changed)
{
	static bool registered = false;

	*changed = false;
	if (!registered)
	{
		appdb_register_relcache_callback(table_changed);
		CacheRegisterSyscacheCallback(PROCOID, object_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, object_changed, (Datum) 0);
		registered = true;
	}
	/* what others have committed */
	AcceptInvalidationMessages();

	for (int tries = 0; (stale || reload || current == NULL) && tries < 3; tries++)
	{
		uint64		before = changes;
		FindMeta   *meta = load();

		reload = false;
		stale = (changes != before);
		if (current != NULL && current->fingerprint == meta->fingerprint)
			MemoryContextDelete(meta->context);
		else
		{
			if (current != NULL)
				MemoryContextDelete(current->context);
			current = meta;
			MemoryContextSetParent(meta->context, TopMemoryContext);
			*changed = true;
		}
	}
	return current;
}
