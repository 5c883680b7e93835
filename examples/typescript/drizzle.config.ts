// For drizzle-kit, which makes and changes the tables in lib/db/tables.ts, and nothing of appdb's.

import { withAppdb } from 'appdb-client/drizzle-kit'
import { defineConfig } from 'drizzle-kit'

export default defineConfig(withAppdb({
  dialect: 'postgresql',
  schema: './lib/db/tables.ts',
  out: './drizzle',
  dbCredentials: { url: process.env.DATABASE_OWNER_URL ?? process.env.DATABASE_URL ?? '' },
}))
