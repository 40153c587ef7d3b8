"""Service functions: what is checked when the outermost of them returns."""

from __future__ import annotations

from pytest_sessionguard.boundary.boundary import Boundary, Call
from pytest_sessionguard.boundary.patterns import PatternError, read_patterns
from pytest_sessionguard.boundary.services import Services, Subscription

__all__ = [
    "Boundary",
    "Call",
    "PatternError",
    "Services",
    "Subscription",
    "read_patterns",
]
