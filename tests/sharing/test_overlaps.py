"""Two inside of one session at the same time, by every way in."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from contextlib import suppress
from typing import Any

import pytest
from loads.zoo import Author
from sharing.conftest import ONE, SLOW, lines_of, run
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from pytest_sessionguard.report.wording import tell

WAIT = text("SELECT slow(0)")


async def read(session: Any) -> None:
    await session.execute(SLOW)  # reads


async def read_in_function(session: Any) -> None:
    await session.run_sync(lambda inner: inner.scalar(SLOW))  # reads


async def stream(session: Any) -> None:
    await session.stream(SLOW)  # streams


async def commit(session: Any) -> None:
    await session.commit()  # commits


async def roll_back(session: Any) -> None:
    await session.rollback()  # rolls back


async def close(session: Any) -> None:
    await session.close()  # closes


async def flush(session: Any) -> None:
    session.add(Author(id=900, name="new"))
    await session.flush()  # flushes


async def get(session: Any) -> None:
    await session.get(Author, 2)  # gets


async def connect(session: Any) -> None:
    await session.connection()  # connects


async def later(work: Any, session: Any) -> None:
    await asyncio.sleep(0.02)
    with suppress(SQLAlchemyError):
        await work(session)


def last_line_of(function: Any) -> str:
    return inspect.getsource(function).splitlines()[-1].strip()


SECONDS = (read, read_in_function, stream, commit, roll_back, close, flush, get, connect)


@pytest.mark.parametrize("second", SECONDS, ids=lambda work: work.__name__)
@pytest.mark.parametrize("first", (read, read_in_function, stream), ids=lambda w: w.__name__)
def test_tasks(first: Any, second: Any, async_engine: Any, findings: Any) -> None:
    """A slow statement in one task, and whatever another does with the session meanwhile."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            await asyncio.gather(first(session), later(second, session), return_exceptions=True)

    run(main, async_engine)
    (finding,) = findings()
    assert "SG203" == finding.rule
    assert {"count": 1, "holder": "AsyncSession", "threads": False}.items() <= finding.facts.items()
    assert sorted((last_line_of(first), last_line_of(second))) == lines_of(finding)


def test_both_stacks_are_shown(async_engine: Any, findings: Any) -> None:
    """The text has two frames of each."""

    async def load(session: Any) -> None:
        await read(session)

    async def save(session: Any) -> None:
        await asyncio.sleep(0.02)
        await commit(session)

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            await asyncio.gather(load(session), save(session))

    run(main, async_engine)
    (finding,) = findings()
    functions = [[f.function for f in place.site.frames] for place in finding.places[:2]]
    assert [["commit", "save"], ["read", "load"]] == functions
    lines = tell(finding).splitlines()
    assert [" in commit", " in save", " in read", " in load"] == [
        " in " + line.rsplit(" in ", 1)[1] for line in lines[2:6]
    ]
    assert len(lines) <= 14


def test_a_fresh_session(async_engine: Any, findings: Any) -> None:
    """Two that both provision its connection: SQLAlchemy may raise, and code may swallow it."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await asyncio.gather(session.execute(ONE), session.execute(ONE), return_exceptions=True)

    run(main, async_engine)
    (finding,) = findings()
    assert "SG203" == finding.rule


def test_many_are_one_finding(async_engine: Any, findings: Any) -> None:
    """What five hundred tasks do at one place is one finding."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            works = [session.execute(ONE) for _ in range(500)]
            await asyncio.gather(*works, return_exceptions=True)

    run(main, async_engine)
    (finding,) = findings()
    assert 1 == finding.facts["count"]


def test_several_sessions_at_one_place(async_engine: Any, findings: Any) -> None:
    """Their number is told."""

    async def main(engine: Any) -> None:
        for _ in range(3):
            async with AsyncSession(engine) as session:
                await session.execute(ONE)
                await asyncio.gather(read(session), read(session), return_exceptions=True)

    run(main, async_engine)
    (finding,) = findings()
    assert 3 == finding.facts["count"]


def test_two_places_are_two_findings(async_engine: Any, findings: Any) -> None:
    """Where one is accepted, the other is still told."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            for second in (commit, get):
                await asyncio.gather(read(session), later(second, session))

    run(main, async_engine)
    assert {"await session.commit()  # commits", "await session.get(Author, 2)  # gets"} == {
        line for finding in findings() for line in lines_of(finding) if "# reads" not in line
    }


def test_the_other_way_round(async_engine: Any, findings: Any) -> None:
    """Two that meet again, the second one first this time, are one finding still."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            for one, other in ((read, get), (get, read), (read, get)):
                works = (one(session), other(session))
                await asyncio.gather(*works, return_exceptions=True)

    run(main, async_engine)
    assert ["SG203"] == [finding.rule for finding in findings()]


def test_registry_with_a_wrong_scope(async_engine: Any, findings: Any) -> None:
    """A registry that gives all tasks one session."""

    async def main(engine: Any) -> None:
        registry = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: 1)

        async def work() -> None:
            await registry.execute(SLOW)

        await registry.execute(ONE)
        await asyncio.gather(work(), work(), return_exceptions=True)
        await registry.remove()

    run(main, async_engine)
    (finding,) = findings()
    assert "async_scoped_session" == finding.facts["holder"]


def test_a_task_that_outlives_it_is_told_once(async_engine: Any, findings: Any) -> None:
    """The session's block ends in the middle of the task's statement: that is SG204's."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            task = asyncio.create_task(read(session))
            await asyncio.sleep(0.02)
        await asyncio.gather(task, return_exceptions=True)

    run(main, async_engine)
    (finding,) = findings()
    assert "SG204" == finding.rule


def in_thread(work: Any, *args: Any) -> threading.Thread:
    def quietly() -> None:
        with suppress(SQLAlchemyError):
            work(*args)

    thread = threading.Thread(target=quietly)
    thread.start()
    return thread


THREADS = {
    "execute": lambda session: session.execute(ONE),
    "commit": lambda session: session.commit(),
    "rollback": lambda session: session.rollback(),
    "get": lambda session: session.get(Author, 2),
    "query": lambda session: session.query(Author).first(),
    "connection": lambda session: session.connection(),
    "close": lambda session: session.close(),
}


@pytest.mark.parametrize("name", THREADS)
@pytest.mark.parametrize("is_outside", (False, True), ids=("inner", "outer"))
def test_threads(name: str, is_outside: bool, engine: Any, turnstile: Any, findings: Any) -> None:
    """One thread in a statement, and another that comes in."""
    second = THREADS[name]
    session = Session(engine)
    session.execute(ONE)

    turnstile.stand_before(engine)

    def slow() -> None:
        session.execute(WAIT)  # waits
        turnstile.is_out.set()

    def come() -> None:
        turnstile.is_in.wait(10)
        try:
            second(session)  # comes
        finally:
            turnstile.may_go.set()

    one, other = (come, slow) if is_outside else (slow, come)
    thread = in_thread(one)
    with suppress(SQLAlchemyError):
        other()
    thread.join()
    (finding,) = findings()
    session.close()
    assert "SG203" == finding.rule
    assert finding.facts["threads"]
    # The statement has called back, so the first one stands in the turnstile.
    came, stood = lines_of(finding)
    assert came.startswith(f'"{name}": lambda session')
    assert "self.may_go.wait(10)" == stood


def test_a_session_older_than_the_guard(
    engine: Any, turnstile: Any, watching: Any, findings: Any
) -> None:
    """A module's session, made where nobody watched yet."""
    watching.guard._watchers.remove()
    session = Session(engine)
    watching.guard.look()
    session.execute(ONE)
    turnstile.stand_before(engine)

    def slow() -> None:
        session.execute(WAIT)
        turnstile.is_out.set()

    thread = in_thread(slow)
    turnstile.is_in.wait(10)
    session.commit()
    thread.join()
    (finding,) = findings()
    session.close()
    assert "SG203" == finding.rule


def test_thread_local_registry_is_silent(engine: Any, findings: Any) -> None:
    """Each thread gets a session of its own."""
    registry = scoped_session(sessionmaker(engine))

    def work() -> None:
        for _ in range(5):
            registry.execute(ONE)
            time.sleep(0.001)
        registry.remove()

    threads = [in_thread(work) for _ in range(5)]
    for thread in threads:
        thread.join()
    assert [] == findings()


def test_loops_in_two_threads(async_engine: Any, findings: Any) -> None:
    """Tasks of two event loops, one of which waits in its statement."""

    async def main(engine: Any) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(ONE)
            task = asyncio.create_task(read(session))
            await asyncio.sleep(0.02)
            await asyncio.to_thread(lambda: asyncio.run(later(commit, session)))
            await task

    run(main, async_engine)
    (finding,) = findings()
    assert finding.facts["threads"]
