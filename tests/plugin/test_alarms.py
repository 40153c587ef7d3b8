"""What a signal's handler raises inside the guard is the user's, and comes where it is meant to."""

from __future__ import annotations

import os
import signal
from functools import partial
from typing import Any

import pytest

from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield, is_of_handler

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

RING = "SESSIONGUARD_TEST_RING"
HANDLERS = {
    "function": "ring",
    "method": "Bell().ring",
    "partial": "functools.partial(ring)",
    "partial of a method": "functools.partial(Bell().ring)",
    "callable": "Caller()",
    "mock": "mock.Mock(side_effect=TimeoutError('too slow'))",
}
SUITE = {
    "app.py": """
        import asyncio
        from sqlalchemy import create_engine, text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
        from sqlalchemy.orm import Session

        engine = create_engine("sqlite:///app.db")
        async_engine = create_async_engine("sqlite+aiosqlite:///app.db")

        def block():
            with Session(engine) as session:
                session.execute(text("SELECT 1"))

        def close():
            session = Session(engine)
            try:
                session.execute(text("SELECT 1"))
            finally:
                session.close()

        def connect():
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))

        def again():
            session = Session(engine)
            with session:
                session.execute(text("SELECT 1"))
            with session:
                session.execute(text("SELECT 1"))

        async def async_block():
            async with AsyncSession(async_engine) as session:
                await session.execute(text("SELECT 1"))

        async def async_close():
            session = AsyncSession(async_engine)
            try:
                await session.execute(text("SELECT 1"))
            finally:
                await session.close()
    """,
    "test_x.py": """
        import asyncio, functools, gc, os, signal
        from unittest import mock
        import app
        import pytest

        def ring(*args):
            raise TimeoutError("too slow")

        class Bell:
            def ring(self, number, frame):
                raise TimeoutError("too slow")

        class Caller:
            def __call__(self, number, frame):
                ring()

        @pytest.fixture
        def deadline():
            before = signal.signal(signal.SIGUSR1, HANDLER)
            yield
            signal.signal(signal.SIGUSR1, before)
            assert "SESSIONGUARD_TEST_RING" not in os.environ

        @pytest.mark.parametrize("name", ["block", "close", "connect", "again"])
        def test_sync(deadline, name):
            work = getattr(app, name)
            work()
            os.environ["SESSIONGUARD_TEST_RING"] = "1"
            if RINGS:
                with pytest.raises(TimeoutError, match="too slow"):
                    work()
            os.environ.pop("SESSIONGUARD_TEST_RING", None)

        def test_async(deadline):
            async def both(work):
                await work()
                os.environ["SESSIONGUARD_TEST_RING"] = "1"
                if RINGS:
                    with pytest.raises(TimeoutError, match="too slow"):
                        await work()
                os.environ.pop("SESSIONGUARD_TEST_RING", None)
                gc.collect()
                await app.async_engine.dispose()
            for name in ("async_block", "async_close"):
                asyncio.run(both(getattr(app, name)))

        def test_after():
            app.block()

        @pytest.mark.sessionguard(ignore="SG101", reason="to see that it is watched")
        def test_leak():
            test_leak.kept = app.engine.connect()
    """,
}


def suite(handler: str = "ring", *, rings: bool = True) -> dict[str, str]:
    text = SUITE["test_x.py"].replace("HANDLER", handler).replace("RINGS", str(rings))
    return {**SUITE, "test_x.py": text}


def rings_in(owner: Any, name: str, patch: pytest.MonkeyPatch) -> None:
    """Let a method of ours be broken off by the signal, once, in its middle."""
    original = getattr(owner, name)

    def method(*args: Any, **kwargs: Any) -> Any:
        if os.environ.pop(RING, ""):
            signal.raise_signal(signal.SIGUSR1)
        return original(*args, **kwargs)

    patch.setattr(owner, name, method)


def check(run: Any) -> None:
    assert set(run.results.values()) == {"passed"}, run.text
    assert run.fault == ""
    assert run.found == []
    assert "SessionGuardWarning" not in run.text


@pytest.mark.parametrize("place", ("open_lease", "end_lease"))
@pytest.mark.parametrize("handler", HANDLERS)
def test_handlers(project, handler, place):
    """Whatever the handler is, what it raises comes out, and nothing of the guard's has failed."""
    run = project(suite(HANDLERS[handler])).run(
        "--sessionguard=strict", sabotage=partial(rings_in, Ledger, place)
    )
    check(run)


@pytest.mark.parametrize(
    "place",
    (
        "ledger.Ledger.open_session",
        "ledger.Ledger.use_session",
        "ledger.Ledger.close_session",
        "watch.changes.ChangeWatch.look",
        "watch.sessions._is_own_block",
    ),
)
def test_places(project, place):
    """Wherever it rings, it comes out, and the guard goes on."""
    import importlib

    parts = place.split(".")
    size = 2 if parts[-2][0].isupper() else 1
    owner: Any = importlib.import_module(".".join(["pytest_sessionguard", *parts[:-size]]))
    owner = getattr(owner, parts[-2]) if size == 2 else owner
    text = suite()["test_x.py"]
    # Not every place is on every way: what rings must come out.
    text = text.replace(
        'with pytest.raises(TimeoutError, match="too slow"):',
        "with may_ring():",
    )
    text += """
        import contextlib

        @contextlib.contextmanager
        def may_ring():
            try:
                yield
            except TimeoutError as error:
                assert str(error) == "too slow"
                assert "SESSIONGUARD_TEST_RING" not in os.environ
                rung.append(1)
            else:
                assert "SESSIONGUARD_TEST_RING" in os.environ

        rung = []

        def test_rung():
            assert rung
    """
    run = project({**suite(), "test_x.py": text}).run(
        "--sessionguard=strict", sabotage=partial(rings_in, owner, parts[-1])
    )
    check(run)


@pytest.mark.parametrize("place", ("open_lease", "end_lease", "close_session"))
def test_a_fault_while_a_handler_is_installed(project, place):
    """A real fault inside is reported, and changes nothing, whatever handler is installed."""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise TimeoutError("ours")

    run = project(suite(rings=False)).run(sabotage=lambda patch: patch.setattr(Ledger, place, fail))
    assert set(run.results.values()) == {"passed"}, run.text
    assert run.fault == "TimeoutError: ours"


def test_a_fault_while_a_handler_runs(project):
    """So is one in what a handler itself makes the guard do."""
    suite = project(
        {
            "app.py": SUITE["app.py"],
            "test_x.py": """
                import app, signal

                def test_a():
                    before = signal.signal(signal.SIGUSR1, lambda *_: app.block())
                    signal.raise_signal(signal.SIGUSR1)
                    signal.signal(signal.SIGUSR1, before)
            """,
        }
    )

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    run = suite.run(sabotage=lambda patch: patch.setattr(Ledger, "open_lease", fail))
    assert run.results == {"test_a": "passed"}
    assert run.fault == "ZeroDivisionError: "


@pytest.fixture
def bell(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a handler that raises, for one test."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError("too slow")

    before = signal.signal(signal.SIGUSR1, ring)
    yield ring
    signal.signal(signal.SIGUSR1, before)


def caught(action: Any) -> BaseException:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_in_a_thread(bell: Any) -> None:
    """In a thread nothing is a handler's, for there are none."""
    from threading import Thread

    told: list[bool] = []

    def work() -> None:
        told.append(is_of_handler(caught(lambda: bell(0, None))))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert [False] == told


def test_handler_that_was_taken_away(bell: Any) -> None:
    """What is installed no more is no handler."""
    error = caught(lambda: signal.raise_signal(signal.SIGUSR1))
    assert is_of_handler(error)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert not is_of_handler(error)


def test_shield(bell: Any) -> None:
    """The shield raises it on, whoever asks, and tells once that it did."""
    shield = Shield()
    for _ in range(2):
        with pytest.raises(TimeoutError, match="too slow"):
            shield.run(lambda: signal.raise_signal(signal.SIGUSR1))
    assert shield.fault is None
    assert [True, False] == [shield.take_interruption(), shield.take_interruption()]
    shield.report(ZeroDivisionError(), counts=False)
    assert shield.fault is None
    shield.run(lambda: 1 / 0)
    assert isinstance(shield.fault, ZeroDivisionError)
    assert not shield.take_interruption()
