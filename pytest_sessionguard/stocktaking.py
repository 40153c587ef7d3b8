"""The survey of a process: how its pools were used, and what keeps it from ending."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pytest_sessionguard.accounts import EngineRecord, Use
from pytest_sessionguard.accounts.engines import (
    count_staying,
    find_thread,
    find_threads_of_drivers,
)
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.rules import Render
from pytest_sessionguard.survey import Holdout, PoolUse, Survey


def take_stock(ledger: Ledger, render: Render, trouble: str = "") -> Survey:
    """Survey a process whose tests are over.

    Args:
        ledger: What it has seen.
        render: Turns a trace into a call site.
        trouble: Why no server was asked any more.

    Returns:
        The survey.
    """
    pools = tuple(_tell_use(use, render) for use in ledger.uses.values())
    return Survey(pools, tuple(_find_holdouts(ledger, render)), trouble)


def _tell_use(use: Use, render: Render) -> PoolUse:
    return PoolUse(
        engine=use.engine,
        kind=use.kind,
        size=use.size,
        overflow=use.overflow,
        made=_place(use.made, render),
        at_once=use.at_once,
        at_once_by=str(use.at_once_by or ""),
        in_task=use.in_task,
        in_task_by=str(use.in_task_by or ""),
        in_task_at=_place(use.in_task_at, render),
    )


def _find_holdouts(ledger: Ledger, render: Render) -> list[Holdout]:
    threads = find_threads_of_drivers()
    if not threads:
        return []
    found: Counter[Holdout] = Counter()
    for engine in list(ledger.made):
        for record in engine.open_connections():
            thread = find_thread(record)
            if thread is not None:
                threads.discard(thread)
                found[_tell_holdout(ledger, engine, record, render)] += 1
    past = count_staying(threads)
    if past:
        found[Holdout()] = past
    return [Holdout(**{**vars(one), "count": count}) for one, count in found.items()]


def _tell_holdout(ledger: Ledger, engine: EngineRecord, record: Any, render: Render) -> Holdout:
    from pytest_sessionguard.watch.private import KEY  # imports SQLAlchemy, as the project has

    lease, birth = ledger.out.get(record), record.info.get(KEY)
    return Holdout(
        engine=engine.name,
        made=_place(engine.trace, render),
        made_by=str(engine.account.owner) if engine.trace is not None else "",
        taken=_place(lease.trace, render) if lease is not None else "",
        taken_by=str(lease.account.owner) if lease is not None else "",
        opened=_place(birth.trace, render) if birth is not None else "",
        opened_by=str(birth.owner) if birth is not None else "",
    )


def _place(trace: Trace | None, render: Render) -> str:
    return str(render(trace)) if trace is not None and trace.marks else ""
