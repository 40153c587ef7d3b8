"""The record of what was opened, by whom, and how it ended.

Watchers write it, rules read its accounts. It holds the user's objects by weak references only, and
each thing stands in the account of its owner only while it is open or worth telling, so judging
an owner costs what that owner opened and a long run keeps nothing.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from pytest_sessionguard.accounts import (
    Access,
    Account,
    Crossing,
    EngineRecord,
    Fault,
    Lease,
    Load,
    PoolFacts,
    Results,
    Scope,
    Seat,
    SessionRecord,
    Use,
)
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner

ELSEWHERE = Owner(kind="import", name="code outside the tests", scope="session")


class Ledger:
    """All accounts' things, and the account that new things go to.

    Attributes:
        current: The account of whatever pytest runs at the moment.
        elsewhere: The account of what is never due.
        out: The newest lease of each pool record that is checked out.
        newest: The lease that was entered last.
        results: Where the latest results of queries came from.
        find_scope: How to find the running service call; None where none is asked about.
        refusals: Who lets no attribute load at the moment; each makes the exception of its refusal.
        engines: How many engines were seen.
        sessions: How many sessions were seen.
        uses: The peaks of pools, by their kinds and places.
        made: The engines that live.
        unasked: Connections that somebody used about whom no server was asked.
    """

    def __init__(self) -> None:
        self.elsewhere = Account(ELSEWHERE)
        self.current = self.elsewhere
        self.out: dict[Any, Lease] = {}
        self.newest: Lease | None = None
        self.results = Results()
        self.find_scope: Callable[[], Scope | None] | None = None
        self.refusals: list[Callable[[Load], Exception | None]] = []
        self.engines = 0
        self.sessions = 0
        # A StaticPool hands one record to several proxies and reports the first return only, so
        # of these leases nothing but the proxy itself can tell whether it is out.
        self._shared: weakref.WeakKeyDictionary[Any, list[Lease]] = weakref.WeakKeyDictionary()
        self._shares = False
        self._dialects: weakref.WeakSet[Any] = weakref.WeakSet()
        self.uses: dict[Any, Use] = {}
        self.made: weakref.WeakSet[EngineRecord] = weakref.WeakSet()
        self.unasked: weakref.WeakSet[Seat] = weakref.WeakSet()

    def begin(self, account: Account) -> Account:
        """Make the account of an owner whose time begins the one that new things go to."""
        self.current = account
        return account

    def finish(self, account: Account, *, judged: bool = True) -> None:
        """Enter that the things of an account are due, and whether its rules are asked."""

    def add_pool(self, dialect: Any) -> None:
        """Count the engine of a pool; a pool that ``dispose()`` made anew belongs to the same.

        Args:
            dialect: The dialect that all pools of an engine share.
        """
        if dialect not in self._dialects:
            self._dialects.add(dialect)
            self.engines += 1

    def find_use(self, pool: PoolFacts, made: Trace | None) -> Use:
        """Find where the peaks of a pool are kept: with those of its like.

        Args:
            pool: What is known of it.
            made: Where its engine was made.

        Returns:
            What all pools of its kind share that were made at the same place.
        """
        use = pool.use
        key = (use.engine, use.kind, use.size, use.overflow, made and made.places())
        use.made = made
        return self.uses.setdefault(key, use)

    def open_lease(self, record: Any, lease: Lease) -> None:
        """Enter a checkout.

        Args:
            record: The pool's record, the one thing that names the connection to its end.
            lease: The new lease; its account gets it.
        """
        before = self.out.get(record)
        if before is not None:
            if before.proxy() is lease.proxy():
                # Entered already, by the `super().connect()` of a pool that has its own. Or a
                # SingletonThreadPool hands the same one out again, and counts: which of those who
                # hold it has not closed it is past finding out.
                before.told = before.told or lease.pool.kind == "SingletonThreadPool"
                return
            self._shared.setdefault(record, [before])
            self._shares = True
        if self._shares and record in self._shared:
            self._prune(record)
            self._shared.setdefault(record, []).append(lease)
        self.out[record] = self.newest = lease
        lease.account.leases[lease] = None
        if self.find_scope is not None:
            scope = self.find_scope()
            if scope is not None:
                scope.take_lease(lease)

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
        account.leases.pop(lease, None)
        if lease.proxy() is None and account.is_due and not _may_be_another(lease):
            account.lost.append(lease)

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

    def add_load(self, access: Access, record: SessionRecord) -> None:
        """Enter that reading an attribute has loaded it.

        Args:
            access: The reading.
            record: The session that loaded it.
        """
        self._count(self.current.loads, access, record)

    def add_mask(self, access: Access, record: SessionRecord) -> None:
        """Enter that an attribute needed no loading only because the test had loaded it.

        Args:
            access: The reading.
            record: The session that the test shares.
        """
        self._count(self.current.masked, access, record)

    def _count(self, loads: dict[Any, Load], access: Access, record: SessionRecord) -> None:
        """Count a reading among those of the same attribute at the same place."""
        if self.current.is_due:
            life = (id(record), record.lives)
            key = (access.trace.places(), access.attribute, access.asked, *life)
            load = loads.get(key)
            if load is None:
                load = loads[key] = Load(access, record)
            load.add(access)

    def add_fault(self, fault: Fault) -> None:
        """Enter that SQLAlchemy raised an exception which says that a session is missing.

        Args:
            fault: What is known of it.
        """
        if self.current.is_due:
            self.current.faults.append(fault)

    def open_session(self, session: Callable[[], Any], trace: Trace) -> SessionRecord:
        """Enter a new session.

        Args:
            session: A weak reference to it.
            trace: Where it was made.

        Returns:
            Its record, in nobody's account until it is used.
        """
        self.sessions += 1
        record = SessionRecord(self.current, session, trace)
        if self.find_scope is not None:
            scope = self.find_scope()
            if scope is not None:
                scope.take_session(record)
        return record

    def adopt_session(self, session: Callable[[], Any]) -> SessionRecord:
        """Enter a session that was made before the watching began.

        Args:
            session: A weak reference to it.

        Returns:
            Its record, which is never due.
        """
        self.sessions += 1
        return SessionRecord(self.elsewhere, session, None)

    def find_lost_session(self, key: object) -> SessionRecord | None:
        """Find the session of the current owner that is gone without having been closed.

        Args:
            key: Its ``hash_key``, which its instances keep.

        Returns:
            Its record, or None where it took no connection, or is another owner's.
        """
        account = self.current
        records = [lease.session for lease in account.lost] + list(account.sessions)
        return next((r for r in records if r is not None and r.key == key), None)

    def use_session(self, record: SessionRecord, lease: Lease) -> None:
        """Enter that a session took a lease, which is its owner's from now on.

        Args:
            record: The session.
            lease: The lease that its transaction began with.
        """
        account = record.account = record.account.later or record.account
        lease.session = record
        record.runner = lease.runner
        if lease.account is not account:
            lease.account.leases.pop(lease, None)
            lease.account = account
            account.leases[lease] = None
        if lease.scope is not record.scope:
            self._move_to_scope(lease, record.scope)
        if account.is_due:
            account.sessions[record] = None

    @staticmethod
    def _move_to_scope(lease: Lease, scope: Scope | None) -> None:
        """Give a lease to the service call that opened its session, if that still runs."""
        lease.scope = None
        if scope is not None and not scope.is_over:
            scope.take_lease(lease)

    def begin_again(self, record: SessionRecord, trace: Trace, *, by_right: bool = False) -> None:
        """Enter that a session which had been closed begins a transaction.

        Args:
            record: The session.
            trace: Where.
            by_right: Whether its maker keeps it for whoever asks again.
        """
        record.in_block = record.in_block and not by_right  # else as after a `close()`
        record.reopened = trace
        if record.in_block and record.account.is_due:
            record.account.reopened.append(record)

    def close_session(self, record: SessionRecord, trace: Trace | None, in_block: bool) -> None:
        """Enter that a session was closed.

        Args:
            record: The session.
            trace: Where.
            in_block: Whether the end of its own ``with`` block closed it.
        """
        record.account.sessions.pop(record, None)
        if record.in_block and record.reopened is not None:
            return  # what its block had closed began again: that stays told, closed or not
        record.ended = trace
        record.in_block = in_block
        record.reopened = None
        if record.detached is None:
            record.detached = (trace, in_block)

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
        records = [reference() for reference in self._shared.keyrefs()]
        shared = [lease for r in records if r is not None for lease in self._shared.get(r, ())]
        leases = [*(lease for lease in shared if lease.is_out), *list(self.out.values())]
        return list(dict.fromkeys(leases))

    def _prune(self, record: Any) -> None:
        """Drop what ended of the leases that share a record."""
        still_out = []
        for lease in self._shared.pop(record, ()):
            if lease.is_out:
                still_out.append(lease)
            else:
                lease.account.leases.pop(lease, None)
        if still_out:
            self._shared[record] = still_out


def _may_be_another(lease: Lease) -> bool:
    """Tell whether the return may be that of another thread, with which a StaticPool shares."""
    return lease.pool.kind == "StaticPool" and lease.thread != threading.get_ident()
