"""The catalogue: one file a rule, and the explicit tuple of all."""

from __future__ import annotations

from pytest_sessionguard.rules import (
    attached_result,
    connection_across_loops,
    connection_left_to_gc,
    detached_access,
    instance_in_background_task,
    lazy_load,
    leaked_connection,
    masked_lazy_load,
    missing_greenlet,
    n_plus_one,
    nested_checkout,
    open_server_transaction,
    session_in_background_task,
    session_shared_between_tasks,
    session_used_after_close,
    unclosed_session,
    uncommitted_changes,
    undisposed_engine,
    unloaded_result,
)
from pytest_sessionguard.rules.base import Render, Rule, Verdict

__all__ = ["RULES", "Render", "Rule", "Verdict"]

# In the order in which they may tell a thing: a hand-over explains why two met in a session, or why
# one began again in a task, two in a session and a session that began again explain the connection
# it lost, a connection that is out or a result that is attached explains the session that was never
# closed, and loads for many objects say more than each of them.
RULES: tuple[Rule, ...] = (
    session_in_background_task.RULE,
    session_shared_between_tasks.RULE,
    session_used_after_close.RULE,
    leaked_connection.RULE,
    connection_left_to_gc.RULE,
    connection_across_loops.RULE,
    nested_checkout.RULE,
    open_server_transaction.RULE,
    undisposed_engine.RULE,
    attached_result.RULE,
    unclosed_session.RULE,
    uncommitted_changes.RULE,
    unloaded_result.RULE,
    instance_in_background_task.RULE,
    detached_access.RULE,
    missing_greenlet.RULE,
    n_plus_one.RULE,
    lazy_load.RULE,
    masked_lazy_load.RULE,
)
