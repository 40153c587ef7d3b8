"""
## What it does
Finds every `MissingGreenlet` that SQLAlchemy raised, also where the code under test swallowed it
and the test passed.

## Why is this bad?
An object of an AsyncSession was read outside of an awaited call, and what was read was not loaded.
Whoever swallows the exception shows an empty field for it. The failed load has begun a transaction
and taken a connection, too.

## Example
```python
async def name_of_author(engine):
    async with AsyncSession(engine) as session:
        post = (await session.scalars(select(Post))).first()
        try:
            return post.author.name
        except Exception:
            return "unknown"


def run(engine):
    return asyncio.run(name_of_author(engine))
```

Use instead:
```python
async def name_of_author(engine):
    async with AsyncSession(engine) as session:
        query = select(Post).options(selectinload(Post.author))
        post = (await session.scalars(query)).first()
        return post.author.name


def run(engine):
    return asyncio.run(name_of_author(engine))
```

## How it is seen
Where SQLAlchemy makes the exception, as SG303 does. What the pool swallows itself while it closes a
connection is none.

## When to ignore it
Hardly ever: `awaitable_attrs` or a loader option says what is meant.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict
from pytest_sessionguard.rules.detached_access import tell_faults


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the exceptions that nobody expected.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that needed a greenlet and had none.
    """
    return tell_faults(account, "MissingGreenlet", render)


RULE = Rule("SG304", "missing-greenlet", Severity.WARN, judge, __doc__ or "")
