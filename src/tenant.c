/*
 * tenant.c
 *		What memberships are judged by: an organization or a space as it is now.
 *
 * Who changes who belongs to it locks its row first, so that one comes after
 * the other, and then looks with a snapshot of its own: that of a transaction
 * under REPEATABLE READ or SERIALIZABLE would not show what the other has
 * committed meanwhile, and locking a row that was not changed would not tell.
 * Foreign keys do the same.
 *
 * The functions and triggers in sql/04_membership.sql ask; all runs with the
 * rights of who calls.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(appdb_tenant_now);
PG_FUNCTION_INFO_V1(appdb_now);
PG_FUNCTION_INFO_V1(appdb_directly);

static const char *const lock_organization =
"SELECT FROM app_data.organizations o WHERE o.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE";

static const char *const lock_space =
"SELECT FROM app_data.spaces s WHERE s.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE";

/*
 * Owners and members are counted as far as anybody asks: none, one, or more,
 * and whether the seats are taken; none of what is deleted.  seats: what the
 * largest subscription that is paid for gives.
 */
static const char *const ask_organization =
"SELECT o.live, "
"CASE WHEN o.live THEN (SELECT pg_catalog.count(*) FROM (SELECT FROM app_data.members m WHERE m.organization_id OPERATOR(pg_catalog.=) o.id"
" AND m.deleted_at IS NULL AND m.role OPERATOR(pg_catalog.=) 'owner' LIMIT 2) m) ELSE 0 END, "
"CASE WHEN o.live THEN (SELECT pg_catalog.count(*) FROM (SELECT FROM app_data.members m WHERE m.organization_id OPERATOR(pg_catalog.=) o.id"
" AND m.deleted_at IS NULL LIMIT GREATEST(o.seats, 2)) m) ELSE 0 END, "
"o.seats, "
"(SELECT m.role::pg_catalog.text FROM app_data.members m WHERE m.organization_id OPERATOR(pg_catalog.=) o.id"
" AND m.user_id OPERATOR(pg_catalog.=) $2 AND m.deleted_at IS NULL), "
"NULL::pg_catalog.uuid "
"FROM (SELECT o.id, o.deleted_at IS NULL AS live, "
"(SELECT CASE WHEN pg_catalog.bool_and(s.seats IS NOT NULL) THEN pg_catalog.max(s.seats) END::pg_catalog.int8"
" FROM app_data.subscriptions s WHERE s.organization_id OPERATOR(pg_catalog.=) o.id AND s.deleted_at IS NULL"
" AND s.status OPERATOR(pg_catalog.=) ANY ('{active,trialing,past_due}')) AS seats "
"FROM app_data.organizations o WHERE o.id OPERATOR(pg_catalog.=) $1 OFFSET 0) o";

/*
 * A space goes with its organization, or with the person whose it is, also
 * where that deletion has not come to it yet.  The role is the highest of
 * those that the user has in it, as the person whose it is, and as an owner or
 * admin of its organization.
 */
static const char *const ask_space =
"SELECT s.live, "
"CASE WHEN s.live THEN (SELECT pg_catalog.count(*) FROM (SELECT FROM app_data.space_members m WHERE m.space_id OPERATOR(pg_catalog.=) s.id"
" AND m.deleted_at IS NULL AND m.role OPERATOR(pg_catalog.=) 'owner' LIMIT 2) m) ELSE 0 END, "
"CASE WHEN s.live THEN (SELECT pg_catalog.count(*) FROM (SELECT FROM app_data.space_members m WHERE m.space_id OPERATOR(pg_catalog.=) s.id"
" AND m.deleted_at IS NULL LIMIT 2) m) ELSE 0 END, "
"NULL::pg_catalog.int8, "
"(SELECT r.role FROM ("
"SELECT m.role::pg_catalog.text FROM app_data.space_members m WHERE m.space_id OPERATOR(pg_catalog.=) s.id"
" AND m.user_id OPERATOR(pg_catalog.=) $2 AND m.deleted_at IS NULL"
" UNION ALL SELECT m.role::pg_catalog.text FROM app_data.members m WHERE m.organization_id OPERATOR(pg_catalog.=) s.organization_id"
" AND m.user_id OPERATOR(pg_catalog.=) $2 AND m.deleted_at IS NULL AND m.role OPERATOR(pg_catalog.=) ANY ('{owner,admin}')"
" UNION ALL SELECT 'owner' WHERE s.owner_id OPERATOR(pg_catalog.=) $2) r (role)"
" ORDER BY appdb._role_rank(r.role) DESC LIMIT 1), "
"s.owner_id::pg_catalog.uuid "
"FROM (SELECT s.id, s.organization_id, s.owner_id, s.deleted_at IS NULL"
" AND NOT EXISTS (SELECT FROM app_data.organizations o WHERE o.id OPERATOR(pg_catalog.=) s.organization_id AND o.deleted_at IS NOT NULL)"
" AND NOT EXISTS (SELECT FROM app_data.users u WHERE u.id OPERATOR(pg_catalog.=) s.owner_id AND u.deleted_at IS NOT NULL) AS live "
"FROM app_data.spaces s WHERE s.id OPERATOR(pg_catalog.=) $1 OFFSET 0) s";

static void
execute_now(SPIPlanPtr *plan, const char *sql, Datum *values, const char *nulls)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	int			rc;

	/* asked for each membership that changes: planned once */
	if (*plan == NULL)
	{
		SPIPlanPtr	new = SPI_prepare_cursor(sql, 2, types, CURSOR_OPT_GENERIC_PLAN);

		if (new == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(new);
		*plan = new;
	}
	CommandCounterIncrement();
	rc = SPI_execute_snapshot(*plan, values, nulls, GetLatestSnapshot(), InvalidSnapshot, false, true, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(rc));
}

/*
 * appdb._tenant_now(organization_id uuid, space_id uuid, user_id uuid, locked bool) returns record
 *		Say how an organization or a space stands, and lock it before if that
 *		is wanted.  Without a row all is null.
 */
Datum
appdb_tenant_now(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plans[2][2] = {{NULL, NULL}, {NULL, NULL}};
	bool		space = PG_ARGISNULL(0);
	Datum		args[2] = {0, 0};
	char		nulls[3] = "  ";
	TupleDesc	desc;
	Datum		values[6];
	bool		isnull[6];
	Datum		result;
	int			nestlevel;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != lengthof(values))
		elog(ERROR, "appdb._tenant_now() is declared with another result");
	desc = BlessTupleDesc(desc);
	memset(isnull, true, sizeof(isnull));
	memset(values, 0, sizeof(values));

	if ((PG_ARGISNULL(0) && PG_ARGISNULL(1)) || PG_ARGISNULL(3))
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, isnull)));
	args[0] = PG_GETARG_DATUM(space ? 1 : 0);
	if (PG_ARGISNULL(2))
		nulls[1] = 'n';
	else
		args[1] = PG_GETARG_DATUM(2);

	/* whatever is known of the tables: there is an index for all of it, and few rows are read */
	nestlevel = NewGUCNestLevel();
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("enable_bitmapscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	if (PG_GETARG_BOOL(3))
		execute_now(&plans[space][0], space ? lock_space : lock_organization, args, nulls);
	execute_now(&plans[space][1], space ? ask_space : ask_organization, args, nulls);
	if (SPI_processed > 0)
	{
		for (int i = 0; i < (int) lengthof(values); i++)
			values[i] = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, i + 1, &isnull[i]);
	}
	result = SPI_datumTransfer(HeapTupleGetDatum(heap_form_tuple(desc, values, isnull)), false, -1);
	SPI_finish();
	AtEOXact_GUC(false, nestlevel);
	PG_RETURN_DATUM(result);
}

/*
 * appdb._now(statement text, organization_or_space_id uuid, user_id uuid) returns uuid[]
 *		Carry out a statement on what is committed now, with $1 and $2; returns
 *		the ids that it returns.  Where the transaction's snapshot does not show
 *		a row that it changes, it fails with a serialization failure.
 */
Datum
appdb_now(PG_FUNCTION_ARGS)
{
	Oid			types[2] = {UUIDOID, UUIDOID};
	Datum		args[2];
	char		nulls[3] = "  ";
	SPIPlanPtr	plan;
	int			rc;
	Datum	   *ids;
	ArrayType  *result;

	/* with the rights of the caller it would do no harm, but is of no use either */
	if (appdb_as_owner_depth == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function appdb._now"),
				 errdetail("It is for appdb's own functions.")));
	for (int i = 0; i < 2; i++)
	{
		args[i] = PG_GETARG_DATUM(i + 1);
		if (PG_ARGISNULL(i + 1))
			nulls[i] = 'n';
	}
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	SPI_connect();
	plan = SPI_prepare(text_to_cstring(PG_GETARG_TEXT_PP(0)), 2, types);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	CommandCounterIncrement();
	rc = SPI_execute_snapshot(plan, args, nulls, GetLatestSnapshot(),
							  IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : InvalidSnapshot,
							  false, true, 0);
	if (rc < 0 || SPI_tuptable == NULL || SPI_gettypeid(SPI_tuptable->tupdesc, 1) != UUIDOID)
		elog(ERROR, "appdb._now() takes a statement that returns ids");
	ids = palloc(sizeof(Datum) * (SPI_processed + 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		ids[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		if (isnull)
			elog(ERROR, "appdb._now() takes a statement that returns ids");
	}
	result = construct_array(ids, SPI_processed, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);
	result = (ArrayType *) DatumGetPointer(SPI_datumTransfer(PointerGetDatum(result), false, -1));
	SPI_finish();
	PG_RETURN_ARRAYTYPE_P(result);
}

/*
 * appdb._directly() returns bool
 *		Asked by a trigger that works as the tables' owner: is its row changed
 *		by a statement of somebody's own, rather than by one of our functions
 *		or by what a deletion or a restore does to children?  Those work as
 *		the tables' owner: what a cast or a trigger of the caller's own does
 *		within one of them does not.
 */
Datum
appdb_directly(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(!appdb_called_by_owner || (appdb_as_owner_depth <= 1 && !appdb_cascading()));
}
