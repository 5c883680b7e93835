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
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_trigger.h"
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
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(appdb_soft_delete);

/*
 * What a statement's rows have in common.  It is kept with the statement's
 * deletion and closed at the end of that; on error the relations and
 * the snapshot go with the resource owner, the rest with the transaction.
 */
typedef struct Deleter
{
	AttrNumber	view_id;		/* "id" in the view */
	AttrNumber	view_updated_at;
	AttrNumber	deleted_at;		/* in the table */
	AttrNumber	updated_at;
	Relation	rel;
	Relation	index;			/* NULL for a partitioned table, where the primary key
								 * is deferrable or gone, and where row triggers want
								 * transition tables: left to SQL */
	Snapshot	snapshot;
	IndexScanDesc scan;
	EState	   *estate;
	EPQState	epqstate;
	ResultRelInfo *relinfo;
	TupleTableSlot *oldslot;
	TupleTableSlot *newslot;
} Deleter;

/*
 * Live views are in schema appdb, where nobody else makes views: on one of their
 * own, with our trigger, somebody who may only read a table could delete its
 * rows.
 */
bool
appdb_in_schema(Relation view)
{
	return RelationGetNamespace(view) == get_namespace_oid(APPDB_SCHEMA, true);
}

/* The base table of a live view, or InvalidOid if it is not one. */
static Oid
find_base_table(Relation view)
{
	Query	   *query = get_view_query(view);
	RangeTblEntry *rte = NULL;

	if (query->jointree != NULL && list_length(query->jointree->fromlist) == 1 &&
		IsA(linitial(query->jointree->fromlist), RangeTblRef))
		rte = rt_fetch(linitial_node(RangeTblRef, query->jointree->fromlist)->rtindex, query->rtable);
	/* somebody may have put another query into it */
	if (rte == NULL || !appdb_in_schema(view) || rte->rtekind != RTE_RELATION ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_PARTITIONED_TABLE))
		return InvalidOid;
	return rte->relid;
}

/*
 * Privileges on the live view are all that a DELETE, or a restore, asks for.  So
 * the view has to be of the table's owner: who makes views in schema appdb, and
 * says what is managed, could delete rows of anybody's otherwise.
 */
void
appdb_check_view_owner(Oid view, Oid relid)
{
	Oid			owner = appdb_table_owner(relid);
	Oid			view_owner = appdb_table_owner(view);

	if (!has_privs_of_role(view_owner, owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("view \"%s\" belongs to role \"%s\", which has not the rights of the owner of table \"%s\"",
						appdb_table_name(view), GetUserNameFromId(view_owner, false), appdb_table_name(relid)),
				 errhint("Give both to one role: ALTER VIEW %s OWNER TO %s; or ALTER TABLE %s OWNER TO %s;",
						 appdb_qualified_name(view), quote_identifier(GetUserNameFromId(owner, false)),
						 appdb_qualified_name(relid), quote_identifier(GetUserNameFromId(view_owner, false)))));
}

Oid
appdb_base_table(Relation view)
{
	Oid			relid = find_base_table(view);

	if (OidIsValid(relid))
		appdb_check_view_owner(RelationGetRelid(view), relid);
	else
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("view \"%s\" is not a live view", RelationGetRelationName(view)),
				 errhint("SELECT appdb.manage('table') makes live views.")));
	return relid;
}

/*
 * Is this the live view of a table whose rows are deleted for good?  It has no
 * triggers to be known by.
 */
bool
appdb_is_plain_live_view(Relation view)
{
	Oid			relid = appdb_in_schema(view) ? find_base_table(view) : InvalidOid;

	return OidIsValid(relid) && get_attnum(relid, "deleted_at") == InvalidAttrNumber &&
		appdb_live_view(relid) == RelationGetRelid(view);
}

static AttrNumber
need_attribute(Relation rel, const char *name, Oid type)
{
	AttrNumber	attnum = appdb_attribute(rel, name, type);

	if (attnum == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("relation \"%s\" has no column \"%s\" of type %s", RelationGetRelationName(rel), name, format_type_be(type)),
				 errhint("SELECT appdb.manage('table') makes live views.")));
	return attnum;
}

/*
 * Is the row live, with what this command has done so far?
 */
static bool
is_live_now(Deleter *deleter, Datum id)
{
	IndexScanDesc scan;
	ScanKeyData key;
	bool		isnull = false;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
	scan = compat_index_beginscan(deleter->rel, deleter->index, SnapshotSelf, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, deleter->oldslot))
		(void) slot_getattr(deleter->oldslot, deleter->deleted_at, &isnull);
	index_endscan(scan);
	return isnull;
}

/*
 * Lock the last version of the row in oldslot, which the statement's snapshot
 * shows; false if it is not to be deleted any more.
 */
static bool
lock_row(Deleter *deleter, Datum id)
{
	TupleTableSlot *slot = deleter->oldslot;
	TM_FailureData tmfd;
	TM_Result	result;
	int			flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
	bool		isnull;

	if (!IsolationUsesXactSnapshot())
		flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;

	result = table_tuple_lock(deleter->rel, &slot->tts_tid, deleter->snapshot, slot,
							  deleter->snapshot->curcid, LockTupleExclusive,
							  LockWaitBlock, flags, &tmfd);
	switch (result)
	{
		case TM_Ok:
			(void) slot_getattr(slot, deleter->deleted_at, &isnull);
			return isnull;
		case TM_SelfModified:
			/*
			 * This statement has deleted or changed it before, and once is all
			 * that a statement does to a row; or a trigger was there first.
			 */
			if (tmfd.cmax != deleter->snapshot->curcid && is_live_now(deleter, id))
				appdb_refuse_changed();
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
 * A table as the target of an INSERT, or of an UPDATE of the given columns.
 */
ResultRelInfo *
appdb_init_target(EState *estate, Relation rel, Bitmapset *updated)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *perminfos = NIL;
	ResultRelInfo *relinfo = makeNode(ResultRelInfo);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
	compat_set_updated_cols(rte, perminfos, updated);
	compat_ExecInitRangeTable(estate, list_make1(rte), perminfos);
	InitResultRelInfo(relinfo, rel, 1, NULL, 0);
	return relinfo;
}

/*
 * Does a row trigger of the table want to see all rows of the statement?  The
 * executor's routines for a single tuple collect none for it.
 */
static bool
wants_transition_tables(Relation rel)
{
	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &rel->trigdesc->triggers[i];

		if (TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_AFTER, TRIGGER_TYPE_UPDATE) &&
			(trigger->tgoldtable != NULL || trigger->tgnewtable != NULL))
			return true;
	}
	return false;
}

static Deleter *
open_deleter(Relation view, Oid relid, MemoryContext context)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	Deleter    *deleter = palloc0(sizeof(Deleter));
	EState	   *estate;
	Oid			key;

	deleter->rel = table_open(relid, RowExclusiveLock);
	deleter->view_id = need_attribute(view, "id", UUIDOID);
	deleter->view_updated_at = appdb_attribute(view, "updated_at", TIMESTAMPTZOID);
	(void) need_attribute(deleter->rel, "id", UUIDOID);
	deleter->deleted_at = need_attribute(deleter->rel, "deleted_at", TIMESTAMPTZOID);
	deleter->updated_at = need_attribute(deleter->rel, "updated_at", TIMESTAMPTZOID);
	key = appdb_id_index(deleter->rel, false);
	if (OidIsValid(key) && !wants_transition_tables(deleter->rel))
	{
		deleter->index = index_open(key, AccessShareLock);
		deleter->snapshot = RegisterSnapshot(GetActiveSnapshot());
		deleter->scan = compat_index_beginscan(deleter->rel, deleter->index, deleter->snapshot, 1);

		deleter->estate = estate = CreateExecutorState();
		MemoryContextSwitchTo(estate->es_query_cxt);
		deleter->relinfo = appdb_init_target(estate, deleter->rel,
											 bms_make_singleton(deleter->deleted_at - FirstLowInvalidHeapAttributeNumber));
		estate->es_snapshot = deleter->snapshot;
		deleter->oldslot = ExecInitExtraTupleSlot(estate, RelationGetDescr(deleter->rel),
												  table_slot_callbacks(deleter->rel));
		deleter->newslot = ExecInitExtraTupleSlot(estate, RelationGetDescr(deleter->rel),
												  &TTSOpsVirtual);
		compat_EvalPlanQualInit(&deleter->epqstate, estate);
		ExecOpenIndices(deleter->relinfo, false);
	}
	MemoryContextSwitchTo(oldcontext);
	return deleter;
}

void
appdb_close_deleter(void *place)
{
	Deleter    *deleter = place;

	if (deleter->index != NULL)
	{
		index_endscan(deleter->scan);
		EvalPlanQualEnd(&deleter->epqstate);
		ExecCloseIndices(deleter->relinfo);
		ExecResetTupleTable(deleter->estate->es_tupleTable, false);
		FreeExecutorState(deleter->estate);
		UnregisterSnapshot(deleter->snapshot);
		index_close(deleter->index, NoLock);
	}
	table_close(deleter->rel, NoLock);
}

/*
 * Write the new version of the locked row as the executor would.
 */
static bool
mark_row(Deleter *deleter)
{
	TupleTableSlot *oldslot = deleter->oldslot;
	TupleTableSlot *newslot = deleter->newslot;
	int			natts = RelationGetDescr(deleter->rel)->natts;

	slot_getallattrs(oldslot);
	ExecClearTuple(newslot);
	memcpy(newslot->tts_values, oldslot->tts_values, natts * sizeof(Datum));
	memcpy(newslot->tts_isnull, oldslot->tts_isnull, natts * sizeof(bool));
	/* the row's trigger puts the operation's stamp here */
	newslot->tts_values[deleter->deleted_at - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	newslot->tts_isnull[deleter->deleted_at - 1] = false;
	ExecStoreVirtualTuple(newslot);
	ItemPointerSetInvalid(&newslot->tts_tid);

	deleter->estate->es_output_cid = GetCurrentCommandId(true);
	ExecSimpleRelationUpdate(deleter->relinfo, deleter->estate, &deleter->epqstate,
							 oldslot, newslot);
	/* a trigger of the table may have left the row as it is */
	return ItemPointerIsValid(&newslot->tts_tid);
}

static bool
delete_row(Deleter *deleter, Datum id)
{
	ScanKeyData key;
	MemoryContext oldcontext;
	bool		deleted;

	/*
	 * What the scan and the table's triggers allocate on their way, for the
	 * next rows too, is expected to last as long as they do.
	 */
	oldcontext = MemoryContextSwitchTo(deleter->estate->es_query_cxt);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
	index_rescan(deleter->scan, &key, 1, NULL, 0);
	deleted = index_getnext_slot(deleter->scan, ForwardScanDirection, deleter->oldslot) &&
		lock_row(deleter, id) && mark_row(deleter);
	MemoryContextSwitchTo(oldcontext);
	return deleted;
}

/*
 * RETURNING shows the row that the trigger was given.  The other path shows it
 * as it is kept, with updated_at moved: so move it here too, in place, since
 * the row is the executor's own copy.
 */
static void
show_updated_at(Deleter *deleter, TimestampTz updated_at, HeapTuple tuple, TupleDesc desc)
{
	Datum	   *values;
	bool	   *nulls;
	char	   *place;

	if (deleter->view_updated_at == InvalidAttrNumber)
		return;
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));
	heap_deform_tuple(tuple, desc, values, nulls);
	if (!nulls[deleter->view_updated_at - 1])
	{
		place = (char *) tuple->t_data + tuple->t_data->t_hoff;
		for (int i = 0; i < deleter->view_updated_at; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);

			if (nulls[i])
				continue;
			place = (char *) att_align_pointer(place, att->attalign, att->attlen, place);
			if (i < deleter->view_updated_at - 1)
				place = (char *) att_addlength_pointer(place, att->attlen, place);
		}
		memcpy(place, &updated_at, sizeof(updated_at));
	}
	pfree(values);
	pfree(nulls);
}

/*
 * Nothing for the executor's routines for a single tuple: find the row by SQL,
 * as the table's owner.
 */
static bool
delete_row_by_sql(Relation rel, Datum id, TimestampTz *updated_at, bool *isnull)
{
	Oid			types[] = {UUIDOID};
	AppdbCaller caller;
	char	   *sql;
	int			rc;
	bool		deleted;

	/* what follows is the owner's: the caller's policies are asked before */
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED &&
		!appdb_shown_to_caller(RelationGetRelid(rel), id, ACL_DELETE))
		return false;

	appdb_begin_as(rel->rd_rel->relowner, &caller);
	sql = psprintf("UPDATE %s SET deleted_at = pg_catalog.now() "
				   "WHERE id OPERATOR(pg_catalog.=) $1 AND deleted_at IS NULL RETURNING updated_at",
				   appdb_qualified_name(RelationGetRelid(rel)));
	SPI_connect();
	appdb_deletion_part(RelationGetRelid(rel));
	rc = SPI_execute_with_args(sql, 1, types, &id, NULL, false, 0);
	if (rc != SPI_OK_UPDATE_RETURNING)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	deleted = SPI_processed > 0;
	if (deleted)
		*updated_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, isnull));
	SPI_finish();

	appdb_end_as(&caller);
	return deleted;
}

/* What frames the rows of a DELETE on a live view. */
static void
frame_statement(Relation view, bool before)
{
	Oid			relid = appdb_base_table(view);
	Relation	rel = table_open(relid, RowExclusiveLock);

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
	Oid			relid;
	MemoryContext context;
	void	  **place;
	Deleter    *deleter;
	Datum		id;
	bool		isnull;
	bool		deleted;
	TimestampTz updated_at = 0;

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

	relid = appdb_base_table(view);
	place = appdb_deletion_deleter(relid, &context);
	if (place == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("view \"%s\" lacks triggers that frame a DELETE", RelationGetRelationName(view)),
				 errhint("SELECT appdb.manage(%s) makes them again.", quote_literal_cstr(appdb_qualified_name(relid)))));
	if (*place == NULL)
		*place = open_deleter(view, relid, context);
	deleter = *place;

	id = heap_getattr(trigdata->tg_trigtuple, deleter->view_id, RelationGetDescr(view), &isnull);
	if (isnull)
		elog(ERROR, "null id in view \"%s\"", RelationGetRelationName(view));

	if (deleter->index == NULL)
		deleted = delete_row_by_sql(deleter->rel, id, &updated_at, &isnull);
	else
	{
		deleted = delete_row(deleter, id);
		if (deleted)
			updated_at = DatumGetTimestampTz(slot_getattr(deleter->newslot, deleter->updated_at, &isnull));
	}
	if (deleted && !isnull)
		show_updated_at(deleter, updated_at, trigdata->tg_trigtuple, RelationGetDescr(view));
	if (deleter->index != NULL)
	{
		ExecClearTuple(deleter->oldslot);
		ExecClearTuple(deleter->newslot);
		ResetPerTupleExprContext(deleter->estate);
	}
	if (!deleted)
		PG_RETURN_POINTER(NULL);
	PG_RETURN_POINTER(trigdata->tg_trigtuple);
}
