"""Notes that an exception of the user's carries."""

from __future__ import annotations

import sys


def add_notes(error: BaseException, lines: list[str]) -> None:
    """Add lines to what pytest and the interpreter print of an exception.

    Args:
        error: The exception.
        lines: The lines.
    """
    if sys.version_info >= (3, 11):
        for line in lines:
            error.add_note(line)
    else:
        # What `exceptiongroup`, which pytest brings on Python 3.10, prints (PEP 678).
        notes = [*getattr(error, "__notes__", []), *lines]
        error.__notes__ = notes  # type: ignore[attr-defined]
