/*
 * invalidation.c
 *		What the mechanisms forget when a table changes.
 *
 * A backend has room for ten callbacks of the relation cache, PostgreSQL's own
 * and those of all extensions together, and ends where one more is wanted.  So
 * all mechanisms that keep something about tables share one.
 */
#include "appdb.h"

static RelcacheCallbackFunction callbacks[8];
static int	ncallbacks = 0;

static void
table_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < ncallbacks; i++)
		callbacks[i] (arg, relid);
}

/*
 * Have "callback" called from now on, as CacheRegisterRelcacheCallback() does.
 * A mechanism says so once, when it begins to keep something.
 */
void
appdb_register_relcache_callback(RelcacheCallbackFunction callback)
{
	if (ncallbacks == lengthof(callbacks))
		elog(ERROR, "too many callbacks of the relation cache");
	if (ncallbacks == 0)
		CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
	callbacks[ncallbacks++] = callback;
}
