"""The weighted sum of losses: zero at the truth, every weight counts, and nothing else does."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from recon4d.core import quaternion
from recon4d.field import BonesWarp
from recon4d.losses import acceleration, opacity_entropy
from recon4d.render import rasterize
from recon4d.scene import merge_surfels
from recon4d.train import Capture, FitConfig, Weights
from recon4d.train.fit import start
from recon4d.train.frames import Frames
from recon4d.train.hull import Hull
from recon4d.train.moving_object import MovingObject, create_object
from recon4d.train.objective import Objective
from recon4d.train.step import train_step
from tests.train import room
from tests.train.moving import camera, subject

NOTHING = Weights(**{field.name: 0.0 for field in fields(Weights)})
# Those of tracks, cameras and objects alone are no part of one view's losses: tests/train/test_fit_rooms.py has them.
OF_A_VIEW = [field.name for field in fields(Weights) if field.name not in ("tracks", "cameras", "alone")]
TIME = 0.3
ROUND = 8  # steps


def part_like(*, wrong: bool) -> MovingObject:
    """The subject's surfels on four bones that stand still, or that do not agree."""
    field = subject()
    assert isinstance(field.warp, BonesWarp)
    canonical = field.canonical
    hull = Hull(canonical.centers, canonical.rotations_wxyz, torch.rand(1500, 3), 0.04, 1.8, 1.0, 1.0)
    root = field.warp.root
    assert root is not None
    still = replace(root, translations=root.translations * 0)
    part = create_object(
        "object",
        hull,
        still,
        0.5,
        [0.0, 0.5, 1.0],
        bones=4,
        opacity=0.9,
        sh_degree=0,
        per_control=1.0,
        residual_nodes=3,
    )
    if wrong:
        generator = torch.Generator().manual_seed(1)
        for name in ("bone_rotations", "bone_translations", "residual"):
            part.parameters[name].data += 0.3 * torch.randn(part.parameters[name].shape, generator=generator)
    return part


def losses(weights: Weights, *, wrong: bool, surface: bool = True, step: int = 0) -> torch.Tensor:
    """All losses of the true subject against its own image, or against another moment's, at one step."""
    field, seen_from = subject(), camera(0.5, 0.3, 32)
    objective = Objective(FitConfig(weights=weights, longest_scale=0.01))
    output = rasterize(field.at(TIME), seen_from)
    target = rasterize(field.at(0.9 if wrong else TIME), seen_from)
    part = part_like(wrong=wrong)
    canonical = field.canonical.replace(
        scales=field.canonical.scales * (torch.tensor([1.0, 9.0]) if wrong else 0.1),
        opacities=field.canonical.opacities * 0 + (0.5 if wrong else 1.0),
    )
    if wrong:
        canonical = canonical.replace(rotations_wxyz=quaternion.normalize(canonical.rotations_wxyz.flip(0)))
    total = objective.image(output, target.color, [target.alpha])[0]
    if surface:
        total = total + objective.surface(output, seen_from, 1.8, 4.0)
    known = torch.where(target.depth > 0, 1 / target.depth, torch.nan)
    for kind in ("metric", "relative"):
        total = total + objective.depth(output, known, [target.alpha], kind, whole=False)
    total = total + objective.shape(part, canonical, step, surface=surface)
    return total + objective.motion(part, part.at(TIME, torch.eye(4)), step)


def round_of_losses(weights: Weights, *, wrong: bool) -> float:
    """Mean over as many steps as it takes until every loss had its turn."""
    return sum(losses(weights, wrong=wrong, step=step).item() for step in range(ROUND)) / ROUND


def test_without_weights_only_colour_counts():
    assert losses(NOTHING, wrong=False).item() == 0.0
    assert losses(NOTHING, wrong=True).item() > 0.01


@pytest.mark.parametrize("name", OF_A_VIEW)
def test_every_weight_counts(name: str):
    # All of the structural share would take the whole of the L1 away.
    weights = replace(NOTHING, **{name: 0.5})
    assert round_of_losses(weights, wrong=True) != pytest.approx(losses(NOTHING, wrong=True).item(), rel=1e-4)


def test_losses_that_are_not_taken_at_every_step_weigh_as_much_in_a_round():
    part, field = part_like(wrong=True), subject()
    weights = replace(NOTHING, entropy=0.5, acceleration=0.25)
    objective = Objective(FitConfig(weights=weights))
    canonical = field.canonical.replace(opacities=field.canonical.opacities * 0 + 0.4)
    posed = part.at(TIME, torch.eye(4))
    total = sum(
        (objective.shape(part, canonical, step, surface=True) + objective.motion(part, posed, step)).item()
        for step in range(ROUND)
    )
    uneven = sum(
        acceleration(spline.translations) / part.size**2 + acceleration(spline.rotations_wxyz)
        for spline in part.splines()
    )
    expected = 0.5 * opacity_entropy(canonical.opacities) + 0.25 * uneven
    assert total / ROUND == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["entropy", "smoothness"])
def test_surface_losses_of_the_surfels_can_be_left_out(name: str):
    weights = replace(NOTHING, **{name: 0.5})
    assert losses(weights, wrong=True, surface=False).item() == losses(NOTHING, wrong=True).item()


def test_surface_losses_wait_for_their_time(capture: Capture, frames: Frames, quick: FitConfig):
    """A step before that time is one without them; a step after it is not."""

    def first_loss(weights: Weights, surface_from: float) -> float:
        config = replace(quick, weights=weights, surface_from=surface_from)
        state = start(capture, frames, config)
        train_step(state, capture, frames, Objective(config), config)
        assert state.mean_loss is not None
        return state.mean_loss

    weights = replace(NOTHING, normal=0.5, distortion=0.5, entropy=0.5, smoothness=0.5)
    plain = first_loss(NOTHING, 0.0)
    assert first_loss(weights, 0.5) == plain
    assert first_loss(weights, 0.0) > plain + 0.01


def test_the_squared_error_is_that_of_the_colours_and_a_constant():
    seen_from = camera(0.5, 0.3, 32)
    surfels = subject().at(TIME)
    drawn = rasterize(surfels.replace(centers=surfels.centers.clone().requires_grad_()), seen_from)
    target = rasterize(subject().at(0.9), seen_from)
    total, squared = Objective(FitConfig()).image(drawn, target.color, [target.alpha])
    assert total.requires_grad
    assert not squared.requires_grad
    torch.testing.assert_close(squared, (drawn.color.detach() - target.color).square().mean())


@pytest.mark.parametrize(
    "name", ["dssim", "mask", "entropy", "scale", "anisotropy", "rigidity", "acceleration", "rank", "residual"]
)
def test_the_truth_costs_nothing(name: str):
    assert abs(losses(replace(NOTHING, **{name: 0.5}), wrong=False).item()) < 1e-5


def test_every_surfel_is_smoothed_in_its_turn():
    part = part_like(wrong=False)
    objective = Objective(FitConfig(weights=replace(NOTHING, smoothness=1.0)))
    touched = torch.zeros(len(part), dtype=torch.int64)
    for step in range(8):
        canonical = part.surfels()
        turned = canonical.rotations_wxyz.detach().flip(0).requires_grad_()
        objective.shape(part, canonical.replace(rotations_wxyz=turned), step, surface=True).backward()
        assert turned.grad is not None
        touched += turned.grad.abs().sum(-1) > 0
    assert int(touched.min()) >= 1


def test_each_object_has_a_mask_of_its_own():
    """Exchanged masks cost more than the right ones, though their union is the same."""
    view = room.seen_from(3)
    owner = torch.cat([torch.full((500,), 0), torch.full((500,), 1), torch.full((1500,), 2)])
    surfels = merge_surfels([*room.balls_at(TIME), room.WALLS])
    surfels = surfels.replace(features=(owner[:, None] == torch.arange(2)).float())
    output = rasterize(surfels, view, background=torch.zeros(5))
    masks = [output.color[..., 3:4], output.color[..., 4:5]]
    objective = Objective(FitConfig(weights=replace(NOTHING, mask=1.0)))
    right, exchanged = (
        objective.image(output, output.color[..., :3], given)[0].item() for given in (masks, masks[::-1])
    )
    assert right == 0.0
    assert exchanged > 0.05
