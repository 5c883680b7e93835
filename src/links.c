/*
 * links.c
 *		The foreign keys between managed tables, as the engine follows them.
 *
 * A child is managed if it has the trigger that guards its INSERTs, made by
 * appdb.manage() (see guard.c).  The arguments of that trigger say where a
 * foreign key's mode differs from what its definition implies: "column=mode".
 * So everything is in the catalogs, under the relation cache's invalidation,
 * and in dumps.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* an entry of the cache, by table */
typedef struct LinksEntry
{
	Oid			relid;			/* hash key, must be first */
	bool		valid;
	AppdbLinks	links;
	int			npartners;		/* tables at the other end of foreign keys, managed or not */
	Oid		   *partners;
	MemoryContext context;		/* of all these */
} LinksEntry;

static HTAB *cache = NULL;
static LinksEntry *last_entry = NULL;
static long room = 0;
static uint64 invalidations = 0;
static uint64 generation = 0;

/*
 * Callback of the relation cache.  A change of any table that we know as
 * parent or child makes all links doubtful; DDL is rare.
 */
static void
invalidate_links(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	LinksEntry *entry;

	last_entry = NULL;
	invalidations++;
	hash_seq_init(&status, cache);
	while ((entry = (LinksEntry *) hash_seq_search(&status)) != NULL)
	{
		bool		touched = !OidIsValid(relid) || entry->relid == relid;

		for (int i = 0; i < entry->npartners && !touched; i++)
			touched = entry->partners[i] == relid;
		if (touched)
			entry->valid = false;
	}
}

static void
forget_links(void *arg)
{
	LinksEntry *entry = arg;

	last_entry = NULL;
	if (entry->context != NULL)
		MemoryContextDelete(entry->context);
}

static Trigger *
trigger_named(Relation rel, const char *name)
{
	TriggerDesc *desc = rel->trigdesc;

	for (int i = 0; desc != NULL && i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (!trigger->tgisinternal && strcmp(trigger->tgname, name) == 0)
			return trigger;
	}
	return NULL;
}

/* The guarding trigger of a table, or NULL if the table is not managed. */
static Trigger *
guard_trigger(Relation rel)
{
	return trigger_named(rel, APPDB_GUARD_TRIGGER);
}

/*
 * The collation by which a foreign key compares: the parent's.  Where values
 * that are equal are the same by both, the child's does as well, and its
 * indexes have it.
 */
Oid
appdb_key_collation(Oid parent, Oid child)
{
	if (!OidIsValid(child) ||
		(OidIsValid(parent) && get_collation_isdeterministic(parent) && get_collation_isdeterministic(child)))
		return child;
	return parent;
}

/*
 * Fill in a link from its foreign key; false if it is none of ours.
 */
static bool
make_link(AppdbLink *link, HeapTuple tup, Relation child, Relation parent)
{
	Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tup);
	Trigger    *guard;
	AttrNumber	parent_id = appdb_attribute(parent, "id", UUIDOID);
	const char *key;
	int			len;

	link->parent_deleted_at = appdb_attribute(parent, "deleted_at", TIMESTAMPTZOID);
	if (guard_trigger(child) == NULL ||
		(link->parent_deleted_at == InvalidAttrNumber && trigger_named(parent, APPDB_TIMESTAMPS_TRIGGER) == NULL))
		return false;

	link->constraint = con->oid;
	link->generation = generation;
	link->enforced = compat_is_enforced(con);
	link->child = RelationGetRelid(child);
	link->parent = RelationGetRelid(parent);
	DeconstructFkConstraintRow(tup, &link->ncolumns, link->child_columns, link->parent_columns, link->equals,
							   NULL, NULL, NULL, NULL);
	/* the last is a period, which is not the same in both: the id says which row */
	if (compat_has_period(con))
		link->ncolumns--;
	link->child_deleted_at = appdb_attribute(child, "deleted_at", TIMESTAMPTZOID);

	/* the key column is the one that refers to the parent's id */
	link->key = -1;
	for (int i = 0; i < link->ncolumns; i++)
	{
		if (link->parent_columns[i] == parent_id)
			link->key = i;
		link->collations[i] = appdb_key_collation(TupleDescAttr(RelationGetDescr(parent), link->parent_columns[i] - 1)->attcollation,
												  TupleDescAttr(RelationGetDescr(child), link->child_columns[i] - 1)->attcollation);
	}
	/* what refers to it can be of another type that has a cast to uuid */
	if (link->key < 0 ||
		getBaseType(TupleDescAttr(RelationGetDescr(child), link->child_columns[link->key] - 1)->atttypid) != UUIDOID)
		return false;

	if (con->confdeltype == FKCONSTR_ACTION_SETNULL)
		link->mode = APPDB_SET_NULL;
	else if (con->confdeltype == FKCONSTR_ACTION_RESTRICT)
		link->mode = APPDB_RESTRICT;
	else if (link->child_deleted_at == InvalidAttrNumber)
		link->mode = APPDB_PURGE;
	else
		link->mode = APPDB_CASCADE;

	key = NameStr(TupleDescAttr(RelationGetDescr(child), link->child_columns[link->key] - 1)->attname);
	len = strlen(key);
	/* from here on no catalog is looked into, or it could be made anew */
	guard = guard_trigger(child);
	for (int i = 0; i < guard->tgnargs; i++)
	{
		const char *arg = guard->tgargs[i];

		/* not that of a column whose name goes on with a "=" */
		if (strncmp(arg, key, len) != 0 || arg[len] != '=' || strchr(arg + len + 1, '=') != NULL)
			continue;
		arg += len + 1;
		link->mode = strcmp(arg, "set null") == 0 ? APPDB_SET_NULL :
			strcmp(arg, "restrict") == 0 ? APPDB_RESTRICT :
			strcmp(arg, "purge") == 0 ? APPDB_PURGE : APPDB_CASCADE;
	}
	/* nothing to mark */
	if (link->mode == APPDB_CASCADE && link->child_deleted_at == InvalidAttrNumber)
		link->mode = APPDB_PURGE;
	return true;
}

/*
 * Parents are locked as a deletion comes to them, which goes down from the top,
 * whatever the order in which the foreign keys were made: those that others of
 * them refer to come before these.  Otherwise, keys of tables within a tenant
 * have more columns, and more so the deeper the table is.  Those whose rows are
 * deleted for good come last.
 */
static int
compare_parents(const void *a, const void *b)
{
	const AppdbLink *one = a;
	const AppdbLink *other = b;
	bool		hard = one->parent_deleted_at == InvalidAttrNumber;

	if (hard != (other->parent_deleted_at == InvalidAttrNumber))
		return hard ? 1 : -1;
	if (one->rank != other->rank)
		return one->rank - other->rank;
	if (one->ncolumns != other->ncolumns)
		return one->ncolumns - other->ncolumns;
	return one->child_columns[one->key] - other->child_columns[other->key];
}

/*
 * A parent's rank is one more than the highest of those of the other parents
 * that it refers to.  In a circle they stop growing at some time.
 */
static void
rank_parents(AppdbLink *parents, int nparents)
{
	Relation	constraints;
	bool	   *refers;

	if (nparents < 2)
		return;
	refers = palloc0(sizeof(bool) * nparents * nparents);
	constraints = table_open(ConstraintRelationId, AccessShareLock);
	for (int i = 0; i < nparents; i++)
	{
		ScanKeyData scankey;
		SysScanDesc scan;
		HeapTuple	tup;

		ScanKeyInit(&scankey, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
					ObjectIdGetDatum(parents[i].parent));
		scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &scankey);
		while (HeapTupleIsValid(tup = systable_getnext(scan)))
		{
			Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tup);

			for (int j = 0; con->contype == CONSTRAINT_FOREIGN && j < nparents; j++)
			{
				if (con->confrelid == parents[j].parent && con->confrelid != con->conrelid)
					refers[i * nparents + j] = true;
			}
		}
		systable_endscan(scan);
	}
	table_close(constraints, AccessShareLock);

	for (int pass = 1; pass < nparents; pass++)
	{
		for (int i = 0; i < nparents; i++)
		{
			for (int j = 0; j < nparents; j++)
			{
				if (refers[i * nparents + j] && parents[j].rank < nparents)
					parents[i].rank = Max(parents[i].rank, parents[j].rank + 1);
			}
		}
	}
	pfree(refers);
}

/*
 * The foreign keys that refer to a table.  pg_constraint has no index by the
 * table referred to, but they depend on it.
 */
static List *
keys_to(Oid relid, List *keys)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *known = NIL;
	ListCell   *lc;
	ScanKeyData scankeys[2];
	SysScanDesc scan;
	HeapTuple	tup;
	Form_pg_constraint con;

	ScanKeyInit(&scankeys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationRelationId));
	ScanKeyInit(&scankeys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, scankeys);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_depend dep = (Form_pg_depend) GETSTRUCT(tup);

		/* once for each of its columns */
		if (dep->classid == ConstraintRelationId && dep->deptype == DEPENDENCY_NORMAL)
			known = lappend_oid(known, dep->objid);
	}
	systable_endscan(scan);
	table_close(depend, AccessShareLock);

	list_sort(known, list_oid_cmp);
	list_deduplicate_oid(known);
	foreach(lc, known)
	{
		tup = SearchSysCache1(CONSTROID, ObjectIdGetDatum(lfirst_oid(lc)));
		if (!HeapTupleIsValid(tup))
			continue;
		con = (Form_pg_constraint) GETSTRUCT(tup);
		/* those of the table to itself are its own; a partition has copies of its table's keys, which count for it alone */
		if (con->contype == CONSTRAINT_FOREIGN && con->confrelid == relid && con->conrelid != relid &&
			!OidIsValid(con->conparentid))
			keys = lappend(keys, heap_copytuple(tup));
		ReleaseSysCache(tup);
	}
	return keys;
}

/* In the order in which they were made. */
static int
compare_keys(const ListCell *a, const ListCell *b)
{
	Oid			one = ((Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(a)))->oid;
	Oid			other = ((Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(b)))->oid;

	return one < other ? -1 : one > other;
}

/*
 * Is there a row trigger before UPDATE that is none of the engine's?  It could
 * change the row itself.
 */
static bool
others_come_first(Relation rel)
{
	TriggerDesc *triggers = CopyTriggerDesc(rel->trigdesc);	/* looking can bring in changes */
	bool		found = false;

	for (int i = 0; triggers != NULL && !found && i < triggers->numtriggers; i++)
	{
		Trigger    *trigger = &triggers->triggers[i];

		found = TRIGGER_FOR_ROW(trigger->tgtype) && TRIGGER_FOR_BEFORE(trigger->tgtype) &&
			TRIGGER_FOR_UPDATE(trigger->tgtype) && !appdb_is_engine_function(trigger->tgfoid);
	}
	FreeTriggerDesc(triggers);
	return found;
}

/*
 * Read the foreign keys that a table takes part in, and what else is asked of it
 * by every row.  The result is kept.
 */
static void
load_links(LinksEntry *entry, Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	Relation	constraints;
	ScanKeyData scankey;
	SysScanDesc scan;
	HeapTuple	tup;
	List	   *keys = NIL;
	ListCell   *lc;
	MemoryContext context;
	AppdbLinks	links = {0};

	generation++;
	constraints = table_open(ConstraintRelationId, AccessShareLock);
	ScanKeyInit(&scankey, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(constraints, ConstraintRelidTypidNameIndexId, true, NULL, 1, &scankey);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT(tup);

		if (con->contype == CONSTRAINT_FOREIGN &&
			(!OidIsValid(con->conparentid) || rel->rd_rel->relispartition))
			keys = lappend(keys, heap_copytuple(tup));
	}
	systable_endscan(scan);
	table_close(constraints, AccessShareLock);
	keys = keys_to(relid, keys);
	list_sort(keys, compare_keys);

	/* invalidate_links() can be called from here on whenever a table is opened */
	context = entry->context;
	entry->context = NULL;
	entry->npartners = 0;
	memset(&entry->links, 0, sizeof(entry->links));
	if (context != NULL)
		MemoryContextDelete(context);
	context = AllocSetContextCreate(TopMemoryContext, "appdb links", ALLOCSET_SMALL_SIZES);
	entry->context = context;
	entry->partners = MemoryContextAlloc(context, sizeof(Oid) * (list_length(keys) + 1));
	links.children = MemoryContextAllocZero(context, sizeof(AppdbLink) * (list_length(keys) + 1));
	links.parents = MemoryContextAllocZero(context, sizeof(AppdbLink) * (list_length(keys) + 1));

	/* a table that is not managed now can be later */
	foreach(lc, keys)
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(lc));

		entry->partners[entry->npartners++] = con->conrelid == relid ? con->confrelid : con->conrelid;
	}

	foreach(lc, keys)
	{
		Form_pg_constraint con = (Form_pg_constraint) GETSTRUCT((HeapTuple) lfirst(lc));
		Relation	child = table_open(con->conrelid, AccessShareLock);
		Relation	parent = table_open(con->confrelid, AccessShareLock);
		AppdbLink	link = {0};

		if (make_link(&link, (HeapTuple) lfirst(lc), child, parent))
		{
			bool		soft = link.parent_deleted_at != InvalidAttrNumber;

			if (con->confrelid == relid && soft)
				links.children[links.nchildren++] = link;
			if (con->conrelid == relid)
			{
				links.parents[links.nreferences++] = link;
				links.nparents += soft;
			}
		}
		table_close(parent, AccessShareLock);
		table_close(child, AccessShareLock);
	}
	/* parents in the order in which they are locked: see compare_parents() */
	rank_parents(links.parents, links.nreferences);
	qsort(links.parents, links.nreferences, sizeof(AppdbLink), compare_parents);
	links.others_come_first = others_come_first(rel);
	entry->links = links;
}

/*
 * The links of a table.  The result stays valid until the next table is opened
 * or invalidation accepted: copy what is needed for longer.
 */
const AppdbLinks *
appdb_get_links(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	LinksEntry *entry = last_entry;
	bool		found;

	if (likely(entry != NULL && entry->relid == relid && entry->valid))
		return &entry->links;

	if (cache == NULL)
	{
		cache = appdb_create_cache("appdb links", sizeof(Oid), sizeof(LinksEntry));
		appdb_register_relcache_callback(invalidate_links);
	}

	appdb_trim_cache(cache, &room, RELOID, forget_links);
	entry = (LinksEntry *) hash_search(cache, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->valid = false;
		entry->context = NULL;
		entry->npartners = 0;
		memset(&entry->links, 0, sizeof(entry->links));
	}
	/* opening tables can bring in changes: then read again */
	for (int tries = 0; !entry->valid && tries < 10; tries++)
	{
		uint64		before = invalidations;

		load_links(entry, rel);
		entry->valid = (invalidations == before);
	}
	last_entry = entry;
	return &entry->links;
}

/*
 * The condition that ties a child c to its parent p, as the foreign key has it,
 * or, "but_key", as far as it goes beyond the parent's id.
 */
void
appdb_append_link(StringInfo sql, const AppdbLink *link, bool but_key)
{
	for (int i = 0; i < link->ncolumns; i++)
	{
		if (but_key && i == link->key)
			continue;
		appendStringInfo(sql, "%sp.%s", but_key || i > 0 ? " AND " : "",
						 quote_identifier(get_attname(link->parent, link->parent_columns[i], false)));
		appdb_append_operator(sql, link->equals[i]);
		appendStringInfo(sql, "c.%s", quote_identifier(get_attname(link->child, link->child_columns[i], false)));
		if (OidIsValid(link->collations[i]))
			appdb_append_collation(sql, link->collations[i]);
	}
}
