"""Repeatable solid noise: functions of a point in space, used to paint surfaces.

Every function takes points [N, 3] and is a pure function of the points and an integer seed: the same on every machine
and for any number of threads.  Because the point is taken in the rest pose, a pattern made here sticks to a moving
surface.

Knows nothing of meshes, colours or time.  Lattice gradient noise follows K. Perlin, "Improving Noise" (2002); cellular
noise follows S. Worley, "A Cellular Texture Basis Function" (1996).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt32

_EDGES = np.array(
    [
        [1, 1, 0], [-1, 1, 0], [1, -1, 0], [-1, -1, 0], [1, 0, 1], [-1, 0, 1], [1, 0, -1], [-1, 0, -1],
        [0, 1, 1], [0, -1, 1], [0, 1, -1], [0, -1, -1], [1, 1, 0], [-1, 1, 0], [0, -1, 1], [0, -1, -1],
    ],
    dtype=np.float32,
)  # fmt: skip


def _hash(cell: np.ndarray, seed: int) -> UInt32[np.ndarray, "..."]:
    """Well mixed 32-bit hash of integer lattice cells [..., 3]."""
    c = cell.astype(np.int64).astype(np.uint32)
    h = c[..., 0] * np.uint32(0x8DA6B343) ^ c[..., 1] * np.uint32(0xD8163841) ^ c[..., 2] * np.uint32(0xCB1AB31F)
    h = h ^ np.uint32((seed * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    return h ^ (h >> np.uint32(16))


def gradient_noise(points: Float[np.ndarray, "n 3"], seed: int = 0) -> Float[np.ndarray, "n"]:
    """Perlin noise of lattice spacing 1, roughly in [-1, 1], mean 0, zero on the lattice points."""
    cell = np.floor(points)
    f = (points - cell).astype(np.float32)
    fade = f * f * f * (f * (f * 6 - 15) + 10)
    value = np.zeros(len(points), np.float32)
    for corner in range(8):
        offset = np.array([corner & 1, corner >> 1 & 1, corner >> 2 & 1], np.float32)
        gradient = _EDGES[_hash(cell + offset, seed) & np.uint32(15)]
        toward = f - offset
        dot = gradient[:, 0] * toward[:, 0] + gradient[:, 1] * toward[:, 1] + gradient[:, 2] * toward[:, 2]
        blend = np.where(offset > 0, fade, 1 - fade)
        value += dot * blend[:, 0] * blend[:, 1] * blend[:, 2]
    return value


def fractal_noise(
    points: Float[np.ndarray, "n 3"], octaves: int = 5, seed: int = 0, gain: float = 0.5
) -> Float[np.ndarray, "n"]:
    """Sum of `octaves` gradient noises, each twice as fine and `gain` as strong as the last; roughly in [-1, 1]."""
    value = np.zeros(len(points), np.float32)
    amplitude, total, p = 1.0, 0.0, np.asarray(points)
    for octave in range(octaves):
        value += amplitude * gradient_noise(p, seed + 101 * octave)
        total += amplitude
        amplitude *= gain
        # 2.03 and the shift keep the zeros of the octaves' lattices apart.
        p = p * 2.03 + 17.31
    return value / total


def cell_noise(
    points: Float[np.ndarray, "n 3"], seed: int = 0
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Distances to the nearest and second-nearest feature point, and the nearest one's own random number in [0, 1)."""
    cell = np.floor(points)
    f = (points - cell).astype(np.float32)
    first = np.full(len(points), 9.0, np.float32)
    second = first.copy()
    label = np.zeros(len(points), np.float32)
    for index in range(27):
        offset = np.array([index % 3 - 1, index // 3 % 3 - 1, index // 9 - 1], np.float32)
        h = _hash(cell + offset, seed)
        jitter = np.stack([(h >> np.uint32(s) & np.uint32(1023)).astype(np.float32) / 1024 for s in (0, 10, 20)], -1)
        away = offset + jitter - f
        distance = np.sqrt(away[:, 0] ** 2 + away[:, 1] ** 2 + away[:, 2] ** 2)
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        label = np.where(nearer, (h >> np.uint32(7) & np.uint32(0xFFFF)).astype(np.float32) / 65536, label)
        first = np.where(nearer, distance, first)
    return first, second, label
