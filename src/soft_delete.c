/*
 * soft_delete.c
 *		DELETE on a live view, row by row: its INSTEAD OF trigger.
 *
 * This is the path that always works.  Where the library is loaded before a
 * statement is parsed, rewrite.c has turned the DELETE into an UPDATE, and
 * this trigger is not asked.
 *
 * The row is found by its primary key, locked in its last version as a DELETE
 * would lock it, and marked deleted unless somebody has done so meanwhile: of
 * two transactions that delete the same row exactly one reports it.  The
 * update goes through the executor's routines for a single tuple, so that
 * constraints, indexes and the table's row triggers have their due; for the
 * privileges, that to DELETE from the view is what counts, and the executor
 * has checked it.
 *
 * What a real DELETE does and a trigger cannot: judge WHERE again for a row
 * that another transaction has changed meanwhile.  Such a row is deleted if it
 * is still live (under REPEATABLE READ and above it is a serialization
 * failure, as it would be).
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(appdb_soft_delete);

/* what a statement's rows have in common; lives as long as the statement */
typedef struct SoftDelete
{
	Oid			relid;			/* the base table */
	AttrNumber	view_id;		/* "id" in the view */
	AttrNumber	id;				/* the same in the table */
	AttrNumber	deleted_at;
	bool		by_sql;			/* a partitioned table: leave it to SQL */
} SoftDelete;

/* The base table of a live view. */
Oid
appdb_base_table(Relation view)
{
	Query	   *query = get_view_query(view);
	RangeTblRef *ref;

	if (query->jointree == NULL || list_length(query->jointree->fromlist) != 1 ||
		!IsA(linitial(query->jointree->fromlist), RangeTblRef))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("view \"%s\" is not a live view", RelationGetRelationName(view)),
				 errhint("SELECT appdb.manage('table') makes live views.")));
	ref = linitial_node(RangeTblRef, query->jointree->fromlist);
	return rt_fetch(ref->rtindex, query->rtable)->relid;
}

static AttrNumber
need_attribute(Oid relid, const char *name)
{
	AttrNumber	attnum = get_attnum(relid, name);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" has no column \"%s\"", get_rel_name(relid), name),
				 errhint("A live view with soft deletes needs \"id\" and \"deleted_at\".")));
	return attnum;
}

static SoftDelete *
start(Relation view, MemoryContext context)
{
	SoftDelete *state = MemoryContextAllocZero(context, sizeof(SoftDelete));

	state->relid = appdb_base_table(view);
	state->view_id = need_attribute(RelationGetRelid(view), "id");
	state->id = need_attribute(state->relid, "id");
	state->deleted_at = need_attribute(state->relid, "deleted_at");
	state->by_sql = get_rel_relkind(state->relid) != RELKIND_RELATION;
	return state;
}

/*
 * Lock the last version of the row in "slot", which the statement's snapshot
 * shows; false if it is not to be deleted any more.
 */
static bool
lock_row(Relation rel, const SoftDelete *state, TupleTableSlot *slot)
{
	TM_FailureData tmfd;
	TM_Result	result;
	int			flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	bool		isnull;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;

	result = table_tuple_lock(rel, &slot->tts_tid, GetActiveSnapshot(), slot,
							  GetCurrentCommandId(true), LockTupleExclusive,
							  LockWaitBlock, flags, &tmfd);
	switch (result)
	{
		case TM_Ok:
			(void) slot_getattr(slot, state->deleted_at, &isnull);
			return isnull;
		case TM_SelfModified:
			/* this statement has deleted it before */
			return false;
		case TM_Updated:
		case TM_Deleted:
			if (IsolationUsesXactSnapshot())
				ereport(ERROR,
						(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
						 errmsg("could not serialize access due to concurrent %s",
								result == TM_Updated ? "update" : "delete")));
			return false;
		default:
			elog(ERROR, "unexpected table_tuple_lock status: %u", result);
			return false;
	}
}

/*
 * The base table as the target of an UPDATE of one column.
 */
static ResultRelInfo *
init_target(EState *estate, Relation rel, AttrNumber column)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *perminfos = NIL;
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	compat_set_updated_cols(rte, perminfos,
							bms_make_singleton(column - FirstLowInvalidHeapAttributeNumber));
	compat_ExecInitRangeTable(estate, list_make1(rte), perminfos);
	InitResultRelInfo(relinfo, rel, 1, NULL, 0);
	return relinfo;
}

/*
 * Write the new version of a locked row as the executor would.
 */
static void
mark_row(Relation rel, const SoftDelete *state, EState *estate,
		 ResultRelInfo *relinfo, TupleTableSlot *oldslot)
{
	TupleTableSlot *newslot = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel), &TTSOpsVirtual);
	EPQState	epqstate;
	int			natts = RelationGetDescr(rel)->natts;

	slot_getallattrs(oldslot);
	ExecClearTuple(newslot);
	memcpy(newslot->tts_values, oldslot->tts_values, natts * sizeof(Datum));
	memcpy(newslot->tts_isnull, oldslot->tts_isnull, natts * sizeof(bool));
	/* the row's trigger puts the operation's stamp here */
	newslot->tts_values[state->deleted_at - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	newslot->tts_isnull[state->deleted_at - 1] = false;
	ExecStoreVirtualTuple(newslot);

	compat_EvalPlanQualInit(&epqstate, estate);
	ExecOpenIndices(relinfo, false);
	ExecSimpleRelationUpdate(relinfo, estate, &epqstate, oldslot, newslot);
	ExecCloseIndices(relinfo);
	EvalPlanQualEnd(&epqstate);
}

static bool
delete_row(const SoftDelete *state, Datum id)
{
	Relation	rel = table_open(state->relid, RowExclusiveLock);
	Relation	index = index_open(compat_primary_key_index(rel), AccessShareLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *relinfo;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	ScanKeyData key;
	MemoryContext oldcontext;
	bool		deleted = false;

	oldcontext = MemoryContextSwitchTo(estate->es_query_cxt);
	relinfo = init_target(estate, rel, state->deleted_at);
	estate->es_output_cid = GetCurrentCommandId(true);
	estate->es_snapshot = GetActiveSnapshot();
	slot = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel), table_slot_callbacks(rel));

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
	scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), 1);
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot) &&
		lock_row(rel, state, slot))
	{
		mark_row(rel, state, estate, relinfo, slot);
		deleted = true;
	}
	index_endscan(scan);

	ExecResetTupleTable(estate->es_tupleTable, false);
	MemoryContextSwitchTo(oldcontext);
	FreeExecutorState(estate);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return deleted;
}

/*
 * A partitioned table: find the row by SQL, as the table's owner.
 */
static bool
delete_row_by_sql(const SoftDelete *state, Datum id)
{
	Oid			types[] = {UUIDOID};
	Relation	rel = table_open(state->relid, AccessShareLock);
	Oid			userid;
	int			sec_context;
	char	   *sql;
	int			rc;
	bool		deleted;

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	table_close(rel, NoLock);

	sql = psprintf("UPDATE %s SET deleted_at = pg_catalog.now() "
				   "WHERE id OPERATOR(pg_catalog.=) $1 AND deleted_at IS NULL",
				   quote_qualified_identifier(get_namespace_name(get_rel_namespace(state->relid)),
											  get_rel_name(state->relid)));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	rc = SPI_execute_with_args(sql, 1, types, &id, NULL, false, 0);
	if (rc != SPI_OK_UPDATE)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	deleted = SPI_processed > 0;
	SPI_finish();

	SetUserIdAndSecContext(userid, sec_context);
	return deleted;
}

/* The base table's statement-level part, for a DELETE on its live view. */
static void
frame_statement(Relation view, bool before)
{
	Relation	rel = table_open(appdb_base_table(view), RowExclusiveLock);

	if (before)
		appdb_deletion_begin(rel);
	else
		appdb_deletion_end(rel);
	table_close(rel, NoLock);
}

/*
 * appdb.soft_delete() returns trigger
 *		On a live view: INSTEAD OF DELETE FOR EACH ROW, and BEFORE and AFTER
 *		DELETE FOR EACH STATEMENT.
 */
Datum
appdb_soft_delete(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	view;
	SoftDelete *state;
	Datum		id;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BY_DELETE(trigdata->tg_event) ||
		trigdata->tg_relation->rd_rel->relkind != RELKIND_VIEW)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.soft_delete() can only be called by a trigger on DELETE of a live view"),
				 errhint("appdb.manage() makes the view and its triggers.")));
	view = trigdata->tg_relation;

	if (!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event))
	{
		frame_statement(view, TRIGGER_FIRED_BEFORE(trigdata->tg_event));
		PG_RETURN_POINTER(NULL);
	}

	state = fcinfo->flinfo->fn_extra;
	if (state == NULL)
		state = fcinfo->flinfo->fn_extra = start(view, fcinfo->flinfo->fn_mcxt);

	id = heap_getattr(trigdata->tg_trigtuple, state->view_id, RelationGetDescr(view), &isnull);
	if (isnull)
		elog(ERROR, "null id in view \"%s\"", RelationGetRelationName(view));

	if (state->by_sql ? delete_row_by_sql(state, id) : delete_row(state, id))
		PG_RETURN_POINTER(trigdata->tg_trigtuple);
	PG_RETURN_POINTER(NULL);
}
