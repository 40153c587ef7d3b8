"""Every setting that there is: its flag, its ini twin, its default and its help."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pytest_sessionguard.postgres.settings import PostgresSettings
from pytest_sessionguard.report.forms import FORMS


class Mode(str, Enum):
    """What the guard does with an error finding."""

    FAIL = "fail"
    STRICT = "strict"
    WARN = "warn"
    OFF = "off"

    @property
    def fails(self) -> bool:
        """Tell whether an error fails its test."""
        return self in (Mode.FAIL, Mode.STRICT)


@dataclass(frozen=True)
class Option:
    """One setting with its flag and its ini twin.

    Attributes:
        name: The ini's name; the flag is made of it.
        default: Its value where nobody sets it.
        help: What it does.
        kind: ``string``, ``args``, ``int`` or ``flag``, which takes no value.
        metavar: What the flag takes.
        no_ini: Why it has no ini twin, where it has none.
    """

    name: str
    default: Any
    help: str
    kind: str = "string"
    metavar: str = "VALUE"
    no_ini: str = ""

    @property
    def flag(self) -> str:
        """Return the flag of the command line."""
        return "--" + self.name.replace("_", "-")


OPTIONS = (
    Option(
        "sessionguard",
        Mode.FAIL.value,
        "What an error finding does: fail the test, warn in the summary, or off: see nothing; "
        "strict makes every rule an error.",
        metavar="fail|strict|warn|off",
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
    Option("sessionguard_ignore", (), "Rules that are off.", kind="args", metavar="RULES"),
    Option(
        "sessionguard_ignore_paths",
        (),
        "Paths (such as tests/factories/*) where what is found is meant, and not told.",
        kind="args",
        metavar="PATHS",
    ),
    Option(
        "sessionguard_baseline",
        "",
        "The file that lists the findings a suite accepts, relative to the rootdir.",
        metavar="FILE",
    ),
    Option(
        "sessionguard_update_baseline",
        False,
        "Add what this run finds to the baseline, and fail nothing for it.",
        kind="flag",
        no_ini="It is something one does, not something that holds: in an ini file every run would "
        "accept whatever it finds.",
    ),
    Option(
        "sessionguard_services",
        (),
        "Modules (such as app.services.*) whose functions are checked when they return.",
        kind="args",
        metavar="MODULES",
    ),
    Option(
        "sessionguard_report",
        (),
        f"Reports to write, with :PATH to another file: {', '.join(f.name for f in FORMS)}.",
        kind="args",
        metavar="FORM[:PATH]",
    ),
    Option(
        "sessionguard_explain",
        None,
        "Explain rules instead of running tests.",
        metavar="RULES",
        no_ini="A suite whose settings ask for an explanation would never run.",
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
    Option("sessionguard_max_overflow", 0, "Their max_overflow.", kind="int", metavar="N"),
    Option(
        "sessionguard_pool_timeout",
        2,
        "Their pool_timeout in seconds.",
        kind="int",
        metavar="SECONDS",
    ),
)

MARKER = (
    'sessionguard(*, ignore="", warn="", error="", reason="", off=False, services="", '
    "pool_size=None, max_overflow=None, pool_timeout=None): set what sessionguard's rules do in a "
    "test (`ignore` and `off` need a reason), which modules' functions are checked when they "
    "return, and how tight its engine fixtures are. On a module it holds for its fixtures too."
)
