"""Sessions that two tasks, or two threads, were inside of at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.sessions import SessionRecord


class Overlap:
    """One entering of a session while somebody else was inside.

    Attributes:
        record: The session.
        first: Where the one stood who was inside.
        trace: Where the other one came in.
        are_threads: Whether they ran in two threads, not only in two tasks of one.
        told: Whether a finding has told it.
    """

    __slots__ = ("are_threads", "first", "record", "told", "trace")

    def __init__(
        self, record: SessionRecord, first: Trace, trace: Trace, *, are_threads: bool
    ) -> None:
        self.record = record
        self.first = first
        self.trace = trace
        self.are_threads = are_threads
        self.told = False
