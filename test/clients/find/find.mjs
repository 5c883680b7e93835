// The four questions of test/bench/find.bench, asked from Node: through Drizzle's relational queries (versions 1 and 2),
// as SQL by hand, and through appdb.find(). All must give the same rows.
//
//   npm ci && node find.mjs [seconds]        PGHOST, PGUSER, PGDATABASE: a database with test/bench/find_data.sql
//
// With seconds given it then asks for so long each way, in turn, and says how many requests there are to a second of CPU
// time, the client's and the server's (which is on the same machine): clocks say little where others are at work.
import { readFileSync } from 'node:fs'
import postgres from 'postgres'
import { drizzle as drizzle1 } from 'drizzle-orm/postgres-js'
import { relations as relations1 } from 'drizzle-orm'
import * as pg1 from 'drizzle-orm/pg-core'
import { drizzle as drizzle2 } from 'drizzle-v2/postgres-js'
import { defineRelations } from 'drizzle-v2'
import * as pg2 from 'drizzle-v2/pg-core'

const seconds = Number(process.argv[2] ?? 0)
const connection = { host: process.env.PGHOST, port: Number(process.env.PGPORT ?? 5432), user: process.env.PGUSER ?? 'postgres', database: process.env.PGDATABASE ?? 'bench', max: 1, onnotice: () => {} }

// names as in the database, so that rows can be compared
function tables(pg) {
  const time = (name) => pg.timestamp(name, { withTimezone: true, mode: 'date' })
  const common = () => ({ created_at: time('created_at'), updated_at: time('updated_at'), deleted_at: time('deleted_at') })
  const schema = pg.pgSchema('appdb')
  return {
    users: schema.table('users', { id: pg.uuid('id').primaryKey(), name: pg.text('name'), email: pg.text('email'), email_verified: pg.boolean('email_verified'), metadata: pg.jsonb('metadata'), ...common() }),
    spaces: schema.table('spaces', { id: pg.uuid('id').primaryKey(), organization_id: pg.uuid('organization_id'), owner_id: pg.uuid('owner_id'), name: pg.text('name'), metadata: pg.jsonb('metadata'), ...common() }),
    space_members: schema.table('space_members', { id: pg.uuid('id').primaryKey(), space_id: pg.uuid('space_id'), user_id: pg.uuid('user_id'), role: pg.text('role'), ...common() }),
    chats: schema.table('chats', { id: pg.uuid('id').primaryKey(), space_id: pg.uuid('space_id'), user_id: pg.uuid('user_id'), title: pg.text('title'), metadata: pg.jsonb('metadata'), ...common() }),
    messages: schema.table('messages', { id: pg.uuid('id').primaryKey(), space_id: pg.uuid('space_id'), chat_id: pg.uuid('chat_id'), user_id: pg.uuid('user_id'), role: pg.text('role'), content: pg.text('content'), input_tokens: pg.integer('input_tokens'), ...common() }),
    folders: schema.table('folders', { id: pg.uuid('id').primaryKey(), space_id: pg.uuid('space_id'), parent_id: pg.uuid('parent_id'), name: pg.text('name'), ...common() }),
    notes: schema.table('notes', { id: pg.uuid('id').primaryKey(), space_id: pg.uuid('space_id'), folder_id: pg.uuid('folder_id'), user_id: pg.uuid('user_id'), title: pg.text('title'), content: pg.text('content'), ...common() }),
  }
}

const t1 = tables(pg1)
const schema1 = {
  ...t1,
  users_relations: relations1(t1.users, ({ many }) => ({ memberships: many(t1.space_members) })),
  spaces_relations: relations1(t1.spaces, ({ many }) => ({ members: many(t1.space_members), chats: many(t1.chats) })),
  members_relations: relations1(t1.space_members, ({ one }) => ({ space: one(t1.spaces, { fields: [t1.space_members.space_id], references: [t1.spaces.id] }), user: one(t1.users, { fields: [t1.space_members.user_id], references: [t1.users.id] }) })),
  chats_relations: relations1(t1.chats, ({ one, many }) => ({ space: one(t1.spaces, { fields: [t1.chats.space_id], references: [t1.spaces.id] }), messages: many(t1.messages) })),
  messages_relations: relations1(t1.messages, ({ one }) => ({ chat: one(t1.chats, { fields: [t1.messages.space_id, t1.messages.chat_id], references: [t1.chats.space_id, t1.chats.id] }), author: one(t1.users, { fields: [t1.messages.user_id], references: [t1.users.id] }) })),
  notes_relations: relations1(t1.notes, ({ one }) => ({ author: one(t1.users, { fields: [t1.notes.user_id], references: [t1.users.id] }), folder: one(t1.folders, { fields: [t1.notes.space_id, t1.notes.folder_id], references: [t1.folders.space_id, t1.folders.id] }) })),
}
const t2 = tables(pg2)
const relations2 = defineRelations(t2, (r) => ({
  users: { spaces: r.many.spaces({ from: r.users.id.through(r.space_members.user_id), to: r.spaces.id.through(r.space_members.space_id) }) },
  spaces: { members: r.many.space_members({ from: r.spaces.id, to: r.space_members.space_id }), chats: r.many.chats({ from: r.spaces.id, to: r.chats.space_id }) },
  chats: { messages: r.many.messages({ from: [r.chats.space_id, r.chats.id], to: [r.messages.space_id, r.messages.chat_id] }) },
  messages: { author: r.one.users({ from: r.messages.user_id, to: r.users.id }) },
  notes: { author: r.one.users({ from: r.notes.user_id, to: r.users.id }), folder: r.one.folders({ from: [r.notes.space_id, r.notes.folder_id], to: [r.folders.space_id, r.folders.id] }) },
}))

const sql = postgres(connection)
const unprepared = postgres({ ...connection, prepare: false })
const client1 = postgres(connection)
const client2 = postgres(connection)
const db1 = drizzle1({ client: client1, schema: schema1 })
const db2 = drizzle2({ client: client2, relations: relations2 })
const find = async (s, entity, query) => (await s`SELECT appdb.find(entity => ${entity}, query => ${query}) AS rows`)[0].rows

const id = (kind, n) => `${String(kind).padStart(8, '0')}-0000-7000-8000-${String(n).padStart(12, '0')}`
const [size] = await sql`SELECT (SELECT count(*)::int FROM app_data.users) AS users, (SELECT count(*)::int FROM app_data.spaces) AS spaces, (SELECT count(*)::int FROM app_data.chats) AS chats`
const chat = (n) => id(4, n * 37 % size.chats + 1), user = (n) => id(1, n * 37 % size.users + 1), space = (n) => id(2, n * 37 % size.spaces + 1)
const email = (n) => `user${String(n * 37 % Math.floor(size.users * 0.9)).padStart(6, '0')}`
const columns = (t, name) => Object.keys(t[name]).filter((k) => !['enableRLS', '_', 'shouldOmitSQLParens', 'getSQL'].includes(k))
const c = Object.fromEntries(['users', 'spaces', 'space_members', 'chats', 'messages', 'folders', 'notes'].map((n) => [n, Object.fromEntries(columns(t1, n).map((k) => [k, true]))]))

const questions = [
  {
    name: 'Q1 a chat, its last 20 messages, authors',
    find: (s, n) => find(s, 'chats', { columns: c.chats, where: { id: chat(n) }, with: { messages: { columns: c.messages, orderBy: { id: 'desc' }, limit: 20, with: { author: { columns: c.users } } } } }),
    v1: (n) => db1.query.chats.findMany({ where: (t, { eq }) => eq(t.id, chat(n)), with: { messages: { orderBy: (t, { desc }) => desc(t.id), limit: 20, with: { author: true } } } }),
    v2: (n) => db2.query.chats.findMany({ where: { id: chat(n) }, with: { messages: { orderBy: { id: 'desc' }, limit: 20, with: { author: true } } } }),
  },
  {
    name: 'Q2 spaces, members, 5 chats, last message',
    find: (s, n) => find(s, 'spaces', { columns: c.spaces, where: { members: { user_id: user(n) } }, orderBy: { name: 'asc' }, with: { members: { columns: c.space_members, orderBy: { id: 'asc' } }, chats: { columns: c.chats, orderBy: { id: 'desc' }, limit: 5, with: { messages: { columns: c.messages, orderBy: { id: 'desc' }, limit: 1 } } } } }),
    v1: (n) => db1.query.spaces.findMany({ where: (t, { inArray }) => inArray(t.id, db1.select({ id: t1.space_members.space_id }).from(t1.space_members).where(eq1(t1.space_members.user_id, user(n)))), orderBy: (t, { asc }) => asc(t.name), with: { members: { orderBy: (t, { asc }) => asc(t.id) }, chats: { orderBy: (t, { desc }) => desc(t.id), limit: 5, with: { messages: { orderBy: (t, { desc }) => desc(t.id), limit: 1 } } } } }),
    v2: (n) => db2.query.spaces.findMany({ where: { members: { user_id: user(n) } }, orderBy: { name: 'asc' }, with: { members: { orderBy: { id: 'asc' } }, chats: { orderBy: { id: 'desc' }, limit: 5, with: { messages: { orderBy: { id: 'desc' }, limit: 1 } } } } }),
  },
  {
    name: 'Q3 50 notes, authors, folders',
    find: (s, n) => find(s, 'notes', { columns: c.notes, where: { space_id: space(n) }, orderBy: { id: 'desc' }, limit: 50, with: { author: { columns: c.users }, folder: { columns: c.folders } } }),
    v1: (n) => db1.query.notes.findMany({ where: (t, { eq }) => eq(t.space_id, space(n)), orderBy: (t, { desc }) => desc(t.id), limit: 50, with: { author: true, folder: true } }),
    v2: (n) => db2.query.notes.findMany({ where: { space_id: space(n) }, orderBy: { id: 'desc' }, limit: 50, with: { author: true, folder: true } }),
  },
  {
    name: 'Q4 20 users, their spaces',
    find: (s, n) => find(s, 'users', { columns: c.users, where: { email: { gt: email(n) } }, orderBy: { email: 'asc' }, limit: 20, with: { spaces: { columns: c.spaces, orderBy: { id: 'asc' } } } }),
    // version 1 has no many-to-many
    v1: async (n) => (await db1.query.users.findMany({ where: (t, { gt }) => gt(t.email, email(n)), orderBy: (t, { asc }) => asc(t.email), limit: 20, with: { memberships: { columns: {}, with: { space: true } } } })).map(({ memberships, ...user }) => ({ ...user, spaces: memberships.map((m) => m.space).filter((s) => s !== null).sort((a, b) => (a.id < b.id ? -1 : 1)) })),
    v2: (n) => db2.query.users.findMany({ where: { email: { gt: email(n) } }, orderBy: { email: 'asc' }, limit: 20, with: { spaces: { orderBy: { id: 'asc' } } } }),
  },
]
import { eq as eq1 } from 'drizzle-orm'

// The same with all columns, through find() and as SQL by hand.
const whole = [
  {
    find: (s, n) => find(s, 'chats', { where: { id: chat(n) }, with: { messages: { orderBy: { id: 'desc' }, limit: 20, with: { author: true } } } }),
    text: `SELECT COALESCE(json_agg(r), '[]') AS rows FROM (
      SELECT c.*, m.d AS messages FROM appdb.chats c
      LEFT JOIN LATERAL (SELECT COALESCE(json_agg(x), '[]') AS d FROM (
        SELECT m.*, a.d AS author FROM (SELECT m.* FROM appdb.messages m WHERE m.space_id = c.space_id AND m.chat_id = c.id ORDER BY m.id DESC LIMIT 20) m
        LEFT JOIN LATERAL (SELECT row_to_json(u) AS d FROM (SELECT u.* FROM appdb.users u WHERE u.id = m.user_id LIMIT 1) u) a ON true
        ORDER BY m.id DESC) x) m ON true
      WHERE c.id = $1) r`,
    value: chat,
  },
  {
    find: (s, n) => find(s, 'spaces', { where: { members: { user_id: user(n) } }, orderBy: { name: 'asc' }, with: { members: { orderBy: { id: 'asc' } }, chats: { orderBy: { id: 'desc' }, limit: 5, with: { messages: { orderBy: { id: 'desc' }, limit: 1 } } } } }),
    text: `SELECT COALESCE(json_agg(r), '[]') AS rows FROM (
      SELECT s.*, m.d AS members, c.d AS chats FROM appdb.spaces s
      LEFT JOIN LATERAL (SELECT COALESCE(json_agg(m), '[]') AS d FROM (SELECT m.* FROM appdb.space_members m WHERE m.space_id = s.id ORDER BY m.id) m) m ON true
      LEFT JOIN LATERAL (SELECT COALESCE(json_agg(x), '[]') AS d FROM (
        SELECT c.*, l.d AS messages FROM (SELECT c.* FROM appdb.chats c WHERE c.space_id = s.id ORDER BY c.id DESC LIMIT 5) c
        LEFT JOIN LATERAL (SELECT COALESCE(json_agg(l), '[]') AS d FROM (
          SELECT l.* FROM appdb.messages l WHERE l.space_id = c.space_id AND l.chat_id = c.id ORDER BY l.id DESC LIMIT 1) l) l ON true
        ORDER BY c.id DESC) x) c ON true
      WHERE EXISTS (SELECT FROM appdb.space_members j WHERE j.space_id = s.id AND j.user_id = $1)
      ORDER BY s.name) r`,
    value: user,
  },
  {
    find: (s, n) => find(s, 'notes', { where: { space_id: space(n) }, orderBy: { id: 'desc' }, limit: 50, with: { author: true, folder: true } }),
    text: `SELECT COALESCE(json_agg(r), '[]') AS rows FROM (
      SELECT n.*, a.d AS author, f.d AS folder FROM (SELECT n.* FROM appdb.notes n WHERE n.space_id = $1 ORDER BY n.id DESC LIMIT 50) n
      LEFT JOIN LATERAL (SELECT row_to_json(u) AS d FROM (SELECT u.* FROM appdb.users u WHERE u.id = n.user_id LIMIT 1) u) a ON true
      LEFT JOIN LATERAL (SELECT row_to_json(f) AS d FROM (SELECT f.* FROM appdb.folders f WHERE f.id = n.folder_id AND f.space_id = n.space_id LIMIT 1) f) f ON true
      ORDER BY n.id DESC) r`,
    value: space,
  },
  {
    find: (s, n) => find(s, 'users', { where: { email: { gt: email(n) } }, orderBy: { email: 'asc' }, limit: 20, with: { spaces: { orderBy: { id: 'asc' } } } }),
    text: `SELECT COALESCE(json_agg(r), '[]') AS rows FROM (
      SELECT u.*, s.d AS spaces FROM (SELECT u.* FROM appdb.users u WHERE u.email > $1 ORDER BY u.email LIMIT 20) u
      LEFT JOIN LATERAL (SELECT COALESCE(json_agg(s), '[]') AS d FROM (
        SELECT s.* FROM appdb.space_members j JOIN appdb.spaces s ON s.id = j.space_id WHERE j.user_id = u.id ORDER BY s.id) s) s ON true
      ORDER BY u.email) r`,
    value: email,
  },
]
whole.forEach((w, i) => { Object.assign(questions[i], { all: w.find, hand: async (s, n) => (await s.unsafe(w.text, [w.value(n)], { prepare: s === sql }))[0].rows }) })

// dates as JSON has them, keys in order
function plain(value, key) {
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.map((v) => plain(v))
  if (value !== null && typeof value === 'object') return Object.fromEntries(Object.keys(value).sort().map((k) => [k, plain(value[k], k)]))
  if (typeof value === 'string' && key?.endsWith('_at')) return new Date(value).toISOString()
  return value
}

let failed = 0, tests = 0
const check = (ok, name) => { console.log(`${ok ? 'ok' : 'not ok'} ${++tests} - ${name}`); if (!ok) failed++ }
for (const q of questions) {
  let rows = 0, v1 = true, v2 = true, hand = true
  for (let n = 1; n <= 10; n++) {
    const found = JSON.stringify(plain(await q.find(sql, n)))
    rows += found.split('{').length
    const a = JSON.stringify(plain(await q.v1(n))), b = JSON.stringify(plain(await q.v2(n)))
    if (found !== a) { v1 = false; console.log('# find()', found.slice(0, 700), '\n# v1    ', a.slice(0, 700)) }
    if (found !== b) { v2 = false; console.log('# find()', found.slice(0, 700), '\n# v2    ', b.slice(0, 700)) }
    const all = JSON.stringify(plain(await q.all(sql, n))), h = JSON.stringify(plain(await q.hand(unprepared, n)))
    if (all !== h) { hand = false; console.log('# find()', all.slice(0, 700), '\n# hand  ', h.slice(0, 700)) }
    if (!v1 || !v2 || !hand) break
  }
  check(v1 && rows > 100, `${q.name}: Drizzle's relational queries, version 1, give the same rows`)
  check(v2 && rows > 100, `${q.name}: version 2 gives the same rows`)
  check(hand, `${q.name}: SQL by hand gives the same rows`)
}
// the ways in which a client passes a query
const one = { columns: ['name'], where: { email: 'user000001@bench.example' } }
const expected = JSON.stringify([{ name: 'User 1' }])
const ways = {
  'an untyped parameter by position, as text': () => sql`SELECT appdb.find('users', ${JSON.stringify(one)}) AS r`,
  'two untyped parameters': () => sql`SELECT appdb.find(${'users'}, ${JSON.stringify(one)}) AS r`,
  'an object by name': () => sql`SELECT appdb.find('users', query => ${one}) AS r`,
  'an object cast to json': () => sql`SELECT appdb.find('users', ${one}::json) AS r`,
  'sql.json()': () => sql`SELECT appdb.find('users', ${sql.json(one)}) AS r`,
  'unprepared': () => unprepared`SELECT appdb.find('users', ${JSON.stringify(one)}) AS r`,
  'through Drizzle': async () => db1.execute(sql1`SELECT appdb.find('users', ${JSON.stringify(one)}::json) AS r`),
}
import { sql as sql1 } from 'drizzle-orm'
for (const [name, way] of Object.entries(ways)) {
  let r
  try { r = (await way())[0].r; if (typeof r === 'string') r = JSON.parse(r) } catch (e) { r = e.message }
  if (JSON.stringify(r) !== expected) console.log('#', JSON.stringify(r))
  check(JSON.stringify(r) === expected, `postgres.js: ${name}`)
}
console.log(`1..${tests}`)

if (seconds > 0) {
  const targets = [[3, 1.5], [2, 1.2], [2, 1.5], [1.7, 1.2]]
  const pids = await Promise.all([sql`SELECT pg_backend_pid() AS p`, unprepared`SELECT pg_backend_pid() AS p`, client1`SELECT pg_backend_pid() AS p`, client2`SELECT pg_backend_pid() AS p`])
  // hundredths of a second
  const ticks = (pid) => { const f = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '').split(' '); return Number(f[11]) + Number(f[12]) }
  const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e6 + pids.reduce((sum, [r]) => sum + ticks(r.p), 0) / 100 }
  const median = (a) => a.sort((x, y) => x - y)[a.length >> 1]
  for (const [i, q] of questions.entries()) {
    const ways = { 'find()': (n) => q.find(sql, n), 'Drizzle v1': q.v1, 'Drizzle v2': q.v2, 'find() unprepared': (n) => q.all(unprepared, n), 'by hand unprepared': (n) => q.hand(unprepared, n), 'find() all columns': (n) => q.all(sql, n), 'by hand prepared': (n) => q.hand(sql, n) }
    const rates = Object.fromEntries(Object.keys(ways).map((k) => [k, []]))
    let n = 0
    for (let round = 0; round <= 5; round++) {
      for (const [name, way] of Object.entries(ways)) {
        const start = cpu()
        let count = 0
        do { await way(++n); count++ } while (count % 10 > 0 || cpu() - start < seconds / 5)
        if (round > 0) rates[name].push(count / (cpu() - start))
      }
    }
    for (const name of Object.keys(ways)) console.log(`# ${q.name}: ${name}`.padEnd(66), median(rates[name]).toFixed(0).padStart(6), 'requests/s of CPU')
    const ratio = (x, y, target) => { const r = median(rates[x]) / median(rates[y]); console.log(`# ${q.name}: ${x} / ${y}`.padEnd(82), r.toFixed(2), target ? `target >= ${target}${r < target ? '   MISSED' : ''}` : '') }
    ratio('find()', 'Drizzle v1')
    ratio('find()', 'Drizzle v2', targets[i][0])
    ratio('find() unprepared', 'by hand unprepared', targets[i][1])
    ratio('find() all columns', 'by hand prepared')
  }
}
await Promise.all([sql.end(), unprepared.end(), client1.end(), client2.end()])
process.exit(failed ? 1 : 0)
