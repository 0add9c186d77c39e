"""A jellyfish: a bell that squeezes and lets go, frilly arms, trailing tentacles.  No skeleton explains its motion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from recon4d.synthetic import paint
from recon4d.synthetic.creature import Creature
from recon4d.synthetic.noise import cell_noise, fractal_noise
from recon4d.synthetic.shapes import Shape, carve, ellipsoid, rope, union
from recon4d.synthetic.surface import mesh_shape

_DURATION = 4.0
_PULSE = 2.0  # seconds between two squeezes
_RIM = 0.16  # height of the bell's rim
_APEX = 0.74


def jelly(detail: float = 1.0) -> Creature:
    """The jellyfish; see `creature` for `detail`."""
    vertices, faces = mesh_shape(_shape(), (-0.74, -0.74, -0.94), (0.74, 0.74, 0.82), 0.0215 / detail)
    return Creature("jelly", vertices, faces, _paint, _DURATION, loops=True, deform=_deform)


def _shape() -> Shape:
    outer = ellipsoid((0, 0, 0.24), (0.60, 0.60, 0.50))
    inner = ellipsoid((0, 0, 0.13), (0.535, 0.535, 0.46))

    def lobed(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        # Sixteen lobes along the rim, deep at the rim and gone towards the top.
        angle = np.arctan2(p[:, 1], p[:, 0])
        depth = np.clip((0.55 - p[:, 2]) / 0.45, 0, 1) ** 2
        return outer(p) - 0.028 * depth * np.cos(16 * angle)

    def below(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        angle = np.arctan2(p[:, 1], p[:, 0])
        return p[:, 2] - _RIM - 0.035 * (1 - np.cos(16 * angle)) / 2

    bell = carve(carve(lobed, inner, 0.04), below, 0.06)
    generator = np.random.default_rng(5)
    arms, tentacles = [], []
    for i in range(4):
        angle = np.pi / 2 * i + 0.4
        heights = np.linspace(0.58, -0.50 - 0.12 * generator.random(), 9)
        twist = angle + 1.3 * np.linspace(0, 1, 9) ** 1.5
        reach = 0.045 + 0.13 * np.sin(np.linspace(0.1, 2.4, 9))
        line = np.stack([reach * np.cos(twist), reach * np.sin(twist), heights], -1)
        arms.append(rope(list(line), list(np.interp(range(9), [0, 3, 8], [0.085, 0.062, 0.02])), 0.03))
    for i in range(8):
        angle = np.pi / 4 * i + 0.15
        heights = np.linspace(_RIM + 0.05, -0.62 - 0.2 * generator.random(), 8)
        swing = angle + 0.35 * generator.random() * np.sin(np.linspace(0, 3, 8))
        reach = 0.545 + 0.05 * np.sin(np.linspace(0, 4, 8) + i)
        line = np.stack([reach * np.cos(swing), reach * np.sin(swing), heights], -1)
        tentacles.append(rope(list(line), list(np.linspace(0.034, 0.019, 8)), 0.02))

    def frilled(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        frill = fractal_noise(p * np.array([13.0, 13.0, 9.0]), 2, 3)
        return union(arms, 0.04)(p) - 0.03 * frill * np.clip((0.45 - p[:, 2]) / 0.3, 0, 1)

    return union([union([bell, frilled], 0.05), *tentacles], 0.03)


def _deform(p: Float[np.ndarray, "v 3"], time: float) -> Float[np.ndarray, "v 3"]:
    """A smooth map of space that changes with time; each term is periodic in the clip's length."""
    x, y, z = p.T
    beat = 2 * np.pi * time / _PULSE
    slow = 2 * np.pi * time / _DURATION
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    below = _APEX - z
    # The squeeze travels down: the rim follows the shoulder, the tentacles follow the rim.
    lag = 1.1 * below
    squeeze = 0.5 - 0.5 * np.cos(beat - lag + 0.5 * np.sin(beat - lag))
    hold = np.clip(below / 0.45, 0, 1)
    hold = hold * hold * (3 - 2 * hold)
    wobble = 0.05 * np.cos(2 * angle + slow) + 0.035 * np.cos(3 * angle - 2 * slow)
    scale = 1 - (0.30 * squeeze - 0.07) * hold + wobble * hold
    trail = np.clip((_RIM + 0.1 - z) / 0.9, 0, 1.2)
    twist = 0.35 * np.sin(slow - 1.4 * below) * np.clip(below, 0, 1.5) ** 1.2
    drift = 0.15 * trail**1.4
    new_angle = angle + twist
    new_radius = radius * scale
    out = np.stack([new_radius * np.cos(new_angle), new_radius * np.sin(new_angle), z], -1)
    out[:, 0] += drift * np.sin(beat - 5.2 * trail + 2 * angle)
    out[:, 1] += drift * np.cos(slow - 4.0 * trail + angle)
    lengthen = 0.5 - 0.5 * np.cos(beat - 0.4)
    out[:, 2] += 0.07 * lengthen * (z - 0.3) + 0.04 * hold * (squeeze - 0.5) * np.clip(radius / 0.6, 0, 1)
    # It rises on the squeeze, sinks after, and leans as a whole.
    lean = np.radians(7) * np.array([np.sin(slow), np.cos(slow)])
    out[:, 0] += lean[0] * out[:, 2]
    out[:, 1] += lean[1] * out[:, 2]
    out[:, 2] += 0.06 * np.sin(beat - 0.9)
    return out


def _paint(p: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    step, over = paint.soft_step, paint.over
    x, y, z = p.T
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    rough = fractal_noise(p * 6, 4, 1)
    bell = step(_RIM - 0.08, _RIM + 0.01, z) * step(0.30, 0.40, radius + 1.2 * np.maximum(z - 0.5, 0))
    colors = over(paint.flat((0.97, 0.60, 0.62), p), (0.55, 0.24, 0.66), step(0.15, 0.62, z + 0.16 * rough))
    # Streaks from the top to the rim, of uneven width and reach.
    phase = 16 * angle + 1.5 * fractal_noise(p * 4, 3, 2)
    reach = fractal_noise(np.stack([np.cos(angle) * 3, np.sin(angle) * 3, 0 * z], -1), 2, 3)
    streak = step(0.15, 0.75, np.cos(phase) + 0.4 * rough) * step(0.70, 0.60, z + 0.12 * reach) * bell
    colors = over(colors, (0.30, 0.07, 0.42), 0.85 * streak)
    first, second, label = cell_noise(p * 10.5, 4)
    size = 0.22 + 0.30 * label
    palette = np.array([[0.99, 0.85, 0.45], [0.98, 0.95, 0.88], [0.98, 0.55, 0.40], [0.45, 0.85, 0.88]])
    picked = palette[(label * 997).astype(np.int64) % 4]
    spot = step(0.03, -0.03, first - size) * np.maximum(bell, 0.0)
    ring = step(0.035, 0.015, np.abs(first - size)) * bell
    colors = over(colors, picked, spot)
    colors = over(colors, (0.24, 0.05, 0.33), 0.8 * ring)
    colors = over(colors, (0.99, 0.80, 0.42), step(0.05, 0.02, z - _RIM + 0.02 * rough) * bell)
    arm = step(0.36, 0.28, radius) * step(0.5, 0.4, z)
    frills = over(paint.flat((0.99, 0.78, 0.66), p), (0.86, 0.25, 0.36), step(-0.15, 0.35, fractal_noise(p * 9, 4, 6)))
    frills = over(frills, (1.0, 0.95, 0.86), step(0.10, 0.02, second - first))
    colors = over(colors, frills, arm)
    tentacle = step(0.36, 0.42, radius) * step(_RIM + 0.02, _RIM - 0.06, z)
    bands = np.sin(z * 95 + 3.5 * fractal_noise(p * 5, 3, 8) + 5 * np.floor((angle + np.pi) / (np.pi / 4)))
    beads = over(paint.flat((0.52, 0.20, 0.60), p), (0.99, 0.80, 0.55), step(-0.2, 0.4, bands))
    colors = over(colors, beads, tentacle)
    fine = 0.30 * fractal_noise(p * 16, 5, 9, gain=0.7)
    return np.clip(colors * (1 + fine)[:, None], 0, 1)
