"""
## What it does
Finds connections that are still checked out of their pool when their owner ends: when a test
and its function-scoped fixtures are over, or when a fixture of a wider scope is torn down.

## Why is this bad?
A connection that nobody returns is lost to the pool. After `pool_size + max_overflow` such calls
every other one waits for `pool_timeout` seconds and fails with `TimeoutError`; on the server the
connection stays, often "idle in transaction", where it holds locks and keeps vacuum from work.

## Example
```python
connections = []


def count_users(engine):
    connection = engine.connect()
    connections.append(connection)
    return connection.scalar(text("SELECT count(*) FROM users"))
```

Use instead:
```python
def count_users(engine):
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM users"))
```

## How it is seen
Every checkout of every pool is recorded (a wrapper of `Pool.connect`), and every return
(`PoolEvents.checkin`, `detach`). A connection that a session takes belongs to whoever opened the
session, any other to what ran when it was taken. A living session of a `scoped_session` registry is
meant to outlast a test: what it holds is told as SG201. Leases of threads that still run get half a
second to end. What a task is inside its `with` block for, and what a task or thread that the owner
has not started goes on with, is judged at the end of the run. Where a task or thread is still
inside the `with` block that is to close one, the finding says so: it lacks an end, not a block.
What a service function (`sessionguard_services`) took must have ended when it returns.

## When to ignore it
Where a helper process or a pool of your own keeps the connection on purpose.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, tell_leases


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the leases that are out, or that only a wider fixture's teardown has returned.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that took some.
    """
    leases = [
        lease
        for lease in account.due_leases()
        if not lease.is_escaped and (lease.session is None or not lease.session.is_scoped)
    ]
    groups = [*group_by_place(account.escaped_leases()), *group_by_place(leases)]
    return [tell_leases(group, render) for group in groups]


RULE = Rule("SG101", "leaked-connection", Severity.ERROR, judge, __doc__ or "")
