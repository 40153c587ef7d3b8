"""Connections and their pools: checkouts, and what is known of where they came from."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.accounts.holders import find_holder, goes_on, is_of_others
from pytest_sessionguard.accounts.uses import Use
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner
from pytest_sessionguard.survey import find_limit

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.scopes import Scope
    from pytest_sessionguard.accounts.sessions import SessionRecord


class PoolFacts:
    """What is known of one connection pool."""

    __slots__ = (
        "dialect",
        "engine",
        "is_tight",
        "kind",
        "ledger",
        "loop_bound",
        "overflow",
        "pool",
        "size",
        "timeout",
        "use",
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
        is_tight: bool = False,
        use: Use | None = None,
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
        self.is_tight = is_tight
        self.use = use or Use(engine=engine, kind=kind, size=size, overflow=overflow)

    @property
    def limit(self) -> int | None:
        """Return how many connections it hands out at most; None where there is no limit."""
        return find_limit(self.size, self.overflow)


class Lease:
    """One checkout of a pooled connection, from checkout to its end.

    Attributes:
        proxy: A weak reference to the connection as the pool handed it out.
        trace: Where it was taken.
        account: Whose it is.
        pool: What is known of its pool.
        thread: The thread that took it.
        taken_by: The account of whoever ran at that moment, also where the session's owner has it.
        runner: What took it: a weak reference to a task, or a token of a thread's piece of work.
        session: The session that took it, if one did.
        scope: The service call that opened it, if one did.
        is_escaped: Whether that call ended without having closed it.
        is_abandoned: Whether its task has not ended, and never will: its loop is closed.
        told: Whether a finding has told it, or none can.
    """

    runner: Any = None
    is_escaped: bool = False
    is_abandoned: bool = False
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
        self.account = self.taken_by = account
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

    def look_for_task(self) -> None:
        """Note whether the task that took it can end at all, before a collection takes the task."""
        task = self.runner() if isinstance(self.runner, weakref.ref) else None
        if task is not None and not task.done() and task.get_loop().is_closed():
            self.is_abandoned = True

    @property
    def opened(self) -> Trace:
        """Return where it was taken, or the session that holds it made."""
        return self.trace if self.session is None else self.session.trace or self.trace

    def find_holder(self) -> str:
        """Find whether a task or thread is still inside the block that is to close it.

        Returns:
            ``"task"``, ``"thread"``, or nothing.
        """
        return find_holder(self.runner, self.opened) if self.is_out else ""

    def goes_on(self, ending: Collection[Account]) -> bool:
        """Tell whether others go on with it when some owners end.

        Args:
            ending: The accounts of the owners.
        """
        return not self.is_escaped and goes_on(self.runner, self.opened, ending, self.trace)

    def is_of_others(self, accounts: Collection[Account]) -> bool:
        """Tell whether somebody is at work with it whom some owners have not started.

        Args:
            accounts: The accounts of the owners.
        """
        return is_of_others(self.runner, self.opened, accounts, self.trace)


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
