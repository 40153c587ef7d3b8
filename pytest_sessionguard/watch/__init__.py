"""What sees: SQLAlchemy's events, written to the ledger. Nothing here judges."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Protocol

from pytest_sessionguard.accounts import Lease
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield

__all__ = ["Watchers"]


class Watcher(Protocol):
    """One kind of events."""

    def install(self) -> None: ...

    def remove(self) -> None: ...


class Watchers:
    """All watchers, installed once the user's project has imported SQLAlchemy and never before.

    Args:
        ledger: What they write.
        shield: What takes their faults.
        describe: Says of a lease, in one line, where it was taken and by whom.
    """

    def __init__(self, ledger: Ledger, shield: Shield, describe: Callable[[Lease], str]) -> None:
        self._ledger = ledger
        self._shield = shield
        self._describe = describe
        self._sessions: Any = None
        self._installed: list[Watcher] = []

    @property
    def are_installed(self) -> bool:
        """Tell whether anything is watched."""
        return bool(self._installed)

    def install(self) -> None:
        """Watch what the user's project has imported by now; cheap to call again."""
        if self._installed:
            self._shield.run(self._sessions.install_async)
        elif "sqlalchemy.orm" in sys.modules or "sqlalchemy.pool" in sys.modules:
            self._shield.run(self._install_all)

    def remove(self) -> None:
        """Stop watching and leave SQLAlchemy's classes as they were."""
        while self._installed:
            self._shield.run(self._installed.pop().remove)

    def _install_all(self) -> None:
        from pytest_sessionguard.watch.pools import PoolWatch
        from pytest_sessionguard.watch.sessions import SessionWatch

        pools = PoolWatch(self._ledger, self._shield, self._describe)
        self._sessions = SessionWatch(self._ledger, self._shield)
        for watcher in (pools, self._sessions):
            self._installed.append(watcher)
            self._shield.run(watcher.install)
