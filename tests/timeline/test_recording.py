"""What is opened, sync and async, stands in the timeline with its times and its places."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
import warnings
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from pytest_sessionguard.model import Owner

HERE = "tests/timeline/test_recording.py"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def line_of(mark: str) -> int:
    """The line of this file that ends with a mark."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {mark}"))


def place(timeline: dict[str, Any], number: int | None) -> tuple[str, int]:
    assert number is not None
    path, line, _ = timeline["sites"][number][0]
    return path, line


def fates(story: dict[str, Any], kind: str = "leases") -> list[str]:
    return [thing["fate"] for thing in story[kind]]


def collect() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def test_session(recording, database):
    """A session, the connection it took, and its statement: each within the other."""
    engine = create_engine(f"sqlite://{database}")
    with Session(engine) as session:  # session
        session.execute(text("SELECT 1"))  # lease
    told = recording.end()
    (story,) = told["tests"]
    (session_bar,), (lease,), (statement,) = story["sessions"], story["leases"], story["statements"]
    assert story["nodeid"] == "test_file.py::test_it"
    assert story["judged"] is True
    assert session_bar["fate"] == "closed"
    assert session_bar["kind"] == "Session"
    assert lease["fate"] == "returned"
    assert lease["session"] == session_bar["id"]
    assert statement["lease"] == lease["id"]
    assert place(told, session_bar["site"]) == (HERE, line_of("session"))
    assert place(told, lease["site"]) == (HERE, line_of("lease"))
    assert place(told, session_bar["closed_at"]) == (HERE, line_of("session"))
    times = [
        story["begin"],
        session_bar["begin"],
        lease["begin"],
        statement["begin"],
        statement["begin"] + statement["took"],
        lease["end"],
        session_bar["end"],
        story["end"],
    ]
    assert times == sorted(times)
    assert told["sql"] == ["SELECT ?"]
    assert told["quiet"] == 0


def test_engine(recording, database):
    """An engine is named by its dialect and its driver, with the numbers of its pool."""
    engine = create_engine(f"sqlite://{database}", pool_size=2, max_overflow=1)
    kept = [engine.connect() for _ in range(3)]
    for connection in kept[1:]:
        connection.close()
    told = recording.end()
    (gauge,) = told["engines"]
    known = {name: gauge[name] for name in ("engine", "pool", "size", "overflow", "limit", "peak")}
    assert known == {
        "engine": "sqlite+pysqlite",
        "pool": "QueuePool",
        "size": 2,
        "overflow": 1,
        "limit": 3,
        "peak": 3,
    }
    assert [count for _, count in gauge["out"]] == [1, 2, 3, 2, 1]
    assert [at for at, _ in gauge["out"]] == sorted(at for at, _ in gauge["out"])
    kept[0].close()


def test_fates(recording, database):
    """How a lease ended is told, and that one has not."""
    engine = create_engine(f"sqlite://{database}")
    engine.connect().close()
    engine.connect()
    collect()
    detached = engine.connect()
    detached.detach()
    detached.close()
    broken = engine.connect()
    broken.invalidate()
    broken.close()
    kept = engine.connect()
    told = recording.end()
    assert fates(told["tests"][0]) == [
        "returned",
        "collected",
        "detached",
        "invalidated",
        "out",
    ]
    assert told["tests"][0]["leases"][-1]["end"] is None
    kept.close()


def test_late_end(recording, database):
    """What ends after its test, in another one, is told of where it was opened."""
    engine = create_engine(f"sqlite://{database}")
    kept = engine.connect()
    before = recording.end()
    assert fates(before["tests"][0]) == ["out"]
    recording.start("test_next")
    kept.close()
    after = recording.end()
    (story,) = after["tests"]
    assert story["name"] == "test_it"
    assert fates(story) == ["returned"]
    assert story["leases"][0]["end"] > story["end"]
    assert after["quiet"] == 1


def test_session_used_after_close(recording, database):
    """Where a session began again after its block stands on its bar."""
    engine = create_engine(f"sqlite://{database}")
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
    session.execute(text("SELECT 2"))  # again
    told = recording.end()
    (bar,) = told["tests"][0]["sessions"]
    assert bar["fate"] == "open"
    assert place(told, bar["again"]["site"]) == (HERE, line_of("again"))
    assert [lease["session"] for lease in told["tests"][0]["leases"]] == [bar["id"]] * 2
    session.close()


def test_dropped_session(recording, database):
    """A session that nobody holds any more and nobody has closed is dropped."""
    engine = create_engine(f"sqlite://{database}")
    session = Session(engine)
    session.execute(text("SELECT 1"))
    session.commit()
    del session
    collect()
    told = recording.end()
    assert fates(told["tests"][0], "sessions") == ["dropped"]


def test_session_of_a_fixture(recording, database):
    """A lease that a fixture's session takes is the fixture's; its statement is the test's."""
    engine = create_engine(f"sqlite://{database}")
    owner = Owner("fixture", "fixture `db`", "module", "test_file.py")
    recording.guard.start_fixture("db", owner, {})
    session = Session(engine)
    recording.guard.leave_fixture("db", ready=True)
    session.execute(text("SELECT 1"))
    told = recording.end()
    stories = {story["kind"]: story for story in told["tests"]}
    (lease,) = stories["fixture"]["leases"]
    assert stories["test"]["leases"] == []
    assert [statement["lease"] for statement in stories["test"]["statements"]] == [lease["id"]]
    assert stories["fixture"]["end"] is None
    session.close()
    recording.guard.end_fixture("db")
    recording.start("test_next")
    stories = {(story["kind"], story["name"]): story for story in recording.end()["tests"]}
    assert fates(stories["fixture", "fixture `db`"]) == ["returned"]
    assert stories["fixture", "fixture `db`"]["end"] is not None


def test_quiet_test(recording):
    """A test that opened nothing is counted, and has no story."""
    told = recording.end()
    assert told["tests"] == []
    assert told["quiet"] == 1


def test_quiet_test_with_a_busy_fixture(recording, database):
    """A test whose own fixture opened something is not counted as quiet."""
    engine = create_engine(f"sqlite://{database}")
    owner = Owner("fixture", "fixture `row`", "function", "test_file.py::test_it")
    recording.guard.start_fixture("row", owner, {})
    engine.connect().close()
    recording.guard.leave_fixture("row", ready=True)
    recording.guard.end_fixture("row")
    told = recording.end()
    assert [story["kind"] for story in told["tests"]] == ["fixture"]
    assert told["quiet"] == 0


def test_failed_test(recording, database):
    """A failed test is recorded and not judged."""
    create_engine(f"sqlite://{database}").connect().close()
    (story,) = recording.end(passed=False)["tests"]
    assert story["judged"] is False


def test_statement_that_fails(recording, database):
    """A statement that the database refuses took no time that is known."""
    engine = create_engine(f"sqlite://{database}")
    with engine.connect() as connection:
        with pytest.raises(OperationalError):
            connection.execute(text("SELECT nonsense"))
        connection.execute(text("SELECT 1"))
    told = recording.end()
    first, second = told["tests"][0]["statements"]
    assert first["took"] is None
    assert second["took"] >= 0


def test_lazy_load(recording, database):
    """An attribute that loaded itself stands in the story, with its place."""
    engine = create_engine(f"sqlite://{database}")
    with Session(engine) as session:
        user = session.get(User, 1)
        session.commit()
        assert user.name == "ada"  # load
    told = recording.end()
    (load,) = told["tests"][0]["loads"]
    assert load["attribute"] == "User.name"
    assert place(told, load["site"]) == (HERE, line_of("load"))


def test_no_value(recording, database):
    """Neither parameters nor literals are kept."""
    engine = create_engine(f"sqlite://{database}")
    with Session(engine) as session:
        session.execute(text("SELECT 'Zq7' WHERE 'Zq7' = :name"), {"name": "Zq8"})
        session.execute(text("INSERT INTO users (name) VALUES (:name)"), [{"name": "Zq9"}] * 3)
        session.add(User(name="Zq0"))
        session.commit()
    assert "Zq" not in str(recording.end())


@pytest.mark.parametrize("pool", [StaticPool, NullPool])
def test_pool_without_a_limit(recording, pool):
    """No limit is told of a pool that has none."""
    engine = create_engine("sqlite://", poolclass=pool)
    first = engine.connect()
    first.close()
    second = engine.connect()
    told = recording.end()
    (gauge,) = told["engines"]
    assert gauge["limit"] is None
    assert fates(told["tests"][0]) == ["returned", "out"]
    second.close()


def test_shared_connection(recording):
    """Of the leases of a StaticPool each ends by itself, though its pool tells of one."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    first, second = engine.connect(), engine.connect()
    first.close()
    told = recording.end()
    assert sorted(fates(told["tests"][0])) == ["out", "returned"]
    second.close()
    recording.start("test_next")
    engine.connect().close()
    told = recording.end()
    assert fates(told["tests"][0]) == ["returned", "returned"]


def test_async(recording, database):
    """An async session is told as a sync one is, with the line that awaited."""

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}")
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 1"))  # awaited
        await engine.dispose()

    asyncio.run(main())
    told = recording.end()
    (story,) = told["tests"]
    (lease,), (session,) = story["leases"], story["sessions"]
    assert session["kind"] == "AsyncSession"
    assert lease["session"] == session["id"]
    assert place(told, lease["site"]) == (HERE, line_of("awaited"))
    assert told["engines"][0]["engine"] == "sqlite+aiosqlite"
    assert [statement["lease"] for statement in story["statements"]] == [lease["id"]]


def test_concurrent_tasks(recording, database):
    """Tasks that hold connections at once are out at once."""

    async def main() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite://{database}", pool_size=4)
        together = asyncio.Barrier(4) if hasattr(asyncio, "Barrier") else None

        async def work() -> None:
            async with AsyncSession(engine) as session:
                await session.execute(text("SELECT 1"))
                if together is not None:
                    await together.wait()
                else:
                    await asyncio.sleep(0.2)

        await asyncio.gather(*(work() for _ in range(4)))
        await engine.dispose()

    asyncio.run(main())
    told = recording.end()
    assert told["engines"][0]["peak"] == 4
    assert told["engines"][0]["out"][-1][1] == 0


def test_threads(recording, database):
    """Threads that open and end things while a test ends do no harm."""
    engine = create_engine(f"sqlite://{database}", pool_size=8)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with Session(engine) as session:
                session.execute(text("SELECT 1"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(30):
            recording.guard._finish_fixture(recording.guard.test)
            recording.tell()
            recording.start(f"test_{number}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    told = recording.end()
    assert told["engines"][0]["out"][-1][1] == 0
    assert 1 <= told["engines"][0]["peak"] <= 4


def test_import(recording, database):
    """What nobody's time saw opened is told of the code outside the tests."""
    recording.guard.ledger.current = recording.guard.ledger.elsewhere
    kept = create_engine(f"sqlite://{database}").connect()
    (story,) = recording.end()["tests"]
    assert story["kind"] == "import"
    assert story["end"] is None
    assert fates(story) == ["out"]
    kept.close()


def test_engine_without_a_dialect(recording, database):
    """A pool without an engine is one, however often it gives."""
    pool = QueuePool(lambda: sqlite3.connect(":memory:"), pool_size=2, max_overflow=0)
    for _ in range(3):
        pool.connect().close()
    (gauge,) = recording.end()["engines"]
    assert gauge["engines"] == 1
    assert gauge["limit"] == 2
    assert [count for _, count in gauge["out"]] == [1, 0] * 3
