// Who is asking: a session's token, or, for servers that have checked it themselves, a user's id.

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

export function identify(who: Who, timeouts: Record<string, number> = {}): Identify {
  const set = Object.entries(timeouts).map(([name, ms]) => `pg_catalog.set_config('${name}', '${ms}', true), `).join('')
  if (typeof who === 'string') return { before: `SELECT ${set}appdb.authenticate(`, value: who, after: ')' }
  if (who !== null && typeof who === 'object') {
    if ('token' in who && typeof who.token === 'string') return { before: `SELECT ${set}appdb.authenticate(`, value: who.token, after: ')' }
    if ('userId' in who && (who.userId === null || typeof who.userId === 'string')) return { before: `SELECT ${set}appdb.impersonate(`, value: who.userId, after: `::uuid)${who.role === undefined ? '' : `, pg_catalog.set_config('role', '${who.role.replace(/'/g, "''")}', true)`}` }
  }
  throw new TypeError('withUser() takes a token, { token } or { userId }: who is asking? For nobody in particular, { userId: null }')
}

export interface TransactionOptions {
  isolationLevel?: 'read committed' | 'repeatable read' | 'serializable' | undefined
  accessMode?: 'read only' | 'read write' | undefined
}

export function begin(options: TransactionOptions | undefined): string {
  return [options?.isolationLevel && `isolation level ${options.isolationLevel}`, options?.accessMode].filter((x) => x).join(' ')
}
