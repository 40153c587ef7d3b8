"""SARIF 2.1.0, which code scanning and editors read.

Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0"; what GitHub takes
of it stands in its documentation, "SARIF support for code scanning".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from pytest_sessionguard.model import Severity
from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.explanation import explain, summarize
from pytest_sessionguard.report.places import Group, Spot, group_findings, make_spot
from pytest_sessionguard.rules import RULES, Rule

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# Not `primaryLocationLineHash`: GitHub computes that one itself, and warns where one brings it.
_FINGERPRINT = "sessionguardFingerprint/v1"
_LEVELS = {"error": "error", "warn": "warning", "off": "none"}
_ROOT = "%SRCROOT%"


def write(document: Document) -> str:
    """Write the findings as a SARIF log.

    Args:
        document: The document of a run.

    Returns:
        The text of the file: a result for each rule and place.
    """
    rules = sorted(RULES, key=lambda rule: rule.code)
    known = {rule.code: number for number, rule in enumerate(rules)}
    groups = group_findings(document)
    compared = any(group.is_accepted for group in groups)
    folder = document["run"].get("folder", "")
    run = {
        "tool": {
            "driver": {
                "name": document["tool"]["name"],
                "version": document["tool"]["version"],
                "rules": [_describe(rule) for rule in rules],
            }
        },
        "automationDetails": {"id": "sessionguard/"},
        "invocations": [_tell_invocation(document)],
        "results": [_tell_result(group, known, folder, compared=compared) for group in groups],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, ensure_ascii=False) + "\n"


def _describe(rule: Rule) -> dict[str, Any]:
    level = _LEVELS[rule.severity.value]
    off = rule.severity is Severity.OFF
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": summarize(rule)},
        "fullDescription": {"text": summarize(rule)},
        "help": {"text": explain(rule), "markdown": rule.text},
        "defaultConfiguration": {"enabled": not off, "level": "warning" if off else level},
        "properties": {
            "tags": ["sqlalchemy", "reliability"],
            "problem.severity": "error" if level == "error" else "warning",
        },
    }


def _tell_invocation(document: Document) -> dict[str, Any]:
    run = document["run"]
    invocation: dict[str, Any] = {
        "executionSuccessful": not run["interrupted"] and not document["fault"],
        "startTimeUtc": run["started"].replace("+00:00", "Z"),
        "exitCode": run["exit"],
    }
    ended = datetime.fromisoformat(run["started"]) + timedelta(seconds=run["seconds"])
    invocation["endTimeUtc"] = ended.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if document["fault"]:
        text = f"sessionguard stood down after a fault of its own: {document['fault']}"
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": text}}]
    return invocation


def _tell_result(
    group: Group, known: Mapping[str, int], folder: str, *, compared: bool
) -> dict[str, Any]:
    finding = group.first
    result: dict[str, Any] = {
        "ruleId": finding["rule"],
        "level": _LEVELS[finding["severity"]],
        "message": {"text": group.tell()},
        "occurrenceCount": len(group.findings),
        "partialFingerprints": {_FINGERPRINT: finding["fingerprint"]},
        "properties": {"owners": group.owners()},
    }
    if finding["rule"] in known:
        result["ruleIndex"] = known[finding["rule"]]
    if group.spot.path:
        result["locations"] = [_locate(group.spot)]
    related = list(_relate(finding, folder))
    if related:
        result["relatedLocations"] = related
    if compared:  # of all results, or of none (3.27.23 of the specification)
        accepted = {"kind": "external", "status": "accepted", "justification": "in the baseline"}
        result["suppressions"] = [accepted] if group.is_accepted else []
        result["baselineState"] = "unchanged" if group.is_accepted else "new"
    return result


def _relate(finding: Mapping[str, Any], folder: str) -> Iterator[dict[str, Any]]:
    number = 0
    for first, place in enumerate(finding["places"]):
        for depth, (path, line, function) in enumerate(place["frames"]):
            if first == depth == 0:  # the result's own location
                continue
            number += 1
            label = place["label"] if depth == 0 else f"{place['label']}, called from"
            yield {
                "id": number,
                **_locate(make_spot(path, line, function, folder)),
                "message": {"text": f"{label} (in {function})"},
            }


def _locate(spot: Spot) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": _name_file(spot.path)}
    if spot.line:
        place["region"] = {"startLine": spot.line}
    location: dict[str, Any] = {"physicalLocation": place}
    if spot.function:
        location["logicalLocations"] = [{"name": spot.function, "kind": "function"}]
    return location


def _name_file(path: str) -> dict[str, str]:
    if path.startswith("/") or path[1:3] == ":/":
        return {"uri": "file:///" + quote(path.lstrip("/"))}
    return {"uri": quote(path), "uriBaseId": _ROOT}
