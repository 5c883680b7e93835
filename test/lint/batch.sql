SET LOCAL lock_timeout = '5s';
UPDATE app_data.chats SET title = '';
DELETE FROM app_data.chats WHERE title = '';
CREATE TABLE app_data.archive (id uuid PRIMARY KEY);
INSERT INTO app_data.archive SELECT id FROM app_data.chats;
MERGE INTO app_data.chats AS c USING app_data.archive AS a ON a.id = c.id WHEN MATCHED THEN DELETE;
DO $$
DECLARE
	chat record;
BEGIN
	FOR chat IN SELECT * FROM app_data.chats LOOP
		UPDATE app_data.messages SET content = '' WHERE chat_id = chat.id;
	END LOOP;
END $$;
-- == online
UPDATE app_data.chats SET title = 'untitled' WHERE title IS NULL;
