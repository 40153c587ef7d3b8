"""Where the user's code makes tasks of what others have written.

``asyncio.gather(session.scalar(...))``, and before Python 3.12 ``asyncio.wait_for``, run coroutines
of SQLAlchemy's as tasks of their own: no frame of theirs shows a line of the user's.
"""

from __future__ import annotations

from types import FrameType
from typing import Any

# Where a task keeps the line.
_NAME = "_sessionguard_making"


def note_making(task: Any, frame: FrameType) -> None:
    """Note where a task was made.

    Args:
        task: The task.
        frame: The user's frame that makes it.

    Raises:
        AttributeError: It has no place for that; a factory of the user's may make anything.
    """
    setattr(task, _NAME, (frame.f_code, frame.f_lasti))


def find_making(task: Any) -> tuple[Any, ...]:
    """Find where a task was made.

    Args:
        task: A task, or None.

    Returns:
        Code object and ``f_lasti``; nothing where its own frames show it, or nobody knows.
    """
    made: tuple[Any, ...] = getattr(task, _NAME, ())
    return made
