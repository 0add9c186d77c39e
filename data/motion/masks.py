"""Stage 2: which pixels are the subject.

Given masks are taken as they are, frames without one get it from their neighbours; else the source's alpha; else a
plain or green background; else what moves by itself (`motion_masks.py`).  What was chosen, and how far to trust it, is
in the result's health record.  Does NOT recognise things; a learned segmenter's masks come in as given ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from recon4d.core import InputError
from recon4d.data.motion import mask_images, motion_masks
from recon4d.data.motion.clip import Clip
from recon4d.data.motion.flow import pull, require_sequence
from recon4d.data.motion.selection import evenly_in_motion
from recon4d.data.motion.stage import Progress, StageCache, no_progress, open_cache, stage_key
from recon4d.data.motion.unfinished import Unfinished, unfinished

MaskMethod = Literal["auto", "given", "alpha", "plain", "motion", "none"]
MASK_METHODS: tuple[MaskMethod, ...] = ("auto", "given", "alpha", "plain", "motion", "none")

_VERSION = 3
_PLAIN_BORDER = 0.9  # Share of the border of one colour that makes a background plain, as a median over frames.
_NOTHING, _EVERYTHING = 5e-4, 0.98  # Shares of the image.
_CLEAR_MOTION = 0.35  # Contrast of the motion score above which something moves by itself.


@dataclass(frozen=True)
class MaskSettings:
    """How to find the subject.

    Attributes:
        method: auto takes the first of given, alpha, plain and motion that applies; none marks no subject at all.
        max_side: plain backgrounds and motion are looked at on frames reduced to this long side.
        motion_frames: motion is looked at in at most so many frames, evenly in motion; masks are carried to the others.
    """

    method: MaskMethod = "auto"
    max_side: int = 432
    motion_frames: int = 120

    def __post_init__(self) -> None:
        if self.method not in MASK_METHODS:
            raise InputError("masks", expected=", ".join(MASK_METHODS), got=repr(self.method), fix="choose one of them")


@dataclass(frozen=True)
class MaskHealth:
    """How the masks came about and how good they look.

    Attributes:
        method: what was used: given, alpha, plain, motion or none.
        reason: why, in a sentence.
        coverage: mean share of the image that is subject; 0 for none.
        coverage_range: least and most of it over the frames.
        steadiness: mean overlap (intersection over union) of each mask with the one before carried along the flow;
            1 where it was not measured (none).
        empty_frames: frames in which nothing is marked.
        cut_off: share of frames in which the subject touches the border.
        followed: share of the picture that follows the background's homography (motion only).
        contrast: how clearly the subject moves by itself, 0 to 1 (motion only).
        confident: whether the masks may be used without another look.
        warnings: sentences for the user.
    """

    method: str
    reason: str
    coverage: float
    coverage_range: tuple[float, float]
    steadiness: float
    empty_frames: int
    cut_off: float
    followed: float | None
    contrast: float | None
    confident: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Masks:
    """The subject in each frame.

    Attributes:
        masks: [T, H, W] 255 = the subject, edges between; None where there is no subject to tell from the rest.
        health: how they came about.
        key: identifies content and settings.
    """

    masks: UInt8[np.ndarray, "t h w"] | None
    health: MaskHealth
    key: str


def find_masks(
    clip: Clip,
    settings: MaskSettings | None = None,
    *,
    work: str | Path | StageCache | None = None,
    progress: Progress = no_progress,
) -> Masks:
    """Find or take over the subject's masks.

    With `auto`, a clip in which nothing clearly moves by itself gets no masks (the whole picture is the subject).

    Args:
        clip: frames; of one camera where motion is needed.
        settings: see `MaskSettings`.
        work: folder that keeps the result.
        progress: called as `progress("masks", done, total)`.

    Raises:
        InputError: masks that mark nothing or everything in all frames, a method that the clip has nothing for, or
            motion of several cameras.
    """
    settings = settings or MaskSettings()
    cache = open_cache(work)
    key = stage_key("masks", _VERSION, settings, clip.key)
    stored = cache.load("masks", key) if cache else None
    if stored is not None:
        record, arrays = stored
        return Masks(arrays.get("masks"), health_of(record["health"]), key)
    with unfinished(cache, "masks", key) as parts:
        masks, health = _find(clip, settings, parts, progress)
        if cache is not None:
            cache.store("masks", key, {"health": asdict(health)}, {"masks": masks})
    return Masks(masks, health, key)


def health_of(record: Any) -> MaskHealth:
    """A health record from what a cache gave."""
    low, high = record["coverage_range"]
    return MaskHealth(**{**record, "coverage_range": (low, high), "warnings": tuple(record["warnings"])})


def _find(
    clip: Clip, settings: MaskSettings, parts: Unfinished, progress: Progress
) -> tuple[UInt8[np.ndarray, "t h w"] | None, MaskHealth]:
    method = settings.method
    if method == "none":
        return None, no_subject("asked for", ())
    if method == "given" or (method == "auto" and clip.masks is not None):
        return _given(clip, settings, parts, progress)
    if method == "alpha" or (method == "auto" and clip.alpha is not None and bool((clip.alpha < 250).any())):
        if clip.alpha is None:
            raise InputError(
                "masks", expected="frames with alpha", got="opaque frames", fix="use --masks auto or give masks"
            )
        _refuse_useless(clip.alpha, "the alpha channel")
        return judged(clip, clip.alpha, "alpha", "the source has transparency", settings)
    if method in ("auto", "plain"):
        share = _plain_share(clip, settings)
        if share >= _PLAIN_BORDER or method == "plain":
            return _plain(clip, settings, share, parts, progress)
    if not clip.is_sequence and method == "auto":
        text = "several cameras without masks or alpha: everything is taken for the subject"
        return None, no_subject("motion needs the frames of one camera", (text,))
    return _motion(clip, settings, parts, progress)


def no_subject(reason: str, warnings: tuple[str, ...], **measured: float) -> MaskHealth:
    """The record where there is no subject, with what was measured (followed, contrast)."""
    followed, contrast = measured.get("followed"), measured.get("contrast")
    return MaskHealth("none", reason, 0.0, (0.0, 0.0), 1.0, 0, 0.0, followed, contrast, not warnings, warnings)


def _refuse_useless(masks: UInt8[np.ndarray, "t h w"], what: str) -> None:
    # In float64 frame by frame: a mean over a memory-mapped whole would hold it all.
    shares = np.array([float((mask >= 128).mean()) for mask in masks])
    if shares.max() < _NOTHING:
        raise InputError(
            what, expected="a subject in at least one frame", got="masks that mark nothing", fix="use --masks auto"
        )
    if shares.min() > _EVERYTHING:
        raise InputError(
            what,
            expected="something that is not the subject",
            got="masks that mark everything",
            fix="use --masks none to take the whole picture",
        )


def small(clip: Clip, index: int, shape: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """A frame at the working size (height, width)."""
    import cv2

    frame = np.ascontiguousarray(clip.frames[index])
    return np.asarray(cv2.resize(frame, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), np.uint8)


def _working_shape(clip: Clip, settings: MaskSettings) -> tuple[int, int]:
    scale = min(1.0, settings.max_side / max(clip.width, clip.height))
    return max(16, round(clip.height * scale)), max(16, round(clip.width * scale))


def enlarged(mask: Bool[np.ndarray, "a b"], clip: Clip) -> UInt8[np.ndarray, "h w"]:
    """A mask of the working size at the clip's."""
    import cv2

    full = (clip.width, clip.height)
    return np.asarray(cv2.resize(mask.astype(np.uint8) * 255, full, interpolation=cv2.INTER_LINEAR), np.uint8)


def _given(
    clip: Clip, settings: MaskSettings, parts: Unfinished, progress: Progress
) -> tuple[UInt8[np.ndarray, "t h w"] | None, MaskHealth]:
    if clip.masks is None:
        raise InputError("masks", expected="masks with the clip", got="none", fix="use --masks auto or give a folder")
    _refuse_useless(np.asarray(clip.masks[clip.masked]), "masks")
    if clip.masked.all():
        return judged(clip, clip.masks, "given", "masks came with the clip", settings)
    if clip.is_sequence:
        masks = propagated(clip, settings, parts, progress)
        reason = f"masks came with {int(clip.masked.sum())} of {len(clip)} frames; the others were carried along"
        return judged(clip, masks, "given", reason, settings)
    raise InputError(
        "masks",
        expected="a mask for each image of several cameras",
        got=f"{int(clip.masked.sum())} of {len(clip)}",
        fix="give the missing masks or leave all out",
    )


def propagated(clip: Clip, settings: MaskSettings, parts: Unfinished, progress: Progress) -> UInt8[np.ndarray, "t h w"]:
    """Masks for all frames: each missing one from the nearest given ones on both sides, weighted by distance."""
    assert clip.masks is not None
    flows = motion_masks.ClipFlows(clip, settings.max_side, keep=False)
    total = len(clip)
    ahead = _carried(clip, flows, False, parts, lambda done: progress("masks", done, 2 * total))
    behind = _carried(clip, flows, True, parts, lambda done: progress("masks", total + done, 2 * total))
    result = np.array(clip.masks)
    for t in np.flatnonzero(~clip.masked):
        reached = [(1 / steps[t], masks[t].astype(np.float32)) for steps, masks in (ahead, behind) if steps[t]]
        if reached:
            mixed = sum(weight * mask for weight, mask in reached) / sum(weight for weight, _ in reached)
            result[t] = enlarged(np.asarray(mixed) > 50, clip)
    return result


def _carried(
    clip: Clip, flows: motion_masks.ClipFlows, backward: bool, parts: Unfinished, tell: Callable[[int], None]
) -> tuple[Int64[np.ndarray, " t"], UInt8[np.ndarray, "t a b"]]:
    """Given masks carried along one direction of time: how many frames (0 = not at all), and the masks, 0 to 100."""
    import cv2

    assert clip.masks is not None
    part = "carried-backward" if backward else "carried"
    order = range(len(clip) - 1, -1, -1) if backward else range(len(clip))
    kept = parts.load(part)
    begin = int(kept.get("done", 0))
    steps = kept.get("steps", np.zeros(len(clip), np.int64))
    masks = kept.get("masks", np.zeros((len(clip), *flows.shape), np.uint8))
    present = kept.get("present", np.zeros(flows.shape, np.float32))
    for n in range(begin, len(clip)):
        t = order[n]
        if clip.masked[t]:
            small_mask = cv2.resize(clip.masks[t], flows.shape[::-1], interpolation=cv2.INTER_AREA)
            present = small_mask.astype(np.float32) / 255
        elif n and (clip.masked[order[n - 1]] or steps[order[n - 1]]):
            steps[t] = steps[order[n - 1]] + 1
            present = np.asarray(pull(present, flows(t, order[n - 1]), flows.grid), np.float32)
            if steps[t] > 2:
                # Carried far, edges wash out; the picture's own edges mend them.
                present = mask_images.refine(small(clip, t, flows.shape), present, 0.5).astype(np.float32)
            masks[t] = np.rint(100 * present)
        tell(n + 1)
        parts.keep(part, done=np.array(n + 1), steps=steps, masks=masks, present=present)
    return steps, masks


def carried_to_all(
    clip: Clip,
    rows: Int64[np.ndarray, " r"],
    masks: UInt8[np.ndarray, "r h w"],
    settings: MaskSettings,
    parts: Unfinished,
    progress: Progress,
) -> UInt8[np.ndarray, "t h w"]:
    """Masks for all frames from those of some rows of the clip."""
    if len(rows) == len(clip):
        return masks
    start, known = np.zeros(clip.frames.shape[:3], np.uint8), np.zeros(len(clip), bool)
    start[rows], known[rows] = masks, True
    return propagated(replace(clip, masks=start, masked=known), settings, parts, progress)


def _plain_share(clip: Clip, settings: MaskSettings) -> float:
    shape = _working_shape(clip, settings)
    frames = np.unique(np.linspace(0, len(clip) - 1, 12).round().astype(int))
    return float(np.median([mask_images.plain_score(small(clip, int(t), shape))[1] for t in frames]))


def _plain(
    clip: Clip, settings: MaskSettings, share: float, parts: Unfinished, progress: Progress
) -> tuple[UInt8[np.ndarray, "t h w"] | None, MaskHealth]:
    shape = _working_shape(clip, settings)
    masks = np.zeros(clip.frames.shape[:3], np.uint8)
    done = parts.load("plain").get("masks", masks[:0])
    masks[: len(done)] = done
    for t in range(len(done), len(clip)):
        image = small(clip, t, shape)
        unlike, _ = mask_images.plain_score(image)
        masks[t] = enlarged(mask_images.plain_mask(image, unlike), clip)
        progress("masks", t + 1, len(clip))
        parts.keep("plain", masks=masks[: t + 1])
    if masks.max() < 128 and settings.method == "auto":
        text = "the background is plain and nothing stands before it"
        return None, no_subject(text, (text,))
    _refuse_useless(masks, "masks of a plain background")
    reason = f"{100 * share:.0f} % of the border is of one colour"
    warnings = () if share >= _PLAIN_BORDER else ("the background is not plain: masks may be wrong",)
    return judged(clip, masks, "plain", reason, settings, warnings=warnings)


def _motion(
    clip: Clip, settings: MaskSettings, parts: Unfinished, progress: Progress
) -> tuple[UInt8[np.ndarray, "t h w"] | None, MaskHealth]:
    require_sequence(clip, "masks by motion")
    rows = evenly_in_motion(clip.motion, settings.motion_frames)
    part = clip if len(rows) == len(clip) else clip.part(rows)
    flows = motion_masks.ClipFlows(part, settings.max_side)
    found = motion_masks.moving_subject(
        part,
        lambda t: small(part, t, flows.shape),
        flows,
        parts,
        lambda done, total: progress("masks", done, total),
    )
    coverage = float(found.masks.mean())
    clear = found.contrast >= _CLEAR_MOTION and _NOTHING <= coverage <= 0.7
    measured = {"followed": found.followed, "contrast": found.contrast}
    parallax = found.followed < motion_masks.PARALLAX_BELOW
    if settings.method == "auto" and (not clear or parallax):
        why = "parallax cannot be told from motion" if parallax else "nothing clearly moves by itself"
        text = f"{why}: the whole picture is taken for the subject; give a mask of one frame to mark a subject"
        return None, no_subject(why, (text,), **measured)
    warnings = []
    if parallax:
        warnings.append("parallax of the background may be taken for the subject: give a mask of at least one frame")
    if not clear:
        warnings.append("hardly anything moves by itself: the masks are guesses")
    masks = np.stack([enlarged(mask, part) for mask in found.masks])
    if masks.max() < 128:
        raise InputError(
            "masks", expected="something that moves by itself", got="nothing", fix="give masks or use --masks none"
        )
    masks = carried_to_all(clip, rows, masks, settings, parts, progress)
    reason = "no masks, alpha or plain background: what moves against the background was taken"
    warnings.append("masks come from motion alone: expect ragged edges and shadows; parts that stand still are missing")
    return judged(clip, masks, "motion", reason, settings, warnings=tuple(warnings), **measured)


def judged(
    clip: Clip,
    masks: UInt8[np.ndarray, "t h w"],
    method: str,
    reason: str,
    settings: MaskSettings,
    *,
    warnings: tuple[str, ...] = (),
    followed: float | None = None,
    contrast: float | None = None,
) -> tuple[UInt8[np.ndarray, "t h w"], MaskHealth]:
    """Masks with their health record: coverage, steadiness and what they warn of."""
    shares = np.array([float((mask >= 128).mean()) for mask in masks])
    edge = np.array(
        [float(max(m[0].max(), m[-1].max(), m[:, 0].max(), m[:, -1].max()) >= 128) for m in masks], np.float64
    )
    steadiness = _steadiness(clip, masks, settings) if clip.is_sequence else 1.0
    notes = list(warnings)
    empty = int((shares < _NOTHING).sum())
    if empty:
        notes.append(f"nothing is marked in {empty} of {len(clip)} frames")
    full = int((shares > _EVERYTHING).sum())
    if full:
        notes.append(f"everything is marked in {full} of {len(clip)} frames")
    if edge.mean() > 0.3:
        notes.append(f"the subject is cut off by the border in {100 * edge.mean():.0f} % of the frames")
    if steadiness < 0.75:
        notes.append("the masks change more from frame to frame than the picture does")
    confident = not empty and not full and steadiness >= 0.75 and method != "motion"
    # With a camera that moves, motion masks overlap the truth by about 0.6: never good enough unseen.
    confident = confident or (method == "motion" and steadiness >= 0.75 and (followed or 0) > 0.9 and not empty)
    coverage_range = (float(shares.min()), float(shares.max()))
    return masks, MaskHealth(
        method, reason, float(shares.mean()), coverage_range, steadiness, empty, float(edge.mean()), followed, contrast,
        confident, tuple(notes),
    )  # fmt: skip


def _steadiness(clip: Clip, masks: UInt8[np.ndarray, "t h w"], settings: MaskSettings) -> float:
    """Mean overlap of masks with their predecessors carried along the flow, over at most 24 pairs."""
    import cv2

    flows = motion_masks.ClipFlows(clip, min(settings.max_side, 320), keep=False)
    size = (flows.shape[1], flows.shape[0])
    overlaps = []
    for t in np.unique(np.linspace(1, len(clip) - 1, 24).round().astype(int)).tolist():
        here = cv2.resize(masks[t], size, interpolation=cv2.INTER_AREA) >= 128
        before = cv2.resize(masks[t - 1], size, interpolation=cv2.INTER_AREA).astype(np.float32)
        there = pull(before, flows(t, t - 1), flows.grid) >= 128
        union = (here | there).sum()
        if union:
            overlaps.append((here & there).sum() / union)
    return float(np.mean(overlaps)) if overlaps else 1.0
