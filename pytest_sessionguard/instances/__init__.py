"""Results that outlive their session: walked, each ORM instance in them judged, nothing loaded."""

from __future__ import annotations

from pytest_sessionguard.instances.demands import Demand
from pytest_sessionguard.instances.status import Status, find_session, read_status
from pytest_sessionguard.instances.troubles import Kind, Trouble, find_troubles, find_unloaded

__all__ = [
    "Demand",
    "Kind",
    "Status",
    "Trouble",
    "find_session",
    "find_troubles",
    "find_unloaded",
    "read_status",
]
