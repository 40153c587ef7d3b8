"""A machine that does anything with sessions on real SQLite, against a model of thirty lines."""

from __future__ import annotations

import gc
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import create_engine, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import QueuePool

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner

ONE = text("SELECT 1")

# A connection that comes back to a pool which was disposed of is closed by the collector only, of
# which sqlite3 warns from Python 3.13 on.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@dataclass
class Model:
    """What should be known of one session."""

    in_use: bool = False
    begun: bool = False
    connected: bool = False
    ended: str = ""
    again: bool = False

    def begin(self, *, by_name: bool = False) -> None:
        self.begun = True
        self.again = self.again or (self.ended == "own block" and not by_name)

    def execute(self) -> None:
        if not self.begun:
            self.begin()
        self.connected = self.in_use = True

    def finish(self) -> None:
        self.begun = self.connected = False

    def close(self, how: str) -> None:
        self.finish()
        self.in_use = False
        if not self.again:
            self.ended = how


class SessionMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "machine.db"
        self.engine = create_engine(f"sqlite:///{path}", poolclass=QueuePool, pool_size=50)
        self.guard = Guard("/")
        self.guard.start()
        self.guard.start_test(Owner("test", "test_it"), {})
        self.live: list[tuple[Any, Model]] = []
        self.gone: list[Model] = []
        self.connections: list[Any] = []
        self.lost_connections = 0

    def pick(self, data: Any) -> tuple[Any, Model]:
        return data.draw(st.sampled_from(self.live), label="session")

    @rule()
    def open(self) -> None:
        self.live.append((Session(self.engine), Model()))

    @rule(use=st.booleans())
    def open_in_a_block_of_its_own(self, use: bool) -> None:
        model = Model()
        with Session(self.engine) as session:
            if use:
                session.execute(ONE)
        model.close("own block")
        self.live.append((session, model))

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def begin(self, data: Any) -> None:
        session, model = self.pick(data)
        if not model.begun:
            session.begin()
            model.begin(by_name=True)

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def execute(self, data: Any) -> None:
        session, model = self.pick(data)
        session.execute(ONE)
        model.execute()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def commit(self, data: Any) -> None:
        session, model = self.pick(data)
        session.commit()
        if not model.begun:
            model.begin()  # a commit of nothing begins what it commits
        model.finish()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def roll_back(self, data: Any) -> None:
        session, model = self.pick(data)
        session.rollback()
        model.finish()

    @precondition(lambda self: self.live)
    @rule(data=st.data(), method=st.sampled_from(["close", "reset", "invalidate"]))
    def close(self, data: Any, method: str) -> None:
        session, model = self.pick(data)
        getattr(session, method)()
        model.close("plain")

    @precondition(lambda self: self.live)
    @rule(data=st.data(), use=st.booleans())
    def lend_to_a_block(self, data: Any, use: bool) -> None:
        session, model = self.pick(data)
        if not model.again:
            model.ended = ""
        with session:
            if use:
                session.execute(ONE)
                model.execute()
        model.close("another's block")

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def drop(self, data: Any) -> None:
        pair = self.pick(data)
        self.live = [other for other in self.live if other is not pair]
        self.gone.append(pair[1])
        del pair
        self.collect()

    @rule()
    def connect(self) -> None:
        self.connections.append(self.engine.connect())

    @precondition(lambda self: self.connections)
    @rule(ending=st.sampled_from(["close", "invalidate", "detach", "drop"]))
    def end_connection(self, ending: str) -> None:
        connection = self.connections.pop(0)
        if ending == "drop":
            self.lost_connections += 1
        else:
            getattr(connection, ending)()
            connection.close()
        del connection
        self.collect()

    @rule()
    def dispose(self) -> None:
        self.engine.dispose()

    def collect(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()

    @invariant()
    def ledger_agrees(self) -> None:
        account = self.guard.test
        assert account is not None
        models = [*(model for _, model in self.live), *self.gone]
        leases = account.open_leases()
        out = sum(model.connected for _, model in self.live) + len(self.connections)
        assert out == len(leases)
        assert out == len(account.leases)
        assert out == len(self.guard.ledger.out)
        lost = sum(model.connected for model in self.gone) + self.lost_connections
        assert lost == len(account.lost_leases())
        assert sum(model.in_use for model in models) == len(account.open_sessions())
        assert sum(model.again for model in models) == len(account.reopened)
        for session, model in self.live:
            record = vars(session)["_sessionguard"]
            assert model.connected == any(lease.session is record for lease in leases)
            assert model.in_use == (record in account.open_sessions())
            assert model.again == (record in account.reopened)

    def teardown(self) -> None:
        fault = self.guard.shield.fault
        self.guard.stop()
        for session, _ in self.live:
            session.close()
        for connection in self.connections:
            connection.close()
        self.engine.dispose()
        self.folder.cleanup()
        assert None is fault


TestSessions = SessionMachine.TestCase
TestSessions.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
