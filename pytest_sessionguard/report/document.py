"""The one document of a run: plain JSON types, from which every form of a report is made.

A form is a pure function of this document, in this process or, from the JSON file, in another one.
The schema is `document.schema.json` beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import CallSite, Finding
from pytest_sessionguard.report.pools import tell_use
from pytest_sessionguard.report.privacy import clean, make_relative
from pytest_sessionguard.report.sentences import WORDINGS
from pytest_sessionguard.report.summary import Summary
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.survey import Survey

TOOL = "pytest-sessionguard"
VERSION = 1

Document = dict[str, Any]


class DocumentError(ValueError):
    """What is no document of a run, or is one of a version that is not known."""


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
        folder: Where pytest's root lies in its repository, with forward slashes; often empty.
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
    folder: str = ""
    interrupted: bool = False
    workers: int = 1
    exit: int = 0


def read_version() -> str:
    """Return the version of this plugin."""
    return version(TOOL)


def make_document(summary: Summary, run: RunFacts, root: str) -> Document:
    """Put what a run came to into one document.

    Args:
        summary: Its findings and counts.
        run: What is to be said of the run itself.
        root: pytest's root folder, which no report shows.

    Returns:
        Plain JSON types, in an order that does not depend on which test or worker came first.
    """
    tally = summary.tally
    findings = [_tell_finding(finding, summary, root) for finding in summary.findings]
    document: Document = {
        "version": VERSION,
        "tool": {"name": TOOL, "version": read_version()},
        "run": asdict(run),
        "tally": {"tests": tally.tests, "engines": tally.engines, "sessions": tally.sessions},
        "fault": summary.fault,
        "findings": _merge(sorted(findings, key=_order)),
        "gone": list(summary.gone),
        "unused": list(summary.unused),
        "advice": _tell_survey(summary.survey),
    }
    timeline = summary.timeline
    if timeline is not None:
        document["timeline"] = {**timeline, "sites": _settle_sites(timeline["sites"], root)}
    cleaned: Document = clean(document, root)
    return cleaned


def check_document(data: Any) -> Document:
    """Check that data is a document of a version that is known.

    Args:
        data: What a JSON file held.

    Returns:
        The document.

    Raises:
        DocumentError: It is none, or a newer one.
    """
    if not isinstance(data, dict) or not isinstance(data.get("findings"), list):
        raise DocumentError("it is no JSON report of sessionguard")
    if data.get("version") != VERSION:
        raise DocumentError(
            f"its version is {data.get('version')!r}, and this sessionguard reads {VERSION}"
        )
    return data


def _tell_survey(survey: Survey) -> dict[str, Any]:
    pools = [
        {
            **asdict(use),
            "limit": use.limit,
            "safe_workers": use.safe_workers,
            "text": "\n".join(tell_use(use)),
        }
        for use in survey.pools
    ]
    holdouts = [asdict(holdout) for holdout in survey.holdouts]
    return {
        "pools": sorted(pools, key=lambda use: str(use["text"])),
        "holdouts": sorted(holdouts, key=lambda holdout: json.dumps(holdout, sort_keys=True)),
    }


def _tell_finding(finding: Finding, summary: Summary, root: str) -> dict[str, Any]:
    fingerprint = identify(finding).fingerprint
    state = "accepted" if summary.is_accepted(finding) else "new"
    finding = settle(finding, root)
    wording = WORDINGS[finding.rule]
    return {
        **finding.to_json(),
        "fingerprint": fingerprint,
        "state": state,
        "title": wording.title(finding),
        "consequence": wording.consequence(finding),
        "fix": wording.fix(finding),
        "text": tell(finding),
    }


def settle(finding: Finding, root: str) -> Finding:
    """Make the paths of a finding relative, also those of files outside the root.

    Args:
        finding: The finding.
        root: pytest's root folder.

    Returns:
        The finding as a report tells it.
    """
    places = []
    for place in finding.places:
        frames = (replace(f, path=make_relative(f.path, root)) for f in place.site.frames)
        places.append(replace(place, site=CallSite(tuple(frames))))
    return replace(finding, places=tuple(places))


def _settle_sites(sites: Iterable[Any], root: str) -> list[Any]:
    """Make the paths of the timeline's call sites relative."""
    return [
        [[make_relative(path, root), line, function] for path, line, function in site]
        for site in sites
    ]


def _order(finding: Mapping[str, Any]) -> tuple[Any, ...]:
    frames = [place["frames"] for place in finding["places"]]
    return finding["rule"], frames, json.dumps(finding, sort_keys=True)


def _merge(findings: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what several workers tell of the same wide fixture, which each of them sets up."""
    seen: set[str] = set()
    merged = []
    for finding in findings:
        owner = finding["owner"]
        if owner["kind"] == "fixture" and owner["scope"] != "function":
            told = {name: value for name, value in finding.items() if name != "told_at"}
            key = json.dumps(told, sort_keys=True)
            if key in seen:
                continue
            seen.add(key)
        merged.append(finding)
    return merged
