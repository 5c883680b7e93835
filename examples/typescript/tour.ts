// What an application does: sign somebody in, write and read as that user, ask for trees of rows, delete and restore, leave work to others.
//
// DATABASE_URL connects as a role of access level "app"; DATABASE_SERVICE_URL as one of level "service", which signs people in.

import { connect, close } from 'appdb-client'
import { withUser } from 'appdb-client/drizzle'
import { withUser as sqlWithUser } from 'appdb-client/postgres'
import { eq, sql } from 'drizzle-orm'
import { Kysely } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import { db } from '@/lib/db'
import { chats, messages, notes } from '@/lib/db/schema'
import { find } from '@/lib/db/schema/find'
import type { DB } from '@/lib/db/schema/kysely'

// -- sign up, and in: a server's business
const service = connect({ url: process.env.DATABASE_SERVICE_URL, applicationName: 'tour, signing in' })
const [user] = await service`INSERT INTO appdb.users (name, email) VALUES ('Ada', ${`ada-${process.pid}-${Date.now()}@example.org`}) RETURNING id`
const [space] = await service`INSERT INTO appdb.spaces (owner_id, name) VALUES (${user!.id}, 'Research') RETURNING id`
const [session] = await service`SELECT token FROM appdb.sign_in(${user!.id}::uuid)`
const token: string = session!.token
const userId: string = user!.id
const spaceId: string = space!.id

// -- nobody signed in: no rows
console.log('nobody sees', (await db.select().from(chats)).length, 'chats')

// -- Drizzle: a transaction as this user
const chat = await withUser(db, token, async (tx) => {
  const [chat] = await tx.insert(chats).values({ spaceId, userId, title: 'First results' }).returning()
  await tx.insert(messages).values(['What did we find?', 'And what does it mean?'].map((content) => ({ spaceId, userId, chatId: chat!.id, role: 'user' as const, content })))
  return chat!
})
console.log('made', chat.title, 'at a Date:', chat.createdAt instanceof Date)

const read = await withUser(db, token, (tx) => tx.query.chats.findMany({ with: { space: true, messages: { orderBy: (m, { asc }) => asc(m.id) } } }))
console.log('Drizzle reads', read.map((c) => `${c.space.name}: ${c.title}, ${c.messages.length} messages`))

// -- find(): the type of the result follows from the query
const found = await withUser(db, token, (tx) => find(tx, 'chats', {
  columns: ['title', 'createdAt'], with: { space: { columns: ['name'] }, messages: { columns: ['content'], orderBy: { id: 'desc' }, limit: 1 } }, count: { messages: true },
}))
for (const c of found) console.log('find() reads', `${c.space?.name}: ${c.title} of ${c._count.messages}, last: ${c.messages[0]?.content}`)

// -- postgres.js: SQL by hand
const bare = connect({ applicationName: 'tour, by hand' })
const rows = await sqlWithUser(bare, token, (tx) => tx`SELECT c.title, count(*)::int AS messages FROM appdb.chats c, appdb.messages(c) m GROUP BY c.id, c.title`)
console.log('SQL reads', rows.map((r) => `${r.title}, ${r.messages} messages`))

// -- Kysely
const kysely = new Kysely<DB>({ dialect: new PostgresJSDialect({ postgres: service }) }).withSchema('appdb')
const names = await kysely.selectFrom('spaces').select('name').where('id', '=', spaceId).execute()
console.log('Kysely reads', names.map((n) => n.name))

// -- delete, and bring back with all that went along
await withUser(db, token, (tx) => tx.delete(chats).where(eq(chats.id, chat.id)))
console.log('deleted:', await withUser(db, token, (tx) => tx.$count(messages)), 'messages left')
await withUser(db, token, (tx) => tx.execute(sql`SELECT * FROM appdb.restore('app_data.chats', ${chat.id})`))
console.log('restored:', await withUser(db, token, (tx) => tx.$count(messages)), 'messages')

// -- an error rolls everything back
await withUser(db, token, async (tx) => {
  await tx.insert(notes).values({ spaceId, userId, title: 'Never' })
  throw new Error('changed my mind')
}).catch((error: Error) => console.log('rolled back:', error.message))
console.log('notes:', await withUser(db, token, (tx) => tx.$count(notes)))

// -- a task for a worker (worker.ts)
const [task] = await service`SELECT appdb.enqueue('example.add', '{"a": 20, "b": 22}') AS id`
console.log('enqueued', typeof task!.id)

await close()
