"""The line at which a function returned."""

from __future__ import annotations

import ast
import dis
from functools import lru_cache
from types import CodeType

from pytest_sessionguard.files import read_nodes


def find_return(code: CodeType, lasti: int) -> int:
    """Find the ``return`` by which a function has left.

    Python leaves a ``with`` block or a ``try`` by way of its end, and the last instruction is one
    of those: of the line of the ``with``, or of the last line of the ``finally``. The code of the
    end is laid out for each ``return`` once more, right behind it.

    Args:
        code: The function's code.
        lasti: The last instruction that it ran.

    Returns:
        An instruction of the ``return``; the last one itself where it is that, where the end of the
        function was reached, or where the source cannot be read.
    """
    returns, ends = _find_lines(code.co_filename)
    for offset, line in reversed(_list_lines(code)):
        if offset <= lasti:
            if line in returns:
                return offset
            if line not in ends:
                break
    return lasti


def guess_return(code: CodeType) -> int:
    """Guess where a function has returned whose frame nobody has seen.

    Args:
        code: The function's code.

    Returns:
        An instruction of its one ``return``, or -1, which is its first line, where it has several.
    """
    returns, _ = _find_lines(code.co_filename)
    found = {line: offset for offset, line in _list_lines(code) if line in returns}
    return next(iter(found.values())) if len(found) == 1 else -1


def _list_lines(code: CodeType) -> list[tuple[int, int]]:
    """Return the instructions of a code object that belong to a line."""
    lines = [(start, end, line) for start, end, line in code.co_lines() if line is not None]
    found = []
    for instruction in dis.get_instructions(code):
        for start, end, line in lines:
            if start <= instruction.offset < end:
                found.append((instruction.offset, line))
                break
    return found


@lru_cache(maxsize=64)
def _find_lines(path: str) -> tuple[frozenset[int], frozenset[int]]:
    """Return the lines of a file's ``return`` statements, and those of the ends of its blocks."""
    returns: set[int] = set()
    ends: set[int] = set()
    for node in read_nodes(path):
        if isinstance(node, ast.Return):
            returns.update(range(node.lineno, _last(node) + 1))
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            ends.update(range(node.lineno, max(node.lineno + 1, node.body[0].lineno)))
        elif isinstance(node, ast.Try) and node.finalbody:
            ends.update(range(node.finalbody[0].lineno, _last(node.finalbody[-1]) + 1))
    return frozenset(returns), frozenset(ends)


def _last(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
