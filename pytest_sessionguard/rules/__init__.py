"""The catalogue: one file a rule, and the explicit tuple of all."""

from __future__ import annotations

from pytest_sessionguard.rules import (
    connection_across_loops,
    connection_left_to_gc,
    leaked_connection,
    session_used_after_close,
    unclosed_session,
)
from pytest_sessionguard.rules.base import Render, Rule, Verdict

__all__ = ["RULES", "Render", "Rule", "Verdict"]

# In the order in which they may tell a thing: a session that began again explains the connection
# it lost, and a connection that is out explains the session that was never closed.
RULES: tuple[Rule, ...] = (
    session_used_after_close.RULE,
    leaked_connection.RULE,
    connection_left_to_gc.RULE,
    connection_across_loops.RULE,
    unclosed_session.RULE,
)
