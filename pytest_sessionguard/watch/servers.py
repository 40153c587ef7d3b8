"""What a Postgres server still does for a connection whose lease has ended.

The guard asks on a connection of its own, never through the application's pool. About one that was
invalidated (which is what SQLAlchemy does with one whose query was cancelled) or detached it asks
until the server has noticed. About those that went back to their pools and stay open there it asks
in passing, one question for all, and only a server that is near.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from pytest_sessionguard.accounts import Burden, Lease, Seat, Suspect
from pytest_sessionguard.clock import Clock
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.monitor import Monitor
from pytest_sessionguard.watch.private import find_seat

_SEAT = "_sessionguard_seat"
# How long a server may take to notice that a client has gone. Counted, since suites freeze clocks.
_PAUSES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.15, 0.2)
# How long a thread may take to be done with a connection that it has taken meanwhile.
_SHORT_PAUSES = _PAUSES[:4]


class ServerWatch:
    """The watcher of what servers do for connections that are not out.

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
            "checkin": self._make_checkin(),
            "close": self._make_close(),
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
            if pause:
                Clock.sleep(pause)
            if not self._look(suspects):
                return

    def look_at(self, seats: Iterable[Seat]) -> dict[Seat, Burden | None]:
        """Ask what was left on connections that are back in their pools.

        Args:
            seats: The servers' processes behind them.

        Returns:
            The state of the transaction and the advisory locks of each that has some, None for each
            that is free; nothing of one that is out by now, or whose server is not near.
        """
        lasts = {seat: seat.last for seat in seats if self._monitor.is_near(seat.address)}
        answers: dict[Seat, Burden | None] = {}
        left = self._find_idle(lasts)
        for pause in _SHORT_PAUSES if left else ():
            if pause:
                Clock.sleep(pause)
            states = self._ask_all(left)
            answers.update((seat, states.get(seat)) for seat in left)
            idle = self._find_idle(lasts)
            left = [seat for seat in idle if answers.get(seat) is not None]
            if not left:
                break
        return {seat: answers[seat] for seat in self._find_idle(lasts) if seat in answers}

    def _find_idle(self, lasts: Mapping[Seat, Lease | None]) -> list[Seat]:
        """Find the connections that nobody has taken out since."""
        if not lasts:
            return []
        out = {record.info.get(_SEAT) for record in list(self._ledger.out)}
        return [seat for seat, last in lasts.items() if seat.last is last and seat not in out]

    def _ask_all(self, seats: list[Seat]) -> dict[Seat, Burden]:
        """Ask about each, and return those that are not free."""
        found: dict[Seat, Burden] = {}
        for home in {seat.address.home for seat in seats}:
            here = {seat.pid: seat for seat in seats if seat.address.home == home}
            address = next(iter(here.values())).address
            states = self._monitor.ask(address, list(here))
            found.update((here[pid], state) for pid, state in states.items())
        return found

    def _look(self, suspects: list[Suspect]) -> bool:
        """Write down the state of each suspect; tell whether one is busy."""
        states = self._ask_all([suspect.seat for suspect in suspects])
        for suspect in suspects:
            suspect.state, suspect.locks = states.get(suspect.seat, ("", 0))
        return any(suspect.state for suspect in suspects)

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

    def _make_checkin(self) -> Any:
        out, unasked, failed = self._ledger.out, self._ledger.unasked, self._shield.report

        def on_checkin(dbapi_connection: Any, record: Any) -> None:
            try:
                seat = record.info.get(_SEAT)
                if seat is not None:
                    lease = out.get(record)
                    if lease is not None:
                        seat.take_back(lease, unasked)
            except Exception as error:
                failed(error)

        return on_checkin

    def _make_close(self) -> Any:
        failed = self._shield.report

        def on_close(dbapi_connection: Any, record: Any) -> None:
            try:
                seat = record.info.get(_SEAT)
                if seat is not None:
                    seat.is_closed = True
            except Exception as error:
                failed(error)

        return on_close

    def _suspect(self, record: Any, how: str) -> None:
        # It runs before the watcher of pools, which takes the lease out of the ledger.
        seat, lease = record.info.get(_SEAT), self._ledger.out.get(record)
        if seat is not None and lease is not None and lease.account.is_due:
            lease.account.suspects.append(Suspect(seat, lease, how))
