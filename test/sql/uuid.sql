--
-- uuid.c: UUIDs of version 7
--
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';

-- properties that the planner and parallel queries rely on, as on PostgreSQL 18
SELECT p.oid::regprocedure AS function, pg_get_function_result(p.oid) AS result,
       provolatile, proisstrict, proleakproof, proparallel
  FROM pg_proc p
 WHERE pronamespace = 'appdb'::regnamespace AND proname LIKE 'uuid%'
 ORDER BY 1::text COLLATE "C";

-- version and variant, in value and in text
SELECT count(*) FILTER (WHERE appdb.uuid_extract_version(u) = 7) AS version_7,
       count(*) FILTER (WHERE u::text ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$') AS well_formed,
       count(DISTINCT u) AS differing
  FROM (SELECT appdb.uuidv7() AS u FROM generate_series(1, 10000)) s;

-- each is greater than the one before, however fast they are made: far more
-- are made in a tick (244 ns) than one, and all the way through blocks of
-- random numbers
CREATE TEMP TABLE made (n int, u uuid);
INSERT INTO made SELECT n, appdb.uuidv7() FROM generate_series(1, 200000) n;
SELECT count(*) AS not_increasing
  FROM (SELECT u <= lag(u) OVER (ORDER BY n) AS wrong FROM made) s
 WHERE wrong;
-- also across the two functions' own sequences and a statement's end
SELECT appdb.uuidv7() > max(u::text)::uuid AS increasing FROM made;

-- the last 62 bits are random where the tick is new: no two parts are alike
SELECT count(DISTINCT right(u::text, 12)) > 199000 AS random_part_differs FROM made;
-- and each of these bits is set in about half of them
CREATE TEMP TABLE fresh AS
  SELECT uuid_send(appdb.uuidv7(make_interval(days => n))) AS b
    FROM generate_series(1, 4000) n;
SELECT bit AS biased_bit, round(avg(get_bit(b, bit)), 2) AS average
  FROM fresh, generate_series(64, 127) AS bit
 WHERE bit NOT IN (70, 71)              -- the variant
 GROUP BY bit
HAVING bit = 69 AND avg(get_bit(b, bit)) <> 0   -- room to count up in
    OR bit <> 69 AND abs(avg(get_bit(b, bit)) - 0.5) > 0.06
 ORDER BY bit;

-- the time is that of the clock: neither before the call nor after it, and
-- not ahead of the clock even after a fast loop
DO $$
DECLARE
  before timestamptz;
  u uuid;
  after timestamptz;
BEGIN
  FOR i IN 1..2000 LOOP
    before := clock_timestamp();
    u := appdb.uuidv7();
    after := clock_timestamp();
    IF NOT u BETWEEN appdb.uuidv7_lower(before) AND appdb.uuidv7_upper(after) THEN
      RAISE 'made between % and %: %', before, after, u;
    END IF;
    IF NOT (u >= appdb.uuidv7_lower(before) AND u < appdb.uuidv7_lower(after + interval '1 microsecond')) THEN
      RAISE 'made between % and %: %', before, after, u;
    END IF;
  END LOOP;
  PERFORM count(appdb.uuidv7()) FROM generate_series(1, 500000);
  u := appdb.uuidv7();
  after := clock_timestamp();
  IF u > appdb.uuidv7_upper(after) THEN
    RAISE 'made before %, and ahead of it: %', after, u;
  END IF;
END $$;

-- a shift moves the time by an interval, calendar units included
DO $$
DECLARE
  shift interval;
  before timestamptz;
  u uuid;
  after timestamptz;
BEGIN
  FOREACH shift IN ARRAY ARRAY['0', '1 hour', '-1 hour', '1 month', '-1 year', '3 days 00:00:00.000001',
                               '-40 years', '8000 years']::interval[]
  LOOP
    before := clock_timestamp() + shift;
    u := appdb.uuidv7(shift);
    after := clock_timestamp() + shift;
    IF NOT u BETWEEN appdb.uuidv7_lower(before) AND appdb.uuidv7_upper(after) THEN
      RAISE 'shift %: made between % and %: %', shift, before, after, u;
    END IF;
    IF appdb.uuid_extract_version(u) <> 7 THEN
      RAISE 'shift %: version %', shift, appdb.uuid_extract_version(u);
    END IF;
  END LOOP;
END $$;
-- UUIDs of one shift increase too, and a shift leaves the others alone
TRUNCATE made;
INSERT INTO made SELECT n, appdb.uuidv7('-1 day 00:00:00.000123') FROM generate_series(1, 100000) n;
SELECT count(*) AS not_increasing
  FROM (SELECT u <= lag(u) OVER (ORDER BY n) AS wrong FROM made) s
 WHERE wrong;
-- whatever is made in between; no shift is as a shift of nothing
CREATE TEMP TABLE mixed AS
  SELECT n, appdb.uuidv7('0') AS zero, appdb.uuidv7() AS unshifted, appdb.uuidv7('1 day') AS day, appdb.uuidv7('1 day 00:00:00.000001') AS later
    FROM generate_series(1, 100000) n;
SELECT count(*) FILTER (WHERE unshifted <= zero) AS zero, count(*) FILTER (WHERE zero <= last_unshifted) AS unshifted,
       count(*) FILTER (WHERE day <= last_day) AS day, count(*) FILTER (WHERE later <= last_later OR later <= day) AS later
  FROM (SELECT *, lag(unshifted) OVER w AS last_unshifted, lag(day) OVER w AS last_day, lag(later) OVER w AS last_later
          FROM mixed WINDOW w AS (ORDER BY n)) s;
DO $$
DECLARE
  u uuid := appdb.uuidv7();
BEGIN
  PERFORM appdb.uuidv7('1000 years');
  IF appdb.uuidv7() > appdb.uuidv7_upper(clock_timestamp()) OR appdb.uuidv7() <= u THEN
    RAISE 'the shift stays';
  END IF;
END $$;

-- what no UUID can hold
\set VERBOSITY sqlstate
SELECT appdb.uuidv7('-100 years');
SELECT appdb.uuidv7('9000 years');
SELECT appdb.uuidv7('290000 years');
SELECT appdb.uuidv7('200000000 years');
\set VERBOSITY default
DO $$
DECLARE
  m text;
  d text;
  h text;
BEGIN
  PERFORM appdb.uuidv7('-100 years');
EXCEPTION WHEN datetime_field_overflow THEN
  GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
  RAISE NOTICE '% / % / %', regexp_replace(m, '"19\d\d-.*\+00"', '(a time)'), d, h;
END $$;
-- close to the limits
DO $$
DECLARE
  now timestamptz := clock_timestamp();
BEGIN
  PERFORM appdb.uuidv7(timestamptz '10889-08-02 05:31:00+00' - now);
  PERFORM appdb.uuidv7(timestamptz '1970-01-01 00:00:00+00' - now);
  RAISE NOTICE 'within the limits';
  BEGIN
    PERFORM appdb.uuidv7(timestamptz '10889-08-02 05:31:50.656+00' - now);
    RAISE NOTICE 'beyond';
  EXCEPTION WHEN datetime_field_overflow THEN
    RAISE NOTICE 'refused above';
  END;
  BEGIN
    PERFORM appdb.uuidv7(timestamptz '1969-12-31 23:59:00+00' - now);
    RAISE NOTICE 'beyond';
  EXCEPTION WHEN datetime_field_overflow THEN
    RAISE NOTICE 'refused below';
  END;
END $$;
SELECT appdb.uuidv7(NULL) IS NULL AS null_shift;

-- extraction: the examples of RFC 9562, appendix A; of other variants and of
-- versions without a time NULL
SELECT u, appdb.uuid_extract_version(u) AS version, appdb.uuid_extract_timestamp(u) AS "timestamp"
  FROM unnest(ARRAY[
    'C232AB00-9414-11EC-B3C8-9F6BDECED846', -- 1
    '5df41881-3aed-3515-88a7-2f4a814cf09e', -- 3
    '919108f7-52d1-4320-9bac-f847db4148a8', -- 4
    '2ed6657d-e927-568b-95e1-2665a8aea6a2', -- 5
    '1EC9414C-232A-6B00-B3C8-9F6BDECED846', -- 6: NULL, as on 18
    '017F22E2-79B0-7CC3-98C4-DC0C0C07398F', -- 7
    '2489E9AD-2EE2-8E00-8EC9-32D5F69181C0', -- 8
    '00000000-0000-1000-8000-000000000000', -- the first of version 1
    'ffffffff-ffff-1fff-bfff-ffffffffffff', -- the last
    '00000000-0000-7000-8000-000000000000', -- the first of version 7
    'ffffffff-ffff-7fff-bfff-ffffffffffff', -- the last
    '00000000-0000-0000-0000-000000000000', -- nil
    'ffffffff-ffff-ffff-ffff-ffffffffffff', -- max
    '017F22E2-79B0-7CC3-78C4-DC0C0C07398F', -- variant of Apollo NCS
    '017F22E2-79B0-7CC3-c8C4-DC0C0C07398F', -- of Microsoft
    '017F22E2-79B0-7CC3-e8C4-DC0C0C07398F', -- of the future
    NULL]::uuid[]) WITH ORDINALITY AS x(u, n) ORDER BY n;

-- bounds: every microsecond of a millisecond, each with its neighbours
SELECT t, appdb.uuidv7_lower(t) AS lower, appdb.uuidv7_upper(t) AS upper
  FROM unnest(ARRAY['1970-01-01 00:00:00+00', '1970-01-01 00:00:00.000001+00', '1970-01-01 00:00:00.000999+00',
                    '1970-01-01 00:00:00.001+00', '2022-02-22 19:22:22+00', '2022-02-22 19:22:22.5+00',
                    '10889-08-02 05:31:50.655+00', '10889-08-02 05:31:50.655999+00',
                    -- none: nil and max
                    '1969-12-31 23:59:59.999999+00', '10889-08-02 05:31:50.656+00',
                    '4713-01-01 00:00:00+00 BC', '294276-12-31 23:59:59.999999+00',
                    '-infinity', 'infinity', NULL]::timestamptz[]) WITH ORDINALITY AS x(t, n) ORDER BY n;
SELECT count(*) AS wrong
  FROM (SELECT t, appdb.uuidv7_lower(t) AS l, appdb.uuidv7_upper(t) AS u,
               appdb.uuidv7_lower(t + interval '1 microsecond') AS next_l,
               appdb.uuidv7_upper(t + interval '1 microsecond') AS next_u
          FROM generate_series(0, 3000) n, LATERAL (SELECT timestamptz '2024-02-29 12:00:00+00' + n * interval '1 microsecond') s(t)) s
 WHERE NOT coalesce(l < u AND u < next_l AND next_l < next_u
                    -- nothing lies between
                    AND ('x' || translate(left(next_l::text, 18), '-', ''))::bit(64)::bigint -
                        ('x' || translate(left(u::text, 18), '-', ''))::bit(64)::bigint IN (1, 61441)
                    AND appdb.uuid_extract_timestamp(l) = date_trunc('milliseconds', t)
                    AND appdb.uuid_extract_timestamp(u) = date_trunc('milliseconds', t)
                    AND appdb.uuid_extract_version(l) = 7 AND appdb.uuid_extract_version(u) = 7, false);

-- the bounds are constants to the planner, so that they lead into the index
CREATE TEMP TABLE keyed (id uuid PRIMARY KEY);
INSERT INTO keyed SELECT appdb.uuidv7(make_interval(secs => n - 1000)) FROM generate_series(1, 1000) n;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
EXPLAIN (COSTS OFF)
SELECT * FROM keyed WHERE id >= appdb.uuidv7_lower('2022-02-22 19:22:22+00') AND id < appdb.uuidv7_lower('2022-02-22 19:22:23+00');
SELECT count(*) FROM keyed
 WHERE id BETWEEN appdb.uuidv7_lower(now() - interval '500.5 seconds') AND appdb.uuidv7_upper(now() - interval '100.5 seconds');
RESET enable_seqscan;
RESET enable_bitmapscan;

-- parallel workers inherit the leader's memory and must not give out its
-- values: the leader has drawn random numbers already
CREATE TABLE uuid_rows AS SELECT n FROM generate_series(1, 20000) n;
ALTER TABLE uuid_rows SET (parallel_workers = 2);
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SET compute_query_id = off;
EXPLAIN (VERBOSE, COSTS OFF) SELECT appdb.uuidv7() FROM uuid_rows;
SELECT count(DISTINCT u), count(DISTINCT right(u::text, 12)) FROM (SELECT appdb.uuidv7() AS u FROM uuid_rows OFFSET 0) s;
DROP TABLE uuid_rows;

-- a new session
\c -
SET TimeZone = 'UTC';
SELECT appdb.uuid_extract_timestamp(appdb.uuidv7()) BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AS sane;
