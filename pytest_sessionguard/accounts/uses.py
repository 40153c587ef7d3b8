"""How much of a pool is used at once, and checkouts made by somebody who holds one already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import Owner

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.connections import Lease, PoolFacts


class Use:
    """The most that was out at once, of all pools of one kind that were made at one place.

    Attributes:
        engine: Dialect and driver.
        kind: The class of the pools.
        size: Their ``pool_size``.
        overflow: Their ``max_overflow``.
        made: Where their engines were made, if that was seen.
        at_once: How many connections of one such pool were out at the same time.
        at_once_by: Who ran then.
        in_task: How many of them one task or thread held.
        in_task_by: Who ran then.
        in_task_at: Where the last of these was taken.
    """

    __slots__ = (
        "at_once",
        "at_once_by",
        "engine",
        "in_task",
        "in_task_at",
        "in_task_by",
        "kind",
        "made",
        "overflow",
        "size",
    )

    def __init__(
        self,
        *,
        engine: str,
        kind: str,
        size: int | None = None,
        overflow: int | None = None,
        made: Trace | None = None,
    ) -> None:
        self.engine = engine
        self.kind = kind
        self.size = size
        self.overflow = overflow
        self.made = made
        self.at_once = 0
        self.at_once_by: Owner | None = None
        self.in_task = 1
        self.in_task_by: Owner | None = None
        self.in_task_at: Trace | None = None

    def count(self, at_once: int, owner: Owner) -> None:
        """Enter how many are out.

        Args:
            at_once: How many of one pool.
            owner: Who runs at the moment.
        """
        if at_once > self.at_once:
            self.at_once, self.at_once_by = at_once, owner

    def count_task(self, in_task: int, owner: Owner, trace: Trace) -> None:
        """Enter how many one task or thread needs at once.

        Args:
            in_task: How many, with the one that it asks for.
            owner: Who runs at the moment.
            trace: Where it asks.
        """
        if in_task > self.in_task:
            self.in_task, self.in_task_by, self.in_task_at = in_task, owner, trace


class Nesting:
    """A connection that was asked for by somebody who held one of the same pool.

    Attributes:
        trace: Where it was asked for.
        held: The lease that was out then, the first where it was more than one.
        pool: What is known of the pool.
        depth: How many connections the asker needs at once.
        times: How many times it happened at these two places.
        told: Whether a finding has told it.
    """

    __slots__ = ("depth", "held", "pool", "times", "told", "trace")

    def __init__(self, trace: Trace, held: Lease, pool: PoolFacts, depth: int) -> None:
        self.trace = trace
        self.held = held
        self.pool = pool
        self.depth = depth
        self.times = 1
        self.told = False
