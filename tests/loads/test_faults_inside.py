"""A fault inside the watchers of loads changes no test's result, and shows one warning."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from loads.suites import suite

SUITE = suite(
    """
    def test_lazy():
        assert lazy() == 1

    def test_loop():
        assert loop() == ["ada", "bob"]

    def test_eager():
        assert eager() == ["ada", "bob"]

    def test_swallow():
        assert swallow() == []

    def test_subclass():
        with Session(engine) as session:
            author = session.get(Author, 1)
            session.expire(author, ["name"])
            assert author.name == "ada"
            assert author.bio is None
            session.commit()
            assert author.name == "ada"

    def test_expected():
        author = detached()
        with pytest.raises(DetachedInstanceError):
            author.posts
        with pytest.raises(LookupError):
            try:
                author.posts
            except DetachedInstanceError:
                raise LookupError("text")

    def test_expunged():
        with Session(engine) as session:
            author = session.get(Author, 1)
            session.expunge(author)
            session.get(Author, 1)
            session.expunge_all()
            with pytest.raises(DetachedInstanceError):
                author.posts

    def test_lost():
        author = Session(engine).get(Author, 1)
        gc.collect()
        with pytest.raises(DetachedInstanceError):
            author.posts

    def test_older():
        with older as session:
            assert len(session.get(Author, 1).posts) == 1

    def test_block():
        with assert_no_lazy_load():
            assert eager() == ["ada", "bob"]

    def test_failed():
        assert detached().posts

    async def test_swallow_async():
        assert await swallow_async() == []

    async def test_awaited():
        async with AsyncSession(async_engine) as session:
            author = await session.get(Author, 1)
            with pytest.raises((MissingGreenlet, StatementError)):
                author.posts
            await session.run_sync(lambda _: author.posts)
        await async_engine.dispose()
    """,
    head="""
    import gc
    from app import AsyncSession, async_engine, older
    from sqlalchemy.exc import MissingGreenlet, StatementError
    from sqlalchemy.orm.exc import DetachedInstanceError
    """,
)
SUITE["conftest.py"] = ""
SUITE["app.py"] += (
    "\n    from pytest_sessionguard.guard import active_guard"
    "\n    guard = active_guard()"
    "\n    if guard: guard._watchers.remove()"
    "\n    older = Session(engine)"
    "\n    if guard: guard.look()\n"
)

# Places where this suite surely comes by.
PLACES = (
    "accounts.loads.Access.__init__",
    "accounts.loads.Load.__init__",
    "accounts.loads.Fault.__init__",
    "guard.Guard.explain",
    "hints.name_mend",
    "ledger.Ledger.add_load",
    "ledger.Ledger.add_fault",
    "ledger.Ledger.adopt_session",
    "ledger.Ledger.find_lost_session",
    "watch.loads.LoadWatch.__init__",
    "watch.loads.LoadWatch.install",
    "watch.loads.LoadWatch._begin",
    "watch.loads._is_read",
    "watch.loads._kind_of",
    "watch.loads.is_awaited",
    "watch.loads.is_beyond_query",
    "watch.loads.find_attribute_loader",
    "watch.loads.find_result_counter",
    "watch.loads.find_origin",
    "watch.loads.find_record",
    "accounts.loads.Load.add",
    "watch.loads.is_test_code",
    "watch.loads.know_session",
    "watch.faults.FaultWatch.__init__",
    "watch.faults.FaultWatch.install",
    "watch.faults.FaultWatch.explain",
    "watch.faults._is_raised",
    "watch.faults.add_notes",
    "watch.faults.find_record",
    "watch.expectations.ExpectationWatch.__init__",
    "watch.expectations.ExpectationWatch.install",
    "watch.expectations.expect",
    "watch.chains._members_of",
    "watch.expectations._exception_of",
    "watch.expectations.hide_notes",
    "watch.departures.DepartureWatch.__init__",
    "watch.departures.DepartureWatch.install",
    "watch.departures.mark_one",
)


def boom(*args: Any, **kwargs: Any) -> Any:
    raise ZeroDivisionError("deliberate")


def break_place(patch: pytest.MonkeyPatch, place: str) -> None:
    parts = place.split(".")
    for size in (1, 2):
        try:
            target = importlib.import_module(".".join(["pytest_sessionguard", *parts[:-size]]))
        except ImportError:
            continue
        for name in parts[-size:-1]:
            target = getattr(target, name)
        patch.setattr(target, parts[-1], boom)
        return
    raise AssertionError(place)


_once: list[Any] = []


def unwatched(suite: Any) -> Any:
    """Run the suite without the plugin, once for all tests."""
    if not _once:
        run = suite.run("-p", "no:sessionguard")
        assert set(run.results.values()) == {"passed", "failed"}
        _once.append(run)
    return _once[0]


@pytest.mark.parametrize("place", PLACES)
def test_place(project, place):
    """An exception in any place where these watchers work changes nothing but one warning."""
    suite = project(SUITE)
    without = unwatched(suite)
    run = suite.run("--sessionguard=warn", sabotage=lambda patch: break_place(patch, place))
    assert [(nodeid, word) for nodeid, word, _ in run.told] == [
        (nodeid, word) for nodeid, word, _ in without.told
    ]
    assert run.exit == without.exit
    assert "INTERNALERROR" not in run.text
    ours = [text for category, text in run.warnings if category == "SessionGuardWarning"]
    assert len(ours) == 1, run.text
    assert run.fault == "ZeroDivisionError: deliberate"


def test_without_a_fault(project):
    """The same suite without a fault has the same results, and is no reason to stand down."""
    suite = project(SUITE)
    without = unwatched(suite)
    run = suite.run("--sessionguard=warn")
    assert run.results == without.results
    assert run.fault == ""
    assert "SG402 test_loop" in run.found


@pytest.mark.parametrize(
    "name", ("_fire_loader_callables", "_new_runid", "load_path", "runid", "gone")
)
def test_private_name_that_is_gone(project, name):
    """Without a private name of SQLAlchemy less is found, and nothing fails."""

    def sabotage(patch: pytest.MonkeyPatch) -> None:
        from pytest_sessionguard.watch import loads, private

        if name == "_fire_loader_callables":
            patch.setattr(loads, "find_attribute_loader", lambda: None)
        if name == "_new_runid":
            patch.setattr(loads, "find_result_counter", lambda: None)
        if name == "load_path":
            patch.setattr(loads, "is_beyond_query", lambda state, key: False)
        if name == "runid":
            patch.setattr(loads, "find_origin", lambda state, ledger: None)
        assert private.KEY

    suite = project(SUITE)
    without = unwatched(suite)
    run = suite.run("--sessionguard=warn", sabotage=sabotage)
    assert run.results == without.results
    assert run.fault == ""
    assert "SG303 test_swallow" in run.found
    if name in ("_new_runid", "runid"):
        assert "loaded at" not in run.text
    if name == "_fire_loader_callables":
        assert "SG402 test_loop" not in run.found
