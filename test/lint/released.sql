SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats ADD COLUMN n integer;
-- somebody changes it after the release
