/*
 * cron.c
 *		appdb.cron_next(): when a schedule is due next.
 *
 * Five fields as cron has them: minute, hour, day of the month, month, day of
 * the week; each a list of numbers or names, ranges and steps.  Where both
 * days are restricted, either will do.
 *
 * A schedule is read in a time zone, whose clocks are put forward and back.
 * One that runs every hour (hour is *) goes by what has passed: it misses none
 * and repeats none.  One that names hours goes by the clock on the wall: a
 * time that is left out runs when the clocks have jumped over it, one that
 * comes twice runs once, the first time.
 */
#include "appdb.h"

#include <ctype.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "pgtime.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/timestamp.h"

typedef struct Cron
{
	uint64		minutes;
	uint64		hours;
	uint64		days;
	uint64		months;
	uint64		weekdays;
	bool		any_hour;
	bool		any_day;
	bool		any_weekday;
} Cron;

PG_FUNCTION_INFO_V1(appdb_cron_next);

static const char *const month_names[] = {
	"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", NULL
};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

/* no schedule is looked for further ahead: 29 February on some day of the week may be forty years away */
#define MAX_DAYS (366 * 41)

pg_noreturn static void
bad_cron(const char *cron, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" is no schedule", cron),
			 errdetail("%s", detail),
			 errhint("It has five fields, minute hour day month weekday, as in \"30 4 * * mon-fri\", or is @hourly, @daily, @weekly, @monthly or @yearly.")));
}

/* A number or a name; moves past it. */
static int
parse_value(const char **p, const char *const *names, int first, const char *cron)
{
	if (isdigit((unsigned char) **p))
	{
		int			value = 0;

		while (isdigit((unsigned char) **p) && value < 1000)
			value = value * 10 + (*(*p)++ - '0');
		return value;
	}
	for (int i = 0; names != NULL && names[i] != NULL; i++)
	{
		if (pg_strncasecmp(*p, names[i], 3) == 0 && !isalpha((unsigned char) (*p)[3]))
		{
			*p += 3;
			return first + i;
		}
	}
	bad_cron(cron, psprintf("\"%s\" is not understood.", *p));
}

static uint64
parse_field(const char *field, int min, int max, const char *const *names, const char *what, const char *cron)
{
	uint64		set = 0;
	const char *p = field;

	for (;;)
	{
		int			low = min;
		int			high = max;
		int			step = 1;
		bool		single = false;

		if (*p == '*')
			p++;
		else
		{
			low = high = parse_value(&p, names, min, cron);
			single = true;
			if (*p == '-')
			{
				p++;
				high = parse_value(&p, names, min, cron);
				single = false;
				/* to Sunday, which is 0 and 7 */
				if (high == 0 && low > 0 && max == 7)
					high = 7;
			}
		}
		if (*p == '/')
		{
			p++;
			step = parse_value(&p, NULL, 0, cron);
			if (single)
				high = max;
		}
		if (low > high)
			bad_cron(cron, psprintf("\"%s\" ends before it begins.", field));
		if (step < 1)
			bad_cron(cron, psprintf("\"%s\" has a step of zero.", field));
		if (low < min || high > max)
			bad_cron(cron, psprintf("\"%s\" is no %s: those are from %d to %d.", field, what, min, max));
		for (int i = low; i <= high; i += step)
			set |= UINT64CONST(1) << i;
		if (*p == '\0')
			return set;
		if (*p != ',')
			bad_cron(cron, psprintf("\"%s\" is no %s.", field, what));
		p++;
	}
}

static void
parse_cron(const char *cron, Cron *result)
{
	static const char *const nicknames[][2] = {
		{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"}, {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"}
	};
	char	   *copy = pstrdup(cron);
	char	   *fields[6];
	int			nfields = 0;

	for (char *field = strtok(copy, " \t\r\n"); field != NULL; field = strtok(NULL, " \t\r\n"))
	{
		if (nfields < 6)
			fields[nfields++] = field;
	}
	for (int i = 0; nfields == 1 && i < (int) lengthof(nicknames); i++)
	{
		if (pg_strcasecmp(fields[0], nicknames[i][0]) == 0)
		{
			parse_cron(nicknames[i][1], result);
			return;
		}
	}
	if (nfields != 5)
		bad_cron(cron, "It does not have five fields.");
	result->minutes = parse_field(fields[0], 0, 59, NULL, "minute", cron);
	result->hours = parse_field(fields[1], 0, 23, NULL, "hour", cron);
	result->days = parse_field(fields[2], 1, 31, NULL, "day of the month", cron);
	result->months = parse_field(fields[3], 1, 12, month_names, "month", cron);
	result->weekdays = parse_field(fields[4], 0, 7, weekday_names, "day of the week", cron);
	/* Sunday is 0 and 7 */
	if (result->weekdays & (UINT64CONST(1) << 7))
		result->weekdays |= 1;
	result->any_hour = result->hours == (UINT64CONST(1) << 24) - 1;
	result->any_day = fields[2][0] == '*';
	result->any_weekday = fields[4][0] == '*';
}

#define HAS(set, value) (((set) >> (value)) & 1)

static bool
day_matches(const Cron *cron, int year, int month, int day)
{
	bool		day_ok = HAS(cron->days, day);
	bool		weekday_ok = HAS(cron->weekdays, j2day(date2j(year, month, day)));

	if (!HAS(cron->months, month))
		return false;
	if (cron->any_day || cron->any_weekday)
		return day_ok && weekday_ok;
	return day_ok || weekday_ok;
}

/* When a clock on the wall shows a time: the first time, if it does so twice; after the jump, if it never does. */
static bool
wall_to_timestamp(struct pg_tm *at, pg_tz *tz, TimestampTz *result)
{
	int			zone = DetermineTimeZoneOffset(at, tz);
	struct pg_tm tm;
	fsec_t		fsec;
	int			zone_before;
	TimestampTz first;

	if (tm2timestamp(at, 0, &zone, result) != 0)
		return false;
	/* of two times that is the second: look whether the clock of the day before has it, too */
	if (timestamp2tm(*result - USECS_PER_DAY, &zone_before, &tm, &fsec, NULL, tz) == 0 && zone_before < zone &&
		tm2timestamp(at, 0, &zone_before, &first) == 0 &&
		timestamp2tm(first, &zone, &tm, &fsec, NULL, tz) == 0 && zone == zone_before)
		*result = first;
	return true;
}

/* The first time after "after" on a clock on the wall; false: none. */
static bool
next_by_wall(const Cron *cron, TimestampTz after, pg_tz *tz, TimestampTz *next)
{
	struct pg_tm tm;
	fsec_t		fsec;
	int			offset;
	int			julian;

	if (timestamp2tm(after, &offset, &tm, &fsec, NULL, tz) != 0)
		return false;
	julian = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday);
	/* from the day before on, as the clocks may have been put back over midnight */
	for (int d = -1; d < MAX_DAYS; d++)
	{
		struct pg_tm day = {0};
		int			found = -1;

		CHECK_FOR_INTERRUPTS();
		j2date(julian + d, &day.tm_year, &day.tm_mon, &day.tm_mday);
		if (!day_matches(cron, day.tm_year, day.tm_mon, day.tm_mday))
			continue;
		/* where the clocks were put forward, what they left out comes among what follows: look a little further */
		for (int hour = 0; hour < 24 && (found < 0 || hour <= found + 2); hour++)
		{
			if (!HAS(cron->hours, hour))
				continue;
			for (int minute = 0; minute < 60; minute++)
			{
				struct pg_tm at = day;
				TimestampTz t;

				if (!HAS(cron->minutes, minute))
					continue;
				at.tm_hour = hour;
				at.tm_min = minute;
				if (wall_to_timestamp(&at, tz, &t) && t > after && (found < 0 || t < *next))
				{
					if (found < 0)
						found = hour;
					*next = t;
				}
			}
		}
		if (found >= 0)
			return true;
	}
	return false;
}

/* The same by what has passed: the hour does not matter. */
static bool
next_by_hour(const Cron *cron, TimestampTz after, pg_tz *tz, TimestampTz *next)
{
	TimestampTz t = after - (after % USECS_PER_MINUTE + USECS_PER_MINUTE) % USECS_PER_MINUTE + USECS_PER_MINUTE;
	TimestampTz end = after + MAX_DAYS * USECS_PER_DAY;

	while (t < end)
	{
		struct pg_tm tm;
		fsec_t		fsec;
		int			offset;

		CHECK_FOR_INTERRUPTS();
		if (timestamp2tm(t, &offset, &tm, &fsec, NULL, tz) != 0)
			return false;
		if (!day_matches(cron, tm.tm_year, tm.tm_mon, tm.tm_mday))
		{
			/* to the next hour on that clock: changes of the clock come at whole ones, nearly always */
			t += (60 - tm.tm_min) * USECS_PER_MINUTE - tm.tm_sec * USECS_PER_SEC;
			continue;
		}
		if (HAS(cron->minutes, tm.tm_min))
		{
			*next = t - tm.tm_sec * USECS_PER_SEC;
			if (*next > after)
				return true;
		}
		t += USECS_PER_MINUTE;
	}
	return false;
}

/*
 * appdb.cron_next(cron text, after timestamptz, time_zone text)
 *		returns timestamptz
 */
Datum
appdb_cron_next(PG_FUNCTION_ARGS)
{
	char	   *schedule = text_to_cstring(PG_GETARG_TEXT_PP(0));
	TimestampTz after = PG_GETARG_TIMESTAMPTZ(1);
	char	   *zone = text_to_cstring(PG_GETARG_TEXT_PP(2));
	Cron		cron;
	pg_tz	   *tz;
	TimestampTz next;

	parse_cron(schedule, &cron);
	tz = pg_tzset(zone);
	if (tz == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", zone),
				 errhint("pg_timezone_names lists them: \"Europe/Berlin\", \"UTC\".")));
	if (TIMESTAMP_NOT_FINITE(after) ||
		!(cron.any_hour ? next_by_hour : next_by_wall) (&cron, after, tz, &next))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(next);
}
