SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats RENAME TO conversations;
ALTER TABLE app_data.chats RENAME COLUMN model TO llm;
ALTER TABLE app_data.chats SET SCHEMA app_data;
ALTER TYPE app_data.message_role RENAME VALUE 'tool' TO 'function';
