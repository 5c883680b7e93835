/*
 * registry.c
 *		app_data.managed: which tables appdb manages.
 *
 * The table is the application's, so it is read without SQL: everybody may
 * know what is managed, and nothing that the owner of schema app_data may have
 * put in its place is run.  While it does not exist (in the middle of a
 * restore) nothing is managed.
 */
#include "appdb.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* columns of app_data.managed, in the order of appdb._managed_tables() */
static const struct
{
	const char *name;
	Oid			type;
}			columns[] = {
	{"entity", REGCLASSOID},
	{"view", NAMEOID},
	{"label", NAMEOID},
	{"relations", JSONBOID},
};

PG_FUNCTION_INFO_V1(appdb__managed_tables);
PG_FUNCTION_INFO_V1(appdb_forget_dropped);

static Relation
open_registry(LOCKMODE lockmode, AttrNumber attnums[lengthof(columns)])
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid("managed", nsp) : InvalidOid;

	if (!OidIsValid(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		return NULL;

	for (int i = 0; i < (int) lengthof(columns); i++)
	{
		attnums[i] = get_attnum(relid, columns[i].name);
		if (attnums[i] == InvalidAttrNumber || get_atttype(relid, attnums[i]) != columns[i].type)
			return NULL;
	}
	return table_open(relid, lockmode);
}

/* Call a function for each managed table until it returns true. */
static bool
any_managed(bool (*test) (Oid entity, Oid arg), Oid arg)
{
	AttrNumber	attnums[lengthof(columns)];
	Relation	rel = open_registry(AccessShareLock, attnums);
	SysScanDesc scan;
	HeapTuple	tup;
	bool		found = false;

	if (rel == NULL)
		return false;
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (!found && HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		entity = heap_getattr(tup, attnums[0], RelationGetDescr(rel), &isnull);

		found = !isnull && test(DatumGetObjectId(entity), arg);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

/* The name of a table, qualified and quoted, to stand in SQL. */
char *
appdb_qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  get_rel_name(relid));
}

/* The same for messages, which have it in quotation marks. */
char *
appdb_table_name(Oid relid)
{
	return psprintf("%s.%s", get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* The column of a table that has this name and type, or InvalidAttrNumber. */
AttrNumber
appdb_attribute(Relation rel, const char *name, Oid type)
{
	TupleDesc	desc = RelationGetDescr(rel);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!att->attisdropped && att->atttypid == type &&
			strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

/* The owner of a table: InvalidOid if there is no such table any more. */
Oid
appdb_table_owner(Oid relid)
{
	HeapTuple	tup = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tup))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tup))->relowner;
	ReleaseSysCache(tup);
	return owner;
}

/* Is this a function of the engine's?  Others may have theirs in its schema, too. */
bool
appdb_is_engine_function(Oid funcid)
{
	return get_func_namespace(funcid) == get_namespace_oid(APPDB_SCHEMA, true) &&
		OidIsValid(getExtensionOfObject(ProcedureRelationId, funcid));
}

/*
 * A function of ours, or InvalidOid: the engine in the database may be older
 * than the library.  In its place the owner of the tables can have made one,
 * and a member of the extension of it, which is not for superusers to call.
 */
Oid
appdb_find_engine_function(const char *name, int nargs, const Oid *argtypes)
{
	HeapTuple	tup = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum(name),
									  PointerGetDatum(buildoidvector(argtypes, nargs)),
									  ObjectIdGetDatum(get_namespace_oid(APPDB_SCHEMA, false)));
	Oid			oid = InvalidOid;

	if (!HeapTupleIsValid(tup))
		return InvalidOid;
	if (!superuser() || superuser_arg(((Form_pg_proc) GETSTRUCT(tup))->proowner))
		oid = ((Form_pg_proc) GETSTRUCT(tup))->oid;
	ReleaseSysCache(tup);
	return oid;
}

/* An operator, to stand in SQL. */
void
appdb_append_operator(StringInfo out, Oid opno)
{
	HeapTuple	tup = SearchSysCache1(OPEROID, ObjectIdGetDatum(opno));
	Form_pg_operator op;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for operator %u", opno);
	op = (Form_pg_operator) GETSTRUCT(tup);
	appendStringInfo(out, " OPERATOR(%s.%s) ", quote_identifier(get_namespace_name(op->oprnamespace)),
					 NameStr(op->oprname));
	ReleaseSysCache(tup);
}

/* What has an expression before it compared by a collation. */
void
appdb_append_collation(StringInfo out, Oid collation)
{
	HeapTuple	tup = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation coll;

	if (!HeapTupleIsValid(tup))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	coll = (Form_pg_collation) GETSTRUCT(tup);
	appendStringInfo(out, " COLLATE %s",
					 quote_qualified_identifier(get_namespace_name(coll->collnamespace), NameStr(coll->collname)));
	ReleaseSysCache(tup);
}

static bool
is_table(Oid entity, Oid relid)
{
	return entity == relid;
}

bool
appdb_is_managed(Oid relid)
{
	return any_managed(is_table, relid);
}

/* The live view of a managed table, or InvalidOid. */
Oid
appdb_live_view(Oid relid)
{
	AttrNumber	attnums[lengthof(columns)];
	Relation	rel = open_registry(AccessShareLock, attnums);
	SysScanDesc scan;
	HeapTuple	tup;
	Oid			view = InvalidOid;

	if (rel == NULL)
		return InvalidOid;
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		entity = heap_getattr(tup, attnums[0], RelationGetDescr(rel), &isnull);
		Datum		name;

		if (isnull || DatumGetObjectId(entity) != relid)
			continue;
		name = heap_getattr(tup, attnums[1], RelationGetDescr(rel), &isnull);
		if (!isnull)
			view = get_relname_relid(NameStr(*DatumGetName(name)),
									 get_namespace_oid(APPDB_SCHEMA, false));
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return view;
}

static bool
is_owned_by(Oid entity, Oid roleid)
{
	return appdb_table_owner(entity) == roleid;
}

bool
appdb_owns_managed(Oid roleid)
{
	return any_managed(is_owned_by, roleid);
}

/* Is a managed table in the schema, or a partition of one? */
static bool
is_in_schema(Oid entity, Oid nsp)
{
	bool		found = get_rel_namespace(entity) == nsp;

	if (!found && get_rel_relkind(entity) == RELKIND_PARTITIONED_TABLE)
	{
		List	   *tables = find_all_inheritors(entity, NoLock, NULL);
		ListCell   *lc;

		foreach(lc, tables)
			found |= get_rel_namespace(lfirst_oid(lc)) == nsp && get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE;
		list_free(tables);
	}
	return found;
}

bool
appdb_schema_has_managed(Oid nsp)
{
	return any_managed(is_in_schema, nsp);
}

/*
 * appdb._managed_tables() returns setof (entity, view, label, relations)
 *		The rows of app_data.managed whose tables exist.
 */
Datum
appdb__managed_tables(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	AttrNumber	attnums[lengthof(columns)];
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tup;

	InitMaterializedSRF(fcinfo, 0);

	rel = open_registry(AccessShareLock, attnums);
	if (rel == NULL)
		return (Datum) 0;

	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		Datum		values[lengthof(columns)];
		bool		nulls[lengthof(columns)];

		for (int i = 0; i < (int) lengthof(columns); i++)
			values[i] = heap_getattr(tup, attnums[i], RelationGetDescr(rel), &nulls[i]);
		if (!nulls[0] && SearchSysCacheExists1(RELOID, values[0]))
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	return (Datum) 0;
}

static bool
is_gone(Oid entity, Oid unused)
{
	return !SearchSysCacheExists1(RELOID, ObjectIdGetDatum(entity));
}

/*
 * appdb.forget_dropped() returns event_trigger
 *		After DROP TABLE: forget what does not exist any more, so that a later
 *		table cannot inherit the entry with the OID.
 */
Datum
appdb_forget_dropped(PG_FUNCTION_ARGS)
{
	AttrNumber	attnums[lengthof(columns)];
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tup;
	TM_FailureData tmfd;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.forget_dropped() can only be called by an event trigger")));

	/* most tables that are dropped were never managed: then nobody is to wait */
	if (!any_managed(is_gone, InvalidOid))
		PG_RETURN_NULL();
	rel = open_registry(RowExclusiveLock, attnums);
	if (rel == NULL)
		PG_RETURN_NULL();
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tup = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		entity = heap_getattr(tup, attnums[0], RelationGetDescr(rel), &isnull);

		/* who drops another table at the same time may forget it, too */
		if (!isnull && !SearchSysCacheExists1(RELOID, entity))
			(void) table_tuple_delete(rel, &tup->t_self, GetCurrentCommandId(true), SnapshotAny, InvalidSnapshot, true,
									  &tmfd, false);
	}
	systable_endscan(scan);
	table_close(rel, NoLock);
	PG_RETURN_NULL();
}
