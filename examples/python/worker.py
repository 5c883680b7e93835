#!/usr/bin/env python3
"""A worker for appdb's task queue: psycopg 3, one connection, one task at a time.

    PGDATABASE=app python3 worker.py          until it is told to stop
    PGDATABASE=app python3 worker.py --once   until there is nothing to do
"""

import os
import signal
import sys
import threading
import traceback

import psycopg
from psycopg.types.json import Jsonb

QUEUES = ["default"]
LEASE = "30 seconds"
NAME = f"worker.py {os.getpid()}"


def add(task, progress):
    return {"sum": task["a"] + task["b"]}


def fail(task, progress):
    raise RuntimeError("it always does")


def count(task, progress):
    for i in range(1, task["to"] + 1):
        if progress(i / task["to"], f"at {i}"):
            break
    return {"counted": task["to"]}


# what each kind of task does: an error makes it fail, and it is tried again
HANDLERS = {"example.add": add, "example.fail": fail, "example.count": count}

stopping = threading.Event()


def beat(task_id, ticket, done):
    """Prolongs the lease while the task runs, on a connection of its own."""
    with psycopg.connect(autocommit=True) as conn:
        while not done.wait(10):
            conn.execute("SELECT appdb.heartbeat(%s, %s, %s)", (task_id, ticket, LEASE))


def run(conn, task_id, ticket, kind, payload):
    done = threading.Event()
    heart = threading.Thread(target=beat, args=(task_id, ticket, done), daemon=True)
    heart.start()
    try:
        def progress(fraction, message=None):
            row = conn.execute("SELECT appdb.progress(%s, %s, %s::real, %s)", (task_id, ticket, fraction, message)).fetchone()
            return row[0]  # whether it was canceled

        result = HANDLERS[kind](payload, progress)
        conn.execute("SELECT appdb.complete(%s, %s, %s)", (task_id, ticket, Jsonb(result)))
    except psycopg.errors.ObjectNotInPrerequisiteState as error:
        print(error, file=sys.stderr)  # somebody else has it by now
    except Exception:
        conn.execute("SELECT appdb.fail(%s, %s, %s)", (task_id, ticket, traceback.format_exc()))
    finally:
        done.set()
        heart.join()


def main():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("LISTEN appdb_tasks")
        while not stopping.is_set():
            tasks = conn.execute(
                "SELECT id, ticket, kind, payload FROM appdb.claim(%s, %s, 1, %s)", (QUEUES, NAME, LEASE)
            ).fetchall()
            for task in tasks:
                run(conn, *task)
            if tasks:
                continue
            if "--once" in sys.argv:
                break
            wait = conn.execute("SELECT appdb.idle(%s)", (QUEUES,)).fetchone()[0].total_seconds()
            if wait > 0:
                wait_for_notification(conn, wait)


def wait_for_notification(conn, seconds):
    from select import select

    # one second at a time, to see whether we shall stop
    while seconds > 0 and not stopping.is_set():
        ready, _, _ = select([conn.fileno()], [], [], min(seconds, 1))
        if ready:
            conn.execute("SELECT 1")  # takes in what has arrived
            return
        seconds -= 1


if __name__ == "__main__":
    main()
