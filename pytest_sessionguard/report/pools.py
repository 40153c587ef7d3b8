"""How the use of pools, and what keeps a run from ending, are told."""

from __future__ import annotations

from pytest_sessionguard.survey import Holdout, PoolUse

# For how many workers a size is told, where the pool is too small for some.
_WORKERS = (10, 20, 50, 100)


def tell_use(use: PoolUse) -> list[str]:
    """Write how a pool was used, and what size it needs.

    Args:
        use: Its peaks.

    Returns:
        Three lines.
    """
    pool = use.kind if use.size is None else f"pool {use.size}+{use.overflow}"
    made = f", made at {use.made}" if use.made else ""
    task = f"{use.in_task} in one task or thread"
    if use.in_task_at:
        task += f" ({use.in_task_at}, in {use.in_task_by})"
    return [
        f"engine {use.engine}, {pool}{made}",
        f"  at most {_number(use.at_once)} at once (in {use.at_once_by}), {task}",
        f"  {_advise(use)}",
    ]


def _advise(use: PoolUse) -> str:
    if use.in_task < 2:
        return "no task or thread needs two at once: any pool is free of hold and wait"
    if use.limit is None:
        return "without a limit nobody waits for another"
    safe = use.safe_workers or 0
    sizes = [f"{n} need {use.size_for(n)}" for n in _WORKERS if n > safe][:3]
    return "; ".join([f"up to {_workers(safe)} cannot deadlock", *sizes])


def tell_holdouts(holdouts: tuple[Holdout, ...]) -> list[str]:
    """Write what keeps the interpreter alive after the last line.

    Args:
        holdouts: The connections that do.

    Returns:
        A line for each, and what to do.
    """
    total = sum(holdout.count for holdout in holdouts)
    keep = "1 connection keeps a thread" if total == 1 else f"{total} connections keep threads"
    return [
        f"sessionguard: this process will not end by itself: {keep} for which Python waits",
        *(f"  - {_tell_holdout(holdout)}" for holdout in holdouts),
        "  Fix: close them on their loop: `await connection.close()`, `await engine.dispose()`",
    ]


def _tell_holdout(holdout: Holdout) -> str:
    count = _number(holdout.count)
    if not holdout.engine:
        return f"{count} of aiosqlite, opened past every engine"
    parts = [f"{count} of {holdout.engine}"]
    if holdout.taken:
        parts.append(f"checked out at {holdout.taken} by {holdout.taken_by}, never returned")
    elif holdout.opened:
        parts.append(f"opened at {holdout.opened} by {holdout.opened_by}, in its pool")
    if holdout.made:
        parts.append(f"engine made at {holdout.made} by {holdout.made_by}")
    return ", ".join(parts)


def _number(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
