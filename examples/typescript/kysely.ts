// The tour of examples/python/tour.py with Kysely.
//
// DATABASE_URL connects as a role of access level "app", DATABASE_SERVICE_URL as one of level "service". The argument is a session's token.

import { close, connect } from 'appdb-client'
import { finder, withUser } from 'appdb-client/kysely'
import { Kysely, sql } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import { entities, type Entities } from '@/lib/db/schema/find'
import type { DB } from '@/lib/db/schema/kysely'

const token = process.argv[2]!
const db = new Kysely<DB>({ dialect: new PostgresJSDialect({ postgres: connect() }) }).withSchema('appdb')
const { find } = finder<Entities>(entities)

const chat = await withUser(db, token, async (tx) => {
  const me = await tx.selectFrom('users').select('name').where('id', '=', sql<string>`appdb.current_user_id()`).executeTakeFirstOrThrow()
  console.log('I am', me.name)
  const chats = await tx.selectFrom('chats').select(['id', 'title']).where('title', 'like', 'Tour%').execute()
  for (const { title } of chats) console.log('chat:', title)

  const messages = await tx.selectFrom('messages').innerJoin('users', 'users.id', 'messages.user_id').select(['content', 'name']).where('chat_id', '=', chats[0]!.id).orderBy('messages.id').execute()
  for (const { content, name } of messages) console.log('message:', content, 'by', name)

  const [tree] = await find(tx, 'chats', { columns: ['title'], where: { id: chats[0]!.id }, with: { messages: { columns: ['content'], limit: 1, orderBy: 'id' } } })
  console.log('found:', tree!.title, tree!.messages[0]!.content)
  return chats[0]!.id
})

await withUser(db, token, async (tx) => {
  // what belongs to the chat goes with it, and comes back with it
  const deleted = await tx.deleteFrom('chats').where('id', '=', chat).returning('title').execute()
  console.log('deleted:', deleted.length, deleted[0]!.title)
  const messages = tx.selectFrom('messages').select((eb) => eb.fn.countAll<string>().as('count')).where('chat_id', '=', chat)
  console.log('messages left:', (await messages.executeTakeFirstOrThrow()).count)
  await sql`SELECT appdb.restore('appdb.chats', ${chat})`.execute(tx)
  console.log('messages restored:', (await messages.executeTakeFirstOrThrow()).count)
})

// the transaction is over, and with it who asked
const { who, count } = await db.selectFrom('chats').select((eb) => [sql<string | null>`appdb.current_user_id()`.as('who'), eb.fn.countAll<string>().as('count')]).executeTakeFirstOrThrow()
console.log(`afterwards: ${who ?? 'None'}, ${count} chats`)
await withUser(db, 'not a token', async () => {}).catch((error) => console.log('refused:', error.code))

// a task: the application wants it done, a worker does it
const task = await withUser(db, token, async (tx) => {
  const { rows } = await sql<{ id: string }>`SELECT appdb.enqueue('tour.add', '{"a": 1, "b": 2}', queue => 'tour', user_id => appdb.current_user_id()) AS id`.execute(tx)
  return rows[0]!.id
})
const worker = connect({ url: process.env.DATABASE_SERVICE_URL, applicationName: 'worker' })
for (const { id, ticket, payload } of await worker`SELECT id, ticket, payload FROM appdb.claim('{tour}', 'kysely.ts')`) {
  await worker`SELECT appdb.complete(${id}, ${ticket}, ${worker.json({ sum: payload.a + payload.b })})`
}
const done = await withUser(db, token, (tx) => tx.selectFrom('tasks').select(['status', 'result']).where('id', '=', task).executeTakeFirstOrThrow())
console.log('task:', done.status, (done.result as { sum: number }).sum)

await close()
