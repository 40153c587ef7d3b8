"""What a run comes to: findings and counts, merged from every process that ran tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pytest_sessionguard.model import Finding, Severity
from pytest_sessionguard.survey import Survey
from pytest_sessionguard.tally import Tally


class Summary:
    """The findings and the counts of a run.

    Attributes:
        findings: All findings, in the order in which they were told.
        tally: Tests judged, engines and sessions seen.
        fault: The text of the guard's own first fault, if it had one.
        services: Patterns of services, and whether a function was found for them.
        survey: How pools were used, and what keeps a process from ending.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.tally = Tally()
        self.fault = ""
        self.services: dict[str, bool] = {}
        self.survey = Survey()

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

    def groups(self) -> list[list[Finding]]:
        """Return the findings, those of one rule at one place together.

        Returns:
            Groups, errors first, the largest first.
        """
        groups: dict[Any, list[Finding]] = {}
        for finding in self.findings:
            # Not by the whole call site: its callers differ with the test.
            key = (finding.severity is not Severity.ERROR, finding.rule, str(finding.site))
            groups.setdefault(key, []).append(finding)
        return [group for _, group in sorted(groups.items(), key=lambda g: (g[0][:2], -len(g[1])))]

    def counts(self) -> list[str]:
        """Return how many findings each rule has, as the last line tells it.

        Returns:
            Texts such as "3 SG101 leaked-connection".
        """
        counts = Counter((finding.rule, finding.name) for finding in self.findings)
        return [f"{count} {code} {name}" for (code, name), count in sorted(counts.items())]


def pack(
    findings: list[Finding],
    tally: Tally,
    fault: str = "",
    services: Mapping[str, bool] | None = None,
    survey: Survey | None = None,
) -> dict[str, Any]:
    """Put what one test brought into plain JSON types, which any process can send.

    Args:
        findings: Its findings.
        tally: What was seen since the last packet.
        fault: The guard's own fault, if it had one.
        services: Patterns of services that are news, and whether a function was found for them.
        survey: What the end of a process brings.

    Returns:
        What `Summary.add` takes.
    """
    return {
        "findings": [finding.to_json() for finding in findings],
        "tally": {"tests": tally.tests, "engines": tally.engines, "sessions": tally.sessions},
        "fault": fault,
        "services": dict(services or {}),
        **({} if survey is None else {"survey": survey.to_json()}),
    }
