"""
## What it does
Finds connections that came back to their pool, or were cut off, only because the garbage
collector found them: nobody had closed the connection or the session that held it.

## Why is this bad?
When the collector comes is luck. A traceback, a reference cycle or a busy server keeps the
connection out for long, and the pool runs dry under load. Of an async connection the collector
cannot even return what it finds: it terminates it, and each such call costs a new connection.

## Example
```python
def count_users(engine):
    connection = engine.connect()
    return connection.scalar(text("SELECT count(*) FROM users"))
```

Use instead:
```python
def count_users(engine):
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM users"))
```

## How it is seen
The guard keeps a weak reference to each connection that a pool hands out. Whoever closes it holds
it; when the pool reports its return (`PoolEvents.checkin`, for async drivers `detach`) and the
reference is dead, the collector was the one.

## When to ignore it
Never for code that serves requests. In a script that ends at once it does no harm.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, tell_leases


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the leases that the collector ended.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that took some.
    """
    lost = account.lost_leases()
    escaped = [lease for lease in lost if lease.is_escaped]
    due = [lease for lease in lost if not lease.is_escaped]
    groups = [*group_by_place(escaped), *group_by_place(due)]
    return [tell_leases(group, render) for group in groups]


RULE = Rule("SG102", "connection-left-to-gc", Severity.ERROR, judge, __doc__ or "")
