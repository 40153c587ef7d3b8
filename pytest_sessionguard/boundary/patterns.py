"""Patterns of dotted names, as `app.services.*`: the modules whose functions are services."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

# The first part is a name, for a pattern that begins with a wildcard would take in every library.
_PATTERN = re.compile(r"[^\W\d]\w*(\.[\w*?\[\]!-]+)*")


class PatternError(ValueError):
    """A pattern that is no dotted name; its text says what one looks like."""


def read_patterns(patterns: str | Iterable[str]) -> tuple[str, ...]:
    """Read patterns, each of which may list several with commas or blanks.

    Args:
        patterns: Patterns of modules.

    Returns:
        The single patterns, each once.

    Raises:
        PatternError: One of them is no dotted name.

    Example:
        >>> read_patterns("app.services.*, app.repositories")
        ('app.services.*', 'app.repositories')
    """
    texts = [patterns] if isinstance(patterns, str) else [str(pattern) for pattern in patterns]
    found = [part for text in texts for part in re.split(r"[\s,]+", text) if part]
    for part in found:
        if not _PATTERN.fullmatch(part):
            raise PatternError(
                f"{part!r} is no pattern of modules: it is a dotted name that begins with a "
                "package, such as 'app.services.*'."
            )
    return tuple(dict.fromkeys(found))


def fits(pattern: str, module: str) -> bool:
    """Tell whether a pattern means a module.

    Args:
        pattern: One pattern. `app.services.*` means the module `app.services` too, whose functions
            it names.
        module: The module's dotted name.

    Returns:
        Whether it does.
    """
    return fnmatchcase(module, pattern) or module == pattern.removesuffix(".*")
