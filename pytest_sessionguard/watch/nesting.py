"""Checkouts by somebody who holds a connection of the same pool: hold and wait.

A checkout that finds nothing out costs one look. Where something is out, it is asked whether the
same task or thread took it, and whether a function that is still running did, and not a test.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pytest_sessionguard.accounts import Lease, Nesting, PoolFacts
from pytest_sessionguard.callsite import Trace, Tracer, _line_of
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.places import is_test_file, walk_stack

# Of pools whose callers get the one connection that there is, nobody waits for a second.
_SHARING = frozenset({"StaticPool", "SingletonThreadPool"})


class Token:
    """A piece of work that a thread does."""

    __slots__ = ("__weakref__",)


# A thread of a thread pool (`anyio.to_thread`, Starlette's) works for one request after the other,
# and each time in a context of its own: what it left out of the pool is not the next one's.
_work: ContextVar[Token] = ContextVar("sessionguard_work")
_main = threading.main_thread().ident


def find_taker() -> Any:
    """Find what takes a connection.

    Returns:
        What runs, and of a thread that is not the main one the token of its work as well. Equal
        for the same taker.
    """
    # As `find_runner` does, without another call: it runs at every checkout.
    if asyncio._get_running_loop() is not None:
        task = asyncio.current_task()
        if task is not None:
            return weakref.ref(task)
    thread = threading.get_ident()
    if thread == _main:
        return thread
    token = _work.get(None)
    if token is None:
        token = Token()
        _work.set(token)
    return token, thread


def make_meeting(ledger: Ledger, shield: Shield, root: str) -> Callable[[PoolFacts], None]:
    """Make what is called when a connection is asked for while others are out.

    Args:
        ledger: What is out, and whose account a nesting goes to.
        shield: What takes faults.
        root: The folder of the project.

    Returns:
        A function that takes the facts of the pool, and raises nothing.
    """
    capture, failed = Tracer().capture, shield.report

    def meet(pool: PoolFacts) -> None:
        try:
            out = _find_out(ledger, pool)
            if not out or pool.kind in _SHARING:
                return
            taker = find_taker()
            mine = [lease for lease in out if lease.runner == taker]
            held = _find_held(ledger, mine, root) if mine else []
            if not held:
                return
            trace, depth = capture(), len(held) + 1
            pool.use.count_task(depth, ledger.current.owner, trace)
            if pool.limit is not None and ledger.current.is_due:
                _enter(ledger, Nesting(trace, held[0], pool, depth))
        except Exception as error:
            failed(error)

    return meet


def count_pool(ledger: Ledger, pool: PoolFacts) -> None:
    """Count what is out of a pool, where that may be more than ever before.

    Args:
        ledger: What is out.
        pool: The facts of the pool.
    """
    pool.use.count(len(_find_out(ledger, pool)), ledger.current.owner)


def _find_out(ledger: Ledger, pool: PoolFacts) -> list[Lease]:
    return [
        lease
        for lease in list(ledger.out.values())
        if lease.pool is pool and not lease.told and lease.is_out
    ]


def _find_held(ledger: Ledger, leases: list[Lease], root: str) -> list[Lease]:
    """Find the leases that the running code holds in production too.

    A function of the application which is running, and which took the lease on another line than
    it stands at now, holds it. One that has returned has handed it to its caller: a test which
    keeps a connection of its own while it calls the code under test proves nothing.
    """
    leases = [lease for lease in leases if lease.taken_by is ledger.current]
    if not leases:
        return []
    running = [
        (frame.f_code, frame.f_lasti)
        for frame, is_users in walk_stack()
        if is_users and not is_test_file(frame.f_code.co_filename, root)
    ]
    return [lease for lease in leases if _is_held(lease.trace, running)]


def _is_held(trace: Trace, running: list[tuple[Any, int]]) -> bool:
    for code, lasti in zip(trace.marks[::2], trace.marks[1::2], strict=True):
        line = _line_of(code, lasti)
        for other, at in running:
            if other is code and _line_of(other, at) != line:
                return True
    return False


def _enter(ledger: Ledger, nesting: Nesting) -> None:
    key = (nesting.held.trace.places(), nesting.trace.places())
    known = ledger.current.nestings.setdefault(key, nesting)
    if known is not nesting:
        known.times += 1
        known.depth = max(known.depth, nesting.depth)
