"""The ways in which a request ends for its dependencies, and what was left after one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Way(Enum):
    """How a dependency comes to its end; the last is for generators only."""

    END = "at its normal end"
    EXCEPTION = "with an exception thrown in"
    CANCELLATION = "on cancellation"
    ABANDONED = "abandoned"


@dataclass(frozen=True)
class Failure:
    """A way in which a dependency did not end as it should.

    Attributes:
        way: The way.
        holder: The kind of session that was left open; empty where none was.
        connections: How many connections were not returned.
        committed: Whether an unfinished transaction was committed.
        swallowed: What came in and did not come out again.
    """

    way: Way
    holder: str = ""
    connections: int = 0
    committed: bool = False
    swallowed: str = ""

    @property
    def is_any(self) -> bool:
        """Tell whether anything is wrong."""
        return bool(self.holder or self.connections or self.committed or self.swallowed)


class NoSessionError(TypeError):
    """A dependency has opened no session, or nobody has seen it."""


class Thrown(Exception):  # noqa: N818 (it is no error of anybody's)
    """What is thrown into a dependency, as a route that fails would."""

    def __init__(self) -> None:
        super().__init__("thrown in by assert_dependency_closes()")
