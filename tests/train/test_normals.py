"""Smoothed normals: noise goes, edges and thin things stay, and pictures do not change."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recon4d.core import quaternion
from recon4d.train.backdrop import Backdrop
from recon4d.train.hull import facing
from recon4d.train.normals import smooth_normals
from recon4d.train.part import as_leaves, surfel_parameters
from tests.train.test_parts import EYE

COUNT = 3000


def part_of(centers: Tensor, normals: Tensor) -> Backdrop:
    values = surfel_parameters(
        centers, facing(normals), torch.full((len(centers), 2), 0.02), torch.rand(len(centers), 3),
        opacity_logit=2.0, sh_degree=0,
    )  # fmt: skip
    leaves = as_leaves(values, torch.device("cpu"))
    count = len(centers)
    return Backdrop("part", "background", leaves, torch.arange(count), count, 2.0, torch.zeros(count, 1).long())


def normals_of(part: Backdrop) -> Tensor:
    turns = quaternion.normalize(part.parameters["rotations_wxyz"].detach())
    return quaternion.rotate(turns, torch.tensor([0.0, 0.0, 1.0]))


def noisy(normals: Tensor, degrees: float) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(normals.shape, generator=generator) * math.radians(degrees) / math.sqrt(2)
    turned = torch.nn.functional.normalize(normals + noise, dim=-1)
    # A third is turned over: a surfel has no front.
    return torch.where(torch.rand(len(normals), 1, generator=generator) < 0.33, -turned, turned)


def degrees_between(first: Tensor, second: Tensor) -> Tensor:
    return torch.rad2deg(torch.arccos((first * second).sum(-1).abs().clamp(max=1)))


def test_noise_on_a_sphere_goes():
    generator = torch.Generator().manual_seed(1)
    truth = torch.nn.functional.normalize(torch.randn(COUNT, 3, generator=generator), dim=-1)
    part = part_of(truth, noisy(truth, 20.0))
    before, sides = degrees_between(normals_of(part), truth).mean(), normals_of(part)
    smooth_normals(part)
    after = degrees_between(normals_of(part), truth).mean()
    assert before > 15
    assert after < 0.35 * before
    # Each stays on the side that it was on.
    assert bool(((normals_of(part) * sides).sum(-1) > 0).all())


@pytest.mark.parametrize("gap", [0.0, 0.01], ids=["edge", "thin"])
def test_the_sides_of_an_edge_and_of_a_thin_sheet_stay_apart(gap: float):
    generator = torch.Generator().manual_seed(3)
    flat = torch.rand(COUNT, 2, generator=generator) - 0.5
    one = torch.arange(COUNT) < COUNT // 2
    up, side = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0])
    if gap:
        # Front and back of a sheet thinner than the reach: alike, and so they stay.
        centers = torch.cat([flat, torch.where(one, 0.0, gap)[:, None]], 1)
        truth = up.expand(COUNT, 3)
    else:
        floor = torch.stack([flat[:, 0], flat[:, 1].abs(), 0 * flat[:, 0]], 1)
        wall = torch.stack([flat[:, 0], 0 * flat[:, 0], flat[:, 1].abs()], 1)
        centers, truth = torch.where(one[:, None], floor, wall), torch.where(one[:, None], up, side)
    part = part_of(centers, noisy(truth, 10.0))
    before = degrees_between(normals_of(part), truth).mean()
    smooth_normals(part)
    error = degrees_between(normals_of(part), truth)
    assert error.mean() < 0.5 * before
    assert error.quantile(0.99) < 15


def test_pictures_stay_as_they_are():
    generator = torch.Generator().manual_seed(4)
    truth = torch.nn.functional.normalize(torch.randn(COUNT, 3, generator=generator), dim=-1)
    part = part_of(truth, noisy(truth, 20.0))
    part.refine()
    part.parameters["refined_rotations"].data += 0.1 * torch.randn(COUNT, 4, generator=generator)
    shown, plain = part.appearance(part.at(0.0, EYE).surfels), normals_of(part)
    smooth_normals(part)
    after = part.appearance(part.at(0.0, EYE).surfels)
    one, other = (quaternion.to_matrix(quaternion.normalize(s.rotations_wxyz.detach())) for s in (shown, after))
    torch.testing.assert_close(other, one, atol=1e-5, rtol=0)
    assert float(degrees_between(normals_of(part), plain).mean()) > 10


def test_a_handful_of_surfels_is_left_alone():
    truth = torch.nn.functional.normalize(torch.ones(20, 3), dim=-1)
    part = part_of(torch.rand(20, 3), truth)
    before = part.parameters["rotations_wxyz"].detach().clone()
    smooth_normals(part)
    assert torch.equal(part.parameters["rotations_wxyz"].detach(), before)
