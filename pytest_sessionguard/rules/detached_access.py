"""
## What it does
Finds every `DetachedInstanceError` that SQLAlchemy raised, also where the code under test swallowed
it and the test passed.

## Why is this bad?
Somebody read an attribute that was not loaded, of an object whose session was gone. A broad
`except`, a validation or a template makes an empty field of it, and nobody learns why.

## Example
```python
def name_of_author(engine):
    with Session(engine) as session:
        post = session.scalars(select(Post)).first()
    try:
        return post.author.name
    except Exception:
        return "unknown"
```

Use instead:
```python
def name_of_author(engine):
    with Session(engine) as session:
        query = select(Post).options(selectinload(Post.author))
        post = session.scalars(query).first()
    return post.author.name
```

## How it is seen
Where SQLAlchemy makes the exception. The finding names the attribute, where the object was loaded
and where its session was opened and closed; notes on the exception say the same where it fails the
test. Where a test expects it (`pytest.raises`, `assertRaises`, the traceback that a doctest shows),
it is none; the same is true where it expects the exception which it led to.

## When to ignore it
Where code asks an object of unknown state for an attribute and means to take no for an answer;
`inspect(obj).unloaded` asks without an exception.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Fault
from pytest_sessionguard.model import Fact, Severity
from pytest_sessionguard.rules.base import (
    Render,
    Rule,
    Verdict,
    find_reading,
    group_by_place,
    tell_opening,
    tell_reading,
)


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the exceptions that nobody expected.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that read an attribute.
    """
    return tell_faults(account, "DetachedInstanceError", render)


def tell_faults(account: Account, error: str, render: Render) -> list[Verdict]:
    """Return the verdicts on the exceptions of one class.

    Args:
        account: The owner's account, now due.
        error: The name of the class.
        render: Turns a trace into a call site.

    Returns:
        What SG303 and SG304 say alike.
    """
    faults = [f for f in account.faults if f.error == error and not f.told and not f.expected]
    return [_tell(group, render) for group in group_by_place(faults, find_reading)]


def _tell(group: list[Fault], render: Render) -> Verdict:
    first = group[0]
    facts: dict[str, Fact] = {
        "count": len(group),
        "attribute": first.attribute,
        "kind": first.kind,
    }
    places = tell_reading("raised at", first, render) + tell_opening(first.session, render)
    return Verdict(tuple(places), facts, tuple(group))


RULE = Rule("SG303", "detached-access", Severity.WARN, judge, __doc__ or "")
