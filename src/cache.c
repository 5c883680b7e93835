/*
 * cache.c
 *		What a backend keeps, for as long as it lives, and when it forgets.
 *
 * A backend has room for ten callbacks of the relation cache, PostgreSQL's own
 * and those of all extensions together, and ends where one more is wanted.  So
 * all mechanisms that keep something about tables share one.
 */
#include "appdb.h"

#include "utils/memutils.h"

static RelcacheCallbackFunction callbacks[8];
static int	ncallbacks = 0;

/*
 * A hash table whose entries begin with their key.
 */
HTAB *
appdb_create_cache(const char *name, Size keysize, Size entrysize)
{
	HASHCTL		ctl = {0};

	ctl.keysize = keysize;
	ctl.entrysize = entrysize;
	ctl.hcxt = TopMemoryContext;
	return hash_create(name, 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

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
