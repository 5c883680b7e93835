// What all copies of this package's modules in a process share: the pools, and what is known of them.

import type { Config } from './config.js'

interface State {
  pools: Map<string, { end(options?: { timeout?: number }): Promise<void> }>
  /** the configuration of each pool, by its options: withUser() sets timeouts where the connection could not */
  configs: WeakMap<object, Config>
  /** clients whose role was looked at */
  seen: WeakSet<object>
  /** what was said already */
  said: Set<string>
  listening: boolean
}

export const state: State = ((globalThis as Record<symbol, unknown>)[Symbol.for('appdb-client')] ??= {
  pools: new Map(), configs: new WeakMap(), seen: new WeakSet(), said: new Set(), listening: false,
} satisfies State) as State

/** The configuration of a client that connect() made. */
export function configOf(client: { options?: unknown } | undefined): Config | undefined {
  return typeof client?.options === 'object' && client.options !== null ? state.configs.get(client.options) : undefined
}

export function timeouts(config: Config): Record<string, number> {
  return {
    statement_timeout: config.statementTimeout,
    lock_timeout: config.lockTimeout,
    idle_in_transaction_session_timeout: config.transactionIdleTimeout,
  }
}

/** What a transaction has to set by itself: behind a pooler, connections are not this client's. */
export function transactionTimeouts(config: Config | undefined): Record<string, number> {
  return config?.pooler === 'transaction' ? timeouts(config) : {}
}

/** Says something once in the life of the process. */
export function sayOnce(text: string, say: (text: string) => void = console.warn): void {
  if (state.said.has(text)) return
  state.said.add(text)
  say(text)
}

/** Whether this client's role has to be looked at: the first time only. */
export function isNew(client: object): boolean {
  if (state.seen.has(client)) return false
  state.seen.add(client)
  return true
}
