"""What the dependency of the web application promises, however its request ends."""

from recruiting.app import get_async_session
from sqlalchemy.ext.asyncio import AsyncEngine

from pytest_sessionguard import assert_dependency_closes


async def test_get_async_session(engine: AsyncEngine) -> None:
    await assert_dependency_closes(get_async_session)
