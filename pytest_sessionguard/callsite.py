"""Where in the user's code an event came from: captured as code objects, rendered when shown.

A capture runs at every checkout, so it reads no line number and keeps no frame: it stores code
objects with their ``f_lasti`` (line numbers are decoded from a table on Python 3.11 and newer,
which costs two to four times as much) and stops at the second frame of the user's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any, NamedTuple

from pytest_sessionguard.files import (
    ASYNC,
    DRIVEN,
    EDGE,
    FOREIGN,
    SCOPED,
    SESSION,
    THIRD,
    USER,
    find_block,
    kind_of,
    kinds,
    learn,
    locate,
    shorten,
)
from pytest_sessionguard.making import find_making
from pytest_sessionguard.model import CallSite, Frame
from pytest_sessionguard.running import find_running_task

FRAMES = 2
_get_frame = sys._getframe


class Trace(NamedTuple):
    """A call site as captured.

    Attributes:
        marks: Code objects and ``f_lasti`` in turn, innermost first.
        doors: By which of SQLAlchemy's modules the way led, and whether another package stands
            before the user's first frame (`FOREIGN`), or between the two (`DRIVEN`).
    """

    marks: tuple[Any, ...]
    doors: int = 0

    @property
    def is_async(self) -> bool:
        """Tell whether an async session stands between."""
        return bool(self.doors & ASYNC)

    @property
    def is_scoped(self) -> bool:
        """Tell whether the registry of a scoped session stands between."""
        return bool(self.doors & SCOPED)

    def places(self) -> tuple[tuple[int, int], ...]:
        """Return the lines, of code objects by their ids: what tells a place from others.

        From Python 3.12 on a specialised call leaves its caller at another ``f_lasti`` of the line.
        """
        codes, lastis = self.marks[::2], self.marks[1::2]
        return tuple((id(c), _line_of(c, i)) for c, i in zip(codes, lastis, strict=True))

    def passes(self, code: CodeType) -> bool:
        """Tell whether one of the frames runs this code.

        Args:
            code: The code object to look for.

        Returns:
            Whether it is among the captured frames.
        """
        return any(mark is code for mark in self.marks[::2])


# A named tuple's own `__new__` is a Python function, and as dear as the rest of a capture.
_make_trace = partial(tuple.__new__, Trace)


class Tracer:
    """Captures the call sites of one kind of event.

    An event is reached by few ways through the library, each of the same depth every time. A way
    that was walked once is taken again by ``sys._getframe(depth)``, which makes no frame object
    of the frames it passes: if the same code stands at that depth, and the user's (or the root of
    a greenlet) behind it, the frames between are taken for the library's as before. A hook of the
    user's that stands between, at the very same depth, would be passed over.

    Args:
        limit: How many of the user's frames to collect, one or two.
        ways: How many ways to keep.

    Attributes:
        capture: Collects the user's frames above its caller, across the greenlets of async code.
    """

    def __init__(self, limit: int = FRAMES, ways: int = 4) -> None:
        self._limit = limit
        self._kept = ways
        # Of each way its depth, the last of the library's code on it, the doors, the marks of the
        # place that it led to last, and its trace. Changed in place: `capture` has it.
        self._ways: list[tuple[Any, ...]] = []
        self.capture = self._make_capture() if limit == FRAMES else self._make_short_capture()

    # An attribute of a frame costs more than a dozen steps of the interpreter: each is read once,
    # and of the place that was met last no file is looked at. Equal code may be another file's.
    def _make_capture(self) -> Callable[[], Trace]:
        """Make the function that collects two frames."""
        ways, get_frame = self._ways, _get_frame
        learn_way, learn_place = self._learn_way, self._learn_place
        cross = _make_crossing()

        def capture() -> Trace:
            for depth, entry, doors, code, lasti, behind, at, trace in ways:
                try:
                    frame = get_frame(depth)
                except ValueError:
                    continue
                if frame.f_code is entry:
                    inner: Any = frame.f_back
                    if inner is None:
                        return cross(doors)
                    outer = inner.f_back
                    if outer is None:
                        return walk(inner, FRAMES, doors)
                    is_same = inner.f_lasti == lasti and outer.f_lasti == at
                    if is_same and inner.f_code is code and outer.f_code is behind:
                        return trace  # type: ignore[no-any-return]
                    return learn_place(entry, inner, doors)
            return learn_way(get_frame(1))

        return capture

    def _make_short_capture(self) -> Callable[[], Trace]:
        """Make the function that collects one frame: the same with less to read."""
        ways, get_frame = self._ways, _get_frame
        learn_way, learn_place = self._learn_way, self._learn_place

        def capture() -> Trace:
            for depth, entry, doors, code, lasti, trace in ways:
                try:
                    frame = get_frame(depth)
                except ValueError:
                    continue
                if frame.f_code is entry:
                    inner: Any = frame.f_back
                    if inner is None:
                        return walk(None, 1, doors)
                    if inner.f_lasti == lasti and inner.f_code is code:
                        return trace  # type: ignore[no-any-return]
                    return learn_place(entry, inner, doors)
            return learn_way(get_frame(1))

        return capture

    def _learn_place(self, entry: CodeType, frame: FrameType, doors: int) -> Trace:
        """Make the trace of a place behind a known way, and keep it if all of it is the user's."""
        frames: Any = (frame, frame.f_back)[: self._limit]
        marks = tuple(mark for step in frames for mark in (step.f_code, step.f_lasti))
        if any(kinds.get(code.co_filename) != USER for code in marks[::2]):
            return walk(frame, self._limit, doors)
        trace = _make_trace((marks, doors))
        for number, (depth, code, known, *_) in enumerate(self._ways):
            if code is entry and known == doors:
                self._ways[number] = (depth, code, doors, *marks, trace)
        return trace

    def _learn_way(self, frame: FrameType) -> Trace:
        """Walk every frame, and keep the way if nothing but the library lies on it."""
        step, depth, doors = frame, 1, 0  # 0 would be `capture` itself
        while True:
            behind = step.f_back
            kind = USER if behind is None else kind_of(behind.f_code)
            if behind is None or USER <= kind <= THIRD:
                break
            step, depth, doors = behind, depth + 1, doors | kind
        if kind == USER:
            nowhere = (None, -2) * self._limit  # no frame has such marks
            way = (depth, step.f_code, doors, *nowhere, None)
            self._ways[:] = [way, *self._ways][: self._kept]
        return walk(frame, self._limit)


def _make_crossing() -> Callable[[int], Trace]:
    """Make what collects two frames from the root of a greenlet on.

    SQLAlchemy runs async code in a greenlet whose ``f_back`` chain ends at its own root
    (``sqlalchemy.util.concurrency.greenlet_spawn``); the coroutine that awaits it is found in the
    parent greenlet's frame, mostly behind `greenlet_spawn` and the async session's method.
    """
    known_place: tuple[Any, Any] = (None, None)
    find_greenlet: Any = None

    def cross(doors: int) -> Trace:
        nonlocal known_place, find_greenlet
        try:
            if find_greenlet is None:
                find_greenlet = sys.modules["greenlet"].getcurrent
            spawn = find_greenlet().parent.gr_frame
            method = spawn.f_back
            inner = method.f_back
            outer = inner.f_back
            marks = (inner.f_code, inner.f_lasti, outer.f_code, outer.f_lasti)
            here = (marks, spawn.f_code, method.f_code, doors)
        except (AttributeError, KeyError):  # it is not, or there is no greenlet
            return walk(None, FRAMES, doors)
        known, found = known_place
        if here == known and marks[0] is known[0][0] and marks[2] is known[0][2]:
            return found  # type: ignore[no-any-return]
        found = walk(None, FRAMES, doors)
        if found.marks == marks:
            known_place = (here, found)
        return found

    return cross


def walk(frame: FrameType | None, limit: int = FRAMES, doors: int = 0) -> Trace:
    """Collect the user's frames from a frame on.

    Args:
        frame: The first one; None for the root of a greenlet.
        limit: How many to collect.
        doors: Those behind which the frame stands.

    Returns:
        The trace.
    """
    marks: list[Any] = []
    third: tuple[Any, ...] = ()
    get_kind = kinds.get
    full = 2 * limit
    greenlet: Any = None
    while True:
        while frame is not None:
            code = frame.f_code
            kind = get_kind(code.co_filename)
            if kind == USER:
                marks += (code, frame.f_lasti)
                if len(marks) == full:
                    return _make_trace((tuple(marks), doors))
            elif kind:
                if kind == EDGE:
                    return Trace(tuple(marks) or find_making(find_running_task()) or third, doors)
                if kind == THIRD:
                    third = third or (code, frame.f_lasti)
                    doors |= DRIVEN if marks else FOREIGN
                else:
                    doors |= kind & _passable(marks)
            elif kind is None:
                learn(code.co_filename)
                continue
            frame = frame.f_back
        greenlet = _parent_of(greenlet)
        if greenlet is None:
            return Trace(tuple(marks) or find_making(find_running_task()) or third, doors)
        frame = greenlet.gr_frame


def _passable(marks: list[Any]) -> int:
    """Return the doors that still count behind some of the user's frames.

    A factory of a registry may be the user's, and so may the ``__init__`` of a session's class;
    what else stands behind a user's frame led to that frame and not to the event.
    """
    if not marks:
        return SESSION | ASYNC | SCOPED
    return ASYNC | SCOPED if marks[-2].co_name == "__init__" else SCOPED


def capture_task() -> Trace | None:
    """Capture where the running task stands, seen from its root.

    An exception that is thrown into a task passes ``coroutine.__await__`` wrappers without linking
    the frames outside them (CPython's ``gen_throw``), so no walk finds the user's coroutine.

    Returns:
        The await of the task's root coroutine, or None where there is none of the user's.
    """
    task = find_running_task()
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    if frame is None or kind_of(frame.f_code) != USER:
        return None
    return Trace((frame.f_code, frame.f_lasti))


def render(trace: Trace | None, root: str) -> CallSite:
    """Turn a trace into paths and line numbers.

    Args:
        trace: What `capture` returned.
        root: The folder to which paths are made relative.

    Returns:
        The call site; without frames where there is no trace.
    """
    if trace is None:
        return CallSite()
    pairs = zip(trace.marks[::2], trace.marks[1::2], strict=True)
    return CallSite(tuple(_render_frame(code, lasti, root) for code, lasti in pairs))


def _render_frame(code: CodeType, lasti: int, root: str) -> Frame:
    path, line = locate(code.co_filename, _line_of(code, lasti))
    return Frame(shorten(path, root), line, code.co_name)


def find_block_end(trace: Trace) -> int | None:
    """Find the last line of the ``with`` block whose end was captured.

    Python reports the exit of a block at the line of its ``with``; a reader looks for its end.

    Args:
        trace: A capture made in ``__exit__`` or ``__aexit__``.

    Returns:
        The number of the block's last line, or None where the source cannot tell.
    """
    if not trace.marks:
        return None
    block = find_block(trace.marks[0].co_filename, _line_of(trace.marks[0], trace.marks[1]))
    return None if block is None else block[1]


def _parent_of(greenlet: Any) -> Any:
    if greenlet is not None:
        return greenlet.parent
    module = sys.modules.get("greenlet")
    return module.getcurrent().parent if module is not None else None


def _line_of(code: CodeType, lasti: int) -> int:
    for start, end, line in code.co_lines():
        if start <= lasti < end and line is not None:
            return line
    return code.co_firstlineno
