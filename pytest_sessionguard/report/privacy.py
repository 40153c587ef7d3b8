"""What a report must not give away: passwords, values of statements, folders of this machine."""

from __future__ import annotations

import contextlib
import os
import re
from functools import lru_cache
from typing import Any

# In a URL, as far as the last `@` before its path; and in the settings that libpq and ODBC take.
_IN_URL = re.compile(r"(://[^/\s:@]*:)[^/\s]+(?=@)")
_IN_SETTING = re.compile(
    r"(?i)\b(password|passwd|pwd)(\s*=\s*)('[^']*'|\"[^\"]*\"|[^\s;&,'\"\])]+)"
)
# What SQLAlchemy appends to its errors; values may hold brackets, so all to the end goes.
_VALUES = re.compile(r"\s*\[(?:SQL|parameters): .*", flags=re.DOTALL)


def clean(value: Any, root: str) -> Any:
    """Take out of plain JSON types whatever is nobody else's business.

    Args:
        value: Plain JSON types.
        root: The folder that is left out of every text.

    Returns:
        The same, with texts that can be written as UTF-8.
    """
    if isinstance(value, str):
        return _clean_text(value, root)
    if isinstance(value, dict):
        return {_clean_text(str(name), root): clean(item, root) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean(item, root) for item in value]
    return value


def make_relative(path: str, root: str) -> str:
    """Return a path as seen from the root, also one that lies outside.

    Args:
        path: A path, absolute or relative to the root.
        root: The folder.

    Returns:
        The path with forward slashes; as it is where no relative one exists.
    """
    if os.path.isabs(path):
        with contextlib.suppress(ValueError):  # another drive of Windows
            path = os.path.relpath(path, root)
    return path.replace(os.sep, "/")


@lru_cache(maxsize=4)
def _find_root(root: str) -> re.Pattern[str]:
    """Find the root where a path begins with it, and not in the middle of another path."""
    folder = re.escape(root.rstrip("/\\") + os.sep)
    return re.compile(rf"(?<![\w./\\~-]){folder}" if len(root) > 1 else r"(?!)")


def _clean_text(text: str, root: str) -> str:
    text = _IN_URL.sub(r"\1***", text)
    text = _IN_SETTING.sub(r"\1\2***", text)
    text = _VALUES.sub("", text)
    text = _find_root(root).sub("", text)
    # A file name that is no UTF-8 comes with lone surrogates, which no file can hold.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
