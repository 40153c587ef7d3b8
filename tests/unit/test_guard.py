"""Who owns what, when it is due, and what is judged; SQLAlchemy is not asked."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_sessionguard.accounts import Account, Lease, PoolFacts
from pytest_sessionguard.callsite import Trace, Tracer
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner, Severity
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.rules.base import Rule, Verdict
from pytest_sessionguard.tally import Tally

TEST = Owner("test", "test_it", nodeid="test_it")


class Proxy:
    is_valid = True


class Desk:
    """A guard, and connections that are kept alive here."""

    def __init__(self, **options: Any) -> None:
        import sqlalchemy.orm  # noqa: F401  (what is not imported is not watched)

        self.guard = Guard("/", **options)
        self.guard.start()
        self.proxies: list[Proxy] = []

    def take(self, thread: int | None = None) -> Proxy:
        """Check out a connection for whoever owns what is opened now."""
        proxy = Proxy()
        self.proxies.append(proxy)
        ledger = self.guard.ledger
        pool = PoolFacts(ledger, engine="e", kind="QueuePool", size=5, overflow=10, timeout=30)
        trace = Trace(Tracer().capture().marks[:2])
        here = threading.get_ident() if thread is None else thread
        ledger.open_lease(object(), Lease(lambda: proxy, trace, ledger.current, pool, here))
        return proxy

    def fixture(self, key: str, scope: str = "function") -> None:
        owner = Owner("fixture", f"fixture `{key}`", scope, "node")
        self.guard.start_fixture(key, owner, {})

    def ready(self, key: str) -> None:
        self.guard.leave_fixture(key, ready=True)

    def end(self, nodeid: str = "test_it", *, passed: bool = True) -> tuple[list[str], list[str]]:
        """End the test: the owners of its findings, and of what a failed one left open."""
        findings, left = self.guard.end_test(nodeid, passed=passed)
        return [str(f.owner) for f in findings], [str(f.owner) for f in left]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    desk.guard.stop()


def test_a_tests_connection(desk: Desk) -> None:
    """What a test took and kept is found at its end, once."""
    desk.guard.start_test(TEST, {})
    desk.take()
    assert (["test_it"], []) == desk.end()
    assert ([], []) == desk.end()


def test_a_connection_that_came_back(desk: Desk) -> None:
    """What was closed by then is not found."""
    desk.guard.start_test(TEST, {})
    desk.take().is_valid = False
    assert ([], []) == desk.end()


def test_what_nobody_owned(desk: Desk) -> None:
    """What was taken before the first test, or between two, is never due."""
    desk.take()
    desk.guard.start_test(TEST, {})
    desk.end()
    desk.take()
    desk.guard.start_test(TEST, {})
    assert ([], []) == desk.end()
    assert [] == desk.guard.end_run()


def test_a_failed_test(desk: Desk) -> None:
    """A failed test is not judged: what it left open is told beside, and to nobody else."""
    desk.guard.start_test(TEST, {})
    desk.take()
    assert ([], ["test_it"]) == desk.end(passed=False)
    desk.guard.start_test(TEST, {})
    assert ([], []) == desk.end()


def test_a_failed_subtest(desk: Desk) -> None:
    """A test of which a part has failed counts as failed."""
    desk.guard.start_test(TEST, {})
    desk.take()
    desk.guard.test.failed = True  # type: ignore[union-attr]
    assert ([], ["test_it"]) == desk.end(passed=True)


def test_a_function_fixture(desk: Desk) -> None:
    """What a fixture took before its `yield` is its own, and due with its test."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db")
    desk.take()
    desk.ready("db")
    desk.guard.tear_down_fixture("db")
    desk.guard.end_fixture("db")
    assert (["the function-scoped fixture `db`"], []) == desk.end()


def test_a_fixture_that_closes_what_it_took(desk: Desk) -> None:
    """What a fixture's teardown closes is no finding, though it was open when the test ended."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db")
    proxy = desk.take()
    desk.ready("db")
    desk.guard.tear_down_fixture("db")
    proxy.is_valid = False
    desk.guard.end_fixture("db")
    assert ([], []) == desk.end()


def test_a_fixture_that_another_closes(desk: Desk) -> None:
    """A fixture that ends first is judged when all have ended: another may close its things."""
    desk.guard.start_test(TEST, {})
    for key in ("outer", "inner"):
        desk.fixture(key)
        desk.ready(key)
    desk.guard.tear_down_fixture("inner")
    proxy = desk.take()
    desk.guard.end_fixture("inner")
    desk.guard.tear_down_fixture("outer")
    proxy.is_valid = False
    desk.guard.end_fixture("outer")
    assert ([], []) == desk.end()


def test_ownership_comes_back(desk: Desk) -> None:
    """Fixtures that set up each other give ownership back in the order of a stack."""
    guard = desk.guard
    guard.start_test(TEST, {})
    owners = [str(guard.ledger.current.owner)]
    desk.fixture("outer")
    owners.append(str(guard.ledger.current.owner))
    desk.fixture("inner", "session")
    owners.append(str(guard.ledger.current.owner))
    desk.ready("inner")
    owners.append(str(guard.ledger.current.owner))
    desk.ready("outer")
    owners.append(str(guard.ledger.current.owner))
    assert [
        "test_it",
        "the function-scoped fixture `outer`",
        "the session-scoped fixture `inner`",
        "the function-scoped fixture `outer`",
        "test_it",
    ] == owners


def test_a_wider_fixture_outlives_its_tests(desk: Desk) -> None:
    """What a module's fixture keeps is no finding of any test, but of its own end."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db", "module")
    desk.take()
    desk.ready("db")
    assert ([], []) == desk.end("one")
    desk.guard.start_test(TEST, {})
    desk.guard.tear_down_fixture("db")
    desk.guard.end_fixture("db")
    assert (["the module-scoped fixture `db`"], []) == desk.end("two")


def test_a_wider_fixture_beside_a_failed_test(desk: Desk) -> None:
    """A fixture of wider scope is judged whether or not the last test has failed."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db", "module")
    desk.take()
    desk.ready("db")
    desk.take()
    desk.guard.end_fixture("db")
    assert (["the module-scoped fixture `db`"], ["test_it"]) == desk.end(passed=False)


def test_a_wider_fixtures_teardown_owns_what_it_opens(desk: Desk) -> None:
    """What a fixture's teardown takes is the fixture's; what comes after is the test's again."""
    guard = desk.guard
    guard.start_test(TEST, {})
    desk.fixture("db", "module")
    desk.ready("db")
    guard.tear_down_fixture("db")
    desk.take()
    guard.end_fixture("db")
    assert "test_it" == str(guard.ledger.current.owner)
    assert (["the module-scoped fixture `db`"], []) == desk.end()


def test_a_fixture_whose_setup_failed(desk: Desk) -> None:
    """A fixture that failed goes with the test that asked for it, of whatever scope it is."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db", "session")
    desk.take()
    desk.guard.leave_fixture("db", ready=False)
    assert "test_it" == str(desk.guard.ledger.current.owner)
    assert ([], ["the session-scoped fixture `db`"]) == desk.end(passed=False)
    assert [] == desk.guard.end_run()


def test_a_fixture_that_no_test_ends(desk: Desk) -> None:
    """A fixture that is torn down after the last test is judged at the end of the run."""
    desk.guard.start_test(TEST, {})
    desk.fixture("db", "session")
    desk.take()
    desk.ready("db")
    assert ([], []) == desk.end()
    desk.guard.end_fixture("db")
    (finding,) = desk.guard.end_run()
    assert ("the session-scoped fixture `db`", "") == (str(finding.owner), finding.told_at)
    assert [] == desk.guard.end_run()


def test_an_unknown_fixture_ends(desk: Desk) -> None:
    """A fixture that was set up before the guard, or has ended already, ends in silence."""
    desk.guard.start_test(TEST, {})
    desk.guard.tear_down_fixture("unknown")
    desk.guard.end_fixture("unknown")
    desk.fixture("db")
    desk.take()
    desk.ready("db")
    desk.guard.end_fixture("db")
    desk.guard.end_fixture("db")
    assert (["the function-scoped fixture `db`"], []) == desk.end()


def test_where_a_finding_was_told(desk: Desk) -> None:
    """A finding names the test at whose end it was told, and the rule with its severity."""
    desk.guard.start_test(TEST, {})
    desk.take()
    (finding,), _ = desk.guard.end_test("a.py::test_it", passed=True)
    assert ("SG101", "leaked-connection", Severity.ERROR, "a.py::test_it") == (
        finding.rule,
        finding.name,
        finding.severity,
        finding.told_at,
    )


@pytest.mark.parametrize("severity", list(Severity))
def test_severities(severity: Severity, desk: Desk) -> None:
    """What the settings say of a rule is what its findings are; one that is off finds nothing."""
    desk.guard.start_test(TEST, {"SG101": severity})
    desk.take()
    findings, _ = desk.guard.end_test("", passed=True)
    assert ([] if severity is Severity.OFF else [severity]) == [f.severity for f in findings]


def test_severities_are_the_owners(desk: Desk) -> None:
    """A fixture is judged by its own settings, not by those of the test that ends with it."""
    desk.guard.start_test(TEST, {"SG101": Severity.OFF})
    owner = Owner("fixture", "fixture `db`")
    desk.guard.start_fixture("db", owner, {"SG101": Severity.WARN})
    desk.take()
    desk.ready("db")
    desk.take()
    desk.guard.end_fixture("db")
    findings, _ = desk.guard.end_test("", passed=True)
    assert [(owner, Severity.WARN)] == [(f.owner, f.severity) for f in findings]


def test_tally(desk: Desk) -> None:
    """Each count is told once: what was seen since the last time."""
    guard = desk.guard
    for passed in (True, True, False):
        guard.start_test(TEST, {})
        guard.end_test("", passed=passed)
    guard.ledger.open_session(object, Trace(()))
    assert Tally(tests=2, engines=0, sessions=1) == guard.take_tally()
    assert Tally() == guard.take_tally()


def test_tallies_add_up() -> None:
    """Tallies are added and subtracted by each count."""
    one, two = Tally(1, 2, 3), Tally(10, 20, 30)
    assert Tally(11, 22, 33) == one + two
    assert one == one + two - two


def test_describe(desk: Desk) -> None:
    """A lease is described by where it was taken and by whom."""
    desk.guard.start_test(TEST, {})
    desk.take()
    text = desk.guard.describe(desk.guard.ledger.newest)  # type: ignore[arg-type]
    assert text.startswith("  - taken at ")
    assert text.endswith(" in take, by test_it")


def test_a_thread_that_is_about_to_close(desk: Desk) -> None:
    """A connection of a thread that still runs gets a moment to come back."""
    taken, end = threading.Event(), threading.Event()

    def serve() -> None:
        proxy = desk.take()
        taken.set()
        end.wait(5)
        proxy.is_valid = False

    desk.guard.start_test(TEST, {})
    thread = threading.Thread(target=serve)
    thread.start()
    taken.wait(5)
    threading.Timer(0.05, end.set).start()
    assert ([], []) == desk.end()
    thread.join()


def test_a_thread_that_does_not_close(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that a living thread keeps is found when the moment is over."""
    monkeypatch.setattr("pytest_sessionguard.accounts.settling._GRACE", 0.02)
    stop, taken = threading.Event(), threading.Event()

    def serve() -> None:
        desk.take()
        taken.set()
        stop.wait(5)

    desk.guard.start_test(TEST, {})
    thread = threading.Thread(target=serve)
    thread.start()
    taken.wait(5)
    try:
        assert (["test_it"], []) == desk.end()
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    ("text", "is_said"),
    (
        ("The garbage collector is trying to clean up non-checked-in connection <...>", False),
        ("unclosed connection <asyncpg.connection.Connection object at 0x1>", False),
        ("unclosed database in <sqlite3.Connection object at 0x1>", False),
        ("unclosed transport <_SelectorSocketTransport fd=11>", False),
        ("connection <psycopg.Connection [IDLE]> was deleted while still open.", False),
        ("<Connection(Thread-3)> was deleted before being closed.", False),
        ("unclosed file <_io.TextIOWrapper name='x'>", True),
        ("unclosed <socket.socket fd=11>", True),
    ),
)
def test_warnings_of_what_is_collected(desk: Desk, text: str, *, is_said: bool) -> None:
    """What the finding says better is hushed where it is collected, and the rest said later."""

    class Loud:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            warnings.warn(text, ResourceWarning, stacklevel=1)

    desk.guard.start_test(TEST, {})
    desk.take()
    Loud()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert (["test_it"], []) == desk.end()
        assert caught == []
        desk.guard.endings.say_unsaid()
    assert [str(warning.message) for warning in caught] == [text] * is_said


def test_errors_in_what_is_collected(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody can catch is said at the end, or the next test would be told of it."""

    class Loud:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            raise ValueError("loud")

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    desk.guard.start_test(TEST, {})
    desk.take()
    Loud()
    assert (["test_it"], []) == desk.end()
    assert told == []
    desk.guard.endings.say_unsaid()
    (said,) = told
    assert (said.exc_type, str(said.exc_value)) == (ValueError, "loud")
    assert "Loud.__del__" in repr(said.object)


def break_rule(account: Account, render: Any) -> list[Verdict]:
    raise ZeroDivisionError("in a rule")


def test_a_fault_in_a_rule() -> None:
    """A rule that raises ends the judging, for good; nothing that was found before is told."""
    broken = Rule("SG999", "broken", Severity.ERROR, break_rule)
    desk = Desk(rules=(*RULES, broken))
    try:
        desk.guard.start_test(TEST, {})
        desk.take()
        assert ([], []) == desk.end()
        assert isinstance(desk.guard.shield.fault, ZeroDivisionError)
        assert not desk.guard.is_watching
        desk.guard.start_test(TEST, {})
        desk.take()
        assert ([], []) == desk.end()
        assert [] == desk.guard.end_run()
    finally:
        desk.guard.stop()


def test_what_is_accepted_comes_back_under_no_other_name(desk: Desk) -> None:
    """A connection whose rule is off is not told as the session that holds it, nor the reverse."""
    ledger = desk.guard.ledger
    desk.guard.start_test(TEST, {"SG101": Severity.OFF})
    record = ledger.open_session(lambda: desk, Tracer().capture())
    desk.take()
    ledger.use_session(record, ledger.newest)  # type: ignore[arg-type]
    assert ([], []) == desk.end()


def test_only_the_first_fault_counts(desk: Desk) -> None:
    """What breaks after a fault is its consequence, and is not told."""
    first = ZeroDivisionError()
    desk.guard.shield.report(first)
    desk.guard.shield.report(KeyError())
    assert first is desk.guard.shield.fault


def test_after_a_fault_nothing_is_watched(desk: Desk) -> None:
    """A guard that has failed takes its hands off SQLAlchemy at the next look."""
    from sqlalchemy.orm import Session

    assert hasattr(Session.close, "__wrapped__")
    desk.guard.shield.report(ZeroDivisionError())
    desk.guard.look()
    assert not hasattr(Session.close, "__wrapped__")


def test_a_test_that_was_never_started(desk: Desk) -> None:
    """The end of a test that the guard did not see begin finds nothing."""
    assert ([], []) == desk.end()


def test_a_session_that_begins_as_its_test_ends(desk: Desk, monkeypatch: Any) -> None:
    """What a server's session takes while the test is judged is told if it is never closed."""
    desk.guard.start_test(TEST, {})
    ledger = desk.guard.ledger
    records = [ledger.open_session(lambda: None, Trace(())) for _ in range(2)]
    proxies = []

    def settle(accounts: list[Account]) -> list[Any]:
        for record in records:
            proxies.append(desk.take())
            ledger.use_session(record, ledger.newest)  # type: ignore[arg-type]
        return []

    with monkeypatch.context() as patch:
        patch.setattr("pytest_sessionguard.endings.settle", settle)
        assert ([], []) == desk.end()
    proxies[0].is_valid = False
    ledger.close_session(records[0], None, in_block=True)
    assert ["test_it"] == [str(finding.owner) for finding in desk.guard.end_run()]


@pytest.mark.parametrize("by", ("nobody", "its own fixture"))
def test_what_a_wider_fixture_returns(desk: Desk, by: str) -> None:
    """What the last test has out when a wider fixture's teardown begins, it has leaked."""
    guard = desk.guard
    guard.start_test(TEST, {})
    desk.fixture("wide", "module")
    desk.ready("wide")
    desk.fixture("own")
    desk.ready("own")
    proxy = desk.take()
    guard.begin_teardown()
    guard.tear_down_fixture("own")
    proxy.is_valid = by == "nobody"
    guard.end_fixture("own")
    guard.tear_down_fixture("wide")
    proxy.is_valid = False
    guard.end_fixture("wide")
    assert (["test_it"] if by == "nobody" else [], []) == desk.end()


def test_what_a_wider_fixture_returns_before_the_test(desk: Desk) -> None:
    """One that is torn down for its next parameter ends nothing of the test that is set up."""
    desk.guard.start_test(TEST, {})
    desk.fixture("wide", "module")
    desk.ready("wide")
    proxy = desk.take()
    desk.guard.tear_down_fixture("wide")
    proxy.is_valid = False
    desk.guard.end_fixture("wide")
    assert ([], []) == desk.end()


def test_a_page_that_is_written_after_many_tests(desk: Desk) -> None:
    """A session that outlives its test has its page for good, however many come between."""
    guard = desk.guard
    guard.start_test(TEST, {})
    record = guard.ledger.open_session(lambda: None, Trace(()))
    guard.ledger.close_session(record, None, in_block=False)
    desk.take().is_valid = False
    assert ([], []) == desk.end()
    for _ in range(3):
        guard.start_test(Owner("test", "test_other", nodeid="test_other"), {})
        assert ([], []) == desk.end()
    proxy = desk.take()
    guard.ledger.use_session(record, guard.ledger.newest)  # type: ignore[arg-type]
    assert proxy.is_valid
    assert ["test_it"] == [str(finding.owner) for finding in guard.end_run()]
