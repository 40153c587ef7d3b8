"""Connections as the server sees them: its processes, and what one of them was left with."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakSet

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.connections import Lease


class Address(NamedTuple):
    """Where a Postgres server answers, and as whom it was asked; never shown to anybody."""

    host: str
    port: int
    user: str
    password: str
    database: str

    @property
    def home(self) -> Address:
        """Return the database that every server has and no suite drops."""
        return self._replace(database="postgres")

    def __repr__(self) -> str:
        """Hide the password."""
        return f"Address({self.host!r}, {self.port!r})"


# What a server does for a connection: the state of its transaction, and its advisory locks.
Burden = tuple[str, int]
_IDLE = "idle"

# How many of the leases that a connection was out on are kept: a finding has no room for more.
_VISITS = 8


class Seat:
    """The server's process behind a connection, and who used it since it was last seen free.

    Attributes:
        address: Where the server is.
        pid: Its process.
        is_closed: Whether the pool has closed the connection.
        visits: The latest leases that it was out on and returned from.
        visitors: The accounts of all of them.
        left_by: Whose affair it is that the process is not free, once that was seen.
        burden: What it was not free of then, if that is known.
        evidence: The leases on one of which it must have happened, until they were told.
    """

    __slots__ = (
        "__weakref__",
        "address",
        "burden",
        "evidence",
        "is_closed",
        "left_by",
        "pid",
        "visitors",
        "visits",
    )

    def __init__(self, address: Address, pid: int) -> None:
        self.address = address
        self.pid = pid
        self.is_closed = False
        self.visits: deque[Lease] = deque(maxlen=_VISITS)
        self.visitors: dict[Account, None] = {}
        self.left_by: Account | None = None
        self.burden: Burden | None = None
        self.evidence: tuple[Lease, ...] = ()

    @property
    def last(self) -> Lease | None:
        """Return the latest lease that it was returned from."""
        return self.visits[-1] if self.visits else None

    def take_back(self, lease: Lease, unasked: WeakSet[Seat]) -> None:
        """Enter that a lease of the connection was returned.

        Args:
            lease: What ends.
            unasked: Where the connections are that somebody used who has no end.
        """
        account = lease.account
        self.visits.append(lease)
        self.visitors[account] = None
        if account.is_due:
            account.seats[self] = None
        else:
            unasked.add(self)

    def leave(
        self,
        account: Account | None,
        burden: Burden | None = None,
        evidence: tuple[Lease, ...] = (),
    ) -> None:
        """Enter whose affair it is that something was left on it, and begin to look anew.

        Args:
            account: Whose; None where nothing was left.
            burden: What was left; None where nobody has asked.
            evidence: The leases that are to be told; none where it was not seen who did it.
        """
        self.left_by, self.burden, self.evidence = account, burden, evidence
        self.visits.clear()
        self.visitors.clear()

    def is_worse(self, burden: Burden) -> bool:
        """Tell whether something was left on it that had not been there before.

        Args:
            burden: What there is now.
        """
        if self.left_by is None or self.burden is None:
            return self.left_by is None
        (before, locks), (state, now) = self.burden, burden
        return now > locks or (state != _IDLE and before == _IDLE)


class Suspect:
    """A connection whose lease has ended, which the server may not know.

    Attributes:
        seat: The server's process behind it.
        lease: The lease that it was out on, the last one of a connection that was returned.
        how: What became of it: ``invalidated``, ``cancelled``, ``detached`` or ``returned``.
        earlier: The leases of a returned one before that, the latest first.
        state: What the server still did or held for it, once it was asked; else empty.
        locks: How many advisory locks it held.
        told: Whether a finding has told it.
    """

    __slots__ = ("earlier", "how", "lease", "locks", "seat", "state", "told")

    def __init__(self, seat: Seat, lease: Lease, how: str, earlier: tuple[Lease, ...] = ()) -> None:
        self.seat = seat
        self.lease = lease
        self.how = how
        self.earlier = earlier
        self.state = ""
        self.locks = 0
        self.told = False

    @property
    def trace(self) -> Trace:
        """Return where its lease was taken."""
        return self.lease.trace
