"""
## What it does
Finds relationships that the code under test reads without having loaded them, and that are there
only because the test had loaded or made them through the session that both share.

## Why is this bad?
In production the code has a session of its own, and the same read causes a load, or fails with
`MissingGreenlet` or `DetachedInstanceError`. The test cannot see it.

## Example
```python
def test_name_of_author(engine):
    with Session(engine) as session:
        post = Post(author=Author(name="Ann"))
        session.add(post)
        session.flush()
        assert names_of_authors(session) == ["Ann"]
```

Use instead:
```python
def test_name_of_author(engine):
    with Session(engine) as session:
        post = Post(author=Author(name="Ann"))
        session.add(post)
        session.flush()
        session.expunge_all()
        assert names_of_authors(session) == ["Ann"]
```

## How it is seen
A session that a test or a fixture opened passes to the code under test when a file that is not a
test's executes a statement through it. What is loaded then is noted. A relationship of that note
which the code reads, or finds among the session's objects without a statement, is masked, unless a
query of the code asked for it (`selectinload`, `joinedload`, ...), the code set it itself, or the
mapping loads it eagerly. A file is a test's if its name is that of a test or `conftest.py`, or if
it lies in a folder `tests`. After `expunge_all()` the read loads, which SG401 tells.

## When to ignore it
The rule is off by default: many suites share a session on purpose, and their code loads in time.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict
from pytest_sessionguard.rules.lazy_load import tell_load


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the relationships that the test's session hid.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that read one.
    """
    return [tell_load(load, render) for load in list(account.masked.values()) if not load.told]


RULE = Rule("SG403", "masked-lazy-load", Severity.OFF, judge, __doc__ or "", seen_off=False)
