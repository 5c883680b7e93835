-- The tables of 1.1: as those of 1.0.
SET LOCAL lock_timeout = '10s';
