"""Sessions in which two tasks, or two threads, are at the same time.

Statements, flushes and ``Session.connection`` ask the transaction for its connection
(``SessionTransaction._connection_for_bind``), also where they are about to wait for one from the
pool; a commit has an event, a rollback and a close a method. Whoever comes by there leaves a mark
on the session's record, and looks whether the one before him is still inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from pytest_sessionguard.accounts import Overlap, SessionRecord
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.insiders import Mark, find_insider, find_mark, is_gone
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import find_connection_giver
from pytest_sessionguard.watch.provenance import know_session

# How many overlaps of one session are entered: each is looked at closely, and the first tell all.
_ENOUGH = 16


class SharingWatch:
    """The watcher of sessions that are shared.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
    """

    def __init__(self, ledger: Ledger, shield: Shield) -> None:
        self._ledger = ledger
        self._shield = shield
        self._patches = Patches()
        self._capture = Tracer().capture
        self._on_commit = self._make_coming()

    def install(self) -> None:
        """Begin to watch."""
        event.listen(Session, "before_commit", self._on_commit)
        wrap = self._patches.wrap
        giver = find_connection_giver()
        if giver is not None:
            wrap(*giver, self._make_connection)
        else:
            for name in ("execute", "scalar", "scalars", "flush", "connection"):
                wrap(Session, name, self._make_entry)
        wrap(Session, "rollback", self._make_entry)
        for name in ("close", "reset", "invalidate"):
            if name in Session.__dict__:  # `reset` came with SQLAlchemy 2.0.22
                wrap(Session, name, self._make_close)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        event.remove(Session, "before_commit", self._on_commit)
        self._patches.remove()

    # Each wrapper hides its frame from pytest's tracebacks, which are to stay as they were.

    def _make_connection(self, original: Any) -> Any:
        come = self._make_coming()

        def _connection_for_bind(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            come(self.session)
            return original(self, *args, **kwargs)

        return _connection_for_bind

    def _make_entry(self, original: Any) -> Any:
        come = self._make_coming()

        def entry(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            come(self)
            return original(self, *args, **kwargs)

        return entry

    def _make_close(self, original: Any) -> Any:
        come = self._make_coming(closes=True)

        def close(self: Any) -> None:
            __tracebackhide__ = True
            come(self)
            original(self)

        return close

    def _make_coming(self, *, closes: bool = False) -> Callable[[Any], None]:
        """Make what lets somebody come in; it runs at every statement, and mostly ends early."""
        ledger, failed, find, enter = self._ledger, self._shield.report, find_mark, self._enter

        def come(session: Any) -> None:
            try:
                try:
                    record = session._sessionguard
                except AttributeError:  # it is older than the watching, or closed
                    if session is None:
                        return
                    record = know_session(ledger, session)
                mark, before = find(), record.inside
                if before == mark:
                    return
                record.inside = mark
                if before is not None and not is_gone(before):
                    enter(session, record, before, mark, closes=closes)
            except Exception as error:
                failed(error)

        return come

    def _enter(
        self,
        session: Any,
        record: SessionRecord,
        before: Mark | int,
        mark: Mark | int,
        *,
        closes: bool,
    ) -> None:
        """Enter that somebody comes in while another one may be inside, if he is."""
        if record.overlaps >= _ENOUGH:
            return
        insider = find_insider(before, session)
        if insider is None or (closes and insider.closes):
            return
        trace, first = self._capture(), insider.trace
        # An async session closes in a task of its own, where nobody's block is in sight.
        if record.leaving is not None and not (trace.marks and first.marks):
            if insider.closes:
                first = record.leaving[0]
            elif closes:
                trace = record.leaving[0]
        record.overlaps += 1
        are_threads = _thread_of(before) != _thread_of(mark)
        account = record.account if record.account.is_due else self._ledger.current
        account.overlaps.append(Overlap(record, first, trace, are_threads=are_threads))


def _thread_of(mark: Mark | int) -> int:
    return mark if isinstance(mark, int) else mark.thread
