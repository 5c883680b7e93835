/*
 * uuid.c
 *		UUIDs of version 7: generated, bounded by time and taken apart.
 *
 * The functions have the names and the meaning of those that PostgreSQL 18
 * brings, and work on every supported server.
 *
 * A UUID of version 7 (RFC 9562, section 5.7) is
 *
 *		48 bits		milliseconds since 1970
 *		 4 bits		version, 7
 *		12 bits		rand_a
 *		 2 bits		variant, binary 10
 *		62 bits		rand_b
 *
 * and sorts by these from left to right.  rand_a holds the fraction of the
 * millisecond in 1/4096 parts (244 ns), which is method 3 of section 6.2,
 * "Replace Leftmost Random Bits with Increased Clock Precision", and what
 * PostgreSQL 18 does.  We call those 60 bits of time a tick.  A microsecond,
 * the unit of timestamptz, is 4.096 ticks; we give each four of its own, so
 * that a bound on the time cuts exactly between two microseconds.
 *
 * Making a UUID takes some 30 ns, so that many are made within one tick.
 * Those that are count up in rand_b by a random step, which is method 2,
 * "Monotonic Random".  (PostgreSQL 18 moves the tick on instead, so that a
 * fast loop would run ahead of the clock by seconds, and bounds on the time
 * would miss what it made.)  The same happens while the clock, having been
 * stepped back, is behind the last tick that was used.  In both cases the
 * UUIDs of a backend increase strictly.
 */
#include "appdb.h"

#include <time.h>

#include "datatype/timestamp.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#define NSECS_PER_MSEC		1000000
#define NSECS_PER_USEC		1000
#define USECS_PER_MSEC		INT64CONST(1000)
#define MSECS_PER_SEC		INT64CONST(1000)

/* microseconds from the epoch of Unix, 1970, to that of timestamptz, 2000 */
#define UNIX_TO_POSTGRES_USECS \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* microseconds from the epoch of UUID version 1, 1582-10-15, to 2000 */
#define GREGORIAN_EPOCH_JDATE	2299161
#define GREGORIAN_TO_POSTGRES_USECS \
	((int64) (POSTGRES_EPOCH_JDATE - GREGORIAN_EPOCH_JDATE) * USECS_PER_DAY)

/* the largest number of milliseconds that a UUID can hold: 10889-08-02 */
#define MAX_MSECS			((INT64CONST(1) << 48) - 1)

/* a tick: milliseconds and the fraction of the millisecond, 48 + 12 bits */
#define FRACTION_BITS		12
#define FRACTION_MASK		(TICKS_PER_MSEC - 1)
#define TICKS_PER_MSEC		(1U << FRACTION_BITS)
#define TICKS_PER_USEC		4U

/* rand_b */
#define RAND_B_BITS			62
#define RAND_B_MASK			((UINT64CONST(1) << RAND_B_BITS) - 1)

/*
 * Within a tick rand_b starts below half of its range and grows by 1 to 2^40:
 * there is room for two million UUIDs at least, and whoever sees one cannot
 * guess the next.
 */
#define RAND_B_START_MASK	(RAND_B_MASK >> 1)
#define RAND_B_STEP_MASK	((UINT64CONST(1) << 40) - 1)

/* random numbers are drawn from the system in blocks of 4 KiB */
#define RANDOM_WORDS		512

/* the UUID that was made last */
typedef struct UuidState
{
	uint64		tick;
	uint64		rand_b;
} UuidState;

/*
 * All of this belongs to one process.  A process that is forked off with a
 * copy of it (owner_pid tells) starts anew, lest two give out the same.
 */
static int	owner_pid = 0;
static uint64 random_words[RANDOM_WORDS];
static int	random_left = 0;
static UuidState last;

PG_FUNCTION_INFO_V1(appdb_uuidv7);
PG_FUNCTION_INFO_V1(appdb_uuidv7_interval);
PG_FUNCTION_INFO_V1(appdb_uuidv7_lower);
PG_FUNCTION_INFO_V1(appdb_uuidv7_upper);
PG_FUNCTION_INFO_V1(appdb_uuid_extract_timestamp);
PG_FUNCTION_INFO_V1(appdb_uuid_extract_version);

/*
 * Forget what a parent process has left here.
 */
static void
start_process(void)
{
	random_left = 0;
	memset(&last, 0, sizeof(last));
	owner_pid = MyProcPid;
}

/*
 * 64 random bits that nobody has seen, and nobody will see again: each word
 * is given out once, and does not stay in memory to be read from a core file.
 */
static inline uint64
next_random(void)
{
	volatile uint64 *word;
	uint64		result;

	if (unlikely(random_left == 0))
	{
		if (!pg_strong_random(random_words, sizeof(random_words)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate random values")));
		random_left = RANDOM_WORDS;
	}

	/* volatile: the compiler must not drop a store that nobody reads */
	word = &random_words[--random_left];
	result = *word;
	*word = 0;

	return result;
}

/*
 * A tick from its parts: milliseconds since 1970, microseconds in that, and
 * nanoseconds in that.  The fraction of a microsecond is rounded up, so that
 * it begins after the last of the four ticks of the microsecond before it.
 */
static inline uint64
make_tick(uint64 ms, uint32 us_of_ms, uint32 ns_of_us)
{
	return (ms << FRACTION_BITS) +
		(us_of_ms * TICKS_PER_MSEC + 999) / 1000 +
		ns_of_us * TICKS_PER_USEC / NSECS_PER_USEC;
}

/*
 * The first tick of a microsecond since 1970.
 */
static inline uint64
first_tick(int64 us)
{
	return make_tick((uint64) us / USECS_PER_MSEC,
					 (uint32) ((uint64) us % USECS_PER_MSEC), 0);
}

/*
 * Put together a UUID of version 7.
 */
static inline pg_uuid_t *
make_uuid(uint64 tick, uint64 rand_b)
{
	pg_uuid_t  *uuid = (pg_uuid_t *) palloc(UUID_LEN);
	uint64		high;
	uint64		low;

	high = ((tick >> FRACTION_BITS) << 16) | (UINT64CONST(7) << 12) |
		(tick & FRACTION_MASK);
	low = (UINT64CONST(2) << RAND_B_BITS) | rand_b;

	high = pg_hton64(high);
	low = pg_hton64(low);
	memcpy(&uuid->data[0], &high, sizeof(high));
	memcpy(&uuid->data[8], &low, sizeof(low));

	return uuid;
}

/*
 * Go on from what the last UUID was made of, to the time of the clock if that
 * is later.
 */
static inline void
advance(void)
{
	struct timespec now;
	uint32		ns;
	uint64		tick;
	uint64		random;
	bool		same;
	uint64		rand_b;

	if (unlikely(owner_pid != MyProcPid))
		start_process();

	(void) clock_gettime(CLOCK_REALTIME, &now);
	ns = (uint32) now.tv_nsec;
	tick = make_tick((uint64) now.tv_sec * MSECS_PER_SEC + ns / NSECS_PER_MSEC,
					 ns % NSECS_PER_MSEC / NSECS_PER_USEC, ns % NSECS_PER_USEC);
	random = next_random();

	/* which of both it is cannot be predicted, and need not be */
	same = (tick <= last.tick);
	tick = same ? last.tick : tick;
	rand_b = same ? last.rand_b + 1 + (random & RAND_B_STEP_MASK) :
		random & RAND_B_START_MASK;

	/* the tick is used up, and the clock has not moved: borrow one */
	if (unlikely(rand_b > RAND_B_MASK))
	{
		tick++;
		rand_b = next_random() & RAND_B_START_MASK;
	}

	last.tick = tick;
	last.rand_b = rand_b;
}

/*
 * appdb.uuidv7() returns uuid
 */
Datum
appdb_uuidv7(PG_FUNCTION_ARGS)
{
	advance();

	PG_RETURN_UUID_P(make_uuid(last.tick, last.rand_b));
}

/*
 * appdb.uuidv7(interval) returns uuid
 *		What uuidv7() would have returned, with an interval added to its time.
 *
 * So a backend's UUIDs of the same shift increase strictly too, whatever it
 * makes in between, except where the calendar itself goes back (29 and 30
 * January plus one month).
 */
Datum
appdb_uuidv7_interval(PG_FUNCTION_ARGS)
{
	Interval   *shift = PG_GETARG_INTERVAL_P(0);
	uint64		tick;
	int64		us;
	int64		moved;
	TimestampTz ts;

	advance();

	/* intervals are added in microseconds, and a tick lies within one */
	tick = last.tick;
	us = (int64) (tick >> FRACTION_BITS) * USECS_PER_MSEC +
		(int64) (((tick & FRACTION_MASK) * USECS_PER_MSEC) >> FRACTION_BITS);
	ts = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												 TimestampTzGetDatum(us - UNIX_TO_POSTGRES_USECS),
												 IntervalPGetDatum(shift)));

	/* timestamptz reaches far beyond what a UUID can hold, on both sides */
	if (TIMESTAMP_NOT_FINITE(ts) ||
		ts < -UNIX_TO_POSTGRES_USECS ||
		ts >= (MAX_MSECS + 1) * USECS_PER_MSEC - UNIX_TO_POSTGRES_USECS)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range for UUID version 7: \"%s\"",
						timestamptz_to_str(ts)),
				 errdetail("UUIDs of version 7 hold times from 1970-01-01 00:00:00+00 to 10889-08-02 05:31:50.655+00."),
				 errhint("Use a smaller interval.")));

	/*
	 * Whole milliseconds leave the fraction as it is.  Otherwise the tick has
	 * the same place among those of its new microsecond, which may have four
	 * where the old one has five; a clock gives no more than four.
	 */
	moved = ts + UNIX_TO_POSTGRES_USECS - us;
	if (moved % USECS_PER_MSEC == 0)
		tick += (uint64) (moved / USECS_PER_MSEC) << FRACTION_BITS;
	else
		tick = first_tick(us + moved) + Min(tick - first_tick(us), TICKS_PER_USEC - 1);

	PG_RETURN_UUID_P(make_uuid(tick, last.rand_b));
}

/*
 * The bounds of an instant, which is a microsecond, among UUIDs of version 7:
 *
 *		lower(t)	is above all that are of before t, and the least of t
 *		upper(t)	is the greatest of t, and below all that are of after t
 *
 * so that id >= lower(a) AND id < lower(b) are those of the time from a until
 * before b, and id BETWEEN lower(a) AND upper(b) those of b's microsecond too.
 * For UUIDs that are made here this is exact.  PostgreSQL 18 rounds a tick
 * down where we round up, so that one made there can seem up to 244 ns older.
 *
 * Before 1970 and after 10889, -infinity and infinity included, there are no
 * UUIDs.  The bounds that mean "none" are then the nil and the max UUID of
 * RFC 9562, which are below and above all of version 7.
 */
static pg_uuid_t *
bound_of_uuids(TimestampTz ts, bool upper)
{
	bool		before;
	bool		after;
	int64		us;

	/* compared so that nothing overflows, infinities being INT64 limits */
	before = ts < -UNIX_TO_POSTGRES_USECS;
	after = ts >= (MAX_MSECS + 1) * USECS_PER_MSEC - UNIX_TO_POSTGRES_USECS;

	if (before || after)
	{
		pg_uuid_t  *uuid;

		if (before && !upper)
			return make_uuid(0, 0);
		if (after && upper)
			return make_uuid(((uint64) MAX_MSECS << FRACTION_BITS) | FRACTION_MASK,
							 RAND_B_MASK);

		uuid = (pg_uuid_t *) palloc(UUID_LEN);
		memset(uuid->data, before ? 0 : 0xff, UUID_LEN);
		return uuid;
	}

	us = ts + UNIX_TO_POSTGRES_USECS;

	return upper ? make_uuid(first_tick(us + 1) - 1, RAND_B_MASK) :
		make_uuid(first_tick(us), 0);
}

/*
 * appdb.uuidv7_lower(timestamptz) returns uuid
 */
Datum
appdb_uuidv7_lower(PG_FUNCTION_ARGS)
{
	PG_RETURN_UUID_P(bound_of_uuids(PG_GETARG_TIMESTAMPTZ(0), false));
}

/*
 * appdb.uuidv7_upper(timestamptz) returns uuid
 */
Datum
appdb_uuidv7_upper(PG_FUNCTION_ARGS)
{
	PG_RETURN_UUID_P(bound_of_uuids(PG_GETARG_TIMESTAMPTZ(0), true));
}

/*
 * Split a UUID into two numbers, and get its version; false if it is not of
 * the variant that RFC 9562 describes, and so has no version.
 */
static inline bool
split_uuid(const pg_uuid_t *uuid, uint64 *high, int *version)
{
	uint64		raw;

	if ((uuid->data[8] & 0xc0) != 0x80)
		return false;

	memcpy(&raw, &uuid->data[0], sizeof(raw));
	*high = pg_ntoh64(raw);
	*version = (int) ((*high >> 12) & 0xf);

	return true;
}

/*
 * appdb.uuid_extract_timestamp(uuid) returns timestamptz
 *		The time in a UUID of version 1 or 7, NULL for others.
 *
 * Of version 7 the milliseconds, as on PostgreSQL 18: other programs put
 * random bits where we have the fraction.
 */
Datum
appdb_uuid_extract_timestamp(PG_FUNCTION_ARGS)
{
	uint64		high;
	int			version;

	if (!split_uuid(PG_GETARG_UUID_P(0), &high, &version))
		PG_RETURN_NULL();

	if (version == 7)
		PG_RETURN_TIMESTAMPTZ((TimestampTz) (high >> 16) * USECS_PER_MSEC -
							  UNIX_TO_POSTGRES_USECS);

	if (version == 1)
	{
		/* time_low, time_mid, version, time_hi: in units of 100 ns */
		uint64		time_low = high >> 32;
		uint64		time_mid = (high >> 16) & 0xffff;
		uint64		time_hi = high & 0x0fff;
		uint64		time = (time_hi << 48) | (time_mid << 32) | time_low;

		PG_RETURN_TIMESTAMPTZ((TimestampTz) (time / 10) -
							  GREGORIAN_TO_POSTGRES_USECS);
	}

	PG_RETURN_NULL();
}

/*
 * appdb.uuid_extract_version(uuid) returns smallint
 *		The version of a UUID, NULL if it is not of the variant of RFC 9562.
 */
Datum
appdb_uuid_extract_version(PG_FUNCTION_ARGS)
{
	uint64		high;
	int			version;

	if (!split_uuid(PG_GETARG_UUID_P(0), &high, &version))
		PG_RETURN_NULL();

	PG_RETURN_INT16((int16) version);
}
