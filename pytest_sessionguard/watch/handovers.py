"""Sessions and instances that are handed to tasks, threads and calls that come later.

Seen where work is made, by whatever name it was asked for: ``create_task`` of the event loops
(`asyncio.create_task`, `TaskGroup`, `gather`, `ensure_future` and anyio's task groups lead there),
`ThreadPoolExecutor.submit` (`run_in_executor` and `asyncio.to_thread` lead there),
`Thread.start`, `anyio.to_thread.run_sync` and Starlette's ``BackgroundTask``. A loop's task factory
is left alone: it is the user's, who may ask for it.

Only what the user's own code hands over counts. A framework that runs a request, and a runner that
runs a test, wait for what they start.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

from pytest_sessionguard.accounts import Handover, Handovers, Work
from pytest_sessionguard.accounts.starters import Starters, note_starter
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.files import EDGE, USER, kind_of
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.making import note_making
from pytest_sessionguard.running import find_runner
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.arguments import (
    Found,
    find_in_call,
    find_in_coroutine,
    find_in_thread,
)
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY, drop_own_frame
from pytest_sessionguard.watch.provenance import know_session
from pytest_sessionguard.watch.sessions import SessionWatch
from pytest_sessionguard.watch.works import AbandonedWork, CallWork, TaskWork, ThreadWork

# Modules by whose functions the user's code hands work over.
_DOORS = (
    "asyncio.",
    "threading",
    "concurrent.futures.",
    "anyio.",
    "starlette.background",
    "starlette.concurrency",
    "fastapi.background",
    __name__,
)
# Functions of these that run what was handed over: behind them stands whoever waits for it.
_RUNNERS = frozenset(
    {"run", "_run", "_run_once", "run_forever", "run_until_complete", "_bootstrap_inner"}
)


class HandoverWatch:
    """The watcher of what goes to work elsewhere.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        sessions: The watcher that sees them closed.
    """

    def __init__(self, ledger: Ledger, shield: Shield, sessions: SessionWatch) -> None:
        self._ledger = ledger
        self._shield = shield
        self._sessions = sessions
        self._patches = Patches()
        self._tracer = Tracer()
        self._known: set[str] = set()
        self._starters = Starters(lambda: ledger.current)

    def install(self) -> None:
        """Begin to watch."""
        wrap = self._patches.wrap
        wrap(asyncio.BaseEventLoop, "create_task", self._make_create_task)
        wrap(ThreadPoolExecutor, "submit", self._make_submit)
        wrap(threading.Thread, "start", self._make_start)
        self.install_frameworks()

    def install_frameworks(self) -> None:
        """Begin to watch what the user's project has imported since."""
        for name, owner, method, make in (
            # Its loop is none of asyncio's.
            ("uvloop", "Loop", "create_task", self._make_create_task),
            ("anyio.to_thread", "", "run_sync", self._make_run_sync),
            ("starlette.background", "BackgroundTask", "__init__", self._make_background),
        ):
            module = sys.modules.get(name)
            place: Any = getattr(module, owner, None) if owner else module
            if place is not None and name not in self._known and hasattr(place, method):
                self._known.add(name)
                self._patches.wrap(place, method, make)

    def remove(self) -> None:
        """Stop watching and leave everything as it was."""
        self._patches.remove()
        self._known.clear()

    # Each wrapper hides its frame from pytest's tracebacks, which are to stay as they were.

    def _make_create_task(self, original: Any) -> Any:
        get_running_loop, ends_block = asyncio._get_running_loop, self._ends_block
        starters = self._starters
        first_step = starters.first_step

        def create_task(self: Any, coro: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            found = starter = making = None
            try:
                if get_running_loop() is not self:
                    # A loop that does not run yet is about to run just this, and waits for it,
                    # unless the user's code makes it beforehand.
                    maker, is_direct = _find_maker(sys._getframe(1))
                    starter = starters.find() if maker and is_direct else starters.find_main()
                elif not ends_block(coro):
                    found = find_in_coroutine(coro)
                    maker, is_direct = _find_maker(sys._getframe(1))
                    if maker is None:
                        starter = starters.find_runners()
                    elif is_direct:
                        starter = starters.find()
                    making = None if _is_users(coro) else maker
            except Exception as error:
                watch._shield.report(error)
            outer, first_step.starter = first_step.starter, starter
            try:
                task = original(self, coro, *args, **kwargs)
            finally:
                first_step.starter = outer
            drop_own_frame(task, __file__)
            if starter or making:
                watch._note(task, starter, making)
            # A factory of the user's may make something else.
            if found and isinstance(task, asyncio.Future) and not task.done():
                watch._enter(found, TaskWork(task))
            return task

        watch = self
        return create_task

    def _ends_block(self, coroutine: Any) -> bool:
        """Tell whether a coroutine is the close by which an async session ends its own block.

        SQLAlchemy makes a task of it (``AsyncSession.__aexit__``), which is nobody's handing over.
        """
        code = self._sessions.async_close
        if code is None or getattr(coroutine, "cr_code", None) is not code:
            return False
        # The frame keeps this snapshot no longer than the session is being closed.
        held = {} if coroutine.cr_frame is None else coroutine.cr_frame.f_locals
        session = getattr(held.get("self"), "sync_session", None)
        record = getattr(session, KEY, None)
        return record is not None and record.leaving is not None

    def _make_submit(self, original: Any) -> Any:
        def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            found = watch._find_in_call(fn, args, kwargs)
            if not found:
                return original(self, fn, *args, **kwargs)
            work = CallWork(fn)
            watch._enter(found, work)  # before it is made, for it may be quick
            try:
                future = original(self, fn, *args, **kwargs)
            except BaseException:
                work.is_ended = True
                raise
            work.follow(future)
            return future

        watch = self
        return submit

    def _make_start(self, original: Any) -> Any:
        def start(self: Any) -> None:
            __tracebackhide__ = True
            try:
                watch._note(self, watch._starters.find())
                found = find_in_thread(self)
                if found:  # before it starts, for it may be quick
                    watch._enter(found, ThreadWork(self))
            except Exception as error:
                watch._shield.report(error)
            original(self)

        watch = self
        return start

    def _make_run_sync(self, original: Any) -> Any:
        # `async def`, so that `inspect.iscoroutinefunction` sees what it saw.
        async def run_sync(func: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            found = watch._find_in_call(func, args, {})
            if not found:
                return await original(func, *args, **kwargs)
            if not (kwargs.get("abandon_on_cancel") or kwargs.get("cancellable")):
                watch._lend(found, CallWork(func))  # it waits for the thread, whatever happens
                return await original(func, *args, **kwargs)
            work = AbandonedWork(func)
            watch._enter(found, work)
            try:
                return await original(work, *args, **kwargs)
            finally:
                work.give_up()

        watch = self
        return run_sync

    def _make_background(self, original: Any) -> Any:
        def __init__(self: Any, func: Any, *args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            original(self, func, *args, **kwargs)
            found = watch._find_in_call(func, args, kwargs)
            if found:
                watch._enter(found, CallWork(func), is_late=True)

        watch = self
        return __init__

    def _note(self, work: Any, starter: object, maker: FrameType | None = None) -> None:
        """Note in whose time a task or thread is started, and where, if it has a place for that."""
        try:
            note_starter(work, starter)
            if maker:
                note_making(work, maker)
        except Exception as error:
            self._shield.report(error, counts=False)  # a factory of the user's may make anything

    def _find_in_call(self, function: Any, args: Any, kwargs: Any) -> list[Found]:
        try:
            return find_in_call(function, args, kwargs)
        except Exception as error:
            self._shield.report(error)
            return []

    def _lend(self, found: list[Found], work: Work) -> None:
        """Enter that a library has others do what it was given, where that was handed over."""
        try:
            for each in found:
                record = getattr(each.session, KEY, None)
                if record is not None and record.handovers is not None:
                    record.handovers.lend(work)
        except Exception as error:
            self._shield.report(error)

    def _enter(self, found: list[Found], work: Work, *, is_late: bool = False) -> None:
        """Enter what was handed over, where the user's code has done that."""
        try:
            way, frame = _find_way(sys._getframe(1))
            trace = self._tracer.capture()
            if frame is None or not trace.marks or frame.f_code is not trace.marks[0]:
                self._lend(found, work)
                return
            ledger, giver = self._ledger, find_runner()
            for each in found:
                record = None if each.session is None else know_session(ledger, each.session)
                if record is None or record.leaving is not None:
                    continue  # SQLAlchemy closes an async session in a task of its own
                if each.state is None and record.is_idle:
                    continue  # it was closed before: who begins it again is SG202's affair
                handover = Handover(
                    record,
                    record.account if record.account.is_due else ledger.current,
                    work,
                    trace,
                    way,
                    state=each.state,
                    model="" if each.state is None else each.state.class_.__name__,
                    is_direct=each.is_direct,
                    is_late=is_late,
                    giver=giver,
                )
                if record.handovers is None:
                    record.handovers = Handovers()
                record.handovers.add(handover)
        except Exception as error:
            self._shield.report(error)


def _is_users(coroutine: Any) -> bool:
    """Tell whether a coroutine is the user's, whose frames show where it was made."""
    code = getattr(coroutine, "cr_code", None) or getattr(coroutine, "gi_code", None)
    return code is not None and kind_of(code) == USER


def _find_maker(frame: FrameType | None) -> tuple[FrameType | None, bool]:
    """Find the user's frame that makes a task.

    Returns:
        The frame, and whether it does so itself: by a function of asyncio's or anyio's, and not by
        another package's.
    """
    is_direct = True
    while frame is not None:
        kind = kind_of(frame.f_code)
        if kind in (USER, EDGE) or frame.f_code.co_name in _RUNNERS:
            return (frame if kind == USER else None), is_direct
        is_direct = is_direct and str(frame.f_globals.get("__name__")).startswith(_DOORS)
        frame = frame.f_back
    return None, False


def _find_way(frame: FrameType | None) -> tuple[str, FrameType | None]:
    """Find the frame that handed something over, and by which function it did.

    Args:
        frame: The innermost frame.

    Returns:
        The name of the function, and the first frame that is none of the doors'.
    """
    way = ""
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        if not name.startswith(_DOORS) or frame.f_code.co_name in _RUNNERS:
            break
        way = frame.f_code.co_name
        if way == "__init__":
            way = "BackgroundTask"
        frame = frame.f_back
    return way, frame
