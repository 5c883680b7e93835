// Drizzle 1.0
import { drizzle as onPg } from 'drizzle-orm/node-postgres'
import { drizzle } from 'drizzle-orm/postgres-js'
import type postgres from 'postgres'
import { relations } from './schema'

export const version = '1.0'
export const open = (client: postgres.Sql) => drizzle({ client, relations })
export const related = (db: any, table: string, relation: string, many: boolean) =>
  db.query[table].findMany({ orderBy: { id: 'asc' }, with: { [relation]: many ? { orderBy: { id: 'asc' } } : true } })
export const through = true
export const openCached = (client: postgres.Sql, cache: any) => drizzle({ client, relations, cache })
export const openPg = (client: any) => onPg({ client, relations })
