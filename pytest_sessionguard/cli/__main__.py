"""`python -m pytest_sessionguard.cli`, for where the script is not on the path."""

from __future__ import annotations

import sys

from pytest_sessionguard.cli import main

sys.exit(main())
