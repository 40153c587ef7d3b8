"""Work that goes on beside whoever started it: tasks, threads, calls; held by weak references."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import weakref
from collections.abc import Callable
from functools import partial
from types import BuiltinMethodType, CodeType, FrameType, FunctionType, MethodType
from typing import Any

from pytest_sessionguard.clock import Clock
from pytest_sessionguard.running import find_running_task

# How often a session that closes waits half a millisecond for a thread which got it. Where that is
# not about to end it is a finding, and the time well spent.
_NAPS = 20


class TaskWork:
    """A task of asyncio.

    Args:
        task: The task.
    """

    def __init__(self, task: Any) -> None:
        self.was_cancelled = False
        self._task = weakref.ref(task)

    def is_over(self) -> bool:
        """Tell whether it is done."""
        task = self._task()
        return task is None or task.done()

    def is_here(self) -> bool:
        """Tell whether it runs."""
        task = find_running_task()
        return task is not None and task is self._task()

    def does(self, runner: Any) -> bool:
        """Tell whether it is this task."""
        task = self._task()
        return task is not None and isinstance(runner, weakref.ref) and runner() is task

    def settle(self) -> None:
        """Do nothing: a task does its last step in one."""

    def await_end(self) -> None:
        """Note whether it is cancelled, now or in the end."""
        task = self._task()
        if task is not None and task.get_loop() is asyncio._get_running_loop():
            task.add_done_callback(self._note_end)

    def _note_end(self, task: Any) -> None:
        self.was_cancelled = task.cancelled()


class ThreadWork:
    """A thread.

    Args:
        thread: The thread, which is about to start.
    """

    was_cancelled = False

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = weakref.ref(thread)

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        thread = self._thread()
        return thread is None or not thread.is_alive()

    def is_here(self) -> bool:
        """Tell whether it runs this."""
        thread = self._thread()
        return thread is not None and thread.ident == threading.get_ident()

    def does(self, runner: Any) -> bool:
        """Tell whether it is this thread."""
        thread = self._thread()
        return thread is not None and thread.ident == runner

    def settle(self) -> None:
        """Let it end where it is about to."""
        _settle(self.is_over)

    def await_end(self) -> None:
        """Do nothing: a thread cannot be cancelled."""


class CallWork:
    """A call of a function in another thread, or later.

    Args:
        function: What is called.

    Attributes:
        is_ended: Whether it has returned, or never will be made.
    """

    was_cancelled = False

    def __init__(self, function: Any) -> None:
        self.is_ended = False
        self._code = find_code(function)
        self._future: Callable[[], Any] | None = None

    def follow(self, future: Any) -> None:
        """Learn what tells its end.

        Args:
            future: The future of the executor that makes it.
        """
        self._future = weakref.ref(future)

    def is_over(self) -> bool:
        """Tell whether the call has returned."""
        if self.is_ended or self._future is None:
            return self.is_ended
        future = self._future()
        return future is None or future.done()

    def is_here(self) -> bool:
        """Tell whether the function stands among the callers."""
        return self._code is not None and _is_called(self._code)

    def does(self, runner: Any) -> bool:
        """Tell nothing: what runs it is not known."""
        return False

    def settle(self) -> None:
        """Let it return where it is about to."""
        _settle(self.is_over)

    def await_end(self) -> None:
        """Do nothing: a future that is cancelled is done at once."""


class AbandonedWork(CallWork):
    """A call in a thread that its caller may abandon; it stands in the function's place.

    Args:
        function: What is called.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._function = function
        self._has_begun = False

    def give_up(self) -> None:
        """Learn that nobody waits for it any more; what has not begun by then never does."""
        self.is_ended = self.is_ended or not self._has_begun

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        __tracebackhide__ = True
        self._has_begun = True
        try:
            return self._function(*args)
        finally:
            self.is_ended = True


def unfold(function: Any, args: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
    """Take a function out of what stands around it.

    Args:
        function: A function, a partial, or `contextvars.Context.run` (which `asyncio.to_thread` and
            others put in front).
        args: Its arguments.

    Returns:
        The function that is called in the end, and all its arguments; keywords come as values.
    """
    while True:
        if type(function) is partial:
            args = (*function.args, *args, *function.keywords.values())
            function = function.func
        elif (
            type(function) is BuiltinMethodType
            and type(function.__self__) is contextvars.Context
            and args
        ):
            function, args = args[0], args[1:]
        else:
            return function, args


def find_code(function: Any) -> CodeType | None:
    """Find the code that a callable runs.

    Args:
        function: A function, a method, a partial of these, or an object that can be called.

    Returns:
        Its code, or None where that is not Python's.
    """
    function, _ = unfold(function, ())
    if type(function) not in (FunctionType, MethodType):
        function = vars(type(function)).get("__call__")
    if type(function) is MethodType:
        function = function.__func__
    code = getattr(function, "__code__", None) if type(function) is FunctionType else None
    return code if isinstance(code, CodeType) else None


def _settle(is_over: Callable[[], bool]) -> None:
    """Wait for a thread that may have told of its end, and is about to come to it."""
    for _ in range(_NAPS):
        if is_over():
            return
        Clock.sleep(0.0005)


def _is_called(code: CodeType) -> bool:
    """Tell whether code stands among the callers, across the greenlets of async code."""
    frame: FrameType | None = sys._getframe(1)
    module = sys.modules.get("greenlet")
    greenlet = None if module is None else module.getcurrent()
    while True:
        while frame is not None:
            if frame.f_code is code:
                return True
            frame = frame.f_back
        greenlet = None if greenlet is None else greenlet.parent
        if greenlet is None:
            return False
        frame = greenlet.gr_frame
