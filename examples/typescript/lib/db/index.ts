// The process's connection to the database: DATABASE_URL and the other variables that appdb-client knows.

import { connect, warnings } from 'appdb-client'
import { drizzle } from 'drizzle-orm/postgres-js'
import * as schema from './schema'

export const client = connect()
export const db = drizzle(client, { schema })

// say on the console what is wrong: nobody listens there, no extension, the owner's connection, for which row security does not hold …
if (process.env.NODE_ENV !== 'production') await warnings(client)
