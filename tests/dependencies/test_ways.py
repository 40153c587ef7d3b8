"""What each way finds, what is said of it, and what is left alone."""

from __future__ import annotations

import asyncio
import pickle
import warnings
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from pytest_sessionguard import DependencyError, assert_dependency_closes
from pytest_sessionguard.ledger import Ledger

pytestmark = pytest.mark.usefixtures("plugin")


def told(error: DependencyError) -> dict[str, tuple[Any, ...]]:
    return {f.way.name: (f.holder, f.connections, f.committed, f.swallowed) for f in error.failures}


def test_commit_in_finally(async_engine: Any, check: Any) -> None:
    """Committing in `finally` keeps what was not finished."""

    async def dependency() -> Any:
        async with AsyncSession(async_engine) as session:
            try:
                yield session
            finally:
                await session.commit()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    committed = ("", 0, True, "")
    ways = ("EXCEPTION", "CANCELLATION", "ABANDONED")
    assert dict.fromkeys(ways, committed) == told(info.value)


def test_only_exceptions_are_seen_to(async_engine: Any, check: Any) -> None:
    """`except Exception` meets neither a cancellation nor the end of an abandoned generator."""

    async def dependency() -> Any:
        session = AsyncSession(async_engine)
        try:
            yield session
        except Exception:
            await session.close()
            raise
        await session.close()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert ["CANCELLATION", "ABANDONED"] == list(told(info.value))


def test_rollback_is_no_close(engine: Any, check: Any) -> None:
    """A session that was only rolled back has returned its connection and is still open."""

    def dependency() -> Any:
        session = Session(engine)
        try:
            yield session
        finally:
            session.rollback()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert dict.fromkeys(
        ("END", "EXCEPTION", "CANCELLATION", "ABANDONED"), ("Session", 0, False, "")
    ) == told(info.value)


def test_used_after_close(engine: Any, check: Any) -> None:
    """A session that its own teardown uses once more has a connection again."""

    def dependency() -> Any:
        session = Session(engine)
        try:
            yield session
        finally:
            session.close()
            session.execute(text("SELECT 1"))

    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert ("Session", 1, False, "") == told(info.value)["END"]


def test_connection_of_its_own(engine: Any, check: Any) -> None:
    """A connection that a dependency takes beside its session has to come back, too."""

    def dependency() -> Any:
        with Session(engine) as session:
            yield session
        kept.append(engine.connect())

    kept: list[Any] = []
    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert {"END": ("", 1, False, "")} == told(info.value)
    assert "dependency() does not return its connection at its normal end" in str(info.value)


def test_lost_connection(engine: Any, check: Any) -> None:
    """One that it drops comes back by luck only, and counts as not returned."""

    def dependency() -> Any:
        with Session(engine) as session:
            yield session
        engine.raw_connection()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert {"END": ("", 1, False, "")} == told(info.value)


def test_yields_again(engine: Any, check: Any) -> None:
    """A generator that will not be abandoned is told, and Python's complaint of it is not."""

    def dependency() -> Any:
        session = Session(engine)
        try:
            yield session
        except GeneratorExit:
            yield session
        session.close()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    assert ("Session", 1, False, "") == told(info.value)["ABANDONED"]


@pytest.mark.parametrize("error", (Exception, BaseException))
def test_swallows(error: type[BaseException], engine: Any, check: Any) -> None:
    """What is thrown in and does not come out again is an error with FastAPI."""

    def dependency() -> Any:
        with Session(engine) as session:
            try:
                yield session
            except error:
                session.rollback()

    with pytest.raises(DependencyError) as info:
        check(dependency)
    swallowed = {"EXCEPTION": ("", 0, False, "exception")}
    if error is BaseException:
        swallowed["CANCELLATION"] = ("", 0, False, "cancellation")
    assert swallowed == told(info.value)


def test_another_exception(engine: Any, check: Any) -> None:
    """Another exception in its place is fine, as an HTTPException is; not so a cancellation's."""

    def mended() -> Any:
        with Session(engine) as session:
            try:
                yield session
            except Exception as error:
                raise LookupError("404") from error

    def faulty() -> Any:
        with Session(engine) as session:
            try:
                yield session
            except BaseException as error:
                raise LookupError("404") from error

    check(mended)
    with pytest.raises(DependencyError) as info:
        check(faulty)
    assert {"CANCELLATION": ("", 0, False, "cancellation")} == told(info.value)


def test_message(async_engine: Any, check: Any) -> None:
    """The message names the ways, what was left, where it was opened, and the mend."""

    async def get_session() -> Any:
        session = AsyncSession(async_engine)
        yield session
        await session.close()

    with pytest.raises(DependencyError) as info:
        check(get_session)
    lines = str(info.value).splitlines()
    left = "AsyncSession still open, connection not returned"
    line = get_session.__code__.co_firstlineno + 1
    place = lines[5].rpartition(" at ")[2]
    assert place.endswith(f"test_ways.py:{line} in get_session")
    assert [
        "get_session() does not close its AsyncSession in 3 ways of 4",
        "",
        f"  failed        with an exception thrown in: {left}",
        f"                on cancellation: {left}",
        f"                abandoned: {left}",
        f"  opened        AsyncSession at {place}",
        "",
        "  Each request that fails or is cancelled loses a connection, until the pool is dry.",
        "  Fix: yield inside the block, or `await session.close()` in `finally`:",
        "    async with async_session() as session:",
        "        yield session",
    ] == lines


def test_pickle(engine: Any, check: Any) -> None:
    """The error goes from one process to another."""

    def dependency() -> Any:
        yield Session(engine)

    with pytest.raises(DependencyError) as info:
        check(dependency)
    copy = pickle.loads(pickle.dumps(info.value))
    assert str(copy) == str(info.value)
    assert told(copy) == told(info.value)


def test_no_session(check: Any) -> None:
    """What opens no session is refused in one line."""

    def number() -> Any:
        yield 1

    async def numbers() -> Any:
        yield 1

    for dependency in (number, numbers, lambda: 1):
        with pytest.raises(TypeError, match="has opened no session by the time it yields"):
            check(dependency)


def test_session_of_somebody_else(engine: Any, check: Any) -> None:
    """A session that was there before is whoever's who made it."""
    session = Session(engine)
    with pytest.raises(TypeError, match="has opened no session"):
        check(lambda: session)
    assert session.scalar(text("SELECT 1")) == 1
    session.close()


def test_cannot_be_called(engine: Any, check: Any) -> None:
    """What cannot be called so is refused, and what only FastAPI would fill in is named."""
    fastapi = pytest.importorskip("fastapi")

    def get_user(session: Any = fastapi.Depends(lambda: None)) -> Any:
        yield session

    def get_session(name: str) -> Any:
        yield Session(engine)

    with pytest.raises(TypeError, match="takes a function that yields a session, not 'Session'"):
        check(Session(engine))
    with pytest.raises(TypeError, match=r"get_session\(\) cannot be called: missing .* 'name'"):
        check(get_session)
    with pytest.raises(TypeError, match=r"get_user\(\) takes 'session', which only FastAPI"):
        check(get_user)


def test_sync_around_an_async_session(async_engine: Any, check: Any) -> None:
    """A sync generator cannot close an async session."""

    def dependency() -> Any:
        yield AsyncSession(async_engine)

    with pytest.raises(TypeError, match="yields an AsyncSession; it has to be async itself"):
        check(dependency)


def test_setup_that_fails(engine: Any, async_engine: Any, check: Any) -> None:
    """What the dependency raises before its `yield`, or at its normal end, is the caller's."""

    def early() -> Any:
        session = Session(engine)
        session.execute(text("SELECT 1"))
        raise LookupError("early")
        yield

    async def async_early() -> Any:
        session = AsyncSession(async_engine)
        await session.execute(text("SELECT 1"))
        raise LookupError("early")
        yield

    async def late() -> Any:
        async with AsyncSession(async_engine) as session:
            yield session
        raise LookupError("late")

    for dependency in (early, async_early):
        with pytest.raises(LookupError, match="early"):
            check(dependency)
    with pytest.raises(LookupError, match="late"):
        check(late)


def test_dry_pool(engine: Any, check: Any) -> None:
    """Where no connection is to be had, the pool's own error comes, and the session is closed."""
    ended = []

    def dependency() -> Any:
        with Session(engine) as session:
            try:
                yield session
            finally:
                ended.append(session)

    with engine.connect(), pytest.raises(PoolTimeoutError):
        check(dependency)
    assert len(ended) == 1


def test_in_a_running_loop(async_engine: Any) -> None:
    """Several at once, beside tasks that open sessions of their own."""
    factory = async_sessionmaker(async_engine)
    done = asyncio.Event()

    async def poll() -> int:
        number = 0
        while not done.is_set():
            async with factory() as session:
                number += await session.scalar(text("SELECT 1"))
            await asyncio.sleep(0.001)
        return number

    async def mended() -> Any:
        async with factory() as session:
            yield session

    async def run() -> None:
        poller = asyncio.create_task(poll())
        await asyncio.gather(*(assert_dependency_closes(mended) for _ in range(5)))
        done.set()
        assert await poller > 0
        await async_engine.dispose()

    asyncio.run(run())


def test_cancelled_itself(async_engine: Any) -> None:
    """A check that is cancelled ends its dependency, and stays cancelled."""
    ended = []

    async def dependency() -> Any:
        async with AsyncSession(async_engine) as session:
            try:
                yield session
                await asyncio.sleep(60)
            finally:
                ended.append(session)

    async def run() -> None:
        task = asyncio.create_task(assert_dependency_closes(dependency))
        while not async_engine.pool.checkedout():
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert {asyncio.current_task()} == asyncio.all_tasks()
        assert 0 == async_engine.pool.checkedout()
        await async_engine.dispose()

    asyncio.run(run())
    assert len(ended) == 1


def test_never_awaited_without_the_plugin(async_engine: Any) -> None:
    """Python itself warns of a check that is never awaited, by the assertion's name."""

    async def dependency() -> Any:
        yield AsyncSession(async_engine)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coroutine: Any = assert_dependency_closes(dependency)
        del coroutine
    assert ["coroutine 'assert_dependency_closes' was never awaited"] == [
        str(warning.message) for warning in caught
    ]
    from pytest_sessionguard.guard import active_guard

    guard = active_guard()
    if guard is not None and guard.test is not None:
        (unmade,) = guard.test.unmade.values()
        assert "assert_dependency_closes" == unmade.assertion
        guard.test.unmade.clear()


def test_fault_inside_without_the_plugin(
    plugin: str, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the plugin nobody else would say that nothing was checked."""
    if plugin == "active":
        pytest.skip("the plugin announces its own faults")

    def dependency() -> Any:
        yield Session(engine)

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("sabotage")

    monkeypatch.setattr(Ledger, "close_session", fail)
    with pytest.warns(RuntimeWarning, match="has checked nothing. Please report it: ZeroDivision"):
        assert_dependency_closes(dependency)
