"""How the C library keeps memory, where it is glibc; elsewhere nothing happens.

It reuses what was freed, but in holes between what stays: a program that makes large arrays of ever other sizes keeps
two or three times of what it needs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress

_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # Names of mallopt, from malloc.h.
_LARGE = 32 * 1024  # Bytes: a property of a few thousand surfels, of which hundreds come and go.
_ARENAS = 2


def return_freed_memory() -> None:
    """Give the system back what was made on the way and dropped."""
    _if_possible(lambda library: library.malloc_trim(0))


def keep_little_memory() -> None:
    """Give every large array back as soon as it is dropped, and let threads share their small change.

    For programs that run for hours in many threads.  Arrays take a little more time to make then: a third more CPU for
    a frame of 50,000 splats.
    """
    _if_possible(lambda library: library.mallopt(_MMAP_THRESHOLD, _LARGE))
    _if_possible(lambda library: library.mallopt(_ARENA_MAX, _ARENAS))


def _if_possible(action: Callable[[ctypes.CDLL], object]) -> None:
    # Libraries other than glibc do not have these calls.
    with suppress(AttributeError, OSError, TypeError):
        action(ctypes.CDLL(None))
