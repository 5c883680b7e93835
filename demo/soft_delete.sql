-- the soft delete of a space, and its return
\ir format.sql
\set count 'SELECT (SELECT count(*) FROM appdb.spaces) AS spaces, (SELECT count(*) FROM appdb.chats) AS chats, (SELECT count(*) FROM appdb.messages) AS messages, (SELECT count(*) FROM appdb.notes) AS notes, (SELECT count(*) FROM appdb.files) AS files;'
\set ECHO none
\echo '-- What is there now:'
:count

\set ECHO queries
\echo '-- A space is deleted, as from any table.'
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

SELECT id AS space, to_regprocedure('appdb.restore(regclass, uuid)') IS NOT NULL AS restores FROM app_data.spaces WHERE slug = 'handbook' \gset
\set ECHO queries
\if :restores
\echo '-- Bring it back, with exactly what was deleted with it.'
SELECT * FROM appdb.restore('appdb.spaces', :'space');
\else
\echo '-- Bring it back.'
UPDATE app_data.spaces SET deleted_at = NULL WHERE slug = 'handbook' RETURNING name;
\endif
\set ECHO none

\echo '-- And now:'
:count
