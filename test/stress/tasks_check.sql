-- tasks_check.sql: what must be true after stress_tasks.sh, as rows of what is not.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE INDEX ON stress.beats (task, ticket);
CREATE INDEX ON stress.ends (task, ticket);
CREATE INDEX ON stress.effects (task);
CREATE INDEX ON stress.canceled (task);
ANALYZE;

-- Each lease: from when it was surely held until when it surely was not meant to be any more.
CREATE TABLE stress.leases AS
	SELECT c.task, c.ticket, c.worker, e.group_key, e.what, e.n, c.at AS began,
		least(x.at, greatest(c.until, (SELECT max(b.until) FROM stress.beats b WHERE b.task = c.task AND b.ticket = c.ticket))) AS ended,
		x.what AS how, lead(c.at) OVER (PARTITION BY c.task ORDER BY c.at) AS next_began, lead(c.ticket) OVER (PARTITION BY c.task ORDER BY c.at) AS next_ticket
	FROM stress.claims c
	JOIN stress.enqueued e ON e.task = c.task
	LEFT JOIN LATERAL (SELECT min(x.at) AS at, min(x.what) AS what FROM stress.ends x WHERE x.task = c.task AND x.ticket = c.ticket) x ON true;
CREATE INDEX ON stress.leases (task);

CREATE FUNCTION stress.wrong(OUT what text, OUT example text, OUT count bigint) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
	RETURN QUERY SELECT 'lost', min(e.task::text), count(*) FROM stress.enqueued e
		WHERE NOT EXISTS (SELECT FROM app_data.tasks t WHERE t.id = e.task)
			-- but for those that were completed by who does not keep them
			AND NOT EXISTS (SELECT FROM stress.effects x JOIN stress.claims c ON c.task = x.task AND c.ticket = x.ticket WHERE x.task = e.task AND c.worker LIKE 'forgetful %')
		HAVING count(*) > 0;
	RETURN QUERY SELECT 'not finished: ' || t.status::text, min(t.id::text), count(*) FROM app_data.tasks t WHERE t.finished_at IS NULL GROUP BY t.status;
	RETURN QUERY SELECT 'finished, and yet in the queue', min(t.id::text), count(*) FROM app_data.tasks t
		WHERE t.finished_at IS NOT NULL AND (t.queued OR t.group_slot IS NOT NULL OR t.locked_until IS NOT NULL) HAVING count(*) > 0;

	-- done
	RETURN QUERY SELECT 'completed, and not done', min(t.id::text), count(*) FROM app_data.tasks t
		WHERE t.status = 'completed' AND NOT EXISTS (SELECT FROM stress.effects x WHERE x.task = t.id) HAVING count(*) > 0;
	RETURN QUERY SELECT 'completed twice', min(x.task::text), count(*) FROM (SELECT x.task FROM stress.effects x GROUP BY x.task HAVING count(*) > 1) x HAVING count(*) > 0;
	RETURN QUERY SELECT 'done, and not completed', min(t.id::text), count(*) FROM app_data.tasks t
		WHERE t.status <> 'completed' AND EXISTS (SELECT FROM stress.effects x WHERE x.task = t.id) HAVING count(*) > 0;
	RETURN QUERY SELECT 'given up too early', min(t.id::text), count(*) FROM app_data.tasks t WHERE t.status = 'dead' AND t.attempts < t.max_attempts HAVING count(*) > 0;
	RETURN QUERY SELECT 'begun too often', min(t.id::text), count(*) FROM app_data.tasks t WHERE t.attempts > t.max_attempts HAVING count(*) > 0;
	RETURN QUERY SELECT 'canceled by nobody', min(t.id::text), count(*) FROM app_data.tasks t
		WHERE t.status = 'canceled' AND NOT EXISTS (SELECT FROM stress.canceled c WHERE c.task = t.id) AND t.expires_at IS NULL
			AND NOT EXISTS (SELECT FROM app_data.tasks p WHERE p.id = ANY (t.depends_on) AND p.status IN ('canceled', 'dead')) HAVING count(*) > 0;
	RETURN QUERY SELECT 'begun after it was canceled', min(c.task::text), count(*) FROM stress.canceled c JOIN stress.claims l ON l.task = c.task AND l.at > c.at HAVING count(*) > 0;
	RETURN QUERY SELECT 'called off, and not canceled', min(c.task::text), count(*) FROM stress.canceled c JOIN app_data.tasks t ON t.id = c.task
		WHERE c.status = 'canceled' AND t.status <> 'canceled' HAVING count(*) > 0;
	RETURN QUERY SELECT 'begun after it had expired', min(t.id::text), count(*) FROM app_data.tasks t JOIN LATERAL (SELECT c.asked FROM stress.claims c WHERE c.task = t.id ORDER BY c.at LIMIT 1) c ON true
		WHERE c.asked > t.expires_at HAVING count(*) > 0;

	-- leases
	RETURN QUERY SELECT 'two leases with one ticket', min(c.task::text), count(*) FROM (SELECT c.task FROM stress.claims c GROUP BY c.task, c.ticket HAVING count(*) > 1) c HAVING count(*) > 0;
	RETURN QUERY SELECT 'not the ticket of the last lease', min(t.id::text), count(*) FROM app_data.tasks t
		WHERE nullif(t.ticket, 0) IS DISTINCT FROM (SELECT l.ticket FROM stress.leases l WHERE l.task = t.id AND l.next_ticket IS NULL) HAVING count(*) > 0;
	RETURN QUERY SELECT 'two live leases', min(l.task::text), count(*) FROM stress.leases l WHERE l.next_began < l.ended HAVING count(*) > 0;
	RETURN QUERY SELECT 'begun again after it was completed', min(l.task::text), count(*) FROM stress.leases l WHERE l.how = 'completed' AND l.next_ticket IS NOT NULL HAVING count(*) > 0;
	RETURN QUERY SELECT 'ended by a lease that was lost', min(x.task::text), count(*) FROM stress.ends x
		JOIN stress.leases l ON l.task = x.task AND l.ticket = x.ticket AND l.next_began < x.at HAVING count(*) > 0;
	RETURN QUERY SELECT 'ended twice', min(x.task::text), count(*) FROM (SELECT x.task FROM stress.ends x GROUP BY x.task, x.ticket HAVING count(*) > 1) x HAVING count(*) > 0;

	-- what depends
	RETURN QUERY SELECT 'begun before what it waits for', min(t.id::text), count(*) FROM app_data.tasks t
		JOIN app_data.tasks p ON p.id = ANY (t.depends_on) JOIN stress.claims c ON c.task = t.id
		WHERE p.status <> 'completed' OR c.at < (SELECT min(x.at) FROM stress.ends x WHERE x.task = p.id AND x.what = 'completed') HAVING count(*) > 0;

	-- groups
	RETURN QUERY SELECT 'too many of a group', min(m.group_key), count(*) FROM (
		SELECT g.group_key, sum(g.step) OVER (PARTITION BY g.group_key ORDER BY g.at, g.step) AS running
		FROM (SELECT l.group_key, l.began AS at, 1 AS step FROM stress.leases l WHERE l.group_key IS NOT NULL AND l.ended > l.began
			  UNION ALL SELECT l.group_key, l.ended, -1 FROM stress.leases l WHERE l.group_key IS NOT NULL AND l.ended > l.began) g) m
		WHERE m.running > CASE m.group_key WHEN 'limited' THEN 3 ELSE 1 END HAVING count(*) > 0;
	RETURN QUERY SELECT 'out of order in its group', min(b.task::text), count(*) FROM (
		SELECT l.task, l.n, l.began, max(f.finished) OVER (PARTITION BY l.group_key ORDER BY l.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
		FROM (SELECT l.task, l.group_key, l.n, min(l.began) AS began FROM stress.leases l WHERE l.what = 'ordered' GROUP BY l.task, l.group_key, l.n) l
		-- until it was completed; one that was called off while it ran, until its last lease began
		JOIN LATERAL (SELECT CASE WHEN bool_or(l2.how = 'completed') THEN max(l2.ended) FILTER (WHERE l2.how = 'completed') ELSE max(l2.began) END AS finished
					  FROM stress.leases l2 WHERE l2.task = l.task) f ON true) b
		WHERE b.began < b.before HAVING count(*) > 0;
END $$;
SELECT * FROM stress.wrong();

-- what was going on where a group was not kept in order
SELECT format('%s %s %s: %s to %s (%s), by %s', l.group_key, l.n, l.ticket, l.began, l.ended, l.how, l.worker)
FROM stress.leases l
JOIN (SELECT l.group_key, l.began FROM (SELECT l.*, max(l.ended) OVER (PARTITION BY l.group_key ORDER BY l.began ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM stress.leases l
		WHERE l.what = 'ordered') l WHERE l.began < l.before ORDER BY l.began LIMIT 3) w
	ON w.group_key = l.group_key AND l.began BETWEEN w.began - interval '1 second' AND w.began + interval '0.2 second'
ORDER BY l.group_key, l.began;
