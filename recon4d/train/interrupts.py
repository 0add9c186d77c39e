"""Ctrl-C in long work: held back to a place where nothing is lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Hold the first Ctrl-C back; a second one ends the block at once.

    Python would raise KeyboardInterrupt between any two instructions, in the middle of a step, whose half-changed state
    must not be kept.  Signals of threads other than the main one, and of programs with a handler of their own, are left
    as they are.

    Yields:
        Whether Ctrl-C was pressed: to be asked after every step.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: False
        return
    pressed = [False]

    def hold(number: int, frame: FrameType | None) -> None:
        if pressed[0]:
            raise KeyboardInterrupt
        pressed[0] = True

    signal.signal(signal.SIGINT, hold)
    try:
        yield lambda: pressed[0]
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
