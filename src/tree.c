/*
 * tree.c
 *		Keeps a table that refers to itself a forest: no row is ever its own
 *		ancestor, whatever runs at the same time.
 *
 * A foreign key alone allows cycles.  Two transactions can also make one
 * together, of which each sees only its half: "a below b" in one, "b below a"
 * in the other.  So whoever moves a row takes a lock on the tree, until the
 * end of the transaction, and then walks up from the new parent with the
 * newest snapshot (under REPEATABLE READ the transaction's own would be too
 * old).  Inserting takes no lock: nobody can have moved anything below a row
 * that is not committed, so only rows of the same statement can form a cycle
 * with it, and those the walk sees.
 *
 * The walk goes through the primary key's index as the table's owner would,
 * without privileges or row security, as the checks of foreign keys do.  A
 * parent that is missing ends it: that is the foreign key's business, and rows
 * are restored in any order.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(appdb_forbid_cycles);

static AttrNumber
uuid_attribute(Relation rel, const char *name)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;
		if (att->atttypid != UUIDOID)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of \"%s\" is not of type uuid",
							name, RelationGetRelationName(rel)),
					 errdetail("appdb.forbid_cycles() works on uuid columns only.")));
		return att->attnum;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("table \"%s\" has no column \"%s\"",
					RelationGetRelationName(rel), name),
			 errdetail("It is named in the trigger that calls appdb.forbid_cycles()."),
			 errhint("Drop the trigger, or create it again with the column's present name.")));
	return InvalidAttrNumber;	/* keep the compiler quiet */
}

static bool
same_uuid(Datum a, Datum b)
{
	return memcmp(DatumGetUUIDP(a), DatumGetUUIDP(b), UUID_LEN) == 0;
}

/*
 * Waits until nobody else moves rows in the tree.  The lock is the
 * transaction's.
 */
static void
lock_tree(Relation rel, const pg_uuid_t *scope)
{
	LOCKTAG		tag;
	uint64		hash = hash_combine64(hash_bytes_uint32_extended(RelationGetRelid(rel), 0),
									  scope ? hash_bytes_extended(scope->data, UUID_LEN, 0) : 0);

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (hash >> 32), (uint32) hash, APPDB_LOCK_SPACE);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

/*
 * Whether "self" is "start" or one of its ancestors.
 */
static bool
is_ancestor(Relation rel, AttrNumber id_attnum, AttrNumber parent_attnum,
			const pg_uuid_t *self, const pg_uuid_t *start)
{
	Oid			indexoid = compat_primary_key_index(rel);
	Relation	index;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	pg_uuid_t	current = *start;
	pg_uuid_t	landmark = *start;
	uint64		steps = 0;
	uint64		next_landmark = 1;
	bool		found = false;

	if (!OidIsValid(indexoid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 OidIsValid(appdb_id_index(rel, true)) ?
				 errmsg("the primary key of table \"%s\" is deferrable", RelationGetRelationName(rel)) :
				 errmsg("table \"%s\" has no primary key", RelationGetRelationName(rel)),
				 errhint("Add PRIMARY KEY (id), which is not deferrable.")));

	index = index_open(indexoid, AccessShareLock);
	if (IndexRelationGetNumberOfKeyAttributes(index) != 1 ||
		index->rd_index->indkey.values[0] != id_attnum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("the primary key of table \"%s\" is not its column \"id\"",
						RelationGetRelationName(rel)),
				 errhint("Make it PRIMARY KEY (id).")));

	/* see what this statement did, and what others have committed by now */
	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = compat_index_beginscan(rel, index, snapshot, 1);

	for (;;)
	{
		ScanKeyData key;
		Datum		parent;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();

		if (memcmp(&current, self, UUID_LEN) == 0)
		{
			found = true;
			break;
		}

		ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(&current));
		index_rescan(scan, &key, 1, NULL, 0);
		if (!index_getnext_slot(scan, ForwardScanDirection, slot))
			break;
		parent = slot_getattr(slot, parent_attnum, &isnull);
		if (isnull)
			break;
		current = *DatumGetUUIDP(parent);

		/*
		 * Above the new parent there may be a cycle that was made where
		 * triggers do not fire (session_replication_role).  It is none of
		 * ours, but must not keep us for ever: coming back to a row that was
		 * passed before is noticed at the latest after twice the length.
		 */
		if (memcmp(&current, &landmark, UUID_LEN) == 0)
			break;
		if (++steps == next_landmark)
		{
			landmark = current;
			next_landmark *= 2;
		}
	}

	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	index_close(index, AccessShareLock);

	return found;
}

/*
 * appdb.forbid_cycles(parent_column [, scope_column])
 *		Trigger function, AFTER INSERT OR UPDATE FOR EACH ROW.
 *
 * scope_column is what parts the table into trees that never touch (space_id):
 * moving rows in one does not wait for those who move rows in another.
 */
Datum
appdb_forbid_cycles(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	Relation	rel;
	Trigger    *trigger;
	TupleTableSlot *newslot;
	AttrNumber	id_attnum;
	AttrNumber	parent_attnum;
	AttrNumber	scope_attnum = InvalidAttrNumber;
	Datum		id;
	Datum		parent;
	Datum		scope = (Datum) 0;
	bool		isnull;
	bool		scope_isnull = true;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.forbid_cycles() was not called by a trigger"),
				 errhint("Use it in CREATE TRIGGER ... EXECUTE FUNCTION.")));
	trigger = trigdata->tg_trigger;
	if (!TRIGGER_FIRED_AFTER(trigdata->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigdata->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event)) ||
		trigger->tgnargs < 1 || trigger->tgnargs > 2)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("trigger \"%s\" calls appdb.forbid_cycles() in a way that it does not work", trigger->tgname),
				 errhint("Create it as AFTER INSERT OR UPDATE ... FOR EACH ROW EXECUTE FUNCTION "
						 "appdb.forbid_cycles('parent_id'[, 'space_id']).")));

	rel = trigdata->tg_relation;
	newslot = TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event) ?
		trigdata->tg_newslot : trigdata->tg_trigslot;

	parent_attnum = uuid_attribute(rel, trigger->tgargs[0]);
	parent = slot_getattr(newslot, parent_attnum, &isnull);
	if (isnull)
		return PointerGetDatum(NULL);
	id_attnum = uuid_attribute(rel, "id");
	id = slot_getattr(newslot, id_attnum, &isnull);
	if (trigger->tgnargs > 1)
	{
		scope_attnum = uuid_attribute(rel, trigger->tgargs[1]);
		scope = slot_getattr(newslot, scope_attnum, &scope_isnull);
	}

	if (TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
	{
		Datum		old_parent = slot_getattr(trigdata->tg_trigslot, parent_attnum, &isnull);

		/* not moved; scopes of a row and its parent are the foreign key's */
		if (!isnull && same_uuid(old_parent, parent))
			return PointerGetDatum(NULL);

		lock_tree(rel, scope_isnull ? NULL : DatumGetUUIDP(scope));
	}

	if (is_ancestor(rel, id_attnum, parent_attnum, DatumGetUUIDP(id), DatumGetUUIDP(parent)))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("a row of \"%s\" cannot be below itself", RelationGetRelationName(rel)),
				 errdetail("Row %s would have as its %s row %s, which is itself or below it.",
						   appdb_uuid_text(DatumGetUUIDP(id)), trigger->tgargs[0],
						   appdb_uuid_text(DatumGetUUIDP(parent))),
				 errhint("Choose another parent, or move that one away first."),
				 errtablecol(rel, parent_attnum)));

	return PointerGetDatum(NULL);
}
