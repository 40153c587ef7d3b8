"""The engine of the application, and the sessions on it."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.orm import Session, sessionmaker

SessionLocal = sessionmaker(class_=Session)
_engine: Engine | None = None


def configure(url: URL | str) -> Engine:
    """Make the engine of this process and bind the sessions to it."""
    global _engine
    _engine = create_engine(url, pool_size=5)
    SessionLocal.configure(bind=_engine)
    return _engine


def get_engine() -> Engine:
    """Return the engine that `configure` made."""
    if _engine is None:
        raise RuntimeError("call configure(url) first")
    return _engine


@contextmanager
def get_db() -> Iterator[Session]:
    """Yield a session and close it, whatever happens in the block."""
    with SessionLocal() as session:
        yield session


@contextmanager
def get_read_db() -> Iterator[Session]:
    """Yield a session for reading."""
    session = SessionLocal()  # fault: SG102, SG501
    yield session
