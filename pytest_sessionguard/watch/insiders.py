"""Who is inside of a session at the moment, and where he stands.

A mark is left by whoever comes in, and none is taken away: whether he is still there tell the
frames of his thread, or those of his greenlet while it waits. So nothing that ends a call in an
unusual way (an exception, a cancelled task, a greenlet that the collector kills) leaves a mark
behind that accuses anybody.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any, NamedTuple

from sqlalchemy.orm import Session, SessionTransaction

from pytest_sessionguard.callsite import FRAMES, Trace
from pytest_sessionguard.files import EDGE, THIRD, USER, kind_of
from pytest_sessionguard.making import find_making
from pytest_sessionguard.running import find_running_task, frames_of_task

_SESSION_FILE = Session.close.__code__.co_filename
# Methods that end a session's work: who meets another one in them does him no harm.
_CLOSES = frozenset({"close", "reset", "invalidate", "__exit__"})


class Mark(NamedTuple):
    """A task that came in.

    Attributes:
        thread: The number of its thread.
        task: The task.
        greenlet: The greenlet in which SQLAlchemy runs what the task asked for.
    """

    thread: int
    task: Callable[[], Any]
    greenlet: Callable[[], Any]


# A named tuple's own `__new__` is a Python function.
_make_mark = partial(tuple.__new__, Mark)


class Insider(NamedTuple):
    """Somebody who is inside of a session.

    Attributes:
        trace: Where he stands.
        closes: Whether he is closing it.
    """

    trace: Trace
    closes: bool


def find_mark(
    # Bound here, for it runs at every statement.
    get_loop: Callable[[], Any] = asyncio._get_running_loop,
    get_task: Callable[[Any], Any] = asyncio.current_task,
    get_thread: Callable[[], int] = threading.get_ident,
    refer: Callable[[Any], Any] = weakref.ref,
    make_mark: Callable[[Any], Mark] = _make_mark,
) -> Mark | int:
    """Find what marks whoever runs.

    Weak references only: a greenlet that waits cannot be collected while something in its own
    frames refers to it, and the session does.

    Returns:
        The task with its greenlet, or the number of the thread where no task runs.
    """
    loop = get_loop()
    if loop is None:
        return get_thread()
    task = get_task(loop)
    module = None if task is None else sys.modules.get("greenlet")
    if module is None:
        return get_thread()
    return make_mark((get_thread(), refer(task), refer(module.getcurrent())))


def is_gone(mark: Mark | int) -> bool:
    """Tell at once what is so nearly always: that a task's call has returned.

    Args:
        mark: Who came in before.

    Returns:
        Whether the greenlet of his call has ended; of a thread nothing is known so quickly.
    """
    if type(mark) is int:
        return False
    greenlet = mark[2]()  # type: ignore[index]
    return greenlet is None or greenlet.dead


def find_insider(mark: Mark | int, session: Any) -> Insider | None:
    """Find out whether whoever left a mark is still inside, and is another one than who asks.

    Args:
        mark: Who came in before.
        session: A sync session.

    Returns:
        Where he stands, or None where he has left it, is about to be cancelled, or asks himself.
    """
    thread, task, greenlet = (mark, None, None) if isinstance(mark, int) else _resolve(mark)
    is_waiting = task is not None and _waits(task, greenlet)
    if thread == threading.get_ident():
        if not is_waiting or greenlet in _ancestors() or task is find_running_task():
            return None
    else:
        frame = sys._current_frames().get(thread)
        method = _find_method(frame, session)
        if method:
            parent = getattr(greenlet, "parent", None)
            outside = getattr(parent, "gr_frame", None)
            return Insider(_trace([*_frames(frame), *_frames(outside)]), method in _CLOSES)
        if not is_waiting:
            return None
    frame = getattr(greenlet, "gr_frame", None)
    method = _find_method(frame, session)
    if not method:
        return None
    return Insider(_trace([*_frames(frame), *frames_of_task(task)], task), method in _CLOSES)


def _resolve(mark: Mark) -> tuple[int, Any, Any]:
    return mark.thread, mark.task(), mark.greenlet()


def _waits(task: Any, greenlet: Any) -> bool:
    """Tell whether a task waits in a greenlet, and will go on in it."""
    if task.done() or greenlet is None or greenlet.dead or greenlet.gr_frame is None:
        return False
    # One that was cancelled is on its way out; Python 3.10 does not tell.
    if getattr(task, "cancelling", int)():
        return False
    return bool(task.get_loop().is_running())


def _ancestors() -> list[Any]:
    """List the running greenlet and those that wait for it."""
    found = [sys.modules["greenlet"].getcurrent()]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found


def _find_method(frame: FrameType | None, session: Any) -> str:
    """Find the method of a session in which a stack stands, the outermost one."""
    name = ""
    for each in _frames(frame):
        if each.f_code.co_filename == _SESSION_FILE:
            owner = each.f_locals.get("self")
            if type(owner) is SessionTransaction:
                owner = owner.session
            if owner is session:
                name = each.f_code.co_name
    return name


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _trace(frames: list[FrameType], task: Any = None) -> Trace:
    """Collect the user's frames of a stack, as `Tracer.capture` does of its own."""
    marks: list[Any] = []
    third: tuple[Any, ...] = ()
    for frame in frames:
        kind = kind_of(frame.f_code)
        if kind == EDGE or len(marks) == 2 * FRAMES:
            break
        if kind == USER:
            marks += (frame.f_code, frame.f_lasti)
        elif kind == THIRD:
            third = third or (frame.f_code, frame.f_lasti)
    return Trace(tuple(marks) or find_making(task) or third)
