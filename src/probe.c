/*
 * probe.c
 *		Whether a few deleted rows have children at all.
 *
 * Most rows that are deleted one at a time have none in most of the tables
 * that refer to theirs.  A look into the foreign key's index says so for a
 * fraction of what a statement costs that finds nothing.  It must not be wrong
 * in one direction only: where there is a child, or might be, the statement
 * is run.
 *
 * Whoever could add a child waits for us already, since the parents are locked
 * (guard.c): what the latest snapshot does not show is not there.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "nodes/primnodes.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* foreign keys of more columns are left to SQL */
#define MAX_COLUMNS		4

/* so many children that are deleted already, and we leave it to SQL */
#define MAX_DELETED		16

/* how to look for the children of a foreign key */
typedef struct Probe
{
	Oid			constraint;		/* hash key, must be first */
	uint64		generation;		/* of the link */
	Oid			index;			/* of the child; InvalidOid: do not */
	Oid			parent_index;	/* where the parent's other columns are needed */
	AttrNumber	parent_columns[MAX_COLUMNS];	/* in the order of the index */
	ScanKeyData keys[MAX_COLUMNS];	/* without values */
} Probe;

static HTAB *probes = NULL;
static long room = 0;

/*
 * Does a partial index have all rows that we look for?
 */
static bool
predicate_holds(const AppdbLink *link, List *predicate)
{
	ListCell   *lc;

	foreach(lc, predicate)
	{
		NullTest   *test = (NullTest *) lfirst(lc);
		AttrNumber	column;
		bool		found = false;

		if (!IsA(test, NullTest) || test->argisrow || !IsA(test->arg, Var))
			return false;
		column = ((Var *) test->arg)->varattno;
		if (test->nulltesttype == IS_NULL)
			found = column == link->child_deleted_at && link->mode != APPDB_PURGE;
		else
		{
			for (int i = 0; i < link->ncolumns; i++)
				found |= column == link->child_columns[i];
		}
		if (!found)
			return false;
	}
	return true;
}

/*
 * Fill in how an index serves, if it begins with the columns of the foreign
 * key, in any order.
 */
static bool
use_index(Probe *probe, const AppdbLink *link, Relation index, TupleDesc child, TupleDesc parent)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid || !form->indisready ||
		!form->indislive || form->indcheckxmin || form->indnkeyatts < link->ncolumns ||
		!predicate_holds(link, RelationGetIndexPredicate(index)))
		return false;

	for (int i = 0; i < link->ncolumns; i++)
	{
		Oid			type = index->rd_opcintype[i];
		int			j = 0;
		MemoryContext oldcontext;

		while (j < link->ncolumns && link->child_columns[j] != form->indkey.values[i])
			j++;
		if (j == link->ncolumns ||
			TupleDescAttr(child, link->child_columns[j] - 1)->atttypid != type ||
			TupleDescAttr(parent, link->parent_columns[j] - 1)->atttypid != type ||
			get_op_opfamily_strategy(link->equals[j], index->rd_opfamily[i]) != BTEqualStrategyNumber ||
			index->rd_indcollation[i] != link->collations[j])
			return false;
		probe->parent_columns[i] = link->parent_columns[j];
		/* what the key points to is kept with it */
		oldcontext = MemoryContextSwitchTo(TopMemoryContext);
		ScanKeyEntryInitialize(&probe->keys[i], 0, i + 1, BTEqualStrategyNumber, type,
							   index->rd_indcollation[i], get_opcode(link->equals[j]), (Datum) 0);
		MemoryContextSwitchTo(oldcontext);
	}
	return true;
}

static void
load_probe(Probe *probe, const AppdbLink *link, Relation child, Relation parent)
{
	List	   *indexes;
	ListCell   *lc;

	probe->generation = 0;
	probe->index = InvalidOid;
	probe->parent_index = InvalidOid;
	if (link->ncolumns <= MAX_COLUMNS && child->rd_rel->relkind == RELKIND_RELATION &&
		parent->rd_rel->relkind == RELKIND_RELATION)
	{
		indexes = RelationGetIndexList(child);
		foreach(lc, indexes)
		{
			Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

			if (use_index(probe, link, index, RelationGetDescr(child), RelationGetDescr(parent)))
				probe->index = RelationGetRelid(index);
			index_close(index, AccessShareLock);
			if (OidIsValid(probe->index))
				break;
		}
		list_free(indexes);
		if (link->ncolumns > 1)
		{
			probe->parent_index = appdb_id_index(parent, false);
			if (!OidIsValid(probe->parent_index))
				probe->index = InvalidOid;
		}
	}
	probe->generation = link->generation;
}

/*
 * Is the index still there?  What we know can be older than our lock.
 */
static bool
has_index(Relation rel, Oid index)
{
	List	   *indexes = RelationGetIndexList(rel);
	bool		result = list_member_oid(indexes, index);

	list_free(indexes);
	return result;
}

/*
 * Does an index scan find a live row?  "deleted_at" is InvalidAttrNumber where
 * all are.
 */
static bool
find_live(Relation rel, Relation index, Snapshot snapshot, ScanKey keys, int nkeys,
		  AttrNumber deleted_at, TupleTableSlot *slot)
{
	IndexScanDesc scan = compat_index_beginscan(rel, index, snapshot, nkeys);
	int			ndeleted = 0;
	bool		found = false;

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (!found && index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		bool		isnull = true;

		if (deleted_at != InvalidAttrNumber)
			(void) slot_getattr(slot, deleted_at, &isnull);
		found = isnull || ++ndeleted == MAX_DELETED;
	}
	index_endscan(scan);
	return found;
}

/*
 * Might one of these parents have a child by this foreign key, that its mode
 * concerns?  The child table is locked.
 */
bool
appdb_may_have_children(const AppdbLink *link, Relation child, const pg_uuid_t *ids, int nids)
{
	Probe	   *probe;
	bool		found;
	Relation	parent = NULL;
	Relation	parent_index = NULL;
	Relation	index;
	TupleTableSlot *slot;
	TupleTableSlot *parent_slot = NULL;
	Snapshot	snapshot;
	ScanKeyData keys[MAX_COLUMNS];

	if (probes == NULL)
		probes = appdb_create_cache("appdb probes", sizeof(Oid), sizeof(Probe));
	appdb_trim_cache(probes, &room, CONSTROID, NULL);
	probe = (Probe *) hash_search(probes, &link->constraint, HASH_ENTER, &found);
	if (!found)
		probe->generation = 0;
	if (probe->generation != link->generation)
	{
		parent = table_open(link->parent, AccessShareLock);
		load_probe(probe, link, child, parent);
		table_close(parent, NoLock);
	}
	if (!OidIsValid(probe->index) || !has_index(child, probe->index))
		return true;
	if (OidIsValid(probe->parent_index))
	{
		parent = table_open(link->parent, AccessShareLock);
		if (!has_index(parent, probe->parent_index))
		{
			table_close(parent, NoLock);
			return true;
		}
		parent_index = index_open(probe->parent_index, AccessShareLock);
		parent_slot = table_slot_create(parent, NULL);
	}
	index = index_open(probe->index, AccessShareLock);
	slot = table_slot_create(child, NULL);
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());

	memcpy(keys, probe->keys, sizeof(ScanKeyData) * link->ncolumns);
	/* what a comparison keeps for its next call goes with these */
	for (int i = 0; i < link->ncolumns; i++)
		fmgr_info_copy(&keys[i].sk_func, &probe->keys[i].sk_func, CurrentMemoryContext);
	found = false;
	for (int i = 0; i < nids && !found; i++)
	{
		Datum		id = UUIDPGetDatum(&ids[i]);
		bool		isnull = false;

		if (parent_index == NULL)
			keys[0].sk_argument = id;
		else
		{
			ScanKeyData key;

			ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
			if (!find_live(parent, parent_index, snapshot, &key, 1, InvalidAttrNumber, parent_slot))
			{
				/* it should be there */
				found = true;
				break;
			}
			for (int j = 0; j < link->ncolumns && !isnull; j++)
				keys[j].sk_argument = slot_getattr(parent_slot, probe->parent_columns[j], &isnull);
			/* a null is equal to nothing */
			if (isnull)
				continue;
		}
		found = find_live(child, index, snapshot, keys, link->ncolumns,
						  link->mode == APPDB_PURGE ? InvalidAttrNumber : link->child_deleted_at,
						  slot);
	}

	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	if (parent_index != NULL)
	{
		ExecDropSingleTupleTableSlot(parent_slot);
		index_close(parent_index, NoLock);
		table_close(parent, NoLock);
	}
	return found;
}
