/*
 * restore.c
 *		appdb.restore(): brings deleted rows back, with exactly what was deleted
 *		with them.
 *
 * The row's deleted_at says which operation deleted it; deletion.c brings back
 * the children that have the same, level by level, while the restore is under
 * way.  A row comes back only under live parents (guard.c).  A child that has
 * another parent, deleted meanwhile, stays deleted and passes to that parent's
 * operation, with what went with it, as if that had come first.  One whose
 * other parent was deleted by the same operation waits for that: if it comes
 * back, so does the child, from there.  What still waits in the end may be in a
 * circle of rows that are each other's parents: those come back together.
 *
 * Nobody can purge in between: who purges marks the operation in
 * app_data.deletions first, and we lock that note.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/qunique.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

typedef struct AppdbRestoreCount
{
	Oid			relid;
	uint64		nrows;
} AppdbRestoreCount;

PG_FUNCTION_INFO_V1(appdb_restore);
PG_FUNCTION_INFO_V1(appdb_restore_many);
PG_FUNCTION_INFO_V1(appdb_restore_text);

void
appdb_restore_count(AppdbRestore *restore, Oid relid, uint64 nrows)
{
	ListCell   *lc;
	AppdbRestoreCount *count;
	MemoryContext oldcontext;

	foreach(lc, restore->counts)
	{
		count = lfirst(lc);
		if (count->relid == relid)
		{
			count->nrows += nrows;
			return;
		}
	}
	oldcontext = MemoryContextSwitchTo(restore->context);
	count = palloc(sizeof(AppdbRestoreCount));
	count->relid = relid;
	count->nrows = nrows;
	restore->counts = lappend(restore->counts, count);
	MemoryContextSwitchTo(oldcontext);
}

/* ---- rows that wait for their parents ---- */

typedef struct WaitingRow
{
	Oid			relid;
	pg_uuid_t	id;
} WaitingRow;

static HTAB *
make_waiting(void)
{
	HASHCTL		ctl = {0};

	ctl.keysize = ctl.entrysize = sizeof(WaitingRow);
	ctl.hcxt = CurrentMemoryContext;
	return hash_create("appdb restore", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
appdb_restore_waits(AppdbRestore *restore, Oid relid, const pg_uuid_t *id)
{
	WaitingRow	row = {relid, *id};

	if (restore->waiting != NULL)
		(void) hash_search(restore->waiting, &row, HASH_ENTER, NULL);
}

void
appdb_restore_came(AppdbRestore *restore, Oid relid, const pg_uuid_t *id)
{
	WaitingRow	row = {relid, *id};

	if (restore->waiting != NULL && hash_get_num_entries(restore->waiting) > 0)
		(void) hash_search(restore->waiting, &row, HASH_REMOVE, NULL);
}

/*
 * The base table that an entity names: itself, or that of its live view.
 * Whoever may delete rows there may bring them back.
 */
static Oid
find_entity(Oid relid)
{
	Relation	rel;
	Oid			base = relid;
	Oid			view;
	AclResult	aclresult;

	rel = try_relation_open(relid, AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (rel->rd_rel->relkind == RELKIND_VIEW &&
		get_rel_namespace(relid) == get_namespace_oid(APPDB_SCHEMA, true))
		base = appdb_base_table(rel);
	relation_close(rel, NoLock);

	view = appdb_live_view(base);
	if (!OidIsValid(view) || get_attnum(base, "deleted_at") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no deleted rows to restore", get_rel_name(relid)),
				 errdetail("It is not a managed table with column \"deleted_at\", nor the live view of one."),
				 errhint("appdb.managed lists the tables.")));
	aclresult = pg_class_aclcheck(view, GetUserId(), ACL_DELETE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_VIEW, get_rel_name(view));
	appdb_check_view_owner(view, base);
	return base;
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(DatumGetUUIDP(*(const Datum *) a), DatumGetUUIDP(*(const Datum *) b), UUID_LEN);
}

/* Is this one of the rows that were asked for? */
bool
appdb_restore_asked(const AppdbRestore *restore, Oid relid, const pg_uuid_t *id)
{
	Datum		key = UUIDPGetDatum(id);

	return relid == restore->root_relid &&
		bsearch(&key, restore->roots, restore->nroots, sizeof(Datum), compare_ids) != NULL;
}

static void
select_rows(const char *sql, Oid type, Datum value)
{
	int			rc = SPI_execute_with_args(sql, 1, &type, &value, NULL, false, 0);

	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
}

static Datum
result_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

static Datum
uuid_array(Datum *ids, int nids)
{
	return PointerGetDatum(construct_array(ids, nids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static void
complain_missing(Oid relid, Datum id)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("table \"%s\" has no row %s", appdb_table_name(relid), appdb_uuid_text(DatumGetUUIDP(id))),
			 errdetail("It never existed, it has been purged, or it is not yours to delete.")));
}

/*
 * Row security is the caller's, although the owner does the work: who may not
 * delete a row does not bring it back.
 */
static void
check_row_security(Relation rel, Datum *ids, int nids)
{
	Oid			relid = RelationGetRelid(rel);
	AttrNumber	id = get_attnum(relid, "id");
	Tuplestorestate *rows;
	TupleTableSlot *slot;
	Datum	   *found;
	int			nfound = 0;

	if (nids == 0 || check_enable_rls(relid, InvalidOid, true) != RLS_ENABLED)
		return;
	if (id == InvalidAttrNumber || get_atttype(relid, id) != UUIDOID)
		complain_missing(relid, ids[0]);
	rows = tuplestore_begin_heap(false, false, work_mem);
	appdb_read_as_caller(rel, id, ids, nids, &id, 1, ACL_DELETE, rows);

	found = palloc(sizeof(Datum) * nids);
	slot = MakeSingleTupleTableSlot(appdb_columns_desc(rel, &id, 1), &TTSOpsMinimalTuple);
	while (nfound < nids && tuplestore_gettupleslot(rows, true, false, slot))
	{
		bool		isnull;

		found[nfound++] = datumCopy(slot_getattr(slot, 1, &isnull), false, UUID_LEN);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows);

	qsort(found, nfound, sizeof(Datum), compare_ids);
	for (int i = 0; i < nids; i++)
	{
		if (bsearch(&ids[i], found, nfound, sizeof(Datum), compare_ids) == NULL)
			complain_missing(relid, ids[i]);
	}
}

/*
 * Lock the parents of deleted rows.  Of each row only the columns of foreign
 * keys are read: all of them can be more than there is memory for.
 */
static void
lock_parents(Relation rel, Datum *ids, int nids)
{
	const AppdbLinks *links = appdb_get_links(rel);
	TupleDesc	desc = RelationGetDescr(rel);
	Datum	   *values = palloc0(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	Bitmapset  *columns = NULL;
	StringInfoData sql;
	SPITupleTable *rows;

	for (int i = 0; i < links->nparents; i++)
	{
		for (int j = 0; j < links->parents[i].ncolumns; j++)
			columns = bms_add_member(columns, links->parents[i].child_columns[j]);
	}
	if (columns == NULL)
		return;

	initStringInfo(&sql);
	for (int column = -1; (column = bms_next_member(columns, column)) >= 0;)
		appendStringInfo(&sql, "%s c.%s", sql.len == 0 ? "SELECT" : ",",
						 quote_identifier(NameStr(TupleDescAttr(desc, column - 1)->attname)));
	appendStringInfo(&sql, " FROM %s c WHERE c.id OPERATOR(pg_catalog.=) ANY ($1) AND c.deleted_at IS NOT NULL ORDER BY c.id",
					 appdb_qualified_name(RelationGetRelid(rel)));
	select_rows(sql.data, UUIDARRAYOID, uuid_array(ids, nids));
	rows = SPI_tuptable;
	memset(nulls, true, sizeof(bool) * desc->natts);
	for (uint64 i = 0; i < rows->numvals; i++)
	{
		int			n = 0;
		HeapTuple	tup;

		CHECK_FOR_INTERRUPTS();
		for (int column = -1; (column = bms_next_member(columns, column)) >= 0;)
			values[column - 1] = SPI_getbinval(rows->vals[i], rows->tupdesc, ++n, &nulls[column - 1]);
		tup = heap_form_tuple(desc, values, nulls);
		appdb_guard_lock_parents(rel, tup);
		heap_freetuple(tup);
	}
	SPI_freetuptable(rows);
}

/*
 * Lock the rows, always in the same order, and their parents before, so that
 * two restores do not deadlock.  They must be there, and deleted.
 */
static void
lock_rows(Relation rel, Datum *ids, int nids)
{
	Oid			relid = RelationGetRelid(rel);

	lock_parents(rel, ids, nids);

	select_rows(psprintf("SELECT id::pg_catalog.uuid, deleted_at FROM %s WHERE id OPERATOR(pg_catalog.=) ANY ($1) "
						 "ORDER BY id FOR UPDATE", appdb_qualified_name(relid)),
				UUIDARRAYOID, uuid_array(ids, nids));
	for (int i = 0; i < nids; i++)
	{
		bool		isnull = true;
		Datum		found = (Datum) 0;

		if ((uint64) i < SPI_processed)
			found = result_value(i, 1, &isnull);
		if (isnull || compare_ids(&found, &ids[i]) != 0)
			complain_missing(relid, ids[i]);
		(void) result_value(i, 2, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("row %s of table \"%s\" is not deleted",
							appdb_uuid_text(DatumGetUUIDP(ids[i])), appdb_table_name(relid)),
					 errhint("appdb.trash lists what can be restored.")));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Is the row under a legal hold, and stays so until we are done?  (Who purges
 * takes the same lock.)
 */
static bool
is_held(Oid relid, Datum id)
{
	Oid			types[] = {REGCLASSOID, UUIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid), id};
	Oid			holds = get_relname_relid("legal_holds", get_namespace_oid(APPDB_DATA_SCHEMA, false));
	bool		isnull;
	int			rc;

	if (!OidIsValid(holds) || get_rel_relkind(holds) != RELKIND_RELATION)
		return false;
	LockRelationOid(holds, ShareLock);
	rc = SPI_execute_with_args("SELECT appdb._held($1, $2)", 2, types, values, NULL, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	return DatumGetBool(result_value(0, 1, &isnull));
}

/*
 * Keep who purges away from the operation, or find that it has begun to.  A
 * row under a legal hold is there with all that went with it, though.
 */
static void
lock_operation(Oid relid, Datum id, TimestampTz stamp)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, false);
	Oid			notes = get_relname_relid("deletions", nsp);
	Relation	rel;
	AppdbCaller caller;
	bool		purged = false;
	bool		isnull;

	/* tables of an older version may not have it */
	if (!OidIsValid(notes) || get_rel_relkind(notes) != RELKIND_RELATION)
		return;
	rel = table_open(notes, RowShareLock);
	appdb_begin_as(rel->rd_rel->relowner, &caller);
	select_rows("SELECT purged_at FROM app_data.deletions "
				"WHERE deleted_at OPERATOR(pg_catalog.=) $1 ORDER BY id FOR SHARE",
				TIMESTAMPTZOID, TimestampTzGetDatum(stamp));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		(void) result_value(i, 1, &isnull);
		purged = purged || !isnull;
	}
	appdb_end_as(&caller);
	table_close(rel, NoLock);

	if (purged && !is_held(relid, id))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row %s of table \"%s\" cannot be restored any more",
						appdb_uuid_text(DatumGetUUIDP(id)), appdb_table_name(relid)),
				 errdetail("It was deleted at %s, and what was deleted then is being purged.",
						   timestamptz_to_str(stamp))));
}

/*
 * Bring rows of one table back, and what went with them as far as it can.
 */
static void
bring_back(AppdbRestore *restore, Oid relid, Datum *ids, int nids)
{
	Oid			types[] = {UUIDARRAYOID, TIMESTAMPTZOID};
	Datum		values[] = {uuid_array(ids, nids), TimestampTzGetDatum(restore->stamp)};
	char	   *sql = psprintf("UPDATE %s SET deleted_at = NULL WHERE id OPERATOR(pg_catalog.=) ANY ($1) "
							   "AND deleted_at OPERATOR(pg_catalog.=) $2", appdb_qualified_name(relid));
	int			rc;

	restore->root_relid = restore->about = relid;
	restore->roots = ids;
	restore->nroots = nids;
	rc = SPI_execute_with_args(sql, 2, types, values, NULL, false, 0);
	if (rc != SPI_OK_UPDATE)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
}

/*
 * Bring back what waits in circles.
 */
static void
bring_back_circles(AppdbRestore *restore)
{
	Oid			argtypes[] = {REGCLASSARRAYOID, UUIDARRAYOID, TIMESTAMPTZOID};
	int			n = (int) hash_get_num_entries(restore->waiting);
	Datum	   *tables = palloc(sizeof(Datum) * n);
	Datum	   *ids = palloc(sizeof(Datum) * n);
	Datum		values[3];
	HASH_SEQ_STATUS status;
	WaitingRow *row;
	SPITupleTable *circles;
	int			rc;

	/* an engine of an older version does not have it */
	if (!OidIsValid(appdb_find_engine_function("_restore_circles", lengthof(argtypes), argtypes)))
		return;
	n = 0;
	hash_seq_init(&status, restore->waiting);
	while ((row = hash_seq_search(&status)) != NULL)
	{
		tables[n] = ObjectIdGetDatum(row->relid);
		ids[n++] = UUIDPGetDatum(&row->id);
	}
	values[0] = PointerGetDatum(construct_array(tables, n, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
	values[1] = uuid_array(ids, n);
	values[2] = TimestampTzGetDatum(restore->stamp);
	rc = SPI_execute_with_args("SELECT c.entity, c.ids FROM appdb._restore_circles($1, $2, $3) c",
							   lengthof(argtypes), argtypes, values, NULL, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));

	circles = SPI_tuptable;
	restore->circular = true;
	for (uint64 i = 0; i < circles->numvals; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(circles->vals[i], circles->tupdesc, 1, &isnull));
		Relation	rel = table_open(relid, RowExclusiveLock);
		AppdbCaller caller;

		deconstruct_array(DatumGetArrayTypeP(SPI_getbinval(circles->vals[i], circles->tupdesc, 2, &isnull)),
						  UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, NULL, &n);
		qsort(ids, n, sizeof(Datum), compare_ids);
		appdb_begin_as(rel->rd_rel->relowner, &caller);
		bring_back(restore, relid, ids, n);
		appdb_end_as(&caller);
		table_close(rel, NoLock);
	}
	restore->circular = false;
}

/*
 * Bring rows of one operation back, and what went with them.
 */
static void
restore_group(AppdbRestore *restore, Oid relid, Datum *ids, int nids, TimestampTz stamp)
{
	MemoryContext context = CurrentMemoryContext;

	/* what one operation takes goes before the next: there can be one a row */
	SPI_connect();
	lock_operation(relid, ids[0], stamp);
	restore->stamp = stamp;
	restore->relid = InvalidOid;
	restore->waiting = make_waiting();
	appdb_restore_begin(restore);
	PG_TRY();
	{
		bring_back(restore, relid, ids, nids);
		appdb_restore_pass_on(restore);
		if (hash_get_num_entries(restore->waiting) > 0)
		{
			bring_back_circles(restore);
			hash_destroy(restore->waiting);
			restore->waiting = NULL;
			/* whose parents have not come back: the guard says which */
			bring_back(restore, relid, ids, nids);
			appdb_restore_pass_on(restore);
		}
	}
	PG_CATCH();
	{
		ErrorData  *error;

		appdb_restore_end(restore);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if ((error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION || error->sqlerrcode == ERRCODE_EXCLUSION_VIOLATION) &&
			OidIsValid(restore->relid))
		{
			/* the row at hand is the last that came back */
			FlushErrorState();
			error->message = psprintf("cannot restore row %s of table \"%s\": its %s", appdb_uuid_text(&restore->id),
									  appdb_table_name(restore->relid),
									  error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION ? "unique value is taken" :
									  "place is taken");
			error->hint = pstrdup("Change or delete the live row that has the value now, then restore again.");
			ReThrowError(error);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	appdb_restore_end(restore);
	restore->waiting = NULL;
	SPI_finish();
}

/*
 * What finds those of the given rows that are deleted, and whether a parent
 * stands in the way (and not one that they would forget).  What the owner may
 * not read is left to the guard.
 */
static char *
candidates_statement(Relation rel)
{
	const AppdbLinks *links = appdb_get_links(rel);
	const char *separator = "";
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT c.id::pg_catalog.uuid, c.deleted_at::pg_catalog.timestamptz, ");
	for (int i = 0; i < links->nparents; i++)
	{
		AppdbLink	link = links->parents[i];

		if (link.mode == APPDB_SET_NULL ||
			pg_class_aclcheck(link.parent, rel->rd_rel->relowner, ACL_SELECT) != ACLCHECK_OK)
			continue;
		appendStringInfo(&sql, "%sEXISTS (SELECT FROM %s p WHERE p.id OPERATOR(pg_catalog.=) c.%s "
						 "AND p.deleted_at IS NOT NULL)", separator, appdb_qualified_name(link.parent),
						 quote_identifier(get_attname(link.child, link.child_columns[link.key], false)));
		separator = " OR ";
	}
	if (*separator == '\0')
		appendStringInfoString(&sql, "false");
	appendStringInfo(&sql, " FROM %s c WHERE c.id OPERATOR(pg_catalog.=) ANY ($1) AND c.deleted_at IS NOT NULL "
					 "ORDER BY c.deleted_at DESC, c.id",
					 appdb_qualified_name(RelationGetRelid(rel)));
	return sql.data;
}

/*
 * Restore rows that are locked, parents before children, those of one
 * operation together.
 */
static void
restore_in_order(AppdbRestore *restore, Relation rel, Datum *ids, int nids)
{
	char	   *sql = candidates_statement(rel);
	uint64		remaining = UINT64_MAX;

	for (;;)
	{
		int			n = 0;
		int			nfree = 0;
		Datum	   *found;
		TimestampTz *stamps;
		bool	   *blocked;
		Datum	   *group;

		select_rows(sql, UUIDARRAYOID, uuid_array(ids, nids));
		if (SPI_processed == 0)
			break;
		if (SPI_processed >= remaining)
		{
			bool		isnull;

			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
					 errmsg("row %s of table \"%s\" was not restored",
							appdb_uuid_text(DatumGetUUIDP(result_value(0, 1, &isnull))),
							appdb_table_name(RelationGetRelid(rel))),
					 errdetail("A trigger of the table has left it as it was.")));
		}
		remaining = SPI_processed;
		found = palloc(sizeof(Datum) * SPI_processed);
		stamps = palloc(sizeof(TimestampTz) * SPI_processed);
		blocked = palloc(sizeof(bool) * SPI_processed);
		group = palloc(sizeof(Datum) * SPI_processed);
		for (n = 0; (uint64) n < SPI_processed; n++)
		{
			bool		isnull;

			found[n] = datumCopy(result_value(n, 1, &isnull), false, UUID_LEN);
			stamps[n] = DatumGetTimestampTz(result_value(n, 2, &isnull));
			blocked[n] = DatumGetBool(result_value(n, 3, &isnull));
			nfree += !blocked[n];
		}
		SPI_freetuptable(SPI_tuptable);
		/* those that are each other's parents, or the guard says what is in the way */
		for (int i = 0; nfree == 0 && i < n && stamps[i] == stamps[0]; i++)
			blocked[i] = false;

		for (int i = 0; i < n;)
		{
			TimestampTz stamp = stamps[i];
			int			ngroup = 0;

			CHECK_FOR_INTERRUPTS();
			for (; i < n && stamps[i] == stamp; i++)
			{
				if (!blocked[i])
					group[ngroup++] = found[i];
			}
			if (ngroup > 0)
				restore_group(restore, RelationGetRelid(rel), group, ngroup, stamp);
		}
	}
}

/* Tables by name. */
static int
compare_counts(const ListCell *a, const ListCell *b)
{
	return strcmp(appdb_qualified_name(((AppdbRestoreCount *) lfirst(a))->relid),
				  appdb_qualified_name(((AppdbRestoreCount *) lfirst(b))->relid));
}

/*
 * Restore rows as the owner of their table, and return the counts.
 */
static void
restore_rows(FunctionCallInfo fcinfo, Oid entity, Datum *ids, int nids)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = find_entity(entity);
	Relation	rel = table_open(relid, RowExclusiveLock);
	AppdbRestore restore = {0};
	AppdbCaller caller;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	restore.context = CurrentMemoryContext;

	qsort(ids, nids, sizeof(Datum), compare_ids);
	nids = qunique(ids, nids, sizeof(Datum), compare_ids);

	SPI_connect();
	check_row_security(rel, ids, nids);
	PreventCommandIfReadOnly("appdb.restore()");

	appdb_begin_as(rel->rd_rel->relowner, &caller);

	lock_rows(rel, ids, nids);
	restore_in_order(&restore, rel, ids, nids);

	appdb_end_as(&caller);
	SPI_finish();
	table_close(rel, NoLock);

	list_sort(restore.counts, compare_counts);
	foreach(lc, restore.counts)
	{
		AppdbRestoreCount *count = lfirst(lc);
		Datum		values[2] = {ObjectIdGetDatum(count->relid), Int64GetDatum((int64) count->nrows)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * appdb.restore(entity regclass, id uuid) returns table (entity regclass, rows bigint)
 */
Datum
appdb_restore(PG_FUNCTION_ARGS)
{
	Datum		id = PG_GETARG_DATUM(1);

	restore_rows(fcinfo, PG_GETARG_OID(0), &id, 1);
	return (Datum) 0;
}

static void
restore_array(FunctionCallInfo fcinfo, ArrayType *array)
{
	Datum	   *ids;
	bool	   *nulls;
	int			nids;

	deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, &nulls, &nids);
	for (int i = 0; i < nids; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("ids of rows to restore must not be null")));
	}
	restore_rows(fcinfo, PG_GETARG_OID(0), ids, nids);
}

/*
 * appdb.restore(entity regclass, ids uuid[]) returns table (entity regclass, rows bigint)
 */
Datum
appdb_restore_many(PG_FUNCTION_ARGS)
{
	restore_array(fcinfo, PG_GETARG_ARRAYTYPE_P(1));
	return (Datum) 0;
}

/*
 * appdb.restore(entity regclass, id text) returns table (entity regclass, rows bigint)
 *		What a literal or an untyped parameter comes to, since it could be
 *		either of the above.
 */
Datum
appdb_restore_text(PG_FUNCTION_ARGS)
{
	char	   *string = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (*string == '{')
		restore_array(fcinfo, DatumGetArrayTypeP(OidFunctionCall3(F_ARRAY_IN,
																 CStringGetDatum(string),
																 ObjectIdGetDatum(UUIDOID),
																 Int32GetDatum(-1))));
	else
	{
		Datum		id = DirectFunctionCall1(uuid_in, CStringGetDatum(string));

		restore_rows(fcinfo, PG_GETARG_OID(0), &id, 1);
	}
	return (Datum) 0;
}
