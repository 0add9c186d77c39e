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

import torch

from recon4d.core import Camera, InputError, Recon4dError
from recon4d.data import Dataset
from recon4d.scene import Scene
from recon4d.train.backdrop import Backdrop, carried_path
from recon4d.train.capture import Capture, capture_from_dataset
from recon4d.train.checkpoint import State, identity_of, load_checkpoint, save_checkpoint
from recon4d.train.config import FitConfig
from recon4d.train.density import Density
from recon4d.train.frames import Frames, frames_on, load_frames
from recon4d.train.initialise import create_model
from recon4d.train.interrupts import held_interrupts
from recon4d.train.model import Model
from recon4d.train.normals import smooth_normals
from recon4d.train.objective import Objective
from recon4d.train.optimizer import Optimizer
from recon4d.train.step import train_step
from recon4d.train.suited import suited


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
    config = suited(config, frames)
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
