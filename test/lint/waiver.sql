SET LOCAL lock_timeout = '5s';
-- lint: allow drop
ALTER TABLE app_data.chats DROP COLUMN model;
-- lint: allow drop: it is not dropped at all
ALTER TABLE app_data.chats ALTER COLUMN model DROP DEFAULT;
-- lint: allow qualified: it is in my search path
ALTER TABLE chats ALTER COLUMN model DROP DEFAULT;
-- lint: allow everything: please
ALTER TABLE app_data.chats ALTER COLUMN model DROP DEFAULT;
-- lint: ignore
ALTER TABLE app_data.chats ALTER COLUMN model DROP DEFAULT;
-- lint: allow rename: a waiver is for its own rule
ALTER TABLE app_data.chats DROP COLUMN title;
