"""
## What it does
Finds attributes that load themselves at one place for two or more objects: one query has brought
the objects, and each of them makes one more.

## Why is this bad?
The number of statements grows with the number of rows. Three rows of a test hide what three hundred
rows of production will cost.

## Example
```python
def names_of_authors(engine):
    with Session(engine) as session:
        return [post.author.name for post in session.scalars(select(Post))]
```

Use instead:
```python
def names_of_authors(engine):
    with Session(engine) as session:
        query = select(Post).options(selectinload(Post.author))
        return [post.author.name for post in session.scalars(query)]
```

## How it is seen
As SG401 sees a load, and here also what was awaited by `awaitable_attrs`. The same relationship or
deferred column, read at the same place through one session for two or more objects, is one finding;
a session that is closed and begins again, as that of a registry, counts as another one. Where a
test or a fixture made the session, or a registry keeps it, no other statement and no flush may lie
between two of the loads: two requests that share it, and read the attribute of one object each,
have a session each in production.
Columns that a commit expired are left to SG401. The rule is off where another plugin that looks for
N+1 is active (pytest-queryguard, queryspy, pytest-querycount), unless a setting asks for it.

## When to ignore it
Where there are few objects by nature, and an eager load would bring more than is read.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict
from pytest_sessionguard.rules.lazy_load import tell_load


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the attributes that loaded themselves for several objects.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that read one.
    """
    return [
        tell_load(load, render)
        for load in list(account.loads.values())
        if not load.told and load.kind != "expired" and load.is_repeated
    ]


# Left to another plugin, or off: whoever asks for SG401 is told of these loads all the same.
RULE = Rule("SG402", "n-plus-one", Severity.WARN, judge, __doc__ or "", covers=False)
