"""Packed frames, made when they are asked for and kept while there is room: long clips cost a bounded memory.

Does NOT know clients: the frames of one scene are shared by all of them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from recon4d.viewer.splats import Buffer

DEFAULT_BYTES = 512 * 1024 * 1024


class FrameCache:
    """The last used frames, up to so many bytes.

    Args:
        most_bytes: bound on what is kept; a single larger frame is made and given, but not kept.
    """

    def __init__(self, most_bytes: int = DEFAULT_BYTES) -> None:
        self.most_bytes = most_bytes
        self.bytes = 0
        self._frames: OrderedDict[Hashable, Buffer] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Buffer]) -> Buffer:
        """The frame of that key, made by `make` where it is not there.  Two threads may make the same one."""
        with self._lock:
            known = self._frames.get(key)
            if known is not None:
                self._frames.move_to_end(key)
                return known
        made = make()
        made.flags.writeable = False
        with self._lock:
            if key not in self._frames and made.nbytes <= self.most_bytes:
                self._frames[key] = made
                self.bytes += made.nbytes
                while self.bytes > self.most_bytes:
                    self.bytes -= self._frames.popitem(last=False)[1].nbytes
        return made

    def clear(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._frames.clear()
            self.bytes = 0

    def __len__(self) -> int:
        """Number of frames that are kept."""
        return len(self._frames)
