-- What has been released is not judged any more.
ALTER TABLE chats DROP COLUMN model;
