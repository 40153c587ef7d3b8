"""What ends a command with exit code 2."""

from __future__ import annotations


class CommandError(ValueError):
    """A call that cannot be meant; its text is one line that names what would be right."""
