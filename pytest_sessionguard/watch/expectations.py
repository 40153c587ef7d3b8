"""Exceptions that a test expects: what its ``raises`` catches is no fault."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_sessionguard.accounts import Fault
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY


class ExpectationWatch:
    """The watcher of the blocks that expect an exception.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        classes: Their classes, whose ``__exit__`` is true where the exception is the expected one.
    """

    def __init__(self, ledger: Ledger, shield: Shield, classes: Iterable[type]) -> None:
        self._ledger = ledger
        self._shield = shield
        self._classes = tuple(classes)
        self._patches = Patches()

    def install(self) -> None:
        """Begin to watch."""
        for class_ in self._classes:
            self._patches.wrap(class_, "__exit__", self._make_exit)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._patches.remove()

    def _make_exit(self, original: Any) -> Any:
        ledger, failed = self._ledger, self._shield.report

        def __exit__(self: Any, type_: Any, value: Any, traceback: Any) -> Any:
            __tracebackhide__ = True
            caught = original(self, type_, value, traceback)
            try:
                if caught:
                    _expect(value, [f for f in ledger.current.faults if not f.expected])
            except Exception as error:
                failed(error)
            return caught

        return __exit__


def _expect(error: BaseException | None, faults: list[Fault]) -> None:
    """Enter that an exception was expected, and with it what led to it.

    pydantic's ``ValidationError`` has no cause; it names in its text what reading an attribute
    has raised.
    """
    pending, seen = [error], set()
    while pending:
        error = pending.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        fault = getattr(error, KEY, None)
        if isinstance(fault, Fault):
            fault.expected = True
        text = _text_of(error) if faults else ""
        for fault in faults:
            fault.expected = fault.expected or fault.error in text
        pending += [error.__cause__, error.__context__, *_members_of(error)]


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a fault of the user's, who sees it where it is printed
        return ""


def _members_of(error: BaseException) -> Iterable[BaseException]:
    # By its name: on Python 3.10 the class comes from a package.
    is_group = any(class_.__name__ == "BaseExceptionGroup" for class_ in type(error).__mro__)
    return error.exceptions if is_group else ()  # type: ignore[attr-defined]
