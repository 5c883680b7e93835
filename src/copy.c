/*
 * copy.c
 *		COPY ... FROM into a live view.
 *
 * PostgreSQL copies into tables and into views with an INSTEAD OF INSERT
 * trigger, not into automatically updatable views.  So the command becomes a
 * COPY into the base table, of the view's columns, where whoever gives it has
 * the privilege to INSERT into both, as for an INSERT through the view.  Row
 * security refuses COPY there as it does on tables.
 */
#include "appdb.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

static ProcessUtility_hook_type prev_ProcessUtility_hook = NULL;

/*
 * The command for the base table, or NULL if this is none of ours.
 */
static CopyStmt *
rewrite_copy(CopyStmt *stmt)
{
	Oid			viewid;
	Oid			base;
	Relation	view;
	AclResult	aclresult;
	CopyStmt   *result;

	if (!stmt->is_from || stmt->relation == NULL)
		return NULL;
	viewid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(viewid) || get_rel_relkind(viewid) != RELKIND_VIEW)
		return NULL;

	view = relation_open(viewid, AccessShareLock);
	if (!appdb_is_live_view(view) ||
		(view->trigdesc && view->trigdesc->trig_insert_instead_row))
	{
		relation_close(view, AccessShareLock);
		return NULL;
	}
	aclresult = pg_class_aclcheck(viewid, GetUserId(), ACL_INSERT);
	if (aclresult != ACLCHECK_OK)
		aclcheck_error(aclresult, OBJECT_VIEW, RelationGetRelationName(view));

	base = appdb_base_table(view);
	result = copyObject(stmt);
	result->relation = makeRangeVar(get_namespace_name(get_rel_namespace(base)),
									get_rel_name(base), -1);
	if (result->attlist == NIL)
	{
		TupleDesc	desc = RelationGetDescr(view);

		for (int i = 0; i < desc->natts; i++)
		{
			Form_pg_attribute att = TupleDescAttr(desc, i);
			AttrNumber	attnum = get_attnum(base, NameStr(att->attname));

			if (attnum != InvalidAttrNumber && get_attgenerated(base, attnum) == '\0')
				result->attlist = lappend(result->attlist, makeString(pstrdup(NameStr(att->attname))));
		}
	}
	relation_close(view, NoLock);
	return result;
}

static void
appdb_ProcessUtility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
					 ProcessUtilityContext context, ParamListInfo params,
					 QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	if (IsA(pstmt->utilityStmt, CopyStmt))
	{
		CopyStmt   *copy = rewrite_copy((CopyStmt *) pstmt->utilityStmt);

		if (copy != NULL)
		{
			pstmt = copyObject(pstmt);
			pstmt->utilityStmt = (Node *) copy;
		}
	}
	if (prev_ProcessUtility_hook)
		prev_ProcessUtility_hook(pstmt, queryString, readOnlyTree, context, params,
								 queryEnv, dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params,
								queryEnv, dest, qc);
}

void
appdb_copy_init(void)
{
	prev_ProcessUtility_hook = ProcessUtility_hook;
	ProcessUtility_hook = appdb_ProcessUtility;
}
