SET LOCAL lock_timeout = '5s';
ALTER TABLE app_data.chats ADD COLUMN key uuid DEFAULT gen_random_uuid();
ALTER TABLE app_data.chats ADD COLUMN at timestamptz NOT NULL DEFAULT now() + random() * interval '1 day';
ALTER TABLE app_data.chats ADD COLUMN other uuid DEFAULT appdb.uuidv7();
