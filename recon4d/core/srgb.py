"""Display-encoded sRGB and linear light.

Colours are display-encoded inside recon4d; linear values appear only where a format or the physics of light demands it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def linear_from_display(color: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Linear light of display-encoded sRGB values (IEC 61966-2-1)."""
    return np.where(color <= 0.04045, color / 12.92, ((np.maximum(color, 0.04045) + 0.055) / 1.055) ** 2.4)


def display_from_linear(light: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Display-encoded sRGB of linear light in [0, 1]."""
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
