"""Databases of the applications, and a guard around each test that lets nothing pass."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import tidy_up
from loads.conftest import Watching, watching
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from web.models import Author, Base, Book

__all__ = ["watching"]


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The path of a database with an author and two books."""
    path = tmp_path / "app.db"
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Author(name="Ada", books=[Book(title="Notes"), Book(title="Letters")]))
        session.commit()
    engine.dispose()
    return str(path)


@pytest.fixture
def make_engine(database: str, watching: Watching) -> Iterator[Callable[..., Any]]:
    """Give what makes a sync engine with a pool of a size."""
    engines = []

    def make(size: int = 5) -> Any:
        url = f"sqlite:///{database}"
        engines.append(create_engine(url, pool_size=size, max_overflow=0, pool_timeout=60))
        return engines[-1]

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def make_async_engine(database: str, watching: Watching) -> Iterator[Callable[..., Any]]:
    """Give what makes an async engine with a pool of a size."""

    def make(size: int = 5) -> Any:
        url = f"sqlite+aiosqlite:///{database}"
        return create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=60)

    yield make
    tidy_up()


@pytest.fixture
def run() -> Callable[..., Any]:
    """Give what runs a coroutine, disposes of engines in its loop, and collects what was lost."""

    def run(coroutine: Coroutine[Any, Any, Any], *engines: Any) -> Any:
        async def main() -> Any:
            try:
                return await coroutine
            finally:
                for engine in engines:
                    await engine.dispose()
                others = asyncio.all_tasks() - {asyncio.current_task()}
                assert not others, "a task was left behind"

        return asyncio.run(main())

    return run


@pytest.fixture(autouse=True)
def _quick_collections() -> Iterator[None]:
    gc.freeze()
    yield
    gc.unfreeze()
