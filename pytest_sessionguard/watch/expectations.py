"""Exceptions that a test expects: what its ``raises`` catches is no fault.

What it matches is the text of the exception as it would be without the guard.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_sessionguard.accounts import Fault
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.chains import follow
from pytest_sessionguard.watch.notes import hide_notes, show_notes
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY

# Of what `pytest.raises` makes, and of the `ExceptionInfo` that it gives.
_MATCHES = ("matches", "match", "group_contains")


class ExpectationWatch:
    """The watcher of the blocks that expect an exception.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        classes: Their classes, whose ``__exit__`` is true where the exception is the expected one,
            and those of what matches its text.
    """

    def __init__(self, ledger: Ledger, shield: Shield, classes: Iterable[type]) -> None:
        self._ledger = ledger
        self._shield = shield
        self._classes = tuple(classes)
        self._patches = Patches()

    def install(self) -> None:
        """Begin to watch."""
        for class_ in self._classes:
            for name in _MATCHES:
                if hasattr(class_, name):
                    self._patches.wrap(class_, name, self._make_match)
            if hasattr(class_, "__exit__"):
                self._patches.wrap(class_, "__exit__", self._make_exit)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._patches.remove()

    def _make_exit(self, original: Any) -> Any:
        ledger, failed, hide = self._ledger, self._shield.report, self._hide

        def __exit__(self: Any, type_: Any, value: Any, traceback: Any) -> Any:
            __tracebackhide__ = True
            hidden = hide(value)
            try:
                caught = original(self, type_, value, traceback)
            finally:
                show_notes(hidden)
            try:
                if caught:
                    expect(value, ledger.current.faults)
            except Exception as error:
                failed(error)
            return caught

        return __exit__

    def _make_match(self, original: Any) -> Any:
        hide = self._hide

        def match(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            hidden = hide(self, *args, *kwargs.values())
            try:
                return original(self, *args, **kwargs)
            finally:
                show_notes(hidden)

        return match

    def _hide(self, *things: Any) -> list[tuple[BaseException, list[str]]]:
        """Take our notes off the exception among some things, or off the one caught in one."""
        try:
            found = [_exception_of(thing) for thing in things]
            return [pair for error in found for pair in hide_notes(error)]
        except Exception as error:
            self._shield.report(error)
            return []


def expect(error: BaseException | None, faults: list[Fault]) -> None:
    """Enter that an exception was expected, and with it what led to it.

    pydantic's ``ValidationError`` has no cause; it names in its text what reading an attribute
    has raised.

    Args:
        error: The exception.
        faults: Those of the running test.
    """
    faults = [fault for fault in faults if not fault.expected]
    for each in follow(error):
        fault = getattr(each, KEY, None)
        if isinstance(fault, Fault):
            fault.expected = True
        text = _text_of(each) if faults else ""
        for fault in faults:
            fault.expected = fault.expected or fault.error in text


def _exception_of(thing: Any) -> BaseException | None:
    """Return an exception, or the one that pytest's ``ExceptionInfo`` has caught by now."""
    try:
        value = thing if isinstance(thing, BaseException) else thing.value
    except Exception:  # it has caught none, or is something else
        return None
    return value if isinstance(value, BaseException) else None


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # a fault of the user's, who sees it where it is printed
        return ""
