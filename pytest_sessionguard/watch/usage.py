"""Using a session as a request would, so that it has something to give back."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from sqlalchemy import event, literal, select
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session

from pytest_sessionguard.accounts import Lease, SessionRecord
from pytest_sessionguard.watch.private import KEY, find_binds


class Usage:
    """The use of one session: the connection it takes, and what becomes of its transaction.

    Args:
        session: A sync session, or the sync one of an async session.

    Attributes:
        committed: Whether the transaction that the use began was committed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._transaction: Any = None
        self.committed = False
        event.listen(session, "after_commit", self._note_commit)

    @property
    def is_async(self) -> bool:
        """Tell whether the session can only be used below an ``await``."""
        bind = self._find_bind()
        return bool(bind is not None and bind.dialect.is_async)

    def take_connection(self) -> None:
        """Let the session execute a statement that every database knows."""
        bind = self._find_bind()
        arguments = {"bind": bind} if bind is not None else None
        connection = self._session.connection(bind_arguments=arguments)
        connection.scalar(select(literal(1)))
        self._transaction = self._session.get_transaction()

    async def take_connection_async(self) -> None:
        """Do the same below an ``await``, where the session needs one."""
        if self.is_async:
            await _spawn(self.take_connection)
        else:
            self.take_connection()

    def end(self) -> None:
        """Close the session, whatever state it is in."""
        event.remove(self._session, "after_commit", self._note_commit)
        self._session.close()

    async def end_async(self) -> None:
        """Do the same below an ``await``, where the session needs one."""
        if self.is_async:
            await _spawn(self.end)
        else:
            self.end()

    def _note_commit(self, session: Session) -> None:
        # It is told of a savepoint, too (``SessionTransaction.commit``).
        transaction = session.get_transaction()
        if transaction is not None and transaction is self._transaction:
            self.committed = self.committed or not session.in_nested_transaction()

    def _find_bind(self) -> Any:
        """Find the engine or connection to use; the first where there are several."""
        try:
            return self._session.get_bind()
        except UnboundExecutionError:
            return next(iter(find_binds(self._session)), None)


def is_session(thing: Any) -> bool:
    """Tell whether an object is a session, sync or async.

    Args:
        thing: Anything that a dependency may return.

    Returns:
        Whether it is one; a registry of sessions is not.
    """
    module = sys.modules.get("sqlalchemy.ext.asyncio.session")
    async_session = getattr(module, "AsyncSession", None)
    return isinstance(thing, (Session, async_session) if async_session else Session)


def wake_registry(thing: Any) -> SessionRecord | None:
    """Let the registry of a ``scoped_session`` make its session, which it does when first used.

    Args:
        thing: Anything that a dependency may yield.

    Returns:
        The record of its session; None where the thing is no registry.
    """
    if type(thing).__name__ not in ("scoped_session", "async_scoped_session"):
        return None
    session = thing()
    return getattr(getattr(session, "sync_session", session), KEY, None)


def give_back(lease: Lease) -> None:
    """Return a connection that its taker has not returned.

    Args:
        lease: Its lease.
    """
    proxy = lease.proxy()
    if proxy is not None and lease.is_out:
        proxy.close()


async def give_back_async(lease: Lease) -> None:
    """Do the same below an ``await``, where the driver needs one.

    Args:
        lease: Its lease.
    """
    if getattr(lease.pool.dialect(), "is_async", False):
        await _spawn(partial(give_back, lease))
    else:
        give_back(lease)


def _spawn(action: Callable[[], None]) -> Awaitable[None]:
    from sqlalchemy.util import greenlet_spawn  # needs greenlet, which async sessions have

    return greenlet_spawn(action)
