// The same with Drizzle 1.0.
import { drizzleAdapter } from "@better-auth/drizzle-adapter/relations-v2";
import * as auth from "appdb-client/schema/auth";
import * as organization from "appdb-client/schema/organization";
import { relations } from "appdb-client/schema/relations-v2";
import * as space from "appdb-client/schema/space";
import * as subscription from "appdb-client/schema/subscription";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { flows } from "./flows.js";

const schema = { ...auth, ...organization, ...space, ...subscription };
const client = postgres({ max: 10, prepare: !process.env.APPDB_DIRECT, onnotice: () => {} });
flows("Drizzle 1.0", drizzleAdapter(drizzle({ client, relations }), { provider: "pg", schema, usePlural: true, transaction: true }), () => client.end(), true);
