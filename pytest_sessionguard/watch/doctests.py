"""Doctests: an exception that an example shows is expected, as one that ``pytest.raises`` catches.

A doctest compares it as text, notes and all, before anybody could take them off
(``doctest.DocTestRunner.run``): ours are off from the moment at which it is caught.
"""

from __future__ import annotations

import sys
from typing import Any

from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.expectations import expect
from pytest_sessionguard.watch.notes import hide_notes, show_notes
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY, find_doctest_classes


class Shown:
    """An example that shows an exception, kept with the debugger that its runner makes."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._hidden: list[tuple[BaseException, list[str]]] = []

    def catch(self, error: BaseException | None) -> None:
        """Take our notes off what the example has raised."""
        self.error = error
        self._hidden += hide_notes(error)

    def end(self) -> None:
        """Put them back: the text is made."""
        show_notes(self._hidden)
        self._hidden = []


class DoctestWatch:
    """The watcher of doctests.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
    """

    def __init__(self, ledger: Ledger, shield: Shield) -> None:
        self._ledger = ledger
        self._shield = shield
        self._patches = Patches()
        self._is_installed = False

    def install(self) -> None:
        """Begin to watch, if doctests have been imported by now; cheap to call again."""
        classes = None if self._is_installed else find_doctest_classes()
        if classes is not None:
            self._is_installed = True
            runner, debugger = classes
            self._patches.wrap(runner, "report_start", self._make_report_start)
            self._patches.wrap(debugger, "set_continue", self._make_set_continue)
            self._patches.wrap(runner, "report_success", self._make_report_success)
            self._patches.wrap(runner, "run", self._make_run)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        self._patches.remove()
        self._is_installed = False

    def _make_report_start(self, original: Any) -> Any:
        failed = self._shield.report

        def report_start(self: Any, out: Any, test: Any, example: Any) -> Any:
            try:
                _end(self)
                debugger = getattr(self, "debugger", None)  # made by `run`
                if debugger is not None and example.exc_msg is not None:
                    setattr(debugger, KEY, Shown())
            except Exception as error:
                failed(error)
            return original(self, out, test, example)

        return report_start

    def _make_set_continue(self, original: Any) -> Any:
        failed = self._shield.report

        # The runner calls it while it handles what the example has raised.
        def set_continue(self: Any) -> Any:
            try:
                shown = getattr(self, KEY, None)
                if shown is not None:
                    shown.catch(sys.exc_info()[1])
            except Exception as error:
                failed(error)
            return original(self)

        return set_continue

    def _make_report_success(self, original: Any) -> Any:
        ledger, failed = self._ledger, self._shield.report

        def report_success(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                shown = _end(self)
                if shown is not None:
                    expect(shown.error, ledger.current.faults)
            except Exception as error:
                failed(error)
            return original(self, *args, **kwargs)

        return report_success

    def _make_run(self, original: Any) -> Any:
        failed = self._shield.report

        def run(self: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return original(self, *args, **kwargs)
            finally:
                try:
                    _end(self)
                except Exception as error:
                    failed(error)

        return run


def _end(runner: Any) -> Shown | None:
    """End the example that a runner was at, if it shows an exception."""
    debugger = getattr(runner, "debugger", None)
    shown: Shown | None = getattr(debugger, KEY, None)
    if shown is not None:
        delattr(debugger, KEY)
        shown.end()
    return shown
