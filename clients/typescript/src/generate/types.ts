// What a column is in TypeScript: for Drizzle, for Kysely, and in the rows that find() returns.

import type { Column } from './catalog.js'
import { camel, identifier, key, quote } from './names.js'

/** bigints of appdb's own that are always exact as a number: seconds since 1970, sizes of files */
const exactNumbers = new Set(['accounts.expires_at', 'files.size_bytes'])

export type BigintMode = 'bigint' | 'number'

/** How find() has to convert what JSON holds: nothing said, as it is. */
export type Convert = 'date' | 'utc' | 'bytes' | 'bigint' | 'number'

export interface ColumnType {
  /** what Drizzle calls it: the builder's name, and its options */
  builder: string
  options: string
  /** where the builder comes from */
  from: 'pg-core' | 'schemas' | 'enum'
  /** what is after the call: ".$type<…>()" */
  rest: string
  /** in Drizzle's rows, and in those of find() unless "found" says another */
  type: string
  found?: string
  convert?: Convert
  /** in Kysely's rows, and what may be inserted */
  select: string
  insert: string
}

const strings = new Set(['uuid', 'text', 'inet', 'cidr', 'macaddr', 'macaddr8'])

export function columnType(entity: string, column: Pick<Column, 'name' | 'type' | 'typeSchema' | 'typeName' | 'enum' | 'composite' | 'domain' | 'json'>, bigint: BigintMode, enumValues?: string[]): ColumnType {
  const of = (builder: string, type: string, more: Partial<ColumnType> = {}): ColumnType => ({
    builder, options: '', from: 'pg-core', rest: '', type, select: type, insert: type, ...more,
  })
  const modifiers = /\(([^)]*)\)/.exec(column.type)?.[1]
  const precision = modifiers === undefined ? '' : `precision: ${modifiers}`
  const options = (...o: string[]) => { const given = o.filter((x) => x !== ''); return given.length ? `{ ${given.join(', ')} }` : '' }

  if (column.domain !== null) {
    const { type, found = type, convert } = columnType(entity, { ...column, domain: null }, bigint, enumValues)
    return of('other', 'string', { from: 'schemas', options: quote(column.domain), found, ...(convert ? { convert } : {}) })
  }
  if (column.enum) {
    const union = (enumValues ?? []).map(quote).join(' | ') || 'string'
    return of(identifier(column.typeName, 'Enum'), union, { from: 'enum' })
  }
  if (column.typeSchema === 'pg_catalog') {
    if (strings.has(column.typeName)) return of(column.typeName, 'string')
    switch (column.typeName) {
      case 'bool': return of('boolean', 'boolean')
      case 'int2': return of('smallint', 'number')
      case 'int4': return of('integer', 'number')
      case 'oid': return of('integer', 'number')
      case 'float4': return of('real', 'number')
      case 'float8': return of('doublePrecision', 'number')
      case 'int8': {
        const mode = exactNumbers.has(`${entity}.${column.name}`) ? 'number' : bigint
        return of('bigint', mode, { options: `{ mode: '${mode}' }`, convert: mode, select: 'string', insert: 'string | number | bigint' })
      }
      case 'numeric': {
        const [p, s] = modifiers?.split(',') ?? []
        return of('numeric', 'string', { options: options(p ? `precision: ${p}` : '', s && s !== '0' ? `scale: ${s}` : ''), insert: 'string | number' })
      }
      case 'varchar': return of('varchar', 'string', { options: options(modifiers ? `length: ${modifiers}` : '') })
      case 'bpchar': return of('char', 'string', { options: options(modifiers ? `length: ${modifiers}` : '') })
      case 'timestamptz':
        return of('timestamp', 'Date', { options: options('withTimezone: true', precision), convert: 'date', insert: 'Date | string' })
      case 'timestamp':
        return of('timestamp', 'Date', { options: options(precision), convert: 'utc', insert: 'Date | string' })
      case 'date': return of('date', 'string', { select: 'Date', insert: 'Date | string' })
      case 'time': return of('time', 'string', { options: options(precision) })
      case 'timetz': return of('time', 'string', { options: options('withTimezone: true', precision) })
      case 'interval': return of('interval', 'string', {})
      case 'json':
      case 'jsonb': {
        const type = column.json === 'object' ? 'Record<string, unknown>' : column.json === 'array' ? 'unknown[]' : 'unknown'
        return of(column.typeName, type, { rest: type === 'unknown' ? '' : `.$type<${type}>()` })
      }
      case 'bytea': return of('bytea', 'Uint8Array', { from: 'schemas', convert: 'bytes' })
    }
  }
  // whatever else there is: as text, but for rows in JSON
  return of('other', 'string', { from: 'schemas', options: quote(column.type), ...(column.composite ? { found: 'Record<string, unknown>' } : {}) })
}

/** The default as Drizzle writes it; the database fills it in. */
export function defaultOf(column: Column): string {
  if (column.identity === 'a') return '.generatedAlwaysAsIdentity()'
  if (column.identity === 'd') return '.generatedByDefaultAsIdentity()'
  const template = (e: string) => `sql\`${e.replace(/[\\`]/g, '\\$&').replace(/\$\{/g, '\\${')}\``
  if (column.generated !== null) return `.generatedAlwaysAs(${template(column.generated)})`
  if (column.default === null) return ''
  if (column.dimensions === 0) {
    if (column.default === 'now()' && /^timestamp/.test(column.typeName)) return '.defaultNow()'
    if (column.typeName === 'bool') return `.default(${column.default})`
    if (/^(int2|int4|float4|float8)$/.test(column.typeName) && /^-?[0-9]+(\.[0-9]+)?$/.test(column.default)) return `.default(${column.default})`
    const literal = /^'((?:[^'\\]|'')*)'::(?:[a-z_]+\.)?"?[a-z_ ]+"?$/.exec(column.default)
    if (literal && (column.enum || /^(text|varchar|bpchar)$/.test(column.typeName))) return `.default(${quote(literal[1]!.replace(/''/g, "'"))})`
  }
  return `.default(${template(column.default)})`
}

/** What the engine fills where nothing is given, though no default says so. */
const filled = new Set(['sessions.token_hash', 'subscriptions.reference_id'])

export function isFilled(entity: string, column: Column): boolean {
  return filled.has(`${entity}.${column.name}`)
}

export function optionalOnInsert(entity: string, column: Column): boolean {
  return !column.notNull || column.default !== null || column.identity !== '' || isFilled(entity, column)
}

export { camel, key }
