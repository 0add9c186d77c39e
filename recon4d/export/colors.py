"""Colours of pictures that show numbers: depth from near to far, one hue for each bone, backgrounds by name.

The maps are made in OKLab (Ottosson 2020, "A perceptual color space for image processing"), where equal steps look
equally large.  Does NOT know scenes or cameras.
"""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
from jaxtyping import Float

from recon4d.core import InputError

Color = tuple[float, float, float]

NAMED_BACKGROUNDS: dict[str, Color] = {
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
    "gray": (0.5, 0.5, 0.5),
}
TRANSPARENT = "transparent"

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def parse_background(text: str) -> Color | None:
    """Display sRGB of a background: a name, RRGGBB or #RRGGBB; None for "transparent".

    Raises:
        InputError: anything else.
    """
    if text == TRANSPARENT:
        return None
    if text in NAMED_BACKGROUNDS:
        return NAMED_BACKGROUNDS[text]
    digits = re.fullmatch(r"#?([0-9a-fA-F]{6})", text)
    if digits is None:
        raise InputError(
            "background",
            expected=f"{', '.join(NAMED_BACKGROUNDS)}, {TRANSPARENT} or six hexadecimal digits",
            got=repr(text[:60]),
            fix="white is a good choice",
        )
    red, green, blue = bytes.fromhex(digits[1])
    return red / 255, green / 255, blue / 255


@cache
def depth_map() -> Float[np.ndarray, "256 3"]:
    """Display sRGB in [0, 1] from the nearest (light yellow) to the farthest (dark violet).

    Lightness falls evenly, so the picture also reads without colour.
    """
    share = np.linspace(0, 1, 256)
    lightness = 0.94 - 0.70 * share
    hue = np.radians(105 - 175 * share)  # yellow, red, violet
    return oklch_to_srgb(lightness, np.full(256, 0.15), hue)


def distinct_colors(count: int) -> Float[np.ndarray, "n 3"]:
    """`count` colours of equal lightness whose hues lie as far apart as may be, whatever the count."""
    index = np.arange(count)
    lightness = np.where(index % 2, 0.66, 0.76)
    return oklch_to_srgb(lightness, np.full(count, 0.14), index * _GOLDEN_ANGLE)


def oklch_to_srgb(
    lightness: Float[np.ndarray, " n"], chroma: Float[np.ndarray, " n"], hue: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    """Display sRGB in [0, 1] of lightness 0..1, chroma and hue (radians); chroma is lowered to what sRGB can show."""
    least, most = np.zeros_like(chroma), chroma.copy()
    rgb = _linear_srgb(lightness, chroma, hue)
    for _ in range(20):  # bisection for the largest chroma inside the gamut
        middle = (least + most) / 2
        rgb = _linear_srgb(lightness, middle, hue)
        inside = ((rgb >= 0) & (rgb <= 1)).all(-1)
        least, most = np.where(inside, middle, least), np.where(inside, most, middle)
    rgb = _linear_srgb(lightness, least, hue).clip(0, 1)
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)


def _linear_srgb(
    lightness: Float[np.ndarray, " n"], chroma: Float[np.ndarray, " n"], hue: Float[np.ndarray, " n"]
) -> Float[np.ndarray, "n 3"]:
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    cones = np.stack(
        [
            lightness + 0.3963377774 * a + 0.2158037573 * b,
            lightness - 0.1055613458 * a - 0.0638541728 * b,
            lightness - 0.0894841775 * a - 1.2914855480 * b,
        ],
        -1,
    )
    to_rgb = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    return cones**3 @ to_rgb.T
