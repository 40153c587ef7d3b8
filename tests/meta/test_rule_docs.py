"""Each rule's page: its headings, and its code, which runs."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest
from sqlalchemy import ForeignKey, NullPool, StaticPool, create_engine, select, text
from sqlalchemy.exc import InterfaceError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    selectinload,
)

from pytest_sessionguard import rules
from pytest_sessionguard.boundary import Boundary, Services
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


class Author(Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author] = relationship()


NAMES = {
    "Session": Session,
    "AsyncSession": AsyncSession,
    "User": User,
    "Author": Author,
    "Post": Post,
    "select": select,
    "selectinload": selectinload,
    "text": text,
    "create_engine": create_engine,
    "StaticPool": StaticPool,
    "asyncio": asyncio,
    "InterfaceError": InterfaceError,
}

# What the example of SG403 tests.
APP = """
def names_of_authors(session):
    return [post.author.name for post in session.scalars(select(Post))]
"""


async def count_users(engine: Any) -> Any:
    """What the pages of async rules call."""
    async with engine.connect() as connection:
        return await connection.scalar(text("SELECT 1"))


# The function of their examples is a service.
OF_SERVICES = ("SG301", "SG302")
ARGUMENTS = {"name": "eve"}
PATH = "/project/example.py"
# The function of its example is a test.
OF_TESTS = {"SG403": "/project/test_example.py"}


def run(source: str, engine: Any, rule: Any, severity: Severity = Severity.ERROR) -> set[str]:
    """Run the first function of a block as a test of its own; return the rules that it breaks.

    Of a rule that is off, return it where it would have told something.
    """
    module = ModuleType("example_services")
    space: dict[str, Any] = vars(module)
    space.update(NAMES, count_users=count_users)
    exec(compile(APP, "/project/app.py", "exec"), space)
    path = OF_TESTS.get(rule.code, PATH)
    guard = Guard("/")
    guard.start()
    services = Services(Boundary(guard))
    sys.modules[module.__name__] = module
    try:
        guard.start_test(Owner("test", "test_example"), {rule.code: severity})
        if rule.code in OF_TESTS and severity is not Severity.OFF:
            guard.watch_masks()
        exec(compile(source, path, "exec"), space)
        functions = [
            value
            for value in space.values()
            if isinstance(value, FunctionType) and path == value.__code__.co_filename
        ]
        first = functions[0]
        if rule.code in OF_SERVICES:
            services.subscribe([module.__name__])
        wanted = list(inspect.signature(first).parameters)[1:]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = first(engine, *(ARGUMENTS[name] for name in wanted))
            if inspect.isawaitable(result):
                asyncio.run(result)  # type: ignore[arg-type]
            gc.collect()
            findings, _ = guard.end_test("test_example", passed=True)
            for name in ("connections", "sessions"):
                for thing in space.get(name, ()):
                    thing.close()
            for engine in space.get("engines", ()):
                engine.dispose()
        assert None is guard.shield.fault
        if severity is Severity.OFF:
            assert rule.code not in {finding.rule for finding in findings}
            return {code for _, code in guard.hushed}
        return {finding.rule for finding in findings}
    finally:
        services.stop()
        guard.stop()
        del sys.modules[module.__name__]


# asyncpg's connections are tied to their loop; for the rest SQLite will do.
ON_ASYNCPG = [rule for rule in RULES if rule.code == "SG103"]
ON_AIOSQLITE = [
    rule for rule in RULES if "asyncio" in blocks_of(rule)[0] and rule not in ON_ASYNCPG
]
# Only a server has backends.
ON_PSYCOPG = [rule for rule in RULES if rule.code == "SG105"]
SYNC = [rule for rule in RULES if "asyncio" not in blocks_of(rule)[0] and rule not in ON_PSYCOPG]
# Their pages read what is there.
FILLED = ("SG303", "SG304", "SG401", "SG402")


def make_tables(path: Path, rule: Any) -> Any:
    engine = create_engine(f"sqlite:///{path}/users.db")
    Base.metadata.create_all(engine)
    if rule.code in FILLED:
        with Session(engine) as session:
            session.add_all([Post(author=Author(name="Ann")), Post(author=Author(name="Bob"))])
            session.commit()
    return engine


@pytest.fixture
def engine(tmp_path: Path, rule: Any) -> Iterator[Any]:
    engine = make_tables(tmp_path, rule)
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


@pytest.fixture
def postgres_engine(sessionguard_postgres: Any) -> Iterator[Any]:
    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
    yield engine
    engine.dispose()


@pytest.fixture
def aiosqlite_engine(tmp_path: Path, rule: Any) -> Iterator[Any]:
    make_tables(tmp_path, rule).dispose()
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/users.db", poolclass=NullPool)
    yield engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_example(rule: Any, engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], engine, rule)


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_use_instead(rule: Any, engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], engine, rule)


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_example_where_it_is_off(rule: Any, engine: Any) -> None:
    """A rule that is off notes that it is needed, or says that it cannot."""
    told = {rule.code} if rule.seen_off else set()
    assert told == run(blocks_of(rule)[0], engine, rule, Severity.OFF)


@pytest.mark.parametrize("rule", SYNC, ids=rule_id)
def test_use_instead_where_it_is_off(rule: Any, engine: Any) -> None:
    """Where nothing is wrong, nothing has to be ignored."""
    assert set() == run(blocks_of(rule)[1], engine, rule, Severity.OFF)


@pytest.mark.parametrize("rule", ON_AIOSQLITE, ids=rule_id)
def test_aiosqlite_example(rule: Any, aiosqlite_engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], aiosqlite_engine, rule)


@pytest.mark.parametrize("rule", ON_AIOSQLITE, ids=rule_id)
def test_aiosqlite_example_where_it_is_off(rule: Any, aiosqlite_engine: Any) -> None:
    """A rule that is off notes that it is needed, or says that it cannot."""
    told = {rule.code} if rule.seen_off else set()
    assert told == run(blocks_of(rule)[0], aiosqlite_engine, rule, Severity.OFF)


@pytest.mark.parametrize("rule", ON_AIOSQLITE, ids=rule_id)
def test_aiosqlite_use_instead(rule: Any, aiosqlite_engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], aiosqlite_engine, rule)


@pytest.mark.postgres
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("rule", ON_ASYNCPG, ids=rule_id)
def test_async_example(rule: Any, async_engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], async_engine, rule)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", ON_ASYNCPG, ids=rule_id)
def test_async_use_instead(rule: Any, async_engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], async_engine, rule)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", ON_PSYCOPG, ids=rule_id)
def test_server_example(rule: Any, postgres_engine: Any) -> None:
    """The example breaks this rule and no other."""
    assert {rule.code} == run(blocks_of(rule)[0], postgres_engine, rule)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", ON_PSYCOPG, ids=rule_id)
def test_server_example_where_it_is_off(rule: Any, postgres_engine: Any) -> None:
    """A rule that is off notes that it is needed, or says that it cannot."""
    told = {rule.code} if rule.seen_off else set()
    assert told == run(blocks_of(rule)[0], postgres_engine, rule, Severity.OFF)


@pytest.mark.postgres
@pytest.mark.parametrize("rule", ON_PSYCOPG, ids=rule_id)
def test_server_use_instead(rule: Any, postgres_engine: Any) -> None:
    """What to use instead breaks no rule."""
    assert set() == run(blocks_of(rule)[1], postgres_engine, rule)


def test_every_example_is_run() -> None:
    """Sync or async, each page's code is run by one of the tests above."""
    assert ["SG103"] == [rule.code for rule in ON_ASYNCPG]
    assert {"SG203", "SG204", "SG304", "SG305"} == {rule.code for rule in ON_AIOSQLITE}
    assert ["SG105"] == [rule.code for rule in ON_PSYCOPG]
    assert len(RULES) == len(SYNC) + len(ON_ASYNCPG) + len(ON_AIOSQLITE) + len(ON_PSYCOPG)
