/*
 * migrate.c
 *		Changes of the tables from version to version.
 *
 * The engine carries the text of all migrations (appdb.migrations_sql()).  A
 * migration has two parts.  The first one is done in one transaction, by
 * appdb.migrate() or ALTER EXTENSION ... UPDATE.  The second one has what
 * would take long locks or long transactions: app_data.pending notes which of
 * its statements remain, and appdb.migrate_online() does them one by one.
 *
 * Statements run as the owner of the tables, as in install.c, and app_data is
 * read as that role.  An index that is built concurrently is the exception: it
 * takes several transactions, through which no other role can be put on, so it
 * is built as the caller, who has the owner's rights.  PostgreSQL itself
 * evaluates what indexes are made of as the owner of the table.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/cmdtag.h"
#include "tcop/dest.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/*
 * How long a step waits for its locks, unless lock_timeout is shorter: less
 * than it takes others to find that they wait in a circle with us.
 */
#define STEP_LOCK_TIMEOUT_MS 500

/* rows that a migration changes were not changed by the application */
bool		appdb_migrating = false;

/* a statement of an online part */
typedef struct OnlineStep
{
	const char *statement;
	Node	   *parsetree;
	const char *kind;
	RangeVar   *entity;			/* or NULL */
	RangeVar   *about;			/* the relation without which there is nothing to be done, or NULL */
	const char *object;			/* name of the index or constraint, or NULL */
} OnlineStep;

/* what appdb.migrate_online() is at */
typedef struct OnlineRun
{
	Oid			owner;
	int			batch;
	MemoryContext context;		/* of the step */
	char	   *version;
	int			number;
	int			left;			/* steps, with this one */
	OnlineStep *step;
	const char *error;			/* to be recorded */
	int64		rows;			/* of the last batch */
	bool		missing;		/* what the step is about */
} OnlineRun;

PG_FUNCTION_INFO_V1(appdb__online_steps);
PG_FUNCTION_INFO_V1(appdb_migrate_online);

/* == the text of migrations =============================================== */

static void
step_of(RawStmt *raw, const char *script, OnlineStep *step)
{
	const char *start = script + raw->stmt_location;
	int			len = raw->stmt_len > 0 ? raw->stmt_len : (int) strlen(start);

	/* without the comments before it */
	for (;;)
	{
		if (len > 0 && strchr(" \t\r\n", *start) != NULL)
			start++, len--;
		else if (len > 1 && start[0] == '-' && start[1] == '-')
		{
			while (len > 0 && *start != '\n')
				start++, len--;
		}
		else
			break;
	}
	while (len > 0 && strchr(" \t\r\n", start[len - 1]) != NULL)
		len--;

	step->statement = pnstrdup(start, len);
	step->parsetree = raw->stmt;
	step->kind = "statement";
	step->entity = NULL;
	step->about = NULL;
	step->object = NULL;
	if (IsA(raw->stmt, IndexStmt))
	{
		IndexStmt  *stmt = (IndexStmt *) raw->stmt;

		step->entity = stmt->relation;
		step->object = stmt->idxname;
		if (stmt->concurrent)
			step->kind = "index";
	}
	else if (IsA(raw->stmt, DropStmt) && ((DropStmt *) raw->stmt)->concurrent)
	{
		step->kind = "drop index";
		step->entity = makeRangeVarFromNameList(linitial_node(List, ((DropStmt *) raw->stmt)->objects));
	}
	else if (IsA(raw->stmt, AlterTableStmt))
	{
		AlterTableStmt *stmt = (AlterTableStmt *) raw->stmt;
		AlterTableCmd *cmd = linitial_node(AlterTableCmd, stmt->cmds);

		step->entity = stmt->relation;
		if (list_length(stmt->cmds) == 1 && cmd->subtype == AT_ValidateConstraint)
		{
			step->kind = "validate";
			step->object = cmd->name;
		}
	}
	else if (IsA(raw->stmt, UpdateStmt))
	{
		step->kind = "backfill";
		step->entity = ((UpdateStmt *) raw->stmt)->relation;
	}
	else if (IsA(raw->stmt, DeleteStmt))
	{
		step->kind = "backfill";
		step->entity = ((DeleteStmt *) raw->stmt)->relation;
	}
	else if (IsA(raw->stmt, CommentStmt) && ((CommentStmt *) raw->stmt)->objtype == OBJECT_INDEX)
		step->about = makeRangeVarFromNameList(castNode(List, ((CommentStmt *) raw->stmt)->object));
	if (step->entity != NULL && !IsA(raw->stmt, DropStmt))
		step->about = step->entity;
}

/* The statements of an online part, as OnlineSteps. */
static List *
online_steps(const char *script)
{
	List	   *steps = NIL;
	ListCell   *lc;

	foreach(lc, raw_parser(script, RAW_PARSE_DEFAULT))
	{
		RawStmt    *raw = lfirst_node(RawStmt, lc);
		OnlineStep *step;

		/* SET LOCAL would be for itself alone */
		if (IsA(raw->stmt, VariableSetStmt))
			continue;
		step = palloc(sizeof(OnlineStep));
		step_of(raw, script, step);
		steps = lappend(steps, step);
	}
	return steps;
}

static char *
text_value(int row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

/*
 * appdb._online_steps() returns setof (version, step, kind, entity, object, statement)
 */
Datum
appdb__online_steps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	appdb_run_sql("SELECT to_version, online FROM appdb.migrations_sql()");
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		ListCell   *lc;
		int			number = 0;

		foreach(lc, online_steps(text_value(i, 2)))
		{
			OnlineStep *step = lfirst(lc);
			Datum		values[6];
			bool		nulls[6] = {false};

			values[0] = CStringGetTextDatum(text_value(i, 1));
			values[1] = Int32GetDatum(++number);
			values[2] = CStringGetTextDatum(step->kind);
			nulls[3] = step->entity == NULL;
			if (!nulls[3])
				values[3] = CStringGetTextDatum(quote_qualified_identifier(step->entity->schemaname,
																		   step->entity->relname));
			nulls[4] = step->object == NULL;
			if (!nulls[4])
				values[4] = CStringGetTextDatum(step->object);
			values[5] = CStringGetTextDatum(step->statement);
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
	}
	SPI_finish();
	return (Datum) 0;
}

/* == one at a time ======================================================== */

/*
 * The lock of whoever changes tables: on the extension, so that it is not
 * dropped meanwhile.  It is not waited for: the other one may wait for our
 * transaction.
 */
static bool
lock_migrations(bool session)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId,
					   get_extension_oid("appdb", false), 0);
	return LockAcquire(&tag, ShareUpdateExclusiveLock, session, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
unlock_session(void)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, ExtensionRelationId,
					   get_extension_oid("appdb", false), 0);
	LockRelease(&tag, ShareUpdateExclusiveLock, true);
}

/* == in one transaction =================================================== */

/* The version of the tables, as their owner and with SPI connected. */
char *
appdb_tables_version(void)
{
	appdb_run_sql("SELECT version FROM app_data.schema_version");
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s.schema_version\" has " UINT64_FORMAT " rows instead of one: the version of the tables is not known",
						APPDB_DATA_SCHEMA, SPI_processed),
				 errhint("appdb.doctor() says how to put it right.")));
	(void) appdb_found(0, 1);
	return text_value(0, 1);
}

static void
migration_context(void *arg)
{
	char	  **versions = arg;

	errcontext("migration of the tables from version %s to %s", versions[0], versions[1]);
}

/*
 * Lock the tables, and bring them to the engine's version.  Called as their
 * owner, with SPI connected.
 */
void
appdb_apply_migrations(void)
{
	char	   *engine = appdb_text_of("SELECT appdb.version()");
	char	   *version = appdb_tables_version();

	if (strcmp(version, engine) != 0 && !lock_migrations(false))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the tables are being migrated by another session"),
				 errhint("appdb.pending() shows how far it is.")));
	/* all at once, before anything is done to them, as an upgrade script has done; the engine of 1.0 does not have this */
	if (strcmp(appdb_text_of("SELECT to_regprocedure('appdb._lock_tables()') IS NOT NULL"), "t") == 0)
		appdb_run_sql("SELECT appdb._lock_tables()");

	while (strcmp(version, engine) != 0)
	{
		Oid			types[] = {TEXTOID, INT4OID};
		Datum		values[2];
		char	   *versions[2];
		char	   *statements;
		char	   *online;
		ErrorContextCallback callback;
		bool		save_migrating = appdb_migrating;
		int			nsteps;
		int			rc;

		values[0] = CStringGetTextDatum(version);
		rc = SPI_execute_with_args("SELECT to_version, statements, online FROM appdb.migrations_sql() "
								   "WHERE from_version OPERATOR(pg_catalog.=) $1",
								   1, types, values, NULL, false, 0);
		if (rc != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
		if (SPI_processed != 1)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("the tables in schema \"%s\" are of version %s, which the engine of version %s cannot use",
							APPDB_DATA_SCHEMA, version, engine),
					 errhint("Install that version of appdb or a later one, then ALTER EXTENSION appdb UPDATE.")));
		versions[0] = version;
		versions[1] = text_value(0, 1);
		statements = text_value(0, 2);
		online = text_value(0, 3);

		callback.callback = migration_context;
		callback.arg = versions;
		callback.previous = error_context_stack;
		error_context_stack = &callback;
		PG_TRY();
		{
			appdb_migrating = true;
			appdb_run_script(statements);
		}
		PG_FINALLY();
		{
			appdb_migrating = save_migrating;
		}
		PG_END_TRY();
		error_context_stack = callback.previous;

		values[0] = CStringGetTextDatum(versions[1]);
		nsteps = list_length(online_steps(online));
		for (int i = 1; i <= nsteps; i++)
		{
			values[1] = Int32GetDatum(i);
			rc = SPI_execute_with_args("INSERT INTO app_data.pending (version, step) VALUES ($1, $2)",
									   2, types, values, NULL, false, 0);
			if (rc != SPI_OK_INSERT)
				elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
		}
		rc = SPI_execute_with_args("UPDATE app_data.schema_version SET version = $1, changed_at = pg_catalog.now() WHERE true",
								   1, types, values, NULL, false, 0);
		if (rc != SPI_OK_UPDATE)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
		appdb_notice(psprintf("the tables of appdb are migrated from version %s to %s", versions[0], versions[1]),
					 nsteps == 0 ? NULL :
					 psprintf("%d steps remain to be done beside load: CALL appdb.migrate_online().", nsteps));
		version = versions[1];
	}
}

/* == beside load ========================================================== */

/* Commit, and begin the next transaction. */
static void
commit_transaction(void)
{
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	SPI_finish();
}

/*
 * Do something as the owner of the tables, in a transaction of its own.  With
 * a snapshot, or else SPI would make one that is the portal's: which an error
 * would leave there.
 */
static void
in_transaction(OnlineRun *run, appdb_body body)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	appdb_run_as_owner(run->owner, body, run);
	PopActiveSnapshot();
	commit_transaction();
}

/* Execute a statement about the step: $1 its version, $2 its number, $3 text. */
static void
execute_for_step(OnlineRun *run, const char *sql, const char *text)
{
	Oid			types[] = {TEXTOID, INT4OID, TEXTOID};
	Datum		values[3];
	char		nulls[] = "   ";
	int			rc;

	values[0] = CStringGetTextDatum(run->version);
	values[1] = Int32GetDatum(run->number);
	values[2] = text ? CStringGetTextDatum(text) : (Datum) 0;
	if (text == NULL)
		nulls[2] = 'n';
	rc = SPI_execute_with_args(sql, 3, types, values, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
}

/* Which step is next; run->step is NULL where none is. */
static void
next_step(void *arg)
{
	OnlineRun  *run = arg;

	run->step = NULL;
	SPI_connect();
	if (strcmp(appdb_tables_version(), appdb_text_of("SELECT appdb.version()")) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the tables in schema \"%s\" are not migrated to the version of the engine", APPDB_DATA_SCHEMA),
				 errhint("First, SELECT appdb.migrate().")));
	appdb_run_sql("SELECT p.version, p.step, s.statement, count(*) OVER () "
				  "FROM app_data.pending p JOIN appdb._online_steps() s ON s.version = p.version AND s.step = p.step "
				  "ORDER BY string_to_array(p.version, '.')::int4[], p.step LIMIT 1");
	if (SPI_processed == 1)
	{
		MemoryContext oldcontext = MemoryContextSwitchTo(run->context);

		run->version = pstrdup(text_value(0, 1));
		run->number = atoi(text_value(0, 2));
		run->left = atoi(text_value(0, 4));
		run->step = linitial(online_steps(pstrdup(text_value(0, 3))));
		MemoryContextSwitchTo(oldcontext);
	}
	SPI_finish();
}

static void
begin_step(void *arg)
{
	SPI_connect();
	execute_for_step(arg, "UPDATE app_data.pending SET attempts = attempts + 1, error = $3, "
					 "running = pg_backend_pid(), started_at = now() WHERE version = $1 AND step = $2", NULL);
	SPI_finish();
}

static void
record_error(void *arg)
{
	OnlineRun  *run = arg;

	SPI_connect();
	execute_for_step(run, "UPDATE app_data.pending SET error = $3, running = NULL WHERE version = $1 AND step = $2",
					 run->error);
	SPI_finish();
}

static void
finish_step(void *arg)
{
	SPI_connect();
	execute_for_step(arg, "DELETE FROM app_data.pending WHERE version = $1 AND step = $2 AND $3 IS NULL", NULL);
	SPI_finish();
}

static void
limit_lock_waits(void)
{
	if (LockTimeout == 0 || LockTimeout > STEP_LOCK_TIMEOUT_MS)
		(void) set_config_option("lock_timeout", psprintf("%d", STEP_LOCK_TIMEOUT_MS),
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* A statement that does its work in one transaction: done once and for all. */
static void
run_statement(void *arg)
{
	OnlineRun  *run = arg;

	limit_lock_waits();
	SPI_connect();
	appdb_run_sql(run->step->statement);
	SPI_finish();
	finish_step(run);
}

/*
 * The next rows of a backfill.  A statement with parameters does those after
 * the last one that is done, in the order of their ids: it takes that id and
 * how many rows, and returns the ids that it did.  One without finds by itself
 * what remains.
 */
static void
run_batch(void *arg)
{
	OnlineRun  *run = arg;
	Oid			types[] = {UUIDOID, INT4OID};
	Datum		values[2];
	char		nulls[] = "  ";
	bool		isnull;
	int			rc;
	bool		by_id = strstr(run->step->statement, "$1") != NULL;
	bool		save_migrating = appdb_migrating;

	limit_lock_waits();
	SPI_connect();
	execute_for_step(run, "SELECT coalesce(last_id, '00000000-0000-0000-0000-000000000000')::uuid FROM app_data.pending "
					 "WHERE version = $1 AND step = $2 AND $3 IS NULL FOR UPDATE", NULL);
	if (SPI_processed != 1)
		elog(ERROR, "step %d of version %s is gone", run->number, run->version);
	values[0] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	values[1] = Int32GetDatum(run->batch);
	PG_TRY();
	{
		appdb_migrating = true;
		rc = SPI_execute_with_args(by_id ?
								   psprintf("WITH done AS (%s) SELECT id FROM done ORDER BY id DESC", run->step->statement) :
								   run->step->statement,
								   2, types, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		appdb_migrating = save_migrating;
	}
	PG_END_TRY();
	if (rc < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	run->rows = SPI_processed;
	if (run->rows > 0)
		execute_for_step(run, psprintf("UPDATE app_data.pending SET last_id = $3::uuid, rows = rows + " INT64_FORMAT
									   " WHERE version = $1 AND step = $2", run->rows),
						 by_id ? text_value(0, 1) : NULL);
	SPI_finish();
	if (run->rows == 0)
		finish_step(run);
}

/*
 * Execute a utility statement that is several transactions, as a client's: our
 * CALL is one, and has no snapshot or statement of its own under way.
 */
static void
run_toplevel(OnlineRun *run, Node *parsetree, const char *sql)
{
	PlannedStmt *stmt = makeNode(PlannedStmt);
	MemoryContext oldcontext = CurrentMemoryContext;

	stmt->commandType = CMD_UTILITY;
	stmt->canSetTag = true;
	stmt->utilityStmt = copyObject(parsetree);
	stmt->stmt_location = 0;
	stmt->stmt_len = strlen(sql);

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	PushActiveSnapshot(GetTransactionSnapshot());
	ProcessUtility(stmt, sql, false, PROCESS_UTILITY_TOPLEVEL, NULL, NULL, None_Receiver, NULL);
	if (ActiveSnapshotSet())
		PopActiveSnapshot();
	MemoryContextSwitchTo(oldcontext);
	commit_transaction();
}

/* Is this what the statement makes, as far as its columns go? */
static bool
is_like(HeapTuple tup, IndexStmt *stmt)
{
	Form_pg_index form = (Form_pg_index) GETSTRUCT(tup);
	ListCell   *lc;
	int			i = 0;

	if (form->indnkeyatts != list_length(stmt->indexParams) || form->indisunique != stmt->unique ||
		heap_attisnull(tup, Anum_pg_index_indpred, NULL) != (stmt->whereClause == NULL))
		return false;
	foreach(lc, stmt->indexParams)
	{
		char	   *name = lfirst_node(IndexElem, lc)->name;

		if (form->indkey.values[i++] != (name == NULL ? 0 : get_attnum(form->indrelid, name)))
			return false;
	}
	return true;
}

/* The index that a step makes, or InvalidOid. */
static Oid
index_of_step(OnlineRun *run, bool *valid)
{
	Oid			relid = RangeVarGetRelid(run->step->entity, NoLock, false);
	Oid			index = get_relname_relid(run->step->object, get_rel_namespace(relid));
	HeapTuple	tup;

	*valid = false;
	if (!OidIsValid(index))
		return InvalidOid;
	tup = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
	if (!HeapTupleIsValid(tup) || ((Form_pg_index) GETSTRUCT(tup))->indrelid != relid)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" exists and is not an index of table \"%s\"",
						run->step->object, run->step->entity->relname),
				 errhint("Give it another name, then call appdb.migrate_online() again.")));
	*valid = ((Form_pg_index) GETSTRUCT(tup))->indisvalid;
	if (*valid && !is_like(tup, castNode(IndexStmt, run->step->parsetree)))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("index \"%s\" exists and is another one than this step makes", run->step->object),
				 errhint("Give it another name, then call appdb.migrate_online() again.")));
	ReleaseSysCache(tup);
	return index;
}

static void
run_index(OnlineRun *run)
{
	bool		valid;
	Oid			index = index_of_step(run, &valid);

	if (OidIsValid(index) && !valid)
	{
		/* what is left of a build that broke off */
		char	   *sql = psprintf("DROP INDEX CONCURRENTLY %s", appdb_qualified_name(index));
		RawStmt    *raw = linitial_node(RawStmt, raw_parser(sql, RAW_PARSE_DEFAULT));

		run_toplevel(run, raw->stmt, sql);
	}
	if (!valid)
		run_toplevel(run, run->step->parsetree, run->step->statement);
	in_transaction(run, finish_step);
}

/* The index that a step drops may be gone already. */
static void
run_drop_index(OnlineRun *run)
{
	if (OidIsValid(RangeVarGetRelid(run->step->entity, NoLock, true)))
		run_toplevel(run, run->step->parsetree, run->step->statement);
	in_transaction(run, finish_step);
}

/*
 * After an error: begin anew, as _SPI_commit() does.  The locks of the session
 * are gone.
 */
static ErrorData *
recover(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	if (!lock_migrations(true))
		ReThrowError(error);
	return error;
}

/* Do the step, or a batch of it; NULL, or what went wrong. */
static ErrorData *
try_step(OnlineRun *run)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		if (strcmp(run->step->kind, "index") == 0)
			run_index(run);
		else if (strcmp(run->step->kind, "drop index") == 0)
			run_drop_index(run);
		else
			in_transaction(run, strcmp(run->step->kind, "backfill") == 0 ? run_batch : run_statement);
	}
	PG_CATCH();
	{
		error = recover(context);
	}
	PG_END_TRY();
	return error;
}

static void
set_lock_timeout(int ms)
{
	(void) set_config_option("lock_timeout", psprintf("%d", ms), PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SET, true, 0, false);
	commit_transaction();
}

/* Is what the step is about gone?  Its owner may do without a built-in table. */
static void
find_relation(void *arg)
{
	OnlineRun  *run = arg;

	run->missing = run->step->about != NULL && !OidIsValid(RangeVarGetRelid(run->step->about, NoLock, true));
	if (run->missing)
		finish_step(run);
}

/* Do one step, again and again while locks are not to be had. */
static void
run_step(OnlineRun *run, int attempts)
{
	int			attempt = 1;
	int			save_lock_timeout = LockTimeout;
	bool		concurrent = strstr(run->step->kind, "index") != NULL;
	bool		done = false;

	ereport(NOTICE,
			(errmsg("version %s, step %d (%d left): %s", run->version, run->number, run->left, run->step->statement)));

	in_transaction(run, find_relation);
	if (run->missing)
	{
		ereport(NOTICE,
				(errmsg("there is no relation \"%s.%s\": the step is left out",
						run->step->about->schemaname, run->step->about->relname)));
		return;
	}

	/*
	 * What is done to an index concurrently waits for transactions that began
	 * before, in whose way it is not: as long as they take.
	 */
	if (concurrent && save_lock_timeout != 0)
		set_lock_timeout(0);
	in_transaction(run, begin_step);
	while (!done)
	{
		ErrorData  *error;

		CHECK_FOR_INTERRUPTS();
		error = try_step(run);
		if (error == NULL)
		{
			done = strcmp(run->step->kind, "backfill") != 0 || run->rows == 0;
			attempt = 1;
			continue;
		}
		if (concurrent && save_lock_timeout != 0)
			set_lock_timeout(save_lock_timeout);
		if (error->sqlerrcode != ERRCODE_QUERY_CANCELED)
		{
			run->error = error->message;
			in_transaction(run, record_error);
		}
		if ((error->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE &&
			 error->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED &&
			 error->sqlerrcode != ERRCODE_T_R_SERIALIZATION_FAILURE) ||
			attempt >= attempts)
		{
			error->context = psprintf("%s%sstep %d of version %s: %s", error->context ? error->context : "",
									  error->context ? "\n" : "", run->number, run->version, run->step->statement);
			if (error->hint == NULL)
				error->hint = "CALL appdb.migrate_online() goes on with this step; appdb.pending() shows what remains.";
			ReThrowError(error);
		}
		ereport(NOTICE,
				(errmsg("attempt %d failed: %s", attempt, error->message)));
		/* longer and longer, up to 10 s */
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(attempt, 10) * 1000L, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		attempt++;
		if (concurrent && save_lock_timeout != 0)
			set_lock_timeout(0);
		in_transaction(run, begin_step);
	}
	if (concurrent && save_lock_timeout != 0)
		set_lock_timeout(save_lock_timeout);
}

/* Are we the client's statement, and the only one? */
static bool
is_toplevel(FunctionCallInfo fcinfo)
{
	PlannedStmt *stmt;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic ||
		ActivePortal == NULL || list_length(ActivePortal->stmts) != 1)
		return false;
	stmt = linitial_node(PlannedStmt, ActivePortal->stmts);
	return stmt->utilityStmt != NULL && IsA(stmt->utilityStmt, CallStmt) &&
		castNode(CallStmt, stmt->utilityStmt)->funcexpr->funcid == fcinfo->flinfo->fn_oid;
}

/*
 * appdb.migrate_online(batch integer, attempts integer)
 *		Does what is pending.
 */
Datum
appdb_migrate_online(PG_FUNCTION_ARGS)
{
	OnlineRun	run = {0};
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, false);
	int			attempts = PG_ARGISNULL(1) ? 1 : PG_GETARG_INT32(1);
	MemoryContext oldcontext = CurrentMemoryContext;

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a batch must have at least one row")));
	if (!is_toplevel(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("appdb.migrate_online() cannot run inside a transaction block, a function or another procedure"),
				 errdetail("It commits after each step."),
				 errhint("Send CALL appdb.migrate_online() as a statement by itself.")));
	run.batch = PG_GETARG_INT32(0);
	run.owner = appdb_namespace_owner(nsp);
	appdb_check_data_owner(GetUserId(), run.owner);
	if (!lock_migrations(true))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("the tables are being migrated by another session"),
				 errhint("appdb.pending() shows how far it is.")));

	/* an error ends the transaction, and with it the lock */
	commit_transaction();
	run.context = AllocSetContextCreate(CurrentMemoryContext, "appdb migrate_online", ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		MemoryContextReset(run.context);
		MemoryContextSwitchTo(run.context);
		in_transaction(&run, next_step);
		if (run.step == NULL)
			break;
		run_step(&run, attempts);
	}
	MemoryContextSwitchTo(oldcontext);
	unlock_session();
	PG_RETURN_VOID();
}
