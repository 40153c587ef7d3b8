"""
## What it does
Finds sessions that the application opened, changed and closed in peace, without a commit.

## Why is this bad?
`close()` rolls back without a word. A test that asks the same session, or only looks at what the
function returned, sees the change; the database never does.

## Example
```python
def add_user(engine, name):
    with Session(engine) as session:
        session.add(User(name=name))
        session.flush()
```

Use instead:
```python
def add_user(engine, name):
    with Session(engine) as session, session.begin():
        session.add(User(name=name))
```

## How it is seen
What a session has written since its transaction began is known by `SessionEvents.after_flush`, by
the inserts, updates and deletes that pass `execute`, `scalar` and `scalars` (also as `text`), and
by the bulk methods; a commit or a rollback (`after_commit`, `after_soft_rollback`) takes it off.
What is new, changed or deleted and not written yet, the session tells when it is closed, and
`transient_to_pending` where the first new object was added. It is none where an exception is on its
way, after a rollback, in a session that is bound to a connection or joins its transaction, and
where a test or fixture opened, changed or closed the session. A function that has a `commit` which
it did not reach, by an early return or by an exception that it caught, is taken at its word, also
where a dependency closes the session. What a server commits by itself (AUTOCOMMIT) is not dropped.
Statements on `session.connection()` are not seen.

## When to ignore it
Where a function rolls back on purpose by closing, as a dry run does; `rollback()` says so better.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the sessions that were closed with changes.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that closed some.
    """
    verdicts = []
    for group in group_by_place(dropped for dropped in account.dropped if not dropped.told):
        first = group[0]
        kind = first.session.kind
        places = [
            Place("closed", render(first.trace)),
            Place("opened", render(first.session.trace), f"{kind} at {{}}"),
        ]
        if first.changed is not None:
            label = "written" if first.is_written else "added"
            places.append(Place(label, render(first.changed)))
        facts: dict[str, Fact] = {"count": len(group), "holder": kind, "changes": first.changes}
        verdicts.append(Verdict(tuple(places), facts, tuple(group)))
    return verdicts


# It tells of no lease and no session that stays open, so nothing comes back where it is off.
RULE = Rule("SG205", "uncommitted-changes", Severity.WARN, judge, __doc__ or "", covers=False)
