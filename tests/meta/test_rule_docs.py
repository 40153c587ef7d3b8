"""Each rule's page: its headings, and its code, which runs."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from pytest_sessionguard import rules
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner, Severity
from pytest_sessionguard.rules import RULES

FOLDER = Path(rules.__file__).parent
HEADINGS = [
    "What it does",
    "Why is this bad?",
    "Example",
    "How it is seen",
    "When to ignore it",
]


def rule_id(rule: Any) -> str:
    return str(rule.code)


def test_every_file_is_in_the_tuple() -> None:
    """A rule's file that is not in the catalogue would find nothing."""
    found = []
    for path in sorted(FOLDER.glob("*.py")):
        module = importlib.import_module(f"{rules.__name__}.{path.stem}")
        if hasattr(module, "RULE"):
            found.append(module.RULE)
            assert module.RULE.name == path.stem.replace("_", "-")
    assert sorted(found, key=rule_id) == sorted(RULES, key=rule_id)


def test_codes_and_names_are_given_once() -> None:
    """No two rules share a code or a name."""
    assert len(RULES) == len({rule.code for rule in RULES}) == len({rule.name for rule in RULES})
    for rule in RULES:
        assert re.fullmatch(r"SG[1-5]\d\d", rule.code)
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", rule.name)
        assert isinstance(rule.severity, Severity)


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_headings(rule: Any) -> None:
    """A page has every heading, in the one order, and none is empty."""
    assert HEADINGS == re.findall(r"^## (.+)$", rule.text, flags=re.MULTILINE)
    for part in re.split(r"^## .+$", rule.text, flags=re.MULTILINE)[1:]:
        assert len(part.split()) >= 5
    assert 1 == rule.text.count("\nUse instead:\n")
    assert rule.text.index("## Example") < rule.text.index("Use instead:")
    assert rule.text.index("Use instead:") < rule.text.index("## How it is seen")


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_text_is_clean(rule: Any) -> None:
    """A page has no indentation of its own and no line that is too long."""
    assert inspect.cleandoc(rule.text) == rule.text
    assert all(len(line) <= 100 for line in rule.text.splitlines())


def blocks_of(rule: Any) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", rule.text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("rule", RULES, ids=rule_id)
def test_two_blocks(rule: Any) -> None:
    """A page has an example and what to use instead of it."""
    assert 2 == len(blocks_of(rule))
    assert 2 * rule.text.count("```python\n") == rule.text.count("```")


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


async def count_users(engine: Any) -> Any:
    """What the pages of async rules call."""
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT 1"))


ARGUMENTS = {"name": "eve"}
PATH = "/project/example.py"


def run(source: str, engine: Any) -> set[str]:
    """Run the first function of a block as a test of its own; return the rules that it breaks."""
    space: dict[str, Any] = {
        "Session": Session,
        "User": User,
        "text": text,
        "asyncio": asyncio,
        "InterfaceError": InterfaceError,
        "count_users": count_users,
    }
    guard = Guard("/")
    guard.start()
    try:
        guard.start_test(Owner("test", "test_example"), {})
        exec(compile(source, PATH, "exec"), space)
        functions = [
            value
            for value in space.values()
            if isinstance(value, FunctionType) and PATH == value.__code__.co_filename
        ]
        first = functions[0]
        wanted = list(inspect.signature(first).parameters)[1:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = first(engine, *(ARGUMENTS[name] for name in wanted))
            if inspect.isawaitable(result):
                asyncio.run(result)  # type: ignore[arg-type]
            gc.collect()
            findings, _ = guard.end_test("test_example", passed=True)
            for thing in space.get("connections", ()):
                thing.close()
        assert None is guard.shield.fault
        return {finding.rule for finding in findings}
    finally:
        guard.stop()


SYNC = [rule for rule in RULES if "asyncio" not in blocks_of(rule)[0]]
ASYNC = [rule for rule in RULES if rule not in SYNC]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    engine = create_engine(f"sqlite:///{tmp_path}/users.db")
    Base.metadata.create_all(engine)
    yield engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine.dispose()
        gc.collect()


@pytest.fixture
def async_engine(sessionguard_postgres: Any) -> Iterator[Any]:
    engine = create_async_engine(sessionguard_postgres.url_for("asyncpg"))
    yield engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine.sync_engine.dispose(close=False)
        gc.collect()


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_example(rule: Any, engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], engine)


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_use_instead(rule: Any, engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], engine)


@pytest.mark.postgres
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("rule", ASYNC, ids=rule_id)
def test_async_example(rule: Any, async_engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], async_engine)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", ASYNC, ids=rule_id)
def test_async_use_instead(rule: Any, async_engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], async_engine)


def test_every_example_is_run() -> None:
    """Sync or async, each page's code is run by one of the tests above."""
    assert ["SG103"] == [rule.code for rule in ASYNC]
    assert len(RULES) == len(SYNC) + len(ASYNC)
