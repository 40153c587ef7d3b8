"""Results of queries: where in the user's code the latest of them came from."""

from __future__ import annotations

from pytest_sessionguard.callsite import Trace

# A power of two, so that a number's place is found without a division.
_KEPT = 4096


class Results:
    """The latest results, each at the place of its number.

    What is read is mostly read soon after it was loaded; a result so old that another one has taken
    its place is not known any more.

    Attributes:
        places: The number and the trace of each result.
        last: The last place, and the bits of a number that tell its place.
    """

    __slots__ = ("last", "places")

    def __init__(self) -> None:
        self.places: list[tuple[int, Trace] | None] = [None] * _KEPT
        self.last = _KEPT - 1

    def find(self, number: int) -> Trace | None:
        """Find where a result was made.

        Args:
            number: Its number, with which SQLAlchemy stamps the instances that it brings.

        Returns:
            The statement's call site, or None where nobody was watching or it was long ago.
        """
        place = self.places[number & self.last]
        return place[1] if place is not None and place[0] == number else None
