"""Markdown: a table by rule and place, and the full texts, for a comment or a page.

Whatever a project named stands in code or in escaped HTML, where nothing of it means anything.
"""

from __future__ import annotations

import html
import re

from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.places import Group, group_findings

# GitHub and GitLab refuse a comment above 65,536 and 1,000,000 characters.
_LIMIT = 65_000


def write(document: Document, limit: int = _LIMIT) -> str:
    """Write the findings as Markdown.

    Args:
        document: The document of a run.
        limit: How many bytes of UTF-8 it may have.

    Returns:
        The text of the file; it says so where it leaves findings out.
    """
    groups = group_findings(document)
    new = [group for group in groups if not group.is_accepted]
    lines = [f"### sessionguard: {_count(new)}", "", *_tell_run(document), *_tell_rest(document)]
    parts = ["\n".join(lines).rstrip()]
    left = limit - _size(parts[0]) - _RESERVE
    rows, left = _fit(["| rule | place | severity | findings |", "|---|---|---|---|"], left)
    table, left = _fit([_tell_row(group) for group in new], left)
    if table:
        parts.append("\n".join([*rows, *table]))
    details, left = _fit([_tell_text(group) for group in new], left)
    parts += details
    pools, left = _fit(_tell_pools(document), left)
    parts += pools
    if len(details) < len(new):
        missing = len(new) - len(details)
        parts.append(f"The full texts of {missing} more did not fit; the JSON report has them.")
    text = "\n".join(f"{part}\n" for part in parts if part)
    return text if _size(text) <= limit else ""


# For the blank lines between the parts, and the sentence on what did not fit.
_RESERVE = 200


def _fit(blocks: list[str], left: int) -> tuple[list[str], int]:
    """Take as many blocks as there is room for."""
    taken = []
    for block in blocks:
        size = _size(block) + 2
        if size > left:
            break
        taken.append(block)
        left -= size
    return taken, left


def _size(text: str) -> int:
    return len(text.encode("utf-8"))


def _count(groups: list[Group]) -> str:
    errors = sum(len(group.findings) for group in groups if group.is_error)
    warnings = sum(len(group.findings) for group in groups) - errors
    told = [
        _number(count, noun) for count, noun in ((errors, "error"), (warnings, "warning")) if count
    ]
    return " and ".join(told) or "no new finding"


def _tell_run(document: Document) -> list[str]:
    tally, run = document["tally"], document["run"]
    seen = (
        f"{_number(tally['tests'], 'test')} judged, {_number(tally['engines'], 'engine')} and "
        f"{_number(tally['sessions'], 'session')} seen."
    )
    if not tally["engines"]:
        seen += " No connection was taken, so little could be found."
    lines = [seen, ""]
    if run["interrupted"]:
        lines += ["The run was interrupted: what came after is not in here.", ""]
    if document["fault"]:
        fault = html.escape(_one_line(document["fault"]))
        lines += [f"sessionguard stood down after a fault of its own: <code>{fault}</code>", ""]
    return lines


def _tell_rest(document: Document) -> list[str]:
    accepted = sum(finding["state"] == "accepted" for finding in document["findings"])
    rest = [
        (accepted, "accepted by the baseline"),
        (len(document["gone"]), "in the baseline and found no more"),
        (len(document["unused"]), "suppressed, and not found"),
    ]
    told = [f"{count} {what}" for count, what in rest if count]
    return [f"{', '.join(told)}.", ""] if told else []


def _tell_row(group: Group) -> str:
    where = _quote(str(group.spot))
    if group.spot.function:
        where += f" in {_quote(group.spot.function)}"
    cells = [group.head, where, group.first["severity"], str(len(group.findings))]
    return f"| {' | '.join(cells)} |"


def _tell_pools(document: Document) -> list[str]:
    pools = document["advice"].get("pools", ())
    text = "\n".join(pool["text"] for pool in pools)
    return [_fold("Pools", text)] if text else []


def _tell_text(group: Group) -> str:
    text = group.first["text"]
    others = _one_line(group.tell_others())
    if others:
        text += f"\n  {others}"
    spot = html.escape(_one_line(str(group.spot)))
    return _fold(f"{group.head} at <code>{spot}</code>", text)


def _fold(head: str, text: str) -> str:
    """Write text that is shown when one asks for it."""
    text = "".join(_show(char) for char in text)
    fence = _fence(text, 3)
    return f"<details><summary>{head}</summary>\n\n{fence}text\n{text}\n{fence}\n\n</details>"


def _quote(text: str) -> str:
    """Write text as code in a cell of a table."""
    text = _one_line(text).replace("|", "\\|")
    fence = _fence(text, 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _fence(text: str, least: int) -> str:
    """Return marks that do not stand in a text: code ends at the marks it began with."""
    return "`" * max(least, 1 + max(map(len, re.findall(r"`+", text)), default=0))


def _one_line(text: str) -> str:
    return "".join("\\n" if char == "\n" else _show(char) for char in text)


def _show(char: str) -> str:
    """Make visible what a terminal or a browser would act on."""
    if char in "\n\t" or char.isprintable():
        return char
    return char.encode("unicode_escape").decode("ascii")


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
