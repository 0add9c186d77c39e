"""Numbers in few bits, laid out so that they compress well.

Every function gives the bytes of the file and the values that a reader gets back from them, so that the loss can be
measured.  Values of more than one byte are stored as planes: all high bytes, then all low bytes.  Does NOT compress,
and knows nothing of scenes.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, UInt8

_HALF_ROOT = math.sqrt(0.5)  # no component of a unit quaternion but its largest is beyond it
_TURN_STEPS = 1023


def planes(values: np.ndarray) -> bytes:
    """Unsigned integers, flattened in their order: all highest bytes first, all lowest last."""
    size = values.dtype.itemsize
    big_endian = np.ascontiguousarray(values.reshape(-1)).astype(f">u{size}")
    return big_endian.view(np.uint8).reshape(-1, size).T.tobytes()


def in_range(
    values: Float[np.ndarray, "..."], low: np.ndarray | float, high: np.ndarray | float, bits: int
) -> tuple[bytes, Float[np.ndarray, "..."]]:
    """Even steps from `low` to `high` (which broadcast); 8 or 16 bits; in the order of the transposed array.

    Transposed, so that every column of [N, C] values is a stretch of its own.
    """
    steps = (1 << bits) - 1
    low, span = np.asarray(low, np.float64), np.asarray(high, np.float64) - low
    safe = np.where(span > 0, span, 1.0)
    levels = np.rint((values - low) / safe * steps).clip(0, steps)
    stored = levels.astype(np.uint8 if bits == 8 else np.uint16)
    return planes(stored.T), low + levels / steps * span


def signed(values: Float[np.ndarray, "n c"], limit: float, bits: int) -> tuple[bytes, Float[np.ndarray, "n c"]]:
    """Even steps from -limit to limit with zero among them, stored above a half-way offset; transposed."""
    most = (1 << (bits - 1)) - 1
    step = limit / most if limit > 0 else 1.0
    levels = np.rint(values / step).clip(-most, most)
    stored = (levels + most + 1).astype(np.uint8 if bits == 8 else np.uint16)
    return planes(stored.T), levels * step


def turns(rotations_xyzw: Float[np.ndarray, "n 4"]) -> tuple[bytes, Float[np.ndarray, "n 4"]]:
    """Unit quaternions in 32 bits: which component is largest, and the other three in 10 bits each.

    The sign is free, so the largest is taken as positive and follows from the others. Off by a quarter of a degree at
    most.
    """
    rows = np.arange(len(rotations_xyzw))
    largest = np.abs(rotations_xyzw).argmax(1)
    upright = largest_positive(rotations_xyzw)
    others = np.stack([(largest + i) % 4 for i in (1, 2, 3)], 1)
    three = np.take_along_axis(upright, others, 1)
    levels = np.rint((three / _HALF_ROOT + 1) / 2 * _TURN_STEPS).clip(0, _TURN_STEPS)
    packed = largest.astype(np.uint32) << 30
    for i, shift in enumerate((20, 10, 0)):
        packed |= levels[:, i].astype(np.uint32) << shift
    back = np.empty_like(upright)
    read = (levels / _TURN_STEPS * 2 - 1) * _HALF_ROOT
    np.put_along_axis(back, others, read, 1)
    back[rows, largest] = np.sqrt(np.maximum(1 - np.square(read).sum(1), 0))
    return planes(packed), back


def largest_positive(rotations: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """Of the two quaternions of each rotation, the one whose largest component is positive."""
    largest = np.abs(rotations).argmax(1, keepdims=True)
    return rotations * np.where(np.take_along_axis(rotations, largest, 1) < 0, -1.0, 1.0)


def along_a_curve(centers: Float[np.ndarray, "n 3"]) -> np.ndarray:
    """Order [N] in which near points are near each other (Morton 1966): neighbours are alike, which compresses."""
    low, high = centers.min(0), centers.max(0)
    span = np.maximum(high - low, 1e-30)
    cells = ((centers - low) / span * 1023).astype(np.uint64)
    code = np.zeros(len(centers), np.uint64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cells[:, axis] >> np.uint64(bit)) & np.uint64(1)) << np.uint64(3 * bit + axis)
    return np.argsort(code, kind="stable")


def bytes_of(values: UInt8[np.ndarray, "n c"]) -> bytes:
    """Bytes [N, C], column after column."""
    return np.ascontiguousarray(values.T).tobytes()
