"""Hand-overs on a real Postgres, whose connections are lost for good where a task leaks them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loads.zoo import Author
from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from tasks.conftest import line_of

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ONE = select(Author.id).limit(1)


@pytest.fixture(params=("asyncpg", "psycopg"))
def postgres_engine(request: Any, zoo_postgres: Any, watching: Any) -> Any:
    return create_async_engine(zoo_postgres.url_for(request.param), pool_size=1, max_overflow=1)


async def work(session: Any, gate: Any) -> None:
    await gate.wait()
    await session.scalar(ONE)


async def work_by_id(engine: Any, author_id: int, gate: Any) -> None:
    await gate.wait()
    async with AsyncSession(engine) as session:
        assert await session.get(Author, author_id)


@pytest.mark.parametrize("is_right", (False, True), ids=("fault", "twin"))
def test_task(is_right: bool, postgres_engine: Any, findings: Any) -> None:
    """A task that goes on with a closed session loses a connection of the pool, in one finding."""

    async def main() -> None:
        gate = asyncio.Event()
        async with AsyncSession(postgres_engine) as session:
            author = await session.get_one(Author, 1)
            if is_right:
                task = asyncio.create_task(work_by_id(postgres_engine, author.id, gate))
            else:
                task = asyncio.create_task(work(session, gate))  # handed
        gate.set()
        await task
        await postgres_engine.dispose()

    asyncio.run(main())
    found = findings()
    if is_right:
        assert [] == found
        return
    (finding,) = found
    assert "SG204" == finding.rule
    assert line_of(finding).endswith("# handed")
    assert {
        "connection": "lost",
        "pool_size": 1,
        "max_overflow": 1,
    }.items() <= finding.facts.items()


def test_thread(zoo_postgres: Any, findings: Any) -> None:
    """The same in a thread, on psycopg."""
    engine = create_engine(zoo_postgres.url_for("psycopg"))
    gate = threading.Event()

    def work(session: Any) -> None:
        gate.wait(10)
        session.scalar(ONE)

    with Session(engine) as session:
        session.scalar(ONE)
        thread = threading.Thread(target=work, args=(session,))
        thread.start()  # handed
    gate.set()
    thread.join()
    (finding,) = findings()
    session.close()
    engine.dispose()
    assert "SG204" == finding.rule
    assert "out" == finding.facts["connection"]


@pytest.mark.parametrize("is_right", (False, True), ids=("fault", "twin"))
def test_background_task(is_right: bool, postgres_engine: Any, findings: Any) -> None:
    """A background task of FastAPI that gets the request's session and an instance, or an id."""
    app = fastapi.FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(postgres_engine) as session:
            yield session

    async def process(item: Any, session: Any) -> None:
        await session.refresh(item)

    async def process_by_id(author_id: int) -> None:
        async with AsyncSession(postgres_engine) as session:
            assert await session.get(Author, author_id)

    @app.post("/items")
    async def create_item(
        tasks: fastapi.BackgroundTasks, session: Any = fastapi.Depends(get_session)
    ) -> Any:
        author = await session.get_one(Author, 1)
        author_id = author.id
        await session.commit()
        if is_right:
            tasks.add_task(process_by_id, author_id)
        else:
            tasks.add_task(process, author, session)  # handed

    async def main() -> None:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            assert 200 == (await client.post("/items")).status_code
        await postgres_engine.dispose()

    asyncio.run(main())
    found = findings()
    assert ([] if is_right else ["SG204", "SG305"]) == [finding.rule for finding in found]
    assert all(line_of(finding).endswith("# handed") for finding in found)


def test_many_at_once(zoo_postgres: Any, watching: Any, findings: Any) -> None:
    """Five hundred tasks with sessions of their own, and as many that share one, are none."""
    engine = create_async_engine(zoo_postgres.url_for("asyncpg"), pool_size=5, max_overflow=0)

    async def own(number: int) -> None:
        async with AsyncSession(engine) as session:
            assert await session.get(Author, 1 + number % 2)

    async def share(session: Any, lock: Any) -> None:
        async with lock:
            await session.scalar(ONE)

    async def main() -> None:
        await asyncio.gather(*(own(number) for number in range(500)))
        lock = asyncio.Lock()
        async with AsyncSession(engine) as session:
            await asyncio.gather(*(share(session, lock) for _ in range(500)))
            record = vars(session.sync_session)["_sessionguard"]
            assert len(record.handovers._open) <= 64
        await engine.dispose()

    asyncio.run(main())
    assert [] == findings()
