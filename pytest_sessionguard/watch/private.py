"""Every private name of SQLAlchemy that the watchers touch, and what happens without it.

| name | used for | if it is gone |
|---|---|---|
| `_ConnectionFairy._connection_record` | the record of a lease | the event `checkout` tells it |
| `Pool._dialect` | driver of a pool, and the engine that it belongs to | "an engine"; no SG103 |
| `Pool._max_overflow`, `Pool._timeout` | numbers in a message | the message has none |

Read in SQLAlchemy 2.0.58 and 2.1.9 (`sqlalchemy/pool/base.py`, `sqlalchemy/pool/impl.py`).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from sqlalchemy.pool.base import _ConnectionFairy

from pytest_sessionguard.accounts import PoolFacts
from pytest_sessionguard.ledger import Ledger

# Where the facts of a pool and the record of a session are kept: on the object itself, which is
# the fastest look-up there is, needs no hash of a user's class, and dies with the object.
KEY = "_sessionguard"

# Python 3.15 clears weak references without a callback only after finalizers have run
# (python/cpython#135552); SQLAlchemy gives its own one for that (``_NOOP_WEAKREF_CALLBACK``). A
# built-in does nothing with its argument, and costs least.
CALLBACK: tuple[Callable[[Any], Any], ...] = (bool,) if sys.version_info >= (3, 15) else ()

# asyncpg, asyncmy and aiomysql bind a connection to the loop that opened it. psycopg and
# aiosqlite ask for the running loop at each call, and work across loops.
_LOOP_BOUND_DRIVERS = frozenset({"asyncpg", "asyncmy", "aiomysql"})


def make_record_finder() -> tuple[Callable[[Any], Any], dict[str, Any]]:
    """Find out how to get from a connection to the pool's record of it.

    Returns:
        A function that takes the connection as the pool handed it out, and the pool events that
        the function needs to be listened to.
    """
    name = "_connection_record"
    if name in getattr(_ConnectionFairy, "__slots__", ()) or hasattr(_ConnectionFairy, name):
        return attrgetter(name), {}
    records: dict[int, Any] = {}

    def on_checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        records[id(proxy)] = record

    return lambda proxy: records.pop(id(proxy)), {"checkout": on_checkout}


def know_pool(ledger: Ledger, pool: Any) -> PoolFacts:
    """Return the facts of a pool.

    Args:
        ledger: Where a pool that is seen for the first time is counted.
        pool: The pool.

    Returns:
        The facts, the same object each time.
    """
    facts: PoolFacts | None = getattr(pool, KEY, None)
    if facts is None or facts.ledger is not ledger:
        facts = _read_pool(ledger, pool)
        setattr(pool, KEY, facts)
    return facts


def _read_pool(ledger: Ledger, pool: Any) -> PoolFacts:
    dialect = getattr(pool, "_dialect", None)
    driver = getattr(dialect, "driver", "")
    name = getattr(dialect, "name", "an engine")
    if dialect is not None:
        ledger.add_pool(dialect)
    # A SingletonThreadPool's `size` is a number, and no limit.
    size = pool.size() if callable(getattr(pool, "size", None)) else None
    timeout = getattr(pool, "_timeout", None)
    return PoolFacts(
        ledger,
        engine=f"{name}+{driver}" if driver else name,
        kind=type(pool).__name__,
        pool=weakref.ref(pool),
        dialect=weakref.ref(dialect) if dialect is not None else lambda: None,
        size=size if isinstance(size, int) else None,
        overflow=getattr(pool, "_max_overflow", None),
        timeout=timeout if isinstance(timeout, (int, float)) else None,
        loop_bound=driver in _LOOP_BOUND_DRIVERS,
    )
