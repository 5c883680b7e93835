// One configuration for everything that connects: typed, from the environment, checked as a whole before the first connection.

import { readFileSync } from 'node:fs'

export type Tls = 'disable' | 'allow' | 'prefer' | 'require' | 'verify-full'

export interface Config {
  /** DATABASE_URL: postgres://user:password@host:port/database?sslmode=…; without it, libpq's variables (PGHOST, PGUSER, …) */
  url?: string | undefined
  /** DATABASE_POOL_SIZE: connections at most (10) */
  poolSize: number
  /** DATABASE_IDLE_TIMEOUT: an idle connection is closed after so many milliseconds (20s) */
  idleTimeout: number
  /** DATABASE_MAX_LIFETIME: a connection is replaced after so many milliseconds (45min) */
  maxLifetime: number
  /** DATABASE_CONNECT_TIMEOUT, in milliseconds (10s) */
  connectTimeout: number
  /** DATABASE_STATEMENT_TIMEOUT: a statement is cancelled after so many milliseconds; 0: never (30s) */
  statementTimeout: number
  /** DATABASE_LOCK_TIMEOUT: so long waits a statement for a lock, in milliseconds; 0: for ever (10s) */
  lockTimeout: number
  /** DATABASE_TRANSACTION_IDLE_TIMEOUT: a connection that does nothing in a transaction is closed after so many milliseconds; 0: never (60s) */
  transactionIdleTimeout: number
  /** DATABASE_TLS: as libpq's sslmode; what the URL says goes before (disable) */
  tls: Tls
  /** DATABASE_TLS_CA: file with the certificates that are trusted; without it, those that the runtime trusts */
  tlsCa?: string | undefined
  /** DATABASE_APPLICATION_NAME: shown in pg_stat_activity */
  applicationName: string
  /** DATABASE_POOLER: "transaction" behind pgbouncer and the like with pool_mode = transaction (none) */
  pooler: 'none' | 'transaction'
  /** DATABASE_PREPARE: whether statements are prepared (yes without a pooler, no behind one; pgbouncer can from 1.21 on with max_prepared_statements) */
  prepare: boolean
}

/** Where to connect: what the URL says. */
export interface Target {
  hosts: { host: string; port: number }[]
  user?: string | undefined
  password?: string | undefined
  database?: string | undefined
  tls?: Tls | undefined
  tlsCa?: string | undefined
  applicationName?: string | undefined
  /** settings for the session, from ?options=… and the like */
  settings: Record<string, string>
}

export class ConfigError extends Error {
  override name = 'ConfigError'
  constructor(readonly problems: string[]) {
    super(problems.length === 1 ? problems[0] : `the database's configuration is wrong:\n${problems.map((p) => `  - ${p}`).join('\n')}`)
  }
}

const tlsModes: readonly Tls[] = ['disable', 'allow', 'prefer', 'require', 'verify-full']
const units: Record<string, number> = { '': 1, ms: 1, s: 1000, min: 60_000, h: 3_600_000 }

type Environment = Record<string, string | undefined>

/**
 * Reads the configuration: what is given here goes before what the environment says.
 * Throws a ConfigError that names everything that is wrong.
 */
export function loadConfig(given: Partial<Config> = {}, env: Environment = process.env): Config {
  const problems: string[] = []

  // a value of the environment, or given; empty means not set
  const read = <T>(name: string, value: T | undefined, fallback: T, parse: (text: string) => T | string, valid: (value: T) => string | undefined): T => {
    let result = fallback
    if (value !== undefined) result = value
    else {
      const text = env[name]?.trim()
      if (text === undefined || text === '') return fallback
      const parsed = parse(text)
      if (typeof parsed === 'string' && typeof fallback !== 'string') {
        problems.push(`${name}: ${parsed}`)
        return fallback
      }
      result = parsed as T
    }
    const problem = valid(result)
    if (problem !== undefined) problems.push(`${name}: ${problem}`)
    return result
  }
  const duration = (name: string, value: number | undefined, fallback: number, zero: boolean) =>
    read<number>(name, value, fallback, (text) => {
      const m = /^([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|h|)$/.exec(text)
      return m ? Math.round(Number(m[1]) * units[m[2]!]!) : `"${text}" is no duration: write 500ms, 30s, 5min`
    }, (v) => (Number.isInteger(v) && v >= (zero ? 0 : 1) && v <= 2147483647 ? undefined : `${v} is out of range: milliseconds, ${zero ? '0 for none' : 'at least 1'}`))
  const choice = <T extends string>(name: string, value: T | undefined, fallback: T, all: readonly T[]) =>
    read<T>(name, value, fallback, (text) => text as T, (v) => (all.includes(v) ? undefined : `"${v}" is not one of ${all.join(', ')}`))

  const pooler = choice('DATABASE_POOLER', given.pooler, 'none', ['none', 'transaction'] as const)
  const config: Config = {
    url: given.url ?? (env.DATABASE_URL?.trim() || undefined),
    poolSize: read<number>('DATABASE_POOL_SIZE', given.poolSize, 10, (t) => (/^[0-9]+$/.test(t) ? Number(t) : `"${t}" is no whole number`),
      (v) => (Number.isInteger(v) && v >= 1 && v <= 1000 ? undefined : `${v} is out of range: 1 to 1000`)),
    idleTimeout: duration('DATABASE_IDLE_TIMEOUT', given.idleTimeout, 20_000, true),
    maxLifetime: duration('DATABASE_MAX_LIFETIME', given.maxLifetime, 45 * 60_000, false),
    connectTimeout: duration('DATABASE_CONNECT_TIMEOUT', given.connectTimeout, 10_000, false),
    statementTimeout: duration('DATABASE_STATEMENT_TIMEOUT', given.statementTimeout, 30_000, true),
    lockTimeout: duration('DATABASE_LOCK_TIMEOUT', given.lockTimeout, 10_000, true),
    transactionIdleTimeout: duration('DATABASE_TRANSACTION_IDLE_TIMEOUT', given.transactionIdleTimeout, 60_000, true),
    tls: choice('DATABASE_TLS', given.tls, 'disable', tlsModes),
    tlsCa: given.tlsCa ?? (env.DATABASE_TLS_CA?.trim() || undefined),
    applicationName: read<string>('DATABASE_APPLICATION_NAME', given.applicationName, env.PGAPPNAME || 'appdb-client', (t) => t,
      (v) => (v.length > 0 && v.length < 64 ? undefined : 'up to 63 characters')),
    pooler,
    prepare: read<boolean>('DATABASE_PREPARE', given.prepare, pooler === 'none',
      (t) => (/^(true|on|yes|1)$/i.test(t) ? true : /^(false|off|no|0)$/i.test(t) ? false : `"${t}" is neither true nor false`), () => undefined),
  }
  if (config.url === undefined) {
    if (!['PGHOST', 'PGDATABASE', 'PGUSER'].some((n) => env[n]))
      problems.push('DATABASE_URL is not set: postgres://user:password@host:5432/database (or set PGHOST, PGUSER, PGDATABASE)')
  } else {
    try {
      parseUrl(config.url)
    } catch (error) {
      problems.push(`DATABASE_URL: ${(error as Error).message}`)
    }
  }
  if (config.tlsCa !== undefined) {
    try {
      readFileSync(config.tlsCa)
    } catch {
      problems.push(`DATABASE_TLS_CA: cannot read the file ${config.tlsCa}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return config
}

/** Takes a URL apart as libpq does: several hosts, sockets, and settings after the question mark. Its errors never show the password. */
export function parseUrl(url: string): Target {
  const m = /^(postgres|postgresql):\/\/(.*)$/s.exec(url)
  if (!m) {
    const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]
    throw new Error(`not a PostgreSQL URL${scheme ? ` (it begins with "${scheme}:")` : ''}: postgres://user:password@host:5432/database`)
  }
  const [beforeQuery, query = ''] = split(m[2]!, m[2]!.indexOf('?'))
  const slash = beforeQuery.indexOf('/')
  const [authority, path = ''] = split(beforeQuery, slash)
  const at = authority.lastIndexOf('@')
  const [credentials, hostlist] = at < 0 ? ['', authority] : [authority.slice(0, at), authority.slice(at + 1)]
  const [user, password] = split(credentials, credentials.indexOf(':'))
  const params = new URLSearchParams(query)
  const target: Target = { hosts: [], settings: {} }
  target.user = decode(user, 'user') || undefined
  target.password = password === undefined ? undefined : decode(password, 'password')
  target.database = decode(path, 'database') || undefined

  let hosts = hostlist === '' ? [] : hostlist.split(',').map((h) => {
    const parts = /^(\[[^\]]*\]|[^:]*)(?::([0-9]*))?$/.exec(h)
    if (!parts) throw new Error(`"${h}" is no host and port; a "@", ":" or "/" in the password has to be written as %40, %3A or %2F`)
    return { host: decode(parts[1]!.replace(/^\[(.*)\]$/, '$1'), 'host') || 'localhost', port: parts[2] ? Number(parts[2]) : 5432 }
  })
  for (const [name, value] of params) {
    switch (name) {
      case 'host': hosts = value.split(',').map((host, i) => ({ host, port: hosts[i]?.port ?? 5432 })); break
      case 'port': {
        const ports = value.split(',')
        if (hosts.length === 0) hosts = [{ host: 'localhost', port: 5432 }]
        hosts = hosts.map((h, i) => ({ ...h, port: Number(ports[i] ?? ports[0]) }))
        break
      }
      case 'user': target.user = value; break
      case 'password': target.password = value; break
      case 'dbname': target.database = value; break
      case 'application_name': target.applicationName = value; break
      case 'sslmode':
      case 'ssl': {
        const mode = value === 'true' ? 'require' : value === 'false' ? 'disable' : value
        if (!tlsModes.includes(mode as Tls)) throw new Error(`sslmode "${value}" is not one of ${tlsModes.join(', ')}`)
        target.tls = mode as Tls
        break
      }
      case 'sslrootcert': if (value === 'system') target.tls = 'verify-full'; else target.tlsCa = value; break
      case 'options':
        for (const o of value.matchAll(/-c\s*([a-z_.]+)=((?:\\.|[^\s\\])*)/gi)) target.settings[o[1]!] = o[2]!.replace(/\\(.)/g, '$1')
        break
      case 'connect_timeout': case 'channel_binding': case 'gssencmode': case 'target_session_attrs': case 'pgbouncer': case 'schema': break
      default:
        if (/^[a-z_]+(\.[a-z_]+)?$/i.test(name)) target.settings[name] = value
        else throw new Error(`"${name}" is no setting`)
    }
  }
  for (const h of hosts)
    if (!Number.isInteger(h.port) || h.port < 1 || h.port > 65535) throw new Error(`${h.port} is no port`)
  target.hosts = hosts.length > 0 ? hosts : [{ host: 'localhost', port: 5432 }]
  return target
}

function split(text: string, at: number): [string, string | undefined] {
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new Error(`the ${what} has a "%" that begins no escape: write it as %25`)
  }
}
