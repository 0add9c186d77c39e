"""The size of a moving subject: found from its path, and images stay as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from recon4d.core import rigid
from recon4d.render import rasterize
from recon4d.train import Capture, FitConfig
from recon4d.train.frames import Frames
from recon4d.train.initialise import create_model
from recon4d.train.model import Model
from recon4d.train.root import spline_basis
from recon4d.train.scale import _scale, settle_scale

EYE = torch.eye(4)


@pytest.fixture
def model(capture: Capture, frames: Frames, quick: FitConfig) -> Model:
    """With a root that can go as the camera does."""
    return create_model(capture, frames, replace(quick, frames_per_root_control=3.0), torch.device("cpu"))[0]


def eyes_of(frames: Frames) -> Tensor:
    return torch.stack([frame.camera.center_in_world for frame in frames.levels[1]])


def images(model: Model, frames: Frames) -> Tensor:
    drawn = []
    for frame in frames.levels[1][::5]:
        state = model.parts[0].at(frame.time, rigid.invert(frame.camera.cam_from_world)).surfels
        drawn.append(rasterize(state, frame.camera).color.detach())
    return torch.stack(drawn)


def raw(model: Model) -> dict[str, Tensor]:
    part = model.objects[0]
    return {name: value.detach().clone() for name, value in part.parameters.items()} | {"rest": part.rest.clone()}


def test_a_subject_too_large_is_brought_back(model: Model, frames: Frames):
    part, eyes = model.objects[0], eyes_of(frames)
    for _ in range(3):
        settle_scale(part, eyes, frames.times, model.canonical_time)
    assert settle_scale(part, eyes, frames.times, model.canonical_time) == pytest.approx(1.0, abs=1e-5)
    before, shown, size = raw(model), images(model, frames), part.size
    start, step = part.root_times
    basis = spline_basis(frames.times, start, step, part.parameters["root_translations"].shape[0])
    controls = torch.linalg.lstsq(basis, eyes.double()).solution
    here = spline_basis([model.canonical_time], start, step, len(controls))[0] @ controls
    _scale(part, 1.02, controls, here)
    larger = images(model, frames)
    # The same images of something else: by as much as the root's path misses the camera's.
    assert float((larger - shown).abs().mean()) < 0.02 * float(shown.abs().mean())
    assert float((raw(model)["root_translations"] - before["root_translations"]).norm()) > 0.1
    assert settle_scale(part, eyes, frames.times, model.canonical_time) == pytest.approx(1 / 1.02, rel=1e-4)
    after = raw(model)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=2e-4, rtol=1e-4, msg=name)
    assert part.size == size


def test_it_takes_small_steps(model: Model, frames: Frames):
    """A path that is the camera's own is no sign of a wrong size, and is not followed at once."""
    part, eyes = model.objects[0], eyes_of(frames)
    with torch.no_grad():
        start, step = part.root_times
        basis = spline_basis(frames.times, start, step, part.parameters["root_translations"].shape[0])
        part.parameters["root_translations"] += (torch.linalg.lstsq(basis, eyes.double()).solution * 0.5).float()
    assert settle_scale(part, eyes, frames.times, model.canonical_time) == pytest.approx(1.03)


@pytest.mark.parametrize("case", ["still", "jumping", "rig", "few"])
def test_cameras_that_tell_nothing_change_nothing(model: Model, frames: Frames, case: str):
    part, eyes, times = model.objects[0], eyes_of(frames), frames.times
    if case == "still":
        eyes = eyes[:1].expand_as(eyes)
    elif case == "jumping":
        eyes = eyes[torch.randperm(len(eyes), generator=torch.Generator().manual_seed(1))]
    elif case == "rig":
        times = sorted(times[: len(times) // 2] * 2)
    else:
        eyes, times = eyes[:7], times[:7]
    before = raw(model)
    assert settle_scale(part, eyes, times, model.canonical_time) == 1.0
    assert all(torch.equal(value, before[name]) for name, value in raw(model).items())
