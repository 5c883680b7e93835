/*
 * queue.c
 *		The task queue: its table, adding to it, and waking who waits.
 *
 * appdb.enqueue() and appdb.enqueue_many() write ordinary tasks straight into
 * app_data.tasks and its two indexes that have them, where that is the same as
 * an INSERT in appdb.tasks: the caller has the privilege, no row security
 * applies, and the table has no triggers, constraints or indexes but appdb's.
 * Everything else is left to functions in PL/pgSQL.  claim.c and finish.c
 * write to the table in the same way.
 *
 * Waking: a worker that found nothing holds a session lock for each of its
 * queues, and who adds a task takes the same lock in another mode, until the
 * end of the transaction, without waiting.  Where that fails, a worker waits
 * and a notification is sent.  Where it succeeds, no worker can begin to wait
 * before the task is there to be seen.  So a NOTIFY, which serializes commits,
 * is sent only while somebody waits; at the commit, since a transaction that
 * has notified cannot be prepared for two-phase commit.
 */
#include "queue.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
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
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define CHANNEL "appdb_tasks"

/* queues for which a transaction takes locks, of which the server has some thousand; workers of others are notified, should any wait */
#define MAX_WAKE_LOCKS 1000

static const char *const column_names[T_COUNT] = {
	"id", "run_at", "priority", "max_attempts", "kind", "queue", "payload", "space_id", "user_id", "dedupe_key", "backoff",
	"expires_at", "group_key", "group_limit", "depends_on", "waits_for", "status", "attempts", "ticket", "progress", "queued",
	"parked", "has_dependents", "cancel_requested", "group_slot", "locked_until", "finished_at", "locked_by",
	"progress_message", "result", "last_error", "errors", "created_at", "updated_at", "deleted_at"
};

/* their types; that of status is known by its values */
static const Oid column_types[T_COUNT] = {
	UUIDOID, TIMESTAMPTZOID, INT4OID, INT4OID, TEXTOID, TEXTOID, JSONBOID, UUIDOID, UUIDOID, TEXTOID, INTERVALOID,
	TIMESTAMPTZOID, TEXTOID, INT4OID, UUIDARRAYOID, INT4OID, InvalidOid, INT4OID, INT4OID, FLOAT4OID, BOOLOID,
	BOOLOID, BOOLOID, BOOLOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID,
	TEXTOID, JSONBOID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID
};

/* what writing by hand gives values: a new task; what a claim or a completion changes; it leaves the others null, or as they are */
static const TaskColumn inserted_columns[] = {
	T_ID, T_RUN_AT, T_PRIORITY, T_MAX_ATTEMPTS, T_KIND, T_QUEUE, T_PAYLOAD, T_BACKOFF, T_WAITS_FOR, T_STATUS, T_ATTEMPTS, T_TICKET,
	T_PROGRESS, T_QUEUED, T_PARKED, T_HAS_DEPENDENTS, T_CANCEL_REQUESTED, T_CREATED_AT, T_UPDATED_AT
};
static const TaskColumn updated_columns[] = {
	T_STATUS, T_ATTEMPTS, T_TICKET, T_PROGRESS, T_QUEUED, T_PARKED, T_GROUP_SLOT, T_LOCKED_UNTIL, T_FINISHED_AT, T_LOCKED_BY,
	T_RESULT, T_LAST_ERROR, T_ERRORS, T_UPDATED_AT
};

/* those that are null somewhere */
static const TaskColumn nullable_columns[] = {
	T_SPACE_ID, T_USER_ID, T_DEDUPE_KEY, T_BACKOFF, T_EXPIRES_AT, T_GROUP_KEY, T_GROUP_LIMIT, T_DEPENDS_ON, T_GROUP_SLOT,
	T_LOCKED_UNTIL, T_FINISHED_AT, T_LOCKED_BY, T_PROGRESS_MESSAGE, T_RESULT, T_LAST_ERROR, T_ERRORS, T_DELETED_AT
};

/* the constraints and indexes that writing by hand takes care of, and what they say */
static const struct
{
	const char *name;
	const char *condition;
}			known_checks[] = {
	{"tasks_kind_check", "((octet_length(kind) >= 1) AND (octet_length(kind) <= 255))"},
	{"tasks_queue_check", "((octet_length(queue) >= 1) AND (octet_length(queue) <= 255))"},
	{"tasks_attempts_check", "(attempts >= 0)"},
	{"tasks_max_attempts_check", "(max_attempts >= 1)"},
	{"tasks_progress_check", "((progress >= (0)::double precision) AND (progress <= (1)::double precision))"},
	{"tasks_progress_message_check", "(char_length(progress_message) <= 1000)"},
	{"tasks_last_error_check", "(char_length(last_error) <= 100000)"},
	{"tasks_locked_by_check", "((char_length(locked_by) >= 1) AND (char_length(locked_by) <= 255))"},
	{"tasks_dedupe_key_check", "((octet_length(dedupe_key) >= 1) AND (octet_length(dedupe_key) <= 1000))"},
	{"tasks_backoff_check", "(backoff >= '00:00:00'::interval)"},
	{"tasks_group_key_check", "((octet_length(group_key) >= 1) AND (octet_length(group_key) <= 1000))"},
	{"tasks_group_limit_check", "(group_limit >= 1)"},
	{"tasks_waits_for_check", "(waits_for >= 0)"}
};
static const struct
{
	const char *name;
	bool		unique;
	int			ncolumns;
	TaskColumn	columns[5];
	const char *condition;
}			known_indexes[I_COUNT] = {
	[I_ID] = {"tasks_pkey", true, 1, {T_ID}, NULL},
	[I_READY] = {"tasks_ready_idx", false, 5, {T_QUEUE, T_PRIORITY, T_SPACE_ID, T_RUN_AT, T_ID}, "queued"},
	[I_LATER] = {"tasks_later_idx", false, 2, {T_QUEUE, T_RUN_AT},
	"((NOT queued) AND (NOT parked) AND (finished_at IS NULL) AND (waits_for = 0))"},
	[I_EXPIRES_AT] = {"tasks_expires_at_idx", false, 1, {T_EXPIRES_AT}, "((expires_at IS NOT NULL) AND (finished_at IS NULL))"},
	[I_DEPENDS_ON] = {"tasks_depends_on_idx", false, 1, {T_DEPENDS_ON}, "(waits_for > 0)"},
	[I_FINISHED_AT] = {"tasks_finished_at_idx", false, 1, {T_FINISHED_AT}, "(finished_at IS NOT NULL)"},
	[I_GROUP_KEY] = {"tasks_group_key_idx", false, 4, {T_GROUP_KEY, T_PRIORITY, T_RUN_AT, T_ID},
	"((group_key IS NOT NULL) AND (finished_at IS NULL))"},
	[I_PARKED] = {"tasks_parked_idx", false, 4, {T_GROUP_KEY, T_PRIORITY, T_RUN_AT, T_ID}, "parked"},
	[I_GROUP_SLOT] = {"tasks_group_slot_key", true, 2, {T_GROUP_KEY, T_GROUP_SLOT}, "((group_slot IS NOT NULL) AND (deleted_at IS NULL))"},
	[I_DEDUPE_KEY] = {"tasks_dedupe_key_key", true, 3, {T_SPACE_ID, T_KIND, T_DEDUPE_KEY},
	"((dedupe_key IS NOT NULL) AND (finished_at IS NULL) AND (deleted_at IS NULL))"},
	[I_SPACE_ID] = {"tasks_space_id_idx", false, 1, {T_SPACE_ID}, "(space_id IS NOT NULL)"},
	[I_USER_ID] = {"tasks_user_id_idx", false, 1, {T_USER_ID}, "(user_id IS NOT NULL)"}
};

/* is somebody at a row? */
typedef enum Contender
{
	NOBODY,
	SOMEBODY,
	PERHAPS_SOMEBODY
} Contender;

TasksInfo	appdb_tasks;
static bool callback_registered = false;
static List *waiting = NIL;		/* LOCKTAGs that the session holds, idle */
static int	wake_locks = 0;		/* how many of those who add to a queue the transaction has */
static List *to_notify = NIL;	/* queues whose waiting workers the transaction wakes, in TopTransactionContext */

PG_FUNCTION_INFO_V1(appdb_task_as_owner);
PG_FUNCTION_INFO_V1(appdb_task_precedes);
PG_FUNCTION_INFO_V1(appdb_enqueue);
PG_FUNCTION_INFO_V1(appdb_enqueue_many);
PG_FUNCTION_INFO_V1(appdb_wake);

/* == what we know of the table ============================================ */

static void
relcache_callback(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == appdb_tasks.relid)
		appdb_tasks.valid = false;
}

pg_noreturn static void
complain_missing(const char *name)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);

	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation \"%s.%s\" does not exist", APPDB_DATA_SCHEMA, name),
			 errdetail("The task queue needs it."),
			 OidIsValid(nsp) && OidIsValid(get_relname_relid("schema_version", nsp)) ?
			 errhint("Where it has been dropped or renamed, put it back as appdb.tables_sql() shows it.") :
			 errhint("SELECT appdb.install() makes the tables.")));
}

/* is it what PostgreSQL writes for a condition of the table? */
static bool
says(Relation rel, Node *expr, const char *condition)
{
	List	   *context = deparse_context_for(RelationGetRelationName(rel), RelationGetRelid(rel));

	return strcmp(deparse_expression(expr, context, false, false), condition) == 0;
}

/* a check that was made anew under a name of ours is another's */
static bool
is_known_check(Relation rel, const ConstrCheck *check)
{
	for (int i = 0; i < (int) lengthof(known_checks); i++)
	{
		if (strcmp(check->ccname, known_checks[i].name) == 0)
			return says(rel, stringToNode(check->ccbin), known_checks[i].condition);
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

/* one that engines of all versions have, called with rights that are set already */
Oid
appdb_engine_function(const char *name, int nargs, const Oid *argtypes)
{
	Oid			oid = appdb_find_engine_function(name, nargs, argtypes);

	if (!OidIsValid(oid))
		elog(ERROR, "function %s.%s does not exist", APPDB_SCHEMA, name);
	return oid;
}

/*
 * Can values of a column be written as they are?  Of a type that is stored as
 * ours (varchar, a domain) they can be read, but not written by hand.
 */
static bool
has_known_type(Form_pg_attribute att, TaskColumn column)
{
	Oid			type = column_types[column];

	if (!OidIsValid(type))
		return true;
	if (att->atttypid != type && !IsBinaryCoercible(att->atttypid, type))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s.tasks\" is of type %s, not %s", NameStr(att->attname), APPDB_DATA_SCHEMA,
						format_type_be(att->atttypid), format_type_be(type)),
				 errdetail("The task queue reads and writes it."),
				 errhint("BEGIN; DROP VIEW %s.tasks CASCADE; ALTER TABLE %s.tasks ALTER COLUMN %s TYPE %s; COMMIT;",
						 APPDB_SCHEMA, APPDB_DATA_SCHEMA, NameStr(att->attname), format_type_be(type))));
	return att->atttypid == type &&
		(att->atttypmod == -1 || (type == TIMESTAMPTZOID && att->atttypmod == 3));
}

static bool
is_among(TaskColumn column, const TaskColumn *columns, int ncolumns)
{
	for (int i = 0; i < ncolumns; i++)
	{
		if (columns[i] == column)
			return true;
	}
	return false;
}

/* is one of these columns among those of a key? */
static bool
has_column(const AttrNumber *key, int nkeys, const TasksInfo *info, const TaskColumn *columns, int ncolumns)
{
	for (int i = 0; i < nkeys; i++)
	{
		for (int c = 0; c < ncolumns; c++)
		{
			if (key[i] == info->att[columns[c]])
				return true;
		}
	}
	return false;
}

/* does an index, to which foreign keys of others refer, have a column that a claim or a completion changes? */
static bool
has_updated_column(Oid indexoid, const TasksInfo *info)
{
	Relation	index = index_open(indexoid, AccessShareLock);
	bool		result = has_column(index->rd_index->indkey.values, index->rd_index->indnkeyatts, info,
									updated_columns, lengthof(updated_columns));

	index_close(index, NoLock);
	return result;
}

/*
 * Which of our indexes a relation is, or I_COUNT.
 */
static TaskIndex
known_index(Oid indexoid)
{
	char	   *name = get_rel_name(indexoid);
	int			i;

	for (i = 0; i < I_COUNT; i++)
	{
		if (name != NULL && strcmp(name, known_indexes[i].name) == 0)
			break;
	}
	return i;
}

/* Can it be searched as the index that it is called? */
static bool
has_known_columns(Relation index, TaskIndex which, const TasksInfo *info)
{
	bool		result = index->rd_rel->relam == (which == I_DEPENDS_ON ? GIN_AM_OID : BTREE_AM_OID) &&
		index->rd_index->indnatts == known_indexes[which].ncolumns && index->rd_index->indisvalid &&
		index->rd_index->indisunique == known_indexes[which].unique &&
		heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL) == (which == I_ID);

	for (int i = 0; result && i < known_indexes[which].ncolumns; i++)
		result = index->rd_index->indkey.values[i] == info->att[known_indexes[which].columns[i]];
	return result;
}

Relation
appdb_open_tasks(void)
{
	Relation	rel;
	TupleDesc	desc;
	Oid			nsp;
	List	   *indexes;
	TriggerDesc *triggers;
	ListCell   *lc;
	int			nestlevel;
	TasksInfo	info;
	Oid			claim_args[] = {TEXTARRAYOID, TEXTOID, INT4OID, INTERVALOID};

	if (!callback_registered)
	{
		appdb_register_relcache_callback(relcache_callback);
		callback_registered = true;
	}
	if (appdb_tasks.valid)
	{
		rel = try_table_open(appdb_tasks.relid, RowExclusiveLock);
		/* taking the lock may have brought news */
		if (rel != NULL && appdb_tasks.valid)
			return rel;
		if (rel != NULL)
			table_close(rel, NoLock);
	}

	memset(&info, 0, sizeof(info));
	nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	info.relid = OidIsValid(nsp) ? get_relname_relid("tasks", nsp) : InvalidOid;
	if (!OidIsValid(info.relid))
		complain_missing("tasks");
	rel = table_open(info.relid, RowExclusiveLock);
	desc = RelationGetDescr(rel);
	info.view = get_relname_relid("tasks", get_namespace_oid(APPDB_SCHEMA, false));
	info.claim = appdb_engine_function("claim", 4, claim_args);
	info.plain_insert = info.plain_update = rel->rd_rel->relkind == RELKIND_RELATION &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID && !rel->rd_rel->relispartition && rel->rd_rules == NULL && OidIsValid(info.view);
	info.plain_delete = info.plain_update;

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
		{
			info.att[c] = att->attnum;
			if (!has_known_type(att, c) ||
				(att->attnotnull && is_among(c, nullable_columns, lengthof(nullable_columns))))
				info.plain_insert = info.plain_update = false;
			/* of what is left null the default would come */
			if (att->atthasdef && !is_among(c, inserted_columns, lengthof(inserted_columns)))
				info.plain_insert = false;
		}
		else if (att->attgenerated != '\0')
			info.plain_insert = info.plain_update = false;
		/* types have defaults, too, and domains may not let be null */
		else if (att->atthasdef || att->attnotnull || att->attidentity != '\0' ||
				 get_typtype(att->atttypid) == TYPTYPE_DOMAIN || get_typdefault(att->atttypid) != NULL)
			info.plain_insert = false;
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
	info.completed = enum_value(TupleDescAttr(desc, info.att[T_STATUS] - 1)->atttypid, "completed");

	/* how conditions are written hangs on these */
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("IntervalStyle", "postgres", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("quote_all_identifiers", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	if (desc->constr != NULL)
	{
		for (int i = 0; i < desc->constr->num_check; i++)
		{
			if (!is_known_check(rel, &desc->constr->check[i]))
				info.plain_insert = info.plain_update = false;
		}
	}
	info.known_indexes = true;
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		TaskIndex	which = known_index(lfirst_oid(lc));
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if (which < I_COUNT && has_known_columns(index, which, &info))
			info.index[which] = lfirst_oid(lc);
		else
			which = I_COUNT;
		/* written to by hand, it must have just the rows that ours has */
		if (which == I_COUNT || (which != I_ID &&
								 !says(rel, (Node *) make_ands_explicit(RelationGetIndexPredicate(index)), known_indexes[which].condition)))
			info.known_indexes = false;
		/* a constraint that is looked at later than when a row comes into the index */
		if (!index->rd_index->indimmediate)
			info.plain_update = false;
		index_close(index, NoLock);
	}
	AtEOXact_GUC(true, nestlevel);
	if (!info.known_indexes || !OidIsValid(info.index[I_ID]))
		info.plain_insert = false;
	list_free(indexes);
	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst(lc);

		if (has_column(key->conkey, key->nkeys, &info, inserted_columns, lengthof(inserted_columns)))
			info.plain_insert = false;
		if (has_column(key->conkey, key->nkeys, &info, updated_columns, lengthof(updated_columns)))
			info.plain_update = false;
	}
	triggers = CopyTriggerDesc(rel->trigdesc);
	if (triggers != NULL)
	{
		for (int i = 0; i < triggers->numtriggers; i++)
		{
			Trigger    *trigger = &triggers->triggers[i];

			if (trigger->tgenabled == TRIGGER_DISABLED || appdb_is_engine_function(trigger->tgfoid))
				continue;
			/* this holds for foreign keys that refer to the table, too */
			if (TRIGGER_FOR_DELETE(trigger->tgtype))
				info.plain_delete = false;
			/* foreign keys of this table are looked at above */
			if (RI_FKey_trigger_type(trigger->tgfoid) != RI_TRIGGER_NONE)
			{
				if (RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_PK && has_updated_column(trigger->tgconstrindid, &info))
					info.plain_update = false;
				continue;
			}
			if (TRIGGER_FOR_INSERT(trigger->tgtype))
				info.plain_insert = false;
			if (TRIGGER_FOR_UPDATE(trigger->tgtype))
				info.plain_update = false;
		}
	}
	info.valid = true;
	appdb_tasks = info;
	return rel;
}

/*
 * An index that is needed.
 */
Relation
appdb_open_tasks_index(TaskIndex index, LOCKMODE lockmode)
{
	if (!OidIsValid(appdb_tasks.index[index]))
		complain_missing(known_indexes[index].name);
	return index_open(appdb_tasks.index[index], lockmode);
}

/*
 * What sees all that is committed (in a transaction that keeps its snapshot:
 * what that sees), and what we did ourselves.
 */
Snapshot
appdb_push_snapshot(void)
{
	CommandCounterIncrement();
	PushCopiedSnapshot(GetTransactionSnapshot());
	UpdateActiveSnapshotCommandId();
	return RegisterSnapshot(GetActiveSnapshot());
}

void
appdb_pop_snapshot(Snapshot snapshot)
{
	UnregisterSnapshot(snapshot);
	PopActiveSnapshot();
}

/* what the trigger would make of updated_at when the row in the slot changes */
TimestampTz
appdb_task_updated_at(TupleTableSlot *slot)
{
	bool		isnull;
	TimestampTz now = appdb_floor_ms(GetCurrentTransactionStartTimestamp());

	return Max(now, DatumGetTimestampTz(task_value(slot, T_UPDATED_AT, &isnull)) + 1000);
}

/* == writing by hand ====================================================== */

/*
 * Add the row in a slot, which has its place, to an index.  "unchanged": it is
 * a new version of a row, with the same key.
 */
static void
insert_into_index(Relation rel, Relation index, IndexInfo *info, TaskIndex which, TupleTableSlot *slot, bool unchanged)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < known_indexes[which].ncolumns; i++)
		values[i] = task_value(slot, known_indexes[which].columns[i], &nulls[i]);
	(void) index_insert(index, values, nulls, &slot->tts_tid, rel,
						known_indexes[which].unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, unchanged, info);
}

/* the predicates of the indexes, of the row in a slot */
static bool
belongs_into_index(TaskIndex which, TupleTableSlot *slot)
{
	bool		isnull;
	bool		finished = !task_is_null(slot, T_FINISHED_AT);
	bool		deleted = !task_is_null(slot, T_DELETED_AT);

	switch (which)
	{
		case I_ID:
			return true;
		case I_READY:
			return DatumGetBool(task_value(slot, T_QUEUED, &isnull));
		case I_LATER:
			return !finished && !DatumGetBool(task_value(slot, T_QUEUED, &isnull)) &&
				!DatumGetBool(task_value(slot, T_PARKED, &isnull)) &&
				DatumGetInt32(task_value(slot, T_WAITS_FOR, &isnull)) == 0;
		case I_EXPIRES_AT:
			return !finished && !task_is_null(slot, T_EXPIRES_AT);
		case I_DEPENDS_ON:
			return DatumGetInt32(task_value(slot, T_WAITS_FOR, &isnull)) > 0;
		case I_FINISHED_AT:
			return finished;
		case I_GROUP_KEY:
			return !finished && !task_is_null(slot, T_GROUP_KEY);
		case I_PARKED:
			return DatumGetBool(task_value(slot, T_PARKED, &isnull));
		case I_GROUP_SLOT:
			return !deleted && !task_is_null(slot, T_GROUP_SLOT);
		case I_DEDUPE_KEY:
			return !finished && !deleted && !task_is_null(slot, T_DEDUPE_KEY);
		case I_SPACE_ID:
			return !task_is_null(slot, T_SPACE_ID);
		case I_USER_ID:
			return !task_is_null(slot, T_USER_ID);
		case I_COUNT:
			break;
	}
	return false;
}

/* what changes of these makes another key */
static bool
keeps_key(TaskIndex which)
{
	return which != I_FINISHED_AT && which != I_GROUP_SLOT;
}

void
appdb_begin_writing(TaskWriter *writer, Relation rel)
{
	/* as the executor does: subscribers have to find the rows */
	CheckCmdReplicaIdentity(rel, CMD_UPDATE);
	memset(writer, 0, sizeof(TaskWriter));
	writer->rel = rel;
}

void
appdb_end_writing(TaskWriter *writer)
{
	for (int i = 0; i < I_COUNT; i++)
	{
		if (writer->indexes[i] != NULL)
			index_close(writer->indexes[i], NoLock);
	}
}

/*
 * Is somebody changing the row in a slot, or has it locked?  Its header tells,
 * as it is now.
 */
static Contender
who_is_at(TupleTableSlot *slot)
{
	BufferHeapTupleTableSlot *buffer_slot = (BufferHeapTupleTableSlot *) slot;
	HeapTupleHeader header;
	uint16		infomask;
	TransactionId xmax;

	if (!TTS_IS_BUFFERTUPLE(slot) || !BufferIsValid(buffer_slot->buffer))
		return PERHAPS_SOMEBODY;
	header = buffer_slot->base.tuple->t_data;
	LockBuffer(buffer_slot->buffer, BUFFER_LOCK_SHARE);
	infomask = header->t_infomask;
	xmax = HeapTupleHeaderGetRawXmax(header);
	LockBuffer(buffer_slot->buffer, BUFFER_LOCK_UNLOCK);

	if ((infomask & HEAP_XMAX_INVALID) != 0)
		return NOBODY;
	if ((infomask & HEAP_XMAX_IS_MULTI) == 0 && !HEAP_XMAX_IS_LOCKED_ONLY(infomask) &&
		((infomask & HEAP_XMAX_COMMITTED) != 0 || TransactionIdIsInProgress(xmax)))
		return SOMEBODY;
	return PERHAPS_SOMEBODY;
}

/* without NOT NULL, which the owner of the table can take away, a row may lack what makes it a task */
static bool
is_whole(TupleTableSlot *slot)
{
	return !slot_attisnull(slot, appdb_tasks.att[T_ID]) && !slot_attisnull(slot, appdb_tasks.att[T_QUEUE]);
}

/*
 * index_fetch_heap(), but it lets a page be while there is room in it for
 * another version.  That makes room as soon as there is less of it than the
 * fillfactor says: here at each visit, two for each task, and each time that
 * removes one dead version, and is a record in the log.
 */
bool
appdb_fetch_task(IndexScanDesc scan, TupleTableSlot *slot)
{
	Relation	rel = scan->heapRelation;
	IndexFetchHeapData *fetch = (IndexFetchHeapData *) scan->xs_heapfetch;
	HeapTuple	tuple = &((BufferHeapTupleTableSlot *) slot)->base.tupdata;
	ItemPointerData tid;
	bool		pruned = false;
	bool		all_dead;
	bool		found;

	if (rel->rd_tableam != GetHeapamTableAmRoutine())
		return index_fetch_heap(scan, slot) && is_whole(slot);

	fetch->xs_cbuf = ReleaseAndReadBuffer(fetch->xs_cbuf, rel, ItemPointerGetBlockNumber(&scan->xs_heaptid));
	for (;;)
	{
		tid = scan->xs_heaptid;
		LockBuffer(fetch->xs_cbuf, BUFFER_LOCK_SHARE);
		found = heap_hot_search_buffer(&tid, rel, fetch->xs_cbuf, scan->xs_snapshot, tuple, &all_dead, true);
		LockBuffer(fetch->xs_cbuf, BUFFER_LOCK_UNLOCK);
		if (!found || pruned || PageGetHeapFreeSpace(BufferGetPage(fetch->xs_cbuf)) >= tuple->t_len + BLCKSZ / 10)
			break;
		/* nobody else is to have the page, nor the slot */
		ExecClearTuple(slot);
		heap_page_prune_opt(rel, fetch->xs_cbuf);
		pruned = true;
	}
	if (found)
	{
		slot->tts_tableOid = RelationGetRelid(rel);
		ExecStoreBufferHeapTuple(tuple, slot, fetch->xs_cbuf);
		pgstat_count_heap_fetch(scan->indexRelation);
	}
	scan->kill_prior_tuple = all_dead && !scan->xactStartedInRecovery;
	return found && is_whole(slot);
}

/*
 * Lock a task without waiting, if it is still as the snapshot shows it.
 */
TM_Result
appdb_lock_task(Relation rel, ItemPointer tid, Snapshot snapshot, TM_FailureData *tmfd)
{
	TupleTableSlot *locked = table_slot_create(rel, NULL);
	TM_Result	result;

	result = table_tuple_lock(rel, tid, snapshot, locked, GetCurrentCommandId(true),
							  LockTupleNoKeyExclusive, LockWaitSkip, 0, tmfd);
	ExecDropSingleTupleTableSlot(locked);
	return result;
}

/*
 * Give a task another version, which the slot has, without the executor; what
 * changes is what a claim or a completion changes.  Others that are at it are
 * waited for, unless "old" is given, a slot with the version as it was found:
 * then the result is TM_WouldBlock.
 */
TM_Result
appdb_update_task(TaskWriter *writer, ItemPointer tid, TupleTableSlot *slot, Snapshot snapshot, TupleTableSlot *old,
				  TM_FailureData *tmfd)
{
	Relation	rel = writer->rel;
	bool		tuple_locked = false;
	LockTupleMode lockmode;
	compat_update_indexes update_indexes;
	TM_Result	result;

	/* an update knows only how to wait (a server with assertions says so), a lock also how not to */
	if (old != NULL)
	{
		switch (who_is_at(old))
		{
			case NOBODY:
				/* of those who come now, only one goes on: others cannot come between for more than a moment */
				if (!compat_ConditionalLockTuple(rel, tid, ExclusiveLock))
					return TM_WouldBlock;
				tuple_locked = true;
				if (who_is_at(old) == NOBODY)
					break;
				UnlockTuple(rel, tid, ExclusiveLock);
				return TM_WouldBlock;
			case SOMEBODY:
				return TM_WouldBlock;
			case PERHAPS_SOMEBODY:
				result = appdb_lock_task(rel, tid, snapshot, tmfd);
				if (result != TM_Ok)
					return result;
		}
	}
	result = table_tuple_update(rel, tid, slot, GetCurrentCommandId(true), snapshot, InvalidSnapshot, true, tmfd,
								&lockmode, &update_indexes);
	if (tuple_locked)
		UnlockTuple(rel, tid, ExclusiveLock);
	if (result != TM_Ok || !update_indexes)
		return result;

	if (appdb_tasks.known_indexes && !belongs_into_index(I_DEPENDS_ON, slot))
	{
		for (int i = 0; i < I_COUNT; i++)
		{
			if (!OidIsValid(appdb_tasks.index[i]) || !belongs_into_index(i, slot))
				continue;
			if (writer->indexes[i] == NULL)
				writer->indexes[i] = index_open(appdb_tasks.index[i], RowExclusiveLock);
			if (writer->info == NULL)
				writer->info = makeNode(IndexInfo);
			writer->info->ii_Unique = known_indexes[i].unique;
			insert_into_index(rel, writer->indexes[i], writer->info, i, slot, keeps_key(i));
		}
	}
	else
	{
		EState	   *estate = CreateExecutorState();
		ResultRelInfo *relinfo = appdb_init_target(estate, rel, NULL);

		ExecOpenIndices(relinfo, false);
		compat_ExecInsertIndexTuples(relinfo, slot, estate, update_indexes);
		ExecCloseIndices(relinfo);
		FreeExecutorState(estate);
	}
	return result;
}

/* == functions behind these =============================================== */

/*
 * What the caller must be able to do with their own rights before a function
 * that everybody may call goes on with the owner's: statements with the
 * function's arguments as parameters (one row).
 */
#define MAY_CHANGE \
	"SELECT true FROM appdb.tasks t WHERE t.id OPERATOR(pg_catalog.=) $1 AND " \
	"(pg_catalog.has_function_privilege('appdb.claim(text[], text, integer, interval)', 'EXECUTE') " \
	"OR pg_catalog.has_table_privilege('appdb.tasks', 'INSERT') AND " \
	"(t.user_id OPERATOR(pg_catalog.=) appdb.current_user_id() OR appdb.has_role(t.space_id, 'editor')))"

#define MAY_WAIT \
	"SELECT pg_catalog.has_table_privilege('appdb.tasks', 'INSERT') AND " \
	"(SELECT pg_catalog.count(*) FROM appdb.tasks t WHERE t.id OPERATOR(pg_catalog.=) ANY ($2)) " \
	"OPERATOR(pg_catalog.>=) pg_catalog.cardinality($2)"

static const struct
{
	const char *name;
	const char *sql;
}			caller_checks[] = {
	{"_task_await", MAY_WAIT},
	{"_task_precedes", MAY_WAIT},
	{"_group_left", "SELECT pg_catalog.has_table_privilege('appdb.tasks', 'UPDATE')"},
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
		SPI_connect();
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
 * As appdb_as_owner() does, after check_caller().  What that reads is the
 * owner's live view: for a superuser, who may all of it, it does so as the owner.
 */
Datum
appdb_task_as_owner(PG_FUNCTION_ARGS)
{
	bool		as_caller = !superuser();
	AppdbCaller caller;
	Relation	rel;
	Datum		result;

	if (as_caller)
		check_caller(fcinfo);
	rel = appdb_open_tasks();
	appdb_begin_as(appdb_working_owner(rel->rd_rel->relowner), &caller);
	table_close(rel, NoLock);
	if (!as_caller)
		check_caller(fcinfo);
	result = appdb_work_as(fcinfo, InvalidOid);
	appdb_end_as(&caller);
	return result;
}

/*
 * appdb._task_precedes(task uuid, parents uuid[]) returns boolean
 *		Who looks holds a lock until the end of the transaction, and sees what is
 *		committed then.
 */
Datum
appdb_task_precedes(PG_FUNCTION_ARGS)
{
	LOCKTAG		tag;
	Datum		result;

	appdb_set_lock_tag(&tag, APPDB_LOCK_DEPENDS, "");
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	PushActiveSnapshot(GetLatestSnapshot());
	result = appdb_task_as_owner(fcinfo);
	PopActiveSnapshot();
	return result;
}

/* == waking =============================================================== */

void
appdb_set_lock_tag(LOCKTAG *tag, int class, const char *name)
{
	SET_LOCKTAG_ADVISORY(*tag, MyDatabaseId, class, hash_bytes((const unsigned char *) name, strlen(name)), APPDB_LOCK_SPACE);
}

static void
notify_at_commit(XactEvent event, void *arg)
{
	/*
	 * Workers look by themselves, too: where somebody listens and does not
	 * read, so that the queue of notifications fills, no transaction is to
	 * fail for those.
	 */
	if (event == XACT_EVENT_PRE_COMMIT && to_notify != NIL &&
		DatumGetFloat8(OidFunctionCall0(F_PG_NOTIFICATION_QUEUE_USAGE)) < 0.5)
	{
		ListCell   *lc;

		foreach(lc, to_notify)
			Async_Notify(CHANNEL, lfirst(lc));
	}
	to_notify = NIL;
	wake_locks = 0;
}

void
appdb_wake_queue(const char *queue)
{
	static bool registered = false;
	LOCKTAG		tag;
	ListCell   *lc;
	MemoryContext oldcontext;

	if (!registered)
	{
		RegisterXactCallback(notify_at_commit, NULL);
		registered = true;
	}
	appdb_set_lock_tag(&tag, APPDB_LOCK_WAKE, queue);
	/* a session that waits itself notifies anyway: a transaction with a lock that the session has, too, cannot be prepared */
	if (!compat_LockHeldByMe(&tag, RowExclusiveLock) &&
		(wake_locks < MAX_WAKE_LOCKS || compat_LockHeldByMe(&tag, ShareLock)))
	{
		switch (LockAcquire(&tag, ShareLock, false, true))
		{
			case LOCKACQUIRE_NOT_AVAIL:
				break;
			case LOCKACQUIRE_OK:
				wake_locks++;
				return;
			default:
				return;
		}
	}
	/* which NOTIFY does for itself, at its time */
	if (list_length(to_notify) < MAX_WAKE_LOCKS)
	{
		foreach(lc, to_notify)
		{
			if (strcmp(lfirst(lc), queue) == 0)
				return;
		}
	}
	oldcontext = MemoryContextSwitchTo(TopTransactionContext);
	to_notify = lappend(to_notify, pstrdup(queue));
	MemoryContextSwitchTo(oldcontext);
}

Datum
appdb_wake(PG_FUNCTION_ARGS)
{
	appdb_wake_queue(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}

void
appdb_stop_waiting(void)
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
bool
appdb_start_waiting(const char *queue)
{
	LOCKTAG		tag;
	LOCKTAG    *copy = NULL;
	ListCell   *lc;
	MemoryContext oldcontext;

	appdb_set_lock_tag(&tag, APPDB_LOCK_WAKE, queue);
	foreach(lc, waiting)
	{
		if (memcmp(lfirst(lc), &tag, sizeof(LOCKTAG)) == 0)
			copy = lfirst(lc);
	}
	/* the lock may be gone: DISCARD ALL lets go of it */
	if (copy != NULL && compat_LockHeldByMe(&tag, RowExclusiveLock))
		return true;
	if (copy == NULL)
	{
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		copy = palloc(sizeof(LOCKTAG));
		*copy = tag;
		waiting = lappend(waiting, copy);
		MemoryContextSwitchTo(oldcontext);
	}
	if (LockAcquire(&tag, RowExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
	{
		waiting = list_delete_ptr(waiting, copy);
		pfree(copy);
		return false;
	}
	return true;
}

/* == enqueue ============================================================== */

/* milliseconds, never later than the time itself */
TimestampTz
appdb_floor_ms(TimestampTz t)
{
	TimestampTz rest = TIMESTAMP_NOT_FINITE(t) ? 0 : t % 1000;

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
	return appdb_tasks.plain_insert &&
		!IsInParallelMode() &&
		pg_class_aclcheck(appdb_tasks.view, GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		pg_class_aclcheck(appdb_tasks.relid, GetUserId(), ACL_INSERT) == ACLCHECK_OK &&
		/* who works for everybody may add any task; for others there are the policies */
		(check_enable_rls(appdb_tasks.relid, InvalidOid, true) != RLS_ENABLED ||
		 compat_proc_aclcheck(appdb_tasks.claim, GetUserId(), ACL_EXECUTE) == ACLCHECK_OK);
}

static bool
good_length(Datum text_datum, int max)
{
	int			length = VARSIZE_ANY_EXHDR(DatumGetPointer(text_datum));

	return length >= 1 && length <= max;
}

/* the one that is not written down */
static bool
is_default_backoff(Datum interval)
{
	Interval	ten = {0};

	ten.time = 10 * USECS_PER_SEC;
	return DatumGetBool(DirectFunctionCall2(interval_eq, interval, IntervalPGetDatum(&ten)));
}

/*
 * Write new tasks, alike but for their payloads, and put their ids in "ids".
 */
static void
write_tasks(Relation rel, const NewTask *task, const Datum *payloads, int n, Datum *ids)
{
	const int	chunk = 100;
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	bool		queued = task->run_at <= now;
	TupleDesc	desc = RelationGetDescr(rel);
	Relation	pkey = appdb_open_tasks_index(I_ID, RowExclusiveLock);
	Relation	other = appdb_open_tasks_index(queued ? I_READY : I_LATER, RowExclusiveLock);
	IndexInfo  *info = makeNode(IndexInfo);
	BulkInsertState bistate = n > 1 ? GetBulkInsertState() : NULL;
	int			nslots = Min(n, chunk);
	TupleTableSlot **slots = palloc(sizeof(TupleTableSlot *) * nslots);
	TupleTableSlot *row = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	Datum	   *values = row->tts_values;
	bool	   *nulls = row->tts_isnull;
	CommandId	cid = GetCurrentCommandId(true);

	info->ii_Unique = true;
	for (int i = 0; i < nslots; i++)
		slots[i] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);

#define SET(column, datum) \
	(values[appdb_tasks.att[column] - 1] = (datum), nulls[appdb_tasks.att[column] - 1] = false)
	memset(values, 0, sizeof(Datum) * desc->natts);
	memset(nulls, true, sizeof(bool) * desc->natts);
	SET(T_KIND, task->kind);
	SET(T_QUEUE, task->queue);
	SET(T_STATUS, ObjectIdGetDatum(appdb_tasks.pending));
	SET(T_PRIORITY, Int32GetDatum(task->priority));
	SET(T_RUN_AT, TimestampTzGetDatum(task->run_at));
	SET(T_ATTEMPTS, Int32GetDatum(0));
	SET(T_MAX_ATTEMPTS, Int32GetDatum(task->max_attempts));
	SET(T_PROGRESS, Float4GetDatum(0));
	SET(T_QUEUED, BoolGetDatum(queued));
	SET(T_PARKED, BoolGetDatum(false));
	SET(T_TICKET, Int32GetDatum(0));
	if (!is_default_backoff(task->backoff))
		SET(T_BACKOFF, task->backoff);
	SET(T_WAITS_FOR, Int32GetDatum(0));
	SET(T_HAS_DEPENDENTS, BoolGetDatum(false));
	SET(T_CANCEL_REQUESTED, BoolGetDatum(false));
	SET(T_CREATED_AT, TimestampTzGetDatum(appdb_floor_ms(now)));
	SET(T_UPDATED_AT, TimestampTzGetDatum(appdb_floor_ms(now)));

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
			ExecStoreHeapTuple(tuple, slots[i], true);
		}
		if (n == 1)
			table_tuple_insert(rel, slots[0], cid, 0, NULL);
		else
			table_multi_insert(rel, slots, m, cid, 0, bistate);
		for (int i = 0; i < m; i++)
		{
			SET(T_ID, ids[first + i]);
			row->tts_tid = slots[i]->tts_tid;
			insert_into_index(rel, pkey, info, I_ID, row, false);
		}
		for (int i = 0; i < m; i++)
		{
			SET(T_ID, ids[first + i]);
			row->tts_tid = slots[i]->tts_tid;
			insert_into_index(rel, other, info, queued ? I_READY : I_LATER, row, false);
		}
	}
#undef SET

	ExecDropSingleTupleTableSlot(row);
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
	return appdb_floor_ms(PG_ARGISNULL(arg) ? GetCurrentTransactionStartTimestamp() : PG_GETARG_TIMESTAMPTZ(arg));
}

/* before who waits already would look again by himself: for 30 seconds, and as long may the transaction take */
static bool
starts_soon(TimestampTz t)
{
	return t < GetCurrentTransactionStartTimestamp() + USECS_PER_MINUTE;
}

/* one that means nothing without a key is looked at all the same */
static bool
is_duplicate_policy(Datum text_datum)
{
	static const char *const policies[] = {"ignore", "replace", "reschedule"};
	struct varlena *policy = PG_DETOAST_DATUM_PACKED(text_datum);

	for (int i = 0; i < (int) lengthof(policies); i++)
	{
		if (VARSIZE_ANY_EXHDR(policy) == strlen(policies[i]) &&
			memcmp(VARDATA_ANY(policy), policies[i], strlen(policies[i])) == 0)
			return true;
	}
	return false;
}

static bool
negative_interval(Datum interval)
{
	Interval	zero = {0};

	return DatumGetBool(DirectFunctionCall2(interval_lt, interval, IntervalPGetDatum(&zero)));
}

/*
 * The function behind that adds by INSERT.  Where row security refuses that,
 * say so in words of ours.
 */
static Datum
insert_tasks(FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;

	PG_TRY();
	{
		result = appdb_work_as(fcinfo, InvalidOid);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INSUFFICIENT_PRIVILEGE || error->message_id == NULL ||
			strncmp(error->message_id, "new row violates row-level security policy", 42) != 0 ||
			strstr(error->message, "\"tasks\"") == NULL)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a task for this user and space may not be enqueued"),
				 errdetail("Row security: %s.", error->message),
				 errhint("Who is signed in enqueues for themselves (user_id => appdb.current_user_id()), or for a space where they are editors (space_id). Roles with access level service enqueue any task.")));
	}
	PG_END_TRY();
	return result;
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
	if (!PG_ARGISNULL(QUEUE))
		appdb_forget_places(TextDatumGetCString(PG_GETARG_DATUM(QUEUE)));

	if (!PG_ARGISNULL(KIND) && !PG_ARGISNULL(PAYLOAD) && !PG_ARGISNULL(QUEUE) && !PG_ARGISNULL(PRIORITY) &&
		!PG_ARGISNULL(MAX_ATTEMPTS) && PG_ARGISNULL(DEDUPE_KEY) && PG_ARGISNULL(SPACE_ID) && PG_ARGISNULL(USER_ID) &&
		!PG_ARGISNULL(ON_DUPLICATE) && is_duplicate_policy(PG_GETARG_DATUM(ON_DUPLICATE)) &&
		!PG_ARGISNULL(BACKOFF) && PG_ARGISNULL(GROUP_KEY) &&
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
			rel = appdb_open_tasks();
			if (may_write_plainly(rel))
			{
				Datum		payload = PG_GETARG_DATUM(PAYLOAD);
				Datum		id;

				write_tasks(rel, &task, &payload, 1, &id);
				if (starts_soon(task.run_at))
					appdb_wake_queue(text_to_cstring(DatumGetTextPP(task.queue)));
				table_close(rel, NoLock);
				PG_RETURN_DATUM(id);
			}
			table_close(rel, NoLock);
		}
	}
	return insert_tasks(fcinfo);
}

Datum
appdb_enqueue_many(PG_FUNCTION_ARGS)
{
	enum
	{
		KIND, PAYLOADS, QUEUE, PRIORITY, RUN_AT, MAX_ATTEMPTS, SPACE_ID, USER_ID, BACKOFF
	};

	PreventCommandIfReadOnly("appdb.enqueue_many()");
	if (!PG_ARGISNULL(QUEUE))
		appdb_forget_places(TextDatumGetCString(PG_GETARG_DATUM(QUEUE)));

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
			rel = appdb_open_tasks();
			if (may_write_plainly(rel))
			{
				Datum	   *ids;

				deconstruct_array(PG_GETARG_ARRAYTYPE_P(PAYLOADS), JSONBOID, -1, false, TYPALIGN_INT, &payloads, NULL, &n);
				ids = palloc(sizeof(Datum) * Max(n, 1));
				if (n > 0)
				{
					write_tasks(rel, &task, payloads, n, ids);
					if (starts_soon(task.run_at))
						appdb_wake_queue(text_to_cstring(DatumGetTextPP(task.queue)));
				}
				table_close(rel, NoLock);
				PG_RETURN_ARRAYTYPE_P(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
			}
			table_close(rel, NoLock);
		}
	}
	return insert_tasks(fcinfo);
}

