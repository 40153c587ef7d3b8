"""Sessions and instances that were handed to work which goes on beside whoever handed them over."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.sessions import SessionRecord

# How many hand-overs of one session are remembered whose work has not ended.
_KEPT = 64


class Work(Protocol):
    """A task, a thread or a call that somebody else makes.

    Attributes:
        was_cancelled: Whether it is known to have ended by being cancelled.
    """

    was_cancelled: bool

    def is_over(self) -> bool:
        """Tell whether it has ended."""

    def is_here(self) -> bool:
        """Tell whether the caller runs in the middle of it."""

    def does(self, runner: Any) -> bool:
        """Tell whether it is what this task or thread does."""

    def settle(self) -> None:
        """Let it end where it is about to: a thread tells its caller before it has."""

    def await_end(self) -> None:
        """Keep an eye on how it ends, once that matters."""


class Handover:
    """A session, or an instance of it, that was handed to some work.

    Attributes:
        record: The session.
        account: Whose fault it is, should it be one.
        work: Who got it.
        trace: Where it was handed over.
        way: The name of the function that took it.
        model: The name of the instance's class; empty for the session itself.
        is_direct: Whether the work got the thing itself, and not only something that has it.
        is_late: Whether the work begins when the response is out, by definition.
        giver: The task or thread that handed it over.
        helpers: Calls for which the work itself waits, in threads of their own.
        closed: Where the session was closed while the work went on.
        in_block: Whether the end of the session's own block did that.
        used: Where the work has begun a transaction of the session last.
        is_again: Whether it did so after the session had been closed.
        is_kept: Whether the work closed the session itself: it was handed over for good.
        told: Whether a finding has told it.
    """

    closed: Trace | None = None
    in_block: bool = False
    used: Trace | None = None
    is_again: bool = False
    is_kept: bool = False
    told: bool = False

    def __init__(
        self,
        record: SessionRecord,
        account: Account,
        work: Work,
        trace: Trace,
        way: str,
        *,
        state: Any = None,
        model: str = "",
        is_direct: bool = True,
        is_late: bool = False,
        giver: Any = None,
    ) -> None:
        self.record = record
        self.account = account
        self.work = work
        self.trace = trace
        self.way = way
        self.model = model
        self.is_direct = is_direct
        self.is_late = is_late
        self.giver = giver
        self.helpers: tuple[Work, ...] = ()
        self._state: Callable[[], Any] | None = None if state is None else weakref.ref(state)

    @property
    def is_here(self) -> bool:
        """Tell whether the caller runs in the middle of the work."""
        return self.work.is_here() or any(helper.is_here() for helper in self.helpers)

    @property
    def is_attached(self) -> bool:
        """Tell whether what was handed over still belongs to the session."""
        if self._state is None:
            return True
        state = self._state()
        return state is not None and state.session is self.record.session()

    @property
    def is_fault(self) -> bool:
        """Tell whether the work outlives what it got, or has met its end."""
        if self.is_kept:
            return False
        if self.used is not None or (self.is_late and self.is_direct):
            return True
        return self.closed is not None and self.is_direct and not self.work.was_cancelled


class Handovers:
    """What was handed over of one session to work that has not ended."""

    def __init__(self) -> None:
        self._open: list[Handover] = []

    def add(self, handover: Handover) -> None:
        """Enter a hand-over.

        Args:
            handover: What was handed over, and to whom.
        """
        if len(self._open) >= _KEPT:
            self._open = [other for other in self._open if not other.work.is_over()][-_KEPT // 2 :]
        self._open.append(handover)
        if handover.is_late:
            handover.account.handovers.append(handover)

    def lend(self, work: Work) -> None:
        """Enter that the running work has others do a part of it, and waits for them.

        Args:
            work: What they do.
        """
        for handover in self._open:
            if handover.work.is_here():
                handover.helpers = (*handover.helpers[-7:], work)

    def part(self, trace: Trace, *, in_block: bool) -> None:
        """Enter that the session is about to be closed.

        Args:
            trace: Where.
            in_block: Whether the end of its own block closes it.
        """
        self._open = [handover for handover in self._open if not handover.work.is_over()]
        owners = self._find_owners()
        for handover in owners:
            # Once somebody else has closed it, closing it again makes it nobody's own.
            handover.is_kept = handover.closed is None
        for handover in self._open:
            if handover.closed is None and not handover.is_kept and handover.is_attached:
                if not handover.is_late:
                    handover.work.settle()
                    if handover.work.is_over():
                        continue
                handover.closed, handover.in_block = trace, in_block
                # One of several that got it has closed it: the others may have done with it.
                handover.is_direct = handover.is_direct and not owners
                handover.work.await_end()
                if not handover.is_late:
                    handover.account.handovers.append(handover)

    def meet(self, trace: Trace) -> None:
        """Enter that the session begins a transaction.

        Args:
            trace: Where.
        """
        for handover in self._open:
            is_awaited = handover.closed is not None or handover.is_late
            if is_awaited and not handover.model and handover.is_here:
                handover.used = trace
                handover.is_again = handover.closed is not None

    def _find_owners(self) -> list[Handover]:
        """Find those whose work is closing the session, and those that handed it on to them."""
        owners = [handover for handover in self._open if handover.is_here]
        for owner in owners:  # grows while it is walked
            owners += [
                other
                for other in self._open
                if other not in owners and owner.giver is not None and other.work.does(owner.giver)
            ]
        return owners
