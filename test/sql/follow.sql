-- Live views and relations follow ALTER TABLE, and DROP TABLE leaves nothing.
SET client_min_messages = warning;
CREATE TABLE public.article
(
	id uuid PRIMARY KEY,
	title text,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	deleted_at timestamptz
);
SELECT appdb.manage('public.article', label => 'title');

-- a new column reaches the view and can be used through it
ALTER TABLE article ADD COLUMN body text, ADD COLUMN rank int DEFAULT 1;
INSERT INTO appdb.article (title, body) VALUES ('first', 'text') RETURNING title, body, rank;

-- what somebody has set on the view stays
ALTER VIEW appdb.article SET (security_barrier = true, check_option = local, security_invoker = false);
ALTER VIEW appdb.article ALTER rank SET DEFAULT 2;
SELECT appdb.manage('article');
SELECT option_name, option_value FROM pg_class, pg_options_to_table(reloptions) WHERE oid = 'appdb.article'::regclass ORDER BY 1;
INSERT INTO appdb.article (title) VALUES ('second') RETURNING rank;
DELETE FROM appdb.article WHERE title = 'second' RETURNING rank;
ALTER VIEW appdb.article RESET (security_barrier, check_option);

-- a new name reaches the view, too, also when two columns swap theirs
ALTER TABLE article RENAME COLUMN body TO content;
SELECT title, content FROM appdb.article;
ALTER TABLE article RENAME COLUMN title TO t;
ALTER TABLE article RENAME COLUMN content TO title;
ALTER TABLE article RENAME COLUMN t TO content;
SELECT title, content FROM appdb.article;

-- a column with a foreign key brings its relations
ALTER TABLE article ADD COLUMN user_id uuid REFERENCES app_data.users (id);
SELECT "from", name, kind, "to", on_delete, function FROM appdb.relations WHERE 'article' IN ("from", "to") ORDER BY 1, 2;

-- its options follow when it is renamed
SELECT appdb.manage('article', relations => '{"user_id": {"name": "writer", "on_delete": "set null"}}');
ALTER TABLE article RENAME COLUMN user_id TO writer_id;
SELECT "from", name, columns, on_delete FROM appdb.relations WHERE "from" = 'article';
SELECT relations, label FROM appdb.managed WHERE name = 'article';

-- and so does what a row has forgotten meanwhile, also when two columns swap their names
ALTER TABLE article ADD COLUMN reader_id uuid REFERENCES app_data.users (id) ON DELETE SET NULL;
CREATE INDEX ON article (writer_id);
CREATE INDEX ON article (reader_id);
SELECT appdb.manage('article');
INSERT INTO appdb.users (name, email) VALUES ('Writer', 'writer@follow.example'), ('Reader', 'reader@follow.example');
UPDATE appdb.article SET writer_id = w.id, reader_id = r.id FROM appdb.users w, appdb.users r
WHERE w.email = 'writer@follow.example' AND r.email = 'reader@follow.example';
DELETE FROM appdb.users WHERE email ~ '@follow.example';
SELECT writer_id, reader_id FROM appdb.article;
ALTER TABLE article RENAME COLUMN writer_id TO user_id;
ALTER EVENT TRIGGER appdb_follow DISABLE;
ALTER TABLE article RENAME COLUMN user_id TO x;
ALTER TABLE article RENAME COLUMN reader_id TO user_id;
ALTER TABLE article RENAME COLUMN x TO reader_id;
ALTER EVENT TRIGGER appdb_follow ENABLE;
SELECT appdb.manage('article');
SELECT restored, rows FROM appdb.restore('appdb.users', (SELECT array_agg(id) FROM app_data.users WHERE email ~ '@follow.example'));
SELECT w.name AS was_writer, r.name AS was_reader FROM appdb.article a LEFT JOIN appdb.users w ON w.id = a.reader_id LEFT JOIN appdb.users r ON r.id = a.user_id;
SET client_min_messages = error;
ALTER TABLE article DROP COLUMN user_id CASCADE;
SET client_min_messages = warning;
ALTER TABLE article RENAME COLUMN reader_id TO user_id;
UPDATE article SET user_id = NULL;
DELETE FROM app_data.users WHERE email ~ '@follow.example';

-- a dropped one takes them away; what depends on the view says so first
ALTER TABLE article DROP COLUMN user_id;
SET client_min_messages = error;
ALTER TABLE article DROP COLUMN user_id CASCADE;
SET client_min_messages = warning;
SELECT count(*) FROM appdb.relations WHERE 'article' IN ("from", "to");
SELECT title, content, rank FROM appdb.article;
DELETE FROM appdb.article RETURNING title;
SELECT title, deleted_at IS NOT NULL AS deleted FROM article ORDER BY id;

-- names as long as names can be
ALTER TABLE article ADD COLUMN a2345678901234567890123456789012345678901234567890123456789012 integer, ADD COLUMN short text;
ALTER TABLE article RENAME COLUMN a2345678901234567890123456789012345678901234567890123456789012 TO "b 345678901234567890123456789012345678901234567890123456789äüö";
SELECT attname FROM pg_attribute WHERE attrelid = 'appdb.article'::regclass AND attnum > 7 ORDER BY attnum;
ALTER TABLE article RENAME COLUMN short TO "ÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜäöü";
SELECT attname FROM pg_attribute WHERE attrelid = 'appdb.article'::regclass AND attnum > 7 ORDER BY attnum;
ALTER TABLE article DROP COLUMN "b 345678901234567890123456789012345678901234567890123456789äüö" CASCADE;
ALTER TABLE article DROP COLUMN "ÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜäöüÄÖÜäöü" CASCADE;

-- no foreign key without an index goes unnoticed
SET client_min_messages = notice;
ALTER TABLE article ADD COLUMN chat_id uuid REFERENCES app_data.chats (id);
CREATE INDEX ON article (chat_id);
SELECT appdb.manage('article');

-- the view gets another name, relations with it
SELECT appdb.manage('article', view => 'articles');
SELECT "from", name, kind, "to", function FROM appdb.relations WHERE 'articles' IN ("from", "to") ORDER BY 1, 2;
SELECT to_regclass('appdb.article'), name, live_view, label FROM appdb.managed WHERE entity = 'article'::regclass;

-- the engine forgets a table that is dropped
DROP TABLE article CASCADE;
SET appdb.allow_drop = on;
SET client_min_messages = warning;
DROP TABLE article CASCADE;
SELECT count(*) FROM app_data.managed WHERE view = 'articles';
SELECT count(*) FROM appdb.relations WHERE 'articles' IN ("from", "to");
