"""
## What it does
Finds service functions that return ORM instances which still belong to a session that the service
itself has opened.

## Why is this bad?
The session is open, and the caller does not know of it. The next attribute that is not loaded takes
a connection through it, or fails with `MissingGreenlet`; a commit expires what the caller holds;
and once the session is gone, the same line raises `DetachedInstanceError`.

## Example
```python
sessions = []


def add_user(engine, name):
    session = Session(engine)
    sessions.append(session)
    user = User(name=name)
    session.add(user)
    session.commit()
    return user
```

Use instead:
```python
def add_user(engine, name):
    with Session(engine, expire_on_commit=False) as session:
        user = User(name=name)
        session.add(user)
        session.commit()
    return user
```

## How it is seen
`sessionguard_services` names the modules of services, `sessionguard.call()` one function. When the
outermost of them returns, its result is walked: containers, data classes, models, and what is
loaded of their relationships. Nothing is loaded and no code of the user's runs. Instances of a
session that was opened elsewhere (a parameter, `self.session`, a `scoped_session`) are left alone,
and so is a session that is itself the result. Where the session holds a connection too, that is
told instead, as SG101 or SG102.

## When to ignore it
Where the caller is meant to go on with the session: pass the session in, or return it too.
"""

from __future__ import annotations

from pytest_sessionguard.accounts import Account, Breach
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import CallSite, Fact, Place, Severity
from pytest_sessionguard.rules.base import Render, Rule, Verdict, tell_opening


def judge(account: Account, render: Render) -> list[Verdict]:
    """Find the results that belong to a session still.

    Args:
        account: The owner's account, now due.
        render: Turns a trace into a call site.

    Returns:
        A verdict for each place that returned some, unless the session was told already.
    """
    breaches = [breach for breach in account.breaches if breach.is_attached]
    untold = [b for b in breaches if not all(record.told for record in b.records)]
    return tell_breaches(untold, render)


def tell_breaches(breaches: list[Breach], render: Render) -> list[Verdict]:
    """Return the verdicts on results.

    Args:
        breaches: What was wrong with some results.
        render: Turns a trace into a call site.

    Returns:
        What SG301 and SG302 say alike, for each place that returned some.
    """
    groups: dict[object, list[Breach]] = {}
    for breach in breaches:
        if not breach.told:
            groups.setdefault((breach.scope.function, _find_end(breach.trace)), []).append(breach)
    return [_tell(group, render) for group in groups.values()]


def _find_end(trace: Trace | None) -> object:
    """Return the line that returned, whoever called."""
    return None if trace is None else trace.marks[:2]


def _tell(group: list[Breach], render: Render) -> Verdict:
    first = group[0]
    facts: dict[str, Fact] = {
        "count": len(group),
        "function": first.scope.function,
        "instances": first.count,
        "models": ", ".join(first.models),
        "kind": first.kind,
        "consequence": first.consequence,
        "mend": first.mend,
    }
    places = [Place("returned at", render(first.trace))]
    places += [Place("found", CallSite(), line) for line in first.lines]
    places += tell_opening(first.records[0] if first.records else None, render)
    sessions = [record for breach in group for record in breach.records if breach.is_attached]
    return Verdict(tuple(places), facts, (*group, *sessions))


RULE = Rule("SG301", "attached-result", Severity.ERROR, judge, __doc__ or "")
