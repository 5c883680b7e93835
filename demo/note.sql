-- One document becomes a note, in a folder for each of its directories.
-- Variables: path, folder ('' for none), title, content
SELECT id AS space FROM appdb.spaces WHERE slug = 'handbook' \gset
SELECT id AS author FROM appdb.users WHERE email = 'mira@lumen.example' \gset
\set parent ''
\ir folders.sql
INSERT INTO appdb.notes (space_id, folder_id, user_id, title, content, metadata)
VALUES (:'space', nullif(:'parent', '')::uuid, :'author', :'title', :'content', jsonb_build_object('path', :'path'));
