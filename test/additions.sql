-- additions.sql: what people do to appdb's tables and beside them.  For the
-- tests that carry a database from one state to another and compare it.
\set ON_ERROR_STOP 1

-- to a built-in table: a column, an index, a check, a trigger, a policy, comments, settings, a rule of its own
ALTER TABLE app_data.users ADD COLUMN nickname text COLLATE "C" DEFAULT 'none' NOT NULL;
COMMENT ON COLUMN app_data.users.nickname IS 'What friends say';
CREATE INDEX users_nickname ON app_data.users (lower(nickname)) INCLUDE (name) WHERE deleted_at IS NULL;
COMMENT ON INDEX app_data.users_nickname IS 'Mine';
ALTER TABLE app_data.users ADD CONSTRAINT users_nickname_check CHECK (nickname <> '');
COMMENT ON CONSTRAINT users_nickname_check ON app_data.users IS 'Mine too';
CREATE FUNCTION public.nickname_lower() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.nickname := lower(NEW.nickname); RETURN NEW; END $$;
CREATE TRIGGER nickname_lower BEFORE INSERT OR UPDATE OF nickname ON app_data.users FOR EACH ROW EXECUTE FUNCTION public.nickname_lower();
ALTER TABLE app_data.users DISABLE TRIGGER nickname_lower;
CREATE POLICY mine ON app_data.notes AS PERMISSIVE FOR SELECT TO PUBLIC USING (title <> 'hidden');
COMMENT ON POLICY mine ON app_data.notes IS 'Mine as well';
ALTER TABLE app_data.messages SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE app_data.notes ALTER COLUMN content SET STATISTICS 500;
CREATE STATISTICS app_data.notes_stats ON space_id, folder_id FROM app_data.notes;
ALTER TYPE app_data.message_role ADD VALUE 'developer' AFTER 'system';
GRANT SELECT, INSERT ON app_data.notes TO appdb_test_reader;
SELECT appdb.manage('app_data.users');

-- a table of their own, managed, whose foreign keys lead to built-in tables
CREATE TABLE public.projects
(
	id uuid PRIMARY KEY,
	space_id uuid NOT NULL REFERENCES app_data.spaces (id),
	user_id uuid REFERENCES app_data.users (id) ON DELETE SET NULL,
	title text NOT NULL,
	created_at timestamptz(3) NOT NULL,
	updated_at timestamptz(3) NOT NULL,
	deleted_at timestamptz,
	UNIQUE (space_id, id)
);
CREATE INDEX projects_space_id_idx ON public.projects (space_id);
CREATE INDEX projects_user_id_idx ON public.projects (user_id);
SELECT appdb.manage('public.projects', label => 'title', relations => '{"user_id": {"name": "lead", "inverse": "led_projects"}}');
INSERT INTO appdb.projects (space_id, user_id, title) VALUES
	('00000000-0000-7000-8000-000000000021', '00000000-0000-7000-8000-000000000001', 'Moon'),
	('00000000-0000-7000-8000-000000000021', NULL, 'Mars');
DELETE FROM appdb.projects WHERE title = 'Mars';

-- one that is not managed
CREATE TABLE public.ratings
(
	note_id uuid REFERENCES app_data.notes (id) ON DELETE CASCADE,
	project_id uuid REFERENCES public.projects (id),
	stars int GENERATED ALWAYS AS (points / 20) STORED,
	points int CHECK (points BETWEEN 0 AND 100),
	PRIMARY KEY (note_id)
);
INSERT INTO public.ratings (note_id, points) SELECT id, 80 FROM appdb.notes;

-- roles of applications
SELECT appdb.grant_access('appdb_test_app', 'app'), appdb.grant_access('appdb_test_service', 'service');

-- what is published
CREATE PUBLICATION people FOR TABLE app_data.users (id, name, nickname), public.projects WITH (publish = 'insert, update');
