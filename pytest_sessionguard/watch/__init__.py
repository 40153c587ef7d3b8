"""What sees: SQLAlchemy's events, written to the ledger. Nothing here judges."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from pytest_sessionguard.accounts import Burden, Fault, Lease, Seat, Suspect
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.timeline import RecordingLedger

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
        explain: Says of a fault, in a few lines, what its exception does not tell.
        expecting: Classes of the blocks that expect an exception.
        root: The folder of the project.
    """

    def __init__(
        self,
        ledger: Ledger,
        shield: Shield,
        describe: Callable[[Lease], str],
        explain: Callable[[Fault], list[str]],
        expecting: Iterable[type] = (),
        *,
        root: str = "",
    ) -> None:
        self._ledger = ledger
        self._shield = shield
        self._describe = describe
        self._explain = explain
        self._expecting = expecting
        self._sessions: Any = None
        self._handovers: Any = None
        self._loads: Any = None
        self._servers: Any = None
        self._installed: list[Watcher] = []
        self._root = root
        self._with_masks = False

    @property
    def are_installed(self) -> bool:
        """Tell whether anything is watched."""
        return bool(self._installed)

    def install(self, *, at_once: bool = False) -> None:
        """Watch what the user's project has imported by now; cheap to call again.

        Args:
            at_once: Whether to import SQLAlchemy where the project has not yet.
        """
        if self._installed:
            self._shield.run(self._sessions.install_async)
            self._shield.run(self._handovers.install_frameworks)
        elif at_once or "sqlalchemy.orm" in sys.modules or "sqlalchemy.pool" in sys.modules:
            self._shield.run(self._install_all)

    def install_masks(self) -> None:
        """Watch what a shared session hides, too."""
        self._with_masks = True
        if self._installed:
            self._shield.run(self._install_masks)

    def _install_masks(self) -> None:
        from pytest_sessionguard.watch.masks import MaskWatch

        if not any(isinstance(watcher, MaskWatch) for watcher in self._installed):
            masks = MaskWatch(self._ledger, self._shield, self._loads, self._root)
            self._installed.append(masks)
            masks.install()

    def _install_statements(self, ledger: RecordingLedger) -> None:
        from pytest_sessionguard.watch.statements import StatementWatch

        statements = StatementWatch(ledger, self._shield)
        self._installed.append(statements)
        self._shield.run(statements.install)

    def ask_servers(self, find: Callable[[], list[Suspect]]) -> None:
        """Ask servers about connections that ended in an unusual way.

        Args:
            find: Finds the connections.
        """
        if self._installed:
            self._shield.run(lambda: self._servers.ask(find()))

    def look_at_seats(self, find: Callable[[], Iterable[Seat]]) -> dict[Seat, Burden | None]:
        """Ask servers what was left on connections that are back in their pools.

        Args:
            find: Finds the connections.

        Returns:
            What each has left, or None where it is nothing; see `ServerWatch.look_at`.
        """
        answers: dict[Seat, Burden | None] = {}
        if self._installed:
            self._shield.run(lambda: answers.update(self._servers.look_at(find())))
        return answers

    @property
    def trouble(self) -> str:
        """Return why no server is asked any more."""
        return str(self._servers.trouble) if self._servers is not None else ""

    def remove(self) -> None:
        """Stop watching and leave SQLAlchemy's classes as they were."""
        while self._installed:
            self._shield.run(self._installed.pop().remove)

    def _install_all(self) -> None:
        from pytest_sessionguard.watch.changes import ChangeWatch
        from pytest_sessionguard.watch.departures import DepartureWatch
        from pytest_sessionguard.watch.engines import EngineWatch
        from pytest_sessionguard.watch.expectations import ExpectationWatch
        from pytest_sessionguard.watch.faults import FaultWatch
        from pytest_sessionguard.watch.handovers import HandoverWatch
        from pytest_sessionguard.watch.loads import LoadWatch
        from pytest_sessionguard.watch.pools import PoolWatch
        from pytest_sessionguard.watch.servers import ServerWatch
        from pytest_sessionguard.watch.sessions import SessionWatch
        from pytest_sessionguard.watch.sharing import SharingWatch

        pools = PoolWatch(self._ledger, self._shield, self._describe, self._root)
        changes = ChangeWatch(self._ledger, self._shield, self._root)
        self._sessions = SessionWatch(self._ledger, self._shield, changes)
        faults = FaultWatch(self._ledger, self._shield, self._explain)
        self._loads = LoadWatch(
            self._ledger, self._shield, faults, changes.note_statement, self._root
        )
        expectations = ExpectationWatch(self._ledger, self._shield, self._expecting)
        self._handovers = HandoverWatch(self._ledger, self._shield, self._sessions)
        engines = EngineWatch(self._ledger, self._shield)
        self._servers = ServerWatch(self._ledger, self._shield)
        watchers = (
            # Before that of pools, which takes a lease out of the ledger when it ends.
            self._servers,
            engines,
            pools,
            self._sessions,
            DepartureWatch(self._shield),
            SharingWatch(self._ledger, self._shield),
            faults,
            self._loads,
            changes,
            expectations,
            self._handovers,
        )
        for watcher in watchers:
            self._installed.append(watcher)
            self._shield.run(watcher.install)
        if isinstance(self._ledger, RecordingLedger):
            self._install_statements(self._ledger)
        if self._with_masks:
            self._install_masks()
