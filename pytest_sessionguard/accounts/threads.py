"""Leases that other threads hold: whoever is about to close them gets a moment."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from pytest_sessionguard.accounts.account import Account
from pytest_sessionguard.clock import Clock

# How long leases of other threads that still run may take to end: a server thread answers its
# client before it has closed its session.
_GRACE = 0.5


def wait_for_threads(accounts: list[Account]) -> None:
    """Wait for what other threads are about to close, if they do so soon.

    Args:
        accounts: The accounts that are due.
    """
    pause, deadline = 0.001, Clock.monotonic() + _GRACE
    while threads_out(accounts) and Clock.monotonic() < deadline:
        Clock.sleep(pause)
        pause = min(pause * 2, 0.1)


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
