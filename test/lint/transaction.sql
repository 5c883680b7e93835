SET LOCAL lock_timeout = '5s';
SET search_path = app_data;
COMMIT;
BEGIN;
