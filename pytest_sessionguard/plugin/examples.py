"""Where the examples of a doctest stand, for the code of each is named after the doctest."""

from __future__ import annotations

from typing import Any

from pytest_sessionguard import files


def locate_examples(item: Any) -> None:
    """Tell where the examples of an item stand, if it is a doctest.

    Two files may hold doctests of one name, so this is told as each begins.

    Args:
        item: A test that is about to run.
    """
    test: Any = getattr(item, "dtest", None)
    path = getattr(test, "filename", None)
    first = getattr(test, "lineno", None)
    if path is None or first is None:  # it is none, or nobody knows where its docstring begins
        return
    # Lines of a doctest count from 0, and those of an example from its docstring.
    lines = [first + example.lineno + 1 for example in test.examples]
    files.learn_examples(test.name, path, lines)
