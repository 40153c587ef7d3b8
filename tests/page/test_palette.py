"""The colours of the page can be told apart, in light and in dark (WCAG 2.2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

STYLE = (files("pytest_sessionguard.report.html") / "style.css").read_text(encoding="utf-8")
PAIRS = {
    name: (light, dark)
    for name, light, dark in re.findall(
        r"--([a-z]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE
    )
}
GROUNDS = ("paper", "sheet", "shade")
TEXTS = ("ink", "muted", "error", "warn", "calm")
SHAPES = ("flow", "held", "error", "warn", "edge", "focus")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_itself() -> None:
    """The measure is that of the standard."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_every_colour_is_a_pair() -> None:
    """Each colour has a light and a dark side, and no colour stands anywhere else."""
    assert set(GROUNDS + TEXTS + SHAPES) | {"line"} == set(PAIRS)
    rules = STYLE.split("--sans:")[1]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", rules) == []


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("name", TEXTS)
def test_text(name: str, ground: str, side: int) -> None:
    """Text is read on every ground that it may stand on."""
    assert contrast(PAIRS[name][side], PAIRS[ground][side]) >= 4.5


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "sheet"])
@pytest.mark.parametrize("name", SHAPES)
def test_shape(name: str, ground: str, side: int) -> None:
    """A bar, a mark and the edge of a field are seen."""
    assert contrast(PAIRS[name][side], PAIRS[ground][side]) >= 3


@pytest.mark.parametrize("side", [0, 1], ids=["light", "dark"])
def test_pressed_chip(side: int) -> None:
    """A chip that is pressed shows its text the other way round."""
    assert contrast(PAIRS["paper"][side], PAIRS["ink"][side]) >= 4.5
