"""Where in the user's code an event came from: captured as code objects, rendered when shown.

A capture runs at every checkout, so it reads no line number and keeps no frame: it stores code
objects with their ``f_lasti`` (line numbers are decoded from a table on Python 3.11 and newer,
which costs two to four times as much) and stops at the second frame of the user's.
"""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from functools import lru_cache, partial
from operator import attrgetter
from types import CodeType, FrameType
from typing import Any, NamedTuple

from pytest_sessionguard.model import CallSite, Frame

FRAMES = 2
_WAYS = 4
_get_frame = sys._getframe

# What a file is to a call site. A file's kind is looked up by its name at every frame.
_LIBRARY = 0  # SQLAlchemy, the standard library, drivers' helpers, this package: passed over
_USER = 1
_EDGE = 2  # pytest, pluggy, the event loop: what lies behind did not lead to the event
_THIRD = 3  # another package in site-packages: shown only where there is no user's frame
# Files of SQLAlchemy that tell by which door it was entered; these add up.
_SESSION = 4
_ASYNC = 8
_SCOPED = 16
_DOORS = {
    "orm/session.py": _SESSION,
    "orm/scoping.py": _SCOPED,
    "ext/asyncio/session.py": _ASYNC,
    "ext/asyncio/scoping.py": _ASYNC | _SCOPED,
}

_kinds: dict[str, int] = {}


class Trace(NamedTuple):
    """A call site as captured.

    Attributes:
        marks: Code objects and ``f_lasti`` in turn, innermost first.
        doors: By which of SQLAlchemy's modules the way led.
    """

    marks: tuple[Any, ...]
    doors: int = 0

    @property
    def by_session(self) -> bool:
        """Tell whether a session did it for the user."""
        return bool(self.doors & _SESSION)

    @property
    def is_async(self) -> bool:
        """Tell whether an async session stands between."""
        return bool(self.doors & _ASYNC)

    @property
    def is_scoped(self) -> bool:
        """Tell whether the registry of a scoped session stands between."""
        return bool(self.doors & _SCOPED)

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
    """

    def __init__(self, limit: int = FRAMES) -> None:
        self._limit = limit
        # One call of a built-in reads all that is wanted of the user's frames.
        paths = [f"{'f_back.' * step}{name}" for step in (1, 2) for name in ("f_code", "f_lasti")]
        self._read_behind = attrgetter(*paths[: 2 * limit])
        self._ways: list[tuple[int, CodeType, int]] = []

    def capture(self) -> Trace:
        """Collect the user's frames above the caller, across the greenlets of async code.

        SQLAlchemy runs async code in a greenlet whose ``f_back`` chain ends at its own root
        (``sqlalchemy.util.concurrency.greenlet_spawn``); the coroutine that awaits it is found in
        the parent greenlet's frame.

        Returns:
            The trace, empty where no frame but the library's was found.
        """
        for depth, entry, doors in self._ways:
            try:
                frame = _get_frame(depth)
            except ValueError:
                continue
            if frame.f_code is entry:
                try:
                    marks = self._read_behind(frame)
                except AttributeError:  # the stack ends there, or this greenlet's does
                    return _walk(frame.f_back, self._limit, doors)
                get_kind = _kinds.get
                if get_kind(marks[0].co_filename) == _USER:
                    if len(marks) == 2 or get_kind(marks[2].co_filename) == _USER:
                        return _make_trace((marks, doors))
                    return _walk(frame.f_back, self._limit, doors)
        return self._learn_way(_get_frame(1))

    def _learn_way(self, frame: FrameType) -> Trace:
        """Walk every frame, and keep the way if nothing but the library lies on it."""
        step, depth, doors = frame, 1, 0  # 0 would be `capture` itself
        while True:
            behind = step.f_back
            kind = _USER if behind is None else _kind_of(behind.f_code)
            if behind is None or _USER <= kind <= _THIRD:
                break
            step, depth, doors = behind, depth + 1, doors | kind
        if kind == _USER:
            self._ways = [(depth, step.f_code, doors), *self._ways][:_WAYS]
        return _walk(frame, self._limit)


def _walk(frame: FrameType | None, limit: int, doors: int = 0) -> Trace:
    """Collect the user's frames from a frame on, itself included."""
    marks: list[Any] = []
    third: tuple[Any, ...] = ()
    get_kind = _kinds.get
    full = 2 * limit
    greenlet: Any = None
    while True:
        while frame is not None:
            code = frame.f_code
            kind = get_kind(code.co_filename)
            if kind == _USER:
                marks += (code, frame.f_lasti)
                if len(marks) == full:
                    return _make_trace((tuple(marks), doors))
            elif kind:
                if kind == _EDGE:
                    return Trace(tuple(marks) or third, doors)
                if kind == _THIRD:
                    third = third or (code, frame.f_lasti)
                else:
                    doors |= kind & _passable(marks)
            elif kind is None:
                _learn(code.co_filename)
                continue
            frame = frame.f_back
        greenlet = _parent_of(greenlet)
        if greenlet is None:
            return Trace(tuple(marks) or third, doors)
        frame = greenlet.gr_frame


def _passable(marks: list[Any]) -> int:
    """Return the doors that still count behind some of the user's frames.

    A factory of a registry may be the user's, and so may the ``__init__`` of a session's class;
    what else stands behind a user's frame led to that frame and not to the event.
    """
    if not marks:
        return _SESSION | _ASYNC | _SCOPED
    return _ASYNC | _SCOPED if marks[-2].co_name == "__init__" else _SCOPED


def capture_task() -> Trace | None:
    """Capture where the running task stands, seen from its root.

    An exception that is thrown into a task passes ``coroutine.__await__`` wrappers without linking
    the frames outside them (CPython's ``gen_throw``), so no walk finds the user's coroutine.

    Returns:
        The await of the task's root coroutine, or None where there is none of the user's.
    """
    import asyncio  # only here, where a loop runs

    try:
        task = asyncio.current_task()
    except RuntimeError:
        return None
    frame = getattr(task.get_coro(), "cr_frame", None) if task is not None else None
    if frame is None or _kind_of(frame.f_code) != _USER:
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
    return CallSite(
        tuple(
            Frame(shorten(code.co_filename, root), _line_of(code, lasti), code.co_name)
            for code, lasti in pairs
        )
    )


def shorten(path: str, root: str) -> str:
    """Return a path relative to the root where it lies below it, with forward slashes.

    Args:
        path: A file name as code objects carry it.
        root: The folder to which it is made relative.

    Returns:
        The shorter path, or the path as it is.
    """
    prefix = root.rstrip(os.sep) + os.sep
    short = path.removeprefix(prefix)
    return short.replace(os.sep, "/")


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
    code, lasti = trace.marks[0], trace.marks[1]
    line = _line_of(code, lasti)
    ends = [
        node.end_lineno
        for node in _blocks_of(code.co_filename)
        if node.lineno <= line <= node.body[0].lineno and node.end_lineno is not None
    ]
    return min(ends, default=None)


@lru_cache(maxsize=64)
def _blocks_of(path: str) -> tuple[ast.With | ast.AsyncWith, ...]:
    try:
        with open(path, encoding="utf-8") as source:
            tree = ast.parse(source.read())
    # SystemError: python/cpython#106905, where a collection runs inside the parser.
    except (OSError, SyntaxError, ValueError, RecursionError, SystemError):
        return ()
    return tuple(n for n in ast.walk(tree) if isinstance(n, (ast.With, ast.AsyncWith)))


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


def _kind_of(code: CodeType) -> int:
    kind = _kinds.get(code.co_filename)
    return _learn(code.co_filename) if kind is None else kind


def _learn(path: str) -> int:
    kind = _kinds[path] = _classify(path)
    return kind


def _classify(path: str) -> int:  # noqa: PLR0911 (a table)
    normal = path.replace("\\", "/")
    if normal.startswith("<"):
        return _LIBRARY
    if normal.startswith(_sqlalchemy_folder()):
        return _DOORS.get(normal[len(_sqlalchemy_folder()) :], _LIBRARY)
    if "/_pytest/" in normal or "/pluggy/" in normal or normal.endswith("/asyncio/events.py"):
        return _EDGE
    if normal.startswith(_own_folder()):
        return _LIBRARY
    if _in_packages(normal):
        return _THIRD
    if normal.startswith(_standard_folders()):
        return _LIBRARY
    return _USER


def _in_packages(path: str) -> bool:
    return "/site-packages/" in path or "/dist-packages/" in path


@lru_cache(maxsize=1)
def _own_folder() -> str:
    return os.path.dirname(os.path.abspath(__file__)).replace("\\", "/") + "/"


def _sqlalchemy_folder() -> str:
    module = sys.modules.get("sqlalchemy")
    file = getattr(module, "__file__", None) or "/site-packages/sqlalchemy/__init__.py"
    return os.path.dirname(file).replace("\\", "/") + "/"


@lru_cache(maxsize=1)
def _standard_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths["stdlib"], paths["platstdlib"], os.path.dirname(os.__file__)}
    folders |= {os.path.realpath(folder) for folder in folders}
    return tuple(sorted(folder.replace("\\", "/").rstrip("/") + "/" for folder in folders))
