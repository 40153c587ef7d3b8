"""What a run comes to: findings and counts, merged from every process that ran tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_sessionguard.extent import Extent
from pytest_sessionguard.identity import identify
from pytest_sessionguard.model import Finding, Severity
from pytest_sessionguard.suppressions import Record
from pytest_sessionguard.survey import Survey
from pytest_sessionguard.tally import Tally
from pytest_sessionguard.timeline import Timeline


@dataclass(frozen=True)
class Recorded:
    """What a run has written to the baseline.

    Attributes:
        name: The file.
        added: How many entries are new.
        total: How many it lists now.
    """

    name: str
    added: int
    total: int


class Summary:
    """The findings and the counts of a run.

    Attributes:
        findings: All findings, in the order in which they were told.
        tally: Tests judged, engines and sessions seen.
        fault: The text of the guard's own first fault, if it had one.
        services: Patterns of services, and whether a function was found for them.
        extent: How much of the suite was run.
        suppressions: What suppresses findings, and whether it did.
        survey: How pools were used, and what keeps a process from ending.
        accepted: Fingerprints of findings that the baseline lists.
        gone: Entries of the baseline that nothing was found for, as plain JSON types.
        unused: Suppressions that suppress nothing, the same.
        recorded: What was written to the baseline, if the run records.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.tally = Tally()
        self.fault = ""
        self.services: dict[str, bool] = {}
        self.extent = Extent()
        self.suppressions = Record()
        self.survey = Survey()
        self.accepted: set[str] = set()
        self.gone: list[dict[str, Any]] = []
        self.unused: list[dict[str, Any]] = []
        self.recorded: Recorded | None = None
        self._timeline: Timeline | None = None

    def add(self, packet: Mapping[str, Any]) -> None:
        """Add what one test, or the end of one process, brought.

        Args:
            packet: What `pack` returned, there or in another process.
        """
        self.findings += [Finding.from_json(finding) for finding in packet["findings"]]
        self.tally += Tally(**packet["tally"])
        self.fault = self.fault or packet["fault"]
        self.survey = self.survey.merge(Survey.from_json(packet.get("survey", {})))
        for pattern, found in packet.get("services", {}).items():
            self.services[pattern] = found or self.services.get(pattern, False)
        self.suppressions.add(packet.get("suppressions", {}))
        self.extent.add(packet.get("extent", {}))
        if packet.get("timeline") is not None:
            owners = [finding["owner"] for finding in packet["findings"]]
            self._timeline = self._timeline or Timeline()
            self._timeline.add(
                packet["timeline"], {(owner["nodeid"], owner["name"]) for owner in owners}
            )

    @property
    def timeline(self) -> dict[str, Any] | None:
        """Return what happened when, as plain JSON types; None where it was not recorded."""
        return None if self._timeline is None else self._timeline.to_json()

    def is_accepted(self, finding: Finding) -> bool:
        """Tell whether the baseline lists a finding.

        Args:
            finding: One of the findings.

        Returns:
            Whether it does; what a test itself asserted is no matter of the baseline.
        """
        if not self.accepted or finding.facts.get("asserted"):
            return False
        return identify(finding).fingerprint in self.accepted

    def find_unused(self) -> None:
        """Enter which suppressions suppress nothing, where the whole suite was run."""
        if self.extent.is_whole and not self.fault:
            unused = self.suppressions.find_unused(all_judged=self.extent.is_judged)
            self.unused = [one.to_json() for one in unused]

    def groups(self) -> list[list[Finding]]:
        """Return the findings that are not accepted, those of one rule at one place together.

        Returns:
            Groups, errors first, the largest first.
        """
        groups: dict[Any, list[Finding]] = {}
        for finding in self._list_new():
            # Not by the whole call site: its callers differ with the test.
            key = (finding.severity is not Severity.ERROR, finding.rule, str(finding.site))
            groups.setdefault(key, []).append(finding)
        return [group for _, group in sorted(groups.items(), key=lambda g: (g[0][:2], -len(g[1])))]

    def counts(self) -> list[str]:
        """Return how many findings each rule has, as the last line tells it.

        Returns:
            Texts such as "3 SG101 leaked-connection", and how many findings are accepted.
        """
        new = self._list_new()
        counts = Counter((finding.rule, finding.name) for finding in new)
        texts = [f"{count} {code} {name}" for (code, name), count in sorted(counts.items())]
        if accepted := len(self.findings) - len(new):
            texts = [*(texts or ["no new findings"]), f"{accepted} accepted"]
        return texts

    def _list_new(self) -> list[Finding]:
        return [finding for finding in self.findings if not self.is_accepted(finding)]


def pack(
    findings: list[Finding],
    tally: Tally,
    fault: str = "",
    services: Mapping[str, bool] | None = None,
    *,
    suppressions: Mapping[str, Any] | None = None,
    extent: Mapping[str, Any] | None = None,
    survey: Survey | None = None,
    timeline: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Put what one test brought into plain JSON types, which any process can send.

    Args:
        findings: Its findings.
        tally: What was seen since the last packet.
        fault: The guard's own fault, if it had one.
        services: Patterns of services that are news, and whether a function was found for them.
        suppressions: News of what suppresses findings.
        extent: What its process has collected.
        survey: What the end of a process brings.
        timeline: What was recorded since the last packet, where a report shows it.

    Returns:
        What `Summary.add` takes.
    """
    packet = {
        "findings": [finding.to_json() for finding in findings],
        "tally": {"tests": tally.tests, "engines": tally.engines, "sessions": tally.sessions},
        "fault": fault,
        "services": dict(services or {}),
        "suppressions": dict(suppressions or {}),
        "extent": dict(extent or {}),
        **({} if survey is None else {"survey": survey.to_json()}),
    }
    return packet if timeline is None else {**packet, "timeline": dict(timeline)}
