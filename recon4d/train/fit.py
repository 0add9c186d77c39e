"""The fit: from images with cameras and masks to a scene, by optimisation through the rasterizer.

Objects and background are fitted together, from small images to large ones.  Does NOT find masks, cameras or tracks,
print, or write scenes; it calls back with snapshots.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recon4d.core import Camera, InputError, Recon4dError, Surfels, rigid
from recon4d.data import Dataset
from recon4d.render import rasterize
from recon4d.scene import Scene
from recon4d.train.backdrop import Backdrop, carried_path
from recon4d.train.capture import Capture, capture_from_dataset
from recon4d.train.checkpoint import State, identity_of, load_checkpoint, save_checkpoint
from recon4d.train.config import FitConfig
from recon4d.train.correspondences import draw_pair, motion_error
from recon4d.train.density import Density, relocate
from recon4d.train.frames import Frame, Frames, crop_camera, frames_on, load_frames
from recon4d.train.grow import grow_bones
from recon4d.train.initialise import create_model
from recon4d.train.interrupts import held_interrupts
from recon4d.train.model import Model, merged
from recon4d.train.moving_object import MovingObject
from recon4d.train.normals import smooth_normals
from recon4d.train.objective import Objective
from recon4d.train.optimizer import Optimizer
from recon4d.train.part import Posed
from recon4d.train.scale import settle_scale
from recon4d.train.visibility import contributions

_MEMORY = 0.98  # of the running means
_ALONE_EVERY = 4  # steps
_GEOMETRY_EVERY = 2  # steps, once colours have a branch of their own
_FEWEST_FRAMES = 4  # at the start of the warm-up
_HOLD_EVERY = 5  # steps
_LOOKED_AT = 24  # views, when surfels are sought that nothing sees
_TRACK_GAPS = (1, 2, 3, 5, 8, 12, 18)
_TRACK_SIDE = 160  # pixels; motion is smooth, so small images tell it


class DivergedError(Recon4dError, ArithmeticError):
    """A fit whose loss is no finite number any more."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """How a fit is doing.

    Attributes:
        step, iterations: steps done, and all.
        loss: running mean.
        psnr: of the training images, from a running mean of the squared error, in dB.
        surfels: how many there are.
        seconds: since the fit was started or resumed.
        model: live; `snapshot.model.frozen_layers()` gives copies that stay as they are.
    """

    step: int
    iterations: int
    loss: float
    psnr: float
    surfels: int
    seconds: float
    model: Model


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a fit has made.

    Attributes:
        scene: a layer for each object and one for the background, with the corrected cameras of all frames.
        cameras: corrected, of every frame of the capture.
        curve: (step, loss, PSNR in dB, surfels) of every snapshot.
        warnings: sentences for the user.
    """

    scene: Scene
    cameras: list[Camera]
    curve: list[tuple[int, float, float, int]]
    warnings: list[str]


def fit(
    capture: Capture | Dataset,
    config: FitConfig | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    callback: Callable[[Snapshot], None] | None = None,
) -> Fitted:
    """Fit a scene to a capture, or to the train split of a data set with cameras, and masks or alpha.

    The same capture, settings and number of threads give the same scene on one machine, resumed or not.

    Args:
        capture: what is known.
        config: settings; the standard preset when None.
        checkpoint: file to keep the state in while fitting; None keeps none.  It stays when the fit is done: who keeps
            the scene removes it.
        resume: go on from the checkpoint where there is one.
        callback: called every `config.snapshot_every` steps and at the end.

    Raises:
        InputError: views without camera or mask, masks that contradict the cameras, or a checkpoint that is damaged or
            of another fit.
        DivergedError: the numbers grew beyond all bounds; the last checkpoint is left as it is.
        KeyboardInterrupt: Ctrl-C, after the step that was under way, which is in the checkpoint then.
    """
    config = config or FitConfig()
    if resume and checkpoint is None:
        raise InputError("resume", expected="a checkpoint to resume from", got="none", fix="name its file")
    capture = capture if isinstance(capture, Capture) else capture_from_dataset(capture)
    device = torch.device(config.device)
    frames = load_frames(capture, [factor for _, factor in config.levels])
    fingerprint = capture.fingerprint()
    identity = identity_of(config, fingerprint)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        state = load_checkpoint(checkpoint, config, identity, device)
    else:
        state = start(capture, frames, config)
    frames = frames_on(frames, device)
    objective = Objective(config)
    started = saved = time.monotonic()
    with held_interrupts() as interrupted:
        while state.step < config.iterations:
            train_step(state, capture, frames, objective, config)
            _require_finite(state)
            now = time.monotonic()
            if state.step % config.snapshot_every == 0 or state.step == config.iterations:
                snapshot = _snapshot(state, config, now - started)
                state.curve.append((snapshot.step, snapshot.loss, snapshot.psnr, snapshot.surfels))
                if callback:
                    callback(snapshot)
            due = now - saved >= config.checkpoint_seconds or state.step == config.iterations
            stop = interrupted()
            if checkpoint is not None and (due or stop):
                save_checkpoint(state, checkpoint, identity)
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt
    cameras = state.model.cameras.frozen(capture)
    for part in state.model.parts:
        if part.is_refined:
            smooth_normals(part)
        if isinstance(part, Backdrop) and part.frame == "camera":
            part.carried = carried_path(capture.times, cameras)
    return Fitted(_scene(state, capture, cameras, fingerprint, config), cameras, state.curve, state.warnings)


def start(capture: Capture, frames: Frames, config: FitConfig) -> State:
    """The state before the first step."""
    model, warnings = create_model(capture, frames, config, torch.device(config.device))
    density = [Density.empty(len(part), part.device) for part in model.parts]
    return State(0, model, Optimizer(model, config), density, warnings, [])


def train_step(state: State, capture: Capture, frames: Frames, objective: Objective, config: FitConfig) -> None:
    """Render one view, compare, move every parameter a little; now and then move surfels to where they are needed."""
    step, model = state.step, state.model
    level = frames.levels[config.level_at(step)]
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    frame = level[_turn(step, len(level), config.seed)]
    if model.of_one_moment and step < config.after(config.warm_up):
        frame = _warm_up_frame(state, level, config, generator)
    background = torch.rand(3, generator=generator).to(model.device)
    surface = step >= config.after(config.surface_from)

    if state.step == config.after(config.density_until):
        for part in model.parts:
            smooth_normals(part)
    if state.step == config.after(config.refine_from):
        for part in model.parts:
            state.optimizer.append_parameters(part, part.refine())
    camera = model.camera(frame)
    posed = [part.at(frame.time, rigid.invert(camera.cam_from_world)) for part in model.parts]
    surfels = merged(
        [part.appearance(one.surfels) for part, one in zip(model.parts, posed, strict=True)], frames.objects
    )
    box, target, coverage = frame.target(background, whole=step % config.whole_image_every == 0)
    view = crop_camera(camera, box)
    offsets = torch.zeros(len(surfels), 2, device=model.device, requires_grad=True)
    behind = background if surfels.features is None else torch.cat([background, background.new_zeros(frames.objects)])
    output = rasterize(surfels, view, background=behind, screen_offsets=offsets)
    radii = output.radii

    subject = model.parts[0]
    masks = [coverage] if len(model.parts) == 1 else [frame.mask(k, box) for k in range(frames.objects)]
    loss, squared = objective.image(output, target, masks)
    if subject.is_refined and step % _GEOMETRY_EVERY == 0:
        # From now on the plain surfels carry the geometry alone.
        plain = merged([one.surfels for one in posed], frames.objects)
        output = rasterize(plain, view, background=behind)
        radii = torch.maximum(radii, output.radii)
        loss = loss + _GEOMETRY_EVERY * objective.image(output, target, masks)[0]
    if step % _GEOMETRY_EVERY == 0:
        whole = frames.background != "none"
        error = objective.depth(output, frame.depth(box), masks, capture.depth_kind, whole=whole)
        loss = loss + _GEOMETRY_EVERY * error
    if surface and (not subject.is_refined or step % _GEOMETRY_EVERY == 0):
        loss = loss + objective.surface(output, view, subject.size, _distance(view, posed[0].surfels))
    if config.weights.alone and frames.background != "none" and frames.objects and step % _ALONE_EVERY == 0:
        objects = merged([one.surfels for one in posed[: frames.objects]], 0)
        loss = loss + _ALONE_EVERY * objective.alone(rasterize(objects, view), masks)
    for part, one in zip(model.parts, posed, strict=True):
        loss = loss + objective.shape(part, one.canonical, step, surface=surface)
        if isinstance(part, MovingObject):
            loss = loss + objective.motion(part, one, step)
    if model.cameras.parameters:
        loss = loss + config.weights.cameras * model.cameras.smoothness(frame.index, subject.size)
    loss = loss + _track_loss(state, capture, frames, frame, camera, posed, config)
    loss.backward()
    assert offsets.grad is not None
    first = 0
    for density, part in zip(state.density, model.parts, strict=True):
        rows = slice(first, first + len(part))
        density.add(offsets.grad[rows], output.radii[rows], max(frame.camera.width, frame.camera.height))
        first = rows.stop
    state.optimizer.step(step / config.iterations, radii)

    # Scaled to the whole image, outside of whose crop both are plain background.
    share = target.numel() / (3 * frame.camera.width * frame.camera.height)
    state.mean_loss = _running(state.mean_loss, float(loss.detach()))
    state.mean_squared_error = _running(state.mean_squared_error, float(squared) * share)
    state.step = step + 1
    relocating = config.after(config.density_from) <= state.step <= config.after(config.density_until)
    if relocating and state.step % config.density_every == 0:
        _relocate(state, level, config, generator)
    if not model.of_one_moment and any(state.step == config.after(moment) for moment in config.scale_settled):
        _settle_scales(model, frames)


def _settle_scales(model: Model, frames: Frames) -> None:
    """Take the size of every object at which it does not move along with the camera."""
    level = frames.levels[1]
    with torch.no_grad():
        eyes = torch.stack([model.camera(frame).center_in_world for frame in level])
    for part in model.objects:
        settle_scale(part, eyes, frames.times, model.canonical_time)


def _relocate(state: State, level: tuple[Frame, ...], config: FitConfig, generator: torch.Generator) -> None:
    """Drop what does nothing, split what does too much, in every part."""
    model = state.model
    unseen: list[Tensor | None] = [None] * len(model.parts)
    looking = state.step // config.density_every % config.unseen_every == 0
    if looking and state.step >= config.after(config.surface_from):
        unseen = [given < config.unseen_pixels for given in contributions(model, level, _LOOKED_AT)]
    for number, part in enumerate(model.parts):
        if isinstance(part, MovingObject) and _grows_now(state.step, config):
            met = state.density[number]
            share = -(-(config.bones - config.bones_at_first) // len(config.bone_growth))
            most = min(share, config.bones - len(part.rest))
            grow_bones(part, state.optimizer, met.gradient / met.seen.clamp_min(1), most)
        state.density[number] = relocate(
            part,
            state.optimizer,
            state.density[number],
            budget=config.background_surfels if part.kind == "background" else config.surfels,
            growth=config.density_growth,
            dead_opacity=config.dead_opacity,
            generator=generator,
            unseen=unseen[number],
        )
        # A search over all surfels, for one loss alone.
        if config.weights.smoothness:
            part.find_neighbours()


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


def _grows_now(step: int, config: FitConfig) -> bool:
    """Whether bones grow at this relocation: the first one at or after each of the moments."""
    return any(0 <= step - config.after(moment) < config.density_every for moment in config.bone_growth)


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


def _require_finite(state: State) -> None:
    for name, value in (("loss", state.mean_loss), ("squared error", state.mean_squared_error)):
        if value is not None and not math.isfinite(value):
            raise DivergedError(
                "the fit",
                expected="finite numbers",
                got=f"a {name} of {value} in step {state.step}",
                fix="start anew with another --seed or --preset; the last checkpoint is kept",
            )


def _snapshot(state: State, config: FitConfig, seconds: float) -> Snapshot:
    assert state.mean_loss is not None
    assert state.mean_squared_error is not None
    psnr = -10 * math.log10(max(state.mean_squared_error, 1e-10))
    return Snapshot(state.step, config.iterations, state.mean_loss, psnr, len(state.model), seconds, state.model)


def _scene(state: State, capture: Capture, cameras: list[Camera], fingerprint: str, config: FitConfig) -> Scene:
    """The fitted layers with the corrected cameras, the first of each moment."""
    first = dict(reversed(list(zip(capture.times, cameras, strict=True))))
    times = sorted(first)
    provenance = {
        "made_by": "recon4d.train.fit",
        **capture.source,
        "data_sha256": fingerprint,
        "settings": asdict(config),
        "canonical_time": state.model.canonical_time,
    }
    return Scene(
        torch.tensor(times, dtype=torch.float64),
        [first[moment] for moment in times],
        state.model.frozen_layers(),
        capture.metres_per_unit,
        provenance,
    )
