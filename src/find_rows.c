/*
 * find_rows.c
 *		Rows as JSON, for appdb.find().
 *
 * They look as row_to_json() and json_agg() have them, at a fraction of the
 * cost: what the columns' types are and how they are written is found out once
 * for a statement, not once for a row, values of the common types are written
 * by hand, and no row becomes a tuple on the way.
 */
#include "appdb.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/jsonapi.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

PG_FUNCTION_INFO_V1(appdb__row);
PG_FUNCTION_INFO_V1(appdb__rows_add);
PG_FUNCTION_INFO_V1(appdb__rows_end);

/* how a value is written */
typedef enum ValueKind
{
	VALUE_BOOL,
	VALUE_INT2,
	VALUE_INT4,
	VALUE_INT8,
	VALUE_DATE,
	VALUE_TIME,					/* timestamp, timestamptz */
	VALUE_ENUM,
	VALUE_UUID,
	VALUE_TEXT,
	VALUE_JSON,
	VALUE_JSONB,
	VALUE_NUMBER,				/* by the output function, quoted if it is none */
	VALUE_STRING,				/* by the output function */
	VALUE_OTHER					/* by to_json() */
} ValueKind;

/* the last value that was dear to write: it comes again, as updated_at beside created_at */
typedef struct Memo
{
	Oid			type;			/* or InvalidOid */
	int64		value;
	int			len;
	char		text[MAXDATELEN];
} Memo;

typedef struct Column
{
	ValueKind	kind;
	int			start;			/* of {"key": or ,"key": among the keys */
	int			len;
	Oid			type;
	FmgrInfo	out;
	Memo	   *memo;			/* of enums their own, of times one for all */
} Column;

typedef struct RowState
{
	int			n;
	StringInfoData keys;
	Size		size;			/* of the longest row so far */
	Memo		times;
	Column		columns[FLEXIBLE_ARRAY_MEMBER];
} RowState;

/* ---- strings ---- */

#define ONES UINT64CONST(0x0101010101010101)
#define HIGHS UINT64CONST(0x8080808080808080)

/* how many of these characters stand for themselves, for a start? */
static inline int
plain_length(const char *s, int len)
{
	int			i = 0;

	for (; i + 8 <= len; i += 8)
	{
		uint64		w;
		uint64		quote;
		uint64		backslash;

		memcpy(&w, s + i, 8);
		quote = w ^ (ONES * '"');
		backslash = w ^ (ONES * '\\');
		/* a quotation mark, a backslash, or less than a space */
		if ((((quote - ONES) & ~quote) | ((backslash - ONES) & ~backslash) | ((w - ONES * ' ') & ~w)) & HIGHS)
			break;
	}
	while (i < len && s[i] != '"' && s[i] != '\\' && (unsigned char) s[i] >= ' ')
		i++;
	return i;
}

/* as escape_json() does */
static void
append_string(StringInfo out, const char *s, int len)
{
	enlargeStringInfo(out, len + 2);
	out->data[out->len++] = '"';
	for (;;)
	{
		int			n = plain_length(s, len);

		appendBinaryStringInfo(out, s, n);
		s += n;
		len -= n;
		if (len == 0)
			break;
		switch (*s)
		{
			case '\b':
				appendBinaryStringInfo(out, "\\b", 2);
				break;
			case '\f':
				appendBinaryStringInfo(out, "\\f", 2);
				break;
			case '\n':
				appendBinaryStringInfo(out, "\\n", 2);
				break;
			case '\r':
				appendBinaryStringInfo(out, "\\r", 2);
				break;
			case '\t':
				appendBinaryStringInfo(out, "\\t", 2);
				break;
			case '"':
				appendBinaryStringInfo(out, "\\\"", 2);
				break;
			case '\\':
				appendBinaryStringInfo(out, "\\\\", 2);
				break;
			default:
				appendStringInfo(out, "\\u%04x", (unsigned char) *s);
				break;
		}
		s++;
		len--;
	}
	appendStringInfoChar(out, '"');
}

static void
append_uuid(StringInfo out, const pg_uuid_t *uuid)
{
	static const char digits[] = "0123456789abcdef";
	char	   *to;

	enlargeStringInfo(out, 38);
	to = out->data + out->len;
	*to++ = '"';
	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*to++ = '-';
		*to++ = digits[uuid->data[i] >> 4];
		*to++ = digits[uuid->data[i] & 15];
	}
	*to++ = '"';
	*to = '\0';
	out->len += 38;
}

/* ---- a row ---- */

/*
 * What row_to_json() does with a type: JSON for arrays, rows and types with a
 * cast to it, strings for others.
 */
static void
set_kind(Column *column, RowState *state, MemoryContext context)
{
	Oid			out;
	bool		varlena;

	column->type = getBaseType(column->type);
	switch (column->type)
	{
		case BOOLOID:
			column->kind = VALUE_BOOL;
			return;
		case INT2OID:
			column->kind = VALUE_INT2;
			return;
		case INT4OID:
			column->kind = VALUE_INT4;
			return;
		case INT8OID:
			column->kind = VALUE_INT8;
			return;
		case DATEOID:
			column->kind = VALUE_DATE;
			column->memo = &state->times;
			return;
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			column->kind = VALUE_TIME;
			column->memo = &state->times;
			return;
		case UUIDOID:
			column->kind = VALUE_UUID;
			return;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			column->kind = VALUE_TEXT;
			return;
		case JSONOID:
			column->kind = VALUE_JSON;
			return;
		case JSONBOID:
			column->kind = VALUE_JSONB;
			return;
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			column->kind = VALUE_NUMBER;
			break;
		default:
			if (column->type < FirstNormalObjectId && !OidIsValid(get_element_type(column->type)) &&
				!type_is_rowtype(column->type))
				column->kind = VALUE_STRING;
			else if (type_is_enum(column->type) &&
					 !SearchSysCacheExists2(CASTSOURCETARGET, ObjectIdGetDatum(column->type), ObjectIdGetDatum(JSONOID)))
			{
				column->kind = VALUE_ENUM;
				column->memo = MemoryContextAllocZero(context, sizeof(Memo));
			}
			else
			{
				Node	   *arg = (Node *) makeNullConst(column->type, -1, InvalidOid);

				column->kind = VALUE_OTHER;
				fmgr_info_cxt(F_TO_JSON, &column->out, context);
				fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSON, JSONOID, list_make1(arg), InvalidOid,
														 InvalidOid, COERCE_EXPLICIT_CALL),
								   &column->out);
				return;
			}
			break;
	}
	getTypeOutputInfo(column->type, &out, &varlena);
	fmgr_info_cxt(out, &column->out, context);
}

static pg_noinline RowState *
make_state(FunctionCallInfo fcinfo)
{
	MemoryContext context = fcinfo->flinfo->fn_mcxt;
	MemoryContext oldcontext = MemoryContextSwitchTo(context);
	RowState   *state;
	Datum	   *keys;
	int			n;

	if (get_fn_expr_variadic(fcinfo->flinfo))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("appdb._row() takes values one by one")));
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("keys must not be null")));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &keys, NULL, &n);
	if (n != PG_NARGS() - 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%d keys for %d values", n, PG_NARGS() - 1)));
	state = palloc0(offsetof(RowState, columns) + n * sizeof(Column));
	state->n = n;
	state->size = 256;
	initStringInfo(&state->keys);
	for (int i = 0; i < n; i++)
	{
		Column	   *column = &state->columns[i];

		column->type = get_fn_expr_argtype(fcinfo->flinfo, i + 1);
		if (!OidIsValid(column->type))
			elog(ERROR, "could not determine the type of argument %d", i + 2);
		set_kind(column, state, context);
		column->start = state->keys.len;
		appendStringInfoChar(&state->keys, i == 0 ? '{' : ',');
		append_string(&state->keys, VARDATA_ANY(DatumGetPointer(keys[i])), VARSIZE_ANY_EXHDR(DatumGetPointer(keys[i])));
		appendStringInfoChar(&state->keys, ':');
		column->len = state->keys.len - column->start;
	}
	MemoryContextSwitchTo(oldcontext);
	return state;
}

/* a value of a type whose last one is kept, by a number that is the value */
static void
append_memo(StringInfo out, Column *column, Datum value, int64 number)
{
	Memo	   *memo = column->memo;
	int			start = out->len;

	if (memo->type == column->type && memo->value == number)
	{
		appendBinaryStringInfo(out, memo->text, memo->len);
		return;
	}
	if (column->kind == VALUE_ENUM)
	{
		char	   *label = OutputFunctionCall(&column->out, value);

		append_string(out, label, strlen(label));
		pfree(label);
	}
	else
	{
		char		buf[MAXDATELEN + 1];

		JsonEncodeDateTime(buf, value, column->type, NULL);
		appendStringInfoChar(out, '"');
		appendStringInfoString(out, buf);
		appendStringInfoChar(out, '"');
	}
	memo->type = InvalidOid;
	if (out->len - start <= (int) sizeof(memo->text))
	{
		memo->len = out->len - start;
		memcpy(memo->text, out->data + start, memo->len);
		memo->value = number;
		memo->type = column->type;
	}
}

static void
append_value(StringInfo out, Column *column, Datum value)
{
	char		buf[MAXINT8LEN + 1];
	char	   *string;

	switch (column->kind)
	{
		case VALUE_BOOL:
			if (DatumGetBool(value))
				appendBinaryStringInfo(out, "true", 4);
			else
				appendBinaryStringInfo(out, "false", 5);
			break;
		case VALUE_INT2:
			appendBinaryStringInfo(out, buf, pg_ltoa(DatumGetInt16(value), buf));
			break;
		case VALUE_INT4:
			appendBinaryStringInfo(out, buf, pg_ltoa(DatumGetInt32(value), buf));
			break;
		case VALUE_INT8:
			appendBinaryStringInfo(out, buf, pg_lltoa(DatumGetInt64(value), buf));
			break;
		case VALUE_DATE:
			append_memo(out, column, value, DatumGetDateADT(value));
			break;
		case VALUE_TIME:
			append_memo(out, column, value, DatumGetTimestamp(value));
			break;
		case VALUE_ENUM:
			append_memo(out, column, value, DatumGetObjectId(value));
			break;
		case VALUE_UUID:
			append_uuid(out, DatumGetUUIDP(value));
			break;
		case VALUE_TEXT:
			{
				text	   *t = DatumGetTextPP(value);

				append_string(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
				if ((Pointer) t != DatumGetPointer(value))
					pfree(t);
				break;
			}
		case VALUE_JSON:
			{
				text	   *t = DatumGetTextPP(value);

				appendBinaryStringInfo(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
				if ((Pointer) t != DatumGetPointer(value))
					pfree(t);
				break;
			}
		case VALUE_JSONB:
			{
				Jsonb	   *jsonb = DatumGetJsonbP(value);

				JsonbToCString(out, &jsonb->root, VARSIZE(jsonb));
				if ((Pointer) jsonb != DatumGetPointer(value))
					pfree(jsonb);
				break;
			}
		case VALUE_NUMBER:
			string = OutputFunctionCall(&column->out, value);
			if (IsValidJsonNumber(string, strlen(string)))
				appendStringInfoString(out, string);
			else
				append_string(out, string, strlen(string));
			pfree(string);
			break;
		case VALUE_STRING:
			string = OutputFunctionCall(&column->out, value);
			append_string(out, string, strlen(string));
			pfree(string);
			break;
		case VALUE_OTHER:
			{
				text	   *t = DatumGetTextPP(FunctionCall1(&column->out, value));

				appendBinaryStringInfo(out, VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));
				break;
			}
	}
}

/*
 * appdb._row(keys text[], VARIADIC values "any") returns json
 *		An object of them.
 */
Datum
appdb__row(PG_FUNCTION_ARGS)
{
	RowState   *state = (RowState *) fcinfo->flinfo->fn_extra;
	StringInfoData out;

	if (state == NULL)
		fcinfo->flinfo->fn_extra = state = make_state(fcinfo);

	/* as long as the longest before, and with room for the header of a datum */
	out.maxlen = state->size;
	out.data = palloc(out.maxlen);
	out.cursor = 0;
	out.len = VARHDRSZ;
	for (int i = 0; i < state->n; i++)
	{
		Column	   *column = &state->columns[i];

		appendBinaryStringInfo(&out, state->keys.data + column->start, column->len);
		if (PG_ARGISNULL(i + 1))
			appendBinaryStringInfo(&out, "null", 4);
		else
			append_value(&out, column, PG_GETARG_DATUM(i + 1));
	}
	appendStringInfoChar(&out, '}');
	state->size = Max(state->size, Min(out.len + 1, 64 * 1024));
	SET_VARSIZE(out.data, out.len);
	PG_RETURN_TEXT_P((text *) out.data);
}

/* ---- rows ---- */

/*
 * appdb._rows(json): an aggregate, the array of them, [] of none
 *		Its state is what is returned, with room for the header of a datum.
 */
Datum
appdb__rows_add(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext oldcontext;
	StringInfo	out;
	text	   *row;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "appdb._rows_add() called outside of an aggregate");
	if (PG_ARGISNULL(0))
	{
		oldcontext = MemoryContextSwitchTo(context);
		out = makeStringInfo();
		MemoryContextSwitchTo(oldcontext);
		out->len = VARHDRSZ;
		appendStringInfoChar(out, '[');
	}
	else
	{
		out = (StringInfo) PG_GETARG_POINTER(0);
		appendBinaryStringInfo(out, ",\n ", 3);
	}
	if (PG_ARGISNULL(1))
		appendBinaryStringInfo(out, "null", 4);
	else
	{
		row = PG_GETARG_TEXT_PP(1);
		appendBinaryStringInfo(out, VARDATA_ANY(row), VARSIZE_ANY_EXHDR(row));
	}
	PG_RETURN_POINTER(out);
}

Datum
appdb__rows_end(PG_FUNCTION_ARGS)
{
	StringInfo	out;

	if (!AggCheckCallContext(fcinfo, NULL))
		elog(ERROR, "appdb._rows_end() called outside of an aggregate");
	if (PG_ARGISNULL(0))
		PG_RETURN_TEXT_P(cstring_to_text_with_len("[]", 2));
	out = (StringInfo) PG_GETARG_POINTER(0);
	appendStringInfoChar(out, ']');
	SET_VARSIZE(out->data, out->len);
	PG_RETURN_TEXT_P((text *) out->data);
}
