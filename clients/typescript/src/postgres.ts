// For SQL by hand, through postgres.js.

import type postgres from 'postgres'
import { makeFinder, type Finder as AnyFinder, type Meta } from './find.js'
import { begin, identify, refuseNested, warnUnsecured, type TransactionOptions, type Who } from './identity.js'
import { configOf, isNew, transactionTimeouts } from './state.js'

type Sql = postgres.Sql<any>
export type AnySql = postgres.Sql<any> | postgres.TransactionSql<any>

/** One transaction in which this user is asking: row security shows what is theirs. An error rolls it back. */
export async function withUser<T>(sql: Sql, who: Who, run: (sql: postgres.TransactionSql) => Promise<T> | T, options?: TransactionOptions): Promise<T> {
  refuseNested(typeof sql.begin !== 'function')
  const config = configOf(sql)
  const { before, value, after } = identify(who, transactionTimeouts(config), isNew(sql.options))
  return (await sql.begin(begin(options), async (tx: postgres.TransactionSql) => {
    warnUnsecured(await tx.unsafe(`${before}$1${after}`, [value], { prepare: config?.prepare ?? false }))
    return await run(tx)
  })) as T
}

/** find() and findOne() through this client. */
export type Finder<E extends object> = AnyFinder<AnySql, E>

/** Makes them for generated entities. */
export function finder<E extends object>(meta: Meta): Finder<E> {
  return makeFinder<AnySql, E>(meta, async (sql, name, entity, query) => {
    const rows = await sql.unsafe(`SELECT appdb.${name}($1, $2::text) AS result`, [entity, query], { prepare: configOf(sql as Sql)?.prepare ?? false })
    return rows[0]!.result
  })
}

export type { Who, TransactionOptions } from './identity.js'
