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

# Gradients: the middles of a cube's twelve edges, four of them twice to make sixteen.
_EDGES = np.array(
    [
        [1, 1, 0], [-1, 1, 0], [1, -1, 0], [-1, -1, 0], [1, 0, 1], [-1, 0, 1], [1, 0, -1], [-1, 0, -1],
        [0, 1, 1], [0, -1, 1], [0, 1, -1], [0, -1, -1], [1, 1, 0], [-1, 1, 0], [0, -1, 1], [0, -1, -1],
    ],
    dtype=np.float32,
).T.copy()  # fmt: skip
_AXIS_FACTORS = (0x8DA6B343, 0xD8163841, 0xCB1AB31F)


def _axis_hashes(cell: Float[np.ndarray, "n 3"], steps: range) -> list[list[UInt32[np.ndarray, "n"]]]:
    """For each axis and each step, a number that depends on the lattice cell `cell + step` along that axis."""
    out = []
    for axis, factor in enumerate(_AXIS_FACTORS):
        product = cell[:, axis].astype(np.int64).astype(np.uint32) * np.uint32(factor)
        out.append([product + np.uint32(factor * step & 0xFFFFFFFF) for step in steps])
    return out


def _mix(h: UInt32[np.ndarray, "n"], seed: int) -> UInt32[np.ndarray, "n"]:
    """Well mixed bits of a combined hash."""
    h = h ^ np.uint32((seed * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def gradient_noise(points: Float[np.ndarray, "n 3"], seed: int = 0) -> Float[np.ndarray, "n"]:
    """Perlin noise of lattice spacing 1, roughly in [-1, 1], mean 0, zero on the lattice points."""
    cell = np.floor(points)
    x, y, z = (points - cell).astype(np.float32).T
    fades = [f * f * f * (f * (f * 6 - 15) + 10) for f in (x, y, z)]
    blends = [(1 - f, f) for f in fades]
    hx, hy, hz = _axis_hashes(cell, range(2))
    value = np.zeros(len(points), np.float32)
    for i in (0, 1):
        for j in (0, 1):
            pair, share = hx[i] ^ hy[j], blends[0][i] * blends[1][j]
            for k in (0, 1):
                pick = _mix(pair ^ hz[k], seed) & np.uint32(15)
                dot = _EDGES[0].take(pick) * (x - i) + _EDGES[1].take(pick) * (y - j) + _EDGES[2].take(pick) * (z - k)
                value += dot * share * blends[2][k]
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
    x, y, z = (points - cell).astype(np.float32).T
    first = np.full(len(points), 9.0, np.float32)
    second = first.copy()
    nearest = np.zeros(len(points), np.uint32)
    hx, hy, hz = _axis_hashes(cell, range(-1, 2))
    for index in range(27):
        i, j, k = index % 3, index // 3 % 3, index // 9
        h = _mix(hx[i] ^ hy[j] ^ hz[k], seed)
        # Ten bits of the hash for each coordinate of the feature point.
        dx, dy, dz = ((h >> np.uint32(s) & np.uint32(1023)).astype(np.float32) / 1024 for s in (0, 10, 20))
        distance = (dx + (i - 1) - x) ** 2 + (dy + (j - 1) - y) ** 2 + (dz + (k - 1) - z) ** 2
        nearer = distance < first
        second = np.where(nearer, first, np.minimum(second, distance))
        nearest = np.where(nearer, h, nearest)
        first = np.where(nearer, distance, first)
    label = (nearest >> np.uint32(7) & np.uint32(0xFFFF)).astype(np.float32) / 65536
    return np.sqrt(first), np.sqrt(second), label
