"""The guard's own connection to a Postgres server, with the driver that is there.

It is one to the database that every server has and no suite drops, and is kept for the run. Where
that is closed to us, it is one to the suite's own database, which could not be dropped while it is
open, so it is closed after each answer. It never waits long: connecting and asking have a limit,
and the first failure ends all asking.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Protocol

from pytest_sessionguard.accounts import Address
from pytest_sessionguard.clock import Clock

_NAME = "pytest-sessionguard"
_CONNECT = 2
_STATEMENT = "-c statement_timeout=1000"
_PATIENCE = 4.0
# A server is near if one of its first answers came within this time, in seconds.
_NEAR = 0.005
_TRIES = 5

# The state of a backend, and the advisory locks that it holds. What stands behind pg_stat_activity
# and pg_locks is asked for half their price: those views look up the names of roles and databases.
_QUERY = """
SELECT a.pid, coalesce(a.state, ''), a.xact_start IS NOT NULL, coalesce(l.number, 0)
FROM unnest({}::int[]) AS p CROSS JOIN LATERAL pg_stat_get_activity(p) AS a LEFT JOIN (
    SELECT pid, count(*) AS number FROM pg_lock_status()
    WHERE locktype = 'advisory' AND granted GROUP BY pid
) AS l ON l.pid = a.pid
"""


class Asker(Protocol):
    """A connection to a server."""

    def ask(self, pids: list[int]) -> list[Any]:
        """Run the query."""

    def close(self) -> None:
        """Close the connection."""


class Monitor:
    """What asks servers, each on one connection.

    Attributes:
        trouble: Why nothing is asked any more; empty while it can be.
    """

    def __init__(self) -> None:
        self.trouble = ""
        # By the home of their address: one connection serves all databases of a server.
        self._askers: dict[Address, Asker] = {}
        self._times: dict[Address, list[float]] = {}
        self._homeless: set[Address] = set()
        self._gone: set[Address] = set()

    def is_near(self, address: Address) -> bool:
        """Tell whether to ask a server costs next to nothing, as far as is known.

        Args:
            address: The server.

        Returns:
            Whether a connection to it is kept, and it answers fast.
        """
        home = address.home
        times = self._times.get(home, ())
        is_fast = len(times) < _TRIES or min(times) < _NEAR
        return is_fast and not (self.trouble or home in self._homeless or home in self._gone)

    def ask(self, address: Address, pids: list[int]) -> dict[int, tuple[str, int]]:
        """Ask which of some backends are in a transaction or hold an advisory lock.

        Args:
            address: The server.
            pids: Its processes.

        Returns:
            For each that does its state and the number of its locks; nothing after a failure.
        """
        if self.trouble or address.home in self._gone:
            return {}
        try:
            rows = self._ask(address, pids)
        except Exception as error:
            if address.home in self._times:
                self._gone.add(address.home)  # as a server does that a fixture has started
                return {}
            # By its name only: a driver's text may hold what is nobody's business.
            self.trouble = type(error).__name__
            self.close()
            return {}
        return {pid: (state, locks) for pid, state, is_in, locks in rows if is_in or locks}

    def _ask(self, address: Address, pids: list[int]) -> list[Any]:
        home = address.home
        asker = self._askers.get(home)
        if asker is not None:
            try:
                return self._time(home, asker, pids)
            except Exception:
                # Somebody may have cut it: a fixture that started its server anew.
                del self._askers[home]
                self._end(asker)
        if home not in self._homeless:
            try:
                asker = self._askers[home] = _find_asker()(home)
                return self._time(home, asker, pids)
            except Exception:
                self._homeless.add(home)
        asker = _find_asker()(address)
        try:
            return asker.ask(pids)
        finally:
            self._end(asker)

    def _time(self, home: Address, asker: Asker, pids: list[int]) -> list[Any]:
        begin = Clock.perf_counter()
        rows = asker.ask(pids)
        times = self._times.setdefault(home, [])
        if len(times) < _TRIES:
            times.append(Clock.perf_counter() - begin)
        return rows

    def close(self) -> None:
        """Close the connections."""
        askers, self._askers = list(self._askers.values()), {}
        for asker in askers:
            self._end(asker)

    @staticmethod
    def _end(asker: Asker) -> None:
        # What was cut already need not be closed.
        with suppress(Exception):
            asker.close()


class SyncAsker:
    """A connection of psycopg or psycopg2.

    Args:
        module: The driver.
        address: The server.
    """

    def __init__(self, module: Any, address: Address) -> None:
        self._connection = module.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            dbname=address.database,
            connect_timeout=_CONNECT,
            application_name=_NAME,
            options=_STATEMENT,
        )
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._query = _QUERY.format("%s")

    def ask(self, pids: list[int]) -> list[Any]:
        """Run the query."""
        self._cursor.execute(self._query, (pids,))
        rows: list[Any] = self._cursor.fetchall()
        return rows

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class AsyncpgAsker:
    """A connection of asyncpg, on a loop of its own, which runs in a thread while it is asked.

    Args:
        address: The server.
    """

    def __init__(self, address: Address) -> None:
        import asyncpg

        self._loop = asyncio.new_event_loop()
        connect = asyncpg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=address.database,
            timeout=_CONNECT,
            command_timeout=1,
            server_settings={"application_name": _NAME},
        )
        try:
            self._connection = self._run(connect)
        except BaseException:
            self._end()
            raise

    def ask(self, pids: list[int]) -> list[Any]:
        """Run the query."""
        rows = self._run(self._connection.fetch(_QUERY.format("$1"), pids))
        return [tuple(row) for row in rows]

    def close(self) -> None:
        """Close the connection and its loop."""
        try:
            self._run(self._connection.close(timeout=1))
        finally:
            self._end()

    def _end(self) -> None:
        if not self._loop.is_running():  # as it is where a piece of work was given up
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do a piece of work; in a thread, since a loop may be running in this one."""
        outcome: Future[Any] = Future()

        def run() -> None:
            try:
                outcome.set_result(self._loop.run_until_complete(work))
            except BaseException as error:
                outcome.set_exception(error)

        if self._loop.is_closed() or self._loop.is_running():
            work.close()
            raise ConnectionError("the loop of the monitor is closed, or at work")
        thread = threading.Thread(target=run, name="sessionguard-monitor", daemon=True)
        thread.start()
        result = outcome.result(_PATIENCE)
        thread.join()
        return result


def _find_asker() -> Callable[[Address], Asker]:
    """Find what can ask; a sync driver before an async one."""
    for name in ("psycopg", "psycopg2"):
        if find_spec(name) is not None:
            try:
                module = __import__(name)
            except ImportError:  # psycopg without a libpq
                continue
            return lambda address: SyncAsker(module, address)
    return AsyncpgAsker
