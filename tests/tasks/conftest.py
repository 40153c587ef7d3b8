"""A guard of its own around each test, and the zoo of the loads to work on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from harness import tidy_up
from loads.conftest import (  # noqa: F401 (fixtures)
    _quick_collections,
    async_engine,
    collect,
    database,
    engine,
    line_of,
    template,
    watching,
)

# What a finding of these rules may stand beside is not of these tests: a work that waits, or does
# two things with one session, is told by others.
OURS = ("SG101", "SG102", "SG201", "SG202", "SG204", "SG305")


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """Let go of the connections that tests here lose on purpose; each has a thread."""
    yield
    gc.collect()
    tidy_up()


@pytest.fixture
def found(watching: Any, collect: Any) -> Any:  # noqa: F811
    """Give what ends the test and returns each finding as its code and the line handed over at."""

    def run() -> list[str]:
        collect()
        return [f"{f.rule} {line_of(f)}" for f in watching.end() if f.rule in OURS]

    return run


@pytest.fixture
def findings(watching: Any, collect: Any) -> Any:  # noqa: F811
    """Give what ends the test and returns the findings."""

    def run() -> list[Any]:
        collect()
        return [f for f in watching.end() if f.rule in OURS]

    return run
