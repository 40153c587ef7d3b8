"""What a run came to beside its findings: how pools were used, and what keeps it from ending.

Plain values, merged from every process that ran tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


def find_limit(size: int | None, overflow: int | None) -> int | None:
    """Find how many connections a pool hands out at most.

    Args:
        size: Its ``pool_size``; 0 is without a limit, as `sqlalchemy.pool.QueuePool` has it.
        overflow: Its ``max_overflow``; negative is without a limit.

    Returns:
        The number, or None where there is no limit.

    Examples:
        >>> find_limit(5, 10), find_limit(5, -1)
        (15, None)
    """
    if size is None or overflow is None or size <= 0 or overflow < 0:
        return None
    return size + overflow


@dataclass(frozen=True)
class PoolUse:
    """The most that was out at once, of the pools of one kind whose engines were made at one place.

    Attributes:
        engine: Dialect and driver.
        kind: The class of the pool.
        size: Its ``pool_size``.
        overflow: Its ``max_overflow``; negative where there is no limit.
        made: Where its engine was made; empty where that was before the watching.
        at_once: How many of its connections were out at the same time in one test or fixture.
        at_once_by: Which.
        in_task: How many of these one task or thread of the application held.
        in_task_by: In which test or fixture.
        in_task_at: Where the last of them was taken; empty where it never was more than one.
    """

    engine: str
    kind: str
    size: int | None = None
    overflow: int | None = None
    made: str = ""
    at_once: int = 1
    at_once_by: str = ""
    in_task: int = 1
    in_task_by: str = ""
    in_task_at: str = ""

    @property
    def limit(self) -> int | None:
        """Return how many connections the pool hands out at most; None without a limit."""
        return find_limit(self.size, self.overflow)

    @property
    def safe_workers(self) -> int | None:
        """Return how many workers cannot deadlock on the pool; None where any number is safe."""
        if self.limit is None or self.in_task < 2:
            return None
        return (self.limit - 1) // (self.in_task - 1)

    def size_for(self, workers: int) -> int:
        """Return how large the pool must be so that its workers cannot wait for each other.

        If each holds one less than it needs and one connection is left, somebody can go on.

        Args:
            workers: Threads, or requests at the same time.

        Returns:
            The least ``pool_size + max_overflow``.

        Example:
            >>> PoolUse("postgresql+asyncpg", "QueuePool", 5, 10, in_task=2).size_for(20)
            21
        """
        return workers * (self.in_task - 1) + 1

    def merge(self, other: PoolUse) -> PoolUse:
        """Return the larger peaks of two surveys of the same pools.

        Args:
            other: What another process saw.

        Returns:
            The use of both; of two equal peaks that whose owner comes first, in either order.
        """
        at_once = max(self, other, key=lambda use: (use.at_once, _backwards(use.at_once_by)))
        in_task = max(self, other, key=lambda use: (use.in_task, _backwards(use.in_task_by)))
        return replace(
            at_once,
            in_task=in_task.in_task,
            in_task_by=in_task.in_task_by,
            in_task_at=in_task.in_task_at,
        )


@dataclass(frozen=True)
class Holdout:
    """Connections whose threads keep the interpreter alive after the run.

    Attributes:
        engine: Dialect and driver; empty where they were opened past every engine.
        count: How many.
        made: Where the engine was made.
        made_by: By whom.
        taken: Where they were checked out, if nobody has returned them; else they wait in the pool.
        taken_by: By whom.
        opened: Where they were opened.
        opened_by: By whom.
    """

    engine: str = ""
    count: int = 1
    made: str = ""
    made_by: str = ""
    taken: str = ""
    taken_by: str = ""
    opened: str = ""
    opened_by: str = ""


@dataclass(frozen=True)
class Survey:
    """What a run came to beside its findings.

    Attributes:
        pools: How each kind of pool was used, in the order in which they were first seen.
        holdouts: What keeps a process of it from ending.
        trouble: Why a Postgres server was not asked any more (SG105); empty where all went well.
    """

    pools: tuple[PoolUse, ...] = ()
    holdouts: tuple[Holdout, ...] = ()
    trouble: str = ""

    def merge(self, other: Survey) -> Survey:
        """Return the survey of two processes, or of two parts of a run.

        Args:
            other: The other one.

        Returns:
            The larger peaks of each kind of pool, and all that keeps them from ending.
        """
        pools: dict[Any, PoolUse] = {}
        for use in (*self.pools, *other.pools):
            key = (use.engine, use.kind, use.size, use.overflow, use.made)
            pools[key] = pools[key].merge(use) if key in pools else use
        holdouts = (*self.holdouts, *other.holdouts)
        return Survey(tuple(pools.values()), holdouts, self.trouble or other.trouble)

    def to_json(self) -> dict[str, Any]:
        """Return the survey as plain JSON types.

        Returns:
            What `from_json` takes.
        """
        return {
            "pools": [asdict(use) for use in self.pools],
            "holdouts": [asdict(holdout) for holdout in self.holdouts],
            "trouble": self.trouble,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Survey:
        """Make a survey from what `to_json` returned.

        Args:
            data: Plain JSON types.

        Returns:
            The survey, equal to the one that was written.
        """
        return cls(
            tuple(PoolUse(**use) for use in data.get("pools", ())),
            tuple(Holdout(**holdout) for holdout in data.get("holdouts", ())),
            data.get("trouble", ""),
        )


def _backwards(text: str) -> tuple[int, ...]:
    """Order texts from the last to the first."""
    return tuple(-ord(letter) for letter in text)
