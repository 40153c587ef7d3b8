"""A run that is not recorded pays nothing, and one that was leaves SQLAlchemy as it found it."""

from __future__ import annotations

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.model import Owner
from pytest_sessionguard.timeline import Recorder, RecordingLedger


def listeners() -> dict[str, int]:
    """How many listeners each event of engines and pools has, for all of them."""
    counts = {}
    for class_ in (Engine, Pool):
        for name in class_.dispatch._event_names:
            found = getattr(class_.dispatch, name)._clslevel.get(class_, ())
            counts[f"{class_.__name__}.{name}"] = len(found)
    return counts


def start(recorder: Recorder | None) -> Guard:
    guard = Guard("/", ledger=RecordingLedger(recorder) if recorder else None)
    guard.start()
    guard.look(at_once=True)
    return guard


def test_not_recorded():
    """Without a recorder nobody listens to statements, and the ledger is the plain one."""
    guard = start(None)
    try:
        assert type(guard.ledger) is Ledger
        assert listeners()["Engine.before_cursor_execute"] == 0
        assert Engine._has_events is False
    finally:
        guard.stop()


def test_removed(recording):
    """After a run nobody listens to statements, and engines take the short way again."""
    assert Engine._has_events is True
    assert listeners()["Engine.before_cursor_execute"] == 1
    recording.guard.stop()
    assert listeners()["Engine.before_cursor_execute"] == 0
    assert Engine._has_events is False


def test_another_listener(recording):
    """Somebody else's listener to all engines goes on being heard."""
    heard = []

    def listen(*args: object) -> None:
        heard.append(args)

    event.listen(Engine, "before_cursor_execute", listen)
    try:
        recording.guard.stop()
        with create_engine("sqlite://").connect() as connection:
            connection.execute(text("SELECT 1"))
        assert len(heard) == 1
        assert Engine._has_events is True
    finally:
        event.remove(Engine, "before_cursor_execute", listen)
        Engine._has_events = False


def test_fault_inside(monkeypatch):
    """A fault of the recorder stands the guard down, and the user's code does not see it."""
    recorder = Recorder("/")
    guard = start(recorder)
    try:
        guard.start_test(Owner("test", "test_it", nodeid="test_it"), {})

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        for name in ("open_lease", "end_lease", "begin_statement", "open_session", "finish"):
            monkeypatch.setattr(recorder, name, fail)
        with create_engine("sqlite://").connect() as connection:
            assert connection.execute(text("SELECT 1")).scalar() == 1
        assert guard.end_test("test_it", passed=True) == ([], [])
        assert isinstance(guard.shield.fault, ZeroDivisionError)
    finally:
        guard.stop()
