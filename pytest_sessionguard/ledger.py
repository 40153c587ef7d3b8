"""The record of what was opened, by whom, and how it ended.

Watchers write it, rules read it. It holds the user's objects by weak references only, and each
thing stands in the account of its owner just as long as it is open or worth telling, so judging
an owner costs what that owner opened and a long run keeps nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner, Severity

ELSEWHERE = Owner(kind="import", name="code outside the tests", scope="session")


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
        ledger: Ledger,
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
        failed: Whether its test, a subtest of it or the setup of its fixture has failed.
    """

    __slots__ = (
        "crossings",
        "failed",
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
        self.failed = False
        self.leases: dict[int, Lease] = {}
        self.sessions: dict[int, SessionRecord] = {}
        self.lost: list[Lease] = []
        self.reopened: list[SessionRecord] = []
        self.crossings: list[Crossing] = []

    @property
    def is_due(self) -> bool:
        """Tell whether its things must end at all: what an import opened need not."""
        return self.owner.kind != "import"

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
        """Return the sessions that were used, not closed since, and not told yet."""
        return [record for record in list(self.sessions.values()) if not record.told]


class SessionRecord:
    """One session: where it was made, whether it is in use, how it was closed last."""

    __slots__ = ("account", "ended", "in_block", "leaving", "reopened", "session", "told", "trace")

    def __init__(self, account: Account, session: Callable[[], Any], trace: Trace | None) -> None:
        self.account = account
        self.session = session
        self.trace = trace
        self.leaving: tuple[Trace, bool] | None = None
        self.ended: Trace | None = None
        self.in_block = False
        self.reopened: Trace | None = None
        self.told = False

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
    """One checkout of a pooled connection, from checkout to its end."""

    __slots__ = ("account", "pool", "proxy", "session", "thread", "told", "trace")

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
        self.told = False

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


class Ledger:
    """All accounts' things, and the account that new things go to.

    Attributes:
        current: The account of whatever pytest runs at the moment.
        elsewhere: The account of what is never due.
        out: The newest lease of each pool record that is checked out.
        newest: The lease that was entered last.
        engines: How many engines were seen.
        sessions: How many sessions were seen.
    """

    def __init__(self) -> None:
        self.elsewhere = Account(ELSEWHERE)
        self.current = self.elsewhere
        self.out: dict[Any, Lease] = {}
        self.newest: Lease | None = None
        self.engines = 0
        self.sessions = 0
        # A StaticPool hands one record to several proxies and reports the first return only, so
        # of these leases nothing but the proxy itself can tell whether it is out.
        self._shared: weakref.WeakKeyDictionary[Any, list[Lease]] = weakref.WeakKeyDictionary()
        self._shares = False
        self._dialects: weakref.WeakSet[Any] = weakref.WeakSet()

    def add_pool(self, dialect: Any) -> None:
        """Count the engine of a pool; a pool that ``dispose()`` made anew belongs to the same.

        Args:
            dialect: The dialect that all pools of an engine share.
        """
        if dialect not in self._dialects:
            self._dialects.add(dialect)
            self.engines += 1

    def open_lease(self, record: Any, lease: Lease) -> None:
        """Enter a checkout.

        Args:
            record: The pool's record, the one thing that names the connection to its end.
            lease: The new lease; its account gets it.
        """
        before = self.out.get(record)
        if before is not None:
            self._shared.setdefault(record, [before])
            self._shares = True
        if self._shares and record in self._shared:
            self._prune(record)
            self._shared.setdefault(record, []).append(lease)
        self.out[record] = self.newest = lease
        lease.account.leases[id(lease)] = lease

    def end_lease(self, record: Any) -> None:
        """Enter a return to the pool, or a connection taken out of it for good.

        Whoever closes a proxy holds it: where it is gone, the garbage collector returned it.

        Args:
            record: The pool's record; one that is unknown was checked out before the watching.
        """
        lease = self.out.pop(record, None)
        if lease is None:
            return
        if self._shares and record in self._shared:
            self._prune(record)
            return
        account = lease.account
        account.leases.pop(id(lease), None)
        if lease.proxy() is None and account.is_due:
            account.lost.append(lease)

    def give_lease(self, lease: Lease, record: SessionRecord) -> None:
        """Enter that a session took a lease: it is the session's owner's from now on.

        Args:
            lease: The lease that the session's transaction began with.
            record: The session.
        """
        lease.session = record
        if lease.account is not record.account:
            lease.account.leases.pop(id(lease), None)
            lease.account = record.account
            record.account.leases[id(lease)] = lease

    def find_lease(self, proxy: Any) -> Lease | None:
        """Find the lease of a proxy.

        Args:
            proxy: A connection as the pool hands it out.

        Returns:
            Its lease, or None where it was checked out before the watching.
        """
        return next((lease for lease in self.all_leases() if lease.proxy() is proxy), None)

    def leases_of(self, pool: Any) -> list[Lease]:
        """Return the leases of one pool that are out.

        Args:
            pool: A pool of SQLAlchemy.

        Returns:
            Its leases, oldest first.
        """
        return [lease for lease in self.all_leases() if lease.pool.pool() is pool and lease.is_out]

    def add_crossing(self, crossing: Crossing) -> None:
        """Enter that a connection was met under another loop than the one that opened it.

        Args:
            crossing: Where, and where it was opened.
        """
        if self.current.is_due:
            self.current.crossings.append(crossing)

    def open_session(self, session: Callable[[], Any], trace: Trace) -> SessionRecord:
        """Enter a new session.

        Args:
            session: A weak reference to it.
            trace: Where it was made.

        Returns:
            Its record, in nobody's account until it is used.
        """
        self.sessions += 1
        return SessionRecord(self.current, session, trace)

    def adopt_session(self, session: Callable[[], Any]) -> SessionRecord:
        """Enter a session that was made before the watching began.

        Args:
            session: A weak reference to it.

        Returns:
            Its record, which is never due.
        """
        self.sessions += 1
        return SessionRecord(self.elsewhere, session, None)

    def begin_session(self, record: SessionRecord) -> None:
        """Enter that a session begins a transaction.

        Args:
            record: The session.
        """
        account = record.account
        if account.is_due:
            account.sessions[id(record)] = record

    def begin_again(self, record: SessionRecord, trace: Trace) -> None:
        """Enter that a session which had been closed begins a transaction.

        Args:
            record: The session.
            trace: Where.
        """
        self.begin_session(record)
        record.reopened = trace
        if record.in_block and record.account.is_due:
            record.account.reopened.append(record)

    def close_session(self, record: SessionRecord, trace: Trace | None, *, in_block: bool) -> None:
        """Enter that a session was closed.

        Args:
            record: The session.
            trace: Where.
            in_block: Whether the end of its own ``with`` block closed it.
        """
        record.account.sessions.pop(id(record), None)
        if record.in_block and record.reopened is not None:
            return  # what its block had closed began again: that stays told, closed or not
        record.ended = trace
        record.in_block = in_block
        record.reopened = None

    def reenter_session(self, record: SessionRecord) -> None:
        """Enter that a closed session begins a ``with`` block of its own again, which is fine.

        Args:
            record: The session.
        """
        if record.reopened is None:
            record.ended = None
            record.in_block = False

    def all_leases(self) -> list[Lease]:
        """Return every lease that was entered and not ended, each once."""
        shared = [lease for leases in list(self._shared.values()) for lease in leases]
        leases = [*(lease for lease in shared if lease.is_out), *self.out.values()]
        return list({id(lease): lease for lease in leases}.values())

    def threads_out(self, accounts: list[Account]) -> bool:
        """Tell whether another living thread still holds leases of these accounts.

        Args:
            accounts: The accounts that are due.

        Returns:
            Whether waiting for a moment can change what is open.
        """
        here = threading.get_ident()
        alive: set[int | None] | None = None
        for account in accounts:
            for lease in account.open_leases():
                if lease.thread != here:
                    alive = alive or {thread.ident for thread in threading.enumerate()}
                    if lease.thread in alive:
                        return True
        return False

    def _prune(self, record: Any) -> None:
        """Drop what ended of the leases that share a record."""
        still_out = []
        for lease in self._shared.pop(record):
            if lease.is_out:
                still_out.append(lease)
            else:
                lease.account.leases.pop(id(lease), None)
        if still_out:
            self._shared[record] = still_out
