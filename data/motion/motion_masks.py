"""A moving subject found by its motion: what does not follow the background's homography, gathered over time.

For each frame the flow to frames 1, 3 and 6 before and after is compared with the homography most of the picture
follows; the differences are averaged, carried along the flow in both directions of time, cut at Otsu's threshold,
refined by GrabCut, and carried once more.  A homography describes a turning camera exactly, and a moving one only
where the background is far or flat: otherwise parallax counts as motion, and the share of the picture that follows the
homography (`followed`) falls.  Does NOT know what a subject looks like: one that stands still is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from recon4d.data.motion import mask_images
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import DenseFlow, gray_frame, pixel_grid, pull
from recon4d.data.motion.unfinished import Unfinished

GAPS = (1, 3, 6)
PARALLAX_BELOW = 0.7  # Share of the picture that follows the homography: less, and parallax is mistaken for motion.
_MEMORY = 0.8  # Weight of what is carried along against what is seen.
_GRID = 6  # Pixels between the samples that a homography is fitted to.


@dataclass(frozen=True, eq=False)
class MovingSubject:
    """Masks at the working size.

    Attributes:
        masks: [T, h, w].
        followed: mean share of the picture that follows the background's homography.
        contrast: mean motion score inside the masks less outside, 0 to 1: how clearly something moves by itself.
    """

    masks: Bool[np.ndarray, "t h w"]
    followed: float
    contrast: float


class ClipFlows:
    """Flow between frames of a clip at a small size; flow to neighbours is kept, the rest is computed when asked.

    Args:
        clip: frames of one camera.
        max_side: long side of the frames that are compared, pixels.
        keep: keep flow to neighbours, for those who ask more than once.
    """

    def __init__(self, clip: Clip, max_side: int, *, keep: bool = True) -> None:
        self._keeps = keep
        self._dense = DenseFlow(fine=False)
        self.gray = [gray_frame(clip, index, max_side) for index in range(len(clip))]
        self.shape = (int(self.gray[0].shape[0]), int(self.gray[0].shape[1]))
        self.grid = pixel_grid(*self.shape)
        self._kept: dict[tuple[int, int], Float32[np.ndarray, "h w 2"]] = {}

    def __call__(self, source: int, target: int) -> Float32[np.ndarray, "h w 2"]:
        """Flow from one frame to another."""
        if abs(source - target) != 1 or not self._keeps:
            return self._dense(self.gray[source], self.gray[target])
        if (source, target) not in self._kept:
            # Half precision: a quarter of a gigabyte for 300 frames.
            self._kept[source, target] = self._dense(self.gray[source], self.gray[target]).astype(np.float16)
        return self._kept[source, target].astype(np.float32)

    def carry(self, values: Float32[np.ndarray, "t h w"], memory: float) -> Float32[np.ndarray, "t h w"]:
        """Values averaged over time along the flow, forwards and backwards."""
        total = len(values)
        ahead, behind = values.copy(), values.copy()
        for t in range(1, total):
            ahead[t] = memory * pull(ahead[t - 1], self(t, t - 1), self.grid) + (1 - memory) * values[t]
        for t in range(total - 2, -1, -1):
            behind[t] = memory * pull(behind[t + 1], self(t, t + 1), self.grid) + (1 - memory) * values[t]
        return (ahead + behind) / 2


def moving_subject(
    clip: Clip,
    images: Callable[[int], UInt8[np.ndarray, "h w 3"]],
    flows: ClipFlows,
    parts: Unfinished,
    tell: Callable[[int, int], None],
) -> MovingSubject:
    """Find what moves by itself.

    Args:
        clip: frames of one camera.
        images: gives the frame of an index at the size of `flows`.
        flows: of the clip.
        parts: keeps what is done so far.
        tell: called with how many parts are done, and how many there are.
    """
    total = len(clip)
    scores, followed = _scores(total, flows, parts, lambda done: tell(done, 2 * total))
    share = float(np.mean(followed))
    gathered = flows.carry(scores, _MEMORY)
    if share < PARALLAX_BELOW:
        # Carried along, parallax would only be gathered too.
        masks = np.stack([mask_images.clean(s > mask_images.otsu(s)) for s in scores])
        gathered = scores
    else:
        cut = np.zeros_like(scores)
        done = parts.load("cut").get("cut", cut[:0])
        cut[: len(done)] = done
        for t in range(len(done), total):
            cut[t] = mask_images.refine(images(t), gathered[t], mask_images.otsu(gathered[t]))
            tell(total + t + 1, 2 * total)
            parts.keep("cut", cut=cut[: t + 1])
        steady = flows.carry(cut, 0.85)
        masks = np.stack([mask_images.clean(values > 0.5) for values in steady])
    inside, outside = masks.mean(), 1 - masks.mean()
    contrast = 0.0
    if inside > 0 and outside > 0:
        contrast = float(gathered[masks].mean() - gathered[~masks].mean())
    return MovingSubject(masks, share, contrast)


def _scores(
    total: int, flows: ClipFlows, parts: Unfinished, tell: Callable[[int], None]
) -> tuple[Float32[np.ndarray, "t h w"], list[float]]:
    """[T, h, w] how unlike the background each pixel moves, and the shares that follow it, of every pair of frames."""
    scores = np.zeros((total, *flows.shape), np.float32)
    kept = parts.load("scores")
    begin = len(kept.get("scores", ()))
    scores[:begin] = kept.get("scores", scores[:0])
    followed: list[float] = kept.get("followed", np.zeros(0)).tolist()
    for t in range(begin, total):
        pairs = []
        for gap in GAPS:
            for other in (t - gap, t + gap):
                if 0 <= other < total:
                    score, share = _unlike_background(flows(t, other), flows.grid)
                    pairs.append(score)
                    followed.append(share)
        scores[t] = np.mean(pairs, 0)
        tell(t + 1)
        parts.keep("scores", scores=scores[: t + 1], followed=np.array(followed))
    return scores, followed


def _unlike_background(
    flow: Float32[np.ndarray, "h w 2"], grid: Float32[np.ndarray, "h w 2"]
) -> tuple[Float32[np.ndarray, "h w"], float]:
    """[H, W] in [0, 1]: how far flow is from the homography of most of the picture; and the share that follows it."""
    import cv2

    height, width = flow.shape[:2]
    at = grid[4 : height - 4 : _GRID, 4 : width - 4 : _GRID].reshape(-1, 2)
    moved = at + flow[4 : height - 4 : _GRID, 4 : width - 4 : _GRID].reshape(-1, 2)
    homography, inliers = cv2.findHomography(at, moved, cv2.RANSAC, 1.0, maxIters=1000)
    if homography is None:
        return np.zeros((height, width), np.float32), 0.0
    expected = cv2.perspectiveTransform(grid.reshape(1, -1, 2), homography).reshape(height, width, 2)
    away = np.linalg.norm(expected - grid - flow, axis=-1)
    usual = max(float(np.median(away)), 0.15)
    score = 1 - np.exp(-np.maximum(away - 1.5 * usual, 0) / max(3 * usual, 0.4))
    return score.astype(np.float32), float(inliers.mean())
