/*
 * claim.c
 *		What workers take from the task queue.
 *
 * appdb.claim() walks along the index of ready tasks, in which each priority
 * of a queue has a range for each space, ordered by run_at; tasks of no space
 * come last.  It takes tasks from the ranges of the highest priority in turn.
 * A task is taken by a HOT update that does not wait: if somebody else is at
 * it, it is theirs.  So nobody waits for anybody, no plan can go wrong, and no
 * lock is written beforehand.
 *
 * Finished tasks leave entries in the index until nobody can see them any
 * more, which may be long where a snapshot holds vacuum back, and empty pages
 * until vacuum comes.  A session that had to step over many remembers for each
 * range where it ended, and starts there for a while: 10 times as long as the
 * walk took, at most a second; 200 times, from 50 ms to three seconds, as long
 * as it finds enough.  What comes to stand before that place meanwhile (a
 * transaction that took long, a space that had nothing to do) is found by the
 * next whole walk; higher priorities are looked at first.  As long as walks are
 * short, all are whole.
 *
 * Groups: what is taken for a task of a group is the first one of that group,
 * wherever the walk has come to.  Where the group has no place, the walk has
 * to step over its tasks; if they are many, they are parked: taken out of the
 * index.  Whoever gives a place back lets the next of them in.  The two must
 * not miss each other: a lock sees to it that who gives a place back waits for
 * a parking that is under way, and that nobody parks while a place is being
 * given back.  Only claims that are the client's own statement park, and only
 * outside of a transaction block: a function, a procedure or a DO may go on to
 * do the task, while others wait to give their places back.
 *
 * A claim that is all that its transaction wrote is committed without waiting
 * for the disk: if the server crashes within the next moment, the task was
 * never taken, which is as if its worker had died.  Tickets skip a number of
 * others, so that the one that was lost is hardly given out again.
 */
#include "queue.h"

#include "access/genam.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "tcop/pquery.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* dead or busy entries in a walk, or blocks, from which on places are remembered */
#define LONG_WALK 200
#define LONG_WALK_BLOCKS 40
/* blocks for a task that is taken: in the index, of the row, for its new version */
#define TAKEN_BLOCKS 12
/* how many times as long as such a walk they hold; longer, as long as they lead to enough tasks */
#define HINT_FACTOR 10
#define HINT_MAX_US 1000000
#define HINT_FACTOR_FULL 200
#define HINT_MIN_FULL_US 50000
#define HINT_MAX_FULL_US 3000000
/* entries of higher priorities that are looked at before */
#define URGENT_WALK 20
#define MAX_HINTS 256
#define MAX_MEMORIES 64
#define MAX_BURIED 100
#define DUE_BATCH 1000
/* tasks of groups without a place that are parked by one claim: from, to */
#define PARK_MIN 20
#define PARK_MAX 20000
/* places of groups that are filled by one claim: each takes a lock until the end of the transaction, of which the server has some thousand */
#define MAX_PLACES 1000
/* deleted tasks that are taken out of the queue by one claim: from, to */
#define CLEAR_MIN 20
#define CLEAR_MAX 5000
/* so far the first task of a group is looked for */
#define GROUP_WALK 1000
/* tasks that are not begun, one after the other, before which no other running one is looked for */
#define SILENT_WALK 1000
/* between claims that get nothing of what is ready */
#define SPIN_MIN_US INT64CONST(10000)
#define SPIN_MAX_US USECS_PER_SEC

/* a priority's tasks of one space, and where a walk along them ended */
typedef struct Range
{
	int32		priority;
	bool		space_null;
	pg_uuid_t	space;
	bool		has_place;
	TimestampTz run_at;
	pg_uuid_t	id;
	bool		done;			/* nothing more in it */
} Range;

/* what the session remembers of a queue */
typedef struct QueueMemory
{
	char	   *name;
	bool		has_last;		/* the space that was served last */
	bool		last_null;
	pg_uuid_t	last;
	TimestampTz hint_until;
	TimestampTz hint_until_full;	/* later, as long as it leads to enough tasks */
	TimestampTz next_due;		/* no need to look for due tasks before */
	TimestampTz seen;			/* the time of the last claim: clocks can be put back */
	int			nhints;
	Range		hints[MAX_HINTS];
} QueueMemory;

static List *memories = NIL;	/* in TopMemoryContext */
static int	claiming = 0;		/* claims under way, one within another */
static bool found_ready = false;	/* idle() said so, and no claim has been made since */
static int	fruitless = 0;		/* claims in a row that got nothing though idle() had said so */

/* a group that has no place */
typedef struct BlockedGroup
{
	char		key[1024];		/* hash key, must be first */
	Size		length;
	bool		full;			/* rather than in somebody else's hands */
} BlockedGroup;

typedef struct Claim
{
	FunctionCallInfo fcinfo;
	Relation	rel;
	Relation	ready;
	TaskWriter	writer;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TupleTableSlot *newslot;
	const char *queue;
	Datum		queue_datum;
	QueueMemory *memory;
	TimestampTz now;
	TimestampTz until;
	Datum		worker;
	bool		own_commit;		/* the transaction is to be ours alone */
	int			wanted;
	int			taken;
	uint64		examined;
	int			places;			/* that were found */
	HTAB	   *blocked;		/* of BlockedGroup */
	BlockedGroup *last_blocked; /* of these, the one that was met last */
	pg_uuid_t  *parkable;		/* ids of tasks of those that are full */
	int			nparkable;
	pg_uuid_t  *deleted;		/* ids of tasks that are, and in the way */
	int			ndeleted;
	pg_uuid_t	buried[MAX_BURIED];
	int			nburied;
	FmgrInfo	add_error;		/* _add_error(), once it is needed */
} Claim;

/* the transaction has a claim in it */
static bool claimed = false;

/* where the log stood after our last claim, if that may be all that the transaction writes */
static XLogRecPtr claimed_upto = InvalidXLogRecPtr;

PG_FUNCTION_INFO_V1(appdb_claim);
PG_FUNCTION_INFO_V1(appdb_idle);
PG_FUNCTION_INFO_V1(appdb_park_lock);
PG_FUNCTION_INFO_V1(appdb_place_taken);
PG_FUNCTION_INFO_V1(appdb_silent_tasks);

/* == arguments, memory ==================================================== */

static char **
get_queues(ArrayType *array, Datum **datums, int *nqueues)
{
	bool	   *nulls;
	char	  **queues;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, datums, &nulls, nqueues);
	queues = palloc(sizeof(char *) * Max(*nqueues, 1));
	for (int i = 0; i < *nqueues; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("names of queues must not be null")));
		queues[i] = TextDatumGetCString((*datums)[i]);
	}
	if (*nqueues == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("no queue is given"),
				 errhint("The queue that tasks are in unless told otherwise is \"default\".")));
	return queues;
}

static QueueMemory *
queue_memory(const char *queue)
{
	ListCell   *lc;
	QueueMemory *memory;
	MemoryContext oldcontext;

	foreach(lc, memories)
	{
		memory = lfirst(lc);
		if (strcmp(memory->name, queue) == 0)
			return memory;
	}
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	/* not while a claim has one of them, whose trigger of the user's claims, too */
	while (claiming == 1 && list_length(memories) >= MAX_MEMORIES)
	{
		memory = linitial(memories);
		memories = list_delete_first(memories);
		pfree(memory->name);
		pfree(memory);
	}
	memory = palloc0(sizeof(QueueMemory));
	memory->name = pstrdup(queue);
	memories = lappend(memories, memory);
	MemoryContextSwitchTo(oldcontext);
	return memory;
}

/* what this session adds, it sees at once */
void
appdb_forget_places(const char *queue)
{
	ListCell   *lc;

	foreach(lc, memories)
	{
		QueueMemory *memory = lfirst(lc);

		if (strcmp(memory->name, queue) == 0)
		{
			memory->hint_until = memory->hint_until_full = 0;
			memory->next_due = 0;
		}
	}
}

/* == walking along the index ============================================== */

/* a key on a column of the index of ready tasks */
static void
init_key(Claim *claim, ScanKey key, int attno, int flags, StrategyNumber strategy, RegProcedure function, Datum value)
{
	ScanKeyEntryInitialize(key, flags, attno, strategy, InvalidOid,
						   claim->ready->rd_indcollation[attno - 1], function, value);
}

static IndexScanDesc
begin_scan(Claim *claim, ScanKey keys, int nkeys)
{
	IndexScanDesc scan = compat_index_beginscan(claim->rel, claim->ready, claim->snapshot, nkeys);

	index_rescan(scan, keys, nkeys, NULL, 0);
	return scan;
}

/*
 * The first entry that the keys find, and that can be seen: put the row in
 * the slot.
 */
static bool
first_row(Claim *claim, ScanKey keys, int nkeys)
{
	IndexScanDesc scan = begin_scan(claim, keys, nkeys);
	bool		found = false;

	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		claim->examined++;
		if (appdb_fetch_task(scan, claim->slot))
		{
			slot_getallattrs(claim->slot);
			found = true;
			break;
		}
	}
	index_endscan(scan);
	return found;
}

/* == groups =============================================================== */

/*
 * No more of this group in this claim.
 */
static void
block_group(Claim *claim, const char *group, bool full)
{
	BlockedGroup *blocked;

	if (claim->blocked == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(((BlockedGroup *) NULL)->key);
		ctl.entrysize = sizeof(BlockedGroup);
		ctl.hcxt = CurrentMemoryContext;
		claim->blocked = hash_create("appdb groups without a place", 16, &ctl, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	}
	blocked = hash_search(claim->blocked, group, HASH_ENTER, NULL);
	blocked->length = strlen(group);
	blocked->full = full;
	claim->last_blocked = blocked;
}

/*
 * Find a place in a group.  False: there is none, or somebody else is filling
 * them.
 */
static bool
find_place(Claim *claim, const char *group, int32 limit, int32 *place)
{
	LOCKTAG		tag;
	Relation	index;
	Snapshot	snapshot;
	IndexScanDesc scan;
	ScanKeyData key;
	TupleTableSlot *slot;
	Bitmapset  *taken = NULL;
	int			ntaken = 0;
	BlockedGroup *blocked;
	bool		found;

	if (claim->blocked != NULL)
	{
		blocked = hash_search(claim->blocked, group, HASH_FIND, NULL);
		if (blocked != NULL)
		{
			claim->last_blocked = blocked;
			return false;
		}
	}

	if (claim->places >= MAX_PLACES)
	{
		/* the rest is for the next claim */
		claim->wanted = claim->taken;
		return false;
	}

	/* until the end of the transaction nobody else fills places of the group */
	appdb_set_lock_tag(&tag, APPDB_LOCK_GROUP, group);
	found = LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	*place = 0;
	if (found)
	{
		/* whatever the transaction's own snapshot sees */
		CommandCounterIncrement();
		snapshot = RegisterSnapshot(GetLatestSnapshot());
		index = appdb_open_tasks_index(I_GROUP_SLOT, AccessShareLock);
		slot = table_slot_create(claim->rel, NULL);
		ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0], F_TEXTEQ,
							   CStringGetTextDatum(group));
		scan = compat_index_beginscan(claim->rel, index, snapshot, 1);
		index_rescan(scan, &key, 1, NULL, 0);
		while (index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			int32		other;

			slot_getallattrs(slot);
			other = DatumGetInt32(task_value(slot, T_GROUP_SLOT, &isnull));
			ntaken++;
			/* set by hand, it can be anything */
			if (other >= 1 && other <= limit)
				taken = bms_add_member(taken, other);
		}
		index_endscan(scan);
		ExecDropSingleTupleTableSlot(slot);
		index_close(index, NoLock);
		UnregisterSnapshot(snapshot);

		if (ntaken < limit)
		{
			*place = 1;
			while (bms_is_member(*place, taken))
				(*place)++;
		}
		bms_free(taken);
		if (*place > 0)
		{
			claim->places++;
			return true;
		}
		LockRelease(&tag, ExclusiveLock, false);
	}

	block_group(claim, group, found);
	return false;
}

/*
 * appdb._place_taken(group_key text, place integer) returns boolean
 *		Asked for a deleted task that comes back with its place: does another
 *		have it now?  As find_place(), but waits for who fills places just now.
 */
Datum
appdb_place_taken(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {PG_GETARG_DATUM(0), PG_GETARG_DATUM(1)};
	LOCKTAG		tag;
	bool		taken;

	appdb_set_lock_tag(&tag, APPDB_LOCK_GROUP, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	CommandCounterIncrement();
	PushActiveSnapshot(GetLatestSnapshot());
	SPI_connect();
	appdb_query_as_owner(&plan, "tasks",
						 "SELECT FROM app_data.tasks t WHERE t.group_key OPERATOR(pg_catalog.=) $1 "
						 "AND t.group_slot OPERATOR(pg_catalog.=) $2 AND t.deleted_at IS NULL",
						 lengthof(types), types, values, NULL, true);
	taken = SPI_processed > 0;
	SPI_finish();
	PopActiveSnapshot();
	PG_RETURN_BOOL(taken);
}

static void
bury_later(Claim *claim)
{
	bool		isnull;

	if (claim->nburied < MAX_BURIED)
		claim->buried[claim->nburied++] = *DatumGetUUIDP(task_value(claim->slot, T_ID, &isnull));
}

/* the task in the slot was not begun, and its time is over */
static bool
has_expired(Claim *claim)
{
	bool		isnull;
	Datum		expires_at = task_value(claim->slot, T_EXPIRES_AT, &isnull);

	return !isnull && DatumGetTimestampTz(expires_at) <= claim->now;
}

/*
 * The slot has a task of a group: put the one there that is the group's next.
 */
static void
find_next_of_group(Claim *claim)
{
	Relation	index = appdb_open_tasks_index(I_GROUP_KEY, AccessShareLock);
	ItemPointerData tid = claim->slot->tts_tid;
	bool		isnull;
	Datum		group = datumCopy(task_value(claim->slot, T_GROUP_KEY, &isnull), false, -1);
	Snapshot	snapshot = appdb_push_snapshot();
	IndexScanDesc scan;
	ScanKeyData key;
	bool		found = false;
	int			walked = 0;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, index->rd_indcollation[0], F_TEXTEQ, group);
	scan = compat_index_beginscan(claim->rel, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	while (!found && walked++ < GROUP_WALK && index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		if (!appdb_fetch_task(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		if (task_is_null(claim->slot, T_DELETED_AT) && task_is_null(claim->slot, T_GROUP_SLOT) &&
			DatumGetObjectId(task_value(claim->slot, T_STATUS, &isnull)) == appdb_tasks.pending &&
			DatumGetInt32(task_value(claim->slot, T_WAITS_FOR, &isnull)) == 0 &&
			DatumGetTimestampTz(task_value(claim->slot, T_RUN_AT, &isnull)) <= claim->now &&
			DatumGetBool(DirectFunctionCall2Coll(texteq, DEFAULT_COLLATION_OID, claim->queue_datum,
												 task_value(claim->slot, T_QUEUE, &isnull))))
		{
			if (has_expired(claim))
				bury_later(claim);
			else
				found = true;
		}
	}
	index_endscan(scan);
	index_close(index, NoLock);
	if (!found)
	{
		if (!table_tuple_fetch_row_version(claim->rel, &tid, claim->snapshot, claim->slot))
			elog(ERROR, "a task that was seen is gone");
		slot_getallattrs(claim->slot);
	}
	appdb_pop_snapshot(snapshot);
}

/*
 * The slot has a task whose group has no place.
 */
static void
note_parkable(Claim *claim)
{
	bool		isnull;

	if (!claim->last_blocked->full || claim->nparkable >= PARK_MAX)
		return;
	if (claim->parkable == NULL)
		claim->parkable = palloc(sizeof(pg_uuid_t) * PARK_MAX);
	claim->parkable[claim->nparkable++] = *DatumGetUUIDP(task_value(claim->slot, T_ID, &isnull));
}

/* does the slot have a task of the group that was last found to have no place? */
static bool
is_last_blocked(Claim *claim)
{
	bool		isnull;
	struct varlena *group = (struct varlena *) DatumGetPointer(task_value(claim->slot, T_GROUP_KEY, &isnull));

	return claim->last_blocked != NULL && !(VARATT_IS_EXTENDED(group) && !VARATT_IS_SHORT(group)) &&
		/* a longer one, where the owner of the table lets it be longer, is cut off */
		claim->last_blocked->length < sizeof(claim->last_blocked->key) &&
		VARSIZE_ANY_EXHDR(group) == claim->last_blocked->length &&
		memcmp(VARDATA_ANY(group), claim->last_blocked->key, claim->last_blocked->length) == 0;
}

static Datum
uuid_array(pg_uuid_t *uuids, int n)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		ids[i] = UUIDPGetDatum(&uuids[i]);
	return PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/*
 * Is the claim of the statement that the client has sent?  Portals that have a
 * name, and can be seen, are cursors, PL/pgSQL's among them.
 */
static bool
is_clients_own(Claim *claim)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) claim->fcinfo->resultinfo;
	EState	   *estate = rsinfo->econtext != NULL ? rsinfo->econtext->ecxt_estate : NULL;

	return estate != NULL && ActivePortal != NULL && (!ActivePortal->visible || ActivePortal->name[0] == '\0') &&
		!IsTransactionBlock() && list_member_ptr(ActivePortal->stmts, estate->es_plannedstmt);
}

/*
 * Take tasks out of the index that cannot be begun, if the walk met many.
 */
static void
park(Claim *claim)
{
	Oid			argtypes[] = {UUIDARRAYOID};

	if (claim->nparkable < PARK_MIN || !is_clients_own(claim) || IsolationUsesXactSnapshot())
		return;
	(void) OidFunctionCall1(appdb_engine_function("_park", 1, argtypes), uuid_array(claim->parkable, claim->nparkable));
}

/*
 * The slot has a task that is deleted.
 */
static void
note_deleted(Claim *claim)
{
	bool		isnull;

	if (claim->ndeleted >= CLEAR_MAX)
		return;
	if (claim->deleted == NULL)
		claim->deleted = palloc(sizeof(pg_uuid_t) * CLEAR_MAX);
	claim->deleted[claim->ndeleted++] = *DatumGetUUIDP(task_value(claim->slot, T_ID, &isnull));
}

/*
 * Take deleted tasks out of the index, if the walk met many.
 */
static void
clear_deleted(Claim *claim)
{
	Oid			argtypes[] = {UUIDARRAYOID};
	Oid			function;

	if (claim->ndeleted < CLEAR_MIN || IsolationUsesXactSnapshot())
		return;
	/* in 1.0 there is none */
	function = appdb_find_engine_function("_clear_deleted", 1, argtypes);
	if (OidIsValid(function))
		(void) OidFunctionCall1(function, uuid_array(claim->deleted, claim->ndeleted));
}

/*
 * appdb._park_lock(group_key text, exclusive boolean) returns boolean
 *		Who parks tasks of a group holds its lock alone, or does not park.  Who
 *		gives a place back, or lets tasks in again, waits for those who park.
 */
Datum
appdb_park_lock(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;
	bool		exclusive = PG_GETARG_BOOL(1);

	appdb_set_lock_tag(&tag, APPDB_LOCK_PARK, text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_BOOL(LockAcquire(&tag, exclusive ? ExclusiveLock : ShareLock, false, exclusive) != LOCKACQUIRE_NOT_AVAIL);
}

/* == taking =============================================================== */

/*
 * Take the task in the slot by a function, for triggers to fire.  The function
 * knows it by its ticket; what else became of it since it was read (a heartbeat,
 * a worker that gave it back, and its place in its group), the lock tells.
 */
static bool
update_by_function(Claim *claim, int32 ticket, int32 group_slot)
{
	LOCAL_FCINFO(call, 6);
	FmgrInfo	flinfo;
	Oid			argtypes[] = {UUIDOID, INT4OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT4OID};
	ItemPointerData tid = claim->slot->tts_tid;
	TM_FailureData tmfd;

	if (appdb_lock_task(claim->rel, &tid, claim->snapshot, &tmfd) != TM_Ok)
		return false;

	fmgr_info(appdb_engine_function("_claim_one", 6, argtypes), &flinfo);
	InitFunctionCallInfoData(*call, &flinfo, 6, InvalidOid, NULL, NULL);
	call->args[0].value = task_value(claim->slot, T_ID, &call->args[0].isnull);
	call->args[1].value = task_value(claim->slot, T_TICKET, &call->args[1].isnull);
	call->args[2].value = Int32GetDatum(ticket);
	call->args[2].isnull = false;
	call->args[3].value = claim->worker;
	call->args[3].isnull = false;
	call->args[4].value = TimestampTzGetDatum(claim->until);
	call->args[4].isnull = false;
	call->args[5].value = Int32GetDatum(group_slot);
	call->args[5].isnull = group_slot == 0;
	CommandCounterIncrement();
	return DatumGetBool(FunctionCallInvoke(call));
}

/*
 * The number of the next lease.  Where this one may be lost in a crash, the
 * one after it is to be another: it is but in one case of a million, as long
 * as there are numbers enough (for tasks begun less than some thousand times).
 */
static int32
next_ticket(Claim *claim, int32 ticket)
{
	int32		others = ticket < PG_INT32_MAX / 2 ? 1000000 : 1000;
	int32		step = claim->own_commit ? (int32) pg_prng_uint64_range(&pg_global_prng_state, 1, others) : 1;

	return ticket > PG_INT32_MAX - step ? step : ticket + step;
}

/* its worker went silent: what goes into its history */
static void
add_silence(Claim *claim)
{
	LOCAL_FCINFO(call, 4);
	Oid			argtypes[] = {JSONBOID, INT4OID, TEXTOID, TEXTOID};
	Datum		reason = CStringGetTextDatum("its worker went silent");

	/* what a function in SQL keeps is as much as a plan */
	if (!OidIsValid(claim->add_error.fn_oid))
		fmgr_info(appdb_engine_function("_add_error", 4, argtypes), &claim->add_error);
	InitFunctionCallInfoData(*call, &claim->add_error, 4, DEFAULT_COLLATION_OID, NULL, NULL);
	call->args[0].value = task_value(claim->slot, T_ERRORS, &call->args[0].isnull);
	call->args[1].value = task_value(claim->slot, T_ATTEMPTS, &call->args[1].isnull);
	call->args[2].value = task_value(claim->slot, T_LOCKED_BY, &call->args[2].isnull);
	call->args[3].value = reason;
	call->args[3].isnull = false;
	set_task_value(claim->newslot, T_ERRORS, FunctionCallInvoke(call), false);
	set_task_value(claim->newslot, T_LAST_ERROR, reason, false);
}

/*
 * Take the task in the slot, or the next of its group, unless somebody else is
 * faster.
 */
static bool
take(Claim *claim)
{
	static const TaskColumn result_columns[] = {
		T_ID, T_TICKET, T_KIND, T_QUEUE, T_PAYLOAD, T_ATTEMPTS, T_MAX_ATTEMPTS, T_SPACE_ID, T_USER_ID, T_LOCKED_UNTIL
	};
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) claim->fcinfo->resultinfo;
	Datum		values[lengthof(result_columns)];
	bool		nulls[lengthof(result_columns)];
	bool		isnull;
	int32		place = 0;
	int32		ticket;
	int32		attempts;
	bool		begun;

	/* one that has a place keeps it: its worker went silent, or it failed and is to be done before the others */
	if (!task_is_null(claim->slot, T_GROUP_KEY) && task_is_null(claim->slot, T_GROUP_SLOT))
	{
		char	   *group;
		int32		limit;
		bool		found;

		if (is_last_blocked(claim))
		{
			note_parkable(claim);
			return false;
		}
		group = TextDatumGetCString(task_value(claim->slot, T_GROUP_KEY, &isnull));
		limit = DatumGetInt32(task_value(claim->slot, T_GROUP_LIMIT, &isnull));
		found = find_place(claim, group, isnull ? 1 : limit, &place);
		/* there can be as many as tasks */
		pfree(group);
		if (!found)
		{
			if (claim->taken < claim->wanted)
				note_parkable(claim);
			return false;
		}
		find_next_of_group(claim);
	}

	ticket = next_ticket(claim, DatumGetInt32(task_value(claim->slot, T_TICKET, &isnull)));
	attempts = Min(DatumGetInt32(task_value(claim->slot, T_ATTEMPTS, &isnull)), PG_INT32_MAX - 1) + 1;
	if (appdb_tasks.plain_update)
	{
		TupleTableSlot *newslot = claim->newslot;
		int			natts = RelationGetDescr(claim->rel)->natts;
		ItemPointerData tid = claim->slot->tts_tid;
		TM_FailureData tmfd;

		ExecClearTuple(newslot);
		memcpy(newslot->tts_values, claim->slot->tts_values, natts * sizeof(Datum));
		memcpy(newslot->tts_isnull, claim->slot->tts_isnull, natts * sizeof(bool));
		set_task_value(newslot, T_STATUS, ObjectIdGetDatum(appdb_tasks.running), false);
		set_task_value(newslot, T_TICKET, Int32GetDatum(ticket), false);
		set_task_value(newslot, T_ATTEMPTS, Int32GetDatum(attempts), false);
		set_task_value(newslot, T_LOCKED_BY, claim->worker, false);
		set_task_value(newslot, T_LOCKED_UNTIL, TimestampTzGetDatum(claim->until), false);
		set_task_value(newslot, T_QUEUED, BoolGetDatum(true), false);
		set_task_value(newslot, T_PARKED, BoolGetDatum(false), false);
		if (place != 0)
			set_task_value(newslot, T_GROUP_SLOT, Int32GetDatum(place), false);
		if (DatumGetObjectId(task_value(claim->slot, T_STATUS, &isnull)) == appdb_tasks.running)
			add_silence(claim);
		set_task_value(newslot, T_UPDATED_AT, TimestampTzGetDatum(appdb_task_updated_at(claim->slot)), false);
		ExecStoreVirtualTuple(newslot);
		begun = appdb_update_task(&claim->writer, &tid, newslot, claim->snapshot, claim->slot, &tmfd) == TM_Ok;
	}
	else
		begun = update_by_function(claim, ticket, place);
	if (!begun)
	{
		/* if somebody is at it, or a trigger does not let it begin, it is the group's next all the same */
		if (place != 0)
			block_group(claim, TextDatumGetCString(task_value(claim->slot, T_GROUP_KEY, &isnull)), false);
		return false;
	}

	for (int i = 0; i < (int) lengthof(result_columns); i++)
		values[i] = task_value(claim->slot, result_columns[i], &nulls[i]);
	values[1] = Int32GetDatum(ticket);
	values[5] = Int32GetDatum(attempts);
	values[9] = TimestampTzGetDatum(claim->until);
	nulls[9] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	claim->taken++;
	return true;
}

/*
 * The task in the slot, found in the index: take it if it is ready.
 */
static bool
try_row(Claim *claim)
{
	bool		isnull;
	Oid			status;
	Datum		until;

	if (!task_is_null(claim->slot, T_DELETED_AT))
	{
		note_deleted(claim);
		return false;
	}
	if (!DatumGetBool(task_value(claim->slot, T_QUEUED, &isnull)))
		return false;
	status = DatumGetObjectId(task_value(claim->slot, T_STATUS, &isnull));
	if (status == appdb_tasks.pending)
	{
		if (has_expired(claim))
		{
			bury_later(claim);
			return false;
		}
		return take(claim);
	}
	if (status != appdb_tasks.running)
		return false;
	until = task_value(claim->slot, T_LOCKED_UNTIL, &isnull);
	if (!isnull && DatumGetTimestampTz(until) > claim->now)
		return false;
	if (DatumGetBool(task_value(claim->slot, T_CANCEL_REQUESTED, &isnull)) ||
		DatumGetInt32(task_value(claim->slot, T_ATTEMPTS, &isnull)) >= DatumGetInt32(task_value(claim->slot, T_MAX_ATTEMPTS, &isnull)))
	{
		bury_later(claim);
		return false;
	}
	return take(claim);
}

/*
 * Take up to n tasks from a range, from its place on.
 */
static void
serve_range(Claim *claim, Range *range, int n)
{
	ScanKeyData keys[5];
	ScanKeyData row[2];
	int			nkeys = 0;
	IndexScanDesc scan;
	int			goal = claim->taken + n;
	bool		isnull;

	init_key(claim, &keys[nkeys++], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, claim->queue_datum);
	init_key(claim, &keys[nkeys++], 2, 0, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(range->priority));
	if (range->space_null)
		ScanKeyEntryInitialize(&keys[nkeys++], SK_ISNULL | SK_SEARCHNULL, 3, InvalidStrategy, InvalidOid, InvalidOid,
							   InvalidOid, (Datum) 0);
	else
		init_key(claim, &keys[nkeys++], 3, 0, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&range->space));
	if (range->has_place)
	{
		/* (run_at, id) > (place) */
		init_key(claim, &row[0], 4, SK_ROW_MEMBER, BTGreaterStrategyNumber, F_TIMESTAMPTZ_CMP,
				 TimestampTzGetDatum(range->run_at));
		init_key(claim, &row[1], 5, SK_ROW_MEMBER | SK_ROW_END, BTGreaterStrategyNumber, F_UUID_CMP,
				 UUIDPGetDatum(&range->id));
		memset(&keys[nkeys], 0, sizeof(ScanKeyData));
		keys[nkeys].sk_flags = SK_ROW_HEADER;
		keys[nkeys].sk_attno = 4;
		keys[nkeys].sk_strategy = BTGreaterStrategyNumber;
		keys[nkeys].sk_argument = PointerGetDatum(row);
		nkeys++;
	}
	init_key(claim, &keys[nkeys++], 4, 0, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE, TimestampTzGetDatum(claim->now));

	scan = begin_scan(claim, keys, nkeys);
	range->done = true;
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		claim->examined++;
		if (!appdb_fetch_task(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		range->run_at = DatumGetTimestampTz(task_value(claim->slot, T_RUN_AT, &isnull));
		range->id = *DatumGetUUIDP(task_value(claim->slot, T_ID, &isnull));
		range->has_place = true;
		(void) try_row(claim);
		if (claim->taken >= goal || claim->taken >= claim->wanted)
		{
			range->done = false;
			break;
		}
	}
	index_endscan(scan);
}

static int
compare_spaces(bool a_null, const pg_uuid_t *a, bool b_null, const pg_uuid_t *b)
{
	if (a_null || b_null)
		return (int) a_null - (int) b_null;
	return memcmp(a, b, UUID_LEN);
}

static void
remember_range(QueueMemory *memory, const Range *range)
{
	int			i;

	if (!range->has_place)
		return;
	for (i = 0; i < memory->nhints; i++)
	{
		Range	   *hint = &memory->hints[i];

		if (hint->priority == range->priority &&
			compare_spaces(hint->space_null, &hint->space, range->space_null, &range->space) == 0)
			break;
	}
	if (i >= MAX_HINTS)
		i = (int) (range->id.data[UUID_LEN - 1] % MAX_HINTS);	/* any */
	memory->hints[i] = *range;
	memory->hints[i].done = false;
	if (i >= memory->nhints)
		memory->nhints = i + 1;
}

/*
 * Take tasks from the ranges in turn: one from each, then two, then four ...
 */
static void
serve_ranges(Claim *claim, Range *ranges, int nranges)
{
	QueueMemory *memory = claim->memory;
	bool		more = true;

	for (int chunk = 1; more && claim->taken < claim->wanted; chunk = Min(chunk * 2, 1000))
	{
		more = false;
		for (int i = 0; i < nranges && claim->taken < claim->wanted; i++)
		{
			int			before = claim->taken;
			int			want = claim->wanted - claim->taken;

			if (ranges[i].done)
				continue;
			serve_range(claim, &ranges[i], nranges == 1 ? want : Min(want, chunk));
			if (!ranges[i].done)
				more = true;
			if (claim->taken > before)
			{
				memory->has_last = true;
				memory->last_null = ranges[i].space_null;
				memory->last = ranges[i].space;
			}
		}
	}
	for (int i = 0; i < nranges; i++)
		remember_range(memory, &ranges[i]);
}

/*
 * The range after "range" in its priority, or the first; false: there is none.
 */
static bool
next_range(Claim *claim, Range *range, bool first)
{
	ScanKeyData keys[3];
	bool		isnull;

	if (!first && range->space_null)
		return false;
	init_key(claim, &keys[0], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, claim->queue_datum);
	init_key(claim, &keys[1], 2, 0, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(range->priority));
	if (first)
		ScanKeyEntryInitialize(&keys[2], SK_ISNULL | SK_SEARCHNOTNULL, 3, InvalidStrategy, InvalidOid, InvalidOid,
							   InvalidOid, (Datum) 0);
	else
		init_key(claim, &keys[2], 3, 0, BTGreaterStrategyNumber, F_UUID_GT, UUIDPGetDatum(&range->space));
	range->done = false;
	range->has_place = false;
	if (first_row(claim, keys, 3))
		range->space = *DatumGetUUIDP(task_value(claim->slot, T_SPACE_ID, &isnull));
	else
		range->space_null = true;	/* which may be empty */
	return true;
}

/*
 * Take tasks of one priority from its spaces in turn, beginning after the
 * space that was served last.
 */
static void
serve_spaces(Claim *claim, int32 priority, Range *ranges)
{
	QueueMemory *memory = claim->memory;
	Range		range = {0};
	Range		start = {0};
	bool		more = true;
	bool		wrapped = false;
	bool		from_start = true;
	bool		has_start = memory->has_last && !memory->last_null;

	range.priority = priority;
	if (has_start)
	{
		range.space = memory->last;
		start = range;
		from_start = false;
	}
	while (more && claim->taken < claim->wanted)
	{
		int			nranges = 0;

		while (nranges < claim->wanted - claim->taken)
		{
			if (!next_range(claim, &range, from_start))
			{
				if (!has_start || wrapped)
				{
					more = false;
					break;
				}
				wrapped = true;
				from_start = true;
				memset(&range, 0, sizeof(range));
				range.priority = priority;
				continue;
			}
			from_start = false;
			if (wrapped && compare_spaces(range.space_null, &range.space, false, &start.space) > 0)
			{
				more = false;
				break;
			}
			ranges[nranges++] = range;
		}
		serve_ranges(claim, ranges, nranges);
	}
}

/*
 * The whole walk: priority by priority, all spaces.  Where tasks belong to no
 * space, which most do, one scan does it all.
 */
static void
serve_queue(Claim *claim)
{
	QueueMemory *memory = claim->memory;
	int			nkeys = 1;
	ScanKeyData keys[2];
	Range	   *ranges = palloc(sizeof(Range) * Max(claim->wanted, 1));
	bool		more = true;

	init_key(claim, &keys[0], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, claim->queue_datum);
	while (more && claim->taken < claim->wanted)
	{
		IndexScanDesc scan = begin_scan(claim, keys, nkeys);
		Range		range = {0};
		bool		has_spaces = false;
		int32		priority = 0;

		more = false;
		while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
		{
			bool		isnull;
			TimestampTz run_at;

			CHECK_FOR_INTERRUPTS();
			claim->examined++;
			if (!appdb_fetch_task(scan, claim->slot))
				continue;
			slot_getallattrs(claim->slot);
			priority = DatumGetInt32(task_value(claim->slot, T_PRIORITY, &isnull));
			run_at = DatumGetTimestampTz(task_value(claim->slot, T_RUN_AT, &isnull));
			if (!task_is_null(claim->slot, T_SPACE_ID) || run_at > claim->now)
			{
				/* others of this priority are to be served first, or none of it is ready */
				has_spaces = run_at <= claim->now || !task_is_null(claim->slot, T_SPACE_ID);
				more = true;
				break;
			}
			if (range.has_place && range.priority != priority)
				remember_range(memory, &range);
			range.priority = priority;
			range.space_null = true;
			range.has_place = true;
			range.run_at = run_at;
			range.id = *DatumGetUUIDP(task_value(claim->slot, T_ID, &isnull));
			if (try_row(claim))
			{
				memory->has_last = true;
				memory->last_null = true;
			}
			if (claim->taken >= claim->wanted)
				break;
		}
		index_endscan(scan);
		remember_range(memory, &range);
		if (more)
		{
			if (has_spaces)
				serve_spaces(claim, priority, ranges);
			init_key(claim, &keys[1], 2, 0, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(priority));
			nkeys = 2;
		}
	}
	pfree(ranges);
}

static int
compare_hints(const void *a, const void *b, void *arg)
{
	const Range *x = a;
	const Range *y = b;
	QueueMemory *memory = arg;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	if (memory->has_last)
	{
		bool		x_after = compare_spaces(x->space_null, &x->space, memory->last_null, &memory->last) > 0;
		bool		y_after = compare_spaces(y->space_null, &y->space, memory->last_null, &memory->last) > 0;

		if (x_after != y_after)
			return x_after ? -1 : 1;
	}
	return compare_spaces(x->space_null, &x->space, y->space_null, &y->space);
}

/*
 * Is there a task of a higher priority than what is remembered?
 */
static bool
something_urgent(Claim *claim)
{
	QueueMemory *memory = claim->memory;
	int32		highest = memory->hints[0].priority;
	ScanKeyData keys[2];
	IndexScanDesc scan;
	bool		found = false;

	for (int i = 1; i < memory->nhints; i++)
		highest = Max(highest, memory->hints[i].priority);
	init_key(claim, &keys[0], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, claim->queue_datum);
	init_key(claim, &keys[1], 2, 0, BTGreaterStrategyNumber, F_INT4GT, Int32GetDatum(highest));
	scan = begin_scan(claim, keys, 2);
	for (int i = 0; !found && i < URGENT_WALK && index_getnext_tid(scan, ForwardScanDirection) != NULL; i++)
	{
		bool		isnull;

		if (!appdb_fetch_task(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		found = DatumGetObjectId(task_value(claim->slot, T_STATUS, &isnull)) == appdb_tasks.pending;
	}
	ExecClearTuple(claim->slot);
	index_endscan(scan);
	return found;
}

static void
serve_hints(Claim *claim)
{
	QueueMemory *memory = claim->memory;
	int			nhints = memory->nhints;
	Range	   *ranges = palloc(sizeof(Range) * nhints);

	memcpy(ranges, memory->hints, sizeof(Range) * nhints);
	qsort_arg(ranges, nhints, sizeof(Range), compare_hints, memory);
	for (int i = 0; i < nhints && claim->taken < claim->wanted;)
	{
		int			n = 1;

		while (i + n < nhints && ranges[i + n].priority == ranges[i].priority)
			n++;
		serve_ranges(claim, &ranges[i], n);
		i += n;
	}
	pfree(ranges);
}

/*
 * Put tasks whose time has come into the queue.
 */
static void
look_for_due(Claim *claim)
{
	QueueMemory *memory = claim->memory;
	Relation	later;
	IndexScanDesc scan;
	ScanKeyData keys[2];
	bool		found = false;
	int			stepped = 0;
	Oid			argtypes[] = {TEXTOID, INT4OID};
	TimestampTz end;

	if (claim->now < memory->next_due)
		return;
	later = appdb_open_tasks_index(I_LATER, AccessShareLock);
	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, InvalidOid, later->rd_indcollation[0], F_TEXTEQ,
						   claim->queue_datum);
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTLessEqualStrategyNumber, InvalidOid, InvalidOid, F_TIMESTAMPTZ_LE,
						   TimestampTzGetDatum(claim->now));
	scan = compat_index_beginscan(claim->rel, later, claim->snapshot, 2);
	index_rescan(scan, keys, 2, NULL, 0);
	while (index_getnext_tid(scan, ForwardScanDirection) != NULL)
	{
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		stepped++;
		if (!appdb_fetch_task(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		(void) task_value(claim->slot, T_DELETED_AT, &isnull);
		if (isnull)
		{
			found = true;
			break;
		}
	}
	ExecClearTuple(claim->slot);
	index_endscan(scan);
	index_close(later, AccessShareLock);
	if (found)
	{
		(void) OidFunctionCall2(appdb_engine_function("_claim_due", 2, argtypes), claim->queue_datum, Int32GetDatum(DUE_BATCH));
		appdb_pop_snapshot(claim->snapshot);
		claim->snapshot = appdb_push_snapshot();
		memory->hint_until = memory->hint_until_full = 0;
	}
	else
	{
		/* seldom, if entries that are dead make it slow */
		end = GetCurrentTimestamp();
		memory->next_due = stepped > LONG_WALK ? end + HINT_FACTOR * (end - claim->now) : 0;
	}
}

static void
claim_from(Claim *claim, const char *queue, Datum queue_datum)
{
	QueueMemory *memory = queue_memory(queue);
	TimestampTz end;
	int			before = claim->taken;
	uint64		stepped;
	uint64		taken;
	uint64		blocks;
	bool		first = memory->seen == 0;

	claim->queue = queue;
	claim->queue_datum = queue_datum;
	claim->memory = memory;
	claim->now = GetCurrentTimestamp();
	if (claim->now < memory->seen)
		memory->hint_until = memory->hint_until_full = memory->next_due = 0;
	memory->seen = claim->now;

	look_for_due(claim);
	if (claim->now < memory->hint_until_full && memory->nhints > 0 && !something_urgent(claim))
	{
		serve_hints(claim);
		if (claim->places >= MAX_PLACES)
			memory->hint_until = memory->hint_until_full = 0;
		if (claim->taken >= claim->wanted || claim->now < memory->hint_until)
			return;
	}
	claim->now = GetCurrentTimestamp();
	claim->examined = 0;
	blocks = pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read;
	serve_queue(claim);
	taken = claim->taken - before;
	stepped = claim->examined - taken;
	blocks = pgBufferUsage.shared_blks_hit + pgBufferUsage.shared_blks_read - blocks;
	/* the blocks of a session's first claim are those of the catalogs, too */
	if (claim->places < MAX_PLACES && (stepped > LONG_WALK + taken || (!first && blocks > LONG_WALK_BLOCKS + TAKEN_BLOCKS * taken)))
	{
		end = GetCurrentTimestamp();
		memory->hint_until = end + Min(HINT_FACTOR * (end - claim->now), HINT_MAX_US);
		memory->hint_until_full = end + Min(Max(HINT_FACTOR_FULL * (end - claim->now), HINT_MIN_FULL_US), HINT_MAX_FULL_US);
	}
	else
	{
		memory->hint_until = memory->hint_until_full = 0;
		if (memory->nhints > 16)
			memory->nhints = 0;
	}
}

/*
 * What is rolled back is ready again, before the places that are remembered.
 */
static void
forget_all_places(void)
{
	ListCell   *lc;

	foreach(lc, memories)
	{
		QueueMemory *memory = lfirst(lc);

		memory->hint_until = memory->hint_until_full = 0;
	}
}

/*
 * A transaction that wrote nothing after our claim need not wait for the disk.
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT && claimed)
		forget_all_places();
	if (event == XACT_EVENT_PRE_COMMIT && claimed_upto != InvalidXLogRecPtr && XactLastRecEnd == claimed_upto &&
		synchronous_commit > SYNCHRONOUS_COMMIT_OFF)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	claimed_upto = InvalidXLogRecPtr;
	if (event != XACT_EVENT_PRE_COMMIT && event != XACT_EVENT_PRE_PREPARE)
		claimed = false;
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId subxid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && claimed)
		forget_all_places();
}

static void
note_claim(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_xact_end, NULL);
		RegisterSubXactCallback(at_subxact_end, NULL);
		registered = true;
	}
	claimed = true;
}

/*
 * appdb.claim(queues text[], worker text, max integer, lease interval)
 */
Datum
appdb_claim(PG_FUNCTION_ARGS)
{
	Claim		claim = {0};
	Datum	   *datums;
	char	  **queues;
	int			nqueues;
	AppdbCaller caller;
	const char *worker;
	Interval	zero = {0};
	Datum		lease;

	PreventCommandIfReadOnly("appdb.claim()");
	for (int i = 0; i < 4; i++)
	{
		if (PG_ARGISNULL(i) && i != 1)
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not be null", i == 0 ? "queues" : i == 2 ? "max" : "lease")));
	}
	queues = get_queues(PG_GETARG_ARRAYTYPE_P(0), &datums, &nqueues);
	claim.fcinfo = fcinfo;
	claim.wanted = PG_GETARG_INT32(2);
	if (claim.wanted < 1 || claim.wanted > 100000)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cannot claim %d tasks", claim.wanted),
				 errhint("max is from 1 to 100000.")));
	lease = PG_GETARG_DATUM(3);
	if (!DatumGetBool(DirectFunctionCall2(interval_gt, lease, IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a lease must last for some time"),
				 errhint("lease is an interval such as 5 minutes: longer than the time between two heartbeats.")));
	if (!PG_ARGISNULL(1))
		worker = text_to_cstring(PG_GETARG_TEXT_PP(1));
	else if (application_name != NULL && application_name[0] != '\0')
		worker = psprintf("%s, pid %d", application_name, MyProcPid);
	else
		worker = psprintf("pid %d", MyProcPid);
	if (worker[0] == '\0' || strlen(worker) > 255)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the name of a worker has 1 to 255 bytes")));
	claim.worker = CStringGetTextDatum(worker);

	InitMaterializedSRF(fcinfo, 0);
	appdb_stop_waiting();

	/* nothing has been written before, or only claims */
	claim.own_commit = claimed_upto != InvalidXLogRecPtr ? XactLastRecEnd == claimed_upto :
		!TransactionIdIsValid(GetTopTransactionIdIfAny());
	claimed_upto = InvalidXLogRecPtr;

	note_claim();
	claim.rel = appdb_open_tasks();
	claim.ready = appdb_open_tasks_index(I_READY, AccessShareLock);
	/* from when the table is to be had: somebody may have locked it for longer than the lease */
	claim.until = appdb_floor_ms(DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
																   TimestampTzGetDatum(GetCurrentTimestamp()), lease)));
	appdb_begin_as(claim.rel->rd_rel->relowner, &caller);
	claim.slot = table_slot_create(claim.rel, NULL);
	claim.newslot = MakeSingleTupleTableSlot(RelationGetDescr(claim.rel), &TTSOpsVirtual);
	claim.snapshot = appdb_push_snapshot();
	appdb_begin_writing(&claim.writer, claim.rel);

	claiming++;
	PG_TRY();
	{
		for (int i = 0; i < nqueues && claim.taken < claim.wanted; i++)
			claim_from(&claim, queues[i], datums[i]);
	}
	PG_FINALLY();
	{
		claiming--;
	}
	PG_END_TRY();

	appdb_end_writing(&claim.writer);
	appdb_pop_snapshot(claim.snapshot);
	ExecDropSingleTupleTableSlot(claim.slot);
	ExecDropSingleTupleTableSlot(claim.newslot);
	index_close(claim.ready, NoLock);
	table_close(claim.rel, NoLock);
	CommandCounterIncrement();

	if (claim.nburied > 0)
	{
		Oid			argtypes[] = {UUIDARRAYOID};

		(void) OidFunctionCall1(appdb_engine_function("_bury", 1, argtypes), uuid_array(claim.buried, claim.nburied));
	}
	park(&claim);
	clear_deleted(&claim);
	appdb_end_as(&caller);
	fruitless = claim.taken > 0 || !found_ready ? 0 : fruitless + 1;
	found_ready = false;
	if (claim.own_commit)
		claimed_upto = XactLastRecEnd;
	return (Datum) 0;
}

/*
 * appdb.idle(queues text[]) returns interval
 */
Datum
appdb_idle(PG_FUNCTION_ARGS)
{
	Datum	   *datums;
	char	  **queues;
	int			nqueues;
	bool		woken = true;
	Oid			argtypes[] = {TEXTARRAYOID, BOOLOID};
	AppdbCaller caller;
	Relation	rel;
	Datum		result;
	Interval	zero = {0};

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queues must not be null")));
	queues = get_queues(PG_GETARG_ARRAYTYPE_P(0), &datums, &nqueues);
	for (int i = 0; i < nqueues; i++)
	{
		if (!appdb_start_waiting(queues[i]))
			woken = false;
	}
	rel = appdb_open_tasks();
	appdb_begin_as(rel->rd_rel->relowner, &caller);
	table_close(rel, NoLock);
	/* what is there since we can be woken, also where the transaction keeps its snapshot */
	PushActiveSnapshot(GetLatestSnapshot());
	result = OidFunctionCall2(appdb_engine_function("_idle", 2, argtypes), PG_GETARG_DATUM(0), BoolGetDatum(woken));
	PopActiveSnapshot();
	appdb_end_as(&caller);
	found_ready = !DatumGetBool(DirectFunctionCall2(interval_gt, result, IntervalPGetDatum(&zero)));
	if (found_ready && fruitless > 0)
	{
		/* what is ready is in somebody else's hands, or cannot be begun: do not run in circles */
		Interval   *wait = palloc0(sizeof(Interval));

		wait->time = Min(SPIN_MIN_US << Min(fruitless - 1, 20), SPIN_MAX_US);
		return IntervalPGetDatum(wait);
	}
	return result;
}

/*
 * appdb._silent_tasks(batch integer) returns uuid[]
 *		Tasks of workers that let their lease end, as far as claims have come: in
 *		the range of a priority and a space, those that were begun stand before
 *		those that were not, but for a few.
 */
Datum
appdb_silent_tasks(PG_FUNCTION_ARGS)
{
	int			batch = PG_GETARG_INT32(0);
	Claim		claim = {0};
	int			size = 64;
	Datum	   *ids = palloc(sizeof(Datum) * size);
	int			n = 0;
	ScanKeyData keys[3];
	int			nkeys = 0;

	claim.rel = appdb_open_tasks();
	claim.ready = appdb_open_tasks_index(I_READY, AccessShareLock);
	claim.slot = table_slot_create(claim.rel, NULL);
	claim.snapshot = appdb_push_snapshot();
	claim.now = GetCurrentTimestamp();

	/* range by range: its first row says which it is, and how to find the next */
	while (n < batch && first_row(&claim, keys, nkeys))
	{
		bool		isnull;
		bool		space_null;
		Datum		queue = datumCopy(task_value(claim.slot, T_QUEUE, &isnull), false, -1);
		Datum		priority = task_value(claim.slot, T_PRIORITY, &isnull);
		Datum		space = task_value(claim.slot, T_SPACE_ID, &space_null);
		IndexScanDesc scan;
		int			unbegun = 0;

		if (!space_null)
			space = datumCopy(space, false, UUID_LEN);
		init_key(&claim, &keys[0], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, queue);
		init_key(&claim, &keys[1], 2, 0, BTEqualStrategyNumber, F_INT4EQ, priority);
		if (space_null)
			ScanKeyEntryInitialize(&keys[2], SK_ISNULL | SK_SEARCHNULL, 3, InvalidStrategy, InvalidOid, InvalidOid,
								   InvalidOid, (Datum) 0);
		else
			init_key(&claim, &keys[2], 3, 0, BTEqualStrategyNumber, F_UUID_EQ, space);
		scan = begin_scan(&claim, keys, 3);
		while (n < batch && unbegun < SILENT_WALK && index_getnext_tid(scan, ForwardScanDirection) != NULL)
		{
			Datum		until;

			CHECK_FOR_INTERRUPTS();
			if (!appdb_fetch_task(scan, claim.slot))
				continue;
			slot_getallattrs(claim.slot);
			if (DatumGetObjectId(task_value(claim.slot, T_STATUS, &isnull)) != appdb_tasks.running)
			{
				unbegun++;
				continue;
			}
			unbegun = 0;
			until = task_value(claim.slot, T_LOCKED_UNTIL, &isnull);
			if ((!isnull && DatumGetTimestampTz(until) >= claim.now) || !task_is_null(claim.slot, T_DELETED_AT))
				continue;
			if (n == size)
				ids = repalloc(ids, sizeof(Datum) * (size *= 2));
			ids[n++] = datumCopy(task_value(claim.slot, T_ID, &isnull), false, UUID_LEN);
		}
		index_endscan(scan);

		/* the next space, else the next priority, else the next queue */
		nkeys = 3;
		if (space_null)
			nkeys = 2;
		else
			init_key(&claim, &keys[2], 3, 0, BTGreaterStrategyNumber, F_UUID_GT, space);
		if (nkeys == 3 && first_row(&claim, keys, nkeys))
			continue;
		if (nkeys == 3)
		{
			ScanKeyEntryInitialize(&keys[2], SK_ISNULL | SK_SEARCHNULL, 3, InvalidStrategy, InvalidOid, InvalidOid,
								   InvalidOid, (Datum) 0);
			if (first_row(&claim, keys, nkeys))
				continue;
		}
		init_key(&claim, &keys[1], 2, 0, BTLessStrategyNumber, F_INT4LT, priority);
		nkeys = 2;
		if (first_row(&claim, keys, nkeys))
			continue;
		init_key(&claim, &keys[0], 1, 0, BTGreaterStrategyNumber, F_TEXT_GT, queue);
		nkeys = 1;
	}
	ExecClearTuple(claim.slot);
	appdb_pop_snapshot(claim.snapshot);
	ExecDropSingleTupleTableSlot(claim.slot);
	index_close(claim.ready, NoLock);
	table_close(claim.rel, NoLock);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}
