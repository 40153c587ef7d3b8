"""
## What it does
Finds transactions and advisory locks that a Postgres server still has for a connection whose lease
has ended: one that its pool has given up, or one that went back to it and waits there.

## Why is this bad?
A pool rolls back what it takes back, but an advisory lock of the session's kind outlives that: the
next caller of `pg_advisory_lock` waits for one that nobody knows to hold. The statement of a task
that was cancelled runs on, with its locks; a backend that stays "idle in transaction" keeps vacuum
from work, and where no pool has it any more, nobody will ever close it.

## Example
```python
def lock_users(engine):
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_lock(1)"))
```

Use instead:
```python
def lock_users(engine):
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(1)"))
```

## How it is seen
The pid of each backend is read when its connection is opened (asyncpg, psycopg, psycopg2), and
what `pg_stat_activity` and `pg_locks` show is asked for on a connection of the guard's own, to
the database `postgres`. Where a connection was invalidated, which is what SQLAlchemy does where a
query is cancelled, or detached (`PoolEvents.invalidate`, `detach`), they are asked at the end of
the test, for half a second at most. About those that went back to their pools and are open there
they are asked in one query at the end of each test that used some, and at the end of a wide
fixture's setup, but only where the server answers within 5 ms. A lock or transaction is told
where it was there at each of four looks; where two owners had the connection since it was last
seen free, nobody is blamed. A connection opened past SQLAlchemy is not seen. The first failure to
ask ends all asking.

## When to ignore it
Where a pool that holds one connection keeps a lock on purpose, or a connection was detached to keep
it, as a listener does. A task that is cancelled a second time while it closes its connection leaves
a backend behind by the doing of SQLAlchemy and drivers.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Suspect
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, tell_opening

# How many other places a finding has room for.
_EARLIER = 2


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
    # What another loop's connection was left with is that fault's doing.
    crossed = {id(crossing.trace) for crossing in account.crossings}
    returned = [s for s in suspects if s.how == "returned" and id(s.trace) not in crossed]
    others = [suspect for suspect in suspects if suspect.how != "returned"]
    for group in (*group_by_place(others), *group_by_place(returned)):
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
            *(_tell_earlier(first, render) or tell_opening(first.lease.session, render)),
        )
        verdicts.append(Verdict(places, facts, tuple(group)))
    return verdicts


def _tell_earlier(suspect: Suspect, render: Render) -> list[Place]:
    """Return the other places that had the connection, and one of which may have left it so."""
    sites = dict.fromkeys(render(lease.trace) for lease in suspect.earlier)
    sites.pop(render(suspect.trace), None)
    return [Place("or", site, "{}, before that") for site in list(sites)[:_EARLIER]]


# The lease has ended in the pool's books, so nothing comes back under another rule's name.
RULE = Rule("SG105", "open-server-transaction", Severity.WARN, judge, __doc__ or "", covers=False)
