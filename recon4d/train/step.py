"""One step of a fit: a view is drawn and compared, and every parameter moves a little.

Does NOT know of checkpoints, snapshots or scenes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from recon4d.core import Camera, Surfels, rigid
from recon4d.render import RasterOutput, rasterize
from recon4d.train.capture import Capture
from recon4d.train.checkpoint import State
from recon4d.train.config import FitConfig
from recon4d.train.correspondences import draw_pair, motion_error
from recon4d.train.frames import Box, Frame, Frames, crop_camera
from recon4d.train.model import Model, merged
from recon4d.train.moving_object import MovingObject
from recon4d.train.objective import Objective
from recon4d.train.part import Posed
from recon4d.train.upkeep import after_step, before_step

_MEMORY = 0.98  # of the running means
_ALONE_EVERY = 4  # steps
_GEOMETRY_EVERY = 2  # steps, once colours have a branch of their own
_FEWEST_FRAMES = 4  # at the start of the warm-up
_HOLD_EVERY = 5  # steps
_TRACK_GAPS = (1, 2, 3, 5, 8, 12, 18)
_TRACK_SIDE = 160  # pixels; motion is smooth, so small images tell it


def train_step(state: State, capture: Capture, frames: Frames, objective: Objective, config: FitConfig) -> None:
    """Render one view, compare, move every parameter a little; now and then move surfels to where they are needed."""
    step, model = state.step, state.model
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    level = frames.levels[config.level_at(step)]
    frame = _frame(state, level, config, generator)
    background = torch.rand(3, generator=generator).to(model.device)

    before_step(state, config)
    drawn = _draw(model, frames, frame, background, whole=step % config.whole_image_every == 0)
    loss, squared, radii = _view_loss(drawn, state, capture, frames, objective)
    surface = step >= config.after(config.surface_from)
    for part, posed in zip(model.parts, drawn.posed, strict=True):
        loss = loss + objective.shape(part, posed.canonical, step, surface=surface)
        if isinstance(part, MovingObject):
            loss = loss + objective.motion(part, posed, step)
    if model.cameras.parameters:
        loss = loss + config.weights.cameras * model.cameras.smoothness(frame.index, model.parts[0].size)
    loss = loss + _track_loss(state, capture, frames, frame, drawn.camera, drawn.posed, config)
    loss.backward()

    _note_density(state, drawn)
    state.optimizer.step(step / config.iterations, radii)
    state.mean_loss = _running(state.mean_loss, float(loss.detach()))
    # Scaled to the whole image, outside of whose crop both are plain background.
    share = drawn.target.numel() / (3 * frame.camera.width * frame.camera.height)
    state.mean_squared_error = _running(state.mean_squared_error, float(squared) * share)
    state.step = step + 1
    after_step(state, frames, level, config, generator)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A view of the model, and what was seen there.

    Attributes:
        frame, camera: that were taken; the camera corrected, of the whole image.
        box, view: the part of the image that is compared, and the camera of it.
        posed: every part at the frame's moment.
        behind: background of every channel.
        offsets: [N, 2] zeros on the screen, whose gradients tell where surfels are missing.
        output: what the rasterizer gave.
        target: the image over the background.
        masks: coverage of each object.
    """

    frame: Frame
    camera: Camera
    box: Box
    view: Camera
    posed: list[Posed]
    behind: Float[Tensor, " c"]
    offsets: Float[Tensor, "n 2"]
    output: RasterOutput
    target: Float[Tensor, "h w 3"]
    masks: list[Float[Tensor, "h w 1"]]


def _draw(model: Model, frames: Frames, frame: Frame, background: Float[Tensor, " 3"], *, whole: bool) -> _Drawn:
    camera = model.camera(frame)
    posed = [part.at(frame.time, rigid.invert(camera.cam_from_world)) for part in model.parts]
    surfels = merged(
        [part.appearance(one.surfels) for part, one in zip(model.parts, posed, strict=True)], frames.objects
    )
    box, target, coverage = frame.target(background, whole=whole)
    masks = [coverage] if len(model.parts) == 1 else [frame.mask(k, box) for k in range(frames.objects)]
    view = crop_camera(camera, box)
    offsets = torch.zeros(len(surfels), 2, device=model.device, requires_grad=True)
    behind = background if surfels.features is None else torch.cat([background, background.new_zeros(frames.objects)])
    output = rasterize(surfels, view, background=behind, screen_offsets=offsets)
    return _Drawn(frame, camera, box, view, posed, behind, offsets, output, target, masks)


def _view_loss(
    drawn: _Drawn, state: State, capture: Capture, frames: Frames, objective: Objective
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, " n"]]:
    """Losses of what a view shows, the mean squared error of its colours, and the radii of what was drawn for it."""
    config, step, subject = objective.config, state.step, state.model.parts[0]
    output, radii = drawn.output, drawn.output.radii
    loss, squared = objective.image(output, drawn.target, drawn.masks)
    geometry = step % _GEOMETRY_EVERY == 0
    if subject.is_refined and geometry:
        # From now on the plain surfels carry the geometry alone.
        plain = merged([one.surfels for one in drawn.posed], frames.objects)
        output = rasterize(plain, drawn.view, background=drawn.behind)
        radii = torch.maximum(radii, output.radii)
        loss = loss + _GEOMETRY_EVERY * objective.image(output, drawn.target, drawn.masks)[0]
    if geometry:
        whole, known = frames.background != "none", drawn.frame.depth(drawn.box)
        loss = loss + _GEOMETRY_EVERY * objective.depth(output, known, drawn.masks, capture.depth_kind, whole=whole)
    if step >= config.after(config.surface_from) and (geometry or not subject.is_refined):
        distance = _distance(drawn.view, drawn.posed[0].surfels)
        loss = loss + objective.surface(output, drawn.view, subject.size, distance)
    if config.weights.alone and frames.background != "none" and frames.objects and step % _ALONE_EVERY == 0:
        objects = merged([one.surfels for one in drawn.posed[: frames.objects]], 0)
        loss = loss + _ALONE_EVERY * objective.alone(rasterize(objects, drawn.view), drawn.masks)
    return loss, squared, radii


def _note_density(state: State, drawn: _Drawn) -> None:
    """Count where the images pull, for the next relocation."""
    assert drawn.offsets.grad is not None
    long_side, first = max(drawn.frame.camera.width, drawn.frame.camera.height), 0
    for density, part in zip(state.density, state.model.parts, strict=True):
        rows = slice(first, first + len(part))
        density.add(drawn.offsets.grad[rows], drawn.output.radii[rows], long_side)
        first = rows.stop


def _frame(state: State, level: tuple[Frame, ...], config: FitConfig, generator: torch.Generator) -> Frame:
    if state.model.of_one_moment and state.step < config.after(config.warm_up):
        return _warm_up_frame(state, level, config, generator)
    return level[_turn(state.step, len(level), config.seed)]


def _warm_up_frame(state: State, level: tuple[Frame, ...], config: FitConfig, generator: torch.Generator) -> Frame:
    """A frame about the canonical moment, from a span that grows until it holds all.

    Paths beyond the span are kept where they are at its ends, so that every moment starts from its neighbour's pose.
    """
    middle = state.model.canonical_time
    reach = max(abs(frame.time - middle) for frame in level)
    span = reach * (state.step + 1) / config.after(config.warm_up)
    inside = [frame for frame in level if abs(frame.time - middle) <= span]
    inside = (
        inside if len(inside) >= _FEWEST_FRAMES else sorted(level, key=lambda f: abs(f.time - middle))[:_FEWEST_FRAMES]
    )
    if state.step % _HOLD_EVERY == 0:
        for part in state.model.objects:
            part.hold_beyond(middle - span, middle + span)
    return inside[int(torch.randint(len(inside), (1,), generator=generator))]


def _track_loss(
    state: State, capture: Capture, frames: Frames, frame: Frame, camera: Camera, posed: list[Posed], config: FitConfig
) -> Tensor:
    """How far tracked points are from where the motion takes them; 0 in the steps that leave it out."""
    step, nothing = state.step, posed[0].surfels.centers.new_zeros(())
    every = 2 if step < config.after(config.tracks_until) else config.tracks_every
    if capture.tracks is None or not config.weights.tracks or step % every:
        return nothing
    chance = np.random.default_rng((config.seed, step))
    indices = [one.index for one in frames.levels[1]]
    pair = draw_pair(capture.tracks, frame.index, indices, _TRACK_GAPS, chance)
    if pair is None:
        return nothing
    full = frames.levels[1][indices.index(frame.index)].camera
    factor = max(1.0, max(full.width, full.height) / _TRACK_SIDE)
    size = max(1, round(full.width / factor)), max(1, round(full.height / factor))
    other = frames.levels[1][indices.index(pair.there)]
    here, there = (
        model_camera.resized(*size)
        for model_camera in (state.model.cameras.corrected(frame.index, full), state.model.camera(other))
    )
    poses = torch.stack([rigid.invert(view.cam_from_world) for view in (here, there)])
    moved = [part.places((frame.time, other.time), poses) for part in state.model.parts]
    places, rotations = (torch.cat(parts, 1) for parts in zip(*moved, strict=True))
    scales, opacities = (
        torch.cat([getattr(one.surfels, n).detach() for one in posed]) for n in ("scales", "opacities")
    )
    constant = places[0].detach()
    shapes = Surfels(constant, rotations[0].detach(), scales, opacities, features=constant)
    error = motion_error(pair, shapes, places, here, there, full, delta=config.tracks_delta)
    return config.weights.tracks * error


def _distance(camera: Camera, surfels: Surfels) -> float:
    """Camera-frame depth of the surfels' middle, about."""
    with torch.no_grad():
        return abs(float(camera.project(surfels.centers[::16].mean(0))[1]))


def _turn(step: int, count: int, seed: int) -> int:
    """Which view a step sees: all of them once in every round, in an order of its own."""
    generator = torch.Generator().manual_seed((seed << 32) + step // count)
    return int(torch.randperm(count, generator=generator)[step % count])


def _running(mean: float | None, value: float) -> float:
    return value if mean is None else _MEMORY * mean + (1 - _MEMORY) * value
