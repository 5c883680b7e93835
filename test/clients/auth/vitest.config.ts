import { defineConfig } from "vitest/config";

export default defineConfig({
	// the package as it is in this checkout
	resolve: {
		alias: { "appdb-client/schema": new URL("../../../clients/typescript/src/schema/index.ts", import.meta.url).pathname },
		dedupe: ["drizzle-orm"],
	},
	server: { fs: { strict: false } },
	// one database, whose tables the suites empty: one file at a time
	test: { fileParallelism: false, maxWorkers: 1, testTimeout: 60_000, hookTimeout: 60_000 },
});
