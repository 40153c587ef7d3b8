"""A guard of its own around each test of what the watchers see, with no pytest run."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pytest_sessionguard.accounts import Account, Lease, SessionRecord
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import CallSite, Finding, Owner

ROOT = Path(__file__).parents[2]


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Watching:
    """A guard at work, and what its ledger says of the one test that runs."""

    def __init__(self) -> None:
        self.guard = Guard(str(ROOT))
        self.ledger = self.guard.ledger
        self.guard.start()
        self.guard.start_test(Owner("test", "test_it", nodeid="test_it"), {})

    @property
    def account(self) -> Account:
        test = self.guard.test
        assert test is not None
        return test

    @property
    def fates(self) -> dict[str, int]:
        """How many leases are out, and how many the collector ended."""
        return {
            "out": len(self.account.open_leases()),
            "lost": len(self.account.lost_leases()),
        }

    def end(self) -> list[Finding]:
        """End the test and return what is found."""
        findings, _ = self.guard.end_test("test_it", passed=True)
        return findings

    @property
    def lease(self) -> Lease:
        """The one lease of the test, out or lost."""
        (lease,) = [*self.account.leases, *self.account.lost]
        return lease

    @property
    def newest(self) -> Lease:
        lease = self.ledger.newest
        assert lease is not None
        return lease

    def site(self, thing: Any) -> CallSite:
        """Where a lease was taken or a session was made."""
        return self.guard.render(thing.trace)

    def where(self, thing: Any) -> list[tuple[str, int, str]]:
        """The frames of the same as plain values."""
        return [(f.path, f.line, f.function) for f in self.site(thing).frames]

    @staticmethod
    def record(session: Any) -> SessionRecord:
        """What is written of a session, sync or async."""
        found: SessionRecord = vars(getattr(session, "sync_session", session))["_sessionguard"]
        return found


@pytest.fixture
def watching() -> Iterator[Watching]:
    """A guard that watches while the outer one pauses; a fault in it fails the test."""
    watching = Watching()
    try:
        yield watching
        fault = watching.guard.shield.fault
    finally:
        watching.guard.stop()
    assert None is fault, f"the guard failed inside: {fault!r}"


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Let collections pass over what was there before the first test of the watchers."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def collect() -> Callable[[], None]:
    """Run the collector, and hush SQLAlchemy's warnings of what it finds."""

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()

    return run


@pytest.fixture
def user_model() -> type[User]:
    """The class of the two users."""
    return User
