"""Ledgers written by hand: no database, no pytest run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pytest_sessionguard import files
from pytest_sessionguard.accounts import Account, Birth, Crossing, Lease, PoolFacts, SessionRecord
from pytest_sessionguard.callsite import Trace, render
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import CallSite, Owner

DOORS = {
    "Session": files.SESSION,
    "AsyncSession": files.SESSION | files.ASYNC,
    "scoped_session": files.SESSION | files.SCOPED,
    "async_scoped_session": files.SESSION | files.ASYNC | files.SCOPED,
}


class Proxy:
    """What a pool hands out: valid until it is closed."""

    def __init__(self) -> None:
        self.is_valid = True


class Session:
    """What a record refers to."""

    begun = False

    def in_transaction(self) -> bool:
        return self.begun


class Reference:
    """A reference that dies when it is told to."""

    def __init__(self, target: Any) -> None:
        self.target: Any = target

    def __call__(self) -> Any:
        return self.target


class Books:
    """A ledger and one account, with short ways to write in them."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.account = self.start()
        self.pool = self.make_pool()

    def make_pool(self, **facts: Any) -> PoolFacts:
        known = {"engine": "postgresql+asyncpg", "kind": "AsyncAdaptedQueuePool"}
        numbers = {"size": 5, "overflow": 10, "timeout": 30.0}
        return PoolFacts(self.ledger, **{**known, **numbers, **facts})

    def start(self, kind: str = "test", name: str = "test_it", scope: str = "function") -> Account:
        """Make somebody the owner of what comes."""
        self.ledger.current = Account(Owner(kind, name, scope, "test_file.py::test_it"))
        return self.ledger.current

    @staticmethod
    def trace(doors: int = 0) -> Trace:
        """A call site of its own for each line that asks for one; its frame is the caller's."""
        frame = sys._getframe(1)
        while frame.f_code.co_filename == __file__ and frame.f_back is not None:
            frame = frame.f_back
        return Trace((frame.f_code, frame.f_lasti), doors)

    def lease(self, record: Any = None, *, trace: Trace | None = None, pool: Any = None) -> Lease:
        """Check a connection out."""
        lease = Lease(
            Reference(Proxy()),
            trace or self.trace(),
            self.ledger.current,
            pool or self.pool,
            threading.get_ident(),
        )
        self.ledger.open_lease(record or object(), lease)
        return lease

    def session(self, *, trace: Trace | None = None, kind: str = "Session") -> SessionRecord:
        """Make a session that took a connection and gave it back."""
        trace = trace or self.trace(DOORS[kind])
        record = self.ledger.open_session(Reference(Session()), trace)
        self.use(record)
        return record

    def use(self, record: SessionRecord) -> None:
        """Let a session take a connection and give it back."""
        self.hold(record, key := object())
        self.ledger.end_lease(key)

    def hold(self, record: SessionRecord, key: Any = None) -> Lease:
        """Let a session take a connection."""
        lease = self.lease(key)
        self.ledger.use_session(record, lease)
        return lease

    def crossing(self, *, trace: Trace | None = None) -> Crossing:
        birth = Birth(lambda: None, Owner("test", "test_before"), self.trace(), self.pool)
        crossing = Crossing(trace or self.trace(), self.pool, birth)
        self.ledger.add_crossing(crossing)
        return crossing

    @staticmethod
    def close(lease: Lease) -> None:
        """Close a proxy without a word to the ledger."""
        lease.proxy().is_valid = False

    def collect(self, lease: Lease, key: Any) -> None:
        """Let the collector take a proxy, as the pool tells it."""
        assert isinstance(lease.proxy, Reference)
        lease.proxy.target = None
        self.ledger.end_lease(key)


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def show() -> Callable[[Trace | None], CallSite]:
    """Turn a trace into a call site, as the guard does for the rules."""
    return lambda trace: render(trace, "/")
