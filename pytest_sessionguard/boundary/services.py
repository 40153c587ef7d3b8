"""Modules of services: which are asked for, and the detours of their functions."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from types import FunctionType, ModuleType
from typing import Any

from pytest_sessionguard.boundary.boundary import Boundary, Call
from pytest_sessionguard.boundary.functions import find_functions
from pytest_sessionguard.boundary.patterns import fits
from pytest_sessionguard.detour import Detour, DetourError
from pytest_sessionguard.shield import shielded

# What `importlib.util.LazyLoader` makes: to look at it would import it.
_LazyModule: Any = getattr(importlib.util, "_LazyModule", None)


class Subscription:
    """Some patterns that somebody asked for, until they are taken back.

    Attributes:
        patterns: The patterns.
    """

    def __init__(self, services: Services, patterns: tuple[str, ...]) -> None:
        self.patterns = patterns
        self._services = services

    def end(self) -> None:
        """Take them back; what nobody else asks for is as it was. Cheap to call again."""
        self._services.unsubscribe(self)


class Services:
    """The service functions of a run.

    Args:
        boundary: Where their calls are judged.
    """

    def __init__(self, boundary: Boundary) -> None:
        self.boundary = boundary
        self.shield = boundary.guard.shield
        self._subscriptions: list[Subscription] = []
        self._modules: dict[str, _Module] = {}
        self._detours: dict[int, Detour] = {}
        self._looked = (0, 0)
        self._changes = 0
        self._news: dict[str, bool] = {}
        self._found: dict[str, bool] = {}

    def subscribe(self, patterns: Iterable[str]) -> Subscription:
        """Lead the functions of some modules past the boundary.

        Args:
            patterns: What `read_patterns` returned.

        Returns:
            What takes it back.
        """
        subscription = Subscription(self, tuple(patterns))
        if subscription.patterns:
            self._subscriptions.append(subscription)
            self._changes += 1
            for pattern in subscription.patterns:
                self._note(pattern, found=False)
            self.look()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Take a subscription back.

        Args:
            subscription: One of ours; one that is not, or was taken back, is none of our business.
        """
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)
            self._changes += 1
            self.shield.run(self._remove_unwanted)

    def stop(self) -> None:
        """Take all back, at the end of the run."""
        while self._subscriptions:
            self.unsubscribe(self._subscriptions[-1])

    @shielded
    def look(self) -> None:
        """Find what has been imported since; cheap to call again."""
        if not self._subscriptions:
            return
        looked = (len(sys.modules), self._changes)
        if looked == self._looked and all(m.is_current() for m in self._modules.values()):
            return
        self._looked = looked  # what is half imported by now takes it back
        for name, module in list(sys.modules.items()):
            self._look_at(name, module)

    def take_news(self) -> dict[str, bool]:
        """Tell which patterns were asked for or met since the last call.

        Returns:
            Patterns, and whether a function was found for them.
        """
        news, self._news = self._news, {}
        return news

    def find_code(self, function: FunctionType) -> Any:
        """Find the code that does a function's work, behind a detour or not.

        Args:
            function: A function written in Python.

        Returns:
            Its code.
        """
        detour = self._detours.get(id(function))
        return (function if detour is None else detour.original).__code__

    def _look_at(self, name: str, module: Any) -> None:
        if not isinstance(module, ModuleType):
            return
        patterns = [p for s in self._subscriptions for p in s.patterns if fits(p, name)]
        if not patterns or _is_test(name):
            return
        if _is_half(module) or type(module) is _LazyModule:
            self._looked = (0, 0)
            return
        known = self._modules.get(name)
        if known is None or not known.is_current():
            self._modules[name] = known = _Module(name, module)
            self._install(known)
        if known.functions:
            for pattern in patterns:
                self._note(pattern, found=True)

    def _install(self, module: _Module) -> None:
        originals = {id(detour.original) for detour in self._detours.values()}
        # All of them before the first detour, whose `__wrapped__` leads to one more.
        for name, function in list(find_functions(module.module)):
            if id(function) in originals:
                continue
            detour = self._detours.get(id(function))
            if detour is None:
                try:
                    detour = Detour(function, _Gate(self.boundary, name, function))
                except DetourError:  # code that no compiler has made; the rest is checked
                    continue
                self.boundary.ask()
                detour.install()
                self._detours[id(function)] = detour
            module.functions.append(function)

    def _remove_unwanted(self) -> None:
        patterns = [p for s in self._subscriptions for p in s.patterns]
        for name in list(self._modules):
            if not any(fits(pattern, name) for pattern in patterns):
                del self._modules[name]
        wanted = {id(f) for module in self._modules.values() for f in module.functions}
        for key, detour in list(self._detours.items()):
            if key not in wanted:
                del self._detours[key]
                detour.remove()
                self.boundary.forget()

    def _note(self, pattern: str, *, found: bool) -> None:
        if found > self._found.get(pattern, False) or pattern not in self._found:
            self._found[pattern] = self._news[pattern] = found


class _Module:
    """A module that was looked through."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name = name
        self.module = module
        self.functions: list[FunctionType] = []
        self._spec = _read_spec(module)

    def is_current(self) -> bool:
        """Tell whether it is what one gets for its name still, and was not reloaded since.

        `importlib.reload` gives a module a new ``__spec__``.
        """
        module = sys.modules.get(self.name)
        return module is self.module and _read_spec(module) is self._spec


class _Gate:
    """The guide of one function's detour."""

    def __init__(self, boundary: Boundary, name: str, function: FunctionType) -> None:
        self._boundary = boundary
        self._name = name
        self._code = function.__code__

    def enter(self, running: Any) -> Call | None:
        """Begin a call of the function, unless it is part of another."""
        try:
            return self._boundary.begin(self._name, self._code, running)
        except Exception as error:
            self._boundary.guard.shield.report(error)
            return None


def _is_test(name: str) -> bool:
    """Tell whether a module has tests, which call services and are none."""
    last = name.rpartition(".")[2]
    return last == "conftest" or last.startswith("test_") or last.endswith("_test")


def _is_half(module: ModuleType) -> bool:
    """Tell whether a module is being imported at this moment (``importlib._bootstrap``)."""
    return bool(getattr(_read_spec(module), "_initializing", False))


def _read_spec(module: Any) -> Any:
    """Read how a module was found, past what it may do when it is asked for an attribute."""
    try:
        return object.__getattribute__(module, "__spec__")
    except AttributeError:
        return None
