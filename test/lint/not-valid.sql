SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats ADD CONSTRAINT chats_title_not_empty CHECK (title <> '');
ALTER TABLE app_data.chats ADD FOREIGN KEY (user_id) REFERENCES app_data.users (id);
ALTER TABLE app_data.chats ADD COLUMN note_id uuid REFERENCES app_data.notes (id);
ALTER TABLE app_data.chats ADD COLUMN n integer CHECK (n > 0);
ALTER TABLE app_data.chats ADD CONSTRAINT chats_n CHECK (n < 9) NOT VALID;
ALTER TABLE app_data.chats VALIDATE CONSTRAINT chats_n;
