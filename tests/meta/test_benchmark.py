"""The benchmark runs; what it measures is no test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "overhead.py"


@pytest.mark.parametrize("watch", ("everything", "connections"))
def test_row(watch: str) -> None:
    """A row is printed with both ratios, whatever the guard watches, and it finds nothing."""
    row = ("--postgres", "none", "--match", "sqlite sync get", "--rounds", "2", "--watch", watch)
    run = subprocess.run(
        [sys.executable, str(SCRIPT), *row],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == run.returncode, run.stderr
    _, line = run.stdout.splitlines()
    assert re.fullmatch(r"sqlite +sync get/commit/close( +\d\.\d{3} \[.*?\]){2}", line)


def test_unknown_family() -> None:
    """What it does not know is refused, with what it knows."""
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--watch", "nothing"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 2 == run.returncode
    assert "connections" in run.stderr
