"""Requests and tasks that are cancelled in the middle of a query, on real Postgres."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from loads.conftest import line_of
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

fastapi = pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
responses = pytest.importorskip("starlette.responses")

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.parametrize("driver", ("asyncpg", "psycopg")),
]


class Server:
    """The server as a bystander sees it, past SQLAlchemy and so unseen by the guard.

    Attributes:
        slow: A statement that lasts, and that no other test's is taken for.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._mark = f"{uuid.uuid4()}"
        self.slow = text(f"SELECT pg_sleep(30) /* {self._mark} */")

    def count_slow(self) -> int:
        """Count the connections that execute it."""
        return int(self._ask("count(*)"))

    def end_slow(self) -> None:
        """End them; a driver may leave one behind that its server goes on with."""
        self._ask("count(pg_terminate_backend(pid))")

    def _ask(self, what: str) -> Any:
        query = f"SELECT {what} FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        active = f"{query} AND state = 'active' AND query LIKE '%{self._mark}%'"
        return self._connection.execute(active).fetchone()[0]


@pytest.fixture
def engine(driver: str, sessionguard_postgres: Any, watching: Any) -> Any:
    """An engine whose pool holds one connection."""
    url = sessionguard_postgres.url_for(driver)
    return create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=10)


@pytest.fixture
def server(sessionguard_postgres: Any) -> Any:
    """The server, and at the end nothing that still runs on it."""
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(sessionguard_postgres.url, autocommit=True) as connection:
        server = Server(connection)
        yield server
        server.end_slow()


async def until(count: int, server: Server) -> None:
    """Wait until so many connections execute the slow statement."""
    for _ in range(500):
        if server.count_slow() == count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{server.count_slow()} and not {count} execute it")


async def hang_up(app: Any, path: str, server: Server) -> None:
    """Ask as a web server does whose client leaves in the middle of the slow statement."""
    asked = False

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await until(1, server)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        pass

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "root_path": "",
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    await app(scope, receive, send)


def make_app(engine: Any, server: Server, fault: str = "") -> Any:
    factory = async_sessionmaker(engine)
    app = fastapi.FastAPI()

    async def get_session() -> AsyncIterator[AsyncSession]:
        if fault == "dependency":
            session = factory()  # dependency
            yield session
            await session.close()
        else:
            async with factory() as session:
                yield session

    @app.get("/slow")
    async def slow(session: Any = fastapi.Depends(get_session)) -> Any:
        await session.execute(server.slow)

    async def stream() -> AsyncIterator[str]:
        yield "first\n"
        if fault == "stream":
            session = factory()  # stream
            await session.execute(server.slow)
            await session.close()
        else:
            async with factory() as session:
                await session.execute(server.slow)

    @app.get("/stream")
    async def read_stream() -> Any:
        return responses.StreamingResponse(stream())

    return app


async def be_cancelled(app: Any, server: Server, path: str) -> None:
    """Cancel a request in the middle of its query, as a server that shuts down does."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        task = asyncio.create_task(client.get(path))
        await until(1, server)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def ends_well(engine: Any) -> None:
    """Hold that no task is left, and that the pool's one connection is to be had."""
    assert {asyncio.current_task()} == asyncio.all_tasks()
    async with engine.connect() as connection:
        assert 1 == await connection.scalar(text("SELECT 1"))


async def wait_for(work: Awaitable[None]) -> None:
    await asyncio.wait_for(work, 0.3)


async def timeout(work: Awaitable[None]) -> None:
    async with asyncio.timeout(0.3):  # came with Python 3.11
        await work


DEADLINES = [wait_for, *([timeout] if hasattr(asyncio, "timeout") else [])]


@pytest.mark.parametrize("within", DEADLINES)
def test_timeout(within: Any, watching: Any, engine: Any, server: Server, run: Any) -> None:
    """A session in its block is closed when a deadline comes in the middle of a query."""

    async def work() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(server.slow)

    async def main() -> None:
        for _ in range(2):
            with pytest.raises(asyncio.TimeoutError):
                await within(work())
        await ends_well(engine)
        await until(0, server)

    run(main(), engine)
    assert [] == watching.end()
    assert [] == watching.ledger.all_leases()


def test_timeout_of_a_leak(watching: Any, engine: Any, server: Server, run: Any) -> None:
    """One that is closed below the query is not. Its connection is gone with the query: SQLAlchemy
    invalidates one that was cancelled (``Connection._handle_dbapi_exception``), which is no lease.
    """

    async def work() -> None:
        session = AsyncSession(engine)  # opened
        await session.execute(server.slow)
        await session.close()

    async def main() -> Any:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work(), 0.3)
        return watching.end()

    (finding,) = run(main(), engine)
    assert "SG201" == finding.rule
    assert line_of(finding).endswith("# opened")


def test_cancelled_request(watching: Any, engine: Any, server: Server, run: Any) -> None:
    """A request that is cancelled in its query gives its connection back."""

    async def main() -> None:
        await be_cancelled(make_app(engine, server), server, "/slow")
        await ends_well(engine)

    run(main(), engine)
    assert [] == watching.end()


def test_cancelled_dependency(watching: Any, engine: Any, server: Server, run: Any) -> None:
    """A dependency without `finally` loses it there."""

    async def main() -> Any:
        await be_cancelled(make_app(engine, server, "dependency"), server, "/slow")
        return watching.end()

    (finding,) = run(main(), engine)
    assert "SG201" == finding.rule
    assert line_of(finding).endswith("# dependency")


def test_client_that_leaves(watching: Any, engine: Any, server: Server, run: Any) -> None:
    """A client that leaves in the middle of a stream loses no connection of the pool.

    Its server may not be told: anyio cancels again at each step of the loop
    (``CancelScope._deliver_cancellation``), and often what would cancel the query is cancelled too.
    Then, and only then, is it told that the server goes on.
    """

    async def main() -> None:
        await hang_up(make_app(engine, server), "/stream", server)
        await ends_well(engine)

    run(main(), engine)
    found = [finding.rule for finding in watching.end()]
    assert ["SG105"] * server.count_slow() == found


def test_client_that_leaves_a_leak(watching: Any, engine: Any, server: Server, run: Any) -> None:
    """A stream that closes its session at its own end only leaves that open, too."""

    async def main() -> Any:
        await hang_up(make_app(engine, server, "stream"), "/stream", server)
        return watching.end()

    findings = {finding.rule: finding for finding in run(main(), engine)}
    assert {"SG201", *(["SG105"] * server.count_slow())} == findings.keys()
    assert line_of(findings["SG201"]).endswith("# stream")


@pytest.mark.parametrize("count", (10, 100))
def test_many_that_are_cancelled(
    count: int, watching: Any, engine: Any, server: Server, run: Any
) -> None:
    """Of many tasks on one connection, the one that holds it and those that wait are cancelled."""

    async def work() -> None:
        async with AsyncSession(engine) as session:
            await session.execute(server.slow)

    async def main() -> None:
        tasks = [asyncio.create_task(work()) for _ in range(count)]
        await until(1, server)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {asyncio.CancelledError} == {type(result) for result in results}
        await ends_well(engine)

    run(main(), engine)
    assert [] == watching.end()
    assert [] == watching.ledger.all_leases()
