-- note: notes in a tree of folders. appdb.folder_path() and appdb.folder_contents() read the tree; the engine keeps it one.

CREATE TABLE app_data.folders
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	parent_id  uuid,
	name       text NOT NULL,
	position   integer NOT NULL DEFAULT 0,
	metadata   jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT folders_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT folders_parent_id_fkey FOREIGN KEY (space_id, parent_id) REFERENCES app_data.folders (space_id, id),
	CONSTRAINT folders_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT folders_name_check CHECK (octet_length(name) BETWEEN 1 AND 1000),
	CONSTRAINT folders_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX folders_parent_id_name_key
	ON app_data.folders (space_id, parent_id, name) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.folders_parent_id_name_key IS
	'Unique among live rows: a name among siblings, those at the top too.';
CREATE INDEX folders_parent_id_idx
	ON app_data.folders (parent_id, space_id);

COMMENT ON TABLE app_data.folders IS
	'Folders: a tree in each space.';
COMMENT ON COLUMN app_data.folders.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.folders.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.folders.parent_id IS
	'The folder that this one is in; null at the top. Changing it moves the folder with all that is in it.';
COMMENT ON COLUMN app_data.folders.name IS
	'What the folder is called; unique among its live siblings.';
COMMENT ON COLUMN app_data.folders.position IS
	'Order among its siblings.';
COMMENT ON COLUMN app_data.folders.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.folders.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.folders.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.folders.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.folders_space_id_id_key IS
	'What foreign keys within the space refer to.';

SELECT appdb.manage('app_data.folders', label => 'name');

CREATE TABLE app_data.notes
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	folder_id  uuid,
	user_id    uuid,
	title      text NOT NULL DEFAULT '',
	content    text NOT NULL DEFAULT '',
	pinned_at  timestamptz(3),
	metadata   jsonb NOT NULL DEFAULT '{}',
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT notes_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT notes_folder_id_fkey FOREIGN KEY (space_id, folder_id) REFERENCES app_data.folders (space_id, id),
	CONSTRAINT notes_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT notes_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT notes_title_check CHECK (char_length(title) <= 1000),
	CONSTRAINT notes_content_check CHECK (char_length(content) <= 10000000),
	CONSTRAINT notes_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE INDEX notes_folder_id_idx
	ON app_data.notes (folder_id, space_id, id);
COMMENT ON INDEX app_data.notes_folder_id_idx IS
	'Serves the foreign key and a folder''s notes, newest first.';
CREATE INDEX notes_user_id_idx
	ON app_data.notes (user_id);
CREATE INDEX notes_search_idx
	ON app_data.notes USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(title, ''::text)), 'A'::"char")
		|| to_tsvector('english'::regconfig, "left"(content, 100000))
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.notes_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';

COMMENT ON TABLE app_data.notes IS
	'Notes.';
COMMENT ON COLUMN app_data.notes.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.notes.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.notes.folder_id IS
	'The folder that the note is in; null at the top.';
COMMENT ON COLUMN app_data.notes.user_id IS
	'The user who wrote it; null where that user is gone.';
COMMENT ON COLUMN app_data.notes.title IS
	'What the note is called.';
COMMENT ON COLUMN app_data.notes.content IS
	'The text.';
COMMENT ON COLUMN app_data.notes.pinned_at IS
	'When it was pinned; null for a note that is not.';
COMMENT ON COLUMN app_data.notes.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.notes.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.notes.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.notes.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.notes_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.notes', label => 'title', relations => '{"user_id": {"name": "author"}}');
