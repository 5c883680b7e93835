/*
 * membership.c
 *		What the user who is asking may do where: is_member() and its like, which
 *		row security asks for every row.
 *
 * A user's roles in spaces and organizations are loaded once and kept in the
 * backend, in hash tables.  A trigger on the tables that roles come from sends
 * an invalidation with the transaction, as a change of a table's definition
 * would: every backend forgets what it has kept, its own included, also when
 * the transaction is rolled back.  The table that stands for this is
 * app_data.schema_version, since no plan of an application depends on it.
 * Which chats are private, and whose, is kept in the same way; app_data.access
 * stands for that; and what a user may do with single files is kept beside
 * their roles, for which app_data.legal_holds stands.
 *
 * Roles are loaded with the latest snapshot, whatever the isolation level, and
 * in parallel workers too: who was removed does not go on seeing for as long as
 * an old snapshot lasts.  What is kept of one transaction is none of the next
 * where that is SERIALIZABLE: only what it reads itself can conflict with what
 * others write.
 *
 * In a space, a role that the user has there counts; the owner of a personal
 * space is its owner; owners and admins of an organization are that in all of
 * its spaces; its members are viewers in those that are open to it.
 */
#include "appdb.h"

#include "access/parallel.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "nodes/supportnodes.h"
#include "storage/sinval.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

/* roles by rank; an organization has no viewers and editors, but members */
typedef enum Rank
{
	RANK_NONE,
	RANK_VIEWER,				/* and member of an organization */
	RANK_EDITOR,
	RANK_ADMIN,
	RANK_OWNER
} Rank;

typedef struct Membership
{
	pg_uuid_t	id;				/* of a space or an organization; hash key */
	Rank		rank;
} Membership;

/* what permissions allow with a file, in ascending order */
typedef enum FileRight
{
	FILE_NOTHING,
	FILE_READ,
	FILE_WRITE,
	FILE_MANAGE
} FileRight;

#define NRIGHTS (FILE_MANAGE + 1)

typedef struct FilePermission
{
	pg_uuid_t	id;				/* of the file; hash key */
	pg_uuid_t	space;
	TimestampTz until[NRIGHTS]; /* when what a permission allows ends */
} FilePermission;

/* a user's */
typedef struct Memberships
{
	pg_uuid_t	user;
	bool		valid;
	uint64		number;			/* of this loading: no other has the same */
	Membership	last;			/* asked for in spaces: rows come space by space */
	HTAB	   *spaces;
	HTAB	   *organizations;
	MemoryContext context;
	bool		files_valid;
	HTAB	   *files;			/* in a context of its own below the other */
	MemoryContext files_context;
} Memberships;

/* those of the last users who asked here: a pooler brings many */
#define NKEPT 16

/* what is read is read again so often while others change it */
#define MAX_TRIES 3

static Memberships kept[NKEPT];
static int	next_kept = 0;
static uint64 last_number = 0;

/* the last loading before this transaction */
static uint64 number_before = 0;
static Memberships *current = NULL;
static Oid	signal_relid = InvalidOid;
static Oid	files_signal_relid = InvalidOid;

/* the last subtransaction that has loaded any after something was written */
static SubTransactionId loaded_by_writer = InvalidSubTransactionId;

/* who can read a chat; see appdb_can_read_chat() */
typedef struct KnownChat
{
	pg_uuid_t	id;				/* hash key */
	pg_uuid_t	space;
	pg_uuid_t	author;
	bool		has_author;
	bool		is_private;
	bool		readable;		/* by the user of these memberships */
	uint64		memberships;	/* their number, or 0 */
} KnownChat;

/* so many are kept at most: 2 MB */
#define NKEPT_CHATS 16384

static HTAB *kept_chats = NULL;
static Oid	chats_signal_relid = InvalidOid;
static uint64 chats_generation = 0;
static uint64 files_generation = 0;

PG_FUNCTION_INFO_V1(appdb_is_member);
PG_FUNCTION_INFO_V1(appdb_has_role);
PG_FUNCTION_INFO_V1(appdb_is_organization_member);
PG_FUNCTION_INFO_V1(appdb_has_organization_role);
PG_FUNCTION_INFO_V1(appdb_my_spaces);
PG_FUNCTION_INFO_V1(appdb__sees_space);
PG_FUNCTION_INFO_V1(appdb_can_read_chat);
PG_FUNCTION_INFO_V1(appdb_can_read_message);
PG_FUNCTION_INFO_V1(appdb_has_file_permission);
PG_FUNCTION_INFO_V1(appdb__may_give_file);
PG_FUNCTION_INFO_V1(appdb_my_files);
PG_FUNCTION_INFO_V1(appdb_file_support);
PG_FUNCTION_INFO_V1(appdb_keep_author);
PG_FUNCTION_INFO_V1(appdb_membership_support);
PG_FUNCTION_INFO_V1(appdb_membership_changed);

static Oid
find_signal(const char *table)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);

	return OidIsValid(nsp) ? get_relname_relid(table, nsp) : InvalidOid;
}

static void
forget_memberships(Datum arg, Oid relid)
{
	if (!OidIsValid(relid) || relid == chats_signal_relid)
	{
		HTAB	   *chats = kept_chats;

		kept_chats = NULL;
		chats_generation++;
		if (chats != NULL)
			hash_destroy(chats);
		if (!OidIsValid(relid))
			chats_signal_relid = InvalidOid;
	}
	if (!OidIsValid(relid) || relid == files_signal_relid)
	{
		for (int i = 0; i < NKEPT; i++)
			kept[i].files_valid = false;
		files_generation++;
		if (!OidIsValid(relid))
			files_signal_relid = InvalidOid;
	}
	if (OidIsValid(relid) && relid != signal_relid)
		return;
	for (int i = 0; i < NKEPT; i++)
		kept[i].valid = false;
	current = NULL;
	if (!OidIsValid(relid))
		signal_relid = InvalidOid;
}

static Rank
rank_of(const char *role)
{
	if (strcmp(role, "viewer") == 0 || strcmp(role, "member") == 0)
		return RANK_VIEWER;
	if (strcmp(role, "editor") == 0)
		return RANK_EDITOR;
	if (strcmp(role, "admin") == 0)
		return RANK_ADMIN;
	if (strcmp(role, "owner") == 0)
		return RANK_OWNER;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown role \"%s\"", role),
			 errhint("Roles are viewer (in an organization: member), editor, admin and owner.")));
	return RANK_NONE;			/* keep compiler quiet */
}

/*
 * What a transaction finds that has written something could be its own, and
 * where the statement fails in the middle, its triggers send no invalidation.
 */
static void
forget_uncommitted(SubTransactionId since)
{
	if (loaded_by_writer == InvalidSubTransactionId || loaded_by_writer < since)
		return;
	loaded_by_writer = InvalidSubTransactionId;
	for (int i = 0; i < NKEPT; i++)
		kept[i].valid = false;
	current = NULL;
}

static void
forget_at_xact_end(XactEvent event, void *arg)
{
	number_before = last_number;
	if (event == XACT_EVENT_ABORT)
		forget_uncommitted(TopSubTransactionId);
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		loaded_by_writer = InvalidSubTransactionId;
}

static void
forget_at_subxact_end(SubXactEvent event, SubTransactionId mySubid,
					  SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_uncommitted(mySubid);
}

static void
note_loading(void)
{
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		loaded_by_writer = GetCurrentSubTransactionId();
}

/* Have what is kept forgotten where others have changed what it is about. */
static void
watch_changes(void)
{
	static bool registered = false;

	if (!registered)
	{
		appdb_register_relcache_callback(forget_memberships);
		RegisterXactCallback(forget_at_xact_end, NULL);
		RegisterSubXactCallback(forget_at_subxact_end, NULL);
		registered = true;
	}
}

/* ids are uuids */
static uint32
hash_id(const void *key, Size size)
{
	uint64		halves[2];
	uint64		h;

	/* as MurmurHash3 ends: what varies is often in the highest bits only */
	memcpy(halves, key, sizeof(halves));
	h = halves[0] ^ (halves[1] >> 31) ^ (halves[1] * UINT64CONST(0x9E3779B97F4A7C15));
	h ^= h >> 33;
	h *= UINT64CONST(0xFF51AFD7ED558CCD);
	h ^= h >> 33;
	h *= UINT64CONST(0xC4CEB9FE1A85EC53);
	return (uint32) (h ^ (h >> 33));
}

static HTAB *
make_table(const char *name, Size entrysize, MemoryContext context)
{
	HASHCTL		ctl;

	memset(&ctl, 0, sizeof(ctl));
	ctl.keysize = sizeof(pg_uuid_t);
	ctl.entrysize = entrysize;
	ctl.hash = hash_id;
	ctl.hcxt = context;
	return hash_create(name, 32, &ctl, HASH_ELEM | HASH_FUNCTION | HASH_CONTEXT);
}

/*
 * A snapshot of now for a query of ours.  In parallel mode there can be only
 * one for catalogs, which is no less one of now.
 */
static void
push_snapshot_of_now(void)
{
	if (IsInParallelMode())
	{
		InvalidateCatalogSnapshot();
		PushActiveSnapshot(GetCatalogSnapshot(RelationRelationId));
	}
	else
		PushActiveSnapshot(GetLatestSnapshot());
}

static Rank
rank_in(HTAB *table, const pg_uuid_t *id)
{
	Membership *entry = hash_search(table, id, HASH_FIND, NULL);

	return entry ? entry->rank : RANK_NONE;
}

static void
load_memberships(Memberships *memberships, const pg_uuid_t *user)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID};
	Datum		value = UUIDPGetDatum(user);
	MemoryContext context;
	HTAB	   *spaces;
	HTAB	   *organizations;

	context = AllocSetContextCreate(CurrentMemoryContext, "appdb memberships", ALLOCSET_SMALL_SIZES);
	spaces = make_table("appdb spaces", sizeof(Membership), context);
	organizations = make_table("appdb organizations", sizeof(Membership), context);

	push_snapshot_of_now();
	SPI_connect();
	appdb_query_as_owner(&plan, "space_members",
						 "WITH o AS MATERIALIZED ("
						 "  SELECT m.organization_id AS id, m.role::pg_catalog.text AS role FROM app_data.members m "
						 "  JOIN app_data.organizations o ON o.id OPERATOR(pg_catalog.=) m.organization_id "
						 "  WHERE m.user_id OPERATOR(pg_catalog.=) $1 AND m.deleted_at IS NULL AND o.deleted_at IS NULL"
						 ") "
						 "SELECT true, o.id::pg_catalog.uuid, o.role FROM o "
						 "UNION ALL "
						 "SELECT false, s.id::pg_catalog.uuid, m.role::pg_catalog.text FROM app_data.space_members m "
						 "JOIN app_data.spaces s ON s.id OPERATOR(pg_catalog.=) m.space_id "
						 "WHERE m.user_id OPERATOR(pg_catalog.=) $1 AND m.deleted_at IS NULL AND s.deleted_at IS NULL "
						 "UNION ALL "
						 "SELECT false, s.id::pg_catalog.uuid, 'owner' FROM app_data.spaces s "
						 "WHERE s.owner_id OPERATOR(pg_catalog.=) $1 AND s.deleted_at IS NULL "
						 "UNION ALL "
						 "SELECT false, s.id::pg_catalog.uuid, CASE WHEN o.role OPERATOR(pg_catalog.=) 'member' THEN 'viewer' ELSE o.role END "
						 "FROM o JOIN app_data.spaces s ON s.organization_id OPERATOR(pg_catalog.=) o.id "
						 "WHERE s.deleted_at IS NULL AND (o.role OPERATOR(pg_catalog.<>) 'member' "
						 "OR s.visibility::pg_catalog.text OPERATOR(pg_catalog.=) ANY ('{organization,public}'))",
						 1, types, &value, NULL, true);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		found;
		bool		organization = DatumGetBool(appdb_found(i, 1));
		pg_uuid_t  *id = DatumGetUUIDP(appdb_found(i, 2));
		Rank		rank = rank_of(TextDatumGetCString(appdb_found(i, 3)));
		Membership *entry = hash_search(organization ? organizations : spaces, id, HASH_ENTER, &found);

		entry->rank = found ? Max(entry->rank, rank) : rank;
	}
	SPI_finish();
	PopActiveSnapshot();

	/* from here on nothing fails */
	if (memberships->context != NULL)
		MemoryContextDelete(memberships->context);
	MemoryContextSetParent(context, TopMemoryContext);
	memberships->context = context;
	memberships->spaces = spaces;
	memberships->organizations = organizations;
	memberships->user = *user;
	memberships->number = ++last_number;
	memberships->files_context = NULL;
	memberships->files_valid = false;
	memset(&memberships->last, 0, sizeof(Membership));
	/* a space can have the id 0 */
	memberships->last.rank = rank_in(spaces, &memberships->last.id);
	memberships->valid = true;
	note_loading();
}

static inline bool
is_valid(const Memberships *memberships)
{
	return memberships->valid && (!IsolationIsSerializable() || memberships->number > number_before);
}

/*
 * The memberships of the user who is asking, or NULL for nobody.  "accept":
 * look first whether somebody has changed them.
 */
static Memberships *
get_memberships(bool accept)
{
	const pg_uuid_t *user = appdb_user_id();
	Memberships *found = NULL;

	if (user == NULL)
		return NULL;
	if (accept && !IsParallelWorker())
		AcceptInvalidationMessages();
	if (likely(current != NULL && is_valid(current) && memcmp(&current->user, user, sizeof(pg_uuid_t)) == 0))
		return current;

	watch_changes();
	for (int i = 0; i < NKEPT && found == NULL; i++)
	{
		if (kept[i].context != NULL && memcmp(&kept[i].user, user, sizeof(pg_uuid_t)) == 0)
			found = &kept[i];
	}
	if (found == NULL || !is_valid(found))
	{
		pg_uuid_t	copy = *user;

		/* what was kept of the same user makes room */
		if (found == NULL)
		{
			found = &kept[next_kept];
			next_kept = (next_kept + 1) % NKEPT;
		}
		/* a change that arrives while we read makes us read again */
		current = NULL;
		for (int tries = 0; current != found; tries++)
		{
			CHECK_FOR_INTERRUPTS();
			signal_relid = find_signal("schema_version");
			found->valid = false;
			/* where there is no end of them, this is for the question at hand alone */
			if (tries == MAX_TRIES)
				return found;
			current = found;
			load_memberships(found, &copy);
		}
	}
	current = found;
	return found;
}

static Rank
rank_in_space(Memberships *memberships, const pg_uuid_t *id)
{
	if (memcmp(&memberships->last.id, id, sizeof(pg_uuid_t)) != 0)
	{
		memberships->last.id = *id;
		memberships->last.rank = rank_in(memberships->spaces, id);
	}
	return memberships->last.rank;
}

/*
 * What a call of one of the functions keeps: for which statement it has looked
 * for changes (in PL/pgSQL it lasts as long as the transaction), and the rank
 * of a role that is always the same.
 */
typedef struct RoleOfCall
{
	TimestampTz statement;
	Rank		rank;
	char		role[NAMEDATALEN];
} RoleOfCall;

static bool
is_new_statement(TimestampTz *last)
{
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (likely(*last == now))
		return false;
	*last = now;
	return true;
}

static Memberships *
memberships_of_call(FunctionCallInfo fcinfo)
{
	RoleOfCall *call = fcinfo->flinfo->fn_extra;

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(RoleOfCall));
	return get_memberships(is_new_statement(&call->statement));
}

static Rank
wanted_rank(FunctionCallInfo fcinfo, text *role)
{
	RoleOfCall *last = fcinfo->flinfo->fn_extra;
	int			len = VARSIZE_ANY_EXHDR(role);

	if (last->rank == RANK_NONE || (int) strlen(last->role) != len ||
		memcmp(last->role, VARDATA_ANY(role), len) != 0)
	{
		char	   *string = text_to_cstring(role);

		last->rank = rank_of(string);
		strlcpy(last->role, string, sizeof(last->role));
	}
	return last->rank;
}

/* Does the user who is asking belong to a space? */
bool
appdb_in_space(const pg_uuid_t *space)
{
	Memberships *memberships = get_memberships(false);

	return memberships != NULL && rank_in(memberships->spaces, space) >= RANK_VIEWER;
}

/*
 * appdb.is_member(space_id uuid) returns boolean
 */
Datum
appdb_is_member(PG_FUNCTION_ARGS)
{
	Memberships *memberships = memberships_of_call(fcinfo);

	PG_RETURN_BOOL(memberships != NULL &&
				   rank_in_space(memberships, PG_GETARG_UUID_P(0)) >= RANK_VIEWER);
}

/*
 * appdb._sees_space(id uuid, owner_id uuid, organization_id uuid, deleted_at timestamptz) returns boolean
 *		is_member() of a row of spaces.  Of one that is just being inserted its
 *		columns say who will be, so that INSERT ... RETURNING can show it.
 */
Datum
appdb__sees_space(PG_FUNCTION_ARGS)
{
	Memberships *memberships = memberships_of_call(fcinfo);

	if (memberships == NULL || PG_ARGISNULL(0))
		PG_RETURN_BOOL(false);
	if (rank_in_space(memberships, PG_GETARG_UUID_P(0)) >= RANK_VIEWER)
		PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(PG_ARGISNULL(3) &&
				   ((!PG_ARGISNULL(1) &&
					 memcmp(PG_GETARG_UUID_P(1), &memberships->user, sizeof(pg_uuid_t)) == 0) ||
					(!PG_ARGISNULL(2) &&
					 rank_in(memberships->organizations, PG_GETARG_UUID_P(2)) >= RANK_ADMIN)));
}

/*
 * appdb.has_role(space_id uuid, role text) returns boolean
 */
Datum
appdb_has_role(PG_FUNCTION_ARGS)
{
	Memberships *memberships = memberships_of_call(fcinfo);
	Rank		wanted = wanted_rank(fcinfo, PG_GETARG_TEXT_PP(1));

	PG_RETURN_BOOL(memberships != NULL &&
				   rank_in_space(memberships, PG_GETARG_UUID_P(0)) >= wanted);
}

/*
 * appdb.is_organization_member(organization_id uuid) returns boolean
 */
Datum
appdb_is_organization_member(PG_FUNCTION_ARGS)
{
	Memberships *memberships = memberships_of_call(fcinfo);

	PG_RETURN_BOOL(memberships != NULL &&
				   rank_in(memberships->organizations, PG_GETARG_UUID_P(0)) >= RANK_VIEWER);
}

/*
 * appdb.has_organization_role(organization_id uuid, role text) returns boolean
 */
Datum
appdb_has_organization_role(PG_FUNCTION_ARGS)
{
	Memberships *memberships = memberships_of_call(fcinfo);
	Rank		wanted = wanted_rank(fcinfo, PG_GETARG_TEXT_PP(1));

	PG_RETURN_BOOL(memberships != NULL &&
				   rank_in(memberships->organizations, PG_GETARG_UUID_P(0)) >= wanted);
}

/*
 * appdb.my_spaces() returns uuid[]
 *		The spaces for which is_member() is true.
 */
Datum
appdb_my_spaces(PG_FUNCTION_ARGS)
{
	Memberships *memberships = get_memberships(true);
	HASH_SEQ_STATUS status;
	Membership *entry;
	Datum	   *ids;
	int			n = 0;

	if (memberships == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));
	ids = palloc(sizeof(Datum) * (hash_get_num_entries(memberships->spaces) + 1));
	hash_seq_init(&status, memberships->spaces);
	while ((entry = hash_seq_search(&status)) != NULL)
		ids[n++] = UUIDPGetDatum(&entry->id);
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* ---- files ---- */

static FileRight
right_of(const char *permission)
{
	if (strcmp(permission, "read") == 0)
		return FILE_READ;
	if (strcmp(permission, "write") == 0)
		return FILE_WRITE;
	if (strcmp(permission, "manage") == 0)
		return FILE_MANAGE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown permission \"%s\"", permission),
			 errhint("Permissions are read, write and manage.")));
	return FILE_NOTHING;		/* keep compiler quiet */
}

/*
 * Load what the user may do with single files: by permissions of their own,
 * and by those for everyone in spaces where their role does not suffice.  Not
 * valid if a change arrives meanwhile.
 */
static void
load_files(Memberships *memberships)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID, UUIDARRAYOID};
	Datum		values[2];
	uint64		generation;
	MemoryContext context;
	HTAB	   *files;
	HASH_SEQ_STATUS status;
	Membership *entry;
	Datum	   *ids = palloc(sizeof(Datum) * (hash_get_num_entries(memberships->spaces) + 1));
	int			nids = 0;

	context = AllocSetContextCreate(CurrentMemoryContext, "appdb files", ALLOCSET_SMALL_SIZES);
	files = make_table("appdb files", sizeof(FilePermission), context);
	hash_seq_init(&status, memberships->spaces);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (entry->rank < RANK_ADMIN)
			ids[nids++] = UUIDPGetDatum(&entry->id);
	}
	values[0] = UUIDPGetDatum(&memberships->user);
	values[1] = PointerGetDatum(construct_array(ids, nids, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));

	files_signal_relid = find_signal("legal_holds");
	generation = files_generation;
	push_snapshot_of_now();
	SPI_connect();
	appdb_query_as_owner(&plan, "file_permissions",
						 "SELECT p.file_id::pg_catalog.uuid, p.permission::pg_catalog.text, p.expires_at::pg_catalog.timestamptz, p.space_id::pg_catalog.uuid "
						 "FROM app_data.file_permissions p "
						 "WHERE p.user_id OPERATOR(pg_catalog.=) $1 AND p.deleted_at IS NULL "
						 "UNION ALL "
						 "SELECT p.file_id::pg_catalog.uuid, p.permission::pg_catalog.text, p.expires_at::pg_catalog.timestamptz, p.space_id::pg_catalog.uuid "
						 "FROM app_data.file_permissions p "
						 "WHERE p.space_id OPERATOR(pg_catalog.=) ANY ($2) AND p.user_id IS NULL AND p.deleted_at IS NULL",
						 2, types, values, NULL, true);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		bool		found;
		FileRight	right = right_of(TextDatumGetCString(appdb_found(i, 2)));
		Datum		until = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 3, &isnull);
		TimestampTz end = isnull ? DT_NOEND : DatumGetTimestampTz(until);
		pg_uuid_t  *space = DatumGetUUIDP(appdb_found(i, 4));
		FilePermission *file = hash_search(files, DatumGetUUIDP(appdb_found(i, 1)), HASH_ENTER, &found);

		if (!found)
		{
			file->space = *space;
			for (int j = 0; j < NRIGHTS; j++)
				file->until[j] = DT_NOBEGIN;
		}
		for (int j = 0; j <= (int) right; j++)
			file->until[j] = Max(file->until[j], end);
	}
	SPI_finish();
	PopActiveSnapshot();

	if (memberships->files_context != NULL)
		MemoryContextDelete(memberships->files_context);
	MemoryContextSetParent(context, memberships->context);
	memberships->files_context = context;
	memberships->files = files;
	memberships->files_valid = (generation == files_generation && memberships->valid);
	note_loading();
}

/* The memberships of the user who is asking with their files, or NULL. */
static Memberships *
get_files(bool accept)
{
	Memberships *memberships = get_memberships(accept);

	for (int tries = 0; memberships != NULL && !memberships->files_valid; tries++)
	{
		CHECK_FOR_INTERRUPTS();
		load_files(memberships);
		/* as for the memberships */
		if (tries == MAX_TRIES)
			break;
		memberships = get_memberships(false);
	}
	return memberships;
}

/*
 * What a call of has_file_permission() keeps: for which statement it has looked
 * for changes, and when, which can be much later than the statement that a
 * PL/pgSQL function with many of its own began with.
 */
typedef struct FilesOfCall
{
	TimestampTz statement;
	TimestampTz now;
} FilesOfCall;

/* Until when the user who is asking may do something with a file: DT_NOBEGIN, if it is not now. */
static TimestampTz
allowed_until(FunctionCallInfo fcinfo, const pg_uuid_t *space, const pg_uuid_t *id, FileRight wanted)
{
	Memberships *memberships;
	FilePermission *file;
	FilesOfCall *call = fcinfo->flinfo->fn_extra;
	bool		is_new;

	if (call == NULL)
		fcinfo->flinfo->fn_extra = call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(FilesOfCall));
	is_new = is_new_statement(&call->statement);
	if (is_new)
		call->now = GetCurrentTimestamp();
	memberships = get_files(is_new);
	if (memberships == NULL)
		return DT_NOBEGIN;
	file = hash_search(memberships->files, id, HASH_FIND, NULL);
	return file != NULL && memcmp(&file->space, space, sizeof(pg_uuid_t)) == 0 && file->until[wanted] > call->now ?
		file->until[wanted] : DT_NOBEGIN;
}

/*
 * appdb.has_file_permission(space_id uuid, file_id uuid, permission text) returns boolean
 */
Datum
appdb_has_file_permission(PG_FUNCTION_ARGS)
{
	FileRight	wanted = right_of(text_to_cstring(PG_GETARG_TEXT_PP(2)));

	PG_RETURN_BOOL(allowed_until(fcinfo, PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1), wanted) != DT_NOBEGIN);
}

/*
 * appdb._may_give_file(space_id uuid, file_id uuid, until timestamptz) returns boolean
 *		May the user who is asking give a permission for a file that ends then,
 *		or, if null, never?  Not beyond the end of their own to manage it.
 */
Datum
appdb__may_give_file(PG_FUNCTION_ARGS)
{
	TimestampTz until = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2);
	TimestampTz own;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_BOOL(false);
	own = allowed_until(fcinfo, PG_GETARG_UUID_P(0), PG_GETARG_UUID_P(1), FILE_MANAGE);
	PG_RETURN_BOOL(own != DT_NOBEGIN && until <= own);
}

/*
 * appdb.my_files(permission text) returns uuid[]
 *		The files for which has_file_permission() is true.
 */
Datum
appdb_my_files(PG_FUNCTION_ARGS)
{
	FileRight	wanted = right_of(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	Memberships *memberships = get_files(true);
	TimestampTz now = GetCurrentTimestamp();
	HASH_SEQ_STATUS status;
	FilePermission *file;
	Datum	   *ids;
	int			n = 0;

	if (memberships == NULL)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(UUIDOID));
	ids = palloc(sizeof(Datum) * (hash_get_num_entries(memberships->files) + 1));
	hash_seq_init(&status, memberships->files);
	while ((file = hash_seq_search(&status)) != NULL)
	{
		if (file->until[wanted] > now)
			ids[n++] = UUIDPGetDatum(&file->id);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/* ---- private chats ---- */

/* What one call of can_read() keeps for the statement. */
typedef struct ChatsOfCall
{
	HTAB	   *chats;			/* by message, for appdb.can_read_message() */
	MemoryContext context;
	TimestampTz statement;
	uint64		generation;
	CommandId	command;
	KnownChat	last;			/* of kept_chats: rows come chat by chat, often */
	uint64		last_generation;
} ChatsOfCall;

/*
 * Look a chat up, or that of a message, with the latest snapshot; false where
 * there is none.
 */
static bool
load_chat(const pg_uuid_t *id, bool of_message, KnownChat *chat)
{
	static SPIPlanPtr plans[2] = {NULL, NULL};
	Oid			types[] = {UUIDOID};
	Datum		value = UUIDPGetDatum(id);
	bool		found;

	memset(chat, 0, sizeof(*chat));
	push_snapshot_of_now();
	SPI_connect();
	appdb_query_as_owner(&plans[of_message], "chats",
						 of_message ?
						 "SELECT c.space_id::pg_catalog.uuid, c.user_id::pg_catalog.uuid, c.visibility::pg_catalog.text OPERATOR(pg_catalog.=) 'private' "
						 "FROM app_data.messages m JOIN app_data.chats c ON c.id OPERATOR(pg_catalog.=) m.chat_id "
						 "WHERE m.id OPERATOR(pg_catalog.=) $1" :
						 "SELECT c.space_id::pg_catalog.uuid, c.user_id::pg_catalog.uuid, c.visibility::pg_catalog.text OPERATOR(pg_catalog.=) 'private' "
						 "FROM app_data.chats c WHERE c.id OPERATOR(pg_catalog.=) $1",
						 1, types, &value, NULL, true);
	found = (SPI_processed == 1);
	if (found)
	{
		Datum		author;
		bool		isnull;

		chat->id = *id;
		chat->space = *DatumGetUUIDP(appdb_found(0, 1));
		author = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull);
		chat->has_author = !isnull;
		if (!isnull)
			chat->author = *DatumGetUUIDP(author);
		chat->is_private = DatumGetBool(appdb_found(0, 3));
	}
	SPI_finish();
	PopActiveSnapshot();
	return found;
}

/* Is the user a member of the chat's space, and the chat not another's private one? */
static bool
is_readable(const KnownChat *chat, Memberships *memberships)
{
	return rank_in_space(memberships, &chat->space) >= RANK_VIEWER &&
		(!chat->is_private ||
		 (chat->has_author && memcmp(&chat->author, &memberships->user, sizeof(pg_uuid_t)) == 0));
}

/*
 * May the user who is asking read a chat, or that of a message?  Members of the
 * space may, but a private one is its author's alone.
 *
 * What a transaction finds that has written something is kept for the statement
 * only: it could be the transaction's own and be rolled back.  So is the chat of
 * a message.
 */
static bool
can_read(FunctionCallInfo fcinfo, bool of_message)
{
	pg_uuid_t  *space = PG_GETARG_UUID_P(0);
	pg_uuid_t  *id = PG_GETARG_UUID_P(1);
	ChatsOfCall *call = fcinfo->flinfo->fn_extra;
	Memberships *memberships;
	KnownChat  *chat = NULL;
	KnownChat	loaded;
	bool		is_kept;

	if (call == NULL)
	{
		call = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(ChatsOfCall));
		call->context = fcinfo->flinfo->fn_mcxt;
		fcinfo->flinfo->fn_extra = call;
	}
	if (is_new_statement(&call->statement))
	{
		if (call->chats != NULL)
			hash_destroy(call->chats);
		call->chats = NULL;
		memberships = get_memberships(true);
	}
	else
		memberships = get_memberships(false);
	if (memberships == NULL)
		return false;

	if (call->last.memberships == memberships->number && call->last_generation == chats_generation &&
		memcmp(&call->last.id, id, sizeof(pg_uuid_t)) == 0)
		return call->last.readable && memcmp(&call->last.space, space, sizeof(pg_uuid_t)) == 0;

	if (kept_chats != NULL && !of_message && !IsolationIsSerializable())
		chat = hash_search(kept_chats, id, HASH_FIND, NULL);
	is_kept = chat != NULL;
	if (chat == NULL && call->chats != NULL)
	{
		if (call->generation == chats_generation && call->command == GetCurrentCommandId(false))
			chat = hash_search(call->chats, id, HASH_FIND, NULL);
		else
		{
			hash_destroy(call->chats);
			call->chats = NULL;
		}
	}
	if (chat == NULL)
	{
		uint64		generation;

		chats_signal_relid = find_signal("access");
		generation = chats_generation;
		if (!load_chat(id, of_message, &loaded))
			return false;
		/* if they have changed meanwhile, this may let go of chats */
		memberships = get_memberships(false);
		/* nor is the same user asking, necessarily */
		if (memberships == NULL)
			return false;
		chat = &loaded;

		/* not if it has changed meanwhile */
		if (generation == chats_generation && OidIsValid(chats_signal_relid))
		{
			HTAB	   *chats;

			if (!of_message && !IsInParallelMode() && !IsolationIsSerializable() &&
				!TransactionIdIsValid(GetTopTransactionIdIfAny()))
			{
				if (kept_chats != NULL && hash_get_num_entries(kept_chats) >= NKEPT_CHATS)
				{
					chats = kept_chats;
					kept_chats = NULL;
					hash_destroy(chats);
				}
				if (kept_chats == NULL)
					kept_chats = make_table("appdb chats", sizeof(KnownChat), TopMemoryContext);
				chats = kept_chats;
			}
			else
			{
				if (call->chats != NULL && hash_get_num_entries(call->chats) >= NKEPT_CHATS)
				{
					chats = call->chats;
					call->chats = NULL;
					hash_destroy(chats);
				}
				if (call->chats == NULL)
				{
					call->chats = make_table("appdb chats", sizeof(KnownChat), call->context);
					call->generation = generation;
					call->command = GetCurrentCommandId(false);
				}
				chats = call->chats;
			}
			chat = hash_search(chats, id, HASH_ENTER, NULL);
			*chat = loaded;
		}
	}
	if (chat->memberships != memberships->number)
	{
		chat->readable = is_readable(chat, memberships);
		chat->memberships = memberships->number;
	}
	if (is_kept)
	{
		call->last = *chat;
		call->last_generation = chats_generation;
	}
	return chat->readable && memcmp(&chat->space, space, sizeof(pg_uuid_t)) == 0;
}

/*
 * appdb.can_read_chat(space_id uuid, chat_id uuid) returns boolean
 */
Datum
appdb_can_read_chat(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(can_read(fcinfo, false));
}

/*
 * appdb.can_read_message(space_id uuid, message_id uuid) returns boolean
 */
Datum
appdb_can_read_message(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(can_read(fcinfo, true));
}

/* ---- whose a row is ---- */

static bool
column_uuid(Relation rel, HeapTuple tup, const char *name, pg_uuid_t *value)
{
	int			column = SPI_fnumber(RelationGetDescr(rel), name);
	bool		isnull;
	Datum		datum;

	/* anybody can put the trigger on a table of their own */
	if (column <= 0 || SPI_gettypeid(RelationGetDescr(rel), column) != UUIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\" of type uuid", RelationGetRelationName(rel), name)));
	datum = heap_getattr(tup, column, RelationGetDescr(rel), &isnull);
	if (!isnull)
		*value = *DatumGetUUIDP(datum);
	return !isnull;
}

/*
 * appdb.keep_author() returns trigger
 *		BEFORE UPDATE FOR EACH ROW of a table within spaces whose rows have an
 *		author, WHEN that, the space or who can read the row changes: this is the
 *		author's to decide, and an admin's.  An editor could make another's row
 *		their own otherwise, and with it what only authors may.  The argument
 *		"chat_id" says that a message moves to another chat: the author of the one
 *		that it is in, who could delete it with that, may do so as well.  The
 *		argument "granted_by" says that of a permission who has given it changes:
 *		that is said in one's own name, as the policy for INSERT has it, or nobody's.
 */
Datum
appdb_keep_author(PG_FUNCTION_ARGS)
{
	TriggerData *trigdata = (TriggerData *) fcinfo->context;
	const pg_uuid_t *user = appdb_user_id();
	Relation	rel;
	Memberships *memberships;
	pg_uuid_t	author;
	pg_uuid_t	space;
	pg_uuid_t	new_space;
	pg_uuid_t	chat_id;
	KnownChat	chat;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigdata->tg_event) ||
		!TRIGGER_FIRED_BEFORE(trigdata->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigdata->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.keep_author() can only be called by a trigger BEFORE UPDATE FOR EACH ROW")));
	rel = trigdata->tg_relation;

	/* the owner's own work, and what foreign keys do, is none of a user's */
	if (user == NULL || check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED)
		PG_RETURN_POINTER(trigdata->tg_newtuple);

	if (trigdata->tg_trigger->tgnargs > 0 && strcmp(trigdata->tg_trigger->tgargs[0], "granted_by") == 0)
	{
		if (!column_uuid(rel, trigdata->tg_newtuple, "granted_by", &author) || memcmp(&author, user, sizeof(pg_uuid_t)) == 0)
			PG_RETURN_POINTER(trigdata->tg_newtuple);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to give a permission as somebody else"),
				 errhint("Leave granted_by as it is, or name yourself or nobody."),
				 errtablecol(rel, SPI_fnumber(RelationGetDescr(rel), "granted_by"))));
	}

	memberships = get_memberships(true);
	if (column_uuid(rel, trigdata->tg_trigtuple, "space_id", &space) &&
		((column_uuid(rel, trigdata->tg_trigtuple, "user_id", &author) &&
		  memcmp(&author, user, sizeof(pg_uuid_t)) == 0) ||
		 rank_in(memberships->spaces, &space) >= RANK_ADMIN ||
		 (trigdata->tg_trigger->tgnargs > 0 &&
		  column_uuid(rel, trigdata->tg_trigtuple, "chat_id", &chat_id) &&
		  load_chat(&chat_id, false, &chat) && chat.has_author &&
		  memcmp(&chat.author, user, sizeof(pg_uuid_t)) == 0)) &&
		column_uuid(rel, trigdata->tg_newtuple, "space_id", &new_space) &&
		(memcmp(&space, &new_space, sizeof(pg_uuid_t)) == 0 ||
		 rank_in(memberships->spaces, &new_space) >= RANK_EDITOR))
		PG_RETURN_POINTER(trigdata->tg_newtuple);

	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to change whose a row of table \"%s.%s\" is",
					get_namespace_name(RelationGetNamespace(rel)), RelationGetRelationName(rel)),
			 errdetail("Only its author, and admins of its space, give it to somebody else or to another space, or change who can read it."),
			 errtable(rel)));
	PG_RETURN_NULL();			/* keep compiler quiet */
}

/* ---- for the planner ---- */

/*
 * Is this condition, alone or as an arm of an OR, all that the table is
 * searched by, but for the one that its rows live, and for what else the policy
 * says?  Then the caller's spaces and files can be looked up by index; beside
 * another condition that would only be in its way.
 */
static bool
is_sole_condition(PlannerInfo *root, RelOptInfo *rel, Node *clause)
{
	ListCell   *lc;

	if (rel->joininfo != NIL || rel->has_eclass_joins)
		return false;
	foreach(lc, rel->baserestrictinfo)
	{
		RestrictInfo *other = lfirst_node(RestrictInfo, lc);

		if (other->security_level >= root->qual_security_level &&
			!equal(other->clause, clause) && !IsA(other->clause, NullTest) &&
			!(is_orclause(other->clause) && list_member(((BoolExpr *) other->clause)->args, clause)))
			return false;
	}
	return true;
}

/*
 * The condition that a column, the argument "arg" of the function at hand, is
 * among what another returns, an array, as an index on the column can look it
 * up; NIL where that is of no use.
 */
static List *
index_condition(SupportRequestIndexCondition *req, int arg, const char *name, List *args)
{
	ScalarArrayOpExpr *condition = makeNode(ScalarArrayOpExpr);
	Oid			types[1] = {TEXTOID};
	Oid			function;

	if (!is_funcclause(req->node) || req->indexarg != arg ||
		req->index->relam != BTREE_AM_OID || req->indexcol != 0 ||
		!is_sole_condition(req->root, req->index->rel, req->node))
		return NIL;
	function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
							   PointerGetDatum(buildoidvector(types, list_length(args))),
							   ObjectIdGetDatum(get_namespace_oid(APPDB_SCHEMA, false)));
	condition->opno = get_opfamily_member(req->opfamily, UUIDOID, UUIDOID, BTEqualStrategyNumber);
	if (!OidIsValid(function) || !OidIsValid(condition->opno))
		return NIL;
	condition->opfuncid = get_opcode(condition->opno);
	condition->useOr = true;
	condition->inputcollid = InvalidOid;
	condition->args = list_make2(list_nth(((FuncExpr *) req->node)->args, arg),
								 makeFuncExpr(function, UUIDARRAYOID, args,
											  InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL));
	condition->location = -1;
	req->lossy = arg != 0;
	return list_make1(condition);
}

/*
 * appdb._membership_support(internal) returns internal
 *		Of is_member(), _sees_space(), can_read_chat() and can_read_message(): as
 *		good as always true where they are asked, and an index condition on the
 *		space where that is all there is.
 */
Datum
appdb_membership_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSelectivity))
	{
		((SupportRequestSelectivity *) request)->selectivity = 1.0;
		result = request;
	}
	else if (IsA(request, SupportRequestIndexCondition))
	{
		SupportRequestIndexCondition *req = (SupportRequestIndexCondition *) request;

		result = (Node *) index_condition(req, 0, "my_spaces", NIL);
		/* of the others that is not all */
		req->lossy = result != NULL && list_length(((FuncExpr *) req->node)->args) > 1;
	}
	PG_RETURN_POINTER(result);
}

/*
 * appdb._file_support(internal) returns internal
 *		Of has_file_permission(): few files are shared one by one.
 */
Datum
appdb_file_support(PG_FUNCTION_ARGS)
{
	Node	   *request = (Node *) PG_GETARG_POINTER(0);
	Node	   *result = NULL;

	if (IsA(request, SupportRequestSelectivity))
	{
		((SupportRequestSelectivity *) request)->selectivity = 0.0001;
		result = request;
	}
	else if (IsA(request, SupportRequestIndexCondition))
	{
		SupportRequestIndexCondition *req = (SupportRequestIndexCondition *) request;

		if (is_funcclause(req->node) && IsA(lthird(((FuncExpr *) req->node)->args), Const))
			result = (Node *) index_condition(req, 1, "my_files",
											  list_make1(lthird(((FuncExpr *) req->node)->args)));
	}
	PG_RETURN_POINTER(result);
}

/* ---- changes ---- */

/*
 * appdb.membership_changed() returns trigger
 *		AFTER changes of the tables that roles come from, FOR EACH ROW: a soft
 *		delete that is done row by row fires no statement triggers there.  The
 *		argument "chats" or "files" says that something else has changed.
 */
Datum
appdb_membership_changed(PG_FUNCTION_ARGS)
{
	Trigger    *trigger;
	const char *signal = "schema_version";
	Oid			relid;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("appdb.membership_changed() can only be called by a trigger")));
	trigger = ((TriggerData *) fcinfo->context)->tg_trigger;
	if (trigger->tgnargs > 0)
		signal = strcmp(trigger->tgargs[0], "files") == 0 ? "legal_holds" : "access";
	relid = find_signal(signal);
	if (OidIsValid(relid))
		CacheInvalidateRelcacheByRelid(relid);
	PG_RETURN_POINTER(NULL);
}
