"""The nightly report, which a scheduler runs in a thread without an event loop."""

import asyncio
import logging
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from . import db
from .models import User

logger = logging.getLogger(__name__)


@cache
def report_engine() -> AsyncEngine:
    """Return the engine of the reports, which never takes from the application's pool."""
    return create_async_engine(db.get_engine().url, pool_size=1)  # fault: SG106


async def _count_active(city_id: int) -> int:
    """Return how many candidates of a city still look for work."""
    query = select(func.count()).where(User.city_id == city_id, User.is_active)
    async with AsyncSession(report_engine()) as session:
        return await session.scalar(query) or 0  # fault: SG103


def nightly_report(city_id: int) -> str:
    """Return the report, with one more attempt on a new engine where the first one fails."""
    try:
        count = asyncio.run(_count_active(city_id))
    except (RuntimeError, SQLAlchemyError):
        logger.warning("the report failed, trying again")
        report_engine.cache_clear()
        count = asyncio.run(_count_active(city_id))
    return f"{count} active"
