"""The fit of one moving object to posed images with masks.

From a data set with cameras to a scene: visual hull, bones, then optimisation through the rasterizer, from small images
to large ones.  Does NOT find cameras or masks, fit backgrounds, print, or write scenes; it calls back with snapshots.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from recon4d.core import InputError
from recon4d.data import Dataset
from recon4d.render import rasterize
from recon4d.scene import Layer, Scene
from recon4d.train.checkpoint import State, identity_of, load_checkpoint, save_checkpoint
from recon4d.train.config import FitConfig
from recon4d.train.density import Density, relocate
from recon4d.train.frames import Frames, load_frames
from recon4d.train.hull import carve
from recon4d.train.model import Model, create_model
from recon4d.train.objective import Objective
from recon4d.train.optimizer import Optimizer
from recon4d.train.root import root_path

_MEMORY = 0.98  # of the running means


@dataclass(frozen=True, eq=False)
class Snapshot:
    """How a fit is doing.

    Attributes:
        step, iterations: steps done, and all.
        loss: running mean.
        psnr: of the training images, from a running mean of the squared error, in dB.
        surfels: how many there are.
        seconds: since the fit was started or resumed.
        model: live; `snapshot.model.frozen_field()` gives a copy that stays as it is.
    """

    step: int
    iterations: int
    loss: float
    psnr: float
    surfels: int
    seconds: float
    model: Model


def fit(
    dataset: Dataset,
    config: FitConfig | None = None,
    *,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    callback: Callable[[Snapshot], None] | None = None,
) -> Scene:
    """Fit one moving object to the train split of a data set with cameras, and masks or alpha.

    The same data, settings and number of threads give the same scene, resumed or not.

    Args:
        dataset: posed images.
        config: settings; the standard preset when None.
        checkpoint: file to keep the state in while fitting; None keeps none.  Removed when the fit is done.
        resume: go on from the checkpoint where there is one.
        callback: called every `config.snapshot_every` steps and at the end.

    Raises:
        InputError: views without camera or mask, masks that contradict the cameras, or a checkpoint that is damaged or
            of another fit.
    """
    config = config or FitConfig()
    if resume and checkpoint is None:
        raise InputError("resume", expected="a checkpoint to resume from", got="none", fix="name its file")
    frames = load_frames(dataset.split("train"), [factor for _, factor in config.levels])
    identity = identity_of(config, frames.fingerprint)
    if resume and checkpoint is not None and Path(checkpoint).exists():
        state = load_checkpoint(checkpoint, config, identity)
    else:
        state = start(frames, config)
    objective = Objective(config, state.model.rest, state.model.size)
    started = saved = time.monotonic()
    while state.step < config.iterations:
        train_step(state, frames, objective, config)
        now = time.monotonic()
        if callback and (state.step % config.snapshot_every == 0 or state.step == config.iterations):
            callback(_snapshot(state, config, now - started))
        if checkpoint is not None and now - saved >= config.checkpoint_seconds:
            save_checkpoint(state, checkpoint, identity)
            saved = time.monotonic()
    scene = _scene(state, frames, dataset, config)
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    return scene


def start(frames: Frames, config: FitConfig) -> State:
    """The state before the first step: hull, bones, and a root that follows the masks' middles."""
    times = frames.times
    canonical_time = times[len(times) // 2]
    small = frames.levels[_hull_factor(frames, config)]
    root = root_path(small, config.frames_per_root_control)
    hull = carve(
        small,
        root,
        canonical_time,
        voxels=config.hull_voxels,
        window=config.hull_window,
        count=config.initial_surfels,
        generator=torch.Generator().manual_seed(config.seed),
    )
    model = create_model(
        hull,
        root,
        canonical_time,
        times,
        bones=config.bones,
        sh_degree=config.sh_degree,
        per_control=config.frames_per_control,
    )
    return State(0, model, Optimizer(model, config), Density.empty(len(model)), canonical_time)


def train_step(state: State, frames: Frames, objective: Objective, config: FitConfig) -> None:
    """Render one view, compare, move every parameter a little; now and then move surfels to where they are needed."""
    step, model = state.step, state.model
    level = frames.levels[config.level_at(step)]
    generator = torch.Generator().manual_seed((config.seed << 32) + step)
    frame = level[_turn(step, len(level), config.seed)]
    background = torch.rand(3, generator=generator)
    camera, target, mask = frame.target(background, whole=step % config.whole_image_every == 0)
    surface = step >= config.after(config.surface_from)

    surfels, canonical, warp, turns, shifts = model.state_at(frame.time)
    offsets = torch.zeros(len(model), 2, requires_grad=True)
    output = rasterize(surfels, camera, background=background, screen_offsets=offsets)
    loss = objective.image(output, camera, target, mask, surface=surface)
    loss = loss + objective.shape(canonical, surface=surface) + objective.motion(warp, turns, shifts)
    loss.backward()
    assert offsets.grad is not None
    state.density.add(offsets.grad, output.radii, max(frame.camera.width, frame.camera.height))
    state.optimizer.step(step / config.iterations)

    # Scaled to the whole image, outside of whose crop both are plain background.
    share = target.numel() / (3 * frame.camera.width * frame.camera.height)
    squared = float((output.color.detach() - target).square().mean()) * share
    state.mean_loss = _running(state.mean_loss, float(loss.detach()))
    state.mean_squared_error = _running(state.mean_squared_error, squared)
    state.step = step + 1
    relocating = config.after(config.density_from) <= state.step <= config.after(config.density_until)
    if relocating and state.step % config.density_every == 0:
        state.density = relocate(
            model,
            state.optimizer,
            state.density,
            budget=config.surfels,
            growth=config.density_growth,
            dead_opacity=config.dead_opacity,
            generator=generator,
        )


def _turn(step: int, count: int, seed: int) -> int:
    """Which view a step sees: all of them once in every round, in an order of its own."""
    generator = torch.Generator().manual_seed((seed << 32) + step // count)
    return int(torch.randperm(count, generator=generator)[step % count])


def _hull_factor(frames: Frames, config: FitConfig) -> int:
    """The smallest images whose subjects still have a pixel for a voxel."""
    good = [f for f, level in frames.levels.items() if min(level[0].box[2:]) >= config.hull_voxels]
    return max(good, default=1)


def _running(mean: float | None, value: float) -> float:
    return value if mean is None else _MEMORY * mean + (1 - _MEMORY) * value


def _snapshot(state: State, config: FitConfig, seconds: float) -> Snapshot:
    assert state.mean_loss is not None
    assert state.mean_squared_error is not None
    psnr = -10 * math.log10(max(state.mean_squared_error, 1e-10))
    return Snapshot(state.step, config.iterations, state.mean_loss, psnr, len(state.model), seconds, state.model)


def _scene(state: State, frames: Frames, dataset: Dataset, config: FitConfig) -> Scene:
    """The fitted object with the cameras it was fitted to, the first of each moment."""
    cameras = {frame.time: frame.camera for frame in reversed(frames.levels[1])}
    times = sorted(cameras)
    provenance = {
        "made_by": "recon4d.train.fit",
        "data_format": dataset.format,
        "data_sha256": frames.fingerprint,
        "settings": asdict(config),
        "canonical_time": state.canonical_time,
    }
    return Scene(
        torch.tensor(times, dtype=torch.float64),
        [cameras[moment] for moment in times],
        [Layer("object", "object", state.model.frozen_field())],
        dataset.metres_per_unit,
        provenance,
    )
