"""Sun and sky: how a matte surface under an open sky looks.

Light is the same from wherever one looks, so colours depend on place and time alone.  No reflections, no light bounced
between surfaces.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from recon4d.core.srgb import display_from_linear, linear_from_display

SUN_DIRECTION = np.array([0.42, -0.55, 0.72]) / np.linalg.norm([0.42, -0.55, 0.72])
_SUN = np.array([0.80, 0.75, 0.67], np.float32)
_SKY = np.array([0.46, 0.49, 0.54], np.float32)
_GROUND = np.array([0.24, 0.22, 0.20], np.float32)


def towards_sun(normals: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Cosines between unit normals and the direction to the sun."""
    x, y, z = SUN_DIRECTION.astype(np.float32)
    # A plain sum instead of a matrix product: the same bits for any number of threads.
    return normals[:, 0] * x + normals[:, 1] * y + normals[:, 2] * z


def shade(
    albedo: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"], in_shadow: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "n 3"]:
    """Display colours of matte points: display-encoded `albedo` under sun (unless in shadow) and sky."""
    up = (0.5 + 0.5 * normals[:, 2:3]).astype(np.float32)
    sun = np.clip(towards_sun(normals), 0, None) * ~in_shadow
    light = _GROUND + up * (_SKY - _GROUND) + sun[:, None].astype(np.float32) * _SUN
    return display_from_linear(np.clip(linear_from_display(albedo.astype(np.float32)) * light, 0, 1))


def sky(directions: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Display colours of the sky along directions."""
    height = directions[:, 2] / np.linalg.norm(directions, axis=-1)
    amount = np.clip(height, 0, 1)[:, None] ** 0.6
    return np.array([0.86, 0.90, 0.94]) * (1 - amount) + np.array([0.36, 0.56, 0.84]) * amount
