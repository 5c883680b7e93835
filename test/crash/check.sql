-- check.sql: what must be true after every crash, as rows of what is not.
SET client_min_messages = warning;

-- indexes and tables
SELECT format('index %s: %s', i.indexrelid::regclass, r)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam AND a.amname = 'btree'
CROSS JOIN LATERAL bt_index_check(i.indexrelid, true) r
WHERE c.relpersistence <> 't' AND i.indisready AND i.indisvalid AND r::text <> '';
SELECT format('table %s, block %s: %s', c.oid::regclass, v.blkno, v.msg)
FROM pg_class c CROSS JOIN LATERAL verify_heapam(c.oid, check_toast => true) v
WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence <> 't' AND NOT c.relispartition;
SELECT 'index that is not valid: ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid;

-- deletions, tenants and memberships: what the engine itself finds wrong
SELECT concat_ws(': ', d.severity, d.object, d.problem) FROM appdb.doctor() d WHERE d.severity = 'error';
-- and without asking it: foreign keys, those that carry the space too, which a crash must not have broken
SELECT format('SELECT %L || count(*) FROM ONLY %s c WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s%s) HAVING count(*) > 0',
			  f.conname || ': ', f.conrelid::regclass,
			  string_agg(format('c.%I IS NOT NULL', a.attname), ' AND '), f.confrelid::regclass,
			  string_agg(format('p.%I = c.%I', b.attname, a.attname), ' AND '),
			  CASE WHEN EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = f.confrelid AND d.attname = 'deleted_at')
				AND EXISTS (SELECT FROM pg_attribute d WHERE d.attrelid = f.conrelid AND d.attname = 'deleted_at')
				THEN ' AND (p.deleted_at IS NULL OR c.deleted_at IS NOT NULL)' ELSE '' END)
FROM pg_constraint f CROSS JOIN LATERAL unnest(f.conkey, f.confkey) k (child, parent)
JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.child
JOIN pg_attribute b ON b.attrelid = f.confrelid AND b.attnum = k.parent
WHERE f.contype = 'f' AND f.connamespace = 'app_data'::regnamespace
GROUP BY f.oid, f.conname, f.conrelid, f.confrelid \gexec
SELECT 'organization without an owner: ' || o.id FROM app_data.organizations o
WHERE o.deleted_at IS NULL AND NOT EXISTS (SELECT FROM app_data.members m WHERE m.organization_id = o.id AND m.role = 'owner' AND m.deleted_at IS NULL)
  AND o.slug ^@ 'client-';
SELECT 'space without an owner: ' || s.id FROM app_data.spaces s JOIN app_data.organizations o ON o.id = s.organization_id AND o.slug ^@ 'client-'
WHERE s.deleted_at IS NULL AND NOT EXISTS (SELECT FROM app_data.space_members m WHERE m.space_id = s.id AND m.role = 'owner' AND m.deleted_at IS NULL);

-- the queue: every task is where its status says
SELECT format('task %s: %s', t.id, x.problem)
FROM app_data.tasks t CROSS JOIN LATERAL (VALUES
	('finished, and not finished', (t.finished_at IS NOT NULL) <> (t.status IN ('completed', 'canceled', 'dead'))),
	('finished, and in the queue', t.finished_at IS NOT NULL AND t.queued),
	('running, and nobody has it', t.status = 'running' AND (t.locked_until IS NULL OR t.attempts = 0 OR t.ticket = 0)),
	('running, and not in the queue', t.status = 'running' AND NOT t.queued),
	('pending, and somebody has it', t.status = 'pending' AND t.locked_until IS NOT NULL),
	('waits for nothing, and is not in the queue', t.status = 'pending' AND NOT t.queued AND t.waits_for = 0 AND t.run_at < now() - interval '1 minute')) x (problem, broken)
WHERE x.broken;
