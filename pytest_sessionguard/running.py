"""What runs at the moment, a task of asyncio or a thread, and where a task waits."""

from __future__ import annotations

import asyncio
import threading
import weakref
from types import FrameType
from typing import Any


def find_running_task() -> Any:
    """Find the task that runs.

    Returns:
        It, or None.
    """
    return asyncio.current_task() if asyncio._get_running_loop() is not None else None


def find_runner() -> Any:
    """Find what runs.

    Returns:
        A weak reference to the running task, or the number of the thread.
    """
    task = find_running_task()
    return threading.get_ident() if task is None else weakref.ref(task)


def frames_of_task(task: Any) -> list[FrameType]:
    """List the frames of a task that waits, as far as awaits can be followed.

    Args:
        task: A task, or what a loop's factory has made instead.

    Returns:
        The frames, innermost first.
    """
    frames = []
    find_coroutine = getattr(task, "get_coro", None)
    step = None if find_coroutine is None else find_coroutine()
    while step is not None:
        for kind, link in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
            frame = getattr(step, f"{kind}_frame", None)
            if frame is not None:
                frames.append(frame)
                step = getattr(step, link)
                break
        else:
            break
    return frames[::-1]
