"""What takes a fault inside the guard, so that no test of the user's ever sees it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar


class Shield:
    """The first fault inside the guard, and what is to happen then."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None

    def report(self, error: BaseException) -> None:
        """Keep a fault; only the first one counts.

        Args:
            error: What was raised inside the guard.
        """
        if self.fault is None:
            self.fault = error

    def run(self, action: Callable[[], None]) -> None:
        """Do something of the guard's in the middle of the user's code.

        Args:
            action: What may fail.
        """
        try:
            action()
        except Exception as error:
            self.report(error)


class Shielded(Protocol):
    """Whatever has a shield."""

    shield: Shield


_S = TypeVar("_S", bound=Shielded)
_P = ParamSpec("_P")


def shielded(method: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """Keep what a method raises from its caller.

    Args:
        method: A method of a class that has a shield.

    Returns:
        The method, whose faults its shield takes.
    """

    @functools.wraps(method)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            self.shield.report(error)

    return call
