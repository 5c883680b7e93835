/*
 * as_owner.c
 *		Functions for everybody that work with the rights of the tables' owner.
 *
 * SECURITY DEFINER would mean the rights of whom the extension's functions
 * belong to, a superuser, while the tables, and triggers or views that may
 * have been put on them, belong to somebody else: who could then become
 * superuser.  So a function such as appdb.create_space() is declared here,
 * with this one C function as its body, and does appdb._create_space(), which
 * has the same arguments and result, as the owner of schema app_data.  That
 * asks appdb.current_user_id() who is asking, and decides.
 *
 * Trigger functions can be declared so too: they work as the owner of the table
 * that they are a trigger on, so that one put on somebody's own table gives
 * them nothing.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* how many of these functions are under way, one called by another */
int			appdb_as_owner_depth = 0;

/* was the innermost of them called with the rights that it works with anyway? */
bool		appdb_called_by_owner = false;

/* who called the outermost of them */
static Oid	calling_role = InvalidOid;

PG_FUNCTION_INFO_V1(appdb_as_owner);
PG_FUNCTION_INFO_V1(appdb_not_as_superuser);
PG_FUNCTION_INFO_V1(appdb_can);
PG_FUNCTION_INFO_V1(appdb_explain_access);
PG_FUNCTION_INFO_V1(appdb__calling_role);
PG_FUNCTION_INFO_V1(appdb__revoke_functions);

/*
 * Work with the rights of the owner of a table, as the actions of foreign keys
 * do, until appdb_end_as(), or the abort of the (sub)transaction.  For a
 * superuser this is a restricted operation, as code of the owner's may run: a
 * deferred trigger would fire at commit, as the superuser, and settings that it
 * leaves would hold for them.
 */
void
appdb_begin_as(Oid owner, AppdbCaller *caller)
{
	GetUserIdAndSecContext(&caller->userid, &caller->sec_context);
	SetUserIdAndSecContext(owner, caller->sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS |
						   (superuser_arg(caller->userid) && !superuser_arg(owner) ? SECURITY_RESTRICTED_OPERATION : 0));
	caller->nestlevel = InSecurityRestrictedOperation() ? NewGUCNestLevel() : 0;
}

void
appdb_end_as(const AppdbCaller *caller)
{
	if (caller->nestlevel > 0)
		AtEOXact_GUC(false, caller->nestlevel);
	SetUserIdAndSecContext(caller->userid, caller->sec_context);
}

/* The function that does the work of another: its name with an underscore. */
static Oid
worker_function(Oid function)
{
	HeapTuple	tup = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc proc;
	char	   *name;
	Oid			worker;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for function %u", function);
	proc = (Form_pg_proc) GETSTRUCT(tup);
	name = psprintf("_%s", NameStr(proc->proname));
	worker = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
							 CStringGetDatum(name), PointerGetDatum(&proc->proargtypes),
							 ObjectIdGetDatum(proc->pronamespace));
	if (!OidIsValid(worker))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function \"%s\" with the arguments of \"%s\" does not exist",
						name, NameStr(proc->proname))));
	ReleaseSysCache(tup);
	return worker;
}

/* Do the work of a function by the one behind it, as "owner", or as whoever calls if that is InvalidOid. */
Datum
appdb_work_as(FunctionCallInfo fcinfo, Oid owner)
{
	FmgrInfo   *worker = fcinfo->flinfo->fn_extra;
	LOCAL_FCINFO(call, FUNC_MAX_ARGS);
	AppdbCaller caller;
	bool		save_called_by_owner = appdb_called_by_owner;
	Datum		result = (Datum) 0;

	if (worker == NULL)
	{
		worker = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FmgrInfo));
		fmgr_info_cxt(worker_function(fcinfo->flinfo->fn_oid), worker, fcinfo->flinfo->fn_mcxt);
		/* polymorphism and row types are resolved from the call */
		worker->fn_expr = fcinfo->flinfo->fn_expr;
		fcinfo->flinfo->fn_extra = worker;
	}

	InitFunctionCallInfoData(*call, worker, fcinfo->nargs, fcinfo->fncollation,
							 CALLED_AS_TRIGGER(fcinfo) ? fcinfo->context : NULL, fcinfo->resultinfo);
	memcpy(call->args, fcinfo->args, fcinfo->nargs * sizeof(NullableDatum));
	if (!OidIsValid(owner))
	{
		result = FunctionCallInvoke(call);
		fcinfo->isnull = call->isnull;
		return result;
	}

	appdb_begin_as(owner, &caller);
	if (appdb_as_owner_depth++ == 0)
		calling_role = caller.userid;
	appdb_called_by_owner = has_privs_of_role(caller.userid, owner);
	PG_TRY();
	{
		result = FunctionCallInvoke(call);
	}
	PG_FINALLY();
	{
		appdb_as_owner_depth--;
		appdb_called_by_owner = save_called_by_owner;
	}
	PG_END_TRY();
	appdb_end_as(&caller);

	fcinfo->isnull = call->isnull;
	return result;
}

/* The owner of schema app_data. */
static Oid
data_owner(void)
{
	HeapTuple	tup = SearchSysCache1(NAMESPACENAME, CStringGetDatum(APPDB_DATA_SCHEMA));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_SCHEMA),
				 errmsg("schema \"%s\" does not exist", APPDB_DATA_SCHEMA),
				 errhint("SELECT appdb.install() makes it.")));
	owner = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner;
	ReleaseSysCache(tup);
	return owner;
}

/*
 * Whose rights the engine works with that has something to do with a built-in
 * table: its owner's.  Where that one alone is a superuser's, as where it was
 * restored by itself, what is read beside it is still the owner's of the schema,
 * whose rights it is then.
 */
Oid
appdb_working_owner(Oid table_owner)
{
	Oid			owner = superuser_arg(table_owner) ? data_owner() : table_owner;

	return superuser_arg(owner) ? table_owner : owner;
}

Datum
appdb_as_owner(PG_FUNCTION_ARGS)
{
	if (CALLED_AS_TRIGGER(fcinfo))
		return appdb_work_as(fcinfo, appdb_working_owner(((TriggerData *) fcinfo->context)->tg_relation->rd_rel->relowner));
	return appdb_work_as(fcinfo, data_owner());
}

/*
 * The same for what is the owner's to do: everybody works with their own rights,
 * but for superusers, for whom what the owner has put on the tables would run.
 */
Datum
appdb_not_as_superuser(PG_FUNCTION_ARGS)
{
	return appdb_work_as(fcinfo, superuser() ? data_owner() : InvalidOid);
}

/*
 * appdb.can(action text, entity regclass, id uuid) returns boolean
 *		It reads the live view: for a superuser as whoever that belongs to.
 */
Datum
appdb_can(PG_FUNCTION_ARGS)
{
	Oid			owner = InvalidOid;

	if (superuser() && !PG_ARGISNULL(1))
	{
		Oid			view = appdb_live_view(PG_GETARG_OID(1));

		owner = appdb_table_owner(OidIsValid(view) ? view : PG_GETARG_OID(1));
	}
	return appdb_work_as(fcinfo, owner);
}

/*
 * appdb.explain_access(entity regclass, id uuid, role name) returns setof record
 *		It tries what the policies of the table say, which hold for no superuser:
 *		for one, that is the owner's code, and runs as the owner.
 */
Datum
appdb_explain_access(PG_FUNCTION_ARGS)
{
	return appdb_work_as(fcinfo, superuser() && !PG_ARGISNULL(0) ? appdb_table_owner(PG_GETARG_OID(0)) : InvalidOid);
}

/*
 * appdb._calling_role() returns oid
 *		The role whose rights count, in a function that works as the owner.
 */
Datum
appdb__calling_role(PG_FUNCTION_ARGS)
{
	PG_RETURN_OID(appdb_as_owner_depth > 0 ? calling_role : GetUserId());
}

/*
 * appdb._revoke_functions(role name) returns void
 *		Takes the functions that appdb.grant_access() gives from a role, as each
 *		of those who have granted one: the owner of the tables, one before, or,
 *		where a superuser did, the owner of the extension.
 */
Datum
appdb__revoke_functions(PG_FUNCTION_ARGS)
{
	Oid			argtype = NAMEOID;
	Datum		arg = PG_GETARG_DATUM(0);
	SPITupleTable *grants;
	int			rc;

	appdb_check_data_owner(GetUserId(), data_owner());
	SPI_connect();
	rc = SPI_execute_with_args("SELECT a.grantor, pg_catalog.format('REVOKE EXECUTE ON FUNCTION %s FROM %I', f, $1) "
							   "FROM pg_catalog.unnest(appdb._grant_functions('service'::pg_catalog.text)) f "
							   "JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) f::pg_catalog.regprocedure, "
							   "pg_catalog.aclexplode(p.proacl) a JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) a.grantee "
							   "WHERE r.rolname OPERATOR(pg_catalog.=) $1",
							   1, &argtype, &arg, NULL, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	grants = SPI_tuptable;
	for (uint64 i = 0; i < grants->numvals; i++)
	{
		bool		isnull;
		Oid			userid;
		int			sec_context;

		GetUserIdAndSecContext(&userid, &sec_context);
		SetUserIdAndSecContext(DatumGetObjectId(SPI_getbinval(grants->vals[i], grants->tupdesc, 1, &isnull)),
							   sec_context | SECURITY_LOCAL_USERID_CHANGE);
		appdb_run_sql(SPI_getvalue(grants->vals[i], grants->tupdesc, 2));
		SetUserIdAndSecContext(userid, sec_context);
	}
	SPI_finish();
	PG_RETURN_VOID();
}
