SET LOCAL lock_timeout = '5s';

ALTER TABLE app_data.chats ADD COLUM n integer;
