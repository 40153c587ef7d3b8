"""The machine's clock, also while a test has stopped it, or put something else in its place."""

from __future__ import annotations

import time


class Clock:
    """The functions of `time` as they were when the plugin was loaded.

    In a class, since freezegun looks for them in every module (``freezegun.api._freeze_time``).
    """

    monotonic = staticmethod(time.monotonic)
    perf_counter = staticmethod(time.perf_counter)
    _sleep = staticmethod(time.sleep)
    # time-machine moves this one all the same: a test is not the time to ask it.
    time = staticmethod(time.time)  # the last: from here on the name is another one

    @classmethod
    def sleep(cls, seconds: float) -> None:
        """Sleep, and let others run where threads are greenlets of gevent or eventlet."""
        package = str(getattr(time.sleep, "__module__", "")).partition(".")[0]
        sleep = time.sleep if package in ("gevent", "eventlet") else cls._sleep
        sleep(seconds)
