"""pytest's hooks, each of which hands over to the guard, the settings or the report."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sessionguard import fixtures
from pytest_sessionguard.fixtures import SETTINGS
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Finding, Owner, Severity
from pytest_sessionguard.options import MARKER, OPTIONS, Mode
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.report.terminal import show
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.settings import Marks, Settings, SettingsError, read_marks, read_settings

if TYPE_CHECKING:
    from pytest_sessionguard.postgres import Survey

_FAILED = pytest.StashKey[bool]()
_PACKET = pytest.StashKey[dict[str, Any]]()
_LEFT_OPEN = pytest.StashKey[str]()


class SessionGuardWarning(pytest.PytestWarning):
    """A fault inside the guard, which then judges nothing more; no test's result changes."""

    __module__ = "pytest_sessionguard"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register every option with its ini twin."""
    group = parser.getgroup("sessionguard", "SQLAlchemy sessions and connections")
    for option in OPTIONS:
        action = "append" if option.kind == "args" else "store"
        group.addoption(
            option.flag, dest=option.name, action=action, metavar=option.metavar, help=option.help
        )
        # The ini type "int" came with pytest 8.4; native TOML gives numbers only to that.
        kind = "string" if option.kind == "int" and pytest.version_tuple < (8, 4) else option.kind
        parser.addini(option.name, option.help, type=kind, default=None)  # type: ignore[arg-type]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the settings and begin the run."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = read_settings(config)
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(fixtures, "sessionguard-fixtures")
    config.pluginmanager.register(PostgresHooks(settings), "sessionguard-postgres")
    summary = Summary()
    if not hasattr(config, "workerinput"):
        # Before the hooks of the run: of two last wrappers the later one is the inner one, and what
        # the run still finds at its end comes before the summary.
        config.pluginmanager.register(SummaryHooks(config, summary), "sessionguard-summary")
    if settings.mode is not Mode.OFF:
        guard = Guard(str(config.rootpath))
        guard.start()
        config.add_cleanup(guard.stop)
        config.pluginmanager.register(RunHooks(config, guard, summary), "sessionguard-run")


class RunHooks:
    """Hooks of a process that runs tests: who owns what, and the verdict at a test's end."""

    def __init__(self, config: pytest.Config, guard: Guard, summary: Summary) -> None:
        self._config = config
        self._settings = config.stash[SETTINGS]
        self._guard = guard
        self._summary = summary
        self._announced = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Watch what the conftests imported, before modules of tests open things."""
        self._guard.look()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Watch what the tests imported, and refuse markers that cannot be meant."""
        self._guard.look()
        for item in items:
            try:
                read_marks(item.iter_markers("sessionguard"))
            except SettingsError as error:
                _refuse(self._config, items, f"{item.nodeid}: {error}")
                break

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Make the test the owner."""
        __tracebackhide__ = True
        item.stash[_FAILED] = False
        owner = Owner("test", item.name, nodeid=item.nodeid)
        self._guard.start_test(owner, self._severities(item))
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: Any
    ) -> Generator[None, Any, Any]:
        """Make the fixture the owner while it is set up, and again when its teardown begins."""
        __tracebackhide__ = True
        fixtures.choose_flavour(fixturedef, request)
        name = _name_fixture(fixturedef.argname)
        owner = Owner("fixture", name, fixturedef.scope, request.node.nodeid)
        self._guard.start_fixture(fixturedef, owner, self._severities(request.node))
        ready = False
        try:
            value = yield
            ready = True
        finally:
            self._guard.leave_fixture(fixturedef, ready=ready)
        # Finalizers run in reverse, so this one runs before the fixture's own teardown.
        request.addfinalizer(partial(self._guard.tear_down_fixture, fixturedef))
        return value

    def pytest_fixture_post_finalizer(self, fixturedef: pytest.FixtureDef[Any]) -> None:
        """Enter that a fixture was torn down; pytest may say so more than once."""
        self._guard.end_fixture(fixturedef)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Judge the test once everything of it has been torn down."""
        __tracebackhide__ = True
        try:
            value = yield
        except BaseException:
            errors = self._end(item, passed=False)
            texts = [errors, item.stash[_LEFT_OPEN]]
            item.stash[_LEFT_OPEN] = "\n\n".join(text for text in texts if text)
            raise
        text = self._end(item, passed=not item.stash.get(_FAILED, True))
        if text and self._settings.mode is Mode.FAIL:
            __tracebackhide__ = False  # pytest says so where it finds no frame to show
            pytest.fail(text, pytrace=False)
        return value

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Let findings ride on the report, which arrives even from a worker that dies."""
        report = yield
        if report.outcome != "passed":
            item.stash[_FAILED] = True
        if report.when == "teardown":
            report.sessionguard = item.stash.get(_PACKET, None)  # type: ignore[attr-defined]
            left_open = item.stash.get(_LEFT_OPEN, "")
            if left_open:
                report.sections.append(("sessionguard: left open at teardown", left_open))
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note failed subtests, whose own reports come while their test still runs."""
        test = self._guard.test
        if report.failed and test is not None and test.owner.nodeid == report.nodeid:
            test.failed = True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Judge fixtures that no test's teardown has torn down, before the summary is written."""
        value = yield
        packet = self._pack(self._guard.end_run(), "")
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["sessionguard"] = packet
        else:
            self._summary.add(packet)
        return value

    def _severities(self, node: Any) -> Mapping[str, Severity]:
        try:
            marks = read_marks(node.iter_markers("sessionguard"))
        except SettingsError:  # a marker added while tests run; collected ones were checked
            marks = Marks()
        return self._settings.severities(marks)

    def _end(self, item: pytest.Item, *, passed: bool) -> str:
        """End the test and return the text of its errors."""
        findings, left_open = self._guard.end_test(item.nodeid, passed=passed)
        errors = [finding for finding in findings if finding.severity is Severity.ERROR]
        text = self._tell(errors, verbose=self._config.get_verbosity() > 0)
        item.stash[_LEFT_OPEN] = self._tell(left_open, verbose=False)
        item.stash[_PACKET] = self._pack(findings, item.nodeid)
        return text

    def _tell(self, findings: list[Finding], *, verbose: bool) -> str:
        try:
            return "\n\n".join(tell(finding, verbose=verbose) for finding in findings)
        except Exception as error:
            self._guard.shield.report(error)
            return ""

    def _pack(self, findings: list[Finding], nodeid: str) -> dict[str, Any]:
        fault = self._guard.shield.fault
        if fault is not None and not self._announced:
            self._announced = True
            _announce(self._config, fault, nodeid)
        text = "" if fault is None else f"{type(fault).__name__}: {fault}"
        return pack(findings, self._guard.take_tally(), text)


class PostgresHooks:
    """Hooks that look at the doors to a Postgres before a test asks for one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._survey: Survey | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Stop before the first test where a test wants a Postgres and no door may open."""
        from pytest_sessionguard.postgres import NoDoorError, survey

        wanted = any(
            "sessionguard_postgres" in getattr(item, "fixturenames", ()) for item in session.items
        )
        if wanted and not session.config.option.collectonly:
            self._survey = survey(self._settings.postgres)
            if self._survey.chosen is None:
                text = str(NoDoorError(self._survey.refusals))
                _refuse(session.config, session.items, text)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say which door will be tried first, and why those before it will not."""
        if self._survey is None:
            return []
        return [f"sessionguard_postgres: {'; '.join(self._survey.lines())}"]


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


def _refuse(config: pytest.Config, items: list[pytest.Item], text: str) -> None:
    """End the run as a usage error, before any test.

    A worker of xdist cannot: what it raises ends as an internal error of the controller. It runs
    no test and leaves the text to the controller.
    """
    if not hasattr(config, "workeroutput"):
        raise pytest.UsageError(text)
    items.clear()
    config.workeroutput["sessionguard_refused"] = text


def _name_fixture(argname: str) -> str:
    """Name a fixture as its author knows it, also the ones pytest makes of xunit functions."""
    match = re.fullmatch(r"_(?:xunit|unittest)_(\w+?)_fixture_(.+)", argname)
    return f"{match[1]} of {match[2]}" if match else f"fixture `{argname}`"


def _announce(config: pytest.Config, fault: BaseException, nodeid: str) -> None:
    """Show one warning, past any filter that would turn it into an error of the user's test."""
    text = (
        f"sessionguard failed inside and judges nothing more in this run; no test's result has "
        f"changed. Please report it: {type(fault).__name__}: {fault}"
    )
    traceback = fault.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    file = traceback.tb_frame.f_code.co_filename if traceback is not None else __file__
    line = traceback.tb_lineno if traceback is not None else 1
    message = warnings.WarningMessage(SessionGuardWarning(text), SessionGuardWarning, file, line)
    config.hook.pytest_warning_recorded.call_historic(
        kwargs={
            "warning_message": message,
            "when": "runtest",
            "nodeid": nodeid,
            "location": None,
        }
    )
