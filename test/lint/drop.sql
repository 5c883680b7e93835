SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats DROP COLUMN model;
DROP TABLE app_data.messages, app_data.chats;
DROP TYPE app_data.message_role;
DO $$
BEGIN
	TRUNCATE app_data.chats;
END $$;
