"""Connections and their pools: checkouts, and what is known of where they came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.scopes import Scope
    from pytest_sessionguard.accounts.sessions import SessionRecord


class PoolFacts:
    """What is known of one connection pool."""

    __slots__ = (
        "dialect",
        "engine",
        "kind",
        "ledger",
        "loop_bound",
        "overflow",
        "pool",
        "size",
        "timeout",
    )

    def __init__(
        self,
        ledger: object,
        *,
        engine: str,
        kind: str,
        pool: Callable[[], Any] = lambda: None,
        dialect: Callable[[], Any] = lambda: None,
        size: int | None = None,
        overflow: int | None = None,
        timeout: float | None = None,
        loop_bound: bool = False,
    ) -> None:
        self.ledger = ledger
        self.engine = engine
        self.kind = kind
        self.pool = pool
        self.dialect = dialect
        self.size = size
        self.overflow = overflow
        self.timeout = timeout
        self.loop_bound = loop_bound


class Lease:
    """One checkout of a pooled connection, from checkout to its end.

    Attributes:
        proxy: A weak reference to the connection as the pool handed it out.
        trace: Where it was taken.
        account: Whose it is.
        pool: What is known of its pool.
        thread: The thread that took it.
        session: The session that took it, if one did.
        scope: The service call that opened it, if one did.
        is_escaped: Whether that call ended without having closed it.
        told: Whether a finding has told it, or none can.
    """

    is_escaped: bool = False
    told: bool = False

    def __init__(
        self,
        proxy: Callable[[], Any],
        trace: Trace,
        account: Account,
        pool: PoolFacts,
        thread: int,
    ) -> None:
        self.proxy = proxy
        self.trace = trace
        self.account = account
        self.pool = pool
        self.thread = thread
        self.session: SessionRecord | None = None
        self.scope: Scope | None = None

    @property
    def is_out(self) -> bool:
        """Tell whether the connection is still checked out.

        ``PoolProxiedConnection.is_valid`` is false as soon as the proxy was closed. It is the
        only truth where two proxies share a record, as those of a StaticPool do.
        """
        proxy = self.proxy()
        return proxy is not None and bool(proxy.is_valid)


class Crossing:
    """A connection that was opened under one event loop and checked out under another."""

    __slots__ = ("birth", "pool", "told", "trace")

    def __init__(self, trace: Trace, pool: PoolFacts, birth: Birth) -> None:
        self.trace = trace
        self.pool = pool
        self.birth = birth
        self.told = False


class Birth:
    """Where and under which event loop a connection to the server was opened."""

    __slots__ = ("loop", "owner", "pool", "trace")

    def __init__(
        self, loop: Callable[[], Any], owner: Owner, trace: Trace, pool: PoolFacts | None = None
    ) -> None:
        self.loop = loop
        self.owner = owner
        self.trace = trace
        self.pool = pool
