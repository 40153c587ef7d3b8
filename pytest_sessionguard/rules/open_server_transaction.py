"""
## What it does
Finds transactions and advisory locks that a Postgres server still has for a connection which its
pool has given up: all leases are returned, and the server does not know it.

## Why is this bad?
The statement of a task that was cancelled runs on, with its locks; a backend that stays "idle in
transaction" keeps vacuum from work and counts towards `max_connections`. No pool will ever close
it.

## Example
```python
connections = []


def lock_users(engine):
    connection = engine.connect()
    connection.execute(text("SELECT pg_advisory_lock(1)"))
    connection.detach()
    connections.append(connection)
```

Use instead:
```python
def lock_users(engine):
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
```

## How it is seen
The pid of each backend is read when its connection is opened (asyncpg, psycopg, psycopg2). Where
one was invalidated, which is what SQLAlchemy does where a query is cancelled, or detached
(`PoolEvents.invalidate`, `detach`), `pg_stat_activity` and `pg_locks` are asked for it at the end
of the test, for half a second at most, on a connection of the guard's own. A test without such a
connection asks nothing, so a lock that was left on a connection which went back to its pool is not
seen, and neither is a connection opened past SQLAlchemy. The first failure to ask ends all asking.

## When to ignore it
Where a connection was detached to keep it, as a listener does. A task that is cancelled a second
time while it closes its connection leaves a backend behind by the doing of SQLAlchemy and drivers.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, tell_opening


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the connections for which the server is still at work.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that took some.
    """
    verdicts = []
    suspects = [s for s in account.suspects if s.state and not (s.told or s.lease.told)]
    for group in group_by_place(suspects):
        first = group[0]
        facts: dict[str, Fact] = {
            "count": len(group),
            "holder": first.lease.session.kind if first.lease.session else "Connection",
            "how": first.how,
            "state": first.state,
            "locks": first.locks,
        }
        places = (
            Place("checked out", render(first.trace), f"{{}}  (engine {first.lease.pool.engine})"),
            *tell_opening(first.lease.session, render),
        )
        verdicts.append(Verdict(places, facts, tuple(group)))
    return verdicts


# The lease has ended in the pool's books, so nothing comes back under another rule's name.
RULE = Rule("SG105", "open-server-transaction", Severity.WARN, judge, __doc__ or "", covers=False)
