"""How a finding reads: its parts, always the same, in the same order.

What happened, where, what it leads to, how to mend it, how to accept it; the sentences are those of
`pytest_sessionguard.report.sentences`.
"""

from __future__ import annotations

from pytest_sessionguard.model import Finding, Place
from pytest_sessionguard.report.sentences import WORDINGS

_INDENT = "  "
_LABEL = 14


def tell(finding: Finding, *, verbose: bool = False, acceptable: bool = True) -> str:
    """Write a finding as the text that a person reads.

    Args:
        finding: The finding.
        verbose: Whether to show every frame of every place.
        acceptable: Whether the baseline may list it; what an assertion raises it may not.

    Returns:
        At most 14 lines where it is not verbose.
    """
    wording = WORDINGS[finding.rule]
    lines = [f"{tell_title(finding)}", ""]
    for number, place in enumerate(finding.places):
        lines += _tell_place(place, finding, number, verbose=verbose)
    lines += ["", _INDENT + wording.consequence(finding), f"{_INDENT}Fix: {wording.fix(finding)}"]
    is_wide = finding.owner.kind == "fixture" and not finding.owner.is_test_bound
    if is_wide and not finding.facts.get("now"):
        lines.append(
            f"{_INDENT}The test that pytest names here ran when the fixture ended; it is not at"
            " fault."
        )
    if not finding.facts.get("asserted"):  # what a test itself asks for, it need not accept
        baseline = " or the baseline." if acceptable else ""
        lines.append(f"{_INDENT}Accept: {_tell_way_out(finding)}{baseline}")
    return "\n".join(lines)


def tell_title(finding: Finding) -> str:
    """Write the first line of a finding.

    Args:
        finding: The finding.

    Returns:
        Its code, its name and what happened.
    """
    return f"{finding.rule} {finding.name}: {WORDINGS[finding.rule].title(finding)}"


def _tell_place(place: Place, finding: Finding, number: int, *, verbose: bool) -> list[str]:
    frames, stacks = place.site.frames, finding.facts.get("stacks") or 1
    shown = frames if verbose else frames[: 2 if number < int(stacks) else 1]
    head = str(shown[0]) if shown else "a place without a frame of yours"
    lines = [f"{_INDENT}{place.label:<{_LABEL}}{place.text.replace('{}', head)}"]
    if number == 0 and "engine" in finding.facts:
        lines[0] += f"  ({_tell_pool(finding)})"
    lines += [f"{_INDENT}{'':<{_LABEL}}{frame}" for frame in shown[1:]]
    return lines


def _tell_pool(finding: Finding) -> str:
    facts = finding.facts
    text = f"engine {facts['engine']}"
    if facts.get("pool_size") is not None and facts.get("max_overflow") is not None:
        return f"{text}, pool {facts['pool_size']}+{facts['max_overflow']}"
    return f"{text}, {facts['pool']}"


def _tell_way_out(finding: Finding) -> str:
    scope = finding.owner.scope if finding.owner.kind == "fixture" else "function"
    if scope in ("session", "package"):
        return f"sessionguard_ignore = {finding.name} in pytest's settings"
    mark = f'pytest.mark.sessionguard(ignore="{finding.name}", reason="...")'
    return f"pytestmark = {mark}" if scope == "module" else f"@{mark}"
