"""A second look for the subject, once the cameras are known: what moves against the world that they were solved in.

`find_masks` compares flow with one homography and gives up where the background has depth.  With poses, each pixel is
compared with the best point that stands still (`static_world.py`); the scores are gathered along the flow, cut at
Otsu's threshold, refined by GrabCut and steadied in time, and the parts that last are kept.  Where nothing clearly
moves, or what moves fills the picture or flickers, there are no masks, and the health record says why.  Does NOT know
what a subject looks like: one that stands still all the time is not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from recon4d.core import InputError
from recon4d.data.motion import mask_images
from recon4d.data.motion.cameras.record import CameraSolution
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import require_sequence
from recon4d.data.motion.masks import (
    MaskHealth,
    Masks,
    MaskSettings,
    carried_to_all,
    enlarged,
    health_of,
    judged,
    no_subject,
    propagated,
    small,
)
from recon4d.data.motion.motion_masks import ClipFlows
from recon4d.data.motion.selection import evenly_in_motion
from recon4d.data.motion.stage import Progress, StageCache, no_progress, open_cache, stage_key
from recon4d.data.motion.static_world import StaticWorld
from recon4d.data.motion.unfinished import Unfinished, unfinished

METHOD = "moving against the solved cameras"
_VERSION = 3
_MEMORY = 0.8  # Weight of what is carried along against what is seen.
_LASTS = 0.25  # Parts that last are kept down to this share of the space and time that the largest takes.
_LEAST, _MOST = 2e-3, 0.6  # Share of the picture that a subject takes.
_CLEAR = 0.4  # Contrast of the score from which something moves: 0.34 at the rim of a still apple, 0.48 for a cat.
_PRESENT = 0.7  # Share of the frames that it is seen in.
_ROUGHLY_CLEAR, _ROUGHLY_PRESENT = 0.25, 0.4  # The same where the cameras are in doubt.
_SHRUNK, _AROUND = 0.6, 24  # A mask is lost below this share of the upper quartile of areas so many frames around.
_CARRIED = 16  # Frames that a mask is carried where the poses tell too little.
_STEADY = 0.65


@dataclass(frozen=True)
class MovingSettings:
    """How to look for what moves.

    Attributes:
        max_side: on frames reduced to this long side.
        frames: in at most so many frames, evenly in motion; masks are carried to the others.
        gaps: each frame is compared with those so many kept frames before and after.
        rough: be content with less: masks to leave points out by, where the cameras are in doubt, not to fit to.
    """

    max_side: int = 384
    frames: int = 120
    gaps: tuple[int, ...] = (1, 2, 4, 8, 16)
    rough: bool = False

    def __post_init__(self) -> None:
        if not self.gaps or min(self.gaps) < 1 or self.max_side < 32:
            raise InputError(
                "what moves",
                expected="gaps of at least one frame and a long side of at least 32 pixels",
                got=f"gaps {self.gaps}, {self.max_side} pixels",
                fix="leave the settings out",
            )


def find_moving(
    clip: Clip,
    solution: CameraSolution,
    settings: MovingSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Masks:
    """Find what moves against the solved cameras.

    Args:
        clip: frames of one camera that moves.
        solution: its cameras, solved on the background; what they are in doubt about is taken for motion.
        settings: see `MovingSettings`.
        work: folder that keeps the result.
        progress: called as `progress("moving", done, total)`.

    Returns:
        masks of everything that moves, or None with the reason in the health record.

    Raises:
        InputError: frames of several cameras, or as many cameras as there are no frames.
    """
    settings = settings or MovingSettings()
    require_sequence(clip, "what moves")
    if len(solution.cameras) != len(clip):
        raise InputError(
            "cameras", expected=f"{len(clip)}, one for each frame", got=str(len(solution.cameras)), fix="solve them"
        )
    cache = open_cache(work)
    key = stage_key("moving", _VERSION, settings, clip.key, solution.key)
    stored = cache.load("moving", key) if cache else None
    if stored is not None:
        record, arrays = stored
        return Masks(arrays.get("masks"), health_of(record["health"]), key)
    with unfinished(cache, "moving", key) as parts:
        masks, health = _find(clip, solution, settings, parts, progress)
        if cache is not None:
            cache.store("moving", key, {"health": asdict(health)}, {"masks": masks})
    return Masks(masks, health, key)


def _find(
    clip: Clip, solution: CameraSolution, settings: MovingSettings, parts: Unfinished, progress: Progress
) -> tuple[UInt8[np.ndarray, "t h w"] | None, MaskHealth]:
    whole, rows = clip, evenly_in_motion(clip.motion, settings.frames)
    if len(rows) < len(whole):
        clip = whole.part(rows)
        cameras = tuple(solution.cameras[row] for row in rows)
        solution = replace(solution, cameras=cameras, solved=np.asarray(solution.solved)[rows])
    flows = ClipFlows(clip, settings.max_side)
    gathered, followed = _gathered(flows, solution, settings, parts, lambda n: progress("moving", n, 2 * len(clip)))
    rough = _lasting(np.stack([mask_images.clean(s > max(mask_images.otsu(s), 0.25)) for s in gathered]))
    contrast = _contrast(gathered, rough)
    found = rough
    clear, present = (_ROUGHLY_CLEAR, _ROUGHLY_PRESENT) if settings.rough else (_CLEAR, _PRESENT)
    if contrast >= clear:
        found = _cut(clip, flows, gathered, rough, parts, lambda n: progress("moving", len(clip) + n, 2 * len(clip)))
        contrast = _contrast(gathered, found)
    seen = _seen(found)
    if contrast < clear or seen.mean() < present:
        why = f"contrast {contrast:.2f}, in {100 * seen.mean():.0f} % of the frames"
        progress("moving", 2 * len(clip), 2 * len(clip))
        text = f"nothing clearly moves against the solved cameras ({why})"
        return None, no_subject(text, (), followed=followed, contrast=contrast)
    masks, carried = _completed(clip, np.stack([enlarged(mask, clip) for mask in found]), seen, settings, parts)
    reason = "the background's points fix the camera: what moves against them was taken"
    notes = ["masks come from motion: expect ragged edges and shadows; parts that stand still may be missing"]
    if carried:
        notes.append(f"masks of {carried} frames were carried there from others: motion did not tell them")
    wanted = MaskSettings(max_side=settings.max_side)
    masks = carried_to_all(whole, rows, masks, wanted, parts, no_progress)
    masks, health = judged(
        whole, masks, METHOD, reason, wanted, warnings=tuple(notes), followed=followed, contrast=contrast
    )
    doubt = None
    if health.coverage > _MOST:
        doubt = f"what moves fills {100 * health.coverage:.0f} % of the picture: the cameras are in doubt"
    elif health.steadiness < _STEADY and not settings.rough:
        doubt = f"what seems to move flickers (steadiness {health.steadiness:.2f})"
    if doubt is not None:
        return None, no_subject(doubt, (doubt,), followed=followed, contrast=contrast)
    return masks, replace(health, confident=health.steadiness >= 0.75 and float(seen.mean()) > 0.9)


def _gathered(
    flows: ClipFlows,
    solution: CameraSolution,
    settings: MovingSettings,
    parts: Unfinished,
    tell: Callable[[int], None],
) -> tuple[Float32[np.ndarray, "t h w"], float]:
    """[T, h, w] scores carried along the flow both ways, and the share of what was seen that stands still."""
    world = StaticWorld(flows, solution.cameras, np.asarray(solution.solved), settings.gaps, _nearest(solution))
    total = len(solution.cameras)
    scores = np.zeros((total, *flows.shape), np.float32)
    trust = np.zeros_like(scores)
    kept = parts.load("scores")
    begin = len(kept.get("scores", ()))
    scores[:begin], trust[:begin] = kept.get("scores", scores[:0]), kept.get("trust", trust[:0])
    for t, misfit in enumerate(world.misfits(begin), begin):
        trust[t] = np.minimum(misfit.views / 3, 1)
        scores[t] = misfit.score * trust[t]
        tell(t + 1)
        parts.keep("scores", scores=scores[: t + 1], trust=trust[: t + 1])
    still = float((scores < 0.2 * trust).sum() / max(float((trust > 0).sum()), 1.0))
    return flows.carry(scores, _MEMORY) / np.maximum(flows.carry(trust, _MEMORY), 0.05), still


def _nearest(solution: CameraSolution) -> float:
    """Depth that nothing is nearer than: a quarter of that of the nearest points."""
    points = torch.from_numpy(solution.points)
    if not len(points):
        return 1e-2
    depths = np.concatenate([camera.project(points)[1].numpy() for camera in solution.cameras[::4]])
    depths = depths[depths > 0]
    return float(np.percentile(depths, 1)) / 4 if len(depths) else 1e-2


def _lasting(masks: Bool[np.ndarray, "t h w"]) -> Bool[np.ndarray, "t h w"]:
    """Parts joined over space and time, without those that are small or short."""
    from scipy import ndimage

    labels, count = ndimage.label(masks, np.ones((3, 3, 3), bool))
    if count == 0:
        return masks
    sizes = np.bincount(labels.ravel())[1:]
    return np.isin(labels, 1 + np.flatnonzero(sizes >= _LASTS * sizes.max()))


def _contrast(scores: Float32[np.ndarray, "t h w"], masks: Bool[np.ndarray, "t h w"]) -> float:
    if not masks.any() or masks.all():
        return 0.0
    return float(scores[masks].mean() - scores[~masks].mean())


def _cut(
    clip: Clip,
    flows: ClipFlows,
    scores: Float32[np.ndarray, "t h w"],
    rough: Bool[np.ndarray, "t h w"],
    parts: Unfinished,
    tell: Callable[[int], None],
) -> Bool[np.ndarray, "t h w"]:
    """Masks that follow the pictures' edges, steadied in time."""
    import cv2

    cut = np.zeros(scores.shape, np.float32)
    near = np.ones((9, 9), np.uint8)
    done = parts.load("cut").get("cut", cut[:0])
    cut[: len(done)] = done
    for t in range(len(done), len(clip)):
        around = cv2.dilate(rough[t].astype(np.uint8), near) > 0
        score = np.where(around, scores[t], 0).astype(np.float32)
        cut[t] = mask_images.refine(small(clip, t, flows.shape), score, max(mask_images.otsu(scores[t]), 0.25))
        tell(t + 1)
        parts.keep("cut", cut=cut[: t + 1])
    steady = flows.carry(cut, 0.85)
    return _lasting(np.stack([mask_images.clean(values > 0.5) for values in steady]))


def _seen(masks: Bool[np.ndarray, "t h w"]) -> Bool[np.ndarray, " t"]:
    """Frames that show the subject: something is marked, and not suddenly much less than in those around."""
    areas = masks.mean((1, 2))
    usual = [np.percentile(areas[max(t - _AROUND, 0) : t + _AROUND + 1], 75) for t in range(len(areas))]
    return np.asarray((areas >= _LEAST) & (areas >= _SHRUNK * np.array(usual)))


def _completed(
    clip: Clip,
    masks: UInt8[np.ndarray, "t h w"],
    seen: Bool[np.ndarray, " t"],
    settings: MovingSettings,
    parts: Unfinished,
) -> tuple[UInt8[np.ndarray, "t h w"], int]:
    """Masks of frames that have none carried from those nearby, and how many they are."""
    frames = np.flatnonzero(seen)
    away = np.abs(np.arange(len(clip))[:, None] - frames[None]).min(1)
    missing = (away > 0) & (away <= _CARRIED)
    if not missing.any():
        return masks, 0
    start = np.where(seen[:, None, None], masks, 0).astype(np.uint8)
    marked = replace(clip, masks=start, masked=seen)
    filled = propagated(marked, MaskSettings(max_side=settings.max_side), parts.inside("completed"), no_progress)
    result = np.where(missing[:, None, None], filled, start).astype(np.uint8)
    return result, int(sum(bool((result[t] >= 128).any()) for t in np.flatnonzero(missing)))
