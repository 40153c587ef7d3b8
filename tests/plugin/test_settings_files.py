"""Every option in every place where pytest reads settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from harness import APP

from pytest_sessionguard.options import OPTIONS

FILE = "sessionguard-baseline.jsonl"
# Each ini option: a value, and how the header shows it.
VALUES: dict[str, tuple[Any, str]] = {
    "sessionguard": ("warn", "warn"),
    "sessionguard_error": (["SG201", "lazy-load"], "SG201,lazy-load"),
    "sessionguard_warn": (["SG1"], "SG1"),
    "sessionguard_ignore": (["SG101", "SG2"], "SG101,SG2"),
    "sessionguard_ignore_paths": (["factories/*", "*/vendor"], "factories/*,*/vendor"),
    "sessionguard_baseline": (FILE, FILE),
    "sessionguard_report": (["markdown:a.md", "json"], "markdown:a.md,json"),
    "sessionguard_services": (["app.services.*", "app"], "app.services.*,app"),
    "sessionguard_postgres": ("path", "path"),
    "sessionguard_postgres_image": ("postgres:16", "postgres:16"),
    "sessionguard_pool_size": (3, "3"),
    "sessionguard_max_overflow": (1, "1"),
    "sessionguard_pool_timeout": (5, "5"),
}
NAMES = [option.name for option in OPTIONS if not option.no_ini]
SUITE = {
    "app.py": APP,
    "test_x.py": "from app import fine\ndef test_fine():\n    fine()\n",
    FILE: '{"sessionguard": "baseline", "version": 1}\n',
}


def test_every_option_is_tried() -> None:
    """The table above has every option that an ini file may hold."""
    assert set(NAMES) <= set(VALUES)


def write_toml(name: str, table: str, *, native: bool) -> str:
    value, _ = VALUES[name]
    if not native:
        value = " ".join(value) if isinstance(value, list) else value
    return f"[tool.{table}]\n{name} = {json.dumps(value)}\n"


def write_ini(name: str) -> str:
    value, _ = VALUES[name]
    return f"[pytest]\n{name} = {' '.join(value) if isinstance(value, list) else value}\n"


def check(run: Any, name: str, source: str) -> None:
    assert run.exit == 0, run.text
    assert run.header == f"sessionguard: {name}={VALUES[name][1]} (from {source})"


@pytest.mark.parametrize("name", NAMES)
def test_native_toml(project, name):
    """pytest 9's `[tool.pytest]` holds lists and numbers as such."""
    if pytest.version_tuple < (9, 0):
        pytest.skip("native TOML came with pytest 9")
    toml = write_toml(name, "pytest", native=True)
    check(project({**SUITE, "pyproject.toml": toml}).run(), name, "ini")


@pytest.mark.parametrize("name", NAMES)
def test_ini_options(project, name):
    """`[tool.pytest.ini_options]` holds texts, and lists as texts."""
    toml = write_toml(name, "pytest.ini_options", native=False)
    check(project({**SUITE, "pyproject.toml": toml}).run(), name, "ini")


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(VALUES[name][0], list)])
def test_lists_of_ini_options(project, name):
    """It may hold lists as well."""
    toml = write_toml(name, "pytest.ini_options", native=True)
    check(project({**SUITE, "pyproject.toml": toml}).run(), name, "ini")


@pytest.mark.parametrize("name", NAMES)
def test_ini_file(project, name):
    """So does `pytest.ini`."""
    check(project({**SUITE, "pytest.ini": write_ini(name)}).run(), name, "ini")


@pytest.mark.parametrize("name", NAMES)
def test_command_line(project, name):
    """Each has its flag, which beats the file."""
    value, _ = VALUES[name]
    flag = "--" + name.replace("_", "-")
    flags = [f"{flag}={one}" for one in (value if isinstance(value, list) else [value])]
    check(project(SUITE).run(*flags), name, "command line")


def test_update_has_no_twin(project):
    """What one does once is refused in a file, as any setting that is none."""
    ini = "[pytest]\nsessionguard_update_baseline = true\n"
    run = project({**SUITE, "pytest.ini": ini}).run("--strict-config")
    assert run.exit != 0
    assert "sessionguard_update_baseline" in run.text
