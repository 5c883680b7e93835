/*
 * find.h
 *		What the parts of appdb.find() share.
 *
 * A call goes through find_json.c (the query as a tree, its shape and its
 * values), find.c (the cache of shapes) and, where the shape is new,
 * find_meta.c (what can be asked) and find_compile.c (the shape as SQL).
 */
#ifndef APPDB_FIND_H
#define APPDB_FIND_H

#include "appdb.h"

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

/* ---- find_json.c: the query ---- */

typedef enum FindType
{
	FIND_NULL,
	FIND_FALSE,
	FIND_TRUE,
	FIND_NUMBER,
	FIND_STRING,
	FIND_ARRAY,
	FIND_OBJECT
} FindType;

typedef struct FindNode
{
	FindType	type;
	struct FindNode *parent;
	const char *key;			/* in an object */
	int			index;			/* in an array */
	const char *start;			/* the text of it */
	int			len;
	const char *string;			/* of a string or number */
	int			nchildren;
	struct FindNode *first;
	struct FindNode *next;
	int			value;			/* which value it is, or -1: part of the shape */
} FindNode;

/* an opaque cursor, taken apart */
typedef struct FindCursor
{
	uint32		order;			/* which order it belongs to */
	int			n;
	int		   *lens;			/* -1: null */
	char	  **bytes;
} FindCursor;

typedef struct FindQuery
{
	FindNode   *root;
	StringInfoData key;			/* the shape */
	int			nvalues;
	int			maxvalues;
	FindNode  **values;
	FindCursor **cursors;		/* of values that are cursors */
} FindQuery;

extern FindNode *appdb_find_parse(const char *json, int len);
extern void appdb_find_shape(FindQuery *query, const char *entity, bool one, FindNode *root);
extern FindNode *appdb_find_get(FindNode *object, const char *key);
extern char *appdb_find_path(FindNode *node);
extern bool appdb_find_ordered;

#define find_foreach(child, node) \
	for (FindNode *child = (node)->first; child != NULL; child = child->next)

/* ---- find_meta.c: what can be asked ---- */

typedef struct FindColumn
{
	char	   *name;
	char	   *camel;
	Oid			type;			/* of a domain: what it is over */
	bool		notnull;
} FindColumn;

typedef enum FindKind
{
	FIND_ONE,
	FIND_MANY,
	FIND_THROUGH
} FindKind;

typedef struct FindRelation
{
	char	   *name;
	char	   *camel;
	FindKind	kind;
	int			from;			/* entity */
	int			to;
	int			n;
	char	  **columns;		/* of "from"; for many-to-many referred to by the join table */
	char	  **far_columns;	/* what they equal, in "to" or the join table */
	int			through;		/* entity, or -1 */
	int			nthrough;
	char	  **through_columns;	/* of the join table */
	char	  **to_columns;		/* what they equal in "to" */
} FindRelation;

typedef struct FindExtra
{
	char	   *name;
	char	   *camel;
	Oid			type;			/* of a domain: what it is over */
} FindExtra;

typedef struct FindEntity
{
	char	   *name;
	char	   *camel;
	Oid			view;
	Oid			table;
	bool		soft_delete;
	int			ncolumns;
	FindColumn *columns;
	int			nrelations;
	FindRelation *relations;
	int			nextras;
	FindExtra  *extras;
} FindEntity;

typedef struct FindMeta
{
	MemoryContext context;
	uint64		fingerprint;
	int			nentities;
	FindEntity *entities;
} FindMeta;

extern FindMeta *appdb_find_meta(bool reload, bool *changed);

/* ---- find_compile.c ---- */

typedef struct FindParam
{
	int			value;
	int			part;			/* of a cursor, or -1 */
	Oid			type;
	bool		limit;			/* a number of rows */

	/* how to make it: element's for an array */
	Oid			elemtype;		/* or InvalidOid */
	Oid			ioparam;
	int16		typlen;
	bool		typbyval;
	char		typalign;
	char		category;
	FmgrInfo	in;
} FindParam;

typedef struct FindStatement
{
	char	   *sql;			/* the caller's: it is needed once */
	int			nparams;
	FindParam  *params;
	bool		limited;		/* by appdb.find_max_rows alone */
	int			generation;		/* of the plan that was measured last */
} FindStatement;

extern void appdb_find_compile(FindMeta *meta, FindQuery *query, const char *entity, bool one,
							   MemoryContext context, FindStatement *statement);

#endif							/* APPDB_FIND_H */
