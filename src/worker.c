/*
 * worker.c
 *		Maintenance in the background, where the library is in
 *		shared_preload_libraries: what appdb.maintain() does, in every database
 *		that has the extension.
 *
 * A launcher runs as long as the server is no standby.  Every
 * appdb.worker_naptime seconds it starts a worker for one database after the
 * other, which does what is due and ends.  So nothing stays connected that
 * would be in the way of DROP DATABASE or ALTER EXTENSION UPDATE, and an error
 * ends no more than one batch.  While a worker runs, the launcher looks whether
 * somebody wants the database alone, and ends the worker then.  It does
 * not wait for a purge, of which there is one at a time.
 *
 * What fails is tried again after twice as long each time, up to ten minutes;
 * what has taken long and found nothing to do rests fifty times as long, and so
 * does what has looked a whole table through for rows to remove.  All of that
 * goes by a clock that nobody puts back: see ticks().
 *
 * The worker acts with the rights of the tables' owner, batch by batch, each a
 * transaction.  Purging deleted rows, once an hour, is a session of the owner's.
 *
 * Where a subscription brings rows of app_data it rests: they are looked after
 * where they come from, by the schedules and settings that hold there.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define BATCH 1000
/* a database without the extension is looked at again after this */
#define LOOK_AGAIN_MS (60 * 1000)
#define PURGE_EVERY_MS (60 * 60 * 1000)
/* others want to be served */
#define LONGEST_PASS_MS (60 * 1000)
#define LONGEST_RUN_MS (5 * 60 * 1000)
#define LOOK_FOR_DROP_MS 500
#define LONGEST_BACKOFF_MS (10 * 60 * 1000)
#define REST_FACTOR 50
#define LONGEST_REST_MS (60 * 1000)

static const char *const steps[] = {"schedules", "leases", "tasks", "sessions", "verifications", "invitations"};
#define NSTEPS ((int) lengthof(steps))
/* from here on, what is found after the last full batch can wait */
#define FIRST_REMOVAL 2

/* what the launcher remembers of a database */
typedef struct DatabaseState
{
	Oid			oid;			/* hash key, must be first */
	int64		without;		/* when it was seen not to have the extension */
	bool		subscribes;		/* to rows of app_data, as far as the log knows */
	int64		not_before[NSTEPS];	/* when a step is due again, if not in the next round */
	int			failures[NSTEPS];	/* how often it has failed in a row */
	int64		purged;			/* when deleted rows were purged */
	Oid			purge_by;		/* the role to do it now, or InvalidOid */
} DatabaseState;

static bool worker_enabled = true;
static int	worker_naptime = 10;
/* in shared memory: of the database whose turn it is, written by its worker while the launcher waits for it */
static DatabaseState *shared = NULL;
static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

PGDLLEXPORT void appdb_launcher_main(Datum arg);
PGDLLEXPORT void appdb_worker_main(Datum arg);
PGDLLEXPORT void appdb_purge_main(Datum arg);

/* milliseconds since some time; the same for all processes */
static int64
ticks(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return 1 + (int64) INSTR_TIME_GET_MILLISEC(now);
}

static void
shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(MAXALIGN(sizeof(DatabaseState)));
}

static void
shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("appdb maintenance", sizeof(DatabaseState), &found);
	if (!found)
		memset(shared, 0, sizeof(DatabaseState));
	LWLockRelease(AddinShmemInitLock);
}

/* Called by _PG_init(). */
void
appdb_worker_init(void)
{
	BackgroundWorker worker;

	DefineCustomBoolVariable("appdb.worker",
							 "Enables maintenance in the background.",
							 "Only where shared_preload_libraries has appdb. Otherwise, CALL appdb.maintain() now and then.",
							 &worker_enabled,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("appdb.worker_naptime",
							"Sets the time between two rounds of maintenance.",
							NULL,
							&worker_naptime,
							10, 1, 3600,
							PGC_SIGHUP,
							GUC_UNIT_S,
							NULL, NULL, NULL);

	/* while pg_upgrade reads and makes clusters, nothing else is to be written in them */
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = shmem_startup;

	memset(&worker, 0, sizeof(worker));
	snprintf(worker.bgw_name, BGW_MAXLEN, "appdb launcher");
	snprintf(worker.bgw_type, BGW_MAXLEN, "appdb launcher");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 5;
	snprintf(worker.bgw_library_name, BGW_MAXLEN, "appdb");
	snprintf(worker.bgw_function_name, BGW_MAXLEN, "appdb_launcher_main");
	RegisterBackgroundWorker(&worker);
}

/* == the launcher ========================================================= */

static List *
list_databases(MemoryContext context)
{
	List	   *result = NIL;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while ((tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database db = (Form_pg_database) GETSTRUCT(tup);
		MemoryContext oldcontext;

		/* -2: a DROP DATABASE that broke off */
		if (!db->datallowconn || db->datistemplate || db->datconnlimit < -1)
			continue;
		oldcontext = MemoryContextSwitchTo(context);
		result = lappend_oid(result, db->oid);
		MemoryContextSwitchTo(oldcontext);
	}
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return result;
}

/* What is remembered of a database; of those that are not in the list any more, nothing. */
static DatabaseState *
database_state(Oid oid, List *databases)
{
	static HTAB *states = NULL;
	DatabaseState *state;
	HASH_SEQ_STATUS status;
	bool		found;

	if (states == NULL)
	{
		HASHCTL		ctl = {0};

		ctl.keysize = sizeof(Oid);
		ctl.entrysize = sizeof(DatabaseState);
		states = hash_create("appdb databases", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	}
	if (hash_get_num_entries(states) > list_length(databases))
	{
		hash_seq_init(&status, states);
		while ((state = hash_seq_search(&status)) != NULL)
		{
			if (!list_member_oid(databases, state->oid))
				hash_search(states, &state->oid, HASH_REMOVE, NULL);
		}
	}
	state = hash_search(states, &oid, HASH_ENTER, &found);
	if (!found)
	{
		memset(state, 0, sizeof(DatabaseState));
		state->oid = oid;
	}
	return state;
}

/* a worker of the launcher's */
typedef struct Running
{
	BackgroundWorkerHandle *handle;	/* or NULL */
	Oid			database;
	int64		since;
} Running;

static Running maintenance;
static Running purge;

/*
 * Does somebody drop, rename, move or copy the database?  They wait five
 * seconds for others to leave.
 */
static bool
is_wanted_alone(Oid database)
{
	LOCKTAG		tag;
	bool		result;

	StartTransactionCommand();
	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, database, 0);
	/* as a backend that connects */
	result = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return result;
}

static void
start_worker(Running *worker, const char *function, Oid database, Oid role)
{
	static bool without = false;
	BackgroundWorker registration;

	memset(&registration, 0, sizeof(registration));
	snprintf(registration.bgw_name, BGW_MAXLEN, "appdb maintenance");
	snprintf(registration.bgw_type, BGW_MAXLEN, "appdb maintenance");
	registration.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	registration.bgw_start_time = BgWorkerStart_RecoveryFinished;
	registration.bgw_restart_time = BGW_NEVER_RESTART;
	snprintf(registration.bgw_library_name, BGW_MAXLEN, "appdb");
	snprintf(registration.bgw_function_name, BGW_MAXLEN, "%s", function);
	registration.bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(registration.bgw_extra, &role, sizeof(Oid));
	registration.bgw_notify_pid = MyProcPid;
	worker->database = database;
	worker->since = ticks();
	if (RegisterDynamicBackgroundWorker(&registration, &worker->handle))
		without = false;
	else
	{
		/* next time; what uses them all may do so for long */
		worker->handle = NULL;
		if (!without)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("out of background worker slots"),
					 errdetail("The maintenance of appdb waits until there is one."),
					 errhint("You might need to increase \"max_worker_processes\".")));
		without = true;
	}
}

static bool
is_running(Running *worker)
{
	pid_t		pid;

	if (worker->handle != NULL && GetBackgroundWorkerPid(worker->handle, &pid) == BGWH_STOPPED)
	{
		pfree(worker->handle);
		worker->handle = NULL;
	}
	return worker->handle != NULL;
}

static void
look_after(Running *worker, long longest)
{
	if (is_running(worker) &&
		(is_wanted_alone(worker->database) ||
		 (longest > 0 && ticks() - worker->since >= longest)))
		TerminateBackgroundWorker(worker->handle);
}

/*
 * Wait until a worker has ended, or for some time where that is NULL.
 */
static void
wait_for(Running *worker, long ms)
{
	int64		end = ticks() + ms;

	while (worker == NULL || is_running(worker))
	{
		int64		now = ticks();
		long		timeout = LOOK_FOR_DROP_MS;
		int			events;

		if (worker == NULL)
		{
			if (now >= end || ConfigReloadPending)
				break;
			timeout = end - now;
			if (is_running(&purge))
				timeout = Min(timeout, LOOK_FOR_DROP_MS);
		}
		events = WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (events & WL_TIMEOUT)
		{
			look_after(&maintenance, LONGEST_RUN_MS);
			look_after(&purge, 0);
		}
	}
}

void
appdb_launcher_main(Datum arg)
{
	MemoryContext context;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	context = AllocSetContextCreate(TopMemoryContext, "appdb launcher", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(TopMemoryContext);

	for (;;)
	{
		ListCell   *lc;
		List	   *databases;

		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}
		if (worker_enabled)
		{
			databases = list_databases(context);
			foreach(lc, databases)
			{
				Oid			database = lfirst_oid(lc);
				DatabaseState *state = database_state(database, databases);

				if (state->without != 0 && ticks() - state->without < LOOK_AGAIN_MS)
					continue;
				state->purge_by = InvalidOid;
				*shared = *state;
				start_worker(&maintenance, "appdb_worker_main", database, InvalidOid);
				wait_for(&maintenance, 0);
				*state = *shared;
				if (OidIsValid(state->purge_by) && !is_running(&purge))
				{
					/* which may take long: nobody waits for it */
					state->purged = ticks();
					start_worker(&purge, "appdb_purge_main", database, state->purge_by);
				}
			}
			MemoryContextReset(context);
		}
		wait_for(NULL, worker_naptime * 1000L);
	}
}

/* == a worker ============================================================= */

typedef int64 (*WorkerStep) (void *arg);

/*
 * Do one batch in a transaction of its own, as the owner of the tables.
 * Returns its result, or -1 after an error, which is logged.
 */
static int64
in_transaction(const char *what, WorkerStep step, void *arg)
{
	volatile int64 result = -1;
	MemoryContext context = CurrentMemoryContext;

	CHECK_FOR_INTERRUPTS();
	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, what);
	PG_TRY();
	{
		HeapTuple	tup;
		Oid			userid;
		int			sec_context;

		StartTransactionCommand();
		PushActiveSnapshot(GetTransactionSnapshot());
		tup = SearchSysCache1(NAMESPACENAME, CStringGetDatum(APPDB_DATA_SCHEMA));
		if (OidIsValid(get_extension_oid("appdb", true)) && HeapTupleIsValid(tup))
		{
			Oid			owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;

			SPI_connect();
			GetUserIdAndSecContext(&userid, &sec_context);
			SetUserIdAndSecContext(owner, sec_context | SECURITY_LOCAL_USERID_CHANGE |
								   SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS);
			result = step(arg);
			SetUserIdAndSecContext(userid, sec_context);
			SPI_finish();
		}
		if (HeapTupleIsValid(tup))
			ReleaseSysCache(tup);
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		EmitErrorReport();
		AbortCurrentTransaction();
		FlushErrorState();
		RESUME_INTERRUPTS();
		result = -1;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
	return result;
}

static int64
query_int8(const char *sql)
{
	bool		isnull;
	int64		result;
	int			rc = SPI_execute(sql, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
	if (SPI_tuptable == NULL || SPI_processed == 0)
		return 0;
	result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	return isnull ? 0 : result;
}

static int64
run_statement(void *arg)
{
	return query_int8(arg);
}

/*
 * What is set for the database or the role is meant for clients.
 */
static void
own_settings(void)
{
	static const char *const settings[][2] = {
		{"statement_timeout", "0"},
		{"idle_in_transaction_session_timeout", "0"},
		/* who waits for longer keeps other databases from being served */
		{"lock_timeout", "10s"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		/* 17 has it */
		{"transaction_timeout", "0"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		if (GetConfigOption(settings[i][0], true, false) != NULL)
			SetConfigOption(settings[i][0], settings[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	}
}

/* is there the extension, with its tables? */
static bool
has_extension(void)
{
	bool		result;
	Oid			nsp;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	result = OidIsValid(get_extension_oid("appdb", true)) && OidIsValid(nsp) &&
		OidIsValid(get_relname_relid("tasks", nsp)) && OidIsValid(get_relname_relid("schedules", nsp));
	PopActiveSnapshot();
	CommitTransactionCommand();
	return result;
}

/* does a subscription bring rows of the tables?  Also while it is disabled: it may go on. */
static bool
subscribes(void)
{
	bool		result = false;
	Oid			nsp;
	Relation	rel;
	TableScanDesc scan;
	HeapTuple	tup;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	rel = table_open(SubscriptionRelRelationId, AccessShareLock);
	scan = table_beginscan_catalog(rel, 0, NULL);
	while (!result && (tup = heap_getnext(scan, ForwardScanDirection)) != NULL)
		result = get_rel_namespace(((Form_pg_subscription_rel) GETSTRUCT(tup))->srrelid) == nsp;
	table_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	return result;
}

/*
 * The owner of the tables, whose session a purge is; before 17 a session
 * needs a role that can log in.
 */
static Oid
owner_who_can_log_in(void)
{
	HeapTuple	tup;
	Oid			owner = InvalidOid;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	tup = SearchSysCache1(NAMESPACENAME, CStringGetDatum(APPDB_DATA_SCHEMA));
	if (HeapTupleIsValid(tup))
	{
		owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
		ReleaseSysCache(tup);
	}
	tup = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	if (!HeapTupleIsValid(tup) || !((Form_pg_authid) GETSTRUCT(tup))->rolcanlogin)
	{
		ereport(LOG,
				(errmsg("deleted rows of database \"%s\" are not purged: the owner of schema \"%s\" cannot log in",
						get_database_name(MyDatabaseId), APPDB_DATA_SCHEMA),
				 errhint("ALTER ROLE ... LOGIN, or CALL appdb.purge() now and then.")));
		owner = InvalidOid;
	}
	if (HeapTupleIsValid(tup))
		ReleaseSysCache(tup);
	CommitTransactionCommand();
	return owner;
}

/* What to remember; a launcher that is at another database already does not hear of it. */
static void
tell_launcher(const DatabaseState *state)
{
	if (shared->oid == state->oid)
		*shared = *state;
}

void
appdb_worker_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	DatabaseState state;
	int64		end;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	own_settings();
	end = ticks() + LONGEST_PASS_MS;

	state = *shared;
	/* the launcher that has started us is gone */
	if (state.oid != database)
		proc_exit(0);
	if (!has_extension())
	{
		state.without = ticks();
		tell_launcher(&state);
		proc_exit(0);
	}
	state.without = 0;
	if (subscribes())
	{
		if (!state.subscribes)
			ereport(LOG,
					(errmsg("maintenance of appdb rests in this database: a subscription brings rows of schema \"%s\"", APPDB_DATA_SCHEMA),
					 errhint("It begins when the subscription is dropped.")));
		state.subscribes = true;
		tell_launcher(&state);
		proc_exit(0);
	}
	state.subscribes = false;

	for (int i = 0; i < NSTEPS; i++)
	{
		char	   *what = psprintf("appdb: %s", steps[i]);
		char	   *sql = psprintf("SELECT appdb._maintain('%s', %d)", steps[i], BATCH);
		int64		begin;
		int64		now;
		int64		n;

		if (ticks() < state.not_before[i])
			continue;
		do
		{
			begin = ticks();
			n = in_transaction(what, run_statement, sql);
		} while (n >= BATCH && ticks() < end);
		now = ticks();
		if (n >= 0)
		{
			state.failures[i] = 0;
			state.not_before[i] = n >= (i < FIRST_REMOVAL ? 1 : BATCH) ? 0 : now + Min(REST_FACTOR * (now - begin), LONGEST_REST_MS);
		}
		else
		{
			int64		wait = worker_naptime * INT64CONST(1000) << Min(state.failures[i], 10);

			state.failures[i]++;
			state.not_before[i] = now + Min(wait, LONGEST_BACKOFF_MS);
		}
		tell_launcher(&state);
	}
	state.purge_by = InvalidOid;
	if (state.purged == 0 || ticks() - state.purged >= PURGE_EVERY_MS)
	{
		state.purge_by = owner_who_can_log_in();
		if (!OidIsValid(state.purge_by))
			state.purged = ticks();
	}
	tell_launcher(&state);
	proc_exit(0);
}

/*
 * appdb.purge() commits, so it cannot run with rights that are put on for a
 * transaction: this session is the owner's.
 */
void
appdb_purge_main(Datum arg)
{
	Oid			database = DatumGetObjectId(arg);
	Oid			role;
	const char *sql = "CALL appdb.purge()";
	MemoryContext oldcontext;
	RawStmt    *stmt;
	List	   *plans;
	Portal		portal;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(Oid));
	BackgroundWorkerInitializeConnectionByOid(database, role, 0);
	own_settings();

	SetCurrentStatementStartTimestamp();
	pgstat_report_activity(STATE_RUNNING, "CALL appdb.purge()");
	(void) set_config_option("client_min_messages", "warning", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	(void) set_config_option("log_min_messages", "warning", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	StartTransactionCommand();
	/* as a client's statement: what commits needs a portal, and memory that outlives transactions */
	oldcontext = MemoryContextSwitchTo(TopMemoryContext);
	PushActiveSnapshot(GetTransactionSnapshot());
	stmt = linitial_node(RawStmt, pg_parse_query(sql));
	plans = pg_plan_queries(pg_analyze_and_rewrite_fixedparams(stmt, sql, NULL, 0, NULL), sql, CURSOR_OPT_PARALLEL_OK, NULL);
	PopActiveSnapshot();
	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, CMDTAG_CALL, plans, NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	(void) compat_PortalRun(portal, None_Receiver);
	PortalDrop(portal, false);
	MemoryContextSwitchTo(oldcontext);
	CommitTransactionCommand();
	proc_exit(0);
}
