"""Files of the frames on a stack: what each is to a call site, and the blocks that end in it."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from functools import lru_cache
from types import CodeType

# What a file is to a call site. A file's kind is looked up by its name at every frame.
LIBRARY = 0  # SQLAlchemy, the standard library, drivers' helpers, this package: passed over
USER = 1
EDGE = 2  # pytest, pluggy, the event loop: what lies behind did not lead to the event
THIRD = 3  # another package in site-packages: shown only where there is no user's frame
# Files of SQLAlchemy that tell by which door it was entered; these add up.
SESSION = 4
ASYNC = 8
SCOPED = 16
_DOORS = {
    "orm/session.py": SESSION,
    "orm/scoping.py": SCOPED,
    "ext/asyncio/session.py": ASYNC,
    "ext/asyncio/scoping.py": ASYNC | SCOPED,
}

kinds: dict[str, int] = {}


def kind_of(code: CodeType) -> int:
    """Tell what the file of some code is to a call site.

    Args:
        code: The code of a frame.

    Returns:
        One of the constants above; the doors of SQLAlchemy add up.
    """
    kind = kinds.get(code.co_filename)
    return learn(code.co_filename) if kind is None else kind


def learn(path: str) -> int:
    """Find out what a file is that was not met before.

    Args:
        path: Its name, as code objects carry it.

    Returns:
        The same.
    """
    kind = kinds[path] = _classify(path)
    return kind


def _classify(path: str) -> int:  # noqa: PLR0911 (a table)
    normal = path.replace("\\", "/")
    if normal.startswith("<"):
        return LIBRARY
    if normal.startswith(_sqlalchemy_folder()):
        return _DOORS.get(normal[len(_sqlalchemy_folder()) :], LIBRARY)
    if "/_pytest/" in normal or "/pluggy/" in normal or normal.endswith("/asyncio/events.py"):
        return EDGE
    if normal.startswith(_own_folder()):
        return LIBRARY
    if _in_packages(normal):
        return THIRD
    if normal.startswith(_standard_folders()):
        return LIBRARY
    return USER


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


def find_end(path: str, line: int) -> int | None:
    """Find the last line of the ``with`` block that begins at a line.

    Args:
        path: A file of the user's.
        line: The line of its ``with``, or of one of the things that it opens.

    Returns:
        The number of the block's last line, or None where the source cannot tell.
    """
    ends = [
        node.end_lineno
        for node in _blocks_of(path)
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
