"""How much all browsers together may be sending: bytes that were declared and are not yet dealt with.

What a transfer declares counts from its start until the file has been read, or the browser is gone: so many bytes the
viewer may have to hold at once.  A transfer that does not come along is given up, so that nobody can hold all of it.

Does NOT see messages (`gate` does) or files (`uploads` does).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

MAX_ALL = 512 * 1024 * 1024  # bytes of all browsers
PATIENCE = 60.0  # seconds in which nothing need come
SLOWEST = 32 * 1024  # bytes a second, beyond that


class Transfers:
    """The account of one server.

    Args:
        limit: bytes.
        clock: seconds that pass.
    """

    def __init__(self, limit: int = MAX_ALL, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit, self.clock = limit, clock
        self._held: dict[Hashable, int] = {}
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Bytes that are declared and not dealt with."""
        with self._lock:
            return sum(self._held.values())

    def take(self, key: Hashable, size: int) -> bool:
        """Count bytes for a control that takes files; false where they are too many."""
        with self._lock:
            if sum(self._held.values()) + size > self.limit:
                return False
            self._held[key] = self._held.get(key, 0) + size
            return True

    def give(self, key: Hashable, size: int) -> None:
        """Bytes have been dealt with."""
        with self._lock:
            left = self._held.pop(key, 0) - size
            if left > 0:
                self._held[key] = left

    def forget(self, key: Hashable) -> None:
        """All of a control has been dealt with: its browser is gone."""
        with self._lock:
            self._held.pop(key, None)


def deadline(begun: float, received: int) -> float:
    """When a transfer is given up, unless more has come until then.

    Args:
        begun: seconds of the clock at its start.
        received: bytes.
    """
    return begun + PATIENCE + received / SLOWEST
