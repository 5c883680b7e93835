/*
 * trash.c
 *		What has been deleted and can be restored: the rows of appdb.trash.
 *
 * Which rows were deleted themselves and not with a parent, and how many went
 * with each, is found as the owner of their table; a row is then shown if the
 * caller may read it.  So the trash is the same for everybody, except for what
 * they may not see.
 */
#include "appdb.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* rows that are fetched at once */
#define CHUNK 1000

PG_FUNCTION_INFO_V1(appdb__trash);
PG_FUNCTION_INFO_V1(appdb__deleted_with);
PG_FUNCTION_INFO_V1(appdb_retention_interval);
PG_FUNCTION_INFO_V1(appdb__check_toplevel);

/*
 * appdb.retention() returns interval
 */
Datum
appdb_retention_interval(PG_FUNCTION_ARGS)
{
	PG_RETURN_DATUM(DirectFunctionCall3(interval_in, CStringGetDatum(appdb_retention),
										ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

/*
 * appdb._check_toplevel(procedure text) returns void
 *		An error in a transaction block, where a procedure cannot commit.
 */
Datum
appdb__check_toplevel(PG_FUNCTION_ARGS)
{
	char	   *procedure = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s cannot run inside a transaction block", procedure),
				 errdetail("It commits after each batch."),
				 errhint("Send CALL %s as a statement by itself.", procedure)));
	PG_RETURN_VOID();
}

static Oid
table_owner(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;

	table_close(rel, NoLock);
	return owner;
}

/* ---- the rows ---- */

/*
 * What finds the rows that were not deleted with a parent, and who deleted
 * them.  What the owner of the table may not read is left out.
 */
static char *
roots_statement(Relation rel, bool notes)
{
	const AppdbLinks *links = appdb_get_links(rel);
	StringInfoData sql;

	initStringInfo(&sql);
	if (notes)
		appendStringInfo(&sql, "SELECT c.id::pg_catalog.uuid, d.role::pg_catalog.name, d.user_id::pg_catalog.uuid, d.purged_at::pg_catalog.timestamptz FROM %s c LEFT JOIN LATERAL "
						 "(SELECT * FROM app_data.deletions d WHERE d.deleted_at OPERATOR(pg_catalog.=) c.deleted_at "
						 "ORDER BY d.entity OPERATOR(pg_catalog.=) %u::pg_catalog.oid::pg_catalog.regclass DESC, d.id LIMIT 1) d ON true",
						 appdb_qualified_name(RelationGetRelid(rel)), RelationGetRelid(rel));
	else
		appendStringInfo(&sql, "SELECT c.id::pg_catalog.uuid, NULL::pg_catalog.name, NULL::pg_catalog.uuid, NULL::pg_catalog.timestamptz FROM %s c",
						 appdb_qualified_name(RelationGetRelid(rel)));
	appendStringInfoString(&sql, " WHERE c.deleted_at IS NOT NULL");
	for (int i = 0; i < links->nparents; i++)
	{
		AppdbLink	link = links->parents[i];

		if (link.mode != APPDB_CASCADE ||
			pg_class_aclcheck(link.parent, rel->rd_rel->relowner, ACL_SELECT) != ACLCHECK_OK)
			continue;
		appendStringInfo(&sql, " AND NOT EXISTS (SELECT FROM %s p WHERE ", appdb_qualified_name(link.parent));
		appdb_append_link(&sql, &link, false);
		appendStringInfo(&sql, " AND p.deleted_at OPERATOR(pg_catalog.=) c.deleted_at%s)",
						 link.parent == link.child ? " AND p.id OPERATOR(pg_catalog.<>) c.id" : "");
	}
	return sql.data;
}

static bool
may_read(Relation rel, const AttrNumber *columns, int ncolumns)
{
	if (pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (int i = 0; i < ncolumns; i++)
	{
		if (pg_attribute_aclcheck(RelationGetRelid(rel), columns[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK)
			return false;
	}
	return true;
}

/*
 * Whoever may read a row may know who has deleted it: themselves, or somebody
 * who shares an organization or a space with them, or did.  By its deleted_at a
 * row can be taken for one of another tenant's operation, by chance, or since it
 * was inserted with that.
 */
static bool
may_know(Datum user)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID};
	Oid			users = get_relname_relid("users", get_namespace_oid(APPDB_DATA_SCHEMA, false));
	bool		result;

	if (!OidIsValid(users) || !appdb_hidden(users, DatumGetUUIDP(user)))
		return true;
	SPI_connect();
	appdb_query_as_owner(&plan, "space_members",
						 "SELECT EXISTS (SELECT FROM app_data.space_members m WHERE m.user_id OPERATOR(pg_catalog.=) $1 AND appdb.is_member(m.space_id)) "
						 "OR EXISTS (SELECT FROM app_data.members m WHERE m.user_id OPERATOR(pg_catalog.=) $1 AND appdb.is_organization_member(m.organization_id))",
						 1, types, &user, NULL, true);
	result = DatumGetBool(appdb_found(0, 1));
	SPI_finish();
	return result;
}

typedef struct Root
{
	pg_uuid_t	id;				/* hash key, must be first */
	int			place;			/* in the result of the query */
} Root;

/* Of the rows at hand, those that the caller may read. */
static void
show_roots(ReturnSetInfo *rsinfo, Relation rel, const AttrNumber *columns, int ncolumns)
{
	uint64		nroots = SPI_processed;
	SPITupleTable *roots = SPI_tuptable;
	Datum	   *ids = palloc(sizeof(Datum) * nroots);
	HASHCTL		ctl = {0};
	HTAB	   *places;
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	TupleTableSlot *slot;
	FmgrInfo	output;
	Oid			typoutput;
	bool		is_varlena;
	bool		restricted = check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED;
	Datum		known = (Datum) 0;	/* the last user that the caller may know of */

	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = sizeof(Root);
	ctl.hcxt = CurrentMemoryContext;
	places = hash_create("appdb trash", CHUNK, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	for (uint64 i = 0; i < nroots; i++)
	{
		Root	   *root;

		ids[i] = appdb_found(i, 1);
		root = hash_search(places, DatumGetUUIDP(ids[i]), HASH_ENTER, NULL);
		root->place = (int) i;
	}

	getTypeOutputInfo(TupleDescAttr(RelationGetDescr(rel), columns[ncolumns - 1] - 1)->atttypid,
					  &typoutput, &is_varlena);
	fmgr_info(typoutput, &output);
	appdb_read_as_caller(rel, columns[0], ids, (int) nroots, columns, ncolumns, ACL_NO_RIGHTS, rows);
	slot = MakeSingleTupleTableSlot(appdb_columns_desc(rel, columns, ncolumns), &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		Datum		values[7];
		bool		nulls[7] = {false};
		Datum		label;
		Root	   *root;
		HeapTuple	note;

		values[0] = ObjectIdGetDatum(RelationGetRelid(rel));
		values[1] = slot_getattr(slot, 1, &nulls[1]);
		values[3] = slot_getattr(slot, 2, &nulls[3]);
		label = slot_getattr(slot, ncolumns == 2 ? 1 : ncolumns, &nulls[2]);
		root = hash_search(places, DatumGetUUIDP(values[1]), HASH_FIND, NULL);
		/* restored meanwhile */
		if (root == NULL || nulls[3])
			continue;
		if (ncolumns == 2)
			values[2] = CStringGetTextDatum(appdb_uuid_text(DatumGetUUIDP(values[1])));
		else if (!nulls[2])
			values[2] = CStringGetTextDatum(OutputFunctionCall(&output, label));
		note = roots->vals[root->place];
		for (int i = 2; i <= 4; i++)
			values[i + 2] = SPI_getbinval(note, roots->tupdesc, i, &nulls[i + 2]);
		if (restricted && !nulls[5] &&
			(known == (Datum) 0 || memcmp(DatumGetUUIDP(known), DatumGetUUIDP(values[5]), UUID_LEN) != 0))
		{
			if (may_know(values[5]))
				known = values[5];
			else
				nulls[4] = nulls[5] = true;
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);
	hash_destroy(places);
}

static void
show_table(ReturnSetInfo *rsinfo, Oid relid, const char *label)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, false);
	Oid			notes = get_relname_relid("deletions", nsp);
	Relation	rel;
	AttrNumber	columns[3];
	int			ncolumns = 2;
	AppdbCaller caller;
	Portal		portal;
	MemoryContext context;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return;
	rel = table_open(relid, AccessShareLock);
	columns[0] = get_attnum(relid, "id");
	columns[1] = get_attnum(relid, "deleted_at");
	if (label != NULL && get_attnum(relid, label) != InvalidAttrNumber)
		columns[ncolumns++] = get_attnum(relid, label);
	/* what a view does, it would do as the caller */
	if ((rel->rd_rel->relkind != RELKIND_RELATION && rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE) ||
		columns[0] == InvalidAttrNumber || get_atttype(relid, columns[0]) != UUIDOID ||
		columns[1] == InvalidAttrNumber || get_atttype(relid, columns[1]) != TIMESTAMPTZOID ||
		!may_read(rel, columns, ncolumns))
	{
		table_close(rel, NoLock);
		return;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "appdb trash", ALLOCSET_DEFAULT_SIZES);
	appdb_begin_as(rel->rd_rel->relowner, &caller);
	portal = SPI_cursor_open_with_args(NULL,
									   roots_statement(rel, OidIsValid(notes) &&
													   pg_class_aclcheck(notes, rel->rd_rel->relowner, ACL_SELECT) == ACLCHECK_OK),
									   0, NULL, NULL, NULL, true, 0);
	appdb_end_as(&caller);
	for (;;)
	{
		MemoryContext oldcontext;

		appdb_begin_as(rel->rd_rel->relowner, &caller);
		SPI_cursor_fetch(portal, true, CHUNK);
		appdb_end_as(&caller);
		if (SPI_processed == 0)
			break;
		oldcontext = MemoryContextSwitchTo(context);
		show_roots(rsinfo, rel, columns, ncolumns);
		MemoryContextSwitchTo(oldcontext);
		MemoryContextReset(context);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	MemoryContextDelete(context);
	table_close(rel, NoLock);
}

/*
 * appdb._trash() returns setof (entity, id, label, deleted_at, role, user_id, purged_at)
 */
Datum
appdb__trash(PG_FUNCTION_ARGS)
{
	uint64		ntables;
	SPITupleTable *tables;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	if (SPI_execute("SELECT m.entity, m.label FROM appdb._managed_tables() m ORDER BY m.view", true, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute failed");
	ntables = SPI_processed;
	tables = SPI_tuptable;
	for (uint64 i = 0; i < ntables; i++)
	{
		bool		isnull;
		Datum		entity = SPI_getbinval(tables->vals[i], tables->tupdesc, 1, &isnull);

		if (!isnull)
			show_table((ReturnSetInfo *) fcinfo->resultinfo, DatumGetObjectId(entity),
					   SPI_getvalue(tables->vals[i], tables->tupdesc, 2));
	}
	SPI_finish();
	return (Datum) 0;
}

/* ---- what went with a row ---- */

/* a row that has been found; rows of two tables can have the same id */
typedef struct SeenRow
{
	Oid			relid;
	pg_uuid_t	id;
} SeenRow;

/* rows of one table whose children are to be looked for */
typedef struct Level
{
	Oid			relid;
	Datum	   *ids;
	int			nids;
} Level;

/*
 * The children of rows that have the given deleted_at, by one foreign key.
 */
static void
find_children(const AppdbLink *link, const Level *level, Datum deleted_at)
{
	Oid			types[] = {UUIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[2];
	StringInfoData sql;
	AppdbCaller caller;
	int			rc;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.id::pg_catalog.uuid FROM %s c, %s p WHERE ", appdb_qualified_name(link->child), appdb_qualified_name(link->parent));
	appdb_append_link(&sql, link, false);
	appendStringInfoString(&sql, " AND p.id OPERATOR(pg_catalog.=) ANY ($1) AND c.deleted_at OPERATOR(pg_catalog.=) $2");
	values[0] = PointerGetDatum(construct_array(level->ids, level->nids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = deleted_at;
	appdb_begin_as(table_owner(link->child), &caller);
	rc = SPI_execute_with_args(sql.data, 2, types, values, NULL, true, 0);
	appdb_end_as(&caller);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
}

/*
 * appdb._deleted_with(entity regclass, id uuid, deleted_at timestamptz) returns bigint
 *		Level by level; a row that several paths lead to counts once.  None
 *		below a row that the caller may not see.
 */
Datum
appdb__deleted_with(PG_FUNCTION_ARGS)
{
	Datum		deleted_at = PG_GETARG_DATUM(2);
	HASHCTL		ctl = {0};
	HTAB	   *seen;
	SeenRow		row;
	Level	   *first = palloc(sizeof(Level));
	List	   *todo;
	int64		count;

	ctl.keysize = ctl.entrysize = sizeof(SeenRow);
	ctl.hcxt = CurrentMemoryContext;
	seen = hash_create("appdb deleted with", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	first->relid = PG_GETARG_OID(0);
	first->ids = palloc(sizeof(Datum));
	first->ids[0] = PG_GETARG_DATUM(1);
	first->nids = 1;
	row.relid = first->relid;
	row.id = *DatumGetUUIDP(first->ids[0]);
	(void) hash_search(seen, &row, HASH_ENTER, NULL);
	todo = list_make1(first);

	SPI_connect();
	while (todo != NIL)
	{
		Level	   *level = linitial(todo);
		Relation	rel = table_open(level->relid, AccessShareLock);
		const AppdbLinks *links = appdb_get_links(rel);
		int			nchildren = links->nchildren;
		AppdbLink  *children = palloc(sizeof(AppdbLink) * (nchildren + 1));

		todo = list_delete_first(todo);
		memcpy(children, links->children, sizeof(AppdbLink) * nchildren);
		table_close(rel, NoLock);
		for (int i = 0; i < nchildren; i++)
		{
			Level	   *next;

			CHECK_FOR_INTERRUPTS();
			if (children[i].mode != APPDB_CASCADE ||
				pg_class_aclcheck(children[i].parent, table_owner(children[i].child), ACL_SELECT) != ACLCHECK_OK)
				continue;
			find_children(&children[i], level, deleted_at);
			if (SPI_processed == 0)
				continue;
			next = palloc(sizeof(Level));
			next->relid = children[i].child;
			next->ids = palloc_extended(sizeof(Datum) * SPI_processed, MCXT_ALLOC_HUGE);
			next->nids = 0;
			for (uint64 j = 0; j < SPI_processed; j++)
			{
				bool		found;
				Datum		id = appdb_found(j, 1);

				row.relid = next->relid;
				row.id = *DatumGetUUIDP(id);
				(void) hash_search(seen, &row, HASH_ENTER, &found);
				if (!found)
					next->ids[next->nids++] = id;
			}
			if (next->nids > 0)
				todo = lappend(todo, next);
		}
	}
	count = hash_get_num_entries(seen) - 1;
	SPI_finish();
	hash_destroy(seen);
	if (count > 0 && !appdb_shown_to_caller(PG_GETARG_OID(0), PG_GETARG_DATUM(1), ACL_NO_RIGHTS))
		count = 0;
	PG_RETURN_INT64(count);
}
