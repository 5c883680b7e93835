/*
 * rewrite.c
 *		DELETE on a live view, all rows at once: the statement becomes an
 *		UPDATE of deleted_at before it is planned.
 *
 * A hook after parse analysis turns
 *
 *		DELETE FROM appdb.chats WHERE ... RETURNING ...
 *
 * into
 *
 *		UPDATE appdb.chats SET deleted_at = CURRENT_TIMESTAMP WHERE ... RETURNING ...
 *
 * which PostgreSQL then carries out on the base table.  It is as fast as that
 * UPDATE, and a row that another transaction changes meanwhile is judged by
 * WHERE again, as for a real DELETE.  The triggers of the base table do the
 * rest (timestamps.c, deletion.c).  What remains to be done here:
 *
 * - Privileges are those of a DELETE on the view.  The rewriter hands them on
 *   to the base table, where no privilege to delete is needed: a hook before
 *   planning takes that away again.
 * - The row is returned as a DELETE would, that is with deleted_at null.
 * - The command is reported as DELETE.
 *
 * Where the library is loaded later than the statement is parsed, or the view
 * has rules or triggers that are not ours, the view's INSTEAD OF trigger
 * (soft_delete.c) does the same row by row.
 */
#include "appdb.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/prs2lock.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rewriteManip.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

static post_parse_analyze_hook_type prev_post_parse_analyze_hook = NULL;
static planner_hook_type prev_planner_hook = NULL;
static ExecutorRun_hook_type prev_ExecutorRun_hook = NULL;

/* appdb.soft_delete(), or InvalidOid where there is no such extension */
static Oid
soft_delete_function(void)
{
	Oid			nsp = get_namespace_oid(APPDB_SCHEMA, true);
	oidvector  *args;

	if (!OidIsValid(nsp))
		return InvalidOid;
	args = buildoidvector(NULL, 0);
	return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
						   CStringGetDatum("soft_delete"), PointerGetDatum(args),
						   ObjectIdGetDatum(nsp));
}

/*
 * Is this a live view whose only triggers for DELETE are ours?
 */
bool
appdb_is_live_view(Relation view)
{
	TriggerDesc *desc;
	Oid			function;
	int			ours = 0;

	if (view->trigdesc == NULL || !view->trigdesc->trig_delete_instead_row || !appdb_in_schema(view))
		return false;
	function = soft_delete_function();
	/* a look into the catalogs can have it made anew */
	desc = view->trigdesc;
	for (int i = 0; i < desc->numtriggers; i++)
	{
		Trigger    *trigger = &desc->triggers[i];

		if (!TRIGGER_FOR_DELETE(trigger->tgtype))
			continue;
		if (trigger->tgfoid != function)
			return false;
		/*
		 * Where session_replication_role has them not fire, they would not do
		 * anything either: then only the row is marked.
		 */
		if (trigger->tgenabled == TRIGGER_DISABLED)
			return false;
		ours++;
	}
	return ours > 0;
}

/* Does any managed table refer to the base table of this view? */
static bool
has_children(Relation view)
{
	Oid			relid = appdb_base_table(view);
	Relation	rel = table_open(relid, AccessShareLock);
	bool		result = appdb_get_links(rel)->nchildren > 0;

	table_close(rel, NoLock);
	return result;
}

/* ---- RETURNING ---- */

typedef struct ReturningContext
{
	int			varno;			/* the view */
	AttrNumber	deleted_at;
	Relation	view;
	Index		levelsup;		/* how deep in sub-queries we are */
} ReturningContext;

static Node *
null_deleted_at(void)
{
	return (Node *) makeNullConst(TIMESTAMPTZOID, -1, InvalidOid);
}

/*
 * What a DELETE returns: deleted_at of a live row is null.
 */
static Node *
returning_mutator(Node *node, ReturningContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
	{
		Query	   *result;

		context->levelsup++;
		result = compat_query_tree_mutator((Query *) node, returning_mutator, (void *) context, 0);
		context->levelsup--;
		return (Node *) result;
	}
	if (IsA(node, Var) && ((Var *) node)->varno == context->varno &&
		((Var *) node)->varlevelsup == context->levelsup)
	{
		Var		   *var = copyObject((Var *) node);

		/* RETURNING new.*: a DELETE has no new row, and its old one is what it returns */
		if (compat_var_is_new(var))
			return (Node *) makeNullConst(var->vartype, var->vartypmod, var->varcollid);
		compat_var_not_old(var);
		if (var->varattno == context->deleted_at)
			return null_deleted_at();
		if (var->varattno == InvalidAttrNumber)
		{
			TupleDesc	desc = RelationGetDescr(context->view);
			RowExpr    *row = makeNode(RowExpr);

			for (int i = 0; i < desc->natts; i++)
			{
				Form_pg_attribute att = TupleDescAttr(desc, i);
				Node	   *field;

				if (att->attnum == context->deleted_at)
					field = null_deleted_at();
				else
				{
					Var		   *column = copyObject(var);

					column->varattno = att->attnum;
					column->vartype = att->atttypid;
					column->vartypmod = att->atttypmod;
					column->varcollid = att->attcollation;
					field = (Node *) column;
				}
				row->args = lappend(row->args, field);
				row->colnames = lappend(row->colnames, makeString(pstrdup(NameStr(att->attname))));
			}
			row->row_typeid = var->vartype;
			row->row_format = COERCE_IMPLICIT_CAST;
			row->location = var->location;
			return (Node *) row;
		}
		return (Node *) var;
	}
	return compat_expression_tree_mutator(node, returning_mutator, (void *) context);
}

/* ---- after parse analysis ---- */

/*
 * Would an UPDATE of the view be more, or something else, than one of its base
 * table, or a DELETE more than its triggers do?
 */
static bool
has_rules(Relation view)
{
	for (int i = 0; view->rd_rules != NULL && i < view->rd_rules->numLocks; i++)
	{
		if (view->rd_rules->rules[i]->event != CMD_SELECT)
			return true;
	}
	/* a row that is deleted is none of the view's any more */
	return view->trigdesc->trig_update_instead_row || RelationHasCheckOption(view);
}

static void
rewrite_delete(Query *query)
{
	RangeTblEntry *rte = rt_fetch(query->resultRelation, query->rtable);
	Relation	view;
	AttrNumber	deleted_at;
	AttrNumber	id;
	SQLValueFunction *now;
	Bitmapset  *updated;

	if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_VIEW)
		return;

	/* the parser has locked it */
	view = table_open(rte->relid, NoLock);
	if (appdb_is_live_view(view) && !has_rules(view))
	{
		deleted_at = get_attnum(rte->relid, "deleted_at");
		id = get_attnum(rte->relid, "id");
		if (deleted_at != InvalidAttrNumber && id != InvalidAttrNumber)
		{
			ReturningContext context = {query->resultRelation, deleted_at, view, 0};

			now = makeNode(SQLValueFunction);
			now->op = SVFOP_CURRENT_TIMESTAMP;
			now->type = TIMESTAMPTZOID;
			now->typmod = -1;
			now->location = -1;

			query->commandType = CMD_UPDATE;
			query->targetList = list_make1(makeTargetEntry((Expr *) now, deleted_at,
														   pstrdup("deleted_at"), false));
			query->returningList = (List *)
				returning_mutator((Node *) query->returningList, &context);

			/*
			 * The columns that triggers go by.  "id" among them makes the
			 * executor lock the row FOR UPDATE at once, which keeps out those
			 * who would add a child.
			 */
			updated = bms_make_singleton(deleted_at - FirstLowInvalidHeapAttributeNumber);
			if (has_children(view))
				updated = bms_add_member(updated, id - FirstLowInvalidHeapAttributeNumber);
			compat_rte_updated_cols(query, rte) = updated;
		}
	}
	table_close(view, NoLock);
}

static void
appdb_post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	ListCell   *lc;

	if (prev_post_parse_analyze_hook)
		prev_post_parse_analyze_hook(pstate, query, jstate);
	/* where nothing can be written, the error says DELETE, as the client did */
	if (!appdb_rewrite_deletes || XactReadOnly)
		return;

	if (query->commandType == CMD_DELETE)
		rewrite_delete(query);
	if (query->hasModifyingCTE)
	{
		foreach(lc, query->cteList)
		{
			Query	   *cte = (Query *) lfirst_node(CommonTableExpr, lc)->ctequery;

			if (IsA(cte, Query) && cte->commandType == CMD_DELETE)
				rewrite_delete(cte);
		}
	}
}

/* ---- before planning ---- */

/*
 * Is this an UPDATE that was a DELETE on a live view?  No other UPDATE needs
 * the privilege to delete and not that to update.  Then none is needed on the
 * base table.
 */
static bool
was_delete(Query *query)
{
	RangeTblEntry *rte;

	if (query->commandType != CMD_UPDATE)
		return false;
	rte = rt_fetch(query->resultRelation, query->rtable);
	if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW ||
		(compat_rte_required_perms(query, rte) & (ACL_DELETE | ACL_UPDATE)) != ACL_DELETE)
		return false;
	if (compat_rte_required_perms(query, rte) == ACL_DELETE)
		compat_require_no_perms(query, rte);
	else
		compat_rte_required_perms(query, rte) &= ~ACL_DELETE;
	return true;
}

/*
 * What a plan of ours is known by: it depends on appdb.soft_delete().
 */
static PlanInvalItem *
make_mark(void)
{
	PlanInvalItem *mark = makeNode(PlanInvalItem);

	mark->cacheId = PROCOID;
	mark->hashValue = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(soft_delete_function()));
	return mark;
}

static bool
has_mark(PlannedStmt *stmt)
{
	uint32		hash;
	ListCell   *lc;

	if (stmt->commandType != CMD_UPDATE || stmt->invalItems == NIL)
		return false;
	hash = GetSysCacheHashValue1(PROCOID, ObjectIdGetDatum(soft_delete_function()));
	foreach(lc, stmt->invalItems)
	{
		PlanInvalItem *item = lfirst_node(PlanInvalItem, lc);

		if (item->cacheId == PROCOID && item->hashValue == hash)
			return true;
	}
	return false;
}

/*
 * Where a security_barrier view is on a view with an INSTEAD OF trigger,
 * PostgreSQL loses the condition of the first when it pulls up the second: the
 * DELETE takes rows that are none of the view's.
 */
static void
keep_barrier(Query *query)
{
	ListCell   *lc;

	if (query->commandType == CMD_SELECT || query->commandType == CMD_INSERT)
		return;
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_SUBQUERY && rte->securityQuals != NIL)
			rte->security_barrier = true;
	}
}

static PlannedStmt *
appdb_planner(Query *parse, const char *query_string, int cursorOptions,
			  ParamListInfo boundParams)
{
	PlannedStmt *result;
	bool		mark = was_delete(parse);
	ListCell   *lc;

	keep_barrier(parse);
	if (parse->hasModifyingCTE)
	{
		foreach(lc, parse->cteList)
		{
			Query	   *cte = (Query *) lfirst_node(CommonTableExpr, lc)->ctequery;

			if (IsA(cte, Query))
			{
				(void) was_delete(cte);
				keep_barrier(cte);
			}
		}
	}

	if (prev_planner_hook)
		result = prev_planner_hook(parse, query_string, cursorOptions, boundParams);
	else
		result = standard_planner(parse, query_string, cursorOptions, boundParams);

	if (mark)
		result->invalItems = lappend(result->invalItems, make_mark());
	return result;
}

/* ---- the command tag ---- */

static void
appdb_ExecutorRun(QueryDesc *queryDesc, ScanDirection direction, uint64 count
				  compat_ExecutorRun_once_decl)
{
	if (prev_ExecutorRun_hook)
		prev_ExecutorRun_hook(queryDesc, direction, count compat_ExecutorRun_once_arg);
	else
		standard_ExecutorRun(queryDesc, direction, count compat_ExecutorRun_once_arg);

	/* from here on it only says how the command is reported */
	if (queryDesc->operation == CMD_UPDATE && has_mark(queryDesc->plannedstmt))
		queryDesc->operation = CMD_DELETE;
}

void
appdb_rewrite_init(void)
{
	prev_post_parse_analyze_hook = post_parse_analyze_hook;
	post_parse_analyze_hook = appdb_post_parse_analyze;
	prev_planner_hook = planner_hook;
	planner_hook = appdb_planner;
	prev_ExecutorRun_hook = ExecutorRun_hook;
	ExecutorRun_hook = appdb_ExecutorRun;
}
