"""Engines: where one was made, and the connections to the server that it keeps."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.clock import Clock

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account

# What the threads of aiosqlite run (0.22 and newer); older ones are threads themselves.
_AIOSQLITE = "_connection_worker_thread"


class EngineRecord:
    """One engine: whose it is, where it was made, what it keeps open.

    Attributes:
        account: The account of whoever made it.
        trace: Where it was made; None for one that is older than the watching.
        name: Dialect and driver.
        is_async: Whether its driver is async.
        connections: The pool's records of the connections that were opened, open or not.
        told: Whether a finding has told it.
    """

    __slots__ = ("__weakref__", "account", "connections", "is_async", "name", "told", "trace")

    def __init__(
        self, account: Account, trace: Trace | None, *, name: str, is_async: bool = False
    ) -> None:
        self.account = account
        self.trace = trace
        self.name = name
        self.is_async = is_async
        self.connections: weakref.WeakSet[Any] = weakref.WeakSet()
        self.told = False

    def open_connections(self) -> list[Any]:
        """Return the pool's records of those connections that are open still."""
        # ``ConnectionPoolEntry.dbapi_connection`` is None once it was closed or detached.
        return [r for r in list(self.connections) if r.dbapi_connection is not None]


def find_thread(record: Any) -> threading.Thread | None:
    """Find the thread that an open connection keeps, and for which the interpreter waits.

    Of SQLAlchemy's drivers only aiosqlite has one for each connection.

    Args:
        record: The pool's record of the connection.

    Returns:
        The thread, or None where there is none or nobody waits for it.
    """
    driver = record.driver_connection
    thread = driver if isinstance(driver, threading.Thread) else getattr(driver, "_thread", None)
    if isinstance(thread, threading.Thread) and thread.is_alive() and not thread.daemon:
        return thread
    return None


def find_threads_of_drivers() -> set[threading.Thread]:
    """Find all threads of connections for which the interpreter waits, whoever opened them.

    Returns:
        The threads.
    """
    return {
        thread
        for thread in threading.enumerate()
        if not thread.daemon
        and (_AIOSQLITE in thread.name or type(thread).__module__ == "aiosqlite.core")
    }


def count_staying(threads: Collection[threading.Thread], patience: float = 2.0) -> int:
    """Count the threads that stay, where some may be ending.

    aiosqlite's `close` returns when its connection is closed, before the thread has ended.

    Args:
        threads: Threads that ran a moment ago.
        patience: How many seconds all of them together have to end.

    Returns:
        How many have not.
    """
    until = Clock.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, until - Clock.monotonic()))
    return sum(thread.is_alive() for thread in threads)
