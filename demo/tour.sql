-- a few questions, with the statements that ask them
\ir format.sql
\set ECHO queries
\echo '-- The latest messages of a chat, with their authors: relations are functions of a row.'
SELECT m.role, a.name AS author, left(m.content, 60) AS content
FROM appdb.chats AS c, appdb.messages(c) AS m LEFT JOIN LATERAL appdb.author(m) AS a ON true
WHERE c.title = 'How do we name tables?'
ORDER BY m.id;

\echo '-- Who is in which space: a many-to-many relation.'
SELECT s.name AS space, string_agg(u.name, ', ' ORDER BY u.name) AS people
FROM appdb.spaces AS s, appdb.users(s) AS u
GROUP BY s.id, s.name ORDER BY s.name;

\echo '-- Notes and where they are.'
SELECT appdb.folder_path(n.folder_id) AS folder, n.title, length(n.content) AS characters
FROM appdb.notes AS n
ORDER BY folder NULLS FIRST, n.title LIMIT 8;

\echo '-- The largest files, with their hashes.'
SELECT f.storage_key AS file, f.size_bytes AS bytes, left(f.checksum_sha256, 16) || '…' AS sha256, u.name AS uploader
FROM appdb.files AS f, appdb.uploader(f) AS u
ORDER BY f.size_bytes DESC LIMIT 5;

\echo '-- Which notes speak of soft deletes?'
SELECT n.title, n.updated_at::date AS updated, a.name AS author
FROM appdb.notes AS n, appdb.author(n) AS a
WHERE n.content ILIKE '%soft delete%' ORDER BY n.title LIMIT 5;

\echo '-- Who is invited, and by whom?'
SELECT i.email, i.role, coalesce(o.name, s.name) AS "to", u.name AS inviter, i.expires_at::date AS until
FROM appdb.invitations AS i LEFT JOIN appdb.organizations AS o ON o.id = i.organization_id LEFT JOIN appdb.spaces AS s ON s.id = i.space_id,
	appdb.inviter(i) AS u
WHERE i.status = 'pending' ORDER BY i.id;

\echo '-- What an organization pays for, and what is to be done.'
SELECT o.name, s.plan, s.status, s.seats FROM appdb.organizations AS o, appdb.subscriptions(o) AS s;
SELECT t.kind, t.status, t.payload, u.name AS for FROM appdb.tasks AS t, appdb.user(t) AS u ORDER BY t.id;

\echo '-- All relations are listed in one place.'
SELECT kind, count(*), min(name) AS "for example" FROM appdb.relations GROUP BY kind ORDER BY kind;
