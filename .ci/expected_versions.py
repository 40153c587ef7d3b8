"""Fails where an environment of tox.ini has other versions than its name promises."""

import os
import sys
from importlib.metadata import version

for package in ("pytest", "sqlalchemy"):
    expected = os.environ.get(f"EXPECTED_{package.upper()}", "")
    if not version(package).startswith(expected):
        sys.exit(f"expected {package} {expected}, found {version(package)}")
