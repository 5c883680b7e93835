/*
 * finish.c
 *		Tasks that are done.
 *
 * appdb.complete() and appdb.complete_many() find each task by its key, see
 * whether the ticket is still that of its lease, and write its last version,
 * without the executor, where no trigger of the user's is to fire, or delete
 * it, where appdb.keep_completed_tasks is off; otherwise functions in PL/pgSQL
 * do it.  Who has the task in hands (a heartbeat, a cancellation) is waited
 * for.
 */
#include "queue.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(appdb_complete);
PG_FUNCTION_INFO_V1(appdb_complete_many);

/* what is left to do when a task is completed */
typedef struct Aftermath
{
	Datum		id;
	Datum		group_key;
	bool		has_group;
	char	   *queue;
	bool		has_dependents;
} Aftermath;

typedef struct Completion
{
	Relation	rel;
	TaskWriter	writer;
	Relation	pkey;
	IndexScanDesc scan;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TupleTableSlot *newslot;
	List	   *aftermath;		/* of Aftermath */
} Completion;

static void
begin_completion(Completion *completion, Relation rel)
{
	completion->rel = rel;
	completion->pkey = appdb_open_tasks_index(I_ID, AccessShareLock);
	completion->slot = table_slot_create(rel, NULL);
	completion->newslot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	completion->snapshot = appdb_push_snapshot();
	completion->scan = compat_index_beginscan(rel, completion->pkey, completion->snapshot, 1);
	completion->aftermath = NIL;
	appdb_begin_writing(&completion->writer, rel);
}

/*
 * Give the task in the slot its last version, or delete it.  Others that are
 * at it are waited for.
 */
static TM_Result
write_completion(Completion *completion, Datum result, bool result_null, TM_FailureData *tmfd)
{
	Relation	rel = completion->rel;
	TupleTableSlot *slot = completion->slot;
	TupleTableSlot *newslot = completion->newslot;
	int			natts = RelationGetDescr(rel)->natts;
	ItemPointerData tid = slot->tts_tid;
	bool		isnull;

	if (!appdb_keep_completed_tasks && result_null && !DatumGetBool(task_value(slot, T_HAS_DEPENDENTS, &isnull)))
	{
		CheckCmdReplicaIdentity(rel, CMD_DELETE);
		return table_tuple_delete(rel, &tid, GetCurrentCommandId(true), completion->snapshot, InvalidSnapshot, true,
								  tmfd, false);
	}

	ExecClearTuple(newslot);
	memcpy(newslot->tts_values, slot->tts_values, natts * sizeof(Datum));
	memcpy(newslot->tts_isnull, slot->tts_isnull, natts * sizeof(bool));
	set_task_value(newslot, T_STATUS, ObjectIdGetDatum(appdb_tasks.completed), false);
	set_task_value(newslot, T_QUEUED, BoolGetDatum(false), false);
	set_task_value(newslot, T_FINISHED_AT, TimestampTzGetDatum(appdb_floor_ms(GetCurrentTimestamp())), false);
	set_task_value(newslot, T_LOCKED_UNTIL, (Datum) 0, true);
	set_task_value(newslot, T_GROUP_SLOT, (Datum) 0, true);
	set_task_value(newslot, T_RESULT, result, result_null);
	set_task_value(newslot, T_PROGRESS, Float4GetDatum(1), false);
	set_task_value(newslot, T_UPDATED_AT, TimestampTzGetDatum(appdb_task_updated_at(slot)), false);
	ExecStoreVirtualTuple(newslot);
	return appdb_update_task(&completion->writer, &tid, newslot, completion->snapshot, NULL, tmfd);
}

/*
 * Complete a task.  False: the ticket is not that of its lease, or there is no
 * such task.
 */
static bool
complete_task(Completion *completion, Datum id, int32 ticket, Datum result, bool result_null)
{
	TupleTableSlot *slot = completion->slot;

	for (;;)
	{
		ScanKeyData key;
		bool		isnull;
		TM_FailureData tmfd;

		CHECK_FOR_INTERRUPTS();
		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
		index_rescan(completion->scan, &key, 1, NULL, 0);
		do
		{
			if (index_getnext_tid(completion->scan, ForwardScanDirection) == NULL)
				return false;
		} while (!appdb_fetch_task(completion->scan, slot));
		slot_getallattrs(slot);
		if (DatumGetInt32(task_value(slot, T_TICKET, &isnull)) != ticket ||
			DatumGetObjectId(task_value(slot, T_STATUS, &isnull)) != appdb_tasks.running ||
			!task_is_null(slot, T_DELETED_AT))
			return false;

		switch (write_completion(completion, result, result_null, &tmfd))
		{
			case TM_Ok:
				if (DatumGetBool(task_value(slot, T_HAS_DEPENDENTS, &isnull)) || !task_is_null(slot, T_GROUP_KEY))
				{
					Aftermath  *after = palloc(sizeof(Aftermath));

					after->id = datumCopy(id, false, UUID_LEN);
					after->has_dependents = DatumGetBool(task_value(slot, T_HAS_DEPENDENTS, &isnull));
					after->queue = TextDatumGetCString(task_value(slot, T_QUEUE, &isnull));
					after->has_group = !task_is_null(slot, T_GROUP_KEY);
					if (after->has_group)
						after->group_key = datumCopy(task_value(slot, T_GROUP_KEY, &isnull), false, -1);
					completion->aftermath = lappend(completion->aftermath, after);
				}
				return true;
			case TM_Updated:
			case TM_Deleted:
			case TM_BeingModified:
				if (IsolationUsesXactSnapshot())
					ereport(ERROR,
							(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
							 errmsg("could not serialize access due to concurrent update")));
				/* look again */
				index_endscan(completion->scan);
				appdb_pop_snapshot(completion->snapshot);
				completion->snapshot = appdb_push_snapshot();
				completion->scan = compat_index_beginscan(completion->rel, completion->pkey, completion->snapshot, 1);
				break;
			case TM_SelfModified:
				/* by this very command: a task that was given twice */
				return false;
			default:
				elog(ERROR, "a task can be neither updated nor deleted");
		}
	}
}

static void
end_completion(Completion *completion)
{
	ListCell   *lc;
	ArrayBuildState *parents = NULL;
	Oid			dependents;
	Oid			unpark;
	Oid			many[] = {UUIDARRAYOID, TEXTOID};
	Oid			place[] = {TEXTOID, TEXTOID};
	Oid			one[] = {UUIDOID, TEXTOID}; /* in 1.0 */

	index_endscan(completion->scan);
	appdb_end_writing(&completion->writer);
	appdb_pop_snapshot(completion->snapshot);
	ExecDropSingleTupleTableSlot(completion->slot);
	ExecDropSingleTupleTableSlot(completion->newslot);
	index_close(completion->pkey, NoLock);
	table_close(completion->rel, NoLock);
	CommandCounterIncrement();

	dependents = appdb_find_engine_function("_task_dependents", 2, many);
	foreach(lc, completion->aftermath)
	{
		Aftermath  *after = lfirst(lc);

		if (!after->has_dependents)
			continue;
		if (OidIsValid(dependents))
			parents = accumArrayResult(parents, after->id, false, UUIDOID, CurrentMemoryContext);
		else
			(void) OidFunctionCall2(appdb_engine_function("_task_dependents", 2, one), after->id,
									CStringGetTextDatum("completed"));
	}
	if (parents != NULL)
		(void) OidFunctionCall2(dependents, makeArrayResult(parents, CurrentMemoryContext),
								CStringGetTextDatum("completed"));
	unpark = appdb_find_engine_function("_unpark", 2, place);
	foreach(lc, completion->aftermath)
	{
		Aftermath  *after = lfirst(lc);

		if (!after->has_group)
			continue;
		if (OidIsValid(unpark))
			(void) OidFunctionCall2(unpark, after->group_key, CStringGetTextDatum(after->queue));
		else
			(void) OidFunctionCall1(appdb_engine_function("_unpark", 1, place), after->group_key);
		appdb_wake_queue(after->queue);
	}
}

/*
 * Can completions be written by hand?
 */
static bool
writes_plainly(void)
{
	return appdb_tasks.plain_update && (appdb_keep_completed_tasks || appdb_tasks.plain_delete);
}

static void
complain_lost(Datum id, int32 ticket)
{
	Oid			argtypes[] = {UUIDOID, INT4OID};

	(void) OidFunctionCall2(appdb_engine_function("_lost", 2, argtypes), id, Int32GetDatum(ticket));
	elog(ERROR, "the lease on task %s is lost", appdb_uuid_text(DatumGetUUIDP(id)));
}

/*
 * appdb.complete(id uuid, ticket integer, result jsonb)
 */
Datum
appdb_complete(PG_FUNCTION_ARGS)
{
	Relation	rel;
	AppdbCaller caller;
	Datum		result = (Datum) 0;

	PreventCommandIfReadOnly("appdb.complete()");
	rel = appdb_open_tasks();
	appdb_begin_as(rel->rd_rel->relowner, &caller);
	if (writes_plainly() && !PG_ARGISNULL(0) && !PG_ARGISNULL(1))
	{
		Completion	completion;

		begin_completion(&completion, rel);
		if (!complete_task(&completion, PG_GETARG_DATUM(0), PG_GETARG_INT32(1), PG_GETARG_DATUM(2), PG_ARGISNULL(2)))
			complain_lost(PG_GETARG_DATUM(0), PG_GETARG_INT32(1));
		end_completion(&completion);
	}
	else
	{
		table_close(rel, NoLock);
		result = appdb_work_as(fcinfo, InvalidOid);
	}
	appdb_end_as(&caller);
	return result;
}

static int
compare_ids(const void *a, const void *b, void *arg)
{
	const Datum *ids = arg;

	return memcmp(DatumGetPointer(ids[*(const int *) a]), DatumGetPointer(ids[*(const int *) b]), UUID_LEN);
}

/*
 * appdb.complete_many(ids uuid[], tickets integer[], results jsonb[]) returns integer
 */
Datum
appdb_complete_many(PG_FUNCTION_ARGS)
{
	Relation	rel;
	AppdbCaller caller;
	Datum		result;

	PreventCommandIfReadOnly("appdb.complete_many()");
	rel = appdb_open_tasks();
	appdb_begin_as(rel->rd_rel->relowner, &caller);
	if (writes_plainly() && !PG_ARGISNULL(0) && !PG_ARGISNULL(1) &&
		!array_contains_nulls(PG_GETARG_ARRAYTYPE_P(0)) && !array_contains_nulls(PG_GETARG_ARRAYTYPE_P(1)))
	{
		Completion	completion;
		Datum	   *ids;
		Datum	   *tickets;
		Datum	   *results = NULL;
		bool	   *nulls = NULL;
		int		   *order;
		int			n;
		int			ntickets;
		int			nresults = 0;

		deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, NULL, &n);
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), INT4OID, sizeof(int32), true, TYPALIGN_INT, &tickets, NULL, &ntickets);
		if (!PG_ARGISNULL(2))
			deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), JSONBOID, -1, false, TYPALIGN_INT, &results, &nulls, &nresults);
		if (n != ntickets || (results != NULL && n != nresults))
			ereport(ERROR,
					(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
					 errmsg("ids, tickets and results must be of the same length"),
					 errhint("Each id needs the ticket that claim() returned with it.")));

		/* in one order, as whoever enqueues tasks that wait for them locks them */
		order = palloc(sizeof(int) * n);
		for (int i = 0; i < n; i++)
			order[i] = i;
		qsort_arg(order, n, sizeof(int), compare_ids, ids);

		begin_completion(&completion, rel);
		for (int i = 0; i < n; i++)
		{
			int			task = order[i];

			if (complete_task(&completion, ids[task], DatumGetInt32(tickets[task]),
							  results == NULL ? (Datum) 0 : results[task], results == NULL || nulls[task]))
				continue;
			if (i > 0 && compare_ids(&order[i - 1], &task, ids) == 0)
				ereport(ERROR,
						(errcode(ERRCODE_CARDINALITY_VIOLATION),
						 errmsg("a task was given more than once"),
						 errhint("Give each id once.")));
			complain_lost(ids[task], DatumGetInt32(tickets[task]));
		}
		end_completion(&completion);
		result = Int32GetDatum(n);
	}
	else
	{
		table_close(rel, NoLock);
		result = appdb_work_as(fcinfo, InvalidOid);
	}
	appdb_end_as(&caller);
	return result;
}
