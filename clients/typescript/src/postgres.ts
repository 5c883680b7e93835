// For SQL by hand, through postgres.js or Bun's own SQL, which is like it.

import { makeFinder, type Finder as AnyFinder, type Meta } from './find.js'
import { begin, identify, refuseNested, warnUnsecured, type TransactionOptions, type Who } from './identity.js'
import { configOf, isNew, transactionTimeouts } from './state.js'

/** what is needed of a client or a transaction */
export interface AnySql {
  unsafe(query: string, values?: any[], options?: any): PromiseLike<any>
  readonly options?: object
}
export interface Begins<Tx extends AnySql> extends AnySql {
  begin(options: string, run: (tx: Tx) => any): Promise<any>
  readonly options: object
}

/** One transaction in which this user is asking: row security shows what is theirs. An error rolls it back. */
export async function withUser<Tx extends AnySql, T>(sql: Begins<Tx>, who: Who, run: (sql: Tx) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
  refuseNested('savepoint' in sql || typeof sql.begin !== 'function')
  const config = configOf(sql)
  const { before, value, after } = identify(who, transactionTimeouts(config), isNew(sql.options))
  return (await sql.begin(begin(options), async (tx) => {
    warnUnsecured(await tx.unsafe(`${before}$1${after}`, [value], { prepare: config?.prepare ?? false }))
    return await run(tx)
  })) as T
}

/** find() and findOne() through this client. */
export type Finder<E extends object> = AnyFinder<AnySql, E>

/** Makes them for generated entities. */
export function finder<E extends object>(meta: Meta): Finder<E> {
  return makeFinder<AnySql, E>(meta, async (sql, name, entity, query) => {
    const rows = await sql.unsafe(`SELECT appdb.${name}($1, $2::text) AS result`, [entity, query], { prepare: configOf(sql)?.prepare ?? false })
    return rows[0]!.result
  })
}

export type { Who, TransactionOptions } from './identity.js'
