"""The section of a failed test that shows what it left open."""

from __future__ import annotations

import pytest

LEFT_OPEN = "sessionguard: left open at teardown"


class SetupSections:
    """Reports of failed setups, which are out before it is known what was left open.

    Beneath a failed call pytest shows the sections of its teardown, beneath a failed setup it does
    not.
    """

    def __init__(self) -> None:
        self._failed: dict[str, pytest.TestReport] = {}

    def enter(self, report: pytest.TestReport) -> None:
        """Put what a teardown tells beneath the setup that had failed.

        Args:
            report: The next one. A teardown that fails too has a place of its own to show it.
        """
        if report.when == "setup" and report.failed:
            self._failed[report.nodeid] = report
        elif report.when == "teardown":
            setup = self._failed.pop(report.nodeid, None)
            if setup is not None and report.passed:
                setup.sections += [each for each in report.sections if each[0] == LEFT_OPEN]
