"""What a run looks like over time: recorded where a report shows it, and otherwise not at all."""

from __future__ import annotations

from pytest_sessionguard.timeline.ledger import RecordingLedger
from pytest_sessionguard.timeline.merge import Timeline
from pytest_sessionguard.timeline.recorder import Recorder

__all__ = ["Recorder", "RecordingLedger", "Timeline"]
