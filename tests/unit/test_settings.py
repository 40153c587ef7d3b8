"""Command line, marker, ini and default, the strongest first; and what is said of a bad value."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_sessionguard.model import Severity
from pytest_sessionguard.options import OPTIONS
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.settings import (
    Marks,
    Mode,
    PoolSettings,
    Settings,
    SettingsError,
    read_marks,
    read_settings,
)

BY_NAME = {option.name: option for option in OPTIONS}
CODES = {rule.code for rule in RULES}


class Config:
    """pytest's config, with these flags and this ini file."""

    def __init__(
        self, flags: dict[str, Any] | None = None, ini: dict[str, Any] | None = None
    ) -> None:
        self._flags, self._ini = flags or {}, ini or {}

    def getoption(self, name: str, default: Any = None) -> Any:
        assert name in BY_NAME
        return self._flags.get(name, default)

    def getini(self, name: str) -> Any:
        assert name in BY_NAME
        return self._ini.get(name)


def read(flags: dict[str, Any] | None = None, ini: dict[str, Any] | None = None) -> Settings:
    return read_settings(Config(flags, ini))


def mark(*args: Any, **kwargs: Any) -> Any:
    return SimpleNamespace(args=args, kwargs=kwargs)


def get(settings: Settings, name: str) -> Any:
    """What a setting has come to."""
    if name == "sessionguard":
        return settings.mode.value
    if name == "sessionguard_baseline":
        return settings.baseline
    if name == "sessionguard_postgres":
        return settings.postgres.door
    if name == "sessionguard_postgres_image":
        return settings.postgres.image
    return getattr(settings.pool, name.removeprefix("sessionguard_"))


# Each option with the value of the command line and that of the ini file, falsy ones among them.
SINGLE = [
    ("sessionguard", "warn", "off"),
    ("sessionguard", "fail", "off"),
    ("sessionguard", "off", "fail"),
    ("sessionguard", "strict", "warn"),
    ("sessionguard", "warn", "strict"),
    ("sessionguard_baseline", "b.jsonl", "other.jsonl"),
    ("sessionguard_postgres", "auto", "path"),
    ("sessionguard_postgres", "embedded", "auto"),
    ("sessionguard_postgres_image", "postgres:16", "postgres:15"),
    ("sessionguard_pool_size", "3", "7"),
    ("sessionguard_pool_size", "1", "7"),
    ("sessionguard_max_overflow", "0", "7"),
    ("sessionguard_max_overflow", "7", "0"),
    ("sessionguard_pool_timeout", "0", "7"),
    ("sessionguard_pool_timeout", "7", "0"),
]


def as_told(name: str, value: str) -> Any:
    return int(value) if BY_NAME[name].kind == "int" else value


def test_every_option_is_tried() -> None:
    """The table above has every option that holds one value."""
    valued = (option for option in OPTIONS if option.kind not in ("args", "flag"))
    single = {option.name for option in valued if not option.no_ini}
    assert single == {name for name, *_ in SINGLE}


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_flags(option: Any) -> None:
    """Each option has a flag that is made of its ini's name, and a help that is a sentence."""
    assert option.flag == "--" + option.name.replace("_", "-")
    assert option.help.endswith(".")


def test_defaults() -> None:
    """Without a word of the user's everything is as the options say, and nothing is told."""
    settings = read()
    for option in OPTIONS:
        if option.kind not in ("args", "flag") and not option.no_ini:
            assert option.default == get(settings, option.name)
    assert (Mode.FAIL, {}, {}, ()) == (
        settings.mode,
        dict(settings.ini_severities),
        dict(settings.flag_severities),
        settings.changed,
    )
    assert PoolSettings(1, 0, 2) == settings.tighten(Marks())


@pytest.mark.parametrize(("name", "flag", "ini"), SINGLE)
def test_command_line_beats_ini(name: str, flag: str, ini: str) -> None:
    """What the command line says counts, whatever the ini file says, also where it is falsy."""
    assert as_told(name, flag) == get(read({name: flag}, {name: ini}), name)


@pytest.mark.parametrize(("name", "flag", "ini"), SINGLE)
def test_ini_beats_default(name: str, flag: str, ini: str) -> None:
    """What the ini file says counts where the command line says nothing."""
    assert as_told(name, ini) == get(read({}, {name: ini}), name)


@pytest.mark.parametrize("empty", ["", None])
@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_an_empty_ini_value_is_none(option: Any, empty: Any) -> None:
    """An option that stands in the ini file without a value keeps its default."""
    value = [] if option.kind == "args" and empty == "" else empty
    assert read() == read({}, {option.name: value})


@pytest.mark.parametrize("name", ["pool_size", "max_overflow", "pool_timeout"])
def test_command_line_beats_marker_for_pool(name: str) -> None:
    """A number of the command line counts more than a marker's, and that more than the ini's."""
    marks = read_marks([mark(**{name: 5})])
    option = f"sessionguard_{name}"
    told = [
        getattr(read(flags, ini).tighten(marks), name)
        for flags, ini in [({}, {}), ({}, {option: "7"}), ({option: "9"}, {option: "7"})]
    ]
    assert [5, 5, 9] == told


def test_a_falsy_marker_counts() -> None:
    """A zero of a marker is a value, not the absence of one."""
    marks = read_marks([mark(max_overflow=0, pool_timeout=0)])
    ini = {"sessionguard_max_overflow": "7", "sessionguard_pool_timeout": "7"}
    assert PoolSettings(1, 0, 0) == read({}, ini).tighten(marks)


WORDS = {
    "sessionguard_error": Severity.ERROR,
    "sessionguard_warn": Severity.WARN,
    "sessionguard_ignore": Severity.OFF,
}


@pytest.mark.parametrize("strong", WORDS)
@pytest.mark.parametrize("weak", WORDS)
def test_severities(strong: str, weak: str) -> None:
    """Of a rule the command line decides before the marker, the marker before the ini file."""
    argument = weak.removeprefix("sessionguard_")
    marks = read_marks([mark(**{argument: "SG101"}, reason="because")])
    told = [
        read(flags, ini).severities(given).get("SG101")
        for flags, ini, given in [
            ({}, {}, Marks()),
            ({}, {strong: ["SG101"]}, Marks()),
            ({}, {strong: ["SG101"]}, marks),
            ({strong: ["SG101"]}, {}, marks),
            ({strong: ["SG101"]}, {weak: ["SG101"]}, Marks()),
        ]
    ]
    assert [None, WORDS[strong], WORDS[weak], WORDS[strong], WORDS[strong]] == told


def test_severities_of_different_rules_add_up() -> None:
    """What each place says of a rule that the others leave alone stays."""
    settings = read({"sessionguard_error": ["SG201"]}, {"sessionguard_warn": ["SG101"]})
    marks = read_marks([mark(ignore="SG102", reason="because")])
    assert {
        "SG201": Severity.ERROR,
        "SG101": Severity.WARN,
        "SG102": Severity.OFF,
    } == dict(settings.severities(marks))


def test_the_same_rule_twice_in_one_place() -> None:
    """In one place `ignore` beats `warn`, and `warn` beats `error`."""
    ini = {
        "sessionguard_error": ["all"],
        "sessionguard_warn": ["SG1"],
        "sessionguard_ignore": ["SG101"],
    }
    told = dict(read({}, ini).ini_severities)
    marks = dict(read_marks([mark(error="all", warn="SG1", ignore="SG101", reason="x")]).severities)
    expected = {
        "SG101": Severity.OFF,
        "SG102": Severity.WARN,
        "SG103": Severity.WARN,
        "SG104": Severity.WARN,
        "SG105": Severity.WARN,
        "SG106": Severity.WARN,
        "SG201": Severity.ERROR,
        "SG202": Severity.ERROR,
        "SG203": Severity.ERROR,
        "SG204": Severity.ERROR,
        "SG205": Severity.ERROR,
        "SG301": Severity.ERROR,
        "SG302": Severity.ERROR,
        "SG303": Severity.ERROR,
        "SG304": Severity.ERROR,
        "SG305": Severity.ERROR,
        "SG401": Severity.ERROR,
        "SG402": Severity.ERROR,
        "SG403": Severity.ERROR,
    }
    assert [expected, expected] == [told, marks]


def test_the_nearest_marker_counts() -> None:
    """Of several markers the nearest decides; what it leaves alone the farther ones do."""
    marks = read_marks(
        [
            mark(error="SG101"),
            mark(warn="SG101, SG102", pool_size=2),
            mark(warn="SG201", pool_size=3),
        ]
    )
    assert {
        "SG101": Severity.ERROR,
        "SG102": Severity.WARN,
        "SG201": Severity.WARN,
    } == dict(marks.severities)
    assert {"pool_size": 2} == dict(marks.pool)


def test_off() -> None:
    """A marker that is off turns every rule off."""
    marks = read_marks([mark(off=True, reason="because")])
    assert dict.fromkeys(CODES, Severity.OFF) == dict(marks.severities)


@pytest.mark.parametrize(
    ("names", "codes"),
    [
        ("SG101", {"SG101"}),
        ("sg101", {"SG101"}),
        ("leaked-connection", {"SG101"}),
        ("Leaked-Connection", {"SG101"}),
        ("SG1", {"SG101", "SG102", "SG103", "SG104", "SG105", "SG106"}),
        ("SG", CODES),
        ("all", CODES),
        ("SG101,SG201", {"SG101", "SG201"}),
        (" SG101 , unclosed-session ,", {"SG101", "SG201"}),
        (["SG101", "SG2"], {"SG101", "SG201", "SG202", "SG203", "SG204", "SG205"}),
        (("SG101",), {"SG101"}),
        ("", set()),
        ([], set()),
    ],
    ids=lambda value: "" if isinstance(value, set) else str(value),  # a set has no order
)
def test_names_of_rules(names: Any, codes: set[str]) -> None:
    """A rule is named by code, name, group or all; several by commas or a list."""
    assert codes == set(read_marks([mark(warn=names)]).severities)


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("leaked-conection", "leaked-connection"),
        ("SG2011", "SG201"),
        ("unclosed_session", "unclosed-session"),
        ("sg21", "sg201"),
        ("qwertz", None),
    ],
)
def test_an_unknown_rule(word: str, near: str | None) -> None:
    """A name that no rule has is refused with the nearest one, the valid ones and its source."""
    for source, act in (
        ("ini", lambda: read({}, {"sessionguard_ignore": [word]})),
        ("command line", lambda: read({"sessionguard_ignore": [word]})),
        ("marker", lambda: read_marks([mark(warn=word)])),
    ):
        with pytest.raises(SettingsError) as caught:
            act()
        text = str(caught.value)
        assert repr(word) in text
        assert f"(from {source})" in text
        assert (f"Did you mean {near!r}?" in text) if near else ("Did you mean" not in text)
        assert all(f"{rule.code} ({rule.name})" in text for rule in RULES)


@pytest.mark.parametrize(
    ("word", "near"), [("fial", "fail"), ("warm", "warn"), ("of", "off"), ("xyz", None), ("", None)]
)
def test_an_unknown_mode(word: str, near: str | None) -> None:
    """A mode that does not exist is refused with the nearest, the valid ones and its source."""
    for source, act in (
        ("command line", lambda: read({"sessionguard": word})),
        ("ini", lambda: read({}, {"sessionguard": word})),
    ):
        if source == "ini" and not word:
            continue  # in an ini file that is no value
        with pytest.raises(SettingsError) as caught:
            act()
        text = str(caught.value)
        assert f"no mode is named {word!r} (from {source})." in text
        assert (f"Did you mean {near!r}?" in text) if near else ("Did you mean" not in text)
        assert text.endswith("The modes are fail, strict, warn, off.")


@pytest.mark.parametrize("source", ["flag", "ini"])
@pytest.mark.parametrize("value", ["abc", "1.5", "ten", "-1x", " "])
@pytest.mark.parametrize("name", ["pool_size", "max_overflow", "pool_timeout"])
def test_what_is_no_number(name: str, value: str, source: str) -> None:
    """A number that is none is refused by its name and its value."""
    given = {f"sessionguard_{name}": value}
    with pytest.raises(SettingsError, match=f"{name} is a whole number, not {value!r}"):
        read(given) if source == "flag" else read({}, given)


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [
        ("pool_size", 0, 1),
        ("pool_size", -1, 1),
        ("max_overflow", -1, 0),
        ("max_overflow", -2, 0),
        ("pool_timeout", -1, 0),
    ],
)
def test_a_number_that_is_too_small(name: str, value: int, least: int) -> None:
    """A number that makes no tight pool is refused, wherever it comes from."""
    option = f"sessionguard_{name}"
    for act in (
        lambda: read({option: str(value)}),
        lambda: read({}, {option: str(value)}),
        lambda: read_marks([mark(**{name: value})]),
    ):
        with pytest.raises(SettingsError, match=f"{name} is {least} or more, not "):
            act()


@pytest.mark.parametrize("value", [True, False, 1.5, "x", [], {}], ids=repr)
@pytest.mark.parametrize("name", ["pool_size", "max_overflow", "pool_timeout"])
def test_a_marker_that_is_no_number(name: str, value: Any) -> None:
    """A marker's number is refused where it is something else."""
    with pytest.raises(SettingsError, match=name):
        read_marks([mark(**{name: value})])


def test_a_number_that_pytest_refuses() -> None:
    """Where pytest itself refuses an ini value, that is an error of the settings too."""

    class Refusing(Config):
        def getini(self, name: str) -> Any:
            if name == "sessionguard_pool_size":
                raise TypeError("expected an int")
            return super().getini(name)

    with pytest.raises(SettingsError, match="sessionguard_pool_size: expected an int"):
        read_settings(Refusing())


@pytest.mark.parametrize(
    "arguments",
    [
        {"ignore": "SG101"},
        {"ignore": "SG101", "reason": ""},
        {"ignore": "SG101", "reason": "  "},
        {"ignore": "SG101", "reason": None},
        {"off": True},
        {"off": True, "reason": ""},
    ],
    ids=str,
)
def test_a_marker_without_a_reason(arguments: dict[str, Any]) -> None:
    """Whoever ignores a rule says why; the message shows how."""
    shown = "off=True" if "off" in arguments else 'ignore="leaked-connection"'
    with pytest.raises(SettingsError, match=f'needs a reason: .*\\({shown}, reason="..."'):
        read_marks([mark(**arguments)])


def test_what_needs_no_reason() -> None:
    """To warn, to fail, and to ignore nothing needs no reason."""
    read_marks([mark(warn="SG101"), mark(error="SG101"), mark(ignore=""), mark(off=False), mark()])


@pytest.mark.parametrize(
    "marker",
    [
        mark("SG101"),
        mark(ignored="SG101"),
        mark(ignore=5, reason="x"),
        mark(ignore=["SG101", 5], reason="x"),
    ],
    ids=lambda marker: f"{marker.args}{marker.kwargs}",
)
def test_a_marker_that_cannot_be_meant(marker: Any) -> None:
    """An argument that the marker does not take is refused as a setting, not as a crash."""
    with pytest.raises(SettingsError):
        read_marks([marker])


def test_the_message_of_an_unknown_argument() -> None:
    """It names the marker as the user wrote it, and the arguments that there are."""
    with pytest.raises(SettingsError) as caught:
        read_marks([mark(ignored="SG101")])
    text = str(caught.value)
    assert text.startswith("@pytest.mark.sessionguard got an unexpected keyword argument 'ignored'")
    assert 'It takes sessionguard(*, ignore="", warn="", error="", reason=""' in text
    assert "_read_marker" not in text


@pytest.mark.parametrize(
    ("flags", "ini", "told"),
    [
        ({"sessionguard": "warn"}, {}, ("sessionguard=warn (from command line)",)),
        ({}, {"sessionguard": "off"}, ("sessionguard=off (from ini)",)),
        (
            {"sessionguard": "off"},
            {"sessionguard": "warn"},
            ("sessionguard=off (from command line)",),
        ),
        (
            {},
            {"sessionguard_ignore": ["SG101", "SG2"]},
            ("sessionguard_ignore=SG101,SG2 (from ini)",),
        ),
        ({}, {"sessionguard_pool_size": 3}, ("sessionguard_pool_size=3 (from ini)",)),
        ({}, {"sessionguard_pool_size": 1, "sessionguard": "fail"}, ()),
        (
            {"sessionguard_postgres": "postgresql://me:secret@host/db"},
            {},
            ("sessionguard_postgres=a given URL (from command line)",),
        ),
    ],
    ids=str,
)
def test_what_the_header_tells(flags: Any, ini: Any, told: tuple[str, ...]) -> None:
    """Each setting that is not a default is told with its source, and never a password."""
    assert told == read(flags, ini).changed


def test_a_bad_door() -> None:
    """A door to Postgres that does not exist is an error of the settings, without a password."""
    with pytest.raises(SettingsError, match="docker"):
        read({"sessionguard_postgres": "docker"})
    with pytest.raises(SettingsError) as caught:
        read({"sessionguard_postgres": "mysql://me:secret@host/db"})
    assert "secret" not in str(caught.value)


def test_an_empty_image() -> None:
    """An image without a name is refused where the command line gives it."""
    with pytest.raises(SettingsError, match="image"):
        read({"sessionguard_postgres_image": ""})


@pytest.mark.parametrize("source", ["flag", "ini"])
def test_strict(source: str) -> None:
    """In strict mode every rule is an error, also those that are off by default."""
    values = {"sessionguard": "strict"}
    settings = read(values) if source == "flag" else read({}, values)
    assert dict.fromkeys(CODES, Severity.ERROR) == dict(settings.severities(Marks()))
    assert settings.mode.fails


@pytest.mark.parametrize("name", WORDS)
def test_what_a_rule_itself_is_told_beats_strict(name: str) -> None:
    """What any place says of one rule counts more than the mode, wherever that comes from."""
    argument = name.removeprefix("sessionguard_")
    marks = read_marks([mark(**{argument: "SG401"}, reason="because")])
    strict = {"sessionguard": "strict"}
    told = [
        settings.severities(given)["SG401"]
        for settings, given in [
            (read(strict, {name: ["SG401"]}), Marks()),
            (read(strict), marks),
            (read({**strict, name: ["SG401"]}), Marks()),
        ]
    ]
    assert [WORDS[name]] * 3 == told


@pytest.mark.parametrize(
    ("mode", "fails"), list(zip(Mode, [True, True, False, False], strict=True))
)
def test_which_modes_fail(mode: Mode, fails: bool) -> None:
    """An error fails its test unless the mode says that nothing does."""
    assert fails == mode.fails


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        (["tests/factories/*"], ("tests/factories/*",)),
        (["a, b/c.py,", "a"], ("a", "b/c.py")),
        (["./a/", "b\\c"], ("a", "b/c")),
        (["*/site-packages/polyfactory"], ("*/site-packages/polyfactory",)),
        ([""], ()),
    ],
    ids=str,
)
def test_paths(values: list[str], paths: tuple[str, ...]) -> None:
    """Paths are read with forward slashes, several by commas, each once; a flag beats the ini."""
    option = "sessionguard_ignore_paths"
    assert paths == read({option: values}).ignore_paths
    assert paths == read({}, {option: values}).ignore_paths
    assert paths == read({option: values}, {option: ["other"]}).ignore_paths


def test_a_path_outside() -> None:
    """A path that leaves the rootdir is refused: no message shows one."""
    with pytest.raises(SettingsError, match=r"'\.\./shared' leaves the rootdir.* \(from ini\)"):
        read({}, {"sessionguard_ignore_paths": ["../shared"]})


def test_an_update_needs_a_file() -> None:
    """Whoever records says where to."""
    update = {"sessionguard_update_baseline": True}
    with pytest.raises(SettingsError, match="needs a file: --sessionguard-baseline="):
        read(update)
    assert read(update, {"sessionguard_baseline": "b.jsonl"}).updates_baseline
    assert not read({}, {"sessionguard_baseline": "b.jsonl"}).updates_baseline


def test_an_update_needs_findings() -> None:
    """A run that sees nothing records nothing, and says so."""
    update = {"sessionguard_update_baseline": True, "sessionguard_baseline": "b.jsonl"}
    with pytest.raises(SettingsError, match="sessionguard=off finds nothing"):
        read(update, {"sessionguard": "off"})


def test_no_twin_in_the_ini_file() -> None:
    """What one does once has no place in an ini file, and a reason stands there instead."""
    without = [option.name for option in OPTIONS if option.no_ini]
    assert ["sessionguard_update_baseline", "sessionguard_explain"] == without
    assert all(option.no_ini.endswith(".") for option in OPTIONS if option.no_ini)


def test_ignored_names() -> None:
    """What the ini file ignores is known name by name, as it stands there."""
    ini = {"sessionguard_ignore": ["SG2, lazy-load", "all"]}
    assert ("SG2", "lazy-load", "all") == read({}, ini).ini_ignores
    assert ("sessionguard_ignore=SG2,lazy-load,all (from ini)",) == read({}, ini).changed
