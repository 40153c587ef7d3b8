"""A fault inside the guard changes no test's result, and shows one warning."""

from __future__ import annotations

import importlib
import inspect

import pytest
from harness import APP, ASYNC_APP

from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.rules import RULES

SUITE = {
    "app.py": APP,
    "aio.py": ASYNC_APP,
    "pytest.ini": "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n",
    "test_x.py": """
        import aio
        import app
        import pytest
        from app import Session, engine, text

        @pytest.fixture(scope="module")
        def wide():
            with engine.connect() as connection:
                yield connection

        @pytest.fixture
        def narrow():
            session = Session(engine)
            yield session
            session.close()

        @pytest.mark.parametrize("name", ["fine", "forget", "leak", "leave_open", "use_after"])
        def test_sync(name, wide, narrow):
            assert getattr(app, name)() in (1, None)
            assert narrow.scalar(text("SELECT 1")) == 1

        @pytest.mark.parametrize("name", ["fine", "forget", "leak", "leave_open", "use_after"])
        async def test_async(name):
            assert await getattr(aio, name)() in (1, None)

        def test_twice():
            session = Session(engine)
            with session:
                session.scalar(text("SELECT 1"))
            with session:
                session.scalar(text("SELECT 1"))

        def test_failed(narrow):
            app.leak()
            assert narrow is None

        def test_skipped(narrow):
            pytest.skip("not today")

        @pytest.mark.xfail(strict=True)
        def test_xfailed(narrow):
            assert False

        @pytest.fixture
        def broken(narrow):
            raise ValueError("mine")

        def test_setup(broken):
            pass
    """,
}

LEDGER = tuple(
    f"ledger.Ledger.{name}"
    for name, value in vars(Ledger).items()
    if inspect.isfunction(value) and not name.startswith("_")
)
# Places where this suite surely comes by.
PLACES = (
    "ledger.Ledger.open_lease",
    "ledger.Ledger.end_lease",
    "ledger.Ledger.open_session",
    "ledger.Ledger.use_session",
    "ledger.Ledger.begin_again",
    "ledger.Ledger.close_session",
    "ledger.Ledger.add_pool",
    "ledger.Account.open_leases",
    "ledger.Account.open_sessions",
    "ledger.Account.lost_leases",
    "callsite.Tracer._learn_way",
    "watch.arrivals.Arrivals.begin",
    "watch.pools.know_pool",
    "watch.pools.Lease",
    "watch.pools.PoolWatch.install",
    "watch.pools.PoolWatch.__init__",
    "watch.sessions._is_own_block",
    "watch.sessions.SessionWatch.install",
    "watch.sessions.SessionWatch.install_async",
    "guard.judge_account",
    "guard.Guard.render",
    "guard.Account",
    "endings.settle",
    "endings.Postponed.take",
    "accounts.connections.find_holder",
    "plugin.run.tell",
)


def boom(*args, **kwargs):
    raise ZeroDivisionError("deliberate")


class Boom:
    def __getattr__(self, name):
        raise ZeroDivisionError("deliberate")


def break_place(patch: pytest.MonkeyPatch, place: str) -> None:
    for size in (1, 2):
        parts = place.split(".")
        try:
            target = importlib.import_module(".".join(["pytest_sessionguard", *parts[:-size]]))
        except ImportError:
            continue
        for name in parts[-size:-1]:
            target = getattr(target, name)
        patch.setattr(target, parts[-1], Boom() if parts[-1] == "gc" else boom)
        return


def compare(run, without) -> None:
    assert [(nodeid, word) for nodeid, word, _ in run.told] == [
        (nodeid, word) for nodeid, word, _ in without.told
    ]
    assert run.exit == without.exit
    assert "INTERNALERROR" not in run.text
    ours = [text for category, text in run.warnings if category == "SessionGuardWarning"]
    assert len(ours) == 1, run.text
    assert ours[0].startswith("sessionguard failed inside and judges nothing more in this run")
    assert ours[0].endswith("ZeroDivisionError: deliberate")
    assert run.fault == "ZeroDivisionError: deliberate"
    assert "sessionguard stood down after a fault of its own" in run.text


@pytest.mark.parametrize("place", PLACES)
def test_place(project, place):
    """An exception in any place where the guard works changes nothing but one warning."""
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard")
    run = suite.run("--sessionguard=warn", sabotage=lambda patch: break_place(patch, place))
    compare(run, without)


@pytest.mark.parametrize("place", [place for place in LEDGER if place not in PLACES])
def test_seldom_place(project, place):
    """The same for whatever else watchers and rules may ask of the ledger, if they come there."""
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard")
    run = suite.run("--sessionguard=warn", sabotage=lambda patch: break_place(patch, place))
    if run.fault:
        compare(run, without)
    assert run.outcomes == without.outcomes


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_judge(project, rule):
    """So does an exception in a rule's judge."""
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard")

    def sabotage(patch):
        # A rule is frozen, and the tuple of all is the default of an argument.
        patch.setitem(vars(rule), "judge", boom)

    compare(suite.run("--sessionguard=warn", sabotage=sabotage), without)


@pytest.mark.parametrize("place", ("ledger.Ledger.open_lease", "guard.judge_account"))
def test_warnings_as_errors(project, place):
    """Where every warning is an error, ours is still a warning and no error of a user's test."""
    # When the suite's own leaks are collected, and their threads end, is a matter of chance.
    chance = ("PytestUnhandledThreadExceptionWarning", "PytestUnraisableExceptionWarning")
    options = ["-W", "error::pytest.PytestWarning"]
    for name in chance:
        options += ["-W", f"ignore::pytest.{name}"]
    suite = project(SUITE)
    without = suite.run("-p", "no:sessionguard", *options)
    run = suite.run(*options, sabotage=lambda patch: break_place(patch, place))
    compare(run, without)


def test_fail_mode(project):
    """In fail mode a fault fails nothing either, and what was found before it stays found."""
    suite = project(
        {
            "app.py": APP,
            "test_x.py": """
                from app import leak, leave_open
                from pytest_sessionguard.accounts import Account

                def test_a():
                    leak()

                def test_b(monkeypatch):
                    from pytest_sessionguard.guard import active_guard
                    active_guard().shield.report(ZeroDivisionError("deliberate"))

                def test_c():
                    leak()
            """,
        }
    )
    run = suite.run()
    assert run.found == ["SG101 test_a"]
    assert run.results == {
        "test_a": "passed, error at teardown",
        "test_b": "passed",
        "test_c": "passed",
    }
    assert run.fault == "ZeroDivisionError: deliberate"


def test_stands_down(project):
    """After a fault nothing is watched any more."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from pytest_sessionguard.guard import active_guard
                from sqlalchemy.orm import Session

                def test_a():
                    active_guard().shield.report(ZeroDivisionError("deliberate"))

                def test_b():
                    assert not hasattr(Session.close, "__wrapped__")
            """,
        }
    ).run()
    assert run.results == {"test_a": "passed", "test_b": "passed"}


def test_warning_under_xdist(project):
    """A worker's fault reaches the summary of the controller."""
    run = project(
        {
            "app.py": APP,
            "test_x.py": """
                from pytest_sessionguard.guard import active_guard

                def test_a():
                    active_guard().shield.report(ZeroDivisionError("deliberate"))
            """,
        }
    ).run("-n1")
    assert run.fault == "ZeroDivisionError: deliberate"
    assert run.exit == 0
    assert [category for category, _ in run.warnings] == ["SessionGuardWarning"]
