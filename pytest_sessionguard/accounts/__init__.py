"""What is open and whose it is: leases, sessions, loads, and the account of each owner."""

from __future__ import annotations

from pytest_sessionguard.accounts.account import Account
from pytest_sessionguard.accounts.connections import Birth, Crossing, Lease, PoolFacts
from pytest_sessionguard.accounts.loads import Access, Fault, Load
from pytest_sessionguard.accounts.results import Results
from pytest_sessionguard.accounts.scopes import Breach, Scope
from pytest_sessionguard.accounts.sessions import SessionRecord

__all__ = [
    "Access",
    "Account",
    "Birth",
    "Breach",
    "Crossing",
    "Fault",
    "Lease",
    "Load",
    "PoolFacts",
    "Results",
    "Scope",
    "SessionRecord",
]
