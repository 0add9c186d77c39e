"""The stages before the fit: from a source to frames, masks, cameras and tracks, with a record of what each chose.

The work itself is done by `recon4d.data.motion`; here is only the choice of what to ask of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from recon4d.core import InputError, SE3Spline
from recon4d.data.learned import masks_or_classical
from recon4d.data.motion import (
    CameraSettings,
    CameraSolution,
    Clip,
    IngestSettings,
    MaskHealth,
    MaskSettings,
    StageCache,
    Tracks,
    TrackSettings,
    find_masks,
    ingest,
    solve_cameras,
    track_points,
)
from recon4d.data.motion.sharpness import BLURRED, clip_blur
from recon4d.data.motion.stage import Progress, array_digest
from recon4d.pipeline.depth import FoundDepth
from recon4d.pipeline.settings import MOTION_PERCENT, ReconstructSettings, is_learned
from recon4d.pipeline.source import Source
from recon4d.pipeline.stages import StageRecord

_SCENE_TRACKS = TrackSettings(max_side=480, cell=9)
_ENOUGH_TRACKS = 20


@dataclass(frozen=True, eq=False)
class Prepared:
    """All that is known before the fit.

    Attributes:
        clip: frames.
        objects: masks of each moving object [T, H, W]; none where the whole picture is one scene.
        mask_health: how they came about.
        solution: cameras.
        tracks: of objects and of a background that is part of the scene; None where nothing can be followed.
        roots: of objects that turn in the solution's world, where that is known.
        depth: of the frames that are fitted; None where there is none.
    """

    clip: Clip
    objects: tuple[UInt8[np.ndarray, "t h w"], ...]
    mask_health: MaskHealth
    solution: CameraSolution
    tracks: Tracks | None
    roots: tuple[SE3Spline | None, ...] = ()
    depth: FoundDepth | None = None


def read_clip(
    source: Source, settings: ReconstructSettings, cache: StageCache, progress: Progress
) -> tuple[Clip, StageRecord]:
    """Frames of one moderate size."""
    wanted = IngestSettings(
        max_side=settings.side_limit,
        max_frames=settings.motion_limit(posed=source.posed),
        enough_frames=settings.frame_limit(posed=source.posed),
        # The frames between those of a protocol are the clip's own: none of them is left out.
        motion_percent=0.0 if source.posed or settings.train_every else MOTION_PERCENT,
        drop_repeats=not source.posed,
    )
    clip = ingest(source.dataset, wanted, work=cache, progress=progress)
    used = f"{len(clip)} of {len(source.views)} frames" if len(clip) < len(source.views) else f"{len(clip)} frames"
    why = "none larger or more than asked for"
    if len(clip) < len(source.views) or source.size != (clip.width, clip.height):
        why = (
            f"at most {wanted.max_frames} frames of {wanted.max_side} pixels to follow motion in, without black and "
            "repeated ones"
        )
    facts = (
        ("input", clip.description),
        ("frames", used),
        ("size", f"{clip.width}x{clip.height} (of {clip.source_size[0]}x{clip.source_size[1]})"),
        ("length", f"{clip.times[-1] - clip.times[0]:.2f} s at {clip.fps:.4g} frames a second"),
        ("keyframes", str(len(clip.keyframes))),
        ("blur", f"{(blur := clip_blur(clip)):.2f} (0.2 to 0.35 is sharp)"),
    )
    # Thinning out is the stage's purpose, no problem; everything else that was lost or assumed is told.
    notes = tuple(text for text in clip.problems if "chosen evenly in motion" not in text)
    if blur > BLURRED:
        notes = (*notes, "the pictures are blurred: details that none of them shows cannot come out")
    return clip, StageRecord("ingest", f"{used}, {clip.width}x{clip.height}", why, facts, notes)


def mark_objects(
    clip: Clip, source: Source, settings: ReconstructSettings, cache: StageCache, progress: Progress
) -> tuple[Clip, tuple[UInt8[np.ndarray, "t h w"], ...], MaskHealth, StageRecord]:
    """Masks of each object; the clip comes back with those that were given."""
    if is_learned(settings.masks):
        learned = masks_or_classical(clip, settings.masks, work=cache, progress=progress)
        whole = () if learned.masks is None else (learned.masks,)
        return clip, whole, learned.health, mask_record(learned.health, len(whole))
    if source.masks is None:
        unmarked = not source.film and clip.masks is None and clip.alpha is None
        wanted = MaskSettings(method="none" if settings.masks == "none" or unmarked else "auto")
        found = find_masks(clip, wanted, work=cache, progress=progress)
        whole = () if found.masks is None else (found.masks,)
        return clip, whole, found.health, mask_record(found.health, len(whole))
    layers, masked = source.masks.load(clip.source_frames, len(source.views), (clip.width, clip.height))
    _refuse_useless(layers, masked, str(source.masks.where))
    healths: list[MaskHealth] = []
    objects: list[UInt8[np.ndarray, "t h w"]] = []
    for layer in layers:
        marked = _with(clip, layer, masked)
        found = find_masks(marked, MaskSettings(method="given"), work=cache, progress=progress)
        assert found.masks is not None
        objects.append(found.masks)
        healths.append(found.health)
    # The first is the largest: its poses are solved where the subject gives them.
    order = sorted(range(len(objects)), key=lambda i: -healths[i].coverage)
    objects, healths = [objects[i] for i in order], [healths[i] for i in order]
    clip = _with(clip, _union(objects), np.ones(len(clip), bool))
    health = replace(
        healths[0],
        reason=f"masks were given: {source.masks.where.name}"
        + (f", {len(objects)} objects" if len(objects) > 1 else ""),
        warnings=tuple(dict.fromkeys([*source.masks.notes, *(text for h in healths for text in h.warnings)])),
    )
    return clip, tuple(objects), health, mask_record(health, len(objects))


def _refuse_useless(layers: Sequence[UInt8[np.ndarray, "t h w"]], masked: np.ndarray, where: str) -> None:
    if not masked.any() or all(int(layer.max()) < 128 for layer in layers):
        got = "masks of other frames" if not masked.any() else "masks that mark nothing"
        raise InputError(
            f"--masks {where}",
            expected="a subject in at least one frame",
            got=got,
            fix="correct the masks, or use --masks auto",
        )
    if len(layers) == 1 and min(float((mask >= 128).mean()) for mask in layers[0][masked]) > 0.98:
        raise InputError(
            f"--masks {where}",
            expected="something that is not the subject",
            got="masks that mark everything",
            fix="use --masks none to take the whole picture",
        )


def _with(clip: Clip, masks: UInt8[np.ndarray, "t h w"], masked: np.ndarray) -> Clip:
    digest = hashlib.sha256(f"{clip.key}{array_digest(masks, masked)}".encode()).hexdigest()
    return replace(clip, masks=masks, masked=masked, key=digest[:24])


def _union(objects: Sequence[UInt8[np.ndarray, "t h w"]]) -> UInt8[np.ndarray, "t h w"]:
    whole = np.array(objects[0])
    for masks in objects[1:]:
        np.maximum(whole, masks, out=whole)
    return whole


def mask_record(health: MaskHealth, objects: int) -> StageRecord:
    """What is known of masks, for the report."""
    facts = [("share of the picture", f"{100 * health.coverage:.1f} %")]
    if health.method != "none":
        low, high = health.coverage_range
        facts += [
            ("least and most", f"{100 * low:.1f} to {100 * high:.1f} %"),
            ("steadiness", f"{health.steadiness:.2f}"),
            ("frames with nothing marked", str(health.empty_frames)),
            ("frames with the subject cut off", f"{100 * health.cut_off:.0f} %"),
        ]
    if health.contrast is not None and health.followed is not None:
        facts += [
            ("own motion, contrast", f"{health.contrast:.2f}"),
            ("follows the background", f"{health.followed:.2f}"),
        ]
    chosen = "the whole picture" if health.method == "none" else f"{health.method}: {_count(objects, 'object')}"
    return StageRecord("masks", chosen, health.reason, tuple(facts), health.warnings, health.confident)


def solve(
    clip: Clip,
    objects: tuple[UInt8[np.ndarray, "t h w"], ...],
    source: Source,
    settings: ReconstructSettings,
    cache: StageCache,
    progress: Progress,
) -> tuple[CameraSolution, StageRecord]:
    """A camera for each frame."""
    mode = {"file": "given", "auto": "given" if source.posed else "auto"}.get(settings.cameras, settings.cameras)
    masks = _union(objects) if objects else None
    notes: tuple[str, ...] = ()
    if mode == "auto" and len(objects) > 1:
        # Objects that move apart cannot all stand still in one world.
        mode = "scene"
        notes = ("several objects: the camera was solved from the background alone",)
    if mode == "object" and objects:
        masks = objects[0]
    wanted = CameraSettings(mode=mode, focal=settings.focal, seed=settings.seed)  # type: ignore[arg-type]
    solution = solve_cameras(clip, masks, wanted, work=cache, progress=progress)
    health = solution.health
    long_side = max(clip.width, clip.height)
    facts = [
        ("focal length", f"{float(solution.cameras[0].K[0, 0]) / long_side:.3f} long sides ({health.focal_source})"),
        ("poses measured", f"{100 * health.solved_share:.0f} % of the frames, the others interpolated"),
        ("range of directions", f"{health.range_degrees:.0f} degrees"),
        ("scene points", str(len(solution.points))),
    ]
    if health.background is not None:
        motion = health.background
        state = "plain" if motion.plain else "still" if motion.still else "moving"
        facts += [
            ("background", f"{state}: it moves by {motion.displacement_percent:.2g} % of the long side"),
            ("background on one homography", f"{100 * motion.followed:.0f} %"),
        ]
    rows: list[tuple[str, ...]] = []
    if health.attempts:
        rows.append(("attempt", "keyframes", "points", "error", "focal", "range", "verdict"))
    for tried in health.attempts:
        rows.append((
            tried.name,
            f"{tried.registered} of {tried.total}",
            str(tried.points),
            f"{tried.error_pixels:.2f} px",
            f"{tried.focal:.2f}",
            f"{tried.range_degrees:.0f}\u00b0",
            "accepted" if tried.accepted else "; ".join(tried.failures),
        ))  # fmt: skip
    chosen = "from the file" if health.chosen == "given" else health.chosen
    record = StageRecord(
        "cameras", chosen, health.reason, tuple(facts), (*notes, *health.warnings), health.confident, tuple(rows)
    )
    return solution, record


def follow(
    clip: Clip,
    objects: tuple[UInt8[np.ndarray, "t h w"], ...],
    source: Source,
    background: str,
    cache: StageCache,
    progress: Progress,
) -> tuple[Tracks | None, StageRecord]:
    """Points on the objects, and on a background that is part of the scene."""
    if not source.film:
        why = "neighbouring frames are not those of one moving camera"
        return None, StageRecord("tracks", "none", why)
    parts: list[Tracks] = []
    facts: list[tuple[str, str]] = []
    if objects:
        whole = _union(objects)
        parts.append(track_points(clip, whole, work=cache, progress=progress))
        facts.append(("on the subject", _count(parts[-1].count, "point")))
    if background != "none":
        outside = 255 - _widened(_union(objects)) if objects else None
        parts.append(track_points(clip, outside, _SCENE_TRACKS, work=cache, progress=progress))
        facts.append(("on the background", _count(parts[-1].count, "point")))
    tracks = merge_tracks(parts)
    if tracks.count:
        facts.append(("frames a point is seen in", f"{float(np.median(tracks.lengths())):.0f} (median)"))
    warnings: tuple[str, ...] = ()
    if tracks.count < _ENOUGH_TRACKS:
        warnings = ("hardly any point could be followed: motion rests on colours and outlines alone",)
    record = StageRecord(
        "tracks", _count(tracks.count, "point"), "chained dense flow, checked forwards and backwards",
        tuple(facts), warnings, not warnings,
    )  # fmt: skip
    return (tracks if tracks.count else None), record


def _widened(masks: UInt8[np.ndarray, "t h w"]) -> UInt8[np.ndarray, "t h w"]:
    import cv2

    size = 2 * max(2, max(masks.shape[1:]) // 100) + 1
    reach = np.ones((size, size), np.uint8)
    return np.stack([np.where(cv2.dilate(mask, reach) >= 128, 255, 0).astype(np.uint8) for mask in masks])


def merge_tracks(parts: Sequence[Tracks]) -> Tracks:
    """Points of several sets as one, those of later sets numbered after those of earlier ones."""
    if len(parts) == 1:
        return parts[0]
    firsts = np.cumsum([0, *(part.count for part in parts)])
    frames = np.concatenate([part.frames for part in parts])
    ids = np.concatenate([part.ids + first for part, first in zip(parts, firsts[:-1], strict=True)])
    order = np.lexsort((ids, frames))
    return Tracks(
        np.concatenate([part.positions for part in parts])[order],
        frames[order],
        ids[order].astype(np.int32),
        int(firsts[-1]),
        parts[0].length,
        "+".join(part.key for part in parts),
    )


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("" if number == 1 else "s")
