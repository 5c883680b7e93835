SET LOCAL lock_timeout = '5s';
CREATE TABLE IF NOT EXISTS app_data.moods (id uuid PRIMARY KEY);
ALTER TABLE app_data.chats ADD COLUMN IF NOT EXISTS mood text;
ALTER TABLE app_data.chats DROP CONSTRAINT IF EXISTS chats_title_check;
ALTER TYPE app_data.chat_visibility ADD VALUE IF NOT EXISTS 'friends';
CREATE OR REPLACE VIEW app_data.titles AS SELECT title FROM app_data.chats;
-- == online
CREATE INDEX CONCURRENTLY IF NOT EXISTS chats_title_idx ON app_data.chats (title);
DROP INDEX CONCURRENTLY IF EXISTS app_data.chats_user_id_idx;
