"""Patterns of paths, as `tests/factories/*`: places whose findings are meant."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


class PathPatternError(ValueError):
    """A pattern that can mean no file; its text says what one looks like."""


def read_paths(patterns: Iterable[str]) -> tuple[str, ...]:
    """Read patterns of paths, each of which may list several with commas.

    Args:
        patterns: Patterns.

    Returns:
        The single patterns with forward slashes, each once.

    Raises:
        PathPatternError: One of them can mean no path that a message shows.

    Example:
        >>> read_paths(["tests/factories, ./app/legacy/*"])
        ('tests/factories', 'app/legacy/*')
    """
    found = []
    for text in patterns:
        for part in text.split(","):
            pattern = part.strip().replace("\\", "/").removeprefix("./").rstrip("/")
            if pattern.startswith(".."):
                raise PathPatternError(
                    f"{part.strip()!r} leaves the rootdir; write the path as messages show it, "
                    "such as '*/shared/factories.py'."
                )
            if pattern:
                found.append(pattern)
    return tuple(dict.fromkeys(found))


def fits(pattern: str, path: str) -> bool:
    """Tell whether a pattern means a file.

    Args:
        pattern: One pattern. It names a file or a folder with all that is in it; a wildcard
            stands for any characters, slashes too.
        path: The path as messages show it: relative to the rootdir where it lies below it.

    Returns:
        Whether it does.
    """
    return fnmatchcase(path, pattern) or fnmatchcase(path, f"{pattern}/*")
