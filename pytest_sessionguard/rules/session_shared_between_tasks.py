"""
## What it does
Finds sessions that two tasks, or two threads, were inside of at the same time.

## Why is this bad?
A session is one transaction and one set of objects, and not made for two: one commits or rolls
back what the other is in the middle of, or reads rows that the other has not finished to write.
SQLAlchemy and the drivers notice some of it, by luck; most of it waits for a busy day.

## Example
```python
async def count_twice(engine):
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
        await asyncio.gather(count(session), count(session))


async def count(session):
    return await session.scalar(text("SELECT count(*) FROM users"))
```

Use instead:
```python
async def count_twice(engine):
    await asyncio.gather(count(engine), count(engine))


async def count(engine):
    async with AsyncSession(engine) as session:
        return await session.scalar(text("SELECT count(*) FROM users"))
```

## How it is seen
Whoever asks a session for its connection (a statement, a flush, `connection()`), commits, rolls
back or closes leaves a mark, and looks whether the one who was there before is still inside:
whether the frames of the other thread, or of the greenlet in which the other task waits, stand in a
method of that very session. A session that goes from one task or thread to another, and is used by
one at a time, is no finding, however often it does; neither is what a task does in a callback of
its own, a task that was cancelled and is on its way out, or a result that stands open while the
same task runs another statement. Two that never met in this run are not seen.

What was handed to work that outlives the session is SG204's, and not told here again; a connection
that two lost between them stands in this finding, not as SG102.

## When to ignore it
Where a driver's lock and the order of the code make sure that nothing is lost, and each only reads.
"""

from __future__ import annotations

from typing import Any

from pytest_sessionguard.accounts import Account, Lease, Overlap, SessionRecord
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the sessions that were used by two at once.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each two places.
    """
    handed = {id(handover.record) for handover in account.handovers if handover.told}
    groups: dict[Any, list[Overlap]] = {}
    for overlap in list(account.overlaps):
        if not overlap.told and id(overlap.record) not in handed:
            # Whoever of the two is the first: they may meet again the other way round.
            pair = frozenset((overlap.first.places(), overlap.trace.places()))
            groups.setdefault(pair, []).append(overlap)
    return [_tell(account, group, render) for group in groups.values()]


def _tell(account: Account, group: list[Overlap], render: Render) -> Verdict:
    first, records = group[0], {id(each.record): each.record for each in group}
    pair = [
        Place("entered at", render(first.trace)),
        Place("still inside", render(first.first)),
    ]
    if first.are_threads:
        # Which of two threads is the first is luck, and the finding is to be the same every time.
        pair.sort(key=lambda place: [(f.path, f.function, f.line) for f in place.site.frames])
    places, record = tuple(pair), first.record
    if record.trace is not None:
        site = render(record.trace)
        places += (Place("session", site, f"{record.kind} opened at {{}}"),)
    lost = [lease for lease in account.lost_leases() if id(lease.session) in records]
    facts: dict[str, Fact] = {
        "count": len(records),
        "holder": record.kind,
        "threads": first.are_threads,
        "stacks": len(pair),
    }
    losers = [lease.session for lease in lost if lease.session is not None]
    things: list[Overlap | Lease | SessionRecord] = [*group, *lost, *losers]
    return Verdict(places, facts, tuple(things))


RULE = Rule("SG203", "session-shared-between-tasks", Severity.ERROR, judge, __doc__ or "")
