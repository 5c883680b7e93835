-- the soft delete of a space, and its return
\ir format.sql
\set ECHO queries
SELECT (SELECT count(*) FROM appdb.spaces) AS spaces, (SELECT count(*) FROM appdb.notes) AS notes, (SELECT count(*) FROM appdb.messages) AS messages;

DELETE FROM appdb.spaces WHERE slug = 'handbook' RETURNING id AS space, name;

SELECT (SELECT count(*) FROM appdb.spaces) AS spaces, (SELECT count(*) FROM appdb.notes) AS notes, (SELECT count(*) FROM appdb.messages) AS messages;

-- Nothing is lost: the rows are still in the base tables.
SELECT name, deleted_at IS NOT NULL AS deleted FROM app_data.spaces WHERE slug = 'handbook';

\set ECHO none
SELECT id AS space, to_regprocedure('appdb.restore(regclass, uuid)') IS NOT NULL AS restores FROM app_data.spaces WHERE slug = 'handbook' \gset
\set ECHO queries
\if :restores
SELECT * FROM appdb.restore('appdb.spaces', :'space');
\else
UPDATE app_data.spaces SET deleted_at = NULL WHERE slug = 'handbook' RETURNING name;
\endif

SELECT (SELECT count(*) FROM appdb.spaces) AS spaces, (SELECT count(*) FROM appdb.notes) AS notes, (SELECT count(*) FROM appdb.messages) AS messages;
