/*
 * appdb.c
 *		Loading of the library: settings under "appdb." and the version.
 *
 * The library may be loaded at the start of a session
 * (session_preload_libraries, which is recommended) or by the first call of
 * one of its functions; every mechanism works in both cases.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/varlena.h"

PG_MODULE_MAGIC;

/* settings */
bool		appdb_allow_drop = false;
char	   *appdb_retention = NULL;
static char *appdb_task_retention = NULL;
bool		appdb_keep_completed_tasks = true;
static char *appdb_search_language = NULL;
bool		appdb_rewrite_deletes = true;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(appdb_version);
PG_FUNCTION_INFO_V1(appdb__preloaded);
PG_FUNCTION_INFO_V1(appdb__library_version);

/*
 * appdb.retention: an interval, not negative.  Errors in a check hook are
 * reported by its result, so it cannot call interval_in().
 */
static bool
check_retention(char **newval, void **extra, GucSource source)
{
	char	   *field[MAXDATEFIELDS];
	int			ftype[MAXDATEFIELDS];
	char		workbuf[256];
	int			nfields;
	int			dtype;
	struct pg_itm_in itm = {0};
	Interval	interval;

	if (ParseDateTime(*newval, workbuf, sizeof(workbuf), field, ftype, MAXDATEFIELDS, &nfields) != 0 ||
		(DecodeInterval(field, ftype, nfields, INTERVAL_FULL_RANGE, &dtype, &itm) != 0 &&
		 DecodeISO8601Interval(*newval, &dtype, &itm) != 0) ||
		dtype != DTK_DELTA)
	{
		GUC_check_errdetail("The value is an interval such as \"30 days\".");
		return false;
	}
	if (itmin2interval(&itm, &interval) != 0 ||
		interval.month / MONTHS_PER_YEAR + interval.day / DAYS_PER_YEAR + interval.time / (USECS_PER_DAY * DAYS_PER_YEAR) > 1000)
	{
		GUC_check_errdetail("The longest is 1000 years.");
		return false;
	}
	if (itm.tm_year < 0 || itm.tm_mon < 0 || itm.tm_mday < 0 || itm.tm_usec < 0)
	{
		GUC_check_errdetail("Nothing can be kept for less than no time.");
		return false;
	}
	return true;
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("appdb.allow_drop",
							 "Allows dropping and truncating what holds application data.",
							 "While off, DROP EXTENSION appdb, DROP of its schemas and base tables, "
							 "DROP OWNED of their owner and TRUNCATE of a base table are refused.",
							 &appdb_allow_drop,
							 false,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("appdb.retention",
							   "Sets how long deleted rows can be restored before they are purged.",
							   "An interval; appdb.purge() without argument goes by it.",
							   &appdb_retention,
							   "30 days",
							   PGC_USERSET,
							   0,
							   check_retention, NULL, NULL);

	DefineCustomStringVariable("appdb.task_retention",
							   "Sets how long finished tasks are kept.",
							   "An interval; appdb.maintain() and the background worker go by it.",
							   &appdb_task_retention,
							   "7 days",
							   PGC_USERSET,
							   0,
							   check_retention, NULL, NULL);

	DefineCustomBoolVariable("appdb.keep_completed_tasks",
							 "Keeps completed tasks for appdb.task_retention.",
							 "While off, appdb.complete() deletes the task, unless it was given a result or other "
							 "tasks were enqueued to wait for it. Those that were canceled or died are always kept.",
							 &appdb_keep_completed_tasks,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	DefineCustomBoolVariable("appdb.rewrite_deletes",
							 "Carries out DELETE on a live view for all rows at once.",
							 "While off, the view's trigger does it row by row, as it does where the library "
							 "is loaded later than the statement is parsed. For tests, and to compare.",
							 &appdb_rewrite_deletes,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	appdb_identity_init();

	DefineCustomStringVariable("appdb.search_language",
							   "Sets the text search configuration of appdb.search().",
							   "One that has no index is slow: appdb.doctor() says how to make one.",
							   &appdb_search_language,
							   "english",
							   PGC_USERSET,
							   0,
							   NULL, NULL, NULL);

	DefineCustomIntVariable("appdb.find_max_depth",
							"Sets how deep a query of appdb.find() may be nested.",
							"Rows are at depth 1, what they are related to at 2, and so on.",
							&appdb_find_max_depth,
							10, 1, 1000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("appdb.find_max_nodes",
							"Sets how many relations a query of appdb.find() may name.",
							NULL,
							&appdb_find_max_nodes,
							100, 1, 100000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("appdb.find_max_rows",
							"Sets how many rows a query of appdb.find() may ask for.",
							"The greatest \"limit\"; where none is given, more rows are an error. 0 is no limit.",
							&appdb_find_max_rows,
							100000, 0, 1000000000,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("appdb.find_cache_size",
							"Sets how much memory a session may use to keep the plans of appdb.find().",
							NULL,
							&appdb_find_cache_size,
							16384, 0, MAX_KILOBYTES,
							PGC_USERSET,
							GUC_UNIT_KB,
							NULL, NULL, NULL);

	appdb_worker_init();

	MarkGUCPrefixReserved("appdb");

	appdb_rewrite_init();
	appdb_deletion_init();
	appdb_copy_init();
}

/*
 * appdb.version() returns text
 *		The version of the engine in this database.  The library serves those
 *		of all releases, so this is what the catalog says.
 */
Datum
appdb_version(PG_FUNCTION_ARGS)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	SysScanDesc scan;
	ScanKeyData key;
	HeapTuple	tup;
	Datum		version = (Datum) 0;
	bool		isnull = true;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("appdb"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tup = systable_getnext(scan);
	if (HeapTupleIsValid(tup))
		version = heap_getattr(tup, Anum_pg_extension_extversion, RelationGetDescr(rel), &isnull);
	if (!isnull)
		version = PointerGetDatum(DatumGetTextPCopy(version));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(version);
}

/*
 * appdb._library_version() returns text
 *		The version of the library, as loaded.
 */
Datum
appdb__library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(APPDB_VERSION));
}

/*
 * appdb._preloaded() returns bool
 *		Whether sessions that begin now have the library from the start.  The
 *		settings are not for everybody to read; this much of them is.
 */
Datum
appdb__preloaded(PG_FUNCTION_ARGS)
{
	const char *settings[] = {"shared_preload_libraries", "session_preload_libraries"};

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		char	   *value = pstrdup(GetConfigOption(settings[i], false, false));
		List	   *libraries;
		ListCell   *lc;

		if (!SplitDirectoriesString(value, ',', &libraries))
			continue;
		foreach(lc, libraries)
		{
			if (strcmp(last_dir_separator(lfirst(lc)) ? last_dir_separator(lfirst(lc)) + 1 : (char *) lfirst(lc),
					   "appdb") == 0)
				PG_RETURN_BOOL(true);
		}
	}
	PG_RETURN_BOOL(false);
}
