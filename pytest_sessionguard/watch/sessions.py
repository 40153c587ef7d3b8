"""Sessions: their making, their transactions and their closing, written to the ledger.

SQLAlchemy has no event for a session's making and none for its closing
(``sqlalchemy.orm.events.SessionEvents``), so the public methods are wrapped for these.
"""

from __future__ import annotations

import sys
from types import CodeType
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransactionOrigin

from pytest_sessionguard.accounts import SessionRecord, is_kept
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.files import FOREIGN, SESSION
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.changes import ChangeWatch
from pytest_sessionguard.watch.openings import leave_class
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY, refer
from pytest_sessionguard.watch.provenance import is_known, know_session

_EXITS = frozenset({"__exit__", "__aexit__"})


class SessionWatch:
    """The watcher of sessions, sync and async.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        changes: What looks at a session in a transaction that is about to be closed.
    """

    def __init__(self, ledger: Ledger, shield: Shield, changes: ChangeWatch) -> None:
        self._ledger = ledger
        self._shield = shield
        self._changes = changes
        self._patches = Patches()
        self._end_tracer = Tracer(limit=1)
        self._outer_tracer = Tracer()
        self.async_close: Any = None  # the code of its wrapper
        self._kept: dict[tuple[Any, Any], bool] = {}
        self._listeners = {
            "after_transaction_create": self._make_transaction_create(),
            "after_begin": self._make_begin(),
        }
        self._knows_async = False

    def install(self) -> None:
        """Begin to watch."""
        for name, listener in self._listeners.items():
            event.listen(Session, name, listener)
        wrap = self._patches.wrap
        wrap(Session, "__init__", self._make_init)
        wrap(Session, "__enter__", self._make_enter)
        wrap(Session, "__exit__", self._make_exit)
        for name in ("close", "reset", "invalidate"):
            if name in Session.__dict__:  # `reset` came with SQLAlchemy 2.0.22
                wrap(Session, name, self._make_close)
        self.install_async()

    def install_async(self) -> None:
        """Begin to watch ``AsyncSession`` too, once the user's project has imported it."""
        module = sys.modules.get("sqlalchemy.ext.asyncio.session")
        if self._knows_async or not hasattr(module, "AsyncSession"):
            return
        self._knows_async = True
        wrap, class_ = self._patches.wrap, module.AsyncSession  # type: ignore[union-attr]
        wrap(class_, "__aenter__", self._make_async_enter)
        wrap(class_, "__aexit__", self._make_async_exit)
        for name in ("close", "reset"):
            if name in class_.__dict__:
                wrap(class_, name, self._make_async_close)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        for name, listener in self._listeners.items():
            event.remove(Session, name, listener)
        self._patches.remove()
        self._knows_async = False

    # Each wrapper hides its frame from pytest's tracebacks, which are to stay as they were.

    def _make_init(self, original: Any) -> Any:
        open_session, failed = self._ledger.open_session, self._shield.report
        capture = Tracer().capture

        def __init__(self: Any, bind: Any = None, **kwargs: Any) -> None:
            __tracebackhide__ = True
            original(self, bind, **kwargs)
            try:
                trace = capture()
                if trace.marks and trace.marks[0].co_name == "__init__":
                    trace = leave_class(trace, sys._getframe(1))
                self._sessionguard = record = open_session(refer(self), trace)
                record.key = self.hash_key
            except Exception as error:
                failed(error)

        return __init__

    def _make_transaction_create(self) -> Any:
        begin_again, failed = self._begin_again, self._shield.report
        capture, begun_by_user = Tracer().capture, SessionTransactionOrigin.BEGIN

        def on_transaction_create(session: Any, transaction: Any) -> None:
            try:
                record = session._sessionguard
                if record.detached is None and record.ended is None and record.handovers is None:
                    return
                if transaction.parent is not None:
                    return
                if record.detached is not None:
                    record.detached = None  # what it loads from now on leaves by another close
                    record.lives += 1
                if record.handovers is not None:
                    record.handovers.meet(capture())
                if record.ended is None or record.reopened is not None:
                    return
                # An explicit `begin()` is not silent: whoever writes it means it.
                if transaction.origin is not begun_by_user:
                    begin_again(record, session, capture)
            except Exception as error:
                failed(error, counts=is_known(session))

        return on_transaction_create

    def _make_begin(self) -> Any:
        ledger, failed = self._ledger, self._shield.report
        use_session = ledger.use_session

        def on_begin(session: Any, transaction: Any, connection: Any) -> None:
            try:
                lease, proxy = ledger.newest, connection.connection
                if lease is None or lease.proxy() is not proxy:
                    lease = ledger.find_lease(proxy)
                # A session bound to a connection (a savepoint harness) took nothing itself.
                if lease is None or lease.session is not None or not lease.trace.doors & SESSION:
                    return
                try:
                    record = session._sessionguard
                except AttributeError:  # it is older than the watching
                    record = know_session(ledger, session)
                use_session(record, lease)
            except Exception as error:
                failed(error)

        return on_begin

    def _make_enter(self, original: Any) -> Any:
        def __enter__(self: Any) -> Any:
            __tracebackhide__ = True
            watch._enter(self)
            return original(self)

        watch = self
        return __enter__

    def _make_exit(self, original: Any) -> Any:
        def __exit__(self: Any, type_: Any, value: Any, traceback: Any) -> Any:
            __tracebackhide__ = True
            watch._leave(self, self)
            try:
                return original(self, type_, value, traceback)
            finally:
                watch._forget_leaving(self)

        watch = self
        return __exit__

    def _make_close(self, original: Any) -> Any:
        close_session, failed = self._ledger.close_session, self._shield.report
        capture, look = self._end_tracer.capture, self._changes.look
        is_for_good = original.__name__ == "invalidate"  # whatever it drops cannot be kept

        def close(self: Any) -> None:
            __tracebackhide__ = True
            try:
                record = self._sessionguard
                if record.handovers is not None and record.leaving is None:
                    # While its objects are still its own.
                    record.handovers.part(capture(), in_block=False)
                if self.in_transaction() and not (record.is_looked_at or is_for_good):
                    look(self, record, in_peace=True)
            except Exception as error:
                failed(error, counts=is_known(self))
            try:
                original(self)
            finally:  # a close that fails was asked for all the same
                try:
                    record = self._sessionguard
                    if record.leaving is None:
                        close_session(record, capture(), False)
                    else:
                        (trace, in_block), record.leaving = record.leaving, None
                        close_session(record, trace, in_block)
                except Exception as error:
                    failed(error, counts=is_known(self))

        return close

    # `async def`, so that `inspect.iscoroutinefunction` and autospecs see what they saw.

    def _make_async_enter(self, original: Any) -> Any:
        async def __aenter__(self: Any) -> Any:
            __tracebackhide__ = True
            watch._enter(_inner_of(self))
            return await original(self)

        watch = self
        return __aenter__

    def _make_async_exit(self, original: Any) -> Any:
        async def __aexit__(self: Any, type_: Any, value: Any, traceback: Any) -> Any:
            __tracebackhide__ = True
            # The original closes in a task of its own, where neither the block nor the exception
            # that leaves it is in sight.
            inner = _inner_of(self)
            watch._leave(inner, self)
            watch._look(inner, in_peace=type_ is None)
            try:
                return await original(self, type_, value, traceback)
            finally:
                watch._forget_leaving(inner)

        watch = self
        return __aexit__

    def _make_async_close(self, original: Any) -> Any:
        async def close(self: Any) -> None:
            __tracebackhide__ = True
            record = None
            try:
                inner = self.sync_session
                record = inner._sessionguard
                if record.leaving is None:
                    record.leaving = (capture(), False)
                    if record.handovers is not None:
                        record.handovers.part(record.leaving[0], in_block=False)
                if not record.is_looked_at:
                    record.is_looked_at = True
                    if inner.in_transaction():
                        look(inner, record, in_peace=True)
            except Exception as error:
                # Else it is a double, or older than the watching.
                failed(error, counts=record is not None)
            try:
                await original(self)
            finally:
                if record is not None:
                    record.leaving = None
                    record.is_looked_at = False

        capture, failed = self._end_tracer.capture, self._shield.report
        look = self._changes.look
        self.async_close = close.__code__
        return close

    def _begin_again(self, record: SessionRecord, session: Any, capture: Any) -> None:
        by_right = record.in_block and self._is_given_again(record, session)
        self._ledger.begin_again(record, capture(), by_right=by_right)

    def _is_given_again(self, record: SessionRecord, session: Any) -> bool:
        """Tell whether the session's maker keeps it, for whoever asks to begin with again."""
        if not record.is_made_elsewhere or record.trace is None or record.ended is None:
            return False
        # To look for who keeps it is dear, and the same for all that are made and ended there.
        makers, ender = record.trace.marks[::2], record.ended.marks[0]
        if (makers, ender) not in self._kept:
            makers_alone = [code for code in makers if code is not ender]
            self._kept[makers, ender] = is_kept(session, makers_alone)
        return self._kept[makers, ender]

    def _enter(self, session: Any) -> None:
        try:
            record = getattr(session, KEY, None)
            if record is not None and record.ended is not None:
                self._ledger.reenter_session(record)
        except Exception as error:
            self._shield.report(error)

    def _leave(self, session: Any, front: Any) -> None:
        """Enter that a block of a session ends, or of the async one in front of it."""
        try:
            record = getattr(session, KEY, None)
            if record is not None and record.leaving is None:
                trace = self._end_tracer.capture()
                if trace.marks:
                    if trace.marks[0].co_name in _EXITS and _is_exit_of(front, trace.marks[0]):
                        trace = _take_outer(self._outer_tracer.capture())
                elif record.trace is not None:
                    # `async_sessionmaker.begin()` ends its session in a task of its own; it made
                    # it on the line of its block.
                    trace = record.trace
                record.leaving = (trace, _is_own_block(record, trace))
                if record.handovers is not None:
                    record.handovers.part(trace, in_block=record.leaving[1])
        except Exception as error:
            self._shield.report(error)

    def _look(self, session: Any, *, in_peace: bool) -> None:
        """Enter what an async session drops, which its close shall not do once more."""
        try:
            record = getattr(session, KEY, None)
            if record is not None and not record.is_looked_at:
                record.is_looked_at = True
                if session.in_transaction():
                    self._changes.look(session, record, in_peace=in_peace)
        except Exception as error:
            self._shield.report(error)

    def _forget_leaving(self, session: Any) -> None:
        """Keep a close that failed, or was cancelled, from lending its place to the next one."""
        record = getattr(session, KEY, None)
        if record is not None:
            record.leaving = None
            record.is_looked_at = False


def _inner_of(session: Any) -> Any:
    """Return the sync session of an async one; a double of the user's may have none."""
    return getattr(session, "sync_session", None)


def _is_exit_of(session: Any, code: CodeType) -> bool:
    """Tell whether a code is the end of the block as the session's own class has written it."""
    methods = (vars(class_).get(code.co_name) for class_ in type(session).__mro__)
    return any(getattr(method, "__code__", None) is code for method in methods)


def _take_outer(trace: Trace) -> Trace:
    """Leave the innermost frame out."""
    return trace._replace(marks=trace.marks[2:])


def _is_own_block(record: SessionRecord, trace: Trace) -> bool:
    """Tell whether the function whose block ends is the one that made the session.

    A session that somebody else made and lent (a test's session behind a patched factory) is
    used on after the block by right, and so is the session of a registry. The block of another
    package's function is none of the user's.
    """
    if record.trace is None or record.is_scoped or trace.doors & FOREIGN or not trace.marks:
        return False
    return record.trace.passes(trace.marks[0])
