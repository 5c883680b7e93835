// Tables of your own go here, for drizzle-kit. They may refer to appdb's by the handles in ./schema/base, and must not export what is in ./schema.

import { index, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { spaces } from './schema/base'

export const projects = pgTable('projects', {
  id: uuid('id').primaryKey(),
  spaceId: uuid('space_id').notNull().references(() => spaces.id),
  name: text('name').notNull(),
  createdAt: timestamp('created_at', { withTimezone: true, precision: 3 }).notNull(),
  updatedAt: timestamp('updated_at', { withTimezone: true, precision: 3 }).notNull(),
  deletedAt: timestamp('deleted_at', { withTimezone: true }),
}, (t) => [unique().on(t.spaceId, t.id), index().on(t.spaceId)])
