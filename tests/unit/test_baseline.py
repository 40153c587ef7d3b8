"""The baseline's laws, and what is said of a file that cannot be meant."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sessionguard.baseline import (
    Baseline,
    BaselineError,
    load,
    read_baseline,
    write_baseline,
)
from pytest_sessionguard.identity import Identity

HEAD = '{"sessionguard": "baseline", "version": 1}'
# Any text there is, lone surrogates of odd file names and all that breaks lines among them.
texts = st.text(
    st.one_of(st.characters(), st.sampled_from('\n\r\u2028\x85"\\\ud800;#')), max_size=6
)
identities = st.builds(
    Identity, st.sampled_from(["SG101", "SG201"]), texts, texts, st.one_of(st.just(""), texts)
)
baselines = st.dictionaries(identities, texts, max_size=6).map(Baseline)


@given(baselines)
def test_round_trip(baseline: Baseline) -> None:
    """What was written is read again, whatever characters it has."""
    assert baseline == load(baseline.dump(), "b")


@given(baselines)
def test_one_line_an_entry(baseline: Baseline) -> None:
    """A file has its head and one line for each entry, in order, and is UTF-8."""
    lines = baseline.dump().removesuffix("\n").split("\n")
    assert HEAD == lines[0]
    assert [one.path for one in sorted(baseline.entries)] == [
        json.loads(line)["path"] for line in lines[1:]
    ]
    assert baseline.dump().encode("utf-8")


@given(baselines, st.randoms(), st.booleans())
def test_order_and_doubles_never_matter(baseline: Baseline, random: object, crlf: bool) -> None:
    """Lines in any order, twice, with blank ones or another line end, say the same."""
    head, *lines = baseline.dump().removesuffix("\n").split("\n")
    mixed = [*lines, *lines[:2], "", head]
    random.shuffle(mixed)  # type: ignore[attr-defined]
    text = ("\r\n" if crlf else "\n").join([head, *mixed])
    assert baseline == load(text, "b")
    assert baseline.dump() == load(text, "b").dump()


@given(baselines, baselines)
def test_union_of_two_branches(one: Baseline, other: Baseline) -> None:
    """What a merge by union leaves is valid, and holds what either side had."""
    merged = load(one.dump() + other.dump(), "b")
    assert set(merged.entries) == set(one.entries) | set(other.entries)
    assert merged == one | other == other | one
    for side in (one, other):
        assert all(reason in merged.entries[entry] for entry, reason in side.entries.items())


def test_two_reasons() -> None:
    """Two branches that gave different reasons for one entry lose neither."""
    entry = Identity("SG101", "a.py", "f")
    one, other = Baseline({entry: "old"}), Baseline({entry: "for the worker"})
    assert {entry: "for the worker; old"} == (one | other).entries
    assert one == one | Baseline({entry: ""})


@given(baselines, st.lists(identities, max_size=6))
def test_add(baseline: Baseline, more: list[Identity]) -> None:
    """An update takes what is new, and keeps each entry with its reason."""
    larger = baseline.add(more)
    assert set(larger.entries) == set(baseline.entries) | set(more)
    assert baseline.entries.items() <= larger.entries.items()
    assert larger == larger.add(more)


@given(baselines, st.lists(identities, max_size=6), st.data())
def test_gone(baseline: Baseline, others: list[Identity], data: st.DataObject) -> None:
    """Gone is what is listed and was not met, and dropping it leaves the rest."""
    listed = sorted(baseline.entries)
    met = {entry for entry in listed if data.draw(st.booleans())}
    gone = baseline.find_gone([*met, *others])
    assert gone == [entry for entry in listed if entry not in met and entry not in others]
    smaller = baseline.drop([*gone, *others])
    assert set(smaller.entries) == met - set(others)
    assert smaller.entries.items() <= baseline.entries.items()


@given(baselines, identities)
def test_what_is_accepted(baseline: Baseline, identity: Identity) -> None:
    """An identity is accepted where an entry is equal in all four."""
    assert (identity in baseline) == any(identity == entry for entry in baseline.entries)


def test_how_a_file_looks() -> None:
    """The written form is this one: people review it."""
    baseline = Baseline(
        {
            Identity("SG201", "app/б.py", "get", "Session"): "",
            Identity("SG101", "app/db.py", "get"): "закроем потом",
            Identity("SG103", "app/db.py", "get"): "",
        }
    )
    assert baseline.dump().splitlines() == [
        HEAD,
        '{"rule": "SG101", "path": "app/db.py", "function": "get", "reason": "закроем потом"}',
        '{"rule": "SG103", "path": "app/db.py", "function": "get"}',
        '{"rule": "SG201", "path": "app/б.py", "function": "get", "thing": "Session"}',
    ]


ENTRY = '{"rule": "SG101", "path": "a.py", "function": "f"}'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "b.jsonl:1: no baseline: it does not begin with "),
        (f"{ENTRY}\n{HEAD}", "b.jsonl:1: no baseline: it does not begin with "),
        ('{"some": "json"}', "b.jsonl:1: no baseline"),
        (f"{HEAD}\n{{", "b.jsonl:2: cannot be read (Expecting property name"),
        (f"{HEAD}\n\n[1]", "b.jsonl:3: is no entry."),
        (f"{HEAD}\n{ENTRY}\n{'[' * 100_000}", "b.jsonl:3: cannot be read"),
        (f"{HEAD}\n<<<<<<< HEAD\n{ENTRY}", "b.jsonl:2: a mark of a conflict in git."),
        (f"<<<<<<< HEAD\n{HEAD}", "b.jsonl:1: a mark of a conflict in git."),
        (f"{HEAD}\n=======\n", "b.jsonl:2: a mark of a conflict in git."),
        (f'{HEAD}\n{{"rule": "SG101", "path": "a.py"}}', "b.jsonl:2: lacks 'function'."),
        (f'{HEAD}\n{ENTRY[:-1]}, "line": "3"}}', "b.jsonl:2: 'line' is none of rule, path, "),
        (f'{HEAD}\n{ENTRY[:-1]}, "reason": 3}}', "b.jsonl:2: 'reason' is no text."),
        ('{"sessionguard": "report", "version": 1}', "b.jsonl:1: is no head of a baseline."),
        ('{"sessionguard": "baseline", "version": "1"}', "b.jsonl:1: is no head of a baseline."),
        ('{"sessionguard": "baseline", "version": true}', "b.jsonl:1: is no head of a baseline."),
        (
            f'{HEAD}\n{ENTRY}\n{{"sessionguard": "baseline", "version": 2}}',
            "b.jsonl:3: was written in version 2, and this pytest-sessionguard reads up to 1.",
        ),
    ],
)
def test_broken(text: str, told: str) -> None:
    """A file that cannot be read is told with its line."""
    with pytest.raises(BaselineError) as caught:
        load(text, "b.jsonl")
    assert str(caught.value).startswith(told)
    assert "\n" not in str(caught.value)


def test_newer_before_unknown() -> None:
    """A newer file is called newer, though its entries hold what this version does not know."""
    text = f'{{"sessionguard": "baseline", "version": 9}}\n{ENTRY[:-1]}, "until": "2027"}}'
    with pytest.raises(BaselineError, match="version 9"):
        load(text, "b")


def test_not_utf8(tmp_path: Path) -> None:
    """Bytes that are no text are told with their line."""
    path = tmp_path / "b.jsonl"
    path.write_bytes(HEAD.encode() + b'\n{"rule": "\xff"}\n')
    with pytest.raises(BaselineError, match=r"b\.jsonl:2: is not UTF-8"):
        read_baseline(str(path), "b.jsonl")


def test_no_file(tmp_path: Path) -> None:
    """That there is no file is another matter than one that is broken; a folder is broken."""
    with pytest.raises(FileNotFoundError):
        read_baseline(str(tmp_path / "b.jsonl"), "b.jsonl")
    with pytest.raises(BaselineError, match="b: cannot be read"):
        read_baseline(str(tmp_path), "b")


BASELINE = Baseline({Identity("SG101", "a.py", "f"): "so"})


def test_write_and_read(tmp_path: Path) -> None:
    """A file is written whole, with nothing left beside it."""
    path = tmp_path / "b.jsonl"
    write_baseline(str(path), BASELINE)
    assert BASELINE == read_baseline(str(path), "b")
    assert [path] == list(tmp_path.iterdir())


def test_write_over(tmp_path: Path) -> None:
    """A link stays a link, and the file behind it keeps its permissions."""
    path, link = tmp_path / "b.jsonl", tmp_path / "link.jsonl"
    path.write_text(HEAD)
    path.chmod(0o640)
    link.symlink_to(path)
    write_baseline(str(link), BASELINE)
    assert link.is_symlink()
    assert BASELINE == read_baseline(str(path), "b")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the last step fails, the old file is as it was and nothing lies beside it."""
    path = tmp_path / "b.jsonl"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_baseline(str(path), BASELINE)
    assert "old" == path.read_text()
    assert [path] == list(tmp_path.iterdir())
