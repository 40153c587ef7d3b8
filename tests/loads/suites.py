"""Suites of strangers that read what is not loaded."""

from __future__ import annotations

import textwrap

MODELS = """
    from typing import List, Optional

    from sqlalchemy import ForeignKey, create_engine, select
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
    from sqlalchemy.orm import (
        DeclarativeBase, Mapped, Session, mapped_column, relationship, selectinload
    )

    class Base(DeclarativeBase): pass

    class Author(Base):
        __tablename__ = "authors"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
        bio: Mapped[Optional[str]] = mapped_column(deferred=True)
        posts: Mapped[List["Post"]] = relationship(back_populates="author")

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
        author: Mapped[Author] = relationship(back_populates="posts")

    engine = create_engine("sqlite:///app.db")
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Post(author=Author(name="ada")), Post(author=Author(name="bob"))])
        session.commit()

    async_engine = create_async_engine("sqlite+aiosqlite:///app.db")

    def lazy():
        with Session(engine) as session:
            return len(session.get(Author, 1).posts)

    def loop():
        with Session(engine) as session:
            return [post.author.name for post in session.scalars(select(Post))]

    def eager():
        with Session(engine) as session:
            query = select(Post).options(selectinload(Post.author))
            return [post.author.name for post in session.scalars(query)]

    def detached():
        with Session(engine) as session:
            return session.get(Author, 1)

    def swallow():
        try:
            return detached().posts
        except Exception:
            return []

    def whole():
        with Session(engine) as session:
            author = session.get(Author, 1, options=[selectinload(Author.posts)])
        return author.posts

    async def swallow_async():
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            try:
                value = author.posts
            except Exception:
                value = []
        await async_engine.dispose()
        return value

    async def whole_async():
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1, options=[selectinload(Author.posts)])
        await async_engine.dispose()
        return author.posts

    async def awaited_loop():
        async with AsyncSession(async_engine) as session:
            for author in (await session.scalars(select(Author))).all():
                await session.run_sync(lambda _: author.posts)
        await async_engine.dispose()
"""

HEAD = """
import pytest
from app import (
    Author, Post, Session, awaited_loop, detached, eager, engine, lazy, loop, select, swallow,
    swallow_async, whole, whole_async,
)
from pytest_sessionguard import LazyLoadError, assert_no_lazy_load
"""

INI = "[pytest]\nasyncio_mode = auto\nfilterwarnings =\n    ignore:coroutine\n"


def suite(tests: str, head: str = "") -> dict[str, str]:
    """Give the files of a suite with these tests."""
    text = textwrap.dedent(head) + HEAD + "\n" + textwrap.dedent(tests)
    return {"app.py": MODELS, "pytest.ini": INI, "test_x.py": text}


def at(text: str) -> int:
    """Give the number of the first line of the models that has a text."""
    lines = textwrap.dedent(MODELS).lstrip("\n").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
