SET LOCAL lock_timeout = '5s';
ALTER TABLE chats ADD COLUMN a integer;
ALTER TABLE app_data.chats
	ADD COLUMN b mood;
CREATE TABLE moods (id uuid PRIMARY KEY);
CREATE TYPE mood AS ENUM ('good', 'bad');
COMMENT ON COLUMN chats.a IS 'A number.';
SELECT manage('app_data.chats');
SELECT appdb.manage(c.oid) FROM app_data.chats AS t, pg_class AS c, other AS o;
CREATE TABLE app_data.ok (id uuid PRIMARY KEY, chat_id uuid REFERENCES chats (id));
CREATE TRIGGER t AFTER INSERT ON app_data.chats FOR EACH ROW EXECUTE FUNCTION f();
