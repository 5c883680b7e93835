import { kyselyAdapter } from "@better-auth/kysely-adapter";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { drizzle } from "drizzle-orm/postgres-js";
import { CamelCasePlugin, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgres from "postgres";
import { flows } from "./flows.js";
import * as schema from "appdb-client/schema";

// prepare: false for pgbouncer
const client = postgres({ max: 10, prepare: !process.env.APPDB_DIRECT, onnotice: () => {} });
flows("Drizzle", drizzleAdapter(drizzle(client, { schema }), { provider: "pg", schema, usePlural: true, transaction: true }), async () => {});
flows("Drizzle, joining", drizzleAdapter(drizzle(client, { schema }), { provider: "pg", schema, usePlural: true, transaction: true }), () => client.end(), true);

const db = new Kysely<any>({
	dialect: new PostgresDialect({ pool: new pg.Pool({ max: 10 }) }),
	plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
}).withSchema("appdb");
flows("Kysely", kyselyAdapter(db, { type: "postgres", usePlural: true, transaction: true }), () => db.destroy());
