// Auth.js on appdb's tables: the names that its Drizzle adapter expects.
import { sql } from "drizzle-orm";
import { bigint, boolean, integer, pgSchema, text, timestamp, uuid } from "drizzle-orm/pg-core";

const appdb = pgSchema("appdb");
const at = (name: string) => timestamp(name, { withTimezone: true, precision: 3, mode: "date" });

export const usersTable = appdb.table("users", {
	id: uuid("id").primaryKey().default(sql`appdb.uuidv7()`),
	name: text("name"),
	email: text("email"),
	emailVerified: at("email_verified_at"),
	image: text("image"),
});

export const accountsTable = appdb.table("accounts", {
	userId: uuid("user_id").notNull(),
	type: text("type").notNull(),
	provider: text("provider_id").notNull(),
	providerAccountId: text("account_id").notNull(),
	refresh_token: text("refresh_token"),
	access_token: text("access_token"),
	expires_at: bigint("expires_at", { mode: "number" }),
	token_type: text("token_type"),
	scope: text("scope"),
	id_token: text("id_token"),
	session_state: text("session_state"),
});

export const sessionsTable = appdb.table("sessions", {
	sessionToken: text("token").primaryKey(),
	userId: uuid("user_id").notNull(),
	expires: at("expires_at").notNull(),
});

export const verificationTokensTable = appdb.table("verifications", {
	identifier: text("identifier").notNull(),
	token: text("value").notNull(),
	expires: at("expires_at").notNull(),
});

// Passkeys (WebAuthn), where they are wanted: a table of one's own,
// app_data.authenticators, for which appdb.manage() has been called.
export const authenticatorsTable = appdb.table("authenticators", {
	credentialID: text("credential_id").notNull().unique(),
	userId: uuid("user_id").notNull(),
	providerAccountId: text("provider_account_id").notNull(),
	credentialPublicKey: text("credential_public_key").notNull(),
	counter: integer("counter").notNull(),
	credentialDeviceType: text("credential_device_type").notNull(),
	credentialBackedUp: boolean("credential_backed_up").notNull(),
	transports: text("transports"),
});

// The adapter's types want text where these are uuid and bigint.
export const tables = { usersTable, accountsTable, sessionsTable, verificationTokensTable, authenticatorsTable } as any;
