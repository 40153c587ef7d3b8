"""Suites of a stranger whose services are checked."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from harness import Run

MODELS = """
    from sqlalchemy import ForeignKey, create_engine, event, func, select, text
    from sqlalchemy.orm import (
        DeclarativeBase, Mapped, Session, defer, deferred, joinedload, load_only, mapped_column,
        relationship, scoped_session, selectinload, sessionmaker,
    )

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        note: Mapped[str | None] = mapped_column(deferred=True, default=None)
        posts: Mapped[list["Post"]] = relationship(back_populates="author")

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        author_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
        author: Mapped[User] = relationship(back_populates="posts")

    engine = create_engine("sqlite:///app.db", connect_args={"check_same_thread": False})
    factory = sessionmaker(engine)
    lasting = sessionmaker(engine, expire_on_commit=False)
    registry = scoped_session(factory)
    kept = []

    def reset():
        Base.metadata.drop_all(engine)
        Base.metadata.create_all(engine)
        with factory.begin() as session:
            session.add(User(id=1, name="secret-name", posts=[Post(id=1, title="secret-title")]))
"""

ASYNC_MODELS = """
    from app.models import *
    from app.models import engine as sync_engine
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

    engine = create_async_engine("sqlite+aiosqlite:///app.db", pool_size=30)
    factory = async_sessionmaker(engine)
    lasting = async_sessionmaker(engine, expire_on_commit=False)
"""

CONFTEST = """
    import pytest
    from app.models import reset

    @pytest.fixture(autouse=True)
    def tables():
        reset()
"""

INI = "[pytest]\nasyncio_mode = auto\npythonpath = .\nsessionguard_services = app.services.*\n"


@pytest.fixture
def run_suite(project: Any) -> Callable[..., Run]:
    """Run tests against services, with a database that has one user with one post."""

    def run(services: str, tests: str, *args: str, **more: Any) -> Run:
        models = "from app.models import *\n"
        if "async " in services:
            models = "import asyncio\nfrom app.tables import *\n"
        files = {
            "app/__init__.py": "",
            "app/models.py": MODELS,
            "app/tables.py": ASYNC_MODELS,
            "app/services.py": models + textwrap.dedent(services),
            "conftest.py": CONFTEST,
            "test_x.py": "import pytest\nfrom app import services\n" + textwrap.dedent(tests),
            "pytest.ini": INI,
            **more.pop("files", {}),
        }
        return project(files).run("-p", "no:cacheprovider", *args, **more)

    return run
