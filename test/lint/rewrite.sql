SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats ALTER COLUMN title TYPE varchar(100);
ALTER TABLE app_data.chats
	ADD COLUMN upper text GENERATED ALWAYS AS (upper(title)) STORED;
ALTER TABLE app_data.chats ADD COLUMN n bigserial;
ALTER TABLE app_data.chats SET UNLOGGED;
-- == online
CLUSTER app_data.chats USING chats_pkey;
VACUUM FULL app_data.chats;
