"""Command line, ini file and markers, resolved to one frozen `Settings`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any, Protocol

from pytest_sessionguard.model import Severity
from pytest_sessionguard.postgres.errors import PostgresSettingsError
from pytest_sessionguard.postgres.settings import PostgresSettings
from pytest_sessionguard.rules import RULES


class SettingsError(ValueError):
    """A setting that cannot be meant; its text names the valid values."""


class Mode(str, Enum):
    """What the guard does with an error finding."""

    FAIL = "fail"
    WARN = "warn"
    OFF = "off"


class Source(str, Enum):
    """Where a setting came from, the strongest last."""

    DEFAULT = "default"
    INI = "ini"
    MARKER = "marker"
    COMMAND_LINE = "command line"


class Config(Protocol):
    """What is needed of pytest's config."""

    def getoption(self, name: str) -> Any:
        """Return a value of the command line."""

    def getini(self, name: str) -> Any:
        """Return a value of the ini file."""


@dataclass(frozen=True)
class Option:
    """One setting with its flag and its ini twin.

    Attributes:
        name: The ini's name; the flag is made of it.
        default: Its value where nobody sets it.
        help: What it does.
        kind: ``string``, ``args`` or ``int``.
        metavar: What the flag takes.
    """

    name: str
    default: Any
    help: str
    kind: str = "string"
    metavar: str = "VALUE"

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.name.replace("_", "-")


OPTIONS = (
    Option(
        "sessionguard",
        Mode.FAIL.value,
        "What an error finding does: fail the test, warn in the summary, or off: see nothing.",
        metavar="fail|warn|off",
    ),
    Option(
        "sessionguard_error",
        (),
        "Rules whose findings are errors (codes, names, groups such as SG2, or all).",
        kind="args",
        metavar="RULES",
    ),
    Option(
        "sessionguard_warn",
        (),
        "Rules whose findings are reported and fail nothing.",
        kind="args",
        metavar="RULES",
    ),
    Option(
        "sessionguard_ignore",
        (),
        "Rules that are off.",
        kind="args",
        metavar="RULES",
    ),
    Option(
        "sessionguard_postgres",
        "auto",
        "Where the Postgres of sessionguard_postgres comes from.",
        metavar="auto|container|embedded|path|URL",
    ),
    Option(
        "sessionguard_postgres_image",
        PostgresSettings.image,
        "The image of the container.",
        metavar="IMAGE",
    ),
    Option(
        "sessionguard_pool_size",
        1,
        "The pool_size of sessionguard_engine and sessionguard_async_engine.",
        kind="int",
        metavar="N",
    ),
    Option(
        "sessionguard_max_overflow",
        0,
        "Their max_overflow.",
        kind="int",
        metavar="N",
    ),
    Option(
        "sessionguard_pool_timeout",
        2,
        "Their pool_timeout in seconds.",
        kind="int",
        metavar="SECONDS",
    ),
)

MARKER = (
    'sessionguard(*, ignore="", warn="", error="", reason="", off=False, pool_size=None, '
    "max_overflow=None, pool_timeout=None): set what sessionguard's rules do in a test (`ignore` "
    "and `off` need a reason), and how tight its engine fixtures are. On a module it holds for "
    "its fixtures too."
)


@dataclass(frozen=True)
class PoolSettings:
    """How tight the engines of the fixtures are."""

    pool_size: int = 1
    max_overflow: int = 0
    pool_timeout: int = 2


@dataclass(frozen=True)
class Marks:
    """What the markers of a test, its class and its module say, the nearest last."""

    severities: Mapping[str, Severity] = field(default_factory=dict)
    pool: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """All settings of a run.

    Attributes:
        mode: What an error finding does.
        ini_severities: What the ini file says of rules.
        flag_severities: What the command line says of rules; it beats a marker.
        postgres: How to come by a Postgres.
        pool: How tight the engines of the fixtures are.
        changed: Each setting that is not a default, with its source.
    """

    mode: Mode
    ini_severities: Mapping[str, Severity]
    flag_severities: Mapping[str, Severity]
    postgres: PostgresSettings
    pool: PoolSettings
    changed: tuple[str, ...]

    def severities(self, marks: Marks) -> Mapping[str, Severity]:
        """Resolve what each rule does under some markers.

        Args:
            marks: The markers.

        Returns:
            A severity for each rule that does not keep its default.
        """
        return {**self.ini_severities, **marks.severities, **self.flag_severities}

    def tighten(self, marks: Marks) -> PoolSettings:
        """Resolve how tight an engine is under some markers.

        Args:
            marks: The markers.

        Returns:
            The settings of its pool.
        """
        return PoolSettings(**{**vars(self.pool), **marks.pool})


def read_settings(config: Config) -> Settings:
    """Resolve the command line and the ini file.

    Args:
        config: pytest's config, with `OPTIONS` registered.

    Returns:
        The settings.

    Raises:
        SettingsError: A value is not valid.
    """
    values: dict[str, Any] = {}
    changed = []
    for option in OPTIONS:
        value, source = _resolve(config, option)
        values[option.name] = value
        if value != option.default:
            changed.append(f"{option.name}={_show(option, value)} (from {source.value})")
    pool = PoolSettings(
        pool_size=_count(values, "sessionguard_pool_size", 1),
        max_overflow=_count(values, "sessionguard_max_overflow", -1),
        pool_timeout=_count(values, "sessionguard_pool_timeout", 0),
    )
    try:
        postgres = PostgresSettings(
            door=values["sessionguard_postgres"], image=values["sessionguard_postgres_image"]
        )
    except PostgresSettingsError as error:
        raise SettingsError(str(error)) from None
    return Settings(
        mode=_read_mode(values["sessionguard"]),
        ini_severities=_read_severities(config.getini, "ini"),
        flag_severities=_read_severities(config.getoption, "command line"),
        postgres=postgres,
        pool=pool,
        changed=tuple(changed),
    )


def read_marks(markers: Iterable[Any]) -> Marks:
    """Merge markers.

    Args:
        markers: pytest's marks named `sessionguard`, the nearest first.

    Returns:
        What they say together.

    Raises:
        SettingsError: A marker has an argument that it does not take, or no reason.
    """
    severities: dict[str, Severity] = {}
    pool: dict[str, int] = {}
    for marker in reversed(list(markers)):
        try:
            one = _read_marker(*marker.args, **marker.kwargs)
        except TypeError as error:
            text = str(error).replace("_read_marker()", "@pytest.mark.sessionguard")
            raise SettingsError(
                f"{text}. It takes {MARKER.split(': set', maxsplit=1)[0]}"
            ) from None
        severities.update(one.severities)
        pool.update(one.pool)
    return Marks(severities, pool)


def find_rules(names: str | Iterable[str], source: str) -> list[str]:
    """Find the codes of rules named by code, name, group or ``all``.

    Args:
        names: Names, each of which may list several with commas.
        source: Where they were written, for the message.

    Returns:
        Their codes.

    Raises:
        SettingsError: No rule has such a name.
    """
    words = [names] if isinstance(names, str) else list(names)
    codes: list[str] = []
    for name in (part.strip() for word in words for part in word.split(",")):
        if name:
            codes += _find_rule(name, source)
    return codes


def _find_rule(word: str, source: str) -> list[str]:
    upper = word.upper()
    is_group = upper.startswith("SG") and len(upper) < 5
    found = [
        rule.code
        for rule in RULES
        if word.lower() in (rule.name, "all")
        or upper == rule.code
        or (is_group and rule.code.startswith(upper))
    ]
    if found:
        return found
    valid = [rule.code for rule in RULES] + [rule.name for rule in RULES]
    near = get_close_matches(word, [*valid, *(code.lower() for code in valid)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    rules = ", ".join(f"{rule.code} ({rule.name})" for rule in RULES)
    raise SettingsError(
        f"sessionguard: no rule is named {word!r} (from {source}).{hint} "
        f"The rules are {rules}; a group such as SG1, or all."
    )


def _read_marker(
    *,
    ignore: str | Iterable[str] = (),
    warn: str | Iterable[str] = (),
    error: str | Iterable[str] = (),
    reason: str = "",
    off: bool = False,
    pool_size: int | None = None,
    max_overflow: int | None = None,
    pool_timeout: int | None = None,
) -> Marks:
    ignored = find_rules("all" if off else ignore, "marker")
    if ignored and not reason.strip():
        raise SettingsError(
            "sessionguard: a marker that ignores a rule needs a reason: "
            '@pytest.mark.sessionguard(ignore="leaked-connection", reason="...")'
        )
    severities = dict.fromkeys(find_rules(error, "marker"), Severity.ERROR)
    severities.update((code, Severity.WARN) for code in find_rules(warn, "marker"))
    severities.update((code, Severity.OFF) for code in ignored)
    pool: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": max_overflow,
        "pool_timeout": pool_timeout,
    }
    for name, value in pool.items():
        if value is not None and type(value) is not int:
            raise SettingsError(f"sessionguard: {name} of a marker is a number, not {value!r}.")
    return Marks(severities, {name: value for name, value in pool.items() if value is not None})


def _read_severities(get: Callable[[str], Any], source: str) -> dict[str, Severity]:
    severities = {}
    for name, severity in (
        ("sessionguard_error", Severity.ERROR),
        ("sessionguard_warn", Severity.WARN),
        ("sessionguard_ignore", Severity.OFF),
    ):
        for code in find_rules(get(name) or (), source):
            severities[code] = severity
    return severities


def _resolve(config: Config, option: Option) -> tuple[Any, Source]:
    value = config.getoption(option.name)
    if value is not None:
        return (tuple(value) if option.kind == "args" else value), Source.COMMAND_LINE
    value = config.getini(option.name)
    if option.kind == "args":
        value = tuple(value) if value else ()
    if value in (None, "", ()) or value == option.default:
        return option.default, Source.DEFAULT
    return value, Source.INI


def _read_mode(value: str) -> Mode:
    try:
        return Mode(value)
    except ValueError:
        valid = ", ".join(mode.value for mode in Mode)
        near = get_close_matches(value, [mode.value for mode in Mode], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingsError(
            f"sessionguard: no mode is named {value!r}.{hint} The modes are {valid}."
        ) from None


def _count(values: Mapping[str, Any], name: str, least: int) -> int:
    try:
        number = int(values[name])
    except ValueError:
        raise SettingsError(f"{name} is a number, not {values[name]!r}.") from None
    if number < least:
        raise SettingsError(f"{name} is {least} or more, not {number}.")
    return number


def _show(option: Option, value: Any) -> str:
    if option.kind == "args":
        return ",".join(value)
    return "a given URL" if "://" in str(value) else str(value)
