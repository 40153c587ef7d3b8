"""The watcher of hand-overs leaves asyncio, threads and frameworks as they were."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import anyio.to_thread
import pytest
from loads.zoo import Author
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tasks.conftest import line_of

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Owner
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch import Watchers, handovers

ONE = select(Author.id).limit(1)
background = pytest.importorskip("starlette.background")
uvloop = pytest.importorskip("uvloop") if sys.platform != "win32" else None
PLACES = (
    asyncio.BaseEventLoop,
    asyncio.AbstractEventLoop,
    asyncio.SelectorEventLoop,
    asyncio.Task,
    asyncio,
    asyncio.tasks,
    ThreadPoolExecutor,
    threading.Thread,
    anyio.to_thread,
    background.BackgroundTask,
    background.BackgroundTasks,
    *((uvloop.Loop,) if uvloop else ()),
)


def attributes() -> dict[tuple[str, str], int]:
    return {(str(p), name): id(value) for p in PLACES for name, value in vars(p).items()}


def make_watchers() -> Watchers:
    return Watchers(Ledger(), Shield(), str, list)


def test_all_is_as_before(bare: None) -> None:
    """After removal every attribute is the very object it was, and while watched few are not."""
    before = attributes()
    watchers = make_watchers()
    for _ in range(2):
        watchers.install()
        now = attributes()
        assert {
            ("BaseEventLoop", "create_task"),
            ("ThreadPoolExecutor", "submit"),
            ("Thread", "start"),
            ("to_thread", "run_sync"),
            ("BackgroundTask", "__init__"),
            *((("Loop", "create_task"),) if uvloop else ()),
        } == {
            (place.split("'")[1].split(".")[-1], name)
            for (place, name), value in now.items()
            if before.get((place, name)) != value
        }
        watchers.install()
        assert now == attributes()
        watchers.remove()
        assert before == attributes()


@pytest.mark.parametrize("name", ("uvloop", "anyio.to_thread", "starlette.background"))
def test_what_is_imported_later(name: str, bare: None, monkeypatch: Any) -> None:
    """A framework is watched from the moment on at which the project has imported it."""
    module = sys.modules[name]
    before = attributes()
    monkeypatch.delitem(sys.modules, name)
    watchers = make_watchers()
    watchers.install()
    assert name not in sys.modules
    without = attributes()
    monkeypatch.setitem(sys.modules, name, module)
    watchers.install()
    assert 1 == sum(value != without.get(key) for key, value in attributes().items())
    watchers.remove()
    assert before == attributes()


def test_a_patch_of_the_users_survives(bare: None) -> None:
    """What somebody has wrapped since stays wrapped, and goes on to work."""
    watchers = make_watchers()
    original = vars(threading.Thread)["start"]
    watchers.install()
    ours = vars(threading.Thread)["start"]
    with mock.patch.object(threading.Thread, "start", autospec=True, side_effect=ours) as theirs:
        watchers.remove()
        threading.Thread(target=print, args=("",)).start()
        assert 1 == theirs.call_count
    threading.Thread.start = original  # type: ignore[method-assign]


def test_what_inspection_sees(watching: Any) -> None:
    """Signatures, names and kinds are those of the originals."""
    for method in (
        asyncio.BaseEventLoop.create_task,
        ThreadPoolExecutor.submit,
        threading.Thread.start,
        anyio.to_thread.run_sync,
        background.BackgroundTask.__init__,
    ):
        original = method.__wrapped__  # type: ignore[attr-defined]
        assert original.__qualname__ == method.__qualname__
        assert original.__doc__ == method.__doc__
        assert inspect.signature(original) == inspect.signature(method)
        assert inspect.iscoroutinefunction(original) == inspect.iscoroutinefunction(method)


def loops() -> list[Any]:
    return [asyncio.new_event_loop, *((uvloop.new_event_loop,) if uvloop else ())]


def name_loop(make: Any) -> str:
    return str(make.__module__)


def run_on(make: Any, main: Any, *, is_debugging: bool = False) -> None:
    """Run a coroutine function as `asyncio.run` does, on a loop of this kind."""
    loop = make()
    loop.set_debug(is_debugging)
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.parametrize("make", loops(), ids=name_loop)
@pytest.mark.parametrize("is_debugging", (False, True), ids=("", "debug"))
def test_tasks_are_what_they_were(make: Any, is_debugging: bool, watching: Any) -> None:
    """Names, contexts, factories, results, and in debug mode the place where a task was made."""
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)
    made = []

    async def work() -> int:
        await asyncio.sleep(0)
        return variable.get()

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **kwargs)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert None is loop.get_task_factory()
        task = asyncio.create_task(work(), name="mine")
        assert ("mine", 0) == (task.get_name(), await task)
        assert task.get_coro().__name__ == "work"  # type: ignore[union-attr]
        if sys.version_info >= (3, 11):
            context = contextvars.copy_context()
            context.run(variable.set, 7)
            assert 7 == await asyncio.create_task(work(), context=context)
        loop.set_task_factory(factory)
        assert factory is loop.get_task_factory()
        assert 0 == await asyncio.create_task(work())
        loop.set_task_factory(None)
        assert ["work"] == made
        task = asyncio.create_task(work())
        place = getattr(task, "_source_traceback", None)
        if is_debugging and make is asyncio.new_event_loop:
            assert ("tasks.py", "create_task") == (
                place[-1].filename.replace("\\", "/").split("/")[-1],
                place[-1].name,
            )
        if place:
            assert not any("pytest_sessionguard/" in frame.filename for frame in place)
        await task
        with pytest.raises(TypeError):
            asyncio.create_task(None)  # type: ignore[arg-type]

    run_on(make, main, is_debugging=is_debugging)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(async_engine: Any, watching: Any, findings: Any) -> None:
    """Eager tasks begin at once, as they should; one that goes on too long is found."""

    async def quick(session: Any) -> int:
        return 1

    async def slow(session: Any, gate: Any) -> None:
        await gate.wait()
        await session.scalar(ONE)

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
        gate = asyncio.Event()
        async with AsyncSession(async_engine) as session:
            await session.scalar(ONE)
            done = asyncio.create_task(quick(session))
            assert done.done()
            task = asyncio.create_task(slow(session, gate))  # handed
        gate.set()
        await task
        await async_engine.dispose()

    asyncio.run(main())
    (finding,) = findings()
    assert "SG204" == finding.rule
    assert line_of(finding).endswith("# handed")


@pytest.mark.parametrize("make", loops(), ids=name_loop)
def test_both_loops_find(make: Any, async_engine: Any, findings: Any) -> None:
    """asyncio's own loop and uvloop's find tasks, and calls in executors."""

    async def slow(session: Any, gate: Any) -> None:
        await gate.wait()
        await session.scalar(ONE)

    def hold(gate: Any, session: Any) -> None:
        gate.wait(10)
        assert session.is_active

    async def main() -> None:
        gate, thread_gate = asyncio.Event(), threading.Event()
        async with AsyncSession(async_engine) as session:
            await session.scalar(ONE)
            task = asyncio.create_task(slow(session, gate))  # handed
        with Session(async_engine.sync_engine) as sync_session:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(None, hold, thread_gate, sync_session)  # handed
        gate.set()
        thread_gate.set()
        await task
        await call
        await async_engine.dispose()

    run_on(make, main)
    assert ["AsyncSession", "Session"] == sorted(f.facts["holder"] for f in findings())


def test_tracebacks(async_engine: Any, watching: Any) -> None:
    """What a task or a thread raises shows no frame of ours, as pytest shows it."""

    def fail(session: Any) -> None:
        raise ZeroDivisionError

    async def fail_async(session: Any) -> None:
        raise ZeroDivisionError

    async def main() -> list[Any]:
        errors = []
        async with AsyncSession(async_engine) as session:
            for work in (
                asyncio.create_task(fail_async(session)),
                asyncio.to_thread(fail, session),
                anyio.to_thread.run_sync(fail, session),
                anyio.to_thread.run_sync(fail, session, abandon_on_cancel=True),
            ):
                try:
                    await work
                except ZeroDivisionError as error:
                    errors.append(error)
        return errors

    errors = asyncio.run(main())
    assert 4 == len(errors)
    for error in errors:
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "pytest_sessionguard" in frame.f_code.co_filename:
                assert frame.f_locals["__tracebackhide__"]


def test_executor_that_is_shut_down(engine: Any, found: Any) -> None:
    """A call that is refused is no hand-over."""
    pool = ThreadPoolExecutor()
    pool.shutdown()
    with Session(engine) as session, pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(session.scalar, ONE)
    assert [] == found()


def test_call_that_is_cancelled(engine: Any, found: Any) -> None:
    """So is a call that is cancelled before it began."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait, 10)
        with Session(engine) as session:
            assert pool.submit(session.scalar, ONE).cancel()
        gate.set()
    assert [] == found()


def test_call_that_waits_its_turn(engine: Any, findings: Any) -> None:
    """One that has not begun when the session is closed is none the less."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(gate.wait, 10)
        with Session(engine) as session:
            pool.submit(session.scalar, ONE)
        gate.set()
    assert ["SG204"] == [finding.rule for finding in findings()]


@pytest.mark.parametrize(
    "place",
    (
        "find_in_coroutine",
        "find_in_call",
        "find_in_thread",
        "know_session",
        "find_runner",
        "Handover",
        "Handovers",
        "_find_way",
    ),
)
def test_a_fault_of_ours_reaches_nobody(
    place: str, bare: None, database: str, monkeypatch: Any
) -> None:
    """Whatever the watcher raises inside, tasks, threads and calls go on."""
    from sqlalchemy.ext.asyncio import create_async_engine

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(handovers, place, fail)
    guard = Guard("/")
    guard.start()
    guard.start_test(Owner("test", "test_it"), {})
    ran = []

    async def work(session: Any) -> None:
        ran.append(await session.scalar(ONE))

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
        async with AsyncSession(engine) as session:
            await asyncio.create_task(work(session))
            await asyncio.to_thread(ran.append, session)
            await anyio.to_thread.run_sync(ran.append, session, abandon_on_cancel=True)
            thread = threading.Thread(target=ran.append, args=(session,))
            thread.start()
            thread.join()
            await background.BackgroundTask(work, session)()
        await engine.dispose()

    try:
        asyncio.run(main())
        assert 5 == len(ran)
        assert isinstance(guard.shield.fault, ZeroDivisionError)
    finally:
        guard.stop()


@pytest.mark.parametrize("method", ("part", "meet", "add", "lend"))
def test_a_fault_in_the_books(method: str, bare: None, database: str, monkeypatch: Any) -> None:
    """The same where what was handed over is written down."""
    from sqlalchemy.ext.asyncio import create_async_engine

    from pytest_sessionguard.accounts import Handovers

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(Handovers, method, fail)
    guard = Guard("/")
    guard.start()
    guard.start_test(Owner("test", "test_it"), {})

    async def work(session: Any) -> None:
        await session.commit()
        await asyncio.wait_for(anyio.to_thread.run_sync(print, "", session), 5)
        assert await session.scalar(ONE)

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
        async with AsyncSession(engine) as session:
            await asyncio.create_task(work(session))
            await session.commit()
            assert await session.scalar(ONE)
        with Session(engine.sync_engine) as session:
            await asyncio.to_thread(print, session)
            session.close()
        await engine.dispose()

    try:
        asyncio.run(main())
        assert isinstance(guard.shield.fault, ZeroDivisionError)
    finally:
        guard.stop()
