"""Statements of sessions, and the attributes that load themselves when they are read.

An attribute that is not loaded goes through ``AttributeImpl._fire_loader_callables``, whoever reads
it; a statement that is executed before it returns was executed for it. A wrapper there costs
nothing while attributes are loaded; a listener to ``SessionEvents.do_orm_execute`` sends every
statement down a longer way, and below SQLAlchemy 2.0.50 breaks ``yield_per`` beside eager loads.
What asks for a load otherwise than by reading (``refresh``, ``immediateload``, the cascades of a
flush) does not come from ``InstrumentedAttribute.__get__``, ``__set__`` or ``__delete__``, which
tells them apart.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from sqlalchemy.orm import InstanceState, Session, attributes

from pytest_sessionguard.accounts import Access, Load, SessionRecord
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.faults import CARRIERS, FaultWatch
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.places import is_test_code
from pytest_sessionguard.watch.private import (
    find_attribute_loader,
    find_result_counter,
    is_awaited,
    is_beyond_query,
)
from pytest_sessionguard.watch.provenance import find_origin, find_record, know_session

_DESCRIPTORS = ("__get__", "__set__", "__delete__")
_ATTRIBUTES = attributes.__file__


class LoadWatch:
    """The watcher of statements and of attributes that load themselves.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        faults: What is told of readings that fail.
        wrote: What is told of statements that are no queries, once they were executed: the session,
            the statement and its result.
        root: The folder of the project.

    Attributes:
        met: What is told of relationships that were found without a statement.
    """

    def __init__(
        self,
        ledger: Ledger,
        shield: Shield,
        faults: FaultWatch,
        wrote: Callable[[Any, Any, Any], None],
        root: str,
    ) -> None:
        self._ledger = ledger
        self._shield = shield
        self._faults = faults
        self._wrote = wrote
        self._root = root
        self._patches = Patches()
        self._tracer = Tracer()
        self.met: Callable[[Any, str, Any, Trace], None] | None = None

    def install(self) -> None:
        """Begin to watch."""
        for name in ("execute", "scalar", "scalars"):
            self._patches.wrap(Session, name, self._make_statement)
        counter = find_result_counter()
        if counter is not None:
            self._patches.wrap(*counter, self._make_counter)
        loader = find_attribute_loader()
        if loader is not None:
            self._patches.wrap(*loader, self._make_loader)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._patches.remove()

    def _make_statement(self, original: Any) -> Any:
        refuse, wrote = self._refuse, self._wrote

        def execute(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            refused = None
            try:
                record = self._sessionguard
                if record.access is None:
                    record.steps += 1
                else:
                    refused = refuse(record)
            except AttributeError:  # a session that is older than the watching
                pass
            if refused is not None:
                raise refused
            result = original(self, statement, *args, **kwargs)
            if not getattr(statement, "is_select", False):
                wrote(self, statement, result)
            return result

        return execute

    def _refuse(self, record: SessionRecord) -> Exception | None:
        """Enter that an attribute needs a statement, and return what is raised in its place."""
        try:
            access, refusals = record.access, self._ledger.refusals
            if access is not None and not access.is_sent:
                access.is_sent = True
                if refusals and not access.asked:
                    return refusals[-1](Load(access, record))
        except Exception as error:
            self._shield.report(error)
        return None

    def _make_counter(self, original: Any) -> Any:
        results, failed, capture = self._ledger.results, self._shield.report, Tracer(ways=8).capture
        places, last = results.places, results.last

        def new_runid() -> Any:
            number = original()
            try:
                places[number & last] = (number, capture())
            except Exception as error:
                failed(error)
            return number

        return new_runid

    def _make_loader(self, original: Any) -> Any:
        begin, end, failed = self._begin, self._end, self._shield.report
        explain, get_frame = self._explain, sys._getframe

        def _fire_loader_callables(self: Any, state: Any, key: str, passive: Any) -> Any:
            __tracebackhide__ = True
            access = record = None
            try:
                # Without a key or a session it never was in a database.
                is_real = isinstance(state, InstanceState)  # a test may have put a double there
                if is_real and (state.key is not None or state.session_id is not None):
                    access, record = begin(state, key, get_frame(1))
            except Exception as error:
                failed(error)
            if access is None:
                return original(self, state, key, passive)
            try:
                value = original(self, state, key, passive)
            except CARRIERS as error:
                refused = explain(error, access, state)
                if refused is not None:
                    raise refused from error
                raise
            finally:
                if record is not None:
                    record.access = access.outer
            if record is not None:
                end(access, record, state, value)
            return value

        return _fire_loader_callables

    def _begin(
        self, state: Any, key: str, frame: FrameType
    ) -> tuple[Access | None, SessionRecord | None]:
        """Enter that somebody begins to read an attribute, if somebody does."""
        if not _is_read(frame):
            return None, None
        session, ledger = state.session, self._ledger
        record = find_record(state, ledger) if session is None else know_session(ledger, session)
        access = Access(
            state.class_.__name__,
            key,
            _kind_of(state, key),
            # Here, since a class of the user's may have an `execute` of its own on the way.
            self._tracer.capture(),
            asked=is_awaited(),
            parent=hash(state.key or id(state)),
            origin=find_origin(state, ledger),
        )
        if session is None or record is None:
            return access, None
        if self._is_shared(record):
            access.batch = record.steps
        access.outer, record.access = record.access, access
        return access, record

    def _is_shared(self, record: SessionRecord) -> bool:
        """Tell whether several calls may use a session that have one each in production."""
        if record.is_scoped or record.account.owner.kind == "fixture":
            return True
        return is_test_code(record.trace, self._root)

    def _end(self, access: Access, record: SessionRecord, state: Any, value: Any) -> None:
        """Enter what came of a reading that has not failed."""
        try:
            if access.is_sent:
                self._ledger.add_load(access, record)
            elif self.met is not None:
                self.met(state, access.key, value, access.trace)
        except Exception as error:
            self._shield.report(error)

    def _explain(self, error: Exception, access: Access, state: Any) -> Exception | None:
        """Tell what an exception does not, and return what is to be raised in its place."""
        try:
            fault = self._faults.explain(error, access, state)
            if fault is not None and self._ledger.refusals and not access.asked:
                return self._ledger.refusals[-1](Load(access, fault.session, fault.error))
        except Exception as own:
            self._shield.report(own)
        return None


def _is_read(frame: FrameType | None) -> bool:
    """Tell whether an access to the attribute has led to its loading."""
    while frame is not None and frame.f_code.co_filename == _ATTRIBUTES:
        if frame.f_code.co_name in _DESCRIPTORS:
            return True
        frame = frame.f_back
    return False


def _kind_of(state: Any, key: str) -> str:
    mapper = state.mapper
    if key in mapper.relationships:
        # What a commit took away, the query may well have loaded.
        return "expired" if state.expired else "relationship"
    if key in state.expired_attributes:
        is_new = not state.expired and is_beyond_query(state, key)
        return "subclass" if is_new else "expired"
    found = mapper.column_attrs.get(key)
    if found is None:
        return "column"
    # What ``sqlalchemy.orm.query_expression`` says of its property.
    if ("query_expression", True) in found.strategy_key:
        return "expression"
    return "deferred" if found.deferred else "column"
