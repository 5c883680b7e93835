-- what one of the users sees, as an application that connects as role web
\ir format.sql
\o /dev/null
SELECT appdb.grant_access('web', 'app');
\o
\echo '-- An application connects as a role of its own, web. Nobody is signed in: it sees nothing.'
SET ROLE web;
SELECT count(*) AS spaces FROM appdb.spaces;
RESET ROLE;

\echo '-- One user signs in for a transaction, and sees what is theirs.'
BEGIN;
\o /dev/null
SELECT appdb.impersonate((SELECT user_id FROM appdb.space_members ORDER BY role = 'viewer' DESC, id LIMIT 1));
\o
SET LOCAL ROLE web;
SELECT u.name AS "signed in", s.name AS space, appdb.has_role(s.id, 'editor') AS "may write", (SELECT count(*) FROM appdb.notes(s)) AS notes
FROM appdb.users AS u, appdb.spaces AS s WHERE u.id = appdb.current_user_id() ORDER BY s.name;
COMMIT;
