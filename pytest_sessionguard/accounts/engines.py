"""Engines: where one was made, and the connections to the server that it keeps."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account


class EngineRecord:
    """One engine: whose it is, where it was made, what it keeps open.

    Attributes:
        account: The account of whoever made it.
        trace: Where it was made; None for one that is older than the watching.
        pool: Returns its pool, or None when the engine is gone.
        name: Dialect and driver.
        is_async: Whether its driver is async.
        connections: The pool's records of the connections that were opened, open or not.
        told: Whether a finding has told it.
    """

    __slots__ = ("account", "connections", "is_async", "name", "pool", "told", "trace")

    def __init__(
        self,
        account: Account,
        trace: Trace | None,
        *,
        pool: Callable[[], Any] = lambda: None,
        name: str = "an engine",
        is_async: bool = False,
    ) -> None:
        self.account = account
        self.trace = trace
        self.pool = pool
        self.name = name
        self.is_async = is_async
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self.told = False

    def open_connections(self) -> list[Any]:
        """Return the pool's records of those connections that are open still."""
        # ``ConnectionPoolEntry.dbapi_connection`` is None once it was closed or detached.
        return [r for r in list(self.connections) if r.dbapi_connection is not None]
