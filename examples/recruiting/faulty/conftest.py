"""The back end on a real Postgres: one event loop and one engine for the run."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from recruiting import db
from recruiting.app import app
from recruiting.models import Base
from sample import Town, add_town
from sqlalchemy.ext.asyncio import AsyncEngine


@pytest.fixture(scope="session")
async def engine(sessionguard_postgres: Any) -> AsyncIterator[AsyncEngine]:
    """Make the application's engine and all tables, for the whole run."""
    engine = db.configure(sessionguard_postgres.url_for("asyncpg"))
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield engine
    await engine.dispose()


@pytest.fixture
async def town(engine: AsyncEngine) -> Town:
    """Add a city with a candidate and two slots."""
    return await add_town()


@pytest.fixture
async def client(engine: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the web application, in this event loop."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client
