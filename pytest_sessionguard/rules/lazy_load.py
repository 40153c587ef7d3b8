"""
## What it does
Finds reads of an attribute that cause a load: a relationship or a deferred column that the query
left out, or a column that a commit has expired.

## Why is this bad?
The statement stands in no query that anybody wrote. It costs a round trip, under an AsyncSession it
fails with `MissingGreenlet`, and after the session is closed with `DetachedInstanceError`.

## Example
```python
def name_of_author(engine):
    with Session(engine) as session:
        post = session.scalars(select(Post)).first()
        return post.author.name
```

Use instead:
```python
def name_of_author(engine):
    with Session(engine) as session:
        post = session.scalars(select(Post).options(selectinload(Post.author))).first()
        return post.author.name
```

## How it is seen
An attribute that is not loaded calls its loader when it is read; if a statement of the session is
executed before the loader returns, the read has caused it. What was asked for is none: eager loads
of a query, `refresh()`, `get()`, `awaitable_attrs`, dynamic and write-only collections, what a
flush or a cascade loads. Where only another package's code reads, as with the response model of a
route, the finding is about the query that loaded the object. `assert_no_lazy_load()` and the marker
`error="lazy-load"` raise at the line that reads.

## When to ignore it
The rule is off by default: sync code may load lazily and be none the worse for it.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Load
from pytest_sessionguard.model import Fact, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, tell_opening, tell_reading


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the attributes that loaded themselves.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that read one.
    """
    return [
        tell_load(load, render)
        for load in list(account.loads.values())
        if not load.told and not load.asked
    ]


def tell_load(load: Load, render: Render) -> Verdict:
    """Return the verdict on the loads of one attribute at one place.

    Args:
        load: What was loaded there.
        render: Turns a trace into a call site.

    Returns:
        What SG401 and SG402 say alike.
    """
    facts: dict[str, Fact] = {
        "count": load.count,
        "parents": len(load.parents),
        "attribute": load.attribute,
        "kind": load.kind,
        "asked": load.asked,
        "error": load.error,
    }
    places = tell_reading("read at", load, render) + tell_opening(load.session, render)
    return Verdict(tuple(places), facts, (load,))


RULE = Rule("SG401", "lazy-load", Severity.OFF, judge, __doc__ or "")
