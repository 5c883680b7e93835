-- file: what was uploaded, where it is stored, who may use it, and which messages it goes with. The contents are elsewhere.

CREATE TYPE app_data.file_status AS ENUM ('pending', 'uploaded', 'failed');
COMMENT ON TYPE app_data.file_status IS
	'How far an upload has come.';

CREATE TYPE app_data.file_permission_level AS ENUM ('read', 'write', 'manage');
COMMENT ON TYPE app_data.file_permission_level IS
	'What a permission allows: read it, change it too, or also decide who may.';

CREATE TABLE app_data.files
(
	id               uuid PRIMARY KEY,
	space_id         uuid NOT NULL,
	user_id          uuid,
	name             text NOT NULL,
	mime_type        text NOT NULL DEFAULT 'application/octet-stream',
	size_bytes       bigint,
	checksum_sha256  text,
	storage_provider text NOT NULL DEFAULT 'local',
	storage_key      text,
	status           app_data.file_status NOT NULL DEFAULT 'pending',
	metadata         jsonb NOT NULL DEFAULT '{}',
	created_at       timestamptz(3) NOT NULL,
	updated_at       timestamptz(3) NOT NULL,
	deleted_at       timestamptz,
	CONSTRAINT files_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT files_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id) ON DELETE SET NULL,
	CONSTRAINT files_space_id_id_key UNIQUE (space_id, id),
	CONSTRAINT files_name_check CHECK (char_length(name) BETWEEN 1 AND 1000),
	CONSTRAINT files_mime_type_check CHECK (char_length(mime_type) BETWEEN 1 AND 255),
	CONSTRAINT files_size_bytes_check CHECK (size_bytes >= 0),
	CONSTRAINT files_checksum_sha256_check CHECK (checksum_sha256 ~ '^[0-9a-f]{64}$'),
	CONSTRAINT files_storage_provider_check CHECK (octet_length(storage_provider) BETWEEN 1 AND 255),
	CONSTRAINT files_storage_key_check CHECK (octet_length(storage_key) BETWEEN 1 AND 2000),
	CONSTRAINT files_metadata_check CHECK (jsonb_typeof(metadata) = 'object')
);

CREATE UNIQUE INDEX files_space_id_storage_key
	ON app_data.files (space_id, storage_provider, storage_key) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.files_space_id_storage_key IS
	'Unique among live rows: two files of a space never share their contents by accident. Within the space only: a tenant learns nothing of another''s.';
CREATE INDEX files_user_id_idx
	ON app_data.files (user_id);
CREATE INDEX files_search_idx
	ON app_data.files USING gin
	((setweight(to_tsvector('english'::regconfig, COALESCE(translate(name, '._-'::text, '   '::text), ''::text)), 'A'::"char")
		|| array_to_tsvector(ARRAY['space:'::text || space_id::text])));
COMMENT ON INDEX app_data.files_search_idx IS
	'Serves appdb.search(): words, and the space that they are in.';

COMMENT ON TABLE app_data.files IS
	'Files: what was uploaded and where it is stored.';
COMMENT ON COLUMN app_data.files.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.files.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.files.user_id IS
	'The user who uploaded it; null where that user is gone.';
COMMENT ON COLUMN app_data.files.name IS
	'What the file is called.';
COMMENT ON COLUMN app_data.files.mime_type IS
	'What kind of file it is.';
COMMENT ON COLUMN app_data.files.size_bytes IS
	'How big it is; null until it is known.';
COMMENT ON COLUMN app_data.files.checksum_sha256 IS
	'SHA-256 of the contents as 64 hexadecimal digits; null until it is known.';
COMMENT ON COLUMN app_data.files.storage_provider IS
	'Where the contents are: the application''s name for a store.';
COMMENT ON COLUMN app_data.files.storage_key IS
	'What the contents are called there; unique among live files of the space.';
COMMENT ON COLUMN app_data.files.status IS
	'How far the upload has come.';
COMMENT ON COLUMN app_data.files.metadata IS
	'Whatever else the application keeps with the row: a JSON object.';
COMMENT ON COLUMN app_data.files.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.files.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.files.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';
COMMENT ON INDEX app_data.files_space_id_id_key IS
	'What foreign keys within the space refer to; serves the list of a space, newest first, too.';

SELECT appdb.manage('app_data.files', label => 'name', relations => '{"user_id": {"name": "uploader"}}');

-- user_id has no ON DELETE SET NULL: a permission that outlived its user would become one for everyone.
CREATE TABLE app_data.file_permissions
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	file_id    uuid NOT NULL,
	user_id    uuid,
	permission app_data.file_permission_level NOT NULL DEFAULT 'read',
	granted_by uuid,
	expires_at timestamptz(3),
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT file_permissions_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT file_permissions_file_id_fkey FOREIGN KEY (space_id, file_id) REFERENCES app_data.files (space_id, id),
	CONSTRAINT file_permissions_user_id_fkey FOREIGN KEY (user_id) REFERENCES app_data.users (id),
	CONSTRAINT file_permissions_granted_by_fkey FOREIGN KEY (granted_by) REFERENCES app_data.users (id) ON DELETE SET NULL
);

CREATE UNIQUE INDEX file_permissions_file_id_user_id_key
	ON app_data.file_permissions (file_id, user_id, space_id) NULLS NOT DISTINCT WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.file_permissions_file_id_user_id_key IS
	'Unique among live rows: one permission a file and person, and one for everyone.';
CREATE INDEX file_permissions_space_id_file_id_idx
	ON app_data.file_permissions (space_id, file_id);
CREATE INDEX file_permissions_user_id_idx
	ON app_data.file_permissions (user_id);
CREATE INDEX file_permissions_granted_by_idx
	ON app_data.file_permissions (granted_by);
CREATE INDEX file_permissions_everyone_idx
	ON app_data.file_permissions (space_id) WHERE user_id IS NULL;
COMMENT ON INDEX app_data.file_permissions_everyone_idx IS
	'Finds the permissions for everyone of the caller''s spaces, however many there are of other spaces and for single users.';

COMMENT ON TABLE app_data.file_permissions IS
	'Who may use a file beyond what their role in the space allows.';
COMMENT ON COLUMN app_data.file_permissions.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.file_permissions.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.file_permissions.file_id IS
	'The file.';
COMMENT ON COLUMN app_data.file_permissions.user_id IS
	'The user who may; null for everyone in the space.';
COMMENT ON COLUMN app_data.file_permissions.permission IS
	'What is allowed.';
COMMENT ON COLUMN app_data.file_permissions.granted_by IS
	'The user who allowed it; null where that user is gone.';
COMMENT ON COLUMN app_data.file_permissions.expires_at IS
	'Until when; null for good.';
COMMENT ON COLUMN app_data.file_permissions.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.file_permissions.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.file_permissions.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.file_permissions', relations => '{"file_id": {"inverse": "permissions", "through": "shared_files"}, "user_id": {"through": "shared_with"}, "granted_by": {"name": "granter", "inverse": "granted_file_permissions"}}');

CREATE TABLE app_data.message_files
(
	id         uuid PRIMARY KEY,
	space_id   uuid NOT NULL,
	message_id uuid NOT NULL,
	file_id    uuid NOT NULL,
	position   integer NOT NULL DEFAULT 0,
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	CONSTRAINT message_files_space_id_fkey FOREIGN KEY (space_id) REFERENCES app_data.spaces (id),
	CONSTRAINT message_files_message_id_fkey FOREIGN KEY (space_id, message_id) REFERENCES app_data.messages (space_id, id),
	CONSTRAINT message_files_file_id_fkey FOREIGN KEY (space_id, file_id) REFERENCES app_data.files (space_id, id)
);

CREATE UNIQUE INDEX message_files_message_id_file_id_key
	ON app_data.message_files (message_id, file_id, space_id) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.message_files_message_id_file_id_key IS
	'Unique among live rows: a file goes with a message once.';
CREATE INDEX message_files_space_id_message_id_idx
	ON app_data.message_files (space_id, message_id);
CREATE INDEX message_files_file_id_idx
	ON app_data.message_files (file_id, space_id);

COMMENT ON TABLE app_data.message_files IS
	'Which files go with which message.';
COMMENT ON COLUMN app_data.message_files.id IS
	'Primary key: a time-ordered UUID (version 7), filled by the engine.';
COMMENT ON COLUMN app_data.message_files.space_id IS
	'The space (tenant) that the row belongs to.';
COMMENT ON COLUMN app_data.message_files.message_id IS
	'The message.';
COMMENT ON COLUMN app_data.message_files.file_id IS
	'The file.';
COMMENT ON COLUMN app_data.message_files.position IS
	'Order among the message''s files.';
COMMENT ON COLUMN app_data.message_files.created_at IS
	'When the row was made; never changes afterwards.';
COMMENT ON COLUMN app_data.message_files.updated_at IS
	'When the row last changed; kept by the engine.';
COMMENT ON COLUMN app_data.message_files.deleted_at IS
	'When the row was deleted, null while it lives; rows deleted by one operation share the value.';

SELECT appdb.manage('app_data.message_files');
