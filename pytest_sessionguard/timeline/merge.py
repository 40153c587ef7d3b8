"""The timeline of a run: what its processes recorded, brought to one clock and one document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pytest_sessionguard.survey import find_limit
from pytest_sessionguard.timeline.gauges import thin

# So much of a run is kept in full, once for clean tests and once for those with findings; of what
# comes later the numbers only.
_KEPT = 60_000
_POINTS = 4_000

_THINGS = ("leases", "sessions", "statements", "loads")
_SITES_OF = {"leases": ("site",), "sessions": ("site", "closed_at"), "loads": ("site",)}

Blame = tuple[str, str]


class Timeline:
    """What the processes of a run have recorded so far."""

    def __init__(self) -> None:
        self._began: dict[str, float] = {}
        self._engines: dict[tuple[str, int], dict[str, Any]] = {}
        self._stories: dict[tuple[str, int], dict[str, Any]] = {}
        self._kept: Counter[bool] = Counter()
        self._quiet = 0
        self._sql = _Table()
        self._sites = _Table()

    def add(self, piece: Mapping[str, Any], blamed: Collection[Blame] = ()) -> None:
        """Add what a process handed out.

        Args:
            piece: What `Recorder.take` returned.
            blamed: Node and name of the owners of whom findings tell; theirs is kept first.
        """
        process = piece["process"]
        if piece["engines"] or piece["stories"]:  # not the controller of xdist, which runs none
            self._began.setdefault(process, piece["began"])
        self._quiet += piece["quiet"]
        for engine in piece["engines"]:
            self._add_engine(process, engine)
        for story in piece["stories"]:
            self._add_story(process, story, (story["nodeid"], story["name"]) in blamed)

    def to_json(self) -> dict[str, Any]:
        """Return the timeline as plain JSON types, all times in ms since the first process began.

        Returns:
            What the JSON schema calls ``timeline``.
        """
        first = min(self._began.values(), default=0.0)
        shifts = {p: (began - first) * 1000 for p, began in self._began.items()}
        engines = sorted(self._engines)
        numbers = {key: number for number, key in enumerate(engines)}
        stories = sorted(self._stories, key=lambda key: (shifts[key[0]], *key))
        return {
            "processes": [
                {"name": p, "began": round(self._began[p], 3), "shift": round(shifts[p], 2)}
                for p in sorted(shifts, key=lambda p: (shifts[p], p))
            ],
            "engines": [
                _finish_engine(self._engines[key], key[0], shifts[key[0]]) for key in engines
            ],
            "tests": [
                self._finish_story(self._stories[key], key[0], shifts[key[0]], numbers)
                for key in stories
            ],
            "sites": list(self._sites.values),
            "sql": list(self._sql.values),
            "quiet": self._quiet,
        }

    def _add_engine(self, process: str, engine: Mapping[str, Any]) -> None:
        known = self._engines.setdefault((process, engine["id"]), {**engine, "out": [], "peak": 0})
        known["engines"] = engine["engines"]
        known["out"] += engine["out"]
        known["peak"] = max(known["peak"], *(count for _, count in engine["out"]), 0)
        if len(known["out"]) > 2 * _POINTS:
            known["out"] = _thin(known["out"])

    def _add_story(self, process: str, story: Mapping[str, Any], is_blamed: bool) -> None:
        key = process, story["id"]
        known = self._stories.get(key)
        if known is None:
            known = self._stories[key] = {
                **{kind: [] for kind in _THINGS},
                "numbers": {"leases": {}, "sessions": {}},
                "left_out": Counter(),
                "capped": {},
            }
        for name in ("kind", "name", "scope", "nodeid", "begin", "end", "judged"):
            known[name] = story[name]
        known["capped"] = story["left_out"]
        for kind in _THINGS:
            for thing in story[kind]:
                self._add_thing(known, kind, thing, is_blamed)

    def _add_thing(
        self, known: dict[str, Any], kind: str, thing: Mapping[str, Any], is_blamed: bool
    ) -> None:
        numbers = known["numbers"].get(kind, {})
        position = numbers.get(thing["id"]) if "id" in thing else None
        if position is None and self._kept[is_blamed] >= _KEPT:
            known["left_out"][kind] += 1
            return
        entry = dict(thing)
        for name in _SITES_OF.get(kind, ()):
            entry[name] = self._sites.find(thing[name])
        if "sql" in entry:
            entry["sql"] = self._sql.find(entry["sql"])
        if entry.get("again") is not None:
            entry["again"] = {**entry["again"], "site": self._sites.find(entry["again"]["site"])}
        if position is not None:
            known[kind][position] = entry
            return
        self._kept[is_blamed] += 1
        if "id" in thing:
            numbers[thing["id"]] = len(known[kind])
        known[kind].append(entry)

    @staticmethod
    def _finish_story(
        story: Mapping[str, Any],
        process: str,
        shift: float,
        engines: Mapping[tuple[str, int], int],
    ) -> dict[str, Any]:
        move = _make_shift(shift)
        left_out = Counter(story["capped"])
        left_out.update(story["left_out"])
        return {
            **{name: story[name] for name in ("kind", "name", "scope", "nodeid", "judged")},
            "process": process,
            "begin": move(story["begin"]),
            "end": move(story["end"]),
            "leases": [
                {
                    **lease,
                    "engine": engines[process, lease["engine"]],
                    "begin": move(lease["begin"]),
                    "end": move(lease["end"]),
                }
                for lease in story["leases"]
            ],
            "sessions": [
                {
                    **session,
                    "begin": move(session["begin"]),
                    "end": move(session["end"]),
                    "again": session["again"]
                    and {**session["again"], "at": move(session["again"]["at"])},
                }
                for session in story["sessions"]
            ],
            "statements": [{**s, "begin": move(s["begin"])} for s in story["statements"]],
            "loads": [{**load, "at": move(load["at"])} for load in story["loads"]],
            "left_out": {kind: left_out[kind] for kind in _THINGS if left_out[kind]},
        }


class _Table:
    """Values that come again and again, each written once and named by its number."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._numbers: dict[str, int] = {}

    def find(self, value: Any) -> int | None:
        """Return the number of a value; None for one that is empty."""
        if not value:
            return None
        key = value if isinstance(value, str) else repr(value)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self.values)
            self.values.append(value)
        return number


def _thin(points: Iterable[list[Any]]) -> list[list[Any]]:
    return [list(point) for point in thin(((at, count) for at, count in points), _POINTS)]


def _finish_engine(engine: Mapping[str, Any], process: str, shift: float) -> dict[str, Any]:
    move = _make_shift(shift)
    size, overflow = engine["size"], engine["overflow"]
    return {
        "process": process,
        "engine": engine["engine"],
        "pool": engine["pool"],
        "size": size,
        "overflow": overflow,
        "limit": find_limit(size, overflow),
        "engines": engine["engines"],
        "peak": engine["peak"],
        "out": [[move(at), count] for at, count in _thin(engine["out"])],
    }


def _make_shift(shift: float) -> Callable[[float | None], float | None]:
    return lambda at: None if at is None else round(at + shift, 2)
