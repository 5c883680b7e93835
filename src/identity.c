/*
 * identity.c
 *		Who is asking: settings that SQL can read and only the engine can set.
 *
 * appdb.user_id is the signed-in user, appdb.session_id the session that a
 * token has named.  Their check hook refuses every value that does not come
 * from appdb.authenticate(), appdb.impersonate() or appdb.sign_out(): from SET,
 * set_config() and SET clauses of functions, by whomever; from ALTER ROLE,
 * ALTER DATABASE and connection options; from before the library was loaded.
 * As settings they follow transactions and subtransactions and reach parallel
 * workers.
 *
 * They hold for the transaction, unless asked for the session: a pooler gives
 * the connection to somebody else after that.
 */
#include "appdb.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "common/base64.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#define USER_ID		"appdb.user_id"
#define SESSION_ID	"appdb.session_id"

/* bytes of randomness in a token */
#define TOKEN_BYTES 32

static char *user_id_setting = NULL;
static char *session_id_setting = NULL;

/* the values, taken apart; NULL for nobody.  They stay where they are: what runs meanwhile can change who is asking */
static const pg_uuid_t *user_id = NULL;
static const pg_uuid_t *session_id = NULL;

/* are we setting them now? */
static bool unlocked = false;

/* has an identity been asked for until the connection ends? */
static bool has_session_identity = false;

/* is appdb.query_as() running a query? */
static bool in_query_as = false;

PG_FUNCTION_INFO_V1(appdb_current_user_id);
PG_FUNCTION_INFO_V1(appdb_current_session_id);
PG_FUNCTION_INFO_V1(appdb_authenticate);
PG_FUNCTION_INFO_V1(appdb_impersonate);
PG_FUNCTION_INFO_V1(appdb_sign_in);
PG_FUNCTION_INFO_V1(appdb_sign_out);
PG_FUNCTION_INFO_V1(appdb_sign_out_everywhere);
PG_FUNCTION_INFO_V1(appdb_new_token);
PG_FUNCTION_INFO_V1(appdb_extend_session);
PG_FUNCTION_INFO_V1(appdb_query_as);

/* ---- the settings ---- */

static bool
parse_uuid(const char *string, pg_uuid_t *uuid)
{
	int			digits = 0;

	if (strlen(string) != 36)
		return false;
	memset(uuid, 0, sizeof(*uuid));
	for (const char *p = string; *p; p++)
	{
		int			digit;

		if (p - string == 8 || p - string == 13 || p - string == 18 || p - string == 23)
		{
			if (*p != '-')
				return false;
			continue;
		}
		if (*p >= '0' && *p <= '9')
			digit = *p - '0';
		else if (*p >= 'a' && *p <= 'f')
			digit = *p - 'a' + 10;
		else
			return false;
		uuid->data[digits / 2] |= digits % 2 ? digit : digit << 4;
		digits++;
	}
	return digits == 32;
}

static bool
check_identity(char **newval, void **extra, GucSource source)
{
	pg_uuid_t	uuid;
	pg_uuid_t  *copy;

	/* nobody: whoever likes can be that */
	if (*newval == NULL || **newval == '\0')
		return true;

	/* a parallel worker takes what its leader has */
	if (!unlocked && !InitializingParallelWorker)
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("identity cannot be set directly");
		GUC_check_errdetail("Only appdb.authenticate() and appdb.impersonate() set it.");
		return false;
	}
	if (!parse_uuid(*newval, &uuid))
	{
		GUC_check_errdetail("The value is a uuid.");
		return false;
	}
	copy = compat_guc_malloc(sizeof(pg_uuid_t));
	if (copy == NULL)
		return false;
	*copy = uuid;
	*extra = copy;
	return true;
}

static void
assign_user_id(const char *newval, void *extra)
{
	static pg_uuid_t value;

	if (extra != NULL)
		value = *(pg_uuid_t *) extra;
	user_id = extra != NULL ? &value : NULL;
}

static void
assign_session_id(const char *newval, void *extra)
{
	static pg_uuid_t value;

	if (extra != NULL)
		value = *(pg_uuid_t *) extra;
	session_id = extra != NULL ? &value : NULL;
}

void
appdb_identity_init(void)
{
	DefineCustomStringVariable(USER_ID,
							   "Shows the user who is asking.",
							   "Set by appdb.authenticate() and appdb.impersonate() only; empty for nobody.",
							   &user_id_setting,
							   "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_identity, assign_user_id, NULL);
	DefineCustomStringVariable(SESSION_ID,
							   "Shows the session by which the user is asking.",
							   "Set by appdb.authenticate() only; empty where there is none.",
							   &session_id_setting,
							   "",
							   PGC_SUSET,
							   GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							   check_identity, assign_session_id, NULL);
}

/* Who is asking, or NULL. */
const pg_uuid_t *
appdb_user_id(void)
{
	return user_id;
}

/* The text form of a uuid. */
char *
appdb_uuid_text(const pg_uuid_t *uuid)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));
}

/*
 * Set who is asking; NULL for nobody.
 */
static void
set_identity_for(const pg_uuid_t *user, const pg_uuid_t *session, GucAction action)
{
	unlocked = true;
	PG_TRY();
	{
		(void) set_config_option(USER_ID, user ? appdb_uuid_text(user) : "",
								 PGC_SUSET, PGC_S_SESSION, action, true, 0, false);
		(void) set_config_option(SESSION_ID, session ? appdb_uuid_text(session) : "",
								 PGC_SUSET, PGC_S_SESSION, action, true, 0, false);
	}
	PG_FINALLY();
	{
		unlocked = false;
	}
	PG_END_TRY();
}

static void
set_identity(const pg_uuid_t *user, const pg_uuid_t *session, bool for_session)
{
	/* who asked before is that again after appdb.query_as(), whatever its query says */
	for_session = for_session && !in_query_as;
	has_session_identity = has_session_identity || for_session;
	set_identity_for(user, session, for_session ? GUC_ACTION_SET : GUC_ACTION_LOCAL);
}

Datum
appdb_current_user_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *result;

	if (user_id == NULL)
		PG_RETURN_NULL();
	result = palloc(sizeof(pg_uuid_t));
	*result = *user_id;
	PG_RETURN_UUID_P(result);
}

Datum
appdb_current_session_id(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *result;

	if (session_id == NULL)
		PG_RETURN_NULL();
	result = palloc(sizeof(pg_uuid_t));
	*result = *session_id;
	PG_RETURN_UUID_P(result);
}

/* ---- queries of the engine on the application's tables ---- */

/*
 * Run a query as the owner of a table of schema app_data: no more rights than
 * the one has who could have planted something there.  The plan is kept in
 * *plan.  The caller is connected to SPI.
 */
void
appdb_query_as_owner(SPIPlanPtr *plan, const char *table, const char *sql,
					 int nargs, Oid *types, Datum *values, const char *nulls,
					 bool read_only)
{
	Oid			nsp = get_namespace_oid(APPDB_DATA_SCHEMA, true);
	Oid			relid = OidIsValid(nsp) ? get_relname_relid(table, nsp) : InvalidOid;
	AppdbCaller caller;
	int			rc;

	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("table \"%s.%s\" does not exist", APPDB_DATA_SCHEMA, table),
				 errhint("SELECT appdb.install() makes the tables.")));

	appdb_begin_as(appdb_working_owner(appdb_table_owner(relid)), &caller);
	if (*plan == NULL)
	{
		SPIPlanPtr	new = SPI_prepare(sql, nargs, types);

		if (new == NULL)
			elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
		SPI_keepplan(new);
		*plan = new;
	}
	rc = SPI_execute_plan(*plan, values, nulls, read_only, 0);
	if (rc < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(rc));
	appdb_end_as(&caller);
}

/*
 * A value that a query has found.  A null is an error: whoever owns a table can
 * do away with the constraints that forbid it.
 */
Datum
appdb_found(uint64 row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, &isnull);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a table of appdb's has a null in column \"%s\"", SPI_fname(SPI_tuptable->tupdesc, column)),
				 errdetail("The constraint that forbids it is gone."),
				 errhint("Give the rows a value, and the column its NOT NULL or PRIMARY KEY again.")));
	return value;
}

/*
 * The SHA-256 of a token, as app_data.sessions.token_hash has it.  Sessions are
 * looked up by it, never by the token: how long that takes depends on digests,
 * which nobody can choose by bytes of the token, and tells nothing of tokens.
 */
static Datum
token_hash(text *token)
{
	char	   *utf8 = pg_server_to_any(text_to_cstring(token), VARSIZE_ANY_EXHDR(token), PG_UTF8);
	Datum		hash = DirectFunctionCall1(sha256_bytea, PointerGetDatum(cstring_to_text(utf8)));

	return hash;
}

/* ---- signing in and out ---- */

/*
 * Sign in by a token, or complain; returns the user.
 */
static pg_uuid_t *
authenticate(text *token, bool for_session)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {BYTEAOID};
	Datum		values[1];
	pg_uuid_t	session;
	pg_uuid_t  *user = palloc(sizeof(pg_uuid_t));
	bool		found;

	/* a token that does not hold leaves nobody signed in */
	set_identity(NULL, NULL, false);

	SPI_connect();
	values[0] = token_hash(token ? token : cstring_to_text(""));
	appdb_query_as_owner(&plan, "sessions",
						 "SELECT s.id::pg_catalog.uuid, s.user_id::pg_catalog.uuid FROM app_data.sessions s "
						 "JOIN app_data.users u ON u.id OPERATOR(pg_catalog.=) s.user_id "
						 "WHERE s.token_hash OPERATOR(pg_catalog.=) $1 AND u.deleted_at IS NULL "
						 "AND s.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
						 1, types, values, NULL, true);
	found = (SPI_processed == 1);
	if (found)
	{
		session = *DatumGetUUIDP(appdb_found(0, 1));
		*user = *DatumGetUUIDP(appdb_found(0, 2));
	}
	SPI_finish();

	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("invalid or expired session token"),
				 errhint("Sign in again.")));

	set_identity(user, &session, for_session);
	return user;
}

/*
 * appdb.authenticate(token text, for_session boolean) returns uuid
 */
Datum
appdb_authenticate(PG_FUNCTION_ARGS)
{
	PG_RETURN_UUID_P(authenticate(PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0),
								  !PG_ARGISNULL(1) && PG_GETARG_BOOL(1)));
}

/* NULL is nobody. */
static bool
is_same(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return a == NULL || b == NULL ? a == b : memcmp(a, b, sizeof(pg_uuid_t)) == 0;
}

/*
 * appdb.query_as(token text, query text, params text[]) returns setof json
 *		Authenticates and runs a query in one statement.  The identity is that
 *		of a nested level of settings, which ends with the call.
 */
Datum
appdb_query_as(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *token = PG_ARGISNULL(0) ? NULL : PG_GETARG_TEXT_PP(0);
	char	   *query;
	Datum	   *values = NULL;
	bool	   *elemnulls = NULL;
	char	   *nulls;
	Oid		   *types;
	int			nparams = 0;
	int			nestlevel;
	SPIPlanPtr	plan;
	volatile int rc = 0;
	bool		was_in_query_as = in_query_as;
	pg_uuid_t	ids[2];
	const pg_uuid_t *user = user_id != NULL ? memcpy(&ids[0], user_id, sizeof(pg_uuid_t)) : NULL;
	const pg_uuid_t *session = session_id != NULL ? memcpy(&ids[1], session_id, sizeof(pg_uuid_t)) : NULL;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null")));
	query = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (!PG_ARGISNULL(2))
		deconstruct_array(PG_GETARG_ARRAYTYPE_P(2), TEXTOID, -1, false, TYPALIGN_INT,
						  &values, &elemnulls, &nparams);
	nulls = palloc(nparams + 1);
	types = palloc((nparams + 1) * sizeof(Oid));
	for (int i = 0; i < nparams; i++)
	{
		nulls[i] = elemnulls[i] ? 'n' : ' ';
		types[i] = TEXTOID;
	}
	nulls[nparams] = '\0';
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

	nestlevel = NewGUCNestLevel();
	set_identity_for(NULL, NULL, GUC_ACTION_SAVE);
	(void) authenticate(token, false);

	SPI_connect();
	plan = SPI_prepare(query, nparams, types);
	if (plan == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("appdb.query_as() cannot prepare this query"),
				 errdetail("%s.", SPI_result_code_string(SPI_result))));
	if (list_length(SPI_plan_get_plan_sources(plan)) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("appdb.query_as() takes one query"),
				 errhint("Call it once for each.")));
	PG_TRY();
	{
		in_query_as = true;
		rc = SPI_execute_plan(plan, values, nulls, false, 0);
	}
	PG_FINALLY();
	{
		in_query_as = was_in_query_as;
	}
	PG_END_TRY();
	if (rc < 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("appdb.query_as() cannot run this query"),
				 errhint("Send COPY, and what begins or ends transactions, by itself.")));
	if (SPI_tuptable != NULL)
	{
		SPITupleTable *rows = SPI_tuptable;
		TupleDesc	desc = BlessTupleDesc(rows->tupdesc);
		MemoryContext percall = AllocSetContextCreate(CurrentMemoryContext, "appdb.query_as",
													  ALLOCSET_DEFAULT_SIZES);

		for (uint64 i = 0; i < rows->numvals; i++)
		{
			MemoryContext oldcontext = MemoryContextSwitchTo(percall);
			Datum		row = heap_copy_tuple_as_datum(rows->vals[i], desc);
			Datum		json = OidFunctionCall1(F_ROW_TO_JSON_RECORD, row);
			bool		isnull = false;

			CHECK_FOR_INTERRUPTS();
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &json, &isnull);
			MemoryContextSwitchTo(oldcontext);
			MemoryContextReset(percall);
		}
	}
	SPI_finish();

	AtEOXact_GUC(true, nestlevel);
	/* what RESET ALL in the query has made of it does not end with the level */
	if (!is_same(user_id, user) || !is_same(session_id, session))
		set_identity_for(user, session, GUC_ACTION_LOCAL);
	return (Datum) 0;
}

/* Complain unless this is a live user. */
static void
check_user(Datum id)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID};

	appdb_query_as_owner(&plan, "users",
						 "SELECT FROM app_data.users u "
						 "WHERE u.id OPERATOR(pg_catalog.=) $1 AND u.deleted_at IS NULL",
						 1, types, &id, NULL, true);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("there is no user %s", appdb_uuid_text(DatumGetUUIDP(id))),
				 errdetail("The user does not exist, or is deleted.")));
}

/*
 * appdb.impersonate(user_id uuid, for_session boolean) returns uuid
 */
Datum
appdb_impersonate(PG_FUNCTION_ARGS)
{
	Datum		id;

	if (PG_ARGISNULL(0))
	{
		set_identity(NULL, NULL, PG_GETARG_BOOL(1));
		PG_RETURN_NULL();
	}
	id = PG_GETARG_DATUM(0);
	SPI_connect();
	check_user(id);
	SPI_finish();
	set_identity(DatumGetUUIDP(id), NULL, PG_GETARG_BOOL(1));
	PG_RETURN_DATUM(id);
}

/*
 * A new random token: 256 bits in the URL-safe alphabet of RFC 4648.
 */
static char *
new_token(void)
{
	uint8		bytes[TOKEN_BYTES];
	int			size = pg_b64_enc_len(TOKEN_BYTES);
	char	   *token = palloc(size + 1);
	int			len;

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	len = pg_b64_encode((const void *) bytes, TOKEN_BYTES, token, size);
	if (len < 0)
		elog(ERROR, "could not encode a token");
	while (len > 0 && token[len - 1] == '=')
		len--;
	token[len] = '\0';
	for (int i = 0; i < len; i++)
	{
		if (token[i] == '+')
			token[i] = '-';
		else if (token[i] == '/')
			token[i] = '_';
	}
	return token;
}

/*
 * appdb._new_token(OUT token text, OUT token_hash bytea)
 *		For what is handed out once and kept as a hash.
 */
Datum
appdb_new_token(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(new_token());
	values[1] = token_hash(DatumGetTextPP(values[0]));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * appdb.sign_in(user_id uuid, lifetime interval, ip_address text, user_agent text,
 *				 OUT token text, OUT session_id uuid, OUT expires_at timestamptz)
 */
Datum
appdb_sign_in(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID, BYTEAOID, INTERVALOID, TEXTOID, TEXTOID};
	Datum		args[5];
	char		argnulls[] = "     ";
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};
	pg_uuid_t  *session = palloc(sizeof(pg_uuid_t));
	TimestampTz expires_at;
	Interval	nothing = {0};
	char	   *token = new_token();

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("user_id and lifetime must not be null")));
	if (DatumGetBool(DirectFunctionCall2(interval_le, PG_GETARG_DATUM(1), PointerGetDatum(&nothing))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lifetime must be longer than nothing")));

	args[0] = PG_GETARG_DATUM(0);
	args[1] = token_hash(cstring_to_text(token));
	args[2] = PG_GETARG_DATUM(1);
	for (int i = 2; i < 4; i++)
	{
		argnulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
		args[i + 1] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	SPI_connect();
	check_user(args[0]);
	appdb_query_as_owner(&plan, "sessions",
						 "INSERT INTO app_data.sessions (user_id, token_hash, expires_at, ip_address, user_agent) "
						 "VALUES ($1, $2, pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $3, $4, $5) "
						 "RETURNING id::pg_catalog.uuid, expires_at::pg_catalog.timestamptz",
						 5, types, args, argnulls, false);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not make a session")));
	*session = *DatumGetUUIDP(appdb_found(0, 1));
	expires_at = DatumGetTimestampTz(appdb_found(0, 2));
	SPI_finish();

	values[0] = CStringGetTextDatum(token);
	values[1] = UUIDPGetDatum(session);
	values[2] = TimestampTzGetDatum(expires_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * appdb.extend_session(lifetime interval, OUT extended boolean, OUT expires_at timestamptz)
 *		Writes only if less than half of the lifetime is left, and nobody else
 *		does so right now: a page's requests do not wait for each other.
 */
Datum
appdb_extend_session(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr look_plan = NULL;
	static SPIPlanPtr extend_plan = NULL;
	Oid			types[] = {UUIDOID, INTERVALOID};
	Datum		args[2];
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	TimestampTz expires_at;
	bool		due;
	bool		valid;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("lifetime must not be null")));
	if (session_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("there is no session to extend"),
				 errhint("Call appdb.authenticate() first, in the same transaction.")));
	args[0] = UUIDPGetDatum(session_id);
	args[1] = PG_GETARG_DATUM(0);

	SPI_connect();
	appdb_query_as_owner(&look_plan, "sessions",
						 "SELECT s.expires_at::pg_catalog.timestamptz, "
						 "$2 OPERATOR(pg_catalog.>) '0'::pg_catalog.interval, "
						 "s.expires_at OPERATOR(pg_catalog.<) (pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) ($2 OPERATOR(pg_catalog./) 2.0::pg_catalog.float8)) "
						 "FROM app_data.sessions s WHERE s.id OPERATOR(pg_catalog.=) $1 "
						 "AND s.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()",
						 2, types, args, NULL, true);
	if (SPI_processed != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the session has ended"),
				 errhint("Sign in again.")));
	expires_at = DatumGetTimestampTz(appdb_found(0, 1));
	valid = DatumGetBool(appdb_found(0, 2));
	due = DatumGetBool(appdb_found(0, 3));
	if (!valid)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lifetime must be longer than nothing")));

	/* where nothing can be written, a later request does it */
	if (due && !XactReadOnly)
	{
		appdb_query_as_owner(&extend_plan, "sessions",
							 "UPDATE app_data.sessions s SET expires_at = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $2 "
							 "WHERE s.id OPERATOR(pg_catalog.=) (SELECT l.id FROM app_data.sessions l "
							 "WHERE l.id OPERATOR(pg_catalog.=) $1 AND l.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp() "
							 "AND l.expires_at OPERATOR(pg_catalog.<) "
							 "(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) ($2 OPERATOR(pg_catalog./) 2.0::pg_catalog.float8)) "
							 "FOR NO KEY UPDATE SKIP LOCKED) "
							 "RETURNING s.expires_at::pg_catalog.timestamptz",
							 2, types, args, NULL, false);
		due = (SPI_processed == 1);
		if (due)
			expires_at = DatumGetTimestampTz(appdb_found(0, 1));
	}
	else
		due = false;
	SPI_finish();

	values[0] = BoolGetDatum(due);
	values[1] = TimestampTzGetDatum(expires_at);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * appdb.sign_out() returns boolean
 *		Ends the session that the caller has authenticated with.
 */
Datum
appdb_sign_out(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID};
	Datum		value;
	bool		found;

	if (session_id == NULL)
		PG_RETURN_BOOL(false);
	value = UUIDPGetDatum(session_id);
	SPI_connect();
	appdb_query_as_owner(&plan, "sessions",
						 "DELETE FROM app_data.sessions s WHERE s.id OPERATOR(pg_catalog.=) $1",
						 1, types, &value, NULL, false);
	found = (SPI_processed > 0);
	SPI_finish();
	set_identity(NULL, NULL, has_session_identity);
	PG_RETURN_BOOL(found);
}

/*
 * appdb.sign_out_everywhere() returns bigint
 *		Ends every session of the caller.
 */
Datum
appdb_sign_out_everywhere(PG_FUNCTION_ARGS)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {UUIDOID};
	pg_uuid_t	user;
	Datum		value = UUIDPGetDatum(&user);
	uint64		n;

	if (user_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("nobody is signed in"),
				 errhint("Call appdb.authenticate() first, in the same transaction.")));
	/* a trigger could sign somebody else in */
	user = *user_id;
	SPI_connect();
	appdb_query_as_owner(&plan, "sessions",
						 "DELETE FROM app_data.sessions s WHERE s.user_id OPERATOR(pg_catalog.=) $1",
						 1, types, &value, NULL, false);
	n = SPI_processed;
	SPI_finish();
	set_identity(NULL, NULL, has_session_identity);
	PG_RETURN_INT64((int64) n);
}
