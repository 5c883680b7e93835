// statements.mjs: makes the schemas of graphile-worker and pg-boss in the database of the environment, and writes the statements that these libraries
// send, as they send them, as scripts of pgbench to a directory: PEER_enqueue_one.sql, PEER_enqueue_many.sql, PEER_work_one.sql, PEER_work_many.sql.

import { writeFileSync } from 'node:fs'
import { makeWorkerUtils, run, Logger } from 'graphile-worker'
import { PgBoss } from 'pg-boss'
import pg from 'pg'

const dir = process.argv[2]
let seen = []
const query = pg.Client.prototype.query
pg.Client.prototype.query = function (first, ...rest) {
	const text = typeof first === 'string' ? first : first?.text
	if (text) seen.push({ text, values: first.values ?? (Array.isArray(rest[0]) ? rest[0] : []) })
	return query.call(this, first, ...rest)
}

// what was sent since the last call and has these words in it, with values instead of parameters
async function sent(words, action, variables = {}) {
	seen = []
	await action()
	const found = seen.find(({ text }) => words.every((word) => text.includes(word)))
	if (!found) throw new Error(`no statement with ${words}`)
	return found.text.trim().replace(/;$/, '').replace(/--.*$/gm, '').replace(/\$(\d+)/g, (_, n) => variables[n] ?? literal(found.values[n - 1]))
}
// pgbench takes ":name" for a variable, also in a string
function literal(value) {
	if (value == null) return 'NULL'
	if (Array.isArray(value)) return `'{${value.join(',')}}'`
	return `'${String(value).replaceAll("'", "''").replace(/:(?=[\w"])/g, ': ')}'`
}
function script(name, ...lines) {
	writeFileSync(`${dir}/${name}.sql`, lines.join('\n') + '\n')
}
// the statement as one that returns an array of ids
function asArray(text) {
	return `WITH taken AS (${text}) SELECT array_agg(id) AS ids FROM taken \\gset`
}

// == graphile-worker ========================================================

const pool = new pg.Pool({ max: 4 })
pool.on('error', () => {})
const logger = new Logger(() => () => {})
const utils = await makeWorkerUtils({ pgPool: pool, logger })
await utils.migrate()
script('graphile_enqueue_one', (await sent(['.add_job('], () => utils.addJob('bench', { n: 1 }))) + ';')
script('graphile_enqueue_many', `SELECT count(*) FROM graphile_worker.add_jobs(array_fill(('bench', '{"n": 1}', NULL, NULL, NULL, NULL, NULL, NULL)::graphile_worker.job_spec, ARRAY[1000]));`)
let runner
const work = async () => {
	runner = await run({ pgPool: pool, concurrency: 1, noHandleSignals: true, logger, taskList: { bench: async () => {} }, crontab: '' })
	await new Promise((resolve) => setTimeout(resolve, 1000))
	await runner.stop()
}
const get = await sent(['for update', '_private_jobs', 'limit'], work)
await utils.addJob('bench', { n: 1 })
const done = await sent(['delete from', '_private_jobs'], work, { 1: ':id' })
const parts = get.match(/^([^]*\))(\s*update "graphile_worker"\._private_jobs[^]*returning) \*$/)
script('graphile_work_one', get + ' \\gset', done + ';')
script('graphile_work_many', `${parts[1].replace('limit 1', 'limit 100')}, taken as (${parts[2]} jobs.id) SELECT array_agg(id) AS ids FROM taken \\gset`,
	done.replace('= :id::bigint', '= ANY (:ids::bigint[])') + ';')
await utils.release()
await pool.query('DELETE FROM graphile_worker._private_jobs')
await pool.end()

// == pg-boss ================================================================

const boss = new PgBoss({ supervise: false, schedule: false, host: process.env.PGHOST, database: process.env.PGDATABASE, user: process.env.PGUSER })
boss.on('error', () => {})
await boss.start()
await boss.createQueue('bench')
script('boss_enqueue_one', (await sent(['INSERT INTO', 'job_common'], () => boss.send('bench', { n: 1 }))) + ';')
script('boss_enqueue_many', (await sent(['INSERT INTO', 'job_common'], () => boss.insert('bench', Array.from({ length: 1000 }, () => ({ data: { n: 1 } }))))) + ';')
let job
script('boss_work_one', asArray(await sent(['FOR UPDATE', 'SKIP LOCKED', 'active'], async () => { [job] = await boss.fetch('bench') })),
	(await sent(['completed_on'], () => boss.complete('bench', job.id), { 2: ':ids' })) + ';')
script('boss_work_many', asArray(await sent(['FOR UPDATE', 'SKIP LOCKED', 'active'], async () => { job = await boss.fetch('bench', { batchSize: 100 }) })),
	(await sent(['completed_on'], () => boss.complete('bench', job.map(({ id }) => id)), { 2: ':ids' })) + ';')
await boss.stop({ graceful: false })
process.exit(0)
