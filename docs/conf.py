"""How the site is built: `sphinx-build -n -T -W docs docs/_build`."""

from __future__ import annotations

import sys
from importlib.metadata import version as read_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "pytest-sessionguard"
author = "the maintainers of pytest-sessionguard"
version = release = read_version(project)

extensions = ["myst_parser", "pages"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = project
html_show_sourcelink = False
html_show_copyright = False
# The schema has an address of its own: tools that read reports point at it.
html_extra_path = ["../pytest_sessionguard/report/document.schema.json"]
