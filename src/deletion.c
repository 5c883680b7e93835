/*
 * deletion.c
 *		Operations that delete rows softly, and what they do to children.
 *
 * An operation begins with a statement that sets deleted_at (an UPDATE of a
 * base table that names the column, or a DELETE on a live view) and takes in
 * the statements that this one causes in other tables.  All its rows get the
 * same deleted_at, its stamp; no two operations of a backend share one.
 *
 * Triggers before and after each statement frame it.  (Where several UPDATEs
 * of one table are parts of one statement, PostgreSQL fires the triggers before
 * the first and after the last of them only; if that does not name deleted_at,
 * then none of ours.  So the first row begins what no trigger has begun, and
 * the end of the statement ends what none has ended.)  For each row that it
 * deletes, the row's BEFORE trigger (timestamps.c) comes to
 * appdb_deletion_row(), which notes the row's id if its table has children: 16
 * bytes a row, in a context that is freed at the end of the statement or by
 * the abort of its subtransaction.  After the statement each foreign key that
 * refers to the table is followed by one statement for all ids together.
 *
 * Those statements run as the owner of the child table, as the actions of
 * foreign keys do, and see what is committed now, whatever the isolation
 * level; where a transaction's snapshot does not show a child that they find,
 * they fail with a serialization failure.  That no child appears afterwards is
 * guard.c's part: the row is locked FOR UPDATE before it is marked.
 *
 * A restore (restore.c) is the same the other way round: rows whose deleted_at
 * is the stamp of the operation come back, and after each statement their
 * children with that stamp.
 *
 * Each operation is noted in app_data.deletions.
 */
#include "appdb.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/execdesc.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* a statement that deletes rows of one table */
typedef struct Deletion
{
	struct Deletion *outer;
	SubTransactionId subid;
	Oid			relid;			/* the table that the statement names */
	Oid			partition;		/* the partition of it that the last row was of, if any */
	QueryDesc  *query;			/* the statement, if known */
	struct Deletion *whole;		/* the statement that this is a part of */
	bool		queued;			/* follow its foreign keys later, in a cascade */
	TimestampTz stamp;
	Oid			role;
	bool		has_user;		/* when it was given its stamp: what the */
	pg_uuid_t	user;			/* statement returns may be sign_out() */
	TimestampTz restoring;		/* stamp of rows that come back, or 0 */
	uint64		nrows;
	MemoryContext context;		/* of all this */
	TupleTableSlot *slot;		/* for locking rows */
	ArrayType  *ids;			/* uuid[], its size being what is allocated */
	Size		nids;
	Size		maxids;
	void	   *deleter;		/* soft_delete.c's */
	AppdbPolicies *policies;
	struct Deletion *next;		/* of those to do in a cascade */
} Deletion;

/*
 * What a statement causes in other tables.  It goes level by level, in a loop:
 * a tree can be deeper than the stack.
 */
typedef struct Cascade
{
	struct Cascade *outer;
	SubTransactionId subid;
	TimestampTz stamp;			/* for what is deleted meanwhile, or 0 */
	TimestampTz restoring;		/* stamp of rows that come back, or 0 */
	Oid			about;			/* table whose statement is about to begin */
	int			depth;			/* at which it does: see running_depth */
	Deletion   *todo;			/* the next level, at most one a table */
	uint64		nrows;
	MemoryContext context;		/* the first statement's */
} Cascade;

#define IDS_HEADER		ARR_OVERHEAD_NONULLS(1)
#define IDS_SIZE(n)		(IDS_HEADER + (n) * sizeof(pg_uuid_t))
/* a uuid[] is a value like any other, of at most 1 GB */
#define MAX_IDS			((Size) ((MaxAllocSize - IDS_HEADER) / sizeof(pg_uuid_t)))

/*
 * For as many rows, children are looked up by a plan that is kept; for more it
 * is worth while to plan anew.
 */
#define FEW_IDS			100

/* for as many it is worth while to see whether there are children at all */
#define PROBED_IDS		4

/* statements under way, the innermost first */
static Deletion *deletions = NULL;

/* one whose next part is about to begin, or NULL */
static Deletion *next_whole = NULL;
static int next_depth = 0;

/* cascades under way, the innermost first */
static Cascade *cascades = NULL;

static TimestampTz last_stamp = 0;

/* the statement that is being executed, if it began since we are loaded */
static QueryDesc *running_query = NULL;

/*
 * how many are, each within another: what a trigger before the statement that
 * we are about to run does first is deeper than that
 */
static int running_depth = 0;

/* the one that has run last, and the one that has finished last, of those that began since we are loaded */
static QueryDesc *last_run = NULL;
static QueryDesc *last_finished = NULL;

static ExecutorRun_hook_type prev_ExecutorRun_hook = NULL;
static ExecutorFinish_hook_type prev_ExecutorFinish_hook = NULL;
static ExecutorEnd_hook_type prev_ExecutorEnd_hook = NULL;

/* the restore under way, or NULL */
static AppdbRestore *current_restore = NULL;

PG_FUNCTION_INFO_V1(appdb_cascade);

static void
forget_deletion(Deletion *deletion)
{
	if (next_whole == deletion)
		next_whole = NULL;
	MemoryContextDelete(deletion->context);
}

/*
 * Forget statements that were abandoned with their subtransaction.
 */
static void
abort_subxact(SubXactEvent event, SubTransactionId mySubid,
			  SubTransactionId parentSubid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	while (deletions != NULL && deletions->subid >= mySubid)
	{
		Deletion   *deletion = deletions;

		deletions = deletion->outer;
		forget_deletion(deletion);
	}
	while (cascades != NULL && cascades->subid >= mySubid)
	{
		MemoryContext context = cascades->context;

		cascades = cascades->outer;
		MemoryContextDelete(context);
	}
	while (current_restore != NULL && current_restore->subid >= mySubid)
		current_restore = current_restore->outer;
}

static void
end_xact(XactEvent event, void *arg)
{
	/* never commit half of an operation */
	if ((event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PRE_PREPARE) && deletions != NULL)
		elog(ERROR, "deletion from table \"%s\" has not ended", get_rel_name(deletions->relid));
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_PARALLEL_PRE_COMMIT ||
		event == XACT_EVENT_PRE_PREPARE)
		return;
	/* the contexts go with the transaction's */
	deletions = NULL;
	next_whole = NULL;
	cascades = NULL;
	appdb_plans_forget();
	current_restore = NULL;
}

static TimestampTz
new_stamp(void)
{
	TimestampTz now = GetCurrentTimestamp();

	last_stamp = Max(now, last_stamp + 1);
	return last_stamp;
}

/* Unless an operation has its stamp already, its first row is about to be deleted. */
static void
give_stamp(Deletion *deletion)
{
	const pg_uuid_t *user;

	if (deletion->stamp != 0)
		return;
	deletion->stamp = new_stamp();
	user = appdb_user_id();
	deletion->has_user = (user != NULL);
	if (user != NULL)
		deletion->user = *user;
}

/*
 * A statement that may delete rows of a table begins.
 */
static void
begin_deletion(Oid relid)
{
	static bool registered = false;
	bool		queued;
	MemoryContext context;
	Deletion   *deletion;

	if (!registered)
	{
		RegisterSubXactCallback(abort_subxact, NULL);
		RegisterXactCallback(end_xact, NULL);
		registered = true;
	}

	/* a cascade's own statement; one in a subtransaction can be undone alone */
	queued = cascades != NULL && cascades->about == relid && cascades->depth == running_depth &&
		cascades->subid == GetCurrentSubTransactionId();
	if (queued)
		cascades->about = InvalidOid;

	context = AllocSetContextCreate(queued ? cascades->context : TopTransactionContext,
									"appdb deletion", ALLOCSET_SMALL_SIZES);
	deletion = MemoryContextAllocZero(context, sizeof(Deletion));
	deletion->context = context;
	deletion->outer = deletions;
	deletion->subid = GetCurrentSubTransactionId();
	deletion->relid = relid;
	deletion->role = GetUserId();
	deletion->query = running_query;
	deletion->queued = queued;
	deletion->stamp = cascades ? cascades->stamp : 0;
	if (next_whole != NULL && next_whole->relid == deletion->relid && next_depth == running_depth)
	{
		deletion->whole = next_whole;
		deletion->stamp = next_whole->stamp;
		next_whole = NULL;
	}
	if (queued)
		deletion->restoring = cascades->restoring;
	else if (current_restore != NULL && current_restore->about == relid && current_restore->depth == running_depth)
	{
		deletion->restoring = current_restore->stamp;
		current_restore->about = InvalidOid;
	}
	deletions = deletion;
}

void
appdb_deletion_begin(Relation rel)
{
	begin_deletion(RelationGetRelid(rel));
}

/* The table that a table is a partition of at last; itself, where it is none. */
Oid
appdb_whole_table(Oid relid)
{
	List	   *ancestors = get_rel_relispartition(relid) ? get_partition_ancestors(relid) : NIL;
	Oid			whole = ancestors == NIL ? relid : llast_oid(ancestors);

	list_free(ancestors);
	return whole;
}

/*
 * The statement that deletes a row of "rel": the innermost that names its
 * table, or one that its table is a partition of.  What a trigger does in a
 * subtransaction can be undone alone, and is no part of it.
 */
static Deletion *
find_deletion(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Deletion   *deletion = deletions;
	List	   *ancestors = NIL;

	while (deletion != NULL && deletion->relid != relid)
		deletion = deletion->outer;
	if (deletion == NULL && rel->rd_rel->relispartition)
	{
		for (deletion = deletions; deletion != NULL && deletion->partition != relid; deletion = deletion->outer)
		{
			if (ancestors == NIL)
				ancestors = get_partition_ancestors(relid);
			if (list_member_oid(ancestors, deletion->relid))
			{
				deletion->partition = relid;
				break;
			}
		}
		list_free(ancestors);
	}
	return deletion != NULL && deletion->subid == GetCurrentSubTransactionId() ? deletion : NULL;
}

/*
 * Where the statement on a live view keeps what its rows have in common, and
 * the context for it.  NULL if no such statement is under way.
 */
void	  **
appdb_deletion_deleter(Oid relid, MemoryContext *context)
{
	for (Deletion *deletion = deletions; deletion != NULL; deletion = deletion->outer)
	{
		if (deletion->relid == relid)
		{
			*context = deletion->context;
			return &deletion->deleter;
		}
	}
	return NULL;
}

/*
 * The next statement that deletes rows of this table is part of the one on its
 * live view that is under way.
 */
void
appdb_deletion_part(Oid relid)
{
	Deletion   *deletion = deletions;

	while (deletion != NULL && deletion->relid != relid)
		deletion = deletion->outer;
	if (deletion != NULL)
		give_stamp(deletion);
	next_whole = deletion;
	next_depth = running_depth + 1;
}

/*
 * Note the id of a deleted row for the cascade.
 */
static void
remember_id(Deletion *deletion, const pg_uuid_t *id)
{
	if (deletion->nids == deletion->maxids)
	{
		if (deletion->nids >= MAX_IDS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("cannot delete more than %zu rows with children in one statement", MAX_IDS),
					 errhint("Delete them in several statements.")));
		deletion->maxids = Min(Max(deletion->maxids * 2, 8), MAX_IDS);
		if (deletion->ids == NULL)
			deletion->ids = MemoryContextAlloc(deletion->context, IDS_SIZE(deletion->maxids));
		else
			deletion->ids = repalloc_huge(deletion->ids, IDS_SIZE(deletion->maxids));
	}
	memcpy((char *) deletion->ids + IDS_HEADER + deletion->nids * sizeof(pg_uuid_t),
		   id, sizeof(pg_uuid_t));
	deletion->nids++;
}

/* Those of another statement, too. */
static void
remember_ids(Deletion *deletion, const Deletion *other)
{
	for (Size i = 0; i < other->nids; i++)
		remember_id(deletion, (pg_uuid_t *) ((char *) other->ids + IDS_HEADER) + i);
}

/*
 * Does this transaction have the row locked FOR UPDATE?  It has where "id" is
 * among the columns that the statement sets, as it is in those that rewrite.c
 * makes, and where soft_delete.c has found the row.
 */
static bool
is_locked(Relation rel, HeapTupleHeader tup)
{
	return rel->rd_tableam == GetHeapamTableAmRoutine() &&
		(tup->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI)) == 0 &&
		HEAP_XMAX_IS_LOCKED_ONLY(tup->t_infomask) &&
		HEAP_XMAX_IS_EXCL_LOCKED(tup->t_infomask) &&
		(tup->t_infomask2 & HEAP_KEYS_UPDATED) != 0 &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(tup));
}

/* A slot for a row. */
static TupleTableSlot *
row_slot(Deletion *deletion, Relation rel)
{
	/* rows of several partitions can come in turn */
	if (deletion->slot != NULL && deletion->slot->tts_tupleDescriptor != RelationGetDescr(rel))
	{
		ExecDropSingleTupleTableSlot(deletion->slot);
		deletion->slot = NULL;
	}
	if (deletion->slot == NULL)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(deletion->context);

		deletion->slot = table_slot_create(rel, NULL);
		MemoryContextSwitchTo(oldcontext);
	}
	return deletion->slot;
}

/* Lock a row FOR UPDATE. */
static void
lock_row(Deletion *deletion, Relation rel, HeapTuple tuple)
{
	TM_FailureData tmfd;
	TupleTableSlot *slot = row_slot(deletion, rel);

	(void) table_tuple_lock(rel, &tuple->t_self, GetActiveSnapshot(), slot,
							GetCurrentCommandId(true), LockTupleExclusive,
							LockWaitBlock, 0, &tmfd);
	ExecClearTuple(slot);
}

/* A statement cannot go on with a row that one of its triggers has changed: the executor's words. */
void
appdb_refuse_changed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
			 errmsg("tuple to be updated was already modified by an operation triggered by the current command"),
			 errhint("Consider using an AFTER trigger instead of a BEFORE trigger to propagate changes to other rows.")));
}

/*
 * A row is about to be deleted: it is locked against UPDATE already, since a
 * BEFORE trigger sees it.  "named": its statement names deleted_at.  Returns the
 * stamp to give it, or 0 if row security does not let the caller delete it.
 */
TimestampTz
appdb_deletion_row(Relation rel, HeapTuple oldtup, const pg_uuid_t *id, bool named)
{
	Deletion   *deletion = find_deletion(rel);

	/* the triggers before the statement have fired for another part of it */
	if (unlikely(deletion == NULL) && named)
	{
		begin_deletion(appdb_whole_table(RelationGetRelid(rel)));
		deletion = deletions;
	}
	if (unlikely(deletion == NULL))
	{
		/* a table that has no statement triggers, and needs none */
		if (appdb_get_links(rel)->nchildren == 0)
		{
			AppdbPolicies *policies = NULL;

			return appdb_may_delete(rel, oldtup, &policies, CurrentMemoryContext) ? new_stamp() : 0;
		}
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("deleted_at of table \"%s\" was set by a statement that does not name the column",
						RelationGetRelationName(rel)),
				 errdetail("Children of the row would stay live."),
				 errhint("Delete from the live view, or name deleted_at in the UPDATE; a BEFORE trigger cannot set it.")));
	}
	if (!appdb_may_delete(rel, oldtup, &deletion->policies, deletion->context))
		return 0;
	/* row by row, nobody else looks whether a trigger before us has changed it */
	if (deletion->deleter != NULL && appdb_get_links(rel)->others_come_first)
	{
		TupleTableSlot *slot = row_slot(deletion, rel);

		if (!table_tuple_fetch_row_version(rel, &oldtup->t_self, SnapshotSelf, slot))
			appdb_refuse_changed();
		ExecClearTuple(slot);
	}
	give_stamp(deletion);
	deletion->nrows++;

	if (appdb_get_links(rel)->nchildren > 0)
	{
		/* keep out those who would add a child, and wait for those who have */
		if (!is_locked(rel, oldtup->t_data))
			lock_row(deletion, rel, oldtup);
		remember_id(deletion, id);
	}
	appdb_guard_forget();
	return deletion->stamp;
}

/*
 * A deleted row is about to come back.
 */
void
appdb_undeletion_row(Relation rel, TimestampTz stamp, const pg_uuid_t *id)
{
	Deletion   *deletion;

	if (current_restore == NULL)
		return;
	deletion = find_deletion(rel);
	if (deletion == NULL || deletion->restoring != stamp)
		return;
	deletion->nrows++;
	if (appdb_get_links(rel)->nchildren > 0)
		remember_id(deletion, id);
	appdb_restore_came(current_restore, deletion->relid, id);
	current_restore->relid = RelationGetRelid(rel);
	current_restore->id = *id;
}

/* rows of one table that have passed to one operation */
typedef struct PassedRows
{
	Oid			relid;
	TimestampTz stamp;
	Datum	   *ids;
	int			nids;
	int			maxids;
} PassedRows;

static void
remember_passed(AppdbRestore *restore, Oid relid, TimestampTz stamp, const pg_uuid_t *id)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(restore->context);
	pg_uuid_t  *copy = palloc(sizeof(pg_uuid_t));
	PassedRows *rows = NULL;
	ListCell   *lc;

	foreach(lc, restore->passed)
	{
		rows = lfirst(lc);
		if (rows->relid == relid && rows->stamp == stamp)
			break;
		rows = NULL;
	}
	if (rows == NULL)
	{
		rows = palloc0(sizeof(PassedRows));
		rows->relid = relid;
		rows->stamp = stamp;
		rows->maxids = 8;
		rows->ids = palloc(sizeof(Datum) * rows->maxids);
		restore->passed = lappend(restore->passed, rows);
	}
	if (rows->nids == rows->maxids)
	{
		rows->maxids *= 2;
		rows->ids = repalloc_huge(rows->ids, sizeof(Datum) * rows->maxids);
	}
	*copy = *id;
	rows->ids[rows->nids++] = UUIDPGetDatum(copy);
	MemoryContextSwitchTo(oldcontext);
}

/*
 * What becomes of a row that would come back, but has a deleted parent?
 */
AppdbComeback
appdb_comeback(Relation rel, const pg_uuid_t *id, TimestampTz parent_deleted_at)
{
	Deletion   *deletion;
	bool		asked;

	if (current_restore == NULL)
		return APPDB_REFUSED;
	deletion = find_deletion(rel);
	if (deletion == NULL || deletion->restoring == 0)
		return APPDB_REFUSED;
	asked = appdb_restore_asked(current_restore, deletion->relid, id);
	if (parent_deleted_at != deletion->restoring)
	{
		if (asked)
			return APPDB_REFUSED;
		if (appdb_get_links(rel)->nchildren > 0)
			remember_passed(current_restore, deletion->relid, parent_deleted_at, id);
		return APPDB_PASSES;
	}
	if (asked && current_restore->circular)
		return APPDB_COMES;
	if (asked && current_restore->waiting == NULL)
		return APPDB_REFUSED;
	appdb_restore_waits(current_restore, deletion->relid, id);
	return APPDB_WAITS;
}

bool
appdb_is_restoring(void)
{
	return current_restore != NULL;
}

/*
 * Is a statement under way that a deletion or a restore has caused?
 */
bool
appdb_cascading(void)
{
	return cascades != NULL;
}

/* ---- notes ---- */

/*
 * Insert into a table of the engine's, without SQL: whoever deletes needs no
 * privilege there.  For a superuser, also one who deletes from a table of their
 * own, what its owner has put on it runs as that role.  Tables of an older
 * version may not have it.
 */
static void
insert_note(const char *table, int ncolumns, const char *const *names, const Oid *types, const Datum *values)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(table, nsp) : InvalidOid;
	Relation	rel;
	EState	   *estate;
	ResultRelInfo *relinfo;
	TupleTableSlot *slot;
	MemoryContext oldcontext;
	bool		as_owner;
	AppdbCaller caller;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		return;

	rel = table_open(relid, RowExclusiveLock);
	as_owner = superuser() && !superuser_arg(rel->rd_rel->relowner);
	if (as_owner)
		appdb_begin_as(rel->rd_rel->relowner, &caller);
	estate = CreateExecutorState();
	oldcontext = MemoryContextSwitchTo(estate->es_query_cxt);
	relinfo = appdb_init_target(estate, rel, NULL);
	estate->es_output_cid = GetCurrentCommandId(true);
	slot = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel), &TTSOpsVirtual);
	ExecClearTuple(slot);
	for (int i = 0; i < RelationGetDescr(rel)->natts; i++)
		slot->tts_isnull[i] = true;
	for (int i = 0; i < ncolumns; i++)
	{
		AttrNumber	attnum = appdb_attribute(rel, names[i], types[i]);

		if (attnum == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s.%s\" has no column \"%s\" of type %s", APPDB_DATA_SCHEMA, table, names[i],
							format_type_be(types[i]))));
		slot->tts_values[attnum - 1] = values[i];
		slot->tts_isnull[attnum - 1] = false;
	}
	ExecStoreVirtualTuple(slot);
	ExecOpenIndices(relinfo, false);
	/* the table's triggers need a query that they are of: the statement's may have ended */
	estate->es_opened_result_relations = list_make1(relinfo);
	AfterTriggerBeginQuery();
	ExecSimpleRelationInsert(relinfo, estate, slot);
	AfterTriggerEndQuery(estate);
	ExecCloseIndices(relinfo);
	ExecResetTupleTable(estate->es_tupleTable, false);
	MemoryContextSwitchTo(oldcontext);
	FreeExecutorState(estate);
	if (as_owner)
		appdb_end_as(&caller);
	table_close(rel, NoLock);
}

static void
note_deletion(const Deletion *deletion, uint64 nrows)
{
	static const char *const names[] = {"id", "deleted_at", "entity", "role", "rows", "user_id"};
	static const Oid types[] = {UUIDOID, TIMESTAMPTZOID, REGCLASSOID, NAMEOID, INT8OID, UUIDOID};
	Datum		values[lengthof(names)];
	NameData	role;

	namestrcpy(&role, GetUserNameFromId(deletion->role, false));
	values[0] = DirectFunctionCall1(appdb_uuidv7, (Datum) 0);
	values[1] = TimestampTzGetDatum(deletion->stamp);
	values[2] = ObjectIdGetDatum(deletion->relid);
	values[3] = NameGetDatum(&role);
	values[4] = Int64GetDatum((int64) nrows);
	values[5] = UUIDPGetDatum(&deletion->user);
	insert_note("deletions", deletion->has_user ? lengthof(names) : lengthof(names) - 1, names, types, values);
}

/*
 * A row can have forgotten another parent of the same operation before, and
 * been given this one while it was deleted: it remembers the last.
 */
static void
remove_unlinked(Datum *values)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TIMESTAMPTZOID, REGCLASSOID, NAMEOID, UUIDOID};

	/* without the table nothing is noted, either */
	if (!OidIsValid(get_relname_relid("unlinked", get_namespace_oid(APPDB_DATA_SCHEMA, true))))
		return;
	SPI_connect();
	appdb_query_as_owner(&plan, "unlinked",
						 "DELETE FROM app_data.unlinked u WHERE u.deleted_at OPERATOR(pg_catalog.=) $1 "
						 "AND u.child OPERATOR(pg_catalog.=) $2 AND u.child_column OPERATOR(pg_catalog.=) $3 "
						 "AND u.child_id OPERATOR(pg_catalog.=) $4",
						 lengthof(types), types, values, NULL, false);
	SPI_finish();
}

/*
 * A row that comes back forgets a parent that was deleted after it: note that
 * as if it had been there when the parent was deleted.
 */
void
appdb_note_unlinked(const AppdbLink *link, TimestampTz deleted_at,
					const pg_uuid_t *child_id, const pg_uuid_t *parent_id)
{
	static const char *const names[] = {"deleted_at", "child", "child_column", "child_id", "parent_id"};
	static const Oid types[] = {TIMESTAMPTZOID, REGCLASSOID, NAMEOID, UUIDOID, UUIDOID};
	Datum		values[lengthof(names)];
	NameData	column;

	namestrcpy(&column, get_attname(link->child, link->child_columns[link->key], false));
	values[0] = TimestampTzGetDatum(deleted_at);
	/* deletes and restores name the table that the row's is a partition of */
	values[1] = ObjectIdGetDatum(appdb_whole_table(link->child));
	values[2] = NameGetDatum(&column);
	values[3] = UUIDPGetDatum(child_id);
	values[4] = UUIDPGetDatum(parent_id);
	remove_unlinked(values);
	insert_note("unlinked", lengthof(names), names, types, values);
}

/* ---- cascades ---- */

/*
 * The other tables that the statement for children names, after "keyword":
 * the parents, where the foreign key has more columns than the key, and the
 * ids, where they are many, since a set that is joined with takes less memory
 * than an array that is searched.
 */
static void
append_sources(StringInfo sql, const AppdbLink *link, const char *keyword, int kind)
{
	if (link->ncolumns > 1)
	{
		appendStringInfo(sql, "%s %s p", keyword, appdb_qualified_name(link->parent));
		keyword = ",";
	}
	if ((kind & APPDB_PLAN_FEW) == 0)
		appendStringInfo(sql, "%s pg_catalog.unnest($1) i (id)", keyword);
}

/*
 * The condition for children of the given parents: by the key alone if that is
 * all of the foreign key, otherwise by all columns, which is what its index
 * begins with.
 */
static void
append_children(StringInfo sql, const AppdbLink *link, int kind)
{
	const char *ids = (kind & APPDB_PLAN_FEW) != 0 ? "ANY ($1)" : "i.id";

	if (link->ncolumns == 1)
	{
		appendStringInfo(sql, " c.%s OPERATOR(pg_catalog.=) %s",
						 quote_identifier(get_attname(link->child, link->child_columns[0], false)), ids);
		return;
	}
	appendStringInfo(sql, " p.id OPERATOR(pg_catalog.=) %s AND ", ids);
	appdb_append_link(sql, link, false);
}

/*
 * Mode "set null" notes what was forgotten in app_data.unlinked, so that a
 * restore of the parent can tell its children again.  Tables of an older
 * version may not have it, and the owner of the child may not write there; a
 * superuser does not, where it is somebody else's.
 */
static bool
can_note_unlinked(Oid owner)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid("unlinked", nsp) : InvalidOid;
	AclMode		mode = ACL_SELECT | ACL_INSERT | ACL_DELETE;

	return OidIsValid(relid) && get_rel_relkind(relid) == RELKIND_RELATION &&
		(!superuser_arg(owner) || superuser_arg(appdb_table_owner(relid))) &&
		pg_class_aclmask(relid, owner, mode, ACLMASK_ALL) == mode;
}

static char *
unlink_statement(const AppdbLink *link, int kind)
{
	StringInfoData sql;
	char	   *child = appdb_qualified_name(link->child);
	char	   *child_literal = quote_literal_cstr(child);
	const char *name = get_attname(link->child, link->child_columns[link->key], false);
	const char *column = quote_identifier(name);
	char	   *column_literal = quote_literal_cstr(name);

	initStringInfo(&sql);
	if ((kind & APPDB_PLAN_RESTORE) != 0)
	{
		/* by what is known of the table, hardly a row may have forgotten its parent: see link_statement() */
		appendStringInfo(&sql,
						 "WITH l AS (DELETE FROM app_data.unlinked u "
						 "WHERE u.deleted_at OPERATOR(pg_catalog.=) $2 "
						 "AND u.child OPERATOR(pg_catalog.=) %s::pg_catalog.regclass "
						 "AND u.child_column OPERATOR(pg_catalog.=) %s "
						 "AND u.parent_id OPERATOR(pg_catalog.=) ANY ($1) "
						 "RETURNING u.child_id, u.parent_id) "
						 "UPDATE %s c SET %s = l.parent_id FROM l%s%s "
						 "WHERE c.id OPERATOR(pg_catalog.=) l.child_id AND CASE WHEN c.%s IS NULL THEN true END",
						 child_literal, column_literal, child, column,
						 link->ncolumns > 1 ? " JOIN " : "",
						 link->ncolumns > 1 ? psprintf("%s p ON p.id OPERATOR(pg_catalog.=) l.parent_id",
													   appdb_qualified_name(link->parent)) : "",
						 column);
		/* unless it has gone where it cannot refer to the parent any more */
		appdb_append_link(&sql, link, true);
		return sql.data;
	}
	appendStringInfo(&sql, "WITH o AS (SELECT c.id, c.%s AS parent_id FROM %s c", column, child);
	append_sources(&sql, link, ",", kind);
	appendStringInfoString(&sql, " WHERE");
	append_children(&sql, link, kind);
	if (link->child_deleted_at != InvalidAttrNumber)
		appendStringInfoString(&sql, " AND c.deleted_at IS NULL");
	appendStringInfo(&sql,
					 " FOR NO KEY UPDATE OF c), "
					 "u AS (UPDATE %s c SET %s = NULL FROM o WHERE c.id OPERATOR(pg_catalog.=) o.id) "
					 "INSERT INTO app_data.unlinked (deleted_at, child, child_column, child_id, parent_id) "
					 "SELECT $2, %s::pg_catalog.regclass, %s, o.id, o.parent_id FROM o",
					 child, column, child_literal, column_literal);
	return sql.data;
}

/* One of the children that the statement should have dealt with. */
static char *
left_statement(const AppdbLink *link, int kind)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "SELECT c.id::pg_catalog.uuid FROM %s c", appdb_qualified_name(link->child));
	append_sources(&sql, link, ",", kind);
	appendStringInfoString(&sql, " WHERE");
	append_children(&sql, link, kind);
	if (link->child_deleted_at != InvalidAttrNumber && link->mode != APPDB_PURGE)
		appendStringInfoString(&sql, " AND c.deleted_at IS NULL");
	appendStringInfoString(&sql, " LIMIT 1");
	return sql.data;
}

/* The statement that follows a foreign key. */
static char *
link_statement(const AppdbLink *link, int kind)
{
	StringInfoData sql;
	bool		restore = (kind & APPDB_PLAN_RESTORE) != 0;
	char	   *child = appdb_qualified_name(link->child);

	if ((kind & APPDB_PLAN_LEFT) != 0)
		return left_statement(link, kind);
	if ((kind & APPDB_PLAN_NOTED) != 0)
		return unlink_statement(link, kind);
	initStringInfo(&sql);
	switch (link->mode)
	{
		case APPDB_CASCADE:
			appendStringInfo(&sql, "UPDATE %s c SET deleted_at = %s", child, restore ? "NULL" : "$2");
			break;
		case APPDB_SET_NULL:
			appendStringInfo(&sql, "UPDATE %s c SET %s = NULL", child,
							 quote_identifier(get_attname(link->child, link->child_columns[link->key], false)));
			break;
		case APPDB_PURGE:
			appendStringInfo(&sql, "DELETE FROM %s c", child);
			break;
		case APPDB_RESTRICT:
			appendStringInfo(&sql, "SELECT pg_catalog.count(*) FROM %s c", child);
			break;
	}
	append_sources(&sql, link,
				   link->mode == APPDB_PURGE ? " USING" :
				   link->mode == APPDB_RESTRICT ? "," : " FROM", kind);
	appendStringInfoString(&sql, " WHERE");
	append_children(&sql, link, kind);

	/*
	 * By what is known of the table, hardly a row has just this deleted_at: so
	 * few that the ids might as well be gone through for each.  Of many
	 * parents, all children may have it.
	 */
	if (restore && (kind & APPDB_PLAN_FEW) != 0)
		appendStringInfoString(&sql, " AND c.deleted_at OPERATOR(pg_catalog.=) $2");
	else if (restore)
		appendStringInfoString(&sql, " AND CASE WHEN c.deleted_at OPERATOR(pg_catalog.=) $2 THEN true END");
	else if (link->child_deleted_at != InvalidAttrNumber && link->mode != APPDB_PURGE)
		appendStringInfoString(&sql, " AND c.deleted_at IS NULL");
	return sql.data;
}

/*
 * Can something of the user's keep the statement from a child?  Rules can, and
 * triggers before the row is changed, also those of single partitions.
 */
static bool
may_leave_children(const AppdbLink *link, Relation child)
{
	AttrNumber	column = link->mode == APPDB_SET_NULL ? link->child_columns[link->key] : link->child_deleted_at;
	int16		event = link->mode == APPDB_PURGE ? TRIGGER_TYPE_DELETE : TRIGGER_TYPE_UPDATE;

	if (child->rd_rules != NULL || has_subclass(RelationGetRelid(child)))
		return true;
	/* a look into the catalogs can have them made anew */
	for (int i = 0; child->trigdesc != NULL && i < child->trigdesc->numtriggers; i++)
	{
		Trigger    *trigger = &child->trigdesc->triggers[i];
		bool		fires = trigger->tgnattr == 0 || event == TRIGGER_TYPE_DELETE;

		if (!TRIGGER_TYPE_MATCHES(trigger->tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_BEFORE, event))
			continue;
		for (int j = 0; j < trigger->tgnattr && !fires; j++)
			fires = trigger->tgattr[j] == column;
		if (fires && !appdb_is_engine_function(trigger->tgfoid))
			return true;
	}
	return false;
}

/*
 * No live child of a deleted parent: what the statement for children has left
 * as it was stops the deletion.
 */
static void
refuse_left(const AppdbLink *link, Datum *values, int kind, BlockNumber size)
{
	SPIPlanPtr	plan = appdb_link_plan(link, kind | APPDB_PLAN_LEFT, size, link_statement);
	int			rc;

	CommandCounterIncrement();
	rc = SPI_execute_snapshot(plan, values, NULL, GetLatestSnapshot(), InvalidSnapshot, false, false, 1);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
	if (SPI_processed == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("row %s of table \"%s\" would stay under a deleted row of table \"%s\"",
					appdb_uuid_text(DatumGetUUIDP(appdb_found(0, 1))),
					appdb_table_name(link->child), appdb_table_name(link->parent)),
			 errdetail("A trigger or a rule of table \"%s\" has left it as it was.", appdb_table_name(link->child)),
			 errhint("To keep the row, give it another parent there, or raise an error, which keeps its parent, too.")));
}

/* The size of a table with its partitions. */
static BlockNumber
number_of_blocks(Relation rel)
{
	PartitionDesc partitions;
	BlockNumber size = 0;

	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		return RELKIND_HAS_STORAGE(rel->rd_rel->relkind) ? RelationGetNumberOfBlocks(rel) : 0;
	partitions = RelationGetPartitionDesc(rel, true);
	for (int i = 0; i < partitions->nparts; i++)
	{
		Relation	partition = table_open(partitions->oids[i], AccessShareLock);

		size += number_of_blocks(partition);
		table_close(partition, NoLock);
	}
	return size;
}

/*
 * Follow a foreign key from deleted rows, or from rows that have come back, as
 * the owner of the child table.
 */
static void
follow_link(const AppdbLink *link, ArrayType *ids, TimestampTz stamp, bool restore)
{
	Datum		values[2] = {PointerGetDatum(ids), TimestampTzGetDatum(stamp)};
	int			kind = restore ? APPDB_PLAN_RESTORE : 0;
	Oid			owner;
	Relation	child;
	BlockNumber size = 0;
	bool		check;
	AppdbCaller caller;
	SPIPlanPtr	plan;
	Snapshot	snapshot = InvalidSnapshot;
	Snapshot	crosscheck = InvalidSnapshot;
	int			rc;

	/* the lock that the statement takes: from here on names stay */
	child = table_open(link->child, link->mode == APPDB_RESTRICT ? AccessShareLock : RowExclusiveLock);
	owner = child->rd_rel->relowner;
	if (ARR_DIMS(ids)[0] <= FEW_IDS)
	{
		kind |= APPDB_PLAN_FEW;
		if (child->rd_rel->relkind == RELKIND_RELATION && !restore && ARR_DIMS(ids)[0] <= PROBED_IDS &&
			!appdb_may_have_children(link, child, (pg_uuid_t *) ARR_DATA_PTR(ids), ARR_DIMS(ids)[0]))
		{
			table_close(child, NoLock);
			return;
		}
		size = number_of_blocks(child);
	}
	check = !restore && link->mode != APPDB_RESTRICT && may_leave_children(link, child);
	table_close(child, NoLock);
	if (link->mode == APPDB_SET_NULL)
	{
		if (can_note_unlinked(owner))
			kind |= APPDB_PLAN_NOTED;
		else if (restore)
			return;
	}

	appdb_begin_as(owner, &caller);
	plan = appdb_link_plan(link, kind, size, link_statement);

	if (IsolationUsesXactSnapshot())
	{
		CommandCounterIncrement();
		snapshot = GetLatestSnapshot();
		crosscheck = GetTransactionSnapshot();
	}
	rc = SPI_execute_snapshot(plan, values, NULL, snapshot, crosscheck, false, true, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
	if (unlikely(check))
		refuse_left(link, values, kind, size);

	appdb_end_as(&caller);

	if (link->mode == APPDB_RESTRICT)
	{
		bool		isnull;
		int64		count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));

		if (count > 0)
		{
			child = table_open(link->child, NoLock);
			ereport(ERROR,
					(errcode(ERRCODE_RESTRICT_VIOLATION),
					 errmsg("cannot delete from table \"%s\": rows of table \"%s\" refer to it",
							get_rel_name(link->parent), get_rel_name(link->child)),
					 errdetail_plural("%lld live row refers to it by column \"%s\".", "%lld live rows refer to it by column \"%s\".",
									  (unsigned long) count, (long long) count,
									  get_attname(link->child, link->child_columns[link->key], false)),
					 errhint("Delete those first, or give them another parent."),
					 errtableconstraint(child, get_constraint_name(link->constraint))));
		}
	}
}

/*
 * Follow all foreign keys from the rows of one table.
 */
static void
follow_links(Cascade *cascade, Deletion *deletion)
{
	Relation	rel = table_open(deletion->relid, AccessShareLock);
	const AppdbLinks *links = appdb_get_links(rel);
	int			nchildren = links->nchildren;
	AppdbLink  *children = MemoryContextAlloc(deletion->context, sizeof(AppdbLink) * (nchildren + 1));
	ArrayType  *ids = deletion->ids;
	bool		restore = (deletion->restoring != 0);
	TimestampTz stamp = restore ? deletion->restoring : deletion->stamp;

	memcpy(children, links->children, sizeof(AppdbLink) * nchildren);
	table_close(rel, NoLock);
	SET_VARSIZE(ids, IDS_SIZE(deletion->nids));
	ids->ndim = 1;
	ids->dataoffset = 0;
	ids->elemtype = UUIDOID;
	ARR_DIMS(ids)[0] = (int) deletion->nids;
	ARR_LBOUND(ids)[0] = 1;

	SPI_connect();
	/* what may refuse comes first, then what marks, then what removes */
	for (int pass = 0; pass < 3; pass++)
	{
		for (int i = 0; i < nchildren; i++)
		{
			if (pass != (children[i].mode == APPDB_RESTRICT ? 0 :
						 children[i].mode == APPDB_PURGE ? 2 : 1))
				continue;
			if (restore && children[i].mode != APPDB_CASCADE && children[i].mode != APPDB_SET_NULL)
				continue;
			cascade->about = children[i].mode == APPDB_CASCADE ? children[i].child : InvalidOid;
			follow_link(&children[i], ids, stamp, restore);
			cascade->about = InvalidOid;
		}
	}
	SPI_finish();
}

/*
 * What follows a foreign key from rows that have passed to another operation:
 * $1 are their ids, $2 the operation that they were of, $3 the other one.
 */
static char *
pass_statement(const AppdbLink *link)
{
	StringInfoData sql;
	char	   *child = appdb_qualified_name(link->child);

	initStringInfo(&sql);
	if (link->mode == APPDB_SET_NULL)
		appendStringInfo(&sql,
						 "WITH l AS (DELETE FROM app_data.unlinked u "
						 "WHERE u.deleted_at OPERATOR(pg_catalog.=) $2 "
						 "AND u.child OPERATOR(pg_catalog.=) %s::pg_catalog.regclass "
						 "AND u.child_column OPERATOR(pg_catalog.=) %s "
						 "AND u.parent_id OPERATOR(pg_catalog.=) ANY ($1) "
						 "RETURNING u.child, u.child_column, u.child_id, u.parent_id) "
						 "INSERT INTO app_data.unlinked (deleted_at, child, child_column, child_id, parent_id) "
						 "SELECT $3, l.child, l.child_column, l.child_id, l.parent_id FROM l ON CONFLICT DO NOTHING",
						 quote_literal_cstr(child),
						 quote_literal_cstr(get_attname(link->child, link->child_columns[link->key], false)));
	else
	{
		appendStringInfo(&sql, "UPDATE %s c SET deleted_at = $3", child);
		append_sources(&sql, link, " FROM", APPDB_PLAN_FEW);
		appendStringInfoString(&sql, " WHERE");
		append_children(&sql, link, APPDB_PLAN_FEW);
		appendStringInfoString(&sql, " AND c.deleted_at OPERATOR(pg_catalog.=) $2 RETURNING c.id::pg_catalog.uuid");
	}
	return sql.data;
}

/*
 * Rows that have passed to another operation take with them what went with
 * them, as they would have done had that operation come first.
 */
void
appdb_restore_pass_on(AppdbRestore *restore)
{
	while (restore->passed != NIL)
	{
		PassedRows *rows = linitial(restore->passed);
		Oid			types[] = {UUIDARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
		Datum		values[] = {PointerGetDatum(construct_array(rows->ids, rows->nids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)),
			TimestampTzGetDatum(restore->stamp), TimestampTzGetDatum(rows->stamp)};
		Relation	rel = table_open(rows->relid, AccessShareLock);
		const AppdbLinks *links = appdb_get_links(rel);
		int			nchildren = links->nchildren;
		AppdbLink  *children = palloc(sizeof(AppdbLink) * (nchildren + 1));

		restore->passed = list_delete_first(restore->passed);
		memcpy(children, links->children, sizeof(AppdbLink) * nchildren);
		table_close(rel, NoLock);

		SPI_connect();
		restore->passing = true;
		for (int i = 0; i < nchildren; i++)
		{
			Relation	child;
			AppdbCaller caller;
			int			rc;

			if (children[i].mode != APPDB_CASCADE && children[i].mode != APPDB_SET_NULL)
				continue;
			child = table_open(children[i].child, RowExclusiveLock);
			if (children[i].mode == APPDB_CASCADE || can_note_unlinked(child->rd_rel->relowner))
			{
				appdb_begin_as(child->rd_rel->relowner, &caller);
				rc = SPI_execute_with_args(pass_statement(&children[i]), lengthof(types), types, values, NULL, false, 0);
				if (rc < 0)
					elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
				appdb_end_as(&caller);
				for (uint64 j = 0; children[i].mode == APPDB_CASCADE && j < SPI_processed; j++)
				{
					bool		isnull;
					Datum		id = SPI_getbinval(SPI_tuptable->vals[j], SPI_tuptable->tupdesc, 1, &isnull);

					remember_passed(restore, children[i].child, rows->stamp, DatumGetUUIDP(id));
				}
			}
			table_close(child, NoLock);
		}
		restore->passing = false;
		SPI_finish();
	}
}

bool
appdb_is_passing(void)
{
	return current_restore != NULL && current_restore->passing;
}

/*
 * A statement of a cascade has ended: its rows are of the next level.
 */
static void
queue_deletion(Cascade *cascade, Deletion *deletion)
{
	Deletion   *same = cascade->todo;

	while (same != NULL && (same->relid != deletion->relid || same->stamp != deletion->stamp ||
							same->restoring != deletion->restoring))
		same = same->next;
	if (same == NULL)
	{
		deletion->next = cascade->todo;
		cascade->todo = deletion;
		return;
	}
	remember_ids(same, deletion);
	MemoryContextDelete(deletion->context);
}

/*
 * Do what a statement causes, level by level.  Returns how many rows that is.
 */
static uint64
run_cascade(Deletion *first)
{
	Cascade    *cascade = MemoryContextAllocZero(first->context, sizeof(Cascade));
	uint64		nrows;

	cascade->context = first->context;
	cascade->subid = GetCurrentSubTransactionId();
	cascade->depth = running_depth + 1;
	cascade->outer = cascades;
	cascade->restoring = first->restoring;
	if (first->restoring == 0)
		cascade->stamp = first->stamp;
	else if (cascades != NULL)
		cascade->stamp = cascades->stamp;
	cascades = cascade;

	follow_links(cascade, first);
	while (cascade->todo != NULL)
	{
		Deletion   *level = cascade->todo;

		cascade->todo = NULL;
		while (level != NULL)
		{
			Deletion   *deletion = level;

			level = deletion->next;
			follow_links(cascade, deletion);
			MemoryContextDelete(deletion->context);
		}
	}

	nrows = cascade->nrows;
	cascades = cascade->outer;
	return nrows;
}

/*
 * Rows that come back from now on are those of this restore.
 */
void
appdb_restore_begin(AppdbRestore *restore)
{
	restore->subid = GetCurrentSubTransactionId();
	restore->outer = current_restore;
	restore->about = restore->root_relid;
	restore->depth = running_depth + 1;
	current_restore = restore;
}

void
appdb_restore_end(AppdbRestore *restore)
{
	current_restore = restore->outer;
}

/*
 * A statement has ended: do to children what the foreign keys say.
 */
static void
end_deletion(Deletion **place)
{
	Deletion   *deletion = *place;
	uint64		nrows;

	/* rows deleted from now on, by what we cause, are of other statements */
	*place = deletion->outer;
	if (deletion->deleter != NULL)
		appdb_close_deleter(deletion->deleter);
	if (deletion->slot != NULL)
		ExecDropSingleTupleTableSlot(deletion->slot);
	deletion->slot = NULL;

	nrows = deletion->nrows;
	if (deletion->restoring != 0 && current_restore != NULL && nrows > 0)
		appdb_restore_count(current_restore, deletion->relid, nrows);

	if (deletion->whole != NULL)
	{
		deletion->whole->nrows += nrows;
		remember_ids(deletion->whole, deletion);
	}
	else if (deletion->queued)
	{
		cascades->nrows += nrows;
		if (deletion->nids > 0)
		{
			queue_deletion(cascades, deletion);
			return;
		}
	}
	else
	{
		if (deletion->nids > 0)
			nrows += run_cascade(deletion);
		if (deletion->restoring == 0 && nrows > 0)
		{
			if (cascades != NULL && cascades->stamp == deletion->stamp)
				cascades->nrows += nrows;
			else
				note_deletion(deletion, nrows);
		}
	}
	forget_deletion(deletion);
}

void
appdb_deletion_end(Relation rel)
{
	Deletion  **place = &deletions;

	while (*place != NULL && (*place)->relid != RelationGetRelid(rel))
		place = &(*place)->outer;
	/* none where the trigger before the statement did not fire, and there were no rows */
	if (*place != NULL)
		end_deletion(place);
}

/* ---- the statement as a whole ---- */

static void
appdb_ExecutorRun(QueryDesc *queryDesc, ScanDirection direction, uint64 count
				  compat_ExecutorRun_once_decl)
{
	QueryDesc  *outer = running_query;

	running_query = queryDesc;
	running_depth++;
	PG_TRY();
	{
		if (prev_ExecutorRun_hook)
			prev_ExecutorRun_hook(queryDesc, direction, count compat_ExecutorRun_once_arg);
		else
			standard_ExecutorRun(queryDesc, direction, count compat_ExecutorRun_once_arg);
	}
	PG_FINALLY();
	{
		running_query = outer;
		running_depth--;
		last_run = queryDesc;
	}
	PG_END_TRY();
}

/*
 * The triggers after the statement fire in here, and parts of it that nothing
 * reads from are executed.
 */
static void
appdb_ExecutorFinish(QueryDesc *queryDesc)
{
	QueryDesc  *outer = running_query;
	QueryDesc  *begun = queryDesc == last_run ? queryDesc : NULL;
	Deletion  **place;

	running_query = queryDesc;
	running_depth++;
	PG_TRY();
	{
		if (prev_ExecutorFinish_hook)
			prev_ExecutorFinish_hook(queryDesc);
		else
			standard_ExecutorFinish(queryDesc);
	}
	PG_FINALLY();
	{
		running_query = outer;
		running_depth--;
	}
	PG_END_TRY();

	for (;;)
	{
		for (place = &deletions; *place != NULL && (*place)->query != queryDesc;)
			place = &(*place)->outer;
		if (likely(*place == NULL))
			break;
		end_deletion(place);
	}
	last_finished = begun;
}

/*
 * A statement that writes, and is not the one that has just finished, is one
 * that began before we were loaded: it is not known which of its deletions no
 * trigger has ended.
 */
static void
appdb_ExecutorEnd(QueryDesc *queryDesc)
{
	while (unlikely(deletions != NULL) && deletions->query == NULL && running_query == NULL &&
		   queryDesc != last_finished &&
		   (queryDesc->operation != CMD_SELECT || queryDesc->plannedstmt->hasModifyingCTE))
		end_deletion(&deletions);

	if (prev_ExecutorEnd_hook)
		prev_ExecutorEnd_hook(queryDesc);
	else
		standard_ExecutorEnd(queryDesc);
}

void
appdb_deletion_init(void)
{
	prev_ExecutorRun_hook = ExecutorRun_hook;
	ExecutorRun_hook = appdb_ExecutorRun;
	prev_ExecutorFinish_hook = ExecutorFinish_hook;
	ExecutorFinish_hook = appdb_ExecutorFinish;
	prev_ExecutorEnd_hook = ExecutorEnd_hook;
	ExecutorEnd_hook = appdb_ExecutorEnd;
}

/*
 * appdb.cascade() returns trigger
 *		BEFORE and AFTER UPDATE OF deleted_at FOR EACH STATEMENT.
 */
Datum
appdb_cascade(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_STATEMENT(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.cascade() can only be called by a trigger on UPDATE FOR EACH STATEMENT"),
				 errhint("appdb.manage() makes the triggers.")));

	if (TRIGGER_FIRED_BEFORE(trigdata->tg_event))
		appdb_deletion_begin(trigdata->tg_relation);
	else
		appdb_deletion_end(trigdata->tg_relation);
	PG_RETURN_POINTER(NULL);
}
