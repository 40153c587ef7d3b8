"""The assertion that connections are back in their pool."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from pytest_sessionguard.accounts import Account, Lease
from pytest_sessionguard.guard import Guard, active_guard
from pytest_sessionguard.model import Finding, Severity
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.rules import connection_left_to_gc, leaked_connection
from pytest_sessionguard.rules.base import Rule, group_by_place, tell_leases


class LeakedConnectionError(AssertionError):
    """A connection that should be back in its pool is not.

    Attributes:
        findings: What was found, one for each place that took connections.
    """

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n\n".join(tell(finding, acceptable=False) for finding in findings))
        self.findings = findings


class LeakCheck:
    """A check that can be made again at the end of a block, sync or async.

    Made by `assert_no_leaked_connections`; its constructor is private.
    """

    def __init__(self, guard: Guard, dialects: tuple[Any, ...], current: Iterable[Lease]) -> None:
        self._guard = guard
        self._dialects = dialects
        self._current = {id(lease): lease for lease in current}

    def __enter__(self) -> LeakCheck:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if type_ is None:
            self.check()

    async def __aenter__(self) -> LeakCheck:
        return self

    async def __aexit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if type_ is None:
            self.check()

    def check(self) -> None:
        """Check now.

        Raises:
            LeakedConnectionError: A connection is out, or was left to the garbage collector.
        """
        __tracebackhide__ = True
        out, lost = self.find()
        findings = [
            *self._tell(leaked_connection.RULE, out),
            *self._tell(connection_left_to_gc.RULE, lost),
        ]
        if findings:
            raise LeakedConnectionError(findings)

    def find(self) -> tuple[list[Lease], list[Lease]]:
        """Find the leases that are out, and those that the collector ended.

        Returns:
            Both, less what was forgotten at the start.
        """
        accounts = self._accounts()
        self._guard.endings.settle(accounts)
        lost = [lease for account in accounts for lease in account.lost_leases()]
        if self._dialects:
            out = [lease for lease in self._guard.ledger.all_leases() if lease.is_out]
            out = [lease for lease in out if lease.pool.dialect() in self._dialects]
            lost = [lease for lease in lost if lease.pool.dialect() in self._dialects]
        else:
            out = [lease for account in accounts for lease in list(account.leases) if lease.is_out]
            out = [lease for lease in out if not lease.is_of_others(accounts)]
        return self._leave_told(out), self._leave_told(lost)

    def _accounts(self) -> list[Account]:
        current, test = self._guard.ledger.current, self._guard.test
        return [current] if test is None or test is current else [test, current]

    def _leave_told(self, leases: list[Lease]) -> list[Lease]:
        """Leave out what was forgotten at the start, and what the end of a test has told.

        What an assertion has told may be caught and asked for again, until it is back.
        """
        return [
            lease
            for lease in leases
            if id(lease) not in self._current
            and (not lease.told or (lease in lease.account.asserted and lease.is_out))
        ]

    def _tell(self, rule: Rule, leases: list[Lease]) -> list[Finding]:
        findings = []
        for group in group_by_place(leases):
            verdict = tell_leases(group, self._guard.render)
            for thing in verdict.things:
                thing.told = True
            for lease in group:
                lease.account.asserted[lease] = None
            owner = group[0].account.owner
            facts = {**verdict.facts, "now": True}
            findings.append(
                Finding(rule.code, rule.name, Severity.ERROR, owner, verdict.places, facts)
            )
        return findings


def assert_no_leaked_connections(*engines: Any, ignore_current: bool = False) -> LeakCheck:
    """Check that the running test has every connection it took back in its pool.

    A connection that only the garbage collector returned counts as leaked: that it is back is luck.

    Args:
        engines: Engines, sync or async, whose connections to look at, whoever took them. Where
            none is given, those that the running test took, of any engine; connections that
            fixtures own, or that a task or thread is at work with which the test has not started,
            are not looked at then.
        ignore_current: Forget what is out now, and look only at what a block takes.

    Returns:
        A context manager, sync and async, that checks the same at the end of its block.

    Raises:
        LeakedConnectionError: A connection is out, or was left to the garbage collector.
        RuntimeError: The plugin is not active, so nobody has watched.
        TypeError: An argument is no engine.

    Example:
        >>> def test_user(engine):
        ...     with assert_no_leaked_connections():
        ...         load_user(engine, 1)
    """
    __tracebackhide__ = True
    guard = active_guard()
    if guard is None:
        raise RuntimeError(
            "assert_no_leaked_connections() needs the sessionguard plugin, which is not active: "
            "run pytest with -p sessionguard and without --sessionguard=off."
        )
    guard.look()
    check = LeakCheck(guard, tuple(_dialect_of(engine) for engine in engines), ())
    if ignore_current:
        out, lost = check.find()
        return LeakCheck(guard, check._dialects, [*out, *lost])
    check.check()
    return check


def _dialect_of(engine: Any) -> Any:
    engine = getattr(engine, "sync_engine", engine)
    dialect = getattr(engine, "dialect", None)
    if dialect is None or not hasattr(engine, "pool"):
        raise TypeError(
            f"assert_no_leaked_connections() takes engines, not {type(engine).__name__!r}."
        )
    return dialect
