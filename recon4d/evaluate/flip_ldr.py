"""FLIP: the difference a person sees when alternating between two images, in [0, 1] per pixel (LDR form).

P. Andersson, J. Nilsson, T. Akenine-Moeller, M. Oskarsson, K. Astroem, M. D. Fairchild, "FLIP: A Difference Evaluator
for Alternating Images", HPG 2020.  Section numbers below are that paper's.  Inputs are display-encoded sRGB.  The HDR
form is not here.  FLIP is symmetric in its two images.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Shaped

from recon4d.evaluate.checks import as_image_pair, as_mask, require_positive

# A 0.7 m wide monitor of 3840 pixels seen from 0.7 m (the paper's default), about 67 pixels per degree.
PIXELS_PER_DEGREE = 0.7 * (3840 / 0.7) * math.pi / 180

# Contrast sensitivity (4.1.1, table 1): sums of Gaussians (a, b) in space, for achromatic, red-green, blue-yellow.
SENSITIVITY = (((1.0, 0.0047),), ((1.0, 0.0053),), ((34.1, 0.04), (13.5, 0.025)))
COLOR_EXPONENT = 0.7  # q_c, 4.1.3
KNEE_AT, KNEE_TO = 0.4, 0.95  # p_c, p_t: errors up to 40 % of the largest use 95 % of the range
FEATURE_WIDTH_DEGREES = 0.082  # w, 4.2: width of the edge and point detectors
FEATURE_EXPONENT = 0.5  # q_f


def flip_map(
    image: Shaped[np.ndarray, "..."],
    reference: Shaped[np.ndarray, "..."],
    *,
    pixels_per_degree: float | int = PIXELS_PER_DEGREE,
) -> Float[np.ndarray, "h w"]:
    """FLIP error [H, W] in [0, 1] of two images [H, W, 3], as seen at `pixels_per_degree`.

    Raises:
        InputError: wrong types, sizes or values.
    """
    first, second = as_image_pair(image, reference)
    density = require_positive(pixels_per_degree, "pixels_per_degree")
    opponent_1, opponent_2 = _opponent_from_linear(_linear(first)), _opponent_from_linear(_linear(second))
    color = _color_difference(opponent_1, opponent_2, density)
    feature = _feature_difference(opponent_1[..., 0], opponent_2[..., 0], density)
    return color ** (1 - feature)


def flip(
    image: Shaped[np.ndarray, "..."],
    reference: Shaped[np.ndarray, "..."],
    mask: Shaped[np.ndarray, "..."] | None = None,
    *,
    pixels_per_degree: float | int = PIXELS_PER_DEGREE,
) -> float:
    """Mean of `flip_map` over all pixels, or over those inside `mask` [H, W]; 0 is identical, 1 is black against white.

    The filters see about 10 pixels round each pixel, so the outside of a mask has some influence near its border.
    """
    values = flip_map(image, reference, pixels_per_degree=pixels_per_degree)
    return float(values.mean() if mask is None else values[as_mask(mask, *values.shape)].mean())


def _srgb_to_xyz() -> Float[np.ndarray, "3 3"]:
    """XYZ of linear sRGB, from the standard's primaries and its D65 white (IEC 61966-2-1)."""

    def xyz(x: float, y: float) -> list[float]:
        return [x / y, 1.0, (1 - x - y) / y]

    primaries = np.array([xyz(0.64, 0.33), xyz(0.30, 0.60), xyz(0.15, 0.06)]).T
    return primaries * np.linalg.solve(primaries, np.array(xyz(0.3127, 0.3290)))


_XYZ_FROM_RGB = _srgb_to_xyz()
_RGB_FROM_XYZ = np.linalg.inv(_XYZ_FROM_RGB)
_WHITE = _XYZ_FROM_RGB.sum(1)


def _linear(srgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _opponent_from_linear(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """YCxCz: a linear opponent space that keeps the scale of L*a*b* (4.1.1)."""
    x, y, z = np.moveaxis(rgb @ _XYZ_FROM_RGB.T / _WHITE, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def _linear_from_opponent(opponent: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    luminance, cx, cz = np.moveaxis(opponent, -1, 0)
    y = (luminance + 16) / 116
    return (np.stack([y + cx / 500, y, y - cz / 200], -1) * _WHITE) @ _RGB_FROM_XYZ.T


def _hunt_lab(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """L*a*b* whose chroma grows with lightness (Hunt effect, 4.1.2)."""
    ratio = rgb @ _XYZ_FROM_RGB.T / _WHITE
    limit = 6 / 29
    f = np.where(ratio > limit**3, np.cbrt(np.maximum(ratio, 0)), ratio / (3 * limit**2) + 4 / 29)
    lightness = 116 * f[..., 1] - 16
    chroma = 0.01 * lightness
    return np.stack([lightness, chroma * 500 * (f[..., 0] - f[..., 1]), chroma * 200 * (f[..., 1] - f[..., 2])], -1)


def _hyab(first: Float[np.ndarray, "*n 3"], second: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """City-block in lightness plus Euclidean in chroma: a distance for large colour differences (4.1.3)."""
    difference = first - second
    return np.abs(difference[..., 0]) + np.hypot(difference[..., 1], difference[..., 2])


_GREEN, _BLUE = np.array([[0.0, 1.0, 0.0]]), np.array([[0.0, 0.0, 1.0]])  # the paper's farthest pair
_LARGEST = float(_hyab(_hunt_lab(_GREEN), _hunt_lab(_BLUE))[0]) ** COLOR_EXPONENT


def _color_difference(
    opponent_1: Float[np.ndarray, "h w 3"], opponent_2: Float[np.ndarray, "h w 3"], density: float
) -> Float[np.ndarray, "h w"]:
    widest = max(b for channel in SENSITIVITY for _, b in channel)
    radius = math.ceil(3 * math.sqrt(widest / (2 * math.pi**2)) * density)
    seen = []
    for opponent in (opponent_1, opponent_2):
        filtered = [_sensitivity_filter(opponent[..., i], SENSITIVITY[i], radius, density) for i in range(3)]
        seen.append(_hunt_lab(np.clip(_linear_from_opponent(np.stack(filtered, -1)), 0, 1)))
    error = _hyab(*seen) ** COLOR_EXPONENT
    knee = KNEE_AT * _LARGEST
    above = KNEE_TO + (error - knee) / (_LARGEST - knee) * (1 - KNEE_TO)
    return np.clip(np.where(error < knee, error * KNEE_TO / knee, above), 0, 1)


def _sensitivity_filter(
    channel: Float[np.ndarray, "h w"], gaussians: tuple[tuple[float, float], ...], radius: int, density: float
) -> Float[np.ndarray, "h w"]:
    """The channel as the eye resolves it: a normalised sum of separable Gaussians."""
    degrees = np.arange(-radius, radius + 1) / density
    result, total = np.zeros_like(channel), 0.0
    for a, b in gaussians:
        profile = np.exp(-(math.pi**2) * degrees**2 / b)
        strength = a * math.sqrt(math.pi / b)
        result += strength * _separable(channel, profile, profile)
        total += strength * profile.sum() ** 2
    return result / total


def _feature_difference(
    luminance_1: Float[np.ndarray, "h w"], luminance_2: Float[np.ndarray, "h w"], density: float
) -> Float[np.ndarray, "h w"]:
    """Difference of edges (first derivative) and points (second derivative) in the unfiltered luminance (4.2)."""
    sigma = 0.5 * FEATURE_WIDTH_DEGREES * density
    radius = math.ceil(3 * sigma)
    x = np.arange(-radius, radius + 1)
    smooth = np.exp(-(x**2) / (2 * sigma**2))
    edge = _balanced(-x * smooth)
    point = _balanced((x**2 / sigma**2 - 1) * smooth)
    smooth = smooth / smooth.sum()
    strengths = []
    for luminance in (luminance_1, luminance_2):
        gray = (luminance + 16) / 116
        strengths.append(
            [
                np.hypot(_separable(gray, detector, smooth), _separable(gray, smooth, detector))
                for detector in (edge, point)
            ]
        )
    difference = np.maximum(*(np.abs(a - b) for a, b in zip(*strengths, strict=True)))
    return np.minimum(difference / math.sqrt(2), 1) ** FEATURE_EXPONENT


def _balanced(kernel: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    """The kernel with its positive weights summing to 1 and its negative ones to -1."""
    positive, negative = kernel[kernel > 0].sum(), -kernel[kernel < 0].sum()
    return np.where(kernel > 0, kernel / positive, kernel / negative)


def _separable(
    values: Float[np.ndarray, "h w"], along_x: Float[np.ndarray, "k"], along_y: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "h w"]:
    from scipy.ndimage import correlate1d

    return correlate1d(correlate1d(values, along_x, axis=1, mode="nearest"), along_y, axis=0, mode="nearest")
