// Names in the database, and what they are called in TypeScript.

/** snake_case to camelCase, as appdb.find() does it. */
export function camel(name: string): string {
  return name.replace(/(?<=.)_([a-z0-9])/g, (_, c: string) => c.toUpperCase())
}

export function pascal(name: string): string {
  const c = camel(name).replace(/[^A-Za-z0-9_$]/g, '_')
  return c.charAt(0).toUpperCase() + c.slice(1)
}

const reserved = new Set((
  'abstract any as async await boolean break case catch class const continue debugger declare default delete do else enum export extends false finally for from ' +
  'function get if implements import in instanceof interface let module namespace never new null number object of package private protected public require return ' +
  'set static string super switch symbol this throw true try type typeof undefined unknown var void while with yield ' +
  // what the modules import and declare
  'sql relations appdb appData bytea other pgEnum pgSchema pgTable customType bigint char cidr date doublePrecision inet integer interval json jsonb macaddr macaddr8 numeric real smallint text time ' +
  'timestamp uuid varchar').split(' '))

/** A name for an exported constant. */
export function identifier(name: string, suffix = 'Table'): string {
  const c = camel(name).replace(/[^A-Za-z0-9_$]/g, '_').replace(/^[0-9]/, '_$&')
  return reserved.has(c) ? c + suffix : c
}

/** A name for a schema. */
export function schemaName(schema: string): string {
  return schema === 'appdb' || schema === 'app_data' ? camel(schema) : `${identifier(schema, '')}Schema`
}

/** A key of an object: quoted where it has to be. */
export function key(name: string): string {
  return /^[A-Za-z_$][A-Za-z0-9_$]*$/.test(name) ? name : quote(name)
}

export function quote(text: string): string {
  return `'${text.replace(/\\/g, '\\\\').replace(/'/g, "\\'").replace(/\n/g, '\\n').replace(/\r/g, '\\r')}'`
}

/** The singular of an English plural, as far as rules go: for the names of types. */
export function singular(name: string): string {
  if (/ies$/.test(name) && name.length > 4) return name.slice(0, -3) + 'y'
  if (/(ss|us|is)$/.test(name)) return name
  if (/(sses|shes|ches|xes|zes)$/.test(name)) return name.slice(0, -2)
  return name.replace(/s$/, '')
}

/** A comment before a declaration; nothing where there is none. */
export function doc(comment: string | null | undefined, indent = ''): string {
  if (!comment) return ''
  const lines = comment.replace(/\*\//g, '*\\/').split('\n')
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`
  return `${indent}/**\n${lines.map((l) => `${indent} * ${l}\n`).join('')}${indent} */\n`
}
