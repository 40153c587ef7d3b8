"""What a dependency opens while it is driven, kept apart from what its test opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pytest_sessionguard.accounts import Account, Lease, Scope, SessionRecord
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Owner

_current: ContextVar[Opened | None] = ContextVar("sessionguard_dependency", default=None)


class Opened(Scope):
    """The sessions and connections of one run of a dependency, in an account that nobody judges.

    Attributes:
        records: Its sessions, in the order of their making.
        taken: Its connections.
        kept: The sessions themselves: what the dependency drops is closed here, not collected.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name, Account(Owner("test", name)))
        self.records: list[SessionRecord] = []
        self.taken: list[Lease] = []
        self.kept: list[Any] = []

    def take_session(self, record: SessionRecord) -> None:
        """Enter a session that was made.

        Args:
            record: The session.
        """
        record.account = self.account
        self.records.append(record)
        self.kept.append(record.session())

    def take_lease(self, lease: Lease) -> None:
        """Enter a connection that was taken.

        Args:
            lease: The lease.
        """
        lease.account.leases.pop(lease, None)
        lease.account = self.account
        self.account.leases[lease] = None
        self.taken.append(lease)

    def left_sessions(self) -> list[SessionRecord]:
        """Return the sessions that took a connection and were not closed."""
        users = {id(lease.session) for lease in self.taken}
        return [r for r in self.records if id(r) in users and not r.is_idle]

    def left_connections(self) -> list[Lease]:
        """Return the connections that are out, or that only the collector ended."""
        return [lease for lease in self.taken if lease.is_out or lease in self.account.lost]

    @contextmanager
    def is_current(self) -> Iterator[None]:
        """Let what this task or thread opens, and what they start, be entered here."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


@contextmanager
def telling_apart(ledger: Ledger) -> Iterator[None]:
    """Ask a ledger to give what a dependency opens to it, and to nobody else.

    Args:
        ledger: The ledger of the guard that watches.
    """
    before = ledger.find_scope

    def find() -> Scope | None:
        opened = _current.get()
        if opened is not None:
            return opened
        return before() if before is not None else None

    ledger.find_scope = find
    try:
        yield
    finally:
        # Where several dependencies are driven at once, the last to begin may not be last to end.
        if ledger.find_scope is find:
            ledger.find_scope = before
