"""The ways to hand work over to a task, a thread, or a call that comes later.

Each is a block that gives a function which starts work, and at whose end that work is waited for.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import anyio
from anyio import to_thread


@asynccontextmanager
async def create_task() -> AsyncIterator[Any]:
    tasks = []
    yield lambda work, *args: tasks.append(asyncio.create_task(work(*args)))  # handed
    await asyncio.gather(*tasks)


@asynccontextmanager
async def ensure_future() -> AsyncIterator[Any]:
    tasks = []
    yield lambda work, *args: tasks.append(asyncio.ensure_future(work(*args)))  # handed
    await asyncio.gather(*tasks)


@asynccontextmanager
async def loop_create_task() -> AsyncIterator[Any]:
    tasks, loop = [], asyncio.get_running_loop()
    yield lambda work, *args: tasks.append(loop.create_task(work(*args)))  # handed
    await asyncio.gather(*tasks)


@asynccontextmanager
async def gather() -> AsyncIterator[Any]:
    groups = []
    yield lambda work, *args: groups.append(asyncio.gather(work(*args)))  # handed
    for group in groups:
        await group


@asynccontextmanager
async def shield() -> AsyncIterator[Any]:
    shields = []
    yield lambda work, *args: shields.append(asyncio.shield(work(*args)))  # handed
    for each in shields:
        await each


@asynccontextmanager
async def task_group() -> AsyncIterator[Any]:
    async with asyncio.TaskGroup() as group:
        yield lambda work, *args: group.create_task(work(*args))  # handed


@asynccontextmanager
async def start_soon() -> AsyncIterator[Any]:
    async with anyio.create_task_group() as group:
        yield lambda work, *args: group.start_soon(work, *args)  # handed


@asynccontextmanager
async def start_soon_partial() -> AsyncIterator[Any]:
    async with anyio.create_task_group() as group:
        yield lambda work, *args: group.start_soon(partial(work, *args))  # handed


@asynccontextmanager
async def start() -> AsyncIterator[Any]:
    async with anyio.create_task_group() as group:

        async def begin(work: Any, *args: Any) -> None:
            async def run(*args: Any, task_status: Any) -> None:
                task_status.started()
                await work(*args)

            await group.start(run, *args)  # handed

        yield begin


IN_TASKS = {
    each.__name__: each
    for each in (
        create_task,
        ensure_future,
        loop_create_task,
        gather,
        shield,
        start_soon,
        start_soon_partial,
        start,
        *((task_group,) if sys.version_info >= (3, 11) else ()),
    )
}


@contextmanager
def thread() -> Iterator[Any]:
    threads = []

    def begin(work: Any, *args: Any) -> None:
        threads.append(threading.Thread(target=work, args=args))
        threads[-1].start()  # handed

    yield begin
    for each in threads:
        each.join()


@contextmanager
def thread_with_keywords() -> Iterator[Any]:
    threads = []

    def begin(work: Any, *args: Any) -> None:
        kwargs = {f"a{number}": arg for number, arg in enumerate(args)}
        threads.append(threading.Thread(target=lambda **kw: work(*kw.values()), kwargs=kwargs))
        threads[-1].start()  # handed

    yield begin
    for each in threads:
        each.join()


@contextmanager
def thread_class() -> Iterator[Any]:
    class Worker(threading.Thread):
        def __init__(self, work: Any, *args: Any) -> None:
            super().__init__()
            self.work = work
            self.arguments = args

        def run(self) -> None:
            self.work(*self.arguments)

    threads = []

    def begin(work: Any, *args: Any) -> None:
        threads.append(Worker(work, *args))
        threads[-1].start()  # handed

    yield begin
    for each in threads:
        each.join()


@contextmanager
def timer() -> Iterator[Any]:
    threads = []

    def begin(work: Any, *args: Any) -> None:
        threads.append(threading.Timer(0.001, work, args))
        threads[-1].start()  # handed

    yield begin
    for each in threads:
        each.join()


@contextmanager
def submit() -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield lambda work, *args: pool.submit(work, *args)  # handed


@contextmanager
def submit_partial() -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield lambda work, *args: pool.submit(partial(work, *args))  # handed


@contextmanager
def pool_map() -> Iterator[Any]:
    with ThreadPoolExecutor(1) as pool:
        yield lambda work, *args: pool.map(work, *([arg] for arg in args))  # handed


IN_THREADS = {
    each.__name__: each
    for each in (
        thread,
        thread_with_keywords,
        thread_class,
        timer,
        submit,
        submit_partial,
        pool_map,
    )
}


@asynccontextmanager
async def run_in_executor() -> AsyncIterator[Any]:
    futures = []

    def begin(work: Any, *args: Any) -> None:
        loop = asyncio.get_running_loop()
        futures.append(loop.run_in_executor(None, work, *args))  # handed

    yield begin
    await asyncio.gather(*futures)


@asynccontextmanager
async def run_in_own_executor() -> AsyncIterator[Any]:
    futures = []
    with ThreadPoolExecutor(1) as pool:

        def begin(work: Any, *args: Any) -> None:
            loop = asyncio.get_running_loop()
            futures.append(loop.run_in_executor(pool, work, *args))  # handed

        yield begin
        await asyncio.gather(*futures)


@asynccontextmanager
async def to_thread_in_a_task() -> AsyncIterator[Any]:
    tasks = []
    yield lambda work, *args: tasks.append(
        asyncio.create_task(asyncio.to_thread(work, *args))  # handed
    )
    await asyncio.gather(*tasks)


@asynccontextmanager
async def to_thread_given_up() -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()

    async def begin(work: Any, *args: Any) -> None:
        begun = asyncio.Event()

        def run(*args: Any) -> None:
            loop.call_soon_threadsafe(begun.set)
            work(*args)

        async def call() -> None:
            await asyncio.to_thread(run, *args)  # handed

        task = asyncio.create_task(call())
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])

    yield begin
    await loop.shutdown_default_executor()


@asynccontextmanager
async def run_sync_in_a_task() -> AsyncIterator[Any]:
    tasks = []
    yield lambda work, *args: tasks.append(
        asyncio.create_task(to_thread.run_sync(work, *args))  # handed
    )
    await asyncio.gather(*tasks)


@asynccontextmanager
async def run_sync_given_up() -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    async def begin(work: Any, *args: Any) -> None:
        with anyio.CancelScope() as scope:

            def run(*args: Any) -> None:
                loop.call_soon_threadsafe(scope.cancel)
                try:
                    work(*args)
                finally:
                    loop.call_soon_threadsafe(ended.set)

            await to_thread.run_sync(run, *args, abandon_on_cancel=True)  # handed

    yield begin
    await ended.wait()


FROM_LOOPS = {
    each.__name__: each
    for each in (
        run_in_executor,
        run_in_own_executor,
        to_thread_in_a_task,
        to_thread_given_up,
        run_sync_in_a_task,
        run_sync_given_up,
    )
}
