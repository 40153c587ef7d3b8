"""The guard's own connection to a Postgres server, kept for the run, with the driver that is there.

It never waits long: connecting and asking have a limit, and the first failure ends all asking.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from pytest_sessionguard.accounts import Address

_NAME = "pytest-sessionguard"
_CONNECT = 2
_STATEMENT = "-c statement_timeout=1000"
_PATIENCE = 4.0

# The state of a backend that is in a transaction, and the advisory locks that it holds.
_QUERY = """
SELECT a.pid, coalesce(a.state, ''), a.xact_start IS NOT NULL, (
    SELECT count(*) FROM pg_locks AS l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.granted
) FROM pg_stat_activity AS a WHERE a.pid = ANY({})
"""


class Monitor:
    """What asks servers, each on one connection.

    Attributes:
        trouble: Why nothing is asked any more; empty while it can be.
    """

    def __init__(self) -> None:
        self.trouble = ""
        self._askers: dict[Address, Any] = {}

    def ask(self, address: Address, pids: list[int]) -> dict[int, tuple[str, int]]:
        """Ask which of some backends are in a transaction or hold an advisory lock.

        Args:
            address: The server.
            pids: Its processes.

        Returns:
            For each that does its state and the number of its locks; nothing after a failure.
        """
        if self.trouble:
            return {}
        try:
            rows = self._ask(address, pids)
        except Exception as error:
            # By its name only: a driver's text may hold what is nobody's business.
            self.trouble = type(error).__name__
            self.close()
            return {}
        return {pid: (state, locks) for pid, state, is_in, locks in rows if is_in or locks}

    def _ask(self, address: Address, pids: list[int]) -> list[Any]:
        asker = self._askers.get(address)
        if asker is not None:
            try:
                kept: list[Any] = asker.ask(pids)
                return kept
            except Exception:
                # Somebody may have cut it: a fixture that made its database anew.
                del self._askers[address]
                self._end(asker)
        asker = self._askers[address] = _find_asker()(address)
        rows: list[Any] = asker.ask(pids)
        return rows

    def close(self) -> None:
        """Close the connections."""
        askers, self._askers = list(self._askers.values()), {}
        for asker in askers:
            self._end(asker)

    @staticmethod
    def _end(asker: Any) -> None:
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

    def ask(self, pids: list[int]) -> list[Any]:
        """Run the query."""
        cursor = self._connection.cursor()
        cursor.execute(_QUERY.format("%s"), (pids,))
        rows: list[Any] = cursor.fetchall()
        cursor.close()
        return rows

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class AsyncpgAsker:
    """A connection of asyncpg, in a thread with a loop of its own.

    Args:
        address: The server.
    """

    def __init__(self, address: Address) -> None:
        import asyncpg

        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="sessionguard-monitor", daemon=True
        )
        self._thread.start()
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
        rows = self._run(self._connection.fetch(_QUERY.format("$1::int[]"), pids))
        return [tuple(row) for row in rows]

    def close(self) -> None:
        """Close the connection, and end the thread."""
        try:
            self._run(self._connection.close(timeout=1))
        finally:
            self._end()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        if self._loop.is_closed():
            work.close()
            raise ConnectionError("the loop of the monitor is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    def _end(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE)
        if not self._thread.is_alive():
            self._loop.close()


def _find_asker() -> Callable[[Address], Any]:
    """Find what can ask; a sync driver before an async one."""
    for name in ("psycopg", "psycopg2"):
        if find_spec(name) is not None:
            try:
                module = __import__(name)
            except ImportError:  # psycopg without a libpq
                continue
            return lambda address: SyncAsker(module, address)
    return AsyncpgAsker
