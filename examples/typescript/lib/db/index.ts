// The process's connection to the database: DATABASE_URL and the other variables that appdb-client knows.

import { connect } from 'appdb-client'
import { drizzle } from 'drizzle-orm/postgres-js'
import * as schema from './schema'

export const client = connect()
export const db = drizzle(client, { schema })
