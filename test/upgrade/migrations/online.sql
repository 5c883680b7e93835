-- A migration for tests, from this version to 99.0: one of each kind.
ALTER TABLE app_data.notes ADD COLUMN words pg_catalog.int4;
ALTER TABLE app_data.notes ADD CONSTRAINT notes_words_check CHECK (words >= 0) NOT VALID;
COMMENT ON COLUMN app_data.notes.words IS 'Length';
-- == online
-- built beside writers
CREATE INDEX CONCURRENTLY notes_words_idx ON app_data.notes (words, id);
UPDATE app_data.notes n SET words = pg_catalog.char_length(n.content)
FROM (SELECT s.id FROM app_data.notes s WHERE s.id > $1 ORDER BY s.id LIMIT $2) b
WHERE n.id = b.id RETURNING n.id;
ALTER TABLE app_data.notes VALIDATE CONSTRAINT notes_words_check;
CREATE UNIQUE INDEX CONCURRENTLY notes_title_words_idx ON app_data.notes (space_id, id, words);
ALTER TABLE app_data.notes DROP CONSTRAINT notes_words_check;
