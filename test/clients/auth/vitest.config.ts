import { defineConfig } from "vitest/config";

// the package as it is in this checkout
const schema = new URL("../../../clients/typescript/src/schema/", import.meta.url).pathname;
const alias = [
	{ find: /^appdb-client\/schema$/, replacement: `${schema}index.ts` },
	{ find: /^appdb-client\/schema\/(.*)$/, replacement: `${schema}$1.ts` },
];

export default defineConfig({
	server: { fs: { strict: false } },
	// one database, whose tables the suites empty: one file at a time
	test: {
		fileParallelism: false,
		maxWorkers: 1,
		projects: [
			{
				resolve: { alias, dedupe: ["drizzle-orm"] },
				test: { name: "", include: ["*.test.ts"], exclude: ["*-v2.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 },
			},
			{
				// Drizzle 1.0 beside 0.45
				resolve: { alias: [...alias, { find: /^drizzle-orm(?=\/|$)/, replacement: "drizzle-v2" }], dedupe: ["drizzle-v2"] },
				test: { name: "v2", include: ["*-v2.test.ts"], testTimeout: 60_000, hookTimeout: 60_000, server: { deps: { inline: [/drizzle-adapter/] } } },
			},
		],
	},
});
