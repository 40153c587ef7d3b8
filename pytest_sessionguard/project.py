"""The project's own code where it is installed, as tox and nox do it: it is the user's as well."""

from __future__ import annotations

import os
import sys
from configparser import ConfigParser, Error
from importlib import import_module
from importlib.metadata import distribution
from typing import Any


def find_installed(root: str) -> dict[str, str]:
    """Find the files of the project that stand in site-packages.

    Args:
        root: The folder of the project.

    Returns:
        Their paths, each with that of its source below the root; where there is none, with its
        path below site-packages. Nothing of an editable installation, whose files are the sources.
    """
    try:
        name = _read_name(root)
        files = distribution(name).files if name else None
    except Exception:  # it is not installed, or cannot be read: a test may have another `open`
        return {}
    found = {}
    for file in files or ():
        if file.suffix == ".py" and ".." not in file.parts:
            path = os.path.normpath(str(file.locate())).replace("\\", "/")
            found[path] = _find_source(root, str(file))
    return found


def _find_source(root: str, file: str) -> str:
    for folder in ("src", ""):
        source = os.path.join(root, folder, file)
        if os.path.isfile(source):
            return source
    return file


def _read_name(root: str) -> str:
    """Read under which name the project is installed."""
    settings = _read_toml(os.path.join(root, "pyproject.toml"))
    for path in (("project", "name"), ("tool", "poetry", "name")):
        value: Any = settings
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, str):
            return value
    config = ConfigParser(interpolation=None)
    try:
        config.read(os.path.join(root, "setup.cfg"), encoding="utf-8")
        return config.get("metadata", "name", fallback="")
    except (Error, OSError, UnicodeDecodeError):
        return ""


def _read_toml(path: str) -> dict[str, Any]:
    # pytest brings the second one.
    load = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").load
    try:
        with open(path, "rb") as file:
            return dict(load(file))
    except (OSError, ValueError):
        return {}
