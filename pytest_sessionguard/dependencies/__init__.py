"""Driving a dependency to each of its ends, and seeing what it leaves open.

It knows no framework: a dependency is a callable that yields, as a generator or as a context
manager, or that returns.
"""

from pytest_sessionguard.dependencies.check import Check
from pytest_sessionguard.dependencies.ways import Failure, NoSessionError, Way

__all__ = ["Check", "Failure", "NoSessionError", "Way"]
