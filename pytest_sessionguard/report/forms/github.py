"""GitHub Actions: annotations in the log of a step, and its summary.

Source: actions/toolkit, packages/core/src/command.ts for the escaping, docs/problem-matchers.md for
the caps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.forms import markdown
from pytest_sessionguard.report.places import Group, group_findings

# Of each kind GitHub shows so many a step, and drops the rest without a word.
_CAP = 10
# A step's summary that is larger is refused as a whole.
SUMMARY_CAP = 1024 * 1024


def write(document: Document) -> str:
    """Write the new findings as annotations.

    Args:
        document: The document of a run.

    Returns:
        Workflow commands, one a line; nothing where there is no new finding.
    """
    groups = [group for group in group_findings(document) if not group.is_accepted]
    errors = [group for group in groups if group.is_error]
    warnings = [group for group in groups if not group.is_error]
    lines = [*_annotate("error", errors), *_annotate("warning", warnings)]
    return "".join(f"{line}\n" for line in lines)


def summarize(document: Document, used: int = 0) -> str:
    """Write the summary of the step.

    Args:
        document: The document of a run.
        used: How many bytes other commands of the step have written to it.

    Returns:
        Markdown, no longer than what GitHub takes.
    """
    return markdown.write(document, limit=max(SUMMARY_CAP - used, 0))


def _annotate(kind: str, groups: list[Group]) -> list[str]:
    shown = groups if len(groups) <= _CAP else groups[: _CAP - 1]
    lines = []
    for group in shown:
        properties: dict[str, Any] = {}
        if group.spot.path:
            properties["file"] = group.spot.path
        if group.spot.line:
            properties["line"] = group.spot.line
        properties["title"] = group.head
        lines.append(_write_command(kind, properties, group.tell()))
    left = len(groups) - len(shown)
    if left:
        text = f"{left} more of these are in the summary of the step."
        lines.append(_write_command(kind, {"title": "sessionguard"}, text))
    return lines


def _write_command(name: str, properties: Mapping[str, Any], text: str) -> str:
    told = ",".join(f"{key}={_escape_property(str(value))}" for key, value in properties.items())
    return f"::{name} {told}::{_escape(text)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
