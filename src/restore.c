/*
 * restore.c
 *		appdb.restore(): brings deleted rows back, with exactly what was deleted
 *		with them.
 *
 * The row's deleted_at says which operation deleted it; deletion.c brings back
 * the children that have the same, level by level, while the restore is under
 * way.  A row comes back only under live parents (guard.c).  A child that has
 * another parent, deleted meanwhile, stays deleted and passes to that parent's
 * operation, as if that had come first.
 *
 * Nobody can purge in between: who purges marks the operation in
 * app_data.deletions first, and we lock that note.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

typedef struct AppdbRestoreCount
{
	Oid			relid;
	uint64		nrows;
} AppdbRestoreCount;

PG_FUNCTION_INFO_V1(appdb_restore);
PG_FUNCTION_INFO_V1(appdb_restore_many);
PG_FUNCTION_INFO_V1(appdb_restore_text);

void
appdb_restore_count(AppdbRestore *restore, Oid relid, uint64 nrows)
{
	ListCell   *lc;
	AppdbRestoreCount *count;
	MemoryContext oldcontext;

	foreach(lc, restore->counts)
	{
		count = lfirst(lc);
		if (count->relid == relid)
		{
			count->nrows += nrows;
			return;
		}
	}
	oldcontext = MemoryContextSwitchTo(restore->context);
	count = palloc(sizeof(AppdbRestoreCount));
	count->relid = relid;
	count->nrows = nrows;
	restore->counts = lcons(count, restore->counts);
	MemoryContextSwitchTo(oldcontext);
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* for messages */
static char *
table_name(Oid relid)
{
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

static char *
uuid_text(const pg_uuid_t *id)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(id)));
}

/*
 * The base table that an entity names: itself, or that of its live view.
 * Whoever may delete rows there may bring them back.
 */
static Oid
find_entity(Oid relid)
{
	Relation	rel;
	Oid			base = relid;
	Oid			view;
	AclResult	aclresult;

	rel = relation_open(relid, AccessShareLock);
	if (rel->rd_rel->relkind == RELKIND_VIEW &&
		get_rel_namespace(relid) == get_namespace_oid(APPDB_SCHEMA, true))
		base = appdb_base_table(rel);
	relation_close(rel, NoLock);

	view = appdb_live_view(base);
	if (!OidIsValid(view) || get_attnum(base, "deleted_at") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has no deleted rows to restore", get_rel_name(relid)),
				 errdetail("It is not a managed table with column \"deleted_at\", nor the live view of one."),
				 errhint("appdb.managed lists the tables.")));
	aclresult = pg_class_aclcheck(view, GetUserId(), ACL_DELETE);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_VIEW, get_rel_name(view));
	return base;
}

/*
 * Lock the row and say which operation has deleted it.
 */
static TimestampTz
lock_deleted_row(Oid relid, Datum id)
{
	Oid			types[] = {UUIDOID};
	Oid			stamp_types[] = {TIMESTAMPTZOID};
	bool		isnull;
	Datum		stamp;
	int			rc;
	char	   *name = qualified_name(relid);

	rc = SPI_execute_with_args(psprintf("SELECT deleted_at FROM %s "
										"WHERE id OPERATOR(pg_catalog.=) $1 FOR UPDATE", name),
							   1, types, &id, NULL, false, 0);
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("table \"%s\" has no row %s", table_name(relid), uuid_text(DatumGetUUIDP(id))),
				 errdetail("It never existed, or it has been purged.")));
	stamp = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("row %s of table \"%s\" is not deleted", uuid_text(DatumGetUUIDP(id)), table_name(relid)),
				 errhint("appdb.trash lists what can be restored.")));

	if (OidIsValid(get_relname_relid("deletions", get_namespace_oid(APPDB_DATA_SCHEMA, false))))
	{
		rc = SPI_execute_with_args("SELECT purged_at FROM app_data.deletions "
								   "WHERE deleted_at OPERATOR(pg_catalog.=) $1 FOR SHARE",
								   1, stamp_types, &stamp, NULL, false, 0);
		if (rc != SPI_OK_SELECT)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
		for (uint64 i = 0; i < SPI_processed; i++)
		{
			(void) SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
			if (!isnull)
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("row %s of table \"%s\" cannot be restored any more",
								uuid_text(DatumGetUUIDP(id)), table_name(relid)),
						 errdetail("It was deleted at %s, and what was deleted then is being purged.",
								   timestamptz_to_str(DatumGetTimestampTz(stamp)))));
		}
	}
	return DatumGetTimestampTz(stamp);
}

/*
 * Bring one row back, and what went with it.
 */
static void
restore_row(AppdbRestore *restore, Oid relid, Datum id)
{
	Oid			types[] = {UUIDOID};
	int			rc;
	char	   *sql = psprintf("UPDATE %s SET deleted_at = NULL WHERE id OPERATOR(pg_catalog.=) $1",
							   qualified_name(relid));
	MemoryContext context = CurrentMemoryContext;

	restore->stamp = lock_deleted_row(relid, id);
	restore->root_relid = relid;
	restore->root_id = *DatumGetUUIDP(id);
	restore->relid = InvalidOid;
	appdb_restore_begin(restore);
	PG_TRY();
	{
		rc = SPI_execute_with_args(sql, 1, types, &id, NULL, false, 0);
		if (rc != SPI_OK_UPDATE)
			elog(ERROR, "SPI_execute_with_args failed: %s", SPI_result_code_string(rc));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		appdb_restore_end(restore);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && OidIsValid(restore->relid))
		{
			/* the row at hand is the last that came back */
			FlushErrorState();
			error->message = psprintf("cannot restore row %s of table \"%s\": its unique value is taken",
									  uuid_text(&restore->id), table_name(restore->relid));
			error->hint = pstrdup("Change or delete the live row that has the value now, then restore again.");
			ReThrowError(error);
		}
		PG_RE_THROW();
	}
	PG_END_TRY();
	appdb_restore_end(restore);
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(DatumGetUUIDP(*(const Datum *) a), DatumGetUUIDP(*(const Datum *) b), UUID_LEN);
}

/*
 * Restore rows as the owner of their table, and return the counts.
 */
static void
restore_rows(FunctionCallInfo fcinfo, Oid entity, Datum *ids, int nids)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			relid = find_entity(entity);
	Relation	rel = table_open(relid, RowExclusiveLock);
	AppdbRestore restore = {0};
	Oid			userid;
	int			sec_context;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	restore.context = CurrentMemoryContext;

	/* always in the same order, so that two restores do not deadlock */
	qsort(ids, nids, sizeof(Datum), compare_ids);

	GetUserIdAndSecContext(&userid, &sec_context);
	SetUserIdAndSecContext(rel->rd_rel->relowner,
						   sec_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	for (int i = 0; i < nids; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (i == 0 || compare_ids(&ids[i - 1], &ids[i]) != 0)
			restore_row(&restore, relid, ids[i]);
	}
	SPI_finish();
	SetUserIdAndSecContext(userid, sec_context);
	table_close(rel, NoLock);

	foreach(lc, restore.counts)
	{
		AppdbRestoreCount *count = lfirst(lc);
		Datum		values[2] = {ObjectIdGetDatum(count->relid), Int64GetDatum((int64) count->nrows)};
		bool		nulls[2] = {false, false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/*
 * appdb.restore(entity regclass, id uuid) returns table (entity regclass, rows bigint)
 */
Datum
appdb_restore(PG_FUNCTION_ARGS)
{
	Datum		id = PG_GETARG_DATUM(1);

	restore_rows(fcinfo, PG_GETARG_OID(0), &id, 1);
	return (Datum) 0;
}

static void
restore_array(FunctionCallInfo fcinfo, ArrayType *array)
{
	Datum	   *ids;
	bool	   *nulls;
	int			nids;

	deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR, &ids, &nulls, &nids);
	for (int i = 0; i < nids; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("ids of rows to restore must not be null")));
	}
	restore_rows(fcinfo, PG_GETARG_OID(0), ids, nids);
}

/*
 * appdb.restore(entity regclass, ids uuid[]) returns table (entity regclass, rows bigint)
 */
Datum
appdb_restore_many(PG_FUNCTION_ARGS)
{
	restore_array(fcinfo, PG_GETARG_ARRAYTYPE_P(1));
	return (Datum) 0;
}

/*
 * appdb.restore(entity regclass, id text) returns table (entity regclass, rows bigint)
 *		What a literal or an untyped parameter comes to, since it could be
 *		either of the above.
 */
Datum
appdb_restore_text(PG_FUNCTION_ARGS)
{
	char	   *string = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (*string == '{')
		restore_array(fcinfo, DatumGetArrayTypeP(OidFunctionCall3(F_ARRAY_IN,
																 CStringGetDatum(string),
																 ObjectIdGetDatum(UUIDOID),
																 Int32GetDatum(-1))));
	else
	{
		Datum		id = DirectFunctionCall1(uuid_in, CStringGetDatum(string));

		restore_rows(fcinfo, PG_GETARG_OID(0), &id, 1);
	}
	return (Datum) 0;
}
