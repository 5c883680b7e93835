/*
 * caller.c
 *		Reading a base table as the caller may read it.
 *
 * The engine does its work as the owner of the tables.  Where the caller's
 * privileges and row security decide instead, the query is made here from the
 * table's oid: names would ask for privileges on the schema, which those who
 * work through live views do not need.
 */
#include "appdb.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tstoreReceiver.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "tcop/tcopprot.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

PG_FUNCTION_INFO_V1(appdb_row_allows);
PG_FUNCTION_INFO_V1(appdb__held);

static Expr *
column(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	return (Expr *) makeVar(1, attnum, att->atttypid, att->atttypmod, att->attcollation, 0);
}

/* id = ANY (ids) */
static Node *
one_of(Relation rel, AttrNumber id, Datum *ids, int nids)
{
	ScalarArrayOpExpr *expr = makeNode(ScalarArrayOpExpr);
	ArrayType  *array = construct_array(ids, nids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR);

	expr->opno = lookup_type_cache(UUIDOID, TYPECACHE_EQ_OPR)->eq_opr;
	expr->opfuncid = get_opcode(expr->opno);
	expr->useOr = true;
	expr->args = list_make2(column(rel, id),
							makeConst(UUIDARRAYOID, -1, InvalidOid, -1, PointerGetDatum(array), false, false));
	expr->location = -1;
	return (Node *) expr;
}

/* What rows of these columns look like. */
TupleDesc
appdb_columns_desc(Relation rel, const AttrNumber *columns, int ncolumns)
{
	TupleDesc	desc = CreateTemplateTupleDesc(ncolumns);

	for (int i = 0; i < ncolumns; i++)
		TupleDescCopyEntry(desc, i + 1, RelationGetDescr(rel), columns[i]);
	return desc;
}

/*
 * Have a query on one table find only what the policies for DELETE show.  To
 * rewrite it as a DELETE would carry out rules that are ON DELETE, too.
 */
static void
add_delete_policies(Query *query, RangeTblEntry *rte, int rtindex)
{
	AclMode		perms = compat_rte_required_perms(query, rte);
	FromExpr   *jointree = query->jointree;
	List	   *quals;
	List	   *checks;
	bool		has_row_security;
	bool		has_sublinks;

	query->commandType = CMD_DELETE;
	query->resultRelation = rtindex;
	compat_rte_required_perms(query, rte) = ACL_DELETE;
	get_row_security_policies(query, rte, rtindex, &quals, &checks, &has_row_security, &has_sublinks);
	query->commandType = CMD_SELECT;
	query->resultRelation = 0;
	compat_rte_required_perms(query, rte) = perms;

	if (quals == NIL)
		return;
	jointree->quals = (Node *) make_ands_explicit(lappend(quals, jointree->quals));
	query->hasSubLinks |= has_sublinks;
	if (has_sublinks)
		AcquireRewriteLocks(query, true, false);
}

/*
 * Columns of the rows with the given ids, as far as the caller may see them,
 * and, if "also" is ACL_UPDATE or ACL_DELETE, update or delete them: what
 * policies say for that counts then, while the privilege does not.  The rows
 * come in any order.
 */
void
appdb_read_as_caller(Relation rel, AttrNumber id, Datum *ids, int nids,
					 const AttrNumber *columns, int ncolumns, AclMode also,
					 Tuplestorestate *result)
{
	ParseState *pstate = make_parsestate(NULL);
	Query	   *query = makeNode(Query);
	ParseNamespaceItem *nsitem;
	RangeTblRef *ref = makeNode(RangeTblRef);
	Bitmapset  *selected;
	PlannedStmt *plan;
	DestReceiver *dest;
	QueryDesc  *desc;

	nsitem = addRangeTableEntryForRelation(pstate, rel, AccessShareLock, NULL,
										   rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE, true);
	query->commandType = CMD_SELECT;
	query->querySource = QSRC_ORIGINAL;
	query->canSetTag = true;
	query->rtable = pstate->p_rtable;
	compat_set_rteperminfos(query, pstate);
	ref->rtindex = nsitem->p_rtindex;
	query->jointree = makeFromExpr(list_make1(ref), one_of(rel, id, ids, nids));
	selected = bms_make_singleton(id - FirstLowInvalidHeapAttributeNumber);
	for (int i = 0; i < ncolumns; i++)
	{
		selected = bms_add_member(selected, columns[i] - FirstLowInvalidHeapAttributeNumber);
		query->targetList = lappend(query->targetList,
									makeTargetEntry(column(rel, columns[i]), i + 1,
													pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), columns[i] - 1)->attname)),
													false));
	}
	compat_rte_selected_cols(query, nsitem->p_rte) = selected;
	if (also == ACL_DELETE)
		add_delete_policies(query, nsitem->p_rte, ref->rtindex);
	else
	{
		/* a SELECT with this is one FOR UPDATE */
		compat_rte_required_perms(query, nsitem->p_rte) |= also;
	}
	query = linitial_node(Query, QueryRewrite(query));
	if (also != ACL_DELETE)
		compat_rte_required_perms(query, (RangeTblEntry *) linitial(query->rtable)) &= ~also;
	plan = pg_plan_query(query, "", CURSOR_OPT_PARALLEL_OK, NULL);

	dest = CreateDestReceiver(DestTuplestore);
	SetTuplestoreDestReceiverParams(dest, result, CurrentMemoryContext, false, NULL, NULL);
	PushCopiedSnapshot(GetActiveSnapshot());
	UpdateActiveSnapshotCommandId();
	desc = CreateQueryDesc(plan, "", GetActiveSnapshot(), InvalidSnapshot, dest, NULL, NULL, 0);
	ExecutorStart(desc, 0);
	compat_ExecutorRun(desc, ForwardScanDirection, 0);
	ExecutorFinish(desc);
	ExecutorEnd(desc);
	FreeQueryDesc(desc);
	PopActiveSnapshot();
	dest->rDestroy(dest);
	free_parsestate(pstate);
}

/*
 * Do the policies for SELECT, and for "also", show a row of a managed table to
 * the caller?
 */
bool
appdb_shown_to_caller(Oid relid, Datum id, AclMode also)
{
	Relation	rel;
	AttrNumber	column = get_attnum(relid, "id");
	Tuplestorestate *rows;
	bool		result;

	if (column == InvalidAttrNumber || get_atttype(relid, column) != UUIDOID || !appdb_is_managed(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("relation with OID %u is not managed", relid)));
	rel = table_open(relid, AccessShareLock);
	rows = tuplestore_begin_heap(false, false, work_mem);
	appdb_read_as_caller(rel, column, &id, 1, &column, 1, also, rows);
	result = tuplestore_tuple_count(rows) > 0;
	tuplestore_end(rows);
	table_close(rel, NoLock);
	return result;
}

/*
 * appdb._row_allows(entity regclass, id uuid, action text) returns boolean
 *		Do the policies for SELECT, and for the action, show the row to the caller?
 */
Datum
appdb_row_allows(PG_FUNCTION_ARGS)
{
	char	   *action = text_to_cstring(PG_GETARG_TEXT_PP(2));

	PG_RETURN_BOOL(appdb_shown_to_caller(PG_GETARG_OID(0), PG_GETARG_DATUM(1),
										 strcmp(action, "update") == 0 ? ACL_UPDATE :
										 strcmp(action, "delete") == 0 ? ACL_DELETE : ACL_NO_RIGHTS));
}

/*
 * appdb._held(entity regclass, id uuid) returns boolean
 *		The work is done as the owner of the tables, by appdb.__held(); the
 *		caller learns it of rows that they may see.
 */
Datum
appdb__held(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(appdb_is_managed(PG_GETARG_OID(0)) &&
				   DatumGetBool(appdb_as_owner(fcinfo)) &&
				   appdb_shown_to_caller(PG_GETARG_OID(0), PG_GETARG_DATUM(1), ACL_NO_RIGHTS));
}
