"""Exceptions that say a session is missing: recorded when raised, and told what they do not tell.

An application may swallow them (pydantic makes a ValidationError of one, a bare ``except`` nothing
at all), so they are seen where SQLAlchemy makes them: their public classes get an ``__init__``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import sqlalchemy
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.orm.exc import DetachedInstanceError

from pytest_sessionguard.accounts import Access, Fault
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.notes import add_notes
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY
from pytest_sessionguard.watch.provenance import find_record

FAULTS = (DetachedInstanceError, MissingGreenlet)
# A driver that awaits before a statement has a context fails as what the statement could not do.
CARRIERS = (*FAULTS, StatementError)
_SQLALCHEMY = os.path.dirname(sqlalchemy.__file__) + os.sep
# The pool logs what the closing of a connection raises, and goes on: nobody's attribute was read.
_OF_THE_POOL = frozenset({"_close_connection", "_finalize_fairy"})


class FaultWatch:
    """The watcher of these exceptions.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        explain: Says of a fault, in a few lines, what its exception does not tell.
    """

    def __init__(
        self, ledger: Ledger, shield: Shield, explain: Callable[[Fault], list[str]]
    ) -> None:
        self._ledger = ledger
        self._shield = shield
        self._tell = explain
        self._patches = Patches()

    def install(self) -> None:
        """Begin to watch."""
        for class_ in FAULTS:
            self._patches.wrap(class_, "__init__", self._make_init)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._patches.remove()

    def _make_init(self, original: Any) -> Any:
        ledger, failed = self._ledger, self._shield.report
        capture, get_frame = Tracer().capture, sys._getframe

        def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            original(self, *args, **kwargs)
            try:
                if _is_raised(get_frame(1)):
                    fault = Fault(type(self).__name__, capture())
                    setattr(self, KEY, fault)
                    ledger.add_fault(fault)
            except Exception as error:
                failed(error)

        return __init__

    def explain(self, error: Exception, access: Access, state: Any) -> Fault | None:
        """Complete what is known of a fault by the reading that it came from.

        Args:
            error: The exception, or the one that carries it.
            access: The reading.
            state: What SQLAlchemy knows of the object.

        Returns:
            The fault, or None where the exception is another one.
        """
        cause = getattr(error, "orig", error)
        if not isinstance(cause, FAULTS):
            return None
        fault: Fault | None = getattr(cause, KEY, None)
        if fault is None:  # made before the watching, or by somebody else
            fault = Fault(type(cause).__name__, access.trace)
            setattr(cause, KEY, fault)
        if not fault.attribute:
            fault.attribute, fault.kind, fault.trace = access.attribute, access.kind, access.trace
            fault.session, fault.origin = find_record(state, self._ledger), access.origin
            add_notes(error, self._tell(fault))
        return fault


def _is_raised(frame: FrameType | None) -> bool:
    """Tell whether SQLAlchemy is about to raise it; a test may make one for its mocks."""
    if frame is None or not frame.f_code.co_filename.startswith(_SQLALCHEMY):
        return False
    while frame is not None:
        code = frame.f_code
        if code.co_name in _OF_THE_POOL and code.co_filename.startswith(_SQLALCHEMY):
            return False
        frame = frame.f_back
    return True
