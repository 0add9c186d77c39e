"""The branch of the colours: it begins without a change, is learned and kept, and resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recon4d.core import quaternion
from recon4d.render import rasterize
from recon4d.scene import load, save
from recon4d.train import Capture, FitConfig, fit
from recon4d.train.fit import start
from recon4d.train.frames import Frames
from recon4d.train.objective import Objective
from recon4d.train.part import Part
from recon4d.train.step import train_step
from tests.train.scenes import StopError, assert_equal, stop_at
from tests.train.test_objective import NOTHING
from tests.train.test_parts import EYE, backdrop, moving

pytestmark = pytest.mark.usefixtures("quick_disk")

NAMES = {"refined_rotations", "refined_log_scales"}


@pytest.fixture
def half(quick: FitConfig) -> FitConfig:
    """Colours have a branch of their own in the second half."""
    return replace(quick, density_until=0.5, refine_from=0.5)


@pytest.mark.parametrize("part", [moving(4), backdrop("static"), backdrop("camera")], ids=["object", "still", "camera"])
def test_it_begins_where_the_surfels_are(part: Part):
    state = part.at(0.3, EYE).surfels
    assert part.appearance(state) is state
    assert part.frozen_field().refined is None
    assert set(part.refine()) == NAMES <= set(part.parameters)
    drawn = part.appearance(part.at(0.3, EYE).surfels)
    torch.testing.assert_close(drawn.rotations_wxyz, state.rotations_wxyz, atol=0, rtol=0)
    torch.testing.assert_close(drawn.scales, state.scales, atol=0, rtol=0)
    torch.testing.assert_close(drawn.centers, state.centers, atol=0, rtol=0)


@pytest.mark.parametrize("part", [moving(4), backdrop("static")], ids=["object", "still"])
def test_it_is_saved_as_it_is_trained(part: Part):
    part.refine()
    generator = torch.Generator().manual_seed(5)
    for name in NAMES:
        part.parameters[name].data += 0.2 * torch.randn(part.parameters[name].shape, generator=generator)
    state = part.at(0.3, EYE).surfels
    trained, frozen = part.appearance(state), part.frozen_field()
    saved = frozen.appearance_at(0.3)
    torch.testing.assert_close(saved.scales, trained.scales.detach())
    one, other = (quaternion.to_matrix(quaternion.normalize(s.rotations_wxyz.detach())) for s in (saved, trained))
    torch.testing.assert_close(one, other, atol=2e-5, rtol=0)
    assert float((trained.scales - state.scales).detach().abs().max()) > 0.01 * float(state.scales.detach().max())
    # The surface is what it was, and the copy stays as it is.
    torch.testing.assert_close(frozen.at(0.3).scales, state.scales.detach())
    part.parameters["refined_log_scales"].data += 1
    torch.testing.assert_close(frozen.appearance_at(0.3).scales, saved.scales, atol=0, rtol=0)


def test_a_fit_ends_with_it_and_resumes_through_it(two: Capture, half: FitConfig, tmp_path: Path):
    config = replace(half, iterations=8, snapshot_every=1)
    unbroken = fit(two, config)
    for layer in unbroken.scene.layers:
        refined = layer.field.refined
        assert refined is not None
        assert len(refined) == len(layer.field)
        # Both branches have been learned, each its own way.
        assert float((refined.scales / layer.field.canonical.scales).log().abs().max()) > 1e-3
        assert float(refined.rotations_wxyz[:, 1:].abs().max()) > 1e-4
    view, moment = unbroken.cameras[5], two.times[5]
    shape, picture = (rasterize(at(moment), view).color for at in (unbroken.scene.at, unbroken.scene.appearance_at))
    assert float((shape - picture).abs().max()) > 1e-3
    file = tmp_path / "state.safetensors"
    # Just before, at and after the branch begins.
    for step in (3, 4, 5):
        with pytest.raises(StopError):
            fit(two, config, checkpoint=file, resume=True, callback=stop_at(step))
    resumed = fit(two, config, checkpoint=file, resume=True)
    assert_equal(resumed.scene, unbroken.scene)
    assert resumed.curve == unbroken.curve
    save(resumed.scene, tmp_path / "refined.r4d")
    assert_equal(load(tmp_path / "refined.r4d"), unbroken.scene, cameras=False)


def test_without_it_one_surfel_serves_for_both(capture: Capture, quick: FitConfig):
    scene = fit(capture, replace(quick, iterations=4, refine_from=1.0)).scene
    assert scene.layer("object").field.refined is None
    one, other = (at(0.3).tensors() for at in (scene.at, scene.appearance_at))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_colours_no_longer_size_the_surface(capture: Capture, frames: Frames, half: FitConfig):
    """Of the steps after its begin every second one compares the surface too; the others let its sizes alone."""
    config = replace(half, weights=NOTHING, surface_from=1.0)
    state = start(capture, frames, config)
    (part,) = state.model.parts
    state.step = config.after(config.refine_from)
    sized: list[set[str]] = []

    def keep(done: float, radii: torch.Tensor) -> None:
        asked = {name: part.parameters[name].grad for name in ("log_scales", "refined_log_scales")}
        sized.append({name for name, grad in asked.items() if grad is not None and float(grad.abs().max()) > 0})
        state.optimizer.adam.zero_grad(set_to_none=True)

    state.optimizer.step = keep  # type: ignore[method-assign]
    for _ in range(4):
        train_step(state, capture, frames, Objective(config), config)
    both = {"log_scales", "refined_log_scales"}
    assert sized == [both, {"refined_log_scales"}, both, {"refined_log_scales"}]
