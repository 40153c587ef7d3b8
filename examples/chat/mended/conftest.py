"""The chat on a real Postgres: one engine for the run, new rows for each test."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from chat import db
from chat.models import Base, ChatSession, Message, User
from chat.service import ChatService, chat_service
from sqlalchemy import Engine


@pytest.fixture(scope="session")
def engine(sessionguard_postgres: Any) -> Iterator[Engine]:
    """Make the application's engine and all tables, for the whole run."""
    engine = db.configure(sessionguard_postgres.url_for("psycopg"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def service(engine: Engine) -> ChatService:
    """Return the one service of the process."""
    return chat_service


@pytest.fixture
def username() -> str:
    """Return a name that no other test has."""
    return f"user-{uuid4().hex}"


@pytest.fixture
def user_id(engine: Engine, username: str) -> int:
    """Add a user without conversations."""
    with db.get_db() as session:
        user = User(username=username, email="old@example.org")
        session.add(user)
        session.flush()
        new_id = user.id
        session.commit()
        return new_id


@pytest.fixture
def session_id(user_id: int) -> int:
    """Add a conversation of the user."""
    with db.get_db() as session:
        chat_session = ChatSession(user_id=user_id, title="First talk")
        session.add(chat_session)
        session.flush()
        new_id = chat_session.id
        session.commit()
        return new_id


@pytest.fixture
def message_ids(user_id: int, session_id: int) -> list[int]:
    """Add two lines to the conversation."""
    with db.get_db() as session:
        messages = [
            Message(session_id=session_id, user_id=user_id, message_type="user", content=content)
            for content in ("What time is it?", "And in Omsk?")
        ]
        session.add_all(messages)
        session.flush()
        new_ids = [message.id for message in messages]
        session.commit()
        return new_ids
