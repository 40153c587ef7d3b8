"""Changes that a session holds when it is closed, and that nobody has committed.

What was written is known by public events and by the statements that pass `Session.execute` and
its like, which the watcher of loads has wrapped; that a session closes, the watcher of sessions
tells; what was not written yet, the session itself tells. A listener to ``do_orm_execute`` would
cost more, and below SQLAlchemy 2.0.50 it breaks ``yield_per`` (sqlalchemy issue 13301).
"""

from __future__ import annotations

import re
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import TextClause

from pytest_sessionguard.accounts import Dropped, SessionRecord
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.files import DRIVEN
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.places import (
    find_worker,
    is_test_code,
    is_test_file,
    works_for_caller,
)
from pytest_sessionguard.watch.private import KEY, find_connections

_WRITES = re.compile(
    r"\s*(?:insert|update|delete|merge|replace)\b|\s*with\b.*\b(?:insert|update|delete|merge)\b",
    re.IGNORECASE | re.DOTALL,
)
_COMMENTS = re.compile(r"/\*.*?\*/|--[^\n]*", re.DOTALL)
# What `join_transaction_mode` is where nobody sets it; whoever does has an outer transaction.
_NO_HARNESS = "conditional_savepoint"


class Change:
    """That a session was given something new, or has written something, in a transaction.

    Attributes:
        trace: Where.
        root: A weak reference to the transaction. Its end takes it from the session, committed or
            not, so nobody has to listen for commits.
        savepoints: Weak references to the savepoints in which it did.
    """

    __slots__ = ("root", "savepoints", "trace")

    def __init__(self, trace: Trace, session: Any) -> None:
        self.trace = trace
        self.root: Callable[[], Any] = weakref.ref(session.get_transaction())
        self.savepoints: list[Callable[[], Any]] = []
        savepoint = session.get_nested_transaction()
        while savepoint is not None and savepoint.nested:
            self.savepoints.append(weakref.ref(savepoint))
            savepoint = savepoint.parent


class ChangeWatch:
    """The watcher of changes that are dropped.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        root: The folder of the project.
    """

    def __init__(self, ledger: Ledger, shield: Shield, root: str) -> None:
        self._ledger = ledger
        self._shield = shield
        self._root = root
        self._patches = Patches()
        self._capture = Tracer().capture
        self._capture_statement = Tracer().capture
        self._listeners = {
            "transient_to_pending": self._make_pending(),
            "after_flush": self._make_flush(),
            "after_soft_rollback": self._make_rollback(),
        }

    def install(self) -> None:
        """Begin to watch."""
        for name, listener in self._listeners.items():
            event.listen(Session, name, listener)
        for name in ("bulk_save_objects", "bulk_insert_mappings", "bulk_update_mappings"):
            self._patches.wrap(Session, name, self._make_bulk)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        for name, listener in self._listeners.items():
            event.remove(Session, name, listener)
        self._patches.remove()

    def _make_pending(self) -> Any:
        failed, capture = self._shield.report, Tracer().capture

        def on_pending(session: Any, instance: Any) -> None:
            try:
                record = session.__dict__.get(KEY)
                if record is None or not session.in_transaction():
                    return
                if not _is_of_now(record.added, session):
                    record.added = Change(capture(), session)
            except Exception as error:
                failed(error)

        return on_pending

    def _make_flush(self) -> Any:
        write, capture = self._write, self._capture

        def on_flush(session: Any, flush_context: Any) -> None:
            write(session, capture)

        return on_flush

    def _make_rollback(self) -> Any:
        failed = self._shield.report

        def on_rollback(session: Any, previous_transaction: Any) -> None:
            try:
                record = session.__dict__.get(KEY)
                written = record.written if record is not None else None
                if written is not None and _undoes(previous_transaction, written):
                    record.written = None
            except Exception as error:
                failed(error)

        return on_rollback

    def _make_bulk(self, original: Any) -> Any:
        write, capture = self._write, Tracer().capture

        def bulk(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            result = original(self, *args, **kwargs)
            write(self, capture)
            return result

        return bulk

    def note_statement(self, session: Any, statement: Any, result: Any) -> None:
        """Note a statement that has written something.

        Args:
            session: The sync session that has executed it.
            statement: The statement, no query.
            result: What it returned.
        """
        if getattr(statement, "is_dml", False) or type(statement) is TextClause:
            self._write(session, self._capture_statement, statement, result)

    def _write(self, session: Any, capture: Any, statement: Any = None, result: Any = None) -> None:
        """Note that a session has written something that its transaction will keep or drop."""
        try:
            record = session.__dict__.get(KEY)
            if record is None or not session.in_transaction():
                return
            if record.access is None:
                record.steps += 1
            if _is_of_now(record.written, session):
                return
            if type(statement) is TextClause and not writes(statement.text):
                return
            if statement is not None and getattr(result, "rowcount", -1) == 0:
                return  # it met no row
            record.written = Change(capture(), session)
        except Exception as error:
            self._shield.report(error)

    def look(self, session: Any, record: SessionRecord, *, in_peace: bool) -> None:
        """Enter what a session that is about to be closed has not committed.

        Args:
            session: A sync session in a transaction.
            record: Its record.
            in_peace: Whether no exception closes it, as far as its caller knows.
        """
        if not in_peace or sys.exc_info()[0] is not None:
            return
        changes = _tell_changes(session)
        written = record.written if _is_of_now(record.written, session) else None
        if written and _commits_itself(session):
            written = None
        if not (changes or written) or not session.is_active:
            return
        added = record.added if session.new and _is_of_now(record.added, session) else None
        change = written or added
        dropped = Dropped(
            self._capture(),
            record,
            changes,
            change.trace if change else None,
            is_written=written is not None,
        )
        self._drop(session, dropped)

    def _drop(self, session: Any, dropped: Dropped) -> None:
        record = dropped.session
        if not record.account.is_due or self._is_of_tests(dropped) or _is_lent(session):
            return
        worker = find_worker(self._root)
        if worker is None:
            return
        # Whoever has a `commit` that was not reached meant to: an exception that it has caught, or
        # an early return. A dependency closes what the endpoint has written.
        writers = dropped.changed.marks[::2] if dropped.changed is not None else ()
        if not any("commit" in code.co_names for code in (worker, *writers)):
            record.account.dropped.append(dropped)

    def _is_of_tests(self, dropped: Dropped) -> bool:
        """Tell whether a test opened the session, or changed something with it."""
        opened, changed = dropped.session.trace, dropped.changed
        if opened is None or (changed is not None and is_test_code(changed, self._root)):
            return True
        for code in opened.marks[::2]:
            if is_test_file(code.co_filename, self._root):
                return True
            if not works_for_caller(code) or opened.doors & DRIVEN:
                return False
        return not opened.marks


def writes(text: str) -> bool:
    """Tell whether a textual statement changes rows.

    Args:
        text: SQL.

    Returns:
        Whether it begins as one that does.
    """
    return _WRITES.match(_COMMENTS.sub(" ", text)) is not None


def _is_of_now(change: Change | None, session: Any) -> bool:
    """Tell whether a change belongs to the transaction that the session is in."""
    return change is not None and change.root() is session.get_transaction()


def _commits_itself(session: Any) -> bool:
    """Tell whether the server commits each statement of a session as it is executed."""
    return any(
        connection.get_execution_options().get(
            "isolation_level", getattr(connection.dialect, "_on_connect_isolation_level", None)
        )
        == "AUTOCOMMIT"
        for connection in find_connections(session)
    )


def _undoes(transaction: Any, written: Change) -> bool:
    """Tell whether a transaction or savepoint that is rolled back takes what was written along."""
    if not transaction.nested:
        return transaction.parent is None
    return any(savepoint() is transaction for savepoint in written.savepoints)


def _tell_changes(session: Any) -> str:
    """Tell what of a session's objects was not written yet."""
    parts = _count("new", session.new) + _count("deleted", session.deleted)
    if session.identity_map.check_modified():
        changed = (o for o in session.dirty if _is_modified(session, o))
        parts += _count("changed", changed)
    return ", ".join(parts)


def _is_modified(session: Any, thing: Any) -> bool:
    """Tell whether an object was changed, as far as its values let themselves be compared.

    To compare two arrays of numpy's is no yes or no, and some values refuse.
    """
    try:
        return bool(session.is_modified(thing))
    except Exception:
        return False


def _count(what: str, objects: Iterable[Any]) -> list[str]:
    names = Counter(type(thing).__name__ for thing in objects)
    return [f"{count} {what} {name}" for name, count in sorted(names.items())]


def _is_lent(session: Any) -> bool:
    """Tell whether somebody else ends the session's transaction: that of a savepoint harness."""
    if getattr(session, "join_transaction_mode", _NO_HARNESS) != _NO_HARNESS:
        return True
    if session.bind is not None:
        return isinstance(session.bind, Connection)
    for thing in (*session.new, *session.dirty, *session.deleted):
        try:
            return isinstance(session.get_bind(type(thing)), Connection)
        except InvalidRequestError:  # UnboundExecutionError
            return True
    return False
