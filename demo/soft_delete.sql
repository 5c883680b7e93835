-- the soft delete of a space, and its return
\ir format.sql
\set count 'SELECT (SELECT count(*) FROM appdb.spaces) AS spaces, (SELECT count(*) FROM appdb.chats) AS chats, (SELECT count(*) FROM appdb.messages) AS messages, (SELECT count(*) FROM appdb.notes) AS notes, (SELECT count(*) FROM appdb.files) AS files;'
\set ECHO none
\echo '-- What is there now:'
:count

\set ECHO queries
\echo '-- A note is thrown away …'
DELETE FROM appdb.notes WHERE title = 'Contributing to appdb' RETURNING title;

\echo '-- … and then the whole space: a DELETE as from any table.'
DELETE FROM appdb.spaces WHERE slug = 'handbook' RETURNING id AS space, name;
\set ECHO none

\echo '-- It is gone, and everything in it:'
:count

\set ECHO queries
\echo '-- Nothing is lost: the rows are in the base tables still, with the time of the deletion.'
SELECT name, deleted_at FROM app_data.spaces WHERE slug = 'handbook';
SELECT count(*) AS notes, count(DISTINCT n.deleted_at) AS "times of deletion"
FROM app_data.notes AS n JOIN app_data.spaces AS s ON s.id = n.space_id WHERE s.slug = 'handbook';
\set ECHO none

SELECT id AS space FROM app_data.spaces WHERE slug = 'handbook' \gset
\set ECHO queries
\echo '-- The trash shows what can come back, and how many rows with it.'
SELECT entity, label, deleted_at, rows_with_it, purge_at::date FROM appdb.trash ORDER BY deleted_at;

\echo '-- Bring the space back, with exactly what was deleted with it.'
SELECT * FROM appdb.restore('appdb.spaces', :'space');
\set ECHO none

\echo '-- And now: the note that had been deleted before stays deleted.'
:count
