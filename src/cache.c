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
#include "utils/syscache.h"

/* fewer entries are left alone */
#define MIN_ROOM 64

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

/*
 * Before an entry is added to a hash table whose keys begin with the OID of an
 * object, as the system cache knows it: remove those of objects that have been
 * dropped.  They are looked for when there are twice as many entries as were
 * left the last time, which *room says.
 */
void
appdb_trim_cache(HTAB *cache, long *room, int syscache, void (*forget) (void *entry))
{
	HASH_SEQ_STATUS status;
	void	   *entry;

	if (likely(hash_get_num_entries(cache) < Max(*room, MIN_ROOM)))
		return;
	hash_seq_init(&status, cache);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (SearchSysCacheExists1(syscache, ObjectIdGetDatum(*(Oid *) entry)))
			continue;
		if (forget != NULL)
			forget(entry);
		(void) hash_search(cache, entry, HASH_REMOVE, NULL);
	}
	*room = 2 * hash_get_num_entries(cache);
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
