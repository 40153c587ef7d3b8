"""The section that the guard writes at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.pools import tell_holdouts, tell_use
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.report.wording import tell, tell_title

_FULL = 3


class Screen(Protocol):
    """What is needed of pytest's terminal reporter."""

    def write_sep(self, sep: str, title: str | None = None, **markup: bool) -> None:
        """Write a heading."""

    def write_line(self, line: str, **markup: bool) -> None:
        """Write a line."""


def show(
    screen: Screen, summary: Summary, *, told: frozenset[str] = frozenset(), verbosity: int = 0
) -> None:
    """Write the findings that no failure has shown, and the line that closes the run.

    Args:
        screen: Where to write.
        summary: What the run came to.
        told: Severities whose findings stand in the failures above already.
        verbosity: pytest's ``-v`` less its ``-q``.
    """
    groups = [g for g in summary.groups() if g[0].severity.value not in told or not g[0].told_at]
    notes = list(_list_notes(summary, verbosity))
    pools = summary.survey.pools if verbosity > 0 else ()
    if groups or summary.fault or notes or pools:
        screen.write_sep("=", "sessionguard", bold=True)
    _show_groups(screen, groups, verbosity)
    late = [finding for group in groups for finding in group if finding.severity.value in told]
    if late:
        what = "1 error was" if len(late) == 1 else f"{len(late)} errors were"
        screen.write_line(f"sessionguard: the run fails: {what} found at its end", red=True)
    for line in (line for use in pools for line in tell_use(use)):
        screen.write_line(line)
    if summary.survey.trouble and verbosity > 0:
        screen.write_line(
            f"sessionguard: the Postgres server could not be asked ({summary.survey.trouble}): "
            "SG105 judged nothing since"
        )
    if summary.survey.holdouts:
        for line in tell_holdouts(summary.survey.holdouts):
            screen.write_line(line, yellow=True)
    if summary.fault:
        screen.write_line(
            f"sessionguard stood down after a fault of its own, and judged nothing since: "
            f"{summary.fault}",
            yellow=True,
        )
    for pattern in sorted(p for p, found in summary.services.items() if not found):
        screen.write_line(
            f"sessionguard: no function of an imported module matches {pattern!r}: no service of "
            "that name was checked",
            yellow=True,
        )
    for note in notes:
        screen.write_line(f"sessionguard: {note}", yellow=True)
    screen.write_line(close(summary), yellow=bool(summary.findings))


def close(summary: Summary) -> str:
    """Write the last line: tests judged, engines and sessions seen, findings by rule.

    Args:
        summary: What the run came to.

    Returns:
        The line.
    """
    tally = summary.tally
    judged = f"sessionguard: {_number(tally.tests, 'test')} judged"
    findings = ", ".join(summary.counts()) or "no findings"
    if not tally.engines and not summary.findings:
        return f"{judged}, 0 engines seen: no connection was taken, so nothing could be found"
    sessions = _number(tally.sessions, "session")
    return f"{judged}, {_number(tally.engines, 'engine')} and {sessions} seen, {findings}"


def _list_notes(summary: Summary, verbosity: int) -> Iterator[str]:
    """List what is to be said of suppressions and of the baseline."""
    for where, problem in sorted(summary.suppressions.malformed.items()):
        yield f"{where}: the comment suppresses nothing: {problem}"
    for unused in summary.unused:
        yield f"suppresses nothing any more: {unused['text']}"
    if summary.gone:
        shown = summary.gone if verbosity > 0 else summary.gone[:_FULL]
        more = len(summary.gone) - len(shown)
        yield (
            f"{_number(len(summary.gone), 'entry', 'entries')} of the baseline not found any more; "
            "`sessionguard baseline prune` drops what is gone:"
        )
        for entry in shown:
            names = (entry["rule"], entry["path"], entry["function"], entry["thing"])
            yield "  " + " ".join(name for name in names if name)
        if more:
            yield f"  and {more} more (add -v to show them)"
    if summary.recorded is not None:
        recorded = summary.recorded
        added = _number(recorded.added, "entry", "entries")
        yield f"{added} added to {recorded.name}, which lists {recorded.total} now"
    if verbosity > 0 and str(summary.extent) and summary.suppressions.known:
        yield f"not asked what suppresses nothing any more: {summary.extent}"


def _show_groups(screen: Screen, groups: list[list[Finding]], verbosity: int) -> None:
    verbose = verbosity > 0
    shown = groups if verbose else groups[: _FULL if verbosity == 0 else 0]
    for group in shown:
        for line in tell(group[0], verbose=verbose).splitlines():
            screen.write_line(line)
        if len(group) > 1:
            screen.write_line(f"  Also in {_name_tests(group[1:], verbose=verbose)}.")
        screen.write_line("")
    for group in groups[len(shown) :]:
        times = f" (and {len(group) - 1} more)" if len(group) > 1 else ""
        screen.write_line(f"{tell_title(group[0])}: {group[0].site}{times}")
    if len(groups) > len(shown):
        screen.write_line("(add -v to show these in full)")


def _name_tests(findings: list[Finding], *, verbose: bool) -> str:
    names = list(
        dict.fromkeys(f.told_at if f.owner.is_test_bound else str(f.owner) for f in findings)
    )
    if verbose or len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"


def _number(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"
