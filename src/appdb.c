/*
 * appdb.c
 *		Loading of the library: settings under "appdb." and the version.
 *
 * The library may be loaded at the start of a session
 * (session_preload_libraries, which is recommended) or by the first call of
 * one of its functions; every mechanism works in both cases.
 */
#include "appdb.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

/* settings */
bool		appdb_allow_drop = false;

void		_PG_init(void);

PG_FUNCTION_INFO_V1(appdb_version);

void
_PG_init(void)
{
	DefineCustomBoolVariable("appdb.allow_drop",
							 "Allows dropping and truncating what holds application data.",
							 "While off, DROP EXTENSION appdb, DROP of its schemas and base tables, "
							 "DROP OWNED of their owner and TRUNCATE of a base table are refused.",
							 &appdb_allow_drop,
							 false,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("appdb");

	appdb_rewrite_init();
}

/*
 * appdb.version() returns text
 *		The version of the engine, as loaded.
 */
Datum
appdb_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(APPDB_VERSION));
}
