"""The weighted sum of losses: zero at the truth, every weight counts, and nothing else does."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from recon4d.field import BonesWarp
from recon4d.render import rasterize
from recon4d.train import FitConfig, Weights
from recon4d.train.objective import Objective
from tests.train.moving import camera, subject

NOTHING = Weights(**{field.name: 0.0 for field in fields(Weights)})
TIME = 0.3


def losses(weights: Weights, *, wrong: bool, surface: bool = True) -> torch.Tensor:
    """All losses of the true subject against its own image, or against another moment's."""
    field, seen_from = subject(), camera(0.5, 0.3, 32)
    assert isinstance(field.warp, BonesWarp)
    objective = Objective(FitConfig(weights=weights, longest_scale=0.01), field.warp.rest_translations, 1.8)
    output = rasterize(field.at(TIME), seen_from)
    target = rasterize(field.at(0.9 if wrong else TIME), seen_from)
    canonical = field.canonical.replace(
        scales=field.canonical.scales * (torch.tensor([1.0, 9.0]) if wrong else 0.1),
        opacities=field.canonical.opacities * 0 + (0.5 if wrong else 1.0),
    )
    rotations, translations = (x[0] for x in field.warp.transforms_at(torch.tensor([TIME], dtype=torch.float64)))
    total = objective.image(output, seen_from, target.color, target.alpha, surface=surface)
    total = total + objective.shape(canonical, surface=surface)
    return total + objective.motion(field.warp, rotations, translations)


def test_without_weights_only_colour_counts():
    assert losses(NOTHING, wrong=False).item() == 0.0
    assert losses(NOTHING, wrong=True).item() > 0.01


@pytest.mark.parametrize("name", [field.name for field in fields(Weights)])
def test_every_weight_counts(name: str):
    # All of the structural share would take the whole of the L1 away.
    weights = replace(NOTHING, **{name: 0.5})
    assert losses(weights, wrong=True).item() != pytest.approx(losses(NOTHING, wrong=True).item(), rel=1e-4)


@pytest.mark.parametrize("name", ["normal", "distortion", "entropy"])
def test_surface_losses_wait_for_their_time(name: str):
    weights = replace(NOTHING, **{name: 0.5})
    assert losses(weights, wrong=True, surface=False).item() == losses(NOTHING, wrong=True).item()


@pytest.mark.parametrize("name", ["dssim", "mask", "entropy", "scale", "anisotropy"])
def test_the_truth_costs_nothing(name: str):
    assert abs(losses(replace(NOTHING, **{name: 0.5}), wrong=False).item()) < 1e-6
