"""A way to swallow an exception that Python 3.14 warns of (PEP 765)."""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

from typing import Any


def swallowed_by_finally(author: Any) -> None:
    try:
        author.posts  # read
    finally:
        return  # noqa: B012
