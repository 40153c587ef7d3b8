"""
## What it does
Finds sessions that their own `with` block had closed and that silently began again.

## Why is this bad?
A closed session is not finished: the next statement begins a new transaction and takes a new
connection, without a word. Below its `with` block nobody is left to close it, so the connection
is lost. It takes one line that slipped out of the block, and is the commonest real leak.

## Example
```python
def count_users(engine):
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
    return session.scalar(text("SELECT count(*) FROM users"))
```

Use instead:
```python
def count_users(engine):
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        return session.scalar(text("SELECT count(*) FROM users"))
```

## How it is seen
The end of a `with` or `async with` block of a session is recorded where the function that made
the session runs it, and every transaction that begins (`SessionEvents.after_transaction_create`).
`close()` and `scoped_session` are none: SQLAlchemy documents that a session may be used again. Nor
is a second `with` block, an explicit `begin()`, nor a session that somebody else made and lent, or
keeps for all who ask for it: in `functools.lru_cache` or `cached_property`, an attribute, a global,
a `ContextVar`, a `threading.local` or an object of another package's, such as `flask.g`.
A connection that such a session loses is told in the same finding, not as SG101 or SG102 again.

## When to ignore it
Where a session is meant to be used again, call `close()` instead of ending its block.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, SessionRecord
from pytest_sessionguard.callsite import find_block_end
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, state_pool


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the sessions that began again below their block.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that opened some.
    """
    records = [record for record in account.reopened if not record.told]
    return [_tell(account, group, render) for group in group_by_place(records)]


def _tell(account: Account, group: list[SessionRecord], render: Render) -> Verdict:
    first = group[0]
    out = [lease for lease in account.open_leases() if lease.session in group]
    lost = [lease for lease in account.lost_leases() if lease.session in group]
    end = find_block_end(first.ended) if first.ended is not None else None
    where = f" ended at line {end}" if end else ""
    places = [
        Place("began again", render(first.reopened)),
        Place("block ended", render(first.ended), f"the block of {{}}{where}"),
    ]
    facts: dict[str, Fact] = {"count": len(group), "holder": first.kind}
    for lease in (out or lost)[:1]:
        fate = "never returned" if out else "left to the garbage collector"
        places.append(Place("connection", render(lease.trace), f"{{}}, {fate}"))
        facts.update(state_pool(lease.pool), connection="out" if out else "lost")
    return Verdict(tuple(places), facts, (*group, *out, *lost))


RULE = Rule("SG202", "session-used-after-close", Severity.ERROR, judge, __doc__ or "")
