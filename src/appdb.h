/*
 * appdb.h
 *		What the mechanisms of the engine share.
 */
#ifndef APPDB_H
#define APPDB_H

#include "postgres.h"

#include "access/htup.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"
#include "nodes/parsenodes.h"
#include "storage/block.h"
#include "storage/itemptr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"

/* schemas of the contract: engine and live views, base tables */
#define APPDB_SCHEMA "appdb"
#define APPDB_DATA_SCHEMA "app_data"

/*
 * Our advisory locks have a class of their own (pg_locks.objsubid), so that
 * they never meet those that an application takes, which are of class 1 and 2.
 */
#define APPDB_LOCK_SPACE 0xADB

/* names of triggers that the engine looks for; see appdb._triggers() */
#define APPDB_GUARD_TRIGGER "zz_appdb_guard"
#define APPDB_TIMESTAMPS_TRIGGER "zz_appdb_timestamps"

/* appdb.c: settings */
extern bool appdb_allow_drop;
extern bool appdb_keep_completed_tasks;
extern bool appdb_rewrite_deletes;
extern char *appdb_retention;

/* install.c: what works as the owner of the tables */
typedef void (*appdb_body) (void *arg);
extern void appdb_run_as_owner(Oid userid, appdb_body body, void *arg);
extern void appdb_run_sql(const char *sql);
extern void appdb_run_script(const char *script);
extern char *appdb_text_of(const char *query);
extern void appdb_notice(const char *message, const char *hint);
extern Oid	appdb_namespace_owner(Oid nsp);
extern void appdb_check_data_owner(Oid caller, Oid owner);

/* migrate.c: changes of the tables from version to version */
extern bool appdb_migrating;
extern void appdb_apply_migrations(void);
extern char *appdb_tables_version(void);

/* cache.c: what a backend keeps, and when it forgets */
extern HTAB *appdb_create_cache(const char *name, Size keysize, Size entrysize);
extern void appdb_trim_cache(HTAB *cache, long *room, int syscache, void (*forget) (void *entry));
extern void appdb_register_relcache_callback(RelcacheCallbackFunction callback);

/* uuid.c */
extern Datum appdb_uuidv7(FunctionCallInfo fcinfo);

/* registry.c: which tables are managed */
extern bool appdb_is_managed(Oid relid);
extern bool appdb_owns_managed(Oid roleid);
extern bool appdb_schema_has_managed(Oid nsp);
extern Oid	appdb_live_view(Oid relid);
extern char *appdb_qualified_name(Oid relid);
extern char *appdb_table_name(Oid relid);
extern AttrNumber appdb_attribute(Relation rel, const char *name, Oid type);
extern Oid	appdb_table_owner(Oid relid);
extern bool appdb_is_engine_function(Oid funcid);
extern Oid	appdb_find_engine_function(const char *name, int nargs, const Oid *argtypes);
extern void appdb_append_operator(StringInfo out, Oid opno);
extern void appdb_append_collation(StringInfo out, Oid collation);

/* protect.c: what is not to be dropped */
extern void appdb_check_key_kept(Node *parsetree);

/* links.c: foreign keys between managed tables */

/* what the soft delete of a parent does to its children */
typedef enum AppdbMode
{
	APPDB_CASCADE,				/* they are soft-deleted with it */
	APPDB_PURGE,				/* they are deleted for good */
	APPDB_SET_NULL,				/* they stay and forget it */
	APPDB_RESTRICT				/* they prevent it */
} AppdbMode;

typedef struct AppdbLink
{
	Oid			constraint;
	uint64		generation;		/* another one whenever links are read anew */
	Oid			child;
	Oid			parent;
	AppdbMode	mode;
	bool		enforced;		/* by PostgreSQL */
	int			ncolumns;
	int			key;			/* which of them refers to the parent's id */
	int			rank;			/* of the parent among the child's: see rank_parents() */
	AttrNumber	child_columns[INDEX_MAX_KEYS];
	AttrNumber	parent_columns[INDEX_MAX_KEYS];
	Oid			equals[INDEX_MAX_KEYS]; /* the foreign key's operators, parent = child */
	Oid			collations[INDEX_MAX_KEYS]; /* for them */
	AttrNumber	child_deleted_at;	/* or InvalidAttrNumber */
	AttrNumber	parent_deleted_at;	/* or InvalidAttrNumber, of what is no parent but for reference.c */
} AppdbLink;

typedef struct AppdbLinks
{
	int			nchildren;
	AppdbLink  *children;
	int			nparents;
	AppdbLink  *parents;
	int			nreferences;	/* the parents, and after them those whose rows are deleted for good */
	bool		others_come_first;	/* is there a row trigger before UPDATE that is none of the engine's? */
} AppdbLinks;

extern const AppdbLinks *appdb_get_links(Relation rel);
extern Oid	appdb_key_collation(Oid parent, Oid child);
extern void appdb_append_link(StringInfo sql, const AppdbLink *link, bool but_key);

/* guard.c: no live child of a deleted parent */
extern Oid	appdb_id_index(Relation rel, bool deferrable);
extern HeapTuple appdb_guard_update(Relation rel, HeapTuple oldtup, HeapTuple newtup, bool undeleted);
extern void appdb_guard_lock_parents(Relation rel, HeapTuple tup);
extern void appdb_guard_forget(void);
extern bool appdb_refers(const AppdbLink *link, TupleDesc desc, HeapTuple oldtup, HeapTuple newtup);

/* reference.c: no reference to what the caller may not see */
extern HeapTuple appdb_hide_references(Relation rel, HeapTuple oldtup, HeapTuple newtup, void **kept,
									   MemoryContext context);
extern bool appdb_hidden(Oid relid, const pg_uuid_t *id);
extern bool appdb_is_space(Relation rel, const AppdbLink *link);
extern HeapTuple appdb_refer_to_nothing(Relation rel, HeapTuple tup, AttrNumber column);

/* caller.c */
struct Tuplestorestate;
extern TupleDesc appdb_columns_desc(Relation rel, const AttrNumber *columns, int ncolumns);
extern void appdb_read_as_caller(Relation rel, AttrNumber id, Datum *ids, int nids,
								 const AttrNumber *columns, int ncolumns, AclMode also,
								 struct Tuplestorestate *result);
extern bool appdb_shown_to_caller(Oid relid, Datum id, AclMode also);

/* restore.c */
typedef struct AppdbRestore
{
	struct AppdbRestore *outer;
	SubTransactionId subid;
	Oid			about;			/* table whose statement is about to begin */
	int			depth;			/* at which it does: deletion.c */
	TimestampTz stamp;			/* of the operation whose rows come back */
	Oid			root_relid;		/* the rows that were asked for, in order */
	Datum	   *roots;
	int			nroots;
	bool		circular;		/* these are all of a circle: they are each other's parents */
	struct HTAB *waiting;		/* rows whose parents may come back yet */
	List	   *passed;			/* rows that have passed to other operations, but not what is below */
	bool		passing;		/* that follows them just now */
	Oid			relid;			/* the last row that came back */
	pg_uuid_t	id;
	List	   *counts;			/* of AppdbRestoreCount */
	MemoryContext context;
} AppdbRestore;

/* what becomes of a row that would come back under a deleted parent */
typedef enum AppdbComeback
{
	APPDB_REFUSED,
	APPDB_WAITS,				/* for its parent, which may come back with it */
	APPDB_PASSES,				/* to the operation that deleted the parent */
	APPDB_COMES					/* with its parent: they are of one circle */
} AppdbComeback;

extern void appdb_restore_pass_on(AppdbRestore *restore);
extern bool appdb_is_passing(void);
extern bool appdb_restore_asked(const AppdbRestore *restore, Oid relid, const pg_uuid_t *id);
extern void appdb_restore_count(AppdbRestore *restore, Oid relid, uint64 nrows);
extern void appdb_restore_waits(AppdbRestore *restore, Oid relid, const pg_uuid_t *id);
extern void appdb_restore_came(AppdbRestore *restore, Oid relid, const pg_uuid_t *id);

/* policy.c: row security where the executor does not see to it */
typedef struct AppdbPolicies AppdbPolicies;
extern bool appdb_may_delete(Relation rel, HeapTuple tuple, AppdbPolicies **policies,
							 MemoryContext context);
extern bool appdb_may_see(Relation rel, HeapTuple tuple, AppdbPolicies **policies,
						  MemoryContext context);
extern bool appdb_will_refuse(Relation rel, HeapTuple tuple, char command, const pg_uuid_t *space);

/* deletion.c: operations that delete rows softly */
extern TimestampTz appdb_deletion_row(Relation rel, HeapTuple oldtup, const pg_uuid_t *id, bool named);
extern void appdb_undeletion_row(Relation rel, TimestampTz stamp, const pg_uuid_t *id);
extern bool appdb_is_restoring(void);
extern AppdbComeback appdb_comeback(Relation rel, const pg_uuid_t *id, TimestampTz parent_deleted_at);
extern void appdb_note_unlinked(const AppdbLink *link, TimestampTz deleted_at,
								const pg_uuid_t *child_id, const pg_uuid_t *parent_id);
extern void appdb_restore_begin(AppdbRestore *restore);
extern void appdb_restore_end(AppdbRestore *restore);
extern void appdb_deletion_init(void);
extern Oid	appdb_whole_table(Oid relid);
extern void appdb_deletion_begin(Relation rel);
extern void appdb_deletion_part(Oid relid);
extern void appdb_refuse_changed(void);
extern void appdb_deletion_end(Relation rel);
extern void **appdb_deletion_deleter(Oid relid, MemoryContext *context);
extern bool appdb_cascading(void);

/* as_owner.c: what works as the tables' owner */
typedef struct AppdbCaller
{
	Oid			userid;
	int			sec_context;
	int			nestlevel;
} AppdbCaller;

extern void appdb_begin_as(Oid owner, AppdbCaller *caller);
extern void appdb_end_as(const AppdbCaller *caller);
extern Datum appdb_work_as(FunctionCallInfo fcinfo, Oid owner);
extern Oid	appdb_working_owner(Oid table_owner);
extern int	appdb_as_owner_depth;
extern bool appdb_called_by_owner;
extern Datum appdb_as_owner(FunctionCallInfo fcinfo);

/* membership.c: who belongs where */
extern bool appdb_in_space(const pg_uuid_t *space);

/* identity.c: who is asking */
extern void appdb_identity_init(void);
extern const pg_uuid_t *appdb_user_id(void);
extern char *appdb_uuid_text(const pg_uuid_t *uuid);
extern void appdb_query_as_owner(SPIPlanPtr *plan, const char *table, const char *sql,
								 int nargs, Oid *types, Datum *values, const char *nulls,
								 bool read_only);
extern Datum appdb_found(uint64 row, int column);

/* plans.c: statements that follow foreign keys, planned once */
#define APPDB_PLAN_RESTORE	0x01	/* for a restore */
#define APPDB_PLAN_NOTED	0x02	/* mode "set null" that is noted */
#define APPDB_PLAN_FEW		0x04	/* for a few rows: a plan for any of them */
#define APPDB_PLAN_LEFT		0x08	/* what is left to do after it, if anything */
typedef char *(*AppdbStatement) (const AppdbLink *link, int kind);
extern SPIPlanPtr appdb_link_plan(const AppdbLink *link, int kind, BlockNumber child_size,
								  AppdbStatement make_statement);
extern void appdb_plans_forget(void);

/* probe.c: whether there are children at all */
extern bool appdb_may_have_children(const AppdbLink *link, Relation child,
									const pg_uuid_t *ids, int nids);

/* soft_delete.c, rewrite.c: DELETE on a live view */
extern ResultRelInfo *appdb_init_target(EState *estate, Relation rel, Bitmapset *updated);
extern bool appdb_in_schema(Relation view);
extern Oid	appdb_base_table(Relation view);
extern void appdb_check_view_owner(Oid view, Oid relid);
extern bool appdb_is_plain_live_view(Relation view);
extern bool appdb_is_live_view(Relation view);
extern void appdb_close_deleter(void *deleter);
extern void appdb_rewrite_init(void);

/* copy.c: COPY into a live view */
extern void appdb_copy_init(void);

/* find.c, find_compile.c: settings of appdb.find() */
extern int	appdb_find_max_depth;
extern int	appdb_find_max_nodes;
extern int	appdb_find_max_rows;
extern int	appdb_find_cache_size;

/* worker.c: maintenance in the background */
extern void appdb_worker_init(void);

#endif							/* APPDB_H */
