SET LOCAL lock_timeout = '5s';
CREATE INDEX chats_title_idx ON app_data.chats (title);
CREATE UNIQUE INDEX CONCURRENTLY chats_title_key ON app_data.chats (title);
ALTER TABLE app_data.chats ADD CONSTRAINT chats_title_unique UNIQUE (title);
ALTER TABLE app_data.chats ADD COLUMN slug text UNIQUE;
ALTER TABLE app_data.chats ADD EXCLUDE USING gist (title WITH =);
DROP INDEX app_data.chats_user_id_idx;
-- == online
CREATE INDEX chats_model_idx ON app_data.chats (model);
