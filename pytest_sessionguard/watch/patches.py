"""Public methods and functions of others that are wrapped while the guard watches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

_INHERITED = object()


class Patches:
    """Wrapped methods, each put back as it was."""

    def __init__(self) -> None:
        self._done: list[tuple[type | ModuleType, str, Any, Any]] = []

    def wrap(self, owner: type | ModuleType, name: str, make: Callable[[Any], Any]) -> None:
        """Put a wrapper in a method's place.

        Args:
            owner: The class that defines or inherits it, or the module.
            name: The method or function.
            make: Takes the original and returns the wrapper.
        """
        original = owner.__dict__.get(name, _INHERITED)
        inherited = getattr(owner, name) if original is _INHERITED else original
        is_of_class = isinstance(inherited, classmethod)
        function = inherited.__func__ if is_of_class else inherited
        wrapper: Any = functools.wraps(function)(make(function))
        if is_of_class:
            wrapper = classmethod(wrapper)
        setattr(owner, name, wrapper)
        self._done.append((owner, name, original, wrapper))

    def remove(self) -> None:
        """Put every original back.

        A method that somebody else has wrapped since stays as it is: taking their wrapper out
        would break what they rely on, and ours inside it then writes to a ledger nobody reads.
        """
        while self._done:
            owner, name, original, wrapper = self._done.pop()
            if owner.__dict__.get(name) is not wrapper:
                continue
            if original is _INHERITED:
                delattr(owner, name)
            else:
                setattr(owner, name, original)


def find_definers(class_: type, name: str) -> list[type]:
    """Return a class and those below it that have a method of their own.

    Args:
        class_: The class.
        name: The method.

    Returns:
        The classes whose bodies define it.
    """
    below: list[type] = []
    subclasses: list[type] = class_.__subclasses__()
    for subclass in subclasses:
        below += find_definers(subclass, name)
    return [class_, *below] if name in class_.__dict__ else below
