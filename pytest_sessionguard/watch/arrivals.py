"""Modules that the user's project has not imported yet, and what is to happen once it has.

The finder lets the others find such a module, and hangs what is to happen on the loader that they
name, until that has run the module. The spec and the loader stay what they were, so that whoever
looks at them (a lazy loader, ``importlib.util.find_spec``) sees no other.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from threading import get_ident
from typing import Any

from pytest_sessionguard.shield import Shield, is_of_handler


class Arrivals:
    """The finder that sees modules arrive; it finds none itself.

    Args:
        actions: What is to happen when a module has been imported. The lock of the module's import
            is still held then: what an action imports has to stand on that module, so that no
            thread which holds its lock waits for ours.
        shield: What takes the faults of that.
    """

    def __init__(self, actions: Mapping[str, Callable[[], None]], shield: Shield) -> None:
        self._actions = actions
        self._shield = shield
        self._is_awaiting = False
        self._asking: set[tuple[str, int]] = set()

    def begin(self) -> None:
        """Wait for the modules that are not there yet; cheap to call again."""
        if all(name in sys.modules for name in self._actions):
            self.end()
            return
        self._is_awaiting = True
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def end(self) -> None:
        """Wait no longer."""
        self._is_awaiting = False
        if self in sys.meta_path:
            # A thread that walks the list just now would miss a finder if this one were taken out.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Let the other finders find a module that is awaited.

        Args:
            name: The module.
            path: Where to look for it.
            target: The module that is to be reloaded.

        Returns:
            What they have found; None where it is none of ours, or is asked for by another finder
            that we have asked.
        """
        __tracebackhide__ = True
        asked = name, get_ident()
        if not self._is_awaiting or name not in self._actions or asked in self._asking:
            return None
        self._asking.add(asked)
        try:
            spec = self._ask_others(name, path, target)
        except Exception as error:
            if is_of_handler(error):
                raise
            return None  # Python asks the others next, and hears it too
        finally:
            self._asking.discard(asked)
        self._shield.run(partial(self._attend, name, spec))
        return spec

    def _ask_others(self, name: str, path: Any, target: Any) -> Any:
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            if find is None:
                break  # one of the old kind, which Python asks in its own way until 3.12
            spec = None if finder is self else find(name, path, target)
            if spec is not None:
                return spec
        return None

    def _attend(self, name: str, spec: Any) -> None:
        """Let the loader tell when it has run the module.

        One without attributes of its own cannot: a class, or what is written in C.
        """
        loader = getattr(spec, "loader", None)
        execute, own = getattr(loader, "exec_module", None), getattr(loader, "__dict__", None)
        if execute is None or not isinstance(own, dict):
            return

        def exec_module(module: Any) -> None:
            __tracebackhide__ = True
            is_awaited = module.__name__ == name  # one loader may load many, as that of a zip does
            try:
                execute(module)
            finally:
                if is_awaited and own.get("exec_module") is exec_module:
                    del own["exec_module"]
            if is_awaited and self._is_awaiting:
                self._shield.run(self._actions[name])

        own["exec_module"] = exec_module
