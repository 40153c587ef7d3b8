"""A guard of its own around each test, and a database with the rows of the zoo."""

from __future__ import annotations

import gc
import linecache
import shutil
import unittest
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from loads.zoo import fill_tables, make_tables
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Finding, Owner, Severity
from pytest_sessionguard.rules import RULES

ROOT = Path(__file__).parents[2]
LOADS = ("SG303", "SG304", "SG401", "SG402")


class Watching:
    """A guard at work, and what it finds of the one test that runs."""

    def __init__(self) -> None:
        raises = (pytest.raises(ValueError), unittest.TestCase().assertRaises(ValueError))
        blocks = {type(block) for block in raises}
        blocks |= {pytest.RaisesGroup} if hasattr(pytest, "RaisesGroup") else set()
        self.guard = Guard(str(ROOT), expecting=blocks)
        self.ledger = self.guard.ledger

    def begin(self, severities: Mapping[str, Severity] | None = None) -> None:
        """Begin a test in which nothing is off."""
        # The engine of these tests is disposed after their guard has judged.
        every = {rule.code: Severity.ERROR for rule in RULES if rule.code != "SG106"}
        self.guard.start_test(Owner("test", "test_it", nodeid="test_it"), severities or every)

    @property
    def account(self) -> Account:
        test = self.guard.test
        assert test is not None
        return test

    def end(self) -> list[Finding]:
        """End the test and return what is found."""
        findings, _ = self.guard.end_test("test_it", passed=True)
        assert None is self.guard.shield.fault
        return findings

    def found(self) -> list[str]:
        """End the test and return each finding's rule, attribute and kind."""
        return [name(finding) for finding in self.end()]


class Routing(Session):
    """A session class of the application's, through which each statement of it goes."""

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        return super().execute(*args, **kwargs)

    def scalars(self, *args: Any, **kwargs: Any) -> Any:
        return super().scalars(*args, **kwargs)


def name(finding: Finding) -> str:
    """Give the short form of a finding."""
    facts = finding.facts
    words = (finding.rule, facts.get("attribute"), facts.get("kind"))
    return " ".join(str(word) for word in words if word)


def line_of(finding: Finding, label: str = "") -> str:
    """Give the source line of a finding's first place, or of that with a label."""
    place = next(place for place in finding.places if label in ("", place.label))
    if not place.site.frames:
        return ""
    frame = place.site.frames[0]
    return linecache.getline(str(ROOT / frame.path), frame.line).strip()


@pytest.fixture
def watching() -> Iterator[Watching]:
    """A guard that watches while the outer one pauses; a fault in it fails the test."""
    watching = Watching()
    watching.guard.start()
    watching.begin()
    try:
        yield watching
        fault = watching.guard.shield.fault
    finally:
        watching.guard.stop()
    assert None is fault, f"the guard failed inside: {fault!r}"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is copied for each test."""
    path = tmp_path_factory.mktemp("zoo") / "zoo.db"
    engine = create_engine(f"sqlite:///{path}")
    make_tables(engine)
    fill_tables(engine)
    engine.dispose()
    return path


@pytest.fixture
def database(template: Path, tmp_path: Path) -> str:
    """The path of this test's own database."""
    return str(shutil.copy(template, tmp_path / "zoo.db"))


@pytest.fixture
def engine(watching: Watching, database: str) -> Iterator[Any]:
    """An engine on the zoo."""
    engine = create_engine(f"sqlite:///{database}")
    yield engine
    engine.dispose()
    gc.collect(0)


@pytest.fixture
def async_engine(watching: Watching, database: str) -> Any:
    """An async engine on the zoo; whoever uses it disposes of it."""
    return create_async_engine(f"sqlite+aiosqlite:///{database}")


@pytest.fixture
def statements() -> Iterator[Callable[[Any], list[str]]]:
    """Give what counts the statements of an engine."""
    listening = []

    def listen(engine: Any) -> list[str]:
        sent: list[str] = []

        def on_statement(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
            sent.append(statement)

        event.listen(engine, "before_cursor_execute", on_statement)
        listening.append((engine, on_statement))
        return sent

    yield listen
    for engine, listener in listening:
        event.remove(engine, "before_cursor_execute", listener)


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Let collections pass over what was there before the first test of this folder."""
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
