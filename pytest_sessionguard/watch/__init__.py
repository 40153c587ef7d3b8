"""What sees: SQLAlchemy's events, written to the ledger. Nothing here judges."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from threading import RLock
from typing import Any, Protocol

from pytest_sessionguard.accounts import Burden, Fault, Lease, Seat, Suspect
from pytest_sessionguard.files import find_own
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.timeline import RecordingLedger
from pytest_sessionguard.watch.arrivals import Arrivals
from pytest_sessionguard.watch.first_use import FirstUse

__all__ = ["Watchers"]

# How long to wait for another thread that installs or removes; it takes a fraction of a second.
_PATIENCE = 10.0


class Watcher(Protocol):
    """One kind of events."""

    def install(self) -> None: ...

    def remove(self) -> None: ...


class Watchers:
    """All watchers, installed as soon as the user's project imports SQLAlchemy and never before.

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
        self._doctests: Any = None
        self._loads: Any = None
        self._servers: Any = None
        self._installed: list[Watcher] = []
        self._root = root
        self._with_masks = False
        self._is_wanted = False
        self._is_busy = False
        self._turn = RLock()
        self._first_use = FirstUse(partial(self._join, wait=True), shield)
        self._arrivals = Arrivals(
            {
                "sqlalchemy": self._await_use,
                "sqlalchemy.orm": self._join_import,
                "sqlalchemy.ext.asyncio.session": self._join_import,
            },
            shield,
        )

    @property
    def are_installed(self) -> bool:
        """Tell whether anything is watched."""
        return bool(self._installed)

    def install(self, *, at_once: bool = False) -> None:
        """Watch what the user's project has imported by now, and what it will; cheap to call again.

        Args:
            at_once: Whether to import SQLAlchemy where the project has not yet.
        """
        self._is_wanted = True
        self._shield.run(self._arrivals.begin)
        # A test that hides a module puts None there.
        has_orm = any(sys.modules.get(name) for name in ("sqlalchemy.orm", "sqlalchemy.pool"))
        if at_once or (has_orm and sys.modules.get("sqlalchemy")):
            self._shield.run(partial(self._join, wait=True))

    def _join(self, *, wait: bool) -> None:
        """Watch, if that is wanted, what is there."""
        with self._take_turn(wait=wait) as is_ours:
            if not is_ours or not self._is_wanted or self._shield.fault is not None:
                return
            if self._installed:
                self._shield.run(self._sessions.install_async)
                self._shield.run(self._handovers.install_frameworks)
                self._shield.run(self._doctests.install)
            else:
                self._shield.run(self._install_all)

    def _join_import(self) -> None:
        """Watch what has just been imported.

        Who imports holds a lock that the thread whose turn it is may need. Where a module of ours
        imports it, that one is not ready for the watchers yet, and the first use makes way.
        """
        if not _is_ours_importing():
            self._join(wait=False)

    def _await_use(self) -> None:
        """Watch as soon as an engine is made, if the ORM is not imported before."""
        with self._take_turn(wait=False) as is_ours:
            if is_ours and self._is_wanted and not self._installed:
                self._first_use.install()

    @contextmanager
    def _take_turn(self, *, wait: bool) -> Iterator[bool]:
        """Keep other threads from installing, and from removing what is half installed.

        Args:
            wait: Whether to wait for them.

        Yields:
            Whether nobody else is at it, be it this thread further up its stack.
        """
        if not self._turn.acquire(timeout=_PATIENCE if wait else 0):
            yield False
            return
        before, self._is_busy = self._is_busy, True
        try:
            yield not before
        finally:
            self._is_busy = before
            self._turn.release()

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
        self._is_wanted = False
        self._shield.run(self._arrivals.end)
        with self._take_turn(wait=True):
            self._shield.run(self._first_use.remove)
            while self._installed:
                self._shield.run(self._installed.pop().remove)

    def _install_all(self) -> None:
        import_module("sqlalchemy")  # a thread may be in the middle of it
        find_own()  # now, before a test may have put another `open` in place
        from pytest_sessionguard.watch.changes import ChangeWatch
        from pytest_sessionguard.watch.departures import DepartureWatch
        from pytest_sessionguard.watch.doctests import DoctestWatch
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
        self._doctests = DoctestWatch(self._ledger, self._shield)
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
            self._doctests,
            self._handovers,
        )
        # Only now: whoever came while all that was imported waits there for his turn.
        self._first_use.remove()
        for watcher in watchers:
            self._installed.append(watcher)
            self._shield.run(watcher.install)
        if isinstance(self._ledger, RecordingLedger):
            self._install_statements(self._ledger)
        if self._with_masks:
            self._install_masks()


def _is_ours_importing() -> bool:
    """Tell whether the body of a module of ours is running further up the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if frame.f_code.co_name == "<module>" and name.startswith("pytest_sessionguard."):
            return True
        frame = frame.f_back
    return False
