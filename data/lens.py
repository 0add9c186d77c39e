"""Lens distortion: the Brown-Conrady model (OpenCV's and COLMAP's k1 k2 p1 p2 k3, with skew) and its removal.

A `Lens` says where a file's pixels lie; the ideal pinhole `Camera` beside it says where they should lie.  Images are
resampled on loading, so everything above this room sees pinhole cameras only.  Does NOT know fisheye, thin-prism or
rational models: readers refuse files that use them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from recon4d.core import Camera


@dataclass(frozen=True)
class Lens:
    """Intrinsics of the file's own pixels, with distortion.

    For ideal image coordinates (x, y) = (X/Z, Y/Z) and r2 = x^2 + y^2:
        x' = x (1 + k1 r2 + k2 r2^2 + k3 r2^3) + 2 p1 x y + p2 (r2 + 2 x^2)
        y' = y (1 + k1 r2 + k2 r2^2 + k3 r2^3) + p1 (r2 + 2 y^2) + 2 p2 x y
        pixel = (fx x' + skew y' + cx, fy y' + cy), pixel centres at +0.5.
    (D. C. Brown, Close-range camera calibration, 1971.)
    """

    fx: float
    fy: float
    cx: float
    cy: float
    skew: float = 0.0
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    @property
    def is_pinhole(self) -> bool:
        """True when there is nothing to remove."""
        return not any((self.skew, self.k1, self.k2, self.k3, self.p1, self.p2))

    def scaled(self, sx: float, sy: float) -> Lens:
        """The same lens for an image resampled by `sx` in width and `sy` in height."""
        fx, cx, skew = self.fx * sx, self.cx * sx, self.skew * sx
        return replace(self, fx=fx, fy=self.fy * sy, cx=cx, cy=self.cy * sy, skew=skew)

    def pixels_of(self, ideal: Float64[np.ndarray, "*n 2"]) -> Float64[np.ndarray, "*n 2"]:
        """Pixel positions in the file of ideal image coordinates (X/Z, Y/Z)."""
        x, y = ideal[..., 0], ideal[..., 1]
        r2 = x * x + y * y
        radial = 1 + r2 * (self.k1 + r2 * (self.k2 + r2 * self.k3))
        bent_x = x * radial + 2 * self.p1 * x * y + self.p2 * (r2 + 2 * x * x)
        bent_y = y * radial + self.p1 * (r2 + 2 * y * y) + 2 * self.p2 * x * y
        return np.stack([self.fx * bent_x + self.skew * bent_y + self.cx, self.fy * bent_y + self.cy], -1)

    def largest_radius(self) -> float:
        """Ideal radius up to which the radial part is one-to-one; the image folds over itself beyond."""
        # The derivative of r (1 + k1 r^2 + k2 r^4 + k3 r^6) is a cubic in r^2; in u = 1 / r^2 its leading factor is 1.
        roots = np.roots([1.0, 3 * self.k1, 5 * self.k2, 7 * self.k3])
        folds = roots[(np.abs(roots.imag) < 1e-9) & (roots.real > 0)].real
        return float(1 / np.sqrt(folds.max())) if folds.size else np.inf


@lru_cache(maxsize=4)
def _map(
    lens: Lens, fx: float, fy: float, cx: float, cy: float, width: int, height: int
) -> tuple[Float64[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    x = (np.arange(width) + 0.5 - cx) / fx
    y = (np.arange(height) + 0.5 - cy) / fy
    ideal = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)
    pixels = lens.pixels_of(ideal)
    seen = (pixels >= 0).all(-1) & (pixels[..., 0] <= width) & (pixels[..., 1] <= height)
    seen &= np.linalg.norm(ideal, axis=-1) < lens.largest_radius()
    pixels.setflags(write=False)
    seen.setflags(write=False)
    return pixels, seen


def source_pixels(lens: Lens, camera: Camera) -> tuple[Float64[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """For each pixel of `camera` the position [H, W, 2] in the file's image, and whether the lens saw it [H, W]."""
    fx, fy, cx, cy = (float(camera.K[i, j]) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return _map(lens, fx, fy, cx, cy, camera.width, camera.height)


def undistort(
    image: Shaped[np.ndarray, "h w *c"], lens: Lens, camera: Camera, *, nearest: bool = False
) -> Shaped[np.ndarray, "h w *c"]:
    """Resample a file's image to the pinhole `camera` of the same size; beyond the border its edge is repeated.

    Args:
        image: any numeric dtype; integers are rounded.
        lens: of the file's image.
        camera: the pinhole wanted.
        nearest: take the nearest sample (depth, labels) where the default is bilinear.
    """
    pixels, _ = source_pixels(lens, camera)
    height, width = image.shape[:2]
    at = np.clip(pixels - 0.5, 0, (width - 1, height - 1))
    if nearest:
        column, row = np.rint(at).astype(np.int64).transpose(2, 0, 1)
        return image[row, column]
    column, row = np.floor(at).astype(np.int64).transpose(2, 0, 1)
    fraction = (at - np.floor(at)).reshape(*at.shape, *(1 for _ in image.shape[2:]))
    s, t = fraction[:, :, 0], fraction[:, :, 1]
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    top = image[row, column] * (1 - s) + image[row, right] * s
    bottom = image[below, column] * (1 - s) + image[below, right] * s
    result = top * (1 - t) + bottom * t
    return (np.rint(result) if np.issubdtype(image.dtype, np.integer) else result).astype(image.dtype)
