"""Tasks and threads that hold a thing and go on: nobody can tell yet whether they will close it."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import weakref
from collections.abc import Collection, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_sessionguard.accounts.starters import MAIN, find_thread, starter_of
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.files import find_block
from pytest_sessionguard.running import find_running_task, frames_of_task

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account

_GENERATOR = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


class Block(NamedTuple):
    """A ``with`` block in a function of the user's."""

    code: CodeType
    first: int
    last: int

    def holds(self, frame: FrameType) -> bool:
        """Tell whether a frame stands in the block."""
        # Code that cleans up behind an `except` may have no line.
        return frame.f_code is self.code and self.first <= (frame.f_lineno or 0) <= self.last


def find_holder(runner: Any, opened: Trace | None) -> str:
    """Find whether what took a connection has not come to the end of its block yet.

    Where no block was opened, nothing will close it, however long the function goes on. A statement
    that runs in a task of its own (`asyncio.gather`, and before Python 3.12 `wait_for`) hides the
    one that opened the block.

    Args:
        runner: What took it, as a lease has it.
        opened: Where it was taken, or the session that holds it opened.

    Returns:
        ``"task"`` or ``"thread"`` where it is still inside, else nothing.
    """
    blocks = [] if opened is None else list(_find_blocks(opened))
    is_inside = any(block.holds(frame) for frame in _frames_of(runner) for block in blocks)
    if not is_inside:
        return ""
    return "task" if isinstance(runner, weakref.ref) else "thread"


def goes_on(
    runner: Any, opened: Trace | None, ending: Collection[Account], taken: Trace | None = None
) -> bool:
    """Tell whether what took a thing goes on beyond the end of some owners, as it may.

    A task may that is inside the block which is to close the thing, and whatever `is_of_others`.

    Args:
        runner: What took it, as a lease has it.
        opened: Where it was taken, or the session that holds it opened.
        ending: The accounts of the owners.
        taken: Where it was taken, if the session was opened elsewhere.

    Returns:
        Whether to judge the thing later.
    """
    if is_of_others(runner, opened, ending, taken):
        return True
    task = _find_task(runner)
    return task is not None and bool(find_holder(runner, opened))


def is_of_others(
    runner: Any, opened: Trace | None, ending: Collection[Account], taken: Trace | None = None
) -> bool:
    """Tell whether what took a thing is at work, and some owners have not started it.

    Such a task is a server's, or one that a wider fixture stops. Such a thread counts as long as it
    is in the function that opened or took the thing; one of a pool does another job by then.

    Args:
        runner: What took it, as a lease has it.
        opened: Where it was taken, or the session that holds it opened.
        ending: The accounts of the owners.
        taken: Where it was taken, if the session was opened elsewhere: a helper that opens one has
            returned by then.

    Returns:
        Whether it is none of theirs.
    """
    if isinstance(runner, weakref.ref):
        task = _find_task(runner)
        return task is not None and starter_of(task) not in ending
    ident = _ident_of(runner)
    thread = None if ident == threading.get_ident() else find_thread(ident)
    if thread is None or opened is None or starter_of(thread) in ending:
        return False
    takers = [_find_taker(trace) for trace in (opened, taken) if trace is not None]
    is_inside = any(frame.f_code is taker for frame in _frames_of(runner) for taker in takers)
    return is_inside or bool(find_holder(runner, opened))


def _find_taker(trace: Trace) -> CodeType | None:
    codes = trace.marks[::2]
    return next((code for code in codes if not code.co_flags & _GENERATOR), None)


def _find_task(runner: Any) -> asyncio.Task[Any] | None:
    """Find a task that goes on beside this one, and is none that a loop was run for."""
    task = runner() if isinstance(runner, weakref.ref) else None
    if not isinstance(task, asyncio.Task) or task.done() or task.get_loop().is_closed():
        return None
    return None if starter_of(task) is MAIN or _is_here(task) else task


def _find_blocks(trace: Trace) -> Iterator[Block]:
    """Yield the blocks that the lines of a trace open.

    That of a context manager's own generator is left out: it waits wherever its user does.
    """
    for code, (_, line) in zip(trace.marks[::2], trace.places(), strict=True):
        block = find_block(code.co_filename, line)
        if block is not None and not code.co_flags & _GENERATOR:
            yield Block(code, *block)


def _frames_of(runner: Any) -> Iterator[FrameType]:
    """Yield the frames that another task waits in, or that another thread runs."""
    if not isinstance(runner, weakref.ref):
        ident = _ident_of(runner)
        frame = None if ident == threading.get_ident() else sys._current_frames().get(ident)
        while frame is not None:
            yield frame
            frame = frame.f_back
        return
    task = runner()
    if not _is_here(task):
        yield from frames_of_task(task)


def _is_here(task: Any) -> bool:
    return task is not None and find_running_task() is task


def _ident_of(runner: Any) -> int:
    """Return the number of the thread by which a lease knows what took it."""
    return runner[1] if isinstance(runner, tuple) else runner or 0
