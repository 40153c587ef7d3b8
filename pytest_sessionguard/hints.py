"""What is added to exceptions of SQLAlchemy: what they leave out."""

from __future__ import annotations

from pytest_sessionguard.accounts import Fault
from pytest_sessionguard.rules import Render
from pytest_sessionguard.rules.mends import name_mend, name_state


def explain_fault(fault: Fault, render: Render) -> list[str]:
    """Say what the exception of a fault does not tell.

    Args:
        fault: What is known of it.
        render: Turns a trace into a call site.

    Returns:
        A few lines.
    """
    lines = [f"sessionguard: {fault.attribute} {name_state(fault.kind)}"]
    if fault.origin is not None:
        lines.append(f"  - its object was loaded at {render(fault.origin)}")
    session = fault.session
    if session is not None and session.trace is not None:
        line = f"  - by the {session.kind} opened at {render(session.trace)}"
        ended = session.detached[0] if session.detached else session.ended
        closed = f", closed at {render(ended)}" if ended else ""
        lines.append(line + closed)
    lines.append(f"  - to mend it, {name_mend(fault.attribute, fault.kind)}")
    return lines
