/*
 * reference.c
 *		Nobody refers to a row that they may not see.
 *
 * Foreign keys do not ask row security: by them a caller could learn whether a
 * row of somebody else's is there, hold it with a lock, or have it brought
 * together with their own (a user of another tenant made a member of one's own
 * space can be read from then on).  So where row security holds for the caller,
 * and the policies FOR SELECT of the parent do not show the row that a new or
 * changed reference names, the reference is given an id that nobody has: what
 * follows, policies and foreign keys, is then the same, in every detail, as
 * with a row that is not there.  Different ids stay different, and equal ones
 * equal, for unique indexes' sake.
 *
 * The space that a row belongs to is left to the policies of the row itself,
 * which guard.c asks before it locks the space, and what is no reference as it
 * stands, or none that is enforced, stays as it is: nothing refuses it, whether
 * there is such a row or not.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"

/* what a statement keeps about one of its foreign keys */
typedef struct Reference
{
	Oid			constraint;
	AppdbPolicies *policies;	/* of the parent */
	bool		has_seen;
	pg_uuid_t	seen;			/* the last that the caller may see */
} Reference;

typedef struct References
{
	Oid			userid;
	int			n;
	Reference	of[FLEXIBLE_ARRAY_MEMBER];	/* those to be looked at */
} References;

static bool
is_built_in(Oid relid, const char *name)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);

	return OidIsValid(nsp) && get_relname_relid(name, nsp) == relid;
}

/* Does the foreign key say which space the table's rows belong to? */
bool
appdb_is_space(Relation rel, const AppdbLink *link)
{
	AttrNumber	key = link->child_columns[link->key];

	return strcmp(NameStr(TupleDescAttr(RelationGetDescr(rel), key - 1)->attname), "space_id") == 0 &&
		is_built_in(link->parent, "spaces");
}

/* The foreign keys of a table for which row security holds at the other end. */
static References *
find_references(Relation rel, MemoryContext context)
{
	const AppdbLinks *links = appdb_get_links(rel);
	int			nlinks = links->nreferences;
	AppdbLink  *copy = palloc(sizeof(AppdbLink) * nlinks);
	References *references;

	/* what is looked up from here on can have the links read anew */
	memcpy(copy, links->parents, sizeof(AppdbLink) * nlinks);
	references = MemoryContextAllocZero(context, offsetof(References, of) + sizeof(Reference) * nlinks);
	references->userid = GetUserId();
	for (int i = 0; i < nlinks; i++)
	{
		if (check_enable_rls(copy[i].parent, InvalidOid, true) != RLS_ENABLED || appdb_is_space(rel, &copy[i]))
			continue;
		references->of[references->n++].constraint = copy[i].constraint;
	}
	pfree(copy);
	return references;
}

/* Is the row there, and not for the caller to see? */
static bool
is_hidden(Oid relid, const pg_uuid_t *id, AppdbPolicies **policies, MemoryContext context)
{
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			indexoid = appdb_id_index(rel, true);
	bool		hidden = false;

	if (OidIsValid(indexoid))
	{
		Relation	index = index_open(indexoid, AccessShareLock);
		TupleTableSlot *slot = table_slot_create(rel, NULL);
		Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
		ScanKeyData key;
		IndexScanDesc scan;

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
		scan = compat_index_beginscan(rel, index, snapshot, 1);
		index_rescan(scan, &key, 1, NULL, 0);
		if (index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			bool		should_free;
			HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &should_free);

			hidden = !appdb_may_see(rel, tuple, policies, context);
			if (should_free)
				heap_freetuple(tuple);
		}
		index_endscan(scan);
		UnregisterSnapshot(snapshot);
		ExecDropSingleTupleTableSlot(slot);
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	return hidden;
}

/* Is this a row that row security does not show to the caller? */
bool
appdb_hidden(Oid relid, const pg_uuid_t *id)
{
	AppdbPolicies *policies = NULL;

	return check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED &&
		is_hidden(relid, id, &policies, CurrentMemoryContext);
}

/* The row with an id that nobody has instead of its reference. */
HeapTuple
appdb_refer_to_nothing(Relation rel, HeapTuple tup, AttrNumber column)
{
	static pg_uuid_t secret;
	static bool has_secret = false;
	int			attnum = column;
	bool		isnull;
	Datum		id = heap_getattr(tup, column, RelationGetDescr(rel), &isnull);
	bytea	   *source = palloc(VARHDRSZ + 2 * UUID_LEN);
	bytea	   *hash;

	if (!has_secret && !pg_strong_random(&secret, sizeof(secret)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	has_secret = true;
	SET_VARSIZE(source, VARHDRSZ + 2 * UUID_LEN);
	memcpy(VARDATA(source), &secret, UUID_LEN);
	memcpy(VARDATA(source) + UUID_LEN, DatumGetUUIDP(id), UUID_LEN);
	hash = DatumGetByteaPP(DirectFunctionCall1(sha256_bytea, PointerGetDatum(source)));
	/* of a hash, since RETURNING shows it: nobody is to choose what becomes of an id */
	id = UUIDPGetDatum((pg_uuid_t *) VARDATA_ANY(hash));
	return heap_modify_tuple_by_cols(tup, RelationGetDescr(rel), 1, &attnum, &id, &isnull);
}

/*
 * A row is about to be written: look at all references of a new one, and at
 * those that change of another ("oldtup").  *kept is kept for further rows of
 * the statement, in "context".
 */
HeapTuple
appdb_hide_references(Relation rel, HeapTuple oldtup, HeapTuple newtup, void **kept,
					  MemoryContext context)
{
	TupleDesc	desc = RelationGetDescr(rel);
	References *references = *kept;
	const pg_uuid_t *user = appdb_user_id();

	if (references == NULL || references->userid != GetUserId())
		*kept = references = find_references(rel, context);

	for (int i = 0; i < references->n; i++)
	{
		Reference  *reference = &references->of[i];
		const AppdbLinks *links = appdb_get_links(rel);
		const AppdbLink *link = NULL;
		AttrNumber	key;
		Oid			parent;
		bool		isnull;
		pg_uuid_t	id;

		for (int j = 0; j < links->nreferences && link == NULL; j++)
		{
			if (links->parents[j].constraint == reference->constraint)
				link = &links->parents[j];
		}
		if (link == NULL || !link->enforced || !appdb_refers(link, desc, oldtup, newtup))
			continue;
		key = link->child_columns[link->key];
		parent = link->parent;
		id = *DatumGetUUIDP(heap_getattr(newtup, key, desc, &isnull));
		if ((reference->has_seen && memcmp(&reference->seen, &id, sizeof(id)) == 0) ||
			(user != NULL && memcmp(user, &id, sizeof(id)) == 0 && is_built_in(parent, "users")))
			continue;
		if (is_hidden(parent, &id, &reference->policies, context))
			newtup = appdb_refer_to_nothing(rel, newtup, key);
		else
		{
			reference->has_seen = true;
			reference->seen = id;
		}
	}
	return newtup;
}
