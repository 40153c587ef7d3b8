"""How much of a suite a run was, merged from processes in any order."""

from __future__ import annotations

import pytest

from pytest_sessionguard.extent import Extent


def make(collected: int | None, ended: str, judged: str, narrowed: str = "") -> Extent:
    """A run of so many tests, of which those with these letters ended and were judged."""
    extent = Extent()
    for nodeid in ended:
        extent.end_test(nodeid, judged=nodeid in judged)
    if collected is not None:
        extent.add({"collected": collected, "narrowed": narrowed})
    return extent


@pytest.mark.parametrize(
    ("extent", "is_whole", "is_judged", "text"),
    [
        (make(3, "abc", "abc"), True, True, ""),
        (make(3, "abcabc", "abc"), True, True, ""),
        (make(3, "abc", "ab"), True, False, "1 test was skipped or failed"),
        (make(3, "abc", ""), True, False, "3 tests were skipped or failed"),
        (make(3, "ab", "ab"), False, False, "not every test has run"),
        (make(3, "abc", "abc", "-k"), False, False, "-k"),
        (make(0, "", ""), False, False, "not every test has run"),
        (make(None, "abc", "abc"), False, False, "not every test has run"),
    ],
)
def test_extent(extent: Extent, is_whole: bool, is_judged: bool, text: str) -> None:
    """Whole is a run that nothing narrowed and all of which ended; judged, where all of it was."""
    assert (is_whole, is_judged, text) == (extent.is_whole, extent.is_judged, str(extent))


def test_a_rerun() -> None:
    """A test that failed first and passed when it was run again was judged."""
    extent = Extent()
    extent.add({"collected": 1})
    extent.end_test("a", judged=False)
    assert not extent.is_judged
    extent.end_test("a", judged=True)
    assert extent.is_judged


def test_workers() -> None:
    """Each worker collects the whole suite; one that left something out narrows the run."""
    extent = Extent()
    for news in ({}, {"collected": 2}, {"collected": 2, "narrowed": ""}, {}):
        extent.add(news)
    for nodeid in "ab":
        extent.end_test(nodeid, judged=True)
    assert extent.is_judged
    extent.add({"collected": 2, "narrowed": "a module was skipped"})
    assert not extent.is_whole
    assert "a module was skipped" == extent.narrowed
