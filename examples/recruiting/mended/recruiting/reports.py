"""The nightly report, which a scheduler runs in a thread without an event loop."""

import asyncio

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from . import db
from .models import User


async def _count_active(city_id: int) -> int:
    """Return how many candidates of a city still look for work."""
    query = select(func.count()).where(User.city_id == city_id, User.is_active)
    engine = create_async_engine(db.get_engine().url, pool_size=1)
    try:
        async with AsyncSession(engine) as session:
            return await session.scalar(query) or 0
    finally:
        await engine.dispose()


def nightly_report(city_id: int) -> str:
    """Return the report, from an engine that lives and ends with this event loop."""
    return f"{asyncio.run(_count_active(city_id))} active"
