"""Changes that a session lost because nobody committed them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.sessions import SessionRecord


class Dropped:
    """Changes that were in a session when it was closed in peace, and were never committed.

    Attributes:
        trace: Where it was closed.
        session: The session.
        changed: Where its changes were written to the database, or the first new object was added.
        changes: What was not written yet, such as ``1 new User``.
        is_written: Whether something was.
        told: Whether a finding has told it.
    """

    __slots__ = ("changed", "changes", "is_written", "session", "told", "trace")

    def __init__(
        self,
        trace: Trace,
        session: SessionRecord,
        changes: str,
        changed: Trace | None = None,
        *,
        is_written: bool = False,
    ) -> None:
        self.trace = trace
        self.session = session
        self.changes = changes
        self.changed = changed
        self.is_written = is_written
        self.told = False
