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
    WARN = "warn"
    OFF = "off"


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
    Option("sessionguard_ignore", (), "Rules that are off.", kind="args", metavar="RULES"),
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

# It has no ini twin: a suite whose settings ask for it would never run.
EXPLAIN = Option(
    "sessionguard_explain",
    None,
    "Explain rules instead of running tests.",
    metavar="RULES",
)

MARKER = (
    'sessionguard(*, ignore="", warn="", error="", reason="", off=False, services="", '
    "pool_size=None, max_overflow=None, pool_timeout=None): set what sessionguard's rules do in a "
    "test (`ignore` and `off` need a reason), which modules' functions are checked when they "
    "return, and how tight its engine fixtures are. On a module it holds for its fixtures too."
)
