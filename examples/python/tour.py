#!/usr/bin/env python3
"""A tour of appdb with psycopg 3: what each part of docs/clients.md says.

    python3 tour.py APPLICATION WORKER TOKEN

The first two are connection strings: of a role with access level "app", and of
one with level "service". The token is that of a session.
"""

import sys
from contextlib import contextmanager

import psycopg
from psycopg.types.json import Jsonb


def connect(conninfo):
    # prepare_threshold=None: pgbouncer in transaction mode does not know prepared statements (before 1.21)
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)


@contextmanager
def as_user(conn, token):
    """A transaction of the user whose session this is."""
    with conn.transaction(), conn.cursor() as cur:
        cur.execute("SELECT appdb.authenticate(%s)", (token,))
        yield cur


def main(application, worker, token):
    conn = connect(application)

    with as_user(conn, token) as cur:
        cur.execute("SELECT name FROM appdb.users WHERE id = appdb.current_user_id()")
        print("I am", cur.fetchone()[0])

        cur.execute("SELECT id, title FROM appdb.chats WHERE title LIKE %s ORDER BY id", ("Tour%",))
        for chat, title in cur.fetchall():
            print("chat:", title)

        # a relation is a function of a row
        cur.execute(
            "SELECT m.content, a.name FROM appdb.chats AS c, appdb.messages(c) AS m, appdb.author(m) AS a WHERE c.id = %s ORDER BY m.id",
            (chat,),
        )
        for content, author in cur:
            print("message:", content, "by", author)

        # a tree in one call
        cur.execute(
            "SELECT appdb.find('chats', %s)",
            (Jsonb({"columns": ["title"], "where": {"id": str(chat)}, "with": {"messages": {"columns": ["content"], "limit": 1, "orderBy": "id"}}}),),
        )
        tree = cur.fetchone()[0]
        print("found:", tree[0]["title"], tree[0]["messages"][0]["content"])

    with as_user(conn, token) as cur:
        # what belongs to the chat goes with it, and comes back with it
        cur.execute("DELETE FROM appdb.chats WHERE id = %s RETURNING title", (chat,))
        print("deleted:", cur.rowcount, cur.fetchone()[0])
        cur.execute("SELECT count(*) FROM appdb.messages WHERE chat_id = %s", (chat,))
        print("messages left:", cur.fetchone()[0])
        cur.execute("SELECT appdb.restore('appdb.chats', %s)", (chat,))
        cur.execute("SELECT count(*) FROM appdb.messages WHERE chat_id = %s", (chat,))
        print("messages restored:", cur.fetchone()[0])

    # the transaction is over, and with it who asked
    with conn.transaction(), conn.cursor() as cur:
        cur.execute("SELECT appdb.current_user_id(), count(*) FROM appdb.chats")
        print("afterwards: %s, %d chats" % cur.fetchone())
    try:
        with as_user(conn, "not a token"):
            pass
    except psycopg.errors.InvalidAuthorizationSpecification as error:
        print("refused:", error.sqlstate)

    # a task: the application wants it done, a worker does it
    with as_user(conn, token) as cur:
        cur.execute("SELECT appdb.enqueue('tour.add', %s, queue => 'tour', user_id => appdb.current_user_id())", (Jsonb({"a": 1, "b": 2}),))
        task = cur.fetchone()[0]
    with connect(worker) as conn2:
        for task_id, ticket, payload in conn2.execute("SELECT id, ticket, payload FROM appdb.claim('{tour}', 'tour.py')").fetchall():
            conn2.execute("SELECT appdb.complete(%s, %s, %s)", (task_id, ticket, Jsonb({"sum": payload["a"] + payload["b"]})))
    with as_user(conn, token) as cur:
        cur.execute("SELECT status, result FROM appdb.tasks WHERE id = %s", (task,))
        status, result = cur.fetchone()
        print("task:", status, result["sum"])
    conn.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
