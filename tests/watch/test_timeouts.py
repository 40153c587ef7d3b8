"""A pool that runs dry: who holds its connections."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from pytest_sessionguard.watch import notes

ONE = text("SELECT 1")
TIGHT = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.05}


def take(engine: Any) -> Any:
    return engine.connect()


LINE = take.__code__.co_firstlineno + 1
TAKEN = f"  - taken at tests/watch/test_timeouts.py:{LINE} in take, by test_it"


def test_one_holder(watching: Any, database: str) -> None:
    """The error names who holds the one connection, and where it was taken."""
    engine = create_engine(f"sqlite://{database}", poolclass=QueuePool, **TIGHT)
    connection = take(engine)
    with pytest.raises(PoolTimeoutError) as caught:
        engine.connect()
    expected = ["sessionguard: 1 connection is out of this pool", TAKEN]
    assert expected == caught.value.__notes__
    connection.close()
    engine.dispose()


def test_several_holders(watching: Any, database: str) -> None:
    """It names every one, and none of another pool."""
    options = {**TIGHT, "max_overflow": 2}
    engine = create_engine(f"sqlite://{database}", poolclass=QueuePool, **options)
    other = create_engine(f"sqlite://{database}", poolclass=QueuePool, **TIGHT)
    held = [take(engine), take(engine), take(engine), take(other)]
    with pytest.raises(PoolTimeoutError) as caught:
        Session(engine).execute(ONE)
    expected = ["sessionguard: 3 connections are out of this pool", TAKEN, TAKEN, TAKEN]
    assert expected == caught.value.__notes__
    for connection in held:
        connection.close()
    engine.dispose()
    other.dispose()


def test_async_pool(watching: Any, database: str) -> None:
    """The same in async code."""

    async def work() -> list[str]:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}", **TIGHT)
        async with engine.connect():
            with pytest.raises(PoolTimeoutError) as caught:
                await engine.connect()
        await engine.dispose()
        return list(caught.value.__notes__)

    head, line = asyncio.run(work())
    assert "sessionguard: 1 connection is out of this pool" == head
    assert line.startswith("  - taken at tests/watch/test_timeouts.py:")
    assert line.endswith(" in work, by test_it")


def test_no_holder_that_is_known(watching: Any, database: str) -> None:
    """Where nothing is known of what is out, the error stays as it was."""
    watching.guard.stop()
    engine = create_engine(f"sqlite://{database}", poolclass=QueuePool, **TIGHT)
    connection = engine.connect()
    watching.guard.start()
    with pytest.raises(PoolTimeoutError) as caught:
        engine.connect()
    assert not hasattr(caught.value, "__notes__")
    connection.close()
    engine.dispose()


def test_returned_in_time(watching: Any, database: str) -> None:
    """A pool that is given back its connection hands it out, and says nothing."""
    engine = create_engine(f"sqlite://{database}", poolclass=QueuePool, **TIGHT)
    take(engine).close()
    with engine.connect():
        assert 1 == watching.fates["out"]
    assert {"out": 0, "lost": 0} == watching.fates
    engine.dispose()


def test_notes_beside_theirs() -> None:
    """They stand behind the notes of others, where each Python and `exceptiongroup` looks."""
    error = PoolTimeoutError("dry")
    error.__notes__ = ["theirs"]
    notes.add_notes(error, ["one", "two"])
    assert ["theirs", "one", "two"] == error.__notes__


def test_first_notes() -> None:
    """An error that has no notes yet gets its first ones."""
    error = PoolTimeoutError("dry")
    notes.add_notes(error, ["one"])
    assert ["one"] == error.__notes__


def test_hidden_notes() -> None:
    """Ours alone are taken off while a pattern is matched, of all that hangs together, and back."""
    error, cause, circle = PoolTimeoutError("dry"), PoolTimeoutError("dry"), LookupError()
    error.__cause__, cause.__context__, circle.__cause__ = cause, circle, error
    error.__notes__ = ["one"]
    notes.add_notes(error, ["one "[:3], "two"])
    notes.add_notes(cause, ["one"])
    hidden = notes.hide_notes(error)
    assert ["one"] == error.__notes__
    assert not hasattr(cause, "__notes__")
    notes.show_notes(hidden)
    assert (["one", "one", "two"], ["one"]) == (error.__notes__, cause.__notes__)


def test_notes_that_are_added_while_ours_are_hidden() -> None:
    """What a test adds while it matches stands behind what was there."""
    error = PoolTimeoutError("dry")
    notes.add_notes(error, ["one"])
    hidden = notes.hide_notes(error)
    error.__notes__ = ["theirs"]
    notes.show_notes(hidden)
    assert ["one", "theirs"] == error.__notes__


class Unruly(Exception):
    """An exception that refuses to be looked at."""

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        raise ValueError("mine")


def test_notes_of_what_refuses_them() -> None:
    """An exception that takes no notes is left alone."""
    error = Unruly()
    error.__cause__ = PoolTimeoutError("dry")
    notes.add_notes(error, ["one"])
    notes.add_notes(error.__cause__, ["one"])
    hidden = notes.hide_notes(error)
    assert not hasattr(error.__cause__, "__notes__")
    notes.show_notes(hidden)
    assert ["one"] == error.__cause__.__notes__
