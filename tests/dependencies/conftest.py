"""Engines to open sessions on, and a look at what is left behind."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import _alone
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from pytest_sessionguard import assert_dependency_closes
from pytest_sessionguard.guard import active_guard


@pytest.fixture(params=["active", "absent"])
def plugin(request: Any) -> Iterator[str]:
    """Run once with the plugin at work and once without it."""
    if request.param == "active":
        assert active_guard() is not None
        yield request.param
        return
    with _alone():
        assert active_guard() is None
        yield request.param
        assert active_guard() is None


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    """An engine whose pool holds one connection; nothing may be out of it at the end."""
    engine = create_engine(
        f"sqlite:///{tmp_path / 'app.db'}", pool_size=1, max_overflow=0, pool_timeout=0.5
    )
    yield engine
    gc.collect()
    assert 0 == engine.pool.checkedout()
    engine.dispose()


@pytest.fixture
def async_engine(tmp_path: Path) -> Any:
    """The same for aiosqlite; `check` disposes of it in the loop that used it."""
    return create_async_engine(
        f"sqlite+aiosqlite:///{tmp_path / 'app.db'}", pool_size=1, max_overflow=0, pool_timeout=0.5
    )


@pytest.fixture
def check(async_engine: Any) -> Callable[..., None]:
    """Give what asserts it of a dependency, sync or async, and holds that nothing is left."""

    async def run(coroutine: Coroutine[Any, Any, None]) -> None:
        before = asyncio.all_tasks()
        try:
            await coroutine
        finally:
            assert before == asyncio.all_tasks()
            assert 0 == async_engine.pool.checkedout()
            await async_engine.dispose()

    def check(dependency: Any, *args: Any, **kwargs: Any) -> None:
        gc.collect()  # what earlier tests have lost is none of this one's errors
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = assert_dependency_closes(dependency, *args, **kwargs)
            if result is not None:
                asyncio.run(run(result))
            gc.collect()

    return check
