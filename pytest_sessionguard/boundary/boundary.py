"""Calls of service functions: who runs at the moment, and the verdict at a return."""

from __future__ import annotations

from contextvars import ContextVar
from inspect import CO_ITERABLE_COROUTINE
from threading import Lock
from types import CodeType, FrameType
from typing import Any

from pytest_sessionguard.accounts import Scope
from pytest_sessionguard.boundary.ends import find_return, guess_return
from pytest_sessionguard.boundary.judge import NOTHING, judge
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.running import find_runner

# The call that runs here. Each task and each thread has its own; what a call starts in a copy of
# its context (`asyncio.gather`, `asyncio.to_thread`) and SQLAlchemy's greenlets, which share the
# context of their task (`greenlet.gr_context`), belong to the call.
_RUNNING: ContextVar[Scope | None] = ContextVar("sessionguard_running", default=None)

_GENERATOR_FRAMES = ("gi_frame", "ag_frame")
_tracer = Tracer(limit=1)


def find_running() -> Scope | None:
    """Find the service call that runs here.

    Returns:
        It, or None where none does. A task that a service has left behind still carries its call,
        which is over.
    """
    scope = _RUNNING.get()
    return None if scope is None or scope.is_over else scope


class Boundary:
    """Where calls of services begin and end.

    Args:
        guard: The guard whose accounts they stand in.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self._askers = 0
        self._lock = Lock()

    def ask(self) -> None:
        """Tag what is opened with the call that opens it, from now on: that costs a little."""
        with self._lock:
            self._askers += 1
            self.guard.ledger.find_scope = find_running

    def forget(self) -> None:
        """Take back one `ask`."""
        with self._lock:
            self._askers -= 1
            if not self._askers:
                self.guard.ledger.find_scope = None

    def begin(self, function: str, code: CodeType | None, running: Any = None) -> Call | None:
        """Begin a call, unless it is part of another.

        Args:
            function: The dotted name of the function.
            code: Its code, None where it has none.
            running: Its coroutine or generator, if it is such a function.

        Returns:
            The call, or None where it is none of its own, or nobody is there to blame.
        """
        scope = find_running()
        if scope is None:
            return self.begin_anew(function, code, running)
        if scope.code is code and scope.frame is None:  # what `SessionGuard.call` called
            scope.frame = _frame_of(running)
        return None

    def begin_anew(self, function: str, code: CodeType | None, running: Any = None) -> Call | None:
        """Begin a call, also in the middle of another.

        Args:
            function: The dotted name of the function.
            code: Its code, None where it has none.
            running: Its coroutine or generator, if it is such a function.

        Returns:
            The call, or None where nobody is there to blame.
        """
        account = self.guard.ledger.current
        if not account.is_due or not self.guard.is_watching:
            return None
        return Call(self, Scope(function, account), code, running)


class Call:
    """One outermost call, as `pytest_sessionguard.detour.Passage` has it.

    Args:
        boundary: Where it is judged.
        scope: What it opens.
        code: The function's code.
        running: Its coroutine or generator.
    """

    def __init__(
        self, boundary: Boundary, scope: Scope, code: CodeType | None, running: Any
    ) -> None:
        self.scope = scope
        self.code = code
        self._boundary = boundary
        self._before: Scope | None = None
        self.is_generator = False
        if running is None:
            scope.code = code
        else:
            self.follow(running)

    def follow(self, running: Any) -> None:
        """Take note of the coroutine or generator that does the function's work.

        Args:
            running: It, not yet begun. Its frame, held, tells later where it returned.
        """
        self.is_generator = any(hasattr(running, name) for name in _GENERATOR_FRAMES)
        # What `types.coroutine` makes is awaited, so what it returns is a result.
        if self.is_generator and getattr(running, "gi_code", None) is not None:
            self.is_generator = not running.gi_code.co_flags & CO_ITERABLE_COROUTINE
        self.scope.frame = _frame_of(running)

    def resume(self) -> None:
        """Make it the running call, for the function's own frame runs."""
        self._before = _RUNNING.get()
        _RUNNING.set(self.scope)
        try:
            self.scope.runners.add(find_runner())
        except Exception as error:
            self._boundary.guard.shield.report(error)

    def pause(self) -> None:
        """Give way to what ran before, unless this is another context by now."""
        if _RUNNING.get() is self.scope:
            _RUNNING.set(self._before)

    def leave(self, result: Any) -> None:
        """Judge the call, which has returned.

        Args:
            result: What it returned; that of a generator is none of ours.
        """
        mark = self._let_go()
        self._end(NOTHING if self.is_generator else result, mark)

    def fail(self, error: BaseException) -> None:
        """Judge what the call, which has raised, left open.

        Args:
            error: What was raised. What a cancelled call holds is perhaps being closed in a task
                of its own at this moment (``AsyncSession.__aexit__``): that is left to the test's
                end.
        """
        mark = self._let_go()
        if self.is_generator and isinstance(error, GeneratorExit):
            self.scope.ending = "was closed"
            self._end(NOTHING, mark)
        elif isinstance(error, Exception):
            self.scope.ending = "raised"
            self._end(NOTHING, _find_raise(error, self.code) or mark)

    def _end(self, result: Any, mark: tuple[Any, ...]) -> None:
        scope = self.scope
        try:
            if (scope.sessions or scope.leases) and judge(scope, result):
                marks = _find_end(mark) if scope.ending == "returned" else mark
                scope.trace = Trace((*marks, *_tracer.capture().marks[:2]))
        except Exception as error:
            self._boundary.guard.shield.report(error)

    def _let_go(self) -> tuple[Any, ...]:
        """Drop the function's frame, and its locals with it, and tell where it ended.

        A frame that somebody holds keeps its locals when it ends: what only they keep open must be
        gone before it is judged. A traceback that holds the frame too goes on doing so.
        """
        scope, code = self.scope, self.code
        scope.is_over = True
        frame, scope.frame, scope.code = scope.frame, None, None
        if frame is None:
            return () if code is None else (code, -1)
        return frame.f_code, frame.f_lasti


def _frame_of(running: Any) -> FrameType | None:
    """Return the frame of a coroutine or generator, None for anything else."""
    frames = (getattr(running, name, None) for name in ("cr_frame", *_GENERATOR_FRAMES))
    return next((frame for frame in frames if frame is not None), None)


def _find_end(mark: tuple[Any, ...]) -> tuple[Any, ...]:
    """Find the line of the source that ended a call, of what its frame knew last."""
    if not mark:
        return ()
    code, lasti = mark
    return code, guess_return(code) if lasti < 0 else find_return(code, lasti)


def _find_raise(error: BaseException, code: CodeType | None) -> tuple[Any, ...]:
    """Find the line of a function that an exception came through."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code is code:
            return code, step.tb_lasti
        step = step.tb_next
    return ()
