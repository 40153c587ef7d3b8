"""Where a session is made, as seen from outside of its own class."""

from __future__ import annotations

import sys
from types import FrameType

from sqlalchemy.orm import Session

from pytest_sessionguard.callsite import Trace, walk
from pytest_sessionguard.files import EDGE, USER, kind_of


def leave_class(trace: Trace, frame: FrameType | None) -> Trace:
    """Leave out the ``__init__`` of a session's class.

    That of a repository or a service, which makes a session, is the place to show.

    Args:
        trace: Where the session was made, innermost an ``__init__`` of the user's.
        frame: The innermost frame.

    Returns:
        Where that was called; the trace as it is where it is none of a session's class.
    """
    outside = None
    while frame is not None:
        kind = kind_of(frame.f_code)
        if kind == EDGE:
            break
        if kind == USER:
            if not _is_of_session(frame):
                break
            outside = frame.f_back
        frame = frame.f_back
    return trace if outside is None else walk(outside, doors=trace.doors)


def _is_of_session(frame: FrameType) -> bool:
    code = frame.f_code
    if code.co_name != "__init__" or not code.co_argcount:
        return False
    module = sys.modules.get("sqlalchemy.ext.asyncio.session")
    classes = (Session, getattr(module, "AsyncSession", Session))
    return isinstance(frame.f_locals.get(code.co_varnames[0]), classes)
