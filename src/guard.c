/*
 * guard.c
 *		No live row refers to a deleted one.
 *
 * Whoever inserts a row, gives it another parent or brings it back locks each
 * parent FOR KEY SHARE, as the foreign key will, and then looks whether that
 * is live.  Who deletes a row locks it FOR UPDATE before its children are
 * looked for (deletion.c).  The two exclude each other until the transaction
 * ends: the second comes to see what the first has done.  FOR KEY SHARE does
 * not wait for changes of the parent's other columns, nor for each other.
 *
 * The guard fires last among the BEFORE triggers of a row, by its name.  A
 * parent that is not there is the foreign key's business: rows are restored in
 * any order.  So is one that the caller may not see (reference.c), and a space
 * that policies do not let them write the row into.  Rows that are deleted
 * already may refer to whatever they like.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(appdb_guard);

/*
 * Parents that this subtransaction has locked and found live: a bulk load asks
 * for the same ones again and again.  They stay live unless we delete them
 * ourselves, so each deletion of ours forgets them all.
 */
#define NREMEMBERED 1024		/* a power of two */

typedef struct Remembered
{
	uint32		epoch;			/* of no use in another one */
	SubTransactionId subid;
	Oid			parent;
	pg_uuid_t	id;
} Remembered;

static Remembered remembered[NREMEMBERED];
static uint32 epoch = 1;

static void
forget_at_xact_end(XactEvent event, void *arg)
{
	appdb_guard_forget();
}

void
appdb_guard_forget(void)
{
	if (unlikely(++epoch == 0))
	{
		memset(remembered, 0, sizeof(remembered));
		epoch = 1;
	}
}

/* Where a parent would be remembered; most UUIDs differ in the last bytes. */
static Remembered *
remembered_slot(Oid parent, const pg_uuid_t *id)
{
	uint32		hash;

	memcpy(&hash, id->data + UUID_LEN - sizeof(hash), sizeof(hash));
	return &remembered[murmurhash32(hash ^ parent) & (NREMEMBERED - 1)];
}

static void
complain(Relation child, const AppdbLink *link, Datum id, const pg_uuid_t *child_id)
{
	const char *child_name = appdb_table_name(RelationGetRelid(child));
	const char *parent_name = appdb_table_name(link->parent);
	const char *parent = get_rel_name(link->parent);
	const char *column = NameStr(TupleDescAttr(RelationGetDescr(child),
											   link->child_columns[link->key] - 1)->attname);

	if (child_id != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
				 errmsg("cannot restore row %s of table \"%s\": its parent in table \"%s\" is deleted",
						appdb_uuid_text(child_id), child_name, parent_name),
				 errdetail("Key (%s)=(%s) is deleted in table \"%s\".", column,
						   appdb_uuid_text(DatumGetUUIDP(id)), parent),
				 errhint("Restore that row first."),
				 errtableconstraint(child, get_constraint_name(link->constraint))));

	ereport(ERROR,
			(errcode(ERRCODE_FOREIGN_KEY_VIOLATION),
			 errmsg("row of table \"%s\" refers to a deleted row of table \"%s\"", child_name, parent_name),
			 errdetail("Key (%s)=(%s) is deleted in table \"%s\".", column,
					   appdb_uuid_text(DatumGetUUIDP(id)), parent),
			 errhint("Refer to a live row, or bring that one back first."),
			 errtableconstraint(child, get_constraint_name(link->constraint))));
}

/* A primary key that is deferrable, which is none to the relation cache. */
static Oid
deferrable_key(Relation rel)
{
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;
	Oid			result = InvalidOid;

	foreach(lc, indexes)
	{
		HeapTuple	tup = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tup))
			continue;
		if (((Form_pg_index) GETSTRUCT(tup))->indisprimary && ((Form_pg_index) GETSTRUCT(tup))->indisvalid)
			result = lfirst_oid(lc);
		ReleaseSysCache(tup);
	}
	list_free(indexes);
	return result;
}

/*
 * The index to find rows by their id: that of the primary key, if it is still
 * what appdb.manage() has asked for.  A partitioned table has none of its own.
 * By one that is deferrable there can be two of them, until it is checked.
 */
Oid
appdb_id_index(Relation rel, bool deferrable)
{
	Oid			indexoid = rel->rd_rel->relkind == RELKIND_RELATION ? compat_primary_key_index(rel) : InvalidOid;
	HeapTuple	tup;
	Form_pg_index form;
	AttrNumber	key;

	if (!OidIsValid(indexoid) && deferrable && rel->rd_rel->relkind == RELKIND_RELATION)
		indexoid = deferrable_key(rel);
	tup = OidIsValid(indexoid) ? SearchSysCache1(INDEXRELID, ObjectIdGetDatum(indexoid)) : NULL;
	if (!HeapTupleIsValid(tup))
		return InvalidOid;
	form = (Form_pg_index) GETSTRUCT(tup);
	key = form->indkey.values[0];
	if (form->indnkeyatts != 1 || TupleDescAttr(RelationGetDescr(rel), key - 1)->atttypid != UUIDOID ||
		strcmp(NameStr(TupleDescAttr(RelationGetDescr(rel), key - 1)->attname), "id") != 0)
		indexoid = InvalidOid;
	ReleaseSysCache(tup);
	return indexoid;
}

/*
 * Lock the parent that "id" names.  Is it live, or none of our business?  If
 * not, *deleted_at is when it was deleted.
 */
static bool
parent_is_live(const AppdbLink *link, Datum id, TimestampTz *deleted_at)
{
	Relation	parent;
	Relation	index;
	Oid			indexoid;
	IndexScanDesc scan;
	ScanKeyData key;
	TupleTableSlot *slot;
	Snapshot	snapshot;
	static bool registered = false;
	bool		live = true;
	Remembered *memory = remembered_slot(link->parent, DatumGetUUIDP(id));

	if (memory->epoch == epoch && memory->subid == GetCurrentSubTransactionId() &&
		memory->parent == link->parent &&
		memcmp(&memory->id, DatumGetUUIDP(id), sizeof(pg_uuid_t)) == 0)
		return true;

	parent = table_open(link->parent, RowShareLock);
	indexoid = appdb_id_index(parent, true);
	if (!OidIsValid(indexoid))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot be a parent: it has no primary key that can be looked up",
						RelationGetRelationName(parent)),
				 errdetail("The primary key of a parent is its column \"id\". Partitioned tables cannot have soft-deleted children.")));
	index = index_open(indexoid, AccessShareLock);
	slot = table_slot_create(parent, NULL);

	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, id);
	scan = compat_index_beginscan(parent, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);

	if (index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		TM_FailureData tmfd;
		TM_Result	result;
		Datum		value = (Datum) 0;
		bool		isnull = true;

		/*
		 * Versions that are being made must be locked too: the row may have
		 * another one before the foreign key locks it in its turn, and who
		 * deletes it then looks at that one only.
		 */
		result = table_tuple_lock(parent, &slot->tts_tid, snapshot, slot,
								  GetCurrentCommandId(true), LockTupleKeyShare, LockWaitBlock,
								  TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS | TUPLE_LOCK_FLAG_FIND_LAST_VERSION,
								  &tmfd);
		switch (result)
		{
			case TM_Ok:
				value = slot_getattr(slot, link->parent_deleted_at, &isnull);
				if (!isnull)
				{
					live = false;
					break;
				}
				if (!registered)
				{
					RegisterXactCallback(forget_at_xact_end, NULL);
					registered = true;
				}
				memory->epoch = epoch;
				memory->subid = GetCurrentSubTransactionId();
				memory->parent = link->parent;
				memory->id = *DatumGetUUIDP(id);
				break;
			case TM_SelfModified:

				/*
				 * This command has changed it already.  Had it deleted it, its
				 * children would be next; the new version tells.
				 */
				if (table_tuple_fetch_row_version(parent, &tmfd.ctid, SnapshotAny, slot))
					value = slot_getattr(slot, link->parent_deleted_at, &isnull);
				live = isnull;
				break;
			case TM_Deleted:
				/* gone for good: the foreign key will say so */
				break;
			default:
				elog(ERROR, "unexpected table_tuple_lock status: %u", result);
		}
		if (!live)
			*deleted_at = DatumGetTimestampTz(value);
	}

	index_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	/* there will be more of them */
	index_close(index, NoLock);
	table_close(parent, NoLock);
	return live;
}

/* a deleted parent that a row forgets when it comes back */
typedef struct Forgotten
{
	AppdbLink	link;
	TimestampTz deleted_at;
	pg_uuid_t	id;
} Forgotten;

/*
 * Does a row refer to a parent by this foreign key, which holds where none of
 * its columns is null, and, given the old row, not as that did?  An id alone
 * can have become a reference with another column.
 */
bool
appdb_refers(const AppdbLink *link, TupleDesc desc, HeapTuple oldtup, HeapTuple newtup)
{
	bool		changed = (oldtup == NULL);

	for (int i = 0; i < link->ncolumns; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, link->child_columns[i] - 1);
		bool		isnull;
		bool		oldnull;
		Datum		value = heap_getattr(newtup, link->child_columns[i], desc, &isnull);
		Datum		oldvalue;

		if (isnull)
			return false;
		if (changed)
			continue;
		oldvalue = heap_getattr(oldtup, link->child_columns[i], desc, &oldnull);
		changed = oldnull || !datum_image_eq(value, oldvalue, att->attbyval, att->attlen);
	}
	return changed;
}

/*
 * Check the parents of a new row, or, given the old one, those that change.
 * A row that comes back forgets a deleted parent that would have been
 * forgotten with mode "set null"; one that comes back with a parent ("child_id"
 * is its id) stays deleted, from now on with the other parent.  Nothing is left
 * to do (the result is NULL) if that may come back itself: see restore.c.
 */
static HeapTuple
check_row(Relation rel, HeapTuple oldtup, HeapTuple newtup, bool undeleted,
		  const pg_uuid_t *child_id)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int			nparents = appdb_get_links(rel)->nparents;
	HeapTuple	given = newtup;
	List	   *forgotten = NIL;
	ListCell   *lc;

	for (int i = 0; i < nparents; i++)
	{
		/* the links can be read anew when a parent is opened */
		const AppdbLinks *links = appdb_get_links(rel);
		AppdbLink	link;
		AttrNumber	key;
		Datum		id;
		TimestampTz deleted_at = 0;
		bool		isnull;
		int			column;
		Datum		value;
		bool		null;
		AppdbComeback comeback;

		if (i >= links->nparents)
			break;
		link = links->parents[i];
		if (!appdb_refers(&link, desc, oldtup, newtup))
			continue;
		key = link.child_columns[link.key];
		id = heap_getattr(newtup, key, desc, &isnull);
		/* nothing will refuse it, as nothing would one to no row */
		if (!link.enforced && !undeleted && appdb_hidden(link.parent, DatumGetUUIDP(id)))
			continue;
		/* nobody locks, or waits for, another's space: the row is refused */
		if (!undeleted && link.enforced && appdb_is_space(rel, &link) &&
			appdb_will_refuse(rel, newtup, oldtup == NULL ? ACL_INSERT_CHR : ACL_UPDATE_CHR, DatumGetUUIDP(id)))
		{
			newtup = appdb_refer_to_nothing(rel, newtup, key);
			continue;
		}
		/* who is its own parent brings that back */
		if (undeleted && child_id != NULL && link.parent == link.child &&
			memcmp(DatumGetPointer(id), child_id, UUID_LEN) == 0)
			continue;
		if (parent_is_live(&link, id, &deleted_at))
			continue;
		comeback = undeleted && child_id != NULL && link.mode != APPDB_SET_NULL ?
			appdb_comeback(rel, child_id, deleted_at) : APPDB_REFUSED;

		if (undeleted && link.mode == APPDB_SET_NULL)
		{
			Forgotten  *parent = palloc(sizeof(Forgotten));

			parent->link = link;
			parent->deleted_at = deleted_at;
			parent->id = *DatumGetUUIDP(id);
			forgotten = lappend(forgotten, parent);
			column = key;
			value = (Datum) 0;
			null = true;
			newtup = heap_modify_tuple_by_cols(newtup, desc, 1, &column, &value, &null);
		}
		else if (comeback == APPDB_COMES)
			continue;
		else if (comeback == APPDB_WAITS)
			return NULL;
		else if (comeback == APPDB_PASSES)
		{
			/* other parents do not matter */
			column = link.child_deleted_at;
			value = TimestampTzGetDatum(deleted_at);
			null = false;
			return heap_modify_tuple_by_cols(given, desc, 1, &column, &value, &null);
		}
		else if (!undeleted && link.enforced && appdb_hidden(link.parent, DatumGetUUIDP(id)))
			newtup = appdb_refer_to_nothing(rel, newtup, key);
		else
			complain(rel, &link, id, undeleted && appdb_is_restoring() ? child_id : NULL);
	}

	foreach(lc, forgotten)
	{
		Forgotten  *parent = lfirst(lc);

		if (child_id != NULL)
			appdb_note_unlinked(&parent->link, parent->deleted_at, child_id, &parent->id);
	}
	return newtup;
}

/*
 * Lock the parents of a row that is to be locked and brought back: from the top
 * down, as whoever brings a parent back comes to the row.  Whether they are live
 * is asked when it comes back.
 */
void
appdb_guard_lock_parents(Relation rel, HeapTuple tup)
{
	int			nparents = appdb_get_links(rel)->nparents;

	for (int i = 0; i < nparents; i++)
	{
		/* the links can be read anew when a parent is opened */
		const AppdbLinks *links = appdb_get_links(rel);
		AppdbLink	link;
		TimestampTz deleted_at;
		bool		isnull;

		if (i >= links->nparents)
			break;
		link = links->parents[i];
		if (appdb_refers(&link, RelationGetDescr(rel), NULL, tup))
			(void) parent_is_live(&link, heap_getattr(tup, link.child_columns[link.key], RelationGetDescr(rel), &isnull),
								  &deleted_at);
	}
}

/*
 * Called for each changed row by the trigger for timestamps, which fires last
 * among the BEFORE triggers too.
 */
HeapTuple
appdb_guard_update(Relation rel, HeapTuple oldtup, HeapTuple newtup, bool undeleted)
{
	const AppdbLinks *links = appdb_get_links(rel);
	void	   *kept = NULL;

	if (links->nreferences == 0)
		return newtup;
	newtup = appdb_hide_references(rel, oldtup, newtup, &kept, CurrentMemoryContext);
	links = appdb_get_links(rel);
	if (links->parents[0].child_deleted_at != InvalidAttrNumber &&
		!heap_attisnull(newtup, links->parents[0].child_deleted_at, RelationGetDescr(rel)))
		return newtup;
	if (undeleted)
	{
		AttrNumber	id = get_attnum(RelationGetRelid(rel), "id");
		bool		isnull = true;
		Datum		value = (Datum) 0;

		if (id != InvalidAttrNumber && get_atttype(RelationGetRelid(rel), id) == UUIDOID)
			value = heap_getattr(newtup, id, RelationGetDescr(rel), &isnull);
		return check_row(rel, NULL, newtup, true, isnull ? NULL : DatumGetUUIDP(value));
	}
	return check_row(rel, oldtup, newtup, false, NULL);
}

/*
 * appdb.guard() returns trigger
 *		BEFORE INSERT FOR EACH ROW.  The arguments are not for us: links.c.
 */
Datum
appdb_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	const AppdbLinks *links;
	Relation	rel;
	HeapTuple	tup;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_INSERT(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.guard() can only be called by a trigger BEFORE INSERT FOR EACH ROW"),
				 errhint("appdb.manage() makes the trigger.")));

	rel = trigdata->tg_relation;
	tup = trigdata->tg_trigtuple;
	if (appdb_get_links(rel)->nreferences == 0)
		return PointerGetDatum(tup);

	tup = appdb_hide_references(rel, NULL, tup, &fcinfo->flinfo->fn_extra, fcinfo->flinfo->fn_mcxt);
	links = appdb_get_links(rel);
	if (links->parents[0].child_deleted_at == InvalidAttrNumber ||
		heap_attisnull(tup, links->parents[0].child_deleted_at, RelationGetDescr(rel)))
		tup = check_row(rel, NULL, tup, false, NULL);

	return PointerGetDatum(tup);
}
