"""Files of the frames on a stack: what each is to a call site, and the blocks that end in it."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from operator import itemgetter
from types import CodeType

from pytest_sessionguard.project import find_installed

# What a file is to a call site. A file's kind is looked up by its name at every frame.
LIBRARY = 0  # SQLAlchemy, the standard library, drivers' helpers, this package: passed over
USER = 1
EDGE = 2  # pytest, pluggy, the event loop: what lies behind did not lead to the event
THIRD = 3  # another package in site-packages: shown only where there is no user's frame
# Files of SQLAlchemy that tell by which door it was entered; these add up.
SESSION = 4
ASYNC = 8
SCOPED = 16
# These are no file's: another package stands before the first frame of the user's, or behind it.
FOREIGN = 32
DRIVEN = 64
_DOORS = {
    "orm/session.py": SESSION,
    "orm/scoping.py": SCOPED,
    "ext/asyncio/session.py": ASYNC,
    "ext/asyncio/scoping.py": ASYNC | SCOPED,
}

kinds: dict[str, int] = {}
# What `doctest` names the code of an example, for it compiles each by itself.
EXAMPLE = "<doctest "
_examples: dict[str, tuple[str, int]] = {}
_roots: list[str] = []


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
        return USER if normal.startswith(EXAMPLE) else LIBRARY
    if normal.startswith(_sqlalchemy_folder()):
        return _DOORS.get(normal[len(_sqlalchemy_folder()) :], LIBRARY)
    if "/_pytest/" in normal or "/pluggy/" in normal or normal.endswith("/asyncio/events.py"):
        return EDGE
    if normal.startswith(_own_folder()):
        return LIBRARY
    if _in_packages(normal):
        return USER if normal in find_own() else THIRD
    if normal.startswith(_standard_folders()):
        return LIBRARY
    return USER


def learn_root(root: str) -> Callable[[], None]:
    """Learn where the project stands, whose own code may be installed.

    Args:
        root: Its folder.

    Returns:
        What forgets it.
    """
    _roots.append(root)
    kinds.clear()

    def forget() -> None:
        _roots.remove(root)
        kinds.clear()

    return forget


def learn_examples(name: str, path: str, lines: Iterable[int]) -> None:
    """Learn where the examples of a doctest stand.

    Args:
        name: What the doctest is called.
        path: The file that holds it.
        lines: The first line of each of its examples.
    """
    for number, line in enumerate(lines):
        _examples[f"{EXAMPLE}{name}[{number}]>"] = path, line


def locate(path: str, line: int) -> tuple[str, int]:
    """Find the file in which some code stands.

    Args:
        path: A file name as code objects carry it.
        line: A line of that code.

    Returns:
        File and line; both as they are, unless the code is an example that is known, or is the
        project's own and installed.
    """
    file, first = _examples.get(path, (path, 1))
    if _in_packages(path.replace("\\", "/")):
        file = find_own().get(path.replace("\\", "/"), file)
    return file, first + line - 1


def _in_packages(path: str) -> bool:
    return "/site-packages/" in path or "/dist-packages/" in path


def find_own() -> dict[str, str]:
    """Find the project's own code where it is installed; once, and best before a test runs.

    Returns:
        Its files, each with what is shown instead.
    """
    return _find_installed(_roots[-1]) if _roots else {}


_find_installed = lru_cache(maxsize=4)(find_installed)


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


def find_block(path: str, line: int) -> tuple[int, int] | None:
    """Find the ``with`` block that begins at a line.

    Args:
        path: A file of the user's.
        line: The line of its ``with``, or of one of the things that it opens.

    Returns:
        The numbers of its first and last line, or None where the source cannot tell.
    """
    blocks = [
        (node.lineno, node.end_lineno)
        for node in _blocks_of(path)
        # Its body may begin on its very line.
        if node.lineno <= line < max(node.body[0].lineno, node.lineno + 1)
        and node.end_lineno is not None
    ]
    return min(blocks, key=itemgetter(1), default=None)


@lru_cache(maxsize=64)
def _blocks_of(path: str) -> tuple[ast.With | ast.AsyncWith, ...]:
    return tuple(n for n in read_nodes(path) if isinstance(n, (ast.With, ast.AsyncWith)))


def read_nodes(path: str) -> Iterator[ast.AST]:
    """Read what a file of Python says.

    Args:
        path: The file.

    Returns:
        The nodes of its syntax tree; none where it cannot be read.
    """
    try:
        with tokenize.open(path) as source:  # a test may have put something else in `open`'s place
            tree = ast.parse(source.read())
    # SystemError: python/cpython#106905, where a collection runs inside the parser.
    except (OSError, SyntaxError, ValueError, RecursionError, SystemError):
        return iter(())
    return ast.walk(tree)
