"""The account of an owner: what it has open, and what of it is worth telling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pytest_sessionguard.accounts.backends import Seat, Suspect
from pytest_sessionguard.accounts.connections import Crossing, Lease
from pytest_sessionguard.accounts.dropped import Dropped
from pytest_sessionguard.accounts.engines import EngineRecord
from pytest_sessionguard.accounts.handovers import Handover
from pytest_sessionguard.accounts.loads import Fault, Load
from pytest_sessionguard.accounts.overlaps import Overlap
from pytest_sessionguard.accounts.scopes import Breach
from pytest_sessionguard.accounts.sessions import SessionRecord
from pytest_sessionguard.accounts.uses import Nesting
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner, Severity


class Unmade(NamedTuple):
    """A check that a test asked for and that has not taken place yet.

    Attributes:
        assertion: The name of the assertion.
        trace: Where it was called.
    """

    assertion: str
    trace: Trace


# What an account has that a rule may tell. Not the seats: they say what suspects mean.
_TELLING = (
    "breaches",
    "crossings",
    "dropped",
    "escaped",
    "faults",
    "handovers",
    "leases",
    "loads",
    "lost",
    "masked",
    "nestings",
    "overlaps",
    "reopened",
    "sessions",
    "suspects",
)


class Account:
    """One owner's page: what it has open, and what of it ended in a way worth telling.

    Attributes:
        owner: The owner.
        severities: What rules do here, where they do not keep their defaults.
        is_due: Whether its things must end at all: what an import opened need not.
        failed: Whether its test, a subtest of it or the setup of its fixture has failed.
        later: The page of what its sessions take once it has ended.
        escaped: What service functions had left open when they returned, whatever became of it.
        breaches: What was wrong with their results.
        nestings: Checkouts by somebody who held a connection of the same pool, by their places.
        engines: The engines that it made.
        overdue: What was out when it was due, before a wider fixture's teardown.
        overlaps: Sessions that somebody entered while another one was inside.
        suspects: Connections whose server may not know that they ended.
        seats: The server's processes behind connections that its leases were returned with.
        dropped: Sessions that were closed with changes never committed.
        hushed: The rules that are off here and would have told something.
        unmade: The assertions that were called, until they are entered or awaited.
        asserted: The leases that an assertion has told, which another one may meet again.
    """

    __slots__ = (
        "__weakref__",
        "asserted",
        "breaches",
        "crossings",
        "dropped",
        "engines",
        "escaped",
        "failed",
        "faults",
        "handovers",
        "hushed",
        "is_due",
        "later",
        "leases",
        "loads",
        "lost",
        "masked",
        "nestings",
        "overdue",
        "overlaps",
        "owner",
        "reopened",
        "seats",
        "sessions",
        "severities",
        "suspects",
        "unmade",
    )

    def __init__(self, owner: Owner, severities: Mapping[str, Severity] | None = None) -> None:
        self.owner = owner
        self.severities = severities or {}
        self.is_due = owner.kind != "import"
        self.failed = False
        self.later: Account | None = None
        self.leases: dict[Lease, None] = {}
        self.sessions: dict[SessionRecord, None] = {}
        self.lost: list[Lease] = []
        self.reopened: list[SessionRecord] = []
        self.crossings: list[Crossing] = []
        self.loads: dict[Any, Load] = {}
        self.masked: dict[Any, Load] = {}
        self.faults: list[Fault] = []
        self.handovers: list[Handover] = []
        self.escaped: list[Lease | SessionRecord] = []
        self.breaches: list[Breach] = []
        self.hushed: set[str] = set()
        self.unmade: dict[object, Unmade] = {}
        self.asserted: dict[Lease, None] = {}
        self.nestings: dict[Any, Nesting] = {}
        self.engines: list[EngineRecord] = []
        self.dropped: list[Dropped] = []
        self.suspects: list[Suspect] = []
        self.seats: dict[Seat, None] = {}
        self.overlaps: list[Overlap] = []
        self.overdue: list[Lease] = []

    @property
    def goes_with_test(self) -> bool:
        """Tell whether the running test's result decides whether it is judged."""
        return self.failed or self.owner.is_test_bound

    @property
    def may_tell(self) -> bool:
        """Tell whether something is open, or has ended in a way that may be worth telling."""
        return any(getattr(self, name) for name in _TELLING)

    def end(self) -> Account:
        """End it: what its sessions take from now on stands on another page of its owner.

        Returns:
            The page.
        """
        self.later = Account(self.owner, self.severities)
        return self.later

    def move(self, leases: Iterable[Lease], records: Iterable[SessionRecord], to: Account) -> None:
        """Move things to another page.

        Args:
            leases: Leases of this account.
            records: Sessions of this account.
            to: The page.
        """
        for lease in leases:
            self.leases.pop(lease, None)
            to.leases[lease] = None
            lease.account = to
        for record in records:
            self.sessions.pop(record, None)
            to.sessions[record] = None
            record.account = to

    def take_hushed(self) -> set[tuple[str, str]]:
        """Return the node and the code of each rule that kept silent since the last call."""
        hushed = {(self.owner.nodeid, code) for code in self.hushed}
        self.hushed.clear()
        return hushed

    def open_leases(self) -> list[Lease]:
        """Return the leases that are out and have not been told yet."""
        return [lease for lease in list(self.leases) if not lease.told and lease.is_out]

    def due_leases(self) -> list[Lease]:
        """Return the leases that are out, or were when they were due, and have not been told."""
        returned = [lease for lease in self.overdue if not (lease.told or lease.is_out)]
        return [*self.open_leases(), *(lease for lease in returned if lease not in self.lost)]

    def lost_leases(self) -> list[Lease]:
        """Return the leases that the garbage collector ended and that have not been told yet."""
        return [lease for lease in self.lost if not lease.told]

    def escaped_leases(self) -> list[Lease]:
        """Return the leases that were out when a service returned, unless they are lost by now."""
        leases = [thing for thing in self.escaped if isinstance(thing, Lease)]
        return [lease for lease in leases if not lease.told and lease not in self.lost]

    def escaped_sessions(self) -> list[SessionRecord]:
        """Return the sessions that were open when the service which opened them returned."""
        records = [thing for thing in self.escaped if isinstance(thing, SessionRecord)]
        return [record for record in records if not record.told]

    def open_sessions(self) -> list[SessionRecord]:
        """Return the sessions that took a connection, were not closed since, and are not told."""
        return [record for record in list(self.sessions) if not record.told]

    def faulty_handovers(self) -> list[Handover]:
        """Return what was handed to work that outlives it, and has not been told yet."""
        return [each for each in list(self.handovers) if each.is_fault and not each.told]
