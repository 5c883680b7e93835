-- chat: conversations with a model, and among people.
--
-- A tenant table: foreign keys between tenant tables carry space_id, so a row never refers across spaces.

CREATE TYPE app_data.chat_visibility AS ENUM ('private', 'space', 'public');
COMMENT ON TYPE app_data.chat_visibility IS
	'Who can read a chat: its author, the members of its space, everyone who has its address.';

CREATE TYPE app_data.message_role AS ENUM ('system', 'user', 'assistant', 'tool');
COMMENT ON TYPE app_data.message_role IS
	'Who speaks in a message, in the words of the model providers.';

CREATE TYPE app_data.message_status AS ENUM ('pending', 'streaming', 'completed', 'failed', 'canceled');
COMMENT ON TYPE app_data.message_status IS
	'How far a message has come: a person''s are completed at once, a model''s stream in.';

CREATE TABLE app_data.chats
(
	id          uuid PRIMARY KEY,
	space_id    uuid NOT NULL,
	user_id     uuid,
	title       text,
	visibility  app_data.chat_visibility NOT NULL DEFAULT 'space',
	model       text,
	archived_at timestamptz(3),
	metadata    jsonb NOT NULL DEFAULT '{}',
	created_at  timestamptz(3) NOT NULL,
	updated_at  timestamptz(3) NOT NULL,
	deleted_at  timestamptz,
	CONSTRAINT chats_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT chats_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT chats_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT chats_title_check CHECK (char_length(title) <= 1000),
	CONSTRAINT chats_model_check CHECK (char_length(model) BETWEEN 1 AND 255),
	CONSTRAINT chats_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX chats_user_id_idx
	ON app_data.chats (user_id);
CREATE INDEX chats_search_idx
	ON app_data.chats USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char")
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.chats_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';

COMMENT ON TABLE app_data.chats IS
	'Conversations.';
COMMENT ON COLUMN app_data.chats.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.chats.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.chats.user_id IS
	'The user who began the chat; null where that user is gone.';
COMMENT ON COLUMN app_data.chats.title IS
	'What the chat is called; null until it has a name.';
COMMENT ON COLUMN app_data.chats.visibility IS
	'Who can read the chat.';
COMMENT ON COLUMN app_data.chats.model IS
	'The model that answers in it.';
COMMENT ON COLUMN app_data.chats.archived_at IS
	'When it was put away; null while it is in use.';
COMMENT ON COLUMN app_data.chats.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.chats.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.chats.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.chats.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.chats_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.chats', label => 'title', relations => '{"user_id": {"name": "author"}}');

-- Some room in the pages keeps changes HOT that no index sees: of a message's status, say, or of its tokens. Those of its text are in the index for searches.
CREATE TABLE app_data.messages
(
	id            uuid PRIMARY KEY,
	space_id      uuid NOT NULL,
	chat_id       uuid NOT NULL,
	parent_id     uuid,
	user_id       uuid,
	role          app_data.message_role NOT NULL,
	content       text NOT NULL DEFAULT '',
	parts         jsonb,
	model         text,
	input_tokens  integer,
	output_tokens integer,
	status        app_data.message_status NOT NULL DEFAULT 'completed',
	metadata      jsonb NOT NULL DEFAULT '{}',
	created_at    timestamptz(3) NOT NULL,
	updated_at    timestamptz(3) NOT NULL,
	deleted_at    timestamptz,
	CONSTRAINT messages_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT messages_chat_id_fkey FOREIGN KEY (space_id, chat_id) REFERENCES app_data.chats (space_id, id),
	CONSTRAINT messages_parent_id_fkey FOREIGN KEY (space_id, chat_id, parent_id) REFERENCES app_data.messages (space_id, chat_id, id),
	CONSTRAINT messages_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT messages_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT messages_chat_id_space_id_id_key UNIQUE (chat_id, space_id, id),
	CONSTRAINT messages_content_check CHECK (char_length(content) <= 10000000),
	CONSTRAINT messages_parts_check CHECK (jsonb_typeof(parts) = 'array'),
	CONSTRAINT messages_model_check CHECK (char_length(model) BETWEEN 1 AND 255),
	CONSTRAINT messages_input_tokens_check CHECK (input_tokens >= 0),
	CONSTRAINT messages_output_tokens_check CHECK (output_tokens >= 0),
	CONSTRAINT messages_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
) WITH (fillfactor = 90);

CREATE INDEX messages_parent_id_idx
	ON app_data.messages (parent_id, chat_id, space_id) WHERE parent_id IS NOT NULL;
CREATE INDEX messages_chat_id_id_idx
	ON app_data.messages (chat_id, id);
COMMENT ON INDEX app_data.messages_chat_id_id_idx IS
	'Serves the messages of a chat, newest first, where a query does not say its space.';
CREATE INDEX messages_user_id_idx
	ON app_data.messages (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX messages_search_idx
	ON app_data.messages USING gin
	((to_tsvector('english'::regconfig, "left"(content, 100000))
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.messages_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';

COMMENT ON TABLE app_data.messages IS
	'What was said in a chat. A message may answer another (its parent), so that a conversation can branch.';
COMMENT ON COLUMN app_data.messages.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.messages.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.messages.chat_id IS
	'The chat.';
COMMENT ON COLUMN app_data.messages.parent_id IS
	'The message that this one follows in the same chat; null at the beginning, and in chats that do not branch.';
COMMENT ON COLUMN app_data.messages.user_id IS
	'The user who wrote it; null for a model''s, and where that user is gone.';
COMMENT ON COLUMN app_data.messages.role IS
	'Who speaks.';
COMMENT ON COLUMN app_data.messages.content IS
	'The text.';
COMMENT ON COLUMN app_data.messages.parts IS
	'The message in parts (text, tool calls, reasoning, files ...) as a JSON array, for clients that keep it so.';
COMMENT ON COLUMN app_data.messages.model IS
	'The model that wrote it.';
COMMENT ON COLUMN app_data.messages.input_tokens IS
	'Tokens that the model read for it.';
COMMENT ON COLUMN app_data.messages.output_tokens IS
	'Tokens that the model wrote.';
COMMENT ON COLUMN app_data.messages.status IS
	'How far it has come.';
COMMENT ON COLUMN app_data.messages.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.messages.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.messages.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.messages.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.messages_space_id_id_key IS
	'What foreign keys within the space refer to.';
COMMENT ON INDEX app_data.messages_chat_id_space_id_id_key IS
	'What keeps a parent within its chat; serves the foreign key of the chat and its messages, newest first, too.';

SELECT appdb.manage('app_data.messages', relations => '{"user_id": {"name": "author"}}');
