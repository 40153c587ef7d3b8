"""The guard that an assertion asks: the plugin's, or one of the assertions' own."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pytest_sessionguard.guard import Guard, active_guard


class OwnGuard(Guard):
    """A guard that watches while assertions ask it: without the plugin, or after its fault.

    Attributes:
        users: How many assertions ask it at the moment.
    """

    users = 0


def find_guard() -> Guard:
    """Return the guard at work, or a new one that is not at work yet."""
    guard = active_guard()
    if guard is not None and guard.shield.fault is None:
        return guard
    return OwnGuard(os.getcwd())


def begin_watching(guard: Guard) -> None:
    """Have a guard at work, and SQLAlchemy watched even where this is the first to import it.

    Args:
        guard: What `find_guard` returned.
    """
    if isinstance(guard, OwnGuard):
        guard.users += 1
        if guard.users == 1:
            guard.start()
    guard.look(at_once=True)


def end_watching(guard: Guard) -> None:
    """Let a guard go that nobody asks any more.

    Args:
        guard: The same.
    """
    if isinstance(guard, OwnGuard):
        guard.users -= 1
        if guard.users == 0:
            guard.stop()
            _confess(guard)


def _confess(guard: OwnGuard) -> None:
    """Say that a fault of the guard's own has kept assertions from seeing, if no plugin says so."""
    if guard.shield.fault is not None and active_guard() is None:
        warnings.warn(
            f"sessionguard failed inside and has checked nothing. Please report it: "
            f"{guard.shield.fault!r}",
            RuntimeWarning,
            stacklevel=2,
        )


@contextmanager
def watching() -> Iterator[Guard]:
    """Have somebody watch within a block."""
    guard = find_guard()
    begin_watching(guard)
    try:
        yield guard
    finally:
        end_watching(guard)
