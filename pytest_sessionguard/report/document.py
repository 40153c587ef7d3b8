"""The one document of a run: plain JSON types, from which every form of a report is made.

A form is a pure function of this document, in this process or, from the JSON file, in another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.sentences import WORDINGS
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.report.wording import tell

TOOL = "pytest-sessionguard"
VERSION = 1

Document = dict[str, Any]


@dataclass(frozen=True)
class RunFacts:
    """What is to be said of the run itself.

    Attributes:
        started: When it began, in UTC and ISO 8601.
        seconds: How long it took.
        python: The version of Python.
        sqlalchemy: The version of SQLAlchemy.
        pytest: The version of pytest.
        platform: The operating system.
        interrupted: Whether it ended before its last test.
        workers: How many processes ran tests.
        exit: pytest's exit code when the document was made.
    """

    started: str
    seconds: float
    python: str
    sqlalchemy: str
    pytest: str
    platform: str
    interrupted: bool = False
    workers: int = 1
    exit: int = 0


def read_version() -> str:
    """Return the version of this plugin."""
    return version(TOOL)


def make_document(summary: Summary, run: RunFacts) -> Document:
    """Put what a run came to into one document.

    Args:
        summary: Its findings and counts.
        run: What is to be said of the run itself.

    Returns:
        Plain JSON types, in an order that does not depend on which test or worker came first.
    """
    tally = summary.tally
    findings = [_tell_finding(finding, summary) for finding in summary.findings]
    document: Document = {
        "version": VERSION,
        "tool": {"name": TOOL, "version": read_version()},
        "run": asdict(run),
        "tally": {"tests": tally.tests, "engines": tally.engines, "sessions": tally.sessions},
        "fault": summary.fault,
        "findings": sorted(findings, key=_order),
        "gone": list(summary.gone),
        "unused": list(summary.unused),
        "advice": dict(summary.advice),
    }
    if summary.timeline is not None:
        document["timeline"] = summary.timeline
    return document


def _tell_finding(finding: Finding, summary: Summary) -> dict[str, Any]:
    wording = WORDINGS[finding.rule]
    fingerprint = identify(finding).fingerprint
    return {
        **finding.to_json(),
        "fingerprint": fingerprint,
        "state": "accepted" if fingerprint in summary.accepted else "new",
        "title": wording.title(finding),
        "consequence": wording.consequence(finding),
        "fix": wording.fix(finding),
        "text": tell(finding),
    }


def _order(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    frames = [frame for place in finding["places"] for frame in place["frames"]]
    return finding["rule"], frames, str(finding["owner"]), finding["told_at"], finding["text"]
