"""Event loops that a test runs itself, and the connections that were opened under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


@contextmanager
def follow_loops(engine: AsyncEngine) -> Iterator[None]:
    """Dispose of an engine at the end of each loop that opens connections of it.

    Whoever ends a loop in order (`asyncio.run`, `unittest.IsolatedAsyncioTestCase`) has it close
    its async generators first (``loop.shutdown_asyncgens``); one of ours waits among them. On
    Python 3.10 unittest does so only where tasks are left, and the collector closes the connection.

    Args:
        engine: An engine of a driver whose connections belong to their loop.

    Yields:
        Nothing; a loop that is still open in the end, and does not run, is used once more.
    """
    from sqlalchemy import event

    followers: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}

    async def follow() -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await engine.dispose()

    def on_connect(*_: Any) -> None:
        loop = asyncio.get_running_loop()
        if loop not in followers:
            followers[loop] = follow()
            with suppress(StopIteration):  # As far as its `yield`, which waits for nothing.
                followers[loop].asend(None).send(None)

    event.listen(engine.sync_engine, "connect", on_connect)
    yield
    if asyncio._get_running_loop() is not None:
        return  # No other one can run in this thread.
    for loop, follower in followers.items():
        if not (loop.is_closed() or loop.is_running()):
            loop.run_until_complete(follower.aclose())
