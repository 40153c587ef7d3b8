"""Public methods of SQLAlchemy that are wrapped while the guard watches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Patches:
    """Wrapped methods, each put back as it was."""

    def __init__(self) -> None:
        self._done: list[tuple[type, str, Any, Any]] = []

    def wrap(self, owner: type, name: str, make: Callable[[Any], Any]) -> None:
        """Put a wrapper in a method's place.

        Args:
            owner: The class that defines it.
            name: The method.
            make: Takes the original and returns the wrapper.
        """
        original = owner.__dict__[name]
        wrapper = functools.wraps(original)(make(original))
        setattr(owner, name, wrapper)
        self._done.append((owner, name, original, wrapper))

    def remove(self) -> None:
        """Put every original back.

        A method that somebody else has wrapped since stays as it is: taking their wrapper out
        would break what they rely on, and ours inside it then writes to a ledger nobody reads.
        """
        while self._done:
            owner, name, original, wrapper = self._done.pop()
            if owner.__dict__.get(name) is wrapper:
                setattr(owner, name, original)
