"""The handle's aids for debugging: the state of an object, the log of its session, a pool."""

from __future__ import annotations

from typing import Any

import pytest

MODELS = """
    from sqlalchemy import ForeignKey, create_engine, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
    from sqlalchemy.pool import NullPool, QueuePool, StaticPool

    class Base(DeclarativeBase): pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        bio: Mapped[str] = mapped_column(default="", deferred=True)
        friend_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
        friend: Mapped["User | None"] = relationship()

    def make_engine(path, pool=QueuePool):
        engine = create_engine(f"sqlite:///{path}/users.db", poolclass=pool)
        Base.metadata.create_all(engine)
        with Session(engine) as session:
            session.add(User(name="hush"))
            session.commit()
        return engine

    def load(engine):
        with Session(engine) as session:
            return session.scalars(select(User)).one()
"""


def run(project: Any, body: str, *args: str) -> Any:
    test = f"""
    import logging
    import pytest
    from models import *

    def test_a(sessionguard, tmp_path, caplog):
        {body}
    """
    return project({"models.py": MODELS, "test_x.py": test}).run(*args)


STATES = {
    "transient": "user = User(name='x')",
    "pending": "session = Session(make_engine(tmp_path)); user = User(name='x'); session.add(user)",
    "persistent": """
        session = Session(make_engine(tmp_path))
        user = session.scalars(select(User)).one()
    """,
    "deleted": """
        session = Session(make_engine(tmp_path))
        user = session.scalars(select(User)).one()
        session.delete(user)
        session.flush()
    """,
    "detached": "user = load(make_engine(tmp_path))",
}


@pytest.mark.parametrize("state", STATES)
def test_state(project: Any, state: str) -> None:
    """Each of SQLAlchemy's five states is told by its name, without a load."""
    body = f"""{STATES[state]}
        told = sessionguard.state(user)
        assert (told.model, told.state) == ("User", {state!r})
        assert "hush" not in str(told)
        if {state!r} in ("pending", "persistent", "deleted"):
            session.close()
    """
    assert run(project, body).is_clean()


def test_state_of_a_detached_object(project: Any) -> None:
    """What is not loaded is named, and where the session was opened and closed."""
    body = """
        told = sessionguard.state(load(make_engine(tmp_path)))
        assert told.unloaded == ("bio",)
        assert told.relationships == ("friend",)
        assert str(told) == (
            "User, detached; not loaded: bio, friend; "
            "session Session opened at models.py:24 in load; "
            "closed the block of models.py:24 in load, which ends at line 25"
        )
    """
    assert run(project, body).is_clean()


def test_state_of_an_expired_object(project: Any) -> None:
    """After a commit the columns are expired."""
    body = """
        with Session(make_engine(tmp_path)) as session:
            user = session.scalars(select(User)).one()
            session.commit()
            assert sorted(sessionguard.state(user).expired) == ["friend_id", "id", "name"]
    """
    assert run(project, body).is_clean()


def test_state_of_something_else(project: Any) -> None:
    """What is no ORM instance is refused."""
    body = """
        with pytest.raises(TypeError, match="'int' is no mapped class"):
            sessionguard.state(1)
    """
    assert run(project, body).is_clean()


def test_log_session(project: Any) -> None:
    """A detached object is a warning, an attached one a debug message; no value is written."""
    body = """
        caplog.set_level(logging.DEBUG, "pytest_sessionguard")
        engine = make_engine(tmp_path)
        sessionguard.log_session(load(engine), "drawing the card")
        with Session(engine) as session:
            sessionguard.log_session(session.scalars(select(User)).one(), "renaming")
        levels = [(r.levelname, r.getMessage().split(";")[0]) for r in caplog.records]
        assert levels == [
            ("WARNING", "drawing the card: User, detached"),
            ("DEBUG", "renaming: User, persistent"),
        ]
        assert "hush" not in caplog.text
    """
    assert run(project, body).is_clean()


def test_pool_status(project: Any) -> None:
    """The numbers are the pool's, and each connection that is out has its holder."""
    body = """
        engine = make_engine(tmp_path)
        with engine.connect() as connection:
            told = sessionguard.pool_status(engine)
            assert (told.size, told.checked_in, told.checked_out, told.overflow) == (5, 0, 1, -4)
            assert str(told) == (
                "size 5, checked in 0, checked out 1, overflow -4\\n"
                "  - test_x.py:8 in test_a, by test_a"
            )
        assert sessionguard.pool_status(engine).holders == ()
        engine.dispose()
    """
    assert run(project, body).is_clean()


@pytest.mark.parametrize("pool", ["NullPool", "StaticPool"])
def test_pool_without_a_size(project: Any, pool: str) -> None:
    """A pool that does not count is told by what is out of it."""
    body = f"""
        engine = make_engine(tmp_path, {pool})
        with engine.connect():
            told = sessionguard.pool_status(engine)
            assert (told.size, told.checked_in, told.checked_out) == (None, None, 1)
        engine.dispose()
    """
    assert run(project, body).is_clean()


def test_pool_status_of_something_else(project: Any) -> None:
    """What is no engine is refused."""
    body = """
        with pytest.raises(TypeError, match="takes an engine, not 'str'"):
            sessionguard.pool_status("postgresql://")
    """
    assert run(project, body).is_clean()


def test_while_off(project: Any) -> None:
    """With the guard off they tell what they know without it."""
    body = """
        engine = make_engine(tmp_path)
        with engine.connect():
            assert sessionguard.pool_status(engine).checked_out == 1
        assert sessionguard.state(load(engine)).session == ()
        engine.dispose()
    """
    told = run(project, body, "--sessionguard=off")
    assert told.results == {"test_a": "passed"}
