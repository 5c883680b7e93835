// For Kysely, whichever dialect of PostgreSQL it has.

import { sql, type Kysely, type Transaction } from 'kysely'
import { makeFinder, type Finder as AnyFinder, type Meta } from './find.js'
import { identify, refuseNested, warnUnsecured, type TransactionOptions, type Who } from './identity.js'
import { isNew } from './state.js'

/** One transaction in which this user is asking: row security shows what is theirs. An error rolls it back. */
export async function withUser<DB, T>(db: Kysely<DB>, who: Who, run: (tx: Transaction<DB>) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
  refuseNested(db.isTransaction)
  const { before, value, after } = identify(who, {}, isNew(db.getExecutor().adapter))
  let transaction = db.transaction()
  if (options?.isolationLevel) transaction = transaction.setIsolationLevel(options.isolationLevel)
  if (options?.accessMode) transaction = transaction.setAccessMode(options.accessMode)
  return await transaction.execute(async (tx) => {
    warnUnsecured(await sql`${sql.raw(before)}${value}${sql.raw(after)}`.execute(tx))
    return await run(tx)
  })
}

/** find() and findOne() through this client. */
export type Finder<E extends object> = AnyFinder<Kysely<any>, E>

/** Makes them for generated entities. */
export function finder<E extends object>(meta: Meta): Finder<E> {
  return makeFinder<Kysely<any>, E>(meta, async (db, name, entity, query) => {
    const { rows } = await sql<{ result: unknown }>`SELECT appdb.${sql.raw(name)}(${entity}, ${query}::text) AS result`.execute(db)
    return rows[0]!.result
  })
}

export type { Who, TransactionOptions } from './identity.js'
