"""How much a run has seen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """What was seen since the last count.

    Attributes:
        tests: Tests judged.
        engines: Engines seen.
        sessions: Sessions seen.
    """

    tests: int = 0
    engines: int = 0
    sessions: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.tests + other.tests,
            self.engines + other.engines,
            self.sessions + other.sessions,
        )

    def __sub__(self, other: Tally) -> Tally:
        return Tally(
            self.tests - other.tests,
            self.engines - other.engines,
            self.sessions - other.sessions,
        )
