/*
 * timestamps.c
 *		The trigger that keeps id, created_at and updated_at of every table.
 *
 * appdb.timestamps() is a BEFORE UPDATE FOR EACH ROW trigger:
 *
 * - id and created_at keep the value that the row was inserted with; an UPDATE
 *   that would change one fails.
 * - updated_at is the trigger's, whatever the UPDATE says.  It moves when
 *   another column changes, and stays when none does.  What it moves to is the
 *   time of the transaction, as now() is, since all that a transaction does
 *   becomes visible at once.  It does not move back, though, nor stand still:
 *   where an earlier transaction has left a value that is as late or later (it
 *   began after ours, or within the same millisecond, or the clock was set
 *   back), updated_at becomes the next value after that one.  So who compares
 *   updated_at to see whether a row is still as it was read, or asks for the
 *   rows changed since, misses no change.
 *
 * The trigger fires for each row of every UPDATE, so that its speed matters.
 * The two versions of the row are compared as they are stored, column by
 * column, without taking them apart, and updated_at is written into the new
 * version in place.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

/* what a column is to us; the ones we know are bits of a set of changes */
#define COLUMN_OTHER		0x01
#define COLUMN_ID			0x02
#define COLUMN_CREATED_AT	0x04
#define COLUMN_UPDATED_AT	0x08
#define COLUMN_DELETED_AT	0x10
#define COLUMN_LINK			0x20	/* part of a foreign key */
#define COLUMN_NONE			0x00	/* dropped, or generated from others */

/* what makes updated_at move */
#define COLUMNS_OF_USERS	(COLUMN_OTHER | COLUMN_LINK | COLUMN_DELETED_AT)

/* a column, as far as it takes to walk along a stored row */
typedef struct ColumnInfo
{
	int16		attlen;
	uint8		align_mask;		/* alignment in bytes - 1 */
	uint8		kind;			/* COLUMN_xxx */
} ColumnInfo;

/* a table */
typedef struct TableInfo
{
	Oid			relid;			/* hash key, must be first */
	bool		valid;			/* false once the table may have changed */
	int			natts;
	AttrNumber	id;
	AttrNumber	created_at;
	AttrNumber	updated_at;
	AttrNumber	deleted_at;		/* or InvalidAttrNumber */
	int			last;			/* the last of these and of the foreign keys'
								 * columns, as an index */
	int64		unit;			/* of updated_at, in microseconds */
	ColumnInfo *columns;
} TableInfo;

/* what an UPDATE does to a row */
typedef struct RowChange
{
	int			columns;		/* set of COLUMN_xxx that change */
	char	   *updated_at;		/* where the new row has it, NULL if unknown */
	char	   *deleted_at;		/* likewise */
	TimestampTz old_updated_at;
	bool		old_updated_at_null;
} RowChange;

/* what is known of tables, by relid; kept by invalidate_table() */
static HTAB *tables = NULL;
static long room = 0;
static TableInfo *last_table = NULL;

PG_FUNCTION_INFO_V1(appdb_timestamps);

/*
 * Callback of the relation cache: a table (or any, if relid is invalid) may
 * have changed.  Only mark it, since this can come while we are using it.
 */
static void
invalidate_table(Datum arg, Oid relid)
{
	TableInfo  *table;

	if (OidIsValid(relid))
	{
		table = (TableInfo *) hash_search(tables, &relid, HASH_FIND, NULL);
		if (table != NULL)
			table->valid = false;
	}
	else
	{
		HASH_SEQ_STATUS status;

		hash_seq_init(&status, tables);
		while ((table = (TableInfo *) hash_seq_search(&status)) != NULL)
			table->valid = false;
	}
}

static void
forget_table(void *arg)
{
	TableInfo  *table = arg;

	last_table = NULL;
	if (table->columns != NULL)
		pfree(table->columns);
}

/*
 * The number of a column that the trigger needs.  typid is what its type must
 * be, unless it is InvalidOid.
 */
static AttrNumber
find_column(Relation rel, const char *name, Oid typid, bool required)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;

		if (OidIsValid(typid) && att->atttypid != typid)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" of table \"%s\" is of type %s, not %s",
							name, appdb_table_name(RelationGetRelid(rel)),
							format_type_be(att->atttypid), format_type_be(typid)),
					 errhint("Change the type of the column, or drop the trigger that calls appdb.timestamps()."),
					 errtablecol(rel, att->attnum)));

		return att->attnum;
	}

	if (required)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"",
						appdb_table_name(RelationGetRelid(rel)), name),
				 errdetail("appdb.timestamps() needs the columns id, created_at and updated_at."),
				 errhint("Add the column, or drop the trigger that calls appdb.timestamps()."),
				 errtable(rel)));

	return InvalidAttrNumber;
}

/*
 * Fill in what we know of a table.
 */
static void
load_table(TableInfo *table, Relation rel)
{
	TupleDesc	tupdesc;
	int32		typmod;
	Bitmapset  *links = NULL;
	ListCell   *lc;

	/* the only step that reads catalogs, and can bring in changes: first */
	foreach(lc, RelationGetFKeyList(rel))
	{
		ForeignKeyCacheInfo *key = lfirst_node(ForeignKeyCacheInfo, lc);

		for (int i = 0; i < key->nkeys; i++)
			links = bms_add_member(links, key->conkey[i]);
	}
	tupdesc = RelationGetDescr(rel);

	/* these can fail; the entry stays invalid then */
	table->id = find_column(rel, "id", InvalidOid, true);
	table->created_at = find_column(rel, "created_at", TIMESTAMPTZOID, true);
	table->updated_at = find_column(rel, "updated_at", TIMESTAMPTZOID, true);
	table->deleted_at = find_column(rel, "deleted_at", TIMESTAMPTZOID, false);
	table->last = Max(Max(table->id, table->created_at),
					  Max(table->updated_at, table->deleted_at)) - 1;

	/* timestamptz(3) has a typmod of 3, timestamptz one of -1 and 6 digits */
	typmod = TupleDescAttr(tupdesc, table->updated_at - 1)->atttypmod;
	table->unit = 1;
	for (int digits = typmod < 0 ? MAX_TIMESTAMP_PRECISION : typmod;
		 digits < MAX_TIMESTAMP_PRECISION; digits++)
		table->unit *= 10;

	if (table->columns != NULL)
		pfree(table->columns);
	table->columns = NULL;
	table->natts = tupdesc->natts;
	table->columns = (ColumnInfo *)
		MemoryContextAllocZero(TopMemoryContext,
							   table->natts * sizeof(ColumnInfo));

	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		ColumnInfo *column = &table->columns[i];

		column->attlen = att->attlen;

		switch (att->attalign)
		{
			case TYPALIGN_DOUBLE:
				column->align_mask = ALIGNOF_DOUBLE - 1;
				break;
			case TYPALIGN_INT:
				column->align_mask = ALIGNOF_INT - 1;
				break;
			case TYPALIGN_SHORT:
				column->align_mask = ALIGNOF_SHORT - 1;
				break;
			default:
				Assert(att->attalign == TYPALIGN_CHAR);
				column->align_mask = 0;
		}

		/*
		 * A generated column changes only if another does.  It has not been
		 * computed again yet, and may have any value here.
		 */
		if (att->attisdropped || att->attgenerated != '\0')
			column->kind = COLUMN_NONE;
		else if (att->attnum == table->id)
			column->kind = COLUMN_ID;
		else if (att->attnum == table->created_at)
			column->kind = COLUMN_CREATED_AT;
		else if (att->attnum == table->updated_at)
			column->kind = COLUMN_UPDATED_AT;
		else if (att->attnum == table->deleted_at)
			column->kind = COLUMN_DELETED_AT;
		else if (bms_is_member(att->attnum, links))
		{
			column->kind = COLUMN_LINK;
			table->last = Max(table->last, i);
		}
		else
			column->kind = COLUMN_OTHER;
	}

	bms_free(links);
	table->valid = true;
}

/*
 * What we know of a table.  Do not keep the result while running SQL.
 */
static inline TableInfo *
get_table(Relation rel)
{
	Oid			relid = RelationGetRelid(rel);
	TableInfo  *table = last_table;
	bool		found;

	if (likely(table != NULL && table->relid == relid && table->valid))
		return table;

	if (tables == NULL)
	{
		tables = appdb_create_cache("appdb tables with timestamps", sizeof(Oid), sizeof(TableInfo));
		appdb_register_relcache_callback(invalidate_table);
	}

	appdb_trim_cache(tables, &room, RELOID, forget_table);
	table = (TableInfo *) hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
	{
		table->valid = false;
		table->columns = NULL;
	}
	if (!table->valid)
		load_table(table, rel);

	last_table = table;
	return table;
}

/*
 * Are two values of the same length the same?  Most are 4, 8 or 16 bytes.
 */
static inline bool
same_bytes(const char *a, const char *b, Size len)
{
	uint64		a8,
				b8;
	uint32		a4,
				b4;

	switch (len)
	{
		case 16:
			memcpy(&a8, a + 8, 8);
			memcpy(&b8, b + 8, 8);
			if (a8 != b8)
				return false;
			/* FALLTHROUGH */
		case 8:
			memcpy(&a8, a, 8);
			memcpy(&b8, b, 8);
			return a8 == b8;
		case 4:
			memcpy(&a4, a, 4);
			memcpy(&b4, b, 4);
			return a4 == b4;
		default:
			return memcmp(a, b, len) == 0;
	}
}

/*
 * The length of a value as it is stored.
 */
static inline Size
stored_length(const ColumnInfo *column, const char *value)
{
	if (column->attlen > 0)
		return column->attlen;
	if (column->attlen == -1)
		return VARSIZE_ANY(value);
	return strlen(value) + 1;
}

/*
 * Where the value of a column begins, at or after a place.
 */
static inline char *
stored_value(const ColumnInfo *column, char *place)
{
	/* a variable-length value with a short header is not aligned */
	if (column->attlen == -1 && VARATT_NOT_PAD_BYTE(place))
		return place;

	return (char *) (((uintptr_t) place + column->align_mask) &
					 ~(uintptr_t) column->align_mask);
}

/*
 * How many bytes are the same before the first that differ, in words.
 */
static inline Size
same_prefix(const char *a, const char *b, Size len)
{
	Size		same = 0;

	while (same + 8 <= len && same_bytes(a + same, b + same, 8))
		same += 8;

	/* the rest */
	if (same + 8 > len && memcmp(a + same, b + same, len - same) == 0)
		same = len;

	return same;
}

/*
 * Compare two versions of a row that both have every column, as they are
 * stored.
 */
static inline void
compare_stored(const TableInfo *table, HeapTuple old, HeapTuple new,
			   RowChange *change)
{
	HeapTupleHeader old_header = old->t_data;
	HeapTupleHeader new_header = new->t_data;
	bits8	   *old_nulls = HeapTupleHasNulls(old) ? old_header->t_bits : NULL;
	bits8	   *new_nulls = HeapTupleHasNulls(new) ? new_header->t_bits : NULL;
	char	   *old_place = (char *) old_header + old_header->t_hoff;
	char	   *new_place = (char *) new_header + new_header->t_hoff;
	int			i = 0;

	/*
	 * Most updates leave most columns alone, and every column in its place.
	 * As long as that is so, walk along one of the rows only; and what lies
	 * before the first byte that differs needs no comparison.
	 */
	if (new_header->t_hoff == old_header->t_hoff &&
		(new_nulls == NULL) == (old_nulls == NULL) &&
		(new_nulls == NULL ||
		 memcmp(new_nulls, old_nulls, BITMAPLEN(table->natts)) == 0))
	{
		Size		old_size = old->t_len - old_header->t_hoff;
		Size		new_size = new->t_len - new_header->t_hoff;
		Size		same = same_prefix(old_place, new_place, Min(old_size, new_size));
		char	   *end = old_place + same;
		char	   *old_begin = old_place;
		char	   *new_begin = new_place;

		if (same == old_size && same == new_size)
			return;

		for (; i < table->natts; i++)
		{
			const ColumnInfo *column = &table->columns[i];
			char	   *value;
			char	   *next;

			/* a NULL takes no place; as old_updated_at it is presumed */
			if (old_nulls != NULL && att_isnull(i, old_nulls))
				continue;

			value = stored_value(column, old_place);
			next = value + stored_length(column, value);

			if (next > end)
			{
				if (column->attlen > 0)
				{
					if ((column->kind & ~(change->columns & COLUMN_OTHER)) != 0 &&
						!same_bytes(value, new_begin + (value - old_begin),
									column->attlen))
						change->columns |= column->kind;
				}
				else if ((Size) (next - old_begin) > new_size ||
						 memcmp(old_place, new_begin + (old_place - old_begin),
								next - old_place) != 0)
					break;		/* may have another length */
			}
			old_place = next;

			if (column->kind == COLUMN_UPDATED_AT)
			{
				change->updated_at = new_begin + (value - old_begin);
				change->old_updated_at_null = false;
				memcpy(&change->old_updated_at, value, sizeof(TimestampTz));
			}
			else if (column->kind == COLUMN_DELETED_AT)
				change->deleted_at = new_begin + (value - old_begin);

			/* nothing more to learn */
			if (i >= table->last && (change->columns & COLUMN_OTHER) != 0)
				return;
		}

		new_place = new_begin + (old_place - old_begin);
	}

	for (; i < table->natts; i++)
	{
		const ColumnInfo *column = &table->columns[i];
		bool		old_null = old_nulls != NULL && att_isnull(i, old_nulls);
		bool		new_null = new_nulls != NULL && att_isnull(i, new_nulls);
		char	   *old_value = NULL;
		char	   *new_value = NULL;
		Size		old_length = 0;
		Size		new_length = 0;

		if (!old_null)
		{
			old_value = stored_value(column, old_place);
			old_length = stored_length(column, old_value);
			old_place = old_value + old_length;
		}
		if (!new_null)
		{
			new_value = stored_value(column, new_place);
			new_length = stored_length(column, new_value);
			new_place = new_value + new_length;
		}

		if (column->kind == COLUMN_UPDATED_AT)
		{
			change->updated_at = new_value;
			change->old_updated_at_null = old_null;
			if (!old_null)
				memcpy(&change->old_updated_at, old_value, sizeof(TimestampTz));
		}

		else if (column->kind == COLUMN_DELETED_AT)
			change->deleted_at = new_value;

		/* one change of another column is enough */
		if ((column->kind & ~(change->columns & COLUMN_OTHER)) != 0)
		{
			if (old_null || new_null)
			{
				if (old_null != new_null)
					change->columns |= column->kind;
			}
			else if (old_length == new_length &&
					 likely(same_bytes(old_value, new_value, old_length)))
			{
				 /* the same */ ;
			}
			else if (column->attlen > 0 ||
					 !datum_image_eq(PointerGetDatum(old_value),
									 PointerGetDatum(new_value),
									 false, column->attlen))
			{
				/* values can be the same though compressed or stored elsewhere */
				change->columns |= column->kind;
			}
		}

		/* nothing more to learn */
		if (i >= table->last && (change->columns & COLUMN_OTHER) != 0)
			break;
	}
}

/*
 * Compare two versions of a row of which one was stored before the last
 * columns were added, or comes from somebody who has a row of such a form.
 */
static void
compare_values(const TableInfo *table, TupleDesc tupdesc,
			   HeapTuple old, HeapTuple new, RowChange *change)
{
	for (int i = 0; i < table->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(tupdesc, i);
		int			kind = table->columns[i].kind;
		Datum		old_value;
		Datum		new_value;
		bool		old_null;
		bool		new_null;

		if (kind == COLUMN_NONE)
			continue;

		old_value = heap_getattr(old, i + 1, tupdesc, &old_null);
		new_value = heap_getattr(new, i + 1, tupdesc, &new_null);

		if (kind == COLUMN_UPDATED_AT)
		{
			change->updated_at = NULL;
			change->old_updated_at_null = old_null;
			if (!old_null)
				change->old_updated_at = DatumGetTimestampTz(old_value);
		}

		if (old_null || new_null ? old_null != new_null :
			!datum_image_eq(old_value, new_value, att->attbyval, att->attlen))
			change->columns |= kind;
	}
}

/*
 * What updated_at moves to.
 */
static inline TimestampTz
next_updated_at(const TableInfo *table, HeapTuple old, const RowChange *change)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	int64		unit = table->unit;

	/* round as the column does when it is assigned to */
	if (unit == 1000)
		now = (now + (now < 0 ? -500 : 500)) / 1000 * 1000;
	else if (unit != 1)
		now = (now + (now < 0 ? -unit : unit) / 2) / unit * unit;

	if (likely(change->old_updated_at_null || now > change->old_updated_at))
		return now;

	/* ours already, if this transaction has made the old version too */
	if (TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(old->t_data)))
		return change->old_updated_at;

	/* nothing comes after these */
	if (change->old_updated_at > END_TIMESTAMP - 1 - unit)
		return now;

	return change->old_updated_at + unit;
}

/*
 * Write a timestamp into the new version of the row; "place" is where that has
 * it, if known.
 *
 * As a rule that version belongs to the slot that the executor goes on with,
 * in memory of its own.  Then we write there, and the executor, handed back
 * what it gave us, has nothing to copy and nothing to take apart anew.
 */
static inline HeapTuple
set_time(TriggerData *trigdata, HeapTuple new, int attnum, char *place,
		 TimestampTz value, bool isnull)
{
	TupleTableSlot *slot = trigdata->tg_newslot;
	Datum		datum = TimestampTzGetDatum(value);

	if (likely(place != NULL && !isnull))
	{
		Size		offset = place - (char *) new->t_data;

		if (likely(new == trigdata->tg_newtuple))
		{
			if (likely(slot != NULL &&
					   (TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot)) &&
					   TTS_SHOULDFREE(slot) &&
					   ((HeapTupleTableSlot *) slot)->tuple == new))
			{
				if (slot->tts_nvalid >= attnum)
					slot->tts_values[attnum - 1] = datum;
			}
			else
				new = heap_copytuple(new);
		}

		memcpy((char *) new->t_data + offset, &value, sizeof(value));
		return new;
	}

	return heap_modify_tuple_by_cols(new, RelationGetDescr(trigdata->tg_relation),
									 1, &attnum, &datum, &isnull);
}

/*
 * deleted_at changes.  A live row gets the stamp of the operation that deletes
 * it, whatever the UPDATE says; a deleted one keeps what it has, or comes
 * back, unless it is the engine that takes it out of its operation.  Returns
 * the new version of the row, and in *undeleted whether it comes back; NULL if
 * the row is not to be touched.
 */
static HeapTuple
set_deleted_at(const TableInfo *table, TriggerData *trigdata, RowChange *change,
			   bool *undeleted)
{
	Relation	rel = trigdata->tg_relation;
	TupleDesc	tupdesc = RelationGetDescr(rel);
	AttrNumber	deleted_at = table->deleted_at;
	AttrNumber	id = table->id;
	HeapTuple	old = trigdata->tg_trigtuple;
	HeapTuple	new = trigdata->tg_newtuple;
	bool		isnull;
	Datum		was = heap_getattr(old, deleted_at, tupdesc, &isnull);
	Datum		key;
	TimestampTz stamp;

	if (!isnull && heap_attisnull(new, deleted_at, tupdesc))
	{
		AppdbPolicies *policies = NULL;

		/* who may not delete a row does not bring it back: restore.c */
		if (!appdb_may_delete(rel, old, &policies, CurrentMemoryContext))
			return NULL;
		*undeleted = true;
		return new;
	}
	if (!isnull)
	{
		/* what is not to come back with the others: sql/04_membership.sql, restore.c */
		if ((appdb_as_owner_depth > 0 || appdb_is_passing()) && GetUserId() == rel->rd_rel->relowner)
			return new;
		change->columns &= ~COLUMN_DELETED_AT;
		return set_time(trigdata, new, deleted_at, change->deleted_at,
						DatumGetTimestampTz(was), false);
	}

	key = heap_getattr(old, id, tupdesc, &isnull);
	if (isnull || TupleDescAttr(tupdesc, id - 1)->atttypid != UUIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a row of table \"%s\" has no id of type uuid", appdb_table_name(RelationGetRelid(rel))),
				 errtablecol(rel, id)));
	/* this may run SQL: "table" can change under us afterwards */
	stamp = appdb_deletion_row(rel, old, DatumGetUUIDP(key),
							   bms_is_member(deleted_at - FirstLowInvalidHeapAttributeNumber,
											 trigdata->tg_updatedcols));
	if (stamp == 0)
		return NULL;
	return set_time(trigdata, new, deleted_at, change->deleted_at, stamp, false);
}

/*
 * Tell that a row has come back, unless the guard has thought otherwise.
 */
static void
note_undeletion(const TableInfo *table, Relation rel, HeapTuple old, HeapTuple new)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	bool		isnull;
	Datum		was = heap_getattr(old, table->deleted_at, tupdesc, &isnull);
	Datum		id;

	if (!heap_attisnull(new, table->deleted_at, tupdesc))
		return;
	id = heap_getattr(old, table->id, tupdesc, &isnull);
	if (!isnull && TupleDescAttr(tupdesc, table->id - 1)->atttypid == UUIDOID)
		appdb_undeletion_row(rel, DatumGetTimestampTz(was), DatumGetUUIDP(id));
}

/*
 * Complain about an UPDATE of id or created_at.
 */
static void
refuse_change(Relation rel, AttrNumber attnum)
{
	const char *name = NameStr(TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attname);

	ereport(ERROR,
			(errcode(ERRCODE_GENERATED_ALWAYS),
			 errmsg("cannot change column \"%s\" of table \"%s\"",
					name, appdb_table_name(RelationGetRelid(rel))),
			 errdetail("The column keeps the value that the row was inserted with."),
			 errhint("Leave the column out of the UPDATE."),
			 errtablecol(rel, attnum)));
}

/*
 * Complain about a trigger that cannot work.
 */
static void
refuse_call(FunctionCallInfo fcinfo)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"appdb.timestamps\" was not called by a trigger"),
				 errhint("Use SELECT appdb.manage('table') to create the trigger.")));

	ereport(ERROR,
			(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
			 errmsg("trigger \"%s\" of table \"%s\" cannot call appdb.timestamps()",
					trigdata->tg_trigger->tgname,
					appdb_table_name(RelationGetRelid(trigdata->tg_relation))),
			 errdetail("The function is for triggers BEFORE UPDATE FOR EACH ROW."),
			 errhint("Drop the trigger, and use SELECT appdb.manage('table') to create the right one."),
			 errtable(trigdata->tg_relation)));
}

/*
 * appdb.timestamps() returns trigger
 */
Datum
appdb_timestamps(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	TableInfo  *table;
	HeapTuple	old;
	HeapTuple	new;
	RowChange	change;
	bool		undeleted = false;

	if (unlikely(!CALLED_AS_TRIGGER(fcinfo) ||
				 !TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
				 !TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
				 !TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event)))
		refuse_call(fcinfo);

	table = get_table(trigdata->tg_relation);
	old = trigdata->tg_trigtuple;
	new = trigdata->tg_newtuple;

	change.columns = 0;
	change.updated_at = NULL;
	change.deleted_at = NULL;
	change.old_updated_at = 0;
	change.old_updated_at_null = true;

	if (likely(HeapTupleHeaderGetNatts(old->t_data) == table->natts &&
			   HeapTupleHeaderGetNatts(new->t_data) == table->natts))
		compare_stored(table, old, new, &change);
	else
		compare_values(table, RelationGetDescr(trigdata->tg_relation),
					   old, new, &change);

	if (unlikely((change.columns & (COLUMN_ID | COLUMN_CREATED_AT)) != 0))
		refuse_change(trigdata->tg_relation,
					  (change.columns & COLUMN_ID) != 0 ? table->id : table->created_at);

	if (unlikely((change.columns & COLUMN_DELETED_AT) != 0))
	{
		new = set_deleted_at(table, trigdata, &change, &undeleted);
		/* row security does not show the row to a DELETE */
		if (new == NULL)
			PG_RETURN_POINTER(NULL);
	}

	/* where updated_at is was found in the tuple that we were given */
	if (unlikely(new != trigdata->tg_newtuple && change.updated_at != NULL))
	{
		if (new->t_len == trigdata->tg_newtuple->t_len)
			change.updated_at = (char *) new->t_data +
				(change.updated_at - (char *) trigdata->tg_newtuple->t_data);
		else
			change.updated_at = NULL;
	}

	/* what a migration fills in is no change of the application's */
	if ((change.columns & COLUMNS_OF_USERS) != 0 && likely(!appdb_migrating))
		new = set_time(trigdata, new, table->updated_at, change.updated_at,
					   next_updated_at(table, old, &change), false);
	else if ((change.columns & COLUMN_UPDATED_AT) != 0)
		new = set_time(trigdata, new, table->updated_at, change.updated_at,
					   change.old_updated_at, change.old_updated_at_null);

	if ((change.columns & COLUMN_LINK) != 0 || undeleted)
		new = appdb_guard_update(trigdata->tg_relation, old, new, undeleted);
	if (undeleted && new != NULL)
		note_undeletion(table, trigdata->tg_relation, old, new);

	PG_RETURN_POINTER(new);
}
