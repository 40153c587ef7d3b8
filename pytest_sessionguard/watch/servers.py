"""What a Postgres server still does for a connection that its pool has given up.

Asking costs a round trip, and is done only where there is a reason: at the end of a test in which a
connection was invalidated (which is what SQLAlchemy does with one whose query was cancelled) or
detached. The guard asks on a connection of its own, never through the application's pool.
"""

from __future__ import annotations

import time
from asyncio import CancelledError
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from pytest_sessionguard.accounts import Suspect
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.monitor import Monitor
from pytest_sessionguard.watch.private import find_seat

_SEAT = "_sessionguard_seat"
# How long a server may take to notice that a client has gone. Counted, since suites freeze clocks.
_PAUSES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.2)


class ServerWatch:
    """The watcher of connections that ended in an unusual way.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
    """

    def __init__(self, ledger: Ledger, shield: Shield) -> None:
        self._ledger = ledger
        self._shield = shield
        self._monitor = Monitor()
        self._listeners = {
            "connect": self._make_connect(),
            "invalidate": self._make_invalidate(),
            "detach": self._make_detach(),
        }

    def install(self) -> None:
        """Begin to watch."""
        for name, listener in self._listeners.items():
            event.listen(Pool, name, listener)

    def remove(self) -> None:
        """Stop watching, and close the guard's own connection."""
        for name, listener in self._listeners.items():
            event.remove(Pool, name, listener)
        self._monitor.close()

    @property
    def trouble(self) -> str:
        """Return why no server is asked any more; empty while one can be."""
        return self._monitor.trouble

    def ask(self, suspects: list[Suspect]) -> None:
        """Ask the servers what they still do for some connections.

        Args:
            suspects: The connections.
        """
        for pause in _PAUSES if suspects else ():
            time.sleep(pause)
            if not self._look(suspects):
                return

    def _look(self, suspects: list[Suspect]) -> bool:
        """Write down the state of each suspect; tell whether one is busy."""
        busy = False
        for address in {suspect.seat.address for suspect in suspects}:
            here = {s.seat.pid: s for s in suspects if s.seat.address == address}
            states = self._monitor.ask(address, list(here))
            for pid, suspect in here.items():
                suspect.state, suspect.locks = states.get(pid, ("", 0))
                busy = busy or bool(suspect.state)
        return busy

    def _make_connect(self) -> Any:
        failed = self._shield.report

        def on_connect(dbapi_connection: Any, record: Any) -> None:
            try:
                seat = find_seat(record.driver_connection)
                if seat is not None:
                    record.info[_SEAT] = seat
            except Exception as error:
                failed(error)

        return on_connect

    def _make_invalidate(self) -> Any:
        suspect, failed = self._suspect, self._shield.report

        def on_invalidate(dbapi_connection: Any, record: Any, exception: Any) -> None:
            try:
                is_cancelled = isinstance(exception, CancelledError)
                suspect(record, "cancelled" if is_cancelled else "invalidated")
            except Exception as error:
                failed(error)

        return on_invalidate

    def _make_detach(self) -> Any:
        suspect, failed = self._suspect, self._shield.report

        def on_detach(dbapi_connection: Any, record: Any) -> None:
            try:
                suspect(record, "detached")
            except Exception as error:
                failed(error)

        return on_detach

    def _suspect(self, record: Any, how: str) -> None:
        # It runs before the watcher of pools, which takes the lease out of the ledger.
        seat, lease = record.info.get(_SEAT), self._ledger.out.get(record)
        if seat is not None and lease is not None and lease.account.is_due:
            lease.account.suspects.append(Suspect(seat, lease, how))
