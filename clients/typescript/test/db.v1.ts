// Drizzle 0.45
import { drizzle as onPg } from 'drizzle-orm/node-postgres'
import { drizzle } from 'drizzle-orm/postgres-js'
import type postgres from 'postgres'
import * as schema from './schema'

export const version = '0.45'
export const open = (client: postgres.Sql) => drizzle(client, { schema })
export const openCached = (client: postgres.Sql, cache: any) => drizzle(client, { schema, cache })
export const openPg = (client: any) => onPg(client, { schema })
/** one table's rows with a relation, in the order of ids */
export const related = (db: any, table: string, relation: string, many: boolean) =>
  db.query[table].findMany({ orderBy: (t: any, { asc }: any) => asc(t.id), with: { [relation]: many ? { orderBy: (t: any, { asc }: any) => asc(t.id) } : true } })
/** whether this version knows relations through a join table */
export const through = false
