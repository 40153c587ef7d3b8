"""What can still end by itself when its owner does: it gets a moment."""

from __future__ import annotations

import gc
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from traceback import clear_frames
from typing import Any

from pytest_sessionguard.accounts.account import Account
from pytest_sessionguard.clock import Clock

# How long leases of other threads that still run may take to end: a server thread answers its
# client before it has closed its session.
_GRACE = 0.5
# What SQLAlchemy and drivers say of connections that are collected; the finding says it better.
_SAID_OF_CONNECTIONS = (
    "The garbage collector is trying to clean up non-checked-in connection",
    "unclosed (connection|database|transport)",
    ".* was deleted (before|while)",
)


class _Name(str):
    """A text that is printed as it is."""

    __slots__ = ()
    __repr__ = str.__str__


Unsaid = Callable[[], None]


def settle(accounts: list[Account]) -> list[Unsaid]:
    """Let go of what nobody holds, and wait for what other threads are about to close.

    Whether the collector came before a test's end is luck; after a collection it is no longer luck
    whether a finding is SG101 or SG102. It costs nothing where nothing is out.

    Args:
        accounts: The accounts that are about to be judged.

    Returns:
        What was said of other things that were collected: to be said later.
    """
    leases = [lease for account in accounts for lease in account.open_leases()]
    if not leases:
        return []
    for lease in leases:
        lease.look_for_task()
    unsaid = _collect()
    pause, deadline = 0.001, Clock.monotonic() + _GRACE
    while threads_out(accounts) and Clock.monotonic() < deadline:
        Clock.sleep(pause)
        pause = min(pause * 2, 0.1)
    return unsaid


def _collect() -> list[Unsaid]:
    """Collect garbage, and keep what is said of it: pytest would tell it of the next test.

    Without the guard it is collected at any time, mostly when the run is over.
    """
    unsaid: list[Unsaid] = []

    def keep(said: Any) -> None:
        # Neither the object nor the frames that hold it: it is to go now.
        clear_frames(said.exc_traceback)
        parts = said.exc_type, said.exc_value, said.exc_traceback, said.err_msg
        later = type(said)((*parts, _Name(repr(said.object))))
        unsaid.append(lambda: sys.unraisablehook(later))

    before, sys.unraisablehook = sys.unraisablehook, keep
    try:
        with warnings.catch_warnings(record=True) as caught:
            for text in _SAID_OF_CONNECTIONS:
                warnings.filterwarnings("ignore", text)
            gc.collect()
    finally:
        sys.unraisablehook = before
    for warning in caught or ():
        where = warning.filename, warning.lineno, None, warning.line
        unsaid.append(partial(warnings.showwarning, warning.message, warning.category, *where))
    return unsaid


def threads_out(accounts: Iterable[Account]) -> bool:
    """Tell whether another living thread still holds leases of these accounts.

    Args:
        accounts: The accounts that are due.

    Returns:
        Whether waiting for a moment can change what is open.
    """
    here = threading.get_ident()
    alive: set[int | None] | None = None
    for account in accounts:
        for lease in account.open_leases():
            if lease.thread != here:
                alive = alive or {thread.ident for thread in threading.enumerate()}
                if lease.thread in alive:
                    return True
    return False
