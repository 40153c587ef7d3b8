"""A guard of its own around each test, and engines whose statements can take their time."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import tidy_up
from loads.conftest import (  # noqa: F401 (fixtures)
    _quick_collections,
    collect,
    database,
    line_of,
    template,
    watching,
)
from sqlalchemy import create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

# What is lost, left open or handed over in these tests is told by others.
OURS = ("SG203", "SG204")
ONE = text("SELECT 1")
SLOW = text("SELECT slow(0.1)")


class Turnstile:
    """A statement that stays inside until it is let out; it tells when it is in."""

    def __init__(self) -> None:
        self.is_in = threading.Event()
        self.may_go = threading.Event()
        self.is_out = threading.Event()

    def stand_before(self, engine: Any) -> None:
        """Let out who is in before anybody else enters the driver.

        SQLite lets nobody in before the first has ended; from Python 3.14 on ``commit`` keeps the
        interpreter's lock while it waits for that, and the first can never end.
        """
        for name in ("before_cursor_execute", "commit", "rollback"):
            event.listen(engine, name, self._let_out)

    def _let_out(self, *arguments: Any) -> None:
        if self.is_in.is_set():
            self.may_go.set()
            self.is_out.wait(10)

    def slow(self, seconds: float) -> float:
        self.is_in.set()
        if seconds:
            time.sleep(seconds)
        else:
            self.may_go.wait(10)
        return seconds


@pytest.fixture
def turnstile() -> Turnstile:
    return Turnstile()


@pytest.fixture
def engine(watching: Any, database: str, turnstile: Turnstile) -> Iterator[Any]:  # noqa: F811
    """A sync engine on SQLite, whose connections any thread may use."""
    arguments = {"check_same_thread": False}
    engine = create_engine(f"sqlite:///{database}", connect_args=arguments)

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        connection.create_function("slow", 1, turnstile.slow)

    yield engine
    engine.dispose()


@pytest.fixture
def async_engine(watching: Any, database: str, turnstile: Turnstile) -> Any:  # noqa: F811
    """An async engine on SQLite; whoever uses it disposes of it."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        connection.run_async(lambda c: c.create_function("slow", 1, turnstile.slow))

    return engine


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    yield
    gc.collect()
    tidy_up()


@pytest.fixture
def findings(watching: Any, collect: Any) -> Callable[[], list[Any]]:  # noqa: F811
    """Give what ends the test and returns the findings."""

    def run() -> list[Any]:
        collect()
        return [f for f in watching.end() if f.rule in OURS]

    return run


def run(main: Any, engine: Any) -> Any:
    """Run a coroutine function with an engine, and dispose of that."""

    async def work() -> Any:
        try:
            return await main(engine)
        finally:
            await engine.dispose()

    return asyncio.run(work())


def lines_of(finding: Any) -> list[str]:
    """Give the source lines at which one came in and the other stood, sorted."""
    return sorted(line_of(finding, label) for label in ("entered at", "still inside"))
