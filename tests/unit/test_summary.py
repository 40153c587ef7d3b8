"""What tests and processes brought is merged to one summary, in whatever order it comes."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.model import CallSite, Finding, Frame, Owner, Place, Severity
from pytest_sessionguard.report.summary import Summary, pack
from pytest_sessionguard.tally import Tally


def make(
    rule: str = "SG101", severity: Severity = Severity.ERROR, line: int = 1, told: str = "t"
) -> Finding:
    site = CallSite((Frame("app.py", line, "f"),))
    owner = Owner("test", told, nodeid=told)
    return Finding(
        rule, f"name-of-{rule}", severity, owner, (Place("at", site),), {"count": 1}, told
    )


findings = st.builds(
    make,
    rule=st.sampled_from(["SG101", "SG102", "SG201"]),
    severity=st.sampled_from([Severity.ERROR, Severity.WARN]),
    line=st.integers(1, 3),
    told=st.sampled_from(["one", "two", "three"]),
)
packets = st.lists(
    st.builds(
        pack,
        st.lists(findings, max_size=3),
        st.builds(Tally, st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)),
    ),
    max_size=6,
)


def merge(packets: list[Any]) -> Summary:
    summary = Summary()
    for packet in packets:
        summary.add(json.loads(json.dumps(packet)))
    return summary


def tell(summary: Summary) -> Any:
    groups = [Counter(str(f.to_json()) for f in group) for group in summary.groups()]
    return (
        sorted(map(str, map(sorted, (group.items() for group in groups)))),
        summary.tally,
        summary.counts(),
        Counter(str(f.to_json()) for f in summary.findings),
    )


@given(packets, st.randoms(use_true_random=False))
def test_order_of_packets_does_not_matter(packets: list[Any], chance: random.Random) -> None:
    """Whichever worker comes first, the run comes to the same."""
    shuffled = list(packets)
    chance.shuffle(shuffled)
    assert tell(merge(packets)) == tell(merge(shuffled))


@given(packets, st.integers(0, 6))
def test_merging_is_associative(packets: list[Any], cut: int) -> None:
    """Two parts that were merged by themselves come to what all came to at once."""
    parts = [merge(packets[:cut]), merge(packets[cut:])]
    again = merge([pack(part.findings, part.tally, part.fault) for part in parts])
    assert tell(merge(packets)) == tell(again)


@given(packets)
def test_nothing_is_lost(packets: list[Any]) -> None:
    """Every finding stands in one group, and every group is of one rule at one place."""
    summary = merge(packets)
    groups = summary.groups()
    assert len(summary.findings) == sum(len(group) for group in groups)
    assert sum(len(packet["findings"]) for packet in packets) == len(summary.findings)
    for group in groups:
        assert 1 == len({(f.rule, f.site, f.severity is Severity.ERROR) for f in group})


def test_order_of_groups() -> None:
    """Errors come first, then the codes in their order, then the largest groups."""
    summary = Summary()
    few, many = make(line=1), make(line=2)
    warn = make("SG101", Severity.WARN, 3)
    later = make("SG202", Severity.ERROR)
    summary.add(pack([warn, later, few, many, many], Tally()))
    assert [[many, many], [few], [later], [warn]] == summary.groups()


def test_counts() -> None:
    """The last line counts findings by rule, in the order of their codes."""
    summary = Summary()
    summary.add(pack([make("SG201"), make("SG101"), make("SG201", line=2)], Tally()))
    assert ["1 SG101 name-of-SG101", "2 SG201 name-of-SG201"] == summary.counts()


def test_a_fault_is_kept() -> None:
    """The first fault that a process tells stays; an empty one hides nothing."""
    summary = Summary()
    for fault in ("", "first", "", "second"):
        summary.add(pack([], Tally(), fault))
    assert "first" == summary.fault


def test_packet() -> None:
    """A packet is of plain types, which xdist and JSON can carry."""
    assert {
        "findings": [],
        "tally": {"tests": 1, "engines": 2, "sessions": 3},
        "fault": "x",
        "services": {"app.*": True},
        "suppressions": {"used": []},
        "extent": {"collected": 3},
    } == pack(
        [],
        Tally(1, 2, 3),
        "x",
        {"app.*": True},
        suppressions={"used": []},
        extent={"collected": 3},
    )


def test_services() -> None:
    """A pattern that one process found something for has found something."""
    summary = Summary()
    for news in ({"app.*": False, "no.*": False}, {"app.*": True}, {"app.*": False}):
        summary.add(pack([], Tally(), services=news))
    assert {"app.*": True, "no.*": False} == summary.services
