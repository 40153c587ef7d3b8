"""The engine of the application, and the sessions on it."""

import os

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

new_async_session = async_sessionmaker(class_=AsyncSession, expire_on_commit=False)
_engine: AsyncEngine | None = None


def configure(url: URL | str) -> AsyncEngine:
    """Make the engine of this process and bind the sessions to it."""
    global _engine
    _engine = create_async_engine(
        url,
        pool_size=5,
        max_overflow=10,
        pool_timeout=30,
        pool_pre_ping=True,
        pool_recycle=3600,
        echo_pool=os.environ.get("ENVIRONMENT") == "development",
    )
    new_async_session.configure(bind=_engine)
    return _engine


def get_engine() -> AsyncEngine:
    """Return the engine that `configure` made."""
    if _engine is None:
        raise RuntimeError("call configure(url) first")
    return _engine


def async_session() -> AsyncSession:
    """Return a session that `async with` closes."""
    return new_async_session()
