/*
 * queue.c
 *		The task queue: what has to be fast, and what needs other rights than
 *		the caller's.
 *
 * appdb.enqueue() and appdb.enqueue_many() write ordinary tasks straight into
 * app_data.tasks and its two indexes that have them, where that is the same as
 * an INSERT in appdb.tasks: the caller has the privilege, no row security
 * applies, and the table has no triggers, constraints or indexes but appdb's.
 * Everything else is left to functions in PL/pgSQL.
 *
 * appdb.claim() walks along the index of ready tasks, in which each priority
 * of a queue has a range for each space, ordered by run_at.  It takes tasks
 * from the ranges of the highest priority in turn.  A task is taken by a HOT
 * update that does not wait: if somebody else is at it, it is theirs.  So
 * nobody waits for anybody, no plan can go wrong, and no lock is written
 * beforehand.
 *
 * Finished tasks leave entries in the index until nobody can see them any
 * more, which may be long where a snapshot holds vacuum back.  A session that
 * had to step over many remembers for each range where it ended, and starts
 * there for a while: ten times as long as the walk took.  What comes to stand
 * before that place meanwhile (a task that failed, a transaction that took
 * long, a higher priority) is found by the next whole walk.  As long as walks
 * are short, all are whole.
 *
 * Waking: a worker that found nothing holds a session lock for each of its
 * queues, and who adds a task takes the same lock in another mode, until the
 * end of the transaction, without waiting.  Where that fails, a worker waits
 * and a notification is sent.  Where it succeeds, no worker can begin to wait
 * before the task is there to be seen.  So a NOTIFY, which serializes commits,
 * is sent only while somebody waits.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define CHANNEL "appdb_tasks"

/* advisory locks that are none of the users' */
#define LOCK_SPACE 0xADB		/* they have 1 and 2 */
#define LOCK_WAKE 1
#define LOCK_GROUP 2

/* dead or busy entries in a walk from which on places are remembered */
#define LONG_WALK 200
/* how many times as long as such a walk they hold */
#define HINT_FACTOR 10
#define MAX_HINTS 256
#define MAX_BURIED 100
#define DUE_BATCH 1000

/* columns of app_data.tasks that we know */
typedef enum TaskColumn
{
	T_ID, T_KIND, T_QUEUE, T_PAYLOAD, T_STATUS, T_PRIORITY, T_RUN_AT, T_ATTEMPTS, T_MAX_ATTEMPTS, T_PROGRESS,
	T_PROGRESS_MESSAGE, T_RESULT, T_LAST_ERROR, T_LOCKED_BY, T_LOCKED_UNTIL, T_FINISHED_AT, T_DEDUPE_KEY, T_SPACE_ID,
	T_USER_ID, T_QUEUED, T_TICKET, T_BACKOFF, T_EXPIRES_AT, T_GROUP_KEY, T_GROUP_LIMIT, T_GROUP_SLOT, T_DEPENDS_ON,
	T_WAITS_FOR, T_HAS_DEPENDENTS, T_CANCEL_REQUESTED, T_ERRORS, T_CREATED_AT, T_UPDATED_AT, T_DELETED_AT, T_COUNT
} TaskColumn;

static const char *const column_names[T_COUNT] = {
	"id", "kind", "queue", "payload", "status", "priority", "run_at", "attempts", "max_attempts", "progress",
	"progress_message", "result", "last_error", "locked_by", "locked_until", "finished_at", "dedupe_key", "space_id",
	"user_id", "queued", "ticket", "backoff", "expires_at", "group_key", "group_limit", "group_slot", "depends_on",
	"waits_for", "has_dependents", "cancel_requested", "errors", "created_at", "updated_at", "deleted_at"
};

/* the constraints and indexes that writing by hand takes care of */
static const char *const known_checks[] = {
	"tasks_kind_check", "tasks_queue_check", "tasks_attempts_check", "tasks_max_attempts_check", "tasks_progress_check",
	"tasks_progress_message_check", "tasks_last_error_check", "tasks_locked_by_check", "tasks_dedupe_key_check",
	"tasks_backoff_check", "tasks_group_key_check", "tasks_group_limit_check", "tasks_waits_for_check"
};
static const char *const known_indexes[] = {
	"tasks_pkey", "tasks_ready_idx", "tasks_later_idx", "tasks_depends_on_idx", "tasks_finished_at_idx",
	"tasks_group_slot_key", "tasks_dedupe_key_key", "tasks_space_id_idx", "tasks_user_id_idx"
};

typedef struct TasksInfo
{
	bool		valid;
	Oid			relid;
	Oid			view;
	Oid			pkey;
	Oid			ready;
	Oid			later;
	Oid			claim;			/* the function */
	AttrNumber	att[T_COUNT];
	Oid			pending;		/* values of the status */
	Oid			running;
	bool		plain_insert;	/* writing by hand is the same as INSERT */
	bool		plain_update;	/* ... as UPDATE, of what a claim changes */
} TasksInfo;

static TasksInfo tasks_info;
static bool callback_registered = false;

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
	TimestampTz next_due;		/* no need to look for due tasks before */
	int			nhints;
	Range		hints[MAX_HINTS];
} QueueMemory;

static List *memories = NIL;	/* in TopMemoryContext */
static List *waiting = NIL;		/* LOCKTAGs that the session holds, idle */

typedef struct Claim
{
	FunctionCallInfo fcinfo;
	Relation	rel;
	Relation	ready;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TupleTableSlot *newslot;
	EState	   *estate;
	ResultRelInfo *relinfo;
	const char *queue;
	Datum		queue_datum;
	QueueMemory *memory;
	TimestampTz now;
	TimestampTz until;
	Datum		worker;
	int			wanted;
	int			taken;
	uint64		examined;
	List	   *blocked;		/* groups that are full or busy: char * */
	pg_uuid_t	buried[MAX_BURIED];
	int			nburied;
} Claim;

PG_FUNCTION_INFO_V1(appdb_task_as_owner);
PG_FUNCTION_INFO_V1(appdb_enqueue);
PG_FUNCTION_INFO_V1(appdb_enqueue_many);
PG_FUNCTION_INFO_V1(appdb_claim);
PG_FUNCTION_INFO_V1(appdb_idle);
PG_FUNCTION_INFO_V1(appdb_wake);

/* == what we know of the table ============================================ */

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == tasks_info.relid)
		tasks_info.valid = false;
}

static Oid
need_relation(const char *name)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist", APPDB_DATA_SCHEMA, name),
				 errdetail("The task queue needs it."),
				 errhint("Where it has been dropped or renamed, put it back as appdb.tables_sql() shows it.")));
	return relid;
}

static bool
is_known(const char *name, const char *const *known, int nknown)
{
	for (int i = 0; i < nknown; i++)
	{
		if (strcmp(name, known[i]) == 0)
			return true;
	}
	return false;
}

static Oid
enum_value(Oid type, const char *label)
{
	Oid			value = GetSysCacheOid2(ENUMTYPOIDNAME, Anum_pg_enum_oid, ObjectIdGetDatum(type), CStringGetDatum(label));

	if (!OidIsValid(value))
		elog(ERROR, "type %u has no value \"%s\"", type, label);
	return value;
}

/* a function of ours, called with rights that are set already */
static Oid
engine_function(const char *name, int nargs, const Oid *argtypes)
{
	oidvector  *args = buildoidvector(argtypes, nargs);
	Oid			oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name), PointerGetDatum(args),
									  ObjectIdGetDatum(get_namespace_oid(APPDB_SCHEMA, false)));

	if (!OidIsValid(oid))
		elog(ERROR, "function %s.%s does not exist", APPDB_SCHEMA, name);
	return oid;
}

static Relation
open_tasks(void)
{
	Relation	rel;
	TupleDesc	desc;
	Oid			engine;
	List	   *indexes;
	ListCell   *lc;
	TasksInfo	info;
	Oid			claim_args[] = {TEXTARRAYOID, TEXTOID, INT4OID, INTERVALOID};

	if (!callback_registered)
	{
		CacheRegisterRelcacheCallback(relcache_callback, (Datum) 0);
		callback_registered = true;
	}
	if (tasks_info.valid)
	{
		rel = try_table_open(tasks_info.relid, RowExclusiveLock);
		/* taking the lock may have brought news */
		if (rel != NULL && tasks_info.valid)
			return rel;
		if (rel != NULL)
			table_close(rel, NoLock);
	}

	memset(&info, 0, sizeof(info));
	info.relid = need_relation("tasks");
	rel = table_open(info.relid, RowExclusiveLock);
	desc = RelationGetDescr(rel);
	engine = get_namespace_oid(APPDB_SCHEMA, false);
	info.view = get_relname_relid("tasks", engine);
	info.ready = need_relation("tasks_ready_idx");
	info.later = need_relation("tasks_later_idx");
	info.pkey = compat_primary_key_index(rel);
	info.claim = engine_function("claim", 4, claim_args);
	info.plain_insert = info.plain_update = rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID && OidIsValid(info.view) && OidIsValid(info.pkey);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		int			c;

		if (att->attisdropped)
			continue;
		for (c = 0; c < T_COUNT; c++)
		{
			if (strcmp(NameStr(att->attname), column_names[c]) == 0)
				break;
		}
		if (c < T_COUNT)
			info.att[c] = att->attnum;
		else if (att->atthasdef || att->attnotnull || att->attgenerated != '\0' || att->attidentity != '\0')
			info.plain_insert = info.plain_update = false;
	}
	for (int c = 0; c < T_COUNT; c++)
	{
		if (info.att[c] == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("table \"%s.tasks\" has no column \"%s\"", APPDB_DATA_SCHEMA, column_names[c]),
					 errhint("SELECT appdb.migrate() where the tables are of an older version than the engine.")));
	}
	info.pending = enum_value(TupleDescAttr(desc, info.att[T_STATUS] - 1)->atttypid, "pending");
	info.running = enum_value(TupleDescAttr(desc, info.att[T_STATUS] - 1)->atttypid, "running");

	if (desc->constr != NULL)
	{
		for (int i = 0; i < desc->constr->num_check; i++)
		{
			if (!is_known(desc->constr->check[i].ccname, known_checks, lengthof(known_checks)))
				info.plain_insert = info.plain_update = false;
		}
	}
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		if (!is_known(get_rel_name(lfirst_oid(lc)), known_indexes, lengthof(known_indexes)))
			info.plain_insert = false;
	}
	list_free(indexes);
	if (rel->trigdesc != NULL)
	{
		for (int i = 0; i < rel->trigdesc->numtriggers; i++)
		{
			Trigger    *trigger = &rel->trigdesc->triggers[i];
			Oid			nsp = get_func_namespace(trigger->tgfoid);

			if (trigger->tgenabled == TRIGGER_DISABLED || nsp == engine || trigger->tgisinternal)
				continue;
			if (TRIGGER_FOR_INSERT(trigger->tgtype))
				info.plain_insert = false;
			if (TRIGGER_FOR_UPDATE(trigger->tgtype))
				info.plain_update = false;
		}
	}
	info.valid = true;
	tasks_info = info;
	return rel;
}

/* == functions behind these =============================================== */

/*
 * The function of the same name with an underscore before it.
 */
static FmgrInfo *
inner_function(FunctionCallInfo fcinfo)
{
	FmgrInfo   *flinfo = fcinfo->flinfo;

	if (flinfo->fn_extra == NULL)
	{
		HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(flinfo->fn_oid));
		Form_pg_proc proc;
		char	   *name;
		Oid			oid;
		FmgrInfo   *inner;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for function %u", flinfo->fn_oid);
		proc = (Form_pg_proc) GETSTRUCT(tuple);
		name = psprintf("_%s", NameStr(proc->proname));
		oid = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
							  PointerGetDatum(&proc->proargtypes), ObjectIdGetDatum(proc->pronamespace));
		if (!OidIsValid(oid))
			elog(ERROR, "function %s does not exist", name);
		ReleaseSysCache(tuple);
		inner = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(FmgrInfo));
		fmgr_info_cxt(oid, inner, flinfo->fn_mcxt);
		flinfo->fn_extra = inner;
	}
	return flinfo->fn_extra;
}

static Datum
call_inner(FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	Datum		result;

	InitFunctionCallInfoData(*inner, inner_function(fcinfo), PG_NARGS(), fcinfo->fncollation, NULL, NULL);
	for (int i = 0; i < PG_NARGS(); i++)
		inner->args[i] = fcinfo->args[i];
	result = FunctionCallInvoke(inner);
	fcinfo->isnull = inner->isnull;
	return result;
}

/*
 * What the caller must be able to do with their own rights before a function
 * that everybody may call goes on with the owner's: statements with the
 * function's arguments as parameters (one row).
 */
#define MAY_CHANGE \
	"SELECT true FROM appdb.tasks t WHERE t.id OPERATOR(pg_catalog.=) $1 AND " \
	"(pg_catalog.has_function_privilege('appdb.claim(text[], text, integer, interval)', 'EXECUTE') " \
	"OR t.user_id OPERATOR(pg_catalog.=) appdb.current_user_id() OR appdb.has_role(t.space_id, 'editor'))"

static const struct
{
	const char *name;
	const char *sql;
}			caller_checks[] = {
	{"_task_await", "SELECT pg_catalog.has_table_privilege('appdb.tasks', 'INSERT') AND "
		"(SELECT pg_catalog.count(*) FROM appdb.tasks t WHERE t.id OPERATOR(pg_catalog.=) ANY ($2)) "
	"OPERATOR(pg_catalog.>=) pg_catalog.cardinality($2)"},
	{"cancel", MAY_CHANGE},
	{"retry", MAY_CHANGE},
};

static void
check_caller(FunctionCallInfo fcinfo)
{
	char	   *name = get_func_name(fcinfo->flinfo->fn_oid);

	for (int i = 0; i < (int) lengthof(caller_checks); i++)
	{
		Oid			types[FUNC_MAX_ARGS];
		Datum		values[FUNC_MAX_ARGS];
		char		nulls[FUNC_MAX_ARGS];
		Oid		   *argtypes;
		int			nargs;
		bool		isnull;
		int			rc;

		if (strcmp(name, caller_checks[i].name) != 0)
			continue;
		(void) get_func_signature(fcinfo->flinfo->fn_oid, &argtypes, &nargs);
		for (int a = 0; a < nargs; a++)
		{
			types[a] = argtypes[a];
			values[a] = fcinfo->args[a].value;
			nulls[a] = fcinfo->args[a].isnull ? 'n' : ' ';
		}
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		rc = SPI_execute_with_args(caller_checks[i].sql, nargs, types, values, nulls, false, 1);
		if (rc < 0)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
		if (SPI_processed != 1 ||
			!DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) || isnull)
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA_FOUND),
					 argtypes[0] == UUIDOID && !fcinfo->args[0].isnull ?
					 errmsg("there is no task %s", DatumGetCString(DirectFunctionCall1(uuid_out, values[0]))) :
					 errmsg("there is no such task"),
					 errdetail("It never was, it has been deleted, or it is somebody else's.")));
		SPI_finish();
	}
}

/*
 * As appdb_as_owner() does, after check_caller().
 */
Datum
appdb_task_as_owner(PG_FUNCTION_ARGS)
{
	Oid			userid;
	int			sec_context;
	Relation	rel;
	Datum		result;

	check_caller(fcinfo);
	rel = open_tasks();
	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	table_close(rel, NoLock);
	result = call_inner(fcinfo);
	SetUserIdAndSecContext(userid, sec_context);
	return result;
}

/* == waking =============================================================== */

static void
set_lock_tag(LOCKTAG *tag, int class, const char *name)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, class, hash_bytes((const unsigned char *) name, strlen(name)), LOCK_SPACE);
}

static void
wake(const char *queue)
{
	LOCKTAG		tag;

	set_lock_tag(&tag, LOCK_WAKE, queue);
	if (LockAcquire(&tag, ShareLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		Async_Notify(CHANNEL, queue);
}

Datum
appdb_wake(PG_FUNCTION_ARGS)
{
	wake(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

static void
stop_waiting(void)
{
	while (waiting != NIL)
	{
		LOCKTAG    *tag = linitial(waiting);

		/* DISCARD ALL lets go of them, too */
		if (compat_LockHeldByMe(tag, RowExclusiveLock))
			LockRelease(tag, RowExclusiveLock, true);
		waiting = list_delete_first(waiting);
		pfree(tag);
	}
}

/* Returns whether whoever adds a task from now on will wake us. */
static bool
start_waiting(const char *queue)
{
	LOCKTAG		tag;
	LOCKTAG    *copy;
	ListCell   *lc;
	MemoryContext oldcontext;

	set_lock_tag(&tag, LOCK_WAKE, queue);
	foreach(lc, waiting)
	{
		if (memcmp(lfirst(lc), &tag, sizeof(LOCKTAG)) == 0)
			return true;
	}
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	copy = palloc(sizeof(LOCKTAG));
	*copy = tag;
	waiting = lappend(waiting, copy);
	MemoryContextSwitchTo(oldcontext);
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		waiting = list_delete_ptr(waiting, copy);
		pfree(copy);
		return false;
	}
	return true;
}

/* == arguments ============================================================ */

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
	if (list_length(memories) >= 64)
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
static void
forget_hints(const char *queue)
{
	ListCell   *lc;

	foreach(lc, memories)
	{
		QueueMemory *memory = lfirst(lc);

		if (strcmp(memory->name, queue) == 0)
		{
			memory->hint_until = 0;
			memory->next_due = 0;
		}
	}
}

/* == enqueue ============================================================== */

/* milliseconds, never later than the time itself */
static TimestampTz
floor_ms(TimestampTz t)
{
	TimestampTz rest = t % 1000;

	return t - (rest < 0 ? rest + 1000 : rest);
}

typedef struct NewTask
{
	Datum		kind;
	Datum		queue;
	int32		priority;
	TimestampTz run_at;
	int32		max_attempts;
	Datum		backoff;
} NewTask;

static bool
may_write_plainly(Relation rel)
{
	return tasks_info.plain_insert &&
		!IsInParallelMode() &&
		pg_class_aclcheck(tasks_info.view, GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		pg_class_aclcheck(tasks_info.relid, GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		/* who works for everybody may add any task; for others there are the policies */
		(check_enable_rls(tasks_info.relid, InvalidOid, true) != RLS_ENABLED ||
		 compat_proc_aclcheck(tasks_info.claim, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK);
}

static bool
good_length(Datum text_datum, int max)
{
	int			length = VARSIZE_ANY_EXHDR(DatumGetPointer(text_datum));

	return length >= 1 && length <= max;
}

static void
insert_index_entry(Relation rel, Relation index, IndexInfo *info, const TaskColumn *columns, int ncolumns,
				   TupleTableSlot *slot, bool unique)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < ncolumns; i++)
	{
		AttrNumber	attnum = tasks_info.att[columns[i]];

		values[i] = slot->tts_values[attnum - 1];
		nulls[i] = slot->tts_isnull[attnum - 1];
	}
	(void) index_insert(index, values, nulls, &slot->tts_tid, rel,
						unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
}

/*
 * Write new tasks, alike but for their payloads, and put their ids in "ids".
 */
static void
write_tasks(Relation rel, const NewTask *task, const Datum *payloads, int n, Datum *ids)
{
	static const TaskColumn id_columns[] = {T_ID};
	static const TaskColumn ready_columns[] = {T_QUEUE, T_PRIORITY, T_SPACE_ID, T_RUN_AT, T_ID};
	static const TaskColumn later_columns[] = {T_QUEUE, T_RUN_AT};
	const int	chunk = 100;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	bool		queued = task->run_at <= now;
	TupleDesc	desc = RelationGetDescr(rel);
	Relation	pkey = index_open(tasks_info.pkey, RowExclusiveLock);
	Relation	other = index_open(queued ? tasks_info.ready : tasks_info.later, RowExclusiveLock);
	IndexInfo  *info = makeNode(IndexInfo);
	BulkInsertState bistate = n > 1 ? GetBulkInsertState() : NULL;
	int			nslots = Min(n, chunk);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * nslots);
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	CommandId	cid = GetCurrentCommandId(true);

	info->ii_Unique = true;
	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, table_slot_callbacks(rel));

#define SET(column, datum) \
	(values[tasks_info.att[column] - 1] = (datum), nulls[tasks_info.att[column] - 1] = false)
	memset(values, 0, sizeof(Datum) * desc->natts);
	memset(nulls, true, sizeof(bool) * desc->natts);
	SET(T_KIND, task->kind);
	SET(T_QUEUE, task->queue);
	SET(T_STATUS, ObjectIdGetDatum(tasks_info.pending));
	SET(T_PRIORITY, Int32GetDatum(task->priority));
	SET(T_RUN_AT, TimestampTzGetDatum(task->run_at));
	SET(T_ATTEMPTS, Int32GetDatum(0));
	SET(T_MAX_ATTEMPTS, Int32GetDatum(task->max_attempts));
	SET(T_PROGRESS, Float4GetDatum(0));
	SET(T_QUEUED, BoolGetDatum(queued));
	SET(T_TICKET, Int32GetDatum(0));
	SET(T_BACKOFF, task->backoff);
	SET(T_GROUP_LIMIT, Int32GetDatum(1));
	SET(T_WAITS_FOR, Int32GetDatum(0));
	SET(T_HAS_DEPENDENTS, BoolGetDatum(false));
	SET(T_CANCEL_REQUESTED, BoolGetDatum(false));
	SET(T_CREATED_AT, TimestampTzGetDatum(floor_ms(now)));
	SET(T_UPDATED_AT, TimestampTzGetDatum(floor_ms(now)));

	for (int first = 0; first < n; first += chunk)
	{
		int			m = Min(chunk, n - first);

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < m; i++)
		{
			HeapTuple	tuple;

			ids[first + i] = DirectFunctionCall1(appdb_uuidv7, (Datum) 0);
			SET(T_ID, ids[first + i]);
			SET(T_PAYLOAD, payloads[first + i]);
			tuple = heap_form_tuple(desc, values, nulls);
			tuple->t_tableOid = RelationGetRelid(rel);
			ExecForceStoreHeapTuple(tuple, slots[i], true);
		}
		if (n == 1)
			table_tuple_insert(rel, slots[0], cid, 0, NULL);
		else
			table_multi_insert(rel, slots, m, cid, 0, bistate);
		for (int i = 0; i < m; i++)
		{
			slot_getallattrs(slots[i]);
			insert_index_entry(rel, pkey, info, id_columns, lengthof(id_columns), slots[i], true);
		}
		for (int i = 0; i < m; i++)
		{
			if (queued)
				insert_index_entry(rel, other, info, ready_columns, lengthof(ready_columns), slots[i], false);
			else
				insert_index_entry(rel, other, info, later_columns, lengthof(later_columns), slots[i], false);
		}
	}
#undef SET

	for (int i = 0; i < nslots; i++)
		ExecDropSingleTupleTableSlot(slots[i]);
	if (bistate != NULL)
	{
		table_finish_bulk_insert(rel, 0);
		FreeBulkInsertState(bistate);
	}
	index_close(other, NoLock);
	index_close(pkey, NoLock);
	CommandCounterIncrement();
}

static TimestampTz
start_time(FunctionCallInfo fcinfo, int arg)
{
	TimestampTz t = PG_ARGISNULL(arg) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(arg);

	return TIMESTAMP_NOT_FINITE(t) ? t : floor_ms(t);
}

static bool
negative_interval(Datum interval)
{
	Interval	zero = {0};

	return DatumGetBool(DirectFunctionCall2(interval_lt, interval, IntervalPGetDatum(&zero)));
}

Datum
appdb_enqueue(PG_FUNCTION_ARGS)
{
	enum
	{
		KIND, PAYLOAD, QUEUE, PRIORITY, RUN_AT, MAX_ATTEMPTS, DEDUPE_KEY, SPACE_ID, USER_ID, ON_DUPLICATE, BACKOFF,
		GROUP_KEY, GROUP_LIMIT, EXPIRES_AT, DEPENDS_ON
	};

	PreventCommandIfReadOnly("appdb.enqueue()");
	if (!PG_ARGISNULL(QUEUE) && memories != NIL)
		forget_hints(TextDatumGetCString(PG_GETARG_DATUM(QUEUE)));

	if (!PG_ARGISNULL(KIND) && !PG_ARGISNULL(PAYLOAD) && !PG_ARGISNULL(QUEUE) && !PG_ARGISNULL(PRIORITY) &&
		!PG_ARGISNULL(MAX_ATTEMPTS) && PG_ARGISNULL(DEDUPE_KEY) && PG_ARGISNULL(SPACE_ID) && PG_ARGISNULL(USER_ID) &&
		!PG_ARGISNULL(ON_DUPLICATE) && !PG_ARGISNULL(BACKOFF) && PG_ARGISNULL(GROUP_KEY) &&
		!PG_ARGISNULL(GROUP_LIMIT) && PG_GETARG_INT32(GROUP_LIMIT) == 1 && PG_ARGISNULL(EXPIRES_AT) &&
		PG_ARGISNULL(DEPENDS_ON))
	{
		NewTask		task;
		Relation	rel;

		task.kind = PointerGetDatum(PG_GETARG_TEXT_PP(KIND));
		task.queue = PointerGetDatum(PG_GETARG_TEXT_PP(QUEUE));
		task.priority = PG_GETARG_INT32(PRIORITY);
		task.run_at = start_time(fcinfo, RUN_AT);
		task.max_attempts = PG_GETARG_INT32(MAX_ATTEMPTS);
		task.backoff = PG_GETARG_DATUM(BACKOFF);
		if (good_length(task.kind, 255) && good_length(task.queue, 255) && task.max_attempts >= 1 &&
			!negative_interval(task.backoff))
		{
			rel = open_tasks();
			if (may_write_plainly(rel))
			{
				Datum		payload = PG_GETARG_DATUM(PAYLOAD);
				Datum		id;

				write_tasks(rel, &task, &payload, 1, &id);
				if (task.run_at <= GetCurrentTransactionStartTimestamp())
					wake(text_to_cstring(DatumGetTextPP(task.queue)));
				table_close(rel, NoLock);
				PG_RETURN_DATUM(id);
			}
			table_close(rel, NoLock);
		}
	}
	return call_inner(fcinfo);
}

Datum
appdb_enqueue_many(PG_FUNCTION_ARGS)
{
	enum
	{
		KIND, PAYLOADS, QUEUE, PRIORITY, RUN_AT, MAX_ATTEMPTS, SPACE_ID, USER_ID, BACKOFF
	};

	PreventCommandIfReadOnly("appdb.enqueue_many()");
	if (!PG_ARGISNULL(QUEUE) && memories != NIL)
		forget_hints(TextDatumGetCString(PG_GETARG_DATUM(QUEUE)));

	if (!PG_ARGISNULL(KIND) && !PG_ARGISNULL(PAYLOADS) && !PG_ARGISNULL(QUEUE) && !PG_ARGISNULL(PRIORITY) &&
		!PG_ARGISNULL(MAX_ATTEMPTS) && PG_ARGISNULL(SPACE_ID) && PG_ARGISNULL(USER_ID) && !PG_ARGISNULL(BACKOFF))
	{
		NewTask		task;
		Relation	rel;
		Datum	   *payloads;
		int			n;

		task.kind = PointerGetDatum(PG_GETARG_TEXT_PP(KIND));
		task.queue = PointerGetDatum(PG_GETARG_TEXT_PP(QUEUE));
		task.priority = PG_GETARG_INT32(PRIORITY);
		task.run_at = start_time(fcinfo, RUN_AT);
		task.max_attempts = PG_GETARG_INT32(MAX_ATTEMPTS);
		task.backoff = PG_GETARG_DATUM(BACKOFF);
		if (!array_contains_nulls(PG_GETARG_ARRAYTYPE_P(PAYLOADS)) &&
			good_length(task.kind, 255) && good_length(task.queue, 255) && task.max_attempts >= 1 &&
			!negative_interval(task.backoff))
		{
			rel = open_tasks();
			if (may_write_plainly(rel))
			{
				Datum	   *ids;

				deconstruct_array(PG_GETARG_ARRAYTYPE_P(PAYLOADS), JSONBOID, -1, false, TYPALIGN_INT, &payloads, NULL, &n);
				ids = palloc(sizeof(Datum) * Max(n, 1));
				if (n > 0)
				{
					write_tasks(rel, &task, payloads, n, ids);
					if (task.run_at <= GetCurrentTransactionStartTimestamp())
						wake(text_to_cstring(DatumGetTextPP(task.queue)));
				}
				table_close(rel, NoLock);
				PG_RETURN_ARRAYTYPE_P(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
			}
			table_close(rel, NoLock);
		}
	}
	return call_inner(fcinfo);
}

/* == claim ================================================================ */

static Datum
old_value(Claim *claim, TaskColumn column, bool *isnull)
{
	AttrNumber	attnum = tasks_info.att[column];

	*isnull = claim->slot->tts_isnull[attnum - 1];
	return claim->slot->tts_values[attnum - 1];
}

static void
set_value(Claim *claim, TaskColumn column, Datum value, bool isnull)
{
	AttrNumber	attnum = tasks_info.att[column];

	claim->newslot->tts_values[attnum - 1] = value;
	claim->newslot->tts_isnull[attnum - 1] = isnull;
}

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
		if (index_fetch_heap(scan, claim->slot))
		{
			slot_getallattrs(claim->slot);
			found = true;
			break;
		}
	}
	index_endscan(scan);
	return found;
}

/*
 * Find a place in a task's group.  False: the task has to wait.
 */
static bool
find_group_slot(Claim *claim, int32 *group_slot)
{
	bool		isnull;
	char	   *group = TextDatumGetCString(old_value(claim, T_GROUP_KEY, &isnull));
	int32		limit = DatumGetInt32(old_value(claim, T_GROUP_LIMIT, &isnull));
	ListCell   *lc;
	LOCKTAG		tag;
	Oid			argtypes[] = {TEXTOID};
	Datum	   *taken;
	int			ntaken;

	foreach(lc, claim->blocked)
	{
		if (strcmp(lfirst(lc), group) == 0)
			return false;
	}
	/* until the end of the transaction nobody else fills places of the group */
	set_lock_tag(&tag, LOCK_GROUP, group);
	if (LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL)
	{
		CommandCounterIncrement();
		deconstruct_array(DatumGetArrayTypeP(OidFunctionCall1(engine_function("_group_slots", 1, argtypes),
															  CStringGetTextDatum(group))),
						  INT4OID, sizeof(int32), true, TYPALIGN_INT, &taken, NULL, &ntaken);
		if (ntaken < limit)
		{
			for (int32 i = 1; i <= limit; i++)
			{
				bool		is_free = true;

				for (int t = 0; t < ntaken; t++)
				{
					if (DatumGetInt32(taken[t]) == i)
						is_free = false;
				}
				if (is_free)
				{
					*group_slot = i;
					return true;
				}
			}
		}
	}
	claim->blocked = lappend(claim->blocked, group);
	return false;
}

static bool
update_by_function(Claim *claim, int32 group_slot)
{
	LOCAL_FCINFO(call, 5);
	FmgrInfo	flinfo;
	Oid			argtypes[] = {UUIDOID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT4OID};
	bool		isnull;

	fmgr_info(engine_function("_claim_one", 5, argtypes), &flinfo);
	InitFunctionCallInfoData(*call, &flinfo, 5, InvalidOid, NULL, NULL);
	call->args[0].value = old_value(claim, T_ID, &call->args[0].isnull);
	call->args[1].value = old_value(claim, T_TICKET, &call->args[1].isnull);
	call->args[2].value = claim->worker;
	call->args[2].isnull = false;
	call->args[3].value = TimestampTzGetDatum(claim->until);
	call->args[3].isnull = false;
	call->args[4].value = Int32GetDatum(group_slot);
	call->args[4].isnull = group_slot == 0;
	CommandCounterIncrement();
	isnull = !DatumGetBool(FunctionCallInvoke(call));
	return !isnull;
}

/*
 * Take the task in the slot, unless somebody else is faster.
 */
static bool
take(Claim *claim)
{
	bool		isnull;
	int32		group_slot = 0;
	int32		ticket = DatumGetInt32(old_value(claim, T_TICKET, &isnull)) + 1;
	int32		attempts = DatumGetInt32(old_value(claim, T_ATTEMPTS, &isnull)) + 1;
	bool		silent = DatumGetObjectId(old_value(claim, T_STATUS, &isnull)) == tasks_info.running;
	bool		has_group;
	bool		has_slot;
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) claim->fcinfo->resultinfo;
	static const TaskColumn result_columns[] = {
		T_ID, T_TICKET, T_KIND, T_QUEUE, T_PAYLOAD, T_ATTEMPTS, T_MAX_ATTEMPTS, T_SPACE_ID, T_USER_ID, T_LOCKED_UNTIL
	};
	Datum		values[lengthof(result_columns)];
	bool		nulls[lengthof(result_columns)];

	(void) old_value(claim, T_GROUP_KEY, &isnull);
	has_group = !isnull;
	(void) old_value(claim, T_GROUP_SLOT, &isnull);
	has_slot = !isnull;
	/* one whose worker went silent keeps its place */
	if (has_group && !has_slot && !find_group_slot(claim, &group_slot))
		return false;

	if (tasks_info.plain_update)
	{
		int			natts = RelationGetDescr(claim->rel)->natts;
		TM_FailureData tmfd;
		LockTupleMode lockmode;
		compat_update_indexes update_indexes;
		TM_Result	result;
		ItemPointerData tid = claim->slot->tts_tid;
		TimestampTz updated_at;

		ExecClearTuple(claim->newslot);
		memcpy(claim->newslot->tts_values, claim->slot->tts_values, natts * sizeof(Datum));
		memcpy(claim->newslot->tts_isnull, claim->slot->tts_isnull, natts * sizeof(bool));
		set_value(claim, T_STATUS, ObjectIdGetDatum(tasks_info.running), false);
		set_value(claim, T_TICKET, Int32GetDatum(ticket), false);
		set_value(claim, T_ATTEMPTS, Int32GetDatum(attempts), false);
		set_value(claim, T_LOCKED_BY, claim->worker, false);
		set_value(claim, T_LOCKED_UNTIL, TimestampTzGetDatum(claim->until), false);
		if (group_slot != 0)
			set_value(claim, T_GROUP_SLOT, Int32GetDatum(group_slot), false);
		if (silent)
		{
			LOCAL_FCINFO(call, 4);
			FmgrInfo	flinfo;
			Oid			argtypes[] = {JSONBOID, INT4OID, TEXTOID, TEXTOID};
			Datum		reason = CStringGetTextDatum("its worker went silent");

			fmgr_info(engine_function("_add_error", 4, argtypes), &flinfo);
			InitFunctionCallInfoData(*call, &flinfo, 4, DEFAULT_COLLATION_OID, NULL, NULL);
			call->args[0].value = old_value(claim, T_ERRORS, &call->args[0].isnull);
			call->args[1].value = old_value(claim, T_ATTEMPTS, &call->args[1].isnull);
			call->args[2].value = old_value(claim, T_LOCKED_BY, &call->args[2].isnull);
			call->args[3].value = reason;
			call->args[3].isnull = false;
			set_value(claim, T_ERRORS, FunctionCallInvoke(call), false);
			set_value(claim, T_LAST_ERROR, reason, false);
		}
		/* as the trigger does */
		updated_at = floor_ms(GetCurrentTransactionStartTimestamp());
		updated_at = Max(updated_at, DatumGetTimestampTz(old_value(claim, T_UPDATED_AT, &isnull)) + 1000);
		set_value(claim, T_UPDATED_AT, TimestampTzGetDatum(updated_at), false);
		ExecStoreVirtualTuple(claim->newslot);

		result = table_tuple_update(claim->rel, &tid, claim->newslot, GetCurrentCommandId(true), claim->snapshot,
									InvalidSnapshot, false, &tmfd, &lockmode, &update_indexes);
		if (result == TM_BeingModified)
		{
			/* locked by ourselves, perhaps: an UPDATE before in this transaction */
			TupleTableSlot *locked = table_slot_create(claim->rel, NULL);

			result = table_tuple_lock(claim->rel, &tid, claim->snapshot, locked, GetCurrentCommandId(true),
									  LockTupleNoKeyExclusive, LockWaitSkip, 0, &tmfd);
			ExecDropSingleTupleTableSlot(locked);
			if (result == TM_Ok)
				result = table_tuple_update(claim->rel, &tid, claim->newslot, GetCurrentCommandId(true), claim->snapshot,
											InvalidSnapshot, true, &tmfd, &lockmode, &update_indexes);
		}
		if (result != TM_Ok)
			return false;
		if (update_indexes)
		{
			if (claim->relinfo == NULL)
			{
				claim->estate = CreateExecutorState();
				claim->relinfo = appdb_init_target(claim->estate, claim->rel, NULL);
				ExecOpenIndices(claim->relinfo, false);
			}
			compat_ExecInsertIndexTuples(claim->relinfo, claim->newslot, claim->estate, update_indexes);
			ResetPerTupleExprContext(claim->estate);
		}
	}
	else if (!update_by_function(claim, group_slot))
		return false;

	for (int i = 0; i < (int) lengthof(result_columns); i++)
		values[i] = old_value(claim, result_columns[i], &nulls[i]);
	values[1] = Int32GetDatum(ticket);
	values[5] = Int32GetDatum(attempts);
	values[9] = TimestampTzGetDatum(claim->until);
	nulls[9] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	claim->taken++;
	return true;
}

static void
bury_later(Claim *claim)
{
	bool		isnull;

	if (claim->nburied < MAX_BURIED)
		claim->buried[claim->nburied++] = *DatumGetUUIDP(old_value(claim, T_ID, &isnull));
}

/*
 * The task in the slot, found in the index: take it if it is ready.
 */
static bool
try_row(Claim *claim)
{
	bool		isnull;
	Oid			status;
	TimestampTz until;

	(void) old_value(claim, T_DELETED_AT, &isnull);
	if (!isnull)
		return false;
	if (!DatumGetBool(old_value(claim, T_QUEUED, &isnull)))
		return false;
	status = DatumGetObjectId(old_value(claim, T_STATUS, &isnull));
	if (status == tasks_info.pending)
	{
		TimestampTz expires_at = DatumGetTimestampTz(old_value(claim, T_EXPIRES_AT, &isnull));

		if (!isnull && expires_at <= claim->now)
		{
			bury_later(claim);
			return false;
		}
		return take(claim);
	}
	if (status != tasks_info.running)
		return false;
	until = DatumGetTimestampTz(old_value(claim, T_LOCKED_UNTIL, &isnull));
	if (!isnull && until > claim->now)
		return false;
	if (DatumGetBool(old_value(claim, T_CANCEL_REQUESTED, &isnull)) ||
		DatumGetInt32(old_value(claim, T_ATTEMPTS, &isnull)) >= DatumGetInt32(old_value(claim, T_MAX_ATTEMPTS, &isnull)))
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
		if (!index_fetch_heap(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		range->run_at = DatumGetTimestampTz(old_value(claim, T_RUN_AT, &isnull));
		range->id = *DatumGetUUIDP(old_value(claim, T_ID, &isnull));
		range->has_place = true;
		if (try_row(claim) && claim->taken >= goal)
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
		range->space = *DatumGetUUIDP(old_value(claim, T_SPACE_ID, &isnull));
	else
		range->space_null = true;	/* which may be empty */
	return true;
}

/*
 * The whole walk: priority by priority, all spaces.
 */
static void
serve_queue(Claim *claim)
{
	QueueMemory *memory = claim->memory;
	int			nkeys = 1;
	ScanKeyData keys[2];
	Range	   *ranges = palloc(sizeof(Range) * Max(claim->wanted, 1));

	init_key(claim, &keys[0], 1, 0, BTEqualStrategyNumber, F_TEXTEQ, claim->queue_datum);
	while (claim->taken < claim->wanted && first_row(claim, keys, nkeys))
	{
		bool		isnull;
		int32		priority = DatumGetInt32(old_value(claim, T_PRIORITY, &isnull));
		Range		range = {0};
		Range		start = {0};
		bool		more = true;
		bool		wrapped = false;
		bool		from_start = true;

		range.priority = priority;
		(void) old_value(claim, T_SPACE_ID, &isnull);
		if (isnull)
		{
			/* nulls come last: there is no other range */
			range.space_null = true;
			serve_ranges(claim, &range, 1);
			more = false;
		}
		else if (memory->has_last && !memory->last_null)
		{
			/* begin with the space after the one that was served last */
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
					if (start.priority != priority || wrapped || !memory->has_last)
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

		init_key(claim, &keys[1], 2, 0, BTLessStrategyNumber, F_INT4LT, Int32GetDatum(priority));
		nkeys = 2;
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

/* What sees all that is committed, and what we did ourselves. */
static void
renew_snapshot(Claim *claim)
{
	if (claim->snapshot != NULL)
	{
		UnregisterSnapshot(claim->snapshot);
		PopActiveSnapshot();
	}
	CommandCounterIncrement();
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	claim->snapshot = RegisterSnapshot(GetActiveSnapshot());
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
	later = index_open(tasks_info.later, AccessShareLock);
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
		if (!index_fetch_heap(scan, claim->slot))
			continue;
		slot_getallattrs(claim->slot);
		(void) old_value(claim, T_DELETED_AT, &isnull);
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
		(void) OidFunctionCall2(engine_function("_claim_due", 2, argtypes), claim->queue_datum, Int32GetDatum(DUE_BATCH));
		renew_snapshot(claim);
		memory->hint_until = 0;
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

	claim->queue = queue;
	claim->queue_datum = queue_datum;
	claim->memory = memory;
	claim->now = GetCurrentTimestamp();

	look_for_due(claim);
	if (claim->now < memory->hint_until && memory->nhints > 0)
	{
		serve_hints(claim);
		return;
	}
	claim->now = GetCurrentTimestamp();
	claim->examined = 0;
	serve_queue(claim);
	stepped = claim->examined - (claim->taken - before);
	if (stepped > LONG_WALK + (uint64) (claim->taken - before))
	{
		end = GetCurrentTimestamp();
		memory->hint_until = end + HINT_FACTOR * (end - claim->now);
	}
	else
	{
		memory->hint_until = 0;
		if (memory->nhints > 16)
			memory->nhints = 0;
	}
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
	Oid			userid;
	int			sec_context;
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
	claim.until = floor_ms(DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
																   TimestampTzGetDatum(GetCurrentTimestamp()), lease)));
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
	stop_waiting();

	claim.rel = open_tasks();
	claim.ready = index_open(tasks_info.ready, AccessShareLock);
	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(claim.rel->rd_rel->relowner,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	claim.slot = table_slot_create(claim.rel, NULL);
	claim.newslot = MakeSingleTupleTableSlot(RelationGetDescr(claim.rel), &TTSOpsVirtual);
	renew_snapshot(&claim);

	for (int i = 0; i < nqueues && claim.taken < claim.wanted; i++)
		claim_from(&claim, queues[i], datums[i]);

	UnregisterSnapshot(claim.snapshot);
	PopActiveSnapshot();
	if (claim.relinfo != NULL)
	{
		ExecCloseIndices(claim.relinfo);
		FreeExecutorState(claim.estate);
	}
	ExecDropSingleTupleTableSlot(claim.slot);
	ExecDropSingleTupleTableSlot(claim.newslot);
	index_close(claim.ready, NoLock);
	table_close(claim.rel, NoLock);
	CommandCounterIncrement();

	if (claim.nburied > 0)
	{
		Datum		ids[MAX_BURIED];
		Oid			argtypes[] = {UUIDARRAYOID};

		for (int i = 0; i < claim.nburied; i++)
			ids[i] = UUIDPGetDatum(&claim.buried[i]);
		(void) OidFunctionCall1(engine_function("_bury", 1, argtypes),
								PointerGetDatum(construct_array(ids, claim.nburied, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)));
	}
	SetUserIdAndSecContext(userid, sec_context);
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
	Oid			userid;
	int			sec_context;
	Relation	rel;
	Datum		result;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("queues must not be null")));
	queues = get_queues(PG_GETARG_ARRAYTYPE_P(0), &datums, &nqueues);
	for (int i = 0; i < nqueues; i++)
	{
		if (!start_waiting(queues[i]))
			woken = false;
	}
	rel = open_tasks();
	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner, sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	table_close(rel, NoLock);
	result = OidFunctionCall2(engine_function("_idle", 2, argtypes), PG_GETARG_DATUM(0), BoolGetDatum(woken));
	SetUserIdAndSecContext(userid, sec_context);
	return result;
}
