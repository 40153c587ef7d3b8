"""Hooks of a process that runs tests: who owns what, and the verdict at a test's end."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import pytest

from pytest_sessionguard import fixtures
from pytest_sessionguard.assertions.loads import assert_no_lazy_load
from pytest_sessionguard.fixtures import SERVICES, SETTINGS
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Finding, Owner, Severity
from pytest_sessionguard.plugin.examples import locate_examples
from pytest_sessionguard.plugin.extent import WHOLE, ExtentHooks, find_narrowing
from pytest_sessionguard.plugin.fault import announce
from pytest_sessionguard.plugin.gate import Gate
from pytest_sessionguard.plugin.recording import take_timeline
from pytest_sessionguard.plugin.refusal import refuse
from pytest_sessionguard.plugin.sections import LEFT_OPEN
from pytest_sessionguard.report.forms import junit
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.rules import lazy_load, masked_lazy_load
from pytest_sessionguard.settings import Marks, SettingsError, read_marks
from pytest_sessionguard.survey import Survey

_FAILED = pytest.StashKey[bool]()
_PACKET = pytest.StashKey[dict[str, Any]]()
_LEFT_OPEN = pytest.StashKey[str]()


class RunHooks:
    """Hooks of a process that runs tests: who owns what, and the verdict at a test's end."""

    def __init__(
        self,
        config: pytest.Config,
        guard: Guard,
        summary: Summary,
        gate: Gate,
        extent: ExtentHooks,
    ) -> None:
        self._config = config
        self._gate = gate
        self._extent = extent
        self._settings = config.stash[SETTINGS]
        self._guard = guard
        self._summary = summary
        self._announced = False
        self._in_junit = any(r.form.name == "junit" and not r.path for r in self._settings.reports)

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
                marks = read_marks(item.iter_markers("sessionguard"))
                if (
                    self._settings.severities(marks).get(masked_lazy_load.RULE.code, Severity.OFF)
                    is not Severity.OFF
                ):
                    self._guard.watch_masks()
                self._guard.shield.run(partial(self._gate.enter_markers, item))
            except SettingsError as error:
                refuse(self._config, items, f"{item.nodeid}: {error}")
                break

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Make the test the owner."""
        __tracebackhide__ = True
        item.stash[_FAILED] = False
        self._guard.shield.run(partial(locate_examples, item))
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
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Let nothing load itself in a test whose marker says so."""
        __tracebackhide__ = True
        if not self._settings.mode.fails or not self._is_strict(item):
            return (yield)
        with assert_no_lazy_load():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Judge the test once everything of it has been torn down."""
        __tracebackhide__ = True
        if not item.stash.get(_FAILED, True):
            self._guard.begin_teardown()
        try:
            value = yield
        except BaseException:
            errors = self._end(item, passed=False)
            texts = [errors, item.stash[_LEFT_OPEN]]
            item.stash[_LEFT_OPEN] = "\n\n".join(text for text in texts if text)
            raise
        text = self._end(item, passed=not item.stash.get(_FAILED, True))
        if text and self._settings.mode.fails:
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
                report.sections.append((LEFT_OPEN, left_open))
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
        findings = self._sift(self._guard.end_run())
        self._scan()
        packet = self._pack(findings, "", self._guard.take_stock())
        if hasattr(self._config, "workeroutput"):
            self._config.workeroutput["sessionguard"] = packet
        else:
            self._summary.add(packet)
        self._guard.endings.say_unsaid()
        return value

    def _is_strict(self, item: pytest.Item) -> bool:
        code, marks = lazy_load.RULE.code, self._marks(item)
        resolved = self._settings.severities(marks).get(code)
        return resolved is Severity.ERROR and code in marks.severities

    def _marks(self, node: Any) -> Marks:
        try:
            return read_marks(node.iter_markers("sessionguard"))
        except SettingsError:  # a marker added while tests run; collected ones were checked
            return Marks()

    def _severities(self, node: Any) -> Mapping[str, Severity]:
        return self._settings.severities(self._marks(node))

    def _end(self, item: pytest.Item, *, passed: bool) -> str:
        """End the test and return the text of its errors."""
        findings, left_open = self._guard.end_test(item.nodeid, passed=passed)
        findings, left_open = self._sift(findings), self._sift(left_open)
        errors = self._find_errors(findings)
        text = self._tell(errors, verbose=self._config.get_verbosity() > 0)
        item.stash[_LEFT_OPEN] = self._tell(left_open, verbose=False)
        item.stash[_PACKET] = self._pack(findings, item.nodeid)
        if self._in_junit:
            self._add_properties(item, findings)
        return text

    def _add_properties(self, item: pytest.Item, findings: list[Finding]) -> None:
        """Let the report of the teardown, which is still to be made, carry them to the XML."""
        try:
            told = junit.make_properties(findings, str(self._config.rootpath))
        except Exception as error:
            self._guard.shield.report(error)
            return
        # A test that is run again keeps its list.
        kept = [known for known in item.user_properties if known[0] != junit.PROPERTY]
        item.user_properties[:] = [*kept, *told]

    def _sift(self, findings: list[Finding]) -> list[Finding]:
        try:
            self._gate.enter_hushed(self._guard)
            return self._gate.sift(findings)
        except Exception as error:
            self._guard.shield.report(error)
            return []

    def _scan(self) -> None:
        """Look for comments that nothing was found for, where every test was judged."""
        worker: dict[str, Any] = getattr(self._config, "workerinput", {})
        whole = worker.get(WHOLE) if worker else not find_narrowing(self._config)
        if whole and not self._extent.is_narrowed and not self._gate.has_doubts:
            self._guard.shield.run(self._gate.scan)

    def _find_errors(self, findings: list[Finding]) -> list[Finding]:
        try:
            return self._gate.find_errors(findings)
        except Exception as error:
            self._guard.shield.report(error)
            return []

    def _tell(self, findings: list[Finding], *, verbose: bool) -> str:
        try:
            return "\n\n".join(tell(finding, verbose=verbose) for finding in findings)
        except Exception as error:
            self._guard.shield.report(error)
            return ""

    def _pack(
        self, findings: list[Finding], nodeid: str, survey: Survey | None = None
    ) -> dict[str, Any]:
        timeline = take_timeline(self._guard)
        fault = self._guard.shield.fault
        if fault is not None and not self._announced:
            self._announced = True
            announce(self._config, fault, nodeid)
        text = "" if fault is None else f"{type(fault).__name__}: {fault}"
        tally = self._guard.take_tally()
        if nodeid and not tally.tests:
            self._gate.doubt(nodeid)
        return pack(
            findings,
            tally,
            text,
            services=self._config.stash[SERVICES].take_news(),
            suppressions=self._gate.take_news(),
            extent=self._extent.tell(),
            survey=survey,
            timeline=timeline,
        )


def _name_fixture(argname: str) -> str:
    """Name a fixture as its author knows it, also the ones pytest makes of xunit functions."""
    match = re.fullmatch(r"_(?:xunit|unittest)_(\w+?)_fixture_(.+)", argname)
    return f"{match[1]} of {match[2]}" if match else f"fixture `{argname}`"
