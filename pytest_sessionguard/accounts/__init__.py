"""What is open and whose it is: leases, sessions, hand-overs, loads, accounts of owners."""

from __future__ import annotations

from pytest_sessionguard.accounts.account import Account, Unmade
from pytest_sessionguard.accounts.caches import is_cached
from pytest_sessionguard.accounts.connections import Birth, Crossing, Lease, PoolFacts
from pytest_sessionguard.accounts.handovers import Handover, Handovers, Work
from pytest_sessionguard.accounts.loads import Access, Fault, Load
from pytest_sessionguard.accounts.scopes import Breach, Scope
from pytest_sessionguard.accounts.sessions import SessionRecord

__all__ = [
    "Access",
    "Account",
    "Birth",
    "Breach",
    "Crossing",
    "Fault",
    "Handover",
    "Handovers",
    "Lease",
    "Load",
    "PoolFacts",
    "Scope",
    "SessionRecord",
    "Unmade",
    "Work",
    "is_cached",
]
