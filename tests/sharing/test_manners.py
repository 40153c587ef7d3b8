"""The watcher of shared sessions leaves SQLAlchemy as it was; its faults stay its own."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from sharing.conftest import ONE
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch import insiders, sharing
from pytest_sessionguard.watch.sharing import SharingWatch

WRAPPED = {"_connection_for_bind", "rollback", "close", "reset", "invalidate"}


@pytest.fixture
def bare() -> Iterator[None]:
    """No guard at work."""
    guard = Guard("/")
    guard.start()
    guard._watchers.remove()
    yield
    guard.stop()


def attributes() -> dict[tuple[str, str], int]:
    places = (Session, SessionTransaction)
    return {(p.__name__, name): id(value) for p in places for name, value in vars(p).items()}


def changed(before: dict[tuple[str, str], int]) -> set[str]:
    return {name for (place, name), value in attributes().items() if before[place, name] != value}


def test_all_is_as_before(bare: None) -> None:
    """After removal every attribute is the very object it was, and while watched few are not."""
    before = attributes()
    watch = SharingWatch(Ledger(), Shield())
    for _ in range(2):
        watch.install()
        assert WRAPPED & set(dir(Session)) | {"_connection_for_bind"} == changed(before)
        assert event.contains(Session, "before_commit", watch._on_commit)
        watch.remove()
        assert before == attributes()
        assert not event.contains(Session, "before_commit", watch._on_commit)


def test_without_the_private_name(bare: None, monkeypatch: Any) -> None:
    """Public methods stand in for it."""
    monkeypatch.setattr(sharing, "find_connection_giver", lambda: None)
    before = attributes()
    watch = SharingWatch(Ledger(), Shield())
    watch.install()
    names = {"execute", "scalar", "scalars", "flush", "connection"}
    assert names <= changed(before)
    assert "_connection_for_bind" not in changed(before)
    watch.remove()
    assert before == attributes()


def test_what_inspection_sees(watching: Any) -> None:
    """Signatures and names are those of the originals."""
    for method in (Session.rollback, Session.close, SessionTransaction._connection_for_bind):
        original = method.__wrapped__  # type: ignore[attr-defined]
        assert original.__qualname__ == method.__qualname__
        assert inspect.signature(original) == inspect.signature(method)


@pytest.mark.parametrize("name", ("find_mark", "find_insider", "is_gone"))
def test_a_fault_inside(name: str, bare: None, monkeypatch: Any) -> None:
    """It is the shield's, and no work of the user's fails."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sharing, name, fail)
    engine = create_engine("sqlite://")
    shield = Shield()
    watch = SharingWatch(Ledger(), shield)
    watch.install()
    try:
        with sessionmaker(engine).begin() as session:
            session.connection()
            if name != "find_mark":
                session._sessionguard.inside = 1  # type: ignore[attr-defined]
            assert 1 == session.scalar(ONE)
    finally:
        watch.remove()
        engine.dispose()
    assert "ZeroDivisionError" in repr(shield.fault)


def test_a_session_is_kept_by_nobody(watching: Any, engine: Any) -> None:
    """Marks refer weakly to whatever they name."""
    with Session(engine) as session:
        session.execute(ONE)
        mark = session._sessionguard.inside  # type: ignore[attr-defined]
    assert isinstance(mark, int)
    assert {"task", "greenlet"} <= set(insiders.Mark._fields)
    gone = weakref.ref(session)
    del session
    assert None is gone()
