"""Where an ORM instance came from: the session that loaded it, and the statement that did.

SQLAlchemy stamps each instance with the number of the result it was last loaded from
(``InstanceState.runid``, from ``sqlalchemy.orm.loading.instances``). Where a number was drawn is
where the statement was executed which brought the instance; it costs nothing for the instance, and
nothing for a statement that brings none. Which session it belonged to is written on an instance
when it leaves.
"""

from __future__ import annotations

import weakref
from typing import Any

from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.exc import NO_STATE

from pytest_sessionguard.accounts import SessionRecord
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.watch.private import CALLBACK, KEY


def is_known(session: Any) -> bool:
    """Tell whether a session is neither older than the watching nor half made by its class.

    Args:
        session: A sync session.

    Returns:
        Whether it has what its record and its own `__init__` give it.
    """
    return hasattr(session, KEY) and hasattr(session, "hash_key")


def know_session(ledger: Ledger, session: Any) -> SessionRecord:
    """Return the record of a session; one that is older than the watching gets one now.

    Args:
        ledger: Where it is entered.
        session: A sync session.

    Returns:
        Its record, the same each time.
    """
    record: SessionRecord | None = getattr(session, KEY, None)
    if record is None:
        record = ledger.adopt_session(weakref.ref(session, *CALLBACK))
        setattr(session, KEY, record)
    return record


def mark_one(session: Any, instance: Any, record: SessionRecord) -> None:
    """Write on an instance that is being expunged, and on those that go with it, whose they were.

    Args:
        session: A sync session.
        instance: The instance; SQLAlchemy refuses one that is not the session's.
        record: The record of the session.
    """
    try:
        state = instance_state(instance)
    except NO_STATE:
        return
    if state.session is not session:
        return
    setattr(state, KEY, record)
    for _, _, related, _ in state.mapper.cascade_iterator("expunge", state):
        setattr(related, KEY, record)


def find_record(state: InstanceState[Any], ledger: Ledger | None = None) -> SessionRecord | None:
    """Find the record of the session to which an instance belongs, or belonged last.

    Args:
        state: What SQLAlchemy knows of the instance.
        ledger: Where to look for a session that was never closed and is gone.

    Returns:
        The record, or None where nobody was watching.
    """
    session = state.session
    if session is not None:
        return getattr(session, KEY, None)
    record: SessionRecord | None = getattr(state, KEY, None)
    if record is None and ledger is not None and state.session_id is not None:
        return ledger.find_lost_session(state.session_id)
    return record


def find_record_of(instance: Any, ledger: Ledger) -> SessionRecord | None:
    """Find the record of the session of an ORM instance.

    Args:
        instance: The instance.
        ledger: Where to look for a session that was never closed and is gone.

    Returns:
        The record, or None where nobody was watching.
    """
    return find_record(instance_state(instance), ledger)


def find_origin(state: InstanceState[Any], ledger: Ledger) -> Trace | None:
    """Find the statement that loaded an instance last.

    Args:
        state: What SQLAlchemy knows of the instance.
        ledger: Where the results are entered.

    Returns:
        Where the statement was executed, or None where that is not known any more.
    """
    runid = getattr(state, "runid", None)
    return None if runid is None else ledger.results.find(runid)
