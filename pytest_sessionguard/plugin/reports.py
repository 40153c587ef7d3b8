"""Hooks of the process that reports: what was asked for is written when the run is over."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Generator, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.clock import Clock
from pytest_sessionguard.fixtures import SETTINGS
from pytest_sessionguard.options import Mode
from pytest_sessionguard.report.document import Document, RunFacts, make_document
from pytest_sessionguard.report.files import try_file, write_file
from pytest_sessionguard.report.forms import github
from pytest_sessionguard.report.requests import STDOUT, Request
from pytest_sessionguard.report.summary import Summary

_INTERRUPTED = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)


class ReportHooks:
    """Hooks of the process that reports; they write no file in a worker of xdist."""

    def __init__(self, config: pytest.Config, summary: Summary) -> None:
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._summary = summary
        self._started = datetime.now(timezone.utc)
        self._clock = Clock.monotonic()
        self._workers = 1
        self._met: set[str] = set()
        self._lines: list[tuple[str, bool]] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Refuse a file that cannot be written before any test, and any worker, is started."""
        for request in self._settings.reports:
            if request.path and request.path != STDOUT and self._is_wanted():
                try:
                    try_file(self._locate(request))
                except OSError as error:
                    reason = error.strerror or str(error)
                    raise pytest.UsageError(
                        f"sessionguard_report: {request.form.name} cannot be written to "
                        f"{request.path!r}: {reason}. Name another file: "
                        f"--sessionguard-report={request.form.name}:PATH"
                    ) from None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, specs: Sequence[Any]) -> None:
        """Note how many workers there are."""
        self._workers = len(specs)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which tests were met."""
        self._met.add(report.nodeid)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Write the reports once all is judged; `pytest_terminal_summary` may be skipped."""
        try:
            return (yield)
        finally:
            if self._is_wanted() and session.exitstatus != pytest.ExitCode.USAGE_ERROR:
                self._write_all(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say where each report is."""
        for line, is_fine in self._lines:
            terminalreporter.write_line(f"sessionguard report: {line}", yellow=not is_fine)

    def _is_wanted(self) -> bool:
        return not self._config.option.collectonly

    def _write_all(self, session: pytest.Session) -> None:
        if self._settings.mode is Mode.OFF:
            self._say("none, for sessionguard is off", is_fine=False)
            return
        try:
            root = str(self._config.rootpath)
            document = make_document(self._summary, self._tell_run(session), root)
        except Exception as error:
            self._say(f"none, after a fault inside sessionguard: {error!r}", is_fine=False)
            return
        for request in self._settings.reports:
            try:
                self._write(request, document)
            except Exception as error:
                self._say(f"{request.form.name} could not be written: {error}", is_fine=False)

    def _write(self, request: Request, document: Document) -> None:
        name = request.form.name
        if name == "github":
            self._write_github(document)
        elif request.path == STDOUT:
            self._print(request.form.write(document))
        elif request.path:
            write_file(self._locate(request), request.form.write(document))
            self._say(f"{name} in {self._shorten(self._locate(request))}")
        elif self._config.getoption("xmlpath", None):
            self._say(f"{name} in the properties of {self._shorten(self._config.option.xmlpath)}")
        else:
            self._say(f"{name} needs --junit-xml=FILE, or {name}:FILE for one of its own", False)

    def _write_github(self, document: Document) -> None:
        if os.environ.get("GITHUB_ACTIONS") != "true":
            self._say("github is written in GitHub Actions only", is_fine=False)
            return
        self._print(github.write(document))
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            used = os.path.getsize(summary) if os.path.exists(summary) else 0
            with open(summary, "a", encoding="utf-8", newline="\n") as file:
                file.write(github.summarize(document, used))
        self._say("github in the log and the summary of this step")

    def _print(self, text: str) -> None:
        """Write to standard output, at the beginning of a line."""
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        for line in text.splitlines():
            if terminal is None:
                sys.stdout.write(f"{line}\n")
            else:
                terminal.write_line(line)

    def _say(self, line: str, is_fine: bool = True) -> None:
        self._lines.append((line, is_fine))

    def _locate(self, request: Request) -> str:
        """Return the whole path: from where pytest was called, or from the root for the ini's."""
        named_here = self._config.getoption("sessionguard_report") is not None
        base = self._config.invocation_params.dir if named_here else self._config.rootpath
        return os.path.join(base, os.path.expanduser(request.path))

    def _shorten(self, path: str) -> str:
        try:
            return os.path.relpath(path, self._config.invocation_params.dir)
        except ValueError:  # another drive of Windows
            return path

    def _tell_run(self, session: pytest.Session) -> RunFacts:
        missing = not self._config.option.keepduplicates and len(self._met) < session.testscollected
        return RunFacts(
            started=self._started.isoformat(timespec="seconds"),
            seconds=round(Clock.monotonic() - self._clock, 3),
            python=platform.python_version(),
            sqlalchemy=version("sqlalchemy"),
            pytest=pytest.__version__,
            platform=platform.system(),
            folder=_find_folder(self._config.rootpath),
            interrupted=session.exitstatus in _INTERRUPTED or missing,
            workers=self._workers,
            exit=int(session.exitstatus),
        )


def _find_folder(root: Path) -> str:
    """Return where the root lies in its repository, for what shows files of the repository."""
    for folder in (root, *root.parents):
        if (folder / ".git").exists():
            return "" if folder == root else root.relative_to(folder).as_posix()
    return ""
