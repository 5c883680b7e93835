// What better-auth is told of appdb's tables.

// Names come from the plural (usePlural: true), ids from the database.
export const advanced = { database: { generateId: "uuid" } } as const;

// organization({ schema: organizationSchema }): metadata is a JSON object in
// the database, and a string with JSON in it to better-auth.
export const organizationSchema = {
	organization: {
		additionalFields: {
			metadata: {
				type: "string",
				required: false,
				input: false,
				transform: {
					input: (value: unknown) => (typeof value === "string" ? JSON.parse(value) : value),
					output: (value: unknown) => (value ? JSON.stringify(value) : undefined),
				},
			},
		},
	},
} as const;

// stripe({ schema: stripeSchema }): names that do not say Stripe.
export const stripeSchema = {
	user: { fields: { stripeCustomerId: "billingCustomerId" } },
	organization: { fields: { stripeCustomerId: "billingCustomerId" } },
	subscription: {
		fields: {
			stripeCustomerId: "providerCustomerId",
			stripeSubscriptionId: "providerSubscriptionId",
			stripeScheduleId: "providerScheduleId",
			periodStart: "currentPeriodStart",
			periodEnd: "currentPeriodEnd",
		},
	},
} as const;
