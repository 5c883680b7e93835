// Types, for the compiler: this file is never run. What must not compile is marked, and an error is missing where it does.

import type { find as Find, findOne as FindOne } from './schema/find'
import type { Chat, NewChat, NewSession, NewSample, Sample, Task } from './schema'
import type { DB, CamelDB, QualifiedDB } from './schema/kysely'
import type { withUser as BySql } from 'appdb-client/postgres'
import type { Kysely } from 'kysely'
import type postgres from 'postgres'

declare const find: typeof Find
declare const findOne: typeof FindOne
declare const db: Parameters<typeof Find>[0]

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
/** the same, however it is put together */
type Flat<T> = T extends Date | Uint8Array ? T : T extends readonly (infer I)[] ? Flat<I>[] : T extends object ? { [K in keyof T]: Flat<T[K]> } : T
type Is<A, B> = Equal<Flat<A>, B>
type All<T extends true[]> = T

// == rows ===================================================================

export type rows = All<[
  Is<Pick<Chat, 'id' | 'title' | 'createdAt' | 'deletedAt' | 'visibility'>, { id: string; title: string | null; createdAt: Date; deletedAt: Date | null; visibility: 'private' | 'space' | 'public' }>,
  // what may be left out
  Is<NewChat['id'], string | undefined>,
  Equal<{ spaceId: string } extends NewChat ? true : false, true>,
  Equal<{} extends NewChat ? true : false, false>,
  // token_hash is filled by the engine
  Equal<{ userId: string; expiresAt: Date } extends NewSession ? true : false, true>,
  Is<Sample['big'], bigint>,
  Is<Sample['price'], string | null>,
  Is<Sample['zoned'], Date[] | null>,
  Is<Sample['moods'], ('happy' | "it's" | 'so so')[] | null>,
  Is<Sample['things'], unknown[]>,
  Is<Sample['odd name'], string | null>,
  Is<Task['dependsOn'], string[] | null>,
  // generated: not to be given
  Equal<'twice' extends keyof NewSample ? true : false, false>,
]>

// == find() =================================================================

export async function results() {
  const all = await find(db, 'chats')
  const some = await find(db, 'chats', { columns: ['id', 'title'] })
  const only = await find(db, 'chats', { columns: { id: true, createdAt: true } })
  const without = await find(db, 'folders', { columns: { metadata: false, createdAt: false, updatedAt: false, deletedAt: false } })
  const none = await find(db, 'chats', { columns: [], with: { author: { columns: ['name'] } } })
  const nested = await find(db, 'chats', {
    columns: ['id'],
    with: {
      space: { columns: ['name'] },
      messages: { columns: ['content', 'role'], limit: 5, orderBy: { id: 'desc' }, with: { author: { columns: ['id'] }, files: false } },
    },
  })
  const one = await findOne(db, 'users', { columns: ['name'], where: { email: 'a@b' } })
  const counted = await find(db, 'spaces', { columns: ['id'], count: { '*': true, chats: true, messages: { where: { role: 'user' } } } })
  const total = await find(db, 'spaces', { columns: ['id'], count: true })
  const through = await find(db, 'users', { columns: ['id'], with: { spaces: { columns: ['name'], through: { columns: ['role'] } } } })
  const paged = await find(db, 'users', { columns: ['id'], cursor: true, limit: 10 })
  const extras = await find(db, 'folders', { columns: ['id'], extras: ['path'] })
  const own = await find(db, 'samples', { columns: ['big', 'price', 'bytes', 'zoned', 'mood', 'half', 'shares', 'tags', 'spot', 'spots'], extras: ['samplesHalf', 'samplesTwice'] })
  const inner = await find(db, 'chats', { columns: [], with: { messages: { columns: ['id'], count: true } } })
  const fixed = { columns: ['id'], with: { author: true } } as const
  const reused = await find(db, 'chats', fixed)

  const checks: All<[
    Is<typeof all, { id: string; spaceId: string; userId: string | null; title: string | null; visibility: 'private' | 'space' | 'public'; model: string | null; archivedAt: Date | null; metadata: Record<string, unknown>; createdAt: Date; updatedAt: Date; deletedAt: Date | null }[]>,
    Is<typeof some, { id: string; title: string | null }[]>,
    Is<typeof only, { id: string; createdAt: Date }[]>,
    Is<typeof without, { id: string; spaceId: string; parentId: string | null; name: string; position: number }[]>,
    Is<typeof none, { author: { name: string | null } | null }[]>,
    Is<typeof nested, { id: string; space: { name: string } | null; messages: { content: string; role: 'system' | 'user' | 'assistant' | 'tool'; author: { id: string } | null }[] }[]>,
    Is<typeof one, { name: string | null } | null>,
    Is<typeof counted, { rows: { id: string; _count: { chats: number; messages: number } }[]; count: number }>,
    Is<typeof total, { rows: { id: string }[]; count: number }>,
    Is<typeof through, { id: string; spaces: { name: string; _through: { role: 'viewer' | 'editor' | 'admin' | 'owner' } }[] }[]>,
    Is<typeof paged, { id: string; _cursor: string }[]>,
    Is<typeof extras, { id: string; path: string | null }[]>,
    Is<typeof own, { big: bigint; price: string | null; bytes: Uint8Array | null; zoned: Date[] | null; mood: 'happy' | "it's" | 'so so'; half: number | null; shares: number[] | null; tags: string[] | null; spot: Record<string, unknown> | null; spots: Record<string, unknown>[] | null; samplesHalf: number | null; samplesTwice: number | null }[]>,
    Is<typeof inner, { messages: { rows: { id: string }[]; count: number } }[]>,
    Is<(typeof reused)[number]['id'], string>,
  ]> = null!
  void checks

  // conditions by the types of columns
  await find(db, 'messages', {
    where: {
      role: { in: ['user', 'assistant'] }, createdAt: { gte: new Date(), lt: '2030-01-01' }, content: { ilike: '%x%' }, parentId: null, inputTokens: { gt: 5 },
      chat: { space: { name: 'Editorial' } }, author: false, OR: [{ userId: { isNull: true } }, { NOT: { files: true } }], metadata: { contains: { a: 1 } }, model: { OR: ['a', { like: 'b%' }] },
    },
    orderBy: [{ createdAt: 'desc nulls last' }, 'id', { author: { name: 'asc' } }],
    distinct: ['chatId'], offset: 2, deleted: 'include',
  })
  await find(db, 'tasks', { where: { dependsOn: { arrayContains: ['x'] } } })

  // == what must not compile ================================================

  // @ts-expect-error there is no such entity
  await find(db, 'chat')
  // @ts-expect-error no such column
  await find(db, 'chats', { columns: ['nmae'] })
  // @ts-expect-error no such column
  await find(db, 'chats', { columns: { nmae: true } })
  // @ts-expect-error no such relation
  await find(db, 'chats', { with: { mesages: true } })
  // @ts-expect-error no such relation, further down
  await find(db, 'chats', { with: { messages: { with: { autor: true } } } })
  // @ts-expect-error no such column, further down
  await find(db, 'chats', { with: { messages: { columns: { contents: true } } } })
  // @ts-expect-error no such key
  await find(db, 'chats', { limits: 5 })
  // @ts-expect-error no such key, further down
  await find(db, 'chats', { with: { messages: { take: 5 } } })
  // @ts-expect-error a to-one relation has no limit
  await find(db, 'chats', { with: { author: { limit: 1 } } })
  // @ts-expect-error no such column in a condition
  await find(db, 'chats', { where: { nmae: 'x' } })
  // @ts-expect-error no such column in a condition of a related row
  await find(db, 'chats', { where: { messages: { contents: 'x' } } })
  // @ts-expect-error no such column within OR
  await find(db, 'chats', { where: { OR: [{ nmae: 'x' }] } })
  // @ts-expect-error not a value of the enum
  await find(db, 'chats', { where: { visibility: 'secret' } })
  // @ts-expect-error a time is no number
  await find(db, 'chats', { where: { createdAt: { gt: 5 } } })
  // @ts-expect-error no such operator
  await find(db, 'chats', { where: { title: { startsWith: 'x' } } })
  // @ts-expect-error numbers are not like anything
  await find(db, 'messages', { where: { inputTokens: { like: 'x' } } })
  // @ts-expect-error not a direction
  await find(db, 'chats', { orderBy: { id: 'down' } })
  // @ts-expect-error no such extra
  await find(db, 'chats', { extras: ['path'] })
  // @ts-expect-error only many-to-many relations have a join table
  await find(db, 'chats', { with: { messages: { through: true } } })
  // @ts-expect-error that column was not asked for
  some[0]!.createdAt
  // @ts-expect-error there may be no author
  none[0]!.author.name
  // @ts-expect-error counts only of relations
  await find(db, 'spaces', { count: { chat: true } })
}

// == Kysely =================================================================

export async function kysely(db: Kysely<DB>, qualified: Kysely<QualifiedDB>, camel: Kysely<CamelDB>) {
  const rows = await db.selectFrom('chats').innerJoin('spaces', 'spaces.id', 'chats.space_id').select(['chats.id', 'chats.created_at', 'spaces.name', 'chats.title']).execute()
  const tables = await qualified.selectFrom('appdb.samples').select(['big', 'mood', 'bytes']).execute()
  const names = await camel.selectFrom('spaceMembers').select(['createdAt', 'role']).execute()
  const checks: All<[
    Is<typeof rows, { id: string; created_at: Date; name: string; title: string | null }[]>,
    Is<typeof tables, { big: string; mood: 'happy' | "it's" | 'so so'; bytes: Uint8Array | null }[]>,
    Is<typeof names, { createdAt: Date; role: 'viewer' | 'editor' | 'admin' | 'owner' }[]>,
  ]> = null!
  void checks
  await db.insertInto('samples').values({ flag: true, big: 5n }).execute()
  // @ts-expect-error flag has to be given
  await db.insertInto('samples').values({ big: 5n }).execute()
  // @ts-expect-error generated
  await db.insertInto('samples').values({ flag: true, twice: 5 }).execute()
  // @ts-expect-error no such column
  await db.selectFrom('chats').select('nmae').execute()
}

// == SQL by hand ============================================================

/** Bun's SQL, as its types have it */
interface BunTx { <T = any>(text: TemplateStringsArray, ...values: unknown[]): Promise<T>; unsafe<T = any>(text: string, values?: any[]): Promise<T>; savepoint<T>(run: (tx: BunTx) => T | Promise<T>): Promise<T>; options: { max?: number } }
interface BunSQL extends Omit<BunTx, 'savepoint'> { begin<T>(run: (tx: BunTx) => T | Promise<T>): Promise<T>; begin<T>(options: string, run: (tx: BunTx) => T | Promise<T>): Promise<T> }

export async function hand(bySql: typeof BySql, client: postgres.Sql<{}>, bun: BunSQL) {
  const rows = await bySql(client, 'token', (tx) => tx<{ a: number }[]>`SELECT 1 AS a`)
  const found = await bySql(bun, { token: 'token' }, async (tx) => { await tx.savepoint((s) => s`SELECT 1`); return 1 })
  const checks: All<[Equal<(typeof rows)[number]['a'], number>, Equal<typeof found, number>]> = null!
  void checks
  // @ts-expect-error a transaction: whoever began it is asking
  await bySql(client, 'token', (tx) => bySql(tx, 'token', () => 1))
}
