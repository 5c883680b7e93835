/*
 * plans.c
 *		The statements that follow foreign keys, planned once in a session.
 *
 * A plan is known by the foreign key and by what it is for.  It is made anew
 * when the links have been read anew (links.c: a name in its text may have
 * changed), when PostgreSQL says that it is out of date, and, since the plans
 * for few rows are made without looking at the rows, when the child table has
 * grown much since: what was best for an empty table is not for a large one.
 * A plan for many rows is made for those each time; its text is analyzed once.
 */
#include "appdb.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

typedef struct PlanKey
{
	Oid			constraint;
	int			kind;
} PlanKey;

typedef struct PlanEntry
{
	PlanKey		key;			/* hash key, must be first */
	uint64		generation;		/* of the link */
	BlockNumber child_size;		/* when it was planned */
	SPIPlanPtr	plan;			/* or NULL */
} PlanEntry;

static HTAB *plans = NULL;
static long room = 0;

/* plans that may still be in use by outer statements */
static List *abandoned = NIL;

/*
 * The transaction has ended: free plans that have been replaced.
 */
void
appdb_plans_forget(void)
{
	ListCell   *lc;

	if (likely(abandoned == NIL))
		return;
	foreach(lc, abandoned)
		(void) SPI_freeplan((SPIPlanPtr) lfirst(lc));
	list_free(abandoned);
	abandoned = NIL;
}

static void
abandon(void *arg)
{
	PlanEntry  *entry = arg;
	MemoryContext oldcontext = MemoryContextSwitchTo(TopMemoryContext);

	if (entry->plan != NULL)
		abandoned = lappend(abandoned, entry->plan);
	entry->plan = NULL;
	MemoryContextSwitchTo(oldcontext);
}

/*
 * The plan for following a foreign key.  SPI is connected, the child table is
 * locked as the statement needs it, and its owner is the current user.
 */
SPIPlanPtr
appdb_link_plan(const AppdbLink *link, int kind, BlockNumber child_size,
				AppdbStatement make_statement)
{
	PlanKey		key = {link->constraint, kind};
	PlanEntry  *entry;
	bool		found;
	Oid			types[2] = {UUIDARRAYOID, TIMESTAMPTZOID};
	int			nargs;
	SPIPlanPtr	plan;

	if (plans == NULL)
		plans = appdb_create_cache("appdb plans", sizeof(PlanKey), sizeof(PlanEntry));
	appdb_trim_cache(plans, &room, CONSTROID, abandon);
	entry = (PlanEntry *) hash_search(plans, &key, HASH_ENTER, &found);
	if (!found)
		entry->plan = NULL;
	if (entry->plan != NULL)
	{
		if (likely(entry->generation == link->generation &&
				   child_size / 2 <= entry->child_size + 4 &&
				   SPI_plan_is_valid(entry->plan)))
			return entry->plan;
		abandon(entry);
	}

	nargs = (kind & APPDB_PLAN_LEFT) == 0 &&
		(link->mode == APPDB_CASCADE || (kind & (APPDB_PLAN_RESTORE | APPDB_PLAN_NOTED)) != 0) ? 2 : 1;
	plan = SPI_prepare_cursor(make_statement(link, kind), nargs, types,
							  (kind & APPDB_PLAN_FEW) != 0 ? CURSOR_OPT_GENERIC_PLAN : CURSOR_OPT_CUSTOM_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI_keepplan failed");

	entry->generation = link->generation;
	entry->child_size = child_size;
	entry->plan = plan;
	return plan;
}
