"""The state of one ORM instance, read without loading anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import InstanceState

from pytest_sessionguard.instances.graph import Found, Node, Walk
from pytest_sessionguard.instances.models import Cause

_STATES = ("transient", "pending", "persistent", "deleted", "detached")


@dataclass(frozen=True)
class Status:
    """What SQLAlchemy knows of an instance ("Quickie Intro to Object States").

    Attributes:
        state: ``transient``, ``pending``, ``persistent``, ``deleted`` or ``detached``.
        expired: The columns that were expired.
        unloaded: The columns that were never loaded, for whatever reason.
        deferred: Those of them that the mapping defers.
        relationships: The relationships that reading would load.
    """

    state: str
    expired: tuple[str, ...] = ()
    unloaded: tuple[str, ...] = ()
    deferred: tuple[str, ...] = ()
    relationships: tuple[str, ...] = ()


def read_status(instance: object) -> Status:
    """Read the state of an instance and what it would have to load.

    Args:
        instance: An ORM instance.

    Returns:
        Its status. A column without a value that would be read as None is not in it.

    Raises:
        TypeError: The object is no ORM instance.
    """
    found = Walk().recognise(Node(instance, ""))
    if found is None:
        raise TypeError(f"{type(instance).__name__!r} is no mapped class.")
    return read_found(found)


def find_session(instance: object) -> Any:
    """Find the session that an instance belongs to.

    Args:
        instance: Any object.

    Returns:
        The `AsyncSession`, or the `Session`; None where it belongs to none.
    """
    found = Walk().recognise(Node(instance, ""))
    return None if found is None else found.state.async_session or found.state.session


def read_found(found: Found) -> Status:
    """Read the state of an instance of a result.

    Args:
        found: The instance.

    Returns:
        Its status.
    """
    causes = found.list_columns()
    return Status(
        state=name_state(found.state),
        expired=tuple(key for key, cause in causes.items() if cause is Cause.EXPIRED),
        unloaded=tuple(key for key, cause in causes.items() if cause is not Cause.EXPIRED),
        deferred=tuple(key for key, cause in causes.items() if cause is Cause.DEFERRED),
        # A dynamic or write-only one never loads: reading it makes a query.
        relationships=tuple(filter(found.needs_load, found.model.relationships)),
    )


# The value of such a relationship is a query, never a collection that was loaded.
LIVE_STRATEGIES = ("dynamic", "write_only")


def name_state(state: InstanceState[Any]) -> str:
    """Name the state that an instance is in.

    Args:
        state: SQLAlchemy's record of it.

    Returns:
        One of the five names.
    """
    return next(name for name in _STATES if getattr(state, name))
