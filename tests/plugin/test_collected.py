"""What the collection before a judgement finds beside a leak: said when the run is over."""

from __future__ import annotations

import pytest

SUITE = """
import pytest
from sqlalchemy import create_engine

engine = create_engine("sqlite:///app.db")
kept = []

class Loud:
    def __init__(self):
        self.me = self
        self.file = open(__file__)

    def __del__(self):
        raise ValueError("loud")

@pytest.mark.sessionguard(ignore="SG101", reason="known")
def test_a():
    kept.append(engine.connect())
    Loud()

def test_b():
    import gc
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each).__name__ == "Loud"]
"""


@pytest.mark.parametrize("mode", ("fail", "warn"))
def test_said(project, mode):
    """No test is told of it, nothing is lost, and what was collected is gone."""
    run = project({"test_x.py": SUITE}).run(f"--sessionguard={mode}", "-Wdefault", subprocess=True)
    assert run.results == {"test_a": "passed", "test_b": "passed"}, run.text
    assert "ValueError: loud" in run.text
    assert "unclosed file" in run.text
    assert run.fault == ""
    assert run.found == []
