"""A database with a few rows, and the count of what is sent to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from instances.world import open_engine
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session


@pytest.fixture(scope="module")
def filled() -> Iterator[Engine]:
    """The database of a module."""
    engine = open_engine()
    yield engine
    engine.dispose()


@pytest.fixture
def session(filled: Engine) -> Iterator[Session]:
    """A session whose work never outlives its test."""
    with filled.connect() as connection:
        outer = connection.begin()
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            yield session
        outer.rollback()


@pytest.fixture
def sql(filled: Engine) -> Iterator[list[str]]:
    """Every statement that was sent; `clear()` it before the part that is to send none."""
    sent: list[str] = []

    def on_execute(connection: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    event.listen(filled, "before_cursor_execute", on_execute)
    yield sent
    event.remove(filled, "before_cursor_execute", on_execute)
