-- a few questions, with the statements that ask them
\ir format.sql
\set ECHO queries
-- The latest messages of a chat, with their authors: relations are functions of a row.
SELECT m.role, a.name AS author, left(m.content, 60) AS content
FROM appdb.chats AS c, appdb.messages(c) AS m LEFT JOIN LATERAL appdb.author(m) AS a ON true
WHERE c.title = 'How do we name tables?'
ORDER BY m.id;

-- Who is in which space: a many-to-many relation.
SELECT s.name AS space, string_agg(u.name, ', ' ORDER BY u.name) AS people
FROM appdb.spaces AS s, appdb.users(s) AS u
GROUP BY s.id, s.name ORDER BY s.name;

-- Notes and where they are.
SELECT appdb.folder_path(n.folder_id) AS folder, n.title, length(n.content) AS characters
FROM appdb.notes AS n
ORDER BY folder NULLS FIRST, n.title LIMIT 8;

-- The largest files, with their hashes.
SELECT f.storage_key AS file, f.size_bytes AS bytes, left(f.checksum_sha256, 16) || '…' AS sha256, u.name AS uploader
FROM appdb.files AS f, appdb.uploader(f) AS u
ORDER BY f.size_bytes DESC LIMIT 5;

-- What an organization pays for, and what is to be done.
SELECT o.name, s.plan, s.status, s.seats FROM appdb.organizations AS o, appdb.subscriptions(o) AS s;
SELECT t.kind, t.status, t.payload, u.name AS for FROM appdb.tasks AS t, appdb.user(t) AS u ORDER BY t.id;

-- All relations are listed in one place.
SELECT kind, count(*), min(name) AS "for example" FROM appdb.relations GROUP BY kind ORDER BY kind;
