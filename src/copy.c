/*
 * copy.c
 *		COPY of a live view, in both directions.
 *
 * PostgreSQL copies into tables and into views with an INSTEAD OF INSERT
 * trigger, not into automatically updatable views.  So the command becomes a
 * COPY into the base table, of the view's columns, where whoever gives it has
 * the privilege to INSERT into both, as for an INSERT through the view.
 *
 * Nor does it copy into a table with row security.  Where that holds for
 * whoever gives the command, and the data comes from the client, the rows are
 * read as COPY does and then inserted by one INSERT ... SELECT through the
 * view, so that policies, privileges and triggers are those of an INSERT.
 * What an INSERT cannot do (a WHERE clause, FREEZE, ON_ERROR, DEFAULT) and files
 * of the server are left to PostgreSQL, which refuses them.
 *
 * COPY ... TO from a view is what PostgreSQL's hint says: COPY (SELECT ...) TO.
 */
#include "appdb.h"

#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/copy.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"

/* the name by which the INSERT knows the rows that were read */
#define COPIED_ROWS "appdb copied rows"

static ProcessUtility_hook_type prev_ProcessUtility_hook = NULL;

/*
 * The columns that a COPY of a live view has where it names none: all but
 * generated ones, as of a table.
 */
static List *
columns_of(Relation view, Oid base)
{
	TupleDesc	desc = RelationGetDescr(view);
	List	   *columns = NIL;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		AttrNumber	attnum = get_attnum(base, NameStr(att->attname));

		if (attnum != InvalidAttrNumber && get_attgenerated(base, attnum) == '\0')
			columns = lappend(columns, makeString(pstrdup(NameStr(att->attname))));
	}
	return columns;
}

/*
 * Complain unless the caller may insert into these columns of a live view.
 */
static void
check_insert(Relation view, List *columns)
{
	Oid			viewid = RelationGetRelid(view);
	ListCell   *lc;

	if (pg_class_aclcheck(viewid, GetUserId(), ACL_INSERT) == ACLCHECK_OK)
		return;
	foreach(lc, columns)
	{
		AttrNumber	attnum = get_attnum(viewid, strVal(lfirst(lc)));

		/* one that is not there is PostgreSQL's to complain about */
		if (attnum != InvalidAttrNumber &&
			pg_attribute_aclcheck(viewid, attnum, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
			aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, RelationGetRelationName(view));
	}
}

/*
 * Can an INSERT stand for this COPY ... FROM?
 */
static bool
insert_will_do(CopyStmt *stmt)
{
	ListCell   *lc;

	if (stmt->filename != NULL || stmt->whereClause != NULL)
		return false;
	foreach(lc, stmt->options)
	{
		const char *option = lfirst_node(DefElem, lc)->defname;

		/* the view has no defaults: those are the table's */
		if (strcmp(option, "freeze") == 0 || strcmp(option, "on_error") == 0 || strcmp(option, "default") == 0)
			return false;
	}
	return true;
}

/*
 * COPY ... FROM STDIN as an INSERT: into the columns of the view.  Returns the
 * number of rows.
 */
static uint64
insert_copied(CopyStmt *stmt, const char *queryString, Relation view, List *columns)
{
	TupleDesc	desc = RelationGetDescr(view);
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *nulls = palloc(desc->natts * sizeof(bool));
	Tuplestorestate *rows = tuplestore_begin_heap(false, false, work_mem);
	EphemeralNamedRelation enr = palloc0(sizeof(EphemeralNamedRelationData));
	ParseState *pstate = make_parsestate(NULL);
	ExprContext *econtext = CreateStandaloneExprContext();
	ErrorContextCallback callback;
	StringInfoData names;
	StringInfoData insert;
	CopyFromState cstate;
	ListCell   *lc;
	uint64		processed;

	PreventCommandIfReadOnly("COPY FROM");
	PreventCommandIfParallelMode("COPY FROM");

	pstate->p_sourcetext = queryString;
	cstate = BeginCopyFrom(pstate, view, NULL, NULL, false, NULL, columns, stmt->options);
	callback.callback = CopyFromErrorCallback;
	callback.arg = cstate;
	callback.previous = error_context_stack;
	error_context_stack = &callback;
	for (;;)
	{
		MemoryContext oldcontext;
		bool		found;

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		oldcontext = MemoryContextSwitchTo(econtext->ecxt_per_tuple_memory);
		found = NextCopyFrom(cstate, econtext, values, nulls);
		MemoryContextSwitchTo(oldcontext);
		if (!found)
			break;
		tuplestore_putvalues(rows, desc, values, nulls);
	}
	error_context_stack = callback.previous;
	EndCopyFrom(cstate);
	FreeExprContext(econtext, true);
	free_parsestate(pstate);

	initStringInfo(&names);
	foreach(lc, columns)
		appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "", quote_identifier(strVal(lfirst(lc))));
	initStringInfo(&insert);
	appendStringInfo(&insert, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM \"" COPIED_ROWS "\"",
					 quote_qualified_identifier(get_namespace_name(RelationGetNamespace(view)), RelationGetRelationName(view)),
					 names.data, names.data);

	enr->md.name = COPIED_ROWS;
	enr->md.tupdesc = desc;
	enr->md.enrtype = ENR_NAMED_TUPLESTORE;
	enr->md.enrtuples = tuplestore_tuple_count(rows);
	enr->reldata = rows;
	SPI_connect();
	if (SPI_register_relation(enr) != SPI_OK_REL_REGISTER ||
		SPI_execute(insert.data, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "the rows could not be inserted");
	processed = SPI_processed;
	SPI_finish();
	tuplestore_end(rows);
	return processed;
}

/*
 * The command to run instead, or NULL if this is none of ours.  COPY ... FROM
 * into a live view becomes that into the base table, or is done here and now:
 * then *done says so, and *processed how many rows it were.  COPY ... TO from a
 * live view becomes that from a query.
 */
static CopyStmt *
rewrite_copy(CopyStmt *stmt, const char *queryString, bool *done, uint64 *processed)
{
	Oid			viewid;
	Oid			base;
	Relation	view;
	CopyStmt   *result = NULL;
	List	   *columns;

	*done = false;
	if (stmt->relation == NULL)
		return NULL;
	viewid = RangeVarGetRelid(stmt->relation, NoLock, true);
	if (!OidIsValid(viewid) || get_rel_relkind(viewid) != RELKIND_VIEW)
		return NULL;

	view = relation_open(viewid, AccessShareLock);
	if (!appdb_is_live_view(view) && !appdb_is_plain_live_view(view))
	{
		relation_close(view, AccessShareLock);
		return NULL;
	}

	if (!stmt->is_from)
	{
		SelectStmt *select = makeNode(SelectStmt);
		ListCell   *lc;

		columns = stmt->attlist != NIL ? stmt->attlist : columns_of(view, appdb_base_table(view));
		foreach(lc, columns)
		{
			ColumnRef  *column = makeNode(ColumnRef);
			ResTarget  *target = makeNode(ResTarget);

			column->fields = list_make1(lfirst(lc));
			column->location = -1;
			target->val = (Node *) column;
			target->location = -1;
			select->targetList = lappend(select->targetList, target);
		}
		select->fromClause = list_make1(makeRangeVar(get_namespace_name(RelationGetNamespace(view)),
													 pstrdup(RelationGetRelationName(view)), -1));
		result = copyObject(stmt);
		result->relation = NULL;
		result->attlist = NIL;
		result->query = (Node *) select;
	}
	else if (view->trigdesc == NULL || !view->trigdesc->trig_insert_instead_row)
	{
		base = appdb_base_table(view);
		columns = stmt->attlist != NIL ? stmt->attlist : columns_of(view, base);
		check_insert(view, columns);
		if (insert_will_do(stmt) && check_enable_rls(base, InvalidOid, true) == RLS_ENABLED)
		{
			*processed = insert_copied(stmt, queryString, view, columns);
			*done = true;
		}
		else
		{
			result = copyObject(stmt);
			result->relation = makeRangeVar(get_namespace_name(get_rel_namespace(base)),
											get_rel_name(base), -1);
			result->attlist = columns;
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
		bool		done;
		uint64		processed;
		CopyStmt   *copy = rewrite_copy((CopyStmt *) pstmt->utilityStmt, queryString, &done, &processed);

		if (done)
		{
			if (qc)
				SetQueryCompletion(qc, CMDTAG_COPY, processed);
			return;
		}
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
