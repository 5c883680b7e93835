#!/usr/bin/env python3
"""A tour of appdb with asyncpg: what docs/clients.md says of it.

    python3 asyncpg_tour.py APPLICATION WORKER TOKEN

The first two are connection strings ("dbname=… user=…"): of a role with access
level "app", and of one with level "service". The token is that of a session.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager

import asyncpg


async def pool(conninfo):
    names = {"dbname": "database"}
    options = {names.get(name, name): value for name, value in (word.split("=", 1) for word in conninfo.split())}
    # statement_cache_size=0: pgbouncer in transaction mode does not know prepared statements (before 1.21), which cursor()
    # and copy_records_to_table() take all the same. Others are prepared and executed one after the other: each in a transaction.
    return await asyncpg.create_pool(**options, min_size=1, max_size=2, statement_cache_size=0)


@asynccontextmanager
async def as_user(pool, token):
    """A transaction of the user whose session this is."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT appdb.authenticate($1)", token)
        yield connection


async def main(application, worker, token):
    web = await pool(application)

    async with as_user(web, token) as db:
        print("I am", await db.fetchval("SELECT name FROM appdb.users WHERE id = appdb.current_user_id()"))
        chat = await db.fetchrow("SELECT * FROM appdb.chats WHERE title LIKE $1", "Tour%")
        print("chat:", chat["title"])
        messages = "SELECT m.content, a.name FROM appdb.chats AS c, appdb.messages(c) AS m, appdb.author(m) AS a WHERE c.id = $1 ORDER BY m.id"
        for content, name in await db.fetch(messages, chat["id"]):
            print("message:", content, "by", name)
        query = {"columns": ["title"], "where": {"id": str(chat["id"])}, "with": {"messages": {"columns": ["content"], "limit": 1, "orderBy": "id"}}}
        tree = json.loads(await db.fetchval("SELECT appdb.find('chats', $1)", json.dumps(query)))
        print("found:", tree[0]["title"], tree[0]["messages"][0]["content"])

    async with as_user(web, token) as db:
        deleted = await db.fetch("DELETE FROM appdb.chats WHERE id = $1 RETURNING title", chat["id"])
        print("deleted:", len(deleted), deleted[0]["title"])
        print("messages left:", await db.fetchval("SELECT count(*) FROM appdb.messages WHERE chat_id = $1", chat["id"]))
        # say the type of a parameter that could have several; and FROM: within a row, it cannot read the type regclass
        await db.fetch("SELECT * FROM appdb.restore('appdb.chats', $1::uuid)", chat["id"])
        print("messages restored:", await db.fetchval("SELECT count(*) FROM appdb.messages WHERE chat_id = $1", chat["id"]))

    # the transaction is over, and with it who asked
    async with web.acquire() as db, db.transaction():
        print("afterwards: %s, %d chats" % tuple(await db.fetchrow("SELECT appdb.current_user_id(), count(*) FROM appdb.chats")))
    try:
        async with as_user(web, "not a token"):
            pass
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        print("refused:", error.sqlstate)

    # a task: the application wants it done, a worker does it
    async with as_user(web, token) as db:
        task = await db.fetchval("SELECT appdb.enqueue('tour.add', $1, queue => 'tour', user_id => appdb.current_user_id())", '{"a": 1, "b": 2}')
    server = await pool(worker)
    async with server.acquire() as db:
        async with db.transaction():
            rows = await db.fetch("SELECT id, ticket, payload FROM appdb.claim($1, $2)", ["tour"], "asyncpg_tour.py")
        for row in rows:
            payload = json.loads(row["payload"])
            async with db.transaction():
                await db.execute("SELECT appdb.complete($1, $2, $3)", row["id"], row["ticket"], json.dumps({"sum": payload["a"] + payload["b"]}))
    await server.close()
    async with as_user(web, token) as db:
        status, result = await db.fetchrow("SELECT status, result FROM appdb.tasks WHERE id = $1", task)
        print("task:", status, json.loads(result)["sum"])

    # many rows at once, as what this user may insert
    async with as_user(web, token) as db:
        rows = [(chat["space_id"], chat["id"], chat["user_id"], "user", text) for text in ("many", "rows")]
        copied = await db.copy_records_to_table("messages", schema_name="appdb", columns=["space_id", "chat_id", "user_id", "role", "content"], records=rows)
        print("copied:", copied, await db.execute("DELETE FROM appdb.messages WHERE content IN ('many', 'rows')"))
    await web.close()


asyncio.run(main(*sys.argv[1:]))
