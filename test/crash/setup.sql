-- setup.sql: what the clients of crash.sh begin with: a space with an
-- organization and three users for each.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION appdb;
CREATE EXTENSION amcheck;
CREATE SCHEMA crash;

CREATE FUNCTION crash.id(kind text, client int, n int DEFAULT 0) RETURNS uuid LANGUAGE sql IMMUTABLE
	RETURN ('00000000-0000-4000-8000-' || kind || lpad(client::text, 3, '0') || lpad(n::text, 8, '0'))::uuid;
INSERT INTO appdb.users (id, name) SELECT crash.id('a', c, u), format('User %s of client %s', u, c) FROM generate_series(1, :clients) c, generate_series(1, 3) u;
INSERT INTO appdb.organizations (id, name, slug) SELECT crash.id('b', c), 'Client ' || c, 'client-' || c FROM generate_series(1, :clients) c;
INSERT INTO appdb.members (organization_id, user_id, role) SELECT crash.id('b', c), crash.id('a', c, 1), 'owner' FROM generate_series(1, :clients) c;
INSERT INTO appdb.spaces (id, organization_id, name) SELECT crash.id('c', c), crash.id('b', c), 'Client ' || c FROM generate_series(1, :clients) c;
INSERT INTO appdb.space_members (space_id, user_id, role) SELECT crash.id('c', c), crash.id('a', c, 1), 'owner' FROM generate_series(1, :clients) c;
