"""pytest's hooks, each of which hands over to the guard, the settings or the report."""

from __future__ import annotations

import shutil
from typing import Any
from unittest import TestCase

import pytest

from pytest_sessionguard import files, fixtures
from pytest_sessionguard.baseline import Baseline
from pytest_sessionguard.boundary import Boundary, Services
from pytest_sessionguard.fixtures import SERVICES, SETTINGS
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.options import MARKER, OPTIONS, Mode
from pytest_sessionguard.plugin.acceptance import Acceptance, open_baseline
from pytest_sessionguard.plugin.doors import PostgresHooks
from pytest_sessionguard.plugin.extent import ExtentHooks
from pytest_sessionguard.plugin.fault import SessionGuardWarning
from pytest_sessionguard.plugin.gate import Gate
from pytest_sessionguard.plugin.peers import leave_to_peers
from pytest_sessionguard.plugin.recording import make_ledger
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
        how: dict[str, Any] = {"action": "store", "metavar": option.metavar}
        if option.kind == "args":
            how["action"] = "append"
        elif option.kind == "flag":
            how = {"action": "store_true", "default": None}
        group.addoption(option.flag, dest=option.name, help=option.help, **how)
        if option.no_ini:
            continue
        # The ini type "int" came with pytest 8.4; native TOML gives numbers only to that.
        kind = "string" if option.kind == "int" and pytest.version_tuple < (8, 4) else option.kind
        parser.addini(option.name, option.help, type=kind, default=None)  # type: ignore[arg-type]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Explain rules, where that was asked for, and run no test."""
    names = config.getoption("sessionguard_explain")
    if names is None:
        return None
    try:
        print(explain_all(names, shutil.get_terminal_size().columns))  # noqa: T201
    except UnknownRuleError as error:
        raise pytest.UsageError(f"--sessionguard-explain: {error}") from None
    return 0


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Read the settings and begin the run."""
    config.addinivalue_line("markers", MARKER)
    try:
        settings = leave_to_peers(config, read_settings(config))
        is_off = settings.mode is Mode.OFF
        baseline = Baseline() if is_off else open_baseline(config, settings)
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
        acceptance = Acceptance(config, settings, baseline)
        hooks = SummaryHooks(config, summary, acceptance)
        config.pluginmanager.register(hooks, "sessionguard-summary")
    if not is_off:
        extent = ExtentHooks()
        config.pluginmanager.register(extent, "sessionguard-extent")
        gate = Gate(str(config.rootpath), settings, baseline)
        guard = Guard(
            str(config.rootpath),
            expecting=_expecting_blocks(),
            ledger=make_ledger(config, settings.reports),
        )
        config.add_cleanup(files.learn_root(str(config.rootpath)))
        guard.start()
        config.add_cleanup(guard.stop)
        services = config.stash[SERVICES] = Services(Boundary(guard))
        services.subscribe(settings.services)
        config.add_cleanup(services.stop)
        config.pluginmanager.register(
            RunHooks(config, guard, summary, gate, extent), "sessionguard-run"
        )
        config.pluginmanager.register(ServiceHooks(services), "sessionguard-services")


def _expecting_blocks() -> set[type]:
    """Return the classes of what `pytest.raises` and unittest's `assertRaises` make and give."""
    group = getattr(pytest, "RaisesGroup", None)  # came with pytest 8.4
    raises, asserts = pytest.raises(Exception), TestCase().assertRaises(Exception)  # noqa: PT011, PT027
    blocks = {type(raises), type(asserts), pytest.ExceptionInfo}
    return blocks if group is None else {*blocks, group}
