"""How many connections of an engine are out, whenever that changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from pytest_sessionguard.accounts import PoolFacts

# So many engines of one kind get a gauge each; a suite that makes one for each test has one more
# for all that follow.
_ALONE = 8
_POINTS = 400
# These share one connection among all who ask, or have no limit: a line would promise one.
_BOUNDLESS = frozenset({"NullPool", "StaticPool", "SingletonThreadPool", "AssertionPool"})

Point = tuple[float, int]


class Gauge:
    """The number out over time, of one engine or of several that are alike.

    Attributes:
        number: What names it in this process.
        engines: How many engines it stands for.
        is_news: Whether something of it was not packed yet.
    """

    def __init__(self, number: int, pool: PoolFacts) -> None:
        self.number = number
        self.engines = 0
        self.is_news = True
        self._pool = pool.engine, pool.kind, pool.size, pool.overflow
        self._out: Counter[int] = Counter()
        self._points: list[Point] = []
        # Threads count at the same time; a collection in the midst of it may end another lease.
        self._lock = RLock()

    def move(self, now: float, engine: int, by: int) -> None:
        """Enter that a connection went out or came back.

        Args:
            now: When.
            engine: What names the engine.
            by: 1 or -1.
        """
        with self._lock:
            self._out[engine] += by
            if not self._out[engine]:
                del self._out[engine]
            self._points.append((now, max(self._out.values(), default=0)))
            self.is_news = True
            if len(self._points) > 4 * _POINTS:
                self._points = thin(self._points, _POINTS)

    def take(self) -> dict[str, Any]:
        """Put what is new into plain JSON types, and forget it."""
        engine, kind, size, overflow = self._pool
        with self._lock:
            points, self._points = thin(self._points, _POINTS), []
            self.is_news = False
        return {
            "id": self.number,
            "engine": engine,
            "pool": kind,
            "size": None if kind in _BOUNDLESS else size,
            "overflow": None if kind in _BOUNDLESS else overflow,
            "engines": self.engines,
            "out": [list(point) for point in points],
        }


class Gauges:
    """The gauges of all engines of a process."""

    def __init__(self) -> None:
        self._all: list[Gauge] = []
        self._by_dialect: WeakKeyDictionary[Any, tuple[Gauge, int]] = WeakKeyDictionary()
        self._by_pool: dict[int, tuple[PoolFacts, tuple[Gauge, int]]] = {}
        self._alike: dict[Any, list[Gauge]] = {}
        self._seen = 0

    def find(self, pool: PoolFacts) -> tuple[Gauge, int]:
        """Find the gauge of a pool's engine.

        Args:
            pool: What is known of the pool; one that ``dispose()`` made anew has the same dialect.

        Returns:
            The gauge, and what names the engine to it.
        """
        dialect = pool.dialect()
        if dialect is None:  # one of a class of its own
            known = self._by_pool.get(id(pool))
            if known is None:
                known = self._by_pool[id(pool)] = pool, (self._choose(pool), self._seen)
            return known[1]
        found = self._by_dialect.get(dialect)
        if found is None:
            found = self._by_dialect[dialect] = self._choose(pool), self._seen
        return found

    def _choose(self, pool: PoolFacts) -> Gauge:
        self._seen += 1
        kind = pool.engine, pool.kind, pool.size, pool.overflow
        alike = self._alike.setdefault(kind, [])
        if len(alike) <= _ALONE:
            gauge = Gauge(len(self._all), pool)
            self._all.append(gauge)
            alike.append(gauge)
        alike[-1].engines += 1
        alike[-1].is_news = True
        return alike[-1]

    def take(self) -> list[dict[str, Any]]:
        """Put what is new into plain JSON types, and forget it."""
        return [gauge.take() for gauge in self._all if gauge.is_news]


def thin(points: Iterable[Point], limit: int) -> list[Point]:
    """Leave out points, and no peak.

    Args:
        points: When, and how many are out from then on; in order of time.
        limit: How many points are enough.

    Returns:
        At most so many: of each stretch the highest and the last.

    Examples:
        >>> thin([(0, 1), (1, 3), (2, 1), (3, 2), (4, 1), (5, 0)], 4)
        [(1, 3), (2, 1), (3, 2), (5, 0)]
    """
    points = list(points)
    if len(points) <= limit:
        return points
    stretches = max(1, limit // 2)
    kept: list[Point] = []
    for number in range(stretches):
        stretch = points[
            number * len(points) // stretches : (number + 1) * len(points) // stretches
        ]
        if stretch:
            highest = max(stretch, key=lambda point: point[1])
            kept += [highest] if highest is stretch[-1] else [highest, stretch[-1]]
    return kept
