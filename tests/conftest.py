"""What all tests of the plugin share: a clean environment, and suites to run."""

from __future__ import annotations

import gc
import importlib
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from harness import Project, tidy_up
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine

from pytest_sessionguard.guard import Guard

pytest_plugins = ["pytester"]

# How long an example takes on a busy machine says nothing of the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

_FOREIGN = ("PYTEST_", "CI", "BUILD_NUMBER", "GITHUB_", "COV_", "TOX_")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out of the environment whatever changes how an inner pytest behaves or looks."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        if name not in ("PYTEST_CURRENT_TEST", "PYTEST_DEBUG_TEMPROOT", "PYTEST_VERSION"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@pytest.fixture(scope="session")
def warm() -> Iterator[None]:
    """Import once what suites import, or each inner run would do so anew and have other classes."""
    for name in ("aiosqlite", "sqlalchemy.dialects.sqlite.aiosqlite", "sqlalchemy.ext.asyncio"):
        importlib.import_module(name)

    with pytest.MonkeyPatch.context() as patch:
        remember_packages(patch)
        # The collector runs at the end of every inner run; it need not look at all this again.
        gc.collect()
        gc.freeze()
        yield
        gc.unfreeze()


def remember_packages(patch: pytest.MonkeyPatch) -> None:
    """Read once what is installed: pytest looks at every file of every plugin's package, each time.

    Args:
        patch: What forgets it.
    """
    find = metadata.distributions

    @cache
    def find_installed(folder: str) -> list[metadata.Distribution]:
        return list(find(path=[folder]))

    def distributions(**context: Any) -> list[metadata.Distribution]:
        if context:
            return list(find(**context))
        packages = []
        for folder in sys.path:
            is_ours = folder.endswith("site-packages")  # a suite may have packages of its own
            packages += find_installed(folder) if is_ours else find(path=[folder])
        return packages

    patch.setattr(metadata, "distributions", distributions)
    for name in ("entry_points", "files"):
        getter: Any = getattr(metadata.Distribution, name).fget
        patch.setattr(metadata.Distribution, name, property(lru_cache(maxsize=4096)(getter)))
    for package in metadata.distributions():  # now, before the collector is told to look away
        if any(point.group == "pytest11" for point in package.entry_points):
            list(package.files or ())


@pytest.fixture
def tidy() -> Iterator[None]:
    """Let go of what suites have leaked once pytester, which keeps their items, has ended."""
    yield
    tidy_up()


@pytest.fixture
def project(
    clean_environment: None, warm: None, tidy: None, pytester: pytest.Pytester
) -> Callable[[Mapping[str, str]], Project]:
    """Give what makes a suite of files, in a folder of this test's own."""
    return partial(Project, pytester)


@pytest.fixture
def bare() -> Iterator[None]:
    """No guard at work: a guard that sees nothing holds the outer one off."""
    guard = Guard("/")
    guard.start()
    guard._watchers.remove()
    yield
    guard.stop()


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a SQLite file with two users in it, less its driver."""
    path = tmp_path / "users.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL)")
    connection.execute("INSERT INTO users (name) VALUES ('ada'), ('bob')")
    connection.commit()
    connection.close()
    return f"/{path}"


@pytest.fixture(scope="session")
def zoo_postgres(sessionguard_postgres: Any) -> Any:
    """The run's Postgres with the zoo of the loads in it, once for all folders that look at it."""
    from loads.zoo import fill_tables, make_tables  # its mappers are no other test's

    engine = create_engine(sessionguard_postgres.url_for("psycopg"))
    make_tables(engine)
    fill_tables(engine)
    engine.dispose()
    return sessionguard_postgres
