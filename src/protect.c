/*
 * protect.c
 *		Deletion protection: what holds application data is not dropped or
 *		truncated unless appdb.allow_drop is on.
 *
 * An event trigger on ddl_command_start reads the parse tree; a statement
 * trigger refuses TRUNCATE, which fires no event trigger.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "commands/event_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/value.h"
#include "parser/parse_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(appdb_protect);
PG_FUNCTION_INFO_V1(appdb_refuse_truncate);

static void
refuse(const char *what, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
			 errmsg("refusing to %s", what),
			 errdetail("%s", detail),
			 errhint("If this is really meant: SET appdb.allow_drop = on;")));
}

/* Is this a table that holds application data, or a partition of one? */
static bool
is_protected_table(Oid relid)
{
	char		relkind = get_rel_relkind(relid);

	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	return get_rel_namespace(relid) == get_namespace_oid(APPDB_DATA_SCHEMA, true) ||
		appdb_is_managed(appdb_whole_table(relid));
}

/*
 * After ALTER TABLE: has it dropped the primary key?  pg_restore --clean does
 * so first; where it is then not let drop the table, it would load rows that
 * are there already a second time.  Or what tells deleted rows from live ones?
 * The live view has gone with that.
 */
void
appdb_check_key_kept(Node *parsetree)
{
	/* the engine's own tables that have one */
	static const char *const own[] = {"access", "deletions", "legal_holds", "managed", "pending", "unlinked"};
	AlterTableStmt *stmt = (AlterTableStmt *) parsetree;
	ListCell   *lc;
	bool		drops = false;
	bool		revives = false;
	Oid			relid;
	Oid			constraint;
	bool		kept;

	if (appdb_allow_drop || !IsA(parsetree, AlterTableStmt))
		return;
	foreach(lc, stmt->cmds)
	{
		AlterTableCmd *cmd = lfirst_node(AlterTableCmd, lc);

		drops |= cmd->subtype == AT_DropConstraint;
		revives |= cmd->subtype == AT_DropColumn && strcmp(cmd->name, "deleted_at") == 0;
	}
	if (!drops && !revives)
		return;
	relid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(relid) || !is_protected_table(relid))
		return;
	if (revives && appdb_is_managed(relid) && !OidIsValid(appdb_live_view(relid)))
		refuse(psprintf("drop column \"deleted_at\" of table \"%s\"", appdb_table_name(relid)),
			   "Its deleted rows would be live again.");
	(void) get_primary_key_attnos(relid, true, &constraint);
	kept = OidIsValid(constraint) || !appdb_is_managed(relid);
	for (int i = 0; i < (int) lengthof(own) && kept && !OidIsValid(constraint); i++)
		kept = get_rel_namespace(relid) != get_namespace_oid(APPDB_DATA_SCHEMA, true) || strcmp(get_rel_name(relid), own[i]) != 0;
	if (!kept)
		refuse(psprintf("drop the primary key of table \"%s\"", appdb_table_name(relid)),
			   "The engine finds its rows by it.");
}

static Oid
type_namespace(Oid type)
{
	HeapTuple	tup = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			nsp = InvalidOid;

	if (HeapTupleIsValid(tup))
	{
		nsp = ((Form_pg_type) GETSTRUCT(tup))->typnamespace;
		ReleaseSysCache(tup);
	}
	return nsp;
}

static void
check_drop(DropStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->objects)
	{
		Node	   *object = (Node *) lfirst(lc);

		switch (stmt->removeType)
		{
			case OBJECT_EXTENSION:
				if (strcmp(strVal(object), "appdb") == 0)
					refuse("drop extension \"appdb\"",
						   "Its live views and everything that applications call would be gone; "
						   "the rows in schema \"app_data\" would stay.");
				break;
			case OBJECT_SCHEMA:
				if (strcmp(strVal(object), APPDB_DATA_SCHEMA) == 0)
					refuse("drop schema \"app_data\"",
						   "All rows of the application would be lost.");
				if (strcmp(strVal(object), APPDB_SCHEMA) == 0)
					refuse("drop schema \"appdb\"",
						   "Its live views and everything that applications call would be gone.");
				if (stmt->behavior == DROP_CASCADE)
				{
					Oid			nsp = get_namespace_oid(strVal(object), true);

					if (OidIsValid(nsp) && appdb_schema_has_managed(nsp))
						refuse(psprintf("drop schema \"%s\"", strVal(object)),
							   "It holds tables that appdb manages: their rows would be lost.");
				}
				break;
			case OBJECT_TABLE:
				{
					RangeVar   *rv = makeRangeVarFromNameList((List *) object);
					Oid			relid = RangeVarGetRelid(rv, NoLock, true);

					if (OidIsValid(relid) && is_protected_table(relid))
						refuse(psprintf("drop table \"%s\"", appdb_table_name(relid)),
							   "All of its rows would be lost, deleted ones that can still be restored too.");
				}
				break;
			case OBJECT_TYPE:
			case OBJECT_DOMAIN:
				{
					Oid			type = LookupTypeNameOid(NULL, castNode(TypeName, object), true);

					if (stmt->behavior == DROP_CASCADE && OidIsValid(type) &&
						type_namespace(type) == get_namespace_oid(APPDB_DATA_SCHEMA, true))
						refuse(psprintf("drop type \"%s\" with CASCADE", format_type_be_qualified(type)),
							   "The columns of this type would be lost.");
				}
				break;
			default:
				return;
		}
	}
}

/* DROP OWNED BY one who owns the data schema, the extension's schema or a managed table. */
static void
check_drop_owned(DropOwnedStmt *stmt)
{
	static const char *const schemas[] = {APPDB_DATA_SCHEMA, APPDB_SCHEMA};
	ListCell   *lc;

	foreach(lc, stmt->roles)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, lc), true);

		if (!OidIsValid(role))
			continue;
		for (int i = 0; i < (int) lengthof(schemas); i++)
		{
			HeapTuple	tup = SearchSysCache1(NAMESPACENAME, CStringGetDatum(schemas[i]));
			bool		owns = false;

			if (HeapTupleIsValid(tup))
			{
				owns = ((Form_pg_namespace) GETSTRUCT(tup))->nspowner == role;
				ReleaseSysCache(tup);
			}
			if (owns)
				refuse(psprintf("drop what role \"%s\" owns", GetUserNameFromId(role, false)),
					   psprintf("It owns schema \"%s\": the rows of the application would be lost.", schemas[i]));
		}
		if (appdb_owns_managed(role))
			refuse(psprintf("drop what role \"%s\" owns", GetUserNameFromId(role, false)),
				   "It owns tables that appdb manages: their rows would be lost.");
	}
}

/*
 * appdb.protect() returns event_trigger
 */
Datum
appdb_protect(PG_FUNCTION_ARGS)
{
	EventTriggerData *trigdata;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.protect() can only be called by an event trigger")));
	trigdata = (EventTriggerData *) fcinfo->context;

	if (!appdb_allow_drop)
	{
		if (IsA(trigdata->parsetree, DropStmt))
			check_drop((DropStmt *) trigdata->parsetree);
		else if (IsA(trigdata->parsetree, DropOwnedStmt))
			check_drop_owned((DropOwnedStmt *) trigdata->parsetree);
	}
	PG_RETURN_NULL();
}

/*
 * appdb.refuse_truncate() returns trigger
 *		BEFORE TRUNCATE of every managed table.
 */
Datum
appdb_refuse_truncate(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BY_TRUNCATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.refuse_truncate() can only be called by a trigger on TRUNCATE")));

	if (!appdb_allow_drop)
		refuse(psprintf("truncate table \"%s\"", appdb_table_name(RelationGetRelid(trigdata->tg_relation))),
			   "All of its rows would be lost, deleted ones that can still be restored too.");
	PG_RETURN_POINTER(NULL);
}
