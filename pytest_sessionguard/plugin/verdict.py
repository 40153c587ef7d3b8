"""Hooks of the process that reports: it merges what every test brought."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import pytest

from pytest_sessionguard.fixtures import SETTINGS
from pytest_sessionguard.model import Severity
from pytest_sessionguard.options import Mode
from pytest_sessionguard.plugin.acceptance import Acceptance
from pytest_sessionguard.plugin.extent import WHOLE, find_narrowing
from pytest_sessionguard.plugin.sections import SetupSections
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.report.terminal import show


class SummaryHooks:
    """Hooks of the process that reports: it merges what every test brought."""

    def __init__(self, config: pytest.Config, summary: Summary, acceptance: Acceptance) -> None:
        self._config = config
        self._acceptance = acceptance
        self._settings = config.stash[SETTINGS]
        self._summary = summary
        self._setups = SetupSections()
        self._refused = ""
        self._unwritten = ""
        self._fault = ""
        summary.extent.add({"narrowed": find_narrowing(config)})

    def pytest_report_header(self) -> str | None:
        """Show each setting that is not a default, with its source."""
        changed = self._settings.changed
        return f"sessionguard: {', '.join(changed)}" if changed else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a test brought, from this process or from a worker."""
        self._setups.enter(report)
        packet = getattr(report, "sessionguard", None)
        if packet is not None:
            self._summary.add(packet)
            judged = packet["tally"]["tests"] > 0
            self._summary.extent.end_test(report.nodeid, judged=judged)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker whether the whole suite is to be run; its own arguments differ."""
        node.workerinput[WHOLE] = not self._summary.extent.narrowed

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what no test of a worker owned."""
        output = getattr(node, "workeroutput", {})
        if "sessionguard" in output:
            self._summary.add(output["sessionguard"])
        self._refused = self._refused or output.get("sessionguard_refused", "")

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Weigh the findings, and fail a run whose only errors belong to no test."""
        value = yield
        try:
            self._weigh(session)
        except Exception as error:
            self._fault = f"sessionguard failed inside at the end of the run: {error!r}"
        if self._refused or self._unwritten:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return value

    def _weigh(self, session: pytest.Session) -> None:
        if not self._refused:
            self._unwritten = self._acceptance.settle(self._summary)
        self._summary.find_unused()
        untold = any(
            finding.severity is Severity.ERROR and not finding.told_at
            for finding in self._summary.findings
            if not self._summary.is_accepted(finding)
        )
        if untold and self._settings.mode.fails and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the findings that fail nothing, and the line that closes the run."""
        for problem in filter(None, (self._refused, self._unwritten)):
            terminalreporter.write_line(f"ERROR: {problem}", red=True)
        if self._fault:
            terminalreporter.write_line(self._fault, yellow=True)
        if self._settings.mode is Mode.OFF or not self._is_concerned():
            return
        if self._config.option.collectonly:  # tools read what it prints
            return
        told = {Severity.ERROR.value} if self._settings.mode.fails else set()
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
