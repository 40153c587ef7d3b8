"""Every private name of SQLAlchemy that the watchers touch, and what happens without it.

| name | used for | if it is gone |
|---|---|---|
| `_ConnectionFairy._pool` | the pool of a lease | the lease is seen, its pool is unnamed |
| `Pool._dialect` | driver of a pool, and the engine that it belongs to | "an engine"; no SG103 |
| `Pool._max_overflow`, `Pool._timeout` | numbers in a message | the message has none |

Read in SQLAlchemy 2.0.58 and 2.1.9 (`sqlalchemy/pool/base.py`, `sqlalchemy/pool/impl.py`).
"""

from __future__ import annotations

import weakref
from typing import Any

from pytest_sessionguard.ledger import Ledger, PoolFacts

# Where the facts of a pool and the record of a session are kept: on the object itself, which is
# the fastest look-up there is, needs no hash of a user's class, and dies with the object.
KEY = "_sessionguard"

# asyncpg, asyncmy and aiomysql bind a connection to the loop that opened it. psycopg and
# aiosqlite ask for the running loop at each call, and work across loops.
_LOOP_BOUND_DRIVERS = frozenset({"asyncpg", "asyncmy", "aiomysql"})


def know_pool(ledger: Ledger, proxy: Any) -> PoolFacts:
    """Return the facts of the pool that a connection was checked out of.

    Args:
        ledger: Where a pool that is seen for the first time is counted.
        proxy: The connection as the pool hands it out.

    Returns:
        The facts, the same object for each connection of the pool.
    """
    pool = getattr(proxy, "_pool", None)
    facts: PoolFacts | None = getattr(pool, KEY, None)
    if facts is None or facts.ledger is not ledger:
        facts = _read_pool(ledger, pool)
        if pool is not None:
            setattr(pool, KEY, facts)
    return facts


def _read_pool(ledger: Ledger, pool: Any) -> PoolFacts:
    if pool is None:
        return PoolFacts(ledger, engine="an engine", kind="Pool")
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
