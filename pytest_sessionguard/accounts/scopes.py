"""Calls of service functions: what each has opened, and what was wrong when it returned."""

from __future__ import annotations

import sys
import threading
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.running import find_runner

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.connections import Lease
    from pytest_sessionguard.accounts.sessions import SessionRecord


class Scope:
    """One call of a service function, with the services that it calls, from beginning to return.

    Attributes:
        function: Its dotted name.
        account: The account of whoever called it.
        code: The code whose frame is looked for; None where it is known, or there is none.
        frame: The function's frame, which tells afterwards where it returned.
        runners: The tasks and threads that its own frame ran in.
        sessions: The sessions that it opened, each with the task or thread that did.
        leases: The connections that it took, likewise.
        is_over: Whether it has returned.
        ending: How it ended: ``returned``, ``raised`` or ``was closed``.
        trace: Where it ended, and below that where it was called; known where that is told.
    """

    __slots__ = (
        "account",
        "code",
        "ending",
        "frame",
        "function",
        "is_over",
        "leases",
        "runners",
        "sessions",
        "trace",
    )

    def __init__(self, function: str, account: Account) -> None:
        self.function = function
        self.account = account
        self.code: CodeType | None = None
        self.frame: FrameType | None = None
        self.runners: set[Any] = set()
        self.sessions: list[tuple[SessionRecord, Any]] = []
        self.leases: list[tuple[Lease, Any]] = []
        self.is_over = False
        self.ending = "returned"
        self.trace: Trace | None = None

    def take_session(self, record: SessionRecord) -> None:
        """Enter a session that was opened in it; that of a registry is meant to outlast it.

        Args:
            record: The session.
        """
        if not record.is_scoped:
            record.scope = self
            self.sessions.append((record, find_runner()))
            self._look_for_frame()

    def take_lease(self, lease: Lease) -> None:
        """Enter a connection that was taken in it, or by a session that was opened in it.

        Args:
            lease: The lease.
        """
        lease.scope = self
        self.leases.append((lease, find_runner()))
        self._look_for_frame()

    def is_done(self, runner: Any) -> bool:
        """Tell whether what opened a thing of its can close it no more.

        A task or a thread that a service starts and leaves running has things of its own.

        Args:
            runner: The task or thread that opened it.

        Returns:
            Whether it was the function's own one, or has ended.
        """
        if runner in self.runners:
            return True
        if isinstance(runner, int):
            return runner not in {thread.ident for thread in threading.enumerate()}
        task = runner()
        return task is None or task.done()

    def _look_for_frame(self) -> None:
        """Find the function's frame among the callers, the outermost where it calls itself."""
        if self.code is None or self.frame is not None:
            return
        frame: FrameType | None = sys._getframe(2)
        while frame is not None:
            if frame.f_code is self.code:
                self.frame = frame
            frame = frame.f_back


class Breach:
    """A result that does not outlive the sessions which its service has opened.

    Attributes:
        scope: The call that returned it.
        is_attached: Whether its instances belong to a session still, or lack something to be read.
        models: The names of their classes.
        count: How many instances.
        kind: What is wrong with the first of them.
        lines: Where they are in the result, and what they lack.
        consequence: What that leads to.
        mend: How to mend it.
        records: The sessions that they belong to, or belonged to last.
        told: Whether a finding has told it.
    """

    __slots__ = (
        "consequence",
        "count",
        "is_attached",
        "kind",
        "lines",
        "mend",
        "models",
        "records",
        "scope",
        "told",
    )

    def __init__(
        self,
        scope: Scope,
        *,
        is_attached: bool,
        models: tuple[str, ...],
        count: int,
        kind: str,
        lines: tuple[str, ...] = (),
        consequence: str = "",
        mend: str = "",
        records: tuple[SessionRecord, ...] = (),
    ) -> None:
        self.scope = scope
        self.is_attached = is_attached
        self.models = models
        self.count = count
        self.kind = kind
        self.lines = lines
        self.consequence = consequence
        self.mend = mend
        self.records = records
        self.told = False

    @property
    def trace(self) -> Trace | None:
        """Return where the service returned it."""
        return self.scope.trace
