"""Checks of what callers hand to the metrics: one clear line for a wrong type, size, range, mask or NaN.

Every public metric calls these first, so that a metric itself may assume float64 arrays of agreeing shapes.  Nothing
is measured here, and nothing is resized or cropped to make two inputs fit.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Shaped

from recon4d.core import InputError


def as_image(image: Shaped[np.ndarray, "..."], name: str) -> Float[np.ndarray, "h w 3"]:
    """`image` as float64 [H, W, 3] in [0, 1]: uint8 and uint16 are divided by their largest value.

    Raises:
        InputError: when it is not an array, not [H, W, 3], of another type, not finite, or outside [0, 1].
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise InputError(
            name,
            expected="an array [H, W, 3] that is not empty",
            got=_describe(image),
            fix="drop alpha after compositing, or repeat a gray image three times",
        )
    if image.dtype in (np.uint8, np.uint16):
        return image.astype(np.float64) / np.iinfo(image.dtype).max
    if image.dtype not in (np.float16, np.float32, np.float64):
        raise InputError(
            name, expected="uint8, uint16 or floating point values", got=str(image.dtype), fix="convert the image first"
        )
    _require_finite(image, name)
    low, high = float(image.min()), float(image.max())
    if low < -1e-6 or high > 1 + 1e-6:
        raise InputError(
            name,
            expected="display values in [0, 1]",
            got=f"values from {low:.4g} to {high:.4g}",
            fix="clip or rescale it",
        )
    return np.clip(image.astype(np.float64), 0.0, 1.0)


def as_image_pair(
    image: Shaped[np.ndarray, "..."], reference: Shaped[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"]]:
    """Both images through `as_image`, with the same size."""
    first, second = as_image(image, "image"), as_image(reference, "reference")
    if first.shape != second.shape:
        raise InputError(
            "image",
            expected=f"the reference's size {_size(second)}",
            got=_size(first),
            fix="render or resize to the reference's resolution",
        )
    return first, second


def as_mask(mask: Shaped[np.ndarray, "..."], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """`mask` as bool [H, W]; numbers count as inside from half of their full range (0.5, or 128 for uint8).

    Raises:
        InputError: when the size is wrong, a value is not finite, or nothing is inside.
    """
    if not isinstance(mask, np.ndarray) or mask.shape != (height, width):
        raise InputError(
            "mask", expected=f"an array [{height}, {width}]", got=_describe(mask), fix="use the mask of the same image"
        )
    if mask.dtype == np.bool_:
        inside = mask
    elif mask.dtype in (np.uint8, np.uint16):
        inside = mask > np.iinfo(mask.dtype).max // 2
    elif mask.dtype in (np.float16, np.float32, np.float64):
        _require_finite(mask, "mask")
        inside = mask >= 0.5
    else:
        raise InputError(
            "mask", expected="bool, uint8, uint16 or floating point", got=str(mask.dtype), fix="convert the mask first"
        )
    if not inside.any():
        raise InputError("mask", expected="at least one pixel inside", got="an empty mask", fix="leave this image out")
    return inside


def as_points(points: Shaped[np.ndarray, "..."], name: str, *, least: int = 1) -> Float[np.ndarray, "n 3"]:
    """`points` as float64 [N, 3], N >= `least`, all finite; InputError otherwise."""
    if (
        not isinstance(points, np.ndarray)
        or points.ndim != 2
        or points.shape[1] != 3
        or len(points) < least
        or not np.issubdtype(points.dtype, np.floating)
    ):
        raise InputError(
            name,
            expected=f"floating point [N, 3] with N >= {least}",
            got=_describe(points),
            fix="pass one row of x, y, z for each point",
        )
    _require_finite(points, name)
    return points.astype(np.float64)


def as_tracks(tracks: Shaped[np.ndarray, "..."], name: str) -> Float[np.ndarray, "t n 3"]:
    """`tracks` as float64 [T, N, 3] with T, N >= 1, all finite; InputError otherwise."""
    if (
        not isinstance(tracks, np.ndarray)
        or tracks.ndim != 3
        or tracks.shape[2] != 3
        or tracks.size == 0
        or not np.issubdtype(tracks.dtype, np.floating)
    ):
        raise InputError(
            name,
            expected="floating point [T, N, 3]: the same N points at T times",
            got=_describe(tracks),
            fix="stack the positions of each time",
        )
    _require_finite(tracks, name)
    return tracks.astype(np.float64)


def as_track_pair(
    prediction: Shaped[np.ndarray, "..."], truth: Shaped[np.ndarray, "..."]
) -> tuple[Float[np.ndarray, "t n 3"], Float[np.ndarray, "t n 3"]]:
    """Both through `as_tracks`, of the same shape."""
    first, second = as_tracks(prediction, "prediction"), as_tracks(truth, "truth")
    if first.shape != second.shape:
        raise InputError(
            "prediction",
            expected=f"the truth's shape {list(second.shape)}",
            got=str(list(first.shape)),
            fix="follow the same points through the same times",
        )
    return first, second


def require_positive(value: float | int, name: str) -> float:
    """`value` when it is a finite number above zero; InputError otherwise."""
    if not np.isfinite(value) or value <= 0:
        raise InputError(name, expected="a finite number above 0", got=repr(value), fix="check what it was measured on")
    return float(value)


def _require_finite(array: Shaped[np.ndarray, "..."], name: str) -> None:
    bad = int(np.count_nonzero(~np.isfinite(array)))
    if bad:
        raise InputError(
            name, expected="finite values", got=f"{bad} NaN or infinite values", fix="find where they arise"
        )


def _size(image: Float[np.ndarray, "h w 3"]) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def _describe(value: object) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__
