"""MissingGreenlet by the drivers of Postgres, each of which fails in its own way."""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from loads.conftest import line_of, name
from loads.zoo import Author
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from pytest_sessionguard import LazyLoadError, assert_no_lazy_load

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAULTS = (MissingGreenlet, StatementError)


@pytest.fixture(params=("asyncpg", "psycopg"))
def postgres_engine(request: Any, zoo_postgres: Any, watching: Any) -> Any:
    return create_async_engine(zoo_postgres.url_for(request.param))


@pytest.mark.parametrize("is_warm", (False, True), ids=("cold", "warm"))
@pytest.mark.parametrize("how", ("swallowed", "expected", "refused"))
def test_missing_greenlet(
    how: str, is_warm: bool, postgres_engine: Any, watching: Any, collect: Any
) -> None:
    """Found with its attribute where swallowed, not where expected, and the block refuses it."""

    async def run() -> None:
        async with AsyncSession(postgres_engine, expire_on_commit=False) as session:
            author = await session.get(Author, 1)
            if not is_warm:
                await session.commit()
            if how == "swallowed":
                with contextlib.suppress(*FAULTS):
                    author.posts  # read
            elif how == "expected":
                with pytest.raises(FAULTS) as info:
                    author.posts
                assert info.value.__notes__[0] == "sessionguard: Author.posts was not loaded"
            else:
                with pytest.raises(LazyLoadError), assert_no_lazy_load():
                    author.posts
                assert 2 == len(await session.run_sync(lambda _: author.posts))
        await postgres_engine.dispose()

    asyncio.run(run())
    collect()
    findings = [finding for finding in watching.end() if finding.rule == "SG304"]
    wanted = ["SG304 Author.posts relationship"] if how == "swallowed" else []
    assert wanted == [name(finding) for finding in findings]
    assert all(line_of(finding).endswith("# read") for finding in findings)
