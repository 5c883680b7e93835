#!/usr/bin/env node
// appdb-generate: writes the TypeScript modules of a database's managed tables.

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { close, connect } from '../connect.js'
import { ConfigError } from '../config.js'
import { diagnose } from '../diagnose.js'
import { catalogQuery, type Catalog } from './catalog.js'
import { GenerateError, render, type Options } from './render.js'
import { compare, write } from './write.js'

const usage = `appdb-generate: TypeScript modules of a database's managed tables

  appdb-generate [--out DIRECTORY] [options]

  --out DIRECTORY      where the modules go (db/schema)
  --url URL            the database; without it DATABASE_URL, or PGHOST and so on
  --check              write nothing; exit with 1 where the modules are not what the database says
  --client CLIENT      what find() goes through: drizzle, postgres, kysely, none (drizzle, where it is installed)
  --relations STYLE    v1: relations() of Drizzle 0.45; v2: defineRelations() of 1.0; both (the one that fits the installed Drizzle)
  --kysely             types for Kysely, too
  --no-drizzle         no Drizzle modules
  --module NAME=T,T    tables of your own that are a module NAME together (the others: app); may be given several times
  --extension EXT      the end of imports: none, js, ts (none; js for Node without a bundler)
  --bigint TYPE        what bigint columns of your own are: bigint, number (bigint)
  --runtime NAME       where the package is imported from (appdb-client)
`

async function main(): Promise<number> {
  let values
  try {
    ;({ values } = parseArgs({
      options: {
        out: { type: 'string', default: 'db/schema' }, url: { type: 'string' }, check: { type: 'boolean', default: false }, client: { type: 'string' },
        relations: { type: 'string' }, kysely: { type: 'boolean', default: false }, 'no-drizzle': { type: 'boolean', default: false },
        module: { type: 'string', multiple: true, default: [] }, extension: { type: 'string', default: 'none' }, bigint: { type: 'string', default: 'bigint' },
        runtime: { type: 'string', default: 'appdb-client' }, help: { type: 'boolean', short: 'h', default: false },
      },
    }))
  } catch (error) {
    return fail((error as Error).message, 'appdb-generate --help lists the options.')
  }
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const oneOf = <T extends string>(name: string, value: string, all: readonly T[]): T => {
    if (!all.includes(value as T)) throw new GenerateError(`--${name} ${value}: one of ${all.join(', ')} expected`)
    return value as T
  }
  const drizzle = installed('drizzle-orm')
  const modules: Record<string, string[]> = {}
  for (const m of values.module) {
    const [name, tables] = m.split('=')
    if (!name || !tables) throw new GenerateError(`--module ${m}: NAME=table,table expected`)
    modules[name] = [...(modules[name] ?? []), ...tables.split(',')]
  }
  const options: Options = {
    drizzle: !values['no-drizzle'],
    client: oneOf('client', values.client ?? (values['no-drizzle'] ? (values.kysely ? 'kysely' : 'postgres') : 'drizzle'), ['drizzle', 'postgres', 'kysely', 'none']),
    relations: oneOf('relations', values.relations ?? (drizzle !== undefined && Number(drizzle.split('.')[0]) >= 1 ? 'v2' : 'v1'), ['v1', 'v2', 'both']),
    kysely: values.kysely,
    extension: { none: '', js: '.js', ts: '.ts' }[oneOf('extension', values.extension, ['none', 'js', 'ts'])],
    bigint: oneOf('bigint', values.bigint, ['bigint', 'number']),
    runtime: values.runtime,
    modules,
  }

  const sql = connect({ ...(values.url !== undefined && { url: values.url }), poolSize: 1, applicationName: 'appdb-generate' })
  const errors = (await diagnose(sql)).filter((f) => f.level === 'error' && f.code !== 'no-access')
  if (errors.length > 0) return fail(errors[0]!.message, errors[0]!.hint)
  const catalog = (await sql.unsafe(catalogQuery))[0]!.catalog as Catalog
  const files = render(catalog, options)
  const out = resolve(values.out)

  if (values.check) {
    const differences = compare(out, files)
    for (const d of differences) console.error(`${join(values.out, d.file)}: ${{ new: 'missing', changed: 'not what the database says', gone: 'no longer in the database' }[d.what]}`)
    if (differences.length > 0) return fail(`${values.out} is not what the database says`, 'Run appdb-generate without --check, and commit what it writes.')
    console.log(`${values.out} is what the database says`)
    return 0
  }
  const differences = write(out, files)
  const count = (what: string) => differences.filter((d) => d.what === what).length
  console.log(`${values.out}: ${catalog.entities.length} tables, ${catalog.relations.length} relations (appdb ${catalog.version}); ${
    differences.length === 0 ? 'nothing changed' : ['new', 'changed', 'gone'].filter((w) => count(w) > 0).map((w) => `${count(w)} ${w}`).join(', ')}`)
  return 0
}

/** the version of a package that the caller's directory sees */
function installed(name: string): string | undefined {
  try {
    const require = createRequire(join(process.cwd(), 'package.json'))
    for (const path of require.resolve.paths(name) ?? []) {
      const file = join(path, name, 'package.json')
      if (existsSync(file)) return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
    }
  } catch {}
  return undefined
}

function fail(message: string, hint?: string): number {
  console.error(`appdb-generate: ${message}`)
  if (hint) console.error(`  ${hint}`)
  return 1
}

main()
  .catch((error: unknown) => {
    if (error instanceof ConfigError || error instanceof GenerateError) return fail(error.message)
    return fail((error as Error).message ?? String(error))
  })
  .then(async (status) => {
    await close(1)
    process.exitCode = status
  })
