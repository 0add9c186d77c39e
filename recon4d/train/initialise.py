"""The state of a fit before its first step: objects from masks and cameras, the background from what is around them."""

from __future__ import annotations

import torch

from recon4d.core import InputError, SE3Spline
from recon4d.train.backdrop_start import create_backdrop
from recon4d.train.cameras import Cameras
from recon4d.train.capture import Capture
from recon4d.train.config import FitConfig
from recon4d.train.frames import Frame, Frames
from recon4d.train.hull import Hull, carve
from recon4d.train.inflate import completed, inflate, no_parallax
from recon4d.train.model import Model
from recon4d.train.moving_object import MovingObject, create_object
from recon4d.train.part import Part
from recon4d.train.root import root_path
from recon4d.train.tighten import tightened

_SAME_TIME = 1e-6  # seconds
_MOMENTS = (0.5, 0.35, 0.65, 0.2, 0.8, 0.1, 0.9)  # of the clip, that may be canonical
_FILLS = 0.95  # coverage of masks by a hull, with which nobody looks for a better moment
_ALL_AROUND = 0.8  # length of the mean view direction of a window's cameras, below which they see all sides
_LEAST_FRAMES_PER_CONTROL = 2.0


def create_model(capture: Capture, frames: Frames, config: FitConfig, device: torch.device) -> tuple[Model, list[str]]:
    """Every part as it stands before the first step, and warnings in plain words.

    Raises:
        InputError: masks that contradict the cameras.
    """
    times = frames.times
    # The middle, unless the first object's hull has reason to be that of another moment.
    canonical_time = times[len(times) // 2]
    inflated = False
    parts: list[Part] = []
    warnings: list[str] = []
    for number in range(frames.objects):
        seen = tuple(
            frame.of_object(number)
            for frame in frames.levels[_hull_factor(frames, number, config)]
            if bool((frame.masks[number] > 0).any())
        )
        given = capture.roots[number] if number < len(capture.roots) else None
        moments = [canonical_time] if number else [times[int(share * len(times))] for share in _MOMENTS]
        hull, root, canonical_time, notes = _shape(seen, moments, config, given, trusted=not capture.refine_cameras)
        inflated |= bool(notes)
        warnings += [f"Object {number + 1}: {note}" if frames.objects > 1 else note for note in notes]
        parts.append(
            create_object(
                "object" if number == 0 else f"object-{number + 1}",
                hull,
                root,
                canonical_time,
                times,
                bones=config.bones_at_first,
                opacity=config.initial_opacity,
                sh_degree=config.sh_degree,
                per_control=_frames_per_control(times, config),
                blend=config.blend,
                residual_nodes=config.residual_nodes,
                device=device,
            )
        )
    if capture.background != "none":
        places = [(_middle(part, canonical_time), part.size) for part in parts if isinstance(part, MovingObject)]
        backdrop, notes = create_backdrop(
            capture, frames, places, count=config.background_surfels // 2, sh_degree=config.sh_degree, device=device
        )
        parts.append(backdrop)
        warnings += notes
    return Model(parts, Cameras.start(capture, device), canonical_time, inflated), warnings


def _frames_per_control(times: list[float], config: FitConfig) -> float:
    """Few enough for fast motion, and enough for a control to be seen."""
    different = len(set(times))
    seconds = (times[-1] - times[0]) / max(1, different - 1)
    by_time = config.seconds_per_control / seconds if seconds > 0 else config.frames_per_control
    return min(config.frames_per_control, max(_LEAST_FRAMES_PER_CONTROL, by_time))


def _shape(
    seen: tuple[Frame, ...], moments: list[float], config: FitConfig, given: SE3Spline | None, *, trusted: bool
) -> tuple[Hull, SE3Spline, float, list[str]]:
    """Hull, root and canonical time of one object: carved where the cameras show it from several sides, else inflated.

    Args:
        seen: its frames.
        moments: seconds that may be canonical, the one that is to be preferred first.
        config: of the fit.
        given: the root, where it is known.
        trusted: whether the cameras are.
    """
    canonical_time = moments[0]
    generator = torch.Generator().manual_seed(config.seed)
    note = None
    if given is None and no_parallax(seen):
        note = "The subject was seen from one side only"
    else:
        try:
            root = root_path(seen, config.frames_per_root_control) if given is None else given
            hull, canonical_time = _best_hull(seen, root, moments, config)
        except InputError:
            # Cameras that are trusted must be told to be wrong; those that were solved are known to err.
            if trusted:
                raise
            note = "The outlines and the cameras that were solved do not agree on a shape"
    if note is not None:
        hull, root = inflate(seen, canonical_time, config.frames_per_root_control, config.initial_surfels, generator)
        guess = "its depth is a guess (the inflated silhouette), and views from other sides are guesses."
        return hull, root, canonical_time, [f"{note}: {guess}"]
    hull = tightened(hull, seen, root, canonical_time)
    nearest = min(seen, key=lambda frame: abs(frame.time - canonical_time))
    if abs(nearest.time - canonical_time) < _SAME_TIME:
        hull = completed(hull, nearest, generator)
    return hull, root, canonical_time, []


def _best_hull(seen: tuple[Frame, ...], root: SE3Spline, moments: list[float], config: FitConfig) -> tuple[Hull, float]:
    """The hull of the first moment; or, where that leaves out limbs and cameras show all sides, of the fullest.

    Limbs that swing at a moment are carved away by the frames around it, which a hull's coverage tells.  It tells so
    only of cameras on all sides: a hull that was seen from one fills every mask.

    Raises:
        InputError: the masks and cameras leave nothing at the first moment.
    """

    def carved(moment: float) -> Hull:
        generator = torch.Generator().manual_seed(config.seed)
        return carve(
            seen,
            root,
            moment,
            voxels=config.hull_voxels,
            window=config.hull_window,
            count=config.initial_surfels,
            generator=generator,
        )

    best = carved(moments[0]), moments[0]
    for moment in moments[1:]:
        if best[0].coverage >= _FILLS or not _all_around(seen, root, moment, config.hull_window):
            break
        try:
            other = carved(moment)
        except InputError:
            continue
        if other.coverage > best[0].coverage:
            best = other, moment
    return best


def _all_around(seen: tuple[Frame, ...], root: SE3Spline, moment: float, window: float) -> bool:
    """Whether the cameras of the frames around a moment look at the subject from all sides."""
    near = sorted(seen, key=lambda frame: abs(frame.time - moment))[: max(2, round(window * len(seen)))]
    middle = root.at(torch.tensor([moment], dtype=torch.float64))[1][0]
    ways = torch.stack([frame.camera.center_in_world - middle.to(frame.camera.K) for frame in near])
    return float(torch.nn.functional.normalize(ways, dim=-1).mean(0).norm()) < _ALL_AROUND


def _hull_factor(frames: Frames, number: int, config: FitConfig) -> int:
    """The smallest images whose subjects still have a pixel for a voxel."""
    good = []
    for factor, level in frames.levels.items():
        shown = next((f for f in level if bool((f.masks[number] > 0).any())), None)
        if shown is not None and min(shown.of_object(number).box[2:]) >= config.hull_voxels:
            good.append(factor)
    return max(good, default=1)


def _middle(part: MovingObject, time: float) -> torch.Tensor:
    with torch.no_grad():
        return part.at(time, torch.eye(4, device=part.device)).surfels.centers.mean(0).cpu()
