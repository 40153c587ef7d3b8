"""Command line, ini file and markers, resolved to one frozen `Settings`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from typing import Any, Protocol

from pytest_sessionguard.boundary.patterns import PatternError, read_patterns
from pytest_sessionguard.model import Severity
from pytest_sessionguard.options import MARKER, OPTIONS, Mode, Option
from pytest_sessionguard.postgres.errors import PostgresSettingsError
from pytest_sessionguard.postgres.settings import PostgresSettings
from pytest_sessionguard.report.requests import Request, RequestError, read_requests
from pytest_sessionguard.rules import RULES
from pytest_sessionguard.rules.names import UnknownRuleError, find_rules, list_names
from pytest_sessionguard.suppressions import PathPatternError, read_paths


class SettingsError(ValueError):
    """A setting that cannot be meant; its text names the valid values."""


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


# The least that makes a tight pool: a QueuePool's pool_size of 0 means no limit.
_LEAST = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0}


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
    services: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """All settings of a run.

    Attributes:
        mode: What an error finding does.
        ini_severities: What the ini file says of rules.
        flag_severities: What the command line says of rules; it beats a marker.
        postgres: How to come by a Postgres.
        pool: How tight the engines of the fixtures are.
        flag_pool: What the command line says of that; it beats a marker.
        changed: Each setting that is not a default, with its source.
        services: Patterns of the modules whose functions are services.
        ini_ignores: Each name of rules that the ini file ignores, as it stands there.
        ignore_paths: Patterns of the paths whose findings are meant.
        ignore_paths_source: Where these come from.
        baseline: The file of the accepted findings, or nothing.
        updates_baseline: Whether the run adds to it.
        reports: The reports to write.
    """

    mode: Mode
    ini_severities: Mapping[str, Severity]
    flag_severities: Mapping[str, Severity]
    postgres: PostgresSettings
    pool: PoolSettings
    flag_pool: Mapping[str, int]
    changed: tuple[str, ...]
    services: tuple[str, ...] = ()
    ini_ignores: tuple[str, ...] = ()
    ignore_paths: tuple[str, ...] = ()
    ignore_paths_source: Source = Source.DEFAULT
    baseline: str = ""
    updates_baseline: bool = False
    reports: tuple[Request, ...] = ()

    def severities(self, marks: Marks) -> Mapping[str, Severity]:
        """Resolve what each rule does under some markers.

        Args:
            marks: The markers.

        Returns:
            A severity for each rule that does not keep its default.
        """
        strict = self.mode is Mode.STRICT
        base = dict.fromkeys((rule.code for rule in RULES), Severity.ERROR) if strict else {}
        return {**base, **self.ini_severities, **marks.severities, **self.flag_severities}

    def tighten(self, marks: Marks) -> PoolSettings:
        """Resolve how tight an engine is under some markers.

        Args:
            marks: The markers.

        Returns:
            The settings of its pool.
        """
        return PoolSettings(**{**vars(self.pool), **marks.pool, **self.flag_pool})


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
    sources: dict[str, Source] = {}
    changed = []
    for option in OPTIONS:
        value, source = _resolve(config, option)
        values[option.name], sources[option.name] = value, source
        if value != option.default:
            changed.append(f"{option.name}={_show(option, value)} (from {source.value})")
    pool = {
        name: _count(values[option], name, sources[option])
        for name, option in ((name, f"sessionguard_{name}") for name in _LEAST)
    }
    try:
        postgres = PostgresSettings(
            door=values["sessionguard_postgres"], image=values["sessionguard_postgres_image"]
        )
    except PostgresSettingsError as error:
        raise SettingsError(str(error)) from None
    mode = _read_mode(values["sessionguard"], sources["sessionguard"])
    _check_update(mode, values["sessionguard_baseline"], values["sessionguard_update_baseline"])
    return Settings(
        mode=mode,
        ini_severities=_read_severities(config.getini, Source.INI),
        flag_severities=_read_severities(config.getoption, Source.COMMAND_LINE),
        postgres=postgres,
        pool=PoolSettings(**pool),
        flag_pool={n: pool[n] for n in _LEAST if config.getoption(f"sessionguard_{n}") is not None},
        changed=tuple(changed),
        services=_read_services(values["sessionguard_services"], sources["sessionguard_services"]),
        ini_ignores=list_names(config.getini("sessionguard_ignore") or ()),
        ignore_paths=_read_paths(
            values["sessionguard_ignore_paths"], sources["sessionguard_ignore_paths"]
        ),
        ignore_paths_source=sources["sessionguard_ignore_paths"],
        baseline=values["sessionguard_baseline"],
        updates_baseline=values["sessionguard_update_baseline"],
        reports=_read_reports(values["sessionguard_report"], sources["sessionguard_report"]),
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
    services: list[str] = []
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
        services += one.services
    return Marks(severities, pool, tuple(services))


def _find(names: str | Iterable[str], source: Source) -> list[str]:
    try:
        return find_rules(names)
    except UnknownRuleError as error:
        raise SettingsError(f"sessionguard: {error} (from {source.value})") from None


def _read_marker(
    *,
    ignore: str | Iterable[str] = (),
    warn: str | Iterable[str] = (),
    error: str | Iterable[str] = (),
    reason: str = "",
    off: bool = False,
    services: str | Iterable[str] = (),
    pool_size: int | None = None,
    max_overflow: int | None = None,
    pool_timeout: int | None = None,
) -> Marks:
    ignored = _find("all" if off else ignore, Source.MARKER)
    if ignored and not str(reason or "").strip():
        what = "off=True" if off else 'ignore="leaked-connection"'
        raise SettingsError(
            "sessionguard: a marker that ignores a rule needs a reason: "
            f'@pytest.mark.sessionguard({what}, reason="...")'
        )
    severities = dict.fromkeys(_find(error, Source.MARKER), Severity.ERROR)
    severities.update((code, Severity.WARN) for code in _find(warn, Source.MARKER))
    severities.update((code, Severity.OFF) for code in ignored)
    given = {"pool_size": pool_size, "max_overflow": max_overflow, "pool_timeout": pool_timeout}
    pool = {
        name: _count(value, name, Source.MARKER)
        for name, value in given.items()
        if value is not None
    }
    return Marks(severities, pool, _read_services(services, Source.MARKER))


def _read_services(patterns: str | Iterable[str], source: Source) -> tuple[str, ...]:
    try:
        return read_patterns(patterns)
    except PatternError as error:
        raise SettingsError(f"sessionguard_services: {error} (from {source.value})") from None


def _read_reports(values: Iterable[str], source: Source) -> tuple[Request, ...]:
    try:
        return read_requests(values)
    except RequestError as error:
        raise SettingsError(f"sessionguard_report: {error} (from {source.value})") from None


def _read_paths(patterns: Iterable[str], source: Source) -> tuple[str, ...]:
    try:
        return read_paths(patterns)
    except PathPatternError as error:
        raise SettingsError(f"sessionguard_ignore_paths: {error} (from {source.value})") from None


def _check_update(mode: Mode, baseline: str, update: bool) -> None:
    flag = "--sessionguard-update-baseline"
    if update and not baseline:
        raise SettingsError(
            f"{flag} needs a file: --sessionguard-baseline=sessionguard-baseline.jsonl, or "
            "sessionguard_baseline in pytest's settings."
        )
    if update and mode is Mode.OFF:
        raise SettingsError(f"{flag} records what is found, and sessionguard=off finds nothing.")


def _read_severities(get: Callable[[str], Any], source: Source) -> dict[str, Severity]:
    severities = {}
    for name, severity in (
        ("sessionguard_error", Severity.ERROR),
        ("sessionguard_warn", Severity.WARN),
        ("sessionguard_ignore", Severity.OFF),
    ):
        for code in _find(get(name) or (), source):
            severities[code] = severity
    return severities


def _resolve(config: Config, option: Option) -> tuple[Any, Source]:
    value = config.getoption(option.name)
    if value is not None:
        return (tuple(value) if option.kind == "args" else value), Source.COMMAND_LINE
    if option.no_ini:
        return option.default, Source.DEFAULT
    try:
        value = config.getini(option.name)
    except Exception as error:  # pytest's own check of the type, of what class it may be
        raise SettingsError(f"{option.name}: {error}") from None
    if option.kind == "args":
        value = tuple(value) if value else ()
    if value in (None, "", ()) or value == option.default:
        return option.default, Source.DEFAULT
    return value, Source.INI


def _read_mode(value: str, source: Source) -> Mode:
    try:
        return Mode(value)
    except ValueError:
        valid = ", ".join(mode.value for mode in Mode)
        near = get_close_matches(value, [mode.value for mode in Mode], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise SettingsError(
            f"sessionguard: no mode is named {value!r} (from {source.value}).{hint} "
            f"The modes are {valid}."
        ) from None


def _count(value: Any, name: str, source: Source) -> int:
    label = name if source is Source.MARKER else f"sessionguard_{name}"
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = None
    if number is None or isinstance(value, (bool, float)):
        raise SettingsError(f"{label} is a whole number, not {value!r} (from {source.value}).")
    if number < _LEAST[name]:
        raise SettingsError(
            f"{label} is {_LEAST[name]} or more, not {value!r} (from {source.value})."
        )
    return number


def _show(option: Option, value: Any) -> str:
    if option.kind == "args":
        return ",".join(list_names(value))
    if option.kind == "flag":
        return "yes"
    return "a given URL" if "://" in str(value) else str(value)
