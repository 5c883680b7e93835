import { db } from "@/lib/db";
import { users } from "@/lib/db/schema";

const allUsers = await db.select().from(users);

console.log(`${allUsers.length} users`);
await db.$client.end();
