"""Many requests and tasks at once, over pools that are far too small for them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from loads.conftest import line_of
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import sessionmaker
from web.apps import make_app
from web.models import Book

httpx = pytest.importorskip("httpx")
testclient = pytest.importorskip("fastapi.testclient")

COUNTS = (10, 100, 500)


@pytest.mark.parametrize("size", (1, 5))
@pytest.mark.parametrize("count", COUNTS)
def test_requests(count: int, size: int, watching: Any, make_async_engine: Any, run: Any) -> None:
    """Requests of a healthy application wait for one another, and leave nothing."""
    engine = make_async_engine(size)
    app = make_app(engine)
    paths = ("/authors/1", "/authors/9", "/missing", "/titles", "/state")

    async def visit() -> list[int]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test", timeout=120)
        async with app.router.lifespan_context(app), client:
            asked = [client.get(paths[number % len(paths)]) for number in range(count)]
            return [response.status_code for response in await asyncio.gather(*asked)]

    codes = run(visit(), engine)
    assert {200, 404} == set(codes)
    assert codes.count(200) == count * 3 // 5
    assert [] == watching.end()
    assert watching.ledger.sessions > count


@pytest.mark.parametrize("size", (1, 5))
@pytest.mark.parametrize("count", COUNTS)
def test_tasks(count: int, size: int, watching: Any, make_async_engine: Any, run: Any) -> None:
    """Tasks with a session each leave nothing, also where a part of them fails."""
    engine = make_async_engine(size)
    factory = async_sessionmaker(engine)

    async def work(number: int) -> int:
        async with factory() as session:
            books = (await session.scalars(select(Book))).all()
            if number % 7 == 0:
                raise LookupError(number)
            return len(books)

    async def main() -> list[Any]:
        return await asyncio.gather(*map(work, range(count)), return_exceptions=True)

    results = run(main(), engine)
    assert results.count(2) == count - (count + 6) // 7
    assert [] == watching.end()
    assert [] == watching.ledger.all_leases()


@pytest.mark.parametrize("size", (1, 5))
def test_threads(size: int, watching: Any, make_engine: Any) -> None:
    """Threads likewise."""
    factory = sessionmaker(make_engine(size))

    def work(number: int) -> int:
        with factory() as session:
            return len(session.scalars(select(Book)).all())

    with ThreadPoolExecutor(20) as pool:
        assert 500 * 2 == sum(pool.map(work, range(500)))
    assert [] == watching.end()
    assert [] == watching.ledger.all_leases()


def test_one_leak_among_many(watching: Any, make_async_engine: Any, run: Any) -> None:
    """One task of a hundred that leaks is the one that is told."""
    engine = make_async_engine(5)
    factory = async_sessionmaker(engine)
    kept: list[AsyncSession] = []

    async def work(number: int) -> None:
        if number == 42:
            kept.append(factory())
            await kept[0].execute(text("SELECT 1"))  # leaks
            return
        async with factory() as session:
            await session.execute(text("SELECT 1"))

    async def main() -> list[Any]:
        await asyncio.gather(*map(work, range(100)))
        findings = watching.end()
        await kept[0].close()
        return findings

    (finding,) = run(main(), engine)
    assert "SG101" == finding.rule
    assert 1 == finding.facts["count"]
    assert line_of(finding).endswith("# leaks")


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Keep the collector away until the test is judged.

    It may come while a task draws a number of SQLAlchemy's under a lock; what it ends awaits (a
    connection of aiosqlite, in ``_finalize_fairy``), and the next task waits for the lock for ever.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("count", (10, 100))
def test_leaks_of_many_requests(
    count: int, watching: Any, make_async_engine: Any, run: Any
) -> None:
    """What each of many requests leaks at one line is one finding that counts them."""
    engine = make_async_engine(count + 1)
    app = make_app(engine, "dependency")

    async def visit() -> None:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://test")
        async with client:
            await asyncio.gather(*(client.get("/authors/9") for _ in range(count)))

    run(visit(), engine)
    (finding,) = watching.end()
    assert "SG102" == finding.rule
    assert count == finding.facts["count"]
    assert any(line_of(finding, p.label).endswith("# dependency") for p in finding.places)
