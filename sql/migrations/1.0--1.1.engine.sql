-- What the engine of 1.1 does not have any more, or has with another result.
DROP FUNCTION appdb._doctor(boolean);
DROP FUNCTION appdb.__doctor(boolean);
DROP FUNCTION appdb._link_condition(name[], name[]);
DROP FUNCTION appdb._task_dependents(uuid, text);
DROP FUNCTION appdb._held_condition(regclass, text, regclass[]);
DROP FUNCTION appdb._purge_notes(timestamptz);
DROP FUNCTION appdb._unindexed_keys(regclass);
-- Its third argument has another name, and what uses it stays.
UPDATE pg_proc SET proargnames = '{id,ticket,part,message}' WHERE oid = 'appdb.progress(uuid, integer, real, text)'::regprocedure;
DROP FUNCTION appdb._progress(uuid, integer, real, text);
