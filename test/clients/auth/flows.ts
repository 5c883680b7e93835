// What applications do with better-auth, request by request, through the
// adapter that is given.
import { stripe } from "@better-auth/stripe";
import { betterAuth } from "better-auth";
import { genericOAuth, magicLink, organization } from "better-auth/plugins";
import postgres from "postgres";
import { afterAll, describe, expect, test } from "vitest";
import { advanced, organizationSchema, stripeSchema } from "./better-auth.js";

const origin = "http://localhost:3000";
const unique = () => crypto.randomUUID().slice(0, 8);
const together = <T>(n: number, f: (i: number) => Promise<T>) => Promise.all(Array.from({ length: n }, (_, i) => f(i)));

// a payment provider, as far as the plugin asks
function fakeStripe() {
	const fake = {
		subscription: undefined as any,
		customers: {
			search: async () => ({ data: [] }),
			create: async (p: any) => ({ id: `cus_${unique()}`, ...p }),
			retrieve: async (id: string) => ({ id, email: "other@example.com" }),
			update: async () => ({}),
		},
		subscriptions: {
			list: () => Object.assign(Promise.resolve({ data: [] }), { async *[Symbol.asyncIterator]() {} }),
			retrieve: async () => fake.subscription,
			update: async () => ({}),
		},
		prices: { list: async () => ({ data: [] }), retrieve: async (id: string) => ({ id, recurring: { usage_type: "licensed" } }) },
		checkout: { sessions: { create: async (p: any) => ({ id: "cs_1", url: "https://pay.example.com", ...p }) } },
		webhooks: { constructEventAsync: async (body: string) => JSON.parse(body) },
	};
	return fake;
}

export function flows(name: string, database: any, end: () => Promise<void>, joins = false) {
	const mails: any[] = [];
	const payments = fakeStripe();
	const provider = (providerId: string) => ({
		providerId,
		clientId: "client",
		clientSecret: "secret",
		authorizationUrl: "https://provider.example.com/authorize",
		tokenUrl: "https://provider.example.com/token",
		// the code says who it is
		getToken: async ({ code }: any) => ({ accessToken: code, refreshToken: `refresh-${code}`, accessTokenExpiresAt: new Date(Date.now() + 3600_000), scopes: ["email"] }),
		getUserInfo: async ({ accessToken }: any) => ({ id: `at-${providerId}-${accessToken}`, email: `${accessToken}@example.com`, name: accessToken, emailVerified: true }),
	});
	const auth = betterAuth({
		database,
		advanced: { database: { ...advanced.database, joins } },
		secret: "a secret of the test only, and long enough for one",
		baseURL: origin,
		logger: { level: "error" },
		// a password's hash is not what is tested, and slow on purpose
		emailAndPassword: { enabled: true, password: { hash: async (p) => `hash of ${p}`, verify: async ({ hash, password }) => hash === `hash of ${password}` }, sendResetPassword: async (m) => void mails.push(m) },
		emailVerification: { sendVerificationEmail: async (m) => void mails.push(m) },
		user: { deleteUser: { enabled: true } },
		account: { accountLinking: { enabled: true, trustedProviders: ["acme", "globex"] } },
		plugins: [
			magicLink({ sendMagicLink: async (m) => void mails.push(m) }),
			genericOAuth({ config: [provider("acme"), provider("globex")] as any }),
			organization({ schema: organizationSchema, sendInvitationEmail: async (m) => void mails.push(m) }),
			stripe({
				stripeClient: payments as any,
				stripeWebhookSecret: "whsec_test",
				createCustomerOnSignUp: true,
				schema: stripeSchema,
				organization: { enabled: true },
				subscription: { enabled: true, plans: [{ name: "team", priceId: "price_1" }], authorizeReference: async () => true },
			}),
		],
	});

	type Reply = { status: number; body: any; cookie: string; location: string | null };
	const request = async (path: string, cookie = "", body?: unknown, headers = {}): Promise<Reply> => {
		const res = await auth.handler(
			new Request(`${origin}/api/auth${path}`, {
				method: body ? "POST" : "GET",
				headers: { "content-type": "application/json", origin, cookie, ...headers },
				body: body ? JSON.stringify(body) : undefined,
			}),
		);
		const text = await res.text();
		const set = res.headers.getSetCookie().map((c) => c.split(";")[0]);
		return { status: res.status, body: text.startsWith("{") || text.startsWith("[") || text === "null" ? JSON.parse(text) : text, cookie: set.join("; "), location: res.headers.get("location") };
	};
	const good = async (...args: Parameters<typeof request>) => {
		const reply = await request(...args);
		expect(reply.status, `${args[0]}: ${JSON.stringify(reply.body)}`).toBe(200);
		return reply;
	};
	const signUp = async (email = `ann-${unique()}@example.com`) => {
		const { body, cookie } = await good("/sign-up/email", "", { name: "Ann", email, password: "correct horse battery" });
		return { user: body.user, cookie };
	};
	const verify = async ({ user, cookie }: { user: { email: string }; cookie: string }) => {
		await good("/send-verification-email", cookie, { email: user.email });
		await good(`/verify-email?token=${mails.at(-1).token}`);
	};
	const oauth = async (providerId: string, code: string, cookie = "") => {
		const begun = cookie
			? await good("/link-social", cookie, { provider: providerId, callbackURL: "/" })
			: await good("/sign-in/social", "", { provider: providerId, callbackURL: "/" });
		const state = new URL(begun.body.url).searchParams.get("state");
		return request(`/callback/${providerId}?code=${code}&state=${state}`, [begun.cookie, cookie.replace(/[^ ;]*state=[^;]*(; )?/g, "")].join("; "));
	};
	const owner = postgres({ max: 1, onnotice: () => {}, ...(process.env.APPDB_DIRECT && { host: process.env.APPDB_DIRECT, database: process.env.APPDB_DATABASE }), user: process.env.APPDB_OWNER });

	describe(name, () => {
		afterAll(async () => {
			await end();
			await owner.end();
		});

		test("signs up, in and out; the database knows the session", async () => {
			const { user } = await signUp();
			expect(user.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
			expect((await request("/sign-up/email", "", { name: "Ann", email: user.email.toUpperCase(), password: "correct horse battery" })).status).toBe(422);
			const { cookie } = await good("/sign-in/email", "", { email: user.email, password: "correct horse battery" });
			expect((await request("/sign-in/email", "", { email: user.email, password: "another" })).status).toBe(401);
			const { session, user: same } = (await good("/get-session", cookie)).body;
			expect(same.id).toBe(user.id);
			const [who] = await owner.begin(async (sql) => {
				await sql`SET LOCAL ROLE appdb_test_auth_app`;
				await sql`SELECT appdb.authenticate(${session.token})`;
				return sql`SELECT appdb.current_user_id() AS id, u.email FROM appdb.users AS u`;
			});
			expect(who).toEqual({ id: user.id, email: user.email });
			await good("/update-user", cookie, { name: "Anna" });
			expect((await good("/get-session", cookie)).body.user.name).toBe("Anna");
			expect((await good("/list-sessions", cookie)).body).toHaveLength(2);
			await good("/sign-out", cookie, {});
			expect((await good("/get-session", cookie)).body).toBeNull();
			await expect(owner`SELECT appdb.authenticate(${session.token})`).rejects.toMatchObject({ code: "28000" });
		});

		test("signs in by OAuth, and links and unlinks accounts", async () => {
			const code = `bob-${unique()}`;
			const first = await oauth("acme", code);
			expect([first.status, first.location]).toEqual([302, "/"]);
			const { user } = (await good("/get-session", first.cookie)).body;
			expect(user).toMatchObject({ email: `${code}@example.com`, emailVerified: true });
			const again = await oauth("acme", code);
			expect((await good("/get-session", again.cookie)).body.user.id).toBe(user.id);
			expect((await oauth("globex", code, first.cookie)).location).toBe("/");
			const accounts = (await good("/list-accounts", first.cookie)).body;
			expect(accounts.map((a: any) => [a.providerId, a.accountId, a.userId, a.scopes]).sort()).toEqual(
				["acme", "globex"].map((p) => [p, `at-${p}-${code}`, user.id, ["email"]]),
			);
			await good("/unlink-account", first.cookie, { providerId: "globex", accountId: accounts.find((a: any) => a.providerId === "globex").id });
			expect((await good("/list-accounts", first.cookie)).body).toHaveLength(1);
			expect((await oauth("globex", code, first.cookie)).location).toBe("/");
			expect((await good("/list-accounts", first.cookie)).body).toHaveLength(2);
		});

		test("tokens are used once, however many ask at once", async () => {
			const ann = await signUp();
			await good("/request-password-reset", "", { email: ann.user.email, redirectTo: "/reset" });
			const { token } = mails.at(-1);
			const resets = await together(12, (i) => request("/reset-password", "", { token, newPassword: `the new password ${i}` }));
			expect(resets.filter((r) => r.status === 200)).toHaveLength(1);
			const signedIn = await together(12, (i) => request("/sign-in/email", "", { email: ann.user.email, password: `the new password ${i}` }));
			expect(signedIn.map((r) => r.status === 200)).toEqual(resets.map((r) => r.status === 200));

			await good("/sign-in/magic-link", "", { email: ann.user.email });
			const link = mails.at(-1).token;
			const links = await together(12, () => request(`/magic-link/verify?token=${link}`));
			expect(links.filter((r) => r.status === 200)).toHaveLength(1);
			expect((await owner`SELECT email_verified, email_verified_at IS NOT NULL AS at FROM app_data.users WHERE id = ${ann.user.id}`)[0]).toEqual({ email_verified: true, at: true });

			const context = await auth.$context;
			await context.internalAdapter.createVerificationValue({ identifier: `code-${link}`, value: "1234", expiresAt: new Date(Date.now() + 60_000) });
			const consumed = await together(12, () => context.internalAdapter.consumeVerificationValue(`code-${link}`));
			expect(consumed.filter(Boolean).map((v) => v?.value)).toEqual(["1234"]);
		});

		test("verifies addresses", async () => {
			const ann = await signUp();
			await verify(ann);
			expect((await good("/get-session", ann.cookie)).body.user.emailVerified).toBe(true);
		});

		test("organizations, members and invitations", async () => {
			const [ann, bob] = [await signUp(), await signUp(`bob-${unique()}@example.com`)];
			await verify(bob);
			const metadata = { plan: "x", deep: { some_key: 1 } };
			const slug = `acme-${unique()}`;
			const org = (await good("/organization/create", ann.cookie, { name: "Acme", slug, metadata })).body;
			expect(org).toMatchObject({ name: "Acme", metadata, members: [{ userId: ann.user.id, role: "owner" }] });
			expect((await request("/organization/create", ann.cookie, { name: "Acme", slug })).status).toBe(400);
			const organizationId = org.id;
			expect((await owner`SELECT metadata FROM app_data.organizations WHERE id = ${organizationId}`)[0].metadata).toEqual(metadata);
			const update = await good("/organization/update", ann.cookie, { organizationId, data: { name: "Acme & Co", metadata: { a: [1] } } });
			expect(update.body).toMatchObject({ name: "Acme & Co", metadata: { a: [1] } });
			expect((await good("/organization/list", ann.cookie)).body).toHaveLength(1);
			await good("/organization/set-active", ann.cookie, { organizationId });
			expect((await good("/get-session", ann.cookie)).body.session.activeOrganizationId).toBe(organizationId);

			const invite = async () => (await good("/organization/invite-member", ann.cookie, { organizationId, email: bob.user.email, role: "member" })).body.id;
			await good("/organization/cancel-invitation", ann.cookie, { invitationId: await invite() });
			await good("/organization/reject-invitation", bob.cookie, { invitationId: await invite() });
			const invitationId = await invite();
			expect((await good("/organization/list-user-invitations", bob.cookie)).body.filter((i: any) => i.status === "pending")).toHaveLength(1);
			const accepted = await together(8, () => request("/organization/accept-invitation", bob.cookie, { invitationId }));
			expect(accepted.filter((r) => r.status === 200)).toHaveLength(1);
			const full = (await good(`/organization/get-full-organization?organizationId=${organizationId}`, ann.cookie)).body;
			expect(full.members.map((m: any) => m.role).sort()).toEqual(["member", "owner"]);

			const memberId = full.members.find((m: any) => m.role === "member").id;
			await good("/organization/update-member-role", ann.cookie, { organizationId, memberId, role: "admin" });
			expect((await request("/organization/leave", ann.cookie, { organizationId })).status).toBe(400);
			await good("/organization/remove-member", ann.cookie, { organizationId, memberIdOrEmail: bob.user.email });
			await good("/organization/delete", ann.cookie, { organizationId });
			expect((await good("/organization/list", ann.cookie)).body).toEqual([]);
			// in the trash, and from there back again
			const [deleted] = await owner`SELECT deleted_at IS NOT NULL AS yes FROM app_data.organizations WHERE id = ${organizationId}`;
			expect(deleted.yes).toBe(true);
			await owner`SELECT appdb.restore('appdb.organizations', ${organizationId})`;
			expect(await owner`SELECT FROM appdb.organizations WHERE id = ${organizationId}`).toHaveLength(1);
		});

		test("subscriptions, of people and of organizations", async () => {
			const ann = await signUp();
			const organizationId = (await good("/organization/create", ann.cookie, { name: "Acme", slug: `acme-${unique()}` })).body.id;
			const hook = (type: string, object: any) => good("/stripe/webhook", "", { type, data: { object } }, { "stripe-signature": "any" });
			const urls = { successUrl: `${origin}/ok`, cancelUrl: `${origin}/no` };
			for (const whose of [{ customerType: "user" }, { customerType: "organization", referenceId: organizationId }]) {
				const query = new URLSearchParams(whose as any).toString();
				const checkout = (await good("/subscription/upgrade", ann.cookie, { plan: "team", seats: 3, ...whose, ...urls })).body;
				const now = Math.floor(Date.now() / 1000);
				payments.subscription = {
					id: `sub_${unique()}`, status: "active", customer: checkout.customer, metadata: checkout.metadata, schedule: "sub_sched_1",
					cancel_at_period_end: false, cancel_at: null, canceled_at: null, ended_at: null,
					items: { data: [{ id: "si_1", quantity: 3, price: { id: "price_1", recurring: { interval: "month" } }, current_period_start: now, current_period_end: now + 2592000 }] },
				};
				await hook("checkout.session.completed", { mode: "subscription", subscription: payments.subscription.id, client_reference_id: checkout.client_reference_id, metadata: checkout.metadata });
				const list = (await good(`/subscription/list?${query}`, ann.cookie)).body;
				expect(list).toMatchObject([{ plan: "team", status: "active", seats: 3, billingInterval: "month", stripeSubscriptionId: payments.subscription.id, referenceId: organizationId === whose.referenceId ? organizationId : ann.user.id }]);
				const [row] = await owner`SELECT user_id, organization_id, current_period_end FROM app_data.subscriptions WHERE id = ${list[0].id}`;
				expect(row).toEqual({ user_id: whose.referenceId ? null : ann.user.id, organization_id: whose.referenceId ?? null, current_period_end: new Date((now + 2592000) * 1000) });
				for (const status of ["trialing", "past_due", "unpaid", "paused", "incomplete", "incomplete_expired", "active"]) {
					await hook("customer.subscription.updated", { ...payments.subscription, status });
					expect((await owner`SELECT status, provider_schedule_id AS s FROM app_data.subscriptions WHERE id = ${list[0].id}`)[0]).toEqual({ status, s: "sub_sched_1" });
				}
				await hook("customer.subscription.deleted", { ...payments.subscription, ended_at: now });
				expect((await good(`/subscription/list?${query}`, ann.cookie)).body).toEqual([]);
				// told of by the provider first
				const other = { ...payments.subscription, id: `sub_${unique()}`, metadata: {} };
				await hook("customer.subscription.created", other);
				expect((await good(`/subscription/list?${query}`, ann.cookie)).body).toMatchObject([{ stripeSubscriptionId: other.id }]);
			}
		});

		test("deletes users", async () => {
			const ann = await signUp();
			// of which she is the only owner
			await good("/organization/create", ann.cookie, { name: "Acme", slug: `acme-${unique()}` });
			await good("/delete-user", ann.cookie, { password: "correct horse battery" });
			expect((await good("/get-session", ann.cookie)).body).toBeNull();
			expect((await request("/sign-in/email", "", { email: ann.user.email, password: "correct horse battery" })).status).toBe(401);
			const again = await signUp(ann.user.email);
			expect(again.user.id).not.toBe(ann.user.id);
		});
	});
}
