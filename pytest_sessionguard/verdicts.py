"""Judging an account: what its rules say of it becomes findings."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_sessionguard.accounts import Account, Unmade
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.model import CallSite, Finding, Place, Severity
from pytest_sessionguard.rules import (
    Render,
    Rule,
    lazy_load,
    unclosed_session,
)


def judge_account(
    account: Account, rules: Iterable[Rule], render: Render, nodeid: str
) -> list[Finding]:
    """Find what an account breaks.

    Args:
        account: The account of an owner whose things are due.
        rules: What to look for.
        render: Turns a trace into a call site.
        nodeid: The test at whose end it is told.

    Returns:
        The findings of the rules that are not off there. The rules that a setting has turned off,
        and that would have told something, are entered in the account.
    """
    findings = []
    for rule in rules:
        set_severity = account.severities.get(rule.code)
        severity = set_severity or rule.severity
        is_hushed = set_severity is Severity.OFF
        if severity is Severity.OFF and not rule.covers:
            if is_hushed and rule.judge(account, _render_nothing):
                account.hushed.add(rule.code)
            continue
        shown = _render_nothing if severity is Severity.OFF else render
        for verdict in rule.judge(account, shown):
            for thing in verdict.things:
                thing.told = True
            if is_hushed:
                account.hushed.add(rule.code)
            if severity is Severity.OFF:
                continue
            findings.append(
                Finding(
                    rule=rule.code,
                    name=rule.name,
                    severity=set_severity or verdict.severity or rule.severity,
                    owner=account.owner,
                    places=verdict.places,
                    facts=verdict.facts,
                    told_at=nodeid,
                )
            )
    return findings + [
        _tell_unmade(account, unmade, render, nodeid) for unmade in account.unmade.values()
    ]


# Under whose name it is told that an assertion never took place.
_RULES = {
    "assert_no_lazy_load": lazy_load.RULE,
    "assert_dependency_closes": unclosed_session.RULE,
}


def _tell_unmade(account: Account, unmade: Unmade, render: Render, nodeid: str) -> Finding:
    """Tell of a check that never took place; no setting makes that right."""
    rule = _RULES[unmade.assertion]
    place = Place("called at", render(unmade.trace))
    facts = {"entered": False, "asserted": True}
    return Finding(rule.code, rule.name, Severity.ERROR, account.owner, (place,), facts, nodeid)


def _render_nothing(_: Trace | None) -> CallSite:
    """Stand in for `render` where nobody will read what it returns."""
    return CallSite()
