"""Hooks of the process that reports: it merges what every test brought."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

from pytest_sessionguard.fixtures import SETTINGS
from pytest_sessionguard.model import Severity
from pytest_sessionguard.options import Mode
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.report.terminal import show


class SummaryHooks:
    """Hooks of the process that reports: it merges what every test brought."""

    def __init__(self, config: pytest.Config, summary: Summary) -> None:
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._summary = summary
        self._refused = ""

    def pytest_report_header(self) -> str | None:
        """Show each setting that is not a default, with its source."""
        changed = self._settings.changed
        return f"sessionguard: {', '.join(changed)}" if changed else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test brought, from this process or from a worker."""
        packet = getattr(report, "sessionguard", None)
        if packet is not None:
            self._summary.add(packet)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what no test of a worker owned."""
        output = getattr(node, "workeroutput", {})
        if "sessionguard" in output:
            self._summary.add(output["sessionguard"])
        self._refused = self._refused or output.get("sessionguard_refused", "")

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Fail a run whose only errors belong to no test."""
        value = yield
        untold = any(f.severity is Severity.ERROR and not f.told_at for f in self._summary.findings)
        if untold and self._settings.mode is Mode.FAIL and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        if self._refused:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return value

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the findings that fail nothing, and the line that closes the run."""
        if self._refused:
            terminalreporter.write_line(f"ERROR: {self._refused}", red=True)
        if self._settings.mode is Mode.OFF or not self._is_concerned():
            return
        told = {Severity.ERROR.value} if self._settings.mode is Mode.FAIL else set()
        verbosity = self._config.get_verbosity()
        try:
            show(terminalreporter, self._summary, told=frozenset(told), verbosity=verbosity)
        except Exception as error:
            terminalreporter.write_line(f"sessionguard failed inside its summary: {error!r}")

    def _is_concerned(self) -> bool:
        """Tell whether the run has to do with SQLAlchemy, or asked for the guard by name."""
        named = "sessionguard" in (self._config.getoption("plugins") or ())
        seen = self._summary.tally.engines or self._summary.tally.sessions
        return bool(named or seen or self._settings.changed or "sqlalchemy" in sys.modules)
