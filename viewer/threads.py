"""Threads of the viewer, all of which have ended when the process does.

A daemon thread that is inside torch while the interpreter shuts down aborts the process ("terminate called without an
active exception"), so what was rendered well would end with an error.  Threads begun here are asked to stop and waited
for before that.

Does NOT know what the threads do.
"""

from __future__ import annotations

import atexit
import threading
import time
from collections.abc import Callable
from typing import Any

_PATIENCE = 20.0  # seconds that all threads together have to end

_running: dict[threading.Thread, Callable[[], None] | None] = {}
_lock = threading.Lock()


def begin(
    target: Callable[..., Any], *args: Any, name: str | None = None, stop: Callable[[], None] | None = None
) -> threading.Thread:
    """Run a function in a thread of its own.

    Args:
        target: the function.
        args: its arguments.
        name: of the thread.
        stop: asks the function to return soon, for those that go on for long; safe to be called twice, from any thread.
    """

    def run() -> None:
        try:
            target(*args)
        finally:
            with _lock:
                _running.pop(thread, None)

    thread = threading.Thread(target=run, name=name, daemon=True)
    with _lock:
        _running[thread] = stop
    thread.start()
    return thread


def running() -> list[str]:
    """Names of the threads that have not ended."""
    with _lock:
        return [thread.name for thread in _running]


def end_all(seconds: float = _PATIENCE) -> bool:
    """Ask all threads to stop and wait for them; whether all have ended."""
    deadline = time.monotonic() + seconds
    with _lock:
        asked = list(_running.items())
    for _, stop in asked:
        if stop is not None:
            stop()
    for thread, _ in asked:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread, _ in asked)


atexit.register(end_all)
