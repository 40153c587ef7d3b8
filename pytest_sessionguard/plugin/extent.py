"""Hooks that notice what of a suite a run leaves out."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

import pytest

# What a worker of xdist is told: whether the command line asks for the whole suite.
WHOLE = "sessionguard_whole"

# Options of pytest, by their `dest`, with which fewer tests run than there are, or none in earnest.
_NARROWING = {
    "keyword": "-k",
    "markexpr": "-m",
    "deselect": "--deselect",
    "ignore": "--ignore",
    "ignore_glob": "--ignore-glob",
    "lf": "--lf",
    "stepwise": "--stepwise",
    "pyargs": "--pyargs",
    "setuponly": "--setup-only",
    "setupplan": "--setup-plan",
    "collectonly": "--collect-only",
}


class ExtentHooks:
    """Hooks of a process that runs tests: how many it collected, and whether it left some out."""

    def __init__(self) -> None:
        self._collected: int | None = None
        self._offered = 0
        self._narrowed = ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Notice a module that was skipped, or could not be imported."""
        if report.outcome != "passed":
            self._narrowed = f"{report.nodeid} was not collected"

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Count what there is before others choose."""
        self._offered = len(items)

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Notice tests that others have taken out."""
        if items:
            self._narrowed = "tests were deselected"

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count what is to run."""
        self._collected = len({item.nodeid for item in session.items})
        if len(session.items) < self._offered:
            self._narrowed = self._narrowed or "tests were deselected"

    @property
    def is_narrowed(self) -> bool:
        """Tell whether something was left out."""
        return bool(self._narrowed)

    def tell(self) -> dict[str, Any]:
        """Return what is known, for the process that reports.

        Returns:
            What `Extent.add` takes; nothing before the collection, or where another process runs
            the tests.
        """
        if self._collected is None:
            return {}
        return {"collected": self._collected, "narrowed": self._narrowed}


def find_narrowing(config: pytest.Config) -> str:
    """Tell why the command line asks for less than the whole suite.

    Args:
        config: pytest's config, of the process that was called.

    Returns:
        A few words, or nothing where it asks for all.
    """
    for name, flag in _NARROWING.items():
        if getattr(config.option, name, None):
            return f"the run was narrowed by {flag}"
    # A node id names no file that is there, and so covers nothing.
    args = [(config.invocation_params.dir / arg).resolve() for arg in config.args]
    wanted = [config.rootpath, *_find_testpaths(config)]
    whole = _covers(args, wanted[:1]) or (len(wanted) > 1 and _covers(args, wanted[1:]))
    return "" if whole else "the run was of some paths only"


def _find_testpaths(config: pytest.Config) -> list[Path]:
    root = str(config.rootpath)
    patterns = [str(path) for path in config.getini("testpaths")]
    found = [glob.glob(pattern, root_dir=root, recursive=True) for pattern in patterns]
    return [config.rootpath / path for paths in found for path in paths]


def _covers(args: list[Path], wanted: list[Path]) -> bool:
    paths = [path.resolve() for path in wanted]
    return all(any(arg == path or arg in path.parents for arg in args) for path in paths)
