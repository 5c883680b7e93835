// latency.mjs: from a committed enqueue to the start of the task in an idle worker, in milliseconds: a line for each task.
//
//   node latency.mjs appdb|graphile|boss TASKS

import pg from 'pg'

const [, , system, count] = process.argv
let starts = () => {}
const handler = () => starts(performance.now())
let enqueue
let stop

if (system === 'appdb') {
	const worker = new pg.Client()
	await worker.connect()
	let wake = () => {}
	worker.on('notification', () => wake())
	await worker.query('LISTEN appdb_tasks')
	let stopping = false
	const loop = (async () => {
		while (!stopping) {
			const woken = new Promise((resolve) => { wake = resolve })
			const { rows } = await worker.query({ name: 'claim', text: `SELECT id, ticket, payload FROM appdb.claim('{default}', 'bench', 1)` })
			for (const task of rows) {
				handler()
				await worker.query({ name: 'complete', text: 'SELECT appdb.complete($1, $2)', values: [task.id, task.ticket] })
			}
			if (rows.length > 0) continue
			const { rows: [{ ms }] } = await worker.query({ name: 'idle', text: `SELECT extract(epoch FROM appdb.idle())::float8 * 1000 AS ms` })
			if (ms > 0) await Promise.race([woken, new Promise((resolve) => setTimeout(resolve, ms).unref())])
		}
	})()
	const client = new pg.Client()
	await client.connect()
	enqueue = (n) => client.query({ name: 'enqueue', text: `SELECT appdb.enqueue('bench', $1)`, values: [JSON.stringify({ n })] })
	stop = () => { stopping = true; wake() }
} else if (system === 'graphile') {
	const { run, makeWorkerUtils, Logger } = await import('graphile-worker')
	const pool = new pg.Pool({ max: 5 })
	pool.on('error', () => {})
	const logger = new Logger(() => () => {})
	const runner = await run({ pgPool: pool, concurrency: 1, noHandleSignals: true, logger, crontab: '', taskList: { bench: async () => handler() } })
	const utils = await makeWorkerUtils({ pgPool: pool, logger })
	enqueue = (n) => utils.addJob('bench', { n })
	stop = () => runner.stop()
} else {
	const { PgBoss } = await import('pg-boss')
	const boss = new PgBoss({ supervise: false, schedule: false, host: process.env.PGHOST, database: process.env.PGDATABASE, user: process.env.PGUSER })
	boss.on('error', () => {})
	await boss.start()
	await boss.work('bench', { pollingIntervalSeconds: 0.5 }, async () => handler())
	enqueue = (n) => boss.send('bench', { n })
	stop = () => boss.stop({ graceful: false })
}

for (let n = -5; n < count; n++) {
	// long enough for the worker to be idle again
	await new Promise((resolve) => setTimeout(resolve, 15 + Math.random() * 20))
	const begun = new Promise((resolve) => { starts = resolve })
	await enqueue(n)
	const committed = performance.now()
	const at = await begun
	if (n >= 0) console.log(Math.max(at - committed, 0).toFixed(3))
}
await stop()
process.exit(0)
