"""Files of reports: tried before the run, and written whole or not at all."""

from __future__ import annotations

import os
import tempfile


def try_file(path: str) -> None:
    """Make sure that a file can be written, without touching it; its folder is made.

    Args:
        path: The file.

    Raises:
        OSError: It cannot.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path!r} is a folder")
    if _is_special(path):
        with open(path, "ab"):
            return
    folder = os.path.dirname(os.path.realpath(path))
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_file(path: str, text: str) -> None:
    """Write a file; a reader sees the old one or the new one, never a part.

    Args:
        path: The file.
        text: What it is to hold.

    Raises:
        OSError: It cannot be written.
    """
    target = os.path.realpath(path)  # a link stays a link
    special = _is_special(target)
    # Beside the target: a rename is atomic within one file system only. Not `tempfile`, whose files
    # only their owner may read.
    draft = target if special else f"{target}.{os.getpid()}.tmp"
    os.makedirs(os.path.dirname(target), exist_ok=True)
    try:
        with open(draft, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        if not special:
            os.replace(draft, target)
    except BaseException:
        if not special and os.path.exists(draft):
            os.unlink(draft)
        raise


def _is_special(path: str) -> bool:
    """Tell whether it is a device or a pipe, which must not be replaced."""
    return os.path.exists(path) and not os.path.isfile(path)
