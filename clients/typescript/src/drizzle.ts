// For Drizzle, 0.45 and 1.0, with postgres.js or node-postgres.

import { is, sql, type SQL } from 'drizzle-orm'
import { Cache, NoopCache } from 'drizzle-orm/cache/core'
import { makeFinder, type Finder as AnyFinder, type Meta } from './find.js'
import { identify, refuseNested, warnUnsecured, type TransactionOptions, type Who } from './identity.js'
import { configOf, isNew, transactionTimeouts } from './state.js'

/** what is needed of a Drizzle database or transaction, whatever its version */
export interface Executes {
  execute(query: SQL): PromiseLike<unknown>
}
export interface Transacts<Tx> extends Executes {
  transaction<T>(run: (tx: Tx) => Promise<T>, options?: any): Promise<T>
}

/** One transaction in which this user is asking: row security shows what is theirs. An error rolls it back. */
export async function withUser<Tx extends Executes, T>(db: Transacts<Tx>, who: Who, run: (tx: Tx) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
  refuseNested('rollback' in db)
  const cache = (db as { $cache?: unknown }).$cache
  if (is(cache, Cache) && !is(cache, NoopCache) && cache.strategy() === 'all')
    throw new TypeError(`withUser() on a database whose cache answers every query: it does not know who asks, and would show a user another's rows. Give drizzle() no cache, or one whose strategy is 'explicit'`)
  const client = (db as { $client?: { options: unknown } }).$client
  const { before, value, after } = identify(who, transactionTimeouts(configOf(client)), isNew(client?.options as object ?? db))
  return await db.transaction(async (tx) => {
    warnUnsecured(await tx.execute(sql`${sql.raw(before)}${value}${sql.raw(after)}`))
    return await run(tx)
  }, options)
}

/** find() and findOne() through this client. */
export type Finder<E extends object> = AnyFinder<Executes, E>

/** Makes them for generated entities. */
export function finder<E extends object>(meta: Meta): Finder<E> {
  return makeFinder<Executes, E>(meta, async (db, name, entity, query) => {
    const result = await db.execute(sql`SELECT appdb.${sql.raw(name)}(${entity}, ${query}::text) AS result`)
    // postgres.js: a list of rows; node-postgres: an object that has it
    const rows = (Array.isArray(result) ? result : (result as { rows: unknown[] }).rows) as { result: unknown }[]
    return rows[0]!.result
  })
}

export type { Who, TransactionOptions } from './identity.js'
