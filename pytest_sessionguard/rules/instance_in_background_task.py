"""
## What it does
Finds ORM instances that were handed to a background task while they belonged to a session: the task
outlives that session, or begins when the response is out.

## Why is this bad?
The session closes and detaches the instance under the task's hands. What a commit has expired, or
what was never loaded, then raises `DetachedInstanceError` in the task, where no request sees it.
Until then, two work on the objects of one session.

## Example
```python
tasks = []


async def add_user(engine):
    async with AsyncSession(engine) as session:
        user = User(name="Ann")
        session.add(user)
        await session.commit()
        tasks.append(asyncio.create_task(welcome(user)))
    await asyncio.gather(*tasks)


async def welcome(user):
    await asyncio.sleep(0.01)
```

Use instead:
```python
tasks = []


async def add_user(engine):
    async with AsyncSession(engine, expire_on_commit=False) as session:
        user = User(name="Ann")
        session.add(user)
        await session.commit()
        tasks.append(asyncio.create_task(welcome(engine, user.id)))
    await asyncio.gather(*tasks)


async def welcome(engine, user_id):
    async with AsyncSession(engine) as session:
        user = await session.get(User, user_id)
```

## How it is seen
As SG204 is, for instances instead of sessions: a hand-over is recorded where the user's own code
starts a task, a thread or a call with an instance among the arguments that is persistent or pending
in a session. It is a fault if the work has not ended when that session is closed and the instance
is still its own; with Starlette's and FastAPI's `BackgroundTasks` at once. An instance that was
expunged before, or whose session was closed before, is none.

## When to ignore it
Where the task reads only what is loaded, of a session with `expire_on_commit=False`.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Handover
from pytest_sessionguard.model import Fact, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place
from pytest_sessionguard.rules.session_in_background_task import tell_handover


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the instances that were handed to work which outlives their session.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that handed some over.
    """
    handovers = [each for each in account.faulty_handovers() if each.model]
    return [_tell(group, render) for group in group_by_place(handovers)]


def _tell(group: list[Handover], render: Render) -> Verdict:
    first = max(group, key=lambda each: each.closed is not None)
    facts: dict[str, Fact] = {
        "count": len(group),
        "models": ", ".join(dict.fromkeys(each.model for each in group)),
        "holder": first.record.kind,
        "late": first.is_late,
    }
    return Verdict(tuple(tell_handover(first, render)), facts, tuple(group))


RULE = Rule("SG305", "instance-in-background-task", Severity.WARN, judge, __doc__ or "")
