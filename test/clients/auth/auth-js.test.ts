// Auth.js: its Drizzle adapter, method by method, as the project's own suite
// of adapters asks, and then whole requests.
import { Auth, skipCSRFCheck } from "@auth/core";
import { DrizzleAdapter } from "@auth/drizzle-adapter";
import { drizzle } from "drizzle-orm/postgres-js";
import postgres from "postgres";
import { afterAll, describe, expect, test } from "vitest";
import { tables } from "./auth-js.js";

// prepare: false for pgbouncer
const client = postgres({ max: 10, prepare: !process.env.APPDB_DIRECT, onnotice: () => {} });
const adapter = DrizzleAdapter(drizzle(client), tables) as any;
afterAll(() => client.end());
const hours = (n: number) => new Date(Date.now() + n * 3600_000);
const someone = () => ({ id: crypto.randomUUID(), name: "Ann", email: `ann-${crypto.randomUUID()}@example.com`, image: "https://example.com/ann.png", emailVerified: new Date() });
const oauth = (userId: string) => ({
	userId, provider: "github", providerAccountId: crypto.randomUUID(), type: "oauth", access_token: "a", refresh_token: "r", id_token: "i",
	expires_at: 2592000, token_type: "bearer", scope: "user", session_state: "s",
});

describe("adapter", () => {
	test("users", async () => {
		const ann = someone();
		const made = await adapter.createUser(ann);
		expect(made).toEqual({ ...ann, id: made.id });
		expect(made.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
		expect(await adapter.getUser(made.id)).toEqual(made);
		expect(await adapter.getUser(crypto.randomUUID())).toBeNull();
		expect(await adapter.getUserByEmail(ann.email)).toEqual(made);
		expect(await adapter.getUserByEmail("nobody@example.com")).toBeNull();
		const changed = await adapter.updateUser({ id: made.id, name: "Anna", emailVerified: null });
		expect(changed).toEqual({ ...made, name: "Anna", emailVerified: null });
		expect(await adapter.getUser(made.id)).toEqual(changed);
		expect((await adapter.createUser({ email: `x-${crypto.randomUUID()}@example.com`, emailVerified: null })).name).toBeNull();
	});
	test("sessions", async () => {
		const user = await adapter.createUser(someone());
		const session = { sessionToken: crypto.randomUUID(), userId: user.id, expires: hours(1) };
		expect(await adapter.createSession(session)).toEqual(session);
		expect(await adapter.getSessionAndUser(session.sessionToken)).toEqual({ session, user });
		expect(await adapter.getSessionAndUser("another")).toBeNull();
		const expires = hours(48);
		expect(await adapter.updateSession({ sessionToken: session.sessionToken, expires })).toEqual({ ...session, expires });
		await adapter.deleteSession(session.sessionToken);
		expect(await adapter.getSessionAndUser(session.sessionToken)).toBeNull();
	});
	test("accounts", async () => {
		const user = await adapter.createUser(someone());
		const account = oauth(user.id);
		await adapter.linkAccount(account);
		expect(await adapter.getAccount(account.providerAccountId, account.provider)).toEqual(account);
		expect(await adapter.getUserByAccount(account)).toEqual(user);
		expect(await adapter.getUserByAccount({ provider: "github", providerAccountId: "another" })).toBeNull();
		await adapter.unlinkAccount(account);
		expect(await adapter.getUserByAccount(account)).toBeNull();
		expect(await adapter.getAccount(account.providerAccountId, account.provider)).toBeNull();
	});
	test("a deleted user takes sessions and accounts along", async () => {
		const user = await adapter.createUser(someone());
		const account = oauth(user.id);
		await adapter.linkAccount(account);
		const session = { sessionToken: crypto.randomUUID(), userId: user.id, expires: hours(1) };
		await adapter.createSession(session);
		await adapter.deleteUser(user.id);
		expect(await adapter.getUser(user.id)).toBeNull();
		expect(await adapter.getSessionAndUser(session.sessionToken)).toBeNull();
		expect(await adapter.getAccount(account.providerAccountId, account.provider)).toBeNull();
	});
	test("passkeys, in a table of one's own", async () => {
		const user = await adapter.createUser(someone());
		const key = {
			credentialID: crypto.randomUUID(), userId: user.id, providerAccountId: crypto.randomUUID(), credentialPublicKey: "key",
			counter: 0, credentialDeviceType: "singleDevice", credentialBackedUp: false, transports: null,
		};
		expect(await adapter.createAuthenticator(key)).toEqual(key);
		expect(await adapter.getAuthenticator(key.credentialID)).toEqual(key);
		expect(await adapter.getAuthenticator("another")).toBeNull();
		expect(await adapter.listAuthenticatorsByUserId(user.id)).toEqual([key]);
		expect(await adapter.updateAuthenticatorCounter(key.credentialID, 7)).toEqual({ ...key, counter: 7 });
		await adapter.deleteUser(user.id);
		expect(await adapter.getAuthenticator(key.credentialID)).toBeNull();
	});
	test("verification tokens: one of many gets it", async () => {
		const token = { identifier: "ann@example.com", token: crypto.randomUUID(), expires: hours(1) };
		expect(await adapter.createVerificationToken(token)).toMatchObject(token);
		const used = await Promise.all(Array.from({ length: 20 }, () => adapter.useVerificationToken(token)));
		expect(used.filter(Boolean)).toEqual([token]);
	});
});

describe("requests", () => {
	const mails: any[] = [];
	const request = (path: string, body?: Record<string, string>, cookie = "") =>
		Auth(
			new Request(`http://localhost:3000/auth${path}`, {
				method: body ? "POST" : "GET",
				headers: { cookie, ...(body && { "content-type": "application/x-www-form-urlencoded" }) },
				body: body && new URLSearchParams(body),
			}),
			{
				adapter,
				basePath: "/auth",
				secret: "a secret of the test only, and long enough for one",
				trustHost: true,
				skipCSRFCheck,
				logger: { error() {} },
				session: { strategy: "database" },
				providers: [{ id: "email", type: "email", name: "Email", from: "app@example.com", maxAge: 600, sendVerificationRequest: async (m: any) => void mails.push(m) } as any],
			},
		);

	test("sign in by e-mail, once for each link; the database knows the session", async () => {
		const email = `ann-${crypto.randomUUID()}@example.com`;
		for (const time of ["first", "second"]) {
			expect((await request("/signin/email", { email })).status, time).toBe(302);
			const link = new URL(mails.at(-1).url);
			const replies = await Promise.all(Array.from({ length: 8 }, () => request(link.pathname.replace("/auth", "") + link.search)));
			const cookies = replies.flatMap((r) => r.headers.getSetCookie()).filter((c) => c.includes("session-token="));
			expect(cookies).toHaveLength(1);
			const cookie = cookies[0].split(";")[0];
			const session: any = await (await request("/session", undefined, cookie)).json();
			expect(session.user).toMatchObject({ email });
			const token = cookie.split("=")[1];
			const [who] = await client.begin(async (sql) => {
				await sql`SELECT appdb.authenticate(${token})`;
				return sql`SELECT u.email FROM appdb.users AS u WHERE u.id = appdb.current_user_id() AND u.email_verified`;
			});
			expect(who.email).toBe(email);
			await request("/signout", {}, cookie);
			expect(await (await request("/session", undefined, cookie)).json()).toBeNull();
		}
	});
});
