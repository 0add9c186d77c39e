"""How badly the flow of each pixel fits a world that stands still, seen by cameras that are known.

A pixel of frame t at inverse depth w is found in frame s at the projection of R x + w t (x its ray, R and t the motion
of the camera), so flow to several frames s, before and after, overdetermines the one unknown w.  What is left of the
best w is the misfit: the distance to the epipolar lines, and along them the disagreement of the frames about the depth,
and what only a point behind the camera could explain (Irani and Anandan, "A Unified Approach to Moving Object Detection
in 2D and 3D Scenes", PAMI 1998).  Does NOT see what moves in a plane with the camera and in step with it: that fits a
wrong depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from recon4d.core import Camera
from recon4d.data.motion.flow import consistent
from recon4d.data.motion.motion_masks import ClipFlows

_CONSISTENT_PIXELS = 1.0
_ROBUST_PIXELS = 0.7  # Residuals beyond lose weight: the flow to one frame may be wrong.
_ROUNDS = 4
_FAR = 0.12  # Of the long side: median displacement beyond which flow is not relied upon.
_NOISE, _NOISE_SHARE = 0.3, 0.02  # Usual error of flow, pixels, and of its length.


@dataclass(frozen=True, eq=False)
class Misfit:
    """Of one frame, at the working size.

    Attributes:
        score: [h, w] in [0, 1]: how far where the flow leads is from the best static point, compared with the frame's
            usual distance; mean over the views.
        views: [h, w] frames whose flow could be used.
    """

    score: Float32[np.ndarray, "h w"]
    views: Float32[np.ndarray, "h w"]


class StaticWorld:
    """Misfits of the frames of a clip, one after the other.

    Args:
        flows: of the clip.
        cameras: one for each frame, of the clip's size.
        usable: [T] frames whose pose was measured.
        gaps: how many frames apart to compare.
        nearest: least depth that anything can have, scene units.
    """

    def __init__(
        self,
        flows: ClipFlows,
        cameras: tuple[Camera, ...],
        usable: Bool[np.ndarray, " t"],
        gaps: tuple[int, ...],
        nearest: float,
    ) -> None:
        self.flows, self.usable, self.gaps, self.nearest = flows, usable, gaps, nearest
        height, width = flows.shape
        to_small = np.diag([width / cameras[0].width, height / cameras[0].height, 1.0])
        self.poses = np.stack([camera.cam_from_world.double().numpy() for camera in cameras])
        # Pixel centres are at +0.5 in cameras and at whole numbers in flow.
        half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
        self.K = np.stack([half @ to_small @ camera.K.double().numpy() for camera in cameras])
        self._kept: dict[tuple[int, int], Float32[np.ndarray, "h w 2"]] = {}

    def misfits(self, first: int = 0) -> Iterator[Misfit]:
        """Those of a frame and all after it."""
        for t in range(first, len(self.poses)):
            yield self._misfit(t)
            # Flow is needed both ways; what only earlier frames need is dropped.
            self._kept = {pair: flow for pair, flow in self._kept.items() if max(pair) > t}

    def _flow(self, source: int, target: int) -> Float32[np.ndarray, "h w 2"]:
        if (source, target) not in self._kept:
            self._kept[source, target] = self.flows(source, target)
        return self._kept[source, target]

    def _misfit(self, t: int) -> Misfit:
        shape = self.flows.shape
        rays, shifts, seen_at, valid = [], [], [], []
        homogeneous = np.concatenate([self.flows.grid, np.ones((*shape, 1), np.float32)], -1)
        for step in (-1, 1) if self.usable[t] else ():
            for gap in self.gaps:
                s = t + step * gap
                if not (0 <= s < len(self.poses) and self.usable[s]):
                    continue
                there = self._flow(t, s)
                if float(np.median(np.linalg.norm(there, axis=-1))) > _FAR * max(shape):
                    break  # Farther apart, flow is mostly wrong.
                motion = self.poses[s] @ np.linalg.inv(self.poses[t])
                turn = self.K[s] @ motion[:3, :3] @ np.linalg.inv(self.K[t])
                rays.append(homogeneous @ turn.T.astype(np.float32))
                shifts.append((self.K[s] @ motion[:3, 3]).astype(np.float32))
                seen_at.append(self.flows.grid + there)
                valid.append(consistent(there, self._flow(s, t), _CONSISTENT_PIXELS))
        if not valid:
            nothing = np.zeros(shape, np.float32)
            return Misfit(nothing, nothing)
        ok = np.stack(valid)
        away = _residuals(np.stack(rays), np.stack(shifts), np.stack(seen_at), ok, 1 / self.nearest)
        scores = np.zeros(ok.shape, np.float32)
        for score, distance, seen, at in zip(scores, away, ok, seen_at, strict=True):
            if seen.any():
                length = float(np.median(np.linalg.norm(at - self.flows.grid, axis=-1)))
                # Not the median: a subject may fill half of the picture.
                usual = max(float(np.percentile(distance[seen], 40)), _NOISE + _NOISE_SHARE * length)
                score[seen] = 1 - np.exp(-np.maximum(distance[seen] / usual - 2, 0) / 3)
        views = ok.sum(0).astype(np.float32)
        return Misfit((scores.sum(0) / np.maximum(views, 1)).astype(np.float32), views)


def _residuals(
    rays: Float32[np.ndarray, "n h w 3"],
    shifts: Float32[np.ndarray, "n 3"],
    seen_at: Float32[np.ndarray, "n h w 2"],
    valid: Bool[np.ndarray, "n h w"],
    most: float,
) -> Float32[np.ndarray, "n h w"]:
    """[N, h, w] pixels from the best static point to where the flow leads.

    The inverse depth w comes by reweighted least squares, linear after the division by the depth of the round before.
    """
    trust = valid.astype(np.float32)
    weight = trust
    # Columns and rows apart: sums over an axis of two are slow.
    shift_x, shift_y, shift_z = (shifts[:, k, None, None] for k in range(3))
    ray_z = rays[..., 2]
    # (r + w s)_xy = seen (r + w s)_z, so w (seen s_z - s_xy) = r_xy - seen r_z, over the depth: in pixels.
    slope_x, slope_y = seen_at[..., 0] * shift_z - shift_x, seen_at[..., 1] * shift_z - shift_y
    start_x, start_y = rays[..., 0] - seen_at[..., 0] * ray_z, rays[..., 1] - seen_at[..., 1] * ray_z
    mixed = slope_x * start_x + slope_y * start_y
    square = slope_x * slope_x + slope_y * slope_y
    depth = np.maximum(ray_z, 0.05)
    for _ in range(_ROUNDS):
        scaled = weight / (depth * depth)
        w = np.clip((scaled * mixed).sum(0) / ((scaled * square).sum(0) + 1e-9), 0, most)
        depth = np.maximum(ray_z + w * shift_z, 0.05)
        away_x, away_y = start_x - w * slope_x, start_y - w * slope_y
        residual = np.sqrt(away_x * away_x + away_y * away_y) / depth
        weight = trust / (1 + (residual / _ROBUST_PIXELS) ** 2)
    return np.asarray(residual, np.float32)
