// Who is asking: a session's token, or, for servers that have checked it themselves, a user's id.

import { sayOnce } from './state.js'

/**
 * A token, as a string or in an object; or the id of a user, always in an object.
 *
 * A string is never taken for an id: tokens of some clients look like ids, and who sends somebody else's id must not become that user.
 *
 * Ids are for roles of access level "service", which see all rows whoever they act for. With "role", a role of level "app" that the service role is a
 * member of (GRANT web TO server), the transaction goes on as that role: row security then shows what is the user's.
 */
export type Who = string | { token: string } | { userId: string | null; role?: string | undefined }

/** The statement that says it: text before and after its one parameter. Timeouts are set along with it where the connection could not have them. */
export interface Identify {
  before: string
  value: string | null
  after: string
}

export function identify(who: Who, timeouts: Record<string, number> = {}, look = false): Identify {
  const set = Object.entries(timeouts).map(([name, ms]) => `pg_catalog.set_config('${name}', '${ms}', true), `).join('')
  const secured = look
    ? `, pg_catalog.row_security_active((SELECT c.oid FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'app_data' AND c.relname = 'users')) AS secured`
    : ''
  if (typeof who === 'string') return { before: `SELECT ${set}appdb.authenticate(`, value: who, after: `)${secured}` }
  if (who !== null && typeof who === 'object') {
    if ('token' in who && typeof who.token === 'string') return { before: `SELECT ${set}appdb.authenticate(`, value: who.token, after: `)${secured}` }
    if ('userId' in who && (who.userId === null || typeof who.userId === 'string')) {
      const role = who.role === undefined ? '' : `, pg_catalog.set_config('role', '${who.role.replace(/'/g, "''")}', true)`
      return { before: `SELECT ${set}appdb.impersonate(`, value: who.userId, after: `::uuid)${role}${role ? '' : secured}` }
    }
  }
  throw new TypeError('withUser() takes a token, { token } or { userId }: who is asking? For nobody in particular, { userId: null }')
}

/** An identity holds until the end of the transaction: within one, it would replace that of who began it. */
export function refuseNested(nested: boolean): void {
  if (nested) throw new TypeError('withUser() within a transaction: whoever began it would be this user until its end. Call it on the database itself, once for each user')
}

/** Warns, once, where row security does not hold for the role that the application connects as. */
export function warnUnsecured(rows: unknown): void {
  const row = (Array.isArray(rows) ? rows[0] : (rows as { rows?: unknown[] } | undefined)?.rows?.[0]) as { secured?: unknown } | undefined
  if (row?.secured === false)
    sayOnce(`appdb: warning: withUser() on a connection for which row security does not hold: every query shows every tenant's rows\n  ` +
      `Connect as a role that does not own the tables: CREATE ROLE web LOGIN; SELECT appdb.grant_access('web', 'app');`)
}

export interface TransactionOptions {
  isolationLevel?: 'read committed' | 'repeatable read' | 'serializable' | undefined
  accessMode?: 'read only' | 'read write' | undefined
}

export function begin(options: TransactionOptions | undefined): string {
  return [options?.isolationLevel && `isolation level ${options.isolationLevel}`, options?.accessMode].filter((x) => x).join(' ')
}
