SELECT * FROM appdb.relations;
SELECT title, appdb.folder_path(folder_id) FROM appdb.notes;
DELETE FROM appdb.chats WHERE title = 'How do we name tables?' RETURNING title;
SELECT * FROM appdb.trash;
