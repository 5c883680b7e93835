/*
 * compat.h
 *		Differences between the server versions that appdb supports (15 to 18).
 *
 * No other file tests PG_VERSION_NUM.
 */
#ifndef APPDB_COMPAT_H
#define APPDB_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "appdb needs PostgreSQL 15 or later"
#endif

/* index_beginscan() counts on request (18) */
#if PG_VERSION_NUM >= 180000
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, 0)
#else
#define compat_index_beginscan(heap, index, snapshot, nkeys) \
	index_beginscan(heap, index, snapshot, nkeys, 0)
#endif

/* a primary key that is not deferrable; 18 asks which */
#if PG_VERSION_NUM >= 180000
#define compat_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel, false)
#else
#define compat_primary_key_index(rel) RelationGetPrimaryKeyIndex(rel)
#endif

/* 16 and later want to know the relations whose rows are tested again */
#if PG_VERSION_NUM >= 160000
#define compat_EvalPlanQualInit(epqstate, estate) \
	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1, NIL)
#else
#define compat_EvalPlanQualInit(epqstate, estate) \
	EvalPlanQualInit(epqstate, estate, NULL, NIL, -1)
#endif

/*
 * Mutators take their own kind of context; 15 declares them without arguments,
 * which C23, the default of newer compilers, takes for "no arguments".
 */
#if PG_VERSION_NUM >= 160000
#define compat_expression_tree_mutator(node, mutator, context) \
	expression_tree_mutator(node, mutator, context)
#else
#define compat_expression_tree_mutator(node, mutator, context) \
	expression_tree_mutator(node, (Node *(*) ()) (void *) (mutator), context)
#endif

#if PG_VERSION_NUM >= 160000
#define compat_query_tree_mutator(query, mutator, context, flags) \
	query_tree_mutator(query, mutator, context, flags)
#else
#define compat_query_tree_mutator(query, mutator, context, flags) \
	query_tree_mutator(query, (Node *(*) ()) (void *) (mutator), context, flags)
#endif

/* columns that an UPDATE sets: in the range table, from 16 beside it */
#if PG_VERSION_NUM >= 160000
#define compat_set_updated_cols(rte, perminfos, cols) \
	(addRTEPermissionInfo(&(perminfos), (rte))->updatedCols = (cols))
#else
#define compat_set_updated_cols(rte, perminfos, cols) \
	((void) (perminfos), (rte)->updatedCols = (cols))
#endif
#if PG_VERSION_NUM >= 180000
#define compat_ExecInitRangeTable(estate, rtes, perminfos) \
	ExecInitRangeTable(estate, rtes, perminfos, bms_make_singleton(1))
#elif PG_VERSION_NUM >= 160000
#define compat_ExecInitRangeTable(estate, rtes, perminfos) \
	ExecInitRangeTable(estate, rtes, perminfos)
#else
#define compat_ExecInitRangeTable(estate, rtes, perminfos) \
	ExecInitRangeTable(estate, rtes)
#endif

/* privileges of a range table entry: in it, from 16 beside it */
#if PG_VERSION_NUM >= 160000
#define compat_rte_updated_cols(query, rte) \
	(getRTEPermissionInfo((query)->rteperminfos, (rte))->updatedCols)
#define compat_rte_required_perms(query, rte) \
	(getRTEPermissionInfo((query)->rteperminfos, (rte))->requiredPerms)
/* some privilege must be asked for there, and the bootstrap superuser has all */
#define compat_require_no_perms(query, rte) \
	do { \
		RTEPermissionInfo *perminfo_ = getRTEPermissionInfo((query)->rteperminfos, (rte)); \
		perminfo_->requiredPerms = ACL_UPDATE; \
		perminfo_->checkAsUser = BOOTSTRAP_SUPERUSERID; \
	} while (0)
#else
#define compat_require_no_perms(query, rte) ((rte)->requiredPerms = 0)
#define compat_rte_updated_cols(query, rte) ((rte)->updatedCols)
#define compat_rte_required_perms(query, rte) ((rte)->requiredPerms)
#endif

#if PG_VERSION_NUM >= 160000
#define compat_rte_selected_cols(query, rte) \
	(getRTEPermissionInfo((query)->rteperminfos, (rte))->selectedCols)
#define compat_set_rteperminfos(query, pstate) \
	((query)->rteperminfos = (pstate)->p_rteperminfos)
#else
#define compat_rte_selected_cols(query, rte) ((rte)->selectedCols)
#define compat_set_rteperminfos(query, pstate) ((void) 0)
#endif

/* RETURNING old and new: 18 */
#if PG_VERSION_NUM >= 180000
#define compat_var_is_new(var) ((var)->varreturningtype == VAR_RETURNING_NEW)
#define compat_var_not_old(var) ((var)->varreturningtype = VAR_RETURNING_DEFAULT)
#else
#define compat_var_is_new(var) false
#define compat_var_not_old(var) ((void) 0)
#endif

/* ExecutorRun() was told whether it is called once, until 17 */
#if PG_VERSION_NUM >= 180000
#define compat_ExecutorRun_once_decl
#define compat_ExecutorRun_once_arg
#define compat_ExecutorRun(desc, direction, count) ExecutorRun(desc, direction, count)
#else
#define compat_ExecutorRun_once_decl , bool execute_once
#define compat_ExecutorRun_once_arg , execute_once
#define compat_ExecutorRun(desc, direction, count) ExecutorRun(desc, direction, count, true)
#endif

/* what a check hook hands on: GUC memory from 16 on */
#if PG_VERSION_NUM >= 160000
#define compat_guc_malloc(size) guc_malloc(LOG, size)
#else
#define compat_guc_malloc(size) malloc(size)
#endif

/* which indexes a new version of a row goes into: all or none; 16 knows summarizing ones */
#if PG_VERSION_NUM >= 160000
#define compat_update_indexes TU_UpdateIndexes
#define compat_ExecInsertIndexTuples(relinfo, slot, estate, which) \
	((void) ExecInsertIndexTuples(relinfo, slot, estate, true, false, NULL, NIL, (which) == TU_Summarizing))
#else
#define compat_update_indexes bool
#define compat_ExecInsertIndexTuples(relinfo, slot, estate, which) \
	((void) ExecInsertIndexTuples(relinfo, slot, estate, true, false, NULL, NIL))
#endif

/* privileges on functions: 16 has one function for all objects */
#if PG_VERSION_NUM >= 160000
#define compat_proc_aclcheck(oid, roleid, mode) object_aclcheck(ProcedureRelationId, oid, roleid, mode)
#else
#define compat_proc_aclcheck(oid, roleid, mode) pg_proc_aclcheck(oid, roleid, mode)
#endif

/* a portal was told whether it is run once, until 17 */
#if PG_VERSION_NUM >= 180000
#define compat_PortalRun(portal, receiver) PortalRun(portal, FETCH_ALL, true, receiver, receiver, NULL)
#else
#define compat_PortalRun(portal, receiver) PortalRun(portal, FETCH_ALL, true, true, receiver, receiver, NULL)
#endif

/* a stronger lock counts too, if wanted, from 17 */
#if PG_VERSION_NUM >= 170000
#define compat_LockHeldByMe(tag, mode) LockHeldByMe(tag, mode, false)
#else
#define compat_LockHeldByMe(tag, mode) LockHeldByMe(tag, mode)
#endif

/* foreign keys with a period, which is their last column: 18 */
#if PG_VERSION_NUM >= 180000
#define compat_has_period(con) ((con)->conperiod)
#else
#define compat_has_period(con) false
#endif

/* foreign keys that nothing checks: 18 */
#if PG_VERSION_NUM >= 180000
#define compat_is_enforced(con) ((con)->conenforced)
#else
#define compat_is_enforced(con) true
#endif

/* columns of an expression that are generated when they are read (18) */
#if PG_VERSION_NUM >= 180000
#define compat_expand_generated_columns(expr, rel) \
	((Expr *) expand_generated_columns_in_expr((Node *) (expr), rel, 1))
#else
#define compat_expand_generated_columns(expr, rel) (expr)
#endif

/* a lock that is not to be had is logged on request (18) */
#if PG_VERSION_NUM >= 180000
#define compat_ConditionalLockTuple(rel, tid, mode) ConditionalLockTuple(rel, tid, mode, false)
#else
#define compat_ConditionalLockTuple(rel, tid, mode) ConditionalLockTuple(rel, tid, mode)
#endif

/* the search_path that a cached query was analyzed with: 17 has another name */
#if PG_VERSION_NUM >= 170000
#define compat_copy_search_path(path) CopySearchPathMatcher(path)
#else
#define compat_copy_search_path(path) CopyOverrideSearchPath(path)
#endif

/* before the declaration, from 18 */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

#endif							/* APPDB_COMPAT_H */
