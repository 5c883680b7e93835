// A worker for appdb's task queue: postgres.js, a connection to claim and wait, a pool for the tasks.
//
//   DATABASE_URL=postgres://... npx tsx worker.ts          until it is told to stop (SIGINT, SIGTERM): it finishes what it does
//   DATABASE_URL=postgres://... npx tsx worker.ts --once   until there is nothing to do
//
// Run as many as you like. What one did that dies is taken by another, once its lease has ended.

import { connect } from 'appdb-client'

type Task = { id: string; ticket: number; kind: string; payload: any; attempt: number }
type Context = { task: Task; signal: AbortSignal; progress: (fraction: number, message?: string) => Promise<void> }

const queues = ['default']
const concurrency = 10
const leaseSeconds = Number(process.env.LEASE_SECONDS ?? 30)
const lease = `${leaseSeconds} seconds`
const name = `worker.ts ${process.pid}`
const once = process.argv.includes('--once')
const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

// what each kind of task does: an error makes it fail, and it is tried again; the signal says that somebody has called it off, or that another worker has it
const handlers: Record<string, (context: Context) => Promise<unknown>> = {
	'example.add': async ({ task }) => ({ sum: task.payload.a + task.payload.b }),
	'example.fail': async () => { throw new Error('it always does\0') },
	'example.count': async ({ task, signal, progress }) => {
		for (let i = 1; i <= task.payload.to; i++) {
			if (signal.aborted) throw new Error(`canceled at ${i - 1}`)
			await sleep((task.payload.seconds ?? 0) * 1000)
			await progress(i / task.payload.to, `at ${i}`)
		}
		return { counted: task.payload.to }
	},
}

// it finishes what it does when it is told to stop: the pools are closed at the end
const sql = connect({ applicationName: 'worker', handleSignals: false })
// idle() remembers on its connection that somebody waits: one connection, not a pool, and no pooler before it
const waiter = connect({ applicationName: 'worker, waiting', poolSize: 1, idleTimeout: 0, handleSignals: false })

let stopping = false
let wake = () => {}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { stopping = true; wake() })

// 55000, P0002: somebody else has it by now, or it is gone
const isLost = (error: any) => error.code === '55000' || error.code === 'P0002'

async function run(task: Task) {
	const abort = new AbortController()
	let until = Date.now() + leaseSeconds * 1000
	const beat = setInterval(async () => {
		const now = Date.now()
		try {
			const [{ canceled }] = await sql<[{ canceled: boolean }]>`SELECT appdb.heartbeat(${task.id}, ${task.ticket}, ${lease}) AS canceled`
			until = now + leaseSeconds * 1000
			if (canceled) abort.abort()
		} catch (error) {
			// otherwise the next one may do, unless the lease has ended
			if (isLost(error) || Date.now() >= until) abort.abort()
		}
	}, leaseSeconds * 1000 / 3)
	try {
		try {
			const handler = handlers[task.kind]
			if (!handler) throw new Error(`no handler for ${task.kind}`)
			const result = await handler({
				task,
				signal: abort.signal,
				progress: async (fraction, message) => {
					const [{ canceled }] = await sql<[{ canceled: boolean }]>`SELECT appdb.progress(${task.id}, ${task.ticket}, ${fraction}, ${message ?? null}) AS canceled`
					if (canceled) abort.abort()
				},
			})
			await sql`SELECT appdb.complete(${task.id}, ${task.ticket}, ${sql.json((result ?? null) as any)})`
		} catch (error: any) {
			if (isLost(error)) throw error
			// no text can hold the character 0
			await sql`SELECT appdb.fail(${task.id}, ${task.ticket}, ${String(error.stack ?? error).replaceAll('\0', '')})`
		}
	} catch (error: any) {
		// nothing more to do about it: if it is not lost already, its lease will end
		console.error(task.id, error.message)
	} finally {
		clearInterval(beat)
	}
}

const running = new Set<Promise<void>>()
await waiter.listen('appdb_tasks', () => wake())
while (!stopping) {
	const woken = new Promise<void>((resolve) => { wake = resolve })
	const tasks = await waiter<Task[]>`SELECT id, ticket, kind, payload, attempt FROM appdb.claim(${queues}, ${name}, ${concurrency - running.size}, ${lease})`
	for (const task of tasks) {
		const job: Promise<void> = run(task).finally(() => running.delete(job))
		running.add(job)
	}
	if (running.size >= concurrency) {
		await Promise.race(running)
	} else if (tasks.length === 0) {
		if (once && running.size === 0) break
		const [{ ms }] = await waiter<[{ ms: number }]>`SELECT extract(epoch FROM appdb.idle(${queues}))::float8 * 1000 AS ms`
		let timer: NodeJS.Timeout | undefined
		if (ms > 0) await Promise.race([woken, new Promise((resolve) => { timer = setTimeout(resolve, ms) }), ...(once ? running : [])])
		clearTimeout(timer)
	}
}
await Promise.all(running)
await Promise.all([sql.end(), waiter.end()])
