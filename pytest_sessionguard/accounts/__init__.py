"""What is open and whose it is: leases, sessions, hand-overs, loads, accounts of owners."""

from __future__ import annotations

from pytest_sessionguard.accounts.account import Account, Unmade
from pytest_sessionguard.accounts.backends import Address, Burden, Seat, Suspect
from pytest_sessionguard.accounts.caches import is_kept
from pytest_sessionguard.accounts.connections import Birth, Crossing, Lease, PoolFacts
from pytest_sessionguard.accounts.dropped import Dropped
from pytest_sessionguard.accounts.engines import EngineRecord
from pytest_sessionguard.accounts.handovers import Handover, Handovers, Work
from pytest_sessionguard.accounts.loads import Access, Fault, Load
from pytest_sessionguard.accounts.overlaps import Overlap
from pytest_sessionguard.accounts.results import Results
from pytest_sessionguard.accounts.scopes import Breach, Scope
from pytest_sessionguard.accounts.sessions import SessionRecord
from pytest_sessionguard.accounts.uses import Nesting, Use

__all__ = [
    "Access",
    "Account",
    "Address",
    "Birth",
    "Breach",
    "Burden",
    "Crossing",
    "Dropped",
    "EngineRecord",
    "Fault",
    "Handover",
    "Handovers",
    "Lease",
    "Load",
    "Nesting",
    "Overlap",
    "PoolFacts",
    "Results",
    "Scope",
    "Seat",
    "SessionRecord",
    "Suspect",
    "Unmade",
    "Use",
    "Work",
    "is_kept",
]
