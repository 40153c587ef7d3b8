"""The user's frames of a lease and of a session: file, line and function, sync and async."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from pytest_sessionguard.callsite import FRAMES, Tracer, render
from pytest_sessionguard.files import SESSION

ONE = text("SELECT 1")
HERE = "tests/watch/test_callsites.py"


def line_of(function: Any, mark: str) -> int:
    """The number of the line of a function that has this mark in it."""
    function = inspect.unwrap(function)
    lines, first = inspect.getsourcelines(function)
    (found,) = [number for number, line in enumerate(lines, first) if f"# {mark}" in line]
    return found


@pytest.fixture
def engine(database: str) -> Iterator[Any]:
    engine = create_engine(f"sqlite://{database}")
    yield engine
    engine.dispose()


def take_directly(engine: Any) -> Any:
    return engine.connect()  # here


def test_direct_call(watching: Any, engine: Any) -> None:
    """A lease's first frame is the line that called `connect()`, the next its caller's."""
    connection = take_directly(engine)  # caller
    assert [
        (HERE, line_of(take_directly, "here"), "take_directly"),
        (HERE, line_of(test_direct_call, "caller"), "test_direct_call"),
    ] == watching.where(watching.lease)
    connection.close()


@contextlib.contextmanager
def lend_connection(engine: Any) -> Iterator[Any]:
    with engine.connect() as connection:  # lent
        yield connection


def use_lent(engine: Any) -> None:
    with lend_connection(engine) as connection:  # block
        connection.execute(ONE)


def test_through_a_context_manager(watching: Any, engine: Any) -> None:
    """Frames of contextlib are passed over."""
    sites = []
    with lend_connection(engine):  # entered
        sites = watching.where(watching.lease)
    assert [
        (HERE, line_of(lend_connection, "lent"), "lend_connection"),
        (HERE, line_of(test_through_a_context_manager, "entered"), own_name()),
    ] == sites


def own_name() -> str:
    """Return the name of the calling function."""
    frame = sys._getframe(1)
    return frame.f_code.co_name


def deep(engine: Any, depth: int) -> Any:
    return deep(engine, depth - 1) if depth else engine.connect()


def test_no_more_frames_than_are_shown(watching: Any, engine: Any) -> None:
    """However deep the user's code is, a few of its frames are kept, the innermost."""
    connection = deep(engine, 10)
    assert ["deep"] * FRAMES == [frame[2] for frame in watching.where(watching.lease)]
    connection.close()


def test_frames_end_at_pytest(watching: Any, engine: Any) -> None:
    """What lies behind pytest is not the user's: a lease of a test itself has one frame."""
    connection = engine.connect()  # only
    assert [(HERE, line_of(test_frames_end_at_pytest, "only"), own_name())] == watching.where(
        watching.lease
    )
    connection.close()


# Statements over several lines: the line is that of the call as Python reports it.


def one_line(engine: Any) -> Any:
    return engine.connect()  # line


def multi_line_call(engine: Any) -> Any:
    session = Session(
        engine,
    )
    session.execute(  # line
        text(
            "SELECT 1",
        ),
    )
    return session


def chained_call(engine: Any) -> Any:
    return (
        engine.execution_options().connect()  # line
    )


def in_expression(engine: Any) -> Any:
    made = [
        None,
        engine.connect(),  # line
    ]
    return made[1]


def in_comprehension(engine: Any) -> Any:
    return [engine.connect() for _ in range(1)][0]  # line


def in_lambda(engine: Any) -> Any:
    take = lambda: engine.connect()  # noqa: E731, PLW0108  # line
    return take()


def in_condition(engine: Any) -> Any:
    if (
        connection := engine.connect()  # line
    ):
        return connection
    return None


def in_try(engine: Any) -> Any:
    try:
        raise KeyError
    except KeyError:
        return engine.connect()  # line


def in_finally(engine: Any) -> Any:
    try:
        pass
    finally:
        connection = engine.connect()  # line
    return connection


def in_loop(engine: Any) -> Any:
    for _ in [1]:
        connection = engine.connect()  # line
    return connection


def in_generator(engine: Any) -> Any:
    def give() -> Any:
        yield engine.connect()  # line

    return next(give())


def as_default(engine: Any) -> Any:
    def take(connection: Any = engine.connect()) -> Any:  # noqa: B008  # line
        return connection

    return take()


STATEMENTS = [
    one_line,
    multi_line_call,
    in_expression,
    in_comprehension,
    in_lambda,
    in_condition,
    in_try,
    in_finally,
    in_loop,
    in_generator,
    as_default,
    # Before 3.11 Python gives a chain the line of its first name.
    *([chained_call] if sys.version_info >= (3, 11) else []),
]


def test_session_is_made_where_its_constructor_is_called(watching: Any, engine: Any) -> None:
    """A session's place is that of its making, its lease's place that of its first statement."""
    session = Session(engine)  # made
    session.execute(ONE)  # used
    made = watching.where(watching.record(session))
    used = watching.where(watching.lease)
    here = test_session_is_made_where_its_constructor_is_called
    assert [(HERE, line_of(here, "made"), here.__name__)] == made
    assert [(HERE, line_of(here, "used"), here.__name__)] == used
    session.close()


def test_thread(watching: Any, engine: Any) -> None:
    """In a thread the frames end where the thread began."""
    keep: list[Any] = []

    def work() -> None:
        keep.append(engine.connect())  # thread

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [(HERE, line_of(test_thread, "thread"), "work")] == watching.where(watching.lease)
    assert thread.ident == watching.lease.thread
    keep[0].close()


def test_executor(watching: Any, engine: Any) -> None:
    """In an executor's thread the frames are those of the function that it runs."""
    with ThreadPoolExecutor(1) as pool:
        connection = pool.submit(take_directly, engine).result()
    expected = [(HERE, line_of(take_directly, "here"), "take_directly")]
    assert expected == watching.where(watching.lease)
    connection.close()


# Async code: the user's frames hang on the greenlet's parent.


async def take_async(engine: Any) -> Any:
    return await engine.connect()  # taken


async def through_helper(engine: Any) -> Any:
    return await take_async(engine)  # helper


def expect_async(outer: Any) -> list[tuple[str, int, str]]:
    frames = [
        (HERE, line_of(take_async, "taken"), "take_async"),
        (HERE, line_of(through_helper, "helper"), "through_helper"),
        (HERE, line_of(outer, "outer"), "run"),
    ]
    return frames[:FRAMES]


def drive_cold_and_warm(watching: Any, url: str, runner: Callable[[Any], Any]) -> list[Any]:
    sites = []

    async def run() -> None:
        engine = create_async_engine(url)
        for _ in range(2):  # a cold pool connects first; a warm one hands out at once
            connection = await through_helper(engine)  # outer
            sites.append(watching.where(watching.newest))
            await connection.close()
        await engine.dispose()

    runner(run())
    return sites


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_async_postgres(driver: str, watching: Any, sessionguard_postgres: Any) -> None:
    """With a cold and with a warm pool the frames are those of the coroutines that await."""
    sites = drive_cold_and_warm(watching, sessionguard_postgres.url_for(driver), asyncio.run)
    assert [expect_async(drive_cold_and_warm)] * 2 == sites


def test_async_sqlite(watching: Any, database: str) -> None:
    """The same with aiosqlite, in an `asyncio.run` inside a sync test."""
    sites = drive_cold_and_warm(watching, f"sqlite+aiosqlite://{database}", asyncio.run)
    assert [expect_async(drive_cold_and_warm)] * 2 == sites


def test_uvloop(watching: Any, database: str) -> None:
    """The same under uvloop."""
    uvloop = pytest.importorskip("uvloop")
    sites = drive_cold_and_warm(watching, f"sqlite+aiosqlite://{database}", uvloop.run)
    assert [expect_async(drive_cold_and_warm)] * 2 == sites


def run_async(work: Callable[[Any], Any], database: str) -> None:
    async def run() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}")
        await work(engine)
        await engine.dispose()

    asyncio.run(run())


def test_async_session(watching: Any, database: str) -> None:
    """An AsyncSession's place is that of its making; its lease's, that of the statement."""

    async def work(engine: Any) -> None:
        session = AsyncSession(engine)  # made
        await session.execute(ONE)  # used
        made, used = watching.where(watching.record(session)), watching.where(watching.lease)
        assert (HERE, line_of(test_async_session, "made"), "work") == made[0]
        assert (HERE, line_of(test_async_session, "used"), "work") == used[0]
        await session.close()

    run_async(work, database)


def test_run_sync(watching: Any, database: str) -> None:
    """Inside `run_sync` the sync function comes first, then who awaits it."""

    def inside(session: Any) -> None:
        session.execute(ONE)  # inside

    async def work(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.run_sync(inside)  # awaits
            assert [
                (HERE, line_of(test_run_sync, "inside"), "inside"),
                (HERE, line_of(test_run_sync, "awaits"), "work"),
            ] == watching.where(watching.lease)[:2]

    run_async(work, database)


def test_gather(watching: Any, database: str) -> None:
    """In tasks of their own the frames end at each task's coroutine."""

    async def one(engine: Any) -> Any:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)  # one
            await asyncio.sleep(0.01)
            return watching.where(watching.newest)

    async def other(engine: Any) -> Any:
        await asyncio.sleep(0.002)
        async with AsyncSession(engine) as session:
            await session.execute(ONE)  # other
            return watching.where(watching.newest)

    async def work(engine: Any) -> None:
        await asyncio.gather(one(engine), other(engine))
        leases = [lease for lease in seen if lease is not None]
        sites = sorted(watching.where(lease) for lease in leases)
        assert (
            sorted(
                [
                    [(HERE, line_of(test_gather, "one"), "one")],
                    [(HERE, line_of(test_gather, "other"), "other")],
                ]
            )
            == sites
        )

    seen: list[Any] = []
    open_lease = watching.ledger.open_lease

    def note(record: Any, lease: Any) -> None:
        seen.append(lease)
        open_lease(record, lease)

    watching.ledger.open_lease = note
    run_async(work, database)
    assert 2 == len(seen)


def test_executor_of_a_loop(watching: Any, database: str, engine: Any) -> None:
    """What a loop's executor runs has its own frames, not those of the loop."""

    async def work(_: Any) -> None:
        connection = await asyncio.to_thread(take_directly, engine)
        expected = [(HERE, line_of(take_directly, "here"), "take_directly")]
        assert expected == watching.where(watching.lease)
        connection.close()

    run_async(work, database)


def test_task_group(watching: Any, database: str) -> None:
    """A task's innermost frame is the same whichever way the task was started."""

    async def child(engine: Any) -> Any:
        connection = await engine.connect()  # child
        innermost = watching.where(watching.newest)[0]
        assert (HERE, line_of(test_task_group, "child"), "child") == innermost
        await connection.close()
        return "done"

    async def work(engine: Any) -> None:
        assert "done" == await asyncio.create_task(child(engine))
        assert "done" == await asyncio.wait_for(child(engine), 5)

    run_async(work, database)


# Code in site-packages.


@pytest.fixture
def package(tmp_path: Path) -> Any:
    """A module that lies in a folder called site-packages."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    path = folder / "their_library.py"
    path.write_text(
        "def take(engine):\n    return engine.connect()\n\n\ndef call(f):\n    return f()\n"
    )
    spec = importlib.util.spec_from_file_location("their_library", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_library_between(watching: Any, engine: Any, package: Any) -> None:
    """A frame in site-packages is passed over where a frame of the user's lies behind it."""
    connection = package.take(engine)  # behind
    here = test_library_between
    assert [(HERE, line_of(here, "behind"), here.__name__)] == watching.where(watching.lease)
    connection.close()


def test_library_only(watching: Any, engine: Any, package: Any) -> None:
    """Where no frame is the user's, the innermost in site-packages is shown."""
    with ThreadPoolExecutor(1) as pool:
        connection = pool.submit(package.take, engine).result()
    (frame,) = watching.where(watching.lease)
    assert (package.__file__, 2, "take") == frame
    connection.close()


def test_no_frame_at_all(watching: Any, engine: Any) -> None:
    """Where there is not even that, the call site is empty and says so."""
    with ThreadPoolExecutor(1) as pool:
        connection = pool.submit(engine.connect).result()
    assert [] == watching.where(watching.lease)
    assert "an unknown place" == str(watching.site(watching.lease))
    connection.close()


def test_capture_begins_with_its_caller() -> None:
    """A capture begins with the frame that asks for it, and needs no greenlet."""
    trace = Tracer(limit=1).capture()  # captured
    here = test_capture_begins_with_its_caller
    (frame,) = render(trace, str(Path(__file__).parents[2])).frames
    assert (HERE, line_of(here, "captured"), here.__name__) == (
        frame.path,
        frame.line,
        frame.function,
    )
    assert trace.passes(here.__code__)
    assert not trace.passes(line_of.__code__)
    assert (False, False, False) == (bool(trace.doors & SESSION), trace.is_async, trace.is_scoped)


def by_session_execute(engine: Any) -> Any:
    session = Session(engine)
    session.execute(ONE)  # line
    return session


def by_session_connection(engine: Any) -> Any:
    session = Session(engine)
    session.connection()  # line
    return session


def by_session_scalar(engine: Any) -> Any:
    session = Session(engine)
    session.scalar(ONE)  # line
    return session


def by_begin(engine: Any) -> Any:
    stack = contextlib.ExitStack()
    stack.enter_context(engine.begin())  # line
    return stack


def by_raw_connection(engine: Any) -> Any:
    return engine.raw_connection()  # line


def by_option_engine(engine: Any) -> Any:
    return engine.execution_options().connect()  # line


WAYS = [
    by_session_execute,
    by_session_connection,
    by_session_scalar,
    by_begin,
    by_raw_connection,
    by_option_engine,
    take_directly,
    *STATEMENTS,
]


def test_a_way_that_was_learnt_says_the_same(watching: Any, engine: Any) -> None:
    """A call site is the same whether its way through the library is new, known or forgotten."""
    rounds = []
    for ways in (WAYS, WAYS, WAYS[::-1], [*WAYS[:2], *WAYS[:2]]):
        seen = {}
        for way in ways:
            thing = way(engine)
            trace = watching.newest.trace
            seen[way.__name__] = (trace.marks[:2], trace.doors)
            thing.close()
        rounds.append(seen)
    for seen in rounds[1:]:
        assert {name: rounds[0][name] for name in seen} == seen


@pytest.mark.parametrize("way", WAYS, ids=lambda function: function.__name__)
def test_every_way_on_its_own(way: Any, watching: Any, engine: Any) -> None:
    """Each way into the library ends at the user's line, and knows a session's from a plain one."""
    thing = way(engine)
    marks = ("here",) if way is take_directly else ("line",)
    path, line, _ = watching.where(watching.newest)[0]
    assert (HERE, line_of(way, *marks)) == (path, line)
    assert isinstance(thing, Session) == bool(watching.newest.trace.doors & SESSION)
    thing.close()


def test_by_session(watching: Any, engine: Any) -> None:
    """A trace knows whether the way led through a session."""
    with Session(engine) as session:
        session.execute(ONE)
        assert watching.newest.trace.doors & SESSION
    with engine.connect():
        assert not watching.newest.trace.doors & SESSION


def test_by_async_session(watching: Any, database: str) -> None:
    """So does a trace of async code."""

    async def work(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            assert watching.newest.trace.doors & SESSION
        async with engine.connect():
            assert not watching.newest.trace.doors & SESSION

    run_async(work, database)
