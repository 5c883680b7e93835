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

#endif							/* APPDB_COMPAT_H */
