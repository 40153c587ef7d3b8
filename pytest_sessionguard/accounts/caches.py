"""What a cache keeps: whoever asks it for a session gets the one that it gave before."""

from __future__ import annotations

import functools
import gc
from typing import Any

_CACHE: type = type(functools.lru_cache(bool))


def is_cached(thing: Any) -> bool:
    """Tell whether a function with ``functools.lru_cache`` keeps an object, or what stands for it.

    It looks through everything that the collector knows, so ask only where something is told.

    Args:
        thing: A session, or None where it is gone.

    Returns:
        Whether a cache holds it, or the async session in front of it.
    """
    if thing is None:
        return False
    holders = gc.get_referrers(thing)
    # On Python 3.10 the attributes of an object stand in a dictionary between.
    for space in [holder for holder in holders if type(holder) is dict]:
        holders += gc.get_referrers(space)
    fronts = [holder for holder in holders if _is_async_session(holder)]
    return any(_is_in_cache(kept) for kept in (thing, *fronts))


def _is_in_cache(thing: Any) -> bool:
    holders = gc.get_referrers(thing)
    # A cache without a limit is a dictionary.
    for space in [holder for holder in holders if type(holder) is dict]:
        holders += gc.get_referrers(space)
    return any(type(holder) is _CACHE for holder in holders)


def _is_async_session(thing: Any) -> bool:
    return any(base.__module__ == "sqlalchemy.ext.asyncio.session" for base in type(thing).__mro__)
