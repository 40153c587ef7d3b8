"""Getting a dependency from its ``yield`` to its end, in each of the ways."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, TypeVar

from pytest_sessionguard.dependencies.entered import Entered
from pytest_sessionguard.dependencies.ways import Thrown, Way

_T = TypeVar("_T")
_SWALLOWED = {Way.EXCEPTION: "exception", Way.CANCELLATION: "cancellation"}


def end(way: Way, entered: Entered) -> str:
    """Bring a sync dependency to its end.

    FastAPI throws the ``CancelledError`` of a request into sync dependencies, too
    (``fastapi.concurrency.contextmanager_in_threadpool``).

    Args:
        way: How.
        entered: The dependency at its ``yield``.

    Returns:
        What it swallowed, or nothing.
    """
    if way is Way.ABANDONED:
        held = entered.drop()
        if held is not None:
            held.close()
        return ""
    if way not in _SWALLOWED:
        entered.exit()
        return ""
    try:
        raise Thrown if way is Way.EXCEPTION else asyncio.CancelledError
    except (Thrown, asyncio.CancelledError) as error:
        return _SWALLOWED[way] if entered.exit(error) else ""


async def end_async(way: Way, entered: Entered) -> str:
    """Bring an async dependency to its end, in a task of its own.

    Args:
        way: How.
        entered: The dependency at its ``yield``.

    Returns:
        What it swallowed, or nothing.
    """
    if way is Way.ABANDONED:
        await _abandon(entered)
        return ""
    if way not in _SWALLOWED:
        await entered.exit_async()
        return ""
    try:
        if way is Way.EXCEPTION:
            raise Thrown
        await _be_cancelled()
    except (Thrown, asyncio.CancelledError) as error:
        return _SWALLOWED[way] if await entered.exit_async(error) else ""
    return ""


async def wait_for(task: asyncio.Task[_T]) -> _T:
    """Wait for a task that cancels itself, and still be cancelled from outside.

    Args:
        task: The task.

    Returns:
        Its result.
    """
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise
    return task.result()


async def _be_cancelled() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
    await asyncio.sleep(0)


async def _abandon(entered: Entered) -> None:
    """Drop it, and wait for the task in which the event loop then closes it.

    ``asyncio.BaseEventLoop._asyncgen_finalizer_hook`` makes that task in the loop's next step.
    """
    before = asyncio.all_tasks()
    held: Any = entered.drop()
    if inspect.isasyncgen(held):
        await held.aclose()
    elif held is not None:
        held.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    closing = {task for task in asyncio.all_tasks() - before if _is_closing(task)}
    if closing:
        await asyncio.wait(closing)
    for task in closing:
        if not task.cancelled():
            task.exception()  # or asyncio would say that nobody has asked for it


def _is_closing(task: asyncio.Task[Any]) -> bool:
    return type(task.get_coro()).__name__ == "async_generator_athrow"
