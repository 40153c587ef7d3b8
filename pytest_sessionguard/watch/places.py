"""Whose code it is: the application's, or that of its tests."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any

from pytest_sessionguard import callsite, files
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.files import shorten

_TEST_FOLDERS = frozenset({"test", "tests", "testing"})
_GENERATORS = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
# What takes a session or a connection for the one who calls it.
_HANDS = frozenset({"__init__", "__enter__", "__exit__", "__aenter__", "__aexit__"})


def is_test_code(trace: Trace | None, root: str) -> bool:
    """Tell whether an event came from a test, a conftest or a helper among the tests.

    Args:
        trace: Where it happened; None where it was before the watching.
        root: The folder of the project.

    Returns:
        Whether the user's innermost frame is theirs.
    """
    if trace is None or not trace.marks:
        return True
    return is_test_file(trace.marks[0].co_filename, root)


def is_test_file(path: str, root: str) -> bool:
    """Tell whether a file holds tests, or what only tests use.

    Args:
        path: A file name as code objects carry it.
        root: The folder of the project.

    Returns:
        Whether its name or one of its folders says so. An example of a doctest is a test.
    """
    *folders, name = shorten(path, root).split("/")
    return (
        name == "conftest.py"
        or name.startswith("test_")
        or name.endswith("_test.py")
        or path.startswith(files.EXAMPLE)
        or not _TEST_FOLDERS.isdisjoint(folders)
    )


def walk_stack() -> Iterator[tuple[FrameType, bool]]:
    """Walk the frames that are running, innermost first, across the greenlets of async code.

    It ends where `pytest_sessionguard.callsite.Tracer.capture` does: at pytest, or at the loop.

    Yields:
        A frame of the user's or of another package's, and whether it is the user's.
    """
    frame: FrameType | None = sys._getframe(1)
    greenlet: Any = None
    while True:
        while frame is not None:
            kind = files.kind_of(frame.f_code)
            if kind == files.EDGE:
                return
            if kind in (files.USER, files.THIRD):
                yield frame, kind == files.USER
            frame = frame.f_back
        greenlet = callsite._parent_of(greenlet)
        if greenlet is None:
            return
        frame = greenlet.gr_frame


def find_worker(root: str) -> CodeType | None:
    """Find the function of the application that is at work.

    A generator (a dependency, a context manager) works for whoever drives it.

    Args:
        root: The folder of the project.

    Returns:
        The code of the innermost function that works for itself, or of the generator that a
        framework drives; None where a test is at work.
    """
    code = None
    for frame, is_users in walk_stack():
        if not is_users:
            return code
        code = frame.f_code
        if is_test_file(code.co_filename, root):
            return None
        if not works_for_caller(code):
            return code
    return None


def works_for_caller(code: CodeType) -> bool:
    """Tell whether a function is a generator, or opens and closes a block for its caller.

    Args:
        code: Its code.

    Returns:
        Whether what it opens is its caller's.
    """
    return bool(code.co_flags & _GENERATORS) or code.co_name in _HANDS
