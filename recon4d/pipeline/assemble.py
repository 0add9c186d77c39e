"""From what the stages found to the record that is fitted: which frames, which background, which colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float32, UInt8

from recon4d.core import Camera, InputError
from recon4d.data.motion import CameraSolution, Clip, MaskHealth
from recon4d.data.motion.mask_images import plain_score
from recon4d.pipeline.prepare import Prepared
from recon4d.pipeline.settings import ReconstructSettings
from recon4d.pipeline.source import Source
from recon4d.pipeline.split import Split
from recon4d.train.capture import BackgroundKind, Capture

_POINT_VIEWS = 9
_LOOKED_AT, _PLAIN = 7, 0.9  # Frames, and the share of their border of one colour.


def choose_background(
    settings: ReconstructSettings, clip: Clip, mask_health: MaskHealth, solution: CameraSolution, objects: int
) -> tuple[BackgroundKind, str]:
    """What becomes of what is outside the masks, and why.

    Raises:
        InputError: nothing is left: no objects, and no background either.
    """
    chosen = solution.health.chosen
    if settings.background != "auto":
        if settings.background == "none" and not objects:
            raise InputError(
                "--background none",
                expected="masks of a subject",
                got="none",
                fix="give masks, or use --background static",
            )
        return settings.background, "asked for"
    if not objects:
        return "static", "there is no subject to tell from the rest"
    if mask_health.method == "alpha" or (clip.alpha is not None and bool((clip.alpha < 250).any())):
        return "none", "the pictures are transparent around the subject"
    if mask_health.method == "plain":
        return "none", "the background is plain: there is nothing to reconstruct"
    motion = solution.health.background
    if (motion is not None and motion.plain) or is_plain(clip):
        return "none", "the background is plain: there is nothing to reconstruct"
    if chosen == "object":
        if motion is not None and motion.still:
            return "camera", "the background stands still before the camera while the subject turns"
        return "none", "the cameras were solved on the subject, against which the background moves"
    return "static", "the background stands still in the world"


def is_plain(clip: Clip) -> bool:
    """Whether the pictures' borders are of one colour, in most of some frames."""
    some = np.unique(np.linspace(0, len(clip) - 1, _LOOKED_AT).round().astype(int))
    return float(np.median([plain_score(np.asarray(clip.frames[t]))[1] for t in some])) >= _PLAIN


def assemble(
    source: Source, settings: ReconstructSettings, prepared: Prepared, background: BackgroundKind, split: Split
) -> tuple[Capture, tuple[str, ...]]:
    """The record to fit, and warnings.

    Frames in which no object is marked are neither fitted nor measured where nothing but objects is reconstructed.
    """
    clip, solution = prepared.clip, prepared.solution
    objects = prepared.objects
    if clip.alpha is not None and prepared.mask_health.method == "alpha":
        images = straight_colors(clip.frames, clip.alpha, clip.background, split.used)
    else:
        images = [np.asarray(frame) for frame in clip.frames]
    warnings: list[str] = []
    fitted = np.array(split.fitted)
    if background == "none":
        seen = np.any([[bool((mask >= 128).any()) for mask in masks] for masks in objects], axis=0)
        lost = int((fitted & ~seen).sum())
        if lost:
            warnings.append(f"{lost} frames show nothing of the subject and are not fitted")
        fitted &= seen
        if not fitted.any():
            raise InputError(
                "masks", expected="a subject in the frames", got="none", fix="use --masks auto or give masks"
            )
    points, colors = _points(source, clip, solution, objects)
    capture = Capture(
        images=images,
        masks=[list(masks) for masks in objects],
        times=tuple(clip.times.tolist()),
        cameras=tuple(camera.to(torch.float32) for camera in solution.cameras),
        fitted=tuple(fitted.tolist()),
        background=background,
        roots=prepared.roots,
        tracks=prepared.tracks,
        depths=None if prepared.depth is None else prepared.depth.maps,
        depth_kind="relative" if prepared.depth is None else prepared.depth.kind,
        points=points,
        point_colors=colors,
        refine_cameras=solution.health.chosen in ("object", "scene", "rotation"),
        metres_per_unit=source.dataset.metres_per_unit if source.posed else None,
        source={"data_format": source.dataset.format, "input_sha256": source.digest},
    )
    return capture, tuple(warnings)


def straight_colors(
    frames: UInt8[np.ndarray, "t h w 3"],
    alphas: UInt8[np.ndarray, "t h w"],
    background: tuple[float, float, float],
    wanted: Sequence[bool],
) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Colours of transparent frames without the background that they were laid over; black where nothing is.

    Frames that are not wanted stay as they are.
    """
    under = np.asarray(background, np.float32) * 255
    result = []
    for frame, alpha, needed in zip(frames, alphas, wanted, strict=True):
        if not needed:
            result.append(np.asarray(frame))
            continue
        cover = alpha[:, :, None].astype(np.float32) / 255
        color = (frame - under * (1 - cover)) / np.maximum(cover, 1 / 255)
        result.append(np.where(cover > 0, np.rint(np.clip(color, 0, 255)), 0).astype(np.uint8))
    return result


def _points(
    source: Source, clip: Clip, solution: CameraSolution, objects: Sequence[UInt8[np.ndarray, "t h w"]]
) -> tuple[Float32[np.ndarray, "p 3"] | None, Float32[np.ndarray, "p 3"] | None]:
    """Scene points with colours."""
    known = source.dataset.points
    if source.posed and known is not None and len(known.positions):
        return known.positions.astype(np.float32), known.colors.astype(np.float32) / 255
    if not len(solution.points):
        return None, None
    return solution.points.astype(np.float32), point_colors(clip, solution, objects)


def point_colors(
    clip: Clip, solution: CameraSolution, objects: Sequence[UInt8[np.ndarray, "t h w"]]
) -> Float32[np.ndarray, "p 3"]:
    """[P, 3] in [0, 1]: median over some frames of the pixel that each point projects to; gray where it is never seen.

    Points of the subject look at its mask only.
    """
    positions = torch.from_numpy(solution.points)
    inside_only = solution.health.chosen == "object" and bool(objects)
    frames = np.unique(np.linspace(0, len(clip) - 1, _POINT_VIEWS).round().astype(int))
    samples = np.full((len(frames), len(positions), 3), np.nan, np.float32)
    for row, t in enumerate(frames.tolist()):
        camera: Camera = solution.cameras[t]
        pixels, depth = camera.project(positions)
        at, seen = _pixels(pixels.numpy(), depth.numpy(), clip.width, clip.height)
        if inside_only:
            seen &= objects[0][t][at[:, 1], at[:, 0]] >= 128
        samples[row, seen] = clip.frames[t][at[seen, 1], at[seen, 0]] / 255.0
    colors = np.full((len(positions), 3), 0.5, np.float32)
    ever = np.isfinite(samples[..., 0]).any(0)
    if ever.any():
        colors[ever] = np.nanmedian(samples[:, ever], axis=0)
    return colors


def _pixels(at: np.ndarray, depth: np.ndarray, width: int, height: int) -> tuple[np.ndarray, Bool[np.ndarray, " p"]]:
    with np.errstate(invalid="ignore"):
        whole = np.floor(np.nan_to_num(at, nan=-1.0, posinf=-1.0, neginf=-1.0)).clip(-1, 1 << 20).astype(int)
    seen = (depth > 0) & (whole >= 0).all(1) & (whole[:, 0] < width) & (whole[:, 1] < height)
    return np.where(seen[:, None], whole, 0), seen
