"""GitLab: a code quality report, which a merge request compares with that of its target.

Source: GitLab's documentation, "Code Quality", "Code Quality report format".
"""

from __future__ import annotations

import hashlib
import json

from pytest_sessionguard.report.document import Document
from pytest_sessionguard.report.places import group_findings


def write(document: Document) -> str:
    """Write the new findings as a code quality report.

    Args:
        document: The document of a run.

    Returns:
        The text of the file: a JSON array, an entry for each rule and place.
    """
    entries = []
    seen: dict[str, int] = {}
    for group in group_findings(document):
        if group.is_accepted or not group.spot.path:
            continue
        finding = group.first
        fingerprint = finding["fingerprint"]
        entries.append(
            {
                "description": f"{group.head}: {finding['title']}. Fix: {finding['fix']}",
                "check_name": finding["name"],
                "fingerprint": _tell_apart(fingerprint, seen),
                "severity": "major" if group.is_error else "minor",
                "location": {"path": group.spot.path, "lines": {"begin": max(group.spot.line, 1)}},
            }
        )
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def _tell_apart(fingerprint: str, seen: dict[str, int]) -> str:
    """Salt the second and later ones of a function, for GitLab takes equal ones for one."""
    count = seen[fingerprint] = seen.get(fingerprint, 0) + 1
    if count == 1:
        return fingerprint
    return hashlib.sha256(f"{fingerprint}:{count}".encode()).hexdigest()[:32]
