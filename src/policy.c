/*
 * policy.c
 *		May the caller delete this row softly, or see it?  The table's policies
 *		decide, where the executor does not ask them.
 *
 * To the executor a soft delete is an UPDATE, so it asks the policies for
 * UPDATE, or, where the engine writes by itself, none.  A soft delete is to be
 * judged as the DELETE that it stands for, in both ways alike: so the row's
 * trigger asks the policies for DELETE here.  A row that they do not show is
 * left alone without an error, as DELETE does.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* the policies for a command that apply to the caller, ready to be asked */
struct AppdbPolicies
{
	bool		enabled;
	bool		unknown;		/* one has a sub-query */
	Oid			relid;
	Oid			userid;
	EState	   *estate;
	Oid			row_relid;		/* the table that the last row was of: a partition, or relid */
	TupleConversionMap *map;	/* from its rows, or NULL */
	TupleTableSlot *slot;
	List	   *permissive;		/* of ExprState; NULL stands for true */
	List	   *restrictive;
};

static bool
applies_to(const RowSecurityPolicy *policy, char command, Oid userid)
{
	Oid		   *oids = (Oid *) ARR_DATA_PTR(policy->roles);
	int			n = ArrayGetNItems(ARR_NDIM(policy->roles), ARR_DIMS(policy->roles));

	if (policy->polcmd != '*' && policy->polcmd != command)
		return false;
	for (int i = 0; i < n; i++)
	{
		if (oids[i] == ACL_ID_PUBLIC || has_privs_of_role(userid, oids[i]))
			return true;
	}
	return false;
}

/* What a policy asks of a row: of a new one, WITH CHECK if it has that. */
static Expr *
condition(const RowSecurityPolicy *policy, char command)
{
	bool		writes = command == ACL_INSERT_CHR || command == ACL_UPDATE_CHR;

	return writes && policy->with_check_qual != NULL ? policy->with_check_qual : policy->qual;
}

static AppdbPolicies *
prepare(Relation rel, char command, MemoryContext context)
{
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	AppdbPolicies *policies = palloc0(sizeof(AppdbPolicies));
	Oid			userid = GetUserId();
	ListCell   *lc;

	policies->relid = RelationGetRelid(rel);
	policies->userid = userid;
	policies->enabled = check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED;
	if (policies->enabled)
	{
		policies->estate = CreateExecutorState();
		MemoryContextSwitchTo(policies->estate->es_query_cxt);
		policies->slot = ExecInitExtraTupleSlot(policies->estate, CreateTupleDescCopyConstr(RelationGetDescr(rel)),
												&TTSOpsHeapTuple);
		foreach(lc, rel->rd_rsdesc->policies)
		{
			RowSecurityPolicy *policy = lfirst(lc);
			Expr	   *expr = condition(policy, command);
			ExprState  *state = NULL;

			if (!applies_to(policy, command, userid))
				continue;
			if (policy->hassublinks && command == ACL_DELETE_CHR)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("policy \"%s\" of table \"%s\" has a sub-query, which soft deletes cannot ask",
								policy->policy_name, RelationGetRelationName(rel)),
						 errhint("Put the sub-query into a function.")));
			if (policy->hassublinks)
			{
				policies->unknown = true;
				continue;
			}
			if (expr != NULL)
				state = ExecPrepareExpr(compat_expand_generated_columns(copyObject(expr), rel),
										policies->estate);
			if (policy->permissive)
				policies->permissive = lappend(policies->permissive, state);
			else
				policies->restrictive = lappend(policies->restrictive, state);
		}
	}
	MemoryContextSwitchTo(oldcontext);
	return policies;
}

static bool
holds(AppdbPolicies *policies, ExprState *state)
{
	ExprContext *econtext;
	bool		isnull;
	Datum		result;

	if (state == NULL)
		return true;
	econtext = GetPerTupleExprContext(policies->estate);
	econtext->ecxt_scantuple = policies->slot;
	result = ExecEvalExprSwitchContext(state, econtext, &isnull);
	return !isnull && DatumGetBool(result);
}

/* Do the policies show the row? */
static bool
allow(AppdbPolicies *policies, HeapTuple tuple)
{
	bool		result = false;
	ListCell   *lc;

	if (policies->map != NULL)
		tuple = execute_attr_map_tuple(tuple, policies->map);
	ExecForceStoreHeapTuple(tuple, policies->slot, policies->map != NULL);
	foreach(lc, policies->permissive)
	{
		if (holds(policies, lfirst(lc)))
		{
			result = true;
			break;
		}
	}
	foreach(lc, policies->restrictive)
		result = result && holds(policies, lfirst(lc));
	ExecClearTuple(policies->slot);
	ResetPerTupleExprContext(policies->estate);
	return result;
}

/* Rows of "rel" come next. */
static void
set_row_rel(AppdbPolicies *policies, Relation rel)
{
	MemoryContext oldcontext;

	policies->row_relid = RelationGetRelid(rel);
	if (!policies->enabled)
		return;
	oldcontext = MemoryContextSwitchTo(policies->estate->es_query_cxt);
	if (policies->map != NULL)
	{
		FreeTupleDesc(policies->map->indesc);
		free_conversion_map(policies->map);
		policies->map = NULL;
	}
	if (policies->row_relid != policies->relid)
	{
		TupleDesc	desc = CreateTupleDescCopy(RelationGetDescr(rel));

		policies->map = convert_tuples_by_name(desc, policies->slot->tts_tupleDescriptor);
		if (policies->map == NULL)
			FreeTupleDesc(desc);
	}
	MemoryContextSwitchTo(oldcontext);
}

/*
 * *policies is kept for further rows of the statement, in "context".  For a
 * row of a partition, the policies are those of the whole table: it is that
 * which is managed, and which statements name.  Rows of several partitions can
 * come in turn.
 */
static AppdbPolicies *
refresh(AppdbPolicies **policies, Relation rel, char command, MemoryContext context)
{
	Oid			whole;

	if (*policies != NULL && (*policies)->userid == GetUserId() && (*policies)->row_relid == RelationGetRelid(rel))
		return *policies;
	whole = appdb_whole_table(RelationGetRelid(rel));
	if (*policies == NULL || (*policies)->userid != GetUserId() || (*policies)->relid != whole)
	{
		Relation	whole_rel = table_open(whole, AccessShareLock);

		*policies = prepare(whole_rel, command, context);
		table_close(whole_rel, NoLock);
	}
	set_row_rel(*policies, rel);
	return *policies;
}

/* May the caller delete this row? */
bool
appdb_may_delete(Relation rel, HeapTuple tuple, AppdbPolicies **policies,
				 MemoryContext context)
{
	AppdbPolicies *p = refresh(policies, rel, ACL_DELETE_CHR, context);

	return !p->enabled || allow(p, tuple);
}

/*
 * May the caller see this row?  Where a policy cannot be asked, we take it
 * that they may.
 */
bool
appdb_may_see(Relation rel, HeapTuple tuple, AppdbPolicies **policies,
			  MemoryContext context)
{
	AppdbPolicies *p = refresh(policies, rel, ACL_SELECT_CHR, context);

	return !p->enabled || p->unknown || allow(p, tuple);
}

/*
 * Will the policies refuse this row, which the caller inserts or updates, in a
 * space that they do not belong to?  Where one cannot be asked, or asks for
 * columns that are filled later, we take it that they will not; nor for a
 * partition, whose row may come from another one.
 */
bool
appdb_will_refuse(Relation rel, HeapTuple tuple, char command, const pg_uuid_t *space)
{
	AppdbPolicies *policies = NULL;
	Oid			userid = GetUserId();
	ListCell   *lc;

	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED || rel->rd_rel->relispartition ||
		(RelationGetDescr(rel)->constr != NULL && RelationGetDescr(rel)->constr->has_generated_stored))
		return false;
	/* servers write all rows, and many */
	foreach(lc, rel->rd_rsdesc->policies)
	{
		RowSecurityPolicy *policy = lfirst(lc);
		Expr	   *expr = condition(policy, command);

		if (policy->permissive && applies_to(policy, command, userid) &&
			(expr == NULL || (IsA(expr, Const) && DatumGetBool(((Const *) expr)->constvalue))))
			return false;
	}
	if (appdb_in_space(space))
		return false;
	(void) refresh(&policies, rel, command, CurrentMemoryContext);
	return !policies->unknown && !allow(policies, tuple);
}
