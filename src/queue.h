/*
 * queue.h
 *		What the parts of the task queue share: queue.c, claim.c, finish.c.
 */
#ifndef APPDB_QUEUE_H
#define APPDB_QUEUE_H

#include "appdb.h"

#include "access/attnum.h"
#include "access/genam.h"
#include "access/tableam.h"
#include "executor/tuptable.h"
#include "storage/lock.h"

/* what advisory locks of ours are for */
#define APPDB_LOCK_WAKE 1		/* a queue: somebody waits, somebody adds */
#define APPDB_LOCK_GROUP 2		/* a group: somebody fills its places */
#define APPDB_LOCK_PARK 3		/* a group: somebody parks its tasks, somebody gives a place back */
#define APPDB_LOCK_DEPENDS 4	/* a task that is there comes to wait for others */

/* columns of app_data.tasks that we know */
typedef enum TaskColumn
{
	T_ID, T_RUN_AT, T_PRIORITY, T_MAX_ATTEMPTS, T_KIND, T_QUEUE, T_PAYLOAD, T_SPACE_ID, T_USER_ID, T_DEDUPE_KEY, T_BACKOFF,
	T_EXPIRES_AT, T_GROUP_KEY, T_GROUP_LIMIT, T_DEPENDS_ON, T_WAITS_FOR, T_STATUS, T_ATTEMPTS, T_TICKET, T_PROGRESS, T_QUEUED,
	T_PARKED, T_HAS_DEPENDENTS, T_CANCEL_REQUESTED, T_GROUP_SLOT, T_LOCKED_UNTIL, T_FINISHED_AT, T_LOCKED_BY,
	T_PROGRESS_MESSAGE, T_RESULT, T_LAST_ERROR, T_ERRORS, T_CREATED_AT, T_UPDATED_AT, T_DELETED_AT, T_COUNT
} TaskColumn;

/* its indexes that we know */
typedef enum TaskIndex
{
	I_ID, I_READY, I_LATER, I_EXPIRES_AT, I_DEPENDS_ON, I_FINISHED_AT, I_GROUP_KEY, I_PARKED, I_GROUP_SLOT, I_DEDUPE_KEY,
	I_SPACE_ID, I_USER_ID, I_COUNT
} TaskIndex;

typedef struct TasksInfo
{
	bool		valid;
	Oid			relid;
	Oid			view;
	Oid			claim;			/* the function */
	AttrNumber	att[T_COUNT];
	Oid			index[I_COUNT]; /* InvalidOid: there is none */
	Oid			pending;		/* values of the status */
	Oid			running;
	Oid			completed;
	bool		plain_insert;	/* writing by hand is the same as INSERT */
	bool		plain_update;	/* ... as UPDATE, of what a claim or a completion changes */
	bool		plain_delete;	/* ... as DELETE */
	bool		known_indexes;	/* there are no others */
} TasksInfo;

/* the table, to be written to, and the indexes that were needed so far */
typedef struct TaskWriter
{
	Relation	rel;
	Relation	indexes[I_COUNT];
	IndexInfo  *info;
} TaskWriter;

/* in queue.c */
extern TasksInfo appdb_tasks;
extern Relation appdb_open_tasks(void);
extern Relation appdb_open_tasks_index(TaskIndex index, LOCKMODE lockmode);
extern Oid	appdb_engine_function(const char *name, int nargs, const Oid *argtypes);
extern void appdb_set_lock_tag(LOCKTAG *tag, int class, const char *name);
extern void appdb_wake_queue(const char *queue);
extern TimestampTz appdb_floor_ms(TimestampTz t);
extern TimestampTz appdb_task_updated_at(TupleTableSlot *slot);
extern Snapshot appdb_push_snapshot(void);
extern void appdb_pop_snapshot(Snapshot snapshot);
extern void appdb_stop_waiting(void);
extern bool appdb_start_waiting(const char *queue);
extern void appdb_begin_writing(TaskWriter *writer, Relation rel);
extern void appdb_end_writing(TaskWriter *writer);
extern bool appdb_fetch_task(IndexScanDesc scan, TupleTableSlot *slot);
extern TM_Result appdb_lock_task(Relation rel, ItemPointer tid, Snapshot snapshot, TM_FailureData *tmfd);
extern TM_Result appdb_update_task(TaskWriter *writer, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot,
								   TupleTableSlot *old, TM_FailureData *tmfd);

/* in claim.c */
extern void appdb_forget_places(const char *queue);

/* a column of the row in a slot that is deformed */
static inline Datum
task_value(const TupleTableSlot *slot, TaskColumn column, bool *isnull)
{
	AttrNumber	attnum = appdb_tasks.att[column];

	*isnull = slot->tts_isnull[attnum - 1];
	return slot->tts_values[attnum - 1];
}

static inline bool
task_is_null(const TupleTableSlot *slot, TaskColumn column)
{
	return slot->tts_isnull[appdb_tasks.att[column] - 1];
}

static inline void
set_task_value(TupleTableSlot *slot, TaskColumn column, Datum value, bool isnull)
{
	AttrNumber	attnum = appdb_tasks.att[column];

	slot->tts_values[attnum - 1] = value;
	slot->tts_isnull[attnum - 1] = isnull;
}

#endif							/* APPDB_QUEUE_H */
