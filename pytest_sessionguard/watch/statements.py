"""Statements, and the ends of connections that a pool tells in two ways, for the timeline.

Installed only where a report shows them: the cursor events of an engine cost 20 us a statement.
Listening on the class ``Engine`` reaches every engine, also those made before
(``sqlalchemy.event.attr._ClsLevelDispatch``). Parameters are not looked at.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from pytest_sessionguard.accounts import Lease
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.timeline import RecordingLedger
from pytest_sessionguard.watch.private import forget_engine_events, has_engine_events

# On the context of an execution, of which each statement has its own.
_STATEMENT = "_sessionguard_statement"


class StatementWatch:
    """The watcher of statements, for a run that is recorded.

    Args:
        ledger: The ledger whose recorder it writes to.
        shield: What takes its own faults.
    """

    def __init__(self, ledger: RecordingLedger, shield: Shield) -> None:
        self._ledger = ledger
        self._shield = shield
        self._had_events = True
        self._listeners = {
            "before_cursor_execute": self._make_before(),
            "after_cursor_execute": self._make_after(),
        }
        # In front of the listeners that end a lease.
        self._marks = {
            "detach": self._make_mark("detached"),
            "invalidate": self._make_mark("invalidated"),
        }

    def install(self) -> None:
        """Begin to watch."""
        self._had_events = has_engine_events()
        for name, listener in self._listeners.items():
            event.listen(Engine, name, listener)
        for name, listener in self._marks.items():
            event.listen(Pool, name, listener, insert=True)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        for name, listener in self._listeners.items():
            event.remove(Engine, name, listener)
        for name, listener in self._marks.items():
            event.remove(Pool, name, listener)
        if not self._had_events:
            forget_engine_events()

    def _make_before(self) -> Any:
        ledger, failed = self._ledger, self._shield.report
        begin, find = ledger.recorder.begin_statement, self._find_lease

        def on_before(
            conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, *_: Any
        ) -> None:
            try:
                lease, dialect = find(conn.connection), conn.dialect.name
                entered = begin(ledger.current, lease, str(statement), dialect)
                if context is not None:
                    setattr(context, _STATEMENT, entered)
            except Exception as error:
                failed(error)

        return on_before

    def _make_after(self) -> Any:
        end, failed = self._ledger.recorder.end_statement, self._shield.report

        def on_after(
            conn: Any, cursor: Any, statement: Any, parameters: Any, context: Any, *_: Any
        ) -> None:
            try:
                entered = getattr(context, _STATEMENT, None)
                if entered is not None:
                    setattr(context, _STATEMENT, None)
                    end(entered)
            except Exception as error:
                failed(error)

        return on_after

    def _find_lease(self, proxy: Any) -> Lease | None:
        newest = self._ledger.newest
        if newest is not None and newest.proxy() is proxy:
            return newest
        return self._ledger.find_lease(proxy)

    def _make_mark(self, fate: str) -> Any:
        ledger, failed = self._ledger, self._shield.report

        def on_mark(dbapi_connection: Any, record: Any, *args: Any) -> None:
            try:
                lease = ledger.out.get(record)
                if lease is not None:
                    ledger.recorder.mark_lease(lease, fate)
            except Exception as error:
                failed(error)

        return on_mark
