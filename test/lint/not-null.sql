SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats ALTER COLUMN title SET NOT NULL;
ALTER TABLE app_data.chats ADD COLUMN mood text NOT NULL;
ALTER TABLE app_data.chats ADD CONSTRAINT chats_model_not_null CHECK (model IS NOT NULL) NOT VALID;
-- == online
ALTER TABLE app_data.chats ALTER COLUMN model SET NOT NULL;
ALTER TABLE app_data.chats VALIDATE CONSTRAINT chats_model_not_null;
