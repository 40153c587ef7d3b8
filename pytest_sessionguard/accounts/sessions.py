"""Sessions: where one was made, whether it is in use, how it was closed last."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.accounts.holders import goes_on
from pytest_sessionguard.callsite import Trace

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account
    from pytest_sessionguard.accounts.handovers import Handovers
    from pytest_sessionguard.accounts.loads import Access
    from pytest_sessionguard.accounts.scopes import Scope


class SessionRecord:
    """One session: where it was made, whether it is in use, how it was closed last.

    Attributes:
        account: Its owner's account.
        session: A weak reference to it.
        trace: Where it was made, as seen from outside of its class; None for one that is older
            than the watching.
        leaving: Where it is being closed, and whether the end of its own block closes it.
        ended: Where it was closed last.
        in_block: Whether the end of its own block did that.
        detached: Where the first close since its last transaction was, which its objects left by,
            and whether that was the end of its own block.
        reopened: Where it began again after that.
        lives: How often it began again, by right or not.
        steps: How many statements and flushes it was asked for, those for a reading aside.
        added: That somebody has added a new object in its transaction.
        written: That it has written something which its transaction will keep or drop.
        is_looked_at: Whether what it drops has been looked at already while it is being closed.
        key: What its objects know it by (``Session.hash_key``), also when it is gone.
        access: The attribute that is being loaded by it at the moment.
        handovers: What was handed over of it to work that has not ended, if anything was.
        inside: Who came in last: a thread, or a task with its greenlet; he may have left.
        overlaps: How often somebody came in while another one was inside.
        scope: The service call that opened it, if one did.
        is_escaped: Whether that call ended without having closed it.
        runner: What took a connection for it last, as a lease has it.
        told: Whether a finding has told it.
    """

    # No slots: what is the same for nearly all, and is seldom read, costs nothing to set as a class
    # attribute. What every cycle reads is set on the instance, where it is found at once.
    access: Access | None = None
    key: object = None
    lives: int = 0
    steps: int = 0
    added: Any = None
    written: Any = None
    is_looked_at: bool = False
    overlaps: int = 0
    runner: Any = None
    is_escaped: bool = False
    told: bool = False

    def __init__(self, account: Account, session: Callable[[], Any], trace: Trace | None) -> None:
        self.account = account
        self.session = session
        self.trace = trace
        self.leaving: tuple[Trace, bool] | None = None
        self.ended: Trace | None = None
        self.in_block = False
        self.detached: tuple[Trace | None, bool] | None = None
        self.reopened: Trace | None = None
        self.handovers: Handovers | None = None
        self.inside: Any = None
        self.scope: Scope | None = None

    def goes_on(self, ending: Collection[Account]) -> bool:
        """Tell whether others go on with it when some owners end.

        Args:
            ending: The accounts of the owners.
        """
        return not self.is_escaped and goes_on(self.runner, self.trace, ending)

    @property
    def is_made_elsewhere(self) -> bool:
        """Tell whether another function made it than the one whose block closed it."""
        if self.trace is None or self.ended is None or not self.ended.marks:
            return False
        return self.trace.marks[0] is not self.ended.marks[0]

    @property
    def is_idle(self) -> bool:
        """Tell whether it was closed once and has no transaction now, whatever it did between."""
        session = self.session()
        return self.ended is not None and (session is None or not session.in_transaction())

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
