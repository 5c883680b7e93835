// The package against a database that has appdb, the fixture's rows, and the tables of own.sql.
//
// The environment: DATABASE_URL connects as the owner, APP_URL as a role of level "app", SERVICE_URL as one of level "service" that is a member of it,
// POOLER_URL as the first through pgbouncer.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConnection, createServer } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { close, ConfigError, connect, diagnose, loadConfig } from 'appdb-client'
import { withUser } from 'appdb-client/drizzle'
import { checkKitConfig, withAppdb } from 'appdb-client/drizzle-kit'
import * as byKysely from 'appdb-client/kysely'
import * as bySql from 'appdb-client/postgres'
import { and, eq, inArray, isNull, sql } from 'drizzle-orm'
import { Cache, NoopCache } from 'drizzle-orm/cache/core'
import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely'
import { PostgresJSDialect } from 'kysely-postgres-js'
import pg from 'pg'
import { open, openCached, openPg, related, through, version } from './db'
import { accounts, chats, dateTable, notes, odd, samples, sessions, tasks, users } from './schema'
import { entities, find, findOne } from './schema/find'
import type { CamelDB, DB } from './schema/kysely'
import { done, same, test, thrown, yes } from './tap'

const env = process.env as Record<'DATABASE_URL' | 'APP_URL' | 'SERVICE_URL' | 'POOLER_URL', string>
const ownerClient = connect()
const owner = open(ownerClient)
const appClient = connect({ url: env.APP_URL })
const app = open(appClient)
const service = connect({ url: env.SERVICE_URL, applicationName: 'service' })
const bare = connect({ url: env.APP_URL, applicationName: 'by hand' })
const ada = '00000000-0000-7000-8000-000000000001'
const ben = '00000000-0000-7000-8000-000000000002'

const url = new URL(env.APP_URL.replace('postgres://', 'http://'))
const named = (name: string) => `Drizzle ${version}: ${name}`

// == rows ===================================================================

await test(named('an insert needs no ids and times; every type comes back as it went in'), async () => {
  const given = {
    small: -7, big: 9223372036854775807n, price: '1234567890.50', day: '2024-02-29', atTime: '12:34:56.789', noZone: new Date('2024-01-02T03:04:05.678Z'),
    zoned: [new Date('2024-01-02T03:04:05.678Z'), new Date('1999-12-31T23:59:59.999Z')], words: ['a', 'with "quotes", commas', '', 'NULL', 'back\\slash', '{}'], bytes: new Uint8Array([0, 1, 127, 128, 255]),
    anything: { a: [1, null, 'ü'], n: 1.5 }, things: [1, 'two', { three: 3 }], address: '10.0.0.1', lasts: '1 day 02:03:04', mood: 'so so' as const, moods: ['happy' as const, "it's" as const],
    short: 'short', code: 'abc', single: 1.5, double: 0.1, share: 50, half: 25, shares: ['1', '2'], tags: ['a', 'b'], spot: '(1,one)', spots: ['(1,one)', '(2,"two, or three")'], document: "'word'", class: 'class', 'odd name': 'odd', line1: 'one', flag: true,
  }
  const [row] = await owner.insert(samples).values(given).returning()
  yes(/^[0-9a-f]{8}-[0-9a-f]{4}-7/.test(row!.id), 'an id of version 7')
  yes(row!.createdAt instanceof Date && Math.abs(Date.now() - row!.createdAt.getTime()) < 600_000, 'a time')
  const { id, createdAt, updatedAt, deletedAt, twice, counter, spaceId, ...rest } = row!
  same({ ...rest, bytes: new Uint8Array(rest.bytes!) }, given)
  same([deletedAt, twice, spaceId, typeof counter], [null, -14, null, 'number'])
  same((await owner.select().from(samples).where(eq(samples.createdAt, createdAt)))[0]!.id, id, 'a row is found by its own Date')
  same((await owner.select().from(samples).where(eq(samples.bytes, given.bytes)))[0]!.id, id, 'and by its bytes')
  same((await owner.select().from(samples).where(and(eq(samples.big, given.big), inArray(samples.mood, ['so so']))))[0]!.id, id, 'and by a bigint and an enum')
  // what JavaScript's numbers cannot hold is exact: bigint and numeric
  const found = (await findOne(owner, 'samples', { where: { id, big: given.big, price: '1234567890.50' }, extras: ['samplesHalf', 'samplesTwice'] }))!
  const { samplesHalf, samplesTwice, lasts, shares, spot, spots, ...others } = found
  same({ ...others, lasts: '' }, (({ shares, spot, spots, ...all }) => ({ ...all, lasts: '' }))(row!), 'find()')
  same([found.big, found.price, samplesTwice, samplesHalf], [9223372036854775807n, '1234567890.50', -14, 25])
  same([shares, spot, spots], [[1, 2], { x: 1, label: 'one' }, [{ x: 1, label: 'one' }, { x: 2, label: 'two, or three' }]], 'what drivers leave as text is JSON')
  await owner.delete(samples).where(eq(samples.id, id))
})

await test(named('find() refuses what JSON would turn into another question'), async () => {
  for (const [where, at] of [[{ id: undefined }, 'undefined at $.where.id'], [{ OR: [{ title: 'x' }, { title: { like: undefined } }] }, 'undefined at $.where.OR[1].title.like'],
    [{ createdAt: new Date('no date') }, 'Invalid Date at $.where.createdAt'], [{ messages: { inputTokens: Number('many') } }, 'NaN at $.where.messages.inputTokens']] as any[])
    same(await thrown(() => find(owner, 'chats', { where })), ` ${at}${at.startsWith('undefined') ? ': leave the condition out, or say null' : ''}\n`)
  same(await thrown(() => find(owner, 'chats', { with: { messages: { where: { role: undefined } } } } as any)), ' undefined at $.with.messages.where.role: leave the condition out, or say null\n')
  yes((await find(owner, 'chats', { limit: undefined, where: undefined, columns: ['id'] } as any)).length > 0, 'what is no condition may be undefined')
})

await test(named('tables and types whose names the modules use themselves'), async () => {
  const [o] = await owner.insert(odd).values({}).returning()
  same(o!.text, 'now')
  await owner.insert(dateTable).values({ oddId: o!.id, user: 'x' })
  same((await find(owner, 'odd', { columns: ['text'], where: { id: o!.id }, with: { dates: { columns: ['user'] } } })), [{ text: 'now', dates: [{ user: 'x' }] }])
})

await test(named('defaults are the database\'s'), async () => {
  const [row] = await owner.insert(samples).values({ flag: false }).returning()
  same([row!.big, row!.words, row!.things, row!.mood, row!.moods, row!.bytes, row!.zoned, row!.twice], [9007199254740993n, [], [], "it's", null, null, null, null])
  same(await findOne(owner, 'samples', { columns: ['bytes', 'zoned', 'noZone', 'mood'], where: { id: row!.id } }), { bytes: null, zoned: null, noZone: null, mood: "it's" })
  await owner.delete(samples).where(eq(samples.id, row!.id))
})

await test(named('arrays and bytes of appdb\'s own'), async () => {
  const [first] = await ownerClient`SELECT appdb.enqueue('a') AS id`
  const [second] = await ownerClient`SELECT appdb.enqueue('b', depends_on => ARRAY[${first!.id}::uuid]) AS id`
  const [task] = await owner.select().from(tasks).where(eq(tasks.id, second!.id))
  same([task!.dependsOn, task!.payload, task!.progress, task!.runAt instanceof Date], [[first!.id], {}, 0, true])
  const [session] = await owner.select().from(sessions).where(eq(sessions.token, 'token-1'))
  yes(session!.tokenHash instanceof Uint8Array && session!.tokenHash.length === 32, 'a hash of 32 bytes')
  same((await owner.select().from(sessions).where(eq(sessions.tokenHash, session!.tokenHash))).length, 1, 'found by its hash')
  const [account] = await owner.update(accounts).set({ expiresAt: 1893456000 }).where(eq(accounts.accountId, 'ada')).returning()
  same(account!.expiresAt, 1893456000, 'a bigint that fits in a number is one')
})

// == relations ==============================================================

let pairs = 0
for (const [table, { relations }] of Object.entries(entities) as [keyof typeof entities, { relations: Record<string, string | readonly string[]> }][]) {
  const names = Object.entries(relations).filter(([, to]) => typeof to === 'string' || through)
  if (names.length === 0) continue
  await test(named(`relations of ${table} give the rows that find() gives: ${names.map(([n]) => n).join(', ')}`), async () => {
    for (const [name] of names) {
      const many = Array.isArray((await findOne(owner, table, { with: { [name]: true } } as any) as any)?.[name])
      const plain = (rows: any[]) => rows.map((r) => JSON.parse(JSON.stringify({ id: r.id, [name]: Array.isArray(r[name]) ? r[name].map((x: any) => x.id) : r[name]?.id ?? null })))
      const found = (await find(owner, table, { orderBy: 'id', with: { [name]: many ? { orderBy: 'id' } : true } } as any)) as any[]
      const read = await related(owner, (table as string) === 'date' ? 'dateTable' : table, name, many)
      same(plain(read), plain(found), name)
      // whole rows, but for what JSON does to bigint and numeric in Drizzle 0.45
      if (table !== 'samples' && (relations[name] as string) !== 'samples') same(read, found, name)
      pairs += found.filter((r) => (Array.isArray(r[name]) ? r[name].length > 0 : r[name])).length
    }
  })
}
await test(named('there were related rows to compare'), () => yes(pairs > 40, `only ${pairs}`))

// == writing ================================================================

await test(named('a delete reports its rows; of two, one wins; restore brings back'), async () => {
  const [note] = await owner.insert(notes).values({ spaceId: '00000000-0000-7000-8000-000000000021', title: 'Twice' }).returning()
  const remove = () => owner.delete(notes).where(eq(notes.id, note!.id)).returning({ title: notes.title })
  const results = await Promise.all([remove(), remove(), remove()])
  same(results.flat(), [{ title: 'Twice' }])
  same(await owner.select().from(notes).where(eq(notes.id, note!.id)), [])
  same((await find(owner, 'notes', { columns: ['title'], where: { id: note!.id }, deleted: 'only' })), [{ title: 'Twice' }])
  await owner.execute(sql`SELECT * FROM appdb.restore('app_data.notes', ${note!.id})`)
  same((await owner.select().from(notes).where(eq(notes.id, note!.id))).length, 1)
})

await test(named('an upsert is among live rows'), async () => {
  const upsert = (name: string) => owner.insert(users).values({ name, email: 'upsert@example.org' })
    .onConflictDoUpdate({ target: users.email, targetWhere: isNull(users.deletedAt), set: { name } }).returning()
  const [a] = await upsert('One')
  const [b] = await upsert('Two')
  same([b!.id, b!.name], [a!.id, 'Two'])
  await owner.delete(users).where(eq(users.id, a!.id))
  const [c] = await upsert('Three')
  yes(c!.id !== a!.id, 'a deleted row is left alone')
})

await test(named('updated_at moves when the row changes'), async () => {
  const [before] = await owner.select().from(chats).limit(1)
  const [after] = await owner.update(chats).set({ title: `${before!.title} again`, createdAt: new Date(0), updatedAt: new Date(0) }).where(eq(chats.id, before!.id)).returning()
    .catch(() => owner.update(chats).set({ title: `${before!.title} again` }).where(eq(chats.id, before!.id)).returning())
  yes(after!.updatedAt > before!.updatedAt && after!.createdAt.getTime() === before!.createdAt.getTime(), 'times')
})

// == who is asking ==========================================================

await test(named('withUser(): by a token, for one transaction'), async () => {
  same((await app.select().from(chats)).length, 0, 'nobody sees nothing')
  const seen = await withUser(app, 'token-1', async (tx) => {
    const [me] = await tx.execute(sql`SELECT appdb.current_user_id() AS id`) as unknown as { id: string }[]
    return { me: me!.id, chats: await tx.select().from(chats), found: await find(tx, 'chats') }
  })
  same(seen.me, ada)
  yes(seen.chats.length > 0 && seen.chats.length === seen.found.length, 'chats')
  same((await app.select().from(chats)).length, 0, 'and nobody afterwards')
  same(await withUser(app, { token: 'token-1' }, (tx) => tx.$count(chats)), seen.chats.length)
})

await test(named('withUser(): a wrong token, and an id where a token belongs, are nobody'), async () => {
  for (const who of ['no such token', '', ada])
    yes(/28000/.test(await thrown(() => withUser(app, who, (tx) => tx.select().from(chats)))), `SQLSTATE 28000 for ${who}`)
  for (const who of [undefined, null, 5, {}, { userId: 5 }, { token: null }])
    yes(/who is asking/.test(await thrown(() => withUser(app, who as any, (tx) => tx.select().from(chats)))), 'TypeError')
})

await test(named('withUser(): by an id, for service roles only; with a role, row security holds'), async () => {
  const db = open(connect({ url: env.SERVICE_URL, applicationName: 'impersonate' }))
  const all = await db.$count(users)
  const who = (tx: any) => tx.execute(sql`SELECT appdb.current_user_id() AS id, current_user AS role, (SELECT count(*)::int FROM appdb.users) AS users`)
  same([...(await withUser(db, { userId: ben }, who))], [{ id: ben, role: 'appdb_ts_server', users: all }])
  const [as] = await withUser(db, { userId: ben, role: 'appdb_ts_web' }, who)
  same([as.id, as.role, as.users < all], [ben, 'appdb_ts_web', true])
  same([...(await who(db))], [{ id: null, role: 'appdb_ts_server', users: all }], 'and afterwards nobody')
  yes(/42501/.test(await thrown(() => withUser(app, { userId: ben }, who))), 'not for roles of level app')
  yes(/28000|not/.test(await thrown(() => withUser(db, { userId: '00000000-0000-7000-8000-0000000000ff' }, who))), 'no such user')
  yes(/(22023|42704|role)/.test(await thrown(() => withUser(db, { userId: ben, role: "no'such" }, who))), 'no such role')
})

await test(named('withUser(): an error rolls back; options are the transaction\'s'), async () => {
  const count = () => withUser(app, 'token-2', (tx) => tx.$count(notes))
  const before = await count()
  same(await thrown(() => withUser(app, 'token-2', async (tx) => {
    await tx.insert(notes).values({ spaceId: '00000000-0000-7000-8000-000000000022', userId: ben, title: 'Never' })
    throw new Error('changed my mind')
  })), ' changed my mind\n')
  same(await count(), before)
  const [is] = await withUser(app, 'token-1', (tx) => tx.execute(sql`SELECT current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS ro`), { isolationLevel: 'repeatable read', accessMode: 'read only' }) as any
  same(is, { isolation: 'repeatable read', ro: 'on' })
  yes(/25006/.test(await thrown(() => withUser(app, 'token-1', (tx) => tx.update(users).set({ name: 'x' }).where(eq(users.id, ada)), { accessMode: 'read only' }))), 'read only')
})

/** many requests at once, each as somebody else, on few connections: nobody sees another's rows */
async function crowd(client: ReturnType<typeof connect>) {
  const db = open(client)
  const expected = { 'token-1': ada, 'token-2': ben } as Record<string, string>
  await Promise.all(Array.from({ length: 60 }, async (_, i) => {
    if (i % 5 === 4) return same((await db.select().from(users)).length, 0, 'nobody')
    const token = `token-${1 + (i % 2)}`
    if (i % 7 === 3) return void (await thrown(() => withUser(db, token, async (tx) => { await tx.select().from(users); throw new Error('x') })))
    await withUser(db, token, async (tx) => {
      const [me] = await tx.execute(sql`SELECT appdb.current_user_id() AS id`) as unknown as { id: string }[]
      same(me!.id, expected[token])
      const own = await find(tx, 'spaces', { columns: ['id'], where: { owner: { id: { ne: expected[token]! } } } })
      same(own, [], 'no personal space of somebody else')
    })
  }))
}
await test(named('withUser(): many users at once'), () => crowd(connect({ url: env.APP_URL, poolSize: 3, applicationName: 'crowd' })))

if (env.POOLER_URL) {
  await test(named('withUser() and find() behind pgbouncer: many users at once, timeouts in the transaction'), async () => {
    const client = connect({ url: env.POOLER_URL, pooler: 'transaction', poolSize: 20, statementTimeout: 12_345 })
    await crowd(client)
    const db = open(client)
    const timeout = (db: any) => db.execute(sql`SHOW statement_timeout`)
    same([...(await withUser(db, 'token-1', timeout))], [{ statement_timeout: '12345ms' }])
    same([...(await timeout(db))], [{ statement_timeout: '0' }], 'nobody else gets it')
    const hand = connect({ url: env.POOLER_URL, pooler: 'transaction', poolSize: 10, applicationName: 'by hand' })
    const counts = await Promise.all(Array.from({ length: 30 }, (_, i) => bySql.withUser(hand, `token-${1 + (i % 2)}`, async (tx) => (await tx`SELECT appdb.current_user_id() AS id, count(*)::int AS n FROM appdb.spaces WHERE name <> ${'x'}`)[0]!)))
    counts.forEach((c, i) => same(c.id, [ada, ben][i % 2]))
    const kysely = new Kysely<DB>({ dialect: new PostgresJSDialect({ postgres: hand }) }).withSchema('appdb')
    const rows = await Promise.all(Array.from({ length: 30 }, (_, i) => byKysely.withUser(kysely, `token-${1 + (i % 2)}`, (tx) => tx.selectFrom('users').select('id').where('email', 'is not', null).execute())))
    rows.forEach((r, i) => yes(r.some((u) => u.id === [ada, ben][i % 2]), 'oneself'))
  })
} else await test(`behind pgbouncer # SKIP ${process.env.POOLER_WHY ?? 'no pooler'}`, () => {})

await test(named('on node-postgres: withUser() and find()'), async () => {
  const pool = new pg.Pool({ host: url.searchParams.get('host')!, port: Number(url.searchParams.get('port')), user: 'appdb_ts_web', database: url.pathname.slice(1), max: 3 })
  const db = openPg(pool)
  same(await find(db, 'chats'), [])
  const [read, found] = await withUser(db, 'token-1', async (tx) => [await tx.select().from(chats).orderBy(chats.id), await find(tx, 'chats', { orderBy: 'id' })] as const)
  yes(read.length > 0, 'rows')
  same(read, found)
  yes(/28000/.test(await thrown(() => withUser(db, 'x', () => 1))), 'a wrong token')
  await pool.end()
})

await test('withUser(): not within a transaction', async () => {
  const kysely = new Kysely<DB>({ dialect: new PostgresJSDialect({ postgres: bare }) })
  for (const nested of [
    () => withUser(app, 'token-1', (tx) => withUser(tx as any, 'token-2', () => 1)),
    () => bySql.withUser(bare, 'token-1', (tx) => bySql.withUser(tx as any, 'token-2', () => 1)),
    () => byKysely.withUser(kysely, 'token-1', (tx) => byKysely.withUser(tx, 'token-2', () => 1)),
  ]) yes(/within a transaction/.test(await thrown(nested)), 'refused')
})

await test(named('withUser(): not with a cache that answers every query, whoever asks'), async () => {
  class Cached extends Cache {
    constructor(private how: 'explicit' | 'all') { super() }
    strategy() { return this.how }
    async get() { return undefined }
    async put() {}
    async onMutate() {}
  }
  const read = (cache: unknown) => withUser(openCached(appClient, cache), 'token-1', (tx) => tx.select().from(chats))
  yes(/does not know who asks/.test(await thrown(() => read(new Cached('all')))), 'refused')
  for (const cache of [new Cached('explicit'), new NoopCache(), undefined]) yes((await read(cache)).length > 0, 'rows')
})

await test('withUser(): warns, once, where row security does not hold', async () => {
  const said: string[] = []
  const warn = console.warn
  console.warn = (text: string) => said.push(text)
  try {
    for (let i = 0; i < 2; i++) {
      await withUser(owner, 'token-1', () => 1)
      await bySql.withUser(ownerClient, 'token-1', () => 1)
      await withUser(app, 'token-1', () => 1)
      await byKysely.withUser(new Kysely<DB>({ dialect: new PostgresJSDialect({ postgres: ownerClient }) }), 'token-1', () => 1)
    }
  } finally {
    console.warn = warn
  }
  same(said.map((s) => s.split('\n')[0]), ["appdb: warning: withUser() on a connection for which row security does not hold: every query shows every tenant's rows"])
})

// == postgres.js by hand ====================================================

const { finder } = bySql
const hand = finder<import('./schema/find').Entities>(entities)

await test('postgres.js: withUser() and find()', async () => {
  const rows = await bySql.withUser(bare, 'token-1', async (tx) => [await tx`SELECT c.title, c.created_at FROM appdb.chats AS c WHERE c.metadata = ${tx.json({})} ORDER BY c.id`, await hand.find(tx, 'chats', { columns: ['title', 'createdAt'], orderBy: 'id', where: { createdAt: { lt: new Date() } } })] as const)
  yes(rows[0].length > 0, 'rows')
  same(rows[0].map((r) => ({ title: r.title, createdAt: r.created_at })), [...rows[1]])
  same(await hand.find(bare, 'chats'), [], 'nobody')
  same((await bare`SELECT appdb.current_user_id() AS id`)[0]!.id, null)
  yes(/28000/.test(await thrown(() => bySql.withUser(bare, 'x', () => 1))), 'a wrong token')
})

if ('bun' in process.versions) await test("Bun's own SQL: withUser() and find()", async () => {
  const { SQL } = await import('bun' as string)
  const bun = new SQL({ adapter: 'postgres', path: `${url.searchParams.get('host')}/.s.PGSQL.${url.searchParams.get('port')}`, username: 'appdb_ts_web', database: url.pathname.slice(1), max: 3 })
  const rows = await bySql.withUser(bun, 'token-1', async (tx: any) => [await tx`SELECT c.title FROM appdb.chats AS c WHERE c.metadata = ${{}} ORDER BY c.id`, await hand.find(tx, 'chats', { columns: ['title'], orderBy: 'id' })] as const)
  yes(rows[1].length > 0, 'rows')
  same([...rows[0]], [...rows[1]])
  const ids = await Promise.all(Array.from({ length: 30 }, (_, i) => bySql.withUser(bun, `token-${1 + (i % 2)}`, async (tx: any) => (await tx`SELECT appdb.current_user_id() AS id`)[0].id)))
  yes(ids.every((id, i) => id === [ada, ben][i % 2]), 'each its own')
  same((await bun`SELECT appdb.current_user_id() AS id`)[0].id, null)
  for (const nested of [
    () => bySql.withUser(bun, 'token-1', (tx: any) => bySql.withUser(tx, 'token-2', () => 1)),
    () => bySql.withUser(bun, 'token-1', (tx: any) => tx.savepoint((s: any) => bySql.withUser(s, 'token-2', () => 1))),
  ]) yes(/whoever began it/.test(await thrown(nested)), 'not within a transaction')
  yes(/invalid or expired session token/.test(await thrown(() => bySql.withUser(bun, 'x', () => 1))), 'a wrong token')
  await bun.close()
})

await test('find(): conditions, counts, pages and join tables come as their types say', async () => {
  const page = await find(owner, 'users', { columns: ['id', 'createdAt'], orderBy: 'id', limit: 2, cursor: true, count: true })
  same([page.rows.length, page.count > 2, page.rows[0]!.createdAt instanceof Date], [2, true, true])
  const next = await find(owner, 'users', { columns: ['id'], orderBy: 'id', limit: 1, after: page.rows[1]!._cursor })
  yes(next[0]!.id > page.rows[1]!.id, 'the next page')
  const members = await find(owner, 'users', { columns: ['id'], where: { id: ada }, with: { organizations: { columns: ['name'], through: { columns: ['role', 'createdAt'] }, orderBy: 'id' } } })
  same([members[0]!.organizations[0]!._through.role, members[0]!.organizations[0]!._through.createdAt instanceof Date], ['owner', true])
  const counted = await find(owner, 'chats', { columns: ['id'], orderBy: 'id', limit: 1, with: { messages: { columns: ['createdAt'], count: true } } })
  yes(counted[0]!.messages.rows.every((m) => m.createdAt instanceof Date) && counted[0]!.messages.count === counted[0]!.messages.rows.length, 'nested counts')
  same(await findOne(owner, 'users', { where: { id: '00000000-0000-7000-8000-0000000000ff' } }), null)
  same((await find(owner, 'users', { columns: ['id'], where: { createdAt: { lte: new Date(0) } } })), [])
  yes(/unknown relation "mesages".*\n.*Perhaps|unknown relation "mesages"/s.test(await thrown(() => find(owner, 'chats', { with: { mesages: true } } as any))), 'the server says what is unknown')
})

// == Kysely =================================================================

const dialects = {
  'postgres.js': () => new PostgresJSDialect({ postgres: connect({ url: env.SERVICE_URL, applicationName: 'kysely' }) }),
  pg: () => new PostgresDialect({ pool: new pg.Pool({ host: url.searchParams.get('host')!, port: Number(url.searchParams.get('port')), user: 'appdb_ts_server', database: url.pathname.slice(1), max: 2 }) }),
}
for (const [name, dialect] of Object.entries(dialects))
  await test(`Kysely on ${name}: reads, writes, joins, upserts, deletes, find(), withUser()`, async () => {
    const db = new Kysely<DB>({ dialect: dialect() }).withSchema('appdb')
    const user = await db.insertInto('users').values({ name: 'Kay', email: `kay-${name}@example.org`, metadata: { a: 1 } }).returningAll().executeTakeFirstOrThrow()
    same([user.metadata, user.created_at instanceof Date, user.deleted_at], [{ a: 1 }, true, null])
    const again = await db.insertInto('users').values({ name: 'Kai', email: `kay-${name}@example.org` })
      .onConflict((c) => c.column('email').where('deleted_at', 'is', null).doUpdateSet({ name: 'Kai' })).returning(['id', 'name']).executeTakeFirstOrThrow()
    same(again, { id: user.id, name: 'Kai' })
    const file = await db.insertInto('files').values({ space_id: '00000000-0000-7000-8000-000000000021', name: 'big', size_bytes: 9007199254740993n }).returning(['id', 'size_bytes']).executeTakeFirstOrThrow()
    same(file.size_bytes, '9007199254740993', 'a bigint is exact')
    const joined = await db.selectFrom('files').innerJoin('spaces', 'spaces.id', 'files.space_id').select(['files.name', 'spaces.name as space']).where('files.id', '=', file.id).execute()
    same(joined, [{ name: 'big', space: 'Shared' }])
    const gone = await db.deleteFrom('users').where('id', '=', user.id).executeTakeFirst()
    same([gone.numDeletedRows, await db.selectFrom('users').select('id').where('id', '=', user.id).execute()], [1n, []])
    const seen = await byKysely.withUser(db, 'token-1', (tx) => byKysely.finder<import('./schema/find').Entities>(entities).find(tx, 'users', { columns: ['id', 'createdAt'], where: { id: ada } }))
    same([seen[0]!.id, seen[0]!.createdAt instanceof Date], [ada, true])
    same(await byKysely.withUser(db, { userId: ben, role: 'appdb_ts_web' }, async (tx) => (await tx.selectFrom('users').select('id').execute()).length < 4), true)
    const camel = new Kysely<CamelDB>({ dialect: dialect(), plugins: [new CamelCasePlugin()] }).withSchema('appdb')
    same((await camel.selectFrom('spaceMembers').select(['userId', 'createdAt']).limit(1).execute())[0]!.createdAt instanceof Date, true)
    await db.deleteFrom('files').where('id', '=', file.id).execute()
    await camel.destroy()
    await db.destroy()
  })

// == configuration ==========================================================

await test('configuration: everything that is wrong is said at once', async () => {
  const problems = (e: Record<string, string>, given = {}) => { try { loadConfig(given, e); return [] } catch (error) { if (error instanceof ConfigError) return error.problems; throw error } }
  same(problems({ DATABASE_URL: 'postgres://u@h/d' }), [])
  same(problems({ PGHOST: 'h' }), [])
  same(problems({}).map((p) => p.split(':')[0]), ['DATABASE_URL is not set'])
  same(problems({ DATABASE_URL: 'mysql://h/d', DATABASE_POOL_SIZE: 'many', DATABASE_STATEMENT_TIMEOUT: '5 parsecs', DATABASE_TLS: 'maybe', DATABASE_POOLER: 'session', DATABASE_PREPARE: '?', DATABASE_TLS_CA: '/nonexistent' }).map((p) => p.split(':')[0]!).sort(),
    ['DATABASE_POOLER', 'DATABASE_POOL_SIZE', 'DATABASE_PREPARE', 'DATABASE_STATEMENT_TIMEOUT', 'DATABASE_TLS', 'DATABASE_TLS_CA', 'DATABASE_URL'])
  yes(problems({ DATABASE_URL: 'postgres://u:p@ss/w@h/d' }).every((p) => !p.includes('p@ss') && !p.includes('ss/w')), 'no password in a message')
  same(problems({ DATABASE_URL: 'postgres://u@h:99999/d' }).length, 1)
  same(problems({ DATABASE_URL: 'postgres://u@h/d', DATABASE_POOL_SIZE: '0' }).length, 1)
  same(problems({ DATABASE_URL: 'postgres://u@h/d?sslmode=perhaps' }).length, 1)
  const c = loadConfig({ poolSize: 3 }, { DATABASE_URL: 'postgres://u@h/d', DATABASE_POOL_SIZE: '7', DATABASE_STATEMENT_TIMEOUT: '5min', DATABASE_LOCK_TIMEOUT: '1500', DATABASE_POOLER: 'transaction' })
  same([c.poolSize, c.statementTimeout, c.lockTimeout, c.pooler, c.prepare], [3, 300_000, 1500, 'transaction', false])
})

await test('configuration: URLs as libpq has them', async () => {
  const { parseUrl } = await import(new URL('./config.js', import.meta.resolve('appdb-client')).href) as { parseUrl: (u: string) => any }
  const t = parseUrl('postgresql://us%40er:p%3Ass@h1:1,h2/d%20b?application_name=x&sslmode=require&options=-c%20a.b%3D1&work_mem=1MB')
  same([t.user, t.password, t.hosts, t.database, t.tls, t.applicationName, t.settings], ['us@er', 'p:ss', [{ host: 'h1', port: 1 }, { host: 'h2', port: 5432 }], 'd b', 'require', 'x', { 'a.b': '1', work_mem: '1MB' }])
  same(parseUrl('postgres://u@/d?host=/run/pg&port=5433').hosts, [{ host: '/run/pg', port: 5433 }])
  same(parseUrl('postgres://%2Frun%2Fpg/d').hosts, [{ host: '/run/pg', port: 5432 }])
  same(parseUrl('postgres://[::1]:7/d').hosts, [{ host: '::1', port: 7 }])
  same(parseUrl('postgres:///d').hosts, [{ host: 'localhost', port: 5432 }])
})

await test('connect(): one pool for one configuration, also where modules are loaded anew', async () => {
  yes(connect() === ownerClient, 'the same pool')
  const again = await import(`${import.meta.resolve('appdb-client').replace('index.js', 'connect.js')}?again`) as { connect: typeof connect }
  yes(again.connect() === ownerClient && (again.connect !== connect || 'bun' in process.versions), 'the same pool from another copy of the module')
  yes(connect({ applicationName: 'other' }) !== ownerClient, 'another for another configuration')
  const gone = connect({ applicationName: 'gone' })
  await gone.end()
  yes(connect({ applicationName: 'gone' }) !== gone, 'a new one where it was closed')
})

await test('connect(): settings of the session', async () => {
  const db = connect({ poolSize: 2, statementTimeout: 250, lockTimeout: 5000, transactionIdleTimeout: 7000, applicationName: 'settings' })
  const [is] = await db`SELECT current_setting('statement_timeout') AS s, current_setting('lock_timeout') AS l, current_setting('idle_in_transaction_session_timeout') AS i, current_setting('application_name') AS a`
  same({ ...is }, { s: '250ms', l: '5s', i: '7s', a: 'settings' })
  yes(/57014/.test(await thrown(() => db`SELECT pg_sleep(30)`)), 'a statement that takes too long')
  await Promise.all(Array.from({ length: 20 }, () => db`SELECT pg_sleep(0.01)`))
  same((await ownerClient`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'settings'`)[0]!.n, 2, 'no more connections than the pool has')
  const prepared = async (c: typeof db) => { for (let i = 0; i < 3; i++) await c`SELECT ${i}::int AS i`; return (await c`SELECT count(*)::int AS n FROM pg_prepared_statements WHERE statement LIKE '%int AS i'`)[0]!.n > 0 }
  same([await prepared(connect({ poolSize: 1, applicationName: 'p' })), await prepared(connect({ poolSize: 1, prepare: false, applicationName: 'u' }))], [true, false])
})

await test('connect(): SIGTERM lets queries end and closes the pool', async () => {
  const until = async (done: () => Promise<boolean>) => { for (let i = 0; i < 600 && !(await done()); i++) await new Promise((r) => setTimeout(r, 50)) }
  const terminated = async (asleep: boolean) => (await ownerClient`SELECT count(*)::int AS n FROM pg_stat_activity
    WHERE application_name = 'terminated' AND (NOT ${asleep} OR state = 'active' AND query LIKE '%pg_sleep%')`)[0]!.n as number
  const run = (more: string) => new Promise<{ out: string; code: number | null; signal: string | null }>((resolve) => {
    const script = `import { connect } from 'appdb-client'\nconst sql = connect({ applicationName: 'terminated' })\n${more}
      await sql\`SELECT 1\`\nconsole.log('up')\nconst r = await sql\`SELECT pg_sleep(0.7), 'ended' AS r\`.catch((e) => [{ r: e.message }])\nconsole.log(r[0].r)\nsetTimeout(() => {}, 20000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: process.cwd(), stdio: ['ignore', 'pipe', 'inherit'] })
    let out = ''
    child.stdout.on('data', async (d) => {
      out += d
      if (out !== 'up\n') return
      await until(async () => out !== 'up\n' || (await terminated(true)) === 1)
      child.kill('SIGTERM')
    })
    child.on('exit', (code, signal) => resolve({ out, code, signal }))
  })
  same(await run(''), { out: 'up\nended\n', code: null, signal: 'SIGTERM' })
  same(await run(`process.on('SIGTERM', () => { setTimeout(() => { console.log('own'); process.exit(3) }, 4000) })`), { out: 'up\nended\nown\n', code: 3, signal: null }, 'a handler of the application goes on')
  await until(async () => (await terminated(false)) === 0)
  same(await terminated(false), 0)
})

if (process.env.TLS_DIR) {
  await test('TLS: as the configuration says', async () => {
    // a server that speaks nothing but TLS, in front of the real one
    const cert = readFileSync(`${process.env.TLS_DIR}/cert`)
    const secureContext = createSecureContext({ cert, key: readFileSync(`${process.env.TLS_DIR}/key`) })
    const front = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (first) => {
        // SSLRequest
        if (first.length !== 8 || first.readInt32BE(4) !== 80877103) {
          const text = Buffer.from('SFATAL\0C28000\0Mno pg_hba.conf entry for host, no encryption\0\0')
          const head = Buffer.alloc(5)
          head.write('E')
          head.writeInt32BE(text.length + 4, 1)
          return void socket.end(Buffer.concat([head, text]))
        }
        socket.write('S')
        const secure = new TLSSocket(socket, { isServer: true, secureContext })
        const back = createConnection(`${url.searchParams.get('host')}/.s.PGSQL.${url.searchParams.get('port')}`)
        for (const s of [secure, back]) s.on('error', () => { secure.destroy(); back.destroy() })
        secure.pipe(back).pipe(secure)
      })
    }).listen(0, '127.0.0.1')
    await new Promise((r) => front.once('listening', r))
    const to = (host: string, more: string) => `postgres://appdb_ts_web@${host}:${(front.address() as { port: number }).port}${url.pathname}${more}`
    const asks = async (target: string, given = {}) => {
      const client = connect({ url: target, connectTimeout: 30000, ...given })
      try { return (await client`SELECT current_user AS u`)[0]!.u } catch (error) { return (error as { code?: string }).code ?? (error as Error).message } finally { await client.end({ timeout: 1 }) }
    }
    const user = 'appdb_ts_web'
    same([await asks(to('localhost', '?sslmode=require')), await asks(to('localhost', ''), { tls: 'require' }), await asks(to('localhost', ''), { tls: 'prefer' })], [user, user, user])
    same(await asks(to('localhost', '')), '28000', 'without TLS')
    yes(/CERT|SELF_SIGNED/.test(await asks(to('localhost', '?sslmode=verify-full'))), 'a certificate that nobody vouches for')
    const tlsCa = `${process.env.TLS_DIR}/cert`
    same([await asks(to('localhost', '?sslmode=verify-full'), { tlsCa }), await asks(to('localhost', `?sslmode=verify-full&sslrootcert=${tlsCa}`))], [user, user])
    yes(/ALTNAME/.test(await asks(to('127.0.0.1', ''), { tls: 'verify-full', tlsCa })), 'a certificate of another host')
    same(await asks(to('127.0.0.1', ''), { tls: 'require', tlsCa }), user)
    front.close()
  })
} else await test('TLS # SKIP no openssl', () => {})

// == what is wrong ==========================================================

await test('diagnose(): says what is wrong, and what to do', async () => {
  const codes = async (given: Parameters<typeof connect>[0]) => {
    const client = connect({ connectTimeout: 30000, ...given })
    const found = await diagnose(client)
    await client.end({ timeout: 1 })
    yes(found.every((f) => f.message.length > 0 && f.hint.length > 0), 'words')
    return found.map((f) => f.code).filter((c) => c !== 'not-preloaded')
  }
  const at = (database: string, user = 'appdb_ts_web') => env.APP_URL.replace(/\/\/[^@]*@/, `//${user}@`).replace(/(:\/\/[^/]*\/)[^?]*/, `$1${database}`)
  const name = url.pathname.slice(1)
  same(await codes({ url: env.APP_URL }), [])
  same(await codes({ url: env.DATABASE_URL }), ['bypasses-row-security'])
  same(await codes({ url: at('no_such_database') }), ['no-database'])
  same(await codes({ url: at('postgres', 'appdb_ts_web') }), ['no-extension'])
  same(await codes({ url: at(name, 'no_such_role') }), ['credentials'])
  same(await codes({ url: at(name, 'appdb_ts_stranger') }), ['no-access'])
  same(await codes({ url: 'postgres://u@127.0.0.1:1/d' }), ['unreachable'])
  same(await codes({ url: 'postgres://u@/d?host=/nonexistent' }), ['unreachable'])
  same(await codes({ url: 'postgres://u@no-such-host.invalid/d' }), ['unreachable'])
  // somebody else listens there, and says nothing
  const silent = createServer().listen(0, '127.0.0.1')
  await new Promise((r) => silent.once('listening', r))
  same(await codes({ url: `postgres://u@127.0.0.1:${(silent.address() as { port: number }).port}/d`, connectTimeout: 1000 }), ['unreachable'])
  silent.close()
  // one that hangs up at once: postgres.js would try again for ever
  const rude = createServer((s) => s.destroy()).listen(0, '127.0.0.1')
  await new Promise((r) => rude.once('listening', r))
  same(await codes({ url: `postgres://u@127.0.0.1:${(rude.address() as { port: number }).port}/d`, connectTimeout: 1000 }), ['unreachable'])
  rude.close()
  same(await codes({ url: env.APP_URL.replace('localhost', '127.0.0.1:1').replace(/[?].*/, '?sslmode=require') }), ['unreachable'])
  await ownerClient`UPDATE app_data.schema_version SET version = '0.9'`
  same(await codes({ url: env.DATABASE_URL }), ['bypasses-row-security', 'not-migrated'])
  await ownerClient`UPDATE app_data.schema_version SET version = appdb.version()`
})

await test('drizzle.config: what is not safe is refused', async () => {
  const { mkdtempSync, writeFileSync, mkdirSync } = await import('node:fs')
  const { join } = await import('node:path')
  const dir = mkdtempSync(join(process.cwd(), 'kit-'))
  mkdirSync(join(dir, 'db/schema'), { recursive: true })
  const put = (name: string, text: string) => writeFileSync(join(dir, name), text)
  put('db/schema/auth.ts', '// Generated by appdb-generate. Do not edit\nexport const users = 1\n')
  put('db/schema/index.ts', "// Generated by appdb-generate. Do not edit\nexport * from './auth'\n")
  put('db/own.ts', "import { users } from './schema'\nimport type { User } from './schema'\nexport const own = users\nexport type { User } from './schema'\n")
  put('db/reexports.ts', "export * from './more'\n")
  put('db/more.ts', "export * as appdb from './schema/index.js'\n")
  put('db/named.ts', "import { users as people, x } from '@/db/schema'\nexport { people }\n")
  put('db/package.ts', "export { users } from 'appdb-client/schema'\n")
  const problems = (schema: string | string[], schemaFilter: string[] | undefined = ['public']) => checkKitConfig({ schema, ...(schemaFilter && { schemaFilter }) }, dir).length
  same(problems('./db/own.ts'), 0)
  same([problems('./db/schema'), problems('./db/schema/index.ts'), problems('./db/**/*.ts'), problems('./db/reexports.ts'), problems('./db/named.ts'), problems('./db/package.ts'), problems('./db/{named,own}.ts'), problems('./nowhere.ts')].map((n) => n > 0), Array(8).fill(true))
  same([checkKitConfig({ schema: './db/own.ts' }, dir).length, problems('./db/own.ts', ['*']), problems('./db/own.ts', ['public', 'app_data']), problems('./db/own.ts', ['app*'])], [1, 1, 1, 1])
  same(withAppdb({ schema: './db/own.ts', out: './x' }, dir), { schema: './db/own.ts', out: './x', schemaFilter: ['public'] })
  yes(/not safe beside appdb/.test(await thrown(() => withAppdb({ schema: './db/schema' }, dir))), 'withAppdb() throws')
})
await close()
done()
