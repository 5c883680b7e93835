// better-auth's own suites of adapters (@better-auth/test-utils), through both
// adapters.  They ask for further columns and tables as they go, which are made
// and managed here as an application would: a new column reaches the live view.
import { kyselyAdapter } from "@better-auth/kysely-adapter";
import {
	authFlowTestSuite, caseInsensitiveTestSuite, joinsTestSuite, normalTestSuite, testAdapter, transactionsTestSuite, uuidTestSuite,
} from "@better-auth/test-utils/adapter";
import type { BetterAuthOptions } from "better-auth";
import { drizzleAdapter } from "better-auth/adapters/drizzle";
import { getAuthTables } from "better-auth/db";
import { getTableColumns, getTableName, is, relations, sql, Table } from "drizzle-orm";
import * as pgcore from "drizzle-orm/pg-core";
import { drizzle } from "drizzle-orm/postgres-js";
import { CamelCasePlugin, Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import postgres from "postgres";
import { advanced } from "./better-auth.js";
import * as schema from "appdb-client/schema";

const owner = postgres({ max: 1, onnotice: () => {}, user: process.env.APPDB_OWNER });
const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
const camel = (name: string) => name.replace(/_(.)/g, (_, c) => c.toUpperCase());
const plural = (name: string) => `${name.replace(/s$/, "")}s`;
const known = Object.fromEntries(Object.entries(schema).filter(([, t]) => is(t, Table)).map(([name, t]) => [name, Object.keys(getTableColumns(t as any))]));

// -- what the options ask for and is not there ------------------------------

type Missing = { table: string; builtIn: boolean; columns: { name: string; field: any }[] };

function missing(options: BetterAuthOptions): Missing[] {
	return Object.values<any>(getAuthTables(options))
		.map(({ modelName, fields }) => ({
			table: plural(modelName),
			builtIn: Boolean(known[plural(modelName)]),
			columns: Object.entries<any>(fields)
				.map(([name, field]) => ({ name: field.fieldName ?? name, field }))
				.filter((c) => !known[plural(modelName)]?.includes(c.name)),
		}))
		.filter((t) => !t.builtIn || t.columns.length > 0);
}

const refersToId = (f: any) => f.references?.field === "id";
const sqlType = (f: any, arrays: boolean) =>
	refersToId(f) ? `uuid REFERENCES app_data.${snake(plural(f.references.model))}`
	: f.type === "number" ? "integer"
	: f.type === "boolean" ? "boolean"
	: f.type === "date" ? "timestamptz(3)"
	: f.type === "json" ? "jsonb"
	: !String(f.type).endsWith("[]") || !arrays ? "text"
	: f.type === "number[]" ? "integer[]" : "text[]";

async function migrate(wanted: Missing[], arrays: boolean) {
	await owner.begin(async (tx) => {
		await tx.unsafe("SET LOCAL appdb.allow_drop = on");
		for (const { table } of await tx`SELECT c.relname AS table FROM pg_class AS c WHERE c.relkind = 'r' AND obj_description(c.oid, 'pg_class') = 'made by the suite' ORDER BY c.oid DESC`) {
			await tx.unsafe(`SELECT appdb.unmanage('app_data.${table}'); DROP TABLE app_data.${table}`);
		}
		for (const { table, builtIn, columns } of wanted) {
			const name = `app_data.${snake(table)}`;
			if (!builtIn) {
				await tx.unsafe(`CREATE TABLE ${name} (id uuid PRIMARY KEY, created_at timestamptz(3) NOT NULL, updated_at timestamptz(3) NOT NULL, deleted_at timestamptz);
					COMMENT ON TABLE ${name} IS 'made by the suite'`);
			}
			for (const c of columns) {
				await tx.unsafe(`ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${snake(c.name)} ${sqlType(c.field, arrays)}`);
			}
			await tx.unsafe(`SELECT appdb.manage('${name}')`);
		}
	});
}

// -- the Drizzle modules as they would be written then ----------------------

const column = (name: string, f: any) =>
	refersToId(f) ? pgcore.uuid(name)
	: f.type === "number" ? pgcore.integer(name)
	: f.type === "boolean" ? pgcore.boolean(name)
	: f.type === "date" ? pgcore.timestamp(name, { withTimezone: true, precision: 3, mode: "date" })
	: f.type === "json" ? pgcore.jsonb(name)
	: f.type === "number[]" ? pgcore.integer(name).array()
	: f.type === "string[]" ? pgcore.text(name).array()
	: pgcore.text(name);

function modules(wanted: Missing[]) {
	const appdb = pgcore.pgSchema("appdb");
	const all: any = Object.fromEntries(Object.keys(known).map((name) => [name, (schema as any)[name]]));
	for (const { table, builtIn, columns } of wanted) {
		const added = Object.fromEntries(columns.map((c) => [c.name, column(snake(c.name), c.field)]));
		if (builtIn) {
			const old = all[table];
			const copy: any = appdb.table(getTableName(old), added);
			for (const [key, c] of Object.entries<any>(getTableColumns(old))) {
				copy[key] = copy[(Table as any).Symbol.Columns][key] = new c.constructor(copy, c.config);
			}
			all[table] = copy;
		} else {
			all[table] = appdb.table(snake(table), { id: pgcore.uuid("id").primaryKey().default(sql`appdb.uuidv7()`), ...added });
		}
	}
	// from, column, to, its column, whether one to one
	const links: [string, string, string, string, boolean][] = [
		["sessions", "userId", "users", "id", false], ["accounts", "userId", "users", "id", false], ["members", "userId", "users", "id", false],
		["members", "organizationId", "organizations", "id", false], ["invitations", "organizationId", "organizations", "id", false],
		...wanted.flatMap((t) => t.columns.filter((c) => c.field.references).map((c): any => [t.table, c.name, plural(c.field.references.model), c.field.references.field, c.field.unique])),
	];
	const parts: any = {};
	for (const name of Object.keys(all)) {
		parts[`${name}Relations`] = relations(all[name], (r) =>
			Object.fromEntries(
				links.flatMap(([from, key, to, toKey, single]): any =>
					from === name ? [[key.replace(/Id$/, ""), r.one(all[to], { fields: [all[from][key]], references: [all[to][toKey]] })]]
					: to === name ? [[from, single ? r.one(all[from]) : r.many(all[from])]]
					: [],
				),
			),
		);
	}
	return { ...all, ...parts };
}

// -- the suites -------------------------------------------------------------

const common = {
	customIdGenerator: () => crypto.randomUUID(),
	// The suites rename tables and columns.  Here they have the names that they have.
	overrideBetterAuthOptions: (options: BetterAuthOptions): BetterAuthOptions => {
		for (const plugin of options.plugins ?? []) {
			for (const table of Object.values<any>(plugin.schema ?? {})) {
				if (table.modelName) table.modelName = camel(table.modelName);
				for (const field of Object.values<any>(table.fields)) {
					if (field.fieldName) field.fieldName = camel(field.fieldName);
				}
			}
		}
		return {
			user: { modelName: "user", fields: { email: "email" } },
			...(typeof options.advanced?.database?.generateId !== "function" && { advanced }),
		};
	},
	tests: [normalTestSuite(), uuidTestSuite(), authFlowTestSuite(), transactionsTestSuite(), joinsTestSuite(), caseInsensitiveTestSuite()],
};

const client = postgres({ max: 10, onnotice: () => {} });
let current = modules([]);
const onDrizzle = await testAdapter({
	...common,
	adapter: () => drizzleAdapter(drizzle(client, { schema: current }), { provider: "pg", schema: current, usePlural: true, transaction: true }),
	runMigrations: async (options) => {
		await migrate(missing(options), true);
		current = modules(missing(options));
	},
	onFinish: () => client.end(),
});
onDrizzle.execute();

const db = new Kysely<any>({
	dialect: new PostgresDialect({ pool: new pg.Pool({ max: 10 }) }),
	plugins: [new CamelCasePlugin({ maintainNestedObjectKeys: true })],
}).withSchema("appdb");
const onKysely = await testAdapter({
	...common,
	adapter: () => kyselyAdapter(db, { type: "postgres", usePlural: true, transaction: true }),
	runMigrations: (options) => migrate(missing(options), false),
	onFinish: async () => {
		await db.destroy();
		await owner.end();
	},
});
onKysely.execute();
