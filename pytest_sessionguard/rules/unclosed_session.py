"""
## What it does
Finds sessions that took a connection and were not closed when their owner ended, or were collected
unclosed.

## Why is this bad?
An open session keeps every object it loaded, and takes a connection again at the next statement.
Whether that one comes back depends on who drops the session, and when.

## Example
```python
def add_user(engine, name):
    session = Session(engine)
    session.add(User(name=name))
    session.commit()
```

Use instead:
```python
def add_user(engine, name):
    with Session(engine) as session:
        session.add(User(name=name))
        session.commit()
```

## How it is seen
The making and the closing of every `Session` and `AsyncSession` is recorded, and whether it took a
connection (`SessionEvents.after_begin`). A session that holds one is told as SG101 or SG102
instead. A session that was closed, used once more and has ended that transaction is none, and
neither is one bound to somebody else's connection. A session of a `scoped_session` registry lives
on by design; it is told only where it still holds a connection. What a task is inside its `with`
block for, and what a task or thread that the owner has not started goes on with, is judged at the
end of the run. A session that a service function (`sessionguard_services`) opened must be closed
when the function returns.

## When to ignore it
In tests that keep a session for their own asserts and let it go with the test.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Lease, SessionRecord
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, tell_boundary


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the sessions that are in use.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that opened some.
    """
    leases: dict[SessionRecord | None, Lease] = {
        lease.session: lease for lease in account.open_leases()
    }
    records = [
        record
        for record in account.open_sessions()
        if not record.is_escaped and (record in leases or not (record.is_scoped or record.is_idle))
    ]
    verdicts = []
    for group in [*group_by_place(account.escaped_sessions()), *group_by_place(records)]:
        first = group[0]
        held = [leases[record] for record in group if record in leases]
        places = [Place("opened", render(first.trace), f"{first.kind} at {{}}")]
        if held:
            places.append(Place("connection", render(held[0].trace), "{}, still checked out"))
        facts: dict[str, Fact] = {
            "count": len(group),
            "holder": first.kind,
            "collected": all(record.session() is None for record in group),
        }
        ends, boundary = tell_boundary(first, render)
        verdicts.append(Verdict((*places, *ends), {**facts, **boundary}, (*group, *held)))
    return verdicts


RULE = Rule("SG201", "unclosed-session", Severity.WARN, judge, __doc__ or "")
