"""
## What it does
Finds sessions that were handed to a background task: one that outlives the session, or begins when
the response is out.

## Why is this bad?
Whoever opened the session closes it when the block or the request ends, and does not wait for the
task. The task goes on with a closed session, which begins again without a word and takes a
connection that nobody returns. Where it is quicker, two use one session at the same time.

## Example
```python
tasks = []


async def add_user(engine):
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
        tasks.append(asyncio.create_task(welcome(session)))
    await asyncio.gather(*tasks)


async def welcome(session):
    await asyncio.sleep(0.01)
    await session.execute(text("SELECT 1"))
```

Use instead:
```python
tasks = []


async def add_user(engine):
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
        tasks.append(asyncio.create_task(welcome(engine, 1)))
    await asyncio.gather(*tasks)


async def welcome(engine, user_id):
    await asyncio.sleep(0.01)
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 1"))
```

## How it is seen
A hand-over is recorded where the user's own code makes a task (`create_task`, `ensure_future`,
`gather`, task groups of asyncio and anyio), submits a call (`ThreadPoolExecutor`, `to_thread`,
`run_in_executor`) or starts a thread, with a session among the arguments: itself, in a container,
in a partial, or as a method's object. It is a fault if that work has not ended at the
moment the session is closed; a thread gets ten milliseconds more. Starlette's and FastAPI's
`BackgroundTasks` run when the response is out, so there it is a fault at once. A session that the
work only finds somewhere (an attribute of an object, a closure, a `scoped_session`) counts when the
work has begun it again.

Work that ends before the session is closed is none, and neither is work that closes the session
itself (it was handed over for good), or that was cancelled and never used it again. Nor is what a
framework or a runner hands over, which waits for it. What the task does with the closed session,
and the connection that this loses, stands in this finding, not as SG202, SG101 or SG102 again.

## When to ignore it
Where the session outlives every task by design, and a close in between is no end.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Handover, Lease, SessionRecord
from pytest_sessionguard.callsite import find_block_end
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place, state_pool


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the sessions that were handed to work which outlives them.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that handed some over.
    """
    handovers = [each for each in account.faulty_handovers() if not each.model]
    return [_tell(account, group, render) for group in group_by_place(handovers)]


def tell_handover(handover: Handover, render: Render) -> list[Place]:
    """Return the places of a hand-over: where it was made, and the life of the session.

    Args:
        handover: The hand-over.
        render: Turns a trace into a call site.

    Returns:
        The places.
    """
    record = handover.record
    places = [Place("handed over", render(handover.trace), f"{{}}, by {handover.way}")]
    if record.trace is not None:
        places.append(Place("session", render(record.trace), f"{record.kind} opened at {{}}"))
    if handover.closed is not None:
        site = render(handover.closed)
        # Without frames nobody reads it, and the source need not be parsed.
        end = find_block_end(handover.closed) if handover.in_block and site.frames else None
        where = f"the block of {{}}, which ends at line {end}" if end else "{}"
        places.append(Place("closed", site, where))
    return places


def _tell(account: Account, group: list[Handover], render: Render) -> Verdict:
    # The one of which most is known.
    first = max(group, key=lambda each: (each.used is not None, each.closed is not None))
    records = {id(each.record): each.record for each in group}
    facts: dict[str, Fact] = {
        "count": len(records),
        "holder": first.record.kind,
        "late": first.is_late,
    }
    places = tell_handover(first, render)
    things: list[Handover | SessionRecord | Lease] = list(group)
    if first.used is not None:
        place = Place("used again" if first.is_again else "used there", render(first.used))
        # In the order in which it happened.
        places.insert(len(places) if first.is_again or first.closed is None else -1, place)
    again = [each.record for each in group if each.is_again]
    if again:
        out = [lease for lease in account.open_leases() if lease.session in again]
        lost = [lease for lease in account.lost_leases() if lease.session in again]
        for lease in (out or lost)[:1]:
            fate = "never returned" if out else "left to the garbage collector"
            places.append(Place("connection", render(lease.trace), f"{{}}, {fate}"))
            facts.update(state_pool(lease.pool), connection="out" if out else "lost")
        things += [*again, *out, *lost]
    return Verdict(tuple(places), facts, tuple(things))


RULE = Rule("SG204", "session-in-background-task", Severity.ERROR, judge, __doc__ or "")
