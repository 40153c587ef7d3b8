"""The run: who owns what at the moment, when owners end, and what is found then.

It knows no pytest: `pytest_sessionguard.plugin` tells it what begins and what ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from functools import partial

from pytest_sessionguard.accounts import Account, Fault, Lease
from pytest_sessionguard.callsite import Trace, render
from pytest_sessionguard.endings import Endings
from pytest_sessionguard.hints import explain_fault
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.leftovers import Leftovers
from pytest_sessionguard.model import CallSite, Finding, Owner, Severity
from pytest_sessionguard.rules import RULES, Rule
from pytest_sessionguard.shield import Shield, shielded
from pytest_sessionguard.stocktaking import take_stock
from pytest_sessionguard.survey import Survey
from pytest_sessionguard.tally import Tally
from pytest_sessionguard.verdicts import judge_account
from pytest_sessionguard.watch import Watchers

# What a failed test is told of: what it left open may be why; what it loaded is its own affair.
_LEFT_OPEN = ("SG1", "SG2")

_active: list[Guard] = []


class Guard:
    """The guard of one pytest process.

    Args:
        root: The folder to which paths in findings are relative.
        rules: What to look for.
        expecting: Classes of the blocks in which a test expects an exception.
        ledger: The ledger, where it is to be another than the plain one.
    """

    def __init__(
        self,
        root: str,
        rules: tuple[Rule, ...] = RULES,
        expecting: Iterable[type] = (),
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.shield = Shield()
        self._root = root
        self._rules = rules
        self._watchers = Watchers(
            self.ledger, self.shield, self.describe, self.explain, expecting, root=root
        )
        self._leftovers = Leftovers(self.ledger, self._watchers)
        self.endings = Endings(self._leftovers, self.shield)
        self._test: Account | None = None
        self._fixtures: dict[Hashable, Account] = {}
        self._before: dict[Hashable, Account] = {}
        self._ended: list[Account] = []
        # Which rules kept silent, and where, because a setting says so.
        self.hushed: set[tuple[str, str]] = set()
        self._is_ending = False
        self._judged = 0
        self._told = Tally()

    @property
    def is_watching(self) -> bool:
        """Tell whether SQLAlchemy is being watched."""
        return self._watchers.are_installed and self.shield.fault is None

    @property
    def test(self) -> Account | None:
        """Return the running test's account."""
        return self._test

    def start(self) -> None:
        """Begin the run; a guard that is at work already (pytest inside pytest) pauses."""
        if _active:
            _active[-1]._watchers.remove()
        _active.append(self)
        self.look()

    def stop(self) -> None:
        """End the run; the guard that paused goes on."""
        self._watchers.remove()
        if self in _active:
            _active.remove(self)
        if _active:
            _active[-1].look()

    def look(self, *, at_once: bool = False) -> None:
        """Watch what the user's project has imported by now; cheap to call again.

        A guard that pauses, or has failed, watches nothing.

        Args:
            at_once: Whether to watch also where the project has not imported SQLAlchemy yet.
        """
        if self in _active[-1:] and self.shield.fault is None:
            self._watchers.install(at_once=at_once)
        else:
            self._watchers.remove()

    def watch_masks(self) -> None:
        """Watch also what only SG403 asks for, which costs something at each reading."""
        self._watchers.install_masks()

    @shielded
    def start_test(self, owner: Owner, severities: Mapping[str, Severity]) -> None:
        """Make a test the owner of what is opened from now on.

        Args:
            owner: The test.
            severities: What each rule does there.
        """
        self.look()
        self._is_ending = False
        self._test = self.ledger.begin(Account(owner, severities))
        self._leftovers.begin(self._test)

    @shielded
    def start_fixture(
        self, key: Hashable, owner: Owner, severities: Mapping[str, Severity]
    ) -> None:
        """Make a fixture that is being set up the owner.

        Args:
            key: What names the fixture until its end.
            owner: The fixture.
            severities: What each rule does there.
        """
        self.look()
        self._before[key] = self.ledger.current
        self._fixtures[key] = self.ledger.begin(Account(owner, severities))

    @shielded
    def leave_fixture(self, key: Hashable, *, ready: bool) -> None:
        """Give ownership back when a fixture has been set up.

        Args:
            key: The fixture's key.
            ready: Whether its setup succeeded; if not, it fails with the test that asked for it.
        """
        self.look()
        self.ledger.current = self._before.pop(key, self.ledger.elsewhere)
        account = self._fixtures.get(key)
        if account is not None and not ready:
            del self._fixtures[key]
            account.failed = True
            self._finish_fixture(account)
        elif account is not None and not account.goes_with_test:
            self._leftovers.look([account])  # or a test would be blamed for what it leaves

    @shielded
    def tear_down_fixture(self, key: Hashable) -> None:
        """Make a fixture the owner once more while it is torn down.

        Args:
            key: The fixture's key.
        """
        account = self._fixtures.get(key)
        if account is not None:
            if self._is_ending and not account.goes_with_test:
                self._let_test_end()
            self._before[key] = self.ledger.current
            self.ledger.current = account

    def begin_teardown(self) -> None:
        """Enter that the test is torn down, its own fixtures first and then what ends with it."""
        self._is_ending = True

    def _let_test_end(self) -> None:
        """Enter that what comes now is torn down for other tests as well; said once a test."""
        self._is_ending = False
        test = [] if self._test is None else [self._test]
        self.endings.note_overdue([*test, *(each for each in self._ended if each.goes_with_test)])

    @shielded
    def end_fixture(self, key: Hashable) -> None:
        """Enter that a fixture has been torn down: its things are due when the others' are.

        Args:
            key: The fixture's key; one that is unknown is none of ours.
        """
        account = self._fixtures.pop(key, None)
        if account is None:
            return
        before = self._before.pop(key, None)
        if before is not None:
            self.ledger.current = before
        self._finish_fixture(account)

    def _finish_fixture(self, account: Account) -> None:
        self._ended.append(account)
        self.ledger.finish(account, judged=not account.failed)

    def end_test(self, nodeid: str, *, passed: bool) -> tuple[list[Finding], list[Finding]]:
        """End a test and judge what is due by now.

        Fixtures that were torn down with the test are judged here too, after all of them: one
        may close what another opened. A failed test and its own fixtures are not judged, for
        its traceback keeps their locals alive.

        Args:
            nodeid: The test.
            passed: Whether nothing in it failed so far.

        Returns:
            The findings, and what a failed test left open.
        """
        test, self._test = self._test, None
        ended, self._ended = self._ended, []
        self.ledger.current = self.ledger.elsewhere
        if test is None or not self.is_watching:
            return [], []
        # What a signal broke off has left the ledger with half of the truth.
        judged = not self.shield.take_interruption() and passed and not test.failed
        self.shield.run(partial(self.ledger.finish, test, judged=judged))
        own = [test, *(account for account in ended if account.goes_with_test)]
        wider = [account for account in ended if not account.goes_with_test]
        if judged:
            self._judged += 1
            return self._judge_due([*own, *wider], nodeid), []
        self.endings.take_back(own)
        self.shield.run(partial(self._leftovers.leave, own))
        return self._judge_due(wider, nodeid), self._judge(own, nodeid, _LEFT_OPEN)

    def end_run(self) -> list[Finding]:
        """Judge the fixtures that no test's end has judged, and what was postponed.

        Returns:
            The findings.
        """
        ended, self._ended = self._ended, []
        # What was still bound to a test is an interrupted one's.
        wider = [account for account in ended if not account.goes_with_test]
        due = [*wider, *self.endings.take_postponed()]
        return self._judge_due(due, "") if self.is_watching else []

    def _judge_due(self, accounts: list[Account], nodeid: str) -> list[Finding]:
        """Judge accounts once what can still end by itself has ended."""
        self.endings.end(accounts)
        return self._judge(accounts, nodeid)

    def _judge(
        self, accounts: list[Account], nodeid: str, groups: tuple[str, ...] = ("SG",)
    ) -> list[Finding]:
        """Find what accounts have left open; nothing after a fault of the guard's own."""
        findings: list[Finding] = []
        try:
            for account in accounts:
                findings += [
                    finding
                    for finding in judge_account(account, self._rules, self.render, nodeid)
                    if finding.rule.startswith(groups)
                ]
                self.hushed |= account.take_hushed()
        except Exception as error:
            self.shield.report(error)
        if self.shield.fault is not None:
            self.look()
            return []
        return findings

    def judge_now(self, account: Account) -> list[Finding]:
        """Judge at once what must fail, and leave to the owner's end what is only to be reported.

        Args:
            account: What is to be judged.

        Returns:
            The errors; nothing after a fault of the guard's own.
        """
        if not self.is_watching:
            return []
        rules = [
            rule
            for rule in self._rules
            if account.severities.get(rule.code, rule.severity) is not Severity.WARN
        ]
        try:
            findings = judge_account(account, rules, self.render, account.owner.nodeid)
            self.hushed |= account.take_hushed()
            return findings
        except Exception as error:
            self.shield.report(error)
            return []

    def take_tally(self) -> Tally:
        """Count what was seen since the last call.

        Returns:
            The difference.
        """
        now = Tally(self._judged, self.ledger.engines, self.ledger.sessions)
        since, self._told = now - self._told, now
        return since

    def take_stock(self) -> Survey:
        """Survey the process once its tests are over; nothing after a fault."""
        try:
            trouble = self._watchers.trouble
            return take_stock(self.ledger, self.render, trouble) if self.is_watching else Survey()
        except Exception as error:
            self.shield.report(error)
            return Survey()

    def describe(self, lease: Lease) -> str:
        """Say in one line where a lease was taken and by whom.

        Args:
            lease: A lease that is out.

        Returns:
            The line.
        """
        return f"  - taken at {self.render(lease.trace)}, by {lease.account.owner}"

    def explain(self, fault: Fault) -> list[str]:
        """Say what the exception of a fault does not tell."""
        return explain_fault(fault, self.render)

    def render(self, trace: Trace | None) -> CallSite:
        """Turn a trace into a call site.

        Args:
            trace: As captured.

        Returns:
            Paths relative to the root, and lines.
        """
        return render(trace, self._root)


def active_guard() -> Guard | None:
    """Return the guard at work in this process.

    Returns:
        It, or None where the plugin is not active.
    """
    return _active[-1] if _active else None
