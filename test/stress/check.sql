-- check.sql: what must be true after stress.sh, as rows of what is not.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;

CREATE INDEX ON stress.inserted (id);
CREATE INDEX ON stress.gone (id);
CREATE INDEX ON stress.history (xid);
ANALYZE;

CREATE FUNCTION stress.wrong(OUT what text, OUT entity text, OUT example text, OUT count bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
DECLARE
	link record;
	parents text;
BEGIN
	-- no live child of a deleted parent, for every foreign key between managed tables
	FOR link IN
		SELECT c.conname, child.entity AS child, parent.entity AS parent, child.soft_delete,
			   (SELECT string_agg(format('c.%I = p.%I', a.attname, b.attname), ' AND ')
				FROM unnest(c.conkey, c.confkey) u (x, y)
				JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.x
				JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = u.y) AS condition
		FROM pg_constraint c
		JOIN appdb.managed child ON child.entity = c.conrelid
		JOIN appdb.managed parent ON parent.entity = c.confrelid AND parent.soft_delete
		WHERE c.contype = 'f'
	LOOP
		RETURN QUERY EXECUTE format(
			'SELECT ''live under a deleted parent: '' || %L, %L, min(c.id::text), count(*) FROM %s c JOIN %s p ON %s '
			'WHERE %s p.deleted_at IS NOT NULL HAVING count(*) > 0',
			link.conname, link.child::text, link.child, link.parent, link.condition,
			CASE WHEN link.soft_delete THEN 'c.deleted_at IS NULL AND' ELSE '' END);
	END LOOP;

	FOR link IN SELECT m.entity, m.name FROM appdb.managed m WHERE m.soft_delete LOOP
		-- no row is lost
		RETURN QUERY EXECUTE format(
			'SELECT ''lost'', %1$L, min(i.id::text), count(*) FROM stress.inserted i WHERE i.entity = %1$L::regclass '
			'AND NOT EXISTS (SELECT FROM %1$s t WHERE t.id = i.id) '
			'AND NOT EXISTS (SELECT FROM stress.gone g WHERE g.entity = i.entity AND g.id = i.id) HAVING count(*) > 0', link.entity);
		-- the operations are connected: a deleted row was deleted itself, or with a parent
		SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM %s p WHERE %s AND p.deleted_at = c.deleted_at)', p.entity,
								 (SELECT string_agg(format('c.%I = p.%I', a, b), ' AND ') FROM unnest(r.columns, r.to_columns) u (a, b))), '')
		INTO parents
		FROM appdb.relations r JOIN appdb.managed p ON p.name = r."to"
		WHERE r."from" = link.name AND r.kind = 'one' AND p.soft_delete;
		RETURN QUERY EXECUTE format(
			'SELECT ''deleted with no parent'', %1$L, min(c.id::text), count(*) FROM %1$s c WHERE c.deleted_at IS NOT NULL '
			'AND NOT EXISTS (SELECT FROM stress.roots r WHERE r.entity = %1$L::regclass AND r.id = c.id AND r.stamp = c.deleted_at)%2$s '
			'HAVING count(*) > 0', link.entity, COALESCE(parents, ''));
	END LOOP;

	-- only what is deleted is purged
	RETURN QUERY SELECT 'live row purged', g.entity::text, min(g.id::text), count(*) FROM stress.gone g
		WHERE g.deleted_at IS NULL GROUP BY g.entity;
	-- nothing comes back but with a restore of its operation
	RETURN QUERY SELECT 'came back with another operation', h.entity::text, min(h.id::text), count(*) FROM stress.history h
		WHERE h.was IS NOT NULL AND h.is_now IS NULL
		  AND NOT EXISTS (SELECT FROM stress.restored r WHERE r.xid = h.xid AND r.stamp = h.was)
		GROUP BY h.entity;
	-- a restore says how many rows came back
	RETURN QUERY
		SELECT 'restored another number of rows', min(r.entity::text), min(r.id::text), count(*)
		FROM (SELECT r.xid, r.stamp, min(r.entity::text) AS entity, min(r.id::text) AS id, sum(r.rows) AS rows FROM stress.restored r GROUP BY r.xid, r.stamp) r
		WHERE r.rows IS DISTINCT FROM (SELECT count(*) FROM stress.history h WHERE h.xid = r.xid AND h.was = r.stamp AND h.is_now IS NULL)
		HAVING count(*) > 0;
END $$;
SELECT * FROM stress.wrong();
