/*
 * install.c
 *		appdb.install(): makes the base tables, or attaches to those that exist.
 *
 * The tables are the application's, not the extension's: a member table loses
 * rows in dumps and goes with DROP EXTENSION.  So everything here runs with
 * the recording of extension membership switched off, and as the role that
 * owns (or will own) schema "app_data", never as the superuser whom a trusted
 * extension script runs as: nothing that the role planted in its own schema
 * is executed with more rights than it has already.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

typedef enum DataSchemaState
{
	DATA_MISSING,				/* no schema */
	DATA_EMPTY,					/* schema without any relation */
	DATA_FOREIGN,				/* relations that are not appdb's */
	DATA_PRESENT				/* appdb's tables */
} DataSchemaState;

PG_FUNCTION_INFO_V1(appdb_install);
PG_FUNCTION_INFO_V1(appdb_migrate);
PG_FUNCTION_INFO_V1(appdb_manage);
PG_FUNCTION_INFO_V1(appdb_unmanage);
PG_FUNCTION_INFO_V1(appdb_follow);

/* unless the caller has said another one */
#define MIGRATE_LOCK_TIMEOUT "10s"

/* whether install() or migrate() was called where notices are shown */
static bool caller_wants_notices = true;

/* whether the caller has set lock_timeout */
static bool caller_waits = false;

/* how many calls of appdb_run_as_owner() are under way */
static int	engine_ddl = 0;

/* whether all managed tables are attached to: their relations follow at once */
static bool attaching = false;

/* Run one SQL statement through SPI; the caller is connected. */
void
appdb_run_sql(const char *sql)
{
	int			rc = SPI_execute(sql, false, 0);

	if (rc < 0)
		elog(ERROR, "SPI_execute failed: %s", SPI_result_code_string(rc));
}

/*
 * Run a script one statement at a time, so that an error shows the statement
 * and not the whole script.
 */
void
appdb_run_script(const char *script)
{
	List	   *stmts = raw_parser(script, RAW_PARSE_DEFAULT);
	ListCell   *lc;

	foreach(lc, stmts)
	{
		RawStmt    *stmt = lfirst_node(RawStmt, lc);
		const char *start = script + stmt->stmt_location;
		char	   *sql;

		/* a migration says how long to wait, unless the caller does */
		if (caller_waits && IsA(stmt->stmt, VariableSetStmt) &&
			strcmp(((VariableSetStmt *) stmt->stmt)->name, "lock_timeout") == 0)
			continue;
		sql = stmt->stmt_len > 0 ? pnstrdup(start, stmt->stmt_len) : pstrdup(start);
		appdb_run_sql(sql);
		pfree(sql);
		CHECK_FOR_INTERRUPTS();
	}
}

/* The text that a parameterless SQL function returns. */
char *
appdb_text_of(const char *query)
{
	appdb_run_sql(query);
	if (SPI_processed != 1)
		elog(ERROR, "query returned " UINT64_FORMAT " rows: %s", SPI_processed, query);
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

static DataSchemaState
data_schema_state(Oid nsp)
{
	Relation	rel;
	SysScanDesc scan;
	ScanKeyData key;
	bool		any;

	if (!OidIsValid(nsp))
		return DATA_MISSING;
	if (OidIsValid(get_relname_relid("schema_version", nsp)) &&
		OidIsValid(get_relname_relid("managed", nsp)))
		return DATA_PRESENT;

	rel = table_open(RelationRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(nsp));
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 1, &key);
	any = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return any ? DATA_FOREIGN : DATA_EMPTY;
}

Oid
appdb_namespace_owner(Oid nsp)
{
	HeapTuple	tup = SearchSysCache1(NAMESPACEOID, ObjectIdGetDatum(nsp));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for schema %u", nsp);
	owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	ReleaseSysCache(tup);
	return owner;
}

/* The role that ran CREATE EXTENSION: during the script, not the current user. */
static Oid
extension_owner(Oid extoid)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tup;
	Oid			owner;

	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(extoid));
	scan = systable_beginscan(rel, ExtensionOidIndexId, true, NULL, 1, &key);
	tup = systable_getnext(scan);
	if (!HeapTupleIsValid(tup))
		elog(ERROR, "could not find tuple for extension %u", extoid);
	owner = ((Form_pg_extension) GETSTRUCT(tup))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

/* Run the statements that a query with a role's name for $1 gives. */
static void
run_statements(const char *query, Oid role)
{
	Oid			argtype = NAMEOID;
	Datum		arg = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(role, false)));
	SPITupleTable *statements;
	int			save_nestlevel = NewGUCNestLevel();
	int			rc;

	/* the statements name types as they are called in there */
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	rc = SPI_execute_with_args(query, 1, &argtype, &arg, NULL, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	statements = SPI_tuptable;
	for (uint64 i = 0; i < statements->numvals; i++)
		appdb_run_sql(SPI_getvalue(statements->vals[i], statements->tupdesc, 1));
	AtEOXact_GUC(true, save_nestlevel);
}

/*
 * What the owner of the tables needs in schema "appdb": its live views and
 * relation functions are made there, and a plain owner restores them there.
 * Dumps leave these grants out, as all that CREATE EXTENSION grants: it grants
 * them again when it attaches to the restored schema.
 *
 * Who owned the tables before loses them: not in an extension's script, which
 * would make what is left, also to others, what dumps leave out.
 */
static void
grant_to_owner(Oid owner)
{
	if (!creating_extension && OidIsValid(appdb_find_engine_function("_former_owner_revokes", 0, NULL)))
		run_statements("SELECT statement FROM appdb._former_owner_revokes() statement", owner);
	if (!superuser_arg(owner))
		run_statements("SELECT statement FROM appdb._owner_grants($1) statement", owner);
}

/* Bring what is made of managed tables up to date.  The engine of 1.0 makes the relations of each by themselves. */
static void
attach_tables(void)
{
	bool		at_once = strcmp(appdb_text_of("SELECT to_regprocedure('appdb._manage_table(regclass, name, name, jsonb)') IS NOT NULL"), "t") == 0;

	PG_TRY();
	{
		attaching = at_once;
		appdb_run_sql("SELECT appdb.manage(m.entity) FROM app_data.managed m ORDER BY m.entity::pg_catalog.text");
	}
	PG_FINALLY();
	{
		attaching = false;
	}
	PG_END_TRY();
	if (at_once)
		appdb_run_sql("SELECT appdb._sync_relations(NULL)");
}

/* Everything that "owner" makes or re-makes; runs as that role. */
static void
make_or_attach(DataSchemaState state)
{
	if (state == DATA_MISSING)
	{
		appdb_run_sql("CREATE SCHEMA app_data");
		appdb_run_sql("COMMENT ON SCHEMA app_data IS "
				"'The rows of appdb: base tables, deleted rows included. Applications use the live views in schema appdb.'");
	}

	if (state == DATA_PRESENT)
	{
		appdb_apply_migrations();
		/* a table that was dropped while the extension was away */
		appdb_run_sql("DELETE FROM app_data.managed m WHERE NOT EXISTS "
				"(SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) m.entity::pg_catalog.oid)");
		attach_tables();
	}
	else
		appdb_run_script(appdb_text_of("SELECT appdb.tables_sql()"));

	appdb_run_sql("SELECT appdb.attach_domains()");
}

/*
 * Call "body" as role "userid", with a fixed search_path and without recording
 * extension membership.  A restricted operation, as that role's code may run: a
 * deferred trigger of its own would fire at commit, as the caller.  The user is
 * reset by the abort of a (sub)transaction, extension.c's variable is not:
 * hence the PG_FINALLY.
 */
void
appdb_run_as_owner(Oid userid, appdb_body body, void *arg)
{
	Oid			save_userid;
	int			save_sec_context;
	bool		save_creating = creating_extension;
	int			save_nestlevel = NewGUCNestLevel();

	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("check_function_bodies", "off",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* what is made looks the same, whoever makes it */
	(void) set_config_option("quote_all_identifiers", "off",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	GetUserIdAndSecContext(&save_userid, &save_sec_context);
	engine_ddl++;
	PG_TRY();
	{
		creating_extension = false;
		SetUserIdAndSecContext(userid,
							   save_sec_context | SECURITY_LOCAL_USERID_CHANGE |
							   SECURITY_RESTRICTED_OPERATION);
		body(arg);
		SetUserIdAndSecContext(save_userid, save_sec_context);
	}
	PG_FINALLY();
	{
		engine_ddl--;
		creating_extension = save_creating;
	}
	PG_END_TRY();
	/* nor does that role's code leave settings behind */
	AtEOXact_GUC(false, save_nestlevel);
}

/* A notice for whoever called, also from within an extension's script, which keeps them back. */
void
appdb_notice(const char *message, const char *hint)
{
	int			save_nestlevel = NewGUCNestLevel();

	if (caller_wants_notices)
		(void) set_config_option("client_min_messages", "notice",
								 PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	ereport(NOTICE,
			(errmsg("%s", message),
			 hint ? errhint("%s", hint) : 0));
	AtEOXact_GUC(true, save_nestlevel);
}

static void
install_body(void *arg)
{
	/* what the built-in tables are like is no news */
	(void) set_config_option("client_min_messages", "warning",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	/* who waits for a lock on a table makes all others wait behind */
	(void) set_config_option("lock_timeout",
							 LockTimeout == 0 ? MIGRATE_LOCK_TIMEOUT : psprintf("%d", LockTimeout),
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	make_or_attach(*(DataSchemaState *) arg);
}

/* What "caller" wants to do is for the owner of schema "app_data". */
void
appdb_check_data_owner(Oid caller, Oid owner)
{
	if (!has_privs_of_role(caller, owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must have the privileges of the owner of schema \"%s\"", APPDB_DATA_SCHEMA),
				 errdetail("The schema belongs to role \"%s\".", GetUserNameFromId(owner, false)),
				 errhint("Run the command as that role, or as a superuser.")));
}

/*
 * What is in schema "app_data", whose owner is returned; an error where it is
 * not appdb's, or not the caller's business.
 */
static Oid
data_owner(DataSchemaState *state)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			caller = creating_extension ? extension_owner(CurrentExtensionObject) : GetUserId();
	Oid			owner = OidIsValid(nsp) ? appdb_namespace_owner(nsp) : caller;

	caller_waits = LockTimeout != 0;
	caller_wants_notices = creating_extension || client_min_messages <= NOTICE;
	*state = data_schema_state(nsp);
	if (*state == DATA_FOREIGN)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_SCHEMA),
				 errmsg("schema \"%s\" holds relations that are not appdb's", APPDB_DATA_SCHEMA),
				 errdetail("appdb keeps its base tables in this schema and recognizes them by table \"%s.schema_version\".",
						   APPDB_DATA_SCHEMA),
				 errhint("Rename that schema (ALTER SCHEMA %s RENAME TO ...), or drop it if nothing in it is needed, then try again.",
						 APPDB_DATA_SCHEMA)));
	appdb_check_data_owner(caller, owner);
	return owner;
}

/*
 * appdb.install() returns text
 *		Makes schema "app_data" with all tables, or attaches to existing ones.
 *
 * Returns what was done: 'installed', 'attached' or 'deferred' (schema
 * app_data exists and is empty, as it is in the middle of a restore).
 */
Datum
appdb_install(PG_FUNCTION_ARGS)
{
	DataSchemaState state;
	Oid			owner = data_owner(&state);

	SPI_connect();

	if (superuser())
		grant_to_owner(owner);

	if (state == DATA_EMPTY && creating_extension)
		appdb_notice(psprintf("schema \"%s\" exists and is empty: a restore is assumed, no tables are made", APPDB_DATA_SCHEMA),
					 "If this is not a restore, run SELECT appdb.install().");
	else
		appdb_run_as_owner(owner, install_body, &state);

	SPI_finish();

	PG_RETURN_TEXT_P(cstring_to_text(state == DATA_PRESENT ? "attached" :
									 state == DATA_EMPTY && creating_extension ? "deferred" :
									 "installed"));
}

static void
is_current(void *arg)
{
	*(bool *) arg = strcmp(appdb_tables_version(), appdb_text_of("SELECT appdb.version()")) == 0;
}

/*
 * appdb.migrate() returns text
 *		Brings the tables to the engine's version, and attaches to them anew.
 *
 * Returns what was done: 'migrated', or 'current' where the tables are at that
 * version.  After an upgrade of the engine, which this ends, what is made of
 * the tables is brought up to date in any case.
 */
Datum
appdb_migrate(PG_FUNCTION_ARGS)
{
	DataSchemaState state;
	Oid			owner = data_owner(&state);
	bool		current = false;

	if (state != DATA_PRESENT && !creating_extension)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("schema \"%s\" has no tables of appdb's", APPDB_DATA_SCHEMA),
				 errhint("SELECT appdb.install() makes them.")));

	SPI_connect();
	if (superuser())
		grant_to_owner(owner);
	if (state == DATA_PRESENT)
	{
		appdb_run_as_owner(owner, is_current, &current);
		if (!current || creating_extension)
			appdb_run_as_owner(owner, install_body, &state);
	}
	SPI_finish();

	PG_RETURN_TEXT_P(cstring_to_text(current ? "current" : "migrated"));
}

/*
 * manage() and unmanage() run as the owner of the table, so that its view and
 * functions belong to that role whoever of its members calls.
 */
typedef struct ManageCall
{
	const char *sql;
	int			nargs;
	Oid			types[4];
	Datum		values[4];
	char		nulls[4];
} ManageCall;

static void
manage_body(void *arg)
{
	ManageCall *call = (ManageCall *) arg;
	int			rc;

	SPI_connect();
	rc = SPI_execute_with_args(call->sql, call->nargs, call->types,
							   call->values, call->nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	SPI_finish();
}

/*
 * Lock a managed table and its live view, each while the other is not held.
 * Clients lock the view first, and would hold it while they wait for the table,
 * which waited for the view then; who has the table by way of another one, as
 * by a foreign key, comes to the view later.
 */
static void
lock_with_view(Oid relid)
{
	Oid			view = appdb_live_view(relid);

	if (!OidIsValid(view))
		return;
	for (bool view_first = true;; view_first = !view_first)
	{
		LockRelationOid(view_first ? view : relid, AccessExclusiveLock);
		if (ConditionalLockRelationOid(view_first ? relid : view, AccessExclusiveLock))
			break;
		UnlockRelationOid(view_first ? view : relid, AccessExclusiveLock);
		/* and wait for the other */
		CHECK_FOR_INTERRUPTS();
	}
}

static bool
has_row_security(Oid relid)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		result;

	if (!HeapTupleIsValid(tup))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tup))->relrowsecurity;
	ReleaseSysCache(tup);
	return result;
}

static void
run_manage(FunctionCallInfo fcinfo, const char *sql, const char *what, bool manage)
{
	static const Oid types[] = {REGCLASSOID, NAMEOID, NAMEOID, JSONBOID};
	ManageCall	call;
	Oid			relid;
	Oid			owner;
	Oid			nsp;
	Oid			managed;
	Relation	rel;
	List	   *keys;
	ListCell   *lc;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the table to %s must not be null", what)));
	relid = PG_GETARG_OID(0);
	owner = appdb_table_owner(relid);
	if (!OidIsValid(owner))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!has_privs_of_role(GetUserId(), owner))
		aclcheck_error(ACLCHECK_NOT_OWNER, get_relkind_objtype(get_rel_relkind(relid)),
					   get_rel_name(relid));

	nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	if (OidIsValid(nsp) && !has_privs_of_role(owner, appdb_namespace_owner(nsp)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot %s table \"%s\" of role \"%s\"", what, get_rel_name(relid),
						GetUserNameFromId(owner, false)),
				 errdetail("What appdb keeps of a table is in schema \"%s\", which belongs to role \"%s\".",
						   APPDB_DATA_SCHEMA, GetUserNameFromId(appdb_namespace_owner(nsp), false)),
				 errhint("Give the table to that role, or make its owner a member of it.")));

	/* policies are made anew: then both are locked, and before that who manages, as there is one at a time */
	managed = OidIsValid(nsp) ? get_relname_relid("managed", nsp) : InvalidOid;
	if (OidIsValid(managed) && (!manage || has_row_security(relid)))
	{
		LockRelationOid(managed, ShareRowExclusiveLock);
		lock_with_view(relid);
	}

	call.sql = sql;
	call.nargs = PG_NARGS();
	for (int i = 0; i < call.nargs; i++)
	{
		call.types[i] = types[i];
		call.nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
		call.values[i] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	appdb_run_as_owner(owner, manage_body, &call);

	/* a foreign key that is not enforced (18) has no trigger on its parent, whose links would not be read anew for it */
	rel = table_open(relid, AccessShareLock);
	keys = copyObject(RelationGetFKeyList(rel));
	foreach(lc, keys)
		CacheInvalidateRelcacheByRelid(lfirst_node(ForeignKeyCacheInfo, lc)->confrelid);
	table_close(rel, NoLock);
}

/*
 * appdb.manage(entity regclass, view name, label name, relations jsonb) returns void
 *		Applies the conventions to a table; the work is in appdb._manage().
 */
Datum
appdb_manage(PG_FUNCTION_ARGS)
{
	run_manage(fcinfo, attaching ? "SELECT appdb._manage_table($1, $2, $3, $4)" :
			   "SELECT appdb._manage($1, $2, $3, $4)", "manage", true);
	PG_RETURN_VOID();
}

/*
 * appdb.unmanage(entity regclass) returns void
 */
Datum
appdb_unmanage(PG_FUNCTION_ARGS)
{
	if (!PG_ARGISNULL(0) && !appdb_allow_drop && appdb_is_managed(PG_GETARG_OID(0)) &&
		get_rel_namespace(PG_GETARG_OID(0)) == get_namespace_oid(APPDB_DATA_SCHEMA, true))
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("refusing to unmanage table \"%s.%s\"", APPDB_DATA_SCHEMA,
						get_rel_name(PG_GETARG_OID(0))),
				 errdetail("Its live view and relations would be gone, and its rows would not be kept consistent with other tables any more."),
				 errhint("If this is really meant: SET appdb.allow_drop = on;")));
	run_manage(fcinfo, "SELECT appdb._unmanage($1)", "unmanage", false);
	PG_RETURN_VOID();
}

/*
 * Before the columns of a managed table change.
 */
static void
lock_altered(Node *parsetree)
{
	RangeVar   *relation = NULL;
	Oid			relid;
	Oid			owner;

	if (IsA(parsetree, RenameStmt) && ((RenameStmt *) parsetree)->renameType == OBJECT_COLUMN)
		relation = ((RenameStmt *) parsetree)->relation;
	else if (IsA(parsetree, AlterTableStmt))
	{
		ListCell   *lc;

		foreach(lc, ((AlterTableStmt *) parsetree)->cmds)
		{
			AlterTableType type = lfirst_node(AlterTableCmd, lc)->subtype;

			if (type == AT_AddColumn || type == AT_DropColumn)
				relation = ((AlterTableStmt *) parsetree)->relation;
		}
	}
	if (relation == NULL)
		return;
	relid = RangeVarGetRelid(relation, NoLock, true);
	if (!OidIsValid(relid))
		return;
	/* nothing is locked for who may not alter it */
	owner = appdb_table_owner(relid);
	if (OidIsValid(owner) && has_privs_of_role(GetUserId(), owner))
		lock_with_view(relid);
}

/*
 * appdb.follow() returns event_trigger
 *		After ALTER TABLE: brings the live views of managed tables up to date,
 *		which it locks before that.  What the engine alters itself, it takes
 *		care of itself.
 */
Datum
appdb_follow(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.follow() can only be called by an event trigger")));
	if (engine_ddl > 0 || creating_extension)
		PG_RETURN_NULL();
	if (strcmp(((EventTriggerData *) fcinfo->context)->event, "ddl_command_start") == 0)
	{
		lock_altered(((EventTriggerData *) fcinfo->context)->parsetree);
		PG_RETURN_NULL();
	}
	appdb_check_key_kept(((EventTriggerData *) fcinfo->context)->parsetree);

	SPI_connect();
	appdb_run_sql("SELECT appdb._follow(c.objid::pg_catalog.regclass) FROM pg_catalog.pg_event_trigger_ddl_commands() c "
			"WHERE c.classid OPERATOR(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass "
			"AND c.object_type OPERATOR(pg_catalog.=) ANY ('{table,table column}')");
	SPI_finish();
	PG_RETURN_NULL();
}
