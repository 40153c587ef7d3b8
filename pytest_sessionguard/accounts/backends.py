"""Connections as the server sees them: its processes, and what one of them was left with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.connections import Lease


class Address(NamedTuple):
    """Where a Postgres server answers, and as whom it was asked; never shown to anybody."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def __repr__(self) -> str:
        """Hide the password."""
        return f"Address({self.host!r}, {self.port!r})"


class Seat(NamedTuple):
    """The server's process behind a connection."""

    address: Address
    pid: int


class Suspect:
    """A connection that ended in a way after which the server may not know of its end.

    Attributes:
        seat: The server's process behind it.
        lease: The lease that it was out on.
        how: What became of it: ``invalidated``, ``cancelled`` or ``detached``.
        state: What the server still did or held for it, once it was asked; else empty.
        locks: How many advisory locks it held.
        told: Whether a finding has told it.
    """

    __slots__ = ("how", "lease", "locks", "seat", "state", "told")

    def __init__(self, seat: Seat, lease: Lease, how: str) -> None:
        self.seat = seat
        self.lease = lease
        self.how = how
        self.state = ""
        self.locks = 0
        self.told = False

    @property
    def trace(self) -> Trace:
        """Return where its lease was taken."""
        return self.lease.trace
