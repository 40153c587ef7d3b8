"""pytest's hooks, each of which hands over to the guard, the settings or the report."""

from __future__ import annotations

import shutil
from unittest import TestCase

import pytest

from pytest_sessionguard import fixtures
from pytest_sessionguard.boundary import Boundary, Services
from pytest_sessionguard.fixtures import SERVICES, SETTINGS
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.options import EXPLAIN, MARKER, OPTIONS, Mode
from pytest_sessionguard.plugin.doors import PostgresHooks
from pytest_sessionguard.plugin.fault import SessionGuardWarning
from pytest_sessionguard.plugin.peers import leave_to_peers
from pytest_sessionguard.plugin.recording import make_recorder
from pytest_sessionguard.plugin.reports import ReportHooks
from pytest_sessionguard.plugin.run import RunHooks
from pytest_sessionguard.plugin.services import ServiceHooks
from pytest_sessionguard.plugin.verdict import SummaryHooks
from pytest_sessionguard.report.explanation import explain_all
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.rules.names import UnknownRuleError
from pytest_sessionguard.settings import SettingsError, read_settings

__all__ = ["SessionGuardWarning", "pytest_addoption", "pytest_cmdline_main", "pytest_configure"]


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
    group.addoption(EXPLAIN.flag, dest=EXPLAIN.name, metavar=EXPLAIN.metavar, help=EXPLAIN.help)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Explain rules, where that was asked for, and run no test."""
    names = config.getoption(EXPLAIN.name)
    if names is None:
        return None
    try:
        print(explain_all(names, shutil.get_terminal_size().columns))  # noqa: T201
    except UnknownRuleError as error:
        raise pytest.UsageError(f"{EXPLAIN.flag}: {error}") from None
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the settings and begin the run."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = leave_to_peers(config, read_settings(config))
    except SettingsError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[SETTINGS] = settings
    config.pluginmanager.register(fixtures, "sessionguard-fixtures")
    config.pluginmanager.register(PostgresHooks(settings), "sessionguard-postgres")
    summary = Summary()
    if not hasattr(config, "workerinput"):
        # Before the hooks of the run: of two last wrappers the later one is the inner one, and what
        # the run still finds at its end comes before the summary, and all before the reports.
        if settings.reports:
            config.pluginmanager.register(ReportHooks(config, summary), "sessionguard-reports")
        config.pluginmanager.register(SummaryHooks(config, summary), "sessionguard-summary")
    if settings.mode is not Mode.OFF:
        guard = Guard(
            str(config.rootpath),
            expecting=_expecting_blocks(),
            recorder=make_recorder(config, settings.reports),
        )
        guard.start()
        config.add_cleanup(guard.stop)
        services = config.stash[SERVICES] = Services(Boundary(guard))
        services.subscribe(settings.services)
        config.add_cleanup(services.stop)
        config.pluginmanager.register(RunHooks(config, guard, summary), "sessionguard-run")
        config.pluginmanager.register(ServiceHooks(services), "sessionguard-services")


def _expecting_blocks() -> set[type]:
    """Return the classes of what `pytest.raises` and unittest's `assertRaises` make."""
    group = getattr(pytest, "RaisesGroup", None)  # came with pytest 8.4
    raises, asserts = pytest.raises(Exception), TestCase().assertRaises(Exception)  # noqa: PT011, PT027
    blocks = {type(raises), type(asserts)}
    return blocks if group is None else {*blocks, group}
