-- What none of the rules minds.
SET LOCAL lock_timeout = '5s';
CREATE TYPE app_data.mood AS ENUM ('good', 'bad');
ALTER TABLE app_data.chats ADD COLUMN pinned_at timestamptz(3);
ALTER TABLE app_data.chats ADD COLUMN seen_at timestamptz NOT NULL DEFAULT now(), ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
ALTER TABLE app_data.chats ALTER COLUMN id SET DEFAULT appdb.uuidv7();
ALTER TABLE app_data.chats ADD CONSTRAINT chats_parent_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id) NOT VALID;
ALTER TYPE app_data.chat_visibility ADD VALUE 'friends';
ALTER TABLE app_data.chats ADD COLUMN n integer NOT NULL DEFAULT 0;
ALTER TABLE app_data.chats ADD CONSTRAINT chats_n_check CHECK (n >= 0) NOT VALID;
ALTER TABLE app_data.chats ADD CONSTRAINT p CHECK (title IS NOT NULL) NOT VALID;
CREATE TABLE app_data.moods (id uuid PRIMARY KEY, chat_id uuid REFERENCES app_data.chats (id), mood app_data.mood NOT NULL DEFAULT 'good', x pg_catalog.text);
CREATE INDEX moods_chat_id ON app_data.moods (chat_id);
COMMENT ON COLUMN app_data.chats.n IS 'x';
COMMENT ON TABLE app_data.moods IS 'x';
ALTER TABLE app_data.moods ALTER COLUMN x TYPE varchar(10), ADD COLUMN z uuid DEFAULT pg_catalog.gen_random_uuid();
ALTER TABLE app_data.moods ADD CONSTRAINT moods_x_key UNIQUE (x);
UPDATE app_data.managed SET label = 'name' WHERE entity = 'app_data.spaces'::regclass;
DO $$
DECLARE
	mood app_data.mood;
BEGIN
	FOR mood IN SELECT unnest FROM unnest(enum_range(NULL::app_data.mood)) LOOP
		INSERT INTO app_data.moods (id, mood) VALUES (appdb.uuidv7(), mood);
	END LOOP;
END $$;
SELECT appdb.manage('app_data.moods');
-- lint: allow drop: nothing has read it since 0.9
ALTER TABLE app_data.chats DROP COLUMN model;

-- == online
ALTER TABLE app_data.chats VALIDATE CONSTRAINT chats_n_check;
CREATE INDEX CONCURRENTLY chats_n_idx ON app_data.chats (n) WITH (deduplicate_items = off);
CREATE UNIQUE INDEX CONCURRENTLY chats_title_key ON app_data.chats (space_id, title);
ALTER TABLE app_data.chats ADD CONSTRAINT chats_title_key UNIQUE USING INDEX chats_title_key;
DROP INDEX CONCURRENTLY app_data.chats_user_id_idx;
UPDATE app_data.chats SET title = '' WHERE id IN (SELECT id FROM app_data.chats WHERE title IS NULL LIMIT 1000);
ALTER TABLE app_data.chats VALIDATE CONSTRAINT p;
ALTER TABLE app_data.chats ALTER COLUMN title SET NOT NULL;
ALTER TABLE app_data.chats DROP CONSTRAINT p;
