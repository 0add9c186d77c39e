"""What happens to a model between the steps of a fit: normals smoothed, colours refined, surfels moved, sizes settled.

Does NOT render the views that are compared, or compute losses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recon4d.train.checkpoint import State
from recon4d.train.config import FitConfig
from recon4d.train.density import relocate
from recon4d.train.frames import Frame, Frames
from recon4d.train.grow import grow_bones
from recon4d.train.model import Model
from recon4d.train.moving_object import MovingObject
from recon4d.train.normals import smooth_normals
from recon4d.train.scale import settle_scale
from recon4d.train.visibility import contributions

_LOOKED_AT = 24  # views, when surfels are sought that nothing sees


def before_step(state: State, config: FitConfig) -> None:
    """Smooth normals once surfels stay where they are, and give colours their branch."""
    parts = state.model.parts
    if state.step == config.after(config.density_until):
        for part in parts:
            smooth_normals(part)
    if state.step == config.after(config.refine_from):
        for part in parts:
            state.optimizer.append_parameters(part, part.refine())


def after_step(
    state: State, frames: Frames, level: tuple[Frame, ...], config: FitConfig, generator: torch.Generator
) -> None:
    """Move surfels to where they are needed, grow bones, and settle sizes, each at its steps."""
    relocating = config.after(config.density_from) <= state.step <= config.after(config.density_until)
    if relocating and state.step % config.density_every == 0:
        _relocate(state, level, config, generator)
    if not state.model.of_one_moment and any(state.step == config.after(moment) for moment in config.scale_settled):
        _settle_scales(state.model, frames)


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


def _grows_now(step: int, config: FitConfig) -> bool:
    """Whether bones grow at this relocation: the first one at or after each of the moments."""
    return any(0 <= step - config.after(moment) < config.density_every for moment in config.bone_growth)
