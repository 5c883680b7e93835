#!/usr/bin/env python3
"""A tour of appdb with Django's models: what docs/clients.md says of it.

    python3 django_tour.py APPLICATION WORKER TOKEN

The first two are connection strings ("dbname=… user=…"): of a role with access
level "app", and of one with level "service". The token is that of a session.
"""

import json
import os
import secrets
import sys
import time
import uuid
from contextlib import contextmanager

import django
from django.conf import settings

application, worker, token = sys.argv[1:]


def database(conninfo):
    names = {"dbname": "NAME", "user": "USER"}
    options = {names[name]: value for name, value in (word.split("=", 1) for word in conninfo.split())}
    # server-side cursors of .iterator() would outlive a transaction that a pooler has given to somebody else
    return {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ.get("PGHOST", ""), "PORT": os.environ.get("PGPORT", ""),
            "DISABLE_SERVER_SIDE_CURSORS": True, **options}


settings.configure(DATABASES={"default": database(application), "server": database(worker)}, USE_TZ=True, DEFAULT_AUTO_FIELD="django.db.models.BigAutoField")
django.setup()

from django.db import DatabaseError, connection, connections, models, transaction  # noqa: E402


def uuid7():
    """An id in the order of time, as appdb.uuidv7() makes it (from Python 3.14 on: uuid.uuid7)."""
    milliseconds = time.time_ns() // 1_000_000
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62))


class Row(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Visibility(models.TextField):
    """An enum: since 5.2, Django has to know its name where it sends many values in an array."""

    def db_type(self, connection):
        return "app_data.chat_visibility"


# managed = False: no migrations; DO_NOTHING: what is below a row is deleted by the database
class User(Row):
    name = models.TextField(null=True)

    class Meta:
        app_label, managed, db_table = "tour", False, '"appdb"."users"'


class Space(Row):
    name = models.TextField()

    class Meta:
        app_label, managed, db_table = "tour", False, '"appdb"."spaces"'


class Chat(Row):
    space = models.ForeignKey(Space, models.DO_NOTHING)
    user = models.ForeignKey(User, models.DO_NOTHING, null=True)
    title = models.TextField(null=True)
    visibility = Visibility(default="space")
    metadata = models.JSONField(default=dict)

    class Meta:
        app_label, managed, db_table = "tour", False, '"appdb"."chats"'


class Message(Row):
    space = models.ForeignKey(Space, models.DO_NOTHING)
    chat = models.ForeignKey(Chat, models.DO_NOTHING, related_name="messages")
    user = models.ForeignKey(User, models.DO_NOTHING, null=True)
    role = models.TextField()
    content = models.TextField()

    class Meta:
        app_label, managed, db_table = "tour", False, '"appdb"."messages"'


@contextmanager
def as_user(token):
    """A transaction of the user whose session this is."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT appdb.authenticate(%s)", [token])
        yield cursor


with as_user(token) as cursor:
    cursor.execute("SELECT appdb.current_user_id()")
    me = User.objects.get(id=cursor.fetchone()[0])
    print("I am", me.name)
    chat = Chat.objects.get(title__startswith="Tour", visibility="space")
    print("chat:", chat.title)
    for message in chat.messages.select_related("user").order_by("id"):
        print("message:", message.content, "by", message.user.name)
    query = {"columns": ["title"], "where": {"id": str(chat.id)}, "with": {"messages": {"columns": ["content"], "limit": 1, "orderBy": "id"}}}
    cursor.execute("SELECT appdb.find('chats', %s)::text", [json.dumps(query)])
    tree = json.loads(cursor.fetchone()[0])
    print("found:", tree[0]["title"], tree[0]["messages"][0]["content"])

with as_user(token) as cursor:
    print("deleted:", Chat.objects.select_for_update().get(id=chat.id).delete()[0], chat.title)
    print("messages left:", Message.objects.filter(chat_id=chat.id).count())
    cursor.execute("SELECT appdb.restore('appdb.chats', %s)", [str(chat.id)])
    print("messages restored:", chat.messages.count())

# the transaction is over, and with it who asked
with connection.cursor() as cursor:
    cursor.execute("SELECT appdb.current_user_id(), count(*) FROM appdb.chats")
    print("afterwards: %s, %d chats" % cursor.fetchone())
try:
    with as_user("not a token"):
        pass
except DatabaseError as error:
    print("refused:", getattr(error.__cause__, "pgcode", None) or error.__cause__.sqlstate)

# a task: the application wants it done, a worker does it
with as_user(token) as cursor:
    cursor.execute("SELECT appdb.enqueue('tour.add', %s, queue => 'tour', user_id => appdb.current_user_id())", [json.dumps({"a": 1, "b": 2})])
    task = cursor.fetchone()[0]
with connections["server"].cursor() as cursor:
    cursor.execute("SELECT id, ticket, payload::text FROM appdb.claim('{tour}', 'django_tour.py')")
    for task_id, ticket, payload in cursor.fetchall():
        payload = json.loads(payload)
        cursor.execute("SELECT appdb.complete(%s, %s, %s)", [task_id, ticket, json.dumps({"sum": payload["a"] + payload["b"]})])
with as_user(token) as cursor:
    cursor.execute("SELECT status, result ->> 'sum' FROM appdb.tasks WHERE id = %s", [task])
    print("task: %s %s" % cursor.fetchone())

# made, changed and deleted by many at once
with as_user(token):
    made = Chat.objects.bulk_create([Chat(space_id=chat.space_id, user=me, title=title) for title in ("many", "rows")])
    for row in made:
        row.metadata = {"tags": ["a"]}
    Chat.objects.bulk_update(made, ["metadata"])
    print("many:", Chat.objects.filter(metadata__tags__contains="a").delete()[0], Chat.objects.filter(id=made[0].id).count())
