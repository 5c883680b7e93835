-- what is there now
\ir format.sql
-- Jonas shares one file with Priya, and a message gets an attachment
INSERT INTO appdb.file_permissions (space_id, file_id, user_id, permission, granted_by)
SELECT f.space_id, f.id, p.id, 'read', f.user_id
FROM appdb.files AS f, appdb.users AS p WHERE f.storage_key = 'README.md' AND p.email = 'priya@fjord.example';
INSERT INTO appdb.message_files (space_id, message_id, file_id)
SELECT m.space_id, m.id, f.id
FROM appdb.messages AS m JOIN appdb.files AS f USING (space_id)
WHERE m.content LIKE 'Does that hold%' AND f.storage_key LIKE '%database-design.md';

SELECT s.name AS space, o.name AS organization, coalesce(u.name, '') AS person,
	(SELECT count(*) FROM appdb.members(s)) AS members,
	(SELECT count(*) FROM appdb.chats(s)) AS chats,
	(SELECT count(*) FROM appdb.folders(s)) AS folders,
	(SELECT count(*) FROM appdb.notes(s)) AS notes,
	(SELECT count(*) FROM appdb.files(s)) AS files
FROM appdb.spaces AS s LEFT JOIN appdb.organizations AS o ON o.id = s.organization_id LEFT JOIN appdb.users AS u ON u.id = s.owner_id
ORDER BY s.id;
