"""What several processes recorded comes together on one clock."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from page.runs import make_lease, make_piece, make_session, make_story

from pytest_sessionguard.timeline import Timeline


def test_clocks():
    """Times of a process that began later are moved by that."""
    timeline = Timeline()
    for process, began in (("gw0", 1000.0), ("gw1", 1002.5)):
        story = make_story(1, f"test_{process}.py::test", 10, leases=[make_lease(2, 12)])
        timeline.add(
            {**make_piece([story], [[12, 1], [17, 0]]), "process": process, "began": began}
        )
    told = timeline.to_json()
    assert [(p["name"], p["shift"]) for p in told["processes"]] == [("gw0", 0), ("gw1", 2500)]
    assert [story["begin"] for story in told["tests"]] == [10, 2510]
    assert [story["leases"][0]["begin"] for story in told["tests"]] == [12, 2512]
    assert [story["leases"][0]["engine"] for story in told["tests"]] == [0, 1]
    assert told["engines"][1]["out"] == [[2512, 1], [2517, 0]]


def test_controller_is_no_process():
    """A process that ran nothing, as the controller of xdist, is not told."""
    timeline = Timeline()
    timeline.add({**make_piece([], []), "process": "main", "began": 1.0})
    timeline.add({**make_piece([make_story(1, "t.py::t", 0)], []), "process": "gw0", "began": 5.0})
    assert [process["name"] for process in timeline.to_json()["processes"]] == ["gw0"]


def test_later_piece_replaces():
    """A bar that comes again, with its end, is one bar."""
    timeline = Timeline()
    piece = make_piece([], [[0, 1]])
    first = make_story(1, "t.py::t", 0, leases=[make_lease(2, 1, lost=True)])
    later = make_story(1, "t.py::t", 0, leases=[make_lease(2, 1)], sessions=[make_session(3, 1)])
    for story in (first, later):
        timeline.add({**piece, "stories": [story]})
    (story,) = timeline.to_json()["tests"]
    assert [lease["fate"] for lease in story["leases"]] == ["returned"]
    assert len(story["sessions"]) == 1


def test_places_and_sql_once():
    """A place and a statement that come again are written once."""
    timeline = Timeline()
    statements = [{"begin": 1, "took": 1, "sql": "SELECT ?", "lease": 2}] * 3
    story = make_story(
        1, "t.py::t", 0, leases=[make_lease(2, 1), make_lease(3, 2)], statements=statements
    )
    timeline.add(make_piece([story], [[1, 1]]))
    told = timeline.to_json()
    assert told["sql"] == ["SELECT ?"]
    assert told["sites"] == [[["app/db.py", 41, "get_user"]]]


numbers = st.lists(st.integers(0, 5), max_size=12)


@given(numbers, st.randoms(use_true_random=False))
def test_order_of_processes_does_not_matter(owners, chance):
    """Whichever process comes first, each story is told once, with the same bars."""
    pieces = []
    for number, process in enumerate(owners):
        story = make_story(number, f"t.py::t{number}", number, leases=[make_lease(number, number)])
        piece = make_piece([story], [[number, 1]])
        pieces.append({**piece, "process": f"gw{process}", "began": 100.0 + process})

    def tell(pieces):
        timeline = Timeline()
        for piece in pieces:
            timeline.add(json.loads(json.dumps(piece)))
        told = timeline.to_json()
        return [(s["process"], s["nodeid"], s["begin"], len(s["leases"])) for s in told["tests"]]

    shuffled = list(pieces)
    chance.shuffle(shuffled)
    assert tell(pieces) == tell(shuffled)
    assert len(tell(pieces)) == len(owners)
