"""The first engine, or the first connection of a pool, where the ORM is not imported yet.

All that watches needs the ORM. To import it while ``sqlalchemy`` is being imported might meet a
thread that imports the ORM and waits for this very import, and Python would break one of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.patches import Patches, find_definers


class FirstUse:
    """What waits at the doors of SQLAlchemy's core, and gives way to the watchers.

    Args:
        act: Removes this and begins to watch.
        shield: What takes the faults of that.
    """

    def __init__(self, act: Callable[[], None], shield: Shield) -> None:
        self._act = act
        self._shield = shield
        self._patches = Patches()

    def install(self) -> None:
        """Begin to wait."""
        from sqlalchemy import Dialect
        from sqlalchemy.pool import Pool

        self.remove()
        for class_, name in ((Dialect, "engine_created"), (Pool, "connect")):
            for owner in find_definers(class_, name):
                self._patches.wrap(owner, name, partial(self._make_door, owner, name))

    def remove(self) -> None:
        """Wait no longer, and leave the classes as they were."""
        self._patches.remove()

    def _make_door(self, owner: type, name: str, original: Any) -> Any:
        def door(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            first._shield.run(first._act)
            # The watchers' wrapper stands there now, around the very original: the call is its.
            there = vars(owner).get(name)
            watched: Any = getattr(there, "__func__", there)
            is_ready = getattr(watched, "__wrapped__", None) is original and watched is not door
            return watched(*args, **kwargs) if is_ready else original(*args, **kwargs)

        first = self
        return door
