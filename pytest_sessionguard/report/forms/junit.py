"""JUnit: properties of test cases, and a file of its own where one is wanted.

Source: the JUnit plugin of Jenkins and its schema, which pytest's `--junit-xml` follows (xunit2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from xml.etree import ElementTree as ET

from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.document import Document, settle
from pytest_sessionguard.report.places import Group, group_findings
from pytest_sessionguard.report.privacy import clean
from pytest_sessionguard.report.wording import tell_title

# What XML 1.0 cannot hold, however it is escaped.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
PROPERTY = "sessionguard"


def make_properties(findings: Iterable[Finding], root: str) -> list[tuple[str, str]]:
    """Return what is to stand with a test case.

    Args:
        findings: What was told at the test's end.
        root: pytest's root folder.

    Returns:
        A property for each finding, with its title and its place.
    """
    properties = []
    for finding in findings:
        text = f"{tell_title(finding)}, at {settle(finding, root).site}"
        properties.append((PROPERTY, _make_legal(clean(text, root))))
    return properties


def write(document: Document) -> str:
    """Write the findings as a JUnit file of its own: a test case for each rule and place.

    Args:
        document: The document of a run.

    Returns:
        The text of the file.
    """
    groups = group_findings(document)
    failures = sum(group.is_error and not group.is_accepted for group in groups)
    suite = ET.Element(
        "testsuite",
        name="sessionguard",
        tests=str(len(groups)),
        failures=str(failures),
        errors="0",
        skipped=str(sum(group.is_accepted for group in groups)),
        time=f"{document['run']['seconds']:.3f}",
        timestamp=document["run"]["started"],
    )
    suite.extend(_tell_case(group) for group in groups)
    root = ET.Element("testsuites", name="sessionguard")
    root.append(suite)
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _tell_case(group: Group) -> ET.Element:
    finding = group.first
    name = f"{group.spot} {group.spot.function}".strip()
    case = ET.Element("testcase", classname=_make_legal(group.head), name=_make_legal(name))
    case.set("time", "0")
    text = _make_legal("\n".join(filter(None, [finding["text"], group.tell_others()])))
    if group.is_accepted:
        ET.SubElement(case, "skipped", message="in the baseline")
    elif group.is_error:
        failure = ET.SubElement(case, "failure", message=_make_legal(finding["title"]))
        failure.text = text
        return case
    ET.SubElement(case, "system-out").text = text
    return case


def _make_legal(text: str) -> str:
    return _ILLEGAL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
