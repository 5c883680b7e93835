#!/usr/bin/env python3
"""A tour of appdb with SQLAlchemy (1.4 or 2.0): what docs/clients.md says of it.

    python3 sqlalchemy_tour.py APPLICATION WORKER TOKEN

The first two are connection strings: of a role with access level "app", and of
one with level "service". The token is that of a session.
"""

import json
import sys
import time
import warnings
from contextlib import contextmanager

import psycopg2
from sqlalchemy import FetchedValue, MetaData, create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, declarative_base, relationship
from sqlalchemy.orm.exc import StaleDataError

application, worker, token = sys.argv[1:]
engine = create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(application))

# keys and defaults are those of the base tables, statements are for the live views
warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index")
Base = declarative_base(metadata=MetaData(schema="app_data"))
Base.metadata.reflect(engine, only=["users", "spaces", "chats", "messages"])
table = Base.metadata.tables
for t in table.values():
    t.schema = "appdb"  # not a schema_translate_map: types stay in app_data
table["app_data.chats"].c.updated_at.server_onupdate = FetchedValue()


class User(Base):
    __table__ = table["app_data.users"]
    metadata_ = __table__.c.metadata


class Chat(Base):
    __table__ = table["app_data.chats"]
    metadata_ = __table__.c.metadata
    # what is below a row is deleted by the database
    messages = relationship("Message", order_by="Message.id", passive_deletes="all")
    # updated_at moves with each change: a row that somebody else changed meanwhile is not overwritten
    __mapper_args__ = {"version_id_col": __table__.c.updated_at, "version_id_generator": False, "eager_defaults": True}


class Message(Base):
    __table__ = table["app_data.messages"]
    metadata_ = __table__.c.metadata
    author = relationship(User)


@contextmanager
def as_user(token):
    """A transaction of the user whose session this is."""
    # expire_on_commit=False: after the transaction nobody asks, so that nothing could be read again
    with Session(engine, expire_on_commit=False) as session, session.begin():
        session.execute(text("SELECT appdb.authenticate(:token)"), {"token": token})
        yield session


with as_user(token) as session:
    print("I am", session.execute(select(User.name).where(text("id = appdb.current_user_id()"))).scalar_one())
    chat = session.execute(select(Chat).where(Chat.title.like("Tour%"))).scalar_one()
    print("chat:", chat.title)
    for message in chat.messages:
        print("message:", message.content, "by", message.author.name)
    query = {"columns": ["title"], "where": {"id": str(chat.id)}, "with": {"messages": {"columns": ["content"], "limit": 1, "orderBy": "id"}}}
    tree = session.execute(text("SELECT appdb.find('chats', :query)"), {"query": json.dumps(query)}).scalar_one()
    print("found:", tree[0]["title"], tree[0]["messages"][0]["content"])

with as_user(token) as session:
    chat = session.get(Chat, chat.id)
    before = session.query(Chat).count()
    session.delete(chat)
    session.flush()
    print("deleted:", before - session.query(Chat).count(), chat.title)
    print("messages left:", session.query(Message).filter_by(chat_id=chat.id).count())
    session.execute(text("SELECT appdb.restore('appdb.chats', :id)"), {"id": str(chat.id)})
    print("messages restored:", session.query(Message).filter_by(chat_id=chat.id).count())

# the transaction is over, and with it who asked
with Session(engine) as session:
    print("afterwards: %s, %d chats" % tuple(session.execute(text("SELECT appdb.current_user_id(), count(*) FROM appdb.chats")).one()))
try:
    with as_user("not a token"):
        pass
except DBAPIError as error:
    print("refused:", error.orig.pgcode)

# a task: the application wants it done, a worker does it
with as_user(token) as session:
    enqueue = text("SELECT appdb.enqueue('tour.add', '{\"a\": 1, \"b\": 2}', queue => 'tour', user_id => appdb.current_user_id())")
    task = session.execute(enqueue).scalar_one()
with create_engine("postgresql+psycopg2://", creator=lambda: psycopg2.connect(worker)).begin() as connection:
    for task_id, ticket, payload in connection.execute(text("SELECT id, ticket, payload FROM appdb.claim('{tour}', 'sqlalchemy_tour.py')")).all():
        done = {"id": task_id, "ticket": ticket, "result": json.dumps({"sum": payload["a"] + payload["b"]})}
        connection.execute(text("SELECT appdb.complete(:id, :ticket, :result)"), done)
with as_user(token) as session:
    print("task: %s %s" % tuple(session.execute(text("SELECT status, result ->> 'sum' FROM appdb.tasks WHERE id = :id"), {"id": task}).one()))

# two who change the same row: the second is told
try:
    with as_user(token) as mine:
        chat = mine.get(Chat, chat.id)
        with as_user(token) as theirs:
            theirs.get(Chat, chat.id).metadata_ = {"seen": time.time()}
        chat.title = "Tour of mine"
        mine.flush()
except StaleDataError:
    print("changed by somebody else")
