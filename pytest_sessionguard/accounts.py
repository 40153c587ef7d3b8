"""What is open and whose it is: leases, sessions, and the account of each owner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner, Severity


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


class Account:
    """One owner's page: what it has open, and what of it ended in a way worth telling.

    Attributes:
        owner: The owner.
        severities: What rules do here, where they do not keep their defaults.
        is_due: Whether its things must end at all: what an import opened need not.
        failed: Whether its test, a subtest of it or the setup of its fixture has failed.
    """

    __slots__ = (
        "crossings",
        "failed",
        "is_due",
        "leases",
        "lost",
        "owner",
        "reopened",
        "sessions",
        "severities",
    )

    def __init__(self, owner: Owner, severities: Mapping[str, Severity] | None = None) -> None:
        self.owner = owner
        self.severities = severities or {}
        self.is_due = owner.kind != "import"
        self.failed = False
        self.leases: dict[int, Lease] = {}
        self.sessions: dict[int, SessionRecord] = {}
        self.lost: list[Lease] = []
        self.reopened: list[SessionRecord] = []
        self.crossings: list[Crossing] = []

    @property
    def goes_with_test(self) -> bool:
        """Tell whether the running test's result decides whether it is judged."""
        return self.failed or self.owner.is_test_bound

    def open_leases(self) -> list[Lease]:
        """Return the leases that are out and have not been told yet."""
        return [lease for lease in list(self.leases.values()) if not lease.told and lease.is_out]

    def lost_leases(self) -> list[Lease]:
        """Return the leases that the garbage collector ended and that have not been told yet."""
        return [lease for lease in self.lost if not lease.told]

    def open_sessions(self) -> list[SessionRecord]:
        """Return the sessions that took a connection, were not closed since, and are not told."""
        return [record for record in list(self.sessions.values()) if not record.told]


class SessionRecord:
    """One session: where it was made, whether it is in use, how it was closed last.

    Attributes:
        account: Its owner's account.
        session: A weak reference to it.
        trace: Where it was made; None for one that is older than the watching.
        leaving: Where it is being closed, and whether the end of its own block closes it.
        ended: Where it was closed last.
        in_block: Whether the end of its own block did that.
        reopened: Where it began again after that.
        told: Whether a finding has told it.
    """

    # No slots: values that are the same for nearly all cost nothing to set, as class attributes.
    leaving: tuple[Trace, bool] | None = None
    ended: Trace | None = None
    in_block: bool = False
    reopened: Trace | None = None
    told: bool = False

    def __init__(self, account: Account, session: Callable[[], Any], trace: Trace | None) -> None:
        self.account = account
        self.session = session
        self.trace = trace

    @property
    def opened(self) -> Trace | None:
        """Return where it was made, as seen from outside of an ``__init__`` of its class."""
        trace = self.trace
        if trace is not None and len(trace.marks) > 2 and trace.marks[0].co_name == "__init__":
            return trace._replace(marks=trace.marks[2:])
        return trace

    @property
    def is_idle(self) -> bool:
        """Tell whether it was closed once and has no transaction now, whatever it did between."""
        session = self.session()
        return self.ended is not None and (session is None or not session.in_transaction())

    @property
    def kind(self) -> str:
        """Return the name of the session's class as the user knows it."""
        is_async = self.trace is not None and self.trace.is_async
        if self.is_scoped:
            return "async_scoped_session" if is_async else "scoped_session"
        return "AsyncSession" if is_async else "Session"

    @property
    def is_scoped(self) -> bool:
        """Tell whether a ``scoped_session`` registry made it."""
        return self.trace is not None and self.trace.is_scoped


class Lease:
    """One checkout of a pooled connection, from checkout to its end.

    Attributes:
        proxy: A weak reference to the connection as the pool handed it out.
        trace: Where it was taken.
        account: Whose it is.
        pool: What is known of its pool.
        thread: The thread that took it.
        session: The session that took it, if one did.
        told: Whether a finding has told it, or none can.
    """

    session: SessionRecord | None = None
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
