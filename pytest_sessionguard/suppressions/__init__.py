"""What the user says is meant: at a place, by a comment or a pattern of paths, or by a rule's name.

A suppression has one life: it is known, and it is used or not. What is known and was not used in a
whole run suppresses nothing any more, and is told.
"""

from __future__ import annotations

from pytest_sessionguard.suppressions.paths import PathPatternError, read_paths
from pytest_sessionguard.suppressions.record import Kind, Record, Suppression
from pytest_sessionguard.suppressions.sieve import Sieve

__all__ = ["Kind", "PathPatternError", "Record", "Sieve", "Suppression", "read_paths"]
