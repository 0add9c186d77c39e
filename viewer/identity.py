"""Short names for objects that never change: equal for the same object, different for all others ever seen.

`id()` would be given again to another object when the first is gone.
"""

from __future__ import annotations

import itertools
import threading
import weakref

_names: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
_next = itertools.count()
_lock = threading.Lock()


def identity(value: object) -> int:
    """The number of an object."""
    with _lock:
        known = _names.get(value)
        if known is None:
            known = _names[value] = next(_next)
        return known
