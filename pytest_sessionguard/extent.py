"""How much of a suite a run was: what is gone can be told only where nothing was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Extent:
    """What was to run and what was judged, merged from every process that ran tests.

    Attributes:
        narrowed: Why the run was not of the whole suite; empty where nothing speaks against it.
    """

    def __init__(self) -> None:
        self.narrowed = ""
        self._collected = -1
        self._ended: set[str] = set()
        self._judged: set[str] = set()

    def add(self, news: Mapping[str, Any]) -> None:
        """Add what a process has collected.

        Args:
            news: The number of its tests as ``collected`` and, if it left some out, ``narrowed``.
        """
        self._collected = max(self._collected, news.get("collected", -1))
        self.narrowed = self.narrowed or news.get("narrowed", "")

    def end_test(self, nodeid: str, *, judged: bool) -> None:
        """Enter that a test has ended.

        Args:
            nodeid: The test.
            judged: Whether it was judged; a failed or skipped one is not.
        """
        self._ended.add(nodeid)
        if judged:
            self._judged.add(nodeid)

    @property
    def is_whole(self) -> bool:
        """Tell whether every test of the suite has come to its end."""
        return not self.narrowed and 0 < self._collected <= len(self._ended)

    @property
    def is_judged(self) -> bool:
        """Tell whether every test of the suite was judged."""
        return self.is_whole and self._collected <= len(self._judged)

    def __str__(self) -> str:
        if self.narrowed:
            return self.narrowed
        if not self.is_whole:
            return "not every test has run"
        left = self._collected - len(self._judged)
        count = "1 test was" if left == 1 else f"{left} tests were"
        return "" if self.is_judged else f"{count} skipped or failed"
