"""What a function hands to its caller: a session or a connection itself, or instances of one."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.pool import PoolProxiedConnection

from pytest_sessionguard.accounts import SessionRecord
from pytest_sessionguard.watch.provenance import find_record


def open_handle(thing: Any) -> Any:
    """Find the session or the pooled connection that an object stands for.

    Args:
        thing: Anything that a function may return.

    Returns:
        The sync session of an async or a sync one, the connection as its pool handed it out, or
        None for anything else.
    """
    if any(base.__module__.startswith("sqlalchemy.ext.asyncio.") for base in type(thing).__mro__):
        thing = getattr(thing, "sync_session", None) or getattr(thing, "sync_connection", None)
    if isinstance(thing, Connection):
        return None if thing.closed or thing.invalidated else thing.connection
    return thing if isinstance(thing, (Session, PoolProxiedConnection)) else None


def find_keeper(instance: Any) -> tuple[SessionRecord | None, object]:
    """Find the session to which an instance belongs, or belonged last.

    Args:
        instance: An ORM instance.

    Returns:
        The record of the session, None where it is not known; and the key of a session that was
        never closed and may be gone (``InstanceState.session_id``).
    """
    state: InstanceState[Any] = instance_state(instance)
    return find_record(state), state.session_id
