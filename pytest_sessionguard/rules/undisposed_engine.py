"""
## What it does
Finds engines that a test or a fixture made, and that keep connections open after its end.

## Why is this bad?
The connections stay until the collector or the end of the process takes them. A suite that makes an
engine for each test runs into the server's `max_connections`; an asyncpg connection whose loop is
gone can no longer be closed at all; a driver that keeps a thread for each connection may keep the
whole process alive.

## Example
```python
engines = []


def test_users(_):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    engines.append(engine)
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
```

Use instead:
```python
def test_users(_):
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        connection.scalar(text("SELECT 1"))
    engine.dispose()
```

## How it is seen
The making of each engine is recorded (a wrapper of `Dialect.engine_created`, which `create_engine`
calls), and each connection that its pool opens (`PoolEvents.connect`). When the owner ends, those
count which are open still and whose engine lives. An engine that an import made is nobody's.
Whatever keeps the interpreter alive after pytest's last line (a thread of aiosqlite) is named at
the end of the run, also where this rule is off.

## When to ignore it
Where a cache of the application makes an engine on first use, and the test only came first.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.model import Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, group_by_place


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the engines that keep connections.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that made some.
    """
    verdicts = []
    engines = [e for e in account.engines if not e.told and e.open_connections()]
    for group in group_by_place(engines):
        first = group[0]
        facts: dict[str, Fact] = {
            "count": len(group),
            "name": first.name,
            "connections": sum(len(engine.open_connections()) for engine in group),
            "holder": "AsyncEngine" if first.is_async else "Engine",
        }
        places = (Place("made", render(first.trace), f"{{}}  (engine {first.name})"),)
        verdicts.append(Verdict(places, facts, tuple(group)))
    return verdicts


RULE = Rule("SG106", "undisposed-engine", Severity.OFF, judge, __doc__ or "")
