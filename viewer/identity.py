"""Short names for objects that never change: equal for the same object, different for all others ever seen.

`id()` would be given again to another object when the first is gone; and dictionaries of weak references compare their
keys, which tensors do element by element.
"""

from __future__ import annotations

import itertools
import threading
import weakref

_names: dict[int, tuple[weakref.ref[object], int]] = {}
_next = itertools.count()
_lock = threading.RLock()


def identity(value: object) -> int:
    """The number of an object."""
    place = id(value)
    with _lock:
        known = _names.get(place)
        if known is not None and known[0]() is value:
            return known[1]
        name = next(_next)
        _names[place] = (weakref.ref(value, lambda gone: _forget(place, gone)), name)
        return name


def _forget(place: int, gone: weakref.ref[object]) -> None:
    with _lock:
        if place in _names and _names[place][0] is gone:
            del _names[place]
