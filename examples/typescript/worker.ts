// A worker for appdb's task queue: postgres.js, one connection to listen, a few to work.
//
//   DATABASE_URL=postgres://... npx tsx worker.ts          until it is told to stop
//   DATABASE_URL=postgres://... npx tsx worker.ts --once   until there is nothing to do

import postgres from 'postgres'

type Task = { id: string; ticket: number; kind: string; payload: any; attempt: number }
type Context = { task: Task; canceled: () => boolean; progress: (fraction: number, message?: string) => Promise<void> }

const queues = ['default']
const lease = '30 seconds'
const name = `worker.ts ${process.pid}`
const once = process.argv.includes('--once')

// what each kind of task does: an error makes it fail, and it is tried again
const handlers: Record<string, (context: Context) => Promise<unknown>> = {
	'example.add': async ({ task }) => ({ sum: task.payload.a + task.payload.b }),
	'example.fail': async () => { throw new Error('it always does') },
	'example.count': async ({ task, canceled, progress }) => {
		for (let i = 1; i <= task.payload.to && !canceled(); i++) await progress(i / task.payload.to, `at ${i}`)
		return { counted: task.payload.to }
	},
}

const options = { onnotice: () => {} }
const url = process.env.DATABASE_URL
const sql = url ? postgres(url, options) : postgres(options)
// idle() remembers on its connection that somebody waits: one connection, not a pool
const waiter = url ? postgres(url, { ...options, max: 1 }) : postgres({ ...options, max: 1 })

let stopping = false
let wake = () => {}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { stopping = true; wake() })

async function run(task: Task) {
	let canceled = false
	const beat = setInterval(async () => {
		canceled = (await sql`SELECT appdb.heartbeat(${task.id}, ${task.ticket}, ${lease}) AS canceled`)[0]!.canceled
	}, 10_000)
	try {
		const handler = handlers[task.kind]
		if (!handler) throw new Error(`no handler for ${task.kind}`)
		const result = await handler({
			task,
			canceled: () => canceled,
			progress: async (fraction, message) => {
				canceled = (await sql`SELECT appdb.progress(${task.id}, ${task.ticket}, ${fraction}, ${message ?? null}) AS canceled`)[0]!.canceled
			},
		})
		await sql`SELECT appdb.complete(${task.id}, ${task.ticket}, ${sql.json(result as any)})`
	} catch (error: any) {
		// 55000: somebody else has it by now
		if (error.code !== '55000') await sql`SELECT appdb.fail(${task.id}, ${task.ticket}, ${String(error.stack ?? error)})`.catch(console.error)
	} finally {
		clearInterval(beat)
	}
}

await waiter.listen('appdb_tasks', () => wake())
while (!stopping) {
	const woken = new Promise<void>((resolve) => { wake = resolve })
	const tasks = await waiter<Task[]>`SELECT id, ticket, kind, payload, attempt FROM appdb.claim(${queues}, ${name}, 10, ${lease})`
	if (tasks.length > 0) {
		await Promise.all(tasks.map(run))
		continue
	}
	if (once) break
	const [{ ms }] = await waiter<[{ ms: number }]>`SELECT extract(epoch FROM appdb.idle(${queues}))::float8 * 1000 AS ms`
	if (ms > 0) await Promise.race([woken, new Promise((resolve) => setTimeout(resolve, ms))])
}
await Promise.all([sql.end(), waiter.end()])
