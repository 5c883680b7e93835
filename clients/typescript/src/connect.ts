// One pool a process, by postgres.js: also where modules are loaded anew (hot reload), and closed in an orderly way.

import { readFileSync } from 'node:fs'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import postgres from 'postgres'
import { loadConfig, parseUrl, type Config } from './config.js'
import { state, timeouts } from './state.js'

export type Options = Partial<Config> & {
  /** whether SIGTERM and SIGINT close the pool (yes); queries that run have five seconds to end */
  handleSignals?: boolean | undefined
  /** more of postgres.js's own options; they go before what the configuration says */
  postgres?: postgres.Options<{}> | undefined
}

/** The options that postgres.js gets for a configuration. */
export function postgresOptions(config: Config): postgres.Options<{}> {
  const target = config.url === undefined ? undefined : parseUrl(config.url)
  const tls = target?.tls ?? config.tls
  const ca = target?.tlsCa ?? config.tlsCa
  const connection: Record<string, string | number> = {
    application_name: target?.applicationName ?? config.applicationName,
    // a pooler knows no settings of one client, and pgbouncer refuses them: withUser() sets them there
    ...(config.pooler === 'none' ? timeouts(config) : {}),
    ...target?.settings,
  }
  const first = target?.hosts[0]
  return {
    ...(target && {
      host: target.hosts.map((h) => h.host),
      port: target.hosts.map((h) => h.port),
      ...(first!.host.startsWith('/') && { path: `${first!.host}/.s.PGSQL.${first!.port}` }),
      ...(target.user !== undefined && { user: target.user }),
      ...(target.password !== undefined && { password: target.password }),
      ...(target.database !== undefined && { database: target.database }),
    }),
    max: config.poolSize,
    idle_timeout: config.idleTimeout / 1000,
    max_lifetime: Math.ceil(config.maxLifetime / 1000),
    connect_timeout: Math.max(1, Math.ceil(config.connectTimeout / 1000)),
    prepare: config.prepare,
    ssl: tls === 'disable' ? false : tls === 'verify-full' || ca !== undefined ? {
      ...(ca !== undefined && { ca: readFileSync(ca, 'utf8') }),
      rejectUnauthorized: tls === 'verify-full',
      // postgres.js would have an address checked as "localhost"
      checkServerIdentity: (name: string, certificate: PeerCertificate) => {
        if (tls !== 'verify-full') return undefined
        const problems = (target?.hosts.map((h) => h.host) ?? [process.env.PGHOST ?? name]).map((host) => checkServerIdentity(host, certificate))
        return problems.every((p) => p !== undefined) ? problems[0] : undefined
      },
    } : tls,
    connection,
    onnotice: (notice: postgres.Notice) => { if (notice.severity === 'WARNING') console.warn(`${notice.severity}: ${notice.message}`) },
  } as postgres.Options<{}>
}

/**
 * The process's pool for a configuration: the same one each time. Nothing is connected before the first query.
 *
 * Drizzle changes how a client reads and writes times and JSON, in the client it is given. Where SQL is written by hand beside it, ask for
 * another pool: connect({ applicationName: 'sql' }).
 */
export function connect(options: Options = {}): postgres.Sql {
  const { handleSignals = true, postgres: more, ...given } = options
  const config = loadConfig(given)
  const key = JSON.stringify([config, more, ['PGHOST', 'PGPORT', 'PGUSER', 'PGDATABASE'].map((n) => process.env[n])])
  let sql = state.pools.get(key) as postgres.Sql | undefined
  if (sql === undefined) {
    const pool = postgres({ ...postgresOptions(config), ...more })
    sql = pool
    state.pools.set(key, pool)
    state.configs.set(pool.options, config)
    const end = pool.end
    // a pool that was closed is not given out again
    pool.end = (...args) => {
      if (state.pools.get(key) === pool) state.pools.delete(key)
      return end(...args)
    }
    if (handleSignals) listen()
  }
  return sql
}

/** Closes every pool of the process: queries that run have a while to end. */
export async function close(seconds = 5): Promise<void> {
  const pools = [...state.pools.values()]
  state.pools.clear()
  await Promise.all(pools.map((p) => p.end({ timeout: seconds })))
}

function listen() {
  if (state.listening) return
  state.listening = true
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const handler = () => {
      // where the application has a handler of its own, when to exit is its business
      const alone = process.listenerCount(signal) === 1
      void close().finally(() => {
        if (!alone) return
        process.removeListener(signal, handler)
        process.kill(process.pid, signal)
      })
    }
    process.on(signal, handler)
  }
}
