-- What the engine of 1.1 does not have any more, or has with another result.
DROP FUNCTION appdb._doctor(boolean);
DROP FUNCTION appdb.__doctor(boolean);
DROP FUNCTION appdb._link_condition(name[], name[]);
DROP FUNCTION appdb._task_dependents(uuid, text);
DROP FUNCTION appdb._held_condition(regclass, text, regclass[]);
DROP FUNCTION appdb._purge_notes(timestamptz);
DROP FUNCTION appdb._unindexed_keys(regclass);
DROP FUNCTION appdb.progress(uuid, integer, real, text);
DROP FUNCTION appdb._progress(uuid, integer, real, text);
