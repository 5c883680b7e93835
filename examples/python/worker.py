#!/usr/bin/env python3
"""A worker for appdb's task queue: psycopg 3, one task at a time.

    PGDATABASE=app python3 worker.py          until it is told to stop (SIGINT, SIGTERM): it finishes what it does
    PGDATABASE=app python3 worker.py --once   until there is nothing to do

Run as many as you like. One whose connection breaks ends; have it started
again, by systemd for example. What it did is then taken by another, once its
lease has ended.
"""

import os
import select
import signal
import sys
import threading
import time
import traceback

import psycopg
from psycopg.types.json import Jsonb

QUEUES = ["default"]
LEASE = float(os.environ.get("LEASE_SECONDS", 30))
NAME = f"worker.py {os.getpid()}"
LOST = psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.NoDataFound


def add(task):
    return {"sum": task.payload["a"] + task.payload["b"]}


def fail(task):
    raise RuntimeError("it always does\0")


def count(task):
    to = task.payload["to"]
    for i in range(1, to + 1):
        if task.canceled.is_set():
            raise RuntimeError(f"canceled at {i - 1}")
        time.sleep(task.payload.get("seconds", 0))
        task.progress(i / to, f"at {i}")
    return {"counted": to}


# what each kind of task does: an error makes it fail, and it is tried again
HANDLERS = {"example.add": add, "example.fail": fail, "example.count": count}

stopping = threading.Event()


class Task:
    """A task that we have: the lease is prolonged while it runs."""

    def __init__(self, conn, id, ticket, kind, payload):
        self.conn, self.id, self.ticket, self.kind, self.payload = conn, id, ticket, kind, payload
        # somebody has called it off, or another worker has it: to be looked at now and then
        self.canceled = threading.Event()

    def progress(self, fraction, message=None):
        self.note(self.conn, "SELECT appdb.progress(%s, %s, %s, %s)", fraction, message)

    def note(self, conn, statement, *args):
        if conn.execute(statement, (self.id, self.ticket, *args)).fetchone()[0]:
            self.canceled.set()

    def beat(self, done):
        try:
            with psycopg.connect(autocommit=True) as conn:
                while not done.wait(LEASE / 3):
                    self.note(conn, "SELECT appdb.heartbeat(%s, %s, make_interval(secs => %s))", LEASE)
        except psycopg.Error as error:
            # another worker has it, or will: nobody prolongs the lease any more
            print(error, file=sys.stderr)
            self.canceled.set()

    def run(self):
        done = threading.Event()
        heart = threading.Thread(target=self.beat, args=(done,), daemon=True)
        heart.start()
        try:
            try:
                if self.kind not in HANDLERS:
                    raise RuntimeError(f"no handler for {self.kind}")
                result = HANDLERS[self.kind](self)
                self.conn.execute("SELECT appdb.complete(%s, %s, %s)", (self.id, self.ticket, Jsonb(result)))
            except (*LOST, psycopg.OperationalError):
                raise
            except Exception:
                error = traceback.format_exc().replace("\0", "")  # which no text can hold
                self.conn.execute("SELECT appdb.fail(%s, %s, %s)", (self.id, self.ticket, error))
        except LOST as error:
            print(error, file=sys.stderr)  # somebody else has it by now: nothing more to do about it
        finally:
            done.set()
            heart.join()


def main():
    # LISTEN and idle() need a connection of their own, not one of a pooler's
    with psycopg.connect(autocommit=True) as conn:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopping.set())
        # a notification can also come together with the result of a statement
        notified = threading.Event()
        conn.add_notify_handler(lambda _: notified.set())
        conn.execute("LISTEN appdb_tasks")
        while not stopping.is_set():
            notified.clear()
            tasks = conn.execute(
                "SELECT id, ticket, kind, payload FROM appdb.claim(%s, %s, 1, make_interval(secs => %s))", (QUEUES, NAME, LEASE)
            ).fetchall()
            for task in tasks:
                Task(conn, *task).run()
            if tasks:
                continue
            if "--once" in sys.argv:
                break
            wait = conn.execute("SELECT appdb.idle(%s)", (QUEUES,)).fetchone()[0].total_seconds()
            # one second at a time, to see whether we shall stop
            while wait > 0 and not stopping.is_set() and not notified.is_set():
                ready, _, _ = select.select([conn.fileno()], [], [], min(wait, 1))
                if ready:
                    conn.execute("SELECT 1")  # takes in what has arrived
                wait -= 1


if __name__ == "__main__":
    main()
