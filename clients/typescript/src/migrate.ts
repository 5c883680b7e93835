#!/usr/bin/env node
// appdb-migrate: brings a database to the version of appdb that is installed on its server.

import { parseArgs } from 'node:util'
import type postgres from 'postgres'
import { ConfigError } from './config.js'
import { close, connect } from './connect.js'
import { diagnose } from './diagnose.js'

const usage = `appdb-migrate: ALTER EXTENSION appdb UPDATE, then the steps of migrations that are still pending

  appdb-migrate [--url URL] [--dry-run]

  --url URL    the database, as the owner of the tables (DATABASE_OWNER_URL, or else DATABASE_URL)
  --dry-run    say what would be done
`

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { url: { type: 'string' }, 'dry-run': { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const url = values.url ?? (process.env.DATABASE_OWNER_URL || undefined)
  // what takes long may take long: an index on a large table
  const sql = connect({ ...(url !== undefined && { url }), poolSize: 1, applicationName: 'appdb-migrate', statementTimeout: 0, transactionIdleTimeout: 0 })
  const stop = (await diagnose(sql)).find((f) => f.level === 'error' && f.code !== 'no-access' && f.code !== 'not-migrated')
  if (stop) return fail(stop.message, stop.hint)

  const [there] = await sql`
    SELECT pg_catalog.pg_has_role(e.extowner, 'USAGE') AS owner, pg_catalog.pg_get_userbyid(e.extowner) AS owner_name, e.extversion AS version,
      (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a WHERE a.name = e.extname) AS newest
    FROM pg_catalog.pg_extension AS e WHERE e.extname = 'appdb'`
  if (!there!.owner) return fail(`only "${there!.owner_name}", who owns the extension, can update it`, 'Connect as that role: --url, or DATABASE_OWNER_URL.')

  if (values['dry-run'])
    console.log(there!.version === there!.newest ? `appdb ${there!.version}: the newest that the server has` : `ALTER EXTENSION appdb UPDATE would bring ${there!.version} to ${there!.newest ?? 'the newest that the server has'}`)
  else {
    await sql`ALTER EXTENSION appdb UPDATE`
    const [now] = await sql`SELECT e.extversion AS version FROM pg_catalog.pg_extension AS e WHERE e.extname = 'appdb'`
    console.log(there!.version === now!.version ? `appdb ${now!.version}: the newest that the server has` : `appdb ${there!.version} → ${now!.version}`)
  }

  let pending = await steps(sql)
  if (values['dry-run']) for (const step of pending) console.log(`pending: ${step.version} ${step.kind} ${step.entity ?? ''}: ${step.statement}`)
  else {
    // tables of an older version: after the restore of a dump, say
    const [can] = await sql`SELECT pg_catalog.to_regproc('appdb.migrate') IS NOT NULL AS migrate`
    if (can!.migrate) {
      const [tables] = await sql`SELECT appdb.migrate() AS are`
      if (tables!.are !== 'current') console.log(`tables ${tables!.are}`)
      pending = await steps(sql)
    }
    if (pending.length > 0) {
      await sql`CALL appdb.migrate_online()`.simple()
      const left = await steps(sql)
      console.log(`${pending.length - left.length} of ${pending.length} pending steps done`)
      if (left.length > 0) return fail(`still pending: ${left[0]!.statement}${left[0]!.error ? ` (${left[0]!.error})` : ''}`, 'SELECT * FROM appdb.pending() lists them; run this again.')
    }
  }
  if (pending.length === 0) console.log('nothing is pending')
  return 0
}

interface Step { version: string; kind: string; entity: string | null; statement: string; error: string | null }

/** what is pending: nothing, in versions that know nothing of the kind */
async function steps(sql: postgres.Sql): Promise<Step[]> {
  const [can] = await sql`SELECT pg_catalog.to_regproc('appdb.pending') IS NOT NULL AND pg_catalog.to_regproc('appdb.migrate_online') IS NOT NULL AS can`
  return can!.can ? [...(await sql<Step[]>`SELECT p.version, p.kind, p.entity, p.statement, p.error FROM appdb.pending() AS p`)] : []
}

function fail(message: string, hint?: string): number {
  console.error(`appdb-migrate: ${message}${hint ? `\n  ${hint}` : ''}`)
  return 1
}

main()
  .catch((error: unknown) => fail(error instanceof ConfigError ? error.message : (error as Error).message))
  .then(async (status) => {
    await close(1)
    process.exitCode = status
  })
