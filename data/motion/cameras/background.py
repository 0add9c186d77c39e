"""Measures how the background moves, so that the way to find the cameras can be chosen."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

from recon4d.data.motion.cameras.record import BackgroundMotion
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import DenseFlow, gray_frame, pixel_grid

_SIDE = 320
_STEP = 5
_CORNER = 1e-5
_PLAIN_BELOW = 0.03
_STILL_PERCENT = 0.2
_FEW_SAMPLES = 30
_PAIRS = 16


def background_motion(
    clip: Clip, masks: UInt8[np.ndarray, "t h w"] | None, keyframes: Int64[np.ndarray, " k"]
) -> BackgroundMotion:
    """Compare keyframes, outside the masks: each with the first, and pairs about four apart with a homography."""
    import cv2

    dense = DenseFlow(fine=False)
    gray = [gray_frame(clip, int(k), _SIDE) for k in keyframes]
    height, width = gray[0].shape
    grid = pixel_grid(height, width)[4 : height - 4 : _STEP, 4 : width - 4 : _STEP].astype(int).reshape(-1, 2)
    reach = np.ones((9, 9), np.uint8)

    def usable(index: int) -> np.ndarray:
        if masks is None:
            return np.ones(len(grid), bool)
        small = cv2.resize(masks[keyframes[index]], (width, height), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.dilate(small, reach)[grid[:, 1], grid[:, 0]] < 64)

    def textured(index: int) -> np.ndarray:
        strength = cv2.cornerMinEigenVal(gray[index], 5, ksize=3)
        return np.asarray(strength[grid[:, 1], grid[:, 0]] > _CORNER)

    chosen = np.unique(np.linspace(0, len(gray) - 1, _PAIRS).round().astype(int)).tolist()
    free = {index: usable(index) for index in {*chosen, *(min(i + 4, len(gray) - 1) for i in chosen)}}
    rough = {index: textured(index) & free[index] for index in free}
    share = float(np.mean([rough[i].sum() / max(int(free[i].sum()), 1) for i in chosen]))
    displacement, followed = [], []
    for index in chosen:
        here = rough[0] & free[index]
        if index and here.sum() >= _FEW_SAMPLES:
            at = grid[here]
            moved = dense(gray[0], gray[index])[at[:, 1], at[:, 0]]
            displacement.append(float(np.median(np.linalg.norm(moved, axis=1))) * 100 / max(width, height))
        other = min(index + 4, len(gray) - 1)
        both = rough[index] & free[other]
        if other > index and both.sum() >= _FEW_SAMPLES:
            at = grid[both].astype(np.float32)
            flow = dense(gray[index], gray[other])[grid[both, 1], grid[both, 0]]
            _, inliers = cv2.findHomography(at, at + flow, cv2.RANSAC, 1.5, maxIters=1000)
            followed.append(0.0 if inliers is None else float(inliers.mean()))
    plain = share < _PLAIN_BELOW or not displacement
    moved_percent = float(np.percentile(displacement, 90)) if displacement else 0.0
    still = not plain and moved_percent < _STILL_PERCENT
    return BackgroundMotion(share, moved_percent, float(np.mean(followed)) if followed else 0.0, plain, still)
