"""What a person asks while debugging: the state of an object, the log of its session, a pool."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from pytest_sessionguard.guard import active_guard
from pytest_sessionguard.model import CallSite, Owner, Place
from pytest_sessionguard.rules.base import tell_opening

LOGGER = logging.getLogger("pytest_sessionguard")


@dataclass(frozen=True)
class ObjectState:
    """What is known of an ORM instance, read without loading anything.

    Attributes:
        model: The name of its class.
        state: ``transient``, ``pending``, ``persistent``, ``deleted`` or ``detached``.
        expired: The columns that were expired.
        unloaded: The columns that were never loaded.
        relationships: The relationships that are not loaded.
        session: Where its session was opened and, if so, closed; empty where nobody watched.
    """

    model: str
    state: str
    expired: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    relationships: tuple[str, ...] = ()
    session: tuple[Place, ...] = ()

    def __str__(self) -> str:
        parts = [f"{self.model}, {self.state}"]
        for label, names in (
            ("expired", self.expired),
            ("not loaded", (*self.unloaded, *self.relationships)),
        ):
            if names:
                parts.append(f"{label}: {', '.join(names)}")
        parts += [f"{p.label} {p.text.replace('{}', str(p.site))}" for p in self.session]
        return "; ".join(parts)


@dataclass(frozen=True)
class Holder:
    """Who has a connection of a pool.

    Attributes:
        site: Where it was checked out.
        owner: The test or fixture whose it is.
    """

    site: CallSite
    owner: Owner

    def __str__(self) -> str:
        return f"{self.site}, by {self.owner}"


@dataclass(frozen=True)
class PoolStatus:
    """How a pool stands.

    Attributes:
        size: Its size; None for a pool that has none.
        checked_in: Connections that wait in it.
        checked_out: Connections that are out.
        overflow: Connections above its size; below 0 while it is not full yet.
        holders: Who has them, oldest first; empty where nobody watched.
    """

    size: int | None
    checked_in: int | None
    checked_out: int
    overflow: int | None
    holders: tuple[Holder, ...] = ()

    def __str__(self) -> str:
        numbers = [
            f"{label} {number}"
            for label, number in (
                ("size", self.size),
                ("checked in", self.checked_in),
                ("checked out", self.checked_out),
                ("overflow", self.overflow),
            )
            if number is not None
        ]
        return "\n".join([", ".join(numbers), *(f"  - {holder}" for holder in self.holders)])


def read_object(obj: Any) -> ObjectState:
    """Read the state of an ORM instance.

    Args:
        obj: The instance.

    Returns:
        Its state, and where its session was opened.

    Raises:
        TypeError: The object is no ORM instance.
    """
    from pytest_sessionguard.instances import read_status
    from pytest_sessionguard.watch.provenance import find_record_of

    status, guard = read_status(obj), active_guard()
    record = None if guard is None else find_record_of(obj, guard.ledger)
    places = () if guard is None else tuple(tell_opening(record, guard.render))
    return ObjectState(
        type(obj).__name__,
        status.state,
        status.expired,
        status.unloaded,
        status.relationships,
        places,
    )


def log_object(obj: Any, operation: str) -> ObjectState:
    """Write to the log whether an object belongs to a session: a warning if it does not.

    Args:
        obj: The instance.
        operation: What is being done with it.

    Returns:
        Its state.

    Raises:
        TypeError: The object is no ORM instance.
    """
    state = read_object(obj)
    level = logging.WARNING if state.state == "detached" else logging.DEBUG
    LOGGER.log(level, "%s: %s", operation, state)
    return state


def read_pool(engine: Any) -> PoolStatus:
    """Read how the pool of an engine stands, and who holds what.

    Args:
        engine: An engine, sync or async.

    Returns:
        Its numbers and the holders of its connections.

    Raises:
        TypeError: The argument is no engine.
    """
    engine = getattr(engine, "sync_engine", engine)
    pool, guard = getattr(engine, "pool", None), active_guard()
    if pool is None or not hasattr(engine, "dialect"):
        raise TypeError(f"pool_status() takes an engine, not {type(engine).__name__!r}.")
    leases = [] if guard is None else guard.ledger.leases_of(pool)
    holders = [Holder(guard.render(lease.trace), lease.account.owner) for lease in leases if guard]
    out = _count(pool, "checkedout")
    return PoolStatus(
        size=_count(pool, "size"),
        checked_in=_count(pool, "checkedin"),
        checked_out=len(leases) if out is None else out,
        overflow=_count(pool, "overflow"),
        holders=tuple(holders),
    )


def _count(pool: Any, name: str) -> int | None:
    """Ask a pool for a number; only a QueuePool has them all."""
    count = getattr(pool, name, None)
    return count() if callable(count) else None
