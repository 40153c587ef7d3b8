"""
## What it does
Finds a function that takes a second connection from a pool while it holds one of the same pool, in
the same task or thread.

## Why is this bad?
That is hold and wait. With a pool of P connections in all, P such callers hold one each and want
one more: all of them wait until `pool_timeout`, and fail. A test is one caller and sees nothing. N
callers that need k connections at once are safe from it with N * (k - 1) + 1.

## Example
```python
def rename_user(engine, name):
    with engine.connect() as connection:
        user_id = connection.scalar(text("SELECT max(id) FROM users"))
        with engine.begin() as other:
            values = {"id": user_id, "name": name}
            other.execute(text("UPDATE users SET name = :name WHERE id = :id"), values)
```

Use instead:
```python
def rename_user(engine, name):
    with engine.begin() as connection:
        user_id = connection.scalar(text("SELECT max(id) FROM users"))
        values = {"id": user_id, "name": name}
        connection.execute(text("UPDATE users SET name = :name WHERE id = :id"), values)
```

## How it is seen
A checkout (a wrapper of `Pool.connect`) that finds connections of its pool out looks for one which
the same task, or the same thread's piece of work, has taken, in the time of the same test or
fixture. It counts where a function of the application that is still running took it, on another
line: a connection that a test, a fixture or a helper among the tests keeps while it calls the code
under test is none of the code's. Two checkouts on one line, and one that is handed to another task
or thread, are not seen. Pools that share their connection or have no limit (`StaticPool`,
`SingletonThreadPool`, `NullPool`, `max_overflow=-1`) make nobody wait. On the tight engines of the
plugin's fixtures a finding is an error, unless a setting says what the rule does.

## When to ignore it
Where fewer callers than the pool has connections can be there at once, such as in a script or a
worker that keeps a lock on a connection of its own.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, state_pool


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the connections that were asked for by somebody who held one.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each two places.
    """
    verdicts = []
    for nesting in list(account.nestings.values()):
        if nesting.told:
            continue
        held = nesting.held
        places = [
            Place("asked for", render(nesting.trace)),
            Place("while holding", render(held.trace)),
        ]
        if held.session is not None:
            site = render(held.session.trace)
            places.append(Place("held by", site, f"{held.session.kind} opened at {{}}"))
        facts = {
            "count": nesting.times,
            "depth": nesting.depth,
            "limit": nesting.pool.limit,
            **state_pool(nesting.pool),
        }
        severity = Severity.ERROR if nesting.pool.is_tight else None
        verdicts.append(Verdict(tuple(places), facts, (nesting,), severity))
    return verdicts


# It tells of no lease's end, so nothing comes back under another rule's name where it is off.
RULE = Rule("SG104", "nested-checkout", Severity.WARN, judge, __doc__ or "", covers=False)
