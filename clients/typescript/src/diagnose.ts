// What is wrong with a connection, in words that say what to do.

import type postgres from 'postgres'
import { configOf, sayOnce } from './state.js'

export interface Finding {
  level: 'error' | 'warning'
  code: 'unreachable' | 'credentials' | 'no-database' | 'no-extension' | 'not-migrated' | 'bypasses-row-security' | 'no-access' | 'not-preloaded' | 'query'
  message: string
  hint: string
}

// not as text or regclass: these ask for the right to look into the schema
const table = (schema: string, name: string) => `(SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = '${schema}' AND c.relname = '${name}')`

/** Looks at the database behind a connection; an empty list is good news. Never throws for what it can explain. */
export async function diagnose(sql: postgres.Sql<any>): Promise<Finding[]> {
  const findings: Finding[] = []
  const add = (level: Finding['level'], code: Finding['code'], message: string, hint: string) => findings.push({ level, code, message, hint })
  const ask = async (query: string) => (await sql.unsafe(query))[0] as Record<string, any>

  let there: Record<string, any>
  // a server that hangs up is tried again and again
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(Object.assign(new Error('no connection: the server hangs up, or does not answer'), { code: 'CONNECTION_CLOSED' })), (configOf(sql)?.connectTimeout ?? 10_000) * 2)
  })
  try {
    const answer = ask(`
      SELECT current_user AS role, current_database() AS database,
        (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'appdb') AS extension,
        (SELECT a.default_version FROM pg_catalog.pg_available_extensions AS a WHERE a.name = 'appdb') AS available,
        ${table('app_data', 'users')} IS NOT NULL AS tables`)
    answer.catch(() => {})
    there = await Promise.race([answer, late])
  } catch (error) {
    return [unreachable(error)]
  } finally {
    clearTimeout(timer)
  }
  if (there.extension === null) {
    add('error', 'no-extension', `database "${there.database}" has no extension "appdb"`,
      there.available === null
        ? 'Install appdb on the server (make install), then, in this database, as its owner: CREATE EXTENSION appdb.'
        : 'In this database, as its owner: CREATE EXTENSION appdb.')
    return findings
  }
  if (!there.tables) {
    add('error', 'not-migrated', 'the extension is there, but its tables are not', 'As the owner: SELECT appdb.install().')
    return findings
  }

  try {
    const is = await ask(`
      SELECT pg_catalog.has_schema_privilege('appdb', 'USAGE') AND coalesce(pg_catalog.has_table_privilege(${table('appdb', 'chats')}, 'SELECT'), true) AS reads,
        pg_catalog.row_security_active(${table('app_data', 'users')}) AS secured,
        (SELECT pg_catalog.pg_get_userbyid(n.nspowner) FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'app_data') AS owner,
        appdb.version() AS engine, pg_catalog.to_regproc('appdb.pending') IS NOT NULL AS can_tell_pending,
        pg_catalog.has_table_privilege(${table('app_data', 'schema_version')}, 'SELECT') AS reads_version,
        CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
          THEN pg_catalog.current_setting('session_preload_libraries') || ',' || pg_catalog.current_setting('shared_preload_libraries') END AS preloaded`)
    if (!is.reads)
      add('error', 'no-access', `role "${there.role}" may not read the live views`,
        `As "${is.owner}": SELECT appdb.grant_access('${there.role}', 'app'), or 'service' for a server that acts for anybody.`)
    else if (!is.secured)
      add('warning', 'bypasses-row-security',
        `role "${there.role}" ${there.role === is.owner ? 'owns the tables' : 'is a superuser, owns the tables, or has BYPASSRLS'}: row security does not hold for it, every query shows every tenant's rows`,
        `Connect applications as a role of their own: CREATE ROLE web LOGIN; SELECT appdb.grant_access('web', 'app');`)
    if (there.available !== null && there.available !== there.extension)
      add('warning', 'not-migrated', `the server has appdb ${there.available}, the database is at ${there.extension}`, 'As the owner: ALTER EXTENSION appdb UPDATE.')
    else if (is.reads_version) {
      const { version } = await ask('SELECT v.version FROM app_data.schema_version AS v')
      if (version !== is.engine)
        add('error', 'not-migrated', `the tables are of version ${version}, the engine is of version ${is.engine}`, 'As the owner: SELECT appdb.migrate().')
    }
    if (is.can_tell_pending) {
      const pending = await sql.unsafe('SELECT * FROM appdb.pending()').catch(() => [])
      if (pending.length > 0) add('warning', 'not-migrated', `${pending.length} step(s) of a migration are pending`, 'As the owner: CALL appdb.migrate_online().')
    }
    if (is.preloaded !== null && !/\bappdb\b/.test(is.preloaded))
      add('warning', 'not-preloaded', 'the library is not preloaded: a DELETE of many rows is slower in a new session', `As a superuser: ALTER DATABASE "${there.database}" SET session_preload_libraries = 'appdb'.`)
  } catch (error) {
    add('error', 'query', (error as Error).message, 'Is the extension complete? CREATE EXTENSION appdb makes what is missing, after DROP EXTENSION appdb CASCADE (the rows stay).')
  }
  return findings
}

/** An error of connecting, explained. */
export function unreachable(error: unknown): Finding {
  const e = error as { code?: string; message?: string; errors?: { message: string }[]; address?: string; port?: number }
  const text = e.message || e.errors?.map((x) => x.message).join('; ') || String(error)
  const of = (code: Finding['code'], hint: string): Finding => ({ level: 'error', code, message: text, hint })
  switch (e.code) {
    case 'ECONNREFUSED': return of('unreachable', 'Nothing listens there. Is the server running, and are host and port right?')
    case 'ENOENT': return of('unreachable', 'There is no such socket. Is the server running, and is the directory right?')
    case 'ENOTFOUND': case 'EAI_AGAIN': return of('unreachable', 'The name of the host is not known.')
    case 'CONNECT_TIMEOUT': case 'ETIMEDOUT': case 'EHOSTUNREACH': return of('unreachable', 'The server does not answer. Is the host right, and does a firewall let it through?')
    case 'ECONNRESET': case 'CONNECTION_CLOSED': return of('unreachable', 'The server hung up. Does it want TLS (DATABASE_TLS=require)?')
    case '28P01': return of('credentials', 'The password is wrong, or the role has none.')
    case '28000': return of('credentials', "The role may not log in, or the server's pg_hba.conf does not let it in from here.")
    case '3D000': return of('no-database', 'Create it (createdb NAME), or name another in DATABASE_URL.')
    case '42501': return of('no-access', 'As the owner of the tables: SELECT appdb.grant_access(role, level).')
    case '08P01': return of('unreachable', 'Is there a pooler in front? Then set DATABASE_POOLER=transaction.')
    case '53300': return of('unreachable', 'The server has no connection left: a smaller DATABASE_POOL_SIZE, or a pooler.')
    default: return of('unreachable', 'Is DATABASE_URL right?')
  }
}

/**
 * Looks in the background and says on the console what it found, each thing once in a process: for development.
 * It opens a connection; nothing is said where the pool is closed meanwhile.
 */
export async function warnings(sql: postgres.Sql<any>, say: (text: string) => void = console.warn): Promise<void> {
  for (const f of await diagnose(sql)) if (!f.message.includes('CONNECTION_')) sayOnce(`appdb: ${f.level}: ${f.message}\n  ${f.hint}`, say)
}
