"""
## What it does
Finds pooled connections that were opened under one event loop and are checked out under another.

## Why is this bad?
asyncpg ties a connection to the loop that opened it. Under another loop its first statement fails
with "attached to a different loop" or "another operation is in progress", or waits for ever, and
only in the test that comes second.

## Example
```python
def ask_twice(engine):
    for _ in range(2):
        try:
            asyncio.run(count_users(engine))
        except (RuntimeError, InterfaceError):
            pass
```

Use instead:
```python
def ask_twice(engine):
    async def ask():
        await count_users(engine)
        await count_users(engine)
        await engine.dispose()

    asyncio.run(ask())
```

## How it is seen
At `PoolEvents.connect` the guard notes the running loop, at each checkout (or, where
`pool_pre_ping` meets the foreign connection first, at `invalidate`) it compares. Drivers that
work under any loop, such as psycopg and aiosqlite, are left alone, and so is NullPool.

## When to ignore it
Never: dispose of the engine before its loop ends, or use one loop for all that share an engine.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, state_pool


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the connections that crossed from one loop to another.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that checked some out.
    """
    crossings = [crossing for crossing in account.crossings if not crossing.told]
    verdicts = []
    for group in group_by_place(crossings):
        first = group[0]
        places = (
            Place("checked out", render(first.trace)),
            Place("opened", render(first.birth.trace), f"{{}}, in the loop of {first.birth.owner}"),
        )
        facts = {"count": len(group), **state_pool(first.pool)}
        verdicts.append(Verdict(places, facts, tuple(group)))
    return verdicts


RULE = Rule("SG103", "connection-across-loops", Severity.ERROR, judge, __doc__ or "")
