/*
 * appdb.h
 *		What the mechanisms of the engine share.
 */
#ifndef APPDB_H
#define APPDB_H

#include "postgres.h"

#include "compat.h"

/* the version of the engine, and of the tables that it makes */
#define APPDB_VERSION "1.0"

/* schemas of the contract: engine and live views, base tables */
#define APPDB_SCHEMA "appdb"
#define APPDB_DATA_SCHEMA "app_data"

/* settings, appdb.c */
extern bool appdb_allow_drop;

/* one initialization function a mechanism, called by _PG_init() */

#endif							/* APPDB_H */
