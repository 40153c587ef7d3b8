"""A guard whose run is recorded, around each test, with no pytest run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner
from pytest_sessionguard.timeline import Recorder, RecordingLedger, Timeline

ROOT = Path(__file__).parents[2]


class Recording:
    """A guard at work, its recorder, and the timeline that comes of it."""

    def __init__(self) -> None:
        self.recorder = Recorder(str(ROOT))
        self.guard = Guard(str(ROOT), ledger=RecordingLedger(self.recorder))
        self.timeline = Timeline()
        self.guard.start()
        self.guard.look(at_once=True)
        self.start("test_it")

    def start(self, name: str) -> None:
        """Begin a test."""
        self.guard.start_test(Owner("test", name, nodeid=f"test_file.py::{name}"), {})

    def end(self, *, passed: bool = True) -> dict[str, Any]:
        """End the test and return the timeline as the reporting process has it."""
        test = self.guard.test
        assert test is not None
        self.guard.end_test(test.owner.nodeid, passed=passed)
        return self.tell()

    def tell(self) -> dict[str, Any]:
        """Return the timeline, whose pieces travel as JSON."""
        self.timeline.add(json.loads(json.dumps(self.recorder.take())))
        return json.loads(json.dumps(self.timeline.to_json()))


@pytest.fixture
def recording() -> Iterator[Recording]:
    """A run that is recorded; a fault inside the guard fails the test."""
    recording = Recording()
    try:
        yield recording
        fault = recording.guard.shield.fault
    finally:
        recording.guard.stop()
    assert None is fault, f"the guard failed inside: {fault!r}"
