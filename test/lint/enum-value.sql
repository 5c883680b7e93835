SET LOCAL lock_timeout = '5s';
ALTER TYPE app_data.chat_visibility ADD VALUE 'friends' BEFORE 'public';
ALTER TABLE app_data.chats
	ALTER COLUMN visibility SET DEFAULT 'friends';
