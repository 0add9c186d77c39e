"""Small helpers for painting with solid noise: blends, soft steps, hair, spots and eyes.

Colours are display-encoded sRGB in [0, 1]; points are in the creature's rest pose.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from recon4d.synthetic.noise import cell_noise, fractal_noise
from recon4d.synthetic.shapes import Vector

Points = Float[np.ndarray, "n 3"]
Values = Float[np.ndarray, "n"]
Colors = Float[np.ndarray, "n 3"]


def soft_step(low: float, high: float, value: Values) -> Values:
    """0 below `low`, 1 above `high`, a smooth curve between; falls instead of rising when low > high."""
    x = np.clip((value - low) / (high - low), 0, 1)
    return x * x * (3 - 2 * x)


def flat(color: Vector, points: Points) -> Colors:
    """The same colour for every point."""
    return np.tile(np.asarray(color, np.float64), (len(points), 1))


def over(below: Colors, color: Vector | Colors, amount: Values) -> Colors:
    """`color` laid over `below` with opacity `amount`."""
    return below + (np.asarray(color, np.float64) - below) * amount[:, None]


def grain(points: Points, frequency: float, strength: float, seed: int) -> Values:
    """Factors around 1 that vary from coarse to fine: worn cloth, skin, the shade of fur."""
    return 1 + strength * fractal_noise(points * frequency, 5, seed, gain=0.65)


def strands(points: Points, along: Vector, frequency: float, stretch: float, seed: int) -> Values:
    """Fine streaks in [-1, 1] drawn out along a direction: hair and fur."""
    direction = np.asarray(along, np.float64)
    direction = direction / np.linalg.norm(direction)
    # Wavering keeps neighbouring hairs from being ruler-straight.
    wavering = points + 0.02 * np.stack([fractal_noise(points * 9 + s, 2, seed + 7) for s in (0.0, 31.7, 57.1)], -1)
    part = (wavering @ direction)[:, None] * direction
    return fractal_noise((wavering - part * (1 - 1 / stretch)) * frequency, 3, seed, gain=0.7)


def spots(points: Points, frequency: float, size: float, seed: int) -> Values:
    """Round spots: 1 inside, 0 outside, one in each cell with sizes that vary."""
    first, _, label = cell_noise(points * frequency, seed)
    return soft_step(1.0, 0.75, first / (size * (0.4 + 0.9 * label) + 1e-6))


def eye(
    colors: Colors, points: Points, center: Vector, look: Vector, radius: float,
    iris: Vector, pupil: float = 0.45, iris_size: float = 0.75,
) -> Colors:  # fmt: skip
    """An eyeball painted around `center`: white, iris with rays, pupil, a highlight, a dark rim.

    Args:
        radius: of the eyeball; points within 1.15 radii of the centre are painted.
        look: direction of the gaze.
        pupil, iris_size: sizes as a share of the eyeball's radius.
    """
    direction = np.asarray(look, np.float64) / np.linalg.norm(look)
    away = points - np.asarray(center, np.float64)
    distance = np.linalg.norm(away, axis=-1)
    inside = soft_step(1.16, 1.08, distance / radius) * soft_step(-0.25, 0.1, away @ direction / radius)
    off_axis = np.linalg.norm(away - (away @ direction)[:, None] * direction, axis=-1) / radius
    rays = fractal_noise(away / np.maximum(off_axis, 0.05)[:, None] / radius * 7, 3, 5)
    ball = flat((0.96, 0.95, 0.92), points)
    ball = over(ball, (0.08, 0.06, 0.06), soft_step(iris_size + 0.03, iris_size - 0.02, off_axis))
    tint = np.asarray(iris, np.float64) * (1 + 0.5 * rays)[:, None]
    ball = over(ball, tint, soft_step(iris_size - 0.06, iris_size - 0.1, off_axis))
    ball = over(ball, (0.02, 0.02, 0.03), soft_step(pupil + 0.04, pupil - 0.03, off_axis))
    glint = away - radius * (0.9 * direction + np.array([0.0, 0.0, 0.42]))
    ball = over(ball, (1.0, 1.0, 1.0), soft_step(0.3, 0.2, np.linalg.norm(glint, axis=-1) / radius))
    ball = over(ball, (0.05, 0.03, 0.03), soft_step(1.0, 1.09, distance / radius))
    return over(colors, ball, inside)
