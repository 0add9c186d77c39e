"""A second look for a subject after the cameras: what moves against a world that was solved without knowing of it.

Parallax keeps the first look (`prepare.mark_objects`) from telling motion; cameras that the background's points fix
tell it.  With a subject found that is large, or may have spoiled the cameras, these are solved once more without it,
and kept where they fit better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from recon4d.data.motion import (
    CameraSettings,
    CameraSolution,
    Clip,
    MaskHealth,
    MovingSettings,
    StageCache,
    find_moving,
    solve_cameras,
)
from recon4d.data.motion.stage import Progress
from recon4d.pipeline.prepare import mask_record
from recon4d.pipeline.settings import ReconstructSettings
from recon4d.pipeline.source import Source
from recon4d.pipeline.stages import StageRecord

STAGE = "second look"
_LARGE = 0.1  # Share of the picture from which a subject is worth solving the cameras without it.


@dataclass(frozen=True, eq=False)
class SecondLook:
    """What came of it.

    Attributes:
        objects: masks of the one subject [T, H, W], or nothing.
        health: how they came about; that of the first look where nothing was found.
        solution: the cameras to go on with.
        record: for the report.
    """

    objects: tuple[UInt8[np.ndarray, "t h w"], ...]
    health: MaskHealth
    solution: CameraSolution
    record: StageRecord


def is_worth_it(
    clip: Clip,
    objects: tuple[UInt8[np.ndarray, "t h w"], ...],
    source: Source,
    settings: ReconstructSettings,
    solution: CameraSolution,
) -> bool:
    """Whether masks were looked for in a film, none were found, and the background fixes the cameras.

    They may be in doubt: what moves among the points that fix them may be the reason.
    """
    looked = settings.masks == "auto" and source.masks is None and source.film and clip.is_sequence
    return looked and not objects and solution.health.chosen == "scene"


def look_again(
    clip: Clip,
    first: MaskHealth,
    solution: CameraSolution,
    settings: ReconstructSettings,
    cache: StageCache,
    progress: Progress,
) -> SecondLook:
    """Look for what moves against the cameras.

    Args:
        clip: frames of one camera.
        first: what the first look said.
        solution: cameras fixed by the background.
        settings: focal length and seed are those of the first cameras.
        cache: keeps the results.
        progress: told of all parts.
    """
    found = find_moving(clip, solution, work=cache, progress=progress)
    if found.masks is None and not solution.health.confident:
        # What moves may be what spoiled the cameras, and spoiled cameras hide it: leave out what seems to move.
        rough = find_moving(clip, solution, MovingSettings(rough=True), work=cache, progress=progress)
        without = None if rough.masks is None else _solved_without(clip, rough.masks, settings, cache, progress)
        if without is not None and _as_healthy(without, solution):
            found = find_moving(clip, without, work=cache, progress=progress)
            solution = without
    if found.masks is None:
        return SecondLook((), first, solution, replace(mask_record(found.health, 0), stage=STAGE))
    masks, health = found.masks, found.health
    notes: tuple[tuple[str, str], ...] = ()
    if health.coverage > _LARGE or not solution.health.confident:
        without = _solved_without(clip, masks, settings, cache, progress)
        before, after = _error(solution), _error(without)
        kept = _as_healthy(without, solution) and after < before
        verdict = "kept" if kept else "not kept"
        notes = (("cameras without the subject", f"{verdict}: error {after:.2f} px, {before:.2f} px with it"),)
        if kept:
            # Cameras that the subject does not pull at show more of it.
            solution = without
            again = find_moving(clip, solution, work=cache, progress=progress)
            if again.masks is not None:
                masks, health = again.masks, again.health
    record = mask_record(health, 1)
    return SecondLook((masks,), health, solution, replace(record, stage=STAGE, facts=(*record.facts, *notes)))


def _solved_without(
    clip: Clip,
    masks: UInt8[np.ndarray, "t h w"],
    settings: ReconstructSettings,
    cache: StageCache,
    progress: Progress,
) -> CameraSolution:
    wanted = CameraSettings(mode="scene", focal=settings.focal, seed=settings.seed)
    return solve_cameras(clip, masks, wanted, work=cache, progress=progress)


def _error(solution: CameraSolution) -> float:
    """Mean reprojection error of the points, pixels."""
    return float(solution.point_errors.mean()) if len(solution.point_errors) else float("inf")


def _as_healthy(new: CameraSolution, old: CameraSolution) -> bool:
    health = new.health
    return health.chosen == "scene" and health.confident and health.solved_share >= old.health.solved_share
