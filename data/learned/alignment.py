"""Depth maps brought to the scale of the cameras: for each frame the scale and shift that fit the points that it shows.

Least median of squares over pairs of points (Rousseeuw, 1984), then reweighted least squares: up to nearly half of the
points may be wrong.  Does NOT correct what a single scale and shift cannot, such as a bent wall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Shaped

from recon4d.core import Camera, InputError
from recon4d.data.learned.depths import Depths
from recon4d.data.motion import CameraSolution, Tracks

_FEWEST = 12  # Points in a frame that make its alignment worth having.
_TRIALS = 300
_TUKEY = 4.685  # Times the standard deviation: 95 % efficiency on normal errors.


@dataclass(frozen=True, eq=False)
class AlignedDepths:
    """Depth maps in scene units: 1 / depth = scales[t] * inverse[t] + shifts[t].

    Attributes:
        depths: what was aligned.
        scales, shifts: [T]; shifts are 0 for metric models.
        fitted: [T] whether the frame has its own fit; the others lie between their neighbours'.
        errors: [T] median of |depth / true depth - 1| at the points, NaN where not fitted.
        metres_per_unit: of the scene, for metric models; else None.
    """

    depths: Depths
    scales: Float64[np.ndarray, " t"]
    shifts: Float64[np.ndarray, " t"]
    fitted: Bool[np.ndarray, " t"]
    errors: Float64[np.ndarray, " t"]
    metres_per_unit: float | None

    def __len__(self) -> int:
        return len(self.depths)

    def inverse_at(self, frame: int) -> Float32[np.ndarray, "h w"]:
        """[H, W] 1 / depth of one frame in 1 / scene units, 0 = infinitely far."""
        scaled = np.float32(self.scales[frame]) * self.depths.at(frame) + np.float32(self.shifts[frame])
        return np.maximum(scaled, np.float32(0))

    def at(self, frame: int) -> Float32[np.ndarray, "h w"]:
        """[H, W] camera z of one frame in scene units, 0 where it is infinite."""
        inverse = self.inverse_at(frame)
        return np.divide(1, inverse, out=np.zeros_like(inverse), where=inverse > 1e-6)


def align_depths(
    depths: Depths,
    solution: CameraSolution,
    tracks: Tracks | None = None,
    masks: Shaped[np.ndarray, "t h w"] | None = None,
    *,
    seed: int = 0,
) -> AlignedDepths:
    """Fit each frame's scale and shift to the points of structure from motion.

    Args:
        depths: of the frames that the cameras belong to.
        solution: cameras and points.
        tracks: the tracks that the points were made from: they say where each point is seen, and when.  Without them
            points are projected, hidden ones too, which only the robust fit guards against.
        masks: bool, or 128 and more meaning yes: only points inside count, for example the subject's in object mode.
        seed: of the random pairs.

    Raises:
        InputError: numbers of frames that differ, or no frame with enough points.
    """
    count, height, width = depths.inverse.shape
    if len(solution.cameras) != count or (masks is not None and masks.shape != depths.inverse.shape):
        raise InputError(
            "depth",
            expected=f"{count} cameras, and masks of the depth maps' size if any",
            got=f"{len(solution.cameras)} cameras, masks {None if masks is None else list(masks.shape)}",
            fix="use the same clip for all",
        )
    scales, shifts, errors = (np.full(count, np.nan) for _ in range(3))
    for frame in range(count):
        places, z = _observations(solution, tracks, frame)
        inside = (z > 0) & (places >= 0).all(1) & (places < [width, height]).all(1)
        if masks is not None:
            pixels = np.clip(places.astype(int), 0, [width - 1, height - 1])
            mask = masks[frame] if masks.dtype == np.bool_ else masks[frame] >= 128
            inside &= mask[pixels[:, 1], pixels[:, 0]]
        if inside.sum() < _FEWEST:
            continue
        values, true = sample(depths.at(frame), places[inside]).astype(np.float64), 1 / z[inside]
        fit = robust_line(values, true, np.random.default_rng([seed, frame]), through_zero=depths.metric)
        if fit is not None:
            scales[frame], shifts[frame] = fit
            found = np.maximum(fit[0] * values + fit[1], 1e-12)
            errors[frame] = np.median(np.abs(true / found - 1))
    fitted = np.isfinite(scales)
    if not fitted.any():
        raise InputError(
            "depth",
            expected=f"at least {_FEWEST} points of structure from motion in some frame that agree with the depth",
            got=f"{len(solution.points)} points that do not",
            fix="use cameras that are solved from the picture, or leave depth out",
        )
    t = np.arange(count)
    scales = np.exp(np.interp(t, t[fitted], np.log(scales[fitted])))
    shifts = np.interp(t, t[fitted], shifts[fitted])
    metres = float(np.median(scales[fitted])) if depths.metric else None
    return AlignedDepths(depths, scales, shifts, fitted, errors, metres)


def _observations(
    solution: CameraSolution, tracks: Tracks | None, frame: int
) -> tuple[Float64[np.ndarray, "n 2"], Float64[np.ndarray, " n"]]:
    """Where points are seen in a frame, in pixels, and their camera z."""
    camera: Camera = solution.cameras[frame]
    K, pose = camera.K.double().cpu().numpy(), camera.cam_from_world.double().cpu().numpy()
    in_cam = solution.points @ pose[:3, :3].T + pose[:3, 3]
    if tracks is None:
        depth = np.where(in_cam[:, 2] > 1e-9, in_cam[:, 2], np.inf)
        places = in_cam[:, :2] / depth[:, None] * [K[0, 0], K[1, 1]] + K[:2, 2]
        return places, in_cam[:, 2]
    positions, ids = tracks.at(frame)
    _, seen, known = np.intersect1d(ids, solution.point_ids, return_indices=True)
    return positions[seen].astype(np.float64), in_cam[known, 2]


def sample(image: Float32[np.ndarray, "h w"], places: Float64[np.ndarray, "n 2"]) -> Float32[np.ndarray, " n"]:
    """Values at places in pixels (centres at +0.5), bilinear."""
    height, width = image.shape
    at = np.clip(places - 0.5, 0, [width - 1, height - 1])
    low = np.minimum(at.astype(int), [max(width - 2, 0), max(height - 2, 0)])
    x, y = (at - low).T
    column, row = low.T
    right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
    top = image[row, column] * (1 - x) + image[row, right] * x
    bottom = image[below, column] * (1 - x) + image[below, right] * x
    return np.asarray(top * (1 - y) + bottom * y, np.float32)


def robust_line(
    x: Float64[np.ndarray, " n"],
    y: Float64[np.ndarray, " n"],
    rng: np.random.Generator,
    *,
    through_zero: bool = False,
) -> tuple[float, float] | None:
    """Slope > 0 and offset of y = slope x + offset, though many points lie elsewhere; None where there is none.

    Args:
        x, y: the points.
        rng: draws the pairs of points that are tried.
        through_zero: the offset is 0.
    """
    if np.ptp(x) <= 1e-9 * max(1e-30, np.abs(x).max()) and not through_zero:
        return None
    first, second = rng.integers(0, len(x), (2, _TRIALS))
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = y[first] / x[first] if through_zero else (y[first] - y[second]) / (x[first] - x[second])
    offsets = np.zeros(_TRIALS) if through_zero else y[first] - slopes * x[first]
    good = np.isfinite(slopes) & (slopes > 0)
    if not good.any():
        return None
    slopes, offsets = slopes[good], offsets[good]
    misses = np.median(np.abs(slopes[:, None] * x + offsets[:, None] - y), 1)
    best = int(misses.argmin())
    slope, offset, spread = float(slopes[best]), float(offsets[best]), 1.4826 * float(misses[best])
    for _ in range(10):
        error = (slope * x + offset - y) / max(_TUKEY * spread, 1e-12)
        weight = np.where(np.abs(error) < 1, (1 - error**2) ** 2, 0.0)
        total = weight.sum()
        if total < 2:
            break
        if through_zero:
            square = (weight * x * x).sum()
            slope = float((weight * x * y).sum() / square) if square > 0 else slope
            continue
        x_mean, y_mean = (weight * x).sum() / total, (weight * y).sum() / total
        square = (weight * (x - x_mean) ** 2).sum()
        if square <= 0:
            break
        slope = float((weight * (x - x_mean) * (y - y_mean)).sum() / square)
        offset = float(y_mean - slope * x_mean)
    return (slope, offset) if slope > 0 else None
