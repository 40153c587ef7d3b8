"""Hooks that keep service functions checked: those of the settings, and a test's own."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pytest_sessionguard.boundary import Services, Subscription
from pytest_sessionguard.settings import SettingsError, read_marks

_MARKED = pytest.StashKey[Subscription]()


class ServiceHooks:
    """Hooks that look for services wherever modules may have been imported."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Find the services that the tests imported."""
        self._services.look()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Begin to check the services that a test's markers name."""
        __tracebackhide__ = True
        self._services.look()
        try:
            patterns = read_marks(item.iter_markers("sessionguard")).services
        except SettingsError:  # a marker added while tests run; collected ones were checked
            patterns = ()
        if patterns:
            item.stash[_MARKED] = self._services.subscribe(patterns)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Generator[None, Any, Any]:
        """Find the services that a fixture imported."""
        __tracebackhide__ = True
        try:
            return (yield)
        finally:
            self._services.look()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """End what the markers have begun, once everything of the test has been torn down."""
        __tracebackhide__ = True
        try:
            return (yield)
        finally:
            if _MARKED in item.stash:
                item.stash[_MARKED].end()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, Any, Any]:
        """Make every function what it was, once the last fixture has been torn down."""
        try:
            return (yield)
        finally:
            self._services.stop()
