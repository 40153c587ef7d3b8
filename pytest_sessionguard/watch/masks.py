"""Relationships that are there only because the test had loaded them, through a session it shares.

A test that opens a session, makes its objects with it and then has the code under test use the same
session hides what that code does not load: SQLAlchemy hands out the objects it has, with all that
is loaded on them. When the session passes from the test to the code, what is loaded is noted; a
relationship of that note which the code reads, and which no query of its own asked for, is masked.

It costs something at each reading of an attribute, and is installed only where SG403 is not off.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from sqlalchemy.orm import InstrumentedAttribute, Session

from pytest_sessionguard.accounts import Access, SessionRecord
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.loads import LoadWatch
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.places import is_test_code
from pytest_sessionguard.watch.private import KEY, read_eager_loads
from pytest_sessionguard.watch.provenance import find_origin

_EAGER = frozenset({"joined", "selectin", "subquery", "immediate"})


class Mask:
    """What a session held when it passed from the test to the code under test.

    Attributes:
        in_test: Whether the test was the last to use it.
        held: The relationships that were loaded on each of its objects.
        asked: The relationships that queries of the code under test have asked for since.
    """

    def __init__(self) -> None:
        self.in_test = True
        self.held: weakref.WeakKeyDictionary[Any, set[str]] = weakref.WeakKeyDictionary()
        self.asked: set[Any] = set()


class MaskWatch:
    """The watcher of what a shared session hides.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        loads: What meets relationships that need no query.
        root: The folder of the project.
    """

    def __init__(self, ledger: Ledger, shield: Shield, loads: LoadWatch, root: str) -> None:
        self._ledger = ledger
        self._shield = shield
        self._loads = loads
        self._root = root
        self._patches = Patches()
        self._masks: weakref.WeakKeyDictionary[SessionRecord, Mask] = weakref.WeakKeyDictionary()

    def install(self) -> None:
        """Begin to watch."""
        for name in ("execute", "scalar", "scalars"):
            self._patches.wrap(Session, name, self._make_statement)
        self._patches.wrap(InstrumentedAttribute, "__get__", self._make_get)
        self._patches.wrap(InstrumentedAttribute, "__set__", self._make_set)
        self._loads.met = self.meet

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._loads.met = None
        self._patches.remove()

    def _make_statement(self, original: Any) -> Any:
        capture, note, failed = Tracer(limit=1).capture, self._note_statement, self._shield.report

        def execute(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                note(self, statement, capture())
            except Exception as error:
                failed(error)
            return original(self, statement, *args, **kwargs)

        return execute

    def _make_get(self, original: Any) -> Any:
        capture, read, failed = Tracer().capture, self._read, self._shield.report

        def __get__(self: Any, instance: Any, owner: Any) -> Any:
            __tracebackhide__ = True
            if instance is not None:
                try:
                    read(instance, self.key, capture)
                except Exception as error:
                    failed(error)
            return original(self, instance, owner)

        return __get__

    def _make_set(self, original: Any) -> Any:
        forget, failed = self._forget, self._shield.report

        def __set__(self: Any, instance: Any, value: Any) -> None:
            __tracebackhide__ = True
            try:
                forget(instance, self.key)
            except Exception as error:
                failed(error)
            original(self, instance, value)

        return __set__

    def _note_statement(self, session: Any, statement: Any, trace: Trace) -> None:
        record = getattr(session, KEY, None)
        # What an attribute loads is no query, and a session that the code opened hides nothing.
        if (
            record is None
            or record.access is not None
            or not is_test_code(record.trace, self._root)
        ):
            return
        mask = self._masks.setdefault(record, Mask())
        if is_test_code(trace, self._root):
            mask.in_test = True
            return
        if mask.in_test:
            mask.in_test = False
            mask.asked.clear()
            for state in session.identity_map.all_states():
                loaded = state.mapper.relationships.keys() & state.dict.keys()
                mask.held[state] = set(loaded)
        mask.asked |= read_eager_loads(statement, _EAGER)

    def _find(self, state: Any, key: str) -> tuple[SessionRecord, Mask] | None:
        """Find the mask behind which a relationship may lie."""
        record = getattr(state.session, KEY, None) if state is not None else None
        mask = self._masks.get(record) if record is not None else None
        if record is None or mask is None or mask.in_test:
            return None
        relationship = state.mapper.relationships.get(key)
        if relationship is None or relationship.lazy in _EAGER:
            return None
        if relationship in mask.asked or "*" in mask.asked:
            return None
        return record, mask

    def _read(self, instance: Any, key: str, capture: Callable[[], Trace]) -> None:
        """Note that a relationship is read, which the test may have loaded."""
        state = instance.__dict__.get("_sa_instance_state")
        found = self._find(state, key)
        if found is not None and key in state.dict and key in found[1].held.get(state, ()):
            self._tell(state, key, found[0], capture())

    def meet(self, state: Any, key: str, value: Any, trace: Trace) -> None:
        """Note that a relationship was found among the objects of its session, without a query.

        Args:
            state: What SQLAlchemy knows of the object that was read.
            key: The attribute.
            value: What was found.
            trace: Where it was read.
        """
        target = getattr(value, "_sa_instance_state", None)
        found = self._find(state, key)
        if found is not None and target in found[1].held:
            self._tell(state, key, found[0], trace)

    def _tell(self, state: Any, key: str, record: SessionRecord, trace: Trace) -> None:
        if is_test_code(trace, self._root):
            return
        model, parent = state.class_.__name__, hash(state.key)
        origin = find_origin(state, self._ledger)
        access = Access(model, key, "relationship", trace, parent=parent, origin=origin)
        self._ledger.add_mask(access, record)

    def _forget(self, instance: Any, key: str) -> None:
        """Leave alone what the code under test has set itself."""
        state = instance.__dict__.get("_sa_instance_state")
        record = getattr(state.session, KEY, None) if state is not None else None
        mask = self._masks.get(record) if record is not None else None
        if mask is not None:
            mask.held.get(state, set()).discard(key)
