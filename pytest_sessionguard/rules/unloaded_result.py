"""
## What it does
Finds service functions that return detached ORM instances whose columns are expired, or were never
loaded.

## Why is this bad?
A detached instance loads nothing: whoever reads such a column gets `DetachedInstanceError`, in
another function and often in another module, and only on the path that reads it. `commit()` expires
every instance of its session, and closing the session then makes that final.

## Example
```python
def add_user(engine, name):
    with Session(engine) as session:
        user = User(name=name)
        session.add(user)
        session.commit()
        return user
```

Use instead:
```python
def add_user(engine, name):
    with Session(engine) as session:
        user = User(name=name)
        session.add(user)
        session.commit()
        session.refresh(user)
        return user
```

## How it is seen
As SG301: the result of the outermost service function is walked when it returns, whether or not
anybody reads it later. Of each detached instance whose session the service itself had opened,
SQLAlchemy knows which columns are not loaded. Columns that the mapping defers (`deferred=True`) are
none, nor are relationships: `assert_detached(result, loaded="city")` asks for those.

## When to ignore it
Where callers are known to read only what is loaded, such as what `load_only()` names.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Severity
from pytest_sessionguard.rules.attached_result import tell_breaches
from pytest_sessionguard.rules.base import Render, Rule, Verdict


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the results that cannot be read any more.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that returned some.
    """
    return tell_breaches([b for b in account.breaches if not b.is_attached], render)


RULE = Rule("SG302", "unloaded-result", Severity.ERROR, judge, __doc__ or "")
