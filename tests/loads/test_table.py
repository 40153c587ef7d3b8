"""Every way to load, judged: by the block that refuses, by SG401, sync and async."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from loads.conftest import line_of, name
from loads.ways import WAYS, Way
from sqlalchemy import text
from sqlalchemy.exc import MissingGreenlet, StatementError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from pytest_sessionguard import LazyLoadError, assert_no_lazy_load
from pytest_sessionguard.model import Severity

FOUND = {key: way for key, way in WAYS.items() if way.found}
BARE = {key: way for key, way in FOUND.items() if way.bare}

# aiosqlite's cursors are coroutines that nobody awaits where there is no greenlet.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*noload.*"),
    pytest.mark.filterwarnings("ignore:.*does not support updated rowcount"),
    pytest.mark.filterwarnings("ignore:coroutine 'Connection.cursor' was never awaited"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def judge(way: Way, steps: Iterator[None], sent: list[str]) -> None:
    """Do in a block what is judged, and compare."""
    sent.clear()
    if not way.found:
        with assert_no_lazy_load():
            next(steps, None)
        return
    with pytest.raises(LazyLoadError) as info, assert_no_lazy_load():
        next(steps, None)
    finding = info.value.finding
    assert f"SG401 {way.found[0]}" == name(finding)
    assert line_of(finding).endswith("# read")
    assert way.before == len(sent), "what is refused sends nothing"


@pytest.mark.parametrize("key", WAYS)
def test_refused(key: str, watching: Any, engine: Any, statements: Any) -> None:
    """The block refuses a load that a reading causes, at its line, and nothing else."""
    way, sent = WAYS[key], statements(engine)
    with Session(engine) as session:
        steps = way.steps(session)
        next(steps)
        judge(way, steps, sent)
        assert 1 == session.scalar(text("SELECT 1")), "the session is usable afterwards"
        steps.close()


@pytest.mark.parametrize("key", WAYS)
@pytest.mark.parametrize("severity", [Severity.ERROR, Severity.WARN], ids=lambda s: s.value)
def test_recorded(key: str, severity: Severity, watching: Any, engine: Any) -> None:
    """SG401 finds the same, with the severity that is set."""
    way = WAYS[key]
    with Session(engine) as session:
        steps = way.steps(session)
        next(steps)
        watching.begin({"SG401": severity})
        next(steps, None)
        findings = watching.end()
    assert [f"SG401 {what}" for what in way.found] == [name(finding) for finding in findings]
    for finding in findings:
        assert severity is finding.severity
        assert line_of(finding).endswith("# read")


async def bridge(way: Way, engine: Any, act: Any) -> None:
    """Prepare in a greenlet of an AsyncSession, and act there too."""
    async with AsyncSession(engine) as session:
        steps = await session.run_sync(way.steps)
        await session.run_sync(lambda _: next(steps))
        await session.run_sync(lambda _: act(steps))
        assert 1 == await session.scalar(text("SELECT 1"))
        steps.close()
    await engine.dispose()


@pytest.mark.parametrize("key", WAYS)
def test_refused_in_run_sync(key: str, watching: Any, async_engine: Any, statements: Any) -> None:
    """So does it in a function that an AsyncSession runs."""
    way, sent = WAYS[key], statements(async_engine.sync_engine)
    asyncio.run(bridge(way, async_engine, lambda steps: judge(way, steps, sent)))
    assert {} == watching.ledger.out


@pytest.mark.parametrize("key", WAYS)
def test_recorded_in_run_sync(key: str, watching: Any, async_engine: Any) -> None:
    """And SG401 finds it there."""
    way, findings = WAYS[key], []

    def act(steps: Iterator[None]) -> None:
        watching.begin({"SG401": Severity.WARN})
        next(steps, None)
        findings.extend(watching.end())

    asyncio.run(bridge(way, async_engine, act))
    assert [f"SG401 {what}" for what in way.found] == [name(finding) for finding in findings]
    for finding in findings:
        assert line_of(finding).endswith("# read")


@pytest.mark.parametrize("key", BARE)
def test_refused_without_a_greenlet(
    key: str, watching: Any, async_engine: Any, statements: Any
) -> None:
    """Outside of a greenlet the block says it in place of MissingGreenlet, and takes nothing."""
    way, sent = WAYS[key], statements(async_engine.sync_engine)

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            steps = await session.run_sync(way.steps)
            await session.run_sync(lambda _: next(steps))
            before = session.in_transaction(), len(watching.ledger.out)
            judge(way, steps, sent)
            assert before == (session.in_transaction(), len(watching.ledger.out))
            assert 1 == await session.scalar(text("SELECT 1"))
            steps.close()
        await async_engine.dispose()

    asyncio.run(run())
    assert [] == watching.account.faults


@pytest.mark.parametrize("key", BARE)
def test_missing_greenlet(key: str, watching: Any, async_engine: Any, collect: Any) -> None:
    """Without the block the same readings are SG304, with their attribute and line."""
    way = WAYS[key]

    async def run() -> None:
        async with AsyncSession(async_engine) as session:
            steps = await session.run_sync(way.steps)
            await session.run_sync(lambda _: next(steps))
            watching.begin()
            try:
                next(steps, None)
            except (MissingGreenlet, StatementError) as error:
                notes = "\n".join(error.__notes__)
            else:
                raise AssertionError("no MissingGreenlet")
            (finding,) = [f for f in watching.end() if f.rule == "SG304"]
            assert f"SG304 {way.found[0]}" == name(finding)
            assert line_of(finding).endswith("# read")
            assert 1 == notes.count(f"sessionguard: {finding.facts['attribute']} was ")
            steps.close()
        await async_engine.dispose()

    asyncio.run(run())
    collect()  # cursors that nobody awaited


def test_nothing_is_left_behind(watching: Any, async_engine: Any) -> None:
    """No greenlet, task, thread or lease outlives a refusal."""
    greenlet = pytest.importorskip("greenlet")
    threads = set(threading.enumerate())

    def count() -> int:
        gc.collect()
        return sum(isinstance(thing, greenlet.greenlet) for thing in gc.get_objects())

    async def run() -> None:
        before = count()
        for key in ("one_to_many", "deferred_column", "expired_by_commit"):
            async with AsyncSession(async_engine) as session:
                steps = await session.run_sync(WAYS[key].steps)
                await session.run_sync(lambda _, steps=steps: next(steps))
                with pytest.raises(LazyLoadError), assert_no_lazy_load():
                    await session.run_sync(lambda _, steps=steps: next(steps, None))
                assert 1 == len(asyncio.all_tasks())
        del session, steps
        assert before == count()
        await async_engine.dispose()

    asyncio.run(run())
    assert {} == watching.ledger.out
    assert [] == watching.ledger.refusals
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert not thread.is_alive()
